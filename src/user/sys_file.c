// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_file.c -- system calls on an open file's bytes: read, write, seek, truncate, sync.
 *
 * vfs moves bytes in kernel memory, so data goes through a buffer: small requests through one
 * on the stack, others through 16 KB from the pool, round by round. After the first round a
 * file that is not seekable is only asked again if it is ready, so that a long read from a pipe
 * does not wait for bytes that nobody sends.
 *
 * Invariants
 *   - A call that moved some bytes returns how many, whatever came after.
 * Locking    none; files carry their own.
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define SMALL_SIZE 512u

struct transfer {
    struct thread *t;
    struct file *file;
    bool at_offset;
    bool write;
    uint64_t offset;
    uint64_t done;
    uint8_t *buffer;
    size_t buffer_size;
};

int64_t transfer_error(struct thread *t, vmk_status status)
{
    if (status == VMK_BROKEN_PIPE)
        signal_send(t->process, t, L_SIGPIPE, NULL);
    if (status == VMK_UNSUPPORTED)
        return -L_EINVAL;
    return user_errno_restart(status);
}

/* RLIMIT_FSIZE: 0, or an errno when nothing may be written; *size is cut to what may. */
static int64_t size_limit(struct transfer *x, uint64_t *size)
{
    uint64_t limit = x->t->process->limits[L_RLIMIT_FSIZE].current;
    uint64_t at = x->at_offset ? x->offset : x->file->offset;

    if (limit == L_RLIM_INFINITY || !x->write || !x->file->ops->seekable)
        return 0;
    if (at >= limit) {
        signal_send(x->t->process, x->t, L_SIGXFSZ, NULL);
        return -L_EFBIG;
    }
    *size = MIN(*size, limit - at);
    return 0;
}

/*
 * One piece, at most a buffer. Returns bytes moved or minus an errno; sets *end at a short one.
 */
static int64_t move_piece(struct transfer *x, uint64_t user, size_t size, bool *end)
{
    struct vfs_iov iov = {.size = size, .offset = x->offset};
    vmk_status status;

    iov.nonblock = x->file->flags & VFS_O_NONBLOCK;
    if (x->write) {
        size_t got = aspace_copy_in_some(x->t->as, x->buffer, user, size);

        if (got == 0 && size)
            return -L_EFAULT;
        iov.size = got;
        iov.from = x->buffer;
        *end = got < size;
        status = file_write_iov(x->file, &iov, x->at_offset);
    } else {
        iov.to = x->buffer;
        *end = false;
        status = file_read_iov(x->file, &iov, x->at_offset);
    }
    if (status != VMK_OK)
        return transfer_error(x->t, status);
    *end |= iov.done < iov.size;
    if (!x->write && iov.done) {
        size_t put = aspace_copy_out_some(x->t->as, user, x->buffer, iov.done);

        if (put < iov.done) {
            *end = true;
            if (put == 0)
                return -L_EFAULT;
            iov.done = put;
        }
    }
    x->offset += iov.done;
    return (int64_t)iov.done;
}

/* May the next round go on without waiting? */
static bool goes_on(struct transfer *x)
{
    if (x->file->ops->seekable || x->write)
        return true;
    return file_poll(x->file, NULL) & (VFS_POLLIN | VFS_POLLHUP);
}

/* One user range. True: the whole request is over. */
static bool move_range(struct transfer *x, uint64_t user, uint64_t size, int64_t *error)
{
    uint64_t left = size;

    do {
        size_t part = (size_t)MIN(left, (uint64_t)x->buffer_size);
        bool end;
        int64_t moved;

        if (x->done && !goes_on(x))
            return true;
        moved = move_piece(x, user, part, &end);
        if (moved < 0) {
            *error = moved;
            return true;
        }
        x->done += (uint64_t)moved;
        user += (uint64_t)moved;
        left -= (uint64_t)moved;
        if (end || (x->done && signal_pending(x->t) && !x->file->ops->seekable))
            return true;
    } while (left);
    return false;
}

static int64_t transfer(struct thread *t, uint64_t fd, const struct l_iovec *iov,
                        unsigned count, bool write, bool at_offset, uint64_t offset)
{
    uint8_t small[SMALL_SIZE];
    struct transfer x = {.t = t, .at_offset = at_offset, .write = write, .offset = offset};
    uint64_t total = 0;
    int64_t error = 0;

    for (unsigned i = 0; i < count; i++) {
        if (iov[i].size > INT64_MAX || total + iov[i].size > INT64_MAX)
            return -L_EINVAL;
        total += iov[i].size;
    }
    total = MIN(total, USER_TRANSFER_MAX);
    if (at_offset && (int64_t)offset < 0)
        return -L_EINVAL;
    x.file = user_fd_get(t, fd);
    if (!x.file)
        return -L_EBADF;
    if (write ? !file_may_write(x.file) : !file_may_read(x.file)) {
        file_put(x.file);
        return -L_EBADF;
    }
    x.buffer = small;
    x.buffer_size = sizeof(small);
    if (total > sizeof(small)) {
        x.buffer = buffer_get();
        x.buffer_size = USER_BUFFER_SIZE;
        if (!x.buffer) {
            x.buffer = small;
            x.buffer_size = sizeof(small);
        }
    }
    error = size_limit(&x, &total);
    for (unsigned i = 0; i < count && !error; i++) {
        uint64_t size = MIN(iov[i].size, total - x.done);

        if (size == 0 && count > 1)
            continue;
        if (move_range(&x, iov[i].base, size, &error))
            break;
    }
    if (x.buffer != small)
        buffer_put(x.buffer);
    file_put(x.file);
    return x.done ? (int64_t)x.done : error;
}

/*
 * readv and writev with small pieces: gathered first, so that what a program writes in one call
 * goes to a pipe or a terminal in one piece.
 */
static int64_t transfer_vector(struct thread *t, uint64_t fd, uint64_t at, uint64_t count,
                               bool write, bool at_offset, uint64_t offset)
{
    struct l_iovec small[8], *iov = small;
    uint64_t total = 0;
    int64_t result;

    if (count > L_IOV_MAX)
        return -L_EINVAL;
    if (count > ARRAY_COUNT(small)) {
        iov = heap_alloc(count * sizeof(*iov), MEM_OWNER_USER);
        if (!iov)
            return -L_ENOMEM;
    }
    result = user_in(t, iov, at, count * sizeof(*iov));
    if (result == 0) {
        for (unsigned i = 0; i < count; i++)
            total += iov[i].size <= USER_BUFFER_SIZE ? iov[i].size : USER_BUFFER_SIZE + 1;
        if (write && count > 1 && total <= USER_BUFFER_SIZE && total > 0) {
            uint8_t *buffer = buffer_get();
            struct vfs_iov v = {.from = buffer, .offset = offset};
            struct file *file = user_fd_get(t, fd);
            vmk_status status = VMK_NO_MEMORY;

            result = !file ? -L_EBADF : !file_may_write(file) ? -L_EBADF : 0;
            for (unsigned i = 0; i < count && buffer && result == 0; i++) {
                result = user_in(t, buffer + v.size, iov[i].base, iov[i].size);
                v.size += iov[i].size;
            }
            if (result == 0 && buffer && file) {
                v.nonblock = file->flags & VFS_O_NONBLOCK;
                status = file_write_iov(file, &v, at_offset);
                result = status == VMK_OK ? (int64_t)v.done : transfer_error(t, status);
            } else if (result == 0) {
                result = -L_ENOMEM;
            }
            file_put(file);
            buffer_put(buffer);
        } else {
            result = transfer(t, fd, iov, (unsigned)count, write, at_offset, offset);
        }
    }
    if (iov != small)
        heap_free(iov);
    return result;
}

int64_t sys_read(struct thread *t, const uint64_t *a)
{
    const struct l_iovec iov = {a[1], a[2]};

    return transfer(t, a[0], &iov, 1, false, false, 0);
}

int64_t sys_write(struct thread *t, const uint64_t *a)
{
    const struct l_iovec iov = {a[1], a[2]};

    return transfer(t, a[0], &iov, 1, true, false, 0);
}

int64_t sys_pread64(struct thread *t, const uint64_t *a)
{
    const struct l_iovec iov = {a[1], a[2]};

    return transfer(t, a[0], &iov, 1, false, true, a[3]);
}

int64_t sys_pwrite64(struct thread *t, const uint64_t *a)
{
    const struct l_iovec iov = {a[1], a[2]};

    return transfer(t, a[0], &iov, 1, true, true, a[3]);
}

int64_t sys_readv(struct thread *t, const uint64_t *a)
{
    return transfer_vector(t, a[0], a[1], a[2], false, false, 0);
}

int64_t sys_writev(struct thread *t, const uint64_t *a)
{
    return transfer_vector(t, a[0], a[1], a[2], true, false, 0);
}

/* RWF_*: HIPRI, DSYNC and SYNC are what happens anyway. */
#define RWF_GRANTED 7u

static int64_t transfer_vector2(struct thread *t, const uint64_t *a, bool write)
{
    if (a[5] & ~(uint64_t)RWF_GRANTED)
        return -L_EOPNOTSUPP;
    return transfer_vector(t, a[0], a[1], a[2], write, a[3] != UINT64_MAX, a[3]);
}

int64_t sys_preadv2(struct thread *t, const uint64_t *a)
{
    return transfer_vector2(t, a, false);
}

int64_t sys_pwritev2(struct thread *t, const uint64_t *a)
{
    return transfer_vector2(t, a, true);
}

int64_t sys_preadv(struct thread *t, const uint64_t *a)
{
    return transfer_vector(t, a[0], a[1], a[2], false, true, a[3]);
}

int64_t sys_pwritev(struct thread *t, const uint64_t *a)
{
    return transfer_vector(t, a[0], a[1], a[2], true, true, a[3]);
}

/* ---- position, size, state ---- */

/* Every byte of a file counts as data, and its end is the one hole. */
static int64_t seek_data(struct file *file, uint64_t from, bool hole)
{
    struct vfs_attr attr;
    uint64_t position;
    vmk_status status = file_getattr(file, &attr);

    if (status == VMK_OK && !file->ops->seekable)
        status = VMK_BAD_SEEK;
    if (status == VMK_OK && from >= attr.size)
        status = VMK_NO_DEVICE;
    if (status == VMK_OK)
        status = file_seek(file, (int64_t)(hole ? attr.size : from), VFS_SEEK_SET, &position);
    return status == VMK_OK ? (int64_t)position : user_errno(status);
}

int64_t sys_lseek(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    uint64_t position;
    vmk_status status;

    if (!file)
        return -L_EBADF;
    if (a[2] == L_SEEK_DATA || a[2] == L_SEEK_HOLE) {
        int64_t result = seek_data(file, a[1], a[2] == L_SEEK_HOLE);

        file_put(file);
        return result;
    }
    status = a[2] > VFS_SEEK_END ? VMK_BAD_PARAM
                                 : file_seek(file, (int64_t)a[1], (unsigned)a[2], &position);
    file_put(file);
    return status == VMK_OK ? (int64_t)position : user_errno(status);
}

static int64_t sync_file(struct thread *t, uint64_t fd, bool data_only)
{
    struct file *file = user_fd_get(t, fd);
    vmk_status status;

    if (!file)
        return -L_EBADF;
    status = file_fsync(file, data_only);
    file_put(file);
    return user_errno(status);
}

int64_t sys_fsync(struct thread *t, const uint64_t *a)
{
    return sync_file(t, a[0], false);
}

int64_t sys_fdatasync(struct thread *t, const uint64_t *a)
{
    return sync_file(t, a[0], true);
}

/* May a file of this process get that size? */
static int64_t size_check(struct thread *t, uint64_t size)
{
    if ((int64_t)size < 0)
        return -L_EINVAL;
    if (size <= t->process->limits[L_RLIMIT_FSIZE].current)
        return 0;
    signal_send(t->process, t, L_SIGXFSZ, NULL);
    return -L_EFBIG;
}

static int64_t truncate_file(struct thread *t, struct file *file, uint64_t size)
{
    int64_t error = size_check(t, size);
    vmk_status status;

    if (error)
        return error;
    if (!file_may_write(file))
        return -L_EINVAL;
    status = file_truncate(file, size);
    if (status == VMK_OK)
        mm_file_cut(file->vnode, size);
    return status == VMK_UNSUPPORTED ? -L_EINVAL : user_errno(status);
}

int64_t sys_ftruncate(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    int64_t result;

    if (!file)
        return -L_EBADF;
    result = truncate_file(t, file, a[1]);
    file_put(file);
    return result;
}

int64_t sys_truncate(struct thread *t, const uint64_t *a)
{
    const struct vfs_attr attr = {.size = a[1]};
    struct vnode *vnode;
    vmk_status status;
    int64_t error = path_vnode(t, L_AT_FDCWD, a[0], false, 0, &vnode);

    if (error)
        return error;
    error = size_check(t, a[1]);
    if (!error) {
        status = vnode_setattr(vnode, &attr, VFS_SET_SIZE, &t->process->cred);
        if (status == VMK_OK)
            mm_file_cut(vnode, a[1]);
        error = status == VMK_UNSUPPORTED ? -L_EINVAL : user_errno(status);
    }
    vnode_put(vnode);
    return error;
}

int64_t sys_fallocate(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct vfs_attr attr;
    int64_t result = 0;

    if (!file)
        return -L_EBADF;
    if (a[1])
        result = -L_EOPNOTSUPP;
    else if ((int64_t)a[2] < 0 || (int64_t)a[3] <= 0 || (int64_t)(a[2] + a[3]) < 0)
        result = -L_EINVAL;
    else if (!file_may_write(file))
        result = -L_EBADF;
    else if (file_getattr(file, &attr) == VMK_OK && attr.size < a[2] + a[3])
        result = truncate_file(t, file, a[2] + a[3]);
    file_put(file);
    return result;
}

/* What is granted to every open file and changes nothing. */
static int64_t granted(struct thread *t, uint64_t fd)
{
    struct file *file = user_fd_get(t, fd);

    file_put(file);
    return file ? 0 : -L_EBADF;
}

int64_t sys_fadvise64(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    int64_t result = !file                                ? -L_EBADF
                     : file_is_pipe(file)                 ? -L_ESPIPE
                     : (uint32_t)a[3] > L_POSIX_FADV_LAST ? -L_EINVAL
                                                          : 0;

    file_put(file);
    return result;
}

int64_t sys_readahead(struct thread *t, const uint64_t *a)
{
    return granted(t, a[0]);
}

int64_t sys_sync_file_range(struct thread *t, const uint64_t *a)
{
    return sync_file(t, a[0], true);
}

int64_t sys_syncfs(struct thread *t, const uint64_t *a)
{
    int64_t result = granted(t, a[0]);

    if (!result)
        vfs_sync();
    return result;
}
