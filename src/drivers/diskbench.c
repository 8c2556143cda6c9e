// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/diskbench.c -- the boot option diskbench=N: what a 4 KB read costs on each disk.
 *
 * N random reads from every disk, one after the other: first one at a time with a world that
 * waits, as a simple program reads; then 32 in flight, the next sent where the last one ended.
 *
 * A CPU that waits for a disk does nothing, and nothing is hard to count. So a world of the
 * lowest shares counts in a loop of three instructions meanwhile: what it did not get is what
 * the reads took.
 * Where a nanosecond is an instruction (QEMU -icount shift=0) that is exact; elsewhere it means
 * little. One CPU.
 *
 * Invariants
 *   - Only reads.
 * Locking    bench.queue.lock guards what done() counts.
 */
#include "core/core.h"
#include "core/log.h"
#include "drivers/drivers.h"
#include "io/storage.h"
#include "lib/rng.h"
#include "mem/page.h"
#include "world/world.h"

#define DEPTH 32u
#define READ  4096u
#define TURN  3u   // instructions
#define PARTS 10u  // of a measurement: the least counts

struct bench {
    struct block_device *disk;
    struct rng rng;
    char *buffer;  // DEPTH times READ
    struct wait_queue queue;
    uint64_t to_send, over, failed;
    uint64_t turns;  // of the loop
    bool stop;
    struct block_request requests[DEPTH];
    struct block_segment segments[DEPTH];
};

static uint64_t place(struct bench *b)
{
    return rng_below(&b->rng, b->disk->size / READ) * READ;
}

/* TURN instructions a turn. */
static void count_on(void *argument)
{
    struct bench *b = argument;

    __asm__ volatile("1: incq %0; cmpb $0, %1; je 1b" : "+m"(b->turns) : "m"(b->stop) : "cc");
}

/* The same request again, elsewhere, as long as there is something to send. */
static void done(struct block_request *request)
{
    struct bench *b = request->context;
    bool irqs = spin_lock(&b->queue.lock);
    bool more = b->to_send > 0;
    bool last;

    b->to_send -= more;
    b->over++;
    b->failed += request->status != VMK_OK;
    last = !more && b->to_send == 0;
    request->offset = more ? place(b) : 0;
    spin_unlock(&b->queue.lock, irqs);
    if (more)
        block_submit(b->disk, request);
    else if (last)
        wait_queue_wake(&b->queue, WAIT_QUEUE_ALL);
}

static void many(struct bench *b, uint64_t count)
{
    bool irqs;

    b->over = b->failed = 0;
    b->to_send = count - DEPTH;
    for (unsigned i = 0; i < DEPTH; i++) {
        b->segments[i] = (struct block_segment){b->buffer + (size_t)i * READ, READ};
        b->requests[i] = (struct block_request){.op = BLOCK_READ,
                                                .offset = place(b),
                                                .size = READ,
                                                .segments = &b->segments[i],
                                                .segment_count = 1,
                                                .done = done,
                                                .context = b};
        block_submit(b->disk, &b->requests[i]);
    }
    irqs = plat_irq_save();
    for (;;) {
        vmk_status status;

        spin_lock_irqs_off(&b->queue.lock);
        if (b->over == count)
            break;
        status = wait_queue_block_as(&b->queue, PLAT_NS_NEVER, WAIT_FIRM);
        (void)status;
    }
    spin_unlock_irqs_off(&b->queue.lock);
    plat_irq_restore(irqs);
}

static void one_by_one(struct bench *b, uint64_t count)
{
    b->failed = 0;
    for (uint64_t i = 0; i < count; i++)
        b->failed += block_read(b->disk, place(b), b->buffer, READ) != VMK_OK;
}

static void measure(struct bench *b, const char *name, unsigned depth, uint64_t count,
                    void (*run)(struct bench *, uint64_t))
{
    plat_ns start = plat_time_now();
    uint64_t least = UINT64_MAX;
    uint64_t failed = 0;

    /*
     * On a busy computer the emulator's disk answers late, and interrupts of the clock come in
     * between.
     */
    for (unsigned part = 0; part < PARTS; part++) {
        const plat_ns began = plat_time_now();
        const uint64_t turns = __atomic_load_n(&b->turns, __ATOMIC_RELAXED);
        uint64_t idle;
        plat_ns took;

        run(b, count / PARTS);
        took = plat_time_now() - began;
        idle = TURN * (__atomic_load_n(&b->turns, __ATOMIC_RELAXED) - turns);
        least = MIN(least, (took - MIN(took, idle)) / (count / PARTS));
        failed += b->failed;
    }
    vmk_log(VMK_LOG_INFO,
            "DiskBench: %s: %llu reads of %u bytes, %u in flight: %llu instructions each, "
            "%llu us in all, %llu failed",
            name, (unsigned long long)count, READ, depth, (unsigned long long)least,
            (unsigned long long)((plat_time_now() - start) / 1000), (unsigned long long)failed);
}

void diskbench_run(void)
{
    const uint64_t count = core_option_u64("diskbench", 0);
    struct storage_device_info info;
    struct world_params params = {
        .name = "diskbench", .entry = count_on, .sched = {.shares = 1}};
    world_id counter;
    struct bench *b;
    mpn_t mpn;
    int code;

    if (count < 2 * DEPTH * PARTS)
        return;
    b = heap_alloc(sizeof(*b), MEM_OWNER_TEST);
    if (!b || page_alloc(5, MEM_OWNER_TEST, &mpn) != VMK_OK) {
        heap_free(b);
        return;
    }
    b->buffer = mpn_map(mpn);
    wait_queue_init(&b->queue, "diskbench");
    params.argument = b;
    if (world_create(&params, &counter) != VMK_OK)
        goto free;
    for (unsigned i = 0; storage_device_get(i, &info); i++) {
        if (info.size < READ || storage_open(info.name, &b->disk) != VMK_OK)
            continue;
        rng_init(&b->rng, 1, "diskbench", i);
        measure(b, info.name, 1, count, one_by_one);
        measure(b, info.name, DEPTH, count, many);
        storage_close(b->disk);
    }
    __atomic_store_n(&b->stop, true, __ATOMIC_RELAXED);
    if (world_wait(counter, PLAT_NS_NEVER, &code) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "DiskBench: the counting world did not end");
free:
    page_free(mpn, 5, MEM_OWNER_TEST);
    heap_free(b);
}
