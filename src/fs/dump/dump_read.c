// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/dump/dump_read.c -- the form of a dump, and reading one: at the next boot, and by vmfs-tool.
 *
 * Invariants
 *   - Nothing a dump says is believed before its CRC was right; sizes are held against what
 *     there is.
 *   - Works on any bytes: tests/fuzz/fuzz_dump.c.
 * Locking    none.
 * Start at   dump_read().
 */
#include "core/heap.h"
#include "fs/dump/dump.h"
#include "fs/zlib_heap.h"
#include "lib/crc32.h"
#include "lib/endian.h"
#include "lib/string.h"

#define VERSION       1u
#define CHUNK         16384u
#define AT_VERSION    64u
#define AT_PLACE      128u
#define AT_REASON     256u
#define AT_HEADER_CRC (DUMP_HEADER_SIZE - 4)

static const char magic[8] = {'V', 'M', 'K', 'D', 'U', 'M', 'P', '1'};

void dump_header_encode(const struct dump_header *h, uint8_t raw[DUMP_HEADER_SIZE])
{
    memset(raw, 0, DUMP_HEADER_SIZE);
    memcpy(raw, magic, sizeof(magic));
    put_le32(raw + 8, VERSION);
    put_le32(raw + 12, h->flags);
    put_le32(raw + 16, h->state);
    put_le32(raw + 20, h->body_crc);
    put_le64(raw + 24, h->stored);
    put_le64(raw + 32, h->unpacked);
    put_le64(raw + 40, h->when);
    put_le64(raw + 48, h->uptime);
    put_le32(raw + 56, h->cpu);
    put_le32(raw + 60, h->world);
    memcpy(raw + AT_VERSION, h->version, sizeof(h->version));
    memcpy(raw + AT_PLACE, h->place, sizeof(h->place));
    memcpy(raw + AT_REASON, h->reason, sizeof(h->reason));
    put_le32(raw + AT_HEADER_CRC, crc32_add(0, raw, AT_HEADER_CRC));
}

/* Printable, and with an end: it is shown on terminals. */
static void text_take(char *to, size_t room, const uint8_t *from)
{
    size_t n = 0;

    for (; n + 1 < room && from[n]; n++)
        to[n] = from[n] < ' ' || from[n] > '~' ? '?' : (char)from[n];
    to[n] = 0;
}

vmk_status dump_header_decode(const uint8_t raw[DUMP_HEADER_SIZE], struct dump_header *out)
{
    *out = (struct dump_header){0};
    if (memcmp(raw, magic, sizeof(magic)) != 0)
        return VMK_NOT_FOUND;
    if (crc32_add(0, raw, AT_HEADER_CRC) != le32(raw + AT_HEADER_CRC))
        return VMK_CORRUPT;
    if (le32(raw + 8) != VERSION)
        return VMK_UNSUPPORTED;
    *out = (struct dump_header){.flags = le32(raw + 12),
                                .state = le32(raw + 16),
                                .body_crc = le32(raw + 20),
                                .stored = le64(raw + 24),
                                .unpacked = le64(raw + 32),
                                .when = le64(raw + 40),
                                .uptime = le64(raw + 48),
                                .cpu = le32(raw + 56),
                                .world = le32(raw + 60)};
    text_take(out->version, sizeof(out->version), raw + AT_VERSION);
    text_take(out->place, sizeof(out->place), raw + AT_PLACE);
    text_take(out->reason, sizeof(out->reason), raw + AT_REASON);
    return VMK_OK;
}

/* Records as they come, cut anywhere. */
struct splitter {
    dump_piece_fn *piece;
    void *context;
    uint8_t head[DUMP_RECORD_HEAD];
    size_t head_have;
    uint32_t left;  // of the record's data
    char section[DUMP_SECTION_SIZE + 1];
    uint64_t total;
    bool stopped;
};

static vmk_status split(struct splitter *s, const uint8_t *data, size_t size)
{
    s->total += size;
    while (size && !s->stopped) {
        size_t part;

        if (!s->left) {
            part = MIN(size, DUMP_RECORD_HEAD - s->head_have);
            memcpy(s->head + s->head_have, data, part);
            s->head_have += part;
            if (s->head_have == DUMP_RECORD_HEAD) {
                if (le32(s->head) != DUMP_RECORD_MAGIC)
                    return VMK_CORRUPT;
                s->left = le32(s->head + 4);
                text_take(s->section, sizeof(s->section), s->head + 8);
                s->head_have = 0;
            }
        } else {
            part = MIN(size, s->left);
            s->left -= (uint32_t)part;
            s->stopped = !s->piece(s->context, s->section, data, part);
        }
        data += part;
        size -= part;
    }
    return VMK_OK;
}

static vmk_status body_check(const struct dump_source *source, const struct dump_header *h,
                             uint8_t *buffer)
{
    uint32_t crc = 0;

    for (uint64_t at = 0; at < h->stored;) {
        const size_t part = (size_t)MIN(h->stored - at, (uint64_t)CHUNK);
        const vmk_status status =
            source->read(source->context, DUMP_HEADER_SIZE + at, buffer, part);

        if (status != VMK_OK)
            return status;
        crc = crc32_add(crc, buffer, part);
        at += part;
    }
    return crc == h->body_crc ? VMK_OK : VMK_CORRUPT;
}

/* Unpacks what is in `buffer`. *over: the stream has ended. */
static vmk_status unpack(z_stream *z, struct splitter *s, uint8_t *buffer, size_t size,
                         uint8_t *plain, bool *over)
{
    vmk_status status = VMK_OK;

    z->next_in = buffer;
    z->avail_in = (uInt)size;
    do {
        int result;

        z->next_out = plain;
        z->avail_out = CHUNK;
        result = inflate(z, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return result == Z_MEM_ERROR ? VMK_NO_MEMORY : VMK_CORRUPT;
        status = split(s, plain, CHUNK - z->avail_out);
        *over = result == Z_STREAM_END;
    } while (status == VMK_OK && !*over && !s->stopped && (z->avail_in || !z->avail_out));
    return status;
}

static vmk_status body_read(const struct dump_source *source, const struct dump_header *h,
                            struct splitter *s, uint8_t *buffer)
{
    const bool packed = h->flags & DUMP_PACKED;
    z_stream z = zlib_heap_stream();
    vmk_status status = VMK_OK;
    bool over = false;

    if (packed && inflateInit(&z) != Z_OK)
        return VMK_NO_MEMORY;
    for (uint64_t at = 0; at < h->stored && status == VMK_OK && !over && !s->stopped;) {
        const size_t part = (size_t)MIN(h->stored - at, (uint64_t)CHUNK);

        status = source->read(source->context, DUMP_HEADER_SIZE + at, buffer, part);
        if (status == VMK_OK && packed)
            status = unpack(&z, s, buffer, part, buffer + CHUNK, &over);
        else if (status == VMK_OK)
            status = split(s, buffer, part);
        at += part;
    }
    if (packed)
        (void)inflateEnd(&z);
    // A dump that is not whole may end anywhere between two records of the stream.
    if (status == VMK_OK && !s->stopped && h->flags & DUMP_WHOLE &&
        (s->left || s->head_have || s->total != h->unpacked))
        status = VMK_CORRUPT;
    return status;
}

vmk_status dump_read(const struct dump_source *source, struct dump_header *header,
                     dump_piece_fn *piece, void *context)
{
    struct splitter s = {.piece = piece, .context = context};
    uint8_t *buffer;
    vmk_status status;

    if (source->size < DUMP_HEADER_SIZE)
        return VMK_NOT_FOUND;
    buffer = heap_alloc(2 * CHUNK, MEM_OWNER_FS);
    if (!buffer)
        return VMK_NO_MEMORY;
    status = source->read(source->context, 0, buffer, DUMP_HEADER_SIZE);
    if (status == VMK_OK)
        status = dump_header_decode(buffer, header);
    if (status == VMK_OK && header->stored > source->size - DUMP_HEADER_SIZE)
        status = VMK_CORRUPT;
    if (status == VMK_OK)
        status = body_check(source, header, buffer);
    if (status == VMK_OK && piece)
        status = body_read(source, header, &s, buffer);
    heap_free(buffer);
    return status;
}

vmk_status dump_device_read(void *context, uint64_t offset, void *to, size_t size)
{
    struct block_device *device = context;
    const uint64_t from = round_down(offset, device->block_size);
    const uint64_t end = round_up(offset + size, device->block_size);
    uint8_t *buffer;
    vmk_status status;

    if (from == offset && end - from == size)
        return block_read(device, offset, to, size);
    buffer = heap_alloc((size_t)(end - from), MEM_OWNER_FS);
    if (!buffer)
        return VMK_NO_MEMORY;
    status = block_read(device, from, buffer, end - from);
    if (status == VMK_OK)
        memcpy(to, buffer + (offset - from), size);
    heap_free(buffer);
    return status;
}
