// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/posix_timer.c -- timer_create(2) and its family: timers of a process that send signals.
 *
 * A timer belongs to its process and goes with it, and at execve; a child has none. It sends
 * its signal when it is due; while that signal is pending it only counts what it missed, which
 * is what timer_getoverrun() says once the signal is taken.
 *
 * A timer is on one of three kinds of clock. Since boot: `at` is its deadline. The wall clock,
 * if it was set to an absolute moment: `wall_at` is, `at` follows whenever the clock is set,
 * and a clock that was set forward finds all the expirations it jumped over. A CPU clock: `at`
 * is on that clock, and cpu_timer.c says when to look.
 *
 * Invariants
 *   - A timer that is in its process's list is armed exactly while `at` is not 0, or about to
 *     be; those on CPU clocks never are.
 *   - The callback never frees; who frees has taken it off the list and cancelled it.
 * Locking    the user lock for lists and values. timer_cancel() is called without it.
 * Start at   sys_timer_settime(), rings().
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define TIMERS_MAX   512u  // of one process
#define OVERRUNS_MAX 0x7fffffff

struct posix_timer {
    struct list link;  // process.timers
    struct process *process;
    int id, clock, notify, signal;
    uint32_t tid;  // L_SIGEV_THREAD_ID
    uint64_t value;
    plat_ns at, interval;  // 0: not armed; once
    plat_ns wall_at;       // 0: not a moment of the wall clock
    struct clock_watch watch;
    uint64_t missed;  // expirations since the signal that is pending
    int64_t overrun;  // of the signal taken last
    struct timer timer;
};

/* User lock held. */
static struct posix_timer *find_locked(struct process *p, uint64_t id)
{
    list_for_each (node, &p->timers) {
        struct posix_timer *pt = list_entry(node, struct posix_timer, link);

        if ((uint64_t)pt->id == id)
            return pt;
    }
    return NULL;
}

/* It is due. Sends, or counts if the last one was not taken yet. User lock held. */
static void expire_locked(struct posix_timer *pt, uint64_t times)
{
    struct thread *t = NULL;
    struct l_siginfo info;
    uint64_t bit;

    if (pt->notify == L_SIGEV_NONE)
        return;
    bit = BIT(pt->signal - 1);
    if (pt->notify == L_SIGEV_THREAD_ID) {
        t = thread_find_locked(pt->tid);
        if (!t || t->process != pt->process)
            return;
    }
    if (t ? t->pending.set & bit : pt->process->pending.set & bit) {
        pt->missed += times;
        return;
    }
    pt->missed = times - 1;
    memset(&info, 0, sizeof(info));
    info.signo = pt->signal;
    info.code = L_SI_TIMER;
    info.timer = pt->id;
    info.timer_value = pt->value;
    signal_send_locked(pt->process, t, pt->signal, &info);
}

void posix_timer_taken_locked(struct process *p, struct l_siginfo *info)
{
    struct posix_timer *pt = find_locked(p, (uint64_t)(uint32_t)info->timer);

    if (!pt)
        return;
    pt->overrun = (int64_t)MIN(pt->missed, (uint64_t)OVERRUNS_MAX);
    pt->missed = 0;
    info->overrun = (int32_t)pt->overrun;
}

/*
 * By a clock of its kind, which says `now`: expires if *due is over, and says when it is due
 * again.
 */
static void look_locked(struct posix_timer *pt, plat_ns *due, plat_ns now)
{
    uint64_t times = 1;

    if (!*due || *due > now)
        return;
    if (pt->interval) {
        times += (now - *due) / pt->interval;
        *due += times * pt->interval;
    } else {
        *due = 0;
    }
    expire_locked(pt, times);
}

/* The wall clock was set, or its timer rang. User lock held. */
static void look_at_wall_locked(struct posix_timer *pt)
{
    int64_t now = vfs_time_now();

    look_locked(pt, &pt->wall_at, (plat_ns)MAX(now, 0));
    pt->at = pt->wall_at ? wall_clock_deadline(pt->wall_at) : 0;
    if (!pt->at)
        clock_watch_remove_locked(&pt->watch);
}

static void moved(struct clock_watch *watch)
{
    struct posix_timer *pt = watch->owner;

    look_at_wall_locked(pt);
    if (pt->at)
        timer_arm(&pt->timer, pt->at);
}

plat_ns posix_timers_cpu_locked(struct process *p)
{
    plat_ns left = PLAT_NS_NEVER;

    list_for_each (node, &p->timers) {
        struct posix_timer *pt = list_entry(node, struct posix_timer, link);
        int64_t now;

        if (pt->clock >= 0 || !pt->at)
            continue;
        now = cpu_clock_locked(pt->clock, p);
        if (now < 0)
            continue;  // whose clock it was is gone
        look_locked(pt, &pt->at, (plat_ns)now);
        if (pt->at)
            left = MIN(left, pt->at - (plat_ns)now);
    }
    return left;
}

static void rings(struct timer *timer)
{
    struct posix_timer *pt = timer->owner;
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    if (pt->wall_at)
        look_at_wall_locked(pt);
    else
        look_locked(pt, &pt->at, plat_time_now());
    if (pt->at)
        timer_arm(timer, pt->at);  // under the lock: not after it was deleted
    spin_unlock(&user->lock, irqs);
}

int64_t sys_timer_create(struct thread *t, const uint64_t *a)
{
    struct l_sigevent event = {.signal = L_SIGALRM, .notify = L_SIGEV_SIGNAL};
    struct user_state *user = user_state();
    struct process *p = t->process;
    struct posix_timer *pt;
    uint32_t count = 0;
    int32_t id = 0;
    bool irqs;

    if (clock_now_ns((int)a[0], t) < 0)
        return -L_EINVAL;
    if (a[1] && user_in(t, &event, a[1], sizeof(event)))
        return -L_EFAULT;
    if (event.notify != L_SIGEV_SIGNAL && event.notify != L_SIGEV_NONE &&
        event.notify != L_SIGEV_THREAD_ID)
        return -L_EINVAL;
    if (event.notify != L_SIGEV_NONE && (event.signal < 1 || event.signal > (int32_t)L_NSIG))
        return -L_EINVAL;
    pt = heap_alloc(sizeof(*pt), MEM_OWNER_USER);
    if (!pt)
        return -L_EAGAIN;
    timer_init(&pt->timer, rings, pt);
    pt->process = p;
    pt->clock = clock_global((int)a[0], t);
    pt->watch = (struct clock_watch){.moved = moved, .owner = pt};
    list_init(&pt->watch.link);
    pt->notify = event.notify;
    pt->signal = event.signal;
    pt->tid = (uint32_t)event.tid;
    pt->value = event.value;
    irqs = spin_lock(&user->lock);
    list_for_each (node, &p->timers)
        count++;
    while (find_locked(p, (uint64_t)id))
        id++;
    pt->id = id;
    if (!a[1])
        pt->value = (uint64_t)id;
    if (count < TIMERS_MAX)
        list_add_tail(&p->timers, &pt->link);
    spin_unlock(&user->lock, irqs);
    if (count >= TIMERS_MAX) {
        heap_free(pt);
        return -L_EAGAIN;
    }
    if (user_out(t, a[2], &id, sizeof(id))) {
        const uint64_t own[1] = {(uint64_t)id};

        (void)sys_timer_delete(t, own);
        return -L_EFAULT;
    }
    return 0;
}

/* User lock held. */
static void value_locked(const struct posix_timer *pt, struct l_itimerspec *out)
{
    int64_t cpu = pt->clock < 0 ? cpu_clock_locked(pt->clock, pt->process) : -1;
    plat_ns now = cpu < 0 ? plat_time_now() : (plat_ns)cpu;
    plat_ns left = pt->at ? MAX(pt->at, now + 1) - now : 0;

    out->interval = (struct l_timespec){(int64_t)(pt->interval / 1000000000u),
                                        (int64_t)(pt->interval % 1000000000u)};
    out->value =
        (struct l_timespec){(int64_t)(left / 1000000000u), (int64_t)(left % 1000000000u)};
}

/* Sets it to a value that is not 0; overflow is never. User lock held. */
static void set_locked(struct posix_timer *pt, plat_ns value, bool absolute)
{
    if (pt->clock < 0) {
        int64_t now = absolute ? 0 : cpu_clock_locked(pt->clock, pt->process);

        pt->at = value + (plat_ns)MAX(now, 0);
        cpu_timers_look_locked(pt->process);
        return;
    }
    if (absolute && (pt->clock == L_CLOCK_REALTIME || pt->clock == L_CLOCK_REALTIME_COARSE)) {
        pt->wall_at = value;
        pt->at = wall_clock_deadline(value);
        clock_watch_add_locked(&pt->watch);
    } else {
        pt->at = absolute ? value : deadline_after(value);
    }
    if (pt->at == PLAT_NS_NEVER && !pt->wall_at)
        pt->at = 0;
    if (pt->at)
        timer_arm(&pt->timer, pt->at);  // a callback that is due looks at `at` again
}

int64_t sys_timer_settime(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_itimerspec old;
    struct posix_timer *pt;
    plat_ns interval, value;
    int64_t error = a[2] ? timespec_in(t, a[2], &interval) : -L_EINVAL;
    bool irqs;

    if (!error)
        error = timespec_in(t, a[2] + sizeof(struct l_timespec), &value);
    if (error)
        return error;
    irqs = spin_lock(&user->lock);
    pt = find_locked(t->process, a[0]);
    if (!pt) {
        spin_unlock(&user->lock, irqs);
        return -L_EINVAL;
    }
    value_locked(pt, &old);
    pt->at = 0;
    pt->wall_at = 0;
    clock_watch_remove_locked(&pt->watch);
    pt->interval = value ? interval : 0;
    pt->missed = 0;
    pt->overrun = 0;
    if (value)
        set_locked(pt, value, a[1] & L_TIMER_ABSTIME);
    spin_unlock(&user->lock, irqs);
    return a[3] ? user_out(t, a[3], &old, sizeof(old)) : 0;
}

int64_t sys_timer_gettime(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_itimerspec value;
    bool irqs = spin_lock(&user->lock);
    struct posix_timer *pt = find_locked(t->process, a[0]);

    if (pt)
        value_locked(pt, &value);
    spin_unlock(&user->lock, irqs);
    return pt ? user_out(t, a[1], &value, sizeof(value)) : -L_EINVAL;
}

int64_t sys_timer_getoverrun(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    struct posix_timer *pt = find_locked(t->process, a[0]);
    int64_t result = pt ? pt->overrun : -L_EINVAL;

    spin_unlock(&user->lock, irqs);
    return result;
}

static void unlink_locked(struct posix_timer *pt)
{
    list_remove(&pt->link);
    clock_watch_remove_locked(&pt->watch);
    pt->at = 0;
    pt->wall_at = 0;
}

/* It is off the list. */
static void timer_free(struct posix_timer *pt)
{
    timer_cancel(&pt->timer);
    heap_free(pt);
}

int64_t sys_timer_delete(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    struct posix_timer *pt = find_locked(t->process, a[0]);

    if (pt)
        unlink_locked(pt);
    spin_unlock(&user->lock, irqs);
    if (!pt)
        return -L_EINVAL;
    timer_free(pt);
    return 0;
}

void posix_timers_delete(struct process *p)
{
    struct user_state *user = user_state();

    for (;;) {
        struct posix_timer *pt = NULL;
        bool irqs = spin_lock(&user->lock);

        if (!list_is_empty(&p->timers)) {
            pt = list_entry(p->timers.next, struct posix_timer, link);
            unlink_locked(pt);
        }
        spin_unlock(&user->lock, irqs);
        if (!pt)
            return;
        timer_free(pt);
    }
}
