// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/apic.c -- the local APIC: timer in its modes, self-IPI, priorities, disable, x2APIC.
 */
#include "guest.h"

const char guest_name[] = "apic";

static volatile unsigned ticks, others, order[4], order_count;

static void on_tick(struct guest_frame *frame)
{
    (void)frame;
    ticks++;
    apic_eoi();
}

static void on_ipi(struct guest_frame *frame)
{
    others++;
    if (order_count < 4)
        order[order_count++] = (unsigned)frame->vector;
    apic_eoi();
}

static void window(void)
{
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void timers(void)
{
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    guest_on(0x40, on_tick);
    ticks = 0;
    apic_write(APIC_LVT_TIMER, 0x40);
    apic_write(APIC_TIMER_INITIAL, 200000);
    while (!ticks)
        wait_irq();
    expect_equal(apic_read(APIC_TIMER_CURRENT), 0, "a one-shot timer stops at zero");
    apic_write(APIC_LVT_TIMER, 0x20040);
    apic_write(APIC_TIMER_INITIAL, 200000);
    while (ticks < 6)
        wait_irq();
    apic_write(APIC_TIMER_INITIAL, 0);
    window();
    ticks = 0;
    window();
    expect_equal(ticks, 0, "initial count zero stops a periodic timer");
    apic_write(APIC_LVT_TIMER, 0x10040);
    apic_write(APIC_TIMER_INITIAL, 1000);
    while (apic_read(APIC_TIMER_CURRENT))
        ;
    window();
    expect_equal(ticks, 0, "a masked timer counts and does not interrupt");
    if (cpuid(1).ecx >> 24 & 1) {
        apic_write(APIC_LVT_TIMER, 0x40040);
        wrmsr(0x6e0, rdtsc() + 1000000);
        while (!ticks)
            wait_irq();
        expect_equal(rdmsr(0x6e0), 0, "TSC deadline is zero once it fired");
        apic_write(APIC_LVT_TIMER, 0x10040);
    } else {
        guest_printf("note: no TSC-deadline timer here\n");
    }
}

static void self_ipi_and_priorities(void)
{
    guest_on(0x51, on_ipi);
    guest_on(0x62, on_ipi);
    others = order_count = 0;
    apic_send(0, ICR_SELF | 0x51);
    expect_equal(others, 0, "no interrupt while IF is off");
    expect(apic_read(APIC_IRR + 0x20) >> 17 & 1, "a pending vector shows in IRR");
    apic_send(0, ICR_SELF | 0x62);
    window();
    expect_equal(others, 2, "both self-IPIs arrive");
    expect(order[0] == 0x62 || order[1] == 0x62, "the second vector is there");
    expect_equal(apic_read(APIC_ISR + 0x20), 0, "ISR is empty after EOI");

    others = order_count = 0;
    apic_write(APIC_TPR, 0x50);
    expect_equal(apic_read(APIC_PPR) & 0xf0, 0x50, "PPR follows TPR");
    apic_send(0, ICR_SELF | 0x51);
    window();
    expect_equal(others, 0, "TPR class 5 holds vector 51 back");
    apic_send(0, ICR_SELF | 0x62);
    window();
    expect_equal(others, 1, "and lets 62 through");
    apic_write(APIC_TPR, 0);
    window();
    expect_equal(others, 2, "lowering TPR lets 51 in");

    __asm__ volatile("movq %0, %%cr8" : : "r"(6ull));
    expect_equal(apic_read(APIC_TPR), 0x60, "CR8 is TPR 7:4");
    apic_send(0, ICR_SELF | 0x62);
    window();
    expect_equal(others, 2, "CR8 6 holds 62 back");
    __asm__ volatile("movq %0, %%cr8" : : "r"(0ull));
    window();
    expect_equal(others, 3, "CR8 0 lets it in");
}

static void disable(void)
{
    bool lax;

    apic_write(APIC_LVT_TIMER, 0x40);
    apic_write(APIC_SVR, 0xff);
    lax = guest_on_plain_tcg();  // leaves the LVT alone
    expect(lax || apic_read(APIC_LVT_TIMER) >> 16 & 1, "software disable masks the LVT");
    apic_write(APIC_SVR, 0x1ff);
    expect(lax || apic_read(APIC_LVT_TIMER) >> 16 & 1, "and enabling leaves it masked");
    others = 0;
    apic_send(0, ICR_SELF | 0x51);
    window();
    expect_equal(others, 1, "interrupts work again after that");
}

void guest_main(void)
{
    uint32_t version;

    expect(rdmsr(0x1b) & 0x800, "the APIC is enabled at reset");
    expect(rdmsr(0x1b) & 0x100, "this is the boot processor");
    expect_equal(rdmsr(0x1b) & 0xffffff000ull, 0xfee00000, "at the usual place");
    apic_enable();
    version = apic_read(APIC_VERSION);
    expect((version & 0xff) >= 0x10 && (version & 0xff) < 0x20, "the version is an APIC's");
    timers();
    self_ipi_and_priorities();
    disable();
    if (cpuid(1).ecx >> 21 & 1) {
        uint32_t id = apic_id();

        apic_x2apic_enable();
        expect_equal(apic_id(), id, "x2APIC id");
        CATCH("wrmsr", : : "c"(0x802), "a"(0), "d"(0) : "memory");
        expect_caught(13, 0, "the x2APIC id register is read-only");
        timers();
        self_ipi_and_priorities();
        others = 0;
        wrmsr(0x83f, 0x51);
        window();
        expect_equal(others, 1, "the self-IPI register");
    } else {
        guest_printf("note: no x2APIC here\n");
    }
}
