// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/policy_share.c -- proportional share: CPU time in proportion to shares.
 *
 * Each world has a virtual time that advances by (time run) / shares. The one that would have the
 * least after another quantum runs next; by its start instead of its end, light worlds would get
 * their quantum early and be ahead by up to a whole one. In the long run all virtual times advance
 * together, so worlds get time in proportion to their shares. A priority scheme was turned down
 * because it says who goes first but not how much.
 *
 * Virtual time is comparable between queues; `floor` is where the worlds that now run are. Two
 * clamps keep the past from ruling the present:
 *   - A world that slept is raised to the floor: sleeping earns no credit, or it could take the CPU
 *     for as long as it slept.
 *   - A world far above the floor is lowered to floor + LEAD_MAX: it used a CPU nobody wanted, and
 *     owes nothing for that.
 *
 * Invariants
 *   - virtual_time never falls but by the second clamp.
 *   - After ready(): virtual_time <= floor + LEAD_MAX scaled; and >= floor if the world slept.
 * Locking    every call has the queue's lock.
 * Sources    [BVT], [CFS]; docs/design/scheduler.md
 */
#include "sched/runq.h"

#define LEAD_MAX    (8 * SCHED_QUANTUM_NS)
#define GRANULARITY 1000000ull  // 1 ms: a woken world must be this far behind to preempt

static uint64_t scaled(const struct world *w, plat_ns used)
{
    return used * SCHED_SHARES_DEFAULT / w->sched.shares;
}

/* Where it would be after another quantum: the queue's key. */
static uint64_t finish(const struct world *w)
{
    return w->sched.virtual_time + scaled(w, SCHED_QUANTUM_NS);
}

static void share_init(struct run_queue *q)
{
    (void)q;
}

static void share_ready(struct run_queue *q, struct world *w, plat_ns now, bool woken)
{
    uint64_t ceiling = q->floor + scaled(w, LEAD_MAX);

    (void)now;
    if (woken)
        w->sched.virtual_time = MAX(w->sched.virtual_time, q->floor);
    w->sched.virtual_time = MIN(w->sched.virtual_time, ceiling);
    runq_insert(q, w, finish(w));
}

static struct world *share_pick(struct run_queue *q, plat_ns now)
{
    struct world *w = runq_first(q);

    (void)now;
    if (w)
        runq_remove(q, w);
    return w;
}

static void share_charge(struct run_queue *q, struct world *w, plat_ns used)
{
    (void)q;
    w->sched.virtual_time += scaled(w, used);
}

static void share_leave(struct run_queue *q, struct world *w)
{
    if (runq_is_queued(w))
        runq_remove(q, w);
}

static bool share_preempts(struct run_queue *q, const struct world *w,
                           const struct world *running)
{
    if (running == q->idle)
        return true;
    return finish(w) + scaled(w, GRANULARITY) < finish(running);
}

const struct sched_policy sched_policy_share = {
    .name = "share",
    .init = share_init,
    .ready = share_ready,
    .pick = share_pick,
    .charge = share_charge,
    .leave = share_leave,
    .preempts = share_preempts,
};
