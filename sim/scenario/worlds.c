// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/worlds.c -- worlds that wait, wake, end, are killed, are many, are on two hosts.
 *
 * accounting     random mixes of computing, sleeping and yielding; times add up at every look
 * pingpong       two worlds hand a token to and fro through wait queues; none is lost
 * waitq-timeout  time-outs come at their instant (but for spinning), wakes beat time-outs
 * kill           killing sleepers, runners and the dead
 * two-hosts      two hosts in one process do the same and do not see each other
 * many-worlds    1,024 worlds on 64 CPUs
 *
 * Invariants
 *   - Every world a scenario makes is joined, so that a leak shows in the owner counts.
 * Locking    as marked at each struct.
 */
#include <stdio.h>

#include "core/heap.h"
#include "lib/rng.h"
#include "mem/page.h"
#include "sim/scenario/scenario.h"

/* ---- accounting ---- */

static void mixed(void *argument)
{
    struct rng rng;

    rng_init(&rng, sim_options_get()->seed, "mixed", (uintptr_t)argument);
    for (unsigned i = 0; i < 60; i++) {
        switch (rng_below(&rng, 3)) {
        case 0: sim_work(rng_below(&rng, 30000000)); break;
        case 1:
            sim_check(world_sleep_until(plat_time_now() + rng_below(&rng, 8000000)) == VMK_OK,
                      "sleep");
            break;
        default: world_yield(); break;
        }
        if (i % 10 == 0)
            scenario_check_times();
    }
}

static void accounting_run(unsigned host)
{
    world_id ids[12];
    uint64_t pages = page_owned_count(MEM_OWNER_WORLD);
    uint64_t bytes = heap_owned(MEM_OWNER_WORLD);

    (void)host;
    for (unsigned i = 0; i < 12; i++)
        ids[i] = scenario_spawn("mixed", mixed, (void *)(uintptr_t)i, 500 + 300 * i, 0);
    for (unsigned i = 0; i < 12; i++)
        scenario_join(ids[i]);
    scenario_check_times();
    sim_check(page_owned_count(MEM_OWNER_WORLD) == pages, "stacks leaked");
    sim_check(heap_owned(MEM_OWNER_WORLD) == bytes, "worlds leaked");
    mem_print_owners();
    printf("12 worlds, the times of all add up\n");
}

/* ---- pingpong ---- */

struct pingpong {
    struct wait_queue queue;
    unsigned turn;   // queue.lock
    unsigned count;  // queue.lock
};
struct player {
    struct pingpong *game;
    unsigned side;
};
#define ROUNDS 2000u

static void play(void *argument)
{
    struct player *p = argument;
    struct pingpong *g = p->game;

    for (unsigned i = 0; i < ROUNDS; i++) {
        bool irqs = spin_lock(&g->queue.lock);

        while (g->turn != p->side) {
            sim_check(wait_queue_block(&g->queue, PLAT_NS_NEVER) == VMK_OK, "block");
            spin_lock_irqs_off(&g->queue.lock);
        }
        g->turn = !p->side;
        g->count++;
        spin_unlock(&g->queue.lock, irqs);
        (void)wait_queue_wake(&g->queue, 1);
        if (i % 16 == 0)
            sim_work(1000);
    }
}

static void pingpong_run(unsigned host)
{
    struct pingpong game = {.turn = 0};
    struct player players[2] = {{&game, 0}, {&game, 1}};

    (void)host;
    wait_queue_init(&game.queue, "pingpong");

    world_id a = scenario_spawn("ping", play, &players[0], 0, 0);
    world_id b = scenario_spawn("pong", play, &players[1], 0, 0);

    scenario_join(a);
    scenario_join(b);
    sim_check(game.count == 2 * ROUNDS, "%u passes", game.count);
    printf("%u passes\n", game.count);
}

/* ---- waitq-timeout ---- */

struct sleeper {
    struct wait_queue *queue;
    plat_ns deadline;
    vmk_status status;
    plat_ns woke;
};

static void sleep_once(void *argument)
{
    struct sleeper *s = argument;

    bool irqs = spin_lock(&s->queue->lock);

    s->status = wait_queue_block(s->queue, s->deadline);
    s->woke = plat_time_now();
    plat_irq_restore(irqs);
}

static void waitq_timeout_run(unsigned host)
{
    struct wait_queue queue;
    struct sleeper sleepers[16];
    world_id ids[16];

    (void)host;
    wait_queue_init(&queue, "sleepers");
    for (unsigned round = 0; round < 50; round++) {
        plat_ns start = plat_time_now();
        unsigned woken = 0;

        for (unsigned i = 0; i < 16; i++) {
            sleepers[i] = (struct sleeper){.queue = &queue, .deadline = start + 1000 * (i + 1)};
            ids[i] = scenario_spawn("sleeper", sleep_once, &sleepers[i], 0, 0);
        }
        /* Wakes and time-outs at the same instants. */
        sim_check(world_sleep_until(start + 8000) == VMK_OK, "sleep");
        woken = wait_queue_wake(&queue, 3);
        for (unsigned i = 0; i < 16; i++)
            scenario_join(ids[i]);
        for (unsigned i = 0; i < 16; i++) {
            struct sleeper *s = &sleepers[i];

            if (s->status == VMK_OK)
                woken--;
            else
                sim_check(s->status == VMK_TIMEOUT && s->woke >= s->deadline &&
                              s->woke < s->deadline + 5000,  // spinning takes time, too
                          "sleeper %u: %s at %llu, not %llu", i, vmk_status_name(s->status),
                          (unsigned long long)s->woke, (unsigned long long)s->deadline);
        }
        sim_check(woken == 0, "%d wakes too many or few", (int)woken);
    }
    printf("50 rounds of 16 sleepers\n");
}

/* ---- kill ---- */

static void sleep_for_ever(void *argument)
{
    (void)argument;
    world_exit(world_sleep_until(PLAT_NS_NEVER) == VMK_KILLED ? 7 : 1);
}

static void compute_for_ever(void *argument)
{
    (void)argument;
    while (!world_kill_pending())
        sim_work(100000);
    world_exit(8);
}

struct waiting {
    world_id child;
    vmk_status status;
};

static void wait_child(void *argument)
{
    struct waiting *w = argument;
    int code;

    w->status = world_wait(w->child, PLAT_NS_NEVER, &code);
}

static void kill_run(unsigned host)
{
    const world_id nobody = {999999};
    int code;

    (void)host;
    for (unsigned i = 0; i < 100; i++) {
        world_id a = scenario_spawn("sleeper", sleep_for_ever, NULL, 0, 0);
        world_id b = scenario_spawn("runner", compute_for_ever, NULL, 0, 0);
        struct waiting waiting[3] = {{.child = a}, {.child = a}, {.child = a}};
        world_id w[3];

        for (unsigned k = 0; k < 3; k++)
            w[k] = scenario_spawn("waiter", wait_child, &waiting[k], 0, 0);
        if (i & 1)
            sim_work(50000);
        sim_check(world_wait(a, plat_time_now() + 1000, &code) == VMK_TIMEOUT, "no time-out");
        sim_check(world_kill(w[0]) == VMK_OK, "kill waiter");
        scenario_join(w[0]);
        sim_check(waiting[0].status == VMK_KILLED, "waiter: %s",
                  vmk_status_name(waiting[0].status));
        sim_check(world_kill(a) == VMK_OK && world_kill(b) == VMK_OK, "kill");
        sim_check(scenario_join(b) == 8, "runner's code");
        scenario_join(w[1]);
        scenario_join(w[2]);
        /* One of the two collected it. */
        sim_check((waiting[1].status == VMK_OK) + (waiting[2].status == VMK_OK) == 1 &&
                      (waiting[1].status == VMK_NOT_FOUND) +
                              (waiting[2].status == VMK_NOT_FOUND) ==
                          1,
                  "waiters: %s %s", vmk_status_name(waiting[1].status),
                  vmk_status_name(waiting[2].status));
        sim_check(world_wait(a, PLAT_NS_NEVER, &code) == VMK_NOT_FOUND, "found the dead");
    }
    sim_check(world_kill(nobody) == VMK_NOT_FOUND, "killed nobody");
    printf("100 rounds\n");
}

/* ---- two-hosts ---- */

static void two_hosts_run(unsigned host)
{
    pingpong_run(host);
    scenario_check_times();
    printf("host %u done at %llu\n", host, (unsigned long long)plat_time_now());
    if (host == 0)
        sim_check(world_sleep_until(plat_time_now() + 1000000000) == VMK_OK, "sleep");
}

/* ---- many-worlds ---- */

static void short_life(void *argument)
{
    for (unsigned i = 0; i < 3; i++) {
        sim_work(1000000 + 1000 * (uintptr_t)argument);
        sim_check(world_sleep_until(plat_time_now() + 500000) == VMK_OK, "sleep");
    }
}

static void many_worlds_run(unsigned host)
{
    static world_id ids[1024];
    plat_ns start = plat_time_now();

    (void)host;
    for (unsigned i = 0; i < 1024; i++)
        ids[i] = scenario_spawn("short", short_life, (void *)(uintptr_t)i, 0, 0);
    for (unsigned i = 0; i < 1024; i++)
        scenario_join(ids[i]);
    scenario_check_times();

    /* 1,024 x 3 x 1.5 ms of work are 72.7 ms on 64 CPUs; a quantum of imbalance at each end. */
    plat_ns took = plat_time_now() - start;

    printf("1024 worlds in %llu us\n", (unsigned long long)(took / 1000));
    sim_check(took < 120000000ull * 64 / plat_cpu_count(), "CPUs idled");
}

/* ---- planted race ---- */

struct planted {
    struct spinlock lock;
    unsigned value;  // read and written under the lock, but in two steps: the race
};

static void increment(void *argument)
{
    struct planted *p = argument;

    for (unsigned i = 0; i < 50; i++) {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&p->lock);
        unsigned value = p->value;
        spin_unlock_irqs_off(&p->lock);

        spin_lock_irqs_off(&p->lock);
        p->value = value + 1;
        spin_unlock_irqs_off(&p->lock);
        plat_irq_restore(irqs);
    }
}

static void planted_race_run(unsigned host)
{
    struct planted planted = {.value = 0};
    world_id ids[4];

    (void)host;
    spin_init(&planted.lock, "planted", LOCK_RANK_TEST);
    for (unsigned i = 0; i < 4; i++)
        ids[i] = scenario_spawn("increment", increment, &planted, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        scenario_join(ids[i]);
    sim_check(planted.value == 200, "the planted race: %u of 200", planted.value);
}

const struct scenario scenario_accounting = {
    .name = "accounting", .what = "times add up exactly", .cpus = 3, .run = accounting_run};
const struct scenario scenario_pingpong = {
    .name = "pingpong", .what = "no wake-up is lost", .cpus = 2, .run = pingpong_run};
const struct scenario scenario_waitq_timeout = {.name = "waitq-timeout",
                                                .what = "time-outs and wakes",
                                                .cpus = 4,
                                                .run = waitq_timeout_run};
const struct scenario scenario_kill = {
    .name = "kill", .what = "killing worlds in every state", .cpus = 2, .run = kill_run};
const struct scenario scenario_two_hosts = {.name = "two-hosts",
                                            .what = "two hosts in one process",
                                            .cpus = 2,
                                            .hosts = 2,
                                            .run = two_hosts_run};
const struct scenario scenario_many_worlds = {.name = "many-worlds",
                                              .what = "1,024 worlds on 64 CPUs",
                                              .cpus = 64,
                                              .run = many_worlds_run};
const struct scenario scenario_planted_race = {.name = "planted-race",
                                               .what = "a race that only --shake finds",
                                               .cpus = 4,
                                               .unlisted = true,
                                               .run = planted_race_run};
const struct scenario scenario_canary_race = {.name = "canary-race",
                                              .what = "planted-race, shaken: has to fail",
                                              .cpus = 4,
                                              .shake = true,
                                              .run = planted_race_run};
