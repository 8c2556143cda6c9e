// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_proc.c -- any bytes written to a file below /proc/vmware: an error or a change.
 *
 * The input is a list of writes by root: which file, how many bytes, the bytes; the file is
 * read back after each. What must hold: no crash, and nothing that the kernel asserts
 * afterwards.
 */
#include <string.h>

#include "tests/unit/user_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATA      0x10000000ull
#define OUT       0x20000000ull
#define SIZE      0x10000ull
#define SYS_READ  0u
#define SYS_WRITE 1u
#define SYS_OPEN  2u
#define SYS_CLOSE 3u

static const uint8_t *input;
static size_t left;

static uint8_t take(void)
{
    left -= left != 0;
    return left ? *input++ : 0;
}

static const char *const files[] = {
    "/proc/vmware/sched/policy",           "/proc/vmware/sched/worlds",
    "/proc/vmware/trace/classes",          "/proc/vmware/config/sched/quantum",
    "/proc/vmware/config/sched/bound-lag", "/proc/vmware/config/sched/rebalance"};

/* What inputs are made of, beside plain bytes. */
static const char *const words[] = {"share",      "credit2",    "rr",
                                    "edf",        "all",        "none",
                                    "sched",      "vm",         ",",
                                    " ",          "\n",         " shares ",
                                    " min ",      " max ",      " pool ",
                                    " affinity ", "0",          "1",
                                    "2",          "1024",       "1025",
                                    "-1",         "0x",         "ffffffffffffffff",
                                    "4294967295", "4294967296", "18446744073709551616"};

static int64_t call3(struct thread *t, uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t arguments[6] = {a, b, c, 0, 0, 0};

    return user_fixture_call(t, number, arguments);
}

static void write_one(struct thread *t)
{
    const char *path = files[take() % ARRAY_COUNT(files)];
    size_t length = 0, pieces = take() % 16;
    char text[512];
    int64_t fd;

    for (; pieces; pieces--) {
        uint8_t which = take();

        if (which < ARRAY_COUNT(words))
            length +=
                (size_t)snprintf(text + length, sizeof(text) - length, "%s", words[which]);
        else if (which < 250)
            text[length++] = (char)which;
        else
            text[length++] = (char)take();
    }
    (void)!aspace_copy_out(t->as, DATA, path, strlen(path) + 1);
    fd = call3(t, SYS_OPEN, DATA, VFS_O_RDWR, 0);
    if (fd < 0)
        return;
    (void)!aspace_copy_out(t->as, DATA, text, length);
    (void)call3(t, SYS_WRITE, (uint64_t)fd, DATA, length);
    (void)call3(t, SYS_READ, (uint64_t)fd, OUT, SIZE);
    (void)call3(t, SYS_CLOSE, (uint64_t)fd, 0, 0);
}

static void writes(void *thread)
{
    struct thread *t = thread;

    user_fixture_begin(t);
    user_fixture_map(t, DATA, SIZE, ASPACE_READ | ASPACE_WRITE);
    user_fixture_map(t, OUT, SIZE, ASPACE_READ | ASPACE_WRITE);
    while (left)
        write_one(t);
    user_fixture_exit(t);
}

static void one(void *unused)
{
    (void)unused;
    user_fixture_run(writes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    user_fixture_fuzz(one);
    return 0;
}
