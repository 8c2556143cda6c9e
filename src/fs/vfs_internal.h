// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vfs_internal.h -- struct fs_state and what the files of fs/ share.
 */
#pragma once

#include "core/heap.h"
#include "core/host.h"
#include "fs/notify.h"
#include "fs/proc/procfs.h"
#include "fs/tty.h"
#include "fs/vfs.h"

#define FS_VNODE_BUCKETS 256u
#define FS_PTYS_MAX      64u

/*
 * Waiting for a change of something that a mutex guards. The waiter reads the count under the
 * mutex, drops the mutex and waits until the count is another; who changes something signals
 * after it. No change is lost, because it counts.
 */
struct fs_event {
    struct wait_queue queue;
    uint32_t count;  // (a) written under queue.lock
};
void fs_event_init(struct fs_event *event, const char *name);
uint32_t fs_event_count(const struct fs_event *event);
/* OK when something changed since `count`; TIMEOUT, KILLED, INTERRUPTED. [switch] */
must_check vmk_status fs_event_wait(struct fs_event *event, uint32_t count, plat_ns deadline);
void fs_event_signal(struct fs_event *event);

struct fs_random;
struct procfs;
struct tty;

struct fs_state {
    struct spinlock lock;  // rank VFS: everything below unless it says otherwise
    struct list types;
    struct list mounts;
    struct list devices;   // struct vfs_device_driver.link
    struct mount *root;    // (i) after the first mount
    uint64_t next_device;  // st_dev of the next mount
    struct list vnodes[FS_VNODE_BUCKETS];
    struct wait_queue released;  // its own lock; a vnode went off the table
    struct mutex mount_lock;     // one mount or unmount at a time

    uint64_t next_anonymous;  // (a) inode numbers of pipes and sockets
    int64_t time_moved_ns;    // (a) by which the wall clock was set since boot
    const struct tty_hooks *tty_hooks;
    const struct procfs_processes *processes;
    struct procfs *procfs;
    struct fs_random *random;
    struct tty *console;
    struct tty *ptys[FS_PTYS_MAX];
    uint32_t next_console;  // (a) minor number of the next struct vm_console
    int console_port;       // (a) serial port that feeds the console, plus 1; 0: none
    void (*console_output)(const char *text, size_t length);
    struct list tardisks;
    struct mutex locks_mutex;       // file_lock.c: all that is locked
    struct fs_event locks_changed;  // its own lock
    struct list lock_waiters;       // locks_mutex
    uint32_t lock_count;            // locks_mutex
    struct spinlock notify_lock;    // rank VFS; notify.c
    struct list watches;            // notify_lock; struct vfs_watch.all_link
    uint32_t watch_count;           // (a)
    uint32_t notify_cookie;         // (a)
    struct mutex sockets;           // every unix-domain socket
    struct list abstract;           // sockets; those with a name that is no path
    uint8_t host_uuid[16];  // mount_lock; in VMFS heartbeats; zero until a volume is mounted
};

static inline struct fs_state *fs_state(void)
{
    return this_host()->fs;
}

/* vfs.c: before anything else of fs/. */
void vfs_init(void);

/* ---- vnode.c ---- */
/* The caller holds vnode->lock. */
/* Somebody other than root changed the data: the set-id bits go. */
void vnode_strip_set_id(struct vnode *vnode);
must_check vmk_status vnode_access_locked(struct vnode *vnode, unsigned may,
                                          const struct vfs_cred *cred);
/* The root of what is mounted on `vnode`, or `vnode`; takes over the reference. */
struct vnode *vnode_cross_down(struct vnode *vnode);
/* Locks the two in the order of the file head of vfs.h; they may be the same. */
void vnode_lock_dirs(struct vnode *a, struct vnode *b, bool a_above_b, bool b_above_a);
static inline bool vnode_is_dir(const struct vnode *vnode)
{
    return vnode->type == VFS_TYPE_DIR;
}

/* ---- walk.c ---- */
enum walk_last {
    WALK_LAST_NAME,    // `name` in `dir`
    WALK_LAST_DOT,     // `dir` itself
    WALK_LAST_DOTDOT,  // its parent
    WALK_LAST_ROOT,    // the path is only slashes
};

struct walk {
    const struct vfs_where *where;
    unsigned links;     // followed so far
    char *buffer;       // owned: a path that links made
    struct vnode *dir;  // referenced: where the walk is
    const char *name;   // last part, inside the caller's path or buffer
    size_t length;
    enum walk_last last;
    bool trailing_slash;
};
/*
 * Walks all but the last part. Then w->dir is searchable; walk_end() is due, also after a
 * failure.
 */
must_check vmk_status walk_parent(struct walk *w, const struct vfs_where *where,
                                  const char *path);
/* What the last part is now. */
must_check vmk_status walk_last(struct walk *w, struct vnode **out);
/*
 * The last part is the link `link` in w->dir: goes where it leads, again up to the last part.
 */
must_check vmk_status walk_link(struct walk *w, struct vnode *link);
void walk_end(struct walk *w);
/* One part from `dir`: "." ".." and names, crossing mounts both ways. No lock held. */
must_check vmk_status walk_step(const struct vfs_where *where, struct vnode *dir,
                                const char *name, size_t length, struct vnode **out);

/* ---- file.c ---- */
/* A file of that vnode with vfs's own operations, not opened in the file system yet. */
must_check vmk_status file_of_vnode(struct vnode *vnode, uint32_t flags, struct file **out);
void file_free(struct file *file);

/* ---- pipe.c, devfs.c, socket.c ---- */
must_check vmk_status fifo_open(struct vnode *vnode, struct file *file);
must_check vmk_status device_open(struct vnode *vnode, struct file *file);
/* Makes the nodes of the drivers registered so far; /dev was just mounted. */
void fs_devices_make_nodes(void);
must_check vmk_status fs_basic_devices_register(void);
/* One block of ChaCha20, for the test vectors. */
void chacha20_block(const uint32_t state[16], uint8_t out[64]);
uint64_t fs_anonymous_inode(void);
void fs_anonymous_attr(struct vfs_attr *out, uint32_t mode, uint64_t inode);

/* ---- file_lock.c ---- */
void file_locks_init(void);

/* ---- notify.c: hooks, called with no vnode locked ---- */
void notify_init(void);
void notify_object_slow(struct vnode *vnode, struct vnode *dir, const char *name, size_t length,
                        uint32_t what);
void notify_name_slow(struct vnode *dir, const char *name, size_t length, uint32_t what,
                      bool is_dir, uint32_t cookie);
void notify_file_slow(struct file *file, uint32_t what);
void notify_attributes_slow(struct vnode *vnode, uint32_t what);
void notify_unused_slow(struct vnode *vnode);
bool notify_is_last_name(struct vnode *vnode);
uint32_t notify_cookie(void);
/* About to be unmounted: ends the watches, if nothing but they and `others` use it. */
void notify_unmount(struct mount *mount, uint32_t others);

/* Does anybody watch anything? */
static inline bool notify_on(void)
{
    return __builtin_expect(__atomic_load_n(&fs_state()->watch_count, __ATOMIC_ACQUIRE) != 0,
                            0);
}
/* To the object and, by that name, to the directory; either may be null. */
static inline void notify_object(struct vnode *vnode, struct vnode *dir, const char *name,
                                 size_t length, uint32_t what)
{
    if (notify_on())
        notify_object_slow(vnode, dir, name, length, what);
}
/* To the directory only. */
static inline void notify_name(struct vnode *dir, const char *name, size_t length,
                               uint32_t what, bool is_dir)
{
    if (notify_on())
        notify_name_slow(dir, name, length, what, is_dir, 0);
}
static inline void notify_file(struct file *file, uint32_t what)
{
    if (notify_on())
        notify_file_slow(file, what);
}
/* To the object and to the directory it is in, which the caller does not know. */
static inline void notify_attributes(struct vnode *vnode, uint32_t what)
{
    if (what && notify_on())
        notify_attributes_slow(vnode, what);
}

/* ---- tty ---- */
must_check vmk_status tty_devices_init(void);

/* Upper-level pieces that fs_init() calls. */
must_check vmk_status visorfs_type_register(void);
must_check vmk_status procfs_type_register(void);
must_check vmk_status procfs_system_register(void);
