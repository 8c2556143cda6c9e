// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/switch.c -- the two ends of a world's life on a CPU: its first switch in, its last out.
 *
 * A world arrives on a CPU with the scheduler's lock held by whoever switched to it. One that
 * was switched out before drops it in the function it left through; a new one has no such
 * function, so it starts here.
 *
 * Invariants
 *   - entry() runs with interrupts on and no lock held.
 *   - An idle world never leaves its loop.
 * Locking    drops the scheduler's lock that came with the switch.
 */
#include "sched/sched_internal.h"
#include "world/world_internal.h"

void world_begin(void *argument)
{
    struct world *w = argument;

    sched_arrived();
    plat_irq_restore(true);
    w->entry(w->argument);
    world_exit(0);
}

void world_idle_loop(void)
{
    (void)plat_irq_save();
    for (;;)
        sched_idle_once();
}
