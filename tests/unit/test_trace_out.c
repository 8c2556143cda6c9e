// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_out.c -- packets out as frames, and back by the splitter.
 *
 * Goal: what a recorder sends is what trace-split makes a trace of, and what is missing is
 * said.
 * Method: the recorder sends into memory (trace.to=memory); the bytes go into a file, damaged
 * as a disk or a serial line would, and through the real splitter, which is compiled in here.
 * The directory that comes out is read by babeltrace2.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks).
 * Locking    none.
 */
int trace_split_main(int argc, char **argv);
#define main trace_split_main
#include "scripts/trace-split.c"
#undef main

#include "core/core.h"
#include "core/trace_internal.h"
#include "sim/platform/sim_trace.h"
#include "sim/platform/trace_dir.h"
#include "tests/unit/kernel_test.h"

#define DISK (8u << 20)

static char folder[64];

/* A fresh folder; its name with `tail`. */
static const char *place(const char *tail)
{
    static char path[2][96];
    static unsigned turn;

    if (!folder[0]) {
        strcpy(folder, "/tmp/orrery-trace-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
    }
    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, tail);
    return path[turn];
}

static void clean(void)
{
    char command[96];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void *take_memory(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

    ck_assert_ptr_nonnull(memory);
    return memset(memory, 0, size);
}

/* This host's recorder, sending to memory. */
static struct trace_state *begin(enum trace_mode mode, bool lossless, size_t disk)
{
    const struct trace_config config = {.classes = TRACE_CLASS_ALL,
                                        .mode = mode,
                                        .packets = 2,
                                        .lossless = lossless,
                                        .take = take_memory,
                                        .uuid = {1, 2, 3}};
    struct trace_state *trace = this_host()->trace;

    core_init();
    sim_trace_out_make(disk);
    trace->out_text = take_memory(TRACE_METADATA_MAX);
    trace->out_open = plat_trace_out_open("memory");
    ck_assert(trace->out_open);
    ck_assert_int_eq(trace_setup(&config), VMK_OK);
    trace_env_set("policy", "share");
    return trace;
}

static void entries(struct trace_state *trace, unsigned cpu, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        TRACE_ON(trace, cpu, trace->streams[cpu].last + 1, vm_entry, .tid = i);
}

/*
 * Writes what was sent to a file, after damage() had it; splits it. Returns the splitter's
 * status.
 */
static int split(void (*damage)(unsigned char *bytes, size_t size))
{
    size_t size;
    const unsigned char *bytes = sim_trace_out_bytes(&size);
    unsigned char *copy = malloc(size + 1);
    FILE *file = fopen(place("stream"), "wb");
    char *arguments[] = {(char *)(uintptr_t) "trace-split", strdup(place("stream")),
                         strdup(place("out")), NULL};

    ck_assert_ptr_nonnull(file);
    memcpy(copy, bytes, size);
    if (damage)
        damage(copy, size);
    ck_assert_uint_eq(fwrite(copy, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    return trace_split_main(3, arguments);
}

/* Lines that babeltrace2 prints of the directory; its warnings count against it. */
static unsigned long babeltrace_count(const char *directory)
{
    char command[256], line[64];
    unsigned long events = 0, said = 1;

    snprintf(command, sizeof(command),
             "babeltrace2 %s 2>%s/said | wc -l; wc -l <%s/said; cat %s/said >&2", directory,
             folder, folder, folder);

    FILE *pipe = popen(command, "r");

    ck_assert_ptr_nonnull(pipe);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), pipe));
    events = strtoul(line, NULL, 10);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), pipe));
    said = strtoul(line, NULL, 10);
    pclose(pipe);
    ck_assert_uint_eq(said, 0);
    return events;
}

static bool in_file(const char *name, const char *what)
{
    static char text[65536];
    FILE *file = fopen(name, "rb");

    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    return strstr(text, what) != NULL;
}

START_TEST(test_trace_out__stream__whole_and_babeltrace2_counts_the_same)
{
    struct trace_state *trace = begin(TRACE_MODE_STREAM, false, DISK);
    struct trace_totals sum;

    for (unsigned i = 0; i < 20; i++) {
        entries(trace, 0, 1500);
        entries(trace, 3, 700);
        TRACE(world_name, .id = i, .name = trace_text16("some \"name\" \033[1m too long"));
        while (trace_drain())
            ;
    }
    trace_finish();
    ck_assert_int_eq(split(NULL), 0);
    trace_totals_get(&sum);
    ck_assert_uint_eq(sum.discarded, 0);
    ck_assert_uint_eq(babeltrace_count(place("out")), 20 * (1500 + 700 + 1));
    ck_assert(in_file(place("out/run/run.env"), "records=44020\n"));
    ck_assert(in_file(place("out/run/run.env"), "policy=share\n"));
    clean();
}
END_TEST

START_TEST(test_trace_out__lossless__the_writer_sends_and_nothing_is_lost)
{
    struct trace_state *trace = begin(TRACE_MODE_STREAM, true, DISK);
    struct trace_totals sum;

    entries(trace, 0, 50000);  // 12 packets through a ring of 2, nobody drains
    entries(trace, 1, 100);
    trace_finish();
    trace_totals_get(&sum);
    ck_assert_uint_eq(sum.records, 50100);
    ck_assert_uint_eq(sum.discarded, 0);
    ck_assert_uint_gt(sum.waits, 0);
    ck_assert_int_eq(split(NULL), 0);
    ck_assert_uint_eq(babeltrace_count(place("out")), 50100);
    clean();
}
END_TEST

START_TEST(test_trace_out__ring_full__loss_is_counted_and_babeltrace2_says_so)
{
    struct trace_state *trace = begin(TRACE_MODE_STREAM, false, DISK);
    struct trace_totals sum;
    char line[256];
    bool told = false;

    entries(trace, 0, 20000);
    while (trace_drain())
        ;
    entries(trace, 0, 10);
    trace_finish();
    trace_totals_get(&sum);
    ck_assert_uint_gt(sum.discarded, 0);
    ck_assert_uint_eq(sum.records + sum.discarded, 20011);  // and one `lost`
    ck_assert_int_eq(split(NULL), 0);

    char command[160];

    snprintf(command, sizeof(command), "babeltrace2 %s 2>&1", place("out"));

    FILE *pipe = popen(command, "r");
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "Tracer discarded %llu events",
             (unsigned long long)sum.discarded);
    while (fgets(line, sizeof(line), pipe))
        told = told || strstr(line, wanted);
    pclose(pipe);
    ck_assert_msg(told, "babeltrace2 does not say '%s'", wanted);
    clean();
}
END_TEST

START_TEST(test_trace_out__disk_full__the_rest_is_lost_and_counted)
{
    struct trace_state *trace = begin(TRACE_MODE_STREAM, true, 300000);
    struct trace_totals sum;

    entries(trace, 0, 50000);
    trace_finish();
    trace_totals_get(&sum);
    ck_assert(trace->out_failed);
    ck_assert_uint_eq(sum.records + sum.discarded, 50000);
    ck_assert_uint_gt(sum.records, 8000);
    ck_assert_int_eq(split(NULL), 1);  // no end
    ck_assert_uint_eq(babeltrace_count(place("out")), sum.records);
    clean();
}
END_TEST

START_TEST(test_trace_out__flight__the_last_packets_with_what_went_before_counted)
{
    struct trace_state *trace = begin(TRACE_MODE_FLIGHT, false, DISK);
    struct trace_totals sum;

    entries(trace, 0, 20000);
    trace_finish();
    trace_totals_get(&sum);
    ck_assert_uint_eq(sum.records, 20000);
    ck_assert_uint_gt(sum.overwritten, 0);
    ck_assert_int_eq(split(NULL), 0);

    struct trace_packet p;
    FILE *file = fopen(place("out/pcpu0"), "rb");

    ck_assert_uint_eq(fread(&p, 1, sizeof(p), file), sizeof(p));
    fclose(file);
    ck_assert_uint_eq(p.events_discarded, sum.overwritten);
    ck_assert_uint_gt(p.packet_seq_num, 0);
    clean();
}
END_TEST

static void say_nothing(const char *format, ...)
{
    (void)format;
}

START_TEST(test_trace_out__panic__packets_come_out_past_a_held_lock)
{
    struct trace_state *trace = begin(TRACE_MODE_FLIGHT, false, DISK);

    entries(trace, 0, 100);
    trace->out_lock = 3;  // CPU 2 was stopped in the middle of a frame
    ck_assert(trace_panic(say_nothing));
    ck_assert_int_eq(split(NULL), 0);
    ck_assert_uint_eq(babeltrace_count(place("out")), 100);
    clean();
}
END_TEST

/* ---- damage on the way ---- */

/* The offsets of all frames. */
static size_t frames_of(const unsigned char *bytes, size_t size, size_t *at, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; i + sizeof(struct trace_frame) <= size && count < room; i += 512) {
        uint64_t magic;

        memcpy(&magic, bytes + i, 8);
        if (magic == TRACE_FRAME_MAGIC)
            at[count++] = i;
    }
    return count;
}

static unsigned damaged_frame;
static size_t damaged_byte;

static void flip(unsigned char *bytes, size_t size)
{
    size_t at[256];
    size_t count = frames_of(bytes, size, at, ARRAY_COUNT(at));

    ck_assert_uint_gt(count, damaged_frame);
    bytes[at[damaged_frame] + damaged_byte] ^= 0x10;
}

static void some_trace(void)
{
    struct trace_state *trace = begin(TRACE_MODE_STREAM, true, DISK);

    entries(trace, 0, 9000);
    entries(trace, 1, 50);
    trace_finish();
}

static const size_t flipped[] = {0, 8, 12, 20, 24, 28, 32, 40, 48, 56, 60};

/* The metadata is in the first frame: without it nothing can be read. */
START_TEST(test_trace_split__first_frame_damaged__no_trace)
{
    damaged_frame = 0;
    damaged_byte = flipped[_i];
    some_trace();
    (void)split(flip);  // ends the process
}
END_TEST

/*
 * One flipped bit anywhere in any other frame is found, and what is written is still a trace.
 */
START_TEST(test_trace_split__one_bit_flipped__found__all)
{
    damaged_frame = 1 + (unsigned)_i / (unsigned)ARRAY_COUNT(flipped);
    damaged_byte = flipped[(unsigned)_i % ARRAY_COUNT(flipped)];
    some_trace();
    ck_assert_int_eq(split(flip), 1);
    clean();
}
END_TEST

static void cut(unsigned char *bytes, size_t size)
{
    memset(bytes + size / 2, 0, size - size / 2);
}

START_TEST(test_trace_split__cut_in_half__whole_packets_and_a_word)
{
    some_trace();
    ck_assert_int_eq(split(cut), 1);
    ck_assert_uint_gt(babeltrace_count(place("out")), 2000);
    clean();
}
END_TEST

/* A serial line: frames between lines of text, at any offset. */
START_TEST(test_trace_split__text_between_frames__is_passed_over)
{
    size_t size, at[256];
    const unsigned char *bytes;
    FILE *file;

    some_trace();
    bytes = sim_trace_out_bytes(&size);
    file = fopen(place("serial"), "wb");
    for (size_t i = 0, n = frames_of(bytes, size, at, ARRAY_COUNT(at)); i < n; i++) {
        struct trace_frame f;

        fprintf(file, "2026-01-31T12:14:59.123Z cpu0:0)Test: \005RRT line %zu\r\n", i);
        memcpy(&f, bytes + at[i], sizeof(f));
        fwrite(bytes + at[i], 1, sizeof(f) + f.length, file);
    }
    fclose(file);

    char *arguments[] = {(char *)(uintptr_t) "trace-split", strdup(place("serial")),
                         strdup(place("out")), NULL};

    ck_assert_int_eq(trace_split_main(3, arguments), 0);
    ck_assert_uint_eq(babeltrace_count(place("out")), 9050);
    clean();
}
END_TEST

/* ---- a directory from a simulation ---- */

START_TEST(test_trace_dir__all_events__babeltrace2_reads_them_without_a_word)
{
    struct trace_dir *dir = trace_dir_create(place("sim"));
    struct trace_state *trace = take_memory(trace_state_size);
    unsigned long events = 0;

    ck_assert_ptr_nonnull(dir);
    ck_assert_int_eq(trace_setup_on(trace,
                                    &(struct trace_config){.classes = TRACE_CLASS_ALL,
                                                           .mode = TRACE_MODE_DIRECT,
                                                           .hash = true,
                                                           .sink = trace_dir_sink(dir),
                                                           .take = take_memory,
                                                           .uuid = {0xff, 1}},
                                    2),
                     VMK_OK);
    trace_env_set_on(trace, "policy", "a \"quoted\\ name");
    for (unsigned round = 0; round < 200; round++) {
#define TRACE_EVENT(number, class, event, what, members)                                       \
    TRACE_ON(trace, round & 1, round * 100ull, event);                                         \
    events++;
#include "trace/events.def"
    }
    trace_finish_on(trace);
    ck_assert(trace_dir_finish(dir, trace));
    ck_assert_uint_eq(babeltrace_count(place("sim")), events + 1);  // and the last checkpoint
    ck_assert(in_file(place("sim/metadata"), "/* CTF 1.8 */\n"));
    ck_assert(in_file(place("sim/metadata"), "policy = \"a ?quoted? name\";"));
    ck_assert(in_file(place("sim/run/run.env"), "checkpoint="));
    ck_assert_ptr_null(trace_dir_create(place("sim")));  // not empty
    clean();
}
END_TEST

/* What docs/design/trace.md says a reader can do: the hash again, from the files alone. */
struct seen {
    uint64_t time, value;
    unsigned cpu;
};

static uint64_t mix(uint64_t a, uint64_t w)
{
    a = (a ^ w) * 0x9e3779b97f4a7c15ull;
    return a ^ a >> 32;
}

static size_t hash_stream(unsigned cpu, struct seen *out)
{
    char name[32];
    struct trace_packet p;
    size_t count = 0;

    snprintf(name, sizeof(name), "sim/pcpu%u", cpu);

    FILE *file = fopen(place(name), "rb");

    ck_assert_ptr_nonnull(file);
    while (fread(&p, sizeof(p), 1, file) == 1) {
        size_t words = (p.content_size / 8 - TRACE_HEADER) / 8;

        for (size_t at = 0; at < words;) {
            size_t n = trace_event_of(p.words[at] & 0xff)->size / 8u;
            uint64_t time = p.words[at] >> 8;

            if (!count || out[count - 1].time != time)
                out[count++] = (struct seen){time, 0x6f72726572790001ull, cpu};
            for (size_t i = 0; i < n; i++)
                out[count - 1].value = mix(out[count - 1].value, p.words[at + i]);
            at += n;
        }
    }
    fclose(file);
    return count;
}

static int by_time_and_cpu(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->cpu < y->cpu ? -1 : 1;
}

START_TEST(test_trace_dir__hash__a_reader_forms_the_same)
{
    struct trace_dir *dir = trace_dir_create(place("sim"));
    struct trace_state *trace = take_memory(trace_state_size);
    struct seen *all = malloc(400000 * sizeof(*all));
    uint64_t hash = 0x6f72726572790001ull, records;
    size_t count = 0;

    ck_assert_int_eq(trace_setup_on(trace,
                                    &(struct trace_config){.classes = TRACE_CLASS_ALL,
                                                           .mode = TRACE_MODE_DIRECT,
                                                           .hash = true,
                                                           .sink = trace_dir_sink(dir),
                                                           .take = take_memory},
                                    3),
                     VMK_OK);
    for (unsigned i = 0; i < 100000; i++) {
        TRACE_ON(trace, (i * 7 + i / 5) % 3, i / 4, vm_exit, .tid = i, .ns = i * i);
        TRACE_ON(trace, i % 3, i / 4, vm_entry, .tid = i);
        if (i % 1000 == 0)
            TRACE_ON(trace, 0, i / 4, world_name, .id = i);
    }
    trace_finish_on(trace);
    uint64_t wanted = trace_hash_of(trace, &records);

    ck_assert_uint_eq(records, 200000);
    ck_assert(trace_dir_finish(dir, trace));
    for (unsigned cpu = 0; cpu < 3; cpu++)
        count += hash_stream(cpu, all + count);
    qsort(all, count, sizeof(*all), by_time_and_cpu);
    for (size_t i = 0; i < count; i++)
        hash = mix(hash + all[i].cpu, all[i].value);
    ck_assert_uint_eq(hash, wanted);
    free(all);
    clean();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace_out");
    TCase *tcase = tcase_create("trace_out");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_trace_out__stream__whole_and_babeltrace2_counts_the_same);
    tcase_add_test(tcase, test_trace_out__lossless__the_writer_sends_and_nothing_is_lost);
    tcase_add_test(tcase, test_trace_out__ring_full__loss_is_counted_and_babeltrace2_says_so);
    tcase_add_test(tcase, test_trace_out__disk_full__the_rest_is_lost_and_counted);
    tcase_add_test(tcase,
                   test_trace_out__flight__the_last_packets_with_what_went_before_counted);
    tcase_add_test(tcase, test_trace_out__panic__packets_come_out_past_a_held_lock);
    tcase_add_loop_exit_test(tcase, test_trace_split__first_frame_damaged__no_trace, 3, 0, 11);
    tcase_add_loop_test(tcase, test_trace_split__one_bit_flipped__found__all, 0, 11 * 6);
    tcase_add_test(tcase, test_trace_split__cut_in_half__whole_packets_and_a_word);
    tcase_add_test(tcase, test_trace_split__text_between_frames__is_passed_over);
    tcase_add_test(tcase, test_trace_dir__all_events__babeltrace2_reads_them_without_a_word);
    tcase_add_test(tcase, test_trace_dir__hash__a_reader_forms_the_same);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
