// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vpm.c -- ACPI power registers, resets, debug exit and the backdoor.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/dev/debug_exit.h"
#include "vmm/dev/vpm.h"
#include "vmm/vm_client.h"

/* The backdoor passes on what it does not know; nobody listens here. */
bool vm_client_call(struct vcpu *v, enum vm_call_kind kind, uint32_t regs[VM_CALL_REGS])
{
    (void)v;
    (void)kind;
    (void)regs;
    return false;
}

START_TEST(test_vpm_timer__counts_at_its_frequency)
{
    uint32_t first;

    ck_assert_int_eq(vpm_create(&fix.vm), VMK_OK);
    first = in_size(0x608, 4);
    advance(1000000000);
    ck_assert_uint_eq(in_size(0x608, 4) - first, VPM_TIMER_HZ);
    advance(100 * 3600 * 1000000000ull);  // wraps without a jump
    first = in_size(0x608, 4);
    advance(1000000000);
    ck_assert_uint_eq(in_size(0x608, 4) - first, VPM_TIMER_HZ);
    vpm_destroy(&fix.vm);
    ck_assert_uint_eq(fix.heap_blocks, 0);
}
END_TEST

START_TEST(test_vpm_control__sci_en_and_s5)
{
    ck_assert_int_eq(vpm_create(&fix.vm), VMK_OK);
    ck_assert_uint_eq(in_size(0x604, 2), 1);
    out_size(0x604, 2, 5 << 10);
    ck_assert_ptr_null(fix.stop_reason);
    ck_assert_uint_eq(in_size(0x604, 2), 5 << 10 | 1);
    out_size(0x604, 2, 1 << 10 | 1 << 13);  // another sleep state: nothing
    ck_assert_ptr_null(fix.stop_reason);
    out_size(0x604, 2, 1 << 13);
    ck_assert_str_eq(fix.stop_reason, "powered off by the guest");
    vpm_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vpm_button__sci_until_cleared)
{
    ck_assert_int_eq(vpm_create(&fix.vm), VMK_OK);
    out_size(0x602, 2, 0xffff);
    ck_assert_uint_eq(in_size(0x602, 2), 0x0721);
    fix.locked = true;
    vpm_power_button_locked(fix.vm.pm);
    fix.locked = false;
    ck_assert(fix.line[9]);
    ck_assert_uint_eq(in_size(0x600, 2), 0x100);
    out_size(0x600, 2, 0x100);
    ck_assert(!fix.line[9]);
    vpm_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vpm_reset__keyboard_controller)
{
    ck_assert_int_eq(vpm_create(&fix.vm), VMK_OK);
    ck_assert_uint_eq(in8(0x64), 0xff);
    ck_assert_uint_eq(in8(0x60), 0xff);
    out8(0x64, 0xd1);
    ck_assert_ptr_null(fix.reset_reason);
    out8(0x64, 0xfe);
    ck_assert_ptr_nonnull(fix.reset_reason);
    vpm_destroy(&fix.vm);
}
END_TEST

START_TEST(test_debug_exit__any_width)
{
    ck_assert_int_eq(debug_exit_create(&fix.vm), VMK_OK);
    out8(0xf4, 7);
    ck_assert_int_eq(fix.stop_status, 7);
    out_size(0xf4, 2, 0x1234);
    ck_assert_int_eq(fix.stop_status, 0x1234);
    out_size(0xf4, 4, 0xffffffff);
    ck_assert_int_eq(fix.stop_status, -1);
}
END_TEST

static bool backdoor(uint32_t command)
{
    fix.vcpu.regs.gpr[GPR_RAX] = 0xdead0000564d5868;
    fix.vcpu.regs.gpr[GPR_RBX] = 0xffffffffffffffff;
    fix.vcpu.regs.gpr[GPR_RCX] = command;
    fix.vcpu.regs.gpr[GPR_RDX] = 0x5658;
    fix.vcpu.regs.gpr[GPR_RSI] = 0x123456789abcdef0;
    return vcpu_backdoor(&fix.vcpu, 0x5658, true);
}

START_TEST(test_backdoor__version_hertz_memory)
{
    uint64_t *gpr = fix.vcpu.regs.gpr;

    ck_assert(backdoor(10));
    ck_assert_uint_eq(gpr[GPR_RAX], 6);
    ck_assert_uint_eq(gpr[GPR_RBX], 0x564d5868);
    ck_assert_uint_eq(gpr[GPR_RCX], 2);
    ck_assert_uint_eq(gpr[GPR_RSI], 0x123456789abcdef0);
    ck_assert(backdoor(45));
    ck_assert_uint_eq(gpr[GPR_RBX] << 32 | gpr[GPR_RAX], 5000000000ull);
    ck_assert_uint_eq(gpr[GPR_RCX], 1000000000);
    ck_assert(backdoor(20));
    ck_assert_uint_eq(gpr[GPR_RAX], FIX_RAM >> 20);
    ck_assert(backdoor(68));
    ck_assert_uint_eq(gpr[GPR_RAX], 8);
    ck_assert(backdoor(46));
    ck_assert_uint_eq(gpr[GPR_RSI] << 32 | gpr[GPR_RDX], fix.wall + 5);
    ck_assert(backdoor(0xffff));
    ck_assert_uint_eq(gpr[GPR_RAX], 0xffffffff);
}
END_TEST

START_TEST(test_backdoor__without_magic_is_no_call)
{
    fix.vcpu.regs.gpr[GPR_RAX] = 1;
    ck_assert(!vcpu_backdoor(&fix.vcpu, 0x5658, true));
    fix.vcpu.regs.gpr[GPR_RAX] = 0x564d5868;
    ck_assert(!vcpu_backdoor(&fix.vcpu, 0x5659, true));
    ck_assert(!vcpu_backdoor(&fix.vcpu, 0x5658, false));
}
END_TEST

TEST_MAIN("vpm", test_vpm_timer__counts_at_its_frequency, test_vpm_control__sci_en_and_s5,
          test_vpm_button__sci_until_cleared, test_vpm_reset__keyboard_controller,
          test_debug_exit__any_width, test_backdoor__version_hertz_memory,
          test_backdoor__without_magic_is_no_call)
