// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/memory.c -- mmap in its kinds, protection, growing, sharing with children and files, the heap.
 */
#include "posix.h"

#include <elf.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/time.h>

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

/* What a child finds in three pages that have a letter each. */
static void child_sees(const char *what, const char *at)
{
    const long page = sysconf(_SC_PAGESIZE);

    printf("%s:", what);
    fflush(stdout);
    if (fork() == 0) {
        for (volatile int i = 0; i < 3; i++) {
            if (sigsetjmp(back, 1))
                printf(" fault");
            else
                printf(" %d", at[i * page]);
        }
        puts("");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void at_fork(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < 3; i++)
        at[i * page] = (char)(i + 1);
    SHOW(madvise(at + page, page, MADV_WIPEONFORK));
    child_sees("wiped", at);
    SHOW(madvise(at + page, page, MADV_DONTFORK));
    child_sees("left out", at);
    SHOW(madvise(at, 3 * page, MADV_DOFORK));
    child_sees("forked, still wiped", at);
    SHOW(madvise(at, 3 * page, MADV_KEEPONFORK));
    child_sees("kept", at);
    SHOW(madvise(shared, page, MADV_WIPEONFORK));
    SHOW(madvise(shared, page, MADV_DONTFORK));
    munmap(shared, page);
    SHOW(madvise(shared, page, MADV_DONTFORK));
    munmap(at, 3 * page);
}

/* A function of the library that the kernel gives, looked for as dietlibc does. */
static void *vdso_function(const char *name)
{
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)base;
    const Elf64_Shdr *sections;

    if (!base || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return NULL;
    sections = (const Elf64_Shdr *)(base + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const Elf64_Sym *symbols = (const Elf64_Sym *)(base + sections[i].sh_offset);
        const char *strings = base + sections[sections[i].sh_link].sh_offset;

        if (sections[i].sh_type != SHT_DYNSYM)
            continue;
        for (size_t n = 1; n < sections[i].sh_size / sizeof(*symbols); n++) {
            if (strcmp(strings + symbols[n].st_name, name) == 0)
                return (char *)base + symbols[n].st_value;
        }
    }
    return NULL;
}

static void vdso(void)
{
    static const char *const names[] = {"__vdso_gettimeofday", "gettimeofday"};
    long (*clock)(int, struct timespec *) = vdso_function("__vdso_clock_gettime");
    time_t (*seconds)(time_t *) = vdso_function("__vdso_time");
    long (*cpu)(unsigned *, unsigned *, void *) = vdso_function("__vdso_getcpu");
    struct timespec before, ts = {0};
    unsigned number = 99999;
    struct timeval tv;

    clock_gettime(CLOCK_MONOTONIC, &before);
    SHOW(clock(CLOCK_MONOTONIC, &ts));
    printf("goes on: %d\n", ts.tv_sec >= before.tv_sec && ts.tv_sec - before.tv_sec <= 1);
    for (unsigned i = 0; i < 2; i++) {
        long (*day)(struct timeval *, void *) = vdso_function(names[i]);

        SHOW(day(&tv, NULL));
        printf("%s: %d\n", names[i], seconds(NULL) - tv.tv_sec <= 1);
    }
    SHOW(cpu(&number, NULL, NULL));
    printf("a CPU: %d; nothing of that name: %d\n", number < 4096, !vdso_function("__vdso_x"));
}

/* The page of the kernel's half that old static programs call: three entries, no bytes. */
static void old_time(void)
{
    char *const page = (char *)0xffffffffff600000;
    long (*const ask_day)(struct timeval *, void *) = (void *)page;
    time_t (*const ask_time)(time_t *) = (void *)(page + 1024);
    long (*const ask_cpu)(unsigned *, unsigned *, void *) = (void *)(page + 2048);
    static const unsigned nowhere[] = {16, 1040, 3072, 4096};
    char line[128], last[128] = "";
    struct timeval tv = {0}, now;
    time_t seconds = 0, got;
    unsigned cpu = 99999;
    FILE *maps;

    SHOW(ask_day(&tv, NULL));
    gettimeofday(&now, NULL);
    printf("the same second, or the next: %d\n", now.tv_sec - tv.tv_sec <= 1);
    got = ask_time(&seconds);
    printf("likewise: %d %d %d\n", seconds - tv.tv_sec <= 1, got == seconds,
           ask_time(NULL) >= got);
    SHOW(ask_cpu(&cpu, NULL, NULL));
    printf("a CPU: %d\n", cpu < 4096);
    for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        void (*const call)(void) = (void *)(page + nowhere[i]);
        int signal = sigsetjmp(back, 1);

        if (!signal)
            call();
        printf("%u behind its start: %d\n", nowhere[i], signal == SIGSEGV);
    }
    if (!sigsetjmp(back, 1))
        SHOW(ask_time((time_t *)8));
    else
        puts("a bad address is a fault");
    printf("its bytes: %s\n", poke(page, 0));
    maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof(line), maps))
        strcpy(last, line);
    fclose(maps);
    fputs(last, stdout);
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

    at_fork();
    vdso();
    old_time();
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
