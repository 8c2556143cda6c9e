// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/sim_trace.h -- the way out for traces of a simulated host, from outside.
 */
#pragma once

#include "plat/plat.h"

/* What trace.to=memory writes to: empty, with that much room. */
void sim_trace_out_make(size_t room);
const void *sim_trace_out_bytes(size_t *size);
