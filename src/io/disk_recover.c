// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/disk_recover.c -- when a disk does not answer: look again, abort, reset, retry, give up.
 *
 * One policy for every driver, and one world per port that carries it out, because aborts and
 * resets take milliseconds and have to wait:
 *   1. A command's time is over. The driver looks for completions whose interrupt was lost.
 *   2. Still not there: abort it, where the hardware can, and try it again.
 *   3. The abort fails, or the driver itself asked for it: stop the port, reset it, try
 *      everything again that was in flight. Only those blamed have a try counted. If it is not
 *      known which of several commands was the culprit, they go one at a time until all have
 *      ended.
 *   4. DISK_RESETS_MAX resets in a row after which nothing ended well: the port is dead. Its
 *      disks are gone, whatever waits or comes is answered NO_DEVICE, and it may not touch
 *      memory again.
 *
 * Invariants
 *   - While `stopped` is set, no command is issued and no interrupt handler is inside a queue.
 *   - A dead port stays stopped.
 * Locking    work.lock (rank WAITQ) for the wishes; a queue's lock (rank IO), one at a time.
 * Start at   recover().
 */
#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "io/disk_internal.h"
#include "world/world.h"

static void ask(struct disk_port *port, bool failed)
{
    bool irqs;

    if (port->panicking) {  // no world will come: disk_panic.c looks
        port->failed |= failed;
        return;
    }
    irqs = spin_lock(&port->work.lock);

    port->asked = true;
    port->failed |= failed;
    spin_unlock(&port->work.lock, irqs);
    wait_queue_wake(&port->work, WAIT_QUEUE_ALL);
}

void disk_port_fail(struct disk_port *port)
{
    ask(port, true);
}

void disk_port_gone(struct disk_port *port)
{
    if (!__atomic_exchange_n(&port->dead, true, __ATOMIC_ACQ_REL))
        ask(port, true);
}

void disk_pause(plat_ns duration)
{
    const plat_ns until = plat_time_now() + duration;
    vmk_status status;

    if (core_panicking()) {
        while (plat_time_now() < until)
            plat_cpu_relax();
        return;
    }
    status = world_sleep_until(until);
    (void)status;  // told to end: the wait is shorter
}

/* Four times per allowance: is anything late? */
static void look(struct timer *timer)
{
    struct disk_port *port = timer->owner;
    const plat_ns now = plat_time_now();
    bool busy = false;
    bool late = false;

    // First, so that whoever issues from here on arms it again.
    __atomic_store_n(&port->timer_armed, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < port->queue_count; i++) {
        struct disk_queue *q = &port->queues[i];

        spin_lock_irqs_off(&q->lock);
        if (q->in_flight) {
            busy = true;
            late |= list_entry(q->issued.next, struct disk_command, link)->deadline <= now;
        }
        spin_unlock_irqs_off(&q->lock);
    }
    if (late && !__atomic_load_n(&port->stopped, __ATOMIC_ACQUIRE))
        ask(port, false);
    if (busy && !__atomic_exchange_n(&port->timer_armed, true, __ATOMIC_ACQ_REL))
        timer_arm(&port->timer, now + port->timeout / 4);
}

/* Step 1. How many commands are late after the driver has looked again. */
static unsigned late_commands(struct disk_port *port)
{
    const plat_ns now = plat_time_now();
    unsigned late = 0;
    unsigned found = 0;

    for (unsigned i = 0; i < port->queue_count; i++) {
        struct disk_queue *q = &port->queues[i];
        bool irqs = spin_lock(&q->lock);
        unsigned before = q->in_flight;

        port->ops->poll(q);
        found += before - q->in_flight;
        list_for_each (node, &q->issued) {
            struct disk_command *c = list_entry(node, struct disk_command, link);

            if (c->deadline > now)
                break;
            c->blamed = true;
            late++;
            vmk_log(VMK_LOG_WARN, "ScsiDevice: %s: %s at block %llu, %u bytes: no answer",
                    c->disk->block.name, disk_op_name(c->op),
                    (unsigned long long)(c->offset / c->disk->block.block_size), c->size);
        }
        disk_queue_leave(q, irqs);
    }
    if (!late && found)
        vmk_log(VMK_LOG_WARN, "Storage: %s: %u commands had ended without an interrupt",
                port->name, found);
    return late;
}

/* Step 2. True: none of the late ones is with the device any more. */
static bool abort_late(struct disk_port *port)
{
    if (!port->ops->abort)
        return false;
    for (unsigned i = 0; i < port->queue_count; i++) {
        struct disk_queue *q = &port->queues[i];

        for (unsigned tag = 0; tag < q->depth; tag++) {
            struct disk_command *c = &q->commands[tag];
            bool irqs = spin_lock(&q->lock);
            bool ours = c->request && c->blamed;

            spin_unlock(&q->lock, irqs);
            if (!ours)
                continue;
            if (!port->ops->abort(q, c))
                return false;
            irqs = spin_lock(&q->lock);
            if (c->request && c->blamed)  // not ended by itself meanwhile
                disk_command_again(q, c, true);
            disk_queue_leave(q, irqs);
        }
    }
    return true;
}

/* Nobody is inside a queue after this. */
static void stop(struct disk_port *port)
{
    __atomic_store_n(&port->stopped, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < port->queue_count; i++) {
        bool irqs = spin_lock(&port->queues[i].lock);

        spin_unlock(&port->queues[i].lock, irqs);
    }
}

static void start_again(struct disk_port *port)
{
    for (unsigned i = 0; i < port->queue_count; i++) {
        struct disk_queue *q = &port->queues[i];
        bool irqs = spin_lock(&q->lock);
        const unsigned suspects = q->in_flight;
        const unsigned careful = MAX(q->careful, suspects);
        bool blamed = false;

        list_for_each (node, &q->issued)
            blamed |= list_entry(node, struct disk_command, link)->blamed;
        // From the youngest, each to the head of those that wait: the order stays as it was.
        while (!list_is_empty(&q->issued)) {
            struct disk_command *c = list_entry(q->issued.prev, struct disk_command, link);

            disk_command_again(q, c, suspects == 1 || c->blamed);
        }
        q->careful = blamed ? 0 : careful;
        spin_unlock(&q->lock, irqs);
    }
    __atomic_store_n(&port->stopped, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < port->queue_count; i++)
        disk_queue_leave(&port->queues[i], spin_lock(&port->queues[i].lock));
}

/* Step 4. */
static void give_up(struct disk_port *port)
{
    __atomic_store_n(&port->dead, true, __ATOMIC_RELEASE);
    vmk_log(VMK_LOG_ERROR, "Storage: %s: the port is given up", port->name);
    if (port->ops->silence)
        port->ops->silence(port);
    for (unsigned d = 0; d < port->disk_count; d++) {
        __atomic_store_n(&port->disks[d]->gone, true, __ATOMIC_RELEASE);
        storage_device_gone(&port->disks[d]->block);
    }
    for (unsigned i = 0; i < port->queue_count; i++) {
        struct disk_queue *q = &port->queues[i];
        bool irqs = spin_lock(&q->lock);

        while (!list_is_empty(&q->issued))
            disk_command_done(q, list_entry(q->issued.next, struct disk_command, link),
                              DISK_GONE);
        for (unsigned d = 0; d < port->disk_count; d++)
            disk_queue_fail_waiting(q, port->disks[d]);
        disk_queue_leave(q, irqs);
    }
}

/* Step 3. */
static void reset(struct disk_port *port)
{
    vmk_status status = VMK_NO_DEVICE;

    stop(port);
    while (!__atomic_load_n(&port->dead, __ATOMIC_ACQUIRE)) {
        if (port->futile++ == DISK_RESETS_MAX)
            break;
        vmk_log(VMK_LOG_WARN, "Storage: %s: reset", port->name);
        for (unsigned d = 0; d < port->disk_count; d++)
            __atomic_fetch_add(&port->disks[d]->block.stats.resets, 1, __ATOMIC_RELAXED);
        status = port->ops->reset(port);
        if (status == VMK_OK || status == VMK_NO_DEVICE)
            break;
        vmk_log(VMK_LOG_WARN, "Storage: %s: the reset failed: %s", port->name,
                vmk_status_text(status));
    }
    if (status == VMK_OK)
        start_again(port);
    else
        give_up(port);
}

static void recover(struct disk_port *port, bool failed)
{
    if (!failed && (late_commands(port) == 0 || abort_late(port)))
        return;
    reset(port);
}

static void recovery_world(void *argument)
{
    struct disk_port *port = argument;

    for (;;) {
        bool failed;
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&port->work.lock);
        while (!port->asked) {
            vmk_status status = wait_queue_block_as(&port->work, PLAT_NS_NEVER, WAIT_FIRM);

            vmk_assert(status == VMK_OK);
            spin_lock_irqs_off(&port->work.lock);
        }
        failed = port->failed;
        port->asked = port->failed = false;
        spin_unlock_irqs_off(&port->work.lock);
        plat_irq_restore(irqs);
        if (!__atomic_load_n(&port->stopped, __ATOMIC_ACQUIRE))
            recover(port, failed);
    }
}

vmk_status disk_recovery_start(struct disk_port *port)
{
    struct world_params params = {
        .name = port->name, .entry = recovery_world, .argument = port};
    world_id id;

    wait_queue_init(&port->work, "disk recovery");
    timer_init(&port->timer, look, port);
    return world_create(&params, &id);
}
