// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/vmfs3_image.h -- writes volumes as VMFS-3 makes them, and as ESXi leaves them when it upgrades one.
 *
 * Orrery makes VMFS-5 only, so what it reads here it did not write: file blocks of 1 to 8 MiB,
 * sub-blocks of 64 KiB, groups of 32 clusters, no .sdd.sf, and .pb2.sf only after the upgrade.
 * tests/tools/vmfs3.sh lets vmfs-tools read these volumes, check them and write to them.
 *
 * Invariants
 *   - Byte `o` of the content of a file is vmfs3_byte(its descriptor's item, o).
 *   - The blocks of .sbc.sf do not lie side by side, and one file's sub-block lies across two
 *     of them.
 * Locking    none.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "fs/vmfs/vmfs_format.h"
#include "io/block.h"
#include "lib/types.h"

#define VMFS3_SIZE        (LVM_DATA + 2 * LVM_PE_SIZE)
#define VMFS3_GROUP       32u
#define VMFS3_SB_SIZE     65536u
#define VMFS3_DESCRIPTORS 64u
#define VMFS3_SUB_BLOCKS  64u
#define VMFS3_POINTERS    16u

enum vmfs3_kind {
    VMFS3_FBB,
    VMFS3_FDC,
    VMFS3_PBC,
    VMFS3_SBC,
    VMFS3_PB2,
    VMFS3_KINDS,
};

enum vmfs3_file {  // items of cluster 0
    VMFS3_SMALL = 8,
    VMFS3_SUB,
    VMFS3_BLOCKS,
    VMFS3_TBZ,
    VMFS3_SPARSE,
    VMFS3_LINK,
    VMFS3_DIR,
    VMFS3_INNER,
    VMFS3_END,
};

struct vmfs3 {
    struct block_device *device;
    unsigned shift;    // of file blocks
    bool upgraded;     // by ESXi to VMFS-5
    uint32_t next;     // free file block
    uint64_t fds;      // where descriptors begin
    uint32_t fdc;      // block of .fdc.sf
    uint32_t sbc[16];  // blocks of .sbc.sf
    bool failed;
    bool used[VMFS3_KINDS][512];  // is the item allocated?
};

static inline uint8_t vmfs3_byte(unsigned item, uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 4096 + item * 31 + 1);
}

static inline void vmfs3_put(struct vmfs3 *w, uint64_t address, const void *from, size_t size)
{
    uint8_t *data = calloc(1, round_up(size, VMFS_SECTOR));

    memcpy(data, from, size);
    w->failed = w->failed || block_write(w->device, LVM_DATA + address, data,
                                         round_up(size, VMFS_SECTOR)) != VMK_OK;
    free(data);
}

/* Content of `item` from `offset` on, to `address` of the volume. */
static inline void vmfs3_fill(struct vmfs3 *w, uint64_t address, unsigned item, uint64_t offset,
                              size_t size)
{
    uint8_t *data = malloc(size);

    for (size_t i = 0; i < size; i++)
        data[i] = vmfs3_byte(item, offset + i);
    vmfs3_put(w, address, data, size);
    free(data);
}

static inline void vmfs3_lock(uint8_t *sector, uint32_t type, uint64_t address)
{
    put_le32(sector + LOCK_TYPE, type);
    put_le64(sector + LOCK_ADDRESS, address);
    put_le64(sector + LOCK_TOKEN, 1);
}

/* The header and cluster heads of a system file whose first blocks lie together. */
static inline void vmfs3_resource(struct vmfs3 *w, enum vmfs3_kind kind, uint64_t at,
                                  uint32_t per_cluster, uint32_t size, uint32_t total)
{
    static const uint32_t types[VMFS3_KINDS] = {LOCK_FBB, LOCK_FDC, LOCK_PBC, LOCK_SBC,
                                                LOCK_PB2};
    uint32_t clusters = (total + per_cluster - 1) / per_cluster;
    uint8_t head[RES_CLUSTER_SIZE] = {0};

    put_le32(head + RES_H_PER_CLUSTER, per_cluster);
    put_le32(head + RES_H_PER_GROUP, VMFS3_GROUP);
    put_le32(head + RES_H_HEADER, RES_HEADER_SIZE);
    put_le32(head + RES_H_ITEM_SIZE, size);
    put_le32(head + RES_H_GROUP_SIZE,
             VMFS3_GROUP * RES_CLUSTER_SIZE + VMFS3_GROUP * per_cluster * size);
    put_le32(head + RES_H_TOTAL, total);
    put_le32(head + RES_H_GROUPS, (clusters + VMFS3_GROUP - 1) / VMFS3_GROUP);
    vmfs3_put(w, at, head, VMFS_SECTOR);
    for (uint32_t c = 0; c < clusters; c++) {
        uint64_t place = at + RES_HEADER_SIZE + c * RES_CLUSTER_SIZE;
        uint8_t *meta = head + VMFS_SECTOR;
        uint32_t count = MIN(per_cluster, total - c * per_cluster);
        uint32_t free_count = 0;
        uint32_t first = 0;

        memset(head, 0, sizeof(head));
        vmfs3_lock(head, types[kind], place);
        put_le32(meta + RES_C_NUMBER, c);
        put_le32(meta + RES_C_COUNT, count);
        for (uint32_t i = count; i-- > 0;) {
            if (w->used[kind][c * per_cluster + i])
                continue;
            meta[RES_C_BITMAP + i / 8] |= (uint8_t)(1u << (i % 8));
            free_count++;
            first = i;
        }
        put_le32(meta + RES_C_FREE, free_count);
        put_le32(meta + RES_C_FIRST_FREE, first);
        if (kind == VMFS3_FDC && free_count < count)
            put_le32(meta + RES_C_TYPE_DATA, 1);
        vmfs3_put(w, place, head, sizeof(head));
    }
}

/* A descriptor with `count` addresses. What only VMFS-5 has stays zero. */
static inline void vmfs3_fd(struct vmfs3 *w, unsigned item, uint32_t type, uint32_t mode,
                            uint64_t length, uint32_t zla, const uint32_t *words,
                            unsigned count, uint32_t links)
{
    static uint8_t fd[VMFS_FD_SIZE];
    uint8_t *meta = fd + FD_META;
    uint32_t tbz = 0;
    uint64_t blocks = zla == ZLA_PB;  // the one pointer block here leads to two

    w->used[VMFS3_FDC][item] = true;
    memset(fd, 0, sizeof(fd));
    vmfs3_lock(fd, LOCK_FD, w->fds + item * VMFS_FD_SIZE);
    for (unsigned i = 0; i < count; i++) {
        put_le32(fd + FD_DATA + 4ull * i, words[i]);
        blocks += words[i] != 0;
        tbz += addr_type(words[i]) == ADDR_FB && words[i] & ADDR_TBZ;
    }
    put_le32(meta + FD_ADDRESS, addr_fd(0, item));
    put_le32(meta + FD_GENERATION, 1);
    put_le32(meta + FD_LINKS, links);
    put_le32(meta + FD_TYPE, type);
    put_le64(meta + FD_LENGTH, length);
    put_le64(meta + FD_BLOCK_SIZE, zla == ZLA_SB ? VMFS3_SB_SIZE : 1ull << w->shift);
    put_le64(meta + FD_BLOCKS, blocks);
    put_le32(meta + FD_MTIME, 1234567890);
    put_le32(meta + FD_MODE, mode);
    put_le32(meta + FD_ZLA, zla);
    put_le32(meta + FD_TBZ_COUNT, tbz);
    vmfs3_put(w, w->fds + item * VMFS_FD_SIZE, fd, sizeof(fd));
}

static inline void vmfs3_name(uint8_t *entries, unsigned index, uint32_t type, unsigned item,
                              const char *name)
{
    uint8_t *e = entries + index * DIRENT_SIZE;

    put_le32(e + DIRENT_TYPE, type);
    put_le32(e + DIRENT_FD, addr_fd(0, item));
    put_le32(e + DIRENT_GENERATION, 1);
    memcpy(e + DIRENT_NAME, name, strlen(name) + 1);
}

static inline uint64_t vmfs3_block(const struct vmfs3 *w, uint32_t block)
{
    return (uint64_t)block << w->shift;
}

/* Where byte `in` of sub-block `item` (of cluster 0) lies. */
static inline uint64_t vmfs3_sub_at(struct vmfs3 *w, uint32_t item, uint32_t in)
{
    uint64_t offset =
        RES_HEADER_SIZE + VMFS3_GROUP * RES_CLUSTER_SIZE + (uint64_t)item * VMFS3_SB_SIZE + in;

    w->used[VMFS3_SBC][item] = true;
    return vmfs3_block(w, w->sbc[offset >> w->shift]) + (offset & ((1ull << w->shift) - 1));
}

static inline void vmfs3_lvm(struct vmfs3 *w, const uint8_t *uuid)
{
    uint8_t s[VMFS_SECTOR] = {0};
    uint64_t pes = 2;

    put_le32(s + LVM_D_MAGIC, LVM_MAGIC);
    put_le32(s + LVM_D_MAJOR, w->upgraded ? LVM_MAJOR : LVM_MAJOR_OLD);
    put_le32(s + LVM_D_MINOR, 5);
    put_le32(s + LVM_D_BLOCK_SIZE, VMFS_SECTOR);
    put_le64(s + LVM_D_TOTAL_BYTES, w->device->size);
    put_le32(s + LVM_D_VOLUMES, 1);
    put_le32(s + LVM_D_PES, (uint32_t)pes);
    put_le32(s + LVM_D_LAST_PE, (uint32_t)pes - 1);
    put_le64(s + LVM_D_DATA, LVM_DATA);
    memcpy(s + LVM_D_UUID, uuid, VMFS_UUID_SIZE);
    s[LVM_D_UUID] ^= 1;
    w->failed = w->failed || block_write(w->device, LVM_BASE, s, sizeof(s)) != VMK_OK;
    memset(s, 0, sizeof(s));
    put_le64(s + LVM_V_SIZE, pes << LVM_PE_SHIFT);
    put_le64(s + LVM_V_GENERATION, 3);
    put_le32(s + LVM_V_STATE, 1);
    memcpy(s + LVM_V_UUID, uuid, VMFS_UUID_SIZE);
    put_le32(s + LVM_V_PES, (uint32_t)pes);
    put_le64(s + LVM_V_LAST_PE, pes - 1);
    put_le32(s + LVM_V_DEVICES, 1);
    w->failed = w->failed || block_write(w->device, LVM_VOLUME, s, sizeof(s)) != VMK_OK;
    memset(s, 0, sizeof(s));
    s[0] = 1;  // the extent table: entry 0
    put_le64(s + 9, LVM_DATA);
    put_le64(s + 25, LVM_PE_SIZE);
    w->failed = w->failed || block_write(w->device, LVM_PE_TABLE, s, sizeof(s)) != VMK_OK;
}

static inline void vmfs3_super(struct vmfs3 *w, const uint8_t *uuid)
{
    static uint8_t slots[HB_SLOTS * VMFS_SECTOR];
    uint8_t s[VMFS_SECTOR] = {0};

    put_le32(s + FS_MAGIC_AT, FS_MAGIC);
    put_le32(s + FS_MAJOR_AT, w->upgraded ? FS_MAJOR : 4);
    s[FS_MINOR_AT] = w->upgraded ? 54 : 31;
    memcpy(s + FS_UUID, uuid, VMFS_UUID_SIZE);
    put_le32(s + FS_MODE, 2);
    memcpy(s + FS_LABEL, "old", 3);
    put_le32(s + FS_DISK_BLOCK, VMFS_SECTOR);
    put_le64(s + FS_BLOCK_SIZE, 1ull << w->shift);
    memcpy(s + FS_LV_UUID, uuid, VMFS_UUID_SIZE);
    put_le32(s + FS_SUB_BLOCK, VMFS3_SB_SIZE);
    if (w->upgraded) {
        put_le32(s + FS_FDC_HEADER, RES_HEADER_SIZE);
        put_le32(s + FS_FDC_CLUSTERS, VMFS3_GROUP);
        put_le64(s + FS_PB2_ADDRESS, w->fds + FD_PB2 * VMFS_FD_SIZE);
        put_le32(s + FS_PB2_FD, addr_fd(0, FD_PB2));
    }
    vmfs3_put(w, FS_BASE, s, sizeof(s));
    memset(slots, 0, sizeof(slots));
    for (unsigned i = 0; i < HB_SLOTS; i++) {
        put_le32(slots + (size_t)i * VMFS_SECTOR + HB_STATE, HB_FREE);
        put_le64(slots + (size_t)i * VMFS_SECTOR + HB_ADDRESS, HB_BASE + i * VMFS_SECTOR);
    }
    vmfs3_put(w, HB_BASE, slots, sizeof(slots));
}

static inline void vmfs3_take(struct vmfs3 *w, uint32_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        w->used[VMFS3_FBB][w->next] = true;
        words[i] = addr_fb(w->next++);
    }
}

static inline uint64_t vmfs3_length(unsigned item, unsigned shift)
{
    switch (item) {
    case VMFS3_SMALL: return 5000;
    case VMFS3_SUB: return 60000;
    case VMFS3_BLOCKS:
    case VMFS3_TBZ: return (2ull << shift) + 777;
    case VMFS3_SPARSE: return (300ull << shift) + 99;
    default: return 11;
    }
}

/* The user's files. Sub-blocks 0..15 are of cluster 0. */
static inline void vmfs3_files(struct vmfs3 *w, uint64_t pointers)
{
    /* 96 KiB + 14 * 64 KiB = 992 KiB: with blocks of 1 MiB it lies across two. */
    const uint32_t across = 14;
    static uint8_t table[VMFS_PB_SIZE];
    static uint8_t names[8 * DIRENT_SIZE];
    uint32_t words[3];

    words[0] = addr_sb(0, 0);
    vmfs3_fill(w, vmfs3_sub_at(w, 0, 0), VMFS3_SMALL, 0, 5000);
    vmfs3_fd(w, VMFS3_SMALL, FD_TYPE_FILE, 0644, 5000, ZLA_SB, words, 1, 1);

    words[0] = addr_sb(0, across);
    for (uint32_t in = 0; in < 60000; in += 4096)
        vmfs3_fill(w, vmfs3_sub_at(w, across, in), VMFS3_SUB, in, MIN(60000 - in, 4096u));
    vmfs3_fd(w, VMFS3_SUB, FD_TYPE_FILE, 0600, 60000, ZLA_SB, words, 1, 1);

    vmfs3_take(w, words, 3);
    for (unsigned i = 0; i < 3; i++)
        vmfs3_fill(w, vmfs3_block(w, addr_fb_block(words[i])), VMFS3_BLOCKS,
                   (uint64_t)i << w->shift, i < 2 ? 1u << w->shift : 777);
    vmfs3_fd(w, VMFS3_BLOCKS, FD_TYPE_FILE, 0644, vmfs3_length(VMFS3_BLOCKS, w->shift), ZLA_FB,
             words, 3, 1);

    vmfs3_take(w, words, 3);
    vmfs3_fill(w, vmfs3_block(w, addr_fb_block(words[0])), VMFS3_TBZ, 0, 1u << w->shift);
    vmfs3_fill(w, vmfs3_block(w, addr_fb_block(words[1])), VMFS3_SMALL, 0, 1u << w->shift);
    words[1] |= ADDR_TBZ;
    words[2] |= ADDR_TBZ;
    vmfs3_fd(w, VMFS3_TBZ, FD_TYPE_FILE, 0644, vmfs3_length(VMFS3_TBZ, w->shift), ZLA_FB, words,
             3, 1);

    /* Blocks 0 and 300 of 301, through one pointer block. */
    vmfs3_take(w, words + 1, 2);
    memset(table, 0, sizeof(table));
    put_le32(table, words[1]);
    put_le32(table + 4 * 300, words[2]);
    vmfs3_put(w, pointers, table, sizeof(table));
    vmfs3_fill(w, vmfs3_block(w, addr_fb_block(words[1])), VMFS3_SPARSE, 0, 1u << w->shift);
    vmfs3_fill(w, vmfs3_block(w, addr_fb_block(words[2])), VMFS3_SPARSE, 300ull << w->shift,
               99);
    words[0] = addr_pb(0, 0);
    w->used[VMFS3_PBC][0] = true;
    vmfs3_fd(w, VMFS3_SPARSE, FD_TYPE_FILE, 0644, vmfs3_length(VMFS3_SPARSE, w->shift), ZLA_PB,
             words, 1, 1);

    words[0] = addr_sb(0, 1);
    vmfs3_put(w, vmfs3_sub_at(w, 1, 0), "dir/inner", 9);
    vmfs3_fd(w, VMFS3_LINK, FD_TYPE_LINK, 0777, 9, ZLA_SB, words, 1, 1);

    words[0] = addr_sb(0, 2);
    memset(names, 0, sizeof(names));
    vmfs3_name(names, 0, FD_TYPE_DIR, VMFS3_DIR, ".");
    vmfs3_name(names, 1, FD_TYPE_DIR, FD_ROOT, "..");
    vmfs3_name(names, 2, FD_TYPE_FILE, VMFS3_INNER, "inner");
    vmfs3_put(w, vmfs3_sub_at(w, 2, 0), names, sizeof(names));
    vmfs3_fd(w, VMFS3_DIR, FD_TYPE_DIR, 0755, 3 * DIRENT_SIZE, ZLA_SB, words, 1, 2);
    words[0] = addr_sb(0, 3);
    vmfs3_fill(w, vmfs3_sub_at(w, 3, 0), VMFS3_INNER, 0, 11);
    vmfs3_fd(w, VMFS3_INNER, FD_TYPE_FILE, 0644, 11, ZLA_SB, words, 1, 1);
}

/*
 * A volume with blocks of 1 << shift bytes over the whole (empty) device. False: a write
 * failed.
 */
static inline bool vmfs3_write(struct block_device *device, unsigned shift, bool upgraded)
{
    static const struct {
        unsigned item;
        const char *name;
    } top[] = {{FD_FBB, ".fbb.sf"},    {FD_FDC, ".fdc.sf"},      {FD_PBC, ".pbc.sf"},
               {FD_SBC, ".sbc.sf"},    {FD_VH, ".vh.sf"},        {FD_PB2, ".pb2.sf"},
               {VMFS3_SMALL, "small"}, {VMFS3_SUB, "sub"},       {VMFS3_BLOCKS, "blocks"},
               {VMFS3_TBZ, "tbz"},     {VMFS3_SPARSE, "sparse"}, {VMFS3_LINK, "link"},
               {VMFS3_DIR, "dir"}};
    static const uint32_t types[VMFS3_END] = {
        [VMFS3_LINK] = FD_TYPE_LINK, [VMFS3_DIR] = FD_TYPE_DIR};
    const uint8_t uuid[VMFS_UUID_SIZE] = {0x11, 0x22, 0x33, 0x44, 5, 6, 7, 8, 9, 10, 2, 12, 13};
    const uint64_t size = 1ull << shift;
    const uint32_t total = (uint32_t)(2 * LVM_PE_SIZE >> shift);
    const uint64_t sbc_length = RES_HEADER_SIZE + VMFS3_GROUP * RES_CLUSTER_SIZE +
                                (uint64_t)VMFS3_SUB_BLOCKS * VMFS3_SB_SIZE;
    const unsigned sbc_blocks = (unsigned)((sbc_length + size - 1) >> shift);
    struct vmfs3 w = {.device = device, .shift = shift, .upgraded = upgraded};
    static uint8_t names[5 * VMFS_SECTOR];
    uint32_t vh[4], fdc, root, fbb, pbc, pb2 = 0, sbc[16];
    unsigned entries = 0;

    w.fdc = (uint32_t)(MAX(size, FDC_BASE) >> shift);
    vmfs3_take(&w, vh, w.fdc);
    w.next = w.fdc;
    vmfs3_take(&w, &fdc, 1);
    vmfs3_take(&w, &root, 1);
    vmfs3_take(&w, &fbb, 1);
    vmfs3_take(&w, &pbc, 1);
    for (unsigned i = 0; i < sbc_blocks; i++, w.next++) {
        vmfs3_take(&w, &sbc[i], 1);
        w.sbc[i] = addr_fb_block(sbc[i]);
    }
    if (upgraded)
        vmfs3_take(&w, &pb2, 1);
    w.fds = vmfs3_block(&w, w.fdc) + RES_HEADER_SIZE + VMFS3_GROUP * RES_CLUSTER_SIZE;
    vmfs3_files(&w, vmfs3_block(&w, addr_fb_block(pbc)) + RES_HEADER_SIZE +
                        VMFS3_GROUP * RES_CLUSTER_SIZE);

    vmfs3_fd(&w, FD_ROOT, FD_TYPE_DIR, 01755, 0, ZLA_FB, &root, 1, 3);
    vmfs3_fd(&w, FD_FBB, FD_TYPE_SYSTEM, 0400, RES_HEADER_SIZE + VMFS3_GROUP * RES_CLUSTER_SIZE,
             ZLA_FB, &fbb, 1, 1);
    vmfs3_fd(&w, FD_FDC, FD_TYPE_SYSTEM, 0400, size, ZLA_FB, &fdc, 1, 1);
    vmfs3_fd(&w, FD_PBC, FD_TYPE_SYSTEM, 0400,
             RES_HEADER_SIZE + VMFS3_GROUP * RES_CLUSTER_SIZE + VMFS3_POINTERS * VMFS_PB_SIZE,
             ZLA_FB, &pbc, 1, 1);
    vmfs3_fd(&w, FD_SBC, FD_TYPE_SYSTEM, 0400, sbc_length, ZLA_FB, sbc, sbc_blocks, 1);
    vmfs3_fd(&w, FD_VH, FD_TYPE_SYSTEM, 0400, vmfs3_block(&w, w.fdc), ZLA_FB, vh, w.fdc, 1);
    if (upgraded)
        vmfs3_fd(&w, FD_PB2, FD_TYPE_SYSTEM, 0400,
                 RES_HEADER_SIZE + VMFS3_GROUP * RES_CLUSTER_SIZE + 16 * VMFS_PB_SIZE, ZLA_FB,
                 &pb2, 1, 1);

    memset(names, 0, sizeof(names));
    vmfs3_name(names, entries++, FD_TYPE_DIR, FD_ROOT, ".");
    vmfs3_name(names, entries++, FD_TYPE_DIR, FD_ROOT, "..");
    for (unsigned i = 0; i < sizeof(top) / sizeof(top[0]); i++) {
        uint32_t type = top[i].item < VMFS3_SMALL ? FD_TYPE_SYSTEM : types[top[i].item];

        if (top[i].item != FD_PB2 || upgraded)
            vmfs3_name(names, entries++, type ? type : FD_TYPE_FILE, top[i].item, top[i].name);
    }
    vmfs3_put(&w, vmfs3_block(&w, addr_fb_block(root)), names, sizeof(names));
    vmfs3_fd(&w, FD_ROOT, FD_TYPE_DIR, 01755, entries * DIRENT_SIZE, ZLA_FB, &root, 1, 3);

    vmfs3_resource(&w, VMFS3_FDC, vmfs3_block(&w, w.fdc), 32, VMFS_FD_SIZE, VMFS3_DESCRIPTORS);
    vmfs3_resource(&w, VMFS3_FBB, vmfs3_block(&w, addr_fb_block(fbb)), 200, 0, total);
    vmfs3_resource(&w, VMFS3_PBC, vmfs3_block(&w, addr_fb_block(pbc)), 16, VMFS_PB_SIZE,
                   VMFS3_POINTERS);
    vmfs3_resource(&w, VMFS3_SBC, vmfs3_block(&w, w.sbc[0]), 16, VMFS3_SB_SIZE,
                   VMFS3_SUB_BLOCKS);
    if (upgraded)
        vmfs3_resource(&w, VMFS3_PB2, vmfs3_block(&w, addr_fb_block(pb2)), 16, VMFS_PB_SIZE,
                       16);
    vmfs3_super(&w, uuid);
    vmfs3_lvm(&w, uuid);
    return !w.failed && w.next < total;
}
