// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_state.c -- registers in and out of an engine CPU, in the kernel's own formats.
 *
 * Registers are copied straight into the library's CPU state, because twenty calls of its
 * public interface at each system call would cost more than the call. The FPU travels in
 * FXSAVE's format: signal frames show it to programs.
 *
 * Invariants
 *   - hflags agrees with the segments, CR0, CR4 and EFER: the translator believes hflags.
 * Locking    none: one thread.
 * Sources    SDM-1, "FXSAVE Area"; SDM-3A, "Segment Descriptors"
 */
#include "sim/engine/uc_state.h"

#include <string.h>

#include "sim/engine/uc_env.h"

#define USER_CS   0x33u
#define USER_SS   0x2bu

#define CR0_USER  0x80050033u  // PG AM WP NE ET MP PE
#define CR4_USER  0x620u       // PAE OSFXSR OSXMMEXCPT
#define EFER_USER 0xd01u       // NXE LMA LME SCE

#define FSW_TOP   11u

struct fxsave {
    uint16_t control, status;
    uint8_t tags, unused0;  // bit set: the register is in use
    uint16_t opcode;
    uint64_t ip, dp;
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t mantissa;
        uint16_t exponent;
        uint16_t unused[3];
    } st[8];  // from the top of the stack
    struct {
        uint64_t low, high;
    } xmm[16];
    uint8_t unused1[96];
    uint64_t xstate_bv;
};
_Static_assert(offsetof(struct fxsave, xmm) == 160, "FXSAVE");
_Static_assert(offsetof(struct fxsave, xstate_bv) == 512, "XSAVE header");

static const struct uc_segment flat_data = {0, 0, 0xffffffff,
                                            UC_DESC_G | UC_DESC_B | UC_DESC_P | UC_DESC_DPL3 |
                                                UC_DESC_S | UC_DESC_DATA};

void uc_state_user_init(struct uc_shim *s)
{
    struct uc_env *env = uc_shim_env(s);

    for (unsigned i = 0; i < 6; i++)
        env->segs[i] = flat_data;
    env->segs[UC_SEG_SS].selector = USER_SS;
    env->segs[UC_SEG_CS] = (struct uc_segment){USER_CS, 0, 0xffffffff,
                                               UC_DESC_G | UC_DESC_L | UC_DESC_P |
                                                   UC_DESC_DPL3 | UC_DESC_S | UC_DESC_CODE};
    /* No tables: a program that loads a selector gets #GP, and no port is allowed. */
    env->ldt = env->tr = env->gdt = env->idt = (struct uc_segment){0, 0, 0, 0};
    env->cr[0] = CR0_USER;
    env->cr[2] = 0;
    env->cr[3] = 0;
    env->cr[4] = CR4_USER;
    env->efer = EFER_USER;
    env->a20_mask = -1;
    env->hflags2 = 0;
    env->hflags = (uint32_t)(3 | UC_HF_CS32 | UC_HF_SS32 | UC_HF_PE | UC_HF_MP | UC_HF_LMA |
                             UC_HF_CS64 | UC_HF_OSFXSR);
}

void uc_state_user_set(struct uc_shim *s, const struct plat_user_regs *regs)
{
    struct uc_env *env = uc_shim_env(s);

    memcpy(env->regs, regs->gpr, sizeof(env->regs));
    env->eip = regs->rip;
    env->eflags = regs->rflags;
    if (regs->rflags & BIT(8))
        env->hflags |= (uint32_t)UC_HF_TF;
    else
        env->hflags &= ~(uint32_t)UC_HF_TF;
    env->segs[UC_SEG_FS].base = regs->fs_base;
    env->segs[UC_SEG_GS].base = regs->gs_base;
}

void uc_state_user_get(struct uc_shim *s, struct plat_user_regs *regs)
{
    const struct uc_env *env = uc_shim_env(s);

    memcpy(regs->gpr, env->regs, sizeof(env->regs));
    regs->rip = env->eip;
    regs->rflags = env->eflags;
    regs->fs_base = env->segs[UC_SEG_FS].base;
    regs->gs_base = env->segs[UC_SEG_GS].base;
}

void uc_state_fpu_get(struct uc_shim *s, void *area)
{
    const struct uc_env *env = uc_shim_env(s);
    struct fxsave *f = area;

    f->control = env->fpuc;
    f->status = (uint16_t)((env->fpus & ~0x3800u) | (env->fpstt & 7) << FSW_TOP);
    f->tags = 0;
    f->unused0 = 0;
    f->opcode = 0;
    f->ip = 0;
    f->dp = 0;
    for (unsigned i = 0; i < 8; i++) {
        const struct uc_x87 *from = &env->fpregs[(env->fpstt + i) & 7];

        if (!env->fptags[i])
            f->tags = (uint8_t)(f->tags | 1u << i);
        f->st[i].mantissa = from->mantissa;
        f->st[i].exponent = from->exponent;
        memset(f->st[i].unused, 0, sizeof(f->st[i].unused));
    }
    f->mxcsr = env->mxcsr;
    f->mxcsr_mask = 0xffff;
    for (unsigned i = 0; i < 16; i++) {
        f->xmm[i].low = env->xmm[i].low;
        f->xmm[i].high = env->xmm[i].high;
    }
    f->xstate_bv = 3;
}

void uc_state_fpu_set(struct uc_shim *s, const void *area)
{
    struct uc_env *env = uc_shim_env(s);
    const struct fxsave *f = area;
    bool control = env->fpuc != f->control || env->mxcsr != (f->mxcsr & 0xffff);

    env->fpuc = f->control;
    env->fpus = (uint16_t)(f->status & ~0x3800u);
    env->fpstt = (uint32_t)(f->status >> FSW_TOP) & 7;
    for (unsigned i = 0; i < 8; i++) {
        struct uc_x87 *to = &env->fpregs[(env->fpstt + i) & 7];

        env->fptags[i] = !(f->tags >> i & 1);
        to->mantissa = f->st[i].mantissa;
        to->exponent = f->st[i].exponent;
    }
    env->mxcsr = f->mxcsr & 0xffff;
    for (unsigned i = 0; i < 16; i++) {
        env->xmm[i].low = f->xmm[i].low;
        env->xmm[i].high = f->xmm[i].high;
    }
    if (control)
        uc_shim_fpu_changed(s);
}
