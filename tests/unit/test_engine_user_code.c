// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_engine_user_code.c -- ring 3 in the simulation: code that changes, and many spaces.
 *
 * The library keeps translations of code; these tests change the bytes underneath (the program
 * itself, the kernel, another CPU, another address space at the same root) and look which ran.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's engine.
 * Locking    none.
 */
#include "sim/engine/engine.h"
#include "tests/unit/engine_fixture.h"

PROGRAM(prog_self, "mov $1, %ecx\n"
                   "1: movb $42, 2f+1(%rip)\n"
                   "2: mov $0, %al\n"
                   "mov %rax, %rdx\n"
                   "movb $43, 2b+1(%rip)\n"
                   "dec %ecx; jns 2b; syscall");

START_TEST(test_user__self_modifying__new_bytes_run)
{
    struct space s;

    SPACE(&s, prog_self);
    map_page(s.root, CODE, s.code, PTE_W);
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert_uint_eq(s.regs.gpr[RAX], 43);
    ck_assert_uint_eq(s.regs.gpr[RDX], 43);
}
END_TEST

PROGRAM(prog_value, "mov $1, %eax; syscall; jmp prog_value");
PROGRAM(prog_patch, "movb %al, (%rbx); syscall; jmp prog_patch");

START_TEST(test_user__kernel_changes_code__runs_when_told)
{
    struct space s;

    SPACE(&s, prog_value);
    for (unsigned i = 0; i < 5; i++) {
        ((unsigned char *)plat_map(s.code))[1] = (unsigned char)(i + 7);
        plat_user_code_changed(paddr_make(s.code.raw + 1), 1);
        s.regs.rip = CODE;
        space_run(&s);
        ck_assert_uint_eq(s.regs.gpr[RAX], i + 7);
    }
}
END_TEST

START_TEST(test_user__told_of_a_change_that_is_none__translation_stays)
{
    struct space s;
    uint64_t learnt;

    SPACE(&s, prog_value);
    space_run(&s);
    learnt = uc_shim_counts(engine_of_cpu())->blocks_learnt;
    for (unsigned i = 0; i < 5; i++) {
        plat_user_code_changed(s.code, PAGE_SIZE);
        s.regs.rip = CODE;
        space_run(&s);
        ck_assert_uint_eq(s.regs.gpr[RAX], 1);
    }
    ck_assert_uint_eq(uc_shim_counts(engine_of_cpu())->blocks_learnt, learnt);
}
END_TEST

static struct space on_other;
static unsigned turn;  // even: CPU 0's

static void other_cpu(void)
{
    for (;;) {
        while (!(turn & 1))
            plat_cpu_relax();
        space_run_to_trap(&on_other);
        turn++;
    }
}

START_TEST(test_user__other_cpu_changes_code__runs_new_bytes)
{
    struct space s;

    SPACE(&s, prog_value);
    SPACE(&on_other, prog_patch);
    map_page(on_other.root, DATA, s.code, PTE_W | PTE_NX);
    on_other.regs.gpr[RBX] = DATA + 1;
    ck_assert(plat_cpu_start(1, other_cpu));
    for (unsigned i = 0; i < 20; i++) {
        space_run_to_trap(&s);
        ck_assert_uint_eq(s.regs.gpr[RAX], i ? i + 100 : 1);
        on_other.regs.gpr[RAX] = i + 101;
        turn++;
        while (turn & 1)
            plat_cpu_relax();
        ck_assert_int_eq(on_other.trap.kind, PLAT_USER_SYSCALL);
    }
}
END_TEST

/* Data first, fast to store to in a CPU; then code; then stored to again by the same CPU. */
START_TEST(test_user__data_becomes_code__stores_are_seen)
{
    struct space writer;
    struct space s;

    SPACE(&s, prog_value);
    SPACE(&writer, prog_patch);
    map_page(writer.root, DATA, s.code, PTE_W | PTE_NX);
    /* One space sees both: no flush for a change of spaces hides anything. */
    map_page(writer.root, CODE + PAGE_SIZE, s.code, 0);
    writer.regs.gpr[RBX] = DATA + 1;
    for (unsigned i = 0; i < 20; i++) {
        writer.regs.gpr[RAX] = 50 + i;
        writer.regs.rip = CODE;
        space_run(&writer);
        writer.regs.rip = CODE + PAGE_SIZE;
        space_run(&writer);
        ck_assert_uint_eq(writer.regs.gpr[RAX], 50 + i);
    }
}
END_TEST

/* ---- many spaces ---- */

PROGRAM(prog_add, "add %rbx, (%rdi); mov (%rdi), %rax; syscall; jmp prog_add");

START_TEST(test_user__thousand_spaces__each_has_its_own_memory)
{
    static struct space spaces[1000];

    SPACE(&spaces[0], prog_add);
    for (unsigned i = 0; i < ARRAY_COUNT(spaces); i++) {
        struct space *s = &spaces[i];

        if (i) {
            *s = (struct space){.root = root_new(), .data = page_new()};
            map_page(s->root, CODE, spaces[0].code, 0);
            map_page(s->root, DATA, s->data, PTE_W | PTE_NX);
            s->regs.rip = CODE;
        }
        s->regs.gpr[RDI] = DATA;
        s->regs.gpr[RBX] = i;
    }
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < ARRAY_COUNT(spaces); i++) {
            space_run(&spaces[i]);
            ck_assert_int_eq(spaces[i].trap.kind, PLAT_USER_SYSCALL);
            ck_assert_uint_eq(spaces[i].regs.gpr[RAX], round * i);
        }
    }
    /* They share the machine page of the code, so it was translated once. */
    ck_assert_uint_lt(uc_shim_counts(engine_of_cpu())->blocks_learnt, 10);
}
END_TEST

/* A page that was one space's table becomes another's: nothing of the old is remembered. */
START_TEST(test_user__root_used_again__old_translations_gone)
{
    struct space s;
    paddr_t other = page_new();

    SPACE(&s, prog_add);
    s.regs.gpr[RDI] = DATA;
    s.regs.gpr[RBX] = 5;
    space_run(&s);
    ck_assert_uint_eq(s.regs.gpr[RAX], 5);
    memset(plat_map(s.root), 0, PAGE_SIZE);
    plat_user_root_init(s.root);
    map_page(s.root, CODE, s.code, 0);
    map_page(s.root, DATA, other, PTE_W | PTE_NX);
    s.regs.gpr[RBX] = 1;
    space_run(&s);
    ck_assert_uint_eq(s.regs.gpr[RAX], 1);
}
END_TEST

PROGRAM(prog_blocks, ".rept 800; inc %rdi; jmp . + 2; .endr; syscall");

/*
 * The time that a run of all 800 blocks takes; twice, so that blocks from before a flush are
 * met, too.
 */
static plat_ns blocks_time(unsigned *full)
{
    struct space s;
    plat_ns begin = plat_time_now();

    SPACE(&s, prog_blocks);
    for (unsigned i = 1; i <= 2; i++) {
        s.regs.rip = CODE;
        space_run_to_trap(&s);
        ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
        ck_assert_uint_eq(s.regs.gpr[RDI], 800 * i);
    }
    *full = (unsigned)uc_shim_counts(engine_of_cpu())->code_full;
    return plat_time_now() - begin;
}

START_TEST(test_user__translations_fill_their_buffer__forgotten_and_made_anew)
{
    unsigned full;
    plat_ns once = blocks_time(&full);

    ck_assert_uint_eq(full, 0);
    uc_shim_code_limit(300000);  // less than all of them take
    ck_assert_uint_eq(blocks_time(&full), once);
    ck_assert_uint_ge(full, 2);
}
END_TEST

KERNEL_TEST_MAIN("engine_user_code", RUNS(test_user__self_modifying__new_bytes_run),
                 RUNS(test_user__kernel_changes_code__runs_when_told),
                 RUNS(test_user__told_of_a_change_that_is_none__translation_stays),
                 RUNS(test_user__other_cpu_changes_code__runs_new_bytes),
                 RUNS(test_user__data_becomes_code__stores_are_seen),
                 RUNS(test_user__thousand_spaces__each_has_its_own_memory),
                 RUNS(test_user__root_used_again__old_translations_gone),
                 RUNS(test_user__translations_fill_their_buffer__forgotten_and_made_anew))
