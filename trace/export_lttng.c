// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/export_lttng.c -- a trace with the names and layouts of LTTng's kernel tracer.
 *
 * Readers of kernel traces choose their views by the environment (domain, tracer_name and
 * version) and by the names of events and fields; these are LTTng 2.9's. The packets are ours.
 *
 * Invariants
 *   - Each struct here is, field by field, what the metadata text beside it declares.
 * Locking    none: one thread.
 * Sources    [CTF18]
 */
#include <stdlib.h>
#include <string.h>

#include "core/trace.h"
#include "lib/ascii.h"
#include "trace/ctf_writer.h"
#include "trace/export.h"
#include "trace/tool.h"

#define PRIORITY 20  // of everybody: Linux's nice 0, as this event has it

enum {
    ID_SWITCH = 1,
    ID_WAKING,
    ID_WAKEUP,
    ID_MIGRATE,
    ID_KVM_ENTRY,
    ID_KVM_EXIT
};

struct lttng_switch {
    uint64_t header;
    char prev_comm[16];
    int32_t prev_tid, prev_prio;
    int64_t prev_state;
    char next_comm[16];
    int32_t next_tid, next_prio;
} packed_layout;

struct lttng_wakeup {
    uint64_t header;
    char comm[16];
    int32_t tid, prio, target_cpu;
} packed_layout;

struct lttng_migrate {
    uint64_t header;
    char comm[16];
    int32_t tid, prio, orig_cpu, dest_cpu;
} packed_layout;

struct lttng_kvm_entry {
    uint64_t header;
    uint32_t vcpu_id;
} packed_layout;

struct lttng_kvm_exit {
    uint64_t header;
    uint32_t exit_reason;
    uint64_t guest_rip;
    uint32_t isa;
    uint64_t info1, info2;
} packed_layout;

static const char metadata_types[] =
    "/* CTF 1.8 */\n"
    "typealias integer { size = 8; align = 8; signed = false; } := uint8_t;\n"
    "typealias integer { size = 32; align = 8; signed = false; } := uint32_t;\n"
    "typealias integer { size = 64; align = 8; signed = false; } := uint64_t;\n"
    "typealias integer { size = 32; align = 8; signed = true; } := int32_t;\n"
    "typealias integer { size = 64; align = 8; signed = true; } := int64_t;\n"
    "typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; base = 10; } := "
    "comm_t;\n";

static const char metadata_rest[] =
    "env {\n"
    "    hostname = \"orrery\";\n"
    "    domain = \"kernel\";\n"
    "    sysname = \"Linux\";\n"
    "    kernel_release = \"6.1.0\";\n"
    "    kernel_version = \"orrery\";\n"
    "    tracer_name = \"lttng-modules\";\n"
    "    tracer_major = 2;\n"
    "    tracer_minor = 9;\n"
    "    tracer_patchlevel = 0;\n"
    "};\n"
    "clock {\n"
    "    name = \"monotonic\";\n"
    "    description = \"ns since boot\";\n"
    "    freq = 1000000000;\n"
    "    offset = 0;\n"
    "};\n"
    "typealias integer { size = 56; align = 1; signed = false; map = clock.monotonic.value; } "
    ":= ts56_t;\n"
    "typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } "
    ":= ts64_t;\n"
    "stream {\n"
    "    id = 0;\n" TRACE_PACKET_TSDL "};\n"
    "event { name = \"sched_switch\"; id = 1; stream_id = 0; fields := struct {\n"
    "    comm_t _prev_comm[16]; int32_t _prev_tid; int32_t _prev_prio; int64_t _prev_state;\n"
    "    comm_t _next_comm[16]; int32_t _next_tid; int32_t _next_prio; }; };\n"
    "event { name = \"sched_waking\"; id = 2; stream_id = 0; fields := struct {\n"
    "    comm_t _comm[16]; int32_t _tid; int32_t _prio; int32_t _target_cpu; }; };\n"
    "event { name = \"sched_wakeup\"; id = 3; stream_id = 0; fields := struct {\n"
    "    comm_t _comm[16]; int32_t _tid; int32_t _prio; int32_t _target_cpu; }; };\n"
    "event { name = \"sched_migrate_task\"; id = 4; stream_id = 0; fields := struct {\n"
    "    comm_t _comm[16]; int32_t _tid; int32_t _prio; int32_t _orig_cpu; int32_t _dest_cpu; "
    "}; };\n"
    "event { name = \"kvm_x86_entry\"; id = 5; stream_id = 0; fields := struct {\n"
    "    uint32_t _vcpu_id; }; };\n"
    "event { name = \"kvm_x86_exit\"; id = 6; stream_id = 0; fields := struct {\n"
    "    uint32_t _exit_reason; uint64_t _guest_rip; uint32_t _isa; uint64_t _info1;\n"
    "    uint64_t _info2; }; };\n";

struct lttng {
    const char *directory;
    uint8_t uuid[16];
    struct ctf_stream streams[MODEL_CPUS_MAX];
    bool failed;
};

/* The original's uuid with the last byte turned over: another trace, but always the same. */
static void set_uuid(struct lttng *l, const char *text)
{
    for (unsigned n = 0; *text && n < 32; text++) {
        int digit = ascii_hex(*text);

        if (digit < 0)
            continue;
        l->uuid[n / 2] = (uint8_t)((unsigned)l->uuid[n / 2] << 4 | (unsigned)digit);
        n++;
    }
    l->uuid[15] ^= 0xff;
}

static bool begin(void *context, const struct export_options *o, const struct trace_info *info)
{
    struct lttng *l = context;
    char path[4096];
    FILE *out;

    l->directory = o->path;
    set_uuid(l, info->uuid);
    if (!tool_mkdir_new(o->path))
        return false;
    snprintf(path, sizeof(path), "%s/metadata", o->path);
    out = tool_create(path);
    if (!out)
        return false;
    fputs(metadata_types, out);
    fputs("trace {\n    major = 1; minor = 8; byte_order = le;\n    uuid = \"", out);
    for (unsigned i = 0; i < 16; i++)
        fprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", l->uuid[i]);
    fputs("\";\n    packet.header := struct { uint32_t magic; uint8_t uuid[16]; uint32_t "
          "stream_id; };\n};\n",
          out);
    fputs(metadata_rest, out);
    return tool_finish(out, path);
}

static void put_name(char to[16], const struct model_node *w, unsigned cpu)
{
    char comm[32];
    size_t n = strlen(export_comm(w, cpu, comm));

    /* The end of a name tells more than its beginning: vm/vcpu-0. The last byte is NUL. */
    memcpy(to, n > 15 ? comm + n - 15 : comm, MIN(n, 15));
}

static void put(struct lttng *l, const struct export_event *e, uint8_t id, void *record,
                uint32_t size)
{
    struct ctf_stream *s;
    char name[32];

    if (e->cpu >= MODEL_CPUS_MAX || l->failed)
        return;
    s = &l->streams[e->cpu];
    snprintf(name, sizeof(name), "channel0_%u", e->cpu);
    if (!s->file && !ctf_stream_create(s, l->directory, name, 0, e->cpu, l->uuid)) {
        l->failed = true;
        return;
    }
    ctf_stream_put(s, e->time, id, record, size);
}

static void event(void *context, const struct export_event *e)
{
    struct lttng *l = context;

    switch (e->kind) {
    case EXPORT_SWITCH: {
        struct lttng_switch r = {
            .prev_tid = (int32_t)export_tid(e->world),
            .prev_prio = PRIORITY,
            .prev_state = export_state_number(e->prev_state),
            .next_tid = (int32_t)export_tid(e->next),
            .next_prio = PRIORITY,
        };

        put_name(r.prev_comm, e->world, e->cpu);
        put_name(r.next_comm, e->next, e->cpu);
        put(l, e, ID_SWITCH, &r, sizeof(r));
        break;
    }
    case EXPORT_WAKING: {
        struct lttng_wakeup r = {
            .tid = (int32_t)export_tid(e->world),
            .prio = PRIORITY,
            .target_cpu = (int32_t)e->dst,
        };

        put_name(r.comm, e->world, e->cpu);
        put(l, e, ID_WAKING, &r, sizeof(r));
        put(l, e, ID_WAKEUP, &r, sizeof(r));
        break;
    }
    case EXPORT_MIGRATE: {
        struct lttng_migrate r = {
            .tid = (int32_t)export_tid(e->world),
            .prio = PRIORITY,
            .orig_cpu = (int32_t)e->src,
            .dest_cpu = (int32_t)e->dst,
        };

        put_name(r.comm, e->world, e->cpu);
        put(l, e, ID_MIGRATE, &r, sizeof(r));
        break;
    }
    case EXPORT_VM_ENTRY: {
        struct lttng_kvm_entry r = {.vcpu_id = export_tid(e->world)};

        put(l, e, ID_KVM_ENTRY, &r, sizeof(r));
        break;
    }
    case EXPORT_VM_EXIT: {
        struct lttng_kvm_exit r = {.exit_reason = e->reason, .isa = 1, .info1 = e->info};

        put(l, e, ID_KVM_EXIT, &r, sizeof(r));
        break;
    }
    }
}

static bool end(void *context, const struct model *m)
{
    struct lttng *l = context;
    bool good = !l->failed;

    (void)m;
    for (unsigned i = 0; i < MODEL_CPUS_MAX; i++)
        good = ctf_stream_close(&l->streams[i]) && good;
    return good;
}

const struct exporter exporter_lttng = {
    .name = "lttng",
    .begin = begin,
    .event = event,
    .end = end,
    .context_size = sizeof(struct lttng),
};
