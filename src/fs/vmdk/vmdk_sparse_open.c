// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_sparse_open.c -- the header of a sparse extent: hosted (KDMV) and ESX (COWD).
 *
 * Every number is checked against the file and against the others before anything uses it.
 *
 * Invariants
 *   - No number of the header is used before vmdk_sparse_open() has checked it.
 * Locking    none: the disk's user.
 * Start at   vmdk_sparse_open(), check_numbers().
 * Sources    VMDK-FORMAT "VMDK sparse extent data file", "VMware COW sparse"; VDF "Hosted
 *            Sparse Extents", "ESX Server Sparse Extents".
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_sparse_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

uint64_t vmdk_sparse_sectors(const struct vmdk_sparse *s)
{
    return s->sectors;
}

uint32_t vmdk_sparse_grain_size(const struct vmdk_sparse *s)
{
    return (uint32_t)(s->grain_sectors * VMDK_SECTOR);
}

bool vmdk_sparse_is_stream(const struct vmdk_sparse *s)
{
    return s->stream;
}

bool vmdk_sparse_descriptor(const struct vmdk_sparse *s, uint64_t *at, size_t *size)
{
    *at = s->descriptor_at * VMDK_SECTOR;
    *size = (size_t)s->descriptor_sectors * VMDK_SECTOR;
    return s->descriptor_at && s->descriptor_sectors;
}

static vmk_status bad(const struct vmdk_report *report, const char *name, const char *field,
                      uint64_t value)
{
    vmdk_say(report, "%s: header: %s is %llu, which cannot be", name, field,
             (unsigned long long)value);
    return VMK_BAD_FORMAT;
}

/* The numbers that both formats have. */
static vmk_status check_numbers(struct vmdk_sparse *s, const char *name,
                                const struct vmdk_report *report)
{
    uint64_t file_sectors = s->file->size / VMDK_SECTOR;
    uint64_t span;

    if (!s->sectors || s->sectors > 1ull << 44)
        return bad(report, name, "capacity", s->sectors);
    if (!s->grain_sectors || s->grain_sectors > 2048 ||
        s->grain_sectors & (s->grain_sectors - 1))
        return bad(report, name, "grain size (sectors)", s->grain_sectors);
    if (!s->gt_entries || s->gt_entries > 1u << 16 || s->gt_entries & (s->gt_entries - 1))
        return bad(report, name, "entries per grain table", s->gt_entries);
    span = s->grain_sectors * s->gt_entries;
    if ((s->sectors + span - 1) / span > 1u << 26)
        return bad(report, name, "capacity for such grains", s->sectors);
    if (s->hosted)
        s->gd_entries = (uint32_t)((s->sectors + span - 1) / span);
    else if ((uint64_t)s->gd_entries * span < s->sectors)
        return bad(report, name, "entries of the grain directory", s->gd_entries);
    if (!s->gd || s->gd >= file_sectors || directory_sectors(s) > file_sectors - s->gd)
        return bad(report, name, "place of the grain directory", s->gd);
    if (s->rgd && (s->rgd >= file_sectors || directory_sectors(s) > file_sectors - s->rgd))
        return bad(report, name, "place of the redundant grain directory", s->rgd);
    if (s->descriptor_sectors && (s->descriptor_at >= file_sectors ||
                                  s->descriptor_sectors > file_sectors - s->descriptor_at ||
                                  s->descriptor_sectors > VMDK_DESCRIPTOR_MAX / VMDK_SECTOR))
        return bad(report, name, "place of the descriptor", s->descriptor_at);
    s->first_grain = 1;
    if (!s->stream)
        s->first_grain = MAX(s->gd, s->rgd) + directory_sectors(s);
    s->next_free = MAX(s->next_free, (s->file->size + VMDK_SECTOR - 1) / VMDK_SECTOR);
    return VMK_OK;
}

static vmk_status open_hosted(struct vmdk_sparse *s, uint8_t *h, const char *name,
                              const struct vmdk_report *report)
{
    uint32_t version = le32(h + HOSTED_VERSION);
    uint32_t flags = le32(h + HOSTED_FLAGS);

    if (le64(h + HOSTED_GD) == HOSTED_GD_AT_END) {  // the footer has the place
        vmk_status status;

        if (s->file->size < 4 * VMDK_SECTOR)
            return bad(report, name, "size of the file", s->file->size);
        status = file_read_at(s->file, (s->file->size / VMDK_SECTOR - 2) * VMDK_SECTOR, h,
                              VMDK_SECTOR);
        if (status != VMK_OK)
            return status;
        if (le32(h) != VMDK_HOSTED_MAGIC) {
            vmdk_say(report, "%s: no footer: the file is cut short", name);
            return VMK_BAD_FORMAT;
        }
        flags = le32(h + HOSTED_FLAGS);
    }
    if (version < 1 || version > 3)
        return bad(report, name, "version", version);
    if (flags & HOSTED_FLAG_LINE_ENDS && memcmp(h + HOSTED_LINE_ENDS, "\n \r\n", 4) != 0) {
        vmdk_say(report, "%s: header: line ends were changed: the file was copied as text",
                 name);
        return VMK_BAD_FORMAT;
    }
    s->hosted = true;
    s->stream = flags & HOSTED_FLAG_COMPRESSED;
    s->zero_grains = flags & HOSTED_FLAG_ZERO_GRAIN;
    s->sectors = le64(h + HOSTED_CAPACITY);
    s->grain_sectors = le64(h + HOSTED_GRAIN);
    s->gt_entries = le32(h + HOSTED_GT_ENTRIES);
    s->descriptor_at = le64(h + HOSTED_DESCRIPTOR);
    s->descriptor_sectors = le64(h + HOSTED_DESCRIPTOR_SIZE);
    s->gd = le64(h + HOSTED_GD);
    s->rgd = flags & HOSTED_FLAG_RGD && !s->stream ? le64(h + HOSTED_RGD) : 0;
    if (s->stream && (le16(h + HOSTED_COMPRESSION) != 1 || !(flags & HOSTED_FLAG_MARKERS))) {
        vmdk_say(report, "%s: header: compression is %u; only deflate with markers is known",
                 name, le16(h + HOSTED_COMPRESSION));
        return VMK_UNSUPPORTED;
    }
    return check_numbers(s, name, report);
}

static vmk_status open_esx(struct vmdk_sparse *s, const uint8_t *h, const char *name,
                           const struct vmdk_report *report)
{
    if (le32(h + ESX_VERSION) != 1)
        return bad(report, name, "version", le32(h + ESX_VERSION));
    s->sectors = le32(h + ESX_CAPACITY);
    s->grain_sectors = le32(h + ESX_GRAIN);
    s->gt_entries = ESX_GT_ENTRIES;
    s->gd = le32(h + ESX_GD);
    s->gd_entries = le32(h + ESX_GD_ENTRIES);
    s->next_free = le32(h + ESX_NEXT_FREE);
    if (s->next_free > s->file->size / VMDK_SECTOR + (1u << 20))
        return bad(report, name, "next free sector", s->next_free);
    return check_numbers(s, name, report);
}

vmk_status vmdk_sparse_open(struct vmdk_file *file, const char *name, bool writable,
                            const struct vmdk_report *report, struct vmdk_sparse **out)
{
    struct vmdk_sparse *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    uint8_t *h = heap_alloc(ESX_HEADER_SIZE, MEM_OWNER_FS);
    vmk_status status = s && h ? VMK_OK : VMK_NO_MEMORY;

    if (status == VMK_OK)
        status = file_read_at(file, 0, h, ESX_HEADER_SIZE);
    if (status == VMK_OK) {
        s->file = file;
        s->writable = writable;
        if (le32(h) == VMDK_HOSTED_MAGIC) {
            status = open_hosted(s, h, name, report);
        } else if (le32(h) == VMDK_ESX_MAGIC) {
            status = open_esx(s, h, name, report);
        } else {
            vmdk_say(report, "%s: no sparse extent: the magic number is missing", name);
            status = VMK_BAD_FORMAT;
        }
    }
    if (status == VMK_OK) {
        s->lines = heap_alloc(LINES_MAX * sizeof(*s->lines), MEM_OWNER_FS);
        if (!s->lines)
            status = VMK_NO_MEMORY;
    }
    heap_free(h);
    if (status != VMK_OK) {
        heap_free(s);
        return status;
    }
    *out = s;
    return VMK_OK;
}

void vmdk_sparse_free(struct vmdk_sparse *s)
{
    if (!s)
        return;
    heap_free(s->lines);
    heap_free(s);
}
