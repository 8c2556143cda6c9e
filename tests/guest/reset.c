// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/reset.c -- the reset register and the keyboard controller restart the machine; S5 ends it.
 *
 * Each start leaves its number in the RTC's memory, which a reset keeps. The PIC's mask and a word
 * of memory are what a reset must not keep. See triple.c for the third way.
 */
#include "guest.h"

const char guest_name[] = "reset";

#define START_AT   0x5e
#define PM_CONTROL 0x604
#define SLP_S5     0x2000u

static unsigned mark = 1;  // in .data: the loader has to write it anew

static void wait_dead(const char *text)
{
    for (volatile unsigned i = 0; i < 100000000; i++)
        ;
    expect(false, text);
}

void guest_main(void)
{
    const uint8_t start = cmos_get(START_AT);

    guest_printf("start %u\n", start);
    expect_equal(mark, 1, "memory that the loader writes");
    expect(!(rdmsr(0x1b) & 0x400), "x2APIC mode is off at the start");
    mark = 2;
    apic_x2apic_enable();
    while ((inb(0x3fd) & 0x60) != 0x60)
        ;
    switch (start) {
    case 0:
        cmos_set(START_AT, 1);
        outb(0xcf9, 2);
        outb(0xcf9, 6);
        wait_dead("still running after a write to the reset register");
        break;
    case 1:
        cmos_set(START_AT, 2);
        outb(0x64, 0xfe);
        wait_dead("still running after the keyboard controller's reset");
        break;
    default:
        cmos_set(START_AT, 0);
        if (guest_failures)
            return;
        guest_printf("PASS %s\n", guest_name);
        while ((inb(0x3fd) & 0x60) != 0x60)
            ;
        __asm__ volatile("outw %w0, %w1" : : "a"(SLP_S5), "Nd"(PM_CONTROL));
        wait_dead("still running after S5");
    }
}
