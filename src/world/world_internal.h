// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/world_internal.h -- what the files of world/ share.
 */
#pragma once

#include "core/host.h"
#include "world/world.h"

#define WORLD_STACK_ORDER 2u     // 16 KB
#define WORLD_ID_FIRST    1024u  // below: the idle worlds, cpu + 1

struct world_state {
    struct spinlock lock;              // rank WORLD
    struct list all;                   // lock
    uint32_t next_id;                  // lock
    uint32_t count;                    // lock
    struct world idle[PLAT_CPUS_MAX];  // (i) after the CPU is up
};

/* Marks it killed and ends its wait, if it waits. World table lock held, irqs off. waitq.c */
void world_wake_for_kill(struct world *w);

static inline bool world_is_killed(const struct world *w)
{
    return __atomic_load_n(&w->kill_pending, __ATOMIC_SEQ_CST);
}

/* The next id; worlds, pools and VMs share the numbers. */
uint32_t world_id_take(void);

/* switch.c: where a new world begins. */
void world_begin(void *world);
