// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/locks.c -- record locks, their splitting and joining, deadlock, flock, open-file locks.
 */
#include "posix.h"

#include <sys/file.h>

#ifndef F_OFD_SETLK
#define F_OFD_SETLK 37
#endif

static int lock(int fd, int command, int type, long start, long length)
{
    struct flock l = {.l_type = (short)type, .l_start = start, .l_len = length};

    return fcntl(fd, command, &l);
}

/* What a child sees of the parent's locks, byte by byte. */
static void map(const char *path)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);

        for (long at = 0; at < 24; at++) {
            struct flock l = {.l_type = F_WRLCK, .l_start = at, .l_len = 1};

            fcntl(fd, F_GETLK, &l);
            putchar(l.l_type == F_UNLCK ? '.' : l.l_type == F_RDLCK ? 'r' : 'w');
            if (l.l_type != F_UNLCK && l.l_pid != getppid())
                putchar('?');
        }
        putchar('\n');
        exit(0);
    }
    waitpid(child, NULL, 0);
}

/* Two processes, two bytes, each wants the other's: one is told. */
static void deadlock(const char *path)
{
    int fd = open(path, O_RDWR), ready[2], status;
    char byte;
    pid_t child;

    if (pipe(ready))
        return;
    SHOW(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        lock(fd, F_SETLK, F_WRLCK, 1, 1);
        if (write(ready[1], "x", 1) != 1)
            exit(1);
        exit(lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 7 : 8);
    }
    if (read(ready[0], &byte, 1) != 1)
        return;
    usleep(200000);  // it waits for us by then
    SHOW(lock(fd, F_SETLKW, F_WRLCK, 1, 1));
    close(fd);  // with it goes the lock that the child waits for
    waitpid(child, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    close(ready[0]);
    close(ready[1]);
}

int test_locks(void)
{
    const char *path = "locks-file";
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666), other, reader, status;
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -4, .l_len = 2};
    pid_t child;

    SHOW(ftruncate(fd, 20));
    SHOW(lock(fd, F_SETLK, F_WRLCK, 2, 10));
    map(path);
    SHOW(lock(fd, F_SETLK, F_RDLCK, 5, 2));
    map(path);
    SHOW(lock(fd, F_SETLK, F_UNLCK, 3, 1));
    map(path);
    SHOW(lock(fd, F_SETLK, F_WRLCK, 3, 4));
    map(path);
    SHOW(fcntl(fd, F_SETLK, &l));
    SHOW(lock(fd, F_SETLK, F_RDLCK, 20, 0));
    map(path);
    SHOW(lock(fd, F_SETLK, F_WRLCK, 4, -2));
    SHOW(lock(fd, F_SETLK, F_WRLCK, 1, -2));
    SHOW(lock(fd, F_SETLK, 9, 0, 1));
    reader = open(path, O_RDONLY);
    SHOW(lock(reader, F_SETLK, F_WRLCK, 0, 1));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        SHOW(lock(fd, F_SETLK, F_RDLCK, 0, 0));  // locks are not inherited
        SHOW(lock(fd, F_SETLK, F_RDLCK, 0, 2));
        SHOW(lock(fd, F_SETLK, F_WRLCK, 14, 2));
        SHOW(lock(fd, F_SETLK, F_RDLCK, 30, 5));
        exit(0);
    }
    waitpid(child, NULL, 0);
    close(reader);  // any descriptor of the file
    map(path);

    deadlock(path);

    other = open(path, O_RDWR);
    SHOW(flock(fd, LOCK_SH));
    SHOW(flock(other, LOCK_SH | LOCK_NB));
    SHOW(flock(other, LOCK_EX | LOCK_NB));
    SHOW(flock(fd, LOCK_UN));
    SHOW(flock(other, LOCK_EX | LOCK_NB));
    SHOW(flock(fd, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, 77));
    SHOW(lock(fd, F_SETLK, F_WRLCK, 0, 0));  // another kind
    close(other);
    SHOW(flock(fd, LOCK_EX | LOCK_NB));

    other = open(path, O_RDWR);
    SHOW(lock(other, F_OFD_SETLK, F_WRLCK, 0, 4));
    SHOW(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    fflush(stdout);
    other = open(path, O_RDWR);
    child = fork();
    if (child == 0)
        exit(lock(other, F_OFD_SETLK, F_WRLCK, 0, 4) == 0 ? 0 : errno == EAGAIN ? 1 : 2);
    waitpid(child, &status, 0);
    printf("an open file's lock: %d\n", WEXITSTATUS(status));
    SHOW(lock(other, F_OFD_SETLK, F_WRLCK, 0, 4));
    return unlink(path);
}
