// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/model/disk.c -- a disk in memory that can lose power, fail, rot and vanish.
 *
 * Fault model
 *   power cut     may come between any two blocks written. Every block written since the last
 *                 completed FLUSH survives or not by itself, so writes tear at block borders
 *                 and reorder freely; a block is never half old, half new. FUA blocks survive.
 *   error         a range answers IO_ERROR some times; the data is as before.
 *   rot           a bit flips with no error reported.
 *   vanishing     after the cut every request answers NO_DEVICE until power is back.
 * What the kernel promises nevertheless is in docs/design/vmfs.md.
 *
 * The disk holds the newest contents; what is not durable yet is on a list with what it
 * replaced, so that a cut undoes the list backwards and then applies the survivors forwards.
 *
 * Memory is in chunks, which clones share until one writes: thousands of crash points cost
 * little.
 *
 * Invariants
 *   - undo holds one entry per block and write since the last flush, oldest first.
 * Locking    none: one thread; with latency, done() comes from a timer of the submitter's CPU.
 */
#include "sim/model/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/timer.h"
#include "lib/rng.h"
#include "plat/plat.h"

#define MODEL_BLOCK 512u
#define CHUNK_SIZE  16384u

/* Shared by clones until one of them writes to it. */
struct chunk {
    uint32_t refs;
    unsigned char data[CHUNK_SIZE];
};

struct undo {
    uint64_t offset;
    unsigned char before[MODEL_BLOCK];
    unsigned char after[MODEL_BLOCK];
};

struct disk_model {
    struct block_device device;
    struct chunk **chunks;
    size_t chunk_count;
    struct undo *undo;
    size_t undo_count, undo_room;
    uint64_t writes, cut_after;
    bool cut, durable;
    void (*before_write)(void *context, uint64_t offset);
    void *watch_context;
    uint64_t fail_offset, fail_size;
    unsigned fail_count;
    plat_ns base, per_kib;
    plat_ns free_at[64];  // when each of `depth` servers is free
    unsigned depth;
};

/* The byte at `offset`, or null where nothing was written yet. */
static const unsigned char *bytes_at(const struct disk_model *disk, uint64_t offset)
{
    const struct chunk *chunk = disk->chunks[offset / CHUNK_SIZE];

    return chunk ? chunk->data + offset % CHUNK_SIZE : NULL;
}

static void chunk_put(struct chunk *chunk)
{
    if (chunk && --chunk->refs == 0)
        free(chunk);
}

/* The same for a change: this disk's own chunk. */
static unsigned char *bytes_to_write(struct disk_model *disk, uint64_t offset)
{
    struct chunk **chunk = &disk->chunks[offset / CHUNK_SIZE];

    if (!*chunk || (*chunk)->refs > 1) {
        struct chunk *own = *chunk ? malloc(sizeof(*own)) : calloc(1, sizeof(*own));

        if (*chunk) {
            memcpy(own->data, (*chunk)->data, CHUNK_SIZE);
            chunk_put(*chunk);
        }
        own->refs = 1;
        *chunk = own;
    }
    return (*chunk)->data + offset % CHUNK_SIZE;
}

static void block_get(struct disk_model *disk, uint64_t offset, unsigned char *to)
{
    const unsigned char *from = bytes_at(disk, offset);

    if (from)
        memcpy(to, from, MODEL_BLOCK);
    else
        memset(to, 0, MODEL_BLOCK);
}

static void block_put(struct disk_model *disk, uint64_t offset, const unsigned char *from)
{
    static const unsigned char zeros[MODEL_BLOCK];

    if (bytes_at(disk, offset) || memcmp(from, zeros, MODEL_BLOCK) != 0)
        memcpy(bytes_to_write(disk, offset), from, MODEL_BLOCK);
}

/* One block. False when the power went before it. */
static bool write_block(struct disk_model *disk, uint64_t offset, const unsigned char *data,
                        bool durable)
{
    if (disk->before_write)
        disk->before_write(disk->watch_context, offset);
    if (disk->writes >= disk->cut_after) {
        disk->cut = true;
        return false;
    }
    disk->writes++;
    if (disk->durable) {
    } else if (durable) {
        size_t kept = 0;

        for (size_t i = 0; i < disk->undo_count; i++) {
            if (disk->undo[i].offset != offset)
                disk->undo[kept++] = disk->undo[i];
        }
        disk->undo_count = kept;
    } else {
        if (disk->undo_count == disk->undo_room) {
            disk->undo_room = disk->undo_room ? 2 * disk->undo_room : 64;
            disk->undo = realloc(disk->undo, disk->undo_room * sizeof(*disk->undo));
        }

        struct undo *u = &disk->undo[disk->undo_count++];

        u->offset = offset;
        block_get(disk, offset, u->before);
        memcpy(u->after, data, MODEL_BLOCK);
    }
    block_put(disk, offset, data);
    return true;
}

/* The byte at `at` of the request's segments, up to the segment's end. */
static unsigned char *segment_at(const struct block_request *request, uint64_t at,
                                 uint32_t *room)
{
    for (uint32_t i = 0; i < request->segment_count; i++) {
        if (at < request->segments[i].size) {
            *room = request->segments[i].size - (uint32_t)at;
            return (unsigned char *)request->segments[i].data + at;
        }
        at -= request->segments[i].size;
    }
    return NULL;
}

static void gather(const struct block_request *request, uint64_t at, unsigned char *block,
                   bool scatter)
{
    uint32_t whole = 0;
    unsigned char *direct = segment_at(request, at, &whole);

    if (direct && whole >= MODEL_BLOCK) {
        memcpy(scatter ? direct : block, scatter ? block : direct, MODEL_BLOCK);
        return;
    }
    for (uint32_t done = 0; done < MODEL_BLOCK;) {
        uint32_t room = 0;
        unsigned char *part = segment_at(request, at + done, &room);
        uint32_t size = MIN(room, MODEL_BLOCK - done);

        vmk_assert(part);
        memcpy(scatter ? part : block + done, scatter ? block + done : part, size);
        done += size;
    }
}

static bool is_zero(const unsigned char *from, uint64_t size)
{
    return !from[0] && memcmp(from, from + 1, size - 1) == 0;
}

/* A whole write where no power can go meanwhile: by chunks. False: nothing was done. */
static bool write_at_once(struct disk_model *disk, const struct block_request *request)
{
    uint32_t room = 0;
    const unsigned char *from = segment_at(request, 0, &room);

    if (!disk->durable || disk->before_write || disk->cut_after != UINT64_MAX || !from ||
        room < request->size)
        return false;
    for (uint64_t at = 0, part; at < request->size; at += part) {
        const uint64_t offset = request->offset + at;

        part = MIN(request->size - at, CHUNK_SIZE - offset % CHUNK_SIZE);
        if (bytes_at(disk, offset) || !is_zero(from + at, part))
            memcpy(bytes_to_write(disk, offset), from + at, part);
    }
    disk->writes += request->size / MODEL_BLOCK;
    return true;
}

static vmk_status serve(struct disk_model *disk, const struct block_request *request)
{
    unsigned char block[MODEL_BLOCK];
    unsigned char expected[MODEL_BLOCK];

    if (disk->cut)
        return VMK_NO_DEVICE;
    if (disk->fail_count && request->op != BLOCK_FLUSH &&
        request->offset < disk->fail_offset + disk->fail_size &&
        disk->fail_offset < request->offset + request->size) {
        disk->fail_count--;
        return VMK_IO_ERROR;
    }
    switch (request->op) {
    case BLOCK_READ:
        for (uint64_t at = 0; at < request->size; at += MODEL_BLOCK) {
            uint64_t part =
                MIN(request->size - at, CHUNK_SIZE - (request->offset + at) % CHUNK_SIZE);
            const unsigned char *from = bytes_at(disk, request->offset + at);
            uint32_t room = 0;
            unsigned char *to = segment_at(request, at, &room);

            if (to && room >= part) {  // the rest of the chunk at once
                if (from)
                    memcpy(to, from, part);
                else
                    memset(to, 0, part);
                at += part - MODEL_BLOCK;
                continue;
            }
            block_get(disk, request->offset + at, block);
            gather(request, at, block, true);
        }
        return VMK_OK;
    case BLOCK_WRITE:
        if (write_at_once(disk, request))
            return VMK_OK;
        for (uint64_t at = 0; at < request->size; at += MODEL_BLOCK) {
            gather(request, at, block, false);
            if (!write_block(disk, request->offset + at, block, request->fua))
                return VMK_NO_DEVICE;
        }
        return VMK_OK;
    case BLOCK_FLUSH: disk->undo_count = 0; return VMK_OK;
    case BLOCK_DISCARD:
        memset(block, 0, sizeof(block));
        for (uint64_t at = 0; at < request->size; at += MODEL_BLOCK) {
            if (!write_block(disk, request->offset + at, block, false))
                return VMK_NO_DEVICE;
        }
        return VMK_OK;
    case BLOCK_COMPARE_WRITE:
        gather(request, 0, expected, false);
        block_get(disk, request->offset, block);
        if (memcmp(block, expected, MODEL_BLOCK) != 0)
            return VMK_AGAIN;
        gather(request, MODEL_BLOCK, block, false);
        return write_block(disk, request->offset, block, false) ? VMK_OK : VMK_NO_DEVICE;
    case BLOCK_RESERVE:
    case BLOCK_RELEASE: break;  // a model knows no initiators
    }
    return VMK_UNSUPPORTED;
}

static vmk_status perform(struct disk_model *disk, const struct block_request *request)
{
    vmk_status status = serve(disk, request);

    if (status != VMK_OK && status != VMK_AGAIN)
        disk->device.stats.errors++;
    return status;
}

struct delayed {
    struct timer timer;
    struct disk_model *disk;
    struct block_request *request;
};

static void on_due(struct timer *timer)
{
    struct delayed *d = timer->owner;
    struct block_request *request = d->request;

    request->status = perform(d->disk, request);
    free(d);
    request->done(request);
}

static void submit(struct block_device *device, struct block_request *request)
{
    struct disk_model *disk = device->context;

    if (!disk->depth) {
        request->status = perform(disk, request);
        request->done(request);
        return;
    }

    struct delayed *d = calloc(1, sizeof(*d));
    unsigned server = 0;
    plat_ns now = plat_time_now();

    for (unsigned i = 1; i < disk->depth; i++) {
        if (disk->free_at[i] < disk->free_at[server])
            server = i;
    }
    disk->free_at[server] =
        MAX(now, disk->free_at[server]) + disk->base + disk->per_kib * (request->size / 1024);
    d->disk = disk;
    d->request = request;
    timer_init(&d->timer, on_due, d);
    timer_arm(&d->timer, disk->free_at[server]);
}

/* Whatever the latency, at once: nobody could wait. */
static vmk_status panic_write(struct block_device *device, uint64_t offset, const void *from,
                              uint32_t size)
{
    const struct block_segment segment = {(void *)(uintptr_t)from, size};
    const struct block_request request = {.op = size ? BLOCK_WRITE : BLOCK_FLUSH,
                                          .offset = offset,
                                          .size = size,
                                          .segments = &segment,
                                          .segment_count = size ? 1 : 0};

    return perform(device->context, &request);
}

static const struct block_ops ops = {.submit = submit, .panic_write = panic_write};

struct disk_model *disk_model_create(const char *name, uint64_t size)
{
    struct disk_model *disk = calloc(1, sizeof(*disk));

    disk->chunk_count = (size_t)((size + CHUNK_SIZE - 1) / CHUNK_SIZE);
    disk->chunks = calloc(disk->chunk_count, sizeof(void *));
    disk->cut_after = UINT64_MAX;
    snprintf(disk->device.name, sizeof(disk->device.name), "%s", name);
    disk->device.ops = &ops;
    disk->device.size = size;
    disk->device.block_size = MODEL_BLOCK;
    disk->device.can_discard = disk->device.can_compare_write = true;
    disk->device.context = disk;
    return disk;
}

struct disk_model *disk_model_clone(const struct disk_model *disk)
{
    struct disk_model *copy = disk_model_create(disk->device.name, disk->device.size);

    for (size_t i = 0; i < disk->chunk_count; i++) {
        copy->chunks[i] = disk->chunks[i];
        if (copy->chunks[i])
            copy->chunks[i]->refs++;
    }
    return copy;
}

struct disk_model *disk_model_fork(const struct disk_model *disk)
{
    struct disk_model *copy = disk_model_clone(disk);

    copy->undo_count = copy->undo_room = disk->undo_count;
    if (disk->undo_count) {
        copy->undo = malloc(disk->undo_count * sizeof(*copy->undo));
        memcpy(copy->undo, disk->undo, disk->undo_count * sizeof(*copy->undo));
    }
    return copy;
}

void disk_model_watch(struct disk_model *disk,
                      void (*before_write)(void *context, uint64_t offset), void *context)
{
    disk->before_write = before_write;
    disk->watch_context = context;
}

void disk_model_destroy(struct disk_model *disk)
{
    if (!disk)
        return;
    for (size_t i = 0; i < disk->chunk_count; i++)
        chunk_put(disk->chunks[i]);
    free(disk->chunks);
    free(disk->undo);
    free(disk);
}

struct block_device *disk_model_device(struct disk_model *disk)
{
    return &disk->device;
}

void disk_model_durable(struct disk_model *disk)
{
    disk->durable = true;
    disk->undo_count = 0;
}

uint64_t disk_model_writes(const struct disk_model *disk)
{
    return disk->writes;
}

void disk_model_cut_after(struct disk_model *disk, uint64_t blocks)
{
    disk->cut_after = blocks == UINT64_MAX ? blocks : disk->writes + blocks;
}

bool disk_model_is_cut(const struct disk_model *disk)
{
    return disk->cut;
}

void disk_model_power_on(struct disk_model *disk, uint64_t seed)
{
    struct rng rng;

    if (seed) {
        for (size_t i = disk->undo_count; i > 0; i--)
            block_put(disk, disk->undo[i - 1].offset, disk->undo[i - 1].before);
        rng_init(&rng, seed, "power", 0);
        for (size_t i = 0; i < disk->undo_count && seed != UINT64_MAX; i++) {
            if (rng_below(&rng, 2))
                block_put(disk, disk->undo[i].offset, disk->undo[i].after);
        }
    }
    disk->undo_count = 0;
    disk->cut = false;
    disk->cut_after = UINT64_MAX;
}

void disk_model_fail(struct disk_model *disk, uint64_t offset, uint64_t size, unsigned count)
{
    disk->fail_offset = offset;
    disk->fail_size = size;
    disk->fail_count = count;
}

void disk_model_rot(struct disk_model *disk, uint64_t offset, unsigned bit)
{
    *bytes_to_write(disk, offset) ^= (unsigned char)(1u << bit);
}

void disk_model_latency(struct disk_model *disk, plat_ns base, plat_ns per_kib, unsigned depth)
{
    disk->base = base;
    disk->per_kib = per_kib;
    disk->depth = base || per_kib ? MIN(MAX(depth, 1u), 64u) : 0;
}

bool disk_model_save(const struct disk_model *disk, const char *path)
{
    FILE *file = fopen(path, "wb");
    bool good = file != NULL;

    for (size_t i = 0; good && i < disk->chunk_count; i++) {
        if (disk->chunks[i])
            good = fseek(file, (long)(i * CHUNK_SIZE), SEEK_SET) == 0 &&
                   fwrite(disk->chunks[i]->data, CHUNK_SIZE, 1, file) == 1;
    }
    if (good && disk->device.size % CHUNK_SIZE == 0 && disk->device.size)
        good = fseek(file, (long)disk->device.size - 1, SEEK_SET) == 0 &&
               (disk->chunks[disk->chunk_count - 1] || fputc(0, file) == 0);
    if (file && fclose(file) != 0)
        good = false;
    return good;
}
