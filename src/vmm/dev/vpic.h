// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpic.h -- a VM's pair of 8259A interrupt controllers.
 */
#pragma once

#include "core/status.h"

struct vm;

/* Sets vm->pic and registers ports 20, 21, a0, a1, 4d0, 4d1. NO_MEMORY, LIMIT. */
must_check vmk_status vpic_create(struct vm *vm);
void vpic_destroy(struct vm *vm);
/* ISA line 0..15 is asserted or not; 2 is the cascade and ignored. vm->lock held. */
void vpic_irq(struct vm *vm, unsigned irq, bool high);
/* The vector an acknowledge would give now, or -1. One load: any context, no lock needed. */
int vpic_pending(struct vm *vm);
/*
 * The CPU's acknowledge cycle: the vector goes into service and is returned. Never fails: when
 * the request is gone it is the spurious vector (line 7 or 15). TAKES vm->lock; hold none.
 */
int vpic_acknowledge(struct vm *vm);
