// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace.c -- the recorder's rings: writing a record, changing packets.
 *
 * Locking    none on the fast path: one writer per stream, interrupts off.
 */
#include "core/trace.h"

#include "plat/plat.h"

struct trace_state {
    uint32_t mask;  // (a) first: trace_mask_of()
};
HOST_STATE(trace);

record_text16 trace_text16(const char *text)
{
    record_text16 out = {{0}};

    for (size_t i = 0; i < sizeof(out.text) && text && text[i]; i++)
        out.text[i] = text[i];
    return out;
}

void trace_write_on(struct trace_state *trace, unsigned cpu, plat_ns now,
                    const trace_word *record, size_t words)
{
    (void)trace;
    (void)cpu;
    (void)now;
    (void)record;
    (void)words;
}

void trace_write(plat_ns now, const trace_word *record, size_t words)
{
    trace_write_on(this_host()->trace, plat_cpu_self(), now, record, words);
}
