// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/offsets.c -- offsets that assembly needs, as lines for the assembler: make turns each
 * comment "#->NAME value" in the output into a #define in offsets.h. Never linked.
 */
#include "arch/x86/arch_internal.h"
#include "plat/plat_user.h"

#define OFFSET(name, type, member)                                                             \
    __asm__ volatile("\n#->" #name " %0" : : "i"(offsetof(type, member)))

void offsets(void);
void offsets(void)
{
    OFFSET(CPU_USER_STACK, struct arch_cpu, user_stack);
    OFFSET(CPU_SCRATCH, struct arch_cpu, scratch);
    OFFSET(CPU_TSS_RSP0, struct arch_cpu, tss.rsp[0]);
}

_Static_assert(offsetof(struct plat_user_regs, rip) == 16 * 8, "user.S knows RIP");
_Static_assert(offsetof(struct plat_user_regs, rflags) == 17 * 8, "user.S knows RFLAGS");
