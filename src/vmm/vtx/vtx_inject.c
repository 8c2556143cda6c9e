// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vtx_inject.c -- events into the guest: encoding, re-injection, windows, shadows.
 *
 * v->inject holds at most one event. It goes in at the next entry. When an exit breaks off the
 * delivery of an event (its stack or the IDT needed an EPT violation, say), the IDT-vectoring
 * field describes it and it goes back into v->inject, so that the next entry delivers it again;
 * a handler that raises an exception meanwhile merges it there (double fault).
 *
 * Invariants
 *   - The valid bit of the entry field is cleared by each exit, so nothing is cleared here.
 *   - An NMI that goes back leaves NMI blocking clear, else its second entry would fail.
 *   - An error code is never delivered in real mode.
 * Locking    none; the VMCS is current on this CPU.
 * Sources    SDM volume 3C, 24.8.3, 26.6, 27.2.4
 */
#include "vmm/vtx/vtx_internal.h"

static bool event_is_software(enum vt_event_type type)
{
    return type == VT_EVENT_SOFT_INTERRUPT || type == VT_EVENT_PRIV_EXCEPTION ||
           type == VT_EVENT_SOFT_EXCEPTION;
}

uint32_t vmx_event_encode(const struct vt_event *event, bool protected_mode)
{
    uint32_t information = (uint32_t)EVENT_VALID | (uint32_t)event->type << 8 | event->vector;

    if (event->has_error && protected_mode)
        information |= (uint32_t)EVENT_HAS_ERROR;
    return information;
}

struct vt_event vmx_event_decode(uint32_t information, uint32_t error, uint32_t length)
{
    struct vt_event event = {
        .valid = (information & EVENT_VALID) != 0,
        .type = (enum vt_event_type)(information >> 8 & 7),
        .vector = (uint8_t)information,
        .has_error = (information & EVENT_HAS_ERROR) != 0,
    };

    if (event.has_error)
        event.error = error;
    if (event_is_software(event.type))
        event.length = length;
    return event;
}

void vtx_inject(struct vcpu *v)
{
    const struct vt_event *event = &v->inject;
    bool protected_mode = true;

    v->injected = v->inject;
    if (event->has_error)
        protected_mode = vmcs_read(VMCS_GUEST_CR0) & CR0_PE;
    vmcs_write(VMCS_ENTRY_EVENT, vmx_event_encode(event, protected_mode));
    if (event->has_error)
        vmcs_write(VMCS_ENTRY_ERROR_CODE, (uint16_t)event->error);
    if (event_is_software(event->type))
        vmcs_write(VMCS_ENTRY_LENGTH, event->length);
    if (event->type == VT_EVENT_NMI) {
        /* Some CPUs refuse an NMI in an STI shadow. The shadow is not for NMIs. */
        uint64_t blocked = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

        if (blocked & BLOCKED_BY_STI)
            vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocked & ~BLOCKED_BY_STI);
    }
}

void vtx_requeue(struct vcpu *v, uint32_t idt_vectoring)
{
    uint32_t error = 0;
    uint32_t length = 0;

    if (idt_vectoring & EVENT_HAS_ERROR)
        error = (uint32_t)vmcs_read(VMCS_IDT_ERROR_CODE);
    if (event_is_software((enum vt_event_type)(idt_vectoring >> 8 & 7)))
        length = (uint32_t)vmcs_read(VMCS_EXIT_LENGTH);
    v->inject = vmx_event_decode(idt_vectoring, error, length);
    if (v->inject.type == VT_EVENT_NMI) {
        uint64_t blocked = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocked & ~BLOCKED_BY_NMI);
    }
}

bool vtx_can_inject_interrupt(struct vcpu *v)
{
    (void)v;
    return (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
           !(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
}

bool vtx_can_inject_nmi(struct vcpu *v)
{
    (void)v;
    return !(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_MOV_SS | BLOCKED_BY_NMI));
}

static void window_set(struct vcpu *v, uint32_t bit, bool on)
{
    struct vtx_vcpu *x = vtx_of(v);
    uint32_t word = on ? x->primary | bit : x->primary & ~bit;

    if (word == x->primary)
        return;
    x->primary = word;
    bool irqs = vtx_access_begin(x);
    vmcs_write(VMCS_PRIMARY_CONTROLS, word);
    vtx_access_end(x, irqs);
}

void vtx_want_interrupt_window(struct vcpu *v, bool on)
{
    window_set(v, (uint32_t)PRIMARY_IRQ_WINDOW, on);
}

void vtx_want_nmi_window(struct vcpu *v, bool on)
{
    window_set(v, (uint32_t)PRIMARY_NMI_WINDOW, on);
}

void vtx_clear_shadow(struct vcpu *v)
{
    uint64_t blocked = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

    (void)v;
    if (blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
                   blocked & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
}

void vtx_reset_blocking(struct vcpu *v)
{
    (void)v;
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
}

bool vtx_step(struct vcpu *v, uint64_t next)
{
    struct vtx_vcpu *x = vtx_of(v);
    uint64_t rflags;

    x->rip = next;
    x->rip_dirty = true;
    vtx_clear_shadow(v);
    rflags = vmcs_read(VMCS_GUEST_RFLAGS);
    if (__builtin_expect(rflags & RFLAGS_RF, 0))
        vmcs_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    return rflags & RFLAGS_TF;
}
