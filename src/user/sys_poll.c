// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_poll.c -- poll and select: wait until one of several files is ready.
 *
 * Invariants
 *   - Waiters are linked before the first look that decides to wait: no event is lost.
 *   - Files stay referenced while waiters are linked to their heads.
 * Locking    poller.queue (rank WAITQ) inside woken().
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define LOOK_AGAIN_NS 10000000ull
#define FDS_MAX       4096u

/* The caller's side of fs/vfs.h's poll. */
struct poller;

struct poll_waiter {
    struct poll_entry entry;
    struct poller *poller;
    struct list link;  // of those from the heap
    bool heap;
};

#define POLL_WAITERS_INSIDE 8u
struct poller {
    struct poll_table table;
    struct wait_queue queue;
    bool woken;   // (a)
    bool failed;  // no memory for a waiter: look again now and then
    unsigned used;
    struct list more;
    struct poll_waiter inside[POLL_WAITERS_INSIDE];
};

/* ---- the poller ---- */

static void woken(struct poll_entry *entry, unsigned events)
{
    struct poller *p = container_of(entry, struct poll_waiter, entry)->poller;

    (void)events;
    __atomic_store_n(&p->woken, true, __ATOMIC_RELEASE);
    (void)wait_queue_wake(&p->queue, 1);
}

static void add(struct poll_table *table, struct poll_head *head)
{
    struct poller *p = container_of(table, struct poller, table);
    struct poll_waiter *w;

    if (p->used < POLL_WAITERS_INSIDE) {
        w = &p->inside[p->used++];
    } else {
        w = heap_alloc(sizeof(*w), MEM_OWNER_USER);
        if (!w) {
            p->failed = true;
            return;
        }
        w->heap = true;
        list_init(&w->link);
        list_add_tail(&p->more, &w->link);
    }
    w->poller = p;
    list_init(&w->entry.link);
    w->entry.head = NULL;
    w->entry.woken = woken;
    poll_entry_add(head, &w->entry);
}

static void poller_init(struct poller *p)
{
    p->table.add = add;
    wait_queue_init(&p->queue, "poll");
    p->woken = false;
    p->failed = false;
    p->used = 0;
    list_init(&p->more);
    memset(p->inside, 0, sizeof(p->inside));
}

/* OK: look again. TIMEOUT, INTERRUPTED, KILLED as the wait queue says. */
static vmk_status poller_wait(struct poller *p, plat_ns deadline)
{
    vmk_status status = VMK_OK;
    plat_ns until = deadline;

    if (p->failed)
        until = MIN(deadline, plat_time_now() + LOOK_AGAIN_NS);
    for (;;) {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&p->queue.lock);
        if (__atomic_exchange_n(&p->woken, false, __ATOMIC_ACQUIRE) || status != VMK_OK) {
            spin_unlock_irqs_off(&p->queue.lock);
            plat_irq_restore(irqs);
            return status == VMK_TIMEOUT && until < deadline ? VMK_OK : status;
        }
        status = wait_queue_block_interruptible(&p->queue, until);
        plat_irq_restore(irqs);
    }
}

static void poller_end(struct poller *p)
{
    for (unsigned i = 0; i < p->used; i++)
        poll_entry_remove(&p->inside[i].entry);
    list_for_each_safe (node, after, &p->more) {
        struct poll_waiter *w = list_entry(node, struct poll_waiter, link);

        poll_entry_remove(&w->entry);
        list_remove(node);
        heap_free(w);
    }
}

/* ---- poll ---- */

struct poll_item {
    struct file *file;  // referenced; null: not open
    bool skip;          // negative descriptor
    unsigned events, got;
};

static unsigned scan(struct poll_item *items, unsigned count, struct poll_table *table)
{
    unsigned ready = 0;

    for (unsigned i = 0; i < count; i++) {
        struct poll_item *item = &items[i];

        if (item->skip)
            continue;
        if (!item->file)
            item->got = VFS_POLLNVAL;
        else
            item->got = file_poll(item->file, ready ? NULL : table) &
                        (item->events | VFS_POLLERR | VFS_POLLHUP);
        ready += item->got != 0;
    }
    return ready;
}

/* How many are ready, or minus an errno. */
static int64_t wait_items(struct poll_item *items, unsigned count, plat_ns deadline)
{
    struct poller *p = heap_alloc(sizeof(*p), MEM_OWNER_USER);
    struct poll_table *table;
    int64_t result = 0;

    if (!p)
        return -L_ENOMEM;
    poller_init(p);
    table = deadline ? &p->table : NULL;
    for (;;) {
        vmk_status status;

        result = scan(items, count, table);
        table = NULL;
        if (result || !deadline)
            break;
        status = poller_wait(p, deadline);
        if (status == VMK_TIMEOUT) {
            result = scan(items, count, NULL);
            break;
        }
        if (status != VMK_OK) {
            result = scan(items, count, NULL);
            if (!result)
                result = deadline == PLAT_NS_NEVER ? -L_ERESTARTNOHAND : -L_EINTR;
            break;
        }
    }
    poller_end(p);
    heap_free(p);
    return result;
}

static int64_t do_poll(struct thread *t, uint64_t at, uint64_t count, plat_ns deadline)
{
    struct l_pollfd *fds;
    struct poll_item *items;
    int64_t result;

    if (count > FDS_MAX)
        return -L_EINVAL;
    fds = heap_alloc((count + 1) * sizeof(*fds), MEM_OWNER_USER);
    items = heap_alloc((count + 1) * sizeof(*items), MEM_OWNER_USER);
    if (!fds || !items) {
        heap_free(fds);
        heap_free(items);
        return -L_ENOMEM;
    }
    result = user_in(t, fds, at, count * sizeof(*fds));
    if (!result) {
        for (unsigned i = 0; i < count; i++) {
            items[i].skip = fds[i].fd < 0;
            items[i].events = (uint16_t)fds[i].events;
            items[i].file = items[i].skip ? NULL : user_fd_get(t, (uint64_t)fds[i].fd);
        }
        result = wait_items(items, (unsigned)count, deadline);
        for (unsigned i = 0; i < count; i++) {
            fds[i].revents = (int16_t)items[i].got;
            file_put(items[i].file);
        }
        if (result >= 0 && user_out(t, at, fds, count * sizeof(*fds)))
            result = -L_EFAULT;
    }
    heap_free(fds);
    heap_free(items);
    return result;
}

/* 0: do not wait at all. */
static plat_ns deadline_ms(int32_t ms)
{
    return ms < 0 ? PLAT_NS_NEVER : ms == 0 ? 0 : deadline_after((plat_ns)ms * 1000000u);
}

int64_t sys_poll(struct thread *t, const uint64_t *a)
{
    return do_poll(t, a[0], a[1], deadline_ms((int32_t)a[2]));
}

/* A struct timespec or null. */
static int64_t deadline_in(struct thread *t, uint64_t at, plat_ns *deadline)
{
    plat_ns duration;
    int64_t error;

    *deadline = PLAT_NS_NEVER;
    if (!at)
        return 0;
    error = timespec_in(t, at, &duration);
    if (!error)
        *deadline = duration ? deadline_after(duration) : 0;
    return error;
}

/*
 * What is left until then, where the duration was read: Linux says so. One that cannot be
 * written back is no error.
 */
static void remaining_out(struct thread *t, uint64_t at, plat_ns deadline, plat_ns unit)
{
    plat_ns now = plat_time_now(), left = deadline > now ? deadline - now : 0;
    const int64_t pair[2] = {(int64_t)(left / 1000000000u),
                             (int64_t)(left % 1000000000u / unit)};  // timespec or timeval

    if (at && deadline != PLAT_NS_NEVER && deadline)
        (void)!user_out(t, at, pair, sizeof(pair));
}

int64_t sys_ppoll(struct thread *t, const uint64_t *a)
{
    plat_ns deadline;
    int64_t result = deadline_in(t, a[2], &deadline);

    if (!result)
        result = temporary_mask_begin(t, a[3], a[4]);
    if (result)
        return result;
    result = do_poll(t, a[0], a[1], deadline);
    remaining_out(t, a[2], deadline, 1);
    temporary_mask_end(t, result);
    return result;
}

/* ---- select ---- */

#define SELECT_IN     (VFS_POLLIN | VFS_POLLRDNORM | VFS_POLLHUP | VFS_POLLERR)
#define SELECT_OUT    (VFS_POLLOUT | VFS_POLLWRNORM | VFS_POLLERR)
#define SELECT_EXCEPT VFS_POLLPRI
#define SETS          3u

struct select_sets {
    uint64_t words[SETS][FDS_MAX / 64];
};

static bool is_set(const struct select_sets *s, unsigned set, unsigned fd)
{
    return s->words[set][fd / 64] >> (fd % 64) & 1;
}

static int64_t select_items(struct thread *t, struct select_sets *s, unsigned n,
                            plat_ns deadline)
{
    static const unsigned wanted[SETS] = {SELECT_IN, SELECT_OUT, SELECT_EXCEPT};
    struct poll_item *items = heap_alloc((n + 1) * sizeof(*items), MEM_OWNER_USER);
    int64_t result = 0;

    if (!items)
        return -L_ENOMEM;
    for (unsigned fd = 0; fd < n; fd++) {
        for (unsigned set = 0; set < SETS; set++)
            items[fd].events |= is_set(s, set, fd) ? wanted[set] : 0;
        items[fd].skip = !items[fd].events;
        if (items[fd].skip)
            continue;
        items[fd].file = user_fd_get(t, fd);
        if (!items[fd].file)
            result = -L_EBADF;
    }
    if (!result)
        result = wait_items(items, n, deadline);
    if (result >= 0) {
        result = 0;
        for (unsigned fd = 0; fd < n; fd++) {
            for (unsigned set = 0; set < SETS; set++) {
                if (!is_set(s, set, fd))
                    continue;
                if (items[fd].got & wanted[set])
                    result++;
                else
                    s->words[set][fd / 64] &= ~(1ull << (fd % 64));
            }
        }
    }
    for (unsigned fd = 0; fd < n; fd++)
        file_put(items[fd].file);
    heap_free(items);
    return result;
}

static int64_t do_select(struct thread *t, const uint64_t *a, plat_ns deadline)
{
    struct select_sets *s;
    uint64_t n = MIN(a[0] & UINT32_MAX, (uint64_t)FDS_MAX);
    size_t size = (size_t)(round_up(n, 64) / 8);
    int64_t result = 0;

    if ((int32_t)a[0] < 0)
        return -L_EINVAL;
    s = heap_alloc(sizeof(*s), MEM_OWNER_USER);
    if (!s)
        return -L_ENOMEM;
    for (unsigned set = 0; set < SETS && !result; set++) {
        if (a[1 + set])
            result = user_in(t, s->words[set], a[1 + set], size);
    }
    if (!result)
        result = select_items(t, s, (unsigned)n, deadline);
    for (unsigned set = 0; set < SETS && result >= 0; set++) {
        if (a[1 + set] && user_out(t, a[1 + set], s->words[set], size))
            result = -L_EFAULT;
    }
    heap_free(s);
    return result;
}

int64_t sys_select(struct thread *t, const uint64_t *a)
{
    plat_ns deadline = PLAT_NS_NEVER;
    struct l_timeval tv;

    if (a[4]) {
        if (user_in(t, &tv, a[4], sizeof(tv)))
            return -L_EFAULT;
        if (tv.sec < 0 || tv.usec < 0)
            return -L_EINVAL;
        deadline =
            tv.sec > 1000000000 ? PLAT_NS_NEVER
            : tv.sec || tv.usec
                ? deadline_after((plat_ns)tv.sec * 1000000000u + (plat_ns)tv.usec * 1000u)
                : 0;
    }

    int64_t result = do_select(t, a, deadline);

    remaining_out(t, a[4], deadline, 1000);
    return result;
}

int64_t sys_pselect6(struct thread *t, const uint64_t *a)
{
    uint64_t mask[2] = {0, 0};
    plat_ns deadline;
    int64_t result = deadline_in(t, a[4], &deadline);

    if (!result && a[5])
        result = user_in(t, mask, a[5], sizeof(mask));
    if (!result)
        result = temporary_mask_begin(t, mask[0], mask[1]);
    if (result)
        return result;
    result = do_select(t, a, deadline);
    remaining_out(t, a[4], deadline, 1);
    temporary_mask_end(t, result);
    return result;
}
