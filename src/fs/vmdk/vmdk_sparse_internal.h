// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_sparse_internal.h -- a sparse extent that is open, and its cache of table lines.
 */
#pragma once

#include "fs/vmdk/vmdk_internal.h"

#define LINE_SIZE     2048u
#define LINE_ENTRIES  (LINE_SIZE / 4)
#define LINE_SECTORS  (LINE_SIZE / VMDK_SECTOR)
#define LINES_MAX     256u
#define LINE_BUCKETS  64u
#define FORGOTTEN_MAX 256u

struct line {
    struct line *next;  // of the bucket
    uint64_t sector;    // where it lies; the key
    uint64_t copy;      // where its redundant copy lies, 0: none
    uint32_t age;
    uint8_t dirty;  // one bit per sector
    bool directory;
    uint8_t data[LINE_SIZE];
};

struct vmdk_sparse {
    struct vmdk_file *file;
    bool hosted, writable, stream, zero_grains;
    uint64_t sectors, grain_sectors, gd, rgd, first_grain;
    uint32_t gt_entries, gd_entries;
    uint64_t descriptor_at;  // sectors
    uint64_t descriptor_sectors;
    uint64_t next_free;  // sector behind everything
    struct line *buckets[LINE_BUCKETS];
    struct line *lines;  // LINES_MAX of them
    unsigned line_count;
    uint32_t clock;
    bool dirty;  // something to flush: grains or lines
    /* Grains that became zero: usable again when the tables are durable. */
    uint32_t forgotten[FORGOTTEN_MAX];
    unsigned forgotten_count, reusable_count;
};

static inline uint64_t directory_sectors(const struct vmdk_sparse *s)
{
    return ((uint64_t)s->gd_entries * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR;
}
