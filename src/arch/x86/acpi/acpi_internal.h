// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi/acpi_internal.h -- what the files of this folder share: ACPICA's interface, and
 * who may be in it.
 */
#pragma once

#include "acpi/acpi.h"
#include "lib/types.h"

/* From acpi_early_init() on there is a table manager, from here on also a heap. */
extern bool acpi_heap_ready;
/* The namespace is loaded: methods may be run. */
extern bool acpi_methods_ready;

/*
 * ACPICA runs for one CPU at a time, with interrupts off and nothing else of the kernel locked:
 * its own mutexes then never have to wait. acpi_use_end() runs what was put off meanwhile.
 */
bool acpi_use_begin(void);
void acpi_use_end(bool irqs_were_on);
void acpi_use_force(void);  // the same for the way out, where a holder may never come back
/* After log and heap are up: the messages of the early tables, and from then on all of them. */
void acpi_os_late(void);

/* The bring-up is over: nothing new is mapped where user worlds would not see it. */
void acpi_os_settle(void);

/* acpi_route.c: finds the PCI buses that have a routing table. Inside a use. */
void acpi_route_init(void);
