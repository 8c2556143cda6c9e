// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/symbols.h -- addresses to names, for backtraces. The image's table is made from its own
 * `nm` in a second link; hosted builds have none.
 */
#pragma once

#include "lib/types.h"

struct vmk_symbol {
    uint64_t address;
    const char *name;
};

/* The function that holds `address` and the offset in it; "?" if unknown. */
const char *symbol_find(uint64_t address, uint64_t *offset);
