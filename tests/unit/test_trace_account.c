// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_account.c -- times, latencies, lag: traces of some ten records, figures by hand.
 *
 * The main one, in ms; one CPU, world 10 with 1,000 shares and world 11 with 3,000:
 *
 *      0    4         10   13   15   18   20        24
 *  10  RRRRR..........RRRRRRRRRRR.....RRRRR zombie           R runs, . ready, w waits for I/O
 *  11  .....RRRRRRRRRRwwwww.....RRRRR.....RRRRRRRRR
 *  ideal 10:  1/4     |  1 |      1/4      |
 *  ideal 11:  3/4     |  - |      3/4      |   1
 */
#include "trace/account.h"

#include <math.h>

#include "tests/unit/kernel_test.h"
#include "tests/unit/trace_fixture.h"

#define MS 1000000ull
#define NEAR(a, b)                                                                             \
    ck_assert_msg(fabs((double)(a) - (double)(b)) < 1, "%.3f is not %.3f", (double)(a),        \
                  (double)(b))
#define IN_MS(a, b) ck_assert_uint_eq((a), (b)*MS)
#define STATE(name) RECORD_sched_state_##name

static struct fx fx;
static struct accounts all;

static void write_main(void)
{
    fx_begin(&fx, 1);
    FX_INPUT(&fx, 0, 0, CPU_ONLINE, 0, 1, 0, 0);
    FX_INPUT(&fx, 0, 0, WORLD_ADD, 0, 10, 0, 1000);
    FX_INPUT(&fx, 0, 0, WORLD_ADD, 0, 11, 0, 3000);
    FX_INPUT(&fx, 0, 0, WAKE, RECORD_wake_reason_NEW, 10, 0, 0);
    fx_state(&fx, 0, 0, 10, STATE(READY));
    FX_INPUT(&fx, 0, 0, WAKE, RECORD_wake_reason_NEW, 11, 0, 0);
    fx_state(&fx, 0, 0, 11, STATE(READY));
    fx_switch(&fx, 0, 0, 1, 10, STATE(READY));
    fx_switch(&fx, 0, 4 * MS, 10, 11, STATE(READY));
    fx_switch(&fx, 0, 10 * MS, 11, 10, STATE(WAIT_IO));
    fx_state(&fx, 0, 13 * MS, 11, STATE(READY));
    fx_switch(&fx, 0, 15 * MS, 10, 11, STATE(READY));
    fx_switch(&fx, 0, 18 * MS, 11, 10, STATE(READY));
    fx_switch(&fx, 0, 20 * MS, 10, 11, STATE(ZOMBIE));
    FX_PUT(&fx.cpu[0], 24 * MS, ipi, .target = 0);
    fx_close(&fx);
}

static void account(uint64_t from, uint64_t to, uint64_t window)
{
    char error[TRACE_ERROR];
    struct trace_record r;
    struct trace_reader *reader = trace_open(fx.directory, error);
    int more;

    ck_assert_msg(reader != NULL, "%s", error);
    accounts_init(&all);
    all.from = from;
    all.to = to;
    all.window = window;
    while ((more = trace_next(reader, &r)) == 1)
        ck_assert(accounts_feed(&all, &r));
    ck_assert_msg(more == 0, "%s", trace_error(reader));
    accounts_end(&all, trace_info(reader)->last_time);
    ck_assert(!all.failed);
    trace_close(reader);
}

static struct account *of(uint32_t id)
{
    for (unsigned i = 0; i < all.model.count; i++) {
        if (all.model.nodes[i]->id == id && account_of(all.model.nodes[i]))
            return account_of(all.model.nodes[i]);
    }
    ck_abort_msg("no account of %u", id);
}

START_TEST(test_account__two_worlds__times_by_hand)
{
    write_main();
    account(0, UINT64_MAX, 0);
    IN_MS(ACCOUNT_RUN(of(10)), 11);
    IN_MS(account_ready(of(10)), 9);
    IN_MS(account_wait(of(10)), 4);
    IN_MS(of(10)->state[STATE(ZOMBIE)], 4);
    IN_MS(of(10)->elapsed, 24);
    IN_MS(ACCOUNT_RUN(of(11)), 13);
    IN_MS(account_ready(of(11)), 8);
    IN_MS(of(11)->state[STATE(WAIT_IO)], 3);
    IN_MS(of(11)->elapsed, 24);
    ck_assert_int_eq(account_identity_error(of(10)), 0);
    ck_assert_int_eq(account_identity_error(of(11)), 0);
    IN_MS(all.cpu_busy[0], 24);
    ck_assert_uint_eq(all.cpu_idle[0], 0);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

START_TEST(test_account__two_worlds__latency_and_switches_by_hand)
{
    write_main();
    account(0, UINT64_MAX, 0);
    ck_assert_uint_eq(of(11)->wakes, 1);
    ck_assert_uint_eq(of(11)->latency->count, 1);
    IN_MS(of(11)->latency->max, 2);
    ck_assert_uint_eq(of(10)->wakes, 0);
    ck_assert_ptr_null(of(10)->latency);
    ck_assert_uint_eq(of(10)->involuntary, 2);
    ck_assert_uint_eq(of(10)->voluntary, 1);
    ck_assert_uint_eq(of(11)->involuntary, 1);
    ck_assert_uint_eq(of(11)->voluntary, 1);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

START_TEST(test_account__two_worlds__ideal_and_lag_by_hand)
{
    unsigned worlds;

    write_main();
    account(0, UINT64_MAX, 0);
    NEAR(of(10)->ideal, 7.25 * MS);
    NEAR(of(11)->ideal, 16.75 * MS);
    NEAR(of(10)->lag_min, -3.75 * MS);
    NEAR(of(10)->lag_max, 0);
    NEAR(of(11)->lag_max, 3.75 * MS);
    NEAR(of(11)->lag_min, 0);

    double x = 11 / 7.25, y = 13 / 16.75;

    ck_assert(fabs(accounts_jain(&all, &worlds) - (x + y) * (x + y) / (2 * (x * x + y * y))) <
              1e-9);
    ck_assert_uint_eq(worlds, 2);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

START_TEST(test_account__windows_of_10_ms__share_error_by_hand)
{
    write_main();
    account(0, UINT64_MAX, 10 * MS);
    /*
     * 6 of 7.5 ms, then 3 of 5.25; the last window's 4 ms and all of world 10's are too little.
     */
    ck_assert_uint_eq(of(11)->error_count, 2);
    ck_assert(fabs(of(11)->error_max - 100 * 2.25 / 5.25) < 1e-9);
    ck_assert(fabs(of(11)->error_sum - 20 - 100 * 2.25 / 5.25) < 1e-9);
    ck_assert_uint_eq(of(10)->error_count, 0);
    IN_MS(ACCOUNT_RUN(of(11)), 13);
    NEAR(of(11)->ideal, 16.75 * MS);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

START_TEST(test_account__a_part__clipped)
{
    write_main();
    account(5 * MS, 16 * MS, 0);
    IN_MS(ACCOUNT_RUN(of(10)), 5);
    IN_MS(account_ready(of(10)), 6);
    IN_MS(of(10)->elapsed, 11);
    IN_MS(ACCOUNT_RUN(of(11)), 6);
    IN_MS(account_ready(of(11)), 2);
    IN_MS(account_wait(of(11)), 3);
    NEAR(of(11)->ideal, (3.75 + 2.25) * MS);
    NEAR(of(10)->ideal, (1.25 + 3 + 0.75) * MS);
    IN_MS(all.cpu_busy[0], 11);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

/* Whatever part is cut out, the parts sum up to the whole. */
START_TEST(test_account__every_cut__parts_sum_up__all)
{
    write_main();
    for (unsigned cut = 1; cut < 24; cut++) {
        uint64_t run = 0, elapsed = 0;
        double ideal = 0;

        account(0, cut * MS, 0);
        run = ACCOUNT_RUN(of(11));
        elapsed = of(11)->elapsed;
        ideal = of(11)->ideal;
        accounts_free(&all);
        account(cut * MS, UINT64_MAX, 3 * MS);
        IN_MS(run + ACCOUNT_RUN(of(11)), 13);
        IN_MS(elapsed + of(11)->elapsed, 24);
        NEAR(ideal + of(11)->ideal, 16.75 * MS);
        accounts_free(&all);
    }
    fx_end(&fx);
}
END_TEST

/* Two CPUs, a VM of two vCPUs: co-stop, limit, a move, idle time. In ms:
 *   vCPU 31  0 RUN on CPU 0 - 6 COSTOP - 8 READY - 9 RUN on CPU 1 - 12
 *   vCPU 32  0 READY - 2 RUN on CPU 1 - 9 MLMTD - 12 */
START_TEST(test_account__vm_on_two_cpus__costop_limit_move_by_hand)
{
    fx_begin(&fx, 2);
    FX_INPUT(&fx, 0, 0, CPU_ONLINE, 0, 1, 0, 0);
    FX_INPUT(&fx, 1, 0, CPU_ONLINE, 0, 2, 0, 0);
    FX_INPUT(&fx, 0, 0, POOL_ADD, 1, 30, 100, 0);
    FX_INPUT(&fx, 0, 0, WORLD_ADD, 1, 31, 30, 0);
    FX_INPUT(&fx, 0, 0, WORLD_ADD, 1, 32, 30, 0);
    FX_INPUT(&fx, 0, 0, WAKE, 3, 31, 0, 0);
    fx_state(&fx, 0, 0, 31, STATE(READY));
    fx_switch(&fx, 0, 0, 1, 31, STATE(READY));
    FX_INPUT(&fx, 0, 0, WAKE, 3, 32, 0, 0);
    fx_state(&fx, 0, 0, 32, STATE(READY));
    FX_INPUT(&fx, 1, 2 * MS, RESCHED, 0, 0, 0, 0);
    fx_switch(&fx, 1, 2 * MS, 2, 32, STATE(READY));
    FX_INPUT(&fx, 0, 6 * MS, TIMER, 0, 0, 0, 0);
    FX_PUT(&fx.cpu[0], 6 * MS, sched_costop, .tid = 31, .skew_us = 3000);
    fx_switch(&fx, 0, 6 * MS, 31, 1, STATE(COSTOP));
    FX_INPUT(&fx, 0, 8 * MS, TIMER, 0, 0, 0, 0);
    FX_PUT(&fx.cpu[0], 8 * MS, sched_costart, .tid = 31, .skew_us = 1900);
    fx_state(&fx, 0, 8 * MS, 31, STATE(READY));
    FX_INPUT(&fx, 1, 9 * MS, TIMER, 0, 0, 0, 0);
    FX_PUT(&fx.cpu[1], 9 * MS, sched_migrate, .tid = 31, .src = 0, .dst = 1,
           .kind = RECORD_migrate_kind_PULL, .cost = 20000);
    fx_switch(&fx, 1, 9 * MS, 32, 31, STATE(MLMTD));
    FX_INPUT(&fx, 0, 11 * MS, SYSTEM_TIME, 0, 31, 250000, 0);
    FX_INPUT(&fx, 1, 12 * MS, SYSTEM_TIME, 0, 31, 40000, 0);  // in its own time
    FX_INPUT(&fx, 1, 12 * MS, SYSTEM_TIME, 0, 0, 30000, 0);
    FX_PUT(&fx.sys, 12 * MS, world_name, .id = 31, .kind = RECORD_name_kind_WORLD,
           .name = {"vcpu-0"});
    fx_close(&fx);
    account(0, UINT64_MAX, 0);
    IN_MS(ACCOUNT_RUN(of(31)), 9);
    IN_MS(ACCOUNT_COSTOP(of(31)), 2);
    IN_MS(account_ready(of(31)), 1);
    IN_MS(ACCOUNT_RUN(of(32)), 7);
    IN_MS(account_ready(of(32)), 5);
    IN_MS(ACCOUNT_MLMTD(of(32)), 3);
    ck_assert_uint_eq(of(31)->costops, 1);
    ck_assert_uint_eq(of(31)->skew->max, 3000);
    ck_assert_uint_eq(of(31)->migrations[RECORD_migrate_kind_PULL], 1);
    ck_assert_uint_eq(of(31)->migration_cost, 20000);
    ck_assert_uint_eq(of(31)->system, 250000);
    ck_assert_uint_eq(of(31)->overlap, 30000);
    IN_MS(all.cpu_busy[0], 6);
    IN_MS(all.cpu_idle[0], 6);
    IN_MS(all.cpu_busy[1], 10);
    IN_MS(all.cpu_idle[1], 2);
    /* Two vCPUs that always want a CPU, on two: a CPU each. */
    NEAR(of(31)->ideal, 12 * MS);
    NEAR(of(32)->ideal, 12 * MS);
    ck_assert_str_eq(model_find(&all.model, 31)->name, "vcpu-0");
    ck_assert_ptr_eq(model_vm_of(model_find(&all.model, 31)), model_find(&all.model, 30));
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

/* A world that ended and another with the same id are two. */
START_TEST(test_account__id_used_again__two_accounts)
{
    unsigned n = 0;

    fx_begin(&fx, 1);
    FX_INPUT(&fx, 0, 0, CPU_ONLINE, 0, 1, 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t t = i * 10 * MS;

        FX_PUT(&fx.sys, t, world_name, .id = 10, .name = {"again"});
        FX_INPUT(&fx, 0, t, WORLD_ADD, 0, 10, 0, 0);
        fx_state(&fx, 0, t + MS, 10, STATE(READY));
        fx_switch(&fx, 0, t + 2 * MS, 1, 10, STATE(READY));
        FX_INPUT(&fx, 0, t + 5 * MS, EXIT, 0, 10, 0, 0);
        fx_switch(&fx, 0, t + 5 * MS, 10, 1, STATE(ZOMBIE));
        FX_INPUT(&fx, 0, t + 6 * MS, WORLD_REMOVE, 0, 10, 0, 0);
    }
    fx_close(&fx);
    account(0, UINT64_MAX, 0);
    for (unsigned i = 0; i < all.model.count; i++) {
        const struct account *a = account_of(all.model.nodes[i]);

        if (all.model.nodes[i]->id != 10)
            continue;
        ck_assert_ptr_nonnull(a);
        IN_MS(ACCOUNT_RUN(a), 3);
        IN_MS(account_ready(a), 1);
        IN_MS(a->elapsed, 6);
        n++;
    }
    ck_assert_uint_eq(n, 2);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

/* No inputs and no beginning: worlds were in their states before. */
START_TEST(test_account__from_the_middle__states_from_the_first_record)
{
    fx_begin(&fx, 2);
    FX_PUT(&fx.cpu[1], 100 * MS, ipi, .target = 0);
    fx_switch(&fx, 0, 101 * MS, 1020, 1021, STATE(WAIT));
    FX_PUT(&fx.cpu[1], 104 * MS, sched_waking, .tid = 1022, .waker = 1021);
    fx_switch(&fx, 0, 106 * MS, 1021, 1022, STATE(READY));
    FX_PUT(&fx.cpu[1], 110 * MS, ipi, .target = 0);
    fx_close(&fx);
    account(0, UINT64_MAX, 0);
    IN_MS(ACCOUNT_RUN(of(1020)), 1);
    IN_MS(account_wait(of(1020)), 9);
    IN_MS(account_ready(of(1021)), 1 + 4);
    IN_MS(ACCOUNT_RUN(of(1021)), 5);
    IN_MS(account_wait(of(1022)), 4);
    IN_MS(account_ready(of(1022)), 2);
    IN_MS(ACCOUNT_RUN(of(1022)), 4);
    IN_MS(of(1022)->latency->max, 2);
    accounts_free(&all);
    fx_end(&fx);
}
END_TEST

START_TEST(test_hdr__every_octave__percentile_within_a_sixteenth)
{
    static struct hdr h, other;

    for (uint64_t v = 1; v < BIT(60); v = v * 5 / 4 + 1) {
        struct hdr *one = calloc(1, sizeof(*one));

        hdr_add(one, v);
        hdr_add(one, v * 2);
        ck_assert_uint_ge(hdr_permille(one, 500), v);
        ck_assert_uint_le(hdr_permille(one, 500), v + v / 16);
        ck_assert_uint_eq(hdr_permille(one, 1000), v * 2);
        ck_assert_uint_eq(one->max, v * 2);
        hdr_merge(&h, one);
        free(one);
    }
    for (uint64_t v = 1; v <= 1000; v++)
        hdr_add(&other, v * 1000);
    ck_assert_uint_eq(hdr_permille(&other, 0), hdr_permille(&other, 1));
    ck_assert(hdr_permille(&other, 500) >= 500000 && hdr_permille(&other, 500) <= 532000);
    ck_assert(hdr_permille(&other, 990) >= 990000 && hdr_permille(&other, 990) <= 1000000);
    ck_assert_uint_eq(other.sum, 500500000);
}
END_TEST

KERNEL_TEST_MAIN("trace_account", RUNS(test_account__two_worlds__times_by_hand),
                 RUNS(test_account__two_worlds__latency_and_switches_by_hand),
                 RUNS(test_account__two_worlds__ideal_and_lag_by_hand),
                 RUNS(test_account__windows_of_10_ms__share_error_by_hand),
                 RUNS(test_account__a_part__clipped),
                 RUNS(test_account__every_cut__parts_sum_up__all),
                 RUNS(test_account__vm_on_two_cpus__costop_limit_move_by_hand),
                 RUNS(test_account__id_used_again__two_accounts),
                 RUNS(test_account__from_the_middle__states_from_the_first_record),
                 RUNS(test_hdr__every_octave__percentile_within_a_sixteenth))
