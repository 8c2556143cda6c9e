// SPDX-License-Identifier: BSD-2-Clause
/* tests/unit/test_memsched.c -- who is entitled to how much memory, and when it is taken. */
#include "mem/memsched.h"

#include <stdio.h>
#include <string.h>

#include "lib/rng.h"
#include "suite_run.h"

#define MB(n) ((uint32_t)((n)*256u))

static struct memsched m;
static unsigned levels_seen;
static uint16_t level_path[64];

static void observed(void *context, const struct memsched_event *event)
{
    (void)context;
    if (event->kind == MEMSCHED_EVENT_LEVEL && levels_seen < 64)
        level_path[levels_seen++] = event->small;
}

static vmk_status put(struct memsched_input input)
{
    return memsched_step(&m, &input);
}

static void ok(struct memsched_input input)
{
    ck_assert_int_eq(put(input), VMK_OK);
}

static void host_of(uint32_t managed, uint32_t swap, uint32_t min_free)
{
    memsched_init(&m);
    m.observer.event = observed;
    levels_seen = 0;
    ok((struct memsched_input){.op = MEMSCHED_HOST, .a = managed, .b = swap, .c = min_free});
}

static void vm(uint32_t id, uint32_t pool, uint32_t shares, uint32_t min, uint32_t size)
{
    ok((struct memsched_input){
        .op = MEMSCHED_VM_ADD, .id = id, .a = pool, .b = shares, .c = min, .d = size});
}

static void used(uint32_t id, uint32_t touched, uint32_t ballooned, uint32_t swapped)
{
    ok((struct memsched_input){.op = MEMSCHED_USAGE,
                               .small = 65,
                               .id = id,
                               .a = touched,
                               .b = ballooned,
                               .c = swapped});
}

/* All periods so far saw this fraction of 100 samples. */
static void active(uint32_t id, uint32_t percent)
{
    for (unsigned i = 0; i < 40; i++)
        ok((struct memsched_input){
            .op = MEMSCHED_SAMPLE, .small = 1, .id = id, .a = percent, .b = 100});
}

static void free_is(uint32_t pages)
{
    ok((struct memsched_input){.op = MEMSCHED_FREE, .a = pages});
}

static const struct memsched_target *target(uint32_t id)
{
    const struct memsched_node *n = memsched_find(&m, id);

    ck_assert_ptr_nonnull(n);
    return &n->target;
}

START_TEST(test_min_free__sizes__sliding_scale)
{
    ck_assert_uint_eq(memsched_min_free(MB(1024)), MB(1024) * 6 / 100);
    ck_assert_uint_eq(memsched_min_free(MB(28 * 1024)) / 256, 901);  // [ESX] 901.1 MB
    ck_assert_uint_eq(memsched_min_free(MB(128 * 1024)) / 256, 1925);
}
END_TEST

START_TEST(test_level__free_falls_and_rises__one_step_at_a_time_with_hysteresis)
{
    static const uint16_t down[] = {MEMSCHED_CLEAR, MEMSCHED_SOFT, MEMSCHED_HARD, MEMSCHED_LOW};

    host_of(MB(1000), 0, 1000);
    free_is(5000);
    ck_assert_int_eq(m.level, MEMSCHED_HIGH);
    free_is(100);
    ck_assert_int_eq(m.level, MEMSCHED_LOW);
    ck_assert_uint_eq(levels_seen, 4);
    ck_assert_mem_eq(level_path, down, sizeof(down));
    free_is(160);  // entered below 160, left 80 above
    ck_assert_int_eq(m.level, MEMSCHED_LOW);
    free_is(239);
    ck_assert_int_eq(m.level, MEMSCHED_LOW);
    free_is(240);
    ck_assert_int_eq(m.level, MEMSCHED_HARD);
    free_is(160);
    ck_assert_int_eq(m.level, MEMSCHED_HARD);
    free_is(1079);
    ck_assert_int_eq(m.level, MEMSCHED_CLEAR);
    free_is(1080);
    ck_assert_int_eq(m.level, MEMSCHED_HIGH);
}
END_TEST

START_TEST(test_price__idle_vm__worked_check_of_the_paper)
{
    host_of(MB(1000), MB(1000), 1000);
    vm(10, MEMSCHED_ROOT_ID, 1000, 0, 1000);
    used(10, 1000, 0, 0);
    active(10, 20);
    free_is(MB(900));
    // 1000 / (1000 * (0.2 + 4 * 0.8)) = 0.294
    ck_assert_uint_ge(target(10)->price, 65536 * 293 / 1000);
    ck_assert_uint_le(target(10)->price, 65536 * 296 / 1000);
}
END_TEST

/* Two equal VMs of 256 MB where 360 MB are to be had, one idle. */
static void two_vms(uint32_t tax, uint32_t *busy, uint32_t *idle)
{
    host_of(MB(400), MB(1000), MB(20));
    ok((struct memsched_input){
        .op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_IDLE_TAX, .a = tax});
    ok((struct memsched_input){.op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_GOAL, .a = 100});
    vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(256));
    vm(11, MEMSCHED_ROOT_ID, 0, 0, MB(256));
    active(10, 100);
    active(11, 10);
    used(10, MB(256), 0, MB(66));
    used(11, MB(256), 0, MB(66));
    free_is(MB(0));
    *busy = target(10)->entitlement;
    *idle = target(11)->entitlement;
}

START_TEST(test_tax__two_vms__idle_pays)
{
    uint32_t busy, idle;

    two_vms(0, &busy, &idle);
    ck_assert_uint_eq(busy + idle, MB(360));
    ck_assert_uint_le(busy - idle, 1);
    two_vms(75, &busy, &idle);
    ck_assert_uint_eq(busy + idle, MB(360));
    ck_assert_uint_eq(busy, MB(256));  // all it can use: idle memory costs four times as much
    ck_assert_uint_eq(idle, MB(104));
}
END_TEST

START_TEST(test_target__not_divisible__all_is_given)
{
    uint32_t sum = 0;

    host_of(MB(10), MB(20), 8);
    for (uint32_t id = 10; id < 13; id++) {
        vm(id, MEMSCHED_ROOT_ID, 7, 0, 1000);
        active(id, 100);
        used(id, 1000, 0, 667);
    }
    free_is(11);  // 3 * 333 and 11, less 10 that stay free
    for (uint32_t id = 10; id < 13; id++)
        sum += target(id)->entitlement;
    ck_assert_uint_eq(sum, 1000);
}
END_TEST

START_TEST(test_target__reservations__hold_whoever_pays_less)
{
    host_of(MB(400), MB(1000), MB(20));
    vm(10, MEMSCHED_ROOT_ID, 1, MB(200), MB(256));
    vm(11, MEMSCHED_ROOT_ID, 100000, 0, MB(256));
    active(10, 0);
    active(11, 100);
    used(10, MB(256), 0, 0);
    used(11, MB(120), 0, 0);
    free_is(0);
    ck_assert_uint_eq(target(10)->entitlement, MB(231));  // 376 - 25 of floor - 120
    used(11, MB(200), 0, 0);
    used(10, MB(256), MB(56), 0);
    ok((struct memsched_input){.op = MEMSCHED_TICK});
    ck_assert_uint_eq(target(10)->entitlement, MB(200));
    ck_assert_uint_eq(target(11)->entitlement, MB(175));
}
END_TEST

START_TEST(test_target__levels__mechanism_by_mechanism)
{
    host_of(MB(1000), MB(1000), MB(100));
    vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(500));
    active(10, 0);
    used(10, MB(500), 0, 0);
    free_is(MB(90));  // clear: nothing is taken yet
    ck_assert_int_eq(m.level, MEMSCHED_CLEAR);
    ck_assert_uint_eq(target(10)->entitlement, MB(465));
    ck_assert_uint_eq(target(10)->balloon + target(10)->swap, 0);
    free_is(MB(60));
    ck_assert_int_eq(m.level, MEMSCHED_SOFT);
    ck_assert_uint_eq(target(10)->balloon, MB(65));
    ck_assert_uint_eq(target(10)->swap, 0);
    used(10, MB(500), MB(20), 0);  // the balloon is slow
    free_is(MB(20));
    ck_assert_int_eq(m.level, MEMSCHED_HARD);
    ck_assert_uint_eq(target(10)->balloon, MB(125));
    ck_assert_uint_eq(target(10)->swap, MB(105));
    ck_assert(!target(10)->blocked);
    free_is(MB(10));
    ck_assert_int_eq(m.level, MEMSCHED_LOW);
    ck_assert(target(10)->blocked);
    // Enough again: nothing more is taken, and the balloon may go.
    used(10, MB(500), MB(100), MB(20));
    free_is(MB(600));
    ck_assert_int_eq(m.level, MEMSCHED_HIGH);
    ck_assert_uint_eq(target(10)->entitlement, MB(500));
    ck_assert_uint_eq(target(10)->balloon + target(10)->swap, 0);
}
END_TEST

START_TEST(test_target__no_driver_or_more_than_it_may__swapping_takes_the_rest)
{
    host_of(MB(1000), MB(1000), MB(100));
    vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(500));
    active(10, 0);
    ok((struct memsched_input){.op = MEMSCHED_USAGE, .id = 10, .a = MB(500)});
    free_is(MB(20));
    ck_assert_uint_eq(target(10)->balloon, 0);
    ck_assert_uint_eq(target(10)->swap, MB(105));
    ok((struct memsched_input){.op = MEMSCHED_USAGE, .small = 10, .id = 10, .a = MB(500)});
    ok((struct memsched_input){.op = MEMSCHED_TICK});
    ck_assert_uint_eq(target(10)->balloon, MB(50));
}
END_TEST

START_TEST(test_pools__shares__first_between_pools_then_inside)
{
    host_of(MB(800), MB(4000), MB(40));
    ok((struct memsched_input){.op = MEMSCHED_POOL_ADD,
                               .small = 1,
                               .id = 5,
                               .a = MEMSCHED_ROOT_ID,
                               .b = 1000,
                               .d = MEMSCHED_UNLIMITED});
    ok((struct memsched_input){.op = MEMSCHED_POOL_ADD,
                               .small = 1,
                               .id = 6,
                               .a = MEMSCHED_ROOT_ID,
                               .b = 2000,
                               .d = MEMSCHED_UNLIMITED});
    for (uint32_t id = 10; id < 14; id++) {
        vm(id, id < 13 ? 5 : 6, id == 10 ? 2000 : 1000, 0, MB(600));
        active(id, 100);
        used(id, MB(600), 0, MB(600) - MB(185));
    }
    free_is(MB(10));
    ck_assert_int_eq(m.level, MEMSCHED_HARD);
    // 740 + 10 - 50 = 700 MB: 1 to 2 between the pools, 2:1:1 inside the first.
    ck_assert_int_le(abs((int)target(13)->entitlement - (int)MB(700) * 2 / 3), 2);
    ck_assert_int_le(abs((int)target(10)->entitlement - (int)MB(700) / 6), 2);
    ck_assert_int_le(abs((int)target(11)->entitlement - (int)MB(700) / 12), 2);
    // A pool's limit gives the rest to the other.
    ok((struct memsched_input){.op = MEMSCHED_SET_MAX, .id = 6, .a = MB(100)});
    ck_assert_uint_eq(target(13)->entitlement, MB(100));
    ck_assert_int_le(abs((int)target(10)->entitlement - (int)MB(300)), 2);
}
END_TEST

/* ---- who gives for whom ---- */

START_TEST(test_due__vm_that_boots_on_a_full_host__others_give_until_all_pay_the_same)
{
    uint32_t touched = MB(10), before;

    host_of(MB(500), MB(1000), MB(20));
    for (uint32_t id = 10; id < 13; id++) {
        vm(id, MEMSCHED_ROOT_ID, 0, 0, MB(200));
        used(id, MB(150), 0, 0);
        active(id, 100);
    }
    vm(13, MEMSCHED_ROOT_ID, 0, 0, MB(200));
    used(13, touched, 0, 0);
    free_is(MB(5));
    // Who is to lose pages gives for himself. The other would pay their price for 145 MB.
    for (uint32_t id = 10; id < 13; id++) {
        ck_assert_uint_lt(target(id)->entitlement, MB(150));
        ck_assert_uint_eq(target(id)->due, target(id)->entitlement);
    }
    ck_assert_uint_eq(target(13)->entitlement, MB(10));
    ck_assert_uint_eq(target(13)->due / 256, (450 - 10 + 5 + 10 - 25 - 10) / 3 + 3);
    for (unsigned i = 0; i < 20; i++) {
        before = touched;
        touched = MIN(target(13)->due, touched + MB(20));
        for (uint32_t id = 10; id < 13; id++)
            used(id, MB(150), 0, MB(150) - (MB(460) - MB(20) - touched) / 3);
        used(13, touched, 0, 0);
        ok((struct memsched_input){.op = MEMSCHED_TICK});
        ck_assert_uint_ge(target(13)->due, target(13)->entitlement);
    }
    // A quarter of 460 + 5 - 20 - 25 MB, and there it stays.
    ck_assert_int_le(abs((int)touched - (int)before), 1);
    ck_assert_int_le(abs((int)touched - (int)MB(105)), 8);
    ck_assert_int_le(abs((int)target(10)->entitlement - (int)MB(105)), 8);
}
END_TEST

START_TEST(test_due__alone_or_idle__gives_its_own)
{
    host_of(MB(400), MB(1000), MB(20));
    vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(500));
    active(10, 10);
    used(10, MB(380), 0, 0);
    free_is(MB(5));
    // Nobody else is there who could give.
    ck_assert_uint_lt(target(10)->entitlement, MB(380));
    ck_assert_uint_eq(target(10)->due, target(10)->entitlement);
    // Of two alike one does not work: the other may have what idle pages cost.
    vm(11, MEMSCHED_ROOT_ID, 0, 0, MB(500));
    active(11, 100);
    used(10, MB(200), 0, 0);
    used(11, MB(180), 0, 0);
    free_is(MB(5));
    ok((struct memsched_input){.op = MEMSCHED_TICK});
    ck_assert_uint_eq(target(10)->due, target(10)->entitlement);
    ck_assert_uint_gt(target(11)->due, MB(250));
    // With plenty of memory anybody may grow to his size.
    free_is(MB(300));
    ck_assert_uint_eq(target(10)->due, MB(500));
    ck_assert_uint_eq(target(11)->due, MB(500));
}
END_TEST

START_TEST(test_due__in_a_pool__no_more_than_to_the_pool)
{
    host_of(MB(800), MB(4000), MB(40));
    for (uint32_t id = 5; id < 7; id++)
        ok((struct memsched_input){.op = MEMSCHED_POOL_ADD,
                                   .small = 1,
                                   .id = id,
                                   .a = MEMSCHED_ROOT_ID,
                                   .b = 1000,
                                   .d = MEMSCHED_UNLIMITED});
    for (uint32_t id = 10; id < 13; id++) {
        vm(id, id == 10 ? 5 : 6, 0, 0, MB(700));
        active(id, 100);
    }
    used(10, MB(500), 0, 0);
    used(11, MB(150), 0, 0);
    used(12, MB(100), 0, 0);
    free_is(MB(10));
    // 760 - 50 MB: the first pool has 460 and loses 40, to the second 210 more are due.
    ck_assert_uint_eq(target(10)->due, target(10)->entitlement);
    ck_assert_uint_eq(target(10)->entitlement, MB(460));
    ck_assert_uint_eq(target(11)->entitlement, MB(150));
    ck_assert_uint_eq(target(11)->due, MB(150 + 210));
    ck_assert_uint_eq(target(12)->due, MB(100 + 210));
}
END_TEST

/* ---- limits ---- */

static void limit(uint32_t id, uint32_t max)
{
    ok((struct memsched_input){.op = MEMSCHED_SET_MAX, .id = id, .a = max});
}

START_TEST(test_limit__host_has_plenty__balloon_below_it_and_swap_at_it)
{
    host_of(MB(4000), MB(4000), MB(100));
    vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(400));
    limit(10, MB(200));
    free_is(MB(3000));
    used(10, MB(190), 0, 0);
    ck_assert_uint_eq(target(10)->balloon, 0);
    // The balloon begins 3 % below the limit, at once, not at the next reallocation.
    used(10, MB(198), 0, 0);
    ck_assert_int_eq(m.level, MEMSCHED_HIGH);
    ck_assert_uint_eq(target(10)->balloon, MB(4));
    ck_assert_uint_eq(target(10)->swap, 0);
    ck_assert(!target(10)->blocked);
    // A guest that is faster than its balloon loses what is above the limit, and not more.
    used(10, MB(230), MB(10), 0);
    ck_assert_uint_eq(target(10)->balloon, MB(36));
    ck_assert_uint_eq(target(10)->swap, MB(20));
    ck_assert(target(10)->blocked);
    used(10, MB(230), MB(36), 0);
    ck_assert_uint_eq(target(10)->swap, 0);
    ck_assert(!target(10)->blocked);
    ok((struct memsched_input){.op = MEMSCHED_TICK});
    ck_assert_uint_eq(target(10)->balloon, MB(36));
    ck_assert_uint_eq(target(10)->swap, 0);
}
END_TEST

START_TEST(test_limit__no_driver_or_no_balloon__swap_alone)
{
    host_of(MB(4000), MB(4000), MB(100));
    vm(10, MEMSCHED_ROOT_ID, 0, MB(50), MB(400));
    limit(10, MB(100));
    free_is(MB(3000));
    ok((struct memsched_input){.op = MEMSCHED_USAGE, .id = 10, .a = MB(300)});
    ck_assert_uint_eq(target(10)->balloon, 0);
    ck_assert_uint_eq(target(10)->swap, MB(200));
    ok((struct memsched_input){.op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_BALLOON, .a = 0});
    used(10, MB(300), 0, 0);
    ck_assert_uint_eq(target(10)->balloon, 0);
    ck_assert_uint_eq(target(10)->swap, MB(200));
    // What sharing saves is not held.
    ok((struct memsched_input){.op = MEMSCHED_USAGE, .id = 10, .a = MB(300), .d = MB(150)});
    ck_assert_uint_eq(target(10)->swap, MB(50));
    ok((struct memsched_input){.op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_SWAP, .a = 0});
    used(10, MB(300), 0, 0);
    ck_assert_uint_eq(target(10)->swap, 0);
    ck_assert(target(10)->blocked);
}
END_TEST

START_TEST(test_limit__changed_while_it_runs__holds_at_once)
{
    host_of(MB(4000), MB(4000), MB(100));
    vm(10, MEMSCHED_ROOT_ID, 0, MB(50), MB(400));
    free_is(MB(3000));
    used(10, MB(300), 0, 0);
    ck_assert_uint_eq(target(10)->balloon, 0);
    limit(10, MB(200));
    ck_assert_uint_eq(target(10)->balloon, MB(106));
    ck_assert_uint_eq(target(10)->swap, MB(100));
    used(10, MB(300), MB(106), 0);
    limit(10, MB(250));
    ck_assert_uint_eq(target(10)->balloon, MB(300) - (MB(250) - MB(250) * 3 / 100));
    limit(10, MEMSCHED_UNLIMITED);
    ck_assert_uint_eq(target(10)->balloon, 0);
    // One that is not below the VM's size takes nothing; one below its reservation is refused.
    limit(10, MB(400));
    used(10, MB(400), 0, 0);
    ck_assert_uint_eq(target(10)->balloon, 0);
    ck_assert_int_eq(
        put((struct memsched_input){.op = MEMSCHED_SET_MAX, .id = 10, .a = MB(49)}),
        VMK_BAD_PARAM);
    limit(10, MB(60));
    ck_assert_int_eq(
        put((struct memsched_input){.op = MEMSCHED_SET_MIN, .id = 10, .a = MB(61)}),
        VMK_BAD_PARAM);
}
END_TEST

START_TEST(test_limit__of_a_pool__divided_by_price_and_reservations_kept)
{
    host_of(MB(4000), MB(4000), MB(100));
    ok((struct memsched_input){.op = MEMSCHED_POOL_ADD,
                               .small = 1,
                               .id = 5,
                               .a = MEMSCHED_ROOT_ID,
                               .b = 1000,
                               .d = MB(300)});
    vm(10, 5, 2000, 0, MB(400));
    vm(11, 5, 1000, 0, MB(400));
    vm(12, 5, 1000, MB(60), MB(400));
    free_is(MB(3000));
    // 60 MB stay for whom they are reserved, touched or not; the rest grows in equal parts.
    used(10, MB(30), 0, 0);
    used(11, MB(30), 0, 0);
    ck_assert_uint_eq(target(10)->cap, MB(30) + MB(180) / 3);
    ck_assert_uint_eq(target(11)->cap, MB(30) + MB(180) / 3);
    ck_assert_uint_eq(target(12)->cap, MB(60) + MB(180) / 3);
    active(10, 100);
    active(11, 100);
    used(10, MB(400), 0, 0);
    used(11, MB(400), 0, 0);
    ck_assert_int_eq(m.level, MEMSCHED_HIGH);
    ck_assert_int_le(abs((int)target(10)->cap - (int)MB(160)), 2);
    ck_assert_int_le(abs((int)target(11)->cap - (int)MB(80)), 2);
    ck_assert_uint_eq(target(12)->cap, MB(60));
    ck_assert_int_le(abs((int)target(10)->swap - (int)MB(240)), 2);
    ck_assert_uint_le(target(10)->cap + target(11)->cap + target(12)->cap, MB(300));
    // No more is reserved in it than it may have, and it may not have less than that.
    ck_assert_int_eq(
        put((struct memsched_input){.op = MEMSCHED_SET_MIN, .id = 10, .a = MB(241)}),
        VMK_LIMIT);
    ck_assert_int_eq(put((struct memsched_input){.op = MEMSCHED_SET_MAX, .id = 5, .a = MB(59)}),
                     VMK_BAD_PARAM);
    limit(5, MEMSCHED_UNLIMITED);
    ck_assert_uint_eq(target(10)->cap, MEMSCHED_UNLIMITED);
    ck_assert_uint_eq(target(10)->swap, 0);
}
END_TEST

START_TEST(test_admission__reservations__refused_with_the_reason)
{
    char text[160];

    host_of(MB(1000), MB(300), MB(100));
    vm(10, MEMSCHED_ROOT_ID, 0, MB(500), MB(600));
    ck_assert_int_eq(put((struct memsched_input){.op = MEMSCHED_VM_ADD,
                                                 .id = 11,
                                                 .a = MEMSCHED_ROOT_ID,
                                                 .small = MB(10),
                                                 .c = MB(395),
                                                 .d = MB(500)}),
                     VMK_LIMIT);
    ck_assert_uint_gt(memsched_admission_text(&m, text, sizeof(text)), 0);
    ck_assert_msg(strstr(text, "pool 1 has no 405 MB left to reserve, only 400 MB"), "%s",
                  text);
    ck_assert_ptr_null(memsched_find(&m, 11));
    ck_assert_int_eq(put((struct memsched_input){.op = MEMSCHED_VM_ADD,
                                                 .id = 11,
                                                 .a = MEMSCHED_ROOT_ID,
                                                 .c = MB(100),
                                                 .d = MB(500)}),
                     VMK_LIMIT);
    memsched_admission_text(&m, text, sizeof(text));
    ck_assert_msg(strstr(text, "VM 11 needs 400 MB of swap space and 200 MB are left"), "%s",
                  text);
    vm(11, MEMSCHED_ROOT_ID, 0, MB(390), MB(500));
    ck_assert_int_eq(
        put((struct memsched_input){.op = MEMSCHED_SET_MIN, .id = 10, .a = MB(520)}),
        VMK_LIMIT);
    ok((struct memsched_input){.op = MEMSCHED_REMOVE, .id = 11});
    ok((struct memsched_input){.op = MEMSCHED_SET_MIN, .id = 10, .a = MB(520)});
    ck_assert_uint_eq(m.nodes[0].reserved, MB(520));
}
END_TEST

START_TEST(test_admission__nothing_can_be_taken_back__whole_size_is_reserved)
{
    host_of(MB(1000), 0, MB(100));
    ok((struct memsched_input){.op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_SWAP, .a = 0});
    vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(600));
    ck_assert_int_eq(put((struct memsched_input){
                         .op = MEMSCHED_VM_ADD, .id = 11, .a = MEMSCHED_ROOT_ID, .d = MB(600)}),
                     VMK_LIMIT);
}
END_TEST

START_TEST(test_admission__pools__expandable_asks_its_parent)
{
    host_of(MB(1000), MB(5000), MB(100));
    for (uint32_t id = 5; id <= 6; id++)
        ok((struct memsched_input){.op = MEMSCHED_POOL_ADD,
                                   .small = id == 6,
                                   .id = id,
                                   .a = MEMSCHED_ROOT_ID,
                                   .b = 1000,
                                   .c = MB(200),
                                   .d = MEMSCHED_UNLIMITED});
    ck_assert_uint_eq(m.nodes[0].reserved, MB(400));
    vm(10, 5, 0, MB(200), MB(300));
    ck_assert_uint_eq(m.nodes[0].reserved, MB(400));
    ck_assert_int_eq(put((struct memsched_input){
                         .op = MEMSCHED_VM_ADD, .id = 11, .a = 5, .c = 1, .d = MB(300)}),
                     VMK_LIMIT);
    vm(11, 6, 0, MB(600), MB(700));
    ck_assert_uint_eq(m.nodes[0].reserved, MB(800));
    ck_assert_int_eq(put((struct memsched_input){
                         .op = MEMSCHED_VM_ADD, .id = 12, .a = 6, .c = MB(101), .d = MB(300)}),
                     VMK_LIMIT);
    ck_assert_int_eq(put((struct memsched_input){.op = MEMSCHED_REMOVE, .id = 6}), VMK_BUSY);
    ok((struct memsched_input){.op = MEMSCHED_REMOVE, .id = 11});
    ok((struct memsched_input){.op = MEMSCHED_REMOVE, .id = 6});
    ck_assert_uint_eq(m.nodes[0].reserved, MB(200));
}
END_TEST

/* ---- working sets ---- */

START_TEST(test_sample__random_pages__within_15_percent_after_3_periods)
{
    struct rng rng;

    for (unsigned percent = 20; percent <= 90; percent += 10) {
        for (uint32_t seed = 1; seed <= 50; seed++) {
            int64_t estimate;

            host_of(MB(1000), MB(1000), 1000);
            vm(10, MEMSCHED_ROOT_ID, 0, 0, MB(400));
            used(10, MB(400), 0, 0);
            rng_init(&rng, seed, "touched", percent);
            for (unsigned period = 0; period < 3; period++) {
                uint32_t touched = 0;

                for (unsigned i = 0; i < 100; i++)
                    touched += rng_below(&rng, 100) < percent;
                ok((struct memsched_input){
                    .op = MEMSCHED_SAMPLE, .small = 1, .id = 10, .a = touched, .b = 100});
            }
            estimate = (int64_t)memsched_active_pages(memsched_find(&m, 10));
            // Of the VM's memory: a sample of 100 is not more precise than that.
            ck_assert_int_le(llabs(estimate - (int64_t)MB(4) * percent), MB(400) * 15 / 100);
        }
    }
}
END_TEST

START_TEST(test_sample__wakes_up_and_pauses__up_fast_down_slowly)
{
    const struct memsched_node *n;

    host_of(MB(1000), MB(1000), 1000);
    vm(10, MEMSCHED_ROOT_ID, 0, 0, 1000);
    n = memsched_find(&m, 10);
    used(10, 1000, 0, 0);
    ck_assert_uint_eq(memsched_active_pages(n), 1000);  // nobody knows
    active(10, 10);
    ck_assert_int_le(llabs((int64_t)memsched_active_pages(n) - 100), 2);
    // In the middle of a period already.
    ok((struct memsched_input){.op = MEMSCHED_SAMPLE, .id = 10, .a = 48, .b = 50});
    ck_assert_uint_gt(memsched_active_pages(n), 500);
    ok((struct memsched_input){.op = MEMSCHED_SAMPLE, .id = 10, .a = 1, .b = 3});  // too few
    ck_assert_uint_lt(memsched_active_pages(n), 110);
    for (unsigned i = 0; i < 3; i++)
        ok((struct memsched_input){
            .op = MEMSCHED_SAMPLE, .small = 1, .id = 10, .a = 90, .b = 100});
    ck_assert_uint_gt(memsched_active_pages(n), 765);
    active(10, 90);
    for (unsigned i = 0; i < 3; i++)
        ok((struct memsched_input){
            .op = MEMSCHED_SAMPLE, .small = 1, .id = 10, .a = 10, .b = 100});
    ck_assert_uint_gt(memsched_active_pages(n), 600);
    active(10, 10);
    ck_assert_uint_lt(memsched_active_pages(n), 115);
}
END_TEST

/* ---- a host that follows the targets ---- */

#define VMS 6u
struct guest {
    uint32_t touched, ballooned, swapped, percent;
};

static uint64_t held_by(const struct guest *g)
{
    return g->touched - g->ballooned - g->swapped;
}

static uint32_t towards(uint32_t value, uint32_t goal, uint32_t step)
{
    return value < goal ? value + MIN(step, goal - value) : value - MIN(step, value - goal);
}

/* Guests grow until they have touched all; mechanisms move so many pages a second. */
START_TEST(test_host__overcommitted_twice__converges_without_oscillation)
{
    struct guest guests[VMS] = {0};
    uint32_t managed = MB(1024), last[VMS] = {0};
    unsigned turns[VMS] = {0};
    int direction[VMS] = {0};

    host_of(managed, MB(4096), 0);
    for (uint32_t i = 0; i < VMS; i++) {
        guests[i].percent = 10 + 10 * i;
        vm(10 + i, MEMSCHED_ROOT_ID, 0, i == 5 ? MB(200) : 0, MB(340));
        active(10 + i, guests[i].percent);
    }
    for (unsigned second = 0; second < 600; second++) {
        uint64_t held = 0;

        for (uint32_t i = 0; i < VMS; i++) {
            struct guest *g = &guests[i];

            g->ballooned = towards(g->ballooned, target(10 + i)->balloon, MB(8));
            if (target(10 + i)->swap > g->swapped)
                g->swapped = towards(g->swapped, target(10 + i)->swap, MB(4));
            if (!target(10 + i)->blocked)
                g->touched = towards(g->touched, MB(340), MB(2));
            held += held_by(g);
        }
        ck_assert_uint_le(held, managed);
        for (uint32_t i = 0; i < VMS; i++)
            used(10 + i, guests[i].touched, guests[i].ballooned, guests[i].swapped);
        free_is((uint32_t)(managed - held));
        if (second % 15 == 0)
            ok((struct memsched_input){.op = MEMSCHED_TICK});
        for (uint32_t i = 0; second > 300 && i < VMS; i++) {
            uint32_t now = target(10 + i)->entitlement;
            int way = now > last[i] ? 1 : now < last[i] ? -1 : direction[i];

            turns[i] += direction[i] && way != direction[i];
            direction[i] = way;
            last[i] = now;
        }
        for (uint32_t i = 0; second == 300 && i < VMS; i++)
            last[i] = target(10 + i)->entitlement;
        // Who reserved it has it, as far as it was touched.
        ck_assert_uint_ge(held_by(&guests[5]), MIN(guests[5].touched, MB(200)));
    }
    ck_assert_uint_le(m.level, MEMSCHED_SOFT);
    for (uint32_t i = 0; i < VMS; i++) {
        ck_assert_uint_eq(guests[i].touched, MB(340));
        ck_assert_uint_le(turns[i], 2);
        // Who uses more keeps more.
        if (i > 0 && i < 5)
            ck_assert_uint_gt(held_by(&guests[i]), held_by(&guests[i - 1]));
    }
}
END_TEST

/* ---- anything at all ---- */

/* No pool's VMs may hold more together than it may. */
static void check_caps(void)
{
    uint64_t caps[MEMSCHED_NODES_MAX] = {0};

    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        const struct memsched_node *n = &m.nodes[i];

        if (!n->id || n->is_pool)
            continue;
        ck_assert_uint_le(n->target.cap, n->max);
        ck_assert_uint_ge(n->target.cap, n->min);
        for (unsigned p = n->parent; p; p = m.nodes[p].parent)
            caps[p] += n->target.cap;
    }
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        if (m.nodes[i].id && m.nodes[i].is_pool && m.nodes[i].max != MEMSCHED_UNLIMITED)
            ck_assert_msg(caps[i] <= m.nodes[i].max, "pool %u of %u holds up to %llu",
                          m.nodes[i].id, m.nodes[i].max, (unsigned long long)caps[i]);
    }
}

static void check_all(void)
{
    uint64_t sum = 0, low = 0, there = m.free;
    uint64_t goal = m.min_free * m.tunable[MEMSCHED_TUNABLE_GOAL] / 100;

    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        const struct memsched_node *n = &m.nodes[i];
        uint64_t most = n->touched - n->saved;

        if (!n->id || n->is_pool)
            continue;
        ck_assert_uint_le(n->target.entitlement, most);
        ck_assert_uint_le(n->target.balloon, n->balloon_max);
        ck_assert_uint_ge(n->target.due, n->target.entitlement);
        ck_assert_uint_le(n->target.due, n->size);
        sum += n->target.entitlement;
        low += n->low;
        there += memsched_held(n);
    }
    there = there > goal ? there - goal : 0;
    ck_assert_msg(sum <= MAX(there, low), "sum %llu, there %llu, low %llu",
                  (unsigned long long)sum, (unsigned long long)there, (unsigned long long)low);
}

static struct memsched_input any_input(struct rng *rng)
{
    struct memsched_input in = {.op = (uint32_t)rng_below(rng, 13),
                                .id = (uint32_t)rng_below(rng, 20)};

    in.small = (uint16_t)rng_below(rng, 120);
    in.a = (uint32_t)rng_below(rng, rng_below(rng, 2) ? 20 : MB(300));
    in.b = (uint32_t)rng_below(rng, MB(100));
    in.c = (uint32_t)rng_below(rng, MB(50));
    in.d = (uint32_t)rng_below(rng, MB(300));
    if (in.op == MEMSCHED_HOST)
        in.a = MB(1000), in.c = 0;
    if (rng_below(rng, 100) == 0)
        in.a = in.d = UINT32_MAX;
    return in;
}

START_TEST(test_step__any_inputs__bounds_hold_and_the_same_again)
{
    static struct memsched first;
    struct rng rng;

    for (unsigned round = 0; round < 2; round++) {
        rng_init(&rng, (uint64_t)_i, "any", 0);
        host_of(MB(1000), MB(3000), 0);
        m.observer.event = NULL;
        for (unsigned step = 0; step < 20000; step++) {
            struct memsched_input in = any_input(&rng);
            struct memsched before = m;
            vmk_status status = put(in);
            const char *why = memsched_check(&m);

            ck_assert_msg(!why, "op %u: %s", in.op, why);

            if (status != VMK_OK) {
                before.inputs = m.inputs;
                before.refused = m.refused;
                before.admission = m.admission;
                ck_assert_mem_eq(before.tunable, m.tunable, sizeof(m.tunable));
                ck_assert_uint_eq(before.nodes[0].reserved, m.nodes[0].reserved);
            }
            if (status == VMK_OK && (in.op == MEMSCHED_TICK || in.op <= MEMSCHED_SET_MAX))
                check_all();
            if (status == VMK_OK && (in.op == MEMSCHED_USAGE || in.op <= MEMSCHED_SET_MAX))
                check_caps();
        }
        if (round == 0)
            first = m;
    }
    ck_assert_mem_eq(&first, &m, sizeof(m));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memsched");
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, test_min_free__sizes__sliding_scale);
    tcase_add_test(tcase, test_level__free_falls_and_rises__one_step_at_a_time_with_hysteresis);
    tcase_add_test(tcase, test_price__idle_vm__worked_check_of_the_paper);
    tcase_add_test(tcase, test_tax__two_vms__idle_pays);
    tcase_add_test(tcase, test_target__not_divisible__all_is_given);
    tcase_add_test(tcase, test_target__reservations__hold_whoever_pays_less);
    tcase_add_test(tcase, test_target__levels__mechanism_by_mechanism);
    tcase_add_test(tcase, test_target__no_driver_or_more_than_it_may__swapping_takes_the_rest);
    tcase_add_test(tcase, test_pools__shares__first_between_pools_then_inside);
    tcase_add_test(tcase,
                   test_due__vm_that_boots_on_a_full_host__others_give_until_all_pay_the_same);
    tcase_add_test(tcase, test_due__alone_or_idle__gives_its_own);
    tcase_add_test(tcase, test_due__in_a_pool__no_more_than_to_the_pool);
    tcase_add_test(tcase, test_limit__host_has_plenty__balloon_below_it_and_swap_at_it);
    tcase_add_test(tcase, test_limit__no_driver_or_no_balloon__swap_alone);
    tcase_add_test(tcase, test_limit__changed_while_it_runs__holds_at_once);
    tcase_add_test(tcase, test_limit__of_a_pool__divided_by_price_and_reservations_kept);
    tcase_add_test(tcase, test_admission__reservations__refused_with_the_reason);
    tcase_add_test(tcase, test_admission__nothing_can_be_taken_back__whole_size_is_reserved);
    tcase_add_test(tcase, test_admission__pools__expandable_asks_its_parent);
    tcase_add_test(tcase, test_sample__random_pages__within_15_percent_after_3_periods);
    tcase_add_test(tcase, test_sample__wakes_up_and_pauses__up_fast_down_slowly);
    tcase_add_test(tcase, test_host__overcommitted_twice__converges_without_oscillation);
    tcase_add_loop_test(tcase, test_step__any_inputs__bounds_hold_and_the_same_again, 1, 6);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
