// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/stats.h -- the result of `orrery-trace stats`, and the three ways it is written.
 *
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/account.h"
#include "trace/memory.h"

enum stats_kind {
    STATS_HOST,
    STATS_POOL,
    STATS_VM,
    STATS_WORLD,
    STATS_KINDS
};

/* One line of the report. */
struct stats_row {
    enum stats_kind kind;
    uint32_t id;
    char name[32], vm[32], pool[32];
    unsigned worlds;  // how many it sums up
    uint32_t shares, min_mhz, max_mhz;
    struct account sum;
};

struct stats {
    const struct accounts *all;
    const struct memory_model *memory;
    const struct trace_info *info;
    struct stats_row *rows;  // by kind, then id
    unsigned count, room;
    double jain;
    unsigned jain_worlds;
};

struct cJSON;

/* stats_mem.c: the memory part; nothing if none was recorded. */
void stats_memory_table(FILE *out, const struct memory_model *m);
void stats_memory_csv(FILE *out, const struct memory_model *m);
void stats_memory_json(struct cJSON *root, const struct memory_model *m);

void stats_write_table(FILE *out, const struct stats *s);
void stats_write_csv(FILE *out, const struct stats *s);
/* False: no memory. */
bool stats_write_json(FILE *out, const struct stats *s);
const char *stats_kind_name(enum stats_kind kind);
