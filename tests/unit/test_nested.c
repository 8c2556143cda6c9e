// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_nested.c -- the nested page table walker.
 */
#include "tests/unit/vmm_fixture.h"

#define LEAF(mpn, bits) (((uint64_t)(mpn) << PAGE_SHIFT) | (bits))

START_TEST(test_nested_map__one_page__looked_up_with_level)
{
    unsigned level;

    ck_assert_int_eq(
        nested_map(&vm->nested, gpa_make(0x7f0000005000), mpn_make(0x123), true, false),
        VMK_OK);
    ck_assert_uint_eq(nested_lookup(&vm->nested, gpa_make(0x7f0000005fff), &level),
                      LEAF(0x123, 7));
    ck_assert_uint_eq(level, 1);
    ck_assert_uint_eq(nested_lookup(&vm->nested, gpa_make(0x7f0000006000), &level), 0);
    ck_assert_uint_eq(vm->nested.table_count, 4);
}
END_TEST

START_TEST(test_nested_map__twice_or_over_large__exists)
{
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(0x200000), mpn_make(0x400), false, true),
                     VMK_OK);
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(0x201000), mpn_make(1), true, false),
                     VMK_EXISTS);
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(0x200000), mpn_make(0x600), true, true),
                     VMK_EXISTS);

    unsigned level;

    ck_assert_uint_eq(nested_lookup(&vm->nested, gpa_make(0x2abcde), &level),
                      LEAF(0x400, 0x85));
    ck_assert_uint_eq(level, 2);
}
END_TEST

START_TEST(test_nested_map__bad_address__refused)
{
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(BIT(48)), mpn_make(1), true, false),
                     VMK_BAD_PARAM);
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(0x1000), mpn_make(0x200), true, true),
                     VMK_BAD_PARAM);
}
END_TEST

START_TEST(test_nested_unmap__mapped_once__gone_then_not_found)
{
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(0x5000), mpn_make(5), true, false),
                     VMK_OK);
    ck_assert_int_eq(nested_unmap(&vm->nested, gpa_make(0x5000)), VMK_OK);
    ck_assert_int_eq(nested_unmap(&vm->nested, gpa_make(0x5000)), VMK_NOT_FOUND);
}
END_TEST

START_TEST(test_nested_destroy__with_tables__returns_every_page)
{
    uint64_t before = page_owned_count(MEM_OWNER_P2M);
    struct nested_table t = {0};

    ck_assert_int_eq(nested_init(&t, vt()->nested_format), VMK_OK);
    for (uint64_t at = 0; at < BIT(40); at += BIT(36))
        ck_assert_int_eq(nested_map(&t, gpa_make(at), mpn_make(9), true, false), VMK_OK);
    nested_destroy(&t);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_P2M), before);
}
END_TEST

START_TEST(test_vm_memory__crosses_pages_and_ends__copied_or_refused)
{
    char text[] = "over the edge", back[sizeof(text)];

    ck_assert_int_eq(vm_memory_write(vm, gpa_make(0xff8), text, sizeof(text)), VMK_OK);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0xff8), back, sizeof(back)), VMK_OK);
    ck_assert_str_eq(back, text);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make((FIX_RAM_MB << 20) - 4), back, 8),
                     VMK_NOT_FOUND);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(UINT64_MAX - 3), back, 8), VMK_NOT_FOUND);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), 2);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_nested_map__one_page__looked_up_with_level,
                                  test_nested_map__twice_or_over_large__exists,
                                  test_nested_map__bad_address__refused,
                                  test_nested_unmap__mapped_once__gone_then_not_found,
                                  test_nested_destroy__with_tables__returns_every_page,
                                  test_vm_memory__crosses_pages_and_ends__copied_or_refused};

    return fixture_run("nested", tests, ARRAY_COUNT(tests));
}
