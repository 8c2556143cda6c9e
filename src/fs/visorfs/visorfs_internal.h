// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/visorfs_internal.h -- what the files of visorfs share.
 */
#pragma once

#include "core/heap.h"
#include "core/spinlock.h"
#include "fs/vfs_internal.h"
#include "fs/visorfs/visorfs.h"
#include "mem/page.h"

/*
 * One page of a file is a word: nothing (0), or
 *   63        24 23      8 7     1 0
 *  | MPN        | users   |       | tardisk: not charged to the quota |
 * users: how many mappings hold it. A page that was cut off while in use waits on `orphans`.
 */
#define SLOT_TARDISK   1ull
#define SLOT_USER      (1ull << 8)
#define SLOT_USERS_MAX 0xffffull

static inline uint64_t slot_make(mpn_t page, uint64_t flags)
{
    return (page.raw << 24) | flags;
}
static inline mpn_t slot_page(uint64_t slot)
{
    return mpn_make(slot >> 24);
}
static inline uint64_t slot_users(uint64_t slot)
{
    return (slot >> 8) & SLOT_USERS_MAX;
}

#define DATA_NEAR      64u   // slots in the array that grows
#define DATA_NODE      512u  // slots in each page of slots behind it
#define DATA_NODES_MAX 32768u
#define DATA_SIZE_MAX  ((DATA_NEAR + (uint64_t)DATA_NODES_MAX * DATA_NODE) * PAGE_SIZE)

struct orphan {
    struct orphan *next;
    uint64_t slot;
};

/*
 * The pages of one regular file. Slots change under vnode.lock; their `users` under `lock` too.
 */
struct visor_data {
    struct spinlock lock;  // rank FILEPAGE
    uint64_t *near;        // slots 0 .. near_count-1
    uint32_t near_count;
    uint32_t node_count;     // room in nodes
    uint64_t **nodes;        // pages of slots, by (index - DATA_NEAR) / DATA_NODE
    uint64_t pages;          // slots in use
    struct orphan *orphans;  // lock
};

struct visor_entry {
    struct list by_cookie;      // struct visor_inode.entries, rising
    struct visor_entry *chain;  // in its bucket
    uint64_t cookie;            // its position for readdir, never reused in this directory
    struct visor_inode *inode;  // one name of it
    uint32_t hash;
    uint8_t length;
    char name[];
};

struct visor_inode {
    struct vnode vnode;
    struct visorfs *volume;
    struct list volume_link;  // volume.lock
    uint32_t mode, uid, gid;
    uint32_t link_count;
    uint64_t size;
    int64_t atime_ns, mtime_ns, ctime_ns;
    struct visor_tardisk *layer;  // where it came from, until it is changed
    union {
        struct visor_data data;
        struct {
            struct list entries;
            struct visor_entry **buckets;
            uint32_t bucket_count;  // a power of two
            uint32_t entry_count;
            uint64_t next_cookie;
            struct visor_inode *parent;  // null: removed, or the root
        } dir;
        char *target;
    };
};

struct visorfs {
    struct mount *mount;
    char name[32];
    struct spinlock lock;  // rank FILEPAGE: the counts and the list
    struct list inodes;    // lock
    uint64_t pages_max, pages_used;
    uint64_t tardisk_pages;
    uint32_t inodes_max, inodes_used;
    uint64_t next_inode;
    uint32_t refusals;
    bool full_logged;  // until a tenth is free again
};

struct visor_tardisk {
    struct list link;  // fs_state.tardisks, fs lock
    struct visorfs_tardisk facts;
};

static inline struct visor_inode *visor_of(struct vnode *vnode)
{
    return container_of(vnode, struct visor_inode, vnode);
}

/* ---- visorfs.c ---- */
extern const struct vnode_ops visor_ops;
/* Removes everything below a directory that nobody else sees. */
void visor_clear(struct visor_inode *tree);
/* An inode with no name yet; one reference of the caller. */
must_check vmk_status visor_inode_new(struct visorfs *volume, uint32_t mode,
                                      const struct vfs_cred *cred, uint64_t device,
                                      struct visor_inode **out);
/* Says so once, until there is room again; returns `status`. */
vmk_status visor_refuse(struct visorfs *volume, vmk_status status, const char *what);

/* Takes a name off, and the inode with it if it was the last. The directory is locked. */
void visor_remove(struct visor_inode *dir, struct visor_entry *entry);

/* ---- dir.c ---- */
struct visor_entry *visor_find(struct visor_inode *dir, const char *name, size_t length);
/* Adds a name; counts a link (and the ".." of a directory). Takes no reference over. */
must_check vmk_status visor_enter(struct visor_inode *dir, const char *name, size_t length,
                                  struct visor_inode *inode);
/* Takes the entry off and frees it; uncounts. */
void visor_leave(struct visor_inode *dir, struct visor_entry *entry);
/* Puts an entry into another directory. Allocates nothing. */
void visor_move(struct visor_inode *from, struct visor_inode *to, struct visor_entry *entry);
void visor_dir_init(struct visor_inode *dir, struct visor_inode *parent);
void visor_dir_free(struct visor_inode *dir);

/* ---- data.c ---- */
void visor_data_init(struct visor_data *data);
void visor_data_free(struct visor_inode *inode);
vmk_status visor_read(struct vnode *vnode, struct vfs_iov *iov);
vmk_status visor_write(struct vnode *vnode, struct vfs_iov *iov);
vmk_status visor_truncate(struct vnode *vnode, uint64_t size);
vmk_status visor_page_get(struct vnode *vnode, uint64_t index, bool for_write, mpn_t *out);
void visor_page_put(struct vnode *vnode, uint64_t index, mpn_t page);
void visor_page_ref(struct vnode *vnode, uint64_t index, mpn_t page);
/* Appends to a file of a tardisk under construction; nobody else sees it. */
must_check vmk_status visor_append_tardisk(struct visor_inode *inode, const void *bytes,
                                           size_t size);
