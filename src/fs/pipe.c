// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/pipe.c -- pipes and FIFOs.
 *
 * One object with a ring of bytes, a count of readers and a count of writers; a FIFO is the
 * same object hung on a vnode while anybody has it open. The bytes live in pages that come and
 * go with the fill (ring.c), so an idle pipe costs 200 bytes.
 *
 * Invariants
 *   - A write of up to VFS_PIPE_ATOMIC bytes goes in whole, at one moment.
 *   - No writers and nothing left: end of file. No readers: BROKEN_PIPE.
 *   - A FIFO's pipe is freed when its last opener is gone and takes unread bytes with it.
 * Locking    pipe.lock (mutex, after vnode.lock); changed counts for those who wait;
 *            poll_notify() after the mutex is dropped.
 * Start at   pipe_read(), pipe_write(), fifo_open().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/ring.h"
#include "fs/vfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define PIPE_SIZE 65536u
#define FIONREAD  0x541bu

struct pipe {
    struct mutex lock;
    struct fs_event changed;
    struct poll_head poll;
    struct ring ring;           // lock
    uint32_t readers, writers;  // lock
    uint32_t opened_readers;    // lock; ever, so that a waiting opener sees one come and go
    uint32_t opened_writers;    // lock
    uint32_t users;             // lock of the FIFO's vnode, or files of a pipe: lock
    uint64_t inode;
    int64_t created_ns;
};

static struct pipe *pipe_new(void)
{
    struct pipe *p = heap_alloc(sizeof(*p), MEM_OWNER_FS);

    if (!p)
        return NULL;
    mutex_init(&p->lock, "pipe");
    fs_event_init(&p->changed, "pipe");
    poll_head_init(&p->poll, "pipe poll");
    ring_init(&p->ring, PIPE_SIZE);
    p->created_ns = vfs_time_now();
    return p;
}

static void pipe_free(struct pipe *p)
{
    ring_end(&p->ring);
    heap_free(p);
}

static void tell(struct pipe *p, unsigned events)
{
    fs_event_signal(&p->changed);
    poll_notify(&p->poll, events);
}

/*
 * Lock held, which it lets go of while it waits: until there is something to read, or nobody
 * left to write it.
 */
static vmk_status wait_for_bytes(struct pipe *p, bool nonblock)
{
    vmk_status status = VMK_OK;

    while (ring_used(&p->ring) == 0 && p->writers > 0 && status == VMK_OK) {
        uint32_t count = fs_event_count(&p->changed);

        mutex_unlock(&p->lock);
        status = nonblock ? VMK_AGAIN : fs_event_wait(&p->changed, count, PLAT_NS_NEVER);
        mutex_lock(&p->lock);
    }
    return status;
}

vmk_status pipe_peek(struct file *file, struct vfs_iov *iov)
{
    struct pipe *p = file->private;
    vmk_status status;

    mutex_lock(&p->lock);
    status = wait_for_bytes(p, iov->nonblock);
    iov->done = ring_peek(&p->ring, iov->to, iov->size);
    mutex_unlock(&p->lock);
    return iov->done ? VMK_OK : status;
}

static vmk_status pipe_read(struct file *file, struct vfs_iov *iov)
{
    struct pipe *p = file->private;
    vmk_status status;

    if (iov->size == 0)
        return VMK_OK;
    mutex_lock(&p->lock);
    status = wait_for_bytes(p, iov->nonblock);
    iov->done = ring_read(&p->ring, iov->to, iov->size);
    mutex_unlock(&p->lock);
    if (iov->done)
        tell(p, VFS_POLLOUT | VFS_POLLWRNORM);
    return iov->done ? VMK_OK : status;
}

/*
 * Lock held. What may go in now: all of a small write or nothing, else what there is room for.
 */
static size_t room_for(const struct pipe *p, size_t left, size_t whole)
{
    size_t room = ring_room(&p->ring);

    if (whole <= VFS_PIPE_ATOMIC)
        return room >= left ? left : 0;
    return MIN(room, left);
}

static vmk_status pipe_write(struct file *file, struct vfs_iov *iov)
{
    struct pipe *p = file->private;
    vmk_status status = VMK_OK;

    mutex_lock(&p->lock);
    while (status == VMK_OK) {
        if (p->readers == 0) {
            status = VMK_BROKEN_PIPE;
            break;
        }
        if (iov->done == iov->size)
            break;

        size_t chunk = room_for(p, iov->size - iov->done, iov->size);
        uint32_t count;

        if (chunk) {
            size_t moved = ring_write(&p->ring, (const char *)iov->from + iov->done, chunk);

            iov->done += moved;
            if (moved < chunk) {
                status = VMK_NO_MEMORY;
                break;
            }
            continue;
        }
        count = fs_event_count(&p->changed);
        mutex_unlock(&p->lock);
        if (iov->done)
            tell(p, VFS_POLLIN | VFS_POLLRDNORM);
        /* Our own signal above moved the count; whoever reads in between moves it further. */
        status = iov->nonblock
                     ? VMK_AGAIN
                     : fs_event_wait(&p->changed, iov->done ? count + 1 : count, PLAT_NS_NEVER);
        mutex_lock(&p->lock);
    }
    mutex_unlock(&p->lock);
    if (iov->done)
        tell(p, VFS_POLLIN | VFS_POLLRDNORM);
    return iov->done && status != VMK_BROKEN_PIPE ? VMK_OK : status;
}

static unsigned pipe_poll(struct file *file, struct poll_table *table)
{
    struct pipe *p = file->private;
    unsigned events = 0;

    poll_wait_on(table, &p->poll);
    mutex_lock(&p->lock);
    if (file_may_read(file)) {
        if (ring_used(&p->ring))
            events |= VFS_POLLIN | VFS_POLLRDNORM;
        if (p->writers == 0 && p->opened_writers > 0)
            events |= VFS_POLLHUP;
    }
    if (file_may_write(file)) {
        if (ring_room(&p->ring) >= VFS_PIPE_ATOMIC)
            events |= VFS_POLLOUT | VFS_POLLWRNORM;
        if (p->readers == 0)
            events |= VFS_POLLERR;
    }
    mutex_unlock(&p->lock);
    return events;
}

static vmk_status pipe_ioctl(struct file *file, uint32_t request, uint64_t argument, void *data)
{
    struct pipe *p = file->private;

    (void)argument;
    if (request != FIONREAD)
        return VMK_NOT_TTY;
    mutex_lock(&p->lock);
    *(int32_t *)data = (int32_t)ring_used(&p->ring);
    mutex_unlock(&p->lock);
    return VMK_OK;
}

static vmk_status pipe_getattr(struct file *file, struct vfs_attr *out)
{
    struct pipe *p = file->private;

    if (file->vnode)
        return vnode_getattr(file->vnode, out);
    fs_anonymous_attr(out, VFS_TYPE_FIFO | 0600u, p->inode);
    out->atime_ns = out->mtime_ns = out->ctime_ns = p->created_ns;
    return VMK_OK;
}

static int pipe_describe(struct file *file, char *out, size_t size)
{
    struct pipe *p = file->private;

    return vmk_snprintf(out, size, "pipe:[%llu]", (unsigned long long)p->inode);
}

/* One opening less. Returns whether it was the last. */
static bool leave(struct pipe *p, const struct file *file)
{
    bool last;

    mutex_lock(&p->lock);
    if (file_may_read(file))
        p->readers--;
    if (file_may_write(file))
        p->writers--;
    last = --p->users == 0;
    // Under the lock: behind it the other end may leave, too, and free the pipe.
    if (!last)
        tell(p, VFS_POLLHUP | VFS_POLLERR | VFS_POLLIN | VFS_POLLOUT);
    mutex_unlock(&p->lock);
    return last;
}

static void pipe_release(struct file *file)
{
    struct pipe *p = file->private;

    if (leave(p, file))
        pipe_free(p);
}

static void fifo_release(struct file *file)
{
    struct vnode *vnode = file->vnode;
    struct pipe *p = file->private;
    bool last;

    mutex_lock(&vnode->lock);  // or somebody could open the pipe that is about to go
    last = leave(p, file);
    if (last)
        vnode->endpoint = NULL;
    mutex_unlock(&vnode->lock);
    if (last)
        pipe_free(p);
}

static const struct file_ops pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .getattr = pipe_getattr,
    .describe = pipe_describe,
    .release = pipe_release,
};
static const struct file_ops fifo_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = fifo_release,
};

bool file_is_pipe(const struct file *file)
{
    return file->ops == &pipe_ops || file->ops == &fifo_ops;
}

vmk_status pipe_create(uint32_t flags, struct file **read_end, struct file **write_end)
{
    struct pipe *p = pipe_new();
    vmk_status status;

    if (!p)
        return VMK_NO_MEMORY;
    flags &= VFS_O_NONBLOCK | VFS_O_DIRECT;
    status = file_create(&pipe_ops, p, flags | VFS_O_RDONLY, read_end);
    if (status != VMK_OK)
        goto free_pipe;
    status = file_create(&pipe_ops, p, flags | VFS_O_WRONLY, write_end);
    if (status != VMK_OK)
        goto free_read_end;
    p->inode = fs_anonymous_inode();
    p->readers = p->writers = p->opened_readers = p->opened_writers = 1;
    p->users = 2;
    return VMK_OK;

free_read_end:
    file_free(*read_end);
free_pipe:
    pipe_free(p);
    return status;
}

/* Waits until the other side was opened since we came. */
static vmk_status wait_for_other(struct pipe *p, const uint32_t *others, const uint32_t *opened,
                                 uint32_t opened_before)
{
    vmk_status status = VMK_OK;

    mutex_lock(&p->lock);
    while (*others == 0 && *opened == opened_before && status == VMK_OK) {
        uint32_t count = fs_event_count(&p->changed);

        mutex_unlock(&p->lock);
        status = fs_event_wait(&p->changed, count, PLAT_NS_NEVER);
        mutex_lock(&p->lock);
    }
    mutex_unlock(&p->lock);
    return status;
}

vmk_status fifo_open(struct vnode *vnode, struct file *file)
{
    bool reads = file_may_read(file), writes = file_may_write(file);
    bool nonblock = (file->flags & VFS_O_NONBLOCK) != 0, other = false;
    uint32_t opened_readers, opened_writers;
    vmk_status status = VMK_OK;
    struct pipe *p;

    mutex_lock(&vnode->lock);
    p = vnode->endpoint;
    if (!p) {
        p = pipe_new();
        vnode->endpoint = p;
    }
    if (!p) {
        mutex_unlock(&vnode->lock);
        return VMK_NO_MEMORY;
    }
    mutex_lock(&p->lock);
    if (writes && !reads && nonblock && p->readers == 0) {
        status = VMK_NO_DEVICE;
    } else {
        opened_readers = p->opened_readers;
        opened_writers = p->opened_writers;
        // Now, not later: whom tell() wakes may write and be gone before this world runs again.
        other = reads ? p->writers > 0 : p->readers > 0;
        p->users++;
        p->readers += reads;
        p->writers += writes;
        p->opened_readers += reads;
        p->opened_writers += writes;
    }

    bool unused = p->users == 0;

    mutex_unlock(&p->lock);
    if (unused)
        vnode->endpoint = NULL;
    mutex_unlock(&vnode->lock);
    if (unused)
        pipe_free(p);
    if (status != VMK_OK)
        return status;

    file->ops = &fifo_ops;
    file->private = p;
    tell(p, VFS_POLLIN | VFS_POLLOUT);
    if (reads && !writes && !nonblock && !other)
        status = wait_for_other(p, &p->writers, &p->opened_writers, opened_writers);
    else if (writes && !reads && !nonblock && !other)
        status = wait_for_other(p, &p->readers, &p->opened_readers, opened_readers);
    if (status != VMK_OK)
        fifo_release(file);
    return status;
}
