// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests for src/io/disk.c and disk_recover.c over a modelled controller: cutting and
 * bouncing, retries, time-outs, aborts, resets, giving up. The model checks every command
 * against the limits.
 */
#include <string.h>

#include "core/timer.h"
#include "io/disk.h"
#include "io/partition.h"
#include "lib/rng.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define MEDIUM 65536u
#define DEPTH  4u

static struct {
    struct disk_port port;
    struct disk disk;
    struct storage_adapter *adapter;
    char medium[MEDIUM];
    struct timer timers[DEPTH];
    struct disk_command *commands[DEPTH];
    // Faults.
    unsigned lose;         // commands that are never answered
    bool deaf;             // answers come, interrupts do not
    bool answered[DEPTH];  // waiting to be found by poll()
    unsigned fail;         // commands that end as...
    enum disk_result fail_as;
    uint64_t poison;  // whoever touches that byte makes the port fail; 0: nobody
    bool can_abort, reset_helps;
    vmk_status reset_status;
    // What happened.
    enum block_op last_op;
    unsigned issued, flushes, resets, aborts, in_flight, most_in_flight, alone_broken;
} hw;

static void check_limits(const struct disk_command *c)
{
    const struct disk_limits *l = &c->disk->limits;
    uint64_t total = 0;

    ck_assert_uint_le(c->extent_count, l->extents ? l->extents : DISK_EXTENTS_MAX);
    for (unsigned i = 0; i < c->extent_count; i++) {
        const struct disk_extent *e = &c->extents[i];

        ck_assert_uint_gt(e->size, 0);
        if (l->align)
            ck_assert_uint_eq((e->address | e->size) % l->align, 0);
        if (l->extent_max)
            ck_assert_uint_le(e->size, l->extent_max);
        if (l->extent_boundary)
            ck_assert_uint_eq(e->address / l->extent_boundary,
                              (e->address + e->size - 1) / l->extent_boundary);
        if (l->address_max)
            ck_assert_uint_le(e->address + e->size - 1, l->address_max);
        if (l->inner_align && i > 0)
            ck_assert_uint_eq(e->address % l->inner_align, 0);
        if (l->inner_align && i + 1 < c->extent_count)
            ck_assert_uint_eq((e->address + e->size) % l->inner_align, 0);
        total += e->size;
    }
    if (c->op == BLOCK_READ || c->op == BLOCK_WRITE) {
        ck_assert_uint_eq(total, c->size);
        if (l->transfer_max)
            ck_assert_uint_le(c->size, l->transfer_max);
    }
}

static void perform(const struct disk_command *c)
{
    uint64_t at = c->offset;

    for (unsigned i = 0; i < c->extent_count; i++) {
        char *memory = plat_map(paddr_make(c->extents[i].address));

        if (c->op == BLOCK_READ)
            memcpy(memory, hw.medium + at, c->extents[i].size);
        else
            memcpy(hw.medium + at, memory, c->extents[i].size);
        at += c->extents[i].size;
    }
}

static void answer(struct disk_queue *q, struct disk_command *c)
{
    hw.in_flight--;
    if (hw.fail) {
        hw.fail--;
        disk_command_done(q, c, hw.fail_as);
        return;
    }
    perform(c);
    disk_command_done(q, c, DISK_OK);
}

static void due(struct timer *timer)
{
    unsigned tag = (unsigned)(timer - hw.timers);
    struct disk_queue *q = &hw.port.queues[0];
    bool irqs;

    if (hw.deaf) {
        hw.answered[tag] = true;
        return;
    }
    if (!disk_queue_enter(q, &irqs))
        return;
    if (disk_command_of(q, tag) == hw.commands[tag])
        answer(q, hw.commands[tag]);
    disk_queue_leave(q, irqs);
}

static void issue(struct disk_queue *q, struct disk_command *c)
{
    const bool alone = c->op == BLOCK_FLUSH && c->disk->limits.lone_flush;
    static bool lone;

    (void)q;
    check_limits(c);
    hw.issued++;
    hw.last_op = c->op;
    hw.flushes += c->op == BLOCK_FLUSH;
    if (hw.in_flight && (alone || lone))
        hw.alone_broken++;
    lone = alone;
    if (++hw.in_flight > hw.most_in_flight)
        hw.most_in_flight = hw.in_flight;
    hw.commands[c->tag] = c;
    if (hw.poison && c->offset <= hw.poison && hw.poison < c->offset + c->size) {
        disk_port_fail(q->port);
        return;
    }
    if (hw.lose) {
        hw.lose--;
        return;
    }
    timer_arm(&hw.timers[c->tag], plat_time_now() + 1000000);
}

static void poll(struct disk_queue *q)
{
    for (unsigned tag = 0; tag < DEPTH; tag++) {
        if (hw.answered[tag] && disk_command_of(q, tag))
            answer(q, hw.commands[tag]);
        hw.answered[tag] = false;
    }
}

static bool abort_command(struct disk_queue *q, struct disk_command *c)
{
    (void)q;
    hw.aborts++;
    hw.in_flight -= hw.can_abort;
    timer_cancel(&hw.timers[c->tag]);
    return hw.can_abort;
}

static vmk_status reset(struct disk_port *port)
{
    (void)port;
    hw.resets++;
    hw.in_flight = 0;
    for (unsigned i = 0; i < DEPTH; i++)
        timer_cancel(&hw.timers[i]);
    if (hw.reset_helps)
        hw.lose = 0;
    return hw.reset_status;
}

static const struct disk_driver ops = {
    .name = "model", .issue = issue, .poll = poll, .abort = abort_command, .reset = reset};

static void run(void (*entry)(void *), const struct disk_limits *limits)
{
    sim_test_begin_cpus(2);
    hw.disk.block.size = MEDIUM;
    hw.disk.block.can_reserve = true;
    hw.disk.block.block_size = 512;
    if (limits)
        hw.disk.limits = *limits;
    for (unsigned i = 0; i < DEPTH; i++)
        timer_init(&hw.timers[i], due, NULL);
    ck_assert_int_eq(disk_port_init(&hw.port, "model:0", &ops, NULL, 1, DEPTH), VMK_OK);
    ck_assert_int_eq(disk_add(&hw.port, &hw.disk), VMK_OK);
    ck_assert_int_eq(storage_adapter_add("model", "nowhere", "Model", &hw.adapter), VMK_OK);
    ck_assert_int_eq(storage_device_add(hw.adapter, 0, 0, 0, &hw.disk.block,
                                        &(struct storage_inquiry){.model = "M"}),
                     VMK_OK);
    sim_test_run(entry, NULL);
}

#define STATS hw.disk.block.stats

static vmk_status write_text(uint64_t offset, const char *text)
{
    char block[512] = "";

    strcpy(block, text);
    return block_write(&hw.disk.block, offset, block, sizeof(block));
}

/* ---- cutting ---- */

static void random_case(void *argument)
{
    static char shadow[MEDIUM];
    struct block_device *disk = &hw.disk.block;
    struct rng rng;
    mpn_t mpn;
    char *memory;
    static char outside[32768];  // not direct-mapped: always bounced

    (void)argument;
    ck_assert_int_eq(page_alloc_zeroed(4, MEM_OWNER_TEST, &mpn), VMK_OK);
    memory = mpn_map(mpn);
    rng_init(&rng, 1, "test", 0);
    for (unsigned round = 0; round < 400; round++) {
        char *base = rng_below(&rng, 3) ? memory : outside;
        uint32_t size = (1 + (uint32_t)rng_below(&rng, 40)) * 512;
        uint64_t offset = rng_below(&rng, (MEDIUM - size) / 512 + 1) * 512;
        struct block_segment segments[6];
        struct block_request r = {.op = rng_below(&rng, 2) ? BLOCK_READ : BLOCK_WRITE,
                                  .fua = rng_below(&rng, 4) == 0,
                                  .offset = offset,
                                  .size = size,
                                  .segments = segments};
        uint32_t at = 0;
        uint32_t places[7] = {0};

        // Segments with gaps of odd sizes between them.
        for (unsigned i = 0; i < 6 && at < size; i++) {
            uint32_t part = i == 5 ? size - at : 1 + (uint32_t)rng_below(&rng, size - at);

            if (rng_below(&rng, 2) && part < size - at)
                part = (uint32_t)round_up(part, 512) > size - at
                           ? part
                           : (uint32_t)round_up(part, 512);
            places[i] = (uint32_t)(i * 1000 * rng_below(&rng, 2)) + at;
            if (i && places[i] < places[i - 1] + segments[i - 1].size)
                places[i] = places[i - 1] + segments[i - 1].size;
            segments[i] = (struct block_segment){base + places[i], part};
            r.segment_count = i + 1;
            at += part;
        }
        at = 0;
        for (unsigned i = 0; i < r.segment_count; i++) {
            for (uint32_t b = 0; r.op == BLOCK_WRITE && b < segments[i].size; b++)
                shadow[offset + at + b] = base[places[i] + b] = (char)rng_next(&rng);
            at += segments[i].size;
        }
        ck_assert_int_eq(block_io(disk, &r), VMK_OK);
        at = 0;
        for (unsigned i = 0; i < r.segment_count; i++) {
            ck_assert_mem_eq(base + places[i], shadow + offset + at, segments[i].size);
            at += segments[i].size;
        }
        ck_assert_mem_eq(hw.medium, shadow, MEDIUM);
    }
    page_free(mpn, 4, MEM_OWNER_TEST);
}

static const struct disk_limits limit_table[] = {
    {.extents = 1},
    {.transfer_max = 1024, .align = 4},
    {.transfer_max = 8192, .align = 4, .inner_align = 4096, .has_fua = true},
    {.extent_max = 4096, .extent_boundary = 4096, .align = 2, .extents = 3},
    {.align = 512, .lone_flush = true},
    {.no_cache = true, .address_max = UINT32_MAX},
};

START_TEST(test_io__any_segments_and_limits__right_bytes)
{
    run(random_case, &limit_table[_i]);
    ck_assert_uint_eq(hw.alone_broken, 0);
    ck_assert_uint_eq(STATS.errors, 0);
    if (limit_table[_i].has_fua || limit_table[_i].no_cache)
        ck_assert_uint_eq(hw.flushes, 0);
    else
        ck_assert_uint_gt(hw.flushes, 0);
}
END_TEST

/* ---- many at once ---- */

static unsigned over_count;
static void count_over(struct block_request *r)
{
    ck_assert_int_eq(r->status, (vmk_status)(uintptr_t)r->context);
    over_count++;
}

static void flood_case(void *argument)
{
    static struct block_request requests[40];
    static struct block_segment segments[40];
    mpn_t mpn;

    ck_assert_int_eq(page_alloc_zeroed(0, MEM_OWNER_TEST, &mpn), VMK_OK);
    over_count = 0;
    for (unsigned i = 0; i < 40; i++) {
        bool bad = argument && i == 17;

        segments[i] = (struct block_segment){mpn_map(mpn), 512};
        requests[i] =
            (struct block_request){.op = i % 8 == 7 ? BLOCK_FLUSH : BLOCK_WRITE,
                                   .offset = i * 512ull,
                                   .size = 512,
                                   .segments = &segments[i],
                                   .segment_count = 1,
                                   .done = count_over,
                                   .context = (void *)(uintptr_t)(bad ? VMK_IO_ERROR : VMK_OK)};
        block_submit(&hw.disk.block, &requests[i]);
    }
    while (over_count < 40)
        ck_assert_int_eq(world_sleep_until(plat_time_now() + 1000000), VMK_OK);
    page_free(mpn, 0, MEM_OWNER_TEST);
}

START_TEST(test_submit__more_than_the_depth__all_in_flight_and_answered)
{
    run(flood_case, NULL);
    ck_assert_uint_eq(hw.most_in_flight, DEPTH);
    ck_assert_uint_eq(STATS.writes, 35);
}
END_TEST

START_TEST(test_submit__flush_wants_to_be_alone__is)
{
    run(flood_case, &(struct disk_limits){.lone_flush = true});
    ck_assert_uint_eq(hw.alone_broken, 0);
    ck_assert_uint_eq(hw.most_in_flight, DEPTH);
    ck_assert_uint_eq(hw.flushes, 5);
}
END_TEST

static void poison_case(void *argument)
{
    (void)argument;
    hw.poison = 17 * 512 + 1;
    hw.reset_helps = true;
    flood_case(&hw);
}

START_TEST(test_fail__culprit_unknown__only_the_culprit_fails)
{
    run(poison_case, NULL);
    ck_assert_uint_eq(STATS.errors, 1);
    ck_assert_uint_ge(hw.resets, DISK_TRIES_MAX);
}
END_TEST

/* ---- errors ---- */

static void transient_case(void *argument)
{
    (void)argument;
    hw.fail_as = DISK_TRANSIENT;
    hw.fail = DISK_TRIES_MAX - 1;
    ck_assert_int_eq(write_text(512, "fifth time"), VMK_OK);
    ck_assert_str_eq(hw.medium + 512, "fifth time");
    ck_assert_uint_eq(STATS.retries, DISK_TRIES_MAX - 1);
    hw.fail = DISK_TRIES_MAX;
    ck_assert_int_eq(write_text(512, "never"), VMK_IO_ERROR);
    ck_assert_uint_eq(hw.fail, 0);
    ck_assert_uint_eq(STATS.errors, 1);
    ck_assert_int_eq(write_text(512, "well again"), VMK_OK);
    ck_assert_uint_eq(hw.resets, 0);
}

START_TEST(test_error__transient__tried_again_five_times)
{
    run(transient_case, NULL);
}
END_TEST

static void final_case(void *argument)
{
    static const struct {
        enum disk_result result;
        vmk_status status;
    } rows[] = {{DISK_MEDIUM, VMK_IO_ERROR}, {DISK_PROTECTED, VMK_READ_ONLY},
                {DISK_RESERVED, VMK_BUSY},   {DISK_UNSUPPORTED, VMK_UNSUPPORTED},
                {DISK_GONE, VMK_NO_DEVICE},  {DISK_MISCOMPARE, VMK_AGAIN}};

    (void)argument;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        hw.fail = 1;
        hw.fail_as = rows[i].result;
        ck_assert_int_eq(write_text(0, "x"), rows[i].status);
    }
    ck_assert_uint_eq(hw.issued, ARRAY_COUNT(rows));
    ck_assert_uint_eq(STATS.retries, 0);
}

START_TEST(test_error__final__told_at_once)
{
    run(final_case, NULL);
}
END_TEST

/* As vmkfstools -L does it: by the disk's name. */
static void reserve_case(void *argument)
{
    struct block_device *device;
    struct block_device *part;

    (void)argument;
    ck_assert_int_eq(storage_open(hw.disk.block.name, &device), VMK_OK);
    ck_assert_int_eq(block_reserve(device, true), VMK_OK);
    ck_assert_int_eq(hw.last_op, BLOCK_RESERVE);
    ck_assert_int_eq(block_reserve(device, false), VMK_OK);
    ck_assert_int_eq(hw.last_op, BLOCK_RELEASE);
    ck_assert_uint_eq(hw.resets, 0);
    ck_assert_int_eq(block_reset(device), VMK_OK);
    ck_assert_uint_eq(hw.resets, 1);
    ck_assert_int_eq(write_text(0, "it works again"), VMK_OK);
    ck_assert_int_eq(partition_slice(device, "part", 0, 4096, &part), VMK_OK);
    ck_assert_int_eq(block_reserve(part, true), VMK_UNSUPPORTED);
    ck_assert_int_eq(block_reset(part), VMK_UNSUPPORTED);
    storage_close(device);
}

START_TEST(test_reserve__whole_disk_by_name__commands_and_a_reset_reach_the_driver)
{
    run(reserve_case, NULL);
}
END_TEST

/* ---- time-outs ---- */

static void lost_case(void *argument)
{
    (void)argument;
    hw.lose = 1;
    ck_assert_int_eq(write_text(1024, "here after all"), VMK_OK);
    ck_assert_str_eq(hw.medium + 1024, "here after all");
    ck_assert_uint_eq(STATS.retries, 1);
    ck_assert_uint_eq(hw.aborts, 1);
}

START_TEST(test_timeout__abort_works__no_reset)
{
    hw.can_abort = true;
    run(lost_case, NULL);
    ck_assert_uint_eq(hw.resets, 0);
}
END_TEST

START_TEST(test_timeout__abort_fails__reset)
{
    run(lost_case, NULL);
    ck_assert_uint_eq(hw.resets, 1);
    ck_assert_uint_eq(STATS.resets, 1);
}
END_TEST

static void deaf_case(void *argument)
{
    (void)argument;
    hw.deaf = true;
    ck_assert_int_eq(write_text(0, "nobody rang"), VMK_OK);
    ck_assert_str_eq(hw.medium, "nobody rang");
}

START_TEST(test_timeout__interrupt_lost__found_by_looking)
{
    run(deaf_case, NULL);
    ck_assert_uint_eq(hw.aborts + hw.resets, 0);
    ck_assert_uint_eq(STATS.retries, 0);
}
END_TEST

static void dead_case(void *argument)
{
    struct block_device *again;

    (void)argument;
    hw.lose = 1000000;
    // Five tries, then another request finds the port beyond help.
    ck_assert_int_eq(write_text(0, "x"),
                     hw.reset_status == VMK_OK ? VMK_TIMEOUT : VMK_NO_DEVICE);
    ck_assert_int_eq(write_text(0, "x"), VMK_NO_DEVICE);
    ck_assert_int_eq(block_flush(&hw.disk.block), VMK_NO_DEVICE);
    ck_assert_int_eq(storage_open("mpx.vmhba0:C0:T0:L0", &again), VMK_NOT_FOUND);
}

START_TEST(test_timeout__resets_do_not_help__given_up)
{
    run(dead_case, NULL);
    ck_assert_uint_eq(hw.resets, DISK_RESETS_MAX);
}
END_TEST

START_TEST(test_reset__fails__tried_again_then_given_up)
{
    hw.reset_status = VMK_TIMEOUT;
    run(dead_case, NULL);
    ck_assert_uint_eq(hw.resets, DISK_RESETS_MAX);
}
END_TEST

START_TEST(test_reset__no_device__given_up_at_once)
{
    hw.reset_status = VMK_NO_DEVICE;
    run(dead_case, NULL);
    ck_assert_uint_eq(hw.resets, 1);
}
END_TEST

static void gone_case(void *argument)
{
    static struct block_request requests[8];
    static char data[512];
    static struct block_segment segment = {data, sizeof(data)};

    (void)argument;
    hw.lose = 1000;
    over_count = 0;
    for (unsigned i = 0; i < 8; i++) {
        requests[i] = (struct block_request){.op = BLOCK_READ,
                                             .size = 512,
                                             .segments = &segment,
                                             .segment_count = 1,
                                             .done = count_over,
                                             .context = (void *)(uintptr_t)VMK_NO_DEVICE};
        block_submit(&hw.disk.block, &requests[i]);
    }
    ck_assert_uint_eq(over_count, 0);
    disk_port_gone(&hw.port);
    while (over_count < 8)
        ck_assert_int_eq(world_sleep_until(plat_time_now() + 1000), VMK_OK);
}

START_TEST(test_gone__requests_in_flight_and_waiting__all_answered)
{
    run(gone_case, NULL);
    ck_assert_uint_eq(hw.resets, 0);
}
END_TEST

/* ---- names ---- */

START_TEST(test_names__odd_characters__underscores)
{
    char name[88];
    char text[41];

    disk_name_t10(name, sizeof(name), "ATA", "QEMU HARDDISK", "QM00001");
    ck_assert_str_eq(name, "t10.ATA_____QEMU_HARDDISK___________________________QM00001_____"
                           "________");
    disk_name_t10(name, sizeof(name), "ATA", "A:B/../C\n", "");
    ck_assert_ptr_null(strpbrk(name + 4, ":/\n"));
    disk_ata_text(text, sizeof(text), "EQUMD SI K  ", 12);
    ck_assert_str_eq(text, "QEMU DISK");
    disk_ata_text(text, 4, "EQUMD SI K  ", 12);
    ck_assert_str_eq(text, "QEM");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("disk");
    TCase *tcase = tcase_create("disk");

    tcase_add_loop_test(tcase, test_io__any_segments_and_limits__right_bytes, 0,
                        (int)ARRAY_COUNT(limit_table));
    tcase_add_test(tcase, test_submit__more_than_the_depth__all_in_flight_and_answered);
    tcase_add_test(tcase, test_submit__flush_wants_to_be_alone__is);
    tcase_add_test(tcase, test_fail__culprit_unknown__only_the_culprit_fails);
    tcase_add_test(tcase, test_error__transient__tried_again_five_times);
    tcase_add_test(tcase, test_error__final__told_at_once);
    tcase_add_test(tcase,
                   test_reserve__whole_disk_by_name__commands_and_a_reset_reach_the_driver);
    tcase_add_test(tcase, test_timeout__abort_works__no_reset);
    tcase_add_test(tcase, test_timeout__abort_fails__reset);
    tcase_add_test(tcase, test_timeout__interrupt_lost__found_by_looking);
    tcase_add_test(tcase, test_timeout__resets_do_not_help__given_up);
    tcase_add_test(tcase, test_reset__fails__tried_again_then_given_up);
    tcase_add_test(tcase, test_reset__no_device__given_up_at_once);
    tcase_add_test(tcase, test_gone__requests_in_flight_and_waiting__all_answered);
    tcase_add_test(tcase, test_names__odd_characters__underscores);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
