// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_sched_machine.c -- the scheduler's machine: fairness, times, order, refusals.
 *
 * Claims hold for SEEDS orders of the events of each instant, and random times of starting.
 *
 * Invariants
 *   - run + ready + costop + wait = elapsed is asserted by the machine at each change and by
 *     driver_times() at each look.
 * Locking    none.
 */
#include "tests/unit/machine_driver.h"

#define SEEDS 20u

/* Off by at most `permille` of `of`. */
#define near(got, due, permille, of)                                                           \
    ck_assert_msg((got) + (of) * (permille) / 1000 >= (due) &&                                 \
                      (got) <= (due) + (of) * (permille) / 1000,                               \
                  "seed %llu: got %llu us, due %llu us", (unsigned long long)seed,             \
                  (unsigned long long)((got) / US), (unsigned long long)((due) / US))

/* Every world starts within the first `spread`. */
static void start_all(struct driver *d, plat_ns spread)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (spread)
            d->worlds[i].wake_at = d->now + rng_below(&d->rng, spread);
        else
            driver_start(d, &d->worlds[i]);
    }
}

static plat_ns got_since(struct driver *d, unsigned i, const plat_ns *before)
{
    return driver_got(d, &d->worlds[i]) - before[i];
}

/*
 * Worlds of the weights 1:2:4, over `length` after `warm`, each world within permille of what
 * is due to it.
 */
static void check_shares(unsigned cpus, unsigned each, plat_ns warm, plat_ns length,
                         unsigned permille)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(cpus, 3 * each, seed);
        plat_ns before[64];
        plat_ns sum = 0;

        for (unsigned i = 0; i < 3 * each; i++)
            driver_world(d, 0, 1000u << (i % 3), NULL);
        start_all(d, 5 * MS);
        driver_run(d, d->now + warm);
        for (unsigned i = 0; i < 3 * each; i++)
            before[i] = driver_got(d, &d->worlds[i]);
        driver_run(d, d->now + length);
        for (unsigned i = 0; i < 3 * each; i++) {
            const plat_ns due = length * cpus * (1u << (i % 3)) / (7 * each);

            near(got_since(d, i, before), due, permille, due);
            sum += got_since(d, i, before);
        }
        ck_assert_uint_eq(sum, length * cpus);
        sched_machine_check(&d->m);
        driver_free(d);
    }
}

START_TEST(test_shares__1_2_4_one_cpu_1s__within_1_percent)
{
    check_shares(1, 1, 20 * MS, 1000 * MS, 10);
}
END_TEST

START_TEST(test_shares__1_2_4_one_cpu_100ms__within_10_percent)
{
    check_shares(1, 1, 20 * MS, 100 * MS, 100);
}
END_TEST

START_TEST(test_shares__1_2_4_four_cpus_1s__within_2_percent)
{
    check_shares(4, 4, 500 * MS, 1000 * MS, 20);
    check_shares(4, 3, 500 * MS, 1000 * MS, 40);  // no even division of nine worlds
}
END_TEST

/* A vCPU cannot use more than one CPU: the rest is divided by the shares of the others. */
START_TEST(test_shares__infeasible_weight__others_divide_the_rest)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(4, 7, seed);

        driver_world(d, 0, 90000, NULL);
        for (unsigned i = 0; i < 6; i++)
            driver_world(d, 0, i < 3 ? 1000 : 2000, NULL);
        start_all(d, 0);
        driver_run(d, 1 + 1000 * MS);
        near(driver_got(d, &d->worlds[0]), 1000 * MS, 1, 1000 * MS);
        for (unsigned i = 1; i < 7; i++)
            near(driver_got(d, &d->worlds[i]), 1000 * MS * (i < 4 ? 1 : 2) / 3, 15, 1000 * MS);
        driver_free(d);
    }
}
END_TEST

/* root: A 1000 (x 1000, C 3000 (y 1000, z 2000)), B 2000 (w), v 1000 */
START_TEST(test_pools__tree_of_three_levels__each_level_by_its_shares)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        static const unsigned due_permille[] = {62, 63, 125, 500, 250};
        struct driver *d = driver_new(1, 5, seed);
        uint32_t a = driver_pool(d, 0, 0, 1000);
        uint32_t b = driver_pool(d, 0, 0, 2000);
        uint32_t c = driver_pool(d, a, 0, 3000);
        struct sched_times sum;

        driver_world(d, a, 1000, NULL);
        driver_world(d, c, 1000, NULL);
        driver_world(d, c, 2000, NULL);
        driver_world(d, b, 77, NULL);
        driver_world(d, 0, 1000, NULL);
        start_all(d, 0);
        driver_run(d, 1 + 1000 * MS);
        for (unsigned i = 0; i < 5; i++)
            near(driver_got(d, &d->worlds[i]), due_permille[i] * MS, 5, 1000 * MS);
        ck_assert_uint_eq(sched_pool_times_at(sched_pool_find(&d->m, a), d->now, &sum), 3);
        ck_assert_uint_eq(sum.run, driver_got(d, &d->worlds[0]) + driver_got(d, &d->worlds[1]) +
                                       driver_got(d, &d->worlds[2]));
        driver_free(d);
    }
}
END_TEST

/* Shares, pool and policy change while worlds run; nobody is restarted. */
START_TEST(test_changes__at_run_time__take_effect_at_once)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 8, seed);
        uint32_t pool = driver_pool(d, 0, 0, 1000);
        plat_ns before[4];

        for (unsigned i = 0; i < 4; i++)
            driver_world(d, 0, 1000, NULL);
        start_all(d, 0);
        driver_run(d, 500 * MS);
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_SHARES, 1000, 2000), VMK_OK);
        driver_run(d, 700 * MS);  // until loads are even again
        for (unsigned i = 0; i < 4; i++)
            before[i] = driver_got(d, &d->worlds[i]);
        driver_run(d, 1700 * MS);
        near(got_since(d, 0, before), 800 * MS, 15, 1000 * MS);
        near(got_since(d, 1, before), 400 * MS, 15, 1000 * MS);

        /* Two of them under one pool of 1000 beside 2000 and 1000: 1/4 of two CPUs for both. */
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_POOL, 1001, pool), VMK_OK);
        ck_assert_int_eq(driver_set(d, SCHED_OP_SET_POOL, 1002, pool), VMK_OK);
        driver_run(d, 1900 * MS);
        for (unsigned i = 0; i < 4; i++)
            before[i] = driver_got(d, &d->worlds[i]);
        driver_run(d, 2900 * MS);
        near(got_since(d, 1, before) + got_since(d, 2, before), 500 * MS, 50, 1000 * MS);
        near(got_since(d, 1, before), 250 * MS, 40, 1000 * MS);
        sched_machine_check(&d->m);
        driver_free(d);
    }
}
END_TEST

struct nap {
    plat_ns run, sleep;
};

static struct nap nap;

static struct step napper(struct driven *w, plat_ns now)
{
    (void)now;
    return w->state++ & 1 ? (struct step){ACT_BLOCK, nap.sleep}
                          : (struct step){ACT_RUN, nap.run};
}

/* Who sleeps just before a tick would charge him is charged all the same. */
START_TEST(test_thief__sleeps_before_the_slice_ends__gains_under_1_percent)
{
    static const struct nap naps[] = {{9900 * US, 1 * US},   {9500 * US, 500 * US},
                                      {1999 * US, 1 * US},   {1990 * US, 10 * US},
                                      {1900 * US, 100 * US}, {990 * US, 10 * US},
                                      {500 * US, 500 * US},  {100 * US, 1 * US}};

    for (unsigned k = 0; k < ARRAY_COUNT(naps); k++) {
        for (unsigned rivals = 1; rivals <= 3; rivals++) {
            for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
                struct driver *d = driver_new(1, 4, seed);

                nap = naps[k];
                driver_world(d, 0, 0, napper);
                for (unsigned i = 0; i < rivals; i++)
                    driver_world(d, 0, 0, NULL);
                start_all(d, 3 * MS);
                driver_run(d, 2000 * MS);

                plat_ns got = driver_got(d, &d->worlds[0]);
                plat_ns due = 2000 * MS / (rivals + 1);

                ck_assert_msg(got <= due + due / 100, "run %llu sleep %llu: %llu us of %llu",
                              (unsigned long long)(nap.run / US),
                              (unsigned long long)(nap.sleep / US),
                              (unsigned long long)(got / US), (unsigned long long)(due / US));
                driver_free(d);
            }
        }
    }
}
END_TEST

/* The same short naps cost next to nothing, either: what was due stays due. */
START_TEST(test_lag__naps_of_1us__keep_the_share)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(1, 2, seed);

        nap = (struct nap){500 * US, 1 * US};
        driver_world(d, 0, 0, napper);
        driver_world(d, 0, 0, NULL);
        start_all(d, 0);
        driver_run(d, 2000 * MS);
        near(driver_got(d, &d->worlds[0]), 1000 * MS, 10, 1000 * MS);
        driver_free(d);
    }
}
END_TEST

static struct step one_long_sleep(struct driven *w, plat_ns now)
{
    (void)now;
    switch (w->state++) {
    case 0: return (struct step){ACT_RUN, 10 * MS};
    case 1: return (struct step){ACT_BLOCK, 2000 * MS};
    default: return (struct step){ACT_RUN, 1ull << 60};
    }
}

START_TEST(test_sleeper__back_after_2s__no_credit)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(1, 3, seed);
        plat_ns before[3];

        driver_world(d, 0, 0, one_long_sleep);
        driver_world(d, 0, 0, NULL);
        driver_world(d, 0, 0, NULL);
        start_all(d, 0);
        driver_run(d, 2100 * MS);
        ck_assert_uint_eq(d->worlds[0].state, 3);
        for (unsigned i = 0; i < 3; i++)
            before[i] = driver_got(d, &d->worlds[i]);
        driver_run(d, 2400 * MS);
        near(got_since(d, 0, before), 100 * MS, 15, 300 * MS);
        /* And it did not take the CPU when it came back: */
        ck_assert_uint_le(before[0], 10 * MS + 90 * MS / 3 + 10 * MS);
        driver_free(d);
    }
}
END_TEST

START_TEST(test_wake__idle_cpu__runs_at_once)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(4, 4, seed);

        nap = (struct nap){200 * US, 900 * US};
        for (unsigned i = 0; i < 4; i++)
            driver_world(d, 0, 0, i < 2 ? napper : NULL);
        start_all(d, MS);
        driver_run(d, 500 * MS);
        for (unsigned i = 0; i < 2; i++) {
            ck_assert_uint_ge(d->worlds[i].e.times.wakes, 400);
            ck_assert_uint_eq(d->worlds[i].most_latency, 0);
        }
        driver_free(d);
    }
}
END_TEST

/* An interactive world beside more hogs than CPUs waits at most about a quantum. */
START_TEST(test_wake__all_cpus_busy__within_a_quantum)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 7, seed);

        nap = (struct nap){200 * US, 5 * MS};
        driver_world(d, 0, 0, napper);
        for (unsigned i = 0; i < 6; i++)
            driver_world(d, 0, 0, NULL);
        start_all(d, MS);
        driver_run(d, 2000 * MS);
        ck_assert_uint_ge(d->worlds[0].e.times.wakes, 150);
        ck_assert_msg(d->worlds[0].most_latency <= 10 * MS, "seed %llu: %llu us",
                      (unsigned long long)seed,
                      (unsigned long long)(d->worlds[0].most_latency / US));
        driver_free(d);
    }
}
END_TEST

START_TEST(test_balance__8_hogs_on_4_cpus__even_after_100ms_few_moves)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(4, 8, seed);
        uint64_t moves = 0;

        for (unsigned i = 0; i < 8; i++)
            driver_world(d, 0, 0, NULL);
        start_all(d, MS);
        driver_run(d, 100 * MS);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq(d->m.cpu[i].waiting, 1);
        driver_run(d, 1100 * MS);
        for (unsigned i = 0; i < 8; i++) {
            near(driver_got(d, &d->worlds[i]), 550 * MS, 20, 1000 * MS);
            for (unsigned k = 0; k < MIGRATE_KIND_COUNT; k++)
                moves += d->worlds[i].e.times.migrations[k];
        }
        ck_assert_uint_lt(moves, 80);  // 10 per world and second
        driver_free(d);
    }
}
END_TEST

START_TEST(test_affinity__pinned__never_elsewhere)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(4, 12, seed);

        nap = (struct nap){700 * US, 300 * US};
        for (unsigned i = 0; i < 12; i++) {
            driver_world(d, 0, 0, i & 1 ? napper : NULL);
            ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY,
                                                                 .id = 1000 + i,
                                                                 .value = BIT(i % 3)})
                                 .status,
                             VMK_OK);
        }
        start_all(d, MS);
        for (unsigned k = 1; k <= 200; k++) {
            driver_run(d, k * MS);
            ck_assert(d->m.cpu[3].current->idle);
            for (unsigned i = 0; i < 12; i++)
                ck_assert(!d->worlds[i].e.times.switches || d->worlds[i].e.cpu == i % 3);
        }
        /* Let one of them go to the CPU that is free. */
        ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY,
                                                             .id = 1000,
                                                             .value = BIT(3)})
                             .status,
                         VMK_OK);
        driver_run(d, 220 * MS);
        ck_assert_ptr_eq(d->m.cpu[3].current, &d->worlds[0].e);
        driver_free(d);
    }
}
END_TEST

/* Half the cores have a busy partner until nobody has to. */
START_TEST(test_smt__idle_cores__taken_before_busy_partners)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(4, 3, seed);

        for (unsigned i = 0; i < 4; i++) {
            ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_TOPOLOGY,
                                                                 .small = i,
                                                                 .id = i / 2,
                                                                 .value = 1000})
                                 .status,
                             VMK_OK);
        }
        driver_world(d, 0, 0, NULL);
        driver_world(d, 0, 0, NULL);
        start_all(d, 0);
        driver_run(d, 100 * MS);
        ck_assert_uint_ne(d->worlds[0].e.cpu / 2, d->worlds[1].e.cpu / 2);
        ck_assert_uint_eq(driver_times(d, &d->worlds[0]).smt, 0);

        /* A third shares a core with one of the two, and both know for how long. */
        driver_world(d, 0, 0, NULL);
        driver_start(d, &d->worlds[2]);
        driver_run(d, 150 * MS);
        for (unsigned i = 0; i < 4; i++)
            driver_input(d, i, SCHED_OP_RESCHED, 0, 0);
        ck_assert_uint_eq(d->worlds[2].e.times.smt, 50 * MS);
        ck_assert_uint_eq(d->worlds[0].e.times.smt + d->worlds[1].e.times.smt, 50 * MS);
        driver_free(d);
    }
}
END_TEST

START_TEST(test_system_time__charged_to_whom_it_was_for)
{
    struct driver *d = driver_new(1, 2, 1);
    struct sched_times t[2];

    driver_world(d, 0, 0, NULL);
    driver_world(d, 0, 0, NULL);
    start_all(d, 0);
    for (unsigned k = 1; k <= 1000; k++) {
        driver_run(d, k * MS);
        /* 200 us of each ms are interrupts for world 1, whoever runs. */
        ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SYSTEM_TIME,
                                                             .id = 1001,
                                                             .arg = 200 * US})
                             .status,
                         VMK_OK);
    }
    for (unsigned i = 0; i < 2; i++)
        t[i] = driver_times(d, &d->worlds[i]);
    /* Its own interrupts while it ran itself are in its run. */
    ck_assert_uint_eq(t[1].system, t[0].overlap);
    ck_assert_uint_eq(t[0].system + t[1].overlap, 0);

    /* Used = run + system - overlap is what is even. */
    plat_ns used0 = t[0].run - t[0].overlap;
    plat_ns used1 = t[1].run + t[1].system;
    uint64_t seed = 1;

    ck_assert_uint_gt(t[0].overlap, 50 * MS);
    near(used0, used1, 20, 1000 * MS);
    driver_free(d);
}
END_TEST

static uint64_t run_hash(uint64_t seed, unsigned policy)
{
    struct driver *d = driver_new(4, 24, seed);
    uint32_t pool = driver_pool(d, 0, 0, 2000);
    uint32_t vm = driver_pool(d, pool, SCHED_POOL_VM, 4000);
    uint64_t hash;

    ck_assert_int_eq(
        driver_step(d, (struct sched_input){.op = SCHED_OP_POLICY, .small = policy}).status,
        VMK_OK);
    nap = (struct nap){700 * US, 1300 * US};
    for (unsigned i = 0; i < 24; i++)
        driver_world(d, i < 4 ? vm : i < 12 ? pool : 0, 100 * (i + 1), i % 3 ? NULL : napper);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MAX, pool, 1500), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_MIN, 1020, 400), VMK_OK);
    start_all(d, 10 * MS);
    driver_run(d, 50 * MS);
    sched_machine_check(&d->m);
    hash = d->hash;
    driver_free(d);
    return hash;
}

START_TEST(test_machine__same_inputs__same_decisions)
{
    for (unsigned policy = 0; policy < SCHED_POLICY_COUNT; policy++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            uint64_t first = run_hash(seed, policy);

            ck_assert_uint_eq(first, run_hash(seed, policy));
            ck_assert_uint_ne(first, run_hash(seed + 1, policy));
        }
    }
}
END_TEST

START_TEST(test_machine__bad_inputs__refused_and_nothing_changes)
{
    static const struct {
        struct sched_input in;
        vmk_status status;
    } rows[] = {
        {{.op = 99}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_WAKE, .id = 5}, VMK_NOT_FOUND},
        {{.op = SCHED_OP_WAKE, .cpu = 7, .id = 1000}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_BLOCK, .id = 1001, .small = SCHED_STATE_WAIT}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_BLOCK, .id = 1000, .small = SCHED_STATE_RUN}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_EXIT, .id = 1}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_POOL_ADD, .id = 300}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_POOL_REMOVE, .id = SCHED_ROOT_ID}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_POOL_REMOVE, .id = 1000}, VMK_NOT_FOUND},
        {{.op = SCHED_OP_WORLD_REMOVE, .id = 1000}, VMK_BUSY},
        {{.op = SCHED_OP_SET_SHARES, .id = 1000, .arg = 0}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_SET_SHARES, .id = 1000, .arg = SCHED_SHARES_MAX + 1}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_SET_SHARES, .id = SCHED_ROOT_ID, .arg = 5}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_SET_MIN, .id = 1000, .arg = 1001}, VMK_LIMIT},
        {{.op = SCHED_OP_SET_MAX, .id = 1000, .arg = 0}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_SET_AFFINITY, .id = 1000, .value = 0xfc}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_SET_POOL, .id = 1000, .arg = 1001}, VMK_NOT_FOUND},
        {{.op = SCHED_OP_SET_POOL, .id = SCHED_ROOT_ID, .arg = 0}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_POLICY, .small = SCHED_POLICY_COUNT}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_POLICY, .small = SCHED_POLICY_TUNABLE, .id = 999}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_POLICY, .small = SCHED_POLICY_TUNABLE, .id = SCHED_TUNABLE_QUANTUM},
         VMK_BAD_PARAM},
        {{.op = SCHED_OP_TOPOLOGY, .small = 9, .value = 1}, VMK_BAD_PARAM},
        {{.op = SCHED_OP_CPU_ONLINE, .id = 1}, VMK_EXISTS},
    };
    struct driver *d = driver_new(2, 2, 1);

    driver_world(d, 0, 0, NULL);
    driver_world(d, 0, 0, NULL);
    ck_assert_int_eq(
        driver_step(d,
                    (struct sched_input){.op = SCHED_OP_SET_AFFINITY, .id = 1000, .value = 1})
            .status,
        VMK_OK);
    driver_start(d, &d->worlds[0]);
    driver_start(d, &d->worlds[1]);
    driver_run(d, 10 * MS);
    ck_assert_ptr_eq(d->m.cpu[0].current, &d->worlds[0].e);
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sched_machine before = d->m;
        struct sched_decision r = sched_step(&d->m, &rows[i].in, d->now);

        ck_assert_msg(r.status == rows[i].status, "row %u: status %d", i, (int)r.status);
        ck_assert_uint_eq(d->m.online, before.online);
        ck_assert_uint_eq(d->m.kick, 0);
        ck_assert_mem_eq(d->m.hash, before.hash, sizeof(before.hash));
        ck_assert_ptr_eq(d->m.cpu[0].current, before.cpu[0].current);
    }
    /* A loop in the tree, and worlds that are gone. */
    uint32_t a = driver_pool(d, 0, 0, 0);
    uint32_t b = driver_pool(d, a, 0, 0);

    ck_assert_int_eq(driver_set(d, SCHED_OP_SET_POOL, a, b), VMK_BAD_PARAM);
    ck_assert_int_eq(driver_set(d, SCHED_OP_POOL_REMOVE, a, 0), VMK_BUSY);
    ck_assert_int_eq(driver_set(d, SCHED_OP_POOL_REMOVE, b, 0), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_POOL_REMOVE, a, 0), VMK_OK);
    driver_input(d, 0, SCHED_OP_EXIT, 1000, 0);
    ck_assert_int_eq(driver_set(d, SCHED_OP_WAKE, 1000, 0), VMK_NOT_FOUND);
    ck_assert_int_eq(driver_set(d, SCHED_OP_WORLD_REMOVE, 1000, 0), VMK_OK);
    ck_assert_int_eq(driver_set(d, SCHED_OP_WORLD_REMOVE, 1000, 0), VMK_NOT_FOUND);
    sched_machine_check(&d->m);
    driver_free(d);
}
END_TEST

/* Time that steps back is taken at the last time. */
START_TEST(test_machine__time_steps_back__clamped)
{
    struct driver *d = driver_new(1, 1, 1);

    driver_world(d, 0, 0, NULL);
    driver_start(d, &d->worlds[0]);
    driver_run(d, 10 * MS);
    driver_input(d, 0, SCHED_OP_RESCHED, 0, 0);
    d->now = 3 * MS;
    driver_input(d, 0, SCHED_OP_RESCHED, 0, 0);
    ck_assert_uint_eq(d->m.now, 10 * MS);
    ck_assert_uint_eq(d->worlds[0].e.times.run, 10 * MS - 1);
    driver_free(d);
}
END_TEST

/* Comparisons of one switch with n worlds on one CPU, on average. */
static double comparisons(unsigned count)
{
    struct driver *d = driver_new(1, count, 1);
    const struct prioq *q = &d->m.root->cpu[0].ready;
    uint64_t before;
    const unsigned rounds = 20000;

    for (unsigned i = 0; i < count; i++)
        driver_start(d, driver_world(d, 0, 500 + i % 7 * 100, NULL));
    driver_input(d, 0, SCHED_OP_RESCHED, 0, 0);
    before = q->comparisons;
    for (unsigned i = 0; i < rounds; i++) {
        d->now = d->deadline[0];
        driver_input(d, 0, SCHED_OP_TIMER, 0, 0);
    }

    double each = (double)(q->comparisons - before) / rounds;

    driver_free(d);
    return each;
}

START_TEST(test_machine__pick_10_to_10000_worlds__cost_grows_by_logarithm)
{
    double ten = comparisons(10);
    double thousand = comparisons(1000);
    double most = comparisons(10000);

    /* log2(10000) / log2(10) = 4; linear would be 1000. And in absolute terms: */
    ck_assert_msg(most <= 8 * ten && most <= 3 * 13.3 + 3, "%.1f, %.1f, %.1f comparisons", ten,
                  thousand, most);
}
END_TEST

KERNEL_TEST_MAIN("sched_machine", RUNS(test_shares__1_2_4_one_cpu_1s__within_1_percent),
                 RUNS(test_shares__1_2_4_one_cpu_100ms__within_10_percent),
                 RUNS(test_shares__1_2_4_four_cpus_1s__within_2_percent),
                 RUNS(test_shares__infeasible_weight__others_divide_the_rest),
                 RUNS(test_pools__tree_of_three_levels__each_level_by_its_shares),
                 RUNS(test_changes__at_run_time__take_effect_at_once),
                 RUNS(test_thief__sleeps_before_the_slice_ends__gains_under_1_percent),
                 RUNS(test_lag__naps_of_1us__keep_the_share),
                 RUNS(test_sleeper__back_after_2s__no_credit),
                 RUNS(test_wake__idle_cpu__runs_at_once),
                 RUNS(test_wake__all_cpus_busy__within_a_quantum),
                 RUNS(test_balance__8_hogs_on_4_cpus__even_after_100ms_few_moves),
                 RUNS(test_affinity__pinned__never_elsewhere),
                 RUNS(test_smt__idle_cores__taken_before_busy_partners),
                 RUNS(test_system_time__charged_to_whom_it_was_for),
                 RUNS(test_machine__same_inputs__same_decisions),
                 RUNS(test_machine__bad_inputs__refused_and_nothing_changes),
                 RUNS(test_machine__time_steps_back__clamped),
                 RUNS(test_machine__pick_10_to_10000_worlds__cost_grows_by_logarithm))
