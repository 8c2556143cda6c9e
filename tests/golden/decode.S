# SPDX-License-Identifier: BSD-2-Clause
#
# decode.S -- the forms of instructions that the decoder must measure. decode.sh assembles this and
# writes decode.txt: mode and bytes, one instruction a line.
    .macro modrm_forms op, reg
    \op %\reg, (%rax)
    \op %\reg, (%rsp)
    \op %\reg, (%rbp)
    \op %\reg, (%r12)
    \op %\reg, (%r13)
    \op %\reg, 8(%rax)
    \op %\reg, 8(%rsp)
    \op %\reg, -8(%rbp,%r9,2)
    \op %\reg, 0x1234(%rdi)
    \op %\reg, 0x1234(%r12,%rbx,8)
    \op %\reg, 0x1234(,%rcx,4)
    \op %\reg, 0x1234
    \op %\reg, here(%rip)
    \op %\reg, (%eax)
    \op %\reg, %fs:0x10(%rbx)
    \op (%rsi), %\reg
    .endm
    .macro memory_only op
    \op (%rax)
    \op -4(%rbp)
    \op 0x12345(%r11,%r15,8)
    .endm

    .section .code64, "ax"
    .code64
here:
    modrm_forms mov, al
    modrm_forms mov, ax
    modrm_forms mov, ecx
    modrm_forms mov, r10
    modrm_forms xchg, esi
    modrm_forms add, r8b
    modrm_forms cmp, r15w
    .irp op, add, or, adc, sbb, and, sub, xor, cmp
    \op\()b $1, (%rax)
    \op\()w $0x1234, (%rax)
    \op\()l $0x12345678, (%rax)
    \op\()q $1, (%rax)
    \op\()q $0x12345678, 16(%rax)
    \op $0x12, %al
    \op $0x1234, %ax
    \op $0x12345678, %eax
    \op $0x12345678, %rax
    .endr
    movb $1, (%rax)
    movw $0x1234, 4(%rax)
    movl $0x12345678, here(%rip)
    movq $0x12345678, (%r8)
    mov $1, %al
    mov $0x1234, %cx
    mov $0x12345678, %r9d
    movabs $0x123456789abcdef0, %rax
    movabs 0x123456789abcdef0, %al
    movabs 0x123456789abcdef0, %eax
    movabs %rax, 0x123456789abcdef0
    addr32 movabs %eax, 0x12345678
    movzbl (%rax), %ecx
    movzwl 4(%r9), %ecx
    movsbq (%rax), %rdx
    movswq (%rax), %rdx
    movslq 0x40(%rax,%rbx,4), %rdx
    testb $1, (%rax)
    testw $0x1234, (%rax)
    testl $0x12345678, (%rax)
    testq $0x12345678, (%rax)
    test %eax, (%rcx)
    test $1, %al
    test $0x12345678, %eax
    memory_only notb
    memory_only notw
    memory_only negl
    memory_only mulq
    memory_only imull
    memory_only divq
    memory_only idivl
    memory_only incb
    memory_only decq
    memory_only pushq
    memory_only popq
    memory_only pushw
    jmp *(%rax)
    jmp *0x1234(%r9,%rax,4)
    call *-4(%rbp)
    lcall *(%rax)
    memory_only sete
    memory_only cmpxchg8b
    memory_only cmpxchg16b
    memory_only invlpg
    memory_only lgdt
    memory_only sidt
    memory_only lmsw
    memory_only fxsave
    memory_only xsave
    memory_only xrstor64
    memory_only clflush
    memory_only prefetcht0
    memory_only prefetchw
    memory_only ldmxcsr
    memory_only fldl
    memory_only fildll
    memory_only fstpt
    memory_only vmptrld
    memory_only vmclear
    memory_only vmxon
    memory_only nopw
    movsb
    rep movsq
    rep stosl
    lodsw
    repne scasb
    repe cmpsl
    rep insb
    rep insl
    rep outsw
    addr32 rep outsb
    fs lodsb
    gs rep movsl
    in $0x60, %al
    in $0x60, %eax
    out %al, $0x80
    out %ax, $0x80
    in %dx, %ax
    out %eax, %dx
    jmp here
    jmp . + 0x1000
    je here
    je . + 0x1000
    call . + 0x1000
    loop .
    jrcxz .
    jecxz .
    ret
    ret $8
    lretl
    iretq
    enter $16, $1
    leave
    push %rax
    push %r15
    pop %r8
    push $1
    push $0x12345678
    pushw $0x1234
    push %fs
    pop %gs
    int3
    int $0x80
    syscall
    sysretq
    sysenter
    cpuid
    rdmsr
    wrmsr
    rdtsc
    rdtscp
    rdpmc
    hlt
    clts
    invd
    wbinvd
    ud2
    vmcall
    vmmcall
    vmrun
    vmlaunch
    vmread %rax, (%rcx)
    vmwrite (%rcx), %rax
    invept (%rax), %rcx
    invvpid (%rax), %rcx
    xsetbv
    xgetbv
    swapgs
    monitor
    mwait
    pause
    nop
    mov %cr0, %rax
    mov %rax, %cr4
    mov %cr8, %rax
    mov %r9, %cr8
    mov %dr7, %rax
    mov %rbx, %dr0
    mov %ds, %eax
    mov %eax, %es
    mov %ss, (%rax)
    lea here(%rip), %rax
    bt %rax, (%rcx)
    btsl $5, (%rcx)
    lock btrq $40, (%rcx)
    btc %cx, 6(%rbx)
    bsf (%rax), %rcx
    tzcnt (%rax), %rcx
    popcnt (%rax), %ecx
    crc32b (%rax), %ecx
    movbe (%rax), %ecx
    movnti %rax, (%rcx)
    lock xadd %ecx, (%rdx)
    lock cmpxchg %rcx, (%rdx)
    cmovne (%rax), %ecx
    shll $3, (%rax)
    shrl (%rax)
    sarq %cl, (%rax)
    shld $4, %eax, (%rcx)
    shrd %cl, %eax, (%rcx)
    imul $5, (%rax), %ecx
    imul $0x12345, (%rax), %ecx
    imul (%rax), %rcx
    bswap %r12
    movups (%rax), %xmm1
    movaps %xmm9, 16(%rax)
    movdqa (%r8), %xmm3
    movd %eax, %xmm1
    movq %xmm1, %r8
    pshufd $0x1b, (%rax), %xmm1
    pshufb (%rax), %xmm1
    palignr $4, (%rax), %xmm1
    pcmpistri $4, (%rax), %xmm1
    roundsd $1, (%rax), %xmm2
    cmpps $1, (%rax), %xmm2
    shufps $1, (%rax), %xmm2
    pinsrw $1, %eax, %xmm2
    psrldq $4, %xmm9
    aesenc (%rax), %xmm1
    sha1rnds4 $1, (%rax), %xmm2
    extrq $1, $2, %xmm1
    insertq $1, $2, %xmm1, %xmm2
    emms
    vzeroupper
    vmovups (%rax), %ymm1
    vmovdqu %ymm8, here(%rip)
    vaddps (%rax), %ymm1, %ymm2
    vpermq $4, (%rax), %ymm1
    vpshufb 16(%r9,%r10,4), %ymm11, %ymm2
    vfmadd231pd (%rax), %ymm1, %ymm2
    vpgatherdd %ymm1, (%rax,%ymm2,4), %ymm3
    vpsrldq $4, %ymm1, %ymm2
    vcmpps $1, (%rax), %ymm1, %ymm2
    vblendvps %ymm1, (%rax), %ymm3, %ymm4
    andn (%rax), %ecx, %edx
    shlx %rcx, (%rax), %rdx
    rorx $4, (%rax), %rcx
    vmovups (%rax), %zmm1
    vmovdqa64 0x40(%rax), %zmm17
    vpaddd (%rax){1to16}, %zmm1, %zmm2{%k1}{z}
    vpternlogd $0x55, (%rax), %zmm1, %zmm2
    vmovdqu8 0x1001(%rax), %zmm31
    vaddph (%rax), %zmm1, %zmm2
    vfmadd132ph (%rax), %zmm1, %zmm2
    kmovq (%rax), %k1
    kshiftlq $4, %k1, %k2
    endbr64
    vphaddbw (%rax), %xmm1
    vprotb $3, (%rax), %xmm2
    bextr $0x12345678, (%rax), %ecx
    rdrand %eax
    rdgsbase %rax
    clac
    stac

    .section .code32, "ax"
    .code32
    mov %eax, (%ecx)
    mov %eax, 8(%esp)
    mov %eax, 0x12345678
    mov 0x12345678, %al
    mov %eax, 0x12345678
    mov %ax, 0x10(%ebx,%esi,4)
    addr16 mov %eax, (%bx,%si)
    addr16 mov %eax, 0x1234
    addr16 mov %eax, 0x12(%bp)
    movw $0x1234, (%eax)
    inc %eax
    dec %cx
    pusha
    popa
    bound %eax, (%ecx)
    les (%eax), %ecx
    lds 8(%eax), %ecx
    ljmp $8, $0x12345678
    lcall $8, $0x12345678
    jmp . + 0x1000
    jne . + 0x1000
    data16 jmp . + 0x100
    push %es
    pop %ds
    push $0x12345678
    aaa
    daa
    aam
    aad
    into
    arpl %ax, (%ecx)
    mov $0x12345678, %edx
    vmovups (%eax), %ymm1
    vaddps (%eax), %ymm1, %ymm2
    vmovups (%eax), %zmm1
    pshufb (%eax), %xmm1
    rep insl
    es lodsb
    mov %cr0, %eax
    invlpg (%eax)
    enter $16, $1
    loop .

    .section .code16, "ax"
    .code16
    mov %ax, (%bx)
    mov %ax, (%bx,%di)
    mov %ax, (%bp)
    mov %ax, 4(%bp,%si)
    mov %ax, 0x1234(%di)
    mov %ax, 0x1234
    mov 0x1234, %al
    movl %eax, (%bx)
    addr32 movl %eax, (%ecx,%edx,2)
    mov $0x1234, %cx
    movl $0x12345678, %ecx
    movw $0x1234, 4(%bx)
    ljmp $0x1000, $0x10
    ljmpl $8, $0x12345678
    call . + 0x100
    jne . + 0x100
    calll . + 0x100
    push $0x1234
    pushl $0x12345678
    lgdtl 0x1000
    mov %cr0, %eax
    rep insw
    rep outsl
    int $0x10
    test $0x1234, %ax
    imul $0x123, (%bx), %cx
    enter $4, $0
    ret $2
