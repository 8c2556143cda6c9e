// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/mount.c -- the tree of mounts.
 *
 * A mount covers a directory: walks that reach the directory go on at the mount's root, and
 * ".." of that root goes on at the directory. The covered vnode points to its mount and back,
 * both under the fs lock. A mount may go when nobody but its own root reference holds one of
 * its vnodes: that one counter (mount.users) also covers mounts below it, whose covered vnodes
 * are references.
 *
 * Invariants
 *   - mount.covers->mounted_here = mount, for all but the root of all.
 *   - After unmount began, no walk can enter: mounted_here is cleared under the lock that
 *     counted.
 * Locking    mount_lock (a mutex) serializes mounts and unmounts; fs_state.lock guards the
 *            links.
 * Start at   vfs_mount(), vfs_unmount().
 */
#include "core/assert.h"
#include "core/log.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"

static void copy_text(char *out, size_t size, const char *text)
{
    size_t length = MIN(strlen(text), size - 1);

    memcpy(out, text, length);
    out[length] = 0;
}

static void mount_ref(struct mount *mount)
{
    __atomic_add_fetch(&mount->refs, 1, __ATOMIC_RELAXED);
}

void mount_put(struct mount *mount)
{
    if (__atomic_sub_fetch(&mount->refs, 1, __ATOMIC_ACQ_REL) == 0)
        heap_free(mount);
}

static struct vfs_type *type_find(struct fs_state *fs, const char *name)
{
    struct vfs_type *found = NULL;
    bool irqs = spin_lock(&fs->lock);

    list_for_each (node, &fs->types) {
        struct vfs_type *type = list_entry(node, struct vfs_type, link);

        if (strcmp(type->name, name) == 0)
            found = type;
    }
    spin_unlock(&fs->lock, irqs);
    return found;
}

/* Links a ready mount over `covers` (whose reference it takes over) or as the root of all. */
static vmk_status attach(struct fs_state *fs, struct mount *m, struct vnode *covers)
{
    bool irqs = spin_lock(&fs->lock);
    vmk_status status = VMK_OK;

    if (covers) {
        if (covers->mounted_here)
            status = VMK_BUSY;  // somebody mounted there since the walk
        else
            covers->mounted_here = m;
    } else if (fs->root) {
        status = VMK_BUSY;
    } else {
        fs->root = m;
    }
    if (status == VMK_OK) {
        m->covers = covers;
        list_add_tail(&fs->mounts, &m->all_link);
    }
    spin_unlock(&fs->lock, irqs);
    return status;
}

static vmk_status mount_on(struct vnode *covers, const struct vfs_type *type,
                           const char *source, const char *target, uint32_t flags,
                           const char *options)
{
    struct fs_state *fs = fs_state();
    struct mount *m = heap_alloc(sizeof(*m), MEM_OWNER_FS);
    vmk_status status;

    if (!m)
        return VMK_NO_MEMORY;
    m->type = type;
    m->device = fs->next_device++;
    m->flags = flags;
    m->refs = 1;
    mutex_init(&m->rename_lock, "rename");
    list_init(&m->all_link);
    copy_text(m->source, sizeof(m->source), source);
    copy_text(m->target, sizeof(m->target), target);
    copy_text(m->options, sizeof(m->options), options ? options : "");
    status = type->mount(m, source, options ? options : "");
    if (status != VMK_OK) {
        heap_free(m);
        return status;
    }
    status = attach(fs, m, covers);
    if (status != VMK_OK) {
        vnode_put(m->root);
        m->ops->unmount(m);
        heap_free(m);
    }
    return status;
}

static vmk_status remount(struct vnode *root, uint32_t flags, const char *options)
{
    struct mount *m = root->mount;
    vmk_status status = VMK_OK;

    if (m->root != root)
        return VMK_BAD_PARAM;
    flags &= ~VFS_MOUNT_REMOUNT;
    if (m->ops->remount)
        status = m->ops->remount(m, flags, options ? options : "");
    if (status == VMK_OK) {
        m->flags = flags;
        if (options && options[0])
            copy_text(m->options, sizeof(m->options), options);
    }
    return status;
}

/* What /proc/mounts shows: the path as the root user of everything sees it. */
static void target_name(struct vnode *dir, const char *path, char *out, size_t size)
{
    if (vfs_path_of(fs_state()->root->root, dir, out, size) != VMK_OK)
        copy_text(out, size, path);
}

vmk_status vfs_mount(const struct vfs_where *where, const char *type_name, const char *source,
                     const char *path, uint32_t flags, const char *options)
{
    struct fs_state *fs = fs_state();
    const struct vfs_type *type = type_find(fs, type_name);
    struct vnode *at = NULL;
    char target[256] = "/";
    vmk_status status = VMK_OK;

    if (where && where->cred->uid != 0)
        return VMK_NOT_OWNER;
    if (!type && !(flags & VFS_MOUNT_REMOUNT))
        return VMK_NO_DEVICE;
    if (fs->root) {
        status = vfs_walk(where, path, VFS_WALK_DIRECTORY, &at);
        if (status != VMK_OK)
            return status;
        target_name(at, path, target, sizeof(target));
    }
    mutex_lock(&fs->mount_lock);
    if (flags & VFS_MOUNT_REMOUNT) {
        status = at ? remount(at, flags, options) : VMK_BAD_PARAM;
        vnode_put(at);
    } else {
        status = mount_on(at, type, source, target, flags, options);
        if (status != VMK_OK)
            vnode_put(at);
    }
    mutex_unlock(&fs->mount_lock);
    return status;
}

/* Takes it out of the tree if nobody is inside. Both locks held. */
static vmk_status detach(struct fs_state *fs, struct mount *m)
{
    vmk_status status = VMK_BUSY;
    bool irqs = spin_lock(&fs->lock);

    /* Two: the mount's reference on its root, and the caller's walk to it. */
    if (__atomic_load_n(&m->users, __ATOMIC_ACQUIRE) == 2 && m->covers) {
        m->covers->mounted_here = NULL;
        list_remove(&m->all_link);
        status = VMK_OK;
    }
    spin_unlock(&fs->lock, irqs);
    return status;
}

vmk_status vfs_unmount(const struct vfs_where *where, const char *path)
{
    struct fs_state *fs = fs_state();
    struct vnode *root;
    vmk_status status;

    if (where->cred->uid != 0)
        return VMK_NOT_OWNER;
    status = vfs_walk(where, path, 0, &root);
    if (status != VMK_OK)
        return status;

    struct mount *m = root->mount;

    if (m->root != root || !m->covers) {
        status = m->covers || m->root != root ? VMK_BAD_PARAM : VMK_BUSY;
        vnode_put(root);
        return status;
    }
    mutex_lock(&fs->mount_lock);
    if (m->ops->sync) {
        status = m->ops->sync(m);
        if (status != VMK_OK)
            vmk_log(VMK_LOG_ERROR, "FS: %s: not everything could be written: %s", m->target,
                    vmk_status_text(status));
    }
    notify_unmount(m, 2);
    status = detach(fs, m);
    vnode_put(root);
    if (status == VMK_OK) {
        vnode_put(m->root);
        m->ops->unmount(m);
        vnode_put(m->covers);
        mount_put(m);
    }
    mutex_unlock(&fs->mount_lock);
    return status;
}

bool vfs_mount_at(size_t index, struct mount **out)
{
    struct fs_state *fs = fs_state();
    bool found = false;
    bool irqs = spin_lock(&fs->lock);

    list_for_each (node, &fs->mounts) {
        if (index-- == 0) {
            *out = list_entry(node, struct mount, all_link);
            mount_ref(*out);
            found = true;
            break;
        }
    }
    spin_unlock(&fs->lock, irqs);
    return found;
}

void vfs_sync(void)
{
    struct fs_state *fs = fs_state();
    struct mount *m;

    mutex_lock(&fs->mount_lock);
    for (size_t i = 0; vfs_mount_at(i, &m); i++) {
        vmk_status status = m->ops->sync ? m->ops->sync(m) : VMK_OK;

        if (status != VMK_OK)
            vmk_log(VMK_LOG_ERROR, "FS: %s: not everything could be written: %s", m->target,
                    vmk_status_text(status));
        mount_put(m);
    }
    mutex_unlock(&fs->mount_lock);
}
