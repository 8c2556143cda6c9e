// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/core.h -- bring-up of core/: log, locks, heap, timers of one host.
 */
#pragma once

#include "core/status.h"

#ifndef ORRERY_VERSION
#define ORRERY_VERSION "0.1"
#endif

/* Before anything else of this host; only CPU 0 runs. */
void core_init(void);
/* Finds `key=value` in the boot command line; copies the value. False if it is not there. */
must_check bool core_option(const char *key, char *value, size_t size);
/* Is the bare word there? */
bool core_option_flag(const char *word);
/*
 * The number behind `key=`, decimal or 0x...; `otherwise` if the word is not there or, with a
 * line in the log, is no number.
 */
uint64_t core_option_u64(const char *key, uint64_t otherwise);
/* The next word of a command line at *at, which moves behind it; false at the end. */
bool core_option_word(const char **at, const char **word, size_t *length);
/* A callback of an upper layer: the id of the running world, for log lines. May stay null. */
void core_world_id_hook(uint32_t (*current)(void));

/*
 * The last thing a panic does: an upper layer saves what it can. Every other CPU is stopped
 * wherever it was, interrupts are off, locks are not waited for (core_panicking()), memory is
 * not to be asked for. print() adds a line to the panic screen. May stay null.
 */
struct core_panic {
    const char *reason, *file;
    int line;
    unsigned cpu;
    uint32_t world;
    uint64_t now;  // plat_ns
    void (*print)(const char *format, ...) printf_like(1, 2);
};
void core_panic_hook(void (*save)(const struct core_panic *panic));
/*
 * This CPU is the one that panics: it takes locks that others hold, and nobody can wake it. Any
 * context.
 */
bool core_panicking(void);
