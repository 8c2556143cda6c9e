// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/types.h -- the words every file uses: integer types and a few compiler attributes.
 *
 * Freestanding in both builds, so nothing here may need a C library.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_check        __attribute__((warn_unused_result))
#define noreturn_fn       __attribute__((noreturn))
#define fall_through      __attribute__((fallthrough))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define packed_layout     __attribute__((packed))
#define aligned_to(n)     __attribute__((aligned(n)))

#define ARRAY_COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define BIT(n)            (1ULL << (n))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))

/* The object of `type` whose field `member` is at `pointer`. */
#define container_of(pointer, type, member)                                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Rounds to a multiple of `to`, a power of two. */
static inline uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) & ~(to - 1);
}

static inline uint64_t round_down(uint64_t value, uint64_t to)
{
    return value & ~(to - 1);
}
