// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vlapic_regs.c -- the registers of a local APIC, and the two faces they have.
 *
 * One set of named fields answers both faces: the 4 KB page of xAPIC mode and the registers of
 * x2APIC mode, which are the same numbers (offset >> 4) with stricter rules. The faces check,
 * reg_read() and reg_write() act. IA32_APIC_BASE says which of the two there is, if any.
 *
 * Locking    none: the vCPU's world (vlapic_internal.h).
 * Start at   reg_write(), base_write()
 * Sources    [SDM] volume 3, "Local APIC Register Address Map", "Extended XAPIC (x2APIC)"
 */
#include "vmm/dev/vlapic_internal.h"

#define APIC_BASE_ADDRESS 0x000ffffffffff000ull
#define APIC_BASE_RESERVED                                                                     \
    (~(APIC_BASE_ADDRESS | APIC_BASE_EN | APIC_BASE_EXTD | APIC_BASE_BSP))

/* Register numbers: xAPIC offset >> 4, x2APIC MSR - 0x800. */
enum apic_reg {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
};

/* What a write can change in each; delivery status and remote IRR are read-only. */
static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PMC] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};
#define LVT_READ_ONLY 0x5000u

/* Version 0x14 (integrated), six LVT entries, no suppression of EOI broadcasts. */
#define APIC_VERSION  (0x14u | ((LVT_COUNT - 1u) << 16))

#define SVR_ENABLE    BIT(8)
#define SVR_FOCUS     BIT(9)
#define SVR_RESET     0xffu

#define ICR_STATUS    BIT(12)
#define ICR_SELF      BIT(18)        // the shorthand, fixed delivery
#define ICR_RESERVED  0xfff32000ull  // of the low half, for #GP in x2APIC mode

static void cached_update(struct vlapic *l)
{
    bool on = (l->base & APIC_BASE_EN) != 0;
    uint32_t lint0 = l->lvt[LVT_LINT0];
    bool extint = !(lint0 & LVT_MASKED) && ((lint0 >> LVT_MODE_SHIFT) & 7u) == DELIVER_EXTINT;

    store(l->x2apic, on && (l->base & APIC_BASE_EXTD));
    store(l->accepting, on && (l->svr & SVR_ENABLE));
    // Without an APIC the INTR pin is the boot processor's.
    store(l->takes_extint, on ? extint : l->vcpu->index == 0);
}

static void svr_write(struct vlapic *l, uint32_t value)
{
    l->svr = value & 0x1ffu;
    if (!(l->svr & SVR_ENABLE)) {
        for (unsigned i = 0; i < LVT_COUNT; i++)
            set_bits(l->lvt[i], (uint32_t)LVT_MASKED);
    }
    cached_update(l);
}

static void lvt_write(struct vlapic *l, enum apic_lvt which, uint32_t value)
{
    value &= lvt_writable[which];
    if (!(l->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    if (which == LVT_TIMER) {
        vlapic_timer_settle(l);
        if ((value & LVT_TIMER_MODE) == LVT_TIMER_MODE)  // reserved mode: as one-shot
            value &= ~LVT_TIMER_MODE;
        if ((value ^ l->lvt[LVT_TIMER]) & LVT_DEADLINE) {
            vlapic_timer_stop(l);
            l->timer_initial = 0;
        }
    }
    store(l->lvt[which], value);
    if (which == LVT_LINT0)
        cached_update(l);
}

static bool reg_read(struct vlapic *l, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case REG_ID: *value = l->x2apic ? l->vcpu->index : l->vcpu->index << 24; return true;
    case REG_VERSION: *value = APIC_VERSION; return true;
    case REG_TPR: *value = l->tpr; return true;
    case REG_APR: *value = 0; return true;
    case REG_PPR: *value = l->ppr; return true;
    case REG_EOI: *value = 0; return true;
    case REG_RRD: *value = 0; return true;
    case REG_LDR: *value = l->x2apic ? x2apic_ldr(l->vcpu->index) : l->ldr; return true;
    case REG_DFR: *value = l->dfr; return true;
    case REG_SVR: *value = l->svr; return true;
    case REG_ISR ... REG_ISR + 7: *value = l->isr[reg - REG_ISR]; return true;
    case REG_TMR ... REG_TMR + 7: *value = load(l->tmr[reg - REG_TMR]); return true;
    case REG_IRR ... REG_IRR + 7: *value = load(l->irr[reg - REG_IRR]); return true;
    case REG_ESR: *value = l->esr; return true;
    case REG_ICR: *value = (uint32_t)l->icr; return true;
    case REG_ICR_HIGH: *value = (uint32_t)(l->icr >> 32); return true;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1: *value = load(l->lvt[reg - REG_LVT]); return true;
    case REG_TIMER_INITIAL: *value = l->timer_initial; return true;
    case REG_TIMER_CURRENT: *value = vlapic_timer_count(l); return true;
    case REG_TIMER_DIVIDE: *value = l->timer_divide; return true;
    default: return false;
    }
}

/* False: no such register, or read-only. */
static bool reg_write(struct vlapic *l, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_TPR: vlapic_tpr_set(l, value); return true;
    case REG_EOI: vlapic_eoi(l); return true;
    case REG_LDR: store(l->ldr, value & 0xff000000u); return true;
    case REG_DFR: store(l->dfr, value | 0x0fffffffu); return true;
    case REG_SVR: svr_write(l, value); return true;
    case REG_ESR: l->esr = __atomic_exchange_n(&l->esr_new, 0, __ATOMIC_SEQ_CST); return true;
    case REG_ICR:
        l->icr = (l->icr & ~0xffffffffull) | (value & ~(uint32_t)ICR_STATUS);
        vlapic_icr_send(l, l->icr);
        return true;
    case REG_ICR_HIGH: l->icr = (uint32_t)l->icr | (uint64_t)value << 32; return true;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        lvt_write(l, (enum apic_lvt)(reg - REG_LVT), value);
        return true;
    case REG_TIMER_INITIAL: vlapic_timer_initial_set(l, value); return true;
    case REG_TIMER_DIVIDE: vlapic_timer_divide_set(l, value); return true;
    default: return false;
    }
}

uint32_t vlapic_mmio_read(struct vcpu *v, uint32_t offset)
{
    struct vlapic *l = v->lapic;
    uint32_t value = 0;

    // Sixteen bytes a register, the first four are there; a narrow read gets its part of them.
    if (offset & 0xc)
        return 0;
    if (!reg_read(l, (offset & 0xfffu) >> 4, &value))
        vlapic_error(l, ESR_REGISTER);
    return value >> (offset & 3u) * 8;
}

void vlapic_mmio_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
    struct vlapic *l = v->lapic;

    if (offset & 0xf)
        return;
    if (!reg_write(l, (offset & 0xfffu) >> 4, value)) {
        uint32_t unused;
        // Writes to read-only registers are ignored; only unknown ones are errors.
        if (!reg_read(l, (offset & 0xfffu) >> 4, &unused))
            vlapic_error(l, ESR_REGISTER);
    }
}

/* ---- x2APIC ---- */

static bool x2apic_read(struct vlapic *l, unsigned reg, uint64_t *value)
{
    uint32_t low;

    switch (reg) {
    case REG_APR:
    case REG_EOI:
    case REG_RRD:
    case REG_DFR:
    case REG_ICR_HIGH:
    case REG_SELF_IPI: return false;
    case REG_ICR: *value = l->icr; return true;
    default: break;
    }
    if (!reg_read(l, reg, &low))
        return false;
    *value = low;
    return true;
}

/* The bits that may be set in a write to this register in x2APIC mode. */
static uint32_t x2apic_writable(unsigned reg)
{
    switch (reg) {
    case REG_TPR: return 0xff;
    case REG_SVR: return (uint32_t)(0xff | SVR_ENABLE | SVR_FOCUS);
    case REG_EOI:
    case REG_ESR: return 0;
    case REG_SELF_IPI: return 0xff;
    case REG_TIMER_DIVIDE: return 0xb;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        return lvt_writable[reg - REG_LVT] | LVT_READ_ONLY;
    default: return UINT32_MAX;
    }
}

/* A fixed interrupt to itself by shorthand: nobody else is asked. */
static bool is_fixed_to_self(uint64_t icr)
{
    return ((uint32_t)icr & ~(uint32_t)(ICR_STATUS | 0xff)) == ICR_SELF &&
           (uint8_t)icr >= VECTOR_MIN;
}

static bool x2apic_write(struct vlapic *l, unsigned reg, uint64_t value)
{
    if (reg == REG_EOI && value == 0) {
        vlapic_eoi(l);
        return true;
    }
    if (reg == REG_ICR) {
        if (value & ICR_RESERVED)
            return false;
        l->icr = value & ~(uint64_t)ICR_STATUS;
        if (is_fixed_to_self(value))
            (void)vlapic_irr_set(l, (uint8_t)value, false);
        else
            vlapic_icr_send(l, value);
        return true;
    }
    if (value & ~(uint64_t)x2apic_writable(reg))
        return false;
    switch (reg) {
    case REG_SELF_IPI:
        if (value < VECTOR_MIN)
            vlapic_error(l, ESR_SEND_VECTOR);
        else
            (void)vlapic_irr_set(l, (uint8_t)value, false);
        return true;
    case REG_LDR:
    case REG_DFR:
    case REG_ICR_HIGH: return false;
    default: return reg_write(l, reg, (uint32_t)value);
    }
}

/* ---- IA32_APIC_BASE, reset ---- */

/* All registers to their values after power-up. The owner's world, or before it runs. */
void vlapic_registers_reset(struct vlapic *l)
{
    store(l->accepting, false);
    vlapic_timer_stop(l);
    for (unsigned i = 0; i < 8; i++) {
        store(l->irr[i], 0u);
        store(l->tmr[i], 0u);
        l->isr[i] = 0;
    }
    store(l->irr_words, 0u);
    l->isr_words = 0;
    l->tpr = 0;
    store(l->ppr, 0u);
    store(l->ldr, 0u);
    store(l->dfr, UINT32_MAX);
    l->svr = SVR_RESET;
    l->esr = 0;
    store(l->esr_new, 0u);
    store(l->extint_sent, false);
    l->icr = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        store(l->lvt[i], (uint32_t)LVT_MASKED);
    /*
     * Firmware leaves the boot processor in virtual wire mode, and guests are loaded without
     * firmware: the PIC comes in through LINT0.
     */
    if (l->vcpu->index == 0)
        store(l->lvt[LVT_LINT0], (uint32_t)DELIVER_EXTINT << LVT_MODE_SHIFT);
    l->timer_initial = 0;
    l->timer_divide = 0;
    cached_update(l);
}

static bool base_write(struct vlapic *l, uint64_t value)
{
    const uint64_t mode = APIC_BASE_EN | APIC_BASE_EXTD;
    uint64_t from = l->base & mode, to = value & mode;

    if (value & APIC_BASE_RESERVED || to == APIC_BASE_EXTD)
        return false;
    if (from == 0 && to == mode)  // x2APIC only out of xAPIC
        return false;
    if (from == mode && to == APIC_BASE_EN)  // and out of it only to disabled
        return false;
    l->base = (value & ~APIC_BASE_BSP) | (l->base & APIC_BASE_BSP);
    if (from != to && (from == 0 || to == 0)) {
        vlapic_registers_reset(l);
        return true;
    }
    if (from != to)
        l->icr = (uint32_t)l->icr;
    cached_update(l);
    return true;
}

uint64_t vlapic_base_msr(struct vcpu *v)
{
    return v->lapic->base;
}

bool vlapic_owns_page(struct vcpu *v, uint64_t gpa)
{
    const struct vlapic *l = v->lapic;

    return (l->base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN &&
           ((gpa ^ l->base) & APIC_BASE_ADDRESS) == 0;
}

bool vlapic_msr_read(struct vcpu *v, uint32_t index, uint64_t *value)
{
    struct vlapic *l = v->lapic;

    if (index == MSR_APIC_BASE) {
        *value = l->base;
        return true;
    }
    if (index == MSR_TSC_DEADLINE) {
        *value = load(l->tsc_deadline);
        return true;
    }
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || !l->x2apic)
        return false;
    return x2apic_read(l, index - MSR_X2APIC_FIRST, value);
}

bool vlapic_msr_write(struct vcpu *v, uint32_t index, uint64_t value)
{
    struct vlapic *l = v->lapic;

    if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
        return l->x2apic && x2apic_write(l, index - MSR_X2APIC_FIRST, value);
    if (index == MSR_APIC_BASE)
        return base_write(l, value);
    if (index == MSR_TSC_DEADLINE) {
        vlapic_tsc_deadline_set(l, value);
        return true;
    }
    return false;
}

uint64_t vlapic_cr8(struct vcpu *v)
{
    return v->lapic->tpr >> 4;
}

void vlapic_cr8_set(struct vcpu *v, uint64_t value)
{
    vlapic_tpr_set(v->lapic, (uint32_t)(value & 0xfu) << 4);
}
