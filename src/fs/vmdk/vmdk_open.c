// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_open.c -- opening a virtual disk: its descriptor, its extents, the chain of its parents.
 *
 * Each layer of the chain is a descriptor, alone or embedded in an extent, and the extents it
 * names. Whatever does not fit together is refused here by name, so that reading and writing
 * (vmdk.c) take the layers as they are.
 *
 * Invariants
 *   - Parents are open for reading only, and parentCID of each child is the CID of its parent.
 *   - An extent's file has every byte that its line of the descriptor promises.
 * Locking    none: the disk's user.
 * Start at   vmdk_open(), layer_open().
 * Sources    VMDK-FORMAT; VDF.
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_internal.h"
#include "lib/ascii.h"
#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"

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
