// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vlapic.h -- a vCPU's local APIC (vmm/dev/vlapic.c): xAPIC page, x2APIC registers, timer, IPIs.
 */
#pragma once

#include "core/status.h"
#include "plat/plat_types.h"

struct vcpu;
struct vlapic;

/*
 * Makes v->lapic, as after power-up; v->vm and v->index are set already. NO_MEMORY. World
 * context.
 */
must_check vmk_status vlapic_create(struct vcpu *v);
/* Stops its timer and frees it; null is fine. No lock held, and nobody posts any more. */
void vlapic_destroy(struct vcpu *v);
/*
 * The registers as after power-up. IA32_APIC_BASE survives an INIT, not a reset of the machine.
 * In the world of `v`, or while the VM stands still.
 */
void vlapic_reset(struct vcpu *v);

/* Sets a vector pending (IRR) and kicks. Any context, with any lock held. */
void vlapic_post(struct vcpu *v, uint8_t vector, bool level);
/*
 * The highest vector deliverable now (IRR above PPR), or -1. In the world of `v`; one load if
 * nothing is pending. The PIC's ExtINT is not in it: see vpic.h.
 */
int vlapic_pending(struct vcpu *v);
/* That vector, which vlapic_pending() said, goes in: IRR -> ISR. In the world of `v`. */
void vlapic_accept(struct vcpu *v, uint8_t vector);
/*
 * Does it take the PIC's interrupts: by LINT0 (ExtINT unmasked, or APIC disabled), or an
 * IOAPIC's ExtINT message came that was not taken yet? Any context.
 */
bool vlapic_takes_extint(struct vcpu *v);
/* The PIC was asked for its vector: such a message is done. In the world of `v`. */
void vlapic_extint_taken(struct vcpu *v);

/* MMIO at the APIC's page, offset 0..0xfff; x2APIC MSRs 0x800..0x8ff; APIC_BASE; TSC_DEADLINE.
 * In the world of `v`, no lock held: an EOI may go on to the IOAPIC, which takes vm->lock. */
uint32_t vlapic_mmio_read(struct vcpu *v, uint32_t offset);
void vlapic_mmio_write(struct vcpu *v, uint32_t offset, uint32_t value);
bool vlapic_msr_read(struct vcpu *v, uint32_t index, uint64_t *value);  // false: #GP
bool vlapic_msr_write(struct vcpu *v, uint32_t index, uint64_t value);  // false: #GP
/* The guest set its TSC: a deadline is a value of it. In the world of `v`. */
void vlapic_tsc_moved(struct vcpu *v);
/* Is the page at this address the APIC's now (enabled, xAPIC mode, base)? */
bool vlapic_owns_page(struct vcpu *v, uint64_t gpa);
uint64_t vlapic_base_msr(struct vcpu *v);  // IA32_APIC_BASE
/* CR8: task priority 7:4. */
uint64_t vlapic_cr8(struct vcpu *v);
void vlapic_cr8_set(struct vcpu *v, uint64_t value);

/*
 * A message from an IOAPIC or MSI: destination, logical or physical, delivery mode, trigger.
 * False: no enabled APIC took it. Any context; vm->lock may be held.
 */
bool vlapic_deliver(struct vcpu *any_of_vm, uint32_t destination, bool logical,
                    unsigned delivery_mode, uint8_t vector, bool level);
