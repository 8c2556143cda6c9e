// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/limit.c -- limits in MHz: buckets of CPU time, paid in advance.
 *
 * Each node with a limit has a bucket that fills at the limit's rate and holds what
 * `limit-burst` of time brings. Who is to run takes out of all buckets above it what its slice
 * may use, and brings back the rest when it leaves the CPU. So however many CPUs run a pool's
 * worlds at once, together they never use more than the bucket had. Looking afterwards how much
 * was used was turned down: the overshoot is then a tick times the number of CPUs.
 *
 *   tokens   cap ┬──╮        ╭──      An empty bucket stops everybody below who waits (state MLMTD)
 *                │  ╲  grant╱         and whoever runs when his grant is over; half full it lets
 *          cap/2 ┤   ╲     ╱ lifted   them go again. Half, so that a small limit does not mean tiny
 *              0 ┴────╲___╱           slices.
 *
 * Invariants
 *   - tokens + all grants outstanding <= cap; so use in any window of length T is at most
 *     rate * (T + limit-burst).
 *   - limited exactly if limit_link is on cpu[limit_cpu].limits.
 *   - Below a limited node nobody is queued.
 * Locking    the caller's.
 * Start at   limit_grant(), limit_settle().
 * Sources    docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

/* Tokens are Q16: 65536 are one ns of CPU time. */

static bool has_limit(const struct sched_node *n)
{
    return n->max_mhz != SCHED_UNLIMITED;
}

/* CPUs it may use, Q16. */
static uint64_t rate_of(const struct sched_machine *m, const struct sched_node *n)
{
    uint64_t rate = ((uint64_t)n->max_mhz << 16) / m->reference_mhz;

    return MAX(MIN(rate, (uint64_t)SCHED_CPUS_MAX << 16), 1ull);
}

static int64_t cap_of(const struct sched_machine *m, const struct sched_node *n)
{
    return (int64_t)(tune(m, SCHED_TUNABLE_LIMIT_BURST) * rate_of(m, n));
}

/* Less than this is not worth a switch. */
static int64_t least_of(const struct sched_machine *m, const struct sched_node *n)
{
    return cap_of(m, n) / 16;
}

static void refill(const struct sched_machine *m, struct sched_node *n)
{
    plat_ns passed = MIN(m->now - n->tokens_at, 1000000000ull);

    n->tokens = MIN(n->tokens + (int64_t)(passed * rate_of(m, n)), cap_of(m, n));
    n->tokens_at = m->now;
}

bool limit_holds(const struct sched_entity *e)
{
    if (e->node.limited)
        return true;
    for_each_above(p, &e->node)
    {
        if (p->node.limited)
            return true;
    }
    return false;
}

/* Of a ready world below a node that has just run dry. */
static void hold(struct sched_machine *m, struct sched_entity *e)
{
    if (e->state != SCHED_STATE_READY)
        return;
    machine_dequeue(m, e);
    tree_deactivate(m, e);
    machine_state_tell(m, e, SCHED_STATE_MLMTD, 0);
}

static void let_go(struct sched_machine *m, struct sched_entity *e)
{
    if (e->state == SCHED_STATE_MLMTD && !limit_holds(e))
        machine_make_ready(m, e, WAKE_REASON_TIMER);
}

/* Those below a node who run or would like to; the others need no visit. */
static void runnable_walk(struct sched_machine *m, struct sched_node *n,
                          void (*visit)(struct sched_machine *, struct sched_entity *))
{
    if (!n->is_pool) {
        visit(m, entity_of(n));
        return;
    }

    struct sched_pool *p = pool_of(n);

    for (struct list *link = p->runnable.next, *next; link != &p->runnable; link = next) {
        next = link->next;
        visit(m, list_entry(link, struct sched_entity, runnable_link));
    }
    list_for_each (link, &p->children) {
        struct sched_node *child = list_entry(link, struct sched_node, siblings);

        if (child->is_pool)
            runnable_walk(m, child, visit);
    }
}

static void lift(struct sched_machine *m, struct sched_node *n)
{
    prioq_remove(&m->cpu[n->limit_cpu].limits, &n->limit_link.node);
    n->limited = false;
    m->counters.limit_starts++;
    runnable_walk(m, n, let_go);
}

/* The bucket is all but empty. */
static void stop(struct sched_machine *m, struct sched_node *n)
{
    uint64_t missing = (uint64_t)(cap_of(m, n) / 2 - n->tokens);
    uint64_t rate = rate_of(m, n);

    n->limited = true;
    n->limit_cpu = m->online & BIT(m->input_cpu)
                       ? m->input_cpu
                       : (uint32_t)__builtin_ctzll(m->online | BIT(63));
    link_insert(&m->cpu[n->limit_cpu].limits, &n->limit_link, n,
                m->now + (missing + rate - 1) / rate);
    m->counters.limit_stops++;
    runnable_walk(m, n, hold);
}

/* Whether anything above it has a limit; then all buckets there are filled up to now. */
static bool refill_all(const struct sched_machine *m, struct sched_entity *e)
{
    bool any = false;

    for (struct sched_node *n = &e->node; n; n = n->parent ? &n->parent->node : NULL) {
        if (has_limit(n)) {
            refill(m, n);
            any = true;
        }
    }
    return any;
}

/* Gives `ns` to every bucket above it, or takes it. */
static void pour(struct sched_machine *m, struct sched_entity *e, int64_t ns)
{
    for (struct sched_node *n = &e->node; n; n = n->parent ? &n->parent->node : NULL) {
        if (!has_limit(n))
            continue;
        n->tokens += ns * 65536;
        if (n->limited && n->tokens >= cap_of(m, n) / 2)
            lift(m, n);
        else if (!n->limited && n->tokens < least_of(m, n))
            stop(m, n);
    }
}

plat_ns limit_grant(struct sched_machine *m, struct sched_entity *e, plat_ns ns)
{
    plat_ns more = ns - MIN(ns, e->granted);

    if (!refill_all(m, e)) {
        e->granted = 0;
        return ns;
    }
    for (struct sched_node *n = &e->node; n; n = n->parent ? &n->parent->node : NULL) {
        if (has_limit(n))
            more = n->limited ? 0 : MIN(more, (plat_ns)MAX(n->tokens, 0) >> 16);
    }
    if (more) {
        e->granted += more;
        pour(m, e, -(int64_t)more);
    }
    return MIN(ns, e->granted);
}

void limit_settle(struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    plat_ns paid = MIN(used, e->granted);

    if (!refill_all(m, e))
        return;
    e->granted -= paid;
    if (used > paid || !e->granted)
        pour(m, e, -(int64_t)(used - paid));
}

void limit_release(struct sched_machine *m, struct sched_entity *e)
{
    plat_ns rest = e->granted;

    e->granted = 0;
    if (rest && refill_all(m, e))
        pour(m, e, (int64_t)rest);
}

void limit_timers(struct sched_machine *m, uint32_t cpu)
{
    struct prioq *q = &m->cpu[cpu].limits;
    struct prioq_node *first;

    while ((first = prioq_first(q)) && !earlier(m->now, first->key)) {
        struct sched_node *n = link_of(first)->owner;

        refill(m, n);
        lift(m, n);
    }
}

plat_ns limit_next(const struct sched_machine *m, uint32_t cpu)
{
    const struct prioq_node *first = prioq_first(&m->cpu[cpu].limits);

    return first ? first->key : PLAT_NS_NEVER;
}

void limit_reset(struct sched_machine *m, struct sched_node *n)
{
    if (n->limited)
        lift(m, n);
    n->tokens = has_limit(n) ? cap_of(m, n) / 2 : 0;
    n->tokens_at = m->now;
    /*
     * Who runs below has no grant from this bucket: it owes from now on, its CPU has to think.
     */
    uint64_t running = 0;

    if (n->is_pool)
        running = pool_of(n)->running;
    else if (entity_of(n)->state == SCHED_STATE_RUN)
        running = BIT(entity_of(n)->cpu);
    for (; running; running &= running - 1) {
        uint32_t cpu = (uint32_t)__builtin_ctzll(running);
        struct sched_entity *e = m->cpu[cpu].current;

        if (!e->granted)
            e->grant_at = m->now;
        machine_kick(m, cpu);
    }
}
