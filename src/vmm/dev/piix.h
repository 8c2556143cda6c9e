// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/piix.h -- the south bridge that a BIOS looks for: ISA bridge with PIRQs, power management.
 */
#pragma once

#include "core/status.h"

struct piix;
struct vm;

/* Adds both functions to the guest's PCI bus. World context, vm->lock not held. */
must_check vmk_status piix_create(struct vm *vm, struct piix **out);
void piix_destroy(struct piix *p);
