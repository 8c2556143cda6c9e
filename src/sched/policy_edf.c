// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/policy_edf.c -- earliest deadline first among those with budget left.
 *
 * Each world may run for a budget in each period; its deadline is the end of the period. Those
 * with budget go first, earliest deadline first; those who have spent it get what is left over,
 * in the same order, until their next period. The period comes with SET_MIN (default
 * edf-period), the budget is the reservation's part of it. Who reserved nothing has what is
 * reserved for it by pools above, and its part by shares down the tree of what the host has not
 * promised; or edf-budget, if that is set. So shares and pools hold to within a period, as far
 * as worlds can use their parts; what they cannot is left over and goes to whose period ends
 * first. A server of this kind keeps every promise on one CPU as long as the sum of budget /
 * period is at most 1; whoever sets more is not refused.
 *
 *   cpu.queue  with budget, by deadline          cpu.spent  without, by deadline
 *
 * Invariants
 *   - Nobody has a deadline in the past: refresh() moves it to the period that is now.
 * Locking    the caller's.
 * Sources    [CBS]
 */
#include "sched/machine_internal.h"

static plat_ns budget_of(const struct sched_machine *m, const struct sched_entity *e,
                         plat_ns period)
{
    uint64_t promised = MIN((uint64_t)m->root->reserved_mhz, m->capacity_mhz);
    uint64_t part;

    if (e->node.min_mhz)
        return period / 1000 * e->node.min_mhz * 1000 / m->reference_mhz;
    if (tune(m, SCHED_TUNABLE_EDF_BUDGET))
        return tune(m, SCHED_TUNABLE_EDF_BUDGET);
    part = tree_part(e) * sched_mask_count(m->online | 1) >> 16;
    part = tree_scale(part, m->capacity_mhz - promised, MAX(m->capacity_mhz, 1ull));
    return tree_scale(period, MIN(tree_least(m, e) + part, 65536ull), 65536);
}

/* The period that `now` is in. A world that was late or asleep starts a new one. */
static void refresh(struct sched_machine *m, struct sched_entity *e)
{
    plat_ns period =
        e->policy.edf.period ? e->policy.edf.period : tune(m, SCHED_TUNABLE_EDF_PERIOD);
    plat_ns budget = budget_of(m, e, period);

    e->policy.edf.budget = MIN(budget, period);
    if (m->now < e->policy.edf.deadline)
        return;
    e->policy.edf.deadline =
        e->policy.edf.deadline
            ? e->policy.edf.deadline + ((m->now - e->policy.edf.deadline) / period + 1) * period
            : m->now + period;
    e->policy.edf.left = e->policy.edf.budget;
}

static void edf_enqueue(struct sched_machine *m, struct sched_entity *e)
{
    struct sched_cpu *c = &m->cpu[e->cpu];

    refresh(m, e);
    link_insert(e->policy.edf.left ? &c->queue : &c->spent, &e->queue_link, &e->node,
                e->policy.edf.deadline);
    e->policy.edf.spent = !e->policy.edf.left;
}

static void edf_dequeue(struct sched_machine *m, struct sched_entity *e)
{
    struct sched_cpu *c = &m->cpu[e->cpu];

    prioq_remove(e->policy.edf.spent ? &c->spent : &c->queue, &e->queue_link.node);
}

static struct sched_entity *edf_first(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct prioq_node *node;

    /* Whose period is over: a new budget, or at least a new deadline. */
    while ((node = prioq_first(&c->spent)) && !earlier(m->now, node->key)) {
        struct sched_entity *e = entity_of(link_of(node)->owner);

        edf_dequeue(m, e);
        edf_enqueue(m, e);
    }
    while ((node = prioq_first(&c->queue)) && !earlier(m->now, node->key)) {
        struct sched_entity *e = entity_of(link_of(node)->owner);

        edf_dequeue(m, e);
        edf_enqueue(m, e);
    }
    node = prioq_first(&c->queue);
    if (!node)
        node = prioq_first(&c->spent);
    return node ? entity_of(link_of(node)->owner) : NULL;
}

static void edf_charge(struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    e->policy.edf.left -= MIN(used, e->policy.edf.left);
    refresh(m, e);
}

static bool edf_before(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b,
                       plat_ns slack)
{
    bool a_has = a->policy.edf.left;
    bool b_has = b->policy.edf.left;

    (void)m;
    (void)slack;  // a deadline is a deadline
    if (a_has != b_has)
        return a_has;
    return a->policy.edf.deadline < b->policy.edf.deadline;
}

static bool edf_preempts(struct sched_machine *m, struct sched_entity *a,
                         struct sched_entity *b)
{
    return edf_before(m, a, b, 0);
}

static plat_ns edf_slice(struct sched_machine *m, uint32_t cpu, struct sched_entity *e)
{
    struct sched_cpu *c = &m->cpu[cpu];
    plat_ns end = MIN(m->now + tune(m, SCHED_TUNABLE_QUANTUM), e->policy.edf.deadline);
    const struct prioq_node *spent = prioq_first(&c->spent);

    if (e->policy.edf.left)
        end = MIN(end, m->now + e->policy.edf.left);
    if (spent)
        end = MIN(end, spent->key);
    return end;
}

const struct sched_policy sched_policy_edf = {
    .name = "edf",
    .enqueue = edf_enqueue,
    .dequeue = edf_dequeue,
    .first = edf_first,
    .charge = edf_charge,
    .wake = refresh,
    .before = edf_before,
    .preempts = edf_preempts,
    .slice = edf_slice,
};
