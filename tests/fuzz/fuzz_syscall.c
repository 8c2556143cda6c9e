// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_syscall.c -- random system calls with random arguments of a process that is real but
 * for its ring 3: nothing may crash, hang, or stay behind.
 *
 * An input is a list of calls. Each argument is chosen from what hurts: descriptors, small
 * numbers, addresses of memory that is mapped, read-only, absent or the kernel's, and plain
 * random words. Between the calls the same is put into memory, so that structures (iovec,
 * clone_args, timex, msghdr, mq_attr ...) have pointers, sizes and flags of that kind. A call
 * that blocks for ever ends by SIGKILL after a second of virtual time.
 *
 * Invariants
 *   - When the process is gone, user memory is what it was before, but for cached copy buffers.
 * Locking    none: one input at a time.
 */
#include <string.h>

#include "tests/unit/user_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RW_BASE    0x10000000ull
#define RO_BASE    0x20000000ull
#define MAP_SIZE   0x10000ull
#define CALLS_MAX  24u
#define SYS_REBOOT 169u

struct input {
    const uint8_t *data;
    size_t size, at;
};

static uint64_t take(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (in->at < in->size ? in->data[in->at++] : 0u);
    return value;
}

static uint64_t argument(struct input *in)
{
    static const uint64_t edges[] = {0,         1,          2,          8,
                                     4095,      4096,       INT32_MAX,  UINT32_MAX,
                                     INT64_MAX, UINT64_MAX, 1ull << 47, ASPACE_END};
    uint64_t kind = take(in, 1);

    switch (kind % 10) {
    case 0: return take(in, 1) % 12;                  // a descriptor
    case 1: return take(in, 2);                       // flags, sizes
    case 2: return RW_BASE + take(in, 2) % MAP_SIZE;  // memory
    case 3: return RW_BASE + (take(in, 1) << 8);      // aligned
    case 4: return RO_BASE + take(in, 2) % MAP_SIZE;
    case 5: return edges[take(in, 1) % ARRAY_COUNT(edges)];
    case 6: return RW_BASE + MAP_SIZE - take(in, 1);  // across the end
    case 7: return take(in, 8);
    case 8: return (uint64_t)(int64_t)(int8_t)take(in, 1);
    default: return RW_BASE + 0x100 * (take(in, 1) % 16);  // where paths are
    }
}

/* Up to sixteen words of a structure; most go where argument() also points often. */
static void poke(struct thread *t, struct input *in)
{
    uint64_t at = RW_BASE + (take(in, 1) << 8), words[16];
    unsigned count = 1 + (unsigned)take(in, 1) % ARRAY_COUNT(words);

    for (unsigned i = 0; i < count; i++) {
        words[i] = argument(in);
        if (take(in, 1) & 1)  // two halves: int fields
            words[i] = words[i] << 32 | (uint32_t)argument(in);
    }
    (void)!aspace_copy_out(t->as, at, words, count * sizeof(words[0]));
}

/* Those whose arguments are structures of several fields are chosen as often as all others. */
static uint64_t number_take(struct input *in)
{
    // writev, sendmsg, recvmsg, clone, execve, adjtimex, timer_create, timer_settime; the six
    // of message queues; waitid, pselect6, ppoll, splice, tee, clock_adjtime, execveat,
    // copy_file_range, statx, clone3, close_range, epoll_pwait2.
    static const uint16_t rich[] = {20,  46,  47,  56,  59,  159, 222, 223, 240,
                                    241, 242, 243, 244, 245, 247, 270, 271, 275,
                                    276, 305, 322, 326, 332, 435, 436, 441};
    uint64_t choice = take(in, 2);

    return choice & 1 ? rich[(choice >> 1) % ARRAY_COUNT(rich)] : (choice >> 1) % 470;
}

static struct input input;

/* In place of thread_main(): the calls come from the input, not from ring 3. */
static void calls(void *argument_thread)
{
    static const char paths[][32] = {
        "/tmp",      "/tmp/a",   "/tmp/a/b",  "/dev/null", "/dev/zero", "/proc/self/status",
        "..",        "/dev/tty", "/dev/ptmx", "/tmp/l",    "",          "/proc/1/fd",
        "/dev/full", "a",        "/",         "/tmp/f"};
    struct thread *t = argument_thread;

    user_fixture_begin(t);
    user_fixture_map(t, RW_BASE, MAP_SIZE, ASPACE_READ | ASPACE_WRITE);
    user_fixture_map(t, RO_BASE, MAP_SIZE, ASPACE_READ);
    for (unsigned i = 0; i < ARRAY_COUNT(paths); i++)
        (void)!aspace_copy_out(t->as, RW_BASE + i * 0x100, paths[i], sizeof(paths[i]));
    for (unsigned i = 0; i < CALLS_MAX && input.at < input.size; i++) {
        uint64_t arguments[6];
        uint64_t number = number_take(&input);

        if (number == SYS_REBOOT)
            continue;
        if (take(&input, 1) & 1)
            poke(t, &input);
        for (unsigned a = 0; a < 6; a++)
            arguments[a] = argument(&input);
        (void)user_fixture_call(t, number, arguments);
    }
    user_fixture_exit(t);
}

static void one(void *unused)
{
    (void)unused;
    user_fixture_run(calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (struct input){data, size, 0};
    user_fixture_fuzz(one);
    return 0;
}
