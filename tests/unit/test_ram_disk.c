// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_ram_disk.c -- a disk in memory against a plain array: empty, over a file, over a
 * disk.
 *
 * Random reads, writes and discards of any sectors are done to both, and every read is
 * compared. What is under it must never change, and all memory must come back.
 */
#include "vmm/ram_disk.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rng.h"
#include "sim/model/disk.h"
#include "sim/platform/sim.h"
#include "mem/page.h"
#include "tests/unit/suite_run.h"

#define SIZE (5u << 20)  // more than two tables

static uint8_t expected[SIZE], buffer[1 << 16];

static void play(struct block_device *device, bool discard)
{
    struct rng r;

    rng_init(&r, 1, "ram_disk", discard);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t at = rng_next(&r) % (SIZE / 512) * 512;
        uint64_t size = (rng_next(&r) % 64 + 1) * 512;

        if (size > SIZE - at)
            size = SIZE - at;
        switch (rng_next(&r) % 3) {
        case 0:
            memset(buffer, (int)(rng_next(&r) & 0xff), size);
            memcpy(expected + at, buffer, size);
            ck_assert_int_eq(block_write(device, at, buffer, size), VMK_OK);
            break;
        case 1:
            if (discard) {
                // Whole pages become zeros, the rest stays.
                uint64_t first = (at + 4095) & ~4095ull, end = (at + size) & ~4095ull;

                if (first < end)
                    memset(expected + first, 0, end - first);
                ck_assert_int_eq(block_discard(device, at, size), VMK_OK);
                break;
            }
            fall_through;
        default:
            ck_assert_int_eq(block_read(device, at, buffer, size), VMK_OK);
            ck_assert_mem_eq(buffer, expected + at, size);
            break;
        }
    }
}

START_TEST(test_ram_disk__empty__is_an_array)
{
    struct block_device *device;
    uint64_t free_before;

    sim_test_begin();
    free_before = page_owned_count(MEM_OWNER_VMM);
    ck_assert_int_eq(ram_disk_create("r", SIZE, NULL, 0, NULL, &device), VMK_OK);
    play(device, true);
    ck_assert_int_eq(block_flush(device), VMK_OK);
    ck_assert_int_eq(block_read(device, SIZE, buffer, 512), VMK_BAD_PARAM);
    ram_disk_destroy(device);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_VMM), free_before);
}
END_TEST

START_TEST(test_ram_disk__over_a_file__the_file_stays)
{
    static uint8_t file[1000003], copy[1000003];  // no whole number of sectors
    struct block_device *device;

    sim_test_begin();
    for (size_t i = 0; i < sizeof(file); i++)
        file[i] = (uint8_t)(i * 31 + i / 512);
    memcpy(copy, file, sizeof(file));
    memcpy(expected, file, sizeof(file));
    ck_assert_int_eq(ram_disk_create("r", SIZE, file, sizeof(file), NULL, &device), VMK_OK);
    play(device, false);
    ck_assert_mem_eq(file, copy, sizeof(file));
    ram_disk_destroy(device);
}
END_TEST

START_TEST(test_ram_disk__over_a_disk__changes_are_its_own)
{
    struct disk_model *model;
    struct block_device *device;
    uint64_t writes;

    sim_test_begin();
    model = disk_model_create("m", SIZE);
    for (size_t i = 0; i < SIZE; i++)
        expected[i] = (uint8_t)(i * 17 + i / 512);
    ck_assert_int_eq(block_write(disk_model_device(model), 0, expected, SIZE), VMK_OK);
    writes = disk_model_writes(model);
    ck_assert_int_eq(ram_disk_create("r", SIZE, NULL, 0, disk_model_device(model), &device),
                     VMK_OK);
    play(device, false);
    ck_assert_uint_eq(disk_model_writes(model), writes);
    disk_model_fail(model, 0, SIZE, 1);
    ck_assert_int_eq(block_read(device, 0, buffer, 512), VMK_IO_ERROR);
    ram_disk_destroy(device);
    disk_model_destroy(model);
}
END_TEST

START_TEST(test_ram_disk__sizes__refused)
{
    struct block_device *device;

    sim_test_begin();
    ck_assert_int_eq(ram_disk_create("r", 0, NULL, 0, NULL, &device), VMK_BAD_PARAM);
    ck_assert_int_eq(ram_disk_create("r", 1000, NULL, 0, NULL, &device), VMK_BAD_PARAM);
    ck_assert_int_eq(ram_disk_create("r", 1ull << 60, NULL, 0, NULL, &device), VMK_LIMIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ram_disk");
    TCase *all = tcase_create("all");

    tcase_add_test(all, test_ram_disk__empty__is_an_array);
    tcase_add_test(all, test_ram_disk__over_a_file__the_file_stays);
    tcase_add_test(all, test_ram_disk__over_a_disk__changes_are_its_own);
    tcase_add_test(all, test_ram_disk__sizes__refused);
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
