// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vserial.h -- the guest's COM1, a 16550A at port 3f8, IRQ 4.
 */
#pragma once

#include "core/status.h"

struct vm;
struct vserial;

/*
 * Makes vm->serial, registers its ports and, if the VM has a machine port, starts polling it
 * for input. vm->lock not held. NO_MEMORY, LIMIT.
 */
must_check vmk_status vserial_create(struct vm *vm);
/* Null is fine. vm->lock not held: waits for the poller. */
void vserial_destroy(struct vm *vm);
