// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/reset.c -- the reset register and the keyboard controller restart the machine; S5 ends it.
 *
 * Each start leaves its number in the RTC's memory, which a reset keeps. The PIC's mask and a
 * word of memory are what a reset must not keep. See triple.c for the third way.
 *
 * The other processors, halted or running when the reset comes, are started before anything
 * else and without a pause: a reset is over for all of them when the first instruction runs.
 */
#include "guest.h"

const char guest_name[] = "reset";

#define START_AT   0x5e
#define STARTS     8u  // resets; the start after them ends it
#define PM_CONTROL 0x604
#define SLP_S5     0x2000u

static unsigned mark = 1;  // in .data: the loader has to write it anew
static volatile uint8_t start;

static void wait_dead(const char *text)
{
    for (volatile unsigned i = 0; i < 100000000; i++)
        ;
    expect(false, text);
}

/* Runs until the reset, or halts. */
static void other(unsigned number)
{
    while ((start ^ number) & 2)
        __asm__ volatile("pause");
    for (;;)
        __asm__ volatile("cli; hlt");
}

void guest_main(void)
{
    start = cmos_get(START_AT);
    guest_start_others_at_once(other);
    guest_printf("start %u\n", start);
    expect_equal(mark, 1, "memory that the loader writes");
    expect(!(rdmsr(0x1b) & 0x400), "x2APIC mode is off at the start");
    mark = 2;
    apic_x2apic_enable();
    while ((inb(0x3fd) & 0x60) != 0x60)
        ;
    if (start < STARTS) {
        cmos_set(START_AT, (uint8_t)(start + 1));
        if (start % 2) {
            outb(0x64, 0xfe);
            wait_dead("still running after the keyboard controller's reset");
        } else {
            outb(0xcf9, 2);
            outb(0xcf9, 6);
            wait_dead("still running after a write to the reset register");
        }
        return;
    }
    cmos_set(START_AT, 0);
    if (guest_failures)
        return;
    guest_printf("PASS %s\n", guest_name);
    while ((inb(0x3fd) & 0x60) != 0x60)
        ;
    __asm__ volatile("outw %w0, %w1" : : "a"(SLP_S5), "Nd"(PM_CONTROL));
    wait_dead("still running after S5");
}
