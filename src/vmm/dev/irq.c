// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/irq.c -- where a device's interrupt line goes: both controllers, as on a PC.
 *
 * The wires are on both chips at once and the guest masks the one it does not use. One
 * crossing: the timer's ISA line 0 arrives at pin 2 of the IOAPIC (the MADT says so), since pin
 * 0 was the PIC's own output and line 2 of the PIC is its cascade.
 *
 * Invariants none of its own.
 * Locking    vm->lock
 * Sources    [ACPI] "Interrupt Source Override"; [MPS] 3.6.2
 */
#include "vmm/dev/vioapic.h"
#include "vmm/dev/vpic.h"
#include "vmm/vm.h"

void vm_irq_line_set(struct vm *vm, unsigned gsi, bool high)
{
    if (gsi < 16)
        vpic_irq(vm, gsi, high);
    vioapic_irq(vm, gsi == 0 ? 2 : gsi, high);
}
