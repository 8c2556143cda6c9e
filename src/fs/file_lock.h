// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/file_lock.h -- advisory locks on files: fcntl's records and flock's whole files.
 *
 * Whoever locks is named by a pointer that is only compared: a table of descriptors for POSIX
 * records, an open file for flock and for records that belong to it.
 */
#pragma once

#include "fs/vfs.h"

enum file_lock_kind {
    FILE_LOCK_RECORD,  // a range of bytes
    FILE_LOCK_WHOLE,   // flock: does not see records, nor they it
};

enum file_lock_type {
    FILE_LOCK_READ,
    FILE_LOCK_WRITE,
    FILE_LOCK_NONE,  // unlock
};

struct file_lock {
    enum file_lock_kind kind;
    enum file_lock_type type;
    uint64_t start, end;  // first and last byte; INT64_MAX: up to the end, wherever that is
    const void *owner;
    int32_t pid;  // of who asked; -1: an open file's
};

/*
 * Replaces what the owner has of that range by `lock`. With `wait`, blocks until it can be had.
 * AGAIN: somebody else has it. DEADLOCK: waiting would not end. LIMIT, NO_MEMORY, INTERRUPTED,
 * KILLED. The file has a vnode.
 */
must_check vmk_status file_lock_set(struct vnode *vnode, const struct file_lock *lock,
                                    bool wait);
/* Is there somebody in the way of `lock`? Then *lock becomes what he has. */
must_check bool file_lock_find(struct vnode *vnode, struct file_lock *lock);
/* All that the owner has on that file goes. */
void file_locks_drop(struct vnode *vnode, const void *owner);
