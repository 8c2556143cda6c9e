// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/io.c -- ports: nobody's port reads ones; INS and OUTS with counts, directions, faults.
 */
#include "guest.h"

const char guest_name[] = "io";

#define NOBODY 0x5a50
#define HOLE   0x8000000000ull

static uint8_t buffer[8192] __attribute__((aligned(4096)));

static void fill(void)
{
    for (unsigned i = 0; i < sizeof(buffer); i++)
        buffer[i] = 0x11;
}

/* Are bytes [from, to) of the buffer ones, and all others untouched? */
static bool ones_in(unsigned from, unsigned to)
{
    for (unsigned i = 0; i < sizeof(buffer); i++)
        if (buffer[i] != (i >= from && i < to ? 0xff : 0x11))
            return false;
    return true;
}

static void ins(const char *which, unsigned at, uint64_t count, uint64_t moved, unsigned from,
                unsigned to)
{
    uint64_t rdi = (uint64_t)(uintptr_t)buffer + at, rcx = count, start = rdi;

    fill();
    if (which[0] == 'b')
        __asm__ volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(NOBODY) : "memory");
    else if (which[0] == 'w')
        __asm__ volatile("rep insw" : "+D"(rdi), "+c"(rcx) : "d"(NOBODY) : "memory");
    else if (which[0] == 'd')
        __asm__ volatile("rep insl" : "+D"(rdi), "+c"(rcx) : "d"(NOBODY) : "memory");
    else
        __asm__ volatile("std; rep insw; cld" : "+D"(rdi), "+c"(rcx) : "d"(NOBODY) : "memory");
    expect_equal(rcx, 0, which);
    expect_equal(rdi - start, moved, which);
    expect(ones_in(from, to), which);
}

void guest_main(void)
{
    static const char text[] = "string output works\r\n";
    const char *rsi = text;
    uint64_t rcx = sizeof(text) - 1, rdi;

    expect_equal(inb(NOBODY), 0xff, "nobody's port, 8 bits");
    expect_equal(inw(NOBODY), 0xffff, "nobody's port, 16 bits");
    expect_equal(inl(NOBODY), 0xffffffff, "nobody's port, 32 bits");
    outl(NOBODY, 1);
    __asm__ volatile("1: inb %%dx, %%al; testb $0x20, %%al; jz 1b" : : "d"(0x3fd) : "rax");
    __asm__ volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(0x3f8) : "memory");
    expect_equal(rcx, 0, "OUTSB counts down");
    expect_equal((uint64_t)(rsi - text), sizeof(text) - 1, "OUTSB moves on");

    ins("b none", 16, 0, 0, 16, 16);
    ins("b", 16, 100, 100, 16, 116);
    ins("w", 16, 100, 200, 16, 216);
    ins("d", 16, 100, 400, 16, 416);
    ins("d over a page", 4090, 3, 12, 4090, 4102);
    ins("d two pages", 0, 2048, 8192, 0, 8192);
    ins("s down", 4100, 5, (uint64_t)-10, 4092, 4102);

    guest_map(HOLE, (uint64_t)(uintptr_t)buffer | PTE_PRESENT | PTE_WRITE);
    fill();
    rdi = HOLE + 4096 - 12;
    CATCH("rep insl", : "+D"(rdi) : "c"(20), "d"(NOBODY) : "memory");
    expect_caught(14, 2, "INS into a hole is #PF");
    expect_equal(guest_caught.cr2, HOLE + 4096, "its CR2");
    expect_equal(guest_caught.rcx, 17, "its count");
    expect_equal(guest_caught.rdi, HOLE + 4096, "its pointer");
    expect_equal(guest_caught.rip, guest_insn, "its RIP");
    expect(ones_in(4084, 4096), "what was read before the fault is there");
    rsi = (const char *)(HOLE + 4096);
    CATCH("outsb", : "+S"(rsi) : "d"(NOBODY) : "memory");
    expect_caught(14, 0, "OUTS from a hole is #PF");
    guest_map(HOLE, 0);

    // 32-bit addresses: the top half of RDI and RCX counts for nothing and is cleared.
    fill();
    rdi = (uint64_t)(uintptr_t)buffer | 0x700000000ull;
    rcx = 0x500000004ull;
    __asm__ volatile(".byte 0x67\n\trep insb" : "+D"(rdi), "+c"(rcx) : "d"(NOBODY) : "memory");
    expect_equal(rcx, 0, "ECX counts with 32-bit addresses");
    expect_equal(rdi, (uint64_t)(uintptr_t)buffer + 4, "EDI points with 32-bit addresses");
    expect(ones_in(0, 4), "where EDI points");
}
