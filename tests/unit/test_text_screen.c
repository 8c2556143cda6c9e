// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_text_screen.c -- what a program writes against what its terminal shows.
 */
#include "lib/text_screen.h"

#include <string.h>

#include "lib/rng.h"
#include "tests/unit/suite_run.h"

static struct text_screen screen;
static uint16_t drawn[TEXT_SCREEN_ROWS][TEXT_SCREEN_COLUMNS];

static void draw(const struct text_screen *s, unsigned row, unsigned column)
{
    if (row >= s->rows || column >= s->columns)  // too many for an assertion each
        ck_abort_msg("row %u, column %u", row, column);
    drawn[row][column] = s->cells[row][column];
}

static void setup(void)
{
    text_screen_init(&screen, 5, 10, TEXT_SCREEN_NORMAL, draw);
}

static void put(const char *text)
{
    while (*text)
        text_screen_put(&screen, (uint8_t)*text++);
}

static void shows(unsigned row, const char *text)
{
    char line[TEXT_SCREEN_COLUMNS + 1];

    for (unsigned i = 0; i < screen.columns; i++) {
        line[i] = (char)screen.cells[row][i];
        ck_assert_uint_eq(drawn[row][i], screen.cells[row][i]);
    }
    line[screen.columns] = 0;
    while (*line && line[strlen(line) - 1] == ' ')
        line[strlen(line) - 1] = 0;
    ck_assert_str_eq(line, text);
}

static void cursor_at(unsigned row, unsigned column)
{
    ck_assert_uint_eq(screen.row, row);
    ck_assert_uint_eq(screen.column, column);
}

START_TEST(test_text_screen__lines__wrap_and_scroll)
{
    put("one\ntwo\rTWO\n0123456789ab\tX\b\bY");
    shows(0, "one");
    shows(1, "TWO");
    shows(2, "0123456789");
    shows(3, "ab     YX");
    put("\n4\n5\n6");
    shows(0, "0123456789");
    shows(4, "6");
    cursor_at(4, 1);
}
END_TEST

START_TEST(test_text_screen__last_column__waits_for_the_next_character)
{
    put("0123456789");
    cursor_at(0, 10);
    put("\r*");
    shows(0, "*123456789");
    put("\033[1;10HZ\033[D");
    cursor_at(0, 9);
}
END_TEST

START_TEST(test_text_screen__cursor__moves_and_stays_inside)
{
    put("\033[3;4Ha\033[2A\033[5Cb\033[Bc\033[99;99Hd\033[Ge\033[2d\033[4`f\033[H\033[99A\033["
        "99D");
    shows(2, "   a");
    shows(0, "         b");
    shows(4, "e        d");
    shows(1, "   f     c");
    cursor_at(0, 0);
    put("\0337\033[3;3H\033[31m\0338x\033[s\033[5;5H\033[uy");
    shows(0, "xy       b");
    ck_assert_uint_eq(screen.cells[0][0] >> 8, TEXT_SCREEN_NORMAL);
}
END_TEST

START_TEST(test_text_screen__erase__line_and_display)
{
    put("aaaaaaaaaa\033[2;1Hbbbbbbbbbb\033[3;1Hcccccccccc\033[2;4H\033[K");
    shows(1, "bbb");
    put("\033[1;3H\033[1K");
    shows(0, "   aaaaaaa");
    put("\033[2;2H\033[J");
    shows(1, "b");
    shows(2, "");
    put("\033[3;1Hccc\033[2;1H\033[1J");
    shows(0, "");
    shows(1, "");
    shows(2, "ccc");
    put("\033[2J");
    shows(2, "");
    put("\033[Habcdef\033[1;2H\033[3X");
    shows(0, "a   ef");
}
END_TEST

START_TEST(test_text_screen__insert_delete__in_line_and_in_region)
{
    put("0123456789\033[1;3H\033[2@");
    shows(0, "01  234567");
    put("\033[3P");
    shows(0, "0134567");
    put("\033[H1\n2\n3\n4\n5\033[2;4r\033[2;1H\033[L");
    shows(1, "");
    shows(2, "2");
    shows(3, "3");
    shows(4, "5");
    put("\033[2M");
    shows(1, "3");
    shows(2, "");
    shows(4, "5");
    put("\033[4;1Hx\ny");
    shows(0, "1134567");
    shows(4, "5");
    put("\033[2;1H\033M");
    shows(1, "");
    put("\033[S\033[T\033[1;1H\033[L");  // outside the region nothing is inserted
    shows(4, "5");
}
END_TEST

START_TEST(test_text_screen__colours__are_vga_attributes)
{
    put("\033[1;31;44ma\033[7mb\033[0mc\033[38;5;1md\033[39;49me");
    ck_assert_uint_eq(screen.cells[0][0] >> 8, 0x1c);
    ck_assert_uint_eq(screen.cells[0][1] >> 8, 0x49);
    ck_assert_uint_eq(screen.cells[0][2] >> 8, 0x07);
    ck_assert_uint_eq(screen.cells[0][3] >> 8, 0x07);
    ck_assert_uint_eq(screen.cells[0][4] >> 8, 0x07);
}
END_TEST

START_TEST(test_text_screen__unknown__is_swallowed)
{
    put("a\033[?1049h\033[?25l\033(B\033[>c\033]b\xc3\xa9"
        "c\xe2\x94\x80"
        "d\033[12\030e\007");
    ck_assert(screen.cursor_hidden);
    shows(0, "ab?c?de");
    put("\033[?25h\033c");
    ck_assert(!screen.cursor_hidden);
    shows(0, "");
}
END_TEST

/* Whatever comes in stays inside; draw() looks at that, and so does ASan. */
START_TEST(test_text_screen__random_bytes__stay_inside)
{
    static const char often[] = "\033[[;;0123456789?HJKLMPX@mrABCDSTfsu\n\r\b\t";
    struct rng rng;

    rng_init(&rng, 1, "screen", 0);
    for (unsigned size = 1; size < 40; size++) {
        text_screen_init(&screen, size, 41 - size, TEXT_SCREEN_NORMAL, draw);
        for (unsigned i = 0; i < 2000; i++) {
            const uint64_t r = rng_next(&rng);

            text_screen_put(&screen, r & 3 ? (uint8_t)often[(r >> 8) % (sizeof(often) - 1)]
                                           : (uint8_t)(r >> 8));
            ck_assert_uint_lt(screen.row, screen.rows);
            ck_assert_uint_le(screen.column, screen.columns);
            ck_assert_uint_lt(screen.bottom, screen.rows);
            ck_assert_uint_le(screen.top, screen.bottom);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text_screen");
    TCase *tc = tcase_create("text_screen");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, test_text_screen__lines__wrap_and_scroll);
    tcase_add_test(tc, test_text_screen__last_column__waits_for_the_next_character);
    tcase_add_test(tc, test_text_screen__cursor__moves_and_stays_inside);
    tcase_add_test(tc, test_text_screen__erase__line_and_display);
    tcase_add_test(tc, test_text_screen__insert_delete__in_line_and_in_region);
    tcase_add_test(tc, test_text_screen__colours__are_vga_attributes);
    tcase_add_test(tc, test_text_screen__unknown__is_swallowed);
    tcase_add_test(tc, test_text_screen__random_bytes__stay_inside);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
