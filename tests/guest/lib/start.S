// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/lib/start.S -- Multiboot 1 entry, 32 to 64 bits, trap stubs, start of other processors.
 *
 * The loader leaves us in 32-bit protected mode, EAX the magic number, EBX the information block.
 * guest_start never returns. The page tables map 4 GB one to one with 2 MB pages.
 */
    .set STACK_SIZE, 16384

    .section .multiboot, "a"
    .balign 4
    .long 0x1badb002, 3, -(0x1badb002 + 3)

    .text
    .code32
    .globl guest_start
guest_start:
    cli
    cld
    movl %ebx, guest_multiboot
    movl $boot_stack + STACK_SIZE, %esp
    /* page tables: one PML4 entry, four PDPT entries, 2048 large pages */
    movl $pdpt + 3, pml4
    movl $pds + 3, %eax
    movl $pdpt, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $0x83, %eax
    movl $pds, %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
    call enter_long_mode
    ljmp $8, $start64

/* Turns paging and long mode on; returns in 32-bit compatibility. Clobbers EAX, ECX, EDX. */
enter_long_mode:
    movl %cr4, %eax
    orl $0x620, %eax            /* PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax            /* LME, NXE */
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax      /* caches on */
    orl $0x80010023, %eax       /* PG, WP, NE, MP, PE */
    movl %eax, %cr0
    lgdt gdt_pointer
    ret

    .code64
start64:
    call load_segments
    xorl %ebp, %ebp
    movl $boot_stack + STACK_SIZE, %esp
    call guest_library_main
1:  hlt
    jmp 1b

load_segments:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    ret

/* Other processors start here in real mode, copied to 8000h; APIC ids do not matter. */
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt - trampoline
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $24, $trampoline32
    .balign 4
trampoline_gdt:
    .word 39
    .long gdt
trampoline_end:
    .code32
trampoline32:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $1, %ebx
    lock xaddl %ebx, started
    incl %ebx                   /* our number, 1.. */
    movl %ebx, %esp
    imull $STACK_SIZE, %esp
    addl $boot_stack + STACK_SIZE, %esp
    call enter_long_mode
    ljmp $8, $other64
    .code64
other64:
    call load_segments
    movl %esp, %esp
    movl %ebx, %edi
    call guest_other_main
1:  hlt
    jmp 1b

/* 256 stubs of 16 bytes: a zero where the processor pushes no error code, then the number. */
    .globl guest_stubs
    .balign 16
guest_stubs:
    .set n, 0
    .rept 256
    .balign 16
    .if n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30
    .else
    pushq $0
    .endif
    pushq $n
    jmp trap
    .set n, n + 1
    .endr

trap:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call guest_trap
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

    .data
    .balign 16
    .globl gdt, guest_multiboot, started
/* null, 64-bit code, data, 32-bit code, TSS (two slots), data and code of ring 3 */
gdt:
    .quad 0, 0x00209b0000000000, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0, 0, 0, 0
gdt_pointer:
    .word 63
    .quad gdt
guest_multiboot:
    .quad 0
started:
    .long 0

    .bss
    .balign 4096
    .globl pml4
pml4: .skip 4096
pdpt: .skip 4096
pds:  .skip 4 * 4096
boot_stack: .skip STACK_SIZE * 17
