// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/main.c -- orrery-trace: one tool for everything that is done with a trace.
 *
 * Invariants
 *   - A bad trace ends in a message that names file and offset, and status 3; never in a crash.
 * Locking    none: one thread.
 */
#include <stdio.h>

int main(void)
{
    fputs("usage: orrery-trace COMMAND ...\n", stderr);
    return 2;
}
