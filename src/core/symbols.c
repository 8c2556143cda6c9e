// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/symbols.c -- addresses to names, by binary search in the image's own table.
 *
 * The table is generated from `nm` of a first link and linked in by a second; both links place
 * code at the same addresses because the table follows it. It is weak here: the first link and
 * hosted builds have none, and then every address is "?".
 *
 * Invariants
 *   - vmk_symbol_table[] is sorted by address.
 * Locking    none; constant data.
 */
#include "core/symbols.h"

extern const struct vmk_symbol vmk_symbol_table[] __attribute__((weak));
extern const size_t vmk_symbol_count __attribute__((weak));

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    const size_t *count_there = &vmk_symbol_count;
    size_t low = 0;
    size_t high = count_there ? *count_there : 0;

    *offset = 0;
    if (!high || address < vmk_symbol_table[0].address)
        return "?";
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (vmk_symbol_table[middle].address <= address)
            low = middle;
        else
            high = middle;
    }
    *offset = address - vmk_symbol_table[low].address;
    return vmk_symbol_table[low].name;
}
