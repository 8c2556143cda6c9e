// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/kernel_test.h -- one suite of one case from a list of tests.
 */
#pragma once

#include <check.h>
#include <stdlib.h>

#include "sim/platform/sim.h"
#include "tests/unit/suite_run.h"

#define PANIC_STATUS 3  // what plat_stop() ends the process with

struct kernel_test {
    const TTest *test;
    bool panics;
};

static inline int kernel_tests_run(const char *name, const struct kernel_test *tests,
                                   size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);

    for (size_t i = 0; i < count; i++) {
        if (tests[i].panics)
            tcase_add_exit_test(tcase, tests[i].test, PANIC_STATUS);
        else
            tcase_add_test(tcase, tests[i].test);
    }
    tcase_set_timeout(tcase, 240);  // for hangs only: the computer may be busy
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}

#define KERNEL_TEST_MAIN(name, ...)                                                            \
    int main(void)                                                                             \
    {                                                                                          \
        const struct kernel_test tests[] = {__VA_ARGS__};                                      \
        return kernel_tests_run(name, tests, sizeof(tests) / sizeof(tests[0]));                \
    }
#define RUNS(t)                                                                                \
    {                                                                                          \
        t, false                                                                               \
    }
#define PANICS(t)                                                                              \
    {                                                                                          \
        t, true                                                                                \
    }
