// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sigframe.c -- the frame of a signal handler, in Linux's x86-64 layout, and the way back.
 *
 *      higher   red zone of the interrupted function (128 bytes), not on an alternate stack
 *               FPU state, 64-byte aligned, with its size in the bytes XSAVE leaves free
 *               struct l_sigframe: where the handler returns to, ucontext, siginfo
 *      lower    RSP of the handler, 8 less than a multiple of 16, as after a CALL
 *
 * Everything that comes back with rt_sigreturn may have been altered by the program, so it is
 * made safe: flags and bases by plat_user_run(), the FPU's header here, because XRSTOR faults
 * on reserved bits (SDM-1 "XRSTOR").
 *
 * Invariants
 *   - The kernel's FPU area always holds something that XRSTOR accepts (fpu_make_safe()).
 * Locking    none: the thread's own state.
 * Sources    the kernel interface as described by sigaction(2), sigaltstack(2), sigreturn(2);
 *            SDM-1 "XSAVE-Managed State"
 */
#include "core/assert.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define RED_ZONE       128u
#define FXSAVE_SIZE    512u
#define XSAVE_HEADER   64u
#define XSAVE_MIN      (FXSAVE_SIZE + XSAVE_HEADER)
#define XSAVE_MAX      2688u  // through Hi16_ZMM, in the standard format
#define SW_RESERVED    464u   // in the FXSAVE area: software's
#define MXCSR_KNOWN    0xffffu
#define USER_XFEATURES 0xe7u

struct fp_sw_bytes {
    uint32_t magic1, extended_size;
    uint64_t features;
    uint32_t xstate_size, padding[7];
};
_Static_assert(sizeof(struct fp_sw_bytes) == 48, "struct _fpx_sw_bytes");

static bool have_xsave(void)
{
    return plat_cpuid(1, 0).ecx & BIT(26);
}

static uint64_t xfeatures(void)
{
    return have_xsave() ? (plat_cpuid(0xd, 0).eax & USER_XFEATURES) | 3u : 3u;
}

static size_t thread_fpu_size(void)
{
    uint32_t size;

    if (!have_xsave())
        return FXSAVE_SIZE;
    size = plat_cpuid(0xd, 0).ecx;
    return (size_t)MIN(MAX(size, XSAVE_MIN), XSAVE_MAX);
}

void thread_fpu_reset(struct thread *t)
{
    uint8_t *area = t->fpu;

    plat_fpu_area_init(area);
    area[0] = 0x7f;  // FCW 0x37f: all exceptions masked, as every program expects
    area[1] = 0x03;
    area[4] = 0;  // no register in use
    t->fpu_xcr0 = xfeatures();
}

/* What a program put there must not make XRSTOR or FXRSTOR fault. */
static void fpu_make_safe(uint8_t *area)
{
    uint64_t header[2] = {0};
    uint32_t mxcsr;

    memcpy(&mxcsr, area + 24, sizeof(mxcsr));
    mxcsr &= MXCSR_KNOWN;
    memcpy(area + 24, &mxcsr, sizeof(mxcsr));
    memcpy(header, area + FXSAVE_SIZE, 8);
    header[0] = (header[0] & xfeatures()) | 3u;
    memset(area + FXSAVE_SIZE, 0, XSAVE_HEADER);
    memcpy(area + FXSAVE_SIZE, header, sizeof(header));
}

static bool on_altstack(const struct thread *t, uint64_t sp)
{
    return !(t->altstack.flags & L_SS_DISABLE) && sp > t->altstack.sp &&
           sp - t->altstack.sp <= t->altstack.size;
}

static uint64_t choose_stack(const struct thread *t, const struct l_sigaction *action)
{
    uint64_t sp = t->regs.gpr[4];

    if ((action->flags & L_SA_ONSTACK) && !(t->altstack.flags & L_SS_DISABLE) &&
        !on_altstack(t, sp))
        return t->altstack.sp + t->altstack.size;
    return sp - RED_ZONE;
}

/* The live FPU state goes to `at`; with XSAVE also its trailer. */
static bool fpu_push(struct thread *t, uint64_t at, size_t size)
{
    uint8_t *area = t->fpu;
    const uint32_t magic2 = L_FP_XSTATE_MAGIC2;
    struct fp_sw_bytes sw = {0};
    bool irqs = plat_irq_save();

    plat_fpu_save(area, t->fpu_xcr0);
    plat_fpu_load(area, t->fpu_xcr0);
    plat_irq_restore(irqs);
    if (size > FXSAVE_SIZE) {
        sw.magic1 = L_FP_XSTATE_MAGIC1;
        sw.extended_size = (uint32_t)size + 4;
        sw.features = t->fpu_xcr0;
        sw.xstate_size = (uint32_t)size;
    }
    memcpy(area + SW_RESERVED, &sw, sizeof(sw));
    return aspace_copy_out(t->as, at, area, size) == VMK_OK &&
           (size == FXSAVE_SIZE ||
            aspace_copy_out(t->as, at + size, &magic2, sizeof(magic2)) == VMK_OK);
}

static void context_fill(const struct thread *t, struct l_sigcontext *c)
{
    const struct plat_user_regs *r = &t->regs;

    *c = (struct l_sigcontext){
        .rax = r->gpr[0],
        .rcx = r->gpr[1],
        .rdx = r->gpr[2],
        .rbx = r->gpr[3],
        .rsp = r->gpr[4],
        .rbp = r->gpr[5],
        .rsi = r->gpr[6],
        .rdi = r->gpr[7],
        .r8 = r->gpr[8],
        .r9 = r->gpr[9],
        .r10 = r->gpr[10],
        .r11 = r->gpr[11],
        .r12 = r->gpr[12],
        .r13 = r->gpr[13],
        .r14 = r->gpr[14],
        .r15 = r->gpr[15],
        .rip = r->rip,
        .eflags = r->rflags,
        .cs = 0x33,
        .ss = 0x2b,
        .err = t->fault_error,
        .trapno = t->fault_vector,
        .cr2 = t->fault_address,
    };
}

bool sigframe_push(struct thread *t, int signal, const struct l_sigaction *action,
                   const struct l_siginfo *info, uint64_t mask)
{
    struct l_sigframe frame = {.restorer = action->restorer, .info = *info};
    size_t fpu_size = thread_fpu_size();
    uint64_t sp = choose_stack(t, action);
    uint64_t fpu_at, at;

    if (!(action->flags & L_SA_RESTORER))
        return false;
    fpu_at = round_down(sp - fpu_size - (fpu_size > FXSAVE_SIZE ? 4 : 0), 64);
    at = round_down(fpu_at - sizeof(frame), 16) - 8;
    /* A handler that filled its alternate stack must not go on into what lies below. */
    if (on_altstack(t, sp) && at < t->altstack.sp)
        return false;

    context_fill(t, &frame.uc.context);
    frame.uc.context.oldmask = mask;
    frame.uc.context.fpstate = fpu_at;
    frame.uc.flags = L_UC_SIGCONTEXT_SS | L_UC_STRICT_RESTORE_SS |
                     (fpu_size > FXSAVE_SIZE ? L_UC_FP_XSTATE : 0);
    frame.uc.mask = mask;
    frame.uc.stack = t->altstack;
    if (on_altstack(t, t->regs.gpr[4]))
        frame.uc.stack.flags |= L_SS_ONSTACK;
    if (!fpu_push(t, fpu_at, fpu_size) ||
        aspace_copy_out(t->as, at, &frame, sizeof(frame)) != VMK_OK)
        return false;
    if (t->altstack.flags & L_SS_AUTODISARM)
        t->altstack = (struct l_stack){.flags = L_SS_DISABLE};

    t->regs.gpr[4] = at;
    t->regs.gpr[0] = 0;
    t->regs.gpr[7] = (uint64_t)signal;
    t->regs.gpr[6] = at + offsetof(struct l_sigframe, info);
    t->regs.gpr[2] = at + offsetof(struct l_sigframe, uc);
    t->regs.rip = action->handler;
    t->regs.rflags &= ~0x10500ull;  // DF, TF, RF
    return true;
}

static void context_take(struct thread *t, const struct l_sigcontext *c)
{
    t->regs = (struct plat_user_regs){
        .gpr = {c->rax, c->rcx, c->rdx, c->rbx, c->rsp, c->rbp, c->rsi, c->rdi, c->r8, c->r9,
                c->r10, c->r11, c->r12, c->r13, c->r14, c->r15},
        .rip = c->rip,
        .rflags = c->eflags,
        .fs_base = t->regs.fs_base,
        .gs_base = t->regs.gs_base,
    };
}

/* The FPU state at `from`, or the initial one if that is null. */
static bool fpu_pop(struct thread *t, uint64_t from)
{
    struct fp_sw_bytes sw;
    size_t size = FXSAVE_SIZE;
    uint8_t *area;

    if (!from) {
        bool irqs = plat_irq_save();

        thread_fpu_reset(t);
        plat_fpu_load(t->fpu, t->fpu_xcr0);
        plat_irq_restore(irqs);
        return true;
    }
    if (aspace_copy_in(t->as, &sw, from + SW_RESERVED, sizeof(sw)) != VMK_OK)
        return false;
    if (have_xsave() && sw.magic1 == L_FP_XSTATE_MAGIC1 && sw.xstate_size == thread_fpu_size())
        size = thread_fpu_size();
    area = buffer_get();
    if (!area)
        return false;
    memset(area, 0, PLAT_FPU_AREA_SIZE);
    if (aspace_copy_in(t->as, area, from, size) != VMK_OK) {
        buffer_put(area);
        return false;
    }
    fpu_make_safe(area);

    bool irqs = plat_irq_save();

    memcpy(t->fpu, area, PLAT_FPU_AREA_SIZE);
    plat_fpu_load(t->fpu, t->fpu_xcr0);
    plat_irq_restore(irqs);
    buffer_put(area);
    return true;
}

int64_t sigframe_pop(struct thread *t)
{
    /* The handler's RET took the first word. */
    uint64_t at = t->regs.gpr[4] - 8;
    struct l_ucontext uc;

    if (aspace_copy_in(t->as, &uc, at + offsetof(struct l_sigframe, uc), sizeof(uc)) !=
            VMK_OK ||
        !fpu_pop(t, uc.context.fpstate)) {
        signal_force(t, L_SIGSEGV, L_SI_KERNEL, 0);
        return (int64_t)t->regs.gpr[0];
    }
    signal_mask_set(t, uc.mask);
    context_take(t, &uc.context);
    if (!on_altstack(t, t->regs.gpr[4])) {
        t->altstack = uc.stack;
        t->altstack.flags &= ~L_SS_ONSTACK;
    }
    t->syscall = -1;  // the result belongs to the interrupted context
    return (int64_t)t->regs.gpr[0];
}
