// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vpci.c -- PCI configuration accesses of every width, BARs, lines and messages.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/dev/vpci.h"
#include "vmm/dev/vpic.h"
#include "vmm/vlapic.h"

/* What the local APICs and the 8259s are told. */
static struct {
    unsigned count;
    uint32_t destination;
    bool logical;
    unsigned mode;
    uint8_t vector;
} message;
static uint32_t pic_lines;

bool vlapic_deliver(struct vcpu *any_of_vm, uint32_t destination, bool logical,
                    unsigned delivery_mode, uint8_t vector, bool level)
{
    (void)any_of_vm;
    (void)level;
    message.count++;
    message.destination = destination;
    message.logical = logical;
    message.mode = delivery_mode;
    message.vector = vector;
    return true;
}

void vpic_irq(struct vm *vm, unsigned irq, bool high)
{
    (void)vm;
    pic_lines = (uint32_t)((pic_lines & ~BIT(irq)) | (high ? BIT(irq) : 0));
}

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

/* ---- a device with BARs ---- */

static uint64_t bar_last_offset, bar_last_value;
static unsigned bar_last_size;

static uint64_t bar_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)v;
    bar_last_offset = offset;
    bar_last_size = size;
    return *(const uint32_t *)device;
}

static void bar_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                      uint64_t value)
{
    (void)device;
    (void)v;
    bar_last_offset = offset;
    bar_last_size = size;
    bar_last_value = value;
}

static const struct vm_io_ops bar_ops = {.read = bar_read, .write = bar_write};

/* A memory access as vm_mmio_access() would make it. */
static uint64_t mmio(uint64_t address, unsigned size, bool write, uint64_t value)
{
    for (unsigned i = 0; i < fix.vm.mmio_range_count; i++) {
        const struct vm_io_range *r = &fix.vm.mmio[i];

        if (address < r->base || address + size > r->base + r->size)
            continue;
        spin_lock_irqs_off(&fix.vm.lock);
        if (write)
            r->ops->write(r->device, &fix.vcpu, address - r->base, size, value);
        else
            value = r->ops->read(r->device, &fix.vcpu, address - r->base, size);
        spin_unlock_irqs_off(&fix.vm.lock);
        return value;
    }
    return UINT64_MAX;
}

static uint32_t device_value = 0x12345678;

static void device_make(struct vpci_function *f, unsigned slot)
{
    *f = (struct vpci_function){.devfn = (uint8_t)(slot << 3)};
    vpci_header_set(f, 0x15ad, 0x07c0, 0x010000, 2, 0x15ad, 0x07c0);
    vpci_bar_set(f, 0, 0x8000, false, &bar_ops, &device_value);
    vpci_bar_set(f, 1, 0x20, true, &bar_ops, &device_value);
    vpci_msi_add(f);
    vpci_msix_add(f, 3, 0, 0x6000, 0x7000);
}

static void config_set(unsigned slot, unsigned at, unsigned size, uint32_t value)
{
    select_register(0, slot << 3, at & ~3u);
    out_size((uint16_t)(0xcfc + (at & 3)), size, value);
}

static uint32_t config_get(unsigned slot, unsigned at, unsigned size)
{
    select_register(0, slot << 3, at & ~3u);
    return in_size((uint16_t)(0xcfc + (at & 3)), size);
}

START_TEST(test_vpci_bar__decodes_where_the_guest_put_it)
{
    struct vpci_function f;

    device_make(&f, 5);
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &f), VMK_OK);
    config_set(5, 0x10, 4, UINT32_MAX);
    config_set(5, 0x14, 4, UINT32_MAX);
    ck_assert_uint_eq(config_get(5, 0x10, 4), 0xffff8000u);
    ck_assert_uint_eq(config_get(5, 0x14, 4), 0xffffffe1u);
    config_set(5, 0x10, 4, 0xd0008000u);
    config_set(5, 0x14, 4, 0xc040);
    // Decoding is off.
    ck_assert_uint_eq(mmio(0xd0008000u, 4, false, 0), UINT64_MAX);
    config_set(5, 4, 2, 3);
    ck_assert_uint_eq(mmio(0xd0009010u, 4, false, 0), 0x12345678);
    ck_assert_uint_eq(bar_last_offset, 0x1010);
    ck_assert_uint_eq(mmio(0xd0007ffcu, 4, false, 0), UINT64_MAX);
    ck_assert_uint_eq(mmio(0xd000fffeu, 4, false, 0), UINT64_MAX);
    ck_assert_uint_eq(in_size(0xc05c, 4), 0x12345678);
    ck_assert_uint_eq(bar_last_offset, 0x1c);
    out_size(0xc05f, 1, 0x5a);
    ck_assert_uint_eq(bar_last_value, 0x5a);
    ck_assert_uint_eq(in_size(0xc05e, 4), UINT32_MAX);
    // To the other window, and to where no window is.
    config_set(5, 0x10, 4, 0xf0000000u);
    ck_assert_uint_eq(mmio(0xf0000004u, 4, false, 0), 0x12345678);
    config_set(5, 0x10, 4, 0x00100000u);
    ck_assert_uint_eq(mmio(0x00100004u, 4, false, 0), UINT64_MAX);
    vpci_remove_function(fix.vm.pci, &f);
    ck_assert_uint_eq(config_get(5, 0, 4), UINT32_MAX);
    vpci_destroy(&fix.vm);
}
END_TEST

static void line(struct vpci_function *f, bool high)
{
    spin_lock_irqs_off(&fix.vm.lock);
    vpci_line_set(f, high);
    spin_unlock_irqs_off(&fix.vm.lock);
}

/* Slots 5 and 9 have one line, which the PIIX routes to IRQ 11. */
START_TEST(test_vpci_line__shared_and_switched_off)
{
    struct vpci_function a, b;
    unsigned gsi = vpci_gsi(5, 0);

    device_make(&a, 5);
    device_make(&b, 9);
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    fix.vm.pic = (struct vpic *)&fix;  // only asked whether there is one
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &a), VMK_OK);
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &b), VMK_OK);
    line(&a, true);
    line(&b, true);
    ck_assert(fix.line[gsi]);
    ck_assert_uint_eq(config_get(5, 6, 1) & 8, 8);
    ck_assert_uint_eq(pic_lines, 0);
    spin_lock_irqs_off(&fix.vm.lock);
    vpci_pirq_set(fix.vm.pci, gsi - VPCI_GSI_BASE, 11);
    spin_unlock_irqs_off(&fix.vm.lock);
    ck_assert_uint_eq(pic_lines, BIT(11));
    line(&a, false);
    ck_assert(fix.line[gsi]);
    config_set(9, 4, 2, 0x400);  // INTx disable
    ck_assert(!fix.line[gsi]);
    ck_assert_uint_eq(pic_lines, 0);
    config_set(9, 4, 2, 0);
    ck_assert(fix.line[gsi]);
    ck_assert_uint_eq(fix.rises[gsi], 2);
    vpci_remove_function(fix.vm.pci, &b);
    ck_assert(!fix.line[gsi]);
    fix.vm.pic = NULL;
    vpci_destroy(&fix.vm);
}
END_TEST

static void send(struct vpci_function *f, unsigned vector)
{
    spin_lock_irqs_off(&fix.vm.lock);
    vpci_message_send(f, vector);
    spin_unlock_irqs_off(&fix.vm.lock);
}

START_TEST(test_vpci_msi__goes_where_the_guest_said)
{
    struct vpci_function f;

    device_make(&f, 5);
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &f), VMK_OK);
    ck_assert_uint_eq(config_get(5, 0x34, 1), 0x40);
    ck_assert_uint_eq(config_get(5, 0x40, 2), 0x5005);
    ck_assert_uint_eq(config_get(5, 0x50, 2), 0x0011);
    send(&f, 0);
    ck_assert_uint_eq(message.count, 0);
    config_set(5, 0x44, 4, 0xfee0300c);
    config_set(5, 0x4c, 2, 0x4131);
    config_set(5, 0x42, 2, 1);
    line(&f, true);
    ck_assert(!fix.line[vpci_gsi(5, 0)]);
    send(&f, 0);
    ck_assert_uint_eq(message.count, 0);  // not a bus master
    config_set(5, 4, 2, 4);
    send(&f, 0);
    ck_assert_uint_eq(message.count, 1);
    ck_assert_uint_eq(message.destination, 3);
    ck_assert(message.logical);
    ck_assert_uint_eq(message.mode, 1);
    ck_assert_uint_eq(message.vector, 0x31);
    // A hostile guest: an address that is no APIC, a vector that is an exception.
    config_set(5, 0x44, 4, 0x00001000);
    send(&f, 0);
    config_set(5, 0x44, 4, 0xfee00000);
    config_set(5, 0x48, 4, 1);
    send(&f, 0);
    config_set(5, 0x48, 4, 0);
    config_set(5, 0x4c, 2, 0x000d);
    send(&f, 0);
    ck_assert_uint_eq(message.count, 1);
    vpci_remove_function(fix.vm.pci, &f);
    vpci_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vpci_msix__masked_waits)
{
    struct vpci_function f;
    uint64_t table = 0xd0006000u;

    device_make(&f, 5);
    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    ck_assert_int_eq(vpci_add_function(fix.vm.pci, &f), VMK_OK);
    config_set(5, 0x10, 4, 0xd0000000u);
    config_set(5, 4, 2, 6);
    config_set(5, 0x52, 2, 0xc000);  // on, all masked
    (void)mmio(table + 16, 4, true, 0xfee01000);
    (void)mmio(table + 24, 8, true, 0x55);  // data, unmasked
    ck_assert_uint_eq(mmio(table + 16, 8, false, 0), 0xfee01000);
    ck_assert_uint_eq(mmio(table + 12, 4, false, 0), 1);  // entry 0 is masked after reset
    send(&f, 1);
    send(&f, 0);
    send(&f, 7);  // no such vector
    ck_assert_uint_eq(message.count, 0);
    ck_assert_uint_eq(mmio(0xd0007000u, 4, false, 0), 3);
    config_set(5, 0x52, 2, 0x8000);
    ck_assert_uint_eq(message.count, 1);
    ck_assert_uint_eq(message.vector, 0x55);
    ck_assert_uint_eq(mmio(0xd0007000u, 8, false, 0), 1);
    (void)mmio(table + 8, 8, true, 0x66);  // its address was never set: nobody is there
    ck_assert_uint_eq(message.count, 1);
    ck_assert_uint_eq(mmio(0xd0007000u, 4, false, 0), 0);
    send(&f, 1);
    ck_assert_uint_eq(message.count, 2);
    // Accesses the table does not have.
    (void)mmio(table + 17, 1, true, 0xff);
    ck_assert_uint_eq(mmio(table + 16, 8, false, 0), 0xfee01000);
    vpci_remove_function(fix.vm.pci, &f);
    vpci_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vpci_assign__every_bar_in_its_window)
{
    struct vpci_function f[3];

    ck_assert_int_eq(vpci_create(&fix.vm), VMK_OK);
    for (unsigned i = 0; i < 3; i++) {
        device_make(&f[i], 5 + i);
        ck_assert_int_eq(vpci_add_function(fix.vm.pci, &f[i]), VMK_OK);
    }
    vpci_assign(fix.vm.pci);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t base = config_get(5 + i, 0x10, 4);

        ck_assert_uint_ge(base, VPCI_ECAM_BASE + VPCI_ECAM_SIZE);
        ck_assert_uint_lt(base, VM_IOAPIC_BASE);
        ck_assert_uint_eq(base % 0x8000, 0);
        device_value = i;
        f[i].bars[0].device = &f[i].bars[0].size;
        ck_assert_uint_eq(mmio(base, 4, false, 0), 0x8000);
        ck_assert_uint_eq(in_size((uint16_t)(config_get(5 + i, 0x14, 4) & ~1u), 4), i);
        ck_assert_uint_eq(config_get(5 + i, 4, 2) & 3, 3);
        vpci_remove_function(fix.vm.pci, &f[i]);
    }
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
          test_vpci_ecam__the_same_bytes_in_memory, test_vpci_cf9__resets,
          test_vpci_bar__decodes_where_the_guest_put_it,
          test_vpci_line__shared_and_switched_off, test_vpci_msi__goes_where_the_guest_said,
          test_vpci_msix__masked_waits, test_vpci_assign__every_bar_in_its_window)
