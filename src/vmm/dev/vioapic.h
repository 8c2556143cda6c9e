// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vioapic.h -- a VM's IOAPIC: 24 pins, redirection table, remote IRR.
 */
#pragma once

#include "core/status.h"

struct vm;

#define VIOAPIC_PINS 24u

/* Sets vm->ioapic and registers its page. NO_MEMORY, LIMIT. */
must_check vmk_status vioapic_create(struct vm *vm);
void vioapic_destroy(struct vm *vm);
/* A pin's line is asserted or not, whatever polarity the guest chose. vm->lock held. */
void vioapic_irq(struct vm *vm, unsigned pin, bool high);
/*
 * A local APIC's EOI of a level interrupt: sends again what is still asserted. vm->lock held.
 */
void vioapic_eoi(struct vm *vm, uint8_t vector);
