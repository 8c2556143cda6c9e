// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_internal.h -- what the parts of the parser share: fields, keys, errors, arrays.
 */
#pragma once

#include <string.h>

#include "sim/workload/wl.h"

#define WL_FIELDS_MAX 64u
#define WL_TIME_MOST  (1ull << 55)

/* A word of a line, or key=value. */
struct field {
    const char *text;
    size_t length;
    size_t key;  // length of the key, 0: no '='
};

struct parser {
    struct workload *w;
    struct wl_error *error;
    uint32_t line;
    struct field field[WL_FIELDS_MAX];
    uint32_t count;
    uint32_t declared;  // bits of the declarations that stood already
    bool in_world, failed;
    uint32_t depth;
};

/* What the key of a declaration is and where it goes. */
enum key_type {
    KEY_U32,
    KEY_TIME,
    KEY_NAME,
    KEY_AMOUNT,
    KEY_YES,
    KEY_AFFINITY,
    KEY_DIST,
    KEY_MHZ,
    KEY_PERCENT,
    KEY_LOCK,
};
struct key {
    const char *name;
    enum key_type type;
    void *to;
    uint64_t least, most;
};

/* ---- wl_field.c ---- */
/* Sets the error, the first one only; returns false. `field` from 0. */
bool wl_fail(struct parser *p, uint32_t field, const char *format, ...) printf_like(3, 4);
bool wl_field_is(const struct field *f, const char *word);
bool wl_number(const char *text, size_t length, uint64_t max, uint64_t *value);
/* Letters, digits and _.:/-+@ ; with `template` also {i}, {i+1}, {i-1}. */
bool wl_name_field(struct parser *p, uint32_t i, const char *text, size_t length, bool template,
                   const char *what, char out[WL_NAME_SIZE]);
/* The name in field 1. */
bool wl_name_here(struct parser *p, const char *what, char out[WL_NAME_SIZE]);
/* All key=value fields from `first` on, by the table. */
bool wl_keys_read(struct parser *p, uint32_t first, const struct key *keys, size_t count);

/* ---- wl_declare.c ---- */
bool wl_declare(struct parser *p);
/* The world above is complete: all its loops have their begin. */
bool wl_close_world(struct parser *p);

/* ---- wl_build.c ---- */
extern const struct wl_resources wl_resources_unset;
bool wl_name_char(char c);
char *wl_copied(const char *text, size_t length);
/* Room for one more in an array that doubles at powers of two. */
void *wl_grown(void *array, uint32_t count, size_t size);
#define ADD(w, list, counter)                                                                  \
    ((w)->list = wl_grown((w)->list, (w)->counter, sizeof(*(w)->list)),                        \
     memset(&(w)->list[(w)->counter], 0, sizeof(*(w)->list)), &(w)->list[(w)->counter++])
