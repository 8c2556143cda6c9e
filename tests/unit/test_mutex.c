// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_mutex.c -- the sleeping lock: exclusion, fairness, kills, misuse.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    what is tested.
 */
#include "core/core.h"
#include "tests/unit/kernel_test.h"
#include "world/mutex.h"
#include "world/world.h"

#define MS 1000000ull

static struct mutex mutex;
static unsigned inside, count, order[8], order_count;

static void sleep_ms(unsigned ms)
{
    (void)!world_sleep_until(plat_time_now() + ms * MS);
}

static world_id begin(void (*entry)(void *), uintptr_t argument)
{
    const struct world_params params = {
        .name = "locker", .entry = entry, .argument = (void *)argument};
    world_id id;

    ck_assert_int_eq(world_create(&params, &id), VMK_OK);
    return id;
}

static void end(world_id id)
{
    int code;

    ck_assert_int_eq(world_wait(id, PLAT_NS_NEVER, &code), VMK_OK);
}

static void work(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 200; i++) {
        mutex_lock(&mutex);
        ck_assert(mutex_held(&mutex));
        ck_assert_uint_eq(inside++, 0);
        if (i % 7 == 0)
            sleep_ms(1);  // blocks while it is held: what it is for
        count++;
        ck_assert_uint_eq(--inside, 0);
        mutex_unlock(&mutex);
    }
}

static void exclusion_entry(void *argument)
{
    world_id ids[4];

    (void)argument;
    sleep_ms(1);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sim_options_set(&(struct sim_options){.seed = seed, .shake = true});
        mutex_init(&mutex, "test");
        count = 0;
        for (unsigned i = 0; i < 4; i++)
            ids[i] = begin(work, i);
        for (unsigned i = 0; i < 4; i++)
            end(ids[i]);
        ck_assert_uint_eq(count, 800);
        ck_assert(mutex_try_lock(&mutex));
        ck_assert(!mutex_try_lock(&mutex));
        mutex_unlock(&mutex);
    }
}

START_TEST(test_mutex__four_worlds_on_two_cpus__one_inside)
{
    sim_test_begin_cpus(2);
    sim_test_run(exclusion_entry, NULL);
}
END_TEST

static void queue_up(void *argument)
{
    mutex_lock(&mutex);
    order[order_count++] = (unsigned)(uintptr_t)argument;
    mutex_unlock(&mutex);
}

static void order_entry(void *argument)
{
    world_id ids[5];

    (void)argument;
    mutex_init(&mutex, "test");
    mutex_lock(&mutex);
    for (unsigned i = 0; i < 5; i++) {
        ids[i] = begin(queue_up, i);
        sleep_ms(1);
    }
    // Handed over: who unlocks and locks at once comes last.
    mutex_unlock(&mutex);
    mutex_lock(&mutex);
    ck_assert_uint_eq(order_count, 5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(order[i], i);
    mutex_unlock(&mutex);
    for (unsigned i = 0; i < 5; i++)
        end(ids[i]);
}

START_TEST(test_mutex__waiters__first_come_first_served)
{
    sim_test_begin();
    sim_test_run(order_entry, NULL);
}
END_TEST

static void kill_entry(void *argument)
{
    world_id id;

    (void)argument;
    mutex_init(&mutex, "test");
    mutex_lock(&mutex);
    id = begin(queue_up, 7);
    sleep_ms(1);
    ck_assert_int_eq(world_kill(id), VMK_OK);
    sleep_ms(1);
    ck_assert_uint_eq(order_count, 0);  // killed, and still it does not pass without the lock
    mutex_unlock(&mutex);
    end(id);
    ck_assert_uint_eq(order_count, 1);
}

START_TEST(test_mutex__killed_while_it_waits__still_gets_it_first)
{
    sim_test_begin();
    sim_test_run(kill_entry, NULL);
}
END_TEST

static void kill_at_once_entry(void *argument)
{
    world_id ids[2];

    (void)argument;
    mutex_init(&mutex, "test");
    mutex_lock(&mutex);
    for (unsigned i = 0; i < 2; i++) {
        ids[i] = begin(queue_up, i);
        sleep_ms(1);
    }

    bool irqs = plat_irq_save();  // the killed do not run before the unlock

    ck_assert_int_eq(world_kill(ids[0]), VMK_OK);
    ck_assert_int_eq(world_kill(ids[1]), VMK_OK);
    mutex_unlock(&mutex);
    plat_irq_restore(irqs);
    for (unsigned i = 0; i < 2; i++)
        end(ids[i]);
    ck_assert_uint_eq(order_count, 2);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(order[i], i);
}

START_TEST(test_mutex__unlocked_right_after_kills__keeps_the_order)
{
    sim_test_begin();
    sim_test_run(kill_at_once_entry, NULL);
}
END_TEST

static void twice_entry(void *argument)
{
    (void)argument;
    mutex_init(&mutex, "test");
    mutex_lock(&mutex);
    mutex_lock(&mutex);
}

START_TEST(test_mutex__locked_twice__panics)
{
    sim_test_begin();
    sim_test_run(twice_entry, NULL);
}
END_TEST

static void foreign_entry(void *argument)
{
    (void)argument;
    mutex_init(&mutex, "test");
    mutex_unlock(&mutex);
}

START_TEST(test_mutex__unlocked_by_another__panics)
{
    sim_test_begin();
    sim_test_run(foreign_entry, NULL);
}
END_TEST

KERNEL_TEST_MAIN("mutex", RUNS(test_mutex__four_worlds_on_two_cpus__one_inside),
                 RUNS(test_mutex__waiters__first_come_first_served),
                 RUNS(test_mutex__killed_while_it_waits__still_gets_it_first),
                 RUNS(test_mutex__unlocked_right_after_kills__keeps_the_order),
                 PANICS(test_mutex__locked_twice__panics),
                 PANICS(test_mutex__unlocked_by_another__panics))
