// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import.h -- foreign traces into workloads: what the readers share, and the demand behind it.
 *
 * A reader tells the demand builder three things in order of time: who leaves and who takes a
 * CPU, who woke whom, who is new. The builder finds bursts, wake edges and waits from outside,
 * and makes the steps of a workload that no longer depends on who scheduled it
 * (import_demand.c).
 */
#pragma once

#include <stdio.h>

#include "sim/workload/wl.h"
#include "trace/tool.h"

#define DEMAND_IDLE    0u  // task id of the idle tasks
#define DEMAND_CURRENT (UINT32_MAX - 1)

/* How a task left its CPU. */
enum demand_leave {
    DEMAND_PREEMPTED,  // it wants to go on
    DEMAND_SLEEP,      // it waits for something
    DEMAND_IO,         // it waits for a device
    DEMAND_HALT,       // a guest's idle
    DEMAND_EXIT,
};

struct demand_options {
    uint64_t switch_cost;  // subtracted from each run between two switches
    uint32_t cpus;         // 0: as seen
    FILE *timehist;        // null, or where `perf sched timehist` lines go
};

struct demand;
struct demand *demand_create(const struct demand_options *o);
void demand_free(struct demand *d);
/* The recorder says that it lost so many events. */
void demand_lost(struct demand *d, uint64_t count);
/* Whose sample perf took the next switch for; `perf sched timehist` names its line so. */
struct demand_sample {
    const char *name;  // up to name_length, or null: as the switch says
    size_t name_length;
    uint32_t process;  // 0: not known
    bool gone;         // the thread has ended and perf knows it no more (-1)
};
void demand_sampled(struct demand *d, const struct demand_sample *s);
/* At `time` the CPU goes from one task to another; either may be idle. Names may be null. */
void demand_switch(struct demand *d, uint64_t time, uint32_t cpu, uint32_t prev,
                   const char *prev_name, enum demand_leave how, uint32_t next,
                   const char *next_name);
/*
 * At `time` a task is made runnable. waker: DEMAND_IDLE for something outside, such as an
 * interrupt, or DEMAND_CURRENT for whom that CPU runs. *ran is who the record says is running
 * there, switches may be missing; null if it does not say. Taken in with the next switch, or by
 * demand_finish() if it has a time.
 */
void demand_wake(struct demand *d, uint64_t time, uint32_t cpu, uint32_t task, const char *name,
                 uint32_t waker, const uint32_t *ran);
/* What a name is known by; shares and so on are set by the caller afterwards. */
struct demand_world {
    const char *name;  // unique, a name of the workload language
    uint64_t run, ready, first, bursts, wakes, preemptions, switches;
    uint64_t perf_run;  // as `perf sched timehist` counts: the same unless entries are missing
    uint32_t task;
};

struct demand_summary {
    uint64_t tasks, switches, wakes, bursts, preemptions, edges, outside, lost;
    uint64_t run, ready, elapsed;
    double run_error, ready_error;  // of the self-replay, largest of any task of weight
    uint64_t ready_replayed;
    uint32_t cpus;  // seen; a workload has at most 64
};

/*
 * Ends the trace at `time` (0: the last event) and makes the workload: *w is initialised by the
 * caller with its name, source and so on. Then replays it along the recorded switches and
 * compares.
 */
void demand_finish(struct demand *d, uint64_t time, struct workload *w,
                   struct demand_summary *out);
/*
 * The i-th task in the order of the workload's worlds; false at the end. After demand_finish().
 */
bool demand_world_at(const struct demand *d, uint32_t i, struct demand_world *out);

/* A name that is known apart from the events. */
void demand_name(struct demand *d, uint32_t task, const char *name);

/* ---- readers: true, or false with the error said by tool_fail() ---- */
bool import_text(const char *path, struct demand *d);
/* An own trace; resources and pools are in *w then. */
bool import_own(const char *directory, uint64_t switch_cost, struct workload *w,
                struct demand_summary *out);
bool import_ctf(const char *directory, struct demand *d);
bool import_planetlab(const char *path, struct workload *w, uint64_t period);
bool import_bitbrains(const char *path, struct workload *w, uint64_t period);
