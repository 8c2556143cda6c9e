// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/guest-exit.c -- a guest program: write a status byte to I/O port 0xf4.
 *
 * Why it exists: a batch guest ends with a status, and Debian's cloud kernel has no /dev/port.
 * It uses no C library (guest-call.h).
 *
 * usage: guest-exit STATUS      status 1 if the kernel refuses the port
 */
#include "guest-call.h"

enum {
    EXIT_PORT = 0xf4
};

void guest_main(const long *stack)
{
    long argc = stack[0];
    const char *text = argc > 1 ? (const char *)stack[2] : "";
    unsigned status = 0;

    while (*text >= '0' && *text <= '9')
        status = status * 10 + (unsigned)(*text++ - '0');
    if (system_call(SYS_IOPERM, EXIT_PORT, 1, 1) == 0)
        __asm__ volatile("outb %0, %1"
                         :
                         : "a"((unsigned char)status), "Nd"((unsigned short)EXIT_PORT));
    for (;;)  // only if nobody listens at the port
        system_call(SYS_EXIT, 1, 0, 0);
}
