// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vioapic.c -- the IOAPIC: edges, levels, masks, remote IRR, destinations.
 *
 * Sources    [82093AA]
 */
#include "irq_fixture.h"

#define PIN 11u

static uint32_t reg(uint8_t index)
{
    mmio_out(VM_IOAPIC_BASE, index);
    return mmio_in(VM_IOAPIC_BASE + 0x10);
}

static void reg_set(uint8_t index, uint32_t value)
{
    mmio_out(VM_IOAPIC_BASE, index);
    mmio_out(VM_IOAPIC_BASE + 0x10, value);
}

static void entry_set(unsigned pin, uint32_t low, uint8_t destination)
{
    reg_set((uint8_t)(0x11 + pin * 2), (uint32_t)destination << 24);
    reg_set((uint8_t)(0x10 + pin * 2), low);
}

static uint32_t entry_low(unsigned pin)
{
    return reg((uint8_t)(0x10 + pin * 2));
}

START_TEST(test_registers__after_reset)
{
    ck_assert_uint_eq(reg(1), 0x170020);
    reg_set(0, 0xffffffff);
    ck_assert_uint_eq(reg(0), 0x0f000000);
    ck_assert_uint_eq(reg(2), 0x0f000000);
    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
        ck_assert_uint_eq(entry_low(pin), 0x10000);
    reg_set(0x10 + 2 * PIN, 0xffffffff);  // status and remote IRR do not take
    ck_assert_uint_eq(entry_low(PIN), 0x1afff);
    ck_assert_uint_eq(reg(0x40), 0xffffffff);
}
END_TEST

START_TEST(test_edge__rise__one_message)
{
    entry_set(PIN, 0x51, 0);
    line(PIN, true);
    line(PIN, true);
    ck_assert_int_eq(take(0), 0x51);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
    line(PIN, false);
    ck_assert_int_eq(take(0), -1);
    line(PIN, true);
    ck_assert_int_eq(take(0), 0x51);
}
END_TEST

START_TEST(test_edge__rise_while_masked__lost)
{
    entry_set(PIN, 0x10051, 0);
    line(PIN, true);
    entry_set(PIN, 0x51, 0);
    ck_assert_int_eq(take(0), -1);
    line(PIN, false);
    line(PIN, true);
    ck_assert_int_eq(take(0), 0x51);
}
END_TEST

START_TEST(test_level__asserted_while_masked__sent_at_unmask)
{
    entry_set(PIN, 0x18051, 0);
    line(PIN, true);
    ck_assert_int_eq(take(0), -1);
    entry_set(PIN, 0x8051, 0);
    ck_assert_int_eq(take(0), 0x51);
    ck_assert_uint_eq(entry_low(PIN), 0xc051);
}
END_TEST

START_TEST(test_level__eoi__again_while_asserted)
{
    entry_set(PIN, 0x8051, 0);
    line(PIN, true);
    ck_assert_int_eq(take(0), 0x51);
    line(PIN, false);
    line(PIN, true);  // remote IRR holds it back
    ck_assert_int_eq(vlapic_pending(&fix.vcpu[0]), -1);
    eoi(0);
    ck_assert_int_eq(take(0), 0x51);
    line(PIN, false);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
    ck_assert_uint_eq(entry_low(PIN), 0x8051);
}
END_TEST

START_TEST(test_level__shared_vector__both_pins_serve)
{
    entry_set(PIN, 0x8051, 0);
    entry_set(PIN + 1, 0x8051, 0);
    line(PIN, true);
    line(PIN + 1, true);
    ck_assert_int_eq(take(0), 0x51);
    line(PIN, false);
    eoi(0);
    ck_assert_int_eq(take(0), 0x51);
    line(PIN + 1, false);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

START_TEST(test_level__eoi_register_and_edge_trick__clear_remote_irr)
{
    entry_set(PIN, 0x8051, 0);
    line(PIN, true);
    line(PIN, false);
    ck_assert_uint_eq(entry_low(PIN), 0xc051);
    mmio_out(VM_IOAPIC_BASE + 0x40, 0x51);
    ck_assert_uint_eq(entry_low(PIN), 0x8051);
    line(PIN, true);
    line(PIN, false);
    entry_set(PIN, 0x10051, 0);
    entry_set(PIN, 0x8051, 0);
    ck_assert_uint_eq(entry_low(PIN), 0x8051);
}
END_TEST

START_TEST(test_level__apic_off__remote_irr_not_stuck)
{
    vlapic_mmio_write(&fix.vcpu[1], 0xf0, 0xff);
    entry_set(PIN, 0x8051, 1);
    line(PIN, true);
    ck_assert_uint_eq(entry_low(PIN), 0x8051);
    vlapic_mmio_write(&fix.vcpu[1], 0xf0, 0x1ff);
    entry_set(PIN, 0x8051, 1);
    ck_assert_int_eq(take(1), 0x51);
}
END_TEST

START_TEST(test_destination__modes)
{
    entry_set(PIN, 0x51, 1);
    line(PIN, true);
    line(PIN, false);
    ck_assert_int_eq(take(1), 0x51);
    ck_assert_int_eq(take(0), -1);
    eoi(1);
    for (unsigned i = 0; i < 2; i++)
        vlapic_mmio_write(&fix.vcpu[i], 0xd0, 0x01000000u << i);
    entry_set(PIN, 0x951, 2);  // logical, lowest priority
    line(PIN, true);
    line(PIN, false);
    ck_assert_int_eq(take(1), 0x51);
    eoi(1);
    entry_set(PIN, 0x851, 3);
    line(PIN, true);
    line(PIN, false);
    ck_assert_int_eq(take(0), 0x51);
    ck_assert_int_eq(take(1), 0x51);
    entry_set(PIN, 0x400, 1);  // NMI
    line(PIN, true);
    ck_assert(fix.vcpu[1].nmi_pending && !fix.vcpu[0].nmi_pending);
}
END_TEST

START_TEST(test_destination__x2apic_cpus_take_eight_bit_ones)
{
    for (unsigned i = 0; i < 2; i++)
        ck_assert(vlapic_msr_write(&fix.vcpu[i], 0x1b, vlapic_base_msr(&fix.vcpu[i]) | 0x400));
    entry_set(PIN, 0x851, 2);  // logical: bit 1 of cluster 0
    line(PIN, true);
    line(PIN, false);
    ck_assert_int_eq(take(1), 0x51);
    ck_assert_int_eq(take(0), -1);
    entry_set(PIN, 0x61, 0xff);
    line(PIN, true);
    ck_assert_int_eq(take(0), 0x61);
    ck_assert_int_eq(take(1), 0x61);
}
END_TEST

START_TEST(test_timer_line__arrives_at_pin_2)
{
    entry_set(0, 0x40, 0);
    entry_set(2, 0x42, 0);
    line(0, true);
    ck_assert_int_eq(take(0), 0x42);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

static void start_two(void)
{
    fixture_start(2);
}

static void add_tests(TCase *t)
{
    tcase_add_checked_fixture(t, start_two, fixture_stop);
    tcase_add_test(t, test_registers__after_reset);
    tcase_add_test(t, test_edge__rise__one_message);
    tcase_add_test(t, test_edge__rise_while_masked__lost);
    tcase_add_test(t, test_level__asserted_while_masked__sent_at_unmask);
    tcase_add_test(t, test_level__eoi__again_while_asserted);
    tcase_add_test(t, test_level__shared_vector__both_pins_serve);
    tcase_add_test(t, test_level__eoi_register_and_edge_trick__clear_remote_irr);
    tcase_add_test(t, test_level__apic_off__remote_irr_not_stuck);
    tcase_add_test(t, test_destination__modes);
    tcase_add_test(t, test_destination__x2apic_cpus_take_eight_bit_ones);
    tcase_add_test(t, test_timer_line__arrives_at_pin_2);
}

int main(void)
{
    return fixture_run("vioapic", add_tests);
}
