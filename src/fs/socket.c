// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/socket.c -- unix-domain sockets.
 *
 * Every socket has a queue of messages that others put into it; a stream is a queue whose
 * reader does not care where one message ends. Two connected sockets hold references on each
 * other, so the one that is closed first stays as a mark ("closed") until the other lets go.
 *
 * One mutex for all sockets of the host: connect, send and close each touch two of them in
 * orders that depend on who began, and local sockets carry log lines and agents' requests, not
 * bulk data.
 *
 * Invariants
 *   - queued = the bytes of the messages on the queue; at most USOCK_LIMIT, or one message
 *     more.
 *   - peer is set both ways between connected stream and packet sockets until one closes.
 *   - vnode.endpoint of a socket node is the bound socket exactly while that is open.
 * Locking    fs_state.sockets (mutex) for everything, after vnode.lock; waiting is outside of
 *            it.
 * Start at   unix_send(), unix_receive(), unix_connect().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/socket_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define FIONREAD 0x541bu

static const struct file_ops socket_ops;

struct usock *usock_of(struct file *file)
{
    return file->ops == &socket_ops ? file->private : NULL;
}

void usock_lock(void)
{
    mutex_lock(&fs_state()->sockets);
}

void usock_unlock(void)
{
    mutex_unlock(&fs_state()->sockets);
}

void usock_tell(struct usock *s, unsigned events)
{
    fs_event_signal(&s->changed);
    poll_notify(&s->poll, events);
}

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

static void message_free(struct usock_message *m)
{
    for (unsigned i = 0; i < m->file_count; i++)
        file_put(m->files[i]);
    heap_free(m);
}

void usock_trash_free(struct list *trash)
{
    while (!list_is_empty(trash)) {
        struct usock_message *m = list_entry(trash->next, struct usock_message, link);

        list_remove(&m->link);
        message_free(m);
    }
}

/* Lock held. The struct goes with its last reference. */
static void usock_put(struct usock *s)
{
    if (s && --s->refs == 0)
        heap_free(s);
}

void usock_put_unlocked(struct usock *s)
{
    if (!s)
        return;
    usock_lock();
    usock_put(s);
    usock_unlock();
}

/*
 * Lock held. No file refers to it any more. Unread messages go to `trash`: to free them may
 * close files, which may be sockets, so that is for after the lock.
 */
static void usock_close(struct usock *s, struct list *trash, struct vnode **node)
{
    struct usock *peer = s->peer;

    s->closed = true;
    if (peer && peer->peer == s && s->type != UNIX_DATAGRAM) {
        peer->peer = NULL;
        s->peer = NULL;
        usock_put(s);
        usock_tell(peer, USOCK_TELL_ALL);
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
    usock_tell(s, USOCK_TELL_ALL);  // a sender that waits for room
}

static void usock_release(struct file *file)
{
    struct usock *s = file->private;
    struct vnode *node = NULL;
    struct list trash;

    list_init(&trash);
    usock_lock();
    while (!list_is_empty(&s->pending)) {
        struct usock *child = list_entry(s->pending.next, struct usock, pending_link);

        list_remove(&child->pending_link);
        usock_close(child, &trash, &node);
        usock_put(child);
    }
    usock_close(s, &trash, &node);
    usock_put(s);
    usock_unlock();
    vnode_put(node);
    usock_trash_free(&trash);
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
    a->state = b->state = USOCK_CONNECTED;
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

    usock_lock();
    join(a, b);
    a->self = a->other = b->self = b->other = *self;
    usock_unlock();
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

    usock_lock();
    if (s->name.length) {
        status = VMK_BAD_PARAM;
    } else if (abstract_find(name)) {
        status = VMK_ADDRESS_IN_USE;
    } else {
        s->name = *name;
        list_add_tail(&fs_state()->abstract, &s->names);
    }
    usock_unlock();
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
    usock_lock();
    if (s->name.length || node->endpoint || node->type != VFS_TYPE_SOCKET) {
        status = VMK_BAD_PARAM;
    } else {
        s->name = *name;
        s->node = node;
        node->endpoint = s;
        vnode_ref(node);
    }
    usock_unlock();
    vnode_put(node);
    return status;
}

/* The socket of that name, referenced. */
vmk_status usock_find(const struct vfs_where *where, const struct unix_name *name,
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
        usock_lock();
        *out = node ? node->endpoint : abstract_find(name);
        if (*out)
            (*out)->refs++;
        else
            status = VMK_REFUSED;
        usock_unlock();
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
    usock_lock();
    if (!s->name.length || s->state == USOCK_CONNECTED) {
        status = VMK_BAD_PARAM;
    } else {
        s->state = USOCK_LISTENING;
        s->self = *self;
        s->backlog = MAX(MIN(backlog, 4096u), 1u);
    }
    usock_unlock();
    if (status == VMK_OK)
        usock_tell(s, VFS_POLLOUT);
    return status;
}

/* Lock held. Makes the server's end and puts it before the listener. */
static vmk_status join_listener(struct usock *s, struct usock *listener,
                                const struct unix_peer *self)
{
    struct usock *child;

    if (s->state == USOCK_CONNECTED)
        return VMK_CONNECTED;
    if (s->state == USOCK_LISTENING)
        return VMK_BAD_PARAM;
    if (listener->closed || listener->state != USOCK_LISTENING || listener->no_read)
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

    usock_lock();
    if (to->type != UNIX_DATAGRAM) {
        status = VMK_WRONG_TYPE;
    } else {
        usock_put(s->peer);
        s->peer = to;
        to->refs++;
        s->state = USOCK_CONNECTED;
    }
    usock_unlock();
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
    status = usock_find(where, name, &to);
    if (status != VMK_OK)
        return status;
    if (s->type == UNIX_DATAGRAM) {
        status = connect_datagram(s, to);
    } else {
        for (;;) {
            uint32_t count;

            usock_lock();
            count = fs_event_count(&to->changed);
            status = join_listener(s, to, self);
            usock_unlock();
            if (status != VMK_AGAIN || nonblock)
                break;
            status = fs_event_wait(&to->changed, count, PLAT_NS_NEVER);
            if (status != VMK_OK)
                break;
        }
        if (status == VMK_OK) {
            usock_tell(to, VFS_POLLIN | VFS_POLLRDNORM);
            usock_tell(s, VFS_POLLOUT | VFS_POLLWRNORM);
        }
    }
    usock_lock();
    usock_put(to);
    usock_unlock();
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

        usock_lock();
        count = fs_event_count(&s->changed);
        if (s->state != USOCK_LISTENING) {
            status = VMK_BAD_PARAM;
        } else if (!list_is_empty(&s->pending)) {
            child = list_entry(s->pending.next, struct usock, pending_link);
            list_remove(&child->pending_link);
            s->pending_count--;
        }
        usock_unlock();
        if (!child && status == VMK_OK)
            status = (file->flags & VFS_O_NONBLOCK)
                         ? VMK_AGAIN
                         : fs_event_wait(&s->changed, count, PLAT_NS_NEVER);
    }
    if (!child)
        return status;
    usock_tell(s, VFS_POLLOUT);  // who waits for room before the listener
    status = file_of(child, flags, out);
    if (status != VMK_OK) {
        struct list trash;
        struct vnode *node = NULL;

        list_init(&trash);
        usock_lock();
        usock_close(child, &trash, &node);
        usock_put(child);
        usock_unlock();
        usock_trash_free(&trash);
    }
    return status;
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
    usock_lock();
    if (s->state != USOCK_CONNECTED) {
        usock_unlock();
        return VMK_NOT_CONNECTED;
    }
    s->no_read |= how != 1;
    s->no_write |= how != 0;
    peer = s->type == UNIX_DATAGRAM ? NULL : s->peer;
    if (peer)
        peer->refs++;
    usock_unlock();
    usock_tell(s, USOCK_TELL_ALL);
    if (peer) {
        usock_tell(peer, USOCK_TELL_ALL);
        usock_lock();
        usock_put(peer);
        usock_unlock();
    }
    return VMK_OK;
}

vmk_status unix_name_of(struct file *file, bool peer, struct unix_name *out)
{
    struct usock *s = usock_of(file);
    vmk_status status = VMK_OK;

    if (!s)
        return VMK_BAD_HANDLE;
    usock_lock();
    if (!peer)
        *out = s->name;
    else if (s->state == USOCK_CONNECTED && s->peer)
        *out = s->peer->name;
    else
        status = VMK_NOT_CONNECTED;
    usock_unlock();
    return status;
}

vmk_status unix_peer_of(struct file *file, struct unix_peer *out)
{
    struct usock *s = usock_of(file);

    if (!s)
        return VMK_BAD_HANDLE;
    usock_lock();
    *out = s->state == USOCK_LISTENING ? s->self : s->other;
    usock_unlock();
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

    return s && s->state == USOCK_LISTENING;
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
    usock_lock();
    if (s->state == USOCK_LISTENING) {
        if (!list_is_empty(&s->pending))
            events |= VFS_POLLIN | VFS_POLLRDNORM;
    } else {
        bool gone = s->state == USOCK_CONNECTED && s->type != UNIX_DATAGRAM && !s->peer;
        bool half =
            gone || s->no_read || (s->peer && s->type != UNIX_DATAGRAM && s->peer->no_write);

        if (!list_is_empty(&s->queue) || half)
            events |= VFS_POLLIN | VFS_POLLRDNORM;
        if (half)
            events |= VFS_POLLRDHUP;
        if (gone || (s->no_read && s->no_write) ||
            (s->state == USOCK_IDLE && s->type != UNIX_DATAGRAM))
            events |= VFS_POLLHUP;
        if (gone || !s->peer || s->peer->queued < USOCK_LIMIT / 2)
            events |= VFS_POLLOUT | VFS_POLLWRNORM;
    }
    usock_unlock();
    return events;
}

static vmk_status socket_ioctl(struct file *file, uint32_t request, uint64_t argument,
                               void *data)
{
    struct usock *s = file->private;

    (void)argument;
    if (request != FIONREAD)
        return VMK_NOT_TTY;
    usock_lock();
    *(int32_t *)data = (int32_t)s->queued;
    usock_unlock();
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
