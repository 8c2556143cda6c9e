// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/log.h -- the kernel log: a ring of lines in ESXi's shape, and the sinks that print it.
 *
 * A line reads `2026-01-31T12:34:56.789Z cpu3:1024)Sched: text`: wall time, the CPU and world
 * that wrote it, the subsystem, the fact. The format string starts with the subsystem and a
 * colon: vmk_log(VMK_LOG_INFO, "Sched: world %u: starved for %llu ms", ...).
 */
#pragma once

#include "lib/types.h"

enum vmk_log_level {
    VMK_LOG_ERROR,  // we are broken
    VMK_LOG_WARN,   // the operator should look
    VMK_LOG_INFO,   // life cycle
    VMK_LOG_DEBUG,  // for the person at the keyboard
};

/* Writes one line to the ring and to the sinks. Any context. No newline in the format. */
void vmk_log(enum vmk_log_level level, const char *format, ...) printf_like(2, 3);

/* Where lines go besides the ring. A bit mask of these; set from the command line at boot. */
#define LOG_SINK_SCREEN 1u
#define LOG_SINK_COM1   2u
#define LOG_SINK_COM2   4u
void log_sinks_set(unsigned sinks);
unsigned log_sinks(void);
/* Lines more verbose than that are not even kept in the ring. At first VMK_LOG_INFO. */
void log_level_set(enum vmk_log_level most_verbose);
/*
 * The screen and COM1 show the `count` gravest levels only: 0 is none, 4 (at first) all. COM2
 * and the ring always have every line.
 */
void log_console_levels_set(unsigned count);
unsigned log_console_levels(void);

/* Copies the newest `room` bytes of the ring into `out`, oldest first; returns how many. */
size_t log_ring_copy(char *out, size_t room);
/*
 * Copies whole lines from byte `*position` of all that was ever logged, as many as there is
 * room for, and moves *position behind them; what the ring has lost by then is skipped. Each
 * begins with its level as Linux names it, `<3>` to `<7>`. 0: nothing new, or no room for three
 * bytes.
 */
size_t log_ring_read(uint64_t *position, char *out, size_t room);
/* What *position would be behind the newest line. */
uint64_t log_ring_end(void);

/* For the panic path: prints unformatted text to every sink without taking a lock. */
void log_emergency_write(const char *text, size_t length);
/* What *position of log_ring_read() is at the first of them. */
uint64_t log_panic_begin(void);
