// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/service.c -- %SYS and %OVRLP on the whole kernel: interrupts that take time, and for whom.
 *
 * A timer of one CPU fires 1,000 times a second and each time works for 25 us before and after
 * it wakes a world. Two hogs of equal shares are what it interrupts. What the device costs has
 * to appear as the served world's %SYS and as the hogs' %OVRLP, to the nanosecond, and nowhere
 * in what they are charged: the CPU's time is divided among the three as shares say when system
 * time counts and overlap does not.
 *
 * A helper world serves the requests of a customer on a busy CPU and says so: its work is the
 * customer's %SYS and the helper's %OVRLP, and customer and hog are even in what they pay.
 *
 * Then the same timer works for nobody, and longer, as the end of a quantum or a kick does
 * where interrupts are dear, and hits one hog only: then nothing is overlap, and the hogs are
 * even in %RUN.
 *
 * Invariants
 *   - Every world's times add up at the end (scenario_check_times()).
 * Locking    the device's wait queue.
 */
#include <stdio.h>

#include "core/timer.h"
#include "sim/scenario/scenario.h"
#include "world/waitq.h"

#define MS 1000000ull

struct device {
    struct timer timer;
    struct wait_queue queue;
    plat_ns period, cost, until;
    uint64_t fired, seen;
    world_id served;
    world_id hit;  // of idle_fires(): whom it works in
};

static void device_fires(struct timer *timer)
{
    struct device *d = timer->owner;

    sim_work(d->cost / 2);
    d->fired++;
    if (!wait_queue_wake(&d->queue, WAIT_QUEUE_ALL))
        sched_irq_for(d->served.raw);  // it has not come to the last one yet
    sim_work(d->cost - d->cost / 2);
    if (timer->deadline < d->until)
        timer_arm(timer, timer->deadline + d->period);
}

/* Works for nobody while that world runs; its neighbour is left alone. */
static void idle_fires(struct timer *timer)
{
    struct device *d = timer->owner;

    if (world_current()->id.raw == d->hit.raw) {
        d->fired++;
        sim_work(d->cost);
    }
    if (timer->deadline < d->until)
        timer_arm(timer, timer->deadline + d->period);
}

static void serve(void *argument)
{
    struct device *d = argument;

    timer_arm(&d->timer, plat_time_now() + d->period);
    while (plat_time_now() < d->until) {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&d->queue.lock);
        if (d->seen == d->fired)
            (void)!wait_queue_block(&d->queue, PLAT_NS_NEVER);
        else
            spin_unlock_irqs_off(&d->queue.lock);
        d->seen = d->fired;
        plat_irq_restore(irqs);
        sim_work(5000);
    }
}

static void compute(void *argument)
{
    const struct device *d = argument;

    while (plat_time_now() < d->until)
        sim_work(200000);
}

static struct sched_sample sample(world_id id)
{
    struct sched_sample s;

    sim_check(sched_sample_get(id.raw, &s) == VMK_OK, "no sample of %u", id.raw);
    return s;
}

static void show(const char *name, const struct sched_sample *before,
                 const struct sched_sample *after)
{
    uint64_t c[ESXTOP_COLUMNS];

    esxtop_columns(before, after, c);
    printf("%-8s", name);
    for (unsigned i = ESXTOP_USED; i <= ESXTOP_SWPWT; i++)
        printf(" %s %llu.%02llu", esxtop_column_name((enum esxtop_column)i),
               (unsigned long long)c[i] / 100, (unsigned long long)c[i] % 100);
    printf("\n");
}

static void charge_served(void)
{
    plat_ns start = plat_time_now();
    struct device d = {.period = MS, .cost = 50000, .until = start + 2000 * MS};
    struct sched_sample before[3], after[3];
    world_id id[3];

    wait_queue_init(&d.queue, "device");
    timer_init(&d.timer, device_fires, &d);
    id[0] = scenario_spawn("served", serve, &d, 0, 0);
    d.served = id[0];
    id[1] = scenario_spawn("hog", compute, &d, 0, 0);
    id[2] = scenario_spawn("hog", compute, &d, 0, 0);
    sim_check(world_sleep_until(start + 500 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 3; i++)
        before[i] = sample(id[i]);

    uint64_t fired = d.fired;

    sim_check(world_sleep_until(start + 1500 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 3; i++)
        after[i] = sample(id[i]);
    fired = d.fired - fired;

    plat_ns work = fired * d.cost;
    plat_ns system = after[0].system - before[0].system;
    plat_ns overlap =
        after[1].overlap - before[1].overlap + after[2].overlap - before[2].overlap;
    plat_ns used = after[0].used - before[0].used;
    plat_ns hogs[2];

    for (unsigned i = 0; i < 3; i++)
        show(i ? "hog" : "served", &before[i], &after[i]);
    /*
     * Cut at the ends: what a CPU has not told yet. What hits the served world itself is in its
     * run.
     */
    sim_check(used + 10 * d.cost >= work && used <= work + 10 * MS,
              "%llu us are charged for %llu", (unsigned long long)used / 1000,
              (unsigned long long)work / 1000);
    sim_check(system * 20 >= work * 19 && system <= work + 10 * d.cost,
              "%%SYS is %llu us of %llu", (unsigned long long)system / 1000,
              (unsigned long long)work / 1000);
    sim_check(overlap + d.cost >= system && overlap <= system + d.cost,
              "%%OVRLP is %llu us of %llu", (unsigned long long)overlap / 1000,
              (unsigned long long)system / 1000);
    sim_check(after[0].overlap - before[0].overlap <= d.cost,
              "the served world was interrupted");
    for (unsigned i = 0; i < 2; i++)
        hogs[i] = after[i + 1].used - before[i + 1].used;
    printf("used: served %llu us, hogs %llu and %llu us\n", (unsigned long long)used / 1000,
           (unsigned long long)hogs[0] / 1000, (unsigned long long)hogs[1] / 1000);
    sim_check(hogs[0] + 12 * MS >= hogs[1] && hogs[1] + 12 * MS >= hogs[0],
              "equal hogs were charged unequally");
    /* All that the CPU did was charged to one of the three. */
    plat_ns all = used + hogs[0] + hogs[1];
    plat_ns passed = after[0].at - before[0].at;

    sim_check(all + MS >= passed && all <= passed + MS, "of %llu us %llu were charged",
              (unsigned long long)passed / 1000, (unsigned long long)all / 1000);
    for (unsigned i = 0; i < 3; i++)
        scenario_join(id[i]);
    timer_cancel(&d.timer);
}

struct shop {
    struct wait_queue queue;
    world_id customer;
    plat_ns until, work, told;
    uint64_t asked, served;
};

/* Blocks until the two counters differ, or are equal again. */
static void await(struct shop *shop, bool differ)
{
    bool irqs = plat_irq_save();

    for (;;) {
        spin_lock_irqs_off(&shop->queue.lock);
        if ((shop->asked != shop->served) == differ)
            break;
        (void)!wait_queue_block(&shop->queue, PLAT_NS_NEVER);
    }
    spin_unlock_irqs_off(&shop->queue.lock);
    plat_irq_restore(irqs);
}

static void buy(void *argument)
{
    struct shop *shop = argument;

    while (plat_time_now() < shop->until) {
        sim_work(MS);
        shop->asked++;
        wait_queue_wake(&shop->queue, WAIT_QUEUE_ALL);
        await(shop, false);
    }
    shop->work = 0;  // closed
    shop->asked++;
    wait_queue_wake(&shop->queue, WAIT_QUEUE_ALL);
}

static void help(void *argument)
{
    struct shop *shop = argument;

    for (;;) {
        await(shop, true);
        if (!shop->work)
            return;

        plat_ns before = sched_run_time();

        sim_work(shop->work);

        plat_ns run = sched_run_time() - before;

        sim_check(run >= shop->work && run <= shop->work + 200000,
                  "%llu us of work were %llu of run", (unsigned long long)shop->work / 1000,
                  (unsigned long long)run / 1000);
        sched_system_time(shop->customer.raw, run);
        shop->told += run;
        shop->served++;
        wait_queue_wake(&shop->queue, WAIT_QUEUE_ALL);
    }
}

static void charge_helper(void)
{
    plat_ns start = plat_time_now();
    struct device d = {.until = start + 2000 * MS};
    struct shop shop = {.until = start + 1800 * MS, .work = 3 * MS};
    struct sched_sample s[3];
    world_id id[3];

    wait_queue_init(&shop.queue, "shop");
    id[0] = scenario_spawn("customer", buy, &shop, 0, 0);
    id[1] = scenario_spawn("hog", compute, &d, 0, 0);
    shop.customer = id[0];
    id[2] = scenario_spawn("helper", help, &shop, 0, 0);
    sim_check(world_sleep_until(start + 1500 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = {"customer", "hog", "helper"};

        s[i] = sample(id[i]);
        show(names[i], NULL, &s[i]);
    }
    sim_check(s[0].system + MS >= shop.told && s[0].system <= shop.told + MS,
              "%%SYS is %llu us of %llu", (unsigned long long)s[0].system / 1000,
              (unsigned long long)shop.told / 1000);
    sim_check(shop.told >= 300 * MS, "the helper ran %llu us",
              (unsigned long long)shop.told / 1000);
    sim_check(s[2].overlap + MS >= shop.told && s[2].overlap <= shop.told + MS,
              "%%OVRLP is %llu us", (unsigned long long)s[2].overlap / 1000);
    /*
     * The customer and the hog are even in what they pay; the helper pays for nearly nothing.
     */
    sim_check(s[0].used + 40 * MS >= s[1].used && s[1].used + 40 * MS >= s[0].used,
              "charged: customer %llu us, hog %llu", (unsigned long long)s[0].used / 1000,
              (unsigned long long)s[1].used / 1000);
    sim_check(s[2].used <= 10 * MS, "the helper was charged %llu us",
              (unsigned long long)s[2].used / 1000);
    for (unsigned i = 0; i < 3; i++)
        scenario_join(id[i]);
}

static void charge_nobody(void)
{
    plat_ns start = plat_time_now();
    struct device d = {.period = MS, .cost = 300000, .until = start + 2000 * MS};
    struct sched_sample before[2], after[2];
    world_id id[2];

    for (unsigned i = 0; i < 2; i++)
        id[i] = scenario_spawn("hog", compute, &d, 0, 0);
    d.hit = id[0];
    timer_init(&d.timer, idle_fires, &d);
    timer_arm(&d.timer, start + d.period);
    sim_check(world_sleep_until(start + 500 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 2; i++)
        before[i] = sample(id[i]);
    sim_check(world_sleep_until(start + 1500 * MS) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 2; i++) {
        after[i] = sample(id[i]);
        show(i ? "spared" : "hit", &before[i], &after[i]);
        /* The end of the sleep is for somebody. */
        sim_check(after[i].overlap - before[i].overlap <= MS, "nobody's work is overlap");
    }
    sim_check(d.fired >= 500, "%llu interrupts in two seconds", (unsigned long long)d.fired);

    plat_ns run[2] = {after[0].run - before[0].run, after[1].run - before[1].run};

    sim_check(run[0] + 12 * MS >= run[1] && run[1] + 12 * MS >= run[0],
              "equal hogs ran %llu and %llu us", (unsigned long long)run[0] / 1000,
              (unsigned long long)run[1] / 1000);
    for (unsigned i = 0; i < 2; i++)
        scenario_join(id[i]);
    timer_cancel(&d.timer);
}

static void service_run(unsigned host)
{
    (void)host;
    charge_served();
    charge_helper();
    charge_nobody();
    scenario_check_times();
}

const struct scenario scenario_service = {.name = "service",
                                          .what = "interrupt time: %SYS and %OVRLP",
                                          .cpus = 1,
                                          .cpus_fixed = true,
                                          .run = service_run};
