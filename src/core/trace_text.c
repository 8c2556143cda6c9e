// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_text.c -- the recorder's words: CTF metadata, and a record as a line.
 *
 * The metadata comes from the table that the records come from, so the two cannot drift apart.
 * Each event is declared for one stream: class SYS for `sys`, the rest for the CPUs'. Every
 * field is aligned to 8 bits, so that readers see the packed structs.
 *
 * Invariants
 *   - The text depends on the table, the uuid and the env entries alone.
 * Locking    none; env entries are set while one CPU runs.
 * Sources    [CTF18]
 */
#include "core/trace_internal.h"
#include "lib/format.h"
#include "lib/string.h"

struct text {
    char *out;
    size_t room, length;
};

static void add(struct text *t, const char *format, ...) printf_like(2, 3);

static void add(struct text *t, const char *format, ...)
{
    va_list arguments;
    size_t left = t->length < t->room ? t->room - t->length : 0;

    va_start(arguments, format);
    t->length +=
        (size_t)vmk_vsnprintf(left ? t->out + t->length : NULL, left, format, arguments);
    va_end(arguments);
}

void trace_env_set(const char *name, const char *value)
{
    trace_env_set_on(this_host()->trace, name, value);
}

void trace_env_set_on(struct trace_state *trace, const char *name, const char *value)
{
    struct trace_env *e = trace->env;

    while (e < trace->env + trace->env_count && strcmp(e->name, name) != 0)
        e++;
    if (e == trace->env + TRACE_ENV_MAX)
        return;
    if (e == trace->env + trace->env_count)
        trace->env_count++;
    vmk_snprintf(e->name, sizeof(e->name), "%s", name);

    size_t i = 0;

    for (; i < sizeof(e->value) - 1 && value[i]; i++)
        e->value[i] = value[i] >= 0x20 && value[i] < 0x7f && value[i] != '"' && value[i] != '\\'
                          ? value[i]
                          : '?';
    e->value[i] = 0;
}

static void add_head(struct text *t, const struct trace_state *trace)
{
    const uint8_t *u = trace->uuid;

    add(t, "/* CTF 1.8 */\n");
    for (unsigned bits = 8; bits <= 64; bits *= 2)
        add(t, "typealias integer { size = %u; align = 8; signed = false; } := uint%u_t;\n",
            bits, bits);
    add(t,
        "typealias integer { size = 32; align = 8; signed = true; } := int32_t;\n"
        "typealias integer { size = 64; align = 8; signed = false; base = 16; } := xint64_t;\n"
        "typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; } := "
        "char_t;\n");
    add(t,
        "trace {\n    major = 1; minor = 8; byte_order = le;\n"
        "    uuid = \"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\";\n"
        "    packet.header := struct { uint32_t magic; uint8_t uuid[16]; uint32_t stream_id; "
        "};\n"
        "};\n",
        u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
        u[14], u[15]);
    add(t, "env {\n    domain = \"orrery\"; tracer_name = \"orrery\"; tracer_major = 1; "
           "tracer_minor = 0;\n");
    for (uint32_t i = 0; i < trace->env_count; i++)
        add(t, "    %s = \"%s\";\n", trace->env[i].name, trace->env[i].value);
    add(t,
        "};\n"
        "clock { name = vclk; freq = 1000000000; offset_s = 0; offset = 0; absolute = false; "
        "};\n"
        "typealias integer { size = 56; align = 1; signed = false; map = clock.vclk.value; } "
        ":= ts56_t;\n"
        "typealias integer { size = 64; align = 8; signed = false; map = clock.vclk.value; } "
        ":= ts64_t;\n");
    for (unsigned id = 0; id < 2; id++)
        add(t, "stream {\n    id = %u;\n" TRACE_PACKET_TSDL "};\n", id);
}

static void add_names(struct text *t, const struct trace_field *f)
{
    const char *name;
    unsigned value;

    add(t, "        enum : uint16_t {");
    for (unsigned i = 0; trace_enum_at(f->names, i, &name, &value); i++)
        add(t, "%s %s = %u", i ? "," : "", name, value);
    add(t, " } %s;\n", f->name);
}

static void add_event(struct text *t, const struct trace_event *e)
{
    static const char *const types[] = {
        [TRACE_u8] = "uint8_t",   [TRACE_u16] = "uint16_t", [TRACE_u32] = "uint32_t",
        [TRACE_u64] = "uint64_t", [TRACE_i32] = "int32_t",  [TRACE_x64] = "xint64_t"};

    add(t, "event {\n    name = \"%s\"; id = %u; stream_id = %u;\n    fields := struct {\n",
        e->name, e->id, strcmp(e->class_name, "SYS") == 0);
    for (unsigned i = 0; i < e->field_count; i++) {
        const struct trace_field *f = &e->fields[i];

        if (f->type == TRACE_names)
            add_names(t, f);
        else if (f->type == TRACE_text16)
            add(t, "        char_t %s[16];\n", f->name);
        else
            add(t, "        %s %s;\n", types[f->type], f->name);
    }
    add(t, "    };\n};\n");
}

size_t trace_metadata(const struct trace_state *trace, char *out, size_t room)
{
    struct text t = {.out = out, .room = room};

    add_head(&t, trace);
    for (unsigned id = 0; id < 256; id++) {
        const struct trace_event *e = trace_event_of(id);

        if (e)
            add_event(&t, e);
    }
    return t.length;
}

size_t trace_record_words(trace_word header)
{
    return trace_words_of[header & 0xff];
}

size_t trace_format(const trace_word *record, char *out, size_t room)
{
    struct text t = {.out = out, .room = room};
    const struct trace_event *e = trace_event_of(record[0] & 0xff);

    if (!e) {
        add(&t, "unknown event %u", (unsigned)(record[0] & 0xff));
        return t.length;
    }
    add(&t, "%s", e->name);
    for (unsigned i = 0; i < e->field_count; i++) {
        char value[TRACE_FIELD_TEXT];

        if (strncmp(e->fields[i].name, "pad", 3) == 0)
            continue;
        trace_field_text(&e->fields[i], record, value, sizeof(value));
        add(&t, " %s=%s", e->fields[i].name, value);
    }
    return t.length;
}
