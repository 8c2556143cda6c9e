// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_world.c -- the life of worlds, and their times.
 *
 * Kernel code takes no virtual time, so the times of a world are known to the nanosecond.
 *
 * Invariants
 *   - joined() fails if a world's stack or struct is left behind.
 * Locking    none; the CPUs of the simulator take turns.
 */
#include <string.h>

#include "core/core.h"
#include "core/heap.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"
#include "world/world_internal.h"

#define MS 1000000ull

static world_id spawn(void (*entry)(void *), void *argument)
{
    const struct world_params params = {.name = "child", .entry = entry, .argument = argument};
    world_id id;

    ck_assert_int_eq(world_create(&params, &id), VMK_OK);
    return id;
}

static int join(world_id id)
{
    int code = -999;

    ck_assert_int_eq(world_wait(id, PLAT_NS_NEVER, &code), VMK_OK);
    return code;
}

static void sleep_ms(unsigned ms)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + ms * MS), VMK_OK);
}

/* Runs `entry` in a world; all that it made has to be gone at its end. */
static void run(unsigned cpus, void (*entry)(void *))
{
    sim_test_begin_cpus(cpus);

    uint64_t pages = page_owned_count(MEM_OWNER_WORLD);
    uint64_t bytes = heap_owned(MEM_OWNER_WORLD);

    sim_test_run(entry, NULL);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_WORLD), pages);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_WORLD), bytes);
    ck_assert_uint_eq(this_host()->world->count, 0);
}

/* ---- create, exit, wait ---- */

static void exits_with(void *argument)
{
    world_exit(*(int *)argument);
}

static void sets_99(void *argument)
{
    *(int *)argument = 99;
}

static void codes_entry(void *argument)
{
    int codes[] = {7, -1, 0};
    int code, set = 0;
    world_id last = {0};

    (void)argument;
    for (unsigned i = 0; i < 3; i++) {
        world_id id = spawn(exits_with, &codes[i]);

        ck_assert_uint_ge(id.raw, WORLD_ID_FIRST);
        ck_assert_uint_gt(id.raw, last.raw);  // never used again
        ck_assert_int_eq(join(id), codes[i]);
        ck_assert_int_eq(world_wait(id, PLAT_NS_NEVER, &code), VMK_NOT_FOUND);
        last = id;
    }
    ck_assert_int_eq(join(spawn(sets_99, &set)), 0);  // returns instead
    ck_assert_int_eq(set, 99);
}

START_TEST(test_world__ended__code_once_and_memory_back)
{
    run(1, codes_entry);
}
END_TEST

static void late_entry(void *argument)
{
    int five = 5;
    world_id id = spawn(exits_with, &five);

    (void)argument;
    sleep_ms(50);                              // a zombie for long
    ck_assert_int_eq(world_kill(id), VMK_OK);  // killing the dead changes nothing
    ck_assert_int_eq(join(id), 5);
    ck_assert_int_eq(world_kill(id), VMK_NOT_FOUND);
}

START_TEST(test_world__waited_for_late__code_is_kept)
{
    run(1, late_entry);
}
END_TEST

static void sleeps_10ms(void *argument)
{
    (void)argument;
    sleep_ms(10);
}

static void no_world_entry(void *argument)
{
    const world_id none[] = {{0}, {1}, {2}, {999999}};
    struct world_times times;
    int code;

    (void)argument;
    for (unsigned i = 0; i < ARRAY_COUNT(none); i++) {
        ck_assert_int_eq(world_wait(none[i], PLAT_NS_NEVER, &code), VMK_NOT_FOUND);
        ck_assert_int_eq(world_kill(none[i]), VMK_NOT_FOUND);
    }
    ck_assert_int_eq(world_times_get(none[3], &times), VMK_NOT_FOUND);
    ck_assert_int_eq(world_times_get(none[1], &times), VMK_OK);  // idle worlds have times
}

START_TEST(test_world__unknown_or_idle__not_found)
{
    run(1, no_world_entry);
}
END_TEST

static void timeout_entry(void *argument)
{
    plat_ns start = plat_time_now();
    world_id id = spawn(sleeps_10ms, NULL);
    int code;

    (void)argument;
    ck_assert_int_eq(world_wait(id, start + 4 * MS, &code), VMK_TIMEOUT);
    ck_assert_uint_eq(plat_time_now(), start + 4 * MS);
    ck_assert_int_eq(world_wait(id, start, &code), VMK_TIMEOUT);  // past
    ck_assert_int_eq(world_wait(id, start + 100 * MS, &code), VMK_OK);
    ck_assert_uint_eq(plat_time_now(), start + 10 * MS);
}

START_TEST(test_world__wait_with_deadline__timeout_then_ok)
{
    run(1, timeout_entry);
}
END_TEST

static world_id shared_child;
static unsigned got_code, got_none;

static void waits_for_shared(void *argument)
{
    int code;

    (void)argument;
    switch (world_wait(shared_child, PLAT_NS_NEVER, &code)) {
    case VMK_OK: got_code++; break;
    case VMK_NOT_FOUND: got_none++; break;
    default: ck_abort();
    }
}

static void many_waiters_entry(void *argument)
{
    world_id ids[4];

    (void)argument;
    shared_child = spawn(sleeps_10ms, NULL);
    for (unsigned i = 0; i < 4; i++)
        ids[i] = spawn(waits_for_shared, NULL);
    for (unsigned i = 0; i < 4; i++)
        join(ids[i]);
    ck_assert_uint_eq(got_code, 1);
    ck_assert_uint_eq(got_none, 3);
}

START_TEST(test_world__four_wait_for_one__one_gets_the_code)
{
    run(1, many_waiters_entry);
}
END_TEST

/* ---- kill ---- */

static vmk_status seen_status;
static bool seen_pending;

static void sleeps_long(void *argument)
{
    (void)argument;
    seen_status = world_sleep_until(plat_time_now() + 1000 * MS);
    seen_pending = world_kill_pending();
}

static void computes(void *argument)
{
    (void)argument;
    while (!world_kill_pending())
        sim_work(MS / 10);
    seen_status = world_sleep_until(plat_time_now() + 1000 * MS);
}

static void kill_sleeper_entry(void *argument)
{
    plat_ns start = plat_time_now();
    world_id id = spawn(sleeps_long, NULL);

    (void)argument;
    ck_assert(!world_kill_pending());
    sleep_ms(3);
    ck_assert_int_eq(world_kill(id), VMK_OK);
    (void)join(id);
    ck_assert_int_eq(seen_status, VMK_KILLED);
    ck_assert(seen_pending);
    ck_assert_uint_eq(plat_time_now(), start + 3 * MS);
}

START_TEST(test_world__sleeper_killed__wakes_at_once)
{
    run(1, kill_sleeper_entry);
}
END_TEST

static void kill_runner_entry(void *argument)
{
    plat_ns start = plat_time_now();
    world_id id = spawn(computes, NULL);

    (void)argument;
    sleep_ms(3);
    ck_assert_int_eq(world_kill(id), VMK_OK);
    (void)join(id);
    ck_assert_int_eq(seen_status, VMK_KILLED);
    ck_assert_uint_lt(plat_time_now(), start + 100 * MS);
}

START_TEST(test_world__runner_killed__sees_it_and_cannot_block)
{
    run(1, kill_runner_entry);
}
END_TEST

static void waits_for_sleeper(void *argument)
{
    int code;

    seen_status = world_wait(*(world_id *)argument, PLAT_NS_NEVER, &code);
}

static void kill_waiter_entry(void *argument)
{
    world_id child = spawn(sleeps_10ms, NULL);
    world_id waiter = spawn(waits_for_sleeper, &child);

    (void)argument;
    sleep_ms(1);
    ck_assert_int_eq(world_kill(waiter), VMK_OK);
    (void)join(waiter);
    ck_assert_int_eq(seen_status, VMK_KILLED);
    ck_assert_int_eq(join(child), 0);  // the child is not touched
}

START_TEST(test_world__waiter_killed__child_stays)
{
    run(1, kill_waiter_entry);
}
END_TEST

/* ---- times ---- */

static void check_identity(world_id id)
{
    struct world_times t;

    ck_assert_int_eq(world_times_get(id, &t), VMK_OK);
    ck_assert_uint_eq(t.run + t.ready + t.wait, plat_time_now() - t.created);
}

static void works_3_sleeps_5(void *argument)
{
    (void)argument;
    sim_work(3 * MS);
    sleep_ms(5);
}

static void times_entry(void *argument)
{
    plat_ns start = plat_time_now();
    world_id id = spawn(works_3_sleeps_5, NULL);
    struct world_times t;

    (void)argument;
    sleep_ms(20);
    ck_assert_int_eq(world_times_get(id, &t), VMK_OK);
    ck_assert_uint_eq(t.created, start);
    ck_assert_uint_eq(t.run, 3 * MS);
    ck_assert_uint_eq(t.ready, 0);
    ck_assert_uint_eq(t.wait, 17 * MS);  // 5 asleep, 12 a zombie
    ck_assert_uint_eq(t.switches, 2);
    (void)join(id);
}

START_TEST(test_world__alone__times_exact)
{
    run(1, times_entry);
}
END_TEST

static void works_100(void *argument)
{
    (void)argument;
    sim_work(100 * MS);
}

static void contended_entry(void *argument)
{
    world_id ids[2] = {spawn(works_100, NULL), spawn(works_100, NULL)};
    struct world_times t;
    plat_ns waited = 0;

    (void)argument;
    for (unsigned i = 0; i < 30; i++) {
        sleep_ms(7);
        for (unsigned k = 0; k < 2; k++)
            check_identity(ids[k]);
        check_identity(world_current()->id);
        check_identity((world_id){1});
    }
    for (unsigned k = 0; k < 2; k++) {
        ck_assert_int_eq(world_times_get(ids[k], &t), VMK_OK);
        ck_assert_uint_eq(t.run, 100 * MS);
        ck_assert_uint_ge(t.ready, 80 * MS);  // while the other ran
        waited += t.ready;
        (void)join(ids[k]);
    }
    ck_assert_uint_le(waited, 200 * MS);
}

START_TEST(test_world__two_on_one_cpu__run_ready_wait_add_up)
{
    run(1, contended_entry);
}
END_TEST

/* ---- the rest of the contract ---- */

static unsigned ins, outs, cpu_seen;

static void count_in(struct world *w)
{
    ck_assert(!plat_irq_enabled());
    ck_assert_ptr_eq(w->owner, &ins);
    ins++;
}

static void count_out(struct world *w)
{
    ck_assert_ptr_eq(w->owner, &ins);
    outs++;
    ck_assert_uint_eq(outs, ins);
}

static void notes_cpu(void *argument)
{
    struct world *self = world_current();

    (void)argument;
    ck_assert_str_eq(self->name, "a name of more than 23 ");
    ck_assert(plat_irq_enabled());
    (void)plat_irq_save();
    cpu_seen = plat_cpu_self();
    plat_irq_restore(true);
    sleep_ms(1);
    sleep_ms(1);
}

static void params_entry(void *argument)
{
    const struct world_params params = {.name = "a name of more than 23 letters",
                                        .entry = notes_cpu,
                                        .affinity = BIT(1),
                                        .switch_in = count_in,
                                        .switch_out = count_out,
                                        .owner = &ins};
    world_id id;

    (void)argument;
    sleep_ms(1);  // CPU 1 comes up
    ck_assert_int_eq(world_create(&params, &id), VMK_OK);
    (void)join(id);
    ck_assert_uint_eq(cpu_seen, 1);
    ck_assert_uint_eq(ins, 3);
    ck_assert_uint_eq(outs, 3);
}

START_TEST(test_world__params__name_cpu_and_hooks)
{
    run(2, params_entry);
}
END_TEST

START_TEST(test_world__bad_params__refused)
{
    const struct world_params no_entry = {.name = "x"};
    const struct world_params no_name = {.entry = works_100};
    world_id id;

    sim_test_begin();
    ck_assert_int_eq(world_create(&no_entry, &id), VMK_BAD_PARAM);
    ck_assert_int_eq(world_create(&no_name, &id), VMK_BAD_PARAM);
}
END_TEST

START_TEST(test_world__no_memory_for_a_stack__refused_nothing_lost)
{
    const struct world_params params = {.name = "x", .entry = works_100};
    uint64_t bytes;
    world_id id;
    mpn_t mpn;

    sim_test_begin();
    bytes = heap_owned(MEM_OWNER_WORLD);
    heap_free(heap_alloc(sizeof(struct world), MEM_OWNER_TEST));  // the heap has a page for it
    while (page_alloc(WORLD_STACK_ORDER, MEM_OWNER_TEST, &mpn) == VMK_OK)
        ;
    ck_assert_int_eq(world_create(&params, &id), VMK_NO_MEMORY);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_WORLD), bytes);
    while (page_alloc(0, MEM_OWNER_TEST, &mpn) == VMK_OK)
        ;
    ck_assert_int_eq(world_create(&params, &id), VMK_NO_MEMORY);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_WORLD), bytes);
}
END_TEST

static void count_world(struct world *w, void *argument)
{
    (void)w;
    ++*(unsigned *)argument;
}

static void visit_entry(void *argument)
{
    world_id ids[3];
    unsigned count = 0;

    (void)argument;
    for (unsigned i = 0; i < 3; i++)
        ids[i] = spawn(sleeps_10ms, NULL);
    world_for_all(count_world, &count);
    ck_assert_uint_eq(count, 5);  // the idle world, this one, three
    for (unsigned i = 0; i < 3; i++)
        (void)join(ids[i]);
    count = 0;
    world_for_all(count_world, &count);
    ck_assert_uint_eq(count, 2);
}

START_TEST(test_world__for_all__each_once)
{
    run(1, visit_entry);
}
END_TEST

START_TEST(test_world__idle_world_exits__panics)
{
    sim_test_begin();
    world_exit(0);
}
END_TEST

KERNEL_TEST_MAIN("world", RUNS(test_world__ended__code_once_and_memory_back),
                 RUNS(test_world__waited_for_late__code_is_kept),
                 RUNS(test_world__unknown_or_idle__not_found),
                 RUNS(test_world__wait_with_deadline__timeout_then_ok),
                 RUNS(test_world__four_wait_for_one__one_gets_the_code),
                 RUNS(test_world__sleeper_killed__wakes_at_once),
                 RUNS(test_world__runner_killed__sees_it_and_cannot_block),
                 RUNS(test_world__waiter_killed__child_stays),
                 RUNS(test_world__alone__times_exact),
                 RUNS(test_world__two_on_one_cpu__run_ready_wait_add_up),
                 RUNS(test_world__params__name_cpu_and_hooks),
                 RUNS(test_world__bad_params__refused),
                 RUNS(test_world__no_memory_for_a_stack__refused_nothing_lost),
                 RUNS(test_world__for_all__each_once),
                 PANICS(test_world__idle_world_exits__panics))
