// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/sim.h -- the simulated machine from outside: hosts, virtual time, seed, hash.
 *
 * A process holds one simulation. A constructor makes host 0, with the calling thread as its
 * CPU 0, so that unit tests may use the kernel's functions at once. Scenarios make further
 * hosts.
 */
#pragma once

#include "plat/plat.h"
#include "plat/plat_virt.h"

struct sim_host;

struct sim_options {
    uint64_t seed;
    bool shake;                    // also switch CPUs at every lock
    bool verbose;                  // kernel logs to stderr
    const char *command;           // what repeats this run, for the last words
    uint64_t instructions_per_us;  // how fast ring 3 and guests run; 0: the engine's own choice
};
void sim_options_set(const struct sim_options *options);
const struct sim_options *sim_options_get(void);

/* A machine with `cpus` CPUs, all off, and `megabytes` of RAM. */
struct sim_host *sim_host_create(unsigned cpus, unsigned megabytes, const char *command_line);
/* Starts its CPU 0 in `entry`, irqs off, at the next dispatch. */
void sim_host_start(struct sim_host *host, void (*entry)(void));
unsigned sim_host_index(const struct sim_host *host);
struct sim_host *sim_host_current(void);

/* The calling thread lets the hosts run until sim_finish() or until nothing can happen any
 * more.
 * Returns true if it was sim_finish(). */
bool sim_run(void);
/* Called by any simulated CPU; never returns. */
noreturn_fn void sim_finish(void);

/* The current world computes for that long in virtual time; interrupts come at their
 * instant. */
void sim_work(plat_ns duration);
/*
 * For code that runs by itself (ring 3, a guest; sim/engine/): how long it may run ahead before
 * virtual time has to catch up, 0 when an interrupt is due now; and that it ran so long, with
 * interrupts on. True: an interrupt was served, and the world may be on another CPU. Irqs off.
 * [switch]
 */
plat_ns sim_user_slice(void);
bool sim_user_elapsed(plat_ns duration);
/* The same with interrupts off. True: an interrupt is due. */
bool sim_guest_elapsed(plat_ns duration);
/* Mixes a value into the hash of the run. */
void sim_hash_add(uint64_t value);
uint64_t sim_hash(void);
/* Fails the run: prints, and ends the process with status 3 and the command that repeats it. */
noreturn_fn void sim_fail(const char *format, ...) printf_like(1, 2);
#define sim_check(condition, ...)                                                              \
    do {                                                                                       \
        if (!(condition))                                                                      \
            sim_fail(__VA_ARGS__);                                                             \
    } while (0)

/* A boot module that every host finds; name and data stay the caller's. Before hosts start. */
void sim_module_add(const char *name, const void *data, size_t size);
/* Bytes of the current host's memory, which begins at plat_map() of machine address 0. */
uint64_t sim_memory_size(void);
/* What plat_fpu_save(), plat_fpu_load() and plat_user_code_changed() do; without: nothing. */
void sim_engine_hooks(void (*save)(void *area), void (*load)(const void *area),
                      void (*code_changed)(paddr_t pa, uint64_t size));

/* What the current host wrote to a serial port so far, and input for it to read. */
const char *sim_serial_text(unsigned port, size_t *length);
void sim_serial_feed(unsigned port, const char *text, size_t length);

/* For unit tests (sim/model/test_host.c): brings up core, mem, sched and world on host 0. */
void sim_test_begin(void);
/* The same with so many CPUs (at most 4). */
void sim_test_begin_cpus(unsigned cpus);
/* After sim_test_begin(): runs `entry` in a world until it returns; CPU 0 idles meanwhile. */
void sim_test_run(void (*entry)(void *), void *argument);

/* ---- virtualization instructions (virt.c); per process ---- */
void sim_virt_reset(void);
void sim_msr_set(uint32_t index, uint64_t value);
void sim_cpuid_set(uint32_t leaf, uint32_t subleaf, struct plat_cpuid value);
/* What entering the guest does. */
void sim_svm_enter_hook(void (*enter)(struct plat_guest_regs *regs, paddr_t vmcb));
