// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vt.h -- one vCPU interface over VT-x, AMD-V and (simulator) the Unicorn engine.
 *
 * The shared code holds general registers and RIP in struct vcpu; the rest of the guest's state
 * lives in the back end and is reached by get and set while the vCPU is loaded on this CPU (its
 * world is running) or has never run.
 */
#pragma once

#include "core/status.h"
#include "vmm/vm_exit.h"

struct vcpu;

enum vt_reg {
    VT_RIP,
    VT_RSP,
    VT_RFLAGS,
    VT_CR0,
    VT_CR2,
    VT_CR3,
    VT_CR4,
    VT_DR6,
    VT_DR7,
    VT_EFER,
    VT_PAT,
    VT_STAR,
    VT_LSTAR,
    VT_CSTAR,
    VT_SFMASK,
    VT_KERNEL_GS_BASE,
    VT_SYSENTER_CS,
    VT_SYSENTER_ESP,
    VT_SYSENTER_EIP,
    VT_REG_COUNT
};
/*
 * VT_CR0, VT_CR4 and VT_EFER are the guest's view: the back end adds and hides what the
 * hardware needs (CR0.NE, CR4.VMXE, EFER.SVME) and keeps EFER.LMA and the IA-32e entry control
 * right.
 */

enum vt_seg {
    VT_ES,
    VT_CS,
    VT_SS,
    VT_DS,
    VT_FS,
    VT_GS,
    VT_LDTR,
    VT_TR,
    VT_GDTR,
    VT_IDTR,
    VT_SEG_COUNT
};

/* Rights in the VMCS's layout: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15,
 * unusable 16. GDTR and IDTR use base and limit only. */
struct vt_segment {
    uint16_t selector;
    uint32_t limit;
    uint32_t rights;
    uint64_t base;
};
#define VT_SEG_P        BIT(7)
#define VT_SEG_L        BIT(13)
#define VT_SEG_DB       BIT(14)
#define VT_SEG_UNUSABLE BIT(16)

enum vt_event_type {
    VT_EVENT_INTERRUPT = 0,  // numbers as in VT-x's interruption information
    VT_EVENT_NMI = 2,
    VT_EVENT_EXCEPTION = 3,
    VT_EVENT_SOFT_INTERRUPT = 4,
    VT_EVENT_PRIV_EXCEPTION = 5,
    VT_EVENT_SOFT_EXCEPTION = 6,
};

struct vt_event {
    bool valid;
    enum vt_event_type type;
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint32_t length;  // of the instruction, for software types
};

/*
 * One hardware's (or the simulator's) way to do it. All calls irqs off unless said otherwise.
 */
struct vt_backend {
    const char *name;  // "VT-x", "AMD-V"
    bool (*probe)(void);
    must_check vmk_status (*cpu_enable)(void);
    void (*cpu_disable)(void);
    /* Irqs any. Leaves the vCPU in the reset state of the architecture. */
    must_check vmk_status (*vcpu_create)(struct vcpu *v);
    void (*vcpu_destroy)(struct vcpu *v);
    /* Its world arrives on, leaves this CPU (world switch hooks). */
    void (*vcpu_load)(struct vcpu *v);
    void (*vcpu_put)(struct vcpu *v);
    /*
     * Enters the guest until it exits and fills `exit`. Injects v->inject if valid and clears
     * it; an event whose delivery the exit interrupted is put into v->inject again. Host
     * interrupts and NMIs have been served, or are pending and served when irqs go on.
     */
    void (*run)(struct vcpu *v, struct vm_exit *exit);
    uint64_t (*get)(struct vcpu *v, enum vt_reg reg);
    void (*set)(struct vcpu *v, enum vt_reg reg, uint64_t value);
    void (*get_segment)(struct vcpu *v, enum vt_seg seg, struct vt_segment *out);
    void (*set_segment)(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in);
    /* Can an external interrupt (NMI) be injected now: IF, shadows, blocking? */
    bool (*can_inject_interrupt)(struct vcpu *v);
    bool (*can_inject_nmi)(struct vcpu *v);
    /*
     * Exit with IRQ_WINDOW (NMI_WINDOW) as soon as it can. Lasts until it is turned off; one
     * that cannot be had now takes v->window back, so that it is asked for again.
     */
    void (*want_interrupt_window)(struct vcpu *v, bool on);
    void (*want_nmi_window)(struct vcpu *v, bool on);
    /* At a reset: no interrupt shadow, no NMI being handled, no interrupt on its way. */
    void (*clear_shadow)(struct vcpu *v);
    /*
     * RIP goes to `next` over an emulated instruction, and RF and the shadow end, as one call
     * because every emulated instruction does it. True: the guest single-steps (TF).
     */
    bool (*step)(struct vcpu *v, uint64_t next);
    /* Drop cached translations: one linear address, all of this vCPU's. */
    void (*flush_address)(struct vcpu *v, uint64_t gla);
    void (*flush_vcpu)(struct vcpu *v);
    /* CPL of the guest now. */
    unsigned (*cpl)(struct vcpu *v);
    const struct nested_format *nested_format;  // see vmm/nested.h
    bool vectors_in_cpu;  // XMM and YMM are the guest's while its world runs
    /* Can it map 2 MB by one nested entry? Null: always. */
    bool (*large_pages)(void);
    /* Prints the whole guest state to the log, decoded by field name. */
    void (*dump)(struct vcpu *v);
};

extern const struct vt_backend vt_backend_vtx;
extern const struct vt_backend vt_backend_svm;

/* The back end of this host: set by vt_init_cpu(), null when the machine has neither. */
const struct vt_backend *vt(void);
/* Probes and enables on this CPU; first on CPU 0, then on each other. UNSUPPORTED. */
must_check vmk_status vt_init_cpu(void);
