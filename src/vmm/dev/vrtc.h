// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vrtc.h -- the guest's CMOS clock and memory at ports 70 and 71, IRQ 8, in the kernel: of a VM
 * that has no vmx.
 */
#pragma once

#include "core/status.h"

struct vm;
struct vrtc;

/* vm->lock not held. NO_MEMORY, LIMIT. */
must_check vmk_status vrtc_create(struct vm *vm);
/* Nothing if there is none. */
void vrtc_destroy(struct vm *vm);
