// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/bench_memory.c -- what a nested fault costs, by the state its page is in; loads for the scans.
 *
 * The host is set up so that it brings pages into one state (scripts/bench/memory.sh), and the
 * command line says which: "memory=KIND". A row is the middle one of many first touches, each
 * between two RDTSC: under QEMU's -icount shift=0 the instructions of the host for one fault,
 * and the two of the loop. The middle one, because the host takes pages while it is measured
 * and some are still there.
 *
 * "alike" and "unlike" fill memory as scripts/bench/ksm.c does and wait while the host scans
 * it; "work" is a load of fixed size whose time is compared with tracking on and off.
 */
#include "guest.h"

const char guest_name[] = "bench_memory";

#define PAGE    4096u
#define TOUCHES 512u
#define WORDS   512u
#define SCANNED 16384u  // pages; as in scripts/bench/ksm.c
#define FAULT   150u    // ticks: a touch that takes longer left the guest

static uint32_t costs[TOUCHES];

static void report(const char *name, uint64_t value)
{
    guest_printf("bench %s %u\n", name, (unsigned)value);
}

static void wait_ticks(uint64_t ticks)
{
    uint64_t start = rdtsc();

    while (rdtsc() - start < ticks)
        __asm__ volatile("pause");
}

/* The middle one of `count` costs. */
static void report_middle(const char *row, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = i; k && costs[k - 1] > costs[k]; k--) {
            uint32_t other = costs[k];

            costs[k] = costs[k - 1];
            costs[k - 1] = other;
        }
    }
    expect(count >= 16, "enough touches to tell the middle one");
    report(row, count ? costs[count / 2] : 0);
}

static uint32_t touch(uint64_t at)
{
    uint64_t start = rdtsc();

    *(volatile uint8_t *)(uintptr_t)at = 1;
    return (uint32_t)(rdtsc() - start);
}

static void touches(const char *row, uint64_t at, unsigned count, uint64_t step)
{
    for (unsigned i = 0; i < count; i++)
        costs[i] = touch(at + i * step);
    report_middle(row, count);
}

static uint64_t mixed(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/*
 * A page of its own. `noise` words of each eight are random: 2 packs to less than half, 8 does
 * not pack.
 */
static void fill(uint64_t at, uint64_t seed, unsigned noise)
{
    uint64_t *words = (uint64_t *)(uintptr_t)at, state = (seed + 1) * 0x9e3779b97f4a7c15ull;

    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t random = mixed(&state);

        words[i] = i % 8 < noise ? random : i / 8 % 5;
    }
}

static void reclaimed(const char *row, uint64_t at, unsigned pages, unsigned noise)
{
    for (unsigned i = 0; i < pages; i++)
        fill(at + (uint64_t)i * PAGE, i, noise);
    wait_ticks(900000000u);
    touches(row, at, TOUCHES, PAGE);
}

/* ---- kinds ---- */

static void large(uint64_t at)
{
    touches("fresh_2mb", at, 16, 2u << 20);
}

static void small(uint64_t at)
{
    touches("fresh_4kb", at, TOUCHES, PAGE);
    wait_ticks(400000000u);  // they are equal: the host shares them
    touches("share_break", at + 8, TOUCHES, PAGE);
}

static void zero(uint64_t at)
{
    for (unsigned i = 0; i < TOUCHES; i++)
        (void)*(volatile uint8_t *)(uintptr_t)(at + i * PAGE);
    wait_ticks(400000000u);
    touches("zero_share_break", at, TOUCHES, PAGE);
}

static void compressed(uint64_t at)
{
    reclaimed("compressed", at, 1024, 2);
}

static void swapped(uint64_t at)
{
    reclaimed("swapped", at, 1024, 8);
}

static uint32_t balloon(uint64_t command, uint64_t argument, uint64_t *result)
{
    uint64_t a = 0x456c6d6f, b = argument, c = command;

    __asm__ volatile("inl %%dx, %%eax"
                     : "+a"(a), "+b"(b), "+c"(c)
                     : "d"(0x5670), "S"(0)
                     : "memory");
    if (result)
        *result = b;
    return (uint32_t)a;
}

static void ballooned(uint64_t at)
{
    uint64_t target = 0;
    unsigned locked = 0;

    for (unsigned i = 0; i < TOUCHES; i++)
        (void)touch(at + i * PAGE);
    expect_equal(balloon(0, 2, NULL), 0, "the balloon starts, one page at a time");
    for (unsigned i = 0; i < 100 && target < TOUCHES; i++) {
        wait_ticks(50000000u);
        (void)balloon(1, guest_memory_end() / PAGE, &target);
    }
    expect(target >= TOUCHES, "the host wants pages");
    for (unsigned i = 0; i < TOUCHES; i++)
        locked += balloon(2, at / PAGE + i, NULL) == 0;
    expect_equal(locked, TOUCHES, "pages in the balloon");
    touches("ballooned", at, TOUCHES, PAGE);
}

/* Some of them are unmapped now and then: whoever touches one takes a fault. */
static void sampled(uint64_t at)
{
    unsigned found = 0;

    for (unsigned i = 0; i < 2048; i++)
        (void)touch(at + i * PAGE);
    for (unsigned sweep = 0; sweep < 100 && found < TOUCHES; sweep++) {
        wait_ticks(15000000u);
        for (unsigned i = 0; i < 2048 && found < TOUCHES; i++) {
            uint32_t cost = touch(at + i * PAGE);

            if (cost > FAULT)
                costs[found++] = cost;
        }
    }
    report_middle("sampled", found);
}

static void unlike(uint64_t at)
{
    for (unsigned i = 0; i < SCANNED; i++)
        fill(at + (uint64_t)i * PAGE, i, 8);
    wait_ticks(1500000000u);
    report("scanned_pages", SCANNED);
}

/* A quarter zero, a quarter equal in pairs, half unlike all others. */
static void alike(uint64_t at)
{
    for (unsigned i = 0; i < SCANNED; i++) {
        uint64_t seed = i % 8 == 6 ? i - 4u : i;

        if (i % 4 == 0)
            (void)*(volatile uint8_t *)(uintptr_t)(at + (uint64_t)i * PAGE);
        else
            fill(at + (uint64_t)i * PAGE, seed, 8);
    }
    wait_ticks(1500000000u);
    report("scanned_pages", SCANNED);
}

/* Every line of 32 MB is read and written, again and again: "memory=work:ROUNDS". */
static void work(uint64_t at)
{
    const char *text = guest_command_line();
    uint64_t start = 0, rounds = 0, sum = 0;

    while (*text && *text != ':')
        text++;
    while (*text && *++text >= '0' && *text <= '9')
        rounds = rounds * 10 + (uint64_t)(*text - '0');
    for (uint64_t round = 0; round <= rounds; round++) {
        if (round == 1)
            start = rdtsc();  // the first makes the pages
        for (uint64_t i = 0; i < (32u << 20); i += 64) {
            volatile uint64_t *line = (volatile uint64_t *)(uintptr_t)(at + i);

            sum = (sum ^ *line) * 5 + round;
            *line = sum;
        }
    }
    report("work_kticks", (rdtsc() - start) / 1000);
}

void guest_main(void)
{
    static const struct {
        const char *word;
        void (*run)(uint64_t at);
    } kinds[] = {
        {"memory=large", large},     {"memory=small", small},
        {"memory=zero", zero},       {"memory=compressed", compressed},
        {"memory=swapped", swapped}, {"memory=ballooned", ballooned},
        {"memory=sampled", sampled}, {"memory=unlike", unlike},
        {"memory=alike", alike},     {"memory=work", work},
    };
    uint64_t at = ((uint64_t)(uintptr_t)guest_end + 0x9fffff) & ~0x1fffffull;
    bool found = false;

    guest_printf("hypervisor '%s'\n", guest_hypervisor());
    apic_enable();
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !found; i++) {
        found = guest_has_word(kinds[i].word);
        if (found)
            kinds[i].run(at);
    }
    expect(found, "the command line has memory=KIND, and this kind is known");
}
