// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/replay.c -- the command line around the engine: tables, claims, seeds.
 *
 * Invariants
 *   - Output is a function of build and arguments, but for --speed.
 *   - Exit status: 0 claims hold, 1 one does not, 2 usage, 3 bad file or a run that failed.
 * Locking    none.
 */
#include "sim/workload/replay.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/format.h"
#include "sim/workload/evheap.h"

enum {
    STATUS_HOLDS = 0,
    STATUS_BROKEN = 1,
    STATUS_USAGE = 2,
    STATUS_BAD = 3
};

static const char usage[] =
    "usage: orrery-sim replay FILE.wl [options]\n"
    "\n"
    "Runs a workload on the scheduler alone, event by event; docs/workloads.md "
    "has the language.\n"
    "Prints what each world had, whether the file's expectations hold, and a "
    "hash of all that\n"
    "was recorded. FILE - is standard input.\n"
    "\n"
    "  --cpus N          CPUs of the host, 1..64 (default: the file's)\n"
    "  --memory K=V      a setting of the memory policy over the file's, such as idle-tax=0\n"
    "  --policy NAME     share, credit2, rr or edf (default: the file's, or "
    "share)\n"
    "  --variant NAME    as a variant line of the file says\n"
    "  --seed N          of all random lengths (1)\n"
    "  --seeds N         judge the expectations for seeds SEED..SEED+N-1, no "
    "table\n"
    "  --duration T      such as 20s (default: the file's)\n"
    "  --trace DIR       write the trace there\n"
    "  --worlds N        rows of the table (40; 0: all)\n"
    "  --csv             the table as CSV, nothing else\n"
    "  --print           print the file as read, and end\n"
    "  --speed           also say how fast it went, against a micro-benchmark "
    "of this machine\n"
    "\n"
    "Status: 0 expectations hold, 1 one does not, 2 usage, 3 a bad file or a "
    "failed run.\n";

struct arguments {
    const char *file, *policy, *variant, *trace;
    const char *memory;
    uint64_t cpus, seed, seeds, duration, worlds;
    bool csv, print, speed;
};

static int fail(const char *file, const struct wl_error *e)
{
    if (e->line)
        fprintf(stderr, "orrery-sim: %s:%u:%u: %s\n", file, e->line, e->field, e->text);
    else
        fprintf(stderr, "orrery-sim: %s: %s\n", file, e->text);
    return STATUS_BAD;
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * Operations per second of a fixed piece of work like the engine's: a heap of
 * 64 events, moved by random distances. What a figure of this machine is worth
 * shows in its ratio to that.
 */
static double yardstick(void)
{
    struct evheap h;
    struct rng rng;
    const uint32_t count = 2000000;
    double start, best = 1e9;

    if (!evheap_init(&h, 64))
        return 0;
    for (int round = 0; round < 3; round++) {
        rng_init(&rng, 1, "yardstick", (uint64_t)round);
        for (uint32_t i = 0; i < 64; i++)
            evheap_set(&h, i, rng_next(&rng) & 0xffff);
        start = seconds_now();
        for (uint32_t i = 0; i < count; i++) {
            const struct evheap_event *first = evheap_first(&h);

            evheap_set(&h, evheap_slot(first), first->time + (rng_next(&rng) & 0xffff));
        }
        best = MIN(best, seconds_now() - start);
    }
    evheap_free(&h);
    return count / best;
}

/* ---- the table ---- */

/* The length that so many of a thousand wake-ups were below, in ns. */
static uint64_t wake_permille(const struct engine_world_result *w, unsigned permille)
{
    return w->wake ? hdr_permille(w->wake, permille) : 0;
}

static const char *const columns =
    "world,shares,run_ms,ready_ms,limited_ms,costop_ms,wait_ms,work_ms,spin_ms,"
    "cpu_percent,"
    "switches,migrations,wakes,wake_p50_us,wake_p99_us,wake_max_us,ops";

static void row_csv(const struct program *p, const struct engine_result *r, uint32_t i)
{
    const struct engine_world_result *w = &r->worlds[i];
    const struct engine_times *t = &w->times;

    printf("%s,%u,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.3f,%llu,%llu,%llu,%.3f,%."
           "3f,%.3f,%llu\n",
           p->worlds[i].name,
           p->worlds[i].resources.shares ? p->worlds[i].resources.shares : 1000,
           (double)t->run / 1e6, (double)t->ready / 1e6, (double)t->limited / 1e6,
           (double)t->costop / 1e6, (double)t->wait / 1e6, (double)t->work / 1e6,
           (double)t->spin / 1e6, 100.0 * (double)t->run / (double)r->duration,
           (unsigned long long)w->switches, (unsigned long long)w->migrations,
           (unsigned long long)w->wakes, (double)wake_permille(w, 500) / 1e3,
           (double)wake_permille(w, 990) / 1e3, (double)wake_permille(w, 1000) / 1e3,
           (unsigned long long)t->ops);
}

static void row_text(const struct program *p, const struct engine_result *r, uint32_t i)
{
    const struct engine_world_result *w = &r->worlds[i];
    const struct engine_times *t = &w->times;
    double elapsed = (double)MAX(1u, r->duration) / 100;

    printf("%-16s %7.2f %7.2f %7.2f %7.2f %7.2f %8llu %6llu %9.1f %9.1f %8llu\n",
           p->worlds[i].name, (double)t->run / elapsed, (double)t->ready / elapsed,
           (double)t->limited / elapsed, (double)t->costop / elapsed, (double)t->wait / elapsed,
           (unsigned long long)w->switches, (unsigned long long)w->migrations,
           (double)wake_permille(w, 500) / 1e3, (double)wake_permille(w, 990) / 1e3,
           (unsigned long long)t->ops);
}

static void memory_table(const struct program *p, const struct engine_result *r);

static void table(const struct program *p, const struct engine_result *r,
                  const struct arguments *a)
{
    uint32_t rows =
        a->worlds && a->worlds < r->world_count ? (uint32_t)a->worlds : r->world_count;
    uint64_t moves = 0;

    if (a->csv) {
        puts(columns);
        for (uint32_t i = 0; i < r->world_count; i++)
            row_csv(p, r, i);
        return;
    }
    printf("%-16s %7s %7s %7s %7s %7s %8s %6s %9s %9s %8s\n", "world", "%RUN", "%RDY", "%MLMTD",
           "%CSTP", "%WAIT", "switches", "moves", "wake50us", "wake99us", "ops");
    for (uint32_t i = 0; i < rows; i++)
        row_text(p, r, i);
    if (rows < r->world_count)
        printf("... and %u more (--worlds 0 shows all)\n", r->world_count - rows);
    for (unsigned k = 0; k < MIGRATE_KIND_COUNT; k++)
        moves += r->migrations[k];
    printf("%u worlds, %u CPUs, policy %s: %.3f s, %llu inputs, %llu switches, "
           "%llu migrations, "
           "%llu co-stops\n",
           r->world_count, r->cpus, r->policy, (double)r->duration / 1e9,
           (unsigned long long)r->inputs, (unsigned long long)r->switches,
           (unsigned long long)moves, (unsigned long long)r->costops);
    memory_table(p, r);
}

static void memory_table(const struct program *p, const struct engine_result *r)
{
    static const enum wl_metric shown[] = {WL_METRIC_MEM_HELD,       WL_METRIC_MEM_TARGET,
                                           WL_METRIC_MEM_ACTIVE,     WL_METRIC_MEM_TRUE,
                                           WL_METRIC_MEM_BALLOON,    WL_METRIC_MEM_SHARED,
                                           WL_METRIC_MEM_COMPRESSED, WL_METRIC_MEM_SWAPPED};

    if (!r->memory.samples)
        return;
    printf("%-16s %8s %8s %8s %8s %8s %8s %8s %8s %8s %7s\n", "memory, mean MB", "held",
           "target", "active", "true", "balloon", "shared", "compr.", "swapped", "faults",
           "%work");
    for (uint32_t i = 0; i < p->pool_count; i++) {
        const char *name = p->pools[i].name;

        if (!(judge_metric(p, r, WL_METRIC_MEM_ON, name, 0, 0) > 0))
            continue;
        printf("%-16s", name);
        for (unsigned k = 0; k < ARRAY_COUNT(shown); k++)
            printf(" %8.1f", judge_metric(p, r, shown[k], name, 0, 0));
        printf(" %8.0f %7.2f\n", judge_metric(p, r, WL_METRIC_MEM_FAULTS, name, 0, 0),
               100 * judge_metric(p, r, WL_METRIC_MEM_WORK, name, 0, 0));
    }
}

/* ---- runs ---- */

struct session {
    const struct arguments *arguments;
    struct workload workload;
    struct program program;
    struct engine_options options;
    bool variants_used;
};

static bool variant_needed(const struct wl_expr *e)
{
    return e && (e->variant[0] || variant_needed(e->left) || variant_needed(e->right));
}

/*
 * Judges the claims that the run's policy makes; says those that fail, or when `all` each, with
 * those that are not claimed. Returns how many failed.
 */
static unsigned judged(const struct session *s, const struct judge *j, bool all,
                       unsigned *unclaimed)
{
    unsigned failed = 0;

    for (uint32_t i = 0; i < s->workload.expect_count; i++) {
        const struct wl_expect *e = &s->workload.expects[i];
        char why[200];
        bool good;

        if (e->by && !(e->by & 1u << sched_policy_by_name(j->base->policy))) {
            ++*unclaimed;
            if (all)
                printf("not claimed by %s: line %u: %s\n", j->base->policy, e->line, e->text);
            continue;
        }
        good = judge_expect(j, i, why, sizeof(why));

        failed += !good;
        if (!good || all)
            printf("%s line %u: %s (%s)\n", good ? "holds" : "FAILS", e->line, e->text, why);
    }
    return failed;
}

static bool variants_run(struct session *s, uint64_t seed, struct engine_result *results,
                         char *error, size_t room)
{
    for (uint32_t v = 0; s->variants_used && v < s->workload.variant_count; v++) {
        struct engine_options o = s->options;

        o.seed = seed;
        o.variant = &s->workload.variants[v];
        if (o.variant->policy[0])
            o.policy = NULL;  // it is there to compare with that one
        if (!engine_run(&s->program, &o, &results[v])) {
            snprintf(error, room, "variant %s: %s", o.variant->name, results[v].error);
            return false;
        }
    }
    return true;
}

static void results_free(struct engine_result *results, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        engine_result_free(&results[i]);
    free(results);
}

static int run_seeds(struct session *s)
{
    const struct arguments *a = s->arguments;
    unsigned failed = 0, unclaimed = 0;

    for (uint64_t k = 0; k < a->seeds; k++) {
        struct engine_result *results = calloc(1 + s->workload.variant_count, sizeof(*results));
        struct judge j = {&s->program, results, results ? results + 1 : NULL};
        char error[400] = "";
        unsigned broken;

        if (!results)
            return STATUS_BAD;
        s->options.seed = a->seed + k;
        if (!engine_run(&s->program, &s->options, results))
            snprintf(error, sizeof(error), "%s", results->error);
        else
            (void)variants_run(s, a->seed + k, results + 1, error, sizeof(error));
        if (error[0]) {
            fprintf(stderr, "orrery-sim: %s seed %llu: %s\n", a->file,
                    (unsigned long long)a->seed + k, error);
            results_free(results, 1 + s->workload.variant_count);
            return STATUS_BAD;
        }
        broken = judged(s, &j, false, &unclaimed);
        if (broken)
            printf("seed %llu: %u of %u expectations fail\n", (unsigned long long)a->seed + k,
                   broken, s->workload.expect_count);
        failed += broken;
        results_free(results, 1 + s->workload.variant_count);
    }
    printf("%s %s: %llu seeds, %u expectations each, ", failed ? "FAIL" : "PASS",
           s->workload.name[0] ? s->workload.name : a->file, (unsigned long long)a->seeds,
           s->workload.expect_count);
    if (unclaimed)
        printf("%llu of them not claimed by %s, ", unclaimed / (unsigned long long)a->seeds,
               s->options.policy ? s->options.policy : "this policy");
    printf("%u failures\n", failed);
    return failed ? STATUS_BROKEN : STATUS_HOLDS;
}

static int run_one(struct session *s)
{
    const struct arguments *a = s->arguments;
    struct engine_result *results = calloc(1 + s->workload.variant_count, sizeof(*results));
    struct judge j = {&s->program, results, results ? results + 1 : NULL};
    struct replay_trace trace;
    char error[400] = "";
    unsigned failed, unclaimed = 0;
    double start, length;

    if (!results)
        return STATUS_BAD;
    start = seconds_now();
    if (!replay_recorded(&s->program, &s->options, a->trace, results, &trace))
        snprintf(error, sizeof(error), "%s", results->error);
    length = seconds_now() - start;
    if (!error[0] && variants_run(s, a->seed, results + 1, error, sizeof(error))) {
        table(&s->program, results, a);
        failed = a->csv ? 0 : judged(s, &j, true, &unclaimed);
        if (a->speed) {
            double per_second = (double)results->inputs / length, yard = yardstick();

            printf("speed %.0f inputs/s, %.0f records/s, simulated:real %.1f; "
                   "yardstick %.0f "
                   "operations/s, ratio %.3f\n",
                   per_second, (double)trace.records / length,
                   (double)results->duration / 1e9 / length, yard, per_second / yard);
        }
        if (!a->csv)
            printf("hash %016llx\n", (unsigned long long)trace.hash);
        results_free(results, 1 + s->workload.variant_count);
        return failed ? STATUS_BROKEN : STATUS_HOLDS;
    }
    fprintf(stderr, "orrery-sim: %s: %s\n", a->file, error);
    results_free(results, 1 + s->workload.variant_count);
    return STATUS_BAD;
}

static int session_run(struct session *s)
{
    const struct arguments *a = s->arguments;
    struct wl_error error;
    int status;

    if (!wl_parse_file(a->file, &s->workload, &error))
        return fail(a->file, &error);
    if (a->print) {
        wl_print(&s->workload, stdout);
        wl_free(&s->workload);
        return STATUS_HOLDS;
    }
    s->options = (struct engine_options){.seed = a->seed,
                                         .duration = a->duration,
                                         .cpus = (unsigned)a->cpus,
                                         .policy = a->policy,
                                         .memory = a->memory};
    for (uint32_t v = 0; a->variant && v < s->workload.variant_count; v++) {
        if (!strcmp(s->workload.variants[v].name, a->variant))
            s->options.variant = &s->workload.variants[v];
    }
    for (uint32_t i = 0; i < s->workload.expect_count; i++) {
        s->variants_used = s->variants_used || variant_needed(s->workload.expects[i].left) ||
                           variant_needed(s->workload.expects[i].right);
    }
    if (a->variant && !s->options.variant) {
        fprintf(stderr, "orrery-sim: %s has no `variant %s`\n", a->file, a->variant);
        wl_free(&s->workload);
        return STATUS_USAGE;
    }
    s->options.skew = judge_needs_skew(&s->workload);
    if (!judge_sample_period(&s->workload, &s->options.sample_period, &error) ||
        !program_link(&s->workload, &s->program, &error) ||
        !judge_names_check(&s->program, &error)) {
        program_free(&s->program);
        wl_free(&s->workload);
        return fail(a->file, &error);
    }
    status = a->seeds ? run_seeds(s) : run_one(s);
    program_free(&s->program);
    wl_free(&s->workload);
    return status;
}

/* ---- arguments ---- */

/* `--name VALUE` or `--name=VALUE`; moves *i past what it used. */
static bool option(int argc, char **argv, int *i, const char *name, const char **value)
{
    size_t length = strlen(name);

    if (strncmp(argv[*i], name, length) != 0)
        return false;
    if (argv[*i][length] == '=') {
        *value = argv[*i] + length + 1;
        return true;
    }
    if (argv[*i][length] || *i + 1 >= argc)
        return false;
    *value = argv[++*i];
    return true;
}

static bool number(const char *text, uint64_t most, uint64_t *value)
{
    const char *end;

    return parse_u64(text, &end, value) && !*end && *value <= most;
}

/* What an option of that name takes, for who gave it something else. */
static const char *wanted(const char *option)
{
    static const struct {
        const char *option, *what;
    } options[] = {
        {"--cpus", "is a number from 1 to 64"},
        {"--seeds", "is a number from 1 to 1000000"},
        {"--seed", "is a number"},
        {"--worlds", "is a number, 0 for all"},
        {"--duration", "is a time with a unit, such as 20s"},
        {"--policy", "is share, credit2, rr or edf"},
        {"--memory", "is a setting, such as idle-tax=0"},
        {"--variant", "is the name of a variant in the file"},
        {"--trace", "is a directory, and of one run: not with --seeds"},
        {"FILE", "is missing"},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(options); i++) {
        size_t length = strlen(options[i].option);

        if (!strncmp(option, options[i].option, length) &&
            (!option[length] || option[length] == '='))
            return options[i].what;
    }
    return "is not understood";
}

static bool arguments_read(struct arguments *a, int argc, char **argv, const char **bad)
{
    for (int i = 1; i < argc; i++) {
        const char *value;
        bool good = true;

        *bad = argv[i];
        if (option(argc, argv, &i, "--cpus", &value))
            good = number(value, 64, &a->cpus) && a->cpus;
        else if (option(argc, argv, &i, "--seeds", &value))
            good = number(value, 1000000, &a->seeds) && a->seeds;
        else if (option(argc, argv, &i, "--seed", &value))
            good = number(value, UINT64_MAX, &a->seed);
        else if (option(argc, argv, &i, "--worlds", &value))
            good = number(value, UINT32_MAX, &a->worlds);
        else if (option(argc, argv, &i, "--duration", &value))
            good = wl_time_parse(value, strlen(value), &a->duration) && a->duration;
        else if (option(argc, argv, &i, "--policy", &value))
            a->policy = value;
        else if (option(argc, argv, &i, "--memory", &value))
            a->memory = value;
        else if (option(argc, argv, &i, "--variant", &value))
            a->variant = value;
        else if (option(argc, argv, &i, "--trace", &value))
            a->trace = value;
        else if (!strcmp(argv[i], "--csv"))
            a->csv = true;
        else if (!strcmp(argv[i], "--print"))
            a->print = true;
        else if (!strcmp(argv[i], "--speed"))
            a->speed = true;
        else if ((argv[i][0] == '-' && argv[i][1]) || a->file)
            good = false;
        else
            a->file = argv[i];
        if (!good)
            return false;
    }
    *bad = !a->file ? "FILE" : "--trace";
    return a->file && !(a->trace && a->seeds);
}

int replay_main(int argc, char **argv)
{
    struct arguments a = {.seed = 1, .worlds = 40};
    struct session s = {.arguments = &a};
    const char *bad = "";

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return STATUS_HOLDS;
        }
    }
    if (!arguments_read(&a, argc, argv, &bad)) {
        fprintf(stderr, "orrery-sim replay: %s %s; see orrery-sim replay --help\n", bad,
                wanted(bad));
        return STATUS_USAGE;
    }
    return session_run(&s);
}
