// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/engine.h -- what the engine's files share: the CPU's engine, the host's memory.
 */
#pragma once

#include "plat/plat_types.h"
#include "sim/engine/uc_shim.h"

/* Virtual time: one instruction is one nanosecond, unless sim_options says otherwise. */
#define ENGINE_INSTRUCTIONS_PER_US 1000u

/* The current host's memory as engine CPUs see it; made, after the self-test, at first use. */
struct uc_shim_memory *engine_memory(void);
/* The engine CPU that runs ring 3 on the current CPU. */
struct uc_shim *engine_of_cpu(void);

/* How many instructions fit into that time, when `carry` was left of the last; at least one. */
uint64_t engine_instructions(plat_ns slice, uint64_t carry);
/* The time that so many took; what is not a whole nanosecond stays in *carry. */
plat_ns engine_elapsed(uint64_t executed, uint64_t *carry);
/* The host's time stamp counter so many instructions into a run. */
uint64_t engine_tsc(uint64_t executed, uint64_t carry);

/* What CPUID answers in ring 3. In and out: EAX EBX ECX EDX, leaf in EAX. */
void engine_user_cpuid(void *context, uint32_t regs[4]);

/*
 * Runs a few instructions and compares everything the engine relies on. The first call of a
 * process does it; ends the run with what is wrong and the remedy if libunicorn is not as
 * expected.
 */
void engine_selftest(void);
