// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/datastore.c -- finds VMFS volumes on the host's disks and mounts them.
 *
 * Every partition of type VMFS is probed; extents of one volume are put together by the UUID of
 * the logical volume and mounted when all are there. The directory /vmfs/volumes is an ordinary
 * one of the root; its links follow the labels: a label that is taken gets " (1)" behind it, as
 * ESXi does.
 *
 * Invariants
 *   - The mounts of type "vmfs" are the only record of what is mounted; nothing is kept here.
 * Locking    none of its own; the mount lock makes two scans at once harmless (the second finds
 *            BUSY).
 * Start at   datastore_scan().
 */
#include "fs/vmfs/datastore.h"

#include "core/heap.h"
#include "core/log.h"
#include "fs/vfs.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/partition.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"

#define VOLUMES     "/vmfs/volumes"
#define CANDIDATES  256u
#define EXTENTS_MAX 32u
#define SOURCE_SIZE (EXTENTS_MAX * (BLOCK_NAME_SIZE + 1u))
#define LINK_TRIES  100u

struct candidate {
    char name[BLOCK_NAME_SIZE + 8];
    struct vmfs_extent_info info;
    bool done;
};

struct scan {
    struct candidate found[CANDIDATES];
    unsigned count;
    char source[SOURCE_SIZE];
};

/* ---- what is mounted ---- */

/* The `index`-th mount of type vmfs, referenced, or null. */
static struct mount *mount_at(unsigned index)
{
    struct mount *m;

    for (size_t i = 0; vfs_mount_at(i, &m); i++) {
        if (!strcmp(m->type->name, "vmfs") && index-- == 0)
            return m;
        mount_put(m);
    }
    return NULL;
}

static void fill(const struct mount *m, struct datastore *out)
{
    struct vmfs_statistics s;

    memset(out, 0, sizeof(*out));
    vmk_snprintf(out->path, sizeof(out->path), "%s", m->target);
    out->read_only = m->flags & VFS_MOUNT_RDONLY;
    /* Of a volume whose disk is gone only the sizes fail. */
    (void)!vmfs_statistics(vmfs_of_mount(m), &s);
    memcpy(out->label, s.label, sizeof(out->label));
    vmfs_uuid_text(&s.uuid, out->uuid);
    out->size = s.size;
    out->free = s.free;
    out->extents = s.extents;
    out->minor = s.minor;
    vmfs_device_names(vmfs_of_mount(m), out->devices, sizeof(out->devices));
}

bool datastore_get(unsigned index, struct datastore *out)
{
    struct mount *m = mount_at(index);

    if (!m)
        return false;
    fill(m, out);
    mount_put(m);
    return true;
}

bool datastore_find(const char *name, struct datastore *out)
{
    for (unsigned i = 0; datastore_get(i, out); i++) {
        if (!strcmp(out->label, name) || !strcmp(out->uuid, name))
            return true;
    }
    return false;
}

static bool is_mounted(const struct vmfs_uuid *logical)
{
    struct mount *m;
    bool found = false;

    for (unsigned i = 0; !found && (m = mount_at(i)); i++) {
        const struct vmfs_uuid uuid = vmfs_logical_uuid(vmfs_of_mount(m));

        found = !memcmp(uuid.raw, logical->raw, sizeof(uuid.raw));
        mount_put(m);
    }
    return found;
}

/* ---- names in /vmfs/volumes ---- */

static vmk_status directories_make(void)
{
    struct vfs_where where = vfs_where_kernel();
    vmk_status status = vfs_mkdir(&where, "/vmfs", 0755);

    if (status == VMK_OK || status == VMK_EXISTS)
        status = vfs_mkdir(&where, VOLUMES, 01755);
    return status == VMK_EXISTS ? VMK_OK : status;
}

/* Where a label's link leads; false: there is none. */
static bool link_read(const char *path, char *out, size_t size)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vnode *link;
    size_t length = 0;
    bool good;

    if (vfs_walk(&where, path, VFS_WALK_NOFOLLOW, &link) != VMK_OK)
        return false;
    good = vnode_readlink(link, out, size - 1, &length) == VMK_OK && length < size;
    vnode_put(link);
    out[good ? length : 0] = 0;
    return good;
}

static void link_make(const char *label, const char *uuid)
{
    const struct vfs_where where = vfs_where_kernel();
    vmk_status status = VMK_EXISTS;

    for (unsigned i = 0; status == VMK_EXISTS && i < LINK_TRIES; i++) {
        char path[192];
        char suffix[16] = "";

        if (i)
            vmk_snprintf(suffix, sizeof(suffix), " (%u)", i);
        vmk_snprintf(path, sizeof(path), VOLUMES "/%s%s", label, suffix);
        status = vfs_symlink(&where, uuid, path);
    }
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "VMFS: %s: no link for its label '%s': %s", uuid, label,
                vmk_status_text(status));
}

static void link_remove(const char *label, const char *uuid)
{
    const struct vfs_where where = vfs_where_kernel();

    for (unsigned i = 0; i < LINK_TRIES; i++) {
        char path[192];
        char suffix[16] = "";
        char target[64];

        if (i)
            vmk_snprintf(suffix, sizeof(suffix), " (%u)", i);
        vmk_snprintf(path, sizeof(path), VOLUMES "/%s%s", label, suffix);
        if (link_read(path, target, sizeof(target)) && !strcmp(target, uuid)) {
            (void)!vfs_unlink(&where, path);
            return;
        }
    }
}

/* ---- finding ---- */

static void probe(struct scan *s, const char *name)
{
    struct candidate *c = &s->found[s->count];
    struct block_device *device;
    vmk_status status;

    if (s->count == CANDIDATES)
        return;
    status = storage_open(name, &device);
    if (status == VMK_OK) {
        status = vmfs_probe(device, &c->info);
        storage_close(device);
    }
    if (status == VMK_OK) {
        vmk_snprintf(c->name, sizeof(c->name), "%s", name);
        c->done = is_mounted(&c->info.volume);
        s->count++;
    } else {
        vmk_log(VMK_LOG_WARN, "LVM: %s is of type VMFS but no VMFS-5 volume is on it: %s", name,
                vmk_status_text(status));
    }
}

static void look_at(struct scan *s, const char *disk)
{
    struct partition_table *table;

    if (storage_table_read(disk, NULL, &table) != VMK_OK)
        return;
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *p = &table->partitions[i];
        char name[BLOCK_NAME_SIZE + 8];

        vmk_snprintf(name, sizeof(name), "%s:%u", disk, p->number);
        if (p->kind == PARTITION_VMFS && !p->bad)
            probe(s, name);
    }
    partition_table_free(table);
}

/* Mounts the volume whose extents `source` names. */
static vmk_status mount_volume(const char *source, uint32_t flags)
{
    const struct vfs_where where = vfs_where_kernel();
    struct datastore d;
    struct mount *m = NULL;
    struct vnode *root;
    char path[64];
    char uuid[VMFS_UUID_TEXT];
    vmk_status status = vmfs_source_uuid(source, uuid);

    if (status == VMK_OK)
        status = directories_make();
    if (status != VMK_OK)
        return status;
    vmk_snprintf(path, sizeof(path), VOLUMES "/%s", uuid);
    status = vfs_mkdir(&where, path, 0755);
    if (status == VMK_OK || status == VMK_EXISTS)
        status = vfs_mount(&where, "vmfs", source, path, flags | VFS_MOUNT_NOSUID, NULL);
    if (status != VMK_OK) {
        (void)!vfs_rmdir(&where, path);
        return status;
    }
    status = vfs_walk(&where, path, VFS_WALK_DIRECTORY, &root);
    if (status != VMK_OK)
        return status;
    m = root->mount;
    fill(m, &d);
    vnode_put(root);
    link_make(d.label, d.uuid);
    vmk_log(VMK_LOG_INFO,
            "VMFS: datastore %s: VMFS-5.%u, %u extent%s, %llu MB, %llu MB free, at %s%s",
            d.label, d.minor, d.extents, d.extents == 1 ? "" : "s",
            (unsigned long long)(d.size >> 20), (unsigned long long)(d.free >> 20), d.path,
            d.read_only ? ", read-only" : "");
    return VMK_OK;
}

/* Puts the extents of found[first]'s volume together and mounts it. True: it is new. */
static bool mount_found(struct scan *s, unsigned first)
{
    const struct candidate *c = &s->found[first];
    unsigned have = 0;
    unsigned devices = c->info.devices;
    size_t at = 0;
    vmk_status status;

    for (unsigned i = first; i < s->count; i++) {
        struct candidate *o = &s->found[i];

        if (memcmp(o->info.volume.raw, c->info.volume.raw, sizeof(c->info.volume.raw)) != 0)
            continue;
        o->done = true;
        devices =
            MIN(devices, o->info.devices);  // a new extent knows of itself before the others do
        if (have++ < EXTENTS_MAX && at < sizeof(s->source))
            at += (size_t)vmk_snprintf(s->source + at, sizeof(s->source) - at, "%s%s",
                                       at ? "," : "", o->name);
    }
    if (have < devices) {
        vmk_log(VMK_LOG_WARN, "LVM: %s: %u of the volume's %u extents are here: not mounted",
                c->name, have, devices);
        return false;
    }
    status = mount_volume(s->source, 0);
    // No room for a journal, or ESXi's own is to be replayed: it can still be read.
    if (status == VMK_NO_SPACE || status == VMK_UNSUPPORTED)
        status = mount_volume(s->source, VFS_MOUNT_RDONLY);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "VMFS: %s: not mounted: %s", s->source, vmk_status_text(status));
    return status == VMK_OK;
}

unsigned datastore_scan(void)
{
    struct scan *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    struct storage_device_info info;
    unsigned fresh = 0;

    if (!s) {
        vmk_log(VMK_LOG_ERROR, "VMFS: no memory to look for datastores");
        return 0;
    }
    for (unsigned i = 0; storage_device_get(i, &info); i++) {
        if (!info.gone)
            look_at(s, info.name);
    }
    for (unsigned i = 0; i < s->count; i++) {
        if (!s->found[i].done)
            fresh += mount_found(s, i);
    }
    heap_free(s);
    return fresh;
}

vmk_status datastore_create(const char *partition, const char *label)
{
    struct vmfs_format how = {.label = label,
                              .seconds = (uint64_t)vfs_time_now() / 1000000000u,
                              .host = vmfs_host_uuid()};
    const struct vfs_where where = vfs_where_kernel();
    struct block_device *device;
    struct vfs_attr attr;
    char path[192];
    vmk_status status;

    if (!label[0] || strlen(label) >= sizeof(path) - sizeof(VOLUMES) || strchr(label, '/'))
        return VMK_BAD_PARAM;
    vmk_snprintf(path, sizeof(path), VOLUMES "/%s", label);
    if (vfs_stat(&where, path, VFS_WALK_NOFOLLOW, &attr) == VMK_OK)
        return VMK_EXISTS;
    vfs_random(how.random, sizeof(how.random));
    status = storage_open(partition, &device);
    if (status != VMK_OK)
        return status;
    status = vmfs_format(&device, 1, &how);
    storage_close(device);
    return status == VMK_OK ? mount_volume(partition, 0) : status;
}

static vmk_status unmount(const struct datastore *d)
{
    const struct vfs_where where = vfs_where_kernel();
    vmk_status status = vfs_unmount(&where, d->path);

    if (status == VMK_OK) {
        link_remove(d->label, d->uuid);
        (void)!vfs_rmdir(&where, d->path);
    }
    return status;
}

vmk_status datastore_unmount(const char *name)
{
    struct datastore d;

    return datastore_find(name, &d) ? unmount(&d) : VMK_NOT_FOUND;
}

unsigned datastore_unmount_all(void)
{
    struct datastore d;
    unsigned stay = 0;

    while (datastore_get(stay, &d)) {
        vmk_status status = unmount(&d);

        if (status == VMK_OK)
            continue;
        vmk_log(VMK_LOG_WARN, "VMFS: datastore %s stays mounted: %s", d.label,
                vmk_status_text(status));
        stay++;
    }
    return stay;
}
