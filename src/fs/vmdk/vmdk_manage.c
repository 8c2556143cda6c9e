// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_manage.c -- what vmkfstools does with virtual disks: create, clone, extend, remove.
 *
 * A new disk gets its extents first and its descriptor last, durably in that order: before the
 * descriptor there is no disk, and what a power cut leaves of one are files that no disk names.
 * When something fails, the files made so far are removed.
 *
 * Invariants
 *   - Nothing here overwrites a file that was there before, but the descriptor of the disk
 *     named.
 * Locking    none: the disk must not be open elsewhere.
 * Start at   vmdk_create(), vmdk_clone().
 * Sources    VMDK-FORMAT; VMKFSTOOLS for what each operation promises.
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define COPY_SIZE ((size_t)1 << 20)
#define ZERO_UNIT ((size_t)4096)  // no hole is smaller

static const char *const provisions[] = {
    [VMDK_THIN] = "thin",
    [VMDK_ZEROED_THICK] = "zeroedthick",
    [VMDK_EAGER_ZEROED] = "eagerzeroedthick",
    [VMDK_MONO_FLAT] = "monoflat",
    [VMDK_MONO_SPARSE] = "monosparse",
    [VMDK_STREAM] = "stream",
};

bool vmdk_provision_find(const char *name, enum vmdk_provision *out)
{
    for (unsigned i = 0; i < ARRAY_COUNT(provisions); i++) {
        if (strcmp(provisions[i], name) == 0) {
            *out = (enum vmdk_provision)i;
            return true;
        }
    }
    return false;
}

static const char *base_of(const char *path)
{
    const char *base = path;

    for (; *path; path++) {
        if (*path == '/')
            base = path + 1;
    }
    return base;
}

static void progress_step(const struct vmdk_progress *p, uint64_t done, uint64_t of)
{
    if (p)
        p->step(p->argument, done, of);
}

static uint32_t random_cid(struct vmdk_store *store)
{
    uint32_t cid = (uint32_t)store->ops->random(store);

    return cid == VMDK_NO_PARENT || !cid ? 0x12345678 : cid;
}

/* The geometry that VMware's BIOS shows for a SCSI disk of that size. */
static void geometry(struct vmdk_descriptor *d, uint64_t sectors)
{
    uint64_t gib = sectors >> 21;

    d->heads = gib < 1 ? 64 : gib < 2 ? 128 : 255;
    d->sectors = gib < 2 ? 32 : 63;
    d->cylinders = (uint32_t)MIN(sectors / (d->heads * d->sectors), UINT32_MAX);
    d->cylinders = MAX(d->cylinders, 1u);
}

/* A descriptor with one extent; freed by vmdk_descriptor_free(). */
static vmk_status descriptor_make(struct vmdk_store *store, uint64_t sectors,
                                  const char *create_type, enum vmdk_extent_type type,
                                  const char *extent, const char *adapter,
                                  struct vmdk_descriptor **out)
{
    struct vmdk_descriptor *d = heap_alloc(sizeof(*d), MEM_OWNER_FS);
    uint8_t uuid[16];

    if (!d)
        return VMK_NO_MEMORY;
    d->extents = heap_alloc(sizeof(*d->extents), MEM_OWNER_FS);
    if (!d->extents) {
        heap_free(d);
        return VMK_NO_MEMORY;
    }
    d->version = 1;
    d->cid = random_cid(store);
    d->parent_cid = VMDK_NO_PARENT;
    d->hw_version = 8;
    d->capacity = sectors;
    d->extent_count = 1;
    d->extents[0] = (struct vmdk_extent){.writable = true, .type = type, .sectors = sectors};
    (void)vmk_snprintf(d->create_type, sizeof(d->create_type), "%s", create_type);
    (void)vmk_snprintf(d->extents[0].name, sizeof(d->extents[0].name), "%s", extent);
    (void)vmk_snprintf(d->adapter, sizeof(d->adapter), "%s", adapter ? adapter : "lsilogic");
    (void)vmk_snprintf(d->long_content_id, sizeof(d->long_content_id), "%016llx%08x%08x",
                       (unsigned long long)store->ops->random(store),
                       (uint32_t)store->ops->random(store), d->cid);
    for (unsigned i = 0; i < 16; i++)
        uuid[i] = (uint8_t)store->ops->random(store);
    (void)vmk_snprintf(d->uuid, sizeof(d->uuid),
                       "60 00 C2 9%x %02x %02x %02x %02x-%02x %02x %02x %02x %02x %02x %02x "
                       "%02x",
                       uuid[3] & 15, uuid[4], uuid[5], uuid[6], uuid[7], uuid[8], uuid[9],
                       uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
    geometry(d, sectors);
    *out = d;
    return VMK_OK;
}

static vmk_status descriptor_text(const struct vmdk_descriptor *d, char **text, size_t *length)
{
    *text = heap_alloc(VMDK_DESCRIPTOR_MAX, MEM_OWNER_FS);
    if (!*text)
        return VMK_NO_MEMORY;
    *length = vmdk_descriptor_write(d, *text, VMDK_DESCRIPTOR_MAX);
    if (*length < VMDK_DESCRIPTOR_MAX)
        return VMK_OK;
    heap_free(*text);
    return VMK_TOO_BIG;
}

/* Ends the making of a file: what was not made whole is not left behind. */
static vmk_status file_made(struct vmdk_store *store, struct vmdk_file *file, const char *name,
                            vmk_status status)
{
    vmdk_file_close(file);
    if (status != VMK_OK)
        (void)!store->ops->remove(store, name);
    return status;
}

/* The descriptor as a file of its own, durable. */
static vmk_status descriptor_file(struct vmdk_store *store, const char *name,
                                  const struct vmdk_descriptor *d)
{
    struct vmdk_file file;
    size_t length;
    char *text;
    vmk_status status = descriptor_text(d, &text, &length);

    if (status != VMK_OK)
        return status;
    status = vmdk_file_open(store, name, VMDK_OPEN_CREATE, &file);
    if (status == VMK_OK) {
        status = vmdk_file_write(&file, 0, text, length);
        if (status == VMK_OK)
            status = vmdk_file_sync(&file);
        status = file_made(store, &file, name, status);
    }
    heap_free(text);
    return status;
}

/* The same in place of one that is there: a new file takes its name. */
static vmk_status descriptor_replace(struct vmdk_store *store, const char *name,
                                     const struct vmdk_descriptor *d)
{
    char fresh[VMDK_NAME_MAX];
    vmk_status status = vmdk_suffix(name, ".vmdk~", fresh);

    if (status != VMK_OK)
        return status;
    (void)!store->ops->remove(store, fresh);  // of an attempt that was cut short
    status = descriptor_file(store, fresh, d);
    if (status == VMK_OK)
        status = store->ops->rename(store, fresh, name);
    return status;
}

/*
 * Zeros over everything that is a hole or reads as zeros, so that space is there for all of it.
 */
static vmk_status zeros_write(struct vmdk_file *file, uint64_t from, uint64_t size,
                              const struct vmdk_progress *progress)
{
    char *buffer = heap_alloc(COPY_SIZE, MEM_OWNER_FS);
    vmk_status status = buffer ? VMK_OK : VMK_NO_MEMORY;

    for (uint64_t at = from; at < size && status == VMK_OK;) {
        size_t part = (size_t)MIN(COPY_SIZE, size - at);

        status = file_read_at(file, at, buffer, part);
        for (size_t i = 0; i < part && status == VMK_OK;) {
            size_t run = i;

            while (run < part && vmdk_all_zero(buffer + run, MIN(ZERO_UNIT, part - run)))
                run = MIN(run + ZERO_UNIT, part);
            if (run > i)
                status = vmdk_file_write(file, at + i, buffer + i, run - i);
            i = MIN(run + ZERO_UNIT, part);
        }
        at += part;
        progress_step(progress, at, size);
    }
    heap_free(buffer);
    return status;
}

/* Gives [from, size) of a flat extent what `how` promises. */
static vmk_status provision(struct vmdk_file *file, uint64_t from, uint64_t size,
                            enum vmdk_provision how, const struct vmdk_progress *progress)
{
    const struct vmdk_store_ops *ops = file->store->ops;
    vmk_status status = VMK_UNSUPPORTED;

    if (file->size < size) {
        status = ops->truncate(file->store, file->handle, size);
        if (status != VMK_OK)
            return status;
        file->size = size;
    }
    if (how == VMDK_THIN || how == VMDK_MONO_FLAT)
        return VMK_OK;
    status =
        ops->allocate ? ops->allocate(file->store, file->handle, size, how) : VMK_UNSUPPORTED;
    if (status == VMK_UNSUPPORTED && how == VMDK_EAGER_ZEROED)
        return zeros_write(file, from, size, progress);
    /*
     * Where space cannot be set aside, a zeroed-thick disk is one that fills as it is written.
     */
    return status == VMK_UNSUPPORTED ? VMK_OK : status;
}

static vmk_status create_flat(struct vmdk_store *store, const char *name,
                              const struct vmdk_create *what,
                              const struct vmdk_progress *progress)
{
    char extent[VMDK_NAME_MAX];
    struct vmdk_descriptor *d;
    struct vmdk_file file;
    bool mono = what->how == VMDK_MONO_FLAT;
    vmk_status status = vmdk_suffix(name, "-flat.vmdk", extent);

    if (status == VMK_OK)
        status =
            descriptor_make(store, what->size / VMDK_SECTOR, mono ? "monolithicFlat" : "vmfs",
                            mono ? VMDK_FLAT : VMDK_VMFS, base_of(extent), what->adapter, &d);
    if (status != VMK_OK)
        return status;
    d->thin = what->how == VMDK_THIN;
    status = vmdk_file_open(store, extent, VMDK_OPEN_CREATE, &file);
    if (status == VMK_OK) {
        status = provision(&file, 0, what->size, what->how, progress);
        if (status == VMK_OK)
            status = vmdk_file_sync(&file);
        vmdk_file_close(&file);
        if (status == VMK_OK)
            status = descriptor_file(store, name, d);
        if (status != VMK_OK)
            (void)!store->ops->remove(store, extent);
    }
    vmdk_descriptor_free(d);
    return status;
}

/* The text of the descriptor of a disk whose one extent has it inside; freed by the caller. */
static vmk_status embedded_text(struct vmdk_store *store, const char *name, uint64_t sectors,
                                const char *type, const char *adapter, char **text,
                                size_t *length)
{
    struct vmdk_descriptor *d;
    vmk_status status =
        descriptor_make(store, sectors, type, VMDK_SPARSE, base_of(name), adapter, &d);

    if (status != VMK_OK)
        return status;
    status = descriptor_text(d, text, length);
    vmdk_descriptor_free(d);
    return status;
}

static vmk_status create_sparse(struct vmdk_store *store, const char *name,
                                const struct vmdk_create *what)
{
    struct vmdk_file file;
    size_t length;
    char *text;
    vmk_status status = embedded_text(store, name, what->size / VMDK_SECTOR, "monolithicSparse",
                                      what->adapter, &text, &length);

    if (status != VMK_OK)
        return status;
    status = vmdk_file_open(store, name, VMDK_OPEN_CREATE, &file);
    if (status == VMK_OK) {
        status = vmdk_sparse_create_hosted(&file, what->size / VMDK_SECTOR, text, length);
        status = file_made(store, &file, name, status);
    }
    heap_free(text);
    return status;
}

vmk_status vmdk_create(struct vmdk_store *store, const char *name,
                       const struct vmdk_create *what, const struct vmdk_progress *progress)
{
    struct vmdk_file there;

    if (!what->size || what->size % VMDK_SECTOR || what->size > 1ull << 53)
        return VMK_BAD_PARAM;
    if (vmdk_file_open(store, name, VMDK_OPEN_READ, &there) == VMK_OK) {
        vmdk_file_close(&there);
        return VMK_EXISTS;
    }
    switch (what->how) {
    case VMDK_MONO_SPARSE: return create_sparse(store, name, what);
    case VMDK_STREAM: return VMK_UNSUPPORTED;
    default: return create_flat(store, name, what, progress);
    }
}

vmk_status vmdk_snapshot(struct vmdk_store *store, const char *parent, const char *name,
                         const struct vmdk_report *report)
{
    char extent[VMDK_NAME_MAX];
    struct vmdk_descriptor *d = NULL;
    struct vmdk_file file;
    struct vmdk *base;
    bool same_dir = base_of(parent) - parent == base_of(name) - name &&
                    strncmp(parent, name, (size_t)(base_of(name) - name)) == 0;
    vmk_status status = vmdk_open(store, parent, true, report, &base);

    if (status != VMK_OK)
        return status;
    status = vmdk_suffix(name, "-delta.vmdk", extent);
    if (status == VMK_OK)
        status = descriptor_make(store, vmdk_capacity(base) / VMDK_SECTOR, "vmfsSparse",
                                 VMDK_VMFS_SPARSE, base_of(extent), NULL, &d);
    if (status == VMK_OK) {
        const struct vmdk_descriptor *p = vmdk_descriptor_of(base, 0);

        d->parent_cid = p->cid;
        d->cid = p->cid;  // the same contents
        memcpy(d->adapter, p->adapter, sizeof(d->adapter));
        d->cylinders = p->cylinders;
        d->heads = p->heads;
        d->sectors = p->sectors;
        (void)vmk_snprintf(d->parent_hint, sizeof(d->parent_hint), "%s",
                           same_dir ? base_of(parent) : parent);
        status = vmdk_file_open(store, extent, VMDK_OPEN_CREATE, &file);
    }
    if (status == VMK_OK) {
        status = vmdk_sparse_create_esx(&file, d->capacity);
        vmdk_file_close(&file);
        if (status == VMK_OK)
            status = descriptor_file(store, name, d);
        if (status != VMK_OK)
            (void)!store->ops->remove(store, extent);
    }
    vmdk_descriptor_free(d);
    (void)!vmdk_close(base);
    return status;
}

/* ---- clone ---- */

/* Holes stay holes; `dense`: zeros are written too. */
static vmk_status copy_all(struct vmdk *from, struct vmdk *to, bool dense,
                           const struct vmdk_progress *progress)
{
    uint64_t size = vmdk_capacity(from);
    char *buffer = heap_alloc(COPY_SIZE, MEM_OWNER_FS);
    vmk_status status = buffer ? VMK_OK : VMK_NO_MEMORY;

    for (uint64_t at = 0; at < size && status == VMK_OK;) {
        uint64_t part = size - at;
        bool hole = false;

        if (!dense)
            status = vmdk_is_hole(from, at, part, &hole, &part);
        if (status == VMK_OK && !hole) {
            part = MIN(part, COPY_SIZE - at % COPY_SIZE);
            status = vmdk_read(from, at, buffer, part);
            if (status == VMK_OK && (dense || !vmdk_all_zero(buffer, part)))
                status = vmdk_write(to, at, buffer, part);
        }
        at += part;
        progress_step(progress, at, size);
    }
    heap_free(buffer);
    return status;
}

static vmk_status clone_stream(struct vmdk *source, struct vmdk_store *store, const char *to,
                               const struct vmdk_progress *progress)
{
    const struct vmdk_descriptor *from = vmdk_descriptor_of(source, 0);
    struct vmdk_file file;
    size_t length;
    char *text;
    vmk_status status = embedded_text(store, to, from->capacity, "streamOptimized",
                                      from->adapter, &text, &length);

    if (status != VMK_OK)
        return status;
    status = vmdk_file_open(store, to, VMDK_OPEN_CREATE, &file);
    if (status == VMK_OK) {
        status = vmdk_stream_write(source, &file, text, length, progress);
        vmdk_file_close(&file);
        if (status != VMK_OK)
            (void)!store->ops->remove(store, to);
    }
    heap_free(text);
    return status;
}

vmk_status vmdk_clone(struct vmdk_store *from_store, const char *from,
                      struct vmdk_store *to_store, const char *to, enum vmdk_provision how,
                      const struct vmdk_report *report, const struct vmdk_progress *progress)
{
    struct vmdk *source;
    struct vmdk *copy;
    vmk_status closed;
    vmk_status status = vmdk_open(from_store, from, true, report, &source);

    if (status != VMK_OK)
        return status;
    if (how == VMDK_STREAM) {
        status = clone_stream(source, to_store, to, progress);
        (void)!vmdk_close(source);
        return status;
    }

    const char *adapter = vmdk_descriptor_of(source, 0)->adapter;
    const struct vmdk_create what = {
        .size = vmdk_capacity(source),
        /* Copying writes every block: no need to zero first. */
        .how = how == VMDK_EAGER_ZEROED && !to_store->ops->allocate ? VMDK_ZEROED_THICK : how,
        .adapter = adapter[0] ? adapter : NULL};

    status = vmdk_create(to_store, to, &what, NULL);
    if (status == VMK_OK) {
        status = vmdk_open(to_store, to, false, report, &copy);
        if (status == VMK_OK) {
            status = copy_all(source, copy, what.how != how, progress);
            closed = vmdk_close(copy);
            status = status == VMK_OK ? closed : status;
        }
        if (status != VMK_OK)
            (void)!vmdk_remove(to_store, to, NULL);
    }
    (void)!vmdk_close(source);
    return status;
}

/* ---- changing a disk that is there ---- */

/* Opens a disk and its one flat extent for writing. */
static vmk_status flat_open(struct vmdk_store *store, const char *name,
                            const struct vmdk_report *report, struct vmdk **disk,
                            struct vmdk_file *file)
{
    char extent[VMDK_NAME_MAX];
    const struct vmdk_descriptor *d;
    vmk_status status = vmdk_open(store, name, true, report, disk);

    if (status != VMK_OK)
        return status;
    d = vmdk_descriptor_of(*disk, 0);
    if (d->extent_count != 1 ||
        (d->extents[0].type != VMDK_FLAT && d->extents[0].type != VMDK_VMFS) ||
        d->extents[0].offset) {
        vmdk_say(report,
                 "%s: createType %s: only a disk with one flat extent can do that; clone "
                 "it first",
                 name, d->create_type);
        status = VMK_UNSUPPORTED;
    }
    if (status == VMK_OK)
        status = vmdk_beside(name, d->extents[0].name, extent);
    if (status == VMK_OK)
        status = vmdk_file_open(store, extent, VMDK_OPEN_WRITE, file);
    if (status != VMK_OK)
        (void)!vmdk_close(*disk);
    return status;
}

vmk_status vmdk_inflate(struct vmdk_store *store, const char *name,
                        const struct vmdk_report *report, const struct vmdk_progress *progress)
{
    struct vmdk_file file;
    struct vmdk *disk;
    vmk_status status = flat_open(store, name, report, &disk, &file);

    if (status != VMK_OK)
        return status;
    status = provision(&file, 0, vmdk_capacity(disk), VMDK_EAGER_ZEROED, progress);
    if (status == VMK_OK)
        status = vmdk_file_sync(&file);
    if (status == VMK_OK && vmdk_descriptor_of(disk, 0)->thin) {
        struct vmdk_descriptor d = *vmdk_descriptor_of(disk, 0);

        d.thin = false;
        status = descriptor_replace(store, name, &d);
    }
    vmdk_file_close(&file);
    (void)!vmdk_close(disk);
    return status;
}

vmk_status vmdk_extend(struct vmdk_store *store, const char *name, uint64_t size,
                       enum vmdk_provision how, const struct vmdk_report *report,
                       const struct vmdk_progress *progress)
{
    struct vmdk_file file;
    struct vmdk *disk;
    vmk_status status;

    if (size % VMDK_SECTOR || size > 1ull << 53)
        return VMK_BAD_PARAM;
    status = flat_open(store, name, report, &disk, &file);
    if (status != VMK_OK)
        return status;

    struct vmdk_descriptor d = *vmdk_descriptor_of(disk, 0);

    if (d.parent_cid != VMDK_NO_PARENT || size < d.capacity * VMDK_SECTOR) {
        vmdk_say(report, "%s: %s", name,
                 d.parent_cid != VMDK_NO_PARENT ? "a disk with a parent keeps its size"
                                                : "a disk cannot shrink");
        status = VMK_BAD_PARAM;
    }
    if (status == VMK_OK)
        status = provision(&file, d.capacity * VMDK_SECTOR, size, d.thin ? VMDK_THIN : how,
                           progress);
    if (status == VMK_OK)
        status = vmdk_file_sync(&file);
    if (status == VMK_OK) {
        /* The extents belong to the open disk; only this copy's numbers change. */
        struct vmdk_extent extent = d.extents[0];

        extent.sectors = d.capacity = size / VMDK_SECTOR;
        d.extents = &extent;
        geometry(&d, d.capacity);
        status = descriptor_replace(store, name, &d);
    }
    vmdk_file_close(&file);
    (void)!vmdk_close(disk);
    return status;
}

/*
 * Reads only the descriptor: an extent that is missing must not keep a disk from being removed.
 */
static vmk_status descriptor_read(struct vmdk_store *store, const char *name,
                                  const struct vmdk_report *report, bool *embedded,
                                  struct vmdk_descriptor **out)
{
    struct vmdk_sparse *sparse;
    struct vmdk_file file;
    uint64_t at = 0;
    size_t size;
    char *text;
    vmk_status status = vmdk_file_open(store, name, VMDK_OPEN_READ, &file);

    if (status != VMK_OK) {
        vmdk_say(report, "%s: %s", name, vmk_status_text(status));
        return status;
    }
    size = (size_t)MIN(file.size, VMDK_DESCRIPTOR_MAX + 1);
    *embedded = vmdk_sparse_open(&file, name, false, NULL, &sparse) == VMK_OK;
    if (*embedded) {
        if (!vmdk_sparse_descriptor(sparse, &at, &size))
            size = 0;
        vmdk_sparse_free(sparse);
    }
    text = heap_alloc(size + 1, MEM_OWNER_FS);
    status = text ? file_read_at(&file, at, text, size) : VMK_NO_MEMORY;
    if (status == VMK_OK)
        status = vmdk_descriptor_parse(text, size, name, report, out);
    heap_free(text);
    vmdk_file_close(&file);
    return status;
}

vmk_status vmdk_remove(struct vmdk_store *store, const char *name,
                       const struct vmdk_report *report)
{
    struct vmdk_descriptor *d;
    bool embedded;
    vmk_status status = descriptor_read(store, name, report, &embedded, &d);

    if (status != VMK_OK)
        return status;
    /* The descriptor goes first: without it there is no disk, whatever is left. */
    status = store->ops->remove(store, name);
    for (unsigned i = 0; i < d->extent_count && status == VMK_OK && !embedded; i++) {
        char extent[VMDK_NAME_MAX];

        if (d->extents[i].type == VMDK_ZERO ||
            vmdk_beside(name, d->extents[i].name, extent) != VMK_OK)
            continue;
        status = store->ops->remove(store, extent);
        if (status == VMK_NOT_FOUND)
            status = VMK_OK;
    }
    vmdk_descriptor_free(d);
    return status;
}

/*
 * "vm-flat.vmdk" of "vm.vmdk" becomes "new-flat.vmdk"; false: it is not named after the disk.
 */
static bool renamed(const char *from, const char *to, const char *extent,
                    char out[VMDK_NAME_MAX])
{
    char stem[VMDK_NAME_MAX];

    if (vmdk_suffix(base_of(from), "", stem) != VMK_OK || !stem[0] ||
        strncmp(extent, stem, strlen(stem)) != 0)
        return false;
    return vmdk_suffix(base_of(to), extent + strlen(stem), out) == VMK_OK &&
           strlen(out) < sizeof(((struct vmdk_extent *)0)->name);
}

vmk_status vmdk_rename(struct vmdk_store *store, const char *from, const char *to,
                       const struct vmdk_report *report)
{
    struct vmdk_descriptor *d;
    struct vmdk_file there;
    bool embedded;
    vmk_status status;

    if (vmdk_file_open(store, to, VMDK_OPEN_READ, &there) == VMK_OK) {
        vmdk_file_close(&there);
        vmdk_say(report, "%s: is there already", to);
        return VMK_EXISTS;
    }
    status = descriptor_read(store, from, report, &embedded, &d);
    if (status != VMK_OK)
        return status;
    if (embedded) {
        vmdk_descriptor_free(d);
        return store->ops->rename(store, from, to);
    }
    for (unsigned i = 0; i < d->extent_count && status == VMK_OK; i++) {
        char fresh[VMDK_NAME_MAX];
        char old_path[VMDK_NAME_MAX];
        char new_path[VMDK_NAME_MAX];
        struct vmdk_extent *e = &d->extents[i];

        if (e->type == VMDK_ZERO || !renamed(from, to, e->name, fresh))
            continue;
        status = vmdk_beside(from, e->name, old_path);
        if (status == VMK_OK)
            status = vmdk_beside(to, fresh, new_path);
        if (status == VMK_OK)
            status = store->ops->rename(store, old_path, new_path);
        if (status == VMK_OK)
            memcpy(e->name, fresh, strlen(fresh) + 1);
    }
    if (status == VMK_OK)
        status = descriptor_file(store, to, d);
    if (status == VMK_OK)
        status = store->ops->remove(store, from);
    vmdk_descriptor_free(d);
    return status;
}
