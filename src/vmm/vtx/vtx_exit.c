// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vtx_exit.c -- the CPU's exit reasons into struct vm_exit.
 *
 * A table says for each basic reason its kind and which exit fields it needs, so that a CPUID
 * exit costs the reads it uses and no more. Decoding itself is a pure function over those raw
 * fields.
 *
 * Invariants
 *   - Everything wanted from the VMCS is read before the host's interrupt is served: serving it
 *     may switch worlds.
 *   - An interrupt "acknowledged on exit" is served exactly once, here.
 * Locking    none; irqs off, the VMCS is current on this CPU.
 * Sources    SDM volume 3C, 27.2, tables 27-1..27-7, appendix C
 */
#include "core/log.h"
#include "lib/string.h"
#include "vmm/vtx/vtx_internal.h"

enum {
    REASON_EXCEPTION = 0,
    REASON_INTERRUPT = 1,
    REASON_EPT_VIOLATION = 48
};

struct reason_fact {
    uint8_t known;
    uint8_t kind;
    uint8_t needs;
};

#define R(reason, exit_kind, what) [reason] = {1, VM_EXIT_##exit_kind, what}
static const struct reason_fact reasons[] = {
    R(0, EXCEPTION, RAW_EVENT | RAW_QUALIFICATION),
    R(1, INTERRUPT, RAW_EVENT),
    R(2, TRIPLE_FAULT, 0),
    R(7, IRQ_WINDOW, 0),
    R(8, NMI_WINDOW, 0),
    R(9, TASK_SWITCH, RAW_QUALIFICATION | RAW_LENGTH),
    R(10, CPUID, RAW_LENGTH),
    R(11, VIRT_INSN, 0),  // GETSEC
    R(12, HLT, RAW_LENGTH),
    R(13, INVD, RAW_LENGTH),
    R(14, INVLPG, RAW_QUALIFICATION | RAW_LENGTH),
    R(15, RDPMC, RAW_LENGTH),
    R(16, RDTSC, RAW_LENGTH),
    R(18, CALL, RAW_LENGTH),
    R(19, VIRT_INSN, 0),
    R(20, VIRT_INSN, 0),
    R(21, VIRT_INSN, 0),
    R(22, VIRT_INSN, 0),
    R(23, VIRT_INSN, 0),
    R(24, VIRT_INSN, 0),
    R(25, VIRT_INSN, 0),
    R(26, VIRT_INSN, 0),
    R(27, VIRT_INSN, 0),
    R(28, CR_ACCESS, RAW_QUALIFICATION | RAW_LENGTH),
    R(29, DR_ACCESS, RAW_QUALIFICATION | RAW_LENGTH),
    R(30, IO, RAW_QUALIFICATION | RAW_LENGTH),
    R(31, MSR_READ, RAW_LENGTH),
    R(32, MSR_WRITE, RAW_LENGTH),
    R(33, ENTRY_FAILED, RAW_QUALIFICATION),
    R(34, ENTRY_FAILED, RAW_QUALIFICATION),
    R(36, MONITOR, RAW_LENGTH),
    R(39, MONITOR, RAW_LENGTH),
    R(40, PAUSE, RAW_LENGTH),
    R(41, ENTRY_FAILED, RAW_QUALIFICATION),
    R(48, NESTED_FAULT, RAW_QUALIFICATION | RAW_ADDRESS),
    R(50, VIRT_INSN, 0),
    R(52, TIMER, 0),
    R(53, VIRT_INSN, 0),
    R(54, INVD, RAW_LENGTH),
    R(55, XSETBV, RAW_LENGTH),
    R(59, VIRT_INSN, 0),
};
#undef R

unsigned vmx_exit_needs(uint32_t basic_reason)
{
    if (basic_reason >= ARRAY_COUNT(reasons) || !reasons[basic_reason].known)
        return RAW_QUALIFICATION | RAW_LENGTH;
    return reasons[basic_reason].needs;
}

static void decode_exception(const struct vmx_raw_exit *raw, struct vm_exit *exit)
{
    if ((raw->event >> 8 & 7) == VT_EVENT_NMI) {
        exit->kind = VM_EXIT_NMI;
        return;
    }
    exit->exception.vector = (uint8_t)raw->event;
    exit->exception.has_error = (raw->event & EVENT_HAS_ERROR) != 0;
    exit->exception.error = raw->error;
    exit->exception.cr2 = raw->qualification;  // for #PF; for #DB it is what DR6 will get
}

static void decode_cr(uint64_t q, struct vm_exit *exit)
{
    unsigned type = q >> 4 & 3;

    exit->cr.number = q & 15;
    exit->cr.gpr = q >> 8 & 15;
    exit->cr.write = type != 1;
    exit->cr.kind = type == 2 ? VM_CR_CLTS : type == 3 ? VM_CR_LMSW : VM_CR_MOV;
    exit->cr.value = (uint16_t)(q >> 16);
}

static void decode_nested(const struct vmx_raw_exit *raw, struct vm_exit *exit)
{
    uint64_t q = raw->qualification;

    exit->nested.gpa = gpa_make(raw->gpa);
    exit->nested.read = q & BIT(0);
    exit->nested.write = q & BIT(1);
    exit->nested.fetch = q & BIT(2);
    /* Bit 8 clear: the access was the walk of the guest's page tables, not to this address. */
    exit->nested.gla_valid = (q & BIT(7)) && (q & BIT(8));
    exit->nested.gla = raw->gla;
}

void vmx_exit_decode(const struct vmx_raw_exit *raw, struct vm_exit *exit)
{
    uint32_t basic = raw->reason & 0xffff;
    uint64_t q = raw->qualification;

    exit->raw_reason = raw->reason;
    exit->length = raw->length;
    exit->qualification = q;
    exit->kind = VM_EXIT_UNKNOWN;
    if (basic < ARRAY_COUNT(reasons) && reasons[basic].known)
        exit->kind = reasons[basic].kind;
    switch (exit->kind) {
    case VM_EXIT_EXCEPTION: decode_exception(raw, exit); break;
    case VM_EXIT_CR_ACCESS: decode_cr(q, exit); break;
    case VM_EXIT_DR_ACCESS:
        exit->dr.number = q & 7;
        exit->dr.write = !(q & BIT(4));
        exit->dr.gpr = q >> 8 & 15;
        break;
    case VM_EXIT_IO:
        exit->io.size = (uint8_t)((q & 7) + 1);
        exit->io.in = q & BIT(3);
        exit->io.string = q & BIT(4);
        exit->io.rep = q & BIT(5);
        exit->io.port = (uint16_t)(q >> 16);
        break;
    case VM_EXIT_NESTED_FAULT: decode_nested(raw, exit); break;
    case VM_EXIT_TASK_SWITCH:
        exit->task.selector = (uint16_t)q;
        exit->task.source = (enum vm_task_source)(VM_TASK_CALL + (q >> 30 & 3));
        break;
    case VM_EXIT_ENTRY_FAILED: exit->failure.rule = NULL; break;
    default: break;
    }
}

/* An IRET that faulted had already ended NMI blocking; the handler will run it again. */
static __attribute__((noinline, cold)) void nmi_block_again(void)
{
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
               vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
}

/*
 * #DB: DR6 gets what the exit says, then the guest gets the exception as it was (a trap, a
 * fault or INT1, which has a length). No shadow outlives it; one that stayed would want a
 * single step pending and the entry would fail.
 */
static void take_debug(struct vcpu *v, const struct vmx_raw_exit *raw, struct vm_exit *exit)
{
    v->dr6 =
        (v->dr6 & ~DR6_HITS) | (raw->qualification & (DR6_HITS | DR6_BD | DR6_BS)) | DR6_FIXED;
    if (!v->inject.valid)
        v->inject = vmx_event_decode(raw->event & ~(uint32_t)EVENT_NMI_UNBLOCKED, 0,
                                     (uint32_t)vmcs_read(VMCS_EXIT_LENGTH));
    vtx_clear_shadow(v);
    exit->kind = VM_EXIT_TIMER;  // nothing is left to do
}

static __attribute__((noinline)) void take_rest(struct vcpu *v, struct vm_exit *exit,
                                                uint32_t reason)
{
    struct vmx_raw_exit raw = {.reason = reason};
    uint32_t basic = reason & 0xffff;
    unsigned needs = vmx_exit_needs(basic);

    raw.length = needs & RAW_LENGTH ? (uint32_t)vmcs_read(VMCS_EXIT_LENGTH) : 0;
    raw.qualification = needs & RAW_QUALIFICATION ? vmcs_read(VMCS_QUALIFICATION) : 0;
    raw.event = raw.error = 0;
    raw.gpa = raw.gla = 0;
    if (needs & RAW_EVENT) {
        raw.event = (uint32_t)vmcs_read(VMCS_EXIT_EVENT);
        if (raw.event & EVENT_HAS_ERROR)
            raw.error = (uint32_t)vmcs_read(VMCS_EXIT_ERROR_CODE);
    }
    if (needs & RAW_ADDRESS) {
        raw.gpa = vmcs_read(VMCS_GUEST_PHYSICAL);
        raw.gla = vmcs_read(VMCS_GUEST_LINEAR);
    }
    vmx_exit_decode(&raw, exit);
    if (__builtin_expect(raw.reason & REASON_ENTRY_FAILED, 0)) {
        exit->kind = VM_EXIT_ENTRY_FAILED;
        exit->failure.rule = vtx_explain_failure(v, "the CPU refused the guest's state");
        return;
    }

    uint32_t idt_vectoring = (uint32_t)vmcs_read(VMCS_IDT_VECTORING);
    if (__builtin_expect(idt_vectoring & EVENT_VALID, 0))
        vtx_requeue(v, idt_vectoring);
    else if (basic == REASON_EXCEPTION && (raw.event & EVENT_NMI_UNBLOCKED) &&
             (raw.event & 0xff) != 8)
        nmi_block_again();
    if (exit->kind == VM_EXIT_EXCEPTION && exit->exception.vector == 1)
        take_debug(v, &raw, exit);
    else if (exit->kind == VM_EXIT_INTERRUPT)
        plat_interrupt_dispatch(raw.event & 0xff);
    else if (exit->kind == VM_EXIT_NMI)
        plat_nmi_dispatch();
}

/* A touch of guest memory that is not mapped, or of a device: the most frequent of the rest. */
static void take_nested(struct vcpu *v, struct vm_exit *exit)
{
    const struct vmx_raw_exit raw = {.qualification = vmcs_read(VMCS_QUALIFICATION),
                                     .gpa = vmcs_read(VMCS_GUEST_PHYSICAL),
                                     .gla = vmcs_read(VMCS_GUEST_LINEAR)};
    uint32_t idt_vectoring = (uint32_t)vmcs_read(VMCS_IDT_VECTORING);

    exit->kind = VM_EXIT_NESTED_FAULT;
    exit->raw_reason = REASON_EPT_VIOLATION;
    exit->length = 0;
    exit->qualification = raw.qualification;
    decode_nested(&raw, exit);
    if (__builtin_expect(idt_vectoring & EVENT_VALID, 0))
        vtx_requeue(v, idt_vectoring);
    else if (__builtin_expect(raw.qualification & EVENT_NMI_UNBLOCKED, 0))
        nmi_block_again();
}

void vtx_exit_take(struct vcpu *v, struct vm_exit *exit)
{
    struct vtx_vcpu *x = vtx_of(v);
    uint32_t reason = (uint32_t)vmcs_read(VMCS_EXIT_REASON);

    x->rip = vmcs_read(VMCS_GUEST_RIP);
    exit->rip = x->rip;
    if (reason >= ARRAY_COUNT(reasons) || reasons[reason].needs != RAW_LENGTH ||
        !reasons[reason].known) {
        if (reason == REASON_EPT_VIOLATION)
            take_nested(v, exit);
        else
            take_rest(v, exit, reason);
        return;
    }
    /* An instruction that only has a length. It was not met in the middle of a delivery. */
    exit->kind = reasons[reason].kind;
    exit->raw_reason = reason;
    exit->length = (uint32_t)vmcs_read(VMCS_EXIT_LENGTH);
    exit->qualification = 0;
}
