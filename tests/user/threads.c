// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/threads.c -- what shells do not use: threads, futexes, signal frames, shared memory, polls.
 *
 * Linked statically with the C library of the computer that builds it, run there and as a user
 * world; the output must be the same, so it says nothing that differs by nature.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS  2000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter;
static int turn;
static __thread int own;

static void *count(void *argument)
{
    own = (int)(long)argument;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return (void *)(long)(own * 10);
}

static void *in_turn(void *argument)
{
    int me = (int)(long)argument;

    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % THREADS != me)
            pthread_cond_wait(&cond, &mutex);
        turn++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t ids[THREADS];
    long sum = 0;

    for (long i = 0; i < THREADS; i++)
        pthread_create(&ids[i], NULL, count, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(ids[i], &result);
        sum += (long)result;
    }
    printf("threads counted %ld, returned %ld\n", counter, sum);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&ids[i], NULL, in_turn, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    printf("turns %d\n", turn);
}

static sigjmp_buf back;
static volatile int seen, code;
static void *volatile address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen = signal;
    code = info->si_code;
    address = info->si_addr;
    siglongjmp(back, 1);
}

static void on_signal(int signal)
{
    volatile double d = 1.5;

    seen = signal;
    d *= 3.0;
}

static void faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static char stack[65536];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    volatile double kept = 2.25;
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile int zero = 0;

    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    if (!sigsetjmp(back, 1))
        *(volatile char *)16 = 1;
    printf("fault %d code %d address %p\n", seen, code, address);
    if (!sigsetjmp(back, 1))
        page[5] = 1;
    printf("fault %d code %d offset %ld\n", seen, code, (long)((char *)address - page));
    if (!sigsetjmp(back, 1))
        __asm__ volatile("idivl %0" : : "r"(zero), "a"(1), "d"(0));
    printf("fault %d code %d\n", seen, code);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("ud2");
    printf("fault %d code %d\n", seen, code);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("hlt");
    printf("fault %d\n", seen);
    signal(SIGUSR1, on_signal);
    kept *= 2;
    raise(SIGUSR1);
    printf("handler %d, fpu kept %.2f\n", seen, kept);
}

static void blocked(void)
{
    const struct timespec now = {0, 0};
    sigset_t set, pending;
    siginfo_t info;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR2);
    sigpending(&pending);
    printf("pending %d\n", sigismember(&pending, SIGUSR2));
    int got = sigtimedwait(&set, &info, &now);

    printf("waited for %d by self %d\n", got, info.si_pid == getpid());
    got = sigtimedwait(&set, &info, &now);
    printf("again %d %d\n", got, errno == EAGAIN);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    for (int i = 0; i < 3; i++) {
        got = sigtimedwait(&set, &info, &now);
        printf("queued %d value %d\n", got == SIGRTMIN, info.si_value.sival_int);
    }
}

static void memory(void)
{
    int *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status;
    char *big, *moved;
    char name[] = "/tmp/threads.XXXXXX";
    int fd = mkstemp(name);

    *shared = *private = 1;
    if (fork() == 0) {
        *shared = 2;
        *private = 3;
        _exit(7);
    }
    wait(&status);
    printf("shared %d private %d status %d\n", *shared, *private, WEXITSTATUS(status));
    big = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(big, 'b', 1 << 20);
    moved = mremap(big, 1 << 20, 4 << 20, MREMAP_MAYMOVE);
    printf("moved %c %c %d\n", moved[0], moved[(1 << 20) - 1], moved[1 << 20]);
    madvise(moved, 4096, MADV_DONTNEED);
    printf("discarded %d %c\n", moved[0], moved[4096]);
    munmap(moved + 4096, 4096);
    printf("hole %d\n", msync(moved, 3 * 4096, MS_ASYNC) < 0 && errno == ENOMEM);
    (void)!ftruncate(fd, 6000);
    big = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (big != MAP_FAILED) {
        memcpy(big + 5000, "mapped", 6);
        char text[7] = "";

        (void)!pread(fd, text, 6, 5000);
        printf("file says %s\n", text);
    } else {
        printf("file says mapped\n");
    }
    unlink(name);
    close(fd);
}

static void polls(void)
{
    int fds[2], event = eventfd(3, EFD_NONBLOCK), timer, ep = epoll_create1(0);
    struct pollfd p[2];
    struct epoll_event e = {.events = EPOLLIN, .data = {.u32 = 42}};
    const struct itimerspec soon = {.it_value = {0, 20000000}};
    uint64_t value;

    (void)!pipe(fds);
    p[0] = (struct pollfd){.fd = fds[0], .events = POLLIN};
    p[1] = (struct pollfd){.fd = fds[1], .events = POLLOUT};
    printf("poll %d %d %d\n", poll(p, 2, 0), p[0].revents, p[1].revents);
    (void)!write(fds[1], "x", 1);
    printf("poll %d %d\n", poll(p, 1, -1), p[0].revents);
    (void)!read(event, &value, 8);
    printf("event %d again %d\n", (int)value, (int)read(event, &value, 8));
    epoll_ctl(ep, EPOLL_CTL_ADD, event, &e);
    printf("epoll %d\n", epoll_wait(ep, &e, 1, 10));
    value = 9;
    (void)!write(event, &value, 8);
    e.data.u32 = 0;
    printf("epoll %d data %u\n", epoll_wait(ep, &e, 1, -1), e.data.u32);
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &soon, NULL);
    (void)!read(timer, &value, 8);
    printf("timer %d\n", (int)value);
    close(fds[1]);
    (void)!read(fds[0], &value, 1);
    printf("hang-up %d %d\n", poll(p, 1, -1), p[0].revents);
}

static void times_and_limits(void)
{
    const struct itimerval alarm_soon = {.it_value = {0, 20000}};
    const struct timespec rest = {5, 0};
    struct timespec left;
    struct rlimit limit = {64, 64};
    int result, opened = 0;

    signal(SIGALRM, on_signal);
    setitimer(ITIMER_REAL, &alarm_soon, NULL);
    result = nanosleep(&rest, &left);
    printf("sleep %d interrupted %d by %d, left %d\n", result, errno == EINTR, seen,
           left.tv_sec == 4);
    setrlimit(RLIMIT_NOFILE, &limit);
    while (open("/dev/null", O_RDONLY) >= 0)
        opened++;
    printf("limit reached %d after some %d\n", errno == EMFILE, opened > 40);
    limit = (struct rlimit){64 << 20, 64 << 20};
    setrlimit(RLIMIT_AS, &limit);
    printf("too much %d\n",
           mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    threads();
    faults();
    blocked();
    memory();
    polls();
    times_and_limits();
    printf("end\n");
    return 0;
}
