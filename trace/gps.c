// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/gps.c -- who would get how much of the CPUs if they were a fluid: the ideal to compare with.
 *
 * Two passes over the tree. Upwards: what each node demands and what it is owed at least.
 * Downwards: each node divides what it got. The division looks for the lambda at which clamped
 * shares sum up to the amount: first as if nobody were clamped; if the clamped sum is too
 * large, everybody who was raised to his floor is in the final answer at his floor, if too
 * small, everybody who was cut is at his ceiling; these are frozen and the rest is divided
 * anew. Each round freezes somebody, so it ends, and it is exact where a search for lambda
 * would be close.
 *
 * Invariants
 *   - floor <= demand for every node (demands())
 *   - A list of siblings has only those that want something, and shrinks from round to round.
 * Locking    none: pure functions.
 * Sources    [GPS]; the freezing argument is the one of flexible boxes, [CSS-FLEX] "Resolving
 *            Flexible Lengths"
 */
#include "trace/gps.h"

#include <assert.h>

/*
 * Demand and floor of every node, children before parents; links the children that want
 * anything.
 */
static void demands(struct gps_node *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct gps_node *n = &nodes[i];

        n->demand = n->leaf && n->runnable ? 1 : 0;
        n->floor = 0;
        n->rate = 0;
        n->child_shares = n->child_demand = n->child_floor = 0;
        n->first_child = n->next_sibling = -1;
    }
    for (unsigned i = count; i-- > 0;) {
        struct gps_node *n = &nodes[i];

        assert(n->parent < (int)i);
        if (!n->leaf) {
            n->demand = n->child_demand;
            n->floor = n->child_floor;
        }
        if (n->demand > n->limit)
            n->demand = n->limit;
        if (n->demand <= 0 || n->parent < 0)
            continue;
        if (n->floor < n->reservation)
            n->floor = n->reservation;
        if (n->floor > n->demand)
            n->floor = n->demand;

        struct gps_node *parent = &nodes[n->parent];

        n->next_sibling = parent->first_child;
        parent->first_child = (int)i;
        parent->child_shares += n->shares;
        parent->child_demand += n->demand;
        parent->child_floor += n->floor;
    }
}

/* The siblings that are left in a list. */
#define SIBLINGS(n, nodes, first)                                                              \
    for (struct gps_node *n = (first) < 0 ? NULL : &(nodes)[first]; n;                         \
         n = n->next_sibling < 0 ? NULL : &(nodes)[n->next_sibling])

/*
 * Divides among the siblings as if nobody had bounds, then puts each inside his: by how much
 * all got too much (or, negative, too little) for that.
 */
static double divide_freely(struct gps_node *nodes, int first, double lambda)
{
    double error = 0;

    SIBLINGS(n, nodes, first)
    {
        double x = lambda * n->shares;

        if (x < n->floor) {
            error += n->floor - x;
            n->rate = n->floor;
        } else if (x > n->demand) {
            error += n->demand - x;
            n->rate = n->demand;
        } else {
            n->rate = x;
        }
    }
    return error;
}

/* Those on the side that `error` says are settled: they leave the list, with what they have. */
static void freeze(struct gps_node *nodes, int *first, double lambda, double error,
                   double *shares, double *amount)
{
    for (int *at = first; *at >= 0;) {
        struct gps_node *n = &nodes[*at];
        double x = lambda * n->shares;

        if ((error > 0 && n->rate > x) || (error < 0 && n->rate < x)) {
            *shares -= n->shares;
            *amount -= n->rate;
            *at = n->next_sibling;
        } else {
            at = &n->next_sibling;
        }
    }
}

/* What a node gets is divided among its children. */
static void divide(struct gps_node *nodes, struct gps_node *parent, double amount)
{
    double shares = parent->child_shares;
    int first = parent->first_child;

    if (parent->child_demand <= amount) {
        SIBLINGS(n, nodes, first)
        {
            n->rate = n->demand;
        }
        return;
    }
    /* More promised than there is: admission control forbids it, a trace may still say so. */
    if (parent->child_floor >= amount) {
        SIBLINGS(n, nodes, first)
        {
            n->rate = parent->child_floor > 0 ? n->floor * amount / parent->child_floor : 0;
        }
        return;
    }
    while (first >= 0) {
        double lambda = amount > 0 && shares > 0 ? amount / shares : 0;
        double error = divide_freely(nodes, first, lambda);
        int left = first;

        /* What is off by rounding alone is nobody's bound. */
        if (error > -1e-12 && error < 1e-12)
            return;
        freeze(nodes, &left, lambda, error, &shares, &amount);
        first = left;
    }
}

void gps_solve(struct gps_node *nodes, unsigned count, double capacity)
{
    struct gps_node host = {.first_child = -1};

    demands(nodes, count);
    for (unsigned i = count; i-- > 0;) {
        struct gps_node *n = &nodes[i];

        if (n->parent >= 0 || n->demand <= 0)
            continue;
        if (n->floor < n->reservation)
            n->floor = n->reservation;
        if (n->floor > n->demand)
            n->floor = n->demand;
        n->next_sibling = host.first_child;
        host.first_child = (int)i;
        host.child_shares += n->shares;
        host.child_demand += n->demand;
        host.child_floor += n->floor;
    }
    divide(nodes, &host, capacity);
    for (unsigned i = 0; i < count; i++) {
        if (nodes[i].first_child >= 0)
            divide(nodes, &nodes[i], nodes[i].rate);
    }
}
