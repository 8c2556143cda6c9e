// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_socket.c -- system calls on unix-domain sockets: making, naming, connecting, options.
 *
 * The sockets are fs/socket.h's; here addresses are taken apart and put together. What moves
 * over them is sys_message.c. Other families answer EAFNOSUPPORT until the network is there.
 *
 * Locking    none; sockets carry their own.
 * Start at   sys_socket(), bind_or_connect().
 * Sources    unix(7), socket(7)
 */
#include "lib/string.h"
#include "user/user_socket.h"

#define AF_NETLINK     16u
#define SOCK_TYPE_MASK 15u
#define SOCK_NONBLOCK  04000u
#define SOCK_CLOEXEC   02000000u
#define SO_TYPE        3u
#define SO_ERROR       4u
#define SO_SNDBUF      7u
#define SO_RCVBUF      8u
#define SO_PEERCRED    17u
#define SO_ACCEPTCONN  30u
#define SO_PROTOCOL    38u
#define SO_DOMAIN      39u

#define ADDRESS_SIZE   (2u + UNIX_NAME_MAX)

int64_t socket_errno(vmk_status status)
{
    if (status == VMK_BAD_HANDLE)
        return -L_ENOTSOCK;
    if (status == VMK_TOO_BIG)
        return -L_EMSGSIZE;
    return user_errno_restart(status);
}

struct unix_peer socket_peer_of(const struct thread *t)
{
    const struct process *p = t->process;

    return (struct unix_peer){.pid = p->pid, .uid = p->euid, .gid = p->egid};
}

/* ---- addresses ---- */

int64_t socket_name_in(struct thread *t, uint64_t at, uint64_t length, struct unix_name *out)
{
    uint8_t raw[ADDRESS_SIZE];
    int64_t error;

    if (length < 2 || length > sizeof(raw))
        return -L_EINVAL;
    error = user_in(t, raw, at, (size_t)length);
    if (error)
        return error;
    if ((raw[0] | raw[1] << 8) != AF_UNIX)
        return -L_EAFNOSUPPORT;
    out->length = (size_t)length - 2;
    memcpy(out->bytes, raw + 2, out->length);
    if (out->length && out->bytes[0]) {  // a path ends at its NUL
        size_t n = 0;

        while (n < out->length && out->bytes[n])
            n++;
        out->length = n;
    }
    return 0;
}

int64_t socket_name_out(struct thread *t, uint64_t at, uint64_t length_at,
                        const struct unix_name *name)
{
    uint8_t raw[ADDRESS_SIZE + 1] = {AF_UNIX, 0};
    uint32_t room, whole = 2 + (uint32_t)name->length;
    int64_t error;

    if (!at || !length_at)
        return 0;
    error = user_in(t, &room, length_at, sizeof(room));
    if (error)
        return error;
    if ((int32_t)room < 0)
        return -L_EINVAL;
    memcpy(raw + 2, name->bytes, name->length);
    if (name->length && name->bytes[0])
        whole++;  // the NUL behind a path
    error = user_out(t, at, raw, MIN(room, whole));
    return error ? error : user_out(t, length_at, &whole, sizeof(whole));
}

/* ---- sockets and connections ---- */

static uint32_t file_flags(uint64_t type)
{
    return (type & SOCK_NONBLOCK) ? VFS_O_NONBLOCK : 0;
}

static int64_t check_kind(uint64_t family, uint64_t type, uint64_t protocol)
{
    if (family != AF_UNIX)
        return -L_EAFNOSUPPORT;
    if ((type & ~(uint64_t)(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -L_EINVAL;
    return protocol > 1 ? -L_EPROTONOSUPPORT : 0;
}

int64_t sys_socket(struct thread *t, const uint64_t *a)
{
    struct file *file;
    bool netlink = a[0] == AF_NETLINK;
    int64_t error = check_kind(netlink ? AF_UNIX : a[0], a[1], a[2]);
    vmk_status status;

    if (error)
        return error;
    if (netlink)
        status = netlink_create(file_flags(a[1]), &file);
    else
        status = unix_socket_create((enum unix_type)(a[1] & SOCK_TYPE_MASK), file_flags(a[1]),
                                    &file);
    if (status == VMK_UNSUPPORTED)
        return -L_ESOCKTNOSUPPORT;
    if (status != VMK_OK)
        return socket_errno(status);
    return user_fd_install(t, file, 0, (a[1] & SOCK_CLOEXEC) != 0);
}

int64_t sys_socketpair(struct thread *t, const uint64_t *a)
{
    bool cloexec = (a[1] & SOCK_CLOEXEC) != 0;
    struct unix_peer self = socket_peer_of(t);
    struct file *pair[2];
    int64_t error = check_kind(a[0], a[1], a[2]);
    int64_t first, second;
    int32_t fds[2];
    vmk_status status;

    if (error)
        return error;
    status = unix_socket_pair((enum unix_type)(a[1] & SOCK_TYPE_MASK), file_flags(a[1]), &self,
                              pair);
    if (status == VMK_UNSUPPORTED)
        return -L_ESOCKTNOSUPPORT;
    if (status != VMK_OK)
        return socket_errno(status);
    first = user_fd_install(t, pair[0], 0, cloexec);
    if (first < 0) {
        file_put(pair[1]);
        return first;
    }
    second = user_fd_install(t, pair[1], 0, cloexec);
    if (second < 0) {
        (void)user_fd_close(t, (uint64_t)first);
        return second;
    }
    fds[0] = (int32_t)first;
    fds[1] = (int32_t)second;
    error = user_out(t, a[3], fds, sizeof(fds));
    if (error) {
        (void)user_fd_close(t, (uint64_t)first);
        (void)user_fd_close(t, (uint64_t)second);
    }
    return error;
}

/* bind and connect: both are given an address, that may be a path. */
static int64_t bind_or_connect(struct thread *t, const uint64_t *a, bool connect)
{
    struct file *file = user_fd_get(t, a[0]);
    struct unix_peer self = socket_peer_of(t);
    struct unix_name name;
    struct user_path path;
    vmk_status status;
    int64_t error;

    if (!file)
        return -L_EBADF;
    error = socket_name_in(t, a[1], a[2], &name);
    if (!error) {
        where_get(t, &path);
        status = connect ? unix_connect(file, &path.where, &name, &self)
                         : unix_bind(file, &path.where, &name);
        error = socket_errno(status);
        path_put(&path);
    }
    file_put(file);
    return error;
}

int64_t sys_bind(struct thread *t, const uint64_t *a)
{
    return bind_or_connect(t, a, false);
}

int64_t sys_connect(struct thread *t, const uint64_t *a)
{
    return bind_or_connect(t, a, true);
}

int64_t sys_listen(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct unix_peer self = socket_peer_of(t);
    int64_t error;

    if (!file)
        return -L_EBADF;
    error = socket_errno(unix_listen(file, (int32_t)a[1] < 0 ? 4096 : (unsigned)a[1], &self));
    file_put(file);
    return error;
}

static int64_t accept_one(struct thread *t, const uint64_t *a, uint64_t flags)
{
    struct file *file = user_fd_get(t, a[0]);
    struct unix_name name = {.length = 0};
    struct file *accepted;
    int64_t error;

    if (!file)
        return -L_EBADF;
    if (flags & ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC)) {
        file_put(file);
        return -L_EINVAL;
    }
    error = socket_errno(unix_accept(file, file_flags(flags), &accepted));
    file_put(file);
    if (error)
        return error;
    (void)!unix_name_of(accepted, true, &name);
    error = socket_name_out(t, a[1], a[2], &name);
    if (error) {
        file_put(accepted);
        return error;
    }
    return user_fd_install(t, accepted, 0, (flags & SOCK_CLOEXEC) != 0);
}

int64_t sys_accept(struct thread *t, const uint64_t *a)
{
    return accept_one(t, a, 0);
}

int64_t sys_accept4(struct thread *t, const uint64_t *a)
{
    return accept_one(t, a, a[3]);
}

int64_t sys_shutdown(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    int64_t error;

    if (!file)
        return -L_EBADF;
    error = socket_errno(unix_shutdown(file, (unsigned)MIN(a[1], 3u)));
    file_put(file);
    return error;
}

static int64_t name_call(struct thread *t, const uint64_t *a, bool peer)
{
    struct file *file = user_fd_get(t, a[0]);
    struct unix_name name;
    int64_t error;

    if (!file)
        return -L_EBADF;
    error = socket_errno(unix_name_of(file, peer, &name));
    file_put(file);
    return error ? error : socket_name_out(t, a[1], a[2], &name);
}

int64_t sys_getsockname(struct thread *t, const uint64_t *a)
{
    return name_call(t, a, false);
}

int64_t sys_getpeername(struct thread *t, const uint64_t *a)
{
    return name_call(t, a, true);
}

/* ---- options ---- */

int64_t sys_setsockopt(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    int64_t error = 0;

    if (!file)
        return -L_EBADF;
    if (!unix_type_of(file))
        error = -L_ENOTSOCK;
    else if (a[1] != SOL_SOCKET)
        error = -L_ENOPROTOOPT;
    file_put(file);
    return error;  // buffer sizes and time-outs are noted and change nothing
}

int64_t sys_getsockopt(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    uint32_t value[3] = {0}, size = 4, room;
    struct unix_peer peer;
    int64_t error;

    if (!file)
        return -L_EBADF;
    error = user_in(t, &room, a[4], sizeof(room));
    if (!unix_type_of(file)) {
        error = -L_ENOTSOCK;
    } else if (!error && a[1] != SOL_SOCKET) {
        error = -L_ENOPROTOOPT;
    } else if (!error) {
        switch (a[2]) {
        case SO_TYPE: value[0] = unix_type_of(file); break;
        case SO_DOMAIN: value[0] = AF_UNIX; break;
        case SO_ACCEPTCONN: value[0] = unix_is_listening(file); break;
        case SO_SNDBUF:
        case SO_RCVBUF: value[0] = 131072; break;
        case SO_ERROR:
        case SO_PROTOCOL: break;
        case SO_PEERCRED:
            (void)!unix_peer_of(file, &peer);
            value[0] = peer.pid;
            value[1] = peer.uid;
            value[2] = peer.gid;
            size = 12;
            break;
        default: error = -L_ENOPROTOOPT; break;
        }
    }
    file_put(file);
    size = MIN(size, room);
    if (!error)
        error = user_out(t, a[3], value, size);
    return error ? error : user_out(t, a[4], &size, sizeof(size));
}
