// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/datastore_first.c -- the first boot: an empty disk gets partitions and the first datastore.
 *
 * A disk is only taken when it holds nothing: no partition table, and zeros wherever it is
 * looked at, which is the whole of its beginning and end (where every partition table, file
 * system, RAID and volume manager has its marks) and a sample of what lies between. Whatever
 * cannot be read counts as something. The partitions have ESXi's numbers: 7 for core dumps, 2
 * for scratch, 3 for the datastore.
 *
 * A power cut in the middle is seen at the next boot: until the datastore is made, its
 * partition is called UNFINISHED in the table, which only this file writes; such a disk is
 * begun again.
 *
 * Invariants
 *   - Nothing is written to a disk before it was found blank, or unfinished by that name.
 * Locking    none: one world, at boot.
 * Start at   datastore_first_boot().
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/fat/fat.h"
#include "fs/vfs.h"
#include "fs/vmfs/datastore.h"
#include "io/partition.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"

#define LEAST        (1300ull << 20)  // of a disk, as ESXi wants it for VMFS-5
#define DUMP_SIZE    (110ull << 20)
#define SCRATCH      (4ull << 30)
#define SCRATCH_MIN  (16ull << 30)  // a disk that small has no scratch partition
#define UNFINISHED   "unfinished datastore"
#define LABELS_MAX   100u
#define SCRATCH_PATH "/scratch"

enum {
    PART_SCRATCH = 2,
    PART_VMFS = 3,
    PART_DUMP = 7,
};

#define CHUNK   (256u << 10)
#define WHOLE   (4ull << 20)  // read whole at the beginning and at the end
#define SAMPLE  4096u
#define SAMPLES 512u

/* ---- is there anything? ---- */

/* True: [offset, offset + size) reads as zeros. *where: the first byte that is not. */
static bool is_zero(struct block_device *disk, uint64_t offset, uint64_t size, uint8_t *buffer,
                    uint64_t *where)
{
    while (size) {
        uint64_t part = MIN(size, CHUNK);

        *where = offset;
        if (block_read(disk, offset, buffer, part) != VMK_OK)
            return false;
        for (uint64_t i = 0; i < part; i++) {
            if (buffer[i]) {
                *where = offset + i;
                return false;
            }
        }
        offset += part;
        size -= part;
    }
    return true;
}

static bool is_blank(struct block_device *disk, uint64_t *where)
{
    const uint64_t size = round_down(disk->size, MAX(disk->block_size, SAMPLE));
    uint8_t *buffer = heap_alloc(CHUNK, MEM_OWNER_FS);
    bool blank;

    *where = 0;
    if (!buffer)
        return false;
    blank = is_zero(disk, 0, WHOLE, buffer, where) &&
            is_zero(disk, size - WHOLE, WHOLE, buffer, where);
    if (blank && size < disk->size)
        blank =
            is_zero(disk, size, round_down(disk->size - size, disk->block_size), buffer, where);
    for (unsigned i = 1; blank && i < SAMPLES; i++)
        blank = is_zero(disk, round_down(size / SAMPLES * i, SAMPLE), SAMPLE, buffer, where);
    /* The second superblock of btrfs, which an interrupted wipe leaves. */
    if (blank)
        blank = is_zero(disk, 64ull << 20, SAMPLE, buffer, where);
    heap_free(buffer);
    return blank;
}

/* What a disk has for the first boot. */
enum find {
    FIND_OTHER,       // something, and no datastore
    FIND_BLANK,       // nothing at all
    FIND_UNFINISHED,  // a first boot that did not come to its end
    FIND_DATASTORE,   // a VMFS partition
};

static enum find look_at_table(const struct partition_table *table, const char *name)
{
    enum find find = FIND_OTHER;

    for (unsigned i = 0; i < table->count; i++) {
        if (table->partitions[i].kind != PARTITION_VMFS)
            continue;
        if (!strcmp(table->partitions[i].name, UNFINISHED))
            return FIND_UNFINISHED;
        find = FIND_DATASTORE;
    }
    if (find == FIND_OTHER)
        vmk_log(VMK_LOG_INFO, "Datastore: %s has a partition table: left alone", name);
    return find;
}

static enum find look_at(const struct storage_device_info *info)
{
    struct partition_table *table = NULL;
    struct block_device *disk;
    enum find find = FIND_OTHER;
    uint64_t where;
    vmk_status status = storage_open(info->name, &disk);

    if (status != VMK_OK)
        return FIND_OTHER;
    status = partition_table_read(disk, &partition_report_none, &table);
    if (status == VMK_OK && table->scheme != PARTITION_SCHEME_NONE) {
        find = look_at_table(table, info->name);
    } else if (status == VMK_OK && info->size >= LEAST && is_blank(disk, &where)) {
        find = FIND_BLANK;
    } else if (status == VMK_OK && info->size >= LEAST) {
        vmk_log(VMK_LOG_INFO, "Datastore: %s is not empty (byte %llu): left alone", info->name,
                (unsigned long long)where);
    }
    partition_table_free(table);
    storage_close(disk);
    return find;
}

/* ---- taking a disk ---- */

static struct partition_guid guid_make(void)
{
    uint64_t random[2];

    vfs_random(random, sizeof(random));
    return partition_guid_make(random[0], random[1]);
}

static vmk_status add(struct partition_table *table, unsigned number, enum partition_kind kind,
                      uint64_t size, const char *name)
{
    struct partition p = {.number = number, .kind = kind, .size = size, .id = guid_make()};

    (void)vmk_snprintf(p.name, sizeof(p.name), "%s", name);
    return partition_add(table, &p);
}

static vmk_status table_make(struct block_device *disk, struct partition_table **out)
{
    const struct partition_guid id = guid_make();
    vmk_status status = partition_table_new(disk, &id, out);

    if (status != VMK_OK)
        return status;
    status = add(*out, PART_DUMP, PARTITION_VMKCORE, DUMP_SIZE, "");
    if (status == VMK_OK && disk->size >= SCRATCH_MIN)
        status = add(*out, PART_SCRATCH, PARTITION_BASIC_DATA, SCRATCH, "");
    if (status == VMK_OK)
        status = add(*out, PART_VMFS, PARTITION_VMFS, 0, UNFINISHED);
    if (status == VMK_OK)
        status = partition_table_write(disk, *out);
    return status;
}

static vmk_status scratch_make(const char *disk)
{
    struct fat_format how = {.label = "SCRATCH", .now_ns = vfs_time_now()};
    char name[BLOCK_NAME_SIZE + 8];
    struct block_device *part;
    vmk_status status;

    vfs_random(&how.id, sizeof(how.id));
    (void)vmk_snprintf(name, sizeof(name), "%s:%u", disk, PART_SCRATCH);
    status = storage_open(name, &part);
    if (status == VMK_OK) {
        status = fat_format(part, &how);
        storage_close(part);
    }
    return status;
}

/* datastore1, or the first number that is free. */
static vmk_status volume_make(const char *disk, char *label, size_t room)
{
    char name[BLOCK_NAME_SIZE + 8];
    vmk_status status = VMK_EXISTS;

    (void)vmk_snprintf(name, sizeof(name), "%s:%u", disk, PART_VMFS);
    for (unsigned i = 1; status == VMK_EXISTS && i <= LABELS_MAX; i++) {
        (void)vmk_snprintf(label, room, "datastore%u", i);
        status = datastore_create(name, label);
    }
    return status;
}

/* A volume's head is written last, so what has one is whole. */
static bool volume_is_there(const char *disk)
{
    char name[BLOCK_NAME_SIZE + 8];
    struct vmfs_extent_info extent;
    struct block_device *part;
    vmk_status status;

    (void)vmk_snprintf(name, sizeof(name), "%s:%u", disk, PART_VMFS);
    status = storage_open(name, &part);
    if (status == VMK_OK) {
        status = vmfs_probe(part, &extent);
        storage_close(part);
    }
    return status == VMK_OK;
}

/* The datastore is there: the table may say so. */
static vmk_status table_finish(struct block_device *disk, struct partition_table *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (table->partitions[i].number == PART_VMFS)
            memset(table->partitions[i].name, 0, sizeof(table->partitions[i].name));
    }
    return partition_table_write(disk, table);
}

/*
 * The power went between the datastore and the end of the first boot: only the name is missing.
 */
static void finish(const struct storage_device_info *info)
{
    struct partition_table *table = NULL;
    struct block_device *disk;
    vmk_status status = storage_open(info->name, &disk);

    if (status != VMK_OK)
        return;
    status = partition_table_read(disk, &partition_report_none, &table);
    if (status == VMK_OK)
        status = table_finish(disk, table);
    partition_table_free(table);
    storage_close(disk);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Datastore: %s: its partition table: %s; at the next boot",
                info->name, vmk_status_text(status));
}

static bool take(const struct storage_device_info *info)
{
    struct partition_table *table = NULL;
    struct block_device *disk;
    char label[32] = "";
    const char *step = "opening it";
    vmk_status status = storage_open(info->name, &disk);

    if (status == VMK_OK) {
        step = "its partition table";
        status = table_make(disk, &table);
        if (status == VMK_OK && partition_find(table, PART_SCRATCH)) {
            step = "the scratch partition";
            status = scratch_make(info->name);
        }
        if (status == VMK_OK) {
            step = "the datastore";
            status = volume_make(info->name, label, sizeof(label));
        }
        if (status == VMK_OK) {
            step = "its partition table";
            status = table_finish(disk, table);
        }
        partition_table_free(table);
        storage_close(disk);
    }
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Datastore: %s: %s: %s; begun again at the next boot",
                info->name, step, vmk_status_text(status));
        return false;
    }
    vmk_log(VMK_LOG_INFO, "Datastore: %s was empty: partitions for core dumps%s and %s made",
            info->name, info->size >= SCRATCH_MIN ? ", scratch" : "", label);
    return true;
}

/* A disk that is this host's alone and that nobody uses. */
static bool is_candidate(const struct storage_device_info *info)
{
    return !info->gone && !info->read_only && !info->removable && !info->users;
}

unsigned datastore_first_boot(enum datastore_auto how)
{
    enum find finds[STORAGE_DEVICES_MAX];
    struct storage_device_info info;
    unsigned count = 0, made = 0;
    bool have = false;

    if (how == DATASTORE_AUTO_NEVER)
        return 0;
    while (count < STORAGE_DEVICES_MAX && storage_device_get(count, &info)) {
        finds[count] = info.gone ? FIND_OTHER : look_at(&info);
        have |= finds[count++] == FIND_DATASTORE;
    }
    for (unsigned i = 0; i < count && storage_device_get(i, &info); i++) {
        bool wanted = how == DATASTORE_AUTO_ALL || (!have && !made);

        if (finds[i] == FIND_BLANK && !wanted)
            vmk_log(VMK_LOG_INFO,
                    "Datastore: %s is empty, and the host has a datastore: left alone "
                    "(autoPartition=TRUE takes it)",
                    info.name);
        if (finds[i] == FIND_UNFINISHED && volume_is_there(info.name))
            finish(&info);
        else if ((finds[i] == FIND_UNFINISHED || (finds[i] == FIND_BLANK && wanted)) &&
                 is_candidate(&info))
            made += take(&info);
    }
    return made;
}

/* ---- scratch ---- */

/* True: the disk's scratch partition is mounted. */
static bool scratch_try(const struct storage_device_info *info)
{
    const struct vfs_where where = vfs_where_kernel();
    struct partition_table *table = NULL;
    const struct partition *p;
    char name[BLOCK_NAME_SIZE + 8];
    bool wanted;
    vmk_status status = storage_table_read(info->name, &partition_report_none, &table);

    if (status != VMK_OK)
        return false;
    p = partition_find(table, PART_SCRATCH);
    wanted = table->scheme == PARTITION_SCHEME_GPT && p && !p->bad &&
             p->kind == PARTITION_BASIC_DATA && p->size == SCRATCH &&
             partition_find(table, PART_DUMP) && partition_find(table, PART_VMFS);
    partition_table_free(table);
    if (!wanted)
        return false;
    (void)vmk_snprintf(name, sizeof(name), "%s:%u", info->name, PART_SCRATCH);
    status = vfs_mkdir(&where, SCRATCH_PATH, 0755);
    if (status == VMK_OK || status == VMK_EXISTS)
        status = vfs_mount(&where, "vfat", name, SCRATCH_PATH, VFS_MOUNT_NOSUID, NULL);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_WARN, "Datastore: %s: not mounted at " SCRATCH_PATH ": %s", name,
                vmk_status_text(status));
        return false;
    }
    vmk_log(VMK_LOG_INFO, "Datastore: %s is " SCRATCH_PATH, name);
    return true;
}

bool datastore_scratch_mount(void)
{
    struct storage_device_info info;

    for (unsigned i = 0; storage_device_get(i, &info); i++) {
        if (!info.gone && !info.read_only && scratch_try(&info))
            return true;
    }
    return false;
}

void datastore_scratch_unmount(void)
{
    const struct vfs_where where = vfs_where_kernel();
    const vmk_status status = vfs_unmount(&where, SCRATCH_PATH);

    if (status == VMK_BUSY)
        vmk_log(VMK_LOG_WARN, "Datastore: " SCRATCH_PATH " stays mounted: files are open");
}
