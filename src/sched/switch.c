// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/switch.c -- states, who is told and who pays, and the switch of a CPU.
 *
 * What follows from an input, whichever it was: the state of an entity changes and the time of
 * the old one is booked; the running one pays for what it had; the CPU chooses again, and has a
 * new deadline. Who is best is the policy's to say.
 *
 * Invariants
 *   - Every time a state ends it is booked to the nanosecond (machine_state()); run + ready +
 *     costop + wait = elapsed is asserted there.
 *   - `queued` exactly if READY, not idle; RUN exactly for the current entity of a CPU.
 *   - Active in the tree exactly if READY or RUN.
 * Locking    the caller's.
 * Start at   machine_reschedule().
 * Sources    docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

#define DEADLINE_LEAST 20000ull  // no CPU thinks more often than each 20 us

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

void machine_settle(struct sched_machine *m, uint32_t cpu)
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

/*
 * Who runs on this CPU from now on. The current entity is charged; it is RUN if it could go on.
 */
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

plat_ns machine_deadline(struct sched_machine *m, uint32_t cpu)
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

void machine_reschedule(struct sched_machine *m, uint32_t cpu, bool yields)
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
