// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_device.c -- a virtual disk as a block device, and its files through the VFS.
 *
 * Files are read and written by calls that block; a device's submit() may not. So each disk has
 * a world that takes requests from a queue, in order. That makes FLUSH simple: what was
 * submitted before it is done before it.
 *
 * Invariants
 *   - Only the worker touches the disk between create and destroy.
 *   - The queue is empty when the worker ends.
 * Locking    queue lock (rank WAITQ) for the list of requests and `stop`.
 * Start at   vmdk_device_open(), work().
 */
#include "fs/vmdk/vmdk_device.h"

#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vfs.h"
#include "fs/vmdk/vmdk_turns.h"
#include "io/ioshares.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "sched/sched.h"
#include "world/world.h"

/* ---- files through the VFS ---- */

static vmk_status vfs_store_open(struct vmdk_store *store, const char *name,
                                 enum vmdk_open_how how, void **out)
{
    static const uint32_t flags[] = {VFS_O_RDONLY, VFS_O_RDWR,
                                     VFS_O_RDWR | VFS_O_CREAT | VFS_O_EXCL};
    const struct vfs_where where = vfs_where_kernel();
    struct file *file;
    struct vfs_attr attr;
    vmk_status status = vfs_open(&where, name, flags[how], 0600, &file);

    (void)store;
    if (status != VMK_OK)
        return status;
    status = file_getattr(file, &attr);
    if (status == VMK_OK && (attr.mode & VFS_TYPE_MASK) != VFS_TYPE_REGULAR)
        status = VMK_IS_DIR;
    if (status != VMK_OK) {
        file_put(file);
        return status;
    }
    *out = file;
    return VMK_OK;
}

static void vfs_store_close(struct vmdk_store *store, void *file)
{
    (void)store;
    file_put(file);
}

static vmk_status vfs_store_read(struct vmdk_store *store, void *file, uint64_t offset,
                                 void *to, size_t size)
{
    (void)store;
    while (size) {
        size_t done = 0;
        vmk_status status = file_pread(file, to, size, offset, &done);

        if (status != VMK_OK)
            return status;
        if (!done) {
            memset(to, 0, size);
            break;
        }
        to = (char *)to + done;
        offset += done;
        size -= done;
    }
    return VMK_OK;
}

static vmk_status vfs_store_write(struct vmdk_store *store, void *file, uint64_t offset,
                                  const void *from, size_t size)
{
    (void)store;
    while (size) {
        size_t done = 0;
        vmk_status status = file_pwrite(file, from, size, offset, &done);

        if (status != VMK_OK || !done)
            return status != VMK_OK ? status : VMK_IO_ERROR;
        from = (const char *)from + done;
        offset += done;
        size -= done;
    }
    return VMK_OK;
}

static vmk_status vfs_store_size(struct vmdk_store *store, void *file, uint64_t *size)
{
    struct vfs_attr attr = {.size = 0};
    vmk_status status = file_getattr(file, &attr);

    (void)store;
    *size = attr.size;
    return status;
}

static vmk_status vfs_store_truncate(struct vmdk_store *store, void *file, uint64_t size)
{
    (void)store;
    return file_truncate(file, size);
}

static vmk_status vfs_store_sync(struct vmdk_store *store, void *file)
{
    (void)store;
    return file_fsync(file, false);
}

static vmk_status vfs_store_rename(struct vmdk_store *store, const char *from, const char *to)
{
    const struct vfs_where where = vfs_where_kernel();

    (void)store;
    return vfs_rename(&where, from, &where, to, 0);
}

static vmk_status vfs_store_remove(struct vmdk_store *store, const char *name)
{
    const struct vfs_where where = vfs_where_kernel();

    (void)store;
    return vfs_unlink(&where, name);
}

static vmk_status vfs_store_used(struct vmdk_store *store, void *file, uint64_t *bytes)
{
    struct vfs_attr attr = {.blocks = 0};
    vmk_status status = file_getattr(file, &attr);

    (void)store;
    *bytes = attr.blocks * 512;
    return status;
}

static uint64_t vfs_store_random(struct vmdk_store *store)
{
    uint64_t value = 0;

    (void)store;
    vfs_random(&value, sizeof(value));
    return value;
}

static const struct vmdk_store_ops vfs_store_ops = {
    .open = vfs_store_open,
    .close = vfs_store_close,
    .read = vfs_store_read,
    .write = vfs_store_write,
    .size = vfs_store_size,
    .truncate = vfs_store_truncate,
    .sync = vfs_store_sync,
    .rename = vfs_store_rename,
    .remove = vfs_store_remove,
    .used = vfs_store_used,
    .random = vfs_store_random,
};

struct vmdk_store *vmdk_vfs_store(void)
{
    /* Nothing in it changes, so one constant serves every host. */
    static const struct vmdk_store store = {.ops = &vfs_store_ops};

    return (struct vmdk_store *)(uintptr_t)&store;
}

/* ---- the device ---- */

struct vmdk_device {
    struct block_device device;
    struct vmdk *disk;        // the worker's
    struct wait_queue queue;  // the worker waits here
    struct list requests;     // queue.lock; struct block_request.link
    bool stop;                // queue.lock
    struct vmdk_turn turn;    // the worker's
    world_id worker;          // (i)
};

static vmk_status transfer(struct vmdk *disk, const struct block_request *request)
{
    uint64_t offset = request->offset;

    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *s = &request->segments[i];
        vmk_status status = request->op == BLOCK_READ
                                ? vmdk_read(disk, offset, s->data, s->size)
                                : vmdk_write(disk, offset, s->data, s->size);

        if (status != VMK_OK)
            return status;
        offset += s->size;
    }
    return VMK_OK;
}

/* Nobody else uses the disk, so reading, comparing and writing is one step. */
static vmk_status compare_write(struct vmdk *disk, const struct block_request *request)
{
    uint8_t want[2 * VMDK_SECTOR];
    uint8_t now[VMDK_SECTOR];
    size_t at = 0;
    vmk_status status;

    for (uint32_t i = 0; i < request->segment_count; i++) {
        memcpy(want + at, request->segments[i].data, request->segments[i].size);
        at += request->segments[i].size;
    }
    status = vmdk_read(disk, request->offset, now, sizeof(now));
    if (status == VMK_OK && memcmp(now, want, sizeof(now)) != 0)
        return VMK_AGAIN;
    return status == VMK_OK ? vmdk_write(disk, request->offset, want + VMDK_SECTOR, VMDK_SECTOR)
                            : status;
}

static vmk_status serve(struct vmdk *disk, const struct block_request *request)
{
    vmk_status status;

    switch (request->op) {
    case BLOCK_READ: return transfer(disk, request);
    case BLOCK_WRITE:
        status = transfer(disk, request);
        return status == VMK_OK && request->fua ? vmdk_flush(disk) : status;
    case BLOCK_FLUSH: return vmdk_flush(disk);
    case BLOCK_DISCARD: return vmdk_discard(disk, request->offset, request->size);
    case BLOCK_COMPARE_WRITE: return compare_write(disk, request);
    case BLOCK_RESERVE:
    case BLOCK_RELEASE: break;
    }
    return VMK_UNSUPPORTED;
}

/* The next request, or null when it is time to end. */
static struct block_request *next_request(struct vmdk_device *d)
{
    struct block_request *request = NULL;
    bool irqs = plat_irq_save();

    for (;;) {
        spin_lock_irqs_off(&d->queue.lock);
        if (!list_is_empty(&d->requests)) {
            request = list_entry(d->requests.next, struct block_request, link);
            list_remove(&request->link);
            break;
        }
        if (d->stop)
            break;
        (void)!wait_queue_block_as(&d->queue, PLAT_NS_NEVER, WAIT_FIRM);
    }
    spin_unlock_irqs_off(&d->queue.lock);
    plat_irq_restore(irqs);
    return request;
}

/* What the next request costs; 0: none is there yet. */
static uint64_t cost_waiting(struct vmdk_device *d)
{
    uint64_t cost = 0;
    bool irqs = spin_lock(&d->queue.lock);

    if (!list_is_empty(&d->requests))
        cost = ioshares_cost(list_entry(d->requests.next, struct block_request, link));
    spin_unlock(&d->queue.lock, irqs);
    return cost;
}

static void work(void *argument)
{
    struct vmdk_device *d = argument;
    struct block_request *request;

    /*
     * What this world computes for a request is its submitter's time: %SYS there, %OVRLP here.
     */
    while ((request = next_request(d))) {
        const uint32_t world = request->world;
        plat_ns before;

        vmdk_turn_take(&d->turn, ioshares_cost(request));
        before = sched_run_time();
        request->status = serve(d->disk, request);
        request->done(request);  // it is not ours any more
        if (world)
            sched_system_time(world, sched_run_time() - before);
        vmdk_turn_give(&d->turn, cost_waiting(d));
    }
}

static void submit(struct block_device *device, struct block_request *request)
{
    struct vmdk_device *d = device->context;
    bool irqs = spin_lock(&d->queue.lock);

    request->world = irqs ? world_current()->id.raw : 0;  // an interrupt is nobody's
    list_add_tail(&d->requests, &request->link);
    spin_unlock(&d->queue.lock, irqs);
    wait_queue_wake(&d->queue, 1);
}

static void destroy(struct block_device *device)
{
    struct vmdk_device *d = device->context;
    bool irqs = spin_lock(&d->queue.lock);
    vmk_status status;
    int code;

    d->stop = true;
    spin_unlock(&d->queue.lock, irqs);
    wait_queue_wake(&d->queue, WAIT_QUEUE_ALL);
    (void)!world_wait(d->worker, PLAT_NS_NEVER, &code);
    vmdk_turn_leave(&d->turn);
    status = vmdk_close(d->disk);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "VMDK: %s: what was written last may be lost: %s", device->name,
                vmk_status_text(status));
    heap_free(d);
}

static const struct block_ops device_ops = {.submit = submit, .destroy = destroy};

/* What all disks of one file system have in common; the file that is open keeps it mounted. */
static const void *volume_of(const char *path)
{
    const struct vfs_where where = vfs_where_kernel();
    const void *volume = NULL;
    struct vnode *node;

    if (vfs_walk(&where, path, 0, &node) == VMK_OK) {
        volume = node->mount;
        vnode_put(node);
    }
    return volume;
}

/* The disk becomes the device's. NO_MEMORY. */
static vmk_status vmdk_device_create(struct vmdk *disk, const char *name, uint32_t shares,
                                     struct block_device **out)
{
    struct vmdk_device *d = heap_alloc(sizeof(*d), MEM_OWNER_FS);
    const struct world_params params = {.name = "vmdk", .entry = work, .argument = d};
    vmk_status status;

    if (!d)
        return VMK_NO_MEMORY;
    d->disk = disk;
    wait_queue_init(&d->queue, "vmdk");
    list_init(&d->requests);
    d->device = (struct block_device){.ops = &device_ops,
                                      .size = vmdk_capacity(disk),
                                      .block_size = VMDK_SECTOR,
                                      .read_only = vmdk_read_only(disk),
                                      .can_discard = !vmdk_read_only(disk),
                                      .can_compare_write = !vmdk_read_only(disk),
                                      .context = d};
    (void)vmk_snprintf(d->device.name, sizeof(d->device.name), "%s", name);
    status = vmdk_turn_join(&d->turn, volume_of(name), shares);
    if (status != VMK_OK) {
        heap_free(d);
        return status;
    }
    status = world_create(&params, &d->worker);
    if (status != VMK_OK) {
        vmdk_turn_leave(&d->turn);
        heap_free(d);
        return status;
    }
    *out = &d->device;
    return VMK_OK;
}

static void log_line(void *argument, const char *text)
{
    (void)argument;
    vmk_log(VMK_LOG_WARN, "VMDK: %s", text);
}

vmk_status vmdk_device_open(const char *path, bool read_only, uint32_t shares,
                            struct block_device **out)
{
    static const struct vmdk_report report = {.line = log_line};
    struct vmdk *disk;
    vmk_status status = vmdk_open(vmdk_vfs_store(), path, read_only, &report, &disk);

    if (status != VMK_OK)
        return status;
    status = vmdk_device_create(disk, path, shares, out);
    if (status != VMK_OK)
        (void)!vmdk_close(disk);
    return status;
}
