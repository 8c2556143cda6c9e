// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_lock.c -- the system calls of advisory locks: fcntl's records, flock.
 *
 * fs/file_lock.c keeps the locks. POSIX records belong to a table of descriptors and go when
 * any descriptor of the file is closed there; flock and F_OFD_* belong to the open file.
 *
 * Locking    none; the file is referenced by the call.
 * Sources    fcntl(2), flock(2)
 */
#include "fs/file_lock.h"
#include "lib/string.h"
#include "user/user_internal.h"

struct l_flock {
    int16_t type, whence, pad[2];
    int64_t start, length;
    int32_t pid, pad2;
};
_Static_assert(sizeof(struct l_flock) == 32, "struct flock");

/* Where the range begins and ends, in bytes of the file. */
static int64_t range_of(struct file *file, const struct l_flock *l, struct file_lock *out)
{
    struct vfs_attr attr;
    int64_t base = 0, start, end;

    if (l->whence == 1) {
        base = (int64_t)file->offset;
    } else if (l->whence == 2) {
        vmk_status status = file_getattr(file, &attr);

        if (status != VMK_OK)
            return user_errno(status);
        base = (int64_t)attr.size;
    } else if (l->whence != 0) {
        return -L_EINVAL;
    }
    if (__builtin_add_overflow(base, l->start, &start))
        return -L_EOVERFLOW;
    if (start < 0)
        return -L_EINVAL;
    end = INT64_MAX;
    if (l->length > 0 && __builtin_add_overflow(start, l->length - 1, &end))
        return -L_EOVERFLOW;
    if (l->length < 0) {  // the bytes in front of it
        if (start + l->length < 0)
            return -L_EINVAL;
        end = start - 1;
        start += l->length;
    }
    out->start = (uint64_t)start;
    out->end = (uint64_t)end;
    return 0;
}

static int64_t lock_in(struct thread *t, struct file *file, uint64_t at, bool open_file,
                       struct l_flock *l, struct file_lock *out)
{
    static const enum file_lock_type types[] = {[L_F_RDLCK] = FILE_LOCK_READ,
                                                [L_F_WRLCK] = FILE_LOCK_WRITE,
                                                [L_F_UNLCK] = FILE_LOCK_NONE};

    if (user_in(t, l, at, sizeof(*l)))
        return -L_EFAULT;
    if (l->type < L_F_RDLCK || l->type > L_F_UNLCK || (open_file && l->pid))
        return -L_EINVAL;
    if (!file->vnode)
        return -L_EBADF;
    out->kind = FILE_LOCK_RECORD;
    out->type = types[l->type];
    out->owner = open_file ? (const void *)file : t->process->fds;
    out->pid = open_file ? -1 : (int32_t)t->process->pid;
    return range_of(file, l, out);
}

static int64_t lock_errno(vmk_status status)
{
    return status == VMK_LIMIT || status == VMK_NO_MEMORY ? -L_ENOLCK
                                                          : user_errno_restart(status);
}

int64_t fcntl_lock_get(struct thread *t, struct file *file, uint64_t at, bool open_file)
{
    struct file_lock lock;
    struct l_flock l;
    int64_t error = lock_in(t, file, at, open_file, &l, &lock);

    if (error)
        return error;
    if (lock.type == FILE_LOCK_NONE)
        return -L_EINVAL;
    if (file_lock_find(file->vnode, &lock)) {
        l.type = lock.type == FILE_LOCK_READ ? L_F_RDLCK : L_F_WRLCK;
        l.whence = 0;
        l.start = (int64_t)lock.start;
        l.length = lock.end == INT64_MAX ? 0 : (int64_t)(lock.end - lock.start + 1);
        l.pid = lock.pid;
    } else {
        l.type = L_F_UNLCK;
    }
    return user_out(t, at, &l, sizeof(l));
}

int64_t fcntl_lock_set(struct thread *t, uint64_t fd, struct file *file, uint64_t at,
                       bool open_file, bool wait)
{
    struct file_lock lock;
    struct file *now;
    struct l_flock l;
    int64_t error = lock_in(t, file, at, open_file, &l, &lock);

    if (error)
        return error;
    if ((lock.type == FILE_LOCK_READ && !file_may_read(file)) ||
        (lock.type == FILE_LOCK_WRITE && !file_may_write(file)))
        return -L_EBADF;
    error = lock_errno(file_lock_set(file->vnode, &lock, wait));
    /* Another thread may have closed the descriptor before the lock was there to be dropped. */
    now = user_fd_get(t, fd);
    if (now != file && !open_file) {
        file_locks_drop(file->vnode, lock.owner);
        error = -L_EBADF;
    }
    file_put(now);
    return error;
}

int64_t sys_flock(struct thread *t, const uint64_t *a)
{
    struct file_lock lock = {.kind = FILE_LOCK_WHOLE, .end = INT64_MAX, .pid = -1};
    struct file *file = user_fd_get(t, a[0]);
    int64_t result = -L_EINVAL;

    if (!file)
        return -L_EBADF;
    lock.owner = file;
    switch (a[1] & ~(uint64_t)L_LOCK_NB) {
    case L_LOCK_SH: lock.type = FILE_LOCK_READ; break;
    case L_LOCK_EX: lock.type = FILE_LOCK_WRITE; break;
    case L_LOCK_UN: lock.type = FILE_LOCK_NONE; break;
    default: goto out;
    }
    result =
        file->vnode ? lock_errno(file_lock_set(file->vnode, &lock, !(a[1] & L_LOCK_NB))) : 0;
out:
    file_put(file);
    return result;
}
