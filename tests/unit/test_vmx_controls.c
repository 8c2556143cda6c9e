// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmx_controls.c -- control words out of capability MSRs, and EPT's bits.
 *
 * The facts are those of Bochs's models: skylake_x and haswell do, sandy bridge (no
 * unrestricted guest there) and a CPU without the TRUE MSRs do not.
 */
#include <check.h>

#include "vmm/vtx/vtx_internal.h"
#include "tests/unit/suite_run.h"

static const struct vmx_facts skylake_x = {
    .basic = 0x00d810000000002b,
    .misc = 0x600401e0,
    .pin = 0x0000007f00000016,
    .primary = 0xf7f9fffe04006172,
    .secondary = 0x02177fff00000000,
    .exit = 0x007fffff00036dfb,
    .entry = 0x0000ffff000011fb,
    .cr0_fixed0 = 0x80000021,
    .cr0_fixed1 = 0xffffffff,
    .cr4_fixed0 = 0x2000,
    .cr4_fixed1 = 0x3727ff,
    .ept_vpid = 0xf0106334141,
    .physical_bits = 40,
    .linear_bits = 48,
};

START_TEST(test_vmx_controls__skylake_x__accepted_and_legal)
{
    struct vmx_controls c;

    ck_assert_ptr_null(vmx_controls_choose(&skylake_x, &c));
    ck_assert_uint_eq(c.pin, 0x16 | PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI);
    ck_assert_uint_eq(c.primary & (PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE), 0);
    ck_assert_uint_eq(c.primary & ~(skylake_x.primary >> 32), 0);
    ck_assert_uint_eq(c.secondary, SECONDARY_EPT | SECONDARY_RDTSCP | SECONDARY_VPID |
                                       SECONDARY_WBINVD | SECONDARY_UNRESTRICTED |
                                       SECONDARY_PLE | SECONDARY_INVPCID);
    ck_assert_uint_eq(c.entry & ENTRY_IA32E, 0);
    ck_assert_uint_ne(c.exit & EXIT_ACK_INTERRUPT, 0);
}
END_TEST

START_TEST(test_vmx_controls__old_cpus__refused_by_name)
{
    struct vmx_controls c;
    struct vmx_facts f = skylake_x;

    f.secondary = 0x4100000000;  // penryn
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
    f = skylake_x;
    f.primary = 0xf7f9fffe0401e172;  // no TRUE MSRs: CR3 exits are forced
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
    f = skylake_x;
    f.pin = 0x0000005f00000016;  // no virtual NMIs
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
    f = skylake_x;
    f.exit &= ~(EXIT_LOAD_EFER << 32);
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
    f = skylake_x;
    f.entry &= ~(ENTRY_LOAD_PAT << 32);
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
    f = skylake_x;
    f.ept_vpid &= ~BIT(14);
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
    f = skylake_x;
    f.ept_vpid &= ~BIT(32);
    ck_assert_ptr_nonnull(vmx_controls_choose(&f, &c));
}
END_TEST

START_TEST(test_vmx_controls__optional_bits_absent__left_out)
{
    struct vmx_controls c;
    struct vmx_facts f = skylake_x;

    f.secondary = (SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED) << 32;
    ck_assert_ptr_null(vmx_controls_choose(&f, &c));
    ck_assert_uint_eq(c.secondary, SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED);
}
END_TEST

START_TEST(test_vmx_controls__adjust__matrix)
{
    uint32_t out;

    ck_assert(vmx_control_adjust(0xff00000001, 0x10, 0x102, 0x04, &out));
    ck_assert_uint_eq(out, 0x13);
    ck_assert(!vmx_control_adjust(0xff00000001, 0x100, 0, 0, &out));  // not possible
    ck_assert(!vmx_control_adjust(0xff00000001, 0, 0, 1, &out));      // forced
}
END_TEST

START_TEST(test_ept__format__bits_of_the_manual)
{
    const struct nested_format *f = &nested_format_ept;

    ck_assert_uint_eq(f->table_bits, 7);
    ck_assert_uint_eq(f->leaf_bits, 0x77);  // RWX, write-back, ignore PAT
    ck_assert_uint_eq(f->leaf_bits & ~f->write_bit, 0x75);
    ck_assert_uint_eq(f->large_bits, 0x80);
    ck_assert_uint_eq(f->present_mask, 7);
    ck_assert_uint_eq(vmx_eptp(&skylake_x, mpn_make(0x1234)), 0x123401e);
}
END_TEST

START_TEST(test_vmcs__fields__encodings_ascend_within_a_width)
{
    for (unsigned i = 1; i < VMCS_FIELD_COUNT; i++)
        ck_assert_uint_lt(vmcs_fields[i - 1].encoding, vmcs_fields[i].encoding);
    ck_assert_uint_eq(VMCS_GUEST_RIP, 0x681e);
    ck_assert_uint_eq(VMCS_HOST_RIP, 0x6c16);
    ck_assert_uint_eq(VMCS_EXIT_REASON, 0x4402);
    ck_assert_uint_eq(VMCS_SECONDARY_CONTROLS, 0x401e);
    ck_assert_uint_eq(VMCS_EPTP, 0x201a);
    ck_assert_uint_eq(VMCS_GUEST_PDPTE_0, 0x280a);
    ck_assert_uint_eq(VMCS_GUEST_SYSENTER_CS, 0x482a);
    ck_assert_uint_eq(VMCS_GUEST_LINEAR, 0x640a);
    ck_assert_uint_eq(VMCS_TSC_MULTIPLIER, 0x2032);
    ck_assert_uint_eq(VMCS_HOST_EFER, 0x2c02);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmx_controls");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, test_vmx_controls__skylake_x__accepted_and_legal);
    tcase_add_test(tc, test_vmx_controls__old_cpus__refused_by_name);
    tcase_add_test(tc, test_vmx_controls__optional_bits_absent__left_out);
    tcase_add_test(tc, test_vmx_controls__adjust__matrix);
    tcase_add_test(tc, test_ept__format__bits_of_the_manual);
    tcase_add_test(tc, test_vmcs__fields__encodings_ascend_within_a_width);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
