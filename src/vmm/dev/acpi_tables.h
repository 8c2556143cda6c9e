// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/acpi_tables.h -- the ACPI tables of a virtual machine.
 */
#pragma once

#include "lib/types.h"

/* Where the tables lie in guest memory: reserved in the memory map, searched by guests. */
#define ACPI_TABLES_BASE 0xf0000u
#define ACPI_TABLES_SIZE 0x8000u
#define SMBIOS_BASE      0xf8000u
#define SMBIOS_SIZE      0x4000u

/*
 * Builds RSDP (at the very start), XSDT, RSDT, FADT, FACS, DSDT and MADT for guest address
 * `base`.
 * Returns how many bytes of `out` are used, 0 if `room` is too small.
 */
size_t acpi_tables_build(unsigned vcpus, uint64_t base, uint8_t *out, size_t room);
