// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/nested.c -- the one walker over nested page tables, EPT and NPT alike.
 *
 * The two formats have four levels of 512 eight-byte entries with the machine address in bits
 * 51:12; struct nested_format names the bits in which they differ. Table pages are counted and
 * owned by MEM_OWNER_P2M, so a VM's overhead can be printed and must be zero after it is gone.
 *
 * Invariants: an entry at level 1, or at level 2 with large_bits, is a leaf; a table is never
 * freed while the table above points to it, nor while it is last_table; no guest memory is
 * freed here.
 * Locking: the VM's lock guards every change. A hardware walker may read at any time, so an
 * entry is written with one store, after what it points to.
 *
 * Sources: SDM-3C, "The Extended Page Table Mechanism"; APM-2, "Nested Paging".
 */
#include "vmm/nested.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mem/page.h"

#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define LEVELS        4u
#define ENTRIES       512u

static unsigned entry_index(gpa_t gpa, unsigned level)
{
    return (unsigned)(gpa.raw >> (PAGE_SHIFT + 9 * (level - 1))) & (ENTRIES - 1);
}

static uint64_t *entry_table(uint64_t entry)
{
    return plat_map(paddr_make(entry & ENTRY_ADDRESS));
}

static bool entry_is_leaf(const struct nested_format *f, uint64_t entry, unsigned level)
{
    return level == 1 ||
           (level == 2 && f->large_bits && (entry & f->large_bits) == f->large_bits);
}

vmk_status nested_init(struct nested_table *t, const struct nested_format *format)
{
    vmk_status status = page_alloc_zeroed(0, MEM_OWNER_P2M, &t->root);

    if (status != VMK_OK)
        return status;
    t->format = format;
    t->table_count = 1;
    return VMK_OK;
}

static void table_free(struct nested_table *t, uint64_t *table, unsigned level)
{
    for (unsigned i = 0; i < ENTRIES && level > 1; i++) {
        uint64_t entry = table[i];

        if (!(entry & t->format->present_mask) || entry_is_leaf(t->format, entry, level))
            continue;
        table_free(t, entry_table(entry), level - 1);
        page_free(mpn_make((entry & ENTRY_ADDRESS) >> PAGE_SHIFT), 0, MEM_OWNER_P2M);
        t->table_count--;
    }
}

void nested_destroy(struct nested_table *t)
{
    if (!t->format)
        return;
    t->last_table = NULL;
    table_free(t, mpn_map(t->root), LEVELS);
    page_free(t->root, 0, MEM_OWNER_P2M);
    t->table_count--;
    vmk_assert_slow(t->table_count == 0);
    t->format = NULL;
}

/*
 * The table of level `last` for gpa, made with those above it if need be. Apart, so that
 * nested_map() mostly saves few registers.
 */
static __attribute__((noinline)) vmk_status table_make(struct nested_table *t, gpa_t gpa,
                                                       unsigned last, uint64_t **out)
{
    const struct nested_format *f = t->format;
    uint64_t *table = mpn_map(t->root);

    for (unsigned level = LEVELS; level > last; level--) {
        uint64_t *entry = &table[entry_index(gpa, level)];

        if (!(*entry & f->present_mask)) {
            mpn_t page;
            vmk_status status = page_alloc_zeroed(0, MEM_OWNER_P2M, &page);

            if (status != VMK_OK)
                return status;
            t->table_count++;
            __atomic_store_n(entry, mpn_to_paddr(page).raw | f->table_bits, __ATOMIC_RELEASE);
        } else if (entry_is_leaf(f, *entry, level)) {
            return VMK_EXISTS;
        }
        table = entry_table(*entry);
    }
    *out = table;
    return VMK_OK;
}

vmk_status nested_map(struct nested_table *t, gpa_t gpa, mpn_t mpn, bool writable, bool large)
{
    const struct nested_format *f = t->format;
    unsigned last = large ? 2 : 1;
    uint64_t *table = t->last_table;
    vmk_status status;

    if (gpa.raw >> 48)
        return VMK_BAD_PARAM;
    if (large && ((gpa.raw | (mpn.raw << PAGE_SHIFT)) & (BIT(21) - 1)))
        return VMK_BAD_PARAM;
    // A guest that touches new memory does so in order.
    if (large || !table || gpa.raw >> 21 != t->last_part) {
        status = table_make(t, gpa, last, &table);
        if (status != VMK_OK)
            return status;
        if (!large) {
            t->last_table = table;
            t->last_part = gpa.raw >> 21;
        }
    }

    uint64_t *entry = &table[entry_index(gpa, last)];
    uint64_t bits = f->leaf_bits | (large ? f->large_bits : 0);

    if (*entry & f->present_mask)
        return VMK_EXISTS;
    if (!writable)
        bits &= ~f->write_bit;
    __atomic_store_n(entry, mpn_to_paddr(mpn).raw | bits, __ATOMIC_RELEASE);
    return VMK_OK;
}

/* The slot of the leaf that translates gpa, and its level; null if there is none. */
static uint64_t *leaf_slot(const struct nested_table *t, gpa_t gpa, unsigned *out_level)
{
    uint64_t *table = mpn_map(t->root);

    if (gpa.raw >> 48)
        return NULL;
    for (unsigned level = LEVELS; level >= 1; level--) {
        uint64_t *entry = &table[entry_index(gpa, level)];

        if (!(*entry & t->format->present_mask))
            return NULL;
        if (entry_is_leaf(t->format, *entry, level)) {
            *out_level = level;
            return entry;
        }
        table = entry_table(*entry);
    }
    return NULL;
}

vmk_status nested_unmap(struct nested_table *t, gpa_t gpa)
{
    unsigned level;
    uint64_t *slot = leaf_slot(t, gpa, &level);

    if (!slot)
        return VMK_NOT_FOUND;
    __atomic_store_n(slot, 0, __ATOMIC_RELEASE);
    return VMK_OK;
}

vmk_status nested_protect(struct nested_table *t, gpa_t gpa, bool writable)
{
    unsigned level;
    uint64_t *slot = leaf_slot(t, gpa, &level);

    if (!slot)
        return VMK_NOT_FOUND;
    __atomic_store_n(slot,
                     writable ? *slot | t->format->write_bit : *slot & ~t->format->write_bit,
                     __ATOMIC_RELEASE);
    return VMK_OK;
}

vmk_status nested_replace(struct nested_table *t, gpa_t gpa, mpn_t mpn)
{
    unsigned level;
    uint64_t *slot = leaf_slot(t, gpa, &level);

    if (!slot || level != 1)
        return VMK_NOT_FOUND;
    __atomic_store_n(slot,
                     mpn_to_paddr(mpn).raw | (t->format->leaf_bits & ~t->format->write_bit),
                     __ATOMIC_RELEASE);
    return VMK_OK;
}

uint64_t nested_lookup(const struct nested_table *t, gpa_t gpa, unsigned *level)
{
    unsigned found = 0;
    const uint64_t *slot = leaf_slot(t, gpa, &found);

    if (level)
        *level = found;
    return slot ? *slot : 0;
}

vmk_status nested_split(struct nested_table *t, gpa_t gpa)
{
    unsigned level;
    uint64_t *slot = leaf_slot(t, gpa, &level);
    uint64_t *table, entry;
    vmk_status status;
    mpn_t page;

    if (!slot || level != 2)
        return VMK_NOT_FOUND;
    status = page_alloc(0, MEM_OWNER_P2M, &page);
    if (status != VMK_OK)
        return status;
    table = mpn_map(page);
    entry = *slot & ~t->format->large_bits;
    for (unsigned i = 0; i < ENTRIES; i++)
        table[i] = entry + ((uint64_t)i << PAGE_SHIFT);
    t->table_count++;
    __atomic_store_n(slot, mpn_to_paddr(page).raw | t->format->table_bits, __ATOMIC_RELEASE);
    return VMK_OK;
}

vmk_status nested_join(struct nested_table *t, gpa_t gpa, mpn_t mpn, mpn_t *out)
{
    const struct nested_format *f = t->format;
    uint64_t *table = mpn_map(t->root), *slot;

    if ((gpa.raw >> 48) || ((gpa.raw | (mpn.raw << PAGE_SHIFT)) & (BIT(21) - 1)))
        return VMK_BAD_PARAM;
    for (unsigned level = LEVELS;; level--) {
        slot = &table[entry_index(gpa, level)];
        if (!(*slot & f->present_mask) || entry_is_leaf(f, *slot, level))
            return VMK_NOT_FOUND;
        if (level == 2)
            break;
        table = entry_table(*slot);
    }
    t->last_table = NULL;  // it may be the one that goes
    *out = mpn_make((*slot & ENTRY_ADDRESS) >> PAGE_SHIFT);
    t->table_count--;
    __atomic_store_n(slot, mpn_to_paddr(mpn).raw | f->leaf_bits | f->large_bits,
                     __ATOMIC_RELEASE);
    return VMK_OK;
}
