// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk.c -- a virtual disk that is open: its extents, and the chain of its parents.
 *
 * A read asks the disk's own extents first and goes down the chain as far as they are absent. A
 * write goes to the disk itself; a grain that is not there yet is made of what the chain holds
 * and what is written. Before the first write the CID changes, durably: from then on children
 * made earlier no longer fit, and are refused when they are opened.
 *
 * Invariants
 *   - Parents are open for reading only, and parentCID of each child is the CID of its parent.
 *   - New CID on disk before new contents on disk.
 * Locking    none: the disk's user.
 * Start at   vmdk_open(), vmdk_read(), vmdk_write().
 * Sources    VMDK-FORMAT; VDF.
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_internal.h"
#include "lib/ascii.h"
#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"

struct extent {
    struct vmdk_file file;  // handle null: ZERO, or the layer's main file
    struct vmdk_file *in;   // where its bytes are
    struct vmdk_sparse *sparse;
    const struct vmdk_extent *line;
    uint64_t begin, size;  // bytes of the disk
};

struct layer {
    char name[VMDK_NAME_MAX];
    struct vmdk_file file;  // with the descriptor
    uint64_t text_at;       // where that lies in it
    struct vmdk_descriptor *d;
    struct extent *extents;
    unsigned extent_count;
};

struct vmdk {
    struct vmdk_store *store;
    bool read_only, stream, touched;
    unsigned layer_count;
    uint64_t size;
    struct layer *layers[VMDK_CHAIN_MAX];
    uint8_t *grain;  // room for a new grain
    uint32_t grain_size;
    uint8_t *unpacked;  // streams: the grain whose marker is at unpacked_at of
    const struct extent *unpacked_of;
    uint64_t unpacked_at;
};

/* ---- files and names ---- */

vmk_status vmdk_file_open(struct vmdk_store *store, const char *name, enum vmdk_open_how how,
                          struct vmdk_file *out)
{
    vmk_status status = store->ops->open(store, name, how, &out->handle);

    if (status != VMK_OK)
        return status;
    out->store = store;
    status = store->ops->size(store, out->handle, &out->size);
    if (status != VMK_OK)
        vmdk_file_close(out);
    return status;
}

void vmdk_file_close(struct vmdk_file *file)
{
    if (file->handle)
        file->store->ops->close(file->store, file->handle);
    file->handle = NULL;
}

vmk_status vmdk_file_write(struct vmdk_file *file, uint64_t offset, const void *from,
                           size_t size)
{
    vmk_status status = file->store->ops->write(file->store, file->handle, offset, from, size);

    if (status == VMK_OK)
        file->size = MAX(file->size, offset + size);
    return status;
}

vmk_status vmdk_file_sync(struct vmdk_file *file)
{
    return file->store->ops->sync(file->store, file->handle);
}

void vmdk_say(const struct vmdk_report *report, const char *format, ...)
{
    char text[256];
    va_list arguments;

    if (!report)
        return;
    va_start(arguments, format);
    (void)vmk_vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    report->line(report->argument, text);
}

vmk_status vmdk_beside(const char *path, const char *name, char out[VMDK_NAME_MAX])
{
    size_t dir = 0;

    if (*name != '/') {
        for (size_t i = 0; path[i]; i++) {
            if (path[i] == '/')
                dir = i + 1;
        }
    }
    return (size_t)vmk_snprintf(out, VMDK_NAME_MAX, "%.*s%s", (int)dir, path, name) <
                   VMDK_NAME_MAX
               ? VMK_OK
               : VMK_NAME_TOO_LONG;
}

vmk_status vmdk_suffix(const char *path, const char *suffix, char out[VMDK_NAME_MAX])
{
    size_t length = strlen(path);

    if (length > 5 && ascii_same(path + length - 5, ".vmdk"))
        length -= 5;
    return (size_t)vmk_snprintf(out, VMDK_NAME_MAX, "%.*s%s", (int)length, path, suffix) <
                   VMDK_NAME_MAX
               ? VMK_OK
               : VMK_NAME_TOO_LONG;
}

bool vmdk_all_zero(const void *data, size_t size)
{
    const uint8_t *p = data;

    return !size || (!*p && memcmp(p, p + 1, size - 1) == 0);
}

/* ---- opening ---- */

static void layer_free(struct layer *l)
{
    if (!l)
        return;
    for (unsigned i = 0; l->extents && i < l->extent_count; i++) {
        vmdk_sparse_free(l->extents[i].sparse);
        vmdk_file_close(&l->extents[i].file);
    }
    heap_free(l->extents);
    vmdk_descriptor_free(l->d);
    vmdk_file_close(&l->file);
    heap_free(l);
}

static vmk_status text_read(struct layer *l, uint64_t at, size_t size,
                            const struct vmdk_report *report)
{
    char *text = heap_alloc(size + 1, MEM_OWNER_FS);
    vmk_status status = text ? file_read_at(&l->file, at, text, size) : VMK_NO_MEMORY;

    if (status == VMK_OK)
        status = vmdk_descriptor_parse(text, size, l->name, report, &l->d);
    l->text_at = at;
    heap_free(text);
    return status;
}

static vmk_status extent_fits(const struct layer *l, const struct extent *e,
                              const struct vmdk_report *report)
{
    uint64_t sectors = e->line->sectors;

    if (e->sparse && vmdk_sparse_sectors(e->sparse) < sectors) {
        vmdk_say(report, "%s: extent \"%s\": %llu sectors are described, the file holds %llu",
                 l->name, e->line->name, (unsigned long long)sectors,
                 (unsigned long long)vmdk_sparse_sectors(e->sparse));
        return VMK_BAD_FORMAT;
    }
    if (!e->sparse && e->in &&
        (e->in->size / VMDK_SECTOR < e->line->offset ||
         e->in->size / VMDK_SECTOR - e->line->offset < sectors)) {
        vmdk_say(report, "%s: extent \"%s\": %llu sectors are described, the file has %llu",
                 l->name, e->line->name, (unsigned long long)e->line->offset + sectors,
                 (unsigned long long)(e->in->size / VMDK_SECTOR));
        return VMK_BAD_FORMAT;
    }
    return VMK_OK;
}

/* `embedded`: the layer's own file is the extent. */
static vmk_status extent_open(struct layer *l, struct extent *e, struct vmdk_sparse *embedded,
                              bool write, const struct vmdk_report *report)
{
    char name[VMDK_NAME_MAX];
    vmk_status status;

    if (embedded) {
        e->in = &l->file;
        e->sparse = embedded;
        return extent_fits(l, e, report);
    }
    if (e->line->type == VMDK_ZERO)
        return VMK_OK;
    status = vmdk_beside(l->name, e->line->name, name);
    if (status == VMK_OK)
        status = vmdk_file_open(l->file.store, name,
                                write && e->line->writable ? VMDK_OPEN_WRITE : VMDK_OPEN_READ,
                                &e->file);
    if (status != VMK_OK) {
        vmdk_say(report, "%s: extent \"%s\": %s", l->name, e->line->name,
                 vmk_status_text(status));
        return status;
    }
    e->in = &e->file;
    if (e->line->type == VMDK_SPARSE || e->line->type == VMDK_VMFS_SPARSE)
        status = vmdk_sparse_open(e->in, name, write, report, &e->sparse);
    return status == VMK_OK ? extent_fits(l, e, report) : status;
}

static vmk_status layer_open(struct vmdk_store *store, const char *name, bool write,
                             const struct vmdk_report *report, struct layer **out)
{
    struct layer *l = heap_alloc(sizeof(*l), MEM_OWNER_FS);
    struct vmdk_sparse *embedded = NULL;
    uint64_t begin = 0;
    uint64_t at = 0;
    size_t size = 0;
    uint8_t magic[4];
    vmk_status status;

    if (!l)
        return VMK_NO_MEMORY;
    (void)vmk_snprintf(l->name, sizeof(l->name), "%s", name);
    status = vmdk_file_open(store, name, write ? VMDK_OPEN_WRITE : VMDK_OPEN_READ, &l->file);
    if (status != VMK_OK)
        vmdk_say(report, "%s: %s", name, vmk_status_text(status));
    if (status == VMK_OK)
        status = file_read_at(&l->file, 0, magic, sizeof(magic));
    if (status == VMK_OK && le32(magic) == VMDK_HOSTED_MAGIC) {
        status = vmdk_sparse_open(&l->file, name, write, report, &embedded);
        if (status == VMK_OK && !vmdk_sparse_descriptor(embedded, &at, &size)) {
            vmdk_say(report, "%s: is an extent without descriptor: open its descriptor", name);
            status = VMK_BAD_FORMAT;
        }
    } else if (status == VMK_OK && le32(magic) == VMDK_ESX_MAGIC) {
        vmdk_say(report, "%s: is an extent: open its descriptor", name);
        status = VMK_BAD_FORMAT;
    } else {
        size = (size_t)MIN(l->file.size, VMDK_DESCRIPTOR_MAX + 1);
    }
    if (status == VMK_OK)
        status = text_read(l, at, size, report);
    if (status == VMK_OK && embedded && l->d->extent_count != 1) {
        vmdk_say(report, "%s: %u extents are described inside of one", name,
                 l->d->extent_count);
        status = VMK_BAD_FORMAT;
    }
    if (status == VMK_OK) {
        l->extents = heap_alloc(l->d->extent_count * sizeof(*l->extents), MEM_OWNER_FS);
        status = l->extents ? VMK_OK : VMK_NO_MEMORY;
    }
    for (unsigned i = 0; status == VMK_OK && i < l->d->extent_count; i++) {
        struct extent *e = &l->extents[i];

        e->line = &l->d->extents[i];
        e->begin = begin;
        e->size = e->line->sectors * VMDK_SECTOR;
        begin += e->size;
        l->extent_count = i + 1;
        status = extent_open(l, e, embedded, write, report);
        embedded = NULL;
    }
    if (status != VMK_OK) {
        vmdk_sparse_free(embedded);
        layer_free(l);
        return status;
    }
    *out = l;
    return VMK_OK;
}

static vmk_status parents_open(struct vmdk *disk, const struct vmdk_report *report)
{
    const struct layer *child = disk->layers[0];

    while (child->d->parent_cid != VMDK_NO_PARENT) {
        char name[VMDK_NAME_MAX];
        struct layer *parent;
        vmk_status status = vmdk_beside(child->name, child->d->parent_hint, name);

        if (disk->layer_count == VMDK_CHAIN_MAX) {
            vmdk_say(report, "%s: the chain of parents is longer than %u or a circle",
                     child->name, VMDK_CHAIN_MAX);
            return VMK_LIMIT;
        }
        if (status == VMK_OK)
            status = layer_open(disk->store, name, false, report, &parent);
        if (status != VMK_OK) {
            vmdk_say(report, "%s: parentFileNameHint \"%s\": %s", child->name,
                     child->d->parent_hint, vmk_status_text(status));
            return status;
        }
        disk->layers[disk->layer_count++] = parent;
        if (parent->d->cid != child->d->parent_cid) {
            vmdk_say(report,
                     "%s: parentCID is %08x, the parent %s has CID %08x: the parent was "
                     "changed since",
                     child->name, child->d->parent_cid, name, parent->d->cid);
            return VMK_CORRUPT;
        }
        child = parent;
    }
    return VMK_OK;
}

static void disk_free(struct vmdk *disk)
{
    for (unsigned i = 0; i < disk->layer_count; i++)
        layer_free(disk->layers[i]);
    heap_free(disk->grain);
    heap_free(disk->unpacked);
    heap_free(disk);
}

vmk_status vmdk_open(struct vmdk_store *store, const char *name, bool read_only,
                     const struct vmdk_report *report, struct vmdk **out)
{
    struct vmdk *disk = heap_alloc(sizeof(*disk), MEM_OWNER_FS);
    vmk_status status;

    if (!disk)
        return VMK_NO_MEMORY;
    disk->store = store;
    disk->read_only = read_only;
    status = layer_open(store, name, !read_only, report, &disk->layers[0]);
    if (status == VMK_OK) {
        disk->layer_count = 1;
        disk->size = disk->layers[0]->d->capacity * VMDK_SECTOR;
        status = parents_open(disk, report);
    }
    for (unsigned i = 0; status == VMK_OK && i < disk->layer_count; i++) {
        const struct layer *l = disk->layers[i];

        for (unsigned j = 0; j < l->extent_count; j++) {
            const struct extent *e = &l->extents[j];

            if (!e->sparse)
                continue;
            disk->stream |= vmdk_sparse_is_stream(e->sparse);
            disk->grain_size = MAX(disk->grain_size, vmdk_sparse_grain_size(e->sparse));
            if (!i && vmdk_sparse_is_stream(e->sparse) && !read_only) {
                vmdk_say(report, "%s: streamOptimized is read only: clone it into another kind",
                         name);
                status = VMK_READ_ONLY;
            }
        }
    }
    if (status == VMK_OK && disk->grain_size) {
        disk->grain = heap_alloc(disk->grain_size, MEM_OWNER_FS);
        disk->unpacked = disk->stream ? heap_alloc(disk->grain_size, MEM_OWNER_FS) : NULL;
        if (!disk->grain || (disk->stream && !disk->unpacked))
            status = VMK_NO_MEMORY;
    }
    if (status != VMK_OK) {
        disk_free(disk);
        return status;
    }
    *out = disk;
    return VMK_OK;
}

vmk_status vmdk_close(struct vmdk *disk)
{
    vmk_status status = VMK_OK;

    if (disk->touched) {
        struct layer *l = disk->layers[0];

        status = vmdk_flush(disk);
        for (unsigned i = 0; i < l->extent_count && status == VMK_OK; i++) {
            if (l->extents[i].sparse) {
                status = vmdk_sparse_unclean(l->extents[i].sparse, false);
                if (status == VMK_OK)
                    status = vmdk_file_sync(l->extents[i].in);
            }
        }
    }
    disk_free(disk);
    return status;
}

uint64_t vmdk_capacity(const struct vmdk *disk)
{
    return disk->size;
}

bool vmdk_read_only(const struct vmdk *disk)
{
    return disk->read_only;
}

const struct vmdk_descriptor *vmdk_descriptor_of(const struct vmdk *disk, unsigned depth)
{
    return depth < disk->layer_count ? disk->layers[depth]->d : NULL;
}

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

/* ---- checking ---- */

vmk_status vmdk_check(struct vmdk_store *store, const char *name,
                      const struct vmdk_report *report, struct vmdk_check_result *out)
{
    struct vmdk *disk;
    vmk_status status = vmdk_open(store, name, true, report, &disk);

    memset(out, 0, sizeof(*out));
    if (status != VMK_OK)
        return status;
    for (unsigned i = 0; i < disk->layers[0]->extent_count && status == VMK_OK; i++) {
        const struct extent *e = &disk->layers[0]->extents[i];

        if (!e->sparse)
            continue;
        out->grain_size = vmdk_sparse_grain_size(e->sparse);
        status = vmdk_sparse_check(e->sparse, e->line->name, report, out);
    }
    (void)!vmdk_close(disk);
    return status;
}
