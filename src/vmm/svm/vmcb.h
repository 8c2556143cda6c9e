// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/vmcb.h -- the virtual machine control block and the numbers that go with it.
 *
 * Source: APM-2, appendix "Layout of VMCB" and appendix "SVM Intercept Exit Codes".
 */
#pragma once

#include "lib/types.h"

/*
 * Attributes are the descriptor's bytes 5 and 6 packed: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L
 * 9, D/B 10, G 11.
 */
struct vmcb_segment {
    uint16_t selector;
    uint16_t attributes;
    uint32_t limit;
    uint64_t base;
};
_Static_assert(sizeof(struct vmcb_segment) == 16, "VMCB segment");

struct vmcb {
    // Control area.
    uint16_t intercept_cr_read, intercept_cr_write;
    uint16_t intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions;
    uint32_t intercept_misc1;
    uint32_t intercept_misc2;
    uint32_t intercept_misc3;
    uint8_t reserved_018[0x3c - 0x18];
    uint16_t pause_threshold, pause_count;
    uint64_t iopm, msrpm;
    uint64_t tsc_offset;
    uint32_t asid;
    uint8_t tlb_control;
    uint8_t reserved_05d[3];
    uint64_t v_intr;
    uint64_t interrupt_shadow;
    uint64_t exit_code, exit_info1, exit_info2;
    uint64_t exit_int_info;
    uint64_t np_enable;
    uint8_t reserved_098[0xa8 - 0x98];
    uint64_t event_inject;
    uint64_t nested_cr3;
    uint64_t lbr_control;
    uint32_t clean;
    uint32_t reserved_0c4;
    uint64_t next_rip;
    uint8_t fetched_count;
    uint8_t fetched[15];
    uint8_t reserved_0e0[0x400 - 0xe0];

    // State save area.
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved_4cc;
    uint64_t efer;
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved_5e0[0x5f8 - 0x5e0];
    uint64_t rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t cr2;
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t guest_pat;
    uint64_t debug_control;
    uint8_t reserved_678[0x1000 - 0x678];
};

#define VMCB_AT(field, offset)                                                                 \
    _Static_assert(offsetof(struct vmcb, field) == (offset), "VMCB: " #field)
VMCB_AT(intercept_exceptions, 0x008);
VMCB_AT(intercept_misc1, 0x00c);
VMCB_AT(intercept_misc2, 0x010);
VMCB_AT(pause_threshold, 0x03c);
VMCB_AT(iopm, 0x040);
VMCB_AT(msrpm, 0x048);
VMCB_AT(tsc_offset, 0x050);
VMCB_AT(asid, 0x058);
VMCB_AT(tlb_control, 0x05c);
VMCB_AT(v_intr, 0x060);
VMCB_AT(interrupt_shadow, 0x068);
VMCB_AT(exit_code, 0x070);
VMCB_AT(exit_info1, 0x078);
VMCB_AT(exit_info2, 0x080);
VMCB_AT(exit_int_info, 0x088);
VMCB_AT(np_enable, 0x090);
VMCB_AT(event_inject, 0x0a8);
VMCB_AT(nested_cr3, 0x0b0);
VMCB_AT(clean, 0x0c0);
VMCB_AT(next_rip, 0x0c8);
VMCB_AT(fetched_count, 0x0d0);
VMCB_AT(es, 0x400);
VMCB_AT(gdtr, 0x460);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(star, 0x600);
VMCB_AT(sysenter_eip, 0x638);
VMCB_AT(cr2, 0x640);
VMCB_AT(guest_pat, 0x668);
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB is one page");

/*
 * Exit codes. Those from 0x60 to 0x7f are also bits of intercept_misc1 (code - 0x60), those
 * from 0x80 on bits of intercept_misc2.
 */
#define SVM_EXIT_CR_READ    0x000u
#define SVM_EXIT_CR_WRITE   0x010u
#define SVM_EXIT_DR_READ    0x020u
#define SVM_EXIT_DR_WRITE   0x030u
#define SVM_EXIT_EXCEPTION  0x040u
#define SVM_EXIT_INTR       0x060u
#define SVM_EXIT_NMI        0x061u
#define SVM_EXIT_SMI        0x062u
#define SVM_EXIT_INIT       0x063u
#define SVM_EXIT_VINTR      0x064u
#define SVM_EXIT_RDTSC      0x06eu
#define SVM_EXIT_RDPMC      0x06fu
#define SVM_EXIT_CPUID      0x072u
#define SVM_EXIT_RSM        0x073u
#define SVM_EXIT_IRET       0x074u
#define SVM_EXIT_INVD       0x076u
#define SVM_EXIT_PAUSE      0x077u
#define SVM_EXIT_HLT        0x078u
#define SVM_EXIT_INVLPG     0x079u
#define SVM_EXIT_INVLPGA    0x07au
#define SVM_EXIT_IOIO       0x07bu
#define SVM_EXIT_MSR        0x07cu
#define SVM_EXIT_TASK       0x07du
#define SVM_EXIT_FERR       0x07eu
#define SVM_EXIT_SHUTDOWN   0x07fu
#define SVM_EXIT_VMRUN      0x080u
#define SVM_EXIT_VMMCALL    0x081u
#define SVM_EXIT_VMLOAD     0x082u
#define SVM_EXIT_VMSAVE     0x083u
#define SVM_EXIT_STGI       0x084u
#define SVM_EXIT_CLGI       0x085u
#define SVM_EXIT_SKINIT     0x086u
#define SVM_EXIT_RDTSCP     0x087u
#define SVM_EXIT_WBINVD     0x089u
#define SVM_EXIT_MONITOR    0x08au
#define SVM_EXIT_MWAIT      0x08bu
#define SVM_EXIT_MWAIT_COND 0x08cu
#define SVM_EXIT_XSETBV     0x08du
#define SVM_EXIT_RDPRU      0x08eu
#define SVM_EXIT_NPF        0x400u
#define NPF_GUEST_TABLE                                                                        \
    BIT(33)  // in EXITINFO1: the access was to one of the guest's page tables
#define SVM_EXIT_INVALID    UINT64_MAX

#define SVM_MISC1(exit)     (1u << ((exit)-0x60u))
#define SVM_MISC2(exit)     (1u << ((exit)-0x80u))

#define SVM_V_IRQ           BIT(8)
#define SVM_V_PRIORITY(p)   ((uint64_t)(p) << 16)
#define SVM_V_IGNORE_TPR    BIT(20)
#define SVM_V_INTR_MASKING  BIT(24)
#define SVM_V_VECTOR(v)     ((uint64_t)(v) << 32)

#define SVM_TLB_NONE        0u
#define SVM_TLB_FLUSH_ALL   1u

/* EVENTINJ and EXITINTINFO. */
#define SVM_EVENT_VALID     BIT(31)
#define SVM_EVENT_HAS_ERROR BIT(11)
#define SVM_EVENT_TYPE(t)   ((uint64_t)(t) << 8)
enum {
    SVM_EVENT_INTR = 0,
    SVM_EVENT_NMI = 2,
    SVM_EVENT_EXCEPTION = 3,
    SVM_EVENT_SOFT = 4
};

/* Clean bits: the processor may use its cached copy. */
#define SVM_CLEAN_INTERCEPTS BIT(0)
#define SVM_CLEAN_MAPS       BIT(1)
#define SVM_CLEAN_ASID       BIT(2)
#define SVM_CLEAN_TPR        BIT(3)
#define SVM_CLEAN_NP         BIT(4)
#define SVM_CLEAN_CR         BIT(5)
#define SVM_CLEAN_DR         BIT(6)
#define SVM_CLEAN_DT         BIT(7)
#define SVM_CLEAN_SEG        BIT(8)
#define SVM_CLEAN_CR2        BIT(9)
#define SVM_CLEAN_ALL        0x3ffu

/* CPUID 8000_000A EDX. */
#define SVM_FEATURE_NPT      BIT(0)
#define SVM_FEATURE_NRIPS    BIT(3)
#define SVM_FEATURE_CLEAN    BIT(5)
#define SVM_FEATURE_DECODE   BIT(7)
