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
must_check vmk_status vmm_mem_add(struct vm *vm);
void vmm_mem_remove(struct vm *vm);
