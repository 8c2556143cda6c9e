// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/names.c -- making, removing and moving names: the checks that are the same for each file system.
 *
 * A call walks to the directory, locks it, looks the name up again under the lock and only then
 * decides, because until the lock anybody may have changed the name. The file system is called
 * with everything decided: it checks only what only it knows (is that directory empty, is there
 * room).
 *
 * Invariants
 *   - No file system sees ".", "..", an empty name or a name longer than VFS_NAME_MAX here.
 *   - A directory never becomes its own descendant (rename_decide(), under the rename lock).
 *   - A mount point is never removed or replaced.
 * Locking    the order of vfs.h: rename_lock, directories, others.
 * Start at   vfs_open() is in open.c; vfs_unlink() and vfs_rename() are the hard ones here.
 */
#include "core/assert.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"

/* Under the directory's lock: what is `name` now? OK with *out null means: nothing. */
static vmk_status look(struct vnode *dir, const char *name, size_t length, struct vnode **out)
{
    vmk_status status;

    *out = NULL;
    if (length > VFS_NAME_MAX)
        return VMK_NAME_TOO_LONG;
    status = dir->ops->lookup(dir, name, length, out);
    return status == VMK_NOT_FOUND ? VMK_OK : status;
}

/*
 * May that person add or remove names here? Directory locked. Search permission comes first:
 * without it not even existence may be told.
 */
static vmk_status may_change(struct vnode *dir, const struct vfs_cred *cred)
{
    struct vfs_attr attr;
    vmk_status status = dir->ops->getattr(dir, &attr);

    if (status != VMK_OK)
        return status;
    if (dir->mount->flags & VFS_MOUNT_RDONLY)
        return VMK_READ_ONLY;
    if (!vfs_attr_allows(&attr, VFS_MAY_WRITE | VFS_MAY_EXEC, cred))
        return VMK_NO_PERMISSION;
    return VMK_OK;
}

/* The sticky bit: in such a directory only the owner of the file, of the directory, or root. */
static vmk_status sticky(struct vnode *dir, struct vnode *victim, const struct vfs_cred *cred)
{
    struct vfs_attr of_dir, of_victim;
    vmk_status status = dir->ops->getattr(dir, &of_dir);

    if (status != VMK_OK || cred->uid == 0 || !(of_dir.mode & VFS_MODE_STICKY) ||
        of_dir.uid == cred->uid)
        return status;
    status = victim->ops->getattr(victim, &of_victim);
    if (status == VMK_OK && of_victim.uid != cred->uid)
        status = VMK_NOT_OWNER;
    return status;
}

static bool is_mount_point(const struct vnode *vnode)
{
    return __atomic_load_n(&vnode->mounted_here, __ATOMIC_ACQUIRE) ||
           vnode->mount->root == vnode;
}

/* ---- new names ---- */

struct make {
    uint32_t mode;
    uint64_t device;
    const char *target;    // of a link
    struct vnode *linked;  // of a hard link
};

/* Directory locked, name free, permission checked. */
static vmk_status make_in(struct walk *w, const struct make *m)
{
    const struct vnode_ops *ops = w->dir->ops;
    const struct vfs_cred *cred = w->where->cred;
    struct vnode *made = NULL;
    vmk_status status = VMK_NOT_OWNER;  // POSIX: the file system has no such objects

    if (m->linked)
        return ops->link ? ops->link(w->dir, w->name, w->length, m->linked) : VMK_NOT_OWNER;
    if (m->target)
        return ops->symlink ? ops->symlink(w->dir, w->name, w->length, m->target, cred)
                            : VMK_NOT_OWNER;
    switch (m->mode & VFS_TYPE_MASK) {
    case VFS_TYPE_DIR:
        if (ops->mkdir)
            status = ops->mkdir(w->dir, w->name, w->length, m->mode, cred, &made);
        break;
    case VFS_TYPE_REGULAR:
        if (ops->create)
            status = ops->create(w->dir, w->name, w->length, m->mode, cred, &made);
        break;
    default:
        if (ops->mknod)
            status = ops->mknod(w->dir, w->name, w->length, m->mode, m->device, cred, &made);
        break;
    }
    if (status == VMK_OK)
        vnode_put(made);
    return status;
}

static vmk_status make_checked(struct walk *w, const struct make *m)
{
    bool is_dir = !m->linked && !m->target && (m->mode & VFS_TYPE_MASK) == VFS_TYPE_DIR;
    struct vnode *there = NULL;
    vmk_status status;

    if (w->last != WALK_LAST_NAME)
        return VMK_EXISTS;
    mutex_lock(&w->dir->lock);
    status = look(w->dir, w->name, w->length, &there);
    if (status == VMK_OK && there) {
        status = VMK_EXISTS;
    } else if (status == VMK_OK && w->trailing_slash && !is_dir) {
        status = VMK_NOT_FOUND;
    } else if (status == VMK_OK && m->linked && m->linked->mount != w->dir->mount) {
        status = VMK_CROSS_DEVICE;
    } else if (status == VMK_OK) {
        status = may_change(w->dir, w->where->cred);
        if (status == VMK_OK && m->linked && vnode_is_dir(m->linked))
            status = VMK_NOT_OWNER;
    }
    if (status == VMK_OK) {
        if (m->linked)
            mutex_lock(&m->linked->lock);
        status = make_in(w, m);
        if (m->linked)
            mutex_unlock(&m->linked->lock);
    }
    mutex_unlock(&w->dir->lock);
    vnode_put(there);
    if (status == VMK_OK && m->linked)
        notify_object(m->linked, NULL, NULL, 0, NOTIFY_ATTRIB);
    if (status == VMK_OK)
        notify_name(w->dir, w->name, w->length, NOTIFY_CREATE, is_dir);
    return status;
}

static vmk_status make_path(const struct vfs_where *where, const char *path,
                            const struct make *m)
{
    struct walk w;
    vmk_status status = walk_parent(&w, where, path);

    if (status == VMK_OK)
        status = make_checked(&w, m);
    walk_end(&w);
    return status;
}

vmk_status vfs_mkdir(const struct vfs_where *where, const char *path, uint32_t mode)
{
    mode = (mode & (0777u | VFS_MODE_STICKY) & ~where->umask) | VFS_TYPE_DIR;
    return make_path(where, path, &(struct make){.mode = mode});
}

vmk_status vfs_mknod(const struct vfs_where *where, const char *path, uint32_t mode,
                     uint64_t device)
{
    uint32_t type = mode & VFS_TYPE_MASK;

    if (!type)
        type = VFS_TYPE_REGULAR;
    if (type != VFS_TYPE_REGULAR && type != VFS_TYPE_FIFO && type != VFS_TYPE_SOCKET &&
        type != VFS_TYPE_CHAR && type != VFS_TYPE_BLOCK)
        return type == VFS_TYPE_DIR ? VMK_NOT_OWNER : VMK_BAD_PARAM;
    if ((type == VFS_TYPE_CHAR || type == VFS_TYPE_BLOCK) && where->cred->uid != 0)
        return VMK_NOT_OWNER;
    mode = (mode & VFS_MODE_BITS & ~where->umask) | type;
    return make_path(where, path, &(struct make){.mode = mode, .device = device});
}

vmk_status vfs_symlink(const struct vfs_where *where, const char *target, const char *path)
{
    size_t length = strlen(target);

    if (length == 0)
        return VMK_NOT_FOUND;
    if (length >= VFS_PATH_MAX)
        return VMK_NAME_TOO_LONG;
    return make_path(where, path, &(struct make){.target = target});
}

vmk_status vfs_link(const struct vfs_where *old_where, const char *old_path,
                    const struct vfs_where *new_where, const char *new_path, unsigned flags)
{
    struct vnode *target;
    struct walk w;
    vmk_status status = vfs_walk(old_where, old_path,
                                 (flags & VFS_LINK_FOLLOW) ? 0 : VFS_WALK_NOFOLLOW, &target);

    if (status != VMK_OK)
        return status;
    status = walk_parent(&w, new_where, new_path);
    if (status == VMK_OK)
        status = make_checked(&w, &(struct make){.linked = target});
    walk_end(&w);
    vnode_put(target);
    return status;
}

/* ---- names that go ---- */

/* Directory locked; consumes nothing. */
static vmk_status remove_decide(struct walk *w, struct vnode *victim, bool directory)
{
    vmk_status status;

    if (!directory && w->trailing_slash)
        return vnode_is_dir(victim) ? VMK_IS_DIR : VMK_NOT_DIR;
    status = may_change(w->dir, w->where->cred);
    if (status == VMK_OK)
        status = sticky(w->dir, victim, w->where->cred);
    if (status != VMK_OK)
        return status;
    if (directory) {
        if (!vnode_is_dir(victim))
            return VMK_NOT_DIR;
        if (is_mount_point(victim))
            return VMK_BUSY;
        return w->dir->ops->rmdir ? VMK_OK : VMK_NOT_OWNER;
    }
    if (vnode_is_dir(victim))
        return VMK_IS_DIR;
    return w->dir->ops->unlink ? VMK_OK : VMK_NOT_OWNER;
}

static vmk_status remove_checked(struct walk *w, bool directory)
{
    struct vnode *victim = NULL;
    vmk_status status;

    mutex_lock(&w->dir->lock);
    status = look(w->dir, w->name, w->length, &victim);
    if (status == VMK_OK && !victim)
        status = VMK_NOT_FOUND;
    if (status == VMK_OK) {
        mutex_lock(&victim->lock);
        status = remove_decide(w, victim, directory);
        if (status == VMK_OK) {
            bool last = notify_on() && notify_is_last_name(victim);

            if (directory)
                status = w->dir->ops->rmdir(w->dir, w->name, w->length, victim);
            else
                status = w->dir->ops->unlink(w->dir, w->name, w->length, victim);
            if (status == VMK_OK && last)
                __atomic_store_n(&victim->nameless, true, __ATOMIC_RELAXED);
        }
        mutex_unlock(&victim->lock);
    }
    mutex_unlock(&w->dir->lock);
    if (status == VMK_OK && !directory)
        notify_object(victim, NULL, NULL, 0, NOTIFY_ATTRIB);
    vnode_put(victim);  // which tells who watches it, if nobody else uses it
    if (status == VMK_OK)
        notify_name(w->dir, w->name, w->length, NOTIFY_DELETE, directory);
    return status;
}

vmk_status vfs_unlink(const struct vfs_where *where, const char *path)
{
    struct walk w;
    vmk_status status = walk_parent(&w, where, path);

    if (status == VMK_OK && w.last != WALK_LAST_NAME)
        status = VMK_IS_DIR;
    if (status == VMK_OK)
        status = remove_checked(&w, false);
    walk_end(&w);
    return status;
}

vmk_status vfs_rmdir(const struct vfs_where *where, const char *path)
{
    static const vmk_status odd[] = {[WALK_LAST_NAME] = VMK_OK,
                                     [WALK_LAST_DOT] = VMK_BAD_PARAM,
                                     [WALK_LAST_DOTDOT] = VMK_NOT_EMPTY,
                                     [WALK_LAST_ROOT] = VMK_BUSY};
    struct walk w;
    vmk_status status = walk_parent(&w, where, path);

    if (status == VMK_OK)
        status = odd[w.last];
    if (status == VMK_OK)
        status = remove_checked(&w, true);
    walk_end(&w);
    return status;
}

/* ---- rename ---- */

/*
 * Is `above` the directory `below` or over it, inside one mount? Under the rename lock, so that
 * no directory moves meanwhile.
 */
static vmk_status is_above(struct vnode *above, struct vnode *below, bool *yes)
{
    struct vnode *at = below;
    vmk_status status = VMK_OK;

    vnode_ref(at);
    while (at != above && at != at->mount->root) {
        struct vnode *parent;

        mutex_lock(&at->lock);
        status = at->ops->lookup(at, "..", 2, &parent);
        mutex_unlock(&at->lock);
        if (status != VMK_OK)
            break;
        vnode_put(at);
        at = parent;
    }
    *yes = at == above;
    vnode_put(at);
    return status;
}

struct rename {
    struct walk from, to;
    struct vnode *moved, *victim;
    bool moved_above_new;   // the moved directory is above the new place
    bool victim_above_old;  // the replaced directory is above the old place
    bool done;              // the names changed
};

/*
 * Everything locked that exists. OK: the file system may do it. EXISTS with moved = victim:
 * nothing to do.
 */
static vmk_status rename_decide(const struct rename *r, unsigned flags)
{
    const struct vfs_cred *cred = r->from.where->cred;
    vmk_status status = may_change(r->from.dir, cred);

    if (status == VMK_OK)
        status = sticky(r->from.dir, r->moved, cred);
    if (status == VMK_OK)
        status = may_change(r->to.dir, cred);
    if (status == VMK_OK && r->victim)
        status = sticky(r->to.dir, r->victim, cred);
    if (status != VMK_OK)
        return status;
    if (r->victim && (flags & VFS_RENAME_NOREPLACE))
        return VMK_EXISTS;
    if (!r->from.dir->ops->rename)
        return VMK_NOT_OWNER;
    if (vnode_is_dir(r->moved)) {
        struct vfs_attr attr;

        if (r->victim && !vnode_is_dir(r->victim))
            return VMK_NOT_DIR;
        /* Its ".." changes, which is a write into it. */
        if (r->from.dir != r->to.dir) {
            status = r->moved->ops->getattr(r->moved, &attr);
            if (status == VMK_OK && !vfs_attr_allows(&attr, VFS_MAY_WRITE, cred))
                status = VMK_NO_PERMISSION;
        }
    } else {
        if (r->victim && vnode_is_dir(r->victim))
            return VMK_IS_DIR;
    }
    if (status == VMK_OK &&
        (is_mount_point(r->moved) || (r->victim && is_mount_point(r->victim))))
        status = VMK_BUSY;
    return status;
}

static void lock_children(struct vnode *a, struct vnode *b)
{
    struct vnode *first = !b || (a && a < b) ? a : b;
    struct vnode *second = first == a ? b : a;

    if (first)
        mutex_lock(&first->lock);
    if (second && second != first)
        mutex_lock(&second->lock);
}

static void unlock_children(struct vnode *a, struct vnode *b)
{
    if (a)
        mutex_unlock(&a->lock);
    if (b && b != a)
        mutex_unlock(&b->lock);
}

static void put_children(struct rename *r)
{
    vnode_put(r->moved);
    vnode_put(r->victim);
    r->moved = r->victim = NULL;
}

static vmk_status look_both(struct rename *r)
{
    vmk_status status = look(r->from.dir, r->from.name, r->from.length, &r->moved);

    if (status == VMK_OK)
        status = look(r->to.dir, r->to.name, r->to.length, &r->victim);
    if (status == VMK_OK && !r->moved)
        status = VMK_NOT_FOUND;
    return status;
}

/*
 * With the rename lock held no directory of the mount changes its place, so what is above what
 * stays true while the locks are taken; the names may still change and are looked up again
 * afterwards.
 */
static vmk_status rename_locked(struct rename *r, unsigned flags)
{
    struct vnode *a = r->from.dir, *b = r->to.dir;
    bool a_above_b = false, b_above_a = false, last = false;
    struct vnode *expected_moved, *expected_victim;
    vmk_status status = is_above(a, b, &a_above_b);

    if (status == VMK_OK)
        status = is_above(b, a, &b_above_a);
    if (status != VMK_OK)
        return status;
again:
    vnode_lock_dirs(a, b, a_above_b, b_above_a);
    status = look_both(r);
    mutex_unlock(&a->lock);
    if (a != b)
        mutex_unlock(&b->lock);
    if (status != VMK_OK)
        return status;

    if (!vnode_is_dir(r->moved) && (r->from.trailing_slash || r->to.trailing_slash))
        return VMK_NOT_DIR;

    /* These take locks upwards, so no directory may be locked. */
    if (vnode_is_dir(r->moved)) {
        status = is_above(r->moved, b, &r->moved_above_new);
        if (status == VMK_OK && r->moved_above_new)
            status = VMK_BAD_PARAM;
    }
    if (status == VMK_OK && r->victim && vnode_is_dir(r->victim)) {
        status = is_above(r->victim, a, &r->victim_above_old);
        if (status == VMK_OK && r->victim_above_old)
            status = VMK_NOT_EMPTY;
    }
    if (status != VMK_OK)
        return status;

    expected_moved = r->moved;
    expected_victim = r->victim;
    vnode_lock_dirs(a, b, a_above_b, b_above_a);
    r->moved = r->victim = NULL;
    status = look_both(r);
    vnode_put(expected_moved);
    vnode_put(expected_victim);
    if (status == VMK_OK && (r->moved != expected_moved || r->victim != expected_victim)) {
        mutex_unlock(&a->lock);
        if (a != b)
            mutex_unlock(&b->lock);
        put_children(r);
        goto again;
    }
    if (status == VMK_OK && r->moved != r->victim) {
        lock_children(r->moved, r->victim);
        status = rename_decide(r, flags);
        if (status == VMK_OK && r->victim)
            last = notify_on() && notify_is_last_name(r->victim);
        if (status == VMK_OK)
            status = a->ops->rename(a, r->from.name, r->from.length, b, r->to.name,
                                    r->to.length, r->moved, r->victim);
        r->done = status == VMK_OK;
        if (r->done && last)
            __atomic_store_n(&r->victim->nameless, true, __ATOMIC_RELAXED);
        unlock_children(r->moved, r->victim);
    } else if (status == VMK_OK) {
        status = (flags & VFS_RENAME_NOREPLACE) ? VMK_EXISTS : VMK_OK;  // two names of one file
    }
    mutex_unlock(&a->lock);
    if (a != b)
        mutex_unlock(&b->lock);
    return status;
}

/* Nothing locked. */
static void rename_notify(const struct rename *r)
{
    bool is_dir = vnode_is_dir(r->moved);
    uint32_t cookie = notify_cookie();

    notify_name_slow(r->from.dir, r->from.name, r->from.length, NOTIFY_MOVED_FROM, is_dir,
                     cookie);
    notify_name_slow(r->to.dir, r->to.name, r->to.length, NOTIFY_MOVED_TO, is_dir, cookie);
    if (r->victim)
        notify_object(r->victim, NULL, NULL, 0, NOTIFY_ATTRIB);
    notify_object(r->moved, NULL, NULL, 0, NOTIFY_MOVE_SELF);
}

vmk_status vfs_rename(const struct vfs_where *old_where, const char *old_path,
                      const struct vfs_where *new_where, const char *new_path, unsigned flags)
{
    struct rename r = {.moved = NULL};
    vmk_status status = walk_parent(&r.from, old_where, old_path);

    if (status != VMK_OK) {
        walk_end(&r.from);
        return status;
    }
    status = walk_parent(&r.to, new_where, new_path);
    if (status == VMK_OK && r.from.dir->mount != r.to.dir->mount)
        status = VMK_CROSS_DEVICE;
    if (status == VMK_OK && (r.from.last != WALK_LAST_NAME || r.to.last != WALK_LAST_NAME))
        status = VMK_BUSY;
    if (status == VMK_OK) {
        struct mount *mount = r.from.dir->mount;

        mutex_lock(&mount->rename_lock);
        status = rename_locked(&r, flags);
        mutex_unlock(&mount->rename_lock);
        if (r.done && notify_on())
            rename_notify(&r);
        put_children(&r);
    }
    walk_end(&r.from);
    walk_end(&r.to);
    return status;
}

vmk_status vfs_stat(const struct vfs_where *where, const char *path, unsigned walk_flags,
                    struct vfs_attr *out)
{
    struct vnode *vnode;
    vmk_status status = vfs_walk(where, path, walk_flags, &vnode);

    if (status == VMK_OK) {
        status = vnode_getattr(vnode, out);
        vnode_put(vnode);
    }
    return status;
}
