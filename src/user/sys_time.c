// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_time.c -- clocks, sleeps, the alarm.
 *
 * All time is plat_time_now(): nanoseconds since boot. Wall time adds what the RTC said at boot and
 * what clock_settime() corrected.
 *
 * Invariants
 *   - A deadline never wraps: far away is never.
 * Locking    the user lock for a process's alarm.
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define SECOND 1000000000ll

plat_ns deadline_after(plat_ns duration)
{
    plat_ns now = plat_time_now();

    return duration > PLAT_NS_NEVER - 1 - now ? PLAT_NS_NEVER : now + duration;
}

int64_t timespec_in(struct thread *t, uint64_t at, plat_ns *duration)
{
    struct l_timespec ts;

    if (user_in(t, &ts, at, sizeof(ts)))
        return -L_EFAULT;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= SECOND)
        return -L_EINVAL;
    *duration =
        ts.sec >= INT64_MAX / SECOND ? INT64_MAX : (uint64_t)(ts.sec * SECOND + ts.nsec);
    return 0;
}

static int64_t wall_ns(void)
{
    return (int64_t)plat_wall_time_at_boot() * SECOND + (int64_t)plat_time_now() +
           user_state()->clock_offset_ns;
}

/* Clock numbers that name a process or thread: its id, upside down, above three bits. */
static int64_t cpu_clock_ns(int clock, struct thread *t)
{
    struct user_state *user = user_state();
    uint32_t id = ~(uint32_t)clock >> 3;
    uint64_t utime = 0, stime = 0;
    unsigned which = (unsigned)clock & 3u;
    struct process *p = NULL;
    struct thread *other;
    bool irqs;

    if (which == 3)  // a descriptor
        return -1;
    if (clock & 4) {
        irqs = spin_lock(&user->lock);
        other = id ? thread_find_locked(id) : t;
        if (other && other->process == t->process) {
            p = other->process;
            process_ref(p);
            thread_times(other, &utime, &stime);
        }
        spin_unlock(&user->lock, irqs);
    } else {
        p = id ? process_find(id) : t->process;
        if (p == t->process && !id)
            process_ref(p);
        if (p)
            process_times(p, &utime, &stime);
    }
    if (!p)
        return -1;
    process_put(p);
    return (int64_t)(which == 1 ? utime : utime + stime);
}

int64_t clock_now_ns(int clock, struct thread *t)
{
    uint64_t utime, stime;

    switch (clock) {
    case L_CLOCK_REALTIME:
    case L_CLOCK_REALTIME_COARSE: return wall_ns();
    case L_CLOCK_MONOTONIC:
    case L_CLOCK_MONOTONIC_RAW:
    case L_CLOCK_MONOTONIC_COARSE:
    case L_CLOCK_BOOTTIME: return (int64_t)plat_time_now();
    case L_CLOCK_PROCESS_CPUTIME_ID:
        process_times(t->process, &utime, &stime);
        return (int64_t)(utime + stime);
    case L_CLOCK_THREAD_CPUTIME_ID:
        thread_times(t, &utime, &stime);
        return (int64_t)(utime + stime);
    default: return clock < 0 ? cpu_clock_ns(clock, t) : -1;
    }
}

static int64_t timespec_out(struct thread *t, uint64_t at, int64_t ns)
{
    const struct l_timespec ts = {ns / SECOND, ns % SECOND};

    return user_out(t, at, &ts, sizeof(ts));
}

int64_t sys_clock_gettime(struct thread *t, const uint64_t *a)
{
    int64_t now = clock_now_ns((int)a[0], t);

    return now < 0 ? -L_EINVAL : timespec_out(t, a[1], now);
}

int64_t sys_clock_getres(struct thread *t, const uint64_t *a)
{
    if (clock_now_ns((int)a[0], t) < 0)
        return -L_EINVAL;
    return a[1] ? timespec_out(t, a[1], 1) : 0;
}

static void wall_set(int64_t ns)
{
    user_state()->clock_offset_ns += ns - wall_ns();
}

int64_t sys_clock_settime(struct thread *t, const uint64_t *a)
{
    plat_ns when;
    int64_t error;

    if ((int)a[0] != L_CLOCK_REALTIME)
        return -L_EINVAL;
    error = timespec_in(t, a[1], &when);
    if (error)
        return error;
    if (t->process->euid)
        return -L_EPERM;
    if (when > INT64_MAX / 2)
        return -L_EINVAL;
    wall_set((int64_t)when);
    return 0;
}

int64_t sys_gettimeofday(struct thread *t, const uint64_t *a)
{
    int64_t now = wall_ns();
    const struct l_timeval tv = {now / SECOND, now % SECOND / 1000};
    const uint64_t utc = 0;

    if (a[0] && user_out(t, a[0], &tv, sizeof(tv)))
        return -L_EFAULT;
    return a[1] ? user_out(t, a[1], &utc, sizeof(utc)) : 0;
}

int64_t sys_time(struct thread *t, const uint64_t *a)
{
    int64_t seconds = wall_ns() / SECOND;

    if (a[0] && user_out(t, a[0], &seconds, sizeof(seconds)))
        return -L_EFAULT;
    return seconds;
}

/* ---- sleeps ---- */

/* INTERRUPTED, or OK when the deadline is over. */
static vmk_status sleep_until(plat_ns deadline)
{
    struct wait_queue nobody;
    vmk_status status;

    wait_queue_init(&nobody, "sleep");
    do {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&nobody.lock);
        status = wait_queue_block_interruptible(&nobody, deadline);
        plat_irq_restore(irqs);
    } while (status == VMK_OK);
    return status == VMK_TIMEOUT ? VMK_OK : VMK_INTERRUPTED;
}

/* Sleeps on; also what restart_syscall comes back to. */
static int64_t sleep_again(struct thread *t)
{
    plat_ns deadline = t->restart.deadline, now;

    if (sleep_until(deadline) == VMK_OK)
        return 0;
    now = plat_time_now();
    if (t->restart.remaining_at && timespec_out(t, t->restart.remaining_at,
                                                deadline > now ? (int64_t)(deadline - now) : 0))
        return -L_EFAULT;
    t->restart.again = sleep_again;
    return -L_ERESTART_RESTARTBLOCK;
}

static int64_t sleep_relative(struct thread *t, plat_ns duration, uint64_t remaining_at)
{
    t->restart.deadline = deadline_after(duration);
    t->restart.remaining_at = remaining_at;
    return sleep_again(t);
}

int64_t sys_nanosleep(struct thread *t, const uint64_t *a)
{
    plat_ns duration;
    int64_t error = timespec_in(t, a[0], &duration);

    return error ? error : sleep_relative(t, duration, a[1]);
}

int64_t sys_clock_nanosleep(struct thread *t, const uint64_t *a)
{
    plat_ns when;
    int64_t now, error;
    int clock = (int)a[0];

    now = clock_now_ns(clock, t);
    if (now < 0 || clock == L_CLOCK_THREAD_CPUTIME_ID)
        return -L_EINVAL;
    error = timespec_in(t, a[2], &when);
    if (error)
        return error;
    if (!(a[1] & L_TIMER_ABSTIME))
        return sleep_relative(t, when, a[3]);
    if ((int64_t)when <= now)
        return 0;
    return sleep_until(deadline_after(when - (uint64_t)now)) == VMK_OK ? 0 : -L_ERESTARTNOHAND;
}

int64_t sys_restart_syscall(struct thread *t, const uint64_t *a)
{
    int64_t (*again)(struct thread *) = t->restart.again;

    (void)a;
    t->restart.again = NULL;
    return again ? again(t) : -L_EINTR;
}

int64_t sys_pause(struct thread *t, const uint64_t *a)
{
    (void)t;
    (void)a;
    (void)!sleep_until(PLAT_NS_NEVER);
    return -L_ERESTARTNOHAND;
}

/* ---- the alarm ---- */

/* Sets the alarm; says what was left and how it repeated. */
static void alarm_set(struct process *p, plat_ns value, plat_ns interval, plat_ns *left,
                      plat_ns *old_interval)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    plat_ns now = plat_time_now();
    plat_ns at = value ? deadline_after(value) : 0;

    *left = p->alarm_at ? MAX(p->alarm_at, now + 1) - now : 0;
    *old_interval = p->alarm_interval;
    p->alarm_at = at == PLAT_NS_NEVER ? 0 : at;
    p->alarm_interval = interval;
    at = p->alarm_at;
    spin_unlock(&user->lock, irqs);
    /* The callback looks at alarm_at again, so an old one that runs just now does no harm. */
    if (at)
        timer_arm(&p->alarm, at);
    else
        timer_cancel(&p->alarm);
}

void alarm_stop(struct process *p)
{
    plat_ns left, interval;

    alarm_set(p, 0, 0, &left, &interval);
    timer_cancel(&p->alarm);
}

int64_t sys_alarm(struct thread *t, const uint64_t *a)
{
    plat_ns left, interval;

    alarm_set(t->process, (plat_ns)(uint32_t)a[0] * (plat_ns)SECOND, 0, &left, &interval);
    return (int64_t)((left + (plat_ns)SECOND - 1) / (plat_ns)SECOND);
}

static struct l_timeval timeval_of(plat_ns ns)
{
    return (struct l_timeval){(int64_t)(ns / (plat_ns)SECOND),
                              (int64_t)(ns % (plat_ns)SECOND / 1000)};
}

static bool timeval_to(const struct l_timeval *tv, plat_ns *ns)
{
    if (tv->sec < 0 || tv->usec < 0 || tv->usec >= 1000000)
        return false;
    *ns = tv->sec >= INT64_MAX / SECOND ? INT64_MAX
                                        : (plat_ns)(tv->sec * SECOND + tv->usec * 1000);
    return true;
}

int64_t sys_setitimer(struct thread *t, const uint64_t *a)
{
    struct l_itimerval it = {0};
    plat_ns value = 0, interval = 0, left, old_interval;

    if (a[0] != 0)
        return -L_EINVAL;
    if (a[1] && user_in(t, &it, a[1], sizeof(it)))
        return -L_EFAULT;
    if (!timeval_to(&it.value, &value) || !timeval_to(&it.interval, &interval))
        return -L_EINVAL;
    alarm_set(t->process, value, interval, &left, &old_interval);
    it.value = timeval_of(left);
    it.interval = timeval_of(old_interval);
    return a[2] ? user_out(t, a[2], &it, sizeof(it)) : 0;
}

int64_t sys_getitimer(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    struct l_itimerval it;

    if (a[0] != 0)
        return -L_EINVAL;

    bool irqs = spin_lock(&user->lock);
    plat_ns now = plat_time_now();

    it.value = timeval_of(p->alarm_at ? MAX(p->alarm_at, now + 1) - now : 0);
    it.interval = timeval_of(p->alarm_interval);
    spin_unlock(&user->lock, irqs);
    return user_out(t, a[1], &it, sizeof(it));
}

/* ---- times used ---- */

int64_t sys_times(struct thread *t, const uint64_t *a)
{
    const plat_ns tick = (plat_ns)SECOND / L_HZ;
    uint64_t utime, stime;

    process_times(t->process, &utime, &stime);

    const int64_t out[4] = {(int64_t)(utime / tick), (int64_t)(stime / tick),
                            (int64_t)(t->process->children_utime / tick),
                            (int64_t)(t->process->children_stime / tick)};

    if (a[0] && user_out(t, a[0], out, sizeof(out)))
        return -L_EFAULT;
    return (int64_t)(plat_time_now() / tick);
}

int64_t sys_getrusage(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process;
    struct l_rusage usage = {0};
    struct aspace_use use;
    uint64_t utime, stime;

    switch ((int)a[0]) {
    case 0:
        process_times(p, &utime, &stime);
        usage.minflt = (int64_t)p->minor_faults;
        break;
    case -1:
        utime = p->children_utime;
        stime = p->children_stime;
        break;
    case 1: thread_times(t, &utime, &stime); break;
    default: return -L_EINVAL;
    }
    aspace_use_get(t->as, &use);
    usage.utime = timeval_of(utime);
    usage.stime = timeval_of(stime);
    usage.maxrss = (int64_t)(use.peak_pages << (PAGE_SHIFT - 10));
    return user_out(t, a[1], &usage, sizeof(usage));
}
