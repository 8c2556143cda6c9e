// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_event.c -- the table of events, made from trace/events.def and trace/enums.def.
 *
 * Each event becomes a constant inside the case of its id, because only there can its fields
 * name the struct whose offsets they are. It is kernel code because the panic screen decodes
 * records too; orrery-trace links the same object.
 *
 * Invariants
 *   - Every record is a multiple of eight bytes, and at least sixteen (asserted below).
 * Locking    none: constant data.
 */
#include "core/trace_control.h"
#include "lib/format.h"
#include "lib/string.h"
#include "trace/event.h"
#define TRACE_EVENT(number, class, event, what, fields)                                        \
    _Static_assert(sizeof(struct record_##event) % 8 == 0 &&                                   \
                       sizeof(struct record_##event) >= 16 && (number) > 0 && (number) < 256,  \
                   #event);
#include "trace/events.def"

const uint8_t trace_words_of[256] = {
#define TRACE_EVENT(number, class, event, what, fields)                                        \
    [number] = sizeof(struct record_##event) / 8,
#include "trace/events.def"
};

const struct trace_event *trace_event_of(unsigned id)
{
    switch (id) {
#define F(type, field)                                                                         \
    {#field, TRACE_##type, NULL, offsetof(self, field), sizeof(((self *)NULL)->field)},
#define E(names, field) {#field, TRACE_names, #names, offsetof(self, field), 2},
#define TRACE_EVENT(number, class, event, what, fields)                                        \
    case number: {                                                                             \
        typedef struct record_##event self;                                                    \
        static const struct trace_field list[] = {fields};                                     \
        static const struct trace_event entry = {                                              \
            number, #class, #event, what, sizeof(self), ARRAY_COUNT(list), list,               \
        };                                                                                     \
        return &entry;                                                                         \
    }
#include "trace/events.def"
#undef F
#undef E
    default: return NULL;
    }
}

const struct trace_event *trace_event_named(const char *name)
{
    for (unsigned id = 0; id < 256; id++) {
        const struct trace_event *event = trace_event_of(id);

        if (event && !strcmp(event->name, name))
            return event;
    }
    return NULL;
}

static const struct enum_row {
    const char *names;
    const char *name;
    unsigned value;
} enum_rows[] = {
#define TRACE_ENUM(names, value_name, value) {#names, #value_name, (value)},
#include "trace/enums.def"
};

/* The name of an enumeration's value, or null. */
static const char *trace_enum_name(const char *names, unsigned value)
{
    for (size_t i = 0; i < ARRAY_COUNT(enum_rows); i++) {
        if (enum_rows[i].value == value && !strcmp(enum_rows[i].names, names))
            return enum_rows[i].name;
    }
    return NULL;
}

bool trace_enum_at(const char *names, unsigned n, const char **name, unsigned *value)
{
    for (size_t i = 0; i < ARRAY_COUNT(enum_rows); i++) {
        if (!strcmp(enum_rows[i].names, names) && n-- == 0) {
            *name = enum_rows[i].name;
            *value = enum_rows[i].value;
            return true;
        }
    }
    return false;
}

uint64_t trace_field_get(const struct trace_field *field, const void *bytes)
{
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)bytes + field->offset, MIN(field->size, sizeof(value)));
    if (field->type == TRACE_i32)
        return (uint64_t)(int64_t)(int32_t)value;
    return value;
}

void trace_field_text(const struct trace_field *field, const void *bytes, char *out,
                      size_t room)
{
    uint64_t value = trace_field_get(field, bytes);
    const char *name;

    switch (field->type) {
    case TRACE_u8:
    case TRACE_u16:
    case TRACE_u32:
    case TRACE_u64: vmk_snprintf(out, room, "%llu", (unsigned long long)value); return;
    case TRACE_i32: vmk_snprintf(out, room, "%lld", (long long)value); return;
    case TRACE_x64: vmk_snprintf(out, room, "0x%llx", (unsigned long long)value); return;
    case TRACE_names:
        name = trace_enum_name(field->names, (unsigned)value);
        if (name)
            vmk_snprintf(out, room, "%s", name);
        else
            vmk_snprintf(out, room, "%llu", (unsigned long long)value);
        return;
    case TRACE_text16: {
        const char *text = (const char *)bytes + field->offset;
        char clean[17] = "";

        /* Whatever a guest calls itself must not reach a terminal as an escape sequence. */
        for (unsigned i = 0; i < 16 && text[i]; i++)
            clean[i] = text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' ? text[i] : '?';
        vmk_snprintf(out, room, "\"%s\"", clean);
        return;
    }
    }
}
