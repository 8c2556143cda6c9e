// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_internal.h -- the demand of a trace, shared by import_demand.c and import_replay.c.
 */
#pragma once

#include "trace/import.h"

#define DEMAND_NONE     UINT32_MAX
#define DEMAND_CPUS_MAX 4096u

enum op_kind {
    OP_RUN,
    OP_UNTIL,   // value: time
    OP_IO,      // value: length
    OP_WAIT,    // value: task index
    OP_SIGNAL,  // value: task index
    OP_DEAD,    // a doubtful signal that was none
};
struct op {
    uint8_t kind;
    uint64_t value;
};

enum state {
    STATE_UNKNOWN,
    STATE_RUN,
    STATE_READY,
    STATE_BLOCKED,
    STATE_GONE,
};

struct task {
    uint32_t id, cpu, count, room;
    uint8_t state;
    bool begun;  // its first op has a begin
    bool waits;  // its first op is the wait that it begins with
    bool loose;  // on a CPU since before the trace: this fragment is not counted
    enum demand_leave how;
    char name[24];
    char unique[WL_NAME_SIZE];
    struct op *ops;
    uint64_t begin;     // first instant it was seen to want something
    uint64_t since;     // of the state
    uint64_t burst;     // of the open burst, fragments before this one
    uint64_t fragment;  // start of this fragment, up to the last signal
    uint64_t paid;      // of the switch cost, in this fragment
    size_t entered;     // the switch that began it
    uint32_t doubtful;  // task whose signal may have come early, or DEMAND_NONE
    uint32_t doubtful_op;
    bool doubtful_outside;
    uint64_t doubtful_time;
    uint64_t run, ready, bursts, wakes, preemptions, switches;
    uint64_t perf_run;  // as perf counts: since the last switch of the CPU, see entry_guess()
    uint64_t stamp_out,
        stamp_ready;  // timehist, as recorded: when it left a CPU, was woken; or 0
    // Self-replay.
    uint32_t pc;
    uint64_t left, replay_run, replay_ready, replay_since;
    uint64_t replay_open;  // of the fragment: it counts when the record has its end
    uint64_t replay_cost;  // of the switch to it
    uint8_t replay_state;
    uint64_t wakeup;  // its timer
};

/* A recorded switch, for the self-replay. */
struct switched {
    uint64_t time;
    uint32_t cpu, prev, next;  // task indexes or DEMAND_NONE
    bool leaves;               // prev blocked
    uint32_t order;
    uint64_t cost;  // taken out of what next ran
};

/* A wake-up that is not yet taken in. */
struct held {
    uint64_t time;
    uint32_t cpu, task, waker;
    uint32_t ran;  // who the record says ran there, or DEMAND_NONE
    bool named;
    char name[24];
};

struct demand {
    struct demand_options options;
    struct task *tasks;
    uint32_t count, room;
    uint32_t *hash;  // task index + 1
    uint32_t hash_size;
    uint32_t current[DEMAND_CPUS_MAX];    // task index + 1; 0: not known; 1: idle
    uint64_t switched[DEMAND_CPUS_MAX];   // time of the last switch there
    bool known[DEMAND_CPUS_MAX];          // there was one
    uint64_t stamp[DEMAND_CPUS_MAX];      // the same time as recorded, or 0
    uint64_t idle_left[DEMAND_CPUS_MAX];  // when its idle task was left last, as recorded, or 0
    uint32_t cpus;
    struct switched *switches;
    size_t switch_count, switch_room;
    uint64_t origin, last;
    bool started;
    /* Of the next switch, see demand_sampled(). */
    char sampled_name[24];
    uint32_t sampled_process;
    bool sampled_gone;
    /* Those that perf knows no more are one in timehist, of the first process that it knows. */
    uint32_t gone_process;
    uint64_t gone_out;
    uint64_t edges, outside, lost;
    struct held *held;  // seen since the last switch
    size_t held_count, held_room;
};

/* Room for one more; ends the program if there is no memory. */
void *demand_grown(void *array, size_t count, size_t *room, size_t size);
/* ---- import_replay.c ---- */
/* Replays the steps along the recorded switches and compares; once, after all else. */
void demand_self_replay(struct demand *d, struct demand_summary *out);
