// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_x86_topology.c -- shifts of the APIC id out of CPUID answers: levels, AMD's counts,
 * the oldest leaves, and answers that contradict each other.
 *
 * The rows are what CPUs and emulators of each kind answer, cut down to the fields that matter.
 */
#include "lib/x86_topology.h"

#include <check.h>
#include <string.h>

#include "tests/unit/suite_run.h"

struct row {
    uint32_t leaf, subleaf;
    struct x86_cpuid_answer answer;
};

static const struct row *rows;
static size_t row_count;

static struct x86_cpuid_answer ask(uint32_t leaf, uint32_t subleaf)
{
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].leaf == leaf && rows[i].subleaf == subleaf)
            return rows[i].answer;
    return (struct x86_cpuid_answer){0};
}

#define CACHE(type, level, sharing) ((type) | (level) << 5 | ((sharing)-1u) << 14)
#define CORES(n)                    (((n)-1u) << 26)

#define expect(table, core, llc, package)                                                      \
    do {                                                                                       \
        struct x86_topology t;                                                                 \
                                                                                               \
        rows = (table);                                                                        \
        row_count = sizeof(table) / sizeof((table)[0]);                                        \
        t = x86_topology_read(ask);                                                            \
        ck_assert_uint_eq(t.core_shift, (core));                                               \
        ck_assert_uint_eq(t.llc_shift, (llc));                                                 \
        ck_assert_uint_eq(t.package_shift, (package));                                         \
    } while (0)

START_TEST(test_levels__intel_two_threads_and_shared_l3__read)
{
    static const struct row table[] = {
        {0, 0, {.eax = 0x16}},
        {4, 0, {.eax = CACHE(1, 1, 2)}},
        {4, 1, {.eax = CACHE(2, 1, 2)}},
        {4, 2, {.eax = CACHE(3, 2, 2)}},
        {4, 3, {.eax = CACHE(3, 3, 64)}},
        {0xb, 0, {.eax = 1, .ebx = 2, .ecx = 0x100}},
        {0xb, 1, {.eax = 6, .ebx = 56, .ecx = 0x201}},
    };

    expect(table, 1, 6, 6);
}
END_TEST

/* 1FH has modules and dies that 0BH leaves out; the cache is one die's. */
START_TEST(test_levels__leaf_1f_present__wins_over_0b)
{
    static const struct row table[] = {
        {0, 0, {.eax = 0x1f}},
        {4, 0, {.eax = CACHE(3, 3, 16)}},
        {0xb, 0, {.eax = 1, .ebx = 2, .ecx = 0x100}},
        {0xb, 1, {.eax = 4, .ebx = 16, .ecx = 0x201}},
        {0x1f, 0, {.eax = 1, .ebx = 2, .ecx = 0x100}},
        {0x1f, 1, {.eax = 4, .ebx = 16, .ecx = 0x201}},
        {0x1f, 2, {.eax = 5, .ebx = 32, .ecx = 0x502}},
    };

    expect(table, 1, 4, 5);
}
END_TEST

START_TEST(test_levels__no_caches_described__cache_is_the_package)
{
    static const struct row table[] = {
        {0, 0, {.eax = 0xd}},
        {0xb, 0, {.eax = 1, .ebx = 2, .ecx = 0x100}},
        {0xb, 1, {.eax = 2, .ebx = 4, .ecx = 0x201}},
    };

    expect(table, 1, 2, 2);
}
END_TEST

/* Zen: 16 threads a package, an L3 for every 8. */
START_TEST(test_amd__counts_and_topology_extension__read)
{
    static const struct row table[] = {
        {0, 0, {.eax = 0xd}},
        {0x80000000, 0, {.eax = 0x8000001f}},
        {0x80000001, 0, {.ecx = BIT(22)}},
        {0x80000008, 0, {.ecx = 0x400f}},
        {0x8000001d, 0, {.eax = CACHE(1, 1, 2)}},
        {0x8000001d, 1, {.eax = CACHE(2, 1, 2)}},
        {0x8000001d, 2, {.eax = CACHE(3, 2, 2)}},
        {0x8000001d, 3, {.eax = CACHE(3, 3, 8)}},
        {0x8000001e, 0, {.ebx = 0x100}},
    };

    expect(table, 1, 3, 4);
}
END_TEST

START_TEST(test_amd__no_id_size__count_decides)
{
    static const struct row table[] = {
        {0, 0, {.eax = 1}},
        {0x80000000, 0, {.eax = 0x80000008}},
        {0x80000008, 0, {.ecx = 0x0005}},
    };

    expect(table, 0, 3, 3);
}
END_TEST

START_TEST(test_counts__pentium_4_with_two_threads__one_core)
{
    static const struct row table[] = {
        {0, 0, {.eax = 5}},
        {1, 0, {.ebx = 2u << 16, .edx = BIT(28)}},
        {4, 0, {.eax = CACHE(1, 1, 2) | CORES(1)}},
    };

    expect(table, 1, 1, 1);
}
END_TEST

START_TEST(test_counts__one_cpu__no_shift)
{
    static const struct row table[] = {{0, 0, {.eax = 1}}};

    expect(table, 0, 0, 0);
}
END_TEST

/* A cache wider than the package, a core wider than the cache: clipped, in order. */
START_TEST(test_levels__contradiction__stays_in_order)
{
    static const struct row wide_cache[] = {
        {0, 0, {.eax = 0xd}},
        {4, 0, {.eax = CACHE(3, 3, 4096)}},
        {0xb, 0, {.eax = 0, .ebx = 1, .ecx = 0x100}},
        {0xb, 1, {.eax = 2, .ebx = 4, .ecx = 0x201}},
    };
    static const struct row narrow_cache[] = {
        {0, 0, {.eax = 0xd}},
        {4, 0, {.eax = CACHE(1, 1, 1)}},
        {0xb, 0, {.eax = 31, .ebx = 2, .ecx = 0x100}},
        {0xb, 1, {.eax = 2, .ebx = 4, .ecx = 0x201}},
    };

    expect(wide_cache, 0, 2, 2);
    expect(narrow_cache, 31, 31, 31);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("x86_topology");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, test_levels__intel_two_threads_and_shared_l3__read);
    tcase_add_test(tests, test_levels__leaf_1f_present__wins_over_0b);
    tcase_add_test(tests, test_levels__no_caches_described__cache_is_the_package);
    tcase_add_test(tests, test_amd__counts_and_topology_extension__read);
    tcase_add_test(tests, test_amd__no_id_size__count_decides);
    tcase_add_test(tests, test_counts__pentium_4_with_two_threads__one_core);
    tcase_add_test(tests, test_counts__one_cpu__no_shift);
    tcase_add_test(tests, test_levels__contradiction__stays_in_order);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
