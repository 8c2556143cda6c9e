// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vfs.c -- the state of fs/, kinds of file systems, events, and the clock of files.
 *
 * Invariants
 *   - Everything mutable of fs/ that is no object of its own hangs from struct fs_state.
 * Locking    fs_state.lock (rank VFS), a spin lock: never held across a call into a file
 *            system.
 * Start at   fs_init() in fs_init.c; vfs.h has the picture.
 */
#include "fs/vfs.h"

#include "core/assert.h"
#include "core/heap.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"
#include "plat/plat.h"

HOST_STATE(fs);

const struct vfs_cred vfs_cred_root = {.uid = 0, .gid = 0};

void vfs_init(void)
{
    struct fs_state *fs = fs_state();

    spin_init(&fs->lock, "fs", LOCK_RANK_VFS);
    list_init(&fs->types);
    list_init(&fs->mounts);
    list_init(&fs->devices);
    list_init(&fs->tardisks);
    list_init(&fs->abstract);
    mutex_init(&fs->sockets, "sockets");
    file_locks_init();
    notify_init();
    for (unsigned i = 0; i < FS_VNODE_BUCKETS; i++)
        list_init(&fs->vnodes[i]);
    wait_queue_init(&fs->released, "vnode released");
    mutex_init(&fs->mount_lock, "mount");
    fs->next_device = 1;
}

void vfs_type_register(struct vfs_type *type)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);

    list_add_tail(&fs->types, &type->link);
    spin_unlock(&fs->lock, irqs);
}

int64_t vfs_time_offset(void)
{
    return (int64_t)(plat_wall_time_at_boot() * 1000000000u) +
           __atomic_load_n(&fs_state()->time_moved_ns, __ATOMIC_SEQ_CST);
}

int64_t vfs_time_now(void)
{
    return vfs_time_offset() + (int64_t)plat_time_now();
}

void vfs_time_move(int64_t ns)
{
    __atomic_fetch_add(&fs_state()->time_moved_ns, ns, __ATOMIC_SEQ_CST);
}

bool vfs_is_up(void)
{
    return fs_state()->root;
}

struct vfs_where vfs_where_kernel(void)
{
    struct vnode *root = fs_state()->root->root;

    return (struct vfs_where){
        .cred = &vfs_cred_root, .root = root, .start = root, .umask = 022};
}

uint64_t fs_anonymous_inode(void)
{
    return __atomic_add_fetch(&fs_state()->next_anonymous, 1, __ATOMIC_RELAXED);
}

void fs_anonymous_attr(struct vfs_attr *out, uint32_t mode, uint64_t inode)
{
    int64_t now = vfs_time_now();

    *out = (struct vfs_attr){.mode = mode,
                             .link_count = 1,
                             .inode = inode,
                             .block_size = (uint32_t)PAGE_SIZE,
                             .atime_ns = now,
                             .mtime_ns = now,
                             .ctime_ns = now};
}

/* ---- fs_event ---- */

void fs_event_init(struct fs_event *event, const char *name)
{
    wait_queue_init(&event->queue, name);
    event->count = 0;
}

uint32_t fs_event_count(const struct fs_event *event)
{
    return __atomic_load_n(&event->count, __ATOMIC_ACQUIRE);
}

vmk_status fs_event_wait(struct fs_event *event, uint32_t count, plat_ns deadline)
{
    vmk_status status = VMK_OK;
    bool irqs = spin_lock(&event->queue.lock);

    while (event->count == count && status == VMK_OK) {
        status = wait_queue_block_interruptible(&event->queue, deadline);
        spin_lock_irqs_off(&event->queue.lock);
    }
    if (event->count != count)
        status = VMK_OK;
    spin_unlock(&event->queue.lock, irqs);
    return status;
}

void fs_event_signal(struct fs_event *event)
{
    bool irqs = spin_lock(&event->queue.lock);
    bool waited_for = !list_is_empty(&event->queue.waiters);

    __atomic_store_n(&event->count, event->count + 1, __ATOMIC_RELEASE);
    spin_unlock(&event->queue.lock, irqs);
    if (waited_for)  // who comes now sees the new count
        (void)wait_queue_wake(&event->queue, WAIT_QUEUE_ALL);
}
