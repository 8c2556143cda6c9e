// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vpci.c -- PCI configuration accesses of every width, and the port among them.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/dev/vpci.h"

static void select_register(unsigned bus, unsigned devfn, unsigned offset)
{
    out_size(0xcf8, 4, 0x80000000u | bus << 16 | devfn << 8 | offset);
}

START_TEST(test_vpci_bridge__ids_by_any_width)
{
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    out8(0xcfb, 1);  // a probe's byte write reaches no register
    ck_assert_uint_eq(in_size(0xcf8, 4), 0);
    select_register(0, 0, 0);
    ck_assert_uint_eq(in_size(0xcf8, 4), 0x80000000u);
    ck_assert_uint_eq(in_size(0xcfc, 4), 0x71908086u);
    ck_assert_uint_eq(in_size(0xcfe, 2), 0x7190);
    ck_assert_uint_eq(in8(0xcfd), 0x80);
    select_register(0, 0, 8);
    ck_assert_uint_eq(in_size(0xcfe, 2), 0x0600);
    select_register(0, 0, 0x2c);
    ck_assert_uint_eq(in_size(0xcfc, 4), 0x197615adu);
    vpci_destroy(&fix.vm);
    ck_assert_uint_eq(fix.heap_blocks, 0);
}
END_TEST

START_TEST(test_vpci_absent__all_ones)
{
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    for (unsigned devfn = 1; devfn < 256; devfn++) {
        select_register(0, devfn, 0);
        ck_assert_uint_eq(in_size(0xcfc, 4), UINT32_MAX);
        out_size(0xcfc, 4, 0);
    }
    select_register(1, 0, 0);
    ck_assert_uint_eq(in_size(0xcfc, 2), 0xffff);
    out_size(0xcf8, 4, 0);  // not enabled
    ck_assert_uint_eq(in_size(0xcfc, 4), UINT32_MAX);
    vpci_destroy(&fix.vm);
}
END_TEST

static unsigned written_offset, written_size;

static void written(void *device, struct vpci_function *f, unsigned offset, unsigned size)
{
    (void)device;
    (void)f;
    written_offset = offset;
    written_size = size;
}

START_TEST(test_vpci_function__only_writable_bits_change)
{
    struct vpci_function f = {.devfn = 3 << 3, .written = written};

    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    vpci_field_set(&f, 0, 4, 0x07c015ad);
    memset(f.writable + 0x10, 0xff, 4);
    f.writable[0x10] = f.writable[0x11] = 0;
    f.writable[0x11] = 0x80;  // a BAR of 32 KB
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &f), VMK_OK);
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &f), VMK_EXISTS);
    select_register(0, 3 << 3, 0x10);
    out_size(0xcfc, 4, UINT32_MAX);
    ck_assert_uint_eq(in_size(0xcfc, 4), 0xffff8000u);
    out8(0xcff, 0x12);
    ck_assert_uint_eq(in_size(0xcfc, 4), 0x12ff8000u);
    ck_assert_uint_eq(written_offset, 0x13);
    ck_assert_uint_eq(written_size, 1);
    select_register(0, 3 << 3, 0);
    out_size(0xcfc, 4, 0);
    ck_assert_uint_eq(in_size(0xcfc, 4), 0x07c015adu);
    vpci_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vpci_ecam__the_same_bytes_in_memory)
{
    const struct vm_io_range *r = &fix.vm.mmio[0];

    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    ck_assert_uint_eq(r->base, VPCI_ECAM_BASE);
    ck_assert_uint_eq(r->ops->read(r->device, &fix.vcpu, 0, 4), 0x71908086u);
    ck_assert_uint_eq(r->ops->read(r->device, &fix.vcpu, 0x2e, 2), 0x1976);
    ck_assert_uint_eq(r->ops->read(r->device, &fix.vcpu, 0x100, 4) & UINT32_MAX, UINT32_MAX);
    ck_assert_uint_eq(r->ops->read(r->device, &fix.vcpu, 0x8000, 8), UINT64_MAX);
    for (uint64_t at = 0; at < VPCI_ECAM_SIZE; at += 0xffc)
        r->ops->write(r->device, &fix.vcpu, at, 8 - at % 2, 0);
    ck_assert_uint_eq(r->ops->read(r->device, &fix.vcpu, 0, 4), 0x71908086u);
    vpci_destroy(&fix.vm);
}
END_TEST

/* vpm.c is linked too, so this goes through to the VM. */
START_TEST(test_vpci_cf9__resets)
{
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    out8(0xcf9, 0x02);
    ck_assert_ptr_null(fix.reset_reason);
    out8(0xcf9, 0x06);
    ck_assert_ptr_nonnull(fix.reset_reason);
    vpci_destroy(&fix.vm);
}
END_TEST

TEST_MAIN("vpci", test_vpci_bridge__ids_by_any_width, test_vpci_absent__all_ones,
          test_vpci_function__only_writable_bits_change,
          test_vpci_ecam__the_same_bytes_in_memory, test_vpci_cf9__resets)
