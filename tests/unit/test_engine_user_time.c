// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_engine_user_time.c -- ring 3 in the simulation: time is the instructions done.
 *
 * A run may be cut into slices, ended by a timer or by another CPU, and repeated: time and
 * result follow from the instructions alone, never from the computer that simulates.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's engine.
 * Locking    none.
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/engine/engine.h"
#include "tests/unit/engine_fixture.h"

static struct space on_other;

PROGRAM(prog_mix, "mov $3000, %ecx\n"
                  "xor %eax, %eax\n"
                  "1: imul $1103515245, %eax, %eax\n"
                  "add $12345, %eax\n"
                  "mov %eax, %edx\n"
                  "and $0xff8, %edx\n"
                  "add %rax, (%rbx,%rdx)\n"
                  "test $64, %al\n"
                  "jz 2f\n"
                  "push %rcx; mov $5, %ecx; mov %rbx, %rsi; lea 2048(%rbx), %rdi; rep movsq;\n"
                  "pop %rcx\n"
                  "2: dec %ecx\n"
                  "jnz 1b\n"
                  "syscall");

START_TEST(test_user__sliced_or_not__same_result_and_same_time)
{
    static unsigned char images[3][PAGE_SIZE];
    plat_ns times[3];
    unsigned interrupts = 0;

    for (unsigned round = 0; round < 3; round++) {
        struct space s;
        plat_ns start = plat_time_now();

        SPACE(&s, prog_mix);
        s.regs.gpr[RBX] = DATA;
        for (;;) {
            if (round)
                plat_timer_arm(plat_time_now() + (round == 1 ? 1000 : 37));
            space_run(&s);
            if (s.trap.kind != PLAT_USER_INTERRUPT)
                break;
            interrupts++;
        }
        ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
        memcpy(images[round], plat_map(s.data), PAGE_SIZE);
        times[round] = plat_time_now() - start;
        plat_timer_arm(PLAT_NS_NEVER);
    }
    ck_assert_uint_gt(interrupts, 1000);
    ck_assert(!memcmp(images[0], images[1], PAGE_SIZE));
    ck_assert(!memcmp(images[0], images[2], PAGE_SIZE));
    ck_assert_uint_eq(times[0], times[1]);
    ck_assert_uint_eq(times[0], times[2]);
}
END_TEST

PROGRAM(prog_count, "mov $1000, %ecx; 1: dec %ecx; jnz 1b; mov (%rbx), %eax; nop; syscall");

START_TEST(test_user__time__is_the_instructions_done)
{
    struct space s;
    plat_ns start = plat_time_now();

    SPACE(&s, prog_count);
    space_run(&s);
    /* 1 + 2000 done; the load that faults, and what is behind it, is not. */
    CHECK_EXCEPTION(&s, 14, 4);
    ck_assert_uint_eq(plat_time_now() - start, 2001);
    s.regs.gpr[RBX] = DATA;
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    ck_assert_uint_eq(plat_time_now() - start, 2004);
}
END_TEST

PROGRAM(prog_forever, "1: inc %rax; jmp 1b");

START_TEST(test_user__timer__ends_the_run_when_due)
{
    struct space s;

    SPACE(&s, prog_forever);
    for (unsigned i = 0; i < 100; i++) {
        plat_ns due = plat_time_now() + 1 + i * 37;

        plat_timer_arm(due);
        space_run(&s);
        ck_assert_int_eq(s.trap.kind, PLAT_USER_INTERRUPT);
        ck_assert(plat_time_now() >= due && plat_time_now() <= due + 2);
    }
    /* One that is due already: nothing runs. */
    uint64_t before = s.regs.gpr[RAX];

    plat_timer_arm(plat_time_now());
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_INTERRUPT);
    ck_assert_uint_eq(s.regs.gpr[RAX], before);
}
END_TEST

static plat_ns kicked_at;

static void kicker(void)
{
    sim_work(123456);
    kicked_at = plat_time_now();
    plat_cpu_kick(0);
    for (;;)
        plat_cpu_idle();
}

START_TEST(test_user__kick_from_another_cpu__ends_the_run_within_a_slice)
{
    struct space s;

    SPACE(&s, prog_forever);
    ck_assert(plat_cpu_start(1, kicker));
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_INTERRUPT);
    ck_assert(plat_time_now() >= kicked_at && plat_time_now() <= kicked_at + 10002);
}
END_TEST

PROGRAM(prog_rdtsc, "1: rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, (%rbx); add $8, %rbx\n"
                    "dec %ecx; jnz 1b; rdtscp; syscall");

START_TEST(test_user__rdtsc__is_virtual_and_rises)
{
    struct space s;
    uint64_t start = plat_tsc_now();
    const uint64_t *seen;

    SPACE(&s, prog_rdtsc);
    s.regs.gpr[RBX] = DATA;
    s.regs.gpr[RCX] = 500;
    space_run(&s);
    ck_assert_int_eq(s.trap.kind, PLAT_USER_SYSCALL);
    seen = plat_map(s.data);
    for (unsigned i = 0; i < 500; i++) {
        ck_assert(seen[i] >= start && seen[i] <= plat_tsc_now());
        ck_assert(i == 0 || seen[i] > seen[i - 1]);
    }
    ck_assert_uint_eq((seen[499] - seen[1]) % 498, 0);
}
END_TEST

static void shaken_cpu(void)
{
    for (;;) {
        space_run_to_trap(&on_other);
        sim_work(1000);
    }
}

/* Two CPUs add to one word without a lock; returns what the run was like. */
static uint64_t race(bool shake)
{
    struct sim_options options = *sim_options_get();
    struct space s;

    options.shake = shake;
    sim_options_set(&options);
    SPACE(&s, prog_mix);
    SPACE(&on_other, prog_mix);
    map_page(on_other.root, DATA, s.data, PTE_W | PTE_NX);
    s.regs.gpr[RBX] = DATA;
    on_other.regs.gpr[RBX] = DATA;
    ck_assert(plat_cpu_start(1, shaken_cpu));
    space_run_to_trap(&s);
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        sim_hash_add(((uint64_t *)plat_map(s.data))[i]);
    return sim_hash() ^ plat_time_now();
}

/* The child tells its result by a pipe; two children must agree. */
static uint64_t in_child(bool shake)
{
    uint64_t *result =
        mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    int status;

    if (!child) {
        *result = race(shake);
        _exit(0);
    }
    ck_assert(waitpid(child, &status, 0) == child && status == 0);
    return *result;
}

START_TEST(test_user__two_cpus_twice__same_hash)
{
    uint64_t plain = in_child(false);
    uint64_t shaken = in_child(true);

    ck_assert(plain && plain == in_child(false));
    ck_assert(shaken == in_child(true));
    ck_assert(plain != shaken);
}
END_TEST

KERNEL_TEST_MAIN("engine_user_time", RUNS(test_user__sliced_or_not__same_result_and_same_time),
                 RUNS(test_user__time__is_the_instructions_done),
                 RUNS(test_user__timer__ends_the_run_when_due),
                 RUNS(test_user__kick_from_another_cpu__ends_the_run_within_a_slice),
                 RUNS(test_user__rdtsc__is_virtual_and_rises),
                 RUNS(test_user__two_cpus_twice__same_hash))
