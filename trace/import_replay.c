// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_replay.c -- an imported demand against the record that it was made from.
 *
 * The tasks walk through their steps, each on the CPU and at the time that the record says;
 * wake-ups come from the steps alone. A task that is put on a CPU before its steps let it run,
 * or whose burst is not over when the record says that it blocked, shows as a difference of
 * ready or run.
 *
 * Invariants
 *   - Time never falls; a task runs where the record has it, and nowhere else.
 * Locking    none.
 */
#include <stdlib.h>
#include <string.h>

#include "trace/import_internal.h"

struct edge_count {
    uint32_t from, to, stored;
};

struct replay {
    struct demand *d;
    struct edge_count *edges;
    size_t edge_size, edge_count;
    uint64_t now;
};

static struct edge_count *edge_of(struct replay *r, uint32_t from, uint32_t to)
{
    size_t i = (from * 2654435761u ^ to * 40503u) & (r->edge_size - 1);

    while (r->edges[i].from != DEMAND_NONE &&
           (r->edges[i].from != from || r->edges[i].to != to))
        i = (i + 1) & (r->edge_size - 1);
    r->edges[i].from = from;
    r->edges[i].to = to;
    return &r->edges[i];
}

static void replay_wake(struct replay *r, struct task *t)
{
    t->replay_state = STATE_READY;
    t->replay_since = r->now;
    t->wakeup = UINT64_MAX;
}

/* Steps that take no CPU, from the task's pc on, while it runs or was just put there. */
static void replay_steps(struct replay *r, uint32_t index)
{
    struct task *t = &r->d->tasks[index];

    while (!t->left && t->pc < t->count) {
        const struct op *op = &t->ops[t->pc];

        switch (op->kind) {
        case OP_RUN:
            t->left = op->value;
            t->pc++;
            break;
        case OP_SIGNAL: {
            struct task *to = &r->d->tasks[op->value];
            struct edge_count *e = edge_of(r, index, (uint32_t)op->value);

            t->pc++;
            e->stored++;
            if (to->replay_state == STATE_BLOCKED && to->pc < to->count &&
                to->ops[to->pc].kind == OP_WAIT && to->ops[to->pc].value == index) {
                e->stored--;
                to->pc++;
                replay_wake(r, to);
            }
            break;
        }
        case OP_DEAD: t->pc++; break;
        default: return;  // a wait: done when the record says that it leaves
        }
    }
}

/* The record says that it blocks now. */
static void replay_block(struct replay *r, uint32_t index)
{
    struct task *t = &r->d->tasks[index];
    const struct op *op;
    struct edge_count *e;

    t->replay_state = STATE_BLOCKED;
    t->replay_since = r->now;
    t->wakeup = UINT64_MAX;
    while (t->pc < t->count && t->ops[t->pc].kind == OP_DEAD)
        t->pc++;
    if (t->pc == t->count)
        return;
    op = &t->ops[t->pc];
    if (op->kind == OP_WAIT) {
        e = edge_of(r, (uint32_t)op->value, index);
        if (e->stored) {
            e->stored--;
            t->pc++;
            replay_wake(r, t);
        }
    } else if (op->kind == OP_UNTIL || op->kind == OP_IO) {
        t->wakeup = op->kind == OP_IO ? r->now + op->value : MAX(op->value, r->now);
        t->pc++;
        if (t->wakeup == r->now)
            replay_wake(r, t);
    } else {
        replay_wake(r, t);
    }
}

static void replay_run(struct replay *r, uint32_t index, uint64_t until)
{
    struct task *t = &r->d->tasks[index];

    /* Signals inside the burst happen at their instants. */
    for (;;) {
        uint64_t length = until - t->replay_since;
        uint64_t cost = MIN(t->replay_cost - t->paid, length);

        t->paid += cost;
        length -= cost;
        t->replay_since += cost;
        t->replay_open += cost;
        if (!t->left) {
            r->now = t->replay_since;
            replay_steps(r, index);
        }
        if (!t->left || !length) {
            break;
        }
        length = MIN(length, t->left);
        t->left -= length;
        t->replay_open += length;
        t->replay_since += length;
        r->now = t->replay_since;
        if (!t->left)
            replay_steps(r, index);
        if (t->replay_since >= until)
            break;
    }
    r->now = until;
}

/*
 * The timers of tasks that wait: a heap by time. One that no longer counts stays until its
 * turn.
 */
struct timer {
    uint64_t time;
    uint32_t task;
};
struct timers {
    struct timer *heap;
    size_t count, room;
};

static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->time != b->time ? a->time < b->time : a->task < b->task;
}

static void timer_add(const struct demand *d, struct timers *h, uint32_t task)
{
    struct timer t = {d->tasks[task].wakeup, task};
    size_t i = h->count;

    h->heap = demand_grown(h->heap, h->count, &h->room, sizeof(*h->heap));
    h->count++;
    for (; i && timer_before(&t, &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
        h->heap[i] = h->heap[(i - 1) / 2];
    h->heap[i] = t;
}

static struct timer timer_take(struct timers *h)
{
    struct timer first = h->heap[0], last = h->heap[--h->count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && timer_before(&h->heap[child + 1], &h->heap[child]))
            child++;
        if (!timer_before(&h->heap[child], &last))
            break;
        h->heap[i] = h->heap[child];
        i = child;
    }
    h->heap[i] = last;
    return first;
}

static void replay_timers(struct replay *r, struct timers *timers, uint64_t until)
{
    while (timers->count && timers->heap[0].time <= until) {
        struct timer first = timer_take(timers);
        struct task *t = &r->d->tasks[first.task];

        if (t->wakeup != first.time || t->replay_state != STATE_BLOCKED)
            continue;
        r->now = first.time;
        replay_wake(r, t);
    }
    r->now = until;
}

static int switch_order(const void *a, const void *b)
{
    const struct switched *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* Seen for the first time as it leaves a CPU: from here on its steps count. */
static void replay_loose(struct replay *r, struct timers *timers, const struct switched *s)
{
    struct task *t = &r->d->tasks[s->prev];

    if (t->replay_state == STATE_RUN || t->begin != s->time)
        return;
    if (!s->leaves) {
        replay_wake(r, t);
        return;
    }
    replay_block(r, s->prev);
    if (t->replay_state == STATE_BLOCKED && t->wakeup != UINT64_MAX)
        timer_add(r->d, timers, s->prev);
}

static void replay_all(struct replay *r, struct timers *timers)
{
    struct demand *d = r->d;
    uint32_t running[DEMAND_CPUS_MAX];

    memset(running, 0xff, sizeof(running));
    if (d->switch_count)
        qsort(d->switches, d->switch_count, sizeof(*d->switches), switch_order);
    for (size_t i = 0; i < d->switch_count; i++) {
        const struct switched *s = &d->switches[i];

        /* Everybody who runs goes up to here, so that signals are given in time. */
        for (uint32_t c = 0; c < d->cpus; c++) {
            if (running[c] != DEMAND_NONE && d->tasks[running[c]].replay_state == STATE_RUN)
                replay_run(r, running[c], s->time);
        }
        replay_timers(r, timers, s->time);
        if (s->prev != DEMAND_NONE && d->tasks[s->prev].replay_state == STATE_RUN &&
            running[s->cpu] == s->prev) {
            struct task *t = &d->tasks[s->prev];

            t->replay_run += t->replay_open;
            t->replay_open = 0;
            if (s->leaves) {
                t->left = 0;  // what is not done by then shows as missing run time
                replay_steps(r, s->prev);
                replay_block(r, s->prev);
                if (t->replay_state == STATE_BLOCKED && t->wakeup != UINT64_MAX)
                    timer_add(d, timers, s->prev);
            } else {
                t->replay_state = STATE_READY;
                t->replay_since = s->time;
            }
        } else if (s->prev != DEMAND_NONE && running[s->cpu] == DEMAND_NONE) {
            replay_loose(r, timers, s);
        }
        running[s->cpu] = s->next;
        if (s->next != DEMAND_NONE) {
            struct task *t = &d->tasks[s->next];

            if (t->replay_state == STATE_READY)
                t->replay_ready += s->time - t->replay_since;
            t->replay_state = STATE_RUN;
            t->replay_since = s->time;
            t->replay_open = 0;
            t->paid = 0;
            t->replay_cost = s->cost;
        }
    }
}

void demand_self_replay(struct demand *d, struct demand_summary *out)
{
    struct replay r = {.d = d, .edge_size = 1024};
    struct timers timers = {.count = 0};
    uint64_t run = 0, ready = 0, weight;

    while (r.edge_size < 4 * d->edges + 4)
        r.edge_size *= 2;
    r.edges = malloc(r.edge_size * sizeof(*r.edges));
    if (!r.edges) {
        fputs("orrery-trace: no memory for the self-replay\n", stderr);
        exit(TOOL_BAD);
    }
    for (size_t i = 0; i < r.edge_size; i++)
        r.edges[i] = (struct edge_count){.from = DEMAND_NONE, .to = DEMAND_NONE};
    for (uint32_t i = 0; i < d->count; i++) {
        struct task *t = &d->tasks[i];

        t->wakeup = t->waits ? UINT64_MAX : t->begin;
        t->replay_state = STATE_BLOCKED;
        if (!t->waits)
            timer_add(d, &timers, i);
    }
    replay_all(&r, &timers);
    for (uint32_t i = 0; i < d->count; i++) {
        run += d->tasks[i].run;
        ready += d->tasks[i].ready;
    }
    /* A task counts when it has a thousandth of the whole: a ratio of crumbs says nothing. */
    weight = (run + ready) / 1000 + 1;
    out->run_error = out->ready_error = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct task *t = &d->tasks[i];
        double total = (double)(t->run + t->ready);
        double run_off, ready_off;

        out->ready_replayed += t->replay_ready;
        if (t->run + t->ready < weight)
            continue;
        run_off = (double)t->replay_run - (double)t->run;
        ready_off = (double)t->replay_ready - (double)t->ready;
        run_off = (run_off < 0 ? -run_off : run_off) / total;
        ready_off = (ready_off < 0 ? -ready_off : ready_off) / total;
        out->run_error = MAX(out->run_error, run_off);
        out->ready_error = MAX(out->ready_error, ready_off);
    }
    free(r.edges);
    free(timers.heap);
}
