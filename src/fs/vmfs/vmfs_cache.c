// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_cache.c -- metadata sectors in memory, and operations that can be taken back.
 *
 * All metadata is read and changed through here, a sector at a time. Changed sectors stay in
 * memory until journal_commit() makes them durable together; until then the disk holds the old
 * state. An operation saves each sector before its first change, so one that fails half-way (no
 * space, a contended lock, a bad disk) is as if it had never begun.
 *
 * A sector that no lock of this host protects may change on disk at any time. It is kept for
 * the length of one call only (`covered` is false). In a private volume everything is covered.
 *
 * Invariants
 *   - dirty sectors are covered and on the volume's dirty list, in the order of first change.
 *   - Between operations the undo list is empty (asserted in op_begin()).
 * Locking    vmfs_volume.mutex.
 * Start at   meta_get() and op_end().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/string.h"

static struct meta_sector **bucket_of(struct vmfs_volume *v, uint64_t address)
{
    return &v->buckets[(address / VMFS_SECTOR * 2654435761u >> 7) % CACHE_BUCKETS];
}

static struct meta_sector *find(struct vmfs_volume *v, uint64_t address)
{
    struct meta_sector *s = *bucket_of(v, address);

    while (s && s->address != address)
        s = s->next;
    return s;
}

static struct meta_sector *insert(struct vmfs_volume *v, uint64_t address, bool covered)
{
    struct meta_sector *s = vmfs_alloc(sizeof(*s));
    struct meta_sector **bucket = bucket_of(v, address);

    if (!s)
        return NULL;
    list_init(&s->dirty_link);
    s->address = address;
    s->covered = covered;
    v->any_uncovered = v->any_uncovered || !covered;
    s->next = *bucket;
    *bucket = s;
    v->clean_count++;
    return s;
}

static void drop_if(struct vmfs_volume *v, bool (*unwanted)(const struct meta_sector *))
{
    for (unsigned i = 0; i < CACHE_BUCKETS; i++) {
        for (struct meta_sector **at = &v->buckets[i]; *at;) {
            struct meta_sector *s = *at;

            if (!unwanted(s)) {
                at = &s->next;
                continue;
            }
            *at = s->next;
            v->clean_count--;
            heap_free(s);
        }
    }
}

static bool is_uncovered(const struct meta_sector *s)
{
    return !s->dirty && !s->covered;
}

static bool is_clean(const struct meta_sector *s)
{
    return !s->dirty;
}

static bool is_any(const struct meta_sector *s)
{
    (void)s;
    return true;
}

void meta_drop_uncovered(struct vmfs_volume *v)
{
    if (v->any_uncovered && !v->how.private_volume) {
        drop_if(v, is_uncovered);
        v->any_uncovered = false;
    }
    if (v->clean_count > CACHE_CLEAN_MAX)
        drop_if(v, is_clean);
}

void meta_drop_clean(struct vmfs_volume *v)
{
    if (!v->how.private_volume)
        drop_if(v, is_clean);
}

void meta_forget_all(struct vmfs_volume *v)
{
    list_for_each_safe (node, after, &v->undo)
        heap_free(list_entry(node, struct undo_sector, link));
    list_init(&v->undo);
    drop_if(v, is_any);
    list_init(&v->dirty);
    v->dirty_count = v->clean_count = 0;
}

vmk_status meta_get(struct vmfs_volume *v, uint64_t address, bool covered,
                    struct meta_sector **out)
{
    struct meta_sector *s = find(v, address);
    vmk_status status;

    vmk_assert(address % VMFS_SECTOR == 0);
    covered = covered || v->how.private_volume;
    if (s && (s->covered || !covered)) {
        v->hits++;
        *out = s;
        return VMK_OK;
    }
    v->misses++;
    if (!s) {
        s = insert(v, address, false);
        if (!s)
            return VMK_NO_MEMORY;
    }
    /* In memory but from before the lock: it may have changed. */
    status = lv_read(v, address, s->data, VMFS_SECTOR);
    if (status != VMK_OK)
        return status;
    s->covered = covered;
    *out = s;
    return VMK_OK;
}

void meta_prefetch(struct vmfs_volume *v, uint64_t address, size_t size, size_t ahead,
                   bool covered)
{
    uint64_t first = round_down(address, VMFS_SECTOR);
    const uint64_t end = address + size;
    size_t sectors = (size_t)((address + ahead - first + VMFS_SECTOR - 1) / VMFS_SECTOR);
    struct meta_sector *s;
    uint8_t *data;

    covered = covered || v->how.private_volume;
    for (; sectors; sectors--, first += VMFS_SECTOR) {
        s = find(v, first);
        if (!s || (!s->covered && covered))
            break;
    }
    if (sectors < 2 || first >= end)
        return;
    data = vmfs_alloc(sectors * VMFS_SECTOR);
    if (data && lv_read(v, first, data, sectors * VMFS_SECTOR) == VMK_OK) {
        v->misses++;
        for (size_t i = 0; i < sectors; i++) {
            s = find(v, first + i * VMFS_SECTOR);
            if (s && (s->covered || !covered))
                continue;
            if (!s)
                s = insert(v, first + i * VMFS_SECTOR, covered);
            if (!s)
                break;
            memcpy(s->data, data + i * VMFS_SECTOR, VMFS_SECTOR);
            s->covered = covered;
        }
    }
    heap_free(data);
}

vmk_status meta_new(struct vmfs_volume *v, uint64_t address, struct meta_sector **out)
{
    struct meta_sector *s = find(v, address);
    vmk_status status;

    if (!s) {
        s = insert(v, address, true);
        if (!s)
            return VMK_NO_MEMORY;
    }
    s->covered = true;  // it belongs to a block that the caller has just taken
    status = meta_dirty(v, s);
    if (status != VMK_OK) {
        s->covered = false;
        v->any_uncovered = true;
        return status;
    }
    memset(s->data, 0, VMFS_SECTOR);
    *out = s;
    return VMK_OK;
}

vmk_status meta_dirty(struct vmfs_volume *v, struct meta_sector *s)
{
    struct undo_sector *u;

    if (s->op == v->op)
        return VMK_OK;
    u = vmfs_alloc(sizeof(*u));
    if (!u)
        return VMK_NO_MEMORY;
    u->sector = s;
    u->was_dirty = s->dirty;
    memcpy(u->data, s->data, VMFS_SECTOR);
    list_add_head(&v->undo, &u->link);
    s->op = v->op;
    if (!s->dirty) {
        s->dirty = true;
        list_add_tail(&v->dirty, &s->dirty_link);
        v->dirty_count++;
    }
    return VMK_OK;
}

vmk_status op_begin(struct vmfs_volume *v)
{
    vmk_assert(list_is_empty(&v->undo));
    if (v->dirty_count > TXN_AUTO || v->lock_count > LOCKS_AUTO) {
        vmk_status status = volume_settle(v);

        if (status != VMK_OK)
            return status;
    }
    if (v->bury_wanted) {
        vmk_status status = hb_bury_wanted(v);

        if (status != VMK_OK && status != VMK_CONTENDED)
            return status;
    }
    v->op++;
    v->freed_before = v->freed_count;
    return VMK_OK;
}

vmk_status op_end(struct vmfs_volume *v, vmk_status status)
{
    if (status == VMK_OK && v->dirty_count > TXN_MAX)
        status = VMK_LIMIT;
    list_for_each_safe (node, after, &v->undo) {
        struct undo_sector *u = list_entry(node, struct undo_sector, link);

        if (status != VMK_OK) {
            memcpy(u->sector->data, u->data, VMFS_SECTOR);
            u->sector->op = 0;
            if (!u->was_dirty) {
                u->sector->dirty = false;
                /* What meta_new() made was never read. */
                u->sector->covered = false;
                v->any_uncovered = true;
                list_remove(&u->sector->dirty_link);
                v->dirty_count--;
            }
        }
        heap_free(u);
    }
    list_init(&v->undo);
    if (status != VMK_OK) {
        v->freed_count = v->freed_before;
        names_undo(v);
        /* Not covered sectors of a private volume would be taken for read. */
        drop_if(v, is_uncovered);
    }
    return status;
}

vmk_status word_get(struct vmfs_volume *v, uint64_t address, bool covered, uint32_t *value)
{
    struct meta_sector *s;
    vmk_status status = meta_get(v, round_down(address, VMFS_SECTOR), covered, &s);

    if (status == VMK_OK)
        *value = le32(s->data + address % VMFS_SECTOR);
    return status;
}

vmk_status word_put(struct vmfs_volume *v, uint64_t address, uint32_t value)
{
    struct meta_sector *s;
    vmk_status status = meta_get(v, round_down(address, VMFS_SECTOR), true, &s);

    if (status == VMK_OK)
        status = meta_dirty(v, s);
    if (status == VMK_OK)
        put_le32(s->data + address % VMFS_SECTOR, value);
    return status;
}

vmk_status bytes_get(struct vmfs_volume *v, uint64_t address, bool covered, void *to,
                     size_t size)
{
    uint8_t *out = to;

    while (size) {
        struct meta_sector *s;
        size_t in = address % VMFS_SECTOR;
        size_t part = MIN(size, VMFS_SECTOR - in);
        vmk_status status = meta_get(v, address - in, covered, &s);

        if (status != VMK_OK)
            return status;
        memcpy(out, s->data + in, part);
        out += part;
        address += part;
        size -= part;
    }
    return VMK_OK;
}

vmk_status bytes_put(struct vmfs_volume *v, uint64_t address, const void *from, size_t size)
{
    const uint8_t *in = from;

    while (size) {
        struct meta_sector *s;
        size_t at = address % VMFS_SECTOR;
        size_t part = MIN(size, VMFS_SECTOR - at);
        vmk_status status = meta_get(v, address - at, true, &s);

        if (status == VMK_OK)
            status = meta_dirty(v, s);
        if (status != VMK_OK)
            return status;
        memcpy(s->data + at, in, part);
        in += part;
        address += part;
        size -= part;
    }
    return VMK_OK;
}
