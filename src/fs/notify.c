// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/notify.c -- telling whoever watches a file or directory what happens to it.
 *
 * Most hooks know the directory and the name that something was done by: the walk's or the open
 * file's. A change of attributes knows the object only; then the watched directories are
 * searched for it. Directories tell their watchers first, then the object tells its own.
 *
 * An object whose last name went is told of when nobody uses it any more but its watches: that
 * is seen in vnode_put(), by the count of references.
 *
 * Invariants
 *   - vnode.watch_refs is the number of watches on it, each of which has one reference;
 *     fs_state.watch_count is their sum.
 * Locking    fs_state.notify_lock (rank VFS). No hook is called with a vnode locked.
 * Start at   notify_object().
 * Sources    inotify(7)
 */
#include "fs/notify.h"

#include "core/assert.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"

void notify_init(void)
{
    struct fs_state *fs = fs_state();

    spin_init(&fs->notify_lock, "watches", LOCK_RANK_VFS);
    list_init(&fs->watches);
}

bool notify_lock(void)
{
    return spin_lock(&fs_state()->notify_lock);
}

void notify_unlock(bool irqs)
{
    spin_unlock(&fs_state()->notify_lock, irqs);
}

void notify_watch_add_locked(struct vfs_watch *watch)
{
    struct fs_state *fs = fs_state();

    vnode_ref(watch->vnode);
    list_add_tail(&watch->vnode->watches, &watch->vnode_link);
    list_add_tail(&fs->watches, &watch->all_link);
    __atomic_add_fetch(&watch->vnode->watch_refs, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&fs->watch_count, 1, __ATOMIC_RELEASE);
}

void notify_watch_remove_locked(struct vfs_watch *watch)
{
    list_remove(&watch->vnode_link);
    list_remove(&watch->all_link);
    __atomic_sub_fetch(&watch->vnode->watch_refs, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&fs_state()->watch_count, 1, __ATOMIC_RELAXED);
}

struct vfs_watch *notify_watch_next_locked(const struct vnode *vnode, struct vfs_watch *after)
{
    const struct list *node = after ? after->vnode_link.next : vnode->watches.next;

    return node == &vnode->watches
               ? NULL
               : list_entry((struct list *)node, struct vfs_watch, vnode_link);
}

/* The watch ends: unlinked and told so. Lock held; the caller puts the vnode. */
static void end_locked(struct vfs_watch *watch)
{
    notify_watch_remove_locked(watch);
    watch->tell(watch, &(struct vfs_notice){.what = NOTIFY_IGNORED});
}

/* Tells the watches on one vnode that want it; those that want only one thing end. */
static void tell_all(struct vnode *vnode, const struct vfs_notice *notice, bool is_nameless)
{
    unsigned ended = 0;
    bool irqs;

    if (!__atomic_load_n(&vnode->watch_refs, __ATOMIC_RELAXED))
        return;
    irqs = notify_lock();
    list_for_each_safe (node, after, &vnode->watches) {
        struct vfs_watch *watch = list_entry(node, struct vfs_watch, vnode_link);

        if (!(watch->mask & notice->what & NOTIFY_ALL))
            continue;
        if (is_nameless && notice->name && (watch->mask & NOTIFY_EXCL_UNLINK))
            continue;
        watch->tell(watch, notice);
        if (watch->mask & NOTIFY_ONESHOT) {
            end_locked(watch);
            ended++;
        }
    }
    notify_unlock(irqs);
    while (ended--)
        vnode_put(vnode);
}

void notify_object_slow(struct vnode *vnode, struct vnode *dir, const char *name, size_t length,
                        uint32_t what)
{
    struct vfs_notice notice = {.what = what, .name = name, .length = length};

    if (vnode && vnode_is_dir(vnode))
        notice.what |= NOTIFY_DIR;
    if (dir && name && (!vnode || dir->mount == vnode->mount))
        tell_all(dir, &notice, vnode && vnode->nameless);
    notice.name = NULL;
    notice.length = 0;
    if (vnode)
        tell_all(vnode, &notice, false);
}

void notify_name_slow(struct vnode *dir, const char *name, size_t length, uint32_t what,
                      bool is_dir, uint32_t cookie)
{
    const struct vfs_notice notice = {.what = what | (is_dir ? NOTIFY_DIR : 0),
                                      .cookie = cookie,
                                      .name = name,
                                      .length = length};

    tell_all(dir, &notice, false);
}

void notify_file_slow(struct file *file, uint32_t what)
{
    if (file->vnode && !(file->flags & VFS_O_PATH))
        notify_object_slow(file->vnode, file->dir, file->name,
                           file->name ? strlen(file->name) : 0, what);
}

/* ---- objects without a known place ---- */

struct search {
    struct vfs_dir_sink sink;
    uint64_t inode;
    bool found;
    size_t length;
    char name[VFS_NAME_MAX];
};

static bool search_emit(struct vfs_dir_sink *sink, const char *name, size_t length,
                        uint64_t inode, uint32_t type, uint64_t next)
{
    struct search *s = container_of(sink, struct search, sink);

    (void)type;
    (void)next;
    if (inode != s->inode || length > sizeof(s->name))
        return true;
    memcpy(s->name, name, length);
    s->length = length;
    s->found = true;
    return false;
}

static bool search_in(struct vnode *dir, struct search *s)
{
    uint64_t position = 2;

    if (!dir->ops->readdir)
        return false;
    mutex_lock(&dir->lock);
    (void)!dir->ops->readdir(dir, &position, &s->sink);
    mutex_unlock(&dir->lock);
    return s->found;
}

/* A watched directory of that mount, the index-th, referenced; null: no more. */
static struct vnode *watched_dir(const struct mount *mount, unsigned index)
{
    struct fs_state *fs = fs_state();
    struct vnode *dir = NULL;
    bool irqs = notify_lock();

    list_for_each (node, &fs->watches) {
        const struct vfs_watch *watch = list_entry(node, struct vfs_watch, all_link);

        if (watch->vnode->mount == mount && vnode_is_dir(watch->vnode) && index-- == 0) {
            dir = watch->vnode;
            vnode_ref(dir);
            break;
        }
    }
    notify_unlock(irqs);
    return dir;
}

void notify_attributes_slow(struct vnode *vnode, uint32_t what)
{
    struct search *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    struct vnode *dir = NULL;

    if (s) {
        s->sink.emit = search_emit;
        s->inode = vnode->inode;
    }
    for (unsigned i = 0; s && (dir = watched_dir(vnode->mount, i)); i++) {
        if (dir != vnode && search_in(dir, s))
            break;
        vnode_put(dir);
    }
    if (dir)
        notify_object_slow(vnode, dir, s->name, s->length, what);
    else
        notify_object_slow(vnode, NULL, NULL, 0, what);
    vnode_put(dir);
    heap_free(s);
}

uint32_t notify_cookie(void)
{
    return __atomic_add_fetch(&fs_state()->notify_cookie, 1, __ATOMIC_RELAXED);
}

/* ---- ends ---- */

/* Vnode locked, about to lose a name: its last one? */
bool notify_is_last_name(struct vnode *vnode)
{
    struct vfs_attr attr;

    return vnode_is_dir(vnode) ||
           (vnode->ops->getattr(vnode, &attr) == VMK_OK && attr.link_count <= 1);
}

void notify_unused_slow(struct vnode *vnode)
{
    const struct vfs_notice notice = {.what = NOTIFY_DELETE_SELF};  // without NOTIFY_DIR
    unsigned ended = 0;
    bool irqs = notify_lock();

    if (vnode->nameless &&
        __atomic_load_n(&vnode->refs, __ATOMIC_RELAXED) == vnode->watch_refs + 1) {
        list_for_each_safe (node, after, &vnode->watches) {
            struct vfs_watch *watch = list_entry(node, struct vfs_watch, vnode_link);

            if (watch->mask & NOTIFY_DELETE_SELF)
                watch->tell(watch, &notice);
            end_locked(watch);
            ended++;
        }
    }
    notify_unlock(irqs);
    while (ended--)
        vnode_put(vnode);
}

void notify_unmount(struct mount *mount, uint32_t others)
{
    struct fs_state *fs = fs_state();

    if (!__atomic_load_n(&fs->watch_count, __ATOMIC_ACQUIRE))
        return;
    for (bool all = false; !all;) {
        struct vnode *vnode = NULL;
        uint32_t watches = 0;
        bool irqs = notify_lock();

        list_for_each (node, &fs->watches)
            watches += list_entry(node, struct vfs_watch, all_link)->vnode->mount == mount;
        all = watches == 0 ||
              __atomic_load_n(&mount->users, __ATOMIC_ACQUIRE) != others + watches;
        list_for_each_safe (node, after, &fs->watches) {
            struct vfs_watch *watch = list_entry(node, struct vfs_watch, all_link);

            if (all || watch->vnode->mount != mount)
                continue;
            vnode = watch->vnode;
            watch->tell(watch, &(struct vfs_notice){.what = NOTIFY_UNMOUNT});
            end_locked(watch);
            break;
        }
        notify_unlock(irqs);
        vnode_put(vnode);
    }
}
