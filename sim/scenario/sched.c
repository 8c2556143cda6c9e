// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/sched.c -- pools, limits, reservations, sleepers and VMs on the whole kernel.
 *
 * The machine alone is tested by the thousand in tests/unit/test_sched_*.c; these show that the
 * kernel around it (locks, switches, kicks, timers, worlds) carries its decisions out.
 *
 * pools       a tree of pools, a limit and a reservation on two CPUs, changed while they run
 * sleeper     who comes back after two seconds gets its share and no more
 * coschedule  a VM of four vCPUs with a ticket lock beside four hogs: relaxed against none
 *
 * Invariants
 *   - Every world's times add up at the end (scenario_check_times()).
 * Locking    the ticket lock is the guest's: simulated CPUs take turns.
 */
#include <stdio.h>

#include "lib/rng.h"
#include "sim/scenario/scenario.h"

#define MS 1000000ull

struct job {
    plat_ns until;
    world_id id;
    plat_ns got;
    plat_ns nap_at, nap;  // sleeps once
    struct guest *guest;
};

struct guest {
    uint64_t tickets, serving, rounds;
};

static plat_ns run_of(world_id id)
{
    struct sched_usage u;

    sim_check(sched_usage_get(id.raw, &u) == VMK_OK, "no usage of %u", id.raw);
    return u.times.run;
}

static void compute(void *argument)
{
    struct job *j = argument;

    while (plat_time_now() < j->until) {
        if (j->nap && plat_time_now() >= j->nap_at) {
            sim_check(world_sleep_until(plat_time_now() + j->nap) == VMK_OK, "sleep");
            j->nap = 0;
        }
        sim_work(200000);
    }
    j->got = run_of(world_current()->id);
}

static void job_start(struct job *j, const struct sched_params *params, bool vcpu,
                      void (*entry)(void *))
{
    const struct world_params w = {
        .name = "job", .entry = entry, .argument = j, .sched = *params, .vcpu = vcpu};
    vmk_status status = world_create(&w, &j->id);

    sim_check(status == VMK_OK, "world_create: %s", vmk_status_name(status));
}

static void near(const char *what, plat_ns got, plat_ns due, plat_ns slack)
{
    printf("%-28s %7llu us, due %7llu\n", what, (unsigned long long)(got / 1000),
           (unsigned long long)(due / 1000));
    sim_check(got + slack >= due && got <= due + slack, "%s: off by more than %llu us", what,
              (unsigned long long)(slack / 1000));
}

#define SAMPLES 64u

/* A sample of all of the host: worlds' times add up, groups are the sum of their parts, and two
 * samples make columns that say what the pools got. */
static void samples_check(uint32_t group, const struct sched_sample *before, plat_ns due)
{
    static struct sched_sample all[SAMPLES];
    uint32_t count = sched_samples_get(all, SAMPLES);
    uint64_t columns[ESXTOP_COLUMNS];
    struct sched_sample now;

    sim_check(count <= SAMPLES && all[0].parent == 0, "%u samples", count);
    for (uint32_t i = 0; i < count; i++) {
        const struct sched_sample *s = &all[i];
        uint64_t run = 0, elapsed = 0;

        sim_check(s->run + s->ready + s->costop + s->wait == s->elapsed, "%s: does not add up",
                  s->name);
        sim_check(s->kind >= SCHED_SAMPLE_POOL || s->elapsed == s->at - s->created, "%s: age",
                  s->name);
        for (uint32_t j = 0; j < count; j++) {
            run += all[j].parent == s->id ? all[j].run : 0;
            elapsed += all[j].parent == s->id ? all[j].elapsed : 0;
        }
        sim_check(s->kind < SCHED_SAMPLE_POOL || (run == s->run && elapsed == s->elapsed),
                  "%s: is not the sum of its worlds", s->name);
    }
    sim_check(sched_sample_get(group, &now) == VMK_OK, "no sample of the pool");
    esxtop_columns(before, &now, columns);
    printf("%s: %%RUN %llu.%02llu over %llu ms\n", now.name,
           (unsigned long long)columns[ESXTOP_RUN] / 100,
           (unsigned long long)columns[ESXTOP_RUN] % 100,
           (unsigned long long)(now.at - before->at) / 1000000);
    near("%RUN as time", columns[ESXTOP_RUN] * (now.at - before->at) / 10000, due, 30 * MS);
    sim_check(columns[ESXTOP_RUN] + columns[ESXTOP_RDY] + columns[ESXTOP_WAIT] + 3 >= 30000 &&
                  columns[ESXTOP_RUN] + columns[ESXTOP_RDY] + columns[ESXTOP_WAIT] <= 30000,
              "three worlds are not 300 %%");
    sim_check(columns[ESXTOP_MLMTD] > 0 && columns[ESXTOP_MLMTD] <= columns[ESXTOP_RDY],
              "limited, and %%MLMTD is not part of %%RDY");
}

static void pools_run(unsigned host)
{
    struct sched_host_usage all;
    uint32_t gold, tin, id;
    struct job j[6] = {{.got = 0}};
    plat_ns start = plat_time_now();
    struct sched_sample golds_before;
    uint32_t mhz;
    char why[96];

    (void)host;
    sched_host_usage_get(&all);
    mhz = (uint32_t)(all.capacity_mhz / all.cpus);
    sim_check(sched_pool_create("gold", 0, &(struct sched_params){.shares = 3000}, &gold) ==
                  VMK_OK,
              "pool");
    sim_check(sched_pool_create("tin", 0, &(struct sched_params){.shares = 1000}, &tin) ==
                  VMK_OK,
              "pool");
    sim_check(sched_pool_create("greedy", 0, &(struct sched_params){.min_mhz = 3 * mhz}, &id) ==
                  VMK_LIMIT,
              "three CPUs of two were promised");
    sim_check(sched_refusal(why, sizeof(why)) > 0, "no reason");
    printf("refused: %s\n", why);
    for (unsigned i = 0; i < 6; i++) {
        j[i].until = start + 3000 * MS;
        job_start(&j[i], &(struct sched_params){.pool = i < 3 ? gold : tin}, false, compute);
    }

    plat_ns before[6];

    sim_check(world_sleep_until(start + 1000 * MS) == VMK_OK, "sleep");
    near("gold, 3 of 4 of two CPUs", run_of(j[0].id) + run_of(j[1].id) + run_of(j[2].id),
         1500 * MS, 45 * MS);
    near("tin", run_of(j[3].id) + run_of(j[4].id) + run_of(j[5].id), 500 * MS, 45 * MS);

    /* Half a CPU promised to a world of tin, and gold held to one CPU. */
    sim_check(sched_set_min(j[3].id.raw, mhz / 2) == VMK_LIMIT, "tin has nothing to give");
    sim_check(sched_set_min(tin, mhz / 2) == VMK_OK &&
                  sched_set_min(j[3].id.raw, mhz / 2) == VMK_OK,
              "reservation refused");
    sim_check(sched_set_max(gold, mhz) == VMK_OK, "limit refused");
    sim_check(sched_sample_get(gold, &golds_before) == VMK_OK, "no sample");
    for (unsigned i = 0; i < 6; i++)
        before[i] = run_of(j[i].id);
    sim_check(world_sleep_until(start + 2000 * MS) == VMK_OK, "sleep");

    plat_ns golds = 0;

    for (unsigned i = 0; i < 3; i++)
        golds += run_of(j[i].id) - before[i];
    near("gold, limit one CPU", golds, 1000 * MS, 30 * MS);
    samples_check(gold, &golds_before, 1000 * MS);
    sim_check(golds <= 1010 * MS, "over its limit by more than 1 %%");
    sim_check(run_of(j[3].id) - before[3] >= 490 * MS, "reservation missed: %llu us",
              (unsigned long long)((run_of(j[3].id) - before[3]) / 1000));
    for (unsigned i = 0; i < 6; i++)
        scenario_join(j[i].id);
    scenario_check_times();
    sim_check(sched_pool_destroy(gold) == VMK_OK && sched_pool_destroy(tin) == VMK_OK, "pools");
    sim_check(sched_pool_destroy(gold) == VMK_NOT_FOUND, "destroyed twice");
}

static void sleeper_run(unsigned host)
{
    plat_ns start = plat_time_now();
    struct rng rng;
    struct job j[3] = {{.until = 0}};
    plat_ns before[3];

    (void)host;
    rng_init(&rng, sim_options_get()->seed, "sleeper", 0);
    j[0].nap_at = start + 10 * MS;
    j[0].nap = 2000 * MS + rng_below(&rng, 20 * MS);
    for (unsigned i = 0; i < 3; i++) {
        j[i].until = start + 3010 * MS;
        job_start(&j[i], &(struct sched_params){.pool = 0}, false, compute);
    }
    sim_check(world_sleep_until(start + 2100 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 3; i++)
        before[i] = run_of(j[i].id);
    for (unsigned i = 0; i < 3; i++)
        scenario_join(j[i].id);
    for (unsigned i = 0; i < 3; i++)
        near(i ? "always awake" : "slept two seconds", j[i].got - before[i], 303 * MS, 12 * MS);
    scenario_check_times();
}

static void vcpu(void *argument)
{
    struct job *j = argument;
    struct guest *g = j->guest;

    while (plat_time_now() < j->until) {
        sim_work(80000);

        uint64_t ticket = g->tickets++;

        while (g->serving != ticket)
            sim_work(2000);
        sim_work(20000);
        g->serving++;
        g->rounds++;
    }
    j->got = run_of(world_current()->id);
}

static void coschedule_once(unsigned mode, unsigned stagger, plat_ns *all_run,
                            uint64_t *all_rounds)
{
    struct guest guest = {0};
    struct job j[8] = {{.got = 0}};
    plat_ns start = plat_time_now();
    plat_ns run = 0, costop = 0;
    uint32_t vm;

    sim_check(sched_set_tunable(SCHED_TUNABLE_COSCHED, mode) == VMK_OK, "tunable");
    sim_check(sched_pool_create("guest", SCHED_POOL_VM, &(struct sched_params){.shares = 4000},
                                &vm) == VMK_OK,
              "vm");
    for (unsigned i = 0; i < 8; i++) {
        j[i].until = start + 1000 * MS;
        j[i].guest = &guest;
        /* Not all at once: slices must not fall together by luck. */
        sim_check(world_sleep_until(plat_time_now() + 300000 + 370000 * stagger + 1) == VMK_OK,
                  "sleep");
        job_start(&j[i], &(struct sched_params){.pool = i < 4 ? vm : 0}, i < 4,
                  i < 4 ? vcpu : compute);
    }
    sim_check(world_sleep_until(start + 990 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 4; i++) {
        struct sched_usage u;

        sim_check(sched_usage_get(j[i].id.raw, &u) == VMK_OK, "usage");
        run += u.times.run;
        costop += u.times.costop;
        sim_check(mode != 1 || u.skew <= 4100000, "vCPU %u leads by %llu us", i,
                  (unsigned long long)(u.skew / 1000));
    }
    *all_run += run;
    *all_rounds += guest.rounds;
    /* Who spins for a ticket when the others have gone must get it. */
    for (unsigned i = 0; i < 8; i++)
        scenario_join(j[i].id);
    sim_check(sched_pool_destroy(vm) == VMK_OK, "vm");
    scenario_check_times();
    printf("cosched %u: %llu rounds per CPU second, ran %llu us, stopped %llu us\n", mode,
           (unsigned long long)(guest.rounds * 1000000000ull / run),
           (unsigned long long)(run / 1000), (unsigned long long)(costop / 1000));
}

static void coschedule_run(unsigned host)
{
    uint64_t rate[3];

    (void)host;
    for (unsigned mode = 0; mode < 3; mode++) {
        plat_ns run = 0;
        uint64_t rounds = 0;

        for (unsigned stagger = 0; stagger < 5; stagger++)
            coschedule_once(mode, stagger, &run, &rounds);
        rate[mode] = rounds * 1000000000ull / run;
    }
    printf("none %llu, relaxed %llu, strict %llu\n", (unsigned long long)rate[0],
           (unsigned long long)rate[1], (unsigned long long)rate[2]);
    sim_check(rate[1] * 10 >= rate[2] * 8, "less than 80 %% of strict gangs");
    sim_check(rate[1] * 10 >= rate[0] * 13, "hardly better than no co-scheduling");
}

const struct scenario scenario_pools = {.name = "pools",
                                        .what = "a tree of pools, limit, reservation, changes",
                                        .cpus = 2,
                                        .cpus_fixed = true,
                                        .one_host = true,
                                        .run = pools_run};
const struct scenario scenario_sleeper = {.name = "sleeper",
                                          .what = "sleeping earns no credit",
                                          .cpus = 1,
                                          .cpus_fixed = true,
                                          .run = sleeper_run};
const struct scenario scenario_coschedule = {.name = "coschedule",
                                             .what = "a ticket lock in a VM beside hogs",
                                             .cpus = 4,
                                             .cpus_fixed = true,
                                             .run = coschedule_run};
