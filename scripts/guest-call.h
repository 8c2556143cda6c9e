// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/guest-call.h -- for guest programs without a C library: a system call, and where they begin.
 *
 * A static C library would be most of the initramfs. _start hands the initial stack, with argc
 * and argv on it (System V ABI, "Initial Stack and Register State"), to the one function of the
 * program.
 */
#pragma once

enum {
    SYS_WRITE = 1,
    SYS_EXIT = 60,
    SYS_IOPERM = 173,
    SYS_CLOCK_GETTIME = 228
};

static inline long system_call(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

/* Does not return. */
__attribute__((used, noreturn)) void guest_main(const long *stack);

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call guest_main\n");
