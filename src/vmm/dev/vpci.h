// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpci.h -- the guest's PCI bus 0: configuration mechanism 1 and its functions.
 */
#pragma once

#include "core/status.h"

struct vm;
struct vpci;

#define VPCI_CONFIG_SIZE 256u
#define VPCI_FUNCTIONS   16u

/* The memory-mapped configuration space (PCI Express ECAM) of bus 0, told by the MCFG table. */
#define VPCI_ECAM_BASE   0xe0000000ull
#define VPCI_ECAM_SIZE   0x100000ull

/* One function. `writable` has a 1 for each bit the guest may change. */
struct vpci_function {
    uint8_t devfn;  // slot << 3 | function
    uint8_t config[VPCI_CONFIG_SIZE];
    uint8_t writable[VPCI_CONFIG_SIZE];
    /* Called after the guest changed bytes [offset, offset + size); may be null. vm->lock held. */
    void (*written)(void *device, struct vpci_function *f, unsigned offset, unsigned size);
    void *device;
};

/* vm->lock not held. NO_MEMORY, LIMIT. */
must_check vmk_status vpci_create(struct vm *vm);
void vpci_destroy(struct vm *vm);
/* Adds a function at creation; `f` belongs to the caller and outlives the bus. EXISTS: the place
 * is taken. LIMIT: no room. */
must_check vmk_status vpci_add_function(struct vpci *pci, struct vpci_function *f);
/* Sets a 1, 2 or 4-byte field of f->config, little endian. */
void vpci_field_set(struct vpci_function *f, unsigned offset, unsigned size, uint32_t value);
