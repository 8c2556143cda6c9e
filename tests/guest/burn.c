// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/burn.c -- every processor is busy until the VM is as old as the command line says.
 *
 * "burn 6000" ends six seconds of the PM timer after power-on, not after this code began: so
 * VMs that start together also end together, and what each got of the host's CPUs can be
 * compared.
 */
#include "guest.h"

const char guest_name[] = "burn";

#define PM_TIMER    0x608
#define TICKS_PER_S 3579545ull

static void spin(unsigned number)
{
    (void)number;
    for (;;)
        __asm__ volatile("");
}

/* The first number on the command line. */
static uint64_t milliseconds(void)
{
    const char *text = guest_command_line();
    uint64_t value = 0;

    while (*text && (*text < '0' || *text > '9'))
        text++;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return value;
}

void guest_main(void)
{
    const uint64_t end = milliseconds() * TICKS_PER_S / 1000;
    const uint64_t begin = rdtsc();

    apic_enable();
    guest_start_others(spin);
    // Reading the timer is an exit, so it is read seldom.
    while (inl(PM_TIMER) < end) {
        for (volatile unsigned i = 0; i < 100000; i++)
            ;
    }
    guest_printf("burned %llu cycles\n", (unsigned long long)(rdtsc() - begin));
}
