// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/queues.c -- message queues: order, limits, time-outs, notification, poll.
 */
#include "posix.h"

#include <mqueue.h>
#include <poll.h>

static volatile sig_atomic_t notified;

static void on_message(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    notified = info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

int test_queues(void)
{
    struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 16}, got;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
    struct timespec past = {1, 0}, bad = {1, 2000000000};
    unsigned priority = 0;
    char text[64] = "", name[32];
    struct pollfd p;
    mqd_t q, other;
    pid_t child;

    snprintf(name, sizeof(name), "/queue.%d", getpid());
    SHOW(mq_open("no-slash/inside", O_RDWR | O_CREAT, 0600, NULL));
    SHOW(mq_open("/nothing-there", O_RDWR));
    q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    printf("open %d\n", q >= 0);
    SHOW(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
    SHOW(mq_send(q, "low", 3, 1));
    SHOW(mq_send(q, "high", 4, 9));
    SHOW(mq_send(q, "low too", 7, 1));
    SHOW(mq_send(q, "0123456789abcdefg", 17, 1));
    SHOW(mq_send(q, "x", 1, 40000));
    SHOW(mq_timedsend(q, "late", 4, 1, &past));
    SHOW(mq_timedsend(q, "late", 4, 1, &bad));
    SHOW(mq_getattr(q, &got));
    printf("%ld of %ld, %ld bytes, flags %lx\n", got.mq_curmsgs, got.mq_maxmsg, got.mq_msgsize,
           got.mq_flags);
    SHOW(mq_receive(q, text, 8, &priority));
    for (int i = 0; i < 3; i++) {
        memset(text, 0, sizeof(text));
        SHOW(mq_receive(q, text, 16, &priority));
        printf("%s, priority %u\n", text, priority);
    }
    SHOW(mq_timedreceive(q, text, 16, &priority, &past));
    p = (struct pollfd){.fd = q, .events = POLLIN | POLLOUT};
    SHOW(poll(&p, 1, 0));
    printf("ready %x\n", (unsigned)p.revents);
    other = mq_open(name, O_RDONLY | O_NONBLOCK);
    SHOW(mq_receive(other, text, 16, NULL));
    SHOW(mq_send(other, "x", 1, 0));

    sigaction(SIGUSR1, &action, NULL);
    event.sigev_value.sival_int = 42;
    SHOW(mq_notify(q, &event));
    SHOW(mq_notify(other, &event));
    SHOW(mq_send(q, "", 0, 0));
    printf("notified %d\n", (int)notified);
    notified = 0;
    SHOW(mq_receive(q, text, 16, NULL));
    SHOW(mq_send(q, "y", 1, 0));  // once only
    printf("notified %d\n", (int)notified);
    SHOW(mq_receive(q, text, 16, NULL));

    fflush(stdout);
    child = fork();
    if (child == 0) {
        usleep(20000);
        exit(mq_send(q, "from a child", 12, 3) != 0);
    }
    memset(text, 0, sizeof(text));
    SHOW(mq_receive(q, text, 16, &priority));
    printf("%s\n", text);
    waitpid(child, NULL, 0);
    SHOW(mq_unlink(name));
    SHOW(mq_unlink(name));
    SHOW(mq_send(q, "still open", 10, 0));
    SHOW(mq_close(q));
    SHOW(mq_close(other));
    return 0;
}
