// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/histogram.h -- how often which value came: percentiles of latencies in 1.2 KB, without floating point.
 *
 * Eight buckets to the octave, so a percentile is exact to an eighth. Values from 2^40 on (18 minutes in ns)
 * count as the last bucket.
 *
 * Locking    the caller's.
 */
#pragma once

#include "lib/types.h"

#define HISTOGRAM_STEPS   8u  // of an octave
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * 38u)

struct histogram {
    uint32_t count[HISTOGRAM_BUCKETS];  // stays at its largest value
    uint64_t total;
    uint64_t most;  // the largest value, exactly
};

void histogram_add(struct histogram *h, uint64_t value);
/* The value that `percent` of all do not exceed: the upper end of its bucket, or `most`. 0: there is none. */
uint64_t histogram_percentile(const struct histogram *h, unsigned percent);
