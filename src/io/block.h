// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/block.h -- block devices: what a disk, a partition, a fault shim or an image file offers.
 *
 * A device is a value with operations, so that one can stand on another: a partition on a disk,
 * a recorder that can lose or reorder writes on either. Requests are asynchronous with
 * scatter/gather; block_io() and its short forms wait. A device whose submit() answers before
 * it returns (an image file, a model without latency) never makes anybody wait, so the same
 * file systems run in a command-line tool without a running kernel.
 *
 * What a device promises about power cuts, and all that a file system may rely on: a completed
 * FLUSH makes every write completed before it durable; a completed FUA write is durable; a
 * single block is written whole or not at all; everything else may be lost or arrive in any
 * order.
 */
#pragma once

#include "core/status.h"
#include "lib/list.h"
#include "plat/plat_types.h"

#define BLOCK_NAME_SIZE 96u

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,
    BLOCK_DISCARD,        // contents may become zeros; no promise
    BLOCK_COMPARE_WRITE,  // SCSI COMPARE AND WRITE: one block, atomic on the device
    BLOCK_RESERVE,        // SCSI RESERVE: others' commands are refused until RELEASE or a reset
    BLOCK_RELEASE,
};

struct block_segment {
    void *data;  // kernel address, direct-mapped
    uint32_t size;
};

struct block_request {
    // The submitter fills these and keeps them until done.
    enum block_op op;
    bool fua;         // WRITE: durable before done
    uint64_t offset;  // bytes, multiple of the block size
    uint64_t size;  // bytes; COMPARE_WRITE: one block, segments are the expected, then the new
    const struct block_segment *segments;
    uint32_t segment_count;
    uint32_t client;  // who pays and is counted: a VM's id, or 0 for the kernel
    /* Called once, any context, after `status` is set; may free or reuse the request. */
    void (*done)(struct block_request *request);
    void *context;
    // The device fills these.
    vmk_status status;  // COMPARE_WRITE: AGAIN if the block was not as expected
    uint32_t world;     // whose system time it is; 0: nobody's. For devices with a helper world
    // Free for the layer that holds the request.
    struct list link;
    plat_ns submitted;
    void *lower;
};

struct block_device;

struct block_ops {
    /* Starts it; done() may come before this returns. Any context. */
    void (*submit)(struct block_device *device, struct block_request *request);
    /*
     * Resets, and reservations go; requests in flight are done again. World context. May be
     * null.
     */
    vmk_status (*reset)(struct block_device *device);
    /* Nobody uses it any more. May be null. */
    void (*destroy)(struct block_device *device);
    /* See block_panic_write(). Null: this device cannot. */
    vmk_status (*panic_write)(struct block_device *device, uint64_t offset, const void *from,
                              uint32_t size);
};

struct block_stats {
    uint64_t reads, writes, flushes, discards, compares;
    uint64_t read_bytes, write_bytes;
    uint64_t errors, retries, resets;
    plat_ns latency_sum;
};

struct block_device {
    char name[BLOCK_NAME_SIZE];  // ESXi's: mpx.vmhba0:C0:T0:L0, naa...., t10....
    const struct block_ops *ops;
    uint64_t size;          // bytes
    uint32_t block_size;    // bytes, a power of two >= 512
    uint32_t max_transfer;  // bytes per request, 0: no limit
    bool read_only, can_discard, can_compare_write, can_reserve, rotational, removable;
    struct block_stats stats;  // (a)
    void *context;             // the driver's
};

/*
 * Checks range and alignment, counts, submits. A request that is wrong is answered BAD_PARAM.
 */
void block_submit(struct block_device *device, struct block_request *request);
/* Submits and waits. World context, nothing locked. [switch] */
must_check vmk_status block_io(struct block_device *device, struct block_request *request);

/*
 * Several at once: begin, add each, which submits it, and end, which waits for all, in whatever
 * order they are done. end() returns the first status that is not OK. World context; a batch
 * belongs to its world. [switch] at the end.
 */
struct block_batch {
    struct wait_queue *queue;
    uint32_t left;  // requests that are not done
    plat_ns begun;
};
void block_batch_begin(struct block_batch *batch);
void block_batch_add(struct block_batch *batch, struct block_device *device,
                     struct block_request *request);
must_check vmk_status block_batch_end(struct block_batch *batch,
                                      const struct block_request *requests, uint32_t count);

/*
 * One request each and the wait for it; offset and size are bytes, multiples of block_size.
 * Longer than max_transfer: in parts. World context, nothing locked. [switch]
 */
must_check vmk_status block_read(struct block_device *device, uint64_t offset, void *to,
                                 uint64_t size);
must_check vmk_status block_write(struct block_device *device, uint64_t offset,
                                  const void *from, uint64_t size);
/* Durable when it returns; what was written before is not. */
must_check vmk_status block_write_fua(struct block_device *device, uint64_t offset,
                                      const void *from, uint64_t size);
must_check vmk_status block_flush(struct block_device *device);
/*
 * SCSI RESERVE, or RELEASE. UNSUPPORTED; BUSY: another has it, and then this host's requests
 * end so too.
 */
must_check vmk_status block_reserve(struct block_device *device, bool take);
/* The adapter's port is reset; returns when the device works again. UNSUPPORTED. */
must_check vmk_status block_reset(struct block_device *device);
must_check vmk_status block_discard(struct block_device *device, uint64_t offset,
                                    uint64_t size);
/* OK; AGAIN if the block was not as expected; UNSUPPORTED where the device cannot. */
must_check vmk_status block_compare_write(struct block_device *device, uint64_t offset,
                                          const void *expected, const void *fresh);
/*
 * From a panic, when nobody else runs and nothing interrupts: writes and waits by looking at
 * the hardware. What was in flight is lost. `from` is direct-mapped; size 0: a flush.
 * UNSUPPORTED where the device cannot.
 */
must_check vmk_status block_panic_write(struct block_device *device, uint64_t offset,
                                        const void *from, uint32_t size);
