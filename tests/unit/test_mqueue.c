// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_mqueue.c -- POSIX message queues: order, limits, notification, and what is left over.
 *
 * A process makes real calls; when it is gone, memory of user worlds is what it was before.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <string.h>

#include "tests/unit/kernel_test.h"
#include "tests/unit/user_fixture.h"

#define DATA           0x10000000ull
#define TEXT           (DATA + 0x1000)
#define PRIORITY       (DATA + 0x2000)
#define SYS_READ       0u
#define SYS_CLOSE      3u
#define SYS_SOCKET     41u
#define SYS_MQ_OPEN    240u
#define SYS_MQ_UNLINK  241u
#define SYS_MQ_SEND    242u
#define SYS_MQ_RECEIVE 243u
#define SYS_MQ_NOTIFY  244u
#define SYS_MQ_GETSET  245u
#define AF_NETLINK     16u
#define SOCK_RAW       3u
#define NOTE_MESSAGE   1
#define NOTE_REMOVED   2

static struct thread *me;

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    const uint64_t arguments[6] = {a, b, c, d, e, 0};

    return user_fixture_call(me, number, arguments);
}

static void put(uint64_t at, const void *data, size_t size)
{
    ck_assert_int_eq(aspace_copy_out(me->as, at, data, size), VMK_OK);
}

static int64_t queue_open(const char *name, uint32_t flags, int64_t messages, int64_t size)
{
    const int64_t attr[8] = {0, messages, size};

    put(DATA, name, strlen(name) + 1);
    put(TEXT, attr, sizeof(attr));
    return call(SYS_MQ_OPEN, DATA, flags | VFS_O_RDWR, 0600, TEXT, 0);
}

static int64_t queue_send(int64_t fd, const char *text, uint64_t priority)
{
    put(TEXT, text, strlen(text) + 1);
    return call(SYS_MQ_SEND, (uint64_t)fd, TEXT, strlen(text), priority, 0);
}

/* The text of the first message, with its priority in front; the errno if there is none. */
static const char *queue_take(int64_t fd)
{
    static char out[80];
    char text[64] = {0};
    uint32_t priority;
    int64_t size = call(SYS_MQ_RECEIVE, (uint64_t)fd, TEXT, 64, PRIORITY, 0);

    if (size < 0) {
        snprintf(out, sizeof(out), "%d", (int)size);
        return out;
    }
    ck_assert_int_eq(aspace_copy_in(me->as, text, TEXT, (size_t)size), VMK_OK);
    ck_assert_int_eq(aspace_copy_in(me->as, &priority, PRIORITY, 4), VMK_OK);
    snprintf(out, sizeof(out), "%u %s", priority, text);
    return out;
}

static void unlink_name(const char *name, int64_t result)
{
    put(DATA, name, strlen(name) + 1);
    ck_assert_int_eq(call(SYS_MQ_UNLINK, DATA, 0, 0, 0, 0), result);
}

static void begin(void *thread)
{
    me = thread;
    user_fixture_begin(me);
    user_fixture_map(me, DATA, 0x4000, ASPACE_READ | ASPACE_WRITE);
}

static void order(void *thread)
{
    int64_t fd;

    begin(thread);
    ck_assert_int_eq(queue_open("q", 0, 4, 64), -L_ENOENT);
    ck_assert_int_eq(queue_open("q", VFS_O_CREAT, 0, 64), -L_EINVAL);
    fd = queue_open("q", VFS_O_CREAT | VFS_O_NONBLOCK, 4, 64);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(queue_open("q", VFS_O_CREAT | VFS_O_EXCL, 4, 64), -L_EEXIST);
    ck_assert_int_eq(queue_send(fd, "low", 1), 0);
    ck_assert_int_eq(queue_send(fd, "high", 9), 0);
    ck_assert_int_eq(queue_send(fd, "high too", 9), 0);
    ck_assert_int_eq(queue_send(fd, "lowest", 0), 0);
    ck_assert_int_eq(queue_send(fd, "full", 0), -L_EAGAIN);
    ck_assert_int_eq(queue_send(fd, "no such priority", 32768), -L_EINVAL);
    ck_assert_int_eq(call(SYS_MQ_SEND, (uint64_t)fd, TEXT, 65, 0, 0), -L_EMSGSIZE);
    ck_assert_int_eq(call(SYS_MQ_RECEIVE, (uint64_t)fd, TEXT, 63, 0, 0), -L_EMSGSIZE);
    ck_assert_str_eq(queue_take(fd), "9 high");
    ck_assert_str_eq(queue_take(fd), "9 high too");
    ck_assert_str_eq(queue_take(fd), "1 low");
    ck_assert_str_eq(queue_take(fd), "0 lowest");
    ck_assert_str_eq(queue_take(fd), "-11");  // EAGAIN
    /* Without a name it works on, and its messages go with it. */
    unlink_name("q", 0);
    unlink_name("q", -L_ENOENT);
    ck_assert_int_eq(queue_send(fd, "left over", 3), 0);
    user_fixture_exit(me);
}

static int notes_of(int64_t fd)
{
    uint8_t note[NETLINK_NOTE_SIZE];

    if (call(SYS_READ, (uint64_t)fd, TEXT, sizeof(note), 0, 0) != sizeof(note))
        return 0;
    ck_assert_int_eq(aspace_copy_in(me->as, note, TEXT, sizeof(note)), VMK_OK);
    ck_assert_int_eq(note[0], 'c');
    return note[NETLINK_NOTE_SIZE - 1];
}

static void notification(void *thread)
{
    const char cookie[NETLINK_NOTE_SIZE] = "cookie";
    struct l_sigevent event = {.notify = L_SIGEV_THREAD, .value = PRIORITY};
    int64_t fd, socket;

    begin(thread);
    fd = queue_open("told", VFS_O_CREAT | VFS_O_NONBLOCK, 4, 64);
    socket = call(SYS_SOCKET, AF_NETLINK, SOCK_RAW | VFS_O_NONBLOCK, 0, 0, 0);
    ck_assert_int_ge(socket, 0);
    put(PRIORITY, cookie, sizeof(cookie));
    event.signal = (int32_t)fd;  // a queue is no socket
    put(DATA, &event, sizeof(event));
    ck_assert_int_eq(call(SYS_MQ_NOTIFY, (uint64_t)fd, DATA, 0, 0, 0), -L_EBADF);
    event.signal = (int32_t)socket;
    put(DATA, &event, sizeof(event));
    ck_assert_int_eq(call(SYS_MQ_NOTIFY, (uint64_t)fd, DATA, 0, 0, 0), 0);
    ck_assert_int_eq(call(SYS_MQ_NOTIFY, (uint64_t)fd, DATA, 0, 0, 0), -L_EBUSY);
    ck_assert_int_eq(notes_of(socket), 0);
    ck_assert_int_eq(queue_send(fd, "x", 0), 0);
    ck_assert_int_eq(notes_of(socket), NOTE_MESSAGE);
    ck_assert_int_eq(queue_send(fd, "y", 0), 0);  // once, and only of an empty queue
    ck_assert_int_eq(notes_of(socket), 0);
    put(DATA, &event, sizeof(event));
    put(PRIORITY, cookie, sizeof(cookie));
    ck_assert_int_eq(call(SYS_MQ_NOTIFY, (uint64_t)fd, DATA, 0, 0, 0), 0);
    ck_assert_int_eq(call(SYS_MQ_NOTIFY, (uint64_t)fd, 0, 0, 0, 0), 0);
    ck_assert_int_eq(notes_of(socket), NOTE_REMOVED);
    /* Still registered when everything is closed. */
    ck_assert_int_eq(call(SYS_MQ_NOTIFY, (uint64_t)fd, DATA, 0, 0, 0), 0);
    ck_assert_int_eq(call(SYS_CLOSE, (uint64_t)fd, 0, 0, 0, 0), 0);
    ck_assert_int_eq(notes_of(socket), NOTE_REMOVED);
    unlink_name("told", 0);
    user_fixture_exit(me);
}

static void limits(void *thread)
{
    int64_t fd[3];

    begin(thread);
    me->process->limits[L_RLIMIT_MSGQUEUE].current = 2 * 4 * (64 + 64);
    fd[0] = queue_open("a", VFS_O_CREAT, 4, 64);
    fd[1] = queue_open("b", VFS_O_CREAT, 4, 64);
    ck_assert_int_ge(fd[0], 0);
    ck_assert_int_ge(fd[1], 0);
    ck_assert_int_eq(queue_open("c", VFS_O_CREAT, 1, 1), -L_EMFILE);
    unlink_name("a", 0);
    ck_assert_int_eq(queue_open("c", VFS_O_CREAT, 1, 1), -L_EMFILE);  // it is open still
    ck_assert_int_eq(call(SYS_CLOSE, (uint64_t)fd[0], 0, 0, 0, 0), 0);
    fd[2] = queue_open("c", VFS_O_CREAT, 1, 1);
    ck_assert_int_ge(fd[2], 0);
    unlink_name("b", 0);
    unlink_name("c", 0);
    user_fixture_exit(me);
}

static void (*body)(void *thread);

static void run(void *unused)
{
    user_fixture_up(unused);
    user_fixture_run(body);
}

static void test(void (*with)(void *thread))
{
    body = with;
    sim_test_begin();
    sim_test_run(run, NULL);
}

START_TEST(test_mq_send__priorities__first_out_first_in)
{
    test(order);
}
END_TEST

START_TEST(test_mq_notify__socket__told_once_or_of_the_end)
{
    test(notification);
}
END_TEST

START_TEST(test_mq_open__limit_of_the_user__kept)
{
    test(limits);
}
END_TEST

KERNEL_TEST_MAIN("mqueue", RUNS(test_mq_send__priorities__first_out_first_in),
                 RUNS(test_mq_notify__socket__told_once_or_of_the_end),
                 RUNS(test_mq_open__limit_of_the_user__kept))
