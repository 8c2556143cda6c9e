// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/sched_internal.h -- what world/ and sched/ share.
 */
#pragma once

#include "core/host.h"
#include "core/spinlock.h"
#include "sched/sched.h"
#include "world/world.h"

#define SERVICE_OWED_MAX 4u

/* System work that the machine was not told of yet. */
struct sched_service {
    plat_ns since;   // what came after this is for nobody yet
    uint32_t whose;  // for whom the last of it was; 0: nobody
    bool inside;     // an interrupt
    uint32_t count;
    struct service_owed {
        uint32_t id;
        plat_ns ns;
    } owed[SERVICE_OWED_MAX];
};

/* What the kernel keeps of each CPU beside the machine. */
struct sched_local {
    struct world *current;         // lock to change; own CPU may read with irqs off
    struct world *idle;            // (i)
    struct sched_entity *next;     // lock: between sched_current_stop() and sched_switch_away()
    plat_ns armed;                 // own CPU, irqs off: the deadline the timer knows
    struct sched_service service;  // own CPU, irqs off
} aligned_to(64);

struct sched_state {
    struct sched_flags flags[PLAT_CPUS_MAX];  // first: sched_need_switch() relies on it
    struct spinlock lock;                     // rank RUNQ; guards all below
    uint32_t sequence;                        // inputs so far
    struct sched_local local[PLAT_CPUS_MAX];
    struct sched_machine machine;
};
_Static_assert(offsetof(struct sched_state, flags) == 0, "sched_need_switch() looks there");

/* This CPU's. Irqs off. */
static inline struct sched_local *sched_own(void)
{
    return &this_host()->sched->local[plat_cpu_self()];
}

/* One input of this CPU, and all of its decision but the switch. Lock held. */
struct sched_decision sched_tell_locked(struct sched_state *sched, struct sched_input in);
/* The same by itself, for inputs that switch nothing. Takes the lock. Any context. */
vmk_status sched_tell(struct sched_input in);
/*
 * Takes the scheduler's lock; the current world leaves its CPU in that state (a WAIT, or
 * ZOMBIE).
 * Irqs off; sched_switch_away() has to follow.
 */
void sched_current_stop(enum sched_world_state state);
/* The first thing after a context switch: drops the lock that came along. */
void sched_arrived(void);
/* Makes `idle` this CPU's idle and current world. Irqs off. */
void sched_cpu_online(struct world *idle);
/* One round of the idle loop. Irqs off. [switch] */
void sched_idle_once(void);
/* All this CPU owes becomes inputs. Takes the lock. Irqs off. */
void sched_service_tell(void);
/*
 * In an interrupt: what was done since the last call, or since it began, was for that world.
 * Nothing outside of interrupts. Irqs off.
 */
void sched_service_for(uint32_t world, plat_ns now);
/* A world's place in the machine: its first, with what it may use; its last. */
must_check vmk_status sched_world_add(struct world *w, const struct sched_params *params,
                                      uint64_t affinity, bool vcpu);
void sched_world_remove(struct world *w);
/* Has it made its last switch? */
bool sched_world_is_gone(const struct world *w);
/* Exact times up to now. */
void sched_world_times(const struct world *w, struct sched_times *out);
/* Its name; "host" of the root. Lock held. */
const char *sched_pool_name(const struct sched_machine *m, const struct sched_pool *p);
