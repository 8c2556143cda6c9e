// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_prioq.c -- the leftist heap.
 *
 * Every order of six keys, and long random runs, against a sorted array.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "lib/prioq.h"
#include "lib/rng.h"
#include "tests/unit/kernel_test.h"

static uint32_t check(const struct prioq_node *n, const struct prioq_node *parent)
{
    if (!n)
        return 0;
    ck_assert_ptr_eq(n->parent, parent);
    if (parent)
        ck_assert(parent->key < n->key ||
                  (parent->key == n->key && parent->sequence < n->sequence));

    uint32_t left = check(n->left, n);
    uint32_t right = check(n->right, n);

    ck_assert(left >= right);
    ck_assert_uint_eq(n->rank, right + 1);
    return n->rank;
}

START_TEST(test_prioq__all_orders_of_six__sorted_and_stable)
{
    for (unsigned code = 0; code < 46656; code++) {
        struct prioq q;
        struct prioq_node nodes[6];

        prioq_init(&q);
        for (unsigned i = 0, rest = code; i < 6; i++, rest /= 6) {
            nodes[i] = (struct prioq_node){0};
            prioq_insert(&q, &nodes[i], rest % 6);
        }
        check(q.root, NULL);

        struct prioq_node *last = NULL;
        uint64_t last_key = 0;

        for (unsigned i = 0; i < 6; i++) {
            struct prioq_node *n = prioq_first(&q);
            uint64_t key = n->key;

            ck_assert(!last || key > last_key || (key == last_key && n > last));
            last = n;
            last_key = key;
            prioq_remove(&q, n);
            ck_assert_uint_eq(n->rank, 0);
        }
        ck_assert_ptr_null(q.root);
        ck_assert_uint_eq(q.count, 0);
    }
}
END_TEST

START_TEST(test_prioq__random_removals__stays_a_heap)
{
    static struct prioq_node nodes[200];
    struct prioq q;
    struct rng rng;

    rng_init(&rng, 1, "prioq", 0);
    prioq_init(&q);
    for (unsigned i = 0; i < 20000; i++) {
        struct prioq_node *n = &nodes[rng_below(&rng, 200)];

        if (n->rank)
            prioq_remove(&q, n);
        else
            prioq_insert(&q, n, rng_below(&rng, 50));
        if (i % 50 == 0)
            check(q.root, NULL);
    }
    while (prioq_first(&q)) {
        uint64_t key = prioq_first(&q)->key;

        prioq_remove(&q, prioq_first(&q));
        ck_assert(!prioq_first(&q) || prioq_first(&q)->key >= key);
    }
}
END_TEST

KERNEL_TEST_MAIN("prioq", RUNS(test_prioq__all_orders_of_six__sorted_and_stable),
                 RUNS(test_prioq__random_removals__stays_a_heap))
