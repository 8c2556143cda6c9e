// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/disk.c -- from block requests to commands a disk's hardware takes, and back.
 *
 * A request becomes one command after the other, each as large as the hardware allows; how far
 * it has come is kept in the request itself (`lower`). Memory the hardware cannot reach or
 * cannot reach at that alignment goes through a bounce buffer. A disk without FUA gets a FLUSH
 * after the write.
 *
 * Commands end in interrupt context and so do requests: done() runs there, after the queue's
 * lock is let go. A world between would cost two switches per request and every done() of the
 * tree is short (it wakes somebody or submits more). Errors that need waiting are the recovery
 * world's: see disk_recover.c.
 *
 * Invariants
 *   - A request is on waiting, or has exactly one command in flight, or is over: nothing else.
 *   - Every command in flight is on issued, oldest deadline first, since all have the same
 *     allowance.
 *   - done() is called with no lock held.
 * Locking    disk_queue.lock (rank IO), one at a time; done() may submit again.
 * Start at   submit(), start_waiting(), disk_command_done().
 */
#include "io/disk.h"

#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "io/disk_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "plat/plat_dev.h"

#define BOUNCE_ORDER 4u  // 64 KB, less when memory is short

/*
 * ---- how far a request has come: bytes, tries of the current command, the flush of a FUA ----
 */
#define STATE_BYTES  0xffffffffffffull
#define STATE_TRIES  48
#define STATE_FLUSH  BIT(63)

static uint64_t state_of(const struct block_request *request)
{
    return (uint64_t)(uintptr_t)request->lower;
}

static void state_set(struct block_request *request, uint64_t bytes, unsigned tries, bool flush)
{
    request->lower =
        (void *)(uintptr_t)(bytes | (uint64_t)tries << STATE_TRIES | (flush ? STATE_FLUSH : 0));
}

static uint64_t state_bytes(const struct block_request *request)
{
    return state_of(request) & STATE_BYTES;
}

static unsigned state_tries(const struct block_request *request)
{
    return state_of(request) >> STATE_TRIES & 0xff;
}

static bool state_flush(const struct block_request *request)
{
    return state_of(request) & STATE_FLUSH;
}

static void count(uint64_t *counter, uint64_t by)
{
    __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

/* ---- scatter and gather ---- */

/* The data at byte `at` of the request, and how much of it is in one piece. */
static char *data_at(const struct block_request *request, uint64_t at, uint64_t *room)
{
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *s = &request->segments[i];

        if (at < s->size) {
            *room = s->size - at;
            return (char *)s->data + at;
        }
        at -= s->size;
    }
    *room = 0;
    return NULL;
}

static void copy_data(const struct block_request *request, uint64_t at, char *with,
                      uint64_t size, bool to_request)
{
    while (size) {
        uint64_t room;
        char *data = data_at(request, at, &room);

        room = MIN(room, size);
        vmk_assert(data && room);
        memcpy(to_request ? data : with, to_request ? with : data, room);
        at += room;
        with += room;
        size -= room;
    }
}

/*
 * Adds a piece of memory to the command's extents; returns how much of it the hardware takes.
 */
static uint64_t add_extent(struct disk_command *c, const struct disk_limits *limits,
                           uint64_t address, uint64_t size)
{
    struct disk_extent *last = c->extent_count ? &c->extents[c->extent_count - 1] : NULL;
    const uint32_t most = limits->extent_max ? limits->extent_max : 1u << 30;
    const uint64_t align = limits->align ? limits->align - 1 : 0;
    const uint64_t inner = limits->inner_align ? limits->inner_align - 1 : 0;

    if (address & align || (limits->address_max && address + size - 1 > limits->address_max))
        return 0;
    size &= ~align;
    size = MIN(size, most);
    if (limits->extent_boundary)
        size = MIN(size, limits->extent_boundary - (address & (limits->extent_boundary - 1)));
    if (!size)
        return 0;
    if (last && last->address + last->size == address && last->size + size <= most &&
        (!limits->extent_boundary || address & (limits->extent_boundary - 1))) {
        last->size += (uint32_t)size;
        return size;
    }
    if (last && ((last->address + last->size) | address) & inner)
        return 0;
    if (c->extent_count == (limits->extents ? limits->extents : DISK_EXTENTS_MAX))
        return 0;
    c->extents[c->extent_count++] = (struct disk_extent){address, (uint32_t)size};
    return size;
}

/* Takes `excess` bytes off the end again. */
static void trim(struct disk_command *c, uint64_t excess)
{
    while (excess) {
        struct disk_extent *last = &c->extents[c->extent_count - 1];
        uint32_t part = (uint32_t)MIN(excess, last->size);

        last->size -= part;
        excess -= part;
        c->extent_count -= last->size == 0;
    }
}

/* As much of [at, at + size) as the hardware takes where it is: whole blocks, maybe none. */
static uint64_t map_direct(struct disk_command *c, uint64_t at, uint64_t size)
{
    const struct disk_limits *limits = &c->disk->limits;
    const uint32_t block = c->disk->block.block_size;
    uint64_t taken = 0;

    while (taken < size) {
        uint64_t room;
        char *data = data_at(c->request, at + taken, &room);
        uint64_t part;

        if (!data || !plat_is_direct(data))
            break;
        part = add_extent(c, limits, plat_unmap_address(data).raw, MIN(room, size - taken));
        if (!part)
            break;
        taken += part;
    }
    trim(c, taken % block);
    return taken - taken % block;
}

/* Through memory of our own: up to 64 KB, less when that is not to be had. 0: none at all. */
static uint64_t map_bounce(struct disk_command *c, uint64_t at, uint64_t size)
{
    const uint32_t block = c->disk->block.block_size;
    uint64_t taken = 0;
    unsigned order = BOUNCE_ORDER;
    mpn_t mpn;

    while (order && PAGE_SIZE << (order - 1) >= size)
        order--;
    while (page_alloc(order, MEM_OWNER_KERNEL, &mpn) != VMK_OK) {
        if (order == 0 || PAGE_SIZE << (order - 1) < block)
            return 0;
        order--;
    }
    size = MIN(size, PAGE_SIZE << order);
    size -= size % block;
    c->bounce = mpn_map(mpn);
    c->bounce_order = order;
    while (taken < size) {
        uint64_t part = add_extent(c, &c->disk->limits,
                                   plat_unmap_address(c->bounce).raw + taken, size - taken);

        if (!part)
            break;
        taken += part;
    }
    trim(c, taken % block);
    if (c->op != BLOCK_READ)
        copy_data(c->request, at, c->bounce, taken - taken % block, false);
    return taken - taken % block;
}

static void drop_bounce(struct disk_command *c)
{
    if (c->bounce)
        page_free(paddr_to_mpn(plat_unmap_address(c->bounce)), c->bounce_order,
                  MEM_OWNER_KERNEL);
    c->bounce = NULL;
}

static bool has_no_data(enum block_op op)
{
    return op == BLOCK_FLUSH || op == BLOCK_RESERVE || op == BLOCK_RELEASE;
}

/* Fills a command with the next part of its request. False: no memory to bounce through. */
static bool build(struct disk_command *c, struct block_request *request)
{
    const struct disk_limits *limits = &c->disk->limits;
    const uint64_t at = state_bytes(request);
    uint64_t size = request->size - at;
    uint64_t most = limits->transfer_max ? limits->transfer_max : 1u << 30;

    c->request = request;
    c->op = state_flush(request) ? BLOCK_FLUSH : request->op;
    c->fua = request->fua && limits->has_fua && c->op == BLOCK_WRITE;
    c->offset = request->offset + at;
    c->extent_count = 0;
    c->size = 0;
    c->blamed = false;
    if (has_no_data(c->op))
        return true;
    if (c->op == BLOCK_DISCARD) {
        most = limits->discard_max ? limits->discard_max : 1u << 30;
        c->size = (uint32_t)MIN(size, most);
        return true;
    }
    if (c->op == BLOCK_COMPARE_WRITE) {
        c->size = (uint32_t)size;
        if (map_direct(c, 0, 2 * size) == 2 * size)
            return true;
        c->extent_count = 0;
        return map_bounce(c, 0, 2 * size) == 2 * size;
    }
    size = MIN(size, most);
    c->size = (uint32_t)map_direct(c, at, size);
    if (!c->size) {
        c->extent_count = 0;
        c->size = (uint32_t)map_bounce(c, at, size);
    }
    return c->size;
}

/* ---- the queue ---- */

/* The request is answered; its done() is called when the lock is let go. */
static void finish(struct disk_queue *q, struct disk *disk, struct block_request *request,
                   vmk_status status)
{
    request->status = status;
    if (status != VMK_OK && status != VMK_AGAIN)
        count(&disk->block.stats.errors, 1);
    count(&disk->block.stats.latency_sum, plat_time_now() - request->submitted);
    list_add_tail(&q->over, &request->link);
}

static bool wants_to_be_alone(const struct disk *disk, const struct block_request *request)
{
    return disk->limits.lone_flush &&
           (request->op == BLOCK_FLUSH || request->op == BLOCK_DISCARD || state_flush(request));
}

static void arm_timer(struct disk_port *port, plat_ns now)
{
    if (!__atomic_exchange_n(&port->timer_armed, true, __ATOMIC_ACQ_REL))
        timer_arm(&port->timer, now + port->timeout / 4);
}

/* Starts the first request that waits for this disk. False: it has to wait on. */
static bool start_one(struct disk_queue *q, struct disk *disk)
{
    struct list *waiting = &q->waiting[disk->index];
    struct block_request *request = list_entry(waiting->next, struct block_request, link);
    struct disk_command *c = list_entry(q->free.next, struct disk_command, link);
    const bool alone = wants_to_be_alone(disk, request);

    if ((alone || q->careful) && q->in_flight)
        return false;
    c->disk = disk;
    if (!build(c, request)) {
        drop_bounce(c);
        c->request = NULL;
        if (q->in_flight)  // what is in flight gives memory back
            return false;
        list_remove(&request->link);
        finish(q, disk, request, VMK_NO_MEMORY);
        return true;
    }
    list_remove(&request->link);
    list_remove(&c->link);
    list_add_tail(&q->issued, &c->link);
    q->in_flight++;
    q->lone = alone;
    c->deadline = plat_time_now() + q->port->timeout;
    arm_timer(q->port, c->deadline - q->port->timeout);
    q->port->ops->issue(q, c);
    return true;
}

/* Gives the disks of the port their turns until nothing more can start. */
static void start_waiting(struct disk_queue *q)
{
    struct disk_port *port = q->port;
    unsigned idle = 0;
    bool any = false;

    while (idle < port->disk_count && !q->lone && !list_is_empty(&q->free) &&
           !__atomic_load_n(&port->stopped, __ATOMIC_ACQUIRE)) {
        struct disk *disk = port->disks[q->next % port->disk_count];

        q->next = (q->next + 1) % port->disk_count;
        if (!list_is_empty(&q->waiting[disk->index]) && start_one(q, disk)) {
            idle = 0;
            any = true;
        } else {
            idle++;
        }
    }
    if (any && port->ops->ring)
        port->ops->ring(q);
}

bool disk_queue_enter(struct disk_queue *q, bool *irqs)
{
    *irqs = spin_lock(&q->lock);
    if (!__atomic_load_n(&q->port->stopped, __ATOMIC_ACQUIRE))
        return true;
    spin_unlock(&q->lock, *irqs);
    return false;
}

void disk_queue_leave(struct disk_queue *q, bool irqs)
{
    struct list done;

    start_waiting(q);
    list_init(&done);
    while (!list_is_empty(&q->over)) {
        struct list *node = q->over.next;

        list_remove(node);
        list_add_tail(&done, node);
    }
    spin_unlock(&q->lock, false);
    while (!list_is_empty(&done)) {
        struct block_request *request = list_entry(done.next, struct block_request, link);

        list_remove(&request->link);
        request->done(request);
    }
    plat_irq_restore(irqs);
}

bool disk_queue_interrupt(struct disk_queue *q)
{
    bool irqs;

    if (!disk_queue_enter(q, &irqs))
        return false;
    q->port->ops->poll(q);
    disk_queue_leave(q, irqs);
    return true;
}

static void submit(struct block_device *device, struct block_request *request)
{
    struct disk *disk = container_of(device, struct disk, block);
    struct disk_port *port = disk->port;
    const bool irqs = plat_irq_save();
    struct disk_queue *q = &port->queues[plat_cpu_self() % port->queue_count];

    state_set(request, 0, 0, false);
    request->submitted = plat_time_now();
    spin_lock_irqs_off(&q->lock);
    if (__atomic_load_n(&port->dead, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&disk->gone, __ATOMIC_ACQUIRE))
        finish(q, disk, request, VMK_NO_DEVICE);
    else if (request->op == BLOCK_FLUSH && disk->limits.no_cache)
        finish(q, disk, request, VMK_OK);
    else
        list_add_tail(&q->waiting[disk->index], &request->link);
    disk_queue_leave(q, irqs);
}

/* The port is reset as a whole: these adapters know nothing smaller. */
static vmk_status reset(struct block_device *device)
{
    disk_port_fail(container_of(device, struct disk, block)->port);
    return block_flush(device);  // it works again
}

static const struct block_ops block_ops = {
    .submit = submit, .reset = reset, .panic_write = disk_panic_write};

/* ---- the end of a command ---- */

struct disk_command *disk_command_of(struct disk_queue *q, unsigned tag)
{
    return tag < q->depth && q->commands[tag].request ? &q->commands[tag] : NULL;
}

/* The rest of the request, or the same part again, before all others. */
static void go_on(struct disk_queue *q, struct disk *disk, struct block_request *request)
{
    list_add_head(&q->waiting[disk->index], &request->link);
}

static void succeeded(struct disk_queue *q, struct disk_command *c)
{
    struct block_request *request = c->request;
    uint64_t bytes = state_bytes(request) + c->size;

    if (c->bounce && c->op == BLOCK_READ)
        copy_data(request, state_bytes(request), c->bounce, c->size, true);
    if (has_no_data(c->op) || c->op == BLOCK_COMPARE_WRITE) {
        finish(q, c->disk, request, VMK_OK);
    } else if (bytes < request->size) {
        state_set(request, bytes, 0, false);
        go_on(q, c->disk, request);
    } else if (request->op == BLOCK_WRITE && request->fua && !c->fua &&
               !c->disk->limits.no_cache) {
        state_set(request, bytes, 0, true);
        go_on(q, c->disk, request);
    } else {
        finish(q, c->disk, request, VMK_OK);
    }
}

static void try_again(struct disk_queue *q, struct disk_command *c, bool counted)
{
    struct block_request *request = c->request;
    unsigned tries = state_tries(request) + counted;

    if (tries >= DISK_TRIES_MAX) {
        vmk_log(VMK_LOG_WARN, "ScsiDevice: %s: %s at block %llu failed %u times, given up",
                c->disk->block.name, disk_op_name(c->op),
                (unsigned long long)(c->offset / c->disk->block.block_size), tries);
        finish(q, c->disk, request, c->blamed ? VMK_TIMEOUT : VMK_IO_ERROR);
        return;
    }
    count(&c->disk->block.stats.retries, 1);
    state_set(request, state_bytes(request), tries, state_flush(request));
    go_on(q, c->disk, request);
}

/* Takes the command out of flight; its request is left to the caller. */
static void retire(struct disk_queue *q, struct disk_command *c)
{
    drop_bounce(c);
    c->request = NULL;
    list_remove(&c->link);
    list_add_head(&q->free, &c->link);
    q->in_flight--;
    q->careful -= q->careful > 0;
    q->lone = false;
}

void disk_command_done(struct disk_queue *q, struct disk_command *c, enum disk_result result)
{
    struct block_request *request = c->request;
    vmk_status status = VMK_IO_ERROR;

    vmk_assert(request);
    if (result != DISK_GONE)
        q->port->futile = 0;  // it answers
    switch (result) {
    case DISK_OK: succeeded(q, c); goto retire;
    case DISK_TRANSIENT: try_again(q, c, true); goto retire;
    case DISK_MEDIUM:
        vmk_log(VMK_LOG_WARN, "ScsiDevice: %s: medium error, %s at block %llu, %u bytes",
                c->disk->block.name, disk_op_name(c->op),
                (unsigned long long)(c->offset / c->disk->block.block_size), c->size);
        break;
    case DISK_MISCOMPARE: status = VMK_AGAIN; break;
    case DISK_PROTECTED: status = VMK_READ_ONLY; break;
    case DISK_RESERVED: status = VMK_BUSY; break;
    case DISK_UNSUPPORTED: status = VMK_UNSUPPORTED; break;
    case DISK_GONE: status = VMK_NO_DEVICE; break;
    }
    finish(q, c->disk, request, status);
retire:
    retire(q, c);
}

void disk_command_again(struct disk_queue *q, struct disk_command *c, bool counted)
{
    try_again(q, c, counted);
    retire(q, c);
}

void disk_queue_fail_waiting(struct disk_queue *q, struct disk *disk)
{
    struct list *waiting = &q->waiting[disk->index];

    while (!list_is_empty(waiting)) {
        struct block_request *request = list_entry(waiting->next, struct block_request, link);

        list_remove(&request->link);
        finish(q, disk, request, VMK_NO_DEVICE);
    }
}

const char *disk_op_name(enum block_op op)
{
    static const char *const names[] = {"read",          "write",   "flush",  "discard",
                                        "compare-write", "reserve", "release"};

    return names[op];
}

/* ---- making ports and disks ---- */

/* Nothing waits, is in flight or is over: at first, and when a panic forgets what was. */
void disk_queue_clear(struct disk_queue *q)
{
    spin_init(&q->lock, "disk queue", LOCK_RANK_IO);
    list_init(&q->free);
    list_init(&q->issued);
    list_init(&q->over);
    for (unsigned i = 0; i < DISK_UNITS_MAX; i++)
        list_init(&q->waiting[i]);
    q->in_flight = q->careful = 0;
    q->lone = false;
    for (unsigned i = 0; i < q->depth; i++) {
        q->commands[i].request = NULL;
        q->commands[i].bounce = NULL;
        q->commands[i].tag = i;
        list_add_tail(&q->free, &q->commands[i].link);
    }
}

static vmk_status init_queue(struct disk_port *port, unsigned index, unsigned depth)
{
    struct disk_queue *q = &port->queues[index];

    q->port = port;
    q->index = index;
    q->commands = heap_alloc(depth * sizeof(*q->commands), MEM_OWNER_KERNEL);
    if (!q->commands)
        return VMK_NO_MEMORY;
    q->depth = depth;
    disk_queue_clear(q);
    return VMK_OK;
}

vmk_status disk_port_init(struct disk_port *port, const char *name,
                          const struct disk_driver *ops, void *driver, unsigned queue_count,
                          unsigned depth)
{
    vmk_status status = VMK_OK;

    vmk_assert(queue_count && queue_count <= DISK_QUEUES_MAX && depth &&
               depth <= DISK_DEPTH_MAX);
    vmk_snprintf(port->name, sizeof(port->name), "%s", name);
    port->ops = ops;
    port->driver = driver;
    port->timeout = MAX(core_option_u64("disk-timeout", 10000), 1ull) * 1000000;
    port->queue_count = queue_count;
    port->queues = heap_alloc(queue_count * sizeof(*port->queues), MEM_OWNER_KERNEL);
    if (!port->queues)
        return VMK_NO_MEMORY;
    for (unsigned i = 0; i < queue_count && status == VMK_OK; i++)
        status = init_queue(port, i, depth);
    if (status == VMK_OK)
        status = disk_recovery_start(port);
    if (status != VMK_OK) {
        for (unsigned i = 0; i < queue_count; i++)
            heap_free(port->queues[i].commands);
        heap_free(port->queues);
        port->queues = NULL;
    }
    return status;
}

vmk_status disk_add(struct disk_port *port, struct disk *disk)
{
    if (port->disk_count == DISK_UNITS_MAX)
        return VMK_NO_SPACE;
    disk->port = port;
    disk->index = port->disk_count;
    disk->block.ops = &block_ops;
    port->disks[port->disk_count] = disk;
    __atomic_store_n(&port->disk_count, port->disk_count + 1, __ATOMIC_RELEASE);
    return VMK_OK;
}

/* ---- names ---- */

void disk_name_t10(char *out, size_t room, const char *vendor8, const char *model,
                   const char *serial)
{
    int n = vmk_snprintf(out, room, "t10.%-8.8s%-40.40s%-20.20s", vendor8, model, serial);

    for (int i = 0; i < n && i + 1 < (int)room; i++) {
        char c = out[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
            c != '.' && c != '-')
            out[i] = '_';
    }
}

void disk_ata_text(char *out, size_t room, const void *words, unsigned bytes)
{
    const char *from = words;
    size_t n = 0;

    for (unsigned i = 0; i < bytes && n + 1 < room; i++)
        out[n++] = from[i ^ 1] ? from[i ^ 1] : ' ';
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = 0;
}
