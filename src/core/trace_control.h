// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_control.h -- the recorder from outside: set-up, classes on and off, ways out.
 *
 * Those who only record need core/trace.h.
 *
 * Modes
 *   flight   the last packets of each CPU are kept and the oldest overwritten (counted); they
 *            come out at a panic or at the end.
 *   stream   full packets leave through a sink: in the image frames to a disk or serial port,
 *            sent by a world; what does not fit meanwhile is lost and counted, or with
 *            `lossless` waits.
 *   direct   a full packet goes to the sink at once: the simulator. Nothing is ever lost.
 * Boot options: trace=CLASS,CLASS|all|none; trace.mode=flight|stream; trace.buffer=KIB for each
 * CPU; trace.to=disk|com2; trace.lossless.
 */
#pragma once

#include "core/trace.h"

#define TRACE_ENV_MAX        8u
#define TRACE_FLIGHT_PACKETS 4u
#define TRACE_STREAM_PACKETS 16u

enum trace_mode {
    TRACE_MODE_FLIGHT,
    TRACE_MODE_STREAM,
    TRACE_MODE_DIRECT,
};

/* Where packets go in mode direct. */
struct trace_sink {
    void (*packet)(void *owner, unsigned stream, const void *packet, size_t size);
    void *owner;
};

struct trace_config {
    uint32_t classes;
    enum trace_mode mode;
    uint32_t packets;  // per CPU; at least 2 unless direct
    bool lossless;
    bool hash;  // of all records, with checkpoints: one thread of control only
    const struct trace_sink *sink;  // direct; null: packets are dropped, the hash stays
    void *(*take)(size_t size);     // zeroed memory for the rings; null: the kernel heap
    uint8_t uuid[16];
};

/* Reads the boot options and sets the recorder up if they ask for it. After mem_init(). */
void trace_init(void);
/* Sets it up as told; NO_MEMORY, or EXISTS if it runs. Only the calling CPU runs yet. */
must_check vmk_status trace_setup(const struct trace_config *config);
/*
 * The same for a recorder that hangs from no host, `cpus` wide: an engine that drives the
 * scheduler alone. `trace` is trace_state_size zeroed bytes, 64-byte aligned; what follows with
 * _on takes it too.
 */
extern const size_t trace_state_size;
must_check vmk_status trace_setup_on(struct trace_state *trace,
                                     const struct trace_config *config, unsigned cpus);

/*
 * Which classes are recorded. Setting them sets up a flight recorder if there was none. Any
 * CPU.
 */
uint32_t trace_classes(void);
must_check vmk_status trace_classes_set(uint32_t classes);
/* "sched,vm", "all", "none"; false: *bad points at the word that is no class. */
must_check bool trace_classes_parse(const char *text, uint32_t *classes, const char **bad);
/* The class of a single bit, in lower case, or null. */
const char *trace_class_name(unsigned bit);

/* An entry of the metadata's env: "policy", "share". Values are cut at 47 bytes. */
void trace_env_set(const char *name, const char *value);
void trace_env_set_on(struct trace_state *trace, const char *name, const char *value);

/* Sends one part of a full packet if there is one; false: nothing to do. A world, irqs on. */
bool trace_drain(void);
/*
 * Has each CPU complete the packet it fills now, at its next record: for who wants what there
 * is so far, should the host be killed. Any CPU.
 */
void trace_packets_cut(void);
/* Is there a byte stream that a world should drain? */
bool trace_streams(void);

/*
 * Keeps frames off COM2 while a line of the log goes there. False: no trace is on it, or the
 * host panics; then nothing was taken. Irqs off.
 */
must_check bool trace_port_take(void);
void trace_port_give(void);

/*
 * The end: open packets are completed and go out, and what was counted is said. Nothing is
 * recorded afterwards. In the image once, by the last CPU; again is harmless.
 */
void trace_finish(void);
void trace_finish_on(struct trace_state *trace);
/*
 * From a panic: prints the last records of all CPUs, then sends every packet. No lock, no
 * memory.
 * False: there was nothing to print.
 */
bool trace_panic(void (*print)(const char *format, ...));
/*
 * From a panic, after trace_panic(): the frames of everything that is in memory, for a dump.
 * `text` has room for TRACE_METADATA_MAX. False: there is none, it was sent out already, or a
 * dump() was refused.
 */
typedef bool trace_dump_fn(void *context, const void *head, size_t head_size, const void *body,
                           size_t body_size);
bool trace_dump(trace_dump_fn *dump, void *context, char *text);

struct trace_totals {
    uint64_t records, discarded, overwritten, refused, stepped_back, waits, packets, bytes;
};
void trace_totals_get(struct trace_totals *out);
void trace_totals_of(const struct trace_state *trace, struct trace_totals *out);
/* The hash of all records so far, and how many. */
uint64_t trace_hash_of(const struct trace_state *trace, uint64_t *records);

/*
 * The text of `metadata` (CTF 1.8) into `out`, as snprintf does: returns the length the whole
 * has.
 * Two calls with one env give the same bytes.
 */
size_t trace_metadata(const struct trace_state *trace, char *out, size_t room);
#define TRACE_METADATA_MAX 32768u

/*
 * Copies the oldest complete packet of a stream whose number is at least *number, which becomes
 * its number; `out` has room for TRACE_PACKET_SIZE. False: the ring has none. Any context,
 * while recording.
 */
must_check bool trace_packet_copy(unsigned stream, uint64_t *number, void *out);

/* A record as a line: "sched_switch prev_tid=3 next_tid=4 prev_state=WAIT ..."; its length. */
#define TRACE_LINE_MAX 640u
size_t trace_format(const trace_word *record, char *out, size_t room);
/* Words of a record by id, 0: no such event. scripts/gdb/trace-walk.gdb reads it too. */
extern const uint8_t trace_words_of[256];
/* The size of a record in words, from its first; 0: no such event. */
size_t trace_record_words(trace_word header);
