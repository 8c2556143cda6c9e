// SPDX-License-Identifier: BSD-2-Clause
/*
 * plat/plat_virt.h -- the instructions of VT-x and AMD-V, and the FPU swap around a guest.
 *
 * Formats (VMCS encodings, VMCB layout) are ordinary code in vmm/vtx and vmm/svm; only
 * instructions are here. On metal most are one instruction; in hosted builds
 * sim/platform/virt.c keeps a VMCS as an array by encoding so that the format code can be
 * tested.
 */
#pragma once

#include "plat/plat_types.h"
#ifdef ORRERY_METAL
#include "plat/plat_inline.h"
#endif

/* ---- identification and model-specific registers of this CPU; any context ---- */
struct plat_cpuid {
    uint32_t eax, ebx, ecx, edx;
};
struct plat_cpuid plat_cpuid(uint32_t leaf, uint32_t subleaf);
/* An MSR that this CPU does not have ends in a panic: ask CPUID, or try. */
uint64_t plat_msr_read(uint32_t index);
void plat_msr_write(uint32_t index, uint64_t value);
/* Like the above but a fault returns false. */
must_check bool plat_msr_try_read(uint32_t index, uint64_t *value);
uint64_t plat_cr_read(unsigned number);               // 0, 2, 3, 4
void plat_cr_write(unsigned number, uint64_t value);  // and 8

/* General registers in instruction-encoding order, as the entry assembly saves them. */
struct plat_guest_regs {
    uint64_t gpr[16];  // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15; RSP lives in the VMCS or VMCB
    uint64_t cr2;      // VT-x: swapped by software
};

/* ---- VT-x; irqs off. bool results: true if CF = ZF = 0 ---- */
must_check bool plat_vmxon(paddr_t region);
void plat_vmxoff(void);
must_check bool plat_vmclear(paddr_t vmcs);
must_check bool plat_vmptrld(paddr_t vmcs);
#ifndef ORRERY_METAL
must_check bool plat_vmread(uint32_t field, uint64_t *value);
must_check bool plat_vmwrite(uint32_t field, uint64_t value);
#endif
/* `type` as the instruction has it: 1 one context, 2 all; of INVVPID also 0, one address. */
void plat_invept(uint64_t type, uint64_t eptp);
void plat_invvpid(uint64_t type, uint16_t vpid, uint64_t address);
/*
 * VMLAUNCH or VMRESUME. Writes HOST_RSP and HOST_RIP itself. Returns 0 after an exit, 1 for
 * VMfailInvalid, 2 for VMfailValid. Loads and saves regs->gpr (all but RSP) and CR2.
 */
unsigned plat_vmx_enter(struct plat_guest_regs *regs, bool launched);
/* The host-state facts a VMCS needs that only this CPU knows. */
struct plat_host_segments {
    uint16_t cs, ss, ds, es, fs, gs, tr;
    uint64_t fs_base, gs_base, tr_base, gdtr_base, idtr_base;
};
void plat_host_segments(struct plat_host_segments *out);
/* Runs the host's handler for a vector that "acknowledge on exit" took from the APIC. */
void plat_interrupt_dispatch(unsigned vector);
/* Runs the host's NMI handler. */
void plat_nmi_dispatch(void);

/* ---- AMD-V; irqs off ---- */
/*
 * CLGI; VMSAVE host; VMLOAD guest; VMRUN; VMSAVE guest; VMLOAD host; STGI. RAX, RSP, RIP and
 * RFLAGS live in the VMCB. regs->gpr other than RAX and RSP are loaded and saved. With irqs off
 * and V_INTR_MASKING set the host interrupt that ended the guest stays pending: see
 * plat_irq_window().
 */
void plat_svm_enter(struct plat_guest_regs *regs, paddr_t guest_vmcb, paddr_t host_save);
void plat_invlpga(uint64_t address, uint32_t asid);
/* Lets pending host interrupts in: STI; NOP; CLI. [switch] */
void plat_irq_window(void);

/* DR0..DR3, the breakpoint addresses; the host uses none. DR7 is in the VMCS or VMCB. */
void plat_debug_addresses_load(const uint64_t dr[4]);

/* ---- FPU: the kernel never uses it, so the registers hold the running vCPU's state ---- */
#define PLAT_FPU_AREA_SIZE 4096u                      // 64-byte aligned
void plat_fpu_save(void *area, uint64_t xcr0);        // XSAVE, or FXSAVE without it
void plat_fpu_load(const void *area, uint64_t xcr0);  // also sets XCR0
void plat_fpu_area_init(void *area);                  // the state after reset
/* What XCR0 holds now: QEMU's AMD-V lets a guest write it without an exit. Irqs off. */
uint64_t plat_xcr0_read(void);
/* Does XSAVEC leave an area that XRSTOR loads? Not in each emulator; false without AVX, too. */
bool plat_xsavec_usable(void);
