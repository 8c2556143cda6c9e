// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_guest_disk.c -- any guest at the disk adapters: registers, rings, descriptors.
 *
 * The input is a program for the guest: write bytes into the pages where rings and lists lie,
 * set registers of either adapter, kick. The first byte chooses the adapter, and both begin set
 * up, so that most inputs get as far as requests. What must hold: no crash, no byte outside
 * guest memory, nothing in flight at the end.
 */
#include <stdio.h>

#include "tests/unit/disk_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fixture is made for Check; here its assertions end the program. */
void _mark_point(const char *file, int line)
{
    (void)file;
    (void)line;
}

void _ck_assert_failed(const char *file, int line, const char *expression, const char *message,
                       ...)
{
    (void)message;
    fprintf(stderr, "%s:%d: %s\n", file, line, expression);
    abort();
}

#define RINGS 0x10000u
#define PAGES 16u

static void setup_pvscsi(void)
{
    bus_write(BAR, 4, 3);
    for (unsigned i = 0; i < 132; i++)
        bus_write(BAR + 4, 4,
                  i < 2     ? 1
                  : i == 2  ? RINGS >> 12
                  : i == 4  ? (RINGS >> 12) + 1
                  : i == 68 ? (RINGS >> 12) + 2
                            : 0);
}

static void setup_virtio(void)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
    } writes[] = {{0x14, 1, 0},
                  {0x14, 1, 3},
                  {0x08, 4, 0},
                  {0x0c, 4, 1u << 28},
                  {0x08, 4, 1},
                  {0x0c, 4, 1},
                  {0x14, 1, 11},
                  {0x18, 2, 16},
                  {0x20, 8, RINGS},
                  {0x28, 8, RINGS + 0x1000},
                  {0x30, 8, RINGS + 0x2000},
                  {0x1c, 2, 1},
                  {0x14, 1, 15}};

    for (size_t i = 0; i < ARRAY_COUNT(writes); i++)
        bus_write(BAR + writes[i].at, writes[i].size, writes[i].value);
}

/* One step of the program; how many bytes of it were used, 0: the end. */
static size_t step(const uint8_t *in, size_t size)
{
    unsigned length = in[0] & 0x3f;
    uint8_t bytes[64];

    if (size < 4)
        return 0;
    switch (in[0] >> 6) {
    case 0:  // memory
    case 1:
        if (size < 3u + length)
            return 0;
        memcpy(bytes, in + 3, length);
        guest_put(RINGS + (in[1] % PAGES << 12) + (unsigned)in[2] * 8 + (in[0] & 1) * 0x800,
                  bytes, length);
        return 3 + length;
    case 2:  // a register
        if (size < 8)
            return 0;
        {
            uint64_t value = le32(in + 4);

            (void)vm_mmio_access(vm, cpu, gpa_make(BAR + (le16(in + 1) & 0x7fff)),
                                 1u << (in[3] & 3), in[3] & 4, &value);
        }
        return 8;
    default:  // a kick of either kind
        bus_write(BAR + 0x4018, 4, 0);
        bus_write(BAR + 0x3000, 2, 0);
        jobs_run();
        return 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    static enum vm_disk_bus bus;

    if (!size)
        return 0;
    if (!made || bus != data[0] % 2) {
        if (made)
            disk_fixture_stop();
        bus = (enum vm_disk_bus)(data[0] % 2);
        disk_fixture_start(bus);
        made = true;
    }
    // The same adapter each time, as after a reset of the VM.
    vm_disks_detach(vm);
    if (vm_disks_attach(vm) != VMK_OK)
        abort();
    config_write(0x10, 4, BAR);
    config_write(4, 2, 6);
    for (unsigned i = 0; i < PAGES; i++) {
        static const uint8_t zero[4096];

        guest_put(RINGS + i * 4096, zero, sizeof(zero));
    }
    if (bus == VM_DISK_SCSI)
        setup_pvscsi();
    else
        setup_virtio();
    for (size_t at = 1; at < size;) {
        size_t used = step(data + at, size - at);

        if (!used)
            break;
        at += used;
    }
    jobs_run();
    return 0;
}
