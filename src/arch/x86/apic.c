// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/apic.c -- the local APIC (memory-mapped or x2APIC), the 8259, and the one-shot timer of each CPU.
 *
 * IA32_APIC_BASE.EN is never cleared: emulators do not bring the APIC back. The 8259s are moved
 * off the exception vectors and masked; the IOAPICs are irq.c's. The timer is the TSC-deadline
 * mode if it is there and proves to work, else the APIC's own counter.
 *
 * Invariants
 *   - A timer interrupt before its deadline arms again and tells nobody.
 *   - The mode words are set before other CPUs start.
 * Locking    none: per-CPU state belongs to its CPU with interrupts off.
 * Sources    SDM-3A "Advanced Programmable Interrupt Controller (APIC)"; [8259A]
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/log.h"

enum {
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_IRR = 0x200,
    APIC_ICR_LOW = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_PERF = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_INITIAL = 0x380,
    APIC_CURRENT = 0x390,
    APIC_DIVIDE = 0x3e0,
};
#define LVT_MASKED      0x10000u
#define LVT_NMI         0x400u
#define LVT_DEADLINE    0x40000u
#define ICR_PENDING     0x1000u
#define TIMER_COUNT_MAX 0x7fffffffull

static struct {
    bool x2apic;
    bool deadline_mode;
    volatile uint32_t *registers;
    uint64_t scale;  // APIC timer ticks per ns, times 2^32
} apic;

static inline uint32_t apic_read(uint32_t index)
{
    if (apic.x2apic)
        return (uint32_t)insn_rdmsr(MSR_X2APIC_FIRST + (index >> 4));
    return apic.registers[index / 4];
}

static inline void apic_write(uint32_t index, uint32_t value)
{
    if (apic.x2apic)
        insn_wrmsr(MSR_X2APIC_FIRST + (index >> 4), value);
    else
        apic.registers[index / 4] = value;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

void apic_ipi(uint32_t apic_id, uint32_t low)
{
    bool was_on;

    if (apic.x2apic) {
        __asm__ volatile("mfence; lfence" : : : "memory");  // WRMSR here does not serialise
        insn_wrmsr(MSR_X2APIC_FIRST + (APIC_ICR_LOW >> 4), (uint64_t)apic_id << 32 | low);
        return;
    }
    was_on = plat_irq_save();
    for (unsigned i = 0; i < 100000 && apic_read(APIC_ICR_LOW) & ICR_PENDING; i++)
        insn_pause();
    apic_write(APIC_ICR_HIGH, apic_id << 24);
    apic_write(APIC_ICR_LOW, low);
    plat_irq_restore(was_on);
}

void plat_cpu_kick(unsigned cpu)
{
    apic_ipi(arch_cpus[cpu].apic_id, APIC_ICR_FIXED | VECTOR_KICK);
}

/* ---- 8259: off ---- */
static void pic_init(void)
{
    static const uint8_t words[4] = {0x11, VECTOR_PIC, 4, 1};  // ICW1 to ICW4 of the first

    for (unsigned i = 0; i < 4; i++) {
        insn_outb(i ? 0x21 : 0x20, words[i]);
        insn_outb(i ? 0xa1 : 0xa0, (uint8_t)(i == 1 ? VECTOR_PIC + 8 : i == 2 ? 2 : words[i]));
    }
    insn_outb(0x21, 0xff);
    insn_outb(0xa1, 0xff);
}

void apic_init(void)
{
    pic_init();
    apic.x2apic = plat_cpuid(1, 0).ecx & BIT(21);
    apic.registers = paging_map(insn_rdmsr(MSR_APIC_BASE) & 0xffffff000ull, PAGE_SIZE, true);
    irq_init();
}

void apic_init_self(void)
{
    uint64_t base = insn_rdmsr(MSR_APIC_BASE) | APIC_BASE_EN;

    insn_wrmsr(MSR_APIC_BASE, base);
    if (apic.x2apic)
        insn_wrmsr(MSR_APIC_BASE, base | APIC_BASE_EXTD);
    apic_write(APIC_SVR, 0x100 | VECTOR_SPURIOUS);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_LVT_ERROR, LVT_MASKED);
    apic_write(APIC_DIVIDE, 0xb);  // by 1
    apic_write(APIC_LVT_TIMER, (apic.deadline_mode ? LVT_DEADLINE : 0) | VECTOR_TIMER);
    // SDM: a fence between the switch to TSC-deadline mode and the first deadline.
    __asm__ volatile("mfence; lfence" : : : "memory");
}

/* ---- the one-shot timer ---- */
void apic_timer_calibrate_start(void)
{
    apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_INITIAL, 0xffffffffu);
}

uint32_t apic_timer_calibrate_read(void)
{
    uint32_t left = apic_read(APIC_CURRENT);

    apic_write(APIC_INITIAL, 0);
    return left;
}

static bool timer_requested(void)
{
    return apic_read(APIC_IRR + (VECTOR_TIMER / 32) * 0x10) & BIT(VECTOR_TIMER % 32);
}

/* Interrupts are off, so a deadline that works shows as a request that nobody takes. */
static bool deadline_works(void)
{
    plat_ns until;

    if (!(plat_cpuid(1, 0).ecx & BIT(24)))
        return false;
    apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
    __asm__ volatile("mfence; lfence" : : : "memory");
    until = plat_time_now() + 200000;
    insn_wrmsr(MSR_TSC_DEADLINE, clock_tsc_of(until));
    while (plat_time_now() < until)
        if (timer_requested())
            return false;  // too early
    until += 2000000;
    while (plat_time_now() < until)
        if (timer_requested())
            return true;
    insn_wrmsr(MSR_TSC_DEADLINE, 0);
    return false;
}

void apic_timer_init(uint64_t lapic_khz)
{
    apic.scale = (lapic_khz << 32) / 1000000;
    arch_cpus[0].deadline = PLAT_NS_NEVER;
    apic.deadline_mode = deadline_works();
    apic_init_self();
}

void plat_timer_arm(plat_ns deadline)
{
    plat_ns now, delta;
    uint64_t count;

    arch_cpus[plat_cpu_self()].deadline = deadline;
    if (apic.deadline_mode) {
        // 0 disarms; far deadlines (a year) count as never.
        insn_wrmsr(MSR_TSC_DEADLINE, deadline >= BIT(55) ? 0 : clock_tsc_of(deadline));
        return;
    }
    if (deadline == PLAT_NS_NEVER) {
        apic_write(APIC_INITIAL, 0);
        return;
    }
    now = plat_time_now();
    delta = deadline > now ? MIN(deadline - now, 1000000000ull) : 0;
    count = (delta * (apic.scale >> 12) >> 20) + 1;
    apic_write(APIC_INITIAL, (uint32_t)MIN(count, TIMER_COUNT_MAX));
}

void apic_timer_interrupt(void)
{
    struct arch_cpu *cpu = &arch_cpus[plat_cpu_self()];

    if (cpu->deadline == PLAT_NS_NEVER)
        return;
    if (plat_time_now() < cpu->deadline) {
        plat_timer_arm(cpu->deadline);
        return;
    }
    cpu->deadline = PLAT_NS_NEVER;
    trap_timer_due();
}

void apic_report(void)
{
    vmk_log(VMK_LOG_INFO, "Boot: %s, %u IOAPIC, timer by %s", apic.x2apic ? "x2APIC" : "xAPIC",
            acpi_facts.ioapic_count, apic.deadline_mode ? "TSC deadline" : "APIC count");
}
