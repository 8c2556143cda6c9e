// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/pvscsi.c -- finds the PVSCSI adapter, sets up its rings, writes to its first disk and reads
 * back.
 *
 * The same program drives QEMU's own pvscsi. It polls; interrupts are for guests with drivers.
 */
#include "guest.h"

const char guest_name[] = "pvscsi";

#define BYTES     65536u
#define POLLS_MAX 20000000u

enum {
    REG_COMMAND = 0x0000,
    REG_DATA = 0x0004,
    REG_STATUS = 0x0008,
    REG_INTR = 0x100c,
    REG_KICK_OTHER = 0x3014,
    REG_KICK_RW = 0x4018
};

static volatile uint32_t state[1024] __attribute__((aligned(4096)));
static uint8_t requests[4096] __attribute__((aligned(4096)));
static volatile uint8_t completions[4096] __attribute__((aligned(4096)));
static uint8_t out[BYTES] __attribute__((aligned(4096))), in[BYTES + 4096];
static volatile uint8_t *bar;
static uint32_t produced;

static uint32_t config_read(unsigned slot, unsigned at)
{
    outl(0xcf8, 0x80000000u | slot << 11 | at);
    return inl(0xcfc);
}

static void config_write(unsigned slot, unsigned at, uint32_t value)
{
    outl(0xcf8, 0x80000000u | slot << 11 | at);
    outl(0xcfc, value);
}

static void reg_write(unsigned at, uint32_t value)
{
    *(volatile uint32_t *)(bar + at) = value;
}

static uint32_t reg_read(unsigned at)
{
    return *(volatile uint32_t *)(bar + at);
}

static bool adapter_find(void)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        if (config_read(slot, 0) != 0x07c015adu)
            continue;
        bar = (volatile uint8_t *)(uintptr_t)(config_read(slot, 0x10) & ~15u);
        config_write(slot, 4, (config_read(slot, 4) & 0xffff) | 6);
        return true;
    }
    return false;
}

static void rings_setup(void)
{
    uint32_t words[132] = {1, 1};

    words[2] = (uint32_t)((uintptr_t)state >> 12);
    words[4] = (uint32_t)((uintptr_t)requests >> 12);
    words[68] = (uint32_t)((uintptr_t)completions >> 12);
    reg_write(REG_COMMAND, 1);  // adapter reset
    reg_write(REG_COMMAND, 3);
    for (unsigned i = 0; i < 132; i++)
        reg_write(REG_DATA, words[i]);
    expect_equal(reg_read(REG_STATUS), 0, "the rings are taken");
}

static void put_64(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* Carries out one command; host status << 8 | SCSI status. */
static uint32_t command(const uint8_t cdb[10], bool to_device, void *data, uint32_t size)
{
    uint8_t *r = requests + produced % 32 * 128;
    const volatile uint8_t *c = completions + produced % 128 * 32;

    for (unsigned i = 0; i < 128; i++)
        r[i] = 0;
    put_64(r, 0x1000 + produced);
    put_64(r + 8, (uintptr_t)data);
    put_64(r + 16, size);
    r[36] = size == 0 ? 4 : to_device ? 16 : 8;
    for (unsigned i = 0; i < 10; i++)
        r[40 + i] = cdb[i];
    r[56] = 10;
    __asm__ volatile("" : : : "memory");
    state[0] = ++produced;
    reg_write(size ? REG_KICK_RW : REG_KICK_OTHER, 0);
    for (unsigned i = 0; i < POLLS_MAX && !(reg_read(REG_INTR) & 1); i++)
        __asm__ volatile("pause");
    reg_write(REG_INTR, 3);
    if (state[3] != produced)
        return 0xffffffff;
    state[4] = produced;
    __asm__ volatile("" : : : "memory");
    return (uint32_t)c[20] << 8 | c[22];
}

void guest_main(void)
{
    static const uint8_t inquiry[10] = {0x12, 0, 0, 0, 36}, ready[10] = {0};
    static const uint8_t write[10] = {0x2a, 0, 0, 0, 0, 7, 0, 0, BYTES / 512};
    static const uint8_t read[10] = {0x28, 0, 0, 0, 0, 7, 0, 0, BYTES / 512};
    static const uint8_t flush[10] = {0x35};
    uint8_t *back = in + 1111;
    bool same = true;

    if (!adapter_find()) {
        expect(false, "a PVSCSI adapter on the bus");
        return;
    }
    rings_setup();
    expect_equal(command(inquiry, false, in, 36), 0, "INQUIRY");
    expect_equal(in[0], 0, "it is a disk");
    (void)command(ready, false, in, 0);  // hears of the reset, if the disk tells
    for (unsigned i = 0; i < BYTES; i++)
        out[i] = (uint8_t)(i * 7 + i / 256);
    expect_equal(command(write, true, out, BYTES), 0, "WRITE");
    expect_equal(command(flush, false, in, 0), 0, "SYNCHRONIZE CACHE");
    expect_equal(command(read, false, back, BYTES), 0, "READ");
    for (unsigned i = 0; i < BYTES; i++)
        same = same && back[i] == out[i];
    expect(same, "what was written is read");
    expect_equal(in[1110] | in[1111 + BYTES], 0, "and nothing beside it");
}
