// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/judge.h -- metrics of finished runs, and whether a workload's
 * claims hold.
 */
#pragma once

#include "sim/workload/engine.h"

/* Runs of one program: the workload's own policy, and its variants in the
 * file's order. */
struct judge {
    const struct program *program;
    const struct engine_result *base;
    const struct engine_result *variants;  // variant_count of the workload
};

/* The samples that the claims need: 0 for none. False: a window is too short.
 */
must_check bool judge_sample_period(const struct workload *w, uint64_t *period,
                                    struct wl_error *error);
bool judge_needs_skew(const struct workload *w);
/* A metric of the run between two times (0, 0: all of it); NaN when nothing
 * matches. */
double judge_metric(const struct program *p, const struct engine_result *r,
                    enum wl_metric metric, const char *name, uint64_t from, uint64_t to);
/* Are the names and variants of all claims there? False: *error has the first that is not. */
must_check bool judge_names_check(const struct program *p, struct wl_error *error);
/* Judges claim `i`; `why` (room) says the numbers of the worst window. */
must_check bool judge_expect(const struct judge *j, uint32_t i, char *why, size_t room);
