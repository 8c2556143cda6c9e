// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_core_option.c -- options of the boot command line.
 *
 * A host's command line never changes, so each test makes a host that has the line it wants.
 *
 * Invariants
 *   - on_host() returns only after the body ran.
 * Locking    none.
 */
#include <string.h>

#include "core/core.h"
#include "core/core_internal.h"
#include "tests/unit/kernel_test.h"

static void (*body)(void);

static void host_main(void)
{
    core_init();
    body();
    sim_finish();
}

static void on_host(const char *command_line, void (*what)(void))
{
    body = what;
    sim_host_start(sim_host_create(1, 64, command_line), host_main);
    ck_assert(sim_run());
}

static void values_body(void)
{
    char text[16];

    ck_assert(core_option("first", text, sizeof(text)));
    ck_assert_str_eq(text, "1");
    ck_assert(core_option("key", text, sizeof(text)));
    ck_assert_str_eq(text, "value=more");
    ck_assert(core_option("last", text, sizeof(text)));
    ck_assert_str_eq(text, "x");
    ck_assert(core_option("none", text, sizeof(text)));
    ck_assert_str_eq(text, "");
    ck_assert(core_option("twice", text, sizeof(text)));
    ck_assert_str_eq(text, "one");  // the first counts
}

START_TEST(test_core_option__keys_anywhere__values)
{
    on_host("  first=1 key=value=more   twice=one none= twice=two log= last=x", values_body);
}
END_TEST

static void absent_body(void)
{
    char text[16] = "before";

    ck_assert(!core_option("ke", text, sizeof(text)));     // a prefix of a key
    ck_assert(!core_option("keys", text, sizeof(text)));   // longer than a key
    ck_assert(!core_option("ey", text, sizeof(text)));     // the end of a key
    ck_assert(!core_option("flag", text, sizeof(text)));   // there, but without a value
    ck_assert(!core_option("value", text, sizeof(text)));  // is a value
    ck_assert_str_eq(text, "before");
}

START_TEST(test_core_option__similar_words__not_taken)
{
    on_host("key=value flag log=none", absent_body);
}
END_TEST

static void cut_body(void)
{
    char text[5] = {9, 9, 9, 9, 9};

    ck_assert(core_option("long", text, sizeof(text) - 1));
    ck_assert_str_eq(text, "abc");
    ck_assert_int_eq(text[4], 9);
}

START_TEST(test_core_option__value_too_long__cut_and_ended)
{
    on_host("long=abcdefghij log=none", cut_body);
}
END_TEST

static void flag_body(void)
{
    ck_assert(core_option_flag("one"));
    ck_assert(core_option_flag("three"));
    ck_assert(!core_option_flag("two"));
    ck_assert(!core_option_flag("on"));
    ck_assert(!core_option_flag("ones"));
    ck_assert(!core_option_flag("four"));
}

START_TEST(test_core_option__flags__whole_words_only)
{
    on_host("one two=2 onetwo log=none three", flag_body);
}
END_TEST

static void number_body(void)
{
    char log[2048] = "";

    ck_assert_uint_eq(core_option_u64("dec", 7), 4096);
    ck_assert_uint_eq(core_option_u64("hex", 7), 0xffffffffffffffffull);
    ck_assert_uint_eq(core_option_u64("zero", 7), 0);
    ck_assert_uint_eq(core_option_u64("absent", 7), 7);
    ck_assert_uint_eq(log_ring_copy(log, sizeof(log) - 1), 0);  // nothing to complain about
    ck_assert_uint_eq(core_option_u64("tail", 7), 7);
    ck_assert_uint_eq(core_option_u64("word", 7), 7);
    ck_assert_uint_eq(core_option_u64("empty", 7), 7);
    ck_assert_uint_eq(core_option_u64("big", 7), 7);
    log[log_ring_copy(log, sizeof(log) - 1)] = 0;
    ck_assert_ptr_nonnull(strstr(log, "Core: option tail=12k is no number, using 7\n"));
    ck_assert_ptr_nonnull(strstr(log, "Core: option word=ten is no number"));
    ck_assert_ptr_nonnull(strstr(log, "Core: option empty= is no number"));
    ck_assert_ptr_nonnull(strstr(log, "Core: option big=18446744073709551616 is no number"));
}

START_TEST(test_core_option__numbers__value_or_default_with_a_warning)
{
    on_host("dec=4096 hex=0xffffffffffffffff zero=0 tail=12k word=ten empty= "
            "big=18446744073709551616 log=none",
            number_body);
}
END_TEST

static void empty_body(void)
{
    char text[8];

    ck_assert(!core_option("a", text, sizeof(text)));
    ck_assert(!core_option_flag("a"));
    ck_assert_uint_eq(core_option_u64("a", 3), 3);
}

START_TEST(test_core_option__empty_line__nothing)
{
    on_host("", empty_body);
    on_host("    ", empty_body);
}
END_TEST

KERNEL_TEST_MAIN("core_option", RUNS(test_core_option__keys_anywhere__values),
                 RUNS(test_core_option__similar_words__not_taken),
                 RUNS(test_core_option__value_too_long__cut_and_ended),
                 RUNS(test_core_option__flags__whole_words_only),
                 RUNS(test_core_option__numbers__value_or_default_with_a_warning),
                 RUNS(test_core_option__empty_line__nothing))
