// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/lapic.c -- the local APIC by the manual's rules: modes, errors, priorities, timer modes, messages, and
 * string instructions that run into its page.
 */
#include "guest.h"

const char guest_name[] = "lapic";

#define BASE_MSR   0x1bu
#define DEADLINE   0x6e0u
#define PAGE       0xfee00000ull
#define OTHER_PAGE 0xfed40000ull
#define EN         0x800ull
#define EXTD       0x400ull
#define ESR        0x280u
#define LVT_ERROR  0x370u
#define LVT_LINT1  0x360u
#define LVT_PMC    0x340u
#define MASKED     0x10000u
#define PERIODIC   0x20000u
#define TSC_MODE   0x40000u
#define LOGICAL    0x800u
#define LOWEST     0x100u
#define NMI        0x400u
#define ALL        0x80000u
#define WINDOW     0x8000000000ull  // pages for the string instructions

static volatile unsigned counts[256], nmis, in_handler;
static volatile uint32_t ppr_seen, esr_seen;
static unsigned order[4];
static volatile unsigned order_count, started_count;
static uint32_t self;

static void on_vector(struct guest_frame *frame)
{
    __atomic_add_fetch(&counts[frame->vector], 1, __ATOMIC_SEQ_CST);  // of both processors
    if (order_count < 4)
        order[order_count++] = (unsigned)frame->vector;
    apic_eoi();
}

static void on_error(struct guest_frame *frame)
{
    (void)frame;
    counts[0xfe]++;
    apic_eoi();
}

/* Sends others while it is in service, with interrupts on. */
static void on_nesting(struct guest_frame *frame)
{
    counts[frame->vector]++;
    ppr_seen = apic_read(APIC_PPR);
    apic_send(0, ICR_SELF | 0x55);
    apic_send(0, ICR_SELF | 0x6f);
    apic_send(0, ICR_SELF | 0x71);
    irqs_on();
    __asm__ volatile("nop; nop");
    irqs_off();
    in_handler = counts[0x71] << 8 | counts[0x6f] << 4 | counts[0x55];
    apic_eoi();
}

static void on_nmi(struct guest_frame *frame)
{
    (void)frame;
    __atomic_add_fetch(&nmis, 1, __ATOMIC_SEQ_CST);
}

static void window(void)
{
    __asm__ volatile("sti; nop; nop; nop; cli" : : : "memory");
}

static uint32_t at_page(uint64_t page, unsigned offset)
{
    return *(volatile uint32_t *)(uintptr_t)(page + offset);
}

static uint32_t esr(void)
{
    apic_write(ESR, 0);
    return apic_read(ESR);
}

#define WRITE_GP(msr, value, text)                                                             \
    do {                                                                                       \
        uint64_t w = (value);                                                                  \
        CATCH("wrmsr", : : "c"(msr), "a"((uint32_t)w), "d"((uint32_t)(w >> 32)) : "memory");   \
        expect_caught(13, 0, text);                                                            \
    } while (0)
#define READ_GP(msr, text)                                                                     \
    do {                                                                                       \
        CATCH("rdmsr", : : "c"(msr) : "eax", "edx", "memory");                                 \
        expect_caught(13, 0, text);                                                            \
    } while (0)

static unsigned sent(uint32_t destination, uint32_t icr)
{
    unsigned before = counts[icr & 0xff];

    apic_send(destination, icr);
    window();
    return counts[icr & 0xff] - before;
}

/* ---- IA32_APIC_BASE ---- */

static void is_absent(const char *text)
{
    uint64_t cr8;

    expect_equal(at_page(PAGE, APIC_VERSION), 0xffffffff, text);
    expect_equal(at_page(PAGE, APIC_TPR), 0xffffffff, text);
    __asm__ volatile("movq %0, %%cr8" : : "r"(5ull));
    __asm__ volatile("movq %%cr8, %0" : "=r"(cr8));
    expect_equal(cr8, 5, "CR8 is there in any mode");
    __asm__ volatile("movq %0, %%cr8" : : "r"(0ull));
}

static void base(void)
{
    const uint64_t original = rdmsr(BASE_MSR);
    const unsigned bits = cpuid(0x80000008).eax & 0xff;
    const uint32_t version = apic_read(APIC_VERSION);
    const bool has_x2apic = cpuid(1).ecx >> 21 & 1;

    WRITE_GP(BASE_MSR, original | 1, "APIC_BASE bit 0 is reserved");
    WRITE_GP(BASE_MSR, original | 0x200, "bit 9 is reserved");
    WRITE_GP(BASE_MSR, original | 1ull << bits, "so is what is above the physical address");
    expect_equal(rdmsr(BASE_MSR), original, "nothing of that was kept");
    wrmsr(BASE_MSR, OTHER_PAGE | (original & 0xfff));
    expect_equal(at_page(OTHER_PAGE, APIC_VERSION), version, "the page moves");
    expect_equal(at_page(PAGE, APIC_VERSION), 0xffffffff, "and is gone where it was");
    wrmsr(BASE_MSR, original);
    expect_equal(apic_read(APIC_VERSION), version, "and back");

    apic_write(APIC_TPR, 0x33);
    wrmsr(BASE_MSR, original & ~EN);
    expect_equal(cpuid(1).edx >> 9 & 1, 0, "CPUID hides an APIC that is off");
    is_absent("no page while it is off");
    WRITE_GP(BASE_MSR, (original & ~EN) | EXTD, "EXTD without EN");
    WRITE_GP(BASE_MSR, original | EXTD, "off to x2APIC");
    wrmsr(BASE_MSR, original);
    expect_equal(cpuid(1).edx >> 9 & 1, 1, "CPUID shows it again");
    expect_equal(apic_read(APIC_VERSION), version, "it has its page again");
    expect_equal(apic_read(APIC_ID) >> 24, self, "and its id");
    expect_equal(apic_read(APIC_TPR), 0, "TPR as after a reset");
    expect_equal(apic_read(APIC_SVR), 0xff, "software-disabled");
    expect_equal(apic_read(APIC_LVT_TIMER), MASKED, "its LVT masked");
    apic_enable();
    if (!has_x2apic)
        return;
    READ_GP(0x802, "no x2APIC registers in xAPIC mode");
    wrmsr(BASE_MSR, original | EXTD);
    is_absent("no page in x2APIC mode");
    expect_equal(rdmsr(0x803), version, "the version is an MSR now");
    WRITE_GP(BASE_MSR, original, "x2APIC to xAPIC");
    WRITE_GP(BASE_MSR, (original & ~EN) | EXTD, "EXTD without EN, from x2APIC");
    wrmsr(BASE_MSR, original & ~(EN | EXTD));
    READ_GP(0x803, "x2APIC to off takes the MSRs away");
    wrmsr(BASE_MSR, original);
    expect_equal(apic_read(APIC_VERSION), version, "and xAPIC can follow");
    apic_enable();
}

/* ---- errors ---- */

static void errors(void)
{
    apic_write(LVT_ERROR, 0xfe);
    (void)esr();
    counts[0xfe] = 0;
    apic_send(self, 0x0f);
    window();
    expect(esr() & 0x20, "a fixed IPI with vector 0F is an error of sending");
    expect_equal(counts[0xfe], 1, "which the error entry tells");
    expect_equal(esr(), 0, "another write to ESR clears it");
    (void)at_page(PAGE, 0x40);
    expect_equal(apic_read(ESR), 0, "an error shows only after a write");
    expect_equal(esr(), 0x80, "a register that is not there");
    window();
    expect_equal(counts[0xfe], 2, "tells too");
    apic_write(APIC_VERSION, 0);
    expect_equal(esr() & 0x40, 0, "a write to a read-only register is not of receiving");
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, 0x05);
    apic_write(APIC_TIMER_INITIAL, 10);
    while (!(esr_seen = esr()))
        ;
    expect_equal(esr_seen, 0x40, "a timer with vector 05 is an error of receiving");
    window();
    apic_write(APIC_LVT_TIMER, MASKED);
    apic_write(LVT_ERROR, MASKED);
}

static void lvt(void)
{
    apic_write(APIC_LVT_TIMER, 0xffffffff);
    expect_equal(apic_read(APIC_LVT_TIMER) & 0xfff9ff00, MASKED,
                 "the timer's entry has vector, mask and mode");
    apic_write(APIC_LVT_TIMER, MASKED);
    apic_write(LVT_LINT1, 0xffffffff);
    expect_equal(apic_read(LVT_LINT1), 0x1a7ff, "LINT1 has no writable status");
    apic_write(LVT_LINT1, MASKED);
    apic_write(LVT_ERROR, 0xffffffff);
    expect_equal(apic_read(LVT_ERROR), 0x100ff, "the error entry has vector and mask");
    apic_write(LVT_ERROR, MASKED);
    apic_write(APIC_SVR, 0xff);
    apic_write(LVT_ERROR, 0xfe);
    expect_equal(apic_read(LVT_ERROR), 0x100fe, "no entry opens while software-disabled");
    expect_equal(sent(self, 0x41), 0, "a software-disabled APIC takes no fixed interrupt");
    nmis = 0;
    apic_send(self, NMI);
    while (!nmis)
        ;
    expect_equal(nmis, 1, "but NMIs");
    apic_write(APIC_SVR, 0x1ff);
    expect_equal(apic_read(LVT_ERROR), 0x100fe, "and stays masked");
    window();
    expect_equal(counts[0x41], 0, "what was refused does not come later");
}

/* ---- priorities ---- */

static void priorities(void)
{
    guest_on(0x62, on_nesting);
    counts[0x62] = 0;
    apic_send(0, ICR_SELF | 0x62);
    window();
    expect_equal(counts[0x62], 1, "a handler");
    expect_equal(ppr_seen, 0x60, "PPR is its class");
    expect_equal(in_handler, 0x100, "it is interrupted by a higher class only");
    window();
    expect_equal(counts[0x6f] + counts[0x55], 2, "the others come behind it");
    apic_write(APIC_TPR, 0x65);
    expect_equal(apic_read(APIC_PPR), 0x65, "PPR has the subclass of TPR");
    counts[0x71] = counts[0x6f] = 0;
    expect_equal(sent(0, ICR_SELF | 0x6f), 0, "the class of TPR is held back");
    expect_equal(sent(0, ICR_SELF | 0x71), 1, "the next is not");
    order_count = 0;
    apic_send(0, ICR_SELF | 0x41);
    apic_send(0, ICR_SELF | 0x51);
    apic_write(APIC_TPR, 0);
    window();
    window();
    expect_equal(order[0], 0x6f, "the highest vector first");
    expect_equal(order[1], 0x51, "then the next");
    expect_equal(order[2], 0x41, "then the lowest");
    apic_write(APIC_EOI, 0);
    expect_equal(apic_read(APIC_PPR), 0, "an EOI of nothing is harmless");
    guest_on(0x62, on_vector);
}

/* ---- timer ---- */

#define COUNT 0x20000u
#define LONG  0xffffffffu  // four seconds: a computer that stalls is back by then

static void count_is_zero(void)
{
    while (apic_read(APIC_TIMER_CURRENT))
        ;
}

static void timer_modes(void)
{
    uint32_t first, second;

    apic_write(APIC_TIMER_DIVIDE, 0xb);
    for (unsigned i = 0; i < 12; i++) {
        apic_write(APIC_TIMER_DIVIDE, i & 0xb);  // bit 2 is reserved
        expect_equal(apic_read(APIC_TIMER_DIVIDE), i & 0xb, "the divider reads back");
    }
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, MASKED | 0x41);
    apic_write(APIC_TIMER_INITIAL, LONG);
    expect(apic_read(APIC_TIMER_CURRENT) != 0, "a one-shot counts");
    expect_equal(apic_read(APIC_TIMER_INITIAL), LONG, "the initial count reads back");
    apic_write(APIC_TIMER_INITIAL, COUNT);
    count_is_zero();
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "and stays at zero");
    apic_write(APIC_LVT_TIMER, MASKED | PERIODIC | 0x41);
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "a mode alone starts nothing");
    apic_write(APIC_LVT_TIMER, MASKED | 0x41);
    apic_write(APIC_TIMER_INITIAL, LONG);
    apic_write(APIC_LVT_TIMER, MASKED | PERIODIC | 0x41);
    expect(apic_read(APIC_TIMER_CURRENT) != 0, "made periodic, it counts on");
    apic_write(APIC_TIMER_INITIAL, COUNT);
    do {
        first = apic_read(APIC_TIMER_CURRENT);
        second = apic_read(APIC_TIMER_CURRENT);
    } while (second <= first);
    expect(second <= COUNT, "and begins again at the initial count");
    apic_write(APIC_LVT_TIMER, MASKED | 0x41);
    count_is_zero();
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "made one-shot again, it ends");

    counts[0x41] = 0;
    apic_write(APIC_LVT_TIMER, 0x41);
    apic_write(APIC_TIMER_INITIAL, 1000);
    count_is_zero();
    while (!counts[0x41])
        window();
    window();
    expect_equal(counts[0x41], 1, "a one-shot fires once");
    apic_write(APIC_LVT_TIMER, PERIODIC | 0x41);
    apic_write(APIC_TIMER_INITIAL, 100000);
    while (counts[0x41] < 4)
        wait_irq();
    apic_write(APIC_TIMER_INITIAL, 0);
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "an initial count of zero stops it");
    window();
    apic_write(APIC_LVT_TIMER, MASKED);
}

static void deadline(void)
{
    if (!(cpuid(1).ecx >> 24 & 1)) {
        guest_printf("note: no TSC-deadline timer here\n");
        return;
    }
    counts[0x41] = 0;
    apic_write(APIC_LVT_TIMER, 0x41);
    wrmsr(DEADLINE, rdtsc() + 1000);
    expect_equal(rdmsr(DEADLINE), 0, "no deadline in another mode");
    apic_write(APIC_LVT_TIMER, TSC_MODE | 0x41);
    apic_write(APIC_TIMER_INITIAL, 1000);
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "no count in deadline mode");
    window();
    expect_equal(counts[0x41], 0, "neither fires");
    irqs_on();
    wrmsr(DEADLINE, rdtsc());
    __asm__ volatile("nop");
    irqs_off();
    expect_equal(counts[0x41], 1, "a deadline that is past fires at once");
    expect_equal(rdmsr(DEADLINE), 0, "and is gone");
    wrmsr(DEADLINE, rdtsc() + (1ull << 40));
    expect(rdmsr(DEADLINE) != 0, "one that is far is kept");
    wrmsr(DEADLINE, 0);
    expect_equal(rdmsr(DEADLINE), 0, "zero disarms");
    wrmsr(DEADLINE, rdtsc() + (1ull << 40));
    apic_write(APIC_LVT_TIMER, 0x41);
    expect_equal(rdmsr(DEADLINE), 0, "so does another mode");
    apic_write(APIC_LVT_TIMER, TSC_MODE | 0x41);
    wrmsr(DEADLINE, rdtsc() + 100000);
    while (counts[0x41] < 2)
        wait_irq();
    expect_equal(counts[0x41], 2, "one that comes fires once");
    apic_write(APIC_LVT_TIMER, MASKED);
}

/* ---- messages ---- */

static void messages(void)
{
    expect_equal(sent(self, 0x45), 1, "a fixed IPI to its own id");
    expect_equal(sent(0, ICR_SELF | 0x45), 1, "by the shorthand");
    expect_equal(sent(0, ALL | 0x45), 1, "to all, with itself");
    expect_equal(sent(0, ICR_ALL_OTHERS | 0x45), 0, "to all but itself");
    expect_equal(sent(0xff, 0x45), 1, "the physical destination FF");
    expect_equal(sent(0x0e, 0x45), 0, "an id that nobody has");
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x04000000);
    expect_equal(apic_read(APIC_LDR), 0x04000000, "LDR reads back");
    expect_equal(sent(0x06, LOGICAL | 0x45), 1, "flat: its bit and another");
    expect_equal(sent(0x08, LOGICAL | 0x45), 0, "flat: not its bit");
    expect_equal(sent(0xff, LOGICAL | 0x45), 1, "flat: all");
    apic_write(APIC_DFR, 0);
    expect_equal(apic_read(APIC_DFR), 0x0fffffff, "DFR has four bits");
    apic_write(APIC_LDR, 0x24ffffff);
    expect_equal(apic_read(APIC_LDR), 0x24000000, "LDR has eight");
    expect_equal(sent(0x2c, LOGICAL | 0x45), 1, "cluster: its bit and another");
    expect_equal(sent(0x28, LOGICAL | 0x45), 0, "cluster: not its bit");
    expect_equal(sent(0x14, LOGICAL | 0x45), 0, "another cluster");
    apic_write(APIC_DFR, 0xffffffff);
    expect_equal(sent(self, LOWEST | 0x45), 1, "lowest priority");
    nmis = 0;
    apic_send(self, NMI);
    while (!nmis)
        ;
    expect_equal(nmis, 1, "an NMI to itself");
    apic_send(self, 0x8500);  // INIT, level, de-assert: nothing
    apic_send(self, ICR_STARTUP | 8);
    expect_equal(apic_read(APIC_ICR) & 0xfff, 0x608, "ICR reads back");
    expect(true, "a SIPI to a processor that runs is nothing");
}

static void x2apic(void)
{
    static const uint16_t read_only[] = {0x802, 0x803, 0x80a, 0x80d, 0x810,
                                         0x817, 0x818, 0x820, 0x827, 0x839};
    static const uint16_t absent[] = {0x800, 0x801, 0x804, 0x809, 0x80c,
                                      0x80e, 0x831, 0x83a, 0x840, 0x8ff};

    if (!(cpuid(1).ecx >> 21 & 1)) {
        guest_printf("note: no x2APIC here\n");
        return;
    }
    apic_write(APIC_TPR, 0x20);
    apic_x2apic_enable();
    expect_equal(rdmsr(0x808), 0x20, "TPR stays on the way to x2APIC");
    wrmsr(0x808, 0);
    expect_equal(rdmsr(0x80d), (uint64_t)(self >> 4) << 16 | 1u << (self & 15),
                 "LDR follows from the id");
    for (unsigned i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++)
        WRITE_GP(read_only[i], 0, "a read-only register");
    for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        READ_GP(absent[i], "a register that is not there, read");
        WRITE_GP(absent[i], 0, "a register that is not there, written");
    }
    READ_GP(0x80b, "EOI is write-only");
    READ_GP(0x83f, "SELF IPI is write-only");
    WRITE_GP(0x80b, 1, "EOI takes zero only");
    WRITE_GP(0x828, 1, "ESR takes zero only");
    WRITE_GP(0x808, 0x100, "TPR has eight bits");
    WRITE_GP(0x80f, 0x10000, "SVR's reserved bits");
    WRITE_GP(0x832, 1ull << 32, "the high half of an entry");
    WRITE_GP(0x832, 0x80000, "an entry's reserved bits");
    WRITE_GP(0x830, 0x100000, "ICR's reserved bits");
    WRITE_GP(0x83e, 4, "the divider's reserved bit");
    WRITE_GP(0x83f, 0x100, "SELF IPI has eight bits");
    expect_equal(sent(self, 0x45), 1, "physical, x2APIC");
    expect_equal(sent(0xffffffff, 0x45), 1, "broadcast, x2APIC");
    expect_equal(sent((uint32_t)rdmsr(0x80d), LOGICAL | 0x45), 1, "logical, x2APIC");
    expect_equal(sent(0xffffffff, LOGICAL | 0x45), 1, "logical broadcast, x2APIC");
    expect_equal(sent((self >> 4) << 16 | 0x8000, LOGICAL | 0x45), 0, "logical, not its bit");
    expect_equal(sent(0x00010000 | 1u << (self & 15), LOGICAL | 0x45), 0,
                 "logical, another cluster");
    expect_equal(sent(0xff, 0x45), 0, "FF is an id like another now");
    expect_equal(rdmsr(0x830), 0xff00000045ull, "ICR is one register");
    counts[0x45] = 0;
    wrmsr(0x83f, 0x45);
    window();
    expect_equal(counts[0x45], 1, "SELF IPI");
    WRITE_GP(0x828, 0x80, "ESR, once more");
    timer_modes();
    deadline();
}

/* ---- string instructions that run into the page ---- */

static uint8_t before[4096] __attribute__((aligned(4096)));
static uint8_t behind[4096] __attribute__((aligned(4096)));

static uint64_t rep(const char *what, uint64_t to, uint64_t from, uint64_t count)
{
    if (what[0] == 's')
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x44332211) : "memory");
    else
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    expect_equal(count, 0, "RCX is zero behind a REP");
    return to;
}

static void strings(void)
{
    const uint32_t version = at_page(PAGE, APIC_VERSION);
    const uint64_t page = WINDOW + 4096;
    static uint32_t copy[1024 + 32];

    guest_map(WINDOW, (uint64_t)(uintptr_t)before | PTE_PRESENT | PTE_WRITE);
    guest_map(page, PAGE | PTE_PRESENT | PTE_WRITE);
    guest_map(page + 4096, (uint64_t)(uintptr_t)behind | PTE_PRESENT | PTE_WRITE);
    // Out of memory into the APIC's first registers, which are reserved, and TPR.
    for (unsigned i = 0; i < sizeof(before); i++)
        before[i] = 0;
    expect_equal(rep("stos", page - 64, 0, 16 + APIC_TPR / 4), page + APIC_TPR, "REP STOSD in");
    expect_equal(before[4095], 0x44, "the memory in front has it");
    expect_equal(before[4096 - 65], 0, "from its first byte on");
    // Out of the page's end, which is reserved too, into memory.
    expect_equal(rep("stos", page + 4096 - 64, 0, 32), page + 4096 + 64, "REP STOSD out");
    expect_equal(behind[0], 0x11, "the memory behind has it");
    expect_equal(behind[63], 0x44, "to the last byte");
    expect_equal(behind[64], 0, "and not more");
    // The whole page and some memory on both sides, read.
    for (unsigned i = 0; i < 64; i++)
        before[4096 - 64 + i] = (uint8_t)i;
    for (unsigned i = 0; i < 64; i++)
        behind[i] = (uint8_t)(0x80 + i);
    (void)rep("movs", (uint64_t)(uintptr_t)copy, page - 64, 1024 + 32);
    expect_equal(copy[0], 0x03020100, "REP MOVSD through the page: what is before it");
    expect_equal(copy[16 + APIC_VERSION / 4], version, "its registers");
    expect_equal(copy[16 + 1024 + 15], 0xbfbebdbc, "what is behind it");
    // A store over the edge that is not aligned.
    *(volatile uint32_t *)(uintptr_t)(page + 4094) = 0x0badcafe;
    expect_equal(behind[0] | (unsigned)behind[1] << 8, 0x0bad,
                 "a store over the edge: its memory half");
    expect_equal(*(volatile uint32_t *)(uintptr_t)(page + 4094) >> 16, 0x0bad, "and read back");
    (void)esr();
    expect_equal(at_page(PAGE, APIC_VERSION), version, "the APIC is as it was");
    apic_enable();
}

/* ---- the second processor ---- */

static void other(unsigned number)
{
    (void)number;
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x02000000);
    __atomic_add_fetch(&started_count, 1, __ATOMIC_SEQ_CST);
    for (;;)
        wait_irq();
}

/* On the second processor: two NMIs in a row for the first, then an ordinary interrupt. */
static void on_two_nmis(struct guest_frame *frame)
{
    (void)frame;
    apic_eoi();
    apic_send(self, NMI);
    apic_send(self, NMI);
    apic_send(self, 0x47);
}

static unsigned both(uint32_t destination, uint32_t icr, unsigned wanted)
{
    counts[icr & 0xff] = 0;
    apic_send(destination, icr);
    window();
    while (counts[icr & 0xff] < wanted)
        window();
    return counts[icr & 0xff];
}

static void two_processors(void)
{
    uint32_t second;

    guest_start_others(other);
    while (!started_count)
        __asm__ volatile("pause");
    guest_gate_stack(2, 0);  // the second has no TSS
    second = guest_apic_ids[1];
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x01000000);
    expect_equal(both(second, 0x45, 1), 1, "to the second");
    expect_equal(both(0, ICR_ALL_OTHERS | 0x45, 1), 1, "to all others");
    expect_equal(both(0, ALL | 0x45, 2), 2, "to all");
    expect_equal(both(0xff, 0x45, 2), 2, "to FF");
    expect_equal(both(3, LOGICAL | 0x45, 2), 2, "to both bits");
    expect_equal(both(2, LOGICAL | 0x45, 1), 1, "to its bit");
    apic_write(APIC_TPR, 0x70);
    expect_equal(both(3, LOGICAL | LOWEST | 0x45, 1), 1, "to the one with the lower priority");
    apic_write(APIC_TPR, 0);
    nmis = 0;
    apic_send(second, NMI);
    while (!nmis)
        __asm__ volatile("pause");
    expect_equal(nmis, 1, "an NMI to the second");
    nmis = 0;
    guest_on(0x46, on_two_nmis);
    apic_send(second, 0x46);
    while (!counts[0x47])
        wait_irq();
    for (unsigned i = 0; i < 100000 && nmis < 2; i++)
        window();
    expect_equal(nmis, 2, "two NMIs to a processor that halts: one is served, one remembered");
    apic_send(second, ICR_STARTUP | 8);  // it runs
    expect_equal(both(second, 0x45, 1), 1, "a SIPI to a processor that runs is nothing");
    expect_equal(started_count, 1, "it did not start again");
    guest_start_others(other);
    while (started_count < 2)
        __asm__ volatile("pause");
    expect_equal(both(second, 0x45, 1), 1, "after another INIT and SIPI it runs as before");
}

void guest_main(void)
{
    for (unsigned vector = 0x40; vector < 0x80; vector++)
        guest_on(vector, on_vector);
    guest_on(0xfe, on_error);
    guest_on(2, on_nmi);
    self = apic_id();
    apic_enable();
    base();
    errors();
    lvt();
    priorities();
    timer_modes();
    deadline();
    messages();
    strings();
    if (guest_cpu_count() > 1)
        two_processors();
    else
        x2apic();
}
