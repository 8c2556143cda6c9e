// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_sched_policy.c -- the policies as pure functions.
 *
 * A policy sees a queue and a time; no world runs here.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "sched/runq.h"
#include "tests/unit/kernel_test.h"

static struct run_queue queue;
static struct world worlds[3], idle;

static void begin(void)
{
    runq_init(&queue, 0);
    queue.idle = &idle;
    for (unsigned i = 0; i < 3; i++) {
        worlds[i] = (struct world){.state = WORLD_READY, .affinity = ~0ull};
        worlds[i].sched.shares = SCHED_SHARES_DEFAULT;
    }
}

START_TEST(test_share__charge__time_over_shares)
{
    begin();
    worlds[0].sched.shares = 2 * SCHED_SHARES_DEFAULT;
    sched_policy_share.charge(&queue, &worlds[0], 1000);
    sched_policy_share.charge(&queue, &worlds[1], 1000);
    ck_assert_uint_eq(worlds[0].sched.virtual_time, 500);
    ck_assert_uint_eq(worlds[1].sched.virtual_time, 1000);
}
END_TEST

START_TEST(test_share__woken__raised_to_floor_preempted_is_not)
{
    begin();
    queue.floor = 1000;
    sched_policy_share.ready(&queue, &worlds[0], 0, true);
    sched_policy_share.ready(&queue, &worlds[1], 0, false);
    ck_assert_uint_eq(worlds[0].sched.virtual_time, 1000);
    ck_assert_uint_eq(worlds[1].sched.virtual_time, 0);
    ck_assert_ptr_eq(sched_policy_share.pick(&queue, 0), &worlds[1]);
}
END_TEST

START_TEST(test_share__far_ahead__debt_is_capped)
{
    begin();
    queue.floor = 1000;
    worlds[0].sched.virtual_time = 1000000000000ull;
    sched_policy_share.ready(&queue, &worlds[0], 0, true);
    ck_assert_uint_eq(worlds[0].sched.virtual_time, 1000 + 8 * SCHED_QUANTUM_NS);
}
END_TEST

START_TEST(test_share__preempts__idle_and_who_is_far_ahead)
{
    begin();
    ck_assert(sched_policy_share.preempts(&queue, &worlds[0], &idle));
    ck_assert(!sched_policy_share.preempts(&queue, &worlds[0], &worlds[1]));
    worlds[1].sched.virtual_time = 1000001;
    ck_assert(sched_policy_share.preempts(&queue, &worlds[0], &worlds[1]));
}
END_TEST

START_TEST(test_rr__pick__longest_ready_first)
{
    begin();
    sched_policy_rr.ready(&queue, &worlds[2], 10, false);
    sched_policy_rr.ready(&queue, &worlds[0], 20, true);
    sched_policy_rr.ready(&queue, &worlds[1], 20, false);
    ck_assert_ptr_eq(sched_policy_rr.pick(&queue, 30), &worlds[2]);
    ck_assert_ptr_eq(sched_policy_rr.pick(&queue, 30), &worlds[0]);
    sched_policy_rr.leave(&queue, &worlds[1]);
    ck_assert_ptr_null(sched_policy_rr.pick(&queue, 30));
}
END_TEST

KERNEL_TEST_MAIN("sched_policy", RUNS(test_share__charge__time_over_shares),
                 RUNS(test_share__woken__raised_to_floor_preempted_is_not),
                 RUNS(test_share__far_ahead__debt_is_capped),
                 RUNS(test_share__preempts__idle_and_who_is_far_ahead),
                 RUNS(test_rr__pick__longest_ready_first))
