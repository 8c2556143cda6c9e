// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_gla.c -- the guest page walk: modes, rights, faults.
 */
#include "tests/unit/vmm_fixture.h"

/* Four levels at 0x1000..0x4000; the page table at 0x4000. */
static void tables(void)
{
    guest_store(0x1000, 0x2007);
    guest_store(0x2000, 0x3007);
    guest_store(0x3000, 0x4007);
    guest_store(0x3008, 0x200087);        // 2 MB at 2 MB
    guest_store(0x4000 + 8 * 5, 0x9003);  // 0x5000 -> 0x9000, supervisor
    guest_store(0x4000 + 8 * 6, 0xa001);  // read-only
    guest_store(0x4000 + 8 * 7, 0xb003 | BIT(63));
    fixture_long_mode(0x1000);
}

static uint32_t fault_of(uint64_t gla, enum gla_access access)
{
    struct gla_fault fault = {0};
    gpa_t gpa;

    ck_assert(!gla_translate(cpu, gla, access, &gpa, &fault));
    ck_assert_uint_eq(fault.address, gla);
    return fault.error;
}

static uint64_t gpa_of(uint64_t gla, enum gla_access access)
{
    struct gla_fault fault;
    gpa_t gpa;

    ck_assert(gla_translate(cpu, gla, access, &gpa, &fault));
    return gpa.raw;
}

START_TEST(test_gla__paging_off__linear_is_physical)
{
    ck_assert_uint_eq(gpa_of(0x12345, GLA_WRITE), 0x12345);
}
END_TEST

START_TEST(test_gla__four_levels__small_and_large_pages)
{
    tables();
    ck_assert_uint_eq(gpa_of(0x5123, GLA_READ), 0x9123);
    ck_assert_uint_eq(gpa_of(0x2abcde, GLA_WRITE), 0x2abcde);
}
END_TEST

START_TEST(test_gla__write__sets_accessed_and_dirty)
{
    uint64_t entry;

    tables();
    (void)gpa_of(0x5000, GLA_READ);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0x4028), &entry, 8), VMK_OK);
    ck_assert_uint_eq(entry, 0x9023);
    (void)gpa_of(0x5000, GLA_WRITE);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0x4028), &entry, 8), VMK_OK);
    ck_assert_uint_eq(entry, 0x9063);
}
END_TEST

START_TEST(test_gla__forbidden__error_code_says_why)
{
    tables();
    ck_assert_uint_eq(fault_of(0x8000, GLA_READ), 0);
    ck_assert_uint_eq(fault_of(0x6000, GLA_WRITE), 3);
    ck_assert_uint_eq(fault_of(0x7000, GLA_FETCH), 17);
    vmcb->cpl = 3;
    ck_assert_uint_eq(fault_of(0x5000, GLA_READ), 5);
    vmcb->cpl = 0;
    vt()->set(cpu, VT_CR0, CR0_PG | CR0_PE);  // no WP
    ck_assert_uint_eq(gpa_of(0x6000, GLA_WRITE), 0xa000);
}
END_TEST

START_TEST(test_gla__smep_smap__user_pages_refused)
{
    tables();
    vt()->set(cpu, VT_CR4, CR4_PAE | CR4_SMEP | CR4_SMAP);
    ck_assert_uint_eq(fault_of(0x200000, GLA_FETCH), 17);
    ck_assert_uint_eq(fault_of(0x200000, GLA_READ), 1);
    vt()->set(cpu, VT_RFLAGS, BIT(18));
    ck_assert_uint_eq(gpa_of(0x200000, GLA_READ), 0x200000);
}
END_TEST

START_TEST(test_gla__non_canonical_or_tables_outside_ram__fault)
{
    tables();
    ck_assert_uint_eq(fault_of(BIT(47), GLA_READ), 0);
    vt()->set(cpu, VT_CR3, 0x7ffffffff000);
    ck_assert_uint_eq(fault_of(0x5000, GLA_READ), 0);
}
END_TEST

START_TEST(test_gla__two_levels__pse_page)
{
    uint32_t directory = 0x00400083;
    gpa_t at = gpa_make(0x1000 + 4 * 3);

    ck_assert_int_eq(vm_memory_write(vm, at, &directory, 4), VMK_OK);
    vt()->set(cpu, VT_CR4, CR4_PSE);
    vt()->set(cpu, VT_CR3, 0x1000);
    vt()->set(cpu, VT_CR0, CR0_PG | CR0_PE);
    ck_assert_uint_eq(gpa_of(0x00c12345, GLA_READ), 0x00412345);
}
END_TEST

START_TEST(test_gla_write__second_page_faults__first_is_unchanged)
{
    struct gla_fault fault;
    uint64_t value = UINT64_MAX, back;

    tables();
    guest_store(0x4000 + 8 * 4, 0x8003);  // 0x4000 mapped, then 0x5000; 0x7000 then nothing
    ck_assert_int_eq(gla_write(cpu, 0x7ffc, &value, 8, &fault), VMK_BAD_PARAM);
    ck_assert_uint_eq(fault.address, 0x8000);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0xbffc), &back, 4), VMK_OK);
    ck_assert_uint_eq((uint32_t)back, 0);
    ck_assert_int_eq(gla_write(cpu, 0x4ffc, &value, 8, &fault), VMK_OK);
    ck_assert_int_eq(gla_read(cpu, 0x4ffc, &back, 8, GLA_READ, &fault), VMK_OK);
    ck_assert_uint_eq(back, UINT64_MAX);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_gla__paging_off__linear_is_physical,
                                  test_gla__four_levels__small_and_large_pages,
                                  test_gla__write__sets_accessed_and_dirty,
                                  test_gla__forbidden__error_code_says_why,
                                  test_gla__smep_smap__user_pages_refused,
                                  test_gla__non_canonical_or_tables_outside_ram__fault,
                                  test_gla__two_levels__pse_page,
                                  test_gla_write__second_page_faults__first_is_unchanged};

    return fixture_run("gla", tests, ARRAY_COUNT(tests));
}
