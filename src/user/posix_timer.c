// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/posix_timer.c -- timer_create(2) and its family: timers of a process that send signals.
 *
 * A timer belongs to its process and goes with it, and at execve; a child has none. It sends its signal
 * when it is due; while that signal is pending it only counts what it missed, which is what
 * timer_getoverrun() says once the signal is taken.
 *
 * Invariants
 *   - A timer that is in its process's list is armed exactly while `at` is not 0, or about to be.
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
    uint64_t missed;       // expirations since the signal that is pending
    int64_t overrun;       // of the signal taken last
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
    uint64_t bit = BIT(pt->signal - 1);

    if (pt->notify == L_SIGEV_NONE)
        return;
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

static void rings(struct timer *timer)
{
    struct posix_timer *pt = timer->owner;
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    plat_ns now = plat_time_now();

    if (pt->at && pt->at <= now) {
        uint64_t times = 1;

        if (pt->interval) {
            times += (now - pt->at) / pt->interval;
            pt->at += times * pt->interval;
        } else {
            pt->at = 0;
        }
        expire_locked(pt, times);
    }
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
    pt->clock = (int)a[0];
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
    plat_ns now = plat_time_now();
    plat_ns left = pt->at ? MAX(pt->at, now + 1) - now : 0;

    out->interval = (struct l_timespec){(int64_t)(pt->interval / 1000000000u),
                                        (int64_t)(pt->interval % 1000000000u)};
    out->value =
        (struct l_timespec){(int64_t)(left / 1000000000u), (int64_t)(left % 1000000000u)};
}

int64_t sys_timer_settime(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_itimerspec old;
    struct posix_timer *pt;
    plat_ns interval, value, at = 0;
    int64_t error = a[2] ? timespec_in(t, a[2], &interval) : -L_EINVAL;
    bool irqs;

    if (!error)
        error = timespec_in(t, a[2] + sizeof(struct l_timespec), &value);
    if (error)
        return error;
    irqs = spin_lock(&user->lock);
    pt = find_locked(t->process, a[0]);
    spin_unlock(&user->lock, irqs);
    if (!pt)
        return -L_EINVAL;
    if (value && (a[1] & 1)) {  // TIMER_ABSTIME
        int64_t now = clock_now_ns(pt->clock, t);

        at = (int64_t)value > now ? deadline_after(value - (uint64_t)now) : plat_time_now();
        at = MAX(at, 1u);
    } else if (value) {
        at = deadline_after(value);
    }
    irqs = spin_lock(&user->lock);
    pt = find_locked(t->process, a[0]);  // another thread may have deleted it
    if (!pt) {
        spin_unlock(&user->lock, irqs);
        return -L_EINVAL;
    }
    value_locked(pt, &old);
    pt->at = at == PLAT_NS_NEVER ? 0 : at;
    pt->interval = value ? interval : 0;
    pt->missed = 0;
    pt->overrun = 0;
    if (pt->at)
        timer_arm(&pt->timer,
                  pt->at);  // rank TIMER; a callback that is due looks at `at` again
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

    if (pt) {
        list_remove(&pt->link);
        pt->at = 0;
    }
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
            list_remove(&pt->link);
            pt->at = 0;
        }
        spin_unlock(&user->lock, irqs);
        if (!pt)
            return;
        timer_free(pt);
    }
}
