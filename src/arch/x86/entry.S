// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/entry.S -- what C cannot say: trap entry, context switch, guest entry, a read that may
 * fault.
 *
 * In ring 0 GS holds this CPU's struct arch_cpu (VT-x restores it from the VMCS, AMD-V by VMLOAD).
 * A trap from ring 3 leaves by user_trap (user.S), which swaps GS first.
 */
#include "arch/x86/macros.h"
#include "arch/x86/x86.h"

    .cfi_sections .debug_frame
    .text

/*
 * An entry of 16 bytes per vector: push the error code if the CPU did not, push the vector, go on.
 */
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || \
          vector == 29 || vector == 30)
    push $0
    .endif
    push $vector
    .if vector == VECTOR_DB || vector == VECTOR_NMI || vector == VECTOR_DF || vector == VECTOR_MC
    jmp trap_paranoid
    .else
    jmp trap_common
    .endif
    .set vector, vector + 1
    .endr
    .balign 16

    .macro trap_push
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    .endm

    .macro trap_c  // leaves RBX and R12 to R15 alone
    mov %rsp, %rdi
    push 17 * 8(%rsp)
    push %rbp
    mov %rsp, %rbp
    call arch_trap
    add $16, %rsp
    .endm

    .macro trap_pop
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    .endm

/*
 * Builds struct trap_frame and calls arch_trap(frame), irqs off. The two words pushed last look
 * like a call from the interrupted function, so that a backtrace goes through.
 */
trap_common:
    testb $3, 24(%rsp)
    jnz user_trap
    trap_push
    trap_c
    trap_pop
    iretq

/*
 * What comes although interrupts are off, on a stack of its own (IST): NMI, machine check, double
 * fault, and a debug trap that the user laid across a SYSCALL. GS may be either side's; which, its
 * base says. A debug trap from ring 3 is an ordinary one. An NMI returns by IRET to where it came
 * from, ring 3 too: only IRET lets the next one in.
 */
trap_paranoid:
    testb $3, 24(%rsp)
    jz 1f
    cmpl $VECTOR_DB, (%rsp)
    je user_trap
1:  trap_push
    pushq $2  // AC may be the user's
    popfq
    mov $MSR_GS_BASE, %ecx
    rdmsr
    mov %edx, %ebx
    test %ebx, %ebx
    js 2f
    swapgs
2:  trap_c
    test %ebx, %ebx
    js 3f
    swapgs
3:  trap_pop
    iretq

/* void plat_context_switch(struct plat_context *from, struct plat_context *to); irqs off. */
    .globl plat_context_switch
plat_context_switch:
    callee_saved_push
    mov %rsp, (%rdi)
    mov (%rsi), %rsp
    callee_saved_pop
    ret

/* The first "return" of a new context: RBX is its function, R12 the argument. */
    .globl context_start
context_start:
    .cfi_startproc
    .cfi_undefined rip  // nobody called it: a debugger's backtrace ends here
    mov %r12, %rdi
    xor %ebp, %ebp
    and $-16, %rsp  // as C wants it: locals may ask for that alignment
    call *%rbx
    ud2
    .cfi_endproc

/*
 * bool plat_msr_try_read(uint32_t index, uint64_t *value); a #GP at 1: goes on at 2:.
 */
    .globl plat_msr_try_read
plat_msr_try_read:
    mov %edi, %ecx
1:  rdmsr
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, (%rsi)
    mov $1, %eax
    ret
2:  xor %eax, %eax
    ret
    .pushsection .fixups, "a"
    .quad 1b, 2b
    .popsection

#define GUEST_RAX GPR(0)
#define GUEST_RCX GPR(1)
#define GUEST_RDX GPR(2)
#define GUEST_RBX GPR(3)
#define GUEST_RBP GPR(5)
#define GUEST_RSI GPR(6)
#define GUEST_RDI GPR(7)
#define GUEST_R8  GPR(8)
#define GUEST_CR2 GPR(16)

    .macro guest_load  // all but RAX, RDI and RSP, from RDI
    mov GUEST_RCX(%rdi), %rcx
    mov GUEST_RDX(%rdi), %rdx
    mov GUEST_RBX(%rdi), %rbx
    mov GUEST_RBP(%rdi), %rbp
    mov GUEST_RSI(%rdi), %rsi
    gprs_load 8, 9, 10, 11, 12, 13, 14, 15
    .endm

    .macro guest_save  // the same, to RDI
    mov %rcx, GUEST_RCX(%rdi)
    mov %rdx, GUEST_RDX(%rdi)
    mov %rbx, GUEST_RBX(%rdi)
    mov %rbp, GUEST_RBP(%rdi)
    mov %rsi, GUEST_RSI(%rdi)
    gprs_save 8, 9, 10, 11, 12, 13, 14, 15
    .endm

/*
 * unsigned plat_vmx_enter(struct plat_guest_regs *regs, bool launched); irqs off.
 * HOST_RIP is written before a VMLAUNCH only: it stays in the VMCS. On the stack while the guest
 * runs: regs, the callee-saved registers.
 */
    .globl plat_vmx_enter
plat_vmx_enter:
    callee_saved_push
    push %rdi
    mov $VMCS_HOST_RSP, %eax
    vmwrite %rsp, %rax
    mov GUEST_CR2(%rdi), %rax
    mov %rax, %cr2
    test %sil, %sil
    jz 2f
    guest_load
    mov GUEST_RAX(%rdi), %rax
    mov GUEST_RDI(%rdi), %rdi
    vmresume
    jmp vmx_failed
2:  mov $VMCS_HOST_RIP, %eax
    lea vmx_exit(%rip), %rdx
    vmwrite %rdx, %rax
    guest_load
    mov GUEST_RAX(%rdi), %rax
    mov GUEST_RDI(%rdi), %rdi
    vmlaunch
vmx_failed:  // CF: no current VMCS, 1; ZF: an error number in it, 2
    mov $1, %eax
    mov $2, %ecx
    cmovz %ecx, %eax
    pop %rdi
    callee_saved_pop
    ret
vmx_exit:
    push %rdi
    mov 8(%rsp), %rdi
    mov %rax, GUEST_RAX(%rdi)
    guest_save
    pop %rax
    mov %rax, GUEST_RDI(%rdi)
    mov %cr2, %rax
    mov %rax, GUEST_CR2(%rdi)
    xor %eax, %eax
    pop %rdi
    callee_saved_pop
    ret

/*
 * void plat_svm_enter(struct plat_guest_regs *regs, paddr_t guest_vmcb, paddr_t host_save);
 * irqs off. GIF is 0 from CLGI to STGI. RFLAGS.IF must be 1 at VMRUN: with V_INTR_MASKING it is
 * the host's IF that lets a host interrupt end the guest (APM-2 "Virtualizing INTR"); it is off
 * again before STGI, so the interrupt stays pending for plat_irq_window().
 */
    .globl plat_svm_enter
plat_svm_enter:
    callee_saved_push
    push %rdi
    push %rdx
    clgi
    mov %rdx, %rax
    vmsave %rax
    mov %rsi, %rax
    vmload %rax
    sti                 // not right before VMRUN: QEMU (7.2) takes its shadow into the guest
    guest_load
    mov GUEST_RDI(%rdi), %rdi
    vmrun %rax
    cli
    vmsave %rax
    push %rdi
    mov 16(%rsp), %rdi
    guest_save
    pop %rax
    mov %rax, GUEST_RDI(%rdi)
    pop %rax
    vmload %rax
    stgi
    pop %rdi
    callee_saved_pop
    ret

    .section .note.GNU-stack, "", @progbits
