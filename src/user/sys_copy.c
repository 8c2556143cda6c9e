// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_copy.c -- system calls that move bytes from file to file: sendfile, copy_file_range, splice.
 *
 * All three copy through a buffer in the kernel. What was read and cannot be written is given
 * back to a file that has an offset; a pipe cannot take it back.
 *
 * Invariants
 *   - A call that moved some bytes returns how many, whatever came after.
 * Locking    none; files carry their own.
 */
#include "user/user_internal.h"

/* Offsets of the user: null means the file's own. */
static int64_t file_to_file(struct thread *t, uint64_t in_fd, uint64_t in_at, uint64_t out_fd,
                            uint64_t out_at, uint64_t size)
{
    struct file *in = user_fd_get(t, in_fd), *out = user_fd_get(t, out_fd);
    uint64_t in_offset = 0, out_offset = 0, done = 0;
    uint8_t *buffer = NULL;
    int64_t error = 0;

    if (!in || !out || !file_may_read(in) || !file_may_write(out))
        error = -L_EBADF;
    else if (!in->ops->seekable)
        error = -L_EINVAL;
    if (!error && in_at)
        error = user_in(t, &in_offset, in_at, sizeof(in_offset));
    if (!error && out_at)
        error = user_in(t, &out_offset, out_at, sizeof(out_offset));
    if (!error && !(buffer = buffer_get()))
        error = -L_ENOMEM;
    size = MIN(size, USER_TRANSFER_MAX);
    while (!error && done < size) {
        struct vfs_iov from = {.to = buffer, .offset = in_offset};
        struct vfs_iov to = {.from = buffer, .offset = out_offset};
        vmk_status status;

        from.size = (size_t)MIN(size - done, (uint64_t)USER_BUFFER_SIZE);
        status = file_read_iov(in, &from, in_at);
        if (status != VMK_OK) {
            error = transfer_error(t, status);
            break;
        }
        if (from.done == 0)
            break;
        to.size = from.done;
        to.nonblock = out->flags & VFS_O_NONBLOCK;
        status = file_write_iov(out, &to, out_at);
        if (status != VMK_OK)
            to.done = 0;
        if (to.done < from.done && !in_at)  // give back what was read in vain
            (void)!file_seek(in, (int64_t)to.done - (int64_t)from.done, VFS_SEEK_CUR,
                             &in_offset);
        in_offset += in_at ? to.done : 0;
        out_offset += to.done;
        done += to.done;
        if (status != VMK_OK) {
            error = transfer_error(t, status);
            break;
        }
        if (to.done < from.done || signal_pending(t))
            break;
    }
    if (in_at && done)
        (void)!user_out(t, in_at, &in_offset, sizeof(in_offset));
    if (out_at && done)
        (void)!user_out(t, out_at, &out_offset, sizeof(out_offset));
    buffer_put(buffer);
    file_put(in);
    file_put(out);
    return done ? (int64_t)done : error;
}

int64_t sys_sendfile(struct thread *t, const uint64_t *a)
{
    return file_to_file(t, a[1], a[2], a[0], 0, a[3]);
}

/*
 * splice: between a pipe and something, through a buffer. What was taken out of one and the
 * other does not take would be lost, so it is written to the end whatever O_NONBLOCK says; who
 * asks not to block has to find the other side ready.
 */
#define SPLICE_NONBLOCK 2u
#define SPLICE_KNOWN    15u

static int64_t splice_piece(struct thread *t, struct file *in, bool in_at, uint64_t *in_offset,
                            struct file *out, bool out_at, uint64_t *out_offset, size_t size,
                            bool nonblock)
{
    uint8_t *buffer = buffer_get();
    struct vfs_iov from = {.to = buffer, .offset = *in_offset};
    vmk_status status;
    size_t done = 0;

    if (!buffer)
        return -L_ENOMEM;
    from.size = MIN(size, (size_t)VFS_PIPE_ATOMIC);
    from.nonblock = nonblock || (in->flags & VFS_O_NONBLOCK);
    status = file_read_iov(in, &from, in_at);
    while (status == VMK_OK && done < from.done) {
        struct vfs_iov to = {
            .from = buffer + done, .size = from.done - done, .offset = *out_offset + done};

        status = file_write_iov(out, &to, out_at);
        done += to.done;
        if (status == VMK_INTERRUPTED && done)
            status = VMK_OK;
    }
    buffer_put(buffer);
    *in_offset += done;
    *out_offset += done;
    return done ? (int64_t)done : transfer_error(t, status);
}

static int64_t splice(struct thread *t, const uint64_t *a, struct file *in, struct file *out)
{
    uint64_t in_offset = 0, out_offset = 0;
    bool nonblock = a[5] & SPLICE_NONBLOCK;
    bool in_pipe = !in->ops->seekable, out_pipe = !out->ops->seekable;
    int64_t error = 0;

    if (!file_may_read(in) || !file_may_write(out))
        return -L_EBADF;
    if ((!in_pipe && !out_pipe) || (a[5] & ~(uint64_t)SPLICE_KNOWN) ||
        (out->flags & VFS_O_APPEND))
        return -L_EINVAL;
    if ((a[1] && in_pipe) || (a[3] && out_pipe))
        return -L_ESPIPE;
    if (a[1])
        error = user_in(t, &in_offset, a[1], sizeof(in_offset));
    if (!error && a[3])
        error = user_in(t, &out_offset, a[3], sizeof(out_offset));
    if (error || a[4] == 0)
        return error;
    if (nonblock && !(file_poll(out, NULL) & VFS_POLLOUT))
        return -L_EAGAIN;
    error = splice_piece(t, in, a[1], &in_offset, out, a[3], &out_offset,
                         (size_t)MIN(a[4], USER_TRANSFER_MAX), nonblock);
    if (error > 0 && ((a[1] && user_out(t, a[1], &in_offset, sizeof(in_offset))) ||
                      (a[3] && user_out(t, a[3], &out_offset, sizeof(out_offset)))))
        return -L_EFAULT;
    return error;
}

int64_t sys_splice(struct thread *t, const uint64_t *a)
{
    struct file *in = user_fd_get(t, a[0]), *out = user_fd_get(t, a[2]);
    int64_t result = in && out ? splice(t, a, in, out) : -L_EBADF;

    file_put(in);
    file_put(out);
    return result;
}

/* What is in one pipe, and stays there, once more into another. */
static int64_t tee(struct thread *t, struct file *in, struct file *out, size_t size,
                   bool nonblock)
{
    uint8_t *buffer = buffer_get();
    struct vfs_iov from = {.to = buffer, .size = MIN(size, (size_t)VFS_PIPE_ATOMIC)};
    struct vfs_iov to = {.from = buffer};
    vmk_status status;

    if (!buffer)
        return -L_ENOMEM;
    from.nonblock = nonblock || (in->flags & VFS_O_NONBLOCK);
    status = pipe_peek(in, &from);
    to.size = from.done;
    to.nonblock = nonblock || (out->flags & VFS_O_NONBLOCK);
    if (status == VMK_OK && to.size)
        status = file_write_iov(out, &to, false);
    buffer_put(buffer);
    return to.done ? (int64_t)to.done : transfer_error(t, status);
}

int64_t sys_tee(struct thread *t, const uint64_t *a)
{
    struct file *in = user_fd_get(t, a[0]), *out = user_fd_get(t, a[1]);
    int64_t result;

    if (!in || !out || !file_may_read(in) || !file_may_write(out))
        result = -L_EBADF;
    else if ((a[3] & ~(uint64_t)SPLICE_KNOWN) || !file_is_pipe(in) || !file_is_pipe(out) ||
             in->private == out->private)
        result = -L_EINVAL;
    else
        result = a[2] ? tee(t, in, out, (size_t)a[2], a[3] & SPLICE_NONBLOCK) : 0;
    file_put(in);
    file_put(out);
    return result;
}

int64_t sys_copy_file_range(struct thread *t, const uint64_t *a)
{
    return a[5] ? -L_EINVAL : file_to_file(t, a[0], a[1], a[2], a[3], a[4]);
}
