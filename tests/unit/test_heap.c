// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_heap.c -- the heap and the page allocator.
 *
 * Random work against a shadow copy; what is freed twice or by the wrong owner has to panic.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <string.h>

#include "core/heap.h"
#include "lib/rng.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"

START_TEST(test_heap__every_size__zeroed_and_aligned)
{
    sim_test_begin();
    for (size_t size = 1; size < 9000; size += size < 1100 ? 1 : 97) {
        unsigned char *p = heap_alloc(size, MEM_OWNER_TEST);

        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % (size >= 64 ? 64 : 16), 0);
        bool zero = true;

        for (size_t i = 0; i < size; i++)
            zero = zero && !p[i];
        ck_assert(zero);
        memset(p, 0xff, size);
        heap_free(p);
    }
    heap_free(NULL);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_TEST), 0);
}
END_TEST

START_TEST(test_heap__random_work__nothing_overlaps_or_leaks)
{
    static struct {
        unsigned char *p;
        size_t size;
        unsigned char mark;
    } slots[300];
    struct rng rng;

    sim_test_begin();
    rng_init(&rng, 1, "heap", 0);

    uint64_t free_before = page_free_count();

    for (unsigned i = 0; i < 30000; i++) {
        unsigned k = (unsigned)rng_below(&rng, 300);

        if (slots[k].p) {
            bool intact = true;

            for (size_t j = 0; j < slots[k].size; j++)
                intact = intact && slots[k].p[j] == slots[k].mark;
            ck_assert(intact);
            heap_free(slots[k].p);
            slots[k].p = NULL;
        } else {
            slots[k].size = 1 + rng_below(&rng, rng_below(&rng, 10) ? 1100 : 20000);
            slots[k].mark = (unsigned char)(i | 1);
            slots[k].p = heap_alloc(slots[k].size, MEM_OWNER_TEST);
            ck_assert_ptr_nonnull(slots[k].p);
            memset(slots[k].p, slots[k].mark, slots[k].size);
        }
    }
    for (unsigned k = 0; k < 300; k++)
        heap_free(slots[k].p);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_TEST), 0);
    ck_assert_uint_eq(page_free_count(), free_before);
}
END_TEST

START_TEST(test_heap__too_big__null)
{
    sim_test_begin();
    ck_assert_ptr_null(heap_alloc(1ull << 30, MEM_OWNER_TEST));
    ck_assert_ptr_null(heap_alloc(SIZE_MAX, MEM_OWNER_TEST));  // its head would go past the end
    ck_assert_ptr_null(heap_alloc(SIZE_MAX - 63, MEM_OWNER_TEST));
    ck_assert_uint_eq(heap_owned(MEM_OWNER_TEST), 0);
}
END_TEST

START_TEST(test_heap__double_free__panics)
{
    void *p, *keep;

    sim_test_begin();
    keep = heap_alloc(100, MEM_OWNER_TEST);
    p = heap_alloc(100, MEM_OWNER_TEST);
    ck_assert(keep && p);
    heap_free(p);
    heap_free(p);
}
END_TEST

START_TEST(test_heap__inner_pointer__panics)
{
    sim_test_begin();
    char *p = heap_alloc(128, MEM_OWNER_TEST);

    ck_assert_ptr_nonnull(p);
    heap_free(p + 16);
}
END_TEST

KERNEL_TEST_MAIN("heap", RUNS(test_heap__every_size__zeroed_and_aligned),
                 RUNS(test_heap__random_work__nothing_overlaps_or_leaks),
                 RUNS(test_heap__too_big__null), PANICS(test_heap__double_free__panics),
                 PANICS(test_heap__inner_pointer__panics))
