// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/console.c -- your terminal as the serial line of a program that wants a tty's name.
 *
 * Why it exists: Bochs can use a tty as COM1, but given the user's own it could never be left
 * with a key. So the program gets one end of a pseudo-terminal, and this copies between the
 * other end and the user; Ctrl-a x ends the program, Ctrl-a Ctrl-a sends one Ctrl-a. Its own
 * chatter goes to a file.
 *
 * usage: console LINK OUTPUT SECONDS COMMAND...     LINK becomes a name for the tty;
 * SECONDS 0 is no limit. Status: the command's; 0 after Ctrl-a x; 124 after the time limit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    CTRL_A = 1,
    POLL_MS = 100
};

static struct termios saved;
static int saved_valid;
static volatile sig_atomic_t stop_wanted;

static void restore(void)
{
    if (saved_valid)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
}

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put(int fd, const char *bytes, ssize_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, bytes, (size_t)count);

        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (done > 0) {
            bytes += done;
            count -= done;
        }
    }
}

/* Copies what the user typed; true when that was Ctrl-a x. */
static int typed(int tty, const char *bytes, ssize_t count)
{
    static int after_ctrl_a;

    for (ssize_t i = 0; i < count; i++) {
        if (after_ctrl_a) {
            after_ctrl_a = 0;
            if (bytes[i] == 'x' || bytes[i] == 'X')
                return 1;
            put(tty, &bytes[i], 1);
        } else if (bytes[i] == CTRL_A) {
            after_ctrl_a = 1;
        } else {
            put(tty, &bytes[i], 1);
        }
    }
    return 0;
}

static pid_t start(char **command, const char *output)
{
    pid_t child = fork();

    if (child == 0) {
        int in = open("/dev/null", O_RDONLY);
        int out = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0644);

        if (in < 0 || out < 0)
            _exit(127);
        dup2(in, 0);
        dup2(out, 1);
        dup2(out, 2);
        setpgid(0, 0);
        execvp(command[0], command);
        _exit(127);
    }
    return child;
}

int main(int argc, char **argv)
{
    struct termios raw;
    struct pollfd fds[2];
    char buffer[512];
    int tty, own_end, status, verdict = -1, input_open = 1;
    pid_t child;
    time_t end;

    if (argc < 5) {
        fprintf(stderr, "usage: console LINK OUTPUT SECONDS COMMAND...\n");
        return 2;
    }
    tty = posix_openpt(O_RDWR | O_NOCTTY);
    if (tty < 0 || grantpt(tty) < 0 || unlockpt(tty) < 0)
        die("console: pseudo-terminal");
    fcntl(tty, F_SETFD, FD_CLOEXEC);
    own_end = open(ptsname(tty), O_RDWR | O_NOCTTY | O_CLOEXEC);  // keeps the line up
    if (own_end < 0 || tcgetattr(own_end, &raw) < 0)
        die("console: tty");
    cfmakeraw(&raw);
    tcsetattr(own_end, TCSANOW, &raw);
    if (symlink(ptsname(tty), argv[1]) < 0)
        die(argv[1]);
    if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &saved) == 0) {
        saved_valid = 1;
        atexit(restore);
        raw = saved;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    }
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    signal(SIGINT, on_signal);
    end = atoi(argv[3]) ? time(NULL) + atoi(argv[3]) : 0;
    child = start(argv + 4, argv[2]);
    if (child < 0)
        die("console: fork");

    for (;;) {
        ssize_t count;
        int ended = verdict < 0 && waitpid(child, &status, WNOHANG) == child;

        if (ended)
            verdict = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        fds[0] = (struct pollfd){.fd = tty, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = input_open ? STDIN_FILENO : -1, .events = POLLIN};
        poll(fds, 2, ended ? 0 : POLL_MS);
        if (fds[0].revents & POLLIN) {
            count = read(tty, buffer, sizeof(buffer));
            put(STDOUT_FILENO, buffer, count);
        } else if (verdict >= 0) {
            break;  // it has ended and all it wrote is out
        }
        if (fds[1].revents) {
            count = read(STDIN_FILENO, buffer, sizeof(buffer));
            if (count <= 0)
                input_open = 0;
            else if (typed(tty, buffer, count))
                stop_wanted = 2;
        }
        if (end && time(NULL) >= end)
            stop_wanted = 3;
        if (stop_wanted) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            verdict = stop_wanted == 3 ? 124 : stop_wanted == 2 ? 0 : 130;
            break;
        }
    }
    unlink(argv[1]);
    return verdict;
}
