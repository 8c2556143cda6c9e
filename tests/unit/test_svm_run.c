// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_svm_run.c -- AMD-V: VMCB fields, exit translation, events; and the handlers of
 * control registers, MSRs and CPUID on top of it.
 */
#include "tests/unit/vmm_fixture.h"

static struct {
    uint64_t code, info1, info2, event;
    uint64_t injected;
    bool v_intr_taken;
    bool v_intr_lost;
    unsigned entries;
} next;

static void enter(struct plat_guest_regs *regs, paddr_t pa)
{
    struct vmcb *b = plat_map(pa);

    (void)regs;
    next.entries++;
    next.injected = b->event_inject;
    b->exit_code = next.code;
    b->exit_info1 = next.info1;
    b->exit_info2 = next.info2;
    b->exit_int_info = next.event;
    if (next.v_intr_taken || next.v_intr_lost)
        b->v_intr &= ~SVM_V_IRQ;
    if (next.v_intr_taken)
        b->rip += 0x100;  // its handler
}

static struct vm_exit run(uint64_t code, uint64_t info1, uint64_t info2)
{
    struct vm_exit exit;
    bool irqs = plat_irq_save();

    memset(&exit, 0xee, sizeof(exit));
    next.code = code;
    next.info1 = info1;
    next.info2 = info2;
    sim_svm_enter_hook(enter);
    vt()->vcpu_load(cpu);
    vt()->run(cpu, &exit);
    vt()->vcpu_put(cpu);
    plat_irq_restore(irqs);
    return exit;
}

START_TEST(test_svm_segment__set_then_get__same_rights)
{
    struct vt_segment in = {0x10, 0xfffff, 0xc093, 0x1000}, out;

    vt()->set_segment(cpu, VT_SS, &in);
    ck_assert_uint_eq(vmcb->ss.attributes, 0xc93);
    vt()->get_segment(cpu, VT_SS, &out);
    ck_assert_uint_eq(out.rights, 0xc093);
    ck_assert_uint_eq(out.base, 0x1000);
    in.rights = (uint32_t)VT_SEG_UNUSABLE;
    vt()->set_segment(cpu, VT_FS, &in);
    vt()->get_segment(cpu, VT_FS, &out);
    ck_assert_uint_eq(out.rights, VT_SEG_UNUSABLE);
}
END_TEST

START_TEST(test_svm_efer__lme_and_paging__lma_follows_and_svme_hides)
{
    vt()->set(cpu, VT_CR4, CR4_PAE);
    vt()->set(cpu, VT_EFER, EFER_LME);
    ck_assert_uint_eq(vt()->get(cpu, VT_EFER), EFER_LME);
    vt()->set(cpu, VT_CR0, CR0_PG | CR0_PE);
    ck_assert_uint_eq(vt()->get(cpu, VT_EFER), EFER_LME | EFER_LMA);
    vt()->set(cpu, VT_CR0, CR0_PE);
    ck_assert_uint_eq(vt()->get(cpu, VT_EFER), EFER_LME);
    ck_assert_uint_eq(vmcb->efer, EFER_LME | EFER_SVME);
}
END_TEST

START_TEST(test_svm_run__exit_codes__kinds)
{
    static const struct {
        uint64_t code;
        enum vm_exit_kind kind;
    } rows[] = {
        {SVM_EXIT_INTR, VM_EXIT_INTERRUPT},       {SVM_EXIT_NMI, VM_EXIT_NMI},
        {SVM_EXIT_VINTR, VM_EXIT_IRQ_WINDOW},     {SVM_EXIT_SHUTDOWN, VM_EXIT_TRIPLE_FAULT},
        {SVM_EXIT_VMRUN, VM_EXIT_VIRT_INSN},      {SVM_EXIT_MWAIT, VM_EXIT_MONITOR},
        {SVM_EXIT_INVALID, VM_EXIT_ENTRY_FAILED}, {0x399, VM_EXIT_UNKNOWN}};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        ck_assert_int_eq(run(rows[i].code, 0, 0).kind, rows[i].kind);
}
END_TEST

START_TEST(test_svm_run__port__size_direction_and_length)
{
    struct vm_exit exit;

    vt()->set(cpu, VT_RIP, 0x100);
    exit = run(SVM_EXIT_IOIO, 0x03f80011, 0x101);
    ck_assert_int_eq(exit.kind, VM_EXIT_IO);
    ck_assert_uint_eq(exit.io.port, 0x3f8);
    ck_assert_uint_eq(exit.io.size, 1);
    ck_assert(exit.io.in && !exit.io.string && !exit.io.rep);
    ck_assert_uint_eq(exit.length, 1);
}
END_TEST

START_TEST(test_svm_run__cpuid_with_prefix__length_is_decoded)
{
    struct vt_segment cs = {0, 0xffff, 0x9b, 0};
    const uint8_t code[] = {0xf3, 0x0f, 0xa2};

    vt()->set_segment(cpu, VT_CS, &cs);
    vt()->set(cpu, VT_RIP, 0x1000);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(0x1000), code, sizeof(code)), VMK_OK);
    ck_assert_uint_eq(run(SVM_EXIT_CPUID, 0, 0).length, 3);
    ck_assert_uint_eq(run(SVM_EXIT_CPUID, 0, 0).length, 3);
}
END_TEST

START_TEST(test_svm_run__mov_to_cr4__register_is_decoded)
{
    const uint8_t code[] = {0x0f, 0x22, 0xe3};  // mov %ebx, %cr4
    struct vt_segment cs = {0, 0xffff, 0x9b, 0};
    struct vm_exit exit;

    vt()->set_segment(cpu, VT_CS, &cs);
    vt()->set(cpu, VT_RIP, 0x1000);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(0x1000), code, sizeof(code)), VMK_OK);
    exit = run(SVM_EXIT_CR_WRITE + 4, 0, 0);
    ck_assert_int_eq(exit.kind, VM_EXIT_CR_ACCESS);
    ck_assert_uint_eq(exit.cr.number, 4);
    ck_assert(exit.cr.write);
    ck_assert_uint_eq(exit.cr.gpr, GPR_RBX);
    ck_assert_uint_eq(exit.length, 3);
}
END_TEST

START_TEST(test_svm_run__event_cut_short__goes_in_again)
{
    cpu->inject = (struct vt_event){
        .valid = true, .type = VT_EVENT_EXCEPTION, .vector = 14, .has_error = true, .error = 2};
    next.event = BIT(31) | BIT(11) | 3 << 8 | 14 | 2ull << 32;
    (void)run(SVM_EXIT_NPF, 0, 0x5000);
    ck_assert_uint_eq(next.injected, next.event);
    ck_assert(cpu->inject.valid);
    ck_assert_uint_eq(cpu->inject.vector, 14);
    ck_assert_uint_eq(cpu->inject.error, 2);
    next.event = BIT(31) | 4 << 8 | 0x80;  // INT 80h: runs again by itself
    (void)run(SVM_EXIT_NPF, 0, 0x5000);
    ck_assert(!cpu->inject.valid);
}
END_TEST

START_TEST(test_svm_run__interrupt__virtual_until_taken)
{
    const struct vt_event timer = {.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 0xec};
    struct vm_exit exit;

    vt()->set(cpu, VT_RFLAGS, RFLAGS_IF);
    next.event = 0;
    cpu->inject = timer;
    exit = run(SVM_EXIT_INTR, 0, 0);  // before the guest took it
    ck_assert_int_eq(exit.kind, VM_EXIT_INTERRUPT);
    ck_assert_uint_eq(next.injected, 0);
    ck_assert_uint_eq(vmcb->v_intr >> 32, 0xec);
    ck_assert(vmcb->v_intr & SVM_V_IRQ);
    ck_assert(!vt()->can_inject_interrupt(cpu));
    vt()->want_interrupt_window(cpu, true);  // not while one is on its way
    ck_assert(!(vmcb->intercept_misc1 & SVM_MISC1(SVM_EXIT_VINTR)));
    vt()->want_interrupt_window(cpu, false);
    ck_assert(vmcb->v_intr & SVM_V_IRQ);
    next.v_intr_lost = true;  // QEMU forgot it: the guest is where it was
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert_uint_eq(vmcb->v_intr >> 32, 0xec);
    ck_assert(vmcb->v_intr & SVM_V_IRQ);
    next.v_intr_lost = false;
    next.v_intr_taken = true;
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert(!cpu->inject.valid);
    ck_assert(vt()->can_inject_interrupt(cpu));

    next.v_intr_taken = false;
    cpu->inject = timer;  // the push faulted: QEMU leaves V_IRQ set and calls it an exception
    next.event = BIT(31) | 3 << 8 | 0xec;
    (void)run(SVM_EXIT_NPF, 0, 0x5000);
    ck_assert(cpu->inject.valid);
    ck_assert_int_eq(cpu->inject.type, VT_EVENT_INTERRUPT);
    ck_assert(!(vmcb->v_intr & SVM_V_IRQ));

    next.event = 0;  // a halt in the shadow of STI: the loop has to see it
    vt()->set_segment(cpu, VT_CS, &(struct vt_segment){0, 0xffff, 0x9b, 0});
    vt()->set(cpu, VT_RIP, 0x1000);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(0x1000), "\xf4", 1), VMK_OK);
    (void)run(SVM_EXIT_HLT, 0, 0);
    ck_assert(cpu->inject.valid);
    ck_assert_uint_eq(cpu->inject.vector, 0xec);
    (void)run(SVM_EXIT_INTR, 0, 0);
    vt()->clear_shadow(cpu);
    ck_assert(!(vmcb->v_intr & SVM_V_IRQ));
}
END_TEST

START_TEST(test_svm_run__delivery_faults__interrupt_is_gone_and_the_fault_goes_in)
{
    struct vm_exit exit;

    vt()->set(cpu, VT_RFLAGS, RFLAGS_IF);
    next.event = 0;
    ck_assert_uint_eq(vmcb->intercept_exceptions, BIT(13));
    cpu->inject = (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 0x91};
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert_uint_eq(vmcb->intercept_exceptions & (BIT(11) | BIT(14)), BIT(11) | BIT(14));
    next.event = BIT(31) | 3 << 8 | 0x91;  // no gate: as QEMU says it, V_IRQ still set
    exit = run(SVM_EXIT_EXCEPTION + 11, 0x912, 0);
    ck_assert_int_eq(exit.kind, VM_EXIT_EXCEPTION);
    ck_assert_uint_eq(exit.exception.vector, 11);
    ck_assert(!(vmcb->v_intr & SVM_V_IRQ));
    ck_assert_uint_eq(vmcb->intercept_exceptions, BIT(13));
    ck_assert_int_eq(vm_exit_dispatch(cpu, &exit), EXIT_RESUME);
    ck_assert_int_eq(cpu->inject.type, VT_EVENT_EXCEPTION);
    ck_assert_uint_eq(cpu->inject.vector, 11);
    ck_assert_uint_eq(cpu->inject.error, 0x912);
    cpu->inject.valid = false;
}
END_TEST

START_TEST(test_svm_run__nmi_iret_faults__frame_has_no_step)
{
    struct vm_exit exit;

    next.event = 0;
    vt()->set(cpu, VT_RFLAGS, 0);
    vt()->set(cpu, VT_RIP, 0x1000);
    cpu->inject = (struct vt_event){.valid = true, .type = VT_EVENT_NMI, .vector = 2};
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert(!vt()->can_inject_nmi(cpu));
    (void)run(SVM_EXIT_IRET, 0, 0);
    vt()->want_nmi_window(cpu, true);
    ck_assert(vmcb->rflags & RFLAGS_TF);
    exit = run(SVM_EXIT_EXCEPTION + 11, 0x20, 0);
    ck_assert_int_eq(exit.kind, VM_EXIT_EXCEPTION);
    ck_assert(!(vmcb->rflags & RFLAGS_TF));
    ck_assert_uint_eq(vmcb->intercept_exceptions, BIT(13));
    vt()->clear_shadow(cpu);
}
END_TEST

START_TEST(test_svm_run__shadow_before_hlt__halts_without_an_entry)
{
    struct vm_exit exit;

    next.event = 0;
    vt()->set_segment(cpu, VT_CS, &(struct vt_segment){0, 0xffff, 0x9b, 0});
    vt()->set(cpu, VT_RIP, 0x1000);
    vt()->set(cpu, VT_RFLAGS, RFLAGS_IF);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(0x1000), "\xf4\x90", 2), VMK_OK);
    next.entries = 0;
    ck_assert_int_eq(run(SVM_EXIT_INTR, 0, 0).kind, VM_EXIT_INTERRUPT);
    ck_assert_uint_eq(next.entries, 1);  // no shadow: as the processor says
    vmcb->interrupt_shadow = 1;
    exit = run(SVM_EXIT_INTR, 0, 0);
    ck_assert_uint_eq(next.entries, 1);
    ck_assert_int_eq(exit.kind, VM_EXIT_HLT);
    ck_assert_uint_eq(exit.length, 1);
    ck_assert_uint_eq(exit.rip, 0x1000);
    vt()->set(cpu, VT_RIP, 0x1001);  // something else
    ck_assert_int_eq(run(SVM_EXIT_INTR, 0, 0).kind, VM_EXIT_INTERRUPT);
    vt()->set(cpu, VT_RIP, 0x1000);
    vmcb->cpl = 3;  // would fault
    (void)run(SVM_EXIT_INTR, 0, 0);
    vmcb->cpl = 0;
    cpu->inject = (struct vt_event){.valid = true, .type = VT_EVENT_EXCEPTION, .vector = 6};
    (void)run(SVM_EXIT_INTR, 0, 0);  // an exception comes first
    ck_assert_uint_eq(next.entries, 4);
}
END_TEST

START_TEST(test_svm_run__virtual_interrupt__host_looks_at_its_apic)
{
    next.event = 0;
    plat_cr_write(8, 5);
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert_uint_eq(plat_cr_read(8), 5);
    vt()->set(cpu, VT_RFLAGS, RFLAGS_IF);
    cpu->inject = (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 0x60};
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert_uint_eq(plat_cr_read(8), 0);
}
END_TEST

START_TEST(test_svm_run__asids_used_up__flush_and_new_generation)
{
    struct svm_vcpu *s = cpu->backend;

    for (unsigned i = 0; i < 40; i++) {
        vt()->flush_vcpu(cpu);
        (void)run(SVM_EXIT_INTR, 0, 0);
        ck_assert_uint_ge(vmcb->asid, 1);
        ck_assert_uint_lt(vmcb->asid, 16);
    }
    ck_assert_uint_ge(s->generation, 3);
}
END_TEST

START_TEST(test_svm_window__wanted__virtual_interrupt_is_set)
{
    vt()->want_interrupt_window(cpu, true);
    ck_assert(vmcb->v_intr & SVM_V_IRQ);
    ck_assert(vmcb->intercept_misc1 & SVM_MISC1(SVM_EXIT_VINTR));
    vt()->want_interrupt_window(cpu, false);
    ck_assert_uint_eq(vmcb->v_intr, SVM_V_INTR_MASKING);
}
END_TEST

START_TEST(test_svm_run__interrupt_while_window_is_wanted__is_virtual_too)
{
    vt()->set(cpu, VT_RFLAGS, RFLAGS_IF);
    vt()->want_interrupt_window(cpu, true);
    cpu->window = true;
    cpu->inject = (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 0x60};
    next.event = 0;
    (void)run(SVM_EXIT_INTR, 0, 0);
    ck_assert_uint_eq(next.injected, 0);  // QEMU may deliver what EVENTINJ holds twice
    ck_assert(!(vmcb->intercept_misc1 & SVM_MISC1(SVM_EXIT_VINTR)));
    ck_assert_uint_eq((uint8_t)(vmcb->v_intr >> 32), 0x60);
    ck_assert(!cpu->window);  // asked for again when the loop looks
}
END_TEST

START_TEST(test_svm_run__host_state_came_out_as_the_guests__vm_ends)
{
    struct vm_exit exit;

    plat_cr_write(3, 0x7f8000);
    vt()->set(cpu, VT_CR3, 0x7f9000);
    exit = run(SVM_EXIT_NPF, NPF_GUEST_TABLE | 6, 0x7f8ff8);
    ck_assert_int_eq(exit.kind, VM_EXIT_NESTED_FAULT);
    vt()->set(cpu, VT_CR3, 0x7f8000);
    exit = run(SVM_EXIT_NPF, 6, 0x7f8ff8);  // not a table
    ck_assert_int_eq(exit.kind, VM_EXIT_NESTED_FAULT);
    exit = run(SVM_EXIT_NPF, NPF_GUEST_TABLE | 6, 0x7f8ff8);
    ck_assert_int_eq(exit.kind, VM_EXIT_ENTRY_FAILED);
    ck_assert_int_eq(vm_exit_dispatch(cpu, &exit), EXIT_KILL_VM);
    plat_cr_write(3, 0);
}
END_TEST

START_TEST(test_vcpu_raise__second_exception__merges)
{
    vcpu_raise_gp(cpu);
    vcpu_raise_pf(cpu, 0x1234, 0);
    ck_assert_uint_eq(cpu->inject.vector, 14);
    vcpu_raise_gp(cpu);
    ck_assert_uint_eq(cpu->inject.vector, 8);
    vcpu_raise_gp(cpu);
    ck_assert(!cpu->inject.valid);
    ck_assert_int_eq(vm->state, VM_STATE_RESETTING);
    ck_assert_uint_eq(vt()->get(cpu, VT_CR2), 0x1234);
}
END_TEST

static enum exit_verdict cr_write(uint8_t number, uint64_t value)
{
    struct vm_exit exit = {.kind = VM_EXIT_CR_ACCESS,
                           .cr = {.number = number, .write = true, .gpr = GPR_RBX}};

    cpu->inject.valid = false;
    cpu->regs.gpr[GPR_RBX] = value;
    return vm_exit_dispatch(cpu, &exit);
}

START_TEST(test_exit_cr__bad_values__gp)
{
    ck_assert_int_eq(cr_write(0, CR0_PG), EXIT_RESUME);
    ck_assert_uint_eq(cpu->inject.vector, 13);
    ck_assert_int_eq(cr_write(0, CR0_NW | CR0_PE), EXIT_RESUME);
    vt()->set(cpu, VT_EFER, EFER_LME);
    ck_assert_int_eq(cr_write(0, CR0_PG | CR0_PE), EXIT_RESUME);  // no PAE
    ck_assert_int_eq(cr_write(4, BIT(13)), EXIT_RESUME);          // VMXE
    ck_assert_int_eq(cr_write(8, 16), EXIT_RESUME);
    ck_assert_int_eq(cr_write(4, CR4_PAE), EXIT_RESUME_NEXT);
    ck_assert_int_eq(cr_write(0, CR0_PG | CR0_PE), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(vt()->get(cpu, VT_EFER), EFER_LME | EFER_LMA);
    ck_assert_int_eq(cr_write(4, 0), EXIT_RESUME);  // PAE off in long mode
    ck_assert_int_eq(cr_write(8, 5), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(vlapic_cr8(cpu), 5);
}
END_TEST

START_TEST(test_msr__known_and_unknown__value_or_gp)
{
    uint64_t value;

    ck_assert(!vcpu_msr_read(cpu, 0x12345, &value));
    ck_assert(!vcpu_msr_write(cpu, 0x12345, 0));
    ck_assert(vcpu_msr_read(cpu, 0x3a, &value));
    ck_assert_uint_eq(value, 1);
    ck_assert(!vcpu_msr_write(cpu, 0x277, 2));  // PAT: reserved type
    ck_assert(vcpu_msr_write(cpu, 0x277, 0x0606060606060606));
    ck_assert(!vcpu_msr_write(cpu, 0xc0000082, BIT(47)));
    ck_assert(vcpu_msr_write(cpu, 0x200, 6));
    ck_assert(vcpu_msr_read(cpu, 0x200, &value));
    ck_assert_uint_eq(value, 6);
    ck_assert(!vcpu_msr_write(cpu, 0xc0000080, BIT(12)));  // EFER.SVME
    ck_assert(vcpu_msr_write(cpu, 0xc0000100, 0x1000));
    ck_assert_uint_eq(vmcb->fs.base, 0x1000);
}
END_TEST

START_TEST(test_cpuid__virtualization__hidden_and_hypervisor_shown)
{
    struct plat_cpuid c;

    vcpu_cpuid(cpu, 0x40000000u, 0, &c);
    ck_assert_uint_eq(c.eax, 0x40000010u);
    ck_assert_int_eq(memcmp(&c.ebx, "VMwareVMware", 12), 0);
    vcpu_cpuid(cpu, 1, 0, &c);
    ck_assert_uint_eq(c.ecx & (BIT(3) | BIT(5)), 0);
    ck_assert(c.ecx & BIT(31));
    vcpu_cpuid(cpu, 0x80000001u, 0, &c);
    ck_assert_uint_eq(c.ecx & BIT(2), 0);
    vcpu_cpuid(cpu, 0x8000000au, 0, &c);
    ck_assert_uint_eq(c.edx, 0);
}
END_TEST

START_TEST(test_exit_io__nobody_there__all_ones_merged)
{
    struct vm_exit exit = {.kind = VM_EXIT_IO, .io = {.port = 0x999, .size = 2, .in = true}};

    cpu->regs.gpr[GPR_RAX] = 0x1122334455667788;
    ck_assert_int_eq(vm_exit_dispatch(cpu, &exit), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(cpu->regs.gpr[GPR_RAX], 0x112233445566ffff);
    ck_assert_uint_eq(cpu->exit_counts[VM_EXIT_IO], 1);
}
END_TEST

START_TEST(test_exit_nested_fault__ram__paged_in_zeroed)
{
    struct vm_exit exit = {.kind = VM_EXIT_NESTED_FAULT, .nested = {.gpa = gpa_make(0x5008)}};
    unsigned level;

    ck_assert_int_eq(vm_exit_dispatch(cpu, &exit), EXIT_AGAIN);
    ck_assert_uint_ne(nested_lookup(&vm->nested, gpa_make(0x5000), &level), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_svm_segment__set_then_get__same_rights,
        test_svm_efer__lme_and_paging__lma_follows_and_svme_hides,
        test_svm_run__exit_codes__kinds,
        test_svm_run__port__size_direction_and_length,
        test_svm_run__cpuid_with_prefix__length_is_decoded,
        test_svm_run__mov_to_cr4__register_is_decoded,
        test_svm_run__event_cut_short__goes_in_again,
        test_svm_run__interrupt__virtual_until_taken,
        test_svm_run__delivery_faults__interrupt_is_gone_and_the_fault_goes_in,
        test_svm_run__nmi_iret_faults__frame_has_no_step,
        test_svm_run__shadow_before_hlt__halts_without_an_entry,
        test_svm_run__virtual_interrupt__host_looks_at_its_apic,
        test_svm_run__asids_used_up__flush_and_new_generation,
        test_svm_window__wanted__virtual_interrupt_is_set,
        test_svm_run__interrupt_while_window_is_wanted__is_virtual_too,
        test_svm_run__host_state_came_out_as_the_guests__vm_ends,
        test_vcpu_raise__second_exception__merges,
        test_exit_cr__bad_values__gp,
        test_msr__known_and_unknown__value_or_gp,
        test_cpuid__virtualization__hidden_and_hypervisor_shown,
        test_exit_io__nobody_there__all_ones_merged,
        test_exit_nested_fault__ram__paged_in_zeroed};

    return fixture_run("svm_run", tests, ARRAY_COUNT(tests));
}
