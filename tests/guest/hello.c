// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/hello.c -- the least a machine must do: load, run 64-bit code, print, stop.
 */
#include "guest.h"

const char guest_name[] = "hello";

void guest_main(void)
{
    guest_printf("hello from long mode, %u MB, hypervisor '%s', command line '%s'\n",
                 (unsigned)(guest_memory_end() >> 20), guest_hypervisor(),
                 guest_command_line());
}
