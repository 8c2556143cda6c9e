// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/account.c -- who had how much of what: the figures behind stats and plot.
 *
 * The fluid's rates hold until somebody begins or ceases to want a CPU or is given other
 * shares. So time is cut there: advance() gives every row rate * dt, then the change is made,
 * and the rates are solved anew when time next moves, once for all changes of one moment.
 *
 * Invariants
 *   - Every interval is clipped to [from, to] in one place (on_interval()).
 *   - gps_until is the time up to which `ideal` is exact.
 * Locking    none: one thread.
 * Sources    [GPS]; [JAIN84]; docs/orrery-trace.md
 */
#include "trace/account.h"

#include <stdlib.h>
#include <string.h>

/* Who was due less than this in a window has no meaningful share error there. */
#define ERROR_LEAST_NS  5e6
#define WINDOWS_AT_ONCE 100000

struct account *account_of(const struct model_node *w)
{
    return w->user;
}

static struct account *own(struct accounts *all, struct model_node *w)
{
    if (!w->user)
        w->user = calloc(1, sizeof(struct account));
    if (!w->user)
        all->failed = true;
    return w->user;
}

static void sample(struct accounts *all, struct hdr **h, uint64_t value)
{
    if (!*h)
        *h = calloc(1, sizeof(**h));
    if (*h)
        hdr_add(*h, value);
    else
        all->failed = true;
}

uint64_t account_ready(const struct account *a)
{
    return a->state[RECORD_sched_state_READY] + a->state[RECORD_sched_state_MLMTD];
}

uint64_t account_wait(const struct account *a)
{
    return a->state[RECORD_sched_state_WAIT] + a->state[RECORD_sched_state_WAIT_IDLE] +
           a->state[RECORD_sched_state_WAIT_IO] + a->state[RECORD_sched_state_WAIT_SWAP] +
           a->state[RECORD_sched_state_NEW] + a->state[RECORD_sched_state_ZOMBIE];
}

int64_t account_identity_error(const struct account *a)
{
    return (int64_t)(a->elapsed - ACCOUNT_RUN(a) - account_ready(a) - ACCOUNT_COSTOP(a) -
                     account_wait(a));
}

static bool counts(const struct accounts *all, uint64_t now)
{
    return now >= all->from && now <= all->to;
}

/*
 * --- the fluid -------------------------------------------------------------------------------
 */

static bool gps_grow(struct accounts *all)
{
    unsigned room = MAX(all->model.alive + 16, all->gps_room * 2);
    struct gps_node *gps = realloc(all->gps, room * sizeof(*gps));

    if (gps)
        all->gps = gps;

    struct model_node **of = realloc(all->gps_of, room * sizeof(struct model_node *));

    if (of)
        all->gps_of = of;

    double *given = realloc(all->gps_given, room * sizeof(*given));

    if (given)
        all->gps_given = given;
    if (!gps || !of || !given) {
        all->failed = true;
        return false;
    }
    all->gps_room = room;
    return true;
}

/*
 * What a row was given goes into its account. The rows are apart because there are many and
 * they are touched at every change; accounts are looked at when their own world changes.
 */
static void gps_empty(struct accounts *all, unsigned row)
{
    struct account *a = all->gps_given[row] > 0 ? own(all, all->gps_of[row]) : NULL;

    if (a) {
        a->ideal += all->gps_given[row];
        a->ideal_in_window += all->gps_given[row];
    }
    all->gps_given[row] = 0;
}

static void gps_empty_all(struct accounts *all)
{
    for (unsigned i = 0; i < all->gps_count; i++)
        gps_empty(all, i);
}

static void gps_empty_of(struct accounts *all, const struct account *a)
{
    if (a->gps_row)
        gps_empty(all, (unsigned)a->gps_row - 1);
}

static void gps_row(struct accounts *all, struct model_node *n, int parent)
{
    double mhz = model_mhz(&all->model);

    struct account *a = n->is_pool ? NULL : own(all, n);

    if (a)
        a->gps_row = (int)all->gps_count + 1;
    all->gps_given[all->gps_count] = 0;
    all->gps_of[all->gps_count] = n;
    all->gps[all->gps_count] = (struct gps_node){
        .parent = parent,
        .leaf = !n->is_pool,
        .runnable = !n->is_pool && model_state_wants(n->state),
        .shares = n->shares ? n->shares : 1,
        .reservation = n->min_mhz / mhz,
        .limit = n->max_mhz == MODEL_UNLIMITED ? GPS_UNLIMITED : n->max_mhz / mhz,
    };
    all->gps_count++;
}

/*
 * Rows for all living nodes, parents first. Pools come in rounds, a level of the tree each;
 * what no round reaches hangs in a cycle, which only a bad trace has, and goes to the top.
 */
static void gps_rebuild(struct accounts *all)
{
    struct model *m = &all->model;
    int *row = NULL;
    bool more = true;

    gps_empty_all(all);
    for (unsigned i = 0; i < all->gps_count; i++) {
        struct account *a = account_of(all->gps_of[i]);

        if (a)
            a->gps_row = 0;
    }
    all->gps_count = 0;
    all->gps_tree_stale = false;
    all->gps_rates_stale = true;
    if (m->alive > all->gps_room && !gps_grow(all))
        return;
    row = malloc((m->count + 1) * sizeof(*row));
    if (!row) {
        all->failed = true;
        return;
    }
    for (unsigned i = 0; i < m->count; i++)
        row[i] = -1;
    while (more) {
        more = false;
        for (unsigned i = 0; i < m->count; i++) {
            struct model_node *n = m->nodes[i];
            struct model_node *p = n->parent && n->parent->alive ? n->parent : NULL;

            if (!n->alive || !n->is_pool || row[i] >= 0 || (p && row[p->index] < 0))
                continue;
            row[i] = (int)all->gps_count;
            gps_row(all, n, p ? row[p->index] : -1);
            more = true;
        }
    }
    for (unsigned i = 0; i < m->count; i++) {
        struct model_node *n = m->nodes[i];

        if (!n->alive || n->is_idle || row[i] >= 0)
            continue;

        struct model_node *p = n->parent && n->parent->alive ? n->parent : NULL;

        row[i] = (int)all->gps_count;
        gps_row(all, n, p && row[p->index] >= 0 && p->is_pool ? row[p->index] : -1);
    }
    free(row);
}

static void gps_solve_now(struct accounts *all)
{
    if (all->gps_tree_stale)
        gps_rebuild(all);
    if (!all->gps_rates_stale)
        return;
    gps_solve(all->gps, all->gps_count, model_online(&all->model));
    all->gps_rates_stale = false;
}

static void gps_run(struct accounts *all, uint64_t now)
{
    uint64_t begin = MAX(all->gps_until, all->from);
    uint64_t end = MIN(now, all->to);

    if (!all->use_gps)
        return;
    if (end > begin) {
        gps_solve_now(all);
        for (unsigned i = 0; i < all->gps_count; i++) {
            if (all->gps[i].leaf)
                all->gps_given[i] += all->gps[i].rate * (double)(end - begin);
        }
    }
    all->gps_until = MAX(all->gps_until, now);
}

static void sample_lag(struct account *a)
{
    double lag = a->ideal - (double)ACCOUNT_RUN(a);

    if (lag < a->lag_min)
        a->lag_min = lag;
    if (lag > a->lag_max)
        a->lag_max = lag;
    a->lag_sum += lag < 0 ? -lag : lag;
    a->lag_count++;
}

/*
 * --- what the model tells --------------------------------------------------------------------
 */

static void close_window(struct accounts *all, uint64_t end)
{
    struct model *m = &all->model;

    gps_empty_all(all);
    for (unsigned i = 0; i < m->count; i++) {
        struct account *a = account_of(m->nodes[i]);

        if (!a || !m->nodes[i]->alive)
            continue;
        if (all->use_gps)
            sample_lag(a);
        if (a->ideal_in_window >= ERROR_LEAST_NS) {
            double error = ((double)a->run_in_window / a->ideal_in_window - 1) * 100;

            if (error < 0)
                error = -error;
            a->error_max = MAX(a->error_max, error);
            a->error_sum += error;
            a->error_count++;
        }
    }
    if (all->on_window)
        all->on_window(all->context, all, all->window_begin, end);
    for (unsigned i = 0; i < m->count; i++) {
        struct account *a = account_of(m->nodes[i]);

        if (a)
            a->ideal_in_window = 0, a->run_in_window = 0;
    }
    all->window_begin = end;
}

static void on_advance(void *context, uint64_t now)
{
    struct accounts *all = context;

    if (all->window && all->window_begin < all->from)
        all->window_begin = MIN(all->from, now);
    while (all->window && now >= all->window_begin + all->window &&
           all->window_begin >= all->from && all->window_begin + all->window <= all->to) {
        uint64_t end = all->window_begin + all->window;

        /* A record that claims to be years away must not cost a window for every second. */
        if ((now - all->window_begin) / all->window > WINDOWS_AT_ONCE)
            end += (now - end) / all->window * all->window;
        /* model_settle() comes back here; without a window that only runs the fluid. */
        uint64_t kept = all->window;

        all->window = 0;
        model_settle(&all->model, end);
        all->window = kept;
        close_window(all, end);
    }
    gps_run(all, now);
}

static void on_interval(void *context, struct model_node *w, unsigned state, uint64_t from,
                        uint64_t to)
{
    struct accounts *all = context;
    struct account *a = own(all, w);

    from = MAX(from, all->from);
    to = MIN(to, all->to);
    if (!a || to <= from)
        return;
    a->state[state] += to - from;
    a->elapsed += to - from;
    if (state == RECORD_sched_state_RUN)
        a->run_in_window += to - from;
    if (all->on_interval)
        all->on_interval(all->context, w, state, from, to);
}

static void on_ran(void *context, unsigned cpu, struct model_node *w, uint64_t from,
                   uint64_t to)
{
    struct accounts *all = context;

    from = MAX(from, all->from);
    to = MIN(to, all->to);
    if (to <= from)
        return;
    if (w->is_idle)
        all->cpu_idle[cpu] += to - from;
    else
        all->cpu_busy[cpu] += to - from;
    if (all->on_ran)
        all->on_ran(all->context, cpu, w, from, to);
}

static void on_transition(void *context, struct model_node *w, unsigned from, unsigned to,
                          uint64_t now)
{
    struct accounts *all = context;
    struct account *a = own(all, w);

    if (a && model_state_wants(from) != model_state_wants(to)) {
        all->gps_rates_stale = true;
        if (a->gps_row)
            all->gps[a->gps_row - 1].runnable = model_state_wants(to);
    }
    if (!a || !counts(all, now))
        return;
    if (all->use_gps && (from == RECORD_sched_state_RUN || to == RECORD_sched_state_RUN)) {
        gps_empty_of(all, a);
        sample_lag(a);
    }
    if (model_state_waits(from) && model_state_wants(to))
        a->wakes++;
    if (to == RECORD_sched_state_RUN && w->woken)
        sample(all, &a->latency, now - w->woken_at);
}

static void on_stopped(void *context, unsigned cpu, struct model_node *w, bool voluntary)
{
    struct accounts *all = context;
    struct account *a = own(all, w);

    (void)cpu;
    if (!a || !counts(all, all->model.now))
        return;
    if (voluntary)
        a->voluntary++;
    else
        a->involuntary++;
}

static void on_tree(void *context)
{
    struct accounts *all = context;

    all->gps_tree_stale = true;
}

/*
 * --- outside ---------------------------------------------------------------------------------
 */

void accounts_init(struct accounts *all)
{
    struct model_client client = {
        .context = all,
        .advance = on_advance,
        .interval = on_interval,
        .ran = on_ran,
        .transition = on_transition,
        .stopped = on_stopped,
        .tree = on_tree,
    };

    memset(all, 0, sizeof(*all));
    model_init(&all->model, &client);
    all->to = UINT64_MAX;
    all->use_gps = true;
    all->gps_tree_stale = true;
}

void accounts_free(struct accounts *all)
{
    for (unsigned i = 0; i < all->model.count; i++) {
        struct account *a = account_of(all->model.nodes[i]);

        if (a)
            account_release(a);
        free(a);
    }
    free(all->gps);
    free(all->gps_of);
    free(all->gps_given);
    model_free(&all->model);
}

/* What only counts and is no state. */
/*
 * System work, as machine.h says: the world it was for has it, and who was interrupted by it.
 */
static void system_time(struct accounts *all, const struct record_sched_input *in, unsigned cpu)
{
    struct model_node *whose = in->id ? model_find(&all->model, in->id) : NULL;
    struct model_node *current = all->model.cpus[cpu].current;
    struct account *a;

    if (whose && whose == current)
        return;
    if (whose && !whose->is_idle && (a = own(all, whose)) != NULL)
        a->system += in->arg;
    if (current && !current->is_idle && (a = own(all, current)) != NULL)
        a->overlap += in->arg;
}

static void count(struct accounts *all, const struct trace_record *r)
{
    struct model_node *w;
    struct account *a;

    switch (r->event->id) {
    case RECORD_sched_switch:
        if (r->cpu < MODEL_CPUS_MAX)
            all->cpu_switches[r->cpu]++;
        w = model_find(&all->model, TRACE_AS(sched_switch, r)->next_tid);
        if (w && !w->is_idle && (a = own(all, w)) != NULL)
            a->switch_cost += TRACE_AS(sched_switch, r)->cost * 16ull;
        break;
    case RECORD_sched_migrate:
        w = model_find(&all->model, TRACE_AS(sched_migrate, r)->tid);
        if (w && TRACE_AS(sched_migrate, r)->kind < ACCOUNT_KINDS &&
            (a = own(all, w)) != NULL) {
            a->migrations[TRACE_AS(sched_migrate, r)->kind]++;
            a->migration_cost += TRACE_AS(sched_migrate, r)->cost;
        }
        break;
    case RECORD_sched_costop:
        w = model_find(&all->model, TRACE_AS(sched_costop, r)->tid);
        if (w && (a = own(all, w)) != NULL) {
            a->costops++;
            sample(all, &a->skew, TRACE_AS(sched_costop, r)->skew_us);
        }
        break;
    case RECORD_sched_input:
    case RECORD_sched_input_wide:
        if (TRACE_AS(sched_input, r)->op != RECORD_sched_op_SYSTEM_TIME)
            break;
        system_time(all, TRACE_AS(sched_input, r), r->cpu);
        break;
    default: break;
    }
}

bool accounts_feed(struct accounts *all, const struct trace_record *r)
{
    if (!all->model.begun) {
        all->from = MAX(all->from, r->time);
        all->window_begin = r->time;
        all->gps_until = r->time;
    }
    if (!model_feed(&all->model, r))
        all->failed = true;
    if (counts(all, all->model.now))
        count(all, r);
    return !all->failed;
}

void accounts_end(struct accounts *all, uint64_t end)
{
    model_settle(&all->model, MAX(end, all->model.now));
    gps_empty_all(all);
    if (all->window && accounts_until(all) > all->window_begin &&
        all->window_begin >= all->from)
        close_window(all, accounts_until(all));
}

uint64_t accounts_begin(const struct accounts *all)
{
    return MAX(all->from, all->model.begin);
}

uint64_t accounts_until(const struct accounts *all)
{
    return MIN(all->to, all->model.now);
}

static bool add_hdr(struct hdr **into, const struct hdr *from)
{
    if (!from)
        return true;
    if (!*into)
        *into = calloc(1, sizeof(**into));
    if (*into)
        hdr_merge(*into, from);
    return *into != NULL;
}

bool account_add(struct account *into, const struct account *from)
{
    for (unsigned i = 0; i < MODEL_STATES; i++)
        into->state[i] += from->state[i];
    into->elapsed += from->elapsed;
    into->system += from->system;
    into->overlap += from->overlap;
    into->voluntary += from->voluntary;
    into->involuntary += from->involuntary;
    for (unsigned i = 0; i < ACCOUNT_KINDS; i++)
        into->migrations[i] += from->migrations[i];
    into->migration_cost += from->migration_cost;
    into->switch_cost += from->switch_cost;
    into->wakes += from->wakes;
    into->costops += from->costops;
    into->ideal += from->ideal;
    into->lag_min = MIN(into->lag_min, from->lag_min);
    into->lag_max = MAX(into->lag_max, from->lag_max);
    into->lag_sum += from->lag_sum;
    into->lag_count += from->lag_count;
    into->error_max = MAX(into->error_max, from->error_max);
    into->error_sum += from->error_sum;
    into->error_count += from->error_count;
    return add_hdr(&into->latency, from->latency) && add_hdr(&into->skew, from->skew);
}

void account_release(struct account *a)
{
    free(a->latency);
    free(a->skew);
    a->latency = a->skew = NULL;
}

double accounts_jain(const struct accounts *all, unsigned *worlds)
{
    double sum = 0, squares = 0;

    *worlds = 0;
    for (unsigned i = 0; i < all->model.count; i++) {
        const struct account *a = account_of(all->model.nodes[i]);

        if (!a || a->ideal < ERROR_LEAST_NS)
            continue;

        double x = (double)ACCOUNT_RUN(a) / a->ideal;

        sum += x;
        squares += x * x;
        ++*worlds;
    }
    return squares > 0 ? sum * sum / (*worlds * squares) : 1;
}
