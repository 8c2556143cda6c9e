// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/vmm_fixture.h -- a VM with one vCPU on the AMD-V back end, on the simulated machine.
 *
 * Everything is real but VMRUN, whose effect a test gives with sim_svm_enter_hook(). Include it
 * in one file of a test program.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "mem/page.h"
#include "sim/platform/sim.h"
#include "vmm/svm/svm.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"
#include "tests/unit/suite_run.h"

static struct vm *vm;
static struct vcpu *cpu;
static struct vmcb *vmcb;

#define FIX_RAM_MB 4u

static void fixture_start(void)
{
    sim_test_begin();
    sim_virt_reset();
    sim_cpuid_set(0x80000000u, 0, (struct plat_cpuid){0x8000001fu, 0, 0, 0});
    sim_cpuid_set(0x80000001u, 0, (struct plat_cpuid){0, 0, BIT(2) | BIT(0), 0x2fffffff});
    sim_cpuid_set(0x8000000au, 0, (struct plat_cpuid){1, 16, 0, SVM_FEATURE_NPT});
    sim_msr_set(MSR_VM_CR, 0);
    sim_msr_set(0xc0000080u, 0xd01);
    sim_msr_set(MSR_VM_HSAVE_PA, 0);
    ck_assert(vt_backend_svm.probe());
    ck_assert_int_eq(vt_backend_svm.cpu_enable(), VMK_OK);
    this_host()->vmm->backend = &vt_backend_svm;

    vm = calloc(1, sizeof(*vm));
    cpu = calloc(1, sizeof(*cpu));
    spin_init(&vm->lock, "vm", LOCK_RANK_VM);
    wait_queue_init(&vm->ended, "vm");
    wait_queue_init(&cpu->halted, "vcpu");
    vm->state = VM_STATE_ON;
    vm->vcpu_count = 1;
    vm->vcpus[0] = cpu;
    vm->page_count = vm->low_page_count = (FIX_RAM_MB << 20) / PAGE_SIZE;
    ck_assert_int_eq(nested_init(&vm->nested, vt()->nested_format), VMK_OK);
    ck_assert_int_eq(p2m_init(&vm->p2m, vm->page_count), VMK_OK);
    cpu->vm = vm;
    cpu->sipi_vector = -1;
    cpu->state = VCPU_RUNNING;
    cpu->xcr0 = 1;
    cpu->fpu = calloc(1, PLAT_FPU_AREA_SIZE);
    ck_assert_int_eq(vlapic_create(cpu), VMK_OK);
    ck_assert_int_eq(vt()->vcpu_create(cpu), VMK_OK);
    vmcb = ((struct svm_vcpu *)cpu->backend)->vmcb;
}

static void fixture_stop(void)
{
    free(cpu->fpu);
    free(cpu);
    free(vm);
}

/* 64-bit mode with paging, flat segments, CPL 0 and the given root table. */
__attribute__((unused)) static void fixture_long_mode(uint64_t cr3)
{
    struct vt_segment code = {8, 0xffffffff, 0xa09b, 0};

    vt()->set(cpu, VT_CR4, CR4_PAE);
    vt()->set(cpu, VT_CR3, cr3);
    vt()->set(cpu, VT_EFER, EFER_LME | EFER_NXE);
    vt()->set(cpu, VT_CR0, CR0_PG | CR0_PE | CR0_WP);
    vt()->set_segment(cpu, VT_CS, &code);
}

__attribute__((unused)) static void guest_store(uint64_t gpa, uint64_t value)
{
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(gpa), &value, 8), VMK_OK);
}

static inline int fixture_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, fixture_start, fixture_stop);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
