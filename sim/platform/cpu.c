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
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "core/host.h"
#include "lib/rng.h"
#include "sim/platform/sim.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif
#if WITH_ASAN
#include <sanitizer/common_interface_defs.h>
const char *__asan_default_options(void);
/* Fiber stacks and arenas are no roots for the leak finder. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0:detect_stack_use_after_return=0";
}
#endif

#define HOSTS_MAX        8u
#define FIBER_STACK_SIZE (256u << 10)
#define SERIAL_SIZE      65536u
#define MODULES_MAX      64u
#define RELAX_NS         50u
#define SLICE_NS         10000u  // how far ring 3 may run ahead of another CPU
#define SLICES_TOGETHER  100u    // and when nobody else has anything to do
#define LOW_RAM_END      0x9f000ull
#define KERNEL_BASE      0x100000ull
#define RAM_BASE         0x200000ull

struct fiber {
    ucontext_t context;
    void *stack;
    size_t stack_size;
    uint64_t id;
    void (*entry)(void *);
    void *argument;
    void (*cpu_entry)(void);
};

enum cpu_state {
    CPU_OFF,
    CPU_RUN,
    CPU_IDLE,
    CPU_WORK,
    CPU_DRIVER,
    CPU_HALTED
};

struct sim_cpu {
    struct sim_host *host;
    unsigned index;
    enum cpu_state state;
    struct fiber *fiber;  // where it goes on
    plat_ns ready_at;     // RUN: not before; WORK: its end
    plat_ns timer;
    bool irqs_on;
    bool kicked;
};

struct sim_host {
    struct host parts;
    unsigned index;
    unsigned cpu_count;
    struct sim_cpu cpus[PLAT_CPUS_MAX];
    struct plat_handlers handlers;
    unsigned char *arena;
    uint64_t arena_size;
    char *command_line;
    struct rng entropy;
    struct {
        char out[SERIAL_SIZE];
        size_t out_length;
        char in[SERIAL_SIZE];
        size_t in_read, in_written;
    } serial[2];
};

static struct sim {
    struct sim_options options;
    struct rng rng;
    plat_ns now;
    uint64_t hash;
    uint64_t fiber_ids;
    struct fiber main_fiber;
    struct fiber *fiber;     // running
    struct fiber *garbage;   // its stack may go now
    struct sim_cpu *cpu;     // running
    struct sim_cpu *driver;  // in sim_run()
    bool finished;
    struct sim_host *hosts[HOSTS_MAX];
    plat_ns horizon;     // when the first of the other CPUs can go on; see horizon()
    bool horizon_known;  // until another CPU runs or is given something to do
    struct plat_module modules[MODULES_MAX];  // of every host
    size_t module_count;
    unsigned host_count;
} sim;

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

/* ---- fibers ---- */

static void fiber_arrived(void)
{
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    if (sim.garbage) {
        munmap(sim.garbage->stack, sim.garbage->stack_size);
        free(sim.garbage);
        sim.garbage = NULL;
    }
}

static void fiber_switch(struct fiber *to)
{
    struct fiber *from = sim.fiber;

    if (to == from)
        return;
    sim.fiber = to;
#if WITH_ASAN
    void *fake;

    __sanitizer_start_switch_fiber(&fake, to->stack, to->stack_size);
#endif
    swapcontext(&from->context, &to->context);
    fiber_arrived();
}

static void fiber_main(void)
{
    struct fiber *self = sim.fiber;

    fiber_arrived();
    if (self->cpu_entry)
        self->cpu_entry();
    else
        self->entry(self->argument);
    sim_fail("a context returned from its entry");
}

static struct fiber *fiber_create(void)
{
    struct fiber *f = calloc(1, sizeof(*f));

    f->id = ++sim.fiber_ids;
    f->stack_size = FIBER_STACK_SIZE;
    f->stack = mmap(NULL, f->stack_size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->stack == MAP_FAILED)
        sim_fail("no memory for a stack");
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->stack_size;
    makecontext(&f->context, fiber_main, 0);
    return f;
}

void plat_context_init(struct plat_context *context, void *stack, size_t size,
                       void (*entry)(void *), void *argument)
{
    struct fiber *f = fiber_create();

    /* The kernel's stack is too small for the C library under a sanitizer; fibers bring
     * theirs. */
    (void)stack;
    (void)size;
    f->entry = entry;
    f->argument = argument;
    context->opaque[0] = f;
}

void plat_context_release(struct plat_context *context)
{
    struct fiber *f = context->opaque[0];

    context->opaque[0] = NULL;
    if (f) {
        munmap(f->stack, f->stack_size);
        free(f);
    }
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
    return sim.now * 2;
}

uint64_t plat_tsc_khz(void)
{
    return 2000000;
}

uint64_t plat_wall_time_at_boot(void)
{
    return 1769861696;
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

/* ---- plat.h: memory, boot, console ---- */

size_t plat_memory_map(struct plat_region *out, size_t room)
{
    const struct plat_region map[] = {
        {paddr_make(0), LOW_RAM_END, PLAT_REGION_RAM},
        {paddr_make(LOW_RAM_END), KERNEL_BASE - LOW_RAM_END, PLAT_REGION_RESERVED},
        {paddr_make(KERNEL_BASE), RAM_BASE - KERNEL_BASE, PLAT_REGION_KERNEL},
        {paddr_make(RAM_BASE), sim.cpu->host->arena_size - RAM_BASE, PLAT_REGION_RAM},
    };

    memcpy(out, map, MIN(room, ARRAY_COUNT(map)) * sizeof(map[0]));
    return ARRAY_COUNT(map);
}

uint64_t sim_memory_size(void)
{
    return sim.cpu->host->arena_size;
}

void *plat_map(paddr_t pa)
{
    if (pa.raw >= sim.cpu->host->arena_size)
        sim_fail("plat_map(0x%llx) is beyond memory", (unsigned long long)pa.raw);
    return sim.cpu->host->arena + pa.raw;
}

paddr_t plat_unmap_address(const void *va)
{
    return paddr_make((uint64_t)((const unsigned char *)va - sim.cpu->host->arena));
}

const char *plat_command_line(void)
{
    return sim.cpu->host->command_line;
}

size_t plat_modules(const struct plat_module **out)
{
    *out = sim.modules;
    return sim.module_count;
}

void sim_module_add(const char *name, const void *data, size_t size)
{
    if (sim.module_count == MODULES_MAX)
        sim_fail("more than %u boot modules", MODULES_MAX);
    sim.modules[sim.module_count++] =
        (struct plat_module){.name = name, .data = data, .size = size};
}

uint64_t plat_entropy(void)
{
    return rng_next(&sim.cpu->host->entropy);
}

void plat_console_write(const char *text, size_t length)
{
    fwrite(text, 1, length, stderr);
}

void plat_serial_write(unsigned port, const char *text, size_t length)
{
    struct sim_host *host = sim.cpu->host;

    for (size_t i = 0; i < length && host->serial[port].out_length < SERIAL_SIZE; i++)
        host->serial[port].out[host->serial[port].out_length++] = text[i];
}

int plat_serial_read(unsigned port)
{
    struct sim_host *host = sim.cpu->host;

    if (host->serial[port].in_read == host->serial[port].in_written)
        return -1;
    return (unsigned char)host->serial[port].in[host->serial[port].in_read++ % SERIAL_SIZE];
}

const char *sim_serial_text(unsigned port, size_t *length)
{
    *length = sim.cpu->host->serial[port].out_length;
    return sim.cpu->host->serial[port].out;
}

void sim_serial_feed(unsigned port, const char *text, size_t length)
{
    struct sim_host *host = sim.cpu->host;

    for (size_t i = 0; i < length; i++)
        host->serial[port].in[host->serial[port].in_written++ % SERIAL_SIZE] = text[i];
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

size_t plat_backtrace(uint64_t *out, size_t room)
{
    void *addresses[64];
    int count = backtrace(addresses, (int)MIN(room, ARRAY_COUNT(addresses)));

    for (int i = 0; i < count; i++)
        out[i] = (uint64_t)(uintptr_t)addresses[i];
    return (size_t)count;
}

const struct host *plat_host_self(void)
{
    return &sim.cpu->host->parts;
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
    sim.hash = 0xcbf29ce484222325ull;
}

const struct sim_options *sim_options_get(void)
{
    return &sim.options;
}

void sim_hash_add(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++, value >>= 8)
        sim.hash = (sim.hash ^ (value & 0xff)) * 0x100000001b3ull;
}

uint64_t sim_hash(void)
{
    return sim.hash;
}

/* One zeroed block per part; the sizes come from HOST_STATE() in each subsystem. */
#define HOST_PART(name) extern const size_t name##_state_size __attribute__((weak));
#include "core/host.def"

static void *part_create(const size_t *size)
{
    /* A subsystem that is not linked into this program has no state. */
    size_t bytes = size ? (size_t)round_up(*size, 64) : 64;

    return aligned_alloc(64, bytes) ?: (abort(), NULL);
}

static void *zeroed(void *block, const size_t *size)
{
    memset(block, 0, size ? (size_t)round_up(*size, 64) : 64);
    return block;
}

static void parts_create(struct host *parts)
{
    const size_t *size;

#define HOST_PART(name)                                                                        \
    size = &name##_state_size;                                                                 \
    parts->name = zeroed(part_create(size), size);
#include "core/host.def"
}

struct sim_host *sim_host_create(unsigned cpus, unsigned megabytes, const char *command_line)
{
    struct sim_host *host = calloc(1, sizeof(*host));

    if (!host || sim.host_count == HOSTS_MAX)
        sim_fail("too many hosts");
    host->index = sim.host_count;
    host->cpu_count = cpus;
    host->command_line = strdup(command_line);
    host->arena_size = (uint64_t)megabytes << 20;
    host->arena = mmap(NULL, host->arena_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host->arena == MAP_FAILED)
        sim_fail("no memory for a host");
    parts_create(&host->parts);
    rng_init(&host->entropy, sim.options.seed, "entropy", host->index);
    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++)
        host->cpus[i] = (struct sim_cpu){.host = host, .index = i, .timer = PLAT_NS_NEVER};
    sim.hosts[sim.host_count++] = host;
    return host;
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

unsigned sim_host_index(const struct sim_host *host)
{
    return host->index;
}

struct sim_host *sim_host_current(void)
{
    return sim.cpu->host;
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
