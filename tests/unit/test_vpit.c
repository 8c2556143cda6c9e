// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vpit.c -- the 8254: counts, outputs, latches, gate, interrupt.
 *
 * Sources    [8254]
 */
#include "irq_fixture.h"

static uint64_t ticks;  // made so far by turn()

static void turn(uint64_t more)
{
    ticks += more;
    plat_ns at = FIXTURE_START + (ticks * 1000000000ull + 1193181) / 1193182;
    fixture_advance(at - fix.now);
}

static void program(unsigned channel, unsigned mode, uint16_t count)
{
    port_out(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    port_out((uint16_t)(0x40 + channel), (uint8_t)count);
    port_out((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static unsigned count(unsigned channel)
{
    port_out(0x43, (uint8_t)(channel << 6));
    unsigned low = port_in((uint16_t)(0x40 + channel));
    return low | (unsigned)port_in((uint16_t)(0x40 + channel)) << 8;
}

static uint8_t status(unsigned channel)
{
    port_out(0x43, (uint8_t)(0xe0 | 2u << channel));
    return port_in((uint16_t)(0x40 + channel));
}

static bool out2(void)
{
    return port_in(0x61) & 0x20;
}

START_TEST(test_counts__by_mode)
{
    static const struct {
        uint8_t mode;
        uint16_t reload;
        uint32_t after;
        uint16_t count;
        bool out;
    } cases[] = {
        {0, 100, 0, 100, false},     {0, 100, 40, 60, false}, {0, 100, 100, 0, true},
        {0, 100, 101, 0xffff, true}, {0, 0, 65535, 1, false}, {0, 0, 65536, 0, true},
        {2, 100, 0, 100, true},      {2, 100, 98, 2, true},   {2, 100, 99, 1, false},
        {2, 100, 100, 100, true},    {2, 100, 250, 50, true}, {2, 0, 65535, 1, false},
        {3, 100, 0, 100, true},      {3, 100, 10, 80, true},  {3, 100, 49, 2, true},
        {3, 100, 50, 100, false},    {3, 100, 99, 2, false},  {3, 100, 100, 100, true},
        {3, 5, 2, 0, true},          {3, 5, 3, 4, false},     {3, 5, 5, 4, true},
        {4, 100, 99, 1, true},       {4, 100, 100, 0, false}, {4, 100, 101, 0xffff, true},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        program(0, cases[i].mode, cases[i].reload);
        turn(cases[i].after);
        ck_assert_msg(count(0) == cases[i].count, "case %zu: count %u", i, count(0));
        ck_assert_msg((status(0) >> 7) == cases[i].out, "case %zu: output", i);
        ck_assert_uint_eq(status(0) & 0x3f, 0x30u | (unsigned)cases[i].mode << 1);
    }
}
END_TEST

START_TEST(test_access__low_and_high_only)
{
    port_out(0x43, 0x14);  // channel 0, low byte, mode 2
    port_out(0x40, 50);
    turn(10);
    ck_assert_uint_eq(port_in(0x40), 40);
    ck_assert_uint_eq(port_in(0x40), 40);
    port_out(0x43, 0x24);  // high byte
    port_out(0x40, 2);
    turn(1);
    ck_assert_uint_eq(port_in(0x40), 1);
}
END_TEST

START_TEST(test_latch__holds_until_read)
{
    program(0, 2, 1000);
    turn(100);
    port_out(0x43, 0x00);
    turn(100);
    port_out(0x43, 0x00);  // a second latch is ignored
    ck_assert_uint_eq(port_in(0x40), 900 & 0xff);
    turn(100);
    ck_assert_uint_eq(port_in(0x40), 900 >> 8);
    ck_assert_uint_eq(port_in(0x40), 700 & 0xff);
    ck_assert_uint_eq(port_in(0x40), 700 >> 8);
}
END_TEST

START_TEST(test_read_back__status_then_count_of_two_channels)
{
    program(0, 2, 1000);
    program(2, 0, 500);
    port_out(0x61, 1);
    turn(100);
    port_out(0x43, 0xc0 | 0x0a);  // both latches, channels 0 and 2
    turn(50);
    ck_assert_uint_eq(port_in(0x40), 0xb4);
    ck_assert_uint_eq(port_in(0x40), 900 & 0xff);
    ck_assert_uint_eq(port_in(0x40), 900 >> 8);
    ck_assert_uint_eq(port_in(0x42), 0x30);
    ck_assert_uint_eq(port_in(0x42), 400 & 0xff);
    ck_assert_uint_eq(port_in(0x42), 400 >> 8);
    port_out(0x43, 0x34);
    ck_assert_uint_eq(status(0) & 0x40, 0x40);  // null count until one is written
}
END_TEST

START_TEST(test_mode_2__new_count__after_the_period)
{
    program(0, 2, 1000);
    turn(400);
    port_out(0x40, 200);
    port_out(0x40, 0);
    ck_assert_uint_eq(count(0), 600);
    ck_assert_uint_eq(status(0) & 0x40, 0x40);
    turn(650);  // looked at late
    ck_assert_uint_eq(count(0), 150);
    ck_assert_uint_eq(status(0) & 0x40, 0);
    turn(200);
    ck_assert_uint_eq(count(0), 150);
}
END_TEST

START_TEST(test_channel_2__gate_and_output_through_port_61)
{
    // As Linux calibrates its TSC: gate on, speaker off, mode 0.
    port_out(0x61, 0x01);
    program(2, 0, 5000);
    ck_assert(!out2());
    turn(4999);
    ck_assert(!out2());
    turn(1);
    ck_assert(out2());
    // The gate stops the count and lets it go on.
    program(2, 0, 5000);
    turn(1000);
    port_out(0x61, 0x00);
    turn(10000);
    ck_assert_uint_eq(count(2), 4000);
    port_out(0x61, 0x01);
    turn(3999);
    ck_assert(!out2());
    turn(1);
    ck_assert(out2());
    ck_assert_uint_eq(port_in(0x61) & 0x0f, 0x01);
}
END_TEST

START_TEST(test_channel_2__one_shot__by_the_gate)
{
    program(2, 1, 100);
    turn(1000);
    ck_assert(out2());
    port_out(0x61, 0x01);
    ck_assert(!out2());
    turn(50);
    port_out(0x61, 0x00);  // does not stop it
    turn(49);
    ck_assert(!out2());
    turn(1);
    ck_assert(out2());
    port_out(0x61, 0x01);
    ck_assert(!out2());
}
END_TEST

START_TEST(test_channel_2__square_wave__stops_high)
{
    program(2, 3, 100);
    port_out(0x61, 0x03);
    turn(60);
    ck_assert(!out2());
    port_out(0x61, 0x02);
    ck_assert(out2());
    turn(1000);
    port_out(0x61, 0x03);
    turn(49);
    ck_assert(out2());
    turn(1);
    ck_assert(!out2());
}
END_TEST

START_TEST(test_port_61__refresh_bit_toggles)
{
    unsigned changes = 0;
    uint8_t last = port_in(0x61) & 0x10;

    for (unsigned i = 0; i < 1800; i++) {
        turn(1);
        uint8_t now = port_in(0x61) & 0x10;
        changes += now != last;
        last = now;
    }
    ck_assert_uint_eq(changes, 100);
}
END_TEST

/* PIC: line 0 at vector 20. */
static void pic_on(void)
{
    static const uint8_t words[] = {0x20, 0x04, 0x01, 0xfe};

    port_out(0x20, 0x11);
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        port_out(0x21, words[i]);
}

static bool irq_taken(void)
{
    if (vpic_pending(&fix.vm) != 0x20)
        return false;
    ck_assert_int_eq(vpic_acknowledge(&fix.vm), 0x20);
    port_out(0x20, 0x20);
    return true;
}

START_TEST(test_irq__periodic_modes)
{
    pic_on();
    for (unsigned mode = 2; mode <= 3; mode++) {
        program(0, mode, 11932);
        ck_assert(!irq_taken());
        for (unsigned i = 0; i < 10; i++) {
            turn(11931);
            ck_assert(!irq_taken());
            turn(1);
            ck_assert(irq_taken());
        }
    }
}
END_TEST

START_TEST(test_irq__late__one_interrupt_and_no_drift)
{
    pic_on();
    program(0, 2, 11932);
    fixture_jump(35000000);  // 3.5 periods of 10 ms
    ck_assert_uint_eq(fix.timers_run, 1);
    ck_assert(irq_taken());
    ck_assert(!irq_taken());
    fixture_advance(4990000);
    ck_assert(!irq_taken());
    fixture_advance(20000);
    ck_assert(irq_taken());
}
END_TEST

START_TEST(test_irq__one_shot_modes__once)
{
    static const uint8_t modes[] = {0, 4};

    pic_on();
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        program(0, modes[i], 30000);
        turn(29999);
        ck_assert(!irq_taken());
        turn(2);
        ck_assert(irq_taken());
        turn(200000);
        ck_assert(!irq_taken());
    }
}
END_TEST

START_TEST(test_irq__reprogrammed__old_one_does_not_come)
{
    pic_on();
    program(0, 0, 1000);
    turn(500);
    program(0, 0, 30000);
    turn(29999);
    ck_assert(!irq_taken());
    turn(1);
    ck_assert(irq_taken());
    program(0, 0, 1000);
    port_out(0x43, 0x30);  // control word alone: stopped
    turn(100000);
    ck_assert(!irq_taken());
}
END_TEST

START_TEST(test_irq__absurdly_fast__host_is_spared)
{
    pic_on();
    program(0, 2, 2);
    fixture_advance(10000000);
    ck_assert_uint_le(fix.timers_run, 550);
    ck_assert(irq_taken());
}
END_TEST

static void start_one(void)
{
    ticks = 0;
    fixture_start(1);
}

static void add_tests(TCase *t)
{
    tcase_add_checked_fixture(t, start_one, fixture_stop);
    tcase_add_test(t, test_counts__by_mode);
    tcase_add_test(t, test_access__low_and_high_only);
    tcase_add_test(t, test_latch__holds_until_read);
    tcase_add_test(t, test_read_back__status_then_count_of_two_channels);
    tcase_add_test(t, test_mode_2__new_count__after_the_period);
    tcase_add_test(t, test_channel_2__gate_and_output_through_port_61);
    tcase_add_test(t, test_channel_2__one_shot__by_the_gate);
    tcase_add_test(t, test_channel_2__square_wave__stops_high);
    tcase_add_test(t, test_port_61__refresh_bit_toggles);
    tcase_add_test(t, test_irq__periodic_modes);
    tcase_add_test(t, test_irq__late__one_interrupt_and_no_drift);
    tcase_add_test(t, test_irq__one_shot_modes__once);
    tcase_add_test(t, test_irq__reprogrammed__old_one_does_not_come);
    tcase_add_test(t, test_irq__absurdly_fast__host_is_spared);
}

int main(void)
{
    return fixture_run("vpit", add_tests);
}
