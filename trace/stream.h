// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/stream.h -- one stream file of a trace: packets checked, records one after the other.
 *
 * Invariants
 *   - `head`, when not null, points at a whole record of a known event inside `packet`.
 *   - Memory is one packet per stream, however long the file.
 * Locking    none: one thread.
 */
#pragma once

#include "trace/reader.h"
#include "trace/tsdl.h"

#define PACKET_MAGIC     0xC1FC1FC1u
#define PACKET_HEADER    64u
#define PACKET_BYTES     65536u    // what our recorder writes
#define PACKET_BYTES_MAX 1048576u  // what the reader takes

/* The head of each packet, as it stands in the file; sizes are in bits. */
struct packet_header {
    uint32_t magic;
    uint8_t uuid[16];
    uint32_t stream_id;
    uint64_t timestamp_begin;
    uint64_t timestamp_end;
    uint32_t content_size;
    uint32_t packet_size;
    uint32_t events_discarded;  // since the stream began
    uint32_t cpu_id;
    uint32_t packet_seq_num;
    uint32_t sum;  // trace_packet_sum(), or 0
} packed_layout;
_Static_assert(sizeof(struct packet_header) == PACKET_HEADER, "64 bytes, see events.def");

struct stream {
    char name[32];  // of the file
    int fd;
    uint64_t size;      // of the file
    uint64_t at;        // where the packet in memory begins
    uint64_t next;      // where the next one begins
    uint8_t *packet;    // its bytes
    uint32_t room;      // size of that buffer
    uint32_t content;   // bytes that count
    uint32_t position;  // of the record in hand
    uint32_t after;     // of the one behind it

    const uint8_t *head;  // the record in hand; null: none read yet, or the end
    const struct trace_event *event;
    uint64_t time;  // of head, in ns

    bool started;  // one packet was read
    uint32_t stream_id, cpu, seq, discarded;
    uint64_t last_ticks;
    bool has_input;
    uint32_t last_input;  // seq of the last input
};

/* What streams of one trace share. */
struct stream_set {
    const struct tsdl *metadata;
    struct trace_info info;
    char error[TRACE_ERROR];
    const char *directory;
};

/* Opens directory/name. False: set->error. */
bool stream_open(struct stream_set *set, struct stream *s, const char *name);
void stream_close(struct stream *s);
void stream_rewind(struct stream *s);
/* Goes to the next record. 1: head is it; 0: the end; -1: set->error. */
int stream_advance(struct stream_set *set, struct stream *s);
/* Sets set->error to "DIRECTORY/NAME: byte N: ..." and returns -1. */
int stream_fail(struct stream_set *set, const struct stream *s, uint64_t offset,
                const char *format, ...) printf_like(4, 5);
