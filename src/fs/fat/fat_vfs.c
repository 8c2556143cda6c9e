// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_vfs.c -- FAT as a file system that can be mounted: type "vfat".
 *
 * FAT knows no owners, modes, links or devices. Every file belongs to the uid and gid of the
 * mount; the mode is 0777 without the umask, and without the write bits for a file that is
 * read-only. What cannot be stored is refused, not forgotten.
 *
 * A vnode holds one reference to its node, so the inode number, which is the place of the
 * directory entry, stays with it through renames.
 *
 * Invariants
 *   - The volume's mutex is held around every call of fat.h and around nothing that may wait
 *     for a vnode: vnode_find() waits for a release(), which takes that mutex.
 * Locking    vnode locks, then the volume's mutex.
 * Start at   fat_vfs_mount(), vnode_for().
 */
#include "fs/fat/fat_vfs.h"

#include "core/heap.h"
#include "core/log.h"
#include "fs/fat/fat.h"
#include "fs/vfs.h"
#include "io/storage.h"
#include "lib/string.h"
#include "world/mutex.h"

#define FAT_MAGIC 0x4d44u

struct fat_mount {
    struct mutex lock;
    struct fat_volume *v;
    struct block_device *device;
    uint32_t uid, gid, umask;
};

struct fat_vnode {
    struct vnode vnode;
    struct fat_node *node;
};

static struct fat_mount *mount_of(const struct vnode *vnode)
{
    return vnode->mount->private;
}

static struct fat_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct fat_vnode, vnode)->node;
}

static const struct vnode_ops fat_vnode_ops;

static void node_put(struct fat_mount *m, struct fat_node *node)
{
    mutex_lock(&m->lock);
    fat_node_put(node);
    mutex_unlock(&m->lock);
}

/* The vnode of a node, whose reference it takes over. The mutex is not held. */
static vmk_status vnode_for(struct mount *mount, struct fat_node *node, struct vnode **out)
{
    struct fat_mount *m = mount->private;
    struct fat_vnode *fresh;
    struct fat_attr a;

    mutex_lock(&m->lock);
    fat_attr_get(node, &a);
    mutex_unlock(&m->lock);
    *out = vnode_find(mount, a.inode);
    if (*out) {
        node_put(m, node);
        return VMK_OK;
    }
    fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_FS);
    if (!fresh) {
        node_put(m, node);
        return VMK_NO_MEMORY;
    }
    fresh->node = node;
    vnode_init(&fresh->vnode, mount, &fat_vnode_ops, a.inode,
               a.directory ? VFS_TYPE_DIR : VFS_TYPE_REGULAR, 0);
    *out = vnode_publish(&fresh->vnode);
    if (*out != &fresh->vnode) {  // somebody was faster
        vnode_end(&fresh->vnode);
        node_put(m, node);
        heap_free(fresh);
    }
    return VMK_OK;
}

/* ---- names ---- */

static vmk_status vfs_lookup(struct vnode *dir, const char *name, size_t length,
                             struct vnode **out)
{
    struct fat_mount *m = mount_of(dir);
    struct fat_node *node;
    vmk_status status;

    mutex_lock(&m->lock);
    if (length == 2 && memcmp(name, "..", 2) == 0)
        status = fat_parent(node_of(dir), &node);
    else
        status = fat_lookup(node_of(dir), name, length, &node);
    mutex_unlock(&m->lock);
    return status == VMK_OK ? vnode_for(dir->mount, node, out) : status;
}

static vmk_status make(struct vnode *dir, const char *name, size_t length, bool directory,
                       struct vnode **out)
{
    struct fat_mount *m = mount_of(dir);
    struct fat_node *node;
    vmk_status status;

    mutex_lock(&m->lock);
    status = fat_create(node_of(dir), name, length, directory, &node);
    mutex_unlock(&m->lock);
    return status == VMK_OK ? vnode_for(dir->mount, node, out) : status;
}

static vmk_status vfs_create(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                             const struct vfs_cred *cred, struct vnode **out)
{
    (void)mode;
    (void)cred;
    return make(dir, name, length, false, out);
}

static vmk_status vfs_make_dir(struct vnode *dir, const char *name, size_t length,
                               uint32_t mode, const struct vfs_cred *cred, struct vnode **out)
{
    (void)mode;
    (void)cred;
    return make(dir, name, length, true, out);
}

static vmk_status vfs_remove(struct vnode *dir, const char *name, size_t length,
                             struct vnode *victim)
{
    struct fat_mount *m = mount_of(dir);
    vmk_status status;

    (void)victim;
    mutex_lock(&m->lock);
    status = fat_remove(node_of(dir), name, length);
    mutex_unlock(&m->lock);
    return status;
}

static vmk_status vfs_move(struct vnode *old_dir, const char *old_name, size_t old_length,
                           struct vnode *new_dir, const char *new_name, size_t new_length,
                           struct vnode *moved, struct vnode *victim)
{
    struct fat_mount *m = mount_of(old_dir);
    vmk_status status;

    (void)moved;
    (void)victim;
    mutex_lock(&m->lock);
    status = fat_rename(node_of(old_dir), old_name, old_length, node_of(new_dir), new_name,
                        new_length);
    mutex_unlock(&m->lock);
    return status;
}

/* Positions are the entry's number and 2. */
static vmk_status vfs_readdir(struct vnode *dir, uint64_t *position, struct vfs_dir_sink *sink)
{
    struct fat_mount *m = mount_of(dir);
    struct fat_entry *e = heap_alloc(sizeof(*e), MEM_OWNER_FS);
    uint64_t at = MAX(*position, 2u) - 2;
    vmk_status status = e ? VMK_OK : VMK_NO_MEMORY;

    mutex_lock(&m->lock);
    while (status == VMK_OK && (status = fat_entry(node_of(dir), &at, e)) == VMK_OK) {
        size_t length = strlen(e->name);

        if (length > VFS_NAME_MAX)
            continue;  // 255 units can be more bytes than a name may have here
        if (!sink->emit(sink, e->name, length, e->inode,
                        e->directory ? VFS_TYPE_DIR : VFS_TYPE_REGULAR, at + 2))
            break;
        *position = at + 2;
    }
    mutex_unlock(&m->lock);
    heap_free(e);
    return status == VMK_NOT_FOUND ? VMK_OK : status;
}

/* ---- attributes ---- */

static vmk_status vfs_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    struct fat_mount *m = mount_of(vnode);
    uint32_t cluster_size = fat_cluster_size(m->v);
    struct fat_attr a;

    mutex_lock(&m->lock);
    fat_attr_get(node_of(vnode), &a);
    mutex_unlock(&m->lock);
    *out = (struct vfs_attr){.mode =
                                 vnode->type | (0777u & ~m->umask & ~(a.read_only ? 0222u : 0)),
                             .link_count = 1,
                             .uid = m->uid,
                             .gid = m->gid,
                             .inode = vnode->inode,
                             .device = vnode->mount->device,
                             .size = a.size,
                             .blocks = (uint64_t)a.clusters * cluster_size / 512,
                             .block_size = cluster_size,
                             .atime_ns = a.atime_ns,
                             .mtime_ns = a.mtime_ns,
                             .ctime_ns = a.ctime_ns};
    return VMK_OK;
}

static vmk_status vfs_setattr(struct vnode *vnode, const struct vfs_attr *attr, unsigned what)
{
    struct fat_mount *m = mount_of(vnode);
    struct fat_attr a = {.mtime_ns = attr->mtime_ns, .atime_ns = attr->atime_ns};
    unsigned set = 0;
    vmk_status status = VMK_OK;

    if ((what & VFS_SET_UID && attr->uid != m->uid) ||
        (what & VFS_SET_GID && attr->gid != m->gid))
        return VMK_NOT_OWNER;
    if (what & VFS_SET_MODE && vnode->type == VFS_TYPE_REGULAR) {
        a.read_only = !(attr->mode & 0222u & ~m->umask);
        set |= FAT_SET_READ_ONLY;
    }
    if (what & VFS_SET_MTIME)
        set |= FAT_SET_MTIME;
    if (what & VFS_SET_ATIME)
        set |= FAT_SET_ATIME;
    mutex_lock(&m->lock);
    if (set)
        status = fat_attr_set(node_of(vnode), set, &a);
    mutex_unlock(&m->lock);
    return status;
}

/* ---- data ---- */

static vmk_status vfs_read(struct vnode *vnode, struct vfs_iov *iov)
{
    struct fat_mount *m = mount_of(vnode);
    vmk_status status;

    mutex_lock(&m->lock);
    status = fat_read(node_of(vnode), iov->offset, iov->to, iov->size, &iov->done);
    mutex_unlock(&m->lock);
    return status;
}

static vmk_status vfs_write(struct vnode *vnode, struct vfs_iov *iov)
{
    struct fat_mount *m = mount_of(vnode);
    vmk_status status;

    mutex_lock(&m->lock);
    status = fat_write(node_of(vnode), iov->offset, iov->from, iov->size);
    mutex_unlock(&m->lock);
    if (status == VMK_OK)
        iov->done = iov->size;
    return status;
}

static vmk_status vfs_truncate(struct vnode *vnode, uint64_t size)
{
    struct fat_mount *m = mount_of(vnode);
    vmk_status status;

    mutex_lock(&m->lock);
    status = fat_truncate(node_of(vnode), size);
    mutex_unlock(&m->lock);
    return status;
}

static vmk_status vfs_fsync(struct vnode *vnode, bool data_only)
{
    struct fat_mount *m = mount_of(vnode);
    vmk_status status;

    (void)data_only;
    mutex_lock(&m->lock);
    status = fat_node_sync(node_of(vnode));
    mutex_unlock(&m->lock);
    return status;
}

static void vfs_release(struct vnode *vnode)
{
    node_put(mount_of(vnode), node_of(vnode));
    vnode_end(vnode);
    heap_free(container_of(vnode, struct fat_vnode, vnode));
}

static const struct vnode_ops fat_vnode_ops = {
    .lookup = vfs_lookup,
    .create = vfs_create,
    .mkdir = vfs_make_dir,
    .unlink = vfs_remove,
    .rmdir = vfs_remove,
    .rename = vfs_move,
    .readdir = vfs_readdir,
    .getattr = vfs_getattr,
    .setattr = vfs_setattr,
    .read = vfs_read,
    .write = vfs_write,
    .truncate = vfs_truncate,
    .fsync = vfs_fsync,
    .release = vfs_release,
};

/* ---- volumes ---- */

static vmk_status fat_vfs_statfs(struct mount *mount, struct vfs_statfs *out)
{
    struct fat_mount *m = mount->private;
    struct fat_statistics s;
    vmk_status status;

    mutex_lock(&m->lock);
    status = fat_statistics(m->v, &s);
    mutex_unlock(&m->lock);
    out->magic = FAT_MAGIC;
    out->block_size = s.cluster_size;
    out->blocks = s.clusters;
    out->blocks_free = out->blocks_available = s.free;
    out->name_max = VFS_NAME_MAX;
    return status;
}

static vmk_status fat_vfs_sync(struct mount *mount)
{
    struct fat_mount *m = mount->private;
    vmk_status status = VMK_OK;

    mutex_lock(&m->lock);
    if (!(mount->flags & VFS_MOUNT_RDONLY))
        status = fat_sync(m->v);
    mutex_unlock(&m->lock);
    return status;
}

static void fat_vfs_unmount(struct mount *mount)
{
    struct fat_mount *m = mount->private;
    vmk_status status = fat_unmount(m->v);

    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "FAT: %s: what was written last may be lost: %s", mount->source,
                vmk_status_text(status));
    storage_close(m->device);
    heap_free(m);
}

static const struct mount_ops fat_mount_ops = {
    .sync = fat_vfs_sync, .statfs = fat_vfs_statfs, .unmount = fat_vfs_unmount};

static bool read_number(const char *text, unsigned base, uint32_t *out)
{
    uint32_t value = 0;

    if (!*text || *text == ',')
        return false;
    for (; *text && *text != ','; text++) {
        if (*text < '0' || *text >= (char)('0' + base) || value > 100000000)
            return false;
        value = value * base + (uint32_t)(*text - '0');
    }
    *out = value;
    return true;
}

static vmk_status read_options(const char *options, struct fat_mount *m)
{
    m->umask = 022;
    for (const char *at = options; at && *at;) {
        const char *end = strchr(at, ',');
        bool good = true;

        if (strncmp(at, "uid=", 4) == 0)
            good = read_number(at + 4, 10, &m->uid);
        else if (strncmp(at, "gid=", 4) == 0)
            good = read_number(at + 4, 10, &m->gid);
        else if (strncmp(at, "umask=", 6) == 0)
            good = read_number(at + 6, 8, &m->umask);
        else
            good = strncmp(at, "defaults", 8) == 0 || *at == ',';
        if (!good) {
            vmk_log(
                VMK_LOG_WARN,
                "FAT: mount option not understood at \"%s\"; there are uid=, gid=, umask=", at);
            return VMK_BAD_PARAM;
        }
        at = end ? end + 1 : NULL;
    }
    return VMK_OK;
}

static const char *device_name(const char *source)
{
    static const char *const places[] = {"/vmfs/devices/disks/", "/dev/disks/"};

    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        if (strncmp(source, places[i], strlen(places[i])) == 0)
            return source + strlen(places[i]);
    }
    return source;
}

static vmk_status fat_vfs_mount(struct mount *mount, const char *source, const char *options)
{
    struct fat_mount *m = heap_alloc(sizeof(*m), MEM_OWNER_FS);
    vmk_status status = m ? read_options(options, m) : VMK_NO_MEMORY;

    if (status != VMK_OK)
        goto free_mount;
    mutex_init(&m->lock, "fat");
    status = storage_open(device_name(source), &m->device);
    if (status != VMK_OK)
        goto free_mount;
    status = fat_mount(m->device, mount->flags & VFS_MOUNT_RDONLY, vfs_time_now, &m->v);
    if (status != VMK_OK)
        goto close_device;
    mount->private = m;
    mount->ops = &fat_mount_ops;
    status = vnode_for(mount, fat_root(m->v), &mount->root);
    if (status == VMK_OK)
        return VMK_OK;
    (void)!fat_unmount(m->v);

close_device:
    storage_close(m->device);
free_mount:
    heap_free(m);
    return status;
}

vmk_status fat_type_register(void)
{
    struct vfs_type *type = heap_alloc(sizeof(*type), MEM_OWNER_FS);

    if (!type)
        return VMK_NO_MEMORY;
    type->name = "vfat";
    type->mount = fat_vfs_mount;
    vfs_type_register(type);
    return VMK_OK;
}
