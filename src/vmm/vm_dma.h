// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_dma.h -- guest memory as a scatter list of kernel addresses, for devices that move data.
 */
#pragma once

#include "io/block.h"
#include "mem/addr.h"

struct vm;

/* A list that grows; the two arrays, of `room` each, belong to whoever made it. */
struct vm_scatter {
    struct block_segment *segments;
    uint32_t *pins;  // machine pages that vm_dma_release() lets go
    uint32_t count, pin_count, room;
    uint64_t size;  // bytes so far
};

/*
 * Appends [gpa, gpa + size) of guest RAM; pages that nobody touched yet are given. The memory
 * stays where it is until vm_dma_release(). NOT_FOUND: not all of it is RAM. LIMIT: no room
 * left in the list. NO_MEMORY. BUSY: too many use the page. World context, vm->lock not held.
 * After an error the list is as before, but for pages that were given.
 */
must_check vmk_status vm_dma_add(struct vm *vm, struct vm_scatter *list, gpa_t gpa,
                                 uint64_t size);
/* The device is through with all of it. Before the VM's memory goes. */
void vm_dma_release(struct vm_scatter *list);
/* The kernel's address of a guest page; the same errors. vm_dma_page_release() ends it. */
must_check vmk_status vm_dma_page(struct vm *vm, ppn_t ppn, void **out);
void vm_dma_page_release(void *page);

/*
 * Copies `size` bytes between a buffer and the list, from `offset` on; how many there was room
 * for.
 */
uint64_t scatter_write(const struct block_segment *segments, uint32_t count, uint64_t offset,
                       const void *from, uint64_t size);
uint64_t scatter_read(const struct block_segment *segments, uint32_t count, uint64_t offset,
                      void *to, uint64_t size);
/* A place in a list that moves on with each copy: for walks in small steps. */
struct scatter_cursor {
    const struct block_segment *segment;
    uint32_t count;   // segments left, this one included
    uint32_t offset;  // in this one
};
/*
 * Copies up to `size` bytes to or from `buffer` (null: passes over them); how many there were.
 */
uint64_t scatter_step(struct scatter_cursor *c, void *buffer, uint64_t size, bool to_list);
uint64_t scatter_size(const struct block_segment *segments, uint32_t count);
