// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/wall_clock.c -- the wall clock, and what follows it when somebody sets it.
 *
 * All time is plat_time_now(): nanoseconds since boot. Wall time (vfs_time_now()) adds what the
 * RTC said at boot and what clock_settime() corrected. A sleep, a wait or a timer that is due
 * at a moment of the wall clock has a deadline since boot that is right until the clock is set;
 * it registers a watch, whose moved() then says the deadline anew.
 *
 * Invariants
 *   - A deadline never wraps: far away is never.
 *   - Who computes a deadline with the lock of its queue held, and waits there, misses no
 *     setting: the correction changes first, then moved() wakes that queue.
 * Locking    the user lock for the list of watches and around moved().
 * Start at   wall_clock_set(), wait_deadline_now().
 */
#include "user/user_internal.h"

plat_ns deadline_after(plat_ns duration)
{
    plat_ns now = plat_time_now();

    return duration > PLAT_NS_NEVER - 1 - now ? PLAT_NS_NEVER : now + duration;
}

plat_ns wall_clock_deadline(uint64_t when)
{
    int64_t offset = vfs_time_offset();

    if (when >= INT64_MAX)
        return PLAT_NS_NEVER;
    return (int64_t)when > offset ? (plat_ns)((int64_t)when - offset) : 1;
}

void clock_watch_add_locked(struct clock_watch *watch)
{
    if (!list_is_linked(&watch->link))
        list_add_tail(&user_state()->clock_watches, &watch->link);
}

void clock_watch_remove_locked(struct clock_watch *watch)
{
    list_remove(&watch->link);
}

void clock_watch_remove(struct clock_watch *watch)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    clock_watch_remove_locked(watch);
    spin_unlock(&user->lock, irqs);
}

void wall_clock_set(int64_t ns)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    vfs_time_move(ns - vfs_time_now());
    list_for_each_safe (node, after, &user->clock_watches) {
        struct clock_watch *watch = list_entry(node, struct clock_watch, link);

        watch->moved(watch);
    }
    spin_unlock(&user->lock, irqs);
}

/* ---- waits until a moment of either clock ---- */

static void wait_moved(struct clock_watch *watch)
{
    const struct wait_deadline *d = watch->owner;

    (void)wait_queue_wake(d->queue, WAIT_QUEUE_ALL);
}

void wait_deadline_begin(struct wait_deadline *d, struct wait_queue *queue)
{
    struct user_state *user = user_state();
    bool irqs;

    if (!d->wall)
        return;
    d->queue = queue;
    d->watch = (struct clock_watch){.moved = wait_moved, .owner = d};
    list_init(&d->watch.link);
    irqs = spin_lock(&user->lock);
    clock_watch_add_locked(&d->watch);
    spin_unlock(&user->lock, irqs);
}

void wait_deadline_end(struct wait_deadline *d)
{
    if (d->wall)
        clock_watch_remove(&d->watch);
}

plat_ns wait_deadline_now(const struct wait_deadline *d)
{
    return d->wall ? wall_clock_deadline(d->at) : d->at;
}
