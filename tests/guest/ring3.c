// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/ring3.c -- user mode: VMware's backdoor answers, every other privileged thing is #GP.
 *
 * With IOPL 0 and no permission map an IN from ring 3 faults before any hypervisor sees a port,
 * so the backdoor works only if the hypervisor looks at the fault. What is not the backdoor
 * (another port, another magic, an OUT) has to reach the guest's own handler as the fault it
 * is.
 */
#include "guest.h"

const char guest_name[] = "ring3";

#define BACKDOOR_MAGIC 0x564d5868u

static volatile unsigned cpl;
static bool backdoor_here;

static void count_faults(const char *what)
{
    expect_caught(13, 0, what);
}

static void in_ring_3(void)
{
    uint32_t a = BACKDOOR_MAGIC, b = 0, c = 10, d = 0x5658;
    uint16_t cs;

    __asm__ volatile("movw %%cs, %0" : "=r"(cs));
    cpl = cs & 3;
    if (backdoor_here) {
        CATCH("inl %%dx, %%eax", : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : : "memory");
        expect_no_fault("the backdoor in ring 3");
        expect_equal(a, 6, "its version");
        expect_equal(b, BACKDOOR_MAGIC, "its magic");
        a = BACKDOOR_MAGIC;
        c = 45;
        __asm__ volatile("inl %%dx, %%eax" : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : : "memory");
        expect(a > 1000000 || b, "its TSC frequency");
    }
    CATCH("inl %%dx, %%eax", : : "a"(0x12345678), "c"(10), "d"(0x5658) : "memory");
    count_faults("the backdoor's port without its magic");
    CATCH("outl %%eax, %%dx", : : "a"(BACKDOOR_MAGIC), "c"(10), "d"(0x5658) : "memory");
    count_faults("an OUT to the backdoor's port");
    CATCH("inb %%dx, %%al", : : "a"(BACKDOOR_MAGIC), "d"(0x3fd) : "memory");
    count_faults("another port with the magic");
    CATCH("cli", : : : "memory");
    count_faults("CLI");
    CATCH("hlt", : : : "memory");
    count_faults("HLT");
    CATCH("rdmsr", : : "c"(0x1b) : "rax", "rdx");
    count_faults("RDMSR");
    CATCH("movq %%cr0, %%rax", : : : "rax");
    count_faults("MOV from CR0");
    CATCH("wbinvd", : : : "memory");
    count_faults("WBINVD");
    CATCH("xorl %%eax, %%eax; cpuid", : : : "rax", "rbx", "rcx", "rdx");
    expect_no_fault("CPUID");
    CATCH("rdtsc", : : : "rax", "rdx");
    expect_no_fault("RDTSC");
}

void guest_main(void)
{
    backdoor_here = guest_hypervisor()[0] == 'V' && guest_hypervisor()[1] == 'M';
    if (!backdoor_here)
        guest_printf("note: no backdoor here\n");
    guest_user_run(in_ring_3);
    expect_equal(cpl, 3, "that was ring 3");
}
