// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/hdr.c -- a histogram of durations over many orders of magnitude, in constant memory.
 *
 * Values below 16 have a bucket each; above, the four bits behind the leading one choose among
 * the sixteen of their octave.
 *
 * Invariants
 *   - hdr_upper(bucket_of(v)) >= v, and hdr_upper(bucket_of(v) - 1) < v.
 * Locking    the caller's.
 * Sources    [HDR]
 */
#include "lib/hdr.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < HDR_SUB)
        return (unsigned)value;

    unsigned octave = 63 - (unsigned)__builtin_clzll(value);  // at least 4

    return (octave - 3) * HDR_SUB + (unsigned)(value >> (octave - 4) & (HDR_SUB - 1));
}

uint64_t hdr_upper(unsigned bucket)
{
    if (bucket < HDR_SUB)
        return bucket;

    unsigned octave = bucket / HDR_SUB + 3;
    uint64_t width = BIT(octave - 4);

    return BIT(octave) + (bucket % HDR_SUB) * width + (width - 1);
}

void hdr_add(struct hdr *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    h->max = MAX(h->max, value);
    h->buckets[bucket_of(value)]++;
}

void hdr_merge(struct hdr *into, const struct hdr *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->max = MAX(into->max, from->max);
    for (unsigned i = 0; i < HDR_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t hdr_permille(const struct hdr *h, unsigned permille)
{
    uint64_t seen = 0;

    if (!h->count)
        return 0;
    for (unsigned i = 0; i < HDR_BUCKETS; i++) {
        seen += h->buckets[i];
        if (h->buckets[i] && seen * 1000 >= h->count * permille)
            return MIN(hdr_upper(i), h->max);
    }
    return h->max;
}
