// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_admit.c -- who may start: reservations up the tree, and room to swap.
 *
 * A pool takes from its parent what it promised to its children or its own reservation,
 * whichever is more; one that is not expandable may not promise more than its own. The root has
 * the host's memory without minFree, so that all reservations can hold at once and the host
 * still has its floor.
 *
 * Invariants
 *   - reserved of a pool = the sum of what its children take (memsched_admit()).
 * Locking    the caller's.
 */
#include "core/assert.h"
#include "lib/format.h"
#include "mem/memsched_internal.h"

uint64_t memsched_vm_reserved(const struct memsched *m, const struct memsched_node *vm)
{
    bool takes_back = memsched_tune(m, MEMSCHED_TUNABLE_SWAP);

    return (uint64_t)(takes_back ? vm->min : vm->size) + vm->overhead;
}

/* What `node` with `reserved` takes from its parent. */
static uint64_t taken(const struct memsched_node *node, uint64_t reserved, uint32_t min)
{
    return node->is_pool ? MAX(reserved, (uint64_t)min) : reserved;
}

static vmk_status refuse(struct memsched *m, const struct memsched_node *node, bool is_swap,
                         uint64_t wanted, uint64_t free)
{
    m->admission.node = node->id;
    m->admission.is_swap = is_swap;
    m->admission.wanted = wanted;
    m->admission.free = free;
    return VMK_LIMIT;
}

static uint64_t room_of(const struct memsched *m, const struct memsched_node *pool)
{
    if (pool == &m->nodes[0])
        return m->managed > m->min_free ? m->managed - m->min_free : 0;
    if (!pool->expandable)
        return pool->min;
    return pool->max == MEMSCHED_UNLIMITED ? UINT64_MAX : pool->max;
}

/* Sums what the children of a pool take, `node` (perhaps without an id yet) with `reserved`. */
static uint64_t promised(const struct memsched *m, const struct memsched_node *pool,
                         const struct memsched_node *node, uint64_t reserved)
{
    uint64_t sum = node ? taken(node, reserved, node->min) : 0;

    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        const struct memsched_node *n = &m->nodes[i];

        if (n != node && n->id && &m->nodes[n->parent] == pool)
            sum += taken(n, n->reserved, n->min);
    }
    return sum;
}

uint64_t memsched_promised(const struct memsched *m, const struct memsched_node *pool)
{
    return promised(m, pool, NULL, 0);
}

vmk_status memsched_admit(struct memsched *m, struct memsched_node *node, uint64_t reserved)
{
    uint64_t above[MEMSCHED_DEPTH_MAX];
    struct memsched_node *path[MEMSCHED_DEPTH_MAX];
    unsigned depth = 0;

    path[0] = node;
    above[0] = reserved;
    if (node->is_pool && reserved > room_of(m, node))
        return refuse(m, node, false, reserved, room_of(m, node));
    while (path[depth] != &m->nodes[0]) {
        struct memsched_node *pool = &m->nodes[path[depth]->parent];
        uint64_t sum = promised(m, pool, path[depth], above[depth]);

        // Less than before is always granted: there the host shrank meanwhile.
        if (sum > room_of(m, pool) && sum > pool->reserved)
            return refuse(m, pool, false, sum - pool->reserved,
                          room_of(m, pool) > pool->reserved ? room_of(m, pool) - pool->reserved
                                                            : 0);
        depth++;
        vmk_assert(depth < MEMSCHED_DEPTH_MAX);
        path[depth] = pool;
        above[depth] = sum;
    }
    for (unsigned i = 0; i <= depth; i++)
        path[i]->reserved = above[i];
    return VMK_OK;
}

vmk_status memsched_admit_swap(struct memsched *m, uint32_t id, uint64_t more)
{
    uint64_t sum = 0;

    if (!memsched_tune(m, MEMSCHED_TUNABLE_SWAP))
        return VMK_OK;
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id && !m->nodes[i].is_pool)
            sum += m->nodes[i].size - m->nodes[i].min;
    }
    if (sum + more > m->swap) {
        const struct memsched_node who = {.id = id};

        return refuse(m, &who, true, more, m->swap > sum ? m->swap - sum : 0);
    }
    return VMK_OK;
}

size_t memsched_admission_text(const struct memsched *m, char *out, size_t room)
{
    int length;

    if (!m->admission.wanted) {
        if (room)
            out[0] = '\0';
        return 0;
    }
    length =
        vmk_snprintf(out, room,
                     m->admission.is_swap
                         ? "VM %u needs %llu MB of swap space and %llu MB are left; raise its "
                           "reservation, or give the host more"
                         : "pool %u has no %llu MB left to reserve, only %llu MB; lower "
                           "reservations, or power a VM off",
                     m->admission.node, (unsigned long long)(m->admission.wanted + 255) / 256,
                     (unsigned long long)m->admission.free / 256);
    return length > 0 ? (size_t)length : 0;
}
