// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/user.c -- ring 3: plat_user_run() and what it needs of this CPU.
 *
 * The user's top-level table is in CR3 from the first entry on and stays there while its world
 * runs in the kernel: the upper half is the kernel's, so nothing changes for ring 0. Flushing
 * the whole space (plat_user_tlb_flush()) leaves it for the kernel's own table; the world
 * switch does that, so a table is never freed while a CPU has it loaded.
 *
 * FS and GS bases are MSRs, written only when they may have changed: another thread ran here, a
 * guest ran here, or the thread set a new one. Ring 3 may zero its own base by loading a
 * selector; that is undone when somebody else has run, and never leaks, because the cache is
 * keyed by thread.
 *
 * SYSRET is used only after SYSCALL, with an address checked here: with a non-canonical one it
 * would fault in ring 0 on the user's stack (SDM-2 "SYSRET"). Everything else goes by IRET.
 *
 * Invariants
 *   - RFLAGS in ring 3: IF on, IOPL 0, no VM, VIF, VIP, NT.
 *   - User GS bases lie in the lower half, kernel ones in the upper: trap_paranoid tells by
 *     that.
 * Locking    none: this CPU only, irqs off.
 * Sources    SDM-2 "SYSCALL", "SYSRET"; SDM-4; APM-2 "SYSCALL and SYSRET"
 */
#include "arch/x86/user.h"

#include "arch/x86/insn.h"
#include "core/assert.h"
#include "lib/string.h"
#include "plat/plat_user.h"

#define USER_END        0x0000800000000000ull
#define USER_FLAGS      0x250dd5ull  // CF PF AF ZF SF TF DF OF RF AC ID
#define SYSCALL_CLEARS  0x257fd5ull  // everything but the fixed bit
#define STAR_VALUE      ((uint64_t)SELECTOR_CODE << 32 | (uint64_t)SELECTOR_SYSRET_BASE << 48)
#define FLUSH_PAGES_MAX 32u

void user_syscall(void);  // user.S

void user_init_self(void)
{
    insn_wrmsr(MSR_EFER, insn_rdmsr(MSR_EFER) | EFER_SCE);
    user_msrs_lost();
}

void user_msrs_lost(void)
{
    arch_cpus[plat_cpu_self()].user_last = NULL;
}

/* What a guest or another thread may have left here. */
static void load_bases(struct arch_cpu *cpu, const struct plat_user_regs *regs)
{
    if (cpu->user_last != regs) {
        if (!cpu->user_last) {
            insn_wrmsr(MSR_STAR, STAR_VALUE);
            insn_wrmsr(MSR_LSTAR, (uint64_t)(uintptr_t)user_syscall);
            insn_wrmsr(MSR_SFMASK, SYSCALL_CLEARS);
        }
        cpu->user_last = regs;
    } else if (cpu->user_fs == regs->fs_base && cpu->user_gs == regs->gs_base) {
        return;
    }
    insn_wrmsr(MSR_FS_BASE, regs->fs_base);
    insn_wrmsr(MSR_KERNEL_GS_BASE, regs->gs_base);
    cpu->user_fs = regs->fs_base;
    cpu->user_gs = regs->gs_base;
}

void plat_user_run(struct plat_user_regs *regs, paddr_t root, struct plat_user_trap *trap)
{
    struct arch_cpu *cpu = &arch_cpus[plat_cpu_self()];
    uint64_t result;
    unsigned vector;
    bool fast;

    *trap = (struct plat_user_trap){.kind = PLAT_USER_EXCEPTION, .vector = VECTOR_GP};
    if (regs->rip >= USER_END || regs->fs_base >= USER_END || regs->gs_base >= USER_END)
        return;
    regs->rflags = (regs->rflags & USER_FLAGS) | RFLAGS_IF | 2;
    fast = regs->gpr[1] == regs->rip && regs->gpr[11] == regs->rflags &&
           !(regs->rflags & (RFLAGS_TF | RFLAGS_RF));
    if (insn_read_cr3() != root.raw)
        insn_write_cr3(root.raw);
    load_bases(cpu, regs);
    result = user_enter(regs, fast);

    vector = (unsigned)result & 0xffff;
    if (vector == USER_SYSCALL) {
        trap->kind = PLAT_USER_SYSCALL;
        trap->vector = 0;
    } else if (vector < 32) {
        trap->vector = (uint8_t)vector;
        trap->error_code = (uint32_t)(result >> 32);
        if (vector == VECTOR_PF)
            trap->address = insn_read_cr2();
    } else {
        trap->kind = PLAT_USER_INTERRUPT;
        trap->vector = 0;
        trap_interrupt(vector);
    }
}

void plat_user_root_init(paddr_t root)
{
    uint64_t *table = plat_map(root);

    memcpy(table + 256, paging_upper_half(), 256 * sizeof(*table));
}

void plat_user_tlb_flush(paddr_t root, uint64_t va, uint64_t count)
{
    if (insn_read_cr3() != root.raw)
        return;
    if (count == PLAT_USER_FLUSH_ALL) {
        insn_write_cr3(paging_root().raw);
    } else if (count > FLUSH_PAGES_MAX) {
        insn_write_cr3(root.raw);
    } else {
        for (; count; count--, va += PAGE_SIZE)
            insn_invlpg(va);
    }
}

void plat_user_code_changed(paddr_t pa, uint64_t size)
{
    (void)pa;
    (void)size;
}
