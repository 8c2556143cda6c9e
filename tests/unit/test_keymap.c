// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_keymap.c -- keys as a keyboard tells of them, and what a program then reads.
 */
#include "lib/keymap.h"

#include <string.h>

#include "tests/unit/suite_run.h"

static struct keymap keymap;
static char typed[256];
static size_t length;

static void setup(void)
{
    keymap = (struct keymap){0};
    length = 0;
}

static void code(uint8_t c)
{
    length += keymap_code(&keymap, c, typed + length);
}

static void key(uint8_t c)
{
    code(c);
    code(c | 0x80);
}

static void extended(uint8_t c)
{
    code(0xe0);
    code(c);
    code(0xe0);
    code(c | 0x80);
}

static void gives(const char *text, size_t size)
{
    ck_assert_uint_eq(length, size);
    ck_assert_mem_eq(typed, text, size);
    length = 0;
}

START_TEST(test_keymap__letters__shift_and_caps)
{
    key(0x1e);  // a
    code(0x2a);
    key(0x1e);
    key(0x02);  // 1
    key(0x35);  // /
    code(0xaa);
    key(0x3a);  // Caps Lock
    key(0x1e);
    key(0x02);
    code(0x36);
    key(0x1e);
    code(0xb6);
    key(0x3a);
    key(0x2c);
    key(0x39);
    key(0x1c);
    key(0x0e);
    key(0x0f);
    key(0x01);
    key(0x2b);
    gives("aA!?A1az \r\177\t\033\\", 14);
}
END_TEST

START_TEST(test_keymap__control_and_alt__as_a_terminal)
{
    code(0x1d);
    key(0x2e);  // c
    key(0x2c);  // z
    key(0x1b);  // ]
    key(0x39);
    code(0x9d);
    code(0xe0);
    code(0x1d);
    key(0x20);  // d, with the right one
    code(0xe0);
    code(0x9d);
    code(0x38);
    key(0x30);  // b
    code(0xb8);
    key(0x30);
    gives("\003\032\035\0\004\033bb", 8);
}
END_TEST

START_TEST(test_keymap__other_keys__send_sequences)
{
    extended(0x48);
    extended(0x4b);
    extended(0x53);
    key(0x3b);
    key(0x58);
    extended(0x1c);
    gives("\033[A\033[D\033[3~\033OP\033[24~\r", 19);
    key(0x48);  // the keypad
    extended(0x5b);
    gives("8", 1);
}
END_TEST

/* Cursor keys of old keyboards are framed by shifts that nobody pressed; Pause is six codes. */
START_TEST(test_keymap__framed_keys_and_pause__leave_no_trace)
{
    static const uint8_t codes[] = {0xe0, 0x2a, 0xe0, 0x48, 0xe0, 0xc8, 0xe0, 0xaa,
                                    0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5, 0x1e, 0x9e};

    for (size_t i = 0; i < sizeof(codes); i++)
        code(codes[i]);
    gives("\033[Aa", 4);
}
END_TEST

START_TEST(test_keymap__any_code__fits)
{
    for (unsigned i = 0; i < 65536; i++) {
        char out[KEYMAP_TEXT + 1] = {0};

        ck_assert_uint_le(keymap_code(&keymap, (uint8_t)(i * 40503u >> 7), out), KEYMAP_TEXT);
        ck_assert_int_eq(out[KEYMAP_TEXT], 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keymap");
    TCase *tc = tcase_create("keymap");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, test_keymap__letters__shift_and_caps);
    tcase_add_test(tc, test_keymap__control_and_alt__as_a_terminal);
    tcase_add_test(tc, test_keymap__other_keys__send_sequences);
    tcase_add_test(tc, test_keymap__framed_keys_and_pause__leave_no_trace);
    tcase_add_test(tc, test_keymap__any_code__fits);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
