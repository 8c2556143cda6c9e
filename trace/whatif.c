// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/whatif.c -- `orrery-trace whatif`: the demand of a trace or workload under other policies.
 *
 * What is replayed is what the worlds wanted, never the old schedule: bursts, wake edges, waits
 * from outside (import_demand.c), or the workload itself where the trace has it. Each policy
 * runs for each seed; seeds after the first draw other lengths, and where a recording leaves
 * nothing to draw each burst is made longer or shorter by up to --noise. The median of the
 * seeds is shown with the smallest and the largest.
 *
 * How far to trust it stands first: the self-replay error. A trace of the simulator carries its
 * workload, and replaying it must give the hash that the trace has. A recording elsewhere is
 * replayed along its own switches; run and ready time of the worst task are compared.
 *
 * Invariants
 *   - The self-replay error is always printed, and a workload that has none says so.
 *   - Output is a function of build, input and options.
 * Locking    none.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sim/workload/replay.h"
#include "trace/import.h"
#include "trace/whatif_mem.h"

#define POLICIES_MAX 8u
#define SEEDS_MAX    1000u
#define WINDOW_NS    100000000ull  // of the share error; a tenth of it for short runs

static const char help[] =
    "usage: orrery-trace whatif DIR|FILE.wl [options]\n"
    "\n"
    "Replays what the worlds of a trace or a workload wanted under each policy, and compares.\n"
    "DIR is a trace of the simulator or of the image; FILE.wl a workload, also an imported "
    "one.\n"
    "\n"
    "  --policy A,B,...  share, credit2, rr, edf (all four)\n"
    "  --seeds N         runs per policy (5); shown are the median and [smallest, largest]\n"
    "  --noise PERCENT   how much each burst of a recording varies from seed to seed (2)\n"
    "  --cpus N          on a host of so many CPUs (as recorded)\n"
    "  --switch-cost T   taken out of each run of a trace of the image (0)\n"
    "  --out DIR         also the workload, the figures as .dat and .csv, and pictures\n"
    "  --csv             the figures as CSV\n"
    "  --memory A,B,...  memory instead: each a setting of the memory scheduler as NAME=N\n"
    "                    (idle-tax=0, balloon=0, swap=0 ...), share=0, shares:VM=N, or several "
    "by +\n"
    "\n"
    "Status: 0 done, 1 the self-replay of a simulated trace differs, 2 usage, 3 bad input.\n";

enum metric {
    METRIC_SHARE_ERROR,
    METRIC_WAKE_P50,
    METRIC_WAKE_P90,
    METRIC_WAKE_P99,
    METRIC_WAKE_MAX,
    METRIC_RUN,
    METRIC_READY,
    METRIC_SWITCHES,
    METRIC_MIGRATIONS,
    METRIC_END,
    METRIC_COUNT,
};

static const struct {
    const char *name, *unit, *title;
    double scale;
} metrics[METRIC_COUNT] = {
    {"share_error", "%", "CPU time in the wrong hands", 1},
    {"wake_p50", "us", "Wake-up to running, median", 1e3},
    {"wake_p90", "us", "Wake-up to running, 90th percentile", 1e3},
    {"wake_p99", "us", "Wake-up to running, 99th percentile", 1e3},
    {"wake_max", "us", "Wake-up to running, longest", 1e3},
    {"run", "ms", "Run time of all worlds", 1e6},
    {"ready", "ms", "Ready time of all worlds", 1e6},
    {"switches", "", "Switches", 1},
    {"migrations", "", "Migrations", 1},
    {"end", "ms", "Last world ended, or the end of the run", 1e6},
};

struct arguments {
    const char *input, *out;
    char *memory;
    const char *policies[POLICIES_MAX];
    unsigned policy_count;
    uint64_t seeds, cpus, switch_cost;
    double noise;
    bool csv;
};

struct whatif {
    const struct arguments *a;
    struct workload workload;
    struct program program;
    bool recording;  // nothing is left to chance: noise makes the seeds differ
    bool differs;
    uint64_t seed;
    char variant[WL_NAME_SIZE], policy[WL_NAME_SIZE];
    uint64_t hash, duration;
    unsigned cpus;
    bool has_hash;
    double value[POLICIES_MAX][METRIC_COUNT][SEEDS_MAX];
};

/*
 * --- share error ----------------------------------------------------------------------------
 */

/* A node of the tree in one window: what it wanted, and what would have been its due. */
struct due {
    double want, weight, due;
    uint32_t parent;  // index of a pool, or PROGRAM_NONE
};

/*
 * Divides `amount` among the children of a parent by weight, nobody more than he wants: those
 * who want less than their part get what they want, and the rest is divided anew.
 */
static void divide(struct due *nodes, uint32_t count, uint32_t parent, double amount)
{
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].parent == parent)
            nodes[i].due = -1;
    }
    for (bool again = true; again;) {
        double weights = 0;

        again = false;
        for (uint32_t i = 0; i < count; i++)
            weights += nodes[i].parent == parent && nodes[i].due < 0 ? nodes[i].weight : 0;
        for (uint32_t i = 0; i < count && weights > 0; i++) {
            struct due *n = &nodes[i];

            if (n->parent == parent && n->due < 0 && n->want <= amount * n->weight / weights) {
                n->due = n->want;
                amount -= n->want;
                weights -= n->weight;
                again = true;
            }
        }
        if (!again) {
            for (uint32_t i = 0; i < count; i++) {
                if (nodes[i].parent == parent && nodes[i].due < 0)
                    nodes[i].due = amount * nodes[i].weight / weights;
            }
        }
    }
}

static double weight_of(const struct program_resources *r, double normal)
{
    return r->shares ? r->shares : normal;
}

/* The part of the CPU time of a window that went to others than those it was due to. */
static double window_error(const struct program *p, const struct engine_times *from,
                           const struct engine_times *to, struct due *nodes, double *total)
{
    uint32_t pools = p->pool_count, count = pools + p->world_count;
    double wrong = 0;

    *total = 0;
    for (uint32_t i = 0; i < pools; i++)
        nodes[i] =
            (struct due){0, weight_of(&p->pools[i].resources, 1000), 0, p->pools[i].parent};
    for (uint32_t i = 0; i < p->world_count; i++) {
        const struct program_world *w = &p->worlds[i];
        double run = (double)(to[i].run - from[i].run);
        double want = run + (double)(to[i].ready - from[i].ready) -
                      (double)(to[i].limited - from[i].limited) +
                      (double)(to[i].costop - from[i].costop);

        nodes[pools + i] = (struct due){want, weight_of(&w->resources, 1000), 0,
                                        w->vm != PROGRAM_NONE ? w->vm : w->pool};
        *total += run;
        for (uint32_t up = nodes[pools + i].parent; up != PROGRAM_NONE; up = nodes[up].parent)
            nodes[up].want += want;
    }
    divide(nodes, count, PROGRAM_NONE, *total);
    for (uint32_t i = 0; i < pools; i++)  // parents come first
        divide(nodes, count, i, nodes[i].due);
    for (uint32_t i = 0; i < p->world_count; i++)
        wrong += fabs((double)(to[i].run - from[i].run) - nodes[pools + i].due) / 2;
    return wrong;
}

static double share_error(const struct program *p, const struct engine_result *r)
{
    struct engine_times *zero = calloc(r->world_count, sizeof(*zero));
    struct due *nodes = calloc(p->pool_count + p->world_count + 1u, sizeof(*nodes));
    double wrong = 0, total = 0;

    for (uint32_t k = 0; zero && nodes && k < r->sample_count; k++) {
        const struct engine_times *to = &r->samples[(size_t)k * r->world_count];
        double of_window;

        wrong += window_error(p, k ? to - r->world_count : zero, to, nodes, &of_window);
        total += of_window;
    }
    free(zero);
    free(nodes);
    return total > 0 ? 100 * wrong / total : 0;
}

/*
 * --- runs -----------------------------------------------------------------------------------
 */

static void measure(struct whatif *w, const struct engine_result *r, unsigned policy,
                    uint64_t seed)
{
    struct hdr wakes = {0};
    double value[METRIC_COUNT] = {0};

    for (uint32_t i = 0; i < r->world_count; i++) {
        const struct engine_world_result *x = &r->worlds[i];

        value[METRIC_RUN] += (double)x->times.run;
        value[METRIC_READY] += (double)x->times.ready;
        value[METRIC_SWITCHES] += (double)x->switches;
        value[METRIC_MIGRATIONS] += (double)x->migrations;
        if (x->wake)
            hdr_merge(&wakes, x->wake);
    }
    value[METRIC_SHARE_ERROR] = share_error(&w->program, r);
    value[METRIC_WAKE_P50] = (double)hdr_permille(&wakes, 500);
    value[METRIC_WAKE_P90] = (double)hdr_permille(&wakes, 900);
    value[METRIC_WAKE_P99] = (double)hdr_permille(&wakes, 990);
    value[METRIC_WAKE_MAX] = (double)wakes.max;
    value[METRIC_END] = (double)r->duration;
    for (unsigned m = 0; m < METRIC_COUNT; m++)
        w->value[policy][m][seed] = value[m] / metrics[m].scale;
}

static bool run_all(struct whatif *w)
{
    const struct arguments *a = w->a;

    for (unsigned p = 0; p < a->policy_count; p++) {
        for (uint64_t s = 0; s < a->seeds; s++) {
            struct engine_options o = {
                .seed = w->seed + s,
                .cpus = (unsigned)a->cpus,
                .policy = a->policies[p],
                .sample_period = WINDOW_NS,
                .duration = w->duration,
                .noise_permille = s && w->recording ? (uint32_t)(a->noise * 10) : 0,
            };
            struct engine_result r;

            if ((w->duration ? w->duration : w->workload.duration) < 10 * WINDOW_NS)
                o.sample_period = WINDOW_NS / 10;
            if (!engine_run(&w->program, &o, &r)) {
                (void)tool_fail("%s: policy %s: %s", a->input, a->policies[p], r.error);
                engine_result_free(&r);
                return false;
            }
            measure(w, &r, p, s);
            engine_result_free(&r);
            tool_progress("whatif",
                          (unsigned)(100 * (p * a->seeds + s) / (a->policy_count * a->seeds)));
        }
    }
    tool_progress_end();
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct spread {
    double low, median, high;
};

static struct spread spread_of(const struct whatif *w, unsigned policy, unsigned metric)
{
    double sorted[SEEDS_MAX];
    uint64_t n = w->a->seeds;

    memcpy(sorted, w->value[policy][metric], n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_value);
    return (struct spread){sorted[0],
                           n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
                           sorted[n - 1]};
}

/*
 * --- what comes out -------------------------------------------------------------------------
 */

static void table(const struct whatif *w, FILE *out)
{
    const struct arguments *a = w->a;

    fprintf(out, "%-20s", "");
    for (unsigned p = 0; p < a->policy_count; p++)
        fprintf(out, " %30s", a->policies[p]);
    fputc('\n', out);
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        char label[48];

        snprintf(label, sizeof(label), "%s%s%s", metrics[m].name,
                 metrics[m].unit[0] ? ", " : "", metrics[m].unit);
        fprintf(out, "%-20s", label);
        for (unsigned p = 0; p < a->policy_count; p++) {
            struct spread s = spread_of(w, p, m);
            char text[64];

            snprintf(text, sizeof(text), "%.5g [%.5g, %.5g]", s.median, s.low, s.high);
            fprintf(out, " %30s", text);
        }
        fputc('\n', out);
    }
}

static void csv(const struct whatif *w, FILE *out)
{
    fputs("policy,metric,unit,median,min,max,seeds\n", out);
    for (unsigned p = 0; p < w->a->policy_count; p++) {
        for (unsigned m = 0; m < METRIC_COUNT; m++) {
            struct spread s = spread_of(w, p, m);

            fprintf(out, "%s,%s,%s,%.9g,%.9g,%.9g,%llu\n", w->a->policies[p], metrics[m].name,
                    metrics[m].unit, s.median, s.low, s.high, (unsigned long long)w->a->seeds);
        }
    }
}

static FILE *out_file(const struct whatif *w, const char *name, char path[4096])
{
    snprintf(path, 4096, "%s/%s", w->a->out, name);
    return tool_create(path);
}

/*
 * One picture: a panel for each metric that people compare, bars with the spread of the seeds.
 */
static const char script[] = "set terminal TERMINAL size SIZE font 'sans,10'\n"
                             "set output 'whatif.EXTENSION'\n"
                             "set style data boxes\n"
                             "set style fill solid 0.75 border lt -1\n"
                             "set boxwidth 0.6\n"
                             "set xtics nomirror\n"
                             "set ytics nomirror\n"
                             "set grid ytics lc rgb '#dddddd'\n"
                             "set xrange [-0.6:POLICIES-0.4]\n"
                             "set yrange [0:*]\n"
                             "set key off\n"
                             "array color[8] = [0x0072b2, 0xe69f00, 0x009e73, 0xcc79a7, "
                             "0x56b4e9, 0xd55e00, 0xf0e442, 0x000000]\n"
                             "set multiplot layout 2,3 title \"TITLE\"\n";

static void script_write(const struct whatif *w, FILE *out, bool svg)
{
    static const unsigned shown[] = {METRIC_SHARE_ERROR, METRIC_WAKE_P50, METRIC_WAKE_P99,
                                     METRIC_READY,       METRIC_SWITCHES, METRIC_MIGRATIONS};

    for (const char *c = script; *c;) {
        if (!strncmp(c, "TERMINAL", 8)) {
            fputs(svg ? "svg" : "pngcairo", out);
            c += 8;
        } else if (!strncmp(c, "SIZE", 4)) {
            fputs("1100,620", out);
            c += 4;
        } else if (!strncmp(c, "EXTENSION", 9)) {
            fputs(svg ? "svg" : "png", out);
            c += 9;
        } else if (!strncmp(c, "POLICIES", 8)) {
            fprintf(out, "%u", w->a->policy_count);
            c += 8;
        } else if (!strncmp(c, "TITLE", 5)) {
            char name[WL_NAME_SIZE];

            wl_name_make(name, w->a->input, strlen(w->a->input));
            fprintf(out,
                    "What if %s ran under another policy: median of %llu seeds, bars from "
                    "smallest to largest",
                    strrchr(name, '/') ? strrchr(name, '/') + 1 : name,
                    (unsigned long long)w->a->seeds);
            c += 5;
        } else {
            fputc(*c++, out);
        }
    }
    for (unsigned i = 0; i < ARRAY_COUNT(shown); i++) {
        unsigned m = shown[i];

        fprintf(out,
                "set title \"%s\"\nset ylabel \"%s\"\n"
                "plot 'whatif.dat' using 0:%u:(color[int($0)+1]):xtic(1) with boxes lc rgb "
                "variable, \\\n     '' using 0:%u:%u:%u with yerrorbars pt 0 lw 1.5 lc rgb "
                "'black'\n",
                metrics[m].title, metrics[m].unit[0] ? metrics[m].unit : "count", 2 + 3 * m,
                2 + 3 * m, 3 + 3 * m, 4 + 3 * m);
    }
    fputs("unset multiplot\n", out);
}

static bool pictures(const struct whatif *w)
{
    char path[4096];
    FILE *out = out_file(w, "whatif.dat", path);

    if (!out)
        return false;
    fputs("# policy, then for each metric: median smallest largest\n#", out);
    for (unsigned m = 0; m < METRIC_COUNT; m++)
        fprintf(out, " %s", metrics[m].name);
    fputc('\n', out);
    for (unsigned p = 0; p < w->a->policy_count; p++) {
        fputs(w->a->policies[p], out);
        for (unsigned m = 0; m < METRIC_COUNT; m++) {
            struct spread s = spread_of(w, p, m);

            fprintf(out, " %.9g %.9g %.9g", s.median, s.low, s.high);
        }
        fputc('\n', out);
    }
    if (!tool_finish(out, path))
        return false;
    for (unsigned svg = 0; svg < 2; svg++) {
        out = out_file(w, svg ? "whatif-svg.gp" : "whatif.gp", path);
        if (!out)
            return false;
        script_write(w, out, svg);
        if (!tool_finish(out, path))
            return false;
        if (!tool_gnuplot(w->a->out, svg ? "whatif-svg.gp" : "whatif.gp"))
            return false;
    }
    return true;
}

static bool files(const struct whatif *w)
{
    char path[4096];
    FILE *out;

    if (!tool_mkdir(w->a->out) || (out = out_file(w, "workload.wl", path)) == NULL)
        return false;
    wl_print(&w->workload, out);
    if (!tool_finish(out, path) || (out = out_file(w, "whatif.csv", path)) == NULL)
        return false;
    csv(w, out);
    return tool_finish(out, path) && pictures(w);
}

/*
 * --- input ----------------------------------------------------------------------------------
 */

static bool workload_read(struct whatif *w, const char *path)
{
    struct wl_error error;

    if (wl_parse_file(path, &w->workload, &error))
        return true;
    if (error.line)
        (void)tool_fail("%s:%u:%u: %s", path, error.line, error.field, error.text);
    else
        (void)tool_fail("%s: %s", path, error.text);
    return false;
}

/* run/run.env of a simulated trace: which run it was. */
static void env_read(struct whatif *w, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];

    while (file && fgets(line, sizeof(line), file)) {
        char *value = strchr(line, '=');

        if (!value)
            continue;
        *value++ = 0;
        value[strcspn(value, "\n")] = 0;
        if (!strcmp(line, "seed"))
            w->seed = strtoull(value, NULL, 10);
        else if (!strcmp(line, "cpus"))
            w->cpus = (unsigned)strtoul(value, NULL, 10);
        else if (!strcmp(line, "duration"))
            w->duration = strtoull(value, NULL, 10);
        else if (!strcmp(line, "policy"))
            snprintf(w->policy, sizeof(w->policy), "%s", value);
        else if (!strcmp(line, "variant"))
            snprintf(w->variant, sizeof(w->variant), "%s", value);
        else if (!strcmp(line, "hash"))
            w->has_hash = sscanf(value, "%llx", (unsigned long long *)&w->hash) == 1;
    }
    if (file)
        fclose(file);
}

/*
 * The same run again, with the recorder: the hash must be the trace's, or that of a second run.
 */
static bool self_replay_simulated(struct whatif *w)
{
    struct engine_options o = {.seed = w->seed,
                               .cpus = w->cpus,
                               .duration = w->duration,
                               .policy = w->policy[0] ? w->policy : NULL};
    uint64_t wanted = w->hash, got = 0;

    for (uint32_t v = 0; v < w->workload.variant_count; v++) {
        if (!strcmp(w->workload.variants[v].name, w->variant))
            o.variant = &w->workload.variants[v];
    }
    for (int turn = w->has_hash ? 1 : 0; turn < 2; turn++) {
        struct engine_result r;
        struct replay_trace t;
        bool good = replay_recorded(&w->program, &o, NULL, &r, &t);

        if (!good) {
            (void)tool_fail("%s: %s", w->a->input, r.error);
            engine_result_free(&r);
            return false;
        }
        engine_result_free(&r);
        if (!turn)
            wanted = t.hash;
        got = t.hash;
    }
    w->differs = got != wanted;
    printf("self-replay error: %s (hash %016llx%s%016llx)\n",
           w->differs ? "the replay differs from the trace" : "0, hash equal",
           (unsigned long long)wanted, w->differs ? ", replayed " : " = ",
           (unsigned long long)got);
    return true;
}

static void self_replay_say(double run, double ready)
{
    printf("self-replay error: run %.4f %%, ready %.4f %% (worst task, along the recorded "
           "switches)\n",
           100 * run, 100 * ready);
}

static bool link_it(struct whatif *w)
{
    struct wl_error error;

    if (program_link(&w->workload, &w->program, &error))
        return true;
    (void)tool_fail("%s:%u: %s", w->a->input, error.line, error.text);
    return false;
}

/* The trace itself is only looked at: damage is said, though what is replayed is in run/. */
static bool trace_sound(const char *directory)
{
    char error[TRACE_ERROR];
    struct trace_reader *reader = trace_open(directory, error);
    struct trace_record r;
    int more;

    if (!reader) {
        (void)tool_fail("%s", error);
        return false;
    }
    while ((more = trace_next(reader, &r)) == 1)
        tool_progress("whatif", trace_percent(reader));
    tool_progress_end();
    if (more < 0)
        (void)tool_fail("%s", trace_error(reader));
    else
        (void)tool_part_there(directory, trace_info(reader), 0, UINT64_MAX);
    trace_close(reader);
    return more == 0;
}

static bool input_read(struct whatif *w)
{
    struct stat info;
    char path[4096];
    struct demand_summary s;

    w->seed = 1;
    if (stat(w->a->input, &info)) {
        (void)tool_fail("%s: %s", w->a->input, strerror(errno));
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        if (!workload_read(w, w->a->input) || !link_it(w))
            return false;
        w->recording = w->workload.self_replay;
        if (!w->recording)
            return self_replay_simulated(w);
        self_replay_say(w->workload.self_replay_run, w->workload.self_replay_ready);
        return true;
    }
    snprintf(path, sizeof(path), "%s/run/workload.wl", w->a->input);
    if (!stat(path, &info)) {
        if (!trace_sound(w->a->input) || !workload_read(w, path) || !link_it(w))
            return false;
        snprintf(path, sizeof(path), "%s/run/run.env", w->a->input);
        env_read(w, path);
        return self_replay_simulated(w);
    }
    wl_init(&w->workload);
    strcpy(w->workload.name, "trace");
    if (!import_own(w->a->input, w->a->switch_cost, &w->workload, &s) || !link_it(w))
        return false;
    w->recording = true;
    w->workload.self_replay = true;
    w->workload.self_replay_run = s.run_error;
    w->workload.self_replay_ready = s.ready_error;
    printf("%llu worlds, %.3f s: %llu bursts, %llu waits for another, %llu for something "
           "outside\n",
           (unsigned long long)s.tasks, (double)s.elapsed / 1e9, (unsigned long long)s.bursts,
           (unsigned long long)s.edges, (unsigned long long)s.outside);
    self_replay_say(s.run_error, s.ready_error);
    return true;
}

static bool policies_read(struct arguments *a, char *text)
{
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        if (a->policy_count == POLICIES_MAX || sched_policy_by_name(word) == SCHED_POLICY_COUNT)
            return false;
        a->policies[a->policy_count++] = word;
    }
    return a->policy_count != 0;
}

static bool percent_read(const char *text, double *percent)
{
    char *end;

    *percent = strtod(text, &end);
    return end != text && !*end && *percent >= 0 && *percent <= 90;
}

static bool arguments_read(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool used = true, good = value != NULL;
        const char *wants = NULL;

        if (!strcmp(argv[i], "--policy")) {
            wants = "one to eight of share, credit2, rr and edf, with commas between";
            good = good && policies_read(a, value);
        } else if (!strcmp(argv[i], "--seeds")) {
            wants = "a number from 1 to 1000";
            good =
                good && tool_number(value, &a->seeds) && a->seeds >= 1 && a->seeds <= SEEDS_MAX;
        } else if (!strcmp(argv[i], "--noise")) {
            wants = "a percentage from 0 to 90";
            good = good && percent_read(value, &a->noise);
        } else if (!strcmp(argv[i], "--cpus")) {
            wants = "a number from 1 to 64";
            good = good && tool_number(value, &a->cpus) && a->cpus >= 1 &&
                   a->cpus <= SCHED_CPUS_MAX;
        } else if (!strcmp(argv[i], "--switch-cost")) {
            wants = "a time up to 1ms, such as 1500ns";
            good = good && tool_time(value, &a->switch_cost) && a->switch_cost <= 1000000;
        } else if (!strcmp(argv[i], "--memory")) {
            wants = "a setting such as idle-tax=0";
            a->memory = value;
        } else if (!strcmp(argv[i], "--out")) {
            wants = "a directory";
            a->out = value;
        } else if (!strcmp(argv[i], "--csv")) {
            a->csv = true;
            used = false;
            good = true;
        } else {
            used = false;
            good = argv[i][0] != '-' && !a->input;
            a->input = argv[i];
        }
        if (!good) {
            (void)tool_not_understood("whatif", argv[i], used ? value : NULL, wants);
            return false;
        }
        i += used;
    }
    if (!a->input)
        (void)tool_usage("whatif", "DIR or FILE.wl is missing");
    return a->input != NULL;
}

int whatif_main(int argc, char **argv)
{
    static const char *const all[] = {"share", "credit2", "rr", "edf"};
    struct arguments a = {.seeds = 5, .noise = 2};
    struct whatif *w;
    bool good;
    int status;

    if (tool_help(argc, argv, help))
        return TOOL_OK;
    if (!arguments_read(&a, argc, argv))
        return TOOL_USAGE;
    if (a.memory)
        return whatif_memory(a.input, a.memory, a.csv, a.out);
    if (!a.policy_count) {
        memcpy(a.policies, all, sizeof(all));
        a.policy_count = ARRAY_COUNT(all);
    }
    w = calloc(1, sizeof(*w));
    if (!w)
        return tool_fail("no memory");
    w->a = &a;
    good = input_read(w) && run_all(w);
    if (good && a.csv)
        csv(w, stdout);
    else if (good)
        table(w, stdout);
    good = good && (!a.out || files(w));
    status = !good ? TOOL_BAD : w->differs ? TOOL_NO : TOOL_OK;
    program_free(&w->program);
    wl_free(&w->workload);
    free(w);
    return status;
}
