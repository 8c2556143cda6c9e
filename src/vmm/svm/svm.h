// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/svm.h -- what the AMD-V back end keeps per CPU and per vCPU.
 */
#pragma once

#include "mem/addr.h"
#include "vmm/svm/vmcb.h"
#include "vmm/vcpu.h"

struct svm_cpu {
    paddr_t hsave;      // (i) VM_HSAVE_PA: the processor's own
    paddr_t host_save;  // (i) for VMSAVE and VMLOAD of what VMRUN leaves alone
    paddr_t iopm;       // (i) shared by all CPUs: every port exits
    paddr_t msrpm;      // (i) shared: every MSR exits but those the VMCB switches
    uint32_t features;  // (i) CPUID 8000_000A EDX
    uint32_t asid_count;
    uint32_t asid_next;   // (c)
    uint64_t generation;  // (c) of ASIDs; starts at 1
    unsigned cpu;
    bool has_tsc_aux;  // (i)
};

/* Lengths of intercepted instructions seen lately: NRIPS is not everywhere. */
#define SVM_LENGTH_SETS 32u
#define SVM_LENGTH_WAYS 2u
struct svm_length {
    uint64_t rip, cr3;
    uint32_t code, length;
};

struct svm_vcpu {
    struct vmcb *vmcb;
    paddr_t vmcb_pa;
    struct svm_cpu *cpu;          // (c) where it is loaded; null: nowhere
    struct svm_cpu *last_cpu;     // (c)
    uint64_t generation;          // (c) of its ASID on last_cpu; 0: needs a new one
    uint32_t clean;               // (c) what nobody changed since the last exit
    uint32_t clean_after;         // (c) clean bits after an exit on this CPU: all or none
    bool virq;                    // (c) V_IRQ is an interrupt on its way, not a window
    uint64_t virq_rip, virq_rsp;  // (c) where the guest was at the last entry with it
    bool nmi_masked;              // (c) an NMI went in, its IRET has not been seen
    bool nmi_iret;                // (c) the IRET was seen at nmi_iret_rip but not done
    uint64_t nmi_iret_rip;
    bool nmi_step;           // (c) that IRET is being stepped over, for one entry
    uint64_t nmi_step_flag;  // (c) the guest's own TF, and DR6, before that
    uint64_t nmi_step_dr6;
    uint64_t xcr0, tsc_aux;  // (c) what the hardware has now
    struct svm_length lengths[SVM_LENGTH_SETS][SVM_LENGTH_WAYS];  // the newer first
};

static inline struct svm_vcpu *svm_of(const struct vcpu *v)
{
    return v->backend;
}

/* A field of the VMCB changed that these SVM_CLEAN_* stand for. */
static inline void svm_touch(struct svm_vcpu *s, uint64_t clean_bits)
{
    s->clean &= ~(uint32_t)clean_bits;
}

/* ---- svm_state.c: the back end's calls of these names (vmm/vt.h) ---- */

uint64_t svm_get(struct vcpu *v, enum vt_reg reg);
void svm_set(struct vcpu *v, enum vt_reg reg, uint64_t value);
void svm_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out);
void svm_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in);
unsigned svm_cpl(struct vcpu *v);
/* Where the VMCB has that segment. */
struct vmcb_segment *svm_segment_of(struct vmcb *b, enum vt_seg seg);

/* ---- svm_event.c: such calls, and what svm_run() needs around an entry ---- */

bool svm_can_inject_interrupt(struct vcpu *v);
bool svm_can_inject_nmi(struct vcpu *v);
void svm_want_interrupt_window(struct vcpu *v, bool on);
void svm_want_nmi_window(struct vcpu *v, bool on);
void svm_clear_shadow(struct vcpu *v);
bool svm_step(struct vcpu *v, uint64_t next);
/* Which exceptions exit now: always #GP, more while an event is on its way. */
void svm_exceptions_intercept(struct svm_vcpu *s);
/* v->inject goes into the VMCB. */
void svm_inject(struct vcpu *v, struct svm_vcpu *s);
/* After an exit: was the interrupt taken that was offered by V_IRQ? Gives back EXITINTINFO. */
uint64_t svm_virq_check(struct vcpu *v, struct svm_vcpu *s);
/* After an exit: true if it is the step over an IRET, and nobody else's. */
bool svm_nmi_step_end(struct svm_vcpu *s);
/* The exit in front of the IRET that ends an NMI. */
void svm_iret_seen(struct svm_vcpu *s);
/* What the exit kept from being delivered (`info`: EXITINTINFO) goes into v->inject again. */
void svm_requeue(struct vcpu *v, struct svm_vcpu *s, uint64_t info);

/* ---- svm_exit.c ---- */

/* The VMCB's exit code and information, normalised. */
void svm_exit_fill(struct vcpu *v, struct svm_vcpu *s, struct vm_exit *exit);
