// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/user.S -- into ring 3 and out of it.
 *
 * user_enter() leaves its caller's registers on the kernel stack and that stack's place in the CPU's
 * TSS and in CPU_USER_STACK; whatever brings the CPU back from ring 3 stores the registers where the
 * caller wanted them and returns from user_enter(). So to the kernel ring 3 is a function call, and
 * traps from it never nest.
 *
 *      user_enter() --SYSRET, IRET--> ring 3 --SYSCALL--------------> user_syscall --+
 *           ^                           +--interrupt, exception--> user_trap --------+
 *           +-----------------------------------------------------------------------+
 *
 * GS: in ring 0 it holds this CPU's struct arch_cpu, except for the few instructions next to a
 * SWAPGS. Interrupts are off there; what can come nevertheless (NMI, machine check, double fault,
 * debug) enters by trap_paranoid in entry.S, which looks at GS itself.
 *
 * Sources: SDM-2 "SYSCALL", "SYSRET", "SWAPGS"; APM-2 "SYSCALL and SYSRET".
 */
#include "offsets.h"
#include "arch/x86/macros.h"
#include "arch/x86/x86.h"

#define RIP    GPR(16)
#define RFLAGS GPR(17)

    .text

/* uint64_t user_enter(struct plat_user_regs *regs, bool fast); irqs off. */
    .globl user_enter
user_enter:
    callee_saved_push
    push %rdi
    mov %rsp, %gs:CPU_USER_STACK
    mov %rsp, %gs:CPU_TSS_RSP0
    test %sil, %sil
    mov GPR(0)(%rdi), %rax
    mov GPR(2)(%rdi), %rdx
    mov GPR(3)(%rdi), %rbx
    mov GPR(5)(%rdi), %rbp
    mov GPR(6)(%rdi), %rsi
    gprs_load 8, 9, 10, 12, 13, 14, 15
    jz 1f
    mov RIP(%rdi), %rcx
    mov RFLAGS(%rdi), %r11
    mov GPR(4)(%rdi), %rsp
    mov GPR(7)(%rdi), %rdi
    swapgs
    sysretq
1:  mov GPR(1)(%rdi), %rcx
    mov GPR(11)(%rdi), %r11
    pushq $SELECTOR_USER_DATA
    push GPR(4)(%rdi)
    push RFLAGS(%rdi)
    pushq $SELECTOR_USER_CODE
    push RIP(%rdi)
    mov GPR(7)(%rdi), %rdi
    swapgs
    iretq

    .macro user_save  // all but RCX, RSP, RDI and R11, to RDI
    mov %rax, GPR(0)(%rdi)
    mov %rdx, GPR(2)(%rdi)
    mov %rbx, GPR(3)(%rdi)
    mov %rbp, GPR(5)(%rdi)
    mov %rsi, GPR(6)(%rdi)
    gprs_save 8, 9, 10, 12, 13, 14, 15
    mov %rcx, GPR(1)(%rdi)
    mov %r11, GPR(11)(%rdi)
    .endm

    .macro user_return
    pop %rdi
    callee_saved_pop
    ret
    .endm

/* LSTAR. RCX = RIP, R11 = RFLAGS; IA32_FMASK cleared all flags that matter, AC and DF too. */
    .globl user_syscall
user_syscall:
    swapgs
    mov %rsp, %gs:CPU_SCRATCH
    mov %gs:CPU_USER_STACK, %rsp
    push %rdi
    mov 8(%rsp), %rdi
    user_save
    mov %rcx, RIP(%rdi)
    mov %r11, RFLAGS(%rdi)
    pop GPR(7)(%rdi)
    mov %gs:CPU_SCRATCH, %rax
    mov %rax, GPR(4)(%rdi)
    mov $USER_SYSCALL, %eax
    user_return

/*
 * From trap_common: a trap from ring 3, GS not swapped yet. On the stack, which is this world's
 * kernel stack or an IST stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
 */
    .globl user_trap
user_trap:
    swapgs
    push %rdi
    mov %gs:CPU_USER_STACK, %rdi
    mov (%rdi), %rdi
    user_save
    pop GPR(7)(%rdi)
    mov 16(%rsp), %rax
    mov %rax, RIP(%rdi)
    mov 32(%rsp), %rax
    mov %rax, RFLAGS(%rdi)
    mov 40(%rsp), %rax
    mov %rax, GPR(4)(%rdi)
    mov (%rsp), %eax
    mov 8(%rsp), %rdx
    shl $32, %rdx
    or %rdx, %rax
    mov %gs:CPU_USER_STACK, %rsp
    pushq $2  // gates leave AC and DF as ring 3 had them
    popfq
    user_return

    .section .note.GNU-stack, "", @progbits
