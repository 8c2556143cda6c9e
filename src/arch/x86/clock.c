// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/clock.c -- time: the TSC, measured against the PIT or the PM timer.
 *
 * CPUID leaf 15H is not used: one emulator announces a rate 70 times too high. The counters of
 * all CPUs are taken to be equal, as on every machine with an invariant TSC. A measurement can
 * only come out too long (something ran in between), so the shortest counts.
 * Constants are set once by clock_init(); reading takes one RDTSC and one multiplication.
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/core.h"
#include "core/log.h"

#define PIT_HZ    1193182u
#define PIT_COUNT 11932u  // 10 ms
#define PM_HZ     3579545u
#define PM_COUNT  35795u         // 10 ms
#define SPIN_MAX  0x20000000ull  // ticks after which a silent timer is given up

struct clock_mark {
    uint64_t tsc;
    uint32_t pm;
};

static struct {
    uint64_t base;  // TSC at time 0
    uint64_t khz;
    uint64_t ns_scale;   // ns per tick, times 2^32
    uint64_t tsc_scale;  // ticks per ns, times 2^32
    uint64_t lapic_khz;
    uint64_t wall;
    struct clock_mark mark;  // when the clock began
    const char *source;
} clock = {.khz = 1000000, .ns_scale = BIT(32), .tsc_scale = BIT(32)};

static inline uint64_t scale(uint64_t value, uint64_t by)
{
    return (uint64_t)((unsigned __int128)value * by >> 32);
}

plat_ns plat_time_now(void)
{
    return scale(plat_tsc_now() - clock.base, clock.ns_scale);
}

uint64_t plat_tsc_khz(void)
{
    return clock.khz;
}

uint64_t clock_tsc_of(plat_ns when)
{
    return clock.base + scale(when, clock.tsc_scale) + 1;
}

void clock_delay(plat_ns duration)
{
    const uint64_t until = plat_tsc_now() + scale(duration, clock.tsc_scale);

    while ((int64_t)(plat_tsc_now() - until) < 0)
        insn_pause();
}

/* TSC and APIC timer ticks of one PIT_COUNT on channel 2; false if the output never rises. */
static bool measure_pit(uint64_t *tsc, uint64_t *lapic)
{
    uint64_t start, now;

    insn_outb(0x61, (uint8_t)((insn_inb(0x61) & ~2u) | 1u));  // gate on, speaker off
    insn_outb(0x43, 0xb0);                                    // channel 2, both bytes, mode 0
    insn_outb(0x42, PIT_COUNT & 0xff);
    apic_timer_calibrate_start();
    start = plat_tsc_now();
    insn_outb(0x42, PIT_COUNT >> 8);
    do {
        now = plat_tsc_now();
        if (now - start > SPIN_MAX)
            return false;
    } while (!(insn_inb(0x61) & 0x20));
    *lapic = 0xffffffffu - apic_timer_calibrate_read();
    *tsc = plat_tsc_now() - start;  // `now` may be old: something may have run since
    return *tsc > 1000;
}

static bool measure_pm(uint64_t *tsc, uint64_t *lapic)
{
    const uint32_t mask = 0xffffff;
    uint32_t first;
    uint64_t start, now;

    if (!acpi_facts.pm_timer_port)
        return false;
    apic_timer_calibrate_start();
    first = insn_inl(acpi_facts.pm_timer_port);
    start = plat_tsc_now();
    do {
        now = plat_tsc_now();
        if (now - start > SPIN_MAX)
            return false;
    } while (((insn_inl(acpi_facts.pm_timer_port) - first) & mask) < PM_COUNT);
    *lapic = 0xffffffffu - apic_timer_calibrate_read();
    *tsc = plat_tsc_now() - start;  // `now` may be old: something may have run since
    return true;
}

/* The shortest of up to ten, each counter by itself; enough when two agree to a thousandth. */
static bool best_of_some(bool (*measure)(uint64_t *, uint64_t *), uint64_t *tsc,
                         uint64_t *lapic)
{
    uint64_t second = UINT64_MAX;

    *tsc = *lapic = UINT64_MAX;
    for (unsigned i = 0; i < 10 && (i < 3 || second - *tsc > *tsc / 1000); i++) {
        uint64_t t, l;

        if (!measure(&t, &l))
            return false;
        second = t < *tsc ? *tsc : MIN(second, t);
        *tsc = MIN(*tsc, t);
        *lapic = MIN(*lapic, l);
    }
    return true;
}

/*
 * The PM timer is the machine's second opinion: a TSC measured wrong shows as ticks that differ
 * from what the TSC says, modulo the counter's 24 bits (4.7 s; so up to 2.3 s of error is
 * seen).
 */
static struct clock_mark mark_take(void)
{
    struct clock_mark best = {0, 0};
    uint64_t width = UINT64_MAX;

    for (unsigned i = 0; i < 8; i++) {
        const uint64_t before = plat_tsc_now();
        const uint32_t pm = insn_inl(acpi_facts.pm_timer_port);
        const uint64_t after = plat_tsc_now();

        if (after - before < width) {
            width = after - before;
            best = (struct clock_mark){before + width / 2, pm};
        }
    }
    return best;
}

/* ---- wall time, from the CMOS clock ---- */
static uint8_t cmos(uint8_t index)
{
    insn_outb(0x70, index);
    return insn_inb(0x71);
}

static unsigned from_bcd(unsigned value, bool binary)
{
    return binary ? value : (value >> 4) * 10 + (value & 15);
}

/* Days from 1970 to a date of the Gregorian calendar (March-based years). */
static uint64_t days_to(unsigned year, unsigned month, unsigned day)
{
    const unsigned y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
    const unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (uint64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static uint64_t read_rtc(void)
{
    uint8_t raw[6], again[6];
    static const uint8_t index[6] = {0, 2, 4, 7, 8, 9};
    bool same;
    unsigned tries = 0;

    do {  // two equal readings outside an update
        for (unsigned i = 0; i < 1000000 && cmos(0xa) & 0x80; i++)
            ;
        for (unsigned i = 0; i < 6; i++)
            raw[i] = cmos(index[i]);
        same = true;
        for (unsigned i = 0; i < 6; i++) {
            again[i] = cmos(index[i]);
            same &= again[i] == raw[i];
        }
    } while (!same && ++tries < 10);

    const uint8_t status = cmos(0xb);
    const bool binary = status & 4;
    unsigned hour = from_bcd(raw[2] & 0x7f, binary);

    if (!(status & 2))  // 12-hour clock
        hour = hour % 12 + (raw[2] & 0x80 ? 12 : 0);
    return days_to(2000 + from_bcd(raw[5], binary), from_bcd(raw[4], binary),
                   from_bcd(raw[3], binary)) *
               86400 +
           hour * 3600 + from_bcd(raw[1], binary) * 60 + from_bcd(raw[0], binary);
}

uint64_t plat_wall_time_at_boot(void)
{
    return clock.wall;
}

void clock_init(void)
{
    uint64_t tsc = 0, lapic = 0;

    if (best_of_some(measure_pit, &tsc, &lapic)) {
        clock.source = "PIT";
        clock.khz = tsc * PIT_HZ / PIT_COUNT / 1000;
        clock.lapic_khz = lapic * PIT_HZ / PIT_COUNT / 1000;
    } else if (best_of_some(measure_pm, &tsc, &lapic)) {
        clock.source = "PM timer";
        clock.khz = tsc * PM_HZ / PM_COUNT / 1000;
        clock.lapic_khz = lapic * PM_HZ / PM_COUNT / 1000;
    } else {
        clock.source = "nothing, guessed";
        clock.khz = 2000000;
        clock.lapic_khz = 1000000;
    }
    clock.khz += clock.khz * core_option_u64("tsc-error", 0) / 1000000;  // a planted fault
    clock.ns_scale = (1000000ull << 32) / clock.khz;
    clock.tsc_scale = (clock.khz << 32) / 1000000;
    clock.wall = read_rtc();
    clock.base = plat_tsc_now();
    if (acpi_facts.pm_timer_port)
        clock.mark = mark_take();
    apic_timer_init(clock.lapic_khz);
}

void clock_report(void)
{
    vmk_log(VMK_LOG_INFO, "Time: TSC %llu kHz, APIC timer %llu kHz, measured by the %s",
            (unsigned long long)clock.khz, (unsigned long long)clock.lapic_khz, clock.source);
}

void arch_clock_check(void)
{
    const uint32_t half = BIT(23);
    struct clock_mark now;
    uint64_t ns;
    int64_t wanted, off;

    if (!acpi_facts.pm_timer_port)
        return;
    now = mark_take();
    ns = scale(now.tsc - clock.mark.tsc, clock.ns_scale);
    wanted = (int64_t)(ns / 1000 * PM_HZ / 1000000);  // room for 59 days
    if (wanted == 0)
        return;
    off = ((int64_t)(now.pm - clock.mark.pm) - wanted) & (2 * half - 1);
    if (off >= half)
        off -= 2 * half;
    off = -off * 1000000 / wanted;
    vmk_log(off > 1000 || off < -1000 ? VMK_LOG_WARN : VMK_LOG_INFO,
            "Time: the TSC's clock is ahead of the PM timer by %lld ppm after %llu ms",
            (long long)off, (unsigned long long)(ns / 1000000));
}
