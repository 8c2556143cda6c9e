// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/mutex.c -- a sleeping lock over a wait queue.
 *
 * Unlocking hands the mutex to the first waiter instead of leaving it free for whoever comes
 * next: a world that takes and drops a lock in a loop would otherwise starve the sleepers,
 * because it runs while they have yet to be scheduled. The price is a switch per hand-over
 * under contention.
 *
 * Invariants
 *   - holder is null only if nobody waits in the queue (asserted in mutex_unlock()).
 *   - The holder is the world that returned from mutex_lock(), or one on its way out of it.
 * Locking    mutex.queue.lock (rank WAITQ).
 */
#include "world/mutex.h"

#include "core/assert.h"
#include "world/world.h"

void mutex_init(struct mutex *mutex, const char *name)
{
    wait_queue_init(&mutex->queue, name);
    mutex->holder = NULL;
    mutex->waiting = 0;
}

void mutex_lock(struct mutex *mutex)
{
    bool irqs = spin_lock(&mutex->queue.lock);
    struct world *self = world_current();

    vmk_assert_msg(mutex->holder != self, "%s taken twice by world %u", mutex->queue.lock.name,
                   self->id.raw);
    if (!mutex->holder) {
        mutex->holder = self;
        spin_unlock(&mutex->queue.lock, irqs);
        return;
    }
    mutex->waiting++;
    while (mutex->holder != self) {
        (void)!wait_queue_block_as(&mutex->queue, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&mutex->queue.lock);
    }
    spin_unlock(&mutex->queue.lock, irqs);
}

bool mutex_try_lock(struct mutex *mutex)
{
    bool irqs = spin_lock(&mutex->queue.lock);
    bool got = !mutex->holder;

    if (got)
        mutex->holder = world_current();
    spin_unlock(&mutex->queue.lock, irqs);
    return got;
}

void mutex_unlock(struct mutex *mutex)
{
    bool irqs = spin_lock(&mutex->queue.lock);

    vmk_assert_msg(mutex->holder == world_current(), "%s unlocked by another world",
                   mutex->queue.lock.name);
    mutex->holder = wait_queue_hand_over(&mutex->queue);
    if (mutex->holder)
        mutex->waiting--;
    vmk_assert(mutex->holder || !mutex->waiting);
    spin_unlock(&mutex->queue.lock, irqs);
}

bool mutex_held(const struct mutex *mutex)
{
    return __atomic_load_n(&mutex->holder, __ATOMIC_RELAXED) == world_current();
}
