// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_path.c -- system calls that take a path: open, stat, names, attributes, mounts.
 *
 * Each is its *at form; the older form is the same with AT_FDCWD. The walk, permissions and mount
 * crossings are vfs's; here are arguments, layouts and errnos.
 *
 * Locking    none.
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define CWD L_AT_FDCWD

/* ---- open ---- */

static int64_t open_at(struct thread *t, int dir, uint64_t at, uint64_t flags, uint64_t mode)
{
    struct user_path path;
    struct file *file;
    int64_t result = path_get(t, dir, at, &path);
    vmk_status status;

    if (result)
        return result;
    status = vfs_open(&path.where, path.text, (uint32_t)flags, (uint32_t)mode & VFS_MODE_BITS,
                      &file);
    path_put(&path);
    if (status != VMK_OK)
        return user_errno_restart(status);
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

/* ---- stat ---- */

static struct l_timespec timespec_of(int64_t ns)
{
    struct l_timespec ts = {ns / 1000000000, ns % 1000000000};

    if (ts.nsec < 0) {
        ts.nsec += 1000000000;
        ts.sec--;
    }
    return ts;
}

static int64_t stat_out(struct thread *t, uint64_t at, const struct vfs_attr *attr)
{
    const struct l_stat st = {
        .dev = attr->device,
        .ino = attr->inode,
        .nlink = attr->link_count,
        .mode = attr->mode,
        .uid = attr->uid,
        .gid = attr->gid,
        .rdev = attr->node_device,
        .size = (int64_t)attr->size,
        .blksize = attr->block_size,
        .blocks = (int64_t)attr->blocks,
        .atime = timespec_of(attr->atime_ns),
        .mtime = timespec_of(attr->mtime_ns),
        .ctime = timespec_of(attr->ctime_ns),
    };

    return user_out(t, at, &st, sizeof(st));
}

static int64_t attr_at(struct thread *t, int dir, uint64_t at, uint64_t flags,
                       struct vfs_attr *attr)
{
    struct user_path path;
    int64_t result;
    vmk_status status;

    if (flags &
        ~(uint64_t)(L_AT_SYMLINK_NOFOLLOW | L_AT_EMPTY_PATH | L_AT_NO_AUTOMOUNT | 0x6000))
        return -L_EINVAL;
    result = path_get_flags(t, dir, at, flags & L_AT_EMPTY_PATH, &path);
    if (result)
        return result;
    if (path.text[0])
        status = vfs_stat(&path.where, path.text,
                          flags & L_AT_SYMLINK_NOFOLLOW ? VFS_WALK_NOFOLLOW : 0, attr);
    else if (path.dir)
        status = file_getattr(path.dir, attr);
    else
        status = vnode_getattr(path.where.start, attr);
    path_put(&path);
    return user_errno(status);
}

static int64_t stat_at(struct thread *t, int dir, uint64_t at, uint64_t buf, uint64_t flags)
{
    struct vfs_attr attr;
    int64_t result = attr_at(t, dir, at, flags, &attr);

    return result ? result : stat_out(t, buf, &attr);
}

int64_t sys_stat(struct thread *t, const uint64_t *a)
{
    return stat_at(t, CWD, a[0], a[1], 0);
}

int64_t sys_lstat(struct thread *t, const uint64_t *a)
{
    return stat_at(t, CWD, a[0], a[1], L_AT_SYMLINK_NOFOLLOW);
}

int64_t sys_newfstatat(struct thread *t, const uint64_t *a)
{
    return stat_at(t, (int)a[0], a[1], a[2], a[3]);
}

int64_t sys_fstat(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct vfs_attr attr;
    vmk_status status;

    if (!file)
        return -L_EBADF;
    status = file_getattr(file, &attr);
    file_put(file);
    return status == VMK_OK ? stat_out(t, a[1], &attr) : user_errno(status);
}

static struct l_statx_time statx_time(int64_t ns)
{
    struct l_timespec ts = timespec_of(ns);

    return (struct l_statx_time){.sec = ts.sec, .nsec = (uint32_t)ts.nsec};
}

static uint32_t major_of(uint64_t device)
{
    return (uint32_t)((device >> 8 & 0xfff) | (device >> 32 & ~0xfffull));
}

static uint32_t minor_of(uint64_t device)
{
    return (uint32_t)((device & 0xff) | (device >> 12 & ~0xffull));
}

int64_t sys_statx(struct thread *t, const uint64_t *a)
{
    struct vfs_attr attr;
    int64_t result = attr_at(t, (int)a[0], a[1], a[2], &attr);
    struct l_statx x;

    if (result)
        return result;
    x = (struct l_statx){
        .mask = L_STATX_BASIC,
        .blksize = attr.block_size,
        .nlink = attr.link_count,
        .uid = attr.uid,
        .gid = attr.gid,
        .mode = (uint16_t)attr.mode,
        .ino = attr.inode,
        .size = attr.size,
        .blocks = attr.blocks,
        .atime = statx_time(attr.atime_ns),
        .mtime = statx_time(attr.mtime_ns),
        .ctime = statx_time(attr.ctime_ns),
        .rdev_major = major_of(attr.node_device),
        .rdev_minor = minor_of(attr.node_device),
        .dev_major = major_of(attr.device),
        .dev_minor = minor_of(attr.device),
    };
    return user_out(t, a[4], &x, sizeof(x));
}

/* ---- access ---- */

static int64_t access_at(struct thread *t, int dir, uint64_t at, uint64_t mode, uint64_t flags)
{
    struct process *p = t->process;
    struct vfs_cred real = p->cred;
    struct user_path path;
    struct vnode *vnode;
    vmk_status status;
    int64_t result;

    if ((mode & ~7ull) ||
        (flags & ~(uint64_t)(L_AT_EACCESS | L_AT_SYMLINK_NOFOLLOW | L_AT_EMPTY_PATH)))
        return -L_EINVAL;
    result = path_get(t, dir, at, &path);
    if (result)
        return result;
    if (!(flags & L_AT_EACCESS)) {
        real.uid = p->uid;
        real.gid = p->gid;
        path.where.cred = &real;
    }
    status = vfs_walk(&path.where, path.text,
                      flags & L_AT_SYMLINK_NOFOLLOW ? VFS_WALK_NOFOLLOW : 0, &vnode);
    if (status == VMK_OK) {
        if (mode)
            status = vnode_access(vnode, (unsigned)mode, path.where.cred);
        vnode_put(vnode);
    }
    path_put(&path);
    return user_errno(status);
}

int64_t sys_access(struct thread *t, const uint64_t *a)
{
    return access_at(t, CWD, a[0], a[1], 0);
}

int64_t sys_faccessat(struct thread *t, const uint64_t *a)
{
    return access_at(t, (int)a[0], a[1], a[2], 0);
}

int64_t sys_faccessat2(struct thread *t, const uint64_t *a)
{
    return access_at(t, (int)a[0], a[1], a[2], a[3]);
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
    struct user_path path;
    struct vnode *vnode;
    int64_t result = path_get(t, CWD, at, &path);
    vmk_status status;

    if (result)
        return result;
    status = vfs_walk(&path.where, path.text, VFS_WALK_DIRECTORY, &vnode);
    path_put(&path);
    return status == VMK_OK ? directory_set(t, vnode, root) : user_errno(status);
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
    struct vfs_attr attr;
    int64_t result;

    if (!file)
        return -L_EBADF;
    if (!file->vnode || file_getattr(file, &attr) != VMK_OK ||
        (attr.mode & VFS_TYPE_MASK) != VFS_TYPE_DIR) {
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
    struct user_path path;
    struct vnode *vnode = NULL;
    char *text;
    size_t length = 0;
    int64_t result;
    vmk_status status;

    if ((int64_t)size <= 0)
        return -L_EINVAL;
    text = heap_alloc(VFS_PATH_MAX, MEM_OWNER_USER);
    if (!text)
        return -L_ENOMEM;
    result = path_get_flags(t, dir, at, dir != CWD, &path);
    if (result) {
        heap_free(text);
        return result;
    }
    if (path.text[0]) {
        status = vfs_walk(&path.where, path.text, VFS_WALK_NOFOLLOW, &vnode);
    } else {
        vnode = path.where.start;
        vnode_ref(vnode);
        status = VMK_OK;
    }
    if (status == VMK_OK)
        status = vnode_readlink(vnode, text, VFS_PATH_MAX, &length);
    vnode_put(vnode);
    path_put(&path);
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

/* ---- attributes ---- */

static int64_t setattr_at(struct thread *t, int dir, uint64_t at, uint64_t flags,
                          const struct vfs_attr *attr, unsigned what)
{
    struct user_path path;
    struct vnode *vnode = NULL;
    int64_t result = path_get_flags(t, dir, at, flags & L_AT_EMPTY_PATH, &path);
    vmk_status status;

    if (result)
        return result;
    if (path.text[0]) {
        status = vfs_walk(&path.where, path.text,
                          flags & L_AT_SYMLINK_NOFOLLOW ? VFS_WALK_NOFOLLOW : 0, &vnode);
    } else {
        vnode = path.where.start;
        vnode_ref(vnode);
        status = VMK_OK;
    }
    if (status == VMK_OK)
        status = vnode_setattr(vnode, attr, what, &t->process->cred);
    vnode_put(vnode);
    path_put(&path);
    return user_errno(status);
}

static int64_t setattr_fd(struct thread *t, uint64_t fd, const struct vfs_attr *attr,
                          unsigned what)
{
    struct file *file = user_fd_get(t, fd);
    vmk_status status;

    if (!file)
        return -L_EBADF;
    status = file->vnode ? vnode_setattr(file->vnode, attr, what, &t->process->cred)
                         : VMK_UNSUPPORTED;
    file_put(file);
    return user_errno(status);
}

int64_t sys_chmod(struct thread *t, const uint64_t *a)
{
    const struct vfs_attr attr = {.mode = (uint32_t)a[1] & VFS_MODE_BITS};

    return setattr_at(t, CWD, a[0], 0, &attr, VFS_SET_MODE);
}

int64_t sys_fchmodat(struct thread *t, const uint64_t *a)
{
    const struct vfs_attr attr = {.mode = (uint32_t)a[2] & VFS_MODE_BITS};

    return setattr_at(t, (int)a[0], a[1], 0, &attr, VFS_SET_MODE);
}

int64_t sys_fchmod(struct thread *t, const uint64_t *a)
{
    const struct vfs_attr attr = {.mode = (uint32_t)a[1] & VFS_MODE_BITS};

    return setattr_fd(t, a[0], &attr, VFS_SET_MODE);
}

/* -1 leaves an id alone. */
static unsigned owner_request(uint64_t uid, uint64_t gid, struct vfs_attr *attr)
{
    attr->uid = (uint32_t)uid;
    attr->gid = (uint32_t)gid;
    return (attr->uid != UINT32_MAX ? VFS_SET_UID : 0) |
           (attr->gid != UINT32_MAX ? VFS_SET_GID : 0);
}

int64_t sys_chown(struct thread *t, const uint64_t *a)
{
    struct vfs_attr attr = {0};
    unsigned what = owner_request(a[1], a[2], &attr);

    return setattr_at(t, CWD, a[0], 0, &attr, what);
}

int64_t sys_lchown(struct thread *t, const uint64_t *a)
{
    struct vfs_attr attr = {0};
    unsigned what = owner_request(a[1], a[2], &attr);

    return setattr_at(t, CWD, a[0], L_AT_SYMLINK_NOFOLLOW, &attr, what);
}

int64_t sys_fchown(struct thread *t, const uint64_t *a)
{
    struct vfs_attr attr = {0};
    unsigned what = owner_request(a[1], a[2], &attr);

    return setattr_fd(t, a[0], &attr, what);
}

int64_t sys_fchownat(struct thread *t, const uint64_t *a)
{
    struct vfs_attr attr = {0};
    unsigned what = owner_request(a[2], a[3], &attr);

    return setattr_at(t, (int)a[0], a[1], a[4], &attr, what);
}

#define UTIME_NOW  0x3fffffff
#define UTIME_OMIT 0x3ffffffe
#define TIME_MAX   (INT64_MAX / 1000000000 - 1)

/* One of the two times of utimensat. False: bad. */
static bool time_request(const struct l_timespec *ts, int64_t now, int64_t *ns, unsigned bit,
                         unsigned *what, bool *set)
{
    if (ts->nsec == UTIME_OMIT)
        return true;
    *what |= bit;
    if (ts->nsec == UTIME_NOW) {
        *ns = now;
        return true;
    }
    if (ts->nsec < 0 || ts->nsec >= 1000000000)
        return false;
    *set = true;
    /* Years beyond 2262 do not fit. */
    *ns = MAX(MIN(ts->sec, TIME_MAX), -TIME_MAX) * 1000000000 + ts->nsec;
    return true;
}

static int64_t set_times(struct thread *t, int dir, uint64_t at, const struct l_timespec *times,
                         uint64_t flags)
{
    const struct l_timespec now2[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct vfs_attr attr = {0};
    int64_t now = vfs_time_now();
    unsigned what = 0;
    bool set = false;

    if (!times)
        times = now2;
    if (!time_request(&times[0], now, &attr.atime_ns, VFS_SET_ATIME, &what, &set) ||
        !time_request(&times[1], now, &attr.mtime_ns, VFS_SET_MTIME, &what, &set))
        return -L_EINVAL;
    if (!what)
        return 0;
    if (!set)
        what |= VFS_SET_NOW;
    if (!at)
        return setattr_fd(t, (uint64_t)(int64_t)dir, &attr, what);
    return setattr_at(t, dir, at, flags, &attr, what);
}

int64_t sys_utimensat(struct thread *t, const uint64_t *a)
{
    struct l_timespec times[2];

    if (a[2] && user_in(t, times, a[2], sizeof(times)))
        return -L_EFAULT;
    return set_times(t, (int)a[0], a[1], a[2] ? times : NULL, a[3]);
}

int64_t sys_utime(struct thread *t, const uint64_t *a)
{
    struct l_timespec times[2] = {{0, 0}, {0, 0}};
    int64_t seconds[2];

    if (a[1] && user_in(t, seconds, a[1], sizeof(seconds)))
        return -L_EFAULT;
    if (!a[0])
        return -L_EFAULT;
    if (a[1]) {
        times[0].sec = seconds[0];
        times[1].sec = seconds[1];
    }
    return set_times(t, CWD, a[0], a[1] ? times : NULL, 0);
}

/* ---- file systems ---- */

static int64_t statfs_out(struct thread *t, uint64_t at, const struct vfs_statfs *s)
{
    const struct l_statfs out = {
        .type = (int64_t)s->magic,
        .bsize = s->block_size,
        .blocks = s->blocks,
        .bfree = s->blocks_free,
        .bavail = s->blocks_available,
        .files = s->inodes,
        .ffree = s->inodes_free,
        .namelen = s->name_max,
        .frsize = s->block_size,
        .flags = s->flags,
    };

    return user_out(t, at, &out, sizeof(out));
}

int64_t sys_statfs(struct thread *t, const uint64_t *a)
{
    struct user_path path;
    struct vfs_statfs s;
    struct vnode *vnode;
    int64_t result = path_get(t, CWD, a[0], &path);
    vmk_status status;

    if (result)
        return result;
    status = vfs_walk(&path.where, path.text, 0, &vnode);
    if (status == VMK_OK) {
        status = vnode_statfs(vnode, &s);
        vnode_put(vnode);
    }
    path_put(&path);
    return status == VMK_OK ? statfs_out(t, a[1], &s) : user_errno(status);
}

int64_t sys_fstatfs(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct vfs_statfs s = {0};
    vmk_status status;

    if (!file)
        return -L_EBADF;
    status = file->vnode ? vnode_statfs(file->vnode, &s) : VMK_UNSUPPORTED;
    file_put(file);
    return status == VMK_OK ? statfs_out(t, a[1], &s) : user_errno(status);
}

int64_t sys_sync(struct thread *t, const uint64_t *a)
{
    (void)t;
    (void)a;
    vfs_sync();
    return 0;
}

int64_t sys_mount(struct thread *t, const uint64_t *a)
{
    struct user_path target;
    char source[64] = "none", type[32] = "", options[96] = "";
    size_t length;
    int64_t result;

    if (t->process->euid)
        return -L_EPERM;
    if (a[0] && aspace_copy_string(t->as, source, a[0], sizeof(source), &length) != VMK_OK)
        return -L_EFAULT;
    if (a[2] && aspace_copy_string(t->as, type, a[2], sizeof(type), &length) != VMK_OK)
        return -L_EFAULT;
    if (a[4] && aspace_copy_string(t->as, options, a[4], sizeof(options), &length) != VMK_OK)
        return -L_EFAULT;
    result = path_get(t, CWD, a[1], &target);
    if (result)
        return result;

    vmk_status status =
        vfs_mount(&target.where, type, source, target.text, (uint32_t)a[3] & 0xffff, options);

    result = status == VMK_NO_DEVICE && type[0] ? -L_ENODEV : user_errno(status);
    path_put(&target);
    return result;
}

int64_t sys_umount2(struct thread *t, const uint64_t *a)
{
    struct user_path path;
    int64_t result;

    if (t->process->euid)
        return -L_EPERM;
    result = path_get(t, CWD, a[0], &path);
    if (result)
        return result;
    result = user_errno(vfs_unmount(&path.where, path.text));
    path_put(&path);
    return result;
}
