// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_partition.c -- partition tables: every damaged byte is noticed and mended.
 *
 * Tables are written on the simulated disk, damaged byte by byte, cut short by power loss at
 * every block, and read again. tests/tools/partition.sh has sgdisk and sfdisk judge the same
 * writer.
 *
 * Invariants
 *   - Every damage a test makes is one that the untouched table does not have.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "io/io.h"
#include "io/partition.h"
#include "lib/endian.h"
#include "lib/utf16.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"

#define SECTOR    512u
#define DISK_SIZE (8ull << 20)
#define LAST      (DISK_SIZE / SECTOR - 1)

static unsigned lines;

static void count_line(void *argument, const char *text)
{
    (void)argument;
    (void)text;
    lines++;
}

static const struct partition_report quiet = {.line = count_line};

static struct partition_table *read_table(struct block_device *disk)
{
    struct partition_table *table = NULL;

    lines = 0;
    ck_assert_int_eq(partition_table_read(disk, &quiet, &table), VMK_OK);
    return table;
}

static unsigned problems(struct block_device *disk)
{
    struct partition_table *table = read_table(disk);
    unsigned found = table->problems;

    ck_assert_int_eq(lines != 0, found != 0);
    partition_table_free(table);
    return found;
}

/* Repairs it: after that nothing is wrong. */
static void mend(struct block_device *disk)
{
    ck_assert_int_eq(partition_table_repair(disk, &quiet), VMK_OK);
    ck_assert_uint_eq(problems(disk), 0);
}

static void end(struct partition_table *table, struct disk_model *disk)
{
    partition_table_free(table);
    disk_model_destroy(disk);
}

static void add(struct partition_table *table, enum partition_kind kind, uint64_t size,
                const char *name)
{
    struct partition p = {.kind = kind, .size = size, .id = partition_guid_make(size, 7)};

    snprintf(p.name, sizeof(p.name), "%s", name);
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
}

static struct disk_model *gpt_disk(unsigned count)
{
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    struct partition_guid id = partition_guid_make(1, 2);
    struct partition_table *table;

    ck_assert_int_eq(partition_table_new(disk_model_device(disk), &id, &table), VMK_OK);
    for (unsigned i = 0; i < count; i++)
        add(table, i ? PARTITION_VMFS : PARTITION_VMKCORE, 1 << 20, i ? "" : "dump");
    ck_assert_int_eq(partition_table_write(disk_model_device(disk), table), VMK_OK);
    partition_table_free(table);
    return disk;
}

static void change(struct block_device *disk, uint64_t at, uint8_t by)
{
    uint8_t sector[SECTOR];

    ck_assert_int_eq(block_read(disk, at / SECTOR * SECTOR, sector, SECTOR), VMK_OK);
    sector[at % SECTOR] ^= by;
    ck_assert_int_eq(block_write(disk, at / SECTOR * SECTOR, sector, SECTOR), VMK_OK);
}

START_TEST(test_gpt__written__reads_back)
{
    struct disk_model *disk = gpt_disk(2);
    struct partition_table *table = read_table(disk_model_device(disk));
    const struct partition *p = partition_find(table, 1);

    ck_assert_uint_eq(table->scheme, PARTITION_SCHEME_GPT);
    ck_assert_uint_eq(table->problems, 0);
    ck_assert_uint_eq(table->count, 2);
    ck_assert_uint_eq(p->kind, PARTITION_VMKCORE);
    ck_assert_uint_eq(p->offset, 1 << 20);
    ck_assert_uint_eq(p->size, 1 << 20);
    ck_assert_str_eq(p->name, "dump");
    ck_assert_uint_eq(partition_find(table, 2)->kind, PARTITION_VMFS);
    ck_assert_ptr_null(partition_find(table, 3));
    end(table, disk);
}
END_TEST

/*
 * Each byte of a header that its CRC covers, and of its array; of either copy; and each is
 * mended.
 */
static void damage_each(uint64_t header, uint64_t array, unsigned wanted)
{
    struct disk_model *disk = gpt_disk(2);
    struct block_device *device = disk_model_device(disk);

    for (unsigned i = 0; i < 92 + 300; i++) {
        uint64_t at = i < 92 ? header * SECTOR + i : array * SECTOR + i - 92;
        struct partition_table *table;

        change(device, at, (uint8_t)(1u << i % 8));
        table = read_table(device);
        ck_assert_msg(table->problems == wanted, "byte %u: problems %x", i, table->problems);
        ck_assert_uint_eq(table->count, 2);
        partition_table_free(table);
        if (i % 16 == 0) {
            mend(device);
        } else {
            change(device, at, (uint8_t)(1u << i % 8));
        }
    }
    disk_model_destroy(disk);
}

START_TEST(test_gpt__each_byte_of_primary__is_noticed_and_mended)
{
    damage_each(1, 2, PARTITION_BAD_PRIMARY);
}
END_TEST

START_TEST(test_gpt__each_byte_of_backup__is_noticed_and_mended)
{
    damage_each(LAST, LAST - 32, PARTITION_BAD_BACKUP);
}
END_TEST

START_TEST(test_gpt__both_damaged__is_corrupt)
{
    struct disk_model *disk = gpt_disk(1);
    struct block_device *device = disk_model_device(disk);
    struct partition_table *table;

    change(device, SECTOR + 20, 1);
    change(device, LAST * SECTOR + 20, 1);
    change(device, SECTOR + 16, 1);
    ck_assert_int_eq(partition_table_read(device, &quiet, &table), VMK_CORRUPT);
    ck_assert_int_eq(partition_table_repair(device, &quiet), VMK_BAD_FORMAT);
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_gpt__unreadable_primary__backup_serves)
{
    struct disk_model *disk = gpt_disk(2);
    struct block_device *device = disk_model_device(disk);
    struct partition_table *table;

    disk_model_fail(disk, SECTOR, SECTOR, 1);
    table = read_table(device);
    ck_assert_uint_eq(table->problems, PARTITION_BAD_PRIMARY);
    ck_assert_uint_eq(table->count, 2);
    end(table, disk);
}
END_TEST

START_TEST(test_gpt__protective_entry_gone__is_mended)
{
    struct disk_model *disk = gpt_disk(1);
    struct block_device *device = disk_model_device(disk);

    change(device, 446 + 4, 0xee);
    ck_assert_uint_eq(problems(device), PARTITION_BAD_PROTECTIVE);
    mend(device);
    /* An MBR with a partition of its own is no GPT, whatever lies behind. */
    change(device, 446 + 4, 0xee ^ 0x83);
    change(device, 446 + 8, 0x40 ^ 1);

    struct partition_table *table = read_table(device);

    ck_assert_uint_eq(table->scheme, PARTITION_SCHEME_MBR);
    end(table, disk);
}
END_TEST

START_TEST(test_gpt__disk_grew__backup_moves)
{
    struct disk_model *disk = gpt_disk(2);
    struct disk_model *larger = disk_model_create("larger", 2 * DISK_SIZE);
    struct block_device *device = disk_model_device(larger);
    struct partition_table *table;

    for (uint64_t at = 0; at < DISK_SIZE; at += SECTOR) {
        uint8_t sector[SECTOR];

        ck_assert_int_eq(block_read(disk_model_device(disk), at, sector, SECTOR), VMK_OK);
        ck_assert_int_eq(block_write(device, at, sector, SECTOR), VMK_OK);
    }
    ck_assert_uint_eq(problems(device), PARTITION_BACKUP_MISPLACED);
    mend(device);
    table = read_table(device);
    ck_assert_uint_eq(table->usable_end, 2 * DISK_SIZE - 33 * SECTOR);
    end(table, disk);
    disk_model_destroy(larger);
}
END_TEST

/* Whatever survives of a write that was cut, the table is the old or the new one. */
START_TEST(test_gpt__power_cut_in_write__old_or_new)
{
    struct disk_model *pattern = gpt_disk(2);
    struct partition_table *table = read_table(disk_model_device(pattern));
    uint64_t all;

    add(table, PARTITION_LINUX, 0, "third");

    struct disk_model *whole = disk_model_clone(pattern);

    ck_assert_int_eq(partition_table_write(disk_model_device(whole), table), VMK_OK);
    all = disk_model_writes(whole);
    ck_assert_uint_ge(all, 66);
    disk_model_destroy(whole);
    for (uint64_t cut = 0; cut < all; cut++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct disk_model *disk = disk_model_clone(pattern);
            struct block_device *device = disk_model_device(disk);
            struct partition_table *after;

            disk_model_cut_after(disk, cut);
            ck_assert_int_ne(partition_table_write(device, table), VMK_OK);
            disk_model_power_on(disk, seed == 3 ? UINT64_MAX : seed);
            after = read_table(device);
            ck_assert_msg(after->count == 2 || after->count == 3, "cut %u seed %u: %u",
                          (unsigned)cut, (unsigned)seed, after->count);
            mend(device);
            partition_table_free(after);
            disk_model_destroy(disk);
        }
    }
    partition_table_free(table);
    disk_model_destroy(pattern);
}
END_TEST

/* ---- MBR ---- */

static void mbr_entry(uint8_t *sector, unsigned i, uint8_t type, uint32_t first, uint32_t count)
{
    uint8_t *e = sector + 446 + 16 * i;

    e[4] = type;
    put_le32(e + 8, first);
    put_le32(e + 12, count);
    put_le16(sector + 510, 0xaa55);
}

/*
 * VMFS, vmkcore, and logical partitions behind each other; the last link goes to `last_link`.
 */
static struct disk_model *mbr_disk(uint32_t last_link)
{
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    uint8_t sector[SECTOR] = {0};

    mbr_entry(sector, 0, 0xfb, 2048, 2048);
    mbr_entry(sector, 1, 0xfc, 4096, 2048);
    mbr_entry(sector, 3, 0x05, 8192, 4096);
    ck_assert_int_eq(block_write(disk_model_device(disk), 0, sector, SECTOR), VMK_OK);
    for (unsigned i = 0; i < 3; i++) {
        memset(sector, 0, sizeof(sector));
        mbr_entry(sector, 0, 0x83, 64, 512);
        if (i < 2)
            mbr_entry(sector, 1, 0x05, 1024 * (i + 1), 576);
        else if (last_link)
            mbr_entry(sector, 1, 0x05, last_link, 576);
        ck_assert_int_eq(
            block_write(disk_model_device(disk), (8192ull + 1024 * i) * SECTOR, sector, SECTOR),
            VMK_OK);
    }
    return disk;
}

START_TEST(test_mbr__logical_partitions__are_read)
{
    struct disk_model *disk = mbr_disk(0);
    struct partition_table *table = read_table(disk_model_device(disk));

    ck_assert_uint_eq(table->scheme, PARTITION_SCHEME_MBR);
    ck_assert_uint_eq(table->problems, 0);
    ck_assert_uint_eq(table->count, 5);
    ck_assert_uint_eq(partition_find(table, 1)->kind, PARTITION_VMFS);
    ck_assert_uint_eq(partition_find(table, 2)->kind, PARTITION_VMKCORE);
    ck_assert_uint_eq(partition_find(table, 7)->offset, (8192ull + 2048 + 64) * SECTOR);
    end(table, disk);
}
END_TEST

/* A circle, a link out of the extended partition, and one to a block without a table. */
START_TEST(test_mbr__bad_chain__ends)
{
    static const uint32_t links[] = {1024, 4096, 3072, UINT32_MAX};
    struct disk_model *disk = mbr_disk(links[_i]);
    struct partition_table *table = read_table(disk_model_device(disk));

    ck_assert_uint_eq(table->problems, PARTITION_BAD_CHAIN);
    ck_assert_uint_eq(lines, 1);
    ck_assert_uint_eq(table->count, 5);
    end(table, disk);
}
END_TEST

/*
 * Boot code, extended partition and signature stay; what is added is of the asked type, beside
 * all that.
 */
START_TEST(test_mbr__written__keeps_what_it_does_not_know)
{
    struct disk_model *disk = mbr_disk(0);
    struct block_device *device = disk_model_device(disk);
    struct partition p = {.kind = PARTITION_VMFS};
    struct partition_table *table;
    uint8_t before[SECTOR];
    uint8_t after[SECTOR];

    change(device, 3, 0x5a);
    change(device, 440, 0x77);
    ck_assert_int_eq(block_read(device, 0, before, SECTOR), VMK_OK);
    table = read_table(device);
    ck_assert_int_eq(partition_remove(table, 6), VMK_UNSUPPORTED);
    ck_assert_int_eq(partition_remove(table, 1), VMK_OK);
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    ck_assert_uint_eq(p.number, 1);
    ck_assert_uint_eq(p.offset,
                      12288ull * SECTOR);  // behind the extended partition, the largest gap
    p = (struct partition){.kind = PARTITION_VSAN};
    ck_assert_int_eq(partition_add(table, &p), VMK_UNSUPPORTED);  // an MBR has no type for it
    p = (struct partition){.mbr_type = 0xfc, .number = 4};
    ck_assert_int_eq(partition_add(table, &p), VMK_EXISTS);
    p = (struct partition){.mbr_type = 0xfc, .offset = 9000ull * SECTOR, .size = SECTOR};
    ck_assert_int_eq(partition_add(table, &p), VMK_BAD_PARAM);
    ck_assert_int_eq(partition_table_write(device, table), VMK_OK);
    partition_table_free(table);
    ck_assert_int_eq(block_read(device, 0, after, SECTOR), VMK_OK);
    ck_assert_mem_eq(before, after, 446);
    ck_assert_mem_eq(before + 446 + 48, after + 446 + 48, SECTOR - 446 - 48);
    ck_assert_uint_eq(after[446 + 4], 0xfb);
    table = read_table(device);
    ck_assert_uint_eq(table->problems, 0);
    ck_assert_uint_eq(table->count, 5);
    ck_assert_uint_eq(partition_find(table, 1)->kind, PARTITION_VMFS);
    end(table, disk);
}
END_TEST

/* An MBR without partitions on what was a GPT disk: neither copy of the GPT comes back. */
START_TEST(test_mbr__over_a_gpt__replaces_it)
{
    struct disk_model *disk = gpt_disk(2);
    struct block_device *device = disk_model_device(disk);
    struct partition p = {.mbr_type = 0xfc, .active = true};
    struct partition_table *table;

    ck_assert_int_eq(partition_table_new_mbr(device, 0x12345678, &table), VMK_OK);
    ck_assert_int_eq(partition_table_write(device, table), VMK_OK);
    partition_table_free(table);
    table = read_table(device);
    ck_assert_uint_eq(table->scheme, PARTITION_SCHEME_MBR);
    ck_assert_uint_eq(table->count + table->problems, 0);
    ck_assert_uint_eq(table->signature, 0x12345678);
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    ck_assert_int_eq(partition_table_write(device, table), VMK_OK);
    ck_assert_int_eq(partition_remove(table, 1), VMK_OK);
    ck_assert_int_eq(partition_table_write(device, table), VMK_OK);
    partition_table_free(table);
    ck_assert_uint_eq(problems(device), 0);
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_mbr__overlap_and_bounds__are_not_opened)
{
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    struct block_device *device = disk_model_device(disk);
    struct block_device *part;
    uint8_t sector[SECTOR] = {0};

    mbr_entry(sector, 0, 0x83, 2048, 2048);
    mbr_entry(sector, 1, 0x83, 4095, 16);
    mbr_entry(sector, 2, 0x83, 16000, 385);
    mbr_entry(sector, 3, 0x83, 8192, 64);
    ck_assert_int_eq(block_write(device, 0, sector, SECTOR), VMK_OK);
    ck_assert_uint_eq(problems(device), PARTITION_BAD_ENTRY);
    for (unsigned i = 1; i <= 3; i++)
        ck_assert_int_eq(partition_open(device, i, &part), VMK_BAD_FORMAT);
    ck_assert_int_eq(partition_open(device, 5, &part), VMK_NOT_FOUND);
    ck_assert_int_eq(partition_open(device, 4, &part), VMK_OK);
    partition_close(part);
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_mbr__boot_sector_of_fat__is_no_table)
{
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    uint8_t sector[SECTOR];
    struct partition_table *table;

    memset(sector, 'x', sizeof(sector));
    put_le16(sector + 510, 0xaa55);
    ck_assert_int_eq(block_write(disk_model_device(disk), 0, sector, SECTOR), VMK_OK);
    table = read_table(disk_model_device(disk));
    ck_assert_uint_eq(table->scheme, PARTITION_SCHEME_NONE);
    end(table, disk);
}
END_TEST

/* ---- a partition as a device ---- */

START_TEST(test_partition_device__requests__are_shifted_and_bounded)
{
    struct disk_model *disk = gpt_disk(2);
    struct block_device *device = disk_model_device(disk);
    struct block_device *part;
    char block[SECTOR];
    char expected[SECTOR] = {0};

    ck_assert_int_eq(partition_open(device, 2, &part), VMK_OK);
    ck_assert_str_eq(part->name, "disk:2");
    ck_assert_uint_eq(part->size, 1 << 20);
    memset(block, 'q', sizeof(block));
    ck_assert_int_eq(block_write(part, (1 << 20) - SECTOR, block, SECTOR), VMK_OK);
    memset(block, 0, sizeof(block));
    ck_assert_int_eq(block_read(device, (3 << 20) - SECTOR, block, SECTOR), VMK_OK);
    ck_assert_int_eq(block[0], 'q');
    ck_assert_int_eq(block_write(part, 1 << 20, block, SECTOR), VMK_BAD_PARAM);
    ck_assert_int_eq(block_write(part, UINT64_MAX - SECTOR + 1, block, SECTOR), VMK_BAD_PARAM);
    ck_assert_int_eq(block_compare_write(part, 0, expected, block), VMK_OK);
    ck_assert_int_eq(block_compare_write(part, 0, expected, block), VMK_AGAIN);
    ck_assert_int_eq(block_flush(part), VMK_OK);
    ck_assert_int_eq(block_discard(part, 0, SECTOR), VMK_OK);

    /* The request is the submitter's: the same again does the same. */
    struct block_segment segment = {.data = block, .size = SECTOR};
    struct block_request request = {.op = BLOCK_WRITE,
                                    .offset = 4096,
                                    .size = SECTOR,
                                    .segments = &segment,
                                    .segment_count = 1};

    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(block_io(part, &request), VMK_OK);
        ck_assert_uint_eq(request.offset, 4096);
    }
    partition_close(part);
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_partition_add__wrong_wishes__are_refused)
{
    struct disk_model *disk = gpt_disk(2);
    struct partition_table *table = read_table(disk_model_device(disk));
    struct partition p = {.number = 2, .size = 512};

    ck_assert_int_eq(partition_add(table, &p), VMK_EXISTS);
    p = (struct partition){.number = 129, .size = 512};
    ck_assert_int_eq(partition_add(table, &p), VMK_LIMIT);
    p = (struct partition){.size = 1ull << 40};
    ck_assert_int_eq(partition_add(table, &p), VMK_NO_SPACE);
    p = (struct partition){.offset = (1 << 20) + SECTOR, .size = 512};
    ck_assert_int_eq(partition_add(table, &p), VMK_BAD_PARAM);
    p = (struct partition){.offset = DISK_SIZE - 33 * SECTOR, .size = 512};
    ck_assert_int_eq(partition_add(table, &p), VMK_BAD_PARAM);
    p = (struct partition){.offset = DISK_SIZE - 34 * SECTOR, .size = 512};
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    p = (struct partition){.size = 0};
    ck_assert_int_eq(partition_add(table, &p), VMK_OK);
    ck_assert_uint_eq(p.offset, 3 << 20);
    ck_assert_uint_eq(p.size, 4 << 20);
    end(table, disk);
}
END_TEST

/* ---- UTF ---- */

START_TEST(test_utf16__round_trip_and_refusals)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    static const char *const wrong[] = {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80",
                                        "\xe2\x82"};
    uint8_t units[12];
    char back[16];

    ck_assert_uint_eq(utf16_from_utf8(text, sizeof(text) - 1, units, 6), 5);
    ck_assert_uint_eq(utf16_from_utf8(text, sizeof(text) - 1, units, 4), SIZE_MAX);
    ck_assert_uint_eq(utf16_from_utf8(text, sizeof(text) - 1, units, 6), 5);
    ck_assert_uint_eq(utf8_from_utf16(units, 5, back, sizeof(text)), sizeof(text) - 1);
    ck_assert_str_eq(back, text);
    ck_assert_uint_eq(utf8_from_utf16(units, 5, back, sizeof(text) - 1), SIZE_MAX);
    ck_assert_uint_eq(utf8_from_utf16(units + 6, 1, back, sizeof(back)), 3);
    ck_assert_str_eq(back, "\xef\xbf\xbd");
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(utf16_from_utf8(wrong[i], strlen(wrong[i]), units, 6), SIZE_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");
    TCase *tcase = tcase_create("partition");

    sim_test_begin();
    tcase_add_test(tcase, test_gpt__written__reads_back);
    tcase_add_test(tcase, test_gpt__each_byte_of_primary__is_noticed_and_mended);
    tcase_add_test(tcase, test_gpt__each_byte_of_backup__is_noticed_and_mended);
    tcase_add_test(tcase, test_gpt__both_damaged__is_corrupt);
    tcase_add_test(tcase, test_gpt__unreadable_primary__backup_serves);
    tcase_add_test(tcase, test_gpt__protective_entry_gone__is_mended);
    tcase_add_test(tcase, test_gpt__disk_grew__backup_moves);
    tcase_add_test(tcase, test_gpt__power_cut_in_write__old_or_new);
    tcase_add_test(tcase, test_mbr__logical_partitions__are_read);
    tcase_add_loop_test(tcase, test_mbr__bad_chain__ends, 0, 4);
    tcase_add_test(tcase, test_mbr__written__keeps_what_it_does_not_know);
    tcase_add_test(tcase, test_mbr__over_a_gpt__replaces_it);
    tcase_add_test(tcase, test_mbr__overlap_and_bounds__are_not_opened);
    tcase_add_test(tcase, test_mbr__boot_sector_of_fat__is_no_table);
    tcase_add_test(tcase, test_partition_device__requests__are_shifted_and_bounded);
    tcase_add_test(tcase, test_partition_add__wrong_wishes__are_refused);
    tcase_add_test(tcase, test_utf16__round_trip_and_refusals);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
