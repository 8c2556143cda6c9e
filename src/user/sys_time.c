// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_time.c -- clocks, sleeps, the alarm.
 *
 * Clock numbers are the ABI's. The wall clock is wall_clock.c's; CPU clocks are what the
 * scheduler counts of a thread, or of all threads of a process.
 *
 * Locking    the user lock for a process's alarm.
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define SECOND 1000000000ll

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

/* Clock numbers that name a process or thread: its id, upside down, above three bits. */
#define CPU_CLOCK_THREAD 4u
#define CPU_CLOCK_USER   1u  // of the lowest two bits: user time only
#define CPU_CLOCK_ALL    2u

static int cpu_clock_of(uint32_t id, unsigned low)
{
    return (int)(~id << 3 | low);
}

int clock_global(int clock, struct thread *t)
{
    unsigned low = (unsigned)clock & 7u;

    if (clock == L_CLOCK_PROCESS_CPUTIME_ID)
        return cpu_clock_of(t->process->pid, CPU_CLOCK_ALL);
    if (clock == L_CLOCK_THREAD_CPUTIME_ID)
        return cpu_clock_of(t->tid, CPU_CLOCK_ALL | CPU_CLOCK_THREAD);
    if (clock < 0 && ~(uint32_t)clock >> 3 == 0)
        return cpu_clock_of(low & CPU_CLOCK_THREAD ? t->tid : t->process->pid, low);
    return clock;
}

int64_t cpu_clock_locked(int clock, struct process *self)
{
    uint32_t id = ~(uint32_t)clock >> 3;
    uint64_t utime = 0, stime = 0;
    unsigned which = (unsigned)clock & 3u;

    if (which == 3)  // a descriptor
        return -1;
    if ((unsigned)clock & CPU_CLOCK_THREAD) {
        struct thread *t = thread_find_locked(id);

        if (!t || t->process != self)
            return -1;
        thread_times(t, &utime, &stime);
    } else {
        struct process *p = process_find_locked(id);

        if (!p)
            return -1;
        process_times_locked(p, &utime, &stime);
    }
    return (int64_t)(which == CPU_CLOCK_USER ? utime : utime + stime);
}

static int64_t cpu_clock_ns(int clock, struct thread *t)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    int64_t ns = cpu_clock_locked(clock_global(clock, t), t->process);

    spin_unlock(&user->lock, irqs);
    return ns;
}

int64_t clock_now_ns(int clock, struct thread *t)
{
    switch (clock) {
    case L_CLOCK_REALTIME:
    case L_CLOCK_REALTIME_COARSE: return vfs_time_now();
    case L_CLOCK_MONOTONIC:
    case L_CLOCK_MONOTONIC_RAW:
    case L_CLOCK_MONOTONIC_COARSE:
    case L_CLOCK_BOOTTIME: return (int64_t)plat_time_now();
    case L_CLOCK_PROCESS_CPUTIME_ID:
    case L_CLOCK_THREAD_CPUTIME_ID: return cpu_clock_ns(clock, t);
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
    wall_clock_set((int64_t)when);
    return 0;
}

int64_t sys_settimeofday(struct thread *t, const uint64_t *a)
{
    struct l_timeval tv;

    if (a[0] && user_in(t, &tv, a[0], sizeof(tv)))
        return -L_EFAULT;
    if (a[0] &&
        (tv.sec < 0 || tv.usec < 0 || tv.usec >= 1000000 || tv.sec > INT64_MAX / 2 / SECOND))
        return -L_EINVAL;
    if (t->process->euid)
        return -L_EPERM;
    if (a[0])
        wall_clock_set(tv.sec * SECOND + tv.usec * 1000);
    return 0;  // the time zone is a matter of the program
}

int64_t sys_gettimeofday(struct thread *t, const uint64_t *a)
{
    int64_t now = vfs_time_now();
    const struct l_timeval tv = {now / SECOND, now % SECOND / 1000};
    const uint64_t utc = 0;

    if (a[0] && user_out(t, a[0], &tv, sizeof(tv)))
        return -L_EFAULT;
    return a[1] ? user_out(t, a[1], &utc, sizeof(utc)) : 0;
}

int64_t sys_time(struct thread *t, const uint64_t *a)
{
    int64_t seconds = vfs_time_now() / SECOND;

    if (a[0] && user_out(t, a[0], &seconds, sizeof(seconds)))
        return -L_EFAULT;
    return seconds;
}

/* ---- sleeps ---- */

/* INTERRUPTED, or OK when the moment is over. */
static vmk_status sleep_until_moment(struct wait_deadline *when)
{
    struct wait_queue nobody;
    vmk_status status;

    wait_queue_init(&nobody, "sleep");
    wait_deadline_begin(when, &nobody);
    do {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&nobody.lock);
        status = wait_queue_block_interruptible(&nobody, wait_deadline_now(when));
        plat_irq_restore(irqs);
    } while (status == VMK_OK);
    wait_deadline_end(when);
    return status == VMK_TIMEOUT ? VMK_OK : VMK_INTERRUPTED;
}

static vmk_status sleep_until(plat_ns deadline)
{
    struct wait_deadline when = {.at = deadline};

    return sleep_until_moment(&when);
}

/* Until a CPU clock says that: no earlier than if all CPUs worked for it. */
static int64_t sleep_on_cpu_clock(struct thread *t, int clock, plat_ns when)
{
    for (;;) {
        int64_t now = cpu_clock_ns(clock, t);
        plat_ns left;

        if (now < 0)
            return -L_ESRCH;
        if ((plat_ns)now >= when)
            return 0;
        left = (when - (plat_ns)now) / plat_cpu_count();
        if (sleep_until(deadline_after(MAX(left, 1000000u))) != VMK_OK)
            return -L_ERESTARTNOHAND;
    }
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
    struct wait_deadline moment;
    plat_ns when;
    int64_t now, error;
    int clock = (int)a[0];

    now = clock_now_ns(clock, t);
    if (now < 0 || clock == L_CLOCK_THREAD_CPUTIME_ID)
        return -L_EINVAL;
    error = timespec_in(t, a[2], &when);
    if (error)
        return error;
    if (clock < 0 || clock == L_CLOCK_PROCESS_CPUTIME_ID)
        return sleep_on_cpu_clock(t, clock,
                                  a[1] & L_TIMER_ABSTIME ? when : when + (plat_ns)now);
    if (!(a[1] & L_TIMER_ABSTIME))
        return sleep_relative(t, when, a[3]);
    if ((int64_t)when <= now)
        return 0;
    moment = (struct wait_deadline){
        .wall = clock == L_CLOCK_REALTIME || clock == L_CLOCK_REALTIME_COARSE, .at = when};
    return sleep_until_moment(&moment) == VMK_OK ? 0 : -L_ERESTARTNOHAND;
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

    if (a[0] > L_ITIMER_PROF)
        return -L_EINVAL;
    if (a[1] && user_in(t, &it, a[1], sizeof(it)))
        return -L_EFAULT;
    if (!timeval_to(&it.value, &value) || !timeval_to(&it.interval, &interval))
        return -L_EINVAL;
    if (a[0] == L_ITIMER_REAL) {
        alarm_set(t->process, value, value ? interval : 0, &left, &old_interval);
    } else {
        cpu_itimer_get(t->process, (unsigned)a[0] - 1, &left, &old_interval);
        cpu_itimer_set(t->process, (unsigned)a[0] - 1, value, interval);
    }
    it.value = timeval_of(left);
    it.interval = timeval_of(old_interval);
    return a[2] ? user_out(t, a[2], &it, sizeof(it)) : 0;
}

int64_t sys_getitimer(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    struct l_itimerval it;

    if (a[0] > L_ITIMER_PROF)
        return -L_EINVAL;
    if (a[0] != L_ITIMER_REAL) {
        plat_ns left, interval;

        cpu_itimer_get(p, (unsigned)a[0] - 1, &left, &interval);
        it.value = timeval_of(left);
        it.interval = timeval_of(interval);
        return user_out(t, a[1], &it, sizeof(it));
    }

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

/* Nobody disciplines this clock: it can be asked, not adjusted. */
static int64_t adjust(struct thread *t, uint64_t at)
{
    struct l_timex tx;
    int64_t now = vfs_time_now();
    uint32_t modes;

    if (user_in(t, &modes, at, sizeof(modes)))
        return -L_EFAULT;
    if (modes && modes != L_ADJ_OFFSET_SS_READ)
        return t->process->euid ? -L_EPERM : -L_EINVAL;
    tx = (struct l_timex){.modes = modes,
                          .maxerror = L_TIMEX_ERROR_MAX,
                          .esterror = L_TIMEX_ERROR_MAX,
                          .status = L_STA_UNSYNC,
                          .precision = 1,
                          .time = {now / SECOND, now % SECOND / 1000},
                          .tick = 10000};
    return user_out(t, at, &tx, sizeof(tx)) ? -L_EFAULT : L_TIME_ERROR;
}

int64_t sys_adjtimex(struct thread *t, const uint64_t *a)
{
    return adjust(t, a[0]);
}

int64_t sys_clock_adjtime(struct thread *t, const uint64_t *a)
{
    return (int)a[0] == L_CLOCK_REALTIME ? adjust(t, a[1]) : -L_EINVAL;
}
