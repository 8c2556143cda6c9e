// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty.c -- terminals as files: reading with VMIN and VTIME, writing, and who may.
 *
 * Invariants
 *   - No hook of user/ is called with tty.lock held; signals that the line discipline wants are
 *     collected in tty.signals and sent by tty_unlock_and_tell().
 * Locking    tty.lock (rank TTY), a spin lock, because input may come from an interrupt one
 *            day.
 * Start at   tty_read(), tty_write(), tty_unlock_and_tell().
 */
#include "fs/tty.h"

#include "core/assert.h"
#include "core/heap.h"
#include "fs/tty_internal.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "world/world.h"

#define CHUNK 256u

void tty_hooks_set(const struct tty_hooks *hooks)
{
    __atomic_store_n(&fs_state()->tty_hooks, hooks, __ATOMIC_RELEASE);
}

static const struct tty_hooks *hooks_get(void)
{
    return __atomic_load_n(&fs_state()->tty_hooks, __ATOMIC_ACQUIRE);
}

void tty_setup(struct tty *tty, const char *name, uint64_t device)
{
    tty->refs = 1;
    tty->name = name;
    tty->device = device;
    spin_init(&tty->lock, "tty", LOCK_RANK_TTY);
    tty_termios_default(&tty->termios);
    fs_event_init(&tty->changed, "tty");
    poll_head_init(&tty->poll, "tty poll");
}

void tty_ref(struct tty *tty)
{
    __atomic_add_fetch(&tty->refs, 1, __ATOMIC_RELAXED);
}

void tty_put(struct tty *tty)
{
    if (tty && __atomic_sub_fetch(&tty->refs, 1, __ATOMIC_ACQ_REL) == 0 && tty->pty)
        pty_free(tty->pty);
}

uint64_t tty_device(const struct tty *tty)
{
    return tty->device;
}

uint32_t tty_foreground(const struct tty *tty)
{
    return __atomic_load_n(&tty->foreground, __ATOMIC_RELAXED);
}

struct tty *tty_of_file(struct file *file)
{
    return file->ops == &tty_file_ops ? file->private : NULL;
}

static void signal_group(uint32_t group, unsigned signal)
{
    const struct tty_hooks *hooks = hooks_get();

    if (hooks && group)
        (void)hooks->signal_group(group, signal);
}

void tty_unlock_and_tell(struct tty *tty, bool irqs, unsigned events)
{
    unsigned signals = tty->signals;
    uint32_t group = tty->foreground;

    tty->signals = 0;
    spin_unlock(&tty->lock, irqs);
    if (events) {
        fs_event_signal(&tty->changed);
        poll_notify(&tty->poll, events);
        if (tty->pty)
            poll_notify(&tty->pty->master_poll, events);
    }
    for (unsigned s = 1; signals >> s; s++) {
        if (signals & (1u << s))
            signal_group(group, s);
    }
}

void tty_input(struct tty *tty, const char *text, size_t length)
{
    bool irqs = spin_lock(&tty->lock);

    for (size_t i = 0; i < length; i++)
        tty_line_input(tty, (uint8_t)text[i]);
    tty_unlock_and_tell(tty, irqs, VFS_POLLIN | VFS_POLLRDNORM | VFS_POLLOUT | VFS_POLLWRNORM);
}

/* ---- job control ---- */

vmk_status tty_check_background(struct tty *tty, unsigned signal)
{
    const struct tty_hooks *hooks = hooks_get();
    struct tty_process self;

    if (!hooks || !hooks->current(&self) || self.session != tty->session || !tty->foreground ||
        self.group == tty->foreground)
        return VMK_OK;
    if (hooks->signal_ignored(signal))
        return signal == TTY_SIGTTIN ? VMK_IO_ERROR : VMK_OK;
    if (hooks->group_orphaned(self.group))
        return VMK_IO_ERROR;
    signal_group(self.group, signal);
    return VMK_INTERRUPTED;
}

void tty_become_controlling(struct tty *tty, bool steal)
{
    const struct tty_hooks *hooks = hooks_get();
    struct tty_process self;
    bool taken = false;
    bool irqs;

    if (!hooks || !hooks->current(&self) || !self.session_leader)
        return;
    irqs = spin_lock(&tty->lock);
    if (!tty->session || steal) {
        tty->session = self.session;
        tty->foreground = self.group;
        taken = true;
    }
    spin_unlock(&tty->lock, irqs);
    if (taken)
        hooks->controlling_set(self.session, tty);
}

void tty_session_ended(struct tty *tty, uint32_t session)
{
    uint32_t group = 0;
    bool irqs = spin_lock(&tty->lock);

    if (tty->session == session) {
        group = tty->foreground;
        tty->session = tty->foreground = 0;
    }
    spin_unlock(&tty->lock, irqs);
    signal_group(group, TTY_SIGHUP);
    signal_group(group, TTY_SIGCONT);
}

void tty_hang_up(struct tty *tty)
{
    const struct tty_hooks *hooks = hooks_get();
    bool irqs = spin_lock(&tty->lock);
    uint32_t session = tty->session, group = tty->foreground;

    tty->hung_up = true;
    tty->session = tty->foreground = 0;
    tty_line_flush_input(tty);
    tty_unlock_and_tell(tty, irqs, VFS_POLLIN | VFS_POLLOUT | VFS_POLLHUP);
    signal_group(group, TTY_SIGHUP);
    signal_group(group, TTY_SIGCONT);
    if (session && hooks && group != session) {
        signal_group(session, TTY_SIGHUP);  // the leader's own group
        signal_group(session, TTY_SIGCONT);
    }
}

/* ---- files ---- */

void tty_file_open(struct tty *tty, struct file *file)
{
    const struct tty_hooks *hooks = hooks_get();
    struct tty *have = hooks ? hooks->controlling() : NULL;

    tty_ref(tty);
    file->ops = &tty_file_ops;
    file->private = tty;
    if (hooks && !have && !tty->no_controlling && !(file->flags & VFS_O_NOCTTY))
        tty_become_controlling(tty, false);
    tty_put(have);
    if (tty->pty)
        pty_slave_opened(tty->pty);
}

static void tty_release(struct file *file)
{
    struct tty *tty = file->private;

    if (tty->pty)
        pty_slave_closed(tty->pty);
    tty_put(tty);
}

/* How many bytes a raw read waits for, and until when; canonical: one line and for ever. */
struct patience {
    uint32_t want;
    plat_ns first, between;  // for the first byte; between two. NEVER: no limit
};

static struct patience patience_of(const struct tty *tty, size_t size)
{
    uint32_t min = tty->termios.cc[TTY_VMIN];
    plat_ns time = tty->termios.cc[TTY_VTIME] * 100000000ull;
    struct patience p = {.want = 1, .first = PLAT_NS_NEVER, .between = PLAT_NS_NEVER};

    if (tty->termios.lflag & TTY_ICANON)
        return p;
    p.want = MIN(min, (uint32_t)MIN(size, (size_t)255));
    if (min == 0)
        p.first = time;
    else if (time)
        p.between = time;
    return p;
}

static plat_ns deadline_of(plat_ns since, plat_ns limit)
{
    return limit == PLAT_NS_NEVER ? PLAT_NS_NEVER : since + limit;
}

static vmk_status tty_read(struct file *file, struct vfs_iov *iov)
{
    struct tty *tty = file->private;
    plat_ns since = plat_time_now();
    vmk_status status = tty_check_background(tty, TTY_SIGTTIN);
    bool timed_out = false;
    uint32_t seen = 0;

    if (status != VMK_OK || iov->size == 0)
        return status;
    for (;;) {
        bool irqs = spin_lock(&tty->lock);
        struct patience p = patience_of(tty, iov->size);
        uint32_t there = tty_line_readable(tty);
        uint32_t count = fs_event_count(&tty->changed);
        plat_ns limit;
        bool eof;

        if ((there && there >= p.want) || timed_out || (there && iov->nonblock) ||
            (there && status != VMK_OK)) {
            iov->done = tty_line_read(tty, iov->to, iov->size, &eof);
            tty_unlock_and_tell(tty, irqs, VFS_POLLOUT | VFS_POLLWRNORM);
            return VMK_OK;
        }
        limit = there ? p.between : p.first;
        if (tty->hung_up || (p.want == 0 && limit == 0)) {
            spin_unlock(&tty->lock, irqs);
            return VMK_OK;  // end of file; or asked not to wait
        }
        spin_unlock(&tty->lock, irqs);
        if (status != VMK_OK)
            return status;
        if (iov->nonblock)
            return VMK_AGAIN;
        if (there != seen)
            since = plat_time_now();
        seen = there;
        status = fs_event_wait(&tty->changed, count, deadline_of(since, limit));
        if (status == VMK_TIMEOUT) {
            timed_out = true;
            status = VMK_OK;
        } else if (status == VMK_OK) {
            status = tty_check_background(tty, TTY_SIGTTIN);
        }
    }
}

static vmk_status tty_write(struct file *file, struct vfs_iov *iov)
{
    struct tty *tty = file->private;
    vmk_status status = VMK_OK;

    if (tty->termios.lflag & TTY_TOSTOP)
        status = tty_check_background(tty, TTY_SIGTTOU);
    while (status == VMK_OK && iov->done < iov->size) {
        bool irqs = spin_lock(&tty->lock);
        uint32_t count = fs_event_count(&tty->changed);
        bool hung_up = tty->hung_up;
        size_t chunk = MIN(iov->size - iov->done, (size_t)CHUNK);
        size_t moved =
            hung_up ? 0 : tty_line_output(tty, (const char *)iov->from + iov->done, chunk);

        spin_unlock(&tty->lock, irqs);
        iov->done += moved;
        if (moved && tty->pty)
            poll_notify(&tty->pty->master_poll, VFS_POLLIN | VFS_POLLRDNORM);
        if (moved && tty->pty)
            fs_event_signal(&tty->changed);
        if (hung_up)
            status = VMK_IO_ERROR;
        else if (!moved && iov->nonblock)
            status = VMK_AGAIN;
        else if (!moved)
            status = fs_event_wait(&tty->changed, count, PLAT_NS_NEVER);
    }
    return iov->done ? VMK_OK : status;
}

static unsigned tty_poll(struct file *file, struct poll_table *table)
{
    struct tty *tty = file->private;
    unsigned events = 0;
    bool irqs;

    poll_wait_on(table, &tty->poll);
    irqs = spin_lock(&tty->lock);
    if (tty_line_readable(tty) || tty->hung_up)
        events |= VFS_POLLIN | VFS_POLLRDNORM;
    if (!tty->stopped && tty->room(tty) >= CHUNK / 2)
        events |= VFS_POLLOUT | VFS_POLLWRNORM;
    if (tty->hung_up)
        events |= VFS_POLLHUP;
    spin_unlock(&tty->lock, irqs);
    return events;
}

const struct file_ops tty_file_ops = {
    .read = tty_read,
    .write = tty_write,
    .ioctl = tty_ioctl,
    .poll = tty_poll,
    .release = tty_release,
};
