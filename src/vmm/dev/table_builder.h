// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/table_builder.h -- bytes one after the other into a buffer, for tables that firmware leaves.
 *
 * What no longer fits is left out and noted in `full`, so that callers look once, at the end.
 */
#pragma once

#include "lib/string.h"

struct table_builder {
    uint8_t *out;  // the caller's
    size_t room, size;
    bool full;
};

static inline void table_put(struct table_builder *b, const void *bytes, size_t size)
{
    if (size > b->room - b->size) {
        b->full = true;
        return;
    }
    memcpy(b->out + b->size, bytes, size);
    b->size += size;
}

/* The sum of the bytes; ACPI and SMBIOS want it to be 0 with the checksum in it. */
static inline uint8_t table_sum(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint8_t total = 0;

    while (size-- > 0)
        total = (uint8_t)(total + *p++);
    return total;
}
