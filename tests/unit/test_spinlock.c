// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_spinlock.c -- lock ranks, held stacks, try-lock, the panic's list.
 *
 * The order violations have to panic; each such test expects the panic's exit status.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "core/core_internal.h"
#include "core/spinlock.h"
#include "tests/unit/kernel_test.h"

static struct spinlock low, high, other;

static void begin(void)
{
    core_init();
    (void)plat_irq_save();
    spin_init(&low, "low", LOCK_RANK_VM);
    spin_init(&high, "high", LOCK_RANK_HEAP);
    spin_init(&other, "other", LOCK_RANK_VM);
}

START_TEST(test_spinlock__rising_ranks__held_and_counted)
{
    begin();
    spin_lock_irqs_off(&low);
    spin_lock_irqs_off(&high);
    ck_assert(spin_held(&low) && spin_held(&high) && spin_held_count() == 2);
    spin_unlock_irqs_off(&low);  // from under the other
    ck_assert(!spin_held(&low) && spin_held(&high) && spin_held_count() == 1);
    spin_unlock_irqs_off(&high);
    ck_assert_uint_eq(spin_held_count(), 0);
}
END_TEST

START_TEST(test_spinlock__saves_interrupt_state__restored)
{
    begin();
    plat_irq_restore(true);

    bool irqs = spin_lock(&low);

    ck_assert(irqs && !plat_irq_enabled());

    bool inner = spin_lock(&high);

    ck_assert(!inner);
    spin_unlock(&high, inner);
    ck_assert(!plat_irq_enabled());
    spin_unlock(&low, irqs);
    ck_assert(plat_irq_enabled());
}
END_TEST

START_TEST(test_spinlock__try__same_rank_allowed_and_no_waiting)
{
    begin();
    spin_lock_irqs_off(&low);
    ck_assert(spin_try_lock_irqs_off(&other));
    ck_assert(!spin_try_lock_irqs_off(&other));
    spin_unlock_irqs_off(&other);
    spin_unlock_irqs_off(&low);
}
END_TEST

START_TEST(test_spinlock__falling_rank__panics)
{
    begin();
    spin_lock_irqs_off(&high);
    spin_lock_irqs_off(&low);
}
END_TEST

START_TEST(test_spinlock__same_rank__panics)
{
    begin();
    spin_lock_irqs_off(&low);
    spin_lock_irqs_off(&other);
}
END_TEST

START_TEST(test_spinlock__try_of_a_falling_rank__panics)
{
    begin();
    spin_lock_irqs_off(&high);
    (void)!spin_try_lock_irqs_off(&low);
}
END_TEST

static char told[256];

static void tell(const char *format, ...)
{
    size_t length = strlen(told);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(told + length, sizeof(told) - length, format, arguments);
    va_end(arguments);
}

START_TEST(test_spinlock__print_held__names_and_ranks_in_order)
{
    begin();
    spin_lock_irqs_off(&low);
    spin_lock_irqs_off(&high);
    spin_print_held(tell);
    ck_assert_str_eq(told, "  holds low (rank 10)\n  holds high (rank 40)\n");
    spin_unlock_irqs_off(&high);
    spin_unlock_irqs_off(&low);
}
END_TEST

/* Locks of `count` different ranks, the lowest first. */
static void hold(unsigned count)
{
    static const enum lock_rank ranks[] = {
#define LOCK_RANK(name, rank, what) LOCK_RANK_##name,
#include "core/lock_rank.def"
    };
    static struct spinlock locks[ARRAY_COUNT(ranks)];

    begin();
    for (unsigned i = 0; i < count; i++) {
        spin_init(&locks[i], "many", ranks[i]);
        spin_lock_irqs_off(&locks[i]);
        ck_assert_uint_eq(spin_held_count(), i + 1);
    }
}

START_TEST(test_spinlock__as_many_as_fit__held)
{
    hold(CORE_HELD_MAX);
}
END_TEST

START_TEST(test_spinlock__one_more_than_fit__panics)
{
    hold(CORE_HELD_MAX + 1);
}
END_TEST

START_TEST(test_spinlock__unlock_free_lock__panics)
{
    begin();
    spin_unlock_irqs_off(&low);
}
END_TEST

KERNEL_TEST_MAIN("spinlock", RUNS(test_spinlock__rising_ranks__held_and_counted),
                 RUNS(test_spinlock__saves_interrupt_state__restored),
                 RUNS(test_spinlock__try__same_rank_allowed_and_no_waiting),
                 RUNS(test_spinlock__print_held__names_and_ranks_in_order),
                 RUNS(test_spinlock__as_many_as_fit__held),
                 PANICS(test_spinlock__falling_rank__panics),
                 PANICS(test_spinlock__try_of_a_falling_rank__panics),
                 PANICS(test_spinlock__one_more_than_fit__panics),
                 PANICS(test_spinlock__same_rank__panics),
                 PANICS(test_spinlock__unlock_free_lock__panics))
