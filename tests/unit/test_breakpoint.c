// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_breakpoint.c -- which of DR0 to DR3 watches an access, and the trap behind it.
 */
#include "tests/unit/suite_run.h"
#include "vmm/vm.h"

#include <check.h>
#include <string.h>

static struct vcpu cpu;
static uint64_t regs[VT_REG_COUNT], stepped_to, raised;

static uint64_t fake_get(struct vcpu *v, enum vt_reg reg)
{
    (void)v;
    return regs[reg];
}

static bool fake_step(struct vcpu *v, uint64_t next)
{
    (void)v;
    stepped_to = next;
    return regs[VT_RFLAGS] & RFLAGS_TF;
}

const struct vt_backend *vt(void)
{
    static const struct vt_backend fake = {.get = fake_get, .step = fake_step};

    return &fake;
}

void vcpu_raise_db(struct vcpu *v, uint64_t bits)
{
    ck_assert_ptr_eq(v, &cpu);
    raised = bits;
}

/* One breakpoint: number, kind (R/W), length bits. */
static void watch(unsigned number, uint64_t address, uint64_t kind, uint64_t length)
{
    memset(regs, 0, sizeof(regs));
    memset(&cpu, 0, sizeof(cpu));
    cpu.dr[number] = address;
    regs[VT_DR7] =
        1ull << (2 * number) | kind << (16 + 4 * number) | length << (18 + 4 * number);
    regs[VT_CR4] = CR4_DE;
}

static uint64_t hits(uint64_t at, unsigned size, enum breakpoint_kind kind)
{
    return breakpoint_hits(&cpu, at, size, kind);
}

START_TEST(test_breakpoint_hits__bytes__any_overlap)
{
    static const struct {
        uint64_t length, size;
    } rows[] = {{0, 1}, {1, 2}, {3, 4}, {2, 8}};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        watch((unsigned)i, 0x1000, 1, rows[i].length);
        for (uint64_t at = 0xff0; at < 0x1010; at++) {
            for (unsigned size = 1; size <= 32; size *= 2) {
                bool overlap = at < 0x1000 + rows[i].size && at + size > 0x1000;

                ck_assert_uint_eq(hits(at, size, BREAKPOINT_WRITE), overlap ? BIT(i) : 0);
            }
        }
    }
}
END_TEST

START_TEST(test_breakpoint_hits__kinds__only_what_is_watched)
{
    watch(0, 0x1000, 1, 0);
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_READ), 0);
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_IO), 0);
    watch(0, 0x1000, 3, 0);
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_READ), 1);
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_WRITE), 1);
    watch(3, 0x1f0, 2, 1);
    ck_assert_uint_eq(hits(0x1f1, 1, BREAKPOINT_IO), 8);
    ck_assert_uint_eq(hits(0x1f1, 1, BREAKPOINT_WRITE), 0);
    regs[VT_CR4] = 0;  // ports are watched with CR4.DE only
    ck_assert_uint_eq(hits(0x1f1, 1, BREAKPOINT_IO), 0);
    watch(1, 0x1000, 0, 0);  // code: the processor's
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_READ), 0);
    watch(1, 0x1003, 1, 3);  // an address that is not a multiple counts as one
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_WRITE), 2);
    regs[VT_DR7] &= ~DR7_ENABLED;
    ck_assert_uint_eq(hits(0x1000, 1, BREAKPOINT_WRITE), 0);
}
END_TEST

START_TEST(test_breakpoint_step__hits_and_single_step__one_trap)
{
    watch(0, 0, 0, 0);
    regs[VT_EFER] = EFER_LMA;
    breakpoint_step(&cpu, 0x100000001, 0);
    ck_assert_uint_eq(stepped_to, 0x100000001);
    ck_assert_uint_eq(raised, 0);
    regs[VT_RFLAGS] = RFLAGS_TF;
    breakpoint_step(&cpu, 5, 4);
    ck_assert_uint_eq(raised, DR6_BS | 4);
    regs[VT_EFER] = 0;  // outside long mode EIP wraps
    breakpoint_step(&cpu, 0x100000001, 0);
    ck_assert_uint_eq(stepped_to, 1);
    ck_assert_uint_eq(raised, DR6_BS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("breakpoint");
    TCase *all = tcase_create("breakpoint");

    tcase_add_test(all, test_breakpoint_hits__bytes__any_overlap);
    tcase_add_test(all, test_breakpoint_hits__kinds__only_what_is_watched);
    tcase_add_test(all, test_breakpoint_step__hits_and_single_step__one_trap);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
