// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmx_rpc.c -- the guest's remote calls: commands, answers, and what reaches the log.
 *
 * The vmx's own file, with registers as a guest sets them. tests/fuzz/fuzz_vmx_rpc.c sends the
 * rest.
 */
#include "agents/vmtools/vmtools.h"
#include "agents/vmtools/vmx.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/suite_run.h"

static char logged[1024];
static uint32_t channel[VMK_CALL_REGS];

void *allocate(size_t size)
{
    return calloc(1, size);
}

void vmx_log(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(logged, sizeof(logged), format, arguments);
    va_end(arguments);
}

/* One exchange on the open channel; the status. EBX goes in and comes out. */
static uint32_t exchange(uint32_t type, uint32_t *bx)
{
    uint32_t regs[VMK_CALL_REGS];

    memcpy(regs, channel, sizeof(regs));
    regs[VMK_REG_BX] = *bx;
    regs[VMK_REG_CX] = type << 16;
    vmx_rpc(regs);
    *bx = regs[VMK_REG_BX];
    return regs[VMK_REG_CX] >> 16;
}

static void begin(void)
{
    vmx_rpc_reset();
    logged[0] = 0;
    memset(channel, 0, sizeof(channel));
    channel[VMK_REG_BX] = VMX_RPC_RPCI;
    vmx_rpc(channel);
    ck_assert_uint_eq(channel[VMK_REG_CX] >> 16, 1);
}

/* The whole answer to a whole command. */
static const char *say(const char *command)
{
    static char answer[2048];
    uint32_t bx = (uint32_t)strlen(command), size;

    memset(answer, 0, sizeof(answer));
    ck_assert_uint_eq(exchange(VMX_RPC_SEND_SIZE, &bx), 1);
    for (size_t at = 0; at < strlen(command); at += 4) {
        bx = 0;
        memcpy(&bx, command + at, strlen(command) - at < 4 ? strlen(command) - at : 4);
        ck_assert_uint_eq(exchange(VMX_RPC_SEND_DATA, &bx), 1);
    }
    ck_assert_uint_eq(exchange(VMX_RPC_RECEIVE_SIZE, &size), 3);
    ck_assert_uint_lt(size, sizeof(answer) - 4);
    for (uint32_t at = 0; at < size; at += 4) {
        ck_assert_uint_eq(exchange(VMX_RPC_RECEIVE_DATA, &bx), 1);
        memcpy(answer + at, &bx, 4);
    }
    return answer;
}

START_TEST(test_vmx_rpc__info_set__is_kept_and_forgotten)
{
    begin();
    ck_assert_str_eq(say("info-get guestinfo.ip"), "0 No value found");
    ck_assert_str_eq(say("info-set guestinfo.ip 10.0.0.1"), "1 ");
    ck_assert_str_eq(logged, "Guest: guestinfo.ip = \"10.0.0.1\"");
    ck_assert_str_eq(say("info-get guestinfo.ip"), "1 10.0.0.1");
    ck_assert_str_eq(say("info-set guestinfo.ip"), "1 ");
    ck_assert_str_eq(say("info-get guestinfo.ip"), "0 No value found");
    ck_assert_str_eq(say("info-set other.ip 1"), "0 Unknown key");
}
END_TEST

START_TEST(test_vmx_rpc__control_characters__never_reach_the_log)
{
    begin();
    ck_assert_str_eq(say("log one\nline\x1b[2J"), "1 ");
    ck_assert_str_eq(logged, "Guest: one?line?[2J");
    ck_assert_str_eq(say("info-set guestinfo.a\nb x\ny\x7f"), "1 ");
    ck_assert_str_eq(logged, "Guest: guestinfo.a?b = \"x?y?\"");
    ck_assert_str_eq(say("info-get guestinfo.a\nb"), "1 x\ny\x7f");
}
END_TEST

START_TEST(test_vmx_rpc__wrong_cookie_order_or_size__no_status)
{
    uint32_t bx = 65537;

    begin();
    ck_assert_uint_eq(exchange(VMX_RPC_SEND_SIZE, &bx), 0);
    ck_assert_uint_eq(exchange(VMX_RPC_SEND_DATA, &bx), 0);
    ck_assert_uint_eq(exchange(VMX_RPC_RECEIVE_DATA, &bx), 0);
    channel[VMK_REG_SI] ^= 1;
    bx = 4;
    ck_assert_uint_eq(exchange(VMX_RPC_SEND_SIZE, &bx), 0);
    channel[VMK_REG_SI] ^= 1;
    ck_assert_uint_eq(exchange(VMX_RPC_CLOSE, &bx), 1);
    ck_assert_uint_eq(exchange(VMX_RPC_SEND_SIZE, &bx), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmx_rpc");
    TCase *all = tcase_create("vmx_rpc");

    tcase_add_test(all, test_vmx_rpc__info_set__is_kept_and_forgotten);
    tcase_add_test(all, test_vmx_rpc__control_characters__never_reach_the_log);
    tcase_add_test(all, test_vmx_rpc__wrong_cookie_order_or_size__no_status);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
