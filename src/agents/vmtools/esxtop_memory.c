// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop_memory.c -- the memory columns of esxtop: one table for the screen and the CSV file.
 *
 * A column is a field of struct vmk_vm_memory and the unit it is shown in. Columns come in
 * fields, the groups that a user of the screen shows or hides together, as ESXi's program does
 * it.
 *
 * Invariants
 *   - Values are hundredths of what is shown; a rate before the second look is 0.
 * Locking    none: one thread.
 * Sources    [ESXTOP]
 */
#include <string.h>

#include "agents/vmtools/esxtop.h"

#define FIELD(name) offsetof(struct vmk_vm_memory, name)

const struct memory_column memory_columns[MEMORY_COLUMNS] = {
    {'A', "MEMSZ", "Memory Size MBytes", MEMORY_KB, FIELD(size_kb)},
    {'A', "GRANT", "Memory Granted Size MBytes", MEMORY_KB, FIELD(granted_kb)},
    {'A', "SZTGT", "Target Size MBytes", MEMORY_KB, FIELD(target_kb)},
    {'B', "TCHD", "Touched MBytes", MEMORY_KB, FIELD(touched_kb)},
    {'B', "ACTV", "Active MBytes", MEMORY_KB, FIELD(active_kb)},
    {'C', "%ACTV", "% Active Estimate", MEMORY_PERMILLE, FIELD(active_permille)},
    {'C', "%ACTVS", "% Active Slow Estimate", MEMORY_PERMILLE, FIELD(slow_permille)},
    {'C', "%ACTVF", "% Active Fast Estimate", MEMORY_PERMILLE, FIELD(fast_permille)},
    {'C', "%ACTVN", "% Active Next Estimate", MEMORY_PERMILLE, FIELD(next_permille)},
    {'D', "MCTL?", "Memctl?", MEMORY_DRIVER, FIELD(flags)},
    {'D', "MCTLSZ", "Memctl MBytes", MEMORY_KB, FIELD(balloon_kb)},
    {'D', "MCTLTGT", "Memctl Target MBytes", MEMORY_KB, FIELD(balloon_target_kb)},
    {'D', "MCTLMAX", "Memctl Max MBytes", MEMORY_KB, FIELD(balloon_max_kb)},
    {'E', "SWCUR", "Swapped MBytes", MEMORY_KB, FIELD(swapped_kb)},
    {'E', "SWTGT", "Swap Target MBytes", MEMORY_KB, FIELD(swap_target_kb)},
    {'E', "SWR/s", "Swap Read MBytes/sec", MEMORY_PAGES_MB, FIELD(swapped_in_pages)},
    {'E', "SWW/s", "Swap Written MBytes/sec", MEMORY_PAGES_MB, FIELD(swapped_out_pages)},
    {'F', "CACHESZ", "Compression Cache Size MBytes", MEMORY_KB, FIELD(cache_kb)},
    {'F', "CACHEUSD", "Compression Cache Used MBytes", MEMORY_BYTES, FIELD(cache_used_bytes)},
    {'F', "ZIP/s", "Zipped MBytes/sec", MEMORY_PAGES_MB, FIELD(zipped_pages)},
    {'F', "UNZIP/s", "Unzipped MBytes/sec", MEMORY_PAGES_MB, FIELD(unzipped_pages)},
    {'G', "ZERO", "Zero MBytes", MEMORY_KB, FIELD(zero_kb)},
    {'G', "SHRD", "Shared MBytes", MEMORY_KB, FIELD(shared_kb)},
    {'G', "SHRDSVD", "Shared Saved MBytes", MEMORY_KB, FIELD(saved_kb)},
    {'G', "COWH", "Copy On Write Hint MBytes", MEMORY_KB, FIELD(hints_kb)},
    {'H', "OVHD", "Overhead MBytes", MEMORY_KB, FIELD(overhead_kb)},
    {'H', "OVHDMAX", "Overhead Max MBytes", MEMORY_KB, FIELD(overhead_max_kb)},
    {'I', "AMIN", "Reservation MBytes", MEMORY_KB, FIELD(min_kb)},
    {'I', "AMLMT", "Limit MBytes", MEMORY_LIMIT, FIELD(max_kb)},
    {'I', "ASHRS", "Shares", MEMORY_COUNT, FIELD(shares)},
};

const struct top_field memory_fields[MEMORY_FIELDS] = {
    {'A', true, "size: configured, granted, target"},
    {'B', true, "touched and active memory"},
    {'C', false, "estimates of the working set"},
    {'D', true, "balloon"},
    {'E', true, "swapping"},
    {'F', true, "compression"},
    {'G', true, "sharing"},
    {'H', true, "overhead"},
    {'I', false, "allocation: reservation, limit, shares"},
};

static uint64_t wide(const struct vmk_vm_memory *m, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)m + offset, sizeof(value));
    return value;
}

static uint64_t narrow(const struct vmk_vm_memory *m, size_t offset)
{
    uint32_t value;

    memcpy(&value, (const char *)m + offset, sizeof(value));
    return value;
}

uint64_t top_pages_rate(uint64_t before, uint64_t now, uint64_t passed_ns)
{
    // Hundredths of MB in a second: 256 pages are an MB.
    return now > before && passed_ns
               ? (uint64_t)((double)(now - before) * 100 / 256 * 1e9 / (double)passed_ns)
               : 0;
}

uint64_t top_memory_value(const struct memory_column *c, const struct vmk_vm_memory *before,
                          const struct vmk_vm_memory *now, uint64_t passed_ns)
{
    switch (c->unit) {
    case MEMORY_KB: return wide(now, c->offset) * 100 / 1024;
    case MEMORY_BYTES: return wide(now, c->offset) * 100 / 1048576;
    case MEMORY_LIMIT:
        return wide(now, c->offset) == UINT64_MAX ? 0 : wide(now, c->offset) * 100 / 1024;
    case MEMORY_PERMILLE: return narrow(now, c->offset) * 10;
    case MEMORY_COUNT: return narrow(now, c->offset) * 100;
    case MEMORY_DRIVER: return narrow(now, c->offset) & VMK_VM_BALLOON ? 100 : 0;
    case MEMORY_PAGES_MB:
        return before ? top_pages_rate(wide(before, c->offset), wide(now, c->offset), passed_ns)
                      : 0;
    }
    return 0;
}
