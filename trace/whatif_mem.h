// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/whatif_mem.h -- the memory demand of a trace under other settings of the memory scheduler.
 */
#pragma once

#include "lib/types.h"

/*
 * Prints the means of each variant of `list` (cut up),
 * "idle-tax=0,balloon=0+swap=0,shares:NAME=N,share=0", beside the recorded settings, and the
 * self-replay error. With `out`, a directory, also pictures. A status of trace/tool.h.
 */
must_check int whatif_memory(const char *input, char *list, bool csv, const char *out);
