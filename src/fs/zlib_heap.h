// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/zlib_heap.h -- zlib's memory from the kernel's heap, for everybody in fs/ who packs or unpacks.
 *
 * zlib asks for its memory through two functions of its stream; without them it would call
 * malloc().
 */
#pragma once

#include "core/heap.h"
#include "zlib.h"

static inline voidpf zlib_heap_take(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return heap_alloc((size_t)items * size, MEM_OWNER_FS);
}

static inline void zlib_heap_give(voidpf opaque, voidpf address)
{
    (void)opaque;
    heap_free(address);
}

/* A stream for inflateInit() or deflateInit(). */
static inline z_stream zlib_heap_stream(void)
{
    return (z_stream){.zalloc = zlib_heap_take, .zfree = zlib_heap_give};
}
