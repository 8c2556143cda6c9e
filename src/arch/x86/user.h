// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/user.h -- what the rest of this folder knows of ring 3: set-up per CPU, and that its
 * MSRs have been overwritten.
 */
#pragma once

#include "arch/x86/arch_internal.h"
#include "plat/plat_user.h"

/* This CPU: SYSCALL's MSRs. After cpu_gs_set(). */
void user_init_self(void);
/*
 * A guest's values are in SYSCALL's MSRs, or in FS and GS: set them again before ring 3 runs.
 */
void user_msrs_lost(void);

/*
 * user.S. Ring 3 from *regs until it traps; irqs off. Returns the vector, USER_SYSCALL or, in
 * bits 63:32, the error code. `fast`: by SYSRET, with RCX = RIP and R11 = RFLAGS.
 */
uint64_t user_enter(struct plat_user_regs *regs, bool fast);
