// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/judge.c -- what the metrics of an expectation mean.
 *
 * A claim over windows (`each 1s`) is judged in every whole window between `from` and `to`,
 * one beginning where the last ended or after `step`, from samples that the engine took at
 * the windows' edges; the worst window is shown.
 * Percentiles of wake-ups, skew, switches and migrations are of the whole run whatever the
 * window.
 *
 * Invariants
 *   - Every edge of a window is a sample: the sample period divides all lengths
 *     (judge_sample_period()).
 * Locking    none.
 */
#include "sim/workload/judge.h"

#include <math.h>
#include <string.h>

#define PERIOD_MIN 100000u  // 100 us

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

bool judge_sample_period(const struct workload *w, uint64_t *period, struct wl_error *error)
{
    *period = 0;
    for (uint32_t i = 0; i < w->expect_count; i++) {
        const struct wl_expect *e = &w->expects[i];

        if (e->each || e->from || e->to)
            *period = gcd(gcd(gcd(gcd(*period, e->each), e->from), e->to), e->step);
        if (*period && *period < PERIOD_MIN) {
            error->line = e->line;
            error->field = 1;
            snprintf(error->text, sizeof(error->text),
                     "windows with no common measure of 100us or more: use round times");
            return false;
        }
    }
    return true;
}

static bool expr_has(const struct wl_expr *e, enum wl_metric metric)
{
    return e && ((e->kind == WL_EXPR_METRIC && e->metric == metric) ||
                 expr_has(e->left, metric) || expr_has(e->right, metric));
}

bool judge_needs_skew(const struct workload *w)
{
    for (uint32_t i = 0; i < w->expect_count; i++) {
        if (expr_has(w->expects[i].left, WL_METRIC_SKEW) ||
            expr_has(w->expects[i].right, WL_METRIC_SKEW))
            return true;
    }
    return false;
}

static bool pool_matches(const struct program *p, uint32_t pool, const char *pattern)
{
    for (; pool != PROGRAM_NONE; pool = p->pools[pool].parent) {
        if (wl_name_matches(pattern, p->pools[pool].name))
            return true;
    }
    return false;
}

/* Does the pattern name the world: itself, its VM, its pool or one above? */
static bool judge_matches(const struct program *p, uint32_t world, const char *pattern)
{
    const struct program_world *w = &p->worlds[world];

    return wl_name_matches(pattern, w->name) || pool_matches(p, w->vm, pattern) ||
           pool_matches(p, w->pool, pattern);
}

/* The world's times at a sample; times beyond the last are the end's. */
static const struct engine_times *times_at(const struct engine_result *r, uint32_t world,
                                           uint64_t time)
{
    static const struct engine_times zero;
    uint64_t k = r->sample_period ? time / r->sample_period : 0;

    if (!time)
        return &zero;
    if (!k || k > r->sample_count)
        return &r->worlds[world].times;
    return &r->samples[(k - 1) * r->world_count + world];
}

static uint64_t part_of(const struct engine_times *t, enum wl_metric metric)
{
    switch (metric) {
    case WL_METRIC_READY: return t->ready;
    case WL_METRIC_COSTOP: return t->costop;
    case WL_METRIC_WAIT: return t->wait;
    case WL_METRIC_LIMITED: return t->limited;
    case WL_METRIC_WORK: return t->work;
    case WL_METRIC_SPIN: return t->spin;
    case WL_METRIC_OPS: return t->ops;
    default: return t->run;
    }
}

struct sums {
    double sum, square, low, high, all;
    uint32_t count;
};

static struct sums summed(const struct program *p, const struct engine_result *r,
                          enum wl_metric metric, const char *name, uint64_t from, uint64_t to)
{
    struct sums s = {.low = INFINITY};

    for (uint32_t i = 0; i < r->world_count; i++) {
        double value = (double)(part_of(times_at(r, i, to), metric) -
                                part_of(times_at(r, i, from), metric));

        s.all += value;
        if (!judge_matches(p, i, name))
            continue;
        s.count++;
        s.sum += value;
        s.square += value * value;
        s.low = fmin(s.low, value);
        s.high = fmax(s.high, value);
    }
    return s;
}

static double wake(const struct program *p, const struct engine_result *r, const char *name,
                   unsigned permille)
{
    struct hdr all = {0};

    for (uint32_t i = 0; i < r->world_count; i++) {
        if (!judge_matches(p, i, name) || !r->worlds[i].wake)
            continue;
        hdr_merge(&all, r->worlds[i].wake);
    }
    if (!all.count)
        return NAN;
    return (double)hdr_permille(&all, permille) / 1e9;
}

/* The sum of a counter that exists for the whole run only. */
static double whole(const struct program *p, const struct engine_result *r,
                    enum wl_metric metric, const char *name)
{
    double sum = 0, run = 0;
    bool any = false;

    for (uint32_t i = 0; i < r->world_count; i++) {
        const struct engine_world_result *w = &r->worlds[i];

        if (!judge_matches(p, i, name))
            continue;
        any = true;
        run += (double)w->times.run;
        switch (metric) {
        case WL_METRIC_SWITCHES: sum += (double)w->switches; break;
        case WL_METRIC_MIGRATIONS: sum += (double)w->migrations; break;
        case WL_METRIC_REMOTE: sum += (double)w->remote; break;
        default: sum += (double)w->used / 1e9; break;
        }
    }
    if (!any)
        return NAN;
    return metric == WL_METRIC_REMOTE ? (run > 0 ? sum / run : 0) : sum;
}

static double skew(const struct program *p, const struct engine_result *r, const char *name)
{
    double most = NAN;

    for (uint32_t i = 0; i < p->pool_count; i++) {
        if (p->pools[i].vm && wl_name_matches(name, p->pools[i].name))
            most = fmax(isnan(most) ? 0 : most, (double)r->skew[i] / 1e9);
    }
    return most;
}

/*
 * Memory, second by second: amounts are means over the window, of all VMs that match together.
 */
static double memory_metric(const struct program *p, const struct engine_result *r,
                            enum wl_metric metric, const char *name, uint64_t from, uint64_t to)
{
    const struct memory_result *m = &r->memory;
    uint64_t first = from / MEMORY_SECOND, last = MIN(to / MEMORY_SECOND, m->seconds);
    double sum = 0, worst = 0, done = 0, wanted = 0, on = 0, least = INFINITY, swing = 0;
    bool any = false;

    for (uint32_t vm = 0; m->samples && vm < m->pool_count; vm++) {
        double low = INFINITY, high = 0;

        if (!wl_name_matches(name, p->pools[vm].name))
            continue;
        any = true;
        for (uint64_t k = first; k < last; k++) {
            const struct memory_sample *s = &m->samples[k * m->pool_count + vm];

            if (!s->on)
                continue;
            on++;
            done += s->done;
            wanted += s->wanted;
            low = fmin(low, s->target);
            high = fmax(high, s->target);
            least = fmin(least, s->free);
            if (s->granted)
                worst = fmax(worst, fabs((double)s->active - s->true_active) / s->granted);
            switch (metric) {
            case WL_METRIC_MEM_HELD: sum += s->held; break;
            case WL_METRIC_MEM_TARGET: sum += s->target; break;
            case WL_METRIC_MEM_ACTIVE: sum += s->active; break;
            case WL_METRIC_MEM_TRUE: sum += s->true_active; break;
            case WL_METRIC_MEM_BALLOON: sum += s->balloon; break;
            case WL_METRIC_MEM_SHARED: sum += s->shared; break;
            case WL_METRIC_MEM_COMPRESSED: sum += s->compressed; break;
            case WL_METRIC_MEM_SWAPPED: sum += s->swapped; break;
            case WL_METRIC_MEM_FAULTS: sum += s->faults; break;
            case WL_METRIC_MEM_EARLY: sum += s->early; break;
            case WL_METRIC_MEM_WRONG: sum += s->wrong; break;
            case WL_METRIC_MEM_OVER: sum += s->over; break;
            case WL_METRIC_MEM_LOST: sum += s->lost; break;
            case WL_METRIC_MEM_STALLED: sum += s->stalled; break;
            case WL_METRIC_MEM_UNDER: sum += s->under; break;
            default: sum += s->below; break;
            }
        }
        swing = fmax(swing, high > low ? high - low : 0);
    }
    if (!any || last <= first)
        return NAN;
    switch (metric) {
    case WL_METRIC_MEM_FREE: return on > 0 ? least / 256 : NAN;
    case WL_METRIC_MEM_ERROR: return worst;
    case WL_METRIC_MEM_SWING: return swing / 256;
    case WL_METRIC_MEM_WORK: return wanted > 0 ? done / wanted : NAN;
    case WL_METRIC_MEM_ON: return on / (double)(last - first);
    case WL_METRIC_MEM_FAULTS:
    case WL_METRIC_MEM_EARLY:
    case WL_METRIC_MEM_WRONG:
    case WL_METRIC_MEM_OVER:
    case WL_METRIC_MEM_LOST:
    case WL_METRIC_MEM_STALLED:
    case WL_METRIC_MEM_UNDER:
    case WL_METRIC_MEM_BELOW: return sum;
    default: return sum / (double)(last - first) / 256;
    }
}

double judge_metric(const struct program *p, const struct engine_result *r,
                    enum wl_metric metric, const char *name, uint64_t from, uint64_t to)
{
    double elapsed;
    struct sums s;

    if (!to)
        to = r->duration;
    elapsed = (double)(to - from);
    if (metric >= WL_METRIC_MEM_HELD && metric <= WL_METRIC_MEM_ON)
        return memory_metric(p, r, metric, name, from, to);
    switch (metric) {
    case WL_METRIC_ELAPSED: return elapsed / 1e9;
    case WL_METRIC_WAKE_P50: return wake(p, r, name, 500);
    case WL_METRIC_WAKE_P90: return wake(p, r, name, 900);
    case WL_METRIC_WAKE_P99: return wake(p, r, name, 990);
    case WL_METRIC_WAKE_MAX: return wake(p, r, name, 1000);
    case WL_METRIC_SKEW: return skew(p, r, name);
    case WL_METRIC_SWITCHES:
    case WL_METRIC_MIGRATIONS:
    case WL_METRIC_REMOTE:
    case WL_METRIC_USED: return whole(p, r, metric, name);
    default: break;
    }
    s = summed(p, r, metric, name, from, to);
    if (!s.count)
        return NAN;
    switch (metric) {
    case WL_METRIC_OPS: return s.sum;
    case WL_METRIC_CPU: return s.sum / elapsed;
    case WL_METRIC_SHARE: return s.all > 0 ? s.sum / s.all : 0;
    case WL_METRIC_JAIN: return s.square > 0 ? s.sum * s.sum / (s.count * s.square) : 1;
    case WL_METRIC_LOW: return s.low / 1e9;
    case WL_METRIC_HIGH: return s.high / 1e9;
    default: return s.sum / 1e9;
    }
}

/* ---- names in claims ---- */

static bool names_any(const struct program *p, const char *pattern)
{
    for (uint32_t i = 0; i < p->pool_count; i++) {
        if (wl_name_matches(pattern, p->pools[i].name))
            return true;
    }
    for (uint32_t i = 0; i < p->world_count; i++) {
        if (wl_name_matches(pattern, p->worlds[i].name))
            return true;
    }
    return false;
}

static bool names_variant(const struct workload *w, const char *name)
{
    for (uint32_t i = 0; i < w->variant_count; i++) {
        if (!strcmp(w->variants[i].name, name))
            return true;
    }
    return false;
}

static bool names_check(const struct program *p, const struct wl_expr *e,
                        struct wl_error *error)
{
    if (!e)
        return true;
    if (e->kind == WL_EXPR_METRIC && !names_any(p, e->name)) {
        snprintf(error->text, sizeof(error->text), "no world, VM or pool is called %s",
                 e->name);
        return false;
    }
    if (e->kind == WL_EXPR_METRIC && e->variant[0] && !names_variant(p->source, e->variant)) {
        snprintf(error->text, sizeof(error->text),
                 "no variant %s: declare it by a line `variant NAME key=value`", e->variant);
        return false;
    }
    return names_check(p, e->left, error) && names_check(p, e->right, error);
}

bool judge_names_check(const struct program *p, struct wl_error *error)
{
    for (uint32_t i = 0; i < p->source->expect_count; i++) {
        const struct wl_expect *e = &p->source->expects[i];

        *error = (struct wl_error){.line = e->line, .field = 2};
        if (!names_check(p, e->left, error) || !names_check(p, e->right, error))
            return false;
    }
    return true;
}

/* ---- claims ---- */

struct window {
    const struct judge *judge;
    uint64_t from, to;
};

static double metric_here(void *context, const char *variant, enum wl_metric metric,
                          const char *name)
{
    const struct window *win = context;
    const struct judge *j = win->judge;
    const struct workload *w = j->program->source;
    const struct engine_result *r = j->base;

    if (variant[0]) {
        uint32_t i = 0;

        while (i < w->variant_count && strcmp(w->variants[i].name, variant) != 0)
            i++;
        if (i == w->variant_count)
            return NAN;
        r = &j->variants[i];
    }
    return judge_metric(j->program, r, metric, name, win->from, win->to);
}

bool judge_expect(const struct judge *j, uint32_t i, char *why, size_t room)
{
    const struct wl_expect *e = &j->program->source->expects[i];
    uint64_t end = e->to ? MIN(e->to, j->base->duration) : j->base->duration;
    uint64_t length = e->each ? e->each : end > e->from ? end - e->from : 0;
    uint64_t step = e->step ? e->step : length;
    bool good = true;
    double worst = -1;
    uint32_t windows = 0;

    snprintf(why, room, "the run is shorter than one window");
    for (uint64_t from = e->from; length && from + length <= end; from += step) {
        struct window win = {j, from, from + length};
        double left = wl_expr_value(e->left, metric_here, &win);
        double right = wl_expr_value(e->right, metric_here, &win);
        double off = right != 0 ? fabs(left / right - 1) : fabs(left);
        bool holds = wl_expect_holds(e, left, right);

        windows++;
        if ((good && !holds) || (good == holds && off > worst) || windows == 1) {
            worst = off;
            snprintf(why, room, "%.6g against %.6g between %g s and %g s", left, right,
                     (double)win.from / 1e9, (double)win.to / 1e9);
        }
        good = good && holds;
    }
    return good && windows;
}
