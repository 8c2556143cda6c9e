// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/policy_share.c -- shares over the tree: reservations first, then least virtual time.
 *
 * On each CPU each pool has a queue of its children that have somebody waiting on that CPU, in
 * the order of virtual finish: where a child would be after `granularity` more. Choosing is a
 * walk from the root down, first child by first child. A child's virtual time is one for all
 * CPUs (tree.c), so CPUs need not be compared to be fair to a pool; what they need to compare
 * is who waits where, and that is place.c.
 *
 *        root.ready on CPU 2          keys are lower bounds: a pool's virtual time grows when
 *                                     its
 *         │ 1. pool A  2. world 7     worlds run on other CPUs, and its key here is put right when it
 *         ▼                           comes first (fresh()). It never falls but by share_rekey().
 *        A.ready on CPU 2: world 3 ...
 *
 * By finish instead of start, or light ones would get their turn early and be ahead by a whole
 * one.
 *
 * Reservations: `due` is when the next ns of a node's reserved time is due; it grows by use /
 * rate. Whoever's due time is past goes before all virtual times, the earliest first.
 *
 * The running one goes on until it is `granularity` ahead of the next, so the switch rate does
 * not depend on how close shares are.
 *
 * Invariants
 *   - link of a pool is on its parent's queue of a CPU exactly if its own queue there is not
 *     empty.
 *   - A key in a queue is never above the child's virtual finish (circular order).
 * Locking    the caller's. Cost: O(depth * log n), plus one log n per key that was too low.
 * Start at   share_first(), share_before().
 * Sources    [BVT], [GPS]; docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

static uint64_t finish(const struct sched_machine *m, const struct sched_node *n)
{
    (void)m;
    return n->vtime + n->grain;
}

static struct sched_link *queue_link_of(struct sched_node *n, uint32_t cpu)
{
    return n->is_pool ? &pool_of(n)->cpu[cpu].queue_link : &entity_of(n)->queue_link;
}

static struct sched_link *reserve_link_of(struct sched_node *n, uint32_t cpu)
{
    return n->is_pool ? &pool_of(n)->cpu[cpu].reserve_link : &entity_of(n)->reserve_link;
}

static void share_enqueue(struct sched_machine *m, struct sched_entity *e)
{
    uint32_t cpu = e->cpu;
    struct sched_node *n = &e->node;

    for (struct sched_pool *p = n->parent; p; n = &p->node, p = n->parent) {
        if (n->min_mhz)
            link_insert(&m->cpu[cpu].reserve, reserve_link_of(n, cpu), n, n->due);
        link_insert(&p->cpu[cpu].ready, queue_link_of(n, cpu), n, finish(m, n));
        if (p->cpu[cpu].ready.count > 1)
            return;  // it was in the queues above already
    }
}

static void share_dequeue(struct sched_machine *m, struct sched_entity *e)
{
    uint32_t cpu = e->cpu;
    struct sched_node *n = &e->node;

    for (struct sched_pool *p = n->parent; p; n = &p->node, p = n->parent) {
        struct sched_link *reserved = reserve_link_of(n, cpu);

        if (link_is_queued(reserved))
            prioq_remove(&m->cpu[cpu].reserve, &reserved->node);
        prioq_remove(&p->cpu[cpu].ready, &queue_link_of(n, cpu)->node);
        if (p->cpu[cpu].ready.count)
            return;
    }
}

/* The first of a pool's queue, after keys that were too low are put right. */
static struct sched_node *fresh(struct sched_machine *m, struct prioq *q)
{
    struct prioq_node *first;

    while ((first = prioq_first(q))) {
        struct sched_link *l = link_of(first);
        uint64_t key = finish(m, l->owner);

        if (!earlier(first->key, key))
            return l->owner;
        prioq_remove(q, first);
        link_insert(q, l, l->owner, key);
    }
    return NULL;
}

/* The same of those with a reservation. */
static struct sched_node *fresh_due(struct sched_machine *m, uint32_t cpu)
{
    struct prioq *q = &m->cpu[cpu].reserve;
    struct prioq_node *first;

    while ((first = prioq_first(q))) {
        struct sched_link *l = link_of(first);

        if (!earlier(first->key, l->owner->due))
            return l->owner;
        prioq_remove(q, first);
        link_insert(q, l, l->owner, l->owner->due);
    }
    return NULL;
}

void share_rekey(struct sched_machine *m, struct sched_node *n)
{
    uint32_t from = n->is_pool ? 0 : entity_of(n)->cpu;
    uint32_t end = n->is_pool ? m->cpu_count : from + 1;

    if (m->policy != &sched_policy_share)
        return;
    for (uint32_t cpu = from; cpu < end; cpu++) {
        struct sched_link *l = queue_link_of(n, cpu);
        struct prioq *q = &n->parent->cpu[cpu].ready;

        if (link_is_queued(l)) {
            prioq_remove(q, &l->node);
            link_insert(q, l, n, finish(m, n));
        }
    }
}

static struct sched_entity *share_neediest(struct sched_machine *m, uint32_t cpu)
{
    struct sched_node *n = m->root->cpu[cpu].ready.count ? &m->root->node : NULL;

    while (n && n->is_pool)
        n = fresh(m, &pool_of(n)->cpu[cpu].ready);
    return n ? entity_of(n) : NULL;
}

static struct sched_entity *share_first(struct sched_machine *m, uint32_t cpu)
{
    struct sched_node *n = fresh_due(m, cpu);

    if (!n || earlier(m->now, n->due))
        return share_neediest(m, cpu);
    while (n && n->is_pool)
        n = fresh(m, &pool_of(n)->cpu[cpu].ready);
    return n ? entity_of(n) : NULL;
}

static void share_charge(struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    tree_charge(m, e, used);
}

/* The children of the lowest common pool below which two entities are. */
static void fork_of(struct sched_node **a, struct sched_node **b)
{
    while ((*a)->depth > (*b)->depth)
        *a = &(*a)->parent->node;
    while ((*b)->depth > (*a)->depth)
        *b = &(*b)->parent->node;
    while ((*a)->parent != (*b)->parent) {
        *a = &(*a)->parent->node;
        *b = &(*b)->parent->node;
    }
}

static bool share_needier(struct sched_machine *m, struct sched_entity *ea,
                          struct sched_entity *eb, plat_ns slack)
{
    struct sched_node *a = &ea->node;
    struct sched_node *b = &eb->node;

    fork_of(&a, &b);
    return earlier(finish(m, a) + vtime_of(a, slack), finish(m, b));
}

static bool share_before(struct sched_machine *m, struct sched_entity *ea,
                         struct sched_entity *eb, plat_ns slack)
{
    struct sched_node *a = &ea->node;
    struct sched_node *b = &eb->node;
    bool b_due;

    /* One that runs on its reservation keeps the CPU a little longer than it must. */
    b_due = reserve_is_due(b, m->now + (eb->queued ? 0 : tune(m, SCHED_TUNABLE_GRANULARITY)));
    if (reserve_is_due(a, m->now) != b_due)
        return !b_due;
    return share_needier(m, ea, eb, slack);
}

/* A tie, or nearly one, goes to who has just woken up: mostly it asks for little. */
static bool share_preempts(struct sched_machine *m, struct sched_entity *ea,
                           struct sched_entity *eb)
{
    struct sched_node *a = &ea->node;
    struct sched_node *b = &eb->node;
    bool b_due = reserve_is_due(b, m->now + tune(m, SCHED_TUNABLE_GRANULARITY));

    if (reserve_is_due(a, m->now) != b_due)
        return !b_due;
    fork_of(&a, &b);
    return earlier(finish(m, a) + vtime_of(a, tune(m, SCHED_TUNABLE_WAKE_SLACK)),
                   finish(m, b) + b->grain / 32);
}

/*
 * Half of the granularity where a CPU is alone: then nothing but slices decides how near to its
 * part a world is in a second. Where CPUs compare what their worlds lack, shorter slices make
 * them pull to and fro.
 */
static plat_ns slice_least(const struct sched_machine *m)
{
    plat_ns granularity = tune(m, SCHED_TUNABLE_GRANULARITY);

    return m->online & (m->online - 1) ? granularity : granularity / 2;
}

static plat_ns share_slice(struct sched_machine *m, uint32_t cpu, struct sched_entity *e)
{
    plat_ns end = m->now + tune(m, SCHED_TUNABLE_QUANTUM);
    struct sched_entity *next = share_first(m, cpu);

    if (!next)
        return end;
    machine_expect(next);

    struct sched_node *a = &e->node;
    struct sched_node *b = &next->node;

    fork_of(&a, &b);

    /* Until it is `granularity` of its own time ahead of the next. */
    int64_t room = (int64_t)(finish(m, b) - finish(m, a));
    plat_ns granularity = slice_least(m);

    if (room >= 0)
        end = MIN(end, m->now + granularity + ((uint64_t)room >> VTIME_BITS) * a->shares);
    else
        end = MIN(end, m->now + granularity / 4);

    const struct sched_node *due = fresh_due(m, cpu);

    if (due && earlier(due->due, end))
        end = MAX(due->due, m->now + granularity / 4);
    return end;
}

const struct sched_policy sched_policy_share = {
    .name = "share",
    .enqueue = share_enqueue,
    .dequeue = share_dequeue,
    .first = share_first,
    .charge = share_charge,
    .before = share_before,
    .preempts = share_preempts,
    .slice = share_slice,
    .neediest = share_neediest,
    .needier = share_needier,
};
