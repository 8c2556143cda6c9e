// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/reserve.c -- reservations: when a node's next nanosecond is due, and whose is past.
 *
 * `due` moves by use / rate, never far from now: who used nothing for long may not claim it all
 * at once, and who got more than was reserved is not held back for it for ever. Whoever's due
 * time is past goes before all shares. The policy `share` walks its tree for that
 * (policy_share.c); flat policies keep the queued entities below a reservation in one more
 * queue of each CPU, here.
 *
 * Invariants
 *   - e->reserve_link is on cpu[e->cpu].reserve exactly if reserve_enqueue() found a
 *     reservation at or above e. Its key is at most the earliest due time there, put right when
 *     it comes first.
 * Locking    the caller's. Cost: O(depth * log n).
 * Sources    docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

void reserve_charge(const struct sched_machine *m, struct sched_node *n, plat_ns used)
{
    plat_ns quantum = tune(m, SCHED_TUNABLE_QUANTUM);

    if (!n->min_mhz)
        return;
    n->due += tree_scale(used, m->reference_mhz, n->min_mhz);
    n->due = MIN(n->due, m->now + quantum);
    n->due = MAX(n->due, m->now - MIN(m->now, 8 * quantum));
}

void reserve_charge_all(const struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    reserve_charge(m, &e->node, used);
    for_each_above(p, &e->node) reserve_charge(m, &p->node, used);
}

bool reserve_is_due(const struct sched_node *n, plat_ns when)
{
    for (; n; n = n->parent ? &n->parent->node : NULL) {
        if (n->min_mhz && !earlier(when, n->due))
            return true;
    }
    return false;
}

/* The earliest due time at or above it; false: nothing is reserved there. */
static bool earliest(const struct sched_entity *e, plat_ns *due)
{
    bool any = false;

    for (const struct sched_node *n = &e->node; n; n = n->parent ? &n->parent->node : NULL) {
        if (n->min_mhz && (!any || earlier(n->due, *due))) {
            *due = n->due;
            any = true;
        }
    }
    return any;
}

void reserve_enqueue(struct sched_machine *m, struct sched_entity *e)
{
    plat_ns due = 0;

    if (earliest(e, &due))
        link_insert(&m->cpu[e->cpu].reserve, &e->reserve_link, &e->node, due);
}

void reserve_dequeue(struct sched_machine *m, struct sched_entity *e)
{
    if (link_is_queued(&e->reserve_link))
        prioq_remove(&m->cpu[e->cpu].reserve, &e->reserve_link.node);
}

struct sched_entity *reserve_first(struct sched_machine *m, uint32_t cpu, plat_ns *due)
{
    struct prioq *q = &m->cpu[cpu].reserve;
    struct prioq_node *first;

    while ((first = prioq_first(q))) {
        struct sched_link *l = link_of(first);
        struct sched_entity *e = entity_of(l->owner);

        *due = first->key;
        if (!earliest(e, due) || !earlier(first->key, *due))
            return e;
        prioq_remove(q, first);
        link_insert(q, l, l->owner, *due);
    }
    return NULL;
}
