// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_path.c -- system calls that take a path: open, working directory, names.
 *
 * Each is its *at form; the older form is the same with AT_FDCWD. The walk, permissions and
 * mount crossings are vfs's; here are arguments, layouts and errnos. What a file says of itself
 * is in sys_attr.c, file systems as a whole are in sys_mount.c.
 *
 * Locking    none.
 */
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define CWD L_AT_FDCWD

/* ---- open ---- */

/* A file in that directory that has no name, as soon as this returns. */
static vmk_status open_unnamed(const struct vfs_where *where, const char *dir, uint32_t flags,
                               uint32_t mode, struct file **out)
{
    size_t size = strlen(dir) + 32;
    char *name = heap_alloc(size, MEM_OWNER_USER);
    uint64_t number;
    vmk_status status;

    if (!name)
        return VMK_NO_MEMORY;
    vfs_random(&number, sizeof(number));
    vmk_snprintf(name, size, "%s/.unnamed.%016llx", dir, (unsigned long long)number);
    status = vfs_open(where, name, flags | VFS_O_CREAT | VFS_O_EXCL, mode, out);
    if (status == VMK_OK)
        (void)!vfs_unlink(where, name);
    heap_free(name);
    return status;
}

static int64_t open_temporary(struct thread *t, int dir, uint64_t at, uint64_t flags,
                              uint64_t mode)
{
    uint32_t file_flags = (uint32_t)flags & ~(L_O_TMPFILE_BIT | VFS_O_DIRECTORY | VFS_O_TRUNC);
    struct user_path path;
    struct file *file;
    int64_t result;
    vmk_status status;

    if (!(flags & VFS_O_DIRECTORY) || (flags & VFS_O_ACCMODE) == VFS_O_RDONLY ||
        (flags & VFS_O_CREAT))
        return -L_EINVAL;
    result = path_get(t, dir, at, &path);
    if (result)
        return result;
    status =
        open_unnamed(&path.where, path.text, file_flags, (uint32_t)mode & VFS_MODE_BITS, &file);
    path_put(&path);
    return status == VMK_OK ? user_fd_install(t, file, 0, flags & VFS_O_CLOEXEC)
                            : user_errno_restart(status);
}

/* Memory with a descriptor: a file without a name where shared memory is. */
int64_t sys_memfd_create(struct thread *t, const uint64_t *a)
{
    struct vfs_where where = vfs_where_kernel();
    char name[250];
    struct file *file;
    size_t length;
    vmk_status status;

    if (a[1] & ~3ull)  // MFD_CLOEXEC, MFD_ALLOW_SEALING
        return -L_EINVAL;
    status = aspace_copy_string(t->as, name, a[0], sizeof(name), &length);
    if (status != VMK_OK)
        return status == VMK_NAME_TOO_LONG ? -L_EINVAL : -L_EFAULT;
    where.cred = &t->process->cred;
    status = open_unnamed(&where, "/dev/shm", VFS_O_RDWR, 0777, &file);
    return status == VMK_OK ? user_fd_install(t, file, 0, a[1] & 1) : user_errno(status);
}

static int64_t open_at(struct thread *t, int dir, uint64_t at, uint64_t flags, uint64_t mode)
{
    struct file *file;
    int64_t result;

    if (flags & L_O_TMPFILE_BIT)
        return open_temporary(t, dir, at, flags, mode);
    result = path_open(t, dir, at, (uint32_t)flags, (uint32_t)mode & VFS_MODE_BITS, &file);
    if (result)
        return result;
    if (flags & VFS_O_TRUNC)
        mm_file_cut(file->vnode, 0);
    return user_fd_install(t, file, 0, flags & VFS_O_CLOEXEC);
}

int64_t sys_open(struct thread *t, const uint64_t *a)
{
    return open_at(t, CWD, a[0], a[1], a[2]);
}

int64_t sys_openat(struct thread *t, const uint64_t *a)
{
    return open_at(t, (int)a[0], a[1], a[2], a[3]);
}

int64_t sys_creat(struct thread *t, const uint64_t *a)
{
    return open_at(t, CWD, a[0], VFS_O_CREAT | VFS_O_WRONLY | VFS_O_TRUNC, a[1]);
}

/* ---- working directory ---- */

static int64_t directory_set(struct thread *t, struct vnode *vnode, bool root)
{
    struct user_fs *fs = t->process->fs;
    struct vnode **slot = root ? &fs->root : &fs->cwd;
    struct vnode *old;
    vmk_status status = vnode_access(vnode, VFS_MAY_EXEC, &t->process->cred);

    if (status != VMK_OK) {
        vnode_put(vnode);
        return user_errno(status);
    }

    bool irqs = spin_lock(&fs->lock);

    old = *slot;
    *slot = vnode;
    spin_unlock(&fs->lock, irqs);
    vnode_put(old);
    return 0;
}

static int64_t change_directory(struct thread *t, uint64_t at, bool root)
{
    struct vnode *vnode;
    int64_t result = path_vnode(t, CWD, at, false, VFS_WALK_DIRECTORY, &vnode);

    return result ? result : directory_set(t, vnode, root);
}

int64_t sys_chdir(struct thread *t, const uint64_t *a)
{
    return change_directory(t, a[0], false);
}

int64_t sys_chroot(struct thread *t, const uint64_t *a)
{
    return t->process->euid ? -L_EPERM : change_directory(t, a[0], true);
}

int64_t sys_fchdir(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    int64_t result;

    if (!file)
        return -L_EBADF;
    if (!file_is_directory(file)) {
        file_put(file);
        return -L_ENOTDIR;
    }
    vnode_ref(file->vnode);
    result = directory_set(t, file->vnode, false);
    file_put(file);
    return result;
}

int64_t sys_getcwd(struct thread *t, const uint64_t *a)
{
    struct user_path where;
    char *text = heap_alloc(VFS_PATH_MAX, MEM_OWNER_USER);
    int64_t result;
    vmk_status status;

    if (!text)
        return -L_ENOMEM;
    where_get(t, &where);
    status = vfs_path_of(where.where.root, where.where.start, text, VFS_PATH_MAX);
    path_put(&where);
    if (status != VMK_OK) {
        result = user_errno(status);
    } else {
        size_t size = strlen(text) + 1;

        result = size > a[1] ? -L_ERANGE : user_out(t, a[0], text, size);
        if (result == 0)
            result = (int64_t)size;
    }
    heap_free(text);
    return result;
}

int64_t sys_umask(struct thread *t, const uint64_t *a)
{
    struct user_fs *fs = t->process->fs;
    bool irqs = spin_lock(&fs->lock);
    uint32_t old = fs->umask;

    fs->umask = (uint32_t)a[0] & 0777;
    spin_unlock(&fs->lock, irqs);
    return old;
}

/* ---- names ---- */

static int64_t mkdir_at(struct thread *t, int dir, uint64_t at, uint64_t mode)
{
    struct user_path path;
    int64_t result = path_get(t, dir, at, &path);

    if (result)
        return result;
    result = user_errno(vfs_mkdir(&path.where, path.text, (uint32_t)mode & VFS_MODE_BITS));
    path_put(&path);
    return result;
}

int64_t sys_mkdir(struct thread *t, const uint64_t *a)
{
    return mkdir_at(t, CWD, a[0], a[1]);
}

int64_t sys_mkdirat(struct thread *t, const uint64_t *a)
{
    return mkdir_at(t, (int)a[0], a[1], a[2]);
}

static int64_t mknod_at(struct thread *t, int dir, uint64_t at, uint64_t mode, uint64_t device)
{
    uint32_t type = (uint32_t)mode & VFS_TYPE_MASK;
    struct user_path path;
    struct file *file;
    int64_t result;
    vmk_status status;

    if ((type == VFS_TYPE_CHAR || type == VFS_TYPE_BLOCK) && t->process->euid)
        return -L_EPERM;
    result = path_get(t, dir, at, &path);
    if (result)
        return result;
    if (type == 0 || type == VFS_TYPE_REGULAR) {
        status = vfs_open(&path.where, path.text, VFS_O_CREAT | VFS_O_EXCL | VFS_O_WRONLY,
                          (uint32_t)mode & VFS_MODE_BITS, &file);
        if (status == VMK_OK)
            file_put(file);
    } else {
        status = vfs_mknod(&path.where, path.text, (uint32_t)mode, device);
    }
    path_put(&path);
    return user_errno(status);
}

int64_t sys_mknod(struct thread *t, const uint64_t *a)
{
    return mknod_at(t, CWD, a[0], a[1], a[2]);
}

int64_t sys_mknodat(struct thread *t, const uint64_t *a)
{
    return mknod_at(t, (int)a[0], a[1], a[2], a[3]);
}

static int64_t unlink_at(struct thread *t, int dir, uint64_t at, bool directory)
{
    struct user_path path;
    int64_t result = path_get(t, dir, at, &path);

    if (result)
        return result;
    result = user_errno(directory ? vfs_rmdir(&path.where, path.text)
                                  : vfs_unlink(&path.where, path.text));
    path_put(&path);
    return result;
}

int64_t sys_unlink(struct thread *t, const uint64_t *a)
{
    return unlink_at(t, CWD, a[0], false);
}

int64_t sys_rmdir(struct thread *t, const uint64_t *a)
{
    return unlink_at(t, CWD, a[0], true);
}

int64_t sys_unlinkat(struct thread *t, const uint64_t *a)
{
    if (a[2] & ~(uint64_t)L_AT_REMOVEDIR)
        return -L_EINVAL;
    return unlink_at(t, (int)a[0], a[1], a[2] & L_AT_REMOVEDIR);
}

/* Two paths of the user, both to be put, or an errno and neither. */
static int64_t paths_get(struct thread *t, int from_dir, uint64_t from_at,
                         struct user_path *from, int to_dir, uint64_t to_at,
                         struct user_path *to)
{
    int64_t result = path_get(t, from_dir, from_at, from);

    if (result)
        return result;
    result = path_get(t, to_dir, to_at, to);
    if (result)
        path_put(from);
    return result;
}

static int64_t rename_at(struct thread *t, int old_dir, uint64_t old_at, int new_dir,
                         uint64_t new_at, uint64_t flags)
{
    struct user_path from, to;
    int64_t result;

    if (flags & ~1ull)
        return -L_EINVAL;
    result = paths_get(t, old_dir, old_at, &from, new_dir, new_at, &to);
    if (result)
        return result;
    result = user_errno(vfs_rename(&from.where, from.text, &to.where, to.text,
                                   flags & 1 ? VFS_RENAME_NOREPLACE : 0));
    path_put(&to);
    path_put(&from);
    return result;
}

int64_t sys_rename(struct thread *t, const uint64_t *a)
{
    return rename_at(t, CWD, a[0], CWD, a[1], 0);
}

int64_t sys_renameat(struct thread *t, const uint64_t *a)
{
    return rename_at(t, (int)a[0], a[1], (int)a[2], a[3], 0);
}

int64_t sys_renameat2(struct thread *t, const uint64_t *a)
{
    return rename_at(t, (int)a[0], a[1], (int)a[2], a[3], a[4]);
}

static int64_t link_at(struct thread *t, int old_dir, uint64_t old_at, int new_dir,
                       uint64_t new_at, uint64_t flags)
{
    struct user_path from, to;
    vmk_status status;
    int64_t result;

    if (flags & ~(uint64_t)(L_AT_SYMLINK_FOLLOW | L_AT_EMPTY_PATH))
        return -L_EINVAL;
    result = paths_get(t, old_dir, old_at, &from, new_dir, new_at, &to);
    if (result)
        return result;
    status = vfs_link(&from.where, from.text, &to.where, to.text,
                      flags & L_AT_SYMLINK_FOLLOW ? VFS_LINK_FOLLOW : 0);
    path_put(&to);
    path_put(&from);
    return status == VMK_TOO_MANY_LINKS ? -L_EMLINK : user_errno(status);
}

int64_t sys_link(struct thread *t, const uint64_t *a)
{
    return link_at(t, CWD, a[0], CWD, a[1], 0);
}

int64_t sys_linkat(struct thread *t, const uint64_t *a)
{
    return link_at(t, (int)a[0], a[1], (int)a[2], a[3], a[4]);
}

static int64_t symlink_at(struct thread *t, uint64_t target_at, int dir, uint64_t at)
{
    struct user_path target, path;
    int64_t result = paths_get(t, CWD, target_at, &target, dir, at, &path);

    if (result)
        return result;
    result = user_errno(vfs_symlink(&path.where, target.text, path.text));
    path_put(&path);
    path_put(&target);
    return result;
}

int64_t sys_symlink(struct thread *t, const uint64_t *a)
{
    return symlink_at(t, a[0], CWD, a[1]);
}

int64_t sys_symlinkat(struct thread *t, const uint64_t *a)
{
    return symlink_at(t, a[0], (int)a[1], a[2]);
}

static int64_t readlink_at(struct thread *t, int dir, uint64_t at, uint64_t buf, uint64_t size)
{
    struct vnode *vnode;
    char *text;
    size_t length = 0;
    int64_t result;
    vmk_status status;

    if ((int64_t)size <= 0)
        return -L_EINVAL;
    text = heap_alloc(VFS_PATH_MAX, MEM_OWNER_USER);
    if (!text)
        return -L_ENOMEM;
    result = path_vnode(t, dir, at, dir != CWD, VFS_WALK_NOFOLLOW, &vnode);
    if (result) {
        heap_free(text);
        return result;
    }
    status = vnode_readlink(vnode, text, VFS_PATH_MAX, &length);
    vnode_put(vnode);
    result = status == VMK_UNSUPPORTED ? -L_EINVAL : user_errno(status);
    length = MIN(length, (size_t)MIN(size, (uint64_t)VFS_PATH_MAX));
    if (!result)
        result = user_out(t, buf, text, length);
    heap_free(text);
    return result ? result : (int64_t)length;
}

int64_t sys_readlink(struct thread *t, const uint64_t *a)
{
    return readlink_at(t, CWD, a[0], a[1], a[2]);
}

int64_t sys_readlinkat(struct thread *t, const uint64_t *a)
{
    return readlink_at(t, (int)a[0], a[1], a[2], a[3]);
}
