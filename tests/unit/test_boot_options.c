// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_boot_options.c -- words of the command line that nobody reads are named.
 */
#include <stdio.h>
#include <string.h>

#include "boot/boot_options.h"
#include "tests/unit/kernel_test.h"

static char told[512];

static void tell(const char *word, size_t length, const char *why)
{
    size_t have = strlen(told);

    snprintf(told + have, sizeof(told) - have, "[%.*s %s]", (int)length, word, why);
}

static bool check(const char *line)
{
    told[0] = 0;
    return boot_options_check(line, tell);
}

START_TEST(test_boot_options__words_that_are_known__nothing_said)
{
    ck_assert(check(NULL));
    ck_assert(check(""));
    ck_assert(
        check("  batch log=screen,com2  sched=edf sched.quantum=5000000 mem.swap=0 vcpus=x "));
    ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(test_boot_options__misspelt_name__named_with_its_value)
{
    ck_assert(!check("stay sched.policy=edf mem.swp=0 sched.quantumm=1 Stay =1"));
    ck_assert_ptr_nonnull(strstr(told, "[sched.policy=edf is no option"));
    ck_assert_ptr_nonnull(strstr(told, "[mem.swp=0 is no option"));
    ck_assert_ptr_nonnull(strstr(told, "[sched.quantumm=1 is no option"));
    ck_assert_ptr_nonnull(strstr(told, "[Stay is no option"));
    ck_assert_ptr_null(strstr(told, "[stay"));
}
END_TEST

START_TEST(test_boot_options__flag_with_value_or_name_without__said)
{
    ck_assert(!check("stay=1 vcpus"));
    ck_assert_str_eq(told, "[stay=1 takes no value][vcpus wants a value: NAME=VALUE]");
}
END_TEST

START_TEST(test_boot_options__number_out_of_its_range__said)
{
    ck_assert(!check("sched.quantum=abc sched.quantum=1 sched.cosched=2 mem.idle-tax=101"));
    ck_assert_ptr_nonnull(strstr(told, "[sched.quantum=abc is no number in its range"));
    ck_assert_ptr_nonnull(strstr(told, "[sched.quantum=1 is no number"));
    ck_assert_ptr_null(strstr(told, "cosched"));
    ck_assert_ptr_nonnull(strstr(told, "[mem.idle-tax=101 is no number"));
}
END_TEST

KERNEL_TEST_MAIN("boot_options", RUNS(test_boot_options__words_that_are_known__nothing_said),
                 RUNS(test_boot_options__misspelt_name__named_with_its_value),
                 RUNS(test_boot_options__flag_with_value_or_name_without__said),
                 RUNS(test_boot_options__number_out_of_its_range__said))
