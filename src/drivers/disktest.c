// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/disktest.c -- the boot option disktest=SEED: every disk written and read, all at once.
 *
 * What a driver promises is tested where it matters, on its hardware: many requests in flight,
 * of every size, in scattered and oddly aligned memory, reads checked against what was written,
 * some writes FUA, a flush now and then. The contents at the end depend on the seed alone, so
 * all disks have to end up the same, and the host can compare their image files.
 *
 * Each disk's first megabytes are cut into stripes; a stripe has one request in flight, chosen
 * by its own random stream, and remembers per block which generation of the pattern is there.
 *
 * Options: disktest-mb=N (8) per disk, disktest-requests=N (100) per stripe.
 *
 * Invariants
 *   - Two requests in flight never touch the same block.
 * Locking    test.queue.lock guards the flags that done() sets.
 */
#include "core/core.h"
#include "core/log.h"
#include "drivers/drivers.h"
#include "io/storage.h"
#include "lib/crc32.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "mem/page.h"
#include "world/world.h"

#define STRIPES      32u
#define SECTOR       512u
#define BUFFER_ORDER 6u  // 256 KB
#define REQUEST_MAX  (192u << 10)
#define SEGMENTS     5u

struct stripe {
    struct test *test;
    unsigned index;
    struct rng rng;
    struct block_request request;
    struct block_segment segments[SEGMENTS];
    uint8_t *generations;  // by sector of the stripe
    char *buffer;
    uint64_t offset;  // of the request
    uint32_t size;
    char *data;  // in the buffer
    bool busy, done;
    unsigned left;
};

struct test {
    char name[BLOCK_NAME_SIZE];
    struct block_device *disk;
    uint64_t seed, stripe_size;
    unsigned requests;
    struct wait_queue queue;
    struct stripe stripes[STRIPES];
    world_id world;
    bool running;
    unsigned failures;
    uint64_t sent;
};

static void fill(char *to, uint64_t sector, unsigned generation)
{
    uint64_t x = (sector + 1) * 0x9e3779b97f4a7c15ull + generation * 0xc2b2ae3d27d4eb4full;

    for (unsigned i = 0; i < SECTOR; i += 8) {
        x ^= x >> 29;
        x *= 0xbf58476d1ce4e5b9ull;
        memcpy(to + i, &x, 8);
    }
}

static void fail(struct test *t, const char *what, const struct block_request *r)
{
    t->failures++;
    vmk_log(VMK_LOG_ERROR, "DiskTest: %s: %s at block %llu, %llu bytes: %s", t->name, what,
            (unsigned long long)(r->offset / t->disk->block_size), (unsigned long long)r->size,
            vmk_status_text(r->status));
}

static void done(struct block_request *request)
{
    struct stripe *s = request->context;
    struct test *t = s->test;
    bool irqs = spin_lock(&t->queue.lock);

    s->done = true;
    spin_unlock(&t->queue.lock, irqs);
    wait_queue_wake(&t->queue, WAIT_QUEUE_ALL);
}

/* Some pieces of memory, of odd sizes now and then; together s->size bytes from s->data on. */
static unsigned cut(struct stripe *s)
{
    unsigned count = 1 + (unsigned)rng_below(&s->rng, SEGMENTS);
    const bool odd = rng_below(&s->rng, 8) == 0;
    uint32_t at = 0;
    unsigned n = 0;

    while (n + 1 < count && at < s->size) {
        uint32_t part = 1 + (uint32_t)rng_below(&s->rng, s->size - at);

        if (!odd)
            part = (part + SECTOR - 1) & ~(SECTOR - 1);
        part = MIN(part, s->size - at);
        s->segments[n++] = (struct block_segment){s->data + at, part};
        at += part;
    }
    if (at < s->size)
        s->segments[n++] = (struct block_segment){s->data + at, s->size - at};
    return n;
}

static void next(struct stripe *s)
{
    struct test *t = s->test;
    const uint32_t block = t->disk->block_size;
    const uint64_t base = s->index * t->stripe_size;
    const unsigned blocks = (unsigned)(t->stripe_size / block);
    const uint64_t dice = rng_below(&s->rng, 16);
    unsigned first = (unsigned)rng_below(&s->rng, blocks);
    unsigned most = MIN(blocks - first, REQUEST_MAX / block);
    struct block_request *r = &s->request;

    // Mostly small, sometimes long.
    if (rng_below(&s->rng, 4))
        most = MIN(most, 8192 / block ? 8192 / block : 1);
    s->size = (1 + (uint32_t)rng_below(&s->rng, most)) * block;
    s->offset = base + (uint64_t)first * block;
    s->data = s->buffer + (rng_below(&s->rng, 4) ? 0 : 4 * rng_below(&s->rng, 900));
    *r = (struct block_request){.op = dice < 8    ? BLOCK_WRITE
                                      : dice < 15 ? BLOCK_READ
                                                  : BLOCK_FLUSH,
                                .fua = dice == 0,
                                .offset = s->offset,
                                .size = s->size,
                                .segments = s->segments,
                                .segment_count = cut(s),
                                .done = done,
                                .context = s};
    if (r->op == BLOCK_FLUSH)
        r->offset = r->size = r->segment_count = 0;
    for (uint32_t at = 0; r->op == BLOCK_WRITE && at < s->size; at += SECTOR) {
        uint64_t sector = (s->offset + at) / SECTOR;
        uint8_t *generation = &s->generations[sector - base / SECTOR];

        *generation = (uint8_t)(*generation + 1 ? *generation + 1 : 1);
        fill(s->data + at, sector + (t->seed << 32), *generation);
    }
    if (r->op == BLOCK_READ)
        memset(s->data, 0xa5, s->size);
    s->done = false;
    s->busy = true;
    s->left--;
    t->sent++;
    block_submit(t->disk, r);
}

/*
 * A write that failed may have reached the disk in part; it is made good before anything else.
 */
static void check(struct stripe *s)
{
    struct test *t = s->test;
    struct block_request *r = &s->request;
    char want[SECTOR];

    s->busy = false;
    if (r->status == VMK_NO_DEVICE)
        s->left = 0;  // it is gone, so that is that
    if (r->status != VMK_OK) {
        static const char *const what[] = {"read", "write", "flush"};

        fail(t, what[r->op], r);
        if (r->op == BLOCK_WRITE && r->status != VMK_NO_DEVICE &&
            block_write(t->disk, s->offset, s->data, s->size) != VMK_OK)
            fail(t, "write again", r);
        return;
    }
    for (uint32_t at = 0; r->op == BLOCK_READ && at < s->size; at += SECTOR) {
        uint64_t sector = (s->offset + at) / SECTOR;
        unsigned generation = s->generations[sector - s->index * t->stripe_size / SECTOR];

        if (!generation)
            continue;  // nobody wrote it yet
        fill(want, sector + (t->seed << 32), generation);
        if (memcmp(want, s->data + at, SECTOR) != 0) {
            r->status = VMK_CORRUPT;
            r->offset = s->offset + at;
            fail(t, "wrong contents", r);
            return;
        }
    }
}

static void wait_for_some(struct test *t)
{
    bool irqs = plat_irq_save();
    bool any = false;

    for (;;) {
        vmk_status status;

        spin_lock_irqs_off(&t->queue.lock);
        for (unsigned i = 0; i < STRIPES; i++)
            any |= t->stripes[i].busy && t->stripes[i].done;
        if (any)
            break;
        status = wait_queue_block_as(&t->queue, PLAT_NS_NEVER, WAIT_FIRM);
        (void)status;
    }
    spin_unlock_irqs_off(&t->queue.lock);
    plat_irq_restore(irqs);
}

static void run_stripes(struct test *t)
{
    unsigned busy = 0;

    for (unsigned i = 0; i < STRIPES; i++)
        t->stripes[i].left = t->requests;
    do {
        for (unsigned i = 0; i < STRIPES; i++)
            if (!t->stripes[i].busy && t->stripes[i].left)
                next(&t->stripes[i]);
        wait_for_some(t);
        busy = 0;
        for (unsigned i = 0; i < STRIPES; i++) {
            struct stripe *s = &t->stripes[i];

            if (s->busy && __atomic_load_n(&s->done, __ATOMIC_ACQUIRE))
                check(s);
            busy += s->busy || s->left;
        }
    } while (busy);
}

/* All of it, from the disk: what the host's own checksum of the image has to be. */
static uint32_t checksum(struct test *t)
{
    char *buffer = t->stripes[0].buffer;
    const uint64_t size = STRIPES * t->stripe_size;
    const uint64_t part = PAGE_SIZE << BUFFER_ORDER;
    uint32_t crc = 0;

    for (uint64_t at = 0; at < size; at += part) {
        vmk_status status = block_read(t->disk, at, buffer, MIN(part, size - at));

        if (status != VMK_OK) {
            t->failures++;
            vmk_log(VMK_LOG_ERROR, "DiskTest: %s: the last read: %s", t->name,
                    vmk_status_text(status));
        }
        crc = crc32_add(crc, buffer, MIN(part, size - at));
    }
    return crc;
}

static void test_world(void *argument)
{
    struct test *t = argument;
    const plat_ns start = plat_time_now();
    struct storage_device_info info = {0};
    const struct block_stats *stats = &info.stats;
    uint32_t crc;

    run_stripes(t);
    if (block_flush(t->disk) != VMK_OK)
        t->failures++;
    crc = checksum(t);
    for (unsigned i = 0; storage_device_get(i, &info) && strcmp(info.name, t->name) != 0; i++)
        ;
    vmk_log(VMK_LOG_INFO,
            "DiskTest: %s: %llu KB, %llu requests in %llu ms, %llu errors, %llu retries, "
            "%llu resets, crc32 %08x: %s",
            t->name, (unsigned long long)(STRIPES * t->stripe_size >> 10),
            (unsigned long long)t->sent,
            (unsigned long long)((plat_time_now() - start) / 1000000),
            (unsigned long long)stats->errors, (unsigned long long)stats->retries,
            (unsigned long long)stats->resets, crc, t->failures ? "FAILED" : "good");
}

static void free_test(struct test *t)
{
    for (unsigned i = 0; i < STRIPES; i++) {
        struct stripe *s = &t->stripes[i];

        heap_free(s->generations);
        if (s->buffer)
            page_free(paddr_to_mpn(plat_unmap_address(s->buffer)), BUFFER_ORDER,
                      MEM_OWNER_TEST);
    }
    if (t->disk)
        storage_close(t->disk);
    heap_free(t);
}

static struct test *start_test(const char *name, uint64_t seed)
{
    struct test *t = heap_alloc(sizeof(*t), MEM_OWNER_TEST);
    struct world_params params = {.name = "disktest", .entry = test_world, .argument = t};
    uint64_t size;

    if (!t)
        return NULL;
    memcpy(t->name, name, sizeof(t->name));
    t->seed = seed;
    t->requests = (unsigned)core_option_u64("disktest-requests", 100);
    wait_queue_init(&t->queue, "disktest");
    if (storage_open(name, &t->disk) != VMK_OK || t->disk->read_only)
        goto fail;
    size = MIN(core_option_u64("disktest-mb", 8) << 20, t->disk->size);
    t->stripe_size = size / STRIPES & ~(uint64_t)(t->disk->block_size - 1);
    if (!t->stripe_size)
        goto fail;
    for (unsigned i = 0; i < STRIPES; i++) {
        struct stripe *s = &t->stripes[i];
        mpn_t mpn;

        s->test = t;
        s->index = i;
        rng_init(&s->rng, seed, "disktest", i);
        s->generations = heap_alloc(t->stripe_size / SECTOR, MEM_OWNER_TEST);
        if (!s->generations || page_alloc(BUFFER_ORDER, MEM_OWNER_TEST, &mpn) != VMK_OK)
            goto fail;
        s->buffer = mpn_map(mpn);
    }
    if (world_create(&params, &t->world) != VMK_OK)
        goto fail;
    return t;
fail:
    vmk_log(VMK_LOG_WARN, "DiskTest: %s: cannot be tested: no memory, too small or read-only",
            name);
    free_test(t);
    return NULL;
}

void disktest_run(void)
{
    struct test *tests[8];
    unsigned count = 0;
    unsigned failures = 0;
    struct storage_device_info info;
    const uint64_t seed = core_option_u64("disktest", 0);

    if (!seed)
        return;
    for (unsigned i = 0; count < ARRAY_COUNT(tests) && storage_device_get(i, &info); i++) {
        tests[count] = start_test(info.name, seed);
        if (tests[count])
            count++;
        else
            failures++;
    }
    for (unsigned i = 0; i < count; i++) {
        int code;

        if (world_wait(tests[i]->world, PLAT_NS_NEVER, &code) != VMK_OK)
            failures++;
        failures += tests[i]->failures != 0;
        free_test(tests[i]);
    }
    vmk_log(VMK_LOG_INFO, "DiskTest: %u disks, %u failed", count, failures);
}
