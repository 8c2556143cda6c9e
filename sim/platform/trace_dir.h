// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/trace_dir.h -- a simulation's trace as a directory.
 *
 * DIR gets metadata, pcpu0..pcpuN and sys (CTF 1.8), and run/run.env: what the run was, and its
 * checkpoints. Nothing else may stand beside the metadata, since babeltrace2 takes every file
 * there for a stream.
 */
#pragma once

#include "core/trace_control.h"

struct trace_dir;

/* Makes the directory, which must be empty or absent. Null: said why on stderr. */
struct trace_dir *trace_dir_create(const char *path);
/* What to give to trace_setup(). */
const struct trace_sink *trace_dir_sink(struct trace_dir *dir);
/* A line of run.env. */
void trace_dir_note(struct trace_dir *dir, const char *name, const char *format, ...)
    printf_like(3, 4);
/*
 * After trace_finish_on(trace): writes metadata and run.env and closes everything. False:
 * something could not be written, said on stderr.
 */
must_check bool trace_dir_finish(struct trace_dir *dir, const struct trace_state *trace);
