// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/hdr.h -- a histogram of durations over many orders of magnitude, in constant memory.
 *
 * Buckets are 16 to the octave, so a percentile is exact to 1/16 (about 3 % at its middle);
 * count, sum and maximum are exact. Two histograms add up without loss.
 *
 * Invariants
 *   - The sum of the buckets is `count`.
 * Locking    the caller's.
 * Sources    [HDR]
 */
#pragma once

#include "lib/types.h"

#define HDR_SUB     16u
#define HDR_BUCKETS ((64u - 3u) * HDR_SUB)

struct hdr {
    uint64_t count, sum, max;
    uint32_t buckets[HDR_BUCKETS];
};

void hdr_add(struct hdr *h, uint64_t value);
void hdr_merge(struct hdr *into, const struct hdr *from);
/*
 * The least value that `permille` of all are at or below (its bucket's upper end); 0 if empty.
 */
uint64_t hdr_permille(const struct hdr *h, unsigned permille);
/* The i-th bucket's upper end (inclusive), for plots. */
uint64_t hdr_upper(unsigned bucket);
