// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vlapic_message.c -- what local APICs are sent: IPIs, and interrupts of IOAPIC and MSI.
 *
 * A message has a destination, physical (an id) or logical (a mask, as DFR says), and a
 * delivery mode.
 * It goes straight into the target's IRR or start-up state: there is no bus, so no message
 * waits and the delivery status of ICR always says idle.
 *
 * Locking    none: a target is changed with atomics (vlapic_internal.h). vm->lock may be held.
 * Start at   vlapic_icr_send(), vlapic_deliver()
 * Sources    [SDM] volume 3, "Issuing Interprocessor Interrupts", "Logical Destination Mode"
 */
#include "vmm/dev/vlapic_internal.h"

#define ICR_LOGICAL         BIT(11)
#define ICR_ASSERT          BIT(14)
#define ICR_LEVEL           BIT(15)
#define ICR_SHORTHAND_SHIFT 18u

enum shorthand {
    SHORT_NONE,
    SHORT_SELF,
    SHORT_ALL,
    SHORT_OTHERS
};

struct message {
    uint32_t destination;
    bool logical;
    bool broadcast;  // to all, whatever the addressing
    enum delivery_mode mode;
    uint8_t vector;
    bool level;
};

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
 * INIT puts a vCPU into reset until a SIPI comes, so one that waits for its SIPI has nothing to
 * do.
 * That is every start of a processor after power-up, and the SIPI that follows at once then
 * needs no ordering with a reset under way.
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

/*
 * One target takes the message. False if its APIC does not accept it. `from` null: not an IPI.
 */
static bool message_accept(struct vcpu *target, struct vcpu *from, const struct message *m)
{
    switch (m->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (!load(target->lapic->accepting))
            return false;
        if (m->vector < VECTOR_MIN) {
            vlapic_error(target->lapic, ESR_RECEIVE_VECTOR);
            return false;
        }
        // The sender looks at its own IRR before it enters the guest again: no kick.
        if (vlapic_irr_set(target->lapic, m->vector, m->level) && target != from)
            vcpu_kick(target);
        return true;
    case DELIVER_NMI: vcpu_nmi_note(target); break;
    case DELIVER_INIT: init_send(target); break;
    case DELIVER_SIPI: sipi_send(target, m->vector); break;
    case DELIVER_EXTINT:
        // Only the pin of the PICs has it; an IPI may not ask for it.
        if (from || !load(target->lapic->accepting))
            return false;
        store(target->lapic->extint_sent, true);
        break;
    case DELIVER_SMI:   // no system management mode
    case DELIVER_READ:  // not on any APIC since the P6
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

void vlapic_icr_send(struct vlapic *l, uint64_t icr)
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
        vlapic_error(l, ESR_SEND_VECTOR);
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
