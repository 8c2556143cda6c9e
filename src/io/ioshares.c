// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/ioshares.c -- start-time fair queueing with a depth, SFQ(D), as a block device.
 *
 * Each request gets a start tag, the later of the disk's virtual time and its client's last
 * finish tag, and a finish tag, its cost over the client's shares later. Requests leave in
 * order of start tags, `depth` of them at a time; the virtual time is the start tag of the last
 * that left. So a client that was away comes back at the present: it neither pays for its
 * absence nor gains by it.
 *
 * The cost is what a disk's time goes for: a fixed part per request, as much as 16 KB of data,
 * and the data. Turned down: counting requests, which favours who asks for much at a time, and
 * counting bytes, which favours who asks for little.
 *
 * Invariants
 *   - A request that waits is on its client's list, its start tag in `lower`; one that is with
 *     the disk has a slot. So nothing is allocated on the way.
 *   - in_flight <= depth; while anybody waits, in_flight == depth.
 *   - done() of the request is the submitter's own, called with nothing locked.
 * Locking    ioshares.lock (rank IO); the disk below is called without it.
 * Start at   dispatch().
 * Sources    [SFQD]
 */
#include "io/ioshares.h"

#include "core/assert.h"
#include "core/heap.h"
#include "core/spinlock.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

#define COST_FIXED 16384u
#define COST_FLUSH 65536u
#define TAG_SCALE  IOSHARES_MAX  // a byte of somebody with the most shares

struct client {
    uint32_t id;
    uint32_t shares;
    uint64_t finish;      // tag of its last request
    struct list waiting;  // requests
    bool used;
};

/*
 * What goes down in the request's place, so that its own fields stay the submitter's and ours.
 */
struct slot {
    struct block_request below;
    struct block_request *request;
    struct ioshares *shares;
    struct list link;  // free
};

struct ioshares {
    struct block_device device;
    struct block_device *disk;
    struct spinlock lock;
    struct client clients[IOSHARES_CLIENTS + 1];  // [0]: everybody without a slot
    uint64_t now;                                 // virtual time
    unsigned depth, in_flight;
    unsigned last;  // no client beyond this index was ever used
    struct list free;
    struct slot slots[];  // depth
};

uint64_t ioshares_cost(const struct block_request *request)
{
    switch (request->op) {
    case BLOCK_READ:
    case BLOCK_WRITE: return COST_FIXED + request->size;
    case BLOCK_FLUSH: return COST_FLUSH;
    case BLOCK_DISCARD:
    case BLOCK_COMPARE_WRITE:
    case BLOCK_RESERVE:
    case BLOCK_RELEASE: break;
    }
    return COST_FIXED;
}

static struct client *find(struct ioshares *s, uint32_t id)
{
    for (unsigned i = 1; i <= s->last; i++)
        if (s->clients[i].used && s->clients[i].id == id)
            return &s->clients[i];
    return NULL;
}

static uint64_t start_of(const struct block_request *request)
{
    return (uint64_t)(uintptr_t)request->lower;
}

/* With the lock held: who is next, in a slot; null if nobody may go. */
static struct slot *next(struct ioshares *s)
{
    struct block_request *best = NULL;
    struct slot *slot;

    if (list_is_empty(&s->free))
        return NULL;
    for (unsigned i = 0; i <= s->last; i++) {
        const struct list *waiting = &s->clients[i].waiting;
        struct block_request *r = list_entry(waiting->next, struct block_request, link);

        if (!list_is_empty(waiting) && (!best || start_of(r) < start_of(best)))
            best = r;
    }
    if (!best)
        return NULL;
    list_remove(&best->link);
    s->now = start_of(best);
    s->in_flight++;
    slot = list_entry(s->free.next, struct slot, link);
    list_remove(&slot->link);
    slot->request = best;
    return slot;
}

static void below_done(struct block_request *below);

/* Sends what may go; called with nothing locked, since the disk may answer at once. */
static void dispatch(struct ioshares *s)
{
    for (;;) {
        bool irqs = spin_lock(&s->lock);
        struct slot *slot = next(s);

        spin_unlock(&s->lock, irqs);
        if (!slot)
            return;
        slot->below = (struct block_request){.op = slot->request->op,
                                             .fua = slot->request->fua,
                                             .offset = slot->request->offset,
                                             .size = slot->request->size,
                                             .segments = slot->request->segments,
                                             .segment_count = slot->request->segment_count,
                                             .client = slot->request->client,
                                             .done = below_done,
                                             .context = slot};
        block_submit(s->disk, &slot->below);
    }
}

static void below_done(struct block_request *below)
{
    struct slot *slot = below->context;
    struct ioshares *s = slot->shares;
    struct block_request *request = slot->request;
    struct block_stats *stats = &s->device.stats;
    bool irqs;

    request->status = below->status;
    if (request->status != VMK_OK && request->status != VMK_AGAIN)
        __atomic_fetch_add(&stats->errors, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&stats->latency_sum, plat_time_now() - request->submitted,
                       __ATOMIC_RELAXED);
    irqs = spin_lock(&s->lock);
    s->in_flight--;
    list_add_head(&s->free, &slot->link);
    spin_unlock(&s->lock, irqs);
    // What waits goes first: after done() nobody may be left who keeps this device open.
    dispatch(s);
    request->done(request);
}

static void submit(struct block_device *device, struct block_request *request)
{
    struct ioshares *s = device->context;
    struct client *c;
    uint64_t start;
    bool irqs;

    request->submitted = plat_time_now();
    irqs = spin_lock(&s->lock);
    c = find(s, request->client);
    if (!c)
        c = &s->clients[0];
    start = MAX(s->now, c->finish);
    c->finish = start + ioshares_cost(request) * TAG_SCALE / c->shares;
    request->lower = (void *)(uintptr_t)start;
    list_add_tail(&c->waiting, &request->link);
    spin_unlock(&s->lock, irqs);
    dispatch(s);
}

static void destroy(struct block_device *device)
{
    ioshares_destroy(device->context);
}

static vmk_status panic_write(struct block_device *device, uint64_t offset, const void *from,
                              uint32_t size)
{
    const struct ioshares *s = device->context;

    return block_panic_write(s->disk, offset, from, size);
}

static vmk_status reset(struct block_device *device)
{
    struct ioshares *s = device->context;

    return block_reset(s->disk);
}

static const struct block_ops ops = {
    .submit = submit, .reset = reset, .destroy = destroy, .panic_write = panic_write};

struct ioshares *ioshares_create(struct block_device *disk, unsigned depth)
{
    struct ioshares *s = heap_alloc(sizeof(*s) + depth * sizeof(s->slots[0]), MEM_OWNER_KERNEL);

    vmk_assert(depth);
    if (!s)
        return NULL;
    spin_init(&s->lock, "io shares", LOCK_RANK_IO);
    for (unsigned i = 0; i <= IOSHARES_CLIENTS; i++)
        list_init(&s->clients[i].waiting);
    s->clients[0] = (struct client){.shares = IOSHARES_NORMAL, .used = true};
    list_init(&s->clients[0].waiting);
    list_init(&s->free);
    for (unsigned i = 0; i < depth; i++) {
        s->slots[i].shares = s;
        list_add_tail(&s->free, &s->slots[i].link);
    }
    s->disk = disk;
    s->depth = depth;
    s->device = *disk;
    s->device.ops = &ops;
    s->device.context = s;
    memset(&s->device.stats, 0, sizeof(s->device.stats));
    return s;
}

struct block_device *ioshares_device(struct ioshares *s)
{
    return &s->device;
}

void ioshares_destroy(struct ioshares *s)
{
    vmk_assert(!s->in_flight);
    heap_free(s);
}

vmk_status ioshares_set(struct ioshares *s, uint32_t client, uint32_t value)
{
    struct client *c;
    bool irqs;

    if (value == 0 || value > IOSHARES_MAX)
        return VMK_BAD_PARAM;
    irqs = spin_lock(&s->lock);
    c = find(s, client);
    for (unsigned i = 1; i <= IOSHARES_CLIENTS && !c; i++) {
        if (!s->clients[i].used && list_is_empty(&s->clients[i].waiting)) {
            c = &s->clients[i];
            c->id = client;
            c->used = true;
            c->finish = s->now;
            s->last = MAX(s->last, i);
        }
    }
    if (c)
        c->shares = value;
    spin_unlock(&s->lock, irqs);
    return c ? VMK_OK : VMK_LIMIT;
}

void ioshares_forget(struct ioshares *s, uint32_t client)
{
    bool irqs = spin_lock(&s->lock);
    struct client *c = find(s, client);

    if (c)
        c->used = false;
    spin_unlock(&s->lock, irqs);
}
