// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vlapic.c -- a vCPU's local APIC: registers, priorities, timer, interprocessor messages.
 *
 * One set of named fields answers both faces of the APIC: the 4 KB page of xAPIC mode and the
 * registers of x2APIC mode, which are the same numbers (offset >> 4) with stricter rules. The
 * faces check, reg_read() and reg_write() act.
 *
 * Most fields belong to the vCPU: only its own world reads and writes them, so they need no lock.
 * What others touch is small: they set bits in IRR and TMR, they read the destination registers to
 * see whether a message is meant for this APIC, and the timer callback reads the timer's LVT. All
 * of that is done with atomics, so a post costs two locked instructions and no lock. Turned down:
 * one lock around everything; an IPI takes an exit each way already, and the lock would be most of
 * what remains.
 *
 * `irr_words` has a bit for each 32-bit word of IRR that may hold something. It is the flag that
 * makes vlapic_pending() one load in the common case. A poster sets the bit in IRR first, then the
 * summary; accept clears in the other order and looks again, so a set bit is never forgotten.
 *
 * The timer counts at 1 GHz: one tick is a nanosecond before the divider. It is kept as the time
 * at which it runs out, and the current count is computed when somebody reads it. A periodic timer
 * adds its period to the last deadline, not to now, so it does not drift; ticks that nobody could
 * take are dropped, because a guest that was not running gains nothing from ten timer interrupts.
 *
 * Invariants
 *   - ppr is max(TPR, class of the highest ISR bit) after every change of either.
 *   - irr_words has bit i set whenever irr[i] is not zero and no post is half done.
 *   - timer_period, timer_divide and the mode change only while the timer is cancelled.
 *   - The APIC accepts fixed interrupts only while enabled in IA32_APIC_BASE and SVR (`accepting`).
 * Locking    none of its own. (a) atomics, everything else the vCPU's world. An EOI of a level
 *            interrupt takes vm->lock, so callers of the MSR and MMIO entries hold no lock.
 * Start at   post(), vlapic_pending(), reg_write()
 * Sources    [SDM] volume 3, chapter "Advanced Programmable Interrupt Controller"
 */
#include "vmm/vlapic.h"

#include "core/heap.h"
#include "core/timer.h"
#include "plat/plat.h"
#include "vmm/dev/vioapic.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

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

#define LVT_MASKED     BIT(16)
#define LVT_MODE_SHIFT 8u
#define LVT_TIMER_MODE (3u << 17)
#define LVT_ONE_SHOT   (0u << 17)
#define LVT_PERIODIC   (1u << 17)
#define LVT_DEADLINE   (2u << 17)

/* What a write can change in each; delivery status and remote IRR are read-only. */
static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PMC] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};
#define LVT_READ_ONLY      0x5000u

/* Version 0x14 (integrated), six LVT entries, no suppression of EOI broadcasts. */
#define APIC_VERSION       (0x14u | ((LVT_COUNT - 1u) << 16))

#define SVR_ENABLE         BIT(8)
#define SVR_FOCUS          BIT(9)
#define SVR_RESET          0xffu

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

#define ICR_LOGICAL         BIT(11)
#define ICR_STATUS          BIT(12)
#define ICR_ASSERT          BIT(14)
#define ICR_LEVEL           BIT(15)
#define ICR_SHORTHAND_SHIFT 18u
#define ICR_RESERVED        0xfff32000ull  // of the low half, for #GP in x2APIC mode
enum shorthand {
    SHORT_NONE,
    SHORT_SELF,
    SHORT_ALL,
    SHORT_OTHERS
};

#define VECTOR_MIN          16u  // below are exceptions: illegal in a message

/* A guest may not ask for timer interrupts faster than this: they would be all the CPU does. */
#define TIMER_PERIOD_MIN_NS 20000ull

struct vlapic {
    struct vcpu *vcpu;  // (i)

    // What a post and a look need.
    uint32_t irr_words;  // (a) bit i: irr[i] may be non-zero
    uint32_t irr[8];     // (a)
    uint32_t tmr[8];     // (a) bit set: the interrupt in IRR or ISR is level-triggered
    bool accepting;      // (a) enabled in IA32_APIC_BASE and in SVR
    bool takes_extint;   // (a)
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

static void tpr_set(struct vlapic *l, uint32_t value)
{
    l->tpr = value & 0xffu;
    ppr_update(l);
}

/* ---- receiving ---- */

static void error_raise(struct vlapic *l, uint32_t bit);

/*
 * Sets the vector pending. True if it was not: then the vCPU must look, and who posts from another
 * world kicks it.
 */
static bool post(struct vlapic *l, uint8_t vector, bool level)
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
        error_raise(v->lapic, ESR_RECEIVE_VECTOR);
        return;
    }
    if (post(v->lapic, vector, level))
        vcpu_kick(v);
}

/* Raises a local interrupt source of this APIC. Any context. */
static void lvt_fire(struct vlapic *l, enum apic_lvt which)
{
    uint32_t entry = load(l->lvt[which]);

    if (entry & LVT_MASKED)
        return;
    if (((entry >> LVT_MODE_SHIFT) & 7u) == DELIVER_NMI && which != LVT_TIMER) {
        store(l->vcpu->nmi_pending, true);
        vcpu_kick(l->vcpu);
        return;
    }
    if ((entry & 0xffu) < VECTOR_MIN) {
        // An illegal vector in the error entry itself must not raise itself for ever.
        if (which == LVT_ERROR)
            set_bits(l->esr_new, (uint32_t)ESR_RECEIVE_VECTOR);
        else
            error_raise(l, ESR_RECEIVE_VECTOR);
        return;
    }
    if (post(l, (uint8_t)entry, false))
        vcpu_kick(l->vcpu);
}

static void error_raise(struct vlapic *l, uint32_t bit)
{
    uint32_t old = __atomic_fetch_or(&l->esr_new, bit, __ATOMIC_SEQ_CST);

    if (!(old & bit))
        lvt_fire(l, LVT_ERROR);
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
    ppr_update(l);
}

static void eoi(struct vlapic *l)
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
    return load(v->lapic->takes_extint);
}

/* ---- messages between APICs ---- */

struct message {
    uint32_t destination;
    bool logical;
    bool broadcast;  // to all, whatever the addressing
    enum delivery_mode mode;
    uint8_t vector;
    bool level;
};

static uint32_t x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15u);
}

static bool logical_match(struct vlapic *l, uint32_t destination)
{
    if (load(l->x2apic)) {
        uint32_t own = x2apic_ldr(l->vcpu->index);
        return own >> 16 == destination >> 16 && (own & destination & 0xffffu);
    }
    if (destination > 0xff)
        return false;
    uint32_t own = load(l->ldr) >> 24;
    if (load(l->dfr) >> 28 == 0xf)
        return (own & destination) != 0;
    return (destination >> 4 == 0xf || destination >> 4 == own >> 4) &&
           (own & destination & 0xfu);
}

static bool message_match(struct vlapic *l, const struct message *m)
{
    if (m->broadcast)
        return true;
    return m->logical ? logical_match(l, m->destination) : m->destination == l->vcpu->index;
}

/*
 * INIT puts a vCPU into reset until a SIPI comes, so one that waits for its SIPI has nothing to do.
 * That is every start of a processor after power-up, and the SIPI that follows at once then needs
 * no ordering with a reset under way.
 */
static void init_send(struct vcpu *target)
{
    bool waits = !load(target->init_pending) && load(target->state) == VCPU_WAIT_SIPI;

    store(target->sipi_vector, -1);
    if (!waits)
        store(target->init_pending, true);
}

static void sipi_send(struct vcpu *target, uint8_t vector)
{
    /*
     * A running vCPU ignores it. The order matters: the target enters VCPU_WAIT_SIPI before it
     * clears init_pending, so one of the two is seen.
     */
    if (!load(target->init_pending) && load(target->state) != VCPU_WAIT_SIPI)
        return;
    store(target->sipi_vector, (int)vector);
}

/* One target takes the message. False if its APIC does not accept it. `from` null: not an IPI. */
static bool message_accept(struct vcpu *target, struct vcpu *from, const struct message *m)
{
    switch (m->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (!load(target->lapic->accepting))
            return false;
        if (m->vector < VECTOR_MIN) {
            error_raise(target->lapic, ESR_RECEIVE_VECTOR);
            return false;
        }
        // The sender looks at its own IRR before it enters the guest again: no kick.
        if (post(target->lapic, m->vector, m->level) && target != from)
            vcpu_kick(target);
        return true;
    case DELIVER_NMI: store(target->nmi_pending, true); break;
    case DELIVER_INIT: init_send(target); break;
    case DELIVER_SIPI: sipi_send(target, m->vector); break;
    case DELIVER_SMI:     // no system management mode
    case DELIVER_READ:    // not on any APIC since the P6
    case DELIVER_EXTINT:  // the PIC is wired to LINT0 alone
    default: return false;
    }
    vcpu_kick(target);
    return true;
}

/* Of those addressed, the one with the lowest processor priority; of equals the lowest id. */
static bool message_send_lowest(struct vm *vm, struct vcpu *from, const struct message *m)
{
    struct vcpu *best = NULL;

    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *target = vm->vcpus[i];

        if (!load(target->lapic->accepting) || !message_match(target->lapic, m))
            continue;
        if (!best || load(target->lapic->ppr) >> 4 < load(best->lapic->ppr) >> 4)
            best = target;
    }
    return best && message_accept(best, from, m);
}

static bool message_send(struct vm *vm, struct vcpu *from, const struct message *m)
{
    bool taken = false;

    if (m->mode == DELIVER_LOWEST)
        return message_send_lowest(vm, from, m);
    // One target by its id is nearly every message there is.
    if (!m->logical && !m->broadcast)
        return m->destination < vm->vcpu_count &&
               message_accept(vm->vcpus[m->destination], from, m);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (message_match(vm->vcpus[i]->lapic, m))
            taken |= message_accept(vm->vcpus[i], from, m);
    }
    return taken;
}

bool vlapic_deliver(struct vcpu *any_of_vm, uint32_t destination, bool logical,
                    unsigned delivery_mode, uint8_t vector, bool level)
{
    const struct message m = {
        .destination = destination,
        .logical = logical,
        // Devices have eight bits for it, whatever mode the APICs are in.
        .broadcast = destination == UINT32_MAX || (!logical && destination == 0xff),
        .mode = (enum delivery_mode)(delivery_mode & 7u),
        .vector = vector,
        .level = level,
    };

    return message_send(any_of_vm->vm, NULL, &m);
}

static void icr_send(struct vlapic *l, uint64_t icr)
{
    struct vcpu *self = l->vcpu;
    struct vm *vm = self->vm;
    uint32_t destination = (uint32_t)(icr >> 32);
    struct message m = {
        .destination = l->x2apic ? destination : destination >> 24,
        .logical = (icr & ICR_LOGICAL) != 0,
        .mode = (enum delivery_mode)((icr >> LVT_MODE_SHIFT) & 7u),
        .vector = (uint8_t)icr,
    };

    if (m.mode == DELIVER_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
        return;  // INIT level de-assert did something before the Pentium 4
    if ((m.mode == DELIVER_FIXED || m.mode == DELIVER_LOWEST) && m.vector < VECTOR_MIN) {
        error_raise(l, ESR_SEND_VECTOR);
        return;
    }
    m.broadcast = l->x2apic ? destination == UINT32_MAX : !m.logical && m.destination == 0xff;
    switch ((enum shorthand)((icr >> ICR_SHORTHAND_SHIFT) & 3u)) {
    case SHORT_NONE: (void)message_send(vm, self, &m); break;
    case SHORT_SELF: (void)message_accept(self, self, &m); break;
    case SHORT_ALL:
        m.broadcast = true;
        (void)message_send(vm, self, &m);
        break;
    case SHORT_OTHERS:
        for (unsigned i = 0; i < vm->vcpu_count; i++) {
            if (vm->vcpus[i] != self)
                (void)message_accept(vm->vcpus[i], self, &m);
        }
        break;
    }
}

/* ---- timer ---- */

/* Register bits 3, 1 and 0 give 2, 4, ... 128, 1. */
static unsigned divide_shift(uint32_t divide)
{
    return (((divide & 3u) | (divide & 8u) >> 1) + 1u) & 7u;
}

static uint64_t timer_period(const struct vlapic *l)
{
    return (uint64_t)l->timer_initial << divide_shift(l->timer_divide);
}

static uint32_t timer_mode(struct vlapic *l)
{
    return load(l->lvt[LVT_TIMER]) & LVT_TIMER_MODE;
}

/* The first of deadline + k * period that a host timer can be asked for. */
static plat_ns timer_next_period(plat_ns deadline, uint64_t period, plat_ns now)
{
    plat_ns earliest = now + TIMER_PERIOD_MIN_NS;
    plat_ns next = deadline + period;

    if (next < now || (period < TIMER_PERIOD_MIN_NS && next < earliest)) {
        plat_ns goal = period < TIMER_PERIOD_MIN_NS ? earliest : now;
        next += (goal - next + period - 1) / period * period;
    }
    return next;
}

static plat_ns tsc_to_ns(uint64_t cycles)
{
    uint64_t khz = plat_tsc_khz();
    uint64_t ms = cycles / khz;

    if (ms >= 1ull << 40)  // 34 years
        return 1ull << 60;
    return ms * 1000000ull + (cycles % khz * 1000000ull + khz - 1) / khz;
}

/* Arms for the TSC deadline; false if it is past. */
static bool tsc_deadline_arm(struct vlapic *l, uint64_t deadline)
{
    uint64_t now = vcpu_tsc(l->vcpu);

    if (deadline <= now)
        return false;
    timer_arm(&l->timer, plat_time_now() + MAX(tsc_to_ns(deadline - now), 1ull));
    return true;
}

static void timer_fired(struct timer *timer)
{
    struct vlapic *l = timer->owner;

    if (load(l->timer_stopping))
        return;

    if (timer_mode(l) == LVT_DEADLINE) {
        uint64_t deadline = load(l->tsc_deadline);

        // The two clocks may disagree by a rounding: early is not allowed.
        if (!deadline || tsc_deadline_arm(l, deadline))
            return;
        store(l->tsc_deadline, 0);
    } else {
        plat_ns deadline = load(l->timer_deadline);
        uint64_t period = timer_period(l);

        if (!deadline)
            return;
        if (deadline > plat_time_now()) {  // moved while this call was on its way
            timer_arm(timer, deadline);
            return;
        }
        if (timer_mode(l) == LVT_PERIODIC && period) {
            deadline = timer_next_period(deadline, period, plat_time_now());
            store(l->timer_deadline, deadline);
            timer_arm(timer, deadline);
        } else {
            store(l->timer_deadline, 0);
        }
    }
    lvt_fire(l, LVT_TIMER);
}

/*
 * Twice: a callback that was under way on another CPU at the first may have armed it again; one that
 * starts after the flag is up does not.
 */
static void timer_stop(struct vlapic *l)
{
    store(l->timer_stopping, true);
    timer_cancel(&l->timer);
    timer_cancel(&l->timer);
    store(l->timer_stopping, false);
    store(l->timer_deadline, 0);
    store(l->tsc_deadline, 0);
}

/* Counts down `count` from now. */
static void timer_start(struct vlapic *l, uint32_t count)
{
    if (!count)
        return;
    plat_ns deadline = plat_time_now() + ((uint64_t)count << divide_shift(l->timer_divide));
    store(l->timer_deadline, deadline);
    timer_arm(&l->timer, deadline);
}

static uint32_t timer_count(struct vlapic *l)
{
    plat_ns deadline = load(l->timer_deadline);
    plat_ns now = plat_time_now();
    unsigned shift = divide_shift(l->timer_divide);

    if (!deadline)
        return 0;
    if (deadline > now)
        return (uint32_t)((deadline - now + (1ull << shift) - 1) >> shift);
    if (timer_mode(l) != LVT_PERIODIC || !l->timer_initial)
        return 0;
    // The callback is late; the guest's count is not.
    return l->timer_initial - (uint32_t)(((now - deadline) >> shift) % l->timer_initial);
}

static void timer_initial_write(struct vlapic *l, uint32_t value)
{
    if (timer_mode(l) == LVT_DEADLINE)
        return;
    timer_stop(l);
    l->timer_initial = value;
    timer_start(l, value);
}

static void timer_divide_write(struct vlapic *l, uint32_t value)
{
    uint32_t left = timer_count(l);

    timer_stop(l);
    l->timer_divide = value & 0xbu;
    timer_start(l, left);
}

static void tsc_deadline_write(struct vlapic *l, uint64_t value)
{
    if (timer_mode(l) != LVT_DEADLINE)
        return;
    timer_stop(l);
    store(l->tsc_deadline, value);
    if (value && !tsc_deadline_arm(l, value)) {
        store(l->tsc_deadline, 0);
        lvt_fire(l, LVT_TIMER);
    }
}

void vlapic_tsc_moved(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    const uint64_t deadline = load(l->tsc_deadline);

    if (deadline)
        tsc_deadline_write(l, deadline);
}

/* ---- registers ---- */

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
        if ((value & LVT_TIMER_MODE) == LVT_TIMER_MODE)  // reserved mode: as one-shot
            value &= ~LVT_TIMER_MODE;
        if ((value ^ l->lvt[LVT_TIMER]) & LVT_DEADLINE) {
            timer_stop(l);
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
    case REG_TIMER_CURRENT: *value = timer_count(l); return true;
    case REG_TIMER_DIVIDE: *value = l->timer_divide; return true;
    default: return false;
    }
}

/* False: no such register, or read-only. */
static bool reg_write(struct vlapic *l, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_TPR: tpr_set(l, value); return true;
    case REG_EOI: eoi(l); return true;
    case REG_LDR: store(l->ldr, value & 0xff000000u); return true;
    case REG_DFR: store(l->dfr, value | 0x0fffffffu); return true;
    case REG_SVR: svr_write(l, value); return true;
    case REG_ESR: l->esr = __atomic_exchange_n(&l->esr_new, 0, __ATOMIC_SEQ_CST); return true;
    case REG_ICR:
        l->icr = (l->icr & ~0xffffffffull) | (value & ~(uint32_t)ICR_STATUS);
        icr_send(l, l->icr);
        return true;
    case REG_ICR_HIGH: l->icr = (uint32_t)l->icr | (uint64_t)value << 32; return true;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        lvt_write(l, (enum apic_lvt)(reg - REG_LVT), value);
        return true;
    case REG_TIMER_INITIAL: timer_initial_write(l, value); return true;
    case REG_TIMER_DIVIDE: timer_divide_write(l, value); return true;
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
        error_raise(l, ESR_REGISTER);
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
            error_raise(l, ESR_REGISTER);
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

static bool x2apic_write(struct vlapic *l, unsigned reg, uint64_t value)
{
    if (reg == REG_EOI && value == 0) {
        eoi(l);
        return true;
    }
    if (reg == REG_ICR) {
        if (value & ICR_RESERVED)
            return false;
        l->icr = value & ~(uint64_t)ICR_STATUS;
        icr_send(l, value);
        return true;
    }
    if (value & ~(uint64_t)x2apic_writable(reg))
        return false;
    switch (reg) {
    case REG_SELF_IPI:
        if (value < VECTOR_MIN)
            error_raise(l, ESR_SEND_VECTOR);
        else
            (void)post(l, (uint8_t)value, false);
        return true;
    case REG_LDR:
    case REG_DFR:
    case REG_ICR_HIGH: return false;
    default: return reg_write(l, reg, (uint32_t)value);
    }
}

/* ---- IA32_APIC_BASE, reset ---- */

/* All registers to their values after power-up. The owner's world, or before it runs. */
static void registers_reset(struct vlapic *l)
{
    store(l->accepting, false);
    timer_stop(l);
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
        registers_reset(l);
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
        tsc_deadline_write(l, value);
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
    tpr_set(v->lapic, (uint32_t)(value & 0xfu) << 4);
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
    timer_init(&l->timer, timer_fired, l);
    v->lapic = l;
    registers_reset(l);
    return VMK_OK;
}

void vlapic_destroy(struct vcpu *v)
{
    if (!v->lapic)
        return;
    timer_stop(v->lapic);
    heap_free(v->lapic);
    v->lapic = NULL;
}

void vlapic_reset(struct vcpu *v)
{
    // INIT keeps mode and place, the reset of the machine does not.
    if (load(v->vm->state) == VM_STATE_RESETTING)
        v->lapic->base = base_after_reset(v);
    registers_reset(v->lapic);
}
