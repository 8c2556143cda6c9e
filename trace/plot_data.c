// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/plot_data.c -- the .dat files of `orrery-trace plot`.
 *
 * Timelines are drawn pixel by pixel: a pixel has the colour that took most of its time, and
 * neighbours of one colour become one box. So a picture of a million switches has no more boxes
 * than columns, and long stretches stay exact.
 *
 * Invariants
 *   - Pixels of a lane are closed from left to right (lane_add()).
 * Locking    none: one thread.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/plot.h"
#include "trace/tool.h"

#define LANE_COLOURS (PLOT_COLOURS + 2)  // of their own, others, idle
#define NOTHING      LANE_COLOURS

struct lane {
    uint64_t spent[LANE_COLOURS];  // in the pixel in hand
    unsigned pixel;
    unsigned box_from;    // first pixel of the box in hand
    unsigned box_colour;  // NOTHING: none
};

struct timeline {
    FILE *out;
    uint64_t from, to;
    unsigned count;
    struct lane lanes[MODEL_CPUS_MAX];
};

struct data {
    struct plot *p;
    struct accounts all;
    struct timeline cpus, worlds;
    FILE *share, *states, *memory;
    struct memory_model mem;
    uint64_t memory_next;  // time of the next row
    uint64_t group_state[PLOT_GROUPS][PLOT_STATES];
    bool failed;
};

/*
 * --- timelines -------------------------------------------------------------------------------
 */

static double pixel_time(const struct timeline *t, unsigned pixel)
{
    return ((double)t->from + (double)(t->to - t->from) * pixel / PLOT_PIXELS) / 1e9;
}

static void box_end(struct timeline *t, unsigned lane, unsigned pixel)
{
    struct lane *l = &t->lanes[lane];

    if (l->box_colour != NOTHING)
        fprintf(t->out, "%u %u %.9f %.9f\n", lane, l->box_colour, pixel_time(t, l->box_from),
                pixel_time(t, pixel));
    l->box_colour = NOTHING;
}

/* The pixel in hand is complete: it goes on with its box or begins another. */
static void pixel_end(struct timeline *t, unsigned lane)
{
    struct lane *l = &t->lanes[lane];
    unsigned colour = NOTHING;
    uint64_t most = 0;

    for (unsigned i = 0; i < LANE_COLOURS; i++) {
        if (l->spent[i] > most) {
            most = l->spent[i];
            colour = i;
        }
        l->spent[i] = 0;
    }
    if (colour != l->box_colour) {
        box_end(t, lane, l->pixel);
        l->box_from = l->pixel;
        l->box_colour = colour;
    }
    l->pixel++;
}

static void lane_add(struct timeline *t, unsigned lane, unsigned colour, uint64_t from,
                     uint64_t to)
{
    struct lane *l = &t->lanes[lane];

    from = MAX(from, t->from);
    to = MIN(to, t->to);
    while (from < to && l->pixel < PLOT_PIXELS) {
        /* The same rounding as in pixel_time(), in integers. */
        uint64_t end = t->from + (uint64_t)((unsigned __int128)(t->to - t->from) *
                                            (l->pixel + 1) / PLOT_PIXELS);

        if (from >= end) {
            pixel_end(t, lane);
            continue;
        }
        l->spent[colour] += MIN(to, end) - from;
        from = MIN(to, end);
    }
}

static void timeline_begin(struct timeline *t, const struct plot *p, FILE *out, unsigned count)
{
    t->out = out;
    t->from = p->line_from;
    t->to = p->line_to;
    t->count = count;
    for (unsigned i = 0; i < count; i++)
        t->lanes[i].box_colour = NOTHING;
    fprintf(out, "# lane colour from_s to_s\n");
}

static void timeline_end(struct timeline *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        struct lane *l = &t->lanes[i];

        if (l->pixel < PLOT_PIXELS)
            pixel_end(t, i);
        box_end(t, i, l->pixel);
    }
}

static enum plot_state shown_state(unsigned state)
{
    switch (state) {
    case RECORD_sched_state_RUN: return PLOT_RUN;
    case RECORD_sched_state_READY: return PLOT_READY;
    case RECORD_sched_state_MLMTD: return PLOT_LIMITED;
    case RECORD_sched_state_COSTOP: return PLOT_COSTOP;
    case RECORD_sched_state_WAIT_IO:
    case RECORD_sched_state_WAIT_SWAP: return PLOT_WAIT_IO;
    default: return PLOT_WAIT;
    }
}

static void on_ran(void *context, unsigned cpu, struct model_node *w, uint64_t from,
                   uint64_t to)
{
    struct data *d = context;

    if (cpu < d->cpus.count)
        lane_add(&d->cpus, cpu, w->is_idle ? PLOT_COLOURS + 1 : plot_colour_of(d->p, w), from,
                 to);
}

static void on_interval(void *context, struct model_node *w, unsigned state, uint64_t from,
                        uint64_t to)
{
    struct data *d = context;
    struct plot *p = d->p;
    const struct model_node *vm = p->groups_are_vms ? model_vm_of(w) : w;
    enum plot_state shown = shown_state(state);

    for (unsigned i = 0; i < p->lane_count; i++) {
        if (p->lanes[i].id == w->id)
            lane_add(&d->worlds, i, shown, from, to);
    }
    for (unsigned i = 0; i < p->group_count; i++) {
        if (p->groups[i].id == 0 || (vm && p->groups[i].id == vm->id))
            d->group_state[i][shown] += to - from;
    }
}

/*
 * --- over time -------------------------------------------------------------------------------
 */

static void write_share(struct data *d, double middle, double length)
{
    struct plot *p = d->p;

    fprintf(d->share, "%.6f", middle);
    for (unsigned i = 0; i < p->colour_count; i++) {
        struct model_node *w = model_find(&d->all.model, p->colours[i].id);
        const struct account *a = w ? account_of(w) : NULL;

        if (a)
            fprintf(d->share, " %.4f %.4f", (double)a->run_in_window / length * 100,
                    a->ideal_in_window / length * 100);
        else
            fprintf(d->share, " NaN NaN");
    }
    fputc('\n', d->share);
}

static void write_states(struct data *d, double middle)
{
    struct plot *p = d->p;

    fprintf(d->states, "%.6f", middle);
    for (unsigned i = 0; i < p->group_count; i++) {
        uint64_t sum = 0;

        for (unsigned s = 0; s < PLOT_STATES; s++)
            sum += d->group_state[i][s];
        for (unsigned s = 0; s < PLOT_STATES; s++) {
            if (sum)
                fprintf(d->states, " %.4f", (double)d->group_state[i][s] / (double)sum * 100);
            else
                fprintf(d->states, " NaN");
            d->group_state[i][s] = 0;
        }
    }
    fputc('\n', d->states);
}

static double megabytes(double pages)
{
    return pages / 256;
}

static void write_memory(struct data *d, uint64_t time)
{
    static const enum memory_figure way[] = {MEMORY_balloon, MEMORY_shared, MEMORY_compressed,
                                             MEMORY_swapped};
    const struct memory_model *m = &d->mem;

    if (!m->managed)
        return;  // nothing is known yet
    fprintf(d->memory, "%.6f %.3f %u", (double)time / 1e9, megabytes((double)m->free),
            m->level);
    for (unsigned k = 0; k < ARRAY_COUNT(way); k++) {
        double sum = 0;

        for (unsigned i = 0; i < m->count; i++)
            sum += m->vms[i].alive ? m->vms[i].now[way[k]] : 0;
        fprintf(d->memory, " %.3f", megabytes(sum));
    }
    for (unsigned i = 0; i < d->p->vm_count; i++) {
        static const enum memory_figure of_vm[] = {
            MEMORY_held,   MEMORY_compressed, MEMORY_swapped, MEMORY_balloon,
            MEMORY_shared, MEMORY_active,     MEMORY_target,  MEMORY_true_active};
        const struct memory_vm *vm = NULL;
        double stacked = 0;

        for (unsigned j = m->count; !vm && j-- > 0;) {
            if (m->vms[j].id == d->p->vms[i] && m->vms[j].alive)
                vm = &m->vms[j];
        }
        for (unsigned k = 0; k < ARRAY_COUNT(of_vm); k++) {
            double value = vm ? megabytes(vm->now[of_vm[k]]) : 0;

            stacked += value;
            if (!vm || (of_vm[k] == MEMORY_true_active && !vm->has_truth))
                fputs(" NaN", d->memory);
            else
                fprintf(d->memory, " %.3f", k <= 4 ? stacked : value);
        }
    }
    fputc('\n', d->memory);
}

static void on_window(void *context, struct accounts *all, uint64_t from, uint64_t to)
{
    struct data *d = context;
    double middle = ((double)from + (double)to) / 2e9;

    (void)all;
    if (to <= from)
        return;
    write_share(d, middle, (double)(to - from));
    write_states(d, middle);
}

/* A row whenever a picture's column is over: the figures in front of the record. */
static bool take_memory(struct data *d, const struct trace_record *r)
{
    const struct plot *p = d->p;
    uint64_t column = MAX((p->to - p->from) / 1000, 1u);

    if (d->mem.any && r->time >= p->from && r->time <= p->to && r->time >= d->memory_next) {
        write_memory(d, MAX(d->mem.time, p->from));
        d->memory_next = r->time + column;
    }
    return memory_feed(&d->mem, r);
}

/*
 * --- latency ---------------------------------------------------------------------------------
 */

/* A block: upper end of each bucket in us, and the percentage at or below it. */
static void write_cdf(FILE *out, const struct hdr *h, const char *label)
{
    uint64_t seen = 0;

    fprintf(out, "# %s\n# us percent\n", label);
    for (unsigned i = 0; h && i < HDR_BUCKETS; i++) {
        if (!h->buckets[i])
            continue;
        /* The line begins before the first step, so that it has a length. */
        if (!seen)
            fprintf(out, "%.3f 0\n", (double)MAX(MIN(hdr_upper(i), h->max), 1) / 1.2e3);
        /* A step: the share before this bucket, too. */
        fprintf(out, "%.3f %.5f\n", (double)MAX(MIN(hdr_upper(i), h->max), 1) / 1e3,
                100.0 * (double)seen / (double)h->count);
        seen += h->buckets[i];
        fprintf(out, "%.3f %.5f\n", (double)MAX(MIN(hdr_upper(i), h->max), 1) / 1e3,
                100.0 * (double)seen / (double)h->count);
    }
    if (!h)
        fprintf(out, "NaN NaN\n");
    fprintf(out, "\n\n");
}

static bool write_latency(struct data *d)
{
    FILE *out = plot_create(d->p, "latency", "dat");
    struct hdr *all = calloc(1, sizeof(*all));

    if (!out || !all) {
        free(all);
        return false;
    }
    for (unsigned i = 0; i < d->all.model.count; i++) {
        const struct account *a = account_of(d->all.model.nodes[i]);

        if (a && a->latency)
            hdr_merge(all, a->latency);
    }
    write_cdf(out, all, "all worlds");
    for (unsigned i = 0; i < d->p->colour_count; i++) {
        const struct account *a = plot_account(&d->all, d->p->colours[i].id);

        write_cdf(out, a ? a->latency : NULL, d->p->colours[i].label);
    }
    free(all);
    return plot_close(d->p, out, "latency", "dat");
}

/*
 * --- the pass --------------------------------------------------------------------------------
 */

static bool begin(struct data *d)
{
    struct plot *p = d->p;
    FILE *cpus = plot_create(p, "timeline-cpu", "dat");
    FILE *worlds = cpus ? plot_create(p, "timeline-world", "dat") : NULL;

    d->share = worlds ? plot_create(p, "share", "dat") : NULL;
    d->states = d->share ? plot_create(p, "states", "dat") : NULL;
    if (!d->states)
        return false;
    if (p->has_memory) {
        d->memory = plot_create(p, "memory", "dat");
        if (!d->memory)
            return false;
        fprintf(
            d->memory,
            "# time_s free_mb level ballooned_mb shared_mb compressed_mb swapped_mb, per vm: "
            "held, +compressed, +swapped, +ballooned, +shared, active, target, true_active\n");
    }
    timeline_begin(&d->cpus, p, cpus, p->cpus);
    timeline_begin(&d->worlds, p, worlds, p->lane_count);
    fprintf(d->share, "# time_s, then per world: had and due, percent of a CPU:");
    for (unsigned i = 0; i < p->colour_count; i++)
        fprintf(d->share, " \"%s\"", p->colours[i].label);
    fprintf(d->states,
            "# time_s, then per group: run ready limited costop wait_io wait, percent:");
    for (unsigned i = 0; i < p->group_count; i++)
        fprintf(d->states, " \"%s\"", p->groups[i].label);
    fprintf(d->share, "\n");
    fprintf(d->states, "\n");
    memory_init(&d->mem);
    accounts_init(&d->all);
    d->all.from = p->from;
    d->all.to = p->to;
    d->all.window = p->window;
    d->all.context = d;
    d->all.on_window = on_window;
    d->all.on_interval = on_interval;
    d->all.on_ran = on_ran;
    return true;
}

static bool end(struct data *d)
{
    const struct plot *p = d->p;
    bool good;

    timeline_end(&d->cpus);
    timeline_end(&d->worlds);
    good = write_latency(d);
    good = plot_close(p, d->cpus.out, "timeline-cpu", "dat") && good;
    good = plot_close(p, d->worlds.out, "timeline-world", "dat") && good;
    good = plot_close(p, d->share, "share", "dat") && good;
    good = plot_close(p, d->states, "states", "dat") && good;
    if (d->memory && d->mem.any)
        write_memory(d, MIN(d->mem.time, p->to));
    if (d->memory)
        good = plot_close(p, d->memory, "memory", "dat") && good;
    return good;
}

int plot_write_data(struct plot *p, struct trace_reader *reader)
{
    struct data *d = calloc(1, sizeof(*d));
    struct trace_record r;
    int more = 0, status = TOOL_OK;

    if (!d)
        return tool_fail("no memory");
    d->p = p;
    if (!begin(d)) {
        free(d);
        return TOOL_BAD;
    }
    while ((more = trace_next(reader, &r)) == 1) {
        tool_progress("plot", 50 + trace_percent(reader) / 2);
        if (!accounts_feed(&d->all, &r))
            break;
        if (d->memory && memory_concerns(r.event) && !take_memory(d, &r))
            d->all.failed = true;
    }
    if (more < 0)
        status = tool_fail("%s", trace_error(reader));
    else
        accounts_end(&d->all, trace_info(reader)->last_time);
    if (d->all.failed)
        status = tool_fail("no memory");
    if (!end(d))
        status = TOOL_BAD;
    memory_free(&d->mem);
    accounts_free(&d->all);
    free(d);
    return status;
}
