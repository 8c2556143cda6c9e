// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/engine.c -- the event loop around the scheduler's state machine.
 *
 * The kernel in the simulation proves that the kernel works; this proves what the scheduler
 * does, some hundred times faster, because nothing runs but the machine itself. Time goes from
 * event to event: a burst ends, a deadline of a CPU is over, a world's timer is due. What
 * happens at one instant is worked off in a fixed order: CPUs that were kicked, lowest first,
 * then worlds that take their next step, lowest CPU first. A world's steps take no time, only
 * `run`, spinning and the costs do.
 *
 *     event heap --> input --> sched_step() --> next, kick, deadline --> event heap
 *                      |            |
 *                      +-- trace <--+ (observer)
 *
 * Speeds: a CPU has a speed in Q16, below nominal beside a busy SMT sibling or away from a
 * world's home node. Costs (switch, migration) are burnt before the burst goes on and are not
 * demand.
 *
 * Invariants
 *   - A run is a function of program, options and build: no clock, no pointer, no hash order.
 *   - `since` of every busy CPU is up to date whenever its world, speed or mode changes.
 *   - What the machine counted as a world's run time is what the engine measured (finish()).
 * Locking    none: one thread.
 * Start at   engine_run().
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/workload/engine_internal.h"

#define POOL_BASE        101u
#define WORLD_BASE       1000u
#define INSTANT_MAX      20000000u  // inputs of one instant: more is a loop
#define SKEW_PERIOD_NS   100000u
#define SAMPLES_ROOM_MAX (1ull << 32)  // bytes
#define LARGE_PAGE       (2ul << 20)

static uint32_t no_trace[2];  // a recorder with every class off

bool engine_fail(struct engine *e, const char *format, ...)
{
    va_list arguments;

    if (e->failed)
        return false;
    e->failed = true;
    va_start(arguments, format);
    vsnprintf(e->result->error, sizeof(e->result->error), format, arguments);
    va_end(arguments);
    return false;
}

void *engine_allocated(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);

    if (!block) {
        fputs("orrery: no memory for the simulation\n", stderr);
        exit(3);
    }
    return block;
}

/*
 * Zeroed. In large pages if there are some, as the image maps all memory: by small ones 10,000
 * worlds would measure this computer's TLB.
 */
static struct engine_world *worlds_allocated(size_t count)
{
    size_t align = 64;
    size_t size = round_up(MAX(count, 1ul) * sizeof(struct engine_world), align);
    struct engine_world *worlds;

    if (size >= LARGE_PAGE) {
        align = LARGE_PAGE;
        size = round_up(size, align);
    }
    worlds = aligned_alloc(align, size);
    if (!worlds) {
        fputs("orrery: no memory for the simulation\n", stderr);
        exit(3);
    }
    if (align == LARGE_PAGE)
        (void)madvise(worlds, size, MADV_HUGEPAGE);
    return memset(worlds, 0, size);
}

/* ---- time on the CPUs ---- */

/* Away from the node that the scheduler made its home, where its memory is. */
static bool is_remote(const struct engine *e, const struct engine_world *w,
                      const struct engine_cpu *c)
{
    uint32_t home = w->entity.home;  // the lowest CPU of the node

    return home < e->cpus && e->cpu[home].node != c->node;
}

void engine_account(struct engine *e, unsigned cpu)
{
    struct engine_cpu *c = &e->cpu[cpu];
    uint64_t elapsed = e->now - c->since;
    struct engine_world *w;

    if (c->world == NOBODY || !elapsed)
        return;
    w = &e->worlds[c->world];
    c->since = e->now;
    w->measured += elapsed;
    if (e->uneven && is_remote(e, w, c))
        w->remote += elapsed;
    if (w->cost) {
        uint64_t burnt = MIN(w->cost, elapsed);

        w->cost -= burnt;
        elapsed -= burnt;
    }
    if (w->mode == MODE_SPIN) {
        w->spin += elapsed;
        if (w->budget != UINT64_MAX)
            w->budget -= MIN(w->budget, elapsed);
        return;
    }
    if (c->speed != NOMINAL)
        elapsed = (uint64_t)((unsigned __int128)elapsed * c->speed >> 16);
    elapsed = MIN(elapsed, w->left);
    w->left -= elapsed;
    w->work += elapsed;
}

void engine_arm(struct engine *e, unsigned cpu)
{
    struct engine_cpu *c = &e->cpu[cpu];
    struct engine_world *w;
    uint64_t time;

    e->execs &= ~BIT(cpu);
    if (c->world == NOBODY) {
        evheap_clear(&e->events, SLOT_RUN(e, cpu));
        return;
    }
    w = &e->worlds[c->world];
    if (w->mode == MODE_SPIN) {
        if (w->budget == UINT64_MAX) {
            evheap_clear(&e->events, SLOT_RUN(e, cpu));
            return;
        }
        time = w->cost + w->budget;
    } else {
        time = w->left;
        if (c->speed != NOMINAL)
            time = (uint64_t)((((unsigned __int128)time << 16) + c->speed - 1) / c->speed);
        time += w->cost;
        if (!time) {
            e->execs |= BIT(cpu);
            evheap_clear(&e->events, SLOT_RUN(e, cpu));
            return;
        }
    }
    evheap_set(&e->events, SLOT_RUN(e, cpu), e->now + time);
}

static void speed_set(struct engine *e, unsigned cpu)
{
    struct engine_cpu *c = &e->cpu[cpu];
    uint64_t speed = NOMINAL;

    if (c->world == NOBODY)
        return;
    if (e->smt_speed != NOMINAL) {
        for (unsigned i = 0; i < e->cpus; i++) {
            if (i != cpu && e->cpu[i].core == c->core && e->cpu[i].world != NOBODY) {
                speed = e->smt_speed;
                break;
            }
        }
    }
    if (is_remote(e, &e->worlds[c->world], c))
        speed = speed * e->remote_speed >> 16;
    if (speed == c->speed)
        return;
    engine_account(e, cpu);
    c->speed = (uint32_t)speed;
    engine_arm(e, cpu);
}

/* `next` runs on the CPU from now on. */
static void switched(struct engine *e, unsigned cpu, struct sched_entity *next)
{
    struct engine_cpu *c = &e->cpu[cpu];
    struct engine_world *w =
        next->idle ? NULL : container_of(next, struct engine_world, entity);
    uint32_t index = w ? w->index : NOBODY;
    bool was_busy = c->world != NOBODY;

    if (index == c->world)
        return;
    engine_account(e, cpu);
    c->world = index;
    c->since = e->now;
    c->speed = NOMINAL;
    if (w) {
        w->cost += e->program->source->costs.context_switch;
        if (w->wake_time != UINT64_MAX) {
            if (!w->wake)
                w->wake = engine_allocated(1, sizeof(*w->wake));
            hdr_add(w->wake, e->now - w->wake_time);
            w->wake_time = UINT64_MAX;
            w->wakes++;
        }
        if (w->mode == MODE_SPIN)
            engine_spin_look(e, w);
    }
    engine_arm(e, cpu);
    if (e->uneven) {
        speed_set(e, cpu);
        if (e->smt_speed != NOMINAL && was_busy != (w != NULL)) {
            for (unsigned i = 0; i < e->cpus; i++) {
                if (i != cpu && e->cpu[i].core == c->core)
                    speed_set(e, i);
            }
        }
    }
}

/* ---- the machine ---- */

/*
 * Deadlines move at every switch, mostly to later. An event that is too early stays and finds
 * out when it comes (deadline_event()): that is one move in the heap for many.
 */
static void deadline_set(struct engine *e, unsigned cpu, uint64_t deadline)
{
    struct engine_cpu *c = &e->cpu[cpu];

    c->deadline = deadline;
    if (deadline < c->alarm) {
        c->alarm = MAX(deadline, e->now);
        evheap_set(&e->events, SLOT_TIMER(e, cpu), c->alarm);
    }
}

static void deadline_event(struct engine *e, unsigned cpu)
{
    struct engine_cpu *c = &e->cpu[cpu];
    uint64_t deadline = c->deadline;

    c->alarm = PLAT_NS_NEVER;
    if (deadline > e->now) {
        if (deadline != PLAT_NS_NEVER)
            deadline_set(e, cpu, deadline);
        return;
    }
    c->deadline = PLAT_NS_NEVER;
    (void)engine_input(e, &(const struct sched_input){.op = SCHED_OP_TIMER, .cpu = cpu});
}

struct sched_decision engine_input(struct engine *e, const struct sched_input *input)
{
    unsigned cpu = input->cpu;
    struct sched_decision d;

    if (input->value) {
        TRACE_ON(e->trace, cpu, e->now, sched_input_wide, .seq = e->seq,
                 .op = (uint16_t)input->op, .small = (uint16_t)input->small, .id = input->id,
                 .arg = input->arg, .value = input->value);
    } else {
        TRACE_ON(e->trace, cpu, e->now, sched_input, .seq = e->seq, .op = (uint16_t)input->op,
                 .small = (uint16_t)input->small, .id = input->id, .arg = input->arg);
    }
    e->seq++;
    d = sched_step(e->machine, input, e->now);
    e->kicks |= d.kick;
    deadline_set(e, cpu, d.deadline);
    if (sched_op_switches(input->op)) {
        if (d.status == VMK_OK)
            switched(e, cpu, d.next);
        else
            engine_fail(e, "the scheduler refused input %u of world %u at %llu ns: %s",
                        input->op, input->id, (unsigned long long)e->now,
                        vmk_status_name(d.status));
    }
    return d;
}

void engine_wake(struct engine *e, unsigned cpu, struct engine_world *w,
                 enum wake_reason reason, uint32_t waker)
{
    const struct sched_input input = {.op = SCHED_OP_WAKE,
                                      .cpu = cpu,
                                      .small = reason,
                                      .id = w->entity.node.id,
                                      .arg = waker,
                                      .storage = &w->entity};
    struct sched_decision d;

    w->mode = MODE_WORK;
    w->left = 0;
    w->wake_time = e->now;
    d = engine_input(e, &input);
    TRACE_ON(e->trace, cpu, e->now, sched_waking, .tid = input.id, .waker = waker,
             .target_cpu = (uint16_t)d.target, .reason = (uint16_t)reason);
    if (d.status != VMK_OK)
        engine_fail(e, "the scheduler refused to wake %s: %s", w->program->name,
                    vmk_status_name(d.status));
}

/* What the machine decided, into the trace. */
static void observed(void *context, const struct sched_event *v, plat_ns now)
{
    struct engine *e = context;

    switch (v->kind) {
    case SCHED_EVENT_SWITCH:
        TRACE_ON(e->trace, v->cpu, now, sched_switch, .prev_tid = v->id, .next_tid = v->other,
                 .prev_state = (uint16_t)v->state, .cost = (uint16_t)v->a, .ran_us = v->b);
        break;
    case SCHED_EVENT_MIGRATE:
        TRACE_ON(e->trace, v->cpu, now, sched_migrate, .tid = v->id, .src = (uint16_t)v->src,
                 .dst = (uint16_t)v->dst, .kind = (uint16_t)v->state, .cost = v->a);
        if (v->id >= e->world_base) {
            struct engine_world *w = &e->worlds[v->id - e->world_base];

            w->migrations++;
            w->cost += v->a;
        }
        break;
    case SCHED_EVENT_STATE:
        TRACE_ON(e->trace, v->cpu, now, sched_state, .tid = v->id, .state = (uint16_t)v->state,
                 .sub = (uint16_t)v->a);
        break;
    case SCHED_EVENT_COSTOP:
        TRACE_ON(e->trace, v->cpu, now, sched_costop, .tid = v->id, .skew_us = v->a);
        break;
    case SCHED_EVENT_COSTART:
        TRACE_ON(e->trace, v->cpu, now, sched_costart, .tid = v->id, .skew_us = v->a);
        break;
    default: break;
    }
}

/* ---- events ---- */

static void times_of(struct engine *e, const struct engine_world *w, struct engine_times *out)
{
    struct sched_times t;

    sched_times_at(&w->entity, e->now, &t);
    *out = (struct engine_times){.run = t.run,
                                 .ready = t.ready,
                                 .limited = t.limited,
                                 .costop = t.costop,
                                 .wait = t.wait,
                                 .work = w->work,
                                 .spin = w->spin,
                                 .ops = w->ops};
}

static void sample(struct engine *e)
{
    struct engine_result *r = e->result;
    uint32_t n = r->world_count;

    for (unsigned i = 0; i < e->cpus; i++)
        engine_account(e, i);
    for (uint32_t i = 0; i < n; i++)
        times_of(e, &e->worlds[i], &r->samples[(size_t)r->sample_count * n + i]);
    r->sample_count++;
    evheap_set(&e->events, SLOT_SAMPLE(e), e->now + r->sample_period);
}

static void skew(struct engine *e)
{
    for (uint32_t i = 0; i < e->program->world_count; i++) {
        uint32_t vm = e->program->worlds[i].vm;
        uint64_t lead;

        /* Who halts makes progress by waiting and leads nobody astray. */
        if (vm == PROGRAM_NONE || e->worlds[i].mode == MODE_ENDED ||
            e->worlds[i].mode == MODE_BLOCKED || e->worlds[i].mode == MODE_NEW)
            continue;
        lead = sched_entity_skew(e->machine, &e->worlds[i].entity, e->now);
        e->result->skew[vm] = MAX(e->result->skew[vm], lead);
    }
    evheap_set(&e->events, SLOT_SKEW(e), e->now + SKEW_PERIOD_NS);
}

static void timer_of_world(struct engine *e, struct engine_world *w)
{
    unsigned cpu = w->entity.cpu < e->cpus ? w->entity.cpu : 0;

    if (w->mode == MODE_NEW) {
        w->base = e->now;
        engine_wake(e, cpu, w, WAKE_REASON_NEW, 0);
    } else {
        engine_wake(e, cpu, w, w->device ? WAKE_REASON_DEVICE : WAKE_REASON_TIMER, 0);
    }
}

static void event(struct engine *e, uint32_t slot)
{
    if (slot < e->cpus) {
        engine_account(e, slot);
        if (e->worlds[e->cpu[slot].world].mode == MODE_SPIN)
            engine_spin_over(e, slot);
        else
            engine_arm(e, slot);
    } else if (slot < 2 * e->cpus) {
        deadline_event(e, slot - e->cpus);
    } else if (slot >= SLOT_WORLD(e, 0)) {
        timer_of_world(e, &e->worlds[slot - SLOT_WORLD(e, 0)]);
    } else if (slot == SLOT_CHANGE(e)) {
        engine_changes(e);
    } else if (slot == SLOT_SAMPLE(e)) {
        sample(e);
    } else if (slot == SLOT_MEMORY(e)) {
        memory_second(e->memory, e->now);
        evheap_set(&e->events, slot, e->now + MEMORY_SECOND);
    } else {
        skew(e);
    }
}

/* Kicked CPUs first, then worlds that take a step, until the instant is over.
 */
static void settle(struct engine *e)
{
    while ((e->kicks | e->execs) && !e->failed) {
        unsigned cpu;

        if (e->kicks) {
            cpu = (unsigned)__builtin_ctzll(e->kicks);
            e->kicks &= ~BIT(cpu);
            (void)engine_input(e,
                               &(const struct sched_input){.op = SCHED_OP_RESCHED, .cpu = cpu});
        } else {
            cpu = (unsigned)__builtin_ctzll(e->execs);
            e->execs &= ~BIT(cpu);
            engine_exec(e, cpu);
        }
    }
}

static bool loop(struct engine *e, uint64_t end)
{
    const struct evheap_event *first;
    uint32_t instant = 0;
    uint64_t order;

    e->live = e->program->world_count;
    settle(e);
    while (e->live && (first = evheap_first(&e->events)) != NULL && !e->failed) {
        uint32_t slot = evheap_slot(first);

        if (first->time > end)
            break;
        instant = first->time == e->now ? instant + 1 : 0;
        if (instant > INSTANT_MAX)
            return engine_fail(e,
                               "more than %u events at %llu ns: worlds signal each other "
                               "without using time, or a deadline does not advance",
                               INSTANT_MAX, (unsigned long long)e->now);
        e->now = first->time;
        order = first->order;
        e->result->events++;
        event(e, slot);
        settle(e);
        evheap_done(&e->events, slot, order);
    }
    if (e->live)
        e->now = end;
    return !e->failed;
}

static bool finish(struct engine *e)
{
    struct engine_result *r = e->result;

    for (unsigned i = 0; i < e->cpus; i++)
        engine_account(e, i);
    for (uint32_t i = 0; i < r->world_count; i++) {
        struct engine_world *w = &e->worlds[i];
        struct engine_world_result *out = &r->worlds[i];
        struct sched_times t;

        sched_times_at(&w->entity, e->now, &t);
        times_of(e, w, &out->times);
        out->measured = w->measured;
        out->used = t.run + t.system - t.overlap;
        out->created = t.created;
        out->switches = t.switches;
        out->migrations = w->migrations;
        out->wakes = w->wakes;
        out->remote = w->remote;
        out->wake = w->wake;
        out->ended = w->mode == MODE_ENDED;
        w->wake = NULL;
        if (t.run != w->measured)
            return engine_fail(
                e, "world %s ran %llu ns by the scheduler's account, %llu by ours",
                w->program->name, (unsigned long long)t.run, (unsigned long long)w->measured);
        if (t.run + t.ready + t.costop + t.wait != e->now - t.created)
            return engine_fail(e,
                               "world %s: run + ready + costop + wait is not the elapsed time",
                               w->program->name);
    }
    r->duration = e->now;
    r->inputs = e->seq;
    r->counters = e->machine->counters;
    r->switches = r->counters.switches;
    r->costops = r->counters.costops;
    memcpy(r->migrations, r->counters.migrations, sizeof(r->migrations));
    return true;
}

static bool samples_allocate(struct engine *e, uint64_t end)
{
    uint64_t count = end / e->options->sample_period + 1;
    uint64_t bytes = count * e->result->world_count * sizeof(struct engine_times);

    if (bytes > SAMPLES_ROOM_MAX)
        return engine_fail(e, "%llu samples of %u worlds do not fit: use longer windows",
                           (unsigned long long)count, e->result->world_count);
    e->result->samples =
        engine_allocated(count * e->result->world_count, sizeof(*e->result->samples));
    e->result->sample_period = e->options->sample_period;
    return true;
}

/* The memory of its VMs, if the workload says what they have. */
static bool memory_start(struct engine *e, uint64_t end)
{
    const struct engine_options *o = e->options;
    char error[sizeof(e->result->error)], change[320];

    snprintf(change, sizeof(change), "%s %s", o->variant ? o->variant->memory : "",
             o->memory ? o->memory : "");
    e->memory = memory_create(e->program, change, o->seed, end, e->trace, error, sizeof(error));
    if (error[0])
        return engine_fail(e, "%s", error);
    if (e->memory)
        evheap_set(&e->events, SLOT_MEMORY(e), MEMORY_SECOND);
    return true;
}

bool engine_run(const struct program *p, const struct engine_options *o,
                struct engine_result *result)
{
    const struct workload *w = p->source;
    struct engine *e = engine_allocated(1, sizeof(*e));
    uint64_t end = o->duration ? o->duration : w->duration;
    bool good;

    *result =
        (struct engine_result){.world_count = p->world_count, .pool_count = p->pool_count};
    e->program = p;
    e->options = o;
    e->result = result;
    e->trace = o->trace ? o->trace : (struct trace_state *)(void *)no_trace;
    e->cpus = o->cpus ? o->cpus : w->host.cpus;
    result->cpus = e->cpus;
    e->pool_base = POOL_BASE;
    e->world_base = MAX(WORLD_BASE, POOL_BASE + p->pool_count);
    e->smt_speed = w->host.threads > 1 ? w->costs.smt_percent * NOMINAL / 100 : NOMINAL;
    e->remote_speed = 100 * NOMINAL / (100 + w->costs.remote_percent);
    e->uneven = e->smt_speed != NOMINAL || e->remote_speed != NOMINAL ||
                (w->host.numa && w->host.numa < e->cpus);
    e->machine = engine_allocated(1, sizeof(*e->machine));
    e->worlds = worlds_allocated(p->world_count);
    e->objects = engine_allocated(p->object_count, sizeof(*e->objects));
    e->pools = engine_allocated(p->pool_count, sizeof(struct sched_pool *));
    result->worlds = engine_allocated(p->world_count, sizeof(*result->worlds));
    result->skew = engine_allocated(p->pool_count, sizeof(*result->skew));
    if (!evheap_init(&e->events, SLOT_WORLD(e, 0) + p->world_count)) {
        fputs("orrery: no memory for the simulation\n", stderr);
        exit(3);
    }
    if (e->cpus < 1 || e->cpus > SCHED_CPUS_MAX) {
        good = engine_fail(e, "a host has 1 to %u CPUs", SCHED_CPUS_MAX);
    } else {
        sched_machine_init(e->machine, e->cpus);
        e->machine->observer = (struct sched_observer){.event = observed, .context = e};
        good = (!o->sample_period || samples_allocate(e, end)) && engine_setup(e) &&
               memory_start(e, end) && loop(e, end) && finish(e);
    }
    if (e->memory)
        result->memory = memory_take_result(e->memory);
    memory_destroy(e->memory);
    for (uint32_t i = 0; i < p->world_count; i++)
        free(e->worlds[i].wake);
    for (uint32_t i = 0; i < p->pool_count; i++)
        free(e->pools[i]);
    evheap_free(&e->events);
    free(e->pools);
    free(e->objects);
    free(e->worlds);
    free(e->machine);
    free(e);
    return good;
}

void engine_result_free(struct engine_result *result)
{
    for (uint32_t i = 0; result->worlds && i < result->world_count; i++)
        free(result->worlds[i].wake);
    free(result->worlds);
    free(result->skew);
    free(result->samples);
    free(result->memory.samples);
    *result = (struct engine_result){.world_count = 0};
}
