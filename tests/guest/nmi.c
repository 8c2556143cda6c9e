// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/nmi.c -- NMIs: masked until IRET, one remembered, and that one taken right behind the IRET.
 */
#include "guest.h"

const char guest_name[] = "nmi";

#define ICR_NMI 0x4400u

static volatile unsigned count, depth, deepest, again;
static uint32_t self;
static volatile uint64_t flags_seen, debug_traps;
static volatile uint64_t wrong_cs;  // for the next frame

static void on_nmi(struct guest_frame *frame)
{
    depth++;
    deepest = depth > deepest ? depth : deepest;
    count++;
    flags_seen |= frame->rflags;
    if (again) {
        again--;
        apic_send(self, ICR_NMI);
        apic_send(self, ICR_NMI);  // one is remembered, not two
        for (unsigned i = 0; i < 10; i++)
            __asm__ volatile("nop");
    }
    if (wrong_cs)
        frame->cs = wrong_cs;
    wrong_cs = 0;
    depth--;
}

static void on_debug(struct guest_frame *frame)
{
    debug_traps++;
    frame->rflags &= ~0x100ull;
}

/* Sends itself an NMI; the handlers' count as the very next instructions see it. */
static unsigned send(unsigned more)
{
    unsigned seen;

    count = depth = deepest = 0;
    again = more;
    apic_send(self, ICR_NMI);
    /* An NMI may arrive a few instructions late; the one behind an IRET may not. */
    while (!count)
        ;
    seen = count;
    return seen;
}

/*
 * The IRET of an NMI faults while another waits: the other comes all the same, and nobody
 * steps.
 */
static void iret_faults(void)
{
    guest_gate_stack(2, 0);  // the second may come on top of the first one's frame
    count = 0;
    again = 1;
    wrong_cs = 0xfff8;
    guest_caught.count = 0;
    apic_write(APIC_ICR_HIGH, self << 24);
    __asm__ volatile("movq %%rsp, %%r12; movq $2f, guest_recover\n\t"
                     "movl $0xfee00300, %%eax; movl $0x4400, (%%rax)\n"
                     "1:\tpause; jmp 1b\n"
                     "2:\tmovq %%r12, %%rsp; movq $0, guest_recover"
                     :
                     :
                     : "rax", "r12", "memory", "cc");
    expect_caught(13, 0xfff8, "an IRET to a selector beyond the GDT faults");
    expect_equal(guest_caught.rflags & 0x100, 0, "its frame has no trap flag");
    while (count < 2)
        ;
    expect_equal(count, 2, "and the NMI that waited comes");
    expect_equal(debug_traps, 0, "without a debug trap");
    guest_gate_stack(2, 1);
}

void guest_main(void)
{
    self = cpuid(1).ebx >> 24;
    guest_on(2, on_nmi);
    guest_on(1, on_debug);
    expect_equal(send(0), 1, "one NMI");
    expect_equal(send(1), 2, "an NMI sent while one is handled comes right behind its IRET");
    expect_equal(deepest, 1, "an NMI does not interrupt the handler of another");
    expect_equal(send(5), 6, "five times in a row");
    expect_equal(deepest, 1, "none of them nested");
    expect_equal(flags_seen & 0x100, 0, "no trap flag leaks into the frame");
    expect_equal(debug_traps, 0, "no debug trap is seen");
    expect_equal(rdmsr(0xc0000080) >> 10 & 1, 1, "still in long mode");

    iret_faults();

    /* A guest that steps through its own code keeps its trap. */
    count = 0;
    again = 1;
    apic_send(self, ICR_NMI);
    while (count < 2)
        ;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop" : : : "memory", "cc");
    expect_equal(debug_traps, 1, "a step of the guest's own is its own");
}
