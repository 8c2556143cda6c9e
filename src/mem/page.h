// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/page.h -- the machine pages: a buddy allocator that knows who owns each page.
 */
#pragma once

#include "core/heap.h"
#include "mem/addr.h"

#define PAGE_ORDER_MAX 10u  // 4 MB

/* Takes over the platform's memory map; checks every overlap and prints the map. CPU 0 only. */
void mem_init(void);

/*
 * 2^order contiguous, aligned machine pages, not zeroed. Any context.
 * page_alloc_zeroed() clears them. NO_MEMORY is the only failure.
 */
must_check vmk_status page_alloc(unsigned order, enum mem_owner owner, mpn_t *out);
must_check vmk_status page_alloc_zeroed(unsigned order, enum mem_owner owner, mpn_t *out);
/* A block in use becomes single pages of the same owner, each freed by itself from now on. */
void page_split(mpn_t mpn, unsigned order, enum mem_owner owner);
/* The owner and order must be those of the allocation (asserted). */
void page_free(mpn_t mpn, unsigned order, enum mem_owner owner);

/*
 * Single pages may have several holders, such as address spaces after a fork. page_share() adds
 * one; false: too many already. page_put() takes one away and frees the page after the last.
 * page_references() is 1 for a page of one holder, and then stays 1 until that one shares it.
 */
must_check bool page_share(mpn_t mpn);
void page_put(mpn_t mpn);
uint32_t page_references(mpn_t mpn);
/*
 * A device uses the page: a reference that keeps it where it is, and frees nothing at its end.
 */
static inline must_check bool page_pin(mpn_t mpn)
{
    return page_share(mpn);
}
void page_unpin(mpn_t mpn);

/* Pages of 4 KB that the allocator manages; those of them that nobody has now. Any context. */
uint64_t page_total_count(void);
uint64_t page_free_count(void);
/* The least that was ever free at one moment since boot. */
uint64_t page_free_least(void);
/* Pages that `owner` has now. Any context. */
uint64_t page_owned_count(enum mem_owner owner);
/* The most that it had at one moment since boot. */
uint64_t page_owned_most(enum mem_owner owner);
/* Logs pages and heap bytes by owner. */
void mem_print_owners(void);

/* Where the kernel sees that page. Any context. */
static inline void *mpn_map(mpn_t mpn);
#include "plat/plat.h"
static inline void *mpn_map(mpn_t mpn)
{
    return plat_map(mpn_to_paddr(mpn));
}
