// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/pci.h -- PCI functions: found behind bridges, their BARs and capabilities, interrupts, drivers.
 *
 * Configuration space belongs to devices, and devices lie: everything read is bounded and
 * checked, and what does not hold is left out with a line in the log.
 *
 * Locking    the table is made on CPU 0 at boot and does not change; a function belongs to the
 *            driver that attached it.
 */
#pragma once

#include "core/status.h"
#include "plat/plat_dev.h"

#define PCI_DEVICES_MAX        256u
#define PCI_BARS               6u

/* Configuration space, first 64 bytes. */
#define PCI_VENDOR             0x00u
#define PCI_DEVICE             0x02u
#define PCI_COMMAND            0x04u
#define PCI_STATUS             0x06u
#define PCI_REVISION           0x08u
#define PCI_CLASS              0x09u  // 3 bytes
#define PCI_HEADER_TYPE        0x0eu
#define PCI_BAR0               0x10u
#define PCI_SUBVENDOR          0x2cu
#define PCI_CAPABILITIES       0x34u
#define PCI_INTERRUPT_LINE     0x3cu
#define PCI_INTERRUPT_PIN      0x3du
#define PCI_SECONDARY_BUS      0x19u  // bridges

#define PCI_COMMAND_IO         0x0001u
#define PCI_COMMAND_MEMORY     0x0002u
#define PCI_COMMAND_MASTER     0x0004u
#define PCI_COMMAND_INTX_OFF   0x0400u
#define PCI_STATUS_CAPS        0x0010u

#define PCI_CAPABILITY_PM      0x01u
#define PCI_CAPABILITY_MSI     0x05u
#define PCI_CAPABILITY_VENDOR  0x09u
#define PCI_CAPABILITY_EXPRESS 0x10u
#define PCI_CAPABILITY_MSIX    0x11u

/* How a scan reaches configuration space: the machine's, or a test's. */
struct pci_access {
    uint32_t (*read)(void *context, pci_address at, unsigned offset, unsigned size);
    void (*write)(void *context, pci_address at, unsigned offset, unsigned size,
                  uint32_t value);
    void *context;
};

struct pci_bar {
    uint64_t base, size;  // size 0: no such BAR
    bool io, wide, prefetchable;
};

struct pci_device {
    const struct pci_access *access;
    pci_address at;
    uint16_t vendor, device, subvendor, subdevice;
    uint32_t class_code;  // base, sub, programming interface: 24 bits
    uint8_t revision, irq_pin, irq_line;
    bool is_bridge;
    uint8_t secondary;  // bridges: the bus behind
    int parent;         // index of the bridge it is behind; -1: a root bus
    struct pci_bar bars[PCI_BARS];
    uint8_t pm, msi, msix, express;  // where these capabilities are; 0: not there
    uint16_t msix_count;             // entries
    char driver[24];                 // the map's choice, or empty
    bool attached;                   // the driver took it
};

struct pci_table {
    unsigned count;
    struct pci_device devices[PCI_DEVICES_MAX];  // by address
};

/* Finds every function from bus 0 on. Bounded work whatever the bus answers. */
void pci_scan(const struct pci_access *access, struct pci_table *table);

/* At boot, CPU 0, others not started: scans this machine, logs what is there. */
void pci_init(void);
/* By index; null past the end. */
struct pci_device *pci_device_get(unsigned index);
/* "0000:00:1f.2" */
#define PCI_NAME_SIZE 16u
/* Segment, bus, device, function, in hexadecimal. */
void pci_name(const struct pci_device *device, char out[PCI_NAME_SIZE]);

/* Configuration space: `size` is 1, 2 or 4, `offset` a multiple of it. */
static inline uint32_t pci_read(const struct pci_device *d, unsigned offset, unsigned size)
{
    return d->access->read(d->access->context, d->at, offset, size);
}
static inline void pci_write(const struct pci_device *d, unsigned offset, unsigned size,
                             uint32_t value)
{
    d->access->write(d->access->context, d->at, offset, size, value);
}

/* Where capabilities of that kind are, in the order of the chain; how many, at most `room`. */
unsigned pci_capabilities(const struct pci_device *device, unsigned kind, uint8_t *out,
                          unsigned room);
/* Lets it decode its BARs and be a bus master. */
void pci_enable(const struct pci_device *device);
/*
 * Registers of a memory BAR, at least `least` bytes long; null, with a log line, if it is not
 * so.
 */
volatile void *pci_map(const struct pci_device *device, unsigned bar, uint64_t least);

/*
 * Interrupts: MSI-X if the device has `wanted` entries or at least one, else MSI, else its
 * line. handlers[i] goes with arguments[i] and cpus[i]. Returns how many of them have an
 * interrupt of their own; with a line or plain MSI 1. 0: none could be had. Entry i of MSI-X is
 * index i. After it the device may interrupt.
 */
struct pci_irq {
    plat_irq_handler handler;
    void *argument;
    unsigned cpu;
};
enum pci_irq_kind {
    PCI_IRQ_NONE,
    PCI_IRQ_LINE,
    PCI_IRQ_MSI,
    PCI_IRQ_MSIX,
};
unsigned pci_irq_attach(struct pci_device *device, const struct pci_irq *irqs, unsigned wanted,
                        enum pci_irq_kind *kind);

/* ---- which driver for which device (pci_map.c) ---- */

/*
 * Text lines "regtype=native,bus=pci,id=VVVVDDDDSSSSssssCCCCCC,driver=NAME": hexadecimal digits
 * or dots (any) for vendor, device, subvendor, subdevice and class; a shorter id matches any
 * rest. '#' begins a comment. The first line that matches decides, and later texts go before
 * earlier ones.
 */
struct pci_map_error {
    unsigned line;  // from 1
    const char *what;
};
/*
 * Chooses drivers for the devices of `table` that have none, by the rules of a text. Each
 * damaged line goes to `report` and is left out. Returns how many lines were damaged.
 */
unsigned pci_map_apply(const char *text, size_t size, struct pci_table *table,
                       void (*report)(void *argument, const struct pci_map_error *error),
                       void *argument);
/* The same for this machine, damage to the log under the text's name. */
void pci_map_load(const char *name, const char *text, size_t size);
