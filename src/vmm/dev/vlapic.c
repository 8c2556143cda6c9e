// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vlapic.c -- a vCPU's local APIC: interrupts come in, wait by priority, are served; its life.
 *
 * A vector goes from IRR (pending) to ISR (in service) when the vCPU takes it, and out of ISR
 * with the guest's EOI. The registers around that are in vlapic_regs.c, what APICs send each
 * other in vlapic_message.c, the timer in vlapic_timer.c.
 *
 * `irr_words` has a bit for each 32-bit word of IRR that may hold something. It is the flag
 * that makes vlapic_pending() one load in the common case. A poster sets the bit in IRR first,
 * then the summary; accept clears in the other order and looks again, so a set bit is never
 * forgotten.
 *
 * Invariants
 *   - ppr is max(TPR, class of the highest ISR bit) after every change of either.
 *   - irr_words has bit i set whenever irr[i] is not zero and no post is half done.
 *   - The APIC accepts fixed interrupts only while enabled in IA32_APIC_BASE and SVR
 *     (`accepting`).
 * Locking    none of its own (vlapic_internal.h). An EOI of a level interrupt takes vm->lock,
 *            so callers of the MSR and MMIO entries hold no lock.
 * Start at   vlapic_irr_set(), vlapic_pending(), vlapic_accept()
 * Sources    [SDM] volume 3, chapter "Advanced Programmable Interrupt Controller"
 */
#include "vmm/vlapic.h"

#include "core/heap.h"
#include "vmm/dev/vioapic.h"
#include "vmm/dev/vlapic_internal.h"

static unsigned top_bit(uint32_t word)
{
    return 31u - (unsigned)__builtin_clz(word);
}

static uint32_t vector_bit(unsigned vector)
{
    return 1u << (vector & 31u);
}

/* ---- priorities ---- */

/* The highest vector in service, or -1. */
static int isr_top(const struct vlapic *l)
{
    if (!l->isr_words)
        return -1;
    unsigned word = top_bit(l->isr_words);
    return (int)(word * 32 + top_bit(l->isr[word]));
}

static void ppr_update(struct vlapic *l)
{
    uint32_t served = l->isr_words ? (uint32_t)isr_top(l) & 0xf0u : 0;

    store(l->ppr, (l->tpr & 0xf0u) >= served ? l->tpr : served);
}

void vlapic_tpr_set(struct vlapic *l, uint32_t value)
{
    l->tpr = value & 0xffu;
    ppr_update(l);
}

/* ---- receiving ---- */

bool vlapic_irr_set(struct vlapic *l, uint8_t vector, bool level)
{
    unsigned word = vector / 32u;
    uint32_t bit = vector_bit(vector);

    if (!load(l->accepting))
        return false;
    if (level)
        set_bits(l->tmr[word], bit);
    else if (load(l->tmr[word]) & bit)
        clear_bits(l->tmr[word], bit);
    uint32_t old = __atomic_fetch_or(&l->irr[word], bit, __ATOMIC_SEQ_CST);
    set_bits(l->irr_words, 1u << word);
    return !(old & bit);
}

void vlapic_post(struct vcpu *v, uint8_t vector, bool level)
{
    if (vector < VECTOR_MIN) {
        vlapic_error(v->lapic, ESR_RECEIVE_VECTOR);
        return;
    }
    if (vlapic_irr_set(v->lapic, vector, level))
        vcpu_kick(v);
}

void vlapic_lvt_fire(struct vlapic *l, enum apic_lvt which)
{
    uint32_t entry = load(l->lvt[which]);

    if (entry & LVT_MASKED)
        return;
    if (((entry >> LVT_MODE_SHIFT) & 7u) == DELIVER_NMI && which != LVT_TIMER) {
        vcpu_nmi_note(l->vcpu);
        vcpu_kick(l->vcpu);
        return;
    }
    if ((entry & 0xffu) < VECTOR_MIN) {
        // An illegal vector in the error entry itself must not raise itself for ever.
        if (which == LVT_ERROR)
            set_bits(l->esr_new, (uint32_t)ESR_RECEIVE_VECTOR);
        else
            vlapic_error(l, ESR_RECEIVE_VECTOR);
        return;
    }
    if (vlapic_irr_set(l, (uint8_t)entry, false))
        vcpu_kick(l->vcpu);
}

void vlapic_error(struct vlapic *l, uint32_t bit)
{
    uint32_t old = __atomic_fetch_or(&l->esr_new, bit, __ATOMIC_SEQ_CST);

    if (!(old & bit))
        vlapic_lvt_fire(l, LVT_ERROR);
}

/* The highest vector in the words of `words` that beats the processor priority, or -1. */
static int irr_search(struct vlapic *l, uint32_t words)
{
    while (words) {
        unsigned word = top_bit(words);
        uint32_t bits = load(l->irr[word]);

        if (bits) {
            unsigned vector = word * 32 + top_bit(bits);
            return (vector >> 4) > (l->ppr >> 4) ? (int)vector : -1;
        }
        words &= ~(1u << word);
    }
    return -1;
}

int vlapic_pending(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    uint32_t words = load(l->irr_words);

    return __builtin_expect(words == 0, 1) ? -1 : irr_search(l, words);
}

void vlapic_accept(struct vcpu *v, uint8_t vector)
{
    struct vlapic *l = v->lapic;
    unsigned word = vector / 32u;
    uint32_t bit = vector_bit(vector);

    if (__atomic_and_fetch(&l->irr[word], ~bit, __ATOMIC_SEQ_CST) == 0) {
        clear_bits(l->irr_words, 1u << word);
        // A poster may have set a bit between the two.
        if (load(l->irr[word]))
            set_bits(l->irr_words, 1u << word);
    }
    l->isr[word] |= bit;
    l->isr_words |= 1u << word;
    store(l->ppr, vector & 0xf0u);  // it was above the processor's priority, so it is that now
}

void vlapic_eoi(struct vlapic *l)
{
    int vector = isr_top(l);

    if (vector < 0)
        return;
    unsigned word = (unsigned)vector / 32u;
    uint32_t bit = vector_bit((unsigned)vector);

    l->isr[word] &= ~bit;
    if (!l->isr[word])
        l->isr_words &= ~(1u << word);
    ppr_update(l);
    if (load(l->tmr[word]) & bit) {
        struct vm *vm = l->vcpu->vm;
        bool irqs = spin_lock(&vm->lock);

        vioapic_eoi(vm, (uint8_t)vector);
        spin_unlock(&vm->lock, irqs);
    }
}

bool vlapic_takes_extint(struct vcpu *v)
{
    return (v->index == 0 && load(v->lapic->takes_extint)) || load(v->lapic->extint_sent);
}

void vlapic_extint_taken(struct vcpu *v)
{
    store(v->lapic->extint_sent, false);
}

/* ---- life ---- */

/* IA32_APIC_BASE at power-up: on, at its usual place. */
static uint64_t base_after_reset(const struct vcpu *v)
{
    return VM_LAPIC_BASE | APIC_BASE_EN | (v->index == 0 ? APIC_BASE_BSP : 0);
}

vmk_status vlapic_create(struct vcpu *v)
{
    struct vlapic *l = heap_alloc(sizeof(*l), MEM_OWNER_VMM);

    if (!l)
        return VMK_NO_MEMORY;
    l->vcpu = v;
    l->base = base_after_reset(v);
    vlapic_timer_init(l);
    v->lapic = l;
    vlapic_registers_reset(l);
    return VMK_OK;
}

void vlapic_destroy(struct vcpu *v)
{
    if (!v->lapic)
        return;
    vlapic_timer_stop(v->lapic);
    heap_free(v->lapic);
    v->lapic = NULL;
}

void vlapic_reset(struct vcpu *v)
{
    // INIT keeps mode and place, the reset of the machine does not.
    if (load(v->vm->state) == VM_STATE_RESETTING)
        v->lapic->base = base_after_reset(v);
    vlapic_registers_reset(v->lapic);
}
