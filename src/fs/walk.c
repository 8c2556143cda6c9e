// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/walk.c -- from a path to a vnode, and back.
 *
 * One step looks a name up in a directory with only that directory locked; between steps
 * nothing is locked, so a walk and a rename can pass each other, and each step is right at its
 * moment. A link replaces the rest of the path: target, slash, what was left, in a buffer of
 * its own. There is no cache of names: directories in memory are hashed, and a cache would be a
 * second truth.
 *
 * Invariants
 *   - A walk never leaves where->root upwards (walk_step() on "..").
 *   - At most VFS_SYMLINKS_MAX links are followed, however they nest.
 *   - w->dir is a directory when walk_parent() is OK.
 * Locking    one vnode.lock at a time.
 * Start at   walk_parent(), walk_step(), vfs_path_of().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"

static bool is_dots(const char *name, size_t length, size_t dots)
{
    return length == dots && name[0] == '.' && name[dots - 1] == '.';
}

/* The directory that `dir`, a mount's root, covers; through all mounts on top of each other. */
static struct vnode *cross_up(const struct vfs_where *where, struct vnode *dir)
{
    struct fs_state *fs = fs_state();

    vnode_ref(dir);
    while (dir != where->root && dir == dir->mount->root) {
        bool irqs = spin_lock(&fs->lock);
        struct vnode *below = dir->mount->covers;

        if (below)
            vnode_ref(below);
        spin_unlock(&fs->lock, irqs);
        if (!below)
            break;
        vnode_put(dir);
        dir = below;
    }
    return dir;
}

static vmk_status step_up(const struct vfs_where *where, struct vnode *dir, struct vnode **out)
{
    struct vnode *from = cross_up(where, dir);
    vmk_status status;

    if (from == where->root || from == from->mount->root) {
        *out = from;
        return VMK_OK;
    }
    mutex_lock(&from->lock);
    status = from->ops->lookup(from, "..", 2, out);
    mutex_unlock(&from->lock);
    vnode_put(from);
    if (status == VMK_OK)
        *out = vnode_cross_down(*out);
    return status;
}

static vmk_status step(const struct vfs_where *where, struct vnode *dir, const char *name,
                       size_t length, bool may_search, struct vnode **out)
{
    vmk_status status = VMK_OK;

    if (!vnode_is_dir(dir))
        return VMK_NOT_DIR;
    mutex_lock(&dir->lock);
    if (!may_search)
        status = vnode_access_locked(dir, VFS_MAY_EXEC, where->cred);
    if (status == VMK_OK && length > VFS_NAME_MAX)
        status = VMK_NAME_TOO_LONG;
    if (status != VMK_OK || is_dots(name, length, 1) || is_dots(name, length, 2)) {
        mutex_unlock(&dir->lock);
        if (status != VMK_OK)
            return status;
        if (length == 2)
            return step_up(where, dir, out);
        vnode_ref(dir);
        *out = dir;
        return VMK_OK;
    }
    status = dir->ops->lookup(dir, name, length, out);
    mutex_unlock(&dir->lock);
    if (status == VMK_OK)
        *out = vnode_cross_down(*out);
    return status;
}

vmk_status walk_step(const struct vfs_where *where, struct vnode *dir, const char *name,
                     size_t length, struct vnode **out)
{
    return step(where, dir, name, length, false, out);
}

vmk_status walk_last(struct walk *w, struct vnode **out)
{
    return step(w->where, w->dir, w->name, w->length, true, out);
}

/* ---- whole paths ---- */

static void go(struct walk *w, struct vnode *to)
{
    vnode_put(w->dir);
    w->dir = to;
}

/* Puts `target`, followed by `rest`, into a fresh buffer. */
static vmk_status splice(struct walk *w, const char *target, size_t length, const char *rest)
{
    size_t rest_length = strlen(rest);

    if (length + rest_length + 2 > 2 * VFS_PATH_MAX)
        return VMK_NAME_TOO_LONG;

    char *joined = heap_alloc(length + rest_length + 2, MEM_OWNER_FS);

    if (!joined)
        return VMK_NO_MEMORY;
    memcpy(joined, target, length);
    if (rest_length) {
        joined[length] = '/';
        memcpy(joined + length + 1, rest, rest_length + 1);
    }
    heap_free(w->buffer);
    w->buffer = joined;
    return VMK_OK;
}

/*
 * Goes to where the link says: w->dir is where the walk goes on, w->buffer what is left of it.
 * An object link moves there at once and leaves only `rest`; *reached says so.
 */
static vmk_status expand(struct walk *w, struct vnode *link, const char *rest, bool *reached)
{
    size_t length = 0;
    vmk_status status;

    *reached = false;
    if (++w->links > VFS_SYMLINKS_MAX)
        return VMK_TOO_MANY_LINKS;
    if (link->ops->follow) {
        struct vnode *vnode = NULL;
        struct file *file = NULL;

        status = link->ops->follow(link, &vnode, &file);
        if (status != VMK_OK)
            return status;
        file_put(file);
        go(w, vnode);
        *reached = true;
        return splice(w, "", 0, rest);
    }

    char *target = heap_alloc(VFS_PATH_MAX, MEM_OWNER_FS);

    if (!target)
        return VMK_NO_MEMORY;
    status = vnode_readlink(link, target, VFS_PATH_MAX, &length);
    if (status == VMK_OK && length == 0)
        status = VMK_NOT_FOUND;
    if (status == VMK_OK && length >= VFS_PATH_MAX)
        status = VMK_NAME_TOO_LONG;
    if (status == VMK_OK)
        status = splice(w, target, length, rest);
    heap_free(target);
    if (status == VMK_OK && w->buffer[0] == '/') {
        vnode_ref(w->where->root);
        go(w, w->where->root);
    }
    return status;
}

/* Sets name, length, last and trailing_slash from the part at `name`. */
static void note_last(struct walk *w, const char *name, size_t length, bool slash)
{
    w->name = name;
    w->length = length;
    w->trailing_slash = slash;
    w->last = is_dots(name, length, 1)   ? WALK_LAST_DOT
              : is_dots(name, length, 2) ? WALK_LAST_DOTDOT
                                         : WALK_LAST_NAME;
}

/* Walks `path` from w->dir up to its last part. */
static vmk_status walk_on(struct walk *w, const char *path)
{
    for (;;) {
        while (*path == '/')
            path++;
        if (!*path) {
            w->last = WALK_LAST_ROOT;
            w->name = path;
            w->length = 0;
            return VMK_OK;
        }

        const char *name = path;

        while (*path && *path != '/')
            path++;

        size_t length = (size_t)(path - name);
        const char *rest = path;

        while (*rest == '/')
            rest++;
        if (!*rest) {
            note_last(w, name, length, rest != path);
            return vnode_is_dir(w->dir) ? vnode_access(w->dir, VFS_MAY_EXEC, w->where->cred)
                                        : VMK_NOT_DIR;
        }

        struct vnode *next;
        bool reached;
        vmk_status status = walk_step(w->where, w->dir, name, length, &next);

        if (status != VMK_OK)
            return status;
        if (next->type != VFS_TYPE_LINK) {
            go(w, next);
            path = rest;
            continue;
        }
        status = expand(w, next, rest, &reached);
        vnode_put(next);
        if (status != VMK_OK)
            return status;
        path = w->buffer;
        if (reached)
            while (*path == '/')
                path++;
    }
}

vmk_status walk_parent(struct walk *w, const struct vfs_where *where, const char *path)
{
    *w = (struct walk){.where = where};
    w->dir = *path == '/' ? where->root : where->start;
    if (!w->dir)
        return VMK_NOT_FOUND;
    vnode_ref(w->dir);
    if (!*path)
        return VMK_NOT_FOUND;

    size_t length = 0;

    while (length < VFS_PATH_MAX && path[length])
        length++;
    if (length == VFS_PATH_MAX)
        return VMK_NAME_TOO_LONG;
    return walk_on(w, path);
}

vmk_status walk_link(struct walk *w, struct vnode *link)
{
    bool slash = w->trailing_slash;
    bool reached;
    vmk_status status = expand(w, link, slash ? "/" : "", &reached);

    if (status != VMK_OK)
        return status;
    if (reached && !slash) {
        w->last = WALK_LAST_ROOT;  // w->dir itself, whatever it is
        return VMK_OK;
    }
    return walk_on(w, w->buffer);
}

void walk_end(struct walk *w)
{
    vnode_put(w->dir);
    heap_free(w->buffer);
    w->dir = NULL;
    w->buffer = NULL;
}

vmk_status vfs_walk(const struct vfs_where *where, const char *path, unsigned flags,
                    struct vnode **out)
{
    struct vnode *found = NULL;
    struct walk w;
    vmk_status status = walk_parent(&w, where, path);

    while (status == VMK_OK) {
        if (w.last == WALK_LAST_ROOT) {
            found = w.dir;
            vnode_ref(found);
            break;
        }
        status = walk_last(&w, &found);
        if (status != VMK_OK)
            break;
        if (found->type != VFS_TYPE_LINK || ((flags & VFS_WALK_NOFOLLOW) && !w.trailing_slash))
            break;
        status = walk_link(&w, found);
        vnode_put(found);
        found = NULL;
    }
    if (status == VMK_OK && (w.trailing_slash || (flags & VFS_WALK_DIRECTORY)) &&
        !vnode_is_dir(found)) {
        vnode_put(found);
        status = VMK_NOT_DIR;
    }
    walk_end(&w);
    if (status == VMK_OK)
        *out = found;
    return status;
}

/* ---- from a directory to its path ---- */

struct name_search {
    struct vfs_dir_sink sink;
    uint64_t inode;
    char name[VFS_NAME_MAX + 1];
    size_t length;
};

static bool name_matches(struct vfs_dir_sink *sink, const char *name, size_t length,
                         uint64_t inode, uint32_t type, uint64_t next)
{
    struct name_search *s = container_of(sink, struct name_search, sink);

    (void)type;
    (void)next;
    if (s->length || inode != s->inode || length > VFS_NAME_MAX)
        return true;
    memcpy(s->name, name, length);
    s->length = length;
    return true;
}

/* The name of `child` in its parent. */
static vmk_status name_in_parent(struct vnode *parent, struct vnode *child,
                                 struct name_search *s)
{
    uint64_t position = 2;
    vmk_status status;

    s->sink.emit = name_matches;
    s->inode = child->inode;
    s->length = 0;
    if (!parent->ops->readdir)
        return VMK_NOT_FOUND;
    mutex_lock(&parent->lock);
    status = parent->ops->readdir(parent, &position, &s->sink);
    mutex_unlock(&parent->lock);
    if (status == VMK_OK && !s->length)
        status = VMK_NOT_FOUND;
    return status;
}

/* Writes "/name" in front of what stands at out + *at. */
static bool put_in_front(char *out, size_t *at, const char *name, size_t length)
{
    if (*at < length + 1)
        return false;
    *at -= length;
    memcpy(out + *at, name, length);
    out[--*at] = '/';
    return true;
}

static bool put_unreachable(char *out, size_t *at)
{
    static const char text[] = "(unreachable)";

    if (*at < sizeof(text) - 1)
        return false;
    *at -= sizeof(text) - 1;
    memcpy(out + *at, text, sizeof(text) - 1);
    return true;
}

vmk_status vfs_path_of(struct vnode *root, struct vnode *dir, char *out, size_t size)
{
    const struct vfs_where where = {.cred = &vfs_cred_root, .root = root, .start = dir};
    struct name_search *s;
    struct vnode *at = dir;
    vmk_status status = VMK_OK;
    size_t start = size - 1;

    if (size < 2)
        return VMK_NAME_TOO_LONG;
    if (!vnode_is_dir(dir))
        return VMK_NOT_DIR;
    s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    if (!s)
        return VMK_NO_MEMORY;
    out[start] = 0;
    vnode_ref(at);
    while (at != root && status == VMK_OK) {
        struct vnode *covered = cross_up(&where, at);
        struct vnode *parent = NULL;

        if (covered == root || covered == covered->mount->root) {
            /* Above all, and not below `root`: it lies outside. */
            if (covered != root && !put_unreachable(out, &start))
                status = VMK_NAME_TOO_LONG;
            vnode_put(covered);
            break;
        }
        mutex_lock(&covered->lock);
        status = covered->ops->lookup(covered, "..", 2, &parent);
        mutex_unlock(&covered->lock);
        if (status == VMK_OK)
            status = name_in_parent(parent, covered, s);
        if (status == VMK_OK && !put_in_front(out, &start, s->name, s->length))
            status = VMK_NAME_TOO_LONG;
        vnode_put(covered);
        if (!parent)
            break;
        vnode_put(at);
        at = vnode_cross_down(parent);
    }
    vnode_put(at);
    heap_free(s);
    if (status != VMK_OK)
        return status;
    if (start == size - 1)
        out[--start] = '/';
    memmove(out, out + start, size - start);
    return VMK_OK;
}
