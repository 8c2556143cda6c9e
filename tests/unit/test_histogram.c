// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_histogram.c -- percentiles against a sorted array.
 *
 * Locking    none.
 */
#include "lib/histogram.h"

#include <stdlib.h>

#include "lib/rng.h"
#include "tests/unit/kernel_test.h"

#define VALUES 1000u

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

START_TEST(test_histogram__no_value__percentile_is_0)
{
    struct histogram h = {0};

    ck_assert_uint_eq(histogram_percentile(&h, 50), 0);
    ck_assert_uint_eq(histogram_percentile(&h, 99), 0);
}
END_TEST

START_TEST(test_histogram__small_values__exact)
{
    struct histogram h = {0};

    for (uint64_t v = 1; v <= 8; v++)
        histogram_add(&h, v);
    ck_assert_uint_eq(histogram_percentile(&h, 50), 4);
    ck_assert_uint_eq(histogram_percentile(&h, 100), 8);
    ck_assert_uint_eq(h.total, 8);
}
END_TEST

START_TEST(test_histogram__values_of_all_sizes__within_an_eighth_above)
{
    static uint64_t values[VALUES];
    struct histogram h = {0};
    struct rng rng;

    rng_init(&rng, 1, "histogram", 0);
    for (unsigned i = 0; i < VALUES; i++) {
        values[i] = rng_below(&rng, 1ull << (1 + rng_below(&rng, 39)));
        histogram_add(&h, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), by_size);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t is = histogram_percentile(&h, percent),
                 exact = values[VALUES / 100 * percent - 1];

        ck_assert_uint_ge(is, exact);
        ck_assert_uint_le(is, exact + exact / 8);
    }
    ck_assert_uint_eq(histogram_percentile(&h, 100), values[VALUES - 1]);
}
END_TEST

START_TEST(test_histogram__larger_than_any_bucket__the_largest_value)
{
    struct histogram h = {0};

    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 1);
    ck_assert_uint_eq(histogram_percentile(&h, 50), 1);
    ck_assert_uint_eq(histogram_percentile(&h, 99), UINT64_MAX);
}
END_TEST

KERNEL_TEST_MAIN("histogram", RUNS(test_histogram__no_value__percentile_is_0),
                 RUNS(test_histogram__small_values__exact),
                 RUNS(test_histogram__values_of_all_sizes__within_an_eighth_above),
                 RUNS(test_histogram__larger_than_any_bucket__the_largest_value))
