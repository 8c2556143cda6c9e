// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_verify.c -- verify, diff and stats on traces of the real scheduler.
 *
 * trace_run.h drives sched/machine.h and records. What was recorded has to pass; with one field
 * of one record changed it has to fail at that record; figures of stats have to be the
 * scheduler's own.
 */
#include "tests/unit/kernel_test.h"
#include "tests/unit/trace_command.h"
#include "tests/unit/trace_run.h"
#include "trace/account.h"

#define MS 1000000ull

static struct fx fx;
static struct run run;

START_TEST(test_verify__any_number_of_cpus__passes)
{
    for (unsigned cpus = 1; cpus <= 8; cpus += cpus == 1 ? 1 : 2) {
        fx_begin(&fx, cpus);
        run_mixed(&run, &fx, cpus, cpus, 400 * MS);
        fx_close(&fx);
        ck_assert_msg(command(verify_main, fx.directory, NULL, NULL) == TOOL_OK, "%s", output);
        ck_assert_msg(strncmp(output, "equal: ", 7) == 0, "%s", output);
        fx_end(&fx);
    }
}
END_TEST

static const struct changed_field changes[] = {
    {RECORD_sched_switch, offsetof(struct record_sched_switch, next_tid),
     "sched_switch: next_tid is"},
    {RECORD_sched_switch, offsetof(struct record_sched_switch, prev_state),
     "sched_switch: prev_state is"},
    {RECORD_sched_switch, offsetof(struct record_sched_switch, ran_us),
     "sched_switch: ran_us is"},
    {RECORD_sched_migrate, offsetof(struct record_sched_migrate, dst), "sched_migrate: dst is"},
    {RECORD_sched_state, offsetof(struct record_sched_state, state), "sched_state: state is"},
};

START_TEST(test_verify__one_field_changed__found_there__all)
{
    fx_begin(&fx, 3);
    run_mixed(&run, &fx, 3, 5, 300 * MS);
    fx_close(&fx);
    field_changed_is_found(&fx, &changes[_i], 20);
    fx_end(&fx);
}
END_TEST

/* A decision that was not recorded, and one that was not made. */
START_TEST(test_verify__record_missing_or_too_many__found)
{
    const char *stream;
    uint8_t other = RECORD_ipi;
    long at;

    fx_begin(&fx, 2);
    run_mixed(&run, &fx, 2, 5, 200 * MS);
    fx_close(&fx);
    /* A state record and a kick are of one size: the decision is gone. */
    at = find_record(&fx, RECORD_sched_state, 9, &stream);
    fx_patch(&fx, stream, at, &other, 1);
    ck_assert_int_eq(command(verify_main, fx.directory, NULL, NULL), TOOL_NO);
    ck_assert_msg(strstr(output, "the scheduler decides sched_state, which was not recorded") ||
                      strstr(output, "was recorded, the scheduler decides sched_state"),
                  "%s", output);
    fx_end(&fx);
}
END_TEST

static void observe_nothing(void *context, const struct sched_event *e, plat_ns now)
{
    (void)context;
    (void)e;
    (void)now;
}

/* A recorder that is switched off while a CPU is between an input and what it decides. */
START_TEST(test_verify__ends_within_an_input__passes_only_at_the_end)
{
    for (unsigned more = 0; more < 2; more++) {
        struct sched_observer observer;

        fx_begin(&fx, 1);
        run_begin(&run, &fx, 1, 5);
        for (unsigned i = 0; i < 2; i++)
            run_world(&run, "hog", SCHED_ROOT_ID, 1000, 0, 0, SCHED_STATE_WAIT);
        run_until(&run, 100 * MS);
        observer = run.machine->observer;
        run.machine->observer.event = observe_nothing;
        run_block(&run, 0);
        run.machine->observer = observer;
        if (more)
            run_input(&run, 0, SCHED_OP_RESCHED, 0, 0, 0, 0, NULL);
        run_end(&run);
        fx_close(&fx);
        ck_assert_int_eq(command(verify_main, fx.directory, NULL, NULL),
                         more ? TOOL_NO : TOOL_OK);
        ck_assert_msg(strstr(output, more ? "decides sched_switch, which was not recorded"
                                          : "1 of its 1 decisions are not there"),
                      "%s", output);
        fx_end(&fx);
    }
}
END_TEST

START_TEST(test_verify__lost_records__refused)
{
    const char *stream;
    uint32_t lost = 3;
    long at;

    fx_begin(&fx, 2);
    run_mixed(&run, &fx, 2, 5, 100 * MS);
    fx_close(&fx);
    fx_patch(&fx, "pcpu1", 48, &lost, 4);
    ck_assert_int_eq(command(verify_main, fx.directory, NULL, NULL), TOOL_BAD);
    ck_assert_msg(strstr(output, "3 records and 0 packets were lost"), "%s", output);
    lost = 0;
    fx_patch(&fx, "pcpu1", 48, &lost, 4);
    ck_assert_int_eq(command(verify_main, fx.directory, NULL, NULL), TOOL_OK);
    /* An input is gone: whatever stands there instead. */
    at = find_record(&fx, RECORD_sched_input, 30, &stream);
    fx_patch(&fx, stream, at, (uint8_t[]){RECORD_sched_migrate}, 1);
    ck_assert_int_ne(command(verify_main, fx.directory, NULL, NULL), TOOL_OK);
    fx_end(&fx);
}
END_TEST

START_TEST(test_verify__no_beginning__refused)
{
    fx_begin(&fx, 1);
    fx.seq = 77;
    run_mixed(&run, &fx, 1, 5, 50 * MS);
    fx_close(&fx);
    ck_assert_int_eq(command(verify_main, fx.directory, NULL, NULL), TOOL_BAD);
    ck_assert_msg(strstr(output, "the beginning is missing (first input is 77)"), "%s", output);
    fx_end(&fx);
}
END_TEST

/* What stats adds up from records is what the scheduler itself keeps, to the nanosecond. */
START_TEST(test_stats__against_the_scheduler__equal)
{
    static struct accounts all;

    for (unsigned cpus = 1; cpus <= 4; cpus++) {
        char error[TRACE_ERROR];
        struct trace_record r;
        struct trace_reader *reader;
        struct sched_times kept[RUN_WORLDS_MAX];

        fx_begin(&fx, cpus);
        run_begin(&run, &fx, cpus, cpus);
        uint32_t vm = run_pool(&run, "vm", true, SCHED_ROOT_ID, 2000);
        run_world(&run, "vcpu-0", vm, 0, 20 * MS, 3 * MS, SCHED_STATE_WAIT_IDLE);
        run_world(&run, "vcpu-1", vm, 0, 0, 0, 0);
        for (unsigned i = 0; i < 6; i++)
            run_world(&run, "w", SCHED_ROOT_ID, 1000 + 500 * i, (1 + i) * MS,
                      i % 2 ? 2 * MS : 0, SCHED_STATE_WAIT + i % 4);
        run_input(&run, 0, SCHED_OP_SET_MAX, 0, 1004, 200, 0, NULL);
        run_until(&run, 500 * MS);
        for (unsigned i = 0; i < run.worlds; i++)
            sched_times_at(&run.world[i].entity, run.now, &kept[i]);
        run_end(&run);
        fx_close(&fx);
        reader = trace_open(fx.directory, error);
        ck_assert_ptr_nonnull(reader);
        accounts_init(&all);
        while (trace_next(reader, &r) == 1)
            ck_assert(accounts_feed(&all, &r));
        accounts_end(&all, trace_info(reader)->last_time);
        for (unsigned i = 0; i < run.worlds; i++) {
            struct account *a = account_of(model_find(&all.model, 1000 + i));

            ck_assert_uint_eq(ACCOUNT_RUN(a), kept[i].run);
            ck_assert_uint_eq(account_ready(a), kept[i].ready);
            ck_assert_uint_eq(ACCOUNT_MLMTD(a), kept[i].limited);
            ck_assert_uint_eq(ACCOUNT_COSTOP(a), kept[i].costop);
            ck_assert_uint_eq(account_wait(a), kept[i].wait);
            ck_assert_uint_eq(a->state[RECORD_sched_state_WAIT_IDLE], kept[i].wait_idle);
            ck_assert_uint_eq(a->state[RECORD_sched_state_WAIT_IO], kept[i].wait_io);
            ck_assert_uint_eq(a->costops, kept[i].costops);
            ck_assert_int_eq(account_identity_error(a), 0);
        }
        accounts_free(&all);
        trace_close(reader);
        fx_end(&fx);
    }
}
END_TEST

/* Two recordings of one seed are equal; another seed differs, and diff says where. */
START_TEST(test_diff__same_seed_and_other__equal_and_named)
{
    struct fx second;

    fx_begin(&fx, 2);
    run_mixed(&run, &fx, 2, 1, 200 * MS);
    fx_close(&fx);
    fx_begin(&second, 2);
    run_mixed(&run, &second, 2, 1, 200 * MS);
    fx_close(&second);
    ck_assert_msg(command(diff_main, fx.directory, second.directory, NULL) == TOOL_OK, "%s",
                  output);
    ck_assert_msg(strncmp(output, "equal: ", 7) == 0, "%s", output);

    const char *stream;
    long at = find_record(&fx, RECORD_sched_switch, 50, &stream);
    uint32_t tid = 4711;
    char expected[128];

    fx_patch(&second, stream, at + (long)offsetof(struct record_sched_switch, next_tid), &tid,
             4);
    ck_assert_int_eq(command(diff_main, fx.directory, second.directory, NULL), TOOL_NO);
    ck_assert_msg(strstr(output, "sched_switch: field next_tid is "), "%s", output);
    ck_assert_msg(strstr(output, "in A, 4711 in B"), "%s", output);
    snprintf(expected, sizeof(expected), "next_tid=4711");
    ck_assert_ptr_nonnull(strstr(output, expected));
    fx_end(&fx);
    fx_end(&second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace_verify");
    TCase *tcase = tcase_create("trace_verify");

    tcase_add_test(tcase, test_verify__any_number_of_cpus__passes);
    tcase_add_loop_test(tcase, test_verify__one_field_changed__found_there__all, 0,
                        ARRAY_COUNT(changes));
    tcase_add_test(tcase, test_verify__record_missing_or_too_many__found);
    tcase_add_test(tcase, test_verify__ends_within_an_input__passes_only_at_the_end);
    tcase_add_test(tcase, test_verify__lost_records__refused);
    tcase_add_test(tcase, test_verify__no_beginning__refused);
    tcase_add_test(tcase, test_stats__against_the_scheduler__equal);
    tcase_add_test(tcase, test_diff__same_seed_and_other__equal_and_named);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
