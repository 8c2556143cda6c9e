// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_stream.c -- streamOptimized: grains packed one after the other, tables behind them.
 *
 *     header  descriptor  { marker+grain ... marker+table } ...  marker+directory
 *             marker+footer  end
 *
 * Made to be written in one go: no place is visited twice. Each grain carries its own place on
 * the disk, so a table that names the wrong grain is noticed.
 *
 * Invariants
 *   - A grain unpacks into the buffer of one grain or is CORRUPT; what it says about its size
 *     is only believed up to the bound of deflate.
 * Locking    none.
 * Start at   vmdk_stream_grain(), vmdk_stream_write().
 * Sources    VMDK-FORMAT "Stream-optimized"; VDF "Stream-Optimized Compressed Sparse Extents";
 *            zlib.h.
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_internal.h"
#include "fs/zlib_heap.h"
#include "lib/endian.h"
#include "lib/string.h"

#define GRAIN_SIZE  (VMDK_GRAIN_SECTORS * VMDK_SECTOR)
#define PACKED_MOST (GRAIN_SIZE + GRAIN_SIZE / 64 + 1024)
#define MARKER_SIZE 12u

enum marker {
    MARKER_END = 0,
    MARKER_TABLE = 1,
    MARKER_DIRECTORY = 2,
    MARKER_FOOTER = 3,
};

vmk_status vmdk_stream_grain(const struct vmdk_file *file, uint64_t at, uint64_t lba, void *out,
                             uint32_t grain_size)
{
    z_stream z = zlib_heap_stream();
    uint8_t marker[MARKER_SIZE];
    uint8_t *packed;
    uint32_t size;
    int result;
    vmk_status status = file_read_at(file, at, marker, sizeof(marker));

    if (status != VMK_OK)
        return status;
    size = le32(marker + 8);
    if (le64(marker) != lba || !size || size > 2 * grain_size + 1024 ||
        size > file->size - at - MIN(MARKER_SIZE, file->size - at))
        return VMK_CORRUPT;
    packed = heap_alloc(size, MEM_OWNER_FS);
    status = packed ? file_read_at(file, at + MARKER_SIZE, packed, size) : VMK_NO_MEMORY;
    if (status == VMK_OK) {
        z.next_in = packed;
        z.avail_in = size;
        z.next_out = out;
        z.avail_out = grain_size;
        if (inflateInit(&z) != Z_OK) {
            status = VMK_NO_MEMORY;
        } else {
            result = inflate(&z, Z_FINISH);
            if (result != Z_STREAM_END)
                status = result == Z_MEM_ERROR ? VMK_NO_MEMORY : VMK_CORRUPT;
            memset((char *)out + grain_size - z.avail_out, 0, z.avail_out);
            inflateEnd(&z);
        }
    }
    heap_free(packed);
    return status;
}

/* ---- writing ---- */

struct stream {
    struct vmdk_file *to;
    uint64_t sector;  // the next
    z_stream z;
    uint8_t *grain, *packed;
    uint32_t *directory;
    uint32_t table[VMDK_GT_ENTRIES];
};

static vmk_status put(struct stream *s, const void *data, size_t size)
{
    vmk_status status = vmdk_file_write(s->to, s->sector * VMDK_SECTOR, data, size);

    s->sector += (size + VMDK_SECTOR - 1) / VMDK_SECTOR;
    return s->sector > UINT32_MAX ? VMK_TOO_BIG : status;
}

static vmk_status put_marker(struct stream *s, enum marker type, uint64_t sectors)
{
    uint8_t marker[VMDK_SECTOR] = {0};

    put_le64(marker, sectors);
    put_le32(marker + MARKER_SIZE, type);
    return put(s, marker, sizeof(marker));
}

static vmk_status put_grain(struct stream *s, uint64_t lba, unsigned index)
{
    size_t size;

    if (deflateReset(&s->z) != Z_OK)
        return VMK_NO_MEMORY;
    memset(s->packed, 0, PACKED_MOST);
    s->z.next_in = s->grain;
    s->z.avail_in = GRAIN_SIZE;
    s->z.next_out = s->packed + MARKER_SIZE;
    s->z.avail_out = PACKED_MOST - MARKER_SIZE;
    if (deflate(&s->z, Z_FINISH) != Z_STREAM_END)
        return VMK_TOO_BIG;
    size = PACKED_MOST - MARKER_SIZE - s->z.avail_out;
    put_le64(s->packed, lba);
    put_le32(s->packed + 8, (uint32_t)size);
    s->table[index] = (uint32_t)s->sector;
    return put(s, s->packed, (size_t)round_up(MARKER_SIZE + size, VMDK_SECTOR));
}

static vmk_status put_table(struct stream *s, uint64_t number)
{
    uint8_t *raw = s->packed;
    bool any = false;
    vmk_status status;

    for (unsigned i = 0; i < VMDK_GT_ENTRIES; i++) {
        put_le32(raw + 4 * i, s->table[i]);
        any |= s->table[i] != 0;
    }
    if (!any)
        return VMK_OK;
    status = put_marker(s, MARKER_TABLE, VMDK_GT_ENTRIES * 4 / VMDK_SECTOR);
    s->directory[number] = (uint32_t)s->sector;
    if (status == VMK_OK)
        status = put(s, raw, VMDK_GT_ENTRIES * 4);
    memset(s->table, 0, sizeof(s->table));
    return status;
}

/* The grain at `offset`; *any false: there is nothing but zeros. */
static vmk_status grain_read(struct vmdk *disk, struct stream *s, uint64_t offset, bool *any)
{
    uint64_t size = MIN(GRAIN_SIZE, vmdk_capacity(disk) - offset);
    uint64_t length = 0;
    bool hole = false;
    vmk_status status = vmdk_is_hole(disk, offset, size, &hole, &length);

    *any = false;
    if (status != VMK_OK || (hole && length == size))
        return status;
    memset(s->grain + size, 0, GRAIN_SIZE - size);
    status = vmdk_read(disk, offset, s->grain, size);
    *any = !vmdk_all_zero(s->grain, GRAIN_SIZE);
    return status;
}

static vmk_status put_grains(struct vmdk *disk, struct stream *s, uint64_t tables,
                             const struct vmdk_progress *progress)
{
    uint64_t size = vmdk_capacity(disk);
    vmk_status status = VMK_OK;

    for (uint64_t t = 0; t < tables && status == VMK_OK; t++) {
        for (unsigned i = 0; i < VMDK_GT_ENTRIES && status == VMK_OK; i++) {
            uint64_t offset = (t * VMDK_GT_ENTRIES + i) * GRAIN_SIZE;
            bool any;

            if (offset >= size)
                break;
            status = grain_read(disk, s, offset, &any);
            if (status == VMK_OK && any)
                status = put_grain(s, offset / VMDK_SECTOR, i);
            if (progress && i % 16 == 0)
                progress->step(progress->argument, offset, size);
        }
        if (status == VMK_OK)
            status = put_table(s, t);
    }
    if (progress)
        progress->step(progress->argument, size, size);
    return status;
}

static vmk_status put_end(struct stream *s, uint64_t tables, uint8_t *header)
{
    uint64_t sectors = (tables * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR;
    vmk_status status = put_marker(s, MARKER_DIRECTORY, sectors);

    put_le64(header + HOSTED_GD, s->sector);
    for (uint64_t i = 0; i < sectors && status == VMK_OK; i++) {
        uint8_t raw[VMDK_SECTOR] = {0};

        for (unsigned j = 0; j < VMDK_SECTOR / 4 && i * 128 + j < tables; j++)
            put_le32(raw + 4 * j, s->directory[i * 128 + j]);
        status = put(s, raw, sizeof(raw));
    }
    if (status == VMK_OK)
        status = put_marker(s, MARKER_FOOTER, 1);
    if (status == VMK_OK)
        status = put(s, header, VMDK_SECTOR);
    if (status == VMK_OK)
        status = put_marker(s, MARKER_END, 0);
    return status;
}

vmk_status vmdk_stream_write(struct vmdk *disk, struct vmdk_file *to, const char *descriptor,
                             size_t length, const struct vmdk_progress *progress)
{
    uint64_t span = (uint64_t)GRAIN_SIZE * VMDK_GT_ENTRIES;
    uint64_t tables = (vmdk_capacity(disk) + span - 1) / span;
    struct stream *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    uint8_t header[VMDK_SECTOR];
    vmk_status status = VMK_NO_MEMORY;

    if (!s)
        return VMK_NO_MEMORY;
    s->to = to;
    s->sector = VMDK_GRAIN_SECTORS;  // overhead: header and descriptor
    s->z = zlib_heap_stream();
    s->grain = heap_alloc(GRAIN_SIZE, MEM_OWNER_FS);
    s->packed = heap_alloc(PACKED_MOST, MEM_OWNER_FS);
    s->directory = heap_alloc(tables * sizeof(*s->directory), MEM_OWNER_FS);
    if (!s->grain || !s->packed || !s->directory ||
        deflateInit(&s->z, Z_DEFAULT_COMPRESSION) != Z_OK)
        goto free_all;
    vmdk_hosted_header(header, vmdk_capacity(disk) / VMDK_SECTOR,
                       HOSTED_FLAG_COMPRESSED | HOSTED_FLAG_MARKERS, 3);
    put_le64(header + HOSTED_GD, HOSTED_GD_AT_END);
    put_le64(header + HOSTED_OVERHEAD, VMDK_GRAIN_SECTORS);
    put_le16(header + HOSTED_COMPRESSION, 1);
    status = length <= VMDK_EMBED_SECTORS * VMDK_SECTOR
                 ? vmdk_file_write(to, VMDK_SECTOR, descriptor, length)
                 : VMK_TOO_BIG;
    if (status == VMK_OK)
        status = put_grains(disk, s, tables, progress);
    if (status == VMK_OK) {
        uint8_t footer[VMDK_SECTOR];

        memcpy(footer, header, sizeof(footer));
        status = put_end(s, tables, footer);
    }
    if (status == VMK_OK)
        status = vmdk_file_write(to, 0, header, sizeof(header));
    if (status == VMK_OK)
        status = vmdk_file_sync(to);
    deflateEnd(&s->z);

free_all:
    heap_free(s->directory);
    heap_free(s->packed);
    heap_free(s->grain);
    heap_free(s);
    return status;
}
