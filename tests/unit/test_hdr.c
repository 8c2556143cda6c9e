// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_hdr.c -- percentiles against a sorted array.
 *
 * Locking    none.
 */
#include "lib/hdr.h"

#include <stdlib.h>

#include "lib/rng.h"
#include "tests/unit/kernel_test.h"

#define VALUES 1000u

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

START_TEST(test_hdr__no_value__percentile_is_0)
{
    struct hdr h = {0};

    ck_assert_uint_eq(hdr_permille(&h, 500), 0);
    ck_assert_uint_eq(hdr_permille(&h, 990), 0);
}
END_TEST

START_TEST(test_hdr__small_values__exact)
{
    struct hdr h = {0};

    for (uint64_t v = 1; v <= 8; v++)
        hdr_add(&h, v);
    ck_assert_uint_eq(hdr_permille(&h, 500), 4);
    ck_assert_uint_eq(hdr_permille(&h, 1000), 8);
    ck_assert_uint_eq(h.count, 8);
}
END_TEST

START_TEST(test_hdr__values_of_all_sizes__within_a_sixteenth_above)
{
    static uint64_t values[VALUES];
    struct hdr h = {0};
    struct rng rng;

    rng_init(&rng, 1, "hdr", 0);
    for (unsigned i = 0; i < VALUES; i++) {
        values[i] = rng_below(&rng, 1ull << (1 + rng_below(&rng, 39)));
        hdr_add(&h, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), by_size);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t is = hdr_permille(&h, percent * 10),
                 exact = values[VALUES / 100 * percent - 1];

        ck_assert_uint_ge(is, exact);
        ck_assert_uint_le(is, exact + exact / 16);
    }
    ck_assert_uint_eq(hdr_permille(&h, 1000), values[VALUES - 1]);
}
END_TEST

START_TEST(test_hdr__largest_value__has_a_bucket)
{
    struct hdr h = {0};

    hdr_add(&h, UINT64_MAX);
    hdr_add(&h, 1);
    ck_assert_uint_eq(hdr_permille(&h, 500), 1);
    ck_assert_uint_eq(hdr_permille(&h, 990), UINT64_MAX);
}
END_TEST

KERNEL_TEST_MAIN("hdr", RUNS(test_hdr__no_value__percentile_is_0),
                 RUNS(test_hdr__small_values__exact),
                 RUNS(test_hdr__values_of_all_sizes__within_a_sixteenth_above),
                 RUNS(test_hdr__largest_value__has_a_bucket))
