// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/sched.h -- the kernel around the scheduler's state machine.
 *
 * What is decided and why is sched/machine.h's; this is how it comes about on a CPU. Pools and
 * VMs are named by ids, as worlds are, out of the same numbers.
 */
#pragma once

#include "core/host.h"
#include "core/status.h"
#include "plat/plat.h"
#include "sched/esxtop.h"
#include "sched/machine.h"

struct world;

/*
 * What a world or pool may use of the CPUs. All 0: normal shares, nothing reserved, no limit.
 */
struct sched_params {
    uint32_t shares;   // 0: SCHED_SHARES_DEFAULT, for a VM times its vCPUs
    uint32_t min_mhz;  // reservation
    uint32_t max_mhz;  // limit; 0 or SCHED_UNLIMITED: none
    uint32_t pool;     // id of the pool or VM it hangs in; 0: the root
};

/* The first bytes of struct sched_state, for the inline below. */
struct sched_flags {
    bool need_switch;  // (a) set by anybody, cleared by the own CPU
    bool timer_due;    // own CPU, irqs off: the scheduler's deadline is over
} aligned_to(64);

/* CPU 0, after mem_init(). Options: sched=POLICY, sched.TUNABLE=VALUE. */
void sched_init(void);
/* Makes a new or blocked world ready: picks a CPU, queues it, kicks. Any context. */
void sched_ready(struct world *w, enum wake_reason reason);
/* The current world blocks or ends: sched_current_stop() came before, irqs off, the scheduler's
 * lock held by the caller and released by whoever arrives. [switch] */
void sched_switch_away(void);
/* Around the work of every interrupt: its time is charged to whom it was for. Irqs off. */
void sched_irq_enter(void);
void sched_irq_leave(void);
/*
 * Inside an interrupt: it is for that world, which is not woken up, for it runs. Any context.
 */
void sched_irq_for(uint32_t world);
/* End of an interrupt: switches if the machine is to think again. Irqs off. */
void sched_irq_exit(void);
/* Is a switch wanted on this CPU? The VMM asks before entering a guest. Irqs off. */
static inline bool sched_need_switch(void)
{
    const struct sched_flags *flags =
        (const struct sched_flags *)(const void *)this_host()->sched;

    return __atomic_load_n(&flags[plat_cpu_self()].need_switch, __ATOMIC_RELAXED);
}

/* A pool, or with SCHED_POOL_VM the group of a VM's vCPUs. NO_MEMORY; LIMIT: its reservation
 * cannot be had (sched_refusal() says why); NOT_FOUND: no such parent. Any context. */
must_check vmk_status sched_pool_create(const char *name, uint32_t flags,
                                        const struct sched_params *params, uint32_t *id);
/* BUSY while something hangs in it. */
must_check vmk_status sched_pool_destroy(uint32_t id);

/* Changes take effect at once. `id` is a world's, a pool's or a VM's. Any context. */
must_check vmk_status sched_set_shares(uint32_t id, uint32_t shares);
must_check vmk_status sched_set_min(uint32_t id, uint32_t mhz);
must_check vmk_status sched_set_max(uint32_t id, uint32_t mhz);
must_check vmk_status sched_set_pool(uint32_t id, uint32_t pool);
must_check vmk_status sched_set_affinity(uint32_t world, uint64_t mask);
/* sched=POLICY and sched.TUNABLE=VALUE at run time. */
must_check vmk_status sched_set_policy(enum sched_policy_id policy);
must_check vmk_status sched_set_tunable(enum sched_tunable t, uint64_t value);
enum sched_policy_id sched_policy_now(void);
uint64_t sched_get_tunable(enum sched_tunable t);
/* Why the last LIMIT was: who lacks how much. Returns the length. */
size_t sched_refusal(char *out, size_t room);

/*
 * The current world (not an interrupt) has worked so long of its run for another world, or for
 * nobody (0): a completion, a scan, whatever a request left behind. Any context.
 */
void sched_system_time(uint32_t world, plat_ns ns);
/* How long the current world has run so far. World context. */
plat_ns sched_run_time(void);

/* What esxtop shows of a node. */
struct sched_usage {
    struct sched_times times;  // of a pool: the sum of all worlds below
    uint32_t worlds;           // NWLD
    uint32_t shares, min_mhz, max_mhz;
    uint32_t parent, cpu, state;
    uint64_t affinity;
    plat_ns skew;
};
must_check vmk_status sched_usage_get(uint32_t id, struct sched_usage *out);

/* Of the whole host. */
struct sched_host_usage {
    uint32_t cpus, worlds, pools;
    uint64_t capacity_mhz, reserved_mhz;
    plat_ns used[PLAT_CPUS_MAX];  // time each CPU was not idle
    struct sched_counters counters;
    const char *policy;
};
void sched_host_usage_get(struct sched_host_usage *out);

/*
 * What esxtop and /proc/vmware/sched/esxtop show: a sample of every pool, VM, world and idle
 * world, all of one instant, parents before their children, the idle worlds last. Stores up to
 * `room`; returns how many there are. O(worlds) under the scheduler's lock. Any context.
 */
uint32_t sched_samples_get(struct sched_sample *out, uint32_t room);
/* A record of the name of each world, VM and pool there is: for a recorder that begins late. */
must_check vmk_status sched_names_record(void);
/* Of one of them: a world's, pool's, VM's or idle world's id. NOT_FOUND. */
must_check vmk_status sched_sample_get(uint32_t id, struct sched_sample *out);
