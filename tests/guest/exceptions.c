// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/exceptions.c -- faults and traps arrive with the right vector, error code, CR2 and RIP.
 *
 * Each provokes one exception and looks at what the handler got. The double fault comes from a
 * page fault whose gate is marked not present: a contributory fault on top of #PF.
 */
#include "guest.h"

const char guest_name[] = "exceptions";

#define HOLE 0x8000000000ull  // 512 GB: nothing mapped there unless guest_map() did

static char page[4096] __attribute__((aligned(4096)));
static volatile unsigned interrupts, steps, step_bits;
static volatile uint64_t trap_rip;

static void on_interrupt(struct guest_frame *frame)
{
    interrupts++;
    trap_rip = frame->rip;
}

static void on_step(struct guest_frame *frame)
{
    uint64_t dr6;

    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    if (dr6 >> 14 & 1)
        step_bits++;
    __asm__ volatile("movq %0, %%dr6" : : "r"(0xffff0ff0ull));
    steps++;
    trap_rip = frame->rip;
    if (steps == 3)
        frame->rflags &= ~0x100ull;
}

/*
 * The low four bits of CR0 from a word in memory, by two forms of address; PE cannot be
 * cleared.
 */
static void lmsw(void)
{
    static uint16_t words[2] = {0xb, 0x0};
    uint64_t before, set, clear;

    __asm__ volatile("movq %%cr0, %0" : "=r"(before));
    __asm__ volatile("lmsw %0" : : "m"(words[0]));
    __asm__ volatile("movq %%cr0, %0" : "=r"(set));
    __asm__ volatile("lmsw (%0, %1, 2)" : : "r"(words), "r"(1ull) : "memory");
    __asm__ volatile("movq %%cr0, %0" : "=r"(clear));
    expect_equal(set, (before & ~0xfull) | 0xb, "LMSW from memory sets MP and TS");
    expect_equal(clear, (before & ~0xfull) | 1, "LMSW from memory clears all but PE");
    __asm__ volatile("movq %0, %%cr0" : : "r"(before));
}

static void faults(void)
{
    uint64_t address = (uint64_t)(uintptr_t)page, cr4;

    CATCH("xorl %%edx, %%edx; xorl %%ecx, %%ecx; divl %%ecx", : : "a"(1) : "rcx", "rdx");
    expect_caught(0, 0, "divide by zero is #DE");
    CATCH("ud2", : : : "memory");
    expect_caught(6, 0, "UD2 is #UD");
    expect_equal(guest_caught.rip, guest_insn, "#UD names the instruction");
    CATCH("movw %w0, %%ds", : : "r"(0x1230) : "memory");
    expect_caught(13, 0x1230, "a selector past the GDT is #GP(selector)");
    CATCH("movq (%0), %%rax", : : "r"(0x8000000000000000ull) : "rax");
    expect_caught(13, 0, "a non-canonical address is #GP(0)");
    __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
    if (!guest_on_plain_tcg()) {  // which takes any bit
        CATCH("movq %0, %%cr4", : : "r"(cr4 | 1ull << 63) : "memory");
        expect_caught(13, 0, "a reserved bit of CR4 is #GP(0)");
    }
    CATCH("movq (%0), %%rax", : : "r"(HOLE + 0x123) : "rax");
    expect_caught(14, 0, "reading a hole is #PF, error 0");
    expect_equal(guest_caught.cr2, HOLE + 0x123, "CR2 of the read");
    expect_equal(guest_caught.rip, guest_insn, "#PF names the instruction");
    CATCH("movb $1, (%0)", : : "r"(HOLE + 0x456) : "memory");
    expect_caught(14, 2, "writing a hole is #PF, error 2");
    expect_equal(guest_caught.cr2, HOLE + 0x456, "CR2 of the write");
    guest_map(HOLE, address | PTE_PRESENT);
    CATCH("movb $1, (%0)", : : "r"(HOLE + 0x10) : "memory");
    expect_caught(14, 3, "writing a read-only page is #PF, error 3");
    guest_map(HOLE, address | PTE_PRESENT | PTE_WRITE | PTE_NX);
    CATCH("movb $0xc3, (%0)", : : "r"(HOLE) : "memory");
    expect_no_fault("writing a mapped page");
    expect_equal((uint8_t)page[0], 0xc3, "the write went through the mapping");
    CATCH("jmp *%0", : : "r"(HOLE) : "memory");
    expect_caught(14, 0x11, "running a page that forbids it is #PF, error 11");
    guest_map(HOLE, 0);
}

static void traps(void)
{
    guest_on(3, on_interrupt);
    __asm__ volatile("int3\n1:\tmovq $1b, %0" : "=m"(guest_insn));
    guest_on(3, NULL);
    expect_equal(interrupts, 1, "INT3 is #BP");
    expect_equal(trap_rip, guest_insn, "#BP returns behind the instruction");
    guest_on(0x77, on_interrupt);
    __asm__ volatile("int $0x77\n1:\tmovq $1b, %0" : "=m"(guest_insn));
    guest_on(0x77, NULL);
    expect_equal(interrupts, 2, "INT 77h arrives");
    expect_equal(trap_rip, guest_insn, "INT n returns behind the instruction");
    guest_on(1, on_step);
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop\n1:\tnop; movq $1b, %0"
                     : "=m"(guest_insn)
                     :
                     : "memory");
    expect_equal(steps, 3, "TF steps one instruction each");
    expect_equal(trap_rip, guest_insn + 1, "and #DB comes behind it");
    steps = 0;
    __asm__ volatile("movq %0, %%dr6" : : "r"(0xffff0ff0ull));
    // CPUID exits to a hypervisor, which must not lose the step.
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; cpuid\n1:\tnop; movq $1b, %0"
                     : "=m"(guest_insn)
                     : "a"(0)
                     : "rbx", "rcx", "rdx", "memory");
    expect_equal(steps, 3, "TF steps over CPUID as well");
    expect_equal(step_bits, 6, "DR6 says so each time");
    expect_equal(trap_rip, guest_insn + 1, "and nothing is skipped");
    guest_on(1, NULL);
}

static void debug_registers(void)
{
    static volatile uint64_t watched;
    uint64_t dr6 = 0xffff0ff0;

    guest_on(1, on_interrupt);
    __asm__ volatile("movq %0, %%dr6" : : "r"(dr6));
    interrupts = 0;
    __asm__ volatile("movq %0, %%dr0" : : "r"(&watched));
    __asm__ volatile("movq %0, %%dr7" : : "r"(0x90402ull));  // G0, 8 bytes, write
    watched = 1;
    __asm__ volatile("movq %0, %%dr7" : : "r"(0x400ull));
    guest_on(1, NULL);
    expect_equal(interrupts, 1, "a data breakpoint is #DB");
    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    expect_equal(dr6 & 0xe00f, 1, "DR6 says breakpoint 0");
    __asm__ volatile("movq %0, %%dr6" : : "r"(0xffff0ff0ull));
    steps = step_bits = 0;
    guest_on(1, on_step);
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop; nop" : : : "memory");
    guest_on(1, NULL);
    expect_equal(step_bits, 3, "DR6 says single step");
}

void guest_main(void)
{
    faults();
    lmsw();
    traps();
    debug_registers();
    guest_gate_present(14, false);
    CATCH("movq (%0), %%rax", : : "r"(HOLE) : "rax");
    guest_gate_present(14, true);
    expect_caught(8, 0, "#PF without a gate is #DF");
}
