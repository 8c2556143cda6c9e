// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpci.h -- the guest's PCI bus 0: configuration space, BARs, interrupts of its functions.
 *
 * A device fills a struct vpci_function, says which BARs and capabilities it has, and adds it.
 * From then on the bus decodes: where a BAR lies is the guest's choice, and how an interrupt
 * goes (INTx, MSI, MSI-X) too.
 */
#pragma once

#include "core/status.h"

struct vm;
struct vm_io_ops;
struct vpci;

#define VPCI_CONFIG_SIZE  256u
#define VPCI_FUNCTIONS    32u
#define VPCI_BARS         6u
#define VPCI_MSIX_VECTORS 8u

/* The memory-mapped configuration space (PCI Express ECAM) of bus 0, told by the MCFG table. */
#define VPCI_ECAM_BASE    0xe0000000ull
#define VPCI_ECAM_SIZE    0x100000ull

/* Ports that BARs may take; what is below belongs to fixed devices. */
#define VPCI_IO_BASE      0xc000u

/* Interrupt lines: pins rotate over four GSIs by slot, as the DSDT's _PRT says. */
#define VPCI_GSI_BASE     16u
#define VPCI_GSI_COUNT    4u
static inline unsigned vpci_gsi(unsigned slot, unsigned pin)
{
    return VPCI_GSI_BASE + (slot + pin) % VPCI_GSI_COUNT;
}

struct vpci_bar {
    uint32_t size;  // a power of two; 0: none
    bool io;
    const struct vm_io_ops *ops;  // called as for vm_port_register(), vm_mmio_register()
    void *device;
};

/* As the guest wrote it. */
struct vpci_msix_entry {
    uint64_t address;
    uint32_t data, control;  // control bit 0: masked
};

/* One function. `writable` has a 1 for each bit the guest may change. */
struct vpci_function {
    uint8_t devfn;  // slot << 3 | function
    uint8_t config[VPCI_CONFIG_SIZE];
    uint8_t writable[VPCI_CONFIG_SIZE];
    /*
     * Called after the guest changed bytes [offset, offset + size); may be null. vm->lock held.
     */
    void (*written)(void *device, struct vpci_function *f, unsigned offset, unsigned size);
    void *device;
    // The bus's own, filled by the calls below. vm->lock.
    struct vpci *bus;
    struct vpci_bar bars[VPCI_BARS];
    unsigned last_capability, capability_end;  // offset of its header, 0: none yet
    uint8_t msi, msix;                         // offsets of these capabilities, 0: none
    unsigned msix_vectors, msix_bar;
    uint32_t msix_table, msix_pending_at;  // offsets in that BAR
    struct vpci_msix_entry msix_entries[VPCI_MSIX_VECTORS];
    uint32_t msix_pending;
    bool line;  // INTA# as the device holds it
};

/* vm->lock not held. NO_MEMORY, LIMIT. */
must_check vmk_status vpci_create(struct vm *vm);
void vpci_destroy(struct vm *vm);
/*
 * Adds a function at creation; `f` belongs to the caller and outlives the bus. EXISTS: the
 * place is taken. LIMIT: no room.
 */
must_check vmk_status vpci_add_function(struct vpci *pci, struct vpci_function *f);
/* Takes it away again: nothing decodes to it, its line is low. vm->lock not held. */
void vpci_remove_function(struct vpci *pci, struct vpci_function *f);
/*
 * What a PC's firmware does: gives every BAR an address and switches decoding on. vm->lock
 * held.
 */
void vpci_assign(struct vpci *pci);

/* ---- before vpci_add_function() ---- */
/* Sets a 1, 2 or 4-byte field of f->config, little endian. */
void vpci_field_set(struct vpci_function *f, unsigned offset, unsigned size, uint32_t value);
/* Ids, class (24 bits) and subsystem of an ordinary function; INTA# and the command bits. */
void vpci_header_set(struct vpci_function *f, unsigned vendor, unsigned id, unsigned class_code,
                     unsigned revision, unsigned subsystem_vendor, unsigned subsystem);
void vpci_bar_set(struct vpci_function *f, unsigned index, uint32_t size, bool io,
                  const struct vm_io_ops *ops, void *device);
/* Room for a capability of `size` bytes, header included; its offset. */
unsigned vpci_capability_add(struct vpci_function *f, uint8_t id, unsigned size);
/* MSI with one vector; MSI-X with its table and pending bits in a memory BAR. vpci_msi.c */
void vpci_msi_add(struct vpci_function *f);
void vpci_msix_add(struct vpci_function *f, unsigned vectors, unsigned bar, uint32_t table,
                   uint32_t pending);

/* ---- interrupts; vm->lock held ---- */
/* MSI or MSI-X is on: then INTA# does not go out. */
bool vpci_messages_on(const struct vpci_function *f);
/* Sends the message: MSI-X `vector`, or MSI's only one. Nothing if neither is on. */
void vpci_message_send(struct vpci_function *f, unsigned vector);
/* INTA# is asserted or not. */
void vpci_line_set(struct vpci_function *f, bool high);
/* A line (GSI less VPCI_GSI_BASE) goes to this 8259 IRQ as well; bit 7: to none. */
void vpci_pirq_set(struct vpci *pci, unsigned line, uint8_t irq);

/* ---- between vpci.c and vpci_msi.c ---- */
bool vpci_msix_access(struct vpci_function *f, unsigned bar, uint64_t offset, unsigned size,
                      bool read, uint64_t *value);
void vpci_msix_changed(struct vpci_function *f);
struct vm *vpci_vm(const struct vpci *pci);
