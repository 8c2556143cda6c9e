// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/protobuf.h -- writes protocol buffers: fields of a message into a growing buffer.
 *
 * A nested message is written into a buffer of its own and then appended with its length, since
 * the length stands in front.
 *
 * Invariants
 *   - After a failed allocation the buffer stays empty and `failed` is set; writing goes on
 *     safely.
 * Locking    none: one thread.
 * Sources    [PROTOBUF]
 */
#pragma once

#include "lib/types.h"

struct pb {
    uint8_t *bytes;
    size_t length, room;
    bool failed;
};

void pb_free(struct pb *b);
/* Empties it, keeps its room. */
void pb_clear(struct pb *b);
/* Without a field number: an element of a packed field. */
void pb_raw(struct pb *b, uint64_t value);
void pb_uint(struct pb *b, unsigned field, uint64_t value);
void pb_text(struct pb *b, unsigned field, const char *text);
/* A nested message, or packed values. */
void pb_nested(struct pb *b, unsigned field, const struct pb *message);
