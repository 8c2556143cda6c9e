// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/spinlock.h -- ranked ticket locks, taken with interrupts off.
 *
 * Each CPU keeps a short stack of the locks it holds; taking one whose rank is not above the
 * last one panics at once, not on the day two CPUs meet.
 */
#pragma once

#include "lib/types.h"

enum lock_rank {
#define LOCK_RANK(name, rank, what) LOCK_RANK_##name = (rank),
#include "core/lock_rank.def"
};

struct spinlock {
    uint32_t next;     // (a) ticket to hand out
    uint32_t serving;  // (a) ticket that holds the lock
    uint32_t holder;   // (a) CPU + 1, or 0: for asserts and gdb
    enum lock_rank rank;
    const char *name;
};

/* `name` is kept, not copied: it is for panics and gdb. */
void spin_init(struct spinlock *lock, const char *name, enum lock_rank rank);

/* Turns interrupts off and takes the lock; returns whether they were on, for spin_unlock(). */
must_check bool spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock, bool irqs_were_on);

/* The same for callers that have interrupts off already. */
void spin_lock_irqs_off(struct spinlock *lock);
void spin_unlock_irqs_off(struct spinlock *lock);

/*
 * Takes the lock if it is free this moment, else returns false. May take one of the rank of the
 * last held lock: it never waits, so it cannot deadlock. Irqs off.
 */
must_check bool spin_try_lock_irqs_off(struct spinlock *lock);

/* Does this CPU hold it? Irqs off. */
bool spin_held(const struct spinlock *lock);
/* How many locks this CPU holds. Irqs off. */
unsigned spin_held_count(void);
/* Prints the locks this CPU holds, for panics. */
void spin_print_held(void (*print)(const char *format, ...));
