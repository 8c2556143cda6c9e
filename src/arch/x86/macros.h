// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/macros.h -- what several assembly entries push, pop, load and store alike.
 *
 * For .S files: nothing is left of it in C.
 */
#pragma once

#ifdef __ASSEMBLER__
// clang-format off

/* A register's place in an array in the numbering of instructions: RAX 0, RCX 1, ... R15 15. */
#define GPR(n) (n) * 8

    /* What C expects to find as it left it: all that has to outlive a change of stacks. */
    .macro callee_saved_push
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro callee_saved_pop
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    .endm

    /* R8 to R15 by number, between the processor and the array at RDI. */
    .macro gprs_load numbers:vararg
    .irp n, \numbers
    mov \n * 8(%rdi), %r\n
    .endr
    .endm

    .macro gprs_save numbers:vararg
    .irp n, \numbers
    mov %r\n, \n * 8(%rdi)
    .endr
    .endm

// clang-format on
#endif
