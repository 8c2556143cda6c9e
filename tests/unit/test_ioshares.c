// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests for src/io/ioshares.c on the modelled disk: shares of throughput, and what being
 * alone or coming back costs.
 */
#include <string.h>

#include "core/heap.h"
#include "io/ioshares.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define CLIENTS 4u
#define QUEUE   24u

struct load {
    uint32_t client, size;
    unsigned depth;
    bool stop;
    uint64_t bytes, requests;
    plat_ns latency;
    unsigned busy;
    struct block_request r[QUEUE];
    struct block_segment segment;
};

static struct block_device *under, *over;
static struct ioshares *shares;
static struct load loads[CLIENTS];
static char data[65536];

static void done(struct block_request *r)
{
    struct load *l = r->context;

    ck_assert_int_eq(r->status, VMK_OK);
    l->bytes += r->size;
    l->requests++;
    l->latency += plat_time_now() - r->submitted;
    l->busy--;
    if (!l->stop) {
        l->busy++;
        block_submit(over, r);
    }
}

static void start(struct load *l, uint32_t client, uint32_t size, unsigned depth)
{
    *l = (struct load){.client = client, .size = size, .depth = depth, .segment = {data, size}};
    for (unsigned i = 0; i < depth; i++) {
        l->r[i] = (struct block_request){.op = i % 2 ? BLOCK_WRITE : BLOCK_READ,
                                         .offset = (uint64_t)i * size % (1u << 20),
                                         .size = size,
                                         .segments = &l->segment,
                                         .segment_count = 1,
                                         .client = client,
                                         .done = done,
                                         .context = l};
        l->busy++;
        block_submit(over, &l->r[i]);
    }
}

static void sleep_ms(unsigned ms)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + ms * 1000000ull), VMK_OK);
}

static void stop(struct load *l)
{
    l->stop = true;
    while (l->busy)
        sleep_ms(1);
}

static void within(uint64_t is, double wanted)
{
    ck_assert_msg((double)is > 0.95 * wanted && (double)is < 1.05 * wanted, "%llu, wanted %.0f",
                  (unsigned long long)is, wanted);
}

static void shares_case(void *argument)
{
    uint64_t total = 0;

    (void)argument;
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(ioshares_set(shares, i + 1, 500u << i), VMK_OK);
    for (unsigned i = 0; i < 3; i++)
        start(&loads[i], i + 1, 4096, QUEUE);
    sleep_ms(2000);
    for (unsigned i = 0; i < 3; i++)
        total += loads[i].requests;
    for (unsigned i = 0; i < 3; i++)
        within(loads[i].requests, (double)total * (1u << i) / 7);
    // The disk was busy all the time: 4 at a time, 100 + 4 us each.
    within(total, 2000e3 / 104 * 4);
    // The strongest leaves: its part goes to the others, 1:2.
    stop(&loads[2]);
    loads[0].requests = loads[1].requests = 0;
    sleep_ms(1000);
    within(loads[1].requests, 2.0 * (double)loads[0].requests);
    // New shares count at once, from the next request on.
    ck_assert_int_eq(ioshares_set(shares, 1, 4000), VMK_OK);
    sleep_ms(100);
    loads[0].requests = loads[1].requests = 0;
    sleep_ms(1000);
    within(loads[0].requests, 4.0 * (double)loads[1].requests);
    stop(&loads[0]);
    stop(&loads[1]);
}

static void sizes_case(void *argument)
{
    (void)argument;
    // Equal shares, one of 64 KB and one of 4 KB: equal cost, so 80 KB against 20.
    ck_assert_int_eq(ioshares_set(shares, 1, 1000), VMK_OK);
    ck_assert_int_eq(ioshares_set(shares, 2, 1000), VMK_OK);
    start(&loads[0], 1, 65536, QUEUE);
    start(&loads[1], 2, 4096, QUEUE);
    sleep_ms(3000);
    within(loads[1].requests, 4.0 * (double)loads[0].requests);
    stop(&loads[0]);
    stop(&loads[1]);
}

static void alone_case(void *argument)
{
    plat_ns with, without;

    (void)argument;
    ck_assert_int_eq(ioshares_set(shares, 1, 1), VMK_OK);  // the fewest there are
    start(&loads[0], 1, 4096, 3);
    sleep_ms(500);
    stop(&loads[0]);
    with = loads[0].latency / loads[0].requests;
    over = under;
    start(&loads[1], 1, 4096, 3);
    sleep_ms(500);
    stop(&loads[1]);
    over = ioshares_device(shares);
    // The disk itself does not note when a request came.
    without = 500000000ull * 3 / loads[1].requests;
    within(with, (double)without);
}

static void back_case(void *argument)
{
    (void)argument;
    ck_assert_int_eq(ioshares_set(shares, 1, 1000), VMK_OK);
    ck_assert_int_eq(ioshares_set(shares, 2, 1000), VMK_OK);
    start(&loads[0], 1, 4096, QUEUE);
    sleep_ms(2000);
    // A sleeper gets half from now on, and nothing for the time it slept.
    start(&loads[1], 2, 4096, QUEUE);
    loads[0].requests = 0;
    sleep_ms(200);
    within(loads[0].requests, (double)loads[1].requests);
    stop(&loads[0]);
    stop(&loads[1]);
}

static void clients_case(void *argument)
{
    (void)argument;
    ck_assert_int_eq(ioshares_set(shares, 1, 0), VMK_BAD_PARAM);
    ck_assert_int_eq(ioshares_set(shares, 1, IOSHARES_MAX + 1), VMK_BAD_PARAM);
    for (uint32_t i = 1; i <= IOSHARES_CLIENTS; i++)
        ck_assert_int_eq(ioshares_set(shares, i, 1000), VMK_OK);
    ck_assert_int_eq(ioshares_set(shares, 1000, 1000), VMK_LIMIT);
    // Strangers are served too.
    start(&loads[0], 1000, 4096, 2);
    sleep_ms(10);
    stop(&loads[0]);
    ck_assert_uint_gt(loads[0].requests, 10);
    ioshares_forget(shares, 7);
    ck_assert_int_eq(ioshares_set(shares, 1000, 1000), VMK_OK);
}

static void error_case(void *argument)
{
    char block[512] = "";

    disk_model_fail(argument, 0, 512, 1);
    ck_assert_int_eq(block_read(over, 0, block, 512), VMK_IO_ERROR);
    ck_assert_uint_eq(over->stats.errors, 1);
    ck_assert_int_eq(block_write(over, 0, block, 512), VMK_OK);
    ck_assert_int_eq(block_flush(over), VMK_OK);
    ck_assert_int_eq(block_discard(over, 0, 512), VMK_OK);
    ck_assert_int_eq(block_compare_write(over, 0, block, block), VMK_OK);
    ck_assert_int_eq(block_read(over, 1 << 20, block, 512), VMK_BAD_PARAM);
}

static void run(void (*entry)(void *))
{
    struct disk_model *model;
    uint64_t held;

    sim_test_begin();
    held = heap_owned(MEM_OWNER_KERNEL);
    model = disk_model_create("model", 1 << 20);
    under = disk_model_device(model);
    disk_model_latency(model, 100000, 1000, 4);
    shares = ioshares_create(under, 4);
    over = ioshares_device(shares);
    sim_test_run(entry, model);
    ioshares_destroy(shares);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_KERNEL), held);
    disk_model_destroy(model);
}

START_TEST(test_shares__one_two_four__throughput_within_five_percent)
{
    run(shares_case);
}
END_TEST

START_TEST(test_shares__large_and_small_requests__equal_cost)
{
    run(sizes_case);
}
END_TEST

START_TEST(test_shares__alone__latency_as_without)
{
    run(alone_case);
}
END_TEST

START_TEST(test_shares__back_from_sleep__no_credit)
{
    run(back_case);
}
END_TEST

START_TEST(test_shares__more_clients_than_slots__still_served)
{
    run(clients_case);
}
END_TEST

START_TEST(test_requests__every_kind_and_errors__passed_on)
{
    run(error_case);
}
END_TEST

KERNEL_TEST_MAIN("ioshares", RUNS(test_shares__one_two_four__throughput_within_five_percent),
                 RUNS(test_shares__large_and_small_requests__equal_cost),
                 RUNS(test_shares__alone__latency_as_without),
                 RUNS(test_shares__back_from_sleep__no_credit),
                 RUNS(test_shares__more_clients_than_slots__still_served),
                 RUNS(test_requests__every_kind_and_errors__passed_on))
