// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/selftest.c -- is this libunicorn the one that uc_shim.c was written against?
 *
 * The shim replaces functions of the library and knows offsets in its structures. Another
 * version may have the same names and other meanings, and then results would be wrong without a
 * word. So before the first engine CPU a program of a few instructions runs in a memory of its
 * own and each effect is compared. There is no slower way that gives the same counts: the run
 * is refused.
 *
 * Invariants
 *   - Touches no simulated host.
 * Locking    none: one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/engine/engine.h"
#include "sim/engine/uc_state.h"
#include "sim/platform/sim.h"

#define MEMORY_SIZE 0x10000u
#define CODE_VA     0x7f0000001000ull
#define DATA_VA     0x7f0000005000ull
#define CODE_PA     0x3000u
#define DATA_PA     0x9000u
#define TSC_BASE    0x123456789000ull

struct selftest {
    unsigned char *memory;
    unsigned fills;
    bool data_writable;
};

static bool translate(void *context, uint64_t va, enum uc_shim_access access,
                      enum uc_shim_mode mode, bool probe, struct uc_shim_page *out)
{
    struct selftest *t = context;

    (void)probe;
    t->fills++;
    if (mode == UC_SHIM_USER && (va & ~0xfffull) == CODE_VA) {
        *out = (struct uc_shim_page){CODE_PA, true, true};
        return true;
    }
    if (mode == UC_SHIM_USER && (va & ~0xfffull) == DATA_VA &&
        (access == UC_SHIM_LOAD || t->data_writable)) {
        *out = (struct uc_shim_page){DATA_PA, t->data_writable, false};
        return access != UC_SHIM_FETCH;
    }
    return false;
}

static uint64_t tsc(void *context, uint64_t executed)
{
    (void)context;
    return TSC_BASE + executed;
}

static const struct uc_shim_owner owner = {
    .translate = translate, .tsc = tsc, .cpuid = engine_user_cpuid};

/* clang-format off */
static const unsigned char program[] = {
    /* 00 */ 0x48, 0xbb, 0x00, 0x50, 0x00, 0x00, 0x00, 0x7f, 0x00, 0x00,  // mov rbx, DATA_VA
    /* 0a */ 0xb9, 0x05, 0x00, 0x00, 0x00,                                // mov ecx, 5
    /* 0f */ 0xff, 0xc9,                                                  // 1: dec ecx
    /* 11 */ 0x75, 0xfc,                                                  // jnz 1b
    /* 13 */ 0x48, 0x8b, 0x03,                                            // mov rax, [rbx]
    /* 16 */ 0x48, 0xff, 0xc0,                                            // inc rax
    /* 19 */ 0x48, 0x89, 0x43, 0x08,                                      // mov [rbx+8], rax
    /* 1d */ 0x0f, 0x31,                                                  // rdtsc
    /* 1f */ 0x0f, 0x05,                                                  // syscall
    /* 21 */ 0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x2a,                    // movb [rip+1], 42
    /* 28 */ 0xb0, 0x00,                                                  // mov al, 0
    /* 2a */ 0xf4,                                                        // hlt
    /* 2b */ 0x0f, 0x0b,                                                  // ud2
};
/* clang-format on */

#define EXPECT(condition)                                                                      \
    do {                                                                                       \
        if (!(condition))                                                                      \
            return #condition;                                                                 \
    } while (0)

static const char *check(struct selftest *t, struct uc_shim *s)
{
    struct plat_user_regs regs = {.rip = CODE_VA, .rflags = 0x202, .fs_base = 0x1234};
    struct uc_shim_exit exit;
    uint64_t value = 0x4142;

    memcpy(t->memory + CODE_PA, program, sizeof(program));
    memcpy(t->memory + DATA_PA, &value, sizeof(value));
    uc_state_user_init(s);
    uc_state_user_set(s, &regs);
    uc_shim_run(s, 3, &exit);
    EXPECT(exit.stop == UC_SHIM_STOP_LIMIT && exit.executed == 4);
    uc_shim_run(s, 1000, &exit);
    uc_state_user_get(s, &regs);
    EXPECT(exit.stop == UC_SHIM_STOP_FAULT && exit.fault_access == UC_SHIM_STORE);
    EXPECT(exit.fault_address == DATA_VA + 8 && regs.rip == CODE_VA + 0x19);
    EXPECT(exit.executed == 8 + 2);
    EXPECT(regs.gpr[0] == 0x4143 && regs.gpr[1] == 0 && regs.fs_base == 0x1234);
    t->data_writable = true;
    uc_shim_run(s, 1000, &exit);
    uc_state_user_get(s, &regs);
    EXPECT(exit.stop == UC_SHIM_STOP_SYSCALL && exit.executed == 3);
    EXPECT(regs.rip == CODE_VA + 0x21);
    EXPECT(!memcmp(t->memory + DATA_PA + 8, "\x43\x41", 2));
    EXPECT((regs.gpr[2] << 32 | regs.gpr[0]) - TSC_BASE < 16);
    uc_shim_run(s, 1000, &exit);
    uc_state_user_get(s, &regs);
    EXPECT((regs.gpr[0] & 0xff) == 42);
    EXPECT(exit.stop == UC_SHIM_STOP_EXCEPTION && exit.number == 13);
    EXPECT(regs.rip == CODE_VA + 0x2a);
    regs.rip += 1;
    uc_state_user_set(s, &regs);
    uc_shim_run(s, 1000, &exit);
    EXPECT(exit.stop == UC_SHIM_STOP_EXCEPTION && exit.number == 6 && exit.executed == 0);
    return NULL;
}

void engine_selftest(void)
{
    static bool done;
    struct selftest t = {.fills = 0};
    const char *wrong;
    struct uc_shim *s;

    if (done)
        return;
    done = true;
    wrong = uc_shim_unusable();
    if (wrong)
        sim_fail("%s", wrong);
    t.memory = aligned_alloc(4096, MEMORY_SIZE);
    if (!t.memory)
        sim_fail("no memory for the engine's self-test");
    memset(t.memory, 0, MEMORY_SIZE);
    s = uc_shim_create(uc_shim_memory_create(t.memory, MEMORY_SIZE), &owner, &t);
    wrong = check(&t, s);
    if (wrong)
        sim_fail("the engine's self-test fails (%s): libunicorn2 2.0.1 of Debian 12 is needed, "
                 "and a program linked so that it exports its symbols",
                 wrong);
    uc_shim_destroy(s);
    free(t.memory);
}
