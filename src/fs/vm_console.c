// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vm_console.c -- the far end of a VM's serial line: what was written is kept, readers come and go.
 *
 * Bytes from the guest are numbered from the beginning; byte n is at kept[n % size], and every
 * open file has the number of the next byte it reads. A reader that is too slow loses the
 * oldest bytes, the guest never waits. The other way a ring that is full makes the writer wait.
 *
 * Invariants
 *   - position <= sent of every file; sent - position may be more than is kept, and is cut
 *     then.
 *   - After `ended` nothing is put, taken or attached any more.
 * Locking    console.lock (rank CONSOLE) is taken with a VM's lock held. `line` (a mutex) is
 *            held around typed(), so that detaching waits for it; it comes before every spin
 *            lock.
 * Start at   vm_console_put(), console_read().
 */
#include "fs/vm_console.h"

#include "core/assert.h"
#include "core/heap.h"
#include "fs/vfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define TYPED_SIZE    1024u
#define NAMES_TRIED   64u
#define CONSOLE_MAJOR 240u
#define FIONREAD      0x541bu

struct vm_console {
    uint32_t refs;               // (a) the VM and every file
    struct mutex line;           // typed() runs, or who is on the line changes
    struct spinlock lock;        // rank CONSOLE: all below that says nothing else
    void (*typed)(void *owner);  // line
    void *owner;                 // line
    bool ended;
    uint64_t sent, taken;  // bytes ever from and to the guest
    uint32_t input_head, input_used;
    char input[TYPED_SIZE];
    char *kept;  // VM_CONSOLE_KEPT bytes

    struct fs_event changed;
    struct poll_head poll;
    bool has_node;                    // (i)
    char node[48];                    // (i) "vm/NAME/console"
    struct vfs_device_driver driver;  // (i)
};

struct opening {
    struct vm_console *console;  // referenced
    struct mutex lock;           // one read at a time
    uint64_t position;           // lock
};

static void console_put_ref(struct vm_console *c)
{
    if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    heap_free(c->kept);
    heap_free(c);
}

static void tell(struct vm_console *c, unsigned events)
{
    fs_event_signal(&c->changed);
    poll_notify(&c->poll, events);
}

/* ---- the guest's side ---- */

void vm_console_put(struct vm_console *c, const char *text, size_t length)
{
    bool irqs = spin_lock(&c->lock);

    for (size_t i = 0; i < length && !c->ended; i++)
        c->kept[c->sent++ % VM_CONSOLE_KEPT] = text[i];
    spin_unlock(&c->lock, irqs);
    tell(c, VFS_POLLIN | VFS_POLLRDNORM);
}

int vm_console_take(struct vm_console *c)
{
    int byte = -1;
    bool irqs = spin_lock(&c->lock);
    bool was_full = c->input_used == TYPED_SIZE;

    if (c->input_used) {
        byte = (uint8_t)c->input[c->input_head];
        c->input_head = (c->input_head + 1) % TYPED_SIZE;
        c->input_used--;
        c->taken++;
    }
    spin_unlock(&c->lock, irqs);
    if (was_full)
        tell(c, VFS_POLLOUT | VFS_POLLWRNORM);
    return byte;
}

void vm_console_attach(struct vm_console *c, void (*typed)(void *owner), void *owner)
{
    mutex_lock(&c->line);
    c->typed = typed;
    c->owner = owner;
    if (typed)
        typed(owner);  // what was typed while nobody was there
    mutex_unlock(&c->line);
}

void vm_console_counts(struct vm_console *c, uint64_t *from_guest, uint64_t *to_guest)
{
    bool irqs = spin_lock(&c->lock);

    *from_guest = c->sent;
    *to_guest = c->taken;
    spin_unlock(&c->lock, irqs);
}

/* ---- files ---- */

static vmk_status console_read(struct file *file, struct vfs_iov *iov)
{
    struct opening *o = file->private;
    struct vm_console *c = o->console;
    vmk_status status = VMK_OK;

    mutex_lock(&o->lock);
    while (iov->size && !iov->done && status == VMK_OK) {
        uint32_t count = fs_event_count(&c->changed);
        bool irqs = spin_lock(&c->lock);
        bool ended = c->ended;
        char *to = iov->to;

        if (c->sent - o->position > VM_CONSOLE_KEPT)
            o->position = c->sent - VM_CONSOLE_KEPT;
        while (iov->done < iov->size && iov->done < PAGE_SIZE && o->position < c->sent)
            to[iov->done++] = c->kept[o->position++ % VM_CONSOLE_KEPT];
        spin_unlock(&c->lock, irqs);
        if (iov->done || ended)
            break;
        if (iov->nonblock) {
            status = VMK_AGAIN;
            break;
        }
        mutex_unlock(&o->lock);
        status = fs_event_wait(&c->changed, count, PLAT_NS_NEVER);
        mutex_lock(&o->lock);
    }
    mutex_unlock(&o->lock);
    return status;
}

/* Takes what there is room for, and hands it on. */
static void type(struct vm_console *c, const char *from, size_t size, size_t *done)
{
    bool irqs = spin_lock(&c->lock);

    while (*done < size && c->input_used < TYPED_SIZE) {
        c->input[(c->input_head + c->input_used) % TYPED_SIZE] = from[(*done)++];
        c->input_used++;
    }
    spin_unlock(&c->lock, irqs);
    mutex_lock(&c->line);
    if (c->typed)
        c->typed(c->owner);
    mutex_unlock(&c->line);
}

static vmk_status console_write(struct file *file, struct vfs_iov *iov)
{
    struct opening *o = file->private;
    struct vm_console *c = o->console;
    vmk_status status = VMK_OK;

    while (iov->done < iov->size && status == VMK_OK) {
        uint32_t count = fs_event_count(&c->changed);
        size_t before = iov->done;

        if (__atomic_load_n(&c->ended, __ATOMIC_ACQUIRE)) {
            status = VMK_IO_ERROR;
            break;
        }
        type(c, iov->from, iov->size, &iov->done);
        if (iov->done == before)
            status =
                iov->nonblock ? VMK_AGAIN : fs_event_wait(&c->changed, count, PLAT_NS_NEVER);
    }
    return iov->done ? VMK_OK : status;
}

static unsigned console_poll(struct file *file, struct poll_table *table)
{
    struct opening *o = file->private;
    struct vm_console *c = o->console;
    unsigned events = 0;
    bool irqs;

    poll_wait_on(table, &c->poll);
    irqs = spin_lock(&c->lock);
    if (c->sent > o->position || c->ended)
        events |= VFS_POLLIN | VFS_POLLRDNORM;
    if (c->input_used < TYPED_SIZE && !c->ended)
        events |= VFS_POLLOUT | VFS_POLLWRNORM;
    if (c->ended)
        events |= VFS_POLLHUP;
    spin_unlock(&c->lock, irqs);
    return events;
}

static vmk_status console_ioctl(struct file *file, uint32_t request, uint64_t argument,
                                void *data)
{
    struct opening *o = file->private;
    struct vm_console *c = o->console;
    uint64_t there;
    bool irqs;

    (void)argument;
    if (request != FIONREAD)
        return VMK_NOT_TTY;
    irqs = spin_lock(&c->lock);
    there = MIN(c->sent - o->position, (uint64_t)VM_CONSOLE_KEPT);
    spin_unlock(&c->lock, irqs);
    *(int32_t *)data = (int32_t)there;
    return VMK_OK;
}

static void console_release(struct file *file)
{
    struct opening *o = file->private;

    console_put_ref(o->console);
    heap_free(o);
}

static int console_describe(struct file *file, char *out, size_t size)
{
    const struct opening *o = file->private;

    return vmk_snprintf(out, size, "/dev/%s", o->console->node);
}

static const struct file_ops console_ops = {
    .read = console_read,
    .write = console_write,
    .poll = console_poll,
    .ioctl = console_ioctl,
    .describe = console_describe,
    .release = console_release,
};

static struct opening *opening_new(struct vm_console *c)
{
    struct opening *o = heap_alloc(sizeof(*o), MEM_OWNER_FS);
    bool irqs;

    if (!o)
        return NULL;
    mutex_init(&o->lock, "console file");
    o->console = c;
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    irqs = spin_lock(&c->lock);
    o->position = c->sent - MIN(c->sent, (uint64_t)VM_CONSOLE_KEPT);
    spin_unlock(&c->lock, irqs);
    return o;
}

vmk_status vm_console_open(struct vm_console *c, uint32_t flags, struct file **out)
{
    struct opening *o = opening_new(c);
    vmk_status status;

    if (!o)
        return VMK_NO_MEMORY;
    status = file_create(&console_ops, o, flags, out);
    if (status != VMK_OK) {
        console_put_ref(c);
        heap_free(o);
    }
    return status;
}

static vmk_status node_open(struct vfs_device_driver *driver, struct file *file)
{
    struct vm_console *c = driver->private;
    struct opening *o = opening_new(c);

    if (!o)
        return VMK_NO_MEMORY;
    file->ops = &console_ops;
    file->private = o;
    return VMK_OK;
}

/* ---- making and ending ---- */

static bool name_is_taken(const char *node)
{
    struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr;
    char path[64];

    (void)vmk_snprintf(path, sizeof(path), "/dev/%s", node);
    return vfs_stat(&where, path, 0, &attr) == VMK_OK;
}

static void name_node(struct vm_console *c, const char *vm_name)
{
    char name[32];
    size_t n = 0;

    for (; n < sizeof(name) - 1 && vm_name[n]; n++) {
        char ch = vm_name[n];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || (ch == '.' && n > 0);

        name[n] = plain ? ch : '_';
    }
    if (n == 0)
        name[n++] = '_';
    name[n] = 0;
    (void)vmk_snprintf(c->node, sizeof(c->node), "vm/%s/console", name);
    for (unsigned i = 2; i < NAMES_TRIED && name_is_taken(c->node); i++)
        (void)vmk_snprintf(c->node, sizeof(c->node), "vm/%s.%u/console", name, i);
}

vmk_status vm_console_create(const char *vm_name, struct vm_console **out)
{
    struct vm_console *c = heap_alloc(sizeof(*c), MEM_OWNER_FS);
    struct fs_state *fs = this_host()->fs;
    vmk_status status;

    if (!c)
        return VMK_NO_MEMORY;
    c->kept = heap_alloc(VM_CONSOLE_KEPT, MEM_OWNER_FS);
    if (!c->kept) {
        heap_free(c);
        return VMK_NO_MEMORY;
    }
    c->refs = 1;
    mutex_init(&c->line, "console line");
    spin_init(&c->lock, "console", LOCK_RANK_CONSOLE);
    fs_event_init(&c->changed, "console");
    poll_head_init(&c->poll, "console poll");
    *out = c;
    if (!fs || !fs->root)
        return VMK_OK;  // a host without files
    name_node(c, vm_name);
    c->driver = (struct vfs_device_driver){
        .name = c->node,
        .type = VFS_TYPE_CHAR,
        .mode = 0600,
        .device = vfs_device(CONSOLE_MAJOR,
                             __atomic_add_fetch(&fs->next_console, 1, __ATOMIC_RELAXED)),
        .open = node_open,
        .private = c,
    };
    status = vfs_device_register(&c->driver);
    c->has_node = status == VMK_OK;
    if (status != VMK_OK)
        console_put_ref(c);
    return status;
}

void vm_console_end(struct vm_console *c)
{
    bool irqs;

    if (!c)
        return;
    vm_console_attach(c, NULL, NULL);
    if (c->has_node)
        vfs_device_unregister(&c->driver);
    irqs = spin_lock(&c->lock);
    c->ended = true;
    spin_unlock(&c->lock, irqs);
    tell(c, VFS_POLLIN | VFS_POLLHUP | VFS_POLLOUT);
    console_put_ref(c);
}
