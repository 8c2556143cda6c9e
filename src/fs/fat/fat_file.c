// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_file.c -- contents of files: from an offset to a cluster, reading, writing, lengths.
 *
 * A file grows in this order: clusters in the table that nothing names; the data; barrier; the
 * link that appends them. The size in the directory entry follows at the next sync of the file,
 * after a barrier of its own. It shrinks the other way: entry, barrier, cut of the chain,
 * barrier, the rest is freed. So a size on disk is never longer than the chain, and what a
 * power cut leaves is clusters behind the size.
 *
 * Invariants
 *   - The walk along a chain is no longer than the volume has clusters.
 *   - size <= chain * cluster size, for files that are not damaged.
 * Locking    none: the caller's.
 * Start at   fat_write().
 */
#include "core/heap.h"
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

vmk_status fat_node_cluster(struct fat_node *n, uint32_t index, uint32_t *cluster)
{
    uint32_t at = 0;
    uint32_t here = n->first;

    *cluster = 0;
    if (!here)
        return VMK_OK;
    if (index >= n->v->clusters)
        return VMK_CORRUPT;
    if (n->cursor_cluster && n->cursor_index <= index) {
        at = n->cursor_index;
        here = n->cursor_cluster;
    }
    for (; at < index; at++) {
        vmk_status status = fat_next(n->v, here, &here);

        if (status != VMK_OK || !here)
            return status;
    }
    if (!cluster_valid(n->v, here))
        return VMK_CORRUPT;
    n->cursor_index = index;
    n->cursor_cluster = here;
    *cluster = here;
    return VMK_OK;
}

vmk_status fat_node_chain(struct fat_node *n, uint32_t *count)
{
    uint32_t cluster = n->first;
    uint32_t found = 0;

    if (n->chain == UINT32_MAX) {
        while (cluster) {
            vmk_status status;

            if (found++ == n->v->clusters)
                return VMK_CORRUPT;  // a circle
            n->cursor_index = found - 1;
            n->cursor_cluster = cluster;
            status = fat_next(n->v, cluster, &cluster);
            if (status != VMK_OK) {
                n->cursor_cluster = 0;
                return status;
            }
        }
        n->chain = found;
    }
    *count = n->chain;
    return VMK_OK;
}

static void fat_node_forget(struct fat_node *n)
{
    n->cursor_cluster = 0;
    n->chain = UINT32_MAX;
}

/* ---- data ---- */

/* Whole sectors go as they are; parts of them through the bounce buffer. */
static vmk_status disk_part(struct fat_volume *v, bool write, uint64_t at, char *data,
                            size_t size)
{
    while (size) {
        uint32_t inside = (uint32_t)(at % v->sector_size);
        size_t part = MIN(size, v->sector_size - inside);
        vmk_status status;

        if (!inside && size >= v->sector_size) {
            part = size - size % v->sector_size;
            status = write ? block_write(v->device, at, data, part)
                           : block_read(v->device, at, data, part);
        } else {
            status = block_read(v->device, at - inside, v->bounce, v->sector_size);
            if (status == VMK_OK && write) {
                memcpy(v->bounce + inside, data, part);
                status = block_write(v->device, at - inside, v->bounce, v->sector_size);
            } else if (status == VMK_OK) {
                memcpy(data, v->bounce + inside, part);
            }
        }
        v->unflushed |= write;
        if (status != VMK_OK)
            return status;
        at += part;
        data += part;
        size -= part;
    }
    return VMK_OK;
}

/* Runs of clusters that lie behind each other at once. Directories are not read this way. */
static vmk_status data_part(struct fat_node *n, bool write, uint64_t offset, char *data,
                            size_t size)
{
    struct fat_volume *v = n->v;

    while (size) {
        uint32_t index = (uint32_t)(offset / v->cluster_size);
        uint32_t inside = (uint32_t)(offset % v->cluster_size);
        uint32_t first;
        uint64_t run = v->cluster_size - inside;
        vmk_status status = fat_node_cluster(n, index, &first);

        if (status != VMK_OK)
            return status;
        if (!first)
            return VMK_CORRUPT;
        for (uint32_t last = first; run < size; run += v->cluster_size) {
            uint32_t next;

            status = fat_node_cluster(n, ++index, &next);
            if (status != VMK_OK || next != last + 1)
                break;
            last = next;
        }
        run = MIN(run, size);
        status =
            disk_part(v, write, cluster_sector(v, first) * v->sector_size + inside, data, run);
        if (status != VMK_OK)
            return status;
        offset += run;
        data += run;
        size -= run;
    }
    return VMK_OK;
}

vmk_status fat_read(struct fat_node *n, uint64_t offset, void *to, size_t size, size_t *done)
{
    vmk_status status;

    *done = 0;
    if (node_is_dir(n))
        return VMK_IS_DIR;
    if (offset >= n->size || !size)
        return VMK_OK;
    size = (size_t)MIN(size, n->size - offset);
    status = data_part(n, false, offset, to, size);
    if (status == VMK_OK)
        *done = size;
    return status;
}

/* ---- the directory entry ---- */

/* Writes first cluster, size, times and attributes into the entry. */
static vmk_status fat_node_write(struct fat_node *n)
{
    struct fat_volume *v = n->v;
    uint64_t sector = n->place / v->sector_size;
    uint8_t *s;
    uint8_t *e;
    vmk_status status;

    if (!n->place) {  // the root has no entry, a file without a name has none any more
        n->changed = false;
        return VMK_OK;
    }
    status = fat_sector_get(v, sector, &s);
    if (status != VMK_OK)
        return status;
    e = s + n->place % v->sector_size;
    e[ENTRY_ATTR] = n->attr;
    put_le16(e + ENTRY_CLUSTER_LOW, (uint16_t)n->first);
    put_le16(e + ENTRY_CLUSTER_HIGH, v->bits == 32 ? (uint16_t)(n->first >> 16) : 0);
    put_le32(e + ENTRY_SIZE, node_is_dir(n) ? 0 : n->size);
    fat_time_put(n->mtime_ns, e + ENTRY_MODIFIED, false);
    fat_time_put(n->atime_ns, e + ENTRY_ACCESSED, true);
    status = fat_sector_put(v, sector, s);
    if (status == VMK_OK)
        n->changed = false;
    return status;
}

/* ---- growing ---- */

vmk_status fat_node_append(struct fat_node *n, uint32_t first, uint32_t count)
{
    uint32_t chain = 0;
    uint32_t last = 0;
    vmk_status status = fat_node_chain(n, &chain);

    if (status == VMK_OK && chain)
        status = fat_node_cluster(n, chain - 1, &last);
    if (status == VMK_OK)
        status = fat_barrier(n->v);
    if (status != VMK_OK)
        return status;
    if (last) {
        status = fat_link(n->v, last, first);
    } else {
        n->first = first;
        n->changed = true;
        status = fat_node_write(n);
    }
    if (status == VMK_OK)
        n->chain = chain + count;
    return status;
}

static vmk_status zero_part(struct fat_volume *v, uint64_t at, uint64_t size)
{
    size_t room = (size_t)MIN(size, 65536);
    char *zeros = heap_alloc(MAX(room, 512u), MEM_OWNER_FS);
    vmk_status status = zeros ? VMK_OK : VMK_NO_MEMORY;

    while (size && status == VMK_OK) {
        size_t part = (size_t)MIN(size, room);

        status = disk_part(v, true, at, zeros, part);
        at += part;
        size -= part;
    }
    heap_free(zeros);
    return status;
}

vmk_status fat_zero_clusters(struct fat_volume *v, uint32_t first, uint32_t count)
{
    uint32_t cluster = first;
    vmk_status status = VMK_OK;

    for (uint32_t i = 0; i < count && status == VMK_OK; i++) {
        uint64_t sector = cluster_sector(v, cluster);

        /* A directory's old sectors in memory would hide the zeros. */
        for (unsigned j = 0; j < FAT_BUFFERS; j++) {
            if (v->buffers[j].sector - sector < v->cluster_sectors)
                v->buffers[j].valid = false;
        }
        status = zero_part(v, sector * v->sector_size, v->cluster_size);
        if (status == VMK_OK && i + 1 < count)
            status = fat_next(v, cluster, &cluster);
    }
    return status;
}

/* Clusters for `size` bytes: a chain of its own in *fresh, not linked. */
static vmk_status clusters_for(struct fat_node *n, uint64_t size, uint32_t *fresh,
                               uint32_t *count)
{
    uint64_t need = (size + n->v->cluster_size - 1) / n->v->cluster_size;
    uint32_t chain;
    uint32_t last = 0;
    vmk_status status = fat_node_chain(n, &chain);

    *fresh = 0;
    *count = 0;
    if (status != VMK_OK || need <= chain)
        return status;
    if (need > n->v->clusters)
        return VMK_NO_SPACE;
    if (chain)
        status = fat_node_cluster(n, chain - 1, &last);
    *count = (uint32_t)need - chain;
    return status == VMK_OK ? fat_chain_make(n->v, last ? last + 1 : 0, *count, fresh) : status;
}

/* Writes to the file as if the chain `fresh` were its end already. */
static vmk_status write_beyond(struct fat_node *n, uint32_t fresh, uint64_t offset, char *from,
                               uint64_t size, bool zeros)
{
    struct fat_volume *v = n->v;
    uint64_t have = (uint64_t)n->chain * v->cluster_size;
    uint64_t inside = offset < have ? MIN(size, have - offset) : 0;
    struct fat_node tail = {
        .v = v, .first = fresh, .attr = 0, .chain = UINT32_MAX, .size = UINT32_MAX};
    vmk_status status = VMK_OK;

    for (unsigned part = 0; part < 2 && status == VMK_OK; part++) {
        struct fat_node *to = part ? &tail : n;
        uint64_t at = part ? offset + inside - have : offset;
        uint64_t left = part ? size - inside : inside;

        if (!left)
            continue;
        if (!zeros) {
            status = data_part(to, true, at, from, left);
            from += left;
            continue;
        }
        while (left && status == VMK_OK) {
            uint32_t cluster;
            uint64_t piece = MIN(left, v->cluster_size - at % v->cluster_size);

            status = fat_node_cluster(to, (uint32_t)(at / v->cluster_size), &cluster);
            if (status == VMK_OK && !cluster)
                status = VMK_CORRUPT;
            if (status == VMK_OK)
                status = zero_part(
                    v, cluster_sector(v, cluster) * v->sector_size + at % v->cluster_size,
                    piece);
            at += piece;
            left -= piece;
        }
    }
    return status;
}

static vmk_status grow(struct fat_node *n, uint64_t offset, char *from, uint64_t size,
                       uint64_t zero_from)
{
    uint64_t end = offset + size;
    uint32_t fresh;
    uint32_t count;
    vmk_status status = clusters_for(n, end, &fresh, &count);

    if (status != VMK_OK)
        return status;
    if (zero_from < offset)
        status = write_beyond(n, fresh, zero_from, NULL, offset - zero_from, true);
    if (status == VMK_OK && from)
        status = write_beyond(n, fresh, offset, from, size, false);
    if (status == VMK_OK && count) {
        uint32_t size_before = n->size;

        /* The first cluster and the size come into the entry in one write. */
        n->cursor_cluster = 0;
        n->size = (uint32_t)end;
        status = fat_node_append(n, fresh, count);
        if (status != VMK_OK)
            n->size = size_before;
    } else if (count) {
        (void)!fat_chain_free(n->v, fresh);
    }
    return status;
}

vmk_status fat_write(struct fat_node *n, uint64_t offset, const void *from, size_t size)
{
    /* disk_part() serves both directions; a write only reads through the pointer. */
    char *data = (char *)(uintptr_t)from;
    vmk_status status;

    if (node_is_dir(n))
        return VMK_IS_DIR;
    if (offset > UINT32_MAX || size > UINT32_MAX - offset)
        return VMK_TOO_BIG;
    if (!size)
        return VMK_OK;
    status = fat_dirty(n->v);
    if (status != VMK_OK)
        return status;
    if (offset + size <= n->size)
        status = data_part(n, true, offset, data, size);
    else
        status = grow(n, offset, data, size, MIN(n->size, offset));
    if (status != VMK_OK)
        return status;
    n->size = (uint32_t)MAX(n->size, offset + size);
    n->mtime_ns = n->v->now();
    n->changed = true;
    return VMK_OK;
}

vmk_status fat_truncate(struct fat_node *n, uint64_t size)
{
    struct fat_volume *v = n->v;
    uint32_t keep = (uint32_t)((size + v->cluster_size - 1) / v->cluster_size);
    uint32_t chain;
    uint32_t last = 0;
    uint32_t rest = n->first;
    vmk_status status;

    if (node_is_dir(n))
        return VMK_IS_DIR;
    if (size > UINT32_MAX)
        return VMK_TOO_BIG;
    status = fat_dirty(v);
    if (status != VMK_OK)
        return status;
    n->mtime_ns = v->now();
    n->changed = true;
    if (size >= n->size) {
        if (size > n->size)
            status = grow(n, size, NULL, 0, n->size);
        if (status == VMK_OK)
            n->size = (uint32_t)size;
        return status;
    }
    status = fat_node_chain(n, &chain);
    if (status == VMK_OK && keep && keep < chain) {
        status = fat_node_cluster(n, keep - 1, &last);
        if (status == VMK_OK)
            status = fat_next(v, last, &rest);
    }
    if (status != VMK_OK)
        return status;
    n->size = (uint32_t)size;
    if (!keep)
        n->first = 0;
    fat_node_forget(n);
    status = fat_node_write(n);
    if (status == VMK_OK)
        status = fat_barrier(v);
    if (status == VMK_OK && last) {
        status = fat_link(v, last, 0);
        if (status == VMK_OK)
            status = fat_barrier(v);
    }
    if (status == VMK_OK && (!keep || keep < chain) && rest)
        status = fat_chain_free(v, rest);
    return status;
}

vmk_status fat_node_sync(struct fat_node *n)
{
    vmk_status status = fat_barrier(n->v);

    if (status == VMK_OK && n->changed)
        status = fat_node_write(n);
    return status == VMK_OK ? fat_barrier(n->v) : status;
}
