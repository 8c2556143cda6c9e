// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/smbios.h -- the SMBIOS tables: who made this computer, and its serial number.
 */
#pragma once

#include "lib/types.h"

struct vm_config;

/* Bytes before the structure table: the 32-bit and 64-bit entry points, 16-byte aligned. */
#define SMBIOS_ENTRY_SIZE 64u

/*
 * Builds entry points and structures for memory at guest address `base` (16-byte aligned, below
 * 1 MB). `low` and `high` are the bytes of RAM below the hole and from 4 GB on. Returns how
 * many bytes of `out` are used, 0 if `room` is too small.
 */
size_t smbios_build(const struct vm_config *config, uint64_t low, uint64_t high, uint64_t base,
                    uint8_t *out, size_t room);
