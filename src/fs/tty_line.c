// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty_line.c -- the line discipline: what a terminal makes of the bytes that pass through it.
 *
 * Typed bytes are mapped (ICRNL), may be signals (ISIG), flow control (IXON) or edit the line
 * (ICANON), and are echoed; written bytes are mapped (OPOST). All of it is a machine on struct
 * tty with no waiting in it: tty.c waits.
 *
 * Invariants
 *   - read <= committed <= end <= read + size, as numbers modulo 2^32 (checked in store()).
 *   - In canonical mode one byte of room is kept for the end of the line, so a line that is too
 *     long loses bytes and not its end.
 * Locking    tty.lock, held by the callers.
 * Start at   tty_line_input(), tty_line_output(), tty_line_read().
 * Sources    [POSIX] General Terminal Interface
 */
#include "core/assert.h"
#include "fs/tty_internal.h"
#include "lib/string.h"

#define DEL   127u
#define AT(n) ((n) % TTY_INPUT_SIZE)

void tty_termios_default(struct tty_termios *t)
{
    /* ^C ^\ DEL ^U ^D 0 1 0 ^Q ^S ^Z 0 ^R ^O ^W ^V 0 */
    static const uint8_t cc[19] = {3,  28, 127, 21, 4,  0,  1, 0, 17, 19,
                                   26, 0,  18,  15, 23, 22, 0, 0, 0};

    *t = (struct tty_termios){
        .iflag = TTY_ICRNL | TTY_IXON,
        .oflag = TTY_OPOST | TTY_ONLCR,
        .cflag = TTY_CFLAGS,
        .lflag = TTY_ISIG | TTY_ICANON | TTY_ECHO | TTY_ECHOE | TTY_ECHOK | TTY_ECHOCTL |
                 TTY_ECHOKE | TTY_IEXTEN,
    };
    memcpy(t->cc, cc, sizeof(cc));
}

static bool bit_get(const uint8_t *bits, uint32_t n)
{
    return (bits[AT(n) / 8] & (1u << (AT(n) % 8))) != 0;
}

static void bit_set(uint8_t *bits, uint32_t n, bool on)
{
    uint8_t mask = (uint8_t)(1u << (AT(n) % 8));

    bits[AT(n) / 8] = (uint8_t)(on ? bits[AT(n) / 8] | mask : bits[AT(n) / 8] & (uint8_t)~mask);
}

static bool local(const struct tty *tty, uint32_t flag)
{
    return (tty->termios.lflag & flag) != 0;
}

static bool is_key(const struct tty *tty, uint8_t c, unsigned which)
{
    return c != 0 && tty->termios.cc[which] == c;
}

/* ---- output ---- */

static void move_column(struct tty *tty, uint8_t c)
{
    if (c == '\n' || c == '\r')
        tty->column =
            c == '\r' || (tty->termios.oflag & (TTY_ONLRET | TTY_ONLCR)) ? 0 : tty->column;
    else if (c == '\b')
        tty->column -= tty->column > 0;
    else if (c == '\t')
        tty->column = (tty->column | 7u) + 1;
    else if (c >= ' ' && c != DEL && (c & 0xc0) != 0x80)
        tty->column++;
}

/* What one byte becomes; returns its length. */
static size_t map_output(const struct tty *tty, uint8_t c, char out[8])
{
    uint32_t flags = tty->termios.oflag;

    out[0] = (char)c;
    if (!(flags & TTY_OPOST))
        return 1;
    if (c == '\n' && (flags & TTY_ONLCR)) {
        out[0] = '\r';
        out[1] = '\n';
        return 2;
    }
    if (c == '\r' && (flags & TTY_ONOCR) && tty->column == 0)
        return 0;
    if (c == '\r' && (flags & TTY_OCRNL))
        out[0] = '\n';
    if (c == '\t' && (flags & TTY_TAB3) == TTY_TAB3) {
        size_t count = 8 - (tty->column & 7u);

        memset(out, ' ', count);
        return count;
    }
    return 1;
}

size_t tty_line_output(struct tty *tty, const char *text, size_t length)
{
    size_t done = 0;

    if (tty->stopped)
        return 0;
    while (done < length) {
        char buffer[128];
        size_t fill = 0, room = MIN(tty->room(tty), sizeof(buffer));
        size_t before = done;

        while (done < length && fill + 8 <= room) {
            size_t n = map_output(tty, (uint8_t)text[done], buffer + fill);

            move_column(tty, (uint8_t)text[done]);
            fill += n;
            done++;
        }
        if (fill)
            tty->put(tty, buffer, fill);
        if (done == before)
            break;
    }
    return done;
}

static void echo_text(struct tty *tty, const char *text, size_t length)
{
    bool stopped = tty->stopped;

    tty->stopped = false;
    (void)tty_line_output(tty, text, length);
    tty->stopped = stopped;
}

static bool shown_as_two(const struct tty *tty, uint8_t c)
{
    return local(tty, TTY_ECHOCTL) && ((c < ' ' && c != '\t' && c != '\n') || c == DEL);
}

static void echo_byte(struct tty *tty, uint8_t c)
{
    char two[2] = {'^', (char)(c ^ 0x40)};
    char one = (char)c;

    if (shown_as_two(tty, c))
        echo_text(tty, two, 2);
    else
        echo_text(tty, &one, 1);
}

/* ---- the input queue ---- */

bool tty_line_has_room(const struct tty *tty)
{
    return tty->end - tty->read < TTY_INPUT_SIZE - 1;
}

static void store(struct tty *tty, uint8_t c, bool mark, bool eof)
{
    uint32_t limit = TTY_INPUT_SIZE - (local(tty, TTY_ICANON) && !mark ? 1u : 0u);

    vmk_assert(tty->end - tty->read <= TTY_INPUT_SIZE);
    if (tty->end - tty->read >= limit) {
        if (tty->termios.iflag & TTY_IMAXBEL)
            echo_text(tty, "\a", 1);
        return;
    }
    tty->input[AT(tty->end)] = (char)c;
    bit_set(tty->mark, tty->end, mark);
    bit_set(tty->eof, tty->end, eof);
    tty->end++;
    if (mark || !local(tty, TTY_ICANON))
        tty->committed = tty->end;
}

void tty_line_flush_input(struct tty *tty)
{
    tty->read = tty->committed = tty->end;
    tty->literal = false;
}

void tty_line_mode_changed(struct tty *tty, uint32_t lflag_before)
{
    bool canonical = local(tty, TTY_ICANON);

    if (canonical == ((lflag_before & TTY_ICANON) != 0))
        return;
    if (canonical && tty->end != tty->read)
        bit_set(tty->mark, tty->end - 1, true);  // what is there makes a line
    tty->committed = tty->end;
    tty->literal = false;
}

/* ---- editing ---- */

static uint32_t width_at(const struct tty *tty, uint8_t c, uint32_t column)
{
    if (c == '\t')
        return 8 - (column & 7u);
    if (shown_as_two(tty, c))
        return 2;
    return c < ' ' || (c & 0xc0) == 0x80 ? 0 : 1;
}

/* The column behind the edited line's bytes up to `to`. */
static uint32_t column_at(const struct tty *tty, uint32_t to)
{
    uint32_t column = tty->edit_column;

    for (uint32_t n = tty->committed; n != to; n++)
        column += width_at(tty, (uint8_t)tty->input[AT(n)], column);
    return column;
}

/* Takes the last character (all bytes of it) off the line and the screen. */
static void erase_one(struct tty *tty)
{
    uint32_t before = column_at(tty, tty->end);
    uint32_t gone;

    do {
        tty->end--;
    } while (tty->end != tty->committed && (tty->termios.iflag & TTY_IUTF8) &&
             ((uint8_t)tty->input[AT(tty->end)] & 0xc0) == 0x80);
    if (!local(tty, TTY_ECHO))
        return;
    if (!local(tty, TTY_ECHOE)) {
        echo_byte(tty, tty->termios.cc[TTY_VERASE]);
        return;
    }
    gone = before - column_at(tty, tty->end);
    if ((uint8_t)tty->input[AT(tty->end)] == '\t') {
        while (gone--)
            echo_text(tty, "\b", 1);
    } else {
        while (gone--)
            echo_text(tty, "\b \b", 3);
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || (c & 0x80);
}

static void erase_word(struct tty *tty)
{
    while (tty->end != tty->committed && !is_word(tty->input[AT(tty->end - 1)]))
        erase_one(tty);
    while (tty->end != tty->committed && is_word(tty->input[AT(tty->end - 1)]))
        erase_one(tty);
}

static void erase_line(struct tty *tty)
{
    if (local(tty, TTY_ECHO) &&
        !(local(tty, TTY_ECHOK) && local(tty, TTY_ECHOKE) && local(tty, TTY_ECHOE))) {
        tty->end = tty->committed;
        echo_byte(tty, tty->termios.cc[TTY_VKILL]);
        if (local(tty, TTY_ECHOK))
            echo_text(tty, "\n", 1);
        return;
    }
    while (tty->end != tty->committed)
        erase_one(tty);
}

static void reprint(struct tty *tty)
{
    echo_byte(tty, tty->termios.cc[TTY_VREPRINT]);
    echo_text(tty, "\n", 1);
    tty->edit_column = tty->column;
    for (uint32_t n = tty->committed; n != tty->end; n++)
        echo_byte(tty, (uint8_t)tty->input[AT(n)]);
}

/* ---- input ---- */

static bool take_signal(struct tty *tty, uint8_t c)
{
    unsigned signal = is_key(tty, c, TTY_VINTR)   ? TTY_SIGINT
                      : is_key(tty, c, TTY_VQUIT) ? TTY_SIGQUIT
                      : is_key(tty, c, TTY_VSUSP) ? TTY_SIGTSTP
                                                  : 0;

    if (!signal || !local(tty, TTY_ISIG))
        return false;
    if (!local(tty, TTY_NOFLSH))
        tty_line_flush_input(tty);
    tty->stopped = false;
    if (local(tty, TTY_ECHO))
        echo_byte(tty, c);
    tty->signals |= 1u << signal;
    return true;
}

static bool take_flow(struct tty *tty, uint8_t c)
{
    if (!(tty->termios.iflag & TTY_IXON))
        return false;
    if (is_key(tty, c, TTY_VSTART)) {
        tty->stopped = false;
        return true;
    }
    if (is_key(tty, c, TTY_VSTOP)) {
        tty->stopped = true;
        return true;
    }
    if (tty->termios.iflag & TTY_IXANY)
        tty->stopped = false;
    return false;
}

/* Keys that edit the line; false: it is an ordinary byte. */
static bool take_edit(struct tty *tty, uint8_t c)
{
    bool extended = local(tty, TTY_IEXTEN);

    if (is_key(tty, c, TTY_VERASE)) {
        if (tty->end != tty->committed)
            erase_one(tty);
        return true;
    }
    if (is_key(tty, c, TTY_VKILL)) {
        erase_line(tty);
        return true;
    }
    if (extended && is_key(tty, c, TTY_VWERASE)) {
        erase_word(tty);
        return true;
    }
    if (extended && is_key(tty, c, TTY_VREPRINT) && local(tty, TTY_ECHO)) {
        reprint(tty);
        return true;
    }
    if (is_key(tty, c, TTY_VEOF)) {
        store(tty, 0, true, true);
        return true;
    }
    return false;
}

static void begin_line(struct tty *tty)
{
    if (tty->end == tty->committed)
        tty->edit_column = tty->column;
}

static void take_plain(struct tty *tty, uint8_t c, bool is_literal)
{
    bool canonical = local(tty, TTY_ICANON);
    bool ends = canonical && !is_literal &&
                (c == '\n' || is_key(tty, c, TTY_VEOL) ||
                 (local(tty, TTY_IEXTEN) && is_key(tty, c, TTY_VEOL2)));

    begin_line(tty);
    if (c == '\n' && !is_literal) {
        if (local(tty, TTY_ECHO) || (canonical && local(tty, TTY_ECHONL)))
            echo_text(tty, "\n", 1);
    } else if (local(tty, TTY_ECHO)) {
        echo_byte(tty, c);
    }
    store(tty, c, ends, false);
}

void tty_line_input(struct tty *tty, uint8_t c)
{
    uint32_t iflag = tty->termios.iflag;

    if (iflag & TTY_ISTRIP)
        c &= 0x7f;
    if (tty->literal) {
        tty->literal = false;
        take_plain(tty, c, true);
        return;
    }
    if (c == '\r') {
        if (iflag & TTY_IGNCR)
            return;
        if (iflag & TTY_ICRNL)
            c = '\n';
    } else if (c == '\n' && (iflag & TTY_INLCR)) {
        c = '\r';
    }
    if (take_flow(tty, c) || take_signal(tty, c))
        return;
    if (local(tty, TTY_ICANON)) {
        if (local(tty, TTY_IEXTEN) && is_key(tty, c, TTY_VLNEXT)) {
            tty->literal = true;
            if (local(tty, TTY_ECHO) && local(tty, TTY_ECHOCTL))
                echo_text(tty, "^\b", 2);
            return;
        }
        if (take_edit(tty, c))
            return;
    }
    take_plain(tty, c, false);
}

/* ---- reading ---- */

uint32_t tty_line_readable(const struct tty *tty)
{
    return tty->committed - tty->read;
}

bool tty_line_has_line(const struct tty *tty)
{
    return tty->committed != tty->read;
}

size_t tty_line_read(struct tty *tty, char *to, size_t size, bool *eof)
{
    bool canonical = local(tty, TTY_ICANON);
    size_t done = 0;

    *eof = false;
    while (done < size && tty->read != tty->committed) {
        uint32_t n = tty->read++;

        if (canonical && bit_get(tty->eof, n)) {
            *eof = true;
            return done;
        }
        to[done++] = tty->input[AT(n)];
        if (canonical && bit_get(tty->mark, n))
            return done;
    }
    /* A buffer that the line just filled: an end of file right behind belongs to this line. */
    if (canonical && done && tty->read != tty->committed && bit_get(tty->eof, tty->read))
        tty->read++;
    return done;
}
