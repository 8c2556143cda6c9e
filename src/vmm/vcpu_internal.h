// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vcpu_internal.h -- what the vCPU's files share: handlers, and what CPUID offers.
 */
#pragma once

#include "vmm/vcpu.h"

#define CR0_PE         BIT(0)
#define CR0_TS         BIT(3)
#define CR0_ET         BIT(4)
#define CR0_WP         BIT(16)
#define CR0_NW         BIT(29)
#define CR0_CD         BIT(30)
#define CR0_PG         BIT(31)
#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_PGE        BIT(7)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define EFER_SCE       BIT(0)
#define EFER_LME       BIT(8)
#define EFER_LMA       BIT(10)
#define EFER_NXE       BIT(11)
#define RIGHTS_L       BIT(13)

#define BACKDOOR_MAGIC 0x564d5868u
#define BACKDOOR_PORT  0x5658u  // and the next, the high-bandwidth one

/* Every handler of vm_exit.def. */
#define VM_EXIT(name, handler, carries)                                                        \
    enum exit_verdict handler(struct vcpu *v, const struct vm_exit *exit);
#include "vmm/vm_exit.def"

/* Bits of XCR0 and CR4 that the guest's CPUID offers. vmm/cpuid.c */
uint64_t cpuid_xcr0_allowed(void);
uint64_t cpuid_cr4_allowed(struct vcpu *v);

/* World switch hooks of a vCPU's world; vmm/vcpu_run.c */
struct world;
void vcpu_switch_in(struct world *w);
void vcpu_switch_out(struct world *w);

/* The part of a VM's reset that vCPU 0's world does when all others stand still; vmm/vm.c */
must_check vmk_status vm_reload(struct vm *vm);
