// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/sched.h -- the scheduler's mechanism: run queues, switches, accounting; no policy.
 *
 * A policy is one file behind struct sched_policy; its decisions are pure functions of queue state
 * and the time passed in, so a recorded run can be replayed.
 */
#pragma once

#include "core/status.h"
#include "lib/prioq.h"
#include "plat/plat_types.h"

struct world;

#define SCHED_SHARES_DEFAULT 1000u
#define SCHED_QUANTUM_NS     10000000ull  // 10 ms

struct sched_params {
    uint32_t shares;  // 0 means SCHED_SHARES_DEFAULT
};

/* What a policy keeps in each world. */
struct sched_entity {
    uint32_t shares;
    uint64_t virtual_time;   // proportional share: consumed / shares, scaled
    struct prioq_node node;  // on a run queue
};

/* A CPU's ready worlds; the body is in sched/runq.h. */
struct run_queue;

struct sched_policy {
    const char *name;
    void (*init)(struct run_queue *queue);
    /* A world becomes ready here (new, woken or preempted). */
    void (*ready)(struct run_queue *queue, struct world *w, plat_ns now, bool woken);
    /* Takes the next world off the queue, or null. */
    struct world *(*pick)(struct run_queue *queue, plat_ns now);
    /* The running world used `used` ns. */
    void (*charge)(struct run_queue *queue, struct world *w, plat_ns used);
    /* It leaves this queue for good (exit, migration). */
    void (*leave)(struct run_queue *queue, struct world *w);
    /* Should `w`, just readied, replace `running` at once? */
    bool (*preempts)(struct run_queue *queue, const struct world *w,
                     const struct world *running);
};
extern const struct sched_policy sched_policy_share;
extern const struct sched_policy sched_policy_rr;

/* CPU 0, after mem_init(). `policy` by name from the command line; unknown: the default, warned. */
void sched_init(void);
/* Makes a world ready: picks a CPU by affinity and load, queues it, kicks. Any context. */
void sched_ready(struct world *w);
/* The current world blocks or ends: its state is set already, irqs off, RUNQ lock of this CPU held
 * by the caller and released by whoever arrives. [switch] */
void sched_switch_away(void);
/* End of an interrupt: switches if the quantum is over or somebody better is ready. Irqs off. */
void sched_irq_exit(void);
/* Is a switch wanted on this CPU? The VMM asks before entering a guest. Irqs off. */
bool sched_need_switch(void);
