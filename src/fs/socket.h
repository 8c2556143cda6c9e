// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/socket.h -- unix-domain sockets: stream, datagram and packet, by path, by name or in pairs.
 *
 * The system calls are user/'s; here are sockets as files. A socket file also reads and writes.
 * Errors beside those of vfs.h: REFUSED ECONNREFUSED, NOT_CONNECTED ENOTCONN, CONNECTED
 * EISCONN, ADDRESS_IN_USE EADDRINUSE, WRONG_TYPE EPROTOTYPE; TOO_BIG is EMSGSIZE here,
 * BAD_HANDLE ENOTSOCK (the file is no socket).
 */
#pragma once

#include "fs/vfs.h"

enum unix_type {
    UNIX_STREAM = 1,
    UNIX_DATAGRAM = 2,
    UNIX_PACKET = 5,  // SOCK_SEQPACKET
};

#define UNIX_NAME_MAX  108u
#define UNIX_FILES_MAX 16u  // passed with one message

/*
 * The sun_path of an address: a path (no NUL inside), or an abstract name (first byte 0), or
 * none (length 0).
 */
struct unix_name {
    char bytes[UNIX_NAME_MAX];
    size_t length;
};

struct unix_peer {
    uint32_t pid, uid, gid;
};

struct unix_message {
    void *data;
    size_t size;
    size_t done;          // out
    bool truncated;       // out: a datagram did not fit
    bool nonblock, peek;  // MSG_DONTWAIT, MSG_PEEK
    bool wait_all;        // MSG_WAITALL
    struct unix_peer sender;
    struct unix_name name;  // of the sender, or where to (length 0: the connected one)
    /* SCM_RIGHTS: sending borrows the references, receiving hands them out. */
    struct file *files[UNIX_FILES_MAX];
    unsigned file_count;
};

/*
 * A socket as a file, referenced; of a pair, both ends, connected. `flags`: VFS_O_NONBLOCK.
 * NO_MEMORY.
 */
must_check vmk_status unix_socket_create(enum unix_type type, uint32_t flags,
                                         struct file **out);
must_check vmk_status unix_socket_pair(enum unix_type type, uint32_t flags,
                                       const struct unix_peer *self, struct file *out[2]);
/* Makes the node (mode 0777 & ~umask) or takes the abstract name. */
must_check vmk_status unix_bind(struct file *file, const struct vfs_where *where,
                                const struct unix_name *name);
must_check vmk_status unix_listen(struct file *file, unsigned backlog,
                                  const struct unix_peer *self);
must_check vmk_status unix_accept(struct file *file, uint32_t flags, struct file **out);
must_check vmk_status unix_connect(struct file *file, const struct vfs_where *where,
                                   const struct unix_name *name, const struct unix_peer *self);
/* `where` is used for datagrams with a path. */
must_check vmk_status unix_send(struct file *file, const struct vfs_where *where,
                                struct unix_message *message);
must_check vmk_status unix_receive(struct file *file, struct unix_message *message);
/* SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2. */
must_check vmk_status unix_shutdown(struct file *file, unsigned how);
/* getsockname, getpeername. */
must_check vmk_status unix_name_of(struct file *file, bool peer, struct unix_name *out);
/* SO_PEERCRED. */
must_check vmk_status unix_peer_of(struct file *file, struct unix_peer *out);
enum unix_type unix_type_of(struct file *file);  // 0: no unix socket
bool unix_is_listening(struct file *file);
