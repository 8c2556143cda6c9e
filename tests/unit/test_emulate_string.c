// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_emulate_string.c -- string moves on a device, INS and OUTS, element by element.
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
    tcase_add_test(all, test_emulate_string_io__outsb__whole_and_order);
    tcase_add_test(all, test_emulate_string_io__ins_into_hole__page_fault_with_rest);
    tcase_add_test(all, test_emulate_string_io__long_run__comes_in_chunks);
    tcase_add_test(all, test_emulate_string_io__16_bit__wraps_at_64k);
    tcase_add_test(all, test_emulate_string_io__count_zero__does_nothing);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
