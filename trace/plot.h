// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/plot.h -- what the parts of `orrery-trace plot` share: who is shown, in which colour, when.
 *
 *   plot.c       options, the two passes over the trace, running gnuplot
 *   plot_data.c  the .dat files
 *   plot_gp.c    the .gp files
 *
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/account.h"
#include "trace/memory.h"

#define PLOT_COLOURS 8u   // worlds with a colour of their own
#define PLOT_LANES   24u  // worlds with a lane of their own
#define PLOT_GROUPS  7u   // all worlds, and VMs (or worlds) with a panel of their own
#define PLOT_PIXELS  2000u
#define PLOT_VMS     6u  // with memory figures

/* How a world's lane is coloured. */
enum plot_state {
    PLOT_RUN,
    PLOT_READY,
    PLOT_LIMITED,
    PLOT_COSTOP,
    PLOT_WAIT_IO,
    PLOT_WAIT,
    PLOT_STATES,
};

/* A world, or a VM, that is shown. */
struct plot_item {
    uint32_t id;
    char label[40];
    uint64_t weight;  // by which it was chosen
    bool has_latency;
};

struct plot {
    const char *directory, *out;
    uint64_t from, to;            // of all pictures but the timelines
    uint64_t line_from, line_to;  // of the timelines
    uint64_t window;              // of what is averaged
    uint64_t latency_most;        // longest from wake-up to running
    unsigned cpus;
    unsigned colour_count, lane_count, group_count, vm_count;
    struct plot_item colours[PLOT_COLOURS], lanes[PLOT_LANES], groups[PLOT_GROUPS];
    bool groups_are_vms;
    uint32_t vms[PLOT_VMS];
    char vm_names[PLOT_VMS][40];
    bool has_sched, has_latency, has_memory, vms_have_truth;
};

/* Colour index of a world: 0 to PLOT_COLOURS - 1; PLOT_COLOURS: it is among the others. */
unsigned plot_colour_of(const struct plot *p, const struct model_node *w);
/* The account of the world with that id, also when it has ended; null if there is none. */
const struct account *plot_account(const struct accounts *all, uint32_t id);
/* The second pass: writes all .dat files. A TOOL_ status. */
int plot_write_data(struct plot *p, struct trace_reader *reader);
/* Writes NAME.gp for each picture, and calls `made` with NAME. False: said why. */
bool plot_write_scripts(const struct plot *p,
                        bool (*made)(const struct plot *p, const char *name));
/* DIR/NAME.SUFFIX for writing; null: said why. */
FILE *plot_create(const struct plot *p, const char *name, const char *suffix);
bool plot_close(const struct plot *p, FILE *file, const char *name, const char *suffix);
