// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/timer.h -- any number of software timers over each CPU's one hardware timer.
 *
 * A timer belongs to the CPU that armed it and its callback runs there, in interrupt context
 * with interrupts off and no lock held. Arming an armed timer moves it (to the calling CPU).
 */
#pragma once

#include "lib/list.h"
#include "plat/plat_types.h"

struct timer {
    struct list link;  // (w) owning CPU's timer lock
    plat_ns deadline;
    void (*callback)(struct timer *timer);
    void *owner;   // the caller's, untouched here
    unsigned cpu;  // (w) where it is armed
    bool armed;
};

/* Before the first timer_arm(). `owner` is for the callback. */
void timer_init(struct timer *timer, void (*callback)(struct timer *), void *owner);
/* callback() at `deadline` or soon after; one in the past: at once.
 * PLAT_NS_NEVER disarms, without the waiting of timer_cancel(). Any context; takes rank TIMER.
 */
void timer_arm(struct timer *timer, plat_ns deadline);
/*
 * Disarms. When it returns the callback is not running on another CPU and will not run, unless
 * the caller is that callback. Must not be called holding a lock the callback takes.
 */
void timer_cancel(struct timer *timer);
/* The platform's timer handler: runs what is due on this CPU and arms the next. Irqs off. */
void timer_interrupt(void);
/* The earliest deadline of this CPU, or PLAT_NS_NEVER. Irqs off. */
plat_ns timer_next(void);

/*
 * The scheduler's own deadline on this CPU, beside all timers; PLAT_NS_NEVER: none. Takes no
 * lock and costs a few instructions unless it is the earliest. Irqs off.
 */
void timer_quantum_arm(plat_ns deadline);
/* What timer_interrupt() calls when that deadline is over, irqs off, no lock held. */
void timer_quantum_hook(void (*over)(void));
