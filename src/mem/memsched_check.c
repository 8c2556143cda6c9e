// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_check.c -- what must hold of the memory scheduler's state between two inputs.
 *
 * Tests ask it after every input, and whoever loads a state from a trace before the first.
 *
 * Locking    the caller's.
 */
#include "core/assert.h"
#include "mem/memsched_internal.h"

#define ONE 65536u  // Q16

static const char *vm_check(const struct memsched_node *vm)
{
    uint64_t gone = (uint64_t)vm->ballooned + vm->swapped + vm->compressed + vm->saved;
    const struct memsched_active *a = &vm->active;

    if (vm->touched > vm->size || gone > vm->touched)
        return "a VM has more pages than it may";
    if (vm->min > vm->size || vm->balloon_max > vm->size || vm->overhead > UINT16_MAX ||
        vm->reserved > (uint64_t)vm->size + vm->overhead)
        return "a VM has bounds beyond its size";
    if (a->slow > ONE || a->fast > ONE || a->with_partial > ONE)
        return "a working set is more than all";
    return NULL;
}

/* The parts of a state that come from outside when it is restored: ids, tree, sums. */
const char *memsched_check(const struct memsched *m)
{
    const struct memsched_node *root = &m->nodes[0];

    if (root->id != MEMSCHED_ROOT_ID || !root->is_pool || root->depth || root->parent)
        return "the root is not the root";
    for (unsigned i = 0; i < MEMSCHED_TUNABLE_COUNT; i++) {
        if (!memsched_tunable_fits((enum memsched_tunable)i, m->tunable[i]))
            return "a setting is out of range";
    }
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        const struct memsched_node *n = &m->nodes[i], *parent;
        const char *why;

        if (!n->id)
            continue;
        if (n->parent >= MEMSCHED_NODES_MAX || memsched_find(m, n->id) != n)
            return "an id occurs twice, or has no parent";
        parent = &m->nodes[n->parent];
        if (!parent->id || !parent->is_pool || parent->depth + 1 != n->depth)
            return "a node hangs from none";
        why = n->is_pool ? NULL : vm_check(n);
        if (why)
            return why;
    }
    for (unsigned i = 0; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id && m->nodes[i].is_pool &&
            m->nodes[i].reserved != memsched_promised(m, &m->nodes[i]))
            return "a pool has not reserved what it promised";
    }
    return NULL;
}
