// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/prioq.c -- a leftist heap.
 *
 * Chosen over a red-black tree because everything is one short function, merge(), and over an
 * array heap because it needs no capacity. The right spine of a leftist heap of n nodes has at
 * most log2(n + 1) nodes and merge() walks only right spines.
 *
 * Invariants
 *   - Heap: no child comes before its parent.
 *   - Leftist: rank(left) >= rank(right), rank = rank(right) + 1, null has rank 0.
 *   - node->rank == 0 exactly when the node is in no queue.
 * Locking    the caller's.
 * Sources    [CRANE72]
 */
#include "lib/prioq.h"

static uint32_t rank_of(const struct prioq_node *n)
{
    return n ? n->rank : 0;
}

static bool before(struct prioq *q, const struct prioq_node *a, const struct prioq_node *b)
{
    q->comparisons++;
    if (a->key != b->key)
        return (int64_t)(a->key - b->key) < 0;
    return a->sequence < b->sequence;
}

/* Puts the longer right spine on the left; returns whether the rank is what it was. */
static bool settle(struct prioq_node *n)
{
    if (rank_of(n->left) < rank_of(n->right)) {
        struct prioq_node *swap = n->left;

        n->left = n->right;
        n->right = swap;
    }

    uint32_t rank = rank_of(n->right) + 1;
    bool same = rank == n->rank;

    n->rank = rank;
    return same;
}

/* One heap of two; the depth of the recursion is the sum of two right spines. */
static struct prioq_node *merge(struct prioq *q, struct prioq_node *a, struct prioq_node *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    /*
     * Whoever wins, the next step is one of these: with thousands of nodes none is in a cache.
     */
    __builtin_prefetch(a->right);
    __builtin_prefetch(b->right);
    __builtin_prefetch(a->left);
    __builtin_prefetch(b->left);
    if (before(q, b, a)) {
        struct prioq_node *swap = a;

        a = b;
        b = swap;
    }
    a->right = merge(q, a->right, b);
    a->right->parent = a;
    settle(a);
    return a;
}

void prioq_init(struct prioq *q)
{
    *q = (struct prioq){0};
}

void prioq_insert(struct prioq *q, struct prioq_node *node, uint64_t key)
{
    *node = (struct prioq_node){.key = key, .sequence = q->sequence++, .rank = 1};
    q->root = merge(q, q->root, node);
    q->root->parent = NULL;
    q->count++;
}

struct prioq_node *prioq_first(const struct prioq *q)
{
    return q->root;
}

void prioq_remove(struct prioq *q, struct prioq_node *node)
{
    struct prioq_node *rest = merge(q, node->left, node->right);
    struct prioq_node *parent = node->parent;

    if (rest)
        rest->parent = parent;
    if (!parent)
        q->root = rest;
    else if (parent->left == node)
        parent->left = rest;
    else
        parent->right = rest;

    /* Ranks above may shrink; stop where one did not change. */
    for (; parent; parent = parent->parent) {
        if (settle(parent))
            break;
    }
    *node = (struct prioq_node){0};
    q->count--;
}
