// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_format.c -- formatting and number parsing.
 *
 * The C library is the oracle: every conversion is compared with snprintf().
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "lib/format.h"
#include "tests/unit/kernel_test.h"

static int format_kernel(char *out, size_t size, const char *format, va_list a)
{
    return vmk_vsnprintf(out, size, format, a);
}

__attribute__((format(printf, 1, 2))) static void same(const char *format, ...)
{
    for (size_t size = 0; size < 64; size += 7) {
        char ours[64], theirs[64];
        va_list a, b;

        memset(ours, '~', sizeof(ours));
        memset(theirs, '~', sizeof(theirs));
        va_start(a, format);
        va_copy(b, a);
        int our_length = format_kernel(ours, size, format, a);
        int their_length = vsnprintf(theirs, size, format, b);
        va_end(a);
        va_end(b);
        ck_assert_int_eq(our_length, their_length);
        if (size)
            ck_assert_str_eq(ours, theirs);
        ck_assert_int_eq(ours[size], '~');
    }
}

START_TEST(test_format__numbers__as_the_c_library)
{
    const long long values[] = {0,
                                1,
                                -1,
                                9,
                                10,
                                255,
                                -128,
                                65535,
                                2147483647,
                                -2147483648ll,
                                0x123456789abcdefll,
                                INT64_MAX,
                                INT64_MIN};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        long long v = values[i];

        same("%lld|%llu|%llx", v, (unsigned long long)v, (unsigned long long)v);
        same("%d|%u|%X", (int)v, (unsigned)v, (unsigned)v);
        same("%hd|%hhd|%hu|%hhu", (short)v, (signed char)v, (unsigned short)v,
             (unsigned char)v);
        same("%8d|%-8d|%08d|%+d", (int)v, (int)v, (int)v, (int)v);
        same("%#x|%#10x|%-#10x|%#010x", (unsigned)v, (unsigned)v, (unsigned)v, (unsigned)v);
        same("%.5d|%10.5d|%-10.5d|%zu|%ld", (int)v, (int)v, (int)v, (size_t)v, (long)v);
        same("%*d|%-*d|%.*d", 7, (int)v, 7, (int)v, 3, (int)v);
    }
}
END_TEST

START_TEST(test_format__strings__as_the_c_library)
{
    same("%s|%10s|%-10s|%.2s|%.*s", "abc", "abc", "abc", "abc", 1, "abc");
    same("%c%c|%5c|%%", 'x', 'y', 'z');
    same("%p", (void *)0x1234);
    same("plain");
}
END_TEST

START_TEST(test_parse__digits__value_and_end)
{
    const char *end;
    uint64_t v;

    ck_assert(parse_u64("0", &end, &v) && v == 0 && !*end);
    ck_assert(parse_u64("18446744073709551615x", &end, &v) && v == UINT64_MAX && *end == 'x');
    ck_assert(parse_u64("0xfFfFfFfFfFfFfFfF", &end, &v) && v == UINT64_MAX);
    ck_assert(parse_u64("0x", &end, &v) && v == 0 && *end == 'x');
    ck_assert(parse_u64("12 34", NULL, &v) && v == 12);
}
END_TEST

START_TEST(test_parse__bad__refused)
{
    uint64_t v = 5;

    ck_assert(!parse_u64("", NULL, &v));
    ck_assert(!parse_u64("x1", NULL, &v));
    ck_assert(!parse_u64("-1", NULL, &v));
    ck_assert(!parse_u64("18446744073709551616", NULL, &v));
    ck_assert(!parse_u64("0x10000000000000000", NULL, &v));
    ck_assert(v == 5);
}
END_TEST

KERNEL_TEST_MAIN("format", RUNS(test_format__numbers__as_the_c_library),
                 RUNS(test_format__strings__as_the_c_library),
                 RUNS(test_parse__digits__value_and_end), RUNS(test_parse__bad__refused))
