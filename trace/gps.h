// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/gps.h -- who would get how much of the CPUs if they were a fluid: the ideal to compare with.
 *
 * Generalised processor sharing over a tree: leaves are worlds, inner nodes are pools (or VMs).
 * At each node, what it gets is divided among its children so that
 *
 *     x_c = clamp(lambda * shares_c, reservation_c, demand_c),   sum x_c = what the node gets
 *
 * where a runnable world demands at most one CPU and at most its limit, an idle one nothing,
 * and a pool at most its limit and what its children demand. A reservation counts only as far
 * as it is demanded; a pool's is at least the sum of its children's. Unlike in one-CPU GPS
 * nobody's rate may exceed one CPU, which is why a world with very many shares leaves the rest
 * to the others.
 *
 * Invariants
 *   - A parent stands before its children in the array (asserted in gps_solve()).
 *   - The rates of runnable worlds sum up to min(capacity, demand).
 * Locking    none: pure functions.
 * Sources    [GPS], docs/orrery-trace.md
 */
#pragma once

#include "lib/types.h"

#define GPS_UNLIMITED 1e30

struct gps_node {
    int parent;          // index; -1: the root's child is the host itself
    bool leaf;           // a world
    bool runnable;       // leaves: wants CPU now
    double shares;       // > 0
    double reservation;  // in CPUs
    double limit;        // in CPUs; GPS_UNLIMITED

    double rate;  // out: in CPUs

    /* The solver's own. */
    double demand, floor;
    double child_shares, child_demand, child_floor;
    int first_child, next_sibling;
};

/* Fills in every node's rate. `capacity` in CPUs. */
void gps_solve(struct gps_node *nodes, unsigned count, double capacity);
