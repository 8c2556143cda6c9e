// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/socket.c -- unix-domain sockets.
 *
 * Every socket has a queue of messages that others put into it; a stream is a queue whose reader does
 * not care where one message ends. Two connected sockets hold references on each other, so the one
 * that is closed first stays as a mark ("closed") until the other lets go.
 *
 * One mutex for all sockets of the host: connect, send and close each touch two of them in orders
 * that depend on who began, and local sockets carry log lines and agents' requests, not bulk data.
 *
 * Invariants
 *   - queued = the bytes of the messages on the queue; at most LIMIT, or one message more.
 *   - peer is set both ways between connected stream and packet sockets until one closes.
 *   - vnode.endpoint of a socket node is the bound socket exactly while that is open.
 * Locking    fs_state.sockets (mutex) for everything, after vnode.lock; waiting is outside of it.
 * Start at   unix_send(), unix_receive(), unix_connect().
 */
#include "fs/socket.h"

#include "core/assert.h"
#include "core/heap.h"
#include "fs/vfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define LIMIT    131072u  // bytes that wait in one socket
#define CHUNK    16384u   // of a stream, in one message
#define PACKET   65536u   // largest datagram
#define FIONREAD 0x541bu

struct message {
    struct list link;
    struct unix_peer sender;
    struct unix_name name;
    struct file *files[UNIX_FILES_MAX];
    unsigned file_count;
    size_t size, read;
    char data[];
};

enum state {
    IDLE,
    LISTENING,
    CONNECTED,
};

struct usock {
    uint32_t refs;
    enum unix_type type;
    enum state state;
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

static const struct file_ops socket_ops;

static struct usock *usock_of(struct file *file)
{
    return file->ops == &socket_ops ? file->private : NULL;
}

static void lock(void)
{
    mutex_lock(&fs_state()->sockets);
}

static void unlock(void)
{
    mutex_unlock(&fs_state()->sockets);
}

static void tell(struct usock *s, unsigned events)
{
    fs_event_signal(&s->changed);
    poll_notify(&s->poll, events);
}
#define TELL_ALL                                                                               \
    (VFS_POLLIN | VFS_POLLOUT | VFS_POLLHUP | VFS_POLLRDNORM | VFS_POLLWRNORM | VFS_POLLRDHUP)

/* ---- life ---- */

static struct usock *usock_new(enum unix_type type)
{
    struct usock *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);

    if (!s)
        return NULL;
    s->refs = 1;
    s->type = type;
    list_init(&s->queue);
    list_init(&s->pending);
    list_init(&s->pending_link);
    list_init(&s->names);
    fs_event_init(&s->changed, "socket");
    poll_head_init(&s->poll, "socket poll");
    s->inode = fs_anonymous_inode();
    return s;
}

static void message_free(struct message *m)
{
    for (unsigned i = 0; i < m->file_count; i++)
        file_put(m->files[i]);
    heap_free(m);
}

/* Lock held. The struct goes with its last reference. */
static void usock_put(struct usock *s)
{
    if (s && --s->refs == 0)
        heap_free(s);
}

/*
 * Lock held. No file refers to it any more. Unread messages go to `trash`: to free them may close
 * files, which may be sockets, so that is for after the lock.
 */
static void usock_close(struct usock *s, struct list *trash, struct vnode **node)
{
    struct usock *peer = s->peer;

    s->closed = true;
    if (peer && peer->peer == s && s->type != UNIX_DATAGRAM) {
        peer->peer = NULL;
        s->peer = NULL;
        usock_put(s);
        tell(peer, TELL_ALL);
        usock_put(peer);
    } else if (peer) {
        s->peer = NULL;
        usock_put(peer);
    }
    while (!list_is_empty(&s->queue)) {
        struct list *m = s->queue.next;

        list_remove(m);
        list_add_tail(trash, m);
    }
    s->queued = 0;
    list_remove(&s->names);
    if (s->node) {
        s->node->endpoint = NULL;
        *node = s->node;
        s->node = NULL;
    }
    tell(s, TELL_ALL);  // a sender that waits for room
}

static void usock_release(struct file *file)
{
    struct usock *s = file->private;
    struct vnode *node = NULL;
    struct list trash;

    list_init(&trash);
    lock();
    while (!list_is_empty(&s->pending)) {
        struct usock *child = list_entry(s->pending.next, struct usock, pending_link);

        list_remove(&child->pending_link);
        usock_close(child, &trash, &node);
        usock_put(child);
    }
    usock_close(s, &trash, &node);
    usock_put(s);
    unlock();
    vnode_put(node);
    while (!list_is_empty(&trash)) {
        struct message *m = list_entry(trash.next, struct message, link);

        list_remove(&m->link);
        message_free(m);
    }
}

static bool is_type(enum unix_type type)
{
    return type == UNIX_STREAM || type == UNIX_DATAGRAM || type == UNIX_PACKET;
}

static vmk_status file_of(struct usock *s, uint32_t flags, struct file **out)
{
    return file_create(&socket_ops, s, (flags & VFS_O_NONBLOCK) | VFS_O_RDWR, out);
}

vmk_status unix_socket_create(enum unix_type type, uint32_t flags, struct file **out)
{
    struct usock *s;
    vmk_status status;

    if (!is_type(type))
        return VMK_UNSUPPORTED;
    s = usock_new(type);
    if (!s)
        return VMK_NO_MEMORY;
    status = file_of(s, flags, out);
    if (status != VMK_OK)
        heap_free(s);
    return status;
}

/* Lock held. */
static void join(struct usock *a, struct usock *b)
{
    a->peer = b;
    b->peer = a;
    a->refs++;
    b->refs++;
    a->state = b->state = CONNECTED;
}

vmk_status unix_socket_pair(enum unix_type type, uint32_t flags, const struct unix_peer *self,
                            struct file *out[2])
{
    vmk_status status = unix_socket_create(type, flags, &out[0]);

    if (status != VMK_OK)
        return status;
    status = unix_socket_create(type, flags, &out[1]);
    if (status != VMK_OK) {
        file_put(out[0]);
        return status;
    }

    struct usock *a = out[0]->private, *b = out[1]->private;

    lock();
    join(a, b);
    a->self = a->other = b->self = b->other = *self;
    unlock();
    return VMK_OK;
}

/* ---- names ---- */

static bool is_abstract(const struct unix_name *name)
{
    return name->length > 0 && name->bytes[0] == 0;
}

/* Lock held. */
static struct usock *abstract_find(const struct unix_name *name)
{
    list_for_each (node, &fs_state()->abstract) {
        struct usock *s = list_entry(node, struct usock, names);

        if (s->name.length == name->length &&
            memcmp(s->name.bytes, name->bytes, name->length) == 0)
            return s;
    }
    return NULL;
}

static void path_of(const struct unix_name *name, char out[UNIX_NAME_MAX + 1])
{
    memcpy(out, name->bytes, name->length);
    out[name->length] = 0;
}

static vmk_status bind_abstract(struct usock *s, const struct unix_name *name)
{
    vmk_status status = VMK_OK;

    lock();
    if (s->name.length) {
        status = VMK_BAD_PARAM;
    } else if (abstract_find(name)) {
        status = VMK_ADDRESS_IN_USE;
    } else {
        s->name = *name;
        list_add_tail(&fs_state()->abstract, &s->names);
    }
    unlock();
    return status;
}

vmk_status unix_bind(struct file *file, const struct vfs_where *where,
                     const struct unix_name *name)
{
    struct usock *s = usock_of(file);
    char path[UNIX_NAME_MAX + 1];
    struct vnode *node;
    vmk_status status;

    if (!s)
        return VMK_BAD_HANDLE;
    if (!name->length || name->length > UNIX_NAME_MAX || s->name.length)
        return VMK_BAD_PARAM;
    if (is_abstract(name))
        return bind_abstract(s, name);
    path_of(name, path);
    status = vfs_mknod(where, path, VFS_TYPE_SOCKET | 0777u, 0);
    if (status == VMK_EXISTS)
        return VMK_ADDRESS_IN_USE;
    if (status == VMK_OK)
        status = vfs_walk(where, path, VFS_WALK_NOFOLLOW, &node);
    if (status != VMK_OK)
        return status;
    lock();
    if (s->name.length || node->endpoint || node->type != VFS_TYPE_SOCKET) {
        status = VMK_BAD_PARAM;
    } else {
        s->name = *name;
        s->node = node;
        node->endpoint = s;
        vnode_ref(node);
    }
    unlock();
    vnode_put(node);
    return status;
}

/* The socket of that name, referenced. */
static vmk_status find(const struct vfs_where *where, const struct unix_name *name,
                       struct usock **out)
{
    char path[UNIX_NAME_MAX + 1];
    struct vnode *node = NULL;
    vmk_status status = VMK_OK;

    if (!name->length || name->length > UNIX_NAME_MAX)
        return VMK_BAD_PARAM;
    if (!is_abstract(name)) {
        path_of(name, path);
        status = vfs_walk(where, path, 0, &node);
        if (status == VMK_OK)
            status = vnode_access(node, VFS_MAY_WRITE, where->cred);
        if (status == VMK_OK && node->type != VFS_TYPE_SOCKET)
            status = VMK_REFUSED;
    }
    if (status == VMK_OK) {
        lock();
        *out = node ? node->endpoint : abstract_find(name);
        if (*out)
            (*out)->refs++;
        else
            status = VMK_REFUSED;
        unlock();
    }
    vnode_put(node);
    return status;
}

/* ---- connections ---- */

vmk_status unix_listen(struct file *file, unsigned backlog, const struct unix_peer *self)
{
    struct usock *s = usock_of(file);
    vmk_status status = VMK_OK;

    if (!s)
        return VMK_BAD_HANDLE;
    if (s->type == UNIX_DATAGRAM)
        return VMK_UNSUPPORTED;
    lock();
    if (!s->name.length || s->state == CONNECTED) {
        status = VMK_BAD_PARAM;
    } else {
        s->state = LISTENING;
        s->self = *self;
        s->backlog = MAX(MIN(backlog, 4096u), 1u);
    }
    unlock();
    if (status == VMK_OK)
        tell(s, VFS_POLLOUT);
    return status;
}

/* Lock held. Makes the server's end and puts it before the listener. */
static vmk_status join_listener(struct usock *s, struct usock *listener,
                                const struct unix_peer *self)
{
    struct usock *child;

    if (s->state == CONNECTED)
        return VMK_CONNECTED;
    if (s->state == LISTENING)
        return VMK_BAD_PARAM;
    if (listener->closed || listener->state != LISTENING || listener->no_read)
        return VMK_REFUSED;
    if (listener->type != s->type)
        return VMK_WRONG_TYPE;
    if (listener->pending_count >= listener->backlog)
        return VMK_AGAIN;
    child = usock_new(s->type);
    if (!child)
        return VMK_NO_MEMORY;
    child->name = listener->name;
    child->self = s->other = listener->self;
    child->other = s->self = *self;
    join(s, child);
    list_add_tail(&listener->pending, &child->pending_link);
    listener->pending_count++;
    return VMK_OK;
}

static vmk_status connect_datagram(struct usock *s, struct usock *to)
{
    vmk_status status = VMK_OK;

    lock();
    if (to->type != UNIX_DATAGRAM) {
        status = VMK_WRONG_TYPE;
    } else {
        usock_put(s->peer);
        s->peer = to;
        to->refs++;
        s->state = CONNECTED;
    }
    unlock();
    return status;
}

vmk_status unix_connect(struct file *file, const struct vfs_where *where,
                        const struct unix_name *name, const struct unix_peer *self)
{
    struct usock *s = usock_of(file);
    bool nonblock = (file->flags & VFS_O_NONBLOCK) != 0;
    struct usock *to;
    vmk_status status;

    if (!s)
        return VMK_BAD_HANDLE;
    status = find(where, name, &to);
    if (status != VMK_OK)
        return status;
    if (s->type == UNIX_DATAGRAM) {
        status = connect_datagram(s, to);
    } else {
        for (;;) {
            uint32_t count;

            lock();
            count = fs_event_count(&to->changed);
            status = join_listener(s, to, self);
            unlock();
            if (status != VMK_AGAIN || nonblock)
                break;
            status = fs_event_wait(&to->changed, count, PLAT_NS_NEVER);
            if (status != VMK_OK)
                break;
        }
        if (status == VMK_OK) {
            tell(to, VFS_POLLIN | VFS_POLLRDNORM);
            tell(s, VFS_POLLOUT | VFS_POLLWRNORM);
        }
    }
    lock();
    usock_put(to);
    unlock();
    return status;
}

vmk_status unix_accept(struct file *file, uint32_t flags, struct file **out)
{
    struct usock *s = usock_of(file);
    struct usock *child = NULL;
    vmk_status status = VMK_OK;

    if (!s)
        return VMK_BAD_HANDLE;
    while (!child && status == VMK_OK) {
        uint32_t count;

        lock();
        count = fs_event_count(&s->changed);
        if (s->state != LISTENING) {
            status = VMK_BAD_PARAM;
        } else if (!list_is_empty(&s->pending)) {
            child = list_entry(s->pending.next, struct usock, pending_link);
            list_remove(&child->pending_link);
            s->pending_count--;
        }
        unlock();
        if (!child && status == VMK_OK)
            status = (file->flags & VFS_O_NONBLOCK)
                         ? VMK_AGAIN
                         : fs_event_wait(&s->changed, count, PLAT_NS_NEVER);
    }
    if (!child)
        return status;
    tell(s, VFS_POLLOUT);  // who waits for room before the listener
    status = file_of(child, flags, out);
    if (status != VMK_OK) {
        struct list trash;
        struct vnode *node = NULL;

        list_init(&trash);
        lock();
        usock_close(child, &trash, &node);
        usock_put(child);
        unlock();
        while (!list_is_empty(&trash)) {
            struct message *m = list_entry(trash.next, struct message, link);

            list_remove(&m->link);
            message_free(m);
        }
    }
    return status;
}

/* ---- sending ---- */

static struct message *message_new(const struct unix_message *from, size_t at, size_t size)
{
    struct message *m = heap_alloc(sizeof(*m) + size, MEM_OWNER_FS);

    if (!m)
        return NULL;
    memcpy(m->data, (const char *)from->data + at, size);
    m->size = size;
    m->sender = from->sender;
    for (unsigned i = 0; at == 0 && i < from->file_count; i++) {
        m->files[i] = from->files[i];
        file_ref(m->files[i]);
    }
    m->file_count = at == 0 ? from->file_count : 0;
    return m;
}

/* Lock held. May a message of that size go to `to` now? */
static vmk_status may_send(const struct usock *s, const struct usock *to, size_t size)
{
    if (s->no_write)
        return VMK_BROKEN_PIPE;
    if (!to || to->closed)
        return s->type == UNIX_DATAGRAM ? VMK_REFUSED : VMK_BROKEN_PIPE;
    if (to->no_read)
        return VMK_BROKEN_PIPE;
    if (to->type != s->type)
        return VMK_WRONG_TYPE;
    if (s->type == UNIX_DATAGRAM && to->peer && to->peer != s)
        return VMK_NOT_OWNER;  // connected to somebody else
    if (to->queued && to->queued + size > LIMIT)
        return VMK_AGAIN;
    return VMK_OK;
}

/* One message into the other's queue; waits for room. */
static vmk_status send_one(struct usock *s, struct usock *to, bool fixed, struct message *m,
                           bool nonblock)
{
    for (;;) {
        struct usock *into;
        uint32_t count = 0;
        vmk_status status;

        lock();
        into = fixed ? to : s->peer;
        status = may_send(s, into, m->size);
        if (status == VMK_OK) {
            m->name = s->name;
            list_add_tail(&into->queue, &m->link);
            into->queued += m->size;
            into->refs++;
        } else if (status == VMK_AGAIN) {
            count = fs_event_count(&into->changed);
            into->refs++;
        }
        unlock();
        if (status == VMK_OK)
            tell(into, VFS_POLLIN | VFS_POLLRDNORM);
        if (status == VMK_AGAIN && !nonblock) {
            status = fs_event_wait(&into->changed, count, PLAT_NS_NEVER);
            lock();
            usock_put(into);
            unlock();
            if (status == VMK_OK)
                continue;
            return status;
        }
        if (status == VMK_OK || status == VMK_AGAIN) {
            lock();
            usock_put(into);
            unlock();
        }
        return status;
    }
}

vmk_status unix_send(struct file *file, const struct vfs_where *where,
                     struct unix_message *message)
{
    struct usock *s = usock_of(file);
    bool nonblock = message->nonblock || (file->flags & VFS_O_NONBLOCK);
    struct usock *to = NULL;
    vmk_status status = VMK_OK;

    message->done = 0;
    if (!s)
        return VMK_BAD_HANDLE;
    if (message->file_count > UNIX_FILES_MAX)
        return VMK_BAD_PARAM;
    if (s->type != UNIX_STREAM && message->size > PACKET)
        return VMK_TOO_BIG;
    if (message->name.length && s->type != UNIX_DATAGRAM)
        return s->state == CONNECTED ? VMK_CONNECTED : VMK_UNSUPPORTED;
    if (message->name.length)
        status = find(where, &message->name, &to);
    else if (s->state != CONNECTED)
        status = VMK_NOT_CONNECTED;
    if (status != VMK_OK)
        return status;
    do {
        size_t left = message->size - message->done;
        size_t size = s->type == UNIX_STREAM ? MIN(left, (size_t)CHUNK) : left;
        struct message *m;

        if (s->type == UNIX_STREAM && size == 0)
            break;
        m = message_new(message, message->done, size);
        status = m ? send_one(s, to, to != NULL, m, nonblock) : VMK_NO_MEMORY;
        if (status == VMK_OK)
            message->done += size;
        else if (m)
            message_free(m);
    } while (status == VMK_OK && message->done < message->size);
    if (to) {
        lock();
        usock_put(to);
        unlock();
    }
    return message->done ? VMK_OK : status;
}

/* ---- receiving ---- */

/* Lock held. Hands the message's files over, or, for a peek, further references. */
static void take_files(struct message *m, struct unix_message *out)
{
    for (unsigned i = 0; i < m->file_count; i++) {
        out->files[i] = m->files[i];
        if (out->peek)
            file_ref(m->files[i]);
    }
    out->file_count = m->file_count;
    if (!out->peek)
        m->file_count = 0;
}

/* Lock held; the queue is not empty. Read messages go to `trash`. */
static void take(struct usock *s, struct unix_message *out, struct list *trash)
{
    struct list *at = s->queue.next;
    bool first = true;

    while (at != &s->queue) {
        struct message *m = list_entry(at, struct message, link);
        size_t size = MIN(m->size - m->read, out->size - out->done);

        /* A stream's read stops before another batch of files and does not mix senders of one. */
        if (!first && (s->type != UNIX_STREAM || m->file_count || out->done == out->size))
            break;
        if (first) {
            out->sender = m->sender;
            out->name = m->name;
            take_files(m, out);
        }
        memcpy((char *)out->data + out->done, m->data + m->read, size);
        out->done += size;
        out->truncated = s->type != UNIX_STREAM && size < m->size - m->read;
        at = at->next;
        if (!out->peek) {
            m->read += size;
            s->queued -= s->type == UNIX_STREAM ? size : m->size;
            if (m->read == m->size || s->type != UNIX_STREAM) {
                list_remove(&m->link);
                list_add_tail(trash, &m->link);
            }
        }
        first = false;
    }
}

/* Lock held. Nothing is queued: why is there nothing to wait for? AGAIN: there is. */
static vmk_status ended(struct usock *s)
{
    if (s->no_read)
        return VMK_OK;
    if (s->type == UNIX_DATAGRAM)
        return VMK_AGAIN;
    if (s->state != CONNECTED)
        return s->type == UNIX_STREAM ? VMK_BAD_PARAM : VMK_NOT_CONNECTED;
    if (!s->peer || s->peer->no_write)
        return VMK_OK;  // end of file
    return VMK_AGAIN;
}

vmk_status unix_receive(struct file *file, struct unix_message *message)
{
    struct usock *s = usock_of(file);
    bool nonblock = message->nonblock || (file->flags & VFS_O_NONBLOCK);
    vmk_status status = VMK_OK;
    struct list trash;

    message->done = 0;
    message->file_count = 0;
    message->truncated = false;
    message->name.length = 0;
    if (!s)
        return VMK_BAD_HANDLE;
    list_init(&trash);
    for (;;) {
        struct usock *peer = NULL;
        uint32_t count;
        bool enough;

        lock();
        count = fs_event_count(&s->changed);
        if (!list_is_empty(&s->queue)) {
            take(s, message, &trash);
            peer = s->peer;
            if (peer)
                peer->refs++;
            status = VMK_OK;
            enough = !message->wait_all || s->type != UNIX_STREAM || message->peek ||
                     message->done == message->size || message->file_count;
        } else {
            status = ended(s);
            enough = status != VMK_AGAIN;
        }
        unlock();
        if (peer) {
            /* Senders wait at the receiver; who polls for room looks at his own. */
            tell(s, VFS_POLLOUT);
            poll_notify(&peer->poll, VFS_POLLOUT | VFS_POLLWRNORM);
            lock();
            usock_put(peer);
            unlock();
        } else if (!list_is_empty(&trash)) {
            tell(s, VFS_POLLOUT);
        }
        if (enough)
            break;
        status = nonblock ? VMK_AGAIN : fs_event_wait(&s->changed, count, PLAT_NS_NEVER);
        if (status != VMK_OK)
            break;
    }
    while (!list_is_empty(&trash)) {
        struct message *m = list_entry(trash.next, struct message, link);

        list_remove(&m->link);
        message_free(m);
    }
    return message->done ? VMK_OK : status;
}

/* ---- the rest ---- */

vmk_status unix_shutdown(struct file *file, unsigned how)
{
    struct usock *s = usock_of(file);
    struct usock *peer;

    if (!s)
        return VMK_BAD_HANDLE;
    if (how > 2)
        return VMK_BAD_PARAM;
    lock();
    if (s->state != CONNECTED) {
        unlock();
        return VMK_NOT_CONNECTED;
    }
    s->no_read |= how != 1;
    s->no_write |= how != 0;
    peer = s->type == UNIX_DATAGRAM ? NULL : s->peer;
    if (peer)
        peer->refs++;
    unlock();
    tell(s, TELL_ALL);
    if (peer) {
        tell(peer, TELL_ALL);
        lock();
        usock_put(peer);
        unlock();
    }
    return VMK_OK;
}

vmk_status unix_name_of(struct file *file, bool peer, struct unix_name *out)
{
    struct usock *s = usock_of(file);
    vmk_status status = VMK_OK;

    if (!s)
        return VMK_BAD_HANDLE;
    lock();
    if (!peer)
        *out = s->name;
    else if (s->state == CONNECTED && s->peer)
        *out = s->peer->name;
    else
        status = VMK_NOT_CONNECTED;
    unlock();
    return status;
}

vmk_status unix_peer_of(struct file *file, struct unix_peer *out)
{
    struct usock *s = usock_of(file);

    if (!s)
        return VMK_BAD_HANDLE;
    lock();
    *out = s->state == LISTENING ? s->self : s->other;
    unlock();
    return VMK_OK;
}

enum unix_type unix_type_of(struct file *file)
{
    struct usock *s = usock_of(file);

    return s ? s->type : 0;
}

bool unix_is_listening(struct file *file)
{
    struct usock *s = usock_of(file);

    return s && s->state == LISTENING;
}

static vmk_status socket_read(struct file *file, struct vfs_iov *iov)
{
    struct unix_message m = {.data = iov->to, .size = iov->size, .nonblock = iov->nonblock};
    vmk_status status = unix_receive(file, &m);

    for (unsigned i = 0; i < m.file_count; i++)
        file_put(m.files[i]);
    iov->done = m.done;
    return status;
}

static vmk_status socket_write(struct file *file, struct vfs_iov *iov)
{
    struct unix_message m = {
        .data = (void *)(uintptr_t)iov->from, .size = iov->size, .nonblock = iov->nonblock};
    vmk_status status;

    m.sender = ((struct usock *)file->private)->self;
    status = unix_send(file, NULL, &m);
    iov->done = m.done;
    return status;
}

static unsigned socket_poll(struct file *file, struct poll_table *table)
{
    struct usock *s = file->private;
    unsigned events = 0;

    poll_wait_on(table, &s->poll);
    lock();
    if (s->state == LISTENING) {
        if (!list_is_empty(&s->pending))
            events |= VFS_POLLIN | VFS_POLLRDNORM;
    } else {
        bool gone = s->state == CONNECTED && s->type != UNIX_DATAGRAM && !s->peer;
        bool half =
            gone || s->no_read || (s->peer && s->type != UNIX_DATAGRAM && s->peer->no_write);

        if (!list_is_empty(&s->queue) || half)
            events |= VFS_POLLIN | VFS_POLLRDNORM;
        if (half)
            events |= VFS_POLLRDHUP;
        if (gone || (s->no_read && s->no_write) ||
            (s->state == IDLE && s->type != UNIX_DATAGRAM))
            events |= VFS_POLLHUP;
        if (gone || !s->peer || s->peer->queued < LIMIT / 2)
            events |= VFS_POLLOUT | VFS_POLLWRNORM;
    }
    unlock();
    return events;
}

static vmk_status socket_ioctl(struct file *file, uint32_t request, uint64_t argument,
                               void *data)
{
    struct usock *s = file->private;

    (void)argument;
    if (request != FIONREAD)
        return VMK_NOT_TTY;
    lock();
    *(int32_t *)data = (int32_t)s->queued;
    unlock();
    return VMK_OK;
}

static vmk_status socket_getattr(struct file *file, struct vfs_attr *out)
{
    struct usock *s = file->private;

    fs_anonymous_attr(out, VFS_TYPE_SOCKET | 0777u, s->inode);
    return VMK_OK;
}

static int socket_describe(struct file *file, char *out, size_t size)
{
    struct usock *s = file->private;

    return vmk_snprintf(out, size, "socket:[%llu]", (unsigned long long)s->inode);
}

static const struct file_ops socket_ops = {
    .read = socket_read,
    .write = socket_write,
    .poll = socket_poll,
    .ioctl = socket_ioctl,
    .getattr = socket_getattr,
    .describe = socket_describe,
    .release = usock_release,
};
