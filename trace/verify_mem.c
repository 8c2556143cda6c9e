// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/verify_mem.c -- are the recorded decisions those of the memory scheduler?
 *
 * The recorded inputs go through the code that recorded them (mem/memsched_record.h), and what
 * comes out, record by record, has to be what the trace has: decisions, and every so often the
 * whole state.
 * It begins at the first checkpoint of the state, so a flight recorder's end is enough.
 *
 *   recorded:  checkpoint   input 7   target ...   input 8   state ...
 *                  |           |         =            |         =
 *   replayed:   restore      step --> expected[]    step --> expected[]
 *
 * Invariants
 *   - Inputs that are missing end it: whatever came out would mean nothing.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include "trace/verify_mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/difference.h"
#include "trace/mem_restore.h"
#include "trace/memory.h"
#include "trace/print.h"
#include "trace/tool.h"

#define EXPECTED_MAX 512u  // one input: its record, a state, and a decision for each node

struct verify_mem {
    struct trace_reader *reader;
    struct difference difference;
    struct mem_restore begun;  // and the machine that goes on from there

    // What has to come.
    bool overflow;
    struct {
        const struct trace_event *event;
        uint8_t bytes[RECORD_BYTES_MAX];
    } list[EXPECTED_MAX];

    uint64_t decisions, checkpoints, events[256];
    uint64_t to;  // time
};

static void expect(void *context, plat_ns now, const trace_word *record, size_t words)
{
    struct verify_mem *v = context;
    unsigned id = record[0] & 0xff;

    (void)now;
    if (v->difference.expected == EXPECTED_MAX || words * 8 > RECORD_BYTES_MAX) {
        v->overflow = true;
        return;
    }
    v->list[v->difference.expected].event = trace_event_of(id);
    memcpy(v->list[v->difference.expected++].bytes, record, words * 8);
}

static void print_expected(void *context, unsigned i)
{
    const struct verify_mem *v = context;
    const struct trace_record e = {
        .time = v->to, .event = v->list[i].event, .bytes = v->list[i].bytes};

    print_record(stdout, &e);
}

struct verify_mem *verify_mem_create(struct trace_reader *reader, const char *directory,
                                     unsigned neighbours)
{
    struct verify_mem *v = calloc(1, sizeof(*v));

    if (!v || !difference_init(&v->difference, reader, directory, neighbours)) {
        free(v);
        return NULL;
    }
    v->reader = reader;
    v->difference.who = "the memory scheduler";
    v->difference.concerns = memory_is_decided;
    v->difference.print = print_expected;
    v->difference.context = v;
    mem_restore_init(&v->begun, reader, "verify");
    v->begun.recorder.put = expect;
    v->begun.recorder.context = v;
    return v;
}

void verify_mem_free(struct verify_mem *v)
{
    if (v)
        difference_free(&v->difference);
    free(v);
}

bool verify_mem_any(const struct verify_mem *v)
{
    return v->difference.inputs || v->begun.skipped;
}

static int compare(struct verify_mem *v, const struct trace_record *r)
{
    struct difference *d = &v->difference;
    bool any = d->compared < d->expected;
    const struct trace_event *event = any ? v->list[d->compared].event : NULL;
    int status = difference_compare(d, r, event, any ? v->list[d->compared].bytes : NULL);

    if (status != TOOL_OK)
        return status;
    v->decisions += event->id != RECORD_mem_input;
    v->events[event->id]++;
    return TOOL_OK;
}

/* A decision that no record tells. */
static int check_rest(struct verify_mem *v, const struct trace_record *r)
{
    struct difference *d = &v->difference;

    if (d->compared == d->expected)
        return TOOL_OK;
    return difference_missing(d, r, v->list[d->compared].event);
}

/* ---- records ---- */

static int input(struct verify_mem *v, const struct trace_record *r)
{
    const struct record_mem_input *i = TRACE_AS(mem_input, r);
    const struct memsched_input in = mem_restore_input(i);
    vmk_status refused;

    if (i->seq != v->begun.recorder.seq)
        return tool_fail("verify: cannot be decided: input %u of the memory scheduler follows "
                         "input %u; record again with a larger ring (--trace-buffer)",
                         i->seq, v->begun.recorder.seq - 1);
    v->difference.expected = v->difference.compared = 0;
    v->to = r->time;
    refused = memsched_record_step(&v->begun.recorder, r->time, &in);
    (void)refused;  // a decision of its own
    v->difference.inputs++;
    if (v->overflow)
        return tool_fail("verify: input %" PRIu64 " of the memory scheduler has more than %u "
                         "decisions",
                         v->difference.inputs, EXPECTED_MAX);
    return TOOL_OK;
}

/* A later checkpoint: what comes has to be the state as it is here. */
static int state(struct verify_mem *v, const struct trace_record *r)
{
    int status = check_rest(v, r);

    if (status != TOOL_OK)
        return status;
    v->difference.expected = v->difference.compared = 0;
    v->checkpoints++;
    memsched_record_state(&v->begun.recorder);
    return TOOL_OK;
}

/* What somebody is called is no decision: it is learnt. */
static void name(struct verify_mem *v, const struct record_mem_node *n)
{
    struct record_mem_node *mine =
        (struct record_mem_node *)(void *)v->list[v->difference.compared].bytes;

    if (n->slot >= MEMSCHED_NODES_MAX || v->difference.compared == v->difference.expected ||
        v->list[v->difference.compared].event->id != RECORD_mem_node)
        return;
    v->begun.recorder.name[n->slot] = n->name;
    mine->name = n->name;
}

int verify_mem_feed(struct verify_mem *v, const struct trace_record *r)
{
    int status = TOOL_OK;

    if (!memory_is_decided(r->event))
        return TOOL_OK;
    if (v->begun.stage != MEM_RESTORE_DONE)
        return mem_restore_feed(&v->begun, r);
    if (r->event->id == RECORD_mem_input) {
        status = check_rest(v, r);
        if (status == TOOL_OK)
            status = input(v, r);
        if (status == TOOL_OK)
            status = compare(v, r);
    } else {
        if (r->event->id == RECORD_mem_checkpoint)
            status = state(v, r);
        if (r->event->id == RECORD_mem_node)
            name(v, TRACE_AS(mem_node, r));
        if (status == TOOL_OK)
            status = compare(v, r);
    }
    if (status == TOOL_OK)
        neighbours_add(&v->difference.before, r);
    return status;
}

int verify_mem_end(struct verify_mem *v)
{
    if (v->begun.stage != MEM_RESTORE_DONE)
        return tool_fail("verify: cannot be decided: no state of the memory scheduler was "
                         "recorded, only %" PRIu64 " inputs; record again with a larger ring",
                         v->begun.skipped);
    printf("memory: equal: %" PRIu64 " inputs from input %u on, %" PRIu64
           " decisions and records of state over %.3f s\n",
           v->difference.inputs, v->begun.first_seq, v->decisions,
           (double)(v->to - v->begun.from) / 1e9);
    for (unsigned id = 0; id < 256; id++) {
        if (v->events[id] && id != RECORD_mem_input)
            printf("  %-14s %" PRIu64 "\n", trace_event_of(id)->name, v->events[id]);
    }
    difference_cut(&v->difference);
    return TOOL_OK;
}
