// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/zip_cache.c -- units, lists of pages with room, and the order of age.
 *
 * A handle is 4 * page number + unit + 1, so that it fits beside the state of a page in the
 * P2M.
 *
 * Invariants, locking, sources: vmm/zip_cache.h.
 */
#include "vmm/zip_cache.h"

#include "core/assert.h"
#include "lib/string.h"

enum {
    WITH_PAIR,
    WITH_ONE,
    FULL
};

struct zip_entry {
    uint32_t index;  // of the guest's page
    uint32_t older, newer;
    uint16_t size;  // 0: no entry begins here
};

struct zip_page {
    mpn_t mpn;               // MPN_NONE: given back
    uint8_t used;            // a bit for each unit
    uint8_t list;            // which of the three it is on
    uint32_t before, after;  // number + 1
    struct zip_entry entries[ZIP_UNITS];
};

static struct zip_entry *entry_of(const struct zip_cache *z, uint32_t handle)
{
    struct zip_entry *e;

    vmk_assert(handle && (handle - 1) / ZIP_UNITS < z->made);
    e = &z->pages[(handle - 1) / ZIP_UNITS]->entries[(handle - 1) % ZIP_UNITS];
    vmk_assert(e->size);
    return e;
}

vmk_status zip_cache_init(struct zip_cache *z, uint32_t limit)
{
    *z = (struct zip_cache){.limit = MIN(limit, ZIP_PAGES_MAX)};
    z->pages = heap_alloc(MAX(z->limit, 1u) * sizeof(struct zip_page *), MEM_OWNER_VMM);
    return z->pages ? VMK_OK : VMK_NO_MEMORY;
}

void zip_cache_destroy(struct zip_cache *z)
{
    for (uint32_t i = 0; z->pages && i < z->made; i++) {
        if (z->pages[i] && z->pages[i]->mpn.raw != MPN_NONE_RAW)
            page_free(z->pages[i]->mpn, 0, MEM_OWNER_VMM);
        heap_free(z->pages[i]);
    }
    heap_free(z->pages);
    *z = (struct zip_cache){0};
}

/* ---- pages by what is free in them ---- */

static unsigned list_for(const struct zip_page *p)
{
    if ((p->used & 3) == 0 || (p->used & 12) == 0)
        return WITH_PAIR;
    return p->used == 15 ? FULL : WITH_ONE;
}

static void list_take(struct zip_cache *z, uint32_t number)
{
    struct zip_page *p = z->pages[number];

    if (p->list == FULL)
        return;
    if (p->after)
        z->pages[p->after - 1]->before = p->before;
    if (p->before)
        z->pages[p->before - 1]->after = p->after;
    else
        z->lists[p->list] = p->after;
    p->list = FULL;
}

static void list_put(struct zip_cache *z, uint32_t number)
{
    struct zip_page *p = z->pages[number];

    p->list = (uint8_t)list_for(p);
    if (p->list == FULL)
        return;
    p->before = 0;
    p->after = z->lists[p->list];
    if (p->after)
        z->pages[p->after - 1]->before = number + 1;
    z->lists[p->list] = number + 1;
}

/* A machine page more. False: at the limit, or no memory. */
static bool grow(struct zip_cache *z)
{
    struct zip_page *p;
    uint32_t number = z->empty ? z->empty - 1 : z->made;
    mpn_t mpn;

    if (z->count >= z->limit || page_alloc(0, MEM_OWNER_VMM, &mpn) != VMK_OK)
        return false;
    p = z->empty ? z->pages[number] : heap_alloc(sizeof(*p), MEM_OWNER_VMM);
    if (!p) {
        page_free(mpn, 0, MEM_OWNER_VMM);
        return false;
    }
    if (z->empty)
        z->empty = p->after;
    else
        z->made++;
    z->pages[number] = p;
    *p = (struct zip_page){.mpn = mpn, .list = FULL};
    z->count++;
    list_put(z, number);
    return true;
}

/* ---- entries ---- */

static void age_add(struct zip_cache *z, uint32_t handle)
{
    struct zip_entry *e = entry_of(z, handle);

    e->older = z->newest;
    e->newer = 0;
    if (z->newest)
        entry_of(z, z->newest)->newer = handle;
    else
        z->oldest = handle;
    z->newest = handle;
}

static void age_remove(struct zip_cache *z, const struct zip_entry *e)
{
    if (e->older)
        entry_of(z, e->older)->newer = e->newer;
    else
        z->oldest = e->newer;
    if (e->newer)
        entry_of(z, e->newer)->older = e->older;
    else
        z->newest = e->older;
}

uint32_t zip_cache_store(struct zip_cache *z, uint32_t index, const void *packed, size_t size)
{
    bool two = size > ZIP_UNIT;
    uint32_t number, unit = 0;
    struct zip_page *p;

    vmk_assert(size > 0 && size <= ZIP_ROOM);
    number = !two && z->lists[WITH_ONE] ? z->lists[WITH_ONE] : z->lists[WITH_PAIR];
    if (!number) {
        if (!grow(z))
            return 0;
        number = z->lists[WITH_PAIR];
    }
    p = z->pages[--number];
    if (two)
        unit = (p->used & 3) == 0 ? 0 : 2;
    else
        unit = (uint32_t)__builtin_ctz(~(unsigned)p->used);
    list_take(z, number);
    p->used = (uint8_t)(p->used | (two ? 3u : 1u) << unit);
    list_put(z, number);
    p->entries[unit] = (struct zip_entry){.index = index, .size = (uint16_t)size};
    memcpy((uint8_t *)mpn_map(p->mpn) + (size_t)unit * ZIP_UNIT, packed, size);
    age_add(z, number * ZIP_UNITS + unit + 1);
    z->entries++;
    z->bytes += size;
    return number * ZIP_UNITS + unit + 1;
}

const void *zip_cache_data(const struct zip_cache *z, uint32_t handle, size_t *size,
                           uint32_t *index)
{
    const struct zip_entry *e = entry_of(z, handle);

    *size = e->size;
    *index = e->index;
    return (const uint8_t *)mpn_map(z->pages[(handle - 1) / ZIP_UNITS]->mpn) +
           (size_t)((handle - 1) % ZIP_UNITS) * ZIP_UNIT;
}

void zip_cache_drop(struct zip_cache *z, uint32_t handle)
{
    struct zip_entry *e = entry_of(z, handle);
    uint32_t number = (handle - 1) / ZIP_UNITS;
    struct zip_page *p = z->pages[number];
    unsigned mask = (e->size > ZIP_UNIT ? 3u : 1u) << (handle - 1) % ZIP_UNITS;

    age_remove(z, e);
    z->entries--;
    z->bytes -= e->size;
    e->size = 0;
    list_take(z, number);
    p->used = (uint8_t)(p->used & ~mask);
    if (p->used) {
        list_put(z, number);
        return;
    }
    page_free(p->mpn, 0, MEM_OWNER_VMM);
    p->mpn = mpn_make(MPN_NONE_RAW);
    p->after = z->empty;
    z->empty = number + 1;
    z->count--;
}

uint32_t zip_cache_oldest(const struct zip_cache *z)
{
    return z->oldest;
}

uint32_t zip_cache_younger(const struct zip_cache *z, uint32_t handle)
{
    return entry_of(z, handle)->newer;
}
