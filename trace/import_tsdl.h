// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_tsdl.h -- the types of a foreign CTF 1.8 trace, from its metadata.
 *
 * trace/tsdl.h reads what our own recorder writes; this reads what perf and LTTng write: nested
 * structures, variants, enumerations, arrays, sequences, strings and integers of any bit width.
 */
#pragma once

#include "lib/types.h"

enum ctf_kind {
    CTF_INTEGER,
    CTF_STRING,
    CTF_STRUCT,
    CTF_ENUM,
    CTF_VARIANT,
    CTF_ARRAY,
    CTF_SEQUENCE,
    CTF_FLOAT,
};

struct ctf_type;

struct ctf_field {
    char *name;
    const struct ctf_type *type;
};

struct ctf_range {
    char *name;
    int64_t first, last;
};

enum ctf_order {
    CTF_ORDER_NATIVE,  // as the trace block says
    CTF_ORDER_LITTLE,
    CTF_ORDER_BIG,
};

struct ctf_type {
    enum ctf_kind kind;
    enum ctf_order order;
    uint32_t align;  // bits
    uint32_t size;   // bits of an integer or float
    bool is_signed, text, clock;
    uint32_t field_count;  // struct, variant
    struct ctf_field *fields;
    char *tag;                       // of a variant; length of a sequence
    uint64_t length;                 // of an array
    const struct ctf_type *element;  // of an array, sequence; integer of an enum
    struct ctf_range *ranges;
    uint32_t range_count;
    struct ctf_type *next;  // all types, to free them
};

#define CTF_STREAMS_MAX 16u
#define CTF_EVENTS_MAX  4096u

struct ctf_event {
    char *name;
    uint64_t id;
    uint32_t stream;  // index into streams
    const struct ctf_type *context, *fields;
};

struct ctf_stream_class {
    uint64_t id;
    const struct ctf_type *packet_context, *event_header, *event_context;
};

struct ctf_metadata {
    const struct ctf_type *packet_header;
    struct ctf_stream_class streams[CTF_STREAMS_MAX];
    uint32_t stream_count;
    struct ctf_event *events;
    uint32_t event_count;
    uint64_t clock_freq;
    bool lttng, perf;
    bool big_endian;  // integers that do not say themselves
    struct ctf_type *all;
    void *names;  // what typedefs and typealiases named
};

/* Reads `size` bytes of TSDL; false: `error` has line and reason, and *m is empty. */
must_check bool ctf_metadata_parse(const char *text, size_t size, struct ctf_metadata *m,
                                   char *error, size_t room);
void ctf_metadata_free(struct ctf_metadata *m);
