// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_panic.c -- what a host says and does when it finds itself wrong.
 *
 * Each panic happens in a child process whose screen (standard error) the test reads to its
 * end.
 *
 * Invariants
 *   - A child that comes back from its panic ends with RETURNED, which no test wants.
 * Locking    none.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/core.h"
#include "core/core_internal.h"
#include "core/spinlock.h"
#include "tests/unit/kernel_test.h"

#define RETURNED 99

static char screen[16384];

static void run_and_leave(void (*what)(void))
{
    core_init();
    (void)plat_irq_save();
    what();
    _exit(RETURNED);
}

/* What the panic of `what` left on the screen; the status of its process. */
static int panic_of(void (*what)(void))
{
    int ends[2], status = 0;
    size_t length = 0;
    ssize_t got;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(ends[1], 2);
        run_and_leave(what);
    }
    close(ends[1]);
    while ((got = read(ends[0], screen + length, sizeof(screen) - 1 - length)) > 0)
        length += (size_t)got;
    screen[length] = 0;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static unsigned count_of(const char *what)
{
    unsigned count = 0;

    for (const char *at = screen; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static struct spinlock low, high;

static void with_locks(void)
{
    spin_init(&low, "low", LOCK_RANK_VM);
    spin_init(&high, "high", LOCK_RANK_HEAP);
    spin_lock_irqs_off(&low);
    spin_lock_irqs_off(&high);
    vmk_panic("the %s is %u", "answer", 42u);
}

START_TEST(test_panic__two_locks_held__reason_place_and_locks)
{
    ck_assert_int_eq(panic_of(with_locks), PANIC_STATUS);
    ck_assert_uint_eq(count_of("PANIC: the answer is 42\n"), 1);
    ck_assert_uint_eq(count_of("tests/unit/test_panic.c:"), 1);
    ck_assert_uint_eq(count_of("cpu0, world 0, 0.000000 s after boot\n"), 1);
    ck_assert_uint_eq(count_of("  holds low (rank 10)\n  holds high (rank 40)\n"), 1);
    ck_assert_uint_eq(count_of("\n  [ 0] "), 1);
}
END_TEST

static void by_assert(void)
{
    vmk_assert_msg(1 + 1 == 3, "sum of %u", 2u);
}

START_TEST(test_panic__assertion__condition_and_text)
{
    ck_assert_int_eq(panic_of(by_assert), PANIC_STATUS);
    ck_assert_uint_eq(count_of("PANIC: assertion failed: 1 + 1 == 3: sum of 2\n"), 1);
}
END_TEST

static void save_facts(const struct core_panic *panic)
{
    panic->print("saved: %s by cpu%u, %s\n", panic->reason, panic->cpu,
                 core_panicking() ? "panicking" : "calm");
}

static void hooked(void)
{
    core_panic_hook(save_facts);
    vmk_panic("reason");
}

START_TEST(test_panic__hook__gets_the_facts_and_prints)
{
    ck_assert_int_eq(panic_of(hooked), PANIC_STATUS);
    ck_assert_uint_eq(count_of("saved: reason by cpu0, panicking\n"), 1);
}
END_TEST

static void save_badly(const struct core_panic *panic)
{
    (void)panic;
    vmk_panic("the hook is wrong too");
}

static void hook_panics(void)
{
    core_panic_hook(save_badly);
    vmk_panic("first");
}

START_TEST(test_panic__hook_panics__one_line_and_the_end)
{
    ck_assert_int_eq(panic_of(hook_panics), PANIC_STATUS);
    ck_assert_uint_eq(count_of("PANIC: first\n"), 1);
    ck_assert_uint_eq(count_of("panic within the panic, at "), 1);
    ck_assert_uint_eq(count_of("the hook is wrong too"), 0);
}
END_TEST

/* As a driver whose lock a stopped CPU holds: nobody gives it back. */
static void save_with_lock(const struct core_panic *panic)
{
    spin_lock_irqs_off(&low);
    panic->print("got it\n");
    spin_unlock_irqs_off(&low);
}

static void lock_is_held(void)
{
    spin_init(&low, "low", LOCK_RANK_VM);
    spin_lock_irqs_off(&low);
    core_panic_hook(save_with_lock);
    vmk_panic("reason");
}

START_TEST(test_panic__lock_held_by_somebody_stopped__taken_all_the_same)
{
    ck_assert_int_eq(panic_of(lock_is_held), PANIC_STATUS);
    ck_assert_uint_eq(count_of("got it\n"), 1);
}
END_TEST

static void restart_body(void)
{
    core_init();
    vmk_panic("reason");
}

static void restarts(void)
{
    sim_host_start(sim_host_create(1, 64, "blueScreenTimeout=3"), restart_body);
    (void)!sim_run();
    _exit(plat_time_now() >= 3000000000u ? 0 : RETURNED);
}

START_TEST(test_panic__blue_screen_timeout__restarts_after_it)
{
    ck_assert_int_eq(panic_of(restarts), 0);
    ck_assert_uint_eq(count_of("  restarting in 3 s\n"), 1);
}
END_TEST

KERNEL_TEST_MAIN("panic", RUNS(test_panic__two_locks_held__reason_place_and_locks),
                 RUNS(test_panic__assertion__condition_and_text),
                 RUNS(test_panic__hook__gets_the_facts_and_prints),
                 RUNS(test_panic__hook_panics__one_line_and_the_end),
                 RUNS(test_panic__lock_held_by_somebody_stopped__taken_all_the_same),
                 RUNS(test_panic__blue_screen_timeout__restarts_after_it))
