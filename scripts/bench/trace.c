// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/trace.c -- what one trace record costs on this computer, in nanoseconds.
 *
 * The recorder's own code, fed with 24-byte sched_switch records by a loop; each row is the
 * best of 300 short rounds, so that one falls between what else the computer does. The peer,
 * with the same five fields, is scripts/bench/lttng.c.
 * Prints lines "NAME NANOSECONDS BYTES".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/trace_control.h"

#define ROUNDS  300
#define RECORDS 20000u

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void *take(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

    return memory ? memset(memory, 0, size) : NULL;
}

static struct trace_state *recorder(uint32_t classes, bool hash)
{
    struct trace_state *trace = take(trace_state_size);
    const struct trace_config config = {.classes = classes,
                                        .mode = hash ? TRACE_MODE_DIRECT : TRACE_MODE_FLIGHT,
                                        .packets = 16,
                                        .hash = hash,
                                        .take = take};

    if (!trace || trace_setup_on(trace, &config, 1) != VMK_OK)
        exit(3);
    return trace;
}

/* The loop with nothing in it, to be taken off. */
static double empty_loop(void)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns();

        for (uint32_t i = 0; i < RECORDS; i++)
            __asm__ volatile("" : : "r"(i) : "memory");
        best = MIN(best, (double)(now_ns() - start) / RECORDS);
    }
    return best;
}

static void row(const char *name, struct trace_state *trace, bool tsc, double empty)
{
    double best = 1e9;
    uint64_t when = 1;
    struct trace_totals sum;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns();

        for (uint32_t i = 0; i < RECORDS; i++) {
            when = tsc ? ticks() : when + 1;
            TRACE_ON(trace, 0, when, sched_switch, .prev_tid = i, .next_tid = i + 1,
                     .prev_state = RECORD_sched_state_WAIT, .cost = 7, .ran_us = i);
            __asm__ volatile("" : : "r"(i) : "memory");
        }
        best = MIN(best, (double)(now_ns() - start) / RECORDS);
    }
    trace_totals_of(trace, &sum);
    printf("%s %.2f %zu\n", name, MAX(best - empty, 0.0),
           sum.records ? sizeof(struct record_sched_switch) : 0);
}

int main(void)
{
    double empty = empty_loop();

    row("trace_record", recorder(TRACE_CLASS_SCHED, false), false, empty);
    row("trace_record_tsc", recorder(TRACE_CLASS_SCHED, false), true, empty);
    row("trace_record_hash", recorder(TRACE_CLASS_SCHED, true), false, empty);
    row("trace_disabled", recorder(TRACE_CLASS_VM, false), false, empty);
    return 0;
}
