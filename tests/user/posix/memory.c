// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/memory.c -- mmap in its kinds, protection, growing, sharing with children and files, the heap.
 */
#include "posix.h"

#include <setjmp.h>
#include <sys/resource.h>

static sigjmp_buf back;

static void fault(int signal)
{
    siglongjmp(back, signal);
}

static const char *poke(volatile char *at, int write)
{
    int signal = sigsetjmp(back, 1);

    if (signal)
        return signal == SIGSEGV ? "SIGSEGV" : "SIGBUS";
    if (write)
        *at = 1;
    else
        (void)*at;
    return "fine";
}

static void on_bus(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    siglongjmp(back, info->si_code);
}

/* Reads a page of a mapping; how that ends. */
static void touch(const char *what, const volatile char *at)
{
    int code = sigsetjmp(back, 1);

    if (code)
        printf("%s: SIGBUS, code %d\n", what, code);
    else
        printf("%s: %d\n", what, *at);
}

/* A mapped file is cut and grows again. */
static void cut(void)
{
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO}, old;
    int fd = open("cut", O_RDWR | O_CREAT | O_TRUNC, 0600);
    volatile char *shared, *mine;

    sigaction(SIGBUS, &action, &old);
    SHOW(ftruncate(fd, 4 * 4096));
    shared = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mine = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    for (int page = 0; page < 4; page++) {
        shared[page * 4096] = (char)(page + 1);
        mine[page * 4096 + 1] = 9;
    }
    SHOW(ftruncate(fd, 4096 + 1));
    touch("kept", shared + 4096);
    touch("cut", shared + 2 * 4096);
    touch("cut, private", mine + 2 * 4096 + 1);
    touch("kept, private", mine + 4096 + 1);
    fflush(stdout);
    if (fork() == 0) {
        touch("in a child", shared + 3 * 4096);
        exit(0);
    }
    wait(NULL);
    SHOW(ftruncate(fd, 4 * 4096));
    touch("grown", shared + 2 * 4096);
    close(open("cut", O_RDWR | O_TRUNC));
    touch("opened anew", shared);
    sigaction(SIGBUS, &old, NULL);
    close(fd);
    unlink("cut");
}

int test_memory(void)
{
    const size_t page = 4096;
    char *a, *b, *shared;
    int fd, status;
    struct rlimit limit;

    signal(SIGSEGV, fault);
    signal(SIGBUS, fault);
    a = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < 16 * page; i++) {
        if (a[i])
            puts("not zero");
    }
    SHOW(mprotect(a + 4 * page, page, PROT_READ));
    printf("read-only: read %s, write %s\n", poke(a + 4 * page, 0), poke(a + 4 * page, 1));
    SHOW(mprotect(a + 5 * page, page, PROT_NONE));
    printf("nothing: read %s\n", poke(a + 5 * page, 0));
    SHOW(munmap(a + 6 * page, 2 * page));
    printf("hole: %s, around it %s %s\n", poke(a + 6 * page, 0), poke(a + 5 * page - 1, 0),
           poke(a + 8 * page, 1));
    SHOW(mprotect(a + 6 * page, page, PROT_READ));
    SHOW(madvise(a, page, MADV_DONTNEED));
    a[0] = 'x';
    madvise(a, page, MADV_DONTNEED);
    printf("dropped: %d\n", a[0]);
    strcpy(a + 8 * page, "moved");
    b = mremap(a + 8 * page, 8 * page, 64 * page, MREMAP_MAYMOVE);
    printf("grown: %s, %s\n", b, poke(b + 63 * page, 1));
    b = mremap(b, 64 * page, page, 0);
    printf("shrunk: %s, %s\n", b, poke(b + page, 0));

    fd = open("memory-file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    SHOW(ftruncate(fd, (off_t)page + 100));
    shared = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    strcpy(shared + page, "in the file");
    if (pread(fd, a, 20, (off_t)page) != 20)
        puts("short");
    printf("file: %s; behind its last byte %d; behind its last page %s\n", a,
           shared[page + 200], poke(shared + 2 * page, 0));
    SHOW(pwrite(fd, "IN", 2, (off_t)page));
    printf("map: %s\n", shared + page);
    b = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    b[page] = 'i';
    printf("private %s, shared %s\n", b + page, shared + page);
    close(fd);
    unlink("memory-file");

    shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    b = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(b, "parent");
    if (fork() == 0) {
        strcpy(shared, "from the child");
        strcpy(b, "child");
        _exit(0);
    }
    wait(&status);
    printf("%s, %s\n", shared, b);
    a = mmap((void *)0x10000000000, page, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("fixed %d\n", a == (void *)0x10000000000);
    SHOW((long)mmap((void *)0x10000000000, page, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    SHOW((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, 999, 0));
    SHOW(msync(a, page, MS_SYNC));
    SHOW(mlock(a, page));
    SHOW(munlock(a, page));

    a = malloc(50 << 20);
    memset(a, 1, 50 << 20);
    b = realloc(a, 80 << 20);
    printf("heap %d\n", b[(50 << 20) - 1]);
    free(b);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 200 << 20;
    setrlimit(RLIMIT_AS, &limit);
    printf("limit: %d %s\n", malloc(300 << 20) == NULL, strerrorname_np(errno));
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_AS, &limit);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    cut();
    return 0;
}
