// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmk_store.c -- disks, datastores, swap space and core dumps through /dev/vmk.
 *
 * The disk is the model with a partition table: 1 for a datastore, 2 for core dumps, 3 of
 * another type.
 */
#include "fs/dump/dump.h"
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/partition.h"
#include "io/storage.h"
#include "sim/model/disk.h"
#include "tests/unit/vmk_fixture.h"
#include "user/user_swap.h"

#define DISK_SIZE (2100ull << 20)

static char disk_name[BLOCK_NAME_SIZE];

static void partitions_make(struct block_device *disk)
{
    static const struct partition wanted[] = {
        {.kind = PARTITION_VMFS, .size = 800ull << 20},
        {.kind = PARTITION_VMKCORE, .size = 100ull << 20},
        {.kind = PARTITION_VSAN, .size = 100ull << 20},
    };
    const struct partition_guid id = partition_guid_make(1, 2);
    struct partition_table *table;

    ck_assert_int_eq(partition_table_new(disk, &id, &table), VMK_OK);
    for (unsigned i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct partition p = wanted[i];

        ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    }
    ck_assert_int_eq(partition_table_write(disk, table), VMK_OK);
    partition_table_free(table);
}

static void up(void *unused)
{
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Model"};
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    struct storage_adapter *adapter;
    struct storage_device_info info;

    user_fixture_up(unused);
    ck_assert_int_eq(vmfs_type_register(), VMK_OK);
    ck_assert_int_eq(storage_adapter_add("model", "nowhere", "a disk", &adapter), VMK_OK);
    ck_assert_int_eq(storage_device_add(adapter, 0, 0, 0, disk_model_device(disk), &inquiry),
                     VMK_OK);
    partitions_make(disk_model_device(disk));
    ck_assert(storage_device_get(0, &info));
    snprintf(disk_name, sizeof(disk_name), "%s", info.name);
}

static void down(void *unused)
{
    (void)unused;
    user_swap_stop();
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}

#define STORE_TEST(name, function)                                                             \
    START_TEST(name)                                                                           \
    {                                                                                          \
        sim_test_begin();                                                                      \
        body = function;                                                                       \
        sim_test_run(up, NULL);                                                                \
        sim_test_run(vmk_one, NULL);                                                           \
        sim_test_run(down, NULL);                                                              \
    }                                                                                          \
    END_TEST

static void partition_name(char out[VMK_DISK_NAME_SIZE], unsigned number)
{
    snprintf(out, VMK_DISK_NAME_SIZE, "%.80s:%u", disk_name, number);
}

static int64_t create(unsigned partition, const char *label, struct vmk_datastore_set *s)
{
    *s = (struct vmk_datastore_set){.what = VMK_DATASTORE_CREATE};
    partition_name(s->partition, partition);
    snprintf(s->label, sizeof(s->label), "%s", label);
    return request(device, VMK_DATASTORE_SET, s, sizeof(*s));
}

static void one_entry(uint32_t kind, void *entry, uint32_t size)
{
    ck_assert_uint_eq(list_of(kind, size, 1).count, 1);
    ck_assert_int_eq(aspace_copy_in(me->as, entry, OUT, size), VMK_OK);
}

static void datastores(void)
{
    struct vmk_datastore_set s;
    struct vmk_datastore d;
    char name[VMK_DISK_NAME_SIZE];

    ck_assert_uint_eq(list_of(VMK_LIST_DATASTORES, sizeof(d), 4).count, 0);
    ck_assert_int_eq(create(2, "core", &s), -L_EINVAL);
    ck_assert_int_eq(create(9, "none", &s), -L_ENOENT);
    ck_assert_int_eq(create(1, "", &s), -L_EINVAL);
    ck_assert_int_eq(create(1, "by hand", &s), 0);
    one_entry(VMK_LIST_DATASTORES, &d, sizeof(d));
    partition_name(name, 1);
    ck_assert_str_eq(d.label, "by hand");
    ck_assert_str_eq(d.uuid, s.uuid);
    ck_assert_str_eq(d.extents, name);
    ck_assert_uint_eq(d.extent_count, 1);
    ck_assert_uint_eq(d.flags, 0);
    ck_assert_uint_gt(d.size_bytes, 700ull << 20);
    ck_assert_uint_lt(d.free_bytes, d.size_bytes);
    ck_assert_int_eq(create(1, "other", &s), -L_EBUSY);

    ck_assert_int_eq(datastore_unmount("by hand"), VMK_OK);
    ck_assert_uint_eq(list_of(VMK_LIST_DATASTORES, sizeof(d), 4).count, 0);
    s = (struct vmk_datastore_set){.what = VMK_DATASTORE_RESCAN};
    ck_assert_int_eq(request(device, VMK_DATASTORE_SET, &s, sizeof(s)), 0);
    ck_assert_uint_eq(s.found, 1);
    ck_assert_uint_eq(list_of(VMK_LIST_DATASTORES, sizeof(d), 4).count, 1);
    s.what = 77;
    ck_assert_int_eq(request(device, VMK_DATASTORE_SET, &s, sizeof(s)), -L_EINVAL);
    s.what = VMK_DATASTORE_CREATE;  // texts without an end
    memset(s.partition, 'a', sizeof(s.partition));
    memset(s.label, 'a', sizeof(s.label));
    ck_assert_int_eq(request(device, VMK_DATASTORE_SET, &s, sizeof(s)), -L_EINVAL);
}
STORE_TEST(test_vmk_datastore__made_listed_found_again, datastores)

/* THING_now() asks where it is kept, THING_to() moves it. */
#define PLACE_CALLS(thing, got, get, wanted, set)                                              \
    static struct got thing##_now(void)                                                        \
    {                                                                                          \
        struct got now = {.place = 77};                                                        \
                                                                                               \
        ck_assert_int_eq(request(device, get, &now, sizeof(now)), 0);                          \
        return now;                                                                            \
    }                                                                                          \
                                                                                               \
    static int64_t thing##_to(uint32_t place, const char *where)                               \
    {                                                                                          \
        struct wanted to = {.place = place};                                                   \
                                                                                               \
        snprintf(to.name, sizeof(to.name), "%s", where);                                       \
        return request(device, set, &to, sizeof(to));                                          \
    }
PLACE_CALLS(swap, vmk_swap, VMK_SWAP_GET, vmk_swap_set, VMK_SWAP_SET)
PLACE_CALLS(coredump, vmk_coredump, VMK_COREDUMP_GET, vmk_coredump_set, VMK_COREDUMP_SET)

static void swap_space(void)
{
    struct vmk_datastore_set made;
    struct vmk_swap_set s = {.place = VMK_SWAP_DEVICE};
    char name[VMK_DISK_NAME_SIZE];

    ck_assert_uint_eq(swap_now().place, VMK_SWAP_NOWHERE);
    ck_assert_str_eq(swap_now().name, "");
    ck_assert_int_eq(swap_to(VMK_SWAP_DATASTORE, "nowhere"), -L_ENOENT);
    ck_assert_int_eq(swap_to(VMK_SWAP_DATASTORE, "a/b"), -L_EINVAL);
    ck_assert_int_eq(swap_to(VMK_SWAP_DATASTORE, ""), -L_EINVAL);
    ck_assert_int_eq(swap_to(VMK_SWAP_NOWHERE, "x"), -L_EINVAL);
    ck_assert_int_eq(swap_to(3, "x"), -L_EINVAL);
    memset(s.name, 'a', sizeof(s.name));
    ck_assert_int_eq(request(device, VMK_SWAP_SET, &s, sizeof(s)), -L_EINVAL);

    partition_name(name, 3);
    ck_assert_int_eq(swap_to(VMK_SWAP_DEVICE, name), 0);
    ck_assert_uint_eq(swap_now().place, VMK_SWAP_DEVICE);
    ck_assert_str_eq(swap_now().name, name);
    ck_assert_int_eq(create(1, "swapped", &made), 0);
    ck_assert_int_eq(swap_to(VMK_SWAP_DATASTORE, "swapped"), 0);
    ck_assert_uint_eq(swap_now().place, VMK_SWAP_DATASTORE);
    ck_assert_str_eq(swap_now().name, "swapped");
    ck_assert_int_eq(swap_to(VMK_SWAP_NOWHERE, ""), 0);
    ck_assert_uint_eq(swap_now().place, VMK_SWAP_NOWHERE);
    ck_assert_uint_eq(swap_now().active, 0);
}
STORE_TEST(test_vmk_swap__moved_to_a_device_a_datastore_and_off, swap_space)

static void coredumps(void)
{
    struct vmk_coredump_partition p;
    char name[VMK_DISK_NAME_SIZE], other[VMK_DISK_NAME_SIZE];

    partition_name(name, 2);
    partition_name(other, 3);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_FOUND, ""), -L_ENXIO);  // this host saves none
    ck_assert_str_eq(coredump_now().active, "");
    dump_start();
    ck_assert_uint_eq(coredump_now().place, VMK_COREDUMP_FOUND);
    ck_assert_str_eq(coredump_now().active, name);
    one_entry(VMK_LIST_COREDUMPS, &p, sizeof(p));
    ck_assert_str_eq(p.name, name);
    ck_assert_uint_eq(p.size_bytes, 100ull << 20);
    ck_assert_uint_eq(p.state, VMK_COREDUMP_EMPTY);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_NOWHERE, ""), 0);
    ck_assert_uint_eq(coredump_now().place, VMK_COREDUMP_NOWHERE);
    ck_assert_str_eq(coredump_now().active, "");
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_NAMED, other), -L_ENOENT);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_NAMED, ""), -L_EINVAL);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_FOUND, name), -L_EINVAL);
    ck_assert_int_eq(coredump_to(3, ""), -L_EINVAL);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_NAMED, name), 0);
    ck_assert_uint_eq(coredump_now().place, VMK_COREDUMP_NAMED);
    ck_assert_str_eq(coredump_now().configured, name);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_NOWHERE, ""), 0);
}
STORE_TEST(test_vmk_coredump__chosen_by_name_found_and_off, coredumps)

static void reservations(void)
{
    struct vmk_disk_set s = {.what = VMK_DISK_RESERVE};

    ck_assert_int_eq(request(device, VMK_DISK_SET, &s, sizeof(s)), -L_EINVAL);
    snprintf(s.name, sizeof(s.name), "nothing");
    ck_assert_int_eq(request(device, VMK_DISK_SET, &s, sizeof(s)), -L_ENOENT);
    snprintf(s.name, sizeof(s.name), "%s", disk_name);
    for (s.what = VMK_DISK_RESERVE; s.what <= VMK_DISK_RESET; s.what++)  // it knows none
        ck_assert_int_eq(request(device, VMK_DISK_SET, &s, sizeof(s)), -L_EINVAL);
    s.what = 0;
    ck_assert_int_eq(request(device, VMK_DISK_SET, &s, sizeof(s)), -L_EINVAL);
}
STORE_TEST(test_vmk_disk__no_reservations_there__einval, reservations)

static void not_root(void)
{
    struct vmk_disk_set disk = {.what = VMK_DISK_RESET};
    struct vmk_datastore_set rescan = {.what = VMK_DATASTORE_RESCAN};

    snprintf(disk.name, sizeof(disk.name), "%s", disk_name);
    become(1000);
    ck_assert_int_eq(request(device, VMK_DISK_SET, &disk, sizeof(disk)), -L_EPERM);
    ck_assert_int_eq(request(device, VMK_DATASTORE_SET, &rescan, sizeof(rescan)), -L_EPERM);
    ck_assert_int_eq(swap_to(VMK_SWAP_DEVICE, disk_name), -L_EPERM);
    ck_assert_int_eq(coredump_to(VMK_COREDUMP_NOWHERE, ""), -L_EPERM);
    (void)swap_now();  // seeing is free
    (void)coredump_now();
}
STORE_TEST(test_vmk_store__not_root__eperm, not_root)

KERNEL_TEST_MAIN("vmk_store", RUNS(test_vmk_datastore__made_listed_found_again),
                 RUNS(test_vmk_swap__moved_to_a_device_a_datastore_and_off),
                 RUNS(test_vmk_coredump__chosen_by_name_found_and_off),
                 RUNS(test_vmk_disk__no_reservations_there__einval),
                 RUNS(test_vmk_store__not_root__eperm))
