// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vioapic.c -- a VM's IOAPIC: turns the levels of 24 lines into messages to local APICs.
 *
 * An edge entry sends one message for each rise of its line. A rise while the entry is masked
 * is lost: the 82093AA neither delivers nor holds it, and guests that unmask count on that. A
 * level entry sends while its line is asserted and remembers in Remote IRR that a local APIC
 * has it; nothing more goes out until the EOI comes back, and if the line is still asserted
 * then, the message is sent again.
 *
 * The device hands over assertion, not voltage, so the polarity bit is stored and ignored.
 *
 * Invariants
 *   - Remote IRR is set only in level entries, from the time an APIC accepted until its EOI.
 *   - A level entry that is unmasked, asserted and not in service has been sent:
 *     pin_level_send() runs after every change of the three.
 * Locking    vm->lock
 * Start at   vioapic_irq()
 * Sources    [82093AA] Intel I/O APIC data sheet; version 0x20's EOI register: [ICH9] 13.5
 */
#include "vmm/dev/vioapic.h"

#include "core/heap.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

#define MMIO_SELECT          0x00u
#define MMIO_WINDOW          0x10u
#define MMIO_EOI             0x40u
#define MMIO_SIZE            0x1000u

#define REG_ID               0x00u
#define REG_VERSION          0x01u
#define REG_ARBITRATION      0x02u
#define REG_REDIRECTION      0x10u

#define IOAPIC_VERSION       (0x20u | (VIOAPIC_PINS - 1) << 16)

/* A redirection entry. */
#define ENTRY_VECTOR(e)      ((uint8_t)(e))
#define ENTRY_MODE(e)        ((unsigned)((e) >> 8) & 7u)
#define ENTRY_LOGICAL        BIT(11)
#define ENTRY_REMOTE_IRR     BIT(14)  // read-only
#define ENTRY_LEVEL          BIT(15)
#define ENTRY_MASKED         BIT(16)
#define ENTRY_DESTINATION(e) ((uint32_t)((e) >> 56))
#define ENTRY_WRITABLE       0xff0000000001afffull

/* The delivery modes in which the trigger bit means something; the others are edges. */
static bool entry_is_level(uint64_t entry)
{
    return (entry & ENTRY_LEVEL) && ENTRY_MODE(entry) <= 1;
}

struct vioapic {
    struct vm *vm;
    uint32_t lines;  // bit per pin: asserted
    uint32_t id;     // as in its register
    uint8_t select;
    uint64_t entry[VIOAPIC_PINS];
};

static bool pin_send(struct vioapic *io, unsigned pin)
{
    uint64_t entry = io->entry[pin];

    return vlapic_deliver(io->vm->vcpus[0], ENTRY_DESTINATION(entry),
                          (entry & ENTRY_LOGICAL) != 0, ENTRY_MODE(entry), ENTRY_VECTOR(entry),
                          entry_is_level(entry));
}

/* Sends a level entry's message if it is due. */
static void pin_level_send(struct vioapic *io, unsigned pin)
{
    uint64_t entry = io->entry[pin];

    if (!entry_is_level(entry) || (entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) ||
        !(io->lines & BIT(pin)))
        return;
    // Set only when somebody took it: an APIC that is off will never send the EOI.
    if (pin_send(io, pin))
        io->entry[pin] |= ENTRY_REMOTE_IRR;
}

void vioapic_irq(struct vm *vm, unsigned pin, bool high)
{
    struct vioapic *io = vm->ioapic;

    if (!io || pin >= VIOAPIC_PINS)
        return;
    bool was_high = (io->lines & BIT(pin)) != 0;
    if (was_high == high)
        return;
    io->lines ^= (uint32_t)BIT(pin);
    if (!high)
        return;
    if (entry_is_level(io->entry[pin]))
        pin_level_send(io, pin);
    else if (!(io->entry[pin] & ENTRY_MASKED))
        (void)pin_send(io, pin);
}

void vioapic_eoi(struct vm *vm, uint8_t vector)
{
    struct vioapic *io = vm->ioapic;

    if (!io)
        return;
    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++) {
        if (!(io->entry[pin] & ENTRY_REMOTE_IRR) || ENTRY_VECTOR(io->entry[pin]) != vector)
            continue;
        io->entry[pin] &= ~ENTRY_REMOTE_IRR;
        pin_level_send(io, pin);
    }
}

static void entry_write(struct vioapic *io, unsigned pin, bool high_half, uint32_t value)
{
    uint64_t old = io->entry[pin];
    uint64_t entry =
        high_half ? (uint32_t)old | (uint64_t)value << 32 : (old & ~0xffffffffull) | value;

    entry = (entry & ENTRY_WRITABLE) | (old & ENTRY_REMOTE_IRR);
    // Guests without an EOI register clear Remote IRR by way of edge mode.
    if (!entry_is_level(entry))
        entry &= ~ENTRY_REMOTE_IRR;
    io->entry[pin] = entry;
    pin_level_send(io, pin);
}

static uint32_t register_read(const struct vioapic *io)
{
    unsigned index = io->select - REG_REDIRECTION;

    switch (io->select) {
    case REG_ID: return io->id;
    case REG_VERSION: return IOAPIC_VERSION;
    case REG_ARBITRATION: return io->id;
    default: break;
    }
    if (io->select < REG_REDIRECTION || index / 2 >= VIOAPIC_PINS)
        return UINT32_MAX;
    return (uint32_t)(io->entry[index / 2] >> (index & 1 ? 32 : 0));
}

static void register_write(struct vioapic *io, uint32_t value)
{
    unsigned index = io->select - REG_REDIRECTION;

    if (io->select == REG_ID)
        io->id = value & 0x0f000000u;
    else if (io->select >= REG_REDIRECTION && index / 2 < VIOAPIC_PINS)
        entry_write(io, index / 2, index & 1, value);
}

static uint64_t vioapic_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    const struct vioapic *io = device;
    uint32_t value = 0;

    (void)v;
    (void)size;
    if ((offset & ~3ull) == MMIO_SELECT)
        value = io->select;
    else if ((offset & ~3ull) == MMIO_WINDOW)
        value = register_read(io);
    return value >> (offset & 3) * 8;
}

static void vioapic_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                          uint64_t value)
{
    struct vioapic *io = device;

    (void)v;
    (void)size;
    switch (offset) {
    case MMIO_SELECT: io->select = (uint8_t)value; break;
    case MMIO_WINDOW: register_write(io, (uint32_t)value); break;
    case MMIO_EOI: vioapic_eoi(io->vm, (uint8_t)value); break;
    default: break;
    }
}

static const struct vm_io_ops vioapic_ops = {.read = vioapic_read, .write = vioapic_write};

/* Every entry masked, id 0; the lines stay as the devices hold them. vm->lock held. */
static void vioapic_reset(struct vm *vm)
{
    struct vioapic *io = vm->ioapic;

    io->id = 0;
    io->select = 0;
    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
        io->entry[pin] = ENTRY_MASKED;
}

vmk_status vioapic_create(struct vm *vm)
{
    struct vioapic *io = heap_alloc(sizeof(*io), MEM_OWNER_VMM);

    if (!io)
        return VMK_NO_MEMORY;
    io->vm = vm;
    vm->ioapic = io;
    vioapic_reset(vm);
    return vm_mmio_register(vm, gpa_make(VM_IOAPIC_BASE), MMIO_SIZE, &vioapic_ops, io);
}

void vioapic_destroy(struct vm *vm)
{
    heap_free(vm->ioapic);
    vm->ioapic = NULL;
}
