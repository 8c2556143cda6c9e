// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/swap_store.h -- where a VM's pages are when they are in no memory: slots of a file or a device.
 *
 * One slot is a page. The table of slots has a checksum of each, so that a page which comes
 * back as something else is found before the guest sees it.
 *
 * Invariants
 *   - A slot that is taken stays the same page's until swap_slot_free().
 *   - The checksum of a slot is that of the bytes last written by swap_store_write().
 *   - Bookkeeping is for `room` slots; those from `slots` on have no space yet.
 * Locking    slots: the caller's (the VM's lock). Reads and writes: a world, nothing locked;
 *            one swap_store_write() and one swap_store_grow() at a time.
 */
#pragma once

#include "io/block.h"
#include "mem/addr.h"

#define SWAP_RUN_MAX 8u  // slots of one write

struct file;

struct swap_store {
    struct file *file;           // one of the two; both null: there is none
    struct block_device *block;  // the caller's
    uint64_t base;               // of slot 0, bytes
    uint64_t *used;              // a bit for each slot
    uint32_t *sums;
    uint32_t slots, room, used_count, bad_count, cursor;
    char name[96];  // for messages
    char *path;     // to be removed; null: no file of ours
    uint64_t reads, writes, errors, rotten;
};

/*
 * A file of its own, made or emptied, gone after swap_store_close(); it may grow to `room`
 * slots. NO_SPACE: *available bytes are not enough; whatever opening and writing files says.
 * World context.
 */
must_check vmk_status swap_store_open_file(struct swap_store *s, const char *path,
                                           uint64_t slots, uint64_t room, uint64_t *available);
/* A part of a device that nobody else writes. */
must_check vmk_status swap_store_open_block(struct swap_store *s, struct block_device *block,
                                            uint64_t base, uint64_t slots, uint64_t room);
/*
 * Space for `slots` in all, of a part of a device that the caller gave it: then the caller sets
 * s->slots, under the lock of slots. NO_SPACE and others as when it was opened; LIMIT: more
 * than its room. World context.
 */
must_check vmk_status swap_store_grow(struct swap_store *s, uint64_t slots,
                                      uint64_t *available);
void swap_store_close(struct swap_store *s);
static inline bool swap_store_is_there(const struct swap_store *s)
{
    return s->file || s->block;
}

/* Up to `want` neighbouring slots; *first is the first. 0: the store is full. */
must_check uint32_t swap_slot_take(struct swap_store *s, uint32_t want, uint32_t *first);
void swap_slot_free(struct swap_store *s, uint32_t slot);
/* It cannot be written: nobody gets it again. */
void swap_slot_bad(struct swap_store *s, uint32_t slot);

/* `count` pages that lie one behind the other in memory. [block] */
must_check vmk_status swap_store_write(struct swap_store *s, uint32_t first, uint32_t count,
                                       const void *pages);
/* CORRUPT: what is there is not what was written. [block] */
must_check vmk_status swap_store_read(struct swap_store *s, uint32_t slot, void *page);
