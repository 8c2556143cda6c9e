// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_internal.h -- struct aspace and what the files of an address space share.
 */
#pragma once

#include "lib/x86.h"
#include "mem/aspace.h"
#include "mem/page.h"
#include "plat/plat_user.h"

/* Bits of table entries that lib/x86.h does not have. */
#define PTE_OBJECT  0x200ull  // ours: the page belongs to the region's object
#define PTE_TABLE   (PTE_P | PTE_W | PTE_U)
/*
 * Of entries that are not present: the slot is where an address would be; the page that leaves
 * is still there.
 */
#define PTE_SWAPPED 0x400ull
#define PTE_LEAVING 0x800ull

struct region {
    struct list link;
    uint64_t start, end;  // [start, end), page aligned
    unsigned protection;
    bool shared;
    bool locked;  // mlock: nothing is taken away
    bool never_write;
    enum aspace_region_kind kind;
    unsigned at_fork;              // ASPACE_FORK_*
    struct aspace_object *object;  // one reference, or null
    uint64_t offset;               // of `start` in the object, in pages
};

/* What a CPU knows of the space; its own cache line, because ring 3 entry and exit write it. */
struct aspace_cpu {
    uint64_t entered;  // (a) generation at which it runs ring 3, 0: it does not
    uint64_t seen;     // (c) translations of that generation are in its TLB at the oldest
} aligned_to(64);

struct aspace {
    struct spinlock lock;  // rank ASPACE
    uint32_t refs;         // (a)
    paddr_t root;          // (i)

    struct list regions;      // (w) by address, disjoint
    struct region *hint;      // (w) found last, or null
    uint32_t region_count;    // (w)
    uint64_t map_generation;  // (w) grows with each change of a region
    uint64_t heap_start;      // (w)
    uint64_t heap_end;        // (w) not rounded
    bool lock_future;         // (w) regions made from now on are locked
    struct aspace_limits limits;
    struct aspace_use use;  // (w)

    uint64_t generation;  // (a) grows, under lock, when a translation is taken away
    struct aspace_cpu cpus[PLAT_CPUS_MAX];
};

#define ASPACE_REGIONS_MAX 16384u

/* ---- aspace_table.c: all with the lock held ---- */
/*
 * The entry of that page, or null if its table is missing (and `make` is false or memory is
 * out).
 */
uint64_t *aspace_entry(struct aspace *as, uint64_t va, bool make);
uint64_t aspace_entry_make(mpn_t mpn, unsigned protection, bool writable);
/*
 * Puts `mpn`, whose reference it takes over, into an entry that is not present; `object`: the
 * page is the object's.
 */
void aspace_entry_install(struct aspace *as, uint64_t *entry, mpn_t mpn, unsigned protection,
                          bool writable, bool object);
void aspace_tables_free(struct aspace *as);
/* The first entry at or after *va and before `end` that is not empty; null: none. */
uint64_t *aspace_entry_next(struct aspace *as, uint64_t *va, uint64_t end);

/* ---- aspace_tlb.c ---- */
/*
 * Pages taken out of the tables wait here until no CPU can reach them: fill it under the lock,
 * then flush, drop the lock and finish. It never holds more than GATHER_MAX pages.
 */
#define GATHER_MAX 64u
struct gathered {
    mpn_t mpn;
    struct aspace_object *object;  // whose page it is, one reference; null: ours
    uint64_t index;
};
struct tlb_gather {
    struct gathered pages[GATHER_MAX];
    unsigned count;
    uint64_t generation;  // to wait for; 0: nothing was flushed
};
static inline void gather_init(struct tlb_gather *gather)
{
    gather->count = 0;
    gather->generation = 0;
}
/* Lock held: the page behind an entry of that region, about to be cleared or replaced. */
void aspace_gather_add(struct tlb_gather *gather, const struct region *r, uint64_t va,
                       uint64_t entry);
/* Lock held: the translations of these pages are no longer valid. */
void aspace_flush_locked(struct aspace *as, struct tlb_gather *gather, uint64_t va,
                         uint64_t count);
/* No lock held: waits until every CPU knows, then gives the pages back. */
void aspace_gather_finish(struct aspace *as, struct tlb_gather *gather);

static inline uint64_t aspace_region_pages(const struct region *r)
{
    return (r->end - r->start) >> PAGE_SHIFT;
}

static inline bool aspace_range_valid(uint64_t address, uint64_t size)
{
    return (address & (PAGE_SIZE - 1)) == 0 && size > 0 && size <= ASPACE_END &&
           address >= ASPACE_LOWEST && address <= ASPACE_END - size;
}

/* ---- aspace_swap.c ---- */
static inline bool aspace_entry_is_swapped(uint64_t entry)
{
    return (entry & (PTE_P | PTE_SWAPPED)) == PTE_SWAPPED;
}
static inline bool aspace_entry_is_leaving(uint64_t entry)
{
    return (entry & (PTE_P | PTE_LEAVING)) == PTE_LEAVING;
}
static inline uint32_t aspace_entry_slot(uint64_t entry)
{
    return (uint32_t)(entry >> PAGE_SHIFT);
}
const struct aspace_pager *aspace_pager(void);
/* Lock held: a page that leaves stays. */
void aspace_entry_keep(const struct region *r, uint64_t *entry);
/*
 * Lock held: what the entry holds, about to be cleared or replaced, goes: a page waits in
 * `gather`.
 */
void aspace_entry_drop(struct aspace *as, struct tlb_gather *gather, const struct region *r,
                       uint64_t va, uint64_t entry);

/* ---- aspace_region.c: lock held, where nothing else is said ---- */
/* The region with that address in it, or null. */
struct region *aspace_region_find(struct aspace *as, uint64_t va);
/* The first region that ends above va, or null. */
struct region *aspace_region_above(struct aspace *as, uint64_t va);
/* Is there no region in [start, end)? */
bool aspace_range_free(struct aspace *as, uint64_t start, uint64_t end);
/* The highest free range of that size below the stack, or 0. */
uint64_t aspace_room_find(struct aspace *as, uint64_t size);
/* Adds a region to the sizes in use, or takes it out: before and after its size changes. */
void aspace_region_count(struct aspace *as, const struct region *r, bool add);
/* Into the list at its place, with its size counted; and out again. */
void aspace_region_link(struct aspace *as, struct region *r);
void aspace_region_unlink(struct aspace *as, struct region *r);
/* The region uses its object from now on, if it has one; aspace_regions_free() ends that. */
void aspace_region_hold(const struct region *r);
/* A copy on no list, with a reference to the object of its own; null: no memory. */
struct region *aspace_region_copy(const struct region *r);
/*
 * Cuts a region in two at `at`, which it contains; `upper`, of any contents, becomes the rest.
 */
void aspace_region_cut(struct aspace *as, struct region *r, struct region *upper, uint64_t at);
/* Merges r with its neighbours where they agree; what is left over goes to `dead`. */
void aspace_region_merge(struct aspace *as, struct region *r, struct list *dead);
/* Free what is on no list any more. No lock held: an object may go with it. [block] */
void aspace_regions_free(struct list *regions);
/* A stack region whose growth to `va` is allowed, grown, or null. */
struct region *aspace_stack_grow(struct aspace *as, uint64_t va);

/* ---- aspace_fault.c ---- */
/* Like aspace_fault(), but a region without write permission is no obstacle (`force`). */
must_check vmk_status aspace_fault_force(struct aspace *as, uint64_t address, unsigned access,
                                         bool force);
