// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty_pty.c -- pseudo terminals: a terminal whose other end is a program.
 *
 *     program (shell)                                  program (sshd, script, console bridge)
 *        | read, write                                      | read, write
 *     /dev/pts/N  <-- line discipline (struct tty) <--  /dev/ptmx's file (the master)
 *                 --> output ring              -->
 *
 * Opening /dev/ptmx makes a pair and its node in /dev/pts; closing the master hangs the
 * terminal up and takes the node away. The pair goes when the last file of both sides is
 * closed.
 *
 * Invariants
 *   - fs_state.ptys[N] is the pair of number N while its master is open.
 *   - The master reads IO_ERROR when no slave is open any more (after one was).
 * Locking    tty.lock for the pair; fs_state.lock for the numbers.
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/tty_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define OUTPUT_SIZE 8192u
#define FIONREAD    0x541bu
#define TIOCGPTN    0x80045430u
#define TIOCPKT     0x5420u
#define TIOCGPKT    0x80045438u
#define TIOCSPTLCK  0x40045431u
#define TIOCGPTLCK  0x80045439u
#define TIOCSIG     0x40045436u

static size_t pty_room(struct tty *tty)
{
    return ring_room(&tty->pty->output);
}

static void pty_put(struct tty *tty, const char *text, size_t length)
{
    (void)ring_write(&tty->pty->output, text, length);
}

void pty_free(struct pty *pty)
{
    ring_end(&pty->output);
    heap_free(pty);
}

/* ---- the slave's side ---- */

void pty_slave_opened(struct pty *pty)
{
    bool irqs = spin_lock(&pty->tty.lock);

    pty->slaves++;
    pty->slave_seen = true;
    spin_unlock(&pty->tty.lock, irqs);
}

void pty_slave_closed(struct pty *pty)
{
    bool irqs = spin_lock(&pty->tty.lock);
    bool last = --pty->slaves == 0;

    spin_unlock(&pty->tty.lock, irqs);
    if (last) {
        fs_event_signal(&pty->tty.changed);
        poll_notify(&pty->master_poll, VFS_POLLHUP | VFS_POLLIN);
    }
}

static vmk_status slave_open(struct vfs_device_driver *driver, struct file *file)
{
    struct pty *pty = driver->private;
    bool irqs = spin_lock(&pty->tty.lock);
    bool closed = pty->locked || !pty->master_open;

    spin_unlock(&pty->tty.lock, irqs);
    if (closed)
        return VMK_IO_ERROR;
    tty_file_open(&pty->tty, file);
    return VMK_OK;
}

/* ---- the master's side ---- */

static vmk_status master_read(struct file *file, struct vfs_iov *iov)
{
    struct pty *pty = file->private;
    struct tty *tty = &pty->tty;
    vmk_status status = VMK_OK;

    while (iov->size && status == VMK_OK) {
        bool irqs = spin_lock(&tty->lock);
        uint32_t count = fs_event_count(&tty->changed);
        bool gone = pty->slave_seen && pty->slaves == 0;

        size_t head = pty->packet ? 1 : 0;

        iov->done = ring_read(&pty->output, (char *)iov->to + head,
                              MIN(iov->size - head, (size_t)OUTPUT_SIZE));
        if (iov->done && head) {
            *(char *)iov->to = 0;  // TIOCPKT_DATA
            iov->done += head;
        }
        spin_unlock(&tty->lock, irqs);
        if (iov->done) {
            fs_event_signal(&tty->changed);
            poll_notify(&tty->poll, VFS_POLLOUT | VFS_POLLWRNORM);
            return VMK_OK;
        }
        if (gone)
            status = VMK_IO_ERROR;
        else
            status =
                iov->nonblock ? VMK_AGAIN : fs_event_wait(&tty->changed, count, PLAT_NS_NEVER);
    }
    return status;
}

static vmk_status master_write(struct file *file, struct vfs_iov *iov)
{
    struct pty *pty = file->private;
    struct tty *tty = &pty->tty;
    vmk_status status = VMK_OK;

    while (iov->done < iov->size && status == VMK_OK) {
        const char *from = iov->from;
        bool irqs = spin_lock(&tty->lock);
        uint32_t count = fs_event_count(&tty->changed);
        size_t before = iov->done;
        bool canonical = (tty->termios.lflag & TTY_ICANON) != 0;

        /* A line that is too long loses its bytes, as on a real terminal; raw input waits. */
        while (iov->done < iov->size && iov->done - before < 256 &&
               (tty_line_has_room(tty) || (canonical && !tty_line_has_line(tty))))
            tty_line_input(tty, (uint8_t)from[iov->done++]);
        if (iov->done != before) {
            tty_unlock_and_tell(tty, irqs, VFS_POLLIN | VFS_POLLRDNORM);
            continue;
        }
        spin_unlock(&tty->lock, irqs);
        status = iov->nonblock ? VMK_AGAIN : fs_event_wait(&tty->changed, count, PLAT_NS_NEVER);
    }
    return iov->done ? VMK_OK : status;
}

static unsigned master_poll(struct file *file, struct poll_table *table)
{
    struct pty *pty = file->private;
    struct tty *tty = &pty->tty;
    unsigned events = 0;
    bool irqs;

    poll_wait_on(table, &pty->master_poll);
    irqs = spin_lock(&tty->lock);
    if (ring_used(&pty->output))
        events |= VFS_POLLIN | VFS_POLLRDNORM;
    if (tty_line_has_room(tty))
        events |= VFS_POLLOUT | VFS_POLLWRNORM;
    if (pty->slave_seen && pty->slaves == 0)
        events |= VFS_POLLHUP;
    spin_unlock(&tty->lock, irqs);
    return events;
}

static vmk_status master_ioctl(struct file *file, uint32_t request, uint64_t argument,
                               void *data)
{
    struct pty *pty = file->private;
    struct tty *tty = &pty->tty;
    bool irqs;

    switch (request) {
    case TIOCGPTN: *(uint32_t *)data = pty->index; return VMK_OK;
    case TIOCSPTLCK:
    case TIOCGPTLCK:
    case TIOCPKT:
    case TIOCGPKT:
        irqs = spin_lock(&tty->lock);
        if (request == TIOCSPTLCK)
            pty->locked = *(int32_t *)data != 0;
        else if (request == TIOCPKT)
            pty->packet = *(int32_t *)data != 0;
        else
            *(int32_t *)data = request == TIOCGPKT ? pty->packet : pty->locked;
        spin_unlock(&tty->lock, irqs);
        return VMK_OK;
    case TIOCSIG:
        if (argument < 1 || argument > 31)
            return VMK_BAD_PARAM;
        irqs = spin_lock(&tty->lock);
        tty->signals |= 1u << argument;
        tty_unlock_and_tell(tty, irqs, 0);
        return VMK_OK;
    case FIONREAD:
        irqs = spin_lock(&tty->lock);
        *(int32_t *)data = (int32_t)ring_used(&pty->output);
        spin_unlock(&tty->lock, irqs);
        return VMK_OK;
    case TTY_TIOCGPGRP: *(int32_t *)data = (int32_t)tty_foreground(tty); return VMK_OK;
    default: return tty_ioctl_common(tty, request, argument, data);
    }
}

static void master_release(struct file *file)
{
    struct fs_state *fs = fs_state();
    struct pty *pty = file->private;
    bool irqs = spin_lock(&pty->tty.lock);

    pty->master_open = false;
    spin_unlock(&pty->tty.lock, irqs);
    vfs_device_unregister(&pty->driver);
    tty_hang_up(&pty->tty);
    irqs = spin_lock(&fs->lock);
    fs->ptys[pty->index] = NULL;
    spin_unlock(&fs->lock, irqs);
    tty_put(&pty->tty);
}

static const struct file_ops master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
    .release = master_release,
};

/* The node belongs to who opened the master. */
static void own_node(const struct pty *pty)
{
    const struct tty_hooks *hooks = fs_state()->tty_hooks;
    struct vfs_where where = vfs_where_kernel();
    struct tty_process self;
    struct vnode *node;
    char path[32];

    if (!hooks || !hooks->current(&self))
        return;
    (void)vmk_snprintf(path, sizeof(path), "/dev/%s", pty->name);
    if (vfs_walk(&where, path, 0, &node) != VMK_OK)
        return;

    const struct vfs_attr attr = {.uid = self.uid, .gid = self.gid};

    (void)!vnode_setattr(node, &attr, VFS_SET_UID | VFS_SET_GID, NULL);
    vnode_put(node);
}

static bool number_take(struct pty *pty)
{
    struct fs_state *fs = fs_state();
    bool found = false;
    bool irqs = spin_lock(&fs->lock);

    for (unsigned i = 0; i < FS_PTYS_MAX && !found; i++) {
        if (!fs->ptys[i]) {
            fs->ptys[i] = &pty->tty;
            pty->index = i;
            found = true;
        }
    }
    spin_unlock(&fs->lock, irqs);
    return found;
}

static vmk_status ptmx_open(struct vfs_device_driver *driver, struct file *file)
{
    struct fs_state *fs = fs_state();
    struct pty *pty = heap_alloc(sizeof(*pty), MEM_OWNER_FS);
    vmk_status status;
    bool irqs;

    (void)driver;
    if (!pty)
        return VMK_NO_MEMORY;
    if (!number_take(pty)) {
        heap_free(pty);
        return VMK_LIMIT;
    }
    (void)vmk_snprintf(pty->name, sizeof(pty->name), "pts/%u", pty->index);
    tty_setup(&pty->tty, pty->name, vfs_device(136, pty->index));
    pty->tty.pty = pty;
    pty->tty.room = pty_room;
    pty->tty.put = pty_put;
    ring_init(&pty->output, OUTPUT_SIZE);
    poll_head_init(&pty->master_poll, "pty master poll");
    pty->locked = true;
    pty->master_open = true;
    pty->driver = (struct vfs_device_driver){.name = pty->name,
                                             .type = VFS_TYPE_CHAR,
                                             .mode = 0620,
                                             .device = pty->tty.device,
                                             .open = slave_open,
                                             .private = pty};
    status = vfs_device_register(&pty->driver);
    if (status != VMK_OK) {
        irqs = spin_lock(&fs->lock);
        fs->ptys[pty->index] = NULL;
        spin_unlock(&fs->lock, irqs);
        pty_free(pty);
        return status;
    }
    own_node(pty);
    file->ops = &master_ops;
    file->private = pty;
    return VMK_OK;
}

vmk_status pty_init(void)
{
    struct vfs_device_driver *driver = heap_alloc(sizeof(*driver), MEM_OWNER_FS);

    if (!driver)
        return VMK_NO_MEMORY;
    driver->name = "ptmx";
    driver->type = VFS_TYPE_CHAR;
    driver->mode = 0666;
    driver->device = vfs_device(5, 2);
    driver->open = ptmx_open;
    return vfs_device_register(driver);
}
