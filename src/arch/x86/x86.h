// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/x86.h -- the architecture's numbers, for C and for the assembler.
 *
 * Names as in the manuals. Sources: SDM-3A "System Architecture Overview", SDM-4, APM-2
 * "System Resources".
 */
#pragma once

/* Where the kernel sees things: the image, and all memory (the direct map). */
#define KERNEL_BASE          0xffffffff80000000
#define DIRECT_BASE          0xffff800000000000
#define KERNEL_LOAD          0x100000
#define AP_TRAMPOLINE        0x8000
#define BOOT_STACK_SIZE      0x4000
#define CPU_STACK_SIZE       0x4000

#define SELECTOR_CODE        0x08
#define SELECTOR_DATA        0x10
#define SELECTOR_TSS         0x18
#define SELECTOR_USER_DATA   0x2b
#define SELECTOR_USER_CODE   0x33
#define SELECTOR_SYSRET_BASE 0x23  // SYSRET adds 8 for SS and 16 for CS; RPL 3 for AMD

#define CR0_PE               0x00000001
#define CR0_MP               0x00000002
#define CR0_EM               0x00000004
#define CR0_TS               0x00000008
#define CR0_ET               0x00000010
#define CR0_NE               0x00000020
#define CR0_WP               0x00010000
#define CR0_PG               0x80000000

#define CR4_PAE              0x00000020
#define CR4_MCE              0x00000040
#define CR4_PGE              0x00000080
#define CR4_OSFXSR           0x00000200
#define CR4_OSXMMEXCPT       0x00000400
#define CR4_UMIP             0x00000800
#define CR4_OSXSAVE          0x00040000
#define CR4_SMEP             0x00100000
#define CR4_SMAP             0x00200000

#define RFLAGS_IF            0x200

#define MSR_APIC_BASE        0x1b
#define MSR_TSC_DEADLINE     0x6e0
#define MSR_X2APIC           0x800
#define MSR_EFER             0xc0000080
#define MSR_STAR             0xc0000081
#define MSR_LSTAR            0xc0000082
#define MSR_CSTAR            0xc0000083
#define MSR_FMASK            0xc0000084
#define MSR_FS_BASE          0xc0000100
#define MSR_GS_BASE          0xc0000101
#define MSR_KERNEL_GS_BASE   0xc0000102
#define EFER_SCE             0x001
#define EFER_LME             0x100
#define EFER_NXE             0x800
#define APIC_BASE_EXTD       0x400
#define APIC_BASE_EN         0x800

#define PTE_P                0x001
#define PTE_RW               0x002
#define PTE_PWT              0x008
#define PTE_PCD              0x010
#define PTE_PS               0x080
#define PTE_G                0x100
#define PTE_NX               0x8000000000000000
#define PTE_ADDRESS          0x000ffffffffff000

/* Vectors. */
#define VECTOR_DB            1
#define VECTOR_NMI           2
#define VECTOR_DF            8
#define VECTOR_GP            13
#define VECTOR_PF            14
#define VECTOR_MC            18
#define VECTOR_PIC           0x20  // sixteen, all masked
#define VECTOR_TIMER         0xf0
#define VECTOR_KICK          0xf1
#define VECTOR_SPURIOUS      0xff
#define USER_SYSCALL         0x100  // not a vector: what user_enter() says after SYSCALL

/* VMCS fields that the entry code writes (SDM-3D, appendix "Field Encoding in VMCS"). */
#define VMCS_HOST_RSP        0x6c14
#define VMCS_HOST_RIP        0x6c16
