// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_engine.c -- the event-driven simulator on workloads small enough to reckon by hand.
 *
 * Method: one or two worlds, no costs, round robin with a known quantum, and the times that pen
 * and paper give; the event heap against a sorted list; equal runs of equal seeds, unequal ones
 * of unequal.
 */
#include "sim/workload/replay.h"

#include <stdlib.h>
#include <string.h>

#include "sim/workload/evheap.h"
#include "tests/unit/kernel_test.h"

#define MS 1000000ull
#define FREE                                                                                   \
    "cost switch=0 smt=0 llc=0 package=0 numa=0\n"                                             \
    "policy rr quantum=10ms\n"

static struct workload w;
static struct program p;
static struct engine_result r;

static void load(const char *text)
{
    struct wl_error error;

    ck_assert_msg(wl_parse(text, strlen(text), &w, &error), "%u:%u: %s", error.line,
                  error.field, error.text);
    ck_assert_msg(program_link(&w, &p, &error), "%u: %s", error.line, error.text);
}

static void unload(void)
{
    engine_result_free(&r);
    program_free(&p);
    wl_free(&w);
}

static void run(const char *text)
{
    const struct engine_options o = {.seed = 1};

    load(text);
    ck_assert_msg(engine_run(&p, &o, &r), "%s", r.error);
}

static const struct engine_times *of(const char *name)
{
    for (uint32_t i = 0; i < p.world_count; i++) {
        if (!strcmp(p.worlds[i].name, name))
            return &r.worlds[i].times;
    }
    ck_abort_msg("no world %s", name);
    return NULL;
}

START_TEST(test_engine__one_world__runs_and_ends)
{
    run(FREE "duration 1s\nworld a\n  run 3ms ; block io 2ms ; run 4ms ; count\n");
    ck_assert_uint_eq(of("a")->run, 7 * MS);
    ck_assert_uint_eq(of("a")->work, 7 * MS);
    ck_assert_uint_eq(of("a")->wait, 2 * MS);
    ck_assert_uint_eq(of("a")->ready, 0);
    ck_assert_uint_eq(of("a")->ops, 1);
    ck_assert_uint_eq(r.duration, 9 * MS);
    ck_assert(r.worlds[0].ended);
    unload();
}
END_TEST

/* Round robin, quantum 10 ms: a runs 0-10, b 10-20, a 20-25 and ends, b 25-40. */
START_TEST(test_engine__two_worlds_by_turns__wait_for_each_other)
{
    run(FREE "duration 1s\nworld a\n  run 15ms\nworld b\n  run 25ms\n");
    ck_assert_uint_eq(of("a")->run, 15 * MS);
    ck_assert_uint_eq(of("b")->run, 25 * MS);
    ck_assert_uint_eq(of("a")->ready, 10 * MS);
    ck_assert_uint_eq(of("b")->ready, 15 * MS);
    ck_assert_uint_eq(r.duration, 40 * MS);
    unload();
}
END_TEST

START_TEST(test_engine__switch_cost__is_run_but_not_work)
{
    run("cost switch=100us smt=0 llc=0 package=0 numa=0\npolicy rr quantum=10ms\nduration 1s\n"
        "world a\n  run 3ms ; block io 2ms ; run 4ms\n");
    ck_assert_uint_eq(of("a")->run, 7 * MS + 200000);
    ck_assert_uint_eq(of("a")->work, 7 * MS);
    unload();
}
END_TEST

/* every 10 ms: released at 0, 10, 20; align: at the next multiple; until: absolute. */
START_TEST(test_engine__timers__are_absolute)
{
    run(FREE "duration 1s\n"
             "world e start=1ms\n  begin ; run 3ms ; every 10ms ; loop 3\n"
             "world a affinity=0\n  run 1ms ; align 10ms ; run 1ms\n");
    /* e: its releases are 1, 11, 21 ms; the first is past at once. */
    ck_assert_uint_eq(of("e")->run, 9 * MS);
    ck_assert_uint_eq(of("a")->run, 2 * MS);
    ck_assert_uint_eq(of("a")->wait, 9 * MS + (r.duration - 11 * MS));
    unload();
    run(FREE "duration 1s\nworld u\n  run 1ms ; until 16ms ; run 1ms ; until 5ms ; run 1ms\n");
    ck_assert_uint_eq(r.duration, 18 * MS);
    unload();
}
END_TEST

/* A signal before the wait is not lost, and an edge keeps two senders apart. */
START_TEST(test_engine__signals__are_counted_and_kept_apart)
{
    run(FREE
        "host cpus=3\nduration 1s\n"
        "world one\n  run 1ms ; signal to ; signal to\n"
        "world two\n  run 5ms ; signal to\n"
        "world to\n  run 3ms ; wait one ; run 1ms ; wait two ; run 1ms ; wait one ; run 1ms\n");
    /* 3 run, one's signal is there, 1 run, two's comes at 5, 1 run, one's is there, 1 run. */
    ck_assert_uint_eq(of("to")->run, 6 * MS);
    ck_assert_uint_eq(r.duration, 7 * MS);
    unload();
}
END_TEST

START_TEST(test_engine__broadcast__wakes_all_who_wait)
{
    run(FREE "host cpus=4\nduration 1s\nevent go\n"
             "world w[0..2]\n  wait go ; run 2ms ; count\n"
             "world drum\n  run 5ms ; broadcast go\n");
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(r.worlds[i].times.ops, 1);
        ck_assert_uint_eq(r.worlds[i].times.run, 2 * MS);
    }
    ck_assert_uint_eq(r.duration, 7 * MS);
    unload();
}
END_TEST

static const struct {
    const char *kind;
    uint64_t spin, wait;
} locks[] = {
    {"spin", 4, 0},
    {"ticket", 4, 0},
    {"block", 0, 4},
    {"adaptive spin=1ms", 1, 3},
    {"adaptive spin=9ms", 4, 0},
};

/* a has the lock from 1 to 6 ms, b wants it at 2 ms. */
START_TEST(test_engine__lock__is_waited_for_as_its_kind_says)
{
    char text[512];

    snprintf(text, sizeof(text),
             FREE "host cpus=2\nduration 1s\nlock l kind=%s\n"
                  "world a\n  run 1ms ; lock l ; run 5ms ; unlock l ; run 10ms\n"
                  "world b\n  run 2ms ; lock l ; run 1ms ; unlock l\n",
             locks[_i].kind);
    run(text);
    ck_assert_uint_eq(of("b")->spin, locks[_i].spin * MS);
    ck_assert_uint_eq(of("b")->work, 3 * MS);
    ck_assert_uint_eq(of("b")->run, (3 + locks[_i].spin) * MS);
    ck_assert_uint_eq(of("b")->wait, locks[_i].wait * MS + r.duration - 7 * MS);
    ck_assert_uint_eq(of("a")->spin, 0);
    unload();
}
END_TEST

/*
 * One CPU: the holder is preempted at 10 ms with the lock; who wants it burns a whole quantum.
 */
START_TEST(test_engine__lock_holder_preempted__the_spinner_burns_its_quantum)
{
    run(FREE "host cpus=1\nduration 1s\nlock l kind=spin\n"
             "world a\n  run 9ms ; lock l ; run 5ms ; unlock l\n"
             "world b\n  lock l ; run 1ms ; unlock l\n");
    ck_assert_uint_eq(of("b")->spin, 10 * MS);
    ck_assert_uint_eq(of("a")->run, 14 * MS);
    ck_assert_uint_eq(r.duration, 25 * MS);
    unload();
}
END_TEST

START_TEST(test_engine__barrier__lets_all_go_when_the_last_comes)
{
    run(FREE "host cpus=3\nduration 1s\nbarrier b n=3 spin=2ms\n"
             "world a\n  run 1ms ; barrier b ; run 1ms\n"
             "world c\n  run 3ms ; barrier b ; run 1ms\n"
             "world d\n  run 4ms ; barrier b ; run 1ms\n");
    ck_assert_uint_eq(of("a")->spin, 2 * MS);
    ck_assert_uint_eq(of("a")->wait, 1 * MS);
    ck_assert_uint_eq(of("c")->spin, 1 * MS);
    ck_assert_uint_eq(of("d")->spin, 0);
    ck_assert_uint_eq(r.duration, 5 * MS);
    unload();
}
END_TEST

START_TEST(test_engine__smt__a_busy_sibling_slows_both)
{
    run("cost switch=0 smt=0 llc=0 package=0 numa=0 smt_speed=50%\n"
        "policy rr quantum=100ms\nhost cpus=2 threads=2\nduration 1s\n"
        "world a affinity=0\n  run 4ms\nworld b affinity=1\n  run 10ms\n");
    /* Both at half speed for 8 ms; then b has 6 ms left at full speed. */
    ck_assert_uint_eq(of("a")->run, 8 * MS);
    ck_assert_uint_eq(of("b")->run, 14 * MS);
    ck_assert_uint_eq(of("b")->work, 10 * MS);
    unload();
}
END_TEST

START_TEST(test_engine__loops__nest)
{
    run(FREE "duration 10s\nworld a\n  begin ; begin ; run 1ms ; count ; loop 3 ; sleep 1ms ; "
             "loop 4\n");
    ck_assert_uint_eq(of("a")->ops, 12);
    ck_assert_uint_eq(of("a")->run, 12 * MS);
    ck_assert_uint_eq(of("a")->wait, 4 * MS);
    unload();
}
END_TEST

static const struct {
    const char *text, *has;
} bad_runs[] = {
    {"duration 1s\nworld a\n  count ; loop\n", "without using time"},
    {"duration 1s\nlock l kind=spin\nworld a\n  unlock l\n", "has not"},
    {"duration 1s\nlock l kind=spin\nworld a\n  lock l ; run 1ms ; lock l\n", "that it has"},
    {"host cpus=2\nduration 1s\nworld a affinity=5\n  run 1ms\n", "none of its CPUs"},
    {"host cpus=1 speed=1000MHz\nworld a min=800MHz\n  run 1ms\nworld b min=800MHz\n  run "
     "1ms\n",
     "world b"},
};

START_TEST(test_engine__a_run_that_cannot_go_on__says_why)
{
    const struct engine_options o = {.seed = 1};

    load(bad_runs[_i].text);
    ck_assert(!engine_run(&p, &o, &r));
    ck_assert_msg(strstr(r.error, bad_runs[_i].has), "%s", r.error);
    unload();
}
END_TEST

static const char random_load[] = "host cpus=4 llc=2\nduration 300ms\nlock l kind=adaptive\n"
                                  "event go\npool q shares=500\n"
                                  "world a[0..5] start=uniform(0,2ms)\n"
                                  "  run exp(700us) ; block io exp(1ms) ; loop\n"
                                  "world b[0..3] pool=q\n"
                                  "  run exp(300us) ; lock l ; run 50us ; unlock l ; loop\n"
                                  "world c\n  run 100us ; signal go ; sleep exp(3ms) ; loop\n"
                                  "world d\n  wait go ; run normal(2ms,500us) ; loop\n";

/* Equal seeds give equal hashes; another seed another; a recording changes nothing. */
START_TEST(test_engine__equal_seeds__equal_runs)
{
    struct engine_options o = {.seed = 7};
    struct replay_trace first, second, other;
    struct engine_result plain;

    load(random_load);
    ck_assert_msg(replay_recorded(&p, &o, NULL, &r, &first), "%s", r.error);
    ck_assert_uint_gt(first.records, 1000);
    ck_assert(engine_run(&p, &o, &plain));
    for (uint32_t i = 0; i < p.world_count; i++) {
        ck_assert_mem_eq(&plain.worlds[i].times, &r.worlds[i].times,
                         sizeof(plain.worlds[i].times));
        ck_assert_uint_eq(plain.worlds[i].measured, plain.worlds[i].times.run);
    }
    engine_result_free(&plain);
    engine_result_free(&r);
    ck_assert(replay_recorded(&p, &o, NULL, &r, &second));
    ck_assert_uint_eq(first.hash, second.hash);
    engine_result_free(&r);
    o.seed = 8;
    ck_assert(replay_recorded(&p, &o, NULL, &r, &other));
    ck_assert_uint_ne(first.hash, other.hash);
    unload();
}
END_TEST

/* A world more draws from streams of its own: the lengths of the others stay. */
START_TEST(test_engine__one_more_world__moves_no_other_stream)
{
    struct rng a, b;
    const struct wl_dist d = {.kind = WL_DIST_EXP, .a = MS};

    rng_init(&a, 1, "a0", 0);
    rng_init(&b, 1, "a0", 0);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(wl_dist_sample(&d, &a, 0), wl_dist_sample(&d, &b, 0));
    run(FREE
        "host cpus=2\nduration 1s\nworld a affinity=0\n  begin ; run exp(1ms) ; sleep 1ms ; "
        "loop 50\n");

    uint64_t alone = of("a")->run;

    unload();
    run(FREE "host cpus=2\nduration 1s\nworld x affinity=1\n  run exp(1ms) ; loop\n"
             "world a affinity=0\n  begin ; run exp(1ms) ; sleep 1ms ; loop 50\n");
    ck_assert_uint_eq(of("a")->run, alone);
    unload();
}
END_TEST

START_TEST(test_evheap__against_a_sorted_list)
{
    enum {
        SLOTS = 100
    };
    struct evheap h;
    uint64_t time[SLOTS], order[SLOTS], settings = 0;
    struct rng rng;

    ck_assert(evheap_init(&h, SLOTS));
    for (int i = 0; i < SLOTS; i++)
        order[i] = 0;
    rng_init(&rng, 3, "evheap", 0);
    for (int step = 0; step < 200000; step++) {
        uint32_t slot = (uint32_t)rng_below(&rng, SLOTS);
        const struct evheap_event *first;
        uint32_t best = SLOTS;

        if (rng_below(&rng, 3)) {
            time[slot] = rng_below(&rng, 50);  // many ties
            order[slot] = ++settings;
            evheap_set(&h, slot, time[slot]);
        } else {
            order[slot] = 0;
            evheap_clear(&h, slot);
        }
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (order[i] && (best == SLOTS || time[i] < time[best] ||
                             (time[i] == time[best] && order[i] < order[best])))
                best = i;
        }
        first = evheap_first(&h);
        ck_assert_int_eq(first != NULL, best != SLOTS);
        if (first)
            ck_assert_uint_eq(evheap_slot(first), best);
    }
    evheap_free(&h);
}
END_TEST

/* What a claim means: pass and fail of each relation, windows, variants. */
static const struct {
    const char *claim;
    bool holds;
} claims[] = {
    {"run(a) = 15ms", true},
    {"run(a) = 15.1ms", false},
    {"run(a) = 15.1ms within 1%", true},
    {"run(a) = 16ms within 1ms", true},
    {"run(*) <= 40ms", true},
    {"run(*) < 40ms", false},
    {"share(b) = 5/8", true},
    {"2 * run(a) + 10ms - 3 = 4 * run(b) / 2 - 3 - 10ms", true},
    {"run(nobody) >= 0", false},
    {"elapsed() = 40ms", true},
    {"low(*) = 15ms", true},
    {"high(*) = 25ms", true},
    {"run(a) = 10ms each 10ms to 10ms", true},
    {"run(a) + run(b) = 10ms each 10ms", true},
    {"run(a) = 5ms each 10ms", false},
    {"slow.elapsed() = 40ms", true},
    {"slow.ready(b) >= ready(b)", true},
    {"wake_max(b) = 10ms", true},
    {"switches(a) = 2", true},
};

START_TEST(test_judge__claims__are_judged)
{
    char text[512], why[200];
    struct engine_options o = {.seed = 1};
    struct engine_result results[2];
    struct judge j = {&p, &results[0], &results[1]};
    struct wl_error error;

    snprintf(text, sizeof(text),
             FREE "duration 40ms\nvariant slow quantum=20ms\n"
                  "world a\n  run 15ms\nworld b\n  run 25ms\nexpect %s\n",
             claims[_i].claim);
    load(text);
    ck_assert(judge_sample_period(&w, &o.sample_period, &error));
    ck_assert_msg(engine_run(&p, &o, &results[0]), "%s", results[0].error);
    o.variant = &w.variants[0];
    ck_assert_msg(engine_run(&p, &o, &results[1]), "%s", results[1].error);
    ck_assert_msg(judge_expect(&j, 0, why, sizeof(why)) == claims[_i].holds, "%s: %s",
                  claims[_i].claim, why);
    engine_result_free(&results[0]);
    engine_result_free(&results[1]);
    unload();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *t = tcase_create("engine");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_engine__one_world__runs_and_ends);
    tcase_add_test(t, test_engine__two_worlds_by_turns__wait_for_each_other);
    tcase_add_test(t, test_engine__switch_cost__is_run_but_not_work);
    tcase_add_test(t, test_engine__timers__are_absolute);
    tcase_add_test(t, test_engine__signals__are_counted_and_kept_apart);
    tcase_add_test(t, test_engine__broadcast__wakes_all_who_wait);
    tcase_add_loop_test(t, test_engine__lock__is_waited_for_as_its_kind_says, 0,
                        ARRAY_COUNT(locks));
    tcase_add_test(t, test_engine__lock_holder_preempted__the_spinner_burns_its_quantum);
    tcase_add_test(t, test_engine__barrier__lets_all_go_when_the_last_comes);
    tcase_add_test(t, test_engine__smt__a_busy_sibling_slows_both);
    tcase_add_test(t, test_engine__loops__nest);
    tcase_add_loop_test(t, test_engine__a_run_that_cannot_go_on__says_why, 0,
                        ARRAY_COUNT(bad_runs));
    tcase_add_test(t, test_engine__equal_seeds__equal_runs);
    tcase_add_test(t, test_engine__one_more_world__moves_no_other_stream);
    tcase_add_test(t, test_evheap__against_a_sorted_list);
    tcase_add_loop_test(t, test_judge__claims__are_judged, 0, ARRAY_COUNT(claims));
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
