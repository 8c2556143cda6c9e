// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/prioq.h -- a priority queue (leftist heap) with the links inside the objects.
 *
 * First is the smallest key; equal keys leave in the order they came. Keys are points on a
 * circle: a key comes before another if it is less than 2^63 steps behind it, so virtual times
 * may wrap. Small numbers are ordered as ever. Insert, take first and remove from the middle
 * are O(log n); nothing is allocated.
 */
#pragma once

#include "lib/types.h"

struct prioq_node {
    struct prioq_node *left, *right, *parent;
    uint64_t key;
    uint64_t sequence;  // arrival, breaks ties
    uint32_t rank;      // length of the right spine; 0 means: in no queue
};

struct prioq {
    struct prioq_node *root;
    uint64_t sequence;
    uint32_t count;
    uint64_t comparisons;  // so far, to see what an operation costs
};

void prioq_init(struct prioq *q);
/* `node` must be in no queue: zeroed, or removed. */
void prioq_insert(struct prioq *q, struct prioq_node *node, uint64_t key);
/* The first one stays in the queue; null when it is empty. */
struct prioq_node *prioq_first(const struct prioq *q);
/* `node` must be in `q`. */
void prioq_remove(struct prioq *q, struct prioq_node *node);
