// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_engine_user.c -- ring 3 in the simulation: traps, page tables, the FPU.
 *
 * Small programs run on the engine over page tables made here. Where a processor is at hand as
 * a judge (FXSAVE's image, arithmetic), the same bytes run on the host, too.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's engine.
 * Locking    none.
 */
#include "sim/engine/engine.h"
#include "tests/unit/engine_fixture.h"

PROGRAM(prog_syscall, "syscall; inc %rdi; syscall");
PROGRAM(prog_load, "mov $1, %eax; mov (%rbx), %rdx; syscall");
PROGRAM(prog_store, "mov $1, %eax; mov %rax, (%rbx); syscall");
PROGRAM(prog_jump, "jmp *%rbx");

START_TEST(test_user__syscall__registers_as_syscall_leaves_them)
{
    struct space s;

    SPACE(&s, prog_syscall);
    for (unsigned i = 0; i < 16; i++)
        s.regs.gpr[i] = 0x1111111111111111ull * i;
    s.regs.rflags = 0x202 | 0x8d5;  // CF PF AF ZF SF OF
    s.regs.fs_base = 0x123456789000;
    s.regs.gs_base = 0xffff8000deadb000;
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert(s.regs.rip == CODE + 2 && s.regs.gpr[RCX] == CODE + 2);
    ck_assert_uint_eq(s.regs.gpr[R11], 0x202 | 0x8d5);
    ck_assert_uint_eq(s.regs.rflags, 0x202 | 0x8d5);
    for (unsigned i = 0; i < 16; i++) {
        if (i != RCX && i != R11)
            ck_assert(s.regs.gpr[i] == 0x1111111111111111ull * i);
    }
    ck_assert(s.regs.fs_base == 0x123456789000 && s.regs.gs_base == 0xffff8000deadb000);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert(s.regs.rip == CODE + 7 && s.regs.gpr[RDI] == 0x7777777777777778ull);
}
END_TEST

START_TEST(test_user__unsafe_registers__made_safe_or_refused)
{
    struct space s;

    SPACE(&s, prog_syscall);
    s.regs.rflags = ~0ull & ~BIT(8);  // all but TF
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert_uint_eq(s.regs.rflags, 0x240cd7 | 0x200);
    s.regs.rip = 0x800000000000;
    space_run(&s);
    CHECK_EXCEPTION(&s, 13, 0);
    ck_assert(s.regs.rip == 0x800000000000);
    s.regs.rip = CODE;
    s.regs.fs_base = 0x8000000000000000;
    space_run(&s);
    CHECK_EXCEPTION(&s, 13, 0);
}
END_TEST

START_TEST(test_user__page_faults__address_error_and_rip)
{
    const struct {
        const unsigned char *program;
        uint64_t address, bits;
        unsigned vector, error, rip;
    } cases[] = {
        {prog_load, 0x1000, 0, 14, 4, 5},
        {prog_store, 0x1000, 0, 14, 6, 5},
        {prog_store, DATA, PTE_NX, 14, 7, 5},
        {prog_load, DATA, PTE_U, 14, 5, 5},  // taken away below
        {prog_store, DATA, PTE_U, 14, 7, 5},
        {prog_load, 0xffff800000000000, 0, 14, 4, 5},
        {prog_store, 0xffffffffffffffff - 100, 0, 14, 6, 5},
        {prog_load, 0x800000000000, 0, 13, 0, 5},
        {prog_load, 0x7fffffffffff, 0, 14, 4, 5},
        {prog_jump, DATA, PTE_NX, 14, 0x15, 0},
        {prog_jump, 0x1000, 0, 14, 0x14, 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space s;

        space_make(&s, cases[i].program, cases[i].program + 16);
        if (cases[i].address == DATA)
            *pte_of(s.root, DATA) = s.data.raw | PTE_P | (cases[i].bits ^ PTE_U);
        s.regs.gpr[RBX] = cases[i].address;
        space_run(&s);
        CHECK_EXCEPTION(&s, cases[i].vector, cases[i].error);
        if (cases[i].program == prog_jump) {
            ck_assert(s.regs.rip == cases[i].address);
        } else {
            ck_assert_uint_eq(s.regs.rip, CODE + cases[i].rip);
            ck_assert_uint_eq(s.regs.gpr[RAX], 1);
        }
        if (cases[i].vector == 14 && cases[i].address < 0xfffffffffffff000)
            ck_assert(s.trap.address == cases[i].address || cases[i].address == 0x7fffffffffff);
    }
}
END_TEST

PROGRAM(prog_privileged, "hlt");
PROGRAM(prog_cli, "cli");
PROGRAM(prog_in, "in $0x60, %al");
PROGRAM(prog_outs, "outsb");
PROGRAM(prog_rdmsr, "rdmsr");
PROGRAM(prog_cr, "mov %cr0, %rax");
PROGRAM(prog_lgdt, "lgdt (%rbx)");
PROGRAM(prog_int80, "int $0x80");
PROGRAM(prog_int13, "int $13");
PROGRAM(prog_int3, "int3");
PROGRAM(prog_prefixed, ".byte 0x66, 0x2e, 0xcd, 0x81");
PROGRAM(prog_enter_debug, "mov %rax, %dr0");
PROGRAM(prog_int_3, ".byte 0xcd, 3");
PROGRAM(prog_ud2, "ud2");
PROGRAM(prog_refused, ".byte 0xff, 0xee");
PROGRAM(prog_vmcall, "vmcall");
PROGRAM(prog_divide, "xor %ecx, %ecx; mov $7, %eax; cltd; div %ecx");
PROGRAM(prog_swapgs, "swapgs");
PROGRAM(prog_sysret, "sysretq");

START_TEST(test_user__instructions_it_may_not__exception_at_the_instruction)
{
    const struct {
        const unsigned char *program;
        unsigned vector, error, rip;
    } cases[] = {
        {prog_privileged, 13, 0, 0},  {prog_cli, 13, 0, 0},       {prog_in, 13, 0, 0},
        {prog_outs, 13, 0, 0},        {prog_rdmsr, 13, 0, 0},     {prog_cr, 13, 0, 0},
        {prog_lgdt, 13, 0, 0},        {prog_int80, 13, 0x402, 0}, {prog_int13, 13, 0x6a, 0},
        {prog_int3, 3, 0, 1},         {prog_int_3, 3, 0, 2},      {prog_prefixed, 13, 0x40a, 0},
        {prog_enter_debug, 13, 0, 0}, {prog_ud2, 6, 0, 0},        {prog_refused, 6, 0, 0},
        {prog_vmcall, 6, 0, 0},       {prog_divide, 0, 0, 8},     {prog_swapgs, 13, 0, 0},
        {prog_sysret, 13, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space s;

        space_make(&s, cases[i].program, cases[i].program + 16);
        s.regs.gpr[RBX] = DATA;
        s.regs.gpr[RSI] = DATA;
        space_run(&s);
        ck_assert_msg(
            s.trap.kind == PLAT_USER_EXCEPTION && s.trap.vector == cases[i].vector &&
                s.trap.error_code == cases[i].error && s.regs.rip == CODE + cases[i].rip,
            "case %zu: kind %d vector %u error %#x at +%#llx", i, s.trap.kind, s.trap.vector,
            s.trap.error_code, (unsigned long long)(s.regs.rip - CODE));
    }
}
END_TEST

PROGRAM(prog_refused_later, "inc %eax; inc %eax; .byte 0xff, 0xdb; inc %eax");

START_TEST(test_user__bytes_the_library_aborts_on__undefined_where_they_are)
{
    struct space s;

    SPACE(&s, prog_refused_later);
    for (unsigned i = 1; i < 4; i++) {
        s.regs.rip = CODE;
        space_run(&s);
        CHECK_EXCEPTION(&s, 6, 0);
        ck_assert_uint_eq(s.regs.rip, CODE + 4);
        ck_assert_uint_eq(s.regs.gpr[RAX], 2 * i);
    }
}
END_TEST

PROGRAM(prog_step, "nop; inc %eax; inc %eax; syscall");

START_TEST(test_user__trap_flag__one_instruction_each)
{
    struct space s;

    SPACE(&s, prog_step);
    s.regs.rflags |= BIT(8);
    for (unsigned i = 0; i < 3; i++) {
        static const unsigned rip[] = {1, 3, 5};

        space_run(&s);
        CHECK_EXCEPTION(&s, 1, 0);
        ck_assert_uint_eq(s.regs.rip, CODE + rip[i]);
    }
    ck_assert_uint_eq(s.regs.gpr[RAX], 2);
    s.regs.rflags &= ~BIT(8);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
}
END_TEST

PROGRAM(prog_cow, "1: incq (%rbx); mov (%rbx), %rax; syscall; jmp 1b");

START_TEST(test_user__copy_on_write__store_lands_in_the_copy)
{
    struct space s;
    paddr_t copy = page_new();

    SPACE(&s, prog_cow);
    s.regs.gpr[RBX] = DATA + 8;
    space_run(&s);
    ck_assert_uint_eq(s.regs.gpr[RAX], 1);
    /* Shared now: the program's TLB still has it writable until the flush. */
    map_page(s.root, DATA, s.data, PTE_NX);
    plat_user_tlb_flush(s.root, DATA, 1);
    space_run(&s);
    CHECK_EXCEPTION(&s, 14, 7);
    ck_assert(s.trap.address == DATA + 8 && s.regs.rip == CODE);
    memcpy(plat_map(copy), plat_map(s.data), PAGE_SIZE);
    map_page(s.root, DATA, copy, PTE_W | PTE_NX);
    plat_user_tlb_flush(s.root, DATA, 1);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert_uint_eq(s.regs.gpr[RAX], 2);
    ck_assert_uint_eq(((uint64_t *)plat_map(copy))[1], 2);
    ck_assert_uint_eq(((uint64_t *)plat_map(s.data))[1], 1);
}
END_TEST

START_TEST(test_user__accessed_and_dirty__set_by_the_access_that_does)
{
    struct space s;
    uint64_t *pte;

    SPACE(&s, prog_load);
    s.regs.gpr[RBX] = DATA;
    pte = pte_of(s.root, DATA);
    space_run(&s);
    ck_assert((*pte & PTE_A) && !(*pte & PTE_D));
    ck_assert(*pte_of(s.root, CODE) & PTE_A);
    ck_assert(!(*pte_of(s.root, STACK - PAGE_SIZE) & PTE_A));
    ck_assert(*(uint64_t *)plat_map(s.root) & PTE_A);
    SPACE(&s, prog_cow);
    s.regs.gpr[RBX] = DATA;
    pte = pte_of(s.root, DATA);
    for (unsigned i = 0; i < 3; i++) {
        *pte &= ~(PTE_A | PTE_D);
        plat_user_tlb_flush(s.root, 0, i ? PLAT_USER_FLUSH_ALL : 1);
        plat_user_tlb_flush(s.root, DATA, 1);
        space_run(&s);
        ck_assert((*pte & PTE_A) && (*pte & PTE_D));
    }
}
END_TEST

START_TEST(test_user__large_pages__right_machine_address)
{
    struct space s;
    uint64_t *table;

    SPACE(&s, prog_load);
    /* 2 MB page at machine address 0x1000000, by an entry two levels up. */
    (void)pte_of(s.root, 0x40000000);
    table = plat_map(paddr_make(((uint64_t *)plat_map(s.root))[0] & ~0xfffull));
    table = plat_map(paddr_make(table[1] & ~0xfffull));
    table[0] = 0x1000000 | PTE_P | PTE_W | PTE_U | BIT(7);
    *(uint64_t *)plat_map(paddr_make(0x1000000 + 0x123450)) = 0x5566;
    s.regs.gpr[RBX] = 0x40000000 + 0x123450;
    space_run(&s);
    ck_assert_uint_eq(s.regs.gpr[RDX], 0x5566);
    ck_assert(table[0] & PTE_A);
}
END_TEST

PROGRAM(prog_rep, "rep movsb; syscall");
PROGRAM(prog_cross, "mov %rax, -4(%rbx); syscall");

START_TEST(test_user__access_over_a_page_end__precise)
{
    struct space s;
    paddr_t second = page_new();

    SPACE(&s, prog_cross);
    s.regs.gpr[RBX] = DATA + PAGE_SIZE;
    s.regs.gpr[RAX] = 0x1122334455667788;
    space_run(&s);
    CHECK_EXCEPTION(&s, 14, 6);
    ck_assert(s.trap.address == DATA + PAGE_SIZE && s.regs.rip == CODE);
    ck_assert_uint_eq(((uint32_t *)plat_map(s.data))[1023], 0);
    map_page(s.root, DATA + PAGE_SIZE, second, PTE_W | PTE_NX);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert_uint_eq(((uint32_t *)plat_map(s.data))[1023], 0x55667788);
    ck_assert_uint_eq(*(uint32_t *)plat_map(second), 0x11223344);

    SPACE(&s, prog_rep);
    s.regs.gpr[RSI] = CODE;
    s.regs.gpr[RDI] = DATA + PAGE_SIZE - 3;
    s.regs.gpr[RCX] = 8;
    space_run(&s);
    CHECK_EXCEPTION(&s, 14, 6);
    ck_assert(s.regs.rip == CODE && s.regs.gpr[RCX] == 5);
    ck_assert(s.regs.gpr[RDI] == DATA + PAGE_SIZE);
    memset(plat_map(second), 0, PAGE_SIZE);
    map_page(s.root, DATA + PAGE_SIZE, second, PTE_W | PTE_NX);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert(!memcmp(plat_map(second), (char *)plat_map(s.code) + 3, 5));
}
END_TEST

/* ---- FPU ---- */

PROGRAM(prog_fpu, "fninit; fldpi; fld1; fldl2e; fldln2; fstp %st(0)\n"
                  "movl $0x3fa0, -8(%rsp); ldmxcsr -8(%rsp)\n"
                  "movw $0x0c7f, -8(%rsp); fldcw -8(%rsp)\n"
                  "mov $0x0123456789abcdef, %rax\n"
                  "movq %rax, %xmm0; movq %rax, %xmm15; punpcklqdq %xmm15, %xmm15\n"
                  "paddq %xmm0, %xmm15; pcmpeqd %xmm7, %xmm7\n");
PROGRAM(prog_fpu_save, "fxsave64 (%rbx); syscall; fxsave64 512(%rbx); syscall");
PROGRAM(prog_fpu_other,
        "fninit; fldz; pxor %xmm0, %xmm0; movaps %xmm0, %xmm15\n"
        "movaps %xmm0, %xmm7; movl $0x1f80, -8(%rsp); ldmxcsr -8(%rsp); syscall");

static void check_image(const unsigned char *got, const unsigned char *want)
{
    /* All but opcode and addresses of the last instruction, the MXCSR mask and what is
     * unused. */
    ck_assert_mem_eq(got, want, 5);
    ck_assert_mem_eq(got + 24, want + 24, 4);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_mem_eq(got + 32 + 16 * i, want + 32 + 16 * i, 10);
    ck_assert_mem_eq(got + 160, want + 160, 256);
}

START_TEST(test_user__fpu_state__as_a_processor_saves_it_and_kept_over_another_world)
{
    static unsigned char native[512] __attribute__((aligned(16)));
    static unsigned char kept[512] __attribute__((aligned(16)));
    static unsigned char area[PLAT_FPU_AREA_SIZE] __attribute__((aligned(64)));
    static unsigned char fresh[PLAT_FPU_AREA_SIZE] __attribute__((aligned(64)));
    unsigned char text[PAGE_SIZE];
    size_t length = (size_t)(prog_fpu_end - prog_fpu);
    size_t rest = (size_t)(prog_fpu_save_end - prog_fpu_save);
    struct space s;
    struct space other;

    /* The same on the host's processor. */
    __asm__ volatile("sub $128, %%rsp\n"
                     "fxsave64 (%1)\n"
                     "fninit; fldpi; fld1; fldl2e; fldln2; fstp %%st(0)\n"
                     "movl $0x3fa0, -8(%%rsp); ldmxcsr -8(%%rsp)\n"
                     "movw $0x0c7f, -8(%%rsp); fldcw -8(%%rsp)\n"
                     "xorps %%xmm1, %%xmm1; movaps %%xmm1, %%xmm2; movaps %%xmm1, %%xmm3\n"
                     "movaps %%xmm1, %%xmm4; movaps %%xmm1, %%xmm5; movaps %%xmm1, %%xmm6\n"
                     "movaps %%xmm1, %%xmm8; movaps %%xmm1, %%xmm9; movaps %%xmm1, %%xmm10\n"
                     "movaps %%xmm1, %%xmm11; movaps %%xmm1, %%xmm12; movaps %%xmm1, %%xmm13\n"
                     "movaps %%xmm1, %%xmm14\n"
                     "mov $0x0123456789abcdef, %%rax\n"
                     "movq %%rax, %%xmm0; movq %%rax, %%xmm15; punpcklqdq %%xmm15, %%xmm15\n"
                     "paddq %%xmm0, %%xmm15; pcmpeqd %%xmm7, %%xmm7\n"
                     "fxsave64 (%0)\n"
                     "fxrstor64 (%1)\n"
                     "add $128, %%rsp\n"
                     :
                     : "r"(native), "r"(kept)
                     : "rax", "memory", "cc");
    memcpy(text, prog_fpu, length);
    memcpy(text + length, prog_fpu_save, rest);
    space_make(&s, text, text + length + rest);
    s.regs.gpr[RBX] = DATA;
    plat_fpu_area_init(fresh);
    plat_fpu_load(fresh, 3);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    plat_fpu_save(area, 3);
    check_image(plat_map(s.data), native);
    check_image(area, native);

    SPACE(&other, prog_fpu_other);
    plat_fpu_load(fresh, 3);
    space_run(&other);
    ck_assert_int_eq(other.trap.kind, PLAT_USER_SYSCALL);
    plat_fpu_save(fresh, 3);
    ck_assert(memcmp(fresh + 160, native + 160, 256) != 0);

    plat_fpu_load(area, 3);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    check_image((unsigned char *)plat_map(s.data) + 512, native);
}
END_TEST

PROGRAM(prog_cpuid, "cpuid; syscall");
PROGRAM(prog_popcnt, "popcnt %rax, %rbx; pclmulqdq $0, %xmm0, %xmm1; movbe (%rdi), %rcx\n"
                     "movddup %xmm0, %xmm1; lzcnt %rax, %rdx; lahf; syscall");

START_TEST(test_user__cpuid__promises_what_runs_and_no_avx)
{
    struct space s;

    SPACE(&s, prog_cpuid);
    s.regs.gpr[RAX] = 1;
    space_run(&s);
    ck_assert_uint_eq(s.regs.gpr[RCX], CODE + 4);
    ck_assert_uint_eq(s.regs.gpr[RDX], 0x178bfbff);
    SPACE(&s, prog_popcnt);
    s.regs.gpr[RAX] = 0xff00;
    s.regs.gpr[RDI] = DATA;
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert_uint_eq(s.regs.gpr[RBX], 8);
    ck_assert_uint_eq(s.regs.gpr[RDX], 48);
}
END_TEST

KERNEL_TEST_MAIN(
    "engine_user", RUNS(test_user__syscall__registers_as_syscall_leaves_them),
    RUNS(test_user__unsafe_registers__made_safe_or_refused),
    RUNS(test_user__page_faults__address_error_and_rip),
    RUNS(test_user__instructions_it_may_not__exception_at_the_instruction),
    RUNS(test_user__bytes_the_library_aborts_on__undefined_where_they_are),
    RUNS(test_user__trap_flag__one_instruction_each),
    RUNS(test_user__copy_on_write__store_lands_in_the_copy),
    RUNS(test_user__accessed_and_dirty__set_by_the_access_that_does),
    RUNS(test_user__large_pages__right_machine_address),
    RUNS(test_user__access_over_a_page_end__precise),
    RUNS(test_user__fpu_state__as_a_processor_saves_it_and_kept_over_another_world),
    RUNS(test_user__cpuid__promises_what_runs_and_no_avx))
