// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/tool.h -- what the subcommands of orrery-trace share: statuses, messages, option values.
 *
 * Invariants
 *   - Exit status: 0 done, 1 the answer is no (verify, diff), 2 wrong usage, 3 bad input or
 *     failure.
 *   - Results go to stdout; messages and progress to stderr.
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/reader.h"

enum tool_status {
    TOOL_OK = 0,
    TOOL_NO = 1,
    TOOL_USAGE = 2,
    TOOL_BAD = 3,
};

/* "orrery-trace: MESSAGE" to stderr; returns TOOL_BAD, or TOOL_USAGE with a hint at --help. */
int tool_fail(const char *format, ...) printf_like(1, 2);
int tool_usage(const char *command, const char *format, ...) printf_like(2, 3);
/* The same for an option, its value and what it wants, which both may be null. */
int tool_not_understood(const char *command, const char *option, const char *value,
                        const char *wants);

/* Prints `help` if --help or -h is among the arguments; true: it was. */
bool tool_help(int argc, char **argv, const char *help);

/* "1.5s", "20ms", "300us", "12ns", a plain number is seconds; false: not a time. */
bool tool_time(const char *text, uint64_t *ns);
bool tool_number(const char *text, uint64_t *value);
/*
 * "sched_switch,VM": marks events by name or class; false: a word is neither. Cuts `list` up.
 */
bool tool_events(char *list, bool ids[256]);
/* Opens for writing, or says why not and returns null. "-" is stdout. */
FILE *tool_create(const char *path);
/* Flushes and closes; false (said) if something was not written. stdout is flushed only. */
bool tool_finish(FILE *file, const char *path);
/* mkdir -p; false: said why. */
bool tool_mkdir(const char *path);
/* The same for a directory that must be new or empty: nothing there may be overwritten. */
bool tool_mkdir_new(const char *path);
/* Runs gnuplot on a script that lies in that directory, there. */
bool tool_gnuplot(const char *directory, const char *script);

/*
 * Does the trace, read to its end, have anything between the two times? false: said that not.
 * What the recorder or a copy of its files lost is said on stderr as well.
 */
bool tool_part_there(const char *directory, const struct trace_info *info, uint64_t from,
                     uint64_t to);

/* A line on a terminal's stderr, from two seconds on: "verify: 35 %". Call it often. */
void tool_progress(const char *command, unsigned percent);
void tool_progress_end(void);

#define TRACE_COMMAND(name, function, what) int function(int argc, char **argv);
#include "trace/command.def"
