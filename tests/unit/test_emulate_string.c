// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_emulate_string.c -- string instructions on a device, INS and OUTS, element by element.
 *
 * The registers after a chunk, a fault in the middle or a wrap are written out.
 */
#include "tests/unit/emulate_fixture.h"

static enum exit_verdict string_io(bool in, uint32_t *length)
{
    struct vm_exit exit = {.kind = VM_EXIT_IO,
                           .io = {.port = 0x1f0, .in = in, .string = true, .rep = true}};

    *length = 0;
    return emulate_string_io(&m.vcpu, &exit, length);
}

START_TEST(test_emulate_mmio__rep_movs__in_chunks)
{
    unsigned rounds = 0;
    uint32_t length;

    machine_reset(64);
    code_hex("f3a4");  // rep movsb, from the device into RAM and again over it
    m.vcpu.regs.gpr[GPR_RSI] = DEVICE_AT;
    m.vcpu.regs.gpr[GPR_RDI] = 0x4000;
    m.vcpu.regs.gpr[GPR_RCX] = PAGE_SIZE;
    memset(m.device, 0x5c, sizeof(m.device));
    while (mmio(DEVICE_AT, &length) == EXIT_RESUME)
        ck_assert_uint_lt(++rounds, 3);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], 0x5000);
    ck_assert_uint_eq(m.ram[0x4fff], 0x5c);
    ck_assert_uint_eq(m.ram[0x5000], 0);
}
END_TEST

START_TEST(test_emulate_mmio__rep_stos_down__into_hole_stops_there)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f3ab");
    m.rflags |= RFLAGS_DF;
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT + 8;
    m.vcpu.regs.gpr[GPR_RCX] = 9;
    m.vcpu.regs.gpr[GPR_RAX] = 0x01020304;
    ck_assert_int_eq(mmio(DEVICE_AT + 8, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.device_accesses, 3);
    ck_assert_uint_eq(m.pf_address, DEVICE_AT - 4);
    ck_assert_uint_eq(m.pf_error, GLA_WRITE);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 6);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], DEVICE_AT - 4);
}
END_TEST

/* ---- compares, against the host's processor on plain memory ---- */

struct compared {
    uint64_t rsi, rdi, rcx, flags;
};

/* Below the red zone: a leaf function keeps its locals there. */
#define COMPARE(name, text)                                                                    \
    static void name(struct compared *s, uint64_t rax)                                         \
    {                                                                                          \
        __asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushq %3\n\tpopfq\n\t" text               \
                         "\n\tpushfq\n\tpopq %3\n\tcld\n\tleaq 128(%%rsp), %%rsp"              \
                         : "+S"(s->rsi), "+D"(s->rdi), "+c"(s->rcx), "+&r"(s->flags)           \
                         : "a"(rax)                                                            \
                         : "memory", "cc");                                                    \
    }
COMPARE(run_cmpsb, "cmpsb")
COMPARE(run_repe_cmpsb, "repe cmpsb")
COMPARE(run_repne_cmpsw, "repne cmpsw")
COMPARE(run_repe_cmpsl, "repe cmpsl")
COMPARE(run_repe_cmpsq, "repe cmpsq")
COMPARE(run_scasb, "scasb")
COMPARE(run_repne_scasb, "repne scasb")
COMPARE(run_repe_scasw, "repe scasw")
COMPARE(run_repne_scasl, "repne scasl")
COMPARE(run_repe_scasq, "repe scasq")

START_TEST(test_emulate_mmio__compares__like_the_processor)
{
    static const struct {
        const char *hex;
        void (*run)(struct compared *s, uint64_t rax);
        unsigned size;
        bool repeated;
    } forms[] = {
        {"a6", run_cmpsb, 1, false},          {"f3a6", run_repe_cmpsb, 1, true},
        {"66f2a7", run_repne_cmpsw, 2, true}, {"f3a7", run_repe_cmpsl, 4, true},
        {"f348a7", run_repe_cmpsq, 8, true},  {"ae", run_scasb, 1, false},
        {"f2ae", run_repne_scasb, 1, true},   {"66f3af", run_repe_scasw, 2, true},
        {"f2af", run_repne_scasl, 4, true},   {"f348af", run_repe_scasq, 8, true},
    };
    const unsigned at = 0x200, bytes = 64, size = forms[_i].size;
    uint8_t a[192], b[192];

    // Both directions; equal up to a byte here or there, or different until there; counts from
    // 0.
    for (unsigned i = 0; i < 2 * 2 * 10 * 64; i++) {
        bool down = i & 1, alike = i & 2;
        unsigned count = i / 4 % 10, odd = i / 40, start = down ? bytes - size : 0;
        const uint64_t rax = 0x1111111111111111, flags = down ? 0x402 : 0x2 | FLAGS;
        struct compared s;
        uint32_t length;

        memset(a, 0x11, sizeof(a));
        memset(b, alike ? 0x11 : 0x85, sizeof(b));
        b[64 + odd] = alike ? 0x12 : 0x11;
        machine_reset(64);
        memcpy(m.ram + at, a, sizeof(a));
        memcpy(m.device + at, b, sizeof(b));
        m.rflags = flags;
        m.vcpu.regs.gpr[GPR_RAX] = rax;
        m.vcpu.regs.gpr[GPR_RCX] = count;
        m.vcpu.regs.gpr[GPR_RSI] = at + 64 + start;
        m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT + at + 64 + start;
        s = (struct compared){(uintptr_t)a + 64 + start, (uintptr_t)b + 64 + start, count,
                              flags};
        code_hex(forms[_i].hex);
        forms[_i].run(&s, rax);
        ck_assert_int_eq(mmio(DEVICE_AT + at + 64 + start, &length), EXIT_RESUME_NEXT);
        ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], s.rcx);
        if (strstr(forms[_i].hex, "a6") || strstr(forms[_i].hex, "a7"))
            ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RSI] - at, s.rsi - (uintptr_t)a);
        ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI] - DEVICE_AT - at, s.rdi - (uintptr_t)b);
        ck_assert_uint_eq(m.rflags & FLAGS, s.flags & FLAGS);
    }
}
END_TEST

START_TEST(test_emulate_mmio__compare_into_hole__fault_and_old_flags)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f3a6");
    m.rflags = 2 | FLAGS;
    m.vcpu.regs.gpr[GPR_RCX] = 8;
    m.vcpu.regs.gpr[GPR_RSI] = RAM_SIZE - 2;
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.pf, 1);
    ck_assert_uint_eq(m.pf_address, RAM_SIZE);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 6);
    ck_assert_uint_eq(m.rflags, 2 | FLAGS);
}
END_TEST

/* ---- single steps ---- */

START_TEST(test_emulate_mmio__string_with_trap_flag__trap_after_each)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f3aa");
    m.rflags = 0x102;
    m.vcpu.regs.gpr[GPR_RCX] = 3;
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    for (unsigned i = 1; i <= 2; i++) {
        ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
        ck_assert_uint_eq(m.db, i);
        ck_assert_uint_eq(m.rip, CODE_AT);
        ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 3 - i);
    }
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);  // whose trap is the loop's
    ck_assert_uint_eq(m.db, 2);
    ck_assert_uint_eq(m.device_accesses, 3);
}
END_TEST

START_TEST(test_emulate_string_io__trap_flag__trap_after_each)
{
    uint32_t length = 0;

    machine_reset(64);
    code_hex("f36c");
    m.rflags = 0x102;
    m.vcpu.regs.gpr[GPR_RCX] = 2;
    m.vcpu.regs.gpr[GPR_RDI] = 0x2000;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.db, 1);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 1);
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.port_accesses, 2);
    ck_assert_uint_eq(m.db, 1);
}
END_TEST

START_TEST(test_emulate_mmio__breakpoint__trap_behind_its_round)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f3a4");
    m.vcpu.breakpoints = 1;
    m.watched_kind = BREAKPOINT_WRITE;
    m.watched = 0x2001;  // RAM, on the other side of the device
    m.vcpu.regs.gpr[GPR_RCX] = 3;
    m.vcpu.regs.gpr[GPR_RSI] = DEVICE_AT;
    m.vcpu.regs.gpr[GPR_RDI] = 0x2000;
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.hits, 1);
    ck_assert_uint_eq(m.rip, CODE_AT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 1);
    machine_reset(64);
    code_hex("8807");  // mov %al, (%rdi)
    m.vcpu.breakpoints = 1;
    m.watched_kind = BREAKPOINT_WRITE;
    m.watched = DEVICE_AT + 5;
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT + 5;
    ck_assert_int_eq(mmio(DEVICE_AT + 5, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.db, 1);
    ck_assert_uint_eq(m.rip, CODE_AT + 2);
}
END_TEST

START_TEST(test_emulate_string_io__breakpoint__trap_behind_each)
{
    uint32_t length = 0;

    machine_reset(64);
    code_hex("f36e");
    m.vcpu.breakpoints = 1;
    m.watched_kind = BREAKPOINT_IO;
    m.watched = 0x1f0;
    m.vcpu.regs.gpr[GPR_RCX] = 2;
    m.vcpu.regs.gpr[GPR_RSI] = 0x2000;
    ck_assert_int_eq(string_io(false, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.db, 1);
    ck_assert_uint_eq(m.rip, CODE_AT);
    ck_assert_int_eq(string_io(false, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.db, 2);
    ck_assert_uint_eq(m.rip, CODE_AT + 2);
    ck_assert_uint_eq(m.port_accesses, 2);
}
END_TEST

START_TEST(test_emulate_string_io__outsb__whole_and_order)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36e");
    for (unsigned i = 0; i < 300; i++)
        m.ram[0x3f80 + i] = (uint8_t)(i * 7);
    m.vcpu.regs.gpr[GPR_RSI] = 0x3f80;
    m.vcpu.regs.gpr[GPR_RCX] = 300;
    ck_assert_int_eq(string_io(false, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(length, 2);
    ck_assert(!memcmp(m.port_log, m.ram + 0x3f80, 300));
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RSI], 0x3f80 + 300);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0);
}
END_TEST

START_TEST(test_emulate_string_io__ins_into_hole__page_fault_with_rest)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36d");  // rep insl
    m.vcpu.regs.gpr[GPR_RDI] = RAM_SIZE - 10;
    m.vcpu.regs.gpr[GPR_RCX] = 5;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.pf, 1);
    ck_assert_uint_eq(m.pf_address, RAM_SIZE);
    ck_assert_uint_eq(m.port_accesses, 2);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 3);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], RAM_SIZE - 2);
}
END_TEST

START_TEST(test_emulate_string_io__long_run__comes_in_chunks)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36c");
    m.vcpu.regs.gpr[GPR_RDI] = 0x4000;
    m.vcpu.regs.gpr[GPR_RCX] = 5000;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 5000 - 4096);
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0);
    ck_assert_uint_eq(m.port_accesses, 5000);
}
END_TEST

START_TEST(test_emulate_string_io__16_bit__wraps_at_64k)
{
    uint32_t length;

    machine_reset(16);
    code_hex("f36c");
    m.vcpu.regs.gpr[GPR_RDI] = 0xabc0fffe;
    m.vcpu.regs.gpr[GPR_RCX] = 0x70004;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], 0xabc00002);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0x70000);
    ck_assert_uint_eq(m.ram[0xffff], 1);
    ck_assert_uint_eq(m.ram[1], 3);
}
END_TEST

START_TEST(test_emulate_string_io__count_zero__does_nothing)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36c");
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.port_accesses, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulate_string");
    TCase *all = tcase_create("emulate_string");

    tcase_add_test(all, test_emulate_mmio__rep_movs__in_chunks);
    tcase_add_test(all, test_emulate_mmio__rep_stos_down__into_hole_stops_there);
    tcase_add_loop_test(all, test_emulate_mmio__compares__like_the_processor, 0, 10);
    tcase_add_test(all, test_emulate_mmio__compare_into_hole__fault_and_old_flags);
    tcase_add_test(all, test_emulate_mmio__string_with_trap_flag__trap_after_each);
    tcase_add_test(all, test_emulate_string_io__trap_flag__trap_after_each);
    tcase_add_test(all, test_emulate_mmio__breakpoint__trap_behind_its_round);
    tcase_add_test(all, test_emulate_string_io__breakpoint__trap_behind_each);
    tcase_add_test(all, test_emulate_string_io__outsb__whole_and_order);
    tcase_add_test(all, test_emulate_string_io__ins_into_hole__page_fault_with_rest);
    tcase_add_test(all, test_emulate_string_io__long_run__comes_in_chunks);
    tcase_add_test(all, test_emulate_string_io__16_bit__wraps_at_64k);
    tcase_add_test(all, test_emulate_string_io__count_zero__does_nothing);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
