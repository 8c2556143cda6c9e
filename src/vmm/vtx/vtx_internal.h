// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vtx_internal.h -- shared by the files of the VT-x back end: fields, facts, per-vCPU state.
 */
#pragma once

#include "core/assert.h"
#include "plat/plat_virt.h"
#include "vmm/nested.h"
#include "vmm/vcpu.h"

/*
 * ---- VMCS fields: VMCS_GUEST_RIP is an encoding, VMCS_AT_GUEST_RIP its place in an image ----
 */
enum vmcs_field {
#define VMCS_FIELD(name, encoding) VMCS_##name = (encoding),
#include "vmm/vtx/vmcs.def"
};
enum vmcs_at {
#define VMCS_FIELD(name, encoding) VMCS_AT_##name,
#include "vmm/vtx/vmcs.def"
    VMCS_FIELD_COUNT
};
struct vmcs_image {
    uint64_t at[VMCS_FIELD_COUNT];
};
struct vmcs_field_fact {
    const char *name;
    uint32_t encoding;
};
extern const struct vmcs_field_fact vmcs_fields[VMCS_FIELD_COUNT];

/* A field of segment n (enum vt_seg order is the VMCS's order). */
#define VMCS_SELECTOR(seg) (0x0800u + 2u * (uint32_t)(seg))
#define VMCS_LIMIT(seg)    (0x4800u + 2u * (uint32_t)(seg))
#define VMCS_RIGHTS(seg)   (0x4814u + 2u * (uint32_t)(seg))
#define VMCS_BASE(seg)     (0x6806u + 2u * (uint32_t)(seg))
_Static_assert((int)VMCS_GUEST_IDTR_LIMIT == 0x4800 + 2 * VT_IDTR, "segment order");
_Static_assert((int)VMCS_GUEST_IDTR_BASE == 0x6806 + 2 * VT_IDTR, "segment order");
_Static_assert((int)VMCS_GUEST_TR_RIGHTS == 0x4814 + 2 * VT_TR, "segment order");

/* ---- controls, SDM volume 3C tables 24-5..24-15 ---- */
#define PIN_INTERRUPT          BIT(0)
#define PIN_NMI                BIT(3)
#define PIN_VIRTUAL_NMI        BIT(5)
#define PIN_TIMER              BIT(6)
#define PIN_POSTED             BIT(7)
#define PRIMARY_IRQ_WINDOW     BIT(2)
#define PRIMARY_TSC_OFFSET     BIT(3)
#define PRIMARY_HLT            BIT(7)
#define PRIMARY_INVLPG         BIT(9)
#define PRIMARY_MWAIT          BIT(10)
#define PRIMARY_RDPMC          BIT(11)
#define PRIMARY_RDTSC          BIT(12)
#define PRIMARY_CR3_LOAD       BIT(15)
#define PRIMARY_CR3_STORE      BIT(16)
#define PRIMARY_CR8_LOAD       BIT(19)
#define PRIMARY_CR8_STORE      BIT(20)
#define PRIMARY_TPR_SHADOW     BIT(21)
#define PRIMARY_NMI_WINDOW     BIT(22)
#define PRIMARY_MOV_DR         BIT(23)
#define PRIMARY_IO             BIT(24)
#define PRIMARY_IO_BITMAPS     BIT(25)
#define PRIMARY_MSR_BITMAP     BIT(28)
#define PRIMARY_MONITOR        BIT(29)
#define PRIMARY_PAUSE          BIT(30)
#define PRIMARY_SECONDARY      BIT(31)
#define SECONDARY_APIC_ACCESS  BIT(0)
#define SECONDARY_EPT          BIT(1)
#define SECONDARY_RDTSCP       BIT(3)
#define SECONDARY_X2APIC       BIT(4)
#define SECONDARY_VPID         BIT(5)
#define SECONDARY_WBINVD       BIT(6)
#define SECONDARY_UNRESTRICTED BIT(7)
#define SECONDARY_APIC_REGS    BIT(8)
#define SECONDARY_VID          BIT(9)
#define SECONDARY_PLE          BIT(10)
#define SECONDARY_INVPCID      BIT(12)
#define SECONDARY_VMFUNC       BIT(13)
#define SECONDARY_SHADOWING    BIT(14)
#define SECONDARY_PML          BIT(17)
#define SECONDARY_VE           BIT(18)
#define EXIT_SAVE_DEBUG        BIT(2)
#define EXIT_HOST_64           BIT(9)
#define EXIT_LOAD_PERF         BIT(12)
#define EXIT_ACK_INTERRUPT     BIT(15)
#define EXIT_SAVE_PAT          BIT(18)
#define EXIT_LOAD_PAT          BIT(19)
#define EXIT_SAVE_EFER         BIT(20)
#define EXIT_LOAD_EFER         BIT(21)
#define EXIT_SAVE_TIMER        BIT(22)
#define ENTRY_LOAD_DEBUG       BIT(2)
#define ENTRY_IA32E            BIT(9)
#define ENTRY_SMM              BIT(10)
#define ENTRY_DUAL_MONITOR     BIT(11)
#define ENTRY_LOAD_PERF        BIT(13)
#define ENTRY_LOAD_PAT         BIT(14)
#define ENTRY_LOAD_EFER        BIT(15)
#define ENTRY_LOAD_BNDCFGS     BIT(16)

/* Interruption information: fields 4016, 4404 and 4408 share it. */
#define EVENT_VALID            BIT(31)
#define EVENT_HAS_ERROR        BIT(11)
#define EVENT_NMI_UNBLOCKED    BIT(12)  // exit side: an IRET had ended NMI blocking
#define BLOCKED_BY_STI         BIT(0)
#define BLOCKED_BY_MOV_SS      BIT(1)
#define BLOCKED_BY_SMI         BIT(2)
#define BLOCKED_BY_NMI         BIT(3)
#define REASON_ENTRY_FAILED    BIT(31)

#define RFLAGS_FIXED           BIT(1)

/* ---- what this CPU can: the capability MSRs, read once ---- */
struct vmx_facts {
    uint64_t basic, misc;
    uint64_t pin, primary, secondary, exit,
        entry;  // allowed-0 in 31:0, allowed-1 in 63:32; TRUE
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    uint64_t ept_vpid;
    uint64_t vmfunc;
    unsigned physical_bits;  // MAXPHYADDR
    unsigned linear_bits;
};
struct vmx_controls {
    uint32_t pin, primary, secondary, exit, entry;
};
struct vtx_cpu {
    struct vmx_facts facts;        // (i)
    struct vmx_controls controls;  // (i)
    mpn_t vmxon;                   // (i)
};

/* ---- vmx_controls.c: pure functions of facts ---- */
/*
 * (wanted | must-be-one) & may-be-one; false if a required bit is not possible or a forbidden
 * one is forced.
 */
must_check bool vmx_control_adjust(uint64_t capability, uint32_t required, uint32_t optional,
                                   uint32_t forbidden, uint32_t *out);
/* All five words, or the name of the first that cannot be had. Null: fine. */
const char *vmx_controls_choose(const struct vmx_facts *facts, struct vmx_controls *out);
uint64_t vmx_eptp(const struct vmx_facts *facts, mpn_t root);

/* ---- vmx_check.c ---- */
enum vmx_rule {
    VMX_RULE_NONE,
#define VMX_RULE(name, violated, text) VMX_RULE_##name,
#include "vmm/vtx/vmx_rules.def"
    VMX_RULE_COUNT
};
/* The first rule of the manual that an entry with this image would break. Pure. */
enum vmx_rule vmx_check(const struct vmcs_image *image, const struct vmx_facts *facts);
const char *vmx_rule_text(enum vmx_rule rule);
const char *vmx_rule_name(enum vmx_rule rule);

/* ---- per vCPU ---- */
enum {
    VTX_SWAPPED_MSRS = 5
};
struct vtx_vcpu {
    mpn_t vmcs, msr_bitmap;     // (i)
    const struct vtx_cpu *cpu;  // where it is or was loaded last; all CPUs have equal facts
    uint16_t vpid;              // (i)
    unsigned last_cpu;          // + 1; 0: never loaded
    bool loaded;                // its VMCS is current on this CPU
    bool launched;              // since the last VMCLEAR
    bool rip_dirty;
    bool flush;               // (a) translations to drop before the next entry
    uint64_t rip;             // guest RIP; the VMCS's copy is older while rip_dirty
    uint32_t primary, entry;  // copies of the control words that change
    uint64_t eptp, tsc_offset, tsc_aux, xcr0;  // what hardware has now
    uint64_t dr7;                              // guest's view
    uint64_t swapped[VTX_SWAPPED_MSRS];        // guest's values while not loaded
    const struct vmx_fault *fault;             // (c) a rule to break yet, or null
};
extern const uint32_t vtx_swapped_msrs[VTX_SWAPPED_MSRS];

static inline struct vtx_vcpu *vtx_of(struct vcpu *v)
{
    return v->backend;
}

/*
 * Fields of the current VMCS. A failure is our bug: no VMCS is current, or the field is
 * unknown.
 */
static inline uint64_t vmcs_read(uint32_t field)
{
    uint64_t value;

    if (__builtin_expect(!plat_vmread(field, &value), 0))
        vmk_panic("VT-x: VMREAD of field %#x failed", field);
    return value;
}
static inline void vmcs_write(uint32_t field, uint64_t value)
{
    if (__builtin_expect(!plat_vmwrite(field, value), 0))
        vmk_panic("VT-x: VMWRITE of field %#x failed", field);
}
/*
 * Makes the VMCS of a vCPU current for a while when its world is not running; returns a token.
 */
must_check bool vtx_access_begin(struct vtx_vcpu *x);
void vtx_access_end(struct vtx_vcpu *x, bool irqs);

/* ---- vtx_state.c ---- */
uint64_t vtx_get(struct vcpu *v, enum vt_reg reg);
void vtx_set(struct vcpu *v, enum vt_reg reg, uint64_t value);
void vtx_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out);
void vtx_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in);
unsigned vtx_cpl(struct vcpu *v);
/*
 * Control fields that never change and the architecture's reset state, into the current VMCS.
 */
void vtx_state_init(struct vcpu *v, const struct vtx_cpu *cpu);
/* Host fields of this CPU. */
void vtx_host_state_write(void);
/* The bits of CR0 and CR4 whose writes exit. */
#define VTX_CR0_OWNED (~(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM))
#define VTX_CR4_OWNED (~0x3507dfull)

/* ---- vtx_inject.c ---- */
void vtx_inject(struct vcpu *v);
/* An event whose delivery the exit broke off goes back into v->inject. */
void vtx_requeue(struct vcpu *v, uint32_t idt_vectoring);
/* Pure halves. */
uint32_t vmx_event_encode(const struct vt_event *event, bool protected_mode);
struct vt_event vmx_event_decode(uint32_t information, uint32_t error, uint32_t length);
bool vtx_can_inject_interrupt(struct vcpu *v);
bool vtx_can_inject_nmi(struct vcpu *v);
void vtx_want_interrupt_window(struct vcpu *v, bool on);
void vtx_want_nmi_window(struct vcpu *v, bool on);
void vtx_clear_shadow(struct vcpu *v);
void vtx_reset_blocking(struct vcpu *v);
bool vtx_step(struct vcpu *v, uint64_t next);

/* ---- vtx_exit.c ---- */
enum {
    RAW_LENGTH = 1,
    RAW_QUALIFICATION = 2,
    RAW_EVENT = 4,
    RAW_ADDRESS = 8
};
struct vmx_raw_exit {
    uint32_t reason, length, event, error;
    uint64_t qualification, gpa, gla;
};
/* Which of the above that basic reason needs, and its kind. */
unsigned vmx_exit_needs(uint32_t basic_reason);
/* Pure: fills all of `exit` but rip. */
void vmx_exit_decode(const struct vmx_raw_exit *raw, struct vm_exit *exit);
/* After an exit: reads what is needed, decodes, serves host interrupts and NMIs. */
void vtx_exit_take(struct vcpu *v, struct vm_exit *exit);

/* ---- vtx_dump.c ---- */
void vmcs_image_read(struct vmcs_image *image);
void vtx_dump(struct vcpu *v);
/*
 * Runs the checker over the current VMCS, logs the rule and returns its text; the dump is the
 * caller's.
 */
const char *vtx_explain_failure(struct vcpu *v, const char *what);

/* ---- vmx_fault.c: rules broken on purpose ---- */
struct vmx_fault;
/* What the boot options ask for this vCPU, or null. */
const struct vmx_fault *vmx_fault_of(const struct vcpu *v);
/* Right before an entry. False: not yet. */
bool vmx_fault_apply(struct vcpu *v, const struct vmx_fault *fault);

extern const struct nested_format nested_format_ept;
