// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/assert.h -- what to do when the kernel itself is wrong.
 *
 * vmk_assert() is on in every build. Never assert on what a guest, a disk or the network can
 * influence: that is input.
 */
#pragma once

#include "lib/types.h"

/* Stops the host with a panic screen. Any context. */
noreturn_fn void vmk_panic_at(const char *file, int line, const char *format, ...)
    printf_like(3, 4);

#define vmk_panic(...) vmk_panic_at(__FILE__, __LINE__, __VA_ARGS__)

#define vmk_assert(condition)                                                                  \
    do {                                                                                       \
        if (__builtin_expect(!(condition), 0))                                                 \
            vmk_panic_at(__FILE__, __LINE__, "assertion failed: %s", #condition);              \
    } while (0)

#define vmk_assert_msg(condition, format, ...)                                                 \
    do {                                                                                       \
        if (__builtin_expect(!(condition), 0))                                                 \
            vmk_panic_at(__FILE__, __LINE__, "assertion failed: %s: " format, #condition,      \
                         ##__VA_ARGS__);                                                       \
    } while (0)

#ifdef ORRERY_METAL
#define vmk_assert_slow(condition) ((void)sizeof(!(condition)))
#else
#define vmk_assert_slow(condition) vmk_assert(condition)
#endif

#define vmk_unreachable() vmk_panic_at(__FILE__, __LINE__, "unreachable")
