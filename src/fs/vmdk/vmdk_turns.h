// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_turns.h -- who is next on a datastore: its throughput among virtual disks, by shares.
 *
 * A file system serves one request at a time, so shares must decide before it is called: each
 * open disk's worker takes a turn for each request. While several have requests waiting, each
 * disk gets its part of the datastore; alone, it has all of it.
 */
#pragma once

#include "world/waitq.h"

struct vmdk_turns;

/* One disk's side of it. The worker's, but for what vmdk_turns.c says. */
struct vmdk_turn {
    struct vmdk_turns *of;
    uint32_t shares;
    uint64_t start, finish;  // tags of its last request
    struct list link;
    struct wait_queue wait;
    enum {
        TURN_NONE,
        TURN_WAITS,
        TURN_HAS,
    } state;
};

/* Called by fs_init(). */
void vmdk_turns_init(void);
/*
 * `volume` is what disks of one file system have in common; 1..IOSHARES_MAX shares. NO_MEMORY.
 */
must_check vmk_status vmdk_turn_join(struct vmdk_turn *turn, const void *volume,
                                     uint32_t shares);
/* It has no turn and waits for none. */
void vmdk_turn_leave(struct vmdk_turn *turn);
/* Waits until it is this disk's turn, for a request of that cost (io/ioshares.h). [switch] */
void vmdk_turn_take(struct vmdk_turn *turn, uint64_t cost);
/*
 * The turn is over. next_cost: of the request that the disk has waiting already, 0 if it has
 * none; with one it stands in the queue at once, and vmdk_turn_take() must follow.
 */
void vmdk_turn_give(struct vmdk_turn *turn, uint64_t next_cost);
