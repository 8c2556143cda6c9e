// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpit.h -- a VM's 8254 interval timer and port 61.
 */
#pragma once

#include "core/status.h"

struct vm;

/* Sets vm->pit and registers ports 40..43 and 61. NO_MEMORY, LIMIT. */
must_check vmk_status vpit_create(struct vm *vm);
/* Hold no lock: the timer's callback takes vm->lock. */
void vpit_destroy(struct vm *vm);
