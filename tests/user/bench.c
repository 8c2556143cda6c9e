// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/bench.c -- a program for measuring what runs programs: `bench cpu|null COUNT`.
 *
 * A static Linux program without a C library, so that the engine, user worlds and qemu-x86_64
 * execute the same bytes. `cpu` does what programs do: sorts, branches on data, follows
 * pointers; `null` only calls the system. The exit status is 0, or 1 if a result is wrong.
 *
 * Invariants
 *   - The instructions executed depend on the arguments only.
 * Locking    none.
 */
#include <stdint.h>

#define SYS_GETPPID 110
#define SYS_EXIT    60
#define WORDS       2048u

void bench_main(const uint64_t *stack);

static long call(long number, long argument)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(argument)
                     : "rcx", "r11", "memory");
    return result;
}

static uint32_t words[WORDS];

static void fill(uint32_t seed)
{
    for (unsigned i = 0; i < WORDS; i++) {
        seed = seed * 1664525 + 1013904223;
        words[i] = seed;
    }
}

static void sift(unsigned at, unsigned end)
{
    for (unsigned child; (child = 2 * at + 1) < end; at = child) {
        uint32_t word = words[at];

        if (child + 1 < end && words[child + 1] > words[child])
            child++;
        if (words[child] <= word)
            return;
        words[at] = words[child];
        words[child] = word;
    }
}

/* Heap sort. */
static void sort(void)
{
    for (unsigned i = WORDS / 2; i-- > 0;)
        sift(i, WORDS);
    for (unsigned end = WORDS - 1; end > 0; end--) {
        uint32_t word = words[0];

        words[0] = words[end];
        words[end] = word;
        sift(0, end);
    }
}

static int check(void)
{
    for (unsigned i = 1; i < WORDS; i++) {
        if (words[i - 1] > words[i])
            return 1;
    }
    return 0;
}

static int run(const char *what, long count)
{
    int wrong = 0;

    for (long i = 0; i < count; i++) {
        if (what[0] == 'n') {
            wrong |= call(SYS_GETPPID, 0) < 0;
        } else {
            fill((uint32_t)i);
            sort();
            wrong |= check();
        }
    }
    return wrong;
}

void bench_main(const uint64_t *stack)
{
    int wrong = 1;

    if (stack[0] == 3) {
        long count = 0;

        for (const char *digit = (const char *)stack[3]; *digit; digit++)
            count = count * 10 + *digit - '0';
        wrong = run((const char *)stack[2], count);
    }
    call(SYS_EXIT, wrong);
    __builtin_unreachable();
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call "
        "bench_main");
