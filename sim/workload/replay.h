// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/replay.h -- `orrery-sim replay`: a workload file on the
 * event-driven simulator.
 */
#pragma once

#include "sim/workload/judge.h"

/* What a recorded run left behind. */
struct replay_trace {
    uint64_t hash, records, packets, bytes;
};

/*
 * engine_run() with the kernel's recorder: hash of all records, and the trace
 * into `directory` if that is not null. False with
 * result->error.
 */
must_check bool replay_recorded(const struct program *p, const struct engine_options *o,
                                const char *directory, struct engine_result *result,
                                struct replay_trace *trace);
int replay_main(int argc, char **argv);
