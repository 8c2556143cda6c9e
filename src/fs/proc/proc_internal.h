// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_internal.h -- what the files of procfs share.
 */
#pragma once

#include "core/heap.h"
#include "fs/proc/procfs.h"
#include "fs/vfs_internal.h"

/* A registered file, or a directory on the way to one. */
struct proc_node {
    struct vnode vnode;  // of the mounted procfs, kept; valid if `linked`
    struct list siblings;
    struct list children;  // directories
    struct proc_node *parent;
    uint64_t cookie;  // its position for readdir
    bool is_dir;
    uint32_t permissions;
    procfs_show show;
    procfs_store store;
    void *argument;
    struct mutex calls;  // held around show and store
    bool dead;           // calls: unregistered
    char name[];
};

struct procfs {
    struct mutex lock;  // the tree of nodes
    struct proc_node *root;
    struct mount *mount;
    uint64_t next_cookie;
    uint64_t next_inode;
    /* Load averages: (loads.) */
    struct mutex loads;
    plat_ns load_at;        // loads; when `load` was brought up to date
    plat_ns load_integral;  // loads; busy time of all CPUs up to then
    uint32_t load[3];       // loads; of 1, 5, 15 minutes, in 1/2048
};

/* Positions of /proc: registered nodes by cookie, `self`, then processes. */
#define PROC_POSITION_SELF (1ull << 32)
#define PROC_POSITION_PIDS (1ull << 33)

/* A file whose text one of these makes. */
struct proc_source {
    vmk_status (*show)(const struct proc_source *source, struct procfs_text *out);
    vmk_status (*store)(const struct proc_source *source, const char *text, size_t length);
    struct proc_node *node;  // referenced by the open file's vnode
    const struct procfs_process_file *process_file;
    uint32_t pid;
};
/* Turns a freshly opened file into one that reads `source`. */
must_check vmk_status proc_file_open(struct file *file, const struct proc_source *source);
/* What any of these vnodes says of itself: root owns it, and it is as old as the look at it. */
struct vfs_attr proc_attr(const struct vnode *vnode, uint32_t permissions);

/* proc_sched.c */
must_check vmk_status procfs_sched_register(void);
/* proc_storage.c */
must_check vmk_status procfs_storage_register(void);
/* proc_trace.c */
must_check vmk_status procfs_trace_register(void);

/* proc_process.c */
must_check vmk_status proc_process_lookup(struct vnode *root, const char *name, size_t length,
                                          struct vnode **out);
vmk_status proc_process_readdir(struct vnode *root, uint64_t *position,
                                struct vfs_dir_sink *sink);
