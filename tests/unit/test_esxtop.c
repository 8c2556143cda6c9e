// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_esxtop.c -- esxtop's CPU columns from two samples.
 */
#include "sched/esxtop.h"
#include "tests/unit/suite_run.h"

#define S 1000000000ull

static const struct sched_sample before = {
    .at = 10 * S,
    .created = 1 * S,
    .elapsed = 9 * S,
    .used = 5 * S,
    .run = 5 * S,
    .ready = 1 * S,
    .costop = 1 * S,
    .wait = 2 * S,
    .wait_idle = 1 * S,
    .id = 7,
    .switches = 100,
};
/* Two seconds later. */
static const struct sched_sample after = {
    .at = 12 * S,
    .created = 1 * S,
    .elapsed = 11 * S,
    .used = 5 * S + 620000000,
    .run = 5 * S + 600000000,
    .ready = 1 * S + 400000000,
    .limited = 100000000,
    .costop = 1 * S + 200000000,
    .wait = 2 * S + 800000000,
    .wait_idle = 1 * S + 500000000,
    .wait_swap = 60000000,
    .system = 30000000,
    .overlap = 10000000,
    .id = 7,
    .switches = 301,
    .migrations = 1,
    .quantum_expiries = 2,
    .wakes = 4000,
};

START_TEST(test_columns__two_samples__each_is_its_part_of_the_time)
{
    static const uint64_t wanted[ESXTOP_COLUMNS] = {
        [ESXTOP_USED] = 3100, [ESXTOP_RUN] = 3000,    [ESXTOP_SYS] = 150,
        [ESXTOP_WAIT] = 4000, [ESXTOP_VMWAIT] = 1500, [ESXTOP_RDY] = 2000,
        [ESXTOP_IDLE] = 2500, [ESXTOP_OVRLP] = 50,    [ESXTOP_CSTP] = 1000,
        [ESXTOP_MLMTD] = 500, [ESXTOP_SWPWT] = 300,   [ESXTOP_SWTCH] = 10050,
        [ESXTOP_MIG] = 50,    [ESXTOP_QEXP] = 100,    [ESXTOP_WAKE] = 200000,
    };
    uint64_t got[ESXTOP_COLUMNS];

    esxtop_columns(&before, &after, got);
    for (unsigned i = 0; i < ESXTOP_COLUMNS; i++)
        ck_assert_msg(got[i] == wanted[i], "%s is %llu, wanted %llu",
                      esxtop_column_name((enum esxtop_column)i), (unsigned long long)got[i],
                      (unsigned long long)wanted[i]);
    ck_assert_uint_eq(got[ESXTOP_RUN] + got[ESXTOP_RDY] + got[ESXTOP_CSTP] + got[ESXTOP_WAIT],
                      10000);
}
END_TEST

START_TEST(test_columns__no_sample_before__since_it_was_created)
{
    uint64_t got[ESXTOP_COLUMNS];

    esxtop_columns(NULL, &after, got);
    ck_assert_uint_eq(got[ESXTOP_RUN], 5600000000ull * 10000 / (11 * S));
    ck_assert_uint_eq(got[ESXTOP_VMWAIT], 1300000000ull * 10000 / (11 * S));
}
END_TEST

START_TEST(test_columns__sample_before_is_another_worlds__it_does_not_count)
{
    struct sched_sample other = before;
    uint64_t alone[ESXTOP_COLUMNS], got[ESXTOP_COLUMNS];

    other.id = 8;
    esxtop_columns(NULL, &after, alone);
    esxtop_columns(&other, &after, got);
    for (unsigned i = 0; i < ESXTOP_COLUMNS; i++)
        ck_assert_uint_eq(got[i], alone[i]);
}
END_TEST

START_TEST(test_columns__no_time_passed__all_are_0)
{
    uint64_t got[ESXTOP_COLUMNS];

    esxtop_columns(&after, &after, got);
    for (unsigned i = 0; i < ESXTOP_COLUMNS; i++)
        ck_assert_uint_eq(got[i], 0);
}
END_TEST

START_TEST(test_columns__a_sum_fell__its_column_is_0_and_no_other)
{
    struct sched_sample fallen = after;
    uint64_t got[ESXTOP_COLUMNS];

    fallen.run = before.run - 1;
    esxtop_columns(&before, &fallen, got);
    ck_assert_uint_eq(got[ESXTOP_RUN], 0);
    ck_assert_uint_eq(got[ESXTOP_RDY], 2000);
}
END_TEST

START_TEST(test_columns__a_year_of_64_cpus__nothing_overflows)
{
    struct sched_sample long_one = {.at = 365 * 86400 * S, .run = 64 * 365 * 86400 * S};
    uint64_t got[ESXTOP_COLUMNS];

    esxtop_columns(NULL, &long_one, got);
    ck_assert_uint_ge(got[ESXTOP_RUN], 639990);
    ck_assert_uint_le(got[ESXTOP_RUN], 640010);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_columns__two_samples__each_is_its_part_of_the_time,
        test_columns__no_sample_before__since_it_was_created,
        test_columns__sample_before_is_another_worlds__it_does_not_count,
        test_columns__no_time_passed__all_are_0,
        test_columns__a_sum_fell__its_column_is_0_and_no_other,
        test_columns__a_year_of_64_cpus__nothing_overflows,
    };
    Suite *suite = suite_create("esxtop");
    TCase *tcase = tcase_create("columns");

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
