// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/engine_internal.h -- the state of a run, shared by engine.c and
 * engine_step.c.
 */
#pragma once

#include "sim/workload/engine.h"
#include "sim/workload/evheap.h"

#define NOBODY  UINT32_MAX
#define NOMINAL (1u << 16)  // speed of a CPU, Q16

enum engine_mode {
    MODE_NEW,
    MODE_WORK,     // burns `left`, then goes on
    MODE_SPIN,     // burns time until it is let go or the budget is over
    MODE_BLOCKED,  // waits for its timer or for a release
    MODE_ENDED,
};

/* What runs often stands first. */
struct engine_world {
    _Alignas(64) struct sched_entity entity;
    const struct program_world *program;
    uint32_t pc, index;
    uint8_t mode;
    bool device;      // its timer stands for a device
    uint64_t left;    // of the burst, at nominal speed
    uint64_t budget;  // of spinning; UINT64_MAX: for ever
    uint64_t cost;    // overhead to burn first: switch, migration
    uint64_t work, spin, ops, measured, remote;
    uint64_t wake_time;  // UINT64_MAX: not waiting to run
    struct hdr *wake;    // null: never woken
    struct rng rng;
    uint64_t turn;  // for cycles
    uint64_t base;  // start time, for `every`
    uint64_t release;
    uint32_t loops[WL_NEST_MAX + 1];
    uint32_t object;      // waits or spins there
    uint32_t next, prev;  // in the object's line
    uint64_t migrations, wakes;
};

struct engine_object {
    uint32_t first, last;  // who waits, in order
    uint32_t owner;        // of a lock, or NOBODY
    uint32_t count;        // signals stored, or arrivals at a barrier
};

struct engine_cpu {
    uint32_t world;     // NOBODY: idle
    uint32_t speed;     // Q16
    uint64_t since;     // the world's progress is up to date
    uint64_t deadline;  // as last decided
    uint64_t alarm;     // when the heap has its event: no later than the deadline
    uint32_t core, llc, package, node;
};

struct engine {
    const struct program *program;
    const struct engine_options *options;
    struct engine_result *result;
    struct sched_machine *machine;
    struct memory *memory;  // or null
    struct trace_state *trace;
    struct engine_world *worlds;
    struct engine_object *objects;
    struct sched_pool **pools;
    struct evheap events;
    uint64_t now;
    uint64_t kicks;  // CPUs that owe a RESCHED
    uint64_t execs;  // CPUs whose world takes its next step
    uint32_t seq;
    unsigned cpus;
    uint32_t pool_base, world_base;    // ids
    bool uneven;                       // speeds change: SMT or remote memory
    uint32_t smt_speed, remote_speed;  // Q16
    uint32_t next_change;
    uint32_t live;  // worlds that have not ended
    bool failed;
    struct engine_cpu cpu[SCHED_CPUS_MAX];
};

/* Slots of the event heap. */
#define SLOT_RUN(e, c)   (c)
#define SLOT_TIMER(e, c) ((e)->cpus + (c))
#define SLOT_CHANGE(e)   (2 * (e)->cpus)
#define SLOT_SAMPLE(e)   (2 * (e)->cpus + 1)
#define SLOT_SKEW(e)     (2 * (e)->cpus + 2)
#define SLOT_MEMORY(e)   (2 * (e)->cpus + 3)
#define SLOT_WORLD(e, w) (2 * (e)->cpus + 4 + (w))

/* ---- engine.c ---- */
bool printf_like(2, 3) engine_fail(struct engine *e, const char *format, ...);
/* One input of the machine, recorded, with what follows from it. */
struct sched_decision engine_input(struct engine *e, const struct sched_input *input);
/* Progress of the CPU's world up to now. */
void engine_account(struct engine *e, unsigned cpu);
/* Sets the CPU's end-of-run event, or marks it for its next step. */
void engine_arm(struct engine *e, unsigned cpu);
/* A world that blocked becomes ready. `cpu` makes the input. */
void engine_wake(struct engine *e, unsigned cpu, struct engine_world *w,
                 enum wake_reason reason, uint32_t waker);
/* The CPU that a world runs on, or NOBODY. */
static inline unsigned engine_cpu_of(const struct engine *e, const struct engine_world *w)
{
    unsigned cpu = w->entity.cpu;

    return cpu < e->cpus && e->cpu[cpu].world == w->index ? cpu : NOBODY;
}

/* Zeroed; ends the program if there is no memory. */
void *engine_allocated(size_t count, size_t size);

/* ---- engine_setup.c ---- */
/* Tells the machine of host, policy, pools and worlds; false: engine_fail() was called. */
bool engine_setup(struct engine *e);
/* Makes the changes that are due. */
void engine_changes(struct engine *e);

/* ---- engine_step.c ---- */
/* The CPU's world takes steps until it needs time or leaves the CPU. */
void engine_exec(struct engine *e, unsigned cpu);
/* The budget of a spinning world is over. */
void engine_spin_over(struct engine *e, unsigned cpu);
/* A spinning world is put on a CPU: it may find its lock free. */
void engine_spin_look(struct engine *e, struct engine_world *w);
