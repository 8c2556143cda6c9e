// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/whatif_mem.c -- `orrery-trace whatif --memory`: the memory demand of a trace under other settings.
 *
 * The policy is the kernel's own code, begun at the trace's first record of its state. Demand
 * is what guests did whatever the policy was: what they touched, which of the sampled pages
 * they touched, what sharing found, who came and went, what the host needed for itself.
 * Balloons and swapped memory are answers to the policy, so they are modelled: they go to their
 * targets at the speed that the trace shows, and what is out comes back as fast as it did
 * there, for what is out and active.
 *
 *   recorded inputs ─► demand ─────────┐
 *          └─► speeds                  ▼
 *                 └─► mechanisms ─► memsched ─► targets ─► mechanisms ...     in steps of 100 ms
 *
 * How far to trust it stands first: the same model under the recorded settings against the
 * record itself, as the part of the VM's memory that is elsewhere than recorded, of the worst
 * VM.
 *
 * Invariants
 *   - Output is a function of trace and options; the error is always printed.
 * Locking    none: one thread.
 */
#include "trace/whatif_mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trace/mem_restore.h"
#include "trace/tool.h"
#include "trace/whatif_mem_plot.h"

#define STEP_NS      100000000ull
#define VARIANTS_MAX 8u
#define CHANGES_MAX  8u
#define COLUMNS      500u   // of a picture
#define SPEED_LEAST  256.0  // pages a second, where the trace shows no movement
#define MB(pages)    ((double)(pages) / 256)

struct moment {
    uint64_t time;
    struct memsched_input input;
};

/* "idle-tax=0", "shares:web=2000", "share=0". */
struct change {
    enum {
        CHANGE_TUNE,
        CHANGE_SHARES,
        CHANGE_SHARE
    } kind;
    enum memsched_tunable tunable;
    char name[24];
    uint32_t value;
};

struct variant {
    const char *text;
    struct change changes[CHANGES_MAX];
    unsigned count;
};

struct vm_run {
    uint32_t touched, ballooned, swapped, saved, compressed, percent;  // as recorded
    double balloon, out;                                               // as modelled
    double seconds, held_sum, target_sum, balloon_sum, out_sum, missing_sum;
    double error_sum, recorded_sum;
};

struct result {
    struct vm_run vms[MEMSCHED_NODES_MAX];
    double least_free, unmet_sum, seconds, level[MEMSCHED_LEVEL_COUNT];
    uint64_t reallocations;
};

struct demand {
    struct memsched start;
    struct moment *list;
    size_t count, room;
    uint64_t from, to;
    char names[MEMSCHED_NODES_MAX][24];  // by place in the table
    uint32_t ids[MEMSCHED_NODES_MAX];
    double balloon_up, balloon_down, swap_up;  // pages a second
    double fault;                              // of what is out and active, a second
};

/* ---- reading ---- */

static unsigned slot_of(const struct memsched *m, uint32_t id)
{
    const struct memsched_node *n = memsched_find(m, id);

    return n && !n->is_pool ? (unsigned)(n - m->nodes) : MEMSCHED_NODES_MAX;
}

struct speeds {
    double up, up_s, down, down_s, out, out_s, back, back_s;
    uint64_t at[MEMSCHED_NODES_MAX];
};

/* What a VM's mechanisms did since its USAGE before. */
static void speeds_add(struct speeds *s, const struct memsched_node *n, unsigned slot,
                       const struct moment *now)
{
    const double seconds = (double)(now->time - s->at[slot]) / 1e9;
    const double out = (double)n->swapped + n->compressed;
    const double then = (double)now->input.c + now->input.e;
    const double hot = n->touched > n->ballooned
                           ? (double)memsched_active_pages(n) / (n->touched - n->ballooned)
                           : 0;

    if (!s->at[slot] || seconds > 3) {
        s->at[slot] = now->time;
        return;
    }
    s->at[slot] = now->time;
    if (n->target.balloon > n->ballooned && now->input.b > n->ballooned) {
        s->up += (double)now->input.b - n->ballooned;
        s->up_s += seconds;
    }
    if (now->input.b < n->ballooned) {
        s->down += (double)n->ballooned - now->input.b;
        s->down_s += seconds;
    }
    if (n->target.swap > out && then > out) {
        s->out += then - out;
        s->out_s += seconds;
    }
    s->back += then < out ? out - then : 0;
    s->back_s += out * hot * seconds;
}

static bool add(struct demand *d, uint64_t time, const struct memsched_input *in)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 4096;
        struct moment *list = realloc(d->list, room * sizeof(*list));

        if (!list)
            return false;
        d->list = list;
        d->room = room;
    }
    d->list[d->count++] = (struct moment){time, *in};
    d->to = time;
    return true;
}

static void learn_name(struct demand *d, const struct record_mem_node *n)
{
    if (n->slot >= MEMSCHED_NODES_MAX || (n->flags & 1))
        return;
    d->ids[n->slot] = n->id;
    snprintf(d->names[n->slot], sizeof(d->names[0]), "%.*s", (int)sizeof(n->name.text),
             n->name.text);
}

static int record(struct demand *d, struct mem_restore *m, struct speeds *s,
                  const struct trace_record *r)
{
    const bool was_done = m->stage == MEM_RESTORE_DONE;
    struct memsched_input in;
    unsigned slot;

    if (r->event->id == RECORD_mem_node)
        learn_name(d, TRACE_AS(mem_node, r));
    if (!was_done) {
        const unsigned id = r->event->id;
        int status = id == RECORD_mem_checkpoint || id == RECORD_mem_tunable ||
                             id == RECORD_mem_node || id == RECORD_mem_input
                         ? mem_restore_feed(m, r)
                         : TOOL_OK;

        if (m->stage == MEM_RESTORE_DONE) {
            d->start = m->machine;
            d->from = d->to = r->time;
        }
        return status;
    }
    if (r->event->id != RECORD_mem_input)
        return TOOL_OK;
    in = mem_restore_input(TRACE_AS(mem_input, r));
    slot = slot_of(&m->machine, in.id);
    if (!add(d, r->time, &in))
        return tool_fail("no memory");
    if (in.op == MEMSCHED_USAGE && slot < MEMSCHED_NODES_MAX)
        speeds_add(s, &m->machine.nodes[slot], slot, &d->list[d->count - 1]);
    // A refused input changed nothing then and changes nothing now.
    if (memsched_step(&m->machine, &in) == VMK_OK && in.op == MEMSCHED_VM_ADD) {
        slot = slot_of(&m->machine, in.id);
        if (slot < MEMSCHED_NODES_MAX && d->ids[slot] != in.id) {
            d->ids[slot] = in.id;
            snprintf(d->names[slot], sizeof(d->names[0]), "vm %u", in.id);
        }
    }
    return TOOL_OK;
}

static double speed(double pages, double seconds)
{
    return seconds > 0 && pages / seconds > SPEED_LEAST ? pages / seconds : SPEED_LEAST;
}

static int demand_read(struct demand *d, const char *input)
{
    char error[TRACE_ERROR];
    struct trace_reader *reader = trace_open_stream(input, "sys", error);
    struct speeds *s = calloc(1, sizeof(*s));
    struct mem_restore *m = calloc(1, sizeof(*m));
    struct trace_record r;
    int status = TOOL_OK, more = 0;

    if (!reader || !s || !m) {
        status = reader ? tool_fail("no memory") : tool_fail("%s", error);
        goto out;
    }
    mem_restore_init(m, reader, "whatif");
    while (status == TOOL_OK && (more = trace_next(reader, &r)) == 1)
        status = record(d, m, s, &r);
    if (status == TOOL_OK && more < 0)
        status = tool_fail("%s", trace_error(reader));
    if (status == TOOL_OK && (m->stage != MEM_RESTORE_DONE || !d->count))
        status =
            tool_fail("%s: no inputs of a memory scheduler behind a record of its state; a "
                      "trace of VMs with class SYS has them",
                      input);
    d->balloon_up = speed(s->up, s->up_s);
    d->balloon_down = s->down_s > 0 ? speed(s->down, s->down_s) : d->balloon_up;
    d->swap_up = speed(s->out, s->out_s);
    d->fault = s->back_s > 0 ? s->back / s->back_s : 0;
out:
    if (reader)
        trace_close(reader);
    free(s);
    free(m);
    return status;
}

/* ---- variants ---- */

static bool change_read(struct change *c, char *text)
{
    char *equals = strchr(text, '=');
    uint64_t value;

    if (!equals || !tool_number(equals + 1, &value) || value > UINT32_MAX)
        return false;
    *equals = 0;
    c->value = (uint32_t)value;
    if (!strncmp(text, "shares:", 7)) {
        c->kind = CHANGE_SHARES;
        snprintf(c->name, sizeof(c->name), "%s", text + 7);
        return c->name[0] && value;
    }
    if (!strcmp(text, "share")) {
        c->kind = CHANGE_SHARE;
        return value <= 1;
    }
    c->kind = CHANGE_TUNE;
    c->tunable = memsched_tunable_by_name(text);
    return c->tunable != MEMSCHED_TUNABLE_COUNT;
}

static bool variant_read(struct variant *v, const char *text, char *scratch)
{
    char *save = NULL;

    *v = (struct variant){.text = text};
    for (char *word = strtok_r(scratch, "+", &save); word; word = strtok_r(NULL, "+", &save)) {
        if (v->count == CHANGES_MAX || !change_read(&v->changes[v->count++], word))
            return false;
    }
    return v->count != 0;
}

/* ---- a run ---- */

/* Where a run leaves what its VMs have over time; null: nowhere. */
struct drawing {
    struct whatif_series series;
    unsigned variant;
    uint64_t every;  // steps of a column
};

static const struct change * override(const struct variant *v, const struct demand *d,
                                      const struct memsched *m, const struct memsched_input *in)
{
    for (unsigned i = 0; v && i < v->count; i++) {
        const struct change *c = &v->changes[i];
        const unsigned slot = slot_of(m, in->id);

        if (c->kind == CHANGE_TUNE && in->op == MEMSCHED_TUNE && in->small == c->tunable)
            return c;
        if (c->kind == CHANGE_SHARES && in->op == MEMSCHED_SET_SHARES &&
            slot < MEMSCHED_NODES_MAX && !strcmp(d->names[slot], c->name))
            return c;
    }
    return NULL;
}

/* Settings of a variant that hold for who is there. False: out of range. */
static bool settings(const struct variant *v, const struct demand *d, struct memsched *m)
{
    for (unsigned i = 0; v && i < v->count; i++) {
        const struct change *c = &v->changes[i];

        if (c->kind == CHANGE_TUNE) {
            const struct memsched_input in = {
                .op = MEMSCHED_TUNE, .small = (uint16_t)c->tunable, .a = c->value};

            if (memsched_step(m, &in) != VMK_OK)
                return false;
        }
        for (unsigned s = 1; c->kind == CHANGE_SHARES && s < MEMSCHED_NODES_MAX; s++) {
            const struct memsched_input in = {
                .op = MEMSCHED_SET_SHARES, .id = m->nodes[s].id, .a = c->value};

            if (m->nodes[s].id && !m->nodes[s].is_pool && !strcmp(d->names[s], c->name) &&
                m->nodes[s].shares != c->value && memsched_step(m, &in) != VMK_OK)
                return false;
        }
    }
    return true;
}

static double toward(double now, double target, double up, double down)
{
    return target > now ? fmin(target, now + up) : fmax(target, now - down);
}

static double recorded_held(const struct vm_run *v)
{
    return fmax(0, (double)v->touched - v->ballooned - v->swapped - v->saved - v->compressed);
}

/* One step of a VM's mechanisms; what it holds then. */
static double vm_step(const struct demand *d, struct memsched *m, unsigned slot,
                      struct vm_run *v, bool share, double dt)
{
    struct memsched_node *n = &m->nodes[slot];
    const double saved = share ? v->saved : 0;
    const double most = fmax(0, (double)v->touched - saved);
    const double base = fmax(1, v->touched - v->balloon);
    const double hot = fmin(1, (double)memsched_active_pages(n) / base);
    const double before = v->balloon;
    struct memsched_input in = {.op = MEMSCHED_USAGE, .id = n->id};

    if (v->percent || v->ballooned)
        v->balloon =
            toward(v->balloon, n->target.balloon, d->balloon_up * dt, d->balloon_down * dt);
    // Pages that the balloon takes are out as often as others, and are not any more.
    v->out -= fmin(v->out, fmax(0, v->balloon - before) * v->out / base);
    v->out -= fmin(v->out, v->out * hot * d->fault * dt);
    if (n->target.swap > v->out)
        v->out = toward(v->out, n->target.swap, d->swap_up * dt, 0);
    v->balloon = fmin(v->balloon, most);
    v->out = fmin(v->out, most - v->balloon);
    in.small = (uint16_t)v->percent;
    in.a = v->touched;
    in.b = (uint32_t)v->balloon;
    in.c = (uint32_t)v->out;
    in.d = (uint32_t)fmin(saved, v->touched - in.b - in.c);
    if (memsched_step(m, &in) != VMK_OK)
        return recorded_held(v);
    return (double)memsched_held(n);
}

static void vm_measure(const struct memsched_node *n, struct vm_run *v, double held, double dt)
{
    const double active = (double)memsched_active_pages(n);

    v->seconds += dt;
    v->held_sum += held * dt;
    v->target_sum += (double)n->target.entitlement * dt;
    v->balloon_sum += v->balloon * dt;
    v->out_sum += v->out * dt;
    v->missing_sum += fmax(0, active - held) * dt;
    v->error_sum += fabs(held - recorded_held(v)) * dt;
    v->recorded_sum += recorded_held(v) * dt;
}

static void usage_take(struct vm_run *v, const struct memsched_input *in)
{
    v->percent = in->small;
    v->touched = in->a;
    v->ballooned = in->b;
    v->swapped = in->c;
    v->saved = in->d;
    v->compressed = in->e;
}

static void start_vms(const struct memsched *m, struct result *r)
{
    for (unsigned s = 1; s < MEMSCHED_NODES_MAX; s++) {
        const struct memsched_node *n = &m->nodes[s];

        if (!n->id || n->is_pool)
            continue;
        r->vms[s] = (struct vm_run){.touched = n->touched,
                                    .ballooned = n->ballooned,
                                    .swapped = n->swapped,
                                    .saved = n->saved,
                                    .compressed = n->compressed,
                                    .percent = n->balloon_max ? 1 : 0,
                                    .balloon = n->ballooned,
                                    .out = (double)n->swapped + n->compressed};
    }
}

static void step(const struct demand *d, struct memsched *m, struct result *r, double free_then,
                 bool share, double dt)
{
    struct memsched_input in = {.op = MEMSCHED_FREE};
    double recorded = 0, modelled = 0, free;

    for (unsigned s = 1; s < MEMSCHED_NODES_MAX; s++) {
        if (!m->nodes[s].id || m->nodes[s].is_pool)
            continue;
        const double held = vm_step(d, m, s, &r->vms[s], share, dt);

        recorded += recorded_held(&r->vms[s]);
        modelled += held;
        vm_measure(&m->nodes[s], &r->vms[s], held, dt);
    }
    // What neither guests nor the free list have is the host's own, whatever the policy.
    free = free_then + recorded - modelled;
    r->unmet_sum += fmax(0, -free) * dt;
    r->least_free = fmin(r->least_free, fmax(0, free));
    r->seconds += dt;
    r->level[m->level] += dt;
    in.a = (uint32_t)fmin(fmax(0, free), (double)m->managed);
    (void)!memsched_step(m, &in);
}

static void draw(const struct drawing *d, const struct memsched *m, const struct vm_run *vms,
                 uint64_t step_number)
{
    const uint64_t column = d->every ? step_number / d->every : 0;

    if (!d->every || step_number % d->every || column >= d->series.columns)
        return;
    for (unsigned s = 1; s < MEMSCHED_NODES_MAX; s++) {
        const struct memsched_node *n = &m->nodes[s];
        const double figures[] = {(double)memsched_held(n), vms[s].balloon, vms[s].out,
                                  recorded_held(&vms[s])};

        if (n->id && !n->is_pool)
            whatif_series_put(&d->series, d->variant, (unsigned)column, s, figures);
    }
}

static bool run(const struct demand *d, const struct variant *v, struct result *r,
                const struct drawing *drawing)
{
    struct memsched *m = malloc(sizeof(*m));
    double free_then = (double)d->start.free;
    bool share = true, good;
    uint64_t number = 0;
    size_t i = 0;

    if (!m)
        return false;
    *m = d->start;
    m->observer = (struct memsched_observer){0};
    *r = (struct result){.least_free = (double)m->managed};
    for (unsigned k = 0; v && k < v->count; k++)
        share = share && !(v->changes[k].kind == CHANGE_SHARE && v->changes[k].value == 0);
    start_vms(m, r);
    good = settings(v, d, m);
    for (uint64_t now = d->from; good && now < d->to; now += STEP_NS) {
        for (; i < d->count && d->list[i].time <= now; i++) {
            const struct memsched_input *in = &d->list[i].input;
            const unsigned slot = slot_of(m, in->id);

            if (in->op == MEMSCHED_FREE) {
                free_then = in->a;
            } else if (in->op == MEMSCHED_USAGE) {
                if (slot < MEMSCHED_NODES_MAX)
                    usage_take(&r->vms[slot], in);
            } else if (!override(v, d, m, in)) {
                (void)!memsched_step(m, in);
                if (in->op == MEMSCHED_VM_ADD)
                    good = settings(v, d, m);
            }
        }
        step(d, m, r, free_then, share, (double)STEP_NS / 1e9);
        draw(drawing, m, r->vms, number++);
    }
    r->reallocations = m->reallocations - d->start.reallocations;
    free(m);
    return good;
}

/* ---- what comes out ---- */

static double error_of(const struct result *r)
{
    double worst = 0;

    for (unsigned s = 1; s < MEMSCHED_NODES_MAX; s++) {
        if (r->vms[s].recorded_sum > 0)
            worst = fmax(worst, 100 * r->vms[s].error_sum / r->vms[s].recorded_sum);
    }
    return worst;
}

static double mean_mb(double sum, double seconds)
{
    return seconds > 0 ? MB(sum / seconds) : 0;
}

static void vm_rows(const struct demand *d, const struct result *results, unsigned count,
                    bool csv, const struct variant *variants)
{
    static const char *const names[] = {"held", "target", "balloon", "out", "missing"};

    for (unsigned s = 1; s < MEMSCHED_NODES_MAX; s++) {
        if (results[0].vms[s].seconds <= 0)
            continue;
        for (unsigned k = 0; k < ARRAY_COUNT(names); k++) {
            char label[48];

            snprintf(label, sizeof(label), "%.24s %s, MB", d->names[s], names[k]);
            if (!csv)
                printf("%-28s", label);
            for (unsigned v = 0; v < count; v++) {
                const struct vm_run *x = &results[v].vms[s];
                const double sums[] = {x->held_sum, x->target_sum, x->balloon_sum, x->out_sum,
                                       x->missing_sum};

                if (x->seconds <= 0 && csv)  // admission control refused it
                    printf("%s,%s,%s,MB,\n", variants[v].text, d->names[s], names[k]);
                else if (x->seconds <= 0)
                    printf(" %18s", "refused");
                else if (csv)
                    printf("%s,%s,%s,MB,%.3f\n", variants[v].text, d->names[s], names[k],
                           mean_mb(sums[k], x->seconds));
                else
                    printf(" %18.1f", mean_mb(sums[k], x->seconds));
            }
            if (!csv)
                putchar('\n');
        }
    }
}

static void host_rows(const struct result *results, unsigned count, bool csv,
                      const struct variant *variants)
{
    static const char *const names[] = {"least free", "unmet",        "time high",
                                        "time clear", "time soft",    "time hard",
                                        "time low",   "reallocations"};
    static const char *const units[] = {"MB", "MB", "%", "%", "%", "%", "%", ""};

    for (unsigned k = 0; k < ARRAY_COUNT(names); k++) {
        char label[48];

        snprintf(label, sizeof(label), "host %s%s%s", names[k], units[k][0] ? ", " : "",
                 units[k]);
        if (!csv)
            printf("%-28s", label);
        for (unsigned v = 0; v < count; v++) {
            const struct result *r = &results[v];
            const double value = k == 0   ? MB(r->least_free)
                                 : k == 1 ? mean_mb(r->unmet_sum, r->seconds)
                                 : k == 7 ? (double)r->reallocations
                                          : 100 * r->level[k - 2] / fmax(r->seconds, 1e-9);

            if (csv)
                printf("%s,host,%s,%s,%.3f\n", variants[v].text, names[k], units[k], value);
            else
                printf(" %18.1f", value);
        }
        if (!csv)
            putchar('\n');
    }
}

/* Room for a picture's columns. False: no memory. */
static bool drawing_begin(struct drawing *x, const struct demand *d, unsigned variants)
{
    const uint64_t steps = (d->to - d->from) / STEP_NS + 1;

    x->every = (steps + COLUMNS - 1) / COLUMNS;
    return whatif_series_init(&x->series, variants, (unsigned)(steps / x->every + 1),
                              MEMSCHED_NODES_MAX, (double)d->from / 1e9,
                              (double)x->every * (double)STEP_NS / 1e9);
}

int whatif_memory(const char *input, char *list, bool csv, const char *out)
{
    const char *texts[VARIANTS_MAX];
    struct drawing drawing = {.every = 0};
    struct variant variants[VARIANTS_MAX] = {{.text = "recorded"}};
    struct demand *d = calloc(1, sizeof(*d));
    struct result *results = calloc(VARIANTS_MAX, sizeof(*results));
    char *scratch = strdup(list);
    unsigned count = 1;
    int status = d && results && scratch ? TOOL_OK : tool_fail("no memory");
    char *save = NULL;

    for (char *word = status == TOOL_OK ? strtok_r(list, ",", &save) : NULL;
         word && status == TOOL_OK; word = strtok_r(NULL, ",", &save)) {
        memcpy(scratch, word, strlen(word) + 1);
        if (!strcmp(word, "recorded"))
            continue;
        if (count == VARIANTS_MAX || !variant_read(&variants[count++], word, scratch))
            status = tool_not_understood("whatif", "--memory", word, NULL);
    }
    if (status == TOOL_OK)
        status = demand_read(d, input);
    if (status == TOOL_OK && out && !drawing_begin(&drawing, d, count))
        status = tool_fail("no memory");
    for (unsigned v = 0; status == TOOL_OK && v < count; v++) {
        texts[v] = variants[v].text;
        drawing.variant = v;
        if (!run(d, v ? &variants[v] : NULL, &results[v], &drawing))
            status = tool_fail("--memory %s: a value is out of range", variants[v].text);
    }
    if (status == TOOL_OK) {
        if (!csv)
            printf(
                "memory: %zu inputs over %.1f s; self-replay: %.1f %% of the worst VM's memory "
                "is elsewhere than recorded\n%-28s",
                d->count, (double)(d->to - d->from) / 1e9, error_of(&results[0]), "");
        else
            printf("variant,of,metric,unit,mean\nrecorded,self-replay,error,%%,%.3f\n",
                   error_of(&results[0]));
        for (unsigned v = 0; !csv && v < count; v++)
            printf(" %18.18s", variants[v].text);
        if (!csv)
            putchar('\n');
        vm_rows(d, results, count, csv, variants);
        host_rows(results, count, csv, variants);
    }
    if (status == TOOL_OK && out && !whatif_series_draw(&drawing.series, out, texts, d->names))
        status = TOOL_BAD;
    whatif_series_free(&drawing.series);
    free(scratch);
    free(results);
    if (d)
        free(d->list);
    free(d);
    return status;
}
