// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/shares.c -- CPU time in proportion to shares.
 *
 * shares      1:2:4 on one CPU; each within 1 % of its due after 1 s, and after 10 s (other
 *             policies than `share`: of the CPU after 1 s)
 * shares-smp  four worlds of each weight on four CPUs; each weight within 2 % of its due after
 *             10 s
 * two-vms     two machines of two vCPUs on three CPUs, one that sleeps now and then beside one
 *             that does not: 1:1 within 2 % when both only compute
 *
 * Invariants
 *   - All that run are worlds that always want the CPU, so the due share is exact.
 * Locking    the counters are read after the worlds have ended.
 */
#include <stdio.h>

#include "lib/rng.h"
#include "sched/sched.h"
#include "sim/scenario/scenario.h"

#define LATE 100000u  // ns; how late a world may begin

struct burner {
    plat_ns until;
    plat_ns got;
    uint32_t shares;
    world_id id;
};

static void burn(void *argument)
{
    struct burner *b = argument;
    struct world_times t;

    while (plat_time_now() < b->until)
        sim_work(MIN(200000ull, b->until - plat_time_now()));
    sim_check(world_times_get(world_current()->id, &t) == VMK_OK, "no times");
    b->got = t.run;
}

/*
 * Runs them from now for `length`, each after a delay that the seed gives; the starter sleeps
 * and so is not counted.
 */
static plat_ns burn_all(struct burner *b, unsigned count, plat_ns length)
{
    plat_ns end = plat_time_now() + length;
    plat_ns total = 0;
    struct rng rng;

    rng_init(&rng, sim_options_get()->seed, "burners", 0);
    for (unsigned i = 0; i < count; i++) {
        const plat_ns begin = plat_time_now() + rng_below(&rng, LATE);

        sim_check(world_sleep_until(begin) == VMK_OK, "sleep");
        b[i].until = end;
        b[i].id = scenario_spawn("burner", burn, &b[i], b[i].shares, 0);
    }
    for (unsigned i = 0; i < count; i++)
        scenario_join(b[i].id);
    scenario_check_times();
    for (unsigned i = 0; i < count; i++)
        total += b[i].got;
    return total;
}

/* How far `got` is from `due`, in 1/10,000 of `of`. */
static unsigned error_of(plat_ns got, plat_ns due, plat_ns of)
{
    plat_ns off = got > due ? got - due : due - got;

    return (unsigned)(off * 10000 / of);
}

static void shares_run(unsigned host)
{
    /* The budgets of edf are late to begin: within 1 % of the CPU. */
    const bool is_share = sched_policy_now() == SCHED_POLICY_SHARE;

    (void)host;
    for (unsigned round = 0; round < 2; round++) {
        struct burner b[3] = {{.shares = 1000}, {.shares = 2000}, {.shares = 4000}};
        plat_ns total = burn_all(b, 3, round ? 10000000000ull : 1000000000ull);

        for (unsigned i = 0; i < 3; i++) {
            plat_ns due = total * b[i].shares / 7000;
            unsigned error = error_of(b[i].got, due, round || is_share ? due : total);

            printf("%s shares %u: %llu of %llu us, off by %u.%02u %%\n", round ? "10 s" : "1 s",
                   b[i].shares, (unsigned long long)(b[i].got / 1000),
                   (unsigned long long)(due / 1000), error / 100, error % 100);
            sim_check(error <= 100, "unfair");
        }
    }
}

static void shares_smp_run(unsigned host)
{
    struct burner b[12] = {{.until = 0}};
    plat_ns by_weight[3] = {0};

    (void)host;
    for (unsigned i = 0; i < 12; i++)
        b[i].shares = 1000u << (i % 3);

    plat_ns total = burn_all(b, 12, 10000000000ull);

    for (unsigned i = 0; i < 12; i++)
        by_weight[i % 3] += b[i].got;
    for (unsigned i = 0; i < 3; i++) {
        plat_ns due = total * (1u << i) / 7;
        unsigned error = error_of(by_weight[i], due, due);

        printf("weight %u: %llu of %llu us, off by %u.%02u %%\n", 1u << i,
               (unsigned long long)(by_weight[i] / 1000), (unsigned long long)(due / 1000),
               error / 100, error % 100);
        sim_check(error <= 200, "unfair");
    }
    sim_check(total + 20000000 >= 4 * 10000000000ull, "CPUs idled: %llu us used",
              (unsigned long long)(total / 1000));
}

static void two_vms_run(unsigned host)
{
    (void)host;
    for (unsigned round = 0; round < 3; round++) {
        struct burner b[4] = {
            {.shares = 1000}, {.shares = 1000}, {.shares = 1000}, {.shares = 1000}};
        plat_ns total = burn_all(b, 4, 5000000000ull);
        plat_ns first = b[0].got + b[1].got;
        unsigned error = error_of(first, total / 2, total / 2);

        printf("first machine %llu, second %llu us, off by %u.%02u %%\n",
               (unsigned long long)(first / 1000), (unsigned long long)((total - first) / 1000),
               error / 100, error % 100);
        sim_check(error <= 200, "unfair");
        for (unsigned i = 0; i < 4; i++)
            sim_check(error_of(b[i].got, total / 4, total / 4) <= 200, "vCPU %u unfair", i);
    }
}

const struct scenario scenario_shares = {.name = "shares",
                                         .what = "1:2:4 on one CPU",
                                         .cpus = 1,
                                         .cpus_fixed = true,
                                         .run = shares_run};
const struct scenario scenario_shares_smp = {.name = "shares-smp",
                                             .what = "1:2:4 on four CPUs",
                                             .cpus = 4,
                                             .cpus_fixed = true,
                                             .run = shares_smp_run};
const struct scenario scenario_two_vms = {.name = "two-vms",
                                          .what = "two 2-vCPU machines on three CPUs",
                                          .cpus = 3,
                                          .run = two_vms_run};
