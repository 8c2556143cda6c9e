// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_string.c -- the image's own memory and string functions, beside the C library's.
 *
 * Hosted builds leave lib/string.c out, so it is included here under other names. Random and
 * overlapping ranges; bytes around a target have to stay as they were.
 *
 * Invariants
 *   - The C library is the oracle; of comparisons only the sign counts.
 * Locking    none.
 */
#define ORRERY_METAL
#define memcpy  kernel_memcpy
#define memmove kernel_memmove
#define memset  kernel_memset
#define memcmp  kernel_memcmp
#define strlen  kernel_strlen
#define strcmp  kernel_strcmp
#define strncmp kernel_strncmp
#define strchr  kernel_strchr
#define strstr  kernel_strstr
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strstr
#undef ORRERY_METAL

#include <check.h>
#include <string.h>

#include "lib/rng.h"
#include "tests/unit/suite_run.h"

#define ROOM 200u

static uint8_t ours[ROOM], theirs[ROOM];

static void fill(struct rng *rng)
{
    for (unsigned i = 0; i < ROOM; i++)
        ours[i] = theirs[i] = (uint8_t)rng_next(rng);
}

START_TEST(test_string__copies_and_fills__as_the_c_library)
{
    struct rng rng;

    rng_init(&rng, 1, "string", 0);
    for (unsigned i = 0; i < 20000; i++) {
        size_t size = rng_below(&rng, 80), from = rng_below(&rng, 100),
               to = rng_below(&rng, 100);
        int byte = (int)rng_below(&rng, 1024);  // only its low eight bits count
        void *answer;

        fill(&rng);
        answer = kernel_memmove(ours + to, ours + from, size);
        ck_assert_ptr_eq(answer, ours + to);
        memmove(theirs + to, theirs + from, size);
        ck_assert_mem_eq(ours, theirs, ROOM);
        answer = kernel_memset(ours + to, byte, size);
        ck_assert_ptr_eq(answer, ours + to);
        memset(theirs + to, byte, size);
        ck_assert_mem_eq(ours, theirs, ROOM);
        if (from + size <= to || to + size <= from) {
            answer = kernel_memcpy(ours + to, ours + from, size);
            ck_assert_ptr_eq(answer, ours + to);
            memcpy(theirs + to, theirs + from, size);
            ck_assert_mem_eq(ours, theirs, ROOM);
        }
    }
}
END_TEST

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

START_TEST(test_string__comparisons__as_the_c_library)
{
    static const char *const texts[] = {"",      "a",     "ab",    "abc", "abd",  "b",
                                        "a\xff", "a\x7f", "a\x80", "aab", "aaab", "ABC"};

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        const char *a = texts[i];

        ck_assert_uint_eq(kernel_strlen(a), strlen(a));
        for (size_t j = 0; j < ARRAY_COUNT(texts); j++) {
            const char *b = texts[j];
            size_t both = MIN(strlen(a), strlen(b)) + 1;

            ck_assert_int_eq(sign(kernel_strcmp(a, b)), sign(strcmp(a, b)));
            ck_assert_int_eq(sign(kernel_memcmp(a, b, both)), sign(memcmp(a, b, both)));
            for (size_t size = 0; size < 6; size++)
                ck_assert_int_eq(sign(kernel_strncmp(a, b, size)), sign(strncmp(a, b, size)));
        }
    }
}
END_TEST

START_TEST(test_string__searches__as_the_c_library)
{
    static const char text[] = "aaab, then aab and \xff";
    static const char *const wanted[] = {"",     "a", "aab",  "aaab",  "then",
                                         "\xff", "z", "aaaa", "b and", "and \xff!"};

    for (int c = 0; c < 256; c++)
        ck_assert_ptr_eq(kernel_strchr(text, c), strchr(text, c));
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++)
        ck_assert_ptr_eq(kernel_strstr(text, wanted[i]), strstr(text, wanted[i]));
    ck_assert_ptr_null(kernel_strstr("", "a"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("string");
    TCase *all = tcase_create("string");

    tcase_add_test(all, test_string__copies_and_fills__as_the_c_library);
    tcase_add_test(all, test_string__comparisons__as_the_c_library);
    tcase_add_test(all, test_string__searches__as_the_c_library);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
