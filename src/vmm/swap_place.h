// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/swap_place.h -- which file or device a VM's pages are swapped to.
 */
#pragma once

#include "vmm/swap_store.h"

struct vm;

/* Reads mem.swap.space=; before the first VM. World context. */
void swap_place_start(void);
/* Has that block device blocks of the one of mem.swap.space=? Any context. */
bool swap_place_uses(const char *name);
/*
 * Opens the VM's store. OK with none: there is no place for it, which is logged. NO_SPACE and
 * others: the place it should have is too small or cannot be used; logged with VM, needed,
 * available.
 */
must_check vmk_status swap_place_open(struct vm *vm, struct swap_store *s);
/*
 * Space for so many slots, before its reservation gets lower; the caller sets s->slots.
 * NO_SPACE and others: logged, and nothing changed.
 */
must_check vmk_status swap_place_grow(struct vm *vm, struct swap_store *s, uint64_t slots);
void swap_place_close(struct vm *vm, struct swap_store *s);
