// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/runq.c -- the worlds ready to run on one CPU.
 *
 * Each CPU has its own queue so that the common switch touches no other CPU's cache line. The
 * queue knows nothing of fairness: it keeps worlds in the order of a 64-bit key that the policy
 * chose (virtual time, or time of arrival) in a leftist heap, and worlds of equal key in the order
 * they came. One global queue was turned down because its lock is taken at every block and wake of
 * every CPU; the price is that somebody must look at the other queues now and then, and for him
 * each queue publishes the key of its first world.
 *
 *       sched_ready()            policy->pick()
 *   ------------------> ready ------------------> current
 *                         |  ^                       |
 *         another CPU <---+  +-----------------------+
 *            pulls              quantum over, preempted
 *
 * Invariants
 *   - A world is on at most one run queue, and then it is WORLD_READY and its `cpu` is that
 *     queue's (asserted in runq_insert(), runq_remove()).
 *   - The running world and the idle world are on no queue.
 *   - first_key is the key of the first world whenever the lock is free (publish()).
 *   - world.cpu changes only under the lock of the queue it leaves, so runq_lock_of() has the right
 *     queue once the cpu reads the same under the lock.
 * Locking    run_queue.lock (rank RUNQ). It is held across every context switch and released by
 *            the world that arrives, so whoever has it knows that no world of this CPU is half
 *            switched. A second queue only by spin_try_lock_irqs_off().
 * Start at   runq_first(); everything else keeps its promise.
 * Sources    docs/design/scheduler.md; lib/prioq.c for the heap
 */
#include "sched/runq.h"

#include "core/assert.h"

static struct world *world_of(struct prioq_node *node)
{
    return container_of(node, struct world, sched.node);
}

static void publish(struct run_queue *q)
{
    const struct prioq_node *first = prioq_first(&q->ready);

    __atomic_store_n(&q->first_key, first ? first->key : RUNQ_KEY_NONE, __ATOMIC_RELAXED);
}

void runq_init(struct run_queue *q, unsigned cpu)
{
    *q = (struct run_queue){.cpu = cpu, .current_key = RUNQ_KEY_NONE};
    spin_init(&q->lock, "runq", LOCK_RANK_RUNQ);
    prioq_init(&q->ready);
    publish(q);
}

void runq_insert(struct run_queue *q, struct world *w, uint64_t key)
{
    vmk_assert(!runq_is_queued(w) && w->state == WORLD_READY && w->cpu == q->cpu);
    prioq_insert(&q->ready, &w->sched.node, key);
    publish(q);
}

struct world *runq_first(const struct run_queue *q)
{
    struct prioq_node *first = prioq_first(&q->ready);

    return first ? world_of(first) : NULL;
}

/* The best of a subtree that may run on `cpu`. A child is never better than its parent. */
static struct prioq_node *first_allowed(struct prioq_node *node, unsigned cpu)
{
    if (!node || (world_of(node)->affinity & BIT(cpu)))
        return node;

    struct prioq_node *left = first_allowed(node->left, cpu);
    struct prioq_node *right = first_allowed(node->right, cpu);

    if (!left || !right)
        return left ? left : right;
    return left->key <= right->key ? left : right;
}

struct world *runq_first_allowed(const struct run_queue *q, unsigned cpu)
{
    struct prioq_node *node = first_allowed(q->ready.root, cpu);

    return node ? world_of(node) : NULL;
}

void runq_remove(struct run_queue *q, struct world *w)
{
    vmk_assert(runq_is_queued(w) && w->state == WORLD_READY && w->cpu == q->cpu);
    prioq_remove(&q->ready, &w->sched.node);
    publish(q);
}

bool runq_is_queued(const struct world *w)
{
    return w->sched.node.rank != 0;
}

uint64_t runq_key(const struct run_queue *q)
{
    return __atomic_load_n(&q->first_key, __ATOMIC_RELAXED);
}

struct run_queue *runq_lock_of(struct world *w)
{
    for (;;) {
        unsigned cpu = __atomic_load_n(&w->cpu, __ATOMIC_RELAXED);
        struct run_queue *q = &this_host()->sched->queues[cpu];

        spin_lock_irqs_off(&q->lock);
        if (w->cpu == cpu)
            return q;
        spin_unlock_irqs_off(&q->lock);
    }
}
