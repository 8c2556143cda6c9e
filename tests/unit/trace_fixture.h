// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/trace_fixture.h -- writes small traces for tests: metadata from the table, records by hand.
 *
 * A test names what happened (fx_switch(), fx_input() ...); the fixture puts it into packets.
 * It keeps one stream per CPU and `sys`, in a directory of its own that fx_end() removes.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/ctf_writer.h"
#include "trace/tool.h"

#define FX_CPUS 8u

static const uint8_t fx_uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct fx {
    char directory[64];
    struct ctf_stream cpu[FX_CPUS], sys;
    unsigned cpus;
    uint32_t seq;
    uint32_t packet_bytes;  // 0: as the recorder
};

static inline void fx_path(const struct fx *x, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", x->directory, name);
}

static inline const char *fx_type(const struct trace_field *f)
{
    switch (f->type) {
    case TRACE_u8: return "uint8_t";
    case TRACE_u16: return "uint16_t";
    case TRACE_u32: return "uint32_t";
    case TRACE_u64: return "uint64_t";
    case TRACE_i32: return "int32_t";
    case TRACE_x64: return "uint64_t";
    case TRACE_text16: return "char8_t";
    case TRACE_names: return "uint16_t";
    }
    return "?";
}

/* Metadata of our profile. A test may change the file afterwards. */
static inline void fx_metadata(const struct fx *x)
{
    char path[256];
    FILE *f;

    fx_path(x, "metadata", path);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "/* CTF 1.8 */\n");
    for (unsigned bits = 8; bits <= 64; bits *= 2)
        fprintf(f, "typealias integer { size = %u; align = 8; signed = false; } := uint%u_t;\n",
                bits, bits);
    fprintf(f,
            "typealias integer { size = 32; align = 8; signed = true; } := int32_t;\n"
            "typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; } := "
            "char8_t;\n"
            "trace { major = 1; minor = 8; byte_order = le;\n"
            "uuid = \"01020304-0506-0708-090a-0b0c0d0e0f10\";\n"
            "packet.header := struct { uint32_t magic; uint8_t uuid[16]; uint32_t stream_id; "
            "};\n};\n"
            "env { domain = \"orrery\"; tracer_name = \"orrery-trace\"; policy = \"share\"; "
            "loop = \"closed\"; seed = \"7\"; };\n"
            "clock { name = vclk; freq = 1000000000; offset_s = 0; offset = 0; };\n"
            "typealias integer { size = 56; align = 1; signed = false; map = "
            "clock.vclk.value; } := ts56_t;\n"
            "typealias integer { size = 64; align = 8; signed = false; map = "
            "clock.vclk.value; } := ts64_t;\n");
    for (unsigned stream = 0; stream < 2; stream++)
        fprintf(f,
                "stream { id = %u;\npacket.context := struct { ts64_t timestamp_begin; ts64_t "
                "timestamp_end; uint32_t content_size; uint32_t packet_size; uint32_t "
                "events_discarded; uint32_t cpu_id; uint32_t packet_seq_num; uint32_t sum; };\n"
                "event.header := struct { uint8_t id; ts56_t timestamp; };\n};\n",
                stream);
    for (unsigned id = 0; id < 256; id++) {
        const struct trace_event *e = trace_event_of(id);

        for (unsigned stream = 0; e && stream < 2; stream++) {
            fprintf(f, "event { name = \"%s\"; id = %u; stream_id = %u; fields := struct {\n",
                    e->name, id, stream);
            for (unsigned i = 0; i < e->field_count; i++)
                fprintf(f, "  %s _%s%s;\n", fx_type(&e->fields[i]), e->fields[i].name,
                        e->fields[i].type == TRACE_text16 ? "[16]" : "");
            fprintf(f, "}; };\n");
        }
    }
    ck_assert_int_eq(fclose(f), 0);
}

static inline void fx_begin(struct fx *x, unsigned cpus)
{
    memset(x, 0, sizeof(*x));
    strcpy(x->directory, "/tmp/trace-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(x->directory));
    x->cpus = cpus;
    for (unsigned i = 0; i < cpus; i++) {
        char name[16];

        snprintf(name, sizeof(name), "pcpu%u", i);
        ck_assert(ctf_stream_create(&x->cpu[i], x->directory, name, 0, i, fx_uuid));
    }
    ck_assert(ctf_stream_create(&x->sys, x->directory, "sys", 1, 0, fx_uuid));
    fx_metadata(x);
}

static inline void fx_close(struct fx *x)
{
    for (unsigned i = 0; i < x->cpus; i++)
        ck_assert(ctf_stream_close(&x->cpu[i]));
    ck_assert(ctf_stream_close(&x->sys));
}

static inline void fx_end(struct fx *x)
{
    char command[128];

    fx_close(x);
    snprintf(command, sizeof(command), "rm -rf %s", x->directory);
    ck_assert_int_eq(system(command), 0);
}

#define FX_PUT(stream, time, event, ...)                                                       \
    do {                                                                                       \
        struct record_##event record_ = {__VA_ARGS__};                                         \
        ctf_stream_put((stream), (time), RECORD_##event, &record_, sizeof(record_));           \
    } while (0)

static inline void fx_input(struct fx *x, unsigned cpu, uint64_t time, unsigned op,
                            unsigned small, uint32_t id, uint32_t arg, uint64_t value)
{
    if (value)
        FX_PUT(&x->cpu[cpu], time, sched_input_wide, .seq = x->seq++, .op = (uint16_t)op,
               .small = (uint16_t)small, .id = id, .arg = arg, .value = value);
    else
        FX_PUT(&x->cpu[cpu], time, sched_input, .seq = x->seq++, .op = (uint16_t)op,
               .small = (uint16_t)small, .id = id, .arg = arg);
}
#define FX_INPUT(x, cpu, time, op, ...)                                                        \
    fx_input(x, cpu, time, RECORD_sched_op_##op, __VA_ARGS__)

static inline void fx_switch(struct fx *x, unsigned cpu, uint64_t time, uint32_t prev,
                             uint32_t next, unsigned prev_state)
{
    FX_PUT(&x->cpu[cpu], time, sched_switch, .prev_tid = prev, .next_tid = next,
           .prev_state = (uint16_t)prev_state);
}

static inline void fx_state(struct fx *x, unsigned cpu, uint64_t time, uint32_t tid,
                            unsigned state)
{
    FX_PUT(&x->cpu[cpu], time, sched_state, .tid = tid, .state = (uint16_t)state);
}

/* Replaces `n` bytes of a stream file. */
static inline void fx_patch(const struct fx *x, const char *name, long offset,
                            const void *bytes, size_t n)
{
    char path[256];
    FILE *f;

    fx_path(x, name, path);
    f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, offset, SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

/* The reader's verdict over the whole trace: how many records, or -1 and the message. */
static inline long fx_read_all(const struct fx *x, char error[TRACE_ERROR])
{
    struct trace_reader *reader = trace_open(x->directory, error);
    struct trace_record record;
    long n = 0;
    int more;

    if (!reader)
        return -1;
    while ((more = trace_next(reader, &record)) == 1)
        n++;
    if (more < 0)
        snprintf(error, TRACE_ERROR, "%s", trace_error(reader));
    trace_close(reader);
    return more < 0 ? -1 : n;
}
