// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_boot.c -- the recorder's boot options: good ones, wrong ones, too much memory.
 *
 * Each test makes a host with the command line it wants and reads that host's log.
 *
 * Invariants
 *   - A wrong option leaves a line that names it, and the recorder as good as it gets.
 * Locking    none.
 */
#include <string.h>

#include "core/core.h"
#include "core/core_internal.h"
#include "core/trace_internal.h"
#include "mem/page.h"
#include "sim/platform/sim_trace.h"
#include "tests/unit/kernel_test.h"

static char text[LOG_RING_SIZE + 1];
static uint32_t classes;
static bool recording;
static uint64_t owned;
static vmk_status again;

static void host_main(void)
{
    core_init();
    mem_init();
    trace_init();
    text[log_ring_copy(text, LOG_RING_SIZE)] = 0;
    recording = this_host()->trace->ready;
    classes = trace_classes();
    owned = heap_owned(MEM_OWNER_TRACE);
    again = trace_classes_set(classes);
    sim_finish();
}

static void boot_cpus(unsigned cpus, const char *command_line)
{
    sim_host_start(sim_host_create(cpus, 64, command_line), host_main);
    ck_assert(sim_run());
}

static void boot(const char *command_line)
{
    boot_cpus(2, command_line);
}

static bool logged(const char *what)
{
    return strstr(text, what) != NULL;
}

START_TEST(test_trace_boot__no_option__no_recorder)
{
    boot("trace.mode=stream trace.buffer=64");
    ck_assert(!recording);
    ck_assert(!logged("Trace:"));
}
END_TEST

START_TEST(test_trace_boot__classes__those_and_flight_by_default)
{
    boot("trace=sched,mem");
    ck_assert(recording);
    ck_assert_uint_eq(classes & ~(uint32_t)TRACE_CLASS_SYS,
                      TRACE_CLASS_SCHED | TRACE_CLASS_MEM);
    ck_assert(
        logged("Trace: recording sched,mem, flight recorder, 256 KiB for each of 2 CPUs\n"));
}
END_TEST

START_TEST(test_trace_boot__unknown_class__named_and_all_recorded)
{
    boot("trace=sched,nosuch");
    ck_assert(recording);
    ck_assert(
        logged("trace=sched,nosuch: \"nosuch\" is no class; there are sched, vm, mem, io, "
               "user, trace, sys, all and none; recording all\n"));
    ck_assert_uint_eq(classes, TRACE_CLASS_ALL);
}
END_TEST

START_TEST(test_trace_boot__unknown_mode__flight)
{
    boot("trace=all trace.mode=film");
    ck_assert(logged("trace.mode=film: there are flight and stream; using flight\n"));
    ck_assert(logged("recording all, flight recorder"));
}
END_TEST

START_TEST(test_trace_boot__stream_without_a_way_out__flight)
{
    boot("trace=all trace.mode=stream");
    ck_assert(logged("trace.mode=stream needs trace.to=disk or com2"));
    ck_assert(logged("flight recorder, "));
    ck_assert(!trace_streams());
}
END_TEST

START_TEST(test_trace_boot__stream_to_memory__said_where)
{
    sim_trace_out_make(1u << 20);
    boot("trace=all trace.mode=stream trace.to=memory trace.buffer=256");
    ck_assert(logged("recording all, stream, 256 KiB for each of 2 CPUs, to memory\n"));
}
END_TEST

START_TEST(test_trace_boot__way_out_that_is_not_there__said)
{
    boot("trace=all trace.mode=stream trace.to=tape");
    ck_assert(logged("tape"));
    ck_assert(logged("flight recorder, "));
}
END_TEST

/* The rings of the first CPUs fit, those of all do not. */
START_TEST(test_trace_boot__buffers_larger_than_memory__not_recording_with_a_remedy)
{
    boot_cpus(32, "trace=all trace.buffer=4032");
    ck_assert(!recording);
    ck_assert_uint_eq(owned, 0);  // a later try with less finds all of the memory
    ck_assert_int_eq(again, VMK_OK);
    ck_assert(logged("Trace: not recording: "));
    ck_assert(logged("try a smaller trace.buffer=4032 (KiB)\n"));
}
END_TEST

START_TEST(test_trace_boot__buffer_that_is_no_number__default)
{
    boot("trace=all trace.buffer=lots");
    ck_assert(logged("trace.buffer=lots is no number, using 256\n"));
    ck_assert(logged("256 KiB for each"));
}
END_TEST

KERNEL_TEST_MAIN("trace_boot", RUNS(test_trace_boot__no_option__no_recorder),
                 RUNS(test_trace_boot__classes__those_and_flight_by_default),
                 RUNS(test_trace_boot__unknown_class__named_and_all_recorded),
                 RUNS(test_trace_boot__unknown_mode__flight),
                 RUNS(test_trace_boot__stream_without_a_way_out__flight),
                 RUNS(test_trace_boot__stream_to_memory__said_where),
                 RUNS(test_trace_boot__way_out_that_is_not_there__said),
                 RUNS(test_trace_boot__buffers_larger_than_memory__not_recording_with_a_remedy),
                 RUNS(test_trace_boot__buffer_that_is_no_number__default))
