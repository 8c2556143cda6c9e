// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/guest-exit.c -- a guest program: write a status byte to I/O port 0xf4.
 *
 * Why it exists: a batch guest ends with a status, and Debian's cloud kernel has no /dev/port.
 * It uses no C library, because a static one would be most of the initramfs: _start finds
 * argc, argv on the stack, as the System V ABI ("Initial Stack and Register State") says.
 *
 * usage: guest-exit STATUS      status 1 if the kernel refuses the port
 */
enum {
    SYS_EXIT = 60,
    SYS_IOPERM = 173
};
enum {
    EXIT_PORT = 0xf4
};

static long system_call(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((used, noreturn)) void guest_exit_main(const long *stack);

void guest_exit_main(const long *stack)
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

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call guest_exit_main\n");
