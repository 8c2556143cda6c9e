// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmdk_turns.c -- virtual disks of one datastore get its throughput by their shares.
 *
 * Two or three flat disks on a VMFS volume, on a modelled disk that takes its time; each disk
 * has several requests waiting at all times.
 */
#include "fs/vmdk/vmdk.h"
#include "fs/vmdk/vmdk_device.h"
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/ioshares.h"
#include "io/partition.h"
#include "io/storage.h"
#include "sim/model/disk.h"
#include "tests/unit/fs_fixture.h"

#define DISKS 3u
#define QUEUE 8u
#define SIZE  16384u

static struct load {
    struct block_device *device;
    bool stop;
    unsigned busy;
    uint64_t requests;
    struct block_request r[QUEUE];
    struct block_segment segment;
} loads[DISKS];
static char data[SIZE];

static void done(struct block_request *r)
{
    struct load *l = r->context;

    ck_assert_int_eq(r->status, VMK_OK);
    l->requests++;
    l->busy--;
    if (!l->stop) {
        l->busy++;
        block_submit(l->device, r);
    }
}

static void start(struct load *l)
{
    l->stop = false;
    l->requests = 0;
    l->segment = (struct block_segment){data, SIZE};
    for (unsigned i = 0; i < QUEUE; i++) {
        l->r[i] = (struct block_request){.op = i % 2 ? BLOCK_WRITE : BLOCK_READ,
                                         .offset = (uint64_t)i * SIZE,
                                         .size = SIZE,
                                         .segments = &l->segment,
                                         .segment_count = 1,
                                         .done = done,
                                         .context = l};
        l->busy++;
        block_submit(l->device, &l->r[i]);
    }
}

static void stop(struct load *l)
{
    l->stop = true;
    while (l->busy)
        fs_sleep_ms(1);
}

static void within(uint64_t is, double wanted)
{
    ck_assert_msg((double)is > 0.93 * wanted && (double)is < 1.07 * wanted, "%llu, wanted %.0f",
                  (unsigned long long)is, wanted);
}

static void disks_up(const uint32_t *shares)
{
    const struct vmdk_create what = {.size = 1 << 20, .how = VMDK_EAGER_ZEROED};
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Model"};
    struct disk_model *disk = disk_model_create("disk", 1400ull << 20);
    struct storage_adapter *adapter;

    fs_up();
    ck_assert_int_eq(vmfs_type_register(), VMK_OK);
    ck_assert_int_eq(storage_adapter_add("model", "nowhere", "a modelled disk", &adapter),
                     VMK_OK);
    ck_assert_int_eq(storage_device_add(adapter, 0, 0, 0, disk_model_device(disk), &inquiry),
                     VMK_OK);
    ck_assert_uint_eq(datastore_first_boot(DATASTORE_AUTO_FIRST), 1);
    for (unsigned i = 0; i < DISKS; i++) {
        char path[64];

        snprintf(path, sizeof(path), "/vmfs/volumes/datastore1/d%u.vmdk", i);
        ck_assert_int_eq(vmdk_create(vmdk_vfs_store(), path, &what, NULL), VMK_OK);
        ck_assert_int_eq(vmdk_device_open(path, false, shares[i], &loads[i].device), VMK_OK);
    }
    disk_model_latency(disk, 100000, 2000, 4);
}

static void disks_down(void)
{
    for (unsigned i = 0; i < DISKS; i++)
        loads[i].device->ops->destroy(loads[i].device);
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}

static void by_shares(void *argument)
{
    static const uint32_t shares[DISKS] = {IOSHARES_LOW, IOSHARES_NORMAL, IOSHARES_HIGH};
    uint64_t total = 0, alone;

    (void)argument;
    disks_up(shares);
    for (unsigned i = 0; i < DISKS; i++)
        start(&loads[i]);
    fs_sleep_ms(3000);
    for (unsigned i = 0; i < DISKS; i++)
        total += loads[i].requests;
    for (unsigned i = 0; i < DISKS; i++)
        within(loads[i].requests, (double)total * (1u << i) / 7);
    /* The strongest leaves, and what it had goes to the others. */
    stop(&loads[2]);
    loads[0].requests = loads[1].requests = 0;
    fs_sleep_ms(1000);
    within(loads[1].requests, 2.0 * (double)loads[0].requests);
    within(loads[0].requests + loads[1].requests, (double)total / 3);
    /* The weakest alone has all of it. */
    stop(&loads[1]);
    loads[0].requests = 0;
    fs_sleep_ms(1000);
    alone = loads[0].requests;
    within(alone, (double)total / 3);
    stop(&loads[0]);
    disks_down();
}
FS_TEST(test_vmdk_turns__three_busy_disks__served_by_shares_and_nothing_held_back, by_shares)

KERNEL_TEST_MAIN(
    "vmdk_turns",
    RUNS(test_vmdk_turns__three_busy_disks__served_by_shares_and_nothing_held_back))
