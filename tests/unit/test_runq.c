// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_runq.c -- the run queue.
 *
 * Small cases exhaustively: all orders of arrival, all subsets pinned, every one removed.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "core/core.h"
#include "sched/runq.h"
#include "tests/unit/kernel_test.h"

#define WORLDS 5u

static struct run_queue queue;
static struct world worlds[WORLDS];

static void begin(void)
{
    runq_init(&queue, 0);
    for (unsigned i = 0; i < WORLDS; i++)
        worlds[i] = (struct world){.state = WORLD_READY, .affinity = ~0ull};
}

START_TEST(test_runq__all_keys_of_five__least_first_ties_in_order)
{
    for (unsigned code = 0; code < 3125; code++) {
        unsigned keys[WORLDS];

        begin();
        for (unsigned i = 0, rest = code; i < WORLDS; i++, rest /= 5) {
            keys[i] = rest % 5;
            runq_insert(&queue, &worlds[i], keys[i]);
        }
        for (unsigned n = 0; n < WORLDS; n++) {
            unsigned best = WORLDS;

            for (unsigned i = 0; i < WORLDS; i++) {
                if (runq_is_queued(&worlds[i]) && (best == WORLDS || keys[i] < keys[best]))
                    best = i;
            }
            ck_assert_ptr_eq(runq_first(&queue), &worlds[best]);
            ck_assert_uint_eq(runq_key(&queue), keys[best]);
            runq_remove(&queue, &worlds[best]);
        }
        ck_assert_ptr_null(runq_first(&queue));
        ck_assert(runq_key(&queue) == RUNQ_KEY_NONE);
    }
}
END_TEST

START_TEST(test_runq__any_one_removed__others_keep_their_order)
{
    for (unsigned removed = 0; removed < WORLDS; removed++) {
        begin();
        for (unsigned i = 0; i < WORLDS; i++)
            runq_insert(&queue, &worlds[i], i * 3 % WORLDS);
        runq_remove(&queue, &worlds[removed]);
        for (unsigned key = 0; key < WORLDS; key++) {
            for (unsigned i = 0; i < WORLDS; i++) {
                if (i * 3 % WORLDS != key || i == removed)
                    continue;
                ck_assert_ptr_eq(runq_first(&queue), &worlds[i]);
                runq_remove(&queue, &worlds[i]);
            }
        }
    }
}
END_TEST

START_TEST(test_runq__any_subset_pinned__first_allowed)
{
    for (unsigned pinned = 0; pinned < 1u << WORLDS; pinned++) {
        struct world *expected = NULL;

        begin();
        for (unsigned i = 0; i < WORLDS; i++) {
            worlds[i].affinity = pinned & (1u << i) ? BIT(0) : BIT(0) | BIT(1);
            runq_insert(&queue, &worlds[i], 10 - i);
            if (!(pinned & (1u << i)))
                expected = &worlds[i];
        }
        ck_assert_ptr_eq(runq_first_allowed(&queue, 1), expected);
        ck_assert_ptr_eq(runq_first_allowed(&queue, 0), &worlds[WORLDS - 1]);
    }
}
END_TEST

START_TEST(test_runq__inserted_twice__panics)
{
    begin();
    runq_insert(&queue, &worlds[0], 1);
    runq_insert(&queue, &worlds[0], 2);
}
END_TEST

START_TEST(test_runq__not_ready__panics)
{
    begin();
    worlds[0].state = WORLD_BLOCKED;
    runq_insert(&queue, &worlds[0], 1);
}
END_TEST

START_TEST(test_runq__removed_when_absent__panics)
{
    begin();
    runq_remove(&queue, &worlds[0]);
}
END_TEST

KERNEL_TEST_MAIN("runq", RUNS(test_runq__all_keys_of_five__least_first_ties_in_order),
                 RUNS(test_runq__any_one_removed__others_keep_their_order),
                 RUNS(test_runq__any_subset_pinned__first_allowed),
                 PANICS(test_runq__inserted_twice__panics),
                 PANICS(test_runq__not_ready__panics),
                 PANICS(test_runq__removed_when_absent__panics))
