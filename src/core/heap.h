// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/heap.h -- small kernel allocations, each with the owner that will answer for it.
 *
 * The heap grows by machine pages that mem/ hands it through a callback.
 */
#pragma once

#include "core/status.h"

/* Who holds memory: printed at shut-down and checked to be zero when a VM is gone. */
enum mem_owner {
    MEM_OWNER_KERNEL,  // page tables, boot
    MEM_OWNER_HEAP,    // pages the heap took
    MEM_OWNER_WORLD,   // world structs and stacks
    MEM_OWNER_VMM,     // VMCS, VMCB, bitmaps, device state
    MEM_OWNER_P2M,     // nested page tables and P2M arrays
    MEM_OWNER_GUEST,   // guest memory
    MEM_OWNER_TRACE,
    MEM_OWNER_ACPI,
    MEM_OWNER_USER,  // user worlds: their pages, page tables and kernel objects
    MEM_OWNER_FS,    // files in memory: visorfs, pipes, vnodes
    MEM_OWNER_TEST,
    MEM_OWNER_COUNT
};
const char *mem_owner_name(enum mem_owner owner);  // as logs and /proc show it

/*
 * Zeroed memory, 16-byte aligned (64 for sizes >= 64), or null. Any context; takes rank HEAP,
 * and PAGE.
 */
must_check void *heap_alloc(size_t size, enum mem_owner owner);
/* Null is fine. Any context; who it was counted for is remembered in the block. */
void heap_free(void *pointer);
/* Bytes that `owner` has in the heap now. */
uint64_t heap_owned(enum mem_owner owner);

/*
 * Where the heap gets 2^order pages from and gives them back to; mem_init() registers it. Both
 * are called with the heap lock held.
 */
void heap_grow_hook(void *(*take)(unsigned order), void (*give)(void *pages, unsigned order));
