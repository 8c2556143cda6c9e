// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/policy_rr.c -- round robin: who has been ready longest runs next.
 *
 * The smallest complete policy, for reading and for comparing. The key is the time a world
 * became ready, so "longest" also means something between two CPUs and pulling works unchanged.
 * Shares and reservations are ignored; limits and co-scheduling are the machine's and hold.
 *
 * Invariants
 *   - Nobody preempts anybody before the quantum is over.
 * Locking    the caller's.
 */
#include "sched/machine_internal.h"

static void rr_enqueue(struct sched_machine *m, struct sched_entity *e)
{
    e->policy.rr.arrival = m->now;
    link_insert(&m->cpu[e->cpu].queue, &e->queue_link, &e->node, m->now);
}

static void rr_dequeue(struct sched_machine *m, struct sched_entity *e)
{
    prioq_remove(&m->cpu[e->cpu].queue, &e->queue_link.node);
}

static struct sched_entity *rr_first(struct sched_machine *m, uint32_t cpu)
{
    struct prioq_node *first = prioq_first(&m->cpu[cpu].queue);

    return first ? entity_of(link_of(first)->owner) : NULL;
}

static void rr_charge(struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    (void)m;
    (void)e;
    (void)used;
}

static bool rr_before(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b,
                      plat_ns slack)
{
    const struct sched_cpu *c = &m->cpu[b->cpu];

    if (b->queued)
        return a->policy.rr.arrival + slack < b->policy.rr.arrival;
    return m->now >= c->slice_end && slack == 0;
}

static bool rr_preempts(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b)
{
    (void)m;
    (void)a;
    (void)b;
    return false;
}

static plat_ns rr_slice(struct sched_machine *m, uint32_t cpu, struct sched_entity *e)
{
    (void)e;
    return m->cpu[cpu].quantum_start + tune(m, SCHED_TUNABLE_QUANTUM);
}

const struct sched_policy sched_policy_rr = {
    .name = "rr",
    .enqueue = rr_enqueue,
    .dequeue = rr_dequeue,
    .first = rr_first,
    .charge = rr_charge,
    .before = rr_before,
    .preempts = rr_preempts,
    .slice = rr_slice,
};
