// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/p2m.c -- the book of a VM's pages: chunks and counts.
 *
 * An entry changes in one store of 8 bytes, so who looks without the lock sees the old or the
 * new.
 *
 * Invariants, locking: mem/p2m.h.
 */
#include "mem/p2m.h"

#include "core/assert.h"

_Static_assert(sizeof(struct p2m_page) == 8, "an entry changes in one store");
_Static_assert(sizeof(struct p2m_page) * P2M_CHUNK == PAGE_SIZE, "a chunk is a page");

vmk_status p2m_init(struct p2m *p, uint64_t pages)
{
    uint64_t chunks = (pages + P2M_CHUNK - 1) / P2M_CHUNK;

    if (pages > UINT32_MAX)
        return VMK_LIMIT;
    *p = (struct p2m){.page_count = pages};
    p->count[P2M_NONE] = pages;
    p->chunks = heap_alloc(chunks * sizeof(p->chunks[0]), MEM_OWNER_P2M);
    return p->chunks ? VMK_OK : VMK_NO_MEMORY;
}

void p2m_destroy(struct p2m *p)
{
    if (!p->chunks)
        return;
    for (unsigned s = 0; s < P2M_STATE_COUNT; s++)
        vmk_assert(!p2m_has_page(s) || p->count[s] == 0);
    for (uint64_t i = 0; i < (p->page_count + P2M_CHUNK - 1) / P2M_CHUNK; i++) {
        if (p->chunks[i].pages)
            page_free(paddr_to_mpn(plat_unmap_address(p->chunks[i].pages)), 0, MEM_OWNER_P2M);
    }
    heap_free(p->chunks);
    p->chunks = NULL;
}

vmk_status p2m_chunk_make(struct p2m *p, uint64_t index)
{
    struct p2m_page **chunk = &p->chunks[index / P2M_CHUNK].pages;
    vmk_status status;
    mpn_t mpn;

    vmk_assert(index < p->page_count);
    status = page_alloc_zeroed(0, MEM_OWNER_P2M, &mpn);
    if (status == VMK_OK)
        __atomic_store_n(chunk, (struct p2m_page *)mpn_map(mpn), __ATOMIC_RELEASE);
    return status;
}

static struct p2m_page *entry(struct p2m *p, uint64_t index)
{
    vmk_assert(index < p->page_count && p->chunks[index / P2M_CHUNK].pages);
    return &p->chunks[index / P2M_CHUNK].pages[index % P2M_CHUNK];
}

static void store(struct p2m_page *at, struct p2m_page page)
{
    const union {
        struct p2m_page page;
        uint64_t raw;
    } both = {.page = page};

    __atomic_store_n((uint64_t *)(void *)at, both.raw, __ATOMIC_RELEASE);
}

static void change(struct p2m *p, uint64_t index, enum p2m_state state, uint32_t value)
{
    struct p2m_chunk *chunk = &p->chunks[index / P2M_CHUNK];
    struct p2m_page *e = entry(p, index);

    vmk_assert(!chunk->large);
    p->count[e->state]--;
    p->count[state]++;
    __atomic_store_n(&chunk->used,
                     (uint16_t)(chunk->used + (state != P2M_NONE) - (e->state != P2M_NONE)),
                     __ATOMIC_RELAXED);
    store(e, (struct p2m_page){.state = (uint8_t)state, .value = value});
}

void p2m_set(struct p2m *p, uint64_t index, enum p2m_state state, mpn_t mpn)
{
    vmk_assert(p2m_has_page(state) == (mpn.raw != MPN_NONE_RAW) && mpn.raw <= UINT32_MAX);
    vmk_assert(state != P2M_COMPRESSED && state != P2M_SWAPPED);
    change(p, index, state, p2m_has_page(state) ? (uint32_t)mpn.raw : 0);
}

void p2m_set_away(struct p2m *p, uint64_t index, enum p2m_state state, uint32_t value)
{
    vmk_assert(state == P2M_COMPRESSED || state == P2M_SWAPPED);
    change(p, index, state, value);
}

void p2m_set_large(struct p2m *p, uint64_t index, mpn_t mpn)
{
    struct p2m_chunk *chunk = &p->chunks[index / P2M_CHUNK];

    vmk_assert(p2m_untouched(p, index) && chunk->pages && !(mpn.raw % P2M_CHUNK));
    for (uint32_t i = 0; i < P2M_CHUNK; i++)
        store(&chunk->pages[i],
              (struct p2m_page){.state = P2M_PRESENT, .value = (uint32_t)mpn.raw + i});
    p->count[P2M_NONE] -= P2M_CHUNK;
    p->count[P2M_PRESENT] += P2M_CHUNK;
    chunk->used = P2M_CHUNK;
    chunk->large = true;
}

void p2m_large_set(struct p2m *p, uint64_t index, bool large)
{
    p->chunks[index / P2M_CHUNK].large = large;
}
