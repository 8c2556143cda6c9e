// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/triple.c -- a triple fault resets the machine.
 *
 * The first start leaves a mark in the RTC's memory, which a reset keeps, and faults with no IDT.
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

    for (const char *p = guest_command_line(); *p; p++)
        if (p[0] == 'f' && p[1] == 'o' && p[2] == 'r' && p[3] == 'e')  // "forever"
            __asm__ volatile("lidt %0; int3" : : "m"(nothing));
    outb(0x70, MARK_AT);
    if (inb(0x71) == MARK) {
        outb(0x70, MARK_AT);
        outb(0x71, 0);
        return;
    }
    outb(0x70, MARK_AT);
    outb(0x71, MARK);
    guest_printf("going down\n");
    while ((inb(0x3fd) & 0x60) != 0x60)
        ;
    __asm__ volatile("lidt %0; int3" : : "m"(nothing));
    expect(false, "still running after a triple fault");
}
