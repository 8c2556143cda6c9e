// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_old.c -- volumes that Orrery did not make: VMFS-3, VMFS-3 upgraded, and what ESXi leaves.
 *
 * Every block size of VMFS-3, before and after the upgrade: all is read, nothing is written. On
 * VMFS-5: content that lies in the descriptor, as ESXi puts it there, an image that was cut
 * short, and volumes whose shape is not the one that our format gives them.
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

/* ---- volumes of other shapes ---- */

static const struct vmfs_mount just_me = {.private_volume = true, .seconds = fixed_seconds};

static void raw_read(struct block_device *device, uint64_t at, void *to, size_t size)
{
    ck_assert_uint_eq(block_read(device, LVM_DATA + at, to, size), VMK_OK);
}

static void raw_write(struct block_device *device, uint64_t at, const void *from, size_t size)
{
    ck_assert_uint_eq(block_write(device, LVM_DATA + at, from, size), VMK_OK);
}

static uint64_t descriptor_of(enum fd_system which)
{
    return 0x420000 + (uint64_t)which * VMFS_FD_SIZE;
}

START_TEST(test_vmfs__other_minor_versions_and_modes__are_read_and_written)
{
    static const struct {
        uint8_t minor;
        uint32_t mode;
        bool says_where;  // the descriptors are
    } kinds[] = {{54, 6, true},  {58, 6, true},     {60, 6, true},
                 {61, 14, true}, {81, 0x106, true},  // flags that nobody here knows
                 {54, 6, false}};
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, true);
    struct vmfs_statistics s;
    uint8_t super[VMFS_SECTOR];
    vmfs_id id = make(v, 1, VMFS_FILE, 0x42);

    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    /* One group more than .sbc.sf needs. */
    raw_read(disk_model_device(disk), 0x800000, super, sizeof(super));
    put_le32(super + RES_H_GROUPS, le32(super + RES_H_GROUPS) + 1);
    raw_write(disk_model_device(disk), 0x800000, super, sizeof(super));
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        raw_read(disk_model_device(disk), FS_BASE, super, sizeof(super));
        super[FS_MINOR_AT] = kinds[i].minor;
        put_le32(super + FS_MODE, kinds[i].mode);
        put_le32(super + FS_FDC_HEADER, kinds[i].says_where ? RES_HEADER_SIZE : 0);
        put_le32(super + FS_FDC_CLUSTERS, kinds[i].says_where ? RES_GROUP : 0);
        raw_write(disk_model_device(disk), FS_BASE, super, sizeof(super));
        v = mount_as(disk_model_device(disk), 1, true);
        ck_assert(!vmfs_is_read_only(v));
        expect_bytes(v, id, 0x42);
        (void)make(v, 10 + i, VMFS_FILE, 7);
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        ck_assert_uint_eq(s.minor, kinds[i].minor);
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    }
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_vmfs__no_secondary_pointer_blocks__is_read)
{
    static const uint8_t nothing[VMFS_FD_SIZE];
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, true);
    struct vmfs_statistics s;
    vmfs_id id = make(v, 1, VMFS_FILE, 0x42);

    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    raw_write(disk_model_device(disk), descriptor_of(FD_PB2), nothing, sizeof(nothing));
    v = mount_as(disk_model_device(disk), 1, true);
    ck_assert(vmfs_is_read_only(v));
    expect_bytes(v, id, 0x42);
    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    close_last(disk, v);
}
END_TEST

/* Where item `address` of the system file lies; its first group is on that file's block 0. */
static uint64_t item_place(struct block_device *device, enum fd_system which, uint32_t address)
{
    uint8_t fd[VMFS_FD_SIZE];
    uint8_t head[VMFS_SECTOR];
    uint64_t base;

    raw_read(device, descriptor_of(which), fd, sizeof(fd));
    base = (uint64_t)addr_fb_block(le32(fd + FD_DATA)) << VMFS_FB_SHIFT;
    raw_read(device, base, head, sizeof(head));
    return base + RES_HEADER_SIZE + RES_GROUP * RES_CLUSTER_SIZE +
           (uint64_t)VMFS_PB_SIZE *
               (addr_cluster(address) * le32(head + RES_H_PER_CLUSTER) + addr_item(address));
}

/* A file whose 256 words are secondary pointer blocks, and these are of file blocks. */
START_TEST(test_vmfs__blocks_behind_secondary_pointers_alone__are_read_and_freed)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, true);
    struct block_device *device = disk_model_device(disk);
    struct vmfs_lock_info lock;
    struct vmfs_statistics before, after;
    uint8_t fd[VMFS_FD_SIZE];
    static uint8_t words[VMFS_PB_SIZE];
    uint64_t second, first;
    vmfs_id id = make(v, 1, VMFS_FILE, 0x42);

    ck_assert_uint_eq(vmfs_statistics(v, &before), VMK_OK);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "huge", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_write(v, id, 0, "begin", 5), VMK_OK);
    ck_assert_uint_eq(vmfs_truncate(v, id, FD_SINGLE_BYTES + 1), VMK_OK);
    ck_assert_uint_eq(vmfs_write(v, id, 700ull << 20, "there", 5), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_lock_info(v, id, &lock), VMK_OK);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);

    raw_read(device, lock.address, fd, sizeof(fd));
    ck_assert_uint_eq(le32(fd + FD_META + FD_ZLA), ZLA_DOUBLE);
    second = item_place(device, FD_PB2, le32(fd + FD_DATA));
    raw_read(device, second, words, sizeof(words));
    first = item_place(device, FD_PBC, le32(words));
    raw_read(device, first, words, sizeof(words));
    raw_write(device, second, words, sizeof(words));
    put_le32(fd + FD_META + FD_ZLA, ZLA_PB2_SINGLE);
    put_le64(fd + FD_META + FD_LENGTH, 701ull << 20);
    raw_write(device, lock.address, fd, sizeof(fd));

    v = mount_as(device, 1, true);
    ck_assert_uint_eq(problems(v), 1);  // the pointer block that nothing leads to now
    expect_range(v, id, 600ull << 20, 601ull << 20, 0);
    ck_assert_uint_eq(vmfs_write(v, id, 700ull << 20, "T", 1), VMK_OK);

    char text[6] = "";
    size_t got;

    ck_assert_uint_eq(vmfs_read(v, id, 700ull << 20, text, 5, &got), VMK_OK);
    ck_assert_str_eq(text, "There");
    ck_assert_uint_eq(vmfs_read(v, id, 0, text, 5, &got), VMK_OK);
    ck_assert_str_eq(text, "begin");
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "huge", false), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_statistics(v, &after), VMK_OK);
    ck_assert_uint_eq(after.free, before.free);
    ck_assert_uint_eq(problems(v), 1);
    close_last(disk, v);
}
END_TEST

/* The bitmap of a volume of more than 50 TiB has its blocks behind secondary pointer blocks. */
START_TEST(test_vmfs__bitmap_behind_secondary_pointers__is_used)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, true);
    struct block_device *device = disk_model_device(disk);
    struct vmfs_lock_info lock;
    uint8_t fd[VMFS_FD_SIZE];
    static uint8_t words[VMFS_PB_SIZE];
    uint32_t pointers, block;
    vmfs_id id;

    /* A secondary pointer block of a file, which then is the bitmap's. */
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "huge", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_truncate(v, id, FD_SINGLE_BYTES + 1), VMK_OK);
    ck_assert_uint_eq(vmfs_write(v, id, 5, "x", 1), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_lock_info(v, id, &lock), VMK_OK);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    raw_read(device, lock.address, fd, sizeof(fd));
    pointers = le32(fd + FD_DATA);
    raw_read(device, descriptor_of(FD_FBB), fd, sizeof(fd));
    block = le32(fd + FD_DATA);
    put_le32(words, block);
    raw_write(device, item_place(device, FD_PB2, pointers), words, sizeof(words));
    put_le32(fd + FD_DATA, pointers);
    put_le32(fd + FD_META + FD_ZLA, ZLA_PB2_SINGLE);
    raw_write(device, descriptor_of(FD_FBB), fd, sizeof(fd));

    v = mount_as(device, 1, true);
    ck_assert(!vmfs_is_read_only(v));
    id = make(v, 1, VMFS_FILE, 0x42);
    ck_assert_uint_eq(vmfs_write(v, id, 3ull << 20, "more", 4), VMK_OK);
    expect_bytes(v, id, 0x42);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    /* A block list of another kind: refused by name. */
    put_le32(fd + FD_META + FD_ZLA, ZLA_SB);
    raw_write(device, descriptor_of(FD_FBB), fd, sizeof(fd));
    ck_assert_uint_eq(vmfs_mount(&device, 1, &just_me, &v), VMK_CORRUPT);
    disk_model_destroy(disk);
}
END_TEST

/* What a device says of its share of the volume. */
static void head_set(struct block_device *device, uint64_t first, uint64_t last)
{
    uint8_t entry[VMFS_SECTOR];

    ck_assert_uint_eq(block_read(device, LVM_VOLUME, entry, sizeof(entry)), VMK_OK);
    put_le64(entry + LVM_V_FIRST_PE, first);
    put_le64(entry + LVM_V_LAST_PE, last);
    ck_assert_uint_eq(block_write(device, LVM_VOLUME, entry, sizeof(entry)), VMK_OK);
}

static void entry_set(struct block_device *device, unsigned index, uint64_t in_volume)
{
    uint8_t sector[VMFS_SECTOR];
    const uint64_t at = lvm_pe_entry(index);

    ck_assert_uint_eq(block_read(device, round_down(at, VMFS_SECTOR), sector, sizeof(sector)),
                      VMK_OK);
    put_le64(sector + at % VMFS_SECTOR + LVM_P_VOLUME_AT, in_volume);
    ck_assert_uint_eq(block_write(device, round_down(at, VMFS_SECTOR), sector, sizeof(sector)),
                      VMK_OK);
}

/* The third extent of the volume is behind the first on one disk, the second on the other. */
START_TEST(test_vmfs__first_device_grown_behind_the_second__its_table_is_followed)
{
    const struct vmfs_format how = {
        .label = "two", .seconds = 1700000000, .random = {1, 2, 3, 4}, .host = host_uuid(9)};
    static unsigned char ours[1 << 20], theirs[1 << 20];
    struct block_device *devices[2];
    struct vmfs_statistics s;
    struct vmfs_volume *v;
    char names[64];
    vmfs_id id;

    sim_test_begin();
    devices[0] = disk_model_device(disk_model_create("one", LVM_DATA + 2 * LVM_PE_SIZE));
    devices[1] = disk_model_device(disk_model_create("two", LVM_DATA + LVM_PE_SIZE));
    ck_assert_uint_eq(vmfs_format(devices, 2, &how), VMK_OK);
    ck_assert_uint_eq(vmfs_mount(devices, 2, &just_me, &v), VMK_OK);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "f", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_allocate(v, id, 700ull << 20, VMFS_ZEROED_THICK), VMK_OK);
    for (uint64_t at = 5; at < 700; at += 9)
        ck_assert_uint_eq(vmfs_write(v, id, at << 20, &at, sizeof(at)), VMK_OK);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);

    for (uint64_t at = 0; at < LVM_PE_SIZE; at += sizeof(ours)) {
        raw_read(devices[0], LVM_PE_SIZE + at, ours, sizeof(ours));
        raw_read(devices[1], at, theirs, sizeof(theirs));
        raw_write(devices[0], LVM_PE_SIZE + at, theirs, sizeof(theirs));
        raw_write(devices[1], at, ours, sizeof(ours));
    }
    head_set(devices[0], 0, 2);
    entry_set(devices[0], 1, 2 * LVM_PE_SIZE);
    head_set(devices[1], 1, 1);
    entry_set(devices[1], 0, LVM_PE_SIZE);

    ck_assert_uint_eq(vmfs_mount(devices, 2, &just_me, &v), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    ck_assert_uint_eq(s.extents, 2);
    vmfs_device_names(v, names, sizeof(names));
    ck_assert_str_eq(names, "one,two");
    for (uint64_t at = 5; at < 700; at += 9) {
        uint64_t value = 0;
        size_t got;

        ck_assert_uint_eq(vmfs_read(v, id, at << 20, &value, sizeof(value), &got), VMK_OK);
        ck_assert_uint_eq(value, at);
    }
    ck_assert_uint_eq(vmfs_write(v, id, 690ull << 20, "x", 1), VMK_OK);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_UNSUPPORTED);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);

    entry_set(devices[0], 1, LVM_PE_SIZE);  // what the other device has
    ck_assert_uint_eq(vmfs_mount(devices, 2, &just_me, &v), VMK_CORRUPT);
    entry_set(devices[0], 1, 2 * LVM_PE_SIZE + 1);
    ck_assert_uint_eq(vmfs_mount(devices, 2, &just_me, &v), VMK_CORRUPT);
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
    tcase_add_test(t, test_vmfs__other_minor_versions_and_modes__are_read_and_written);
    tcase_add_test(t, test_vmfs__no_secondary_pointer_blocks__is_read);
    tcase_add_test(t, test_vmfs__blocks_behind_secondary_pointers_alone__are_read_and_freed);
    tcase_add_test(t, test_vmfs__bitmap_behind_secondary_pointers__is_used);
    tcase_add_test(t, test_vmfs__first_device_grown_behind_the_second__its_table_is_followed);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
