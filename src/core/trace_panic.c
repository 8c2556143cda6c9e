// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_panic.c -- the flight recorder's moment: the last records on the panic screen.
 *
 * Runs when everybody else is stopped, without a lock and without memory. A CPU may have been
 * stopped in the middle of a record: `at` moves on only behind a whole one, so what lies below
 * it is good; still every step is checked, because it may be the recorder that is broken.
 *
 * Invariants
 *   - Reads only inside the ring; an id without an event ends the walk of that packet.
 * Locking    none, on purpose.
 */
#include "core/trace_internal.h"
#include "plat/plat.h"

#define SHOWN 16u

struct latest {
    plat_ns time;
    const trace_word *record;
    unsigned stream;
};

/* Keeps the newest SHOWN in order of time; equal times in the order of coming. */
static void keep(struct latest *latest, unsigned *count, struct latest one)
{
    unsigned i = *count;

    if (i == SHOWN) {
        if (one.time < latest[0].time)
            return;
        for (unsigned k = 0; k + 1 < SHOWN; k++)
            latest[k] = latest[k + 1];
        i--;
    } else {
        ++*count;
    }
    for (; i > 0 && latest[i - 1].time > one.time; i--)
        latest[i] = latest[i - 1];
    latest[i] = one;
}

static void walk(const struct trace_packet *p, const trace_word *end, unsigned stream,
                 struct latest *latest, unsigned *count)
{
    const trace_word *at = p->words;

    while (at < end) {
        size_t words = trace_record_words(*at);

        if (!words || at + words > end)
            break;
        keep(latest, count, (struct latest){*at >> 8, at, stream});
        at += words;
    }
}

/* The open packet and the one before it hold more than SHOWN records of the stream. */
static void walk_stream(struct trace_state *trace, struct trace_stream *s,
                        struct latest *latest, unsigned *count)
{
    if (s->head) {
        const struct trace_packet *p = trace_packet_of(trace, s, s->head - 1);
        size_t bytes = p->content_size / 8;

        if (trace->slot_count > 1 && bytes >= TRACE_HEADER && bytes <= sizeof(*p))
            walk(p, p->words + (bytes - TRACE_HEADER) / 8, s->index, latest, count);
    }

    const struct trace_packet *open = trace_packet_of(trace, s, s->head);

    if (s->at >= open->words && s->at <= open->words + ARRAY_COUNT(open->words))
        walk(open, s->at, s->index, latest, count);
}

bool trace_panic(void (*print)(const char *format, ...))
{
    struct trace_state *trace = this_host()->trace;
    struct latest latest[SHOWN];
    struct trace_totals sum;
    unsigned count = 0;
    char line[TRACE_LINE_MAX];

    if (!trace->ready || trace->finished)
        return false;
    trace->finished = true;
    __atomic_store_n(&trace->mask, 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        if (trace->streams[i].slots)
            walk_stream(trace, &trace->streams[i], latest, &count);
    }
    trace_totals_of(trace, &sum);
    print("  trace: the last %u of %llu records (%llu lost, %llu overwritten)\n", count,
          (unsigned long long)sum.records, (unsigned long long)sum.discarded,
          (unsigned long long)sum.overwritten);
    for (unsigned i = 0; i < count; i++) {
        trace_format(latest[i].record, line, sizeof(line));
        if (latest[i].stream == TRACE_SYS)
            print("  %llu.%09llu sys  %s\n", (unsigned long long)(latest[i].time / 1000000000u),
                  (unsigned long long)(latest[i].time % 1000000000u), line);
        else
            print("  %llu.%09llu cpu%u %s\n",
                  (unsigned long long)(latest[i].time / 1000000000u),
                  (unsigned long long)(latest[i].time % 1000000000u), latest[i].stream, line);
    }
    trace_out_everything(trace, true);
    print("  trace: %llu bytes of packets %s\n", (unsigned long long)trace->out_bytes,
          trace->out_open ? "sent" : "stay in memory: vmk-trace in gdb");
    return true;
}
