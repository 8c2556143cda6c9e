// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_large.h -- guest memory in 2 MB pages: given on first touch, split, joined, broken when short.
 */
#pragma once

#include "vmm/vm.h"

#define VM_LARGE_PAGES P2M_CHUNK

/*
 * Backs the untouched 2 MB around a page by one large page of zeroes, if the host has plenty of
 * memory. True: it did. World context, nothing locked.
 */
bool vm_large_back(struct vm *vm, ppn_t ppn);
/*
 * Before one page of a large one changes; OK if it is none. NO_MEMORY. The caller flushes. VM
 * lock held.
 */
must_check vmk_status vm_large_split_locked(struct vm *vm, uint64_t index);
/*
 * One entry for 512 pages that are still in one block. True: the caller flushes. VM lock held.
 */
must_check bool vm_large_join_locked(struct vm *vm, uint64_t index);
/*
 * A whole large page is given away, as by vm_page_take_locked(). NOT_FOUND: it is not large.
 * BUSY, AGAIN. The caller flushes. VM lock held.
 */
must_check vmk_status vm_large_take_locked(struct vm *vm, uint64_t index);
/*
 * Makes up to so many large pages small and gives the host those of their pages that hold
 * zeroes only: what was given in advance and never used. The number of pages freed. World
 * context.
 */
uint64_t vm_large_break(struct vm *vm, unsigned most);
