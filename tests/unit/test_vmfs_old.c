// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_old.c -- volumes that Orrery did not make: VMFS-3, VMFS-3 upgraded, and what ESXi leaves.
 *
 * Every block size of VMFS-3, before and after the upgrade: all is read, nothing is written. On
 * VMFS-5: content that lies in the descriptor, as ESXi puts it there, and an image that was cut
 * short.
 *
 * Invariants
 *   - Virtual time stands still.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "io/partition.h"
#include "sim/model/disk.h"
#include "tests/unit/vmfs3_image.h"
#include "tests/unit/vmfs_fixture.h"

static unsigned char data[1 << 20];

static vmfs_id walk_to(struct vmfs_volume *v, const char *path)
{
    vmfs_id id;

    ck_assert_uint_eq(vmfs_walk(v, path, &id), VMK_OK);
    return id;
}

/* [from, to) of the file holds the bytes of `item`; of item 0: zeros. */
static void expect_content(struct vmfs_volume *v, vmfs_id id, unsigned item, uint64_t from,
                           uint64_t to)
{
    while (from < to) {
        size_t got;

        ck_assert_uint_eq(
            vmfs_read(v, id, from, data, (size_t)MIN(to - from, sizeof(data)), &got), VMK_OK);
        ck_assert_uint_gt(got, 0);
        for (size_t i = 0; i < got; i++) {
            if (data[i] != (item ? vmfs3_byte(item, from + i) : 0))
                ck_abort_msg("item %u: byte %llu is 0x%02x", item,
                             (unsigned long long)(from + i), data[i]);
        }
        from += got;
    }
}

static void expect_length(struct vmfs_volume *v, vmfs_id id, uint64_t length)
{
    struct vmfs_attributes a;

    ck_assert_uint_eq(vmfs_attributes(v, id, &a), VMK_OK);
    ck_assert_uint_eq(a.length, length);
}

START_TEST(test_vmfs__volume_of_vmfs3__all_is_read_and_nothing_written)
{
    const unsigned shift = 20 + (unsigned)_i / 2;
    const bool upgraded = _i % 2;
    const uint64_t block = 1ull << shift;
    struct vmfs_statistics s;
    struct disk_model *disk;
    struct vmfs_volume *v;
    vmfs_id id;
    char link[16] = "";
    size_t got;

    sim_test_begin();
    disk = disk_model_create("old", VMFS3_SIZE);
    ck_assert(vmfs3_write(disk_model_device(disk), shift, upgraded));
    v = mount_as(disk_model_device(disk), 1, true);
    ck_assert(vmfs_is_read_only(v));
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    ck_assert_uint_eq(s.version, upgraded ? 5 : 3);
    ck_assert_uint_eq(s.size, 2 * LVM_PE_SIZE);
    ck_assert_uint_lt(s.free, s.size);
    ck_assert_uint_eq(s.free % block, 0);

    static const struct {
        const char *path;
        unsigned item;
    } files[] = {{"small", VMFS3_SMALL},
                 {"sub", VMFS3_SUB},
                 {"blocks", VMFS3_BLOCKS},
                 {"dir/inner", VMFS3_INNER}};

    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        id = walk_to(v, files[i].path);
        expect_length(v, id, vmfs3_length(files[i].item, shift));
        expect_content(v, id, files[i].item, 0, vmfs3_length(files[i].item, shift));
    }
    id = walk_to(v, "tbz");
    expect_content(v, id, VMFS3_TBZ, 0, block);
    expect_content(v, id, 0, block, 2 * block + 777);
    id = walk_to(v, "sparse");
    expect_content(v, id, VMFS3_SPARSE, 0, block);
    expect_content(v, id, 0, block, 2 * block);
    expect_content(v, id, 0, 299 * block, 300 * block);
    expect_content(v, id, VMFS3_SPARSE, 300 * block, 300 * block + 99);
    ck_assert_uint_eq(vmfs_read(v, walk_to(v, "link"), 0, link, sizeof(link), &got), VMK_OK);
    ck_assert_str_eq(link, "dir/inner");

    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "new", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_READ_ONLY);
    ck_assert_uint_eq(vmfs_write(v, walk_to(v, "small"), 0, "x", 1), VMK_READ_ONLY);
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "small", false), VMK_READ_ONLY);
    close_last(disk, v);
}
END_TEST

/* Puts `size` bytes into the descriptor, as ESXi does with files of up to 1 KiB. */
static void make_resident(struct disk_model *disk, uint64_t descriptor, const void *bytes,
                          size_t size)
{
    struct block_device *device = disk_model_device(disk);
    uint8_t fd[VMFS_FD_SIZE];

    ck_assert_uint_eq(block_read(device, LVM_DATA + descriptor, fd, sizeof(fd)), VMK_OK);
    ck_assert_uint_eq(le32(fd + FD_META + FD_ZLA), ZLA_RESIDENT);
    put_le64(fd + FD_META + FD_LENGTH, size);
    memcpy(fd + FD_DATA, bytes, size);
    ck_assert_uint_eq(block_write(device, LVM_DATA + descriptor, fd, sizeof(fd)), VMK_OK);
}

START_TEST(test_vmfs__content_in_the_descriptor__is_read_and_grows_out_of_it)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, true);
    struct vmfs_lock_info lock;
    unsigned char bytes[1024];
    size_t got;
    vmfs_id id;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 3 + 1);
    ck_assert_uint_eq(
        vmfs_create(v, vmfs_root(v), "vm.nvram", VMFS_FILE, 0600, 0, 0, NULL, &id), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_lock_info(v, id, &lock), VMK_OK);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    make_resident(disk, lock.address, bytes, sizeof(bytes));

    v = mount_as(disk_model_device(disk), 1, true);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_read(v, id, 0, data, sizeof(data), &got), VMK_OK);
    ck_assert_uint_eq(got, sizeof(bytes));
    ck_assert_mem_eq(data, bytes, sizeof(bytes));
    ck_assert_uint_eq(vmfs_write(v, id, 5000, "end", 3), VMK_OK);
    ck_assert_uint_eq(vmfs_read(v, id, 0, data, sizeof(data), &got), VMK_OK);
    ck_assert_uint_eq(got, 5003);
    ck_assert_mem_eq(data, bytes, sizeof(bytes));
    ck_assert_int_eq(data[1024], 0);
    ck_assert_mem_eq(data + 5000, "end", 3);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__image_cut_short__what_is_there_is_read)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, true);
    const struct vmfs_mount how = {.host = host_uuid(1), .read_only = true};
    const struct vmfs_mount writes = {.host = host_uuid(1), .private_volume = true};
    struct block_device *part;
    vmfs_id id = make(v, 1, VMFS_FILE, 0x42);

    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    ck_assert_uint_eq(partition_slice(disk_model_device(disk), "short", 0, 60ull << 20, &part),
                      VMK_OK);
    ck_assert_uint_ne(vmfs_mount(&part, 1, &writes, &v), VMK_OK);
    ck_assert_uint_eq(vmfs_mount(&part, 1, &how, &v), VMK_OK);
    expect_bytes(v, id, 0x42);
    close_last(disk, v);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("vmfs old");
    TCase *t = tcase_create("old");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_vmfs__volume_of_vmfs3__all_is_read_and_nothing_written, 0, 8);
    tcase_add_test(t, test_vmfs__content_in_the_descriptor__is_read_and_grows_out_of_it);
    tcase_add_test(t, test_vmfs__image_cut_short__what_is_there_is_read);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
