// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/admit.c -- admission control: who may reserve how much.
 *
 * A child's reservation comes out of the parent's; what does not fit is taken from the
 * grandparent if the parent may expand, and so on. The root has the CPUs. A refusal changes
 * nothing, and says which node lacks how much. Worlds bound to one CPU may together reserve no
 * more than that CPU.
 *
 * Invariants
 *   - pool.reserved_mhz = sum over children of max(min, reserved), at most what the pool may
 *     reserve.
 * Locking    the caller's.
 * Start at   admit_change().
 * Sources    docs/design/scheduler.md
 */
#include "lib/format.h"
#include "sched/machine_internal.h"

uint32_t admit_taken(const struct sched_node *n, uint32_t min, uint32_t reserved)
{
    return n->is_pool ? MAX(min, reserved) : min;
}

uint32_t admit_taken_now(const struct sched_node *n)
{
    return admit_taken(n, n->min_mhz,
                       n->is_pool ? pool_of((struct sched_node *)n)->reserved_mhz : 0);
}

bool admit_refuse(struct sched_machine *m, const struct sched_pool *p, uint64_t wanted,
                  uint64_t had)
{
    m->admission.node = p->node.id;
    m->admission.wanted = (uint32_t)MIN(wanted, (uint64_t)UINT32_MAX);
    m->admission.free = (uint32_t)MIN(had, (uint64_t)UINT32_MAX);
    m->admission.status = VMK_LIMIT;
    return false;
}

/* A child of p takes `now` MHz instead of `before`: may it? Applied only if asked to. */
static bool reserve(struct sched_machine *m, struct sched_pool *p, uint32_t before,
                    uint32_t now, bool apply)
{
    for (; p && before != now; p = p->node.parent) {
        uint64_t total = (uint64_t)p->reserved_mhz - before + now;
        uint64_t room = p->node.parent ? p->node.min_mhz : m->capacity_mhz;

        if (now > before && total > room &&
            !(p->node.parent && (p->node.flags & SCHED_POOL_EXPANDABLE)))
            return admit_refuse(m, p, now - before,
                                room - MIN(room, (uint64_t)p->reserved_mhz));
        before = admit_taken_now(&p->node);
        now = admit_taken(&p->node, p->node.min_mhz, (uint32_t)total);
        if (apply)
            p->reserved_mhz = (uint32_t)total;
    }
    return true;
}

bool admit_change(struct sched_machine *m, struct sched_pool *p, uint32_t before, uint32_t now)
{
    return reserve(m, p, before, now, false) && reserve(m, p, before, now, true);
}

bool tree_pin_fits(const struct sched_machine *m, const struct sched_entity *e,
                   uint64_t affinity, uint32_t min_mhz)
{
    if (sched_mask_count(affinity) != 1 || !min_mhz)
        return true;

    uint32_t cpu = (uint32_t)__builtin_ctzll(affinity);
    uint32_t own = e->affinity == affinity ? e->node.min_mhz : 0;

    return (uint64_t)m->cpu[cpu].pinned_mhz - own + min_mhz <= m->cpu[cpu].mhz;
}

void tree_pin(struct sched_machine *m, const struct sched_entity *e, uint64_t affinity,
              uint32_t min_mhz)
{
    if (sched_mask_count(e->affinity) == 1)
        m->cpu[__builtin_ctzll(e->affinity)].pinned_mhz -= e->node.min_mhz;
    if (sched_mask_count(affinity) == 1)
        m->cpu[__builtin_ctzll(affinity)].pinned_mhz += min_mhz;
}

void tree_release(struct sched_machine *m, struct sched_entity *e)
{
    (void)!admit_change(m, e->node.parent, e->node.min_mhz, 0);
    tree_pin(m, e, e->affinity, 0);
    e->node.min_mhz = 0;
}

size_t sched_admission_text(const struct sched_machine *m, char *out, size_t room)
{
    if (!m->admission.status) {
        if (room)
            out[0] = 0;
        return 0;
    }
    return (size_t)vmk_snprintf(out, room, "%s %u has %u MHz unreserved, %u MHz wanted",
                                m->admission.node == SCHED_ROOT_ID ? "host, pool" : "pool",
                                m->admission.node, m->admission.free, m->admission.wanted);
}
