// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vrtc.c -- the CMOS clock: calendar, formats, setting, interrupts.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/dev/mc146818.h"
#include "vmm/dev/vrtc.h"

#define SECOND 1000000000ull

static uint8_t cmos(uint8_t index)
{
    out8(0x70, index);
    return in8(0x71);
}

static void cmos_set(uint8_t index, uint8_t value)
{
    out8(0x70, index);
    out8(0x71, value);
}

START_TEST(test_vrtc_calendar__agrees_both_ways)
{
    struct mc146818_date d;

    mc146818_date_from_seconds(0, &d);
    ck_assert(d.year == 1970 && d.month == 1 && d.day == 1 && d.weekday == 5);
    mc146818_date_from_seconds(951782400, &d);  // leap day of a century year
    ck_assert(d.year == 2000 && d.month == 2 && d.day == 29 && d.weekday == 3);
    for (uint64_t s = 0; s < 5000000000ull; s += 7777777) {
        mc146818_date_from_seconds(s, &d);
        ck_assert_uint_eq(mc146818_seconds_from_date(&d), s);
    }
}
END_TEST

START_TEST(test_vrtc_read__bcd_24h_and_binary_12h)
{
    ck_assert_int_eq(vrtc_create(&fix.vm), VMK_OK);
    // 5 seconds after 03:04:05 on Friday 2026-01-02
    ck_assert_uint_eq(cmos(0), 0x10);
    ck_assert_uint_eq(cmos(2), 0x04);
    ck_assert_uint_eq(cmos(4), 0x03);
    ck_assert_uint_eq(cmos(6), 6);
    ck_assert_uint_eq(cmos(7), 0x02);
    ck_assert_uint_eq(cmos(8), 0x01);
    ck_assert_uint_eq(cmos(9), 0x26);
    ck_assert_uint_eq(cmos(0x32), 0x20);
    ck_assert_uint_eq(cmos(13), 0x80);
    advance(13 * 3600 * SECOND);
    cmos_set(11, 0x04);
    ck_assert_uint_eq(cmos(4), 0x84);
    ck_assert_uint_eq(cmos(0), 10);
    ck_assert_uint_eq(cmos(9), 26);
    vrtc_destroy(&fix.vm);
    ck_assert_uint_eq(fix.heap_blocks, 0);
}
END_TEST

START_TEST(test_vrtc_uip__set_only_before_the_second)
{
    ck_assert_int_eq(vrtc_create(&fix.vm), VMK_OK);
    ck_assert_uint_eq(cmos(10), 0x26);
    advance(SECOND - 100000);
    ck_assert_uint_eq(cmos(10), 0xa6);
    advance(100000);
    ck_assert_uint_eq(cmos(10), 0x26);
    vrtc_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vrtc_set__time_goes_on_from_there)
{
    ck_assert_int_eq(vrtc_create(&fix.vm), VMK_OK);
    cmos_set(11, 0x82);
    cmos_set(0, 0x58);
    cmos_set(2, 0x59);
    cmos_set(4, 0x23);
    cmos_set(7, 0x31);
    cmos_set(8, 0x12);
    cmos_set(9, 0x99);
    advance(10 * SECOND);
    ck_assert_uint_eq(cmos(0), 0x58);  // held
    cmos_set(11, 0x02);
    advance(3 * SECOND);
    ck_assert_uint_eq(cmos(0), 0x01);
    ck_assert_uint_eq(cmos(4), 0x00);
    ck_assert_uint_eq(cmos(8), 0x01);
    ck_assert_uint_eq(cmos(9), 0x00);
    ck_assert_uint_eq(cmos(0x32), 0x21);
    vrtc_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vrtc_interrupts__update_alarm_periodic)
{
    ck_assert_int_eq(vrtc_create(&fix.vm), VMK_OK);
    cmos(12);
    cmos_set(11, 0x12);
    advance(SECOND);
    ck_assert(fix.line[8]);
    ck_assert_uint_eq(cmos(12) & 0x90, 0x90);
    ck_assert(!fix.line[8]);
    ck_assert_uint_eq(cmos(12), 0);
    cmos_set(1, 0x15);
    cmos_set(3, 0xc0);
    cmos_set(5, 0xff);
    cmos_set(11, 0x22);
    cmos(12);
    advance(3 * SECOND);
    ck_assert(!fix.line[8]);
    advance(SECOND);  // 03:04:15
    ck_assert(fix.line[8]);
    ck_assert_uint_eq(cmos(12) & 0xb0, 0xb0);
    fix.rises[8] = 0;
    cmos_set(11, 0x42);
    for (int i = 0; i < 1024; i++) {
        advance(SECOND / 1024);
        cmos(12);
    }
    ck_assert_uint_ge(fix.rises[8], 1022);
    ck_assert_uint_le(fix.rises[8], 1025);
    vrtc_destroy(&fix.vm);
    ck_assert_ptr_null(fix.timers[0]);
}
END_TEST

START_TEST(test_vrtc_nvram__keeps_bytes)
{
    ck_assert_int_eq(vrtc_create(&fix.vm), VMK_OK);
    for (uint8_t i = 0x40; i < 0x50; i++)
        cmos_set(i | 0x80, (uint8_t)(i * 3));  // bit 7 is the NMI mask
    for (uint8_t i = 0x40; i < 0x50; i++)
        ck_assert_uint_eq(cmos(i), (uint8_t)(i * 3));
    vrtc_destroy(&fix.vm);
}
END_TEST

TEST_MAIN("vrtc", test_vrtc_calendar__agrees_both_ways, test_vrtc_read__bcd_24h_and_binary_12h,
          test_vrtc_uip__set_only_before_the_second, test_vrtc_set__time_goes_on_from_there,
          test_vrtc_interrupts__update_alarm_periodic, test_vrtc_nvram__keeps_bytes)
