// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/socket_internal.h -- struct usock and what the two files of unix-domain sockets share.
 */
#pragma once

#include "fs/socket.h"
#include "fs/vfs_internal.h"

#define USOCK_LIMIT  131072u  // bytes that wait in one socket
#define USOCK_CHUNK  16384u   // of a stream, in one message
#define USOCK_PACKET 65536u   // largest datagram

struct usock_message {
    struct list link;
    struct unix_peer sender;
    struct unix_name name;
    struct file *files[UNIX_FILES_MAX];
    unsigned file_count;
    size_t size, read;
    char data[];
};

enum usock_state {
    USOCK_IDLE,
    USOCK_LISTENING,
    USOCK_CONNECTED,
};

struct usock {
    uint32_t refs;
    enum unix_type type;
    enum usock_state state;
    bool closed;  // no file any more
    bool no_read, no_write;
    struct usock *peer;  // one reference
    struct list queue;
    size_t queued;
    struct list pending, pending_link;  // a listener's unaccepted sockets
    unsigned backlog, pending_count;
    struct unix_peer self, other;
    struct unix_name name;
    struct vnode *node;  // one reference; where it is bound
    struct list names;   // fs_state.abstract, if the name is abstract
    struct fs_event changed;
    struct poll_head poll;
    uint64_t inode;
};

#define USOCK_TELL_ALL                                                                         \
    (VFS_POLLIN | VFS_POLLOUT | VFS_POLLHUP | VFS_POLLRDNORM | VFS_POLLWRNORM | VFS_POLLRDHUP)

/* ---- socket.c ---- */
struct usock *usock_of(struct file *file);  // null: no unix socket
/* The one mutex of all sockets. */
void usock_lock(void);
void usock_unlock(void);
/*
 * Wakes whoever waits for this socket. It stays while the caller has a reference or the lock.
 */
void usock_tell(struct usock *s, unsigned events);
void usock_put_unlocked(struct usock *s);  // null is fine
/* The socket of that name, referenced. */
must_check vmk_status usock_find(const struct vfs_where *where, const struct unix_name *name,
                                 struct usock **out);
/* Not with the lock held: files of the messages are closed, and they may be sockets. */
void usock_trash_free(struct list *trash);
