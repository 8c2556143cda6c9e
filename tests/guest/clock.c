// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/clock.c -- TSC, PM timer, APIC timer and PIT run as fast as the hypervisor says time does.
 *
 * The judge is the backdoor's GETTIMEFULL; the rates are those it announces by GETHZ. Every
 * reading is the tightest of some brackets, so an exit in between makes no error. Without the
 * backdoor there is nothing to compare with.
 */
#include "guest.h"

const char guest_name[] = "clock";

#define BACKDOOR_MAGIC 0x564d5868u
#define PM_TIMER       0x608
#define PM_HZ          3579545ull
#define PM_MASK        0xffffffull
#define PIT_HZ         1193182ull
#define PIT_COUNT      59659u  // 50 ms
#define RUN_US         2000000ull

struct reading {
    uint64_t host_us, tsc, pm, apic;
};

struct answer {
    uint32_t eax, ebx, ecx, edx, esi;
};

static struct answer backdoor(uint32_t command)
{
    struct answer a = {BACKDOOR_MAGIC, 0, command, 0x5658, 0};

    __asm__ volatile("inl %%dx, %%eax"
                     : "+a"(a.eax), "+b"(a.ebx), "+c"(a.ecx), "+d"(a.edx), "+S"(a.esi));
    return a;
}

static uint64_t host_us(void)
{
    const struct answer a = backdoor(46);

    return ((uint64_t)a.esi << 32 | a.edx) * 1000000 + a.ebx;
}

/*
 * One counter beside the TSC; the other beside the TSC; then each is right at the TSC's time.
 */
static struct reading take(void)
{
    struct reading r = {0, 0, 0, 0};
    uint64_t width = UINT64_MAX;

    for (unsigned i = 0; i < 50; i++) {
        const uint64_t before = rdtsc(), host = host_us(), pm = inl(PM_TIMER);
        const uint64_t apic = apic_read(APIC_TIMER_CURRENT), after = rdtsc();

        if (after - before < width) {
            width = after - before;
            r = (struct reading){host, before + width / 2, pm, apic};
        }
    }
    return r;
}

/* How far `ticks` are from what `hz` makes in `us`, in parts per million. */
static int64_t off_ppm(uint64_t ticks, uint64_t hz, uint64_t us)
{
    const uint64_t wanted = hz * us / 1000000;

    return ((int64_t)ticks - (int64_t)wanted) * 1000000 / (int64_t)wanted;
}

static void judge(const char *name, int64_t ppm, int64_t room)
{
    guest_printf("%s: %lld ppm\n", name, (long long)ppm);
    expect(ppm < room && ppm > -room, name);
}

/* Channel 2 counts down once; its output is bit 5 of port 61. */
static uint64_t pit_us(void)
{
    uint64_t start;

    outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1u));
    outb(0x43, 0xb0);
    outb(0x42, PIT_COUNT & 0xff);
    outb(0x42, PIT_COUNT >> 8);
    start = host_us();
    while (!(inb(0x61) & 0x20))
        ;
    return host_us() - start;
}

void guest_main(void)
{
    struct answer hz = backdoor(45);
    struct reading first, last;
    uint64_t us, pit = UINT64_MAX;

    if (hz.eax == BACKDOOR_MAGIC || hz.eax == UINT32_MAX) {
        guest_printf("note: nobody tells the time here\n");
        return;
    }
    apic_enable();
    apic_write(APIC_LVT_TIMER, 0x10000);
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
    first = take();
    while (host_us() - first.host_us < RUN_US)
        for (volatile unsigned i = 0; i < 10000; i++)
            ;
    last = take();
    us = last.host_us - first.host_us;
    judge("TSC", off_ppm(last.tsc - first.tsc, (uint64_t)hz.ebx << 32 | hz.eax, us), 1000);
    judge("PM timer", off_ppm((last.pm - first.pm) & PM_MASK, PM_HZ, us), 1000);
    judge("APIC timer", off_ppm(first.apic - last.apic, hz.ecx, us), 1000);
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t once = pit_us();

        pit = once < pit ? once : pit;
    }
    judge("PIT", off_ppm(pit, 1000000, PIT_COUNT * 1000000ull / PIT_HZ), 5000);
}
