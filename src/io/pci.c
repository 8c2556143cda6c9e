// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/pci.c -- finding PCI functions and reading what they say about themselves.
 *
 * The firmware numbered the buses and placed the BARs; this follows its numbers behind bridges
 * and checks them. Each bus is walked once, whatever the bridges claim, so loops end; a chain
 * of capabilities is followed for as many steps as there is room for capabilities.
 *
 * Invariants
 *   - A BAR in the table has a power of two as its size, and its base is a multiple of it.
 *   - devices[] is in order of discovery: a bridge stands before what is behind it.
 * Locking    none: boot, CPU 0.
 * Start at   pci_scan().
 * Sources    PCI "Configuration Space Organization", "Base Addresses"; PCI-BRIDGE
 *            "Configuration Space Header Format"
 */
#include "io/pci.h"

#include "core/host.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"

struct pci_state {
    struct pci_table table;
};
HOST_STATE(pci);

struct scan {
    const struct pci_access *access;
    struct pci_table *table;
    bool seen[256];  // buses
    struct {
        uint8_t bus;
        int parent;
    } queue[256];  // each bus once
    unsigned queued;
    bool full;
};

void pci_name(const struct pci_device *d, char out[PCI_NAME_SIZE])
{
    vmk_snprintf(out, PCI_NAME_SIZE, "%04x:%02x:%02x.%x", d->at.raw >> 16, d->at.raw >> 8 & 255,
                 d->at.raw >> 3 & 31, d->at.raw & 7);
}

static void warn(const struct pci_device *d, const char *what, unsigned which)
{
    char name[PCI_NAME_SIZE];

    pci_name(d, name);
    vmk_log(VMK_LOG_WARN, "PCI: %s: %s (%#x)", name, what, which);
}

/* ---- capabilities ---- */

unsigned pci_capabilities(const struct pci_device *d, unsigned kind, uint8_t *out,
                          unsigned room)
{
    bool seen[64] = {false};  // a chain that bites its tail ends there
    unsigned count = 0;

    if (!(pci_read(d, PCI_STATUS, 2) & PCI_STATUS_CAPS))
        return 0;
    for (unsigned at = pci_read(d, PCI_CAPABILITIES, 1) & 0xfc; at >= 0x40 && !seen[at / 4];
         at = pci_read(d, at + 1, 1) & 0xfc) {
        unsigned found = pci_read(d, at, 1);

        seen[at / 4] = true;
        if (found == 0xff)  // nobody answers any more
            break;
        if (found == kind && count < room)
            out[count++] = (uint8_t)at;
    }
    return count;
}

/* Those that fit: a structure may not run over the end of the 256 bytes. */
static uint8_t known_capability(const struct pci_device *d, unsigned kind, unsigned size)
{
    uint8_t at = 0;

    if (pci_capabilities(d, kind, &at, 1) && at + size > 256) {
        warn(d, "a capability runs over the end of configuration space", kind);
        return 0;
    }
    return at;
}

static void read_capabilities(struct pci_device *d)
{
    d->pm = known_capability(d, PCI_CAPABILITY_PM, 8);
    d->msi = known_capability(d, PCI_CAPABILITY_MSI, 14);
    d->msix = known_capability(d, PCI_CAPABILITY_MSIX, 12);
    d->express = known_capability(d, PCI_CAPABILITY_EXPRESS, 20);
    if (d->msix)
        d->msix_count = (uint16_t)((pci_read(d, d->msix + 2u, 2) & 0x7ff) + 1);
}

/* ---- BARs ---- */

static uint32_t bar_mask(const struct pci_device *d, unsigned offset, uint32_t value)
{
    uint32_t mask;

    pci_write(d, offset, 4, 0xffffffffu);
    mask = pci_read(d, offset, 4);
    pci_write(d, offset, 4, value);
    return mask;
}

/* Reads BAR `i`; returns how many registers it takes. Decoding is off. */
static unsigned read_bar(struct pci_device *d, unsigned i, unsigned count)
{
    const unsigned offset = PCI_BAR0 + 4 * i;
    const uint32_t low = pci_read(d, offset, 4);
    struct pci_bar bar = {.io = low & 1};
    uint64_t mask = bar_mask(d, offset, low);

    if (bar.io) {
        bar.base = low & 0xfffcu;
        mask = (mask & 0xfffcu) ? (mask & 0xfffcu) | ~0xffffull : 0;
    } else {
        bar.wide = (low & 6) == 4;
        bar.prefetchable = low & 8;
        bar.base = low & ~15u;
        mask &= ~15u;
        if (bar.wide && i + 1 == count) {
            warn(d, "a 64-bit BAR in the last register", i);
            return 1;
        }
        if (bar.wide) {
            const uint32_t high = pci_read(d, offset + 4, 4);

            bar.base |= (uint64_t)high << 32;
            mask |= (uint64_t)bar_mask(d, offset + 4, high) << 32;
        } else if (mask) {
            mask |= ~0xffffffffull;
        }
    }
    bar.size = ~mask + 1;
    if (!mask || !bar.base)  // the device has no such BAR, or nobody gave it a place
        return bar.wide ? 2 : 1;
    if (bar.size & (bar.size - 1) || bar.base & (bar.size - 1) ||
        (!bar.io && bar.base + bar.size < bar.base))
        warn(d, "a BAR that makes no sense", i);
    else
        d->bars[i] = bar;
    return bar.wide ? 2 : 1;
}

static void read_bars(struct pci_device *d, unsigned count)
{
    const uint32_t command = pci_read(d, PCI_COMMAND, 2);

    pci_write(d, PCI_COMMAND, 2, command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    for (unsigned i = 0; i < count;)
        i += read_bar(d, i, count);
    pci_write(d, PCI_COMMAND, 2, command);
}

/* ---- the walk ---- */

static void visit_later(struct scan *s, unsigned bus, int parent)
{
    if (s->seen[bus])
        return;
    s->seen[bus] = true;
    s->queue[s->queued].bus = (uint8_t)bus;
    s->queue[s->queued++].parent = parent;
}

static void read_bridge(struct scan *s, struct pci_device *d)
{
    d->is_bridge = true;
    d->secondary = (uint8_t)pci_read(d, PCI_SECONDARY_BUS, 1);
    if (d->secondary == 0 || d->secondary == 255)
        warn(d, "the firmware gave the bus behind this bridge no number", d->secondary);
    else if (s->seen[d->secondary])
        warn(d, "two bridges claim one bus", d->secondary);
    else
        visit_later(s, d->secondary, (int)(d - s->table->devices));
}

/* One function; false if there is none. */
static bool read_function(struct scan *s, pci_address at, int parent, bool *multi)
{
    struct pci_device probe = {.access = s->access, .at = at, .parent = parent};
    struct pci_device *d;
    uint32_t id = pci_read(&probe, PCI_VENDOR, 4);
    unsigned type;

    if ((id & 0xffff) == 0xffff || (id & 0xffff) == 0)
        return false;
    if (s->table->count == PCI_DEVICES_MAX) {
        if (!s->full)
            warn(&probe, "more functions than the table holds", PCI_DEVICES_MAX);
        s->full = true;
        return false;
    }
    d = &s->table->devices[s->table->count++];
    *d = probe;
    d->vendor = (uint16_t)id;
    d->device = (uint16_t)(id >> 16);
    d->revision = (uint8_t)pci_read(d, PCI_REVISION, 1);
    d->class_code = pci_read(d, PCI_REVISION, 4) >> 8;
    d->irq_line = (uint8_t)pci_read(d, PCI_INTERRUPT_LINE, 1);
    d->irq_pin = (uint8_t)pci_read(d, PCI_INTERRUPT_PIN, 1);
    if (d->irq_pin > 4)
        d->irq_pin = 0;
    type = pci_read(d, PCI_HEADER_TYPE, 1);
    *multi = type & 0x80;
    type &= 0x7f;
    if (type == 0) {
        id = pci_read(d, PCI_SUBVENDOR, 4);
        d->subvendor = (uint16_t)id;
        d->subdevice = (uint16_t)(id >> 16);
        if (d->class_code >> 8 !=
            0x0600)  // a host bridge's registers are not to be played with
            read_bars(d, PCI_BARS);
    } else if (type == 1) {
        read_bridge(s, d);
    } else if (type != 2) {  // 2: CardBus, left alone
        warn(d, "a header of unknown type", type);
        return true;
    }
    read_capabilities(d);
    return true;
}

static void scan_bus(struct scan *s, unsigned bus, int parent)
{
    for (unsigned device = 0; device < 32; device++) {
        bool multi = false;
        bool ignored;

        if (!read_function(s, pci_address_make(0, bus, device, 0), parent, &multi))
            continue;
        for (unsigned function = 1; multi && function < 8; function++)
            (void)read_function(s, pci_address_make(0, bus, device, function), parent,
                                &ignored);
    }
}

void pci_scan(const struct pci_access *access, struct pci_table *table)
{
    struct scan s = {.access = access, .table = table};

    table->count = 0;
    visit_later(&s, 0, -1);
    for (unsigned i = 0; i < s.queued; i++)
        scan_bus(&s, s.queue[i].bus, s.queue[i].parent);
}

/* ---- this machine ---- */

static uint32_t machine_read(void *context, pci_address at, unsigned offset, unsigned size)
{
    (void)context;
    return plat_pci_read(at, offset, size);
}

static void machine_write(void *context, pci_address at, unsigned offset, unsigned size,
                          uint32_t value)
{
    (void)context;
    plat_pci_write(at, offset, size, value);
}

static const struct pci_access machine = {machine_read, machine_write, NULL};

/* What a class is called, for listings. */
static const char *pci_class_name(uint32_t class_code)
{
    static const struct {
        uint32_t mask, class_code;
        const char *name;
    } names[] = {
        {0xffffff, 0x010601, "SATA controller (AHCI)"},
        {0xffffff, 0x010802, "NVMe controller"},
        {0xffff00, 0x010000, "SCSI controller"},
        {0xffff00, 0x010100, "IDE interface"},
        {0xffff00, 0x010400, "RAID controller"},
        {0xffff00, 0x010600, "SATA controller"},
        {0xff0000, 0x010000, "Mass storage controller"},
        {0xffff00, 0x020000, "Ethernet controller"},
        {0xff0000, 0x020000, "Network controller"},
        {0xffff00, 0x030000, "VGA compatible controller"},
        {0xff0000, 0x030000, "Display controller"},
        {0xff0000, 0x040000, "Multimedia controller"},
        {0xffff00, 0x060000, "Host bridge"},
        {0xffff00, 0x060100, "ISA bridge"},
        {0xffff00, 0x060400, "PCI bridge"},
        {0xff0000, 0x060000, "Bridge"},
        {0xff0000, 0x070000, "Communication controller"},
        {0xffff00, 0x0c0300, "USB controller"},
        {0xffff00, 0x0c0500, "SMBus"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if ((class_code & names[i].mask) == names[i].class_code)
            return names[i].name;
    return "Device";
}

struct pci_device *pci_device_get(unsigned index)
{
    struct pci_table *table = &this_host()->pci->table;

    return index < table->count ? &table->devices[index] : NULL;
}

void pci_init(void)
{
    struct pci_table *table = &this_host()->pci->table;

    pci_scan(&machine, table);
    for (unsigned i = 0; i < table->count; i++) {
        const struct pci_device *d = &table->devices[i];
        char name[PCI_NAME_SIZE];

        pci_name(d, name);
        vmk_log(VMK_LOG_DEBUG, "PCI: %s: %04x:%04x, class %06x, %s", name, d->vendor, d->device,
                d->class_code, pci_class_name(d->class_code));
    }
    vmk_log(VMK_LOG_INFO, "PCI: %u functions", table->count);
}

/* ---- what drivers need ---- */

void pci_enable(const struct pci_device *d)
{
    pci_write(d, PCI_COMMAND, 2,
              pci_read(d, PCI_COMMAND, 2) | PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
                  PCI_COMMAND_MASTER);
}

volatile void *pci_map(const struct pci_device *d, unsigned bar, uint64_t least)
{
    const struct pci_bar *b = &d->bars[MIN(bar, PCI_BARS - 1)];
    volatile void *at = NULL;

    if (bar < PCI_BARS && !b->io && b->size >= least)
        at = plat_mmio_map(paddr_make(b->base), MIN(b->size, MAX(least, 1u << 20)));
    if (!at)
        warn(d, "its registers are not where they should be: BAR", bar);
    return at;
}

static bool attach_msix(struct pci_device *d, const struct pci_irq *irqs, unsigned wanted)
{
    const uint32_t table = pci_read(d, d->msix + 4u, 4);
    const unsigned bar = table & 7;
    const uint64_t offset = table & ~7u;
    volatile char *entries;

    if (bar >= PCI_BARS || offset + 16ull * wanted > d->bars[bar].size)
        return false;
    entries = pci_map(d, bar, offset + 16ull * wanted);
    if (!entries)
        return false;
    entries += offset;
    // On, with everything masked, while the entries are filled.
    pci_write(d, d->msix + 2u, 2, (pci_read(d, d->msix + 2u, 2) | 0xc000u) & 0xffff);
    for (unsigned i = 0; i < wanted; i++) {
        struct plat_msi msi;

        if (!plat_irq_attach_msi(irqs[i].cpu, irqs[i].handler, irqs[i].argument, &msi)) {
            pci_write(d, d->msix + 2u, 2, pci_read(d, d->msix + 2u, 2) & 0x7fffu);
            return false;
        }
        plat_mmio_write32(entries + 16u * i, (uint32_t)msi.address);
        plat_mmio_write32(entries + 16u * i + 4, (uint32_t)(msi.address >> 32));
        plat_mmio_write32(entries + 16u * i + 8, msi.data);
        plat_mmio_write32(entries + 16u * i + 12, 0);  // not masked
    }
    pci_write(d, d->msix + 2u, 2, pci_read(d, d->msix + 2u, 2) & 0xbfffu);
    return true;
}

static bool attach_msi(struct pci_device *d, const struct pci_irq *one)
{
    const unsigned control = pci_read(d, d->msi + 2u, 2);
    const bool wide = control & 0x80;
    struct plat_msi msi;

    if (!plat_irq_attach_msi(one->cpu, one->handler, one->argument, &msi))
        return false;
    pci_write(d, d->msi + 4u, 4, (uint32_t)msi.address);
    if (wide)
        pci_write(d, d->msi + 8u, 4, (uint32_t)(msi.address >> 32));
    pci_write(d, d->msi + (wide ? 12u : 8u), 2, msi.data);
    pci_write(d, d->msi + 2u, 2, (control & ~0x70u) | 1);  // one message, on
    return true;
}

/* The firmware's table for the device's bus, or for the first bridge above that has a row, each
 * bridge turning the pins by the device's number; else what the firmware wrote into the device.
 */
static bool line_of(const struct pci_device *d, struct plat_irq_line *line)
{
    const struct pci_table *table = &this_host()->pci->table;
    const struct pci_device *at = d;
    unsigned pin = d->irq_pin;

    while (pin) {
        if (plat_irq_route(at->at, pin, line))
            return true;
        if (at->parent < 0)
            break;
        pin = (pin - 1 + (at->at.raw >> 3 & 31)) % 4 + 1;
        at = &table->devices[at->parent];
    }
    if (!d->irq_pin || d->irq_line == 0 || d->irq_line > 15)
        return false;
    *line = plat_irq_isa(d->irq_line, true);
    return true;
}

unsigned pci_irq_attach(struct pci_device *d, const struct pci_irq *irqs, unsigned wanted,
                        enum pci_irq_kind *kind)
{
    const unsigned count = MIN(wanted, d->msix ? d->msix_count : 1u);
    struct plat_irq_line line;
    const unsigned command = pci_read(d, PCI_COMMAND, 2);

    pci_write(d, PCI_COMMAND, 2, command | PCI_COMMAND_INTX_OFF);
    if (d->msix && attach_msix(d, irqs, count)) {
        *kind = PCI_IRQ_MSIX;
        return count;
    }
    if (d->msi && attach_msi(d, irqs)) {
        *kind = PCI_IRQ_MSI;
        return 1;
    }
    pci_write(d, PCI_COMMAND, 2, command & ~PCI_COMMAND_INTX_OFF);
    if (line_of(d, &line) && plat_irq_attach_line(&line, irqs[0].handler, irqs[0].argument)) {
        *kind = PCI_IRQ_LINE;
        return 1;
    }
    warn(d, "no interrupt to be had, pin", d->irq_pin);
    *kind = PCI_IRQ_NONE;
    return 0;
}
