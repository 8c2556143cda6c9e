// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/program.h -- a workload made executable: names are numbers, groups are worlds.
 */
#pragma once

#include "sim/workload/wl.h"

#define PROGRAM_NONE UINT32_MAX

/* One step, resolved. */
struct program_op {
    uint8_t kind, wait, level;  // level: which loop counter
    uint32_t target;            // object or vm, or where a loop goes back to
    uint64_t value, phase;
    const struct wl_dist *dist;
    uint32_t line;
};

struct program_resources {
    uint32_t shares, min_mhz, max_mhz;  // shares 0: default; max UINT32_MAX: none
};

struct program_world {
    char name[WL_NAME_SIZE];
    uint32_t vm, pool;  // index or PROGRAM_NONE
    struct program_resources resources;
    uint64_t affinity;
    const struct wl_dist *start;
    const struct program_op *ops;
    uint32_t op_count;
};

/* A pool, or a VM (which is a pool whose worlds are co-scheduled). Parents come first. */
struct program_pool {
    char name[WL_NAME_SIZE];
    uint32_t parent;
    struct program_resources resources;
    bool expandable, vm, cosched;
};

/* An event (an edge between two worlds is one), a lock or a barrier. */
struct program_object {
    enum wl_object_kind kind;
    enum wl_lock_kind lock;
    uint64_t spin;
    uint32_t parties, count;
};

struct program_change {
    uint64_t time;
    uint32_t world, pool;               // one of the two
    uint32_t shares, min_mhz, max_mhz;  // WL_UNSET: as it is
    uint64_t affinity;
    uint32_t to_pool;
    const char *memory;  // null: none; with neither world nor pool: of the host
};

struct program {
    const struct workload *source;
    struct program_world *worlds;
    struct program_pool *pools;
    struct program_object *objects;
    struct program_change *changes;  // by time
    struct program_op *ops;
    uint32_t world_count, pool_count, object_count, change_count, object_room;
    size_t op_count;
};

/*
 * Resolves `w`, which must outlive the program. False with *error: an unknown or a double name.
 */
must_check bool program_link(const struct workload *w, struct program *p,
                             struct wl_error *error);
void program_free(struct program *p);
