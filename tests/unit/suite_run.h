// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/suite_run.h -- the end of every test program: run a suite, say how it went.
 *
 * Apart from kernel_test.h because tests that bring their own platform need it too.
 */
#pragma once

#include <check.h>
#include <stdlib.h>

/* Runs and frees the suite; how much is printed is CK_VERBOSITY's. Returns main()'s status. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
