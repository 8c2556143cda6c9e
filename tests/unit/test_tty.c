// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_tty.c -- terminals: editing, echo, signals, raw reads with time, pairs, job control.
 *
 * Most of it runs on a pseudo terminal: what the master reads is what a person would see.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    worlds of one CPU in turn.
 */
#include "fs/tty.h"
#include "tests/unit/fs_fixture.h"

#define ISIG   0000001u
#define ICANON 0000002u
#define ECHO   0000010u
#define VMIN   6
#define VTIME  5

static struct file *master, *slave;

static void ioctl_ok(struct file *file, uint32_t request, void *data)
{
    ck_assert_int_eq(file_ioctl(file, request, 0, data), VMK_OK);
}

static void open_pair(void)
{
    uint32_t number = 99;
    int32_t unlock = 0;
    char path[32];

    master = fs_open("/dev/ptmx", VFS_O_RDWR | VFS_O_NONBLOCK, 0);
    ioctl_ok(master, 0x80045430u, &number);
    snprintf(path, sizeof(path), "/dev/pts/%u", number);
    ck_assert_int_eq(fs_open_status(path, VFS_O_RDWR, 0), VMK_IO_ERROR);  // locked
    ioctl_ok(master, 0x40045431u, &unlock);
    slave = fs_open(path, VFS_O_RDWR | VFS_O_NONBLOCK | VFS_O_NOCTTY, 0);
}

static void up(void)
{
    fs_up();
    open_pair();
}

static void type(const char *text)
{
    fs_put(master, text);
}

/* What the screen shows since the last call. */
static const char *screen(void)
{
    static char text[8192];
    size_t length = 0, done = 0;

    while (file_read(master, text + length, sizeof(text) - 1 - length, &done) == VMK_OK && done)
        length += done;
    text[length] = 0;
    return text;
}

/* One read of the program, or "(wait)". */
static const char *line(void)
{
    static char text[8192];
    size_t done;
    vmk_status status = file_read(slave, text, sizeof(text) - 1, &done);

    if (status == VMK_AGAIN)
        return "(wait)";
    ck_assert_int_eq(status, VMK_OK);
    text[done] = 0;
    return text;
}

static void mode(uint32_t off, uint32_t on, int min, int time)
{
    struct tty_termios t;

    ioctl_ok(slave, TTY_TCGETS, &t);
    t.lflag = (t.lflag & ~off) | on;
    t.cc[VMIN] = (uint8_t)min;
    t.cc[VTIME] = (uint8_t)time;
    ioctl_ok(slave, TTY_TCSETS, &t);
}

/* As a terminal emulator does: erasing takes a character, not a byte. */
static void utf8_on(void)
{
    struct tty_termios t;

    ioctl_ok(slave, TTY_TCGETS, &t);
    t.iflag |= 0040000;  // IUTF8
    ioctl_ok(slave, TTY_TCSETS, &t);
}

/* ---- canonical mode: typed, seen, read ---- */

static const struct {
    const char *typed, *seen, *first, *second;
} edits[] = {
    {"hello\r", "hello\r\n", "hello\n", "(wait)"},
    {"hello", "hello", "(wait)", "(wait)"},
    {"a\nb\n", "a\r\nb\r\n", "a\n", "b\n"},
    {"helo\177lo\r", "helo\b \blo\r\n", "hello\n", "(wait)"},
    {"\177\177x\r", "x\r\n", "x\n", "(wait)"},                 // nothing to erase
    {"a\001\177b\r", "a^A\b \b\b \bb\r\n", "ab\n", "(wait)"},  // a control byte is two wide
    {"one two\027\r", "one two\b \b\b \b\b \b\r\n", "one \n", "(wait)"},
    {"one \027x\r", "one \b \b\b \b\b \b\b \bx\r\n", "x\n", "(wait)"},
    {"abc\025x\r", "abc\b \b\b \b\b \bx\r\n", "x\n", "(wait)"},
    {"\303\244\177b\r", "\303\244\b \bb\r\n", "b\n", "(wait)"},  // one character of two bytes
    {"a\tb\177\177c\r", "a\tb\b \b\b\b\b\b\b\b\bc\r\n", "ac\n", "(wait)"},
    {"\026\003\r", "^\b^C\r\n", "\003\n", "(wait)"},  // taken literally
    {"\004", "", "", "(wait)"},                       // end of file
    {"ab\004cd\r", "abcd\r\n", "ab", "cd\n"},         // a line without its end
    {"ab\r\004", "ab\r\n", "ab\n", ""},
    {"x\022y\r", "x^R\r\nxy\r\n", "xy\n", "(wait)"},
    {"ab\003cd\r", "ab^Ccd\r\n", "cd\n", "(wait)"},  // an interrupt drops the line
};

static void edit_entry(void *argument)
{
    (void)argument;
    up();
    utf8_on();
    for (size_t i = 0; i < ARRAY_COUNT(edits); i++) {
        type(edits[i].typed);
        ck_assert_msg(strcmp(screen(), edits[i].seen) == 0, "case %zu: screen", i);
        const char *got = line();
        ck_assert_msg(strcmp(got, edits[i].first) == 0, "case %zu: \"%s\"", i, got);
        got = line();
        ck_assert_msg(strcmp(got, edits[i].second) == 0, "case %zu, second: \"%s\"", i, got);
        if (strcmp(edits[i].typed, "hello") == 0) {
            type("\r");
            ck_assert_str_eq(line(), "hello\n");
            (void)screen();
        }
    }
}
FS_TEST(test_tty__canonical__edited_echoed_and_read, edit_entry)

static void pieces_entry(void *argument)
{
    static char big[5000];
    char text[8];
    size_t done;

    (void)argument;
    up();
    // A line in pieces, and an end of file that closes exactly there.
    type("abcdef\r");
    ck_assert_int_eq(file_read(slave, text, 4, &done), VMK_OK);
    ck_assert_uint_eq(done, 4);
    ck_assert_str_eq(line(), "ef\n");
    type("abcd\004");
    ck_assert_int_eq(file_read(slave, text, 4, &done), VMK_OK);
    ck_assert_uint_eq(done, 4);
    ck_assert_str_eq(line(), "(wait)");
    // Longer than a line may be: the rest is lost, its end is not.
    memset(big, 'x', sizeof(big));
    ck_assert_int_eq(file_write(master, big, sizeof(big), &done), VMK_OK);
    ck_assert_uint_eq(done, sizeof(big));
    (void)screen();
    type("\r");
    ck_assert_uint_eq(strlen(line()), 4096);
    // Raw to canonical and back loses nothing.
    mode(ICANON | ECHO, 0, 1, 0);
    type("raw");
    mode(0, ICANON, 1, 0);
    ck_assert_str_eq(line(), "raw");
    type("partial");
    ck_assert_str_eq(line(), "(wait)");
    mode(ICANON, 0, 1, 0);
    ck_assert_str_eq(line(), "partial");
}
FS_TEST(test_tty__lines__pieces_overlong_and_mode_changes, pieces_entry)

/* ---- output ---- */

static void output_entry(void *argument)
{
    static char big[20000];
    size_t done;

    (void)argument;
    up();
    fs_put(slave, "a\nb\tc\n");
    ck_assert_str_eq(screen(), "a\r\nb\tc\r\n");
    // ^S holds it, ^Q lets it go.
    type("\023");
    ck_assert_int_eq(file_write(slave, "held", 4, &done), VMK_AGAIN);
    ck_assert_str_eq(screen(), "");
    ck_assert_uint_eq(file_poll(slave, NULL) & VFS_POLLOUT, 0);
    type("\021");
    fs_put(slave, "on");
    ck_assert_str_eq(screen(), "on");
    // Nobody reads: it fills up, and says how far it came.
    memset(big, 'y', sizeof(big));
    ck_assert_int_eq(file_write(slave, big, sizeof(big), &done), VMK_OK);
    ck_assert_uint_gt(done, 4000);
    ck_assert_uint_lt(done, sizeof(big));
    ck_assert_int_eq(file_write(slave, big, 1, &done), VMK_AGAIN);
    ck_assert_uint_gt(strlen(screen()), 4000);
    ck_assert_int_eq(file_write(slave, big, 1, &done), VMK_OK);
}
FS_TEST(test_tty__output__mapped_held_and_full, output_entry)

/* ---- raw mode: VMIN and VTIME ---- */

struct reading {
    int min, time;
    size_t size;
    size_t got;
    plat_ns took;
    bool over;
};

static void read_raw(void *argument)
{
    struct reading *r = argument;
    char text[64];
    plat_ns begin = plat_time_now();

    file_flags_set(slave, 0);
    ck_assert_int_eq(file_read(slave, text, r->size, &r->got), VMK_OK);
    r->took = plat_time_now() - begin;
    r->over = true;
}

/* Types `pieces` one every 50 ms. */
static struct reading reading(int min, int time, size_t size, const char *pieces)
{
    static struct reading r;
    world_id id;

    r = (struct reading){.min = min, .time = time, .size = size};
    mode(ICANON | ECHO, 0, min, time);
    id = fs_world(read_raw, &r);
    fs_sleep_ms(1);
    for (; *pieces; pieces++) {
        char c[2] = {*pieces, 0};

        fs_sleep_ms(50);
        type(c);
    }
    fs_sleep_ms(500);
    if (!r.over) {  // it waits for more than ever comes
        r.got = 999;
        type("0123456789");
    }
    fs_world_end(id);
    file_flags_set(slave, VFS_O_NONBLOCK);
    while (strcmp(line(), "(wait)") != 0 && line()[0])
        ;
    return r;
}

static void raw_entry(void *argument)
{
    struct reading r;

    (void)argument;
    up();
    r = reading(1, 0, 10, "a");  // the first byte is enough
    ck_assert_uint_eq(r.got, 1);
    r = reading(3, 0, 10, "abc");
    ck_assert_uint_eq(r.got, 3);
    ck_assert_uint_ge(r.took, 150 * FS_MS);
    r = reading(3, 0, 2, "ab");  // no more than the buffer
    ck_assert_uint_eq(r.got, 2);
    r = reading(0, 0, 10, "");  // does not wait
    ck_assert_uint_eq(r.got, 0);
    ck_assert_uint_lt(r.took, FS_MS);
    r = reading(0, 2, 10, "");  // waits 200 ms for anything
    ck_assert_uint_eq(r.got, 0);
    ck_assert_uint_ge(r.took, 200 * FS_MS);
    ck_assert_uint_lt(r.took, 210 * FS_MS);
    r = reading(0, 2, 10, "a");
    ck_assert_uint_eq(r.got, 1);
    ck_assert_uint_lt(r.took, 60 * FS_MS);
    r = reading(5, 1, 10, "ab");  // 100 ms after the last byte
    ck_assert_uint_eq(r.got, 2);
    ck_assert_uint_ge(r.took, 200 * FS_MS);
    ck_assert_uint_lt(r.took, 210 * FS_MS);
}
FS_TEST(test_tty__raw__vmin_and_vtime, raw_entry)

/* ---- job control ---- */

static struct tty_process self;
static struct tty *controlling;
static char sent[256];
static bool ignored, orphaned;

static bool hook_current(struct tty_process *out)
{
    *out = self;
    return self.pid != 0;
}
static struct tty *hook_controlling(void)
{
    if (controlling)
        tty_ref(controlling);
    return controlling;
}
static void hook_controlling_set(uint32_t session, struct tty *tty)
{
    (void)session;
    controlling = tty;
}
static vmk_status hook_signal(uint32_t group, unsigned signal)
{
    char text[32];

    ck_assert_uint_eq(spin_held_count(), 0);
    snprintf(text, sizeof(text), "%u>%u ", signal, group);
    strcat(sent, text);
    return VMK_OK;
}
static bool hook_ignored(unsigned signal)
{
    (void)signal;
    return ignored;
}
static bool hook_orphaned(uint32_t group)
{
    (void)group;
    return orphaned;
}
static bool hook_in_session(uint32_t group, uint32_t session)
{
    return session == 10 && (group == 10 || group == 20);
}
static const struct tty_hooks hooks = {hook_current,   hook_controlling, hook_controlling_set,
                                       hook_signal,    hook_ignored,     hook_orphaned,
                                       hook_in_session};

static void expect_sent(const char *text)
{
    ck_assert_str_eq(sent, text);
    sent[0] = 0;
}

static void jobs_entry(void *argument)
{
    const struct tty_winsize size = {.rows = 50, .columns = 132};
    struct tty_winsize got;
    struct tty_termios termios;
    int32_t group = 0;
    size_t done;
    char c;

    (void)argument;
    self = (struct tty_process){.pid = 10, .group = 10, .session = 10, .session_leader = true};
    fs_up();
    tty_hooks_set(&hooks);
    ck_assert_int_eq(fs_open_status("/dev/tty", VFS_O_RDWR, 0), VMK_NO_DEVICE);
    open_pair();
    ck_assert_ptr_null(controlling);  // O_NOCTTY
    ck_assert_int_eq(file_ioctl(slave, TTY_TIOCGPGRP, 0, &group), VMK_NOT_TTY);
    ck_assert_int_eq(file_ioctl(slave, TTY_TIOCSCTTY, 0, NULL), VMK_OK);
    ck_assert_ptr_eq(controlling, tty_of_file(slave));
    ioctl_ok(slave, TTY_TIOCGPGRP, &group);
    ck_assert_int_eq(group, 10);
    ioctl_ok(slave, TTY_TIOCGSID, &group);
    ck_assert_int_eq(group, 10);
    ck_assert_int_eq(fs_open_status("/dev/tty", VFS_O_RDWR, 0), VMK_OK);

    // Keys are signals to the foreground.
    group = 20;
    ioctl_ok(slave, TTY_TIOCSPGRP, &group);
    type("\003");
    expect_sent("2>20 ");
    type("\034\032");
    expect_sent("3>20 20>20 ");
    group = 30;
    ck_assert_int_eq(file_ioctl(slave, TTY_TIOCSPGRP, 0, &group), VMK_INTERRUPTED);
    expect_sent("22>10 ");  // we are in the background now
    ignored = true;
    ck_assert_int_eq(file_ioctl(slave, TTY_TIOCSPGRP, 0, &group), VMK_NOT_OWNER);
    group = -1;
    ck_assert_int_eq(file_ioctl(slave, TTY_TIOCSPGRP, 0, &group), VMK_BAD_PARAM);
    ignored = false;

    // Reading in the background.
    ck_assert_int_eq(file_read(slave, &c, 1, &done), VMK_INTERRUPTED);
    expect_sent("21>10 ");
    ignored = true;
    ck_assert_int_eq(file_read(slave, &c, 1, &done), VMK_IO_ERROR);
    ignored = false;
    orphaned = true;
    ck_assert_int_eq(file_read(slave, &c, 1, &done), VMK_IO_ERROR);
    orphaned = false;
    expect_sent("");
    // Writing is free unless TOSTOP is set.
    fs_put(slave, "x");
    ioctl_ok(slave, TTY_TCGETS, &termios);
    termios.lflag |= 0400;
    ignored = true;
    ioctl_ok(slave, TTY_TCSETS, &termios);
    ignored = false;
    ck_assert_int_eq(file_write(slave, "x", 1, &done), VMK_INTERRUPTED);
    expect_sent("22>10 ");

    // A new size is told once.
    ioctl_ok(master, TTY_TIOCSWINSZ, (void *)(uintptr_t)&size);
    ioctl_ok(master, TTY_TIOCSWINSZ, (void *)(uintptr_t)&size);
    expect_sent("28>20 ");
    ioctl_ok(slave, TTY_TIOCGWINSZ, &got);
    ck_assert_mem_eq(&got, &size, sizeof(got));

    // The master goes: hang-up for the foreground and for the leader.
    file_put(master);
    expect_sent("1>20 18>20 1>10 18>10 ");
    self.group = 20;
    ck_assert_int_eq(file_read(slave, &c, 1, &done), VMK_OK);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(file_write(slave, "x", 1, &done), VMK_IO_ERROR);
    ck_assert_uint_eq(file_poll(slave, NULL) & VFS_POLLHUP, VFS_POLLHUP);
    ck_assert_int_eq(fs_open_status("/dev/pts/0", VFS_O_RDWR, 0), VMK_NOT_FOUND);
    file_put(slave);
}
FS_TEST(test_tty__job_control__signals_to_the_right_group, jobs_entry)

/* ---- pairs ---- */

static void pairs_entry(void *argument)
{
    struct file *masters[100];
    unsigned count = 0;
    uint64_t heap = 0, pages = 0;
    char c;
    size_t done;

    (void)argument;
    fs_up();
    open_pair();
    file_put(slave);
    ck_assert_int_eq(file_read(master, &c, 1, &done), VMK_IO_ERROR);  // the slave went
    ck_assert_uint_eq(file_poll(master, NULL) & VFS_POLLHUP, VFS_POLLHUP);
    slave = fs_open("/dev/pts/0", VFS_O_RDWR | VFS_O_NONBLOCK, 0);  // and comes back
    ck_assert_int_eq(file_read(master, &c, 1, &done), VMK_AGAIN);
    file_put(slave);
    file_put(master);

    for (unsigned round = 0; round < 2;
         round++) {  // the first makes /dev/pts as large as it gets
        heap = heap_owned(MEM_OWNER_FS);
        pages = page_owned_count(MEM_OWNER_FS);
        while (count < 100) {
            const struct vfs_where where = vfs_where_kernel();

            if (vfs_open(&where, "/dev/ptmx", VFS_O_RDWR, 0, &masters[count]) != VMK_OK)
                break;
            count++;
        }
        ck_assert_uint_eq(count, 64);
        while (count)
            file_put(masters[--count]);
    }
    ck_assert_uint_eq(heap_owned(MEM_OWNER_FS), heap);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_FS), pages);
}
FS_TEST(test_tty__pairs__come_and_go, pairs_entry)

/* ---- the console ---- */

static char shown[256];

static void show(const char *text, size_t length)
{
    ck_assert_uint_lt(strlen(shown) + length, sizeof(shown));
    strncat(shown, text, length);
}

static void console_entry(void *argument)
{
    struct file *console;

    (void)argument;
    fs_up();
    tty_console_output(show);
    console = fs_open("/dev/console", VFS_O_RDWR, 0);
    fs_put(console, "login: ");
    ck_assert_str_eq(shown, "login: ");
    tty_console_input("root\r", 5);
    ck_assert_str_eq(shown, "login: root\r\n");
    ck_assert_str_eq(fs_get(console, 100), "root\n");
    // From the serial port, by the poller.
    ck_assert_int_eq(tty_console_poll_start(1), VMK_OK);
    sim_serial_feed(1, "ls\r", 3);
    ck_assert_str_eq(fs_get(console, 100), "ls\n");
    file_put(console);
}
FS_TEST(test_tty__console__typed_and_shown, console_entry)

KERNEL_TEST_MAIN("tty", RUNS(test_tty__canonical__edited_echoed_and_read),
                 RUNS(test_tty__lines__pieces_overlong_and_mode_changes),
                 RUNS(test_tty__output__mapped_held_and_full),
                 RUNS(test_tty__raw__vmin_and_vtime),
                 RUNS(test_tty__job_control__signals_to_the_right_group),
                 RUNS(test_tty__pairs__come_and_go), RUNS(test_tty__console__typed_and_shown))
