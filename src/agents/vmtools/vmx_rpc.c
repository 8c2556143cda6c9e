// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/vmx_rpc.c -- the guest's remote calls through the backdoor: channels of messages.
 *
 * A guest opens a channel for the protocol "RPCI", sends the length of a command and its bytes,
 * four at a time in EBX, and reads the length and the bytes of the answer likewise. An answer
 * begins with "1 " (done) or "0 " (not). Understood are
 *
 *     log TEXT                    a line in vmware.log
 *     info-set guestinfo.K V      remembered until power-off; "info-set guestinfo.K" forgets
 *     info-get guestinfo.K
 *     machine.id.get              "0 No machine id"
 *
 * Each exchange is an exit that waits for this process: slow, and so not for anything that is
 * often.
 *
 * Invariants
 *   - A message is at most MESSAGE_MAX bytes, there are CHANNELS channels and KEYS keys: a
 *     guest cannot make this process grow.
 *   - A wrong channel, cookie, order or length answers with no status bit set.
 * Locking    none: one thread.
 * Start at   vmx_rpc().
 * Sources    [VMX-BACKDOOR] message types 0..6
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/vmtools/vmx.h"

#define CHANNELS        8u
#define MESSAGE_MAX     65536u
#define KEYS            64u
#define KEY_SIZE        64u
#define VALUE_SIZE      1024u
#define PROTOCOL_COOKIE 0x80000000u
#define STATUS_SUCCESS  0x0001u
#define STATUS_ANSWER   0x0002u

struct channel {
    bool open, answered;
    uint32_t cookie[2];
    uint32_t expected, have;  // of the command
    uint32_t answer_size, taken;
    char *command;
    char answer[VALUE_SIZE + 16];
};

static struct channel channels[CHANNELS];
static struct {
    char key[KEY_SIZE];
    char value[VALUE_SIZE];
} keys[KEYS];
static uint32_t cookies = 0x6f727265;

/* ---- commands ---- */

static void answer(struct channel *c, bool done, const char *text)
{
    c->answer_size =
        (uint32_t)snprintf(c->answer, sizeof(c->answer), "%c %s", done ? '1' : '0', text);
    if (c->answer_size >= sizeof(c->answer))
        c->answer_size = sizeof(c->answer) - 1;
    c->taken = 0;
    c->answered = true;
}

static int key_find(const char *key)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].key, key) == 0)
            return (int)i;
    }
    return -1;
}

/* Text of the guest as a part of a line: one line, and nothing that a terminal would obey. */
static const char *plain(const char *text, char *out, size_t room)
{
    size_t n = 0;

    for (; *text && n < room - 1; text++)
        out[n++] = (unsigned char)*text >= ' ' && *text != 127 ? *text : '?';
    out[n] = 0;
    return out;
}

static void info_set(struct channel *c, char *arguments)
{
    char key[KEY_SIZE], shown[200];
    char *value = strchr(arguments, ' ');
    int at;

    if (value)
        *value++ = 0;
    at = key_find(arguments);
    if (strncmp(arguments, "guestinfo.", 10) != 0 || strlen(arguments) >= KEY_SIZE) {
        answer(c, false, "Unknown key");
        return;
    }
    if (at < 0)
        at = key_find("");
    if (at < 0 || (value && strlen(value) >= VALUE_SIZE)) {
        answer(c, false, at < 0 ? "Too many keys" : "Value too long");
        return;
    }
    snprintf(keys[at].key, KEY_SIZE, "%s", value ? arguments : "");
    snprintf(keys[at].value, VALUE_SIZE, "%s", value ? value : "");
    vmx_log("Guest: %s = \"%s\"", plain(arguments, key, sizeof(key)),
            plain(value ? value : "", shown, sizeof(shown)));
    answer(c, true, "");
}

static void info_get(struct channel *c, const char *key)
{
    int at = *key ? key_find(key) : -1;

    if (at < 0)
        answer(c, false, "No value found");
    else
        answer(c, true, keys[at].value);
}

static void log_text(const char *text)
{
    char line[512];

    vmx_log("Guest: %s", plain(text, line, sizeof(line)));
}

static void command(struct channel *c)
{
    char *text = c->command;

    if (strncmp(text, "log ", 4) == 0) {
        log_text(text + 4);
        answer(c, true, "");
    } else if (strncmp(text, "info-set ", 9) == 0) {
        info_set(c, text + 9);
    } else if (strncmp(text, "info-get ", 9) == 0) {
        info_get(c, text + 9);
    } else if (strcmp(text, "machine.id.get") == 0) {
        answer(c, false, "No machine id");
    } else {
        answer(c, false, "Unknown command");
    }
}

/* ---- channels ---- */

static void channel_close(struct channel *c)
{
    free(c->command);
    memset(c, 0, sizeof(*c));
}

void vmx_rpc_reset(void)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        channel_close(&channels[i]);
}

static uint32_t open_channel(uint32_t regs[VMK_CALL_REGS])
{
    if ((regs[VMK_REG_BX] & ~PROTOCOL_COOKIE) != VMX_RPC_RPCI)
        return 0;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        struct channel *c = &channels[i];

        if (c->open)
            continue;
        c->open = true;
        c->cookie[0] = cookies += 0x9e3779b9u;
        c->cookie[1] = cookies ^ 0x5bd1e995u;
        regs[VMK_REG_DX] = (regs[VMK_REG_DX] & 0xffff) | i << 16;
        regs[VMK_REG_SI] = c->cookie[0];
        regs[VMK_REG_DI] = c->cookie[1];
        return STATUS_SUCCESS;
    }
    return 0;
}

static uint32_t send_size(struct channel *c, uint32_t size)
{
    if (size > MESSAGE_MAX)
        return 0;
    free(c->command);
    c->command = allocate(size + 1);
    c->expected = size;
    c->have = 0;
    c->answered = false;
    if (size == 0)
        command(c);
    return STATUS_SUCCESS;
}

static uint32_t send_data(struct channel *c, uint32_t word)
{
    uint32_t part = c->expected - c->have < 4 ? c->expected - c->have : 4;

    if (!c->command || part == 0)
        return 0;
    memcpy(c->command + c->have, &word, part);
    c->have += part;
    if (c->have == c->expected)
        command(c);
    return STATUS_SUCCESS;
}

static uint32_t receive_size(struct channel *c, uint32_t regs[VMK_CALL_REGS])
{
    if (!c->answered)
        return STATUS_SUCCESS;  // nothing to receive
    regs[VMK_REG_BX] = c->answer_size;
    regs[VMK_REG_DX] = (regs[VMK_REG_DX] & 0xffff) | VMX_RPC_SEND_SIZE << 16;
    return STATUS_SUCCESS | STATUS_ANSWER;
}

static uint32_t receive_data(struct channel *c, uint32_t regs[VMK_CALL_REGS])
{
    uint32_t part = c->answer_size - c->taken < 4 ? c->answer_size - c->taken : 4;
    uint32_t word = 0;

    if (!c->answered || part == 0)
        return 0;
    memcpy(&word, c->answer + c->taken, part);
    c->taken += part;
    regs[VMK_REG_BX] = word;
    regs[VMK_REG_DX] = (regs[VMK_REG_DX] & 0xffff) | VMX_RPC_SEND_DATA << 16;
    return STATUS_SUCCESS;
}

static uint32_t message(uint32_t regs[VMK_CALL_REGS])
{
    uint32_t type = regs[VMK_REG_CX] >> 16;
    uint32_t number = regs[VMK_REG_DX] >> 16;
    struct channel *c = &channels[number % CHANNELS];

    if (type == VMX_RPC_OPEN)
        return open_channel(regs);
    if (number >= CHANNELS || !c->open || regs[VMK_REG_SI] != c->cookie[0] ||
        regs[VMK_REG_DI] != c->cookie[1])
        return 0;
    switch (type) {
    case VMX_RPC_SEND_SIZE: return send_size(c, regs[VMK_REG_BX]);
    case VMX_RPC_SEND_DATA: return send_data(c, regs[VMK_REG_BX]);
    case VMX_RPC_RECEIVE_SIZE: return receive_size(c, regs);
    case VMX_RPC_RECEIVE_DATA: return receive_data(c, regs);
    case VMX_RPC_RECEIVE_STATUS: c->answered = false; return STATUS_SUCCESS;
    case VMX_RPC_CLOSE: channel_close(c); return STATUS_SUCCESS;
    default: return 0;
    }
}

void vmx_rpc(uint32_t regs[VMK_CALL_REGS])
{
    uint32_t status = message(regs);

    regs[VMK_REG_CX] = (regs[VMK_REG_CX] & 0xffff) | status << 16;
}
