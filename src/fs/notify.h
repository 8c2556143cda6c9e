// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/notify.h -- telling whoever watches a file or directory what happens to it.
 *
 * A watch hangs from a vnode and keeps it. It hears of what happens to the object itself, and,
 * if that is a directory, to what is in it, by name. The hooks stand where vfs has done
 * something; while nobody watches anything each is one test of a count.
 */
#pragma once

#include "fs/vfs.h"

/* What happened: the bits of inotify(7). */
#define NOTIFY_ACCESS        0x001u
#define NOTIFY_MODIFY        0x002u
#define NOTIFY_ATTRIB        0x004u
#define NOTIFY_CLOSE_WRITE   0x008u
#define NOTIFY_CLOSE_NOWRITE 0x010u
#define NOTIFY_OPEN          0x020u
#define NOTIFY_MOVED_FROM    0x040u
#define NOTIFY_MOVED_TO      0x080u
#define NOTIFY_CREATE        0x100u
#define NOTIFY_DELETE        0x200u
#define NOTIFY_DELETE_SELF   0x400u
#define NOTIFY_MOVE_SELF     0x800u
#define NOTIFY_ALL           0xfffu
#define NOTIFY_UNMOUNT       0x2000u
#define NOTIFY_OVERFLOW      0x4000u
#define NOTIFY_IGNORED       0x8000u  // the watch is gone
#define NOTIFY_EXCL_UNLINK   0x4000000u
#define NOTIFY_DIR           0x40000000u
#define NOTIFY_ONESHOT       0x80000000u

struct vfs_notice {
    uint32_t what;     // NOTIFY_DIR with it: of a directory
    uint32_t cookie;   // the same for both ends of a move
    const char *name;  // in the watched directory, not ended by NUL; null: the object itself
    size_t length;
};

struct vfs_watch {
    struct list vnode_link, all_link;  // notify lock
    struct vnode *vnode;               // referenced while linked
    uint32_t mask;                     // notify lock; NOTIFY_ALL, EXCL_UNLINK and ONESHOT
    /*
     * Under the notify lock: may take memory and locks of rank POLL and above. With
     * NOTIFY_IGNORED the watch is unlinked already and may be freed.
     */
    void (*tell)(struct vfs_watch *watch, const struct vfs_notice *notice);
};

/* The notify lock, rank VFS: all watches. */
bool notify_lock(void);
void notify_unlock(bool irqs);
/* Lock held; the watch has vnode, mask and tell. Takes a reference to the vnode. */
void notify_watch_add_locked(struct vfs_watch *watch);
/* Lock held: unlinks it; the caller puts watch->vnode after the lock. */
void notify_watch_remove_locked(struct vfs_watch *watch);
/* Lock held: the next watch on the vnode, first with null; null: no more. */
struct vfs_watch *notify_watch_next_locked(const struct vnode *vnode, struct vfs_watch *after);
