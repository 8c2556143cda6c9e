// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/ram_disk.c -- a disk in memory, empty, over a file in memory, or over another disk.
 *
 * Three uses of one thing: a scratch disk for a VM, a disk image that came as a boot module,
 * and the changes of a disk in independent-nonpersistent mode, which are gone at power-off.
 *
 * Pages are given at the first write. A table of tables leads to them; since pages are aligned,
 * the low bits of an entry have room for a bit per 512-byte sector: has it been written here? A
 * read over another disk first reads all of it from there, into the same segments, and then
 * lays what was written here on top.
 *
 * Invariants
 *   - An entry without sector bits has no page.
 * Locking    disk.lock (rank IO) around each page's entry and data; not held while `lower`
 *            works.
 */
#include "vmm/ram_disk.h"

#include "core/heap.h"
#include "core/spinlock.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "vmm/vm_dma.h"

#define SECTOR       512u
#define LEAF_ENTRIES 512u  // 2 MB of disk
#define LEAF_BYTES   ((uint64_t)LEAF_ENTRIES * PAGE_SIZE)
#define LEAVES_MAX   (1u << 19)  // one terabyte

struct ram_disk {
    struct block_device device;
    struct spinlock lock;
    const uint8_t *base;  // (i)
    uint64_t base_size;
    struct block_device *lower;  // (i)
    uint64_t leaf_count;
    uint64_t **leaves;  // entries: page address | sector bits
};

static uint64_t *entry_find(struct ram_disk *d, uint64_t offset)
{
    uint64_t *leaf = d->leaves[offset / LEAF_BYTES];

    return leaf ? &leaf[offset % LEAF_BYTES / PAGE_SIZE] : NULL;
}

static uint8_t *entry_page(uint64_t entry)
{
    return (uint8_t *)(uintptr_t)(entry & ~(PAGE_SIZE - 1));
}

/* The entry with a page; null: no memory. Lock held. */
static uint64_t *entry_make(struct ram_disk *d, uint64_t offset)
{
    uint64_t **leaf = &d->leaves[offset / LEAF_BYTES];
    uint64_t *entry;
    mpn_t mpn;

    if (!*leaf) {
        if (page_alloc_zeroed(0, MEM_OWNER_VMM, &mpn) != VMK_OK)
            return NULL;
        *leaf = mpn_map(mpn);
    }
    entry = &(*leaf)[offset % LEAF_BYTES / PAGE_SIZE];
    if (!*entry) {
        if (page_alloc_zeroed(0, MEM_OWNER_VMM, &mpn) != VMK_OK)
            return NULL;
        *entry = (uint64_t)(uintptr_t)mpn_map(mpn);
    }
    return entry;
}

static void entry_drop(uint64_t *entry)
{
    if (*entry)
        page_free(paddr_to_mpn(plat_unmap_address(entry_page(*entry))), 0, MEM_OWNER_VMM);
    *entry = 0;
}

/* What is under the disk at a sector, when that is not another disk. */
static void base_read(const struct ram_disk *d, uint64_t offset, uint8_t *to)
{
    uint64_t have = offset < d->base_size ? MIN(d->base_size - offset, (uint64_t)SECTOR) : 0;

    if (have)
        memcpy(to, d->base + offset, (size_t)have);
    memset(to + have, 0, (size_t)(SECTOR - have));
}

/* One sector of a read. */
static void sector_read(struct ram_disk *d, uint64_t offset, struct scatter_cursor *to)
{
    uint8_t sector[SECTOR];
    bool irqs = spin_lock(&d->lock);
    const uint64_t *entry = entry_find(d, offset);
    bool here = entry && (*entry & BIT(offset % PAGE_SIZE / SECTOR));

    if (here)
        memcpy(sector, entry_page(*entry) + offset % PAGE_SIZE, SECTOR);
    spin_unlock(&d->lock, irqs);
    if (!here && !d->lower)
        base_read(d, offset, sector);
    (void)scatter_step(to, here || !d->lower ? sector : NULL, SECTOR, true);
}

static vmk_status sector_write(struct ram_disk *d, uint64_t offset, const uint8_t *sector)
{
    bool irqs = spin_lock(&d->lock);
    uint64_t *entry = entry_make(d, offset);

    if (entry) {
        memcpy(entry_page(*entry) + offset % PAGE_SIZE, sector, SECTOR);
        *entry |= BIT(offset % PAGE_SIZE / SECTOR);
    }
    spin_unlock(&d->lock, irqs);
    return entry ? VMK_OK : VMK_NO_SPACE;
}

static vmk_status write(struct ram_disk *d, const struct block_request *r)
{
    struct scatter_cursor from = {r->segments, r->segment_count, 0};
    uint8_t sector[SECTOR];

    for (uint64_t at = 0; at < r->size; at += SECTOR) {
        vmk_status status;

        (void)scatter_step(&from, sector, SECTOR, false);
        status = sector_write(d, r->offset + at, sector);
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

/* Whole pages of a disk with nothing under it go back; the rest stays as it is. */
static void discard(struct ram_disk *d, const struct block_request *r)
{
    uint64_t first = (r->offset + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

    for (uint64_t at = first; at + PAGE_SIZE <= r->offset + r->size; at += PAGE_SIZE) {
        bool irqs = spin_lock(&d->lock);
        uint64_t *entry = entry_find(d, at);

        if (entry)
            entry_drop(entry);
        spin_unlock(&d->lock, irqs);
    }
}

static void overlay(struct ram_disk *d, struct block_request *r)
{
    struct scatter_cursor to = {r->segments, r->segment_count, 0};

    for (uint64_t at = 0; at < r->size; at += SECTOR)
        sector_read(d, r->offset + at, &to);
    r->status = VMK_OK;
    r->done(r);
}

static void lower_done(struct block_request *below)
{
    struct block_request *r = below->context;
    struct ram_disk *d = below->lower;
    vmk_status status = below->status;

    heap_free(below);
    if (status == VMK_OK) {
        overlay(d, r);
    } else {
        r->status = status;
        r->done(r);
    }
}

static void read_begin(struct ram_disk *d, struct block_request *r)
{
    struct block_request *below;

    if (!d->lower) {
        overlay(d, r);
        return;
    }
    below = heap_alloc(sizeof(*below), MEM_OWNER_VMM);
    if (!below) {
        r->status = VMK_NO_MEMORY;
        r->done(r);
        return;
    }
    *below = (struct block_request){.op = BLOCK_READ,
                                    .offset = r->offset,
                                    .size = r->size,
                                    .segments = r->segments,
                                    .segment_count = r->segment_count,
                                    .client = r->client,
                                    .done = lower_done,
                                    .context = r,
                                    .lower = d};
    block_submit(d->lower, below);
}

static void submit(struct block_device *device, struct block_request *r)
{
    struct ram_disk *d = device->context;

    switch (r->op) {
    case BLOCK_READ: read_begin(d, r); return;
    case BLOCK_WRITE: r->status = write(d, r); break;
    case BLOCK_FLUSH: r->status = VMK_OK; break;
    case BLOCK_DISCARD:
        discard(d, r);
        r->status = VMK_OK;
        break;
    case BLOCK_COMPARE_WRITE:
    case BLOCK_RESERVE:
    case BLOCK_RELEASE: r->status = VMK_UNSUPPORTED; break;
    }
    r->done(r);
}

void ram_disk_destroy(struct block_device *device)
{
    struct ram_disk *d = device->context;

    for (uint64_t i = 0; i < d->leaf_count; i++) {
        uint64_t *leaf = d->leaves[i];

        if (!leaf)
            continue;
        for (unsigned j = 0; j < LEAF_ENTRIES; j++)
            entry_drop(&leaf[j]);
        page_free(paddr_to_mpn(plat_unmap_address(leaf)), 0, MEM_OWNER_VMM);
    }
    heap_free(d->leaves);
    heap_free(d);
}

static const struct block_ops ram_disk_ops = {.submit = submit, .destroy = ram_disk_destroy};

vmk_status ram_disk_create(const char *name, uint64_t size, const void *base,
                           uint64_t base_size, struct block_device *lower,
                           struct block_device **out)
{
    struct ram_disk *d;

    if (!size || size % SECTOR)
        return VMK_BAD_PARAM;
    if (size > LEAVES_MAX * LEAF_BYTES)
        return VMK_LIMIT;
    d = heap_alloc(sizeof(*d), MEM_OWNER_VMM);
    if (!d)
        return VMK_NO_MEMORY;
    d->leaf_count = (size + LEAF_BYTES - 1) / LEAF_BYTES;
    d->leaves = heap_alloc(d->leaf_count * sizeof(d->leaves[0]), MEM_OWNER_VMM);
    if (!d->leaves) {
        heap_free(d);
        return VMK_NO_MEMORY;
    }
    spin_init(&d->lock, "ramdisk", LOCK_RANK_IO);
    d->base = base;
    d->base_size = base_size;
    d->lower = lower;
    d->device = (struct block_device){.ops = &ram_disk_ops,
                                      .size = size,
                                      .block_size = lower ? lower->block_size : SECTOR,
                                      .max_transfer = lower ? lower->max_transfer : 0,
                                      .can_discard = !lower && !base,
                                      .context = d};
    vmk_snprintf(d->device.name, sizeof(d->device.name), "%s", name);
    *out = &d->device;
    return VMK_OK;
}
