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
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "core/trace_control.h"
#include "io/io.h"
#include "lib/format.h"
#include "mem/page.h"
#include "sched/sched.h"
#include "sim/engine/bench.h"
#include "sim/platform/trace_dir.h"
#include "sim/scenario/guest.h"
#include "sim/scenario/scenario.h"
#include "sim/workload/replay.h"
#include "vmm/vm.h"
#include "world/world.h"

static const struct scenario *const scenarios[] = {
    &scenario_shares,      &scenario_shares_smp,    &scenario_two_vms,     &scenario_accounting,
    &scenario_pingpong,    &scenario_waitq_timeout, &scenario_kill,        &scenario_two_hosts,
    &scenario_many_worlds, &scenario_planted_race,  &scenario_canary_race, &scenario_guest,
    &scenario_busybox,     &scenario_busybox_smp,   &scenario_boot,        &scenario_commands,
    &scenario_user_speed,  &scenario_program,       &scenario_processes,   &scenario_nice,
    &scenario_pools,       &scenario_sleeper,       &scenario_coschedule,  &scenario_service,
    &scenario_control,     &scenario_vmfs_crash,    &scenario_vmfs_files,  &scenario_vmfs_speed,
};

struct arguments {
    const char *command, *scenario, *trace;
    uint64_t seed, cpus, hosts;
    bool shake, verbose, help;
    struct guest_options guest;
};

static const char usage[] =
    "usage: orrery-sim run SCENARIO [--seed N] [--cpus N] [--hosts N] [--shake] [--verbose]\n"
    "                           [--trace DIR] [--ops N]\n"
    "       orrery-sim list\n"
    "       orrery-sim replay FILE.wl [...]\n"
    "       orrery-sim guest FILE [--vcpus N] [--memory MB] [--append ARGS] [--exits]\n"
    "                         [--host-options TEXT] [...]\n"
    "       orrery-sim engine-bench FILE\n"
    "\n"
    "Runs a scenario of the kernel on simulated hosts. The same seed gives the same run; the "
    "last\n"
    "line is a hash of it. --shake also switches CPUs at every lock. --trace leaves a CTF\n"
    "trace in DIR (of several hosts: DIR/host1, ...). Status: 0 passed, 2 usage, 3 failed.\n";

/* What the worlds below read; set before anything runs. */
static const struct scenario *current;

static void run_world(void *argument)
{
    (void)argument;
    current->run(sim_host_index(sim_host_current()) - 1);
    if (sim_host_index(sim_host_current()) == 1)
        sim_finish();
}

/* Per host, by index; what run() closes. */
static struct {
    struct trace_state *trace;
    struct trace_dir *dir;
} recorders[8];

/* Records every class whether or not somebody wants files: the hash is over the records. */
static void recorder_start(void)
{
    unsigned index = sim_host_index(sim_host_current());
    struct trace_config config = {
        .classes = TRACE_CLASS_ALL, .mode = TRACE_MODE_DIRECT, .hash = true};
    uint64_t seed = sim_options_get()->seed;
    char text[24];

    if (recorders[index].dir)
        config.sink = trace_dir_sink(recorders[index].dir);
    memcpy(config.uuid, &seed, sizeof(seed));
    memcpy(config.uuid + 8, "orrery", 6);
    config.uuid[15] = (uint8_t)index;
    vmk_assert(trace_setup(&config) == VMK_OK);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
    trace_env_set("seed", text);
    trace_env_set("loop", "closed");
    trace_env_set("scenario", current->name);
    recorders[index].trace = this_host()->trace;
}

/* Also at a failed check: a trace of the failure is what one wants. */
static void recorders_close(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(recorders); i++) {
        if (recorders[i].trace)
            trace_finish_on(recorders[i].trace);
        if (recorders[i].dir && recorders[i].trace &&
            !trace_dir_finish(recorders[i].dir, recorders[i].trace))
            _Exit(3);
        recorders[i].dir = NULL;
    }
}

/* One trace directory per host; false: said why. */
static bool recorders_open(const char *path, unsigned hosts)
{
    char name[4096];

    for (unsigned i = 1; i <= hosts; i++) {
        snprintf(name, sizeof(name), "%s/host%u", path, i);
        if (hosts > 1 && i == 1 && mkdir(path, 0777) && errno != EEXIST) {
            fprintf(stderr, "orrery-sim: cannot make %s: %s\n", path, strerror(errno));
            return false;
        }
        recorders[i].dir = trace_dir_create(hosts > 1 ? name : path);
        if (!recorders[i].dir)
            return false;
        trace_dir_note(recorders[i].dir, "command", "%s", sim_options_get()->command);
        trace_dir_note(recorders[i].dir, "seed", "%llu",
                       (unsigned long long)sim_options_get()->seed);
        trace_dir_note(recorders[i].dir, "scenario", "%s", current->name);
    }
    return true;
}

/* Everything that was recorded, and every interrupt and switch. */
static uint64_t run_hash(void)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(recorders); i++) {
        uint64_t records, hash;

        if (!recorders[i].trace)
            continue;
        hash = trace_hash_of(recorders[i].trace, &records);
        printf("trace host%u %llu records %016llx\n", i, (unsigned long long)records,
               (unsigned long long)hash);
        all = all * 31 + hash;
    }
    return all ^ sim_hash();
}

static void boot(void)
{
    const struct world_params params = {.name = "scenario", .entry = run_world};
    world_id id;

    core_init();
    mem_init();
    recorder_start();
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
    size_t room = 32 + (a->guest.host ? strlen(a->guest.host) : 0);
    char *line;

    sim_options_set(&options);
    if (a->trace && !recorders_open(a->trace, hosts))
        return 3;
    if (current->prepare && !current->prepare())
        return 3;
    atexit(recorders_close);
    line = malloc(room);
    if (!line)
        sim_fail("no memory for --host-options");
    snprintf(line, room, "%s %s", a->verbose ? "log=screen debug" : "log=none",
             a->guest.host ? a->guest.host : "");
    for (unsigned i = 0; i < hosts; i++) {
        sim_host_start(sim_host_create(cpus, 256, line), boot);
    }
    free(line);
    if (!sim_run())
        sim_fail("every world waits and nothing will come");
    if (current->check)
        current->check();
    printf("PASS %s seed %llu\n", current->name, (unsigned long long)a->seed);
    printf("hash %016llx\n", (unsigned long long)run_hash());
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
            number_option(argc, argv, &i, "--ops", &scenario_ops) ||
            number_option(argc, argv, &i, "--cpus", &a->cpus) ||
            number_option(argc, argv, &i, "--hosts", &a->hosts) ||
            number_option(argc, argv, &i, "--vcpus", &a->guest.vcpus) ||
            number_option(argc, argv, &i, "--memory", &a->guest.memory_mb))
            continue;
        if (!strcmp(argv[i], "--trace") && i + 1 < argc)
            a->trace = argv[++i];
        else if (!strncmp(argv[i], "--trace=", 8))
            a->trace = argv[i] + 8;
        else if (!strcmp(argv[i], "--append") && i + 1 < argc)
            a->guest.append = argv[++i];
        else if (!strcmp(argv[i], "--exits"))
            a->guest.exits = true;
        else if (!strcmp(argv[i], "--host-options") && i + 1 < argc)
            a->guest.host = argv[++i];
        else if (!strcmp(argv[i], "--shake"))
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
    if (argc > 1 && !strcmp(argv[1], "replay"))
        return replay_main(argc - 1, argv + 1);

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
    if (good && a.command && a.scenario && !strcmp(a.command, "engine-bench"))
        return engine_bench(a.scenario);
    if (good && a.command && a.scenario && !strcmp(a.command, "guest")) {
        a.guest.file = a.scenario;
        a.scenario = scenario_guest.name;
        if (a.guest.vcpus > VM_VCPUS_MAX) {
            fprintf(stderr, "orrery-sim: --vcpus: at most %u\n", VM_VCPUS_MAX);
            return 2;
        }
        return guest_prepare(&a.guest) ? run(&a) : 3;
    }
    fputs(usage, stderr);
    return 2;
}
