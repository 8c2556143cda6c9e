// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/times.c -- the times of an entity, booked to the nanosecond, and their sums over a pool.
 *
 * Invariants
 *   - run + ready + costop + wait = elapsed, asserted each time something is booked.
 * Locking    the caller's.
 * Start at   machine_book().
 */
#include "sched/machine_internal.h"

/* Books the time since e->since to its state. The state's name is the esxtop column. */
static void book(struct sched_times *t, uint32_t state, plat_ns passed)
{
    switch (state) {
    case SCHED_STATE_RUN: t->run += passed; break;
    case SCHED_STATE_READY: t->ready += passed; break;
    case SCHED_STATE_MLMTD:
        t->ready += passed;
        t->limited += passed;
        break;
    case SCHED_STATE_COSTOP: t->costop += passed; break;
    case SCHED_STATE_WAIT_IDLE:
        t->wait += passed;
        t->wait_idle += passed;
        break;
    case SCHED_STATE_WAIT_IO:
        t->wait += passed;
        t->wait_io += passed;
        break;
    case SCHED_STATE_WAIT_SWAP:
        t->wait += passed;
        t->wait_swap += passed;
        break;
    default: t->wait += passed; break;  // WAIT, NEW, ZOMBIE
    }
}

void machine_book(struct sched_entity *e, plat_ns now)
{
    plat_ns passed = now - e->since;
    const struct sched_times *t = &e->times;

    book(&e->times, e->state, passed);
    if (!state_is_stalled(e->state))
        e->progress += passed;
    e->since = now;
    vmk_assert(t->run + t->ready + t->costop + t->wait == now - t->created);
}

void sched_times_at(const struct sched_entity *e, plat_ns now, struct sched_times *out)
{
    *out = e->times;
    if (now > e->since)
        book(out, e->state, now - e->since);
}

static void times_add(struct sched_times *sum, const struct sched_times *t)
{
    sum->run += t->run;
    sum->ready += t->ready;
    sum->limited += t->limited;
    sum->costop += t->costop;
    sum->wait += t->wait;
    sum->wait_idle += t->wait_idle;
    sum->wait_io += t->wait_io;
    sum->wait_swap += t->wait_swap;
    sum->system += t->system;
    sum->overlap += t->overlap;
    sum->smt += t->smt;
    sum->switches += t->switches;
    sum->wakes += t->wakes;
    sum->quantum_expiries += t->quantum_expiries;
    sum->preemptions += t->preemptions;
    sum->costops += t->costops;
    for (unsigned i = 0; i < MIGRATE_KIND_COUNT; i++)
        sum->migrations[i] += t->migrations[i];
}

static uint32_t pool_times(const struct sched_pool *p, plat_ns now, struct sched_times *out)
{
    uint32_t count = 0;

    list_for_each (link, &p->children) {
        struct sched_node *n = list_entry(link, struct sched_node, siblings);

        if (n->is_pool) {
            count += pool_times(pool_of(n), now, out);
        } else {
            struct sched_times t;

            sched_times_at(entity_of(n), now, &t);
            times_add(out, &t);
            count++;
        }
    }
    return count;
}

uint32_t sched_pool_times_at(const struct sched_pool *p, plat_ns now, struct sched_times *out)
{
    *out = (struct sched_times){0};
    return pool_times(p, now, out);
}
