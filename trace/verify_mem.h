// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/verify_mem.h -- `orrery-trace verify`, the memory scheduler's half.
 *
 * Locking    none: one thread.
 */
#pragma once

#include "trace/neighbours.h"
#include "trace/reader.h"

struct verify_mem;

/*
 * Null: no memory. The reader is asked for names and, at a difference, for the records behind.
 */
struct verify_mem *verify_mem_create(struct trace_reader *reader, const char *directory,
                                     unsigned neighbours);
void verify_mem_free(struct verify_mem *v);
/* Takes any record. TOOL_OK; TOOL_NO: a difference was shown; TOOL_BAD: the reason was. */
int verify_mem_feed(struct verify_mem *v, const struct trace_record *r);
/* After the last record: the same, and says what was compared. */
int verify_mem_end(struct verify_mem *v);
/* Has the trace inputs of the memory scheduler? */
bool verify_mem_any(const struct verify_mem *v);
