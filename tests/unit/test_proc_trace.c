// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_proc_trace.c -- the recorder through /proc/vmware/trace, on the test host.
 *
 * Goal: classes are changed by writing words, a wrong word changes nothing, and the packets
 * that come out are those of the ring. Method: files of the real procfs, read and written in a
 * world.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks).
 * Locking    none.
 */
#include "core/trace_internal.h"
#include "sched/sched.h"
#include "tests/unit/fs_fixture.h"

static vmk_status store(const char *text)
{
    struct file *file = fs_open("/proc/vmware/trace/classes", VFS_O_WRONLY, 0);
    size_t done;
    vmk_status status = file_write(file, text, strlen(text), &done);

    file_put(file);
    return status;
}

static void body_classes(void *argument)
{
    (void)argument;
    fs_up();
    ck_assert_str_eq(fs_read_file("/proc/vmware/trace/classes"), "none\n");
    ck_assert_int_eq(store("sched,vm\n"), VMK_OK);  // sets up a flight recorder
    ck_assert_str_eq(fs_read_file("/proc/vmware/trace/classes"), "sched,vm,sys\n");
    ck_assert_int_ne(store("sched,disk"), VMK_OK);
    ck_assert_int_ne(
        store("sched,sched,sched,sched,sched,sched,sched,sched,sched,sched,sched,sched,"
              "sched,sched,sched,sched,sched,sched"),
        VMK_OK);
    ck_assert_str_eq(fs_read_file("/proc/vmware/trace/classes"), "sched,vm,sys\n");
    ck_assert_int_eq(store("none"), VMK_OK);
    ck_assert_uint_eq(trace_classes(), TRACE_CLASS_SYS);
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/trace/status"), "discarded 0\n"));
    ck_assert_ptr_nonnull(
        strstr(fs_read_file("/proc/vmware/trace/metadata"), "/* CTF 1.8 */\n"));
}
FS_TEST(test_proc_trace__classes__set_by_words, body_classes)

static bool holds(const void *bytes, size_t size, const char *text)
{
    const char *at = bytes;
    bool found = false;

    for (size_t i = 0; i + strlen(text) < size && !found; i++)
        found = !memcmp(at + i, text, strlen(text) + 1);
    return found;
}

/* Worlds that were there before the recorder: their names are the first records of `sys`. */
static void body_names(void *argument)
{
    struct trace_state *trace = this_host()->trace;
    uint32_t nodes;
    static struct trace_packet p;

    (void)argument;
    fs_up();
    nodes = sched_samples_get(NULL, 0);
    ck_assert_uint_gt(nodes, 1);
    ck_assert_int_eq(store("sched"), VMK_OK);
    ck_assert_uint_ge(trace->streams[TRACE_SYS].records, nodes);
    memcpy(&p, trace_packet_of(trace, &trace->streams[TRACE_SYS], 0), sizeof(p));
    ck_assert(holds(&p, sizeof(p), "host"));
    ck_assert(holds(&p, sizeof(p), "idle0"));
    ck_assert_int_eq(store("vm"), VMK_OK);  // it was on: nothing is said twice
    ck_assert_uint_lt(trace->streams[TRACE_SYS].records, 2 * (uint64_t)nodes);
}
FS_TEST(test_proc_trace__switched_on_late__names_who_was_there, body_names)

static void body_packets(void *argument)
{
    struct trace_state *trace = this_host()->trace;
    struct trace_stream *s = &trace->streams[0];
    static struct trace_packet p;
    struct file *file;
    size_t done;
    uint64_t number = 0;

    (void)argument;
    fs_up();
    ck_assert_int_eq(trace_classes_set(TRACE_CLASS_VM), VMK_OK);
    file = fs_open("/proc/vmware/trace/pcpu0", VFS_O_RDONLY, 0);
    ck_assert_int_eq(file_read(file, &p, sizeof(p), &done), VMK_OK);
    ck_assert_uint_eq(done, 0);  // no packet is complete
    file_put(file);

    while (s->head < 7)
        TRACE(vm_entry, .tid = 1);
    ck_assert(trace_packet_copy(0, &number, &p));
    ck_assert_uint_eq(number, 7 - TRACE_FLIGHT_PACKETS + 1);  // one slot is open
    file = fs_open("/proc/vmware/trace/pcpu0", VFS_O_RDONLY, 0);
    for (uint64_t n = number; n < 7; n++) {
        char *at = (char *)&p;

        for (size_t left = sizeof(p); left; left -= done, at += done) {
            ck_assert_int_eq(file_read(file, at, left, &done), VMK_OK);
            ck_assert_uint_gt(done, 0);
        }
        ck_assert_uint_eq(p.magic, TRACE_MAGIC);
        ck_assert_uint_eq(p.packet_seq_num, n);
        ck_assert_mem_eq(&p, trace_packet_of(trace, s, n), p.content_size / 8);
    }
    ck_assert_int_eq(file_read(file, &p, sizeof(p), &done), VMK_OK);
    ck_assert_uint_eq(done, 0);
    file_put(file);
    number = 7;
    ck_assert(!trace_packet_copy(0, &number, &p));
    number = 0;
    ck_assert(!trace_packet_copy(TRACE_STREAMS, &number, &p));
    ck_assert(!trace_packet_copy(40, &number, &p));  // no such CPU
}
FS_TEST(test_proc_trace__packets__those_of_the_ring, body_packets)

KERNEL_TEST_MAIN("proc_trace", RUNS(test_proc_trace__classes__set_by_words),
                 RUNS(test_proc_trace__switched_on_late__names_who_was_there),
                 RUNS(test_proc_trace__packets__those_of_the_ring))
