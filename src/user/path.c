// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/path.c -- paths of the user: copied in, with the place where they begin.
 *
 * Invariants
 *   - path_put() releases exactly what a successful path_get() took.
 * Locking    fs.lock (rank USER) for the moment of taking references.
 */
#include "lib/string.h"
#include "user/user_internal.h"

int64_t user_in(struct thread *t, void *to, uint64_t from, size_t size)
{
    return aspace_copy_in(t->as, to, from, size) == VMK_OK ? 0 : -L_EFAULT;
}

int64_t user_out(struct thread *t, uint64_t to, const void *from, size_t size)
{
    return aspace_copy_out(t->as, to, from, size) == VMK_OK ? 0 : -L_EFAULT;
}

void where_get(struct thread *t, struct user_path *out)
{
    struct user_fs *fs = t->process->fs;
    bool irqs = spin_lock(&fs->lock);

    out->text = NULL;
    out->dir = NULL;
    out->where.cred = &t->process->cred;
    out->where.root = fs->root;
    out->where.start = fs->cwd;
    out->where.umask = fs->umask;
    vnode_ref(fs->root);
    vnode_ref(fs->cwd);
    spin_unlock(&fs->lock, irqs);
}

/* Copies the path in: most fit into the small buffer. */
static int64_t copy_path(struct thread *t, uint64_t address, struct user_path *path)
{
    size_t length;
    vmk_status status =
        aspace_copy_string(t->as, path->small, address, sizeof(path->small), &length);

    path->text = path->small;
    if (status != VMK_NAME_TOO_LONG)
        return user_errno(status == VMK_OK || status == VMK_NO_MEMORY ? status : VMK_FAULT);
    path->text = heap_alloc(VFS_PATH_MAX, MEM_OWNER_USER);
    if (!path->text)
        return -L_ENOMEM;
    status = aspace_copy_string(t->as, path->text, address, VFS_PATH_MAX, &length);
    if (status == VMK_OK)
        return 0;
    heap_free(path->text);
    path->text = NULL;
    return status == VMK_NAME_TOO_LONG ? -L_ENAMETOOLONG : -L_EFAULT;
}

static void path_free(struct user_path *path)
{
    if (path->text != path->small)
        heap_free(path->text);
}

bool file_is_directory(struct file *file)
{
    struct vfs_attr attr;

    return file->vnode && file_getattr(file, &attr) == VMK_OK &&
           (attr.mode & VFS_TYPE_MASK) == VFS_TYPE_DIR;
}

int64_t path_get_flags(struct thread *t, int dirfd, uint64_t address, bool empty_ok,
                       struct user_path *out)
{
    struct file *dir = NULL;
    int64_t error;

    error = copy_path(t, address, out);
    if (error)
        return error;

    char *text = out->text;

    if (!text[0] && !empty_ok) {
        path_free(out);
        return -L_ENOENT;
    }
    if (text[0] != '/' && dirfd != L_AT_FDCWD) {
        dir = user_fd_get(t, (uint64_t)(int64_t)dirfd);
        error = !dir ? -L_EBADF : 0;
        if (!error && text[0] && !file_is_directory(dir))
            error = -L_ENOTDIR;
        if (error) {
            file_put(dir);
            path_free(out);
            return error;
        }
    }
    where_get(t, out);
    out->text = text;
    out->dir = dir;
    if (dir && dir->vnode) {
        vnode_put(out->where.start);
        out->where.start = dir->vnode;
        vnode_ref(dir->vnode);
    }
    return 0;
}

int64_t path_get(struct thread *t, int dirfd, uint64_t address, struct user_path *out)
{
    return path_get_flags(t, dirfd, address, false, out);
}

void path_put(struct user_path *path)
{
    vnode_put(path->where.root);
    vnode_put(path->where.start);
    file_put(path->dir);
    if (path->text)
        path_free(path);
}

int64_t path_vnode(struct thread *t, int dirfd, uint64_t address, bool empty_ok, unsigned walk,
                   struct vnode **out)
{
    struct user_path path;
    int64_t result = path_get_flags(t, dirfd, address, empty_ok, &path);

    if (result)
        return result;
    if (path.text[0]) {
        result = user_errno(vfs_walk(&path.where, path.text, walk, out));
    } else {
        *out = path.where.start;
        vnode_ref(*out);
    }
    path_put(&path);
    return result;
}

int64_t path_open(struct thread *t, int dirfd, uint64_t address, uint32_t flags, uint32_t mode,
                  struct file **out)
{
    struct user_path path;
    int64_t result = path_get(t, dirfd, address, &path);

    if (result)
        return result;
    result = user_errno_restart(vfs_open(&path.where, path.text, flags, mode, out));
    path_put(&path);
    return result;
}
