// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/ptys.c -- pseudo terminals: lines, echo, signals, raw mode, sizes, job control, hang-up.
 */
#include "posix.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master;

static void show(const char *what)
{
    struct pollfd fd = {.fd = master, .events = POLLIN};
    char text[512];
    ssize_t n = 0, got;

    while (poll(&fd, 1, 60) > 0 &&
           (got = read(master, text + n, sizeof(text) - 1 - (size_t)n)) > 0)
        n += got;
    printf("%s:", what);
    for (ssize_t i = 0; i < n; i++)
        printf(text[i] < ' ' ? " \\%o" : " %c", text[i]);
    puts("");
}

static void on_hup(int signal)
{
    _exit(signal == SIGHUP ? 42 : 43);
}

int test_ptys(void)
{
    struct winsize size = {.ws_row = 30, .ws_col = 100};
    struct termios mode;
    char line[300];
    int slave, status;
    ssize_t n;
    pid_t child;

    master = posix_openpt(O_RDWR | O_NOCTTY);
    SHOW(grantpt(master));
    SHOW(unlockpt(master));
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    printf("terminal %d %d\n", isatty(slave), isatty(master));
    SHOW(tcgetattr(slave, &mode));
    printf("modes %o %o %o %o\n", mode.c_iflag, mode.c_oflag, mode.c_cflag, mode.c_lflag);
    SHOW(write(master, "hellp\177o\n", 8));
    n = read(slave, line, sizeof(line));
    printf("line %zd: %.*s", n, (int)n, line);
    show("echo");
    SHOW(write(master, "a word\027b\025c\ndd\004", 14));
    n = read(slave, line, sizeof(line));
    printf("line %zd: %.*s", n, (int)n, line);
    n = read(slave, line, sizeof(line));
    printf("rest %zd: %.*s\n", n, (int)n, line);
    show("echo");
    SHOW(write(master, "\004", 1));
    SHOW(read(slave, line, sizeof(line)));
    SHOW(write(slave, "out\tput\n", 8));
    show("output");
    cfmakeraw(&mode);
    mode.c_cc[VMIN] = 3;
    mode.c_cc[VTIME] = 1;
    SHOW(tcsetattr(slave, TCSANOW, &mode));
    SHOW(write(master, "\003\r", 2));
    SHOW(read(slave, line, sizeof(line)));  // two, and a tenth of a second
    printf("raw %d %d\n", line[0], line[1]);
    SHOW(write(slave, "x\n", 2));
    show("raw output");
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    memset(&size, 0, sizeof(size));
    SHOW(ioctl(slave, TIOCGWINSZ, &size));
    printf("size %d %d\n", size.ws_row, size.ws_col);
    SHOW(tcgetattr(1, &mode) * 0);

    child = fork();
    if (child == 0) {
        struct termios cooked;
        int own;

        close(slave);
        setsid();
        own = open(ptsname(master), O_RDWR);  // becomes the controlling terminal
        close(master);
        tcgetattr(own, &cooked);
        cooked.c_lflag |= ISIG | ICANON;
        tcsetattr(own, TCSANOW, &cooked);
        signal(SIGINT, SIG_IGN);
        if (fork() == 0) {
            setpgid(0, 0);
            signal(SIGTTOU, SIG_IGN);
            tcsetpgrp(own, getpgrp());
            signal(SIGINT, SIG_DFL);
            dprintf(own, "ready");
            for (;;)
                pause();
        }
        wait(&status);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(own, getpgrp());
        signal(SIGHUP, on_hup);
        dprintf(own, " child %d", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
        for (;;)
            pause();
    }
    close(slave);
    usleep(100000);
    show("child");
    SHOW(write(master, "\003", 1));
    usleep(100000);
    show("after ^C");
    close(master);
    waitpid(child, &status, 0);
    printf("hung up: %d\n", WEXITSTATUS(status));
    return 0;
}
