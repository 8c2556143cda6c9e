// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmm_mem.h -- the memory scheduler at work: a world that watches, decides and shares.
 */
#pragma once

#include "core/status.h"

struct vm;

/* Starts it: after the back end is there, before the first VM. World context. */
void vmm_mem_start(void);
/* A VM is made, ends. LIMIT: admission control refused it (logged). World context. */
/*
 * May this VM not grow now? The host is at level low, the VM has at least what it is entitled to and
 * something will take pages from it. Tells the memory scheduler when free memory falls below the
 * level's mark, so that it does not wait for its period. Any context, VM lock held or not.
 */
bool vmm_mem_is_short(struct vm *vm);
must_check vmk_status vmm_mem_add(struct vm *vm);
void vmm_mem_remove(struct vm *vm);
