// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vm_large.c -- 2 MB pages of a guest: given, split, joined, taken, broken.
 *
 * The guest is tlb_fixture.h's: two vCPUs behind a model TLB, 4 MB of memory.
 */
#include "tests/unit/tlb_fixture.h"

#include "vmm/vm_large.h"

static void large_on(void)
{
    this_host()->vmm->large_above = 1;
}

static uint64_t guest_pages(void)
{
    bool irqs = spin_lock(&vm->lock);

    vm_limbo_collect_locked(vm);
    spin_unlock(&vm->lock, irqs);
    return page_owned_count(MEM_OWNER_GUEST);
}

static vmk_status take(uint64_t ppn, bool large)
{
    bool irqs = spin_lock(&vm->lock);
    vmk_status status =
        large ? vm_large_take_locked(vm, ppn) : vm_page_take_locked(vm, ppn_make(ppn));

    vm_flush_locked(vm);
    spin_unlock(&vm->lock, irqs);
    return status;
}

static unsigned level_of(uint64_t ppn)
{
    unsigned level;

    (void)nested_lookup(&vm->nested, ppn_to_gpa(ppn_make(ppn)), &level);
    return level;
}

START_TEST(test_large__first_touch__one_fault_for_512_pages)
{
    large_on();
    for (uint64_t ppn = 0; ppn < 512; ppn++)
        (void)guest_access(ppn % 2, ppn, true, ppn);
    ck_assert_uint_eq(access_now.faults, 1);
    ck_assert_uint_eq(level_of(300), 2);
    ck_assert_uint_eq(guest_pages(), 512);
    for (uint64_t ppn = 0; ppn < 512; ppn++)
        ck_assert_uint_eq(guest_access(0, ppn, false, 0), ppn);
    ck_assert_uint_eq(vm->large.now, 1);
}
END_TEST

START_TEST(test_large__host_has_little_or_chunk_is_touched__small_pages)
{
    (void)guest_access(0, 3, true, 1);  // before it is on
    large_on();
    (void)guest_access(0, 4, true, 1);
    ck_assert_uint_eq(level_of(4), 1);
    this_host()->vmm->large_above = page_free_count();
    (void)guest_access(0, 600, true, 1);
    ck_assert_uint_eq(level_of(600), 1);
    ck_assert_uint_eq(vm->large.given, 0);
}
END_TEST

START_TEST(test_large__half_a_chunk_at_the_end__small_pages)
{
    large_on();
    vm->page_count = vm->p2m.page_count = 700;
    (void)guest_access(0, 600, true, 1);
    ck_assert_uint_eq(level_of(600), 1);
}
END_TEST

START_TEST(test_large__one_page_taken__others_stay)
{
    large_on();
    for (uint64_t ppn = 0; ppn < 512; ppn++)
        (void)guest_access(0, ppn, true, ppn + 1);
    ck_assert_int_eq(take(77, false), VMK_OK);
    poison();
    ck_assert_uint_eq(level_of(76), 1);
    ck_assert_uint_eq(guest_pages(), 511);
    for (uint64_t ppn = 0; ppn < 512; ppn++)
        ck_assert_uint_eq(guest_access(1, ppn, false, 0), ppn == 77 ? 0 : ppn + 1);
    ck_assert_uint_eq(vm->large.split, 1);
    ck_assert_uint_eq(vm->large.now, 0);
}
END_TEST

START_TEST(test_large__taken_whole__given_again_whole)
{
    void *page;

    large_on();
    (void)guest_access(0, 5, true, 9);
    ck_assert_int_eq(vm_dma_page(vm, ppn_make(8), &page), VMK_OK);
    ck_assert_int_eq(take(0, true), VMK_BUSY);
    vm_dma_page_release(page);
    ck_assert_int_eq(take(0, true), VMK_OK);
    ck_assert_uint_eq(guest_pages(), 0);
    ck_assert_uint_eq(vm->p2m.count[P2M_BALLOONED], 512);
    ck_assert_int_eq(take(0, true), VMK_NOT_FOUND);
    poison();
    (void)guest_access(0, 6, false, 0);  // popped: one small page
    ck_assert_uint_eq(level_of(6), 1);
    vm_balloon_reset_locked(vm);
    ck_assert_int_eq(take(6, false), VMK_OK);
    ck_assert_int_eq(vm_page_return_locked(vm, ppn_make(6)), VMK_OK);
    ck_assert_uint_eq(guest_access(1, 5, false, 0), 0);
    ck_assert_uint_eq(level_of(5), 2);  // in place of an empty table
    ck_assert_uint_eq(guest_access(0, 6, false, 0), 0);
}
END_TEST

START_TEST(test_large__sampled__split_then_joined_again)
{
    uint32_t touched, sampled;
    uint64_t tables;

    large_on();
    for (uint64_t ppn = 0; ppn < FIX_PAGES; ppn++)
        (void)guest_access(0, ppn, true, ppn);
    tables = vm->nested.table_count;
    vm_sample(vm, &touched, &sampled);
    ck_assert_uint_eq(vm->large.now, 0);
    ck_assert_uint_eq(vm->nested.table_count, tables + 2);
    for (uint64_t ppn = 0; ppn < FIX_PAGES; ppn++)
        ck_assert_uint_eq(guest_access(1, ppn, false, 0), ppn);
    vm_sample(vm, &touched, &sampled);
    ck_assert_uint_eq(touched, 100);
    ck_assert_uint_eq(vm->large.joined, 2);
    for (uint64_t ppn = 0; ppn < FIX_PAGES; ppn++)
        ck_assert_uint_eq(guest_access(ppn % 2, ppn, false, 0), ppn);
}
END_TEST

START_TEST(test_large_break__zeroes_are_freed__the_rest_stays)
{
    void *page;

    large_on();
    for (uint64_t ppn = 0; ppn < 100; ppn++)
        (void)guest_access(0, ppn, true, ppn + 1);
    ck_assert_int_eq(vm_dma_page(vm, ppn_make(200), &page), VMK_OK);
    ck_assert_uint_eq(share_page(&fix_share, 0, 300, 0), SHARE_NOTHING);
    ck_assert_uint_eq(vm_large_break(vm, 8), 512 - 101);
    ck_assert_uint_eq(guest_pages(), 101);
    poison();
    memset(page, 0x77, 8);
    vm_dma_page_release(page);
    for (uint64_t ppn = 0; ppn < 512; ppn++)
        ck_assert_uint_eq(guest_access(1, ppn, false, 0), ppn < 100 ? ppn + 1 : 0);
    ck_assert_uint_eq(*(uint64_t *)page, 0x7777777777777777ull);
    ck_assert_uint_eq(vm_large_break(vm, 8), 0);
    ck_assert_uint_eq(vm->large.zeroes, 411);
}
END_TEST

START_TEST(test_nested_join__nothing_there__not_found)
{
    mpn_t table;

    ck_assert_int_eq(nested_join(&vm->nested, gpa_make(0x200000), mpn_make(512), &table),
                     VMK_NOT_FOUND);
    ck_assert_int_eq(nested_split(&vm->nested, gpa_make(0x200000)), VMK_NOT_FOUND);
    ck_assert_int_eq(nested_map(&vm->nested, gpa_make(0x200000), mpn_make(512), true, true),
                     VMK_OK);
    ck_assert_int_eq(nested_join(&vm->nested, gpa_make(0x200000), mpn_make(512), &table),
                     VMK_NOT_FOUND);
    ck_assert_int_eq(nested_split(&vm->nested, gpa_make(0x212345)), VMK_OK);
    ck_assert_uint_eq(nested_lookup(&vm->nested, gpa_make(0x3ff000), NULL), 0x3ff007);
    ck_assert_int_eq(nested_join(&vm->nested, gpa_make(0x201000), mpn_make(512), &table),
                     VMK_BAD_PARAM);
    ck_assert_int_eq(nested_join(&vm->nested, gpa_make(0x200000), mpn_make(512), &table),
                     VMK_OK);
    page_free(table, 0, MEM_OWNER_P2M);
    ck_assert_uint_eq(nested_lookup(&vm->nested, gpa_make(0x3ff000), NULL), 0x200087);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_large__first_touch__one_fault_for_512_pages,
        test_large__host_has_little_or_chunk_is_touched__small_pages,
        test_large__half_a_chunk_at_the_end__small_pages,
        test_large__one_page_taken__others_stay,
        test_large__taken_whole__given_again_whole,
        test_large__sampled__split_then_joined_again,
        test_large_break__zeroes_are_freed__the_rest_stays,
        test_nested_join__nothing_there__not_found,
    };

    return tlb_fixture_run("vm_large", tests, ARRAY_COUNT(tests));
}
