// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/cosched.c -- the vCPUs of a VM together: relaxed co-scheduling, and strict gangs to compare.
 *
 * A guest kernel spins for a lock whose holder it believes to be running. If the holder's vCPU waits
 * for a CPU, the others burn theirs. So no vCPU may get far ahead of the slowest.
 *
 * Relaxed: each vCPU has a progress: time it ran, or had nothing to do. One that is `costop` ahead of its
 * slowest sibling stops itself (COSTOP) and hands its CPU to that sibling if it can; when the lead has
 * shrunk to `costart` it may go on. Nobody else is stopped for it.
 *
 *     lead of a vCPU over its slowest sibling
 *       costop  ─ ─ ─ ─ ─╱╲─ ─ ─ ─   stops itself
 *                       ╱  ╲
 *       costart ─ ─ ─ ╱─ ─ ╲─ ─ ─    goes on
 *
 * Who counts as a sibling to wait for: those who want to make progress: run, ready, held back, or in the
 * middle of I/O or swap. A halted guest CPU does not: waiting is its progress, it is nobody's measure,
 * and when it wakes up it starts no further back than the slowest and no more than costart ahead.
 *
 * Strict (cosched=2): when one vCPU is chosen all that want to run are put on CPUs of their own for
 * one slot. It wastes what does not fit, and is there to measure the other against.
 *
 * Invariants
 *   - The slowest never stops, so somebody always goes on; when it cannot be run at all
 *     (a limit), all of the VM are held back by the same limit.
 *   - Lead <= costop + cosched-poll while it runs: a running vCPU with a stalled sibling looks each
 *     cosched-poll (cosched_next(), cosched_stalled()).
 *   - costop_link is on the VM's list exactly in state COSTOP.
 * Locking    the caller's. Cost: O(vCPUs of the VM) per look.
 * Start at   cosched_stop(), cosched_start().
 * Sources    docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

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
    e->progress = progress_at(e, m->now);
    if (slowest(e, m->now, &least)) {
        e->progress = MAX(e->progress, least);
        e->progress = MIN(e->progress, least + tune(m, SCHED_TUNABLE_COSTART));
    }
    /* machine_state() will book the wait once more: take it off here. */
    e->progress -= MIN(e->progress, m->now - e->since);
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
    plat_ns most = tune(m, SCHED_TUNABLE_COSTOP);

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

void cosched_stalled(struct sched_machine *m, struct sched_entity *e)
{
    plat_ns soon = m->now + tune(m, SCHED_TUNABLE_COSCHED_POLL);

    if (mode_of(m) != COSCHED_RELAXED || !cosched_applies(m, e))
        return;
    for (uint64_t rest = e->node.parent->running; rest; rest &= rest - 1) {
        uint32_t cpu = (uint32_t)__builtin_ctzll(rest);

        if (cpu != m->input_cpu && m->cpu[cpu].deadline > soon)
            machine_kick(m, cpu);
    }
}

plat_ns cosched_next(const struct sched_machine *m, const struct sched_entity *e)
{
    if (mode_of(m) != COSCHED_RELAXED || !cosched_applies(m, e))
        return PLAT_NS_NEVER;
    return e->node.parent->stalled ? m->now + tune(m, SCHED_TUNABLE_COSCHED_POLL)
                                   : PLAT_NS_NEVER;
}

/* ---- strict gangs ---- */

/* A CPU of its own for a sibling: where it is, an idle one, the least that is free. */
static uint32_t gang_cpu(const struct sched_machine *m, const struct sched_entity *e,
                         uint64_t taken)
{
    uint64_t room = e->affinity & m->online & ~taken;

    if (!room)
        return SCHED_NO_CPU;
    if (room & BIT(e->cpu))
        return e->cpu;
    return (uint32_t)__builtin_ctzll(room & m->idle ? room & m->idle : room);
}

plat_ns cosched_gang(struct sched_machine *m, uint32_t cpu, struct sched_entity *e)
{
    struct sched_pool *vm = e->node.parent;

    if (mode_of(m) != COSCHED_STRICT || !cosched_applies(m, e))
        return 0;
    if (vm->gang_until <= m->now) {
        vm->gang_until = m->now + tune(m, SCHED_TUNABLE_QUANTUM);
        vm->gang_cpus = 0;
    }
    vm->gang_cpus |= BIT(cpu);
    for (struct list *link = vm->runnable.next, *next; link != &vm->runnable; link = next) {
        struct sched_entity *o = list_entry(link, struct sched_entity, runnable_link);
        uint32_t to;

        next = link->next;
        if (!o->queued || m->cpu[o->cpu].forced == o)
            continue;
        to = gang_cpu(m, o, vm->gang_cpus | vm->running);
        if (to == SCHED_NO_CPU)
            continue;
        place_move(m, o, to, MIGRATE_KIND_PUSH);
        vm->gang_cpus |= BIT(to);
        m->cpu[to].forced = o;
        m->idle &= ~BIT(to);
        machine_kick(m, to);
    }
    return vm->gang_until;
}
