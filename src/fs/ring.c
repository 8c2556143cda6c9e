// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/ring.c -- a queue of bytes in pages that come and go with what is in it.
 *
 * A shell makes many pipes and most are nearly empty. So a page is taken when the first byte is
 * written to it and given back when the last is read, except one, which stays for the next
 * line.
 *
 * Invariants
 *   - Each page between head and head + used is there.
 * Locking    the owner's.
 */
#include "fs/ring.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mem/page.h"

void ring_init(struct ring *ring, uint32_t size)
{
    vmk_assert(size % PAGE_SIZE == 0 && size / PAGE_SIZE <= RING_PAGES_MAX);
    *ring = (struct ring){.size = size};
}

static void give(struct ring *ring, uint32_t page)
{
    if (ring->pages[page])
        page_free(paddr_to_mpn(plat_unmap_address(ring->pages[page])), 0, MEM_OWNER_FS);
    ring->pages[page] = NULL;
}

void ring_end(struct ring *ring)
{
    for (uint32_t i = 0; i < RING_PAGES_MAX; i++)
        give(ring, i);
}

void ring_drop(struct ring *ring)
{
    ring_end(ring);
    ring->head = ring->used = 0;
}

size_t ring_peek(const struct ring *ring, void *to, size_t size)
{
    size_t length = MIN(size, (size_t)ring->used), done = 0;

    while (done < length) {
        uint32_t from = (uint32_t)((ring->head + done) % ring->size);
        uint32_t at = from % (uint32_t)PAGE_SIZE;
        size_t chunk = MIN(length - done, PAGE_SIZE - at);

        memcpy((char *)to + done, (char *)ring->pages[from / (uint32_t)PAGE_SIZE] + at, chunk);
        done += chunk;
    }
    return done;
}

size_t ring_read(struct ring *ring, void *to, size_t size)
{
    size_t done = 0;

    while (done < size && ring->used) {
        uint32_t page = ring->head / (uint32_t)PAGE_SIZE;
        uint32_t at = ring->head % (uint32_t)PAGE_SIZE;
        uint32_t chunk = (uint32_t)MIN(MIN(size - done, (size_t)ring->used), PAGE_SIZE - at);

        memcpy((char *)to + done, (char *)ring->pages[page] + at, chunk);
        done += chunk;
        ring->used -= chunk;
        ring->head = (ring->head + chunk) % ring->size;
        if (at + chunk == PAGE_SIZE && ring->used + PAGE_SIZE <= ring->size)
            give(ring, page);
    }
    if (!ring->used)
        ring->head -= ring->head % (uint32_t)PAGE_SIZE;  // start the page that is there anew
    return done;
}

size_t ring_write(struct ring *ring, const void *from, size_t size)
{
    size_t done = 0;

    while (done < size && ring->used < ring->size) {
        uint32_t tail = (ring->head + ring->used) % ring->size;
        uint32_t page = tail / (uint32_t)PAGE_SIZE;
        uint32_t at = tail % (uint32_t)PAGE_SIZE;
        uint32_t chunk =
            (uint32_t)MIN(MIN(size - done, (size_t)(ring->size - ring->used)), PAGE_SIZE - at);
        mpn_t mpn;

        if (!ring->pages[page]) {
            if (page_alloc(0, MEM_OWNER_FS, &mpn) != VMK_OK)
                break;
            ring->pages[page] = mpn_map(mpn);
        }
        memcpy((char *)ring->pages[page] + at, (const char *)from + done, chunk);
        done += chunk;
        ring->used += chunk;
    }
    return done;
}
