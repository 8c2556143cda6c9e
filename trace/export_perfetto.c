// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/export_perfetto.c -- a trace as Perfetto's protobuf.
 *
 * Switches and wake-ups go out as columns (compact_sched), a bundle per CPU and some hundred
 * events: about 8 bytes a switch instead of 46. Worlds are threads, VMs and pools processes.
 * Memory figures are counter tracks. The file is a concatenation of packets, so nothing but one
 * bundle per CPU is kept.
 *
 *   Trace { packet = 1 }
 *   TracePacket { ftrace_events = 1, process_tree = 2, timestamp = 8, sequence = 10,
 *   track_event = 11,
 *                 track_descriptor = 60 }
 *   FtraceEventBundle { cpu = 1, compact_sched = 4 }
 *
 * Invariants
 *   - A bundle's columns have one entry per event each (put_switch(), put_waking()).
 *   - Times in a column never fall: differences are unsigned.
 * Locking    none: one thread.
 * Sources    [PERFETTO], [PROTOBUF]
 */
#include <stdlib.h>
#include <string.h>

#include "trace/export.h"
#include "trace/protobuf.h"
#include "trace/tool.h"

#define BUNDLE_EVENTS 512u
#define BUNDLE_NAMES  64u
#define COUNTERS_MAX  512u
#define PRIORITY      120u
#define SEQUENCE      1u

/* FtraceEventBundle.CompactSched */
enum {
    SWITCH_TIME = 1,
    SWITCH_PREV_STATE = 2,
    SWITCH_NEXT_PID = 3,
    SWITCH_NEXT_PRIO = 4,
    INTERN_TABLE = 5,
    SWITCH_NEXT_COMM = 6,
    WAKING_TIME = 7,
    WAKING_PID = 8,
    WAKING_CPU = 9,
    WAKING_PRIO = 10,
    WAKING_COMM = 11,
    COLUMNS = 12,
};

struct bundle {
    unsigned events;
    uint64_t switch_time, waking_time;  // of the last in the column
    struct pb column[COLUMNS];
    unsigned names;
    char name[BUNDLE_NAMES][32];
};

struct perfetto {
    FILE *out;
    const char *path;
    struct bundle *bundles[MODEL_CPUS_MAX];
    struct pb packet, message, inner, whole;
    unsigned counters;
    uint64_t counter_uuid[COUNTERS_MAX];
    bool failed;
};

static void write_packet(struct perfetto *p)
{
    pb_clear(&p->whole);
    pb_nested(&p->whole, 1, &p->packet);
    if (p->whole.failed || p->packet.failed)
        p->failed = true;
    else if (fwrite(p->whole.bytes, 1, p->whole.length, p->out) != p->whole.length)
        p->failed = true;
    pb_clear(&p->packet);
}

static bool begin(void *context, const struct export_options *o, const struct trace_info *info)
{
    struct perfetto *p = context;

    (void)info;
    p->path = o->path;
    p->out = tool_create(o->path);
    return p->out != NULL;
}

static void flush(struct perfetto *p, unsigned cpu)
{
    struct bundle *b = p->bundles[cpu];

    if (!b || !b->events)
        return;
    pb_clear(&p->inner);
    for (unsigned i = 0; i < b->names; i++)
        pb_text(&p->inner, INTERN_TABLE, b->name[i]);
    for (unsigned i = 0; i < COLUMNS; i++) {
        if (b->column[i].length || b->column[i].failed)
            pb_nested(&p->inner, i, &b->column[i]);
        pb_clear(&b->column[i]);
    }
    pb_clear(&p->message);
    pb_uint(&p->message, 1, cpu);
    pb_nested(&p->message, 4, &p->inner);
    pb_nested(&p->packet, 1, &p->message);
    write_packet(p);
    b->events = b->names = 0;
    b->switch_time = b->waking_time = 0;
}

static unsigned name_index(struct bundle *b, const char *name)
{
    for (unsigned i = 0; i < b->names; i++) {
        if (!strcmp(b->name[i], name))
            return i;
    }
    strcpy(b->name[b->names], name);
    return b->names++;
}

static void put_switch(struct bundle *b, const struct export_event *e)
{
    char comm[32];

    pb_raw(&b->column[SWITCH_TIME], e->time - b->switch_time);
    b->switch_time = e->time;
    pb_raw(&b->column[SWITCH_PREV_STATE], export_state_number(e->prev_state));
    pb_raw(&b->column[SWITCH_NEXT_PID], export_tid(e->next));
    pb_raw(&b->column[SWITCH_NEXT_PRIO], PRIORITY);
    pb_raw(&b->column[SWITCH_NEXT_COMM], name_index(b, export_comm(e->next, e->cpu, comm)));
}

static void put_waking(struct bundle *b, const struct export_event *e)
{
    char comm[32];

    pb_raw(&b->column[WAKING_TIME], e->time - b->waking_time);
    b->waking_time = e->time;
    pb_raw(&b->column[WAKING_PID], export_tid(e->world));
    pb_raw(&b->column[WAKING_CPU], e->dst);
    pb_raw(&b->column[WAKING_PRIO], PRIORITY);
    pb_raw(&b->column[WAKING_COMM], name_index(b, export_comm(e->world, e->cpu, comm)));
}

static void event(void *context, const struct export_event *e)
{
    struct perfetto *p = context;
    struct bundle *b;

    if (e->cpu >= MODEL_CPUS_MAX || (e->kind != EXPORT_SWITCH && e->kind != EXPORT_WAKING))
        return;
    b = p->bundles[e->cpu];
    if (!b)
        b = p->bundles[e->cpu] = calloc(1, sizeof(*b));
    if (!b) {
        p->failed = true;
        return;
    }
    if (e->kind == EXPORT_SWITCH)
        put_switch(b, e);
    else
        put_waking(b, e);
    if (++b->events >= BUNDLE_EVENTS || b->names == BUNDLE_NAMES)
        flush(p, e->cpu);
}

/*
 * --- counters --------------------------------------------------------------------------------
 */

/* A counter track is described the first time it has a value. */
static void counter(struct perfetto *p, uint64_t time, uint32_t vm, unsigned which,
                    const char *what, uint64_t value)
{
    uint64_t uuid = ((uint64_t)vm << 8 | which) + BIT(48);
    unsigned i = 0;
    char name[64];

    while (i < p->counters && p->counter_uuid[i] != uuid)
        i++;
    if (i == COUNTERS_MAX)
        return;
    if (i == p->counters) {
        p->counter_uuid[p->counters++] = uuid;
        if (vm)
            snprintf(name, sizeof(name), "vm %u: %s (pages)", vm, what);
        else
            snprintf(name, sizeof(name), "%s (pages)", what);
        pb_clear(&p->message);
        pb_clear(&p->inner);
        pb_uint(&p->message, 1, uuid);
        pb_text(&p->message, 2, name);
        pb_nested(&p->message, 8, &p->inner);  // CounterDescriptor, all defaults
        pb_nested(&p->packet, 60, &p->message);
        pb_uint(&p->packet, 10, SEQUENCE);
        write_packet(p);
    }
    pb_clear(&p->message);
    pb_uint(&p->message, 9, 4);  // TYPE_COUNTER
    pb_uint(&p->message, 11, uuid);
    pb_uint(&p->message, 30, value);
    pb_uint(&p->packet, 8, time);
    pb_uint(&p->packet, 10, SEQUENCE);
    pb_nested(&p->packet, 11, &p->message);
    write_packet(p);
}

static void record(void *context, const struct trace_record *r)
{
    struct perfetto *p = context;

    switch (r->event->id) {
    case RECORD_mem_state:
        counter(p, r->time, 0, 0, "free memory", TRACE_AS(mem_state, r)->host_free);
        break;
    case RECORD_mem_sample:
        counter(p, r->time, TRACE_AS(mem_sample, r)->vm, 1, "active, estimated",
                TRACE_AS(mem_sample, r)->est_active);
        break;
    case RECORD_mem_target:
        counter(p, r->time, TRACE_AS(mem_target, r)->vm, 2, "entitlement",
                TRACE_AS(mem_target, r)->entitlement);
        counter(p, r->time, TRACE_AS(mem_target, r)->vm, 3, "balloon target",
                TRACE_AS(mem_target, r)->balloon_target);
        break;
    case RECORD_balloon:
        counter(p, r->time, TRACE_AS(balloon, r)->vm, 4, "balloon",
                TRACE_AS(balloon, r)->current);
        break;
    default: break;
    }
}

/*
 * --- names -----------------------------------------------------------------------------------
 */

/*
 * ProcessTree { processes = 1 { pid = 1, cmdline = 3 }, threads = 2 { tid = 1, name = 2, tgid =
 * 3 } }
 */
static void write_tree(struct perfetto *p, const struct model *m)
{
    char name[32];

    pb_clear(&p->message);
    for (unsigned i = 0; i < m->count; i++) {
        const struct model_node *n = m->nodes[i];
        const struct model_node *vm = model_vm_of(n);

        if (n->is_idle)
            continue;
        pb_clear(&p->inner);
        pb_uint(&p->inner, 1, n->id);
        if (n->is_vm || (!n->is_pool && !vm)) {
            pb_text(&p->inner, 3, model_name(n, name));
            pb_nested(&p->message, 1, &p->inner);
        } else if (!n->is_pool) {
            pb_text(&p->inner, 2, model_name(n, name));
            pb_uint(&p->inner, 3, vm->id);
            pb_nested(&p->message, 2, &p->inner);
        }
    }
    if (p->message.length) {
        pb_nested(&p->packet, 2, &p->message);
        write_packet(p);
    }
}

static bool end(void *context, const struct model *m)
{
    struct perfetto *p = context;

    for (unsigned cpu = 0; cpu < MODEL_CPUS_MAX; cpu++) {
        flush(p, cpu);
        for (unsigned i = 0; p->bundles[cpu] && i < COLUMNS; i++)
            pb_free(&p->bundles[cpu]->column[i]);
        free(p->bundles[cpu]);
    }
    write_tree(p, m);
    pb_free(&p->packet);
    pb_free(&p->message);
    pb_free(&p->inner);
    pb_free(&p->whole);

    bool good = tool_finish(p->out, p->path);

    if (p->failed && good)
        tool_fail("%s: not all was written", p->path);
    return good && !p->failed;
}

const struct exporter exporter_perfetto = {
    .name = "perfetto",
    .begin = begin,
    .event = event,
    .record = record,
    .end = end,
    .context_size = sizeof(struct perfetto),
};
