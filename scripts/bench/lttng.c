// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/lttng.c -- the peer of scripts/bench/trace.c: LTTng-UST, same fields, same loop.
 *
 * Prints "NAME NANOSECONDS"; the name is its argument. Run with and without a session that
 * records it.
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include <stdio.h>
#include <time.h>

#include "lttng_tp.h"

#define ROUNDS  300
#define RECORDS 20000u

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    double best = 1e9, empty = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns(), middle;

        for (uint32_t i = 0; i < RECORDS; i++)
            __asm__ volatile("" : : "r"(i) : "memory");
        middle = now_ns();
        for (uint32_t i = 0; i < RECORDS; i++) {
            lttng_ust_tracepoint(orrery_bench, sched_switch, i, i + 1, 2, 7, i);
            __asm__ volatile("" : : "r"(i) : "memory");
        }

        double loop = (double)(middle - start) / RECORDS;
        double with = (double)(now_ns() - middle) / RECORDS;

        empty = loop < empty ? loop : empty;
        best = with < best ? with : best;
    }
    printf("%s %.2f\n", argc > 1 ? argv[1] : "lttng", best > empty ? best - empty : 0.0);
    return 0;
}
