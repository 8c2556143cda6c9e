// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/machine.c -- the scheduler's state machine: inputs, states, times, the switch.
 *
 * Why one machine and not one per CPU: docs/adr/0002. This file knows when a decision is due
 * and what follows from it; who is best is the policy's, where it runs is place.c's, who may
 * not run is limit.c's and cosched.c's.
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
 *   - Every time a state ends it is booked to the nanosecond (machine_state()); run + ready +
 *     costop + wait = elapsed is asserted there.
 *   - `queued` exactly if READY, not idle; RUN exactly for the current entity of a CPU.
 *   - Active in the tree exactly if READY or RUN.
 *   - `now` never falls: an input with an earlier time is taken at the last time.
 * Locking    the caller's.
 * Start at   sched_step(), reschedule().
 * Sources    docs/design/scheduler.md
 */
#include "lib/format.h"
#include "lib/string.h"
#include "sched/machine_internal.h"

#define DEADLINE_LEAST 20000ull  // no CPU thinks more often than each 20 us

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

/* ---- states ---- */

void machine_state(struct sched_machine *m, struct sched_entity *e, uint32_t state)
{
    bool was = state_is_runnable(e->state);
    bool is = state_is_runnable(state);

    machine_book(e, m->now);
    if (!e->idle && (e->node.flags & SCHED_WORLD_VCPU)) {
        e->node.parent->stalled += state_is_stalled(state);
        e->node.parent->stalled -= state_is_stalled(e->state);
    }
    if (!e->idle && was != is) {
        if (is)
            list_add_tail(&e->node.parent->runnable, &e->runnable_link);
        else
            list_remove(&e->runnable_link);
    }
    e->state = state;
}

void machine_state_tell(struct sched_machine *m, struct sched_entity *e, uint32_t state,
                        uint32_t sub)
{
    machine_state(m, e, state);
    machine_tell(m, &(struct sched_event){
                        .kind = SCHED_EVENT_STATE, .id = e->node.id, .state = state, .a = sub});
}

/* ---- what others are told ---- */

void machine_tell(struct sched_machine *m, const struct sched_event *event)
{
    if (!m->observer.event)
        return;

    struct sched_event copy = *event;

    copy.cpu = m->input_cpu;
    m->observer.event(m->observer.context, &copy, m->now);
}

void machine_kick(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];

    if (c->kicked)
        return;
    c->kicked = true;
    m->kick |= BIT(cpu);
    m->counters.kicks++;
}

/* ---- queues ---- */

void machine_enqueue(struct sched_machine *m, struct sched_entity *e)
{
    struct sched_cpu *c = &m->cpu[e->cpu];

    vmk_assert(!e->queued && !e->idle && e->state == SCHED_STATE_READY);
    e->load = tree_load(m, e);
    m->policy->enqueue(m, e);
    tree_waiting(m, e, true);
    e->queued = true;
    c->waiting++;
    c->load += e->load;
    m->busy |= BIT(e->cpu);
    if (e->affinity & m->online & ~BIT(e->cpu))
        list_add_tail(&c->movable, &e->movable_link);
}

void machine_dequeue(struct sched_machine *m, struct sched_entity *e)
{
    struct sched_cpu *c = &m->cpu[e->cpu];

    vmk_assert(e->queued);
    m->policy->dequeue(m, e);
    tree_waiting(m, e, false);
    e->queued = false;
    c->waiting--;
    c->load -= e->load;
    if (!c->waiting)
        m->busy &= ~BIT(e->cpu);
    if (list_is_linked(&e->movable_link))
        list_remove(&e->movable_link);
}

void machine_make_ready(struct sched_machine *m, struct sched_entity *e, uint32_t reason)
{
    if (limit_holds(e)) {
        if (e->state != SCHED_STATE_MLMTD)
            machine_state_tell(m, e, SCHED_STATE_MLMTD, reason);
        cosched_stalled(m, e);
        return;
    }
    tree_activate(m, e);
    if (m->policy->wake)
        m->policy->wake(m, e);

    uint32_t cpu = place_wake(m, e);
    struct sched_cpu *c = &m->cpu[cpu];

    machine_state_tell(m, e, SCHED_STATE_READY, reason);
    if (cpu != e->cpu)
        place_move(m, e, cpu,
                   e->affinity & BIT(e->cpu) ? MIGRATE_KIND_PUSH : MIGRATE_KIND_AFFINITY);
    machine_enqueue(m, e);
    if (!c->current)
        return;  // not online yet
    if (c->current->idle) {
        cosched_woken(m, cpu, e);
        m->idle &= ~BIT(cpu);  // claimed: the next to wake up sees another
        machine_kick(m, cpu);
        return;
    }
    machine_charge(m, cpu);
    /* Who makes a world goes on, unless that is due more; who is woken up gets a tie. */
    if (reason == WAKE_REASON_NEW ? m->policy->before(m, e, c->current, 0)
                                  : m->policy->preempts(m, e, c->current)) {
        c->preempt = true;
        cosched_woken(m, cpu, e);
        machine_kick(m, cpu);
        return;
    }
    cosched_stalled(m, e);

    /* It was alone, perhaps, and its slice a long one. */
    plat_ns end = m->policy->slice(m, cpu, c->current);

    if (end + tune(m, SCHED_TUNABLE_GRANULARITY) / 2 < c->slice_end) {
        c->slice_end = MAX(end, m->now + DEADLINE_LEAST);
        if (cpu != m->input_cpu)
            machine_kick(m, cpu);
    }
}

/* ---- the running one pays ---- */

/* Time of CPUs beside a busy partner, up to now; before any of the two changes. */
static void smt_settle(struct sched_machine *m, uint32_t cpu)
{
    struct sched_entity *e = m->cpu[cpu].current;
    uint64_t partners = m->cpu[cpu].smt_mask & ~BIT(cpu);
    bool busy = false;

    if (!partners || !e || e->idle)
        return;
    for (uint64_t rest = partners; rest; rest &= rest - 1) {
        const struct sched_entity *other = m->cpu[__builtin_ctzll(rest)].current;

        busy |= other && !other->idle;
    }
    if (busy)
        e->times.smt += m->now - e->smt_stamp;
    e->smt_stamp = m->now;
}

/* A running entity has paid so much further. */
static void charged_move(struct sched_entity *e, plat_ns by)
{
    e->charged += by;
    for_each_above(p, &e->node) p->charged_sum += by;
}

void machine_charge(struct sched_machine *m, uint32_t cpu)
{
    struct sched_entity *e = m->cpu[cpu].current;
    machine_book(e, m->now);
    if (e->idle || e->charged >= m->now)
        return;
    smt_settle(m, cpu);

    plat_ns used = m->now - e->charged;
    plat_ns beside = MIN(e->times.smt - e->smt_charged, used);

    e->smt_charged = e->times.smt;
    used -= beside * (1000 - tune(m, SCHED_TUNABLE_SMT_CHARGE)) / 1000;

    /* Not at once when it is booked: who was woken by an interrupt would be late for it. */
    int64_t with = (int64_t)used + e->service;

    e->service = MIN(with, 0);
    used = (plat_ns)MAX(with, 0);
    charged_move(e, m->now - e->charged);
    m->policy->charge(m, e, used);
}

/* Everything about the current entity of the input's CPU is exact after this. */
static void settle(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct sched_entity *e = c->current;

    machine_charge(m, cpu);
    if (e->idle)
        return;
    c->used += m->now - c->used_since;
    c->used_since = m->now;
    limit_settle(m, e, m->now - e->grant_at);
    e->grant_at = m->now;
}

/* ---- the switch ---- */

void machine_running(struct sched_entity *e, uint32_t cpu, bool runs)
{
    for_each_above(p, &e->node)
    {
        p->running = runs ? p->running | BIT(cpu) : p->running & ~BIT(cpu);
        p->charged_sum += runs ? e->charged : -e->charged;
    }
}

/* The partners' time beside this CPU changes its kind. */
static void partners_settle(struct sched_machine *m, uint32_t cpu)
{
    for (uint64_t rest = m->cpu[cpu].smt_mask & ~BIT(cpu); rest; rest &= rest - 1)
        smt_settle(m, (uint32_t)__builtin_ctzll(rest));
}

static void switch_to(struct sched_machine *m, uint32_t cpu, struct sched_entity *next)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct sched_entity *prev = c->current;
    uint32_t prev_state = prev->state == SCHED_STATE_RUN ? SCHED_STATE_READY : prev->state;
    plat_ns cost = tune(m, SCHED_TUNABLE_COST_SWITCH);
    uint32_t leave_to = c->leave_to;

    c->leave_to = SCHED_NO_CPU;

    if (prev->idle != next->idle)
        partners_settle(m, cpu);
    limit_release(m, prev);
    /* It ran on budget taken in advance, and below an empty bucket nobody waits for a CPU. */
    if (prev->state == SCHED_STATE_RUN && !prev->idle && limit_holds(prev)) {
        tree_deactivate(m, prev);
        machine_state(m, prev, SCHED_STATE_MLMTD);
        prev_state = SCHED_STATE_MLMTD;
    }
    if (!prev->idle) {
        machine_running(prev, cpu, false);
        c->load -= prev->load;
    }
    if (next->queued)
        machine_dequeue(m, next);
    if (prev->state == SCHED_STATE_RUN) {
        machine_state(m, prev, SCHED_STATE_READY);
        if (!prev->idle) {
            prev->times.preemptions++;
            if (!(prev->affinity & BIT(cpu)))
                place_move(m, prev, place_wake(m, prev), MIGRATE_KIND_AFFINITY);
            else if (leave_to != SCHED_NO_CPU)
                place_move(m, prev, leave_to, MIGRATE_KIND_NUMA);
            machine_enqueue(m, prev);
            if (prev->cpu != cpu)
                machine_kick(m, prev->cpu);
        }
    }
    machine_tell(m, &(struct sched_event){.kind = SCHED_EVENT_SWITCH,
                                          .id = prev->node.id,
                                          .other = next->node.id,
                                          .state = prev_state,
                                          .a = (uint32_t)MIN(cost / 16, 0xffffull),
                                          .b = (uint32_t)((m->now - prev->started) / 1000)});
    c->current = next;
    machine_state(m, next, SCHED_STATE_RUN);
    next->started = m->now;
    next->charged = m->now;
    next->grant_at = m->now;
    next->smt_stamp = m->now;
    next->smt_charged = next->times.smt;
    next->times.switches++;
    m->counters.switches++;
    c->used_since = m->now;
    if (next->idle) {
        m->idle |= BIT(cpu);
    } else {
        next->cpu = cpu;
        m->idle &= ~BIT(cpu);
        c->load += next->load;
        machine_running(next, cpu, true);
    }
    if ((prev_state == SCHED_STATE_READY || prev_state == SCHED_STATE_MLMTD) && !prev->idle)
        cosched_stalled(m, prev);
}

/* Nobody waits here: who is pulled from elsewhere, or the idle entity. */
static struct sched_entity *otherwise(struct sched_machine *m, uint32_t cpu)
{
    struct sched_entity *pulled = place_pull_idle(m, cpu);

    if (pulled)
        return pulled;
    place_invite(m, cpu);
    return &m->cpu[cpu].idle;
}

/* Who runs on this CPU from now on. The current entity is charged; it is RUN if it could go on. */
static struct sched_entity *choose(struct sched_machine *m, uint32_t cpu, bool yields)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct sched_entity *e = c->current;
    // A changed affinity shows here: who may not be on this CPU any more leaves it.
    bool may_stay = !e->idle && e->state == SCHED_STATE_RUN && e->affinity & BIT(cpu);
    uint32_t home = place_homeward(m, cpu);
    bool preempt = c->preempt;
    struct sched_entity *forced = c->forced;

    c->forced = NULL;
    c->preempt = false;
    if (forced && forced->queued && forced->cpu == cpu)
        return forced;
    if (home != SCHED_NO_CPU && may_stay) {
        c->leave_to = home;
        may_stay = false;
    }
    if (!may_stay && !c->waiting) {
        return otherwise(m, cpu);
    }
    if (may_stay && cosched_applies(m, e) && m->tunable[SCHED_TUNABLE_COSCHED] == 2 &&
        e->node.parent->turn_until > m->now)
        return e;
    place_pull_fair(m, cpu, may_stay ? e : NULL);

    struct sched_entity *first = m->policy->first(m, cpu);

    if (!first)
        return may_stay ? e : &c->idle;
    if (!may_stay || yields)
        return first;
    if (preempt && m->policy->preempts(m, first, e))
        return first;
    return m->now >= c->slice_end && m->policy->before(m, first, e, 0) ? first : e;
}

/* The next time this CPU has to think, given who runs. */
static plat_ns deadline_of(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    plat_ns deadline = limit_next(m, cpu);

    if (!c->current)
        return PLAT_NS_NEVER;
    if (!c->current->idle) {
        deadline = MIN(deadline, c->slice_end);
        deadline = MIN(deadline, cosched_next(m, c->current));
    }
    return deadline == PLAT_NS_NEVER ? deadline : MAX(deadline, m->now + DEADLINE_LEAST);
}

/* How long `next` may run, if nothing happens. */
static void slice_begin(struct sched_machine *m, uint32_t cpu, struct sched_entity *next)
{
    struct sched_cpu *c = &m->cpu[cpu];
    plat_ns end = cosched_turn(m, cpu, next, m->policy->slice(m, cpu, next));

    end = MIN(end, c->quantum_start + MAX(tune(m, SCHED_TUNABLE_QUANTUM), DEADLINE_LEAST));
    end = MAX(end, m->now + DEADLINE_LEAST);
    c->slice_end = m->now + limit_grant(m, next, end - m->now);
}

/* A switching input, after the current entity was charged and given the state it asked for. */
static void reschedule(struct sched_machine *m, uint32_t cpu, bool yields)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct sched_entity *e = c->current;
    bool over = m->now >= c->slice_end;

    limit_timers(m, cpu);
    if (!e->idle && e->state == SCHED_STATE_RUN) {
        if (!e->granted && limit_holds(e)) {
            tree_deactivate(m, e);
            machine_state(m, e, SCHED_STATE_MLMTD);
        } else if (cosched_stop(m, cpu)) {
            tree_deactivate(m, e);
        }
    }
    if (e->node.flags & SCHED_WORLD_VCPU)
        cosched_start(m, e->node.parent);  // it made progress, or waits and is no measure

    struct sched_entity *next = choose(m, cpu, yields);

    if (next != e) {
        switch_to(m, cpu, next);
        c->quantum_start = m->now;
    } else if (next->idle) {
        m->idle |= BIT(cpu);
    } else if (over) {
        next->times.quantum_expiries++;
        m->counters.quantum_expiries++;
        c->quantum_start = m->now;
    }
    if (!next->idle)
        slice_begin(m, cpu, next);
    cosched_decided(m, cpu);
    place_spread(m, cpu);
}

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
    settle(m, in->cpu);
    if (in->op == SCHED_OP_BLOCK || in->op == SCHED_OP_EXIT) {
        tree_deactivate(m, e);
        machine_state(m, e, in->op == SCHED_OP_EXIT ? SCHED_STATE_ZOMBIE : in->small);
        if (state_is_stalled(e->state))
            cosched_stalled(m, e);  // for I/O or swap: its siblings run away from it
    }
    if (in->op == SCHED_OP_EXIT)
        tree_release(m, e);
    reschedule(m, in->cpu, in->op == SCHED_OP_YIELD);
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
    d.deadline = m->cpu[input->cpu].deadline = deadline_of(m, input->cpu);
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
