// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/dump/dump_write.c -- a dump onto a partition, by a host that has already panicked.
 *
 * All memory is taken while the host is well: a buffer for the disk, the header, zlib's state
 * with a small window. Afterwards nothing is asked of anybody but block_panic_write().
 *
 * Invariants
 *   - The header on the disk never tells of bytes that are not there: it is written behind
 *     them, with a flush between.
 *   - After the first failure nothing more is written.
 * Locking    none: one CPU.
 * Start at   dump_writer_add().
 */
#include "fs/dump/dump.h"
#include "fs/zlib_heap.h"
#include "lib/crc32.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "mem/page.h"

#define BUFFER_ORDER 4u
#define BUFFER       ((uint32_t)(PAGE_SIZE << BUFFER_ORDER))
#define WINDOW_BITS  13  // 8 KB; with MEMORY_LEVEL some 50 KB in all
#define MEMORY_LEVEL 5

struct dump_writer {
    struct block_device *device;
    uint8_t *buffer;  // `fill` bytes that belong at `at`
    uint32_t fill;
    uint64_t at;
    uint8_t *raw;  // the header
    struct dump_header header;
    z_stream z;
    vmk_status status;  // of the first that failed
};

static uint8_t *pages_take(unsigned order)
{
    mpn_t mpn;

    return page_alloc_zeroed(order, MEM_OWNER_FS, &mpn) == VMK_OK ? mpn_map(mpn) : NULL;
}

static void pages_give(void *pages, unsigned order)
{
    if (pages)
        page_free(paddr_to_mpn(plat_unmap_address(pages)), order, MEM_OWNER_FS);
}

struct dump_writer *dump_writer_create(struct block_device *device)
{
    struct dump_writer *w = heap_alloc(sizeof(*w), MEM_OWNER_FS);

    if (!w)
        return NULL;
    w->device = device;
    w->buffer = pages_take(BUFFER_ORDER);
    w->raw = pages_take(0);
    w->z = zlib_heap_stream();
    if (!w->buffer || !w->raw ||
        deflateInit2(&w->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        pages_give(w->buffer, BUFFER_ORDER);
        pages_give(w->raw, 0);
        heap_free(w);
        return NULL;
    }
    return w;
}

void dump_writer_destroy(struct dump_writer *w)
{
    if (!w)
        return;
    (void)deflateEnd(&w->z);
    pages_give(w->buffer, BUFFER_ORDER);
    pages_give(w->raw, 0);
    heap_free(w);
}

static void header_write(struct dump_writer *w)
{
    if (w->status == VMK_OK)
        w->status = block_panic_write(w->device, 0, NULL, 0);
    if (w->status == VMK_OK)
        w->status = block_panic_write(w->device, 0, w->raw, DUMP_HEADER_SIZE);
    if (w->status == VMK_OK)
        w->status = block_panic_write(w->device, 0, NULL, 0);
}

/* What is in the buffer goes to its place; a full one is emptied. */
static void buffer_write(struct dump_writer *w)
{
    const uint32_t size = (uint32_t)round_up(w->fill, DUMP_HEADER_SIZE);

    if (w->status == VMK_OK && size > w->device->size - w->at)
        w->status = VMK_NO_SPACE;
    if (w->status != VMK_OK || !size)
        return;
    memset(w->buffer + w->fill, 0, size - w->fill);
    w->status = block_panic_write(w->device, w->at, w->buffer, size);
    if (w->fill == BUFFER) {
        w->at += BUFFER;
        w->fill = 0;
    }
}

static void pack(struct dump_writer *w, const void *data, size_t size, int flush)
{
    w->z.next_in = (Bytef *)(uintptr_t)data;
    w->z.avail_in = (uInt)size;
    while (w->status == VMK_OK) {
        const uint32_t before = w->fill;
        int result;

        w->z.next_out = w->buffer + w->fill;
        w->z.avail_out = BUFFER - w->fill;
        result = deflate(&w->z, flush);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            w->status = VMK_CORRUPT;
        w->fill = BUFFER - w->z.avail_out;
        w->header.body_crc =
            crc32_add(w->header.body_crc, w->buffer + before, w->fill - before);
        w->header.stored += w->fill - before;
        if (w->fill < BUFFER)
            return;  // it had room for all
        buffer_write(w);
    }
}

struct dump_header *dump_writer_header(struct dump_writer *w)
{
    return &w->header;
}

vmk_status dump_writer_begin(struct dump_writer *w)
{
    w->header.flags = DUMP_PACKED;
    w->header.state = DUMP_NEW;
    w->header.body_crc = 0;
    w->header.stored = w->header.unpacked = 0;
    w->at = DUMP_HEADER_SIZE;
    w->fill = 0;
    w->status = deflateReset(&w->z) == Z_OK ? VMK_OK : VMK_CORRUPT;
    memset(w->raw, 0, DUMP_HEADER_SIZE);
    header_write(w);
    return w->status;
}

vmk_status dump_writer_add(struct dump_writer *w, const char *section, const void *data,
                           size_t size)
{
    uint8_t head[DUMP_RECORD_HEAD] = {0};
    size_t length = MIN(strlen(section), (size_t)DUMP_SECTION_SIZE);

    if (!size)
        return w->status;
    put_le32(head, DUMP_RECORD_MAGIC);
    put_le32(head + 4, (uint32_t)size);
    memcpy(head + 8, section, length);
    pack(w, head, sizeof(head), Z_NO_FLUSH);
    pack(w, data, size, Z_NO_FLUSH);
    w->header.unpacked += sizeof(head) + size;
    return w->status;
}

vmk_status dump_writer_mark(struct dump_writer *w, bool whole)
{
    pack(w, NULL, 0, whole ? Z_FINISH : Z_SYNC_FLUSH);
    buffer_write(w);
    if (whole)
        w->header.flags |= DUMP_WHOLE;
    dump_header_encode(&w->header, w->raw);
    header_write(w);
    return w->status;
}

uint64_t dump_writer_stored(const struct dump_writer *w)
{
    return DUMP_HEADER_SIZE + w->header.stored;
}
