// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/plot.c -- `orrery-trace plot`: a trace as pictures.
 *
 * Two passes: the first finds out who used the CPUs most, since colours and lanes are few; the
 * second writes the data. Data (.dat) and gnuplot's script (.gp) stay beside each picture, so
 * that it can be changed and drawn again: gnuplot -e "format='svg'" NAME.gp.
 *
 * Invariants
 *   - What is written is bounded by the size of the pictures, not by the length of the trace.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include "trace/plot.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/tool.h"

static const char help[] =
    "usage: orrery-trace plot DIR --out DIR [option ...]\n"
    "\n"
    "Draws with gnuplot, as SVG and PNG, no display needed:\n"
    "  timeline-cpu    who ran on each CPU, a part of the trace\n"
    "  timeline-world  what each world did in that part\n"
    "  latency         from wake-up to running: cumulated distribution\n"
    "  share           CPU had and due (CPUs as a fluid) over time, and the difference\n"
    "  states          run, ready, limited, co-stopped and waiting over time\n"
    "  memory          free memory, reclaimed memory, working sets; if memory was recorded\n"
    "\n"
    "  --out DIR        where to; made if it is not there\n"
    "  --from T, --to T only this part: 1.5s, 20ms; a plain number is seconds since boot\n"
    "  --timeline A:B   the part the timelines show (0.4 s from the middle)\n"
    "  --window T       what figures over time are averaged over (a 1/80 of the part)\n"
    "  --format LIST    svg,png (both); none: only the .dat and .gp files\n";

static const char *formats = "svg,png";

FILE *plot_create(const struct plot *p, const char *name, const char *suffix)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.%s", p->out, name, suffix);
    return tool_create(path);
}

bool plot_close(const struct plot *p, FILE *file, const char *name, const char *suffix)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.%s", p->out, name, suffix);
    return tool_finish(file, path);
}

unsigned plot_colour_of(const struct plot *p, const struct model_node *w)
{
    unsigned i = 0;

    while (i < p->colour_count && p->colours[i].id != w->id)
        i++;
    return i < p->colour_count ? i : PLOT_COLOURS;
}

const struct account *plot_account(const struct accounts *all, uint32_t id)
{
    for (unsigned i = all->model.count; i-- > 0;) {
        if (all->model.nodes[i]->id == id && account_of(all->model.nodes[i]))
            return account_of(all->model.nodes[i]);
    }
    return NULL;
}

/*
 * --- the first pass --------------------------------------------------------------------------
 */

/* Keeps the `room` heaviest, heaviest first. */
static void choose(struct plot_item *items, unsigned *count, unsigned room, uint32_t id,
                   const char *label, uint64_t weight)
{
    unsigned i = *count;

    if (*count == room) {
        if (weight <= items[room - 1].weight)
            return;
        i = room - 1;
    } else {
        ++*count;
    }
    for (; i && items[i - 1].weight < weight; i--)
        items[i] = items[i - 1];
    items[i] = (struct plot_item){.id = id, .weight = weight};
    snprintf(items[i].label, sizeof(items[i].label), "%s", label);
}

static int by_id(const void *a, const void *b)
{
    const struct plot_item *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static void label_of(const struct model_node *w, char out[40])
{
    char name[32], vm_name[32];
    const struct model_node *vm = model_vm_of(w);

    if (vm)
        snprintf(out, 40, "%.19s/%.19s", model_name(vm, vm_name), model_name(w, name));
    else
        snprintf(out, 40, "%s", model_name(w, name));
}

static bool all_of_vm(struct accounts *all, const struct model_node *vm, uint64_t *sum)
{
    bool any = false;

    for (unsigned i = 0; i < all->model.count; i++) {
        const struct account *a = account_of(all->model.nodes[i]);

        if (a && model_vm_of(all->model.nodes[i]) == vm) {
            *sum += ACCOUNT_RUN(a) + account_ready(a);
            any = true;
        }
    }
    return any;
}

static void choose_all(struct plot *p, struct accounts *all)
{
    choose(p->groups, &p->group_count, PLOT_GROUPS, 0, "all worlds", UINT64_MAX);
    for (unsigned i = 0; i < all->model.count; i++) {
        struct model_node *w = all->model.nodes[i];
        const struct account *a = account_of(w);
        uint64_t sum = 0;
        char label[40];

        if (w->is_vm && all_of_vm(all, w, &sum)) {
            p->groups_are_vms = true;
            choose(p->groups, &p->group_count, PLOT_GROUPS, w->id, model_name(w, label), sum);
        }
        if (!a || w->is_pool || w->is_idle || ACCOUNT_RUN(a) == 0)
            continue;
        p->has_sched = true;
        p->has_latency = p->has_latency || a->latency;
        if (a->latency)
            p->latency_most = MAX(p->latency_most, a->latency->max);
        label_of(w, label);
        choose(p->colours, &p->colour_count, PLOT_COLOURS, w->id, label, ACCOUNT_RUN(a));
        choose(p->lanes, &p->lane_count, PLOT_LANES, w->id, label,
               ACCOUNT_RUN(a) + account_ready(a) + ACCOUNT_COSTOP(a));
    }
    /* Without VMs the busiest worlds have the panels. */
    for (unsigned i = 0; !p->groups_are_vms && i < p->colour_count; i++)
        choose(p->groups, &p->group_count, PLOT_GROUPS, p->colours[i].id, p->colours[i].label,
               p->colours[i].weight);
    for (unsigned i = 0; i < p->colour_count; i++) {
        const struct account *a = plot_account(all, p->colours[i].id);

        p->colours[i].has_latency = a && a->latency;
    }
    qsort(p->colours, p->colour_count, sizeof(p->colours[0]), by_id);
    qsort(p->lanes, p->lane_count, sizeof(p->lanes[0]), by_id);
    qsort(p->groups, p->group_count, sizeof(p->groups[0]), by_id);
    p->cpus = all->model.cpu_count;
}

/* The VMs whose memory is shown: the first, by their ids. */
static void choose_memory(struct plot *p, const struct memory_model *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct memory_vm *vm = &m->vms[i];
        bool known = vm->is_pool;

        for (unsigned k = 0; k < p->vm_count; k++)
            known = known || p->vms[k] == vm->id;
        if (known || p->vm_count == PLOT_VMS)
            continue;
        snprintf(p->vm_names[p->vm_count], sizeof(p->vm_names[0]), "%s", vm->name);
        p->vms_have_truth = p->vms_have_truth || vm->has_truth;
        p->vms[p->vm_count++] = vm->id;
    }
    p->has_memory = p->vm_count > 0;
}

/* 1, 2 or 5 times a power of ten, at least `ns`. */
static uint64_t round_figure(uint64_t ns)
{
    uint64_t power = 1;

    while (power * 10 <= ns && power < UINT64_MAX / 100)
        power *= 10;
    for (unsigned i = 0; i < 4; i++) {
        static const unsigned steps[] = {1, 2, 5, 10};

        if (power * steps[i] >= ns)
            return power * steps[i];
    }
    return power * 10;
}

static void choose_times(struct plot *p, const struct accounts *all)
{
    uint64_t begin = accounts_begin(all), end = accounts_until(all);
    uint64_t length = end > begin ? end - begin : 1;

    p->from = begin;
    p->to = end;
    if (!p->window)
        p->window = MAX(round_figure(length / 80), 1000);
    p->window = MAX(p->window, length / 2000 + 1);
    if (!p->line_to) {
        uint64_t shown = MIN(length, 400000000);

        p->line_from = begin + (length - shown) / 2;
        p->line_to = p->line_from + shown;
    }
}

static bool part_there(const struct plot *p, const struct trace_info *info)
{
    return tool_part_there(p->directory, info, MAX(p->from, p->line_from),
                           p->line_to ? MIN(p->to, p->line_to) : p->to);
}

static int first_pass(struct plot *p, struct trace_reader *reader)
{
    struct accounts *all = malloc(sizeof(*all));
    struct memory_model memory;
    struct trace_record r;
    int more = 0, status = TOOL_OK;

    if (!all)
        return tool_fail("no memory");
    memory_init(&memory);
    accounts_init(all);
    all->from = p->from;
    all->to = p->to;
    all->use_gps = false;
    while ((more = trace_next(reader, &r)) == 1) {
        tool_progress("plot", trace_percent(reader) / 2);
        if (!memory_feed(&memory, &r) || !accounts_feed(all, &r))
            break;
    }
    if (more < 0) {
        status = tool_fail("%s", trace_error(reader));
    } else if (all->failed || memory.failed) {
        status = tool_fail("no memory");
    } else {
        accounts_end(all, trace_info(reader)->last_time);
        if (!part_there(p, trace_info(reader)))
            status = TOOL_BAD;
        choose_all(p, all);
        choose_memory(p, &memory);
        choose_times(p, all);
        if (status == TOOL_OK && !p->has_sched && !p->has_memory)
            status = tool_fail("%s: no world ran and no memory was recorded: nothing to draw",
                               p->directory);
    }
    memory_free(&memory);
    accounts_free(all);
    free(all);
    return status;
}

/*
 * --- gnuplot ---------------------------------------------------------------------------------
 */

static bool run_gnuplot(const struct plot *p, const char *name, const char *format)
{
    char set[64], script[256];
    int status;
    pid_t pid;

    snprintf(set, sizeof(set), "format='%s'", format);
    snprintf(script, sizeof(script), "%s.gp", name);
    pid = fork();
    if (pid == 0) {
        if (chdir(p->out) == 0)
            execlp("gnuplot", "gnuplot", "-e", set, script, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        tool_fail("cannot start gnuplot: %s", strerror(errno));
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        tool_fail("gnuplot is not there; install it (gnuplot-nox), or use --format none");
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        tool_fail("gnuplot failed at %s/%s", p->out, script);
        return false;
    }
    return true;
}

static bool draw(const struct plot *p, const char *name)
{
    if (strstr(formats, "svg") && !run_gnuplot(p, name, "svg"))
        return false;
    if (strstr(formats, "png") && !run_gnuplot(p, name, "png"))
        return false;
    printf("%s/%s\n", p->out, name);
    return true;
}

static int run(struct plot *p)
{
    char error[TRACE_ERROR];
    struct trace_reader *reader;
    int status;

    if (!tool_mkdir(p->out))
        return TOOL_BAD;
    reader = trace_open(p->directory, error);
    if (!reader)
        return tool_fail("%s", error);
    status = first_pass(p, reader);
    if (status == TOOL_OK) {
        trace_rewind(reader);
        status = plot_write_data(p, reader);
    }
    tool_progress_end();
    trace_close(reader);
    if (status == TOOL_OK && !plot_write_scripts(p, draw))
        status = TOOL_BAD;
    return status;
}

static bool take_part(char *text, struct plot *p)
{
    char *colon = strchr(text, ':');

    bool good;

    if (!colon)
        return false;
    *colon = '\0';
    good = tool_time(text, &p->line_from) && tool_time(colon + 1, &p->line_to) &&
           p->line_from < p->line_to;
    *colon = ':';
    return good;
}

static bool take_formats(const char *text)
{
    formats = text;
    return !strcmp(text, "none") || !strcmp(text, "svg") || !strcmp(text, "png") ||
           !strcmp(text, "svg,png") || !strcmp(text, "png,svg");
}

int plot_main(int argc, char **argv)
{
    enum {
        OUT = 1,
        FROM,
        TO,
        TIMELINE,
        WINDOW,
        FORMAT,
        HELP
    };
    static const struct option options[] = {
        {"out", required_argument, NULL, OUT},
        {"from", required_argument, NULL, FROM},
        {"to", required_argument, NULL, TO},
        {"timeline", required_argument, NULL, TIMELINE},
        {"window", required_argument, NULL, WINDOW},
        {"format", required_argument, NULL, FORMAT},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct plot *p = calloc(1, sizeof(*p));
    int status = TOOL_OK;
    bool help_only = false;

    if (!p)
        return tool_fail("no memory");
    p->to = UINT64_MAX;
    optind = 0;
    for (int c; status == TOOL_OK && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const char *wanted = NULL;  // by an option that has something else
        bool good = true;

        switch (c) {
        case OUT: p->out = optarg; break;
        case FROM: good = tool_time(optarg, &p->from); break;
        case TO: good = tool_time(optarg, &p->to); break;
        case TIMELINE:
            if (!take_part(optarg, p))
                wanted = "--timeline takes A:B, two times, the earlier first";
            break;
        case WINDOW: good = tool_time(optarg, &p->window) && p->window > 0; break;
        case FORMAT:
            if (!take_formats(optarg))
                wanted = "--format takes svg, png, svg,png or none";
            break;
        case HELP: help_only = true; break;
        default: status = TOOL_USAGE;
        }
        if (wanted)
            status = tool_usage("plot", "%s, not \"%s\"", wanted, optarg);
        else if (!good)
            status = tool_usage("plot", "\"%s\" is no such time", optarg);
    }
    if (help_only) {
        fputs(help, stdout);
    } else if (status == TOOL_OK) {
        if (optind + 1 != argc || !p->out)
            status = tool_usage("plot", "expected one trace directory and --out");
        else if (p->from >= p->to)
            status = tool_usage("plot", "--from is not before --to");
        else {
            p->directory = argv[optind];
            status = run(p);
        }
    }
    free(p);
    return status;
}
