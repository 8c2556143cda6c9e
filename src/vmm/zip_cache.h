// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/zip_cache.h -- a VM's compression cache: packed pages in units of 1 KB, and their age.
 *
 * A machine page holds four units. A packed page takes one unit or two that are neighbours, so
 * the cache never moves anything and never has to be tidied up. It grows by machine pages up to
 * its limit, and gives one back when its last unit goes.
 *
 *     machine page  │ unit 0 │ unit 1 │ unit 2 │ unit 3 │     an entry of two: units 0,1 or 2,3
 *
 * Invariants
 *   - A handle names an entry until zip_cache_drop(); 0 is none.
 *   - The list of ages holds every entry once, the oldest first.
 *   - A page is on the list of those with a free pair, or with a free unit and no pair, or
 *     full.
 * Locking    the caller's: the VM's lock. No call blocks; zip_cache_store() may take a page.
 * Sources    docs/design/memory.md
 */
#pragma once

#include "mem/page.h"

#define ZIP_UNIT      1024u
#define ZIP_ROOM      (2 * ZIP_UNIT)  // a page that does not get that small is not kept
#define ZIP_UNITS     4u              // of a machine page
#define ZIP_PAGES_MAX (1u << 28)

struct zip_page;

struct zip_cache {
    struct zip_page **pages;  // by number; null: none there
    uint32_t limit, count;    // machine pages
    uint32_t made;            // numbers below were used
    uint32_t empty;           // number + 1 of one that was given back; a list
    uint32_t lists[2];        // number + 1; of pages with a free pair, with a free unit only
    uint32_t oldest, newest;  // handles
    uint64_t entries, bytes;
};

/* Room for up to `limit` machine pages, which are taken as needed. NO_MEMORY. */
must_check vmk_status zip_cache_init(struct zip_cache *z, uint32_t limit);
/* Everything that is in it goes. */
void zip_cache_destroy(struct zip_cache *z);
/* Keeps a copy. 0: full, or no memory. `size` is at most ZIP_ROOM. */
must_check uint32_t zip_cache_store(struct zip_cache *z, uint32_t index, const void *packed,
                                    size_t size);
/* Where it is and whose; good until zip_cache_drop(). */
const void *zip_cache_data(const struct zip_cache *z, uint32_t handle, size_t *size,
                           uint32_t *index);
void zip_cache_drop(struct zip_cache *z, uint32_t handle);
/* The oldest entry, and the next younger one; 0: none. */
uint32_t zip_cache_oldest(const struct zip_cache *z);
uint32_t zip_cache_younger(const struct zip_cache *z, uint32_t handle);
