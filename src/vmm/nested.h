// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/nested.h -- a VM's nested page table (EPT or NPT): guest-physical to machine addresses.
 *
 * One walker for both formats: they differ in bits, not in shape (four levels of 512 entries).
 */
#pragma once

#include "core/status.h"
#include "mem/addr.h"

struct nested_format {
    const char *name;
    uint64_t table_bits;  // a present entry that points to a table
    uint64_t leaf_bits;   // a present 4 KB leaf, read-write-execute, write-back
    uint64_t large_bits;  // added for a 2 MB leaf
    uint64_t write_bit;
    uint64_t present_mask;  // an entry is present if any of these is set
};

struct nested_table {
    const struct nested_format *format;
    mpn_t root;
    uint64_t table_count;  // pages the table itself holds
    uint64_t *last_table;  // the level-1 table that the last 4 KB went into; null: forgotten
    uint64_t last_part;    // and which 2 MB it is of
};

/* An empty table: its root is a page of owner P2M. NO_MEMORY. */
must_check vmk_status nested_init(struct nested_table *t, const struct nested_format *format);
/* Frees the table's own pages, not what they map. No vCPU may use it any more. */
void nested_destroy(struct nested_table *t);
/*
 * Maps one page (large: 2 MB, both aligned). EXISTS if something is mapped there. VM lock held.
 */
must_check vmk_status nested_map(struct nested_table *t, gpa_t gpa, mpn_t mpn, bool writable,
                                 bool large);
/* Removes one mapping; the caller flushes. NOT_FOUND. */
must_check vmk_status nested_unmap(struct nested_table *t, gpa_t gpa);
/* Lets a mapped page be written, or not; the caller flushes. NOT_FOUND. */
must_check vmk_status nested_protect(struct nested_table *t, gpa_t gpa, bool writable);
/* The same place, another machine page, read-only; the caller flushes. 4 KB. NOT_FOUND. */
must_check vmk_status nested_replace(struct nested_table *t, gpa_t gpa, mpn_t mpn);
/* The entry that translates gpa and its level (1 = 4 KB, 2 = 2 MB), 0 if none. */
uint64_t nested_lookup(const struct nested_table *t, gpa_t gpa, unsigned *level);
/*
 * One 2 MB mapping becomes 512 of 4 KB with the same rights; the caller flushes before any of
 * them changes. NOT_FOUND: none there. NO_MEMORY.
 */
must_check vmk_status nested_split(struct nested_table *t, gpa_t gpa);
/*
 * The other way: one writable mapping takes the place of a table that the caller knows to be
 * empty or to say the same. The table's page is the caller's, who flushes and frees it then
 * (MEM_OWNER_P2M). NOT_FOUND: no table there.
 */
must_check vmk_status nested_join(struct nested_table *t, gpa_t gpa, mpn_t mpn, mpn_t *table);
