// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_sample.c -- working sets from samples: up fast, down slowly.
 *
 * In each period of a VM's own time a hundred pages are picked at random and it is seen which
 * of them are touched. Two moving averages of that fraction and a third that takes the period
 * under way for a whole one; the largest counts. So a VM that wakes up gets memory before its
 * period ends, and one that pauses keeps it for a while.
 *
 * What the guest gave to its balloon is not picked and not in use; what was swapped may be
 * wanted back.
 *
 * Invariants
 *   - Fractions are 0 to 1 in Q16.
 * Locking    the caller's.
 * Sources    [WALDSPURGER02] section 5.3
 */
#include "core/assert.h"
#include "mem/memsched_internal.h"

#define ONE     65536u
#define PARTIAL 16u  // less than so many samples say nothing yet

/* `average` moved towards `value` by 1/2^shift of the way. */
static uint32_t moved(uint32_t average, uint32_t value, uint64_t shift)
{
    if (value > average)
        return average + ((value - average + (uint32_t)(1u << shift) - 1) >> shift);
    return average - ((average - value) >> shift);
}

void memsched_sampled(const struct memsched *m, struct memsched_active *active,
                      uint32_t touched, uint32_t sampled, bool ended)
{
    uint32_t fraction = (uint32_t)((uint64_t)touched * ONE / sampled);
    uint64_t fast = memsched_tune(m, MEMSCHED_TUNABLE_FAST_SHIFT);

    vmk_assert(sampled && touched <= sampled);
    if (!ended) {
        active->with_partial =
            active->any && sampled >= PARTIAL ? moved(active->fast, fraction, fast) : 0;
        return;
    }
    if (active->any) {
        active->slow =
            moved(active->slow, fraction, memsched_tune(m, MEMSCHED_TUNABLE_SLOW_SHIFT));
        active->fast = moved(active->fast, fraction, fast);
    } else {
        active->slow = active->fast = fraction;
    }
    active->with_partial = 0;
    active->any = true;
}

uint64_t memsched_active_pages(const struct memsched_node *vm)
{
    uint32_t fraction = MAX(MAX(vm->active.slow, vm->active.fast), vm->active.with_partial);
    uint64_t there = vm->touched - vm->ballooned;

    // Of a VM nobody has looked at yet, all counts.
    return vm->active.any ? there * fraction / ONE : there;
}
