// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/rtc.c -- the clock and CMOS memory: bytes, setting, and the three interrupts through the PIC.
 *
 * With a vmx each access is answered in ring 3 of the host, so nothing here depends on how fast
 * that is.
 * Words of the command line: "hammer" reads the clock for ever, "stay" halts for ever at the
 * end.
 */
#include "guest.h"

const char guest_name[] = "rtc";

#define IRQ8_VECTOR 0x28u
#define REG_A       10u
#define REG_B       11u
#define REG_C       12u
#define B_SET       0x80u
#define B_24H       0x02u
#define UPDATE      0x10u
#define ALARM       0x20u
#define PERIODIC    0x40u

static volatile unsigned interrupts;
static volatile uint8_t causes;

static void on_clock(struct guest_frame *frame)
{
    (void)frame;
    causes |= cmos_get(REG_C);
    interrupts++;
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

/* Both 8259s at vectors 20h and 28h, only IRQ 8 (and the cascade) open. */
static void pic_setup(void)
{
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0xa0, 0x11);
    outb(0xa1, IRQ8_VECTOR);
    outb(0xa1, 2);
    outb(0xa1, 1);
    outb(0x21, 0xfb);
    outb(0xa1, 0xfe);
}

static void wait_for(uint8_t enable, unsigned count, const char *text)
{
    uint8_t b = cmos_get(REG_B);

    interrupts = 0;
    causes = 0;
    (void)cmos_get(REG_C);
    cmos_set(REG_B, b | enable);
    while (interrupts < count)
        wait_irq();
    cmos_set(REG_B, b);
    expect(causes & enable, text);
    expect(causes & 0x80, "register C says that it was the clock");
}

static void clock_set(void)
{
    cmos_set(REG_B, B_24H | B_SET);
    cmos_set(0, 0x58);
    cmos_set(2, 0x59);
    cmos_set(4, 0x23);
    cmos_set(7, 0x31);
    cmos_set(8, 0x12);
    cmos_set(9, 0x99);
    cmos_set(0x32, 0x19);
    expect_equal(cmos_get(0), 0x58, "a clock that is being set stands");
    cmos_set(REG_B, B_24H);
    while (cmos_get(9) == 0x99)
        continue;
    expect_equal(cmos_get(0x32), 0x20, "the century");
    expect_equal(cmos_get(8), 0x01, "the month");
    expect_equal(cmos_get(7), 0x01, "the day");
    expect_equal(cmos_get(4), 0x00, "the hour");
}

void guest_main(void)
{
    for (uint8_t i = 0x40; i < 0x50; i++)
        cmos_set(i, (uint8_t)(i * 5));
    for (uint8_t i = 0x40; i < 0x50; i++)
        expect_equal(cmos_get(i), (uint8_t)(i * 5), "a byte of CMOS memory");
    expect_equal(cmos_get(13), 0x80, "the battery is good");
    expect_equal((uint64_t)cmos_get(0x30) | (uint64_t)cmos_get(0x31) << 8,
                 (guest_memory_end() >> 10) - 1024, "KB of memory behind the first MB");
    clock_set();
    guest_on(IRQ8_VECTOR, on_clock);
    pic_setup();
    wait_for(PERIODIC, 20, "the periodic interrupt");
    wait_for(UPDATE, 1, "the interrupt of an update");
    cmos_set(1, 0xff);
    cmos_set(3, 0xff);
    cmos_set(5, 0xff);
    wait_for(ALARM, 1, "the alarm");
    if (guest_has_word("hammer")) {
        guest_printf("hammering\n");
        for (;;)
            (void)cmos_get(0);
    }
    if (guest_has_word("stay")) {
        guest_printf("staying\n");
        for (;;)
            __asm__ volatile("hlt");
    }
}
