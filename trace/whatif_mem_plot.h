// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/whatif_mem_plot.h -- memory over time under several settings, kept and drawn.
 */
#pragma once

#include "lib/types.h"

struct whatif_series {
    unsigned variants, columns, vms;
    double from, step;  // seconds
    float *values;      // MB; NaN: not on
};

/* False: no memory. */
must_check bool whatif_series_init(struct whatif_series *s, unsigned variants, unsigned columns,
                                   unsigned vms, double from, double step);
void whatif_series_free(struct whatif_series *s);
/* Pages of a VM: held, ballooned, compressed or swapped, and what was recorded as held. */
void whatif_series_put(const struct whatif_series *s, unsigned variant, unsigned column,
                       unsigned vm, const double figures[4]);
/* whatif-memory.dat, .gp, .png and .svg there. False: it was said why. */
must_check bool whatif_series_draw(const struct whatif_series *s, const char *directory,
                                   const char *const *variants, char (*names)[24]);
