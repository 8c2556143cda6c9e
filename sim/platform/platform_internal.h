// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/platform_internal.h -- the state of a simulation, for the files that make it up.
 */
#pragma once

#include <ucontext.h>

#include "core/host.h"
#include "lib/rng.h"
#include "sim/platform/sim.h"

#define HOSTS_MAX   8u
#define SERIAL_SIZE 65536u
#define MODULES_MAX 64u

/* A kernel context: the kernel's own stacks are not used, see plat_context_init(). */
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

struct sim {
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
};
extern struct sim sim;  // cpu.c

/* ---- fiber.c ---- */

/* A new fiber, not yet running; ends the process if there is no memory. */
struct fiber *fiber_create(void);
/* Goes on in `to`; returns when somebody switches back. */
void fiber_switch(struct fiber *to);
