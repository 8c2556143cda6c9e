// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_timer.c -- software timers.
 *
 * Virtual time stops at every deadline, so each callback can check that it came at its instant.
 *
 * Invariants
 *   - on_fire() fails unless it runs at its deadline or later, irqs off and without a lock.
 * Locking    none; the CPUs of the simulator take turns.
 */
#include <string.h>

#include "core/core.h"
#include "core/core_internal.h"
#include "core/timer.h"
#include "lib/rng.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define TIMERS 64u

static struct timer timers[TIMERS];
static unsigned fired[4 * TIMERS], fired_count;  // numbers of timers in the order they ran
static plat_ns fired_at[TIMERS];
static plat_ns start;

static void on_fire(struct timer *timer)
{
    unsigned number = (unsigned)(timer - timers);

    ck_assert(!plat_irq_enabled());
    ck_assert_uint_eq(spin_held_count(), 0);
    ck_assert(!timer->armed);
    ck_assert_ptr_eq(timer->owner, &fired_at[number]);
    ck_assert_uint_le(timer->deadline, plat_time_now());
    fired[fired_count++] = number;
    fired_at[number] = plat_time_now();
}

static void prepare(void)
{
    for (unsigned i = 0; i < TIMERS; i++)
        timer_init(&timers[i], on_fire, &fired_at[i]);
}

/* Irqs on, at a time that is not zero. */
static void begin(void)
{
    sim_test_begin();
    plat_irq_restore(true);
    sim_work(1000000);
    start = plat_time_now();
    prepare();
}

START_TEST(test_timer__armed__once_at_its_instant)
{
    begin();
    timer_arm(&timers[0], start + 500);
    ck_assert(timers[0].armed);
    sim_work(499);
    ck_assert_uint_eq(fired_count, 0);
    sim_work(10000);
    ck_assert_uint_eq(fired_count, 1);
    ck_assert_uint_eq(fired_at[0], start + 500);
}
END_TEST

START_TEST(test_timer__random_deadlines__sorted_and_equal_ones_in_order)
{
    struct rng rng;
    plat_ns deadlines[TIMERS];

    begin();
    rng_init(&rng, 1, "timer", 0);
    for (unsigned i = 0; i < TIMERS; i++) {
        deadlines[i] = start + 100 + 10 * rng_below(&rng, 20);  // many are equal
        timer_arm(&timers[i], deadlines[i]);
    }
    sim_work(10000);
    ck_assert_uint_eq(fired_count, TIMERS);
    for (unsigned i = 0; i < TIMERS; i++) {
        ck_assert_uint_eq(fired_at[fired[i]], deadlines[fired[i]]);
        if (!i)
            continue;
        ck_assert_uint_le(deadlines[fired[i - 1]], deadlines[fired[i]]);
        if (deadlines[fired[i - 1]] == deadlines[fired[i]])
            ck_assert_uint_lt(fired[i - 1], fired[i]);
    }
}
END_TEST

START_TEST(test_timer__moved__only_the_last_deadline_counts)
{
    begin();
    timer_arm(&timers[0], start + 1000);
    timer_arm(&timers[0], start + 300);  // earlier
    timer_arm(&timers[1], start + 200);
    timer_arm(&timers[1], start + 900);  // later
    timer_arm(&timers[2], start + 600);
    sim_work(5000);
    ck_assert_uint_eq(fired_count, 3);
    ck_assert_uint_eq(fired_at[0], start + 300);
    ck_assert_uint_eq(fired_at[1], start + 900);
    ck_assert_uint_eq(fired_at[2], start + 600);
}
END_TEST

START_TEST(test_timer__cancelled__never_runs_others_do)
{
    begin();
    for (unsigned i = 0; i < 5; i++)
        timer_arm(&timers[i], start + 100 * (i + 1));
    timer_cancel(&timers[0]);  // first, middle, last
    timer_cancel(&timers[2]);
    timer_cancel(&timers[4]);
    timer_cancel(&timers[4]);  // again
    timer_cancel(&timers[5]);  // was never armed
    ck_assert(!timers[2].armed);
    sim_work(5000);
    ck_assert_uint_eq(fired_count, 2);
    ck_assert_uint_eq(fired_at[1], start + 200);
    ck_assert_uint_eq(fired_at[3], start + 400);
}
END_TEST

START_TEST(test_timer__deadline_past__at_once)
{
    begin();
    timer_arm(&timers[0], start - 1);
    ck_assert_uint_eq(fired_count, 1);
    timer_arm(&timers[1], start);
    ck_assert_uint_eq(fired_count, 2);
    timer_arm(&timers[2], 0);
    ck_assert_uint_eq(fired_count, 3);
    ck_assert_uint_eq(plat_time_now(), start);
}
END_TEST

START_TEST(test_timer__irqs_off__waits_for_them)
{
    begin();
    (void)plat_irq_save();
    timer_arm(&timers[0], start + 10);
    sim_work(1000);
    ck_assert_uint_eq(fired_count, 0);
    plat_irq_restore(true);
    ck_assert_uint_eq(fired_count, 1);
    ck_assert_uint_eq(fired_at[0], start + 1000);
}
END_TEST

START_TEST(test_timer__never__disarms)
{
    begin();
    timer_arm(&timers[0], PLAT_NS_NEVER);
    ck_assert(!timers[0].armed);
    timer_arm(&timers[1], start + 10);
    timer_arm(&timers[1], PLAT_NS_NEVER);
    ck_assert(!timers[1].armed);
    sim_work(1000000);
    ck_assert_uint_eq(fired_count, 0);
}
END_TEST

static void every_100(struct timer *timer)
{
    on_fire(timer);
    if (fired_count < 20)
        timer_arm(timer, timer->deadline + 100);
}

START_TEST(test_timer__armed_by_its_callback__periodic)
{
    begin();
    timer_init(&timers[0], every_100, &fired_at[0]);
    timer_arm(&timers[0], start + 100);
    sim_work(1000);
    ck_assert_uint_eq(fired_count, 10);
    sim_work(100000);
    ck_assert_uint_eq(fired_count, 20);
    ck_assert_uint_eq(fired_at[0], start + 2000);
}
END_TEST

static void cancel_self_and_next(struct timer *timer)
{
    on_fire(timer);
    timer_cancel(timer);
    timer_cancel(timer + 1);
}

START_TEST(test_timer__cancelled_by_a_callback__not_run)
{
    begin();
    timer_init(&timers[0], cancel_self_and_next, &fired_at[0]);
    timer_arm(&timers[0], start + 100);
    timer_arm(&timers[1], start + 100);
    timer_arm(&timers[2], start + 100);
    sim_work(1000);
    ck_assert_uint_eq(fired_count, 2);
    ck_assert_uint_eq(fired[0], 0);
    ck_assert_uint_eq(fired[1], 2);
}
END_TEST

static plat_ns quantum_at;
static unsigned quantum_count;

static void on_quantum(void)
{
    quantum_at = plat_time_now();
    quantum_count++;
}

START_TEST(test_timer__quantum__beside_the_timers)
{
    begin();
    timer_quantum_hook(on_quantum);
    timer_arm(&timers[0], start + 100);
    timer_arm(&timers[1], start + 300);
    (void)plat_irq_save();
    timer_quantum_arm(start + 200);
    plat_irq_restore(true);
    sim_work(1000);
    ck_assert_uint_eq(quantum_count, 1);
    ck_assert_uint_eq(quantum_at, start + 200);
    ck_assert_uint_eq(fired_at[0], start + 100);
    ck_assert_uint_eq(fired_at[1], start + 300);
    (void)plat_irq_save();
    timer_quantum_arm(start + 2000);
    timer_quantum_arm(PLAT_NS_NEVER);
    plat_irq_restore(true);
    sim_work(10000);
    ck_assert_uint_eq(quantum_count, 1);
}
END_TEST

START_TEST(test_timer__next__the_earliest_of_all)
{
    begin();
    (void)plat_irq_save();
    ck_assert(timer_next() == PLAT_NS_NEVER);
    timer_arm(&timers[0], start + 200);
    timer_arm(&timers[1], start + 100);
    ck_assert_uint_eq(timer_next(), start + 100);
    timer_quantum_arm(start + 50);
    ck_assert_uint_eq(timer_next(), start + 50);
    timer_quantum_arm(PLAT_NS_NEVER);
    timer_cancel(&timers[1]);
    ck_assert_uint_eq(timer_next(), start + 200);
}
END_TEST

/* ---- two CPUs ---- */

static unsigned slow_cpu;
static bool slow_done;

static void slow(struct timer *timer)
{
    (void)timer;
    slow_cpu = plat_cpu_self();
    sim_work(500);
    slow_done = true;
}

/* On CPU 1. */
static void arm_there(void *argument)
{
    timer_arm(&timers[0], start + (uintptr_t)argument);
}

static world_id on_cpu1(void (*entry)(void *), uintptr_t argument)
{
    const struct world_params params = {
        .name = "cpu1", .entry = entry, .argument = (void *)argument, .affinity = BIT(1)};
    world_id id;

    ck_assert_int_eq(world_create(&params, &id), VMK_OK);
    return id;
}

static void join(world_id id)
{
    int code;

    ck_assert_int_eq(world_wait(id, PLAT_NS_NEVER, &code), VMK_OK);
}

static void cancel_running_entry(void *argument)
{
    (void)argument;
    ck_assert_int_eq(world_sleep_until(plat_time_now() + 1000000), VMK_OK);  // CPU 1 comes up
    start = plat_time_now();
    prepare();
    timer_init(&timers[0], slow, NULL);
    join(on_cpu1(arm_there, 1000000));
    sim_work(start + 1000200 - plat_time_now());
    ck_assert_uint_eq(slow_cpu, 1);  // it runs there now
    ck_assert(!slow_done);
    timer_cancel(&timers[0]);
    ck_assert(slow_done);
    ck_assert_uint_ge(plat_time_now(), start + 1000500);
}

START_TEST(test_timer__cancelled_while_it_runs_elsewhere__waits)
{
    sim_test_begin_cpus(2);
    sim_test_run(cancel_running_entry, NULL);
}
END_TEST

static void move_entry(void *argument)
{
    (void)argument;
    ck_assert_int_eq(world_sleep_until(plat_time_now() + 1000000), VMK_OK);  // CPU 1 comes up
    start = plat_time_now();
    prepare();
    timer_init(&timers[0], slow, NULL);
    timer_arm(&timers[0], start + 1000000);
    join(on_cpu1(arm_there, 2000000));  // from CPU 0's list to CPU 1's
    ck_assert_uint_eq(timers[0].cpu, 1);
    sim_work(start + 1500000 - plat_time_now());
    ck_assert(!slow_done);
    sim_work(1000000);
    ck_assert(slow_done);
    ck_assert_uint_eq(slow_cpu, 1);

    slow_done = false;
    join(on_cpu1(arm_there, 9000000));
    timer_cancel(&timers[0]);  // off the other CPU's list
    sim_work(20000000);
    ck_assert(!slow_done);
}

START_TEST(test_timer__armed_on_another_cpu__runs_there)
{
    sim_test_begin_cpus(2);
    sim_test_run(move_entry, NULL);
}
END_TEST

KERNEL_TEST_MAIN("timer", RUNS(test_timer__armed__once_at_its_instant),
                 RUNS(test_timer__random_deadlines__sorted_and_equal_ones_in_order),
                 RUNS(test_timer__moved__only_the_last_deadline_counts),
                 RUNS(test_timer__cancelled__never_runs_others_do),
                 RUNS(test_timer__deadline_past__at_once),
                 RUNS(test_timer__irqs_off__waits_for_them), RUNS(test_timer__never__disarms),
                 RUNS(test_timer__armed_by_its_callback__periodic),
                 RUNS(test_timer__cancelled_by_a_callback__not_run),
                 RUNS(test_timer__quantum__beside_the_timers),
                 RUNS(test_timer__next__the_earliest_of_all),
                 RUNS(test_timer__cancelled_while_it_runs_elsewhere__waits),
                 RUNS(test_timer__armed_on_another_cpu__runs_there))
