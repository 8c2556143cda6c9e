// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_symbols.c -- addresses to names.
 *
 * Hosted programs have no table, so this one brings its own: tables of every small size, every
 * address near a border.
 *
 * Invariants
 *   - The table is sorted, as the generated one is.
 * Locking    none.
 */
#include "core/symbols.h"
#include "tests/unit/kernel_test.h"

#define SYMBOLS 9u
#define BASE    0xffffffff80100000ull
#define STEP    16u

extern struct vmk_symbol vmk_symbol_table[SYMBOLS];
extern size_t vmk_symbol_count;

static const char *const names[SYMBOLS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
struct vmk_symbol vmk_symbol_table[SYMBOLS];
size_t vmk_symbol_count;

static void begin(size_t count)
{
    vmk_symbol_count = count;
    for (unsigned i = 0; i < SYMBOLS; i++)
        vmk_symbol_table[i] = (struct vmk_symbol){BASE + STEP * i, names[i]};
}

START_TEST(test_symbols__every_size_every_address__name_and_offset)
{
    for (unsigned count = 1; count <= SYMBOLS; count++) {
        begin(count);
        for (unsigned i = 0; i < STEP * (SYMBOLS + 2); i++) {
            unsigned expected = i / STEP < count ? i / STEP : count - 1;
            uint64_t offset = 12345;

            ck_assert_str_eq(symbol_find(BASE + i, &offset), names[expected]);
            ck_assert_uint_eq(offset, i - expected * STEP);
        }
    }
}
END_TEST

START_TEST(test_symbols__below_the_first__unknown)
{
    uint64_t offset = 12345;

    begin(SYMBOLS);
    ck_assert_str_eq(symbol_find(BASE - 1, &offset), "?");
    ck_assert_uint_eq(offset, 0);
    offset = 12345;
    ck_assert_str_eq(symbol_find(0, &offset), "?");
    ck_assert_uint_eq(offset, 0);
}
END_TEST

START_TEST(test_symbols__empty_table__unknown)
{
    uint64_t offset = 12345;

    begin(0);
    ck_assert_str_eq(symbol_find(BASE, &offset), "?");
    ck_assert_uint_eq(offset, 0);
}
END_TEST

KERNEL_TEST_MAIN("symbols", RUNS(test_symbols__every_size_every_address__name_and_offset),
                 RUNS(test_symbols__below_the_first__unknown),
                 RUNS(test_symbols__empty_table__unknown))
