// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/panic.c -- an assertion of the scheduler ends orrery-trace with a message, not with a crash.
 *
 * verify and whatif link the kernel's own scheduler. In the kernel an assertion stops the host;
 * a tool has no host. This takes the place of core/panic.c in the tool and its tests.
 *
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/assert.h"
#include "trace/tool.h"

void vmk_panic_at(const char *file, int line, const char *format, ...)
{
    va_list args;

    tool_progress_end();
    fprintf(stderr, "orrery-trace: the scheduler found itself wrong at %s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\nEither its inputs in this trace are impossible, or this is a bug of the "
          "scheduler.\n",
          stderr);
    fflush(stdout);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    abort();
#endif
    exit(TOOL_BAD);
}
