// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/sched.c -- the mechanism: who may run where, switches, exact accounting.
 *
 * A world becomes ready on one CPU: an idle one if there is any, else the one it last ran on. CPUs
 * correct that by pulling: one that runs out of work, and every CPU at the end of each quantum,
 * looks at the keys the other queues publish and takes their first world if it should run before
 * its own. So all queues together behave like one, without a lock they all share.
 *
 * Interrupts never switch in the middle: whoever wants a switch sets need_switch and kicks the CPU;
 * the switch happens at the end of that interrupt, in sched_irq_exit(), or when a world blocks.
 *
 * Invariants
 *   - run + ready + wait = now - created for every world, to the nanosecond (asserted in
 *     sched_state_set()).
 *   - Each CPU has one current world, state RUNNING; the idle world is READY when it is not that.
 *   - The queue lock is held across plat_context_switch() and dropped by sched_arrived().
 *   - Nobody switches holding another lock (asserted in switch_locked()).
 * Locking    run_queue.lock (rank RUNQ); idle and online masks are atomic hints.
 * Start at   sched_ready() and switch_locked().
 * Sources    docs/design/scheduler.md
 */
#include "sched/sched.h"

#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "core/timer.h"
#include "lib/string.h"
#include "sched/runq.h"

/* A world elsewhere must be this much further behind than the best here to be worth a move. */
#define PULL_SLACK (SCHED_QUANTUM_NS / 2)

HOST_STATE(sched);

static void on_kick(void)
{
    /* Nothing: that the CPU took the interrupt is the message. */
}

static void on_quantum_over(void)
{
    struct run_queue *q = runq_own();

    q->quantum_over = true;
    __atomic_store_n(&q->need_switch, true, __ATOMIC_RELAXED);
}

void sched_init(void)
{
    static const struct sched_policy *const policies[] = {&sched_policy_share,
                                                          &sched_policy_rr};
    static const struct plat_handlers handlers = {
        .timer = timer_interrupt,
        .kick = on_kick,
        .irq_exit = sched_irq_exit,
    };
    struct sched_state *sched = this_host()->sched;
    char name[16];

    sched->policy = policies[0];
    if (core_option("sched", name, sizeof(name))) {
        const struct sched_policy *found = NULL;

        for (unsigned i = 0; i < ARRAY_COUNT(policies); i++) {
            if (!strcmp(policies[i]->name, name))
                found = policies[i];
        }
        if (found)
            sched->policy = found;
        else
            vmk_log(VMK_LOG_WARN, "Sched: no policy %s, using %s", name, sched->policy->name);
    }
    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++) {
        runq_init(&sched->queues[i], i);
        sched->policy->init(&sched->queues[i]);
    }
    timer_quantum_hook(on_quantum_over);
    plat_handlers_set(&handlers);
    vmk_log(VMK_LOG_INFO, "Sched: policy %s, quantum %llu ms", sched->policy->name,
            SCHED_QUANTUM_NS / 1000000ull);
}

void sched_state_set(struct world *w, enum world_phase state, plat_ns now)
{
    plat_ns passed = now - w->times_until;

    switch (w->state) {
    case WORLD_RUNNING: w->times.run += passed; break;
    case WORLD_NEW:
    case WORLD_READY: w->times.ready += passed; break;
    case WORLD_BLOCKED:
    case WORLD_ZOMBIE: w->times.wait += passed; break;
    }
    w->times_until = now;
    w->state = state;
    vmk_assert(w->times.run + w->times.ready + w->times.wait == now - w->times.created);
}

/* The current world pays for what it ran. Lock held. */
static void charge(struct run_queue *q, plat_ns now)
{
    struct world *w = q->current;

    if (w != q->idle) {
        this_host()->sched->policy->charge(q, w, now - q->charged_until);
        q->high = MAX(q->high, w->sched.virtual_time);
    }
    q->charged_until = now;
}

/* Where the worlds that run now are in virtual time; when none runs, the furthest anybody got. */
static uint64_t virtual_floor(const struct sched_state *sched)
{
    uint64_t floor = RUNQ_KEY_NONE;
    uint64_t high = 0;

    for (unsigned i = 0, count = plat_cpu_count(); i < count; i++) {
        const struct run_queue *q = &sched->queues[i];

        floor = MIN(floor, __atomic_load_n(&q->current_key, __ATOMIC_RELAXED));
        high = MAX(high, __atomic_load_n(&q->high, __ATOMIC_RELAXED));
    }
    return floor == RUNQ_KEY_NONE ? high : floor;
}

/* Puts a READY world on the queue. Lock held. */
static void enqueue(struct run_queue *q, struct world *w, plat_ns now, bool woken)
{
    struct sched_state *sched = this_host()->sched;

    q->floor = virtual_floor(sched);
    sched->policy->ready(q, w, now, woken);
}

/* The other CPU whose first world is furthest behind `limit`, or null. No lock needed. */
static struct run_queue *busiest(struct sched_state *sched, const struct run_queue *own,
                                 uint64_t limit)
{
    struct run_queue *best = NULL;

    for (unsigned i = 0, count = plat_cpu_count(); i < count; i++) {
        struct run_queue *q = &sched->queues[i];
        uint64_t key = runq_key(q);

        if (q != own && key < limit) {
            limit = key;
            best = q;
        }
    }
    return best;
}

/*
 * Moves the best foreign world to this queue if it beats the own ones. A queue whose lock is busy
 * is left alone: two CPUs that wait for each other's lock would wait for ever. Lock held.
 */
static void pull(struct sched_state *sched, struct run_queue *q, plat_ns now)
{
    uint64_t own = runq_key(q);
    uint64_t limit = own == RUNQ_KEY_NONE ? own : own - MIN(own, PULL_SLACK);
    struct run_queue *from = busiest(sched, q, limit);

    if (!from || !spin_try_lock_irqs_off(&from->lock))
        return;

    struct world *w = runq_first_allowed(from, q->cpu);

    if (w && w->sched.node.key < limit) {
        sched->policy->leave(from, w);
        __atomic_store_n(&w->cpu, q->cpu, __ATOMIC_RELAXED);
        enqueue(q, w, now, false);
    }
    spin_unlock_irqs_off(&from->lock);
}

static void idle_mark(struct sched_state *sched, const struct run_queue *q, bool idle)
{
    if (idle)
        __atomic_fetch_or(&sched->idle, BIT(q->cpu), __ATOMIC_SEQ_CST);
    else if (__atomic_load_n(&sched->idle, __ATOMIC_RELAXED) & BIT(q->cpu))
        __atomic_fetch_and(&sched->idle, ~BIT(q->cpu), __ATOMIC_SEQ_CST);
}

/* Somebody here waits while a CPU idles: wake one, it will pull. Lock held. */
static void wake_puller(struct sched_state *sched, const struct run_queue *q)
{
    uint64_t idle = __atomic_load_n(&sched->idle, __ATOMIC_RELAXED) & ~BIT(q->cpu);

    if (idle && runq_key(q) != RUNQ_KEY_NONE)
        plat_cpu_kick((unsigned)__builtin_ctzll(idle));
}

/*
 * Picks the next world and switches to it. The current world has been charged, has its new state,
 * and is on the queue if that is READY. Lock held; returns, perhaps much later and on another CPU,
 * with that CPU's queue lock held.
 */
static void switch_locked(struct run_queue *q, plat_ns now)
{
    struct sched_state *sched = this_host()->sched;
    struct world *prev = q->current;

    vmk_assert(spin_held_count() == 1);
    __atomic_store_n(&q->need_switch, false, __ATOMIC_RELAXED);
    if (q->quantum_over || runq_key(q) == RUNQ_KEY_NONE)
        pull(sched, q, now);
    q->quantum_over = false;

    struct world *next = sched->policy->pick(q, now);
    bool idle = !next;

    if (idle)
        next = q->idle;
    else
        wake_puller(sched, q);
    idle_mark(sched, q, idle);
    __atomic_store_n(&q->current_key, idle ? RUNQ_KEY_NONE : next->sched.virtual_time,
                     __ATOMIC_RELAXED);
    timer_quantum_arm(idle ? PLAT_NS_NEVER : now + SCHED_QUANTUM_NS);
    sched_state_set(next, WORLD_RUNNING, now);
    if (next == prev)
        return;

    next->times.switches++;
    q->current = next;
    if (prev->switch_out)
        prev->switch_out(prev);
    if (next->switch_in)
        next->switch_in(next);
    plat_context_switch(&prev->context, &next->context);
}

void sched_arrived(void)
{
    spin_unlock_irqs_off(&runq_own()->lock);
}

void sched_current_stop(enum world_phase state)
{
    struct run_queue *q = runq_own();

    spin_lock_irqs_off(&q->lock);

    plat_ns now = plat_time_now();

    vmk_assert(q->current != q->idle);
    charge(q, now);
    sched_state_set(q->current, state, now);
}

void sched_switch_away(void)
{
    struct run_queue *q = runq_own();

    switch_locked(q, q->charged_until);
    sched_arrived();
}

/* Lets somebody else run if he should; the current world stays ready. Irqs off. */
static void reschedule(void)
{
    struct run_queue *q = runq_own();

    spin_lock_irqs_off(&q->lock);

    plat_ns now = plat_time_now();

    charge(q, now);
    sched_state_set(q->current, WORLD_READY, now);
    if (q->current != q->idle)
        enqueue(q, q->current, now, false);
    switch_locked(q, now);
    sched_arrived();
}

void sched_irq_exit(void)
{
    struct run_queue *q = runq_own();

    if (__builtin_expect(!__atomic_load_n(&q->need_switch, __ATOMIC_RELAXED), 1) || !q->current)
        return;
    reschedule();
}

bool sched_need_switch(void)
{
    return __atomic_load_n(&runq_own()->need_switch, __ATOMIC_RELAXED);
}

void world_yield(void)
{
    bool irqs = plat_irq_save();

    reschedule();
    plat_irq_restore(irqs);
}

/* A CPU for a world that becomes ready. Claims an idle one, so that the next caller sees another. */
static unsigned choose_cpu(struct sched_state *sched, const struct world *w)
{
    uint64_t allowed = w->affinity & __atomic_load_n(&sched->online, __ATOMIC_RELAXED);
    uint64_t idle = __atomic_load_n(&sched->idle, __ATOMIC_RELAXED) & allowed;
    unsigned cpu = w->cpu;

    vmk_assert_msg(allowed, "world %u may run nowhere", w->id.raw);
    if (idle) {
        if (!(idle & BIT(cpu)))
            cpu = (unsigned)__builtin_ctzll(idle);
        __atomic_fetch_and(&sched->idle, ~BIT(cpu), __ATOMIC_SEQ_CST);
        return cpu;
    }
    if (w->times.switches && (allowed & BIT(cpu)))
        return cpu;

    /* Its first time, or banned from where it was: the shortest queue. */
    uint32_t shortest = UINT32_MAX;

    for (; allowed; allowed &= allowed - 1) {
        unsigned i = (unsigned)__builtin_ctzll(allowed);
        uint32_t length = __atomic_load_n(&sched->queues[i].ready.count, __ATOMIC_RELAXED);

        if (length < shortest) {
            shortest = length;
            cpu = i;
        }
    }
    return cpu;
}

void sched_ready(struct world *w)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = plat_irq_save();
    struct run_queue *q = runq_lock_of(w);

    vmk_assert(w->state == WORLD_NEW || w->state == WORLD_BLOCKED);
    sched_state_set(w, WORLD_READY, plat_time_now());

    /* READY but on no queue is ours alone, so the lock may drop in between. */
    unsigned target = choose_cpu(sched, w);

    if (target != q->cpu) {
        __atomic_store_n(&w->cpu, target, __ATOMIC_RELAXED);
        spin_unlock_irqs_off(&q->lock);
        q = &sched->queues[target];
        spin_lock_irqs_off(&q->lock);
    }

    plat_ns now = plat_time_now();

    charge(q, now);
    enqueue(q, w, now, true);
    if (sched->policy->preempts(q, w, q->current)) {
        __atomic_store_n(&q->need_switch, true, __ATOMIC_RELAXED);
        /* The own idle loop looks before it waits; everybody else needs an interrupt. */
        if (target != plat_cpu_self() || q->current != q->idle)
            plat_cpu_kick(target);
    }
    spin_unlock_irqs_off(&q->lock);
    plat_irq_restore(irqs);
}

void sched_cpu_online(struct world *idle)
{
    struct sched_state *sched = this_host()->sched;
    struct run_queue *q = runq_own();

    spin_lock_irqs_off(&q->lock);
    q->idle = idle;
    q->current = idle;
    q->charged_until = plat_time_now();
    spin_unlock_irqs_off(&q->lock);
    __atomic_fetch_or(&sched->online, BIT(q->cpu), __ATOMIC_SEQ_CST);
}

void sched_idle_once(void)
{
    struct sched_state *sched = this_host()->sched;
    struct run_queue *q = runq_own();

    if (sched_need_switch() || busiest(sched, q, RUNQ_KEY_NONE))
        reschedule();
    idle_mark(sched, q, true);
    if (!sched_need_switch())
        plat_cpu_idle();
}
