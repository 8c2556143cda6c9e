// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/reclaim.c -- memory holds what was written to it while the host shares and samples it.
 *
 * Each processor owns some pages and writes them again and again: all zero, a pattern that many
 * pages have, or one that no other has, so that pages become equal, are shared and part again.
 * What a page must hold follows from its number and the round, and is read back later. Pairs of
 * processors also pass messages: whoever sees a new number must see the data written before it,
 * on another page, which a stale translation would break.
 */
#include "guest.h"

const char guest_name[] = "reclaim";

#define PAGES    192u  // of each processor
#define ROUNDS   60u
#define MESSAGES 400u
#define WORDS    512u

static volatile unsigned arrived, finished, stale, wrong;
static uint8_t *pages;

static uint64_t *page_of(unsigned cpu, unsigned page)
{
    return (uint64_t *)(void *)(pages + ((uint64_t)cpu * PAGES + page) * 4096);
}

/* What its words are made of: 0, one of four, or its own. */
static uint64_t content(unsigned cpu, unsigned page, unsigned round)
{
    uint64_t mix = (page * 2654435761u + round * 40503u + cpu) >> 7;

    switch (mix % 4) {
    case 0: return 0;
    case 1: return 0x1111111111111111ull * (1 + mix % 3);
    case 2: return ((uint64_t)cpu << 40 | (uint64_t)round << 20 | page) * 0x100000001ull;
    default: return UINT64_MAX;  // stays as it was
    }
}

static uint64_t expected(unsigned cpu, unsigned page, unsigned round)
{
    while (round && content(cpu, page, round) == UINT64_MAX)
        round--;
    return round ? content(cpu, page, round) : 0;
}

static void work(unsigned cpu)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < PAGES; i++) {
            volatile uint64_t *p = page_of(cpu, i);
            uint64_t is = expected(cpu, i, round - 1), next = content(cpu, i, round);

            for (unsigned w = i % 7; w < WORDS; w += 37) {
                if (p[w] != is)
                    __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
            }
            for (unsigned w = 0; next != UINT64_MAX && w < WORDS; w++)
                p[w] = next;
        }
    }
}

/* Processor 0 writes, 1 looks; both pages are zero now and then. */
static void send(void)
{
    volatile uint64_t *data = page_of(GUEST_CPUS_MAX, 0), *flag = page_of(GUEST_CPUS_MAX, 1);

    for (unsigned n = 1; n <= MESSAGES; n++) {
        data[100] = n;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        flag[7] = n;
        while (flag[300] != n)
            __asm__ volatile("pause");
        data[100] = 0;
        flag[7] = 0;
        flag[300] = 0;
        for (unsigned i = 0; i < 3000; i++)
            __asm__ volatile("pause");
    }
}

static void receive(void)
{
    volatile uint64_t *data = page_of(GUEST_CPUS_MAX, 0), *flag = page_of(GUEST_CPUS_MAX, 1);

    for (unsigned n = 1; n <= MESSAGES; n++) {
        while (flag[7] != n)
            __asm__ volatile("pause");
        if (data[100] != n)
            __atomic_add_fetch(&stale, 1, __ATOMIC_SEQ_CST);
        flag[300] = n;
    }
}

static void other(unsigned number)
{
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    work(number);
    if (number == 1)
        receive();
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void guest_main(void)
{
    unsigned cpus;

    apic_enable();
    pages = (uint8_t *)(((uintptr_t)guest_end + 0x3fffff) & ~0x1fffffull);
    cpus = guest_start_others(other);
    guest_printf("cpus %u\n", cpus);
    work(0);
    if (cpus > 1)
        send();
    while (finished != cpus - 1)
        __asm__ volatile("pause");
    expect_equal(wrong, 0, "every page holds what was written");
    expect_equal(stale, 0, "who sees the number sees the data");
}
