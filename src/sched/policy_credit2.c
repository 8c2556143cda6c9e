// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/policy_credit2.c -- weighted credit, after the idea of Xen's second credit scheduler.
 *
 * Everybody burns credit while running, the faster the fewer shares he has; who has most left
 * runs next; when the best has none left, everybody gets `credit` more. Kept as one number per
 * world, what it has burnt, against one number of the machine, what has been handed out: so a
 * reset touches nobody. Credit cannot be saved: who wakes up has at most a little more than one
 * hand-out.
 *
 * It is flat: one queue per CPU, whatever the tree. A world's weight is its part of the host by
 * shares down the tree of pools, as active siblings make it at the instant, times the number of
 * active worlds, so that equal worlds burn at the speed of time. Reservations go first
 * (reserve.c), limits are the machine's. Unlike `share` it keeps no account of pools: what a
 * pool's worlds did not use while they slept is forgotten with them, and weights that no CPU
 * can satisfy are not put right.
 *
 * Invariants
 *   - credit = credit_base - burnt, at most credit + CARRY after a wake-up.
 *   - A run is at least `credit-min` long, unless it blocks.
 * Locking    the caller's.
 * Sources    [CREDIT2]
 */
#include "sched/machine_internal.h"

#define CARRY 500000ull  // ns of credit that survive a reset

/* 65536: burns as time passes. */
static uint64_t weight_of(const struct sched_machine *m, const struct sched_entity *e)
{
    return MAX(tree_part(e) * MAX(m->root->node.active, 1u) >> 16, 1ull);
}

static int64_t credit_of(const struct sched_machine *m, const struct sched_entity *e)
{
    return (int64_t)(m->credit_base - e->policy.credit2.burnt);
}

static void clamp(struct sched_machine *m, struct sched_entity *e)
{
    uint64_t most = tune(m, SCHED_TUNABLE_CREDIT) + CARRY;

    if (credit_of(m, e) > (int64_t)most)
        e->policy.credit2.burnt = m->credit_base - most;
    /* After a pause of hours it would take hours to pay. */
    if (credit_of(m, e) < -(int64_t)(8 * most))
        e->policy.credit2.burnt = m->credit_base + 8 * most;
}

static void credit2_enqueue(struct sched_machine *m, struct sched_entity *e)
{
    clamp(m, e);
    link_insert(&m->cpu[e->cpu].queue, &e->queue_link, &e->node, e->policy.credit2.burnt);
    reserve_enqueue(m, e);
}

static void credit2_dequeue(struct sched_machine *m, struct sched_entity *e)
{
    prioq_remove(&m->cpu[e->cpu].queue, &e->queue_link.node);
    reserve_dequeue(m, e);
}

static struct sched_entity *credit2_neediest(struct sched_machine *m, uint32_t cpu)
{
    struct prioq_node *first = prioq_first(&m->cpu[cpu].queue);

    return first ? entity_of(link_of(first)->owner) : NULL;
}

static struct sched_entity *credit2_first(struct sched_machine *m, uint32_t cpu)
{
    plat_ns due;
    struct sched_entity *reserved = reserve_first(m, cpu, &due);

    return reserved && !earlier(m->now, due) ? reserved : credit2_neediest(m, cpu);
}

static void credit2_charge(struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    reserve_charge_all(m, e, used);
    e->policy.credit2.burnt += tree_scale(used, 65536, weight_of(m, e));
    if (credit_of(m, e) <= 0) {
        const struct sched_entity *best = credit2_neediest(m, e->cpu);

        if (!best || credit_of(m, best) <= 0)
            m->credit_base += tune(m, SCHED_TUNABLE_CREDIT);
    }
    clamp(m, e);
}

static bool credit2_needier(struct sched_machine *m, struct sched_entity *a,
                            struct sched_entity *b, plat_ns slack)
{
    (void)m;
    return earlier(a->policy.credit2.burnt + slack, b->policy.credit2.burnt);
}

static bool credit2_before(struct sched_machine *m, struct sched_entity *a,
                           struct sched_entity *b, plat_ns slack)
{
    /* One that runs on its reservation keeps the CPU a little longer than it must. */
    bool b_due =
        reserve_is_due(&b->node, m->now + (b->queued ? 0 : tune(m, SCHED_TUNABLE_CREDIT_MIN)));

    if (reserve_is_due(&a->node, m->now) != b_due)
        return !b_due;
    if (!b->queued && m->now - b->started < tune(m, SCHED_TUNABLE_CREDIT_MIN))
        return false;
    return credit2_needier(m, a, b, slack);
}

static bool credit2_preempts(struct sched_machine *m, struct sched_entity *a,
                             struct sched_entity *b)
{
    return credit2_before(m, a, b, tune(m, SCHED_TUNABLE_WAKE_SLACK));
}

static plat_ns credit2_slice(struct sched_machine *m, uint32_t cpu, struct sched_entity *e)
{
    const struct sched_entity *next = credit2_neediest(m, cpu);
    plat_ns least = tune(m, SCHED_TUNABLE_CREDIT_MIN);
    int64_t room =
        next ? credit_of(m, e) - credit_of(m, next) : (int64_t)tune(m, SCHED_TUNABLE_QUANTUM);
    plat_ns run = room > 0 ? tree_scale((uint64_t)room, weight_of(m, e), 65536) : 0;
    plat_ns end = m->now + MIN(MAX(run, least), tune(m, SCHED_TUNABLE_QUANTUM));
    plat_ns due;

    if (reserve_first(m, cpu, &due) && earlier(due, end))
        end = MAX(due, m->now + least);
    return end;
}

const struct sched_policy sched_policy_credit2 = {
    .name = "credit2",
    .enqueue = credit2_enqueue,
    .dequeue = credit2_dequeue,
    .first = credit2_first,
    .charge = credit2_charge,
    .wake = clamp,
    .before = credit2_before,
    .preempts = credit2_preempts,
    .slice = credit2_slice,
    .neediest = credit2_neediest,
    .needier = credit2_needier,
};
