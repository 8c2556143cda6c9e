// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_zeros.c -- nothing old shows: what a file has not written reads as zeros.
 *
 * All free blocks hold 0xee first. Each way to make a file longer, from each kind of map, and
 * large truncates that lose power in the middle; and each bit that vmfs_check() claims to know
 * is flipped.
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

/* All free blocks hold 0xee afterwards: what a file shows of them is a leak. */
static void soil(struct vmfs_volume *v, uint64_t bytes)
{
    static unsigned char data[1 << 20];
    vmfs_id id;

    memset(data, 0xee, sizeof(data));
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "soil", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    for (uint64_t at = 0; at < bytes; at += sizeof(data))
        ck_assert_uint_eq(vmfs_write(v, id, at, data, sizeof(data)), VMK_OK);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "soil%u", i);
        ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), name, VMFS_FILE, 0600, 0, 0, NULL, &id),
                          VMK_OK);
        ck_assert_uint_eq(vmfs_write(v, id, 0, data, 8192), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "soil%u", i);
        ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name, false), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "soil", false), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
}

enum {
    GROW_ALLOCATE,
    GROW_ZEROED,
    GROW_TRUNCATE,
    GROW_WRITE,
    GROW_WAYS
};

/*
 * Each way to make a file longer, from each kind of map, over blocks that held something else.
 */
START_TEST(test_vmfs__file_grown_over_old_blocks__reads_as_zeros)
{
    static const uint64_t starts[] = {0, 700, 5000, 8192, 9000, 1 << 20, (1 << 20) + 77};
    static const uint64_t ends[] = {6000, 8192, 20000, (1 << 20) - 5, (3 << 20) + 100};
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, false);

    soil(v, 40 << 20);
    for (unsigned s = 0; s < ARRAY_COUNT(starts); s++) {
        for (unsigned e = 0; e < ARRAY_COUNT(ends); e++) {
            static unsigned char data[2 << 20];
            uint64_t start = starts[s];
            uint64_t end = ends[e];
            vmfs_id id;

            if (end <= start)
                continue;
            ck_assert_uint_eq(
                vmfs_create(v, vmfs_root(v), "g", VMFS_FILE, 0600, 0, 0, NULL, &id), VMK_OK);
            memset(data, 0x33, sizeof(data));
            ck_assert_uint_eq(vmfs_write(v, id, 0, data, start), VMK_OK);
            switch (_i) {
            case GROW_ALLOCATE:
                ck_assert_uint_eq(vmfs_allocate(v, id, end, VMFS_EAGER_ZEROED), VMK_OK);
                break;
            case GROW_ZEROED:
                ck_assert_uint_eq(vmfs_allocate(v, id, end, VMFS_ZEROED_THICK), VMK_OK);
                ck_assert_uint_eq(vmfs_allocate(v, id, end, VMFS_EAGER_ZEROED), VMK_OK);
                break;
            case GROW_TRUNCATE: ck_assert_uint_eq(vmfs_truncate(v, id, end), VMK_OK); break;
            default: ck_assert_uint_eq(vmfs_write(v, id, end - 1, "", 1), VMK_OK); break;
            }
            expect_range(v, id, 0, start, 0x33);
            expect_range(v, id, start, end, 0);
            ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "g", false), VMK_OK);
            ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
        }
    }
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__large_truncate_cut_in_the_middle__nothing_old_behind_the_end)
{
    const uint64_t blocks = 430;  // more than one operation frees
    struct disk_model *pattern;
    struct vmfs_volume *v;
    vmfs_id id;

    sim_test_begin();
    pattern = disk_model_create("disk", 600ull << 20);
    format(disk_model_device(pattern));
    v = mount_as(disk_model_device(pattern), 1, true);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "t", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    for (uint64_t at = 0; at < blocks; at++) {
        ck_assert_uint_eq(vmfs_write(v, id, at << 20, "old", 3), VMK_OK);
        if (at % 16 == 0)
            ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    for (uint64_t cut = 0; cut < 2200; cut += 73) {
        struct disk_model *disk = disk_model_clone(pattern);
        struct vmfs_attributes a;

        v = mount_as(disk_model_device(disk), 1, true);
        disk_model_cut_after(disk, cut);
        if (vmfs_truncate(v, id, 1) == VMK_OK)
            (void)!vmfs_sync(v);
        v = crash(disk, v, true);
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_attributes(v, id, &a), VMK_OK);
        if (a.length < blocks << 20) {
            uint64_t at = round_up(a.length, 1ull << 20);

            ck_assert_uint_eq(vmfs_truncate(v, id, blocks << 20), VMK_OK);
            for (; at < blocks << 20; at += 1 << 20)
                expect_range(v, id, at, at + 3, 0);
        }
        close_last(disk, v);
    }
    disk_model_destroy(pattern);
}
END_TEST

/* A flipped bit in each field that the check claims to know; and the clean volume has none. */
START_TEST(test_vmfs__rotten_bit__check_finds_it)
{
    static const struct {
        uint64_t at;  // in the volume
        unsigned bit;
    } places[] = {
        {FS_BASE + (2u << 20) + 0x20000 + FD_META + FD_LINKS, 3},           // the root's links
        {FS_BASE + (2u << 20) + 0x20000 + 2048 + FD_META + FD_LENGTH, 20},  // .fbb.sf's length
        {0x600000 + 0x10000 + LOCK_TYPE, 1},                                // lock of a cluster
        {0x600000 + 0x10000 + VMFS_SECTOR + RES_C_FREE, 0},                 // its free count
        {0x600000 + 0x10000 + VMFS_SECTOR + RES_C_BITMAP, 1},      // a used block is free
        {0x600000 + 0x10000 + VMFS_SECTOR + RES_C_BITMAP + 8, 1},  // a free one is lost
        {0x400000 + 0x10000 + VMFS_SECTOR + RES_C_BITMAP + 2, 7},  // a descriptor
        {0x500000 + 3 * DIRENT_SIZE + DIRENT_GENERATION, 4},       // a name's generation
        {0x500000 + 3 * DIRENT_SIZE + DIRENT_FD, 25},              // whom it names
        {HB_BASE + 77 * VMFS_SECTOR + HB_ADDRESS, 12},             // a heartbeat slot
    };

    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        struct disk_model *disk;
        struct vmfs_volume *v;
        struct block_device *device;
        const struct vmfs_mount how = {.read_only = true, .private_volume = true};

        v = open_fresh(&disk, true);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        disk_model_rot(disk, LVM_DATA + places[i].at + places[i].bit / 8, places[i].bit % 8);
        device = disk_model_device(disk);
        if (vmfs_mount(&device, 1, &how, &v) == VMK_OK) {
            vmk_status status;

            ck_assert_msg(vmfs_check(v, NULL, NULL, &status) > 0 || status != VMK_OK,
                          "place %u was not noticed", i);
            ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        }
        disk_model_destroy(disk);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmfs_zeros");
    TCase *tcase = tcase_create("vmfs_zeros");

    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, test_vmfs__file_grown_over_old_blocks__reads_as_zeros, 0,
                        GROW_WAYS);
    tcase_add_test(tcase,
                   test_vmfs__large_truncate_cut_in_the_middle__nothing_old_behind_the_end);
    tcase_add_test(tcase, test_vmfs__rotten_bit__check_finds_it);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
