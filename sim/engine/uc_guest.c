// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_guest.c -- a guest's registers, segments and intercepts in an engine CPU.
 *
 * The library knows AMD's intercepts: with its "in a guest" flag on, an intercepted instruction
 * leaves no trace and ends the run with the exit's number. Nobody ever executes VMRUN; the flag
 * and the intercept words are simply set. Its flags word (hflags) repeats much of the control
 * registers and segments for the translator, so every change here ends in sync().
 *
 * Invariants
 *   - hflags is a function of CR0, CR4, EFER, RFLAGS and the segments, but for CPL and the
 *     shadow.
 *   - EFER.LMA follows from LME and CR0.PG.
 * Locking    none: one thread.
 * Sources    APM-2, "Secure Virtual Machine"; SDM-3A, "Segment Descriptors"
 */
#include "sim/engine/uc_guest.h"

#include <string.h>

#include "core/assert.h"
#include "lib/x86.h"
#include "plat/plat.h"
#include "sim/engine/uc_env.h"
#include "vmm/svm/vmcb.h"

#define VMCB_MSR_MAP  0x48u  // where the VMCB says where the MSR permission map is

/* Exit codes, which are also bit numbers from 0x60 on. */
#define SVM_BIT(code) BIT((code)-0x60)

static void sync(struct uc_env *env)
{
    uint32_t keep = env->hflags & (uint32_t)(UC_HF_CPL | UC_HF_INHIBIT_IRQ);
    uint64_t h = UC_HF_GUEST;
    bool wide;

    env->efer &= ~EFER_LMA;
    if ((env->efer & EFER_LME) && (env->cr[0] & CR0_PG))
        env->efer |= EFER_LMA;
    if (!(env->cr[0] & CR0_PE))
        keep &= ~UC_HF_CPL;
    if (env->cr[0] & CR0_PE)
        h |= UC_HF_PE;
    h |= (env->cr[0] & 0xe) << 8;  // MP EM TS
    if (env->eflags & RFLAGS_TF)
        h |= UC_HF_TF;
    if (env->eflags & RFLAGS_VM)
        h |= UC_HF_VM | UC_HF_CPL;
    if (env->cr[4] & CR4_OSFXSR)
        h |= UC_HF_OSFXSR;
    if (env->cr[4] & CR4_SMAP)
        h |= UC_HF_SMAP;
    wide = (env->efer & EFER_LMA) && (env->segs[UC_SEG_CS].flags & UC_DESC_L);
    if (env->efer & EFER_LMA)
        h |= UC_HF_LMA;
    if (wide) {
        h |= UC_HF_CS32 | UC_HF_SS32 | UC_HF_CS64;
    } else {
        if (env->segs[UC_SEG_CS].flags & UC_DESC_B)
            h |= UC_HF_CS32;
        if (env->segs[UC_SEG_SS].flags & UC_DESC_B)
            h |= UC_HF_SS32;
        if (!(h & UC_HF_PE) || (h & UC_HF_VM) || !(h & UC_HF_CS32) ||
            env->segs[UC_SEG_DS].base || env->segs[UC_SEG_ES].base || env->segs[UC_SEG_SS].base)
            h |= UC_HF_ADDSEG;
    }
    env->hflags = (uint32_t)h | keep;
}

void uc_guest_init(struct uc_shim *s, uint64_t vmcb, uint64_t msr_map)
{
    struct uc_env *env = uc_shim_env(s);

    memcpy((unsigned char *)plat_map(paddr_make(vmcb)) + VMCB_MSR_MAP, &msr_map,
           sizeof(msr_map));
    env->hflags = UC_HF_GUEST;
    env->hflags2 = 1;  // global interrupts on, as far as AMD's extension is concerned
    env->a20_mask = -1;
    env->vm_vmcb = vmcb;
    env->intercept =
        SVM_BIT(SVM_EXIT_RDPMC) | SVM_BIT(SVM_EXIT_CPUID) | SVM_BIT(SVM_EXIT_RSM) |
        SVM_BIT(SVM_EXIT_INVD) | SVM_BIT(SVM_EXIT_HLT) | SVM_BIT(SVM_EXIT_INVLPGA) |
        SVM_BIT(SVM_EXIT_MSR) | SVM_BIT(SVM_EXIT_TASK) | SVM_BIT(SVM_EXIT_VMRUN) |
        SVM_BIT(SVM_EXIT_WBINVD) | SVM_BIT(SVM_EXIT_MONITOR) | SVM_BIT(SVM_EXIT_MWAIT);
    /* As the AMD-V back end: CR0, CR4 and CR8 when written, CR8 also when read, debug
     * registers. */
    env->intercept_cr_read = (uint16_t)BIT(8);
    env->intercept_cr_write = (uint16_t)(BIT(0) | BIT(4) | BIT(8));
    env->intercept_dr_read = 0xffff;
    env->intercept_dr_write = 0xffff;
    env->intercept_exceptions = 0;
    sync(env);
}

uint64_t uc_guest_get(struct uc_shim *s, enum vt_reg reg)
{
    const struct uc_env *env = uc_shim_env(s);

    switch (reg) {
    case VT_RIP: return env->eip;
    case VT_RSP: return env->regs[4];
    case VT_RFLAGS: return env->eflags | 2;
    case VT_CR0: return env->cr[0];
    case VT_CR2: return env->cr[2];
    case VT_CR3: return env->cr[3];
    case VT_CR4: return env->cr[4];
    case VT_EFER: return env->efer;
    case VT_STAR: return env->star;
    case VT_LSTAR: return env->lstar;
    case VT_CSTAR: return env->cstar;
    case VT_SFMASK: return env->fmask;
    case VT_KERNEL_GS_BASE: return env->kernelgsbase;
    case VT_SYSENTER_CS: return env->sysenter_cs;
    case VT_SYSENTER_ESP: return env->sysenter_esp;
    case VT_SYSENTER_EIP: return env->sysenter_eip;
    case VT_DR6:
    case VT_DR7:
    case VT_PAT:
    case VT_REG_COUNT: break;
    }
    vmk_unreachable();
}

void uc_guest_set(struct uc_shim *s, enum vt_reg reg, uint64_t value)
{
    struct uc_env *env = uc_shim_env(s);

    switch (reg) {
    case VT_RIP: env->eip = value; return;
    case VT_RSP: env->regs[4] = value; return;
    case VT_RFLAGS: env->eflags = value | 2; break;
    case VT_CR0: env->cr[0] = value | BIT(4); break;
    case VT_CR2: env->cr[2] = value; return;
    case VT_CR3: env->cr[3] = value; break;
    case VT_CR4: env->cr[4] = value; break;
    case VT_EFER: env->efer = value; break;
    case VT_STAR: env->star = value; return;
    case VT_LSTAR: env->lstar = value; return;
    case VT_CSTAR: env->cstar = value; return;
    case VT_SFMASK: env->fmask = value; return;
    case VT_KERNEL_GS_BASE: env->kernelgsbase = value; return;
    case VT_SYSENTER_CS: env->sysenter_cs = (uint32_t)value; return;
    case VT_SYSENTER_ESP: env->sysenter_esp = value; return;
    case VT_SYSENTER_EIP: env->sysenter_eip = value; return;
    case VT_DR6:
    case VT_DR7:
    case VT_PAT:
    case VT_REG_COUNT: vmk_unreachable();
    }
    sync(env);
    if (reg != VT_RFLAGS)
        uc_shim_flush(s);
}

static struct uc_segment *segment_of(struct uc_env *env, enum vt_seg seg)
{
    switch (seg) {
    case VT_LDTR: return &env->ldt;
    case VT_TR: return &env->tr;
    case VT_GDTR: return &env->gdt;
    case VT_IDTR: return &env->idt;
    case VT_ES:
    case VT_CS:
    case VT_SS:
    case VT_DS:
    case VT_FS:
    case VT_GS: return &env->segs[seg];  // the same order
    case VT_SEG_COUNT: break;
    }
    vmk_unreachable();
}

void uc_guest_get_segment(struct uc_shim *s, enum vt_seg seg, struct vt_segment *out)
{
    const struct uc_segment *from = segment_of(uc_shim_env(s), seg);

    *out =
        (struct vt_segment){.selector = (uint16_t)from->selector,
                            .limit = from->limit,
                            .rights = (from->flags >> 8 & 0xff) | (from->flags >> 8 & 0xf000),
                            .base = from->base};
    if (seg < VT_GDTR && !(from->flags & UC_DESC_P))
        out->rights |= (uint32_t)VT_SEG_UNUSABLE;
}

void uc_guest_set_segment(struct uc_shim *s, enum vt_seg seg, const struct vt_segment *in)
{
    struct uc_env *env = uc_shim_env(s);
    uint32_t rights = (in->rights & VT_SEG_UNUSABLE) ? in->rights & 0x60 : in->rights;

    *segment_of(env, seg) = (struct uc_segment){in->selector, in->base, in->limit,
                                                (rights & 0xff) << 8 | (rights & 0xf000) << 8};
    if (seg == VT_SS)
        env->hflags = (env->hflags & ~UC_HF_CPL) | (in->rights >> 5 & 3);
    sync(env);
}

unsigned uc_guest_cpl(struct uc_shim *s)
{
    return uc_shim_env(s)->hflags & UC_HF_CPL;
}

void uc_guest_load(struct uc_shim *s, const uint64_t gpr[16])
{
    struct uc_env *env = uc_shim_env(s);
    uint64_t rsp = env->regs[4];

    memcpy(env->regs, gpr, sizeof(env->regs));
    env->regs[4] = rsp;
}

void uc_guest_store(struct uc_shim *s, uint64_t gpr[16])
{
    memcpy(gpr, uc_shim_env(s)->regs, 16 * sizeof(*gpr));
}

bool uc_guest_shadow(struct uc_shim *s)
{
    return uc_shim_env(s)->hflags & UC_HF_INHIBIT_IRQ;
}

void uc_guest_clear_shadow(struct uc_shim *s)
{
    uc_shim_env(s)->hflags &= ~(uint32_t)UC_HF_INHIBIT_IRQ;
}

void uc_guest_intercept_iret(struct uc_shim *s, bool on)
{
    if (on)
        uc_shim_env(s)->intercept |= SVM_BIT(SVM_EXIT_IRET);
    else
        uc_shim_env(s)->intercept &= ~SVM_BIT(SVM_EXIT_IRET);
}

void uc_guest_tsc_aux(struct uc_shim *s, uint64_t value)
{
    uc_shim_env(s)->tsc_aux = value;
}

uint64_t uc_guest_debug_status(struct uc_shim *s)
{
    uint64_t bits = uc_shim_env(s)->dr[6] & 0xe00f;

    uc_shim_env(s)->dr[6] &= ~0xe00full;
    return bits;
}
