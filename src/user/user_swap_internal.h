// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_swap_internal.h -- the swapping of user worlds, between its world and who sets its place.
 */
#pragma once

#include "user/user_internal.h"
#include "user/user_swap.h"
#include "vmm/swap_place.h"
#include "vmm/swap_store.h"

#define LOAD(x)     __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, y) __atomic_store_n(&(x), (y), __ATOMIC_SEQ_CST)

struct user_swap {
    struct mutex config;
    struct wait_queue work;     // the world waits here
    bool asked;                 // (a) for a page
    bool hungry;                // (a) somebody waits for memory
    bool kicked;                // (a) free memory is below the mark
    bool stop;                  // (a)
    struct wait_queue waiters;  // everybody else
    struct list wanted;         // waiters.lock

    world_id world;               // config; raw 0: none
    uint64_t floor_alone;         // (i) of a host without a memory scheduler, with slack
    bool moving;                  // (a) the world changes `place` to `next`
    char next[USER_SWAP_PLACE];   // config
    vmk_status moved;             // config
    char place[USER_SWAP_PLACE];  // slots_lock; empty: none
    bool usable;                  // (a) it may help who waits
    // The world's own.
    plat_ns idle_until;
    bool active;  // takes pages until there is more room than it began for
    unsigned fruitless, errors_in_row;
    uint32_t pid;  // the hand
    uint64_t va;
    void *bounce, *incoming;

    struct spinlock slots_lock;
    struct swap_store store;      // slots: slots_lock
    struct block_device *device;  // the world's

    uint16_t *refs;                                    // slots_lock
    uint64_t out, in, stayed, errors, waits, wait_ns;  // slots_lock
};

static inline struct user_swap *user_swap_state(void)
{
    return user_state()->swap;
}

/* Sets a flag that its world looks at, and wakes it. Any context. */
void user_swap_tell(struct user_swap *s, bool *flag);
/* Makes the world unless it is there. config held. */
must_check vmk_status user_swap_start(struct user_swap *s);
/* From now on address spaces ask this for pages that are out. */
void user_swap_pager_set(void);
