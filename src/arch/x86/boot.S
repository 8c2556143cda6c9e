// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/boot.S -- the first instructions of the first CPU and of the others.
 *
 * One ELF64 file, two loaders: Multiboot2 (GRUB) and PVH (QEMU -kernel, Xen). Both enter at a
 * 32-bit protected-mode point with paging off and EBX pointing to their information. There must be
 * no Multiboot1 header: QEMU would see it first and refuse an ELF64.
 *
 * The tables made here (boot_pml4) map the first 4 GB three ways: at their own addresses, at
 * DIRECT_BASE, and the first GB at KERNEL_BASE. CPU 0 leaves them in paging_load(); each later CPU
 * passes through them.
 *
 * Sources: Multiboot2 "OS image format"; Xen "x86/HVM direct boot ABI"; SDM-3A "Initializing
 * IA-32e Mode", "MP Initialization Protocol".
 */
#include "arch/x86/x86.h"

    .section .boot.header, "a"
    .balign 8
multiboot2:
    .long 0xe85250d6, 0, multiboot2_end - multiboot2
    .long -(0xe85250d6 + (multiboot2_end - multiboot2))
    .short 0, 0  // end tag
    .long 8
multiboot2_end:

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18  // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start32

    .section .boot, "ax"
    .code32
    .globl start32
start32:
    cli
    cld
    mov %eax, %edi  // arch_start(magic,
    mov %ebx, %esi  //            information)
    rdtsc
    mov %eax, arch_entry_tsc - KERNEL_BASE
    mov %edx, arch_entry_tsc - KERNEL_BASE + 4

    mov $boot_pd - KERNEL_BASE, %ebx  // 4 GB in 2 MB pages
    mov $PTE_P + PTE_W + PTE_PS, %eax
    mov $4 * 512, %ecx
1:  mov %eax, (%ebx)
    movl $0, 4(%ebx)
    add $0x200000, %eax
    add $8, %ebx
    dec %ecx
    jnz 1b

    mov $boot_pd - KERNEL_BASE + PTE_P + PTE_W, %eax
    mov $boot_pdpt - KERNEL_BASE, %ebx
    mov %eax, (boot_pdpt_high - KERNEL_BASE) + 510 * 8
    mov $4, %ecx
1:  mov %eax, (%ebx)
    add $0x1000, %eax
    add $8, %ebx
    dec %ecx
    jnz 1b

    mov $boot_pdpt - KERNEL_BASE + PTE_P + PTE_W, %eax
    mov %eax, boot_pml4 - KERNEL_BASE
    mov %eax, (boot_pml4 - KERNEL_BASE) + 256 * 8
    mov $boot_pdpt_high - KERNEL_BASE + PTE_P + PTE_W, %eax
    mov %eax, (boot_pml4 - KERNEL_BASE) + 511 * 8

    mov $boot_pml4 - KERNEL_BASE, %eax
    mov %eax, %cr3
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_PG + CR0_WP + CR0_ET + CR0_PE, %eax
    mov %eax, %cr0
    lgdt boot_gdtr
    ljmp $SELECTOR_CODE, $start64_low

    .code64
start64_low:
    movabs $start64, %rax
    jmp *%rax

    .balign 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdtr:
    .short 23
    .long boot_gdt

    .data
    .balign 8
    .globl arch_entry_tsc  // the counter at the kernel's first instruction
arch_entry_tsc:
    .quad 0

    .text
start64:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $boot_stack + BOOT_STACK_SIZE, %rsp
    xor %ebp, %ebp
    call arch_start
    ud2

/*
 * Later CPUs: copied to AP_TRAMPOLINE, entered in real mode at AP_TRAMPOLINE:0 by the start-up IPI.
 * Ends in arch_ap_start() on the stack in ap_stack.
 */
    .section .rodata
    .balign 16
    .globl ap_trampoline, ap_trampoline_end
    .code16
ap_trampoline:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    lgdtl ap_gdtr - ap_trampoline
    mov $CR0_ET + CR0_PE, %eax  // also turns the caches on
    mov %eax, %cr0
    ljmpl $SELECTOR_CODE, $AP_TRAMPOLINE + (ap32 - ap_trampoline)
    .code32
ap32:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $boot_pml4 - KERNEL_BASE, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_PG + CR0_WP + CR0_ET + CR0_PE, %eax
    mov %eax, %cr0
    ljmp $0x18, $AP_TRAMPOLINE + (ap64 - ap_trampoline)
    .code64
ap64:
    movabs $ap_high, %rax
    jmp *%rax
    .balign 8
ap_gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
ap_gdtr:
    .short 31
    .long AP_TRAMPOLINE + (ap_gdt - ap_trampoline)
ap_trampoline_end:

    .text
ap_high:
    mov ap_stack(%rip), %rsp
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    xor %ebp, %ebp
    call arch_ap_start
    ud2

    .bss
    .balign 4096
    .globl boot_pml4
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pdpt_high:
    .skip 4096
boot_pd:
    .skip 4 * 4096
boot_stack:
    .skip BOOT_STACK_SIZE
    .globl ap_stack
ap_stack:
    .skip 8

    .section .note.GNU-stack, "", @progbits
