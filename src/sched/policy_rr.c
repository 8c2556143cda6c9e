// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/policy_rr.c -- round robin: who has been ready longest runs next.
 *
 * The smallest complete policy, for reading and for comparing. The key is the time a world became
 * ready, so "longest" also means something between two queues and pulling works unchanged.
 *
 * Invariants
 *   - Shares are ignored; nobody preempts anybody but the idle world.
 * Locking    every call has the queue's lock.
 */
#include "sched/runq.h"

static void rr_init(struct run_queue *q)
{
    (void)q;
}

static void rr_ready(struct run_queue *q, struct world *w, plat_ns now, bool woken)
{
    (void)woken;
    runq_insert(q, w, now);
}

static struct world *rr_pick(struct run_queue *q, plat_ns now)
{
    struct world *w = runq_first(q);

    (void)now;
    if (w)
        runq_remove(q, w);
    return w;
}

static void rr_charge(struct run_queue *q, struct world *w, plat_ns used)
{
    (void)q;
    w->sched.virtual_time += used;
}

static void rr_leave(struct run_queue *q, struct world *w)
{
    if (runq_is_queued(w))
        runq_remove(q, w);
}

static bool rr_preempts(struct run_queue *q, const struct world *w, const struct world *running)
{
    (void)w;
    return running == q->idle;
}

const struct sched_policy sched_policy_rr = {
    .name = "rr",
    .init = rr_init,
    .ready = rr_ready,
    .pick = rr_pick,
    .charge = rr_charge,
    .leave = rr_leave,
    .preempts = rr_preempts,
};
