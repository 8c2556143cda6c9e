// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/piix.c -- the south bridge that a BIOS looks for: ISA bridge with PIRQs, power management.
 *
 * Two functions in slot 1: the PIIX3's ISA bridge, whose four PIRQ registers say to which 8259
 * IRQ each interrupt line goes, and the PIIX4's power management, which has the PM registers'
 * address.
 * These registers lie at VM_PM_BASE whatever is written (dev/vpm.c); SeaBIOS writes the same.
 * The bit that switches the system management interrupt on reads 1, so that a BIOS takes its
 * handler for installed: there is no system management mode here.
 *
 * Invariants  none of its own.
 * Locking     vm->lock.
 * Sources     [PIIX3] "PIRQRC[A:D]"; [PIIX4] "PMBA", "DEVACTB"
 */
#include "vmm/dev/piix.h"

#include "vmm/dev/vpci.h"
#include "vmm/vm.h"

#define VENDOR_INTEL  0x8086u
#define ID_ISA        0x7000u
#define ID_PM         0x7113u
#define SLOT          1u
#define REG_PIRQ      0x60u
#define REG_PMBASE    0x40u
#define REG_DEVACTB   0x58u
#define REG_PMREGMISC 0x80u
#define APMC_ENABLED  0x02000000u
#define PIRQ_NONE     0x80u

struct piix {
    struct vm *vm;
    struct vpci_function isa, pm;
};

/* The chip counts lines from slot 1 on, the bus from slot 0 (vpci_gsi()). */
static void isa_written(void *device, struct vpci_function *f, unsigned offset, unsigned size)
{
    struct piix *p = device;

    if (offset + size <= REG_PIRQ || offset >= REG_PIRQ + 4)
        return;
    for (unsigned i = 0; i < 4; i++)
        vpci_pirq_set(p->vm->pci, (i + 1) % VPCI_GSI_COUNT, f->config[REG_PIRQ + i]);
}

static void functions_fill(struct piix *p)
{
    p->isa.devfn = SLOT << 3;
    p->isa.device = p;
    p->isa.written = isa_written;
    vpci_header_set(&p->isa, VENDOR_INTEL, ID_ISA, 0x060100, 0, 0x1af4, 0x1100);
    p->isa.config[0x3d] = 0;     // no interrupt of its own
    p->isa.config[0x0e] = 0x80;  // there are more functions
    vpci_field_set(&p->isa, 0x04, 2, 0x0007);
    for (unsigned i = 0; i < 4; i++) {
        p->isa.config[REG_PIRQ + i] = PIRQ_NONE;
        p->isa.writable[REG_PIRQ + i] = 0x8f;
    }
    p->pm.devfn = SLOT << 3 | 3;
    vpci_header_set(&p->pm, VENDOR_INTEL, ID_PM, 0x068000, 3, 0x1af4, 0x1100);
    p->pm.config[0x3c] = VM_SCI_IRQ;
    vpci_field_set(&p->pm, REG_PMBASE, 4, VM_PM_BASE | 1);
    vpci_field_set(&p->pm, REG_DEVACTB, 4, APMC_ENABLED);
    p->pm.config[REG_PMREGMISC] = 1;
}

vmk_status piix_create(struct vm *vm, struct piix **out)
{
    struct piix *p = heap_alloc(sizeof(*p), MEM_OWNER_VMM);
    vmk_status status;

    if (!p)
        return VMK_NO_MEMORY;
    p->vm = vm;
    functions_fill(p);
    status = vpci_add_function(vm->pci, &p->isa);
    if (status == VMK_OK)
        status = vpci_add_function(vm->pci, &p->pm);
    if (status != VMK_OK) {
        heap_free(p);
        return status;
    }
    *out = p;
    return VMK_OK;
}

void piix_destroy(struct piix *p)
{
    vpci_remove_function(p->vm->pci, &p->pm);
    vpci_remove_function(p->vm->pci, &p->isa);
    heap_free(p);
}
