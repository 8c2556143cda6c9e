// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/socket_message.c -- sending to and receiving from unix-domain sockets.
 *
 * A sender puts a whole message into the other's queue or waits for room there; a stream is cut
 * into messages of 16 KB and its reader does not see where. Files travel as references in the
 * message.
 *
 * Invariants
 *   - A stream's read stops before a message with files, so files belong to the bytes read with
 *     them.
 *   - What was taken off a queue is freed only after the lock is dropped (usock_trash_free()).
 * Locking    the one mutex of all sockets; waiting is outside of it.
 * Start at   unix_send(), unix_receive().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/socket_internal.h"
#include "lib/string.h"

/* ---- sending ---- */

static struct usock_message *message_new(const struct unix_message *from, size_t at,
                                         size_t size)
{
    struct usock_message *m = heap_alloc(sizeof(*m) + size, MEM_OWNER_FS);

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

static void message_drop(struct usock_message *m)
{
    struct list trash;

    list_init(&trash);
    list_add_tail(&trash, &m->link);
    usock_trash_free(&trash);
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
    if (to->queued && to->queued + size > USOCK_LIMIT)
        return VMK_AGAIN;
    return VMK_OK;
}

/* One message into the other's queue; waits for room. */
static vmk_status send_one(struct usock *s, struct usock *to, bool fixed,
                           struct usock_message *m, bool nonblock)
{
    for (;;) {
        struct usock *into;
        uint32_t count = 0;
        vmk_status status;

        usock_lock();
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
        usock_unlock();
        if (status == VMK_OK)
            usock_tell(into, VFS_POLLIN | VFS_POLLRDNORM);
        if (status == VMK_AGAIN && !nonblock) {
            status = fs_event_wait(&into->changed, count, PLAT_NS_NEVER);
            usock_put_unlocked(into);
            if (status == VMK_OK)
                continue;
            return status;
        }
        if (status == VMK_OK || status == VMK_AGAIN) {
            usock_put_unlocked(into);
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
    if (s->type != UNIX_STREAM && message->size > USOCK_PACKET)
        return VMK_TOO_BIG;
    if (message->name.length && s->type != UNIX_DATAGRAM)
        return s->state == USOCK_CONNECTED ? VMK_CONNECTED : VMK_UNSUPPORTED;
    if (message->name.length)
        status = usock_find(where, &message->name, &to);
    else if (s->state != USOCK_CONNECTED)
        status = VMK_NOT_CONNECTED;
    if (status != VMK_OK)
        return status;
    do {
        size_t left = message->size - message->done;
        size_t size = s->type == UNIX_STREAM ? MIN(left, (size_t)USOCK_CHUNK) : left;
        struct usock_message *m;

        if (s->type == UNIX_STREAM && size == 0)
            break;
        m = message_new(message, message->done, size);
        status = m ? send_one(s, to, to != NULL, m, nonblock) : VMK_NO_MEMORY;
        if (status == VMK_OK)
            message->done += size;
        else if (m)
            message_drop(m);
    } while (status == VMK_OK && message->done < message->size);
    usock_put_unlocked(to);
    return message->done ? VMK_OK : status;
}

/* ---- receiving ---- */

/* Lock held. Hands the message's files over, or, for a peek, further references. */
static void take_files(struct usock_message *m, struct unix_message *out)
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
        struct usock_message *m = list_entry(at, struct usock_message, link);
        size_t size = MIN(m->size - m->read, out->size - out->done);

        /*
         * A stream's read stops before another batch of files and does not mix senders of one.
         */
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
    if (s->state != USOCK_CONNECTED)
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

        usock_lock();
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
        usock_unlock();
        if (peer) {
            /* Senders wait at the receiver; who polls for room looks at his own. */
            usock_tell(s, VFS_POLLOUT);
            poll_notify(&peer->poll, VFS_POLLOUT | VFS_POLLWRNORM);
            usock_put_unlocked(peer);
        } else if (!list_is_empty(&trash)) {
            usock_tell(s, VFS_POLLOUT);
        }
        if (enough)
            break;
        status = nonblock ? VMK_AGAIN : fs_event_wait(&s->changed, count, PLAT_NS_NEVER);
        if (status != VMK_OK)
            break;
    }
    usock_trash_free(&trash);
    return message->done ? VMK_OK : status;
}
