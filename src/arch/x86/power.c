// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/power.c -- the ends of a run: stop, power off, reset; and randomness.
 *
 * Each way out empties the UARTs first: an emulator that quits drops what is still in them. The
 * ways are tried from the proper one (ACPI) to the crude.
 *
 * Invariants
 *   - None of the ends returns.
 * Locking    none: the CPU that calls is the last one that matters.
 * Sources    [SPLITMIX] for the mixer
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/log.h"

noreturn_fn void plat_stop(void)
{
    console_drain();
    for (;;) {
        insn_cli();
        insn_hlt();
    }
}

noreturn_fn void plat_power_off(void)
{
    insn_cli();
    console_drain();
    acpi_power_off();
    vmk_log(VMK_LOG_WARN, "Power: ACPI did not switch off");
    console_drain();
    for (const char *s = "Shutdown"; *s; s++)  // Bochs, without ACPI
        insn_outb(0x8900, (uint8_t)*s);
    plat_stop();
}

noreturn_fn void plat_reset(void)
{
    static const struct packed_layout {
        uint16_t limit;
        uint64_t base;
    } no_idt;

    insn_cli();
    console_drain();
    if (acpi_reset_machine()) {
        clock_delay(50000000);
        vmk_log(VMK_LOG_WARN, "Power: the reset register of ACPI did nothing");
        console_drain();
    }
    insn_outb(0xcf9, 6);  // the chipset's reset control: a hard reset
    clock_delay(50000000);
    insn_outb(0x64, 0xfe);  // the 8042 pulls the reset line
    clock_delay(50000000);
    __asm__ volatile("lidt %0; int3" : : "m"(no_idt));  // triple fault
    plat_stop();
}

uint64_t plat_entropy(void)
{
    static uint64_t counter;
    uint64_t value = 0;

    if (plat_cpuid(1, 0).ecx & BIT(30))
        for (unsigned i = 0; i < 10; i++) {
            bool good;

            __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
            if (good)
                return value;
        }
    // No generator: the counter's noise through splitmix64's mixer. Weak, but never twice the
    // same.
    value =
        plat_tsc_now() + __atomic_add_fetch(&counter, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}
