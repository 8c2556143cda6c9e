// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/pvscsi.h -- VMware's paravirtual SCSI adapter, one per scsiB bus.
 */
#pragma once

#include "core/status.h"

struct pvscsi;
struct vm;

#define PVSCSI_TARGETS      16u
#define PVSCSI_SLOT(number) (28u + (number))  // on the guest's PCI bus

/*
 * Makes the adapter of bus `number` on the guest's PCI bus, with the VM's disks of that bus
 * behind it. World context, vm->lock not held. NO_MEMORY, LIMIT, EXISTS.
 */
must_check vmk_status pvscsi_create(struct vm *vm, unsigned number, struct pvscsi **out);
/* Waits for what is in flight. World context. */
void pvscsi_destroy(struct pvscsi *p);
