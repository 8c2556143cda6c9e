// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_gps.c -- the fluid ideal against closed forms, and its laws on random trees.
 */
#include "trace/gps.h"

#include <math.h>

#include "lib/rng.h"
#include "tests/unit/kernel_test.h"

#define NONE GPS_UNLIMITED
#define NEAR(a, b)                                                                             \
    ck_assert_msg(fabs((double)(a) - (double)(b)) < 1e-9, "%.12f is not %.12f", (double)(a),   \
                  (double)(b))

/* A world and a pool at the top or below `p`. */
#define W(p, s, r, l)                                                                          \
    {                                                                                          \
        .parent = (p), .leaf = true, .runnable = true, .shares = (s), .reservation = (r),      \
        .limit = (l)                                                                           \
    }
#define IDLE(p, s)                                                                             \
    {                                                                                          \
        .parent = (p), .leaf = true, .shares = (s), .limit = NONE                              \
    }
#define P(p, s, r, l)                                                                          \
    {                                                                                          \
        .parent = (p), .shares = (s), .reservation = (r), .limit = (l)                         \
    }

START_TEST(test_gps__shares_1_2_4__sevenths)
{
    struct gps_node n[] = {W(-1, 1, 0, NONE), W(-1, 2, 0, NONE), W(-1, 4, 0, NONE)};

    gps_solve(n, 3, 1);
    NEAR(n[0].rate, 1.0 / 7);
    NEAR(n[1].rate, 2.0 / 7);
    NEAR(n[2].rate, 4.0 / 7);
}
END_TEST

START_TEST(test_gps__one_may_not_pass_a_cpu__others_get_the_rest)
{
    /* 10:1:1 on two CPUs: 5/3 would be due to the first, one CPU is all it can use. */
    struct gps_node n[] = {W(-1, 10, 0, NONE), W(-1, 1, 0, NONE), W(-1, 1, 0, NONE)};

    gps_solve(n, 3, 2);
    NEAR(n[0].rate, 1);
    NEAR(n[1].rate, 0.5);
    NEAR(n[2].rate, 0.5);
}
END_TEST

START_TEST(test_gps__fewer_worlds_than_cpus__a_cpu_each)
{
    struct gps_node n[] = {W(-1, 1, 0, NONE), W(-1, 9, 0, NONE), IDLE(-1, 100)};

    gps_solve(n, 3, 4);
    NEAR(n[0].rate, 1);
    NEAR(n[1].rate, 1);
    NEAR(n[2].rate, 0);
}
END_TEST

START_TEST(test_gps__limit__the_rest_goes_to_the_others)
{
    struct gps_node n[] = {W(-1, 1, 0, 0.1), W(-1, 1, 0, NONE), W(-1, 3, 0, NONE)};

    gps_solve(n, 3, 1);
    NEAR(n[0].rate, 0.1);
    NEAR(n[1].rate, 0.9 / 4);
    NEAR(n[2].rate, 0.9 * 3 / 4);
}
END_TEST

START_TEST(test_gps__reservation__taken_from_the_others_by_shares)
{
    struct gps_node n[] = {W(-1, 1, 0.5, NONE), W(-1, 1, 0, NONE), W(-1, 3, 0, NONE)};

    gps_solve(n, 3, 1);
    NEAR(n[0].rate, 0.5);
    NEAR(n[1].rate, 0.125);
    NEAR(n[2].rate, 0.375);
}
END_TEST

START_TEST(test_gps__reservation_below_its_share__changes_nothing)
{
    struct gps_node n[] = {W(-1, 3, 0.5, NONE), W(-1, 1, 0, NONE)};

    gps_solve(n, 2, 1);
    NEAR(n[0].rate, 0.75);
    NEAR(n[1].rate, 0.25);
}
END_TEST

START_TEST(test_gps__floor_and_ceiling_at_once__exact)
{
    /* By shares: 0.25 each. First raised to 0.4, second cut to 0.1, the others share 0.5. */
    struct gps_node n[] = {W(-1, 1, 0.4, NONE), W(-1, 1, 0, 0.1), W(-1, 1, 0, NONE),
                           W(-1, 1, 0, NONE)};

    gps_solve(n, 4, 1);
    NEAR(n[0].rate, 0.4);
    NEAR(n[1].rate, 0.1);
    NEAR(n[2].rate, 0.25);
    NEAR(n[3].rate, 0.25);
}
END_TEST

START_TEST(test_gps__pools__divide_what_they_get)
{
    /* Pools 2:1; the first has one busy world of two, the second two of shares 3:1. */
    struct gps_node n[] = {P(-1, 2, 0, NONE), P(-1, 1, 0, NONE), W(0, 7, 0, NONE),
                           IDLE(0, 1),        W(1, 3, 0, NONE),  W(1, 1, 0, NONE)};

    gps_solve(n, 6, 1);
    NEAR(n[0].rate, 2.0 / 3);
    NEAR(n[2].rate, 2.0 / 3);
    NEAR(n[3].rate, 0);
    NEAR(n[4].rate, 0.25);
    NEAR(n[5].rate, 1.0 / 12);
}
END_TEST

START_TEST(test_gps__pool_limit_and_demand__rest_goes_on)
{
    /*
     * Three CPUs. Pool A (shares 9) has one world: 1 CPU. Pool B is limited to 0.5. C takes 1.
     */
    struct gps_node n[] = {P(-1, 9, 0, NONE), P(-1, 9, 0, 0.5), W(-1, 1, 0, NONE),
                           W(0, 1, 0, NONE),  W(1, 1, 0, NONE), W(1, 4, 0, NONE)};

    gps_solve(n, 6, 3);
    NEAR(n[0].rate, 1);
    NEAR(n[1].rate, 0.5);
    NEAR(n[2].rate, 1);
    NEAR(n[4].rate, 0.1);
    NEAR(n[5].rate, 0.4);
}
END_TEST

START_TEST(test_gps__reservation_inside_a_pool__raises_the_pool)
{
    /* By shares the pool would get 0.5; its world is owed 0.8. */
    struct gps_node n[] = {P(-1, 1, 0, NONE), W(-1, 1, 0, NONE), W(0, 1, 0.8, NONE),
                           W(0, 1, 0, NONE)};

    gps_solve(n, 4, 1);
    NEAR(n[0].rate, 0.8);
    NEAR(n[1].rate, 0.2);
    NEAR(n[2].rate, 0.8);
    NEAR(n[3].rate, 0);
}
END_TEST

START_TEST(test_gps__reserved_and_idle__nobody_waits_for_it)
{
    struct gps_node n[] = {P(-1, 1, 0.9, NONE), IDLE(0, 1), W(-1, 1, 0, NONE)};

    gps_solve(n, 3, 1);
    NEAR(n[0].rate, 0);
    NEAR(n[2].rate, 1);
}
END_TEST

START_TEST(test_gps__more_reserved_than_there_is__in_proportion)
{
    struct gps_node n[] = {W(-1, 1, 0.8, NONE), W(-1, 9, 0.4, NONE)};

    gps_solve(n, 2, 0.6);
    NEAR(n[0].rate, 0.4);
    NEAR(n[1].rate, 0.2);
}
END_TEST

/* Laws, on trees of two levels drawn by lot: nothing is wasted, nobody passes his bounds, and
 * between two siblings inside their bounds rates are as shares. */
START_TEST(test_gps__random_trees__laws_hold)
{
    struct rng rng;

    unsigned judged = 0;

    rng_init(&rng, 42, "gps", 0);
    for (unsigned round = 0; round < 20000; round++) {
        struct gps_node n[16] = {0};
        unsigned pools = (unsigned)rng_below(&rng, 4);
        unsigned count = pools + 1 + (unsigned)rng_below(&rng, 16 - pools - 1);
        double capacity = 0.5 + (double)rng_below(&rng, 8) / 2;

        for (unsigned i = 0; i < count; i++) {
            n[i].leaf = i >= pools;
            n[i].parent = n[i].leaf && pools ? (int)rng_below(&rng, pools + 1) - 1 : -1;
            n[i].runnable = rng_below(&rng, 4) != 0;
            n[i].shares = 1 + (double)rng_below(&rng, 10);
            n[i].limit = rng_below(&rng, 3) ? GPS_UNLIMITED : (double)rng_below(&rng, 20) / 10;
            n[i].reservation = rng_below(&rng, 3) ? 0 : (double)rng_below(&rng, 5) / 100;
        }
        gps_solve(n, count, capacity);

        double top = 0, demand = 0;
        bool promised_too_much = false;

        for (unsigned i = 0; i <= count; i++) {
            double owed = 0;

            for (unsigned j = 0; j < count; j++)
                owed += n[j].parent == (int)i - 1 ? n[j].floor : 0;
            if (owed > (i ? n[i - 1].rate : capacity))
                promised_too_much = true;
        }
        if (promised_too_much)
            continue;
        judged++;

        for (unsigned i = 0; i < count; i++) {
            double below = 0;

            ck_assert(n[i].rate >= n[i].floor - 1e-9 && n[i].rate <= n[i].demand + 1e-9);
            if (n[i].parent < 0) {
                top += n[i].rate;
                demand += n[i].demand;
            }
            for (unsigned j = 0; j < count; j++) {
                if (n[j].parent == (int)i)
                    below += n[j].rate;
                if (j == i || n[j].parent != n[i].parent)
                    continue;
                if (n[i].rate > n[i].floor + 1e-9 && n[i].rate < n[i].demand - 1e-9 &&
                    n[j].rate > n[j].floor + 1e-9 && n[j].rate < n[j].demand - 1e-9)
                    NEAR(n[i].rate * n[j].shares, n[j].rate * n[i].shares);
            }
            if (!n[i].leaf)
                NEAR(below, n[i].rate);
        }
        NEAR(top, fmin(capacity, demand));
    }
    ck_assert_uint_gt(judged, 10000);
}
END_TEST

KERNEL_TEST_MAIN("trace_gps", RUNS(test_gps__shares_1_2_4__sevenths),
                 RUNS(test_gps__one_may_not_pass_a_cpu__others_get_the_rest),
                 RUNS(test_gps__fewer_worlds_than_cpus__a_cpu_each),
                 RUNS(test_gps__limit__the_rest_goes_to_the_others),
                 RUNS(test_gps__reservation__taken_from_the_others_by_shares),
                 RUNS(test_gps__reservation_below_its_share__changes_nothing),
                 RUNS(test_gps__floor_and_ceiling_at_once__exact),
                 RUNS(test_gps__pools__divide_what_they_get),
                 RUNS(test_gps__pool_limit_and_demand__rest_goes_on),
                 RUNS(test_gps__reservation_inside_a_pool__raises_the_pool),
                 RUNS(test_gps__reserved_and_idle__nobody_waits_for_it),
                 RUNS(test_gps__more_reserved_than_there_is__in_proportion),
                 RUNS(test_gps__random_trees__laws_hold))
