// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_zip_cache.c -- packed pages come back as they were, the oldest first, and nothing leaks.
 */
#include "vmm/zip_cache.h"

#include <string.h>

#include "lib/rng.h"
#include "tests/unit/kernel_test.h"
#include "vmm/compress.h"

#define ENTRIES 500u

static struct zip_cache zip;
static struct rng rng;

static void fill(uint8_t *out, size_t size, uint32_t index)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(index * 31 + i * 7);
}

static bool is_right(uint32_t handle, uint32_t index, size_t size)
{
    uint8_t wanted[ZIP_ROOM];
    uint32_t whose;
    size_t has;
    const void *data = zip_cache_data(&zip, handle, &has, &whose);

    fill(wanted, size, index);
    return whose == index && has == size && memcmp(data, wanted, size) == 0;
}

START_TEST(test_zip_cache__random_entries__agree_with_a_model)
{
    static struct {
        uint32_t handle, index;
        size_t size;
        uint64_t born;
    } model[ENTRIES];
    uint64_t born = 0, kept = 0;
    uint8_t data[ZIP_ROOM];

    sim_test_begin();
    rng_init(&rng, 3, "zip", 0);
    ck_assert_int_eq(zip_cache_init(&zip, 60), VMK_OK);
    for (uint32_t step = 0; step < 30000; step++) {
        unsigned i = (unsigned)rng_below(&rng, ENTRIES);
        unsigned oldest = ENTRIES;

        if (model[i].handle) {
            ck_assert(is_right(model[i].handle, model[i].index, model[i].size));
            zip_cache_drop(&zip, model[i].handle);
            model[i].handle = 0;
            kept--;
        } else {
            model[i].size = 1 + rng_below(&rng, ZIP_ROOM);
            model[i].index = step;
            model[i].born = ++born;
            fill(data, model[i].size, step);
            model[i].handle = zip_cache_store(&zip, step, data, model[i].size);
            kept += model[i].handle != 0;
        }
        ck_assert_uint_eq(zip.entries, kept);
        ck_assert_uint_le(zip.count, 60);
        ck_assert_uint_ge(zip.count * ZIP_UNITS, kept);
        for (unsigned k = 0; k < ENTRIES; k++) {
            if (model[k].handle && (oldest == ENTRIES || model[k].born < model[oldest].born))
                oldest = k;
        }
        ck_assert_uint_eq(zip_cache_oldest(&zip), oldest == ENTRIES ? 0 : model[oldest].handle);
    }
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_VMM), zip.count);
    for (unsigned k = 0; k < ENTRIES; k++) {
        if (model[k].handle)
            zip_cache_drop(&zip, model[k].handle);
    }
    ck_assert_uint_eq(zip.count, 0);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_VMM), 0);
    zip_cache_destroy(&zip);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_VMM), 0);
}
END_TEST

START_TEST(test_zip_cache__full__takes_nothing_more)
{
    uint8_t data[ZIP_ROOM] = {1};
    uint32_t handle;

    sim_test_begin();
    ck_assert_int_eq(zip_cache_init(&zip, 2), VMK_OK);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_ne(zip_cache_store(&zip, i, data, ZIP_ROOM), 0);
    ck_assert_uint_eq(zip_cache_store(&zip, 4, data, 1), 0);
    handle = zip_cache_oldest(&zip);
    zip_cache_drop(&zip, handle);
    ck_assert_uint_eq(zip_cache_store(&zip, 5, data, ZIP_UNIT), handle);
    ck_assert_uint_ne(zip_cache_store(&zip, 6, data, ZIP_UNIT), 0);
    ck_assert_uint_eq(zip_cache_store(&zip, 7, data, 1), 0);
    zip_cache_destroy(&zip);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_VMM), 0);
}
END_TEST

START_TEST(test_compressor__pages__come_back_or_do_not_fit)
{
    static uint8_t page[PAGE_SIZE], packed[ZIP_ROOM], back[PAGE_SIZE];
    struct compressor *c;
    uint64_t bytes;
    size_t size;

    sim_test_begin();
    rng_init(&rng, 5, "pack", 0);
    ck_assert_int_eq(compressor_create(&c), VMK_OK);
    bytes = heap_owned(MEM_OWNER_FS) + heap_owned(MEM_OWNER_VMM);
    ck_assert_uint_le(bytes, 60 << 10);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned variety = (unsigned)rng_below(&rng, 256) + 1;
        unsigned part = (unsigned)rng_below(&rng, PAGE_SIZE);

        memset(page, 0, sizeof(page));
        for (unsigned k = 0; k < part; k++)
            page[k] = (uint8_t)rng_below(&rng, variety);
        size = compressor_pack(c, page, packed, sizeof(packed));
        ck_assert_uint_le(size, ZIP_ROOM);
        // Half a page of anything and zeros fits, but for zlib's few bytes of overhead.
        ck_assert(size || part > PAGE_SIZE / 2 - 100);
        if (!size)
            continue;
        ck_assert(compressor_unpack(c, packed, size, back));
        ck_assert_mem_eq(page, back, sizeof(page));
        ck_assert(!compressor_unpack(c, packed, size / 2, back));
    }
    // What was cut short cost inflate() a window, once.
    ck_assert_uint_le(heap_owned(MEM_OWNER_FS) + heap_owned(MEM_OWNER_VMM),
                      bytes + PAGE_SIZE + 64);
    compressor_destroy(c);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_FS) + heap_owned(MEM_OWNER_VMM), 0);
}
END_TEST

KERNEL_TEST_MAIN("zip_cache", RUNS(test_zip_cache__random_entries__agree_with_a_model),
                 RUNS(test_zip_cache__full__takes_nothing_more),
                 RUNS(test_compressor__pages__come_back_or_do_not_fit))
