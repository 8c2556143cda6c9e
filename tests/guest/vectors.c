// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/vectors.c -- what vector and x87 registers hold while the host does other things.
 *
 * Every register of every component that XCR0 can have gets a pattern of its own, then the
 * guest leaves the processor in some way (it is preempted, exits, halts, touches fresh
 * memory), and all of them must be as they were. The kernel of the host uses none of them, but
 * other VMs and programs do. Where there is XSAVEC, what it packs must come back by XRSTOR.
 */
#include "guest.h"

const char guest_name[] = "vectors";

#define ROUNDS      160u
#define AREA_SIZE   4096u
#define XMM_AT      160u
#define XMM_SIZE    256u
#define HEADER_AT   512u
#define MXCSR_AT    24u
#define COMPONENTS  64u
#define CR4_OSXSAVE (1ull << 18)
#define CPUID_XSAVE (1u << 26)
#define TIMER_TICKS 20000u
#define VECTOR      0x40u
#define FRESH       (16ull << 20)  // memory that nobody has touched

static uint8_t wanted[AREA_SIZE] __attribute__((aligned(64)));
static uint8_t got[AREA_SIZE] __attribute__((aligned(64)));
static uint8_t packed[AREA_SIZE] __attribute__((aligned(64)));
static const uint32_t mxcsr_reset = 0x1f80;
static uint64_t components;  // of XCR0; 0: FXSAVE
static uint64_t state;
static uint64_t fresh = FRESH;
static bool packs;  // XSAVEC is there

static uint8_t random_byte(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint8_t)(state >> 56);
}

/* Where a component lies in the standard form. */
static void place_of(unsigned component, uint32_t *at, uint32_t *size)
{
    if (component < 2) {
        *at = XMM_AT;
        *size = component ? XMM_SIZE : 0;
        return;
    }
    *size = cpuid_sub(0xd, component).eax;
    *at = cpuid_sub(0xd, component).ebx;
}

static void save(uint8_t *area)
{
    if (components)
        __asm__ volatile("xsave64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)components), "d"(components >> 32)
                         : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static void load(const uint8_t *area)
{
    if (components)
        __asm__ volatile("xrstor64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)components), "d"(components >> 32)
                         : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

static void pattern(void)
{
    const uint64_t mask = components ? components : 3;
    uint32_t at, size;

    for (unsigned i = 0; i < AREA_SIZE; i++)
        wanted[i] = 0;
    *(uint16_t *)wanted = 0x37f;
    __builtin_memcpy(wanted + MXCSR_AT, &mxcsr_reset, sizeof(mxcsr_reset));
    for (unsigned component = 1; component < COMPONENTS; component++) {
        if (!(mask >> component & 1))
            continue;
        place_of(component, &at, &size);
        for (unsigned i = 0; i < size; i++)
            wanted[at + i] = random_byte();
    }
    if (components)
        __builtin_memcpy(wanted + HEADER_AT, &components, sizeof(components));
}

/* By way of the packed form, with all registers cleared in between. */
static void pack(void)
{
    const uint32_t low = (uint32_t)components;

    __asm__ volatile("xsavec64 (%0)" : : "r"(packed), "a"(low), "d"(0) : "memory");
    __builtin_memset(got, 0, HEADER_AT + 64);
    __builtin_memcpy(got + MXCSR_AT, &mxcsr_reset, sizeof(mxcsr_reset));
    load(got);
    load(packed);
}

static void on_timer(struct guest_frame *frame)
{
    (void)frame;
    apic_write(APIC_EOI, 0);
}

static void leave(unsigned how)
{
    switch (how % 4) {
    case 0:
        for (volatile unsigned i = 0; i < 100000; i++)
            ;
        break;
    case 1:
        for (unsigned i = 0; i < 50; i++)
            (void)cpuid(0);
        break;
    case 2:
        apic_write(APIC_TIMER_INITIAL, TIMER_TICKS);
        wait_irq();
        break;
    default:
        for (unsigned i = 0; i < 4 && fresh + 4096 <= guest_memory_end(); i++, fresh += 4096)
            *(volatile uint8_t *)fresh = 1;
        break;
    }
}

static void compare(unsigned round)
{
    const uint64_t mask = components ? components : 3;
    uint32_t at, size, bad;

    for (unsigned component = 1; component < COMPONENTS; component++) {
        if (!(mask >> component & 1))
            continue;
        place_of(component, &at, &size);
        bad = 0;
        for (unsigned i = 0; i < size; i++)
            bad += got[at + i] != wanted[at + i];
        if (bad) {
            guest_printf("FAIL round %u: component %u: %u of %u bytes are others\n", round,
                         component, bad, size);
            guest_failures++;
        }
    }
}

void guest_main(void)
{
    uint64_t cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    if (cpuid(1).ecx & CPUID_XSAVE) {
        components = cpuid(0xd).eax;
        packs = cpuid_sub(0xd, 1).eax & 2;
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE | 0x600));
        __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)components), "d"(0));
    } else {
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 0x600));
    }
    state = rdtsc() | 1;
    apic_enable();
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, VECTOR);
    guest_on(VECTOR, on_timer);
    for (unsigned round = 0; round < ROUNDS && guest_failures < 10; round++) {
        pattern();
        load(wanted);
        leave(round);
        if (packs)
            pack();
        save(got);
        compare(round);
    }
    guest_printf("components %x%s\n", (unsigned)(components ? components : 3),
                 packs ? ", packed too" : "");
}
