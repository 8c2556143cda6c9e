// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_format.c -- an empty FAT12, FAT16 or FAT32.
 *
 * The boot sector is written last, so a format that is cut short leaves no file system that
 * looks like one. The kind follows from the number of clusters; asked for another kind than the
 * size allows, it changes the cluster size, or refuses.
 *
 * Locking    none.
 * Start at   fat_format().
 * Sources    FATGEN "FAT Volume Initialization".
 */
#include "core/heap.h"
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

#define FATS 2u

struct layout {
    unsigned bits;
    uint32_t sector_size, reserved, root_entries, fat_sectors, cluster_sectors, clusters;
    uint64_t sectors, data_begin;
};

static unsigned bits_of(uint64_t clusters)
{
    return clusters < 4085 ? 12 : clusters < 65525 ? 16 : 32;
}

/* The table's size and the number of clusters depend on each other. */
static bool layout_try(struct layout *l)
{
    uint32_t root = (l->root_entries * FAT_ENTRY_SIZE + l->sector_size - 1) / l->sector_size;

    l->fat_sectors = 1;
    for (;;) {
        uint64_t bytes;

        l->data_begin = l->reserved + (uint64_t)FATS * l->fat_sectors + root;
        if (l->data_begin >= l->sectors)
            return false;
        l->clusters =
            (uint32_t)MIN((l->sectors - l->data_begin) / l->cluster_sectors, 0x0ffffff0u);
        bytes = (((uint64_t)l->clusters + 2) * l->bits + 7) / 8;
        if (bytes <= (uint64_t)l->fat_sectors * l->sector_size)
            return bits_of(l->clusters) == l->bits && l->clusters;
        l->fat_sectors = (uint32_t)((bytes + l->sector_size - 1) / l->sector_size);
    }
}

static bool layout_make(struct layout *l, unsigned bits)
{
    uint64_t bytes = l->sectors * l->sector_size;

    l->bits = bits ? bits : bytes < 16u << 20 ? 12 : bytes < 512u << 20 ? 16 : 32;
    l->reserved = l->bits == 32 ? 32 : 1;
    l->root_entries = l->bits == 32 ? 0 : 512;
    /* Small clusters first, but 4 KiB where there is room for them. */
    for (unsigned pass = 0; pass < 2; pass++) {
        uint32_t least = pass ? 1 : MAX(4096 / l->sector_size, 1u);

        for (l->cluster_sectors = least;
             l->cluster_sectors <= 128 && l->cluster_sectors * l->sector_size <= 65536;
             l->cluster_sectors *= 2) {
            if (layout_try(l))
                return true;
        }
    }
    return false;
}

static void boot_make(const struct layout *l, const struct fat_format *how, uint8_t *b)
{
    uint8_t *extended = b + (l->bits == 32 ? BOOT_EXTENDED_32 : BOOT_EXTENDED_16);
    size_t label = how->label ? strlen(how->label) : 0;

    memcpy(b, l->bits == 32 ? "\xeb\x58\x90" : "\xeb\x3c\x90", 3);
    memcpy(b + 3, "ORRERY  ", 8);
    put_le16(b + BOOT_SECTOR_SIZE, (uint16_t)l->sector_size);
    b[BOOT_CLUSTER_SECTORS] = (uint8_t)l->cluster_sectors;
    put_le16(b + BOOT_RESERVED, (uint16_t)l->reserved);
    b[BOOT_FATS] = FATS;
    put_le16(b + BOOT_ROOT_ENTRIES, (uint16_t)l->root_entries);
    b[BOOT_MEDIA] = 0xf8;
    put_le16(b + BOOT_TRACK, 63);
    put_le16(b + BOOT_HEADS, 255);
    if (l->sectors < 65536 && l->bits != 32)
        put_le16(b + BOOT_SECTORS_16, (uint16_t)l->sectors);
    else
        put_le32(b + BOOT_SECTORS_32, (uint32_t)l->sectors);
    if (l->bits == 32) {
        put_le32(b + BOOT_FAT_SECTORS_32, l->fat_sectors);
        put_le32(b + BOOT_ROOT_32, 2);
        put_le16(b + BOOT_FSINFO_32, 1);
        put_le16(b + BOOT_BACKUP_32, 6);
    } else {
        put_le16(b + BOOT_FAT_SECTORS_16, (uint16_t)l->fat_sectors);
    }
    extended[0] = 0x80;
    extended[2] = 0x29;
    put_le32(extended + 3, how->id);
    memcpy(extended + 7, "NO NAME    ", 11);
    if (label) {
        memset(extended + 7, ' ', 11);
        memcpy(extended + 7, how->label, label);
    }
    memcpy(extended + 18,
           l->bits == 12   ? "FAT12   "
           : l->bits == 16 ? "FAT16   "
                           : "FAT32   ",
           8);
    put_le16(b + BOOT_SIGNATURE, 0xaa55);
}

static vmk_status zero(struct block_device *device, uint64_t from, uint64_t to,
                       uint32_t sector_size)
{
    size_t room = 65536;
    char *zeros = heap_alloc(room, MEM_OWNER_FS);
    uint64_t at = from * sector_size;
    vmk_status status = zeros ? VMK_OK : VMK_NO_MEMORY;

    while (at < to * sector_size && status == VMK_OK) {
        size_t part = (size_t)MIN(room, to * sector_size - at);

        status = block_write(device, at, zeros, part);
        at += part;
    }
    heap_free(zeros);
    return status;
}

static vmk_status tables_write(struct block_device *device, const struct layout *l,
                               uint8_t *sector)
{
    vmk_status status = VMK_OK;

    memset(sector, 0, l->sector_size);
    if (l->bits == 32) {
        put_le32(sector, 0x0ffffff8);
        put_le32(sector + 4, 0x0fffffff);
        put_le32(sector + 8, 0x0fffffff);  // the root's one cluster
    } else if (l->bits == 16) {
        put_le32(sector, 0xfffffff8);
    } else {
        put_le32(sector, 0x00fffff8);
    }
    for (unsigned i = 0; i < FATS && status == VMK_OK; i++)
        status =
            block_write(device, (l->reserved + (uint64_t)i * l->fat_sectors) * l->sector_size,
                        sector, l->sector_size);
    return status;
}

/* The label is an entry of the root besides. */
static vmk_status label_write(struct block_device *device, const struct layout *l,
                              const struct fat_format *how, uint8_t *sector)
{
    uint64_t at = l->bits == 32 ? l->data_begin : l->reserved + (uint64_t)FATS * l->fat_sectors;

    if (!how->label || !*how->label)
        return VMK_OK;
    memset(sector, 0, l->sector_size);
    memset(sector, ' ', 11);
    memcpy(sector, how->label, strlen(how->label));
    sector[ENTRY_ATTR] = FAT_ATTR_LABEL;
    fat_time_put(how->now_ns, sector + ENTRY_MODIFIED, false);
    return block_write(device, at * l->sector_size, sector, l->sector_size);
}

static vmk_status boot_write(struct block_device *device, const struct layout *l,
                             const struct fat_format *how, uint8_t *sector)
{
    vmk_status status = VMK_OK;

    for (unsigned copy = l->bits == 32 ? 2 : 1; copy && status == VMK_OK; copy--) {
        uint64_t at = copy == 2 ? 6 : 0;

        if (l->bits == 32) {
            memset(sector, 0, l->sector_size);
            put_le32(sector, 0x41615252);
            put_le32(sector + 484, 0x61417272);
            put_le32(sector + 488, l->clusters - 1);
            put_le32(sector + 492, 2);
            put_le32(sector + 508, 0xaa550000);
            status = block_write(device, (at + 1) * l->sector_size, sector, l->sector_size);
        }
        if (status == VMK_OK && copy == 1)
            status = block_flush(device);
        memset(sector, 0, l->sector_size);
        boot_make(l, how, sector);
        if (status == VMK_OK)
            status = block_write(device, at * l->sector_size, sector, l->sector_size);
    }
    return status == VMK_OK ? block_flush(device) : status;
}

static bool label_good(const char *label)
{
    size_t length = label ? strlen(label) : 0;

    for (size_t i = 0; i < length; i++) {
        if (label[i] < ' ' || label[i] > '~' || strchr("\"*+,./:;<=>?[\\]|", label[i]))
            return false;
    }
    return length <= 11;
}

vmk_status fat_format(struct block_device *device, const struct fat_format *how)
{
    struct layout l = {.sector_size = MAX(device->block_size, 512u)};
    uint8_t *sector;
    uint64_t end;
    vmk_status status;

    if (!label_good(how->label) ||
        (how->bits && how->bits != 12 && how->bits != 16 && how->bits != 32))
        return VMK_BAD_PARAM;
    l.sectors = MIN(device->size / l.sector_size, UINT32_MAX);
    if (l.sector_size > 4096 || !layout_make(&l, how->bits))
        return VMK_NO_SPACE;
    sector = heap_alloc(l.sector_size, MEM_OWNER_FS);
    if (!sector)
        return VMK_NO_MEMORY;
    end = l.data_begin + (l.bits == 32 ? l.cluster_sectors : 0);
    status = zero(device, 0, end, l.sector_size);
    if (status == VMK_OK)
        status = tables_write(device, &l, sector);
    if (status == VMK_OK)
        status = label_write(device, &l, how, sector);
    if (status == VMK_OK)
        status = boot_write(device, &l, how, sector);
    heap_free(sector);
    return status;
}
