// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_scsi_disk.c -- what each command answers, moves and makes durable.
 *
 * The disk engine over the modelled disk, without an adapter: command blocks as a guest's
 * driver writes them, data in scattered pieces of odd sizes, errors and power cuts from the
 * model.
 */
#include "vmm/dev/scsi_disk.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/endian.h"
#include "sim/model/disk.h"
#include "sim/platform/sim.h"
#include "tests/unit/suite_run.h"

#define DISK_SIZE (8ull << 20)
#define BLOCKS    (DISK_SIZE / 512)

static struct disk_model *model;
static struct block_device shim;  // the model's, with a limit on transfers and discard
static struct scsi_disk disk;
static unsigned done_count, submitted;
static uint8_t data[1 << 20];
static bool refuse_compare;

static void shim_submit(struct block_device *device, struct block_request *r)
{
    (void)device;
    submitted++;
    ck_assert(r->op == BLOCK_FLUSH || r->op == BLOCK_DISCARD || r->op == BLOCK_COMPARE_WRITE ||
              r->size <= shim.max_transfer);
    if (r->op == BLOCK_COMPARE_WRITE && refuse_compare) {
        r->status = VMK_AGAIN;
        r->done(r);
        return;
    }
    if (r->op == BLOCK_DISCARD) {
        r->status = VMK_OK;
        r->done(r);
        return;
    }
    disk_model_device(model)->ops->submit(disk_model_device(model), r);
}

static const struct block_ops shim_ops = {.submit = shim_submit};

static void start(void)
{
    sim_test_begin();
    model = disk_model_create("model", DISK_SIZE);
    shim = *disk_model_device(model);
    shim.ops = &shim_ops;
    shim.max_transfer = 65536;
    shim.can_discard = true;
    scsi_disk_init(&disk, &shim, 1, 0x0123456789abcdefull);
    done_count = submitted = 0;
    refuse_compare = false;
    memset(data, 0, sizeof(data));
}

static void stop(void)
{
    disk_model_destroy(model);
}

static void done(struct scsi_task *task)
{
    (void)task;
    done_count++;
}

/* Carries out a command with `size` bytes of `data` in pieces of `piece` bytes. */
static struct scsi_task command(const uint8_t *cdb, unsigned cdb_size, size_t size,
                                size_t piece)
{
    static struct block_segment segments[4096];
    struct scsi_task t = {.disk = &disk, .cdb_size = cdb_size, .done = done};
    unsigned before = done_count;

    memcpy(t.cdb, cdb, cdb_size);
    t.segments = segments;
    for (size_t at = 0; at < size; at += piece)
        segments[t.segment_count++] = (struct block_segment){
            .data = data + at, .size = (uint32_t)(size - at < piece ? size - at : piece)};
    scsi_disk_start(&t);
    ck_assert_uint_eq(done_count, before + 1);
    ck_assert_int_eq(t.status == SCSI_CHECK_CONDITION, t.sense_size != 0);
    return t;
}

/* Sense key, additional code and qualifier. */
static uint32_t sense(const struct scsi_task *t)
{
    return t->sense_size ? (uint32_t)(t->sense[2] << 16 | t->sense[12] << 8 | t->sense[13]) : 0;
}

static struct scsi_task transfer_16(uint8_t op, uint8_t flags, uint64_t lba, uint32_t count,
                                    size_t size, size_t piece)
{
    uint8_t cdb[16] = {op, flags};

    put_be64(cdb + 2, lba);
    put_be32(cdb + 10, count);
    return command(cdb, 16, size, piece);
}

static void fill(size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 13 + i / 512 + seed);
}

static void check_filled(size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        ck_assert_uint_eq(data[i], (uint8_t)(i * 13 + i / 512 + seed));
}

START_TEST(test_scsi__inquiry__names_and_pages)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
    uint8_t cdb[6] = {0x12, 0, 0, 0, 255};
    struct scsi_task t = command(cdb, 6, 255, 100);

    ck_assert_uint_eq(t.status, SCSI_GOOD);
    ck_assert_uint_eq(t.transferred, 36);
    ck_assert_mem_eq(data + 8, "VMware  Virtual disk    2.0 ", 28);
    for (size_t i = 0; i < sizeof(pages); i++) {
        cdb[1] = 1;
        cdb[2] = pages[i];
        t = command(cdb, 6, 255, 255);
        ck_assert_uint_eq(t.status, SCSI_GOOD);
        ck_assert_uint_eq(data[1], pages[i]);
        ck_assert_uint_eq(t.transferred, be16(data + 2) + 4u);
    }
    cdb[2] = 0x80;
    (void)command(cdb, 6, 255, 255);
    ck_assert_mem_eq(data + 4, "0123456789abcdef", 16);
    cdb[2] = 0x83;
    (void)command(cdb, 6, 255, 255);
    ck_assert_uint_eq(be64(data + 16), 0x0123456789abcdefull);
    cdb[2] = 0x42;
    t = command(cdb, 6, 255, 255);
    ck_assert_uint_eq(sense(&t), 0x052400);
    // A short allocation length cuts the answer.
    cdb[1] = cdb[2] = 0;
    cdb[4] = 5;
    t = command(cdb, 6, 255, 255);
    ck_assert_uint_eq(t.transferred, 5);
}
END_TEST

START_TEST(test_scsi__capacity_and_mode__tell_size_cache_and_protection)
{
    uint8_t capacity[10] = {0x25}, mode[10] = {0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 192};
    uint8_t mode_6[6] = {0x1a, 0, 0x08, 0, 192}, luns[12] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64};
    struct scsi_task t = command(capacity, 10, 8, 8);

    ck_assert_uint_eq(be32(data), BLOCKS - 1);
    ck_assert_uint_eq(be32(data + 4), 512);
    t = transfer_16(0x9e, 0x10, 0, 32, 32, 32);
    ck_assert_uint_eq(be64(data), BLOCKS - 1);
    ck_assert_uint_eq(be32(data + 8), 512);
    ck_assert_uint_eq(data[14] & 0x80, 0x80);
    t = command(mode, 10, 192, 192);
    ck_assert_uint_eq(t.status, SCSI_GOOD);
    ck_assert_uint_eq(data[3], 0x10);
    ck_assert_uint_eq(be16(data) + 2u, t.transferred);
    shim.read_only = true;
    t = command(mode_6, 6, 192, 192);
    ck_assert_uint_eq(data[2], 0x90);
    ck_assert_uint_eq(data[12], 0x08);
    ck_assert_uint_eq(data[14] & 4, 4);  // a write cache: the guest must flush
    t = transfer_16(0x8a, 0, 0, 1, 512, 512);
    ck_assert_uint_eq(sense(&t), 0x072700);
    t = command(luns, 12, 64, 64);
    ck_assert_uint_eq(be32(data), 8);
    ck_assert_uint_eq(be64(data + 8), 0);
}
END_TEST

/*
 * Every read and write command, in pieces that fit no block and transfers longer than the
 * device's.
 */
START_TEST(test_scsi__read_write__any_pieces_any_command)
{
    static const size_t pieces[] = {3, 511, 512, 4096, 70000, 1 << 20};

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        size_t size = pieces[i] < 100 ? 8192 : 300 * 512;
        uint8_t read_10[10] = {0x28, 0, 0, 0, 0, 9}, write_12[12] = {0xaa, 0, 0, 0, 0, 9};
        struct scsi_task t;

        fill(size, (unsigned)i);
        put_be32(write_12 + 6, (uint32_t)(size / 512));
        t = command(write_12, 12, size, pieces[i]);
        ck_assert_uint_eq(t.status, SCSI_GOOD);
        ck_assert_uint_eq(t.transferred, size);
        memset(data, 0, size);
        put_be16(read_10 + 7, (uint16_t)(size / 512));
        t = command(read_10, 10, size, pieces[i]);
        ck_assert_uint_eq(t.transferred, size);
        check_filled(size, (unsigned)i);
    }
    // READ(6): a count of 0 means 256 blocks.
    uint8_t read_6[6] = {0x08, 0, 0, 9, 0};
    struct scsi_task t = command(read_6, 6, 256 * 512, 4096);

    ck_assert_uint_eq(t.transferred, 256 * 512);
}
END_TEST

START_TEST(test_scsi__out_of_range_or_short_memory__nothing_moves)
{
    struct scsi_task t;

    t = transfer_16(0x88, 0, BLOCKS, 1, 512, 512);
    ck_assert_uint_eq(sense(&t), 0x052100);
    t = transfer_16(0x88, 0, UINT64_MAX, 1, 512, 512);
    ck_assert_uint_eq(sense(&t), 0x052100);
    t = transfer_16(0x8a, 0, BLOCKS - 1, UINT32_MAX, 512, 512);
    ck_assert_uint_eq(sense(&t), 0x052100);
    t = transfer_16(0x88, 0, 0, 2, 1023, 1023);
    ck_assert_uint_eq(sense(&t), 0x052400);
    t = transfer_16(0x88, 0, 0, 0, 0, 1);
    ck_assert_uint_eq(t.status, SCSI_GOOD);
    ck_assert_uint_eq(submitted, 0);
    // A command block that is cut short, and one nobody knows.
    uint8_t cdb[16] = {0x88};

    t = command(cdb, 10, 512, 512);
    ck_assert_uint_eq(sense(&t), 0x052000);
    cdb[0] = 0xc1;
    t = command(cdb, 16, 0, 1);
    ck_assert_uint_eq(sense(&t), 0x052000);
}
END_TEST

START_TEST(test_scsi__disk_error__is_a_medium_error_after_what_went_well)
{
    struct scsi_task t;

    disk_model_fail(model, 65536 * 2, 512, 1);
    t = transfer_16(0x88, 0, 0, 512, 512 * 512, 4096);
    ck_assert_uint_eq(sense(&t), 0x031100);
    ck_assert_uint_eq(t.transferred, 2 * 65536);
    disk_model_fail(model, 0, 512, 1);
    t = transfer_16(0x8a, 0, 0, 1, 512, 512);
    ck_assert_uint_eq(sense(&t), 0x030c00);
    disk_model_cut_after(model, 0);
    t = transfer_16(0x8a, 0, 0, 1, 512, 512);
    ck_assert_uint_eq(t.status, SCSI_CHECK_CONDITION);
}
END_TEST

/* What the guest was promised must be there after a power cut in which all else is lost. */
START_TEST(test_scsi__power_cut__fua_and_flushed_stay_the_rest_may_go)
{
    uint8_t flush[10] = {0x35};
    struct scsi_task t;

    fill(512, 1);
    (void)transfer_16(0x8a, 0, 1, 1, 512, 512);
    t = command(flush, 10, 0, 1);
    ck_assert_uint_eq(t.status, SCSI_GOOD);
    fill(512, 2);
    (void)transfer_16(0x8a, 0x08, 2, 1, 512, 512);  // FUA
    fill(512, 3);
    (void)transfer_16(0x8a, 0, 3, 1, 512, 512);
    disk_model_cut_after(model, 0);
    t = transfer_16(0x8a, 0, 4, 1, 512, 512);
    ck_assert_uint_eq(t.status, SCSI_CHECK_CONDITION);
    disk_model_power_on(model, UINT64_MAX);
    for (unsigned lba = 1; lba <= 2; lba++) {
        (void)transfer_16(0x88, 0, lba, 1, 512, 512);
        check_filled(512, lba);
    }
    (void)transfer_16(0x88, 0, 3, 1, 512, 512);
    ck_assert_uint_eq(data[0] | data[1] | data[511], 0);
}
END_TEST

START_TEST(test_scsi__write_same__every_block_and_no_other)
{
    struct scsi_task t;

    fill(512, 5);
    t = transfer_16(0x93, 0, 10, 300, 512, 100);
    ck_assert_uint_eq(t.status, SCSI_GOOD);
    (void)transfer_16(0x88, 0, 9, 302, 302 * 512, 65536);
    ck_assert_uint_eq(data[0] | data[511], 0);
    for (unsigned i = 1; i <= 300; i++) {
        for (unsigned j = 0; j < 512; j++)
            ck_assert_uint_eq(data[i * 512 + j], (uint8_t)(j * 13 + 5));
    }
    ck_assert_uint_eq(data[301 * 512 + 1], 0);
    t = transfer_16(0x93, 0x01, 10, 300, 0, 1);  // no data: zeros
    ck_assert_uint_eq(t.status, SCSI_GOOD);
    (void)transfer_16(0x88, 0, 10, 300, 300 * 512, 65536);
    for (unsigned i = 0; i < 300 * 512; i++)
        ck_assert_uint_eq(data[i], 0);
    t = transfer_16(0x93, 0x01, 0, SCSI_WRITE_SAME_MAX + 1, 0, 1);
    ck_assert_uint_eq(t.status, SCSI_CHECK_CONDITION);
    t = transfer_16(0x93, 0, 0, 1, 511, 511);
    ck_assert_uint_eq(sense(&t), 0x052400);
}
END_TEST

START_TEST(test_scsi__unmap__lists_of_every_length)
{
    uint8_t cdb[10] = {0x42};

    for (unsigned size = 0; size < 8 + 16 * 4; size++) {
        struct scsi_task t;

        memset(data, 0, 128);
        put_be16(data, (uint16_t)(size - 2));
        put_be16(data + 2, (uint16_t)(size < 8 ? 0 : size - 8));
        for (unsigned i = 0; i < 4; i++) {
            put_be64(data + 8 + 16 * i, i * 8);
            put_be32(data + 16 + 16 * i, i == 2 ? 0 : 8);
        }
        put_be16(cdb + 7, (uint16_t)size);
        submitted = 0;
        t = command(cdb, 10, size, 7);
        ck_assert_int_eq(t.status == SCSI_GOOD, size == 0 || size >= 8);
        ck_assert_uint_eq(submitted, size < 24 ? 0 : size < 40 ? 1 : size < 72 ? 2 : 3);
    }
    put_be64(data + 8, BLOCKS);
    put_be16(cdb + 7, 24);
    put_be16(data + 2, 16);
    put_be32(data + 16, 1);

    struct scsi_task t = command(cdb, 10, 24, 24);

    ck_assert_uint_eq(sense(&t), 0x052100);
}
END_TEST

START_TEST(test_scsi__compare_write__miscompare_is_told)
{
    uint8_t cdb[16] = {0x89, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1};
    struct scsi_task t;

    shim.can_compare_write = disk_model_device(model)->can_compare_write;
    if (!shim.can_compare_write)
        shim.can_compare_write = true;
    refuse_compare = true;
    t = command(cdb, 16, 1024, 100);
    ck_assert_uint_eq(sense(&t), 0x0e1d00);
    t = command(cdb, 16, 1023, 100);
    ck_assert_uint_eq(sense(&t), 0x052400);
    shim.can_compare_write = false;
    t = command(cdb, 16, 1024, 100);
    ck_assert_uint_eq(sense(&t), 0x052000);
}
END_TEST

START_TEST(test_scsi__reset__next_command_hears_of_it_once)
{
    uint8_t ready[6] = {0}, inquiry[6] = {0x12, 0, 0, 0, 36};
    struct scsi_task t;

    scsi_disk_attention(&disk);
    t = command(inquiry, 6, 36, 36);
    ck_assert_uint_eq(t.status, SCSI_GOOD);
    t = command(ready, 6, 0, 1);
    ck_assert_uint_eq(sense(&t), 0x062903);
    t = command(ready, 6, 0, 1);
    ck_assert_uint_eq(t.status, SCSI_GOOD);
}
END_TEST

int main(void)
{
    static const TTest *const *const tests[] = {
        &test_scsi__inquiry__names_and_pages,
        &test_scsi__capacity_and_mode__tell_size_cache_and_protection,
        &test_scsi__read_write__any_pieces_any_command,
        &test_scsi__out_of_range_or_short_memory__nothing_moves,
        &test_scsi__disk_error__is_a_medium_error_after_what_went_well,
        &test_scsi__power_cut__fua_and_flushed_stay_the_rest_may_go,
        &test_scsi__write_same__every_block_and_no_other,
        &test_scsi__unmap__lists_of_every_length,
        &test_scsi__compare_write__miscompare_is_told,
        &test_scsi__reset__next_command_hears_of_it_once,
    };
    Suite *suite = suite_create("scsi_disk");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, start, stop);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(all, *tests[i]);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
