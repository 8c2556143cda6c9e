// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_log.c -- the shape of a log line, levels, sinks, the ring.
 *
 * The simulated machine boots at 2026-01-31T12:14:56Z, and time moves only when a test says so.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's ring.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "core/core_internal.h"
#include "tests/unit/kernel_test.h"

static char text[LOG_RING_SIZE + 1];

/* A host without a line in its ring. */
static void begin(void)
{
    core_init();
    ck_assert_uint_eq(log_ring_copy(text, LOG_RING_SIZE), 0);
}

/* The whole ring as a string. */
static const char *ring(void)
{
    text[log_ring_copy(text, LOG_RING_SIZE)] = 0;
    return text;
}

START_TEST(test_log__one_line__shape)
{
    begin();
    sim_work(3123456789);
    vmk_log(VMK_LOG_INFO, "Sched: world %u: starved for %llu ms", 7, 12ull);
    ck_assert_str_eq(ring(),
                     "2026-01-31T12:14:59.123Z cpu0:0)Sched: world 7: starved for 12 ms\n");
}
END_TEST

static void log_once(void *argument)
{
    (void)argument;
    vmk_log(VMK_LOG_INFO, "Test: here");
}

START_TEST(test_log__in_a_world__its_id)
{
    sim_test_begin();
    sim_test_run(log_once, NULL);
    ck_assert_ptr_nonnull(strstr(ring(), "2026-01-31T12:14:56.000Z cpu0:1024)Test: here\n"));
    log_once(NULL);
    ck_assert_ptr_nonnull(strstr(ring(), "Z cpu0:1)Test: here\n"));
}
END_TEST

START_TEST(test_log__calendar__months_years_leap_days)
{
    static const struct {
        uint64_t seconds;  // since 1970
        const char *head;
    } dates[] = {
        {1769903999, "2026-01-31T23:59:59."}, {1769904000, "2026-02-01T00:00:00."},
        {1772323199, "2026-02-28T23:59:59."}, {1772323200, "2026-03-01T00:00:00."},
        {1798761599, "2026-12-31T23:59:59."}, {1798761600, "2027-01-01T00:00:00."},
        {1835395200, "2028-02-29T00:00:00."}, {1835481600, "2028-03-01T00:00:00."},
        {1861919999, "2028-12-31T23:59:59."}, {4107542399, "2100-02-28T23:59:59."},
        {4107542400, "2100-03-01T00:00:00."},
    };

    begin();
    for (unsigned i = 0; i < ARRAY_COUNT(dates); i++) {
        plat_ns at = (dates[i].seconds - plat_wall_time_at_boot()) * 1000000000ull;

        sim_work(at - plat_time_now());
        vmk_log(VMK_LOG_INFO, "Test: x");
        ck_assert_uint_eq(strlen(ring()) % 40, 0);

        const char *line = text + strlen(text) - 40;

        ck_assert_mem_eq(line, dates[i].head, 20);
        ck_assert_str_eq(line + 20, "000Z cpu0:0)Test: x\n");
    }
}
END_TEST

START_TEST(test_log__levels__less_important_ones_dropped)
{
    begin();
    vmk_log(VMK_LOG_DEBUG, "Test: debug 1");
    vmk_log(VMK_LOG_INFO, "Test: info 1");
    log_level_set(VMK_LOG_DEBUG);
    vmk_log(VMK_LOG_DEBUG, "Test: debug 2");
    log_level_set(VMK_LOG_ERROR);
    vmk_log(VMK_LOG_WARN, "Test: warn 3");
    vmk_log(VMK_LOG_ERROR, "Test: error 3");
    (void)ring();
    ck_assert_ptr_null(strstr(text, "debug 1"));
    ck_assert_ptr_nonnull(strstr(text, "info 1"));
    ck_assert_ptr_nonnull(strstr(text, "debug 2"));
    ck_assert_ptr_null(strstr(text, "warn 3"));
    ck_assert_ptr_nonnull(strstr(text, "error 3"));
}
END_TEST

START_TEST(test_log__every_length__cut_at_the_limit_and_ended)
{
    static char words[LOG_LINE_MAX + 50];
    size_t before = 0, head = strlen("2026-01-31T12:14:56.000Z cpu0:0)");

    begin();
    for (size_t length = LOG_LINE_MAX - 40; length < sizeof(words); length++) {
        memset(words, 'w', length);
        words[length - 1] = 0;
        vmk_log(VMK_LOG_INFO, "%s", words);

        size_t now = strlen(ring());
        size_t whole = head + length - 1;  // without the newline
        size_t room = LOG_LINE_MAX - 2;

        ck_assert_uint_eq(now - before, (whole < room ? whole : room) + 1);
        ck_assert_int_eq(text[now - 1], '\n');
        ck_assert_int_eq(text[now - 2], 'w');
        before = now;
    }
}
END_TEST

START_TEST(test_log__ring_wraps__newest_bytes_in_order)
{
    char expected[64];
    unsigned lines = 5000;  // about three rings

    begin();
    for (unsigned i = 0; i < lines; i++)
        vmk_log(VMK_LOG_INFO, "Test: number %u", i);
    // All but the byte of each line that says its level.
    ck_assert_uint_lt(strlen(ring()), LOG_RING_SIZE);
    ck_assert_uint_gt(strlen(ring()), LOG_RING_SIZE - LOG_RING_SIZE / 32);

    char *end = text + strlen(ring());

    for (unsigned i = lines; i-- > 0;) {
        int length = snprintf(expected, sizeof(expected),
                              "2026-01-31T12:14:56.000Z cpu0:0)Test: number %u\n", i);

        if (end - text < length) {
            // What is left is the tail of a line.
            ck_assert_mem_eq(text, expected + (length - (end - text)), (size_t)(end - text));
            ck_assert_uint_gt(i, 0);
            end = text;
            break;
        }
        end -= length;
        ck_assert_mem_eq(end, expected, (size_t)length);
    }
    ck_assert_ptr_eq(end, text);
}
END_TEST

START_TEST(test_log__copy_with_little_room__the_newest)
{
    begin();
    vmk_log(VMK_LOG_INFO, "Test: first");
    vmk_log(VMK_LOG_INFO, "Test: second");
    memset(text, 'x', 20);
    ck_assert_uint_eq(log_ring_copy(text, 7), 7);
    ck_assert_mem_eq(text, "second\nxx", 9);
    ck_assert_uint_eq(log_ring_copy(text, 0), 0);
}
END_TEST

START_TEST(test_log__sinks__each_gets_the_line_only_when_on)
{
    size_t length;

    begin();
    ck_assert_uint_eq(log_sinks(), 0);  // log=none
    vmk_log(VMK_LOG_INFO, "Test: nowhere");
    log_sinks_set(LOG_SINK_COM2);
    vmk_log(VMK_LOG_INFO, "Test: two");
    log_sinks_set(LOG_SINK_COM1);
    vmk_log(VMK_LOG_INFO, "Test: one");

    const char *com1 = sim_serial_text(0, &length);

    ck_assert_uint_eq(length, strlen("2026-01-31T12:14:56.000Z cpu0:0)Test: one\n"));
    ck_assert_mem_eq(com1, "2026-01-31T12:14:56.000Z cpu0:0)Test: one\n", length);

    const char *com2 = sim_serial_text(1, &length);

    ck_assert_uint_eq(length, strlen("2026-01-31T12:14:56.000Z cpu0:0)Test: two\n"));
    ck_assert_mem_eq(com2, "2026-01-31T12:14:56.000Z cpu0:0)Test: two\n", length);
}
END_TEST

START_TEST(test_log__before_core_init__dropped)
{
    vmk_log(VMK_LOG_ERROR, "Test: too early");
    begin();
}
END_TEST

START_TEST(test_log__emergency__no_lock_and_com1_always)
{
    size_t length;

    begin();
    (void)plat_irq_save();
    spin_lock_irqs_off(&this_host()->core->log.lock);
    log_emergency_write("help\n", 5);
    spin_unlock_irqs_off(&this_host()->core->log.lock);

    const char *com1 = sim_serial_text(0, &length);

    ck_assert_uint_eq(length, 5);
    ck_assert_mem_eq(com1, "help\n", 5);
    ck_assert_str_eq(ring(), "help\n");
}
END_TEST

START_TEST(test_log__console_levels__com2_and_ring_have_all)
{
    size_t length;

    begin();
    log_sinks_set(LOG_SINK_COM1 | LOG_SINK_COM2);
    log_console_levels_set(1);
    ck_assert_uint_eq(log_console_levels(), 1);
    vmk_log(VMK_LOG_WARN, "Test: quiet");
    (void)sim_serial_text(0, &length);
    ck_assert_uint_eq(length, 0);
    (void)sim_serial_text(1, &length);
    ck_assert_uint_gt(length, 0);
    vmk_log(VMK_LOG_ERROR, "Test: loud");
    (void)sim_serial_text(0, &length);
    ck_assert_uint_gt(length, 0);
    log_console_levels_set(99);
    ck_assert_uint_eq(log_console_levels(), 4);
    ck_assert_ptr_nonnull(strstr(ring(), "Test: quiet"));
}
END_TEST

START_TEST(test_log__read_on__whole_lines_once_and_lost_ones_skipped)
{
    char out[200];
    uint64_t at = 0;
    size_t n;

    begin();
    log_sinks_set(0);
    ck_assert_uint_eq(log_ring_read(&at, out, sizeof(out)), 0);
    vmk_log(VMK_LOG_INFO, "Test: one");
    vmk_log(VMK_LOG_INFO, "Test: two");
    n = log_ring_read(&at, out, 60);  // room for one of them
    ck_assert_mem_eq(out + n - 4, "one\n", 4);
    ck_assert_mem_eq(out, "<6>2026-", 8);
    n = log_ring_read(&at, out, sizeof(out));
    ck_assert_mem_eq(out + n - 4, "two\n", 4);
    ck_assert_uint_eq(log_ring_read(&at, out, sizeof(out)), 0);
    ck_assert_uint_eq(at, log_ring_end());
    for (unsigned i = 0; i < 3000; i++)
        vmk_log(VMK_LOG_INFO, "Test: line %u", i);
    n = log_ring_read(&at, out, sizeof(out));
    ck_assert_uint_gt(n, 0);
    ck_assert_mem_eq(out, "<6>2026-", 8);  // begins with a line's beginning
    ck_assert_int_eq(out[n - 1], '\n');
    n = log_ring_read(&at, out, 5);  // less than a line: in pieces, nothing is stuck
    ck_assert_uint_eq(n, 5);
}
END_TEST

START_TEST(test_log__levels__as_linux_names_them_and_only_for_readers_that_ask)
{
    char out[400], whole[400];
    uint64_t at = 0;
    size_t n;

    begin();
    log_sinks_set(0);
    log_level_set(VMK_LOG_DEBUG);
    vmk_log(VMK_LOG_ERROR, "Test: a\1b");  // no byte of a text passes for a level
    vmk_log(VMK_LOG_WARN, "Test: b");
    vmk_log(VMK_LOG_DEBUG, "Test: c");
    n = log_ring_read(&at, out, sizeof(out) - 1);
    out[n] = 0;
    ck_assert_mem_eq(out, "<3>", 3);
    ck_assert_ptr_nonnull(strstr(out, "Test: a b\n<4>"));
    ck_assert_ptr_nonnull(strstr(out, "Test: b\n<7>"));
    n = log_ring_copy(whole, sizeof(whole) - 1);
    whole[n] = 0;
    ck_assert_ptr_null(strpbrk(whole, "<\1\2\3\4"));
    ck_assert_uint_eq(n + 9, strlen(out));
    ck_assert_uint_eq(log_ring_copy(out, 10), 10);
    ck_assert_mem_eq(out, whole + n - 10, 10);
}
END_TEST

static unsigned seen_sinks;

static void options_main(void)
{
    core_init();
    seen_sinks = log_sinks();
    log_sinks_set(0);
    vmk_log(VMK_LOG_DEBUG, "Test: debug");
    (void)ring();
    sim_finish();
}

static bool debug_with(const char *command_line)
{
    sim_host_start(sim_host_create(1, 64, command_line), options_main);
    ck_assert(sim_run());
    return strstr(text, "debug") != NULL;
}

START_TEST(test_log__command_line__sinks_and_level)
{
    ck_assert(!debug_with(""));
    ck_assert_uint_eq(seen_sinks, LOG_SINK_SCREEN | LOG_SINK_COM1);
    ck_assert(debug_with("debug log=com2"));
    ck_assert_uint_eq(seen_sinks, LOG_SINK_COM2);
    ck_assert(!debug_with("log=screen,com2"));
    ck_assert_uint_eq(seen_sinks, LOG_SINK_SCREEN | LOG_SINK_COM2);
    ck_assert(!debug_with("log=none"));
    ck_assert_uint_eq(seen_sinks, 0);
}
END_TEST

KERNEL_TEST_MAIN("log", RUNS(test_log__one_line__shape), RUNS(test_log__in_a_world__its_id),
                 RUNS(test_log__calendar__months_years_leap_days),
                 RUNS(test_log__levels__less_important_ones_dropped),
                 RUNS(test_log__every_length__cut_at_the_limit_and_ended),
                 RUNS(test_log__ring_wraps__newest_bytes_in_order),
                 RUNS(test_log__copy_with_little_room__the_newest),
                 RUNS(test_log__sinks__each_gets_the_line_only_when_on),
                 RUNS(test_log__before_core_init__dropped),
                 RUNS(test_log__console_levels__com2_and_ring_have_all),
                 RUNS(test_log__read_on__whole_lines_once_and_lost_ones_skipped),
                 RUNS(test_log__levels__as_linux_names_them_and_only_for_readers_that_ask),
                 RUNS(test_log__emergency__no_lock_and_com1_always),
                 RUNS(test_log__command_line__sinks_and_level))
