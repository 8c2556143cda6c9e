// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/tlb_fixture.h -- vmm_fixture.h with two vCPUs whose guest reads and writes through a model TLB.
 *
 * Each vCPU keeps every translation it ever used, by ASID, for as long as the architecture lets
 * a processor keep it: until its VMCB gets another ASID or asks for a flush. So a change of the
 * nested table that nobody flushed for is used against the tests: they see old contents, or a
 * page that is somebody else's by now (poison()).
 *
 * Invariants
 *   - Between two accesses both vCPUs are halted: grace periods end without anybody to wait
 *     for.
 */
#pragma once

#include "tests/unit/vmm_fixture.h"

#include "core/trace.h"
#include "mem/share.h"
#include "vmm/vm_dma.h"
#include "vmm/vm_reclaim.h"

#define FIX_VCPUS 2u
#define FIX_PAGES ((FIX_RAM_MB << 20) / (unsigned)PAGE_SIZE)

struct tlb_entry {
    uint32_t asid;  // 0: none
    bool writable;
    uint64_t mpn;
};

static struct tlb_entry tlbs[FIX_VCPUS][FIX_PAGES];
static struct share_table fix_share;

static struct {
    unsigned vcpu;
    uint64_t ppn, value;
    bool write, done;
    uint64_t faults;
} access_now;

/* AMD's format, read by the book: 512 entries, present, write, 2 MB at level 2. */
static bool walk(uint64_t root, uint64_t ppn, bool *writable, uint64_t *mpn)
{
    uint64_t table = root;

    *writable = true;
    for (unsigned level = 4;; level--) {
        const uint64_t *entries = plat_map(paddr_make(table));
        uint64_t e = entries[ppn >> 9 * (level - 1) & 511];

        if (!(e & 1))
            return false;
        *writable = *writable && (e & 2);
        table = e & 0x000ffffffffff000ull;
        if (level == 1 || (level == 2 && (e & 0x80))) {
            *mpn = (table >> PAGE_SHIFT) + (level == 2 ? ppn & 511 : 0);
            return true;
        }
    }
}

static void tlb_enter(struct plat_guest_regs *regs, paddr_t pa)
{
    struct vmcb *b = plat_map(pa);
    struct tlb_entry *tlb = tlbs[access_now.vcpu];
    struct tlb_entry *e = &tlb[access_now.ppn];
    uint64_t *word;

    (void)regs;
    if (b->tlb_control != SVM_TLB_NONE)
        memset(tlbs, 0, sizeof(tlbs));  // one CPU runs both
    if (e->asid != b->asid || (access_now.write && !e->writable)) {
        struct tlb_entry fresh = {.asid = b->asid};

        if (!walk(b->nested_cr3, access_now.ppn, &fresh.writable, &fresh.mpn) ||
            (access_now.write && !fresh.writable)) {
            b->exit_code = SVM_EXIT_NPF;
            b->exit_info1 = access_now.write ? 2 : 0;
            b->exit_info2 = access_now.ppn << PAGE_SHIFT;
            access_now.faults++;
            return;
        }
        *e = fresh;
    }
    word = (uint64_t *)mpn_map(mpn_make(e->mpn)) + access_now.ppn % 512;
    if (access_now.write)
        *word = access_now.value;
    else
        access_now.value = *word;
    access_now.done = true;
    b->exit_code = SVM_EXIT_INTR;
}

/* One load or store of a word of a guest page, by a vCPU, and all the exits it takes. */
static uint64_t guest_access(unsigned vcpu, uint64_t ppn, bool write, uint64_t value)
{
    struct vcpu *v = vm->vcpus[vcpu];
    struct vm_exit exit;

    access_now.vcpu = vcpu;
    access_now.ppn = ppn;
    access_now.write = write;
    access_now.value = value;
    access_now.done = false;
    sim_svm_enter_hook(tlb_enter);
    v->state = VCPU_RUNNING;
    for (unsigned tries = 0; !access_now.done; tries++) {
        bool irqs;

        ck_assert_uint_lt(tries, 5);
        if (v->kicked) {
            v->kicked = false;
            vcpu_flush(v);
        }
        irqs = plat_irq_save();
        vt()->vcpu_load(v);
        vt()->run(v, &exit);
        vt()->vcpu_put(v);
        plat_irq_restore(irqs);
        if (exit.kind == VM_EXIT_NESTED_FAULT)
            ck_assert_int_eq(exit_nested_fault(v, &exit), EXIT_AGAIN);
    }
    v->state = VCPU_HALTED;
    return access_now.value;
}

/* Whoever gets a freed page next writes to it. */
__attribute__((unused)) static void poison(void)
{
    mpn_t mpns[64];
    unsigned count = 0;

    while (count < ARRAY_COUNT(mpns) && page_alloc(0, MEM_OWNER_TEST, &mpns[count]) == VMK_OK) {
        memset(mpn_map(mpns[count]), 0xd5, PAGE_SIZE);
        count++;
    }
    while (count)
        page_free(mpns[--count], 0, MEM_OWNER_TEST);
}

static void tlb_fixture_start(void)
{
    struct vmm_state *vmm;
    struct vcpu *second;

    fixture_start();
    vmm = this_host()->vmm;
    spin_init(&vmm->lock, "VMs", LOCK_RANK_VMS);
    vmm->vms[0] = vm;
    ck_assert_int_eq(share_init(&fix_share, 4096, &vm_share_ops, vmm), VMK_OK);
    vmm->share = &fix_share;
    ck_assert_int_eq(vm_reclaim_create(vm), VMK_OK);
    second = calloc(1, sizeof(*second));
    wait_queue_init(&second->halted, "vcpu");
    second->vm = vm;
    second->index = 1;
    second->sipi_vector = -1;
    second->xcr0 = 1;
    second->fpu = calloc(1, PLAT_FPU_AREA_SIZE);
    ck_assert_int_eq(vlapic_create(second), VMK_OK);
    ck_assert_int_eq(vt()->vcpu_create(second), VMK_OK);
    vm->vcpus[1] = second;
    vm->vcpu_count = FIX_VCPUS;
    vm->worlds_left = FIX_VCPUS;
    for (unsigned i = 0; i < FIX_VCPUS; i++)
        vm->vcpus[i]->state = VCPU_HALTED;
}

static void tlb_fixture_stop(void)
{
    free(vm->vcpus[1]->fpu);
    free(vm->vcpus[1]);
    fixture_stop();
}

static inline int tlb_fixture_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, tlb_fixture_start, tlb_fixture_stop);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
