// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vnode.c -- vnodes: references, the table of those that live on disk, attributes, permissions.
 *
 * The last reference can only go under the fs lock, where vnode_find() also looks; so a vnode
 * is either found with a reference more or not at all. One that is being released stays in the
 * table marked `dying` until the file system has written it back, because a second vnode of the
 * same inode would read from disk what the first has yet to write.
 *
 * Invariants
 *   - refs > 0 for every vnode that anybody can reach; dying implies refs = 0.
 *   - mount.users = the references to its vnodes - the kept ones.
 *   - At most one vnode of (mount, inode) is in the table.
 * Locking    fs_state.lock for table and the last reference; vnode.lock for attributes.
 * Start at   vnode_put(), vnode_access().
 */
#include "core/assert.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"

void vnode_init(struct vnode *vnode, struct mount *mount, const struct vnode_ops *ops,
                uint64_t inode, uint32_t type, uint64_t node_device)
{
    *vnode = (struct vnode){.ops = ops,
                            .mount = mount,
                            .inode = inode,
                            .type = type,
                            .node_device = node_device,
                            .refs = 1};
    mutex_init(&vnode->lock, "vnode");
    list_init(&vnode->hash_link);
    list_init(&vnode->locks);
    list_init(&vnode->watches);
    __atomic_add_fetch(&mount->users, 1, __ATOMIC_RELAXED);
}

void vnode_ref(struct vnode *vnode)
{
    uint32_t before = __atomic_fetch_add(&vnode->refs, 1, __ATOMIC_RELAXED);

    vmk_assert_msg(before > 0, "inode %llu", (unsigned long long)vnode->inode);
    __atomic_add_fetch(&vnode->mount->users, 1, __ATOMIC_RELAXED);
}

void vnode_keep(struct vnode *vnode)
{
    __atomic_sub_fetch(&vnode->mount->users, 1, __ATOMIC_RELAXED);
}

void vnode_unkeep(struct vnode *vnode)
{
    __atomic_add_fetch(&vnode->mount->users, 1, __ATOMIC_RELAXED);
}

void vnode_put(struct vnode *vnode)
{
    struct fs_state *fs = fs_state();

    if (!vnode)
        return;

    struct mount *mount = vnode->mount;
    uint32_t refs = __atomic_load_n(&vnode->refs, __ATOMIC_RELAXED);

    vmk_assert(refs > 0);
    while (refs > 1) {
        uint32_t watches = __atomic_load_n(&vnode->watch_refs, __ATOMIC_RELAXED);

        if (watches && refs == watches + 1 &&
            __atomic_load_n(&vnode->nameless, __ATOMIC_RELAXED)) {
            notify_unused_slow(vnode);
            refs = __atomic_load_n(&vnode->refs, __ATOMIC_RELAXED);
            continue;
        }
        if (__atomic_compare_exchange_n(&vnode->refs, &refs, refs - 1, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
            __atomic_sub_fetch(&mount->users, 1, __ATOMIC_RELEASE);
            return;
        }
    }

    bool irqs = spin_lock(&fs->lock);
    bool last = __atomic_sub_fetch(&vnode->refs, 1, __ATOMIC_ACQ_REL) == 0;

    vnode->dying = last;
    spin_unlock(&fs->lock, irqs);
    if (last)
        vnode->ops->release(vnode);
    __atomic_sub_fetch(&mount->users, 1, __ATOMIC_RELEASE);
}

/* ---- the table ---- */

static struct list *bucket_of(struct fs_state *fs, const struct mount *mount, uint64_t inode)
{
    uint64_t hash = (inode ^ (mount->device << 40)) * 0x9e3779b97f4a7c15ull;

    return &fs->vnodes[hash >> 56];
}
_Static_assert(FS_VNODE_BUCKETS == 256, "bucket_of() takes eight bits");

/* Lock held. */
static struct vnode *table_find(struct fs_state *fs, const struct mount *mount, uint64_t inode)
{
    struct list *bucket = bucket_of(fs, mount, inode);

    list_for_each (node, bucket) {
        struct vnode *v = list_entry(node, struct vnode, hash_link);

        if (v->mount == mount && v->inode == inode)
            return v;
    }
    return NULL;
}

/*
 * With the fs lock held, finds a vnode that lives; while one is dying, waits without the lock.
 * The queue's lock is taken before the fs lock goes, so vnode_end() cannot slip in between.
 */
static struct vnode *table_find_live(struct fs_state *fs, const struct mount *mount,
                                     uint64_t inode)
{
    struct vnode *v;

    while ((v = table_find(fs, mount, inode)) && v->dying) {
        spin_lock_irqs_off(&fs->released.lock);
        spin_unlock_irqs_off(&fs->lock);
        (void)!wait_queue_block_as(&fs->released, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&fs->lock);
    }
    if (v)
        vnode_ref(v);
    return v;
}

struct vnode *vnode_find(struct mount *mount, uint64_t inode)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);
    struct vnode *v = table_find_live(fs, mount, inode);

    spin_unlock(&fs->lock, irqs);
    return v;
}

struct vnode *vnode_publish(struct vnode *fresh)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);
    struct vnode *v = table_find_live(fs, fresh->mount, fresh->inode);

    if (!v) {
        list_add_head(bucket_of(fs, fresh->mount, fresh->inode), &fresh->hash_link);
        v = fresh;
    }
    spin_unlock(&fs->lock, irqs);
    return v;
}

void vnode_end(struct vnode *vnode)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);

    vmk_assert(!vnode->mounted_here);
    if (!vnode->dying) {  // never published: its first reference goes with it
        vmk_assert(vnode->refs == 1 && !list_is_linked(&vnode->hash_link));
        __atomic_sub_fetch(&vnode->mount->users, 1, __ATOMIC_RELEASE);
    }
    list_remove(&vnode->hash_link);
    spin_unlock(&fs->lock, irqs);
    (void)wait_queue_wake(&fs->released, WAIT_QUEUE_ALL);
}

struct vnode *vnode_cross_down(struct vnode *vnode)
{
    struct fs_state *fs = fs_state();

    for (;;) {
        struct vnode *root = NULL;

        if (!__atomic_load_n(&vnode->mounted_here, __ATOMIC_RELAXED))
            return vnode;

        bool irqs = spin_lock(&fs->lock);

        if (vnode->mounted_here) {
            root = vnode->mounted_here->root;
            vnode_ref(root);
        }
        spin_unlock(&fs->lock, irqs);
        if (!root)
            return vnode;
        vnode_put(vnode);
        vnode = root;
    }
}

void vnode_lock_dirs(struct vnode *a, struct vnode *b, bool a_above_b, bool b_above_a)
{
    if (a == b) {
        mutex_lock(&a->lock);
    } else if (a_above_b || (!b_above_a && a < b)) {
        mutex_lock(&a->lock);
        mutex_lock(&b->lock);
    } else {
        mutex_lock(&b->lock);
        mutex_lock(&a->lock);
    }
}

/* ---- permissions ---- */

bool vfs_in_group(const struct vfs_cred *cred, uint32_t gid)
{
    if (cred->gid == gid)
        return true;
    for (uint32_t i = 0; i < cred->group_count && i < VFS_GROUPS_MAX; i++) {
        if (cred->groups[i] == gid)
            return true;
    }
    return false;
}

bool vfs_attr_allows(const struct vfs_attr *attr, unsigned may, const struct vfs_cred *cred)
{
    unsigned bits = attr->mode & 7u;

    if (cred->uid == 0) {
        if ((may & VFS_MAY_EXEC) && (attr->mode & VFS_TYPE_MASK) != VFS_TYPE_DIR)
            return (attr->mode & 0111u) != 0;
        return true;
    }
    if (cred->uid == attr->uid)
        bits = (attr->mode >> 6) & 7u;
    else if (vfs_in_group(cred, attr->gid))
        bits = (attr->mode >> 3) & 7u;
    return (bits & may) == may;
}

vmk_status vnode_access_locked(struct vnode *vnode, unsigned may, const struct vfs_cred *cred)
{
    struct vfs_attr attr;
    vmk_status status;

    /* Root may search any directory: what has its attributes on a disk need not look. */
    if (may == VFS_MAY_EXEC && cred->uid == 0 && vnode_is_dir(vnode))
        return VMK_OK;
    status = vnode->ops->getattr(vnode, &attr);
    if (status != VMK_OK)
        return status;
    if ((may & VFS_MAY_WRITE) && (vnode->mount->flags & VFS_MOUNT_RDONLY) &&
        (vnode->type == VFS_TYPE_REGULAR || vnode_is_dir(vnode)))
        return VMK_READ_ONLY;
    if ((may & VFS_MAY_EXEC) && vnode->type == VFS_TYPE_REGULAR &&
        (vnode->mount->flags & VFS_MOUNT_NOEXEC))
        return VMK_NO_PERMISSION;
    return vfs_attr_allows(&attr, may, cred) ? VMK_OK : VMK_NO_PERMISSION;
}

vmk_status vnode_access(struct vnode *vnode, unsigned may, const struct vfs_cred *cred)
{
    mutex_lock(&vnode->lock);

    vmk_status status = vnode_access_locked(vnode, may, cred);

    mutex_unlock(&vnode->lock);
    return status;
}

/* ---- attributes ---- */

vmk_status vnode_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    *out = (struct vfs_attr){.mode = 0};
    mutex_lock(&vnode->lock);

    vmk_status status = vnode->ops->getattr(vnode, out);

    mutex_unlock(&vnode->lock);
    /*
     * One that tells of another inode stands for something elsewhere: a pipe behind
     * /proc/<pid>/fd.
     */
    if (!out->inode || out->inode == vnode->inode) {
        out->inode = vnode->inode;
        out->device = vnode->mount->device;
    }
    out->node_device = vnode->node_device;
    return status;
}

/*
 * Decides about a change of attributes: OK with *set ready for the file system, or why not. The
 * rules are those of POSIX chmod, chown and utimensat.
 */
static vmk_status decode_setattr(const struct vfs_attr *now, struct vfs_attr *set,
                                 unsigned *what, const struct vfs_cred *cred)
{
    bool root = !cred || cred->uid == 0;
    bool owner = root || cred->uid == now->uid;

    if ((*what & VFS_SET_UID) && set->uid == now->uid && !root && owner)
        *what &= ~VFS_SET_UID;
    if ((*what & VFS_SET_UID) && !root)
        return VMK_NOT_OWNER;
    if ((*what & VFS_SET_GID) && !root &&
        (!owner || (!vfs_in_group(cred, set->gid) && set->gid != now->gid)))
        return VMK_NOT_OWNER;
    if ((*what & VFS_SET_MODE) && !owner)
        return VMK_NOT_OWNER;
    if ((*what & (VFS_SET_ATIME | VFS_SET_MTIME)) && !owner) {
        if (!(*what & VFS_SET_NOW))
            return VMK_NOT_OWNER;
        if (!vfs_attr_allows(now, VFS_MAY_WRITE, cred))
            return VMK_NO_PERMISSION;
    }

    uint32_t mode = (*what & VFS_SET_MODE) ? set->mode : now->mode;

    mode = (mode & VFS_MODE_BITS) | (now->mode & VFS_TYPE_MASK);
    if ((*what & VFS_SET_MODE) && !root && !vfs_in_group(cred, now->gid))
        mode &= ~VFS_MODE_SETGID;
    if ((*what & (VFS_SET_UID | VFS_SET_GID)) && (now->mode & VFS_TYPE_MASK) != VFS_TYPE_DIR) {
        /* Who is given a set-id program must say so himself. */
        uint32_t drop = VFS_MODE_SETUID | ((mode & 010u) ? VFS_MODE_SETGID : 0);

        if (mode & drop) {
            mode &= ~drop;
            *what |= VFS_SET_MODE;
        }
    }
    set->mode = mode;
    return VMK_OK;
}

void vnode_strip_set_id(struct vnode *vnode)
{
    struct vfs_attr attr;
    uint32_t drop;

    if (vnode->ops->getattr(vnode, &attr) != VMK_OK)
        return;
    drop = attr.mode & (VFS_MODE_SETUID | ((attr.mode & 010u) ? VFS_MODE_SETGID : 0));
    attr.mode &= ~drop;
    if (drop && vnode->ops->setattr)
        (void)vnode->ops->setattr(vnode, &attr, VFS_SET_MODE);
}

static vmk_status setattr_locked(struct vnode *vnode, const struct vfs_attr *attr,
                                 unsigned what, const struct vfs_cred *cred)
{
    struct vfs_attr now;
    struct vfs_attr set = *attr;
    vmk_status status = vnode->ops->getattr(vnode, &now);

    if (status != VMK_OK)
        return status;
    if (vnode->mount->flags & VFS_MOUNT_RDONLY)
        return VMK_READ_ONLY;
    if (what & VFS_SET_SIZE) {
        if (vnode_is_dir(vnode))
            return VMK_IS_DIR;
        if (vnode->type != VFS_TYPE_REGULAR || attr->size > INT64_MAX)
            return VMK_BAD_PARAM;
        if (cred && !vfs_attr_allows(&now, VFS_MAY_WRITE, cred))
            return VMK_NO_PERMISSION;
    }
    status = decode_setattr(&now, &set, &what, cred);
    if (status != VMK_OK)
        return status;
    if (what & VFS_SET_SIZE) {
        if (!vnode->ops->truncate)
            return VMK_UNSUPPORTED;
        status = vnode->ops->truncate(vnode, attr->size);
        if (status == VMK_OK && cred && cred->uid != 0)
            vnode_strip_set_id(vnode);
        what &= ~VFS_SET_SIZE;
    }
    if (what & VFS_SET_NOW) {
        set.atime_ns = set.mtime_ns = vfs_time_now();
        what &= ~VFS_SET_NOW;
    }
    if (status == VMK_OK && what) {
        if (!vnode->ops->setattr)
            return VMK_NOT_OWNER;
        status = vnode->ops->setattr(vnode, &set, what);
    }
    return status;
}

/* What such a change is called. */
static uint32_t change_of(unsigned what)
{
    const unsigned times = what & (VFS_SET_ATIME | VFS_SET_MTIME);
    uint32_t change = what & VFS_SET_SIZE ? NOTIFY_MODIFY : 0;

    if (what & (VFS_SET_MODE | VFS_SET_UID | VFS_SET_GID))
        change |= NOTIFY_ATTRIB;
    if (times == (VFS_SET_ATIME | VFS_SET_MTIME))
        change |= NOTIFY_ATTRIB;
    else if (times)
        change |= times == VFS_SET_ATIME ? NOTIFY_ACCESS : NOTIFY_MODIFY;
    return change;
}

vmk_status vnode_setattr(struct vnode *vnode, const struct vfs_attr *attr, unsigned what,
                         const struct vfs_cred *cred)
{
    mutex_lock(&vnode->lock);

    vmk_status status = setattr_locked(vnode, attr, what, cred);

    mutex_unlock(&vnode->lock);
    if (status == VMK_OK)
        notify_attributes(vnode, change_of(what));
    return status;
}

vmk_status vnode_readlink(struct vnode *vnode, char *out, size_t size, size_t *length)
{
    vmk_status status = VMK_BAD_PARAM;

    if (vnode->type == VFS_TYPE_LINK && vnode->ops->readlink) {
        mutex_lock(&vnode->lock);
        status = vnode->ops->readlink(vnode, out, size, length);
        mutex_unlock(&vnode->lock);
    }
    return status;
}

vmk_status vnode_statfs(struct vnode *vnode, struct vfs_statfs *out)
{
    *out = (struct vfs_statfs){.block_size = (uint32_t)PAGE_SIZE,
                               .name_max = VFS_NAME_MAX,
                               .flags = vnode->mount->flags};
    if (!vnode->mount->ops->statfs)
        return VMK_OK;
    return vnode->mount->ops->statfs(vnode->mount, out);
}

/* ---- data ---- */

vmk_status vnode_read(struct vnode *vnode, struct vfs_iov *iov)
{
    iov->done = 0;
    if (vnode_is_dir(vnode))
        return VMK_IS_DIR;
    if (vnode->type != VFS_TYPE_REGULAR || !vnode->ops->read)
        return VMK_BAD_PARAM;
    mutex_lock(&vnode->lock);

    vmk_status status = vnode->ops->read(vnode, iov);

    mutex_unlock(&vnode->lock);
    return status;
}

vmk_status vnode_page_get(struct vnode *vnode, uint64_t index, bool for_write, mpn_t *out)
{
    if (vnode->type != VFS_TYPE_REGULAR || !vnode->ops->page_get)
        return VMK_UNSUPPORTED;
    mutex_lock(&vnode->lock);

    vmk_status status = vnode->ops->page_get(vnode, index, for_write, out);

    mutex_unlock(&vnode->lock);
    return status;
}

void vnode_page_put(struct vnode *vnode, uint64_t index, mpn_t page)
{
    vnode->ops->page_put(vnode, index, page);
}

void vnode_page_ref(struct vnode *vnode, uint64_t index, mpn_t page)
{
    vnode->ops->page_ref(vnode, index, page);
}
