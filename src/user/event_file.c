// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/event_file.c -- files that are a number: eventfd and timerfd.
 *
 * Invariants
 *   - An eventfd's value is at most UINT64_MAX - 1.
 *   - A timerfd's expirations are counted in its callback or when somebody looks, never twice.
 * Locking    event.queue.lock (rank WAITQ) for the value; poll heads are notified without it.
 */
#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

struct event {
    struct wait_queue queue;
    struct poll_head head;
    uint64_t value;  // queue.lock; a timer's expirations
    bool semaphore;
    // Timers.
    bool is_timer;
    int clock;
    struct timer timer;
    plat_ns at, interval;      // queue.lock; at 0: disarmed
    plat_ns wall_at;           // queue.lock; 0: not a moment of the wall clock
    struct clock_watch watch;  // from the first such moment until the file is closed
};

static struct event *event_of(struct file *file)
{
    return file->private;
}

static struct event *event_create(bool is_timer)
{
    struct event *e = heap_alloc(sizeof(*e), MEM_OWNER_USER);

    if (e) {
        wait_queue_init(&e->queue, is_timer ? "timerfd" : "eventfd");
        poll_head_init(&e->head, is_timer ? "timerfd" : "eventfd");
        e->is_timer = is_timer;
    }
    return e;
}

static void wake_all(struct event *e, unsigned events)
{
    (void)wait_queue_wake(&e->queue, WAIT_QUEUE_ALL);
    poll_notify(&e->head, events);
}

/* The same by a clock that says `now`: *due is when it is due. */
static void timer_count_by(struct event *e, plat_ns *due, plat_ns now)
{
    if (!*due || *due > now)
        return;
    if (e->interval) {
        uint64_t times = (now - *due) / e->interval + 1;

        e->value += times;
        *due += times * e->interval;
    } else {
        e->value++;
        *due = 0;
    }
}

/* Counts what a timer did until now. queue.lock held. */
static void timer_count(struct event *e)
{
    if (!e->is_timer)
        return;
    if (e->wall_at) {
        int64_t now = vfs_time_now();

        timer_count_by(e, &e->wall_at, (plat_ns)MAX(now, 0));
        e->at = e->wall_at ? wall_clock_deadline(e->wall_at) : 0;
    } else {
        timer_count_by(e, &e->at, plat_time_now());
    }
}

static vmk_status event_read(struct file *file, struct vfs_iov *iov)
{
    struct event *e = event_of(file);
    vmk_status status = VMK_OK;
    uint64_t value;
    bool irqs;

    if (iov->size < 8)
        return VMK_BAD_PARAM;
    irqs = plat_irq_save();
    for (;;) {
        spin_lock_irqs_off(&e->queue.lock);
        timer_count(e);
        if (e->value || iov->nonblock || status != VMK_OK)
            break;
        status = wait_queue_block_interruptible(&e->queue, PLAT_NS_NEVER);
    }
    value = e->semaphore && e->value ? 1 : e->value;
    e->value -= value;
    spin_unlock(&e->queue.lock, irqs);
    if (!value)
        return status != VMK_OK ? status : VMK_AGAIN;
    memcpy(iov->to, &value, 8);
    iov->done = 8;
    if (!e->is_timer)
        wake_all(e, VFS_POLLOUT | VFS_POLLWRNORM);
    return VMK_OK;
}

static vmk_status event_write(struct file *file, struct vfs_iov *iov)
{
    struct event *e = event_of(file);
    vmk_status status = VMK_OK;
    uint64_t value;
    bool irqs, fits;

    if (e->is_timer || iov->size < 8)
        return VMK_BAD_PARAM;
    memcpy(&value, iov->from, 8);
    if (value == UINT64_MAX)
        return VMK_BAD_PARAM;
    irqs = plat_irq_save();
    for (;;) {
        spin_lock_irqs_off(&e->queue.lock);
        fits = value <= UINT64_MAX - 1 - e->value;
        if (fits || iov->nonblock || status != VMK_OK)
            break;
        status = wait_queue_block_interruptible(&e->queue, PLAT_NS_NEVER);
    }
    if (fits)
        e->value += value;
    spin_unlock(&e->queue.lock, irqs);
    if (!fits)
        return status != VMK_OK ? status : VMK_AGAIN;
    iov->done = 8;
    if (value)
        wake_all(e, VFS_POLLIN | VFS_POLLRDNORM);
    return VMK_OK;
}

static unsigned event_poll(struct file *file, struct poll_table *table)
{
    struct event *e = event_of(file);
    unsigned events = 0;

    poll_wait_on(table, &e->head);

    bool irqs = spin_lock(&e->queue.lock);

    timer_count(e);
    if (e->value)
        events |= VFS_POLLIN | VFS_POLLRDNORM;
    if (!e->is_timer && e->value < UINT64_MAX - 1)
        events |= VFS_POLLOUT | VFS_POLLWRNORM;
    spin_unlock(&e->queue.lock, irqs);
    return events;
}

static void event_release(struct file *file)
{
    struct event *e = event_of(file);

    if (e->is_timer) {
        bool irqs;

        clock_watch_remove(&e->watch);
        irqs = spin_lock(&e->queue.lock);
        e->at = 0;
        e->wall_at = 0;
        spin_unlock(&e->queue.lock, irqs);
        timer_cancel(&e->timer);
        timer_cancel(&e->timer);  // the callback may have armed it again in between
    }
    heap_free(e);
}

static int event_describe(struct file *file, char *out, size_t size)
{
    return vmk_snprintf(out, size, "anon_inode:[%s]",
                        event_of(file)->is_timer ? "timerfd" : "eventfd");
}

static int64_t event_open(struct thread *t, struct event *e, uint64_t flags)
{
    static const struct file_ops ops = {
        .read = event_read,
        .write = event_write,
        .poll = event_poll,
        .describe = event_describe,
        .release = event_release,
    };
    struct file *file;
    vmk_status status =
        file_create(&ops, e, VFS_O_RDWR | ((uint32_t)flags & VFS_O_NONBLOCK), &file);

    if (status != VMK_OK) {
        heap_free(e);
        return user_errno(status);
    }
    return user_fd_install(t, file, 0, flags & VFS_O_CLOEXEC);
}

int64_t sys_eventfd2(struct thread *t, const uint64_t *a)
{
    struct event *e;

    if (a[1] & ~(uint64_t)(VFS_O_CLOEXEC | VFS_O_NONBLOCK | 1))
        return -L_EINVAL;
    e = event_create(false);
    if (!e)
        return -L_ENOMEM;
    e->value = (uint32_t)a[0];
    e->semaphore = a[1] & 1;
    return event_open(t, e, a[1]);
}

int64_t sys_eventfd(struct thread *t, const uint64_t *a)
{
    const uint64_t arguments[2] = {a[0], 0};

    return sys_eventfd2(t, arguments);
}

/* ---- timers ---- */

static void timer_rings(struct timer *timer)
{
    struct event *e = timer->owner;
    bool irqs = spin_lock(&e->queue.lock);
    plat_ns next;

    timer_count(e);
    next = e->at;
    spin_unlock(&e->queue.lock, irqs);
    if (next)
        timer_arm(timer, next);
    wake_all(e, VFS_POLLIN | VFS_POLLRDNORM);
}

/* The wall clock was set. */
static void timer_moved(struct clock_watch *watch)
{
    struct event *e = watch->owner;
    bool irqs = spin_lock(&e->queue.lock);
    plat_ns next;

    timer_count(e);
    next = e->wall_at ? e->at : 0;
    spin_unlock(&e->queue.lock, irqs);
    if (next)
        timer_arm(&e->timer, next);
    wake_all(e, VFS_POLLIN | VFS_POLLRDNORM);
}

int64_t sys_timerfd_create(struct thread *t, const uint64_t *a)
{
    struct event *e;
    int clock = (int)a[0];

    if ((a[1] & ~(uint64_t)(VFS_O_CLOEXEC | VFS_O_NONBLOCK)) ||
        (clock != L_CLOCK_REALTIME && clock != L_CLOCK_MONOTONIC && clock != L_CLOCK_BOOTTIME))
        return -L_EINVAL;
    e = event_create(true);
    if (!e)
        return -L_ENOMEM;
    e->clock = clock;
    timer_init(&e->timer, timer_rings, e);
    e->watch = (struct clock_watch){.moved = timer_moved, .owner = e};
    list_init(&e->watch.link);
    return event_open(t, e, a[1]);
}

static void timer_value(struct event *e, struct l_itimerspec *out)
{
    plat_ns now = plat_time_now();
    plat_ns left = e->at ? MAX(e->at, now + 1) - now : 0;

    out->value =
        (struct l_timespec){(int64_t)(left / 1000000000u), (int64_t)(left % 1000000000u)};
    out->interval = (struct l_timespec){(int64_t)(e->interval / 1000000000u),
                                        (int64_t)(e->interval % 1000000000u)};
}

/* The timer behind a descriptor, its file referenced; null: *error says why. */
static struct event *timer_get(struct thread *t, uint64_t fd, struct file **file,
                               int64_t *error)
{
    *file = user_fd_get(t, fd);
    if (!*file) {
        *error = -L_EBADF;
        return NULL;
    }
    if ((*file)->ops->read != event_read || !event_of(*file)->is_timer) {
        file_put(*file);
        *error = -L_EINVAL;
        return NULL;
    }
    return event_of(*file);
}

int64_t sys_timerfd_settime(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_itimerspec old;
    struct file *file;
    struct event *e;
    plat_ns interval, value, at = 0, wall_at = 0;
    int64_t error = timespec_in(t, a[2], &interval);

    if (!error)
        error = timespec_in(t, a[2] + sizeof(struct l_timespec), &value);
    if (error)
        return error;
    e = timer_get(t, a[0], &file, &error);
    if (!e)
        return error;
    if (value && (a[1] & 1) && e->clock == L_CLOCK_REALTIME) {  // TFD_TIMER_ABSTIME
        wall_at = value;
        at = wall_clock_deadline(value);
    } else if (value) {
        at = a[1] & 1 ? value : deadline_after(value);
    }

    bool irqs = spin_lock(&user->lock);

    if (wall_at)
        clock_watch_add_locked(&e->watch);
    spin_lock_irqs_off(&e->queue.lock);
    timer_count(e);
    timer_value(e, &old);
    e->value = 0;
    e->at = at;
    e->wall_at = wall_at;
    e->interval = interval;
    spin_unlock_irqs_off(&e->queue.lock);
    spin_unlock(&user->lock, irqs);
    if (at)
        timer_arm(&e->timer, at);
    else
        timer_cancel(&e->timer);
    file_put(file);
    return a[3] ? user_out(t, a[3], &old, sizeof(old)) : 0;
}

int64_t sys_timerfd_gettime(struct thread *t, const uint64_t *a)
{
    struct l_itimerspec value;
    struct file *file;
    struct event *e;
    int64_t error;

    e = timer_get(t, a[0], &file, &error);
    if (!e)
        return error;

    bool irqs = spin_lock(&e->queue.lock);

    timer_count(e);
    timer_value(e, &value);
    spin_unlock(&e->queue.lock, irqs);
    file_put(file);
    return user_out(t, a[1], &value, sizeof(value));
}
