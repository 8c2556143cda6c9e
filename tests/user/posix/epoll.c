// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/epoll.c -- epoll over pipes, sockets, events and itself: levels, edges, one shot; eventfd; select.
 */
#include "posix.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

static void add(int set, int fd, unsigned events, int number)
{
    struct epoll_event e = {.events = events, .data.u32 = (uint32_t)number};

    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) != 0)
        printf("cannot add %d: %s\n", number, strerrorname_np(errno));
}

static void show(int set, int timeout)
{
    struct epoll_event e[8];
    int n = epoll_wait(set, e, 8, timeout);

    printf("%d ready:", n);
    for (int number = 0; number < 8; number++) {  // the order is nobody's business
        for (int i = 0; i < n; i++) {
            if (e[i].data.u32 == (unsigned)number)
                printf(" %d/%x", number, e[i].events);
        }
    }
    puts("");
}

static void *writer(void *argument)
{
    usleep(20000);
    if (write(*(int *)argument, "late", 4) != 4)
        puts("no write");
    return NULL;
}

/* An epoll in an epoll: readiness comes through, circles and long chains are refused. */
static int nested(void)
{
    int chain[7], pipes[2], outer;
    struct epoll_event e = {.events = EPOLLIN};
    struct pollfd p;
    pthread_t thread;
    char text[16];

    if (pipe(pipes))
        return 1;
    for (int i = 0; i < 7; i++)
        chain[i] = epoll_create1(0);
    outer = chain[0];
    SHOW(epoll_ctl(chain[0], EPOLL_CTL_ADD, chain[1], &e));
    SHOW(epoll_ctl(chain[1], EPOLL_CTL_ADD, chain[0], &e));
    SHOW(epoll_ctl(chain[1], EPOLL_CTL_ADD, chain[2], &e));
    SHOW(epoll_ctl(chain[2], EPOLL_CTL_ADD, chain[0], &e));
    SHOW(epoll_ctl(chain[2], EPOLL_CTL_ADD, pipes[0], &e));
    show(outer, 0);
    p = (struct pollfd){.fd = outer, .events = POLLIN};
    SHOW(poll(&p, 1, 0));
    pthread_create(&thread, NULL, writer, &pipes[1]);
    SHOW(poll(&p, 1, 5000));
    pthread_join(thread, NULL);
    show(outer, 0);
    show(chain[2], 0);
    SHOW(read(pipes[0], text, sizeof(text)));
    show(outer, 0);
    show(chain[1], 0);
    pthread_create(&thread, NULL, writer, &pipes[1]);
    show(outer, 5000);
    pthread_join(thread, NULL);
    close(chain[2]);
    show(outer, 0);
    for (int i = 1; i < 6; i++)
        SHOW(epoll_ctl(chain[i], EPOLL_CTL_ADD, i == 1 ? chain[3] : chain[i + 1], &e) == 0);
    return 0;
}

int test_epoll(void)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    int level[2], edge[2], shot[2], event = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE);
    struct timeval zero = {0, 0};
    struct epoll_event e;
    pthread_t thread;
    uint64_t value;
    char text[16];
    fd_set readable;

    if (pipe(level) || pipe(edge) || pipe(shot))
        return 1;
    add(set, level[0], EPOLLIN, 1);
    add(set, edge[0], EPOLLIN | EPOLLET, 2);
    add(set, shot[0], EPOLLIN | EPOLLONESHOT, 3);
    add(set, event, EPOLLIN, 4);
    show(set, 0);
    for (int i = 0; i < 4; i++)
        SHOW(read(event, &value, sizeof(value)));
    show(set, 0);
    SHOW(write(level[1], "ab", 2) + write(edge[1], "ab", 2) + write(shot[1], "ab", 2));
    show(set, 0);
    show(set, 0);  // level only
    SHOW(write(edge[1], "c", 1));
    show(set, 0);  // the edge again
    e = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u32 = 3};
    SHOW(epoll_ctl(set, EPOLL_CTL_MOD, shot[0], &e));
    show(set, 0);
    SHOW(read(level[0], text, sizeof(text)));
    close(level[1]);
    show(set, 0);  // hung up
    SHOW(epoll_ctl(set, EPOLL_CTL_DEL, level[0], NULL));
    SHOW(epoll_ctl(set, EPOLL_CTL_DEL, level[0], NULL));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, set, &e));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, 999, &e));
    SHOW(read(shot[0], text, sizeof(text)));
    SHOW(read(edge[0], text, sizeof(text)));
    e.data.u32 = 3;
    epoll_ctl(set, EPOLL_CTL_MOD, shot[0], &e);
    show(set, 10);
    pthread_create(&thread, NULL, writer, &shot[1]);
    show(set, 5000);
    pthread_join(thread, NULL);
    FD_ZERO(&readable);
    FD_SET(shot[0], &readable);
    FD_SET(edge[0], &readable);
    SHOW(select(100, &readable, NULL, NULL, &zero));
    FD_ZERO(&readable);
    struct timeval some = {0, 20000};
    SHOW(select(0, NULL, NULL, NULL, &some));
    SHOW(some.tv_sec == 0 && some.tv_usec == 0);
    some.tv_sec = 100;
    FD_SET(shot[0], &readable);
    SHOW(select(100, &readable, NULL, NULL, &some));
    SHOW(some.tv_sec > 0 && some.tv_sec <= 100);
    printf("select %d %d\n", FD_ISSET(shot[0], &readable) != 0,
           FD_ISSET(edge[0], &readable) != 0);
    value = UINT64_MAX - 1;
    event = eventfd(0, EFD_NONBLOCK);
    SHOW(write(event, &value, sizeof(value)));
    SHOW(write(event, &value, sizeof(value)));
    SHOW(write(event, &value, 4));
    SHOW(read(event, &value, sizeof(value)));
    printf("value %d\n", value == UINT64_MAX - 1);
    return nested();
}
