// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_mount.c -- system calls on whole file systems: statfs, sync, mount, umount.
 *
 * Locking    none.
 */
#include "user/user_internal.h"

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
    struct vfs_statfs s;
    struct vnode *vnode;
    int64_t result = path_vnode(t, L_AT_FDCWD, a[0], false, 0, &vnode);
    vmk_status status;

    if (result)
        return result;
    status = vnode_statfs(vnode, &s);
    vnode_put(vnode);
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
    result = path_get(t, L_AT_FDCWD, a[1], &target);
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
    result = path_get(t, L_AT_FDCWD, a[0], &path);
    if (result)
        return result;
    result = user_errno(vfs_unmount(&path.where, path.text));
    path_put(&path);
    return result;
}
