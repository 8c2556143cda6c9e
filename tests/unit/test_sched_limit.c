// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_sched_limit.c -- limits, reservations, admission control.
 *
 * Invariants
 *   - CPUs have 1000 MHz, so a MHz is a ms per second.
 * Locking    none.
 */
#include "tests/unit/machine_driver.h"

#define SEEDS 20u

static void start_all(struct driver *d)
{
    for (unsigned i = 0; i < d->count; i++)
        d->worlds[i].wake_at = d->now + rng_below(&d->rng, 5 * MS);
}

static plat_ns pool_run(struct driver *d, uint32_t id)
{
    struct sched_times t;

    sched_pool_times_at(sched_pool_find(&d->m, id), d->now, &t);
    return t.run;
}

START_TEST(test_limit__one_world__never_over_by_1_percent_and_reached)
{
    static const uint32_t limits[] = {10, 30, 100, 270, 500, 810, 999};

    for (unsigned k = 0; k < ARRAY_COUNT(limits); k++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct driver *d = driver_new(2, 3, seed);

            for (unsigned i = 0; i < 3; i++)
                driver_world(d, 0, i ? 1 : 1000, NULL);
            ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, 1000, limits[k]), VMK_OK);
            start_all(d);
            driver_run(d, 1001 * MS);

            plat_ns got = driver_got(d, &d->worlds[0]);
            plat_ns due = limits[k] * MS;
            struct sched_times t = driver_times(d, &d->worlds[0]);

            ck_assert_msg(got <= due + due / 100 && got + due / 50 >= due,
                          "limit %u seed %llu: %llu us", limits[k], (unsigned long long)seed,
                          (unsigned long long)(got / US));
            ck_assert(limits[k] > 500 || t.limited >= 300 * MS);
            sched_machine_check(&d->m);
            driver_free(d);
        }
    }
}
END_TEST

/* Six worlds of a pool on four CPUs share one bucket. */
START_TEST(test_limit__pool_on_4_cpus__never_over_by_1_percent)
{
    static const uint32_t limits[] = {300, 1200, 2100, 3000};

    for (unsigned k = 0; k < ARRAY_COUNT(limits); k++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct driver *d = driver_new(4, 6, seed);
            uint32_t pool = driver_pool(d, 0, 0, 1000);
            uint32_t inner = driver_pool(d, pool, 0, 1000);

            for (unsigned i = 0; i < 6; i++)
                driver_world(d, i < 2 ? pool : inner, 0, NULL);
            ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, pool, limits[k]), VMK_OK);
            start_all(d);
            driver_run(d, 1001 * MS);

            plat_ns got = pool_run(d, pool);
            plat_ns due = limits[k] * MS;

            ck_assert_msg(got <= due + due / 100 && got + due / 20 >= due,
                          "limit %u seed %llu: %llu us", limits[k], (unsigned long long)seed,
                          (unsigned long long)(got / US));
            sched_machine_check(&d->m);

            /* Lifted at run time, all four CPUs are theirs at once. */
            ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, pool, SCHED_UNLIMITED), VMK_OK);
            got = pool_run(d, pool);
            driver_run(d, 1101 * MS);
            ck_assert_uint_ge(pool_run(d, pool) - got, 395 * MS);
            driver_free(d);
        }
    }
}
END_TEST

/* Two limits on one path: the tighter one holds. */
START_TEST(test_limit__nested__tighter_holds)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 3, seed);
        uint32_t pool = driver_pool(d, 0, 0, 1000);

        for (unsigned i = 0; i < 3; i++)
            driver_world(d, pool, 0, NULL);
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, pool, 800), VMK_OK);
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, 1000, 100), VMK_OK);
        start_all(d);
        driver_run(d, 1001 * MS);
        ck_assert_uint_le(driver_got(d, &d->worlds[0]), 101 * MS);
        ck_assert_uint_ge(driver_got(d, &d->worlds[0]), 90 * MS);
        ck_assert_uint_le(pool_run(d, pool), 808 * MS);
        ck_assert_uint_ge(pool_run(d, pool), 760 * MS);
        driver_free(d);
    }
}
END_TEST

/* Ten shares among thousands, but half a CPU promised: looked at every 50 ms. */
static struct step naps(struct driven *w, plat_ns now)
{
    (void)now;
    return w->state++ & 1 ? (struct step){ACT_BLOCK, 700 * US}
                          : (struct step){ACT_RUN, 300 * US};
}

/* What is held back by a limit waits in MLMTD, also who loses its CPU with budget left. */
START_TEST(test_limit__preempted_on_an_empty_bucket__held_back)
{
    uint64_t limited = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 6, seed);
        uint32_t capped = driver_pool(d, 0, 0, 1000);

        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, capped, 500), VMK_OK);
        for (unsigned i = 0; i < 6; i++) {
            driver_world(d, i < 2 ? capped : 0, 0, i < 3 ? NULL : naps);
            driver_start(d, &d->worlds[i]);
        }
        for (unsigned at = 1; at <= 4000; at++) {
            driver_run(d, at * (100 * US));
            sched_machine_check(&d->m);
        }
        for (unsigned i = 0; i < 2; i++)
            limited += driver_times(d, &d->worlds[i]).limited;
        driver_free(d);
    }
    ck_assert_uint_gt(limited, 0);
}
END_TEST

START_TEST(test_reservation__few_shares__missed_by_less_than_a_quantum)
{
    for (unsigned cpus = 1; cpus <= 2; cpus++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct driver *d = driver_new(cpus, 10, seed);

            for (unsigned i = 0; i < 10; i++)
                driver_world(d, 0, i ? 1000 : 10, NULL);
            ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1000, 500), VMK_OK);
            start_all(d);
            driver_run(d, 10 * MS);

            plat_ns from = d->now;
            plat_ns before = driver_got(d, &d->worlds[0]);

            for (unsigned k = 1; k <= 20; k++) {
                driver_run(d, from + k * 50 * MS);

                plat_ns got = driver_got(d, &d->worlds[0]) - before;

                ck_assert_msg(got + 10 * MS >= (d->now - from) / 2,
                              "seed %llu: %llu of %llu us", (unsigned long long)seed,
                              (unsigned long long)(got / US),
                              (unsigned long long)((d->now - from) / 2 / US));
            }
            driver_free(d);
        }
    }
}
END_TEST

/* The promise is to the pool: its own worlds divide it. */
START_TEST(test_reservation__pool__kept_against_other_pools)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(1, 6, seed);
        uint32_t a = driver_pool(d, 0, 0, 10);
        uint32_t b = driver_pool(d, 0, 0, 5000);

        for (unsigned i = 0; i < 6; i++)
            driver_world(d, i < 2 ? a : b, 1000 + 1000 * (i == 1), NULL);
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, a, 400), VMK_OK);
        start_all(d);
        driver_run(d, 1010 * MS);
        ck_assert_uint_ge(pool_run(d, a), 390 * MS);
        ck_assert_uint_le(pool_run(d, a), 430 * MS);
        ck_assert_uint_le(driver_got(d, &d->worlds[1]), 300 * MS);
        ck_assert_uint_ge(driver_got(d, &d->worlds[1]), 240 * MS);
        driver_free(d);
    }
}
END_TEST

/* Nobody wants it: others have it, and the owner gets it back at once. */
static struct step late(struct driven *w, plat_ns now)
{
    (void)now;
    return w->state++ ? (struct step){ACT_RUN, 1ull << 60} : (struct step){ACT_BLOCK, 500 * MS};
}

START_TEST(test_reservation__idle__lent_and_given_back)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(1, 2, seed);

        driver_world(d, 0, 10, late);
        driver_world(d, 0, 1000, NULL);
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1000, 800), VMK_OK);
        start_all(d);
        driver_run(d, 500 * MS);
        ck_assert_uint_ge(driver_got(d, &d->worlds[1]), 490 * MS);
        driver_run(d, 1010 * MS);
        ck_assert_uint_ge(driver_got(d, &d->worlds[0]), 390 * MS);
        driver_free(d);
    }
}
END_TEST

START_TEST(test_admission__sum_over_capacity__refused_and_says_who_lacks_what)
{
    struct driver *d = driver_new(2, 4, 1);
    char text[96];

    for (unsigned i = 0; i < 4; i++)
        driver_world(d, 0, 0, NULL);
    ck_assert_uint_eq(sched_admission_text(&d->m, text, sizeof(text)), 0);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1000, 900), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1001, 900), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1002, 300), VMK_LIMIT);
    ck_assert_uint_gt(sched_admission_text(&d->m, text, sizeof(text)), 0);
    ck_assert_str_eq(text, "host, pool 100 has 200 MHz unreserved, 300 MHz wanted");
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1002, 200), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1003, 1), VMK_LIMIT);

    /* What an ended world had is free again. */
    driver_start(d, &d->worlds[0]);
    driver_run(d, MS);
    driver_input(d, d->worlds[0].e.cpu, SCHED_OP_EXIT, 1000, 0);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1003, 900), VMK_OK);
    sched_machine_check(&d->m);
    driver_free(d);
}
END_TEST

START_TEST(test_admission__pool__own_reservation_or_expandable)
{
    struct driver *d = driver_new(2, 4, 1);
    uint32_t fixed = driver_pool(d, 0, 0, 0);
    uint32_t open = driver_pool(d, fixed, SCHED_POOL_EXPANDABLE, 0);
    char text[96];

    for (unsigned i = 0; i < 4; i++)
        driver_world(d, i < 2 ? open : fixed, 0, NULL);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, fixed, 1000), VMK_OK);
    ck_assert_uint_eq(d->m.root->reserved_mhz, 1000);

    /* `open` has nothing, so it asks `fixed`; that has 1000 and may not ask the host. */
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1000, 700), VMK_OK);
    ck_assert_uint_eq(d->m.root->reserved_mhz, 1000);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1001, 301), VMK_LIMIT);
    sched_admission_text(&d->m, text, sizeof(text));
    ck_assert_str_eq(text, "pool 200 has 300 MHz unreserved, 301 MHz wanted");
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1001, 300), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, fixed, 900), VMK_LIMIT);

    /* Moved out, the world takes its reservation along. */
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_POOL, 1000, 0), VMK_OK);
    ck_assert_uint_eq(d->m.root->reserved_mhz, 1700);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1002, 700), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_POOL, 1000, open), VMK_LIMIT);
    ck_assert_uint_eq(d->m.root->reserved_mhz, 1700);
    sched_machine_check(&d->m);
    driver_free(d);
}
END_TEST

/* The published example: two of 80 % on one CPU; the second is refused. */
START_TEST(test_admission__two_of_80_percent_pinned_to_one_cpu__second_refused)
{
    struct driver *d = driver_new(2, 2, 1);

    for (unsigned i = 0; i < 2; i++) {
        driver_world(d, 0, 0, NULL);
        ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY,
                                                             .id = 1000 + i,
                                                             .value = BIT(0)})
                             .status,
                         VMK_OK);
    }
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1000, 800), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1001, 800), VMK_LIMIT);
    ck_assert_int_eq(
        driver_step(
            d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY, .id = 1001, .value = BIT(1)})
            .status,
        VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1001, 800), VMK_OK);
    ck_assert_int_eq(
        driver_step(
            d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY, .id = 1001, .value = BIT(0)})
            .status,
        VMK_LIMIT);
    driver_free(d);
}
END_TEST

KERNEL_TEST_MAIN("sched_limit",
                 RUNS(test_limit__one_world__never_over_by_1_percent_and_reached),
                 RUNS(test_limit__pool_on_4_cpus__never_over_by_1_percent),
                 RUNS(test_limit__nested__tighter_holds),
                 RUNS(test_limit__preempted_on_an_empty_bucket__held_back),
                 RUNS(test_reservation__few_shares__missed_by_less_than_a_quantum),
                 RUNS(test_reservation__pool__kept_against_other_pools),
                 RUNS(test_reservation__idle__lent_and_given_back),
                 RUNS(test_admission__sum_over_capacity__refused_and_says_who_lacks_what),
                 RUNS(test_admission__pool__own_reservation_or_expandable),
                 RUNS(test_admission__two_of_80_percent_pinned_to_one_cpu__second_refused))
