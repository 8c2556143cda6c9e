// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/main.c -- orrery-sim: runs scenarios on simulated hosts.
 *
 * The last line of a run is a hash of everything the scheduler did. Two runs of one build with the
 * same seed and options print the same; that is how a failure found at night is looked at by day.
 *
 * Invariants
 *   - Output depends only on the build and the arguments.
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "lib/format.h"
#include "io/io.h"
#include "mem/page.h"
#include "sched/sched.h"
#include "sim/scenario/scenario.h"
#include "world/world.h"

static const struct scenario *const scenarios[] = {
    &scenario_shares,      &scenario_shares_smp,    &scenario_two_vms,     &scenario_accounting,
    &scenario_pingpong,    &scenario_waitq_timeout, &scenario_kill,        &scenario_two_hosts,
    &scenario_many_worlds, &scenario_planted_race,  &scenario_canary_race,
};

struct arguments {
    const char *command, *scenario;
    uint64_t seed, cpus, hosts;
    bool shake, verbose, help;
};

static const char usage[] =
    "usage: orrery-sim run SCENARIO [--seed N] [--cpus N] [--hosts N] [--shake] [--verbose]\n"
    "       orrery-sim list\n"
    "\n"
    "Runs a scenario of the kernel on simulated hosts. The same seed gives the same run; the "
    "last\n"
    "line is a hash of it. --shake also switches CPUs at every lock. Status: 0 passed, 2 "
    "usage,\n"
    "3 failed.\n";

/* What the worlds below read; set before anything runs. */
static const struct scenario *current;

static void run_world(void *argument)
{
    (void)argument;
    current->run(sim_host_index(sim_host_current()) - 1);
    if (sim_host_index(sim_host_current()) == 1)
        sim_finish();
}

static void boot(void)
{
    const struct world_params params = {.name = "scenario", .entry = run_world};
    world_id id;

    core_init();
    mem_init();
    sched_init();
    world_init();
    io_init();
    for (unsigned i = 1; i < plat_cpu_count(); i++)
        vmk_assert(plat_cpu_start(i, world_cpu_main));
    vmk_assert(world_create(&params, &id) == VMK_OK);
    world_idle_loop();
}

static int run(const struct arguments *a)
{
    static char again[256];

    for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
        if (!strcmp(scenarios[i]->name, a->scenario))
            current = scenarios[i];
    }
    if (!current) {
        fprintf(stderr, "orrery-sim: no scenario %s; try orrery-sim list\n", a->scenario);
        return 2;
    }

    unsigned cpus = a->cpus ? (unsigned)a->cpus : current->cpus;
    unsigned hosts = a->hosts ? (unsigned)a->hosts : MAX(1u, current->hosts);
    bool shake = a->shake || current->shake;

    if (cpus > PLAT_CPUS_MAX || hosts > 7) {
        fprintf(stderr, "orrery-sim: at most %u CPUs and 7 hosts\n", PLAT_CPUS_MAX);
        return 2;
    }
    snprintf(again, sizeof(again), "orrery-sim run %s --seed %llu --cpus %u --hosts %u%s",
             current->name, (unsigned long long)a->seed, cpus, hosts, shake ? " --shake" : "");

    const struct sim_options options = {
        .seed = a->seed, .shake = shake, .verbose = a->verbose, .command = again};

    sim_options_set(&options);
    for (unsigned i = 0; i < hosts; i++) {
        sim_host_start(sim_host_create(cpus, 256, a->verbose ? "log=screen debug" : "log=none"),
                       boot);
    }
    if (!sim_run())
        sim_fail("every world waits and nothing will come");
    printf("PASS %s seed %llu\n", current->name, (unsigned long long)a->seed);
    printf("hash %016llx\n", (unsigned long long)sim_hash());
    return 0;
}

/* `--name N` or `--name=N`; moves *i past what it used. */
static bool number_option(int argc, char **argv, int *i, const char *name, uint64_t *value)
{
    size_t length = strlen(name);
    const char *text;
    const char *end;

    if (strncmp(argv[*i], name, length) != 0)
        return false;
    if (argv[*i][length] == '=')
        text = argv[*i] + length + 1;
    else if (!argv[*i][length] && *i + 1 < argc)
        text = argv[++*i];
    else
        return false;
    return parse_u64(text, &end, value) && !*end;
}

static bool arguments_read(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (number_option(argc, argv, &i, "--seed", &a->seed) ||
            number_option(argc, argv, &i, "--cpus", &a->cpus) ||
            number_option(argc, argv, &i, "--hosts", &a->hosts))
            continue;
        if (!strcmp(argv[i], "--shake"))
            a->shake = true;
        else if (!strcmp(argv[i], "--verbose"))
            a->verbose = true;
        else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            a->help = true;
        else if (argv[i][0] == '-')
            return false;
        else if (!a->command)
            a->command = argv[i];
        else if (!a->scenario)
            a->scenario = argv[i];
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct arguments a = {.seed = 1};
    bool good = arguments_read(&a, argc, argv);

    if (good && a.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (good && a.command && !strcmp(a.command, "list")) {
        for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
            if (!scenarios[i]->unlisted)
                printf("%-16s %s\n", scenarios[i]->name, scenarios[i]->what);
        }
        return 0;
    }
    if (good && a.command && a.scenario && !strcmp(a.command, "run"))
        return run(&a);
    fputs(usage, stderr);
    return 2;
}
