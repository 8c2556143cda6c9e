// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/main.c -- orrery-sim: runs scenarios on simulated hosts.
 *
 * The last line of a run is a hash of everything the scheduler did. Two runs of one build with
 * the same seed and options print the same; that is how a failure found at night is looked at
 * by day.
 *
 * Invariants
 *   - Output depends only on the build and the arguments.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "boot/boot_options.h"
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
    &scenario_user_swap,   &scenario_user_speed,    &scenario_program,     &scenario_processes,
    &scenario_nice,        &scenario_pools,         &scenario_sleeper,     &scenario_coschedule,
    &scenario_service,     &scenario_control,       &scenario_vmfs_crash,  &scenario_vmfs_files,
    &scenario_vmfs_speed,
};

#define HOSTS_MAX 7u

struct arguments {
    const char *command, *scenario, *trace, *policy;
    uint64_t seed, cpus, hosts;
    bool shake, verbose, help;
    struct guest_options guest;
};

static const char usage[] =
    "usage: orrery-sim run SCENARIO [--seed N] [--cpus N] [--hosts N] [--shake] [--verbose]\n"
    "                           [--trace DIR] [--ops N] [--policy NAME] [--host-options TEXT]\n"
    "       orrery-sim run FILE.wl [...]         as replay: such as sim/scenario/thief.wl\n"
    "       orrery-sim list\n"
    "       orrery-sim replay FILE.wl [...]      replay --help has its options\n"
    "       orrery-sim guest FILE [--vcpus N] [--memory MB] [--append ARGS] [--exits]\n"
    "                         [--host-options TEXT] [...]\n"
    "       orrery-sim engine-bench FILE\n"
    "\n"
    "Runs a scenario of the kernel on simulated hosts. The same seed gives the same run; the\n"
    "last line is a hash of it. --shake also switches CPUs at every lock. --trace leaves a "
    "CTF\n"
    "trace in DIR (of several hosts: DIR/host1, ...). --policy is that of the CPU scheduler:\n"
    "share, credit2, rr or edf; scenarios demand what share claims. --host-options: of\n"
    "docs/kernel-options.md, such as sched.quantum=5000000. --ops: how long a history\n"
    "vmfs-crash makes. Status: 0 passed, 2 usage, 3 failed.\n";

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

/* By its name, or by the name with ".scn" behind it. */
static const struct scenario *scenario_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
        const size_t length = strlen(scenarios[i]->name);

        if (!strncmp(scenarios[i]->name, name, length) &&
            (!name[length] || !strcmp(name + length, ".scn")))
            return scenarios[i];
    }
    return NULL;
}

static void option_told(const char *word, size_t length, const char *why)
{
    fprintf(stderr, "orrery-sim: --host-options: %.*s %s\n", (int)length, word, why);
}

static int run(const struct arguments *a)
{
    static char again[1024];

    current = scenario_find(a->scenario);
    if (!current) {
        fprintf(stderr, "orrery-sim: no scenario %s; try orrery-sim list\n", a->scenario);
        return 2;
    }
    if (!boot_options_check(a->guest.host, option_told))
        return 2;

    // As large as needed to be refused below.
    unsigned cpus = a->cpus ? (unsigned)MIN(a->cpus, UINT32_MAX) : current->cpus;
    unsigned hosts = a->hosts ? (unsigned)MIN(a->hosts, UINT32_MAX) : MAX(1u, current->hosts);
    bool shake = a->shake || current->shake;
    const char *policy = a->policy ? a->policy : "", *policy_key = a->policy ? " sched=" : "";
    const char *more = a->guest.host ? a->guest.host : "";

    if (current->cpus_fixed && cpus != current->cpus) {
        fprintf(stderr, "orrery-sim: --cpus %u: what %s claims is of %u CPU%s\n", cpus,
                current->name, current->cpus, current->cpus == 1 ? "" : "s");
        return 2;
    }
    if (current->one_host && hosts > 1) {
        fprintf(stderr, "orrery-sim: --hosts %u: %s is of one host\n", hosts, current->name);
        return 2;
    }
    if (a->policy && sched_policy_by_name(a->policy) == SCHED_POLICY_COUNT) {
        fprintf(stderr, "orrery-sim: --policy %s: share, credit2, rr or edf\n", a->policy);
        return 2;
    }
    snprintf(again, sizeof(again),
             "orrery-sim run %s --seed %llu --cpus %u --hosts %u%s%s%s%s%s%s", current->name,
             (unsigned long long)a->seed, cpus, hosts, shake ? " --shake" : "",
             a->policy ? " --policy " : "", policy, *more ? " --host-options '" : "", more,
             *more ? "'" : "");

    const struct sim_options options = {
        .seed = a->seed, .shake = shake, .verbose = a->verbose, .command = again};
    size_t room = 64 + strlen(more);
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
    snprintf(line, room, "%s%s%s %s", a->verbose ? "log=screen debug" : "log=none", policy_key,
             policy, more);
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

static bool number_read(const char *option, uint64_t least, uint64_t most, const char *text,
                        uint64_t *value)
{
    const char *end;

    if (parse_u64(text, &end, value) && !*end && *value >= least && *value <= most)
        return true;
    fprintf(stderr, "orrery-sim: --%s %s: a number from %llu to %llu is wanted\n", option, text,
            (unsigned long long)least, (unsigned long long)most);
    return false;
}

/* False: said why. */
static bool arguments_read(struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"ops", required_argument, NULL, 'o'},
                                            {"cpus", required_argument, NULL, 'c'},
                                            {"hosts", required_argument, NULL, 'H'},
                                            {"vcpus", required_argument, NULL, 'v'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {"trace", required_argument, NULL, 't'},
                                            {"append", required_argument, NULL, 'a'},
                                            {"exits", no_argument, NULL, 'e'},
                                            {"host-options", required_argument, NULL, 'O'},
                                            {"policy", required_argument, NULL, 'p'},
                                            {"shake", no_argument, NULL, 'S'},
                                            {"verbose", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    bool good = true;

    for (int c; good && (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 's': good = number_read("seed", 0, UINT64_MAX, optarg, &a->seed); break;
        case 'o': good = number_read("ops", 0, UINT64_MAX, optarg, &scenario_ops); break;
        case 'c': good = number_read("cpus", 1, PLAT_CPUS_MAX, optarg, &a->cpus); break;
        case 'H': good = number_read("hosts", 1, HOSTS_MAX, optarg, &a->hosts); break;
        case 'v': good = number_read("vcpus", 1, PLAT_CPUS_MAX, optarg, &a->guest.vcpus); break;
        case 'm': good = number_read("memory", 1, 1u << 20, optarg, &a->guest.memory_mb); break;
        case 't': a->trace = optarg; break;
        case 'p': a->policy = optarg; break;
        case 'a': a->guest.append = optarg; break;
        case 'e': a->guest.exits = true; break;
        case 'O': a->guest.host = optarg; break;
        case 'S': a->shake = true; break;
        case 'V': a->verbose = true; break;
        case 'h': a->help = true; break;
        default: good = false;
        }
    }
    a->command = optind < argc ? argv[optind++] : NULL;
    a->scenario = optind < argc ? argv[optind++] : NULL;
    if (good && optind < argc) {
        fprintf(stderr, "orrery-sim: %s: one scenario or file at a time\n", argv[optind]);
        good = false;
    }
    return good;
}

/* A file of docs/workloads.md, which replay_main() runs. */
static bool is_workload(const char *name)
{
    const size_t length = strlen(name);

    return length > 3 && !strcmp(name + length - 3, ".wl");
}

static int list(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
        if (!scenarios[i]->unlisted)
            printf("%-16s %s\n", scenarios[i]->name, scenarios[i]->what);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "replay") ||
                     (argc > 2 && !strcmp(argv[1], "run") && is_workload(argv[2]))))
        return replay_main(argc - 1, argv + 1);

    struct arguments a = {.seed = 1};
    bool good = arguments_read(&a, argc, argv);

    if (good && a.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (good && a.command && !strcmp(a.command, "list"))
        return list();
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
    if (!good)
        fputs("orrery-sim --help lists the options\n", stderr);
    else
        fputs(usage, stderr);
    return 2;
}
