// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/epoll.c -- epoll: a set of files that remembers which became ready.
 *
 * Each watched file has an item whose poll entries stay linked to the file's heads; an event
 * puts the item on the ready list and wakes who waits. epoll_wait takes items off the list,
 * asks the file what really holds, and puts level-triggered ones that still hold back.
 *
 * An epoll may watch another. Who watches it is told from a timer that rings at once: an event
 * comes with the lock of a poll head held, and the next head has the same rank.
 *
 * A file may go while it is watched: file_watch tells, and the item is unlinked there, before
 * the file's heads are gone.
 *
 * Invariants
 *   - An item is on the ready list at most once; `ready` says so.
 *   - An item is freed by whoever takes it off the tree list under epoll.lock.
 * Locking    user.epoll_nesting, then epoll.mutex (sleeping) for the items, of a watching epoll
 *            before the watched one; epoll.lock (rank EPOLL) for the ready list.
 * Start at   on_event(), collect().
 * Sources    epoll(7)
 */
#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define ENTRIES_PER_ITEM 4u
#define EVENTS_MAX       1024u
#define LEVELS_MAX       5u  // epolls in a chain
#define ALWAYS           (VFS_POLLERR | VFS_POLLHUP)

struct epoll_item;

struct item_entry {
    struct poll_entry entry;
    struct epoll_item *item;
};

struct epoll_item {
    struct epoll *epoll;
    struct file *file;  // not referenced: the watch says when it goes
    uint32_t fd;
    struct file_watch watch;
    struct list link;        // epoll.mutex
    struct list ready_link;  // epoll.lock
    bool ready;              // epoll.lock
    bool gone;               // epoll.mutex
    uint32_t events;         // epoll.lock; with the EPOLL* flags
    uint64_t data;           // epoll.lock
    unsigned used;
    struct item_entry entries[ENTRIES_PER_ITEM];
};

struct epoll {
    struct mutex mutex;
    struct spinlock lock;  // rank EPOLL
    struct list items;     // mutex
    struct list ready;     // lock
    struct wait_queue queue;
    struct poll_head head;
    struct timer tell;  // notifies head
    bool watched;       // (a) somebody was on head, ever
    unsigned above;     // user.epoll_nesting; epolls on the way to here, at least
};

static void mark_ready_locked(struct epoll_item *item)
{
    if (item->ready || !(item->events & ~(L_EPOLLET | L_EPOLLONESHOT)))
        return;
    item->ready = true;
    list_add_tail(&item->epoll->ready, &item->ready_link);
}

static void on_event(struct poll_entry *entry, unsigned events)
{
    struct epoll_item *item = container_of(entry, struct item_entry, entry)->item;
    struct epoll *e = item->epoll;
    bool irqs = spin_lock(&e->lock);
    bool wanted = (events & (item->events | ALWAYS)) != 0;

    if (wanted) {
        mark_ready_locked(item);
        if (__atomic_load_n(&e->watched, __ATOMIC_SEQ_CST))
            timer_arm(&e->tell, plat_time_now());
    }
    spin_unlock(&e->lock, irqs);
    if (wanted)
        (void)wait_queue_wake(&e->queue, 1);
}

static void tell(struct timer *timer)
{
    struct epoll *e = timer->owner;

    poll_notify(&e->head, VFS_POLLIN | VFS_POLLRDNORM);
}

struct item_table {
    struct poll_table table;
    struct epoll_item *item;
};

static void item_add_head(struct poll_table *table, struct poll_head *head)
{
    struct epoll_item *item = container_of(table, struct item_table, table)->item;
    struct item_entry *entry;

    if (item->used == ENTRIES_PER_ITEM)
        return;
    entry = &item->entries[item->used++];
    entry->item = item;
    list_init(&entry->entry.link);
    entry->entry.woken = on_event;
    poll_entry_add(head, &entry->entry);
}

static void item_unlink_entries(struct epoll_item *item)
{
    for (unsigned i = 0; i < item->used; i++)
        poll_entry_remove(&item->entries[i].entry);
    item->used = 0;
}

/* Off both lists. Mutex held. */
static void item_unlink(struct epoll_item *item)
{
    struct epoll *e = item->epoll;
    bool irqs = spin_lock(&e->lock);

    item->events = 0;
    if (item->ready) {
        item->ready = false;
        list_remove(&item->ready_link);
    }
    spin_unlock(&e->lock, irqs);
    list_remove(&item->link);
}

/* The watched file's last reference went. */
static void file_gone(struct file_watch *watch)
{
    struct epoll_item *item = container_of(watch, struct epoll_item, watch);
    struct epoll *e = item->epoll;

    mutex_lock(&e->mutex);
    item_unlink_entries(item);
    item_unlink(item);
    mutex_unlock(&e->mutex);
    heap_free(item);
}

static struct epoll_item *find(struct epoll *e, const struct file *file, uint32_t fd)
{
    list_for_each (node, &e->items) {
        struct epoll_item *item = list_entry(node, struct epoll_item, link);

        if (item->file == file && item->fd == fd)
            return item;
    }
    return NULL;
}

/* ---- the file ---- */

/* Does any item on the ready list hold? Those that do not are taken off. Mutex held. */
static bool any_ready(struct epoll *e)
{
    for (;;) {
        struct epoll_item *item;
        uint32_t wanted;
        bool irqs = spin_lock(&e->lock);

        if (list_is_empty(&e->ready)) {
            spin_unlock(&e->lock, irqs);
            return false;
        }
        item = list_entry(e->ready.next, struct epoll_item, ready_link);
        list_remove(&item->ready_link);
        item->ready = false;
        wanted = item->events;
        spin_unlock(&e->lock, irqs);
        if (!(wanted & ~(L_EPOLLET | L_EPOLLONESHOT)) ||
            !(file_poll(item->file, NULL) & (wanted | ALWAYS)))
            continue;
        irqs = spin_lock(&e->lock);
        if (!item->ready) {
            item->ready = true;
            list_add_head(&e->ready, &item->ready_link);
        }
        spin_unlock(&e->lock, irqs);
        return true;
    }
}

static unsigned epoll_poll(struct file *file, struct poll_table *table)
{
    struct epoll *e = file->private;
    bool ready;

    if (table)
        __atomic_store_n(&e->watched, true, __ATOMIC_SEQ_CST);
    poll_wait_on(table, &e->head);
    mutex_lock(&e->mutex);
    ready = any_ready(e);
    mutex_unlock(&e->mutex);
    return ready ? VFS_POLLIN | VFS_POLLRDNORM : 0;
}

static void epoll_release(struct file *file)
{
    struct epoll *e = file->private;

    for (;;) {
        struct epoll_item *item = NULL;

        mutex_lock(&e->mutex);
        if (!list_is_empty(&e->items)) {
            item = list_entry(e->items.next, struct epoll_item, link);
            if (file_watch_remove(item->file, &item->watch)) {
                item_unlink_entries(item);
                item_unlink(item);
            } else {
                item = NULL;  // its file goes just now: file_gone() frees it
            }
        } else {
            mutex_unlock(&e->mutex);
            break;
        }
        mutex_unlock(&e->mutex);
        if (item)
            heap_free(item);
        else
            world_yield();
    }
    timer_cancel(&e->tell);
    heap_free(e);
}

static int epoll_describe(struct file *file, char *out, size_t size)
{
    (void)file;
    return vmk_snprintf(out, size, "anon_inode:[eventpoll]");
}

static const struct file_ops epoll_ops = {
    .poll = epoll_poll,
    .describe = epoll_describe,
    .release = epoll_release,
};

int64_t sys_epoll_create1(struct thread *t, const uint64_t *a)
{
    struct epoll *e;
    struct file *file;
    vmk_status status;

    if (a[0] & ~(uint64_t)VFS_O_CLOEXEC)
        return -L_EINVAL;
    e = heap_alloc(sizeof(*e), MEM_OWNER_USER);
    if (!e)
        return -L_ENOMEM;
    mutex_init(&e->mutex, "epoll");
    spin_init(&e->lock, "epoll", LOCK_RANK_EPOLL);
    list_init(&e->items);
    list_init(&e->ready);
    wait_queue_init(&e->queue, "epoll");
    poll_head_init(&e->head, "epoll");
    timer_init(&e->tell, tell, e);
    status = file_create(&epoll_ops, e, VFS_O_RDWR, &file);
    if (status != VMK_OK) {
        heap_free(e);
        return user_errno(status);
    }
    return user_fd_install(t, file, 0, a[0] & VFS_O_CLOEXEC);
}

int64_t sys_epoll_create(struct thread *t, const uint64_t *a)
{
    const uint64_t none = 0;

    return (int32_t)a[0] <= 0 ? -L_EINVAL : sys_epoll_create1(t, &none);
}

/* ---- control ---- */

static int64_t item_new(struct epoll *e, struct file *file, uint32_t fd,
                        const struct l_epoll_event *event)
{
    struct epoll_item *item = heap_alloc(sizeof(*item), MEM_OWNER_USER);
    struct item_table table = {{item_add_head}, item};
    unsigned now;

    if (!item)
        return -L_ENOMEM;
    item->epoll = e;
    item->file = file;
    item->fd = fd;
    item->events = event->events;
    item->data = event->data;
    item->watch.gone = file_gone;
    list_init(&item->link);
    list_init(&item->ready_link);
    list_add_tail(&e->items, &item->link);
    file_watch_add(file, &item->watch);
    now = file_poll(file, &table.table);
    if (now & (event->events | ALWAYS))
        on_event(&(struct item_entry){.item = item}.entry, now);
    return 0;
}

static void item_change(struct epoll_item *item, const struct l_epoll_event *event)
{
    struct epoll *e = item->epoll;
    bool irqs = spin_lock(&e->lock);
    unsigned now;

    item->events = event->events;
    item->data = event->data;
    spin_unlock(&e->lock, irqs);
    now = file_poll(item->file, NULL);
    if (now & (event->events | ALWAYS))
        on_event(&(struct item_entry){.item = item}.entry, now);
}

static int64_t control(struct epoll *e, int op, struct file *file, uint32_t fd,
                       const struct l_epoll_event *event)
{
    struct epoll_item *item, *dead = NULL;
    int64_t result = 0;

    mutex_lock(&e->mutex);
    item = find(e, file, fd);
    switch (op) {
    case L_EPOLL_CTL_ADD: result = item ? -L_EEXIST : item_new(e, file, fd, event); break;
    case L_EPOLL_CTL_MOD:
        if (item)
            item_change(item, event);
        else
            result = -L_ENOENT;
        break;
    case L_EPOLL_CTL_DEL:
        if (!item || !file_watch_remove(file, &item->watch)) {
            result = -L_ENOENT;
            break;
        }
        item_unlink_entries(item);
        item_unlink(item);
        dead = item;
        break;
    default: result = -L_EINVAL; break;
    }
    mutex_unlock(&e->mutex);
    heap_free(dead);
    return result;
}

/* The longest chain of epolls from here on; LEVELS_MAX + 1 also if `to` is on it. */
static unsigned levels(struct epoll *e, const struct epoll *to, unsigned sofar)
{
    unsigned longest = sofar;

    if (e == to || sofar > LEVELS_MAX)
        return LEVELS_MAX + 1;
    mutex_lock(&e->mutex);
    list_for_each (node, &e->items) {
        struct file *file = list_entry(node, struct epoll_item, link)->file;

        if (file->ops == &epoll_ops)  // it cannot go: file_gone() waits for the mutex
            longest = MAX(longest, levels(file->private, to, sofar + 1));
    }
    mutex_unlock(&e->mutex);
    return longest;
}

/* `e` and what is below it are that far down now. */
static void push_down(struct epoll *e, unsigned above)
{
    e->above = MAX(e->above, above);
    mutex_lock(&e->mutex);
    list_for_each (node, &e->items) {
        struct file *file = list_entry(node, struct epoll_item, link)->file;

        if (file->ops == &epoll_ops)
            push_down(file->private, above + 1);
    }
    mutex_unlock(&e->mutex);
}

/* Adds an epoll to another, if that makes no circle and no chain of more than LEVELS_MAX. */
static int64_t add_epoll(struct epoll *e, struct file *file, uint32_t fd,
                         const struct l_epoll_event *event)
{
    struct user_state *user = user_state();
    struct epoll *below = file->private;
    int64_t result = -L_ELOOP;

    mutex_lock(&user->epoll_nesting);
    if (e->above + 1 + levels(below, e, 1) <= LEVELS_MAX)
        result = control(e, L_EPOLL_CTL_ADD, file, fd, event);
    if (!result)
        push_down(below, e->above + 1);
    mutex_unlock(&user->epoll_nesting);
    return result;
}

int64_t sys_epoll_ctl(struct thread *t, const uint64_t *a)
{
    struct file *epoll = user_fd_get(t, a[0]), *file = user_fd_get(t, a[2]);
    struct l_epoll_event event = {0};
    int64_t result = 0;

    if (!epoll || !file)
        result = -L_EBADF;
    else if (epoll->ops != &epoll_ops || epoll == file)
        result = -L_EINVAL;
    else if (!file->ops->poll)
        result = -L_EPERM;
    else if ((int)a[1] != L_EPOLL_CTL_DEL)
        result = user_in(t, &event, a[3], sizeof(event));
    if (!result && file->ops == &epoll_ops && (int)a[1] == L_EPOLL_CTL_ADD)
        result = add_epoll(epoll->private, file, (uint32_t)a[2], &event);
    else if (!result)
        result = control(epoll->private, (int)a[1], file, (uint32_t)a[2], &event);
    file_put(file);
    file_put(epoll);
    return result;
}

/* ---- waiting ---- */

/*
 * Takes up to `room` events; level-triggered items that still hold go back to the end. Mutex
 * held.
 */
static unsigned collect(struct epoll *e, struct l_epoll_event *out, unsigned room)
{
    struct list again;
    unsigned count = 0;

    list_init(&again);
    while (count < room) {
        struct epoll_item *item;
        uint32_t wanted;
        uint64_t data;
        unsigned now;
        bool irqs = spin_lock(&e->lock);

        if (list_is_empty(&e->ready)) {
            spin_unlock(&e->lock, irqs);
            break;
        }
        item = list_entry(e->ready.next, struct epoll_item, ready_link);
        list_remove(&item->ready_link);
        item->ready = false;
        wanted = item->events;
        data = item->data;
        spin_unlock(&e->lock, irqs);

        now = file_poll(item->file, NULL) & (wanted | ALWAYS);
        if (!now || !(wanted & ~(L_EPOLLET | L_EPOLLONESHOT)))
            continue;
        out[count++] = (struct l_epoll_event){now, data};
        irqs = spin_lock(&e->lock);
        if (wanted & L_EPOLLONESHOT)
            item->events &= L_EPOLLET | L_EPOLLONESHOT;
        else if (!(wanted & L_EPOLLET) && !item->ready) {
            item->ready = true;
            list_add_tail(&again, &item->ready_link);
        }
        spin_unlock(&e->lock, irqs);
    }

    bool irqs = spin_lock(&e->lock);

    while (!list_is_empty(&again)) {
        struct list *node = again.next;

        list_remove(node);
        list_add_tail(&e->ready, node);
    }
    spin_unlock(&e->lock, irqs);
    return count;
}

/* Until the ready list has something. */
static vmk_status wait_ready(struct epoll *e, plat_ns deadline)
{
    bool irqs = plat_irq_save();
    vmk_status status = VMK_OK;

    for (;;) {
        spin_lock_irqs_off(&e->lock);

        bool ready = !list_is_empty(&e->ready);

        if (ready || status != VMK_OK) {
            spin_unlock_irqs_off(&e->lock);
            break;
        }
        spin_lock_irqs_off(&e->queue.lock);
        spin_unlock_irqs_off(&e->lock);
        status = wait_queue_block_interruptible(&e->queue, deadline);
    }
    plat_irq_restore(irqs);
    return status;
}

static plat_ns deadline_of_ms(int32_t ms)
{
    return ms < 0 ? PLAT_NS_NEVER : ms ? deadline_after((plat_ns)ms * 1000000u) : 0;
}

static int64_t do_epoll_wait(struct thread *t, const uint64_t *a, plat_ns deadline)
{
    struct file *file = user_fd_get(t, a[0]);
    unsigned room = (unsigned)MIN((uint64_t)(uint32_t)a[2], (uint64_t)EVENTS_MAX);
    struct l_epoll_event *events = NULL;
    struct epoll *e;
    int64_t result = 0;

    if (!file)
        return -L_EBADF;
    if (file->ops != &epoll_ops || (int32_t)a[2] <= 0)
        result = -L_EINVAL;
    else if (!(events = heap_alloc(room * sizeof(*events), MEM_OWNER_USER)))
        result = -L_ENOMEM;
    e = file->private;
    while (!result) {
        vmk_status status = VMK_TIMEOUT;

        mutex_lock(&e->mutex);
        result = collect(e, events, room);
        mutex_unlock(&e->mutex);
        if (result)
            break;
        if (deadline)
            status = wait_ready(e, deadline);
        if (status == VMK_TIMEOUT)
            break;
        if (status != VMK_OK)
            result = -L_EINTR;
    }
    if (result > 0 && user_out(t, a[1], events, (size_t)result * sizeof(*events)))
        result = -L_EFAULT;
    heap_free(events);
    file_put(file);
    return result;
}

int64_t sys_epoll_wait(struct thread *t, const uint64_t *a)
{
    return do_epoll_wait(t, a, deadline_of_ms((int32_t)a[3]));
}

static int64_t masked_wait(struct thread *t, const uint64_t *a, plat_ns deadline)
{
    int64_t result = temporary_mask_begin(t, a[4], a[5]);

    if (result)
        return result;
    result = do_epoll_wait(t, a, deadline);
    temporary_mask_end(t, result);
    return result;
}

int64_t sys_epoll_pwait(struct thread *t, const uint64_t *a)
{
    return masked_wait(t, a, deadline_of_ms((int32_t)a[3]));
}

int64_t sys_epoll_pwait2(struct thread *t, const uint64_t *a)
{
    plat_ns deadline = PLAT_NS_NEVER, duration;

    if (a[3]) {
        int64_t error = timespec_in(t, a[3], &duration);

        if (error)
            return error;
        deadline = duration ? deadline_after(duration) : 0;
    }
    return masked_wait(t, a, deadline);
}
