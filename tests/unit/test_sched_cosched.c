// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_sched_cosched.c -- the vCPUs of a VM together; the flat policies.
 *
 * The VM's guest is four CPUs that compute 80 us, take a ticket lock, hold it for 20 us, and
 * spin while they wait for it. Beside it, hogs ask for as much as the VM gets: twice what there
 * is.
 *
 * Invariants
 *   - What the guest achieves is counted in rounds per second of CPU time it got.
 * Locking    none.
 */
#include "tests/unit/machine_driver.h"

#define SEEDS 20u

static struct step locker(struct driven *w, plat_ns now)
{
    (void)now;
    switch (w->state++ & 3) {
    case 0: return (struct step){ACT_RUN, 80 * US};
    case 1: return (struct step){ACT_LOCK, 0};
    case 2: return (struct step){ACT_RUN, 20 * US};
    default: w->rounds++; return (struct step){ACT_UNLOCK, 0};
    }
}

struct outcome {
    uint64_t rounds;
    plat_ns run, costop, skew, hogs;
};

static struct outcome contend(unsigned mode, bool align, uint64_t seed)
{
    struct driver *d = driver_new(4, 8, seed);
    struct outcome o = {.rounds = 0};
    uint32_t vm = driver_pool(d, 0, SCHED_POOL_VM, 4000);

    driver_tune(d, SCHED_TUNABLE_COSCHED, mode);
    driver_tune(d, SCHED_TUNABLE_COALIGN, align);
    for (unsigned i = 0; i < 8; i++)
        driver_world(d, i < 4 ? vm : 0, 1000, i < 4 ? locker : NULL);
    for (unsigned i = 0; i < 8; i++)
        d->worlds[i].wake_at = d->now + rng_below(&d->rng, 20 * MS);
    driver_run(d, 1000 * MS);
    for (unsigned i = 0; i < 8; i++) {
        struct sched_times t = driver_times(d, &d->worlds[i]);

        o.hogs += i < 4 ? 0 : t.run;
        o.run += i < 4 ? t.run : 0;
        o.costop += t.costop;
        o.rounds += d->worlds[i].rounds;
        o.skew = MAX(o.skew, d->worlds[i].most_skew);
    }
    sched_machine_check(&d->m);
    driver_free(d);
    return o;
}

START_TEST(test_cosched__relaxed__skew_at_most_costop)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (unsigned align = 0; align < 2; align++) {
            struct outcome o = contend(1, align, seed);

            ck_assert_msg(o.skew <= 3 * MS, "seed %llu align %u: %llu us",
                          (unsigned long long)seed, align, (unsigned long long)(o.skew / US));
            /* Co-scheduling takes from nobody: both sides have their half. */
            ck_assert_uint_ge(o.hogs, 1900 * MS);
            ck_assert_uint_ge(o.run, 1900 * MS);
        }
    }
}
END_TEST

START_TEST(test_cosched__off__skew_grows)
{
    plat_ns most = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        most = MAX(most, contend(0, false, seed).skew);
    ck_assert_uint_gt(most, 20 * MS);
}
END_TEST

/* The claim of co-scheduling, over all seeds together: by luck slices fall together, too. */
START_TEST(test_cosched__lock_holder_preemption__twice_none_and_80_percent_of_strict)
{
    double rate[3];

    for (unsigned mode = 0; mode < 3; mode++) {
        uint64_t rounds = 0;
        plat_ns run = 0;

        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct outcome o = contend(mode, true, seed);

            rounds += o.rounds;
            run += o.run;
        }
        rate[mode] = (double)rounds * 1e9 / (double)run;
    }
    ck_assert_msg(rate[1] >= 2 * rate[0] && rate[1] >= 0.8 * rate[2],
                  "rounds per CPU second: none %.0f, relaxed %.0f, strict %.0f", rate[0],
                  rate[1], rate[2]);
}
END_TEST

static struct step mostly_halted(struct driven *w, plat_ns now)
{
    (void)now;
    return w->state++ & 1 ? (struct step){ACT_IDLE, 20 * MS} : (struct step){ACT_RUN, 1 * MS};
}

/* A guest CPU that is halted holds nobody back, and starts level when it comes back. */
START_TEST(test_cosched__idle_sibling__no_skew)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 2, seed);
        uint32_t vm = driver_pool(d, 0, SCHED_POOL_VM, 0);

        driver_world(d, vm, 0, NULL);
        driver_world(d, vm, 0, mostly_halted);
        for (unsigned i = 0; i < 2; i++)
            driver_start(d, &d->worlds[i]);
        driver_run(d, 1000 * MS);
        ck_assert_uint_eq(d->worlds[0].e.times.costop + d->worlds[1].e.times.costop, 0);
        ck_assert_uint_eq(driver_got(d, &d->worlds[0]), 1000 * MS - 1);
        ck_assert_uint_le(d->worlds[1].most_skew, 2 * MS);
        driver_free(d);
    }
}
END_TEST

/* By chance, and longer than a slice. */
static struct step halts_now_and_then(struct driven *w, plat_ns now)
{
    plat_ns dice =
        (w->state = w->state * 6364136223846793005ull + 1442695040888963407ull) >> 40;

    (void)now;
    w->rounds++;
    return w->rounds & 1 ? (struct step){ACT_RUN, 20 * US + dice % (300 * US)}
                         : (struct step){ACT_IDLE, 1 * MS + dice % (60 * MS)};
}

static struct step waits_for_io(struct driven *w, plat_ns now)
{
    plat_ns dice =
        (w->state = w->state * 6364136223846793005ull + 1442695040888963407ull) >> 40;

    (void)now;
    w->rounds++;
    return w->rounds & 1 ? (struct step){ACT_RUN, 20 * US + dice % (2 * MS)}
                         : (struct step){ACT_IO, 100 * US + dice % (9 * MS)};
}

/*
 * Who wakes up to run at once and then does not, and who begins to wait for I/O, is a sibling
 * that the others may leave behind: they have to hear of it.
 */
START_TEST(test_cosched__siblings_halt_and_wait_for_io__skew_at_most_costop)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(4, 12, seed);
        uint32_t vm = driver_pool(d, 0, SCHED_POOL_VM, 4000);

        for (unsigned i = 0; i < 12; i++) {
            driver_world(d, i < 4 ? vm : 0, 1000,
                         i == 2   ? halts_now_and_then
                         : i == 3 ? waits_for_io
                                  : NULL);
            d->worlds[i].state = seed * 12 + i;
            d->worlds[i].wake_at = d->now + rng_below(&d->rng, 20 * MS);
        }
        driver_run(d, 2000 * MS);
        sched_machine_check(&d->m);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_msg(d->worlds[i].most_skew <= 3 * MS, "seed %llu vCPU %u: %llu us",
                          (unsigned long long)seed, i,
                          (unsigned long long)(d->worlds[i].most_skew / US));
        driver_free(d);
    }
}
END_TEST

/* The slowest is bound to a CPU with a hog: the other is stopped, and both keep going. */
START_TEST(test_cosched__pinned_slow_sibling__leader_waits_nobody_hangs)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 3, seed);
        uint32_t vm = driver_pool(d, 0, SCHED_POOL_VM, 2000);

        driver_world(d, vm, 0, NULL);
        driver_world(d, vm, 0, NULL);
        driver_world(d, 0, 6000, NULL);
        for (unsigned i = 1; i < 3; i++) {
            ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY,
                                                                 .id = 1000 + i,
                                                                 .value = BIT(1)})
                                 .status,
                             VMK_OK);
        }
        ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SET_AFFINITY,
                                                             .id = 1000,
                                                             .value = BIT(0)})
                             .status,
                         VMK_OK);
        for (unsigned i = 0; i < 3; i++)
            driver_start(d, &d->worlds[i]);
        driver_run(d, 1000 * MS);

        plat_ns lead = driver_got(d, &d->worlds[0]);
        plat_ns slow = driver_got(d, &d->worlds[1]);

        ck_assert_uint_gt(slow, 100 * MS);
        ck_assert_uint_le(lead, slow + 5 * MS);
        ck_assert_uint_ge(driver_times(d, &d->worlds[0]).costop, 300 * MS);
        sched_machine_check(&d->m);
        driver_free(d);
    }
}
END_TEST

/* ---- the other policies ---- */

static struct driver *under(enum sched_policy_id policy, unsigned cpus, unsigned room,
                            uint64_t seed)
{
    struct driver *d = driver_new(cpus, room, seed);

    ck_assert_int_eq(
        driver_step(d, (struct sched_input){.op = SCHED_OP_POLICY, .small = policy}).status,
        VMK_OK);
    return d;
}

START_TEST(test_credit2__weights_1_2_4__within_3_percent)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = under(SCHED_POLICY_CREDIT2, 1, 3, seed);

        for (unsigned i = 0; i < 3; i++)
            driver_start(d, driver_world(d, 0, 1000u << i, NULL));
        driver_run(d, 2000 * MS);
        for (unsigned i = 0; i < 3; i++) {
            plat_ns due = 2000 * MS * (1u << i) / 7;
            plat_ns got = driver_got(d, &d->worlds[i]);

            ck_assert_msg(got + 60 * MS >= due && got <= due + 60 * MS, "%u: %llu us", i,
                          (unsigned long long)(got / US));
        }
        driver_free(d);
    }
}
END_TEST

START_TEST(test_rr__shares_ignored__equal)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = under(SCHED_POLICY_RR, 1, 4, seed);

        for (unsigned i = 0; i < 4; i++)
            driver_start(d, driver_world(d, 0, 1000u << i, NULL));
        driver_run(d, 1 + 400 * MS);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq(driver_got(d, &d->worlds[i]), 100 * MS);
        driver_free(d);
    }
}
END_TEST

/*
 * Budgets of 3 in 10, 6 in 20 and 12 in 40 ms, and a hog that asks for all: none misses a
 * period.
 */
START_TEST(test_edf__90_percent_promised__no_deadline_missed)
{
    static const plat_ns period[] = {10 * MS, 20 * MS, 40 * MS};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = under(SCHED_POLICY_EDF, 1, 4, seed);
        plat_ns before[3] = {0};

        for (unsigned i = 0; i < 4; i++) {
            driver_world(d, 0, 0, NULL);
            if (i < 3)
                ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_SET_MIN,
                                                                     .id = 1000 + i,
                                                                     .arg = 300,
                                                                     .value = period[i]})
                                     .status,
                                 VMK_OK);
        }
        driver_tune(d, SCHED_TUNABLE_EDF_BUDGET, 1000);
        for (unsigned i = 0; i < 4; i++)
            driver_start(d, &d->worlds[i]);
        for (unsigned k = 1; k <= 50; k++) {
            driver_run(d, 1 + k * 40 * MS);
            for (unsigned i = 0; i < 3; i++) {
                plat_ns got = driver_got(d, &d->worlds[i]);

                ck_assert_msg(got - before[i] + 100 * US >= 12 * MS,
                              "seed %llu, world %u: %llu us", (unsigned long long)seed, i,
                              (unsigned long long)((got - before[i]) / US));
                before[i] = got;
            }
        }
        driver_free(d);
    }
}
END_TEST

/* From any to any while worlds run. */
START_TEST(test_policy__changed_at_run_time__nothing_is_lost)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct driver *d = driver_new(2, 8, seed);

        for (unsigned i = 0; i < 8; i++)
            driver_start(d, driver_world(d, 0, 0, i & 1 ? mostly_halted : NULL));
        for (unsigned k = 0; k < 40; k++) {
            ck_assert_int_eq(
                driver_step(d, (struct sched_input){.op = SCHED_OP_POLICY,
                                                    .small = (uint32_t)rng_below(
                                                        &d->rng, SCHED_POLICY_COUNT)})
                    .status,
                VMK_OK);
            driver_run(d, (k + 1) * 7 * MS);
            sched_machine_check(&d->m);
        }
        for (unsigned i = 0; i < 8; i++)
            ck_assert_uint_gt(driver_got(d, &d->worlds[i]), 0);
        driver_free(d);
    }
}
END_TEST

KERNEL_TEST_MAIN(
    "sched_cosched", RUNS(test_cosched__relaxed__skew_at_most_costop),
    RUNS(test_cosched__off__skew_grows),
    RUNS(test_cosched__lock_holder_preemption__twice_none_and_80_percent_of_strict),
    RUNS(test_cosched__idle_sibling__no_skew),
    RUNS(test_cosched__siblings_halt_and_wait_for_io__skew_at_most_costop),
    RUNS(test_cosched__pinned_slow_sibling__leader_waits_nobody_hangs),
    RUNS(test_credit2__weights_1_2_4__within_3_percent), RUNS(test_rr__shares_ignored__equal),
    RUNS(test_edf__90_percent_promised__no_deadline_missed),
    RUNS(test_policy__changed_at_run_time__nothing_is_lost))
