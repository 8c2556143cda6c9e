// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/compress.c -- pages through zlib, at its fastest level and with a window as large as a page.
 *
 * A page is packed because memory is short, so nothing here may need memory then: both streams
 * are made once and reset for each page. zlib is linked for archives and disks already; at
 * level 1 its ratio is better than LZ4's, for some three times the work.
 *
 * Invariants
 *   - inflate() gets the whole input and room for a whole page in one call, so that it needs no
 *     window and calls no allocator.
 * Locking    none: the caller's, see the header.
 * Sources    zlib.h
 */
#include "vmm/compress.h"

#include "fs/zlib_heap.h"
#include "mem/addr.h"

#define WINDOW_BITS  (-12)  // raw, 4 KB
#define MEMORY_LEVEL 5      // 12 bits of hash

struct compressor {
    z_stream in, out;
    bool in_made, out_made;
};

vmk_status compressor_create(struct compressor **out)
{
    struct compressor *c = heap_alloc(sizeof(*c), MEM_OWNER_VMM);

    if (!c)
        return VMK_NO_MEMORY;
    c->in = c->out = zlib_heap_stream();
    c->in_made = deflateInit2(&c->in, 1, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                              Z_DEFAULT_STRATEGY) == Z_OK;
    c->out_made = inflateInit2(&c->out, WINDOW_BITS) == Z_OK;
    if (!c->in_made || !c->out_made) {
        compressor_destroy(c);
        return VMK_NO_MEMORY;
    }
    *out = c;
    return VMK_OK;
}

void compressor_destroy(struct compressor *c)
{
    if (!c)
        return;
    if (c->in_made)
        (void)deflateEnd(&c->in);
    if (c->out_made)
        (void)inflateEnd(&c->out);
    heap_free(c);
}

size_t compressor_pack(struct compressor *c, const void *page, void *out, size_t room)
{
    if (deflateReset(&c->in) != Z_OK)
        return 0;
    c->in.next_in = (z_const Bytef *)(uintptr_t)page;
    c->in.avail_in = PAGE_SIZE;
    c->in.next_out = out;
    c->in.avail_out = (uInt)room;
    return deflate(&c->in, Z_FINISH) == Z_STREAM_END ? room - c->in.avail_out : 0;
}

bool compressor_unpack(struct compressor *c, const void *packed, size_t size, void *page)
{
    if (inflateReset(&c->out) != Z_OK)
        return false;
    c->out.next_in = (z_const Bytef *)(uintptr_t)packed;
    c->out.avail_in = (uInt)size;
    c->out.next_out = page;
    c->out.avail_out = PAGE_SIZE;
    return inflate(&c->out, Z_FINISH) == Z_STREAM_END && c->out.avail_out == 0;
}
