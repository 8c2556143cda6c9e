// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/machine.c -- the scheduler's state machine: its inputs, and the states between them.
 *
 * Why one machine and not one per CPU: docs/adr/0002. This file takes inputs apart; what
 * follows is switch.c's, who is best the policy's, where it runs place.c's, who may not run
 * limit.c's and cosched.c's.
 *
 *              WAKE                         chosen
 *   NEW ─────────────────►  READY  ───────────────────────►  RUN ──── EXIT ───► ZOMBIE
 *                           │  ▲ ▲  ◄───────────────────────  │ │
 *            bucket is empty│  │ └───── preempted, quantum    │ │ BLOCK
 *                           ▼  │ filled                       │ ▼
 *                          MLMTD ◄─── bucket is empty ────────┤ WAIT, WAIT_IDLE, WAIT_IO, WAIT_SWAP
 *                                                             │    │ WAKE
 *                           READY ◄─── gap closed ─ COSTOP ◄──┘    └──► READY
 *
 * Invariants
 *   - An input that is refused changes nothing but counters.
 *   - `now` never falls: an input with an earlier time is taken at the last time.
 * Locking    the caller's.
 * Start at   sched_step(), apply().
 * Sources    docs/design/scheduler.md
 */
#include "lib/string.h"
#include "sched/machine_internal.h"

static const struct sched_policy *const policies[SCHED_POLICY_COUNT] = {
    [SCHED_POLICY_SHARE] = &sched_policy_share,
    [SCHED_POLICY_CREDIT2] = &sched_policy_credit2,
    [SCHED_POLICY_RR] = &sched_policy_rr,
    [SCHED_POLICY_EDF] = &sched_policy_edf,
};

static const struct tunable_row {
    const char *name;
    uint64_t normal, least, most;
} tunables[SCHED_TUNABLE_COUNT] = {
#define SCHED_TUNABLE(id, name, normal, least, most, what) {name, normal, least, most},
#include "sched/tunables.def"
};

/* ---- inputs ---- */

static vmk_status on_cpu_online(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_cpu *c = &m->cpu[in->cpu];
    struct sched_entity *idle = &c->idle;

    if (c->current)
        return VMK_EXISTS;
    idle->node.id = in->id;
    idle->node.shares = 1;
    idle->idle = true;
    idle->cpu = in->cpu;
    idle->affinity = BIT(in->cpu);
    idle->state = SCHED_STATE_RUN;
    idle->since = m->now;
    idle->started = m->now;
    idle->times.created = m->now;
    c->current = idle;
    c->slice_end = PLAT_NS_NEVER;
    c->used_since = m->now;
    m->online |= BIT(in->cpu);
    m->idle |= BIT(in->cpu);
    place_topology(m);
    return VMK_OK;
}

static vmk_status on_wake(struct sched_machine *m, const struct sched_input *in,
                          struct sched_entity *e)
{
    if (e->state == SCHED_STATE_ZOMBIE)
        return VMK_NOT_FOUND;
    if (e->state == SCHED_STATE_RUN || state_is_runnable(e->state))
        return VMK_OK;
    m->counters.wakes++;
    e->times.wakes++;
    cosched_wake(m, e);
    machine_make_ready(m, e, in->small);
    return VMK_OK;
}

static vmk_status on_affinity(struct sched_machine *m, const struct sched_input *in,
                              struct sched_entity *e)
{
    if (!(in->value & (m->cpu_count == 64 ? ~0ull : BIT(m->cpu_count) - 1)))
        return VMK_BAD_PARAM;
    if (!tree_pin_fits(m, e, in->value, e->node.min_mhz))
        return VMK_LIMIT;
    tree_pin(m, e, in->value, e->node.min_mhz);

    bool queued = e->queued;

    if (queued)
        machine_dequeue(m, e);
    e->affinity = in->value;
    if (queued) {
        if (!(e->affinity & BIT(e->cpu)))
            place_move(m, e, place_wake(m, e), MIGRATE_KIND_AFFINITY);
        machine_enqueue(m, e);
        machine_kick(m, e->cpu);
    } else if (e->state == SCHED_STATE_RUN && !(e->affinity & BIT(e->cpu))) {
        m->cpu[e->cpu].preempt = true;
        machine_kick(m, e->cpu);
    }
    return VMK_OK;
}

static vmk_status on_system_time(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_entity *current = m->cpu[in->cpu].current;
    struct sched_entity *whose = in->id ? sched_entity_find(m, in->id) : NULL;

    if (in->id && !whose)
        return VMK_NOT_FOUND;
    if (!current)
        return VMK_BAD_PARAM;
    if (whose == current)
        return VMK_OK;  // in its own time: that is run, not system
    if (!current->idle) {
        current->times.overlap += in->arg;
        current->service -= in->arg;
        current->grant_at += MIN(in->arg, m->now - current->grant_at);
    }
    if (whose) {
        whose->times.system += in->arg;
        whose->service += in->arg;
        limit_settle(m, whose, in->arg);
    }
    return VMK_OK;
}

static vmk_status on_topology(struct sched_machine *m, const struct sched_input *in)
{
    if (in->small >= m->cpu_count || !in->value || in->value > 1000000)
        return VMK_BAD_PARAM;

    struct sched_cpu *c = &m->cpu[in->small];

    c->core = in->id & 0xffff;
    c->llc = in->id >> 16;
    c->package = in->arg & 0xffff;
    c->numa = in->arg >> 16;
    c->mhz = (uint32_t)in->value;
    place_topology(m);
    return VMK_OK;
}

static void requeue_out(struct sched_machine *m, struct sched_entity *e)
{
    if (e->queued)
        m->policy->dequeue(m, e);
}

static void requeue_in(struct sched_machine *m, struct sched_entity *e)
{
    if (m->policy->wake && (e->queued || e->state == SCHED_STATE_RUN))
        m->policy->wake(m, e);
    if (e->queued)
        m->policy->enqueue(m, e);
}

static vmk_status on_policy(struct sched_machine *m, const struct sched_input *in)
{
    if (in->small == SCHED_POLICY_TUNABLE) {
        if (in->id >= SCHED_TUNABLE_COUNT || in->value < tunables[in->id].least ||
            in->value > tunables[in->id].most)
            return VMK_BAD_PARAM;
        tree_walk(m, &m->root->node, requeue_out);
        m->tunable[in->id] = in->value;
        tree_retune(m);
        tree_walk(m, &m->root->node, requeue_in);
        return VMK_OK;
    }
    if (in->small >= SCHED_POLICY_COUNT)
        return VMK_BAD_PARAM;
    tree_walk(m, &m->root->node, requeue_out);
    m->policy = policies[in->small];
    tree_walk(m, &m->root->node, requeue_in);
    for (uint64_t rest = m->online; rest; rest &= rest - 1)
        machine_kick(m, (uint32_t)__builtin_ctzll(rest));
    return VMK_OK;
}

static bool is_wait(uint32_t state)
{
    return state >= SCHED_STATE_WAIT && state <= SCHED_STATE_WAIT_SWAP;
}

static vmk_status switching(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_cpu *c = &m->cpu[in->cpu];
    struct sched_entity *e = c->current;
    bool names =
        in->op == SCHED_OP_BLOCK || in->op == SCHED_OP_YIELD || in->op == SCHED_OP_EXIT;

    if (!e)
        return VMK_BAD_PARAM;
    if (names && (in->id != e->node.id || e->idle))
        return VMK_BAD_PARAM;
    if (in->op == SCHED_OP_BLOCK && !is_wait(in->small))
        return VMK_BAD_PARAM;
    c->kicked = false;
    machine_settle(m, in->cpu);
    if (in->op == SCHED_OP_BLOCK || in->op == SCHED_OP_EXIT) {
        tree_deactivate(m, e);
        machine_state(m, e, in->op == SCHED_OP_EXIT ? SCHED_STATE_ZOMBIE : in->small);
        if (state_is_stalled(e->state))
            cosched_stalled(m, e);  // for I/O or swap: its siblings run away from it
    }
    if (in->op == SCHED_OP_EXIT)
        tree_release(m, e);
    machine_reschedule(m, in->cpu, in->op == SCHED_OP_YIELD);
    return VMK_OK;
}

static struct sched_entity *named(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_entity *hint = in->storage;

    return hint && hint->node.id == in->id ? hint : sched_entity_find(m, in->id);
}

static vmk_status apply(struct sched_machine *m, const struct sched_input *in,
                        struct sched_decision *d)
{
    struct sched_entity *e;

    switch (in->op) {
    case SCHED_OP_CPU_ONLINE: return on_cpu_online(m, in);
    case SCHED_OP_POOL_ADD: return tree_pool_add(m, in);
    case SCHED_OP_POOL_REMOVE: return tree_pool_remove(m, in);
    case SCHED_OP_WORLD_ADD: return tree_world_add(m, in);
    case SCHED_OP_WORLD_REMOVE: return tree_world_remove(m, in);
    case SCHED_OP_SET_SHARES: return tree_set_shares(m, in);
    case SCHED_OP_SET_MIN: return tree_set_min(m, in);
    case SCHED_OP_SET_MAX: return tree_set_max(m, in);
    case SCHED_OP_SET_POOL: return tree_set_pool(m, in);
    case SCHED_OP_SET_AFFINITY:
        e = named(m, in);
        return e ? on_affinity(m, in, e) : VMK_NOT_FOUND;
    case SCHED_OP_WAKE:
        e = named(m, in);
        if (!e)
            return VMK_NOT_FOUND;

        vmk_status status = on_wake(m, in, e);

        d->target = e->cpu;
        return status;
    case SCHED_OP_BLOCK:
    case SCHED_OP_YIELD:
    case SCHED_OP_TIMER:
    case SCHED_OP_RESCHED:
    case SCHED_OP_EXIT: return switching(m, in);
    case SCHED_OP_SYSTEM_TIME: return on_system_time(m, in);
    case SCHED_OP_TOPOLOGY: return on_topology(m, in);
    case SCHED_OP_POLICY: return on_policy(m, in);
    default: return VMK_BAD_PARAM;
    }
}

struct sched_decision sched_step(struct sched_machine *m, const struct sched_input *input,
                                 plat_ns now)
{
    struct sched_decision d = {.deadline = PLAT_NS_NEVER, .target = SCHED_NO_CPU};

    m->now = MAX(m->now, now);
    m->kick = 0;
    m->counters.inputs++;
    if (input->cpu >= m->cpu_count) {
        d.status = VMK_BAD_PARAM;
        m->counters.refused++;
        return d;
    }
    m->input_cpu = input->cpu;
    d.status = apply(m, input, &d);
    if (d.status != VMK_OK)
        m->counters.refused++;
    place_numa(m);
    d.next = m->cpu[input->cpu].current;
    d.deadline = m->cpu[input->cpu].deadline = machine_deadline(m, input->cpu);
    d.kick = m->kick;
    return d;
}

/* ---- setting up ---- */

void sched_machine_init(struct sched_machine *m, unsigned cpus)
{
    vmk_assert(cpus >= 1 && cpus <= SCHED_CPUS_MAX);
    memset(m, 0, sizeof(*m));
    m->cpu_count = cpus;
    m->policy = policies[SCHED_POLICY_SHARE];
    for (unsigned i = 0; i < SCHED_TUNABLE_COUNT; i++)
        m->tunable[i] = tunables[i].normal;
    for (unsigned i = 0; i < cpus; i++) {
        struct sched_cpu *c = &m->cpu[i];

        list_init(&c->movable);
        prioq_init(&c->queue);
        prioq_init(&c->spent);
        prioq_init(&c->reserve);
        prioq_init(&c->limits);
        c->core = i;
        c->mhz = SCHED_MHZ_DEFAULT;
        c->pull_next = i + 1;
        c->leave_to = SCHED_NO_CPU;
    }
    place_topology(m);
    m->root = &m->root_room.pool;
    tree_root_init(m);
    tree_retune(m);
}

enum sched_policy_id sched_policy_by_name(const char *name)
{
    unsigned i = 0;

    while (i < SCHED_POLICY_COUNT && strcmp(policies[i]->name, name) != 0)
        i++;
    return (enum sched_policy_id)i;
}

enum sched_policy_id sched_policy_of(const struct sched_machine *m)
{
    unsigned i = 0;

    while (policies[i] != m->policy)
        i++;
    return (enum sched_policy_id)i;
}

const char *sched_policy_name(enum sched_policy_id id)
{
    return (unsigned)id < SCHED_POLICY_COUNT ? policies[id]->name : "?";
}

const char *sched_tunable_name(enum sched_tunable t)
{
    return (unsigned)t < SCHED_TUNABLE_COUNT ? tunables[t].name : "?";
}
