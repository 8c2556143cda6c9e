// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/crowd.c -- a thousand processes at once, ten thousand one after the other, and what is
 * left of them: nothing.
 *
 * On a VMkernel /proc/vmware/stats says who owns how much memory; on Linux there is no such
 * file, and the answer is the wished one. Tables that a first few processes make grow are not
 * judged.
 */
#include "posix.h"

#define CROWD  1000
#define CYCLES 10000
#define LINES  32
#define LOOKS  100

/*
 * Each owner's line of the file; 0 without one. The kernel's slabs and these pages of ours may
 * move.
 */
static int owners(char lines[LINES][80])
{
    FILE *file = fopen("/proc/vmware/stats", "r");
    char line[80];
    int count = 0;

    while (file && count < LINES && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "world ", 6) == 0 || strncmp(line, "user ", 5) == 0 ||
            strncmp(line, "fs ", 3) == 0 || strncmp(line, "page-tables ", 12) == 0 ||
            strncmp(line, "sched ", 6) == 0)
            strcpy(lines[count++], line);
    }
    if (file)
        fclose(file);
    return count;
}

/* What is freed behind the parent's back is freed soon. */
static const char *left(char before[LINES][80], int count)
{
    static char now[LINES][80];
    int same = 0;

    for (int look = 0; look < LOOKS; look++) {
        same = 0;
        if (owners(now) != count)
            return "another list";
        while (same < count && strcmp(before[same], now[same]) == 0)
            same++;
        if (same == count)
            return "nothing";
        usleep(20000);
    }
    printf("was %snow %s", before[same], now[same]);
    return "something";
}

/* All live until the pipe is closed. */
static int crowd(int size)
{
    pid_t children[CROWD];
    int fds[2], fine = 0, status;
    char byte;

    if (pipe(fds) != 0)
        return 0;
    for (int i = 0; i < size; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            close(fds[1]);
            _exit(read(fds[0], &byte, 1) == 0 ? 7 : 1);
        }
    }
    close(fds[0]);
    close(fds[1]);
    for (int i = 0; i < size; i++) {
        fine += children[i] > 0 && waitpid(children[i], &status, 0) == children[i] &&
                WIFEXITED(status) && WEXITSTATUS(status) == 7;
    }
    return fine;
}

static void cycles(void)
{
    int fine = 0, status;

    for (int i = 0; i < CYCLES; i++) {
        pid_t child = fork();

        if (child == 0)
            _exit(i & 63);
        fine +=
            child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == (i & 63);
    }
    printf("one after the other %d\n", fine);
}

int test_crowd(void)
{
    static char before[LINES][80];
    int count;

    (void)crowd(CROWD / 20);
    usleep(200000);
    count = owners(before);
    printf("at once, and ended well: %d\n", crowd(CROWD));
    printf("left of them: %s\n", left(before, count));
    cycles();
    printf("left of those: %s\n", left(before, count));
    return 0;
}
