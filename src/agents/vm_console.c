// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vm_console.c -- vm-console NAME: your terminal as the serial console of a virtual machine.
 *
 * Copies both ways between the terminal, in raw mode, and /dev/vm/NAME/console, which first
 * shows what the VM wrote lately. Ctrl-] leaves. Without a terminal (a script) it copies its
 * input until that ends, and then the console for --wait seconds or until the VM ends.
 *
 * Invariants
 *   - The terminal gets its old mode back however this ends, except by SIGKILL.
 * Locking    none: one thread.
 * Start at   attach().
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE 0x1d  // Ctrl-]

enum {
    EXIT_USAGE = 2,
    EXIT_BAD = 3
};

static struct termios saved;
static int saved_valid;

static void restore(void)
{
    if (saved_valid)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
}

static void on_signal(int number)
{
    restore();
    signal(number, SIG_DFL);
    raise(number);
}

static int put(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, bytes, count);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

/* What ended it: the user, the VM, or the time after the input's end. */
enum end {
    END_USER,
    END_VM,
    END_INPUT
};

static enum end attach(int line, int terminal, int wait_ms)
{
    struct pollfd fds[2] = {{.fd = line, .events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};
    char buffer[1024];

    for (;;) {
        int ready = poll(fds, 2, fds[1].fd < 0 ? wait_ms : -1);
        ssize_t got;

        if (ready < 0 && errno != EINTR)
            return END_VM;
        if (ready == 0)
            return END_INPUT;
        if (ready > 0 && fds[0].revents) {
            got = read(line, buffer, sizeof(buffer));
            if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
                return END_VM;
            if (got > 0 && put(STDOUT_FILENO, buffer, (size_t)got) < 0)
                return END_USER;
        }
        if (ready > 0 && fds[1].fd >= 0 && fds[1].revents) {
            char *escape;

            got = read(STDIN_FILENO, buffer, sizeof(buffer));
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0) {
                fds[1].fd = -1;  // the rest of the console, for a while
                continue;
            }
            escape = terminal ? memchr(buffer, ESCAPE, (size_t)got) : NULL;
            if (escape)
                got = escape - buffer;
            if (put(line, buffer, (size_t)got) < 0)
                return END_VM;
            if (escape)
                return END_USER;
        }
    }
}

static void usage(FILE *to)
{
    fputs("usage: vm-console [--wait SECONDS] [--fd N] NAME\n"
          "\n"
          "The serial console of the virtual machine NAME (ls /dev/vm). Ctrl-] leaves.\n"
          "  --wait SECONDS  without a terminal: read on that long after the input's end (1)\n"
          "  --fd N          the console is open there already (vm console NAME does that)\n"
          "status: 0; 2 bad usage; 3 no such VM\n",
          to);
}

int main(int argc, char **argv)
{
    int terminal = isatty(STDIN_FILENO);
    int wait_ms = 1000, line = -1, at = 1;
    struct termios raw;
    char path[128];
    enum end end;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "--wait") == 0) {
        char *rest;
        long seconds = strtol(argv[2], &rest, 10);

        if (*rest || rest == argv[2] || seconds < 0 || seconds > 100000) {
            fprintf(stderr, "vm-console: --wait %s: not a number of seconds\n", argv[2]);
            return EXIT_USAGE;
        }
        wait_ms = (int)seconds * 1000;
        at = 3;
    }
    if (argc > at + 2 && strcmp(argv[at], "--fd") == 0) {
        line = atoi(argv[at + 1]);
        at += 2;
    }
    if (argc != at + 1 || (line < 0 && strchr(argv[at], '/')) || !argv[at][0]) {
        usage(stderr);
        return EXIT_USAGE;
    }
    snprintf(path, sizeof(path), "/dev/vm/%s/console", argv[at]);
    if (line < 0)
        line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (line < 0) {
        fprintf(stderr, "vm-console: %s: %s; running are: ", path, strerror(errno));
        fflush(stderr);
        if (system("ls /dev/vm 2>/dev/null | tr '\\n' ' ' >&2; echo >&2") != 0)
            fputs("?\n", stderr);
        return EXIT_BAD;
    }
    if (terminal && tcgetattr(STDIN_FILENO, &saved) == 0) {
        fprintf(stderr, "[%s: Ctrl-] leaves]\r\n", argv[at]);
        saved_valid = 1;
        signal(SIGTERM, on_signal);
        signal(SIGHUP, on_signal);
        raw = saved;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    }
    end = attach(line, terminal, wait_ms);
    restore();
    if (terminal)
        fprintf(stderr, "\n[%s: %s]\n", argv[at], end == END_VM ? "the VM has ended" : "left");
    return 0;
}
