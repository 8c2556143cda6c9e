// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/mc146818.h -- a PC's real-time clock and CMOS memory as a machine of its own: bytes and times
 * in, bytes and an interrupt line out.
 *
 * It knows no VM, timer or lock, so that the VM's vmx runs it in ring 3
 * (agents/vmtools/guest/rtc.c) and the kernel runs the same for a VM that has no vmx
 * (vmm/dev/vrtc.c). The caller brings the time, a count of nanoseconds that never goes back,
 * looks at the line after each call, and calls mc146818_tick() when mc146818_next() says.
 */
#pragma once

#include "lib/types.h"

#define MC146818_PORT  0x70u
#define MC146818_PORTS 2u
#define MC146818_IRQ   8u
#define MC146818_NEVER UINT64_MAX

struct mc146818 {
    uint64_t base;   // (i) the host's wall time, seconds since 1970, when its count was 0
    int64_t offset;  // seconds: the guest's time minus the host's
    uint64_t seen;   // flags are made up to here
    bool line;       // IRQ 8
    uint8_t index;
    uint8_t cmos[128];
};

/* A calendar date in the proleptic Gregorian calendar, UTC. */
struct mc146818_date {
    unsigned year, month, day;  // 1970.., 1..12, 1..31
    unsigned hour, minute, second;
    unsigned weekday;  // 1 = Sunday
};
void mc146818_date_from_seconds(uint64_t seconds, struct mc146818_date *out);
/* Dates out of range count on into the next unit; never fails. */
uint64_t mc146818_seconds_from_date(const struct mc146818_date *date);

/* As firmware leaves it, in a PC with that much memory from address 0. */
void mc146818_init(struct mc146818 *r, uint64_t base, uint64_t now, uint64_t memory_low_bytes,
                   unsigned vcpus);
/*
 * The RESET pin: interrupts and what was pending are gone; clock and memory go on by their
 * battery.
 */
void mc146818_reset(struct mc146818 *r, uint64_t now);
/* Offset 0 is port 70; size 1, 2 or 4. */
uint32_t mc146818_read(struct mc146818 *r, uint64_t now, unsigned offset, unsigned size);
void mc146818_write(struct mc146818 *r, uint64_t now, unsigned offset, unsigned size,
                    uint32_t value);
/* Sets the line by what has happened up to `now`. */
void mc146818_tick(struct mc146818 *r, uint64_t now);
/* When mc146818_tick() is due, or MC146818_NEVER. After any of the calls above. */
uint64_t mc146818_next(const struct mc146818 *r);
