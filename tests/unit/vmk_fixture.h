// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/vmk_fixture.h -- a program that has opened /dev/vmk, and its requests.
 *
 * They go through the system call, so that sizes, numbers and copies are the real ones. `me` is
 * the program's thread, `device` its descriptor; DATA, OUT and READ_ONLY are its memory. A test
 * sets `body` and runs vmk_one(), which also finds out that nothing was left behind.
 */
#pragma once

#include <string.h>

#include "tests/unit/kernel_test.h"
#include "tests/unit/user_fixture.h"
#include "user/abi/vmk.h"

#define DATA       0x10000000ull
#define OUT        0x20000000ull
#define READ_ONLY  0x30000000ull
#define SIZE       0x40000ull

#define SYS_OPEN   2u
#define SYS_CLOSE  3u
#define SYS_IOCTL  16u
#define SYS_PREAD  17u
#define SYS_PWRITE 18u
#define SYS_FCNTL  72u

static struct thread *me;
static int64_t device;
static void (*body)(void);

static int64_t call3(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t arguments[6] = {a, b, c, 0, 0, 0};

    return user_fixture_call(me, number, arguments);
}

/* The structure goes into the program's memory, the request is made, and it comes back. */
static int64_t request_raw(int64_t fd, uint32_t number, void *data, size_t size)
{
    int64_t result;

    ck_assert_int_eq(aspace_copy_out(me->as, DATA, data, size), VMK_OK);
    result = call3(SYS_IOCTL, (uint64_t)fd, number, DATA);
    ck_assert_int_eq(aspace_copy_in(me->as, data, DATA, size), VMK_OK);
    return result;
}

static int64_t request(int64_t fd, uint32_t number, void *data, size_t size)
{
    const struct vmk_head head = {(uint32_t)size, VMK_ABI_VERSION};

    memcpy(data, &head, sizeof(head));
    return request_raw(fd, number, data, size);
}

/* The list's entries are at OUT. */
static struct vmk_list list_of(uint32_t kind, uint32_t entry_size, uint32_t room)
{
    struct vmk_list list = {
        .kind = kind, .entry_size = entry_size, .room = room, .buffer = OUT};

    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), 0);
    return list;
}

static void become(uint32_t uid)
{
    struct process *p = me->process;

    p->uid = p->euid = p->suid = uid;
    p->cred.uid = uid;
}

static void vmk_run_body(void *thread)
{
    static const char path[] = VMK_DEVICE;

    me = thread;
    user_fixture_begin(me);
    user_fixture_map(me, DATA, SIZE, ASPACE_READ | ASPACE_WRITE);
    user_fixture_map(me, OUT, SIZE, ASPACE_READ | ASPACE_WRITE);
    user_fixture_map(me, READ_ONLY, SIZE, ASPACE_READ);
    ck_assert_int_eq(aspace_copy_out(me->as, DATA, path, sizeof(path)), VMK_OK);
    device = call3(SYS_OPEN, DATA, VFS_O_RDWR, 0);
    ck_assert_int_ge(device, 0);
    body();
    user_fixture_exit(me);
}

/* For sim_test_run(), behind user_fixture_up(). */
static void vmk_one(void *unused)
{
    (void)unused;
    user_fixture_run(vmk_run_body);
}
