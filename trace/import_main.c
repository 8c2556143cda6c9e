// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_main.c -- `orrery-trace import`: a foreign trace or use file into a workload.
 *
 * Invariants
 *   - What was recorded of each task stands in the workload (`recorded` lines), so that a
 *     replay can be compared without the trace; so does the self-replay error.
 * Locking    none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trace/import.h"

static const char help[] =
    "usage: orrery-trace import FORMAT FILE [-o OUT.wl] [options]\n"
    "\n"
    "Turns what was recorded elsewhere into a workload for `orrery-sim replay` and\n"
    "`orrery-trace whatif`. FORMAT:\n"
    "  perf        text: perf sched record ...; perf script --ns > FILE\n"
    "  ftrace      text: trace-cmd report, or the kernel's own `trace` file\n"
    "  ctf         a folder: perf data convert --to-ctf, or an LTTng 2 kernel trace (CTF 1.8)\n"
    "  planetlab   288 whole numbers, CPU use in percent of five minutes\n"
    "  bitbrains   CSV of GWA-T-12\n"
    "\n"
    "  -o FILE           the workload (default: standard output)\n"
    "  --switch-cost T   cost of a context switch of the recorded machine, taken out of each\n"
    "                    run between two switches (1us)\n"
    "  --cpus N          CPUs of the host to replay on (default: as recorded)\n"
    "  --period T        planetlab, bitbrains: length of a duty cycle (100ms)\n"
    "  --tasks           also print what was recorded of each task\n"
    "  --timehist        instead of the workload, a line for each run as `perf sched timehist` "
    "has it: end,\n"
    "                    CPU, task, wait time, sch delay and run time in ms\n"
    "\n"
    "Says what it found, and the self-replay error: run and ready time of the worst task when "
    "the\n"
    "steps are replayed along the recorded switches. Status: 0 done, 2 usage, 3 bad input.\n";

/* As perf 6 has it. */
static const char timehist_head[] =
    "           time    cpu  task name                       wait time  sch delay   run time\n"
    "                        [tid/pid]                          (msec)     (msec)     (msec)\n"
    "--------------- ------  ------------------------------  ---------  ---------  ---------\n";

struct arguments {
    const char *format, *file, *out;
    uint64_t switch_cost, period, cpus;
    bool tasks, timehist;
};

static bool arguments_read(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool good = true, used = true;
        const char *wants = NULL;

        if (!strcmp(argv[i], "-o")) {
            wants = "a file";
            a->out = value;
            good = value != NULL;
        } else if (!strcmp(argv[i], "--switch-cost")) {
            wants = "a time up to 1ms, such as 1500ns";
            good = value && wl_time_parse(value, strlen(value), &a->switch_cost) &&
                   a->switch_cost <= 1000000;
        } else if (!strcmp(argv[i], "--period")) {
            wants = "a time from 1ms to 300s";
            good = value && wl_time_parse(value, strlen(value), &a->period) &&
                   a->period >= 1000000 && a->period <= 300000000000ull;
        } else if (!strcmp(argv[i], "--cpus")) {
            wants = "a number from 1 to 64";
            good = value && tool_number(value, &a->cpus) && a->cpus >= 1 && a->cpus <= 64;
        } else if (!strcmp(argv[i], "--timehist")) {
            a->timehist = true;
            used = false;
        } else if (!strcmp(argv[i], "--tasks")) {
            a->tasks = true;
            used = false;
        } else {
            used = false;
            good = argv[i][0] != '-' && !(a->format && a->file);
            if (!a->format)
                a->format = argv[i];
            else
                a->file = argv[i];
        }
        if (!good) {
            (void)tool_not_understood("import", argv[i], used ? value : NULL, wants);
            return false;
        }
        i += used;
    }
    if (!a->format || !a->file) {
        (void)tool_usage("import", "%s is missing", a->format ? "FILE" : "FORMAT");
        return false;
    }
    return true;
}

static void tasks_print(const struct demand *d)
{
    struct demand_world t;

    fprintf(stderr, "%-24s %12s %12s %12s %8s %8s %10s\n", "task", "perf_run_ms", "run_ms",
            "ready_ms", "bursts", "wakes", "preempted");
    for (uint32_t i = 0; demand_world_at(d, i, &t); i++)
        fprintf(stderr, "%-24s %12.6f %12.6f %12.6f %8llu %8llu %10llu\n", t.name,
                (double)t.perf_run / 1e6, (double)t.run / 1e6, (double)t.ready / 1e6,
                (unsigned long long)t.bursts, (unsigned long long)t.wakes,
                (unsigned long long)t.preemptions);
}

static void recorded_note(const struct demand *d, const struct demand_summary *s,
                          struct workload *w)
{
    struct demand_world t;

    for (uint32_t i = 0; demand_world_at(d, i, &t); i++)
        wl_add_recorded(w, t.name, t.run, t.ready, t.switches);
    w->self_replay = true;
    w->self_replay_run = s->run_error;
    w->self_replay_ready = s->ready_error;
}

static bool schedule_import(const struct arguments *a, struct workload *w, FILE *timehist)
{
    const struct demand_options o = {
        .switch_cost = a->switch_cost, .cpus = (uint32_t)a->cpus, .timehist = timehist};
    struct demand *d = demand_create(&o);
    struct demand_summary s;
    char source[300];
    bool good = !strcmp(a->format, "ctf") ? import_ctf(a->file, d) : import_text(a->file, d);

    if (good) {
        snprintf(source, sizeof(source), "%s %.200s", a->format, a->file);
        w->source = strdup(source);
        demand_finish(d, 0, w, &s);
        recorded_note(d, &s, w);
        if (s.lost)
            fprintf(stderr,
                    "import: the recorder lost %llu events; times around them are guesses\n",
                    (unsigned long long)s.lost);
        if (s.cpus > w->host.cpus)
            fprintf(stderr, "import: recorded on %u CPUs, replayed on %u\n", s.cpus,
                    w->host.cpus);
        fprintf(stderr,
                "import: %llu tasks, %.3f s, %u CPUs, %llu switches, %llu bursts, %llu "
                "preemptions\n"
                "import: %llu waits for another task, %llu for something outside; run %.3f s, "
                "ready %.3f s\n"
                "import: self-replay error: run %.4f %%, ready %.4f %%\n",
                (unsigned long long)s.tasks, (double)s.elapsed / 1e9, w->host.cpus,
                (unsigned long long)s.switches, (unsigned long long)s.bursts,
                (unsigned long long)s.preemptions, (unsigned long long)s.edges,
                (unsigned long long)s.outside, (double)s.run / 1e9, (double)s.ready / 1e9,
                100 * s.run_error, 100 * s.ready_error);
        if (a->tasks)
            tasks_print(d);
    }
    demand_free(d);
    return good;
}

int import_main(int argc, char **argv)
{
    struct arguments a = {.switch_cost = 1000, .period = 100000000, .out = "-"};
    struct workload w;
    bool good;
    FILE *out, *timehist = NULL;

    if (tool_help(argc, argv, help))
        return TOOL_OK;
    if (!arguments_read(&a, argc, argv))
        return TOOL_USAGE;
    if (a.timehist && !(timehist = tool_create(a.out)))
        return TOOL_BAD;
    if (timehist)
        fputs(timehist_head, timehist);
    wl_init(&w);
    strcpy(w.name, a.format);
    if (!strcmp(a.format, "perf") || !strcmp(a.format, "ftrace") || !strcmp(a.format, "ctf")) {
        good = schedule_import(&a, &w, timehist);
    } else if (!strcmp(a.format, "planetlab")) {
        good = import_planetlab(a.file, &w, a.period);
    } else if (!strcmp(a.format, "bitbrains")) {
        good = import_bitbrains(a.file, &w, a.period);
    } else {
        wl_free(&w);
        return tool_usage("import", "%s: perf, ftrace, ctf, planetlab or bitbrains", a.format);
    }
    if (good && a.cpus)
        w.host.cpus = (uint32_t)a.cpus;
    if (timehist) {
        good = tool_finish(timehist, a.out) && good;
        wl_free(&w);
        return good ? TOOL_OK : TOOL_BAD;
    }
    out = good ? tool_create(a.out) : NULL;
    good = out != NULL;
    if (good) {
        wl_print(&w, out);
        good = tool_finish(out, a.out);
    }
    wl_free(&w);
    return good ? TOOL_OK : TOOL_BAD;
}
