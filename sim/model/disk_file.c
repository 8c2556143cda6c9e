// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/model/disk_file.c -- a block device that is an image file.
 *
 * For tools and labs that move files in and out of disk images. Requests are answered at once,
 * so nobody needs a running scheduler. Two processes may share an image as two hosts share a
 * LUN:
 * COMPARE_WRITE takes a byte-range lock on the block, compares, writes and lets go.
 *
 * Invariants
 *   - Nothing outside [0, size) of the file is read or written (block.c has checked).
 * Locking    fcntl() record locks between processes; one thread here.
 */
#define _GNU_SOURCE  // fallocate()

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/model/disk.h"

#define FILE_BLOCK 512u

static bool transfer(int fd, bool write, uint64_t offset, char *data, size_t size)
{
    while (size) {
        ssize_t got = write ? pwrite(fd, data, size, (off_t)offset)
                            : pread(fd, data, size, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        data += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

static vmk_status compare_write(int fd, const struct block_request *request)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)request->offset,
                         .l_len = FILE_BLOCK};
    char now[FILE_BLOCK];
    char want[2 * FILE_BLOCK];
    size_t at = 0;
    vmk_status status = VMK_IO_ERROR;

    for (uint32_t i = 0; i < request->segment_count; i++) {
        memcpy(want + at, request->segments[i].data, request->segments[i].size);
        at += request->segments[i].size;
    }
    if (fcntl(fd, F_SETLKW, &lock) < 0)
        return VMK_IO_ERROR;
    if (transfer(fd, false, request->offset, now, FILE_BLOCK)) {
        if (memcmp(now, want, FILE_BLOCK) != 0)
            status = VMK_AGAIN;
        else if (transfer(fd, true, request->offset, want + FILE_BLOCK, FILE_BLOCK))
            status = VMK_OK;
    }
    lock.l_type = F_UNLCK;
    (void)fcntl(fd, F_SETLK, &lock);
    return status;
}

static void submit(struct block_device *device, struct block_request *request)
{
    int fd = (int)(intptr_t)device->context;
    uint64_t offset = request->offset;

    request->status = VMK_OK;
    switch (request->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        for (uint32_t i = 0; i < request->segment_count && request->status == VMK_OK; i++) {
            const struct block_segment *s = &request->segments[i];

            if (!transfer(fd, request->op == BLOCK_WRITE, offset, s->data, s->size))
                request->status = VMK_IO_ERROR;
            offset += s->size;
        }
        if (request->op == BLOCK_WRITE && request->fua && fdatasync(fd) < 0)
            request->status = VMK_IO_ERROR;
        break;
    case BLOCK_FLUSH:
        if (fdatasync(fd) < 0)
            request->status = VMK_IO_ERROR;
        break;
    case BLOCK_DISCARD:
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                      (off_t)request->size) < 0)
            request->status = VMK_UNSUPPORTED;
        break;
    case BLOCK_COMPARE_WRITE: request->status = compare_write(fd, request); break;
    case BLOCK_RESERVE:
    case BLOCK_RELEASE: request->status = VMK_UNSUPPORTED; break;
    }
    request->done(request);
}

static const struct block_ops ops = {.submit = submit};

struct block_device *disk_file_open(const char *path, uint64_t size, bool read_only)
{
    int fd =
        open(path, (read_only ? O_RDONLY : O_RDWR) | (size ? O_CREAT : 0) | O_CLOEXEC, 0644);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 ||
        (size && st.st_size < (off_t)size && ftruncate(fd, (off_t)size) < 0)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }

    off_t end = lseek(fd, 0, SEEK_END);  // block devices have no st_size
    struct block_device *device = calloc(1, sizeof(*device));

    if (!device || end < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        free(device);
        close(fd);
        return NULL;
    }
    snprintf(device->name, sizeof(device->name), "%s", path);
    device->ops = &ops;
    device->size = (uint64_t)end & ~(uint64_t)(FILE_BLOCK - 1);
    device->block_size = FILE_BLOCK;
    device->read_only = read_only;
    device->can_discard = device->can_compare_write = !read_only;
    device->context = (void *)(intptr_t)fd;
    return device;
}

void disk_file_close(struct block_device *device)
{
    if (!device)
        return;
    close((int)(intptr_t)device->context);
    free(device);
}
