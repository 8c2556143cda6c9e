// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/trace_world.c -- the world that sends full trace packets out.
 *
 * It looks every 2 ms: at a million records a second a CPU fills a packet in 3 ms, so the
 * default ring of 16 packets has room for 40. Nobody wakes it, because the writer of a record
 * may hold any lock. Many shares: a recorder that starves loses records. A quarter of a
 * millisecond at a time is spent with interrupts off, in trace_drain(). Once a second packets
 * are cut short, so that an image that is killed or hangs has left all but its last second.
 *
 * Invariants
 *   - Ends by being killed or when the way out is closed; the records it did not send are sent
 *     by trace_finish().
 * Locking    none.
 */
#include "world/trace_world.h"

#include "core/log.h"
#include "core/trace_control.h"
#include "plat/plat.h"
#include "world/world.h"

#define LOOK_EVERY_NS 2000000u
#define CUT_EVERY_NS  1000000000u
#define SHARES        20000u

static void run(void *argument)
{
    plat_ns cut = plat_time_now();

    (void)argument;
    plat_irq_restore(true);
    while (trace_streams()) {
        while (trace_drain())
            world_yield();
        if (plat_time_now() - cut > CUT_EVERY_NS) {
            cut = plat_time_now();
            trace_packets_cut();
        }
        if (world_sleep_until(plat_time_now() + LOOK_EVERY_NS) == VMK_KILLED)
            break;
    }
    world_exit(0);
}

void trace_world_start(void)
{
    const struct world_params params = {.name = "trace", .entry = run, .sched.shares = SHARES};
    world_id id;
    vmk_status status;

    if (!trace_streams())
        return;
    status = world_create(&params, &id);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Trace: no world to send packets (%s): what does not fit is lost",
                vmk_status_text(status));
}
