// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty.h -- terminals: line discipline, pseudo terminals, the console, and job control.
 *
 * A terminal knows process groups and sessions by number only. What they are, and who is
 * running, only user/ knows: it registers struct tty_hooks. Without hooks (unit tests, early
 * boot) there is no job control and everything else works.
 */
#pragma once

#include "fs/vfs.h"

struct tty;

/* ---- termios: the layouts and numbers of the Linux x86-64 ABI ---- */

struct tty_termios {  // of TCGETS, 36 bytes
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line;
    uint8_t cc[19];
};
struct tty_winsize {
    uint16_t rows, columns, xpixel, ypixel;
};

#define TTY_TCGETS     0x5401u
#define TTY_TCSETS     0x5402u  // +1 drain first, +2 and flush input
#define TTY_TIOCSCTTY  0x540eu
#define TTY_TIOCGPGRP  0x540fu
#define TTY_TIOCSPGRP  0x5410u
#define TTY_TIOCGWINSZ 0x5413u
#define TTY_TIOCSWINSZ 0x5414u
#define TTY_TIOCNOTTY  0x5422u
#define TTY_TIOCGSID   0x5429u

#define TTY_SIGHUP     1u
#define TTY_SIGINT     2u
#define TTY_SIGQUIT    3u
#define TTY_SIGCONT    18u
#define TTY_SIGTSTP    20u
#define TTY_SIGTTIN    21u
#define TTY_SIGTTOU    22u
#define TTY_SIGWINCH   28u

/* ---- what user/ tells about processes ---- */

struct tty_process {
    uint32_t pid, group, session;
    uint32_t uid, gid;  // effective: who owns a pseudo terminal it opens
    bool session_leader;
};

struct tty_hooks {
    /* The running process; false: a kernel world, which is above job control. */
    bool (*current)(struct tty_process *out);
    /*
     * The controlling terminal of the current process's session, referenced, or null: /dev/tty.
     */
    struct tty *(*controlling)(void);
    /*
     * The session of the current process (its leader) now has `tty` (null: none any more) as
     * its controlling terminal. user/ keeps a reference with tty_ref() while it does.
     */
    void (*controlling_set)(uint32_t session, struct tty *tty);
    /*
     * To every process of the group. Never blocks; called in any context without locks above
     * USER: tty calls it with no spin lock held. NOT_FOUND: no such group.
     */
    vmk_status (*signal_group)(uint32_t group, unsigned signal);
    /* Does the current thread block or ignore that signal? */
    bool (*signal_ignored)(unsigned signal);
    /*
     * Is the group of the current process orphaned (nobody in its session could continue it)?
     */
    bool (*group_orphaned)(uint32_t group);
    /* Is there such a group, and is it in that session? */
    bool (*group_in_session)(uint32_t group, uint32_t session);
};
/* Once, at boot; without them there is no job control. */
void tty_hooks_set(const struct tty_hooks *hooks);

/* ---- for user/ ---- */

/* One more holder; the last tty_put() frees a pseudo terminal. Null may be put. */
void tty_ref(struct tty *tty);
void tty_put(struct tty *tty);
/* The session leader of `session` exits: SIGHUP and SIGCONT to the foreground group, and the
 * terminal is nobody's again. */
void tty_session_ended(struct tty *tty, uint32_t session);
/* For /proc/<pid>/stat: the device number, and the foreground group (0: none). */
uint64_t tty_device(const struct tty *tty);
uint32_t tty_foreground(const struct tty *tty);
/* The terminal behind an open file, borrowed; null if it is none. */
struct tty *tty_of_file(struct file *file);

/* ---- the console ---- */

/*
 * Bytes typed at the host's console, from whoever reads the keyboard or the serial port. Any
 * context that may take rank TTY. The console's output goes to what tty_console_output() set:
 * at first the serial port that the log does not use for itself alone, and the screen.
 */
void tty_console_input(const char *text, size_t length);
void tty_console_output(void (*write)(const char *text, size_t length));
/*
 * Looks for bytes at the serial port every few milliseconds and feeds them in; a kernel world.
 */
must_check vmk_status tty_console_poll_start(unsigned port);
/* Does the console have that port? Then nobody else may read it. */
bool tty_console_has_port(unsigned port);
