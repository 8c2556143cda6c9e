// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests for src/io/block.c over the modelled disk, and of that disk's faults: latency and
 * queue depth, power cuts, bit rot, errors.
 */
#include <string.h>

#include "io/block.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define SIZE (1u << 20)

static struct disk_model *model;
static struct block_device *disk;

static void run(void (*entry)(void *), void *argument)
{
    sim_test_begin_cpus(2);
    model = disk_model_create("model", SIZE);
    disk = disk_model_device(model);
    sim_test_run(entry, argument);
    disk_model_destroy(model);
}

/* ---- checks ---- */

static vmk_status answer;
static unsigned answers;
static void note(struct block_request *r)
{
    answer = r->status;
    answers++;
}

static vmk_status submit(struct block_request r)
{
    r.done = note;
    answers = 0;
    block_submit(disk, &r);
    ck_assert_uint_eq(answers, 1);
    return answer;
}

static void bad_case(void *argument)
{
    static char data[2048];
    struct block_segment one = {data, 512};
    struct block_segment two[2] = {{data, 512}, {data + 512, 512}};
    struct block_request r = {
        .op = BLOCK_READ, .size = 512, .segments = &one, .segment_count = 1};
    struct block_request bad;

    (void)argument;
    ck_assert_int_eq(submit(r), VMK_OK);
#define BAD(status, ...)                                                                       \
    bad = r;                                                                                   \
    __VA_ARGS__;                                                                               \
    ck_assert_int_eq(submit(bad), status)
    BAD(VMK_BAD_PARAM, bad.offset = 1);
    BAD(VMK_BAD_PARAM, bad.size = 511);
    BAD(VMK_BAD_PARAM, bad.size = 0);
    BAD(VMK_BAD_PARAM, bad.size = 1024);  // more than the segments have
    BAD(VMK_BAD_PARAM, bad.offset = SIZE);
    BAD(VMK_BAD_PARAM, bad.offset = UINT64_MAX - 511);
    BAD(VMK_BAD_PARAM,
        (bad.size = 1024, bad.offset = SIZE - 512, bad.segments = two, bad.segment_count = 2));
    BAD(VMK_BAD_PARAM, bad.op = BLOCK_COMPARE_WRITE);  // one segment of two
    BAD(VMK_OK, (bad.op = BLOCK_COMPARE_WRITE, bad.segments = two, bad.segment_count = 2));
    disk->can_discard = disk->can_compare_write = false;
    BAD(VMK_UNSUPPORTED, bad.op = BLOCK_DISCARD);
    BAD(VMK_UNSUPPORTED,
        (bad.op = BLOCK_COMPARE_WRITE, bad.segments = two, bad.segment_count = 2));
    disk->read_only = true;
    BAD(VMK_READ_ONLY, bad.op = BLOCK_WRITE);
    BAD(VMK_OK, bad.op = BLOCK_FLUSH);
    ck_assert_uint_eq(disk->stats.reads, 1);
    ck_assert_uint_eq(disk->stats.writes, 0);
}

START_TEST(test_submit__bad_requests__told_and_not_sent)
{
    run(bad_case, NULL);
}
END_TEST

/* ---- waiting ---- */

static void wait_case(void *argument)
{
    static char data[65536];
    plat_ns start = plat_time_now();

    (void)argument;
    disk_model_latency(model, 1000000, 10000, 1);
    ck_assert_int_eq(block_read(disk, 0, data, sizeof(data)), VMK_OK);
    ck_assert_uint_ge(plat_time_now() - start, 1640000);
    ck_assert_uint_lt(plat_time_now() - start, 1740000);
    start = plat_time_now();
    ck_assert_int_eq(block_flush(disk), VMK_OK);
    ck_assert_uint_ge(plat_time_now() - start, 1000000);
    // Cut into what the device takes at a time.
    disk->max_transfer = 4096;
    start = plat_time_now();
    ck_assert_int_eq(block_write(disk, 0, data, sizeof(data)), VMK_OK);
    ck_assert_uint_eq(disk->stats.writes, 16);
    ck_assert_uint_ge(plat_time_now() - start, 16 * 1040000);
    disk_model_latency(model, 0, 0, 0);
    start = plat_time_now();
    ck_assert_int_eq(block_read(disk, 0, data, sizeof(data)), VMK_OK);
    ck_assert_uint_lt(plat_time_now() - start, 100000);
}

START_TEST(test_io__disk_with_latency__waits_and_no_longer)
{
    run(wait_case, NULL);
}
END_TEST

static unsigned finished;
static void reader(void *argument)
{
    char data[512];

    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(block_read(disk, (uint64_t)(uintptr_t)argument * 512, data, 512),
                         VMK_OK);
    __atomic_fetch_add(&finished, 1, __ATOMIC_RELAXED);
}

static void depth_case(void *argument)
{
    const unsigned depth = (unsigned)(uintptr_t)argument;
    world_id ids[40];
    plat_ns start = plat_time_now();
    plat_ns took;
    int code;

    // More waiters than the block layer has wait queues.
    finished = 0;
    disk_model_latency(model, 1000000, 0, depth);
    for (uintptr_t i = 0; i < 40; i++) {
        struct world_params params = {.name = "reader", .entry = reader, .argument = (void *)i};

        ck_assert_int_eq(world_create(&params, &ids[i]), VMK_OK);
    }
    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_eq(world_wait(ids[i], PLAT_NS_NEVER, &code), VMK_OK);
    took = plat_time_now() - start;
    ck_assert_uint_eq(finished, 40);
    ck_assert_uint_ge(took, 800 / depth * 1000000ull);
    ck_assert_uint_lt(took, 800 / depth * 1000000ull * 11 / 10);
}

START_TEST(test_io__many_waiters__as_many_at_a_time_as_the_disk_serves)
{
    static const uintptr_t depths[] = {1, 8, 40};

    run(depth_case, (void *)depths[_i]);
}
END_TEST

/* Ten at once on a disk that serves four: three rounds. One fails, and that is the answer. */
static void batch_case(void *argument)
{
    static char data[10][512];
    struct block_request requests[10];
    struct block_segment segments[10];
    struct block_batch batch;
    plat_ns start = plat_time_now();

    (void)argument;
    disk_model_latency(model, 1000000, 0, 4);
    disk_model_fail(model, 7 * 512, 512, 1);
    block_batch_begin(&batch);
    for (unsigned i = 0; i < 10; i++) {
        memset(data[i], (int)i, 512);
        segments[i] = (struct block_segment){data[i], 512};
        requests[i] = (struct block_request){.op = BLOCK_WRITE,
                                             .offset = i * 512,
                                             .size = 512,
                                             .segments = &segments[i],
                                             .segment_count = 1};
        block_batch_add(&batch, disk, &requests[i]);
    }
    ck_assert_int_eq(block_batch_end(&batch, requests, 10), VMK_IO_ERROR);
    ck_assert_uint_ge(plat_time_now() - start, 3000000);
    ck_assert_uint_lt(plat_time_now() - start, 3300000);
    disk_model_latency(model, 0, 0, 0);
    for (unsigned i = 0; i < 10; i++) {
        char back[512];

        ck_assert_int_eq(requests[i].status, i == 7 ? VMK_IO_ERROR : VMK_OK);
        ck_assert_int_eq(block_read(disk, i * 512, back, 512), VMK_OK);
        ck_assert_int_eq(back[511], i == 7 ? 0 : (char)i);
    }
}

START_TEST(test_batch__ten_writes__at_once_and_each_with_its_status)
{
    run(batch_case, NULL);
}
END_TEST

/* What was written before an FUA write is lost, the write itself is not. */
static void fua_case(void *argument)
{
    char a[512] = "a";
    char back[512];

    (void)argument;
    ck_assert_int_eq(block_write(disk, 0, a, 512), VMK_OK);
    ck_assert_int_eq(block_write_fua(disk, 512, a, 512), VMK_OK);
    disk_model_power_on(model, UINT64_MAX);
    ck_assert_int_eq(block_read(disk, 0, back, 512), VMK_OK);
    ck_assert_int_eq(back[0], 0);
    ck_assert_int_eq(block_read(disk, 512, back, 512), VMK_OK);
    ck_assert_int_eq(back[0], 'a');
}

START_TEST(test_write_fua__power_cut__it_alone_survives)
{
    run(fua_case, NULL);
}
END_TEST

/* ---- compare and write ---- */

static void compare_case(void *argument)
{
    char zero[512] = "";
    char a[512] = "a";
    char b[512] = "b";
    char back[512];

    disk_model_latency(model, argument ? 1000 : 0, 0, 4);
    ck_assert_int_eq(block_compare_write(disk, 512, zero, a), VMK_OK);
    ck_assert_int_eq(block_compare_write(disk, 512, zero, b), VMK_AGAIN);
    ck_assert_int_eq(block_read(disk, 512, back, 512), VMK_OK);
    ck_assert_mem_eq(back, a, 512);
    ck_assert_int_eq(block_compare_write(disk, 512, a, b), VMK_OK);
    ck_assert_uint_eq(disk->stats.compares, 3);
    ck_assert_uint_eq(disk->stats.errors, 0);
}

START_TEST(test_compare_write__expected_or_not__ok_or_again)
{
    run(compare_case, _i ? &answers : NULL);
}
END_TEST

/* ---- the model's faults ---- */

static void faults_case(void *argument)
{
    char data[1024] = "what was written";
    char back[1024];
    uint64_t before;

    (void)argument;
    ck_assert_int_eq(block_write(disk, 2048, data, sizeof(data)), VMK_OK);
    // A bit flips and nobody says so.
    disk_model_rot(model, 2048 + 3, 5);
    ck_assert_int_eq(block_read(disk, 2048, back, sizeof(back)), VMK_OK);
    ck_assert_int_eq(back[3], data[3] ^ 1 << 5);
    disk_model_rot(model, 2048 + 3, 5);
    ck_assert_int_eq(block_read(disk, 2048, back, sizeof(back)), VMK_OK);
    ck_assert_mem_eq(back, data, sizeof(data));
    // Two errors, then well.
    disk_model_fail(model, 2048, 1, 2);
    ck_assert_int_eq(block_read(disk, 4096, back, 512), VMK_OK);
    ck_assert_int_eq(block_read(disk, 2048, back, 512), VMK_IO_ERROR);
    ck_assert_int_eq(block_write(disk, 2048, back, 512), VMK_IO_ERROR);
    ck_assert_int_eq(block_read(disk, 2048, back, 512), VMK_OK);
    ck_assert_uint_eq(disk->stats.errors, 2);
    // The power goes between the two blocks of a write; the disk is away until it is back.
    ck_assert_int_eq(block_flush(disk), VMK_OK);
    before = disk_model_writes(model);
    memset(data, 'x', sizeof(data));
    disk_model_cut_after(model, 1);
    ck_assert_int_eq(block_write(disk, 2048, data, sizeof(data)), VMK_NO_DEVICE);
    ck_assert_int_eq(block_read(disk, 0, back, 512), VMK_NO_DEVICE);
    ck_assert_uint_eq(disk_model_writes(model), before + 1);
    disk_model_power_on(model, 0);
    ck_assert_int_eq(block_read(disk, 2048, back, sizeof(back)), VMK_OK);
    ck_assert(back[0] == 'x' && back[511] == 'x' && back[512] != 'x');
    // What was not flushed may be lost, what was FUA is not.
    struct block_segment segment = {data, 512};
    struct block_request fua = {.op = BLOCK_WRITE,
                                .fua = true,
                                .offset = 8192,
                                .size = 512,
                                .segments = &segment,
                                .segment_count = 1};

    ck_assert_int_eq(block_write(disk, 4096, data, 512), VMK_OK);
    ck_assert_int_eq(block_io(disk, &fua), VMK_OK);
    disk_model_power_on(model, UINT64_MAX);
    ck_assert_int_eq(block_read(disk, 4096, back, 512), VMK_OK);
    ck_assert_int_eq(back[0], 0);
    ck_assert_int_eq(block_read(disk, 8192, back, 512), VMK_OK);
    ck_assert_int_eq(back[0], 'x');
}

START_TEST(test_model__rot_errors_cuts__as_its_fault_model_says)
{
    run(faults_case, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block");
    TCase *tcase = tcase_create("block");

    tcase_add_test(tcase, test_submit__bad_requests__told_and_not_sent);
    tcase_add_test(tcase, test_io__disk_with_latency__waits_and_no_longer);
    tcase_add_loop_test(tcase, test_io__many_waiters__as_many_at_a_time_as_the_disk_serves, 0,
                        3);
    tcase_add_test(tcase, test_batch__ten_writes__at_once_and_each_with_its_status);
    tcase_add_test(tcase, test_write_fua__power_cut__it_alone_survives);
    tcase_add_loop_test(tcase, test_compare_write__expected_or_not__ok_or_again, 0, 2);
    tcase_add_test(tcase, test_model__rot_errors_cuts__as_its_fault_model_says);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
