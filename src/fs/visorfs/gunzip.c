// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/gunzip.c -- gzip files, by zlib.
 *
 * zlib's inflate is built into the kernel from its source (scripts/deps.sh, Makefile), because
 * the packaged library is compiled for programs: it uses vector registers, which belong to the
 * guests.
 * Its memory (7 KB, and a window of 32 KB) comes from the heap and goes when the archive is
 * closed.
 *
 * Invariants
 *   - A byte is handed out only in order; the checksum is known to be right only after
 *     gunzip_finish(), so what was made of the bytes must be thrown away if that fails.
 * Locking    none: one archive, one world.
 * Sources    [RFC1952] for the format; zlib.h
 */
#include "fs/visorfs/gunzip.h"

#include "core/heap.h"
#include "fs/zlib_heap.h"
#include "lib/string.h"

struct gunzip {
    z_stream stream;
    const uint8_t *data;
    size_t size, at;  // of the file
    bool packed, open, ended;
};

vmk_status gunzip_open(const void *data, size_t size, struct gunzip **out)
{
    struct gunzip *z = heap_alloc(sizeof(*z), MEM_OWNER_FS);

    if (!z)
        return VMK_NO_MEMORY;
    z->data = data;
    z->size = size;
    z->packed = size >= 2 && z->data[0] == 0x1f && z->data[1] == 0x8b;
    z->stream = zlib_heap_stream();
    if (z->packed && inflateInit2(&z->stream, 15 + 16) != Z_OK) {
        heap_free(z);
        return VMK_NO_MEMORY;
    }
    z->open = z->packed;
    *out = z;
    return VMK_OK;
}

/* Hands zlib some of the file; uInt is narrower than size_t. */
static void feed(struct gunzip *z)
{
    size_t chunk = MIN(z->size - z->at, (size_t)1 << 30);

    if (z->stream.avail_in || !chunk)
        return;
    z->stream.next_in = (z_const Bytef *)(uintptr_t)(z->data + z->at);
    z->stream.avail_in = (uInt)chunk;
    z->at += chunk;
}

/* Another gzip member may follow; zeros that pad the file do not count. */
static bool next_member(struct gunzip *z)
{
    feed(z);
    if (z->stream.avail_in < 2 || z->stream.next_in[0] != 0x1f || z->stream.next_in[1] != 0x8b)
        return false;
    return inflateReset(&z->stream) == Z_OK;
}

static const char *reason(int code, const z_stream *stream)
{
    if (code == Z_BUF_ERROR)
        return "the compressed data end early";
    if (code == Z_MEM_ERROR)
        return "no memory to unpack it";
    return stream->msg ? stream->msg : "the compressed data are damaged";
}

/* As many as there are, up to `size`. */
static vmk_status unpack(struct gunzip *z, void *to, size_t size, size_t *done,
                         const char **what)
{
    *done = 0;
    while (*done < size && !z->ended) {
        uInt room = (uInt)MIN(size - *done, (size_t)1 << 30);
        int code;

        feed(z);
        z->stream.next_out = (Bytef *)to + *done;
        z->stream.avail_out = room;
        code = inflate(&z->stream, Z_NO_FLUSH);
        *done += room - z->stream.avail_out;
        if (code == Z_STREAM_END) {
            z->ended = !next_member(z);
        } else if (code != Z_OK) {
            *what = reason(code, &z->stream);
            return code == Z_MEM_ERROR ? VMK_NO_MEMORY : VMK_BAD_FORMAT;
        }
    }
    return VMK_OK;
}

vmk_status gunzip_read(struct gunzip *z, void *to, size_t size, const char **what)
{
    size_t done = MIN(size, z->size - z->at);
    vmk_status status = VMK_OK;

    if (z->packed) {
        status = unpack(z, to, size, &done, what);
    } else {
        memcpy(to, z->data + z->at, done);
        z->at += done;
    }
    if (status == VMK_OK && done < size) {
        *what = "the archive ends early";
        status = VMK_BAD_FORMAT;
    }
    return status;
}

vmk_status gunzip_finish(struct gunzip *z, const char **what)
{
    uint8_t rest[512];
    size_t done;
    vmk_status status = VMK_OK;

    if (!z->packed)
        return VMK_OK;
    while (status == VMK_OK && !z->ended)
        status = unpack(z, rest, sizeof(rest), &done, what);
    feed(z);
    while (status == VMK_OK && z->stream.avail_in) {
        if (*z->stream.next_in++ != 0) {
            *what = "there is something else behind the compressed data";
            status = VMK_BAD_FORMAT;
        }
        z->stream.avail_in--;
        feed(z);
    }
    return status;
}

void gunzip_close(struct gunzip *z)
{
    if (z->open)
        (void)inflateEnd(&z->stream);
    heap_free(z);
}
