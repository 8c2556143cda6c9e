// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/service.c -- interrupt and deferred work: whose time it is.
 *
 * An interrupt takes the time of whoever runs, and is mostly for somebody else: the world that
 * a timer or a device wakes. That world is charged (%SYS), and who was interrupted is not
 * (%OVRLP, which is in its %RUN and comes off its %USED). What an interrupt does for the world
 * that it interrupted is in its run, and in neither; so is what nobody asked for: a kick to
 * look again, the end of a quantum. That is the price of dividing a CPU, and who has it pays.
 * Making it overlap was turned down: it is mostly one's own, it cost an input of the machine
 * each, and where interrupts are slow two VMs that had paid the same were 2 % apart in %RUN.
 *
 *   irq_enter          sched_ready(A)        sched_ready(B)      irq_leave
 *       ├────── for A ───────┤─────── for B ───────┤─── for B ───────┤
 *
 * Each CPU keeps what it owes in a few words of its own, and tells the machine with its next
 * input (sched_service_tell() in front of it, under the lock that is held then anyway): an
 * interrupt costs two looks at the clock and no lock. So sums of a CPU are late by at most a
 * quantum, and a world's overlap is told before the world leaves the CPU.
 *
 * Invariants
 *   - Told in the order and at the times of SYSTEM_TIME inputs, so a trace has it and `verify`
 *     does it again; run + ready + costop + wait is not touched.
 *   - An interrupt of a CPU that idles is nobody's loss; only what somebody is charged is told.
 * Locking    struct sched_service is its CPU's: irqs off.
 * Sources    [ESXTOP]
 */
#include "core/assert.h"
#include "sched/sched.h"
#include "sched/sched_internal.h"

/* So much more for that world; false: no room, tell first. */
static bool owe(struct sched_service *s, uint32_t id, plat_ns ns)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->owed[i].id == id) {
            s->owed[i].ns += ns;
            return true;
        }
    }
    if (s->count == SERVICE_OWED_MAX)
        return false;
    s->owed[s->count++] = (struct service_owed){.id = id, .ns = ns};
    return true;
}

static void owe_surely(struct sched_local *own, uint32_t id, plat_ns ns)
{
    if (!ns || !id || !own->current)
        return;
    if (!owe(&own->service, id, ns)) {
        sched_service_tell();
        (void)owe(&own->service, id, ns);
    }
}

void sched_irq_enter(void)
{
    struct sched_service *s = &sched_own()->service;

    s->inside = true;
    s->whose = 0;
    s->since = plat_time_now();
}

void sched_service_for(uint32_t world, plat_ns now)
{
    struct sched_service *s = &sched_own()->service;

    if (!s->inside)
        return;
    s->whose = world;
    if (now > s->since && owe(s, world, now - s->since))
        s->since = now;
}

void sched_irq_for(uint32_t world)
{
    bool irqs = plat_irq_save();
    struct sched_service *s = &sched_own()->service;

    if (s->inside)
        s->whose = world;
    plat_irq_restore(irqs);
}

void sched_irq_leave(void)
{
    struct sched_local *own = sched_own();
    struct sched_service *s = &own->service;
    plat_ns now = plat_time_now();

    s->inside = false;
    owe_surely(own, s->whose, now - MIN(now, s->since));
    /* Who idles may do so for long: nobody else would tell. */
    if (s->count && own->current == own->idle && !sched_need_switch())
        sched_service_tell();
}
