// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_io.c -- who answers at a port or a device address.
 *
 * Ranges are registered while a VM is made, in tables small enough for a linear search. The
 * local APIC's page is the one place that differs per vCPU; it is asked first and has a lock of
 * its own.
 *
 * Invariants: ranges do not overlap; tables change only while no vCPU runs.
 * Locking: an access takes the VM's lock around the device's handler.
 */
#include "core/assert.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

static vmk_status range_register(struct vm_io_range *table, unsigned *count, unsigned room,
                                 const struct vm_io_range *range)
{
    if (!range->size)
        return VMK_BAD_PARAM;
    for (unsigned i = 0; i < *count; i++) {
        if (range->base < table[i].base + table[i].size &&
            table[i].base < range->base + range->size)
            return VMK_EXISTS;
    }
    if (*count == room)
        return VMK_LIMIT;
    table[(*count)++] = *range;
    return VMK_OK;
}

vmk_status vm_port_register(struct vm *vm, uint16_t base, uint16_t count,
                            const struct vm_io_ops *ops, void *device)
{
    struct vm_io_range range = {base, count, ops, device};
    vmk_status status;

    if ((uint32_t)base + count > 0x10000u)
        return VMK_BAD_PARAM;
    status = range_register(vm->ports, &vm->port_range_count, VM_PORT_RANGES, &range);
    if (status != VMK_OK)
        return status;
    for (uint32_t i = base / VM_PORT_GROUP; i <= (base + count - 1u) / VM_PORT_GROUP; i++)
        vm->port_slots[i] =
            (uint8_t)(vm->port_slots[i] ? VM_PORT_SEVERAL : vm->port_range_count);
    return VMK_OK;
}

vmk_status vm_mmio_register(struct vm *vm, gpa_t base, uint64_t size,
                            const struct vm_io_ops *ops, void *device)
{
    struct vm_io_range range = {base.raw, size, ops, device};

    return range_register(vm->mmio, &vm->mmio_range_count, VM_MMIO_RANGES, &range);
}

static bool range_holds(const struct vm_io_range *r, uint64_t address, unsigned size)
{
    return address - r->base < r->size && address - r->base + size <= r->size;
}

/* The range that holds all `size` bytes at `address`, or null. */
static const struct vm_io_range *range_find(const struct vm_io_range *table, unsigned count,
                                            uint64_t address, unsigned size)
{
    for (unsigned i = 0; i < count; i++) {
        if (range_holds(&table[i], address, size))
            return &table[i];
    }
    return NULL;
}

/*
 * Eight ports have a slot that names the one range among them, so most accesses, to a device or
 * to nobody, look at one range or none.
 */
static inline const struct vm_io_range *port_find(const struct vm *vm, uint16_t port,
                                                  unsigned size)
{
    unsigned slot = vm->port_slots[port / VM_PORT_GROUP];
    const struct vm_io_range *r;

    if (__builtin_expect(slot == VM_PORT_SEVERAL, 0))
        return range_find(vm->ports, vm->port_range_count, port, size);
    if (!slot)
        return NULL;
    r = &vm->ports[slot - 1];
    return range_holds(r, port, size) ? r : NULL;
}

/* Of 1, 2 or 4 bytes. */
static inline uint32_t port_mask(unsigned size)
{
    return UINT32_MAX >> (32u - 8u * size);
}

static uint64_t size_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

/* Drops the lock; what the handler could not do is done now. */
static void access_end(struct vm *vm, bool irqs)
{
    struct vm_settle *settle = vm->settle;

    if (__builtin_expect(settle == NULL, 1)) {
        spin_unlock(&vm->lock, irqs);
        return;
    }
    vm->settle = NULL;
    spin_unlock(&vm->lock, irqs);
    settle->run(settle);
}

bool vm_port_access(struct vm *vm, struct vcpu *v, uint16_t port, unsigned size, bool in,
                    uint32_t *value)
{
    const struct vm_io_range *r = port_find(vm, port, size);

    if (!r) {
        if (in)
            *value = port_mask(size);
        return false;
    }
    if (__builtin_expect(r->ops->outside != NULL, 0)) {
        *value &= port_mask(size);
        r->ops->outside(v, port, size, in, value);
        *value &= port_mask(size);
        return true;
    }

    bool irqs = spin_lock(&vm->lock);

    if (in)
        *value = (uint32_t)r->ops->read(r->device, v, port - r->base, size) & port_mask(size);
    else
        r->ops->write(r->device, v, port - r->base, size, *value & port_mask(size));
    access_end(vm, irqs);
    return true;
}

/*
 * Registers are 4 bytes at 16-byte steps; what is not such an access reads zero, writes
 * nothing.
 */
static void lapic_access(struct vcpu *v, uint32_t offset, unsigned size, bool read,
                         uint64_t *value)
{
    if (read) {
        uint64_t shift = 8 * (offset & 3);

        *value = (vlapic_mmio_read(v, offset & ~3u) >> shift) & size_mask(size);
    } else if (size >= 4 && !(offset & 3)) {
        vlapic_mmio_write(v, offset, (uint32_t)*value);
    }
}

bool vm_mmio_access(struct vm *vm, struct vcpu *v, gpa_t gpa, unsigned size, bool read,
                    uint64_t *value)
{
    if (vlapic_owns_page(v, gpa.raw)) {
        lapic_access(v, (uint32_t)(gpa.raw & (PAGE_SIZE - 1)), size, read, value);
        return true;
    }

    const struct vm_io_range *r = range_find(vm->mmio, vm->mmio_range_count, gpa.raw, size);

    if (!r) {
        if (read)
            *value = size_mask(size);
        return false;
    }

    bool irqs = spin_lock(&vm->lock);

    if (read)
        *value = r->ops->read(r->device, v, gpa.raw - r->base, size) & size_mask(size);
    else
        r->ops->write(r->device, v, gpa.raw - r->base, size, *value & size_mask(size));
    access_end(vm, irqs);
    return true;
}
