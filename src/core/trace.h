// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace.h -- the recorder: TRACE(event, .field = value, ...) puts one record into this CPU's ring.
 *
 * The events are the rows of trace/events.def, and a record is struct record_NAME of
 * trace/event.h.
 * A class of events that is off costs one load, one test and one branch. What is on is written
 * with interrupts off into a packet of 64 KiB that is CTF already: whoever takes a full packet
 * copies it and translates nothing.
 *
 * Streams: one per CPU, and `sys` for class SYS (names, configuration, checkpoints, counters),
 * which is written seldom, so that its records outlive the others in a flight recorder.
 *
 * Which body of time: TRACE() stamps plat_time_now(). A decision of the scheduler is stamped
 * with the `now` that its state machine was given, by TRACE_AT(); that must not be earlier than
 * the last record of this CPU (the machine's time never falls, and it is recorded with
 * interrupts off).
 * TRACE_ON() names recorder and CPU too, for engines that have no current host.
 */
#pragma once

#include "core/host.h"
#include "core/status.h"
#include "plat/plat_types.h"
#include "trace/event.h"

#define TRACE_CLASSES(X)                                                                       \
    X(SCHED, 0) X(VM, 1) X(MEM, 2) X(IO, 3) X(USER, 4) X(TRACE, 5) X(SYS, 6)
enum trace_class {
#define TRACE_CLASS(name, bit) TRACE_CLASS_##name = 1 << (bit),
    TRACE_CLASSES(TRACE_CLASS)
#undef TRACE_CLASS
    TRACE_CLASS_ALL = 0x7f,
};

/* TRACE_CLASS_OF_sched_switch is TRACE_CLASS_SCHED. */
enum {
#define TRACE_EVENT(number, class, event, what, fields)                                        \
    TRACE_CLASS_OF_##event = TRACE_CLASS_##class,
#include "trace/events.def"
};

#define TRACE_PACKET_SIZE 65536u
/*
 * What stands behind a packet's uuid and stream id, and in front of each record, in TSDL;
 * ts56_t and ts64_t are the clock's.
 */
#define TRACE_PACKET_TSDL                                                                      \
    "    packet.context := struct {\n"                                                         \
    "        ts64_t timestamp_begin; ts64_t timestamp_end;\n"                                  \
    "        uint32_t content_size; uint32_t packet_size;\n"                                   \
    "        uint32_t events_discarded; uint32_t cpu_id;\n"                                    \
    "        uint32_t packet_seq_num; uint32_t sum;\n"                                         \
    "    };\n"                                                                                 \
    "    event.header := struct { uint8_t id; ts56_t timestamp; };\n"
#define TRACE_STREAMS (PLAT_CPUS_MAX + 1)  // one per CPU and `sys`
#define TRACE_SYS     PLAT_CPUS_MAX        // its index
#define TRACE_NOW     PLAT_NS_NEVER        // as a time: read the clock

/* Records are read and written as 64-bit words whatever struct they are. */
typedef uint64_t __attribute__((may_alias, aligned(1))) trace_word;

struct trace_state;

/* Is a class on? The mask is the first word of the state, so that nobody needs the rest. */
static inline uint32_t trace_mask_of(const struct trace_state *trace)
{
    return __atomic_load_n((const uint32_t *)(const void *)trace, __ATOMIC_RELAXED);
}

static inline bool trace_wants(enum trace_class class)
{
    return __builtin_expect((trace_mask_of(this_host()->trace) & (unsigned)class) != 0, 0);
}

#define TRACE_RECORD(event, ...)                                                               \
    ((const trace_word *)(const void *)&(const struct record_##event){                         \
        .header = RECORD_##event, __VA_ARGS__})
#define TRACE_WORDS(event)  (sizeof(struct record_##event) / 8)
#define TRACE_IS_SYS(event) ((unsigned)TRACE_CLASS_OF_##event == (unsigned)TRACE_CLASS_SYS)

/* Any context; an NMI that meets a record half written loses its own, counted. */
#define TRACE(event, ...)   TRACE_AT(TRACE_NOW, event, __VA_ARGS__)
#define TRACE_AT(now, event, ...)                                                              \
    do {                                                                                       \
        if (trace_wants((enum trace_class)TRACE_CLASS_OF_##event))                             \
            (TRACE_IS_SYS(event) ? trace_write_sys : trace_write)(                             \
                (now), TRACE_RECORD(event, __VA_ARGS__), TRACE_WORDS(event));                  \
    } while (0)
#define TRACE_ON(trace, cpu, now, event, ...)                                                  \
    do {                                                                                       \
        if (__builtin_expect((trace_mask_of(trace) & (unsigned)TRACE_CLASS_OF_##event) != 0,   \
                             0))                                                               \
            trace_write_on((trace), TRACE_IS_SYS(event) ? TRACE_SYS : (cpu), (now),            \
                           TRACE_RECORD(event, __VA_ARGS__), TRACE_WORDS(event));              \
    } while (0)

/* What the macros call; a record's first word holds its id only. */
void trace_write(plat_ns now, const trace_word *record, size_t words);
void trace_write_sys(plat_ns now, const trace_word *record, size_t words);
void trace_write_on(struct trace_state *trace, unsigned cpu, plat_ns now,
                    const trace_word *record, size_t words);

/* A name for a text16 field: its first 16 bytes, NUL-padded. */
record_text16 trace_text16(const char *text);
