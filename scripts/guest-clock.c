// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/guest-clock.c -- a guest program: the guest's clocks beside the hypervisor's.
 *
 * The hypervisor's time comes from VMware's backdoor (GETTIMEFULL), called here in user mode,
 * without permission for the port, as its clients do. A sample puts the call between two
 * readings of CLOCK_MONOTONIC; of many tries the tightest bracket counts, so that an interrupt
 * or a switch in between makes no error. Between samples the program reads the clock over and
 * over: it is busy.
 *
 * usage: guest-clock SAMPLES MILLISECONDS-APART
 *
 * A line a sample, relative to the first: "clock HOST-US MONOTONIC-NS REALTIME-NS WIDTH-NS";
 * before them "clock apart MS": how much CLOCK_REALTIME is ahead of the hypervisor's time of
 * day.
 * It uses no C library (guest-call.h).
 * Sources    [VMX-BACKDOOR] command 46
 */
#include <stdint.h>

#include "guest-call.h"

enum {
    CLOCK_REAL = 0,
    CLOCK_MONO = 1
};
#define BRACKETS       200
#define BACKDOOR_MAGIC 0x564d5868u
#define BACKDOOR_PORT  0x5658u
#define GETTIMEFULL    46u

struct sample {
    int64_t host_us, mono_ns, real_ns, width_ns;
};

static int64_t clock_ns(long clock)
{
    int64_t time[2] = {0, 0};

    system_call(SYS_CLOCK_GETTIME, clock, (long)time, 0);
    return time[0] * 1000000000 + time[1];
}

static int64_t host_us(void)
{
    uint32_t eax = BACKDOOR_MAGIC, ebx = 0, ecx = GETTIMEFULL, edx = BACKDOOR_PORT, esi = 0;

    __asm__ volatile("inl %%dx, %%eax" : "+a"(eax), "+b"(ebx), "+c"(ecx), "+d"(edx), "+S"(esi));
    return eax == BACKDOOR_MAGIC ? (int64_t)((uint64_t)esi << 32 | edx) * 1000000 + ebx : 0;
}

static struct sample take(void)
{
    struct sample best = {.width_ns = INT64_MAX};

    for (int i = 0; i < BRACKETS; i++) {
        const int64_t before = clock_ns(CLOCK_MONO), real = clock_ns(CLOCK_REAL);
        const int64_t host = host_us(), after = clock_ns(CLOCK_MONO);

        if (after - before < best.width_ns)
            best = (struct sample){host, (before + after) / 2, real, after - before};
    }
    return best;
}

static char *put_text(char *at, const char *text)
{
    while (*text)
        *at++ = *text++;
    return at;
}

static char *put_number(char *at, int64_t value)
{
    char digits[24];
    int n = 0;

    if (value < 0) {
        *at++ = '-';
        value = -value;
    }
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n)
        *at++ = digits[--n];
    return at;
}

static void put_line(const int64_t *values, int count, const char *head)
{
    char line[160], *at = put_text(line, head);

    for (int i = 0; i < count; i++) {
        *at++ = ' ';
        at = put_number(at, values[i]);
    }
    *at++ = '\n';
    system_call(SYS_WRITE, 1, (long)line, at - line);
}

static int64_t number(const char *text)
{
    int64_t value = 0;

    while (*text >= '0' && *text <= '9')
        value = value * 10 + (*text++ - '0');
    return value;
}

void guest_main(const long *stack)
{
    const int64_t samples = stack[0] == 3 ? number((const char *)stack[2]) : 2;
    const int64_t apart_ns =
        stack[0] == 3 ? number((const char *)stack[3]) * 1000000 : 1000000000;
    const struct sample first = take();
    const int64_t ahead_ms = first.real_ns / 1000000 - first.host_us / 1000;

    put_line(&ahead_ms, 1, "clock apart");
    for (int64_t i = 0; i < samples; i++) {
        struct sample s;

        while (clock_ns(CLOCK_MONO) - first.mono_ns < i * apart_ns)
            ;
        s = take();
        put_line((const int64_t[]){s.host_us - first.host_us, s.mono_ns - first.mono_ns,
                                   s.real_ns - first.real_ns, s.width_ns},
                 4, "clock");
    }
    for (;;)
        system_call(SYS_EXIT, 0, 0, 0);
}
