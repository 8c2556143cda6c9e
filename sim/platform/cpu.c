// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/cpu.c -- simulated CPUs, virtual time, interrupts: one host thread does it all.
 *
 * Every kernel context is a fiber. A CPU is a place where one fiber at a time is; exactly one
 * CPU of the process executes, and only at calls marked [switch] may another go on, chosen by
 * the seed among those that can. Kernel code takes no virtual time; time moves when every CPU
 * waits: then it jumps to the next instant at which one has something to do. So a run is a
 * function of (build, seed, options), and an hour of idling costs nothing.
 *
 *      OFF --start--> RUN --plat_cpu_idle--> IDLE --timer, kick--> RUN
 *                      |  --sim_work-------> WORK --its end, timer, kick--> RUN
 *                      +---halt others-----> HALTED
 *
 * Invariants
 *   - `now` never falls, and does not move while a CPU is runnable (dispatch()).
 *   - A timer's handler runs at exactly its deadline if interrupts are on.
 *   - Nothing depends on addresses or on the real clock.
 * Locking    none: one thread.
 */
#define _GNU_SOURCE  // pthread_getattr_np
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/platform/platform_internal.h"

#define FNV_OFFSET      0xcbf29ce484222325ull  // FNV-1a, 64 bits
#define FNV_PRIME       0x100000001b3ull
#define TSC_PER_NS      2u
#define BOOT_SECONDS    1769861696u  // 2026-01-31T12:14:56Z
#define RELAX_NS        50u          // what a spin of plat_cpu_relax() takes
#define SLICE_NS        10000u       // how far ring 3 may run ahead of another CPU
#define SLICES_TOGETHER 100u         // and when nobody else has anything to do

struct sim sim;

/* Two names for scripts/gdb/vmk.gdb, the same as in arch/x86/gdb.c; nothing else reads them. */
extern const struct host *vmk_host_now;
extern void *vmk_direct_map;
const struct host *vmk_host_now;
void *vmk_direct_map;

static void cpu_become(struct sim_cpu *c)
{
    sim.cpu = c;
    vmk_host_now = c->host ? &c->host->parts : NULL;
    vmk_direct_map = c->host ? c->host->arena : NULL;
}

/* ---- who runs next ---- */

static bool irq_pending(const struct sim_cpu *c)
{
    return c->kicked || c->timer <= sim.now;
}

/* The instant from which on it can go on; PLAT_NS_NEVER: only if somebody kicks it. */
static plat_ns ready_time(const struct sim_cpu *c)
{
    plat_ns interrupt = c->kicked ? sim.now : c->timer;

    switch (c->state) {
    case CPU_RUN: return c->ready_at;
    case CPU_IDLE: return interrupt;
    case CPU_WORK: return c->irqs_on ? MIN(c->ready_at, interrupt) : c->ready_at;
    case CPU_DRIVER: return sim.finished ? 0 : PLAT_NS_NEVER;
    case CPU_OFF:
    case CPU_HALTED: break;
    }
    return PLAT_NS_NEVER;
}

/* Until then nothing but this CPU can do anything. */
static plat_ns horizon(void)
{
    if (sim.horizon_known)
        return sim.horizon;
    sim.horizon = PLAT_NS_NEVER;
    sim.horizon_known = true;
    for (unsigned h = 0; h < sim.host_count; h++) {
        for (unsigned i = 0; i < sim.hosts[h]->cpu_count; i++) {
            const struct sim_cpu *c = &sim.hosts[h]->cpus[i];

            if (c != sim.cpu)
                sim.horizon = MIN(sim.horizon, ready_time(c));
        }
    }
    return sim.horizon;
}

/* The running CPU has set its state; comes back when it is its turn again. */
static void dispatch(void)
{
    struct sim_cpu *self = sim.cpu;
    struct sim_cpu *able[HOSTS_MAX * PLAT_CPUS_MAX];
    unsigned count = 0;
    plat_ns next = PLAT_NS_NEVER;

    for (unsigned h = 0; h < sim.host_count; h++) {
        for (unsigned i = 0; i < sim.hosts[h]->cpu_count; i++) {
            struct sim_cpu *c = &sim.hosts[h]->cpus[i];
            plat_ns at = MAX(ready_time(c), sim.now);

            if (at == PLAT_NS_NEVER)
                continue;
            if (at < next) {
                next = at;
                count = 0;
            }
            if (at == next)
                able[count++] = c;
        }
    }
    if (!count) {
        if (!sim.driver)
            sim_fail("every CPU waits and nothing will come");
        able[count++] = sim.driver;
        next = sim.now;
    }
    sim.now = next;

    struct sim_cpu *to = able[count > 1 ? rng_below(&sim.rng, count) : 0];

    sim.horizon_known = false;
    self->fiber = sim.fiber;
    if (to == self)
        return;
    cpu_become(to);
    fiber_switch(to->fiber);
}

/* A point where the seed may let another CPU go first. */
static void maybe_switch(unsigned one_in)
{
    if (rng_below(&sim.rng, one_in) == 0) {
        sim.cpu->state = CPU_RUN;
        sim.cpu->ready_at = sim.now;
        dispatch();
    }
}

static bool deliver_interrupts(void)
{
    bool any = false;

    while (sim.cpu->irqs_on && irq_pending(sim.cpu)) {
        struct sim_cpu *c = sim.cpu;
        const struct plat_handlers *handlers = &c->host->handlers;

        any = true;
        c->irqs_on = false;
        sim_hash_add(sim.now ^ ((uint64_t)c->index << 56) ^ (c->kicked ? 1 : 2));
        if (handlers->irq_enter)
            handlers->irq_enter();
        if (c->timer <= sim.now) {
            c->timer = PLAT_NS_NEVER;
            if (handlers->timer)
                handlers->timer();
        } else {
            c->kicked = false;
            if (handlers->kick)
                handlers->kick();
        }
        if (handlers->irq_leave)
            handlers->irq_leave();
        if (handlers->irq_exit)
            handlers->irq_exit();
        sim.cpu->irqs_on = true;
    }
    return any;
}

/* ---- plat.h: time, CPUs, interrupts ---- */

plat_ns plat_time_now(void)
{
    return sim.now;
}

uint64_t plat_tsc_now(void)
{
    return sim.now * TSC_PER_NS;
}

uint64_t plat_tsc_khz(void)
{
    return TSC_PER_NS * 1000000u;
}

uint64_t plat_wall_time_at_boot(void)
{
    return BOOT_SECONDS;
}

void plat_timer_arm(plat_ns deadline)
{
    sim.cpu->timer = deadline;
}

unsigned plat_cpu_self(void)
{
    return sim.cpu->index;
}

unsigned plat_cpu_count(void)
{
    return sim.cpu->host->cpu_count;
}

/* A core each, in one package. */
struct plat_cpu_place plat_cpu_place(unsigned cpu)
{
    return (struct plat_cpu_place){.core = (uint16_t)cpu};
}

bool plat_cpu_start(unsigned cpu, void (*entry)(void))
{
    struct sim_cpu *c = &sim.cpu->host->cpus[cpu];

    if (cpu >= sim.cpu->host->cpu_count || c->state != CPU_OFF)
        return false;
    c->fiber = fiber_create();
    c->fiber->cpu_entry = entry;
    c->irqs_on = false;
    c->ready_at = sim.now;
    c->state = CPU_RUN;
    sim.horizon_known = false;
    return true;
}

void plat_cpu_kick(unsigned cpu)
{
    struct sim_cpu *c = &sim.cpu->host->cpus[cpu];

    sim_hash_add(sim.now + 3 * cpu);
    if (c->state != CPU_OFF)
        c->kicked = true;
    sim.horizon_known = false;
}

void plat_cpu_relax(void)
{
    /* A spin takes time, else the CPU it waits for could be one that computes. */
    sim.cpu->state = CPU_RUN;
    sim.cpu->ready_at = sim.now + RELAX_NS;
    dispatch();
    deliver_interrupts();
}

void plat_cpu_idle(void)
{
    sim.cpu->irqs_on = true;
    sim.cpu->state = CPU_IDLE;
    dispatch();
    sim.cpu->state = CPU_RUN;
    sim.cpu->ready_at = sim.now;
    deliver_interrupts();
    sim.cpu->irqs_on = false;
}

bool plat_irq_save(void)
{
    bool were_on = sim.cpu->irqs_on;

    sim.cpu->irqs_on = false;
    return were_on;
}

void plat_irq_restore(bool was_on)
{
    if (!was_on)
        return;
    sim.cpu->irqs_on = true;
    maybe_switch(4);
    deliver_interrupts();
}

bool plat_irq_enabled(void)
{
    return sim.cpu->irqs_on;
}

void plat_irq_window(void)
{
    sim.cpu->irqs_on = true;
    deliver_interrupts();
    sim.cpu->irqs_on = false;
}

void plat_shake_point(void)
{
    if (sim.options.shake)
        maybe_switch(2);
}

void plat_handlers_set(const struct plat_handlers *handlers)
{
    sim.cpu->host->handlers = *handlers;
}

void plat_context_switch(struct plat_context *from, struct plat_context *to)
{
    struct fiber *target = to->opaque[0];

    from->opaque[0] = sim.fiber;
    sim_hash_add(sim.now * 31 + target->id * 64 + sim.cpu->index);
    fiber_switch(target);
}

static bool work(plat_ns duration)
{
    bool any = false;

    while (duration) {
        plat_ns start = sim.now;
        struct sim_cpu *c = sim.cpu;

        c->state = CPU_WORK;
        c->ready_at = sim.now + duration;
        dispatch();
        c->state = CPU_RUN;
        c->ready_at = sim.now;
        duration -= MIN(duration, sim.now - start);
        any |= deliver_interrupts();
    }
    return any;
}

void sim_work(plat_ns duration)
{
    (void)work(duration);
}

plat_ns sim_user_slice(void)
{
    const struct sim_cpu *c = sim.cpu;
    plat_ns slice = SLICE_NS;

    if (irq_pending(c))
        return 0;
    if (sim.options.shake)
        slice = 100 + rng_below(&sim.rng, SLICE_NS);
    if (horizon() > sim.now)
        slice = MAX(slice, MIN(horizon() - sim.now, SLICES_TOGETHER * SLICE_NS));
    return MIN(slice, c->timer - sim.now);
}

bool sim_user_elapsed(plat_ns duration)
{
    struct sim_cpu *c = sim.cpu;
    bool any = false;

    if (!c->kicked && sim.now + duration < MIN(c->timer, horizon())) {
        sim.now += duration;
        return false;
    }
    c->irqs_on = true;
    any = duration ? work(duration) : deliver_interrupts();
    sim.cpu->irqs_on = false;
    return any;
}

bool sim_guest_elapsed(plat_ns duration)
{
    if (sim.now + duration < horizon())
        sim.now += duration;
    else
        (void)work(duration);
    return irq_pending(sim.cpu);
}

/* ---- plat.h: ends ---- */

void plat_cpus_halt_others(void)
{
    for (unsigned i = 0; i < sim.cpu->host->cpu_count; i++) {
        if (&sim.cpu->host->cpus[i] != sim.cpu)
            sim.cpu->host->cpus[i].state = CPU_HALTED;
    }
}

static noreturn_fn void end(int status)
{
    fflush(NULL);
    exit(status);
}

void plat_stop(void)
{
    fprintf(stderr, "stopped at %llu ns, seed %llu\nagain: %s\n", (unsigned long long)sim.now,
            (unsigned long long)sim.options.seed,
            sim.options.command ? sim.options.command : "the same test");
    end(3);
}

void plat_power_off(void)
{
    if (sim.driver)
        sim_finish();
    end(0);
}

void plat_reset(void)
{
    plat_power_off();
}

/* ---- the simulation ---- */

void sim_fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "FAIL: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    plat_stop();
}

void sim_options_set(const struct sim_options *options)
{
    sim.options = *options;
    rng_init(&sim.rng, options->seed, "dispatch", 0);
    sim.hash = FNV_OFFSET;
}

const struct sim_options *sim_options_get(void)
{
    return &sim.options;
}

void sim_hash_add(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++, value >>= 8)
        sim.hash = (sim.hash ^ (value & 0xff)) * FNV_PRIME;
}

uint64_t sim_hash(void)
{
    return sim.hash;
}

void sim_host_start(struct sim_host *host, void (*entry)(void))
{
    struct sim_cpu *c = &host->cpus[0];

    c->fiber = fiber_create();
    c->fiber->cpu_entry = entry;
    c->ready_at = sim.now;
    c->state = CPU_RUN;
    sim.horizon_known = false;
}

bool sim_run(void)
{
    sim.finished = false;
    sim.driver = sim.cpu;
    sim.cpu->state = CPU_DRIVER;
    dispatch();
    sim.cpu->state = CPU_RUN;
    sim.driver = NULL;
    return sim.finished;
}

void sim_finish(void)
{
    if (!sim.driver)
        end(0);
    sim.finished = true;
    sim.cpu->state = CPU_HALTED;
    sim.cpu->fiber = sim.fiber;
    cpu_become(sim.driver);
    fiber_switch(sim.driver->fiber);
    abort();
}

__attribute__((constructor)) static void sim_begin(void)
{
    const struct sim_options defaults = {.seed = 1};
    pthread_attr_t attributes;

    sim_options_set(&defaults);
    if (!pthread_getattr_np(pthread_self(), &attributes)) {
        pthread_attr_getstack(&attributes, &sim.main_fiber.stack, &sim.main_fiber.stack_size);
        pthread_attr_destroy(&attributes);
    }
    sim.fiber = &sim.main_fiber;

    struct sim_host *host = sim_host_create(4, 64, "log=none");

    host->cpus[0].state = CPU_RUN;
    host->cpus[0].fiber = sim.fiber;
    cpu_become(&host->cpus[0]);
}
