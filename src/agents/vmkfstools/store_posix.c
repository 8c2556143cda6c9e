// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmkfstools/store_posix.c -- the files of virtual disks by ordinary file calls.
 *
 * For the program vmkfstools in a user world, where datastores are below /vmfs/volumes, and for
 * vmfs-tool on Linux. A rename and a removal are made durable by syncing the directory.
 *
 * Invariants
 *   - errno becomes the status that means the same; what has none is IO_ERROR.
 * Locking    none: one thread.
 */
#define _GNU_SOURCE
#include "agents/vmkfstools/store_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static vmk_status status_of(int error)
{
    switch (error) {
    case ENOENT: return VMK_NOT_FOUND;
    case EEXIST: return VMK_EXISTS;
    case EACCES:
    case EPERM: return VMK_NO_PERMISSION;
    case EISDIR: return VMK_IS_DIR;
    case ENOTDIR: return VMK_NOT_DIR;
    case EROFS: return VMK_READ_ONLY;
    case ENOSPC: return VMK_NO_SPACE;
    case EFBIG: return VMK_TOO_BIG;
    case ENAMETOOLONG: return VMK_NAME_TOO_LONG;
    case EBUSY:
    case ETXTBSY: return VMK_BUSY;
    case ENOMEM: return VMK_NO_MEMORY;
    case EXDEV: return VMK_CROSS_DEVICE;
    case EOPNOTSUPP:
    case ENOSYS: return VMK_UNSUPPORTED;
    default: return VMK_IO_ERROR;
    }
}

/* A descriptor as a handle that is never null. */
static void *handle_of(int fd)
{
    return (void *)((intptr_t)fd + 1);
}

static int fd_of(void *file)
{
    return (int)((intptr_t)file - 1);
}

static vmk_status posix_open(struct vmdk_store *store, const char *name, enum vmdk_open_how how,
                             void **file)
{
    static const int flags[] = {O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_EXCL};
    int fd = open(name, flags[how] | O_CLOEXEC, 0600);
    struct stat st;

    (void)store;
    if (fd < 0)
        return status_of(errno);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return VMK_IS_DIR;
    }
    *file = handle_of(fd);
    return VMK_OK;
}

static void posix_close(struct vmdk_store *store, void *file)
{
    (void)store;
    close(fd_of(file));
}

static vmk_status posix_read(struct vmdk_store *store, void *file, uint64_t offset, void *to,
                             size_t size)
{
    (void)store;
    while (size) {
        ssize_t got = pread(fd_of(file), to, size, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_of(errno);
        if (!got) {
            memset(to, 0, size);
            return VMK_OK;
        }
        to = (char *)to + got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return VMK_OK;
}

static vmk_status posix_write(struct vmdk_store *store, void *file, uint64_t offset,
                              const void *from, size_t size)
{
    (void)store;
    while (size) {
        ssize_t got = pwrite(fd_of(file), from, size, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? status_of(errno) : VMK_IO_ERROR;
        from = (const char *)from + got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return VMK_OK;
}

static vmk_status posix_size(struct vmdk_store *store, void *file, uint64_t *size)
{
    off_t end = lseek(fd_of(file), 0, SEEK_END);

    (void)store;
    *size = (uint64_t)end;
    return end < 0 ? status_of(errno) : VMK_OK;
}

static vmk_status posix_truncate(struct vmdk_store *store, void *file, uint64_t size)
{
    (void)store;
    return ftruncate(fd_of(file), (off_t)size) < 0 ? status_of(errno) : VMK_OK;
}

static vmk_status posix_sync(struct vmdk_store *store, void *file)
{
    (void)store;
    return fsync(fd_of(file)) < 0 ? status_of(errno) : VMK_OK;
}

static void directory_sync(const char *name)
{
    char *dir = strdup(name);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    int fd;

    if (slash)
        *slash = 0;
    fd = open(!slash ? "." : *dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);  // some file systems have nothing to do
        close(fd);
    }
    free(dir);
}

static vmk_status posix_rename(struct vmdk_store *store, const char *from, const char *to)
{
    (void)store;
    if (rename(from, to) < 0)
        return status_of(errno);
    directory_sync(to);
    return VMK_OK;
}

static vmk_status posix_remove(struct vmdk_store *store, const char *name)
{
    (void)store;
    if (unlink(name) < 0)
        return status_of(errno);
    directory_sync(name);
    return VMK_OK;
}

static vmk_status posix_allocate(struct vmdk_store *store, void *file, uint64_t size,
                                 enum vmdk_provision how)
{
    (void)store;
    /*
     * Space that reads as zeros is all that POSIX knows; writing zeros is left to the caller.
     */
    if (how != VMDK_ZEROED_THICK)
        return VMK_UNSUPPORTED;
    return fallocate(fd_of(file), 0, 0, (off_t)size) < 0 ? status_of(errno) : VMK_OK;
}

static vmk_status posix_used(struct vmdk_store *store, void *file, uint64_t *bytes)
{
    struct stat st;

    (void)store;
    if (fstat(fd_of(file), &st) < 0)
        return status_of(errno);
    *bytes = (uint64_t)st.st_blocks * 512;
    return VMK_OK;
}

static vmk_status posix_discard(struct vmdk_store *store, void *file, uint64_t offset,
                                uint64_t size)
{
    (void)store;
    return fallocate(fd_of(file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)size) < 0
               ? VMK_UNSUPPORTED
               : VMK_OK;
}

static uint64_t posix_random(struct vmdk_store *store)
{
    uint64_t value = 0;

    (void)store;
    if (getrandom(&value, sizeof(value), 0) != sizeof(value))
        value =
            (uint64_t)(uint32_t)getpid() * 0x9e3779b97f4a7c15ull ^ (uint64_t)(uintptr_t)&value;
    return value;
}

struct vmdk_store *store_posix(void)
{
    static const struct vmdk_store_ops ops = {
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .write = posix_write,
        .size = posix_size,
        .truncate = posix_truncate,
        .sync = posix_sync,
        .rename = posix_rename,
        .remove = posix_remove,
        .allocate = posix_allocate,
        .used = posix_used,
        .discard = posix_discard,
        .random = posix_random,
    };
    static struct vmdk_store store = {.ops = &ops};

    return &store;
}
