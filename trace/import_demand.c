// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_demand.c -- the demand behind a recorded schedule.
 *
 * What a trace shows is what one scheduler did with what the tasks wanted. To ask what another
 * would have done, the want must be found again:
 *   - a burst ends where a task blocks, not where it is preempted: fragments are merged;
 *   - a task woken by another waits for that one's signal, placed in the other's burst where it
 *     happened: if the waker is late, so is the woken (closed loop);
 *   - a task woken by an interrupt waits for that instant (open loop), or, after waiting for a
 *     device, for as long as the device took;
 *   - the recorded machine's cost of a switch is in each fragment and is taken out.
 * A wake-up of a task that was awake says nothing, unless the task then blocks and goes on without
 * another: the signal came before the wait. So such a signal is kept as doubtful until that is
 * known.
 *
 *   task A   run 120us, signal B, run 40us, wait for an interrupt at 3ms
 *   task B   wait A, run 15us ...
 *
 * Trust: finish() replays the steps along the recorded switches, by a small machine of its own, and
 * compares run and ready time of each task with the recorded. That is the self-replay error; it
 * is small if bursts and edges are right, whatever the policy was.
 *
 * Invariants
 *   - Time never falls (time_ok()); a task is on one CPU at most.
 *   - A fragment whose begin was not seen is not counted, as perf does it.
 * Locking    none: one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "trace/import.h"

#define NONE      UINT32_MAX
#define CPUS_MAX  4096u
#define TIME_MOST (1ull << 54)  // 208 days: what is later is damage

enum op_kind {
    OP_RUN,
    OP_UNTIL,   // value: time
    OP_IO,      // value: length
    OP_WAIT,    // value: task index
    OP_SIGNAL,  // value: task index
    OP_DEAD,    // a doubtful signal that was none
};
struct op {
    uint8_t kind;
    uint64_t value;
};

enum state {
    STATE_UNKNOWN,
    STATE_RUN,
    STATE_READY,
    STATE_BLOCKED,
    STATE_GONE,
};

struct task {
    uint32_t id, cpu, count, room;
    uint8_t state;
    bool begun;  // its first op has a begin
    bool waits;  // its first op is the wait that it begins with
    bool loose;  // on a CPU since before the trace: this fragment is not counted
    enum demand_leave how;
    char name[24];
    char unique[WL_NAME_SIZE];
    struct op *ops;
    uint64_t begin;     // first instant it was seen to want something
    uint64_t since;     // of the state
    uint64_t burst;     // of the open burst, fragments before this one
    uint64_t fragment;  // start of this fragment, up to the last signal
    uint64_t paid;      // of the switch cost, in this fragment
    uint32_t doubtful;  // task whose signal may have come early, or NONE
    uint32_t doubtful_op;
    bool doubtful_outside;
    uint64_t doubtful_time;
    uint64_t run, ready, bursts, wakes, preemptions, switches;
    uint64_t perf_run;  // as perf counts: since the last switch of the CPU, see entry_guess()
    // Self-replay.
    uint32_t pc;
    uint64_t left, replay_run, replay_ready, replay_since;
    uint8_t replay_state;
    uint64_t wakeup;  // its timer
};

/* A recorded switch, for the self-replay. */
struct switched {
    uint64_t time;
    uint32_t cpu, prev, next;  // task indexes or NONE
    bool leaves;               // prev blocked
    uint32_t order;
};

struct demand {
    struct demand_options options;
    struct task *tasks;
    uint32_t count, room;
    uint32_t *hash;  // task index + 1
    uint32_t hash_size;
    uint32_t current[CPUS_MAX];   // task index + 1; 0: not known; 1: idle
    uint64_t switched[CPUS_MAX];  // time of the last switch there
    bool known[CPUS_MAX];         // there was one
    uint32_t cpus;
    struct switched *switches;
    size_t switch_count, switch_room;
    uint64_t origin, last;
    bool started;
    uint64_t edges, outside;
    uint32_t *signals;  // self-replay: stored signals, by edge
};

static void *grown(void *array, size_t count, size_t *room, size_t size)
{
    void *bigger = array;

    if (count == *room) {
        *room = *room ? 2 * *room : 16;
        bigger = realloc(array, *room * size);
        if (!bigger) {
            fputs("orrery-trace: no memory for the trace\n", stderr);
            exit(TOOL_BAD);
        }
    }
    return bigger;
}

struct demand *demand_create(const struct demand_options *o)
{
    struct demand *d = calloc(1, sizeof(*d));

    if (!d) {
        fputs("orrery-trace: no memory\n", stderr);
        exit(TOOL_BAD);
    }
    d->options = *o;
    return d;
}

void demand_free(struct demand *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->count; i++)
        free(d->tasks[i].ops);
    free(d->tasks);
    free(d->hash);
    free(d->switches);
    free(d->signals);
    free(d);
}

/* --- tasks ---------------------------------------------------------------------------------- */

static uint32_t *hash_slot(struct demand *d, uint32_t id)
{
    uint32_t i = (id * 2654435761u) & (d->hash_size - 1);

    while (d->hash[i] && d->tasks[d->hash[i] - 1].id != id)
        i = (i + 1) & (d->hash_size - 1);
    return &d->hash[i];
}

static uint32_t task_of(struct demand *d, uint32_t id, const char *name)
{
    uint32_t *slot;
    size_t room = d->room;
    struct task *t;

    if (2 * d->count >= d->hash_size) {
        free(d->hash);
        d->hash_size = d->hash_size ? 2 * d->hash_size : 256;
        d->hash = calloc(d->hash_size, sizeof(*d->hash));
        if (!d->hash) {
            fputs("orrery-trace: no memory for the trace\n", stderr);
            exit(TOOL_BAD);
        }
        for (uint32_t i = 0; i < d->count; i++)
            *hash_slot(d, d->tasks[i].id) = i + 1;
    }
    slot = hash_slot(d, id);
    if (*slot) {
        t = &d->tasks[*slot - 1];
        if (name && (!t->name[0] || t->state != STATE_GONE))
            snprintf(t->name, sizeof(t->name), "%s",
                     name);  // exec renames: the last name counts
        return *slot - 1;
    }
    d->tasks = grown(d->tasks, d->count, &room, sizeof(*d->tasks));
    d->room = (uint32_t)room;
    t = &d->tasks[d->count];
    *t = (struct task){.id = id, .cpu = NONE, .doubtful = NONE};
    if (name)
        snprintf(t->name, sizeof(t->name), "%s", name);
    *slot = ++d->count;
    return d->count - 1;
}

static uint32_t op_add(struct task *t, enum op_kind kind, uint64_t value)
{
    size_t room = t->room;

    t->ops = grown(t->ops, t->count, &room, sizeof(*t->ops));
    t->room = (uint32_t)room;
    t->ops[t->count] = (struct op){.kind = (uint8_t)kind, .value = value};
    return t->count++;
}

/* The demand of the open fragment up to `time` joins the burst; switch cost is taken out. */
static void fragment_add(struct demand *d, struct task *t, uint64_t time)
{
    uint64_t length = time - t->fragment;
    uint64_t cost = MIN(d->options.switch_cost - t->paid, length);

    t->paid += cost;
    t->burst += length - cost;
    t->fragment = time;
}

static void burst_end(struct task *t)
{
    if (t->burst)
        op_add(t, OP_RUN, t->burst);
    t->burst = 0;
}

/* The doubtful signal was none. */
static void doubt_drop(struct demand *d, struct task *t)
{
    if (t->doubtful != NONE) {
        d->tasks[t->doubtful].ops[t->doubtful_op].kind = OP_DEAD;
        d->edges--;
    }
    t->doubtful = NONE;
    t->doubtful_outside = false;
}

void demand_name(struct demand *d, uint32_t task, const char *name)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->tasks[i].id == task)
            snprintf(d->tasks[i].name, sizeof(d->tasks[i].name), "%s", name);
    }
}

/* --- what the readers say ------------------------------------------------------------------- */

static uint64_t time_ok(struct demand *d, uint64_t time)
{
    if (!d->started) {
        d->started = true;
        d->origin = time;
    }
    time = time > d->origin ? MIN(time - d->origin, TIME_MOST) : 0;
    if (time < d->last)
        time = d->last;
    d->last = time;
    return time;
}

static void leave(struct demand *d, uint32_t index, uint64_t time, enum demand_leave how)
{
    struct task *t = &d->tasks[index];

    if (t->state == STATE_RUN && !t->loose) {
        fragment_add(d, t, time);
        t->run += time - t->since;
    }
    if (!t->begun) {
        t->begun = true;
        t->begin = time;
    }
    t->cpu = NONE;
    t->how = how;
    t->since = time;
    if (how == DEMAND_PREEMPTED) {
        t->preemptions++;
        t->state = STATE_READY;
        return;
    }
    if (t->burst)
        t->bursts++;
    burst_end(t);
    t->state = how == DEMAND_EXIT ? STATE_GONE : STATE_BLOCKED;
    if (how == DEMAND_EXIT)
        doubt_drop(d, t);
}

/* A signal from a waker's burst, at this point of it. */
static uint32_t signal_add(struct demand *d, uint32_t waker, uint32_t target, uint64_t time)
{
    struct task *w = &d->tasks[waker];

    if (w->state == STATE_RUN && !w->loose)
        fragment_add(d, w, time);
    burst_end(w);
    d->edges++;
    return op_add(w, OP_SIGNAL, target);
}

static bool waker_known(const struct demand *d, uint32_t index)
{
    return index != NONE && d->tasks[index].state == STATE_RUN && !d->tasks[index].loose;
}

/* The wait that ends now: by whom. */
static void wait_end(struct demand *d, struct task *t, uint32_t waker, uint64_t time)
{
    if (waker != NONE) {
        op_add(t, OP_WAIT, waker);
    } else if (t->how == DEMAND_IO) {
        op_add(t, OP_IO, time - t->since);
        d->outside++;
    } else {
        op_add(t, OP_UNTIL, time);
        d->outside++;
    }
}

void demand_wake(struct demand *d, uint64_t time, uint32_t cpu, uint32_t id, const char *name,
                 uint32_t waker_id)
{
    uint32_t index, waker = NONE;
    struct task *t;

    (void)cpu;
    time = time_ok(d, time);
    if (id == DEMAND_IDLE)
        return;
    index = task_of(d, id, name);
    if (waker_id != DEMAND_IDLE && waker_id != id)
        waker = task_of(d, waker_id, NULL);
    t = &d->tasks[index];
    if (!waker_known(d, waker))
        waker = NONE;
    if (t->state == STATE_GONE) {  // the id is used again
        t->state = STATE_BLOCKED;
        t->how = DEMAND_SLEEP;
        t->since = time;
    }
    if (t->state == STATE_RUN || t->state == STATE_READY) {
        doubt_drop(d, t);
        if (waker != NONE) {
            t->doubtful = waker;
            t->doubtful_op = signal_add(d, waker, index, time);
        } else {
            t->doubtful_outside = true;
        }
        t->doubtful_time = time;
        return;
    }
    doubt_drop(d, t);
    t->wakes++;
    if (waker != NONE)
        (void)signal_add(d, waker, index, time);
    t = &d->tasks[index];
    if (!t->begun && waker == NONE) {
        t->begun = true;
        t->begin = time;
    } else {
        t->waits = t->waits || !t->begun;
        t->begun = true;
        wait_end(d, t, waker, time);
    }
    t->state = STATE_READY;
    t->since = time;
}

static void enter(struct demand *d, uint32_t index, uint64_t time, uint32_t cpu)
{
    struct task *t = &d->tasks[index];

    if (t->state == STATE_RUN && t->cpu != cpu)
        leave(d, index, time, DEMAND_PREEMPTED);  // its leaving was lost
    if (!t->begun) {
        t->begun = true;
        t->begin = time;
    } else if (t->state == STATE_READY) {
        t->ready += time - t->since;
    } else if (t->state == STATE_BLOCKED || t->state == STATE_GONE) {
        /* It goes on without a wake-up: the doubtful one was it, or none was recorded. */
        if (t->doubtful != NONE) {
            op_add(t, OP_WAIT, t->doubtful);
            t->doubtful = NONE;
            t->ready += time - t->since;
        } else {
            op_add(t, OP_UNTIL, t->doubtful_outside ? t->doubtful_time : time);
            d->outside++;
        }
        if (t->doubtful_outside)
            t->ready += time - t->since;
        t->doubtful_outside = false;
    }
    t->state = STATE_RUN;
    t->loose = false;
    t->cpu = cpu;
    t->since = time;
    t->fragment = time;
    t->paid = 0;
    t->switches++;
}

static void switch_note(struct demand *d, struct switched s)
{
    d->switches = grown(d->switches, d->switch_count, &d->switch_room, sizeof(*d->switches));
    s.order = (uint32_t)d->switch_count;
    d->switches[d->switch_count++] = s;
}

/*
 * A task is on a CPU though its entry was not recorded: kernels that do not trace in the idle loop
 * leave such records, mostly inside a VM, and events can be lost. When it was woken is a good
 * guess of its entry, else a run as long as its others are on average. perf counts all of the time
 * since the CPU's last switch, which is too much for a demand; both are kept.
 */
static uint64_t entry_guess(const struct demand *d, const struct task *t, uint64_t time,
                            uint32_t cpu)
{
    uint64_t last = d->switched[cpu], entry;

    if (t->state == STATE_READY)
        entry = MAX(t->since, last);
    else
        entry = time - MIN(time - last, t->switches ? t->run / t->switches : 0);
    return t->state == STATE_UNKNOWN ? entry : MAX(entry, t->since);
}

/* Who runs there is `id`, whatever was recorded before. */
static void seen(struct demand *d, uint64_t time, uint32_t cpu, uint32_t id, const char *name)
{
    uint32_t was = d->current[cpu], index = NONE;
    uint64_t entry = time;

    if (id != DEMAND_IDLE)
        index = task_of(d, id, name);
    if (was == (index == NONE ? 1 : index + 2))
        return;
    if (!was && (index == NONE || d->tasks[index].state != STATE_READY)) {
        // First seen: since when it runs is not known.
        d->current[cpu] = index == NONE ? 1 : index + 2;
        if (index == NONE || d->tasks[index].state == STATE_RUN)
            return;
        d->tasks[index].loose = true;
        d->tasks[index].state = STATE_RUN;
        d->tasks[index].cpu = cpu;
        d->tasks[index].since = time;
        d->tasks[index].fragment = time;
        return;
    }
    if (index != NONE && d->tasks[index].state != STATE_RUN)
        entry = entry_guess(d, &d->tasks[index], time, cpu);
    if (was > 1 && d->tasks[was - 2].state == STATE_RUN && d->tasks[was - 2].cpu == cpu) {
        entry = MAX(entry, d->tasks[was - 2].since);
        leave(d, was - 2, MAX(entry, d->tasks[was - 2].fragment), DEMAND_SLEEP);
    }
    if (index != NONE)
        enter(d, index, entry, cpu);
    switch_note(d, (struct switched){.time = entry,
                                     .cpu = cpu,
                                     .prev = was > 1 ? was - 2 : NONE,
                                     .next = index,
                                     .leaves = true});
    d->current[cpu] = index == NONE ? 1 : index + 2;
}

void demand_seen(struct demand *d, uint64_t time, uint32_t cpu, uint32_t id, const char *name)
{
    if (cpu < CPUS_MAX)
        seen(d, time_ok(d, time), cpu, id, name);
}

void demand_switch(struct demand *d, uint64_t time, uint32_t cpu, uint32_t prev_id,
                   const char *prev_name, enum demand_leave how, uint32_t next_id,
                   const char *next_name)
{
    uint32_t prev = NONE, next = NONE;

    if (cpu >= CPUS_MAX)
        return;
    time = time_ok(d, time);
    d->cpus = MAX(d->cpus, cpu + 1);
    seen(d, time, cpu, prev_id, prev_name);
    if (prev_id != DEMAND_IDLE)
        prev = task_of(d, prev_id, prev_name);
    if (next_id != DEMAND_IDLE)
        next = task_of(d, next_id, next_name);
    if (prev != NONE && d->known[cpu])
        d->tasks[prev].perf_run += time - d->switched[cpu];
    if (prev != NONE)
        leave(d, prev, time, how);
    if (next != NONE)
        enter(d, next, time, cpu);
    d->current[cpu] = next == NONE ? 1 : next + 2;
    d->switched[cpu] = time;
    d->known[cpu] = true;
    switch_note(d, (struct switched){.time = time,
                                     .cpu = cpu,
                                     .prev = prev,
                                     .next = next,
                                     .leaves = how != DEMAND_PREEMPTED});
}

bool demand_current(const struct demand *d, uint32_t cpu, uint32_t *task)
{
    if (cpu >= CPUS_MAX || !d->current[cpu])
        return false;
    *task = d->current[cpu] == 1 ? DEMAND_IDLE : d->tasks[d->current[cpu] - 2].id;
    return true;
}

/* --- self-replay ---------------------------------------------------------------------------- */

/*
 * The tasks walk through their steps, each on the CPU and at the time that the record says; wake-ups
 * come from the steps alone. A task that is put on a CPU before its steps let it run, or whose
 * burst is not over when the record says that it blocked, shows as a difference of ready or run.
 */
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

    while (r->edges[i].from != NONE && (r->edges[i].from != from || r->edges[i].to != to))
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
        uint64_t cost = MIN(r->d->options.switch_cost - t->paid, length);

        t->paid += cost;
        length -= cost;
        t->replay_since += cost;
        t->replay_run += cost;
        if (!t->left) {
            r->now = t->replay_since;
            replay_steps(r, index);
        }
        if (!t->left || !length) {
            break;
        }
        length = MIN(length, t->left);
        t->left -= length;
        t->replay_run += length;
        t->replay_since += length;
        r->now = t->replay_since;
        if (!t->left)
            replay_steps(r, index);
        if (t->replay_since >= until)
            break;
    }
    r->now = until;
}

/* The timers of tasks that wait: a heap by time. One that no longer counts stays until its turn. */
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

    h->heap = grown(h->heap, h->count, &h->room, sizeof(*h->heap));
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
    uint32_t running[CPUS_MAX];

    memset(running, 0xff, sizeof(running));
    if (d->switch_count)
        qsort(d->switches, d->switch_count, sizeof(*d->switches), switch_order);
    for (size_t i = 0; i < d->switch_count; i++) {
        const struct switched *s = &d->switches[i];

        /* Everybody who runs goes up to here, so that signals are given in time. */
        for (uint32_t c = 0; c < d->cpus; c++) {
            if (running[c] != NONE && d->tasks[running[c]].replay_state == STATE_RUN)
                replay_run(r, running[c], s->time);
        }
        replay_timers(r, timers, s->time);
        if (s->prev != NONE && d->tasks[s->prev].replay_state == STATE_RUN &&
            running[s->cpu] == s->prev) {
            struct task *t = &d->tasks[s->prev];

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
        } else if (s->prev != NONE && running[s->cpu] == NONE) {
            replay_loose(r, timers, s);
        }
        running[s->cpu] = s->next;
        if (s->next != NONE) {
            struct task *t = &d->tasks[s->next];

            if (t->replay_state == STATE_READY)
                t->replay_ready += s->time - t->replay_since;
            t->replay_state = STATE_RUN;
            t->replay_since = s->time;
            t->paid = 0;
        }
    }
}

static void self_replay(struct demand *d, struct demand_summary *out)
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
        r.edges[i] = (struct edge_count){.from = NONE, .to = NONE};
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

/* --- the workload --------------------------------------------------------------------------- */

/* "comm-pid", short and unique. */
static void names_make(struct demand *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        struct task *t = &d->tasks[i];
        char text[40];

        snprintf(text, sizeof(text), "%s-%u", t->name[0] ? t->name : "task", t->id);
        wl_name_make(t->unique, text, strlen(text));
    }
}

static void steps_make(const struct demand *d, const struct task *t, struct workload *w)
{
    for (uint32_t k = 0; k < t->count; k++) {
        const struct op *op = &t->ops[k];

        switch (op->kind) {
        case OP_RUN: wl_add_step(w, WL_RUN, op->value); break;
        case OP_UNTIL: wl_add_step(w, WL_UNTIL, op->value); break;
        case OP_IO: wl_add_step(w, WL_BLOCK, op->value); break;
        case OP_WAIT:
            wl_step_name(wl_add_step(w, WL_WAIT, 0), d->tasks[op->value].unique);
            break;
        case OP_SIGNAL:
            wl_step_name(wl_add_step(w, WL_SIGNAL, 0), d->tasks[op->value].unique);
            break;
        default: break;
        }
    }
}

void demand_finish(struct demand *d, uint64_t time, struct workload *w,
                   struct demand_summary *out)
{
    *out = (struct demand_summary){.tasks = d->count};
    if (time)
        (void)time_ok(d, time);
    for (uint32_t i = 0; i < d->count; i++) {
        struct task *t = &d->tasks[i];

        /* What is still on a CPU is demand up to here, but no recorded run: perf counts it not. */
        burst_end(t);
        doubt_drop(d, t);
    }
    names_make(d);
    out->cpus = MAX(1u, d->cpus);
    w->host.cpus = d->options.cpus ? d->options.cpus : MIN(out->cpus, 64u);
    w->costs.context_switch = d->options.switch_cost;
    w->duration = MAX(1u, d->last);
    for (uint32_t i = 0; i < d->count; i++) {
        struct task *t = &d->tasks[i];
        struct wl_world *world = wl_add_world(w, t->unique);

        /* Who waits for a signal first is there from the start. */
        if (!t->waits)
            world->start.a = t->begin;
        steps_make(d, t, w);
        out->switches += t->switches;
        out->wakes += t->wakes;
        out->bursts += t->bursts;
        out->preemptions += t->preemptions;
        out->run += t->run;
        out->ready += t->ready;
    }
    out->edges = d->edges;
    out->outside = d->outside;
    out->elapsed = d->last;
    self_replay(d, out);
}

bool demand_world_at(const struct demand *d, uint32_t i, struct demand_world *out)
{
    const struct task *t;

    if (i >= d->count)
        return false;
    t = &d->tasks[i];
    *out = (struct demand_world){.name = t->unique,
                                 .run = t->run,
                                 .ready = t->ready,
                                 .first = t->begin,
                                 .bursts = t->bursts,
                                 .wakes = t->wakes,
                                 .preemptions = t->preemptions,
                                 .switches = t->switches,
                                 .perf_run = t->perf_run,
                                 .task = t->id};
    return true;
}
