// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_code_page.c -- a kept page of code is found while a walk would lead there, and no longer.
 */
#include "tests/unit/vmm_fixture.h"
#include "vmm/code_page.h"

#define CODE 0x5123ull

/* Four levels at 0x1000..0x4000; 0x5000 is the page at 0x9000, and a walk has been there. */
static void setup_code(void)
{
    gpa_t gpa;
    struct gla_fault fault;

    guest_store(0x1000, 0x2007);
    guest_store(0x2000, 0x3007);
    guest_store(0x3000, 0x4007);
    guest_store(0x3008, 0x200087);
    guest_store(0x4000 + 8 * 5, 0x9003);
    guest_store(0x9000 + (CODE & 0xfff), 0x1122334455667788);
    guest_store(0xa000 + (CODE & 0xfff), 0xa);
    fixture_long_mode(0x1000);
    ck_assert(gla_translate(cpu, CODE, GLA_FETCH, &gpa, &fault));
    code_page_keep(cpu, CODE);
}

START_TEST(test_code_page__kept__bytes_are_the_guests)
{
    setup_code();
    ck_assert_ptr_nonnull(code_page_find(cpu, CODE));
    ck_assert_uint_eq(code_page_find(cpu, CODE)[0], 0x88);
    guest_store(0x9000 + (CODE & 0xfff), 0x77);  // the guest changes its code
    ck_assert_uint_eq(code_page_find(cpu, CODE)[0], 0x77);
    ck_assert_ptr_null(code_page_find(cpu, CODE + PAGE_SIZE));
}
END_TEST

START_TEST(test_code_page__table_entry_changed__walk)
{
    setup_code();
    guest_store(0x4000 + 8 * 5, 0xa023);
    ck_assert_ptr_null(code_page_find(cpu, CODE));
    code_page_keep(cpu, CODE);
    ck_assert_uint_eq(code_page_find(cpu, CODE)[0], 0xa);
    guest_store(0x1000, 0x2006 | PTE_A);  // not present any more, three levels up
    ck_assert_ptr_null(code_page_find(cpu, CODE));
    code_page_keep(cpu, CODE);
    ck_assert_ptr_null(code_page_find(cpu, CODE));
}
END_TEST

START_TEST(test_code_page__registers_changed__walk)
{
    setup_code();
    vmcb->cpl = 3;
    ck_assert_ptr_null(code_page_find(cpu, CODE));
    code_page_keep(cpu, CODE);  // a supervisor's page is nothing for ring 3
    ck_assert_ptr_null(code_page_find(cpu, CODE));
    vmcb->cpl = 0;
    code_page_keep(cpu, CODE);
    ck_assert_ptr_nonnull(code_page_find(cpu, CODE));
    vt()->set(cpu, VT_CR4, CR4_PAE | CR4_SMEP);
    ck_assert_ptr_null(code_page_find(cpu, CODE));
    code_page_keep(cpu, CODE);
    ck_assert_ptr_nonnull(code_page_find(cpu, CODE));
    vt()->set(cpu, VT_CR3, 0x2000);
    ck_assert_ptr_null(code_page_find(cpu, CODE));
}
END_TEST

START_TEST(test_code_page__page_taken_from_the_vm__forgotten)
{
    setup_code();
    vm->flush_number++;
    ck_assert_ptr_null(code_page_find(cpu, CODE));
}
END_TEST

START_TEST(test_code_page__large_page__kept_by_4_kb)
{
    gpa_t gpa;
    struct gla_fault fault;

    setup_code();
    guest_store(0x2ab000, 0x5a);
    ck_assert(gla_translate(cpu, 0x2ab000, GLA_FETCH, &gpa, &fault));
    code_page_keep(cpu, 0x2ab000);
    ck_assert_ptr_nonnull(code_page_find(cpu, 0x2ab000));
    ck_assert_uint_eq(code_page_find(cpu, 0x2ab000)[0], 0x5a);
    ck_assert_ptr_nonnull(code_page_find(cpu, CODE));  // has another place
}
END_TEST

START_TEST(test_code_page__no_long_mode__never_kept)
{
    setup_code();
    vt()->set(cpu, VT_CR0, CR0_PE);
    code_page_keep(cpu, CODE);
    ck_assert_ptr_null(code_page_find(cpu, CODE));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_code_page__kept__bytes_are_the_guests,
                                  test_code_page__table_entry_changed__walk,
                                  test_code_page__registers_changed__walk,
                                  test_code_page__page_taken_from_the_vm__forgotten,
                                  test_code_page__large_page__kept_by_4_kb,
                                  test_code_page__no_long_mode__never_kept};

    return fixture_run("code_page", tests, ARRAY_COUNT(tests));
}
