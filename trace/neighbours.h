// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/neighbours.h -- the last few records, to show what led to a difference.
 *
 * Invariants
 *   - Holds copies: the reader's bytes are gone at its next record.
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/reader.h"

#define RECORD_BYTES_MAX 128u

struct neighbours {
    unsigned room;
    uint64_t added;
    struct kept_record {
        struct trace_record record;
        uint8_t bytes[RECORD_BYTES_MAX];
    } * kept;
};

/* False: no memory. */
bool neighbours_init(struct neighbours *n, unsigned room);
void neighbours_free(struct neighbours *n);
void neighbours_add(struct neighbours *n, const struct trace_record *r);
/* Oldest first, each line behind `prefix`. */
void neighbours_print(const struct neighbours *n, FILE *out, const char *prefix);
