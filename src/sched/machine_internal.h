// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/machine_internal.h -- what the files of the state machine share.
 *
 *   times.c      the times of an entity, exact
 *   machine.c    inputs, setting up
 *   switch.c     states, queues, who pays, the switch, kicks
 *   tree.c       pools: where nodes hang, who is active
 *   admit.c      admission control of reservations
 *   limit.c      limits: buckets of CPU time
 *   reserve.c    reservations: whose next nanosecond is due
 *   place.c      which CPU: topology, wake-ups, pulling, balancing
 *   cosched.c    the vCPUs of a VM together
 *   policy_*.c   who runs next on a CPU
 *
 * Everything here is called inside sched_step() and sees `m->now`.
 */
#pragma once

#include "core/assert.h"
#include "sched/machine.h"

#define VTIME_BITS      20u  // virtual time is service << VTIME_BITS / shares
#define SCHED_DEPTH_MAX 16u  // of the tree of pools

/*
 * How a policy is asked. An entity is `queued` between enqueue() and dequeue(), on the queue of
 * its `cpu`; the current one of a CPU is not queued. The tree, limits, placement and
 * co-scheduling are the machine's and hold for every policy.
 */
struct sched_policy {
    const char *name;
    void (*enqueue)(struct sched_machine *m, struct sched_entity *e);
    void (*dequeue)(struct sched_machine *m, struct sched_entity *e);
    /* Who of those queued on that CPU should run first; it stays queued. Null: nobody. */
    struct sched_entity *(*first)(struct sched_machine *m, uint32_t cpu);
    /* It ran for so long. */
    void (*charge)(struct sched_machine *m, struct sched_entity *e, plat_ns used);
    /* It wants the CPU again after waiting; may be null. */
    void (*wake)(struct sched_machine *m, struct sched_entity *e);
    /* Should `a` run rather than `b`, by more than `slack` ns of its own time? */
    bool (*before)(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b,
                   plat_ns slack);
    /* Should `a`, who has just woken up, run at once instead of the running `b`? */
    bool (*preempts)(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b);
    /*
     * What makes CPUs fair to each other: of those queued there, who lacks most of its part,
     * and does `a` lack more than `b` by `slack`? What goes before all parts (a reservation)
     * does not count: it is kept on each CPU by itself. Null: first() and before().
     */
    struct sched_entity *(*neediest)(struct sched_machine *m, uint32_t cpu);
    bool (*needier)(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b,
                    plat_ns slack);
    /* When to think again, if `e` runs on that CPU from now on. */
    plat_ns (*slice)(struct sched_machine *m, uint32_t cpu, struct sched_entity *e);
};
extern const struct sched_policy sched_policy_share, sched_policy_credit2, sched_policy_rr,
    sched_policy_edf;

static inline plat_ns tune(const struct sched_machine *m, enum sched_tunable t)
{
    return m->tunable[t];
}

/* Is point `a` of a circle behind point `b`? */
static inline bool earlier(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* What `ns` of service are in a node's virtual time. */
static inline uint64_t vtime_of(const struct sched_node *n, plat_ns ns)
{
    return (MIN(ns, 1ull << 42) << VTIME_BITS) / n->shares;
}

static inline struct sched_entity *entity_of(struct sched_node *n)
{
    return container_of(n, struct sched_entity, node);
}

static inline struct sched_pool *pool_of(struct sched_node *n)
{
    return container_of(n, struct sched_pool, node);
}

static inline struct sched_link *link_of(struct prioq_node *n)
{
    return container_of(n, struct sched_link, node);
}

static inline bool link_is_queued(const struct sched_link *l)
{
    return l->node.rank != 0;
}

static inline void link_insert(struct prioq *q, struct sched_link *l, struct sched_node *owner,
                               uint64_t key)
{
    l->owner = owner;
    prioq_insert(q, &l->node, key);
}

/*
 * It will probably be the next one: of thousands of worlds most are in no cache, and each group
 * of its fields would be waited for in turn.
 */
static inline void machine_expect(const struct sched_entity *e)
{
    __builtin_prefetch(e->queue_link.node.left);
    __builtin_prefetch(e->queue_link.node.right);
    __builtin_prefetch(&e->state, 1);
    __builtin_prefetch(&e->grant_at, 1);
    __builtin_prefetch(&e->times, 1);
}

/* Does a state accrue neither run nor wait: it wants to make progress and does not? */
static inline bool state_is_stalled(uint32_t state)
{
    return state == SCHED_STATE_READY || state == SCHED_STATE_MLMTD ||
           state == SCHED_STATE_COSTOP || state == SCHED_STATE_WAIT_IO ||
           state == SCHED_STATE_WAIT_SWAP;
}

/* On its pool's list of those that would run if they could. */
static inline bool state_is_runnable(uint32_t state)
{
    return state == SCHED_STATE_READY || state == SCHED_STATE_MLMTD ||
           state == SCHED_STATE_COSTOP;
}

/* For each pool above a node, the root last: for_each_above (p, n) */
#define for_each_above(p, n) for (struct sched_pool *p = (n)->parent; p; p = (p)->node.parent)

/* ---- switch.c ---- */
void machine_tell(struct sched_machine *m, const struct sched_event *event);
/* Books the time since the last move. */
void machine_book(struct sched_entity *e, plat_ns now);
/* The same, and gives it that state. */
void machine_state(struct sched_machine *m, struct sched_entity *e, uint32_t state);
/* The same, and tells the observer. */
void machine_state_tell(struct sched_machine *m, struct sched_entity *e, uint32_t state,
                        uint32_t sub);
/* READY and on the queue of e->cpu; off it. */
void machine_enqueue(struct sched_machine *m, struct sched_entity *e);
void machine_dequeue(struct sched_machine *m, struct sched_entity *e);
/* The current entity of a CPU has run until now: it pays. */
void machine_charge(struct sched_machine *m, uint32_t cpu);
/* Everything about the current entity of the input's CPU is exact after this. */
void machine_settle(struct sched_machine *m, uint32_t cpu);
/* A switching input, after the current entity was charged and given the state it asked for. */
void machine_reschedule(struct sched_machine *m, uint32_t cpu, bool yields);
/* The next time this CPU has to think, given who runs. */
plat_ns machine_deadline(struct sched_machine *m, uint32_t cpu);
/* It runs on that CPU from now on, or no more: in every pool above. */
void machine_running(struct sched_entity *e, uint32_t cpu, bool runs);
/* That CPU must make a RESCHED input. */
void machine_kick(struct sched_machine *m, uint32_t cpu);
/* An active entity that is on no queue goes to a CPU's queue, or waits for its limit. */
void machine_make_ready(struct sched_machine *m, struct sched_entity *e, uint32_t reason);

/* ---- tree.c ---- */
vmk_status tree_pool_add(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_pool_remove(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_world_add(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_world_remove(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_set_shares(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_set_min(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_set_max(struct sched_machine *m, const struct sched_input *in);
vmk_status tree_set_pool(struct sched_machine *m, const struct sched_input *in);
void tree_root_init(struct sched_machine *m);
/* May an entity with that reservation be bound to those CPUs? */
bool tree_pin_fits(const struct sched_machine *m, const struct sched_entity *e,
                   uint64_t affinity, uint32_t min_mhz);
void tree_pin(struct sched_machine *m, const struct sched_entity *e, uint64_t affinity,
              uint32_t min_mhz);
/* Gives back what an ended entity had reserved. */
void tree_release(struct sched_machine *m, struct sched_entity *e);
/* It starts, ends to compete: in the virtual time of every pool above. */
void tree_activate(struct sched_machine *m, struct sched_entity *e);
void tree_deactivate(struct sched_machine *m, struct sched_entity *e);
/* It is put on, taken off the queue of its CPU: counts above. */
void tree_waiting(struct sched_machine *m, struct sched_entity *e, bool waits);
/* Service in the virtual time of every pool above. */
void tree_charge(struct sched_machine *m, struct sched_entity *e, plat_ns used);
/* Calls visit() for every entity at or below a node. */
void tree_walk(struct sched_machine *m, struct sched_node *n,
               void (*visit)(struct sched_machine *, struct sched_entity *));
/* What was computed from tunables. */
void tree_retune(struct sched_machine *m);
/* What part of a CPU it is due now, in 1/65536. */
uint32_t tree_load(const struct sched_machine *m, const struct sched_entity *e);
/* policy_share.c: a node's virtual time moved back, or its shares changed: keys are wrong. */
void share_rekey(struct sched_machine *m, struct sched_node *n);

/* Its part of what the root has, by shares down the tree: 2^32 is all of it. At least 1. */
uint64_t tree_part(const struct sched_entity *e);
/* What is reserved for it by itself or by pools above, in 1/65536 of a CPU. */
uint64_t tree_least(const struct sched_machine *m, const struct sched_entity *e);
/* a * b / c for c > 0; the error is below 1 in 2^20 of the result. */
uint64_t tree_scale(uint64_t a, uint64_t b, uint64_t c);

/* ---- admit.c ---- */
/*
 * What a node takes from its parent, with that minimum and so much promised to children; as it
 * is.
 */
uint32_t admit_taken(const struct sched_node *n, uint32_t min, uint32_t reserved);
uint32_t admit_taken_now(const struct sched_node *n);
/* A child of p takes `now` MHz instead of `before`: applied if it may. */
bool admit_change(struct sched_machine *m, struct sched_pool *p, uint32_t before, uint32_t now);
/* Notes who lacked what, for sched_admission_text(); false. */
bool admit_refuse(struct sched_machine *m, const struct sched_pool *p, uint64_t wanted,
                  uint64_t had);

/* ---- reserve.c ---- */
/* A node, an entity and all pools above it, has used so much of what is reserved. */
void reserve_charge(const struct sched_machine *m, struct sched_node *n, plat_ns used);
void reserve_charge_all(const struct sched_machine *m, struct sched_entity *e, plat_ns used);
/* Is a reservation at or above it due at `when`? */
bool reserve_is_due(const struct sched_node *n, plat_ns when);
/*
 * For flat policies: on, off the CPU's queue of reserved entities; the first of it and when it
 * is due.
 */
void reserve_enqueue(struct sched_machine *m, struct sched_entity *e);
void reserve_dequeue(struct sched_machine *m, struct sched_entity *e);
struct sched_entity *reserve_first(struct sched_machine *m, uint32_t cpu, plat_ns *due);

/* ---- limit.c ---- */
bool limit_holds(const struct sched_entity *e);
/* Takes budget for a run of up to `ns` from all limits above; returns how much. */
plat_ns limit_grant(struct sched_machine *m, struct sched_entity *e, plat_ns ns);
/* It ran for `used` of the budget granted. */
void limit_settle(struct sched_machine *m, struct sched_entity *e, plat_ns used);
/* It leaves the CPU: what is left of its budget goes back. */
void limit_release(struct sched_machine *m, struct sched_entity *e);
/* Lifts the limits that CPU watches whose time has come. */
void limit_timers(struct sched_machine *m, uint32_t cpu);
plat_ns limit_next(const struct sched_machine *m, uint32_t cpu);
/* The limit of a node changed, or it moved. */
void limit_reset(struct sched_machine *m, struct sched_node *n);

/* ---- place.c ---- */
void place_topology(struct sched_machine *m);
uint32_t place_wake(struct sched_machine *m, struct sched_entity *e);
/* Moves a queued entity, or one on no queue, to a CPU. */
void place_move(struct sched_machine *m, struct sched_entity *e, uint32_t cpu, uint32_t kind);
/* A CPU without work takes some from another; null if there is none. It is queued here then. */
struct sched_entity *place_pull_idle(struct sched_machine *m, uint32_t cpu);
/* Now and then: takes somebody who is due more than the best of this CPU. */
void place_pull_fair(struct sched_machine *m, uint32_t cpu, struct sched_entity *current);
/* Somebody waits here while a CPU idles: wake it up. */
void place_spread(struct sched_machine *m, uint32_t cpu);
void place_numa(struct sched_machine *m);
/* A CPU found nothing to do: who runs on another node and is at home here may come. */
void place_invite(struct sched_machine *m, uint32_t cpu);
/* Where the current entity of a CPU goes if it was invited home: SCHED_NO_CPU: it was not. */
uint32_t place_homeward(struct sched_machine *m, uint32_t cpu);

/* ---- cosched.c ---- */
/* Is it one of several vCPUs that are scheduled together? */
bool cosched_applies(const struct sched_machine *m, const struct sched_entity *e);
void cosched_wake(struct sched_machine *m, struct sched_entity *e);
/* True if the current entity, charged, leads too far; it is then in state COSTOP. */
bool cosched_stop(struct sched_machine *m, uint32_t cpu);
/* Lets go whoever of a VM's stopped vCPUs may. */
void cosched_start(struct sched_machine *m, struct sched_pool *vm);
/* It waits for a CPU while siblings run: they should look at their lead soon. */
void cosched_stalled(struct sched_machine *m, struct sched_entity *e);
/*
 * It has just woken up and is to run on that CPU at once: if it does not after all, siblings
 * have to know. The CPU has decided.
 */
void cosched_woken(struct sched_machine *m, uint32_t cpu, struct sched_entity *e);
void cosched_decided(struct sched_machine *m, uint32_t cpu);
/* When to look at the current entity's lead. */
plat_ns cosched_next(const struct sched_machine *m, const struct sched_entity *e);
/* An entity begins a slice that would end at `end`. Of a VM, all vCPUs' slices end together and
 * ready siblings are called for. Returns when it ends. */
plat_ns cosched_turn(struct sched_machine *m, uint32_t cpu, struct sched_entity *e,
                     plat_ns end);
