// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/protobuf.c -- writes protocol buffers: fields of a message into a growing buffer.
 *
 * Locking    none: one thread.
 * Sources    [PROTOBUF]
 */
#include "trace/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum {
    WIRE_VARINT = 0,
    WIRE_BYTES = 2
};

static bool grow(struct pb *b, size_t more)
{
    size_t room = MAX(b->room * 2, b->length + more + 256);
    uint8_t *larger;

    if (b->failed)
        return false;
    if (b->length + more <= b->room)
        return true;
    larger = realloc(b->bytes, room);
    if (!larger) {
        b->failed = true;
        b->length = 0;
        return false;
    }
    b->bytes = larger;
    b->room = room;
    return true;
}

void pb_free(struct pb *b)
{
    free(b->bytes);
    *b = (struct pb){0};
}

void pb_clear(struct pb *b)
{
    b->length = 0;
}

void pb_raw(struct pb *b, uint64_t value)
{
    if (!grow(b, 10))
        return;
    for (; value >= 128; value >>= 7)
        b->bytes[b->length++] = (uint8_t)(value | 128);
    b->bytes[b->length++] = (uint8_t)value;
}

void pb_uint(struct pb *b, unsigned field, uint64_t value)
{
    pb_raw(b, (uint64_t)field << 3 | WIRE_VARINT);
    pb_raw(b, value);
}

static void put_bytes(struct pb *b, unsigned field, const void *bytes, size_t length)
{
    pb_raw(b, (uint64_t)field << 3 | WIRE_BYTES);
    pb_raw(b, length);
    if (!length || !grow(b, length))
        return;
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

void pb_text(struct pb *b, unsigned field, const char *text)
{
    put_bytes(b, field, text, strlen(text));
}

void pb_nested(struct pb *b, unsigned field, const struct pb *message)
{
    if (message->failed)
        b->failed = true;
    else
        put_bytes(b, field, message->bytes, message->length);
}
