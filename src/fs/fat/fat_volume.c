// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_volume.c -- the boot sector, mount and unmount, and sectors in memory.
 *
 * Metadata sectors are read through a small cache and written through it at once. Order between
 * writes is made by barriers only: fat_barrier() is a FLUSH if anything was written since the
 * last one.
 *
 * Which FAT it is follows from the number of clusters and from nothing else. The state bits
 * (entry 1 of the table, and the byte in the boot sector) say "in use" from the first change on
 * until a sync or an unmount; the free count of FSInfo is unknown as long.
 *
 * Invariants
 *   - No field of the boot sector is used before it has been checked against the device's size.
 *   - Sector numbers handed to the device lie on the volume.
 * Locking    none: the caller's.
 * Start at   fat_mount().
 * Sources    FATGEN "BIOS Parameter Block", "FAT32 FSInfo Sector Structure".
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

#define FSINFO_LEAD    0x41615252u
#define FSINFO_SECOND  0x61417272u
#define FSINFO_TRAIL   0xaa550000u
#define FSINFO_FREE_AT 488u
#define FSINFO_NEXT_AT 492u

/* ---- sectors ---- */

vmk_status fat_sector_get(struct fat_volume *v, uint64_t sector, uint8_t **data)
{
    struct fat_buffer *oldest = &v->buffers[0];
    vmk_status status;

    for (unsigned i = 0; i < FAT_BUFFERS; i++) {
        struct fat_buffer *b = &v->buffers[i];

        if (b->valid && b->sector == sector) {
            b->age = ++v->clock;
            *data = b->data;
            return VMK_OK;
        }
        if (!b->valid || (oldest->valid && v->clock - b->age > v->clock - oldest->age))
            oldest = b;
    }
    oldest->valid = false;
    status = block_read(v->device, sector * v->sector_size, oldest->data, v->sector_size);
    if (status != VMK_OK)
        return status;
    oldest->valid = true;
    oldest->sector = sector;
    oldest->age = ++v->clock;
    *data = oldest->data;
    return VMK_OK;
}

vmk_status fat_sector_put(struct fat_volume *v, uint64_t sector, const uint8_t *data)
{
    vmk_status status = block_write(v->device, sector * v->sector_size, data, v->sector_size);

    v->unflushed = true;
    /* What the disk has now is not known: read it again. */
    for (unsigned i = 0; status != VMK_OK && i < FAT_BUFFERS; i++) {
        if (v->buffers[i].sector == sector)
            v->buffers[i].valid = false;
    }
    return status;
}

vmk_status fat_barrier(struct fat_volume *v)
{
    vmk_status status = v->unflushed ? block_flush(v->device) : VMK_OK;

    if (status == VMK_OK)
        v->unflushed = false;
    return status;
}

/* ---- state ---- */

static vmk_status fsinfo_write(struct fat_volume *v, uint32_t free_count)
{
    uint8_t *s;
    vmk_status status;

    if (!v->fsinfo)
        return VMK_OK;
    status = fat_sector_get(v, v->fsinfo, &s);
    if (status != VMK_OK)
        return status;
    put_le32(s + FSINFO_FREE_AT, free_count);
    put_le32(s + FSINFO_NEXT_AT, v->hint);
    return fat_sector_put(v, v->fsinfo, s);
}

static unsigned state_byte(const struct fat_volume *v)
{
    return (v->bits == 32 ? BOOT_EXTENDED_32 : BOOT_EXTENDED_16) + 1;
}

static vmk_status boot_state_set(struct fat_volume *v, bool clean)
{
    uint8_t *s;
    vmk_status status = fat_sector_get(v, 0, &s);

    if (status != VMK_OK)
        return status;
    s[state_byte(v)] = (uint8_t)((s[state_byte(v)] & ~1u) | !clean);
    return fat_sector_put(v, 0, s);
}

static vmk_status state_set(struct fat_volume *v, bool clean)
{
    vmk_status status = fsinfo_write(v, clean ? v->free_count : UINT32_MAX);

    if (status == VMK_OK)
        status = fat_state_set(v, clean);
    if (status == VMK_OK)
        status = boot_state_set(v, clean);
    if (status == VMK_OK)
        status = fat_barrier(v);
    if (status == VMK_OK)
        v->dirty = !clean;
    return status;
}

vmk_status fat_dirty(struct fat_volume *v)
{
    if (v->read_only)
        return VMK_READ_ONLY;
    return v->dirty ? VMK_OK : state_set(v, false);
}

vmk_status fat_sync(struct fat_volume *v)
{
    vmk_status status = VMK_OK;

    list_for_each (at, &v->nodes) {
        struct fat_node *n = list_entry(at, struct fat_node, link);

        if (n->changed && status == VMK_OK)
            status = fat_node_sync(n);
    }
    if (status == VMK_OK)
        status = fat_barrier(v);
    /* A volume that was damaged before stays marked until somebody checks it. */
    if (status == VMK_OK && v->dirty && !v->was_dirty)
        status = state_set(v, true);
    return status;
}

/* ---- mounting ---- */

static bool bad(const char *field, uint64_t value)
{
    vmk_log(VMK_LOG_WARN, "FAT: boot sector: %s is %llu, which cannot be", field,
            (unsigned long long)value);
    return false;
}

static bool boot_decode(struct fat_volume *v, const uint8_t *b)
{
    uint32_t reserved = le16(b + BOOT_RESERVED);
    uint32_t root_entries = le16(b + BOOT_ROOT_ENTRIES);
    uint64_t total = le16(b + BOOT_SECTORS_16);
    uint64_t data;
    const uint8_t *extended;

    v->sector_size = le16(b + BOOT_SECTOR_SIZE);
    v->cluster_sectors = b[BOOT_CLUSTER_SECTORS];
    v->fats = b[BOOT_FATS];
    v->fat_sectors = le16(b + BOOT_FAT_SECTORS_16);
    if (le16(b + BOOT_SIGNATURE) != 0xaa55)
        return bad("the signature", le16(b + BOOT_SIGNATURE));
    if (v->sector_size < 512 || v->sector_size > 4096 ||
        v->sector_size & (v->sector_size - 1) || v->sector_size % v->device->block_size)
        return bad("bytes per sector", v->sector_size);
    if (!v->cluster_sectors || v->cluster_sectors & (v->cluster_sectors - 1))
        return bad("sectors per cluster", v->cluster_sectors);
    if (!reserved)
        return bad("reserved sectors", 0);
    if (!v->fats || v->fats > 4)
        return bad("number of tables", v->fats);
    if (!total)
        total = le32(b + BOOT_SECTORS_32);
    if (!v->fat_sectors)
        v->fat_sectors = le32(b + BOOT_FAT_SECTORS_32);
    if (!total || total > v->device->size / v->sector_size)
        return bad("number of sectors", total);
    v->cluster_size = v->cluster_sectors * v->sector_size;
    v->fat_begin = reserved;
    v->root_sectors = (root_entries * FAT_ENTRY_SIZE + v->sector_size - 1) / v->sector_size;
    data = reserved + (uint64_t)v->fats * v->fat_sectors + v->root_sectors;
    if (!v->fat_sectors || data >= total)
        return bad("sectors per table", v->fat_sectors);
    v->root_begin = (uint32_t)data - v->root_sectors;
    v->data_begin = (uint32_t)data;
    v->clusters = (uint32_t)((total - data) / v->cluster_sectors);
    v->bits = v->clusters < 4085 ? 12 : v->clusters < 65525 ? 16 : 32;
    if (!v->clusters || v->clusters > 0x0ffffff5 ||
        ((uint64_t)v->clusters + 2) * v->bits > (uint64_t)v->fat_sectors * v->sector_size * 8)
        return bad("number of clusters", v->clusters);
    if (v->bits == 32) {
        v->root_cluster = le32(b + BOOT_ROOT_32);
        v->fsinfo = le16(b + BOOT_FSINFO_32);
        if (!cluster_valid(v, v->root_cluster) || root_entries)
            return bad("the root's cluster", v->root_cluster);
        if (v->fsinfo >= reserved)
            v->fsinfo = 0;
    } else if (!root_entries) {
        return bad("entries of the root", 0);
    }
    extended = b + (v->bits == 32 ? BOOT_EXTENDED_32 : BOOT_EXTENDED_16);
    if (extended[2] == 0x29) {
        v->id = le32(extended + 3);
        memcpy(v->label, extended + 7, 11);
        for (unsigned i = 11; i && (v->label[i - 1] == ' ' || !v->label[i - 1]); i--)
            v->label[i - 1] = 0;
    }
    return true;
}

static vmk_status state_read(struct fat_volume *v, bool boot_dirty)
{
    uint8_t *s;
    bool clean = true;
    vmk_status status = fat_state_get(v, &clean);

    v->free_count = UINT32_MAX;
    v->hint = 2;
    v->was_dirty = !clean || boot_dirty;
    if (status != VMK_OK || !v->fsinfo)
        return status;
    status = fat_sector_get(v, v->fsinfo, &s);
    if (status != VMK_OK)
        return status;
    if (le32(s) != FSINFO_LEAD || le32(s + 484) != FSINFO_SECOND ||
        le32(s + 508) != FSINFO_TRAIL) {
        v->fsinfo = 0;  // something else lies there: leave it alone
        return VMK_OK;
    }
    if (!v->was_dirty && le32(s + FSINFO_FREE_AT) <= v->clusters)
        v->free_count = le32(s + FSINFO_FREE_AT);
    if (cluster_valid(v, le32(s + FSINFO_NEXT_AT)))
        v->hint = le32(s + FSINFO_NEXT_AT);
    return VMK_OK;
}

static void volume_free(struct fat_volume *v)
{
    heap_free(v->root);
    heap_free(v->bounce);
    heap_free(v->buffer_memory);
    heap_free(v);
}

vmk_status fat_mount(struct block_device *device, bool read_only, int64_t (*now)(void),
                     struct fat_volume **out)
{
    struct fat_volume *v = heap_alloc(sizeof(*v), MEM_OWNER_FS);
    uint8_t *boot = heap_alloc(4096, MEM_OWNER_FS);
    bool boot_dirty;
    vmk_status status = v && boot ? VMK_OK : VMK_NO_MEMORY;

    if (status == VMK_OK && device->size < 4096)
        status = VMK_BAD_FORMAT;
    if (status == VMK_OK)
        status = block_read(device, 0, boot, MAX(device->block_size, 512u));
    if (status != VMK_OK) {
        heap_free(boot);
        heap_free(v);
        return status;
    }
    v->device = device;
    v->read_only = read_only || device->read_only;
    v->now = now;
    list_init(&v->nodes);
    if (!boot_decode(v, boot))
        status = VMK_BAD_FORMAT;
    boot_dirty = status == VMK_OK && boot[state_byte(v)] & 1;
    heap_free(boot);
    if (status == VMK_OK) {
        v->buffer_memory = heap_alloc((size_t)FAT_BUFFERS * v->sector_size, MEM_OWNER_FS);
        v->bounce = heap_alloc(v->sector_size, MEM_OWNER_FS);
        v->root = heap_alloc(sizeof(*v->root), MEM_OWNER_FS);
        if (!v->buffer_memory || !v->bounce || !v->root)
            status = VMK_NO_MEMORY;
    }
    if (status == VMK_OK) {
        for (unsigned i = 0; i < FAT_BUFFERS; i++)
            v->buffers[i].data = v->buffer_memory + (size_t)i * v->sector_size;
        *v->root = (struct fat_node){.v = v,
                                     .inode = 1,
                                     .first = v->root_cluster,
                                     .attr = FAT_ATTR_DIR,
                                     .chain = UINT32_MAX};
        v->next_inode = 1ull << 62;
        status = state_read(v, boot_dirty);
    }
    if (status != VMK_OK) {
        volume_free(v);
        return status;
    }
    if (v->was_dirty)
        vmk_log(VMK_LOG_WARN,
                "FAT: %s was not unmounted cleanly; space may be lost, a check "
                "(fsck.fat) gives it back",
                device->name);
    *out = v;
    return VMK_OK;
}

vmk_status fat_unmount(struct fat_volume *v)
{
    vmk_status status = v->read_only ? VMK_OK : fat_sync(v);

    fat_abandon(v);
    return status;
}

void fat_abandon(struct fat_volume *v)
{
    list_for_each_safe (at, after, &v->nodes)
        heap_free(list_entry(at, struct fat_node, link));
    volume_free(v);
}

vmk_status fat_statistics(struct fat_volume *v, struct fat_statistics *out)
{
    vmk_status status = v->free_count == UINT32_MAX ? fat_count_free(v) : VMK_OK;

    *out = (struct fat_statistics){.bits = v->bits,
                                   .cluster_size = v->cluster_size,
                                   .clusters = v->clusters,
                                   .free = v->free_count,
                                   .id = v->id,
                                   .was_dirty = v->was_dirty};
    memcpy(out->label, v->label, sizeof(out->label));
    return status;
}

uint32_t fat_cluster_size(const struct fat_volume *v)
{
    return v->cluster_size;
}
