// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/check.c -- everything the machine's state has to obey, asserted at once.
 *
 * The cheap invariants are asserted where they could break. These cost O(all) and are for
 * tests, and for gdb: `call sched_machine_check(&vmk_host_now->sched->machine)`.
 *
 * Invariants
 *   - Changes nothing.
 * Locking    the caller's.
 */
#include "sched/machine_internal.h"

struct sums {
    uint32_t entities, pools;
    uint32_t waiting[SCHED_CPUS_MAX];
};

static void check_entity(const struct sched_machine *m, const struct sched_entity *e,
                         struct sums *sums)
{
    const struct sched_times *t = &e->times;
    bool runs = e->state == SCHED_STATE_RUN;
    bool ready = e->state == SCHED_STATE_READY;

    vmk_assert(t->run + t->ready + t->costop + t->wait == e->since - t->created);
    vmk_assert(t->limited <= t->ready && t->smt <= t->run);
    vmk_assert(t->wait_idle + t->wait_io + t->wait_swap <= t->wait);
    vmk_assert(e->queued == ready);
    vmk_assert(e->node.active == (runs || ready));
    vmk_assert(e->node.waiting == ready);
    vmk_assert(!runs || m->cpu[e->cpu].current == e);
    vmk_assert(list_is_linked(&e->runnable_link) == state_is_runnable(e->state));
    vmk_assert(list_is_linked(&e->costop_link) == (e->state == SCHED_STATE_COSTOP));
    vmk_assert(!list_is_linked(&e->movable_link) || ready);
    vmk_assert(!ready || e->affinity & BIT(e->cpu));
    /* Whose affinity changed while it runs goes on until its CPU answers the kick. */
    vmk_assert(!runs || e->affinity & BIT(e->cpu) || m->cpu[e->cpu].kicked);
    vmk_assert(!limit_holds(e) || !ready);
    sums->entities++;
    sums->waiting[e->cpu] += ready;
}

static void check_pool(const struct sched_machine *m, const struct sched_pool *p,
                       struct sums *sums)
{
    uint32_t active = 0;
    uint32_t waiting = 0;
    uint32_t children = 0;
    uint64_t shares = 0;
    uint64_t reserved = 0;
    uint64_t running = 0;
    uint32_t stalled = 0;

    list_for_each (link, &p->children) {
        struct sched_node *n = list_entry(link, struct sched_node, siblings);

        vmk_assert(n->parent == p && n->depth == p->node.depth + 1);
        vmk_assert(sched_node_find(m, n->id) == n);
        vmk_assert(n->joined == (n->active > 0));
        vmk_assert(n->limited == link_is_queued(&n->limit_link));
        active += n->active;
        waiting += n->waiting;
        shares += n->joined ? n->shares : 0;
        children++;
        if (n->is_pool) {
            const struct sched_pool *child = pool_of(n);

            check_pool(m, child, sums);
            reserved += MAX(n->min_mhz, child->reserved_mhz);
            running |= child->running;
        } else {
            const struct sched_entity *e = entity_of(n);

            check_entity(m, e, sums);
            reserved += n->min_mhz;
            running |= e->state == SCHED_STATE_RUN ? BIT(e->cpu) : 0;
            stalled += n->flags & SCHED_WORLD_VCPU && state_is_stalled(e->state);
        }
    }
    vmk_assert(p->node.active == active && p->node.waiting == waiting);
    vmk_assert(p->active_shares == shares && p->child_count == children);
    vmk_assert(p->reserved_mhz == reserved && p->running == running && p->stalled == stalled);
    sums->pools++;
}

void sched_machine_check(const struct sched_machine *m)
{
    struct sums sums = {.entities = 0};

    check_pool(m, m->root, &sums);
    vmk_assert(sums.entities == m->entities && sums.pools == m->pools);
    vmk_assert(m->root->reserved_mhz <= m->capacity_mhz);
    for (uint32_t i = 0; i < m->cpu_count; i++) {
        const struct sched_cpu *c = &m->cpu[i];

        vmk_assert(c->waiting == sums.waiting[i]);
        vmk_assert(!(m->busy & BIT(i)) == !c->waiting);
        vmk_assert(!(m->online & BIT(i)) == !c->current);
        vmk_assert(!(m->idle & BIT(i)) || c->current->idle);
        vmk_assert(!c->current || c->current->state == SCHED_STATE_RUN);
    }
}
