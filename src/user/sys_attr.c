// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_attr.c -- system calls on the attributes of files: stat, access, modes, owners, times.
 *
 * Each is its *at form; the older form is the same with AT_FDCWD.
 *
 * Locking    none.
 */
#include "user/user_internal.h"

#define CWD L_AT_FDCWD

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

/* ---- attributes ---- */

static int64_t setattr_at(struct thread *t, int dir, uint64_t at, uint64_t flags,
                          const struct vfs_attr *attr, unsigned what)
{
    struct vnode *vnode;
    int64_t result = path_vnode(t, dir, at, flags & L_AT_EMPTY_PATH,
                                flags & L_AT_SYMLINK_NOFOLLOW ? VFS_WALK_NOFOLLOW : 0, &vnode);
    vmk_status status;

    if (result)
        return result;
    status = vnode_setattr(vnode, attr, what, &t->process->cred);
    vnode_put(vnode);
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
