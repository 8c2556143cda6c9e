// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/reader.h -- reads a trace directory record by record, in constant memory.
 *
 * A trace directory has `metadata`, one stream file per CPU (pcpu0, pcpu1 ...) and `sys`. The
 * reader merges the streams into one order:
 *   - records of one stream keep their order;
 *   - inputs of the scheduler (sched_input, sched_input_wide) come by their seq, which was
 *     counted under the lock that ordered them, whatever the clocks of the CPUs say;
 *   - the decisions that stand behind an input (sched_switch, sched_migrate, sched_state,
 *     sched_costop, sched_costart) stay behind it;
 *   - everything else by timestamp, ties by stream.
 * So time may step back a little between two CPUs' records; within a stream it never does.
 *
 * Invariants
 *   - A record handed out lies inside its packet and has the size that the table gives its id.
 *   - What is wrong with a file is one message that names file and byte offset; never a crash.
 * Locking    none: one thread.
 */
#pragma once

#include "trace/event.h"

#define TRACE_STREAMS_MAX 256u
#define TRACE_STREAM_SYS  1u  // stream_id of the low-rate stream

struct trace_record {
    uint64_t time;                    // ns since boot
    const struct trace_event *event;  // never null
    const uint8_t *bytes;             // event->size bytes with the header; until the next call
    unsigned stream;                  // index of the stream
    unsigned cpu;                     // as its packet says
    uint64_t index;                   // in the merged order, from 0
    uint64_t offset;                  // in its file
};

/* The record at `r` as `struct record_NAME`; the caller has looked at r->event->id. */
#define TRACE_AS(name, r) ((const struct record_##name *)(const void *)(r)->bytes)

/* What metadata and packet headers say; counts grow while records are read. */
struct trace_info {
    char uuid[40];        // text; empty if the metadata has none
    char policy[32];      // env policy
    char loop[16];        // env loop: closed, open
    char seed[24];        // env seed
    char host[64];        // env hostname, or empty
    uint64_t clock_freq;  // Hz; times are handed out in ns whatever it is
    unsigned streams;
    uint64_t records;  // handed out so far
    uint64_t packets;
    uint64_t bytes;         // of all files
    uint64_t lost_records;  // by events_discarded, so far
    uint64_t lost_marked;   // by `lost` records: the same losses, seen from inside
    uint64_t lost_packets;  // gaps in packet_seq_num
    uint64_t seq_gaps;      // inputs missing between two seen
    uint64_t missing;    // records that the last checkpoint counts and no file has; at the end
    uint32_t first_seq;  // number of the first input seen
    bool starts_late;    // a stream's first packet is not packet 0, or its first discards > 0
    uint64_t first_time, last_time;
};

struct trace_reader;

/* Opens `directory`; null: `error` says why (room TRACE_ERROR). */
#define TRACE_ERROR 1024
struct trace_reader *trace_open(const char *directory, char error[TRACE_ERROR]);
/* The same with one of its streams only, for who wants the records of `sys` fast. */
struct trace_reader *trace_open_stream(const char *directory, const char *stream,
                                       char error[TRACE_ERROR]);
void trace_close(struct trace_reader *reader);
/* The next record. 1: there is one; 0: the end; -1: the trace is bad, see trace_error(). */
int trace_next(struct trace_reader *reader, struct trace_record *record);
const char *trace_error(const struct trace_reader *reader);
const struct trace_info *trace_info(const struct trace_reader *reader);
/* The file name of a stream, without the directory. */
const char *trace_stream_name(const struct trace_reader *reader, unsigned stream);
/* An env entry of the metadata, or null. */
const char *trace_env(const struct trace_reader *reader, const char *name);
/* Back to the first record. */
void trace_rewind(struct trace_reader *reader);
/* How much of the files is read, 0 to 100. */
unsigned trace_percent(const struct trace_reader *reader);
