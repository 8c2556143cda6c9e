// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_format.c -- making a VMFS-5 volume.
 *
 * Writes every field that is known, including those no open-source reader looks at. The system
 * files are sized so that each fits the 256 blocks its descriptor can name.
 *
 * Invariants
 *   - The superblock and the LVM heads are written last: a volume half made is none.
 * Locking    none: nobody else knows of the volume yet.
 * Start at   vmfs_format().
 * Sources    docs/design/vmfs.md
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define TABLES_CHUNK  (1u << 20)
#define SUPER_MODE    (2u | FS_MODE_DENSE)  // public
#define JOURNAL_SLOTS 8u
#define DISK_ID       "vmhba0:4:0"

struct system_file {
    uint32_t lock_type, per_cluster, item_size, total;
    uint32_t length_blocks;  // file blocks
    uint64_t length;
    uint32_t blocks[VMFS_FD_WORDS];
};

struct making {
    struct block_device *const *devices;
    unsigned count;
    const struct vmfs_format *how;
    uint64_t pes[LVM_EXTENTS_MAX];
    uint64_t total_pes;
    struct vmfs_uuid lv_uuid, fs_uuid;
    struct system_file files[RES_COUNT];
    uint32_t used;  // file blocks taken so far, from the start
    uint8_t *chunk;
};

static vmk_status put(struct making *m, uint64_t address, const void *from, uint64_t size)
{
    while (size) {
        uint64_t pe = address >> LVM_PE_SHIFT;
        unsigned i = 0;
        uint64_t first = 0;

        while (i < m->count && pe >= first + m->pes[i])
            first += m->pes[i++];
        if (i == m->count)
            return VMK_NO_SPACE;

        uint64_t at = address - (first << LVM_PE_SHIFT);
        uint64_t part = MIN(size, (m->pes[i] << LVM_PE_SHIFT) - at);
        vmk_status status = block_write(m->devices[i], LVM_DATA + at, from, part);

        if (status != VMK_OK)
            return status;
        from = (const char *)from + part;
        address += part;
        size -= part;
    }
    return VMK_OK;
}

static uint32_t clusters_of(const struct system_file *f)
{
    return (f->total + f->per_cluster - 1) / f->per_cluster;
}

static uint32_t group_size(const struct system_file *f)
{
    return RES_GROUP * RES_CLUSTER_SIZE + RES_GROUP * f->per_cluster * f->item_size;
}

static void file_plan(struct system_file *f, uint32_t lock_type, uint32_t per_cluster,
                      uint32_t item_size, uint64_t total)
{
    uint32_t groups;

    f->lock_type = lock_type;
    f->per_cluster = per_cluster;
    f->item_size = item_size;
    f->total = (uint32_t)total;
    groups = (clusters_of(f) + RES_GROUP - 1) / RES_GROUP;
    f->length = RES_HEADER_SIZE + (uint64_t)groups * RES_GROUP * RES_CLUSTER_SIZE +
                (uint64_t)f->total * item_size;
    if (lock_type == LOCK_FDC)
        f->length = round_up(f->length, VMFS_FB_SIZE);
    f->length_blocks = (uint32_t)((f->length + VMFS_FB_SIZE - 1) >> VMFS_FB_SHIFT);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return MIN(MAX(value, low), high);
}

static void plan(struct making *m)
{
    uint64_t blocks = m->total_pes << (LVM_PE_SHIFT - VMFS_FB_SHIFT);
    uint64_t files = clamp(blocks / 4, 64, 130000);

    file_plan(&m->files[RES_FBB], LOCK_FBB, 200, 0, blocks);
    file_plan(&m->files[RES_FDC], LOCK_FDC, files > 4096 ? 200 : 32, VMFS_FD_SIZE, files);
    /* As small as ESXi's on one extent; else one per GiB and room for scattered files. */
    file_plan(&m->files[RES_PBC], LOCK_PBC, 16, VMFS_PB_SIZE,
              blocks <= 256 ? 1 : clamp(blocks / 128, 64, 64512));
    file_plan(&m->files[RES_SBC], LOCK_SBC, 32, VMFS_SB_SIZE, clamp(blocks, 256, 32000));
    file_plan(&m->files[RES_PB2], LOCK_PB2, 16, VMFS_PB_SIZE, blocks <= 256 ? 1 : 256);
}

static void take(struct making *m, struct system_file *f, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        f->blocks[from + i] = m->used++;
}

/* FB 0-3 .vh, 4 .fdc's first, 5 root, .fbb, .pbc, .sbc, .pb2, .sdd, the rest of .fdc. */
static void place(struct making *m, uint32_t *root, uint32_t *sdd)
{
    m->used = 4;
    take(m, &m->files[RES_FDC], 0, 1);
    *root = m->used++;
    take(m, &m->files[RES_FBB], 0, m->files[RES_FBB].length_blocks);
    take(m, &m->files[RES_PBC], 0, m->files[RES_PBC].length_blocks);
    take(m, &m->files[RES_SBC], 0, m->files[RES_SBC].length_blocks);
    take(m, &m->files[RES_PB2], 0, m->files[RES_PB2].length_blocks);
    *sdd = m->used++;
    take(m, &m->files[RES_FDC], 1, m->files[RES_FDC].length_blocks - 1);
}

static vmk_status put_in_file(struct making *m, const struct system_file *f, uint64_t offset,
                              const void *from, uint64_t size)
{
    return put(m,
               ((uint64_t)f->blocks[offset >> VMFS_FB_SHIFT] << VMFS_FB_SHIFT) +
                   offset % VMFS_FB_SIZE,
               from, size);
}

static vmk_status zero_block(struct making *m, uint32_t block)
{
    memset(m->chunk, 0, VMFS_FB_SIZE);
    return put(m, (uint64_t)block << VMFS_FB_SHIFT, m->chunk, VMFS_FB_SIZE);
}

static uint64_t cluster_address(const struct system_file *f, uint32_t cluster, uint64_t *offset)
{
    *offset = RES_HEADER_SIZE + (uint64_t)(cluster / RES_GROUP) * group_size(f) +
              (uint64_t)(cluster % RES_GROUP) * RES_CLUSTER_SIZE;
    return ((uint64_t)f->blocks[*offset >> VMFS_FB_SHIFT] << VMFS_FB_SHIFT) +
           *offset % VMFS_FB_SIZE;
}

/* The first `taken` items are allocated. */
static vmk_status write_file(struct making *m, const struct system_file *f, uint32_t taken,
                             uint64_t *mtime)
{
    uint8_t head[RES_CLUSTER_SIZE];
    vmk_status status = VMK_OK;

    for (uint32_t i = 0; i < f->length_blocks && status == VMK_OK; i++) {
        /* Contents of items need no zeroing; what holds a cluster head does, and it is simpler
         * and safer to leave nothing old behind at all. */
        status = zero_block(m, f->blocks[i]);
    }
    memset(head, 0, sizeof(head));
    put_le32(head + RES_H_PER_CLUSTER, f->per_cluster);
    put_le32(head + RES_H_PER_GROUP, RES_GROUP);
    put_le32(head + RES_H_HEADER, RES_HEADER_SIZE);
    put_le32(head + RES_H_ITEM_SIZE, f->item_size);
    put_le32(head + RES_H_GROUP_SIZE, group_size(f));
    put_le32(head + RES_H_TOTAL, f->total);
    put_le32(head + RES_H_GROUPS, (clusters_of(f) + RES_GROUP - 1) / RES_GROUP);
    if (status == VMK_OK)
        status = put_in_file(m, f, 0, head, VMFS_SECTOR);
    for (uint32_t c = 0; c < clusters_of(f) && status == VMK_OK; c++) {
        uint32_t first = c * f->per_cluster;
        uint32_t count = MIN(f->per_cluster, f->total - first);
        uint32_t used = taken > first ? MIN(taken - first, count) : 0;
        uint8_t *meta = head + VMFS_SECTOR;
        uint64_t offset;

        memset(head, 0, sizeof(head));
        lock_image_make(head, f->lock_type, cluster_address(f, c, &offset), (*mtime)++);
        put_le32(meta + RES_C_NUMBER, c);
        put_le32(meta + RES_C_COUNT, count);
        put_le32(meta + RES_C_FREE, count - used);
        put_le32(meta + RES_C_FIRST_FREE, used < count ? used : 0);
        for (uint32_t i = used; i < count; i++)
            meta[RES_C_BITMAP + i / 8] |= (uint8_t)(1u << (i % 8));
        status = put_in_file(m, f, offset, head, sizeof(head));
    }
    return status;
}

static void descriptor(const struct making *m, uint8_t *fd, enum fd_system item, uint32_t type,
                       uint32_t mode, uint64_t length, const uint32_t *blocks, uint32_t count,
                       uint32_t links)
{
    uint8_t *meta = fd + FD_META;
    uint32_t now = (uint32_t)m->how->seconds;

    memset(fd, 0, VMFS_FD_SIZE);
    lock_image_make(fd, LOCK_FD, 0x420000ull + (uint64_t)item * VMFS_FD_SIZE, 512u + item);
    put_le32(meta + FD_ADDRESS, addr_fd(0, item));
    put_le32(meta + FD_GENERATION, 1);
    put_le32(meta + FD_LINKS, links);
    put_le32(meta + FD_TYPE, type);
    put_le64(meta + FD_LENGTH, length);
    put_le64(meta + FD_BLOCK_SIZE, VMFS_FB_SIZE);
    put_le64(meta + FD_BLOCKS, count);
    put_le32(meta + FD_MTIME, now);
    put_le32(meta + FD_CTIME, now);
    put_le32(meta + FD_ATIME, now);
    put_le32(meta + FD_MODE, mode);
    put_le32(meta + FD_ZLA, ZLA_FB);
    put_le32(meta + FD_NEW_COUNT, count);
    put_le32(meta + FD_AFFINITY, addr_fd(0, item));
    put_le32(meta + FD_TBZ_SHIFT, VMFS_FB_SHIFT);
    meta[FD_BLOCK_SHIFT] = VMFS_FB_SHIFT;
    for (uint32_t i = 0; i < count; i++)
        put_le32(fd + FD_DATA + 4ull * i, addr_fb(blocks[i]));
}

static void dirent(uint8_t *at, uint32_t type, enum fd_system item, const char *name)
{
    memset(at, 0, DIRENT_SIZE);
    put_le32(at + DIRENT_TYPE, type);
    put_le32(at + DIRENT_FD, addr_fd(0, item));
    put_le32(at + DIRENT_GENERATION, 1);
    memcpy(at + DIRENT_NAME, name, strlen(name) + 1);
}

static vmk_status write_root(struct making *m, uint32_t root, uint32_t sdd)
{
    static const struct {
        enum fd_system item;
        const char *name;
    } names[] = {{FD_FBB, ".fbb.sf"}, {FD_FDC, ".fdc.sf"}, {FD_PBC, ".pbc.sf"},
                 {FD_SBC, ".sbc.sf"}, {FD_VH, ".vh.sf"},   {FD_PB2, ".pb2.sf"},
                 {FD_SDD, ".sdd.sf"}};
    static const uint32_t vh[4] = {0, 1, 2, 3};
    uint8_t *fds = m->chunk;
    uint8_t *entries;
    vmk_status status;

    for (unsigned i = 0; i < RES_COUNT; i++) {
        static const enum fd_system items[RES_COUNT] = {FD_FBB, FD_FDC, FD_PBC, FD_SBC, FD_PB2};
        const struct system_file *f = &m->files[i];

        descriptor(m, fds + items[i] * VMFS_FD_SIZE, items[i], FD_TYPE_SYSTEM, 0400, f->length,
                   f->blocks, f->length_blocks, 1);
    }
    descriptor(m, fds + FD_ROOT * VMFS_FD_SIZE, FD_ROOT, FD_TYPE_DIR, 01755, 9 * DIRENT_SIZE,
               &root, 1, 3);
    descriptor(m, fds + FD_VH * VMFS_FD_SIZE, FD_VH, FD_TYPE_SYSTEM, 0400, 4u << 20, vh, 4, 1);
    descriptor(m, fds + FD_SDD * VMFS_FD_SIZE, FD_SDD, FD_TYPE_SYSTEM, 040700, 2 * DIRENT_SIZE,
               &sdd, 1, 2);
    status = put(m, 0x420000ull, fds, FD_SYSTEM_COUNT * VMFS_FD_SIZE);
    if (status != VMK_OK)
        return status;

    entries = m->chunk;
    memset(entries, 0, VMFS_FB_SIZE);
    dirent(entries, FD_TYPE_DIR, FD_ROOT, ".");
    dirent(entries + DIRENT_SIZE, FD_TYPE_DIR, FD_ROOT, "..");
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        dirent(entries + (i + 2) * DIRENT_SIZE, FD_TYPE_SYSTEM, names[i].item, names[i].name);
    status = put(m, (uint64_t)root << VMFS_FB_SHIFT, entries, VMFS_FB_SIZE);
    if (status != VMK_OK)
        return status;
    memset(entries, 0, VMFS_FB_SIZE);
    dirent(entries, FD_TYPE_SYSTEM, FD_SDD, ".");
    dirent(entries + DIRENT_SIZE, FD_TYPE_DIR, FD_ROOT, "..");
    return put(m, (uint64_t)sdd << VMFS_FB_SHIFT, entries, VMFS_FB_SIZE);
}

static vmk_status write_heartbeats(struct making *m)
{
    memset(m->chunk, 0, VMFS_FB_SIZE);
    for (unsigned i = 0; i < HB_SLOTS; i++) {
        put_le32(m->chunk + (size_t)i * VMFS_SECTOR + HB_STATE, HB_FREE);
        put_le64(m->chunk + (size_t)i * VMFS_SECTOR + HB_ADDRESS, HB_BASE + i * VMFS_SECTOR);
    }
    return put(m, HB_BASE, m->chunk, HB_SLOTS * VMFS_SECTOR);
}

static vmk_status write_super(struct making *m)
{
    uint8_t s[VMFS_SECTOR];

    memset(s, 0, sizeof(s));
    put_le32(s + FS_MAGIC_AT, FS_MAGIC);
    put_le32(s + FS_MAJOR_AT, FS_MAJOR);
    s[FS_MINOR_AT] = FS_MINOR;
    memcpy(s + FS_UUID, m->fs_uuid.raw, VMFS_UUID_SIZE);
    put_le32(s + FS_MODE, SUPER_MODE);
    memcpy(s + FS_LABEL, m->how->label, strlen(m->how->label));
    put_le32(s + FS_DISK_BLOCK, VMFS_SECTOR);
    put_le64(s + FS_BLOCK_SIZE, VMFS_FB_SIZE);
    put_le32(s + FS_CREATED, (uint32_t)m->how->seconds);
    put_le32(s + FS_SNAPSHOT, 1);
    memcpy(s + FS_LV_UUID, m->lv_uuid.raw, VMFS_UUID_SIZE);
    put_le32(s + FS_LV_SNAPSHOT, 1);
    put_le32(s + FS_FDC_HEADER, RES_HEADER_SIZE);
    put_le32(s + FS_FDC_CLUSTERS, RES_GROUP);
    put_le32(s + FS_SUB_BLOCK, VMFS_SB_SIZE);
    put_le32(s + FS_JOURNAL_SLOTS, JOURNAL_SLOTS);
    put_le64(s + FS_PB2_ADDRESS, 0x423000);
    put_le32(s + FS_PB2_FD, addr_fd(0, FD_PB2));
    memcpy(s + FS_HOST, m->how->host.raw, VMFS_UUID_SIZE);
    put_le64(s + FS_GENERATION, 1);
    put_le64(s + FS_SDD_ADDRESS, 0x423800);
    put_le32(s + FS_SDD_FD, addr_fd(0, FD_SDD));
    return put(m, FS_BASE, s, sizeof(s));
}

static void text_put(uint8_t *at, size_t room, const char *text)
{
    for (size_t i = 0; i + 1 < room && text[i]; i++)
        at[i] = (uint8_t)text[i];
}

/* The PE bitmap and table of one device. */
static vmk_status write_pe_maps(struct making *m, unsigned i, uint64_t first)
{
    struct block_device *device = m->devices[i];
    vmk_status status = VMK_OK;

    for (uint64_t map = 0; map * LVM_PES_PER_MAP < m->pes[i] && status == VMK_OK; map++) {
        uint8_t *bitmap = m->chunk;
        uint64_t base = map * LVM_PES_PER_MAP;
        uint64_t here = MIN(m->pes[i] - base, LVM_PES_PER_MAP);
        uint64_t at = LVM_PE_BITMAP + map * LVM_PE_MAP_STEP;

        memset(bitmap, 0, 1024);
        for (uint64_t k = 0; k < here; k++)
            bitmap[k / 8] |= (uint8_t)(1u << (k % 8));
        status = block_write(device, at, bitmap, 1024);
        memset(m->chunk, 0, TABLES_CHUNK);
        for (uint64_t k = 0; k < here; k++) {
            uint8_t *e = m->chunk + k * LVM_PE_ENTRY;

            e[LVM_P_USED] = 1;
            put_le32(e + LVM_P_ID, (uint32_t)(base + k));
            put_le64(e + LVM_P_DEVICE_AT, LVM_DATA + ((base + k) << LVM_PE_SHIFT));
            put_le64(e + LVM_P_VOLUME_AT, (first + base + k) << LVM_PE_SHIFT);
            put_le64(e + LVM_P_LENGTH, LVM_PE_SIZE);
            put_le32(e + LVM_P_VERSION, 1);
        }
        if (status == VMK_OK)
            status = block_write(device, at + 1024, m->chunk, LVM_PES_PER_MAP * LVM_PE_ENTRY);
    }
    return status;
}

static vmk_status write_lvm(struct making *m, unsigned i, uint64_t first)
{
    struct block_device *device = m->devices[i];
    uint8_t s[VMFS_SECTOR];
    uint64_t now_us = m->how->seconds * 1000000ull;
    struct vmfs_uuid uuid =
        vmfs_uuid_make(m->how->seconds, m->how->random[2] + i, m->how->random[3]);
    char text[VMFS_UUID_TEXT];
    vmk_status status = write_pe_maps(m, i, first);

    /* Names of all devices stand on the first. */
    memset(m->chunk, 0, 32 * 256);
    for (unsigned k = 0; i == 0 && k < m->count; k++)
        text_put(m->chunk + k * 256, 256, m->devices[k]->name);
    if (status == VMK_OK)
        status = block_write(device, LVM_NAMES, m->chunk, 32 * 256);

    memset(s, 0, sizeof(s));
    put_le64(s + LVM_V_SIZE, m->total_pes << LVM_PE_SHIFT);
    put_le64(s + LVM_V_GENERATION, m->total_pes + m->count);
    put_le32(s + LVM_V_STATE, 1);
    vmfs_uuid_text(&m->lv_uuid, text);
    text_put(s + LVM_V_NAME, 64, text);
    memcpy(s + LVM_V_UUID, m->lv_uuid.raw, VMFS_UUID_SIZE);
    put_le32(s + LVM_V_SNAPSHOT, 1);
    put_le64(s + LVM_V_CREATED, now_us);
    put_le32(s + LVM_V_PES, (uint32_t)m->pes[i]);
    put_le64(s + LVM_V_FIRST_PE, first);
    put_le64(s + LVM_V_LAST_PE, first + m->pes[i] - 1);
    put_le64(s + LVM_V_MOD_TIME, now_us);
    put_le32(s + LVM_V_DEVICES, m->count);
    if (status == VMK_OK)
        status = block_write(device, LVM_VOLUME, s, sizeof(s));

    memset(s, 0, sizeof(s));
    put_le32(s + LVM_D_MAGIC, LVM_MAGIC);
    put_le32(s + LVM_D_MAJOR, LVM_MAJOR);
    put_le32(s + LVM_D_MINOR, 21);
    s[LVM_D_DISK_TYPE + 1] = sizeof(DISK_ID) - 1;
    memcpy(s + LVM_D_ID, DISK_ID, sizeof(DISK_ID) - 1);
    put_le32(s + LVM_D_BLOCK_SIZE, VMFS_SECTOR);
    put_le64(s + LVM_D_TOTAL_BYTES, device->size);
    put_le32(s + LVM_D_VOLUMES, 1);
    put_le32(s + LVM_D_PES, (uint32_t)m->pes[i]);
    put_le32(s + LVM_D_LAST_PE, (uint32_t)(m->pes[i] - 1));
    put_le64(s + LVM_D_GENERATION, 3);
    put_le64(s + LVM_D_DATA, LVM_DATA);
    memcpy(s + LVM_D_UUID, uuid.raw, VMFS_UUID_SIZE);
    put_le64(s + LVM_D_INIT_TIME, now_us);
    put_le64(s + LVM_D_MOD_TIME, now_us);
    put_le32(s + LVM_D_PE_MAPS,
             (uint32_t)((m->pes[i] + LVM_PES_PER_MAP - 1) / LVM_PES_PER_MAP));
    return status == VMK_OK ? block_write(device, LVM_BASE, s, sizeof(s)) : status;
}

/* An old device's head and entry say the new sizes; its names and UUIDs stay. */
static vmk_status update_lvm(struct making *m, unsigned i, uint64_t first)
{
    struct block_device *device = m->devices[i];
    uint8_t entry[VMFS_SECTOR];
    uint8_t head[VMFS_SECTOR];
    uint64_t now_us = m->how->seconds * 1000000ull;
    vmk_status status = write_pe_maps(m, i, first);

    if (status == VMK_OK)
        status = block_read(device, LVM_VOLUME, entry, sizeof(entry));
    if (status == VMK_OK)
        status = block_read(device, LVM_BASE, head, sizeof(head));
    if (status == VMK_OK && i == 0) {
        memset(m->chunk, 0, 32 * 256);
        for (unsigned k = 0; k < m->count; k++)
            text_put(m->chunk + k * 256, 256, m->devices[k]->name);
        status = block_write(device, LVM_NAMES, m->chunk, 32 * 256);
    }
    if (status != VMK_OK)
        return status;
    put_le64(entry + LVM_V_SIZE, m->total_pes << LVM_PE_SHIFT);
    put_le64(entry + LVM_V_GENERATION, m->total_pes + m->count);
    put_le32(entry + LVM_V_PES, (uint32_t)m->pes[i]);
    put_le64(entry + LVM_V_LAST_PE, first + m->pes[i] - 1);
    put_le64(entry + LVM_V_MOD_TIME, now_us);
    put_le32(entry + LVM_V_DEVICES, m->count);
    put_le64(head + LVM_D_TOTAL_BYTES, device->size);
    put_le32(head + LVM_D_PES, (uint32_t)m->pes[i]);
    put_le32(head + LVM_D_LAST_PE, (uint32_t)(m->pes[i] - 1));
    put_le64(head + LVM_D_MOD_TIME, now_us);
    put_le32(head + LVM_D_PE_MAPS,
             (uint32_t)((m->pes[i] + LVM_PES_PER_MAP - 1) / LVM_PES_PER_MAP));
    status = block_flush(device);
    if (status == VMK_OK)
        status = block_write(device, LVM_BASE, head, sizeof(head));
    if (status == VMK_OK)
        status = block_write(device, LVM_VOLUME, entry, sizeof(entry));
    return status == VMK_OK ? block_flush(device) : status;
}

vmk_status lvm_grow(struct vmfs_volume *v, struct block_device *const *devices,
                    const uint64_t *pes, unsigned count)
{
    const struct vmfs_format how = {.seconds = volume_seconds(v),
                                    .random = {0, 0, le64(v->super + FS_LV_UUID + 8) + count,
                                               le64(v->super + FS_UUID + 4)}};
    struct making *m = vmfs_alloc(sizeof(*m));
    uint64_t first = 0;
    vmk_status status = VMK_NO_MEMORY;

    if (!m)
        return status;
    m->devices = devices;
    m->count = count;
    m->how = &how;
    memcpy(m->lv_uuid.raw, v->super + FS_LV_UUID, VMFS_UUID_SIZE);
    m->chunk = vmfs_alloc(TABLES_CHUNK);
    for (unsigned i = 0; i < count; i++) {
        m->pes[i] = pes[i];
        m->total_pes += pes[i];
    }
    /* From the end: the new device first, and the first one last. */
    for (unsigned i = count; m->chunk && i > 0; i--) {
        first = 0;
        for (unsigned k = 0; k + 1 < i; k++)
            first += pes[k];
        status = i > v->extent_count ? write_lvm(m, i - 1, first) : update_lvm(m, i - 1, first);
        if (status == VMK_OK)
            status = block_flush(devices[i - 1]);
        if (status != VMK_OK)
            break;
    }
    heap_free(m->chunk);
    heap_free(m);
    return status;
}

static vmk_status check_devices(struct making *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct block_device *d = m->devices[i];

        if (d->block_size != VMFS_SECTOR || d->read_only) {
            vmk_log(VMK_LOG_ERROR, "VMFS: %s: %s", d->name,
                    d->read_only ? "read-only" : "blocks must be of 512 bytes");
            return VMK_UNSUPPORTED;
        }
        if (d->size < LVM_DATA + LVM_PE_SIZE) {
            vmk_log(VMK_LOG_ERROR, "VMFS: %s: %llu bytes; the least is %llu (273 MiB)", d->name,
                    (unsigned long long)d->size, (unsigned long long)(LVM_DATA + LVM_PE_SIZE));
            return VMK_NO_SPACE;
        }
        m->pes[i] = MIN((d->size - LVM_DATA) >> LVM_PE_SHIFT,
                        (uint64_t)LVM_PES_PER_MAP * LVM_PE_MAPS_MAX);
        m->total_pes += m->pes[i];
    }
    if (m->total_pes > 50ull * 4096) {
        vmk_log(VMK_LOG_ERROR,
                "VMFS: volume of more than 50 TiB: its bitmap would need pointers");
        return VMK_TOO_BIG;
    }
    return VMK_OK;
}

static vmk_status make(struct making *m)
{
    uint32_t root;
    uint32_t sdd;
    uint64_t mtime = 512 + FD_SYSTEM_COUNT;
    vmk_status status;

    plan(m);
    place(m, &root, &sdd);
    /* No reader may take the old volume for this one while it is half made. */
    memset(m->chunk, 0, VMFS_SECTOR);
    for (unsigned i = 0; i < m->count; i++) {
        status = block_write(m->devices[i], LVM_BASE, m->chunk, VMFS_SECTOR);
        if (status == VMK_OK)
            status = block_flush(m->devices[i]);
        if (status != VMK_OK)
            return status;
    }
    status = VMK_OK;
    for (uint32_t i = 0; i < 4 && status == VMK_OK; i++)
        status = zero_block(m, i);
    for (unsigned i = 0; i < RES_COUNT && status == VMK_OK; i++)
        status = write_file(m, &m->files[i],
                            i == RES_FBB   ? m->used
                            : i == RES_FDC ? FD_SYSTEM_COUNT
                                           : 0,
                            &mtime);
    if (status == VMK_OK)
        status = write_root(m, root, sdd);
    if (status == VMK_OK)
        status = write_heartbeats(m);
    if (status == VMK_OK)
        status = write_super(m);
    for (unsigned i = 0; i < m->count && status == VMK_OK; i++)
        status = block_flush(m->devices[i]);
    for (unsigned i = m->count; i > 0 && status == VMK_OK; i--) {
        uint64_t first = 0;

        for (unsigned k = 0; k + 1 < i; k++)
            first += m->pes[k];
        status = write_lvm(m, i - 1, first);
        if (status == VMK_OK)
            status = block_flush(m->devices[i - 1]);
    }
    return status;
}

vmk_status vmfs_format(struct block_device *const *devices, unsigned count,
                       const struct vmfs_format *how)
{
    struct making *m;
    vmk_status status;

    if (!count || count > LVM_EXTENTS_MAX || !how->label || !*how->label ||
        strlen(how->label) >= VMFS_LABEL_SIZE || strchr(how->label, '/'))
        return VMK_BAD_PARAM;
    m = vmfs_alloc(sizeof(*m));
    if (!m)
        return VMK_NO_MEMORY;
    m->devices = devices;
    m->count = count;
    m->how = how;
    m->lv_uuid = vmfs_uuid_make(how->seconds, how->random[0], how->random[1]);
    m->fs_uuid = vmfs_uuid_make(how->seconds, how->random[1], how->random[2]);
    status = check_devices(m);
    if (status == VMK_OK) {
        m->chunk = vmfs_alloc(TABLES_CHUNK);
        status = m->chunk ? make(m) : VMK_NO_MEMORY;
        heap_free(m->chunk);
    }
    heap_free(m);
    return status;
}
