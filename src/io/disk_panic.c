// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/disk_panic.c -- a disk written by a host that panicked: one command at a time, by looking.
 *
 * The other CPUs were stopped wherever they were: in the middle of a driver, with its lock,
 * with half a command in a ring. So nothing of the port is believed. Its queues are forgotten,
 * what was in flight is never answered, and the driver resets the hardware as it does after any
 * fault; then one command is issued at a time and the driver asked for its end. The pieces are
 * those of every day: reset(), issue(), poll().
 *
 * Invariants
 *   - Runs on the panicking CPU alone, interrupts off, and waits only on the clock.
 *   - A port that has once failed here is not tried again.
 * Locking    none: a lock that a stopped CPU holds is taken (core/spinlock.c).
 */
#include "core/core.h"
#include "io/disk_internal.h"
#include "plat/plat.h"

static vmk_status take_over(struct disk_port *port)
{
    port->panicking = true;
    port->timer_armed = true;  // so that nobody arms it
    for (unsigned i = 0; i < port->queue_count; i++)
        disk_queue_clear(&port->queues[i]);
    if (__atomic_load_n(&port->dead, __ATOMIC_ACQUIRE))
        return VMK_NO_DEVICE;
    port->stopped = true;  // the driver may poll while it resets
    port->failed = port->ops->reset(port) != VMK_OK;
    for (unsigned i = 0; i < port->queue_count; i++)
        disk_queue_clear(&port->queues[i]);
    port->stopped = port->failed;
    return port->failed ? VMK_IO_ERROR : VMK_OK;
}

static void mark(struct block_request *request)
{
    *(bool *)request->context = true;
}

vmk_status disk_panic_write(struct block_device *device, uint64_t offset, const void *from,
                            uint32_t size)
{
    struct disk *disk = container_of(device, struct disk, block);
    struct disk_port *port = disk->port;
    const struct block_segment segment = {(void *)(uintptr_t)from, size};
    bool done = false;
    struct block_request request = {.op = size ? BLOCK_WRITE : BLOCK_FLUSH,
                                    .offset = offset,
                                    .size = size,
                                    .segments = &segment,
                                    .segment_count = size ? 1 : 0,
                                    .done = mark,
                                    .context = &done};
    plat_ns until;

    if (!core_panicking())
        return VMK_BAD_PARAM;
    if (!port->panicking && take_over(port) != VMK_OK)
        return VMK_IO_ERROR;
    if (port->failed || port->dead)
        return VMK_IO_ERROR;
    device->ops->submit(device, &request);
    until = plat_time_now() + port->timeout;
    while (!done && !port->failed && plat_time_now() < until) {
        for (unsigned i = 0; i < port->queue_count; i++)
            (void)disk_queue_interrupt(&port->queues[i]);
        plat_cpu_relax();
    }
    if (!done)
        port->failed = true;
    return done ? request.status : VMK_TIMEOUT;
}
