// SPDX-License-Identifier: BSD-2-Clause
/*
 * plat/plat_user.h -- running ring 3: user worlds, the same shape as running a guest.
 *
 * plat_user_run() runs a user world until it traps and returns the trap; kernel code is a loop
 * around it (user/user_world.c). In the image it is SYSRET or IRET in and the trap entries out;
 * in the simulation the Unicorn engine executes the same instructions over the same page tables
 * (sim/engine/). Page tables are ordinary x86-64 four-level tables in machine memory, built by
 * mem/aspace.c and walked by the processor or by the engine.
 *
 * Why the kernel never dereferences a user pointer: mem/aspace.c walks the same tables and
 * copies through the direct map, so no copy can fault, on either platform, and SMAP never has
 * to be lifted.
 */
#pragma once

#include "plat/plat_types.h"

/* General registers in instruction-encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
struct plat_user_regs {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    uint64_t fs_base, gs_base;
};

enum plat_user_trap_kind {
    PLAT_USER_SYSCALL,  // regs->rip is past the SYSCALL; RCX and R11 are as SYSCALL leaves them
    PLAT_USER_EXCEPTION,  // regs->rip is what the processor pushed for that vector
    PLAT_USER_INTERRUPT,  // a host interrupt was taken and handled: look around and go back in
};

struct plat_user_trap {
    enum plat_user_trap_kind kind;
    uint8_t vector;       // EXCEPTION: 0..31
    uint32_t error_code;  // EXCEPTION: as pushed, 0 where the processor pushes none
    uint64_t address;     // EXCEPTION 14: CR2
};

/*
 * Runs ring 3 from *regs in the address space whose top-level table is at `root`, until it
 * traps.
 * RFLAGS and the segment bases are made safe by the callee (IF on, IOPL 0; a non-canonical RIP
 * or base is reported as EXCEPTION 13, never taken in ring 0). The FPU belongs to the caller:
 * see plat_fpu_save() and plat_fpu_load(); it is not touched. Irqs off on call and return.
 * [switch]
 */
void plat_user_run(struct plat_user_regs *regs, paddr_t root, struct plat_user_trap *trap);

/* Fills the upper half of a fresh top-level table with what ring 0 needs. Any context. */
void plat_user_root_init(paddr_t root);

/*
 * Forgets translations of `count` pages from `va` in that address space on this CPU only; a
 * count of PLAT_USER_FLUSH_ALL means all of them. Irqs off.
 */
#define PLAT_USER_FLUSH_ALL UINT64_MAX
void plat_user_tlb_flush(paddr_t root, uint64_t va, uint64_t count);

/* The bytes at that machine address changed and may be executed next. Nothing on metal. */
void plat_user_code_changed(paddr_t pa, uint64_t size);
