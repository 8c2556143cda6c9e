// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk.c -- a virtual disk that is open: reading, writing, flushing, giving back.
 *
 * A read asks the disk's own extents first and goes down the chain as far as they are absent. A
 * write goes to the disk itself; a grain that is not there yet is made of what the chain holds
 * and what is written. Before the first write the CID changes, durably: from then on children
 * made earlier no longer fit, and are refused when they are opened.
 *
 * Invariants
 *   - New CID on disk before new contents on disk.
 * Locking    none: the disk's user.
 * Start at   vmdk_read(), vmdk_write().
 * Sources    VMDK-FORMAT; VDF.
 */
#include "fs/vmdk/vmdk_internal.h"
#include "lib/format.h"
#include "lib/string.h"

/* ---- reading ---- */

static const struct extent *extent_at(const struct layer *l, uint64_t offset)
{
    for (unsigned i = 0; i < l->extent_count; i++) {
        if (offset - l->extents[i].begin < l->extents[i].size)
            return &l->extents[i];
    }
    return NULL;
}

/* Where a layer has [offset, offset + size), as far as it is alike. */
static vmk_status layer_map(const struct layer *l, uint64_t offset, uint64_t size,
                            struct vmdk_map *m, const struct extent **in)
{
    const struct extent *e = extent_at(l, offset);

    *in = e;
    if (!e) {  // a parent that is smaller: nothing there
        *m = (struct vmdk_map){.where = VMDK_ABSENT, .length = size};
        return VMK_OK;
    }
    size = MIN(size, e->begin + e->size - offset);
    offset -= e->begin;
    if (e->sparse)
        return vmdk_sparse_map(e->sparse, offset, size, m);
    *m = (struct vmdk_map){.where = e->in ? VMDK_IN_FILE : VMDK_IS_ZERO,
                           .length = size,
                           .offset = e->line->offset * VMDK_SECTOR + offset};
    return VMK_OK;
}

/* The first layer from `depth` on that has something; ABSENT becomes ZERO. */
static vmk_status chain_map(const struct vmdk *disk, unsigned depth, uint64_t offset,
                            uint64_t size, struct vmdk_map *m, const struct extent **in)
{
    for (; depth < disk->layer_count; depth++) {
        vmk_status status = layer_map(disk->layers[depth], offset, size, m, in);

        if (status != VMK_OK || m->where != VMDK_ABSENT)
            return status;
        size = m->length;
    }
    m->where = VMDK_IS_ZERO;
    m->length = size;
    return VMK_OK;
}

static vmk_status read_compressed(struct vmdk *disk, const struct extent *e,
                                  const struct vmdk_map *m, uint64_t offset, void *to)
{
    uint32_t size = vmdk_sparse_grain_size(e->sparse);
    uint64_t inside = (offset - e->begin) % size;

    if (disk->unpacked_of != e || disk->unpacked_at != m->offset) {
        vmk_status status;

        disk->unpacked_of = NULL;
        status = vmdk_stream_grain(e->in, m->offset, (offset - e->begin - inside) / VMDK_SECTOR,
                                   disk->unpacked, size);
        if (status != VMK_OK)
            return status;
        disk->unpacked_of = e;
        disk->unpacked_at = m->offset;
    }
    memcpy(to, disk->unpacked + inside, m->length);
    return VMK_OK;
}

static vmk_status read_from(struct vmdk *disk, unsigned depth, uint64_t offset, void *to,
                            size_t size)
{
    while (size) {
        const struct extent *e = NULL;
        struct vmdk_map m;
        vmk_status status = chain_map(disk, depth, offset, size, &m, &e);

        if (status != VMK_OK)
            return status;
        if (m.where == VMDK_IS_ZERO)
            memset(to, 0, m.length);
        else if (m.where == VMDK_COMPRESSED)
            status = read_compressed(disk, e, &m, offset, to);
        else
            status = file_read_at(e->in, m.offset, to, m.length);
        if (status != VMK_OK)
            return status;
        offset += m.length;
        to = (char *)to + m.length;
        size -= m.length;
    }
    return VMK_OK;
}

static bool outside(const struct vmdk *disk, uint64_t offset, uint64_t size)
{
    return offset > disk->size || size > disk->size - offset;
}

vmk_status vmdk_read(struct vmdk *disk, uint64_t offset, void *to, size_t size)
{
    return outside(disk, offset, size) ? VMK_BAD_PARAM : read_from(disk, 0, offset, to, size);
}

vmk_status vmdk_is_hole(struct vmdk *disk, uint64_t offset, uint64_t size, bool *hole,
                        uint64_t *length)
{
    const struct extent *e;
    struct vmdk_map m;
    vmk_status status;

    if (outside(disk, offset, size) || !size)
        return VMK_BAD_PARAM;
    status = chain_map(disk, 0, offset, size, &m, &e);
    *hole = m.where == VMDK_IS_ZERO;
    *length = m.length;
    return status;
}

/* ---- writing ---- */

/* In place, with as many digits as there are, one to eight: QEMU writes no leading zeroes. */
static vmk_status cid_change(struct vmdk *disk)
{
    struct layer *l = disk->layers[0];
    struct vmdk_descriptor *d = l->d;
    uint32_t cid = (uint32_t)disk->store->ops->random(disk->store);
    uint32_t mask = (uint32_t)((1ull << 4 * d->cid_length) - 1);
    char text[9];
    vmk_status status;

    cid &= mask;
    if (cid == VMDK_NO_PARENT || cid == d->cid)
        cid = (d->cid ^ 0x5a5a5a5a) & mask;
    (void)vmk_snprintf(text, sizeof(text), "%08x", cid);
    d->cid = cid;
    status = vmdk_file_write(&l->file, l->text_at + d->cid_at, text + 8 - d->cid_length,
                             d->cid_length);
    return status == VMK_OK ? vmdk_file_sync(&l->file) : status;
}

static vmk_status touch(struct vmdk *disk)
{
    struct layer *l = disk->layers[0];
    vmk_status status = VMK_OK;

    if (disk->read_only)
        return VMK_READ_ONLY;
    if (disk->touched)
        return VMK_OK;
    for (unsigned i = 0; i < l->extent_count && status == VMK_OK; i++) {
        if (l->extents[i].sparse)
            status = vmdk_sparse_unclean(l->extents[i].sparse, true);
    }
    if (status == VMK_OK)
        status = cid_change(disk);
    disk->touched = status == VMK_OK;
    return status;
}

/* At most one grain, which is absent or zero. `offset` is the disk's. */
static vmk_status write_new_grain(struct vmdk *disk, const struct extent *e, bool zero,
                                  uint64_t offset, const void *from, uint32_t size)
{
    uint32_t grain_size = vmdk_sparse_grain_size(e->sparse);
    uint64_t inside = (offset - e->begin) % grain_size;
    uint64_t begin = offset - inside;
    uint64_t place;
    vmk_status status;

    if (size != grain_size) {
        uint64_t there = MIN(grain_size, disk->size - begin);

        memset(disk->grain, 0, grain_size);
        if (!zero && disk->layer_count > 1) {
            status =
                read_from(disk, 1, begin, disk->grain, MIN(there, e->begin + e->size - begin));
            if (status != VMK_OK)
                return status;
        }
        memcpy(disk->grain + inside, from, size);
        from = disk->grain;
    }
    status = vmdk_sparse_place(e->sparse, &place);
    if (status == VMK_OK)
        status = vmdk_file_write(e->in, place, from, grain_size);
    if (status == VMK_OK)
        status = vmdk_sparse_enter(e->sparse, begin - e->begin, place);
    return status;
}

vmk_status vmdk_write(struct vmdk *disk, uint64_t offset, const void *from, size_t size)
{
    vmk_status status = outside(disk, offset, size) ? VMK_BAD_PARAM : touch(disk);

    while (status == VMK_OK && size) {
        const struct extent *e = NULL;
        struct vmdk_map m;
        uint64_t part;

        status = layer_map(disk->layers[0], offset, size, &m, &e);
        if (status != VMK_OK)
            return status;
        if (!e || !e->in || !e->line->writable)
            return VMK_READ_ONLY;
        part = m.length;
        if (m.where == VMDK_IN_FILE) {
            status = vmdk_file_write(e->in, m.offset, from, part);
        } else {
            uint64_t grain = vmdk_sparse_grain_size(e->sparse);

            part = MIN(part, grain - (offset - e->begin) % grain);
            status =
                write_new_grain(disk, e, m.where == VMDK_IS_ZERO, offset, from, (uint32_t)part);
        }
        offset += part;
        from = (const char *)from + part;
        size -= part;
    }
    return status;
}

vmk_status vmdk_flush(struct vmdk *disk)
{
    const struct layer *l = disk->layers[0];
    vmk_status status = VMK_OK;

    if (!disk->touched)
        return VMK_OK;
    for (unsigned i = 0; i < l->extent_count && status == VMK_OK; i++) {
        const struct extent *e = &l->extents[i];

        if (e->sparse)
            status = vmdk_sparse_flush(e->sparse);
        else if (e->in)
            status = vmdk_file_sync(e->in);
    }
    return status;
}

vmk_status vmdk_discard(struct vmdk *disk, uint64_t offset, uint64_t size)
{
    vmk_status status = outside(disk, offset, size) ? VMK_BAD_PARAM : touch(disk);

    while (status == VMK_OK && size) {
        const struct extent *e = extent_at(disk->layers[0], offset);
        uint64_t part = e ? MIN(size, e->begin + e->size - offset) : size;
        uint64_t at = e ? offset - e->begin : 0;

        if (e && e->sparse && e->line->writable) {
            uint64_t grain = vmdk_sparse_grain_size(e->sparse);

            part = MIN(part, grain - at % grain);
            if (part == grain)
                status = vmdk_sparse_forget(e->sparse, at, disk->layer_count > 1);
        } else if (e && e->in && e->line->writable && disk->store->ops->discard) {
            status = disk->store->ops->discard(disk->store, e->in->handle,
                                               e->line->offset * VMDK_SECTOR + at, part);
            if (status == VMK_UNSUPPORTED)
                status = VMK_OK;
        }
        offset += part;
        size -= part;
    }
    return status;
}
