// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/engine.h -- runs a program on the scheduler's state machine,
 * event by event.
 *
 * No coroutines and no world's code: a world is a list of steps, and time jumps
 * from event to event. The machine is the kernel's (src/sched), so is the
 * recorder (src/core/trace.c).
 */
#pragma once

#include "core/trace.h"
#include "lib/hdr.h"
#include "sched/machine.h"
#include "sim/workload/memory.h"
#include "sim/workload/program.h"

/* What a world had, from its start or up to a sample. All ns. */
struct engine_times {
    uint64_t run, ready, limited, costop, wait;
    uint64_t work, spin, ops;
};

struct engine_world_result {
    struct engine_times times;
    uint64_t measured;  // time on a CPU as the engine saw it: equals times.run
    uint64_t used;      // the scheduler's %USED
    uint64_t created;
    uint64_t switches, migrations, wakes;
    uint64_t remote;   // run time away from the home node
    struct hdr *wake;  // from wake-up to running, ns; null: never woken
    bool ended;
};

struct engine_options {
    uint64_t seed;
    uint64_t duration;                // 0: the workload's
    unsigned cpus;                    // 0: the workload's
    const char *policy;               // null: the workload's, or the default
    const struct wl_policy *variant;  // set after the workload's own policy line, or null
    struct trace_state *trace;        // null: nothing is recorded
    uint64_t sample_period;           // 0: no samples
    bool skew;                        // watch the skew of VMs
    uint32_t noise_permille;          // each burst is longer or shorter by up to this
    const char *memory;               // settings of memory over the file's, or null
};

struct engine_result {
    uint32_t world_count, pool_count;
    struct engine_world_result *worlds;
    uint64_t *skew;  // per pool, ns
    uint64_t duration;
    uint64_t inputs, events, switches, migrations[MIGRATE_KIND_COUNT], costops;
    struct sched_counters counters;
    struct engine_times *samples;  // [sample_count][world_count]
    uint64_t sample_period;
    uint32_t sample_count;
    unsigned cpus;
    struct memory_result memory;
    char policy[WL_NAME_SIZE];
    char error[256];  // empty: it ran
};

/* Runs; false with result->error. Free the result in both cases. */
must_check bool engine_run(const struct program *p, const struct engine_options *o,
                           struct engine_result *result);
void engine_result_free(struct engine_result *result);
