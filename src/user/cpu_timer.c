// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/cpu_timer.c -- timers that count CPU time: ITIMER_VIRTUAL and PROF, RLIMIT_CPU, and POSIX timers
 * on CPU clocks.
 *
 * CPU time passes no faster than time does on all CPUs together. So one ordinary timer for each
 * process is armed for the earliest moment at which any of them could be due; what it finds
 * then is sent, or it is armed again for what is still lacking. It looks at most every
 * millisecond, and every ten while the process does not run at all: signals are late by as
 * much, as they are where CPU time is counted in ticks.
 *
 * Invariants
 *   - The timer is armed while anything is set and the process lives; nothing set: it costs
 *     nothing.
 * Locking    the user lock for all values; the timer is armed under it.
 * Start at   cpu_timers_look_locked().
 * Sources    POSIX.1-2017 setitimer(), getrlimit()
 */
#include "user/user_internal.h"

#define SECOND       1000000000ull
#define LOOK_NS      1000000u   // while it runs
#define LOOK_IDLE_NS 10000000u  // while it does not

/* The two interval timers; what is left until the next, PLAT_NS_NEVER: none. */
static plat_ns interval_timers(struct process *p, const plat_ns used[2])
{
    static const int signals[2] = {L_SIGVTALRM, L_SIGPROF};
    plat_ns left = PLAT_NS_NEVER;

    for (unsigned i = 0; i < 2; i++) {
        struct cpu_itimer *it = &p->cpu.itimers[i];

        if (it->at && it->at <= used[i]) {
            it->at = it->interval
                         ? it->at + ((used[i] - it->at) / it->interval + 1) * it->interval
                         : 0;
            signal_send_locked(p, NULL, signals[i], NULL);
        }
        if (it->at)
            left = MIN(left, it->at - used[i]);
    }
    return left;
}

/* RLIMIT_CPU: SIGXCPU at the soft limit and each second later, SIGKILL at the hard one. */
static plat_ns limit(struct process *p, plat_ns used)
{
    struct l_rlimit *l = &p->limits[L_RLIMIT_CPU];
    uint64_t seconds = used / SECOND;

    if (l->current > PLAT_NS_NEVER / SECOND - 2)
        return PLAT_NS_NEVER;
    if (seconds >= MAX(l->maximum, 1u)) {
        signal_send_locked(p, NULL, L_SIGKILL, NULL);
        return PLAT_NS_NEVER;
    }
    if (seconds >= MAX(l->current, 1u)) {
        signal_send_locked(p, NULL, L_SIGXCPU, NULL);
        l->current = seconds + 1;
    }
    return MAX(l->current, 1u) * SECOND - used;
}

void cpu_timers_look_locked(struct process *p)
{
    plat_ns used[2], left, wait;
    uint64_t utime, stime;

    if (p->cpu.off || p->state != PROCESS_RUNNING)
        return;
    process_times_locked(p, &utime, &stime);
    used[0] = utime;
    used[1] = utime + stime;
    left = interval_timers(p, used);
    left = MIN(left, limit(p, used[1]));
    left = MIN(left, posix_timers_cpu_locked(p));
    if (left == PLAT_NS_NEVER)
        return;
    wait = MAX(left / plat_cpu_count(), used[1] == p->cpu.seen ? LOOK_IDLE_NS : LOOK_NS);
    p->cpu.seen = used[1];
    timer_arm(&p->cpu.timer, deadline_after(wait));
}

static void rings(struct timer *timer)
{
    struct user_state *user = user_state();
    struct process *p = timer->owner;
    bool irqs = spin_lock(&user->lock);

    cpu_timers_look_locked(p);
    spin_unlock(&user->lock, irqs);
}

void cpu_timers_init(struct process *p)
{
    timer_init(&p->cpu.timer, rings, p);
}

void cpu_timers_changed(struct process *p)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    p->cpu.seen = PLAT_NS_NEVER;
    cpu_timers_look_locked(p);
    spin_unlock(&user->lock, irqs);
}

void cpu_timers_stop(struct process *p)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    p->cpu.off = true;
    spin_unlock(&user->lock, irqs);
    timer_cancel(&p->cpu.timer);
}

void cpu_itimer_set(struct process *p, unsigned which, plat_ns value, plat_ns interval)
{
    struct user_state *user = user_state();
    struct cpu_itimer *it = &p->cpu.itimers[which];
    uint64_t utime, stime;
    bool irqs = spin_lock(&user->lock);

    process_times_locked(p, &utime, &stime);
    it->at = value ? MAX((which ? utime + stime : utime) + value, 1u) : 0;
    it->interval = interval;
    spin_unlock(&user->lock, irqs);
    cpu_timers_changed(p);
}

void cpu_itimer_get(struct process *p, unsigned which, plat_ns *left, plat_ns *interval)
{
    struct user_state *user = user_state();
    const struct cpu_itimer *it = &p->cpu.itimers[which];
    uint64_t utime, stime, used;
    bool irqs = spin_lock(&user->lock);

    process_times_locked(p, &utime, &stime);
    used = which ? utime + stime : utime;
    *left = it->at ? MAX(it->at, used + 1) - used : 0;
    *interval = it->interval;
    spin_unlock(&user->lock, irqs);
}
