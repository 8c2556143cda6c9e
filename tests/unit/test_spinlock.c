// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_spinlock.c -- lock ranks, held stacks, try-lock.
 *
 * The order violations have to panic; each such test expects the panic's exit status.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "core/core.h"
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

START_TEST(test_spinlock__pair_and_try__same_rank_allowed)
{
    begin();
    spin_lock_pair(&other, &low);
    ck_assert_uint_eq(spin_held_count(), 2);
    spin_unlock_irqs_off(&other);
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

START_TEST(test_spinlock__unlock_free_lock__panics)
{
    begin();
    spin_unlock_irqs_off(&low);
}
END_TEST

KERNEL_TEST_MAIN("spinlock", RUNS(test_spinlock__rising_ranks__held_and_counted),
                 RUNS(test_spinlock__saves_interrupt_state__restored),
                 RUNS(test_spinlock__pair_and_try__same_rank_allowed),
                 PANICS(test_spinlock__falling_rank__panics),
                 PANICS(test_spinlock__same_rank__panics),
                 PANICS(test_spinlock__unlock_free_lock__panics))
