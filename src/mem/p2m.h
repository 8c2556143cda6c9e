// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/p2m.h -- a VM's memory, page by page: where each guest page is now.
 *
 * An entry of 8 bytes for each page of RAM, in chunks of 512 that are made when the first page
 * of theirs is set, so that a large VM costs what it touches. What a state means for mappings
 * is the VMM's affair; this is the book.
 *
 *            touched                      given away, guest's wish
 *     NONE ──────────► PRESENT ─────────────────────────► BALLOONED
 *                       │   ▲ written: copied                  │ touched: a new page
 *               equal   ▼   │                                  ▼
 *                      SHARED                               PRESENT
 *
 *     PRESENT ──► LEAVING ──► COMPRESSED ──► SWAPPED       the way out; any touch brings it back
 *
 * Invariants
 *   - value is a machine page number where p2m_has_page(), the place of a page that is
 *     COMPRESSED or SWAPPED, else 0.
 *   - count[s] is the number of entries in state s.
 *   - No entry of a chunk that is large changes: it is made small first (vmm/vm_large.c).
 *   - A machine page that is not SHARED has a reference more for each device transfer that uses
 *     it (page_pin()); it is PRESENT then, and stays.
 * Locking    the VM's lock, but for p2m_look(), which may be called without.
 */
#pragma once

#include "mem/page.h"

#define P2M_CHUNK 512u

enum p2m_state {
    P2M_NONE,  // never touched, or given back as zeroes
    P2M_PRESENT,
    P2M_SAMPLED,  // there, and the next touch is counted: not mapped
    // There, and goes unless it is touched before all vCPUs have seen that: not mapped.
    P2M_LEAVING,
    P2M_FROZEN,  // there, and somebody looks whether it can be shared: read-only
    P2M_SHARED,  // read-only, with others or not
    P2M_BALLOONED,
    P2M_COMPRESSED,  // value: in the VM's compression cache
    P2M_SWAPPED,     // value: slot of the VM's swap store
    P2M_STATE_COUNT
};

static inline bool p2m_has_page(unsigned state)
{
    return state >= P2M_PRESENT && state <= P2M_SHARED;
}

struct p2m_page {
    uint8_t state;  // enum p2m_state
    uint8_t unused[3];
    uint32_t value;
};

/* 2 MB of guest memory. */
struct p2m_chunk {
    struct p2m_page *pages;  // null: all NONE
    uint16_t used;           // not NONE
    bool large;              // all PRESENT in one block, mapped by one entry
};

struct p2m {
    struct p2m_chunk *chunks;
    uint64_t page_count;
    uint64_t count[P2M_STATE_COUNT];
};

/* How many pages have memory. */
static inline uint64_t p2m_granted(const struct p2m *p)
{
    uint64_t granted = 0;

    for (unsigned s = P2M_PRESENT; s <= P2M_SHARED; s++)
        granted += p->count[s];
    return granted;
}

/* Room for so many pages, all NONE. LIMIT above 16 TB, NO_MEMORY. */
must_check vmk_status p2m_init(struct p2m *p, uint64_t pages);
/* The machine pages must have been taken out before. */
void p2m_destroy(struct p2m *p);
static inline struct p2m_page p2m_get(const struct p2m *p, uint64_t index)
{
    const struct p2m_page *chunk =
        __atomic_load_n(&p->chunks[index / P2M_CHUNK].pages, __ATOMIC_ACQUIRE);

    return chunk ? chunk[index % P2M_CHUNK] : (struct p2m_page){.state = P2M_NONE};
}
/* The same in one load, for readers without the lock. */
static inline struct p2m_page p2m_look(const struct p2m *p, uint64_t index)
{
    struct p2m_page *chunk =
        __atomic_load_n(&p->chunks[index / P2M_CHUNK].pages, __ATOMIC_ACQUIRE);
    union {
        uint64_t raw;
        struct p2m_page page;
    } both = {.raw = 0};

    if (chunk)
        both.raw =
            __atomic_load_n((uint64_t *)(void *)&chunk[index % P2M_CHUNK], __ATOMIC_ACQUIRE);
    return both.page;
}
/* Makes the chunk of that page, so that setting it cannot fail. NO_MEMORY. */
must_check vmk_status p2m_chunk_make(struct p2m *p, uint64_t index);
must_check static inline vmk_status p2m_reserve(struct p2m *p, uint64_t index)
{
    return __builtin_expect(p->chunks[index / P2M_CHUNK].pages != NULL, 1)
               ? VMK_OK
               : p2m_chunk_make(p, index);
}
/* p2m_reserve() was there before. */
void p2m_set(struct p2m *p, uint64_t index, enum p2m_state state, mpn_t mpn);
/* The same for a page that is kept elsewhere: COMPRESSED or SWAPPED. */
void p2m_set_away(struct p2m *p, uint64_t index, enum p2m_state state, uint32_t value);
/*
 * The machine pages from `mpn` on become the chunk's, all PRESENT, and it is large. It was
 * untouched.
 */
void p2m_set_large(struct p2m *p, uint64_t index, mpn_t mpn);
/* Whether the chunk of this page is mapped by one entry. */
static inline bool p2m_is_large(const struct p2m *p, uint64_t index)
{
    return p->chunks[index / P2M_CHUNK].large;
}
void p2m_large_set(struct p2m *p, uint64_t index, bool large);
/* All 512 there and NONE. Without the lock: a guess. */
static inline bool p2m_untouched(const struct p2m *p, uint64_t index)
{
    const struct p2m_chunk *c = &p->chunks[index / P2M_CHUNK];

    return __atomic_load_n(&c->used, __ATOMIC_RELAXED) == 0 &&
           (index / P2M_CHUNK + 1) * P2M_CHUNK <= p->page_count;
}
