// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty_ioctl.c -- what programs ask of a terminal besides reading and writing.
 *
 * Invariants
 *   - A change from a background process is answered with SIGTTOU first, as POSIX has it.
 * Locking    tty.lock for what is changed; hooks without it.
 * Sources    [POSIX] termios; ioctl numbers of the Linux ABI
 */
#include "core/assert.h"
#include "fs/tty_internal.h"
#include "lib/string.h"

#define TCSBRK   0x5409u
#define TCXONC   0x540au
#define TCFLSH   0x540bu
#define TIOCEXCL 0x540cu
#define TIOCNXCL 0x540du
#define TIOCOUTQ 0x5411u
#define TIOCSTI  0x5412u
#define FIONREAD 0x541bu
#define TIOCGETD 0x5424u
#define TCSBRKP  0x5425u

static const struct tty_hooks *hooks_get(void)
{
    return __atomic_load_n(&fs_state()->tty_hooks, __ATOMIC_ACQUIRE);
}

static void set_termios(struct tty *tty, const struct tty_termios *new, bool flush)
{
    bool irqs = spin_lock(&tty->lock);
    uint32_t before = tty->termios.lflag;

    if (flush)
        tty_line_flush_input(tty);
    tty->termios = *new;
    if (!(new->iflag &TTY_IXON))
        tty->stopped = false;
    tty_line_mode_changed(tty, before);
    tty_unlock_and_tell(tty, irqs, VFS_POLLIN | VFS_POLLOUT);
}

static vmk_status set_winsize(struct tty *tty, const struct tty_winsize *size)
{
    bool irqs = spin_lock(&tty->lock);

    if (memcmp(&tty->winsize, size, sizeof(*size)) != 0) {
        tty->winsize = *size;
        tty->signals |= 1u << TTY_SIGWINCH;
    }
    tty_unlock_and_tell(tty, irqs, 0);
    return VMK_OK;
}

/* TCFLSH: 0 input, 1 output, 2 both. */
static vmk_status flush(struct tty *tty, uint64_t which)
{
    bool irqs;

    if (which > 2)
        return VMK_BAD_PARAM;
    irqs = spin_lock(&tty->lock);
    if (which != 1)
        tty_line_flush_input(tty);
    if (which != 0 && tty->pty)
        ring_drop(&tty->pty->output);
    tty_unlock_and_tell(tty, irqs, VFS_POLLOUT);
    return VMK_OK;
}

/* TCXONC: 0 stop output, 1 go on, 2 and 3 tell the other side to. */
static vmk_status flow(struct tty *tty, uint64_t what)
{
    bool irqs;

    if (what > 3)
        return VMK_BAD_PARAM;
    irqs = spin_lock(&tty->lock);
    if (what < 2)
        tty->stopped = what == 0;
    tty_unlock_and_tell(tty, irqs, VFS_POLLOUT);
    return VMK_OK;
}

/* struct termio of TCGETA: the lower halves of the flags and the first eight characters. */
#define TCGETA     0x5405u
#define TCSETA     0x5406u  // +1 drain first, +2 and flush input
#define TERMIO_CCS 8u

struct tty_termio {
    uint16_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[TERMIO_CCS], pad;
};
_Static_assert(sizeof(struct tty_termio) == 18, "the kernel's termio of TCGETA");

static void get_termio(struct tty *tty, struct tty_termio *out)
{
    bool irqs = spin_lock(&tty->lock);
    const struct tty_termios *t = &tty->termios;

    *out = (struct tty_termio){.iflag = (uint16_t)t->iflag,
                               .oflag = (uint16_t)t->oflag,
                               .cflag = (uint16_t)t->cflag,
                               .lflag = (uint16_t)t->lflag,
                               .line = t->line};
    memcpy(out->cc, t->cc, sizeof(out->cc));
    spin_unlock(&tty->lock, irqs);
}

static void set_termio(struct tty *tty, const struct tty_termio *in, bool discard)
{
    struct tty_termios t;
    bool irqs = spin_lock(&tty->lock);

    t = tty->termios;
    spin_unlock(&tty->lock, irqs);
    t.iflag = (t.iflag & ~0xffffu) | in->iflag;
    t.oflag = (t.oflag & ~0xffffu) | in->oflag;
    t.cflag = (t.cflag & ~0xffffu) | in->cflag;
    t.lflag = (t.lflag & ~0xffffu) | in->lflag;
    memcpy(t.cc, in->cc, sizeof(in->cc));
    set_termios(tty, &t, discard);
}

vmk_status tty_ioctl_common(struct tty *tty, uint32_t request, uint64_t argument, void *data)
{
    bool irqs;

    switch (request) {
    case TCGETA: get_termio(tty, data); return VMK_OK;
    case TCSETA:
    case TCSETA + 1:
    case TCSETA + 2: set_termio(tty, data, request == TCSETA + 2); return VMK_OK;
    case TTY_TCGETS:
        irqs = spin_lock(&tty->lock);
        memcpy(data, &tty->termios, sizeof(tty->termios));
        spin_unlock(&tty->lock, irqs);
        return VMK_OK;
    case TTY_TCSETS:
    case TTY_TCSETS + 1:
    case TTY_TCSETS + 2: set_termios(tty, data, request == TTY_TCSETS + 2); return VMK_OK;
    case TTY_TIOCGWINSZ:
        irqs = spin_lock(&tty->lock);
        memcpy(data, &tty->winsize, sizeof(tty->winsize));
        spin_unlock(&tty->lock, irqs);
        return VMK_OK;
    case TTY_TIOCSWINSZ: return set_winsize(tty, data);
    case TCFLSH: return flush(tty, argument);
    case TCXONC: return flow(tty, argument);
    case TCSBRK:
    case TCSBRKP:
    case TIOCEXCL:
    case TIOCNXCL: return VMK_OK;
    case TIOCGETD: *(int32_t *)data = 0; return VMK_OK;
    default: return VMK_NOT_TTY;
    }
}
_Static_assert(sizeof(struct tty_termios) == 36, "the kernel's termios of TCGETS");

/* ---- job control ---- */

/* Is it the caller's controlling terminal? */
static bool is_mine(const struct tty *tty, struct tty_process *self)
{
    const struct tty_hooks *hooks = hooks_get();

    return hooks && hooks->current(self) && tty->session && tty->session == self->session;
}

static vmk_status set_foreground(struct tty *tty, int32_t group)
{
    const struct tty_hooks *hooks = hooks_get();
    struct tty_process self;
    bool irqs;

    if (!is_mine(tty, &self))
        return VMK_NOT_TTY;
    if (group <= 0)
        return VMK_BAD_PARAM;
    if (!hooks->group_in_session((uint32_t)group, self.session))
        return VMK_NOT_OWNER;
    irqs = spin_lock(&tty->lock);
    tty->foreground = (uint32_t)group;
    tty_unlock_and_tell(tty, irqs, 0);
    fs_event_signal(&tty->changed);  // a reader in the background may be in front now
    return VMK_OK;
}

static vmk_status set_controlling(struct tty *tty, uint64_t steal)
{
    const struct tty_hooks *hooks = hooks_get();
    struct tty_process self;
    struct tty *have;

    if (!hooks || !hooks->current(&self))
        return VMK_NOT_TTY;
    if (self.session_leader && tty->session == self.session)
        return VMK_OK;
    have = hooks->controlling();
    tty_put(have);
    if (!self.session_leader || have || (tty->session && !(steal == 1 && self.uid == 0)))
        return VMK_NOT_OWNER;
    tty_become_controlling(tty, steal == 1);
    return VMK_OK;
}

static vmk_status drop_controlling(struct tty *tty)
{
    const struct tty_hooks *hooks = hooks_get();
    struct tty_process self;

    if (!is_mine(tty, &self))
        return VMK_NOT_TTY;
    if (self.session_leader) {
        hooks->controlling_set(self.session, NULL);
        tty_session_ended(tty, self.session);
    }
    return VMK_OK;
}

static bool changes_something(uint32_t request)
{
    return (request >= TTY_TCSETS && request <= TTY_TCSETS + 2) ||
           (request >= TCSETA && request <= TCSETA + 2) || request == TCFLSH ||
           request == TCXONC || request == TCSBRK || request == TCSBRKP ||
           request == TTY_TIOCSPGRP;
}

vmk_status tty_ioctl(struct file *file, uint32_t request, uint64_t argument, void *data)
{
    struct tty *tty = file->private;
    struct tty_process self;
    vmk_status status = VMK_OK;
    bool irqs;

    if (tty->hung_up)
        return VMK_IO_ERROR;
    if (changes_something(request))
        status = tty_check_background(tty, TTY_SIGTTOU);
    if (status != VMK_OK)
        return status;
    switch (request) {
    case TTY_TIOCGPGRP:
        if (!is_mine(tty, &self))
            return VMK_NOT_TTY;
        *(int32_t *)data = (int32_t)tty_foreground(tty);
        return VMK_OK;
    case TTY_TIOCSPGRP: return set_foreground(tty, *(int32_t *)data);
    case TTY_TIOCGSID:
        if (!is_mine(tty, &self))
            return VMK_NOT_TTY;
        *(int32_t *)data = (int32_t)tty->session;
        return VMK_OK;
    case TTY_TIOCSCTTY: return set_controlling(tty, argument);
    case TTY_TIOCNOTTY: return drop_controlling(tty);
    case FIONREAD:
        irqs = spin_lock(&tty->lock);
        *(int32_t *)data = (int32_t)tty_line_readable(tty);
        spin_unlock(&tty->lock, irqs);
        return VMK_OK;
    case TIOCOUTQ:
        irqs = spin_lock(&tty->lock);
        *(int32_t *)data = tty->pty ? (int32_t)ring_used(&tty->pty->output) : 0;
        spin_unlock(&tty->lock, irqs);
        return VMK_OK;
    case TIOCSTI:
        if (!is_mine(tty, &self) || self.uid != 0)
            return VMK_NOT_OWNER;
        tty_input(tty, data, 1);
        return VMK_OK;
    default: return tty_ioctl_common(tty, request, argument, data);
    }
}
