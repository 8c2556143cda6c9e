// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vlapic_internal.h -- struct vlapic, for the four files of a vCPU's local APIC.
 *
 * Most fields belong to the vCPU: only its own world reads and writes them, so they need no
 * lock.
 * What others touch is small: they set bits in IRR and TMR, they read the destination registers
 * to see whether a message is meant for this APIC, and the timer callback reads the timer's
 * LVT. All of that is done with atomics, so a post costs two locked instructions and no lock.
 * Turned down: one lock around everything; an IPI takes an exit each way already, and the lock
 * would be most of what remains.
 *
 * Locking    none of its own. (a) atomics, (i) never changes, everything else the vCPU's world.
 */
#pragma once

#include "core/timer.h"
#include "vmm/vcpu.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

/* The LVT in register order. */
enum apic_lvt {
    LVT_TIMER,
    LVT_THERMAL,
    LVT_PMC,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    LVT_COUNT
};

#define LVT_MASKED         BIT(16)
#define LVT_MODE_SHIFT     8u
#define LVT_TIMER_MODE     (3u << 17)
#define LVT_PERIODIC       (1u << 17)
#define LVT_DEADLINE       (2u << 17)

#define ESR_SEND_VECTOR    BIT(5)
#define ESR_RECEIVE_VECTOR BIT(6)
#define ESR_REGISTER       BIT(7)

enum delivery_mode {
    DELIVER_FIXED,
    DELIVER_LOWEST,
    DELIVER_SMI,
    DELIVER_READ,
    DELIVER_NMI,
    DELIVER_INIT,
    DELIVER_SIPI,
    DELIVER_EXTINT,
};

#define VECTOR_MIN 16u  // below are exceptions: illegal in a message

struct vlapic {
    struct vcpu *vcpu;  // (i)

    // What a post and a look need.
    uint32_t irr_words;  // (a) bit i: irr[i] may be non-zero
    uint32_t irr[8];     // (a)
    uint32_t tmr[8];     // (a) bit set: the interrupt in IRR or ISR is level-triggered
    bool accepting;      // (a) enabled in IA32_APIC_BASE and in SVR
    bool takes_extint;   // (a)
    bool extint_sent;    // (a) an IOAPIC said that the PIC has something
    bool x2apic;         // (a)
    uint32_t ppr;        // (a) written by the vCPU; others read it for lowest priority
    uint32_t isr_words;
    uint32_t isr[8];

    uint64_t base;  // IA32_APIC_BASE
    uint32_t tpr;
    uint32_t ldr, dfr;  // (a) xAPIC's; x2APIC derives its LDR
    uint32_t svr;
    uint32_t esr;      // as the guest latched it
    uint32_t esr_new;  // (a) errors since
    uint64_t icr;
    uint32_t lvt[LVT_COUNT];  // (a) the timer callback reads two of them

    // The timer. The callback runs on whatever CPU armed it.
    struct timer timer;
    bool timer_stopping;  // (a) the callback leaves everything alone
    uint32_t timer_initial;
    uint32_t timer_divide;    // the register
    uint64_t timer_deadline;  // (a) plat_ns when the count reaches zero; 0: stopped
    uint64_t tsc_deadline;    // (a) guest TSC; 0: disarmed
};

#define load(field)          __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define store(field, value)  __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define set_bits(field, b)   ((void)__atomic_fetch_or(&(field), (b), __ATOMIC_SEQ_CST))
#define clear_bits(field, b) ((void)__atomic_fetch_and(&(field), ~(b), __ATOMIC_SEQ_CST))

/*
 * The logical id that the hardware derives from the id in x2APIC mode: cluster and place in it.
 */
static inline uint32_t x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15u);
}

/* ---- vlapic.c ---- */

/*
 * Sets the vector pending. True if it was not: then the vCPU must look, and who posts from
 * another world kicks it. Any context.
 */
bool vlapic_irr_set(struct vlapic *l, uint8_t vector, bool level);
/* Raises a local interrupt source of this APIC. Any context. */
void vlapic_lvt_fire(struct vlapic *l, enum apic_lvt which);
/* Notes an error (ESR_*) for the next read of ESR; a new one raises LVT_ERROR. Any context. */
void vlapic_error(struct vlapic *l, uint32_t bit);
/*
 * Ends the highest interrupt in service. The vCPU's world; takes vm->lock if it was
 * level-triggered.
 */
void vlapic_eoi(struct vlapic *l);
/* A new task priority, and the processor priority that follows from it. The vCPU's world. */
void vlapic_tpr_set(struct vlapic *l, uint32_t value);

/* ---- vlapic_message.c ---- */

/* Sends what was written to ICR. The vCPU's world, without vm->lock. */
void vlapic_icr_send(struct vlapic *l, uint64_t icr);

/* ---- vlapic_timer.c: the vCPU's world ---- */

void vlapic_timer_init(struct vlapic *l);
/* Stopped and no callback under way any more: then the fields of the timer may change. */
void vlapic_timer_stop(struct vlapic *l);
/* Before the entry of the timer changes: a count that has run out is not the new mode's. */
void vlapic_timer_settle(struct vlapic *l);
uint32_t vlapic_timer_count(struct vlapic *l);  // the current count register
void vlapic_timer_initial_set(struct vlapic *l, uint32_t value);
void vlapic_timer_divide_set(struct vlapic *l, uint32_t value);
void vlapic_tsc_deadline_set(struct vlapic *l, uint64_t value);  // 0 disarms

/* ---- vlapic_regs.c ---- */

/*
 * All registers but IA32_APIC_BASE to their values after power-up. The vCPU's world, or before
 * it runs.
 */
void vlapic_registers_reset(struct vlapic *l);
