// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/tasks.c -- threads in /proc, their names, the auxiliary vector, mremap that keeps.
 */
#include "posix.h"

#include <dirent.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static volatile int stop;
static pid_t other_tid;

static void *wait_for_end(void *unused)
{
    (void)unused;
    prctl(PR_SET_NAME, "other-thread");
    __atomic_store_n(&other_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    while (!stop)
        usleep(1000);
    return NULL;
}

/* A line of a file that begins so, or all of it. */
static void show_line(const char *path, const char *begin)
{
    char line[512] = "";
    FILE *file = fopen(path, "r");

    if (!file) {
        printf("%s\n", strerrorname_np(errno));
        return;
    }
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, begin, strlen(begin)) == 0)
            fputs(line, stdout);
    }
    fclose(file);
}

static int count(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int entries = 0;

    while (dir && (entry = readdir(dir)))
        entries += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return dir ? entries : -1;
}

/* Field 1 and 2 of stat: does it begin with that number and name? */
static int is_named(const char *path, int number, const char *name)
{
    char want[64], got[64] = "";
    FILE *file = fopen(path, "r");

    snprintf(want, sizeof(want), "%d (%s) ", number, name);
    if (file) {
        if (!fgets(got, sizeof(got), file))
            got[0] = 0;
        fclose(file);
    }
    return strncmp(want, got, strlen(want)) == 0;
}

static void threads_in_proc(void)
{
    char path[64], name[32] = "";
    pthread_t thread;
    int fd;

    printf("%d thread\n", count("/proc/self/task"));
    pthread_create(&thread, NULL, wait_for_end, NULL);
    while (!__atomic_load_n(&other_tid, __ATOMIC_SEQ_CST))
        usleep(1000);
    printf("%d threads\n", count("/proc/self/task"));
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", other_tid);
    show_line(path, "");
    SHOW(pthread_setname_np(thread, "renamed"));
    SHOW(pthread_setname_np(thread, "much-too-long-a-name"));
    SHOW(pthread_getname_np(thread, name, sizeof(name)));
    printf("%s\n", name);
    show_line(path, "");
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", other_tid);
    printf("stat %d\n", is_named(path, other_tid, "renamed"));
    snprintf(path, sizeof(path), "/proc/self/task/%d/status", other_tid);
    show_line(path, "Name:");
    show_line(path, "Threads:");
    SHOW(prctl(PR_SET_NAME, "first-thread-of-all"));
    show_line("/proc/self/comm", "");
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", getpid());
    show_line(path, "");
    fd = open("/proc/self/comm", O_WRONLY);
    SHOW(write(fd, "by-proc", 7));
    close(fd);
    SHOW(prctl(PR_GET_NAME, name));
    printf("%s\n", name);
    SHOW(access("/proc/self/task/4000000", F_OK));
    SHOW(open("/proc/self/task/x", O_RDONLY));
    SHOW(open("/proc/1/comm", O_WRONLY | O_DIRECTORY));
    stop = 1;
    pthread_join(thread, NULL);
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", other_tid);
    for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++)
        usleep(1000);
    show_line(path, "");
}

static void vector(void)
{
    unsigned long pair[2];
    int fd = open("/proc/self/auxv", O_RDONLY), right = 0;

    while (read(fd, pair, sizeof(pair)) == sizeof(pair) && pair[0] != AT_NULL) {
        if (pair[0] == AT_PAGESZ || pair[0] == AT_PHDR || pair[0] == AT_RANDOM)
            right += getauxval(pair[0]) == pair[1];
    }
    printf("auxv %d\n", right);
    close(fd);
}

static void mappings(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *a = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *b, *c;

    strcpy(a, "first");
    strcpy(a + 3 * page, "last");
    SHOW(mremap(a, 4 * page, 4 * page, MREMAP_DONTUNMAP));
    SHOW(mremap(a, 4 * page, 8 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    b = mremap(a, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    printf("elsewhere %d: %s %s\n", b != a, b, b + 3 * page);
    printf("empty: %d %d\n", a[0], a[3 * page]);
    strcpy(a, "again");
    c = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(mremap(b, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, c) ==
         c);
    printf("%s, %s, %d\n", a, c, b[0]);
}

int test_tasks(void)
{
    threads_in_proc();
    vector();
    mappings();
    return 0;
}
