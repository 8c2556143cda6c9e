// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_notify.c -- inotify's limits and ends: overflow, unmounting, kills, what is left over.
 *
 * What is told of what is compared with Linux by tests/user/posix/watches.c.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <string.h>

#include "fs/notify.h"
#include "tests/unit/kernel_test.h"
#include "tests/unit/user_fixture.h"

#define DATA      0x10000000ull
#define ROOM      0x20000ull
#define SYS_READ  0u
#define SYS_CLOSE 3u
#define SYS_ADD   254u
#define SYS_RM    255u
#define SYS_INIT1 294u

static struct thread *me;

static int64_t call(uint64_t number, int64_t a, int64_t b, int64_t c)
{
    const uint64_t arguments[6] = {(uint64_t)a, (uint64_t)b, (uint64_t)c};

    return user_fixture_call(me, number, arguments);
}

static int64_t watch(int64_t fd, const char *path, uint32_t mask)
{
    ck_assert_int_eq(aspace_copy_out(me->as, DATA, path, strlen(path) + 1), VMK_OK);
    return call(SYS_ADD, fd, DATA, mask);
}

static void begin(void *thread)
{
    me = thread;
    user_fixture_begin(me);
    user_fixture_map(me, DATA, ROOM, ASPACE_READ | ASPACE_WRITE);
}

/* Events as "watch:mask " in hexadecimal, one read's worth. */
static const char *told(int64_t fd)
{
    static char text[512];
    uint8_t bytes[512];
    int64_t size = call(SYS_READ, fd, DATA, sizeof(bytes));
    size_t length = 0;

    if (size < 0) {
        snprintf(text, sizeof(text), "%d", (int)size);
        return text;
    }
    ck_assert_int_eq(aspace_copy_in(me->as, bytes, DATA, (size_t)size), VMK_OK);
    for (int64_t at = 0; at < size;) {
        uint32_t head[4];

        memcpy(head, bytes + at, sizeof(head));
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%d:%x ", (int)head[0],
                                   head[1]);
        at += (int64_t)(sizeof(head) + head[3]);
    }
    return text;
}

static void make(const char *path)
{
    const struct vfs_where where = vfs_where_kernel();

    ck_assert_int_eq(vfs_mknod(&where, path, 0600, 0), VMK_OK);
}

static void overflow(void *thread)
{
    const struct vfs_where where = vfs_where_kernel();
    char path[64];
    int64_t fd, size, events = 0;
    uint32_t head[4];

    begin(thread);
    fd = call(SYS_INIT1, VFS_O_NONBLOCK, 0, 0);
    ck_assert_int_eq(vfs_mkdir(&where, "/tmp/full", 0700), VMK_OK);
    ck_assert_int_eq(watch(fd, "/tmp/full", NOTIFY_CREATE), 1);
    for (unsigned i = 0; i < 4200; i++) {
        snprintf(path, sizeof(path), "/tmp/full/%u", i);
        make(path);
        ck_assert_int_eq(vfs_unlink(&where, path), VMK_OK);
    }
    do {
        size = call(SYS_READ, fd, DATA, 32);
        events += size == 32;
    } while (size == 32);
    ck_assert_int_eq(events, 4096);
    ck_assert_int_eq(size, 16);
    ck_assert_int_eq(aspace_copy_in(me->as, head, DATA, sizeof(head)), VMK_OK);
    ck_assert_uint_eq(head[0], UINT32_MAX);
    ck_assert_uint_eq(head[1], NOTIFY_OVERFLOW);
    ck_assert_str_eq(told(fd), "-11");
    make("/tmp/full/again");
    ck_assert_str_eq(told(fd), "1:100 ");
    make("/tmp/full/left");  // in the queue when the process ends
    user_fixture_exit(me);
}

static void limits(void *thread)
{
    int64_t fd = 0;

    begin(thread);
    for (unsigned i = 0; i < 128; i++)
        fd = call(SYS_INIT1, 0, 0, 0);
    ck_assert_int_eq(fd, 127);
    ck_assert_int_eq(call(SYS_INIT1, 0, 0, 0), -L_EMFILE);
    ck_assert_int_eq(call(SYS_CLOSE, fd, 0, 0), 0);
    ck_assert_int_eq(call(SYS_INIT1, 0, 0, 0), fd);
    ck_assert_int_eq(watch(fd, "/tmp", NOTIFY_ALL), 1);
    me->process->cred.uid = 7;
    make("/tmp/secret");
    ck_assert_int_eq(watch(fd, "/tmp/secret", NOTIFY_ALL), -L_EACCES);
    user_fixture_exit(me);
}

/* A mount that only watches keep is unmounted; one that is in use is not, and loses none. */
static void unmount(void *thread)
{
    const struct vfs_where where = vfs_where_kernel();
    struct file *file;
    int64_t fd;

    begin(thread);
    fd = call(SYS_INIT1, VFS_O_NONBLOCK, 0, 0);
    ck_assert_int_eq(vfs_mkdir(&where, "/mnt", 0700), VMK_OK);
    ck_assert_int_eq(vfs_mount(&where, "tmpfs", "none", "/mnt", 0, ""), VMK_OK);
    make("/mnt/f");
    ck_assert_int_eq(watch(fd, "/mnt", NOTIFY_CREATE), 1);
    ck_assert_int_eq(watch(fd, "/mnt/f", NOTIFY_MODIFY), 2);
    ck_assert_int_eq(watch(fd, "/tmp", NOTIFY_CREATE), 3);
    ck_assert_int_eq(vfs_open(&where, "/mnt/f", 0, 0, &file), VMK_OK);
    ck_assert_int_eq(vfs_unmount(&where, "/mnt"), VMK_BUSY);
    ck_assert_str_eq(told(fd), "-11");
    file_put(file);
    ck_assert_int_eq(vfs_unmount(&where, "/mnt"), VMK_OK);
    ck_assert_str_eq(told(fd), "1:2000 1:8000 2:2000 2:8000 ");
    ck_assert_int_eq(call(SYS_RM, fd, 1, 0), -L_EINVAL);
    make("/tmp/here");
    ck_assert_str_eq(told(fd), "3:100 ");
    user_fixture_exit(me);
}

/* A reader that waits is killed. */
static void waits(void *thread)
{
    begin(thread);
    ck_assert_int_eq(call(SYS_INIT1, 0, 0, 0), 0);
    ck_assert_int_eq(watch(0, "/tmp", NOTIFY_CREATE), 1);
    (void)call(SYS_READ, 0, DATA, 100);
    user_fixture_exit(me);
}

static void (*body)(void *thread);

static void run(void *unused)
{
    user_fixture_up(unused);
    user_fixture_run(body);
    ck_assert(list_is_empty(&user_state()->inotifies));
}

static void test(void (*with)(void *thread))
{
    body = with;
    sim_test_begin();
    sim_test_run(run, NULL);
}

START_TEST(test_inotify__more_than_the_queue_holds__said_once)
{
    test(overflow);
}
END_TEST

START_TEST(test_inotify__limits_and_permissions__kept)
{
    test(limits);
}
END_TEST

START_TEST(test_inotify__unmount__told_unless_busy)
{
    test(unmount);
}
END_TEST

START_TEST(test_inotify__reader_killed__nothing_left)
{
    test(waits);
}
END_TEST

KERNEL_TEST_MAIN("notify", RUNS(test_inotify__more_than_the_queue_holds__said_once),
                 RUNS(test_inotify__limits_and_permissions__kept),
                 RUNS(test_inotify__unmount__told_unless_busy),
                 RUNS(test_inotify__reader_killed__nothing_left))
