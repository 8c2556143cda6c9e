// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/bench.c -- what an exit costs: TSC ticks per event, from the guest's side.
 *
 * Each row runs the event N times in a short loop with RDTSC around it, four times over, and
 * prints the mean of the run that took least: another world of the host may have had the CPU in
 * the others. Under QEMU with -icount shift=0 and under Bochs one tick is one instruction of
 * the host, so a row is the number of instructions that the hypervisor spent, plus the two to
 * four of the loop. One round of 64 warms the path first.
 */
#include "guest.h"

const char guest_name[] = "bench";

#define N      500u
#define RUNS   4u
#define WARM   64u
#define ROUNDS 200u

static volatile unsigned seen, pongs;

static void on_ipi(struct guest_frame *frame)
{
    (void)frame;
    seen++;
    apic_eoi();
}

static void on_pong(struct guest_frame *frame)
{
    (void)frame;
    pongs++;
    apic_eoi();
}

static void on_ping(struct guest_frame *frame)
{
    (void)frame;
    apic_eoi();
    apic_send(guest_apic_ids[0], 0x61);
}

static void report(const char *name, uint64_t ticks, uint64_t n)
{
    guest_printf("bench %s %u\n", name, (unsigned)((ticks + n / 2) / n));
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#define BENCH(name, text, ...)                                                                 \
    do {                                                                                       \
        uint64_t least_ = UINT64_MAX;                                                          \
                                                                                               \
        for (unsigned run_ = 0; run_ <= RUNS; run_++) {                                        \
            uint64_t n_ = run_ ? N : WARM, start_ = rdtsc();                                   \
                                                                                               \
            __asm__ volatile("1:\t" text "\n\tdecq %0\n\tjnz 1b" : "+r"(n_)__VA_ARGS__);       \
            if (run_)                                                                          \
                least_ = lesser(least_, rdtsc() - start_);                                     \
        }                                                                                      \
        report(name, least_, N);                                                               \
    } while (0)

static void instructions(void)
{
    volatile uint32_t *tpr = (volatile uint32_t *)(uintptr_t)(0xfee00000ull + APIC_TPR);
    uint32_t a = 0x564d5868, c = 10, d = 0x5658;  // the backdoor: GETVERSION

    BENCH("nop", "nop", : : "memory");
    BENCH("cpuid", "xorl %%eax, %%eax\n\tcpuid", : : "rax", "rbx", "rcx", "rdx", "memory");
    BENCH("rdmsr_apic_base", "rdmsr", : "c"(0x1b) : "rax", "rdx", "memory");
    BENCH("in_kernel_port", "inb %%dx, %%al", : "d"(0x3fd) : "rax", "memory");
    BENCH("out_nobody", "outb %%al, %%dx", : "d"(0x5a50), "a"(0) : "memory");
    BENCH("mmio_write_tpr", "movl %k2, (%1)", : "r"(tpr), "r"(0) : "memory");
    // A call is the VMware backdoor; any other has no meaning and faults.
#define CALL(insn) "movl $0x564d5868, %%eax; movl $10, %%ecx; movl $0x5658, %%edx; " insn
    CATCH("vmcall", : "+a"(a), "+c"(c), "+d"(d) : : "rbx", "memory");
    if (!guest_caught.count)
        BENCH("vmcall", CALL("vmcall"), : : "rax", "rbx", "rcx", "rdx", "memory");
    a = 0x564d5868;
    c = 10;
    d = 0x5658;
    CATCH("vmmcall", : "+a"(a), "+c"(c), "+d"(d) : : "rbx", "memory");
    if (!guest_caught.count)
        BENCH("vmmcall", CALL("vmmcall"), : : "rax", "rbx", "rcx", "rdx", "memory");
#undef CALL
}

static void interrupts(const char *wake, const char *self)
{
    uint64_t least = UINT64_MAX, least_self = UINT64_MAX;

    guest_on(0x50, on_ipi);
    for (unsigned run = 0; run <= RUNS; run++) {
        uint64_t ticks = 0, start;

        for (unsigned i = 0; i < (run ? N : WARM); i++) {
            apic_send(0, ICR_SELF | 0x50);
            start = rdtsc();
            wait_irq();
            ticks += rdtsc() - start;
        }
        if (run)
            least = lesser(least, ticks);
    }
    report(wake, least, N);
    irqs_on();
    for (unsigned run = 0; run <= RUNS; run++) {
        uint64_t start = rdtsc();

        for (unsigned i = 0; i < (run ? N : WARM); i++) {
            unsigned before = seen;

            apic_send(0, ICR_SELF | 0x50);
            while (seen == before)
                ;
        }
        if (run)
            least_self = lesser(least_self, rdtsc() - start);
    }
    report(self, least_self, N);
    irqs_off();
}

/* Runs of 512 pages: with each comes one table. */
static void fresh_pages(void)
{
    uint64_t at = ((uint64_t)(uintptr_t)guest_end + 0x9fffff) & ~0x1fffffull;
    uint64_t end = guest_memory_end() - 0x200000, least = UINT64_MAX;

    for (unsigned run = 0; run < RUNS && at + 512 * 4096 <= end; run++) {
        uint64_t start = rdtsc();

        for (unsigned i = 0; i < 512; i++, at += 4096)
            *(volatile uint8_t *)(uintptr_t)at = 1;
        least = lesser(least, rdtsc() - start);
    }
    report("fresh_page", least, 512);
}

static void ping_pong(void)
{
    uint64_t start = 0;
    unsigned cpus;

    guest_on(0x60, on_ping);
    guest_on(0x61, on_pong);
    cpus = guest_start_others(NULL);
    if (cpus < 2)
        return;
    for (unsigned round = 1; round <= ROUNDS + 8; round++) {
        if (round == 9)
            start = rdtsc();
        apic_send(guest_apic_ids[1], 0x60);
        while (pongs < round)
            wait_irq();
    }
    report("ipi_ping_pong", rdtsc() - start, ROUNDS);
}

void guest_main(void)
{
    guest_printf("hypervisor '%s'\n", guest_hypervisor());
    apic_enable();
    fresh_pages();
    instructions();
    interrupts("hlt_wake", "self_ipi");
    ping_pong();
    if (cpuid(1).ecx >> 21 & 1) {
        apic_x2apic_enable();
        interrupts("x2apic_hlt_wake", "x2apic_self_ipi");
    }
}
