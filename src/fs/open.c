// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/open.c -- open(2): from path and flags to a file.
 *
 * Opening has two halves: finding or making the vnode (open_path()), where O_CREAT, O_EXCL and
 * links meet, and opening what was found (vfs_open_vnode()), where permissions, O_TRUNC and the
 * kind of object decide. A fresh file is opened without a permission check, since its mode
 * counts only from the next open on.
 *
 * Invariants
 *   - With O_CREAT | O_EXCL the file did not exist: the look and the creation are under one
 *     lock.
 * Locking    the directory's vnode.lock while a file is made.
 */
#include "core/assert.h"
#include "fs/vfs_internal.h"

static unsigned wanted_access(uint32_t flags)
{
    static const unsigned access[] = {VFS_MAY_READ, VFS_MAY_WRITE, VFS_MAY_READ | VFS_MAY_WRITE,
                                      VFS_MAY_READ | VFS_MAY_WRITE};

    return access[flags & VFS_O_ACCMODE] | ((flags & VFS_O_TRUNC) ? VFS_MAY_WRITE : 0);
}

/* What is wrong with opening such an object that way, apart from permissions? */
static vmk_status check_kind(const struct vnode *vnode, uint32_t flags)
{
    if ((flags & VFS_O_DIRECTORY) && !vnode_is_dir(vnode))
        return VMK_NOT_DIR;
    if (flags & VFS_O_PATH)
        return VMK_OK;
    switch (vnode->type) {
    case VFS_TYPE_LINK: return VMK_TOO_MANY_LINKS;
    case VFS_TYPE_DIR:
        return (wanted_access(flags) & VFS_MAY_WRITE) || (flags & VFS_O_CREAT) ? VMK_IS_DIR
                                                                               : VMK_OK;
    case VFS_TYPE_SOCKET: return VMK_NO_DEVICE;
    case VFS_TYPE_CHAR:
    case VFS_TYPE_BLOCK:
        return (vnode->mount->flags & VFS_MOUNT_NODEV) ? VMK_NO_PERMISSION : VMK_OK;
    default: return VMK_OK;
    }
}

static vmk_status truncate_opened(struct vnode *vnode, bool by_root)
{
    vmk_status status = VMK_UNSUPPORTED;

    if (vnode->type != VFS_TYPE_REGULAR)
        return VMK_OK;
    mutex_lock(&vnode->lock);
    if (vnode->ops->truncate)
        status = vnode->ops->truncate(vnode, 0);
    if (status == VMK_OK && !by_root)
        vnode_strip_set_id(vnode);
    mutex_unlock(&vnode->lock);
    return status == VMK_UNSUPPORTED ? VMK_OK : status;  // generated files have nothing to cut
}

/* Opens a vnode that was found already; checks permission unless cred is null. */
static vmk_status vfs_open_vnode(struct vnode *vnode, uint32_t flags,
                                 const struct vfs_cred *cred, struct file **out)
{
    struct file *file;
    vmk_status status = check_kind(vnode, flags);

    if (status == VMK_OK && cred && !(flags & VFS_O_PATH))
        status = vnode_access(vnode, wanted_access(flags), cred);
    if (status != VMK_OK)
        return status;
    status = file_of_vnode(vnode, flags, &file);
    if (status != VMK_OK)
        return status;
    file->by_root = !cred || cred->uid == 0;
    if (!(flags & VFS_O_PATH)) {
        if (flags & VFS_O_TRUNC)
            status = truncate_opened(vnode, file->by_root);
        if (status == VMK_OK && vnode->ops->open)
            status = vnode->ops->open(vnode, file);
        if (status == VMK_OK && vnode->type == VFS_TYPE_FIFO)
            status = fifo_open(vnode, file);
        if (status == VMK_OK && (vnode->type == VFS_TYPE_CHAR || vnode->type == VFS_TYPE_BLOCK))
            status = device_open(vnode, file);
    }
    if (status != VMK_OK) {
        file_free(file);
        return status;
    }
    *out = file;
    return VMK_OK;
}

/* Makes the file in w->dir, or finds what is there; *made says which. */
static vmk_status find_or_make(struct walk *w, uint32_t flags, uint32_t mode,
                               struct vnode **out, bool *made)
{
    const struct vfs_cred *cred = w->where->cred;
    struct vnode *dir = w->dir;
    struct vfs_attr attr;
    vmk_status status;

    *made = false;
    mutex_lock(&dir->lock);
    status = w->trailing_slash ? VMK_IS_DIR : VMK_OK;
    if (status == VMK_OK && w->length > VFS_NAME_MAX)
        status = VMK_NAME_TOO_LONG;
    if (status == VMK_OK)
        status = dir->ops->lookup(dir, w->name, w->length, out);
    if (status == VMK_NOT_FOUND) {
        status = dir->ops->getattr(dir, &attr);
        if (status == VMK_OK && (dir->mount->flags & VFS_MOUNT_RDONLY))
            status = VMK_READ_ONLY;
        if (status == VMK_OK && !vfs_attr_allows(&attr, VFS_MAY_WRITE, cred))
            status = VMK_NO_PERMISSION;
        if (status == VMK_OK && !dir->ops->create)
            status = VMK_NO_PERMISSION;
        if (status == VMK_OK)
            status = dir->ops->create(dir, w->name, w->length, mode, cred, out);
        *made = status == VMK_OK;
        mutex_unlock(&dir->lock);
        return status;
    }
    mutex_unlock(&dir->lock);
    if (status != VMK_OK)
        return status;
    if (flags & VFS_O_EXCL) {
        vnode_put(*out);
        return VMK_EXISTS;
    }
    *out = vnode_cross_down(*out);
    return VMK_OK;
}

/*
 * A link to something that has no vnode (a pipe behind /proc/<pid>/fd): that same file again.
 */
static vmk_status open_object(struct vnode *link, struct file **out)
{
    struct vnode *vnode = NULL;
    struct file *file = NULL;
    vmk_status status;

    if (!link->ops->follow)
        return VMK_NOT_FOUND;
    status = link->ops->follow(link, &vnode, &file);
    if (status != VMK_OK)
        return status;
    vnode_put(vnode);
    if (!file)
        return VMK_NOT_FOUND;
    *out = file;
    return VMK_OK;
}

/*
 * Walks to the last part; what it is, made if asked for. Sets *object instead for such a link.
 */
static vmk_status open_path(struct walk *w, const char *path, const struct vfs_where *where,
                            uint32_t flags, uint32_t mode, struct vnode **out, bool *made,
                            struct file **object)
{
    bool nofollow = (flags & VFS_O_NOFOLLOW) ||
                    (flags & (VFS_O_CREAT | VFS_O_EXCL)) == (VFS_O_CREAT | VFS_O_EXCL);
    vmk_status status = walk_parent(w, where, path);

    *made = false;
    while (status == VMK_OK) {
        if (w->last == WALK_LAST_ROOT) {
            *out = w->dir;
            vnode_ref(w->dir);
            return VMK_OK;
        }
        if ((flags & VFS_O_CREAT) && w->last == WALK_LAST_NAME)
            status = find_or_make(w, flags, mode, out, made);
        else
            status = walk_last(w, out);
        if (status != VMK_OK)
            return status;
        if ((*out)->type != VFS_TYPE_LINK || (nofollow && !w->trailing_slash)) {
            if (!w->trailing_slash || vnode_is_dir(*out))
                return VMK_OK;
            vnode_put(*out);
            return VMK_NOT_DIR;
        }

        struct vnode *link = *out;

        *out = NULL;
        if (link->ops->follow && open_object(link, object) == VMK_OK) {
            vnode_put(link);
            return VMK_OK;
        }
        status = walk_link(w, link);
        vnode_put(link);
    }
    return status;
}

vmk_status vfs_open(const struct vfs_where *where, const char *path, uint32_t flags,
                    uint32_t mode, struct file **out)
{
    struct vnode *vnode = NULL;
    struct file *object = NULL;
    struct walk w;
    bool made;
    vmk_status status;

    if (flags & VFS_O_PATH)
        flags &= VFS_O_PATH | VFS_O_DIRECTORY | VFS_O_NOFOLLOW;
    if ((flags & (VFS_O_CREAT | VFS_O_DIRECTORY)) == (VFS_O_CREAT | VFS_O_DIRECTORY))
        return VMK_BAD_PARAM;
    if (flags & 020000000u)  // O_TMPFILE
        return VMK_UNSUPPORTED;
    mode = (mode & VFS_MODE_BITS & ~where->umask) | VFS_TYPE_REGULAR;
    status = open_path(&w, path, where, flags, mode, &vnode, &made, &object);
    if (status == VMK_OK && object) {
        *out = object;
    } else if (status == VMK_OK && !made && (flags & VFS_O_CREAT) && (flags & VFS_O_EXCL)) {
        vnode_put(vnode);
        status = VMK_EXISTS;
    } else if (status == VMK_OK) {
        if (made)
            notify_name(w.dir, w.name, w.length, NOTIFY_CREATE, false);
        status = vfs_open_vnode(vnode, made ? flags & ~VFS_O_TRUNC : flags,
                                made ? NULL : where->cred, out);
        if (status == VMK_OK)
            (*out)->by_root = where->cred->uid == 0;
        if (status == VMK_OK && w.last == WALK_LAST_NAME)
            file_name_set(*out, w.dir, w.name, w.length);
        if (status == VMK_OK)
            notify_file(*out, NOTIFY_OPEN);
        if (status == VMK_OK && !made && (flags & VFS_O_TRUNC))
            notify_file(*out, NOTIFY_MODIFY);
        vnode_put(vnode);
    }
    walk_end(&w);
    return status;
}
