// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/histogram.c -- values below 8 have a bucket each; from there on the leading bit and the three behind it choose.
 *
 * Locking    the caller's.
 */
#include "lib/histogram.h"

#define FINE 3u  // log2 of HISTOGRAM_STEPS

static unsigned bucket_of(uint64_t value)
{
    unsigned top, bucket;

    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    top = 63u - (unsigned)__builtin_clzll(value);
    bucket = (top - FINE + 1) * HISTOGRAM_STEPS +
             (unsigned)(value >> (top - FINE)) % HISTOGRAM_STEPS;
    return MIN(bucket, HISTOGRAM_BUCKETS - 1);
}

/* The largest value that falls into it. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned octave = bucket / HISTOGRAM_STEPS;

    if (octave == 0)
        return bucket;
    return ((uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 1) << (octave - 1)) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    uint32_t *count = &h->count[bucket_of(value)];

    *count += *count != UINT32_MAX;
    h->total++;
    h->most = MAX(h->most, value);
}

uint64_t histogram_percentile(const struct histogram *h, unsigned percent)
{
    uint64_t wanted = (h->total * percent + 99) / 100, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += h->count[i];
        if (seen >= wanted)
            return MIN(bucket_end(i), h->most);
    }
    return h->most;
}
