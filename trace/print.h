// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/print.h -- a record as a line of text, for print, verify and diff.
 *
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/reader.h"

/* "    1.000000000 [002] sched_switch: prev_tid=1 ..." and a newline. */
void print_record(FILE *out, const struct trace_record *r);
