// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/svm_state.c -- a guest's registers and segments, as the VMCB keeps them.
 *
 * Invariants: EFER.SVME is set in the VMCB and hidden from the guest; whoever changes a VMCB
 * field drops its clean bit.
 * Locking: none; a vCPU belongs to the CPU that has it loaded.
 *
 * Sources: APM-2, "Secure Virtual Machine", the VMCB's layout.
 */
#include "core/assert.h"
#include "vmm/svm/svm.h"

/* LMA is not a bit of its own: it follows from LME and paging. */
static void efer_sync(struct vmcb *b)
{
    b->efer &= ~EFER_LMA;
    if ((b->efer & EFER_LME) && (b->cr0 & CR0_PG))
        b->efer |= EFER_LMA;
}

uint64_t svm_get(struct vcpu *v, enum vt_reg reg)
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
    case VT_DR6: return b->dr6;
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

void svm_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
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
        svm_touch(s, SVM_CLEAN_CR);
        return;
    case VT_CR2:
        b->cr2 = value;
        v->regs.cr2 = value;
        svm_touch(s, SVM_CLEAN_CR2);
        return;
    case VT_CR3:
        b->cr3 = value;
        svm_touch(s, SVM_CLEAN_CR);
        return;
    case VT_CR4:
        b->cr4 = value;
        svm_touch(s, SVM_CLEAN_CR);
        return;
    case VT_DR6:
        b->dr6 = value;
        svm_touch(s, SVM_CLEAN_DR);
        return;
    case VT_DR7:
        b->dr7 = value;
        svm_touch(s, SVM_CLEAN_DR);
        return;
    case VT_EFER:
        b->efer = value | EFER_SVME;
        efer_sync(b);
        svm_touch(s, SVM_CLEAN_CR);
        return;
    case VT_PAT:
        b->guest_pat = value;
        svm_touch(s, SVM_CLEAN_NP);
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

struct vmcb_segment *svm_segment_of(struct vmcb *b, enum vt_seg seg)
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

void svm_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    const struct vmcb_segment *g = svm_segment_of(svm_of(v)->vmcb, seg);
    uint32_t a = g->attributes;

    out->selector = g->selector;
    out->limit = g->limit;
    out->base = g->base;
    out->rights = (a & 0xffu) | (a & 0xf00u) << 4;
    if (seg < VT_GDTR && !(a & BIT(7)))
        out->rights |= (uint32_t)VT_SEG_UNUSABLE;
}

void svm_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb_segment *g = svm_segment_of(s->vmcb, seg);

    g->selector = in->selector;
    g->limit = in->limit;
    g->base = in->base;
    g->attributes = (in->rights & VT_SEG_UNUSABLE)
                        ? 0
                        : (uint16_t)((in->rights & 0xffu) | (in->rights >> 4 & 0xf00u));
    if (seg == VT_SS)
        s->vmcb->cpl = (in->rights >> 5) & 3;
    svm_touch(s, seg >= VT_GDTR ? SVM_CLEAN_DT : SVM_CLEAN_SEG);
}

unsigned svm_cpl(struct vcpu *v)
{
    return svm_of(v)->vmcb->cpl;
}
