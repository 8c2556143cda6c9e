// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests for src/io/storage.c: names, twins, users, disks that vanish, partitions.
 */
#include <string.h>

#include "core/heap.h"
#include "io/partition.h"
#include "io/storage.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"

static struct storage_adapter *adapter;
static unsigned destroyed;

static void start(void)
{
    sim_test_begin();
    ck_assert_int_eq(
        storage_adapter_add("vmw_ahci", "PCI 0000:00:1f.2", " ICH9 AHCI\n ", &adapter), VMK_OK);
}

static struct block_device *disk(const char *wwn, unsigned target)
{
    struct block_device *block = disk_model_device(disk_model_create("model", 4 << 20));
    struct storage_inquiry inquiry = {
        .vendor = "ATA", .model = "MODEL ONE           ", .revision = "1.0", .serial = "S1"};

    strcpy(inquiry.wwn, wwn);
    ck_assert_int_eq(storage_device_add(adapter, 0, target, 0, block, &inquiry), VMK_OK);
    return block;
}

START_TEST(test_add__no_world_wide_name__named_by_path)
{
    struct storage_device_info info;
    struct storage_adapter_info a;

    start();
    disk("", 3);
    ck_assert(storage_device_get(0, &info));
    ck_assert_str_eq(info.name, "mpx.vmhba0:C0:T3:L0");
    ck_assert_str_eq(info.path, "vmhba0:C0:T3:L0");
    ck_assert_str_eq(info.inquiry.model, "MODEL ONE");
    ck_assert_str_eq(info.driver, "vmw_ahci");
    ck_assert_uint_eq(info.size, 4 << 20);
    ck_assert(!storage_device_get(1, &info));
    ck_assert(storage_adapter_get(0, &a) && !storage_adapter_get(1, &a));
    ck_assert_str_eq(a.name, "vmhba0");
    ck_assert_str_eq(a.description, "ICH9 AHCI?");
    ck_assert_uint_eq(a.devices, 1);
}
END_TEST

START_TEST(test_add__same_name_twice__second_goes_by_path)
{
    struct block_device *a;
    struct block_device *b;

    start();
    ck_assert_str_eq(disk("naa.5000c500a1b2c3d4", 0)->name, "naa.5000c500a1b2c3d4");
    ck_assert_str_eq(disk("naa.5000c500a1b2c3d4", 1)->name, "mpx.vmhba0:C0:T1:L0");
    ck_assert_int_eq(storage_open("naa.5000c500a1b2c3d4", &a), VMK_OK);
    ck_assert_int_eq(storage_open("mpx.vmhba0:C0:T1:L0", &b), VMK_OK);
    ck_assert_ptr_ne(a, b);
    storage_close(a);
    storage_close(b);
}
END_TEST

START_TEST(test_add__more_than_the_table_holds__no_space)
{
    struct storage_inquiry inquiry = {0};
    struct block_device *block;

    start();
    for (unsigned i = 0; i < STORAGE_DEVICES_MAX; i++)
        disk("", i);
    block = disk_model_device(disk_model_create("model", 1 << 20));
    ck_assert_int_eq(storage_device_add(adapter, 0, 200, 0, block, &inquiry), VMK_NO_SPACE);
    // and a path that is taken
    storage_device_gone(disk_model_device(disk_model_create("stranger", 1 << 20)));
}
END_TEST

static void note_destroy(struct block_device *device)
{
    (void)device;
    destroyed++;
}

START_TEST(test_gone__open_disk__destroyed_by_the_last_close)
{
    static struct block_ops ops;
    struct block_device *block;
    struct block_device *a;
    struct block_device *b;
    struct storage_device_info info;
    struct storage_adapter_info ai;

    start();
    block = disk("", 0);
    ops = *block->ops;
    ops.destroy = note_destroy;
    block->ops = &ops;
    ck_assert_int_eq(storage_open("mpx.vmhba0:C0:T0:L0", &a), VMK_OK);
    ck_assert_int_eq(storage_open("mpx.vmhba0:C0:T0:L0", &b), VMK_OK);
    ck_assert_ptr_eq(a, b);
    storage_device_gone(block);
    storage_device_gone(block);
    ck_assert_uint_eq(destroyed, 0);
    ck_assert_int_eq(storage_open("mpx.vmhba0:C0:T0:L0", &b), VMK_NOT_FOUND);
    ck_assert(storage_device_get(0, &info) && info.gone && info.users == 2);
    ck_assert(storage_adapter_get(0, &ai) && ai.devices == 0);
    // A new disk on the same path is another device, beside the one that is still open.
    disk("", 0);
    storage_close(a);
    ck_assert_uint_eq(destroyed, 0);
    storage_close(a);
    ck_assert_uint_eq(destroyed, 1);
    ck_assert(storage_device_get(0, &info) && !info.gone && !storage_device_get(1, &info));
}
END_TEST

static void partition_case(void *argument)
{
    struct block_device *block = disk("naa.1", 0);
    struct partition_guid id = partition_guid_make(1, 2);
    struct partition_table *table;
    struct partition wanted = {.number = 2, .kind = PARTITION_VMFS};
    struct block_device *part;
    struct block_device *whole;
    struct storage_device_info info;
    char there[512] = "this is partition two";
    char back[512];
    uint64_t held = heap_owned(MEM_OWNER_KERNEL);

    (void)argument;
    ck_assert_int_eq(storage_open("naa.1:2", &part), VMK_BAD_FORMAT);
    ck_assert_int_eq(partition_table_new(block, &id, &table), VMK_OK);
    ck_assert_int_eq(partition_add(table, &wanted), VMK_OK);
    ck_assert_int_eq(partition_table_write(block, table), VMK_OK);
    partition_table_free(table);
    ck_assert_int_eq(storage_open("naa.1:1", &part), VMK_BAD_FORMAT);
    ck_assert_int_eq(storage_open("naa.1:02", &part), VMK_NOT_FOUND);
    ck_assert_int_eq(storage_open("naa.1:2x", &part), VMK_NOT_FOUND);
    ck_assert_int_eq(storage_open("naa.1:", &part), VMK_NOT_FOUND);
    ck_assert_int_eq(storage_open("naa.2:2", &part), VMK_NOT_FOUND);
    ck_assert_int_eq(storage_open("naa.1:2", &part), VMK_OK);
    ck_assert_int_eq(storage_open("naa.1", &whole), VMK_OK);
    ck_assert(storage_device_get(0, &info) && info.users == 2);
    ck_assert_int_eq(block_write(part, 0, there, sizeof(there)), VMK_OK);
    ck_assert_int_eq(block_read(whole, wanted.offset, back, sizeof(back)), VMK_OK);
    ck_assert_mem_eq(back, there, sizeof(back));
    storage_close(part);
    storage_close(whole);
    ck_assert_int_eq(storage_shares_set("naa.1", 7, 2000), VMK_OK);
    ck_assert_int_eq(storage_shares_set("naa.1", 7, 4001), VMK_BAD_PARAM);
    ck_assert_int_eq(storage_shares_set("naa.2", 7, 2000), VMK_NOT_FOUND);
    ck_assert(storage_device_get(0, &info) && info.users == 0);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_KERNEL), held);
}

START_TEST(test_open__partitions__counted_on_the_disk)
{
    start();
    sim_test_run(partition_case, NULL);
}
END_TEST

START_TEST(test_storage__names_of_a_disk_and_its_partition__meet)
{
    ck_assert(storage_names_meet("mpx.vmhba0:C0:T0:L0", "mpx.vmhba0:C0:T0:L0"));
    ck_assert(storage_names_meet("mpx.vmhba0:C0:T0:L0", "mpx.vmhba0:C0:T0:L0:3"));
    ck_assert(storage_names_meet("mpx.vmhba0:C0:T0:L0:3", "mpx.vmhba0:C0:T0:L0"));
    ck_assert(!storage_names_meet("mpx.vmhba0:C0:T0:L0:1", "mpx.vmhba0:C0:T0:L0:2"));
    ck_assert(!storage_names_meet("mpx.vmhba0:C0:T0:L0:1", "mpx.vmhba0:C0:T0:L0:10"));
    ck_assert(!storage_names_meet("mpx.vmhba0:C0:T0:L1", "mpx.vmhba0:C0:T0:L10"));
}
END_TEST

KERNEL_TEST_MAIN("storage", RUNS(test_add__no_world_wide_name__named_by_path),
                 RUNS(test_add__same_name_twice__second_goes_by_path),
                 RUNS(test_add__more_than_the_table_holds__no_space),
                 RUNS(test_gone__open_disk__destroyed_by_the_last_close),
                 RUNS(test_open__partitions__counted_on_the_disk),
                 RUNS(test_storage__names_of_a_disk_and_its_partition__meet))
