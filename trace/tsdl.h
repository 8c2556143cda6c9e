// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/tsdl.h -- what a trace's metadata says, as far as the reader needs it.
 *
 * Invariants
 *   - Any text is safe input: an error names the line and what is wrong with it.
 * Locking    none: one thread.
 */
#pragma once

#include "lib/types.h"

#define TSDL_EVENTS_MAX 256u
#define TSDL_FIELDS_MAX 32u
#define TSDL_ENV_MAX    32u
#define TSDL_NAME       40u
#define TSDL_STREAMS    2u

struct tsdl_field {
    char name[TSDL_NAME];
    uint32_t bytes;
};

struct tsdl_event {
    char name[TSDL_NAME];
    bool present;
    unsigned line;
    unsigned field_count;
    struct tsdl_field fields[TSDL_FIELDS_MAX];
};

struct tsdl {
    bool has_uuid;
    uint8_t uuid[16];
    uint64_t clock_freq;  // 0: the metadata has no clock
    unsigned env_count;
    struct {
        char name[TSDL_NAME];
        char value[64];
    } env[TSDL_ENV_MAX];
    struct tsdl_event events[TSDL_STREAMS][TSDL_EVENTS_MAX];  // by stream class and id
};

/* Reads `size` bytes of text; false: `error` says which line is wrong and how. */
bool tsdl_parse(const char *text, size_t size, struct tsdl *out, char *error, size_t room);
