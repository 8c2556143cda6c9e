// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpci.c -- the guest's PCI bus: ports cf8 and cfc, a host bridge, room for devices.
 *
 * Two ways lead to the same bytes: the ports, and memory at VPCI_ECAM_BASE for guests that want the
 * PCI Express way. Configuration mechanism 1: a 32-bit write to cf8 chooses bus, function and register, cfc..cff is
 * a window of 1, 2 or 4 bytes on it. Only a full 32-bit access at cf8 reaches the address register;
 * byte accesses there fall through on a PC, and cf9 among them is the reset control register. The
 * host bridge has the ids of the 440BX that VMware's virtual machines have, because guests know them.
 *
 * Invariants
 *   - No two functions have one devfn: vpci_add_function().
 *   - A guest's write changes only bits in `writable`: config_write().
 * Locking    vm->lock.
 * Sources    [PCI] "Configuration Mechanism #1", "Configuration Space Header"
 */
#include "vmm/dev/vpci.h"

#include "core/assert.h"
#include "vmm/dev/vpm.h"
#include "vmm/vm.h"

#define ADDRESS_PORT   0xcf8u
#define DATA_OFFSET    4u
#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_KEPT   0x80fffffcu

struct vpci {
    struct vm *vm;     // (i)
    uint32_t address;  // (w) vm->lock
    uint8_t reset_control;
    struct vpci_function bridge;
    struct vpci_function *functions[VPCI_FUNCTIONS];
    unsigned function_count;
};

static struct vpci_function *function_find(const struct vpci *pci, unsigned bus, unsigned devfn)
{
    if (bus != 0)
        return NULL;
    for (unsigned i = 0; i < pci->function_count; i++) {
        if (pci->functions[i]->devfn == devfn)
            return pci->functions[i];
    }
    return NULL;
}

/* The function the address register points to, or null. */
static struct vpci_function *selected(const struct vpci *pci)
{
    if (!(pci->address & ADDRESS_ENABLE))
        return NULL;
    return function_find(pci, (pci->address >> 16) & 0xff, (pci->address >> 8) & 0xff);
}

static uint64_t config_read(const struct vpci_function *f, unsigned at, unsigned size)
{
    uint64_t value = 0;

    if (!f)
        return UINT64_MAX;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(at + i < VPCI_CONFIG_SIZE ? f->config[at + i] : 0xff) << (8 * i);
    return value;
}

static void config_write(struct vpci_function *f, unsigned at, unsigned size, uint64_t value)
{
    if (!f || at >= VPCI_CONFIG_SIZE)
        return;
    size = MIN(size, VPCI_CONFIG_SIZE - at);
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = f->writable[at + i];
        uint8_t byte = (uint8_t)(value >> (8 * i));
        f->config[at + i] = (uint8_t)((f->config[at + i] & ~mask) | (byte & mask));
    }
    if (f->written)
        f->written(f->device, f, at, size);
}

/* The window of four bytes: an access may not cross its end (the bus splits those). */
static uint64_t data_read(const struct vpci *pci, unsigned lane, unsigned size)
{
    return config_read(selected(pci), (pci->address & 0xfc) + lane, MIN(size, 4 - lane));
}

static void data_write(struct vpci *pci, unsigned lane, unsigned size, uint64_t value)
{
    config_write(selected(pci), (pci->address & 0xfc) + lane, MIN(size, 4 - lane), value);
}

/* Memory-mapped configuration space: 4 KB for each function, of which PCI's 256 bytes are there. */
static uint64_t ecam_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)v;
    return config_read(function_find(device, 0, (unsigned)(offset >> 12)), offset & 0xfff,
                       size);
}

static void ecam_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                       uint64_t value)
{
    (void)v;
    config_write(function_find(device, 0, (unsigned)(offset >> 12)), offset & 0xfff, size,
                 value);
}

static const struct vm_io_ops ecam_ops = {.read = ecam_read, .write = ecam_write};

static uint64_t vpci_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    struct vpci *pci = device;

    (void)v;
    if (offset >= DATA_OFFSET)
        return data_read(pci, (unsigned)offset - DATA_OFFSET, size);
    if (offset == 0 && size == 4)
        return pci->address;
    if (ADDRESS_PORT + offset == VPM_RESET_PORT && size == 1)
        return pci->reset_control;
    return UINT64_MAX;
}

static void vpci_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                       uint64_t value)
{
    struct vpci *pci = device;

    (void)v;
    if (offset >= DATA_OFFSET) {
        data_write(pci, (unsigned)offset - DATA_OFFSET, size, value);
    } else if (offset == 0 && size == 4) {
        pci->address = (uint32_t)value & ADDRESS_KEPT;
    } else if (ADDRESS_PORT + offset == VPM_RESET_PORT && size == 1) {
        pci->reset_control = value & 0x0a;
        vpm_reset_control_write(pci->vm, (uint8_t)value);
    }
}

static const struct vm_io_ops vpci_ops = {.read = vpci_read, .write = vpci_write};

vmk_status vpci_add_function(struct vpci *pci, struct vpci_function *f)
{
    if (function_find(pci, 0, f->devfn))
        return VMK_EXISTS;
    if (pci->function_count == VPCI_FUNCTIONS)
        return VMK_LIMIT;
    pci->functions[pci->function_count++] = f;
    return VMK_OK;
}

void vpci_field_set(struct vpci_function *f, unsigned offset, unsigned size, uint32_t value)
{
    vmk_assert(size <= 4 && offset + size <= VPCI_CONFIG_SIZE);
    for (unsigned i = 0; i < size; i++)
        f->config[offset + i] = (uint8_t)(value >> (8 * i));
}

static void bridge_fill(struct vpci_function *f)
{
    vpci_field_set(f, 0x00, 4, 0x71908086);  // 440BX, no AGP bridge behind it
    vpci_field_set(f, 0x04, 4, 0x02000006);  // memory and bus master on; medium DEVSEL
    vpci_field_set(f, 0x08, 4, 0x06000001);  // host bridge, revision 1
    vpci_field_set(f, 0x2c, 4, 0x197615ad);
}

vmk_status vpci_create(struct vm *vm)
{
    struct vpci *pci = heap_alloc(sizeof(*pci), MEM_OWNER_VMM);
    vmk_status status;

    if (!pci)
        return VMK_NO_MEMORY;
    pci->vm = vm;
    bridge_fill(&pci->bridge);
    status = vpci_add_function(pci, &pci->bridge);
    if (status == VMK_OK)
        status = vm_port_register(vm, ADDRESS_PORT, 8, &vpci_ops, pci);
    if (status == VMK_OK)
        status = vm_mmio_register(vm, gpa_make(VPCI_ECAM_BASE), VPCI_ECAM_SIZE, &ecam_ops, pci);
    if (status != VMK_OK) {
        heap_free(pci);
        return status;
    }
    vm->pci = pci;
    return VMK_OK;
}

void vpci_destroy(struct vm *vm)
{
    heap_free(vm->pci);
    vm->pci = NULL;
}
