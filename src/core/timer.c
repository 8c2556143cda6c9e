// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/timer.c -- software timers over one hardware timer per CPU.
 *
 * Each CPU has a list sorted by deadline. Sorting on insert costs O(n), but n is the few
 * sleepers and devices of one CPU, and the common new deadline is the latest, so the walk
 * starts at the tail. The scheduler's quantum has a slot of its own, because it is set on every
 * switch under the scheduler's lock, where the timer lock is out of order.
 *
 * The hardware is only re-armed when the new deadline is earlier. An interrupt that comes too
 * early finds nothing due and arms the next; that is cheaper than a write to the timer on every
 * switch.
 *
 * Invariants
 *   - hardware <= every deadline in the list and <= quantum (arm_no_later()).
 *   - A timer is on a list exactly when `armed`, on the list of CPU `cpu`.
 *   - timer_running is the timer whose callback runs now, and nobody frees it until it returns.
 * Locking    cpus[].timer_lock (rank TIMER); quantum and hardware: own CPU, irqs off.
 */
#include "core/timer.h"

#include "core/assert.h"
#include "core/core_internal.h"
#include "core/trace.h"
#include "plat/plat.h"

void core_timer_init(void)
{
    struct core_state *core = this_host()->core;

    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++) {
        struct core_cpu *cpu = &core->cpus[i];

        spin_init(&cpu->timer_lock, "timers", LOCK_RANK_TIMER);
        list_init(&cpu->timers);
        cpu->quantum = PLAT_NS_NEVER;
        cpu->hardware = PLAT_NS_NEVER;
    }
}

static struct core_cpu *own_cpu(void)
{
    return &this_host()->core->cpus[plat_cpu_self()];
}

/* Own CPU, irqs off. */
static void arm_no_later(struct core_cpu *cpu, plat_ns deadline)
{
    if (deadline < cpu->hardware) {
        cpu->hardware = deadline;
        plat_timer_arm(deadline);
    }
}

void timer_init(struct timer *timer, void (*callback)(struct timer *), void *owner)
{
    *timer = (struct timer){.callback = callback, .owner = owner};
    list_init(&timer->link);
}

/* Takes it off whatever list it is on. Irqs off. */
static void disarm(struct timer *timer)
{
    while (__atomic_load_n(&timer->armed, __ATOMIC_ACQUIRE)) {
        unsigned index = __atomic_load_n(&timer->cpu, __ATOMIC_RELAXED);
        struct core_cpu *cpu = &this_host()->core->cpus[index];

        spin_lock_irqs_off(&cpu->timer_lock);
        if (timer->armed && timer->cpu == index) {
            list_remove(&timer->link);
            __atomic_store_n(&timer->armed, false, __ATOMIC_RELEASE);
        }
        spin_unlock_irqs_off(&cpu->timer_lock);
    }
}

void timer_arm(struct timer *timer, plat_ns deadline)
{
    bool irqs = plat_irq_save();
    unsigned self = plat_cpu_self();
    struct core_cpu *cpu = own_cpu();

    disarm(timer);
    if (deadline != PLAT_NS_NEVER) {
        spin_lock_irqs_off(&cpu->timer_lock);

        struct list *at = cpu->timers.prev;

        while (at != &cpu->timers && list_entry(at, struct timer, link)->deadline > deadline)
            at = at->prev;
        timer->deadline = deadline;
        timer->cpu = self;
        list_add_head(at, &timer->link);
        __atomic_store_n(&timer->armed, true, __ATOMIC_RELEASE);
        spin_unlock_irqs_off(&cpu->timer_lock);
        arm_no_later(cpu, deadline);
    }
    plat_irq_restore(irqs);
}

void timer_cancel(struct timer *timer)
{
    struct core_state *core = this_host()->core;
    bool irqs = plat_irq_save();

    disarm(timer);

    unsigned self = plat_cpu_self();

    /* It may have left the list to run: wait for that, except inside the callback itself. */
    for (unsigned i = 0, count = plat_cpu_count(); i < count; i++) {
        while (i != self &&
               __atomic_load_n(&core->cpus[i].timer_running, __ATOMIC_ACQUIRE) == timer)
            plat_cpu_relax();
    }
    plat_irq_restore(irqs);
}

/* Takes the first due timer off the list, or null. */
static struct timer *take_due(struct core_cpu *cpu, plat_ns now)
{
    struct timer *due = NULL;

    spin_lock_irqs_off(&cpu->timer_lock);
    if (!list_is_empty(&cpu->timers)) {
        struct timer *first = list_entry(cpu->timers.next, struct timer, link);

        if (first->deadline <= now) {
            due = first;
            list_remove(&due->link);
            /* Before `armed` falls: timer_cancel() looks at `armed` first, then here. */
            __atomic_store_n(&cpu->timer_running, due, __ATOMIC_SEQ_CST);
            __atomic_store_n(&due->armed, false, __ATOMIC_SEQ_CST);
        }
    }
    spin_unlock_irqs_off(&cpu->timer_lock);
    return due;
}

void timer_interrupt(void)
{
    struct core_state *core = this_host()->core;
    struct core_cpu *cpu = own_cpu();
    plat_ns now = plat_time_now();
    struct timer *due;
    uint32_t ran = 0;

    while ((due = take_due(cpu, now))) {
        ran++;
        due->callback(due);
        __atomic_store_n(&cpu->timer_running, NULL, __ATOMIC_RELEASE);
    }
    TRACE(timer_fire, .timers = ran,
          .kind = cpu->quantum <= now ? RECORD_timer_kind_QUANTUM : RECORD_timer_kind_TIMERS);
    if (cpu->quantum <= now) {
        cpu->quantum = PLAT_NS_NEVER;
        if (core->quantum_over)
            core->quantum_over();
    }
    cpu->hardware = PLAT_NS_NEVER;
    arm_no_later(cpu, timer_next());
}

plat_ns timer_next(void)
{
    struct core_cpu *cpu = own_cpu();
    plat_ns next = cpu->quantum;

    spin_lock_irqs_off(&cpu->timer_lock);
    if (!list_is_empty(&cpu->timers))
        next = MIN(next, list_entry(cpu->timers.next, struct timer, link)->deadline);
    spin_unlock_irqs_off(&cpu->timer_lock);
    return next;
}

void timer_quantum_arm(plat_ns deadline)
{
    struct core_cpu *cpu = own_cpu();

    cpu->quantum = deadline;
    arm_no_later(cpu, deadline);
}

void timer_quantum_hook(void (*over)(void))
{
    this_host()->core->quantum_over = over;
}
