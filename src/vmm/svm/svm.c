// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/svm.c -- the AMD-V back end: a guest's state in a VMCB, entered with VMRUN.
 *
 * It needs nested paging and nothing more. What newer processors add (next RIP, clean bits) is used
 * where CPUID names it. Without next-RIP save, the length of an intercepted instruction is found by
 * decoding it and remembered by (RIP, CR3, exit code): the code of the exit already says which
 * instruction it is, so only its prefixes are taken on trust.
 *
 * An event whose delivery an exit cut short is injected again, except for software interrupts:
 * their RIP still points at the instruction, which simply runs once more.
 *
 * There is no hardware window for NMIs: after one was injected IRET is intercepted, and stepped over with
 * the trap flag if another waits.
 *
 * Invariants: EFER.SVME is set in the VMCB and hidden from the guest; an ASID is valid only with the
 * generation of the CPU that gave it; whoever changes a VMCB field drops its clean bit.
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

/* What reading a gate, its segment and its stack may raise, and IRET: #TS, #NP, #SS, #PF, #AC. */
#define DELIVERY_FAULTS                                                                        \
    (BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_PF) | BIT(VECTOR_AC))
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

static struct svm_vcpu *svm_of(const struct vcpu *v)
{
    return v->backend;
}

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
    /* All switched by VMLOAD and VMSAVE. LSTAR and CSTAR are checked when written: they are seldom,
     * and QEMU takes any value. */
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

/* ---- registers ---- */

static void touch(struct svm_vcpu *s, uint64_t clean_bits)
{
    s->clean &= ~(uint32_t)clean_bits;
}

/* LMA is not a bit of its own: it follows from LME and paging. */
static void efer_sync(struct vmcb *b)
{
    b->efer &= ~EFER_LMA;
    if ((b->efer & EFER_LME) && (b->cr0 & CR0_PG))
        b->efer |= EFER_LMA;
}

static uint64_t svm_get(struct vcpu *v, enum vt_reg reg)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    switch (reg) {
    case VT_RIP: return b->rip;
    case VT_RSP: return b->rsp;
    case VT_RFLAGS: return b->rflags;
    case VT_CR0: return b->cr0;
    case VT_CR2: return b->cr2;
    case VT_CR3: return b->cr3;
    case VT_CR4: return b->cr4;
    case VT_DR7: return b->dr7;
    case VT_EFER: return b->efer & ~EFER_SVME;
    case VT_PAT: return b->guest_pat;
    case VT_STAR: return b->star;
    case VT_LSTAR: return b->lstar;
    case VT_CSTAR: return b->cstar;
    case VT_SFMASK: return b->sfmask;
    case VT_KERNEL_GS_BASE: return b->kernel_gs_base;
    case VT_SYSENTER_CS: return b->sysenter_cs;
    case VT_SYSENTER_ESP: return b->sysenter_esp;
    case VT_SYSENTER_EIP: return b->sysenter_eip;
    case VT_REG_COUNT: break;
    }
    vmk_unreachable();
}

static void svm_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    switch (reg) {
    case VT_RIP: b->rip = value; return;
    case VT_RSP: b->rsp = value; return;
    case VT_RFLAGS: b->rflags = value | 2; return;
    case VT_CR0:
        b->cr0 = value | CR0_ET;
        efer_sync(b);
        touch(s, SVM_CLEAN_CR);
        return;
    case VT_CR2:
        b->cr2 = value;
        v->regs.cr2 = value;
        touch(s, SVM_CLEAN_CR2);
        return;
    case VT_CR3:
        b->cr3 = value;
        touch(s, SVM_CLEAN_CR);
        return;
    case VT_CR4:
        b->cr4 = value;
        touch(s, SVM_CLEAN_CR);
        return;
    case VT_DR7:
        b->dr7 = value;
        touch(s, SVM_CLEAN_DR);
        return;
    case VT_EFER:
        b->efer = value | EFER_SVME;
        efer_sync(b);
        touch(s, SVM_CLEAN_CR);
        return;
    case VT_PAT:
        b->guest_pat = value;
        touch(s, SVM_CLEAN_NP);
        return;
    case VT_STAR: b->star = value; return;
    case VT_LSTAR: b->lstar = value; return;
    case VT_CSTAR: b->cstar = value; return;
    case VT_SFMASK: b->sfmask = value; return;
    case VT_KERNEL_GS_BASE: b->kernel_gs_base = value; return;
    case VT_SYSENTER_CS: b->sysenter_cs = value; return;
    case VT_SYSENTER_ESP: b->sysenter_esp = value; return;
    case VT_SYSENTER_EIP: b->sysenter_eip = value; return;
    case VT_REG_COUNT: break;
    }
    vmk_unreachable();
}

static struct vmcb_segment *segment_of(struct vmcb *b, enum vt_seg seg)
{
    switch (seg) {
    case VT_ES: return &b->es;
    case VT_CS: return &b->cs;
    case VT_SS: return &b->ss;
    case VT_DS: return &b->ds;
    case VT_FS: return &b->fs;
    case VT_GS: return &b->gs;
    case VT_LDTR: return &b->ldtr;
    case VT_TR: return &b->tr;
    case VT_GDTR: return &b->gdtr;
    case VT_IDTR: return &b->idtr;
    case VT_SEG_COUNT: break;
    }
    vmk_unreachable();
}

static void svm_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    const struct vmcb_segment *g = segment_of(svm_of(v)->vmcb, seg);
    uint32_t a = g->attributes;

    out->selector = g->selector;
    out->limit = g->limit;
    out->base = g->base;
    out->rights = (a & 0xffu) | (a & 0xf00u) << 4;
    if (seg < VT_GDTR && !(a & BIT(7)))
        out->rights |= (uint32_t)VT_SEG_UNUSABLE;
}

static void svm_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb_segment *g = segment_of(s->vmcb, seg);

    g->selector = in->selector;
    g->limit = in->limit;
    g->base = in->base;
    g->attributes = (in->rights & VT_SEG_UNUSABLE)
                        ? 0
                        : (uint16_t)((in->rights & 0xffu) | (in->rights >> 4 & 0xf00u));
    if (seg == VT_SS)
        s->vmcb->cpl = (in->rights >> 5) & 3;
    touch(s, seg >= VT_GDTR ? SVM_CLEAN_DT : SVM_CLEAN_SEG);
}

static unsigned svm_cpl(struct vcpu *v)
{
    return svm_of(v)->vmcb->cpl;
}

/*
 * #GP always exits: it may be the backdoor's port at CPL 3. The other faults of a delivery exit while an
 * interrupt is on its way through V_IRQ: one that ends in a fault is gone, but QEMU (7.2) keeps V_IRQ
 * and tries again for ever. And while an IRET is stepped over, so that no frame has the step's flag.
 */
static void exceptions_intercept(struct svm_vcpu *s)
{
    uint64_t bits = BIT(VECTOR_GP);

    if (s->virq || s->nmi_step)
        bits |= DELIVERY_FAULTS;
    if (s->nmi_step)
        bits |= BIT(VECTOR_DB);
    s->vmcb->intercept_exceptions = (uint32_t)bits;
    touch(s, SVM_CLEAN_INTERCEPTS);
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
    exceptions_intercept(s);
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
    b->dr6 = 0xffff0ff0;
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
    touch(s, SVM_CLEAN_INTERCEPTS);
    s->xcr0 = v->xcr0;
    plat_fpu_load(v->fpu, s->xcr0);
    tsc_aux_load(v, s);
}

/*
 * QEMU (7.2) does not honour the XSETBV intercept, so the guest may have changed XCR0 behind our
 * back: read it before it is needed or lost.
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
    touch(s, SVM_CLEAN_ASID);
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

/* ---- events ---- */

static bool svm_can_inject_interrupt(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    return !svm_of(v)->virq && (b->rflags & RFLAGS_IF) && !(b->interrupt_shadow & 1);
}

static bool svm_can_inject_nmi(struct vcpu *v)
{
    const struct svm_vcpu *s = svm_of(v);

    return !s->nmi_masked && !(s->vmcb->interrupt_shadow & 1);
}

static void svm_want_interrupt_window(struct vcpu *v, bool on)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    if (s->virq) {  // an interrupt on its way needs an EOI, which exits, before the next one
        v->window = false;
        return;
    }
    if (on == !!(b->v_intr & SVM_V_IRQ))
        return;
    if (on) {
        b->v_intr |= SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR;
        b->intercept_misc1 |= SVM_MISC1(SVM_EXIT_VINTR);
    } else {
        b->v_intr &= ~(SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR);
        b->intercept_misc1 &= ~SVM_MISC1(SVM_EXIT_VINTR);
    }
    touch(s, SVM_CLEAN_TPR | SVM_CLEAN_INTERCEPTS);
}

/*
 * An external interrupt goes in as a virtual one: V_IRQ with its vector, which the processor takes
 * at once, because RFLAGS.IF is known to be 1. (QEMU 7.2 delivers an interrupt of EVENTINJ twice when
 * something else stops its loop right behind VMRUN; that was seen as guests whose timer interrupt
 * nested in itself.) An exit may come first, then V_IRQ simply stays set for the next entry.
 */
static void virq_set(struct svm_vcpu *s, uint8_t vector)
{
    s->virq = true;
    s->vmcb->v_intr |= SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR | SVM_V_VECTOR(vector);
    touch(s, SVM_CLEAN_TPR);
    exceptions_intercept(s);
}

static void virq_drop(struct svm_vcpu *s)
{
    s->virq = false;
    s->vmcb->v_intr &= ~(SVM_V_IRQ | SVM_V_PRIORITY(15) | SVM_V_IGNORE_TPR | SVM_V_VECTOR(255));
    touch(s, SVM_CLEAN_TPR);
    exceptions_intercept(s);
}

/*
 * QEMU (7.2) may forget V_IRQ: a host interrupt that another thread announces while VMRUN notes it
 * overwrites the note. Then it ends the guest at once, where it was. A guest that took the interrupt
 * had to leave its handler by an EOI, which is another exit.
 */
static bool virq_lost(const struct svm_vcpu *s)
{
    const struct vmcb *b = s->vmcb;

    return b->exit_code == SVM_EXIT_INTR && b->rip == s->virq_rip && b->rsp == s->virq_rsp &&
           (b->rflags & RFLAGS_IF);
}

/*
 * After an exit: was the interrupt taken? Gives back what EXITINTINFO says. A guest that halts in the
 * shadow of STI has to see the interrupt, so then it goes back to where the loop looks.
 */
static uint64_t virq_check(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    const uint8_t vector = (uint8_t)(b->v_intr >> 32);
    uint64_t info = b->exit_int_info;
    const bool cut_short = (info & SVM_EVENT_VALID) && (uint8_t)info == vector;

    if (cut_short) {  // QEMU says "exception" of it, and V_IRQ is still set
        info = SVM_EVENT_VALID | SVM_EVENT_TYPE(SVM_EVENT_INTR) | vector;
    } else if (b->v_intr & SVM_V_IRQ) {
        if (b->exit_code != SVM_EXIT_HLT)
            return info;
        v->inject =
            (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = vector};
    } else if (virq_lost(s)) {
        virq_set(s, vector);
        return info;
    }
    virq_drop(s);
    return info;
}

static void iret_intercept(struct svm_vcpu *s, bool on)
{
    if (on)
        s->vmcb->intercept_misc1 |= SVM_MISC1(SVM_EXIT_IRET);
    else
        s->vmcb->intercept_misc1 &= ~SVM_MISC1(SVM_EXIT_IRET);
    touch(s, SVM_CLEAN_INTERCEPTS);
}

/*
 * While an NMI is masked its IRET is intercepted. That exit comes before the IRET; the instruction
 * itself is then stepped over with the trap flag, so that the next NMI goes in right behind it. The
 * step is for one entry: whatever exit comes takes it back, and the caller asks again.
 */
static void svm_want_nmi_window(struct vcpu *v, bool on)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    if (!on || !s->nmi_masked || !s->nmi_iret || s->nmi_step || v->inject.valid)
        return;
    s->nmi_step = true;
    s->nmi_step_flag = b->rflags & RFLAGS_TF;
    s->nmi_step_dr6 = b->dr6;
    b->rflags |= RFLAGS_TF;
    exceptions_intercept(s);
}

/* After an exit: true if it is the step's and nobody else's. */
static bool nmi_step_end(struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;

    s->nmi_step = false;
    exceptions_intercept(s);
    if (b->exit_code != SVM_EXIT_EXCEPTION + VECTOR_DB) {
        if (b->rip == s->nmi_iret_rip)  // not done yet
            b->rflags = (b->rflags & ~RFLAGS_TF) | s->nmi_step_flag;
        return false;
    }
    s->nmi_iret = false;
    s->nmi_masked = false;
    if (s->nmi_step_flag || ((b->dr6 ^ s->nmi_step_dr6) & 0xf))
        return false;  // the guest steps too, or has a breakpoint there
    b->dr6 = s->nmi_step_dr6;
    touch(s, SVM_CLEAN_DR);
    return true;
}

static void svm_clear_shadow(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);

    s->vmcb->interrupt_shadow = 0;
    s->nmi_masked = false;
    s->nmi_iret = false;
    iret_intercept(s, false);
    virq_drop(s);
}

static bool svm_step(struct vcpu *v, uint64_t next)
{
    struct vmcb *b = svm_of(v)->vmcb;

    b->rip = next;
    b->interrupt_shadow = 0;
    if (__builtin_expect(!(b->rflags & RFLAGS_TF), 1))
        return false;
    b->dr6 |= BIT(14);  // the guest reads DR6 itself
    touch(svm_of(v), SVM_CLEAN_DR);
    return true;
}

static void inject(struct vcpu *v, struct svm_vcpu *s)
{
    const struct vt_event *e = &v->inject;
    struct vmcb *b = s->vmcb;
    uint64_t type = SVM_EVENT_EXCEPTION;

    v->injected = v->inject;
    switch (e->type) {
    case VT_EVENT_INTERRUPT:
        svm_want_interrupt_window(v, false);  // the loop asks for it again after the next exit
        v->window = false;
        virq_set(s, e->vector);
        v->inject.valid = false;
        return;
    case VT_EVENT_NMI:
        type = SVM_EVENT_NMI;
        s->nmi_masked = true;
        s->nmi_iret = false;
        iret_intercept(s, true);
        break;
    case VT_EVENT_SOFT_INTERRUPT:
        type = SVM_EVENT_SOFT;
        b->rip += e->length;
        break;
    case VT_EVENT_SOFT_EXCEPTION:
    case VT_EVENT_PRIV_EXCEPTION: b->rip += e->length; break;
    case VT_EVENT_EXCEPTION: break;
    }
    b->event_inject = SVM_EVENT_VALID | SVM_EVENT_TYPE(type) | e->vector;
    if (e->has_error)
        b->event_inject |= SVM_EVENT_HAS_ERROR | (uint64_t)e->error << 32;
    v->inject.valid = false;
}

/* What the exit kept from being delivered goes in again. */
static void requeue(struct vcpu *v, struct svm_vcpu *s, uint64_t info)
{
    uint8_t vector = (uint8_t)info;
    unsigned type = info >> 8 & 7;
    struct vt_event event = {.valid = true, .vector = vector};

    switch (type) {
    case SVM_EVENT_INTR: event.type = VT_EVENT_INTERRUPT; break;
    case SVM_EVENT_NMI:
        event.type = VT_EVENT_NMI;
        s->nmi_masked = false;
        iret_intercept(s, false);
        break;
    case SVM_EVENT_EXCEPTION:
        if (vector == 3 || vector == 4)
            return;  // INT3, INTO: RIP is still at the instruction
        event.type = VT_EVENT_EXCEPTION;
        event.has_error = info & SVM_EVENT_HAS_ERROR;
        event.error = (uint32_t)(info >> 32);
        break;
    default: return;  // INT n runs again
    }
    v->inject = event;
}

/* ---- instruction decoding, where the hardware does not help ---- */

struct operand {
    uint8_t opcode;  // after 0F
    uint8_t modrm;
    uint8_t reg, rm;  // with REX
    bool lock;
    uint32_t length;  // when it has no memory operand
};

/* Fetches and takes apart a two-byte-opcode instruction at RIP. False: a #PF is queued. */
static bool decode_0f(struct vcpu *v, struct operand *out)
{
    struct vmcb *b = svm_of(v)->vmcb;
    bool long_mode = (b->efer & EFER_LMA) && (b->cs.attributes & BIT(9));
    uint8_t rex = 0;

    *out = (struct operand){0};
    for (uint32_t i = 0; i < 15; i++) {
        uint64_t at = long_mode ? b->rip + i : (uint32_t)(b->cs.base + (uint32_t)(b->rip + i));
        struct gla_fault fault;
        uint8_t byte;
        vmk_status status = gla_read(v, at, &byte, 1, GLA_FETCH, &fault);

        if (status == VMK_BAD_PARAM)
            vcpu_raise_pf(v, fault.address, fault.error);
        if (status != VMK_OK)
            return false;
        if (out->opcode) {
            out->modrm = byte;
            out->reg = (uint8_t)((byte >> 3 & 7) | (rex & 4) << 1);
            out->rm = (uint8_t)((byte & 7) | (rex & 1) << 3);
            out->length = i + 1;
            return true;
        }
        if (byte == 0x0f) {
            status = gla_read(v, at + 1, &out->opcode, 1, GLA_FETCH, &fault);
            if (status != VMK_OK) {
                if (status == VMK_BAD_PARAM)
                    vcpu_raise_pf(v, fault.address, fault.error);
                return false;
            }
            i++;
            if (out->opcode == 0x06) {  // CLTS has no ModRM
                out->length = i + 1;
                return true;
            }
        } else if (long_mode && (byte & 0xf0) == 0x40) {
            rex = byte;
        } else {
            rex = 0;
            if (byte == 0xf0)
                out->lock = true;
        }
    }
    return false;
}

/* CR and DR exits say only which register. */
static bool fill_register_access(struct vcpu *v, struct vm_exit *exit, uint32_t code)
{
    struct operand o;

    if (!decode_0f(v, &o))
        return false;
    exit->length = o.length;
    if (code >= SVM_EXIT_DR_READ) {
        exit->kind = VM_EXIT_DR_ACCESS;
        exit->dr.number = code & 15;
        exit->dr.write = code >= SVM_EXIT_DR_WRITE;
        exit->dr.gpr = o.rm;
        return true;
    }
    exit->kind = VM_EXIT_CR_ACCESS;
    exit->cr.number = code & 15;
    exit->cr.write = code >= SVM_EXIT_CR_WRITE;
    exit->cr.gpr = o.rm;
    exit->cr.kind = VM_CR_MOV;
    exit->cr.value = 0;
    if (o.opcode == 0x06) {
        exit->cr.kind = VM_CR_CLTS;
    } else if (o.opcode == 0x01) {
        exit->cr.kind = VM_CR_LMSW;
        if ((o.modrm & 0xc0) != 0xc0) {
            uint16_t word;

            if (!emulate_read_word(v, &word, &exit->length))
                return false;
            exit->cr.value = word;
        } else {
            exit->cr.value = (uint16_t)vcpu_gpr(v, o.rm);
        }
    }
    return true;
}

/* The length of the instruction that exited; 0: it cannot be fetched and a #PF is queued. */
static uint32_t exit_length(struct vcpu *v, struct svm_vcpu *s, uint32_t code)
{
    struct vmcb *b = s->vmcb;
    struct svm_length *slot = s->lengths[(b->rip ^ b->rip >> 6) % SVM_LENGTH_SETS];

    if ((s->cpu->features & SVM_FEATURE_NRIPS) && b->next_rip > b->rip &&
        b->next_rip - b->rip <= 15)
        return (uint32_t)(b->next_rip - b->rip);
    for (unsigned way = 0; way < SVM_LENGTH_WAYS; way++)
        if (slot[way].rip == b->rip && slot[way].cr3 == b->cr3 && slot[way].code == code &&
            slot[way].length)
            return slot[way].length;

    uint32_t length = emulate_length(v);

    if (length) {
        slot[1] = slot[0];
        slot[0] = (struct svm_length){b->rip, b->cr3, code, length};
    }
    return length;
}

/* ---- entry and exit ---- */

static void fill_io(struct vm_exit *exit, const struct vmcb *b)
{
    uint64_t info = b->exit_info1;

    exit->kind = VM_EXIT_IO;
    exit->length = (uint32_t)(b->exit_info2 - b->rip);
    exit->io.port = (uint16_t)(info >> 16);
    exit->io.size = (uint8_t)(info >> 4 & 7);
    exit->io.in = info & BIT(0);
    exit->io.string = info & BIT(2);
    exit->io.rep = info & BIT(3);
}

/*
 * In QEMU (7.2) another CPU's FXRSTOR may put the first CPU's flag for nested paging back to what it was before VMRUN
 * or #VMEXIT. Then the kernel's own code behind VMRUN goes through the guest's table, that exits once more, and what is
 * saved as the guest's is the kernel's state. The guest's is lost.
 */
static bool is_lost(const struct vmcb *b)
{
    return (b->exit_info1 & NPF_GUEST_TABLE) && (b->exit_info2 ^ b->cr3) < PAGE_SIZE &&
           b->cr3 == plat_cr_read(3);
}

static void fill_nested_fault(struct vm_exit *exit, const struct vmcb *b)
{
    exit->kind = VM_EXIT_NESTED_FAULT;
    exit->nested.gpa = gpa_make(b->exit_info2);
    exit->nested.write = b->exit_info1 & BIT(1);
    exit->nested.fetch = b->exit_info1 & BIT(4);
    exit->nested.read = !exit->nested.write && !exit->nested.fetch;
    exit->nested.gla_valid = false;
    exit->nested.gla = 0;
}

/* Kinds that need the instruction's length, by exit code - 0x60. */
static const uint8_t length_kinds[] = {
    [SVM_EXIT_RDTSC - 0x60] = VM_EXIT_RDTSC,   [SVM_EXIT_RDPMC - 0x60] = VM_EXIT_RDPMC,
    [SVM_EXIT_CPUID - 0x60] = VM_EXIT_CPUID,   [SVM_EXIT_INVD - 0x60] = VM_EXIT_INVD,
    [SVM_EXIT_PAUSE - 0x60] = VM_EXIT_PAUSE,   [SVM_EXIT_HLT - 0x60] = VM_EXIT_HLT,
    [SVM_EXIT_INVLPG - 0x60] = VM_EXIT_INVLPG, [SVM_EXIT_VMMCALL - 0x60] = VM_EXIT_CALL,
    [SVM_EXIT_WBINVD - 0x60] = VM_EXIT_INVD,   [SVM_EXIT_XSETBV - 0x60] = VM_EXIT_XSETBV,
};

static void fill_exit(struct vcpu *v, struct svm_vcpu *s, struct vm_exit *exit)
{
    const struct vmcb *b = s->vmcb;
    uint64_t code = b->exit_code;

    exit->raw_reason = (uint32_t)code;
    exit->length = 0;
    exit->qualification = b->exit_info1;
    exit->rip = b->rip;

    uint64_t index = code - 0x60;

    if (index < ARRAY_COUNT(length_kinds) && length_kinds[index]) {
        exit->kind = (enum vm_exit_kind)length_kinds[index];
        exit->length = exit_length(v, s, (uint32_t)code);
        if (!exit->length)
            exit->kind = VM_EXIT_INTERRUPT;  // go back and take the #PF
        return;
    }
    switch (code) {
    case SVM_EXIT_MSR:
        exit->kind = (b->exit_info1 & 1) ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ;
        exit->length = exit_length(v, s, SVM_EXIT_MSR);
        if (!exit->length)
            exit->kind = VM_EXIT_INTERRUPT;
        return;
    case SVM_EXIT_IOIO: fill_io(exit, b); return;
    case SVM_EXIT_NPF:
        if (__builtin_expect(is_lost(b), 0)) {
            exit->kind = VM_EXIT_ENTRY_FAILED;
            exit->failure.rule =
                "the emulator has mixed up the host and the guest, whose state is lost: "
                "keep VMs off the first CPU (docs/caveats.md)";
            return;
        }
        fill_nested_fault(exit, b);
        return;
    case SVM_EXIT_INTR:
    case SVM_EXIT_SMI:
    case SVM_EXIT_INIT: exit->kind = VM_EXIT_INTERRUPT; return;
    case SVM_EXIT_NMI: exit->kind = VM_EXIT_NMI; return;
    case SVM_EXIT_VINTR: exit->kind = VM_EXIT_IRQ_WINDOW; return;
    case SVM_EXIT_IRET:
        s->nmi_iret = true;
        s->nmi_iret_rip = b->rip;
        iret_intercept(s, false);
        exit->kind = VM_EXIT_INTERRUPT;
        return;
    case SVM_EXIT_SHUTDOWN: exit->kind = VM_EXIT_TRIPLE_FAULT; return;
    case SVM_EXIT_TASK:  // not asked for: the processor does it
        exit->kind = VM_EXIT_TASK_SWITCH;
        exit->task.source = VM_TASK_UNKNOWN;
        return;
    case SVM_EXIT_MONITOR:
    case SVM_EXIT_MWAIT:
    case SVM_EXIT_MWAIT_COND: exit->kind = VM_EXIT_MONITOR; return;
    case SVM_EXIT_INVLPGA:
    case SVM_EXIT_VMRUN:
    case SVM_EXIT_VMLOAD:
    case SVM_EXIT_VMSAVE:
    case SVM_EXIT_STGI:
    case SVM_EXIT_CLGI:
    case SVM_EXIT_SKINIT:
    case SVM_EXIT_RDPRU:
    case SVM_EXIT_RSM: exit->kind = VM_EXIT_VIRT_INSN; return;
    case SVM_EXIT_INVALID:
        exit->kind = VM_EXIT_ENTRY_FAILED;
        exit->failure.rule = "VMRUN refused the VMCB (VMEXIT_INVALID)";
        return;
    default: break;
    }
    if (code < SVM_EXIT_EXCEPTION) {
        if (!fill_register_access(v, exit, (uint32_t)code))
            exit->kind = VM_EXIT_INTERRUPT;
        return;
    }
    if (code < SVM_EXIT_INTR) {
        exit->kind = VM_EXIT_EXCEPTION;
        exit->exception.vector = (uint8_t)(code - SVM_EXIT_EXCEPTION);
        exit->exception.error = (uint32_t)b->exit_info1;
        exit->exception.has_error = BIT(exit->exception.vector) & 0x27d00ull;
        exit->exception.cr2 = b->exit_info2;
        return;
    }
    exit->kind = VM_EXIT_UNKNOWN;
}

/*
 * VMRUN with V_IRQ set loses host interrupts in QEMU 7.2: it sets a bit in the word in which other
 * threads announce interrupts, without their lock. The APIC still has them in its IRR, but the processor
 * is not told, and may halt for ever. A write of the task priority makes it look there. On a
 * processor that loses nothing it changes nothing: the kernel's priority is always 0.
 */
static void host_interrupts_find(void)
{
    plat_cr_write(8, 0);
}

/*
 * The shadow of STI (or MOV SS) is over after the next instruction, and until then no interrupt comes.
 * Guests wait by STI, HLT and rely on it. QEMU (7.2) forgets the shadow at VMRUN, so a guest that was
 * pulled out between the two took its interrupt before the HLT, and then halted for one that had
 * been. So the HLT is done here. Before other instructions a shadow is still lost there.
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
        inject(v, s);
    if (__builtin_expect(s->xcr0 != v->xcr0, 0)) {
        plat_fpu_save(v->fpu, s->xcr0);
        s->xcr0 = v->xcr0;
        plat_fpu_load(v->fpu, s->xcr0);
    }
    if (__builtin_expect(b->tsc_offset != vcpu_tsc_offset(v), 0)) {
        b->tsc_offset = vcpu_tsc_offset(v);
        touch(s, SVM_CLEAN_INTERCEPTS);
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
        stepped = nmi_step_end(s);
    if (s->nmi_iret && b->rip != s->nmi_iret_rip) {
        s->nmi_iret = false;
        s->nmi_masked = false;
    }
    info = s->virq ? virq_check(v, s) : b->exit_int_info;
    if (info & SVM_EVENT_VALID)
        requeue(v, s, info);
    if (b->exit_code == SVM_EXIT_CPUID && (uint32_t)b->rax == 0xd)
        xcr0_take(v, s);
    fill_exit(v, s, exit);
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
        const struct vmcb_segment *g = segment_of(b, (enum vt_seg)i);

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
