// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vcpu_internal.h -- what the vCPU's files share: handlers, and what CPUID offers.
 */
#pragma once

#include "vmm/vcpu.h"

#define BACKDOOR_MAGIC 0x564d5868u
#define BACKDOOR_PORT  0x5658u  // and the next, the high-bandwidth one

/* Every handler of vm_exit.def. */
#define VM_EXIT(name, handler, carries)                                                        \
    enum exit_verdict handler(struct vcpu *v, const struct vm_exit *exit);
#include "vmm/vm_exit.def"

/* Bits of XCR0 and CR4 that the guest's CPUID offers. vmm/cpuid.c */
uint64_t cpuid_xcr0_allowed(void);
/* The bits of a physical address that this guest's processor does not have. */
uint64_t cpuid_address_reserved(struct vcpu *v);
uint64_t cpuid_cr4_allowed(struct vcpu *v);

/* World switch hooks of a vCPU's world; vmm/vcpu_run.c */
struct world;
void vcpu_switch_in(struct world *w);
void vcpu_switch_out(struct world *w);

/* The part of a VM's reset that vCPU 0's world does when all others stand still; vmm/vm.c */
must_check vmk_status vm_reload(struct vm *vm);
