// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/netlink.c -- AF_NETLINK sockets, as far as mq_notify(2) needs them.
 *
 * C libraries carry out SIGEV_THREAD with such a socket: a thread of the program reads it, the
 * kernel puts the 32 bytes of the registration there when a message comes or the registration
 * ends, and the thread calls the function. Nothing else comes out of one, and nothing can be
 * sent: there is no network to ask about.
 *
 * Invariants
 *   - At most NOTES_MAX notes wait; more are lost, as they are where a socket is full.
 * Locking    netlink.queue.lock (rank WAITQ); the poll head is notified without it.
 * Sources    mq_notify(3)
 */
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define NOTES_MAX 16u

struct netlink {
    struct wait_queue queue;
    struct poll_head poll;
    uint32_t first, count;  // queue.lock
    uint8_t notes[NOTES_MAX][NETLINK_NOTE_SIZE];
};

static struct netlink *netlink_of(const struct file *file)
{
    return file->private;
}

static vmk_status netlink_read(struct file *file, struct vfs_iov *iov)
{
    struct netlink *n = netlink_of(file);
    vmk_status status = VMK_OK;
    bool irqs = plat_irq_save();

    for (;;) {
        spin_lock_irqs_off(&n->queue.lock);
        if (n->count || iov->nonblock || status != VMK_OK)
            break;
        status = wait_queue_block_interruptible(&n->queue, PLAT_NS_NEVER);
    }
    if (n->count) {
        iov->done = MIN(iov->size, NETLINK_NOTE_SIZE);
        memcpy(iov->to, n->notes[n->first], iov->done);
        n->first = (n->first + 1) % NOTES_MAX;
        n->count--;
        status = VMK_OK;
    } else if (status == VMK_OK) {
        status = VMK_AGAIN;
    }
    spin_unlock(&n->queue.lock, irqs);
    return status;
}

static unsigned netlink_poll(struct file *file, struct poll_table *table)
{
    struct netlink *n = netlink_of(file);

    poll_wait_on(table, &n->poll);
    return __atomic_load_n(&n->count, __ATOMIC_RELAXED) ? VFS_POLLIN | VFS_POLLRDNORM : 0;
}

static int netlink_describe(struct file *file, char *out, size_t size)
{
    (void)file;
    return vmk_snprintf(out, size, "socket:[netlink]");
}

static void netlink_release(struct file *file)
{
    heap_free(file->private);
}

static const struct file_ops netlink_ops = {
    .read = netlink_read,
    .poll = netlink_poll,
    .describe = netlink_describe,
    .release = netlink_release,
};

vmk_status netlink_create(uint32_t flags, struct file **out)
{
    struct netlink *n = heap_alloc(sizeof(*n), MEM_OWNER_USER);
    vmk_status status;

    if (!n)
        return VMK_NO_MEMORY;
    wait_queue_init(&n->queue, "netlink");
    poll_head_init(&n->poll, "netlink");
    status = file_create(&netlink_ops, n, VFS_O_RDWR | flags, out);
    if (status != VMK_OK)
        heap_free(n);
    return status;
}

bool netlink_is(const struct file *file)
{
    return file->ops == &netlink_ops;
}

void netlink_put(struct file *file, const uint8_t note[NETLINK_NOTE_SIZE])
{
    struct netlink *n = netlink_of(file);
    bool irqs = spin_lock(&n->queue.lock);

    if (n->count < NOTES_MAX) {
        memcpy(n->notes[(n->first + n->count) % NOTES_MAX], note, NETLINK_NOTE_SIZE);
        n->count++;
    }
    spin_unlock(&n->queue.lock, irqs);
    (void)wait_queue_wake(&n->queue, WAIT_QUEUE_ALL);
    poll_notify(&n->poll, VFS_POLLIN | VFS_POLLRDNORM);
}
