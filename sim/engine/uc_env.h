// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_env.h -- the parts of libunicorn 2.0.1's CPU state that the engine reads and
 * writes.
 *
 * A context of uc_context_save is a 16-byte header and then this. The offsets were measured
 * (write a register through the public interface, see which bytes of the context change) and
 * hold for exactly one version of the package; uc_shim_unusable() checks size and behaviour at
 * start.
 *
 * Invariants: included by uc_shim.c, uc_state.c and uc_guest.c only.
 * Locking: none.
 */
#pragma once

#include <stddef.h>

#include "lib/types.h"

#define UC_CONTEXT_SIZE 5544u

struct uc_segment {
    uint32_t selector;
    uint64_t base;
    uint32_t limit;  // in bytes, scaled
    uint32_t flags;  // the second doubleword of a descriptor: type 8, S 12, DPL 13, P 15, L 21
};

enum {
    UC_SEG_ES,
    UC_SEG_CS,
    UC_SEG_SS,
    UC_SEG_DS,
    UC_SEG_FS,
    UC_SEG_GS
};

struct uc_xmm {
    uint64_t low, high;
    uint64_t unused[6];
};

struct uc_x87 {
    uint64_t mantissa;
    uint16_t exponent;
    uint16_t unused[3];
};

struct uc_env {
    uint64_t regs[16];  // in instruction-encoding order
    uint64_t eip, eflags;
    uint64_t cc[3];
    uint32_t cc_op;
    int32_t df;
    uint32_t hflags, hflags2;
    struct uc_segment segs[6];
    struct uc_segment ldt, tr, gdt, idt;
    uint64_t cr[5];
    int32_t a20_mask;
    uint32_t unused0[23];
    uint64_t efer;
    uint32_t unused1;
    uint32_t fpstt;
    uint16_t fpus, fpuc;
    uint8_t fptags[8];  // 1: empty
    struct uc_x87 fpregs[8];
    uint8_t unused2[64];
    uint32_t mxcsr;
    uint32_t unused3;
    struct uc_xmm xmm[32];
    uint8_t unused4[1928];
    uint32_t sysenter_cs;
    uint64_t sysenter_esp, sysenter_eip;
    uint64_t star;
    uint64_t vm_hsave;
    uint64_t lstar, cstar, fmask, kernelgsbase;
    uint64_t tsc, tsc_adjust;
    int64_t
        left;  // the TSC deadline, which the library never reads: instructions left of the run
    uint64_t tsc_aux;
    uint8_t unused5[480];
    uint32_t error_code;
    uint32_t exception_is_int;
    uint64_t exception_next_eip;
    uint64_t dr[8];
    uint8_t unused6[32];
    uint32_t old_exception;
    uint32_t unused7;
    uint64_t vm_vmcb, tsc_offset;
    uint64_t intercept;
    uint16_t intercept_cr_read, intercept_cr_write, intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions;
};

#define UC_HF_CPL         3u
#define UC_HF_INHIBIT_IRQ BIT(3)
#define UC_HF_CS32        BIT(4)
#define UC_HF_SS32        BIT(5)
#define UC_HF_ADDSEG      BIT(6)
#define UC_HF_PE          BIT(7)
#define UC_HF_TF          BIT(8)
#define UC_HF_MP          BIT(9)
#define UC_HF_LMA         BIT(14)
#define UC_HF_CS64        BIT(15)
#define UC_HF_VM          BIT(17)
#define UC_HF_GUEST       BIT(21)
#define UC_HF_OSFXSR      BIT(22)
#define UC_HF_SMAP        BIT(23)

#define UC_DESC_G         BIT(23)
#define UC_DESC_B         BIT(22)
#define UC_DESC_L         BIT(21)
#define UC_DESC_P         BIT(15)
#define UC_DESC_DPL3      (3u << 13)
#define UC_DESC_S         BIT(12)
#define UC_DESC_CODE      (0xbu << 8)  // execute, read, accessed
#define UC_DESC_DATA      (0x3u << 8)  // read, write, accessed

#define UC_CHECK(field, offset)                                                                \
    _Static_assert(offsetof(struct uc_env, field) == (offset), "uc_env: " #field)
UC_CHECK(eip, 128);
UC_CHECK(df, 172);
UC_CHECK(hflags, 176);
UC_CHECK(segs, 184);
UC_CHECK(ldt, 328);
UC_CHECK(gdt, 376);
UC_CHECK(cr, 424);
UC_CHECK(efer, 560);
UC_CHECK(fpstt, 572);
UC_CHECK(fpregs, 592);
UC_CHECK(mxcsr, 784);
UC_CHECK(xmm, 792);
UC_CHECK(sysenter_cs, 4768);
UC_CHECK(star, 4792);
UC_CHECK(lstar, 4808);
UC_CHECK(fmask, 4824);
UC_CHECK(kernelgsbase, 4832);
UC_CHECK(tsc, 4840);
UC_CHECK(left, 4856);
UC_CHECK(tsc_aux, 4864);
UC_CHECK(error_code, 5352);
UC_CHECK(exception_next_eip, 5360);
UC_CHECK(dr, 5368);
UC_CHECK(old_exception, 5464);
UC_CHECK(vm_vmcb, 5472);
UC_CHECK(intercept, 5488);
UC_CHECK(intercept_exceptions, 5504);
#undef UC_CHECK
