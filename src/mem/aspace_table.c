// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_table.c -- the page tables of a user address space.
 *
 * Four levels of 512 entries in machine pages, reached through the direct map. Only the lower
 * half is ours; plat_user_root_init() fills the upper half with what ring 0 needs. Tables are
 * made on demand and kept until the space is freed: an unmapped range is often mapped again,
 * and freeing a table would need the same care with other CPUs' paging-structure caches as a
 * page.
 *
 * Invariants
 *   - Every present entry holds one reference to its page: page_share(), or the object's
 *     page_ref() if PTE_OBJECT is set.
 *   - An entry that is not present is empty, names a slot of the pager's store of which it has
 *     a reference, or holds a page that leaves (aspace_swap.c).
 *   - An entry is writable only if a write needs nothing else: the page is this space's alone,
 *     or the region is shared and its object knows of the write.
 *   - Upper levels allow everything; the last level decides.
 * Locking    aspace.lock for all of it, except aspace_tables_free(): the last user is gone.
 * Sources    SDM-3A "4-Level Paging and 5-Level Paging"
 */
#include "core/assert.h"
#include "mem/aspace_internal.h"

#define ENTRIES 512u

static unsigned index_at(uint64_t va, unsigned level)
{
    return (unsigned)(va >> (PAGE_SHIFT + 9 * level)) & (ENTRIES - 1);
}

static uint64_t *table_at(uint64_t entry)
{
    return plat_map(paddr_make(entry & PTE_ADDRESS));
}

uint64_t *aspace_entry(struct aspace *as, uint64_t va, bool make)
{
    uint64_t *table = plat_map(as->root);

    vmk_assert(va < ASPACE_END);
    for (unsigned level = 3; level > 0; level--) {
        uint64_t *entry = &table[index_at(va, level)];

        if (!(*entry & PTE_P)) {
            mpn_t mpn;

            if (!make || page_alloc_zeroed(0, MEM_OWNER_USER, &mpn) != VMK_OK)
                return NULL;
            *entry = mpn_to_paddr(mpn).raw | PTE_TABLE;
            as->use.table_pages++;
        }
        table = table_at(*entry);
    }
    return &table[index_at(va, 0)];
}

uint64_t *aspace_entry_next(struct aspace *as, uint64_t *va, uint64_t end)
{
    while (*va < end) {
        uint64_t *table = plat_map(as->root);
        unsigned level = 3;

        for (; level > 0; level--) {
            uint64_t entry = table[index_at(*va, level)];

            if (!(entry & PTE_P))
                break;
            table = table_at(entry);
        }
        if (level > 0) {  // nothing below that entry: on to the next one
            uint64_t span = PAGE_SIZE << (9 * level);

            *va = round_down(*va, span) + span;
            continue;
        }
        for (unsigned i = index_at(*va, 0); i < ENTRIES && *va < end; i++, *va += PAGE_SIZE) {
            if (table[i])
                return &table[i];
        }
    }
    return NULL;
}

uint64_t aspace_entry_make(mpn_t mpn, unsigned protection, bool writable)
{
    /* Without any permission the page stays, out of reach of ring 3. */
    uint64_t entry = mpn_to_paddr(mpn).raw | PTE_P | (protection ? PTE_U : 0u);

    if (writable && (protection & ASPACE_WRITE))
        entry |= PTE_W;
    if (!(protection & ASPACE_EXEC))
        entry |= PTE_NX;
    return entry;
}

void aspace_entry_install(struct aspace *as, uint64_t *entry, mpn_t mpn, unsigned protection,
                          bool writable, bool object)
{
    vmk_assert(!*entry);
    if (protection & ASPACE_EXEC)
        plat_user_code_changed(mpn_to_paddr(mpn), PAGE_SIZE);
    /* The page's contents are written before its address can be read by a table walk. */
    __atomic_store_n(entry,
                     aspace_entry_make(mpn, protection, writable) | PTE_A |
                         (object ? PTE_OBJECT : 0u),
                     __ATOMIC_RELEASE);
    as->use.resident_pages++;
    if (as->use.resident_pages > as->use.peak_pages)
        as->use.peak_pages = as->use.resident_pages;
}

static void free_level(uint64_t *table, unsigned level, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!table[i])
            continue;
        if (aspace_entry_is_swapped(table[i])) {
            aspace_pager()->slot_put(aspace_entry_slot(table[i]));
            continue;
        }

        mpn_t mpn = paddr_to_mpn(paddr_make(table[i] & PTE_ADDRESS));

        if (level > 0) {
            free_level(table_at(table[i]), level - 1, ENTRIES);
            page_free(mpn, 0, MEM_OWNER_USER);
        } else {
            vmk_assert(!(table[i] & PTE_OBJECT));  // gone before, with the region
            page_put(mpn);
        }
    }
}

void aspace_tables_free(struct aspace *as)
{
    free_level(plat_map(as->root), 3, ENTRIES / 2);
    page_free(paddr_to_mpn(as->root), 0, MEM_OWNER_USER);
}
