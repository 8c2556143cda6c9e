// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_fd.c -- system calls on descriptors: close, dup, pipe, fcntl, ioctl, and reading a directory.
 *
 * Invariants
 *   - What an ioctl() says of its structure is in its number: so much is copied in and out, and
 *     no more.
 * Locking    none; the table of descriptors and files carry their own.
 */
#include "lib/string.h"
#include "user/user_internal.h"

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
