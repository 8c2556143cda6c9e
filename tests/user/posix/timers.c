// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/timers.c -- timerfd, absolute sleeps, interval timers, POSIX timers, clocks.
 */
#include "posix.h"

#include <poll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static volatile sig_atomic_t ticks, last_value;

static void tick(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    last_value = info->si_value.sival_int;
    ticks++;
}

static int64_t now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static struct timespec after(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* Timers that ring after so much CPU time, and not because time passes. */
static void test_cpu_timers(void)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 100000},
                                   .it_interval = {.tv_usec = 10000}};
    const struct itimerval stop = {.it_value = {.tv_usec = 0}};
    const struct itimerspec once = {.it_value = {.tv_nsec = 100000000}};
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerval left;
    struct timespec at;
    timer_t timer;

    sigaction(SIGVTALRM, &action, NULL);
    sigaction(SIGPROF, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    ticks = 0;
    SHOW(setitimer(ITIMER_VIRTUAL, &soon, NULL));
    usleep(200000);
    printf("while asleep %d\n", (int)ticks);
    while (ticks < 3)
        ;
    SHOW(getitimer(ITIMER_VIRTUAL, &left));
    printf("interval %ld\n", (long)left.it_interval.tv_usec);
    SHOW(setitimer(ITIMER_VIRTUAL, &stop, NULL));
    ticks = 0;
    SHOW(setitimer(ITIMER_PROF, &soon, NULL));
    while (ticks < 3)
        getppid();
    SHOW(setitimer(ITIMER_PROF, &stop, NULL));
    SHOW(setitimer(3, &stop, NULL));
    ticks = 0;
    SHOW(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
    SHOW(timer_settime(timer, 0, &once, NULL));
    usleep(100000);
    printf("while asleep %d\n", (int)ticks);
    while (ticks < 1)
        ;
    SHOW(timer_delete(timer));
    SHOW(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer));
    at = after(now(CLOCK_THREAD_CPUTIME_ID) + 5000000);
    SHOW(timer_settime(timer, TIMER_ABSTIME, &(struct itimerspec){.it_value = at}, NULL));
    while (ticks < 2)
        ;
    SHOW(timer_delete(timer));
    at = after(1);
    SHOW(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &at, NULL));
}

int test_timers(void)
{
    struct itimerspec once = {.it_value = {.tv_nsec = 20000000}};
    struct itimerspec often = {.it_value = {.tv_nsec = 5000000},
                               .it_interval = {.tv_nsec = 5000000}};
    struct itimerspec none = {.it_value = {.tv_nsec = 0}}, left;
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    struct itimerval interval = {.it_value = {.tv_usec = 5000},
                                 .it_interval = {.tv_usec = 5000}};
    struct itimerval stop = {.it_value = {.tv_usec = 0}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct timespec at;
    struct pollfd fd;
    uint64_t expired = 0;
    int64_t before;
    timer_t timer;

    fd.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    fd.events = POLLIN;
    SHOW(read(fd.fd, &expired, sizeof(expired)));
    before = now(CLOCK_MONOTONIC);
    SHOW(timerfd_settime(fd.fd, 0, &once, NULL));
    SHOW(poll(&fd, 1, 0));
    SHOW(poll(&fd, 1, 5000));
    printf("not early %d\n", now(CLOCK_MONOTONIC) - before >= 20000000);
    SHOW(read(fd.fd, &expired, sizeof(expired)));
    printf("expired %d\n", (int)expired);
    timerfd_settime(fd.fd, 0, &often, NULL);
    usleep(52000);
    SHOW(read(fd.fd, &expired, sizeof(expired)));
    printf("expired often %d\n", expired >= 9);
    timerfd_gettime(fd.fd, &left);
    printf("interval %ld\n", left.it_interval.tv_nsec);
    SHOW(timerfd_settime(fd.fd, 0, &none, &left));
    close(fd.fd);
    SHOW(timerfd_create(99, 0));

    before = now(CLOCK_MONOTONIC);
    at = after(before + 15000000);
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL));
    printf("slept %d\n", now(CLOCK_MONOTONIC) >= before + 15000000);
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL));  // in the past
    at.tv_nsec = 2000000000;
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &at, NULL));

    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    SHOW(setitimer(ITIMER_REAL, &interval, NULL));
    while (ticks < 5)
        pause();
    SHOW(setitimer(ITIMER_REAL, &stop, NULL));
    SHOW(alarm(100));
    SHOW(alarm(0));

    ticks = 0;
    event.sigev_value.sival_int = 42;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SHOW(timer_settime(timer, 0, &often, NULL));
    while (ticks < 3)
        pause();
    printf("value %d\n", (int)last_value);
    SHOW(timer_gettime(timer, &left));
    printf("armed %d\n", left.it_value.tv_nsec > 0);
    SHOW(timer_delete(timer));
    event.sigev_signo = 999;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    before = now(CLOCK_PROCESS_CPUTIME_ID);
    for (volatile long i = 0; i < 3000000; i++)
        ;
    printf("CPU time grows %d\n", now(CLOCK_PROCESS_CPUTIME_ID) > before);
    printf("thread's %d\n", now(CLOCK_THREAD_CPUTIME_ID) > 0);
    test_cpu_timers();
    printf("resolution %d\n", clock_getres(CLOCK_REALTIME, &at) == 0 && at.tv_sec == 0);
    SHOW(clock_gettime(77, &at));
    return 0;
}
