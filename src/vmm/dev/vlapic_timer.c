// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vlapic_timer.c -- the timer of a local APIC: one-shot, periodic, TSC deadline.
 *
 * The timer counts at 1 GHz: one tick is a nanosecond before the divider. It is kept as the
 * time at which it runs out, and the current count is computed when somebody reads it. A
 * periodic timer adds its period to the last deadline, not to now, so it does not drift; ticks
 * that nobody could take are dropped, because a guest that was not running gains nothing from
 * ten timer interrupts.
 *
 * Invariants
 *   - timer_period(), timer_divide and the mode change only while the timer is stopped.
 * Locking    none of its own. The callback runs on whatever CPU armed it and shares the fields
 *            marked (a) with the vCPU's world; vlapic_timer_stop() keeps it away from the rest.
 * Start at   timer_fired(), vlapic_timer_initial_set()
 * Sources    [SDM] volume 3, "APIC Timer"
 */
#include "plat/plat.h"
#include "vmm/dev/vlapic_internal.h"

/* A guest may not ask for timer interrupts faster than this: they would be all the CPU does. */
#define TIMER_PERIOD_MIN_NS 20000ull

/* Register bits 3, 1 and 0 give 2, 4, ... 128, 1. */
static unsigned divide_shift(uint32_t divide)
{
    return (((divide & 3u) | (divide & 8u) >> 1) + 1u) & 7u;
}

static uint64_t timer_period(const struct vlapic *l)
{
    return (uint64_t)l->timer_initial << divide_shift(l->timer_divide);
}

static uint32_t timer_mode(struct vlapic *l)
{
    return load(l->lvt[LVT_TIMER]) & LVT_TIMER_MODE;
}

/* The first of deadline + k * period that a host timer can be asked for. */
static plat_ns timer_next_period(plat_ns deadline, uint64_t period, plat_ns now)
{
    plat_ns earliest = now + TIMER_PERIOD_MIN_NS;
    plat_ns next = deadline + period;

    if (next < now || (period < TIMER_PERIOD_MIN_NS && next < earliest)) {
        plat_ns goal = period < TIMER_PERIOD_MIN_NS ? earliest : now;
        next += (goal - next + period - 1) / period * period;
    }
    return next;
}

static plat_ns tsc_to_ns(uint64_t cycles)
{
    uint64_t khz = plat_tsc_khz();
    uint64_t ms = cycles / khz;

    if (ms >= 1ull << 40)  // 34 years
        return 1ull << 60;
    return ms * 1000000ull + (cycles % khz * 1000000ull + khz - 1) / khz;
}

/* Arms for the TSC deadline; false if it is past. */
static bool tsc_deadline_arm(struct vlapic *l, uint64_t deadline)
{
    uint64_t now = vcpu_tsc(l->vcpu);

    if (deadline <= now)
        return false;
    timer_arm(&l->timer, plat_time_now() + MAX(tsc_to_ns(deadline - now), 1ull));
    return true;
}

/* It has run out: the next period begins, or none. False: somebody else has seen to it. */
static bool timer_turn(struct vlapic *l, plat_ns deadline)
{
    uint64_t period = timer_period(l);
    plat_ns next = 0;

    if (timer_mode(l) == LVT_PERIODIC && period)
        next = timer_next_period(deadline, period, plat_time_now());
    if (!__atomic_compare_exchange_n(&l->timer_deadline, &deadline, next, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return false;
    if (next)
        timer_arm(&l->timer, next);
    return true;
}

static void timer_fired(struct timer *timer)
{
    struct vlapic *l = timer->owner;

    if (load(l->timer_stopping))
        return;

    if (timer_mode(l) == LVT_DEADLINE) {
        uint64_t deadline = load(l->tsc_deadline);

        // The two clocks may disagree by a rounding: early is not allowed.
        if (!deadline || tsc_deadline_arm(l, deadline))
            return;
        store(l->tsc_deadline, 0);
    } else {
        plat_ns deadline = load(l->timer_deadline);

        if (!deadline)
            return;
        if (deadline > plat_time_now()) {  // moved while this call was on its way
            timer_arm(timer, deadline);
            return;
        }
        if (!timer_turn(l, deadline))
            return;
    }
    vlapic_lvt_fire(l, LVT_TIMER);
}

/* The callback may be late; what has run out by now interrupts by the entry as it is now. */
void vlapic_timer_settle(struct vlapic *l)
{
    plat_ns deadline = load(l->timer_deadline);

    if (deadline && deadline <= plat_time_now() && timer_turn(l, deadline))
        vlapic_lvt_fire(l, LVT_TIMER);
}

/*
 * Twice: a callback that was under way on another CPU at the first may have armed it again; one
 * that starts after the flag is up does not.
 */
void vlapic_timer_stop(struct vlapic *l)
{
    store(l->timer_stopping, true);
    timer_cancel(&l->timer);
    timer_cancel(&l->timer);
    store(l->timer_stopping, false);
    store(l->timer_deadline, 0);
    store(l->tsc_deadline, 0);
}

/* Counts down `count` from now. */
static void timer_start(struct vlapic *l, uint32_t count)
{
    if (!count)
        return;
    plat_ns deadline = plat_time_now() + ((uint64_t)count << divide_shift(l->timer_divide));
    store(l->timer_deadline, deadline);
    timer_arm(&l->timer, deadline);
}

uint32_t vlapic_timer_count(struct vlapic *l)
{
    plat_ns deadline = load(l->timer_deadline);
    plat_ns now = plat_time_now();
    unsigned shift = divide_shift(l->timer_divide);

    if (!deadline)
        return 0;
    if (deadline > now)
        return (uint32_t)((deadline - now + (1ull << shift) - 1) >> shift);
    if (timer_mode(l) != LVT_PERIODIC || !l->timer_initial)
        return 0;
    // The callback is late; the guest's count is not.
    return l->timer_initial - (uint32_t)(((now - deadline) >> shift) % l->timer_initial);
}

void vlapic_timer_initial_set(struct vlapic *l, uint32_t value)
{
    if (timer_mode(l) == LVT_DEADLINE)
        return;
    vlapic_timer_stop(l);
    l->timer_initial = value;
    timer_start(l, value);
}

void vlapic_timer_divide_set(struct vlapic *l, uint32_t value)
{
    uint32_t left = vlapic_timer_count(l);

    vlapic_timer_stop(l);
    l->timer_divide = value & 0xbu;
    timer_start(l, left);
}

void vlapic_tsc_deadline_set(struct vlapic *l, uint64_t value)
{
    if (timer_mode(l) != LVT_DEADLINE)
        return;
    vlapic_timer_stop(l);
    store(l->tsc_deadline, value);
    if (value && !tsc_deadline_arm(l, value)) {
        store(l->tsc_deadline, 0);
        vlapic_lvt_fire(l, LVT_TIMER);
    }
}

void vlapic_tsc_moved(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    const uint64_t deadline = load(l->tsc_deadline);

    if (deadline)
        vlapic_tsc_deadline_set(l, deadline);
}

void vlapic_timer_init(struct vlapic *l)
{
    timer_init(&l->timer, timer_fired, l);
}
