// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/verify.c -- `orrery-trace verify`: are the recorded decisions those of the scheduler?
 *
 * The scheduler is a state machine whose every input was recorded with its time and its number.
 * This feeds the inputs to the same object code (sched/machine.h) and compares what it decides
 * with the records behind each input. If a run on four CPUs of a real machine passes, its
 * interleaving, its locking and its recorder have changed nothing that matters: all that the
 * scheduler did follows from what it was told.
 *
 *   recorded:  input 7   switch ...   migrate ...   input 8   switch ...
 *                 |         =            =             |
 *   replayed:  sched_step() --> expected[] ...      sched_step() --> ...
 *
 * Invariants
 *   - A trace that lost an input, or does not begin with the first, is refused: whatever came
 *     out would mean nothing.
 *   - Storage handed to the machine is kept until it gives it back (REMOVE) or the end.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md, docs/design/scheduler.md
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sched/machine.h"
#include "trace/difference.h"
#include "trace/print.h"
#include "trace/prompt.h"
#include "trace/tool.h"
#include "trace/verify_mem.h"

static const char help[] =
    "usage: orrery-trace verify DIR [option ...]\n"
    "\n"
    "Feeds the recorded inputs to the schedulers of CPUs and memory and compares every "
    "decision "
    "with\n"
    "the recorded one. Memory begins at the first recorded state, so a flight recorder will "
    "do.\n"
    "Exit status 0: all are equal; 1: the first that is not is shown; 3: the trace is bad, or "
    "lost\n"
    "records, or does not have the beginning.\n"
    "\n"
    "  --neighbours N   so many records before and behind a difference (10)\n"
    "  --only cpu|memory  that scheduler alone (both)\n"
    "  --check          also check the scheduler's whole state after every input (slow)\n";

#define EXPECTED_MAX 4096u

/* Memory that the machine was given: behind this head. */
struct storage {
    struct storage *next, **at;
    max_align_t bytes[];
};

struct verify {
    struct trace_reader *reader;
    struct sched_machine *machine;
    struct verify_mem *memory;
    struct storage *storage;
    struct difference difference;
    struct prompt prompt;
    bool check;
    bool cpu, only_memory;  // which half is looked at

    // The step in hand.
    bool stepped;
    struct trace_record input;  // its bytes are gone
    struct {
        struct sched_event event;
        uint64_t now;
    } list[EXPECTED_MAX];
    bool overflow;

    uint64_t refused, decisions, events[256];
};

/*
 * --- storage ---------------------------------------------------------------------------------
 */

static void *storage_new(struct verify *v, size_t size)
{
    struct storage *s = calloc(1, sizeof(*s) + size);

    if (!s)
        return NULL;
    s->next = v->storage;
    s->at = &v->storage;
    if (s->next)
        s->next->at = &s->next;
    v->storage = s;
    return s->bytes;
}

static void storage_free(void *bytes)
{
    struct storage *s = container_of(bytes, struct storage, bytes);

    *s->at = s->next;
    if (s->next)
        s->next->at = s->at;
    free(s);
}

/*
 * --- the machine -----------------------------------------------------------------------------
 */

static void observe(void *context, const struct sched_event *event, plat_ns now)
{
    struct verify *v = context;

    if (v->difference.expected == EXPECTED_MAX) {
        v->overflow = true;
        return;
    }
    v->list[v->difference.expected].event = *event;
    v->list[v->difference.expected++].now = now;
}

/* What the machine decided, as the record that should stand in the trace. */
union any_record {
    uint64_t header;
    struct record_sched_switch sched_switch;
    struct record_sched_migrate sched_migrate;
    struct record_sched_state sched_state;
    struct record_sched_costop sched_costop;
    struct record_sched_costart sched_costart;
};

static const struct trace_event *to_record(const struct sched_event *e, union any_record *out)
{
    memset(out, 0, sizeof(*out));
    switch (e->kind) {
    case SCHED_EVENT_SWITCH:
        out->sched_switch.prev_tid = e->id;
        out->sched_switch.next_tid = e->other;
        out->sched_switch.prev_state = (uint16_t)e->state;
        out->sched_switch.cost = (uint16_t)e->a;
        out->sched_switch.ran_us = e->b;
        return trace_event_of(RECORD_sched_switch);
    case SCHED_EVENT_MIGRATE:
        out->sched_migrate.tid = e->id;
        out->sched_migrate.src = (uint16_t)e->src;
        out->sched_migrate.dst = (uint16_t)e->dst;
        out->sched_migrate.kind = (uint16_t)e->state;
        out->sched_migrate.cost = e->a;
        return trace_event_of(RECORD_sched_migrate);
    case SCHED_EVENT_STATE:
        out->sched_state.tid = e->id;
        out->sched_state.state = (uint16_t)e->state;
        out->sched_state.sub = (uint16_t)e->a;
        return trace_event_of(RECORD_sched_state);
    case SCHED_EVENT_COSTOP:
        out->sched_costop.tid = e->id;
        out->sched_costop.skew_us = e->a;
        return trace_event_of(RECORD_sched_costop);
    default:
        out->sched_costart.tid = e->id;
        out->sched_costart.skew_us = e->a;
        return trace_event_of(RECORD_sched_costart);
    }
}

static struct sched_input input_of(const struct trace_record *r)
{
    const struct record_sched_input *i = TRACE_AS(sched_input, r);  // the wide one begins alike

    return (struct sched_input){
        .op = i->op,
        .cpu = r->cpu,
        .small = i->small,
        .id = i->id,
        .arg = i->arg,
        .value =
            r->event->id == RECORD_sched_input_wide ? TRACE_AS(sched_input_wide, r)->value : 0,
    };
}

/* One input. False: no memory. */
static bool step(struct verify *v, const struct trace_record *r)
{
    struct sched_input in = input_of(r);
    void *removed = NULL;
    bool adds = in.op == SCHED_OP_WORLD_ADD || in.op == SCHED_OP_POOL_ADD;

    if (adds) {
        in.storage =
            storage_new(v, in.op == SCHED_OP_WORLD_ADD ? sizeof(struct sched_entity)
                                                       : sched_pool_size(SCHED_CPUS_MAX));
        if (!in.storage)
            return false;
    } else if (in.op == SCHED_OP_WORLD_REMOVE) {
        removed = sched_entity_find(v->machine, in.id);
    } else if (in.op == SCHED_OP_POOL_REMOVE) {
        removed = sched_pool_find(v->machine, in.id);
    }
    v->stepped = true;
    v->input = *r;
    v->difference.expected = v->difference.compared = 0;

    struct sched_decision d = sched_step(v->machine, &in, r->time);

    if (adds && d.status != VMK_OK)
        storage_free(in.storage);
    if (removed && d.status == VMK_OK)
        storage_free(removed);
    prompt_input(&v->prompt, &in, &d, r->time);
    for (unsigned i = 0; i < v->difference.expected; i++) {
        if (v->list[i].event.kind == SCHED_EVENT_COSTOP)
            prompt_costop(&v->prompt, v->machine, v->list[i].event.id, in.cpu,
                          v->list[i].event.a * 1000ull, r->time);
    }
    v->difference.inputs++;
    v->refused += d.status != VMK_OK;
    if (v->check)
        sched_machine_check(v->machine);
    return true;
}

/*
 * --- comparison ------------------------------------------------------------------------------
 */

static bool is_decision(const struct trace_record *r)
{
    return r->event->id == RECORD_sched_switch || r->event->id == RECORD_sched_migrate ||
           r->event->id == RECORD_sched_state || r->event->id == RECORD_sched_costop ||
           r->event->id == RECORD_sched_costart;
}

static bool is_input(const struct trace_record *r)
{
    return r->event->id == RECORD_sched_input || r->event->id == RECORD_sched_input_wide;
}

/* What the machine decided next, as a line. */
static void print_expected(void *context, unsigned i)
{
    struct verify *v = context;
    union any_record bytes;
    struct trace_record r = v->input;

    r.event = to_record(&v->list[i].event, &bytes);
    r.time = v->list[i].now;
    r.bytes = (const uint8_t *)&bytes;
    print_record(stdout, &r);
}

static int compare(struct verify *v, const struct trace_record *r)
{
    struct difference *d = &v->difference;
    union any_record bytes;
    const struct trace_event *event = NULL;
    int status;

    if (!v->stepped)
        return difference_show(d, r, "a decision before the first input");
    if (d->compared < d->expected)
        event = to_record(&v->list[d->compared].event, &bytes);
    status = difference_compare(d, r, event, &bytes);
    if (status == TOOL_OK) {
        v->decisions++;
        v->events[event->id]++;
    }
    return status;
}

/* A decision of the input in hand that no record tells, and another input follows. */
static int check_rest(struct verify *v, const struct trace_record *r)
{
    struct difference *d = &v->difference;
    union any_record bytes;

    if (!v->stepped || d->compared == d->expected)
        return TOOL_OK;
    return difference_missing(d, r, to_record(&v->list[d->compared].event, &bytes));
}

/* Why nothing can be said of this trace; null: it can. */
static const char *refusal(const struct verify *v)
{
    const struct trace_info *info = trace_info(v->reader);
    static char text[256];

    if (info->lost_records || info->lost_marked || info->lost_packets)
        snprintf(text, sizeof(text),
                 "%" PRIu64 " records and %" PRIu64
                 " packets were lost; record again with a larger ring or fewer classes "
                 "(--trace-buffer, --trace-classes, --trace-lossless)",
                 MAX(info->lost_records, info->lost_marked), info->lost_packets);
    else if (info->seq_gaps)
        snprintf(text, sizeof(text), "%" PRIu64 " inputs of the scheduler are missing",
                 info->seq_gaps);
    else if (info->missing)
        snprintf(text, sizeof(text),
                 "%" PRIu64 " records are missing, says the last checkpoint", info->missing);
    else if (info->starts_late || info->first_seq > 1)
        snprintf(
            text, sizeof(text),
            "the beginning is missing (first input is %u): a flight recorder keeps the end "
            "only; record with --trace-mode stream",
            info->first_seq);
    else
        return NULL;
    return text;
}

static int one_record(struct verify *v, const struct trace_record *r)
{
    int status = TOOL_OK;

    if (v->memory) {
        status = verify_mem_feed(v->memory, r);
        if (status != TOOL_OK)
            return status;
    }
    if (!v->cpu)
        return TOOL_OK;
    if (is_input(r)) {
        if (refusal(v)) {
            v->cpu = false;  // said at the end: the memory scheduler's may be all there
            return TOOL_OK;
        }
        status = check_rest(v, r);
        if (status == TOOL_OK && !step(v, r))
            return tool_fail("no memory");
        if (v->overflow)
            return tool_fail("verify: input %" PRIu64 " has more than %u decisions",
                             v->difference.inputs, EXPECTED_MAX);
    } else if (is_decision(r)) {
        if (!v->stepped && refusal(v))
            return TOOL_OK;
        status = compare(v, r);
    }
    if (status == TOOL_OK)
        neighbours_add(&v->difference.before, r);
    return status;
}

static void report(const struct verify *v)
{
    const struct trace_info *info = trace_info(v->reader);

    printf("equal: %" PRIu64 " inputs (%" PRIu64 " refused), %" PRIu64
           " decisions over %.3f s\n",
           v->difference.inputs, v->refused, v->decisions,
           (double)(info->last_time - info->first_time) / 1e9);
    for (unsigned id = 0; id < 256; id++) {
        if (v->events[id])
            printf("  %-14s %" PRIu64 "\n", trace_event_of(id)->name, v->events[id]);
    }
    difference_cut(&v->difference);
    prompt_print(&v->prompt, v->machine, stdout);
}

static int finish(struct verify *v)
{
    bool memory = v->memory && verify_mem_any(v->memory);
    const char *why = v->only_memory ? NULL : refusal(v);
    int status = TOOL_OK;

    if (memory || v->only_memory) {
        if (!memory)
            return tool_fail("verify: no input of the memory scheduler was recorded");
        status = verify_mem_end(v->memory);
    }
    if (status != TOOL_OK || v->only_memory)
        return status;
    if (why)
        return tool_fail("verify: cannot be decided: %s%s", why,
                         memory ? " (--only memory leaves the CPUs out)" : "");
    if (!v->difference.inputs && memory)
        return TOOL_OK;
    if (!v->difference.inputs)
        return tool_fail("verify: no input of the scheduler was recorded (class SCHED off?)");
    report(v);
    return TOOL_OK;
}

static int walk(struct verify *v)
{
    struct trace_record r;
    int more, status = TOOL_OK;

    while ((more = trace_next(v->reader, &r)) == 1) {
        tool_progress("verify", trace_percent(v->reader));
        status = one_record(v, &r);
        if (status != TOOL_OK)
            return status;
    }
    tool_progress_end();
    if (more < 0)
        return tool_fail("%s", trace_error(v->reader));
    return finish(v);
}

static int run(const char *directory, unsigned neighbours, bool check, const char *only)
{
    char error[TRACE_ERROR];
    struct verify *v = calloc(1, sizeof(*v));
    int status;

    if (v)
        v->machine = calloc(1, sizeof(*v->machine));
    if (!v || !v->machine) {
        status = tool_fail("no memory");
    } else if (!(v->reader = trace_open(directory, error))) {
        status = tool_fail("%s", error);
    } else if (!difference_init(&v->difference, v->reader, directory, neighbours) ||
               (strcmp(only, "cpu") != 0 &&
                !(v->memory = verify_mem_create(v->reader, directory, neighbours)))) {
        status = tool_fail("no memory");
    } else {
        v->cpu = strcmp(only, "memory") != 0;
        v->only_memory = !v->cpu;
        v->check = check;
        v->difference.who = "the scheduler";
        v->difference.print = print_expected;
        v->difference.context = v;
        sched_machine_init(v->machine, SCHED_CPUS_MAX);
        prompt_init(&v->prompt);
        v->machine->observer = (struct sched_observer){.event = observe, .context = v};
        status = walk(v);
    }
    if (v) {
        while (v->storage)
            storage_free(v->storage->bytes);
        verify_mem_free(v->memory);
        trace_close(v->reader);
        difference_free(&v->difference);
        free(v->machine);
        free(v);
    }
    return tool_finish(stdout, "stdout") ? status : TOOL_BAD;
}

int verify_main(int argc, char **argv)
{
    enum {
        NEIGHBOURS = 1,
        CHECK,
        ONLY,
        HELP
    };
    static const struct option options[] = {
        {"neighbours", required_argument, NULL, NEIGHBOURS},
        {"check", no_argument, NULL, CHECK},
        {"only", required_argument, NULL, ONLY},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    uint64_t neighbours = 10;
    bool check = false;
    const char *only = "";

    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case NEIGHBOURS:
            if (!tool_number(optarg, &neighbours) || neighbours > 100000)
                return tool_usage("verify", "\"%s\" is no number of records", optarg);
            break;
        case CHECK: check = true; break;
        case ONLY:
            if (strcmp(optarg, "cpu") != 0 && strcmp(optarg, "memory") != 0)
                return tool_usage("verify", "--only takes cpu or memory, not \"%s\"", optarg);
            only = optarg;
            break;
        case HELP: fputs(help, stdout); return TOOL_OK;
        default: return TOOL_USAGE;
        }
    }
    if (optind + 1 != argc)
        return tool_usage("verify", "expected one trace directory");
    return run(argv[optind], (unsigned)neighbours, check, only);
}
