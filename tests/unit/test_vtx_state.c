// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vtx_state.c -- guest state, injection and exits over a VMCS that is an array.
 *
 * The CPU below is the one of vtx_fixture.h; the tests of whole runs go through the table of
 * functions, as the run loop does.
 */
#include "tests/unit/vtx_fixture.h"
#include "tests/unit/suite_run.h"

struct fixture {
    const struct vtx_cpu *cpu;
    struct vtx_vcpu *x;
    struct vm vm;
    struct vcpu v;
};
static struct fixture f;

static void setup(void)
{
    memset(&f, 0, sizeof f);
    fake_reset();
    ck_assert(vt_backend_vtx.probe());
    ck_assert_int_eq(vt_backend_vtx.cpu_enable(), VMK_OK);
    f.v.vm = &f.vm;
    f.vm.nested.root = mpn_make(0x50);
    ck_assert_int_eq(vt_backend_vtx.vcpu_create(&f.v), VMK_OK);
    f.x = f.v.backend;
    f.cpu = fake_vmm.vtx_cpus[0];
    vt_backend_vtx.vcpu_load(&f.v);
}

static void teardown(void)
{
    if (f.x->loaded)
        vt_backend_vtx.vcpu_put(&f.v);
    vt_backend_vtx.vcpu_destroy(&f.v);
    vt_backend_vtx.cpu_disable();
    ck_assert_uint_eq(fake.pages_free, fake.pages_used);
    ck_assert_uint_eq(fake.heap_blocks, 0);
    ck_assert(!fake.vmx_on);
}

/* What plat_vmx_enter() and vtx_run() would add. */
static enum vmx_rule entry_rule(void)
{
    struct vmcs_image image;

    vmcs_write(VMCS_GUEST_RIP, f.x->rip);
    vmcs_image_read(&image);
    return vmx_check(&image, &f.cpu->facts);
}

#define ck_entry_legal() ck_assert_str_eq(vmx_rule_text(entry_rule()), vmx_rule_text(0))

START_TEST(test_vtx_state__reset__legal_and_as_the_manual_says)
{
    struct vt_segment cs;

    ck_entry_legal();
    vtx_get_segment(&f.v, VT_CS, &cs);
    ck_assert(cs.selector == 0xf000 && cs.base == 0xffff0000 && cs.limit == 0xffff);
    ck_assert_uint_eq(vtx_get(&f.v, VT_RIP), 0xfff0);
    ck_assert_uint_eq(vtx_get(&f.v, VT_CR0), 0x60000010);
    ck_assert_uint_eq(vtx_get(&f.v, VT_CR4), 0);
    ck_assert_uint_eq(vtx_get(&f.v, VT_RFLAGS), 2);
    ck_assert_uint_eq(vtx_get(&f.v, VT_EFER), 0);
    ck_assert_uint_eq(vtx_get(&f.v, VT_DR7), 0x400);
    ck_assert_uint_eq(vtx_cpl(&f.v), 0);
}
END_TEST

START_TEST(test_vtx_state__fixed_bits__real_but_hidden)
{
    vtx_set(&f.v, VT_CR0, 0x11);
    ck_assert_uint_eq(vtx_get(&f.v, VT_CR0), 0x11);
    ck_assert_uint_ne(vmcs_read(VMCS_GUEST_CR0) & CR0_NE, 0);
    vtx_set(&f.v, VT_CR4, 0x620);
    ck_assert_uint_eq(vtx_get(&f.v, VT_CR4), 0x620);
    ck_assert_uint_ne(vmcs_read(VMCS_GUEST_CR4) & CR4_VMXE, 0);
    /* A bit that the guest owns changes without an exit. */
    vmcs_write(VMCS_GUEST_CR0, vmcs_read(VMCS_GUEST_CR0) | CR0_TS);
    ck_assert_uint_eq(vtx_get(&f.v, VT_CR0), 0x19);
}
END_TEST

START_TEST(test_vtx_state__every_register__reads_back)
{
    static const enum vt_reg plain[] = {VT_RIP,         VT_RSP,          VT_CR2,         VT_CR3,
                                        VT_SYSENTER_CS, VT_SYSENTER_ESP, VT_SYSENTER_EIP};

    for (size_t i = 0; i < ARRAY_COUNT(plain); i++) {
        vtx_set(&f.v, plain[i], 0x1000 + i);
        ck_assert_uint_eq(vtx_get(&f.v, plain[i]), 0x1000 + i);
    }
    f.x->loaded = false;  // swapped registers are in memory then
    for (unsigned reg = VT_STAR; reg <= VT_KERNEL_GS_BASE; reg++) {
        vtx_set(&f.v, (enum vt_reg)reg, 0x2000 + reg);
        ck_assert_uint_eq(vtx_get(&f.v, (enum vt_reg)reg), 0x2000 + reg);
    }
    f.x->loaded = true;
    ck_assert(f.x->rip_dirty);
}
END_TEST

START_TEST(test_vtx_state__long_mode_on_and_off__control_follows)
{
    vtx_set(&f.v, VT_CR4, CR4_PAE);
    vtx_set(&f.v, VT_EFER, EFER_LME);
    ck_assert_uint_eq(vtx_get(&f.v, VT_EFER), EFER_LME);
    vtx_set(&f.v, VT_CR0, 0x80000011);
    ck_assert_uint_eq(vtx_get(&f.v, VT_EFER), EFER_LME | EFER_LMA);
    ck_assert_uint_ne(vmcs_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E, 0);
    ck_entry_legal();
    vtx_set(&f.v, VT_CR0, 0x11);
    ck_assert_uint_eq(vtx_get(&f.v, VT_EFER), EFER_LME);
    ck_assert_uint_eq(vmcs_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E, 0);
    ck_entry_legal();
}
END_TEST

START_TEST(test_vtx_state__pae_paging__pdptes_from_memory)
{
    fake.guest_pdptes[0] = 0x5001;
    fake.guest_pdptes[1] = 0x6003;  // reserved bit: must not fail the entry
    fake.guest_pdptes[3] = 0x8000000000007001;
    vtx_set(&f.v, VT_CR3, 0x4020);
    vtx_set(&f.v, VT_CR4, CR4_PAE);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_PDPTE_0), 0);
    vtx_set(&f.v, VT_CR0, 0x80000011);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_PDPTE_0), 0x5001);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_PDPTE_1), 0);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_PDPTE_3), 0);
    ck_entry_legal();
    vtx_set(&f.v, VT_CR3, 0xc0000000);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_PDPTE_0), 0);
    ck_entry_legal();
}
END_TEST

START_TEST(test_vtx_state__segments__mended_for_the_entry)
{
    struct vt_segment s = {.selector = 0x2b, .limit = 0xffffffff, .rights = 0xc0f2};

    vtx_set_segment(&f.v, VT_DS, &s);
    vtx_get_segment(&f.v, VT_DS, &s);
    ck_assert_uint_eq(s.rights, 0xc0f3);  // accessed
    s = (struct vt_segment){.selector = 0x40, .limit = 0x67, .rights = 0x89};
    vtx_set_segment(&f.v, VT_TR, &s);
    vtx_get_segment(&f.v, VT_TR, &s);
    ck_assert_uint_eq(s.rights, 0x8b);  // busy
    s = (struct vt_segment){.rights = VT_SEG_UNUSABLE};
    vtx_set_segment(&f.v, VT_LDTR, &s);
    ck_entry_legal();
    s = (struct vt_segment){.base = 0x1234, .limit = 0x7f};
    vtx_set_segment(&f.v, VT_IDTR, &s);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_IDTR_BASE), 0x1234);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_IDTR_LIMIT), 0x7f);
}
END_TEST

START_TEST(test_vtx_inject__types__fields_written)
{
    vtx_set(&f.v, VT_CR0, 0x11);
    f.v.inject = (struct vt_event){
        .valid = true, .type = VT_EVENT_EXCEPTION, .vector = 13, .has_error = true, .error = 8};
    vtx_inject(&f.v);
    ck_assert_uint_eq(vmcs_read(VMCS_ENTRY_EVENT), 0x80000b0d);
    ck_assert_uint_eq(vmcs_read(VMCS_ENTRY_ERROR_CODE), 8);
    ck_entry_legal();
    vtx_set(&f.v, VT_CR0, 0x10);
    vtx_inject(&f.v);
    ck_assert_uint_eq(vmcs_read(VMCS_ENTRY_EVENT), 0x8000030d);
    ck_entry_legal();
    f.v.inject = (struct vt_event){
        .valid = true, .type = VT_EVENT_SOFT_INTERRUPT, .vector = 0x10, .length = 2};
    vtx_inject(&f.v);
    ck_assert_uint_eq(vmcs_read(VMCS_ENTRY_LENGTH), 2);
    ck_entry_legal();
    vtx_set(&f.v, VT_RFLAGS, RFLAGS_IF);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI);
    f.v.inject = (struct vt_event){.valid = true, .type = VT_EVENT_NMI, .vector = 2};
    vtx_inject(&f.v);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY), 0);
    ck_entry_legal();
}
END_TEST

START_TEST(test_vtx_inject__may_it__if_shadows_and_blocking)
{
    static const struct {
        uint64_t rflags, blocking;
        bool interrupt, nmi;
    } rows[] = {
        {0, 0, false, true},          {RFLAGS_IF, 0, true, true},  {RFLAGS_IF, 1, false, true},
        {RFLAGS_IF, 2, false, false}, {RFLAGS_IF, 8, true, false},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        vtx_set(&f.v, VT_RFLAGS, rows[i].rflags);
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, rows[i].blocking);
        ck_assert_int_eq(vtx_can_inject_interrupt(&f.v), rows[i].interrupt);
        ck_assert_int_eq(vtx_can_inject_nmi(&f.v), rows[i].nmi);
        vtx_clear_shadow(&f.v);
        ck_assert_uint_eq(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY), rows[i].blocking & 8);
    }
}
END_TEST

START_TEST(test_vtx_inject__windows__bits_on_and_off)
{
    vtx_want_interrupt_window(&f.v, true);
    vtx_want_nmi_window(&f.v, true);
    ck_assert_uint_eq(vmcs_read(VMCS_PRIMARY_CONTROLS),
                      f.cpu->controls.primary | PRIMARY_IRQ_WINDOW | PRIMARY_NMI_WINDOW);
    ck_entry_legal();
    vtx_want_interrupt_window(&f.v, false);
    vtx_want_nmi_window(&f.v, false);
    ck_assert_uint_eq(vmcs_read(VMCS_PRIMARY_CONTROLS), f.cpu->controls.primary);
}
END_TEST

static struct vm_exit taken(uint32_t reason)
{
    struct vm_exit exit;

    vmcs_write(VMCS_EXIT_REASON, reason);
    vtx_exit_take(&f.v, &exit);
    return exit;
}

START_TEST(test_vtx_exit_take__cpuid__rip_and_length)
{
    vmcs_write(VMCS_EXIT_LENGTH, 2);
    vmcs_write(VMCS_GUEST_RIP, 0x7c00);
    struct vm_exit exit = taken(10);

    ck_assert_int_eq(exit.kind, VM_EXIT_CPUID);
    ck_assert(exit.length == 2 && exit.rip == 0x7c00);
    ck_assert_uint_eq(vtx_get(&f.v, VT_RIP), 0x7c00);
    ck_assert(!f.v.inject.valid);
}
END_TEST

START_TEST(test_vtx_exit_take__delivery_broken_off__event_comes_back)
{
    vmcs_write(VMCS_IDT_VECTORING, 0x80000480);
    vmcs_write(VMCS_EXIT_LENGTH, 2);
    taken(48);
    ck_assert(f.v.inject.valid && f.v.inject.type == VT_EVENT_SOFT_INTERRUPT);
    ck_assert(f.v.inject.vector == 0x80 && f.v.inject.length == 2);

    vmcs_write(VMCS_IDT_VECTORING, 0x80000b0e);
    vmcs_write(VMCS_IDT_ERROR_CODE, 6);
    taken(48);
    ck_assert(f.v.inject.vector == 14 && f.v.inject.has_error && f.v.inject.error == 6);

    /* An NMI: blocking came with its delivery and must go, or it could not go in again. */
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
    vmcs_write(VMCS_IDT_VECTORING, 0x80000202);
    taken(48);
    ck_assert(f.v.inject.type == VT_EVENT_NMI);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY), 0);
}
END_TEST

START_TEST(test_vtx_exit_take__iret_that_faults__nmis_blocked_again)
{
    vmcs_write(VMCS_QUALIFICATION, 0x181 | EVENT_NMI_UNBLOCKED);
    taken(48);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_NMI);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
    vmcs_write(VMCS_EXIT_EVENT, 0x80001b0d);
    taken(0);
    ck_assert_uint_eq(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY), BLOCKED_BY_NMI);
}
END_TEST

START_TEST(test_vtx_exit_take__entry_failed__rule_is_named)
{
    entry_rule();  // host state and EPTP
    vmcs_write(VMCS_GUEST_RFLAGS, 0);
    struct vm_exit exit = taken(0x80000021);

    ck_assert_int_eq(exit.kind, VM_EXIT_ENTRY_FAILED);
    ck_assert_str_eq(exit.failure.rule, vmx_rule_text(VMX_RULE_RFLAGS_FIXED));
}
END_TEST

/* ---- through the table of functions, with a scripted guest ---- */

static unsigned script_cpuid(struct plat_guest_regs *regs)
{
    regs->gpr[GPR_RAX] = 7;
    vmcs_write(VMCS_EXIT_REASON, 10);
    vmcs_write(VMCS_EXIT_LENGTH, 2);
    vmcs_write(VMCS_GUEST_RIP, 0x1002);
    return 0;
}

static unsigned script_interrupt(struct plat_guest_regs *regs)
{
    (void)regs;
    vmcs_write(VMCS_EXIT_REASON, 1);
    vmcs_write(VMCS_EXIT_EVENT, 0x80000000 | 0xec);
    return 0;
}

static unsigned script_nmi(struct plat_guest_regs *regs)
{
    (void)regs;
    vmcs_write(VMCS_EXIT_REASON, 0);
    vmcs_write(VMCS_EXIT_EVENT, 0x80000202);
    return 0;
}

static unsigned script_fail(struct plat_guest_regs *regs)
{
    (void)regs;
    return 2;
}

START_TEST(test_vtx_run__twice__launch_then_resume)
{
    struct vm_exit exit;

    fake.script = script_cpuid;
    f.v.inject = (struct vt_event){.valid = true, .type = VT_EVENT_NMI, .vector = 2};
    vtx_set(&f.v, VT_RIP, 0x1000);
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_int_eq(exit.kind, VM_EXIT_CPUID);
    ck_assert(!f.v.inject.valid && f.x->launched && !f.x->rip_dirty);
    ck_assert_uint_eq(exit.rip, 0x1002);
    vt_backend_vtx.run(&f.v, &exit);  // the fake refuses a second launch
    ck_assert_int_eq(exit.kind, VM_EXIT_CPUID);
    vt_backend_vtx.vcpu_put(&f.v);
    vt_backend_vtx.vcpu_load(&f.v);
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_int_eq(exit.kind, VM_EXIT_CPUID);
    ck_assert_uint_eq(fake.fpu_loads, 2);
    ck_assert_uint_eq(fake.fpu_saves, 1);
}
END_TEST

START_TEST(test_vtx_run__host_events__served_once)
{
    struct vm_exit exit;

    fake.script = script_interrupt;
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_int_eq(exit.kind, VM_EXIT_INTERRUPT);
    ck_assert(fake.interrupts == 1 && fake.last_vector == 0xec);
    fake.script = script_nmi;
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_int_eq(exit.kind, VM_EXIT_NMI);
    ck_assert(fake.interrupts == 1 && fake.nmis == 1);
}
END_TEST

START_TEST(test_vtx_run__vmfail__checker_is_asked)
{
    struct vm_exit exit;

    fake.script = script_fail;
    vmcs_write(VMCS_VPID, 0);
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_int_eq(exit.kind, VM_EXIT_ENTRY_FAILED);
    ck_assert_str_eq(exit.failure.rule, vmx_rule_text(VMX_RULE_VPID_ZERO));
    ck_assert(!f.x->launched);
}
END_TEST

START_TEST(test_vtx_run__tsc_offset_xcr0_flush__reach_hardware)
{
    struct vm_exit exit;
    unsigned before = fake.invepts;

    fake.script = script_cpuid;
    f.vm.tsc_offset = 0x1234;
    f.v.xcr0 = 7;
    f.v.tsc_aux = 3;
    vt_backend_vtx.flush_vcpu(&f.v);
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_uint_eq(vmcs_read(VMCS_TSC_OFFSET), 0x1234);
    ck_assert_uint_eq(plat_msr_read(MSR_TSC_AUX), 3);
    ck_assert_uint_eq(fake.fpu_loads, 2);
    ck_assert_uint_eq(fake.invepts, before + 1);
    vt_backend_vtx.run(&f.v, &exit);
    ck_assert_uint_eq(fake.invepts, before + 1);
}
END_TEST

START_TEST(test_vtx_vcpu__not_loaded__state_reachable_and_kept)
{
    vt_backend_vtx.vcpu_put(&f.v);
    vtx_set(&f.v, VT_RSP, 0x9000);
    vtx_set(&f.v, VT_LSTAR, 0xffffffff81000000);
    vt_backend_vtx.want_interrupt_window(&f.v, true);
    ck_assert_int_eq(fake.current, -1);
    ck_assert_uint_eq(vtx_get(&f.v, VT_RSP), 0x9000);
    vt_backend_vtx.vcpu_load(&f.v);
    ck_assert_uint_eq(plat_msr_read(MSR_LSTAR), 0xffffffff81000000);
    ck_assert_uint_ne(vmcs_read(VMCS_PRIMARY_CONTROLS) & PRIMARY_IRQ_WINDOW, 0);
    plat_msr_write(MSR_LSTAR, 5);  // the guest did, without an exit
    vt_backend_vtx.vcpu_put(&f.v);
    ck_assert_uint_eq(vtx_get(&f.v, VT_LSTAR), 5);
}
END_TEST

START_TEST(test_vtx_vcpu__msr_bitmap__only_the_guests_own_are_free)
{
    const uint8_t *bitmap = mpn_map(f.x->msr_bitmap);
    unsigned free_bits = 0;

    for (unsigned i = 0; i < PAGE_SIZE * 8; i++)
        free_bits += !(bitmap[i / 8] >> (i % 8) & 1);
    ck_assert_uint_eq(free_bits, 2 * 10);
    ck_assert(!(bitmap[0x400 + 0x82 / 8] >> 2 & 1) && !(bitmap[0xc00 + 0x102 / 8] >> 2 & 1));
    ck_assert(!(bitmap[0x174 / 8] >> 4 & 1) && (bitmap[0x400 + 0x80 / 8] & 1));  // not EFER
}
END_TEST

START_TEST(test_vtx_probe__no_vmx_or_locked_off__no)
{
    fake.cpuid_1_ecx = 0;
    ck_assert(!vt_backend_vtx.probe());
    fake.cpuid_1_ecx = BIT(5);
    *fake_msr(MSR_FEATURE_CONTROL) = 1;
    ck_assert(!vt_backend_vtx.probe());
    *fake_msr(MSR_FEATURE_CONTROL) = 5;
    ck_assert(vt_backend_vtx.probe());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vtx_state");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_vtx_state__reset__legal_and_as_the_manual_says);
    tcase_add_test(tc, test_vtx_state__fixed_bits__real_but_hidden);
    tcase_add_test(tc, test_vtx_state__every_register__reads_back);
    tcase_add_test(tc, test_vtx_state__long_mode_on_and_off__control_follows);
    tcase_add_test(tc, test_vtx_state__pae_paging__pdptes_from_memory);
    tcase_add_test(tc, test_vtx_state__segments__mended_for_the_entry);
    tcase_add_test(tc, test_vtx_inject__types__fields_written);
    tcase_add_test(tc, test_vtx_inject__may_it__if_shadows_and_blocking);
    tcase_add_test(tc, test_vtx_inject__windows__bits_on_and_off);
    tcase_add_test(tc, test_vtx_exit_take__cpuid__rip_and_length);
    tcase_add_test(tc, test_vtx_exit_take__delivery_broken_off__event_comes_back);
    tcase_add_test(tc, test_vtx_exit_take__iret_that_faults__nmis_blocked_again);
    tcase_add_test(tc, test_vtx_exit_take__entry_failed__rule_is_named);
    tcase_add_test(tc, test_vtx_run__twice__launch_then_resume);
    tcase_add_test(tc, test_vtx_run__host_events__served_once);
    tcase_add_test(tc, test_vtx_run__vmfail__checker_is_asked);
    tcase_add_test(tc, test_vtx_run__tsc_offset_xcr0_flush__reach_hardware);
    tcase_add_test(tc, test_vtx_vcpu__not_loaded__state_reachable_and_kept);
    tcase_add_test(tc, test_vtx_vcpu__msr_bitmap__only_the_guests_own_are_free);
    tcase_add_test(tc, test_vtx_probe__no_vmx_or_locked_off__no);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
