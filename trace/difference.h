// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/difference.h -- is a record what a scheduler decides, and if not: what was there, what should be.
 *
 * Of `orrery-trace verify`, for the schedulers of CPUs and of memory alike. Whoever replays
 * keeps a list of what its scheduler decided for the input in hand, `expected` entries of which
 * `compared` were found.
 */
#pragma once

#include "trace/neighbours.h"

struct difference {
    struct trace_reader *reader;
    const char *directory;
    const char *who;  // "the scheduler"
    struct neighbours before;
    unsigned neighbours;  // so many behind
    /* Of the records behind: is it worth showing? Null: each is. */
    bool (*concerns)(const struct trace_event *event);
    /* Entry `i` of the list, as a line. */
    void (*print)(void *context, unsigned i);
    void *context;
    uint64_t inputs;
    unsigned expected, compared;
};

/* False: no memory. */
bool difference_init(struct difference *d, struct trace_reader *reader, const char *directory,
                     unsigned neighbours);
void difference_free(struct difference *d);
/* Everything around the difference. `r` is null at the end of the trace. TOOL_NO. */
int difference_show(struct difference *d, const struct trace_record *r, const char *what);
/*
 * The record against the next entry, null if there is none: TOOL_OK, and one more is compared,
 * or TOOL_NO.
 */
int difference_compare(struct difference *d, const struct trace_record *r,
                       const struct trace_event *event, const void *bytes);
/*
 * At the end of the trace: whoever switches the recorder off does not wait for other CPUs, so
 * it may end behind an input and before what that one decides. Says so if it does.
 */
void difference_cut(const struct difference *d);
/* An entry that no record tells: TOOL_NO. */
int difference_missing(struct difference *d, const struct trace_record *r,
                       const struct trace_event *event);
