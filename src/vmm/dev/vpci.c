// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpci.c -- the guest's PCI bus: configuration space, a host bridge, BARs, INTx lines.
 *
 * Two ways lead to the same bytes: the ports, and memory at VPCI_ECAM_BASE for guests that want
 * the PCI Express way. Configuration mechanism 1: a 32-bit write to cf8 chooses bus, function
 * and register, cfc..cff is a window of 1, 2 or 4 bytes on it. Only a full 32-bit access at cf8
 * reaches the address register; byte accesses there fall through on a PC, and cf9 among them is
 * the reset control register. The host bridge has the ids of the 440BX that VMware's virtual
 * machines have, because guests know them; a VM with a BIOS gets the 440FX and the subsystem
 * that SeaBIOS takes for a virtual machine with the fw_cfg port (dev/fw_cfg.c).
 *
 * The bus owns the windows between fixed devices, in ports and memory, and decodes the BARs
 * that lie there; a BAR the guest puts elsewhere decodes nowhere. INTA# of a slot goes to one
 * of four GSIs, and for a guest that uses the 8259s to the IRQ that the PIIX routes that line
 * to (dev/piix.c), or to none.
 *
 * Invariants
 *   - No two functions have one devfn: vpci_add_function().
 *   - A guest's write changes only bits in `writable`: config_write().
 *   - A line is high exactly while some function holds it so and has not been told to let go
 *     (INTx disable, MSI, MSI-X): lines_update() runs after every change of these.
 * Locking    vm->lock.
 * Sources    [PCI] "Configuration Mechanism #1", "Configuration Space Header", "Base Addresses"
 */
#include "vmm/dev/vpci.h"

#include "core/assert.h"
#include "lib/endian.h"
#include "vmm/dev/vpic.h"
#include "vmm/dev/vpm.h"
#include "vmm/vm.h"

#define ADDRESS_PORT     0xcf8u
#define DATA_OFFSET      4u
#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_KEPT     0x80fffffcu

#define REG_COMMAND      0x04u
#define REG_STATUS       0x06u
#define REG_BAR          0x10u
#define REG_CAPABILITIES 0x34u
#define REG_IRQ_LINE     0x3cu
#define REG_IRQ_PIN      0x3du
#define COMMAND_IO       0x0001u
#define COMMAND_MEMORY   0x0002u
#define COMMAND_MASTER   0x0004u
#define COMMAND_NO_INTX  0x0400u
#define STATUS_INTX      0x08u  // in the low byte
#define STATUS_LIST      0x10u
#define BAR_IO           0x1u
#define CAPABILITY_FIRST 0x40u

#define PIRQ_NONE        0x80u
/* Where vpci_assign() begins: in the window behind the configuration space. */
#define ASSIGN_MEMORY    0xfc000000u
#define ASSIGN_IO        VPCI_IO_BASE

struct vpci {
    struct vm *vm;     // (i)
    uint32_t address;  // (w) vm->lock, as all below
    uint8_t reset_control;
    struct vpci_function bridge;
    struct vpci_function *functions[VPCI_FUNCTIONS];
    unsigned function_count;
    uint8_t pirq[VPCI_GSI_COUNT];  // 8259 IRQ of each line, or PIRQ_NONE
    uint32_t gsi_high;             // bit per line
    uint32_t pic_high;             // bit per IRQ that is high because of a line
};

struct vm *vpci_vm(const struct vpci *pci)
{
    return pci->vm;
}

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

/* ---- interrupt lines ---- */

static unsigned command_of(const struct vpci_function *f)
{
    return le16(f->config + REG_COMMAND);
}

static bool function_drives(const struct vpci_function *f)
{
    return f->line && !(command_of(f) & COMMAND_NO_INTX) && !vpci_messages_on(f);
}

/* Tells both controllers what changed. The 8259 hears only of IRQs that a line is routed to. */
static void lines_update(struct vpci *pci)
{
    uint32_t gsi_high = 0, pic_high = 0;

    for (unsigned i = 0; i < pci->function_count; i++) {
        const struct vpci_function *f = pci->functions[i];

        if (function_drives(f))
            gsi_high |= (uint32_t)BIT(vpci_gsi(f->devfn >> 3, 0) - VPCI_GSI_BASE);
    }
    for (unsigned i = 0; i < VPCI_GSI_COUNT; i++) {
        if ((gsi_high ^ pci->gsi_high) & BIT(i))
            vm_irq_line_set(pci->vm, VPCI_GSI_BASE + i, (gsi_high & BIT(i)) != 0);
        if ((gsi_high & BIT(i)) && !(pci->pirq[i] & PIRQ_NONE))
            pic_high |= (uint32_t)BIT(pci->pirq[i] & 15);
    }
    for (unsigned irq = 0; irq < 16; irq++) {
        if ((pic_high ^ pci->pic_high) & BIT(irq) && pci->vm->pic)
            vpic_irq(pci->vm, irq, (pic_high & BIT(irq)) != 0);
    }
    pci->gsi_high = gsi_high;
    pci->pic_high = pic_high;
}

void vpci_line_set(struct vpci_function *f, bool high)
{
    if (f->line == high)
        return;
    f->line = high;
    f->config[REG_STATUS] =
        (uint8_t)((f->config[REG_STATUS] & ~STATUS_INTX) | (high ? STATUS_INTX : 0));
    if (f->bus)
        lines_update(f->bus);
}

void vpci_pirq_set(struct vpci *pci, unsigned line, uint8_t irq)
{
    pci->pirq[line % VPCI_GSI_COUNT] = irq;
    lines_update(pci);
}

/* ---- configuration space ---- */

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
    if (f->msix)
        vpci_msix_changed(f);
    lines_update(f->bus);
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

/*
 * Memory-mapped configuration space: 4 KB for each function, of which PCI's 256 bytes are
 * there.
 */
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

/* ---- BARs ---- */

static uint32_t bar_base(const struct vpci_function *f, unsigned index)
{
    return le32(f->config + REG_BAR + 4 * index) & ~(f->bars[index].size - 1);
}

/* Who decodes all `size` bytes at an address of the windows; its BAR and the offset in it. */
static struct vpci_function *bar_find(struct vpci *pci, bool io, uint64_t address,
                                      unsigned size, unsigned *index, uint64_t *offset)
{
    for (unsigned i = 0; i < pci->function_count; i++) {
        struct vpci_function *f = pci->functions[i];

        if (!(command_of(f) & (io ? COMMAND_IO : COMMAND_MEMORY)))
            continue;
        for (unsigned b = 0; b < VPCI_BARS; b++) {
            const struct vpci_bar *bar = &f->bars[b];

            if (!bar->size || bar->io != io)
                continue;
            *offset = address - bar_base(f, b);
            *index = b;
            if (*offset < bar->size && *offset + size <= bar->size)
                return f;
        }
    }
    return NULL;
}

static uint64_t window_read(struct vpci *pci, struct vcpu *v, bool io, uint64_t address,
                            unsigned size)
{
    unsigned index;
    uint64_t offset, value = UINT64_MAX;
    struct vpci_function *f = bar_find(pci, io, address, size, &index, &offset);

    if (!f || vpci_msix_access(f, index, offset, size, true, &value))
        return value;
    return f->bars[index].ops->read(f->bars[index].device, v, offset, size);
}

static void window_write(struct vpci *pci, struct vcpu *v, bool io, uint64_t address,
                         unsigned size, uint64_t value)
{
    unsigned index;
    uint64_t offset;
    struct vpci_function *f = bar_find(pci, io, address, size, &index, &offset);

    if (f && !vpci_msix_access(f, index, offset, size, false, &value))
        f->bars[index].ops->write(f->bars[index].device, v, offset, size, value);
}

#define WINDOW_LOW_BASE  VM_MMIO_HOLE
#define WINDOW_LOW_SIZE  (VPCI_ECAM_BASE - WINDOW_LOW_BASE)
#define WINDOW_HIGH_BASE (VPCI_ECAM_BASE + VPCI_ECAM_SIZE)
#define WINDOW_HIGH_SIZE (VM_IOAPIC_BASE - WINDOW_HIGH_BASE)

static uint64_t low_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    return window_read(device, v, false, WINDOW_LOW_BASE + offset, size);
}

static void low_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                      uint64_t value)
{
    window_write(device, v, false, WINDOW_LOW_BASE + offset, size, value);
}

static uint64_t high_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    return window_read(device, v, false, WINDOW_HIGH_BASE + offset, size);
}

static void high_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                       uint64_t value)
{
    window_write(device, v, false, WINDOW_HIGH_BASE + offset, size, value);
}

static uint64_t io_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    return window_read(device, v, true, VPCI_IO_BASE + offset, size);
}

static void io_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                     uint64_t value)
{
    window_write(device, v, true, VPCI_IO_BASE + offset, size, value);
}

static const struct vm_io_ops low_ops = {.read = low_read, .write = low_write};
static const struct vm_io_ops high_ops = {.read = high_read, .write = high_write};
static const struct vm_io_ops io_ops = {.read = io_read, .write = io_write};

void vpci_assign(struct vpci *pci)
{
    uint32_t next[2] = {ASSIGN_MEMORY, ASSIGN_IO};

    for (unsigned i = 0; i < pci->function_count; i++) {
        struct vpci_function *f = pci->functions[i];
        unsigned on = command_of(f);

        for (unsigned b = 0; b < VPCI_BARS; b++) {
            const struct vpci_bar *bar = &f->bars[b];
            uint32_t *at = &next[bar->io];

            if (!bar->size)
                continue;
            *at = (*at + bar->size - 1) & ~(bar->size - 1);
            vpci_field_set(f, REG_BAR + 4 * b, 4, *at | (bar->io ? BAR_IO : 0));
            *at += bar->size;
            on |= bar->io ? COMMAND_IO : COMMAND_MEMORY;
        }
        vpci_field_set(f, REG_COMMAND, 2, on);
    }
}

/* ---- functions ---- */

vmk_status vpci_add_function(struct vpci *pci, struct vpci_function *f)
{
    if (function_find(pci, 0, f->devfn))
        return VMK_EXISTS;
    if (pci->function_count == VPCI_FUNCTIONS)
        return VMK_LIMIT;
    f->bus = pci;
    pci->functions[pci->function_count++] = f;
    return VMK_OK;
}

void vpci_remove_function(struct vpci *pci, struct vpci_function *f)
{
    bool irqs = spin_lock(&pci->vm->lock);

    vpci_line_set(f, false);
    for (unsigned i = 0; i < pci->function_count; i++) {
        if (pci->functions[i] == f) {
            pci->functions[i] = pci->functions[--pci->function_count];
            break;
        }
    }
    f->bus = NULL;
    spin_unlock(&pci->vm->lock, irqs);
}

void vpci_field_set(struct vpci_function *f, unsigned offset, unsigned size, uint32_t value)
{
    vmk_assert(size <= 4 && offset + size <= VPCI_CONFIG_SIZE);
    for (unsigned i = 0; i < size; i++)
        f->config[offset + i] = (uint8_t)(value >> (8 * i));
}

void vpci_header_set(struct vpci_function *f, unsigned vendor, unsigned id, unsigned class_code,
                     unsigned revision, unsigned subsystem_vendor, unsigned subsystem)
{
    vpci_field_set(f, 0x00, 4, vendor | id << 16);
    vpci_field_set(f, 0x08, 4, class_code << 8 | revision);
    vpci_field_set(f, 0x2c, 4, subsystem_vendor | subsystem << 16);
    f->config[REG_IRQ_PIN] = 1;
    f->config[REG_IRQ_LINE] = 0xff;  // not known
    f->writable[REG_IRQ_LINE] = 0xff;
    f->writable[0x0c] = 0xff;  // cache line size, latency: kept, unused
    f->writable[0x0d] = 0xf8;
    f->writable[REG_COMMAND] |= COMMAND_MASTER;
    f->writable[REG_COMMAND + 1] |= COMMAND_NO_INTX >> 8;
}

void vpci_bar_set(struct vpci_function *f, unsigned index, uint32_t size, bool io,
                  const struct vm_io_ops *ops, void *device)
{
    uint32_t mask = ~(size - 1);

    vmk_assert(index < VPCI_BARS && size >= 16 && !(size & (size - 1)));
    f->bars[index] = (struct vpci_bar){size, io, ops, device};
    vpci_field_set(f, REG_BAR + 4 * index, 4, io ? BAR_IO : 0);
    for (unsigned i = 0; i < 4; i++)
        f->writable[REG_BAR + 4 * index + i] = (uint8_t)(mask >> (8 * i));
    f->writable[REG_COMMAND] |= io ? COMMAND_IO : COMMAND_MEMORY;
}

/* The list grows at its end, so that guests see capabilities in the order they were added. */
unsigned vpci_capability_add(struct vpci_function *f, uint8_t id, unsigned size)
{
    unsigned at = f->capability_end ? f->capability_end : CAPABILITY_FIRST;
    unsigned link = f->last_capability ? f->last_capability + 1u : REG_CAPABILITIES;

    vmk_assert(at + size <= VPCI_CONFIG_SIZE);
    f->config[at] = id;
    f->config[link] = (uint8_t)at;
    f->config[REG_STATUS] |= STATUS_LIST;
    f->last_capability = (uint8_t)at;
    f->capability_end = (at + size + 3) & ~3u;
    return at;
}

static void bridge_fill(struct vpci_function *f, bool bios)
{
    // Memory and bus master on; medium DEVSEL.
    vpci_field_set(f, REG_COMMAND, 4, 0x02000006);
    if (!bios) {
        vpci_field_set(f, 0x00, 4, 0x71908086);  // 440BX, no AGP bridge behind it
        vpci_field_set(f, 0x08, 4, 0x06000001);  // host bridge, revision 1
        vpci_field_set(f, 0x2c, 4, 0x197615ad);
        return;
    }
    vpci_field_set(f, 0x00, 4, 0x12378086);  // 440FX
    vpci_field_set(f, 0x08, 4, 0x06000002);
    vpci_field_set(f, 0x2c, 4, 0x11001af4);
    // PAM: all of the first megabyte is RAM here, whatever is written; SMRAM likewise.
    for (unsigned i = 0x59; i <= 0x5f; i++) {
        f->config[i] = 0x33;
        f->writable[i] = 0x33;
    }
    f->config[0x72] = 0x02;
    f->writable[0x72] = 0x7f;
}

static vmk_status windows_register(struct vm *vm, struct vpci *pci)
{
    vmk_status status = vm_port_register(vm, ADDRESS_PORT, 8, &vpci_ops, pci);

    if (status == VMK_OK)
        status = vm_mmio_register(vm, gpa_make(VPCI_ECAM_BASE), VPCI_ECAM_SIZE, &ecam_ops, pci);
    if (status == VMK_OK)
        status =
            vm_mmio_register(vm, gpa_make(WINDOW_LOW_BASE), WINDOW_LOW_SIZE, &low_ops, pci);
    if (status == VMK_OK)
        status =
            vm_mmio_register(vm, gpa_make(WINDOW_HIGH_BASE), WINDOW_HIGH_SIZE, &high_ops, pci);
    if (status == VMK_OK)
        status = vm_port_register(vm, VPCI_IO_BASE, (uint16_t)(0x10000u - VPCI_IO_BASE),
                                  &io_ops, pci);
    return status;
}

vmk_status vpci_create(struct vm *vm)
{
    struct vpci *pci = heap_alloc(sizeof(*pci), MEM_OWNER_VMM);
    vmk_status status;

    if (!pci)
        return VMK_NO_MEMORY;
    pci->vm = vm;
    for (unsigned i = 0; i < VPCI_GSI_COUNT; i++)
        pci->pirq[i] = PIRQ_NONE;
    bridge_fill(&pci->bridge, vm->config.firmware == VM_FIRMWARE_BIOS);
    status = vpci_add_function(pci, &pci->bridge);
    if (status == VMK_OK)
        status = windows_register(vm, pci);
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
