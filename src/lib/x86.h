// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/x86.h -- control registers, MSRs and page table entries: numbers of the architecture.
 *
 * Here because three folders need the same ones and may not include each other: arch/x86 for
 * the machine itself, vmm and the simulator's engine for a guest's. For C and for the
 * assembler.
 *
 * Names as in the manuals. Sources: SDM-3A "System Architecture Overview", "Paging"; SDM-4;
 * APM-2 "System Resources", "MSR Cross-Reference".
 */
#pragma once

#ifdef __ASSEMBLER__
#define BIT(n) (1 << (n))  // the assembler counts in 64 bits
#else
#include "lib/types.h"

/* Are bits 63 to 47 alike? */
static inline bool x86_is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}
#endif

#define CR0_PE               BIT(0)
#define CR0_MP               BIT(1)
#define CR0_EM               BIT(2)
#define CR0_TS               BIT(3)
#define CR0_ET               BIT(4)
#define CR0_NE               BIT(5)
#define CR0_WP               BIT(16)
#define CR0_AM               BIT(18)
#define CR0_NW               BIT(29)
#define CR0_CD               BIT(30)
#define CR0_PG               BIT(31)

#define CR4_DE               BIT(3)
#define CR4_PSE              BIT(4)
#define CR4_PAE              BIT(5)
#define CR4_MCE              BIT(6)
#define CR4_PGE              BIT(7)
#define CR4_OSFXSR           BIT(9)
#define CR4_OSXMMEXCPT       BIT(10)
#define CR4_UMIP             BIT(11)
#define CR4_VMXE             BIT(13)
#define CR4_PCIDE            BIT(17)
#define CR4_OSXSAVE          BIT(18)
#define CR4_SMEP             BIT(20)
#define CR4_SMAP             BIT(21)
#define CR4_CET              BIT(23)

#define EFER_SCE             BIT(0)
#define EFER_LME             BIT(8)
#define EFER_LMA             BIT(10)
#define EFER_NXE             BIT(11)
#define EFER_SVME            BIT(12)

#define RFLAGS_CF            BIT(0)
#define RFLAGS_PF            BIT(2)
#define RFLAGS_AF            BIT(4)
#define RFLAGS_ZF            BIT(6)
#define RFLAGS_SF            BIT(7)
#define RFLAGS_TF            BIT(8)
#define RFLAGS_IF            BIT(9)
#define RFLAGS_DF            BIT(10)
#define RFLAGS_OF            BIT(11)
#define RFLAGS_NT            BIT(14)
#define RFLAGS_RF            BIT(16)
#define RFLAGS_VM            BIT(17)
#define RFLAGS_AC            BIT(18)

#define DR6_HITS             0xfull  // of the four breakpoints
#define DR6_BD               BIT(13)
#define DR6_BS               BIT(14)
#define DR6_BT               BIT(15)
#define DR6_FIXED            0xffff0ff0ull
#define DR7_ENABLED          0xffull  // L0 to G3
#define DR7_GD               BIT(13)

/* Exceptions, by their vectors. */
#define VECTOR_DE            0
#define VECTOR_DB            1
#define VECTOR_NMI           2
#define VECTOR_BP            3
#define VECTOR_OF            4
#define VECTOR_BR            5
#define VECTOR_UD            6
#define VECTOR_NM            7
#define VECTOR_DF            8
#define VECTOR_TS            10
#define VECTOR_NP            11
#define VECTOR_SS            12
#define VECTOR_GP            13
#define VECTOR_PF            14
#define VECTOR_MF            16
#define VECTOR_AC            17
#define VECTOR_MC            18
#define VECTOR_XM            19

#define APIC_BASE_BSP        BIT(8)
#define APIC_BASE_EXTD       BIT(10)
#define APIC_BASE_EN         BIT(11)

#define PTE_P                BIT(0)
#define PTE_W                BIT(1)
#define PTE_U                BIT(2)
#define PTE_PWT              BIT(3)
#define PTE_PCD              BIT(4)
#define PTE_A                BIT(5)
#define PTE_D                BIT(6)
#define PTE_PS               BIT(7)
#define PTE_G                BIT(8)
#define PTE_NX               BIT(63)
#define PTE_ADDRESS          0x000ffffffffff000ull  // for C alone

#define MSR_P5_MC_ADDR       0x0
#define MSR_P5_MC_TYPE       0x1
#define MSR_TSC              0x10
#define MSR_PLATFORM_ID      0x17
#define MSR_APIC_BASE        0x1b
#define MSR_FEATURE_CONTROL  0x3a
#define MSR_TSC_ADJUST       0x3b
#define MSR_UCODE_WRITE      0x79
#define MSR_UCODE_REV        0x8b
#define MSR_MTRR_CAP         0xfe
#define MSR_SYSENTER_CS      0x174
#define MSR_SYSENTER_ESP     0x175
#define MSR_SYSENTER_EIP     0x176
#define MSR_MCG_CAP          0x179
#define MSR_MCG_STATUS       0x17a
#define MSR_MISC_ENABLE      0x1a0
#define MSR_MTRR_PHYS_FIRST  0x200
#define MSR_MTRR_PHYS_LAST   0x20f
#define MSR_MTRR_FIX64K      0x250
#define MSR_MTRR_FIX16K_0    0x258
#define MSR_MTRR_FIX16K_1    0x259
#define MSR_MTRR_FIX4K_FIRST 0x268
#define MSR_MTRR_FIX4K_LAST  0x26f
#define MSR_PAT              0x277
#define MSR_MTRR_DEF_TYPE    0x2ff
#define MSR_VMX_BASIC        0x480
#define MSR_TSC_DEADLINE     0x6e0
#define MSR_X2APIC_FIRST     0x800
#define MSR_X2APIC_LAST      0x8ff
#define MSR_EFER             0xc0000080
#define MSR_STAR             0xc0000081
#define MSR_LSTAR            0xc0000082
#define MSR_CSTAR            0xc0000083
#define MSR_SFMASK           0xc0000084  // IA32_FMASK
#define MSR_FS_BASE          0xc0000100
#define MSR_GS_BASE          0xc0000101
#define MSR_KERNEL_GS_BASE   0xc0000102
#define MSR_TSC_AUX          0xc0000103
#define MSR_AMD_PERF_FIRST   0xc0010000  // four event selects, four counters
#define MSR_AMD_PERF_LAST    0xc0010007
#define MSR_AMD_SYSCFG       0xc0010010
#define MSR_AMD_HWCR         0xc0010015
#define MSR_AMD_INT_PEND     0xc0010055
#define MSR_VM_CR            0xc0010114
#define MSR_VM_HSAVE_PA      0xc0010117
#define MSR_AMD_BU_CFG       0xc0011023
#define MSR_AMD_FP_CFG       0xc0011028
#define MSR_AMD_DE_CFG       0xc0011029
