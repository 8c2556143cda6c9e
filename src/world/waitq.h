// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/waitq.h -- worlds that wait for something, first in first out, with a time-out.
 *
 * No wake-up is lost: the caller tests its condition under the queue's lock and
 * wait_queue_block() drops that lock only after the world is queued and marked.
 */
#pragma once

#include "core/spinlock.h"
#include "core/status.h"
#include "lib/list.h"
#include "plat/plat_types.h"

struct world;

struct wait_queue {
    struct spinlock lock;  // rank WAITQ
    struct list waiters;   // (w) struct world.wait_link
};

/* What ends a wait besides a wake-up and the deadline. */
enum wait_kind {
    WAIT_KILLABLE,  // world_kill()
    WAIT_SIGNALS,   // world_kill() and world_interrupt()
    WAIT_FIRM,      // nothing: for locks, whose holder is sure to let go
};

/* `name` is kept, not copied. */
void wait_queue_init(struct wait_queue *queue, const char *name);

/*
 * Blocks the current world. Called with queue->lock held (spin_lock_irqs_off) and irqs off;
 * returns with the lock NOT held and irqs still off. OK when woken, TIMEOUT at `deadline`
 * (PLAT_NS_NEVER: none), KILLED when the world was told to end. Spurious wakes happen: test
 * again. [switch]
 */
must_check vmk_status wait_queue_block(struct wait_queue *queue, plat_ns deadline);
/*
 * The same; WAIT_SIGNALS may also return INTERRUPTED, WAIT_FIRM never returns KILLED. [switch]
 */
must_check vmk_status wait_queue_block_as(struct wait_queue *queue, plat_ns deadline,
                                          enum wait_kind kind);
must_check vmk_status wait_queue_block_interruptible(struct wait_queue *queue,
                                                     plat_ns deadline);  // WAIT_SIGNALS

/* Makes up to `count` waiters ready; returns how many. Takes the lock itself. Any context. */
unsigned wait_queue_wake(struct wait_queue *queue, unsigned count);
#define WAIT_QUEUE_ALL 0xffffffffu

/*
 * Readies the first waiter and says which: for locks that are handed over. Null if nobody
 * waits.
 * Called with the queue's lock held; it stays held.
 */
struct world *wait_queue_hand_over(struct wait_queue *queue);
