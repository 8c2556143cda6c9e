// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/ring.h -- a queue of bytes in pages that come and go with what is in it.
 *
 * For pipes and stream sockets. Not locked: the owner does that.
 */
#pragma once

#include "lib/types.h"

#define RING_PAGES_MAX 16u

struct ring {
    uint32_t size;  // bytes at most; a multiple of the page
    uint32_t head;  // next byte to read, modulo size
    uint32_t used;  // bytes in it
    void *pages[RING_PAGES_MAX];
};

/* Takes no memory yet. `size` is a multiple of the page, at most RING_PAGES_MAX pages. */
void ring_init(struct ring *ring, uint32_t size);
/* Gives its pages back. */
void ring_end(struct ring *ring);
/* Throws away what is in it. */
void ring_drop(struct ring *ring);
static inline size_t ring_used(const struct ring *ring)
{
    return ring->used;
}
static inline size_t ring_room(const struct ring *ring)
{
    return ring->size - ring->used;
}
/* As many as are there. */
size_t ring_read(struct ring *ring, void *to, size_t size);
/* The same, and they stay. */
size_t ring_peek(const struct ring *ring, void *to, size_t size);
/* As many as there is room and memory for. */
size_t ring_write(struct ring *ring, const void *from, size_t size);
