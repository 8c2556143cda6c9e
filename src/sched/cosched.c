// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/cosched.c -- the vCPUs of a VM together: relaxed co-scheduling, strict gangs.
 *
 * A guest kernel spins for a lock whose holder it believes to be running. If the holder's vCPU
 * waits for a CPU, the others burn theirs. So no vCPU may get far ahead of the slowest.
 *
 * Relaxed: each vCPU has a progress: time it ran, or had nothing to do. One that is `costop`
 * ahead of its slowest sibling stops itself (COSTOP) and hands its CPU to that sibling if it
 * can; when the lead has shrunk to `costart` it may go on. Nobody else is stopped for it.
 *
 *     lead of a vCPU over its slowest sibling
 *       costop  ─ ─ ─ ─ ─╱╲─ ─ ─ ─   stops itself
 *                       ╱  ╲
 *       costart ─ ─ ─ ╱─ ─ ╲─ ─ ─    goes on
 *
 * That alone lets each vCPU spin for up to costop whenever a sibling loses its CPU. So a vCPU
 * that starts calls for its ready siblings, and each of them that is due (or all but due) by
 * the policy starts at once instead of at the end of somebody's slice: the VM's turns come
 * together, and are paid for (cosched_turn()).
 *
 * Who counts as a sibling to wait for: those who want to make progress: run, ready, held back,
 * or in the middle of I/O or swap. A halted guest CPU does not: waiting is its progress, it is
 * nobody's measure, and when it wakes up it starts no further back than the slowest and no more
 * than costart ahead.
 *
 * Strict (cosched=2): when one vCPU is chosen all that want to run are put on CPUs of their own
 * for one slot. It wastes what does not fit, and is there to measure the other against.
 *
 * Invariants
 *   - The slowest never stops, so somebody always goes on; when it cannot be run at all
 *     (a limit), all of the VM are held back by the same limit.
 *   - Lead <= costop while it runs, as exactly as its CPU's timer fires: a running vCPU with a
 *     stalled sibling looks each cosched-poll and when it would get there (look_again()).
 *   - costop_link is on the VM's list exactly in state COSTOP.
 * Locking    the caller's. Cost: O(vCPUs of the VM) per look.
 * Start at   cosched_stop(), cosched_start().
 * Sources    docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

#define TURN_CPUS_MAX 8u  // CPUs looked at for one sibling

enum cosched_mode {
    COSCHED_NONE,
    COSCHED_RELAXED,
    COSCHED_STRICT
};

static enum cosched_mode mode_of(const struct sched_machine *m)
{
    return (enum cosched_mode)m->tunable[SCHED_TUNABLE_COSCHED];
}

bool cosched_applies(const struct sched_machine *m, const struct sched_entity *e)
{
    return e->node.flags & SCHED_WORLD_VCPU && e->node.parent->child_count > 1 &&
           mode_of(m) != COSCHED_NONE;
}

static plat_ns progress_at(const struct sched_entity *e, plat_ns now)
{
    return e->progress + (state_is_stalled(e->state) ? 0 : now - MIN(now, e->since));
}

/* Is it one that others wait for? */
static bool is_measure(const struct sched_entity *e)
{
    return e->node.flags & SCHED_WORLD_VCPU &&
           (e->state == SCHED_STATE_RUN || state_is_stalled(e->state));
}

/* The least progress among the siblings of `e` that count; its own if there are none. */
static struct sched_entity *slowest(const struct sched_entity *e, plat_ns now,
                                    plat_ns *progress)
{
    struct sched_entity *slow = NULL;

    *progress = progress_at(e, now);
    list_for_each (link, &e->node.parent->children) {
        struct sched_entity *o = entity_of(list_entry(link, struct sched_node, siblings));

        if (o == e || o->node.is_pool || !is_measure(o))
            continue;

        plat_ns p = progress_at(o, now);

        if (!slow || p < *progress) {
            slow = o;
            *progress = p;
        }
    }
    return slow;
}

static plat_ns lead_of(const struct sched_entity *e, plat_ns now, struct sched_entity **slow)
{
    plat_ns least;
    plat_ns own = progress_at(e, now);

    *slow = slowest(e, now, &least);
    return own > least ? own - least : 0;
}

plat_ns sched_entity_skew(const struct sched_machine *m, const struct sched_entity *e,
                          plat_ns now)
{
    struct sched_entity *slow;

    (void)m;
    if (!(e->node.flags & SCHED_WORLD_VCPU) || !is_measure(e))
        return 0;
    return lead_of(e, now, &slow);
}

void cosched_wake(struct sched_machine *m, struct sched_entity *e)
{
    plat_ns least;

    if (!(e->node.flags & SCHED_WORLD_VCPU) || state_is_stalled(e->state))
        return;
    machine_book(e, m->now);
    if (slowest(e, m->now, &least)) {
        e->progress = MAX(e->progress, least);
        e->progress = MIN(e->progress, least + tune(m, SCHED_TUNABLE_COSTART));
    }
}

/* The lead at which a vCPU stops: a little less than the threshold, for a switch takes time. */
static plat_ns stop_at(const struct sched_machine *m)
{
    plat_ns most = tune(m, SCHED_TUNABLE_COSTOP);

    return most - most / 100;
}

/* The slowest sibling waits elsewhere: it gets this CPU. */
static void hand_off(struct sched_machine *m, uint32_t cpu, struct sched_entity *slow)
{
    if (!slow || !slow->queued || !(slow->affinity & BIT(cpu)) ||
        !tune(m, SCHED_TUNABLE_HANDOFF))
        return;
    place_move(m, slow, cpu, MIGRATE_KIND_PULL);
    m->cpu[cpu].forced = slow;
}

bool cosched_stop(struct sched_machine *m, uint32_t cpu)
{
    struct sched_entity *e = m->cpu[cpu].current;
    struct sched_entity *slow;
    plat_ns most = stop_at(m);

    if (mode_of(m) != COSCHED_RELAXED || !most || !cosched_applies(m, e))
        return false;

    plat_ns lead = lead_of(e, m->now, &slow);

    if (lead < most)
        return false;
    machine_state(m, e, SCHED_STATE_COSTOP);
    list_add_tail(&e->node.parent->costopped, &e->costop_link);
    e->times.costops++;
    m->counters.costops++;
    machine_tell(m, &(struct sched_event){.kind = SCHED_EVENT_COSTOP,
                                          .id = e->node.id,
                                          .a = (uint32_t)(lead / 1000)});
    cosched_stalled(m, e);  // they may overtake it, and somebody has to let it go on
    hand_off(m, cpu, slow);
    return true;
}

void cosched_start(struct sched_machine *m, struct sched_pool *vm)
{
    plat_ns most = tune(m, SCHED_TUNABLE_COSTART);
    bool off = mode_of(m) != COSCHED_RELAXED || !tune(m, SCHED_TUNABLE_COSTOP);

    for (struct list *link = vm->costopped.next, *next; link != &vm->costopped; link = next) {
        struct sched_entity *e = list_entry(link, struct sched_entity, costop_link);
        struct sched_entity *slow;
        plat_ns lead = lead_of(e, m->now, &slow);

        next = link->next;
        if (lead >= most && !off)
            continue;
        list_remove(&e->costop_link);
        m->counters.costarts++;
        machine_tell(m, &(struct sched_event){.kind = SCHED_EVENT_COSTART,
                                              .id = e->node.id,
                                              .a = (uint32_t)(lead / 1000)});
        machine_make_ready(m, e, WAKE_REASON_EVENT);
    }
}

/*
 * When a running vCPU has to be looked at again: each poll, and at the instant in which its
 * lead would reach the threshold if the slowest stood still.
 */
static plat_ns look_again(const struct sched_machine *m, const struct sched_entity *e)
{
    struct sched_entity *slow;
    plat_ns most = stop_at(m);
    plat_ns lead = lead_of(e, m->now, &slow);
    plat_ns rest = lead < most ? most - lead : 1;

    return m->now + MIN(rest, tune(m, SCHED_TUNABLE_COSCHED_POLL));
}

void cosched_stalled(struct sched_machine *m, struct sched_entity *e)
{
    if (mode_of(m) != COSCHED_RELAXED || !cosched_applies(m, e))
        return;
    for (uint64_t rest = e->node.parent->running; rest; rest &= rest - 1) {
        uint32_t cpu = (uint32_t)__builtin_ctzll(rest);

        if (cpu != m->input_cpu && m->cpu[cpu].deadline > look_again(m, m->cpu[cpu].current))
            machine_kick(m, cpu);
    }
}

void cosched_decided(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct sched_entity *e = c->woken ? sched_entity_find(m, c->woken) : NULL;

    c->woken = 0;
    if (e && e->queued)
        cosched_stalled(m, e);
}

void cosched_woken(struct sched_machine *m, uint32_t cpu, struct sched_entity *e)
{
    if (mode_of(m) != COSCHED_RELAXED || !cosched_applies(m, e))
        return;
    cosched_decided(m, cpu);  // another before it
    m->cpu[cpu].woken = e->node.id;
}

plat_ns cosched_next(const struct sched_machine *m, const struct sched_entity *e)
{
    if (mode_of(m) != COSCHED_RELAXED || !cosched_applies(m, e))
        return PLAT_NS_NEVER;
    return e->node.parent->stalled ? look_again(m, e) : PLAT_NS_NEVER;
}

/* ---- turns ---- */

/*
 * A CPU for a ready sibling on which it would run at once, or SCHED_NO_CPU: its own, an idle
 * one, or one whose current entity is not more due than it by a granularity. Strict: any,
 * whoever is due.
 */
static uint32_t turn_cpu(struct sched_machine *m, struct sched_entity *o, uint64_t taken)
{
    uint64_t room = o->affinity & m->online & ~taken;
    uint64_t first = room & BIT(o->cpu) ? BIT(o->cpu) : 0;
    unsigned looked = 0;

    if (mode_of(m) == COSCHED_STRICT && first)
        return o->cpu;
    if (!first || !(m->idle & first))
        first |= room & m->idle ? 1ull << __builtin_ctzll(room & m->idle) : 0;
    for (uint64_t rest = room; rest && looked < TURN_CPUS_MAX; looked++) {
        uint64_t preferred = rest & first ? rest & first : rest;
        uint32_t cpu = preferred & BIT(o->cpu) ? o->cpu : (uint32_t)__builtin_ctzll(preferred);
        struct sched_cpu *c = &m->cpu[cpu];

        rest &= ~BIT(cpu);
        if (c->forced || (c->kicked && !c->current->idle))
            continue;
        if (c->current->idle || mode_of(m) == COSCHED_STRICT)
            return cpu;
        machine_charge(m, cpu);
        /* A granularity less due does not matter: it will have to pay for it as well. */
        if (!m->policy->before(m, c->current, o, tune(m, SCHED_TUNABLE_GRANULARITY)))
            return cpu;
    }
    return SCHED_NO_CPU;
}

/* Calls for the ready siblings of a vCPU that begins a turn. */
static void call_siblings(struct sched_machine *m, struct sched_pool *vm, uint64_t taken)
{
    for (struct list *link = vm->runnable.next, *next; link != &vm->runnable; link = next) {
        struct sched_entity *o = list_entry(link, struct sched_entity, runnable_link);
        uint32_t cpu;

        next = link->next;
        if (!o->queued || m->cpu[o->cpu].forced == o)
            continue;
        cpu = turn_cpu(m, o, taken | vm->running);
        if (cpu == SCHED_NO_CPU)
            continue;
        taken |= BIT(cpu);
        place_move(m, o, cpu, MIGRATE_KIND_PUSH);
        m->cpu[cpu].forced = o;
        m->idle &= ~BIT(cpu);
        machine_kick(m, cpu);
    }
    vm->turn_cpus = taken;
}

plat_ns cosched_turn(struct sched_machine *m, uint32_t cpu, struct sched_entity *e, plat_ns end)
{
    struct sched_pool *vm = e->node.parent;
    enum cosched_mode mode = mode_of(m);
    bool begins = vm->turn_until <= m->now;

    if (mode == COSCHED_NONE || !cosched_applies(m, e) ||
        (mode == COSCHED_RELAXED && !tune(m, SCHED_TUNABLE_COALIGN)))
        return end;
    if (begins) {
        vm->turn_until = mode == COSCHED_STRICT ? m->now + tune(m, SCHED_TUNABLE_QUANTUM) : end;
        vm->turn_cpus = 0;
    }
    call_siblings(m, vm, vm->turn_cpus | BIT(cpu));
    return vm->turn_until;
}
