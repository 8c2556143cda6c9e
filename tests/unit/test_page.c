// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_page.c -- machine pages.
 *
 * Takes and gives until nothing is left; blocks never overlap, buddies merge again.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "lib/rng.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"

START_TEST(test_page__all_of_memory__each_page_once_and_back)
{
    static unsigned char seen[16384];
    static mpn_t taken[16384];
    unsigned count = 0;

    sim_test_begin();

    ck_assert_uint_gt(page_free_least(), 0);

    uint64_t free_before = page_free_count();

    while (page_alloc(0, MEM_OWNER_TEST, &taken[count]) == VMK_OK) {
        ck_assert(taken[count].raw >= 256 && taken[count].raw < 16384);
        ck_assert_uint_eq(seen[taken[count].raw]++, 0);
        count++;
    }
    ck_assert_uint_eq(page_free_least(), 0);
    ck_assert_uint_eq(count, free_before);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_TEST), count);
    while (count)
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    ck_assert_uint_eq(page_free_count(), free_before);

    mpn_t big;

    ck_assert_int_eq(page_alloc(PAGE_ORDER_MAX, MEM_OWNER_TEST, &big), VMK_OK);
    ck_assert_uint_eq(big.raw % (1u << PAGE_ORDER_MAX), 0);
    page_free(big, PAGE_ORDER_MAX, MEM_OWNER_TEST);
    mem_print_owners();
}
END_TEST

START_TEST(test_page__random_orders__no_overlap)
{
    static unsigned char owner[16384];
    struct {
        mpn_t mpn;
        unsigned order;
        bool used;
    } slots[100] = {{.used = false}};
    struct rng rng;

    sim_test_begin();
    rng_init(&rng, 1, "page", 0);

    uint64_t free_before = page_free_count();

    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = (unsigned)rng_below(&rng, 100);

        if (slots[k].used) {
            for (uint64_t p = 0; p < 1ull << slots[k].order; p++)
                ck_assert_uint_eq(owner[slots[k].mpn.raw + p]--, 1);
            page_free(slots[k].mpn, slots[k].order, MEM_OWNER_TEST);
            slots[k].used = false;
        } else {
            slots[k].order = (unsigned)rng_below(&rng, 8);
            if (page_alloc(slots[k].order, MEM_OWNER_TEST, &slots[k].mpn) != VMK_OK)
                continue;
            slots[k].used = true;
            ck_assert_uint_eq(slots[k].mpn.raw & ((1ull << slots[k].order) - 1), 0);
            for (uint64_t p = 0; p < 1ull << slots[k].order; p++)
                ck_assert_uint_eq(owner[slots[k].mpn.raw + p]++, 0);
        }
    }
    for (unsigned k = 0; k < 100; k++) {
        if (slots[k].used)
            page_free(slots[k].mpn, slots[k].order, MEM_OWNER_TEST);
    }
    ck_assert_uint_eq(page_free_count(), free_before);
}
END_TEST

START_TEST(test_page__wrong_owner__panics)
{
    mpn_t mpn;

    sim_test_begin();
    ck_assert_int_eq(page_alloc(0, MEM_OWNER_TEST, &mpn), VMK_OK);
    page_free(mpn, 0, MEM_OWNER_VMM);
}
END_TEST

START_TEST(test_page__freed_twice__panics)
{
    mpn_t mpn;

    sim_test_begin();
    ck_assert_int_eq(page_alloc(0, MEM_OWNER_TEST, &mpn), VMK_OK);
    page_free(mpn, 0, MEM_OWNER_TEST);
    page_free(mpn, 0, MEM_OWNER_TEST);
}
END_TEST

KERNEL_TEST_MAIN("page", RUNS(test_page__all_of_memory__each_page_once_and_back),
                 RUNS(test_page__random_orders__no_overlap),
                 PANICS(test_page__wrong_owner__panics), PANICS(test_page__freed_twice__panics))
