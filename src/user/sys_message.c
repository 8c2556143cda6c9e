// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_message.c -- what moves over unix-domain sockets: bytes, names, descriptors.
 *
 * Scattered buffers and passed descriptors are taken apart on the way in and put together on
 * the way out; between the two stands one struct unix_message of fs/socket.h.
 *
 * Invariants
 *   - One message moves at most MESSAGE_MAX bytes in one piece; a longer stream goes piece by
 *     piece.
 *   - Files of a message are references of struct unix_message until they have a descriptor.
 * Locking    none; sockets carry their own.
 * Start at   sys_sendmsg(), sys_recvmsg().
 * Sources    send(2), recv(2), cmsg(3), unix(7)
 */
#include "lib/string.h"
#include "user/user_socket.h"

#define MSG_PEEK         0x2u
#define MSG_CTRUNC       0x8u
#define MSG_TRUNC        0x20u
#define MSG_DONTWAIT     0x40u
#define MSG_WAITALL      0x100u
#define MSG_NOSIGNAL     0x4000u
#define MSG_CMSG_CLOEXEC 0x40000000u
#define SCM_RIGHTS       1u

#define MESSAGE_MAX      65536u
#define IOV_MAX          1024u
#define CONTROL_MAX      1024u

struct l_msghdr {
    uint64_t name;
    uint32_t name_length, pad0;
    uint64_t iov, iov_count;
    uint64_t control, control_length;
    uint32_t flags, pad1;
};
_Static_assert(sizeof(struct l_msghdr) == 56, "struct msghdr of the ABI");

struct l_iov {
    uint64_t base, size;
};

struct l_cmsghdr {
    uint64_t length;
    uint32_t level, type;
};

/* ---- scattered buffers ---- */

/* The user's side of one transfer. */
struct scatter {
    struct thread *t;
    struct l_iov *iov;
    size_t count, index;
    uint64_t offset;  // in iov[index]
};

static uint64_t scatter_left(const struct scatter *s)
{
    uint64_t left = 0;

    for (size_t i = s->index; i < s->count; i++)
        left += s->iov[i].size;
    return left - (s->index < s->count ? s->offset : 0);
}

/* Moves `size` bytes between a buffer and where the user's side stands. */
static int64_t scatter_copy(struct scatter *s, char *buffer, size_t size, bool out)
{
    while (size) {
        struct l_iov *v = &s->iov[s->index];
        size_t part = (size_t)MIN((uint64_t)size, v->size - s->offset);
        int64_t error = out ? user_out(s->t, v->base + s->offset, buffer, part)
                            : user_in(s->t, buffer, v->base + s->offset, part);

        if (error)
            return error;
        buffer += part;
        size -= part;
        s->offset += part;
        if (s->offset == v->size) {
            s->index++;
            s->offset = 0;
        }
    }
    return 0;
}

static int64_t scatter_in(struct thread *t, uint64_t at, uint64_t count, struct scatter *out)
{
    *out = (struct scatter){.t = t, .count = (size_t)count};
    if (count > IOV_MAX)
        return -L_EMSGSIZE;
    out->iov = heap_alloc((size_t)(count + 1) * sizeof(struct l_iov), MEM_OWNER_USER);
    if (!out->iov)
        return -L_ENOMEM;
    if (count && user_in(t, out->iov, at, (size_t)count * sizeof(struct l_iov))) {
        heap_free(out->iov);
        return -L_EFAULT;
    }

    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += out->iov[i].size;
        if (out->iov[i].size > INT64_MAX || sum > INT64_MAX) {
            heap_free(out->iov);
            return -L_EINVAL;
        }
    }
    while (out->index < out->count && !out->iov[out->index].size)
        out->index++;
    return 0;
}

/* Empty ranges in the middle have nothing to copy. */
static void scatter_skip_empty(struct scatter *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (s->iov[i].size)
            s->iov[kept++] = s->iov[i];
    }
    s->count = kept;
    s->index = 0;
}

/* ---- control messages ---- */

static void files_put(struct unix_message *m)
{
    for (unsigned i = 0; i < m->file_count; i++)
        file_put(m->files[i]);
    m->file_count = 0;
}

/* Descriptors to send: SCM_RIGHTS among the control messages. */
static int64_t control_in(struct thread *t, const struct l_msghdr *h, struct unix_message *m)
{
    uint64_t at = 0;

    if (h->control_length > CONTROL_MAX)
        return -L_EINVAL;
    while (h->control && h->control_length - at >= sizeof(struct l_cmsghdr)) {
        struct l_cmsghdr c;
        int64_t error = user_in(t, &c, h->control + at, sizeof(c));

        if (error)
            return error;
        if (c.length < sizeof(c) || c.length > h->control_length - at)
            return -L_EINVAL;
        if (c.level == SOL_SOCKET && c.type == SCM_RIGHTS) {
            for (uint64_t i = sizeof(c); i + 4 <= c.length; i += 4) {
                int32_t fd;

                error = user_in(t, &fd, h->control + at + i, 4);
                if (error)
                    return error;
                if (m->file_count == UNIX_FILES_MAX)
                    return -L_EINVAL;
                m->files[m->file_count] = user_fd_get(t, (uint64_t)(int64_t)fd);
                if (!m->files[m->file_count])
                    return -L_EBADF;
                m->file_count++;
            }
        }
        at += round_up(c.length, 8);
        if (at > h->control_length)
            break;
    }
    return 0;
}

/* Gives received files descriptors and tells about them. */
static int64_t control_out(struct thread *t, struct l_msghdr *h, struct unix_message *m,
                           bool cloexec)
{
    struct {
        struct l_cmsghdr head;
        int32_t fds[UNIX_FILES_MAX];
    } c = {.head = {.level = SOL_SOCKET, .type = SCM_RIGHTS}};
    uint64_t room = h->control ? h->control_length : 0;
    unsigned fit = 0, given = 0;

    h->control_length = 0;
    if (!m->file_count)
        return 0;
    if (room >= sizeof(c.head) + 4)
        fit = MIN((unsigned)((room - sizeof(c.head)) / 4), m->file_count);
    for (; given < fit; given++) {
        int64_t fd = user_fd_install(t, m->files[given], 0, cloexec);

        m->files[given] = NULL;  // taken over, also on failure
        if (fd < 0)
            break;
        c.fds[given] = (int32_t)fd;
    }
    if (given < m->file_count)
        h->flags |= MSG_CTRUNC;
    files_put(m);
    if (!given)
        return 0;
    c.head.length = sizeof(c.head) + 4 * given;
    h->control_length = MIN(round_up(c.head.length, 8), room);
    return user_out(t, h->control, &c, (size_t)c.head.length);
}

/* ---- out and in ---- */

static int64_t send_pieces(struct thread *t, struct file *file, struct scatter *from,
                           struct unix_message *m, uint64_t flags)
{
    bool stream = unix_type_of(file) == UNIX_STREAM;
    uint64_t left = scatter_left(from), done = 0;
    size_t room = (size_t)MIN(left, (uint64_t)MESSAGE_MAX);
    struct user_path path;
    int64_t error = 0;

    if (!unix_type_of(file))
        return -L_ENOTSOCK;
    if (!stream && left > MESSAGE_MAX)
        return -L_EMSGSIZE;
    m->data = heap_alloc(room + 1, MEM_OWNER_USER);
    if (!m->data)
        return -L_ENOMEM;
    m->sender = socket_peer_of(t);
    m->nonblock = (flags & MSG_DONTWAIT) != 0;
    where_get(t, &path);
    do {
        vmk_status status;

        m->size = (size_t)MIN(left, (uint64_t)room);
        error = scatter_copy(from, m->data, m->size, false);
        if (error)
            break;
        status = unix_send(file, &path.where, m);
        if (status == VMK_BROKEN_PIPE && !(flags & MSG_NOSIGNAL) && !done)
            signal_send(t->process, t, L_SIGPIPE, NULL);
        error = socket_errno(status);
        done += m->done;
        left -= m->done;
        files_put(m);  // they went with the first piece
        if (m->done < m->size)
            break;
    } while (!error && left);
    path_put(&path);
    heap_free(m->data);
    return done ? (int64_t)done : error;
}

int64_t sys_sendto(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct l_iov one = {a[1], a[2]};
    struct scatter from = {.t = t, .iov = &one, .count = a[2] ? 1 : 0};
    struct unix_message m = {.data = NULL};
    int64_t result = 0;

    if (!file)
        return -L_EBADF;
    if (a[2] > INT64_MAX)
        result = -L_EINVAL;
    if (!result && a[4])
        result = socket_name_in(t, a[4], a[5], &m.name);
    if (!result)
        result = send_pieces(t, file, &from, &m, a[3]);
    file_put(file);
    return result;
}

int64_t sys_sendmsg(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct unix_message m = {.data = NULL};
    struct scatter from;
    struct l_msghdr h;
    int64_t result;

    if (!file)
        return -L_EBADF;
    result = user_in(t, &h, a[1], sizeof(h));
    if (!result && h.name && h.name_length)
        result = socket_name_in(t, h.name, h.name_length, &m.name);
    if (!result)
        result = scatter_in(t, h.iov, h.iov_count, &from);
    if (!result) {
        scatter_skip_empty(&from);
        result = control_in(t, &h, &m);
        if (!result)
            result = send_pieces(t, file, &from, &m, a[2]);
        files_put(&m);
        heap_free(from.iov);
    }
    file_put(file);
    return result;
}

static int64_t receive(struct file *file, struct scatter *to, struct unix_message *m,
                       uint64_t flags)
{
    size_t room = (size_t)MIN(scatter_left(to), (uint64_t)MESSAGE_MAX);
    int64_t error;

    if (!unix_type_of(file))
        return -L_ENOTSOCK;
    m->data = heap_alloc(room + 1, MEM_OWNER_USER);
    if (!m->data)
        return -L_ENOMEM;
    m->size = room;
    m->peek = (flags & MSG_PEEK) != 0;
    m->nonblock = (flags & MSG_DONTWAIT) != 0;
    m->wait_all = (flags & MSG_WAITALL) != 0;
    error = socket_errno(unix_receive(file, m));
    if (!error)
        error = scatter_copy(to, m->data, m->done, true);
    heap_free(m->data);
    if (error) {
        files_put(m);
        return error;
    }
    return (int64_t)m->done;
}

int64_t sys_recvfrom(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct l_iov one = {a[1], a[2]};
    struct scatter to = {.t = t, .iov = &one, .count = a[2] ? 1 : 0};
    struct unix_message m = {.data = NULL};
    int64_t result, error;

    if (!file)
        return -L_EBADF;
    if (netlink_is(file)) {
        file_put(file);
        return sys_read(t, a);
    }
    result = receive(file, &to, &m, a[3]);
    file_put(file);
    if (result < 0)
        return result;
    files_put(&m);
    error = socket_name_out(t, a[4], a[5], &m.name);
    return error ? error : result;
}

int64_t sys_recvmsg(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);
    struct unix_message m = {.data = NULL};
    struct scatter to;
    struct l_msghdr h;
    int64_t result, error;

    if (!file)
        return -L_EBADF;
    result = user_in(t, &h, a[1], sizeof(h));
    if (!result)
        result = scatter_in(t, h.iov, h.iov_count, &to);
    if (result) {
        file_put(file);
        return result;
    }
    scatter_skip_empty(&to);
    result = receive(file, &to, &m, a[2]);
    heap_free(to.iov);
    file_put(file);
    if (result < 0)
        return result;
    h.flags = m.truncated ? MSG_TRUNC : 0;
    error = control_out(t, &h, &m, (a[2] & MSG_CMSG_CLOEXEC) != 0);
    if (!error && h.name)
        error =
            socket_name_out(t, h.name, a[1] + offsetof(struct l_msghdr, name_length), &m.name);
    if (!error)
        error =
            user_out(t, a[1] + offsetof(struct l_msghdr, control_length), &h.control_length, 8);
    if (!error)
        error = user_out(t, a[1] + offsetof(struct l_msghdr, flags), &h.flags, 4);
    return error ? error : result;
}
