// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/memory.h -- who has how much memory, as the memory scheduler's records show it.
 *
 * For stats, plot and whatever else asks over time. All amounts are 4 KB pages.
 *
 * Invariants
 *   - Memory grows with VMs, never with records.
 * Locking    none: one thread.
 */
#pragma once

#include "trace/reader.h"

/* X(name, what) */
#define MEMORY_FIGURES(X)                                                                      \
    X(granted, "guest pages that hold something, wherever it is")                              \
    X(held, "of these in memory of their own")                                                 \
    X(active, "estimated working set")                                                         \
    X(target, "pages it should hold")                                                          \
    X(balloon, "in its balloon")                                                               \
    X(balloon_target, "should be in its balloon")                                              \
    X(shared, "saved by sharing")                                                              \
    X(compressed, "in the compression cache")                                                  \
    X(swapped, "in its swap file")                                                             \
    X(swap_target, "should be compressed or swapped")                                          \
    X(true_active, "true working set (simulation)")                                            \
    X(missing, "of that not in memory (simulation)")
enum memory_figure {
#define MEMORY_FIGURE(name, what) MEMORY_##name,
    MEMORY_FIGURES(MEMORY_FIGURE)
#undef MEMORY_FIGURE
    MEMORY_FIGURE_COUNT
};
extern const char *const memory_figure_names[MEMORY_FIGURE_COUNT];

#define MEMORY_LEVELS 5u

struct memory_vm {
    uint32_t id;
    char name[24];
    bool alive, is_pool, has_truth;
    uint32_t size, shares, min, max;
    uint32_t now[MEMORY_FIGURE_COUNT], most[MEMORY_FIGURE_COUNT];
    double sum[MEMORY_FIGURE_COUNT];  // pages times ns
    double lived;                     // ns between `from` and `to`
    double blocked_ns;
    bool blocked;
    uint32_t faults;
};

struct memory_model {
    struct memory_vm *vms;  // in the order of their ids' first records
    unsigned count, room;
    uint64_t from, to;  // what the sums are of
    uint64_t time;
    bool any, failed;
    uint64_t managed, free, min_free;
    double free_sum, measured;
    unsigned level;
    double level_ns[MEMORY_LEVELS];
    uint64_t inputs, refused, targets;
};

void memory_init(struct memory_model *m);
void memory_free(struct memory_model *m);
/* Takes any record; false: no memory left. */
bool memory_feed(struct memory_model *m, const struct trace_record *r);
/* Is it the memory scheduler's: an input, a decision, a part of its state? */
bool memory_is_decided(const struct trace_event *event);
/* Is this a record that says something here? */
bool memory_concerns(const struct trace_event *event);
/* Time goes on to the end. */
void memory_settle(struct memory_model *m, uint64_t now);
double memory_mean(const struct memory_vm *vm, enum memory_figure figure);
const char *memory_level_name(unsigned level);
