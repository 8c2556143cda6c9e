// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/guest.h -- `orrery-sim guest FILE`: what to run.
 */
#pragma once

#include "lib/types.h"

struct guest_options {
    const char *file;           // a Multiboot kernel
    const char *append;         // its command line
    uint64_t vcpus, memory_mb;  // 0: one, 64
    bool exits;                 // print how often it exited, by kind
    const char *host;           // options of the host's command line, or null
};

/* Reads the file and makes the configuration; false: said why. Before the simulation runs. */
must_check bool guest_prepare(const struct guest_options *wanted);
