// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_file.c -- system calls on descriptors: read, write, seek, dup, fcntl, ioctl, pipes.
 *
 * vfs moves bytes in kernel memory, so data goes through a buffer: small requests through one on the
 * stack, others through 16 KB from the pool, round by round. After the first round a file that is
 * not seekable is only asked again if it is ready, so that a long read from a pipe does not wait for
 * bytes that nobody sends.
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

/* One piece, at most a buffer. Returns bytes moved or minus an errno; sets *end at a short one. */
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

/* readv and writev with small pieces: gathered first, so that what a program writes in one call goes
 * to a pipe or a terminal in one piece. */
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

static int64_t truncate_file(struct thread *t, struct file *file, uint64_t size)
{
    vmk_status status;

    if ((int64_t)size < 0)
        return -L_EINVAL;
    if (size > t->process->limits[L_RLIMIT_FSIZE].current) {
        signal_send(t->process, t, L_SIGXFSZ, NULL);
        return -L_EFBIG;
    }
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
    struct file *file;
    int64_t result = path_open(t, L_AT_FDCWD, a[0], VFS_O_WRONLY | VFS_O_NONBLOCK, 0, &file);

    if (result)
        return result;
    result = truncate_file(t, file, a[1]);
    file_put(file);
    return result;
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
    return granted(t, a[0]);
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

/* ---- descriptors ---- */

int64_t sys_close(struct thread *t, const uint64_t *a)
{
    return user_fd_close(t, a[0] <= UINT32_MAX ? a[0] : UINT64_MAX);
}

int64_t sys_close_range(struct thread *t, const uint64_t *a)
{
    uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1], fd;
    struct user_fds *fds = t->process->fds;

    if (first > last || (a[2] & ~4ull))
        return -L_EINVAL;
    while (fds_next(fds, first, &fd, NULL) && fd <= last) {
        if (a[2] & 4) {  // CLOSE_RANGE_CLOEXEC
            bool irqs = spin_lock(&fds->lock);

            if (fd < fds->size)
                fds->entries[fd].cloexec = true;
            spin_unlock(&fds->lock, irqs);
        } else {
            (void)user_fd_close(t, fd);
        }
        if (fd == UINT32_MAX)
            break;
        first = fd + 1;
    }
    return 0;
}

int64_t sys_dup(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);

    return file ? user_fd_install(t, file, 0, false) : -L_EBADF;
}

static int64_t dup_to(struct thread *t, uint64_t from, uint64_t to, bool cloexec)
{
    struct file *file = user_fd_get(t, from);

    if (!file)
        return -L_EBADF;
    return user_fd_replace(t, file, to, cloexec);
}

int64_t sys_dup2(struct thread *t, const uint64_t *a)
{
    if (a[0] == a[1]) {
        struct file *file = user_fd_get(t, a[0]);

        file_put(file);
        return file ? (int64_t)a[1] : -L_EBADF;
    }
    return dup_to(t, a[0], a[1], false);
}

int64_t sys_dup3(struct thread *t, const uint64_t *a)
{
    if (a[0] == a[1] || (a[2] & ~(uint64_t)VFS_O_CLOEXEC))
        return -L_EINVAL;
    return dup_to(t, a[0], a[1], a[2] & VFS_O_CLOEXEC);
}

static int64_t make_pipe(struct thread *t, uint64_t at, uint64_t flags)
{
    struct file *ends[2];
    int32_t fds[2];
    int64_t result;
    vmk_status status;

    if (flags & ~(uint64_t)(VFS_O_CLOEXEC | VFS_O_NONBLOCK | VFS_O_DIRECT))
        return -L_EINVAL;
    status = pipe_create((uint32_t)flags & VFS_O_NONBLOCK, &ends[0], &ends[1]);
    if (status != VMK_OK)
        return user_errno(status);
    result = user_fd_install(t, ends[0], 0, flags & VFS_O_CLOEXEC);
    if (result < 0) {
        file_put(ends[1]);
        return result;
    }
    fds[0] = (int32_t)result;
    result = user_fd_install(t, ends[1], 0, flags & VFS_O_CLOEXEC);
    if (result < 0) {
        (void)user_fd_close(t, (uint64_t)fds[0]);
        return result;
    }
    fds[1] = (int32_t)result;
    result = user_out(t, at, fds, sizeof(fds));
    if (result) {
        (void)user_fd_close(t, (uint64_t)fds[0]);
        (void)user_fd_close(t, (uint64_t)fds[1]);
    }
    return result;
}

int64_t sys_pipe(struct thread *t, const uint64_t *a)
{
    return make_pipe(t, a[0], 0);
}

int64_t sys_pipe2(struct thread *t, const uint64_t *a)
{
    return make_pipe(t, a[0], a[1]);
}

static int64_t fd_flags(struct thread *t, uint64_t fd, const bool *set)
{
    struct user_fds *fds = t->process->fds;
    bool irqs = spin_lock(&fds->lock);
    int64_t result = -L_EBADF;

    if (fd < fds->size && fds->entries[fd].file) {
        result = set ? 0 : fds->entries[fd].cloexec;
        if (set)
            fds->entries[fd].cloexec = *set;
    }
    spin_unlock(&fds->lock, irqs);
    return result;
}

int64_t sys_fcntl(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    bool cloexec = a[2] & L_FD_CLOEXEC;
    int64_t result = -L_EINVAL;

    if (!file)
        return -L_EBADF;
    switch (a[1]) {
    case L_F_DUPFD:
    case L_F_DUPFD_CLOEXEC:
        if (a[2] >= t->process->limits[L_RLIMIT_NOFILE].current)
            break;
        return user_fd_install(t, file, (uint32_t)a[2], a[1] == L_F_DUPFD_CLOEXEC);
    case L_F_GETFD: result = fd_flags(t, a[0], NULL); break;
    case L_F_SETFD: result = fd_flags(t, a[0], &cloexec); break;
    case L_F_GETFL:
        result = (int64_t)(__atomic_load_n(&file->flags, __ATOMIC_RELAXED) | VFS_O_LARGEFILE);
        break;
    case L_F_SETFL:
        file_flags_set(file, (uint32_t)a[2]);
        result = 0;
        break;
    case L_F_GETLK:
    case L_F_OFD_GETLK: result = fcntl_lock_get(t, file, a[2], a[1] == L_F_OFD_GETLK); break;
    case L_F_SETLK:
    case L_F_SETLKW:
        result = fcntl_lock_set(t, a[0], file, a[2], false, a[1] == L_F_SETLKW);
        break;
    case L_F_OFD_SETLK:
    case L_F_OFD_SETLKW:
        result = fcntl_lock_set(t, a[0], file, a[2], true, a[1] == L_F_OFD_SETLKW);
        break;
    case L_F_SETOWN: result = 0; break;
    case L_F_GETOWN: result = 0; break;
    case L_F_GETPIPE_SZ: result = 65536; break;
    default: break;
    }
    file_put(file);
    return result;
}

#define IOCTL_DATA_MAX 4096u

int64_t sys_ioctl(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    uint32_t request = (uint32_t)a[1];
    uint8_t small[256];
    void *data = NULL;
    unsigned direction = 0;
    bool on = request == L_FIOCLEX;
    vmk_status status;
    int64_t result = 0;
    size_t size;

    if (!file)
        return -L_EBADF;
    if (request == L_FIOCLEX || request == L_FIONCLEX) {
        file_put(file);
        return fd_flags(t, a[0], &on);
    }
    if (request == L_FIONBIO) {
        int32_t value;

        result = user_in(t, &value, a[2], sizeof(value));
        if (!result)
            file_flags_set(file, value ? file->flags | VFS_O_NONBLOCK
                                       : file->flags & ~VFS_O_NONBLOCK);
        file_put(file);
        return result;
    }
    size = vfs_ioctl_shape(request, &direction);
    if (size > IOCTL_DATA_MAX)
        result = -L_EINVAL;
    else if (size > sizeof(small))
        data = heap_alloc(size, MEM_OWNER_USER);
    else if (size)
        data = memset(small, 0, sizeof(small));
    if (!result && size && !data)
        result = -L_ENOMEM;
    if (!result && (direction & 1))
        result = user_in(t, data, a[2], size);
    if (!result) {
        status = file_ioctl(file, request, a[2], data);
        result = status == VMK_UNSUPPORTED ? -L_ENOTTY : user_errno_restart(status);
    }
    if (!result && (direction & 2))
        result = user_out(t, a[2], data, size);
    if (data != small)
        heap_free(data);
    file_put(file);
    return result;
}

/* ---- directories ---- */

struct dents_sink {
    struct vfs_dir_sink sink;
    uint8_t *buffer;
    size_t room, used;
    bool old;   // getdents: the type is the last byte
    bool full;  // an entry did not fit
};

static bool dents_emit(struct vfs_dir_sink *sink, const char *name, size_t length,
                       uint64_t inode, uint32_t type, uint64_t next)
{
    struct dents_sink *s = container_of(sink, struct dents_sink, sink);
    size_t head = s->old ? 18 : offsetof(struct l_dirent64, name);
    size_t size = (size_t)round_up(head + length + 1 + (s->old ? 1 : 0), 8);
    uint8_t *at = s->buffer + s->used;
    uint16_t record = (uint16_t)size;
    uint8_t kind = (uint8_t)((type & VFS_TYPE_MASK) >> 12);

    if (size > s->room - s->used) {
        s->full = true;
        return false;
    }
    memset(at, 0, size);
    memcpy(at, &inode, 8);
    memcpy(at + 8, &next, 8);
    memcpy(at + 16, &record, 2);
    if (!s->old)
        at[18] = kind;
    memcpy(at + head, name, length);
    if (s->old)
        at[size - 1] = kind;
    s->used += size;
    return true;
}

static int64_t read_directory(struct thread *t, const uint64_t *a, bool old)
{
    struct file *file = user_fd_get(t, a[0]);
    struct dents_sink s = {.sink = {dents_emit}, .old = old};
    int64_t result;
    vmk_status status;

    if (!file)
        return -L_EBADF;
    s.buffer = buffer_get();
    if (!s.buffer) {
        file_put(file);
        return -L_ENOMEM;
    }
    s.room = (size_t)MIN(a[2] & UINT32_MAX, (uint64_t)USER_BUFFER_SIZE);
    status = file_readdir(file, &s.sink);
    if (status == VMK_UNSUPPORTED)
        status = VMK_NOT_DIR;
    if (status != VMK_OK && !s.used)
        result = user_errno(status);
    else if (s.used == 0 && s.full)
        result = -L_EINVAL;
    else
        result = user_out(t, a[1], s.buffer, s.used);
    buffer_put(s.buffer);
    file_put(file);
    return result ? result : (int64_t)s.used;
}

int64_t sys_getdents64(struct thread *t, const uint64_t *a)
{
    return read_directory(t, a, false);
}

int64_t sys_getdents(struct thread *t, const uint64_t *a)
{
    return read_directory(t, a, true);
}
