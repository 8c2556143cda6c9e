// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_import.c -- foreign traces into demand, on files small enough to reckon by hand.
 *
 * Method: the same little history (task a runs, wakes b, is preempted, sleeps; b runs) in each
 * spelling: perf text, raw and plugin ftrace text, CTF with perf's header and with LTTng's two.
 * All must give the same bursts and edges. Then damage: each error names its file, and any cut
 * of a good file is an error or a shorter trace, never a crash.
 */
#include "trace/import.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/workload/program.h"
#include "tests/unit/kernel_test.h"

static char folder[] = "/tmp/orrery-import-XXXXXX";
static char path[128];

static void setup(void)
{
    strcpy(folder, "/tmp/orrery-import-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[200];

    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *file(const char *name, const void *bytes, size_t size)
{
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    out = fopen(path, "wb");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, size, out), size);
    fclose(out);
    return path;
}

/* The steps of a world as one line: "run 1ms; wait x". */
static void steps(const struct workload *w, const char *name, char *out, size_t room)
{
    out[0] = 0;
    for (uint32_t i = 0; i < w->world_count; i++) {
        const struct wl_world *world = &w->worlds[i];

        for (uint32_t k = 0; !strcmp(world->name, name) && k < world->step_count; k++) {
            const struct wl_step *s = &w->steps[world->step_first + k];
            size_t used = strlen(out);
            char time[32];

            wl_time_print(s->kind == WL_UNTIL ? s->value : s->dist.a, time);
            snprintf(out + used, room - used, "%s%s %s", k ? "; " : "", wl_step_words[s->kind],
                     s->text ? s->text : time);
        }
    }
}

struct imported {
    struct workload w;
    struct demand_summary s;
    struct demand *d;
};

static bool import(struct imported *x, bool ctf, const char *from, uint64_t switch_cost)
{
    const struct demand_options o = {.switch_cost = switch_cost};

    wl_init(&x->w);
    x->d = demand_create(&o);
    if (!(ctf ? import_ctf(from, x->d) : import_text(from, x->d)))
        return false;
    demand_finish(x->d, 0, &x->w, &x->s);
    return true;
}

static void drop(struct imported *x)
{
    demand_free(x->d);
    wl_free(&x->w);
}

/*
 * CPU 0: idle, "a b" 7 at 1 ms, wakes c:x 18 at 3 ms, preempted by it at 4 ms; 18 sleeps at 6
 * ms, 7 runs on and sleeps at 9 ms; at 12 ms an interrupt wakes it, it runs from 13 ms and
 * waits for a disk at 14 ms, which wakes it at 17 ms from idle; it runs from 17.5 to 18 ms and
 * ends.
 */
static void look(struct imported *x)
{
    struct demand_world t;
    char text[400];

    ck_assert_uint_eq(x->s.tasks, 2);
    steps(&x->w, "a_b-7", text, sizeof(text));
    ck_assert_str_eq(text, "run 2ms; signal c:x-18; run 4ms; until 11ms; run 1ms; block 3ms; "
                           "run 500us");
    steps(&x->w, "c:x-18", text, sizeof(text));
    ck_assert_str_eq(text, "wait a_b-7; run 2ms");
    ck_assert(demand_world_at(x->d, 0, &t));
    ck_assert_uint_eq(t.run, 7500000);
    ck_assert_uint_eq(t.perf_run, 7500000);
    ck_assert_uint_eq(t.ready, 2000000 + 1000000 + 500000);
    ck_assert_uint_eq(t.preemptions, 1);
    ck_assert(demand_world_at(x->d, 1, &t));
    ck_assert_uint_eq(t.run, 2000000);
    ck_assert_uint_eq(t.ready, 1000000);
    ck_assert_double_eq(x->s.run_error, 0);
    ck_assert_double_eq(x->s.ready_error, 0);
    drop(x);
}

static const char *const texts[] = {
    /* perf script --ns, with lines that are not ours between */
    "# a comment\n"
    "  swapper 0 [000] 5.001000000: sched:sched_switch: prev_comm=swapper/0 prev_pid=0 "
    "prev_prio=120 "
    "prev_state=R ==> next_comm=a b next_pid=7 next_prio=120\n"
    " a b 7 [000] 5.002500000: sched:sched_stat_runtime: comm=a b pid=7 runtime=5 [ns]\n"
    " a b 7 [000] 5.003000000: sched:sched_waking: comm=c:x pid=18 prio=120 target_cpu=000\n"
    " a b 7 [000] 5.003000100: sched:sched_wakeup: comm=c:x pid=18 prio=120 target_cpu=000\n"
    " a b 7 [000] 5.004000000: sched:sched_switch: prev_comm=a b prev_pid=7 prev_prio=120 "
    "prev_state=R+ ==> next_comm=c:x next_pid=18 next_prio=120\n"
    " c:x 18/18 [000] 5.006000000: sched:sched_switch: prev_comm=c:x prev_pid=18 prev_prio=120 "
    "prev_state=S ==> next_comm=a b next_pid=7 next_prio=120\n"
    " a b 7 [000] 5.009000000: sched:sched_switch: prev_comm=a b prev_pid=7 prev_prio=120 "
    "prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120\n"
    " swapper 0 [000] 5.012000000: sched:sched_waking: comm=a b pid=7 prio=120 target_cpu=000\n"
    " swapper 0 [000] 5.013000000: sched:sched_switch: prev_comm=swapper/0 prev_pid=0 "
    "prev_prio=120 "
    "prev_state=R ==> next_comm=a b next_pid=7 next_prio=120\n"
    " a b 7 [000] 5.014000000: sched:sched_switch: prev_comm=a b prev_pid=7 prev_prio=120 "
    "prev_state=D ==> next_comm=swapper/0 next_pid=0 next_prio=120\n"
    " swapper 0 [000] 5.017000000: sched:sched_waking: comm=a b pid=7 prio=120 target_cpu=000\n"
    " swapper 0 [000] 5.017500000: sched:sched_switch: prev_comm=swapper/0 prev_pid=0 "
    "prev_prio=120 "
    "prev_state=R ==> next_comm=a b next_pid=7 next_prio=120\n"
    " a b 7 [000] 5.018000000: sched:sched_switch: prev_comm=a b prev_pid=7 prev_prio=120 "
    "prev_state=X ==> next_comm=swapper/0 next_pid=0 next_prio=120\n",
    /* trace-cmd report, its plugin's spelling, and microseconds */
    "cpus=1\n"
    "  <idle>-0     [000]  5.001000: sched_switch:         swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "     a b-7     [000]  5.003000: sched_waking:         c:x:18 [120] CPU:000\n"
    "     a b-7     [000]  5.004000: sched_switch:         a b:7 [120] R ==> c:x:18 [120]\n"
    "     c:x-18    [000]  5.006000: sched_switch:         c:x:18 [120] S ==> a b:7 [120]\n"
    "     a b-7     [000]  5.009000: sched_switch:         a b:7 [120] S ==> swapper/0:0 "
    "[120]\n"
    "  <idle>-0     [000]  5.012000: sched_waking:         a b:7 [120] CPU:000\n"
    "  <idle>-0     [000]  5.013000: sched_switch:         swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "     a b-7     [000]  5.014000: sched_switch:         a b:7 [120] D ==> swapper/0:0 "
    "[120]\n"
    "  <idle>-0     [000]  5.017000: sched_waking:         a b:7 [120] CPU:000\n"
    "  <idle>-0     [000]  5.017500: sched_switch:         swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "     a b-7     [000]  5.018000: sched_switch:         a b:7 [120] Z ==> swapper/0:0 "
    "[120]\n",
    /* the kernel's own file: flags, tgid; raw numbers as states; sched_wakeup alone */
    "# tracer: nop\n#\n"
    " <idle>-0 (-----) [000] d..2.  5.001000: sched_switch: prev_comm=swapper/0 prev_pid=0 "
    "prev_prio=120 prev_state=0 next_comm=a b next_pid=7 next_prio=120\n"
    " a b-7 (    7) [000] d..3.  5.003000: sched_wakeup: comm=c:x pid=18 prio=120 "
    "target_cpu=000\n"
    " a b-7 (    7) [000] d..2.  5.004000: sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=256 next_comm=c:x next_pid=18 next_prio=120\n"
    " c:x-18 (   18) [000] d..2.  5.006000: sched_switch: prev_comm=c:x prev_pid=18 "
    "prev_prio=120 "
    "prev_state=1 next_comm=a b next_pid=7 next_prio=120\n"
    " a b-7 (    7) [000] d..2.  5.009000: sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=1 next_comm=swapper/0 next_pid=0 next_prio=120\n"
    " <idle>-0 (-----) [000] d.h3.  5.012000: sched_wakeup: comm=a b pid=7 prio=120 "
    "target_cpu=000\n"
    " <idle>-0 (-----) [000] d..2.  5.013000: sched_switch: prev_comm=swapper/0 prev_pid=0 "
    "prev_prio=120 prev_state=0 next_comm=a b next_pid=7 next_prio=120\n"
    " a b-7 (    7) [000] d..2.  5.014000: sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=2 next_comm=swapper/0 next_pid=0 next_prio=120\n"
    " <idle>-0 (-----) [000] d.h3.  5.017000: sched_wakeup: comm=a b pid=7 prio=120 "
    "target_cpu=000\n"
    " <idle>-0 (-----) [000] d..2.  5.017500: sched_switch: prev_comm=swapper/0 prev_pid=0 "
    "prev_prio=120 prev_state=0 next_comm=a b next_pid=7 next_prio=120\n"
    " a b-7 (    7) [000] d..2.  5.018000: sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=32 next_comm=swapper/0 next_pid=0 next_prio=120\n",
    /*
     * perf of 4.x, whose plugin prints events as trace-cmd does; a header, lost events, a call
     * chain
     */
    "# ========\n# captured on: Mon Jan  1 00:00:00 2018\n# event : name = sched:sched_switch, "
    ", id = { 1 }\n#\n"
    "swapper     0 [000]     5.001000: sched:sched_switch: swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "\tffffffff810a1b2c __schedule ([kernel.kallsyms])\n\n"
    "a b     7 [000]     5.002000: PERF_RECORD_LOST lost 3\n"
    "a b     7/7     [000]     5.003000: sched:sched_waking: c:x:18 [120] success=1 CPU:000\n"
    "a b     7 [000]     5.004000: sched:sched_switch: a b:7 [120] R+ ==> c:x:18 [120]\n"
    "[c] x    18 [000]     5.006000: sched:sched_switch: c:x:18 [120] S ==> a b:7 [120]\n"
    "a b     7 [000]     5.009000: sched:sched_switch: a b:7 [120] S ==> swapper/0:0 [120]\n"
    "swapper     0 [000]     5.012000: sched:sched_waking: a b:7 [120] success=1 CPU:000\n"
    ":-1    -1 [000]     5.012500: sched:sched_process_exit: comm=x pid=99 prio=120\n"
    "swapper     0 [000]     5.013000: sched:sched_switch: swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "a b     7 [000]     5.014000: sched:sched_switch: a b:7 [120] D ==> swapper/0:0 [120]\n"
    "swapper     0 [000]     5.017000: sched:sched_waking: a b:7 [120] success=1 CPU:000\n"
    "swapper     0 [000]     5.017500: sched:sched_switch: swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "a b     7 [000]     5.018000: sched:sched_switch: a b:7 [120] x ==> swapper/0:0 [120]\n",
    /* perf script -F tid,cpu,time,misc,period,event,trace,ip,sym: no names before the CPU */
    "    0 [000] K     5.001000000:          1 sched:sched_switch: prev_comm=swapper/0 "
    "prev_pid=0 prev_prio=120 "
    "prev_state=R ==> next_comm=a b next_pid=7 next_prio=120 ffffffff821facd8 __schedule\n"
    "    7 [000] KH    5.003000000:          1 sched:sched_waking: comm=c:x pid=18 prio=120 "
    "target_cpu=000\n"
    "    7 [000] K     5.003100000:          1 sched:sched_migrate_task: comm=c:x pid=18 "
    "prio=120 orig_cpu=1 dest_cpu=0\n"
    "    7 [000] K     5.004000000:          1 sched:sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=R ==> next_comm=c:x next_pid=18 next_prio=120\n"
    "   18 [000] K     5.006000000:          1 sched:sched_switch: prev_comm=c:x prev_pid=18 "
    "prev_prio=120 "
    "prev_state=S ==> next_comm=a b next_pid=7 next_prio=120\n"
    "    7 [000] K     5.009000000:          1 sched:sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120\n"
    "    0 [000] K     5.012000000:          1 sched:sched_waking: comm=a b pid=7 prio=120 "
    "target_cpu=000\n"
    "    0 [000] K     5.013000000:          1 sched:sched_switch: prev_comm=swapper/0 "
    "prev_pid=0 prev_prio=120 "
    "prev_state=R ==> next_comm=a b next_pid=7 next_prio=120\n"
    "    7 [000] K     5.014000000:          1 sched:sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=D ==> next_comm=swapper/0 next_pid=0 next_prio=120\n"
    "    0 [000] K     5.017000000:          1 sched:sched_waking: comm=a b pid=7 prio=120 "
    "target_cpu=000\n"
    "    0 [000] K     5.017500000:          1 sched:sched_switch: prev_comm=swapper/0 "
    "prev_pid=0 prev_prio=120 "
    "prev_state=R ==> next_comm=a b next_pid=7 next_prio=120\n"
    "    7 [000] K     5.018000000:          1 sched:sched_switch: prev_comm=a b prev_pid=7 "
    "prev_prio=120 "
    "prev_state=X ==> next_comm=swapper/0 next_pid=0 next_prio=120\n",
    /*
     * trace-cmd report -l: CPU and flags in one word; lost events, function tracer, a program's
     * own mark
     */
    "cpus=1\n"
    "  <idle>-0       0d..2.  5.001000: sched_switch:         swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "     a b-7       0....1  5.002000: function:             vfs_read <-- ksys_read\n"
    "     a b-7       0....1  5.002100: tracing_mark_write:   sched_switch: of my own\n"
    "CPU:0 [3 EVENTS DROPPED]\n"
    "     a b-7       0d..3.  5.003000: sched_waking:         c:x:18 [120] CPU:000\n"
    "     a b-7       0d..2.  5.004000: sched_switch:         a b:7 [120] R ==> c:x:18 [120]\n"
    "     c:x-18      0d..2.  5.006000: sched_switch:         c:x:18 [120] S ==> a b:7 [120]\n"
    "     a b-7       0d..2.  5.009000: sched_switch:         a b:7 [120] S ==> swapper/0:0 "
    "[120]\n"
    "  <idle>-0       0d.h3.  5.012000: sched_waking:         a b:7 [120] CPU:000\n"
    "  <idle>-0       0d..2.  5.013000: sched_switch:         swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "     a b-7       0d..2.  5.014000: sched_switch:         a b:7 [120] D ==> swapper/0:0 "
    "[120]\n"
    "  <idle>-0       0d.h3.  5.017000: sched_waking:         a b:7 [120] CPU:000\n"
    "  <idle>-0       0d..2.  5.017500: sched_switch:         swapper/0:0 [120] R ==> a b:7 "
    "[120]\n"
    "     a b-7       0d..2.  5.018000: sched_switch:         a b:7 [120] Z ==> swapper/0:0 "
    "[120]\n",
};

START_TEST(test_import_text__each_spelling__gives_the_same_demand)
{
    struct imported x;

    ck_assert(import(&x, false, file("t.txt", texts[_i], strlen(texts[_i])), 0));
    look(&x);
}
END_TEST

/* Names that hold keys, events, brackets, arrows and numbers: the same as with plain ones. */
START_TEST(test_import_text__names_look_like_fields__are_names)
{
    static const char *const names[] = {
        "a",          "sched_switch: ", "pid=9 state=R", "x prev_pid=3 ", "p next_pid=44",
        "==> z [1]",  "q ==> z:2 [1]",  "a: [001] 3.5:", "PID [000] ",    "-5",
        "kworker/0:1"};
    char text[4096];
    struct imported x;

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        const char *n = names[i];

        if (_i == 0)
            snprintf(text, sizeof(text),
                     " %s 7 [000] 5.001: sched:sched_switch: prev_comm=%s prev_pid=7 "
                     "prev_prio=120 prev_state=S ==> next_comm=%s next_pid=8 next_prio=120\n"
                     " %s 8 [000] 5.002: sched:sched_waking: comm=%s pid=7 prio=120 "
                     "target_cpu=000\n"
                     " %s 8 [000] 5.004: sched:sched_switch: prev_comm=%s prev_pid=8 "
                     "prev_prio=120 prev_state=D ==> next_comm=%s next_pid=7 next_prio=120\n"
                     " %s 7 [000] 5.005: sched:sched_switch: prev_comm=%s prev_pid=7 "
                     "prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 "
                     "next_prio=120\n",
                     n, n, n, n, n, n, n, n, n, n);
        else
            snprintf(text, sizeof(text),
                     " %s-7 [000] 5.001: sched_switch: %s:7 [120] S ==> %s:8 [120]\n"
                     " %s-8 [000] 5.002: (+1000) sched_waking: %s:7 [120] CPU:000\n"
                     " %s-8 [000] 5.004: sched_switch: %s:8 [120] D ==> %s:7 [120]\n"
                     " %s-7 [000] 5.005: sched_switch: %s:7 [120] S ==> swapper/0:0 [120]\n",
                     n, n, n, n, n, n, n, n, n, n);
        ck_assert_msg(import(&x, false, file("t.txt", text, strlen(text)), 0), "%s", n);
        ck_assert_msg(x.s.tasks == 2 && x.s.run == 4000000 && x.s.edges == 1 &&
                          x.s.ready == 2000000,
                      "%s: %llu tasks, run %llu, %llu edges, ready %llu", n,
                      (unsigned long long)x.s.tasks, (unsigned long long)x.s.run,
                      (unsigned long long)x.s.edges, (unsigned long long)x.s.ready);
        drop(&x);
    }
}
END_TEST

/* A cut anywhere is an error or fewer events. */
START_TEST(test_import_text__cut_off__never_crashes)
{
    size_t size = strlen(texts[_i]);

    for (size_t cut = 0; cut < size; cut += 7) {
        struct imported x;

        (void)import(&x, false, file("t.txt", texts[_i], cut), 0);
        drop(&x);
    }
}
END_TEST

START_TEST(test_import_text__switch_cost__is_no_demand)
{
    struct imported x;
    char text[400];

    ck_assert(import(&x, false, file("t.txt", texts[0], strlen(texts[0])), 100000));
    steps(&x.w, "a_b-7", text, sizeof(text));
    /* 100 us less in each of the four runs. */
    ck_assert_str_eq(text, "run 1.9ms; signal c:x-18; run 3.9ms; until 11ms; run 900us; "
                           "block 3ms; run 400us");
    ck_assert_double_eq(x.s.run_error, 0);
    drop(&x);
}
END_TEST

/* An interrupt below a running task wakes: ftrace's flags say so, and no edge is made. */
START_TEST(test_import_text__woken_by_an_interrupt__is_from_outside)
{
    static const char text[] =
        " a-7 [000] d..2.  1.000000: sched_switch: prev_comm=a prev_pid=7 prev_prio=1 "
        "prev_state=R ==> "
        "next_comm=b next_pid=8 next_prio=1\n"
        " b-8 [000] d..2.  1.001000: sched_switch: prev_comm=b prev_pid=8 prev_prio=1 "
        "prev_state=S ==> "
        "next_comm=a next_pid=7 next_prio=1\n"
        " a-7 [000] d.h3.  1.002000: sched_waking: comm=b pid=8 prio=1 target_cpu=000\n"
        " a-7 [000] d..2.  1.003000: sched_switch: prev_comm=a prev_pid=7 prev_prio=1 "
        "prev_state=R ==> "
        "next_comm=b next_pid=8 next_prio=1\n"
        " b-8 [000] d..2.  1.004000: sched_switch: prev_comm=b prev_pid=8 prev_prio=1 "
        "prev_state=S ==> "
        "next_comm=a next_pid=7 next_prio=1\n";
    struct imported x;
    char steps_of[200];

    ck_assert(import(&x, false, file("t.txt", text, strlen(text)), 0));
    steps(&x.w, "b-8", steps_of, sizeof(steps_of));
    ck_assert_str_eq(steps_of, "run 1ms; until 2ms; run 1ms");
    ck_assert_uint_eq(x.s.edges, 0);
    drop(&x);
}
END_TEST

/*
 * A recorder that is turned off CPU by CPU and event by event: a's leaving of CPU 0 is missing,
 * and behind the last switch come wake-ups by tasks that nobody saw arrive.
 */
START_TEST(test_import_text__recorder_stops_in_steps__only_what_is_known_counts)
{
    static const char text[] =
        " swapper 0 [000] 1.001: sched:sched_switch: prev_comm=swapper/0 prev_pid=0 "
        "prev_prio=1 "
        "prev_state=R ==> next_comm=a next_pid=7 next_prio=1\n"
        " swapper 0 [001] 1.001: sched:sched_switch: prev_comm=swapper/1 prev_pid=0 "
        "prev_prio=1 "
        "prev_state=R ==> next_comm=b next_pid=8 next_prio=1\n"
        " a 7 [000] 1.002: sched:sched_waking: comm=c pid=9 prio=1 target_cpu=001\n"
        " b 8 [001] 1.003: sched:sched_switch: prev_comm=b prev_pid=8 prev_prio=1 "
        "prev_state=S ==> next_comm=c next_pid=9 next_prio=1\n"
        " c 9 [001] 1.004: sched:sched_switch: prev_comm=c prev_pid=9 prev_prio=1 "
        "prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=1\n"
        " swapper 0 [001] 1.007: sched:sched_waking: comm=a pid=7 prio=1 target_cpu=001\n"
        " swapper 0 [001] 1.008: sched:sched_switch: prev_comm=swapper/1 prev_pid=0 "
        "prev_prio=1 "
        "prev_state=R ==> next_comm=a next_pid=7 next_prio=1\n"
        " a 7 [001] 1.009: sched:sched_switch: prev_comm=a prev_pid=7 prev_prio=1 "
        "prev_state=S ==> next_comm=b next_pid=8 next_prio=1\n"
        " c 9 [000] 1.012: sched:sched_waking: comm=a pid=7 prio=1 target_cpu=001\n"
        " a 7 [001] 1.013: sched:sched_waking: comm=b pid=8 prio=1 target_cpu=001\n";
    struct imported x;
    struct demand_world t;
    char line[200];

    ck_assert(import(&x, false, file("t.txt", text, strlen(text)), 0));
    steps(&x.w, "a-7", line, sizeof(line));
    ck_assert_str_eq(line, "run 1ms; signal c-9; until 6ms; run 1ms");
    ck_assert(demand_world_at(x.d, 0, &t));
    ck_assert_uint_eq(t.run, 2000000);
    ck_assert_uint_eq(t.ready, 1000000);
    ck_assert_uint_eq(x.s.elapsed, 8000000);
    ck_assert_double_eq(x.s.run_error, 0);
    ck_assert_double_eq(x.s.ready_error, 0);
    drop(&x);
}
END_TEST

/*
 * perf knows a task no more: alone (1/-1), or with its whole process (-1/-1). All such are one
 * thread, of the first process that it still knew; before that, of none.
 */
START_TEST(test_import_text__samples_of_the_dead__are_named_as_timehist_does)
{
#define LEFT(sample, time, name, pid, state, next)                                             \
    sample " [000] " time ": sched:sched_switch: prev_comm=" name " prev_pid=" pid             \
           " prev_prio=1 prev_state=" state " ==> next_comm=x next_pid=" next " next_prio=1\n"
    static const char text[] = LEFT("swapper 0/0", "1.001", "swapper/0", "0", "R", "7")
        LEFT(":-1 -1/-1", "1.002", "a", "7", "X", "9")
            LEFT("b 8/9", "1.003", "b", "9", "S", "5")
                LEFT(":-1 4/-1", "1.004", "c", "5", "X", "6")
                    LEFT(":-1 3/-1", "1.005", "d", "6", "X", "2");
    static const char *const names[] = {"<idle> ", " :-1[-1] ", " b[9/8] ", " :-1[-1/4] ",
                                        " :-1[-1/4] "};
    char *lines = NULL, *line, *save = NULL;
    size_t size;
    const struct demand_options o = {.timehist = open_memstream(&lines, &size)};
    struct demand *d = demand_create(&o);
    unsigned n = 0;

    ck_assert(import_text(file("t.txt", text, strlen(text)), d));
    demand_free(d);
    fclose(o.timehist);
    for (line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
        ck_assert_uint_lt(n, ARRAY_COUNT(names));
        ck_assert_msg(strstr(line, names[n]), "%s for%s", line, names[n]);
    }
    ck_assert_uint_eq(n, ARRAY_COUNT(names));
    free(lines);
#undef LEFT
}
END_TEST

static const char *const bad_texts[] = {
    "",
    "hello\n",
    " a 7 [000] 5.0: sched:sched_switch: prev_comm=a\n",
    " a 7 000 5.0: sched:sched_switch: prev_pid=7 prev_state=S ==> next_pid=8 \n",
    " a 7 [000] time: sched:sched_switch: prev_comm=a prev_pid=7 prev_state=S ==> next_pid=8\n",
    " a 7 [000] 5.0: sched:sched_waking: comm=c pid=x prio=3\n",
};

START_TEST(test_import_text__what_is_no_trace__is_refused)
{
    struct imported x;

    ck_assert(!import(&x, false, file("t.txt", bad_texts[_i], strlen(bad_texts[_i])), 0));
    drop(&x);
}
END_TEST

/*
 * --- CTF ------------------------------------------------------------------------------------
 */

#define LTTNG_HEAD                                                                             \
    "/* CTF 1.8 */\n"                                                                          \
    "typealias integer { size = 8; align = 8; signed = false; } := uint8_t;\n"                 \
    "typealias integer { size = 32; align = 8; signed = false; } := uint32_t;\n"               \
    "typealias integer { size = 64; align = 8; signed = false; } := uint64_t;\n"               \
    "typealias integer { size = 64; align = 8; signed = false; } := unsigned long;\n"          \
    "typealias integer { size = 5; align = 1; signed = false; } := uint5_t;\n"                 \
    "typealias integer { size = 16; align = 8; signed = false; } := uint16_t;\n"               \
    "trace { major = 1; minor = 8; byte_order = le;\n"                                         \
    "  packet.header := struct { uint32_t magic; uint8_t uuid[16]; uint32_t stream_id;\n"      \
    "    uint64_t stream_instance_id; }; };\n"                                                 \
    "env { domain = \"kernel\"; tracer_name = \"lttng-modules\"; };\n"                         \
    "clock { name = \"monotonic\"; freq = 1000000000; offset = 1500000000000000000; };\n"      \
    "typealias integer { size = 27; align = 1; signed = false; map = clock.monotonic.value; }" \
    " := uint27_clock_monotonic_t;\n"                                                          \
    "typealias integer { size = 32; align = 8; signed = false; map = clock.monotonic.value; }" \
    " := uint32_clock_monotonic_t;\n"                                                          \
    "typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; }" \
    " := uint64_clock_monotonic_t;\n"                                                          \
    "struct packet_context { uint64_clock_monotonic_t timestamp_begin;\n"                      \
    "  uint64_clock_monotonic_t timestamp_end; uint64_t content_size; uint64_t packet_size;\n" \
    "  uint64_t packet_seq_num; unsigned long events_discarded; uint32_t cpu_id; };\n"         \
    "struct event_header_compact {\n"                                                          \
    "  enum : uint5_t { compact = 0 ... 30, extended = 31 } id;\n"                             \
    "  variant <id> { struct { uint27_clock_monotonic_t timestamp; } compact;\n"               \
    "    struct { uint32_t id; uint64_clock_monotonic_t timestamp; } extended; } v;\n"         \
    "} align(8);\n"                                                                            \
    "struct event_header_large {\n"                                                            \
    "  enum : uint16_t { compact = 0 ... 65534, extended = 65535 } id;\n"                      \
    "  variant <id> { struct { uint32_clock_monotonic_t timestamp; } compact;\n"               \
    "    struct { uint32_t id; uint64_clock_monotonic_t timestamp; } extended; } v;\n"         \
    "} align(8);\n"
#define LTTNG_EVENTS                                                                           \
    "event { name = \"sched_switch\"; id = 3; stream_id = 0; fields := struct {\n"             \
    "  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _prev_comm[16];\n"        \
    "  integer { size = 32; align = 8; signed = 1; } _prev_tid;\n"                             \
    "  integer { size = 64; align = 8; signed = 1; } _prev_state;\n"                           \
    "  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _next_comm[16];\n"        \
    "  integer { size = 32; align = 8; signed = 1; } _next_tid; }; };\n"                       \
    "event { name = \"sched_waking\"; id = 4; stream_id = 0; fields := struct {\n"             \
    "  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _comm[16];\n"             \
    "  integer { size = 32; align = 8; signed = 1; } _tid; }; };\n"                            \
    "event { name = \"other\"; id = 5; stream_id = 0; fields := struct {\n"                    \
    "  uint32_t _n; string _s; uint8_t _list[_n]; }; };\n"

/*
 * What LTTng may add: contexts, a call stack longer than our room for values, structs in
 * structs, variants.
 */
#define RICH_EVENTS(variant_payload)                                                           \
    "struct inner { uint8_t _b; };\n"                                                          \
    "variant payload { struct { uint8_t _n; } _small; uint64_t _large; };\n"                   \
    "enum task_state : integer { size = 64; align = 8; signed = 1; }\n"                        \
    "  { TASK_RUNNING, \"TASK_INTERRUPTIBLE\" = 1, many = 2 ... 4096, };\n"                    \
    "event { name = \"sched_switch\"; id = 3; stream_id = 0; loglevel = 13;\n"                 \
    "  context := struct { uint16_t _of_the_event; };\n"                                       \
    "  fields := struct {\n"                                                                   \
    "  struct { uint32_t _a; struct inner _inner[2]; } align(8) _outer;\n"                     \
    "  enum : uint8_t { _small = 0, _large = 1 } _tag;\n"                                      \
    "  " variant_payload " _payload;\n"                                                        \
    "  floating_point { exp_dig = 8; mant_dig = 24; align = 8; } _f;\n"                        \
    "  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _prev_comm[16];\n"        \
    "  integer { size = 32; align = 8; signed = 1; base = 10; } _prev_tid;\n"                  \
    "  enum task_state _prev_state;\n"                                                         \
    "  string _next_comm;\n"                                                                   \
    "  integer { size = 32; align = 8; signed = 1; } _next_tid; }; };\n"                       \
    "event { name = \"sched_waking\"; id = 4; stream_id = 0; fields := struct {\n"             \
    "  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _comm[16];\n"             \
    "  integer { size = 32; align = 8; signed = 1; } _tid; }; };\n"                            \
    "event { name = \"other\"; id = 5; stream_id = 0; fields := struct {\n"                    \
    "  uint32_t _n; string _s; uint8_t _list[_n]; }; };\n"

/*
 * The variant by its name, which babeltrace2 2.0.4 does not read (an assertion fails), and in
 * full.
 */
#define RICH_NAMED "variant payload <_tag>"
#define RICH_FULL  "variant <_tag> { struct { uint8_t _n; } _small; uint64_t _large; }"

struct bytes {
    uint8_t at[32768];
    size_t size;
    bool big;   // big-endian
    bool rich;  // RICH_EVENTS
    unsigned switches;
};

static void put(struct bytes *b, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        b->at[b->size++] = (uint8_t)(value >> (8 * (b->big ? size - 1 - i : i)));
}

static void put_name(struct bytes *b, const char *name)
{
    memset(b->at + b->size, 0, 16);
    memcpy(b->at + b->size, name, strlen(name));
    b->size += 16;
}

enum header {
    COMPACT,
    LARGE,
    EXTENDED
};

static void put_header(struct bytes *b, enum header h, unsigned id, uint64_t time)
{
    uint64_t low = time & ((1u << 27) - 1);

    if (h == COMPACT) {
        put(b, b->big ? (uint64_t)id << 27 | low : low << 5 | id, 4);
    } else if (h == LARGE) {
        put(b, id, 2);
        put(b, time & UINT32_MAX, 4);
    } else {
        put(b, b->big ? 31 << 3 : 31, 1);
        put(b, id, 4);
        put(b, time, 8);
    }
    if (b->rich) {  // the stream's context: of the task that runs
        put(b, 4711, 4);
        put_name(b, "context");
        put(b, 0, 1);
        put(b, 100, 4);
        for (unsigned i = 0; i < 100; i++)
            put(b, i, 8);
    }
}

static void put_rich(struct bytes *b)
{
    bool large = b->switches++ & 1;

    put(b, 3, 2);
    put(b, 5, 4);
    put(b, 6, 1);
    put(b, 7, 1);
    put(b, large, 1);
    put(b, 9, large ? 8 : 1);
    put(b, 0, 4);
}

static void put_switch(struct bytes *b, enum header h, uint64_t us, uint32_t prev,
                       const char *prev_name, uint64_t state, uint32_t next,
                       const char *next_name)
{
    put_header(b, h, 3, us * 1000);
    if (b->rich)
        put_rich(b);
    put_name(b, prev_name);
    put(b, prev, 4);
    put(b, state, 8);
    put_name(b, next_name);
    if (b->rich)
        b->size += strlen(next_name) + 1 - 16;
    put(b, next, 4);
}

static void put_wake(struct bytes *b, enum header h, uint64_t us, uint32_t task,
                     const char *name)
{
    put_header(b, h, 4, us * 1000);
    put_name(b, name);
    put(b, task, 4);
}

#define START_US 130000u  // before the 27-bit clock goes around (134 ms): it must be extended

static void packet_begin(struct bytes *b, uint64_t time)
{
    put(b, 0xC1FC1FC1, 4);
    for (int i = 0; i < 16; i++)
        put(b, (uint64_t)i, 1);
    put(b, 0, 4);
    put(b, 0, 8);
    put(b, time, 8);
    put(b, time, 8);
    put(b, 0, 8);  // sizes: packet_end()
    put(b, 0, 8);
    put(b, 0, 8);
    put(b, 0, 8);
    put(b, 0, 4);
}

static void packet_end(struct bytes *b, size_t begin, size_t padding, uint64_t time)
{
    struct bytes size = {.big = b->big};

    put(&size, (b->size - begin) * 8, 8);
    b->size += padding;
    put(&size, (b->size - begin) * 8, 8);
    memcpy(b->at + begin + 48, size.at, 16);
    put(&size, time, 8);
    memcpy(b->at + begin + 40, size.at + 16, 8);
}

/* The history of look(), in two packets. */
static void history(struct bytes *b, enum header h)
{
    const char *idle = "swapper/0", *a = "a b", *c = "c:x";
    uint64_t t = START_US;
    size_t second;

    packet_begin(b, t * 1000);
    put_switch(b, h, t + 1000, 0, idle, 0, 7, a);
    put_header(b, h, 5, (t + 2000) * 1000);  // an event that nobody asked for
    put(b, 3, 4);
    put(b, 'x', 1);
    put(b, 0, 1);
    put(b, 0x010203, 3);
    put_wake(b, h, t + 3000, 18, c);
    put_switch(b, h, t + 4000, 7, a, 256, 18, c);
    put_switch(b, h, t + 6000, 18, c, 1, 7, a);
    packet_end(b, 0, 100, (t + 6000) * 1000);
    second = b->size;
    packet_begin(b, (t + 8000) * 1000);
    put_switch(b, h, t + 9000, 7, a, 1, 0, idle);
    put_wake(b, h, t + 12000, 7, a);
    put_switch(b, h, t + 13000, 0, idle, 0, 7, a);
    put_switch(b, h, t + 14000, 7, a, 2, 0, idle);
    put_wake(b, h, t + 17000, 7, a);
    put_switch(b, h, t + 17500, 0, idle, 0, 7, a);
    put_switch(b, h, t + 18000, 7, a, 32, 0, idle);
    packet_end(b, second, 0, (t + 18000) * 1000);
}

/* As LTTng writes it: packets of 512 bytes with text in them. */
static void metadata_packets(struct bytes *b, const char *text)
{
    size_t length = strlen(text);

    for (size_t at = 0; at < length;) {
        size_t part = MIN(length - at, 512u - 37u);

        put(b, 0x75D11D57, 4);
        b->size += 16;
        put(b, 0, 4);
        put(b, (37 + part) * 8, 4);
        put(b, 512 * 8, 4);
        put(b, 0x000000, 3);
        put(b, 1, 1);
        put(b, 8, 1);
        memcpy(b->at + b->size, text + at, part);
        b->size += 512 - 37;
        at += part;
    }
}

/*
 * Shapes 0 to 2: LTTng's headers; + BIG: big-endian; + RICH: more in the events, metadata in
 * packets.
 */
#define SHAPES     12
#define SHAPE_BIG  3
#define SHAPE_RICH 6

static void ctf_make(int shape, struct bytes *b)
{
    enum header h = (enum header)(shape % 3);
    char metadata[16384];
    struct bytes packets = {.big = shape % SHAPE_RICH >= SHAPE_BIG};

    *b = (struct bytes){.big = packets.big, .rich = shape >= SHAPE_RICH};
    snprintf(
        metadata, sizeof(metadata),
        "%sstream { id = 0; event.header := struct %s; %s"
        "packet.context := struct packet_context; };\n%s",
        LTTNG_HEAD, h == LARGE ? "event_header_large" : "event_header_compact",
        b->rich
            ? "event.context := struct { integer { size = 32; align = 8; signed = 1; } _tid;"
              " integer { size = 8; align = 8; encoding = UTF8; } _procname[17];"
              " uint32_t __callstack_kernel_length;"
              " uint64_t _callstack_kernel[__callstack_kernel_length]; }; "
            : "",
        !b->rich ? LTTNG_EVENTS
        : b->big ? RICH_EVENTS(RICH_NAMED)
                 : RICH_EVENTS(RICH_FULL));
    if (b->big)
        memcpy(strstr(metadata, "byte_order = le"), "byte_order = be", 15);
    if (b->rich) {
        metadata_packets(&packets, metadata);
        file("metadata", packets.at, packets.size);
    } else {
        file("metadata", metadata, strlen(metadata));
    }
    history(b, h);
    file("channel0_0", b->at, b->size);
}

START_TEST(test_import_ctf__each_lttng_header__gives_the_same_demand)
{
    struct bytes b;
    struct imported x;

    ctf_make(_i, &b);
    ck_assert(import(&x, true, folder, 0));
    look(&x);
}
END_TEST

/* babeltrace2 must read the same bytes as we do, or the test proves nothing about LTTng. */
START_TEST(test_import_ctf__the_bytes__are_read_by_babeltrace2)
{
    struct bytes b;
    char command[300];
    int status;

    if (system("command -v babeltrace2 >/dev/null") != 0)
        return;
    ctf_make(_i, &b);
    snprintf(command, sizeof(command),
             "test \"$(babeltrace2 --names none %s 2>&1 | grep -c -E "
             "'sched_switch|sched_waking|other')\" = 12",
             folder);
    status = system(command);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_import_ctf__any_byte_damaged__never_crashes)
{
    struct bytes b;

    ctf_make(_i, &b);
    for (size_t k = 0; k < b.size; k += b.rich ? 41 : 3) {
        struct bytes bad = b;
        struct imported x;

        bad.at[k] ^= 0xff;
        file("channel0_0", bad.at, bad.size);
        (void)import(&x, true, folder, 0);
        drop(&x);
    }
    for (size_t cut = 0; cut < b.size; cut += b.rich ? 97 : 11) {
        struct imported x;

        file("channel0_0", b.at, cut);
        (void)import(&x, true, folder, 0);
        drop(&x);
    }
}
END_TEST

static const char *const bad_metadata[] = {
    "",
    "/* CTF 1.8 */\n",
    "trace { packet.header := struct { uint32_t magic; }; };",
    "stream { id = 0; event.header := struct { integer { size = 65; } id; }; };",
    "stream { id = 0; event.header := struct { integer { size = 8; align = 3; } id; }; };",
    "event { name = \"x\"; id = 0; stream_id = 7; };",
    "struct a { struct a { struct a { struct",
    "stream {",
    "trace { byte_order = be; };",
    "\x57\x1d\xd1\x75 a packet that is cut off",
    "stream { id = 0; packet.context := struct { uint8_t t; variant none <t> v; }; };",
    "\x1e{\"type\":\"preamble\",\"version\":2}",
};

START_TEST(test_import_ctf__bad_metadata__is_refused)
{
    struct imported x;

    file("channel0_0", "x", 1);
    file("metadata", bad_metadata[_i], strlen(bad_metadata[_i]));
    ck_assert(!import(&x, true, folder, 0));
    drop(&x);
}
END_TEST

/*
 * --- use over the day -----------------------------------------------------------------------
 */

static const char model[] = "0\n50\r\n100\n7.0\n\r\n\n";

START_TEST(test_import_planetlab__percentages__become_duty_cycles)
{
    struct workload w;

    wl_init(&w);
    ck_assert(import_planetlab(file("vm1", model, strlen(model)), &w, 100000000));
    ck_assert_uint_eq(w.duration, 4 * 300000000000ull);
    ck_assert_uint_eq(w.world_count, 1);
    ck_assert(strstr(w.source, "model:") != NULL);
    ck_assert_uint_eq(w.steps[0].kind, WL_UNTIL);  // the idle interval: nothing but its start
    ck_assert_uint_eq(w.steps[1].kind, WL_UNTIL);
    ck_assert_uint_eq(w.steps[1].value, 300000000000ull);
    ck_assert_uint_eq(w.steps[3].kind, WL_RUN);
    ck_assert_uint_eq(w.steps[3].dist.a, 50000000);
    wl_free(&w);
    wl_init(&w);
    ck_assert(!import_planetlab(file("vm2", "12\n101\n", 7), &w, 100000000));
    wl_free(&w);
    wl_init(&w);
    ck_assert(!import_planetlab(file("vm3", "12\n\n10\n", 7), &w, 100000000));
    wl_free(&w);
}
END_TEST

static const char bitbrains[] =
    "Timestamp [ms];\tCPU cores;\tCPU capacity provisioned [MHZ];\tCPU usage [MHZ];\tCPU usage "
    "[%];\t"
    "Memory capacity provisioned [KB];\tMemory usage [KB];\tDisk read\n"
    "1376314846;\t2;\t5200.0;\t1300.0;\t25.0;\t4194304.0;\t104857.6;\t0.5\n"
    "1376315146;\t2;\t5200.0;\t520.0;\t10.0;\t4194304.0;\t104857.6;\t0.5\n";

START_TEST(test_import_bitbrains__rows__become_vcpus_and_memory)
{
    struct workload w;
    struct program p;
    struct wl_error error;

    wl_init(&w);
    ck_assert(import_bitbrains(file("1.csv", bitbrains, strlen(bitbrains)), &w, 100000000));
    ck_assert_uint_eq(w.world_count, 2);
    ck_assert_uint_eq(w.host.mhz, 2600);
    ck_assert_uint_eq(w.duration, 600000000000ull);
    ck_assert_str_eq(w.vms[0].memory, "size=4194304K");
    ck_assert_str_eq(w.steps[1].text, "used=104858K active=104858K");
    ck_assert_uint_eq(w.steps[4].dist.a, 25000000);
    ck_assert_msg(program_link(&w, &p, &error), "%s", error.text);
    program_free(&p);
    wl_free(&w);
    wl_init(&w);
    ck_assert(
        !import_bitbrains(file("2.csv", bitbrains, strlen(bitbrains) - 60), &w, 100000000));
    wl_free(&w);
}
END_TEST

/* As published: CRLF, a row twice, values that are missing, a VM that is off. */
START_TEST(test_import_bitbrains__missing_values__are_as_in_the_row_before)
{
    static const char odd[] =
        "Timestamp [ms];\tCPU cores;\tCPU capacity provisioned [MHZ];\tCPU usage [MHZ];\tCPU "
        "usage [%];\t"
        "Memory capacity provisioned [KB];\tMemory usage [KB]\r\n"
        "1376314846;\t2;\t5200.0;\t1300.0;\t25.0;\t4194304.0;\t104857.6\r\n"
        "1376314846;\t2;\t5200.0;\t1300.0;\t25.0;\t4194304.0;\t104857.6\r\n"
        "1376315146;\t2;\t;\t520.0;\tNaN;\t4194304.0;\t\r\n"
        "1376315446;\t0;\t0;\t0;\t0;\t0;\t0\r\n";
    struct workload w;
    char text[400];

    wl_init(&w);
    ck_assert(import_bitbrains(file("1.csv", odd, strlen(odd)), &w, 100000000));
    ck_assert_uint_eq(w.world_count, 2);
    ck_assert_uint_eq(w.duration, 900000000000ull);
    steps(&w, w.worlds[0].name, text, sizeof(text));
    ck_assert_msg(strstr(text, "run 25ms") && strstr(text, "run 10ms"), "%s", text);
    ck_assert_msg(!strstr(strstr(text, "run 10ms") + 1, "run"), "%s", text);
    wl_free(&w);
}
END_TEST

/*
 * As others convert it: columns in another order, other separators, quotes, decimal commas,
 * blank lines.
 */
START_TEST(test_import_bitbrains__other_layouts__are_read_by_the_header)
{
    static const char *const layouts[] = {
        "Timestamp [ms],CPU usage [%],CPU cores,CPU usage [MHZ],CPU capacity provisioned [MHZ],"
        "Memory usage [KB],Memory capacity provisioned [KB]\r\n"
        "1376314846,25,2,1300,5200,104857.6,4194304\r\n\r\n"
        "1376315146,10,2,520,5200,104857.6,4194304\r\n\r\n",
        "Timestamp [ms]\tCPU usage [%]\tCPU cores\tCPU usage [MHZ]\tCPU capacity provisioned "
        "[MHZ]\tMemory usage [KB]\tMemory capacity provisioned [KB]\n"
        "1376314846\t25\t2\t1300\t5200\t104857.6\t4194304\n"
        "1376315146\t10\t2\t520\t5200\t104857.6\t4194304\n",
        "\"Timestamp\";\"CPU cores\";\"CPU capacity provisioned [MHZ]\";\"CPU usage "
        "[MHZ]\";\"CPU usage [%]\";\"Memory capacity provisioned [KB]\";\"Memory usage [KB]\"\n"
        "\"1376314846\";\"2\";\"5200,0\";\"1300,0\";\"25\";\"4194304\";\"104857,6\"\n"
        "\"1376315146\";\"2\";\"5200\";\"520\";\"10\";\"4194304\";\"104857,6\"\n",
    };
    struct workload w;
    char text[400];

    for (unsigned i = 0; i < ARRAY_COUNT(layouts); i++) {
        wl_init(&w);
        ck_assert(
            import_bitbrains(file("1.csv", layouts[i], strlen(layouts[i])), &w, 7000000000));
        ck_assert_uint_eq(w.world_count, 2);
        ck_assert_uint_eq(w.host.mhz, 2600);
        ck_assert_str_eq(w.vms[0].memory, "size=4194304K");
        /*
         * 42 times 7 s are less than an interval; the bursts sum up to a quarter of it all the
         * same.
         */
        ck_assert_uint_eq(w.steps[4].dist.a, 300000000000ull / 42 * 250 / 1000);
        wl_free(&w);
    }
    wl_init(&w);
    snprintf(text, sizeof(text), "Timestamp [ms];CPU kernels\n1;2\n");
    ck_assert(!import_bitbrains(file("2.csv", text, strlen(text)), &w, 100000000));
    wl_free(&w);
    /* A duty cycle longer than the interval: once per interval. */
    wl_init(&w);
    snprintf(text, sizeof(text), "10;1;1000;500;50;1;1\n20;1;1000;500;50;1;1\n");
    ck_assert(import_bitbrains(file("3.csv", text, strlen(text)), &w, 100000000000ull));
    ck_assert_uint_eq(w.steps[4].dist.a, 5000000000ull);
    wl_free(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import");
    TCase *t = tcase_create("import");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_import_text__each_spelling__gives_the_same_demand, 0,
                        ARRAY_COUNT(texts));
    tcase_add_loop_test(t, test_import_text__cut_off__never_crashes, 0, ARRAY_COUNT(texts));
    tcase_add_test(t, test_import_text__switch_cost__is_no_demand);
    tcase_add_loop_test(t, test_import_text__names_look_like_fields__are_names, 0, 2);
    tcase_add_test(t, test_import_text__woken_by_an_interrupt__is_from_outside);
    tcase_add_test(t, test_import_text__samples_of_the_dead__are_named_as_timehist_does);
    tcase_add_test(t, test_import_text__recorder_stops_in_steps__only_what_is_known_counts);
    tcase_add_loop_test(t, test_import_text__what_is_no_trace__is_refused, 0,
                        ARRAY_COUNT(bad_texts));
    tcase_add_loop_test(t, test_import_ctf__each_lttng_header__gives_the_same_demand, 0,
                        SHAPES);
    tcase_add_loop_test(t, test_import_ctf__the_bytes__are_read_by_babeltrace2, 0,
                        SHAPE_RICH + SHAPE_BIG);
    tcase_add_loop_test(t, test_import_ctf__any_byte_damaged__never_crashes, 0, SHAPES);
    tcase_add_loop_test(t, test_import_ctf__bad_metadata__is_refused, 0,
                        ARRAY_COUNT(bad_metadata));
    tcase_add_test(t, test_import_planetlab__percentages__become_duty_cycles);
    tcase_add_test(t, test_import_bitbrains__rows__become_vcpus_and_memory);
    tcase_add_test(t, test_import_bitbrains__missing_values__are_as_in_the_row_before);
    tcase_add_test(t, test_import_bitbrains__other_layouts__are_read_by_the_header);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
