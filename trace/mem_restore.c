// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/mem_restore.c -- the memory scheduler of a trace as it was at the first record of its whole state.
 *
 * A checkpoint is one record that says how many follow, then all settings and all nodes. It is
 * put into the machine by the code that wrote it (mem/memsched_record.h), which also looks
 * whether it can be true.
 *
 * Locking    none: one thread.
 */
#include "trace/mem_restore.h"

#include <inttypes.h>

#include "trace/tool.h"

void mem_restore_init(struct mem_restore *m, const struct trace_reader *reader,
                      const char *command)
{
    *m = (struct mem_restore){.reader = reader, .command = command};
    memsched_init(&m->machine);
    memsched_record_init(&m->recorder, &m->machine);
}

static int bad(const struct mem_restore *m, const struct trace_record *r)
{
    return tool_fail("%s: %s, byte %" PRIu64
                     ": no state of a memory scheduler; the trace is of another version, or "
                     "damaged",
                     m->command, trace_stream_name(m->reader, r->stream), r->offset);
}

static int begin(struct mem_restore *m, const struct trace_record *r)
{
    const struct record_mem_checkpoint *c = TRACE_AS(mem_checkpoint, r);

    if (r->event->id != RECORD_mem_checkpoint) {
        m->skipped += r->event->id == RECORD_mem_input;
        return TOOL_OK;
    }
    m->stage = MEM_RESTORE_INSIDE;
    m->nodes = c->nodes;
    m->tunables = MEMSCHED_TUNABLE_COUNT;
    m->first_seq = c->seq;
    m->from = r->time;
    return memsched_restore_begin(&m->recorder, c) && c->nodes ? TOOL_OK : bad(m, r);
}

int mem_restore_feed(struct mem_restore *m, const struct trace_record *r)
{
    bool good = false;

    if (m->stage == MEM_RESTORE_BEFORE)
        return begin(m, r);
    if (r->event->id == RECORD_mem_tunable) {
        good = m->tunables && memsched_restore_tunable(&m->recorder, TRACE_AS(mem_tunable, r));
        m->tunables -= good;
    } else if (r->event->id == RECORD_mem_node) {
        good = m->nodes && memsched_restore_node(&m->recorder, TRACE_AS(mem_node, r));
        m->nodes -= good;
    }
    if (good && !m->nodes && !m->tunables) {
        good = memsched_restore_end(&m->recorder);
        m->stage = MEM_RESTORE_DONE;
    }
    return good ? TOOL_OK : bad(m, r);
}

struct memsched_input mem_restore_input(const struct record_mem_input *i)
{
    return (struct memsched_input){.op = i->op,
                                   .small = i->small,
                                   .id = i->id,
                                   .a = i->a,
                                   .b = i->b,
                                   .c = i->c,
                                   .d = i->d,
                                   .e = i->e};
}
