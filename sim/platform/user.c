// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/user.c -- ring 3 where no engine is linked: it cannot run, and says so.
 *
 * The engine (sim/engine/) replaces these; a unit test may bring a scripted plat_user_run() that
 * plays programs in C.
 *
 * Invariants
 *   - Nothing else of the kernel depends on ring 3 really running.
 * Locking    none.
 */
#include "core/assert.h"
#include "plat/plat_user.h"

#define replaceable __attribute__((weak))

replaceable void plat_user_run(struct plat_user_regs *regs, paddr_t root,
                               struct plat_user_trap *trap)
{
    (void)regs;
    (void)root;
    (void)trap;
    vmk_panic("no engine is linked that could run ring 3");
}

replaceable void plat_user_root_init(paddr_t root)
{
    (void)root;
}

replaceable void plat_user_tlb_flush(paddr_t root, uint64_t va, uint64_t count)
{
    (void)root;
    (void)va;
    (void)count;
}

replaceable void plat_user_code_changed(paddr_t pa, uint64_t size)
{
    (void)pa;
    (void)size;
}
