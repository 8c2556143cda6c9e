// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_utf16.c -- names between UTF-8 and UTF-16: every code point, every malformed one.
 *
 * Invariants
 *   - Buffers are exactly as long as they may be, so that the sanitizer sees a byte too many.
 * Locking    none.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/endian.h"
#include "lib/utf16.h"
#include "tests/unit/suite_run.h"

START_TEST(test_utf16__every_code_point__there_and_back)
{
    for (uint32_t code = 1; code <= 0x10ffff; code++) {
        unsigned units = code >= 0x10000 ? 2 : 1;
        uint8_t wide[4], again[4];
        char text[5];
        size_t length, taken;

        if (code >= 0xd800 && code < 0xe000)
            continue;  // surrogates: no code points
        if (units == 1) {
            put_le16(wide, (uint16_t)code);
        } else {
            put_le16(wide, (uint16_t)(0xd7c0 + (code >> 10)));
            put_le16(wide + 2, (uint16_t)(0xdc00 + (code & 0x3ff)));
        }
        length = utf8_from_utf16(wide, units, text, sizeof(text));
        ck_assert_uint_eq(length, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        ck_assert_uint_eq(utf8_next(text, length, &taken), code);
        ck_assert_uint_eq(taken, length);
        ck_assert_uint_eq(utf16_from_utf8(text, length, again, 2), units);
        ck_assert_mem_eq(again, wide, 2 * units);
    }
}
END_TEST

START_TEST(test_utf8_next__malformed__bad_and_one_byte)
{
    static const char *const bad[] = {
        "\x80",  // a byte that only follows
        "\xbf",
        "\xc0\x80",  // not the shortest form
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80",  // a surrogate
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80",  // past U+10FFFF
        "\xf8\x88\x80\x80",
        "\xff",
        "\xc3",  // cut short
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xc3\x28",  // the next one does not follow
        "\xe2\x28\xa1",
        "\xf0\x9f\x28\x80",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        size_t length = strlen(bad[i]), taken = 0;
        char *exact = memcpy(malloc(length), bad[i], length);
        uint8_t out[8];

        ck_assert_uint_eq(utf8_next(exact, length, &taken), UTF8_BAD);
        ck_assert_uint_eq(taken, 1);
        ck_assert_uint_eq(utf16_from_utf8(exact, length, out, 4), SIZE_MAX);
        free(exact);
    }
}
END_TEST

START_TEST(test_utf16_from_utf8__no_room__told_and_nothing_behind)
{
    static const char text[] = "ab\xf0\x9f\x98\x80";  // two units and a pair

    for (size_t room = 0; room < 4; room++) {
        uint8_t *exact = malloc(2 * room + !room);

        ck_assert_uint_eq(utf16_from_utf8(text, strlen(text), exact, room), SIZE_MAX);
        free(exact);
    }
    ck_assert_uint_eq(utf16_from_utf8("", 0, NULL, 0), 0);
}
END_TEST

START_TEST(test_utf8_from_utf16__lone_surrogates__replaced)
{
    static const uint8_t high_then_a[] = {0x3d, 0xd8, 'a', 0}, low[] = {0x00, 0xde},
                         high_at_end[] = {0x3d, 0xd8}, twice[] = {0x3d, 0xd8, 0x3d, 0xd8};
    char text[16];

    ck_assert_uint_eq(utf8_from_utf16(high_then_a, 2, text, sizeof(text)), 4);
    ck_assert_str_eq(text, "\xef\xbf\xbd"
                           "a");
    ck_assert_uint_eq(utf8_from_utf16(low, 1, text, sizeof(text)), 3);
    ck_assert_str_eq(text, "\xef\xbf\xbd");
    ck_assert_uint_eq(utf8_from_utf16(high_at_end, 1, text, sizeof(text)), 3);
    ck_assert_uint_eq(utf8_from_utf16(twice, 2, text, sizeof(text)), 6);
}
END_TEST

START_TEST(test_utf8_from_utf16__no_room__told_and_nothing_behind)
{
    static const uint8_t units[] = {'a', 0, 0xe9, 0, 0xac, 0x20, 0x3d, 0xd8, 0x00, 0xde};
    const size_t whole = 1 + 2 + 3 + 4 + 1;

    for (size_t size = 0; size < whole; size++) {
        char *exact = malloc(size + !size);

        ck_assert_uint_eq(utf8_from_utf16(units, 5, exact, size), SIZE_MAX);
        free(exact);
    }

    char text[16];

    ck_assert_uint_eq(utf8_from_utf16(units, 5, text, whole), whole - 1);
    ck_assert_str_eq(text, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf16");
    TCase *all = tcase_create("utf16");

    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_utf16__every_code_point__there_and_back);
    tcase_add_test(all, test_utf8_next__malformed__bad_and_one_byte);
    tcase_add_test(all, test_utf16_from_utf8__no_room__told_and_nothing_behind);
    tcase_add_test(all, test_utf8_from_utf16__lone_surrogates__replaced);
    tcase_add_test(all, test_utf8_from_utf16__no_room__told_and_nothing_behind);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
