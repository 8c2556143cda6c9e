// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/runq.h -- a CPU's run queue, and what world/ and sched/ share about it.
 */
#pragma once

#include "core/host.h"
#include "core/spinlock.h"
#include "lib/prioq.h"
#include "plat/plat.h"
#include "sched/sched.h"
#include "world/world.h"

#define RUNQ_KEY_NONE UINT64_MAX  // key of an empty queue

struct run_queue {
    struct spinlock lock;   // rank RUNQ
    unsigned cpu;           // (i)
    struct prioq ready;     // lock
    struct world *current;  // lock to change; own CPU may read with irqs off
    struct world *idle;     // (i)
    bool need_switch;       // (a) set by anybody with the lock, cleared by the own CPU
    bool quantum_over;      // own CPU, irqs off
    plat_ns charged_until;  // lock; current has paid up to here
    uint64_t floor;         // lock; input of the policy: see sched_policy.ready
    uint64_t high;          // (a) largest virtual time a world here has had
    // Published for other CPUs, read without the lock and so perhaps a little old.
    uint64_t first_key;    // (a) key of the first ready world, or RUNQ_KEY_NONE
    uint64_t current_key;  // (a) virtual time of the current world, or RUNQ_KEY_NONE
} aligned_to(64);

struct sched_state {
    const struct sched_policy *policy;  // (i) after sched_init()
    uint64_t online;                    // (a) bit per CPU that has an idle world
    uint64_t idle;                      // (a) bit per CPU that waits for work
    struct run_queue queues[PLAT_CPUS_MAX];
};

void runq_init(struct run_queue *q, unsigned cpu);
/* All but runq_key() and runq_lock_of(): lock held. */
void runq_insert(struct run_queue *q, struct world *w, uint64_t key);
struct world *runq_first(const struct run_queue *q);
/* The first that may run on that CPU, or null. O(1) unless worlds are pinned, then O(n). */
struct world *runq_first_allowed(const struct run_queue *q, unsigned cpu);
void runq_remove(struct run_queue *q, struct world *w);
bool runq_is_queued(const struct world *w);
/* The key of the first ready world without the lock. Any context. */
uint64_t runq_key(const struct run_queue *q);
/* Locks the queue of the CPU that `w` belongs to. Irqs off. */
struct run_queue *runq_lock_of(struct world *w);

/* This CPU's queue. Irqs off. */
static inline struct run_queue *runq_own(void)
{
    return &this_host()->sched->queues[plat_cpu_self()];
}

/* sched.c, for world/. */
/* Moves a world to another state and books the time since the last move. Lock of its queue. */
void sched_state_set(struct world *w, enum world_phase state, plat_ns now);
/* Takes this CPU's queue lock, charges the current world and gives it that state. Irqs off. */
void sched_current_stop(enum world_phase state);
/* The first thing after a context switch: drops the lock that came along. */
void sched_arrived(void);
/* Makes `idle` this CPU's idle and current world. Irqs off. */
void sched_cpu_online(struct world *idle);
/* One round of the idle loop. Irqs off. [switch] */
void sched_idle_once(void);
