// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_datastore_first.c -- the first boot's datastore: made on empty disks, and only there.
 */
#include "fs/fat/fat.h"
#include "fs/fat/fat_vfs.h"
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/partition.h"
#include "io/storage.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "tests/unit/fs_fixture.h"

#define DISK_SIZE (2100ull << 20)
#define DISKS     3u

static struct disk_model *disks[DISKS];

static struct storage_adapter *adapter;

static void disk_add(unsigned i, uint64_t size)
{
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Model"};

    disks[i] = disk_model_create("disk", size);
    ck_assert_int_eq(
        storage_device_add(adapter, 0, i, 0, disk_model_device(disks[i]), &inquiry), VMK_OK);
}

/* An empty disk in place of the first. */
static void disk_change(void)
{
    storage_device_gone(disk_model_device(disks[0]));
    disk_add(0, DISK_SIZE);
}

static void disks_up(unsigned count, uint64_t size)
{
    fs_up();
    ck_assert_int_eq(vmfs_type_register(), VMK_OK);
    ck_assert_int_eq(storage_adapter_add("model", "nowhere", "the modelled disk", &adapter),
                     VMK_OK);
    for (unsigned i = 0; i < count; i++)
        disk_add(i, size);
}

/* A boot's part of it. */
static unsigned boot(enum datastore_auto how)
{
    (void)datastore_scan();
    return datastore_first_boot(how);
}

static struct partition_table *table_of(struct disk_model *disk)
{
    struct partition_table *table;

    ck_assert_int_eq(partition_table_read(disk_model_device(disk), NULL, &table), VMK_OK);
    return table;
}

static bool label_is_there(const char *label)
{
    struct datastore d;

    for (unsigned i = 0; datastore_get(i, &d); i++) {
        if (!strcmp(d.label, label))
            return true;
    }
    return false;
}

static void empty_disk(void *argument)
{
    struct partition_table *table;
    uint64_t writes;

    (void)argument;
    disks_up(1, 20ull << 30);
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 1);
    ck_assert(label_is_there("datastore1"));
    fs_write_file("/vmfs/volumes/datastore1/kept", "kept");
    table = table_of(disks[0]);
    ck_assert_uint_eq(table->problems, 0);
    ck_assert_uint_eq(table->count, 3);
    ck_assert_int_eq(partition_find(table, 7)->kind, PARTITION_VMKCORE);
    ck_assert_uint_eq(partition_find(table, 7)->size, 110 << 20);
    ck_assert_int_eq(partition_find(table, 2)->kind, PARTITION_BASIC_DATA);
    ck_assert_int_eq(partition_find(table, 3)->kind, PARTITION_VMFS);
    ck_assert_str_eq(partition_find(table, 3)->name, "");
    partition_table_free(table);
    ck_assert_uint_eq(datastore_unmount_all(), 0);
    writes = disk_model_writes(disks[0]);
    ck_assert_uint_eq(datastore_first_boot(DATASTORE_AUTO_FIRST), 0);
    ck_assert_uint_eq(datastore_first_boot(DATASTORE_AUTO_ALL), 0);
    ck_assert_uint_eq(disk_model_writes(disks[0]), writes);
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 0);
    ck_assert_str_eq(fs_read_file("/vmfs/volumes/datastore1/kept"), "kept");
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}
FS_TEST(test_datastore_first__empty_disk__partitioned_once_and_kept_from_then_on, empty_disk)

/*
 * The scratch partition of a large disk is /scratch, on this boot and the next; a small disk
 * has none.
 */
static void scratch(void *argument)
{
    (void)argument;
    disks_up(1, 20ull << 30);
    ck_assert_int_eq(fat_type_register(), VMK_OK);
    ck_assert(!datastore_scratch_mount());
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 1);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(datastore_scratch_mount());
        if (i == 0)
            fs_write_file("/scratch/Log of the last days.txt", "kept");
        ck_assert_str_eq(fs_read_file("/scratch/Log of the last days.txt"), "kept");
        datastore_scratch_unmount();
    }
    ck_assert_uint_eq(datastore_unmount_all(), 0);
    disk_change();
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 1);
    ck_assert(!datastore_scratch_mount());
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}
FS_TEST(test_datastore_first__scratch__is_mounted_where_there_is_one, scratch)

/* What somebody may have on a disk, each in a place of its own. */
static void put_content(struct disk_model *disk, unsigned kind)
{
    static const uint64_t places[] = {0,
                                      1024,
                                      65536,
                                      3 << 20,
                                      64 << 20,
                                      DISK_SIZE - 512,
                                      DISK_SIZE - 65536,
                                      DISK_SIZE - (3 << 20)};
    struct block_device *device = disk_model_device(disk);
    uint8_t sector[512] = {0};

    if (kind < sizeof(places) / sizeof(places[0])) {
        sector[kind] = 1;
        ck_assert_int_eq(block_write(device, places[kind] & ~511ull, sector, sizeof(sector)),
                         VMK_OK);
    } else if (kind == 8) {
        const struct fat_format how = {.label = "OTHER"};

        ck_assert_int_eq(fat_format(device, &how), VMK_OK);
    } else if (kind == 9) {  // a megabyte of data in the middle
        static uint8_t data[1 << 20];

        memset(data, 0x5a, sizeof(data));
        for (unsigned i = 0; i < 5; i++)
            ck_assert_int_eq(
                block_write(device, (1ull << 30) + i * sizeof(data), data, sizeof(data)),
                VMK_OK);
    } else if (kind == 10) {
        const struct partition_guid id = partition_guid_make(1, 2);
        struct partition_table *table;

        ck_assert_int_eq(partition_table_new(device, &id, &table), VMK_OK);
        ck_assert_int_eq(partition_table_write(device, table), VMK_OK);
        partition_table_free(table);
    } else {  // cannot be read: nobody knows what is there
        disk_model_fail(disk, DISK_SIZE - (1 << 20), 512, 1000);
    }
}
#define CONTENTS 12

static void not_empty(void *argument)
{
    (void)argument;
    for (unsigned kind = 0; kind < CONTENTS; kind++) {
        uint64_t writes;

        if (kind == 0)
            disks_up(1, DISK_SIZE);
        else
            disk_change();
        put_content(disks[0], kind);
        writes = disk_model_writes(disks[0]);
        ck_assert_msg(boot(DATASTORE_AUTO_FIRST) == 0, "content %u", kind);
        ck_assert_msg(boot(DATASTORE_AUTO_ALL) == 0, "content %u", kind);
        ck_assert_uint_eq(disk_model_writes(disks[0]), writes);
    }
    /* The same disk without content is taken: the above did not fail for another reason. */
    disk_change();
    ck_assert_uint_eq(boot(DATASTORE_AUTO_ALL), 1);
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}
FS_TEST(test_datastore_first__disk_with_content__nothing_written, not_empty)

static void which_disks(void *argument)
{
    (void)argument;
    disks_up(3, DISK_SIZE);
    ck_assert_uint_eq(boot(DATASTORE_AUTO_NEVER), 0);
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 1);
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 0);
    ck_assert(!label_is_there("datastore2"));
    ck_assert_uint_eq(boot(DATASTORE_AUTO_ALL), 2);
    ck_assert(label_is_there("datastore2") && label_is_there("datastore3"));
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}
FS_TEST(test_datastore_first__several_empty_disks__one_unless_all_are_wanted, which_disks)

/*
 * The power goes after so many blocks; the next boot has a datastore, or finds a few blocks of
 * a backup table that no header names, which it must take for somebody's.
 */
static void power_cuts(void *argument)
{
    struct rng rng;
    unsigned cut = 0, kept = 0;
    uint64_t total;

    (void)argument;
    rng_init(&rng, 77, "power cuts", 0);
    disks_up(1, DISK_SIZE);
    ck_assert_uint_eq(boot(DATASTORE_AUTO_FIRST), 1);
    ck_assert_uint_eq(datastore_unmount_all(), 0);
    total = disk_model_writes(disks[0]);
    for (unsigned i = 0; i < 60; i++) {
        const bool early = i < 40;
        const uint64_t blocks = early ? 2 * i : rng_below(&rng, total);
        struct datastore d;

        disk_change();
        disk_model_cut_after(disks[0], blocks);
        (void)boot(DATASTORE_AUTO_FIRST);
        cut += disk_model_is_cut(disks[0]);
        while (datastore_get(0, &d) && datastore_unmount(d.label) == VMK_OK)
            continue;
        disk_model_power_on(disks[0], i % 3 ? i : 0);
        (void)boot(DATASTORE_AUTO_FIRST);
        kept += !label_is_there("datastore1");
        ck_assert_msg(label_is_there("datastore1") || blocks <= 40, "cut after %llu blocks",
                      (unsigned long long)blocks);
        ck_assert_uint_eq(datastore_unmount_all(), 0);
    }
    ck_assert_uint_ge(cut, 50);
    ck_assert_uint_lt(kept, 25);
}
FS_TEST(test_datastore_first__power_cut__next_boot_ends_what_was_begun, power_cuts)

/* What vmkfstools -C asks for, through /proc. */
static vmk_status ask(const char *text)
{
    const struct vfs_where where = vfs_where_kernel();
    struct file *file;
    size_t done;
    vmk_status status = vfs_open(&where, "/proc/vmware/datastores", VFS_O_WRONLY, 0, &file);

    ck_assert_int_eq(status, VMK_OK);
    status = file_write(file, text, strlen(text), &done);
    file_put(file);
    return status;
}

static void made_by_hand(void *argument)
{
    struct partition p = {.kind = PARTITION_VMFS, .size = 800ull << 20};
    const struct partition_guid id = partition_guid_make(1, 2);
    struct partition_table *table;

    (void)argument;
    disks_up(1, DISK_SIZE);
    ck_assert_int_eq(datastore_proc_register(), VMK_OK);
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:1 by hand"), VMK_NOT_FOUND);
    ck_assert_int_eq(partition_table_new(disk_model_device(disks[0]), &id, &table), VMK_OK);
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    p = (struct partition){.kind = PARTITION_VMKCORE, .size = 400ull << 20};
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    ck_assert_int_eq(partition_table_write(disk_model_device(disks[0]), table), VMK_OK);
    partition_table_free(table);

    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:2 core"), VMK_UNSUPPORTED);
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:3 none"), VMK_NOT_FOUND);
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0 disk"), VMK_BAD_PARAM);
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:1"), VMK_BAD_PARAM);
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:1 by hand\n"), VMK_OK);
    ck_assert(label_is_there("by hand"));
    fs_write_file("/vmfs/volumes/by hand/kept", "kept");
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:1 other"), VMK_BUSY);
    ck_assert_ptr_nonnull(
        strstr(fs_read_file("/proc/vmware/datastores"), ":C0:T0:L0:1 by hand\n"));
    ck_assert_uint_eq(datastore_unmount_all(), 0);
    ck_assert_int_eq(ask("create mpx.vmhba0:C0:T0:L0:1 other"), VMK_BUSY);
    ck_assert_int_eq(ask("rescan"), VMK_OK);
    ck_assert_str_eq(fs_read_file("/vmfs/volumes/by hand/kept"), "kept");
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}
FS_TEST(test_datastore_first__volume_made_by_hand__only_on_an_empty_vmfs_partition,
        made_by_hand)

KERNEL_TEST_MAIN(
    "datastore_first",
    RUNS(test_datastore_first__empty_disk__partitioned_once_and_kept_from_then_on),
    RUNS(test_datastore_first__scratch__is_mounted_where_there_is_one),
    RUNS(test_datastore_first__disk_with_content__nothing_written),
    RUNS(test_datastore_first__several_empty_disks__one_unless_all_are_wanted),
    RUNS(test_datastore_first__power_cut__next_boot_ends_what_was_begun),
    RUNS(test_datastore_first__volume_made_by_hand__only_on_an_empty_vmfs_partition))
