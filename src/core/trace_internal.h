// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_internal.h -- struct trace_state: the rings of one host, and what reads them.
 *
 *   records --> [slot 0][slot 1] ... [slot N-1]      each 64 KiB, one CTF packet
 *                 ^tail           ^head: being filled
 *
 * Packets are numbered from 0; packet `n` lies in slot n % slots. The writer alone moves head,
 * with release, when a packet is complete; the reader alone moves tail. A flight recorder has
 * no reader: there head runs over the oldest packet.
 */
#pragma once

#include "core/trace.h"
#include "core/trace_control.h"

#define TRACE_MAGIC  0xc1fc1fc1u
#define TRACE_HEADER 64u

struct trace_packet {
    uint32_t magic;
    uint8_t uuid[16];
    uint32_t stream_id;  // 0: a CPU's, 1: sys
    uint64_t timestamp_begin;
    uint64_t timestamp_end;
    uint32_t content_size;  // bits, with the header; (a) stored last
    uint32_t packet_size;   // bits
    uint32_t events_discarded;
    uint32_t cpu_id;
    uint32_t packet_seq_num;
    uint32_t sum;  // 0, who writes it to a file forms it: trace_packet_sum()
    trace_word words[(TRACE_PACKET_SIZE - TRACE_HEADER) / 8];
} packed_layout aligned_to(8);
_Static_assert(sizeof(struct trace_packet) == TRACE_PACKET_SIZE, "a packet is 64 KiB");

/* One stream. Written by its CPU alone with interrupts off; `sys` under its lock. */
struct trace_stream {
    trace_word *at;   // where the next record goes; null: no packet is open
    trace_word *end;  // (a) behind the open packet; null: trace_packets_cut() completes it
    plat_ns last;     // timestamp of the last record
    bool busy;        // a record is being written: an NMI that finds this set keeps out
    uint32_t index;
    uint64_t head;       // (a) packets completed
    uint64_t records;    // written, the lost ones not
    uint64_t opened;     // records when the open packet began
    uint64_t discarded;  // lost: ring full, or an NMI's
    uint64_t gap;        // of these, since the last `lost` record
    uint64_t overwritten;
    uint64_t stepped_back;  // times that were earlier than `last`
    uint64_t waits;         // lossless: packets for which the writer waited
    uint64_t refused;       // (a) of discarded: from NMIs
    struct trace_packet *slots;
    uint32_t *counts;  // records of each complete slot

    uint64_t tail;  // (a) packets taken; reader only
    uint32_t part;  // bytes of packet `tail` that are out
} aligned_to(64);

/* What diff and the simulator compare: see trace.c, hash_advance(). */
struct trace_hash {
    uint64_t value;
    uint64_t records;     // in `value`
    uint64_t checkpoint;  // records at the last one
    plat_ns now;          // the instant being gathered
    uint64_t cpus;        // bit per CPU with records of that instant
    uint64_t total;       // with those of that instant
    uint32_t last;        // the CPU that wrote last; of_cpu[last] is not up to date
    uint64_t of_last;     // of its records of that instant
    uint64_t of_cpu[PLAT_CPUS_MAX];
};

struct trace_env {
    char name[16];
    char value[48];
};

struct trace_state {
    uint32_t mask;  // (a) first: trace_mask_of()
    bool ready;     // the rings are there
    bool hashing;
    bool lossless;
    bool finished;
    enum trace_mode mode;
    uint32_t stream_count;  // CPUs; sys beside them
    uint32_t slot_count;
    uint32_t sys_lock;  // (a) CPU + 1
    uint8_t uuid[16];
    const struct trace_sink *sink;
    struct trace_env env[TRACE_ENV_MAX];
    uint32_t env_count;
    struct trace_hash hash;

    // The byte stream out: out_lock.
    uint32_t out_lock;  // (a) CPU + 1
    bool out_open;
    bool out_is_com2;
    bool out_failed;
    trace_dump_fn *dump;  // where frames of a panic go instead of out; null
    void *dump_context;
    bool out_began;       // metadata is out
    uint32_t out_frames;  // sent so far
    uint64_t out_bytes;
    char *out_text;  // room for the metadata, TRACE_METADATA_MAX

    struct trace_stream streams[TRACE_STREAMS];
};

/* The packet in that slot, complete or open. */
static inline struct trace_packet *
trace_packet_of(const struct trace_state *trace, const struct trace_stream *s, uint64_t number)
{
    return &s->slots[number % trace->slot_count];
}

static inline uint64_t trace_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

/* ---- trace.c ---- */
/* Completes the open packet, if it has a record. The stream's writer, or nobody else runs. */
void trace_packet_close(struct trace_state *trace, struct trace_stream *s);
/* Waits until no CPU is in the middle of a record; the mask is 0. */
void trace_quiesce(struct trace_state *trace);
/* Closes the hash with a last checkpoint. */
void trace_hash_end(struct trace_state *trace);

/* ---- trace_out.c ---- */
/*
 * Sends a part of the oldest complete packet; false: there is none, or the way out is closed.
 */
bool trace_out_part(struct trace_state *trace, struct trace_stream *s);
/* The same from a panic: nobody else runs, locks are as they were. */
void trace_out_everything(struct trace_state *trace, bool panic);
void trace_out_open(struct trace_state *trace, const char *where);
