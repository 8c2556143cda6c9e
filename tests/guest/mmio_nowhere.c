// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/mmio_nowhere.c -- memory that is nobody's reads ones; every kind of access to a device.
 *
 * The APIC timer's initial count, masked, serves as a 32-bit cell that holds what is written,
 * so that read-modify-write instructions can be judged by their result and their flags: the
 * same instruction on RAM is the reference.
 */
#include "guest.h"

const char guest_name[] = "mmio_nowhere";

#define NOWHERE 0xd0000000ull
#define CELL    (0xfee00000ull + APIC_TIMER_INITIAL)
#define FLAGS   0x8d5ull  // OF SF ZF AF PF CF

static volatile uint32_t *const cell = (volatile uint32_t *)(uintptr_t)CELL;

/* Runs `text` with %0 the operand and %1 a register, on RAM and on the device; compares. */
#define BOTH(text, start, operand)                                                             \
    do {                                                                                       \
        uint32_t ram = (start);                                                                \
        uint64_t flags[2], reg[2] = {(operand), (operand)}, rax[2] = {0x5555, 0x5555};         \
        uint32_t *places[2] = {&ram, (uint32_t *)(uintptr_t)CELL};                             \
                                                                                               \
        *cell = (start);                                                                       \
        for (unsigned i_ = 0; i_ < 2; i_++)                                                    \
            __asm__ volatile("stc\n\t" text "\n\tpushfq\n\tpopq %0"                            \
                             : "=&r"(flags[i_]), "+r"(reg[i_]), "+a"(rax[i_])                  \
                             : "r"(places[i_])                                                 \
                             : "memory", "cc");                                                \
        expect_equal(*cell, ram, text " result");                                              \
        expect_equal(reg[1], reg[0], text " register");                                        \
        expect_equal(rax[1], rax[0], text " rax");                                             \
        expect_equal(flags[1] & FLAGS, flags[0] & FLAGS, text " flags");                       \
    } while (0)

static void nowhere(void)
{
    volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)NOWHERE;

    expect_equal(*p, 0xff, "8 bits of nowhere");
    expect_equal(*(volatile uint16_t *)p, 0xffff, "16 bits");
    expect_equal(*(volatile uint32_t *)(p + 4), 0xffffffff, "32 bits");
    expect_equal(*(volatile uint64_t *)(p + 8), UINT64_MAX, "64 bits");
    *(volatile uint32_t *)(p + 4) = 0;
    expect_equal(*(volatile uint32_t *)(p + 4), 0xffffffff, "a write changes nothing");
    expect_equal(*(volatile uint32_t *)(p + 4094), 0xffffffff, "across a page");
}

static void moves(void)
{
    uint32_t ram[4] = {0x12345678, 0, 0, 0};
    uint64_t value = 0, rdi, rsi, rcx;

    *cell = 0x89abcdef;
    __asm__ volatile("movl (%1), %k0" : "=r"(value) : "r"(cell) : "memory");
    expect_equal(value, 0x89abcdef, "MOV from a device");
    __asm__ volatile("movslq (%1), %0" : "=r"(value) : "r"(cell) : "memory");
    expect_equal(value, 0xffffffff89abcdefull, "MOVSXD from a device");
    __asm__ volatile("movabsl 0xfee00380, %%eax" : "=a"(value) : : "memory");
    expect_equal((uint32_t)value, 0x89abcdef, "MOV EAX, moffs");
    __asm__ volatile("movabsl %%eax, 0xfee00380" : : "a"(0x1234) : "memory");
    expect_equal(*cell, 0x1234, "MOV moffs, EAX");
    __asm__ volatile("movl $0x77665544, (%0)" : : "r"(cell) : "memory");
    expect_equal(*cell, 0x77665544, "MOV with an immediate");
    rsi = (uint64_t)(uintptr_t)ram;
    rdi = CELL;
    __asm__ volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
    expect_equal(*cell, 0x12345678, "MOVS to a device");
    rsi = CELL;
    rdi = (uint64_t)(uintptr_t)&ram[2];
    rcx = 1;
    __asm__ volatile("rep movsl" : "+S"(rsi), "+D"(rdi), "+c"(rcx) : : "memory");
    expect_equal(ram[2], 0x12345678, "REP MOVS from a device");
    expect_equal(rsi, CELL + 4, "its source pointer");
    expect_equal(rcx, 0, "its count");
    rdi = CELL;
    __asm__ volatile("stosl" : "+D"(rdi) : "a"(42) : "memory");
    expect_equal(*cell, 42, "STOS to a device");
    rsi = CELL;
    __asm__ volatile("lodsl" : "+S"(rsi), "=a"(value) : : "memory");
    expect_equal((uint32_t)value, 42, "LODS from a device");
    rdi = NOWHERE;
    rcx = 3000;
    __asm__ volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(1) : "memory");
    expect_equal(rdi, NOWHERE + 12000, "a long REP STOS to nowhere");
    __asm__ volatile("pushq %%rax; popq %%rax; pushq (%1); popq %0"
                     : "=r"(value)
                     : "r"(NOWHERE)
                     : "memory");
    expect(value == UINT64_MAX || guest_on_plain_tcg(), "PUSH from nowhere");
    // The cell has 4 bytes, and those behind it read as zero.
    __asm__ volatile("leaq 1f(%%rip), %%rax; movl %%eax, (%1); callq *(%1); jmp 2f;"
                     "1: movl $77, %k0; leaq 3f(%%rip), %%rax; movl %%eax, (%1); jmpq *(%1);"
                     "movl $78, %k0; 3: ret; 2:"
                     : "+r"(value)
                     : "r"(cell)
                     : "rax", "memory");
    expect_equal(value, 77, "CALL and JMP through a device");
}

/* Runs `text` with %0 the aligned `from`, %1 the cell, %2 the aligned `to`. */
#define MOVE(text) __asm__ volatile(text : : "r"(from), "r"(cell), "r"(to) : "memory")

/* Wide moves; the cell has 4 bytes in 16, and what is beside them reads as zero. */
static void wide_moves(void)
{
    static uint32_t from[8] __attribute__((aligned(32))) = {0x11111111, 0x22222222, 3, 4, 5};
    static uint32_t to[8] __attribute__((aligned(32)));
    uint32_t low = 0x7654321, high = 0;
    uint64_t value = 0;
    uint8_t zero;

    MOVE("movdqu (%0), %%xmm3; movdqu %%xmm3, (%1)");
    expect_equal(*cell, 0x11111111, "MOVDQU to a device");
    MOVE("movdqa (%1), %%xmm9; movups %%xmm9, (%2)");
    expect_equal(to[0], 0x11111111, "MOVDQA from a device");
    expect_equal(to[1] | to[2] | to[3], 0, "and what is beside the register");
    *cell = 0x33333333;
    MOVE("movaps (%0), %%xmm1; movss (%1), %%xmm1; movaps %%xmm1, (%2)");
    expect_equal(to[0], 0x33333333, "MOVSS from a device");
    expect_equal(to[1] | to[2], 0, "zeroes the rest");
    MOVE("movaps (%0), %%xmm1; movhps (%1), %%xmm1; movaps %%xmm1, (%2)");
    expect_equal(to[2], 0x33333333, "MOVHPS from a device");
    expect_equal(to[1], 0x22222222, "keeps the low half");
    CATCH("movaps %%xmm1, 4(%0)", : : "r"(cell) : "memory");
    expect_caught(13, 0, "MOVAPS wants its alignment");
    *cell = 0x12345678;
    __asm__ volatile("movq (%0), %%mm2; movq %%mm2, (%1); movd %%mm2, %%eax; emms"
                     :
                     : "r"(cell), "r"(to)
                     : "rax", "memory");
    expect_equal(to[0], 0x12345678, "MOVQ from a device");
    expect_equal(to[1], 0, "and what is beside the register");
    __asm__ volatile("movq (%0), %%mm7; movd %%mm7, (%1); emms"
                     :
                     : "r"(from), "r"(cell)
                     : "memory");
    expect_equal(*cell, 0x11111111, "MOVD to a device");
    *cell = 0xc0490fdb;  // a float, or an integer
    __asm__ volatile("fninit; flds (%0); fstps (%1); fildl (%0); fistpl 4(%1)"
                     :
                     : "r"(cell), "r"(to)
                     : "memory");
    expect_equal(to[0], 0xc0490fdb, "FLD from a device");
    expect_equal(to[1], 0xc0490fdb, "FILD from a device");
    __asm__ volatile("fld1; fsts (%0); movl (%0), %%eax; movl %%eax, (%1); fistpl (%0)"
                     :
                     : "r"(cell), "r"(to)
                     : "rax", "memory");
    expect_equal(to[0], 0x3f800000, "FST to a device");
    expect_equal(*cell, 1, "FISTP to a device");
    *cell = 3;
    __asm__ volatile("fld1; fiaddl (%0); fimull (%0); fistpl (%0)" : : "r"(cell) : "memory");
    expect_equal(*cell, 12, "x87 arithmetic with a device");
    *cell = low;
    __asm__ volatile("lock cmpxchg8b (%3); setz %2"
                     : "+a"(low), "+d"(high), "=q"(zero)
                     : "r"(cell), "b"(0x55), "c"(0)
                     : "memory", "cc");
    expect(zero && *cell == 0x55, "CMPXCHG8B that finds what it compares");
    __asm__ volatile("lock cmpxchg8b (%3); setz %2"
                     : "+a"(low), "+d"(high), "=q"(zero)
                     : "r"(cell), "b"(0x66), "c"(0)
                     : "memory", "cc");
    expect(!zero && low == 0x55 && *cell == 0x55, "CMPXCHG8B that does not");
    if (cpuid(1).ecx >> 22 & 1) {
        __asm__ volatile("movbel %k1, (%0)" : : "r"(cell), "r"(0x12345678) : "memory");
        expect_equal(*cell, 0x78563412, "MOVBE to a device");
        __asm__ volatile("movbel (%1), %k0" : "+r"(value) : "r"(cell) : "memory");
        expect_equal(value, 0x12345678, "MOVBE from a device");
    }
    if ((cpuid(1).ecx >> 26 & 1) && (cpuid(1).ecx >> 28 & 1)) {
        __asm__ volatile("movq %%cr4, %%rax; orq $0x40000, %%rax; movq %%rax, %%cr4;"
                         "xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $7, %%eax; xsetbv"
                         :
                         :
                         : "rax", "rcx", "rdx", "memory");
        *cell = 0x44444444;
        MOVE("vmovdqa (%0), %%ymm5; vmovd (%1), %%xmm5; vmovdqa %%ymm5, (%2)");
        expect_equal(to[0], 0x44444444, "VMOVD from a device");
        expect_equal(to[1] | to[4], 0, "zeroes all that lies above");
        MOVE("vmovdqu (%0), %%ymm5; vmovdqu %%ymm5, (%1)");
        expect_equal(*cell, 0x11111111, "VMOVDQU of 32 bytes to a device");
    }
}

/* REPE and REPNE on the cell, which is 4 bytes and 12 that read as zero. */
static void compares(void)
{
    static uint32_t like[4] = {0x11223344, 0, 0, 1};
    uint64_t rsi = (uint64_t)(uintptr_t)like, rdi = CELL, rcx = 16;
    bool below, equal;

    *cell = 0x11223344;
    __asm__ volatile("repe cmpsb"
                     : "+S"(rsi), "+D"(rdi), "+c"(rcx), "=@ccb"(below), "=@cce"(equal)
                     :
                     : "memory");
    expect(!below && !equal, "REPE CMPS of a device: where they differ");
    expect_equal(rcx, 3, "its count");
    expect_equal(rdi, CELL + 13, "its pointer");
    rdi = CELL;
    rcx = 9;
    __asm__ volatile("repne scasb"
                     : "+D"(rdi), "+c"(rcx), "=@cce"(equal)
                     : "a"(0x11)
                     : "memory");
    expect(equal && rcx == 5 && rdi == CELL + 4, "REPNE SCAS finds a device's byte");
    rdi = CELL;
    rcx = 0;
    __asm__ volatile("cmpl %%eax, %%eax; repne scasl"
                     : "+D"(rdi), "+c"(rcx), "=@cce"(equal)
                     : "a"(5)
                     : "memory");
    expect(equal && rdi == CELL, "SCAS of nothing leaves the flags");
}

static volatile unsigned steps, step_bits;

static void on_step(struct guest_frame *frame)
{
    uint64_t dr6;

    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    if (dr6 >> 14 & 1)
        step_bits++;
    __asm__ volatile("movq %0, %%dr6" : : "r"(0xffff0ff0ull));
    if (++steps == 6)
        frame->rflags &= ~0x100ull;
}

/* Traps behind a NOP, each of three elements, XOR and a NOP. */
static void stepped(void)
{
    uint64_t rdi = CELL, rcx = 3;

    guest_on(1, on_step);
    __asm__ volatile(
        "pushfq; orq $0x100, (%%rsp); popfq; nop; rep stosl; xorl %%eax, %%eax; nop"
        : "+D"(rdi), "+c"(rcx)
        : "a"(0)
        : "memory", "cc");
    expect_equal(steps, 6, "single steps through REP STOS to a device");
    expect_equal(step_bits, 6, "with BS in DR6");
    guest_on(1, NULL);
}

static void faults(void)
{
    uint64_t rdi = 0x8000000000ull;

    CATCH("movsl", : "+D"(rdi) : "S"(CELL) : "memory");
    expect_caught(14, 2, "MOVS from a device into a hole is #PF");
    expect_equal(guest_caught.rdi, 0x8000000000ull, "and moves nothing");
}

void guest_main(void)
{
    apic_enable();
    apic_write(APIC_LVT_TIMER, 0x10000);
    if (guest_on_plain_tcg()) {
        guest_printf("note: this emulator reads zeros from nowhere\n");
    } else {
        nowhere();
        compares();
    }
    moves();
    stepped();
    if (!guest_on_plain_tcg() &&
        (cpuid(1).ecx >> 26 & 1))  // the engine has no XSAVE, and no such moves
        wide_moves();
    BOTH("addl %k1, (%3)", 0x7fffffff, 1);
    BOTH("addl $-1, (%3)", 1, 0);
    BOTH("adcl %k1, (%3)", 0xffffffff, 0);
    BOTH("subl %k1, (%3)", 0x80000000, 1);
    BOTH("sbbl %k1, (%3)", 5, 5);
    BOTH("andl %k1, (%3)", 0xff00ff00, 0x0ff0);
    BOTH("orl $0x10, (%3)", 0x80000001, 0);
    BOTH("xorl %k1, (%3)", 0x1234, 0x1234);
    BOTH("cmpl %k1, (%3)", 3, 4);
    BOTH("cmpl (%3), %k1", 3, 4);
    BOTH("addl (%3), %k1", 0x80000000, 0x80000000);
    BOTH("testl %k1, (%3)", 0xf0, 0x0f);
    BOTH("testl $0x80000000, (%3)", 0x80000000, 0);
    BOTH("incl (%3)", 0xffffffff, 0);
    BOTH("decl (%3)", 0x80000000, 0);
    BOTH("notl (%3)", 0x12345678, 0);
    BOTH("negl (%3)", 0x80000000, 0);
    BOTH("xchgl %k1, (%3)", 0x1111, 0x2222);
    BOTH("lock xaddl %k1, (%3)", 0x1111, 0x2222);
    BOTH("lock cmpxchgl %k1, (%3)", 0x5555, 0x2222);
    BOTH("lock cmpxchgl %k1, (%3)", 0x6666, 0x2222);
    BOTH("roll $1, (%3)", 0x80000001, 0);
    BOTH("rcrl $1, (%3)", 0x80000001, 0);
    BOTH("shll $2, (%3); testl %%eax, %%eax", 0x80000001, 0);
    BOTH("shrdl $4, %k1, (%3); testl %%eax, %%eax", 0x80000001, 0x765);
    BOTH("imull (%3), %k1; testl %%eax, %%eax", 0xfffffffe, 5);
    BOTH("btl $5, (%3)", 0x20, 0);
    BOTH("lock btsl $7, (%3)", 0x20, 0);
    BOTH("btrl %k1, (%3)", 0x20, 5);
    BOTH("btcl $31, (%3)", 0x20, 0);
    BOTH("cmovbl (%3), %k1", 0x20, 5);
    BOTH("movnti %k1, (%3)", 0x20, 5);
    faults();
}
