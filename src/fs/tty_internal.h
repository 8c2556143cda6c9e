// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty_internal.h -- struct tty and what the files of terminals share.
 */
#pragma once

#include "fs/ring.h"
#include "fs/tty.h"
#include "fs/vfs_internal.h"

/* termios bits and places, of the Linux x86-64 ABI. */
#define TTY_IGNBRK     0000001u
#define TTY_ISTRIP     0000040u
#define TTY_INLCR      0000100u
#define TTY_IGNCR      0000200u
#define TTY_ICRNL      0000400u
#define TTY_IXON       0002000u
#define TTY_IXANY      0004000u
#define TTY_IMAXBEL    0020000u
#define TTY_IUTF8      0040000u
#define TTY_OPOST      0000001u
#define TTY_ONLCR      0000004u
#define TTY_OCRNL      0000010u
#define TTY_ONOCR      0000020u
#define TTY_ONLRET     0000040u
#define TTY_TAB3       0014000u
#define TTY_ISIG       0000001u
#define TTY_ICANON     0000002u
#define TTY_ECHO       0000010u
#define TTY_ECHOE      0000020u
#define TTY_ECHOK      0000040u
#define TTY_ECHONL     0000100u
#define TTY_NOFLSH     0000200u
#define TTY_TOSTOP     0000400u
#define TTY_ECHOCTL    0001000u
#define TTY_ECHOKE     0004000u
#define TTY_IEXTEN     0100000u
#define TTY_CFLAGS     0277u  // 38400 baud, 8 bits, CREAD
#define TTY_VINTR      0u
#define TTY_VQUIT      1u
#define TTY_VERASE     2u
#define TTY_VKILL      3u
#define TTY_VEOF       4u
#define TTY_VTIME      5u
#define TTY_VMIN       6u
#define TTY_VSTART     8u
#define TTY_VSTOP      9u
#define TTY_VSUSP      10u
#define TTY_VEOL       11u
#define TTY_VREPRINT   12u
#define TTY_VWERASE    14u
#define TTY_VLNEXT     15u
#define TTY_VEOL2      16u

#define TTY_INPUT_SIZE 4096u  // a power of two

/*
 * Input. Bytes are numbered from the beginning of time; byte n is at input[n % size].
 *
 *      read            committed             end
 *       |-- may be read --|-- being edited --|
 *
 * In raw mode nothing is edited and committed = end. In canonical mode a line's last byte has a
 * mark: a read stops behind it. The mark of VEOF is on a byte of its own that no read hands
 * out.
 */
struct tty {
    uint32_t refs;  // (a)
    uint64_t device;
    const char *name;
    bool no_controlling;  // (i) /dev/console: opening it takes no controlling terminal

    struct spinlock lock;  // rank TTY: everything below
    struct tty_termios termios;
    struct tty_winsize winsize;
    uint32_t session, foreground;
    char input[TTY_INPUT_SIZE];
    uint8_t mark[TTY_INPUT_SIZE / 8];
    uint8_t eof[TTY_INPUT_SIZE / 8];
    uint32_t read, committed, end;
    bool literal;          // the next byte is taken as it is (VLNEXT)
    bool stopped;          // VSTOP or TCXONC
    bool hung_up;          // the other end went for good
    uint32_t column;       // of the cursor
    uint32_t edit_column;  // where the line being edited begins
    unsigned signals;      // to send once the lock is dropped; bit per signal

    /* Where output goes, under the lock: how much it would take, and taking that. */
    size_t (*room)(struct tty *tty);
    void (*put)(struct tty *tty, const char *text, size_t length);
    struct pty *pty;  // (i) null: the console

    struct fs_event changed;  // something to read, room to write, or the end
    struct poll_head poll;
};

struct pty {
    struct tty tty;  // first: the slave
    unsigned index;
    char name[16];  // "pts/N"
    struct vfs_device_driver driver;
    struct ring output;  // tty.lock; what the master reads
    bool locked;         // tty.lock; TIOCSPTLCK
    bool packet;         // tty.lock; TIOCPKT: what the master reads begins with a byte of 0
    bool master_open;    // tty.lock
    uint32_t slaves;     // tty.lock; open slave files
    bool slave_seen;     // tty.lock; ever opened
    struct poll_head master_poll;
};

/* ---- tty_line.c: with the lock held ---- */
void tty_termios_default(struct tty_termios *termios);
/* One byte arrived. */
void tty_line_input(struct tty *tty, uint8_t c);
/* May more input come in without being lost? */
bool tty_line_has_room(const struct tty *tty);
/* Processes output; returns how many bytes of `text` were taken. */
size_t tty_line_output(struct tty *tty, const char *text, size_t length);
/* Bytes that a read would get now (canonical: whole lines). */
uint32_t tty_line_readable(const struct tty *tty);
bool tty_line_has_line(const struct tty *tty);
/* Up to `size` bytes and, in canonical mode, one line at most. *eof: an end of file was met. */
size_t tty_line_read(struct tty *tty, char *to, size_t size, bool *eof);
void tty_line_flush_input(struct tty *tty);
/* The mode changed from `before`. */
void tty_line_mode_changed(struct tty *tty, uint32_t lflag_before);

/* ---- tty.c ---- */
void tty_setup(struct tty *tty, const char *name, uint64_t device);
/* Unlocks, then sends collected signals and wakes whoever waits. */
void tty_unlock_and_tell(struct tty *tty, bool irqs, unsigned events);
void tty_input(struct tty *tty, const char *text, size_t length);
/*
 * Hands the opened file to the terminal, taking a reference; becomes controlling if that is
 * due.
 */
void tty_file_open(struct tty *tty, struct file *file);
extern const struct file_ops tty_file_ops;
/* Is the caller in the background of this terminal? `signal` (SIGTTIN or SIGTTOU) is sent then:
 * INTERRUPTED; or IO_ERROR if that would stop nobody. OK: go on. */
must_check vmk_status tty_check_background(struct tty *tty, unsigned signal);
void tty_hang_up(struct tty *tty);

/* ---- tty_ioctl.c ---- */
vmk_status tty_ioctl(struct file *file, uint32_t request, uint64_t argument, void *data);
vmk_status tty_ioctl_common(struct tty *tty, uint32_t request, uint64_t argument, void *data);
void tty_become_controlling(struct tty *tty, bool steal);

/* ---- tty_pty.c, tty_console.c ---- */
void pty_slave_opened(struct pty *pty);
void pty_slave_closed(struct pty *pty);
void pty_free(struct pty *pty);
must_check vmk_status pty_init(void);
must_check vmk_status tty_console_init(void);
