// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/file.c -- open files: offsets, appending, and the operations of regular files and directories.
 *
 * The system calls see only struct file. Each call here checks what POSIX wants checked for
 * every kind of file (was it opened for that, has it an offset) and then asks the file's own
 * table; regular files and directories share vfs's table, which locks the vnode and calls the
 * file system.
 *
 * Invariants
 *   - file.offset moves only under offset_lock; reads and writes at the offset hold it
 *     throughout, so two processes that share a file never read the same bytes.
 *   - An append finds the end and writes under one hold of vnode.lock.
 * Locking    offset_lock, then vnode.lock.
 * Start at   file_read_iov(), file_write_iov().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/file_lock.h"
#include "fs/vfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

/* ---- regular files and directories ---- */

static vmk_status regular_read(struct file *file, struct vfs_iov *iov)
{
    return vnode_read(file->vnode, iov);
}

static vmk_status write_locked(struct file *file, struct vfs_iov *iov)
{
    struct vnode *vnode = file->vnode;

    if (!vnode->ops->write)
        return VMK_BAD_PARAM;
    if (__atomic_load_n(&file->flags, __ATOMIC_RELAXED) & VFS_O_APPEND) {
        struct vfs_attr attr;
        vmk_status status = vnode->ops->getattr(vnode, &attr);

        if (status != VMK_OK)
            return status;
        iov->offset = attr.size;
    }
    if (iov->size == 0)
        return VMK_OK;
    if (iov->offset > INT64_MAX - iov->size)
        return VMK_TOO_BIG;
    vmk_status status = vnode->ops->write(vnode, iov);

    if (iov->done && !file->by_root)
        vnode_strip_set_id(vnode);
    return status;
}

static vmk_status regular_fsync(struct file *file, bool data_only)
{
    struct vnode *vnode = file->vnode;
    vmk_status status = VMK_OK;

    if (vnode->ops->fsync) {
        mutex_lock(&vnode->lock);
        status = vnode->ops->fsync(vnode, data_only);
        mutex_unlock(&vnode->lock);
    }
    return status;
}

static vmk_status regular_write(struct file *file, struct vfs_iov *iov)
{
    mutex_lock(&file->vnode->lock);

    vmk_status status = write_locked(file, iov);

    mutex_unlock(&file->vnode->lock);
    if (iov->done)
        status = VMK_OK;
    if (status == VMK_OK && (file->flags & VFS_O_DSYNC))
        status = regular_fsync(file, !(file->flags & VFS_O_SYNC & ~VFS_O_DSYNC));
    return status;
}

static vmk_status regular_truncate(struct file *file, uint64_t size)
{
    const struct vfs_attr attr = {.size = size};

    vmk_status status = vnode_setattr(file->vnode, &attr, VFS_SET_SIZE, NULL);

    if (status == VMK_OK && !file->by_root) {
        mutex_lock(&file->vnode->lock);
        vnode_strip_set_id(file->vnode);
        mutex_unlock(&file->vnode->lock);
    }
    return status;
}

static vmk_status regular_page_get(struct file *file, uint64_t index, bool for_write,
                                   mpn_t *out)
{
    return vnode_page_get(file->vnode, index, for_write, out);
}

static void regular_page_put(struct file *file, uint64_t index, mpn_t page)
{
    vnode_page_put(file->vnode, index, page);
}

static void regular_page_ref(struct file *file, uint64_t index, mpn_t page)
{
    vnode_page_ref(file->vnode, index, page);
}

/* "." and "..", at positions 0 and 1. */
static vmk_status dots(struct file *file, uint64_t *position, struct vfs_dir_sink *sink)
{
    struct vnode *dir = file->vnode;
    const struct vfs_where where = {
        .cred = &vfs_cred_root, .root = fs_state()->root->root, .start = dir};

    if (*position == 0) {
        if (!sink->emit(sink, ".", 1, dir->inode, VFS_TYPE_DIR, 1))
            return VMK_AGAIN;
        *position = 1;
    }
    if (*position == 1) {
        struct vnode *parent;
        uint64_t inode = dir->inode;

        if (walk_step(&where, dir, "..", 2, &parent) == VMK_OK) {
            inode = parent->inode;
            vnode_put(parent);
        }
        if (!sink->emit(sink, "..", 2, inode, VFS_TYPE_DIR, 2))
            return VMK_AGAIN;
        *position = 2;
    }
    return VMK_OK;
}

static vmk_status dir_readdir(struct file *file, uint64_t *position, struct vfs_dir_sink *sink)
{
    struct vnode *dir = file->vnode;
    vmk_status status = dots(file, position, sink);

    if (status == VMK_AGAIN)
        return VMK_OK;
    if (status != VMK_OK || !dir->ops->readdir)
        return status;
    mutex_lock(&dir->lock);
    status = dir->ops->readdir(dir, position, sink);
    mutex_unlock(&dir->lock);
    return status;
}

static vmk_status dir_read(struct file *file, struct vfs_iov *iov)
{
    (void)file;
    (void)iov;
    return VMK_IS_DIR;
}

static const struct file_ops regular_ops = {
    .read = regular_read,
    .write = regular_write,
    .fsync = regular_fsync,
    .truncate = regular_truncate,
    .page_get = regular_page_get,
    .page_put = regular_page_put,
    .page_ref = regular_page_ref,
    .seekable = true,
};
static const struct file_ops dir_ops = {
    .read = dir_read,
    .readdir = dir_readdir,
    .fsync = regular_fsync,
    .seekable = true,
};
static const struct file_ops path_ops = {.seekable = false};  // O_PATH

/* ---- life ---- */

vmk_status file_create(const struct file_ops *ops, void *private, uint32_t flags,
                       struct file **out)
{
    struct file *file = heap_alloc(sizeof(*file), MEM_OWNER_FS);

    if (!file)
        return VMK_NO_MEMORY;
    file->ops = ops;
    file->private = private;
    file->flags = flags & (VFS_O_ACCMODE | VFS_O_SETTABLE | VFS_O_PATH | VFS_O_DIRECTORY |
                           VFS_O_SYNC | VFS_O_NOCTTY);
    file->refs = 1;
    mutex_init(&file->offset_lock, "file offset");
    list_init(&file->watches);
    *out = file;
    return VMK_OK;
}

vmk_status file_of_vnode(struct vnode *vnode, uint32_t flags, struct file **out)
{
    const struct file_ops *ops = (flags & VFS_O_PATH)  ? &path_ops
                                 : vnode_is_dir(vnode) ? &dir_ops
                                                       : &regular_ops;
    vmk_status status = file_create(ops, NULL, flags, out);

    if (status == VMK_OK) {
        vnode_ref(vnode);
        (*out)->vnode = vnode;
    }
    return status;
}

void file_name_set(struct file *file, struct vnode *dir, const char *name, size_t length)
{
    if (file->dir || !file->vnode)
        return;
    file->name = heap_alloc(length + 1, MEM_OWNER_FS);
    if (!file->name)
        return;
    memcpy(file->name, name, length);
    vnode_ref(dir);
    file->dir = dir;
}

void file_free(struct file *file)
{
    vnode_put(file->vnode);
    vnode_put(file->dir);
    heap_free(file->name);
    heap_free(file);
}

void file_ref(struct file *file)
{
    uint32_t before = __atomic_fetch_add(&file->refs, 1, __ATOMIC_RELAXED);

    vmk_assert(before > 0);
}

void file_put(struct file *file)
{
    struct fs_state *fs = fs_state();

    if (!file || __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (;;) {
        bool irqs = spin_lock(&fs->lock);
        struct file_watch *watch = NULL;

        if (!list_is_empty(&file->watches)) {
            watch = list_entry(file->watches.next, struct file_watch, link);
            list_remove(&watch->link);
        }
        spin_unlock(&fs->lock, irqs);
        if (!watch)
            break;
        watch->gone(watch);
    }
    notify_file(file, file_may_write(file) ? NOTIFY_CLOSE_WRITE : NOTIFY_CLOSE_NOWRITE);
    if (file->vnode)
        file_locks_drop(file->vnode, file);
    if (file->ops->release)
        file->ops->release(file);
    file_free(file);
}

void file_close(struct file *file, const void *owner)
{
    if (!file)
        return;
    if (file->vnode)
        file_locks_drop(file->vnode, owner);
    if (file->ops->closed)
        file->ops->closed(file, owner);
    file_put(file);
}

void file_watch_add(struct file *file, struct file_watch *watch)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);

    list_add_tail(&file->watches, &watch->link);
    spin_unlock(&fs->lock, irqs);
}

bool file_watch_remove(struct file *file, struct file_watch *watch)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);
    bool was = list_is_linked(&watch->link);

    (void)file;
    if (was)
        list_remove(&watch->link);
    spin_unlock(&fs->lock, irqs);
    return was;
}

/* ---- reading and writing ---- */

typedef vmk_status (*transfer)(struct file *file, struct vfs_iov *iov);

/* At iov->offset, or at the file's own, which moves. */
static vmk_status move_bytes(struct file *file, struct vfs_iov *iov, bool at_offset,
                             transfer io)
{
    bool own_offset = file->ops->seekable && !at_offset;
    vmk_status status;

    iov->done = 0;
    if (at_offset && iov->offset > INT64_MAX)
        return VMK_BAD_PARAM;
    if (!io)
        return VMK_BAD_PARAM;
    if (__atomic_load_n(&file->flags, __ATOMIC_RELAXED) & VFS_O_NONBLOCK)
        iov->nonblock = true;
    if (own_offset) {
        mutex_lock(&file->offset_lock);
        iov->offset = file->offset;
    }
    status = io(file, iov);
    if (iov->done)
        status = VMK_OK;
    if (own_offset) {
        if (status == VMK_OK)
            file->offset = iov->offset + iov->done;
        mutex_unlock(&file->offset_lock);
    }
    return status;
}

vmk_status file_read_iov(struct file *file, struct vfs_iov *iov, bool at_offset)
{
    iov->done = 0;
    if (at_offset && !file->ops->seekable && !(file->flags & VFS_O_PATH))
        return VMK_BAD_SEEK;
    if (!file_may_read(file))
        return VMK_BAD_HANDLE;

    vmk_status status = move_bytes(file, iov, at_offset, file->ops->read);

    if (iov->done)
        notify_file(file, NOTIFY_ACCESS);
    return status;
}

vmk_status file_write_iov(struct file *file, struct vfs_iov *iov, bool at_offset)
{
    iov->done = 0;
    if (at_offset && !file->ops->seekable && !(file->flags & VFS_O_PATH))
        return VMK_BAD_SEEK;
    if (!file_may_write(file))
        return VMK_BAD_HANDLE;

    vmk_status status = move_bytes(file, iov, at_offset, file->ops->write);

    if (iov->done)
        notify_file(file, NOTIFY_MODIFY);
    return status;
}

vmk_status file_read(struct file *file, void *to, size_t size, size_t *done)
{
    struct vfs_iov iov = {.to = to, .size = size};
    vmk_status status = file_read_iov(file, &iov, false);

    *done = iov.done;
    return status;
}

vmk_status file_write(struct file *file, const void *from, size_t size, size_t *done)
{
    struct vfs_iov iov = {.from = from, .size = size};
    vmk_status status = file_write_iov(file, &iov, false);

    *done = iov.done;
    return status;
}

vmk_status file_pread(struct file *file, void *to, size_t size, uint64_t offset, size_t *done)
{
    struct vfs_iov iov = {.to = to, .size = size, .offset = offset};
    vmk_status status = file_read_iov(file, &iov, true);

    *done = iov.done;
    return status;
}

vmk_status file_pwrite(struct file *file, const void *from, size_t size, uint64_t offset,
                       size_t *done)
{
    struct vfs_iov iov = {.from = from, .size = size, .offset = offset};
    vmk_status status = file_write_iov(file, &iov, true);

    *done = iov.done;
    return status;
}

vmk_status file_seek(struct file *file, int64_t by, unsigned whence, uint64_t *position)
{
    struct vfs_attr attr;
    vmk_status status = VMK_OK;
    int64_t base = 0;

    if (file->flags & VFS_O_PATH)
        return VMK_BAD_HANDLE;
    if (!file->ops->seekable)
        return VMK_BAD_SEEK;
    if (file->ops->seeks_to_zero)
        by = base = 0, whence = VFS_SEEK_SET;
    if (whence > VFS_SEEK_END)
        return VMK_BAD_PARAM;
    if (whence == VFS_SEEK_END) {
        status = file_getattr(file, &attr);
        if (status != VMK_OK)
            return status;
        base = (int64_t)attr.size;
    }
    mutex_lock(&file->offset_lock);
    if (whence == VFS_SEEK_CUR)
        base = (int64_t)file->offset;
    if (by < -base || (by > 0 && base > INT64_MAX - by)) {
        status = VMK_BAD_PARAM;
    } else {
        file->offset = (uint64_t)(base + by);
        *position = file->offset;
    }
    mutex_unlock(&file->offset_lock);
    return status;
}

vmk_status file_readdir(struct file *file, struct vfs_dir_sink *sink)
{
    vmk_status status;

    if (file->flags & VFS_O_PATH)
        return VMK_BAD_HANDLE;
    if (!file->ops->readdir)
        return VMK_NOT_DIR;
    mutex_lock(&file->offset_lock);
    status = file->ops->readdir(file, &file->offset, sink);
    mutex_unlock(&file->offset_lock);
    if (status == VMK_OK)
        notify_file(file, NOTIFY_ACCESS);
    return status;
}

/* ---- the rest ---- */

/* Requests of before the numbers carried size and direction. */
static const struct {
    uint32_t request;
    uint16_t size;
    uint8_t direction;
} old_ioctls[] = {
    {0x5401, 36, 2},    {0x5402, 36, 1},
    {0x5403, 36, 1},    {0x5404, 36, 1},  // termios
    {0x5405, 18, 2},    {0x5406, 18, 1},
    {0x5407, 18, 1},    {0x5408, 18, 1},  // termio
    {0x540f, 4, 2},     {0x5410, 4, 1},
    {0x5411, 4, 2},     {0x5412, 1, 1},  // pgrp, outq, sti
    {0x5413, 8, 2},     {0x5414, 8, 1},  // window size
    {0x5415, 4, 2},     {0x5416, 4, 1},
    {0x5417, 4, 1},     {0x5418, 4, 1},  // modem lines
    {0x5419, 4, 2},     {0x541a, 4, 1},
    {0x541b, 4, 2},     {0x541e, 72, 2},  // soft carrier, FIONREAD
    {0x5420, 4, 1},     {0x5421, 4, 1},
    {0x5424, 4, 2},     {0x5429, 4, 2},  // FIONBIO, sid
    {0x40045436, 0, 0},                  // TIOCSIG: a number
    {0x5452, 4, 1},                      // FIOASYNC
};

size_t vfs_ioctl_shape(uint32_t request, unsigned *direction)
{
    for (size_t i = 0; i < ARRAY_COUNT(old_ioctls); i++) {
        if (old_ioctls[i].request == request) {
            *direction = old_ioctls[i].direction;
            return old_ioctls[i].size;
        }
    }
    /*
     * Bits 31:30 direction as the user sees it (1 writes), 29:16 size, 15:8 kind, 7:0 number.
     */
    *direction = request >> 30;
    return *direction ? (request >> 16) & 0x3fffu : 0;
}

vmk_status file_ioctl(struct file *file, uint32_t request, uint64_t argument, void *data)
{
    if (file->flags & VFS_O_PATH)
        return VMK_BAD_HANDLE;
    if (!file->ops->ioctl)
        return VMK_NOT_TTY;
    return file->ops->ioctl(file, request, argument, data);
}

unsigned file_poll(struct file *file, struct poll_table *table)
{
    if (file->flags & VFS_O_PATH)
        return VFS_POLLNVAL;
    if (!file->ops->poll)
        return VFS_POLLIN | VFS_POLLOUT | VFS_POLLRDNORM | VFS_POLLWRNORM;
    return file->ops->poll(file, table);
}

vmk_status file_fsync(struct file *file, bool data_only)
{
    if (file->flags & VFS_O_PATH)
        return VMK_BAD_HANDLE;
    return file->ops->fsync ? file->ops->fsync(file, data_only) : VMK_BAD_PARAM;
}

vmk_status file_truncate(struct file *file, uint64_t size)
{
    if (file->flags & VFS_O_PATH)
        return VMK_BAD_HANDLE;
    if (!file_may_write(file) || !file->ops->truncate || size > INT64_MAX)
        return VMK_BAD_PARAM;
    return file->ops->truncate(file, size);
}

vmk_status file_allocate(struct file *file, uint64_t size)
{
    struct vnode *vnode = file->vnode;
    vmk_status status;

    if (file->flags & VFS_O_PATH)
        return VMK_BAD_HANDLE;
    if (!file_may_write(file) || !vnode || vnode->type != VFS_TYPE_REGULAR || size > INT64_MAX)
        return VMK_BAD_PARAM;
    if (!vnode->ops->allocate)
        return VMK_UNSUPPORTED;
    if (vnode->mount->flags & VFS_MOUNT_RDONLY)
        return VMK_READ_ONLY;
    mutex_lock(&vnode->lock);
    status = vnode->ops->allocate(vnode, size);
    mutex_unlock(&vnode->lock);
    if (status == VMK_OK)
        notify_file(file, NOTIFY_MODIFY);
    return status;
}

vmk_status file_getattr(struct file *file, struct vfs_attr *out)
{
    if (file->ops->getattr)
        return file->ops->getattr(file, out);
    if (file->vnode)
        return vnode_getattr(file->vnode, out);
    fs_anonymous_attr(out, 0600, 0);
    return VMK_OK;
}

vmk_status file_page_get(struct file *file, uint64_t index, bool for_write, mpn_t *out)
{
    return file->ops->page_get ? file->ops->page_get(file, index, for_write, out)
                               : VMK_UNSUPPORTED;
}

void file_page_put(struct file *file, uint64_t index, mpn_t page)
{
    file->ops->page_put(file, index, page);
}

void file_page_ref(struct file *file, uint64_t index, mpn_t page)
{
    file->ops->page_ref(file, index, page);
}

void file_flags_set(struct file *file, uint32_t flags)
{
    uint32_t now = __atomic_load_n(&file->flags, __ATOMIC_RELAXED);

    while (!__atomic_compare_exchange_n(&file->flags, &now,
                                        (now & ~VFS_O_SETTABLE) | (flags & VFS_O_SETTABLE),
                                        true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    if (file->ops->flags_changed)
        file->ops->flags_changed(file);
}

vmk_status file_path(struct vnode *root, struct file *file, char *out, size_t size)
{
    vmk_status status = VMK_OK;
    size_t length;

    if (file->vnode && vnode_is_dir(file->vnode))
        return vfs_path_of(root, file->vnode, out, size);
    if (file->ops->describe) {
        (void)file->ops->describe(file, out, size);
        return VMK_OK;
    }
    if (!file->dir) {
        (void)vmk_snprintf(out, size, "anon:[%llu]",
                           file->vnode ? (unsigned long long)file->vnode->inode : 0ull);
        return VMK_OK;
    }

    struct vfs_attr attr;
    bool is_gone = vnode_getattr(file->vnode, &attr) == VMK_OK && attr.link_count == 0;

    status = vfs_path_of(root, file->dir, out, size);
    if (status != VMK_OK)
        return status;
    length = strlen(out);
    if (length == 1)
        length = 0;  // "/" itself
    if (length + strlen(file->name) + sizeof("/ (deleted)") > size)
        return VMK_NAME_TOO_LONG;
    (void)vmk_snprintf(out + length, size - length, "/%s%s", file->name,
                       is_gone ? " (deleted)" : "");
    return VMK_OK;
}
