// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/engine_step.c -- what worlds do: steps, signals, locks, barriers.
 *
 * A world that waits for a lock by spinning uses its CPU and can be preempted while it does,
 * and so can the one that holds the lock: that is how lock-holder preemption shows. A plain
 * spin lock goes to whoever looks first, which is a spinner that is on a CPU; a ticket lock
 * goes to who came first even if he is on none, and then all wait for him.
 *
 * Invariants
 *   - A world is in at most one line (of its `object`), and only while it spins or waits there.
 *   - A lock has an owner or nobody spins for it on a CPU (release(), engine_spin_look()).
 * Locking    none: one thread.
 */
#include "sim/workload/engine_internal.h"

#define STEPS_MAX 1000000u  // without using time: more is a loop

/* ---- lines ---- */

static void line_add(struct engine *e, struct engine_object *o, struct engine_world *w)
{
    w->next = NOBODY;
    w->prev = o->last;
    if (o->last == NOBODY)
        o->first = w->index;
    else
        e->worlds[o->last].next = w->index;
    o->last = w->index;
    w->object = (uint32_t)(o - e->objects);
}

static void line_remove(struct engine *e, struct engine_object *o, struct engine_world *w)
{
    if (w->prev == NOBODY)
        o->first = w->next;
    else
        e->worlds[w->prev].next = w->next;
    if (w->next == NOBODY)
        o->last = w->prev;
    else
        e->worlds[w->next].prev = w->prev;
    w->object = w->next = w->prev = NOBODY;
}

/* ---- waiting ---- */

static void block(struct engine *e, unsigned cpu, struct engine_world *w, uint32_t state)
{
    w->mode = MODE_BLOCKED;
    w->left = 0;
    (void)engine_input(
        e, &(const struct sched_input){
               .op = SCHED_OP_BLOCK, .cpu = cpu, .small = state, .id = w->entity.node.id});
}

/* Blocks until `time`. */
static void block_until(struct engine *e, unsigned cpu, struct engine_world *w, uint32_t state,
                        uint64_t time)
{
    evheap_set(&e->events, SLOT_WORLD(e, w->index), time);
    /* The timer's wake-up says who woke: a device for I/O, else a timer. */
    w->device = state == SCHED_STATE_WAIT_IO || state == SCHED_STATE_WAIT_SWAP;
    block(e, cpu, w, state);
}

static uint32_t idle_state(const struct engine_world *w)
{
    return w->entity.node.flags & SCHED_WORLD_VCPU ? SCHED_STATE_WAIT_IDLE : SCHED_STATE_WAIT;
}

/* A world in the line goes on: it is woken, or, spinning, finds out when it is
 * on a CPU. */
static void let_go(struct engine *e, unsigned cpu, struct engine_object *o,
                   struct engine_world *w, uint32_t waker)
{
    unsigned where = engine_cpu_of(e, w);

    line_remove(e, o, w);
    if (w->mode == MODE_BLOCKED) {
        engine_wake(e, cpu, w, WAKE_REASON_EVENT, waker);
        return;
    }
    if (where != NOBODY)
        engine_account(e, where);
    w->mode = MODE_WORK;
    w->left = 0;
    if (where != NOBODY)
        engine_arm(e, where);
}

static void signal_one(struct engine *e, unsigned cpu, uint32_t object, uint32_t waker)
{
    struct engine_object *o = &e->objects[object];

    if (o->first == NOBODY)
        o->count++;
    else
        let_go(e, cpu, o, &e->worlds[o->first], waker);
}

static void broadcast(struct engine *e, unsigned cpu, uint32_t object, uint32_t waker)
{
    struct engine_object *o = &e->objects[object];

    while (o->first != NOBODY)
        let_go(e, cpu, o, &e->worlds[o->first], waker);
}

/* ---- locks ---- */

static void lock_take(struct engine *e, unsigned cpu, struct engine_world *w, uint32_t object)
{
    const struct program_object *p = &e->program->objects[object];
    struct engine_object *o = &e->objects[object];

    if (o->owner == NOBODY && (p->lock != WL_LOCK_TICKET || o->first == NOBODY)) {
        o->owner = w->index;
        return;
    }
    if (o->owner == w->index) {
        engine_fail(e, "world %s takes a lock that it has, see line %u", w->program->name,
                    w->program->ops[w->pc - 1].line);
        return;
    }
    line_add(e, o, w);
    if (p->lock == WL_LOCK_BLOCK || (p->lock == WL_LOCK_ADAPTIVE && !p->spin)) {
        block(e, cpu, w, idle_state(w));
        return;
    }
    w->mode = MODE_SPIN;
    w->budget = p->lock == WL_LOCK_ADAPTIVE ? p->spin : UINT64_MAX;
    engine_arm(e, cpu);
}

static void lock_give(struct engine *e, unsigned cpu, struct engine_world *w, uint32_t object)
{
    const struct program_object *p = &e->program->objects[object];
    struct engine_object *o = &e->objects[object];
    uint32_t next;

    if (o->owner != w->index) {
        engine_fail(e, "world %s gives back a lock that it has not, see line %u",
                    w->program->name, w->program->ops[w->pc - 1].line);
        return;
    }
    o->owner = NOBODY;
    if (p->lock == WL_LOCK_TICKET) {
        next = o->first;
    } else {
        /* A spinner on a CPU sees it first; else who sleeps is woken with the lock
     * in hand. */
        for (next = o->first; next != NOBODY; next = e->worlds[next].next) {
            if (e->worlds[next].mode == MODE_SPIN &&
                engine_cpu_of(e, &e->worlds[next]) != NOBODY)
                break;
        }
        if (next == NOBODY) {
            for (next = o->first; next != NOBODY; next = e->worlds[next].next) {
                if (e->worlds[next].mode == MODE_BLOCKED)
                    break;
            }
        }
    }
    if (next == NOBODY)
        return;
    o->owner = next;
    let_go(e, cpu, o, &e->worlds[next], w->entity.node.id);
}

void engine_spin_look(struct engine *e, struct engine_world *w)
{
    uint32_t object = w->object;
    struct engine_object *o = &e->objects[object];
    const struct program_object *p = &e->program->objects[object];

    if (p->kind != WL_OBJECT_LOCK || o->owner != NOBODY || p->lock == WL_LOCK_TICKET)
        return;
    o->owner = w->index;
    line_remove(e, o, w);
    w->mode = MODE_WORK;
    w->left = 0;
}

void engine_spin_over(struct engine *e, unsigned cpu)
{
    struct engine_world *w = &e->worlds[e->cpu[cpu].world];

    if (w->budget || w->cost) {  // a slower CPU than thought: not yet
        engine_arm(e, cpu);
        return;
    }
    block(e, cpu, w, idle_state(w));
}

static void barrier(struct engine *e, unsigned cpu, struct engine_world *w, uint32_t object)
{
    const struct program_object *p = &e->program->objects[object];
    struct engine_object *o = &e->objects[object];

    if (++o->count >= p->parties) {
        o->count = 0;
        broadcast(e, cpu, object, w->entity.node.id);
        return;
    }
    line_add(e, o, w);
    if (!p->spin) {
        block(e, cpu, w, idle_state(w));
        return;
    }
    w->mode = MODE_SPIN;
    w->budget = p->spin;
    engine_arm(e, cpu);
}

/* ---- steps ---- */

static void halt(struct engine *e, unsigned cpu, struct engine_world *w, uint64_t until)
{
    if (until > e->now)
        block_until(e, cpu, w, SCHED_STATE_WAIT_IDLE, until);
}

static void end(struct engine *e, unsigned cpu, struct engine_world *w)
{
    w->mode = MODE_ENDED;
    e->live--;
    (void)engine_input(e, &(const struct sched_input){
                              .op = SCHED_OP_EXIT, .cpu = cpu, .id = w->entity.node.id});
}

static void repeat(struct engine_world *w, const struct program_op *op)
{
    if (!op->value) {
        w->pc = op->target;
    } else if (++w->loops[op->level] < op->value) {
        w->pc = op->target;
    } else {
        w->loops[op->level] = 0;
    }
}

/* One step; the program counter is past it already. */
static void step(struct engine *e, unsigned cpu, struct engine_world *w,
                 const struct program_op *op)
{
    static const uint8_t states[] = {SCHED_STATE_WAIT, SCHED_STATE_WAIT_IO,
                                     SCHED_STATE_WAIT_IDLE, SCHED_STATE_WAIT_SWAP};
    uint64_t time;

    switch ((enum wl_step_kind)op->kind) {
    case WL_RUN:
        w->left = wl_dist_sample(op->dist, &w->rng, w->turn++);
        if (e->options->noise_permille) {
            uint64_t n = e->options->noise_permille;

            w->left =
                w->left / 1000 * (1000 - n + rng_below(&w->rng, 2 * n + 1)) + w->left % 1000;
        }
        engine_arm(e, cpu);
        break;
    case WL_BLOCK:
    case WL_SLEEP:
        time = wl_dist_sample(op->dist, &w->rng, w->turn++);
        if (time)
            block_until(e, cpu, w, states[op->wait], e->now + time);
        break;
    case WL_UNTIL: halt(e, cpu, w, op->value); break;
    case WL_EVERY:
        time = w->base + op->phase + w->release++ * op->value;
        halt(e, cpu, w, time);
        break;
    case WL_ALIGN: halt(e, cpu, w, (e->now / op->value + 1) * op->value); break;
    case WL_WAIT:
        if (e->objects[op->target].count) {
            e->objects[op->target].count--;
        } else {
            line_add(e, &e->objects[op->target], w);
            block(e, cpu, w, idle_state(w));
        }
        break;
    case WL_SIGNAL: signal_one(e, cpu, op->target, w->entity.node.id); break;
    case WL_BROADCAST: broadcast(e, cpu, op->target, w->entity.node.id); break;
    case WL_LOCK: lock_take(e, cpu, w, op->target); break;
    case WL_UNLOCK: lock_give(e, cpu, w, op->target); break;
    case WL_BARRIER: barrier(e, cpu, w, op->target); break;
    case WL_YIELD:
        (void)engine_input(e, &(const struct sched_input){
                                  .op = SCHED_OP_YIELD, .cpu = cpu, .id = w->entity.node.id});
        break;
    case WL_COUNT: w->ops++; break;
    case WL_LOOP: repeat(w, op); break;
    case WL_EXIT: end(e, cpu, w); break;
    case WL_TOUCH:
        if (e->memory && w->program->vm != PROGRAM_NONE)
            memory_touch(e->memory, w->program->vm, (uint32_t)op->value,
                         (uint32_t)(op->value >> 32), (uint32_t)op->phase);
        break;
    case WL_BEGIN:
    case WL_STEP_COUNT: break;
    }
}

void engine_exec(struct engine *e, unsigned cpu)
{
    struct engine_world *w = &e->worlds[e->cpu[cpu].world];
    uint32_t steps = 0;

    while (!e->failed && e->cpu[cpu].world == w->index && w->mode == MODE_WORK && !w->left &&
           !w->cost) {
        const struct program_op *op = &w->program->ops[w->pc];

        if (e->kicks & BIT(cpu)) {  // somebody better may run before the next step
            e->execs |= BIT(cpu);
            return;
        }
        if (w->pc == w->program->op_count) {
            end(e, cpu, w);
            return;
        }
        if (++steps > STEPS_MAX) {
            engine_fail(e, "world %s repeats without using time, see line %u", w->program->name,
                        op->line);
            return;
        }
        w->pc++;
        step(e, cpu, w, op);
    }
}
