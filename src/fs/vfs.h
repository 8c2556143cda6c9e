// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vfs.h -- files, directories and mounts: the one interface between the kernel and file systems.
 *
 *     fd table (user/)            path + credentials
 *          |                           |
 *     struct file  ---------->   struct vnode  ------->  struct mount
 *     offset, flags, file_ops    one inode, vnode_ops    one file system, mount_ops
 *
 * A vnode is a file, directory, link or device node inside a mounted file system; a file is one
 * opening of it (or of something without a name: a pipe, a socket, an eventfd). A file system
 * implements mount_ops and vnode_ops and nothing else: the walk, permissions, sticky bits, O_*
 * flags, "." and "..", mount crossings, offsets and O_APPEND are done once, here.
 *
 * Who locks. Each vnode has a sleeping lock; the callers of vnode_ops in vfs take it,
 * exclusively, around the calls marked (L) below, so a file system needs no lock of its own for
 * an inode. Order:
 *     mount.rename_lock
 *       < directory vnodes, ancestors first, else by address
 *         < the other vnodes of the call (victim, moved, target), else by address
 *           < what the file system keeps for the whole volume (bitmaps, journal)
 *             < spin locks (core/lock_rank.def)
 * Everything that may wait runs in a world, with no spin lock held. Calls that copy data take
 * kernel memory: the system-call layer copies to and from user space outside, so no copy can
 * fault inside a file system, and page_get() on a file that is being read cannot deadlock.
 *
 * References. vnode_ref()/vnode_put(), file_ref()/file_put(), mount_ref()/mount_put() are
 * atomic. A file holds its vnode; a vnode that somebody holds keeps its mount from being
 * unmounted. Functions that hand out a vnode, a file or a mount hand out one reference;
 * parameters are borrowed for the call.
 *
 * Errors, as user/ maps them: BAD_PARAM EINVAL, NOT_FOUND ENOENT, EXISTS EEXIST, BUSY EBUSY,
 * AGAIN EAGAIN, INTERRUPTED EINTR (or restart), NO_PERMISSION EACCES, NOT_OWNER EPERM, NOT_DIR
 * ENOTDIR, IS_DIR EISDIR, NOT_EMPTY ENOTEMPTY, NAME_TOO_LONG ENAMETOOLONG, TOO_MANY_LINKS ELOOP
 * (EMLINK from link), CROSS_DEVICE EXDEV, READ_ONLY EROFS, NO_SPACE ENOSPC, OVER_QUOTA EDQUOT,
 * TOO_BIG EFBIG, NOT_TTY ENOTTY, BAD_SEEK ESPIPE, BROKEN_PIPE EPIPE (and SIGPIPE, raised by
 * user/), NO_DEVICE ENXIO, IO_ERROR and CORRUPT EIO, BAD_HANDLE EBADF (not open for that),
 * LIMIT EMFILE or ENFILE, NO_MEMORY ENOMEM, UNSUPPORTED EOPNOTSUPP, KILLED: the world is
 * ending, unwind.
 */
#pragma once

#include "core/status.h"
#include "lib/list.h"
#include "mem/addr.h"
#include "world/mutex.h"

#define VFS_NAME_MAX     255u   // bytes in one name, without NUL
#define VFS_PATH_MAX     4096u  // bytes in a path, with NUL
#define VFS_SYMLINKS_MAX 40u    // followed in one walk
#define VFS_GROUPS_MAX   32u

/* ---- attributes: the numbers of the Linux x86-64 ABI, so that nothing is translated ---- */

#define VFS_TYPE_MASK    0170000u
#define VFS_TYPE_FIFO    0010000u
#define VFS_TYPE_CHAR    0020000u
#define VFS_TYPE_DIR     0040000u
#define VFS_TYPE_BLOCK   0060000u
#define VFS_TYPE_REGULAR 0100000u
#define VFS_TYPE_LINK    0120000u
#define VFS_TYPE_SOCKET  0140000u
#define VFS_MODE_SETUID  04000u
#define VFS_MODE_SETGID  02000u
#define VFS_MODE_STICKY  01000u
#define VFS_MODE_BITS    07777u

struct vfs_attr {
    uint32_t mode;  // type and permission bits
    uint32_t link_count;
    uint32_t uid, gid;
    uint64_t inode;
    uint64_t device;                       // which mount
    uint64_t node_device;                  // device nodes: vfs_device(major, minor)
    uint64_t size;                         // bytes
    uint64_t blocks;                       // of 512 bytes that it occupies
    uint32_t block_size;                   // good size for I/O
    int64_t atime_ns, mtime_ns, ctime_ns;  // since 1970
};

static inline uint64_t vfs_device(uint32_t major, uint32_t minor)
{
    return (minor & 0xffu) | ((uint64_t)(major & 0xfffu) << 8) |
           ((uint64_t)(minor & ~0xffu) << 12) | ((uint64_t)(major & ~0xfffu) << 32);
}

/* What vnode_setattr() changes. */
#define VFS_SET_MODE  1u
#define VFS_SET_UID   2u
#define VFS_SET_GID   4u
#define VFS_SET_SIZE  8u
#define VFS_SET_ATIME 16u
#define VFS_SET_MTIME 32u
#define VFS_SET_NOW   64u  // with ATIME or MTIME: "now", which anybody who may write may do

/* Whom a call acts for: the effective ids. */
struct vfs_cred {
    uint32_t uid, gid;
    uint32_t group_count;
    uint32_t groups[VFS_GROUPS_MAX];
};
extern const struct vfs_cred vfs_cred_root;

/* What access is asked for; also the values of access(2). */
#define VFS_MAY_EXEC    1u
#define VFS_MAY_WRITE   2u
#define VFS_MAY_READ    4u

/* ---- O_* ---- */

#define VFS_O_RDONLY    00u
#define VFS_O_WRONLY    01u
#define VFS_O_RDWR      02u
#define VFS_O_ACCMODE   03u
#define VFS_O_CREAT     0100u
#define VFS_O_EXCL      0200u
#define VFS_O_NOCTTY    0400u
#define VFS_O_TRUNC     01000u
#define VFS_O_APPEND    02000u
#define VFS_O_NONBLOCK  04000u
#define VFS_O_DSYNC     010000u
#define VFS_O_ASYNC     020000u
#define VFS_O_DIRECT    040000u
#define VFS_O_LARGEFILE 0100000u
#define VFS_O_DIRECTORY 0200000u
#define VFS_O_NOFOLLOW  0400000u
#define VFS_O_NOATIME   01000000u
#define VFS_O_CLOEXEC   02000000u  // the fd's, not the file's: vfs ignores it
#define VFS_O_SYNC      04010000u
#define VFS_O_PATH      010000000u
#define VFS_O_SETTABLE                                                                         \
    (VFS_O_APPEND | VFS_O_NONBLOCK | VFS_O_ASYNC | VFS_O_DIRECT | VFS_O_NOATIME)

/* ---- poll ---- */

#define VFS_POLLIN     0x001u
#define VFS_POLLPRI    0x002u
#define VFS_POLLOUT    0x004u
#define VFS_POLLERR    0x008u
#define VFS_POLLHUP    0x010u
#define VFS_POLLNVAL   0x020u
#define VFS_POLLRDNORM 0x040u
#define VFS_POLLWRNORM 0x100u
#define VFS_POLLRDHUP  0x2000u

/*
 * Readiness. What can become ready embeds a poll_head and calls poll_notify() after each
 * change. Who waits links a poll_entry into the head of every file it waits for, and gets
 * `woken` called: in any context, under the head's lock (rank POLL), so it may only take locks
 * of higher rank (EPOLL, WAITQ) and must not call back into the file. The pattern of poll():
 *
 *     for each file:  events = file_poll(file, table)   // table->add() links an entry per head
 *     if nothing is ready: wait on the poller's own wait_queue, then file_poll(file, NULL)
 *     again for each entry: poll_entry_remove()
 *
 * Linking before looking loses no event. An edge-triggered epoll keeps its entries linked and
 * remembers `events` of each call.
 */
struct poll_head {
    struct spinlock lock;  // rank POLL
    struct list entries;   // lock; struct poll_entry.link
};

struct poll_entry {
    struct list link;                                          // head->lock
    struct poll_head *head;                                    // null: not linked
    void (*woken)(struct poll_entry *entry, unsigned events);  // what happened, never 0
};

/* The caller's: called by file_ops.poll for each head that can change the answer. */
struct poll_table {
    void (*add)(struct poll_table *table, struct poll_head *head);
};

/* `name` is kept, not copied. */
void poll_head_init(struct poll_head *head, const char *name);
/* Any context that may take rank POLL. */
void poll_notify(struct poll_head *head, unsigned events);
void poll_entry_add(struct poll_head *head, struct poll_entry *entry);
/*
 * When it returns, woken() is not running and will not run. Unlinked already: nothing. The head
 * must still be there: hold a reference on the file, or use file_watch_add().
 */
void poll_entry_remove(struct poll_entry *entry);
/* For file_ops.poll: registers with a table that may be null. */
static inline void poll_wait_on(struct poll_table *table, struct poll_head *head)
{
    if (table)
        table->add(table, head);
}

/* ---- I/O requests ---- */

/*
 * One transfer, in kernel memory. `done` is set even when the status is not OK: a call that
 * moved some bytes and then would wait or fail says OK and a short count.
 */
struct vfs_iov {
    union {
        void *to;          // read
        const void *from;  // write
    };
    size_t size;
    uint64_t offset;  // of files that have one
    size_t done;      // out
    bool nonblock;    // O_NONBLOCK, or MSG_DONTWAIT: AGAIN instead of waiting
};

/* Called by readdir for each entry; false: no room for it, stop in front of it. `next` is the
 * position behind this entry. */
struct vfs_dir_sink {
    bool (*emit)(struct vfs_dir_sink *sink, const char *name, size_t length, uint64_t inode,
                 uint32_t type, uint64_t next);
};

struct vfs_statfs {
    uint64_t magic;
    uint32_t block_size;
    uint64_t blocks, blocks_free, blocks_available;
    uint64_t inodes, inodes_free;
    uint32_t name_max;
    uint32_t flags;  // of the mount
};

/* ---- vnodes ---- */

struct vnode;
struct mount;
struct file;

struct vnode_ops {
    /*
     * Names. (L) on `dir`. `name` is `length` bytes, 1..VFS_NAME_MAX, no '/', no NUL behind it,
     * and never "." ; ".." only in lookup, and never in a mount's root. Each result is one
     * reference. create makes a regular file, mknod anything else but directory and link; mode
     * has the type.
     * The new object belongs to `cred` (the group is the directory's if that has SETGID).
     * Null members answer UNSUPPORTED (READ_ONLY on a read-only mount; checked before the
     * call).
     */
    vmk_status (*lookup)(struct vnode *dir, const char *name, size_t length,
                         struct vnode **out);
    vmk_status (*create)(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                         const struct vfs_cred *cred, struct vnode **out);
    vmk_status (*mknod)(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                        uint64_t device, const struct vfs_cred *cred, struct vnode **out);
    vmk_status (*mkdir)(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                        const struct vfs_cred *cred, struct vnode **out);
    vmk_status (*symlink)(struct vnode *dir, const char *name, size_t length,
                          const char *target, const struct vfs_cred *cred);
    /* (L) also on `target`, which is no directory and of this mount. */
    vmk_status (*link)(struct vnode *dir, const char *name, size_t length,
                       struct vnode *target);
    /*
     * (L) also on `victim`, what lookup found: no directory; a directory for rmdir, which
     * answers NOT_EMPTY. Open files keep the data until the last vnode_put().
     */
    vmk_status (*unlink)(struct vnode *dir, const char *name, size_t length,
                         struct vnode *victim);
    vmk_status (*rmdir)(struct vnode *dir, const char *name, size_t length,
                        struct vnode *victim);
    /*
     * (L) on both directories (maybe the same), on `moved` and, if the new name is taken, on
     * `victim`, which it replaces atomically. Checked already: same mount, `moved` and `victim`
     * are both directories or neither, are not the same, and no directory goes below itself.
     * The file system checks that a victim directory is empty and sets ".." of a moved one.
     */
    vmk_status (*rename)(struct vnode *old_dir, const char *old_name, size_t old_length,
                         struct vnode *new_dir, const char *new_name, size_t new_length,
                         struct vnode *moved, struct vnode *victim);
    /*
     * (L). Emits entries from *position on, without "." and "..", and moves *position behind
     * the last one taken. Positions are the file system's own, from 2 up; one stays good while
     * entries come and go: no entry that was there all the time is missed or seen twice.
     */
    vmk_status (*readdir)(struct vnode *dir, uint64_t *position, struct vfs_dir_sink *sink);

    /* Links. (L). At most `size` bytes, no NUL; *length is what the whole target has. */
    vmk_status (*readlink)(struct vnode *link, char *out, size_t size, size_t *length);

    /*
     * Attributes. (L). setattr gets a checked request and updates ctime; SIZE comes as
     * truncate.
     */
    vmk_status (*getattr)(struct vnode *vnode, struct vfs_attr *out);
    vmk_status (*setattr)(struct vnode *vnode, const struct vfs_attr *attr, unsigned what);

    /*
     * Data of regular files. (L). A read beyond the end is OK with done = 0; a write may extend
     * the file, holes read as zeros. size may be 0. truncate also extends.
     */
    vmk_status (*read)(struct vnode *vnode, struct vfs_iov *iov);
    vmk_status (*write)(struct vnode *vnode, struct vfs_iov *iov);
    vmk_status (*truncate)(struct vnode *vnode, uint64_t size);
    /*
     * The file gets all space of [0, size), so that writing there cannot want for any, and is
     * at least that long. NO_SPACE: as much as there was may stay. Null: space comes with what
     * is written.
     */
    vmk_status (*allocate)(struct vnode *vnode, uint64_t size);
    vmk_status (*fsync)(struct vnode *vnode, bool data_only);

    /*
     * Pages for mmap. (L). page_get makes sure that page `index` of the file is in memory,
     * counts one more user of it and hands it out. It stays that machine page, with the file's
     * bytes, until as many page_put; also if the file is truncated or unlinked meanwhile.
     * `for_write`: the holder will write through a shared mapping (space is allocated, and the
     * page counts as dirty until the next fsync). Beyond the end of file: BAD_PARAM (SIGBUS);
     * the rest of the last page is zero. A private mapping takes it for reading, copies it at
     * the first write and puts it back. Null: the file system cannot map (then user/ reads into
     * private pages).
     */
    vmk_status (*page_get)(struct vnode *vnode, uint64_t index, bool for_write, mpn_t *out);
    void (*page_put)(struct vnode *vnode, uint64_t index, mpn_t page);
    /*
     * One more user of a page that the caller already uses (fork). Neither of these two takes
     * (L): any context that may take rank FILEPAGE, so with the address space locked; they
     * never block.
     */
    void (*page_ref)(struct vnode *vnode, uint64_t index, mpn_t page);

    /*
     * A link that leads to an object and not to a path (/proc/<pid>/fd/N). The vnode is set,
     * referenced; also the file, if it has no vnode of its own. Null: the walk uses readlink.
     */
    vmk_status (*follow)(struct vnode *link, struct vnode **vnode, struct file **file);

    /*
     * When a file is opened and closed, no lock held. open may set file->ops and file->private
     * to take over all further calls (devices and generated files do); may be null.
     */
    vmk_status (*open)(struct vnode *vnode, struct file *file);
    /*
     * The last reference is gone: write back what must be, free the blocks of the inode if it
     * has no name left, then vnode_end(), then free the memory. vnode_find() of that number
     * waits until vnode_end(). May block. No lock held.
     */
    void (*release)(struct vnode *vnode);
};

struct vnode {
    const struct vnode_ops *ops;  // (i)
    struct mount *mount;          // (i)
    uint64_t inode;               // (i) number, unique in the mount
    uint32_t type;                // (i) VFS_TYPE_*
    uint64_t node_device;         // (i) of device nodes
    uint32_t refs;                // (a)
    struct mutex lock;
    struct mount *mounted_here;  // vfs lock (spin); the mount that covers this directory
    struct list hash_link;       // vfs lock; on the table of vnode_find()
    bool dying;                  // vfs lock
    void *endpoint;       // lock; the pipe of an open FIFO, the socket bound to this name
    struct list locks;    // fs.locks_mutex; file_lock.c
    uint32_t mapped;      // (a) mappings of processes that ask for its pages; user/mm.c
    struct list watches;  // notify lock; notify.c
    uint32_t watch_refs;  // (a) written under the notify lock; how many those are
    bool nameless;        // (a) the last name went while somebody watched something
    void *private;        // the file system's
};

/*
 * Fills a vnode that the caller allocated (usually inside its own inode struct): one reference.
 */
void vnode_init(struct vnode *vnode, struct mount *mount, const struct vnode_ops *ops,
                uint64_t inode, uint32_t type, uint64_t node_device);
void vnode_ref(struct vnode *vnode);
void vnode_put(struct vnode *vnode);  // null is fine; may block in release()

/*
 * For file systems whose inodes live on disk: one vnode per inode number. vnode_find() answers
 * a referenced vnode of that number, or null; waits while it is being released. vnode_publish()
 * puts a prepared one into the table, or, if somebody was faster, leaves it alone (the caller
 * discards it with vnode_end()) and answers the other, referenced. File systems in memory need
 * neither.
 */
struct vnode *vnode_find(struct mount *mount, uint64_t inode);
struct vnode *vnode_publish(struct vnode *fresh);
/* The last call on a vnode, by release() or for a fresh one that was not published. */
void vnode_end(struct vnode *vnode);
/*
 * For file systems in memory, whose vnodes live as long as the inode has a name: vnode_keep()
 * turns the caller's reference into one of the file system's own, which does not keep the
 * volume from being unmounted; vnode_unkeep() turns it back, to be put.
 */
void vnode_keep(struct vnode *vnode);
void vnode_unkeep(struct vnode *vnode);

/* ---- mounts ---- */

#define VFS_MOUNT_RDONLY  1u
#define VFS_MOUNT_NOSUID  2u
#define VFS_MOUNT_NODEV   4u
#define VFS_MOUNT_NOEXEC  8u
#define VFS_MOUNT_NOATIME 1024u
#define VFS_MOUNT_REMOUNT 32u

struct mount_ops {
    /* Writes everything back. May be null. */
    vmk_status (*sync)(struct mount *mount);
    vmk_status (*statfs)(struct mount *mount, struct vfs_statfs *out);
    /* Changes flags or options of a mounted file system. May be null (flags only). */
    vmk_status (*remount)(struct mount *mount, uint32_t flags, const char *options);
    /*
     * The last step, after sync(): nobody holds a vnode any more; mount->root was put just
     * before.
     * Frees the kept vnodes and mount->private. What could not be written is logged.
     */
    void (*unmount)(struct mount *mount);
};

struct mount {
    const struct mount_ops *ops;
    const struct vfs_type *type;
    struct vnode *root;    // referenced
    struct vnode *covers;  // referenced; null for the root of all
    struct mutex rename_lock;
    uint64_t device;  // (i) st_dev
    uint32_t flags;
    uint32_t refs;         // (a) the table, and those who look at it
    struct list all_link;  // vfs lock
    uint32_t users;        // (a) references to its vnodes, but kept ones
    char source[64];       // as /proc/mounts shows it
    char target[256];
    char options[96];
    void *private;
};

/* A kind of file system, registered once. */
struct vfs_type {
    const char *name;  // as mount -t has it
    /* Opens `source` and sets mount->ops, ->private and ->root (one reference). `mount` has its
     * flags, source and device already. */
    vmk_status (*mount)(struct mount *mount, const char *source, const char *options);
    struct list link;
};
/* The struct stays for good. At boot, or in a world. */
void vfs_type_register(struct vfs_type *type);

/* Gives back a mount that vfs_mount_at() referenced. May block. */
void mount_put(struct mount *mount);

/* ---- where a path begins, and for whom ---- */

struct vfs_where {
    const struct vfs_cred *cred;
    struct vnode *root;   // of absolute paths; ".." does not lead out of it
    struct vnode *start;  // of relative paths: the working directory, or an open directory
    uint32_t umask;
};
/* Is there a root? Not on a host that runs VMs only. */
bool vfs_is_up(void);
/*
 * Root user at the root of all: for the kernel's own calls, borrowed, valid while it is
 * mounted.
 */
struct vfs_where vfs_where_kernel(void);

/*
 * Brings fs/ up: after world_init(), in a world. Mounts visorfs on /, devfs on /dev, procfs on
 * /proc.
 * Loads the tardisks among the boot modules.
 */
must_check vmk_status fs_init(void);

/*
 * ---- paths ----
 *
 * Each walks `path` with where->cred's permissions, may block, and answers what the walk does
 * besides its own: NOT_FOUND (also for an empty path), NOT_DIR, NO_PERMISSION, NAME_TOO_LONG,
 * TOO_MANY_LINKS, and what the file system says. Results are referenced and the caller's; on
 * failure they are not set.
 */

#define VFS_WALK_NOFOLLOW  1u  // a link as the last part is the answer itself
#define VFS_WALK_DIRECTORY 2u  // anything else is NOT_DIR
/* What the path names. */
must_check vmk_status vfs_walk(const struct vfs_where *where, const char *path, unsigned flags,
                               struct vnode **out);
/* open(2). `mode` counts with O_CREAT; umask applies. */
must_check vmk_status vfs_open(const struct vfs_where *where, const char *path, uint32_t flags,
                               uint32_t mode, struct file **out);
/* mkdir(2), mknod(2) and so on: umask applies to `mode`; a taken name is EXISTS. */
must_check vmk_status vfs_mkdir(const struct vfs_where *where, const char *path, uint32_t mode);
must_check vmk_status vfs_mknod(const struct vfs_where *where, const char *path, uint32_t mode,
                                uint64_t device);
must_check vmk_status vfs_unlink(const struct vfs_where *where, const char *path);
must_check vmk_status vfs_rmdir(const struct vfs_where *where, const char *path);
must_check vmk_status vfs_symlink(const struct vfs_where *where, const char *target,
                                  const char *path);
/* Both `where` act for the same cred; old_where->start and new_where->start may differ. */
#define VFS_LINK_FOLLOW 1u
must_check vmk_status vfs_link(const struct vfs_where *old_where, const char *old_path,
                               const struct vfs_where *new_where, const char *new_path,
                               unsigned flags);
#define VFS_RENAME_NOREPLACE 1u
must_check vmk_status vfs_rename(const struct vfs_where *old_where, const char *old_path,
                                 const struct vfs_where *new_where, const char *new_path,
                                 unsigned flags);
/* getattr of a path. */
must_check vmk_status vfs_stat(const struct vfs_where *where, const char *path,
                               unsigned walk_flags, struct vfs_attr *out);
/* The absolute name of a directory as seen from `root`; NOT_FOUND if it was removed. At most
 * VFS_PATH_MAX bytes with NUL. "(unreachable)" comes before what lies outside of root. */
must_check vmk_status vfs_path_of(struct vnode *root, struct vnode *dir, char *out,
                                  size_t size);

/*
 * mount(2): root only (NOT_OWNER). `where` null: the kernel mounts the root of all. `source`
 * and `options` are the file system's; VFS_MOUNT_REMOUNT changes flags of what is mounted
 * there. NO_DEVICE: no such type.
 */
must_check vmk_status vfs_mount(const struct vfs_where *where, const char *type,
                                const char *source, const char *path, uint32_t flags,
                                const char *options);
/*
 * umount(2): root only. BUSY while somebody holds a vnode of it. What could not be written is
 * logged.
 */
must_check vmk_status vfs_unmount(const struct vfs_where *where, const char *path);
/* sync(2): every mount. */
void vfs_sync(void);
/* Mounts in the order they were made; false from the count on. The mount is referenced. */
must_check bool vfs_mount_at(size_t index, struct mount **out);

/* ---- on vnodes ---- */

/* Is it the group, or one of the groups? */
must_check bool vfs_in_group(const struct vfs_cred *cred, uint32_t gid);
/* What the permission bits say, for `may` of VFS_MAY_*. */
must_check bool vfs_attr_allows(const struct vfs_attr *attr, unsigned may,
                                const struct vfs_cred *cred);
/*
 * OK or NO_PERMISSION (READ_ONLY for writing on a read-only mount). Root may everything, but
 * execute only what somebody may execute.
 */
must_check vmk_status vnode_access(struct vnode *vnode, unsigned may,
                                   const struct vfs_cred *cred);
/* Attributes as they are; no permission is needed. Takes vnode->lock; may block. */
must_check vmk_status vnode_getattr(struct vnode *vnode, struct vfs_attr *out);
/*
 * Checks ownership and applies the rules: chmod by owner or root, chown by root (chgrp by the
 * owner into his groups), set-id bits fall off; sizes need write permission. cred null: no
 * checks.
 */
must_check vmk_status vnode_setattr(struct vnode *vnode, const struct vfs_attr *attr,
                                    unsigned what, const struct vfs_cred *cred);
/*
 * At most `size` bytes of a link's target, no NUL; *length is what it has. BAD_PARAM: no link.
 */
must_check vmk_status vnode_readlink(struct vnode *vnode, char *out, size_t size,
                                     size_t *length);
must_check vmk_status vnode_statfs(struct vnode *vnode, struct vfs_statfs *out);
/* Regular files, without opening: for loaders. */
must_check vmk_status vnode_read(struct vnode *vnode, struct vfs_iov *iov);
/* See vnode_ops. get may block; put and ref never do. */
must_check vmk_status vnode_page_get(struct vnode *vnode, uint64_t index, bool for_write,
                                     mpn_t *out);
void vnode_page_put(struct vnode *vnode, uint64_t index, mpn_t page);
void vnode_page_ref(struct vnode *vnode, uint64_t index, mpn_t page);

/* ---- open files ---- */

/*
 * What a file does. Regular files and directories use vfs's own table over vnode_ops. Any
 * member may be null: then the call answers UNSUPPORTED (read, write), BAD_SEEK (seek), NOT_TTY
 * (ioctl), or does the obvious (poll: always ready; fsync: BAD_PARAM).
 * No lock is held around these, but file->offset_lock for files that have an offset.
 */
struct file_ops {
    vmk_status (*read)(struct file *file, struct vfs_iov *iov);
    vmk_status (*write)(struct file *file, struct vfs_iov *iov);
    vmk_status (*readdir)(struct file *file, uint64_t *position, struct vfs_dir_sink *sink);
    /*
     * `argument` is the third argument as it came. `data` is null if the request has none; else
     * kernel memory of vfs_ioctl_shape() bytes, copied in before and out after as that says.
     */
    vmk_status (*ioctl)(struct file *file, uint32_t request, uint64_t argument, void *data);
    /* The events that hold now, of all kinds; adds its heads to `table` if that is not null. */
    unsigned (*poll)(struct file *file, struct poll_table *table);
    vmk_status (*fsync)(struct file *file, bool data_only);
    vmk_status (*truncate)(struct file *file, uint64_t size);
    vmk_status (*page_get)(struct file *file, uint64_t index, bool for_write, mpn_t *out);
    void (*page_put)(struct file *file, uint64_t index, mpn_t page);
    void (*page_ref)(struct file *file, uint64_t index, mpn_t page);
    /* Files without a vnode, or with better knowledge than it. */
    vmk_status (*getattr)(struct file *file, struct vfs_attr *out);
    /* What /proc/<pid>/fd/N shows for files without a name: "pipe:[17]". */
    int (*describe)(struct file *file, char *out, size_t size);
    /* O_NONBLOCK and its like changed. May be null. */
    void (*flags_changed)(struct file *file);
    /*
     * A descriptor of it was closed; `owner` is the table that had it. May be null, may block.
     */
    void (*closed)(struct file *file, const void *owner);
    /* The last reference went. May block. */
    void (*release)(struct file *file);
    bool seekable;       // has an offset: seek, pread and pwrite work
    bool seeks_to_zero;  // but one that means nothing: whatever is sought, it is 0
};

struct file_watch {
    struct list link;
    void (*gone)(struct file_watch *watch);  // the file's last reference went; before release()
};

struct file {
    const struct file_ops *ops;
    struct vnode *vnode;  // referenced; null for pipes, sockets and so on
    struct vnode *dir;    // referenced, may be null: the directory it was opened in
    char *name;           // the name in it; owned
    uint32_t flags;       // (a) VFS_O_ACCMODE and VFS_O_SETTABLE, VFS_O_PATH, VFS_O_DIRECTORY
    bool by_root;         // (i) opened by the root user: its writes leave set-id bits alone
    uint32_t refs;        // (a)
    struct mutex offset_lock;
    uint64_t offset;      // offset_lock
    struct list watches;  // vfs lock
    void *private;        // of ops
};

/* A file without a name: pipes, eventfds, sockets. */
must_check vmk_status file_create(const struct file_ops *ops, void *private, uint32_t flags,
                                  struct file **out);
/* Remembers where it was opened, if that is not known yet; failing is harmless. */
void file_name_set(struct file *file, struct vnode *dir, const char *name, size_t length);
void file_ref(struct file *file);
void file_put(struct file *file);  // null is fine; may block
/*
 * file_put() for a reference that was a descriptor: what the table of descriptors `owner` had
 * by it, such as record locks, goes. Null is fine.
 */
void file_close(struct file *file, const void *owner);

static inline bool file_may_read(const struct file *file)
{
    return (file->flags & (VFS_O_ACCMODE | VFS_O_PATH)) == VFS_O_RDONLY ||
           (file->flags & (VFS_O_ACCMODE | VFS_O_PATH)) == VFS_O_RDWR;
}

static inline bool file_may_write(const struct file *file)
{
    return (file->flags & (VFS_O_ACCMODE | VFS_O_PATH)) == VFS_O_WRONLY ||
           (file->flags & (VFS_O_ACCMODE | VFS_O_PATH)) == VFS_O_RDWR;
}

/*
 * At the file's offset, which they move (O_APPEND: at the end). BAD_HANDLE: not open for that.
 */
must_check vmk_status file_read(struct file *file, void *to, size_t size, size_t *done);
must_check vmk_status file_write(struct file *file, const void *from, size_t size,
                                 size_t *done);
/* At a place; BAD_SEEK if it has none. */
must_check vmk_status file_pread(struct file *file, void *to, size_t size, uint64_t offset,
                                 size_t *done);
must_check vmk_status file_pwrite(struct file *file, const void *from, size_t size,
                                  uint64_t offset, size_t *done);
/* The general form: iov->offset is used if at_offset. */
must_check vmk_status file_read_iov(struct file *file, struct vfs_iov *iov, bool at_offset);
must_check vmk_status file_write_iov(struct file *file, struct vfs_iov *iov, bool at_offset);

#define VFS_SEEK_SET 0
#define VFS_SEEK_CUR 1
#define VFS_SEEK_END 2
/*
 * lseek(2): *position is the new offset. BAD_SEEK: a pipe, socket or terminal. BAD_PARAM:
 * before 0.
 */
must_check vmk_status file_seek(struct file *file, int64_t by, unsigned whence,
                                uint64_t *position);
/*
 * getdents: the sink gets "." and ".." too. OK with nothing emitted: the end. The caller finds
 * out that one entry did not fit by its own sink.
 */
must_check vmk_status file_readdir(struct file *file, struct vfs_dir_sink *sink);
must_check vmk_status file_ioctl(struct file *file, uint32_t request, uint64_t argument,
                                 void *data);
/*
 * How many bytes the third argument of that request points to, and which way they go: bit 0
 * from the user, bit 1 to the user. 0 bytes: the argument is a number (or none).
 */
size_t vfs_ioctl_shape(uint32_t request, unsigned *direction);
/* VFS_POLL* that are true now; `table` may be null, else it learns which heads to watch. */
unsigned file_poll(struct file *file, struct poll_table *table);
must_check vmk_status file_fsync(struct file *file, bool data_only);
must_check vmk_status file_truncate(struct file *file, uint64_t size);
/* UNSUPPORTED: this file system sets no space aside. */
must_check vmk_status file_allocate(struct file *file, uint64_t size);
must_check vmk_status file_getattr(struct file *file, struct vfs_attr *out);
must_check vmk_status file_page_get(struct file *file, uint64_t index, bool for_write,
                                    mpn_t *out);
void file_page_put(struct file *file, uint64_t index, mpn_t page);
void file_page_ref(struct file *file, uint64_t index, mpn_t page);
/* fcntl(F_SETFL): only VFS_O_SETTABLE bits change. */
void file_flags_set(struct file *file, uint32_t flags);
/* Where it was opened, as an absolute path seen from `root`, or what describe() says. */
must_check vmk_status file_path(struct vnode *root, struct file *file, char *out, size_t size);

/* For epoll: be told when the file goes. remove is false if gone() was or is being called. */
void file_watch_add(struct file *file, struct file_watch *watch);
must_check bool file_watch_remove(struct file *file, struct file_watch *watch);

/* ---- pipes, sockets ---- */

#define VFS_PIPE_ATOMIC 4096u  // PIPE_BUF: writes up to it do not mix with others
/* flags: VFS_O_NONBLOCK. A write without readers answers BROKEN_PIPE. */
must_check vmk_status pipe_create(uint32_t flags, struct file **read_end,
                                  struct file **write_end);
/* A pipe's end, or an open FIFO. */
bool file_is_pipe(const struct file *file);
/* As a read of such a file, but what is read stays there. */
must_check vmk_status pipe_peek(struct file *file, struct vfs_iov *iov);

/* ---- devices ---- */

/*
 * A character or block device: opening a node with that number calls `open`, which sets
 * file->ops and file->private (the file's vnode stays the node). Registered ones appear in /dev
 * by themselves.
 */
struct vfs_device_driver {
    const char *name;  // below /dev, folders are made: "pts/0"
    uint32_t type;     // VFS_TYPE_CHAR or VFS_TYPE_BLOCK
    uint32_t mode;     // permission bits
    uint64_t device;   // vfs_device(major, minor)
    vmk_status (*open)(struct vfs_device_driver *driver, struct file *file);
    void *private;
    struct list link;
    uint32_t opening;  // fs lock; calls of open() that run
};
/* `driver` is kept. EXISTS: the number is taken. Unregistering waits for
 * an open() that runs. World context, nothing locked. [switch] */
must_check vmk_status vfs_device_register(struct vfs_device_driver *driver);
void vfs_device_unregister(struct vfs_device_driver *driver);

/* Random bytes, as /dev/urandom has them. Any context. */
void vfs_random(void *out, size_t size);
/*
 * Nanoseconds since 1970: the wall clock, which the RTC set at boot and vfs_time_move() since.
 */
int64_t vfs_time_now(void);
/* What it is ahead of plat_time_now(). */
int64_t vfs_time_offset(void);
void vfs_time_move(int64_t ns);
