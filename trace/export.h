// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/export.h -- a trace as switches, wake-ups, moves and exits, for the formats of others.
 *
 * export.c walks the trace once and calls one of the writers below; what they need to know of a
 * world (its name, its VM) they ask the model.
 *
 * Invariants
 *   - A writer needs constant memory, whatever the trace's length.
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/model.h"

enum export_kind {
    EXPORT_SWITCH,
    EXPORT_WAKING,
    EXPORT_MIGRATE,
    EXPORT_VM_ENTRY,
    EXPORT_VM_EXIT
};

struct export_event {
    enum export_kind kind;
    uint64_t time;
    unsigned cpu;
    const struct model_node *world;  // SWITCH: who stops; else whom it is about
    const struct model_node *next;   // SWITCH
    unsigned prev_state;             // SWITCH: RECORD_sched_state_*
    unsigned src, dst;               // MIGRATE; WAKING: dst is where it runs
    unsigned reason;                 // VM_EXIT
    uint64_t info;
};

struct export_options {
    const char *path;
    bool nanoseconds;  // ftrace: nine decimals
};

struct exporter {
    const char *name;
    /* False: said why. */
    bool (*begin)(void *context, const struct export_options *o, const struct trace_info *info);
    void (*event)(void *context, const struct export_event *e);
    /* Counters: any record of class MEM. May be null. */
    void (*record)(void *context, const struct trace_record *r);
    bool (*end)(void *context, const struct model *m);
    size_t context_size;
};
extern const struct exporter exporter_perfetto, exporter_ftrace, exporter_lttng;

/*
 * As Linux calls it: idle worlds are 0 and "swapper/N"; else its id, and VM/name without
 * blanks.
 */
uint32_t export_tid(const struct model_node *w);
const char *export_comm(const struct model_node *w, unsigned cpu, char out[32]);
/* Linux's state letter (R S D T X) and number. READY is 0; a co-stopped vCPU is T. */
char export_state_letter(unsigned state);
unsigned export_state_number(unsigned state);
