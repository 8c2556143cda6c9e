// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_grow.c -- volumes that grow: into a larger disk, and over a second one.
 *
 * What is added is filled to the last byte and read back; power is cut at every block that
 * growing writes, after which the volume has its old or its new size, and growing again works.
 *
 * Invariants
 *   - Virtual time stands still unless a test moves it.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "io/io.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "tests/unit/vmfs_fixture.h"

/* Every byte that the volume has is the file's, and it is all there after a remount. */
static void fill_and_check(struct block_device *const *devices, unsigned count, uint64_t blocks)
{
    const struct vmfs_mount how = {.host = host_uuid(1), .seconds = fixed_seconds};
    struct vmfs_statistics s;
    struct vmfs_volume *v;
    vmfs_id ids[20];
    char name[32];
    static const unsigned char data[1 << 20];

    ck_assert_uint_eq(vmfs_mount(devices, count, &how, &v), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    ck_assert_uint_eq(s.size >> 20, blocks);
    ck_assert_uint_eq(s.extents, count);
    for (uint64_t at = 0; at < s.free >> 20; at++) {
        /*
         * A grown volume has no more pointer blocks than it had: files below 256 MiB need none.
         */
        if (at % 200 == 0) {
            snprintf(name, sizeof(name), "fill%llu", (unsigned long long)at / 200);
            ck_assert_uint_eq(
                vmfs_create(v, vmfs_root(v), name, VMFS_FILE, 0600, 0, 0, NULL, &ids[at / 200]),
                VMK_OK);
        }
        ck_assert_uint_eq(
            vmfs_allocate(v, ids[at / 200], (at % 200 + 1) << 20, VMFS_ZEROED_THICK), VMK_OK);
        ck_assert_uint_eq(vmfs_write(v, ids[at / 200], (at % 200) << 20, data, sizeof(data)),
                          VMK_OK);
        ck_assert_uint_eq(
            vmfs_write(v, ids[at / 200], ((at % 200) << 20) + 77, &at, sizeof(at)), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_write(v, ids[0], 201ull << 20, data, sizeof(data)), VMK_NO_SPACE);
    for (uint64_t at = 0; at < s.free >> 20; at++) {
        uint64_t value = 0;
        size_t got;

        ck_assert_uint_eq(
            vmfs_read(v, ids[at / 200], ((at % 200) << 20) + 77, &value, sizeof(value), &got),
            VMK_OK);
        if (value != at)
            ck_abort_msg("block %llu has %llu", (unsigned long long)at,
                         (unsigned long long)value);
    }
    ck_assert_uint_eq(problems(v), 0);
    for (uint64_t at = 0; at < s.free >> 20; at += 200) {
        snprintf(name, sizeof(name), "fill%llu", (unsigned long long)at / 200);
        ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name, false), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
}

START_TEST(test_vmfs__grown_twice__all_of_it_can_be_used)
{
    struct disk_model *disks[2];
    struct block_device *devices[2];
    struct vmfs_volume *v;
    struct vmfs_volume *other;
    vmfs_id id;

    sim_test_begin();
    for (unsigned i = 0; i < 2; i++) {
        disks[i] = disk_model_create(i ? "second" : "first", 1500ull << 20);
        disk_model_durable(disks[i]);
        devices[i] = disk_model_device(disks[i]);
    }
    devices[0]->size = DISK_SIZE;
    format(devices[0]);
    v = mount_as(devices[0], 1, false);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "old", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_write(v, id, 0, "kept", 4), VMK_OK);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_NO_SPACE);
    devices[0]->size = 1100ull << 20;
    other = mount_as(devices[0], 2, false);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_BUSY);
    ck_assert_uint_eq(vmfs_unmount(other), VMK_OK);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    fill_and_check(devices, 1, 1024);
    v = mount_as(devices[0], 1, false);
    ck_assert_uint_eq(vmfs_grow(v, devices[1]), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    expect_range(v, id, 1, 2, 'e');
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    fill_and_check(devices, 2, 1024 + 1280);
    for (unsigned i = 0; i < 2; i++)
        disk_model_destroy(disks[i]);
}
END_TEST

/*
 * One device: whatever write the power goes at, the volume is there with the old or the new
 * size.
 */
START_TEST(test_vmfs__power_cut_while_it_grows__old_or_new_size_and_again_works)
{
    struct disk_model *pattern;
    uint64_t cut = 0;
    bool finished = false;

    sim_test_begin();
    pattern = disk_model_create("disk", 1500ull << 20);
    disk_model_device(pattern)->size = DISK_SIZE;
    format(disk_model_device(pattern));
    disk_model_device(pattern)->size = 1500ull << 20;
    for (; !finished; cut += cut < 40 || cut > 2040 ? 1 : 97) {
        struct disk_model *disk = disk_model_clone(pattern);
        struct vmfs_volume *v;
        struct vmfs_statistics s;
        vmk_status status;

        v = mount_as(disk_model_device(disk), 1, false);
        disk_model_cut_after(disk, cut);
        finished = vmfs_grow(v, NULL) == VMK_OK;
        vmfs_abandon(v);
        disk_model_power_on(disk, cut % 3 ? cut : 0);
        v = mount_as(disk_model_device(disk), 1, false);
        status = vmfs_grow(v, NULL);
        ck_assert_msg(status == VMK_OK || status == VMK_NO_SPACE, "cut %llu: %s",
                      (unsigned long long)cut, vmk_status_text(status));
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        ck_assert_uint_eq(s.size >> 20, 1280);
        ck_assert_uint_eq(s.free >> 20, 1280 - 14);
        close_last(disk, v);
    }
    ck_assert_uint_gt(cut, 2040);
    disk_model_destroy(pattern);
}
END_TEST

/*
 * A second extent joins: the heads of two devices change, and the power goes between any two
 * writes.
 */
START_TEST(test_vmfs__power_cut_while_an_extent_joins__mounts_and_again_works)
{
    struct disk_model *patterns[2];
    bool finished = false;

    sim_test_begin();
    for (unsigned i = 0; i < 2; i++)
        patterns[i] = disk_model_create(i ? "second" : "first", 600ull << 20);
    format(disk_model_device(patterns[0]));
    for (uint64_t cut = 0; !finished; cut += cut < 4000 ? 73 : 1) {
        struct disk_model *disks[2];
        struct block_device *devices[2];
        const struct vmfs_mount how = {.host = host_uuid(1), .seconds = fixed_seconds};
        struct vmfs_statistics s;
        struct vmfs_volume *v;
        vmk_status status;

        for (unsigned i = 0; i < 2; i++) {
            disks[i] = disk_model_clone(patterns[i]);
            devices[i] = disk_model_device(disks[i]);
        }
        v = mount_as(devices[0], 1, false);
        disk_model_cut_after(disks[cut & 1], cut);
        status = vmfs_grow(v, devices[1]);
        finished = status == VMK_OK && cut > 4400;
        vmfs_abandon(v);
        for (unsigned i = 0; i < 2; i++)
            disk_model_power_on(disks[i], 0);
        status = vmfs_mount(devices, 2, &how, &v);
        if (status == VMK_BAD_FORMAT) {  // the new one is not part of anything yet
            v = mount_as(devices[0], 1, false);
            status = VMK_OK;
        }
        ck_assert_msg(status == VMK_OK, "cut %llu: %s", (unsigned long long)cut,
                      vmk_status_text(status));
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        status = vmfs_grow(v, s.extents == 1 ? devices[1] : NULL);
        ck_assert_msg(status == VMK_OK || status == VMK_NO_SPACE, "cut %llu: %s",
                      (unsigned long long)cut, vmk_status_text(status));
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        ck_assert_uint_eq(s.size >> 20, 1024);
        ck_assert_uint_eq(s.extents, 2);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        ck_assert_uint_eq(vmfs_mount(devices, 2, &how, &v), VMK_OK);
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        for (unsigned i = 0; i < 2; i++)
            disk_model_destroy(disks[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        disk_model_destroy(patterns[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmfs_grow");
    TCase *tcase = tcase_create("vmfs_grow");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, test_vmfs__grown_twice__all_of_it_can_be_used);
    tcase_add_test(tcase, test_vmfs__power_cut_while_it_grows__old_or_new_size_and_again_works);
    tcase_add_test(tcase, test_vmfs__power_cut_while_an_extent_joins__mounts_and_again_works);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
