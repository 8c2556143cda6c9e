// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_list.c -- the doubly linked list.
 *
 * Small lists exhaustively: both ends, every position removed, during a walk too.
 *
 * Invariants
 *   - check_order() walks both ways, so a wrong back link fails as well.
 * Locking    none.
 */
#include <string.h>

#include "lib/list.h"
#include "tests/unit/kernel_test.h"

#define NODES 5u

struct item {
    unsigned value;
    struct list link;
};

static struct list head;
static struct item items[NODES];

static void begin(void)
{
    list_init(&head);
    for (unsigned i = 0; i < NODES; i++) {
        items[i].value = i;
        list_init(&items[i].link);
    }
}

/* `expected` are the values as decimal digits. */
static void check_order(const char *expected)
{
    size_t count = strlen(expected), i = 0;

    list_for_each (node, &head) {
        ck_assert_uint_lt(i, count);
        ck_assert_int_eq((int)list_entry(node, struct item, link)->value, expected[i++] - '0');
    }
    ck_assert_uint_eq(i, count);
    for (struct list *node = head.prev; node != &head; node = node->prev) {
        ck_assert_uint_gt(i, 0);
        ck_assert_int_eq((int)list_entry(node, struct item, link)->value, expected[--i] - '0');
    }
    ck_assert_uint_eq(i, 0);
}

START_TEST(test_list__new__empty_and_unlinked)
{
    const struct list zero = {NULL, NULL};

    begin();
    ck_assert(list_is_empty(&head));
    ck_assert(!list_is_linked(&items[0].link));
    ck_assert(!list_is_linked(&zero));
    check_order("");
}
END_TEST

START_TEST(test_list__both_ends_and_before__order)
{
    begin();
    list_add_tail(&head, &items[1].link);
    list_add_tail(&head, &items[2].link);
    list_add_head(&head, &items[0].link);
    check_order("012");
    list_insert_before(&items[1].link, &items[3].link);
    list_insert_before(&head, &items[4].link);
    check_order("03124");
    ck_assert(!list_is_empty(&head) && list_is_linked(&items[3].link));
}
END_TEST

START_TEST(test_list__each_one_removed__rest_keep_order)
{
    static const char *const without[NODES] = {"1234", "0234", "0134", "0124", "0123"};

    for (unsigned removed = 0; removed < NODES; removed++) {
        begin();
        for (unsigned i = 0; i < NODES; i++)
            list_add_tail(&head, &items[i].link);
        list_remove(&items[removed].link);
        check_order(without[removed]);
        ck_assert(!list_is_linked(&items[removed].link));
        list_remove(&items[removed].link);  // a second time is harmless
        check_order(without[removed]);
    }
}
END_TEST

START_TEST(test_list__removed_while_walked__walk_goes_on)
{
    for (unsigned mask = 0; mask < 1u << NODES; mask++) {
        char expected[NODES + 1] = "";
        unsigned left = 0, seen = 0;

        begin();
        for (unsigned i = 0; i < NODES; i++) {
            list_add_tail(&head, &items[i].link);
            if (!(mask & (1u << i)))
                expected[left++] = (char)('0' + i);
        }
        list_for_each_safe (node, after, &head) {
            seen++;
            if (mask & (1u << list_entry(node, struct item, link)->value))
                list_remove(node);
        }
        ck_assert_uint_eq(seen, NODES);
        check_order(expected);
        ck_assert(list_is_empty(&head) == !left);
    }
}
END_TEST

KERNEL_TEST_MAIN("list", RUNS(test_list__new__empty_and_unlinked),
                 RUNS(test_list__both_ends_and_before__order),
                 RUNS(test_list__each_one_removed__rest_keep_order),
                 RUNS(test_list__removed_while_walked__walk_goes_on))
