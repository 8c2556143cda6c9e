// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/nodes.c -- the machine's worlds and pools as the rest of the kernel sees them: added, changed,
 * removed, read.
 *
 * Each change is one input and, behind it, a record of what now holds. Nothing is decided here:
 * what the state machine refuses (admission, a pool that is not empty) comes back as its
 * status.
 *
 * Invariants
 *   - A pool's memory lives from its POOL_ADD to its POOL_REMOVE.
 * Locking    sched_state.lock (rank RUNQ), taken in each function.
 * Start at   sched_world_add(), sched_pool_create().
 * Sources    docs/design/scheduler.md
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/trace_control.h"
#include "lib/format.h"
#include "sched/sched_internal.h"
#include "world/world_internal.h"

/* A pool's memory. */
struct pool_box {
    char name[WORLD_NAME_SIZE];
    struct sched_pool pool;  // last: its array follows
};

/* What now holds for a node, for who reads the trace. Lock held. */
static void record_config(struct sched_state *sched, const struct sched_node *n)
{
    const struct sched_pool *vm = n->parent;
    bool in_vm = vm && (vm->node.flags & SCHED_POOL_VM) && vm->node.parent;

    TRACE_AT(sched->machine.now, sched_config, .id = n->id, .shares = n->shares,
             .min_mhz = n->min_mhz, .max_mhz = n->max_mhz, .parent = vm ? vm->node.id : 0,
             .vm = in_vm ? vm->node.id : 0);
}

/* One change of a node, and the record of what now holds. Any context. */
static vmk_status change(struct sched_input in)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    vmk_status status = sched_tell_locked(sched, in).status;
    const struct sched_node *n = sched_node_find(&sched->machine, in.id);

    if (status == VMK_OK && n)
        record_config(sched, n);
    spin_unlock(&sched->lock, irqs);
    return status;
}

/* Reservation and limit of a node that has just been added. */
static vmk_status params_apply(uint32_t id, const struct sched_params *params)
{
    vmk_status status = VMK_OK;

    if (params->max_mhz && params->max_mhz != SCHED_UNLIMITED)
        status = sched_set_max(id, params->max_mhz);
    if (status == VMK_OK && params->min_mhz)
        status = sched_set_min(id, params->min_mhz);
    return status;
}

vmk_status sched_world_add(struct world *w, const struct sched_params *params,
                           uint64_t affinity, bool vcpu)
{
    vmk_status status = change((struct sched_input){.op = SCHED_OP_WORLD_ADD,
                                                    .small = vcpu ? SCHED_WORLD_VCPU : 0,
                                                    .id = w->id.raw,
                                                    .arg = params->pool,
                                                    .value = params->shares,
                                                    .storage = &w->sched});

    if (status != VMK_OK)
        return status;
    if (affinity && affinity != ~0ull)
        status = sched_set_affinity(w->id.raw, affinity);
    if (status == VMK_OK)
        status = params_apply(w->id.raw, params);
    if (status != VMK_OK)
        sched_world_remove(w);
    return status;
}

void sched_world_remove(struct world *w)
{
    vmk_status status =
        sched_tell((struct sched_input){.op = SCHED_OP_WORLD_REMOVE, .id = w->id.raw});

    vmk_assert(status == VMK_OK);
}

bool sched_world_is_gone(const struct world *w)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    bool gone = w->sched.state == SCHED_STATE_ZOMBIE;

    spin_unlock(&sched->lock, irqs);
    return gone;
}

/* Idle worlds have their times in the machine. */
static const struct sched_entity *entity_of_world(const struct sched_state *sched,
                                                  const struct world *w)
{
    return w->id.raw <= PLAT_CPUS_MAX ? &sched->machine.cpu[w->id.raw - 1].idle : &w->sched;
}

void sched_world_times(const struct world *w, struct sched_times *out)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);

    sched_times_at(entity_of_world(sched, w), MAX(plat_time_now(), sched->machine.now), out);
    spin_unlock(&sched->lock, irqs);
}

/* ---- pools ---- */

const char *sched_pool_name(const struct sched_machine *m, const struct sched_pool *p)
{
    return p == m->root ? "host" : container_of(p, const struct pool_box, pool)->name;
}

vmk_status sched_pool_create(const char *name, uint32_t flags,
                             const struct sched_params *params, uint32_t *id)
{
    struct pool_box *box = heap_alloc(
        sizeof(*box) + sched_pool_size(plat_cpu_count()) - sizeof(box->pool), MEM_OWNER_WORLD);
    uint32_t new_id = world_id_take();

    if (!box)
        return VMK_NO_MEMORY;
    vmk_snprintf(box->name, sizeof(box->name), "%s", name);
    TRACE(world_name, .id = new_id,
          .kind = flags & SCHED_POOL_VM ? RECORD_name_kind_VM : RECORD_name_kind_POOL,
          .pool = params->pool ? params->pool : SCHED_ROOT_ID, .name = trace_text16(box->name));

    vmk_status status = change((struct sched_input){.op = SCHED_OP_POOL_ADD,
                                                    .small = flags,
                                                    .id = new_id,
                                                    .arg = params->pool,
                                                    .value = params->shares,
                                                    .storage = &box->pool});

    if (status != VMK_OK) {
        heap_free(box);
        return status;
    }
    status = params_apply(new_id, params);
    if (status != VMK_OK) {
        vmk_status undone = sched_pool_destroy(new_id);

        vmk_assert(undone == VMK_OK);
        return status;
    }
    *id = new_id;
    return VMK_OK;
}

vmk_status sched_pool_destroy(uint32_t id)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    struct sched_pool *p = sched_pool_find(&sched->machine, id);
    vmk_status status =
        sched_tell_locked(sched, (struct sched_input){.op = SCHED_OP_POOL_REMOVE, .id = id})
            .status;

    spin_unlock(&sched->lock, irqs);
    if (status == VMK_OK)
        heap_free(container_of(p, struct pool_box, pool));
    return status;
}

/* ---- changes ---- */

vmk_status sched_set_shares(uint32_t id, uint32_t shares)
{
    return change((struct sched_input){.op = SCHED_OP_SET_SHARES, .id = id, .arg = shares});
}

vmk_status sched_set_min(uint32_t id, uint32_t mhz)
{
    return change((struct sched_input){.op = SCHED_OP_SET_MIN, .id = id, .arg = mhz});
}

vmk_status sched_set_max(uint32_t id, uint32_t mhz)
{
    return change((struct sched_input){.op = SCHED_OP_SET_MAX, .id = id, .arg = mhz});
}

vmk_status sched_set_pool(uint32_t id, uint32_t pool)
{
    return change((struct sched_input){.op = SCHED_OP_SET_POOL, .id = id, .arg = pool});
}

vmk_status sched_set_affinity(uint32_t world, uint64_t mask)
{
    return change(
        (struct sched_input){.op = SCHED_OP_SET_AFFINITY, .id = world, .value = mask});
}

vmk_status sched_set_policy(enum sched_policy_id policy)
{
    return sched_tell((struct sched_input){.op = SCHED_OP_POLICY, .small = policy});
}

enum sched_policy_id sched_policy_now(void)
{
    return sched_policy_of(&this_host()->sched->machine);
}

vmk_status sched_set_tunable(enum sched_tunable t, uint64_t value)
{
    return sched_tell((struct sched_input){
        .op = SCHED_OP_POLICY, .small = SCHED_POLICY_TUNABLE, .id = t, .value = value});
}

uint64_t sched_get_tunable(enum sched_tunable t)
{
    return this_host()->sched->machine.tunable[t];
}

size_t sched_refusal(char *out, size_t room)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    size_t length = sched_admission_text(&sched->machine, out, room);

    spin_unlock(&sched->lock, irqs);
    return length;
}

void sched_system_time(uint32_t world, plat_ns ns)
{
    (void)!sched_tell((struct sched_input){.op = SCHED_OP_SYSTEM_TIME,
                                           .id = world,
                                           .arg = (uint32_t)MIN(ns, (plat_ns)UINT32_MAX)});
}

plat_ns sched_run_time(void)
{
    struct sched_state *sched = this_host()->sched;
    struct sched_times times;
    bool irqs = spin_lock(&sched->lock);

    sched_times_at(entity_of_world(sched, sched_own()->current),
                   MAX(plat_time_now(), sched->machine.now), &times);
    spin_unlock(&sched->lock, irqs);
    return times.run;
}

/* ---- reading ---- */

vmk_status sched_usage_get(uint32_t id, struct sched_usage *out)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    plat_ns now = MAX(plat_time_now(), sched->machine.now);
    const struct sched_node *n = sched_node_find(&sched->machine, id);

    *out = (struct sched_usage){.cpu = SCHED_NO_CPU};
    if (n) {
        const struct sched_entity *e = sched_entity_find(&sched->machine, id);

        out->shares = n->shares;
        out->min_mhz = n->min_mhz;
        out->max_mhz = n->max_mhz;
        out->parent = n->parent ? n->parent->node.id : 0;
        if (e) {
            sched_times_at(e, now, &out->times);
            out->worlds = 1;
            out->cpu = e->cpu;
            out->state = e->state;
            out->affinity = e->affinity;
            out->skew = sched_entity_skew(&sched->machine, e, now);
        } else {
            out->worlds =
                sched_pool_times_at(sched_pool_find(&sched->machine, id), now, &out->times);
        }
    }
    spin_unlock(&sched->lock, irqs);
    return n ? VMK_OK : VMK_NOT_FOUND;
}

void sched_host_usage_get(struct sched_host_usage *out)
{
    struct sched_state *sched = this_host()->sched;
    const struct sched_machine *m = &sched->machine;
    bool irqs = spin_lock(&sched->lock);
    plat_ns now = MAX(plat_time_now(), m->now);

    *out = (struct sched_host_usage){
        .cpus = sched_mask_count(m->online),
        .worlds = m->entities,
        .pools = m->pools,
        .capacity_mhz = m->capacity_mhz,
        .reserved_mhz = m->root->reserved_mhz,
        .counters = m->counters,
        .policy = sched_policy_name(sched_policy_of(m)),
    };
    for (unsigned i = 0; i < m->cpu_count; i++) {
        const struct sched_cpu *c = &m->cpu[i];

        out->used[i] = c->used;
        if (c->current && !c->current->idle)
            out->used[i] += now - c->used_since;
    }
    spin_unlock(&sched->lock, irqs);
}
