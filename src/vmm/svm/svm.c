// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/svm.c -- the AMD-V back end: a guest's state in a VMCB, entered with VMRUN.
 *
 * It needs nested paging and nothing more. What newer processors add (next RIP, clean bits) is
 * used where CPUID names it. Registers are in svm_state.c, what goes in in svm_event.c, what an
 * exit means in svm_exit.c.
 *
 * Invariants: EFER.SVME is set in the VMCB and hidden from the guest; an ASID is valid only
 * with the generation of the CPU that gave it; whoever changes a VMCB field drops its clean
 * bit.
 * Locking: none; a vCPU belongs to the CPU that has it loaded.
 *
 * Sources: APM-2, "Secure Virtual Machine".
 */
#include "vmm/svm/svm.h"

#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "mem/page.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

#define IOPM_ORDER  2u  // 12 KB, aligned
#define MSRPM_ORDER 1u  // 8 KB
#define PAT_RESET   0x0007040600070406ull

static const struct nested_format npt_format = {
    .name = "NPT",
    .table_bits = 7,  // present, writable, user: every walk is a user access
    .leaf_bits = 7,
    .large_bits = BIT(7),
    .write_bit = BIT(1),
    .present_mask = BIT(0),
};

/* ---- per CPU ---- */

static bool svm_probe(void)
{
    uint64_t vm_cr;

    if (plat_cpuid(0x80000000u, 0).eax < 0x8000000au)
        return false;
    if (!(plat_cpuid(0x80000001u, 0).ecx & BIT(2)))
        return false;
    if (plat_msr_try_read(MSR_VM_CR, &vm_cr) && (vm_cr & BIT(4))) {
        vmk_log(VMK_LOG_WARN, "SVM: disabled by the firmware (VM_CR.SVMDIS)");
        return false;
    }
    if (!(plat_cpuid(0x8000000au, 0).edx & SVM_FEATURE_NPT)) {
        vmk_log(VMK_LOG_WARN, "SVM: this processor has no nested paging, which is needed");
        return false;
    }
    return true;
}

/* The guest has an MSR for itself; writes only if `writes`. */
static void msrpm_pass(uint8_t *map, uint32_t msr, bool writes)
{
    uint32_t bit;

    if (msr < 0x2000u)
        bit = msr * 2;
    else if (msr >= 0xc0000000u && msr < 0xc0002000u)
        bit = 0x800u * 8 + (msr - 0xc0000000u) * 2;
    else
        bit = 0x1000u * 8 + (msr - 0xc0010000u) * 2;
    map[bit / 8] = (uint8_t)(map[bit / 8] & ~((writes ? 3u : 1u) << (bit % 8)));
}

static vmk_status maps_create(struct svm_cpu *c)
{
    /*
     * All switched by VMLOAD and VMSAVE. LSTAR and CSTAR are checked when written: they are
     * seldom, and QEMU takes any value.
     */
    static const uint32_t passed[] = {0x174,      0x175,      0x176,      0xc0000081,
                                      0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
                                      0xc0000101, 0xc0000102};
    mpn_t iopm, msrpm;
    vmk_status status = page_alloc(IOPM_ORDER, MEM_OWNER_VMM, &iopm);

    if (status != VMK_OK)
        return status;
    status = page_alloc(MSRPM_ORDER, MEM_OWNER_VMM, &msrpm);
    if (status != VMK_OK) {
        page_free(iopm, IOPM_ORDER, MEM_OWNER_VMM);
        return status;
    }
    memset(mpn_map(iopm), 0xff, PAGE_SIZE << IOPM_ORDER);
    memset(mpn_map(msrpm), 0xff, PAGE_SIZE << MSRPM_ORDER);
    for (size_t i = 0; i < ARRAY_COUNT(passed); i++)
        msrpm_pass(mpn_map(msrpm), passed[i],
                   passed[i] != 0xc0000082 && passed[i] != 0xc0000083);
    c->iopm = mpn_to_paddr(iopm);
    c->msrpm = mpn_to_paddr(msrpm);
    return VMK_OK;
}

static vmk_status svm_cpu_enable(void)
{
    struct vmm_state *vmm = this_host()->vmm;
    unsigned cpu = plat_cpu_self();
    struct svm_cpu *c = vmm->svm_cpus[cpu];
    struct svm_cpu *first = vmm->svm_cpus[0];

    if (!c) {
        mpn_t hsave, host_save;
        vmk_status status;

        c = heap_alloc(sizeof(*c), MEM_OWNER_VMM);
        if (!c)
            return VMK_NO_MEMORY;
        status = page_alloc_zeroed(0, MEM_OWNER_VMM, &hsave);
        if (status != VMK_OK)
            goto fail_struct;
        status = page_alloc_zeroed(0, MEM_OWNER_VMM, &host_save);
        if (status != VMK_OK)
            goto fail_hsave;
        if (first) {
            c->iopm = first->iopm;
            c->msrpm = first->msrpm;
        } else {
            status = maps_create(c);
            if (status != VMK_OK)
                goto fail_host_save;
        }
        c->cpu = cpu;
        c->hsave = mpn_to_paddr(hsave);
        c->host_save = mpn_to_paddr(host_save);
        c->asid_count = plat_cpuid(0x8000000au, 0).ebx;
        c->features = plat_cpuid(0x8000000au, 0).edx;
        c->has_tsc_aux = plat_cpuid(0x80000001u, 0).edx & BIT(27);
        c->generation = 1;
        c->asid_next = 1;
        vmm->svm_cpus[cpu] = c;
        if (!first)
            vmk_log(VMK_LOG_INFO, "SVM: %u address space ids, features %#x", c->asid_count,
                    c->features);
        goto enable;

    fail_host_save:
        page_free(host_save, 0, MEM_OWNER_VMM);
    fail_hsave:
        page_free(hsave, 0, MEM_OWNER_VMM);
    fail_struct:
        heap_free(c);
        return status;
    }
enable:
    plat_msr_write(MSR_EFER, plat_msr_read(MSR_EFER) | EFER_SVME);
    plat_msr_write(MSR_VM_HSAVE_PA, c->hsave.raw);
    return VMK_OK;
}

static void svm_cpu_disable(void)
{
    plat_msr_write(MSR_VM_HSAVE_PA, 0);
    plat_msr_write(MSR_EFER, plat_msr_read(MSR_EFER) & ~EFER_SVME);
}

/* ---- life ---- */

static vmk_status svm_vcpu_create(struct vcpu *v)
{
    const struct svm_cpu *c = this_host()->vmm->svm_cpus[0];
    struct svm_vcpu *s;
    struct vmcb *b;
    mpn_t page;
    vmk_status status;

    if (!c)
        return VMK_UNSUPPORTED;
    s = heap_alloc(sizeof(*s), MEM_OWNER_VMM);
    if (!s)
        return VMK_NO_MEMORY;
    status = page_alloc_zeroed(0, MEM_OWNER_VMM, &page);
    if (status != VMK_OK) {
        heap_free(s);
        return status;
    }
    s->vmcb_pa = mpn_to_paddr(page);
    s->vmcb = b = mpn_map(page);
    v->backend = s;

    /* CR0, CR4 and CR8 are emulated when written; CR8 also when read. */
    b->intercept_cr_read = (uint16_t)BIT(8);
    b->intercept_cr_write = (uint16_t)(BIT(0) | BIT(4) | BIT(8));
    b->intercept_dr_read = 0x000f;  // DR6 and DR7 are in the VMCB
    b->intercept_dr_write = 0x000f;
    svm_exceptions_intercept(s);
    b->intercept_misc1 =
        SVM_MISC1(SVM_EXIT_INTR) | SVM_MISC1(SVM_EXIT_NMI) | SVM_MISC1(SVM_EXIT_SMI) |
        SVM_MISC1(SVM_EXIT_INIT) | SVM_MISC1(SVM_EXIT_RDPMC) | SVM_MISC1(SVM_EXIT_CPUID) |
        SVM_MISC1(SVM_EXIT_RSM) | SVM_MISC1(SVM_EXIT_INVD) | SVM_MISC1(SVM_EXIT_HLT) |
        SVM_MISC1(SVM_EXIT_INVLPGA) | SVM_MISC1(SVM_EXIT_IOIO) | SVM_MISC1(SVM_EXIT_MSR) |
        SVM_MISC1(SVM_EXIT_FERR) | SVM_MISC1(SVM_EXIT_SHUTDOWN);
    b->intercept_misc2 =
        SVM_MISC2(SVM_EXIT_VMRUN) | SVM_MISC2(SVM_EXIT_VMMCALL) | SVM_MISC2(SVM_EXIT_VMLOAD) |
        SVM_MISC2(SVM_EXIT_VMSAVE) | SVM_MISC2(SVM_EXIT_STGI) | SVM_MISC2(SVM_EXIT_CLGI) |
        SVM_MISC2(SVM_EXIT_SKINIT) | SVM_MISC2(SVM_EXIT_WBINVD) | SVM_MISC2(SVM_EXIT_MONITOR) |
        SVM_MISC2(SVM_EXIT_MWAIT) | SVM_MISC2(SVM_EXIT_MWAIT_COND) |
        SVM_MISC2(SVM_EXIT_XSETBV) | SVM_MISC2(SVM_EXIT_RDPRU);
    b->iopm = c->iopm.raw;
    b->msrpm = c->msrpm.raw;
    b->v_intr = SVM_V_INTR_MASKING;
    b->np_enable = 1;
    b->nested_cr3 = mpn_to_paddr(v->vm->nested.root).raw;
    b->guest_pat = PAT_RESET;
    b->efer = EFER_SVME;
    b->dr6 = DR6_FIXED;
    b->dr7 = 0x400;
    b->rflags = 2;
    b->cr0 = 0x60000010;
    vcpu_reset(v);
    return VMK_OK;
}

static void svm_vcpu_destroy(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);

    if (!s)
        return;
    page_free(paddr_to_mpn(s->vmcb_pa), 0, MEM_OWNER_VMM);
    heap_free(s);
    v->backend = NULL;
}

/* The kernel uses neither the FPU nor TSC_AUX: they hold the loaded vCPU's. */
static void tsc_aux_load(const struct vcpu *v, struct svm_vcpu *s)
{
    s->tsc_aux = v->tsc_aux;
    if (s->cpu->has_tsc_aux)
        plat_msr_write(MSR_TSC_AUX, s->tsc_aux);
}

static void svm_vcpu_load(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);

    s->cpu = this_host()->vmm->svm_cpus[plat_cpu_self()];
    vmk_assert(s->cpu);
    if (s->cpu != s->last_cpu) {
        s->last_cpu = s->cpu;
        s->generation = 0;
        s->clean = 0;
    }
    s->clean_after = (s->cpu->features & SVM_FEATURE_CLEAN) ? SVM_CLEAN_ALL : 0;
    s->vmcb->tsc_offset = vcpu_tsc_offset(v);
    svm_touch(s, SVM_CLEAN_INTERCEPTS);
    s->xcr0 = v->xcr0;
    plat_fpu_load(v->fpu, s->xcr0);
    tsc_aux_load(v, s);
}

/*
 * QEMU (7.2) does not honour the XSETBV intercept, so the guest may have changed XCR0 behind
 * our back: read it before it is needed or lost.
 */
static void xcr0_take(struct vcpu *v, struct svm_vcpu *s)
{
    s->xcr0 = plat_xcr0_read();
    v->xcr0 = s->xcr0;
}

static void svm_vcpu_put(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);

    xcr0_take(v, s);
    plat_fpu_save(v->fpu, s->xcr0);
    s->cpu = NULL;
}

/* ---- address space ids ---- */

/* A new ASID of this CPU. When all are used up a new generation begins with an empty TLB. */
static void asid_take(struct svm_vcpu *s)
{
    struct svm_cpu *c = s->cpu;

    s->vmcb->tlb_control = SVM_TLB_NONE;
    if (c->asid_next >= c->asid_count) {
        c->generation++;
        c->asid_next = 1;
        s->vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
    }
    s->vmcb->asid = c->asid_next++;
    s->generation = c->generation;
    svm_touch(s, SVM_CLEAN_ASID);
}

static void svm_flush_vcpu(struct vcpu *v)
{
    svm_of(v)->generation = 0;
}

static void svm_flush_address(struct vcpu *v, uint64_t gla)
{
    struct svm_vcpu *s = svm_of(v);

    if (s->cpu && s->generation == s->cpu->generation)
        plat_invlpga(gla, s->vmcb->asid);
    else
        s->generation = 0;
}

/*
 * VMRUN with V_IRQ set loses host interrupts in QEMU 7.2: it sets a bit in the word in which
 * other threads announce interrupts, without their lock. The APIC still has them in its IRR,
 * but the processor is not told, and may halt for ever. A write of the task priority makes it
 * look there. On a processor that loses nothing it changes nothing: the kernel's priority is
 * always 0.
 */
static void host_interrupts_find(void)
{
    plat_cr_write(8, 0);
}

/*
 * The shadow of STI (or MOV SS) is over after the next instruction, and until then no interrupt
 * comes.
 * Guests wait by STI, HLT and rely on it. QEMU (7.2) forgets the shadow at VMRUN, so a guest
 * that was pulled out between the two took its interrupt before the HLT, and then halted for
 * one that had been. So the HLT is done here. Before other instructions a shadow is still lost
 * there.
 */
static bool halts_in_shadow(struct vcpu *v, const struct svm_vcpu *s)
{
    return (s->vmcb->interrupt_shadow & 1) && !v->inject.valid && !s->virq && !s->vmcb->cpl &&
           emulate_next_is_hlt(v);
}

static void svm_run(struct vcpu *v, struct vm_exit *exit)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;
    uint64_t info;
    bool stepped = false;
    bool asked;

    if (__builtin_expect(b->interrupt_shadow & 1, 0) && halts_in_shadow(v, s)) {
        *exit = (struct vm_exit){
            .kind = VM_EXIT_HLT, .raw_reason = SVM_EXIT_HLT, .length = 1, .rip = b->rip};
        return;
    }
    if (s->generation != s->cpu->generation)
        asid_take(s);
    if (v->inject.valid)
        svm_inject(v, s);
    if (__builtin_expect(s->xcr0 != v->xcr0, 0)) {
        plat_fpu_save(v->fpu, s->xcr0);
        s->xcr0 = v->xcr0;
        plat_fpu_load(v->fpu, s->xcr0);
    }
    if (__builtin_expect(b->tsc_offset != vcpu_tsc_offset(v), 0)) {
        b->tsc_offset = vcpu_tsc_offset(v);
        svm_touch(s, SVM_CLEAN_INTERCEPTS);
    }
    if (__builtin_expect(s->tsc_aux != v->tsc_aux, 0))
        tsc_aux_load(v, s);
    asked = b->v_intr & SVM_V_IRQ;
    s->virq_rip = b->rip;
    s->virq_rsp = b->rsp;
    b->clean = s->clean;
    b->rax = v->regs.gpr[GPR_RAX];
    plat_svm_enter(&v->regs, s->vmcb_pa, s->cpu->host_save);
    if (asked)
        host_interrupts_find();
    v->regs.gpr[GPR_RAX] = b->rax;
    b->event_inject = 0;
    b->tlb_control = SVM_TLB_NONE;
    s->clean = s->clean_after;
    if (__builtin_expect(s->nmi_step, 0))
        stepped = svm_nmi_step_end(s);
    if (s->nmi_iret && b->rip != s->nmi_iret_rip) {
        s->nmi_iret = false;
        s->nmi_masked = false;
    }
    info = s->virq ? svm_virq_check(v, s) : b->exit_int_info;
    if (info & SVM_EVENT_VALID)
        svm_requeue(v, s, info);
    if (b->exit_code == SVM_EXIT_CPUID && (uint32_t)b->rax == 0xd)
        xcr0_take(v, s);
    svm_exit_fill(v, s, exit);
    if (__builtin_expect(stepped, 0))
        exit->kind = VM_EXIT_INTERRUPT;
}

static void svm_dump(struct vcpu *v)
{
    static const char *const names[] = {"ES", "CS",   "SS", "DS",   "FS",
                                        "GS", "LDTR", "TR", "GDTR", "IDTR"};
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

#define DUMP(...) vmk_log(VMK_LOG_INFO, "SVM: " __VA_ARGS__)
#define U(x)      ((unsigned long long)(x))
    DUMP("VMCB %#llx exit %#llx info %#llx %#llx event %#llx injected %#llx", U(s->vmcb_pa.raw),
         U(b->exit_code), U(b->exit_info1), U(b->exit_info2), U(b->exit_int_info),
         U(b->event_inject));
    DUMP("RIP %016llx RSP %016llx RFLAGS %08llx CPL %u shadow %llu", U(b->rip), U(b->rsp),
         U(b->rflags), b->cpl, U(b->interrupt_shadow));
    for (unsigned i = 0; i < 16; i += 4)
        DUMP("GPR%-2u %016llx %016llx %016llx %016llx", i, U(v->regs.gpr[i]),
             U(v->regs.gpr[i + 1]), U(v->regs.gpr[i + 2]), U(v->regs.gpr[i + 3]));
    DUMP("CR0 %08llx CR2 %016llx CR3 %016llx CR4 %08llx EFER %04llx", U(b->cr0), U(b->cr2),
         U(b->cr3), U(b->cr4), U(b->efer));
    for (unsigned i = 0; i < VT_SEG_COUNT; i++) {
        const struct vmcb_segment *g = svm_segment_of(b, (enum vt_seg)i);

        DUMP("%-4s %04x base %016llx limit %08x attributes %03x", names[i], g->selector,
             U(g->base), g->limit, g->attributes);
    }
    DUMP("ASID %u NCR3 %#llx V_INTR %#llx intercepts %08x %08x PAT %016llx", b->asid,
         U(b->nested_cr3), U(b->v_intr), b->intercept_misc1, b->intercept_misc2,
         U(b->guest_pat));
#undef U
#undef DUMP
}

const struct vt_backend vt_backend_svm = {
    .name = "AMD-V",
    .probe = svm_probe,
    .cpu_enable = svm_cpu_enable,
    .cpu_disable = svm_cpu_disable,
    .vcpu_create = svm_vcpu_create,
    .vcpu_destroy = svm_vcpu_destroy,
    .vcpu_load = svm_vcpu_load,
    .vcpu_put = svm_vcpu_put,
    .run = svm_run,
    .get = svm_get,
    .set = svm_set,
    .get_segment = svm_get_segment,
    .set_segment = svm_set_segment,
    .can_inject_interrupt = svm_can_inject_interrupt,
    .can_inject_nmi = svm_can_inject_nmi,
    .want_interrupt_window = svm_want_interrupt_window,
    .want_nmi_window = svm_want_nmi_window,
    .clear_shadow = svm_clear_shadow,
    .step = svm_step,
    .flush_address = svm_flush_address,
    .flush_vcpu = svm_flush_vcpu,
    .cpl = svm_cpl,
    .nested_format = &npt_format,
    .vectors_in_cpu = true,
    .dump = svm_dump,
};
