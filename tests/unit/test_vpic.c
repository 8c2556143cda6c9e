// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vpic.c -- the two 8259As: initialisation, priorities, spurious interrupts, modes.
 *
 * Sources    [8259A]
 */
#include "irq_fixture.h"

/* As every PC operating system does it: vectors 20 and 28, nothing masked. */
static void init_pair(uint8_t master_icw4)
{
    port_out(0x20, 0x11);
    port_out(0x21, 0x20);
    port_out(0x21, 0x04);
    port_out(0x21, master_icw4);
    port_out(0xa0, 0x11);
    port_out(0xa1, 0x28);
    port_out(0xa1, 0x02);
    port_out(0xa1, 0x01);
    port_out(0x21, 0);
    port_out(0xa1, 0);
}

static int acknowledge(void)
{
    return vpic_acknowledge(&fix.vm);
}

static int pending(void)
{
    return vpic_pending(&fix.vm);
}

static uint8_t in_service(uint16_t port)
{
    port_out(port, 0x0b);
    uint8_t value = port_in(port);
    port_out(port, 0x0a);
    return value;
}

START_TEST(test_power_up__everything_masked)
{
    for (unsigned irq = 0; irq < 16; irq++)
        line(irq, true);
    ck_assert_int_eq(pending(), -1);
    ck_assert_uint_eq(port_in(0x21), 0xff);
    ck_assert_uint_eq(port_in(0xa1), 0xff);
}
END_TEST

START_TEST(test_init__vectors_and_masks)
{
    init_pair(1);
    for (unsigned irq = 0; irq < 16; irq++) {
        if (irq == 2)
            continue;
        line(irq, true);
        ck_assert_int_eq(pending(), (int)(0x20 + irq));
        ck_assert_uint_ge(fix.kicks[0], 1);
        ck_assert_int_eq(acknowledge(), (int)(0x20 + irq));
        ck_assert_int_eq(pending(), -1);
        if (irq >= 8)
            port_out(0xa0, 0x20);
        port_out(0x20, 0x20);
        line(irq, false);
        ck_assert_int_eq(pending(), -1);
    }
    port_out(0x21, 0x10);
    line(4, true);
    ck_assert_int_eq(pending(), -1);
    port_out(0x21, 0);
    ck_assert_int_eq(pending(), 0x24);
}
END_TEST

START_TEST(test_init__three_words_without_icw4)
{
    port_out(0x20, 0x10);
    port_out(0x21, 0x40);
    port_out(0x21, 0x04);
    port_out(0x21, 0xfe);  // a mask already
    ck_assert_uint_eq(port_in(0x21), 0xfe);
    line(0, true);
    ck_assert_int_eq(pending(), 0x40);
}
END_TEST

START_TEST(test_init__again__forgets_requests)
{
    init_pair(1);
    line(3, true);
    ck_assert_int_eq(pending(), 0x23);
    init_pair(1);
    ck_assert_int_eq(pending(), -1);  // the line is up, but an edge is wanted
    line(3, false);
    line(3, true);
    ck_assert_int_eq(pending(), 0x23);
}
END_TEST

START_TEST(test_priority__lower_line_first_and_nests)
{
    init_pair(1);
    line(5, true);
    line(3, true);
    line(12, true);
    ck_assert_int_eq(acknowledge(), 0x2c);  // through line 2
    ck_assert_int_eq(pending(), -1);
    line(1, true);
    ck_assert_int_eq(acknowledge(), 0x21);
    ck_assert_uint_eq(in_service(0x20), 0x06);
    ck_assert_uint_eq(in_service(0xa0), 0x10);
    port_out(0x20, 0x20);  // line 1
    ck_assert_int_eq(pending(), -1);
    port_out(0xa0, 0x20);
    port_out(0x20, 0x20);
    ck_assert_int_eq(acknowledge(), 0x23);
    port_out(0x20, 0x63);  // specific
    ck_assert_int_eq(acknowledge(), 0x25);
    line(5, false);
    line(5, true);  // not over itself
    ck_assert_int_eq(pending(), -1);
    port_out(0x20, 0x20);
    ck_assert_int_eq(pending(), 0x25);
}
END_TEST

START_TEST(test_spurious__request_withdrawn__line_7_or_15)
{
    init_pair(1);
    line(4, true);
    line(4, false);
    ck_assert_int_eq(pending(), -1);
    ck_assert_int_eq(acknowledge(), 0x27);
    ck_assert_uint_eq(in_service(0x20), 0);
    // On the second chip: its INT drops after the master has looked.
    line(11, true);
    port_out(0xa1, 0xff);
    ck_assert_int_eq(pending(), -1);
    ck_assert_int_eq(acknowledge(), 0x27);
}
END_TEST

START_TEST(test_level__elcr__asks_until_the_line_falls)
{
    port_out(0x4d0, 0xff);
    port_out(0x4d1, 0xff);
    ck_assert_uint_eq(port_in(0x4d0), 0xf8);
    ck_assert_uint_eq(port_in(0x4d1), 0xde);
    init_pair(1);
    line(11, true);
    ck_assert_int_eq(acknowledge(), 0x2b);
    port_out(0xa0, 0x20);
    port_out(0x20, 0x20);
    ck_assert_int_eq(pending(), 0x2b);
    line(11, false);
    ck_assert_int_eq(pending(), -1);
}
END_TEST

START_TEST(test_auto_eoi__nothing_stays_in_service)
{
    init_pair(3);
    line(4, true);
    ck_assert_int_eq(acknowledge(), 0x24);
    ck_assert_uint_eq(in_service(0x20), 0);
    line(5, true);
    ck_assert_int_eq(pending(), 0x25);
}
END_TEST

START_TEST(test_rotate__on_eoi__served_line_goes_last)
{
    init_pair(1);
    line(3, true);
    line(5, true);
    ck_assert_int_eq(acknowledge(), 0x23);
    port_out(0x20, 0xa0);
    line(3, false);
    line(3, true);
    ck_assert_int_eq(acknowledge(), 0x25);
    port_out(0x20, 0x20);
    ck_assert_int_eq(acknowledge(), 0x23);
    port_out(0x20, 0x20);
    port_out(0x20, 0xc4);  // lowest is 4, so 5 is first
    line(3, false);
    line(3, true);
    line(5, false);
    line(5, true);
    ck_assert_int_eq(pending(), 0x25);
}
END_TEST

START_TEST(test_special_mask__lower_lines_come_through)
{
    init_pair(1);
    line(1, true);
    ck_assert_int_eq(acknowledge(), 0x21);
    line(6, true);
    ck_assert_int_eq(pending(), -1);
    port_out(0x21, 0x02);
    port_out(0x20, 0x68);
    ck_assert_int_eq(acknowledge(), 0x26);
    port_out(0x20, 0x20);  // means 6: line 1 is masked
    ck_assert_uint_eq(in_service(0x20), 0x02);
    port_out(0x20, 0x48);
    ck_assert_int_eq(pending(), -1);
}
END_TEST

START_TEST(test_special_fully_nested__slave_interrupts_itself)
{
    init_pair(0x11);
    line(12, true);
    ck_assert_int_eq(acknowledge(), 0x2c);
    line(9, true);
    ck_assert_int_eq(pending(), 0x29);
    line(5, true);
    ck_assert_int_eq(acknowledge(), 0x29);
    ck_assert_int_eq(pending(), -1);
}
END_TEST

START_TEST(test_poll__read_acknowledges)
{
    init_pair(1);
    port_out(0x20, 0x0c);
    ck_assert_uint_eq(port_in(0x20) & 0x80, 0);
    line(4, true);
    port_out(0x20, 0x0c);
    ck_assert_uint_eq(port_in(0x20), 0x84);
    ck_assert_uint_eq(in_service(0x20), 0x10);
}
END_TEST

static void start_one(void)
{
    fixture_start(1);
}

static void add_tests(TCase *t)
{
    tcase_add_checked_fixture(t, start_one, fixture_stop);
    tcase_add_test(t, test_power_up__everything_masked);
    tcase_add_test(t, test_init__vectors_and_masks);
    tcase_add_test(t, test_init__three_words_without_icw4);
    tcase_add_test(t, test_init__again__forgets_requests);
    tcase_add_test(t, test_priority__lower_line_first_and_nests);
    tcase_add_test(t, test_spurious__request_withdrawn__line_7_or_15);
    tcase_add_test(t, test_level__elcr__asks_until_the_line_falls);
    tcase_add_test(t, test_auto_eoi__nothing_stays_in_service);
    tcase_add_test(t, test_rotate__on_eoi__served_line_goes_last);
    tcase_add_test(t, test_special_mask__lower_lines_come_through);
    tcase_add_test(t, test_special_fully_nested__slave_interrupts_itself);
    tcase_add_test(t, test_poll__read_acknowledges);
}

int main(void)
{
    return fixture_run("vpic", add_tests);
}
