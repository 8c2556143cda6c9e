// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/block.c -- checks, counts and waits around a device's submit().
 *
 * Invariants
 *   - A driver sees only requests that lie on the device and are aligned to its blocks.
 *   - done() is called exactly once for each submitted request.
 * Locking    the waiter's wait queue (rank WAITQ); statistics are relaxed atomics.
 * Start at   block_submit() and block_batch_begin().
 */
#include "io/block.h"

#include "core/assert.h"
#include "core/host.h"
#include "core/trace.h"
#include "io/io.h"
#include "plat/plat.h"

static void count(uint64_t *counter, uint64_t by)
{
    __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

static uint64_t segments_size(const struct block_request *request)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < request->segment_count; i++)
        size += request->segments[i].size;
    return size;
}

static vmk_status check(const struct block_device *device, const struct block_request *request)
{
    uint64_t mask = device->block_size - 1;

    if (request->op == BLOCK_FLUSH)
        return VMK_OK;
    if (request->op == BLOCK_RESERVE || request->op == BLOCK_RELEASE)
        return device->can_reserve ? VMK_OK : VMK_UNSUPPORTED;
    if ((request->offset | request->size) & mask || !request->size)
        return VMK_BAD_PARAM;
    if (request->offset > device->size || request->size > device->size - request->offset)
        return VMK_BAD_PARAM;
    if (request->op != BLOCK_READ && device->read_only)
        return VMK_READ_ONLY;
    switch (request->op) {
    case BLOCK_DISCARD: return device->can_discard ? VMK_OK : VMK_UNSUPPORTED;
    case BLOCK_COMPARE_WRITE:
        if (!device->can_compare_write)
            return VMK_UNSUPPORTED;
        return request->size == device->block_size &&
                       segments_size(request) == 2 * request->size
                   ? VMK_OK
                   : VMK_BAD_PARAM;
    default: return segments_size(request) == request->size ? VMK_OK : VMK_BAD_PARAM;
    }
}

void block_submit(struct block_device *device, struct block_request *request)
{
    struct block_stats *stats = &device->stats;

    request->status = check(device, request);
    if (request->status != VMK_OK) {
        request->done(request);
        return;
    }
    switch (request->op) {
    case BLOCK_READ:
        count(&stats->reads, 1);
        count(&stats->read_bytes, request->size);
        break;
    case BLOCK_WRITE:
        count(&stats->writes, 1);
        count(&stats->write_bytes, request->size);
        break;
    case BLOCK_FLUSH: count(&stats->flushes, 1); break;
    case BLOCK_DISCARD: count(&stats->discards, 1); break;
    case BLOCK_COMPARE_WRITE: count(&stats->compares, 1); break;
    case BLOCK_RESERVE:
    case BLOCK_RELEASE: break;
    }
    TRACE(io_submit, .vm = request->client, .length = (uint32_t)request->size,
          .lba = request->offset / 512, .op = (uint32_t)request->op);
    device->ops->submit(device, request);
}

/* The queue outlives every request, so a batch may be gone as soon as nothing is left. */
static void wake_waiter(struct block_request *request)
{
    struct block_batch *batch = request->context;
    struct wait_queue *queue = batch->queue;
    bool irqs = spin_lock(&queue->lock);
    bool last = --batch->left == 0;

    spin_unlock(&queue->lock, irqs);
    if (last)
        wait_queue_wake(queue, WAIT_QUEUE_ALL);
}

static void wait_until_done(struct block_batch *batch)
{
    bool irqs = plat_irq_save();

    for (;;) {
        spin_lock_irqs_off(&batch->queue->lock);
        if (!batch->left)
            break;
        vmk_assert(wait_queue_block_as(batch->queue, PLAT_NS_NEVER, WAIT_FIRM) == VMK_OK);
    }
    spin_unlock_irqs_off(&batch->queue->lock);
    plat_irq_restore(irqs);
}

void block_batch_begin(struct block_batch *batch)
{
    struct io_state *io = this_host()->io;

    batch->left = 0;
    batch->begun = plat_time_now();
    batch->queue = &io->waiters[__atomic_fetch_add(&io->batches, 1, __ATOMIC_RELAXED) %
                                ARRAY_COUNT(io->waiters)];
}

void block_batch_add(struct block_batch *batch, struct block_device *device,
                     struct block_request *request)
{
    bool irqs = spin_lock(&batch->queue->lock);

    batch->left++;
    spin_unlock(&batch->queue->lock, irqs);
    request->done = wake_waiter;
    // cppcheck-suppress autoVariables; it is done before the batch is gone
    request->context = batch;
    block_submit(device, request);
}

vmk_status block_batch_end(struct block_batch *batch, const struct block_request *requests,
                           uint32_t count)
{
    vmk_status status = VMK_OK;

    wait_until_done(batch);
    for (uint32_t i = 0; i < count; i++) {
        TRACE(io_done, .vm = requests[i].client, .length = (uint32_t)requests[i].size,
              .lba = requests[i].offset / 512,
              .latency_us = (uint32_t)((plat_time_now() - batch->begun) / 1000),
              .status = (uint32_t)requests[i].status);
        if (status == VMK_OK)
            status = requests[i].status;
    }
    return status;
}

vmk_status block_io(struct block_device *device, struct block_request *request)
{
    struct block_batch batch;

    block_batch_begin(&batch);
    block_batch_add(&batch, device, request);
    return block_batch_end(&batch, request, 1);
}

static vmk_status transfer(struct block_device *device, enum block_op op, bool fua,
                           uint64_t offset, void *data, uint64_t size)
{
    uint64_t most = device->max_transfer ? device->max_transfer : 1ull << 30;

    while (size) {
        uint32_t part = (uint32_t)MIN(size, most);
        struct block_segment segment = {.data = data, .size = part};
        struct block_request request = {.op = op,
                                        .fua = fua,
                                        .offset = offset,
                                        .size = part,
                                        .segments = &segment,
                                        .segment_count = 1};
        vmk_status status = block_io(device, &request);

        if (status != VMK_OK)
            return status;
        offset += part;
        data = (char *)data + part;
        size -= part;
    }
    return VMK_OK;
}

vmk_status block_read(struct block_device *device, uint64_t offset, void *to, uint64_t size)
{
    return transfer(device, BLOCK_READ, false, offset, to, size);
}

vmk_status block_write(struct block_device *device, uint64_t offset, const void *from,
                       uint64_t size)
{
    /* The segment's pointer serves both directions; a write only reads through it. */
    return transfer(device, BLOCK_WRITE, false, offset, (void *)(uintptr_t)from, size);
}

vmk_status block_write_fua(struct block_device *device, uint64_t offset, const void *from,
                           uint64_t size)
{
    return transfer(device, BLOCK_WRITE, true, offset, (void *)(uintptr_t)from, size);
}

vmk_status block_flush(struct block_device *device)
{
    struct block_request request = {.op = BLOCK_FLUSH};

    return block_io(device, &request);
}

vmk_status block_discard(struct block_device *device, uint64_t offset, uint64_t size)
{
    struct block_request request = {.op = BLOCK_DISCARD, .offset = offset, .size = size};

    return block_io(device, &request);
}

vmk_status block_compare_write(struct block_device *device, uint64_t offset,
                               const void *expected, const void *fresh)
{
    struct block_segment segments[2] = {
        {.data = (void *)(uintptr_t)expected, .size = device->block_size},
        {.data = (void *)(uintptr_t)fresh, .size = device->block_size}};
    struct block_request request = {.op = BLOCK_COMPARE_WRITE,
                                    .offset = offset,
                                    .size = device->block_size,
                                    .segments = segments,
                                    .segment_count = 2};

    return block_io(device, &request);
}

vmk_status block_reserve(struct block_device *device, bool take)
{
    struct block_request request = {.op = take ? BLOCK_RESERVE : BLOCK_RELEASE};

    return block_io(device, &request);
}

vmk_status block_reset(struct block_device *device)
{
    return device->ops->reset ? device->ops->reset(device) : VMK_UNSUPPORTED;
}

vmk_status block_panic_write(struct block_device *device, uint64_t offset, const void *from,
                             uint32_t size)
{
    if (!device->ops->panic_write)
        return VMK_UNSUPPORTED;
    if (device->read_only)
        return VMK_READ_ONLY;
    if ((offset | size) % device->block_size || offset > device->size ||
        size > device->size - offset)
        return VMK_BAD_PARAM;
    return device->ops->panic_write(device, offset, from, size);
}
