// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/inotify.c -- inotify(7): a file from which a program reads what happens to files it watches.
 *
 * fs/notify.c tells each watch; here what is told becomes an event in the queue of its
 * instance, with the watch's number and, if it is of something in a directory, a name. An event
 * that says what the last one says is left out. A queue that is full says so once and loses the
 * rest.
 *
 * Invariants
 *   - An instance has one watch per object at most.
 *   - instance.bytes is what a read of everything would give.
 * Locking    the notify lock (rank VFS) for instances and watches; instance.wait.lock (rank
 *            WAITQ) for its queue, which may be taken under it.
 * Start at   sys_inotify_add_watch(), tell().
 * Sources    inotify(7)
 */
#include "core/log.h"
#include "fs/notify.h"
#include "fs/proc/procfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define ONLYDIR     0x01000000u
#define DONT_FOLLOW 0x02000000u
#define MASK_CREATE 0x10000000u
#define MASK_ADD    0x20000000u
#define KNOWN                                                                                  \
    (NOTIFY_ALL | NOTIFY_UNMOUNT | NOTIFY_OVERFLOW | NOTIFY_IGNORED | ONLYDIR | DONT_FOLLOW |  \
     NOTIFY_EXCL_UNLINK | MASK_ADD | NOTIFY_DIR | NOTIFY_ONESHOT)
#define FIONREAD      0x541bu

#define EVENTS_MAX    4096u
#define BYTES_MAX     (256u << 10)  // of events in one queue
#define INSTANCES_MAX 128u          // of a user
#define WATCHES_MAX   8192u         // of a user

/* What a read gives: the name behind it, with NULs up to `length`. */
struct l_inotify_event {
    int32_t watch;
    uint32_t mask, cookie, length;
};

struct event {
    struct list link;
    struct l_inotify_event head;
    char name[];
};

struct instance {
    struct list link;           // notify lock
    struct list watches;        // notify lock
    int32_t last_number;        // notify lock
    uint32_t uid, watch_count;  // notify lock
    struct poll_head poll;
    struct wait_queue wait;
    struct list events;     // wait.lock
    uint32_t count, bytes;  // wait.lock
    bool overflowed;        // wait.lock; and nothing was read since
};

struct watch {
    struct vfs_watch vfs;
    struct list link;  // notify lock
    struct instance *instance;
    int32_t number;
};

static struct instance *instance_of(const struct file *file)
{
    return file->private;
}

/* ---- the queue ---- */

static bool says_the_same(const struct event *a, const struct event *b)
{
    return a->head.watch == b->head.watch && a->head.mask == b->head.mask &&
           a->head.cookie == b->head.cookie && a->head.length == b->head.length &&
           memcmp(a->name, b->name, a->head.length) == 0;
}

static struct event *event_make(int32_t number, const struct vfs_notice *notice)
{
    const uint32_t unit = sizeof(struct l_inotify_event);
    uint32_t length = notice->name ? (uint32_t)round_up(notice->length + 1, unit) : 0;
    struct event *e = heap_alloc(sizeof(*e) + length, MEM_OWNER_USER);

    if (!e)
        return NULL;
    e->head = (struct l_inotify_event){number, notice->what, notice->cookie, length};
    if (length)
        memcpy(e->name, notice->name, notice->length);
    return e;
}

/* Puts it behind the others, or frees it: there is one like it, or no room. wait.lock held. */
static void append_locked(struct instance *in, struct event *e)
{
    const uint32_t size = (uint32_t)sizeof(e->head) + e->head.length;
    const bool empty = list_is_empty(&in->events);

    if ((!empty && says_the_same(list_entry(in->events.prev, struct event, link), e)) ||
        (e->head.mask != NOTIFY_OVERFLOW &&
         (in->overflowed || in->count >= EVENTS_MAX || in->bytes + size > BYTES_MAX))) {
        heap_free(e);
        return;
    }
    list_add_tail(&in->events, &e->link);
    in->count++;
    in->bytes += size;
}

static void queue_event(struct instance *in, int32_t number, const struct vfs_notice *notice)
{
    struct event *e = event_make(number, notice);
    struct event *over = NULL;
    bool irqs = spin_lock(&in->wait.lock);
    bool full = !e || in->count >= EVENTS_MAX || in->bytes + 512 > BYTES_MAX;

    if (full && !in->overflowed)
        over = event_make(-1, &(struct vfs_notice){.what = NOTIFY_OVERFLOW});
    if (over) {
        append_locked(in, over);
        in->overflowed = true;
    }
    if (e)
        append_locked(in, e);
    spin_unlock(&in->wait.lock, irqs);
    (void)wait_queue_wake(&in->wait, WAIT_QUEUE_ALL);
    poll_notify(&in->poll, VFS_POLLIN | VFS_POLLRDNORM);
}

/* Off the instance; the vfs part is unlinked already. Notify lock held. */
static void watch_free_locked(struct watch *w)
{
    list_remove(&w->link);
    w->instance->watch_count--;
    heap_free(w);
}

static void tell(struct vfs_watch *vfs, const struct vfs_notice *notice)
{
    struct watch *w = container_of(vfs, struct watch, vfs);

    queue_event(w->instance, w->number, notice);
    if (notice->what & NOTIFY_IGNORED)
        watch_free_locked(w);
}

/* ---- the file ---- */

/* As many whole events as there is room for. wait.lock held. */
static void take_locked(struct instance *in, struct vfs_iov *iov)
{
    while (!list_is_empty(&in->events)) {
        struct event *e = list_entry(in->events.next, struct event, link);
        size_t size = sizeof(e->head) + e->head.length;

        if (iov->size - iov->done < size)
            break;
        memcpy((uint8_t *)iov->to + iov->done, &e->head, sizeof(e->head));
        memcpy((uint8_t *)iov->to + iov->done + sizeof(e->head), e->name, e->head.length);
        iov->done += size;
        in->count--;
        in->bytes -= (uint32_t)size;
        in->overflowed = false;
        list_remove(&e->link);
        heap_free(e);
    }
}

static vmk_status inotify_read(struct file *file, struct vfs_iov *iov)
{
    struct instance *in = instance_of(file);
    vmk_status status = VMK_OK;
    bool irqs = plat_irq_save();

    spin_lock_irqs_off(&in->wait.lock);
    while (list_is_empty(&in->events) && !iov->nonblock && status == VMK_OK) {
        status = wait_queue_block_interruptible(&in->wait, PLAT_NS_NEVER);
        spin_lock_irqs_off(&in->wait.lock);
    }
    if (list_is_empty(&in->events)) {
        status = status == VMK_OK ? VMK_AGAIN : status;
    } else {
        take_locked(in, iov);
        status = iov->done ? VMK_OK : VMK_BAD_PARAM;
    }
    spin_unlock(&in->wait.lock, irqs);
    return status;
}

static unsigned inotify_poll(struct file *file, struct poll_table *table)
{
    struct instance *in = instance_of(file);
    bool irqs, ready;

    poll_wait_on(table, &in->poll);
    irqs = spin_lock(&in->wait.lock);
    ready = !list_is_empty(&in->events);
    spin_unlock(&in->wait.lock, irqs);
    return ready ? VFS_POLLIN | VFS_POLLRDNORM : 0;
}

static vmk_status inotify_ioctl(struct file *file, uint32_t request, uint64_t argument,
                                void *data)
{
    struct instance *in = instance_of(file);
    bool irqs;
    int32_t bytes;

    (void)argument;
    if (request != FIONREAD)
        return VMK_NOT_TTY;
    irqs = spin_lock(&in->wait.lock);
    bytes = (int32_t)in->bytes;
    spin_unlock(&in->wait.lock, irqs);
    memcpy(data, &bytes, sizeof(bytes));
    return VMK_OK;
}

static int inotify_describe(struct file *file, char *out, size_t size)
{
    (void)file;
    return vmk_snprintf(out, size, "anon_inode:inotify");
}

/* A watch of the instance, off everything, or null. */
static struct watch *watch_take(struct instance *in, int32_t number, bool any)
{
    struct watch *found = NULL;
    bool irqs = notify_lock();

    list_for_each (node, &in->watches) {
        struct watch *w = list_entry(node, struct watch, link);

        if (any || w->number == number) {
            found = w;
            notify_watch_remove_locked(&w->vfs);
            list_remove(&w->link);
            in->watch_count--;
            break;
        }
    }
    notify_unlock(irqs);
    return found;
}

static void watch_drop(struct watch *w)
{
    vnode_put(w->vfs.vnode);
    heap_free(w);
}

static void inotify_release(struct file *file)
{
    struct instance *in = instance_of(file);
    struct watch *w;
    bool irqs;

    while ((w = watch_take(in, 0, true)))
        watch_drop(w);
    irqs = notify_lock();
    list_remove(&in->link);
    notify_unlock(irqs);
    list_for_each_safe (node, after, &in->events) {
        list_remove(node);
        heap_free(list_entry(node, struct event, link));
    }
    heap_free(in);
}

static const struct file_ops inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .describe = inotify_describe,
    .release = inotify_release,
};

/* ---- the calls ---- */

/* What instances of that user there are, and their watches together. Notify lock held. */
static uint32_t count_locked(uint32_t uid, uint32_t *watches)
{
    uint32_t instances = 0;

    *watches = 0;
    list_for_each (node, &user_state()->inotifies) {
        const struct instance *in = list_entry(node, struct instance, link);

        if (in->uid == uid) {
            instances++;
            *watches += in->watch_count;
        }
    }
    return instances;
}

static struct instance *instance_make(struct thread *t, int64_t *error)
{
    struct instance *in = heap_alloc(sizeof(*in), MEM_OWNER_USER);
    uint32_t watches;
    bool irqs;

    *error = -L_ENOMEM;
    if (!in)
        return NULL;
    in->uid = t->process->uid;
    list_init(&in->watches);
    list_init(&in->events);
    wait_queue_init(&in->wait, "inotify");
    poll_head_init(&in->poll, "inotify");
    irqs = notify_lock();
    *error = count_locked(in->uid, &watches) >= INSTANCES_MAX ? -L_EMFILE : 0;
    if (!*error)
        list_add_tail(&user_state()->inotifies, &in->link);
    notify_unlock(irqs);
    if (!*error)
        return in;
    heap_free(in);
    return NULL;
}

int64_t sys_inotify_init1(struct thread *t, const uint64_t *a)
{
    struct instance *in;
    struct file *file;
    vmk_status status;
    int64_t error;
    bool irqs;

    if (a[0] & ~(uint64_t)(VFS_O_CLOEXEC | VFS_O_NONBLOCK))
        return -L_EINVAL;
    in = instance_make(t, &error);
    if (!in)
        return error;
    status = file_create(&inotify_ops, in, (uint32_t)a[0] & VFS_O_NONBLOCK, &file);
    if (status == VMK_OK)
        return user_fd_install(t, file, 0, a[0] & VFS_O_CLOEXEC);
    irqs = notify_lock();
    list_remove(&in->link);
    notify_unlock(irqs);
    heap_free(in);
    return user_errno(status);
}

int64_t sys_inotify_init(struct thread *t, const uint64_t *a)
{
    const uint64_t none[6] = {0};

    (void)a;
    return sys_inotify_init1(t, none);
}

/* The file of a descriptor, if it is one of these; else *error says why. */
static struct file *inotify_get(struct thread *t, uint64_t fd, int64_t *error)
{
    struct file *file = user_fd_get(t, fd);

    *error = !file ? -L_EBADF : file->ops != &inotify_ops ? -L_EINVAL : 0;
    if (!*error)
        return file;
    file_put(file);
    return NULL;
}

static struct watch *find_locked(struct instance *in, const struct vnode *vnode)
{
    struct vfs_watch *vfs = NULL;

    while ((vfs = notify_watch_next_locked(vnode, vfs))) {
        struct watch *w = container_of(vfs, struct watch, vfs);

        if (vfs->tell == tell && w->instance == in)
            return w;
    }
    return NULL;
}

/* Changes the watch that is there, or puts `fresh` there. Its number, or minus an errno. */
static int64_t watch_set(struct instance *in, struct vnode *vnode, uint32_t mask,
                         struct watch **fresh)
{
    const uint32_t kept = mask & (NOTIFY_ALL | NOTIFY_EXCL_UNLINK | NOTIFY_ONESHOT);
    bool irqs = notify_lock();
    struct watch *w = find_locked(in, vnode);
    int64_t result = 0;
    uint32_t watches;

    if (w && (mask & MASK_CREATE)) {
        result = -L_EEXIST;
    } else if (w) {
        w->vfs.mask = mask & MASK_ADD ? w->vfs.mask | kept : kept;
    } else if (count_locked(in->uid, &watches), watches >= WATCHES_MAX) {
        result = -L_ENOSPC;
    } else {
        w = *fresh;
        *fresh = NULL;
        w->vfs = (struct vfs_watch){.vnode = vnode, .mask = kept, .tell = tell};
        list_init(&w->vfs.vnode_link);
        list_init(&w->vfs.all_link);
        w->instance = in;
        w->number = in->last_number == INT32_MAX ? 1 : in->last_number + 1;
        in->last_number = w->number;
        in->watch_count++;
        list_add_tail(&in->watches, &w->link);
        notify_watch_add_locked(&w->vfs);
    }
    if (!result)
        result = w->number;
    notify_unlock(irqs);
    return result;
}

int64_t sys_inotify_add_watch(struct thread *t, const uint64_t *a)
{
    uint32_t mask = (uint32_t)a[2];
    struct vnode *vnode = NULL;
    struct watch *fresh;
    struct file *file;
    int64_t error;

    if (!(mask & KNOWN) || (mask & ~(uint32_t)(KNOWN | MASK_CREATE)) ||
        (mask & (MASK_ADD | MASK_CREATE)) == (MASK_ADD | MASK_CREATE))
        return -L_EINVAL;
    file = inotify_get(t, a[0], &error);
    if (!file)
        return error;
    error = path_vnode(t, L_AT_FDCWD, a[1], false,
                       (mask & DONT_FOLLOW ? VFS_WALK_NOFOLLOW : 0) |
                           (mask & ONLYDIR ? VFS_WALK_DIRECTORY : 0),
                       &vnode);
    if (!error)
        error = user_errno(vnode_access(vnode, VFS_MAY_READ, &t->process->cred));
    if (!error) {
        fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_USER);
        error = fresh ? watch_set(instance_of(file), vnode, mask, &fresh) : -L_ENOMEM;
        heap_free(fresh);
    }
    vnode_put(vnode);
    file_put(file);
    return error;
}

int64_t sys_inotify_rm_watch(struct thread *t, const uint64_t *a)
{
    struct file *file;
    struct watch *w;
    int64_t error;

    file = inotify_get(t, a[0], &error);
    if (!file)
        return error;
    w = watch_take(instance_of(file), (int32_t)a[1], false);
    if (w) {
        queue_event(w->instance, w->number, &(struct vfs_notice){.what = NOTIFY_IGNORED});
        watch_drop(w);
    }
    file_put(file);
    return w ? 0 : -L_EINVAL;
}

static vmk_status show_number(struct procfs_text *out, void *argument)
{
    procfs_printf(out, "%u\n", *(const uint32_t *)argument);
    return VMK_OK;
}

void inotify_init(void)
{
    static const uint32_t events = EVENTS_MAX, instances = INSTANCES_MAX, watches = WATCHES_MAX;
    static const struct {
        const char *path;
        const uint32_t *number;
    } files[] = {{"sys/fs/inotify/max_queued_events", &events},
                 {"sys/fs/inotify/max_user_instances", &instances},
                 {"sys/fs/inotify/max_user_watches", &watches}};

    list_init(&user_state()->inotifies);
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        if (procfs_register(files[i].path, show_number, NULL, (void *)files[i].number) !=
            VMK_OK)
            vmk_log(VMK_LOG_WARN, "User: no /proc/%s", files[i].path);
    }
}
