// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/event.h -- trace/events.def as C: one packed struct per event, and a table to walk.
 *
 * The recorder writes these very bytes, so a record read from a file is used in place. What a
 * particular record means is asked by struct (record_sched_switch), what any record means by
 * table (trace_event_of() and its fields): print, diff and export need no line per event.
 *
 * Invariants
 *   - The size of an event in the table is that of its struct (asserted in core/trace_event.c),
 *     a multiple of 8.
 * Locking    none: constant data.
 */
#pragma once

#include "lib/types.h"

/* The types of trace/events.def. */
typedef uint8_t record_u8;
typedef uint16_t record_u16;
typedef uint32_t record_u32;
typedef uint64_t record_u64;
typedef int32_t record_i32;
typedef uint64_t record_x64;
typedef struct record_text16 {
    char text[16];  // NUL-padded; ends without NUL when full
} record_text16;

#define F(type, field)  record_##type field;
#define E(names, field) uint16_t field;
#define TRACE_EVENT(number, class, event, what, fields)                                        \
    struct record_##event {                                                                    \
        uint64_t header; /* timestamp << 8 | id */                                             \
        fields                                                                                 \
    } packed_layout;
#include "trace/events.def"
#undef F
#undef E

enum trace_event_id {
#define TRACE_EVENT(number, class, event, what, fields) RECORD_##event = (number),
#include "trace/events.def"
};

#define TRACE_ENUM(names, value_name, value) RECORD_##names##_##value_name = (value),
enum trace_enum_value {
#include "trace/enums.def"
};

enum trace_type {
    TRACE_u8,
    TRACE_u16,
    TRACE_u32,
    TRACE_u64,
    TRACE_i32,
    TRACE_x64,
    TRACE_text16,
    TRACE_names,  // a u16 with names
};

struct trace_field {
    const char *name;
    enum trace_type type;
    const char *names;  // TRACE_names: which enumeration
    uint16_t offset;    // from the record's header
    uint16_t size;      // bytes
};

struct trace_event {
    uint8_t id;
    const char *class_name;
    const char *name;
    const char *what;
    uint16_t size;  // bytes, with the header
    unsigned field_count;
    const struct trace_field *fields;
};

/* The event with that id or name, or null. */
const struct trace_event *trace_event_of(unsigned id);
const struct trace_event *trace_event_named(const char *name);
/* Walks an enumeration: its i-th name and value; false at the end. */
bool trace_enum_at(const char *names, unsigned i, const char **name, unsigned *value);

/* A field of the record at `bytes` as a number; text16: its first eight bytes. */
uint64_t trace_field_get(const struct trace_field *field, const void *bytes);
/* The same as text: "0x10", "-3", "READY"; `room` of TRACE_FIELD_TEXT always suffices. */
#define TRACE_FIELD_TEXT 48
void trace_field_text(const struct trace_field *field, const void *bytes, char *out,
                      size_t room);
