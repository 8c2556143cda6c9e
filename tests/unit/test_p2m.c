// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_p2m.c -- the book of a VM's pages.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "mem/p2m.h"

#include "lib/rng.h"
#include "tests/unit/kernel_test.h"

static struct p2m p2m;

START_TEST(test_p2m__untouched__costs_a_pointer_a_chunk)
{
    sim_test_begin();
    ck_assert_int_eq(p2m_init(&p2m, BIT(36) / PAGE_SIZE), VMK_OK);  // 64 GB
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_P2M), 0);
    ck_assert_int_eq(p2m_look(&p2m, p2m.page_count - 1).state, P2M_NONE);
    ck_assert_int_eq(p2m_reserve(&p2m, p2m.page_count - 1), VMK_OK);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_P2M), 1);
    p2m_destroy(&p2m);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_P2M), 0);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_P2M), 0);
    ck_assert_int_eq(p2m_init(&p2m, BIT(33)), VMK_LIMIT);
}
END_TEST

START_TEST(test_p2m__random_changes__counts_and_looks_agree)
{
    static struct p2m_page model[3000];
    uint64_t count[P2M_STATE_COUNT] = {ARRAY_COUNT(model)};
    struct rng rng;

    sim_test_begin();
    rng_init(&rng, 1, "p2m", 0);
    ck_assert_int_eq(p2m_init(&p2m, ARRAY_COUNT(model)), VMK_OK);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t index = rng_below(&rng, ARRAY_COUNT(model));
        uint8_t state = (uint8_t)rng_below(&rng, P2M_STATE_COUNT);
        uint32_t page = p2m_has_page(state) ? i + 1 : 0;
        struct p2m_page seen = p2m_look(&p2m, index);

        ck_assert_uint_eq(seen.state, model[index].state);
        ck_assert_uint_eq(seen.value, model[index].value);
        ck_assert_int_eq(p2m_reserve(&p2m, index), VMK_OK);
        if (state == P2M_COMPRESSED || state == P2M_SWAPPED)
            p2m_set_away(&p2m, index, state, page = i + 7);
        else
            p2m_set(&p2m, index, state, mpn_make(page));
        count[model[index].state]--;
        count[state]++;
        model[index] = (struct p2m_page){.state = state, .value = page};
    }
    ck_assert_mem_eq(count, p2m.count, sizeof(count));
}
END_TEST

KERNEL_TEST_MAIN("p2m", RUNS(test_p2m__untouched__costs_a_pointer_a_chunk),
                 RUNS(test_p2m__random_changes__counts_and_looks_agree))
