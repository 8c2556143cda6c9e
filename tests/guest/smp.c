// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/smp.c -- starts the other processors, counts with all of them, plays IPI ping-pong.
 */
#include "guest.h"

const char guest_name[] = "smp";

#define ROUNDS     100u
#define INCREMENTS 5000u

static volatile unsigned arrived, total, pongs, go;
static volatile unsigned pings[GUEST_CPUS_MAX];
static volatile uint64_t newest;  // time stamp so far

/* Called by one after the other, each after the one before it in any clock. */
static void stamp(void)
{
    const uint64_t now = rdtsc();

    expect(now >= newest, "time stamps go up from processor to processor");
    newest = now;
}

static void on_ping(struct guest_frame *frame)
{
    uint32_t self = apic_id();

    (void)frame;
    stamp();
    for (unsigned i = 1; i < GUEST_CPUS_MAX; i++)
        if (guest_apic_ids[i] == self)
            pings[i]++;
    apic_eoi();
    apic_send(guest_apic_ids[0], 0x61);
}

static void on_pong(struct guest_frame *frame)
{
    (void)frame;
    stamp();
    pongs++;
    apic_eoi();
}

static void count(void)
{
    for (unsigned i = 0; i < INCREMENTS; i++)
        __atomic_add_fetch(&total, 1, __ATOMIC_SEQ_CST);
}

static void other(unsigned number)
{
    (void)number;
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    while (!go)
        __asm__ volatile("pause");
    count();
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
    unsigned cpus;

    apic_enable();
    guest_on(0x60, on_ping);
    guest_on(0x61, on_pong);
    cpus = guest_start_others(other);
    guest_printf("cpus %u\n", cpus);
    while (arrived != cpus - 1)
        __asm__ volatile("pause");
    go = 1;
    count();
    while (arrived != 2 * (cpus - 1))
        __asm__ volatile("pause");
    expect_equal(total, cpus * INCREMENTS, "no locked increment is lost");
    for (unsigned i = 1; i < cpus; i++) {
        for (unsigned j = 0; j < i; j++)
            expect(guest_apic_ids[i] != guest_apic_ids[j], "APIC ids differ");
        pongs = 0;
        for (unsigned round = 1; round <= ROUNDS; round++) {
            apic_send(guest_apic_ids[i], 0x60);
            while (pongs < round)
                wait_irq();
        }
        expect_equal(pings[i], ROUNDS, "every ping arrived");
    }
}
