// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/trace_port.c -- the way out for traces: an ATA disk by programmed I/O, or COM2.
 *
 * Why a disk on the legacy ports: both emulators have it, one REP OUTSL carries 8 KiB, and it
 * needs neither memory nor interrupts, so it works from a panic. Measured in QEMU: 43 MB/s,
 * against 2 for a debug port and 1.4 for a UART; in Bochs a quarter of the debug port's ticks,
 * and a UART there passes 11 KB per virtual second.
 *
 * Invariants
 *   - Only a disk whose model is PLAT_TRACE_DISK_MODEL is written; it is looked for on the
 *     secondary channel's master, then on the other three places.
 *   - Every wait is bounded; a disk that does not answer is a failure, said once by the caller.
 *   - One command is 128 sectors at most, in blocks of `multiple` sectors per DRQ.
 * Locking    none: the caller has interrupts off and is alone.
 * Sources    [ATA8] READY, IDENTIFY DEVICE, SET MULTIPLE MODE, WRITE MULTIPLE
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "lib/string.h"
#include "plat/plat_dev.h"

#define ATA_COUNT              2
#define ATA_LBA0               3
#define ATA_LBA1               4
#define ATA_LBA2               5
#define ATA_DEVICE             6
#define ATA_STATUS             7  // read
#define ATA_COMMAND            7  // write
#define ATA_CONTROL            0x206

#define STATUS_ERR             0x01u
#define STATUS_DRQ             0x08u
#define STATUS_DF              0x20u
#define STATUS_BSY             0x80u

#define COMMAND_IDENTIFY       0xecu
#define COMMAND_WRITE          0x30u
#define COMMAND_WRITE_MULTIPLE 0xc5u
#define COMMAND_SET_MULTIPLE   0xc6u

#define SECTOR                 512u
#define MULTIPLE               16u
#define COMMAND_MAX            128u
#define SPIN_MAX               2000000u

enum way {
    WAY_NONE,
    WAY_DISK,
    WAY_COM2,
};

static struct {
    enum way way;
    uint16_t base;
    uint8_t device;    // 0xe0 or 0xf0
    uint8_t multiple;  // sectors per DRQ
    uint32_t sectors;  // of the disk
    uint32_t next;     // where the next piece goes
    uint32_t to_go;    // bytes of the running command
    uint32_t block;    // bytes of the running DRQ block
} out;

static uint8_t get(unsigned reg)
{
    return insn_inb((uint16_t)(out.base + reg));
}

static void put(unsigned reg, uint8_t value)
{
    insn_outb((uint16_t)(out.base + reg), value);
}

/*
 * Waits until the device is not busy; true if it then wants what `wanted` says, without an
 * error.
 */
static bool ready(uint8_t wanted)
{
    for (unsigned i = 0; i < SPIN_MAX; i++) {
        uint8_t status = get(ATA_STATUS);

        if (status == 0xff)
            return false;
        if (!(status & STATUS_BSY)) {
            if (status & (STATUS_ERR | STATUS_DF))
                return false;
            if ((status & wanted) == wanted)
                return true;
        }
    }
    return false;
}

static bool identify(uint16_t words[256])
{
    put(ATA_DEVICE, out.device);
    for (unsigned i = 0; i < 4; i++)
        (void)insn_inb(
            (uint16_t)(out.base + ATA_CONTROL));  // 400 ns for the device to be chosen
    if (get(ATA_STATUS) == 0xff || get(ATA_STATUS) == 0)
        return false;
    put(ATA_COMMAND, COMMAND_IDENTIFY);
    if (!ready(STATUS_DRQ))
        return false;
    for (unsigned i = 0; i < 256; i++)
        words[i] = insn_inw(out.base);
    return true;
}

/* IDENTIFY's model is 40 characters in 20 words, the first in the high byte. */
static bool is_ours(const uint16_t words[256])
{
    const char *name = PLAT_TRACE_DISK_MODEL;

    for (unsigned i = 0; name[i]; i++) {
        if ((char)(words[27 + i / 2] >> (i & 1 ? 0 : 8)) != name[i])
            return false;
    }
    return true;
}

static bool disk_open(void)
{
    static const struct {
        uint16_t base;
        uint8_t device;
    } places[] = {{0x170, 0xe0}, {0x170, 0xf0}, {0x1f0, 0xe0}, {0x1f0, 0xf0}};
    uint16_t words[256];

    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        out.base = places[i].base;
        out.device = places[i].device;
        if (!identify(words) || !is_ours(words))
            continue;
        out.sectors = words[60] | (uint32_t)words[61] << 16;
        put(ATA_COUNT, MULTIPLE);
        put(ATA_COMMAND, COMMAND_SET_MULTIPLE);
        out.multiple = ready(0) ? MULTIPLE : 1;
        out.next = 0;
        return true;
    }
    return false;
}

static bool command_begin(uint32_t count)
{
    put(ATA_DEVICE, (uint8_t)(out.device | (out.next >> 24 & 15)));
    put(ATA_COUNT, (uint8_t)count);
    put(ATA_LBA0, (uint8_t)out.next);
    put(ATA_LBA1, (uint8_t)(out.next >> 8));
    put(ATA_LBA2, (uint8_t)(out.next >> 16));
    put(ATA_COMMAND, out.multiple > 1 ? COMMAND_WRITE_MULTIPLE : COMMAND_WRITE);
    out.next += count;
    out.to_go = count * SECTOR;
    out.block = 0;
    return true;
}

static void outs(const void *data, size_t dwords)
{
    __asm__ volatile("rep outsl" : "+S"(data), "+c"(dwords) : "d"(out.base) : "memory");
}

/* The next bytes of the running command; null is zeros. A multiple of 4. */
static bool feed(const uint8_t *data, size_t size)
{
    while (size) {
        if (!out.block) {
            if (!ready(STATUS_DRQ))
                return false;
            out.block = MIN(out.to_go, out.multiple * SECTOR);
        }

        uint32_t n = (uint32_t)MIN((size_t)out.block, size);

        if (data) {
            outs(data, n / 4);
            data += n;
        } else {
            for (uint32_t i = 0; i < n; i += 4)
                insn_outl(out.base, 0);
        }
        out.block -= n;
        out.to_go -= n;
        size -= n;
    }
    return true;
}

/* Head and body have sizes that are multiples of 4 except the body's tail. */
static bool disk_write(const uint8_t *head, size_t head_size, const uint8_t *body,
                       size_t body_size)
{
    size_t total = head_size + body_size;
    uint32_t count = (uint32_t)((total + SECTOR - 1) / SECTOR);
    size_t whole = body_size & ~(size_t)3;
    uint32_t tail = 0;

    if (count > COMMAND_MAX || count > out.sectors || out.next > out.sectors - count)
        return false;
    if (!ready(0))
        return false;
    memcpy(&tail, body + whole, body_size - whole);
    if (!command_begin(count) || !feed(head, head_size) || !feed(body, whole))
        return false;
    if (whole != body_size && !feed((const uint8_t *)&tail, 4))
        return false;
    return feed(NULL, out.to_go) && ready(0);
}

static bool com2_present(void)
{
    insn_outb(0x2ff, 0x5a);  // the scratch register
    return insn_inb(0x2ff) == 0x5a;
}

bool plat_trace_out_open(const char *where)
{
    out.way = WAY_NONE;
    if (strcmp(where, "disk") == 0 && disk_open())
        out.way = WAY_DISK;
    else if (strcmp(where, "com2") == 0 && com2_present())
        out.way = WAY_COM2;
    return out.way != WAY_NONE;
}

/* The eight registers of the channel and its control register. */
bool plat_port_reserved(uint16_t port)
{
    return out.way == WAY_DISK &&
           ((unsigned)port - out.base < 8u || port == (uint16_t)(out.base + ATA_CONTROL));
}

bool plat_trace_out_write(const void *head, size_t head_size, const void *body,
                          size_t body_size)
{
    switch (out.way) {
    case WAY_DISK: return disk_write(head, head_size, body, body_size);
    case WAY_COM2:
        plat_serial_write(1, head, head_size);
        plat_serial_write(1, body, body_size);
        return true;
    case WAY_NONE: break;
    }
    return false;
}

void plat_trace_out_reset(void)
{
    if (out.way != WAY_DISK)
        return;
    insn_outb((uint16_t)(out.base + ATA_CONTROL),
              4);  // SRST; next goes on behind the piece lost
    clock_delay(10000);
    insn_outb((uint16_t)(out.base + ATA_CONTROL), 0);
    clock_delay(2000000);
    put(ATA_DEVICE, out.device);
    (void)ready(0);
    put(ATA_COUNT, MULTIPLE);
    put(ATA_COMMAND, COMMAND_SET_MULTIPLE);
    out.multiple = ready(0) ? MULTIPLE : 1;
}
