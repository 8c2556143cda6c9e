// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/x86.h -- this kernel's addresses, selectors and vectors, for C and for the assembler.
 *
 * Names as in the manuals. Sources: SDM-3A "System Architecture Overview", SDM-4, APM-2
 * "System Resources".
 */
#pragma once

#include "lib/x86.h"

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

/* Vectors beyond the exceptions. */
#define VECTOR_PIC           0x20  // sixteen, all masked
#define VECTOR_DEVICE        0x30  // up to VECTOR_TIMER: irq.c hands them out
#define VECTOR_TIMER         0xf0
#define VECTOR_KICK          0xf1
#define VECTOR_SPURIOUS      0xff
#define USER_SYSCALL         0x100  // not a vector: what user_enter() says after SYSCALL

/* VMCS fields that the entry code writes (SDM-3D, appendix "Field Encoding in VMCS"). */
#define VMCS_HOST_RSP        0x6c14
#define VMCS_HOST_RIP        0x6c16
