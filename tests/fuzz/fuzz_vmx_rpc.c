// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_vmx_rpc.c -- any guest at the vmx's remote calls: registers as it likes.
 *
 * The input is a list of exchanges. Most use a channel that is open with its cookie, so that
 * inputs get as far as commands; the rest are plain registers. What must hold: an answer begins
 * with "1 " or "0 " and ends where it says, and a line of the log is one line, whatever the
 * guest sent.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/vmtools/vmtools.h"
#include "agents/vmtools/vmx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPENED_MAX 8u

static const uint8_t *input;
static size_t left;
static struct {
    uint32_t number, si, di;
} opened[OPENED_MAX];
static unsigned opened_count;

void *allocate(size_t size)
{
    void *p = calloc(1, size);

    if (!p)
        abort();
    return p;
}

void vmx_log(const char *format, ...)
{
    char line[4096];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (const char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            abort();  // a line of its own, or something a terminal obeys
}

static uint32_t take(size_t bytes)
{
    uint32_t value = 0;

    for (; bytes; bytes--) {
        value = value << 8 | (left ? *input++ : 0u);
        left -= left != 0;
    }
    return value;
}

/* One exchange on an open channel; the status, and EBX in *bx. */
static uint32_t exchange(unsigned which, uint32_t type, uint32_t *bx)
{
    uint32_t regs[VMK_CALL_REGS] = {0};

    regs[VMK_REG_BX] = *bx;
    regs[VMK_REG_CX] = type << 16 | 0x1e;
    regs[VMK_REG_DX] = opened[which].number << 16;
    regs[VMK_REG_SI] = opened[which].si;
    regs[VMK_REG_DI] = opened[which].di;
    vmx_rpc(regs);
    *bx = regs[VMK_REG_BX];
    return regs[VMK_REG_CX] >> 16;
}

static void open_one(void)
{
    uint32_t regs[VMK_CALL_REGS] = {0};

    regs[VMK_REG_BX] = VMX_RPC_RPCI;
    regs[VMK_REG_CX] = VMX_RPC_OPEN << 16;
    vmx_rpc(regs);
    if (!(regs[VMK_REG_CX] >> 16) || opened_count == OPENED_MAX)
        return;
    opened[opened_count].number = regs[VMK_REG_DX] >> 16;
    opened[opened_count].si = regs[VMK_REG_SI];
    opened[opened_count++].di = regs[VMK_REG_DI];
}

/* A whole command, and its whole answer. */
static void say(unsigned which)
{
    static const char *const heads[] = {
        "",          "log ",          "info-set guestinfo.", "info-get guestinfo.",
        "info-set ", "machine.id.get"};
    char text[512], answer[4096];
    size_t length = (size_t)snprintf(text, sizeof(text), "%s", heads[take(1) % 6]);
    size_t more = take(1);
    uint32_t bx;

    for (; more && length < sizeof(text); more--)
        text[length++] = (char)take(1);
    bx = (uint32_t)length;
    if (!exchange(which, VMX_RPC_SEND_SIZE, &bx))
        return;
    for (size_t at = 0; at < length; at += 4) {
        bx = 0;
        memcpy(&bx, text + at, length - at < 4 ? length - at : 4);
        (void)exchange(which, VMX_RPC_SEND_DATA, &bx);
    }
    if (!(exchange(which, VMX_RPC_RECEIVE_SIZE, &bx) & 2))
        abort();  // a command that is whole has an answer
    if (bx < 2 || bx > sizeof(answer) - 4)
        abort();
    length = bx;
    for (size_t at = 0; at < length; at += 4) {
        if (!exchange(which, VMX_RPC_RECEIVE_DATA, &bx))
            abort();
        memcpy(answer + at, &bx, 4);
    }
    if ((answer[0] != '0' && answer[0] != '1') || answer[1] != ' ')
        abort();
    if (exchange(which, VMX_RPC_RECEIVE_DATA, &bx))
        abort();  // nothing behind the end
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    opened_count = 0;
    vmx_rpc_reset();
    while (left) {
        uint32_t what = take(1), bx;

        if (what % 8 == 0 || !opened_count) {
            open_one();
        } else if (what % 8 < 5) {
            say(what / 8 % opened_count);
        } else if (what % 8 < 7) {
            bx = take(1) & 1 ? take(1) : take(4);
            (void)exchange(what / 8 % opened_count, take(1) % 8, &bx);
        } else {
            uint32_t regs[VMK_CALL_REGS];

            for (unsigned i = 0; i < VMK_CALL_REGS; i++)
                regs[i] = take(4);
            vmx_rpc(regs);
        }
    }
    vmx_rpc_reset();
    return 0;
}
