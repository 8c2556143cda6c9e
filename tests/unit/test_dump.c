// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_dump.c -- a dump is written to a disk, read again, broken, and cut short at every write.
 *
 * Invariants
 *   - Whatever the disk has after a cut, the reader says: none, or a good beginning of what was
 *     written.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "fs/dump/dump.h"
#include "io/io.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"

#define DISK_SIZE (2ull << 20)
#define LINES     3000u

struct gathered {
    char sections[3][256 << 10];
    size_t sizes[3];
};

static const char *const names[] = {"panic", "log", "worlds"};

static bool gather(void *context, const char *section, const void *data, size_t size)
{
    struct gathered *g = context;
    unsigned i = 0;

    while (i < 3 && strcmp(names[i], section) != 0)
        i++;
    ck_assert_uint_lt(i, 3);
    ck_assert_uint_le(g->sizes[i] + size, sizeof(g->sections[i]));
    memcpy(g->sections[i] + g->sizes[i], data, size);
    g->sizes[i] += size;
    return true;
}

static size_t make_text(char *out, size_t room, unsigned seed)
{
    size_t length = 0;

    for (unsigned i = 0; i < LINES && length + 64 < room; i++)
        length += (size_t)snprintf(out + length, room - length, "line %u of %u: %x\n", i, seed,
                                   i * 2654435761u * seed);
    return length;
}

static char text[3][256 << 10];
static size_t lengths[3];
static struct gathered got;

static vmk_status write_dump(struct block_device *device)
{
    struct dump_writer *w = dump_writer_create(device);
    struct dump_header *h;
    vmk_status status;

    ck_assert_ptr_nonnull(w);
    h = dump_writer_header(w);
    *h = (struct dump_header){.cpu = 3, .world = 77, .uptime = 5, .when = 6};
    strcpy(h->reason, "a reason\x1b");
    strcpy(h->place, "file.c:1");
    status = dump_writer_begin(w);
    for (unsigned i = 0; i < 3 && status == VMK_OK; i++) {
        for (size_t at = 0; at < lengths[i] && status == VMK_OK; at += 4000)
            status = dump_writer_add(w, names[i], text[i] + at, MIN(lengths[i] - at, 4000u));
        if (status == VMK_OK)
            status = dump_writer_mark(w, i == 2);
    }
    dump_writer_destroy(w);
    return status;
}

static vmk_status read_dump(struct block_device *device, struct dump_header *h)
{
    const struct dump_source source = {dump_device_read, device, device->size};

    memset(&got, 0, sizeof(got));
    return dump_read(&source, h, gather, &got);
}

static void setup(void)
{
    sim_test_begin();
    for (unsigned i = 0; i < 3; i++)
        lengths[i] = make_text(text[i], sizeof(text[i]), i + 1);
}

START_TEST(test_dump__written__is_read_again)
{
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    struct dump_header h;

    setup();
    ck_assert_int_eq(read_dump(disk_model_device(disk), &h), VMK_NOT_FOUND);
    ck_assert_int_eq(write_dump(disk_model_device(disk)), VMK_OK);
    ck_assert_int_eq(read_dump(disk_model_device(disk), &h), VMK_OK);
    ck_assert_uint_eq(h.flags, DUMP_PACKED | DUMP_WHOLE);
    ck_assert_uint_eq(h.cpu, 3);
    ck_assert_uint_eq(h.world, 77);
    ck_assert_str_eq(h.reason, "a reason?");
    ck_assert_uint_lt(h.stored, h.unpacked / 2);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(got.sizes[i], lengths[i]);
        ck_assert_mem_eq(got.sections[i], text[i], lengths[i]);
    }
}
END_TEST

START_TEST(test_dump__any_bit_of_it_flips__is_noticed)
{
    struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
    struct block_device *device = disk_model_device(disk);
    struct dump_header h;
    uint8_t sector[512];
    uint64_t end;

    setup();
    ck_assert_int_eq(write_dump(device), VMK_OK);
    ck_assert_int_eq(read_dump(device, &h), VMK_OK);
    end = DUMP_HEADER_SIZE + h.stored;
    for (uint64_t at = 0; at < end; at += at < 1024 ? 7 : 997) {
        const uint64_t from = at & ~511ull;

        ck_assert_int_eq(block_read(device, from, sector, 512), VMK_OK);
        sector[at & 511] ^= 0x10;
        ck_assert_int_eq(block_write(device, from, sector, 512), VMK_OK);
        ck_assert_int_ne(read_dump(device, &h), VMK_OK);
        sector[at & 511] ^= 0x10;
        ck_assert_int_eq(block_write(device, from, sector, 512), VMK_OK);
    }
    ck_assert_int_eq(read_dump(device, &h), VMK_OK);
}
END_TEST

START_TEST(test_dump__power_is_cut_at_every_write__what_the_header_tells_of_is_there)
{
    unsigned part = 0, none = 0;

    setup();
    for (uint64_t cut = 0;; cut += 3) {
        struct disk_model *disk = disk_model_create("disk", DISK_SIZE);
        struct block_device *device = disk_model_device(disk);
        struct dump_header h;
        bool done;
        vmk_status status;

        disk_model_cut_after(disk, cut);
        done = write_dump(device) == VMK_OK;
        disk_model_power_on(disk, cut);
        status = read_dump(device, &h);
        if (done) {
            ck_assert_int_eq(status, VMK_OK);
            disk_model_destroy(disk);
            break;
        }
        // The header is eight blocks: a cut between them is a wrong sum, no wrong dump.
        if (status == VMK_OK) {
            part += !(h.flags & DUMP_WHOLE);
            for (unsigned i = 0; i < 3; i++)
                ck_assert_mem_eq(got.sections[i], text[i], got.sizes[i]);
            ck_assert_uint_eq(got.sizes[0], lengths[0]);
        } else {
            ck_assert(status == VMK_NOT_FOUND || status == VMK_CORRUPT);
            none++;
        }
        disk_model_destroy(disk);
    }
    ck_assert_uint_gt(none, 10);
    ck_assert_uint_gt(part, 10);
}
END_TEST

START_TEST(test_dump__partition_too_small__keeps_what_fitted)
{
    struct disk_model *disk = disk_model_create("disk", 48 << 10);
    struct block_device *device = disk_model_device(disk);
    struct dump_header h;

    setup();
    ck_assert_int_eq(write_dump(device), VMK_NO_SPACE);
    ck_assert_int_eq(read_dump(device, &h), VMK_OK);
    ck_assert_uint_eq(h.flags, DUMP_PACKED);
    ck_assert_uint_eq(got.sizes[0], lengths[0]);
    ck_assert_mem_eq(got.sections[0], text[0], lengths[0]);
    ck_assert_uint_lt(got.sizes[2], lengths[2]);
}
END_TEST

KERNEL_TEST_MAIN(
    "dump", RUNS(test_dump__written__is_read_again),
    RUNS(test_dump__any_bit_of_it_flips__is_noticed),
    RUNS(test_dump__power_is_cut_at_every_write__what_the_header_tells_of_is_there),
    RUNS(test_dump__partition_too_small__keeps_what_fitted))
