// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_balloon.c -- the balloon's port, as vmw_balloon drives it and as it does not.
 */
#include "tests/unit/tlb_fixture.h"

#include "vmm/dev/balloon.h"

enum {
    START,
    TARGET,
    LOCK,
    UNLOCK,
    GUEST_ID,
    B_LOCK = 6,
    B_UNLOCK,
    B_LOCK_2M,
    B_UNLOCK_2M
};
enum {
    OK,
    BAD_COMMAND,
    INVALID,
    LOCKED,
    UNLOCKED,
    PINNED,
    NOT_NEEDED,
    RESET,
    BUSY
};

#define OK_WITH_CAPS 0x03000000u
#define ALL_CAPS     0x2eu  // basic, batched, 2 MB, 64 bits

static uint64_t call(uint64_t command, uint64_t argument, uint64_t count)
{
    uint64_t *gpr = cpu->regs.gpr;

    gpr[GPR_RAX] = 0x456c6d6f;
    gpr[GPR_RCX] = command;
    gpr[GPR_RBX] = argument;
    gpr[GPR_RSI] = count;
    cpu->state = VCPU_RUNNING;
    ck_assert(vcpu_balloon(cpu, true));
    vcpu_flush(cpu);
    cpu->state = VCPU_HALTED;
    return gpr[GPR_RAX];
}

static void connect(void)
{
    vm->balloon.target = FIX_PAGES;
    ck_assert_uint_eq(call(START, ALL_CAPS, 0), OK_WITH_CAPS);
    ck_assert_uint_eq(cpu->regs.gpr[GPR_RCX], ALL_CAPS);
}

START_TEST(test_balloon__other_magic_or_write__is_not_ours)
{
    cpu->regs.gpr[GPR_RAX] = 0x564d5868;
    ck_assert(!vcpu_balloon(cpu, true));
    cpu->regs.gpr[GPR_RAX] = 0x456c6d6f;
    ck_assert(!vcpu_balloon(cpu, false));
}
END_TEST

START_TEST(test_balloon__before_start__bad_command)
{
    ck_assert_uint_eq(call(LOCK, 3, 0), BAD_COMMAND);
    ck_assert_uint_eq(call(B_LOCK, 3, 1), BAD_COMMAND);
    ck_assert_uint_eq(call(5, 0, 0), BAD_COMMAND);
    ck_assert_uint_eq(call(99, 0, 0), BAD_COMMAND);
    ck_assert_uint_eq(call(START, 2, 0), OK);  // a driver that knows no capabilities
    ck_assert_uint_eq(call(B_LOCK, 3, 1), BAD_COMMAND);
    ck_assert_uint_eq(call(LOCK, 3, 0), NOT_NEEDED);
}
END_TEST

START_TEST(test_balloon__lock_and_unlock__memory_goes_and_comes_zeroed)
{
    uint64_t before;

    connect();
    (void)guest_access(0, 700, true, 5);
    before = page_owned_count(MEM_OWNER_GUEST);
    ck_assert_uint_eq(call(LOCK, 700, 0), OK);
    ck_assert_uint_eq(cpu->regs.gpr[GPR_RBX], FIX_PAGES);
    ck_assert_uint_eq(call(LOCK, 700, 0), LOCKED);
    ck_assert_uint_eq(call(LOCK, FIX_PAGES, 0), INVALID);
    ck_assert_uint_eq(call(LOCK, UINT64_MAX, 0), INVALID);
    bool irqs = spin_lock(&vm->lock);
    vm_limbo_collect_locked(vm);
    spin_unlock(&vm->lock, irqs);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), before - 1);
    ck_assert_uint_eq(call(UNLOCK, 700, 0), OK);
    ck_assert_uint_eq(call(UNLOCK, 700, 0), UNLOCKED);
    ck_assert_uint_eq(guest_access(1, 700, false, 0), 0);
    ck_assert_uint_eq(vm->balloon.locks, 1);
    ck_assert_uint_eq(vm->balloon.unlocks, 1);
}
END_TEST

START_TEST(test_balloon__batch__each_page_has_its_answer)
{
    static const uint64_t ppns[] = {600, 601, FIX_PAGES + 9, 600};
    static const uint64_t answers[] = {OK, OK, INVALID, LOCKED};
    uint64_t entry;

    connect();
    for (unsigned i = 0; i < ARRAY_COUNT(ppns); i++)
        guest_store(0x3000 + 8 * i, ppns[i] << PAGE_SHIFT);
    ck_assert_uint_eq(call(B_LOCK, 3, ARRAY_COUNT(ppns)), OK);
    for (unsigned i = 0; i < ARRAY_COUNT(ppns); i++) {
        ck_assert_int_eq(vm_memory_read(vm, gpa_make(0x3000 + 8 * i), &entry, 8), VMK_OK);
        ck_assert_uint_eq(entry, ppns[i] << PAGE_SHIFT | answers[i]);
    }
    ck_assert_uint_eq(call(B_LOCK, 3, 513), INVALID);
    ck_assert_uint_eq(call(B_LOCK, FIX_PAGES, 1), INVALID);
    ck_assert_uint_eq(call(B_LOCK, BIT(41), 1), INVALID);
}
END_TEST

START_TEST(test_balloon__batch_of_2_mb__all_of_it_or_nothing)
{
    uint64_t entry;

    connect();
    for (uint64_t ppn = 512; ppn < 1024; ppn++)
        (void)guest_access(0, ppn, true, ppn);
    guest_store(0x3000, 512 << PAGE_SHIFT);
    guest_store(0x3008, 513 << PAGE_SHIFT);
    ck_assert_uint_eq(call(B_LOCK_2M, 3, 2), OK);
    ck_assert_uint_eq(vm->p2m.count[P2M_BALLOONED], 512);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0x3000), &entry, 8), VMK_OK);
    ck_assert_uint_eq(entry & 0xfff, OK);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0x3008), &entry, 8), VMK_OK);
    ck_assert_uint_eq(entry & 0xfff, INVALID);
    guest_store(0x3000, 512 << PAGE_SHIFT);
    ck_assert_uint_eq(call(B_UNLOCK_2M, 3, 1), OK);
    ck_assert_uint_eq(vm->p2m.count[P2M_BALLOONED], 0);
    for (uint64_t ppn = 512; ppn < 1024; ppn++)
        ck_assert_uint_eq(guest_access(1, ppn, false, 0), 0);
    // One page of it is a device's: none is taken.
    void *page;

    ck_assert_int_eq(vm_dma_page(vm, ppn_make(1000), &page), VMK_OK);
    guest_store(0x3000, 512 << PAGE_SHIFT);
    ck_assert_uint_eq(call(B_LOCK_2M, 3, 1), OK);
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(0x3000), &entry, 8), VMK_OK);
    ck_assert_uint_eq(entry & 0xfff, PINNED);
    ck_assert_uint_eq(vm->p2m.count[P2M_BALLOONED], 0);
    vm_dma_page_release(page);
}
END_TEST

START_TEST(test_balloon__page_touched_in_the_balloon__driver_begins_anew)
{
    connect();
    ck_assert_uint_eq(call(LOCK, 800, 0), OK);
    ck_assert_uint_eq(call(LOCK, 801, 0), OK);
    (void)guest_access(0, 800, true, 1);
    ck_assert_uint_eq(call(TARGET, 1000, 0), RESET);
    ck_assert_uint_eq(call(UNLOCK, 801, 0), RESET);
    connect();
    ck_assert_uint_eq(vm->p2m.count[P2M_BALLOONED], 0);
    ck_assert_uint_eq(guest_access(0, 800, false, 0), 1);
    ck_assert_uint_eq(call(TARGET, 1000, 0), OK);
    ck_assert_uint_eq(vm->balloon.guest_pages, 1000);
    ck_assert_uint_eq(vm->balloon.resets, 2);
}
END_TEST

START_TEST(test_balloon__target_reached__not_needed)
{
    connect();
    vm->balloon.target = 1;
    ck_assert_uint_eq(call(LOCK, 800, 0), OK);
    ck_assert_uint_eq(call(LOCK, 801, 0), NOT_NEEDED);
    ck_assert_uint_eq(call(START, 0, 0), BAD_COMMAND);  // the driver leaves
    ck_assert_uint_eq(vm->p2m.count[P2M_BALLOONED], 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_balloon__other_magic_or_write__is_not_ours,
        test_balloon__before_start__bad_command,
        test_balloon__lock_and_unlock__memory_goes_and_comes_zeroed,
        test_balloon__batch__each_page_has_its_answer,
        test_balloon__batch_of_2_mb__all_of_it_or_nothing,
        test_balloon__page_touched_in_the_balloon__driver_begins_anew,
        test_balloon__target_reached__not_needed,
    };

    return tlb_fixture_run("balloon", tests, ARRAY_COUNT(tests));
}
