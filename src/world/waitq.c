// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/waitq.c -- blocking and waking without losing a wake-up.
 *
 * The sleeper tests its condition and joins the queue under the queue's lock, and takes the
 * scheduler's lock before it lets the queue's lock go. A waker that finds it on the queue must
 * take the scheduler's lock to ready it, and gets it only after the sleeper has switched away.
 * So there is no moment in which a wake-up finds nobody or a world still on its stack.
 *
 * Time-outs and kills come from outside the queue's owner, who may free the queue as soon as
 * the sleeper has returned. So the sleeper does not return before the time-out's callback is
 * over (timer_cancel()) and every killer that may have read `waiting_on` is done (kill_refs).
 *
 * Invariants
 *   - world.waiting_on is the queue exactly while wait_link is on it.
 *   - Who clears waiting_on, under the queue's lock, is the one who readies the world.
 * Locking    wait_queue.lock (rank WAITQ), then TIMER or RUNQ.
 */
#include "world/waitq.h"

#include "core/assert.h"
#include "core/timer.h"
#include "sched/sched_internal.h"
#include "world/world.h"
#include "world/world_internal.h"

void wait_queue_init(struct wait_queue *queue, const char *name)
{
    spin_init(&queue->lock, name, LOCK_RANK_WAITQ);
    list_init(&queue->waiters);
}

/* Lock held. */
static void unlink_waiter(struct world *w)
{
    list_remove(&w->wait_link);
    __atomic_store_n(&w->waiting_on, NULL, __ATOMIC_SEQ_CST);
}

/*
 * What enum wait_kind says. A lock that is handed over relies on it: its waiters stay in line.
 */
static bool ends_wait(enum wait_kind kind, enum wake_reason reason, bool for_signal)
{
    if (reason == WAKE_REASON_TIMER)
        return true;
    return for_signal ? kind == WAIT_SIGNALS : kind != WAIT_FIRM;
}

/*
 * Readies one world if it waits on something and this ends the wait. The caller has made sure
 * that a queue it reads from `waiting_on` stays: by being the world's timer callback, or by
 * kill_refs.
 * Irqs off.
 */
static void wake_one(struct world *w, enum wake_reason reason, bool for_signal)
{
    struct wait_queue *queue = __atomic_load_n(&w->waiting_on, __ATOMIC_SEQ_CST);

    if (!queue)
        return;
    spin_lock_irqs_off(&queue->lock);
    if (w->waiting_on == queue && ends_wait(w->wait_kind, reason, for_signal)) {
        unlink_waiter(w);
        w->wait_timed_out = reason == WAKE_REASON_TIMER;
        sched_ready(w, reason);
    }
    spin_unlock_irqs_off(&queue->lock);
}

static void on_timeout(struct timer *timer)
{
    wake_one(timer->owner, WAKE_REASON_TIMER, false);
}

void world_wake_for_kill(struct world *w)
{
    __atomic_fetch_add(&w->kill_refs, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&w->kill_pending, true, __ATOMIC_SEQ_CST);
    wake_one(w, WAKE_REASON_KILL, false);
    __atomic_fetch_sub(&w->kill_refs, 1, __ATOMIC_SEQ_CST);
}

/*
 * The flag is set before the wait is looked for, and a waiter says that it waits before it
 * looks at the flag: so one of the two sees the other.
 */
void world_interrupt(struct world *w)
{
    bool irqs = plat_irq_save();

    __atomic_fetch_add(&w->kill_refs, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&w->interrupt_pending, true, __ATOMIC_SEQ_CST);
    wake_one(w, WAKE_REASON_KILL, true);
    __atomic_fetch_sub(&w->kill_refs, 1, __ATOMIC_SEQ_CST);
    plat_cpu_kick(__atomic_load_n(&w->sched.cpu, __ATOMIC_RELAXED));
    plat_irq_restore(irqs);
}

bool world_interrupt_clear(void)
{
    return __atomic_exchange_n(&world_current()->interrupt_pending, false, __ATOMIC_SEQ_CST);
}

/* Nobody from outside touches the queue any more after this. No lock held. */
static void wait_for_killers(const struct world *w)
{
    while (__atomic_load_n(&w->kill_refs, __ATOMIC_SEQ_CST))
        plat_cpu_relax();
}

void world_waits_for(enum sched_world_state what)
{
    world_current()->waits_for = what;
}

vmk_status wait_queue_block_as(struct wait_queue *queue, plat_ns deadline, enum wait_kind kind)
{
    struct world *w = sched_own()->current;
    struct timer timer;

    vmk_assert(spin_held(&queue->lock));
    vmk_assert_msg(w != sched_own()->idle, "an idle world may not block");
    w->wait_timed_out = false;
    w->wait_kind = kind;
    list_add_tail(&queue->waiters, &w->wait_link);
    __atomic_store_n(&w->waiting_on, queue, __ATOMIC_SEQ_CST);

    bool killed = kind != WAIT_FIRM && world_is_killed(w);
    bool interrupted =
        kind == WAIT_SIGNALS && __atomic_load_n(&w->interrupt_pending, __ATOMIC_SEQ_CST);
    bool late = deadline != PLAT_NS_NEVER && deadline <= plat_time_now();

    timer_init(&timer, on_timeout, w);
    if (killed || interrupted || late) {
        unlink_waiter(w);
        w->wait_timed_out = late;
        spin_unlock_irqs_off(&queue->lock);
    } else {
        timer_arm(&timer, deadline);
        sched_current_stop(w->waits_for ? w->waits_for : SCHED_STATE_WAIT);
        spin_unlock_irqs_off(&queue->lock);
        sched_switch_away();
        timer_cancel(&timer);
    }
    w->waits_for = 0;
    wait_for_killers(w);
    if (kind != WAIT_FIRM && world_is_killed(w))
        return VMK_KILLED;
    if (kind == WAIT_SIGNALS && __atomic_load_n(&w->interrupt_pending, __ATOMIC_SEQ_CST))
        return VMK_INTERRUPTED;
    return w->wait_timed_out ? VMK_TIMEOUT : VMK_OK;
}

vmk_status wait_queue_block(struct wait_queue *queue, plat_ns deadline)
{
    return wait_queue_block_as(queue, deadline, WAIT_KILLABLE);
}

vmk_status wait_queue_block_interruptible(struct wait_queue *queue, plat_ns deadline)
{
    return wait_queue_block_as(queue, deadline, WAIT_SIGNALS);
}

unsigned wait_queue_wake(struct wait_queue *queue, unsigned count)
{
    bool irqs = spin_lock(&queue->lock);
    unsigned woken = 0;

    while (woken < count && !list_is_empty(&queue->waiters)) {
        struct world *w = list_entry(queue->waiters.next, struct world, wait_link);

        unlink_waiter(w);
        /* With interrupts off it is an interrupt: the current world did not wake this one. */
        sched_ready(w, irqs ? WAKE_REASON_EVENT : WAKE_REASON_DEVICE);
        woken++;
    }
    spin_unlock(&queue->lock, irqs);
    return woken;
}

struct world *wait_queue_hand_over(struct wait_queue *queue)
{
    if (list_is_empty(&queue->waiters))
        return NULL;

    struct world *w = list_entry(queue->waiters.next, struct world, wait_link);

    unlink_waiter(w);
    sched_ready(w, WAKE_REASON_EVENT);
    return w;
}
