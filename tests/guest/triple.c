// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/triple.c -- a triple fault resets the machine.
 *
 * The first start leaves a mark in the RTC's memory, which a reset keeps, and faults with no
 * IDT.
 * The second start finds the mark.
 */
#include "guest.h"

const char guest_name[] = "triple";

#define MARK_AT 0x5d
#define MARK    0xa7

void guest_main(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) nothing = {0, 0};

    if (guest_has_word("forever"))
        __asm__ volatile("lidt %0; int3" : : "m"(nothing));
    if (cmos_get(MARK_AT) == MARK) {
        cmos_set(MARK_AT, 0);
        return;
    }
    cmos_set(MARK_AT, MARK);
    guest_printf("going down\n");
    while ((inb(0x3fd) & 0x60) != 0x60)
        ;
    __asm__ volatile("lidt %0; int3" : : "m"(nothing));
    expect(false, "still running after a triple fault");
}
