// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace.c -- the recorder: rings, loss, order in time, hash, panic lines.
 *
 * Goal: what TRACE() is given is what a packet holds, and what a packet does not hold is
 * counted.
 * Method: recorders of their own (trace_setup_on()) with few slots, filled beyond their room;
 * packets are walked with the table of events, not with the code that wrote them.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks).
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "core/trace_internal.h"
#include "sim/platform/sim_trace.h"
#include "tests/unit/kernel_test.h"

#define PER_PACKET ((TRACE_PACKET_SIZE - TRACE_HEADER) / sizeof(struct record_sched_switch))

static void *take(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

    ck_assert_ptr_nonnull(memory);
    return memset(memory, 0, size);
}

static struct trace_state *recorder(const struct trace_config *config, unsigned cpus)
{
    struct trace_state *trace = take(trace_state_size);
    struct trace_config c = *config;

    c.take = take;
    ck_assert_int_eq(trace_setup_on(trace, &c, cpus), VMK_OK);
    return trace;
}

static void switches(struct trace_state *trace, unsigned cpu, plat_ns from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        TRACE_ON(trace, cpu, from + i, sched_switch, .prev_tid = i, .next_tid = i + 1);
}

/* Calls visit() for each record of a complete packet; returns how many. */
static unsigned walk(const struct trace_packet *p, void (*visit)(const trace_word *at))
{
    size_t words = (p->content_size / 8 - TRACE_HEADER) / 8;
    unsigned count = 0;

    ck_assert_uint_eq(p->magic, TRACE_MAGIC);
    ck_assert_uint_eq(p->content_size % 64, 0);
    for (size_t at = 0; at < words; count++) {
        size_t n = trace_record_words(p->words[at]);

        ck_assert_uint_gt(n, 0);
        if (visit)
            visit(&p->words[at]);
        at += n;
        ck_assert_uint_le(at, words);
    }
    return count;
}

/* ---- every event, emit -> packet -> decode ---- */

static void fill(void *record, size_t size, uint8_t id)
{
    for (size_t i = 8; i < size; i++)
        ((uint8_t *)record)[i] = (uint8_t)(id * 7 + i);
}

/* The line of a record begins with its name and has each field as the table reads it. */
static void check_line(unsigned id, const char *name, size_t size, const trace_word *record)
{
    const struct trace_event *e = trace_event_of(id);
    char line[TRACE_LINE_MAX], text[TRACE_FIELD_TEXT], part[128];

    ck_assert_str_eq(e->name, name);
    ck_assert_uint_eq(e->size, size);
    ck_assert_uint_lt(trace_format(record, line, sizeof(line)), sizeof(line));
    ck_assert_int_eq(strncmp(line, name, strlen(name)), 0);
    for (unsigned i = 0; i < e->field_count; i++) {
        if (!strncmp(e->fields[i].name, "pad", 3))
            continue;
        trace_field_text(&e->fields[i], record, text, sizeof(text));
        snprintf(part, sizeof(part), " %s=%s", e->fields[i].name, text);
        ck_assert_msg(strstr(line, part), "no '%s' in '%s'", part, line);
    }
}

START_TEST(test_trace__each_event__comes_back__all)
{
    struct trace_state *trace =
        recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL, .packets = 2}, 1);
    unsigned events = 0;
    plat_ns now = 1000;

#define TRACE_EVENT(number, class, event, what, members)                                       \
    {                                                                                          \
        struct record_##event sent = {0}, got = {0};                                           \
        unsigned stream = TRACE_IS_SYS(event) ? TRACE_SYS : 0;                                 \
                                                                                               \
        fill(&sent, sizeof(sent), number);                                                     \
        sent.header = RECORD_##event;                                                          \
        trace_write_on(trace, stream, ++now, (const trace_word *)(const void *)&sent,          \
                       TRACE_WORDS(event));                                                    \
        memcpy(&got, trace->streams[stream].at - TRACE_WORDS(event), sizeof(got));             \
        ck_assert_uint_eq(got.header, now << 8 | (number));                                    \
        ck_assert_mem_eq((char *)&got + 8, (char *)&sent + 8, sizeof(got) - 8);                \
        check_line(number, #event, sizeof(got), (const trace_word *)(const void *)&got);       \
        events++;                                                                              \
    }
#include "trace/events.def"
    ck_assert_uint_eq(trace->streams[0].records + trace->streams[TRACE_SYS].records, events);
}
END_TEST

START_TEST(test_trace__macro__named_fields_and_zero_padding)
{
    core_init();

    struct trace_state *trace = this_host()->trace;
    struct record_sched_waking got;

    ck_assert_int_eq(trace_setup(&(struct trace_config){
                         .classes = TRACE_CLASS_SCHED, .packets = 2, .take = take}),
                     VMK_OK);
    sim_work(5000);
    TRACE(sched_waking, .tid = 7, .waker = 9, .reason = RECORD_wake_reason_TIMER);
    memcpy(&got, trace->streams[0].at - TRACE_WORDS(sched_waking), sizeof(got));
    ck_assert_uint_eq(got.header, 5000u << 8 | RECORD_sched_waking);
    ck_assert_uint_eq(got.tid, 7);
    ck_assert_uint_eq(got.waker, 9);
    ck_assert_uint_eq(got.target_cpu, 0);
    ck_assert_uint_eq(got.reason, RECORD_wake_reason_TIMER);
    ck_assert_uint_eq(got.pad, 0);
}
END_TEST

START_TEST(test_trace__class_off__records_nothing)
{
    core_init();

    struct trace_state *trace = this_host()->trace;

    TRACE(sched_waking, .tid = 1);                                       // no recorder yet
    ck_assert_int_eq(trace_classes_set(TRACE_CLASS_VM), VMK_NO_MEMORY);  // no heap here
    ck_assert_int_eq(trace_setup(&(struct trace_config){
                         .classes = TRACE_CLASS_VM, .packets = 2, .take = take}),
                     VMK_OK);
    TRACE(sched_waking, .tid = 1);
    TRACE(vm_entry, .tid = 2);
    TRACE(world_name, .id = 3);  // class SYS is always on
    ck_assert_uint_eq(trace->streams[0].records, 1);
    ck_assert_uint_eq(trace->streams[TRACE_SYS].records, 1);
    ck_assert_int_eq(trace_classes_set(TRACE_CLASS_SCHED), VMK_OK);
    TRACE(sched_waking, .tid = 1);
    TRACE(vm_entry, .tid = 2);
    ck_assert_uint_eq(trace->streams[0].records, 2);
    ck_assert_int_eq(trace_setup(&(struct trace_config){.packets = 2}), VMK_EXISTS);
}
END_TEST

START_TEST(test_trace_classes_parse__words__mask_or_the_bad_one)
{
    static const struct {
        const char *text;
        uint32_t classes;
        const char *bad;
    } rows[] = {
        {"sched", TRACE_CLASS_SCHED, NULL},
        {"SCHED,vm", TRACE_CLASS_SCHED | TRACE_CLASS_VM, NULL},
        {"all", TRACE_CLASS_ALL, NULL},
        {"none", 0, NULL},
        {"", 0, NULL},
        {"io,disk,vm", 0, "disk,vm"},
        {"sche", 0, "sche"},
        {"schedx", 0, "schedx"},
        {",", 0, ","},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint32_t classes = 99;
        const char *bad = NULL;
        bool good = trace_classes_parse(rows[i].text, &classes, &bad);

        ck_assert_msg(good == !rows[i].bad, "'%s'", rows[i].text);
        if (good)
            ck_assert_uint_eq(classes, rows[i].classes);
        else
            ck_assert_str_eq(bad, rows[i].bad);
    }
}
END_TEST

/* ---- rings ---- */

START_TEST(test_trace__flight__keeps_the_last_and_counts_the_rest)
{
    const unsigned slots = 3, total = 5 * PER_PACKET + 100;
    struct trace_state *trace =
        recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL, .packets = slots}, 2);
    struct trace_stream *s = &trace->streams[1];
    struct trace_totals sum;
    unsigned kept = 0;

    switches(trace, 1, 10, total);
    trace_packet_close(trace, s);
    ck_assert_uint_eq(s->head, 6);
    for (uint64_t n = s->head - slots; n < s->head; n++) {
        const struct trace_packet *p = trace_packet_of(trace, s, n);

        ck_assert_uint_eq(p->packet_seq_num, n);
        ck_assert_uint_eq(p->cpu_id, 1);
        ck_assert_uint_eq(p->stream_id, 0);
        ck_assert_uint_le(p->timestamp_begin, p->timestamp_end);
        kept += walk(p, NULL);
    }
    trace_totals_of(trace, &sum);
    ck_assert_uint_eq(sum.records, total);
    ck_assert_uint_eq(kept + sum.overwritten, total);
    ck_assert_uint_eq(sum.overwritten, 3 * PER_PACKET);
    ck_assert_uint_eq(sum.discarded, 0);
    ck_assert_uint_eq(s->last, 10 + total - 1);
}
END_TEST

START_TEST(test_trace__record_at_the_edge__goes_whole_into_the_next_packet)
{
    struct trace_state *trace =
        recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL, .packets = 4}, 1);
    struct trace_stream *s = &trace->streams[0];
    const size_t room = ARRAY_COUNT(trace_packet_of(trace, s, 0)->words);

    /* Leave two words: a record of three does not fit, one of two does. */
    switches(trace, 0, 0, (unsigned)((room - 2) / 3));
    ck_assert_uint_eq((size_t)(s->end - s->at), (room - 2) % 3 + 2);
    TRACE_ON(trace, 0, 1000000, sched_vtime, .tid = 1, .vtime = 2);
    TRACE_ON(trace, 0, 1000001, vm_exit, .tid = 1);
    trace_packet_close(trace, s);
    ck_assert_uint_eq(s->head, 2);
    ck_assert_uint_eq(walk(trace_packet_of(trace, s, 0), NULL) +
                          walk(trace_packet_of(trace, s, 1), NULL),
                      s->records);
}
END_TEST

START_TEST(test_trace__packets_cut__each_goes_on_in_the_next)
{
    core_init();

    struct trace_state *trace = this_host()->trace;
    const struct trace_config config = {.classes = TRACE_CLASS_ALL, .packets = 8, .take = take};
    unsigned kept = 0;

    ck_assert_int_eq(trace_setup(&config), VMK_OK);
    trace_packets_cut();  // nothing is open
    switches(trace, 0, 1, 10);
    TRACE_ON(trace, 0, 5, world_name, .id = 1);
    trace_packets_cut();
    trace_packets_cut();
    ck_assert_uint_eq(trace->streams[0].head, 0);  // at its next record
    switches(trace, 0, 20, 5);
    trace_packets_cut();
    switches(trace, 0, 30, 1);
    TRACE_ON(trace, 0, 31, world_name, .id = 2);
    ck_assert_uint_eq(trace->streams[0].head, 2);
    ck_assert_uint_eq(trace->streams[1].head, 0);
    ck_assert_uint_eq(trace->streams[TRACE_SYS].head, 1);
    trace_packet_close(trace, &trace->streams[0]);
    for (uint64_t n = 0; n < 3; n++)
        kept += walk(trace_packet_of(trace, &trace->streams[0], n), NULL);
    ck_assert_uint_eq(kept, 16);
    ck_assert_uint_eq(trace->streams[0].discarded, 0);
}
END_TEST

START_TEST(test_trace__nmi_inside_a_record__refused_and_counted)
{
    struct trace_state *trace =
        recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL, .packets = 2}, 1);
    struct trace_stream *s = &trace->streams[0];
    struct trace_totals sum;

    switches(trace, 0, 1, 1);
    s->busy = true;  // what the NMI finds
    switches(trace, 0, 2, 3);
    s->busy = false;
    switches(trace, 0, 3, 1);
    trace_packet_close(trace, s);
    trace_totals_of(trace, &sum);
    ck_assert_uint_eq(sum.records, 2);
    ck_assert_uint_eq(sum.refused, 3);
    ck_assert_uint_eq(sum.discarded, 3);
    ck_assert_uint_eq(trace_packet_of(trace, s, 0)->events_discarded, 3);
    ck_assert_uint_eq(walk(trace_packet_of(trace, s, 0), NULL), 2);

    trace->sys_lock = plat_cpu_self() + 1;  // the same for sys
    TRACE_ON(trace, 0, 5, world_name, .id = 1);
    trace->sys_lock = 0;
    trace_totals_of(trace, &sum);
    ck_assert_uint_eq(sum.refused, 4);
}
END_TEST

START_TEST(test_trace__clock_steps_back__times_do_not)
{
    struct trace_state *trace =
        recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL, .packets = 2}, 2);
    struct trace_stream *s = &trace->streams[0];

    switches(trace, 0, 1000, 1);
    switches(trace, 0, 400, 1);  // another CPU's clock
    switches(trace, 1, 300, 1);  // another stream: none of its business
    switches(trace, 0, 1001, 1);
    trace_packet_close(trace, s);
    ck_assert_uint_eq(s->stepped_back, 1);

    const struct trace_packet *p = trace_packet_of(trace, s, 0);

    ck_assert_uint_eq(p->words[0] >> 8, 1000);
    ck_assert_uint_eq(p->words[3] >> 8, 1000);
    ck_assert_uint_eq(p->words[6] >> 8, 1001);
    ck_assert_uint_eq(p->timestamp_begin, 1000);
    ck_assert_uint_eq(p->timestamp_end, 1001);
    ck_assert_uint_eq(trace->streams[1].last, 300);
}
END_TEST

static uint32_t lost_count, lost_total;

static void see_lost(const trace_word *at)
{
    struct record_lost lost;

    if ((at[0] & 0xff) != RECORD_lost)
        return;
    memcpy(&lost, at, sizeof(lost));
    lost_count += lost.count;
    lost_total = lost.total;
}

START_TEST(test_trace__stream_without_a_reader__counts_every_loss)
{
    sim_trace_out_make(1u << 20);

    const unsigned slots = 2, extra = 777;
    struct trace_state *trace = recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL,
                                                                .mode = TRACE_MODE_STREAM,
                                                                .packets = slots},
                                         1);
    struct trace_stream *s = &trace->streams[0];

    switches(trace, 0, 1, slots * (unsigned)PER_PACKET + extra);
    ck_assert_uint_eq(s->records, slots * PER_PACKET);
    ck_assert_uint_eq(s->discarded, extra);

    /* A reader takes one packet: writing goes on, and says what it missed. */
    s->tail++;
    switches(trace, 0, 1000000, 10);
    trace_packet_close(trace, s);
    ck_assert_uint_eq(s->discarded, extra);
    ck_assert_uint_eq(walk(trace_packet_of(trace, s, 2), see_lost), 11);
    ck_assert_uint_eq(lost_count, extra);
    ck_assert_uint_eq(lost_total, extra);
    ck_assert_uint_eq(trace_packet_of(trace, s, 2)->events_discarded, extra);

    /* Lost again: the count in the header is of all. */
    s->tail++;
    switches(trace, 0, 2000000, 2 * (unsigned)PER_PACKET + 5);
    s->tail += 2;
    lost_count = 0;
    switches(trace, 0, 3000000, 1);
    trace_packet_close(trace, s);
    ck_assert_uint_eq(walk(trace_packet_of(trace, s, s->head - 1), see_lost), 2);
    ck_assert_uint_eq(lost_total, s->discarded);
    ck_assert_uint_eq(extra + lost_count, s->discarded);
    ck_assert_uint_eq(trace_packet_of(trace, s, s->head - 1)->events_discarded, s->discarded);
}
END_TEST

/* ---- the hash ---- */

struct step {
    unsigned cpu;
    plat_ns time;
    uint32_t tid;
};

static uint64_t hash_of(const struct step *steps, size_t count, uint64_t *records)
{
    struct trace_state *trace = recorder(&(struct trace_config){.classes = TRACE_CLASS_ALL,
                                                                .mode = TRACE_MODE_DIRECT,
                                                                .hash = true},
                                         4);

    for (size_t i = 0; i < count; i++)
        TRACE_ON(trace, steps[i].cpu, steps[i].time, vm_entry, .tid = steps[i].tid);
    trace_finish_on(trace);
    return trace_hash_of(trace, records);
}

START_TEST(test_trace_hash__order_within_an_instant__of_cpus_does_not_count_of_one_cpu_does)
{
    const struct step a[] = {{0, 5, 1}, {1, 5, 2}, {0, 5, 3}, {2, 9, 4}};
    const struct step same[] = {{1, 5, 2}, {0, 5, 1}, {0, 5, 3}, {2, 9, 4}};
    const struct step swapped[] = {{0, 5, 3}, {1, 5, 2}, {0, 5, 1}, {2, 9, 4}};
    const struct step later[] = {{0, 5, 1}, {1, 5, 2}, {0, 6, 3}, {2, 9, 4}};
    const struct step moved[] = {{0, 5, 1}, {2, 5, 2}, {0, 5, 3}, {2, 9, 4}};
    const struct step fewer[] = {{0, 5, 1}, {1, 5, 2}, {0, 5, 3}};
    uint64_t n, hash = hash_of(a, 4, &n);

    ck_assert_uint_eq(n, 4);
    ck_assert_uint_eq(hash, hash_of(a, 4, &n));
    ck_assert_uint_eq(hash, hash_of(same, 4, &n));
    ck_assert_uint_ne(hash, hash_of(swapped, 4, &n));
    ck_assert_uint_ne(hash, hash_of(later, 4, &n));
    ck_assert_uint_ne(hash, hash_of(moved, 4, &n));
    ck_assert_uint_ne(hash, hash_of(fewer, 3, &n));
}
END_TEST

static unsigned checkpoints;
static struct record_checkpoint last_checkpoint;

static void see_checkpoint(const trace_word *at)
{
    if ((at[0] & 0xff) != RECORD_checkpoint)
        return;
    memcpy(&last_checkpoint, at, sizeof(last_checkpoint));
    checkpoints++;
}

static void keep_sys(void *owner, unsigned stream, const void *packet, size_t size)
{
    (void)owner;
    ck_assert_uint_eq(size, TRACE_PACKET_SIZE);
    if (stream == TRACE_SYS)
        walk(packet, see_checkpoint);
}

START_TEST(test_trace_hash__checkpoints__every_64_ki_records_and_at_the_end)
{
    const struct trace_sink sink = {keep_sys, NULL};
    struct trace_state *trace = recorder(
        &(struct trace_config){
            .classes = TRACE_CLASS_ALL, .mode = TRACE_MODE_DIRECT, .hash = true, .sink = &sink},
        2);
    uint64_t records, hash;

    switches(trace, 0, 100, 65536 * 3 + 50);
    trace_finish_on(trace);
    ck_assert_uint_eq(checkpoints, 4);
    hash = trace_hash_of(trace, &records);
    ck_assert_uint_eq(records, 65536 * 3 + 50);
    ck_assert_uint_eq(last_checkpoint.records, records);
    ck_assert_uint_eq(last_checkpoint.hash, hash);
    ck_assert_uint_eq(last_checkpoint.header >> 8, 100 + 65536 * 3 + 49);

    struct trace_totals sum;

    trace_totals_of(trace, &sum);
    ck_assert_uint_eq(sum.discarded, 0);
}
END_TEST

/* ---- the panic's lines ---- */

static char said[16384];

static void say(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(said);

    va_start(arguments, format);
    vsnprintf(said + used, sizeof(said) - used, format, arguments);
    va_end(arguments);
}

START_TEST(test_trace_panic__two_cpus__the_last_sixteen_in_order_of_time)
{
    core_init();

    const struct trace_config config = {.classes = TRACE_CLASS_ALL, .packets = 2, .take = take};
    struct trace_state *trace = this_host()->trace;

    ck_assert_int_eq(trace_setup(&config), VMK_OK);
    for (unsigned i = 0; i < 100; i++)
        TRACE_ON(trace, i % 3, 1000000000ull + i, vm_entry, .tid = i);
    TRACE_ON(trace, 0, 2000000000ull, world_name, .id = 5, .name = trace_text16("five"));
    ck_assert(trace_panic(say));
    ck_assert_ptr_nonnull(strstr(said, "the last 16 of 101 records (0 lost, 0 overwritten)"));
    ck_assert_ptr_null(strstr(said, "tid=84 "));
    for (unsigned i = 85; i < 100; i++) {
        char line[80];

        snprintf(line, sizeof(line), "  1.%09u cpu%u vm_entry tid=%u injected=0\n", i, i % 3,
                 i);
        ck_assert_msg(strstr(said, line), "no '%s' in\n%s", line, said);
    }
    ck_assert_ptr_nonnull(strstr(said, "  2.000000000 sys  world_name id=5 kind=WORLD vm=0 "
                                       "pool=0 name=\"five\"\n"));
    ck_assert_ptr_nonnull(strstr(said, "vmk-trace in gdb"));

    said[0] = 0;
    ck_assert(!trace_panic(say));  // a panic in the panic says nothing again
    ck_assert_str_eq(said, "");
    TRACE(vm_entry, .tid = 1);
    ck_assert_uint_eq(trace_classes(), 0);
}
END_TEST

START_TEST(test_trace_panic__damaged_ring__stops_at_the_damage)
{
    core_init();

    const struct trace_config config = {.classes = TRACE_CLASS_ALL, .packets = 2, .take = take};
    struct trace_state *trace = this_host()->trace;

    ck_assert_int_eq(trace_setup(&config), VMK_OK);
    for (unsigned i = 0; i < 10; i++)
        TRACE_ON(trace, 0, 1000 + i, vm_entry, .tid = i);
    trace_packet_of(trace, &trace->streams[0], 0)->words[6] =
        0x77;  // the fourth: no such event
    ck_assert(trace_panic(say));
    ck_assert_ptr_nonnull(strstr(said, "the last 3 of 10 records"));
}
END_TEST

START_TEST(test_trace_text16__longer_shorter_null__cut_and_padded)
{
    record_text16 t = trace_text16("0123456789abcdefgh");

    ck_assert_mem_eq(t.text, "0123456789abcdef", 16);
    t = trace_text16("ab");
    ck_assert_mem_eq(t.text, "ab\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    t = trace_text16(NULL);
    ck_assert_int_eq(t.text[0], 0);
}
END_TEST

KERNEL_TEST_MAIN(
    "trace", RUNS(test_trace__each_event__comes_back__all),
    RUNS(test_trace__macro__named_fields_and_zero_padding),
    RUNS(test_trace__class_off__records_nothing),
    RUNS(test_trace_classes_parse__words__mask_or_the_bad_one),
    RUNS(test_trace__flight__keeps_the_last_and_counts_the_rest),
    RUNS(test_trace__record_at_the_edge__goes_whole_into_the_next_packet),
    RUNS(test_trace__packets_cut__each_goes_on_in_the_next),
    RUNS(test_trace__nmi_inside_a_record__refused_and_counted),
    RUNS(test_trace__clock_steps_back__times_do_not),
    RUNS(test_trace__stream_without_a_reader__counts_every_loss),
    RUNS(test_trace_hash__order_within_an_instant__of_cpus_does_not_count_of_one_cpu_does),
    RUNS(test_trace_hash__checkpoints__every_64_ki_records_and_at_the_end),
    RUNS(test_trace_panic__two_cpus__the_last_sixteen_in_order_of_time),
    RUNS(test_trace_panic__damaged_ring__stops_at_the_damage),
    RUNS(test_trace_text16__longer_shorter_null__cut_and_padded))
