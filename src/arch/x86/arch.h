// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/arch.h -- what the bring-up and the machine say to each other outside the seam.
 */
#pragma once

#include "plat/plat_types.h"

/*
 * Implemented by boot/: called once by the entry code with this machine ready to serve the
 * whole seam: console, memory map, CPU count, time; irqs off, CPU 0.
 */
noreturn_fn void boot_main(void);

/* Logs what was found before there was a log: loader, overlaps in the map, clocks, CPUs. */
void arch_report(void);
/* After mem_init(): the part of ACPI that needs a heap. */
void arch_late_init(void);
/* Calls `pressed` in interrupt context when the power button is pressed. */
void arch_power_button_hook(void (*pressed)(void));
/* Logs how far the clock is off what an independent timer counted since boot. */
void arch_clock_check(void);
/* The counter at the first instruction of the kernel, for measurements. */
extern const uint64_t arch_entry_tsc;
