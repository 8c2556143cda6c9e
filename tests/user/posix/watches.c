// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/watches.c -- inotify: what is told of files and directories, and how it is read.
 */
#include "posix.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int fd;

static const char *const names[] = {
    "ACCESS", "MODIFY", "ATTRIB",     "CLOSE_WRITE", "CLOSE", "OPEN",    "FROM",     "TO",
    "CREATE", "DELETE", "DELETESELF", "MOVESELF",    "4096",  "UNMOUNT", "OVERFLOW", "IGNORED"};

/* Everything that is in the queue, a line each; equal cookies get equal small numbers. */
static void told(const char *what)
{
    static uint32_t last_cookie;
    static int cookies;
    char buffer[8192] __attribute__((aligned(8)));
    ssize_t size;

    printf("%s:\n", what);
    while ((size = read(fd, buffer, sizeof(buffer))) > 0) {
        for (char *at = buffer; at < buffer + size;) {
            const struct inotify_event *e = (const struct inotify_event *)at;

            printf("  %d", e->wd);
            for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                if (e->mask & 1u << i)
                    printf(" %s", names[i]);
            }
            if (e->mask & IN_ISDIR)
                printf(" DIR");
            if (e->cookie) {
                cookies += e->cookie != last_cookie;
                last_cookie = e->cookie;
                printf(" cookie %d", cookies);
            }
            printf(" %u %s\n", e->len, e->len ? e->name : "");
            at += sizeof(*e) + e->len;
        }
    }
}

static void put(const char *path, const char *text, int flags)
{
    int out = open(path, O_WRONLY | flags, 0644);

    if (write(out, text, strlen(text)) < 0)
        printf("write %s\n", strerrorname_np(errno));
    close(out);
}

static void files(void)
{
    struct timespec times[2] = {{5, 0}, {0, UTIME_OMIT}};
    char byte;
    int f;

    put("w/a", "one", O_CREAT);
    told("made");
    put("w/a", "two", O_APPEND);
    told("appended");
    put("w/a", "3", O_TRUNC);
    told("cut and written");
    f = open("w/a", O_RDONLY);
    SHOW(read(f, &byte, 1));
    SHOW(read(f, &byte, 1));
    close(f);
    told("read");
    SHOW(truncate("w/a", 2));
    told("truncated");
    f = open("w/a", O_RDWR);
    SHOW(ftruncate(f, 1));
    SHOW(fchmod(f, 0600));
    close(f);
    told("by descriptor");
    SHOW(chmod("w/a", 0640));
    SHOW(utimensat(AT_FDCWD, "w/a", NULL, 0));
    told("attributes");
    SHOW(utimensat(AT_FDCWD, "w/a", times, 0));
    told("access time");
    SHOW(symlink("a", "w/link"));
    SHOW(link("w/a", "w/hard"));
    SHOW(mkfifo("w/fifo", 0600));
    told("links");
    SHOW(unlink("w/hard"));
    SHOW(unlink("w/link"));
    SHOW(unlink("w/fifo"));
    told("unlinked");
}

static void moves(void)
{
    SHOW(mkdir("w/sub", 0700));
    SHOW(mkdir("other", 0700));
    told("directory");
    SHOW(rename("w/a", "w/b"));
    SHOW(rename("w/b", "other/b"));
    SHOW(rename("other/b", "w/c"));
    SHOW(rename("w/sub", "w/sub2"));
    told("moved");
    put("w/d", "", O_CREAT);
    SHOW(rename("w/c", "w/d"));
    SHOW(rename("w/nothing", "w/d"));
    told("replaced");
    SHOW(rmdir("w/sub2"));
    SHOW(rmdir("other"));
    told("removed");
}

static void selves(void)
{
    int file, dir, f;

    put("w/x", "x", O_CREAT);
    told("made");
    SHOW(file = inotify_add_watch(fd, "w/x", IN_ALL_EVENTS));
    put("w/x", "y", 0);
    told("both are told");
    SHOW(rename("w/x", "w/y"));
    told("moved itself");
    SHOW(link("w/y", "w/z"));
    SHOW(unlink("w/y"));
    told("one name less");
    f = open("w/z", O_RDONLY);
    told("opened");
    SHOW(unlink("w/z"));
    told("open still");
    close(f);
    told("gone");
    SHOW(inotify_rm_watch(fd, file));
    SHOW(mkdir("w/dir", 0700));
    SHOW(dir = inotify_add_watch(fd, "w/dir", IN_ALL_EVENTS | IN_ONLYDIR));
    put("w/dir/in", "", O_CREAT);
    told("below");
    SHOW(unlink("w/dir/in"));
    SHOW(rmdir("w/dir"));
    told("directory gone");
    put("w/over", "old", O_CREAT);
    put("w/new", "new", O_CREAT);
    SHOW(inotify_add_watch(fd, "w/over", IN_ALL_EVENTS));
    told("");
    SHOW(rename("w/new", "w/over"));
    told("replaced");
    SHOW(unlink("w/over"));
    told("gone too");
}

static void masks(int w)
{
    int one;

    put("f", "x", O_CREAT);
    SHOW(inotify_add_watch(fd, "f", IN_ONLYDIR | IN_OPEN));
    SHOW(inotify_add_watch(fd, "missing", IN_OPEN));
    SHOW(inotify_add_watch(fd, "f", 0));
    SHOW(inotify_add_watch(0, "f", IN_OPEN));
    SHOW(inotify_add_watch(99, "f", IN_OPEN));
    SHOW(one = inotify_add_watch(fd, "f", IN_OPEN | IN_MASK_CREATE));
    SHOW(inotify_add_watch(fd, "f", IN_OPEN | IN_MASK_CREATE));
    SHOW(inotify_add_watch(fd, "f", IN_CLOSE | IN_MASK_ADD) == one);
    put("f", "y", 0);
    told("open and close");
    SHOW(inotify_add_watch(fd, "f", IN_MODIFY | IN_ONESHOT) == one);
    put("f", "y", 0);
    put("f", "y", 0);
    told("once");
    SHOW(inotify_rm_watch(fd, one));
    SHOW(inotify_rm_watch(fd, w));
    put("w/unheard", "", O_CREAT);
    told("nothing any more");
    SHOW(unlink("w/unheard"));
    SHOW(unlink("f"));
}

static void reading(void)
{
    struct pollfd p;
    struct epoll_event event = {.events = EPOLLIN};
    char buffer[64];
    int bytes = -1, e = epoll_create1(0);

    p = (struct pollfd){.fd = fd, .events = POLLIN};
    SHOW(epoll_ctl(e, EPOLL_CTL_ADD, fd, &event));
    SHOW(poll(&p, 1, 0));
    SHOW(epoll_wait(e, &event, 1, 0));
    SHOW(inotify_add_watch(fd, "w", IN_CREATE | IN_DELETE) > 0);
    put("w/a-name-of-16byte", "", O_CREAT);
    SHOW(poll(&p, 1, 0));
    SHOW(epoll_wait(e, &event, 1, 0));
    SHOW(ioctl(fd, FIONREAD, &bytes));
    printf("%d bytes\n", bytes);
    SHOW(read(fd, buffer, 16));
    SHOW(read(fd, buffer, 47));
    SHOW(unlink("w/a-name-of-16byte"));
    SHOW(read(fd, buffer, 64));
    SHOW(read(fd, buffer, 64));
    SHOW(read(fd, buffer, 64));
    SHOW(write(fd, buffer, 1));
    close(e);
}

int test_watches(void)
{
    int w;

    SHOW(inotify_init1(0x100));
    fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(mkdir("w", 0755));
    SHOW(w = inotify_add_watch(fd, "w", IN_ALL_EVENTS));
    files();
    moves();
    selves();
    masks(w);
    reading();
    SHOW(unlink("w/d"));
    SHOW(rmdir("w"));
    SHOW(close(fd));
    return 0;
}
