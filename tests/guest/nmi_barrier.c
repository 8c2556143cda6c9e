// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/nmi_barrier.c -- processors that wait for each other in HLT and are woken by NMIs alone.
 *
 * The last to arrive sends one NMI to each that waits. An NMI may come before the HLT it is
 * meant for: the handler steps over one that has not been executed yet, as memory testers do.
 * So every NMI counts: one too many lets a processor pass a barrier early, and one too few
 * stops the guest.
 */
#include "guest.h"

const char guest_name[] = "nmi_barrier";

#define ICR_NMI 0x4400u
#define ROUNDS  300u

static volatile unsigned count, wanted, ready;
static volatile bool waiting[GUEST_CPUS_MAX];
static volatile unsigned round_of[GUEST_CPUS_MAX], early, taken[GUEST_CPUS_MAX];
static volatile unsigned sent[GUEST_CPUS_MAX];

static unsigned self(void)
{
    uint32_t id = apic_id();

    for (unsigned i = 0; i < wanted; i++)
        if (guest_apic_ids[i] == id)
            return i;
    return 0;
}

static void on_nmi(struct guest_frame *frame)
{
    taken[self()]++;
    if (*(const uint8_t *)(uintptr_t)frame->rip == 0xf4)
        frame->rip++;
}

static void barrier(unsigned me)
{
    bool last;

    waiting[me] = true;
    // Nothing may come between the test and the HLT but the jump, which the handler need not
    // know.
    __asm__ volatile("lock decl %0\n\t"
                     "je 1f\n\t"
                     "hlt\n\t"
                     "1: sete %1"
                     : "+m"(count), "=q"(last)
                     :
                     : "memory", "cc");
    if (!last)
        return;
    waiting[me] = false;
    count = wanted;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < wanted; i++) {
        if (!waiting[i])
            continue;
        waiting[i] = false;
        __atomic_add_fetch(&sent[i], 1, __ATOMIC_SEQ_CST);
        apic_send(guest_apic_ids[i], ICR_NMI);
    }
}

static void rounds(unsigned me)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        round_of[me] = round;
        barrier(me);
        for (unsigned i = 0; i < wanted; i++)
            if (round_of[i] < round)
                early++;
        for (unsigned i = 0; i < (round * 7 + me * 13) % 64; i++)
            __asm__ volatile("pause");
    }
}

static void other(unsigned number)
{
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (!wanted)
        __asm__ volatile("pause");
    rounds(number);
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
    unsigned cpus;

    apic_enable();
    guest_on(2, on_nmi);
    guest_gate_stack(2, 0);
    cpus = guest_start_others(other);
    guest_printf("cpus %u\n", cpus);
    while (ready != cpus - 1)
        __asm__ volatile("pause");
    count = cpus;
    wanted = cpus;
    rounds(0);
    while (ready != 2 * (cpus - 1))
        __asm__ volatile("pause");
    expect_equal(early, 0, "nobody passes before all have arrived");
    for (unsigned i = 0; i < cpus; i++)
        expect_equal(taken[i], sent[i], "as many NMIs taken as sent");
}
