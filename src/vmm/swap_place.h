// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/swap_place.h -- which file or device a VM's pages are swapped to.
 */
#pragma once

#include "vmm/swap_store.h"

struct vm;

/* Reads mem.swap.space=; before the first VM. World context. */
void swap_place_start(void);
/*
 * Opens the VM's store. OK with none: there is no place for it, which is logged. NO_SPACE and others:
 * the place it should have is too small or cannot be used; logged with VM, needed, available.
 */
must_check vmk_status swap_place_open(struct vm *vm, struct swap_store *s);
void swap_place_close(struct vm *vm, struct swap_store *s);
