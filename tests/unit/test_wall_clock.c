// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_wall_clock.c -- what follows the wall clock when somebody sets it, and what does not.
 *
 * A process makes real calls; the clock is set by the call that a program would use.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <string.h>

#include "tests/unit/kernel_test.h"
#include "tests/unit/user_fixture.h"

#define DATA                0x10000000ull
#define SYS_READ            0u
#define SYS_TIMER_CREATE    222u
#define SYS_TIMER_SETTIME   223u
#define SYS_TIMER_GETTIME   224u
#define SYS_CLOCK_SETTIME   227u
#define SYS_CLOCK_GETTIME   228u
#define SYS_CLOCK_NANOSLEEP 230u
#define SYS_FUTEX           202u
#define SYS_TIMERFD_CREATE  283u
#define SYS_TIMERFD_SETTIME 286u
#define HOUR                3600

static struct thread *me;

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t arguments[6] = {a, b, c, d, 0, 0};

    return user_fixture_call(me, number, arguments);
}

static void begin(void *thread)
{
    me = thread;
    user_fixture_begin(me);
    user_fixture_map(me, DATA, PAGE_SIZE, ASPACE_READ | ASPACE_WRITE);
}

static void put(const void *data, size_t size)
{
    ck_assert_int_eq(aspace_copy_out(me->as, DATA, data, size), VMK_OK);
}

static int64_t seconds(int clock)
{
    struct l_timespec now;

    ck_assert_int_eq(call(SYS_CLOCK_GETTIME, (uint64_t)clock, DATA, 0, 0), 0);
    ck_assert_int_eq(aspace_copy_in(me->as, &now, DATA, sizeof(now)), VMK_OK);
    return now.sec;
}

static void set_clock(int64_t sec)
{
    const struct l_timespec when = {sec, 0};

    put(&when, sizeof(when));
    ck_assert_int_eq(call(SYS_CLOCK_SETTIME, L_CLOCK_REALTIME, DATA, 0, 0), 0);
}

/* In so many seconds from now, as the wall clock has it, then every `interval` seconds. */
static void put_moment(int64_t in, int64_t interval)
{
    const struct l_itimerspec when = {{interval, 0}, {seconds(L_CLOCK_REALTIME) + in, 0}};

    put(&when, sizeof(when));
}

/* How often a timerfd rang; 0: not yet. */
static int64_t expirations(int64_t fd)
{
    int64_t count = 0;

    if (call(SYS_READ, (uint64_t)fd, DATA, 8, 0) == 8)
        ck_assert_int_eq(aspace_copy_in(me->as, &count, DATA, sizeof(count)), VMK_OK);
    return count;
}

static int64_t timerfd(int clock)
{
    int64_t fd = call(SYS_TIMERFD_CREATE, (uint64_t)clock, VFS_O_NONBLOCK, 0, 0);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static void absolute_timerfd(void *thread)
{
    int64_t fd, monotonic;

    begin(thread);
    fd = timerfd(L_CLOCK_REALTIME);
    monotonic = timerfd(L_CLOCK_MONOTONIC);
    put_moment(HOUR, 60);
    ck_assert_int_eq(call(SYS_TIMERFD_SETTIME, (uint64_t)fd, L_TIMER_ABSTIME, DATA, 0), 0);
    const struct l_itimerspec later = {{0, 0}, {seconds(L_CLOCK_MONOTONIC) + HOUR, 0}};
    put(&later, sizeof(later));
    ck_assert_int_eq(call(SYS_TIMERFD_SETTIME, (uint64_t)monotonic, L_TIMER_ABSTIME, DATA, 0),
                     0);
    ck_assert_int_eq(expirations(fd), 0);
    set_clock(seconds(L_CLOCK_REALTIME) + HOUR + 121);
    ck_assert_int_eq(expirations(fd), 3);
    ck_assert_int_eq(expirations(fd), 0);
    set_clock(seconds(L_CLOCK_REALTIME) - HOUR);
    user_fixture_sleep_ms(70000);
    ck_assert_int_eq(expirations(fd), 0);
    ck_assert_int_eq(expirations(monotonic), 0);
    user_fixture_exit(me);
}

static void absolute_timer(void *thread)
{
    struct l_sigevent event = {.notify = L_SIGEV_NONE};
    struct l_itimerspec left;
    int32_t id;

    begin(thread);
    put(&event, sizeof(event));
    ck_assert_int_eq(call(SYS_TIMER_CREATE, L_CLOCK_REALTIME, DATA, DATA + 256, 0), 0);
    ck_assert_int_eq(aspace_copy_in(me->as, &id, DATA + 256, sizeof(id)), VMK_OK);
    put_moment(HOUR, 0);
    ck_assert_int_eq(call(SYS_TIMER_SETTIME, (uint64_t)id, L_TIMER_ABSTIME, DATA, 0), 0);
    set_clock(seconds(L_CLOCK_REALTIME) + HOUR / 2);
    ck_assert_int_eq(call(SYS_TIMER_GETTIME, (uint64_t)id, DATA, 0, 0), 0);
    ck_assert_int_eq(aspace_copy_in(me->as, &left, DATA, sizeof(left)), VMK_OK);
    ck_assert_int_ge(left.value.sec, HOUR / 2 - 3);
    ck_assert_int_le(left.value.sec, HOUR / 2);
    set_clock(seconds(L_CLOCK_REALTIME) + HOUR);
    ck_assert_int_eq(call(SYS_TIMER_GETTIME, (uint64_t)id, DATA, 0, 0), 0);
    ck_assert_int_eq(aspace_copy_in(me->as, &left, DATA, sizeof(left)), VMK_OK);
    ck_assert_int_eq(left.value.sec, 0);
    ck_assert_int_eq(left.value.nsec, 0);
    user_fixture_exit(me);
}

static plat_ns woke_at;

static void sleeper(void *thread)
{
    begin(thread);
    put_moment(HOUR, 0);
    ck_assert_int_eq(call(SYS_CLOCK_NANOSLEEP, L_CLOCK_REALTIME, L_TIMER_ABSTIME, DATA + 16, 0),
                     0);
    woke_at = plat_time_now();
    user_fixture_exit(me);
}

static void futex_waiter(void *thread)
{
    begin(thread);
    put_moment(HOUR, 0);
    /* timeout at DATA + 16; bitset is the sixth argument */
    const uint64_t arguments[6] = {
        DATA + 256, L_FUTEX_WAIT_BITSET | L_FUTEX_CLOCK_REALTIME, 0, DATA + 16, 0, UINT32_MAX};

    ck_assert_int_eq(user_fixture_call(me, SYS_FUTEX, arguments), -L_ETIMEDOUT);
    woke_at = plat_time_now();
    user_fixture_exit(me);
}

/* The clock is set by `step` seconds 5 s after the other began to wait for an hour to pass. */
static plat_ns waits_when_set(void (*body)(void *thread), int64_t step)
{
    plat_ns began = plat_time_now();
    uint32_t pid = user_fixture_start(body)->process->pid;

    user_fixture_sleep_ms(5000);
    wall_clock_set(vfs_time_now() + step * 1000000000);
    while (!user_fixture_ended(pid))
        user_fixture_sleep_ms(1000);
    user_fixture_join(pid);
    return (woke_at - began) / 1000000000u;
}

/* The times of files follow the clock. */
static void files_follow(void *unused)
{
    const int64_t then = 2000000000ll * 1000000000;

    user_fixture_up(unused);
    wall_clock_set(then);
    ck_assert_int_ge(vfs_time_now(), then);
    ck_assert_int_lt(vfs_time_now(), then + 1000000000);
}

static void sleeps(void *unused)
{
    user_fixture_up(unused);
    ck_assert_uint_le(waits_when_set(sleeper, 2 * HOUR), 6);
    ck_assert_uint_ge(waits_when_set(sleeper, -100), HOUR + 98);
    ck_assert_uint_le(waits_when_set(futex_waiter, 2 * HOUR), 6);
    ck_assert_uint_ge(waits_when_set(futex_waiter, -100), HOUR + 98);
}

static void timers(void *unused)
{
    user_fixture_up(unused);
    user_fixture_run(absolute_timerfd);
    user_fixture_run(absolute_timer);
}

static void host(void (*body)(void *unused))
{
    sim_test_begin();
    sim_test_run(body, NULL);
}

START_TEST(test_wall_clock_set__absolute_timers__move)
{
    host(timers);
}
END_TEST

START_TEST(test_wall_clock_set__absolute_waits__move)
{
    host(sleeps);
}
END_TEST

START_TEST(test_wall_clock_set__times_of_files__follow)
{
    host(files_follow);
}
END_TEST

KERNEL_TEST_MAIN("wall_clock", RUNS(test_wall_clock_set__times_of_files__follow),
                 RUNS(test_wall_clock_set__absolute_timers__move),
                 RUNS(test_wall_clock_set__absolute_waits__move))
