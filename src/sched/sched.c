// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/sched.c -- the mechanism: the machine's lock, and its decisions made real.
 *
 * All that is decided is decided by the state machine (machine.h). This file gives it inputs,
 * in an order and at times that it records, and does what comes out: switches contexts, kicks
 * CPUs, arms timers.
 *
 * Interrupts never switch in the middle: whoever wants a switch sets need_switch and kicks the
 * CPU; the switch happens at the end of that interrupt, in sched_irq_exit(), or when a world
 * blocks.
 *
 *      sched_ready() ── WAKE ──┐                        ┌─► kick: need_switch + plat_cpu_kick()
 *      block, exit ── BLOCK ───┤   lock, now, record,   ├─► deadline: timer_quantum_arm()
 *      timer ──────── TIMER ───┼─► sched_step() ────────┤
 *      kicked ────── RESCHED ──┘                        └─► next: plat_context_switch()
 *
 * Invariants
 *   - Each input has the next sequence number and a time not below the last, both taken under
 *     the lock; the records of its decisions stand right behind its own.
 *   - local.current is the world of machine.cpu[].current whenever the lock is free.
 *   - The lock is held across plat_context_switch() and dropped by sched_arrived(): whoever has
 *     it knows that no world is half switched.
 *   - Nobody switches holding another lock (asserted in switch_to()).
 * Locking    sched_state.lock (rank RUNQ): one per host, docs/adr/0002.
 * Start at   sched_tell_locked(), reschedule().
 * Sources    docs/design/scheduler.md
 */
#include "sched/sched.h"

#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "core/timer.h"
#include "core/trace_control.h"
#include "lib/format.h"
#include "sched/sched_internal.h"
#include "world/world_internal.h"

HOST_STATE(sched);

/* ---- the machine's surroundings ---- */

/* What was decided becomes a record, field by field. */
static void observe(void *context, const struct sched_event *e, plat_ns now)
{
    (void)context;
    switch ((enum sched_event_kind)e->kind) {
    case SCHED_EVENT_SWITCH:
        TRACE_AT(now, sched_switch, .prev_tid = e->id, .next_tid = e->other,
                 .prev_state = (uint16_t)e->state, .cost = (uint16_t)e->a, .ran_us = e->b);
        break;
    case SCHED_EVENT_MIGRATE:
        TRACE_AT(now, sched_migrate, .tid = e->id, .src = (uint16_t)e->src,
                 .dst = (uint16_t)e->dst, .kind = (uint16_t)e->state, .cost = e->a);
        break;
    case SCHED_EVENT_STATE:
        TRACE_AT(now, sched_state, .tid = e->id, .state = (uint16_t)e->state,
                 .sub = (uint16_t)e->a);
        break;
    case SCHED_EVENT_COSTOP: TRACE_AT(now, sched_costop, .tid = e->id, .skew_us = e->a); break;
    case SCHED_EVENT_COSTART:
        TRACE_AT(now, sched_costart, .tid = e->id, .skew_us = e->a);
        break;
    }
}

static void record_input(struct sched_state *sched, const struct sched_input *in, plat_ns now)
{
    uint32_t sequence = sched->sequence++;

    if (in->value)
        TRACE_AT(now, sched_input_wide, .seq = sequence, .op = (uint16_t)in->op,
                 .small = (uint16_t)in->small, .id = in->id, .arg = in->arg,
                 .value = in->value);
    else
        TRACE_AT(now, sched_input, .seq = sequence, .op = (uint16_t)in->op,
                 .small = (uint16_t)in->small, .id = in->id, .arg = in->arg);
}

static void kick(struct sched_state *sched, unsigned cpu)
{
    bool self = cpu == plat_cpu_self();

    __atomic_store_n(&sched->flags[cpu].need_switch, true, __ATOMIC_RELAXED);
    /* The own idle loop looks before it waits; everybody else needs an interrupt. */
    if (self && sched->local[cpu].current == sched->local[cpu].idle)
        return;
    TRACE(ipi, .target = cpu, .kind = RECORD_ipi_kind_RESCHED);
    plat_cpu_kick(cpu);
}

/*
 * One input of this CPU, and who is kicked for it: all of its decision but the switch and the
 * deadline.
 * Whoever makes the last input of a row calls deadline_arm(). Lock held.
 */
static struct sched_decision step_one(struct sched_state *sched, struct sched_input *in,
                                      plat_ns now)
{
    struct sched_decision d;

    in->cpu = plat_cpu_self();
    record_input(sched, in, now);
    d = sched_step(&sched->machine, in, now);
    for (uint64_t rest = d.kick; rest; rest &= rest - 1)
        kick(sched, (unsigned)__builtin_ctzll(rest));
    return d;
}

/*
 * What interrupts of this CPU did for others, before anything else is decided here. Lock held.
 */
static void tell_service(struct sched_state *sched, plat_ns now)
{
    struct sched_service *s = &sched_own()->service;

    for (uint32_t i = 0; i < s->count; i++) {
        struct sched_input in = {.op = SCHED_OP_SYSTEM_TIME,
                                 .id = s->owed[i].id,
                                 .arg = (uint32_t)MIN(s->owed[i].ns, (plat_ns)UINT32_MAX)};

        (void)step_one(sched, &in, now);  // NOT_FOUND: it has ended since
    }
    s->count = 0;
}

/* When this CPU has to think again, as last decided. Lock held. */
static void deadline_arm(struct sched_state *sched)
{
    unsigned cpu = plat_cpu_self();
    plat_ns deadline = sched->machine.cpu[cpu].deadline;

    if (deadline != sched->local[cpu].armed) {
        sched->local[cpu].armed = deadline;
        timer_quantum_arm(deadline);
    }
}

struct sched_decision sched_tell_locked(struct sched_state *sched, struct sched_input in)
{
    plat_ns now = MAX(plat_time_now(), sched->machine.now);
    struct sched_decision d;

    if (__builtin_expect(sched_own()->service.count != 0, 0))
        tell_service(sched, now);
    d = step_one(sched, &in, now);
    deadline_arm(sched);
    return d;
}

void sched_service_tell(void)
{
    struct sched_state *sched = this_host()->sched;

    spin_lock_irqs_off(&sched->lock);
    tell_service(sched, MAX(plat_time_now(), sched->machine.now));
    deadline_arm(sched);  // this CPU refills what limits this emptied, and may idle now
    spin_unlock_irqs_off(&sched->lock);
}

vmk_status sched_tell(struct sched_input in)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    vmk_status status = sched_tell_locked(sched, in).status;

    spin_unlock(&sched->lock, irqs);
    return status;
}

static void on_kick(void)
{
    /* Nothing: that the CPU left its guest or its idle loop is the message. */
}

static void on_deadline(void)
{
    struct sched_state *sched = this_host()->sched;
    unsigned cpu = plat_cpu_self();

    sched->local[cpu].armed = PLAT_NS_NEVER;
    sched->flags[cpu].timer_due = true;
    __atomic_store_n(&sched->flags[cpu].need_switch, true, __ATOMIC_RELAXED);
}

/* ---- bring-up ---- */

/* sched=POLICY and sched.TUNABLE=VALUE of the boot command line. */
static void read_options(struct sched_state *sched)
{
    char value[24];

    if (core_option("sched", value, sizeof(value))) {
        enum sched_policy_id policy = sched_policy_by_name(value);

        if (policy == SCHED_POLICY_COUNT)
            vmk_log(VMK_LOG_WARN, "Sched: no policy %s, using %s", value,
                    sched_policy_name(SCHED_POLICY_SHARE));
        else
            (void)!sched_set_policy(policy);
    }
    for (unsigned i = 0; i < SCHED_TUNABLE_COUNT; i++) {
        char key[40];
        const char *end;
        uint64_t number;

        vmk_snprintf(key, sizeof(key), "sched.%s", sched_tunable_name((enum sched_tunable)i));
        if (!core_option(key, value, sizeof(value)))
            continue;
        if (!parse_u64(value, &end, &number) || *end ||
            sched_set_tunable((enum sched_tunable)i, number) != VMK_OK)
            vmk_log(VMK_LOG_WARN, "Sched: %s=%s is out of range, using %llu", key, value,
                    (unsigned long long)sched->machine.tunable[i]);
    }
}

void sched_init(void)
{
    static const struct plat_handlers handlers = {
        .timer = timer_interrupt,
        .kick = on_kick,
        .irq_exit = sched_irq_exit,
        .irq_enter = sched_irq_enter,
        .irq_leave = sched_irq_leave,
    };
    struct sched_state *sched = this_host()->sched;
    uint64_t mhz = plat_tsc_khz() / 1000;

    spin_init(&sched->lock, "sched", LOCK_RANK_RUNQ);
    sched_machine_init(&sched->machine, plat_cpu_count());
    sched->machine.observer.event = observe;
    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++)
        sched->local[i].armed = PLAT_NS_NEVER;
    TRACE(world_name, .id = SCHED_ROOT_ID, .kind = RECORD_name_kind_POOL,
          .name = trace_text16("host"));
    for (unsigned i = 0; i < plat_cpu_count(); i++) {
        const struct plat_cpu_place at = plat_cpu_place(i);
        vmk_status status = sched_tell(
            (struct sched_input){.op = SCHED_OP_TOPOLOGY,
                                 .small = i,
                                 .id = at.core | (uint32_t)at.llc << 16,
                                 .arg = at.package | (uint32_t)at.node << 16,
                                 .value = mhz ? MIN(mhz, 1000000ull) : SCHED_MHZ_DEFAULT});

        vmk_assert(status == VMK_OK);
    }
    read_options(sched);
    timer_quantum_hook(on_deadline);
    plat_handlers_set(&handlers);
    trace_env_set("policy", sched_policy_name(sched_policy_now()));
    vmk_log(VMK_LOG_INFO, "Sched: policy %s, quantum %llu us, %u MHz each CPU",
            sched_policy_name(sched_policy_now()),
            (unsigned long long)(sched->machine.tunable[SCHED_TUNABLE_QUANTUM] / 1000),
            sched->machine.reference_mhz);
}

void sched_cpu_online(struct world *idle)
{
    struct sched_state *sched = this_host()->sched;
    struct sched_local *own = sched_own();

    spin_lock_irqs_off(&sched->lock);
    own->idle = idle;
    own->current = idle;

    vmk_status status = sched_tell_locked(sched, (struct sched_input){.op = SCHED_OP_CPU_ONLINE,
                                                                      .id = idle->id.raw})
                            .status;

    vmk_assert(status == VMK_OK);
    spin_unlock_irqs_off(&sched->lock);
}

/* ---- switches ---- */

static struct world *world_of(struct sched_local *own, struct sched_entity *e)
{
    return e->idle ? own->idle : container_of(e, struct world, sched);
}

/*
 * The machine has switched this CPU to `next`; now the contexts do. Lock held; returns, perhaps
 * much later and on another CPU, with the lock held.
 */
static void switch_to(struct sched_entity *entity)
{
    struct sched_local *own = sched_own();
    struct world *prev = own->current;
    struct world *next = world_of(own, entity);

    if (next == prev)
        return;
    vmk_assert_msg(!prev->stack || *(const uint64_t *)prev->stack == WORLD_STACK_MARK,
                   "the stack of %s ran over", prev->name);
    vmk_assert(spin_held_count() == 1);
    own->current = next;
    if (prev->switch_out)
        prev->switch_out(prev);
    if (next->switch_in)
        next->switch_in(next);
    plat_context_switch(&prev->context, &next->context);
}

void sched_arrived(void)
{
    spin_unlock_irqs_off(&this_host()->sched->lock);
}

void sched_current_stop(enum sched_world_state state)
{
    struct sched_state *sched = this_host()->sched;
    struct sched_local *own = sched_own();

    spin_lock_irqs_off(&sched->lock);
    __atomic_store_n(&sched->flags[plat_cpu_self()].need_switch, false, __ATOMIC_RELAXED);
    vmk_assert(own->current != own->idle);

    struct sched_decision d = sched_tell_locked(
        sched,
        (struct sched_input){.op = state == SCHED_STATE_ZOMBIE ? SCHED_OP_EXIT : SCHED_OP_BLOCK,
                             .small = state == SCHED_STATE_ZOMBIE ? 0 : (uint32_t)state,
                             .id = own->current->id.raw});

    vmk_assert(d.status == VMK_OK);
    own->next = d.next;
}

void sched_switch_away(void)
{
    switch_to(sched_own()->next);
    sched_arrived();
}

/* Lets the machine think about this CPU. Irqs off. */
static void reschedule(enum sched_op op)
{
    struct sched_state *sched = this_host()->sched;
    unsigned cpu = plat_cpu_self();

    spin_lock_irqs_off(&sched->lock);

    struct sched_local *own = &sched->local[cpu];

    __atomic_store_n(&sched->flags[cpu].need_switch, false, __ATOMIC_RELAXED);
    sched->flags[cpu].timer_due = false;
    if (op == SCHED_OP_YIELD && own->current == own->idle)
        op = SCHED_OP_RESCHED;

    struct sched_decision d = sched_tell_locked(
        sched,
        (struct sched_input){.op = op, .id = op == SCHED_OP_YIELD ? own->current->id.raw : 0});

    vmk_assert(d.status == VMK_OK);
    switch_to(d.next);
    sched_arrived();
}

void sched_irq_exit(void)
{
    const struct sched_state *sched = this_host()->sched;
    unsigned cpu = plat_cpu_self();

    if (__builtin_expect(!__atomic_load_n(&sched->flags[cpu].need_switch, __ATOMIC_RELAXED),
                         1) ||
        !sched->local[cpu].current)
        return;
    reschedule(sched->flags[cpu].timer_due ? SCHED_OP_TIMER : SCHED_OP_RESCHED);
}

void world_yield(void)
{
    bool irqs = plat_irq_save();
    const struct sched_flags *flags = &this_host()->sched->flags[plat_cpu_self()];

    /* Somebody wants a decision here: that is not the world's own wish to step back. */
    if (__atomic_load_n(&flags->need_switch, __ATOMIC_RELAXED))
        reschedule(flags->timer_due ? SCHED_OP_TIMER : SCHED_OP_RESCHED);
    else
        reschedule(SCHED_OP_YIELD);
    plat_irq_restore(irqs);
}

void sched_idle_once(void)
{
    if (sched_need_switch())
        reschedule(SCHED_OP_RESCHED);
    if (!sched_need_switch())
        plat_cpu_idle();
}

/* ---- worlds ---- */

void sched_ready(struct world *w, enum wake_reason reason)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    const struct sched_local *own = sched_own();
    bool inside =
        reason == WAKE_REASON_EVENT || reason == WAKE_REASON_NEW || reason == WAKE_REASON_KILL;
    uint32_t waker =
        inside && own->current && own->current != own->idle ? own->current->id.raw : 0;
    struct sched_decision d =
        sched_tell_locked(sched, (struct sched_input){.op = SCHED_OP_WAKE,
                                                      .small = reason,
                                                      .id = w->id.raw,
                                                      .arg = waker,
                                                      .storage = &w->sched});

    vmk_assert(d.status == VMK_OK);
    sched_service_for(w->id.raw, sched->machine.now);
    TRACE_AT(sched->machine.now, sched_waking, .tid = w->id.raw, .waker = waker,
             .target_cpu = (uint16_t)d.target, .reason = (uint16_t)reason);
    spin_unlock(&sched->lock, irqs);
}
