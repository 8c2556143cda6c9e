// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/svm_event.c -- what goes into a guest: interrupts, NMIs, exceptions, and the windows for them.
 *
 * An event whose delivery an exit cut short is injected again, except for software interrupts:
 * their RIP still points at the instruction, which simply runs once more.
 *
 * There is no hardware window for NMIs: after one was injected IRET is intercepted, and stepped
 * over with the trap flag if another waits.
 *
 * Invariants: V_IRQ is either an interrupt on its way (`virq`) or a window, never both.
 * Locking: none; a vCPU belongs to the CPU that has it loaded.
 *
 * Sources: APM-2, "Event Injection", "Interrupt and Local APIC Support".
 */
#include "vmm/svm/svm.h"
#include "vmm/vm.h"

/*
 * What reading a gate, its segment and its stack may raise, and IRET: #TS, #NP, #SS, #PF, #AC.
 */
#define DELIVERY_FAULTS                                                                        \
    (BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_PF) | BIT(VECTOR_AC))

/*
 * #GP always exits: it may be the backdoor's port at CPL 3. The other faults of a delivery exit
 * while an interrupt is on its way through V_IRQ: one that ends in a fault is gone, but QEMU
 * (7.2) keeps V_IRQ and tries again for ever. And while an IRET is stepped over, so that no
 * frame has the step's flag.
 */
void svm_exceptions_intercept(struct svm_vcpu *s)
{
    uint64_t bits = BIT(VECTOR_GP);

    if (s->virq || s->nmi_step)
        bits |= DELIVERY_FAULTS;
    if (s->nmi_step)
        bits |= BIT(VECTOR_DB);
    s->vmcb->intercept_exceptions = (uint32_t)bits;
    svm_touch(s, SVM_CLEAN_INTERCEPTS);
}

bool svm_can_inject_interrupt(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    return !svm_of(v)->virq && (b->rflags & RFLAGS_IF) && !(b->interrupt_shadow & 1);
}

bool svm_can_inject_nmi(struct vcpu *v)
{
    const struct svm_vcpu *s = svm_of(v);

    return !s->nmi_masked && !(s->vmcb->interrupt_shadow & 1);
}

void svm_want_interrupt_window(struct vcpu *v, bool on)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    if (s->virq) {  // an interrupt on its way needs an EOI, which exits, before the next one
        v->window = false;
        return;
    }
    if (on == !!(b->v_intr & SVM_V_IRQ))
        return;
    if (on) {
        b->v_intr |= SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR;
        b->intercept_misc1 |= SVM_MISC1(SVM_EXIT_VINTR);
    } else {
        b->v_intr &= ~(SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR);
        b->intercept_misc1 &= ~SVM_MISC1(SVM_EXIT_VINTR);
    }
    svm_touch(s, SVM_CLEAN_TPR | SVM_CLEAN_INTERCEPTS);
}

/*
 * An external interrupt goes in as a virtual one: V_IRQ with its vector, which the processor
 * takes at once, because RFLAGS.IF is known to be 1. (QEMU 7.2 delivers an interrupt of
 * EVENTINJ twice when something else stops its loop right behind VMRUN; that was seen as guests
 * whose timer interrupt nested in itself.) An exit may come first, then V_IRQ simply stays set
 * for the next entry.
 *
 * virq_set() and virq_drop() change the one thing that svm_exceptions_intercept() would compute
 * anew: they are on the way of each interrupt.
 */
static void virq_set(struct svm_vcpu *s, uint8_t vector)
{
    s->virq = true;
    s->vmcb->v_intr |= SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR | SVM_V_VECTOR(vector);
    s->vmcb->intercept_exceptions |= (uint32_t)DELIVERY_FAULTS;
    svm_touch(s, SVM_CLEAN_TPR | SVM_CLEAN_INTERCEPTS);
}

static void virq_drop(struct svm_vcpu *s)
{
    s->virq = false;
    s->vmcb->v_intr &= ~(SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR | SVM_V_VECTOR(255));
    if (!s->nmi_step)
        s->vmcb->intercept_exceptions &= ~(uint32_t)DELIVERY_FAULTS;
    svm_touch(s, SVM_CLEAN_TPR | SVM_CLEAN_INTERCEPTS);
}

/*
 * QEMU (7.2) may forget V_IRQ: a host interrupt that another thread announces while VMRUN notes
 * it overwrites the note. Then it ends the guest at once, where it was. A guest that took the
 * interrupt had to leave its handler by an EOI, which is another exit.
 */
static bool virq_lost(const struct svm_vcpu *s)
{
    const struct vmcb *b = s->vmcb;

    return b->exit_code == SVM_EXIT_INTR && b->rip == s->virq_rip && b->rsp == s->virq_rsp &&
           (b->rflags & RFLAGS_IF);
}

/*
 * After an exit: was the interrupt taken? Gives back what EXITINTINFO says. A guest that halts
 * in the shadow of STI has to see the interrupt, so then it goes back to where the loop looks.
 */
uint64_t svm_virq_check(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    const uint8_t vector = (uint8_t)(b->v_intr >> 32);
    uint64_t info = b->exit_int_info;
    const bool cut_short = (info & SVM_EVENT_VALID) && (uint8_t)info == vector;

    if (cut_short) {  // QEMU says "exception" of it, and V_IRQ is still set
        info = SVM_EVENT_VALID | SVM_EVENT_TYPE(SVM_EVENT_INTR) | vector;
    } else if (b->v_intr & SVM_V_IRQ) {
        if (b->exit_code != SVM_EXIT_HLT)
            return info;
        v->inject =
            (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = vector};
    } else if (virq_lost(s)) {
        virq_set(s, vector);
        return info;
    }
    virq_drop(s);
    return info;
}

static void iret_intercept(struct svm_vcpu *s, bool on)
{
    if (on)
        s->vmcb->intercept_misc1 |= SVM_MISC1(SVM_EXIT_IRET);
    else
        s->vmcb->intercept_misc1 &= ~SVM_MISC1(SVM_EXIT_IRET);
    svm_touch(s, SVM_CLEAN_INTERCEPTS);
}

/* The exit in front of that IRET. */
void svm_iret_seen(struct svm_vcpu *s)
{
    s->nmi_iret = true;
    s->nmi_iret_rip = s->vmcb->rip;
    iret_intercept(s, false);
}

/*
 * While an NMI is masked its IRET is intercepted. That exit comes before the IRET; the
 * instruction itself is then stepped over with the trap flag, so that the next NMI goes in
 * right behind it. The step is for one entry: whatever exit comes takes it back, and the caller
 * asks again.
 */
void svm_want_nmi_window(struct vcpu *v, bool on)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    if (!on || !s->nmi_masked || !s->nmi_iret || s->nmi_step || v->inject.valid)
        return;
    s->nmi_step = true;
    s->nmi_step_flag = b->rflags & RFLAGS_TF;
    s->nmi_step_dr6 = b->dr6;
    b->rflags |= RFLAGS_TF;
    svm_exceptions_intercept(s);
}

/* After an exit: true if it is the step's and nobody else's. */
bool svm_nmi_step_end(struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;

    s->nmi_step = false;
    svm_exceptions_intercept(s);
    if (b->exit_code != SVM_EXIT_EXCEPTION + VECTOR_DB) {
        if (b->rip == s->nmi_iret_rip)  // not done yet
            b->rflags = (b->rflags & ~RFLAGS_TF) | s->nmi_step_flag;
        return false;
    }
    s->nmi_iret = false;
    s->nmi_masked = false;
    if (s->nmi_step_flag || ((b->dr6 ^ s->nmi_step_dr6) & 0xf))
        return false;  // the guest steps too, or has a breakpoint there
    b->dr6 = s->nmi_step_dr6;
    svm_touch(s, SVM_CLEAN_DR);
    return true;
}

void svm_clear_shadow(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);

    s->vmcb->interrupt_shadow = 0;
    s->nmi_masked = false;
    s->nmi_iret = false;
    iret_intercept(s, false);
    virq_drop(s);
}

bool svm_step(struct vcpu *v, uint64_t next)
{
    struct vmcb *b = svm_of(v)->vmcb;

    b->rip = next;
    b->interrupt_shadow = 0;
    if (__builtin_expect(!(b->rflags & (RFLAGS_TF | RFLAGS_RF)), 1))
        return false;
    b->rflags &= ~RFLAGS_RF;
    return b->rflags & RFLAGS_TF;
}

void svm_inject(struct vcpu *v, struct svm_vcpu *s)
{
    const struct vt_event *e = &v->inject;
    struct vmcb *b = s->vmcb;
    uint64_t type = SVM_EVENT_EXCEPTION;

    v->injected = v->inject;
    switch (e->type) {
    case VT_EVENT_INTERRUPT:
        svm_want_interrupt_window(v, false);  // the loop asks for it again after the next exit
        v->window = false;
        virq_set(s, e->vector);
        v->inject.valid = false;
        return;
    case VT_EVENT_NMI:
        type = SVM_EVENT_NMI;
        s->nmi_masked = true;
        s->nmi_iret = false;
        iret_intercept(s, true);
        break;
    case VT_EVENT_SOFT_INTERRUPT:
        type = SVM_EVENT_SOFT;
        b->rip += e->length;
        break;
    case VT_EVENT_SOFT_EXCEPTION:
    case VT_EVENT_PRIV_EXCEPTION: b->rip += e->length; break;
    case VT_EVENT_EXCEPTION: break;
    }
    b->event_inject = SVM_EVENT_VALID | SVM_EVENT_TYPE(type) | e->vector;
    if (e->has_error)
        b->event_inject |= SVM_EVENT_HAS_ERROR | (uint64_t)e->error << 32;
    v->inject.valid = false;
}

/* What the exit kept from being delivered goes in again. */
void svm_requeue(struct vcpu *v, struct svm_vcpu *s, uint64_t info)
{
    uint8_t vector = (uint8_t)info;
    unsigned type = info >> 8 & 7;
    struct vt_event event = {.valid = true, .vector = vector};

    switch (type) {
    case SVM_EVENT_INTR: event.type = VT_EVENT_INTERRUPT; break;
    case SVM_EVENT_NMI:
        event.type = VT_EVENT_NMI;
        s->nmi_masked = false;
        iret_intercept(s, false);
        break;
    case SVM_EVENT_EXCEPTION:
        if (vector == 3 || vector == 4)
            return;  // INT3, INTO: RIP is still at the instruction
        event.type = VT_EVENT_EXCEPTION;
        event.has_error = info & SVM_EVENT_HAS_ERROR;
        event.error = (uint32_t)(info >> 32);
        break;
    default: return;  // INT n runs again
    }
    v->inject = event;
}
