// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/export.c -- `orrery-trace export`: a trace in the formats of other tools.
 *
 * Invariants
 *   - Every switch of the trace is one switch of the export; both are counted and must agree.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include "trace/export.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/tool.h"

static const char help[] =
    "usage: orrery-trace export DIR --perfetto FILE | --ftrace FILE | --lttng DIR [option "
    "...]\n"
    "\n"
    "  --perfetto FILE  Perfetto's protobuf, for ui.perfetto.dev: switches, wake-ups, VMs as\n"
    "                   processes, memory counters\n"
    "  --ftrace FILE    text as the kernel's trace file has it (- is stdout), for tools that "
    "read\n"
    "                   ftrace or systrace text\n"
    "  --lttng DIR      CTF 1.8 with the names and layouts of LTTng's kernel tracer, for "
    "Trace\n"
    "                   Compass and babeltrace2; a new directory\n"
    "  --ns             ftrace: nine decimals instead of the kernel's six\n"
    "  --from T, --to T only this part: 1.5s, 20ms; a plain number is seconds since boot\n";

struct walk {
    struct model model;
    const struct exporter *to;
    void *context;
    const struct model_node *woken;  // by the record in hand
    uint64_t from, until;
    uint64_t events[EXPORT_VM_EXIT + 1];
};

uint32_t export_tid(const struct model_node *w)
{
    return w->is_idle ? 0 : w->id;
}

const char *export_comm(const struct model_node *w, unsigned cpu, char out[32])
{
    char name[32];
    const struct model_node *vm = model_vm_of(w);

    if (w->is_idle) {
        snprintf(out, 32, "swapper/%u", cpu);
        return out;
    }
    if (vm && vm->name[0])
        snprintf(out, 32, "%.15s/%.15s", vm->name, w->name[0] ? w->name : "?");
    else
        snprintf(out, 32, "%s", model_name(w, name));
    for (char *at = out; *at; at++) {
        if (*at <= ' ' || *at == '=' || *at == ':')
            *at = '_';
    }
    return out;
}

char export_state_letter(unsigned state)
{
    switch (state) {
    case RECORD_sched_state_RUN:
    case RECORD_sched_state_READY:
    case RECORD_sched_state_MLMTD: return 'R';
    case RECORD_sched_state_WAIT_IO:
    case RECORD_sched_state_WAIT_SWAP: return 'D';
    case RECORD_sched_state_COSTOP: return 'T';
    case RECORD_sched_state_ZOMBIE: return 'X';
    default: return 'S';
    }
}

unsigned export_state_number(unsigned state)
{
    switch (export_state_letter(state)) {
    case 'R': return 0;
    case 'S': return 1;
    case 'D': return 2;
    case 'T': return 4;
    default: return 16;
    }
}

static void on_transition(void *context, struct model_node *w, unsigned from, unsigned to,
                          uint64_t now)
{
    struct walk *walk = context;

    (void)now;
    if (model_state_waits(from) && model_state_wants(to))
        walk->woken = w;
    /* New worlds too: a reader of the export has not seen them before. */
    if (from == RECORD_sched_state_NEW && model_state_wants(to))
        walk->woken = w;
}

static void send(struct walk *walk, const struct export_event *e)
{
    if (!e->world || (e->kind == EXPORT_SWITCH && !e->next))
        return;
    walk->events[e->kind]++;
    walk->to->event(walk->context, e);
}

static void send_record(struct walk *walk, const struct trace_record *r)
{
    struct model *m = &walk->model;
    struct export_event e = {.time = r->time, .cpu = r->cpu};

    if (walk->woken) {
        e.kind = EXPORT_WAKING;
        e.world = walk->woken;
        e.dst = walk->woken->cpu;
        if (r->event->id == RECORD_sched_waking)
            e.dst = TRACE_AS(sched_waking, r)->target_cpu;
        send(walk, &e);
    }
    switch (r->event->id) {
    case RECORD_sched_switch:
        e.kind = EXPORT_SWITCH;
        e.world = model_find(m, TRACE_AS(sched_switch, r)->prev_tid);
        e.next = model_find(m, TRACE_AS(sched_switch, r)->next_tid);
        e.prev_state = TRACE_AS(sched_switch, r)->prev_state;
        break;
    case RECORD_sched_migrate:
        e.kind = EXPORT_MIGRATE;
        e.world = model_find(m, TRACE_AS(sched_migrate, r)->tid);
        e.src = TRACE_AS(sched_migrate, r)->src;
        e.dst = TRACE_AS(sched_migrate, r)->dst;
        break;
    case RECORD_vm_entry:
        e.kind = EXPORT_VM_ENTRY;
        e.world = model_find(m, TRACE_AS(vm_entry, r)->tid);
        break;
    case RECORD_vm_exit:
        e.kind = EXPORT_VM_EXIT;
        e.world = model_find(m, TRACE_AS(vm_exit, r)->tid);
        e.reason = TRACE_AS(vm_exit, r)->reason;
        e.info = TRACE_AS(vm_exit, r)->qualification;
        break;
    default: return;
    }
    send(walk, &e);
}

static int walk_trace(struct walk *walk, struct trace_reader *reader)
{
    struct trace_record r;
    int more;

    while ((more = trace_next(reader, &r)) == 1) {
        tool_progress("export", trace_percent(reader));
        walk->woken = NULL;
        if (!model_feed(&walk->model, &r))
            return tool_fail("no memory");
        /* Formats of others know one time only: ours must not fall in theirs. */
        r.time = walk->model.now;
        if (r.time < walk->from || r.time > walk->until)
            continue;
        send_record(walk, &r);
        if (walk->to->record && !strcmp(r.event->class_name, "MEM"))
            walk->to->record(walk->context, &r);
    }
    tool_progress_end();
    return more < 0 ? tool_fail("%s", trace_error(reader)) : TOOL_OK;
}

static int run(const char *directory, const struct exporter *to, const struct export_options *o,
               uint64_t from, uint64_t until)
{
    char error[TRACE_ERROR];
    struct trace_reader *reader = trace_open(directory, error);
    struct walk *walk = calloc(1, sizeof(*walk));
    struct model_client client = {.context = walk, .transition = on_transition};
    int status;

    if (!reader || !walk) {
        trace_close(reader);
        free(walk);
        return tool_fail("%s", reader ? "no memory" : error);
    }
    walk->to = to;
    walk->from = from;
    walk->until = until;
    walk->context = calloc(1, to->context_size);
    model_init(&walk->model, &client);
    if (!walk->context) {
        status = tool_fail("no memory");
    } else if (!to->begin(walk->context, o, trace_info(reader))) {
        status = TOOL_BAD;
    } else {
        status = walk_trace(walk, reader);
        if (status == TOOL_OK && !tool_part_there(directory, trace_info(reader), from, until))
            status = TOOL_BAD;
        if (!to->end(walk->context, &walk->model))
            status = TOOL_BAD;
    }
    if (status == TOOL_OK)
        fprintf(stderr,
                "export: %" PRIu64 " switches, %" PRIu64 " wake-ups, %" PRIu64 " moves\n",
                walk->events[EXPORT_SWITCH], walk->events[EXPORT_WAKING],
                walk->events[EXPORT_MIGRATE]);
    free(walk->context);
    model_free(&walk->model);
    free(walk);
    trace_close(reader);
    return status;
}

int export_main(int argc, char **argv)
{
    enum {
        PERFETTO = 1,
        FTRACE,
        LTTNG,
        NS,
        FROM,
        TO,
        HELP
    };
    static const struct option options[] = {
        {"perfetto", required_argument, NULL, PERFETTO},
        {"ftrace", required_argument, NULL, FTRACE},
        {"lttng", required_argument, NULL, LTTNG},
        {"ns", no_argument, NULL, NS},
        {"from", required_argument, NULL, FROM},
        {"to", required_argument, NULL, TO},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    static const struct exporter *const exporters[] = {[PERFETTO] = &exporter_perfetto,
                                                       [FTRACE] = &exporter_ftrace,
                                                       [LTTNG] = &exporter_lttng};
    const struct exporter *to = NULL;
    struct export_options o = {0};
    uint64_t from = 0, until = UINT64_MAX;

    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case PERFETTO:
        case FTRACE:
        case LTTNG:
            if (to)
                return tool_usage("export", "one format at a time");
            to = exporters[c];
            o.path = optarg;
            break;
        case NS: o.nanoseconds = true; break;
        case FROM:
        case TO:
            if (!tool_time(optarg, c == FROM ? &from : &until))
                return tool_usage("export", "\"%s\" is no time", optarg);
            break;
        case HELP: fputs(help, stdout); return TOOL_OK;
        default: return TOOL_USAGE;
        }
    }
    if (!to)
        return tool_usage("export", "expected --perfetto, --ftrace or --lttng");
    if (optind + 1 != argc)
        return tool_usage("export", "expected one trace directory");
    return run(argv[optind], to, &o, from, until);
}
