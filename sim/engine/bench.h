// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/bench.h -- `orrery-sim engine-bench FILE`.
 */
#pragma once

/* Prints rows of CSV: name, platform, value, unit, peer, its value, ratio. Returns the
 * status. */
int engine_bench(const char *file);
