// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/trace_run.h -- a small driver of the scheduler that records: real decisions for tests.
 *
 * Worlds run for a while, wait for a while; VMs of several vCPUs, pools, a limit, a
 * reservation. Inputs go to the machine and into the trace; what the machine tells its observer
 * goes behind them, as the kernel records it. The same seed gives the same trace, byte by byte.
 */
#pragma once

#include "lib/rng.h"
#include "sched/machine.h"
#include "tests/unit/trace_fixture.h"

#define RUN_WORLDS_MAX 64u
#define RUN_NEVER      UINT64_MAX

struct run_world {
    struct sched_entity entity;
    uint64_t burst;                   // left to run; RUN_NEVER: a hog
    uint64_t wake_at;                 // RUN_NEVER: not asleep
    uint64_t mean_burst, mean_sleep;  // sleep 0: a hog
    unsigned wait;                    // SCHED_STATE_WAIT...
};

struct run {
    struct fx *fx;
    struct sched_machine *machine;
    struct rng rng;
    unsigned cpus, worlds;
    uint64_t now;
    unsigned cpu;  // whose input is at work
    struct run_world world[RUN_WORLDS_MAX];
    struct sched_pool *pool[8];
    unsigned pools;
    struct {
        struct sched_entity *current;
        uint64_t since, deadline, kick_at;
    } at[FX_CPUS];
};

static inline void run_observe(void *context, const struct sched_event *e, plat_ns now)
{
    struct run *run = context;
    struct ctf_stream *s = &run->fx->cpu[e->cpu];

    switch (e->kind) {
    case SCHED_EVENT_SWITCH:
        FX_PUT(s, now, sched_switch, .prev_tid = e->id, .next_tid = e->other,
               .prev_state = (uint16_t)e->state, .cost = (uint16_t)e->a, .ran_us = e->b);
        break;
    case SCHED_EVENT_MIGRATE:
        FX_PUT(s, now, sched_migrate, .tid = e->id, .src = (uint16_t)e->src,
               .dst = (uint16_t)e->dst, .kind = (uint16_t)e->state, .cost = e->a);
        break;
    case SCHED_EVENT_STATE:
        FX_PUT(s, now, sched_state, .tid = e->id, .state = (uint16_t)e->state,
               .sub = (uint16_t)e->a);
        break;
    case SCHED_EVENT_COSTOP: FX_PUT(s, now, sched_costop, .tid = e->id, .skew_us = e->a); break;
    default: FX_PUT(s, now, sched_costart, .tid = e->id, .skew_us = e->a); break;
    }
}

static inline struct run_world *run_world_of(struct sched_entity *e)
{
    return container_of(e, struct run_world, entity);
}

static inline struct sched_decision run_input(struct run *run, unsigned cpu, unsigned op,
                                              unsigned small, uint32_t id, uint32_t arg,
                                              uint64_t value, void *storage)
{
    struct sched_input in = {.op = op,
                             .cpu = cpu,
                             .small = small,
                             .id = id,
                             .arg = arg,
                             .value = value,
                             .storage = storage};
    struct sched_decision d;

    fx_input(run->fx, cpu, run->now, op, small, id, arg, value);
    d = sched_step(run->machine, &in, run->now);
    /* Who ran on that CPU has run up to now. */
    if (sched_op_switches(op) && d.status == VMK_OK) {
        struct sched_entity *old = run->at[cpu].current;

        if (old && !old->idle && run_world_of(old)->burst != RUN_NEVER) {
            uint64_t ran = run->now - run->at[cpu].since;

            run_world_of(old)->burst -= MIN(ran, run_world_of(old)->burst);
        }
        run->at[cpu].current = d.next;
        run->at[cpu].since = run->now;
        run->at[cpu].kick_at = RUN_NEVER;
    }
    run->at[cpu].deadline = d.deadline;
    for (unsigned i = 0; i < run->cpus; i++) {
        if ((d.kick & BIT(i)) && run->at[i].kick_at == RUN_NEVER)
            run->at[i].kick_at = run->now + 700;
    }
    return d;
}

static inline void run_begin(struct run *run, struct fx *fx, unsigned cpus, uint64_t seed)
{
    memset(run, 0, sizeof(*run));
    run->fx = fx;
    run->cpus = cpus;
    run->now = 1000;
    rng_init(&run->rng, seed, "run", 0);
    run->machine = calloc(1, sizeof(*run->machine));
    ck_assert_ptr_nonnull(run->machine);
    sched_machine_init(run->machine, SCHED_CPUS_MAX);
    run->machine->observer = (struct sched_observer){.event = run_observe, .context = run};
    for (unsigned i = 0; i < cpus; i++) {
        run->at[i].kick_at = run->at[i].deadline = RUN_NEVER;
        run_input(run, 0, SCHED_OP_TOPOLOGY, i, i | i / 2 << 16, 0, 1000, NULL);
    }
    for (unsigned i = 0; i < cpus; i++) {
        run_input(run, i, SCHED_OP_CPU_ONLINE, 0, 1 + i, 0, 0, NULL);
        run->at[i].current = run->machine->cpu[i].current;
    }
}

static inline uint32_t run_pool(struct run *run, const char *name, bool vm, uint32_t parent,
                                unsigned shares)
{
    uint32_t id = 200 + run->pools;
    struct record_world_name n = {.id = id,
                                  .kind = vm ? RECORD_name_kind_VM : RECORD_name_kind_POOL};

    run->pool[run->pools] = calloc(1, sched_pool_size(SCHED_CPUS_MAX));
    ck_assert_ptr_nonnull(run->pool[run->pools]);
    run_input(run, 0, SCHED_OP_POOL_ADD, vm ? SCHED_POOL_VM : SCHED_POOL_EXPANDABLE, id, parent,
              shares, run->pool[run->pools]);
    run->pools++;
    strncpy(n.name.text, name, 16);
    ctf_stream_put(&run->fx->sys, run->now, RECORD_world_name, &n, sizeof(n));
    return id;
}

/* A world that runs and sleeps for about so long; sleep 0: it only runs. */
static inline uint32_t run_world(struct run *run, const char *name, uint32_t pool,
                                 unsigned shares, uint64_t burst, uint64_t sleep, unsigned wait)
{
    uint32_t id = 1000 + run->worlds;
    struct run_world *w = &run->world[run->worlds++];
    struct record_world_name n = {.id = id, .pool = pool};
    bool vcpu = pool != SCHED_ROOT_ID && name[0] == 'v';

    w->mean_burst = burst;
    w->mean_sleep = sleep;
    w->burst = sleep ? burst : RUN_NEVER;
    w->wake_at = RUN_NEVER;
    w->wait = wait;
    run_input(run, 0, SCHED_OP_WORLD_ADD, vcpu ? SCHED_WORLD_VCPU : 0, id, pool, shares,
              &w->entity);
    strncpy(n.name.text, name, 16);
    ctf_stream_put(&run->fx->sys, run->now, RECORD_world_name, &n, sizeof(n));
    run_input(run, 0, SCHED_OP_WAKE, WAKE_REASON_NEW, id, 0, 0, NULL);
    return id;
}

static inline uint64_t run_about(struct run *run, uint64_t mean)
{
    return mean / 2 + rng_below(&run->rng, mean + 1);
}

static inline void run_block(struct run *run, unsigned cpu)
{
    struct run_world *w = run_world_of(run->at[cpu].current);

    w->wake_at = run->now + run_about(run, w->mean_sleep);
    run_input(run, cpu, SCHED_OP_BLOCK, w->wait, w->entity.node.id, 0, 0, NULL);
    w->burst = run_about(run, w->mean_burst);
}

/* Until `end`. */
static inline void run_until(struct run *run, uint64_t end)
{
    for (;;) {
        uint64_t next = RUN_NEVER;
        unsigned cpu = 0, sleeper = RUN_WORLDS_MAX;
        enum {
            KICK,
            DEADLINE,
            BURST
        } what = KICK;

        for (unsigned i = 0; i < run->cpus; i++) {
            struct sched_entity *e = run->at[i].current;
            uint64_t burst = e->idle || run_world_of(e)->burst == RUN_NEVER
                                 ? RUN_NEVER
                                 : run->at[i].since + run_world_of(e)->burst;

            if (burst < next)
                next = burst, cpu = i, what = BURST;
            if (run->at[i].deadline < next)
                next = run->at[i].deadline, cpu = i, what = DEADLINE;
            if (run->at[i].kick_at < next)
                next = run->at[i].kick_at, cpu = i, what = KICK;
        }
        for (unsigned i = 0; i < run->worlds; i++) {
            if (run->world[i].wake_at < next)
                next = run->world[i].wake_at, sleeper = i;
        }
        if (next > end || next == RUN_NEVER)
            break;
        run->now = MAX(run->now + 1, next);
        if (sleeper < RUN_WORLDS_MAX) {
            run->world[sleeper].wake_at = RUN_NEVER;
            run_input(run, (unsigned)rng_below(&run->rng, run->cpus), SCHED_OP_WAKE,
                      WAKE_REASON_TIMER, run->world[sleeper].entity.node.id, 0, 0, NULL);
        } else if (what == KICK) {
            run_input(run, cpu, SCHED_OP_RESCHED, 0, 0, 0, 0, NULL);
        } else if (what == DEADLINE) {
            run_input(run, cpu, SCHED_OP_TIMER, 0, 0, 0, 0, NULL);
        } else {
            run_block(run, cpu);
        }
    }
    run->now = MAX(run->now, end);
}

static inline void run_end(struct run *run)
{
    FX_PUT(&run->fx->sys, run->now, lab_todo, .id = 0);
    for (unsigned i = 0; i < run->pools; i++)
        free(run->pool[i]);
    free(run->machine);
}

/*
 * Two VMs of two vCPUs, a pool with a limit, hogs of 1:2:4, sleepers: on `cpus`, for `length`.
 */
static inline void run_mixed(struct run *run, struct fx *fx, unsigned cpus, uint64_t seed,
                             uint64_t length)
{
    uint32_t a, b, batch;

    run_begin(run, fx, cpus, seed);
    a = run_pool(run, "web", true, SCHED_ROOT_ID, 2000);
    b = run_pool(run, "db", true, SCHED_ROOT_ID, 4000);
    batch = run_pool(run, "batch", false, SCHED_ROOT_ID, 1000);
    run_input(run, 0, SCHED_OP_SET_MAX, 0, batch, 600, 0, NULL);
    run_world(run, "vcpu-0", a, 0, 20000000, 3000000, SCHED_STATE_WAIT_IDLE);
    run_world(run, "vcpu-1", a, 0, 5000000, 30000000, SCHED_STATE_WAIT_IDLE);
    run_world(run, "vcpu-0", b, 0, 30000000, 2000000, SCHED_STATE_WAIT_IO);
    run_world(run, "vcpu-1", b, 0, 0, 0, 0);
    run_world(run, "hog-1", batch, 1000, 0, 0, 0);
    run_world(run, "hog-2", batch, 2000, 0, 0, 0);
    run_world(run, "sleeper", SCHED_ROOT_ID, 1000, 300000, 4000000, SCHED_STATE_WAIT);
    run_world(run, "hog-4", SCHED_ROOT_ID, 2000, 0, 0, 0);
    run_until(run, length);
    run_end(run);
}
