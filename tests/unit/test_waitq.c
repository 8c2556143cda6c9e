// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_waitq.c -- wait queues: order, time-outs, kills, no wake-up lost.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 *   - A sleeper checks on return that its irqs are off and the queue's lock is free.
 * Locking    `entered` and `left` under queue.lock or by worlds of one CPU in turn.
 */
#include "core/core.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define SLEEPERS 6u
#define MS       1000000ull

static struct wait_queue queue;

static struct sleeper {
    world_id id;
    plat_ns deadline;
    vmk_status status;
    plat_ns left_at;
} sleepers[SLEEPERS];
static unsigned entered[SLEEPERS], entered_count;
static unsigned left[SLEEPERS], left_count;

static void sleep_once(void *argument)
{
    struct sleeper *s = argument;

    (void)plat_irq_save();
    spin_lock_irqs_off(&queue.lock);
    entered[entered_count++] = (unsigned)(s - sleepers);
    s->status = wait_queue_block(&queue, s->deadline);
    ck_assert(!plat_irq_enabled());
    ck_assert(!spin_held(&queue.lock));
    ck_assert_uint_eq(spin_held_count(), 0);
    s->left_at = plat_time_now();
    left[left_count++] = (unsigned)(s - sleepers);
    plat_irq_restore(true);
}

static void sleep_ms(unsigned ms)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + ms * MS), VMK_OK);
}

/* Makes so many sleepers; they block before it returns. */
static void begin(unsigned count, plat_ns deadline)
{
    wait_queue_init(&queue, "test");
    for (unsigned i = 0; i < count; i++) {
        const struct world_params params = {
            .name = "sleeper", .entry = sleep_once, .argument = &sleepers[i]};

        sleepers[i].deadline = deadline;
        ck_assert_int_eq(world_create(&params, &sleepers[i].id), VMK_OK);
    }
    sleep_ms(1);
    ck_assert_uint_eq(entered_count, count);
    ck_assert_uint_eq(left_count, 0);
}

static void end(unsigned count)
{
    int code;

    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(world_wait(sleepers[i].id, PLAT_NS_NEVER, &code), VMK_OK);
}

static void order_entry(void *argument)
{
    (void)argument;
    begin(SLEEPERS, PLAT_NS_NEVER);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        ck_assert_uint_eq(wait_queue_wake(&queue, 1), 1);
        sleep_ms(1);
        ck_assert_uint_eq(left_count, i + 1);
        ck_assert_uint_eq(left[i], entered[i]);
        ck_assert_int_eq(sleepers[left[i]].status, VMK_OK);
    }
    ck_assert_uint_eq(wait_queue_wake(&queue, 1), 0);
    end(SLEEPERS);
}

START_TEST(test_waitq__woken_one_by_one__first_in_first_out)
{
    sim_test_begin();
    sim_test_run(order_entry, NULL);
}
END_TEST

static void count_entry(void *argument)
{
    (void)argument;
    begin(SLEEPERS, PLAT_NS_NEVER);
    ck_assert_uint_eq(wait_queue_wake(&queue, 0), 0);
    sleep_ms(1);
    ck_assert_uint_eq(left_count, 0);
    ck_assert_uint_eq(wait_queue_wake(&queue, 2), 2);
    sleep_ms(1);
    ck_assert_uint_eq(left_count, 2);
    ck_assert_uint_eq(wait_queue_wake(&queue, WAIT_QUEUE_ALL), SLEEPERS - 2);
    sleep_ms(1);
    ck_assert_uint_eq(left_count, SLEEPERS);
    end(SLEEPERS);
}

START_TEST(test_waitq__wake_count__that_many)
{
    sim_test_begin();
    sim_test_run(count_entry, NULL);
}
END_TEST

static void timeout_entry(void *argument)
{
    plat_ns deadline = plat_time_now() + 5 * MS;

    (void)argument;
    begin(2, deadline);
    ck_assert_uint_eq(wait_queue_wake(&queue, 1), 1);  // in time
    sleep_ms(20);
    ck_assert_uint_eq(left_count, 2);
    ck_assert_int_eq(sleepers[left[0]].status, VMK_OK);
    ck_assert_uint_lt(sleepers[left[0]].left_at, deadline);
    ck_assert_int_eq(sleepers[left[1]].status, VMK_TIMEOUT);
    ck_assert_uint_eq(sleepers[left[1]].left_at, deadline);
    ck_assert_uint_eq(wait_queue_wake(&queue, WAIT_QUEUE_ALL), 0);  // nobody left behind
    end(2);
}

START_TEST(test_waitq__deadline__timeout_at_its_instant)
{
    sim_test_begin();
    sim_test_run(timeout_entry, NULL);
}
END_TEST

static void past_entry(void *argument)
{
    plat_ns now;

    (void)argument;
    sleep_ms(1);
    now = plat_time_now();
    wait_queue_init(&queue, "test");
    for (unsigned i = 0; i < 2; i++) {
        sleepers[0].deadline = now - i * now;
        entered_count = left_count = 0;
        sleep_once(&sleepers[0]);
        ck_assert_int_eq(sleepers[0].status, VMK_TIMEOUT);
        ck_assert_uint_eq(plat_time_now(), now);
    }
    ck_assert_uint_eq(wait_queue_wake(&queue, WAIT_QUEUE_ALL), 0);
}

START_TEST(test_waitq__deadline_past__timeout_at_once)
{
    sim_test_begin();
    sim_test_run(past_entry, NULL);
}
END_TEST

static void wake_later(void *argument)
{
    (void)argument;
    sleep_ms(1);
    ck_assert_uint_eq(wait_queue_wake(&queue, 1), 1);
}

static void again_entry(void *argument)
{
    const struct world_params params = {.name = "waker", .entry = wake_later};
    world_id waker;
    int code;

    (void)argument;
    wait_queue_init(&queue, "test");
    sleepers[0].deadline = plat_time_now();
    sleep_once(&sleepers[0]);
    ck_assert_int_eq(sleepers[0].status, VMK_TIMEOUT);
    // The same world's next wait knows nothing of that.
    ck_assert_int_eq(world_create(&params, &waker), VMK_OK);
    sleepers[0].deadline = PLAT_NS_NEVER;
    sleep_once(&sleepers[0]);
    ck_assert_int_eq(sleepers[0].status, VMK_OK);
    ck_assert_int_eq(world_wait(waker, PLAT_NS_NEVER, &code), VMK_OK);
}

START_TEST(test_waitq__after_a_timeout__next_wait_is_ok)
{
    sim_test_begin();
    sim_test_run(again_entry, NULL);
}
END_TEST

static void kill_entry(void *argument)
{
    (void)argument;
    begin(3, PLAT_NS_NEVER);

    unsigned victim = entered[1];

    ck_assert_int_eq(world_kill(sleepers[victim].id), VMK_OK);
    sleep_ms(1);
    ck_assert_uint_eq(left_count, 1);
    ck_assert_uint_eq(left[0], victim);
    ck_assert_int_eq(sleepers[victim].status, VMK_KILLED);
    ck_assert_uint_eq(wait_queue_wake(&queue, WAIT_QUEUE_ALL), 2);
    end(3);
    ck_assert_int_eq(sleepers[entered[0]].status, VMK_OK);
    ck_assert_int_eq(sleepers[entered[2]].status, VMK_OK);
}

START_TEST(test_waitq__killed__that_one_only)
{
    sim_test_begin();
    sim_test_run(kill_entry, NULL);
}
END_TEST

static void killed_before(void *argument)
{
    struct sleeper *s = argument;

    sim_work(MS);  // the kill comes meanwhile
    sleep_once(s);
}

static void kill_first_entry(void *argument)
{
    const struct world_params params = {
        .name = "busy", .entry = killed_before, .argument = &sleepers[0]};
    int code;

    (void)argument;
    wait_queue_init(&queue, "test");
    sleepers[0].deadline = PLAT_NS_NEVER;
    ck_assert_int_eq(world_create(&params, &sleepers[0].id), VMK_OK);
    ck_assert_int_eq(world_kill(sleepers[0].id), VMK_OK);
    ck_assert_int_eq(world_wait(sleepers[0].id, PLAT_NS_NEVER, &code), VMK_OK);
    ck_assert_int_eq(sleepers[0].status, VMK_KILLED);
    ck_assert_uint_eq(wait_queue_wake(&queue, WAIT_QUEUE_ALL), 0);
}

START_TEST(test_waitq__killed_before__does_not_block)
{
    sim_test_begin();
    sim_test_run(kill_first_entry, NULL);
}
END_TEST

/* ---- no wake-up is lost: two CPUs pass a token, switched at every lock, many seeds ---- */

#define ROUNDS 300u

static unsigned turn, passes;

static void play(void *argument)
{
    unsigned side = (unsigned)(uintptr_t)argument;

    for (unsigned i = 0; i < ROUNDS; i++) {
        bool irqs = spin_lock(&queue.lock);

        while (turn != side) {
            // A wake-up that is lost shows here instead of as a run that never ends.
            ck_assert_int_eq(wait_queue_block(&queue, plat_time_now() + 1000 * MS), VMK_OK);
            spin_lock_irqs_off(&queue.lock);
        }
        turn = !side;
        passes++;
        spin_unlock(&queue.lock, irqs);
        (void)wait_queue_wake(&queue, 1);
    }
}

static void token_entry(void *argument)
{
    (void)argument;
    sleep_ms(1);  // CPU 1 comes up
    for (uint64_t seed = 1; seed <= 40; seed++) {
        world_id ids[2];
        int code;

        sim_options_set(&(struct sim_options){.seed = seed, .shake = true});
        wait_queue_init(&queue, "token");
        turn = passes = 0;
        for (uintptr_t i = 0; i < 2; i++) {
            const struct world_params params = {
                .name = "player", .entry = play, .argument = (void *)i, .affinity = BIT(i)};

            ck_assert_int_eq(world_create(&params, &ids[i]), VMK_OK);
        }
        for (unsigned i = 0; i < 2; i++)
            ck_assert_int_eq(world_wait(ids[i], PLAT_NS_NEVER, &code), VMK_OK);
        ck_assert_uint_eq(passes, 2 * ROUNDS);
    }
}

START_TEST(test_waitq__two_cpus_pass_a_token__no_wake_lost)
{
    sim_test_begin_cpus(2);
    sim_test_run(token_entry, NULL);
}
END_TEST

/* ---- misuse ---- */

START_TEST(test_waitq__idle_world_blocks__panics)
{
    sim_test_begin();
    wait_queue_init(&queue, "test");
    spin_lock_irqs_off(&queue.lock);
    (void)!wait_queue_block(&queue, PLAT_NS_NEVER);
}
END_TEST

static void unlocked_entry(void *argument)
{
    (void)argument;
    wait_queue_init(&queue, "test");
    (void)plat_irq_save();
    (void)!wait_queue_block(&queue, plat_time_now() + MS);
}

START_TEST(test_waitq__blocks_without_the_lock__panics)
{
    sim_test_begin();
    sim_test_run(unlocked_entry, NULL);
}
END_TEST

static struct spinlock other;

static void other_lock_entry(void *argument)
{
    (void)argument;
    wait_queue_init(&queue, "test");
    spin_init(&other, "other", LOCK_RANK_WORLD);
    (void)plat_irq_save();
    spin_lock_irqs_off(&other);
    spin_lock_irqs_off(&queue.lock);
    (void)!wait_queue_block(&queue, plat_time_now() + MS);
}

START_TEST(test_waitq__blocks_with_another_lock__panics)
{
    sim_test_begin();
    sim_test_run(other_lock_entry, NULL);
}
END_TEST

KERNEL_TEST_MAIN("waitq", RUNS(test_waitq__woken_one_by_one__first_in_first_out),
                 RUNS(test_waitq__wake_count__that_many),
                 RUNS(test_waitq__deadline__timeout_at_its_instant),
                 RUNS(test_waitq__deadline_past__timeout_at_once),
                 RUNS(test_waitq__after_a_timeout__next_wait_is_ok),
                 RUNS(test_waitq__killed__that_one_only),
                 RUNS(test_waitq__killed_before__does_not_block),
                 RUNS(test_waitq__two_cpus_pass_a_token__no_wake_lost),
                 PANICS(test_waitq__idle_world_blocks__panics),
                 PANICS(test_waitq__blocks_without_the_lock__panics),
                 PANICS(test_waitq__blocks_with_another_lock__panics))
