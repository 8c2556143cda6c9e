// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/machine_driver.h -- a scheduler machine with made-up worlds, in made-up time.
 *
 * The smallest driver of sched_step(): worlds that compute, block and spin for one lock; time
 * jumps from event to event. Events of one instant and the answers to kicks come in an order
 * that the seed picks, as they would on a real machine.
 *
 * Invariants
 *   - Every kick is answered in the same instant; every deadline is kept to the nanosecond.
 * Locking    none.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "lib/rng.h"
#include "sched/machine.h"
#include "tests/unit/kernel_test.h"

#define MS           1000000ull
#define US           1000ull
#define DRIVER_POOLS 32u

enum act {
    ACT_RUN,    // compute for so long
    ACT_BLOCK,  // WAIT until so much later
    ACT_IDLE,   // the same, a halted guest
    ACT_IO,
    ACT_LOCK,  // spin until the lock of this VM is free
    ACT_UNLOCK,
    ACT_YIELD,
    ACT_EXIT,
};

struct step {
    enum act act;
    plat_ns time;
};

struct driven {
    struct sched_entity e;
    /* What it does next; null: it computes for ever. */
    struct step (*next)(struct driven *w, plat_ns now);
    uint64_t state;   // of next()
    plat_ns left;     // of its RUN
    plat_ns wake_at;  // while it waits
    bool spins;
    uint64_t ticket;
    bool started;
    uint32_t lock;
    uint64_t rounds;  // whatever next() counts
    plat_ns most_skew;
    plat_ns ready_at, most_latency;
};

struct driver {
    unsigned cpus;
    plat_ns now;
    struct rng rng;
    struct driven *worlds;
    unsigned count, room;
    struct sched_pool *pools[DRIVER_POOLS];
    unsigned pool_count;
    plat_ns deadline[SCHED_CPUS_MAX];
    uint64_t kicked;
    struct driven *holder[DRIVER_POOLS];
    uint64_t tickets[DRIVER_POOLS],
        serving[DRIVER_POOLS];  // the lock is first come, first served
    uint64_t events, hash;
    struct sched_machine m;  // ends in an array of any length
};

static inline struct sched_decision driver_step(struct driver *d, struct sched_input in)
{
    struct sched_decision decision = sched_step(&d->m, &in, d->now);

    d->deadline[in.cpu] = decision.deadline;
    d->kicked |= decision.kick;
    if (sched_op_switches(in.op))
        d->kicked &= ~BIT(in.cpu) | decision.kick;
    d->events++;
    return decision;
}

static inline void driver_observe(void *context, const struct sched_event *e, plat_ns now)
{
    struct driver *d = context;
    const uint64_t words[] = {e->kind, e->cpu, e->id, e->other, e->state,
                              e->src,  e->dst, e->a,  e->b,     now};

    for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
        d->hash = (d->hash ^ words[i]) * 0x100000001b3ull;
}

static inline struct driver *driver_new(unsigned cpus, unsigned room, uint64_t seed)
{
    struct driver *d = calloc(1, sizeof(*d));

    d->worlds = calloc(room, sizeof(*d->worlds));
    d->room = room;
    d->cpus = cpus;
    d->now = 1;
    rng_init(&d->rng, seed, "driver", 0);
    sched_machine_init(&d->m, cpus);
    d->m.observer = (struct sched_observer){driver_observe, d};
    for (unsigned i = 0; i < cpus; i++) {
        ck_assert_int_eq(
            driver_step(d,
                        (struct sched_input){.op = SCHED_OP_CPU_ONLINE, .cpu = i, .id = i + 1})
                .status,
            VMK_OK);
    }
    return d;
}

static inline void driver_free(struct driver *d)
{
    for (unsigned i = 0; i < d->pool_count; i++)
        free(d->pools[i]);
    free(d->worlds);
    free(d);
}

static inline void driver_tune(struct driver *d, enum sched_tunable t, uint64_t value)
{
    ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_POLICY,
                                                         .small = SCHED_POLICY_TUNABLE,
                                                         .id = t,
                                                         .value = value})
                         .status,
                     VMK_OK);
}

static inline vmk_status driver_set(struct driver *d, enum sched_op op, uint32_t id,
                                    uint32_t arg)
{
    return driver_step(d, (struct sched_input){.op = op, .id = id, .arg = arg}).status;
}

/* Pool ids are 200 and up, world ids 1000 and up; parent 0: the root. */
static inline uint32_t driver_pool(struct driver *d, uint32_t parent, uint32_t flags,
                                   uint32_t shares)
{
    uint32_t id = 200 + d->pool_count;
    struct sched_pool *p = malloc(sched_pool_size(d->cpus));

    ck_assert_uint_lt(d->pool_count, DRIVER_POOLS);
    d->pools[d->pool_count++] = p;
    ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_POOL_ADD,
                                                         .small = flags,
                                                         .id = id,
                                                         .arg = parent,
                                                         .value = shares,
                                                         .storage = p})
                         .status,
                     VMK_OK);
    return id;
}

/* A world that is NEW; driver_start() readies it. */
static inline struct driven *driver_world(struct driver *d, uint32_t pool, uint32_t shares,
                                          struct step (*next)(struct driven *, plat_ns))
{
    struct driven *w = &d->worlds[d->count];
    struct sched_pool *p = sched_pool_find(&d->m, pool ? pool : SCHED_ROOT_ID);

    ck_assert_uint_lt(d->count, d->room);
    ck_assert_int_eq(driver_step(d, (struct sched_input){.op = SCHED_OP_WORLD_ADD,
                                                         .small = p->node.flags & SCHED_POOL_VM
                                                                      ? SCHED_WORLD_VCPU
                                                                      : 0,
                                                         .id = 1000 + d->count,
                                                         .arg = pool,
                                                         .value = shares,
                                                         .storage = &w->e})
                         .status,
                     VMK_OK);
    d->count++;
    w->next = next;
    w->wake_at = PLAT_NS_NEVER;
    w->lock = pool >= 200 ? pool - 200 : 0;
    return w;
}

static inline void driver_wake(struct driver *d, struct driven *w, enum wake_reason reason)
{
    w->wake_at = PLAT_NS_NEVER;
    w->ready_at = d->now;
    ck_assert_int_eq(
        driver_step(d, (struct sched_input){.op = SCHED_OP_WAKE,
                                            .cpu = (uint32_t)rng_below(&d->rng, d->cpus),
                                            .small = reason,
                                            .id = w->e.node.id})
            .status,
        VMK_OK);
}

static inline void driver_start(struct driver *d, struct driven *w)
{
    driver_wake(d, w, WAKE_REASON_NEW);
}

static inline struct driven *driven_of(struct sched_entity *e)
{
    return e->idle ? NULL : container_of(e, struct driven, e);
}

static inline void driver_input(struct driver *d, unsigned cpu, enum sched_op op, uint32_t id,
                                uint32_t small)
{
    struct sched_decision decision =
        driver_step(d, (struct sched_input){.op = op, .cpu = cpu, .id = id, .small = small});

    ck_assert_int_eq(decision.status, VMK_OK);

    struct driven *w = driven_of(decision.next);

    if (w && w->ready_at) {
        w->most_latency = MAX(w->most_latency, d->now - w->ready_at);
        w->ready_at = 0;
    }
}

/* The running world of a CPU does all it does at this instant. */
static inline void driver_act(struct driver *d, unsigned cpu)
{
    for (;;) {
        struct driven *w = driven_of(d->m.cpu[cpu].current);
        struct step s;

        if (!w || (w->started && w->left))
            return;
        if (w->spins) {
            if (d->holder[w->lock] || d->serving[w->lock] != w->ticket)
                return;
            d->holder[w->lock] = w;
            w->spins = false;
        }
        w->started = true;
        s = w->next ? w->next(w, d->now) : (struct step){ACT_RUN, 1ull << 62};
        switch (s.act) {
        case ACT_RUN: w->left = s.time; break;
        case ACT_BLOCK:
        case ACT_IDLE:
        case ACT_IO:
            w->wake_at = d->now + s.time;
            driver_input(d, cpu, SCHED_OP_BLOCK, w->e.node.id,
                         s.act == ACT_BLOCK  ? SCHED_STATE_WAIT
                         : s.act == ACT_IDLE ? SCHED_STATE_WAIT_IDLE
                                             : SCHED_STATE_WAIT_IO);
            break;
        case ACT_LOCK:
            w->spins = true;
            w->ticket = d->tickets[w->lock]++;
            break;
        case ACT_UNLOCK:
            d->holder[w->lock] = NULL;
            d->serving[w->lock]++;
            break;
        case ACT_YIELD: driver_input(d, cpu, SCHED_OP_YIELD, w->e.node.id, 0); break;
        case ACT_EXIT: driver_input(d, cpu, SCHED_OP_EXIT, w->e.node.id, 0); break;
        }
    }
}

/* Everybody who can do something at this instant does it, in random order, until nobody can. */
static inline void driver_instant(struct driver *d)
{
    for (bool again = true; again;) {
        unsigned first = (unsigned)rng_below(&d->rng, d->cpus);

        again = false;
        for (unsigned i = 0; i < d->cpus; i++) {
            unsigned cpu = (first + i) % d->cpus;
            struct driven *before = driven_of(d->m.cpu[cpu].current);
            bool spun = before && before->spins;

            driver_act(d, cpu);
            again = again || (spun && !before->spins);
            if (d->kicked & BIT(cpu)) {
                d->kicked &= ~BIT(cpu);
                driver_input(d, cpu, SCHED_OP_RESCHED, 0, 0);
                again = true;
            } else if (d->deadline[cpu] <= d->now) {
                driver_input(d, cpu, SCHED_OP_TIMER, 0, 0);
                again = true;
            }
        }
        for (unsigned i = 0; i < d->count; i++) {
            if (d->worlds[i].wake_at <= d->now) {
                driver_wake(d, &d->worlds[i], WAKE_REASON_TIMER);
                again = true;
            }
        }
        if (d->kicked)
            again = true;
    }
}

/* How far those who run lead, before anything is done about it. */
static inline void driver_look(struct driver *d)
{
    for (unsigned i = 0; i < d->cpus; i++) {
        struct driven *w = driven_of(d->m.cpu[i].current);

        if (w)
            w->most_skew = MAX(w->most_skew, sched_entity_skew(&d->m, &w->e, d->now));
    }
}

static inline void driver_run(struct driver *d, plat_ns until)
{
    for (;;) {
        plat_ns next = until;

        driver_instant(d);
        for (unsigned i = 0; i < d->cpus; i++) {
            struct driven *w = driven_of(d->m.cpu[i].current);

            next = MIN(next, d->deadline[i]);
            if (w && !w->spins)
                next = MIN(next, d->now + w->left);
        }
        for (unsigned i = 0; i < d->count; i++)
            next = MIN(next, d->worlds[i].wake_at);
        for (unsigned i = 0; i < d->cpus; i++) {
            struct driven *w = driven_of(d->m.cpu[i].current);

            if (w && !w->spins)
                w->left -= next - d->now;
        }
        if (next <= d->now && next == until)
            return;
        d->now = next;
        driver_look(d);
        if (d->now >= until) {
            driver_instant(d);
            return;
        }
    }
}

static inline struct sched_times driver_times(const struct driver *d, const struct driven *w)
{
    struct sched_times t;

    sched_times_at(&w->e, d->now, &t);
    ck_assert(t.run + t.ready + t.costop + t.wait == d->now - t.created);
    return t;
}

static inline plat_ns driver_got(const struct driver *d, const struct driven *w)
{
    return driver_times(d, w).run;
}
