// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/mem_restore.h -- the memory scheduler of a trace as it was at the first record of its whole state.
 *
 * Locking    none: one thread.
 */
#pragma once

#include "mem/memsched_record.h"
#include "trace/reader.h"

enum mem_restore_stage {
    MEM_RESTORE_BEFORE,  // no checkpoint yet
    MEM_RESTORE_INSIDE,  // the first one
    MEM_RESTORE_DONE,    // the machine is as it was
};

struct mem_restore {
    const struct trace_reader *reader;
    const char *command;              // in messages
    struct memsched_record recorder;  // of `machine`; its `put` is the caller's
    struct memsched machine;
    enum mem_restore_stage stage;
    unsigned nodes, tunables;  // of the checkpoint, still to come
    uint32_t first_seq;
    uint64_t from;     // time of the checkpoint
    uint64_t skipped;  // inputs before it
};

void mem_restore_init(struct mem_restore *m, const struct trace_reader *reader,
                      const char *command);
/* Takes a record of the memory scheduler until DONE. TOOL_OK; TOOL_BAD: the reason was said. */
int mem_restore_feed(struct mem_restore *m, const struct trace_record *r);
/* The input that a record tells. */
struct memsched_input mem_restore_input(const struct record_mem_input *i);
