// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/debug.c -- debug registers around what exits: breakpoints on ports, devices and code, general detect.
 *
 * Each sets one breakpoint, runs the instruction, and looks at where #DB came and what DR6
 * says. Last come control registers with bits that no processor has.
 */
#include "guest.h"

const char guest_name[] = "debug";

#define DR6_INIT 0xffff0ff0ull
#define DEVICE   0xfee00080ull  // the APIC's TPR
#define PORT     0x80ull

static volatile unsigned count;
static volatile uint64_t rips[4], dr6s[4], resume;
uint64_t labels[2];

static void on_debug(struct guest_frame *frame)
{
    uint64_t dr6;

    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("movq %0, %%dr6" : : "r"(DR6_INIT));
    dr6s[count % 4] = dr6 & 0xe00f;
    rips[count++ % 4] = frame->rip;
    frame->rflags |= resume;
}

static void begin(unsigned number, uint64_t address, uint64_t dr7)
{
    if (number == 0)
        __asm__ volatile("movq %0, %%dr0" : : "r"(address));
    else
        __asm__ volatile("movq %0, %%dr1" : : "r"(address));
    count = 0;
    __asm__ volatile("movq %0, %%dr7" : : "r"(dr7 | 0x400));
}

/* Turns them off; one trap must have come, behind the instruction. */
static void one_trap(uint64_t bits, const char *what)
{
    __asm__ volatile("movq %0, %%dr7" : : "r"(0x400ull));
    expect_equal(count, 1, what);
    expect_equal(rips[0], labels[0], what);
    expect_equal(dr6s[0], bits, what);
}

#define HERE "\n1:\tmovq $1b, labels\n\t"

static void devices(void)
{
    static uint32_t ram[2];
    uint64_t rsi, rdi;

    begin(0, DEVICE, 0xd0002);  // writes, 4 bytes
    __asm__ volatile("movl $0, (%0)" HERE : : "r"(DEVICE) : "memory");
    one_trap(1, "a write breakpoint on a device");
    begin(1, DEVICE, 0xf00008);  // reads and writes
    __asm__ volatile("movl (%0), %%eax" HERE : : "r"(DEVICE) : "rax", "memory");
    one_trap(2, "a read breakpoint on a device");
    rsi = DEVICE;
    rdi = (uint64_t)(uintptr_t)ram;
    begin(0, rdi, 0xd0002);
    __asm__ volatile("movsl" HERE : "+S"(rsi), "+D"(rdi) : : "memory");
    one_trap(1, "a breakpoint on where MOVS puts what it reads from a device");
    begin(0, DEVICE, 0xd0002);
    __asm__ volatile("movl (%0), %%eax" HERE : : "r"(DEVICE) : "rax", "memory");
    expect_equal(count, 0, "a write breakpoint is not for reads");
}

static void ports(void)
{
    static uint8_t buffer[4];
    uint64_t cr4, rdi = (uint64_t)(uintptr_t)buffer, rcx = 3;

    __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("movq %0, %%cr4" : : "r"(cr4 | 8));
    begin(0, PORT, 0x20002);
    __asm__ volatile("outb %%al, $0x80" HERE : : : "memory");
    one_trap(1, "a breakpoint on OUT");
    begin(1, PORT, 0x200008);
    __asm__ volatile("inb $0x80, %%al" HERE : : : "rax", "memory");
    one_trap(2, "a breakpoint on IN");
    begin(0, PORT, 0x20002);
    __asm__ volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(PORT) : "memory");
    __asm__ volatile("movq %0, %%dr7" : : "r"(0x400ull));
    if (!guest_on_plain_tcg())  // which traps behind the last alone
        expect_equal(count, 3, "a breakpoint on REP INS comes behind each");
    CATCH("movq %%dr4, %%rax", : : : "rax", "memory");
    expect_caught(6, 0, "DR4 with CR4.DE");
    __asm__ volatile("movq %0, %%cr4" : : "r"(cr4));
}

/* The handler sets RF, so the instruction goes on; it ends with the instruction. */
static void code(const char *what, void (*run)(void))
{
    resume = 0x10000;
    count = 0;
    run();
    resume = 0;
    expect_equal(count, 2, what);
    expect_equal(rips[0], labels[0], what);
    expect_equal(rips[1], labels[1], what);
    expect_equal(dr6s[0] << 4 | dr6s[1], 0x12, what);
}

#define CODE(name, text)                                                                       \
    static void name(void)                                                                     \
    {                                                                                          \
        __asm__ volatile("movq $1f, %%rax; movq %%rax, %%dr0; movq %%rax, labels\n\t"          \
                         "movq $2f, %%rax; movq %%rax, %%dr1; movq %%rax, labels+8\n\t"        \
                         "movl $0x40a, %%eax; movq %%rax, %%dr7; xorl %%eax, %%eax\n"          \
                         "1:\t" text "\n2:\tnop\n\tmovl $0x400, %%eax; movq %%rax, %%dr7"      \
                         :                                                                     \
                         : "D"(DEVICE)                                                         \
                         : "rax", "rbx", "rcx", "rdx", "memory");                              \
    }
CODE(at_cpuid, "cpuid")
CODE(at_port, "inb $0x80, %%al")
CODE(at_device, "movl (%%rdi), %%eax")

static void general_detect(void)
{
    uint64_t dr7;

    count = 0;
    __asm__ volatile("movq %0, %%dr7" : : "r"(0x2400ull));
    __asm__ volatile("1:\tmovq %0, %%dr0; movq $1b, labels" : : "r"(0ull) : "memory");
    __asm__ volatile("movq %%dr7, %0" : "=r"(dr7));
    expect_equal(count, 1, "DR7.GD");
    expect_equal(rips[0], labels[0], "is a fault at the move");
    expect_equal(dr6s[0], 0x2000, "BD says so");
    expect_equal(dr7, 0x400, "and GD is off");
}

static void reserved_bits(void)
{
    uint64_t cr3;

    __asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
    CATCH("movq %0, %%cr3", : : "r"(cr3 | 1ull << 62) : "memory");
    expect_caught(13, 0, "a reserved bit of CR3");
    CATCH("movq %0, %%cr3", : : "r"(cr3 | 1ull << (cpuid(0x80000008).eax & 0xff)) : "memory");
    expect_caught(13, 0, "an address that the processor does not have in CR3");
    CATCH("movq %0, %%dr7", : : "r"(1ull << 32) : "memory");
    expect_caught(13, 0, "a high bit of DR7");
    CATCH("movq %0, %%dr6", : : "r"(1ull << 32) : "memory");
    expect_caught(13, 0, "a high bit of DR6");
}

static volatile uint64_t user_vectors[2];

static void in_ring_3(void)
{
    CATCH("movq %%dr0, %%rax", : : : "rax", "memory");
    user_vectors[0] = guest_caught.vector;
    CATCH(".byte 0x0f, 0x01, 0xdd", : : : "memory");
    user_vectors[1] = guest_caught.vector;
}

void guest_main(void)
{
    apic_enable();
    guest_on(1, on_debug);
    __asm__ volatile("movq %0, %%dr6" : : "r"(DR6_INIT));
    devices();
    ports();
    code("code breakpoints on CPUID and behind it", at_cpuid);
    code("code breakpoints on IN and behind it", at_port);
    code("code breakpoints on a device's MOV and behind it", at_device);
    if (guest_on_plain_tcg()) {
        guest_printf("note: this emulator knows neither DR7.GD nor reserved bits of CR3\n");
        return;
    }
    // The handler itself reads DR6, which GD is not to stop.
    general_detect();
    guest_on(1, NULL);
    reserved_bits();
    guest_user_run(in_ring_3);
    expect_equal(user_vectors[0], 13, "MOV from DR0 in ring 3 is #GP");
    expect_equal(user_vectors[1], 6, "CLGI in ring 3 is #UD where there is no SVM");
}
