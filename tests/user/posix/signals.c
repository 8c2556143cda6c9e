// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/signals.c -- dispositions, masks, queues of real-time signals, alternate stacks, jumps out of handlers.
 */
#include "posix.h"

#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t order[32], count;
static sigjmp_buf back;

static void note(int signal)
{
    order[count++] = signal;
}

static void note_value(int signal, siginfo_t *info, void *context)
{
    (void)context;
    order[count++] = signal * 100 + info->si_value.sival_int;
    if (info->si_pid != getpid() || info->si_code != SI_QUEUE)
        order[count++] = -1;
}

static void fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    printf("fault signal %d code %d at %p\n", signal, info->si_code, info->si_addr);
    siglongjmp(back, 1);
}

static void on_stack(int signal, siginfo_t *info, void *context)
{
    stack_t now;

    (void)signal;
    (void)info;
    (void)context;
    sigaltstack(NULL, &now);
    printf("on the alternate stack: %d\n", now.ss_flags == SS_ONSTACK);
    siglongjmp(back, 1);
}

static void set(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigaction(signal, &action, NULL);
}

static void set_info(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};

    sigaction(signal, &action, NULL);
}

static void show_order(const char *what)
{
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %d", order[i]);
    puts("");
    count = 0;
}

__attribute__((noinline)) static int overflow(int depth)
{
    volatile char room[4096];

    room[0] = (char)depth;
    return depth < 1000000 ? overflow(depth + 1) + room[0] : 0;
}

int test_signals(void)
{
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct timespec soon = {.tv_nsec = 1000000};
    union sigval value;
    sigset_t set_all, old, pending;
    siginfo_t info;
    int fds[2], status;
    char byte;

    set(SIGUSR1, note, 0);
    set(SIGUSR2, note, SA_RESETHAND);
    raise(SIGUSR1);
    raise(SIGUSR2);
    show_order("handled");
    for (int s = SIGRTMIN; s < SIGRTMIN + 3; s++)
        set_info(s, note_value, 0);
    sigfillset(&set_all);
    sigprocmask(SIG_BLOCK, &set_all, &old);
    for (int i = 0; i < 3; i++) {
        value.sival_int = i;
        sigqueue(getpid(), SIGRTMIN + 2 - i, value);
        value.sival_int = i + 10;
        sigqueue(getpid(), SIGRTMIN, value);
    }
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigpending(&pending);
    printf("pending %d %d %d\n", sigismember(&pending, SIGUSR1),
           sigismember(&pending, SIGRTMIN), sigismember(&pending, SIGHUP));
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < count; i++)
        order[i] -= order[i] > SIGRTMIN * 100 ? SIGRTMIN * 100 : 0;
    show_order("real-time, lowest number first, each in order");

    sigemptyset(&pending);
    sigaddset(&pending, SIGUSR1);
    sigprocmask(SIG_BLOCK, &pending, NULL);
    SHOW(sigtimedwait(&pending, &info, &soon));
    kill(getpid(), SIGUSR1);
    printf("waited for %d code %d\n", sigwaitinfo(&pending, &info), info.si_code);
    kill(getpid(), SIGUSR1);
    SHOW(sigsuspend(&old));
    show_order("suspended");
    sigprocmask(SIG_SETMASK, &old, NULL);

    set_info(SIGSEGV, fault, 0);
    if (sigsetjmp(back, 1) == 0)
        *(volatile char *)16 = 1;
    set_info(SIGFPE, fault, 0);
    set_info(SIGILL, fault, 0);
    set_info(SIGBUS, fault, 0);
    SHOW(sigaltstack(&alternate, NULL));
    set_info(SIGSEGV, on_stack, SA_ONSTACK);
    if (sigsetjmp(back, 1) == 0)
        overflow(0);
    set(SIGSEGV, SIG_DFL, 0);

    set(SIGPIPE, note, 0);
    if (pipe(fds) != 0)
        return 1;
    close(fds[0]);
    SHOW(write(fds[1], "x", 1));
    show_order("broken pipe");
    close(fds[1]);

    /* An interrupted read goes on with SA_RESTART, and ends with EINTR without. */
    for (int restart = 0; restart < 2; restart++) {
        pid_t child;

        if (pipe(fds) != 0)
            return 1;
        set(SIGUSR1, note, restart ? SA_RESTART : 0);
        child = fork();
        if (child == 0) {
            usleep(30000);
            kill(getppid(), SIGUSR1);
            usleep(30000);
            if (write(fds[1], "x", 1) != 1)
                _exit(1);
            _exit(0);
        }
        SHOW(read(fds[0], &byte, 1));
        waitpid(child, &status, 0);
        close(fds[0]);
        close(fds[1]);
        show_order(restart ? "restarted" : "interrupted");
    }
    if (fork() == 0) {
        set(SIGABRT, SIG_DFL, 0);
        abort();
    }
    wait(&status);
    printf("child: signal %d\n", WTERMSIG(status));
    return 0;
}
