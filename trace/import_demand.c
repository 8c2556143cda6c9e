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
 * A wake-up of a task that was awake says nothing, unless the task then blocks and goes on
 * without another: the signal came before the wait. So such a signal is kept as doubtful until
 * that is known.
 *
 *   task A   run 120us, signal B, run 40us, wait for an interrupt at 3ms
 *   task B   wait A, run 15us ...
 *
 * Trust: import_replay.c replays the steps along the recorded switches, by a small machine of
 * its own, and compares run and ready time of each task with the recorded. That is the
 * self-replay error; it is small if bursts and edges are right, whatever the policy was.
 *
 * Invariants
 *   - Time never falls (time_ok()); a task is on one CPU at most.
 *   - A fragment whose begin was not seen is not counted, as perf does it.
 * Locking    none: one thread.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/import_internal.h"

#define TIME_MOST (1ull << 54)  // 208 days: what is later is damage

void *demand_grown(void *array, size_t count, size_t *room, size_t size)
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
    free(d->held);
    free(d);
}

/*
 * --- tasks ----------------------------------------------------------------------------------
 */

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
    d->tasks = demand_grown(d->tasks, d->count, &room, sizeof(*d->tasks));
    d->room = (uint32_t)room;
    t = &d->tasks[d->count];
    *t = (struct task){.id = id, .cpu = DEMAND_NONE, .doubtful = DEMAND_NONE};
    if (name)
        snprintf(t->name, sizeof(t->name), "%s", name);
    *slot = ++d->count;
    return d->count - 1;
}

static uint32_t op_add(struct task *t, enum op_kind kind, uint64_t value)
{
    size_t room = t->room;

    t->ops = demand_grown(t->ops, t->count, &room, sizeof(*t->ops));
    t->room = (uint32_t)room;
    t->ops[t->count] = (struct op){.kind = (uint8_t)kind, .value = value};
    return t->count++;
}

/*
 * The demand of the open fragment up to `time` joins the burst; switch cost is taken out. Who
 * signals has run: the cost was less then, or the signal would belong to the fragment before.
 */
static void fragment_add(struct demand *d, struct task *t, uint64_t time, bool signals)
{
    uint64_t length = time - t->fragment;
    uint64_t cost = MIN(d->options.switch_cost - t->paid, length);

    if (signals && cost && cost == length)
        cost--;
    t->paid = signals ? d->options.switch_cost : t->paid + cost;
    if (t->entered < d->switch_count)
        d->switches[t->entered].cost += cost;
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
    if (t->doubtful != DEMAND_NONE) {
        d->tasks[t->doubtful].ops[t->doubtful_op].kind = OP_DEAD;
        d->edges--;
    }
    t->doubtful = DEMAND_NONE;
    t->doubtful_outside = false;
}

void demand_name(struct demand *d, uint32_t task, const char *name)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->tasks[i].id == task)
            snprintf(d->tasks[i].name, sizeof(d->tasks[i].name), "%s", name);
    }
}

/*
 * --- what the readers say -------------------------------------------------------------------
 */

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
        fragment_add(d, t, time, false);
        t->run += time - t->since;
    }
    if (!t->begun) {
        t->begun = true;
        t->begin = time;
    }
    t->cpu = DEMAND_NONE;
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
        fragment_add(d, w, time, true);
    burst_end(w);
    d->edges++;
    return op_add(w, OP_SIGNAL, target);
}

static bool waker_known(const struct demand *d, uint32_t index)
{
    return index != DEMAND_NONE && d->tasks[index].state == STATE_RUN && !d->tasks[index].loose;
}

/* The wait that ends now: by whom. */
static void wait_end(struct demand *d, struct task *t, uint32_t waker, uint64_t time)
{
    if (waker != DEMAND_NONE) {
        op_add(t, OP_WAIT, waker);
    } else if (t->how == DEMAND_IO) {
        op_add(t, OP_IO, time - t->since);
        d->outside++;
    } else {
        op_add(t, OP_UNTIL, time);
        d->outside++;
    }
}

static void wake(struct demand *d, uint64_t time, uint32_t id, const char *name,
                 uint32_t waker_id)
{
    uint32_t index, waker = DEMAND_NONE;
    struct task *t;
    uint64_t stamp = time;

    time = time_ok(d, time);
    if (id == DEMAND_IDLE)
        return;
    index = task_of(d, id, name);
    if (waker_id != DEMAND_IDLE && waker_id != id)
        waker = task_of(d, waker_id, NULL);
    t = &d->tasks[index];
    if (!t->stamp_ready)
        t->stamp_ready = stamp;
    if (!waker_known(d, waker))
        waker = DEMAND_NONE;
    if (t->state == STATE_GONE) {  // the id is used again
        t->state = STATE_BLOCKED;
        t->how = DEMAND_SLEEP;
        t->since = time;
    }
    if (t->state == STATE_RUN || t->state == STATE_READY) {
        doubt_drop(d, t);
        if (waker != DEMAND_NONE) {
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
    if (waker != DEMAND_NONE)
        (void)signal_add(d, waker, index, time);
    t = &d->tasks[index];
    if (!t->begun && waker == DEMAND_NONE) {
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

static void switch_note(struct demand *d, struct switched s)
{
    d->switches =
        demand_grown(d->switches, d->switch_count, &d->switch_room, sizeof(*d->switches));
    s.order = (uint32_t)d->switch_count;
    d->switches[d->switch_count++] = s;
}

/*
 * A task that has a CPU turns up on another one. How long it stayed is not known: it is taken
 * to have waited for something since it last gave a sign there. A recorder that stops one CPU
 * after the other ends so.
 */
static void leaving_lost(struct demand *d, uint32_t index)
{
    struct task *t = &d->tasks[index];
    uint32_t cpu = t->cpu;

    leave(d, index, t->fragment, DEMAND_SLEEP);
    switch_note(
        d,
        (struct switched){
            .time = t->since, .cpu = cpu, .prev = index, .next = DEMAND_NONE, .leaves = true});
    if (d->current[cpu] == index + 2)
        d->current[cpu] = 0;
}

static void enter(struct demand *d, uint32_t index, uint64_t time, uint32_t cpu)
{
    struct task *t = &d->tasks[index];

    if (t->state == STATE_RUN && t->cpu != cpu)
        leaving_lost(d, index);
    if (!t->begun) {
        t->begun = true;
        t->begin = time;
    } else if (t->state == STATE_READY) {
        t->ready += time - t->since;
    } else if (t->state == STATE_BLOCKED || t->state == STATE_GONE) {
        /* It goes on without a wake-up: the doubtful one was it, or none was recorded. */
        if (t->doubtful != DEMAND_NONE) {
            op_add(t, OP_WAIT, t->doubtful);
            t->doubtful = DEMAND_NONE;
            t->ready += time - MAX(t->since, t->doubtful_time);
        } else {
            op_add(t, OP_UNTIL, t->doubtful_outside ? t->doubtful_time : time);
            d->outside++;
        }
        if (t->doubtful_outside)
            t->ready += time - MAX(t->since, t->doubtful_time);
        t->doubtful_outside = false;
    }
    t->state = STATE_RUN;
    t->loose = false;
    t->cpu = cpu;
    t->since = time;
    t->fragment = time;
    t->entered = d->switch_count;  // it is noted next
    t->paid = 0;
    t->switches++;
}

/*
 * A task is on a CPU though its entry was not recorded: kernels that do not trace in the idle
 * loop leave such records, mostly inside a VM, and events can be lost. When it was woken is a
 * good guess of its entry, else a run as long as its others are on average. perf counts all of
 * the time since the CPU's last switch, which is too much for a demand; both are kept.
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
    uint32_t was = d->current[cpu], index = DEMAND_NONE;
    uint64_t entry = time;

    if (id != DEMAND_IDLE)
        index = task_of(d, id, name);
    if (was == (index == DEMAND_NONE ? 1 : index + 2))
        return;
    if (!was && (index == DEMAND_NONE || d->tasks[index].state != STATE_READY)) {
        // First seen: since when it runs is not known.
        d->current[cpu] = index == DEMAND_NONE ? 1 : index + 2;
        if (index == DEMAND_NONE || d->tasks[index].state == STATE_RUN)
            return;
        d->tasks[index].loose = true;
        d->tasks[index].state = STATE_RUN;
        d->tasks[index].cpu = cpu;
        d->tasks[index].since = time;
        d->tasks[index].fragment = time;
        d->tasks[index].entered = SIZE_MAX;
        return;
    }
    if (index != DEMAND_NONE && d->tasks[index].state != STATE_RUN)
        entry = entry_guess(d, &d->tasks[index], time, cpu);
    if (was > 1 && d->tasks[was - 2].state == STATE_RUN && d->tasks[was - 2].cpu == cpu) {
        entry = MAX(entry, d->tasks[was - 2].fragment);
        leave(d, was - 2, entry, DEMAND_SLEEP);
    }
    if (index != DEMAND_NONE)
        enter(d, index, entry, cpu);
    switch_note(d, (struct switched){.time = entry,
                                     .cpu = cpu,
                                     .prev = was > 1 ? was - 2 : DEMAND_NONE,
                                     .next = index,
                                     .leaves = true});
    d->current[cpu] = index == DEMAND_NONE ? 1 : index + 2;
}

/* The task that the CPU runs, or DEMAND_IDLE; false if not known. */
static bool current_of(const struct demand *d, uint32_t cpu, uint32_t *task)
{
    if (cpu >= DEMAND_CPUS_MAX || !d->current[cpu])
        return false;
    *task = d->current[cpu] == 1 ? DEMAND_IDLE : d->tasks[d->current[cpu] - 2].id;
    return true;
}

/*
 * What was seen since the last switch of any CPU waits for the next one. A recorder that is
 * turned off event by event goes on with wake-ups when its switches have ended, for
 * milliseconds on a busy machine: who ran then is not known, so these are left out.
 */
static void hold(struct demand *d, struct held h, const char *name)
{
    h.named = name != NULL;
    if (name)
        snprintf(h.name, sizeof(h.name), "%s", name);
    d->held = demand_grown(d->held, d->held_count, &d->held_room, sizeof(*d->held));
    d->held[d->held_count++] = h;
}

static void held_release(struct demand *d)
{
    for (size_t i = 0; i < d->held_count; i++) {
        const struct held *h = &d->held[i];
        uint32_t waker = h->waker;

        if (h->ran != DEMAND_NONE)
            seen(d, time_ok(d, h->time), h->cpu, h->ran, NULL);
        if (waker == DEMAND_CURRENT && !current_of(d, h->cpu, &waker))
            waker = DEMAND_IDLE;
        wake(d, h->time, h->task, h->named ? h->name : NULL, waker);
    }
    d->held_count = 0;
}

void demand_wake(struct demand *d, uint64_t time, uint32_t cpu, uint32_t task, const char *name,
                 uint32_t waker, const uint32_t *ran)
{
    const struct held h = {.time = time,
                           .cpu = cpu,
                           .task = task,
                           .waker = waker,
                           .ran = ran && cpu < DEMAND_CPUS_MAX ? *ran : DEMAND_NONE};

    hold(d, h, name);
}

/* --- perf sched timehist --- */

static void stamp_print(FILE *out, uint64_t ns)
{
    fprintf(out, "%6" PRIu64 ".%03" PRIu64 " ", ns / 1000000, ns % 1000000 / 1000);
}

/* "name[7]", or of a thread "name[7/5]"; of one that has ended ":-1[-1/5]". */
static void timehist_name(const struct demand *d, const struct task *t, char *out, size_t room)
{
    char id[16] = "-1", process[16] = "";
    uint32_t of = d->sampled_gone ? d->gone_process : d->sampled_process;

    if (!d->sampled_gone)
        snprintf(id, sizeof(id), "%" PRIu32, t->id);
    if (of && (d->sampled_gone || of != t->id))
        snprintf(process, sizeof(process), "/%" PRIu32, of);
    snprintf(out, room, "%s[%s%s]",
             d->sampled_gone      ? ":-1"
             : d->sampled_name[0] ? d->sampled_name
                                  : t->name,
             id, process);
}

static void timehist_print(const struct demand *d, uint64_t time, uint32_t cpu,
                           const char *name, uint64_t away, uint64_t ready, uint64_t run)
{
    FILE *out = d->options.timehist;

    if (!out)
        return;
    fprintf(out, "%8" PRIu64 ".%06" PRIu64 " [%04u]  %-30s ", time / 1000000000,
            time % 1000000000 / 1000, cpu, name);
    stamp_print(out, away);
    stamp_print(out, ready);
    stamp_print(out, run);
    fputc('\n', out);
}

/*
 * The line that `perf sched timehist` has for a switch: how long the task that leaves was away,
 * how much of that it waited for a CPU, how long it ran. perf counts a run from the last switch
 * of the CPU.
 */
static void timehist(struct demand *d, uint64_t time, uint32_t cpu, struct task *t)
{
    uint64_t entered = d->stamp[cpu];
    uint64_t away = 0, ready = 0, run = 0;
    uint64_t *out_at = d->sampled_gone ? &d->gone_out : &t->stamp_out;
    char name[64];

    if (d->sampled_gone && !d->gone_process)
        d->gone_process = d->sampled_process;
    if (entered) {
        run = time - MIN(entered, time);
        away = *out_at && *out_at <= entered ? entered - *out_at : 0;
        if (!d->sampled_gone && t->stamp_ready && t->stamp_ready <= entered)
            ready = entered - t->stamp_ready;
    }
    timehist_name(d, t, name, sizeof(name));
    timehist_print(d, time, cpu, name, away, ready, run);
    *out_at = time;
    t->stamp_ready = 0;
}

/* The same for the idle task of a CPU, which is always ready. */
static void timehist_idle(struct demand *d, uint64_t time, uint32_t cpu)
{
    uint64_t entered = d->stamp[cpu], left = d->idle_left[cpu];

    timehist_print(d, time, cpu, "<idle>", left && left <= entered ? entered - left : 0, 0,
                   entered ? time - MIN(entered, time) : 0);
    d->idle_left[cpu] = time;
}

void demand_lost(struct demand *d, uint64_t count)
{
    d->lost += count;
}

void demand_sampled(struct demand *d, const struct demand_sample *s)
{
    size_t length = MIN(s->name_length, sizeof(d->sampled_name) - 1);

    if (!s->name)
        length = 0;
    else
        memcpy(d->sampled_name, s->name, length);
    d->sampled_name[length] = 0;
    d->sampled_process = s->process;
    d->sampled_gone = s->gone;
}

static void sampled_forget(struct demand *d)
{
    demand_sampled(d, &(struct demand_sample){.process = 0});
}

void demand_switch(struct demand *d, uint64_t time, uint32_t cpu, uint32_t prev_id,
                   const char *prev_name, enum demand_leave how, uint32_t next_id,
                   const char *next_name)
{
    uint32_t prev = DEMAND_NONE, next = DEMAND_NONE;
    uint64_t stamp = time;

    if (cpu >= DEMAND_CPUS_MAX)
        return;
    held_release(d);
    time = time_ok(d, time);
    d->cpus = MAX(d->cpus, cpu + 1);
    seen(d, time, cpu, prev_id, prev_name);
    if (prev_id != DEMAND_IDLE)
        prev = task_of(d, prev_id, prev_name);
    if (next_id != DEMAND_IDLE)
        next = task_of(d, next_id, next_name);
    if (prev != DEMAND_NONE)
        timehist(d, stamp, cpu, &d->tasks[prev]);
    else
        timehist_idle(d, stamp, cpu);
    d->stamp[cpu] = stamp;
    if (prev != DEMAND_NONE && d->known[cpu] && !d->sampled_gone)
        d->tasks[prev].perf_run += time - d->switched[cpu];
    sampled_forget(d);
    if (prev != DEMAND_NONE)
        leave(d, prev, time, how);
    if (next != DEMAND_NONE)
        enter(d, next, time, cpu);
    d->current[cpu] = next == DEMAND_NONE ? 1 : next + 2;
    d->switched[cpu] = time;
    d->known[cpu] = true;
    switch_note(d, (struct switched){.time = time,
                                     .cpu = cpu,
                                     .prev = prev,
                                     .next = next,
                                     .leaves = how != DEMAND_PREEMPTED});
}

/*
 * --- the workload ---------------------------------------------------------------------------
 */

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
    if (time) {
        held_release(d);
        (void)time_ok(d, time);
    }
    *out = (struct demand_summary){.tasks = d->count};
    for (uint32_t i = 0; i < d->count; i++) {
        struct task *t = &d->tasks[i];

        /*
         * What is still on a CPU is demand up to here, but no recorded run: perf counts it not.
         */
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
    out->lost = d->lost;
    out->elapsed = d->last;
    demand_self_replay(d, out);
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
