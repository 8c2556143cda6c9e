// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_reader.c -- the reader: order, checks, errors that name file and byte.
 *
 * Traces of a few records are written, some then damaged byte by byte.
 */
#include "trace/reader.h"

#include "tests/unit/kernel_test.h"
#include "tests/unit/trace_fixture.h"

static struct fx fx;
static char error[TRACE_ERROR];

#define READY RECORD_sched_state_READY

START_TEST(test_reader__three_cpus__by_time_ties_by_stream)
{
    static const uint32_t expected[] = {1, 2, 3, 4, 5, 6};
    struct trace_record r;
    struct trace_reader *reader;

    fx_begin(&fx, 3);
    FX_PUT(&fx.cpu[2], 10, lab_todo, .id = 1);
    FX_PUT(&fx.cpu[0], 20, lab_todo, .id = 3);
    FX_PUT(&fx.cpu[1], 20, lab_todo, .id = 4);
    FX_PUT(&fx.cpu[0], 25, lab_todo, .id = 5);
    FX_PUT(&fx.cpu[2], 30, lab_todo, .id = 6);
    FX_PUT(&fx.sys, 20, lab_todo, .id = 2);
    fx_close(&fx);
    reader = trace_open(fx.directory, error);
    ck_assert_msg(reader != NULL, "%s", error);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_COUNT(expected); i++) {
            ck_assert_int_eq(trace_next(reader, &r), 1);
            ck_assert_uint_eq(r.event->id, RECORD_lab_todo);
            ck_assert_uint_eq(TRACE_AS(lab_todo, &r)->id, expected[i]);
            ck_assert_uint_eq(r.index, i);
        }
        ck_assert_int_eq(trace_next(reader, &r), 0);
        ck_assert_int_eq(trace_next(reader, &r), 0);
        ck_assert_uint_eq(trace_info(reader)->records, 6);
        trace_rewind(reader);
    }
    ck_assert_str_eq(trace_info(reader)->policy, "share");
    ck_assert_str_eq(trace_info(reader)->uuid, "01020304-0506-0708-090a-0b0c0d0e0f10");
    ck_assert_str_eq(trace_env(reader, "loop"), "closed");
    trace_close(reader);
    fx_end(&fx);
}
END_TEST

/* Clocks of two CPUs disagree; the numbers of the inputs do not. */
START_TEST(test_reader__inputs__by_number_with_their_decisions)
{
    struct trace_record r;
    struct trace_reader *reader;
    static const struct {
        unsigned id;
        uint64_t time;
    } expected[] = {
        {RECORD_sched_input, 100}, {RECORD_sched_switch, 100}, {RECORD_sched_input, 90},
        {RECORD_sched_state, 90},  {RECORD_vm_entry, 95},      {RECORD_sched_input, 110},
    };

    fx_begin(&fx, 2);
    FX_INPUT(&fx, 0, 100, TIMER, 0, 0, 0, 0);
    fx_switch(&fx, 0, 100, 1, 2, READY);
    FX_INPUT(&fx, 1, 90, WAKE, 0, 3, 0, 0);
    fx_state(&fx, 1, 90, 3, READY);
    FX_PUT(&fx.cpu[1], 95, vm_entry, .tid = 1);
    FX_INPUT(&fx, 0, 110, TIMER, 0, 0, 0, 0);
    fx_close(&fx);
    reader = trace_open(fx.directory, error);
    ck_assert_ptr_nonnull(reader);
    for (unsigned i = 0; i < ARRAY_COUNT(expected); i++) {
        ck_assert_int_eq(trace_next(reader, &r), 1);
        ck_assert_uint_eq(r.event->id, expected[i].id);
        ck_assert_uint_eq(r.time, expected[i].time);
    }
    ck_assert_int_eq(trace_next(reader, &r), 0);
    ck_assert_uint_eq(trace_info(reader)->seq_gaps, 0);
    trace_close(reader);
    fx_end(&fx);
}
END_TEST

/*
 * All ways to deal six inputs to three CPUs come out in the order of their numbers, also when
 * the count wraps at 32 bits in between.
 */
START_TEST(test_reader__inputs_on_any_cpu__in_order__all)
{
    for (unsigned deal = 0; deal < 729; deal++) {
        struct trace_record r;
        struct trace_reader *reader;

        fx_begin(&fx, 3);
        fx.seq = deal % 2 ? 0xfffffffdu : 0;
        for (unsigned i = 0, rest = deal; i < 6; i++, rest /= 3) {
            unsigned cpu = rest % 3;

            /* Each CPU has a clock of its own. */
            fx_input(&fx, cpu, 1000 + 10 * i - 25 * cpu, RECORD_sched_op_RESCHED, i, 0, 0, 0);
        }
        fx_close(&fx);
        reader = trace_open(fx.directory, error);
        ck_assert_ptr_nonnull(reader);
        for (unsigned i = 0; i < 6; i++) {
            ck_assert_int_eq(trace_next(reader, &r), 1);
            if (deal % 2 == 0)
                ck_assert_uint_eq(TRACE_AS(sched_input, &r)->small, i);
        }
        ck_assert_int_eq(trace_next(reader, &r), 0);
        trace_close(reader);
        fx_end(&fx);
    }
}
END_TEST

START_TEST(test_reader__input_missing__counted_and_read_on)
{
    struct trace_record r;
    struct trace_reader *reader;
    unsigned n = 0;

    fx_begin(&fx, 2);
    fx.seq = 40;
    FX_INPUT(&fx, 0, 1, RESCHED, 0, 0, 0, 0);
    fx.seq = 44;
    FX_INPUT(&fx, 1, 2, RESCHED, 1, 0, 0, 0);
    FX_INPUT(&fx, 0, 3, RESCHED, 2, 0, 0, 0);
    fx_close(&fx);
    reader = trace_open(fx.directory, error);
    while (trace_next(reader, &r) == 1)
        ck_assert_uint_eq(TRACE_AS(sched_input, &r)->small, n++);
    ck_assert_uint_eq(n, 3);
    ck_assert_uint_eq(trace_info(reader)->first_seq, 40);
    ck_assert_uint_eq(trace_info(reader)->seq_gaps, 3);
    trace_close(reader);
    fx_end(&fx);
}
END_TEST

/* A stream that is seldom written does not come before what waits for its number. */
START_TEST(test_reader__flight_recorder__inputs_before_later_records)
{
    struct trace_record r;
    struct trace_reader *reader;
    uint64_t last = 0;

    fx_begin(&fx, 2);
    fx.seq = 5000;
    for (unsigned i = 0; i < 100; i++)
        FX_INPUT(&fx, i % 2, 1000000000 + i * 1000, RESCHED, 0, 0, 0, 0);
    FX_PUT(&fx.sys, 5000000000, lab_todo, .id = 1);
    fx_close(&fx);
    reader = trace_open(fx.directory, error);
    while (trace_next(reader, &r) == 1) {
        ck_assert_uint_ge(r.time, last);
        last = r.time;
    }
    ck_assert_uint_eq(trace_info(reader)->records, 101);
    ck_assert_uint_eq(trace_info(reader)->first_seq, 5000);
    trace_close(reader);
    fx_end(&fx);
}
END_TEST

START_TEST(test_reader__input_twice__error)
{
    fx_begin(&fx, 2);
    FX_INPUT(&fx, 0, 1, RESCHED, 0, 0, 0, 0);
    fx.seq = 0;
    FX_INPUT(&fx, 1, 2, RESCHED, 0, 0, 0, 0);
    fx_close(&fx);
    ck_assert_int_eq(fx_read_all(&fx, error), -1);
    ck_assert_ptr_nonnull(strstr(error, "two inputs have number 0"));
    fx_end(&fx);
}
END_TEST

/* Records of all sizes over several packets: all come out, none crosses a packet. */
START_TEST(test_reader__many_packets__every_record)
{
    fx_begin(&fx, 1);
    for (unsigned i = 0; i < 10000; i++) {
        if (i % 3)
            FX_PUT(&fx.cpu[0], i, vm_exit, .tid = i);
        else
            FX_PUT(&fx.cpu[0], i, lab_todo, .id = i);
    }
    fx_close(&fx);
    ck_assert_int_eq(fx_read_all(&fx, error), 10000);
    fx_end(&fx);
}
END_TEST

static void two_packets(void)
{
    fx_begin(&fx, 1);
    FX_PUT(&fx.cpu[0], 5, lab_todo, .id = 1);
    ctf_stream_flush(&fx.cpu[0]);
    FX_PUT(&fx.cpu[0], 6, lab_todo, .id = 2);
    fx_close(&fx);
}

/* A field of the second packet's head is overwritten: what is said of it. */
static const struct damage {
    long offset;  // in the packet
    uint32_t value;
    const char *says;
} damages[] = {
    {0, 0xC1FC1FC0, "pcpu0: byte 65536: no packet begins here"},
    {8, 1, "pcpu0: byte 65540: the packet's uuid"},
    {20, 7, "byte 65556: stream_id 7"},
    {20, 1, "a packet of stream 1, CPU 0 among those of stream 0"},
    {40, 0, "content_size is 0"},
    {40, 65537 * 8, "content_size is 524296 bits of 524288"},
    {40, 65 * 8, "content_size"},
    {40, 72 * 8, "byte 65600: a record lab_todo of 16 bytes, 8 left"},
    {44, 8, "packet_size"},
    {44, 1u << 31, "packet_size"},
    {44, 131072 * 8, "the file ends inside this packet: 65536 of 131072 bytes"},
    {24, 4, "time steps back"},
    {24, 7, "the packet ends before it begins"},
    {52, 3, "a packet of stream 0, CPU 3"},
    {56, 0, "packet 0 follows packet 0"},
    {64, 0, "byte 65600: no event has id 0"},
    {64, 200, "no event has id 200"},
    {64, 2 << 8 | 251, "time steps back from 6 to 2 at a record lab_todo"},
};

START_TEST(test_reader__damaged_packet__says_where__all)
{
    const struct damage *d = &damages[_i];

    two_packets();
    ck_assert_int_eq(fx_read_all(&fx, error), 2);
    fx_patch(&fx, "pcpu0", 65536 + d->offset, &d->value, 4);
    ck_assert_int_eq(fx_read_all(&fx, error), -1);
    ck_assert_msg(strstr(error, d->says) != NULL, "said: %s", error);
    fx_end(&fx);
}
END_TEST

START_TEST(test_reader__counters_fall__error)
{
    uint32_t five = 5, four = 4;

    two_packets();
    fx_patch(&fx, "pcpu0", 48, &five, 4);
    fx_patch(&fx, "pcpu0", 65536 + 48, &four, 4);
    ck_assert_int_eq(fx_read_all(&fx, error), -1);
    ck_assert_ptr_nonnull(strstr(error, "events_discarded falls from 5 to 4"));
    fx_end(&fx);
}
END_TEST

START_TEST(test_reader__lost_records_and_packets__counted)
{
    uint32_t five = 5, nine = 9, packet = 4;
    struct trace_record r;
    struct trace_reader *reader;

    two_packets();
    fx_patch(&fx, "pcpu0", 48, &five, 4);
    fx_patch(&fx, "pcpu0", 65536 + 48, &nine, 4);
    fx_patch(&fx, "pcpu0", 65536 + 56, &packet, 4);
    reader = trace_open(fx.directory, error);
    while (trace_next(reader, &r) == 1)
        ;
    ck_assert_uint_eq(trace_info(reader)->lost_records, 9);
    ck_assert_uint_eq(trace_info(reader)->lost_packets, 3);
    ck_assert(trace_info(reader)->starts_late);
    trace_close(reader);
    fx_end(&fx);
}
END_TEST

/*
 * Cut after every number of bytes: an error that names the file, or fewer records; never more.
 */
START_TEST(test_reader__truncated_anywhere__clear_error)
{
    char path[256];

    two_packets();
    fx_path(&fx, "pcpu0", path);
    for (long size = 131072; size >= 0; size -= size % 4096 < 128 ? 1 : 61) {
        ck_assert_int_eq(truncate(path, size), 0);

        long n = fx_read_all(&fx, error);

        if (size % 65536 == 0) {
            ck_assert_int_eq(n, size / 65536);
        } else {
            ck_assert_int_eq(n, -1);
            ck_assert_ptr_nonnull(strstr(error, "pcpu0: byte "));
            ck_assert_ptr_nonnull(strstr(error, "truncated?"));
        }
    }
    fx_end(&fx);
}
END_TEST

/* One line of the metadata replaced. */
static void edit_metadata(const char *from, const char *to)
{
    char path[256], command[600];

    fx_path(&fx, "metadata", path);
    snprintf(command, sizeof(command), "sed -i '%s' %s && ! grep -q '%s' %s", to, path, from,
             path);
    ck_assert_int_eq(system(command), 0);
}

static const struct {
    const char *gone, *edit, *says;
} edits[] = {
    {"CTF 1.8", "1s/.*/CTF/", "metadata: line 1: does not begin with"},
    {"name = \"sched_switch\"", "s/\"sched_switch\"/\"sched_swatch\"/",
     "id 1 is sched_swatch, here it is sched_switch"},
    {"_next_tid", "s/_next_tid/_to_tid/",
     "event sched_switch: field 2 is to_tid of 4 bytes, here it is next_tid of 4"},
    {"uint32_t _ran_us", "s/uint32_t _ran_us/uint64_t _ran_us/",
     "event sched_switch: field 5 is ran_us of 8 bytes, here it is ran_us of 4"},
    {"_ran_us", "/_ran_us/d", "event sched_switch has 4 fields, here it has 5"},
    {"id = 9;", "s/id = 9;/id = 99;/",
     "event timer_fire has id 99, which this tool does not know"},
    {"byte_order = le", "s/byte_order = le/byte_order = be/", "byte order be"},
    {"freq = 1000000000", "s/freq = 1000000000/freq = 0/", "the clock's freq"},
    {"0b0c0d0e0f10", "s/0b0c0d0e0f10/0b0c0d0e0f11/", "pcpu0: byte 4: the packet's uuid"},
    {"uint32_t _timers;", "s/uint32_t _timers;/uint99_t _timers;/", "unknown type uint99_t"},
    {"fields := struct {", "s/fields := struct {/fields := struct /", "expected {"},
    {"CTF 1.8 \\*", "1s,\\*/,,", "a comment does not end"},
    {"tracer_name = \"orrery-trace\";", "s/\"orrery-trace\";/\"orrery-trace;/",
     "a string does not end"},
};

START_TEST(test_reader__other_metadata__names_the_event__all)
{
    two_packets();
    edit_metadata(edits[_i].gone, edits[_i].edit);
    ck_assert_int_eq(fx_read_all(&fx, error), -1);
    ck_assert_msg(strstr(error, edits[_i].says) != NULL, "said: %s", error);
    fx_end(&fx);
}
END_TEST

START_TEST(test_reader__clock_of_2400_mhz__times_in_ns)
{
    struct trace_record r;
    struct trace_reader *reader;

    fx_begin(&fx, 1);
    FX_PUT(&fx.cpu[0], 2400000000ull * 1000000 + 12, lab_todo, .id = 1);
    fx_close(&fx);
    edit_metadata("freq = 1000000000", "s/freq = 1000000000/freq = 2400000000/");
    reader = trace_open(fx.directory, error);
    ck_assert_int_eq(trace_next(reader, &r), 1);
    ck_assert_uint_eq(r.time, 1000000000000000ull + 5);
    trace_close(reader);
    fx_end(&fx);
}
END_TEST

START_TEST(test_reader__no_trace__says_so)
{
    ck_assert_ptr_null(trace_open("/nonexistent", error));
    ck_assert_str_eq(error, "/nonexistent: No such file or directory");
    ck_assert_ptr_null(trace_open("/dev/null", error));
    ck_assert_ptr_nonnull(strstr(error, "a trace is a directory"));
    fx_begin(&fx, 0);
    ck_assert(ctf_stream_close(&fx.sys));

    char path[256];

    fx_path(&fx, "sys", path);
    unlink(path);
    ck_assert_ptr_null(trace_open(fx.directory, error));
    ck_assert_ptr_nonnull(strstr(error, "no stream file"));
    fx_end(&fx);
}
END_TEST

START_TEST(test_event_table__every_field__as_text)
{
    struct record_sched_switch s = {.prev_tid = 7, .prev_state = RECORD_sched_state_COSTOP};
    struct record_balloon b = {.delta = -12};
    struct record_world_name n = {.name = {"\033[2Jworld\"x"}};
    struct record_vm_exit x = {.qualification = 0xabcdef0123456789};
    char text[TRACE_FIELD_TEXT];

    trace_field_text(&trace_event_named("sched_switch")->fields[0], &s, text, sizeof(text));
    ck_assert_str_eq(text, "7");
    trace_field_text(&trace_event_named("sched_switch")->fields[2], &s, text, sizeof(text));
    ck_assert_str_eq(text, "COSTOP");
    s.prev_state = 77;
    trace_field_text(&trace_event_named("sched_switch")->fields[2], &s, text, sizeof(text));
    ck_assert_str_eq(text, "77");
    trace_field_text(&trace_event_named("balloon")->fields[1], &b, text, sizeof(text));
    ck_assert_str_eq(text, "-12");
    trace_field_text(&trace_event_named("vm_exit")->fields[3], &x, text, sizeof(text));
    ck_assert_str_eq(text, "0xabcdef0123456789");
    trace_field_text(&trace_event_named("world_name")->fields[5], &n, text, sizeof(text));
    ck_assert_str_eq(text, "\"?[2Jworld?x\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace_reader");
    TCase *tcase = tcase_create("trace_reader");

    tcase_add_test(tcase, test_reader__three_cpus__by_time_ties_by_stream);
    tcase_add_test(tcase, test_reader__inputs__by_number_with_their_decisions);
    tcase_add_test(tcase, test_reader__inputs_on_any_cpu__in_order__all);
    tcase_add_test(tcase, test_reader__input_missing__counted_and_read_on);
    tcase_add_test(tcase, test_reader__flight_recorder__inputs_before_later_records);
    tcase_add_test(tcase, test_reader__input_twice__error);
    tcase_add_test(tcase, test_reader__many_packets__every_record);
    tcase_add_loop_test(tcase, test_reader__damaged_packet__says_where__all, 0,
                        ARRAY_COUNT(damages));
    tcase_add_test(tcase, test_reader__counters_fall__error);
    tcase_add_test(tcase, test_reader__lost_records_and_packets__counted);
    tcase_add_test(tcase, test_reader__truncated_anywhere__clear_error);
    tcase_add_loop_test(tcase, test_reader__other_metadata__names_the_event__all, 0,
                        ARRAY_COUNT(edits));
    tcase_add_test(tcase, test_reader__clock_of_2400_mhz__times_in_ns);
    tcase_add_test(tcase, test_reader__no_trace__says_so);
    tcase_add_test(tcase, test_event_table__every_field__as_text);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
