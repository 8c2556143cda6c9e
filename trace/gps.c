// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/gps.c -- who would get how much of the CPUs if they were a fluid: the ideal to compare with.
 *
 * Two passes over the tree. Upwards: what each node demands and what it is owed at least. Downwards:
 * each node divides what it got. The division looks for the lambda at which clamped shares sum up to
 * the amount: first as if nobody were clamped; if the clamped sum is too large, everybody who was
 * raised to his floor is in the final answer at his floor, if too small, everybody who was cut is at
 * his ceiling; these are frozen and the rest is divided anew. Each round freezes somebody, so it ends,
 * and it is exact where a search for lambda would be close.
 *
 * Invariants
 *   - floor <= demand for every node (demands()).
 * Locking    none: pure functions.
 * Sources    [GPS]; the freezing argument is the one of flexible boxes, [CSS-FLEX] "Resolving
 *            Flexible Lengths"
 */
#include "trace/gps.h"

#include <assert.h>

/* Demand and floor of every node, children before parents; links the children. */
static void demands(struct gps_node *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct gps_node *n = &nodes[i];

        n->demand = n->leaf && n->runnable ? 1 : 0;
        n->floor = 0;
        n->rate = 0;
        n->first_child = n->next_sibling = -1;
    }
    for (unsigned i = count; i-- > 0;) {
        struct gps_node *n = &nodes[i];

        assert(n->parent < (int)i);
        if (n->demand > n->limit)
            n->demand = n->limit;
        if (n->floor < n->reservation)
            n->floor = n->reservation;
        if (n->floor > n->demand)
            n->floor = n->demand;
        if (n->parent < 0)
            continue;

        struct gps_node *parent = &nodes[n->parent];

        n->next_sibling = parent->first_child;
        parent->first_child = (int)i;
        parent->demand += n->demand;
        parent->floor += n->floor;
    }
}

/* A node's siblings, itself first. */
#define SIBLINGS(n, nodes, first)                                                              \
    for (struct gps_node *n = (first) < 0 ? NULL : &(nodes)[first]; n;                         \
         n = n->next_sibling < 0 ? NULL : &(nodes)[n->next_sibling])

static double clamped(const struct gps_node *n, double x)
{
    return x < n->floor ? n->floor : x > n->demand ? n->demand : x;
}

/* One round: divides what the frozen leave; freezes those on the wrong side. False: done. */
static bool divide_once(struct gps_node *nodes, int first, double amount)
{
    double shares = 0, error = 0;

    SIBLINGS(n, nodes, first)
    {
        if (n->frozen)
            amount -= n->rate;
        else
            shares += n->shares;
    }
    if (shares <= 0)
        return false;

    double lambda = amount > 0 ? amount / shares : 0;

    SIBLINGS(n, nodes, first)
    {
        if (!n->frozen) {
            n->rate = clamped(n, lambda * n->shares);
            error += n->rate - lambda * n->shares;
        }
    }

    bool again = false;

    SIBLINGS(n, nodes, first)
    {
        double free_rate = lambda * n->shares;

        if (n->frozen)
            continue;
        if ((error >= 0 && n->rate > free_rate) || (error <= 0 && n->rate < free_rate))
            n->frozen = again = true;
    }
    return again && error != 0;
}

static void divide(struct gps_node *nodes, int first, double amount)
{
    double demand = 0, floor = 0;

    SIBLINGS(n, nodes, first)
    {
        demand += n->demand;
        floor += n->floor;
        n->frozen = false;
    }
    if (demand <= amount) {
        SIBLINGS(n, nodes, first)
        {
            n->rate = n->demand;
        }
        return;
    }
    /* More promised than there is: admission control forbids it, a trace may still say so. */
    if (floor >= amount) {
        SIBLINGS(n, nodes, first)
        {
            n->rate = floor > 0 ? n->floor * amount / floor : 0;
        }
        return;
    }
    while (divide_once(nodes, first, amount))
        ;
}

void gps_solve(struct gps_node *nodes, unsigned count, double capacity)
{
    int roots = -1;

    demands(nodes, count);
    for (unsigned i = count; i-- > 0;) {
        if (nodes[i].parent < 0) {
            nodes[i].next_sibling = roots;
            roots = (int)i;
        }
    }
    divide(nodes, roots, capacity);
    for (unsigned i = 0; i < count; i++)
        divide(nodes, nodes[i].first_child, nodes[i].rate);
}
