// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vm_reclaim.c -- pages are taken, shared, sampled and used by devices while a guest runs.
 *
 * The guest is tlb_fixture.h's; what each page must hold is kept here and compared at each
 * read.
 */
#include "tests/unit/tlb_fixture.h"

#include "lib/rng.h"
#include "vmm/vm_large.h"

#define WORKED 1000u  // pages the storm works on: both 2 MB

static struct rng rng;
static uint64_t holds[FIX_PAGES];
static unsigned wrong;

static void flush(void)
{
    bool irqs = spin_lock(&vm->lock);

    vm_flush_locked(vm);
    spin_unlock(&vm->lock, irqs);
}

static vmk_status take(uint64_t ppn)
{
    bool irqs = spin_lock(&vm->lock);
    vmk_status status = vm_page_take_locked(vm, ppn_make(ppn));

    vm_flush_locked(vm);
    spin_unlock(&vm->lock, irqs);
    return status;
}

static vmk_status give_back(uint64_t ppn)
{
    bool irqs = spin_lock(&vm->lock);
    vmk_status status = vm_page_return_locked(vm, ppn_make(ppn));

    spin_unlock(&vm->lock, irqs);
    return status;
}

static enum p2m_state state_of(uint64_t ppn)
{
    return p2m_get(&vm->p2m, ppn).state;
}

/* One step of everything that may happen to a page. */
static void step(void)
{
    uint64_t ppn = rng_below(&rng, 8) ? rng_below(&rng, 24) : rng_below(&rng, WORKED);
    unsigned vcpu = (unsigned)rng_below(&rng, FIX_VCPUS);
    static void *pinned;
    uint32_t touched, sampled;

    if (rng_below(&rng, 100) == 0)
        (void)vm_large_break(vm, 1);
    switch (rng_below(&rng, 10)) {
    case 0:
    case 1:
        holds[ppn] = rng_below(&rng, 3);
        (void)guest_access(vcpu, ppn, true, holds[ppn]);
        break;
    case 2:
    case 3:
    case 4: wrong += guest_access(vcpu, ppn, false, 0) != holds[ppn]; break;
    case 5:
    case 6:
    case 7: (void)share_page(&fix_share, 0, (uint32_t)ppn, 0); break;
    case 8:
        if (rng_below(&rng, 2)) {
            if (take(ppn) == VMK_OK)
                holds[ppn] = 0;
        } else {
            (void)give_back(ppn);
        }
        break;
    default:
        if (rng_below(&rng, 4) == 0) {
            vm_sample(vm, &touched, &sampled);
        } else if (pinned) {
            vm_dma_page_release(pinned);
            pinned = NULL;
        } else if (vm_dma_page(vm, ppn_make(ppn), &pinned) == VMK_OK) {
            wrong += ((uint64_t *)pinned)[ppn % 512] != holds[ppn];
            ((uint64_t *)pinned)[ppn % 512] = holds[ppn] = 7;
        }
        break;
    }
    poison();
}

START_TEST(test_reclaim__all_at_once__guest_sees_what_it_wrote)
{
    struct share_counters c;

    rng_init(&rng, (uint64_t)_i, "reclaim", 0);
    this_host()->vmm->large_above = (uint64_t)_i % 2;  // every other time with 2 MB pages
    for (unsigned i = 0; i < 4000; i++)
        step();
    share_counters_get(&fix_share, &c);
    ck_assert_uint_gt(c.joined, 20);
    ck_assert_uint_gt(c.broken, 20);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

static void no_flush(struct vcpu *v)
{
    (void)v;
}

START_TEST(test_reclaim__flushes_forgotten__model_sees_it)
{
    struct vt_backend forgets = vt_backend_svm;

    forgets.flush_vcpu = no_flush;
    this_host()->vmm->backend = &forgets;
    rng_init(&rng, 1, "reclaim", 0);
    for (unsigned i = 0; i < 4000 && !wrong; i++)
        step();
    ck_assert_uint_gt(wrong, 0);
    this_host()->vmm->backend = &vt_backend_svm;
}
END_TEST

START_TEST(test_take__used_by_a_device__busy_until_released)
{
    void *page, *again;

    ck_assert_int_eq(vm_dma_page(vm, ppn_make(5), &page), VMK_OK);
    ck_assert_int_eq(vm_dma_page(vm, ppn_make(5), &again), VMK_OK);
    ck_assert_ptr_eq(page, again);
    ck_assert_int_eq(take(5), VMK_BUSY);
    vm_dma_page_release(page);
    ck_assert_int_eq(take(5), VMK_BUSY);
    ck_assert_int_eq(share_page(&fix_share, 0, 5, 0), SHARE_NOTHING);
    vm_dma_page_release(page);
    ck_assert_int_eq(take(5), VMK_OK);
    ck_assert_int_eq(take(5), VMK_EXISTS);
    ck_assert_int_eq(take(FIX_PAGES), VMK_NOT_FOUND);
    ck_assert_int_eq(give_back(5), VMK_OK);
    ck_assert_int_eq(give_back(5), VMK_NOT_FOUND);
}
END_TEST

START_TEST(test_dma__list_released__no_page_stays_pinned)
{
    struct block_segment segments[8];
    uint32_t pins[8];
    struct vm_scatter list = {.segments = segments, .pins = pins, .room = 8};

    ck_assert_int_eq(vm_dma_add(vm, &list, gpa_make(0x1800), 0x3000), VMK_OK);
    ck_assert_uint_eq(list.pin_count, 4);
    // Past the room: the list is as before, and so are the pages.
    ck_assert_int_eq(vm_dma_add(vm, &list, gpa_make(0x10000), 0x5000), VMK_LIMIT);
    ck_assert_int_eq(vm_dma_add(vm, &list, gpa_make((FIX_RAM_MB << 20) - 0x1000), 0x2000),
                     VMK_NOT_FOUND);
    ck_assert_uint_eq(list.pin_count, 4);
    ck_assert_int_eq(take(0x10), VMK_OK);
    ck_assert_int_eq(take(FIX_PAGES - 1), VMK_OK);
    ck_assert_int_eq(take(1), VMK_BUSY);
    vm_dma_release(&list);
    for (uint64_t ppn = 1; ppn <= 4; ppn++)
        ck_assert_int_eq(take(ppn), VMK_OK);
}
END_TEST

START_TEST(test_limbo__vcpu_has_not_flushed__page_is_kept)
{
    uint64_t before;

    (void)guest_access(0, 9, true, 1);
    before = page_owned_count(MEM_OWNER_GUEST);
    vm->vcpus[0]->state = VCPU_RUNNING;  // between two exits, with the translation
    ck_assert_int_eq(take(9), VMK_OK);
    bool irqs = spin_lock(&vm->lock);
    vm_limbo_collect_locked(vm);
    spin_unlock(&vm->lock, irqs);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), before);
    vcpu_flush(vm->vcpus[0]);
    irqs = spin_lock(&vm->lock);
    vm_limbo_collect_locked(vm);
    spin_unlock(&vm->lock, irqs);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), before - 1);
}
END_TEST

START_TEST(test_limbo__taken_but_not_flushed_for__page_is_kept)
{
    uint64_t before;
    bool irqs;

    (void)guest_access(0, 9, true, 1);  // and sleeps now, with the translation
    before = page_owned_count(MEM_OWNER_GUEST);
    irqs = spin_lock(&vm->lock);
    ck_assert_int_eq(vm_page_take_locked(vm, ppn_make(9)), VMK_OK);
    vm_limbo_collect_locked(vm);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), before);
    vm_flush_locked(vm);
    vm_limbo_collect_locked(vm);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), before - 1);
    spin_unlock(&vm->lock, irqs);
}
END_TEST

START_TEST(test_sample__half_of_them_touched__counted)
{
    uint32_t touched, sampled, expected = 0;

    for (uint64_t ppn = 0; ppn < FIX_PAGES; ppn++)
        (void)guest_access(0, ppn, true, ppn);
    vm_sample(vm, &touched, &sampled);
    ck_assert_uint_eq(sampled, 0);  // nothing was picked before
    for (uint64_t ppn = 0; ppn < FIX_PAGES / 2; ppn++) {
        expected += state_of(ppn) == P2M_SAMPLED;
        ck_assert_uint_eq(guest_access(1, ppn, false, 0), ppn);
    }
    vm_sample(vm, &touched, &sampled);
    ck_assert_uint_eq(sampled, 100);
    ck_assert_uint_eq(touched, expected);
    ck_assert_uint_gt(touched, 20);
    ck_assert_uint_lt(touched, 80);
    flush();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vm_reclaim");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, tlb_fixture_start, tlb_fixture_stop);
    tcase_add_loop_test(all, test_reclaim__all_at_once__guest_sees_what_it_wrote, 0, 8);
    tcase_add_test(all, test_reclaim__flushes_forgotten__model_sees_it);
    tcase_add_test(all, test_take__used_by_a_device__busy_until_released);
    tcase_add_test(all, test_dma__list_released__no_page_stays_pinned);
    tcase_add_test(all, test_limbo__vcpu_has_not_flushed__page_is_kept);
    tcase_add_test(all, test_limbo__taken_but_not_flushed_for__page_is_kept);
    tcase_add_test(all, test_sample__half_of_them_touched__counted);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
