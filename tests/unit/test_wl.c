// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_wl.c -- the workload language: what it takes, what each error names, round trips.
 *
 * Method: texts with one mistake each, with the line, field and word that the error must have;
 * random lengths against the moments that their definition says; the printer against the
 * parser.
 */
#include "sched/machine.h"
#include "sim/workload/judge.h"
#include "sim/workload/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kernel_test.h"

static struct workload w;
static struct wl_error error;

static bool parse(const char *text)
{
    return wl_parse(text, strlen(text), &w, &error);
}

static char *printed(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    wl_print(&w, out);
    fclose(out);
    return text;
}

static const char everything[] =
    "# a comment\n"
    "workload all\n"
    "source perf script of sleep\n"
    "loop open\n"
    "duration 1.5s\n"
    "host cpus=4 threads=2 llc=4 package=4 numa=2 speed=2400MHz\n"
    "cost switch=2us smt=1us llc=5us package=9us numa=50us remote=20% smt_speed=62%\n"
    "policy share quantum=10ms cosched=strict costop=3ms costart=2ms\n"
    "variant u cosched=off policy=rr\n"
    "pool a shares=2000 min=10% max=1000MHz\n"
    "pool b parent=a expandable=no\n"
    "vm vm1 pool=b shares=1000 max=12.5%\n"
    "mem vm1 size=1024M zero=12% dup=20%\n"
    "event go count=3\n"
    "lock l kind=adaptive spin=30us\n"
    "barrier bar n=2 spin=1ms\n"
    "world vm1.v[0..3] vm=vm1 affinity=0,2-3 start=uniform(0,1ms)\n"
    "  begin\n"
    "  run exp(2ms) ; block io lat=1.2ms; touch ws=hot n=400 skew=zipf:0.9 write=20%\n"
    "  lock l ; run 10us ; unlock l ; loop 10\n"
    "  signal vm1.v{i+1} ; wait vm1.v{i-1} ; wait go ; barrier bar ; yield ; count\n"
    "  loop\n"
    "world thief shares=1000 pool=a\n"
    "  run choice( 1ms:3, 2ms ); align 10ms ; every 10ms phase=1ms ; until 5s\n"
    "  sleep cycle(1ms,2ms) ; broadcast go ; run pareto(1ms,1.5)\n"
    "  run normal(1ms,100us) ; block swap 1ms ; exit\n"
    "at 5s set thief shares=4000 affinity=1\n"
    "recorded thief run=1.5ms ready=20ns switches=7\n"
    "selfreplay run=0.5% ready=0.000001%\n"
    "expect run(vm1.*) = 2 * u.run(thief) within 1% each 1s step 10ms from 100ms to 10s\n"
    "expect (share(a) + 3%) / 2 >= 0.25 within 10ms by share edf\n";

START_TEST(test_wl_parse__everything__is_kept)
{
    ck_assert_msg(parse(everything), "%u:%u %s", error.line, error.field, error.text);
    ck_assert_str_eq(w.name, "all");
    ck_assert(w.open_loop);
    ck_assert_uint_eq(w.duration, 1500000000);
    ck_assert_uint_eq(w.host.numa, 2);
    ck_assert_uint_eq(w.costs.numa, 50000);
    ck_assert_uint_eq(w.policy.tunable_count, 4);
    ck_assert_uint_eq(w.policy.tunables[1].value, 2);  // strict
    ck_assert_str_eq(w.variants[0].policy, "rr");
    ck_assert_uint_eq(w.pools[0].resources.min.value, 1000);
    ck_assert_int_eq(w.pools[0].resources.min.unit, WL_UNIT_PERCENT);
    ck_assert(!w.pools[1].expandable && w.pools[0].expandable);
    ck_assert_str_eq(w.vms[0].memory, "size=1024M zero=12% dup=20%");
    ck_assert_uint_eq(w.objects[0].count, 3);
    ck_assert_int_eq(w.objects[1].lock, WL_LOCK_ADAPTIVE);
    ck_assert_uint_eq(w.worlds_expanded, 5);
    ck_assert_uint_eq(w.worlds[0].affinity, 0xd);
    ck_assert_uint_eq(w.worlds[0].step_count, 15);
    ck_assert_uint_eq(w.steps[1].dist.kind, WL_DIST_EXP);
    ck_assert_uint_eq(w.steps[2].wait, WL_WAIT_IO);
    ck_assert_uint_eq(w.changes[0].time, 5000000000);
    ck_assert_uint_eq(w.recorded[0].run, 1500000);
    ck_assert_double_eq_tol(w.self_replay_run, 0.005, 1e-12);
    ck_assert_uint_eq(w.expects[0].each, 1000000000);
    ck_assert_uint_eq(w.expects[0].step, 10000000);
    ck_assert_double_eq_tol(w.expects[0].within, 0.01, 1e-12);
    ck_assert_uint_eq(w.expects[1].within_ns, 10000000);
    ck_assert_uint_eq(w.expects[0].by, 0);
    ck_assert_uint_eq(w.expects[1].by, 1u << SCHED_POLICY_SHARE | 1u << SCHED_POLICY_EDF);
    wl_free(&w);
}
END_TEST

START_TEST(test_wl_print__parsed_again__is_the_same)
{
    char *first, *second;

    ck_assert(parse(everything));
    first = printed();
    wl_free(&w);
    ck_assert_msg(parse(first), "%u:%u %s\n%s", error.line, error.field, error.text, first);
    second = printed();
    ck_assert_str_eq(first, second);
    wl_free(&w);
    free(first);
    free(second);
}
END_TEST

static const struct {
    const char *text;
    uint32_t line, field;
    const char *has;
} mistakes[] = {
    {"", 1, 1, "no world"},
    {"world a\n  run 1ms\nwhat 3\n", 3, 1, "unknown word 'what'"},
    {"run 1ms\n", 1, 1, "begin the line with a blank"},
    {"  run 1ms\n", 1, 1, "without a world"},
    {"world a\n  jump 1ms\n", 2, 1, "unknown step 'jump'"},
    {"world a\n  run\n", 2, 2, "one time or distribution"},
    {"world a\n  run 1 ms\n", 2, 2, "one time or distribution"},
    {"world a\n  run 1.5ns\n", 2, 2, "is no time"},
    {"world a\n  run 99999999999s\n", 2, 2, "is no time"},
    {"world a\n  run exp(1ms\n", 2, 2, "'(' without ')'"},
    {"world a\n  run exp(1ms,2ms)\n", 2, 2, "bad or a missing number"},
    {"world a\n  run gauss(1ms)\n", 2, 2, "use uniform(a,b)"},
    {"world a\n  run uniform(2ms,1ms)\n", 2, 2, "bad or a missing number"},
    {"world a\n  run choice(1ms:0)\n", 2, 2, "weight after ':'"},
    {"world a\n  align 0\n", 2, 2, "above 0"},
    {"world a\n  run 1ms ; begin ; run 1ms\nworld b\n", 3, 1, "begin of the world above"},
    {"world a\n  loop 0\n", 2, 2, "loop takes a count"},
    {"world a affinity=64\n", 1, 3, "CPUs below 64"},
    {"world a shares=0\n", 1, 3, "from 1 to 1000000"},
    {"world a colour=red\n", 1, 3, "known here: vm pool affinity"},
    {"world a min=50% max=20%\n", 1, 1, "min is more than max"},
    {"world a[3..1]\n", 1, 2, "NAME[0..15]"},
    {"world a[0..99999]\n", 1, 2, "NAME[0..15]"},
    {"world a b\n", 1, 3, "expected key=value"},
    {"world a$\n", 1, 2, "letters, digits"},
    {"host cpus=65\nworld a\n", 1, 2, "from 1 to 64"},
    {"policy share quantum=1ns\nworld a\n", 1, 3, "from 100000"},
    {"policy share speed=1\nworld a\n", 1, 3, "no tunable"},
    {"mem v size=3\nworld a\n", 1, 2, "no VM v"},
    {"barrier b\nworld a\n", 1, 3, "needs n="},
    {"at 5s shares=3\nworld a\n", 1, 3, "at TIME set NAME"},
    {"world a\nexpect run(a)\n", 2, 2, "expected <="},
    {"world a\nexpect walk(a) > 3\n", 2, 2, "metric such as"},
    {"world a\nexpect run(a) > 3 within\n", 2, 2, "expected within"},
    {"world a\nexpect run(a) > 3 step 1ms\n", 2, 2, "step needs each"},
    {"world a\nexpect run(a) > 3 by\n", 2, 2, "expected within"},
    {"world a\nexpect run(a) > 3 by share lottery\n", 2, 2, "by names policies"},
    {"world a\nexpect ((((((((((((((((((((((((((((((((((1 > 3\n", 2, 2, "'(' without ')'"},
    {"world a\n\x01\n", 2, 1, "control character"},
    {"world a shares=1 shares=2\n", 1, 4, "shares stands twice"},
    {"duration 1s\nduration 2s\nworld a\n", 2, 1, "a second duration line"},
    {"policy fair\nworld a\n", 1, 2, "no policy fair"},
    {"variant v policy=fair\nworld a\n", 1, 3, "no policy fair"},
};

START_TEST(test_wl_parse__a_mistake__is_named_with_line_and_field)
{
    ck_assert_msg(!parse(mistakes[_i].text), "%s", mistakes[_i].text);
    ck_assert_msg(error.line == mistakes[_i].line && error.field == mistakes[_i].field &&
                      strstr(error.text, mistakes[_i].has),
                  "'%s' gave %u:%u: %s", mistakes[_i].text, error.line, error.field,
                  error.text);
    ck_assert_ptr_null(w.worlds);
}
END_TEST

static const struct {
    const char *text, *has;
    uint32_t line;
} unresolved[] = {
    {"world a vm=v\n", "no VM v", 1},
    {"world a pool=p\n", "no pool p", 1},
    {"pool p parent=q\npool q\nworld a\n", "no pool q above", 1},
    {"world a\nworld a\n", "two worlds are called a", 2},
    {"world a[0..2]\nworld a1\n", "two worlds are called a1", 2},
    {"world a\n  signal b\n", "no event or world b", 2},
    {"world a\n  lock b\n", "no lock b", 2},
    {"event b\nworld a\n  lock b\n", "no lock b", 3},
    {"world a\n  broadcast a\n", "no event or world a", 2},
    {"world a[0..1]\n  wait a{j}\n", "template", 2},
    {"event a\nworld a\n", "declared twice", 1},
    {"world a\nat 1s set b shares=3\n", "no world, VM or pool", 2},
    {"pool p\nvm v\nworld a vm=v pool=p\n", "pool of its VM", 3},
    {"world a\nexpect run(a) > 1s\nexpect run(a) > run(b)\n", "is called b", 3},
    {"world a\nexpect run(a) > none.run(a)\n", "no variant none", 2},
};

START_TEST(test_program_link__a_bad_name__is_named_with_its_line)
{
    struct program p;

    ck_assert_msg(parse(unresolved[_i].text), "%s: %s", unresolved[_i].text, error.text);
    if (program_link(&w, &p, &error)) {
        ck_assert_msg(!judge_names_check(&p, &error), "%s", unresolved[_i].text);
        program_free(&p);
    }
    ck_assert_msg(error.line == unresolved[_i].line && strstr(error.text, unresolved[_i].has),
                  "'%s' gave %u: %s", unresolved[_i].text, error.line, error.text);
    wl_free(&w);
}
END_TEST

START_TEST(test_program_link__templates_go_around_the_group)
{
    struct program p;

    ck_assert(parse("world a[5..7]\n  signal a{i+1} ; wait a{i-1}\n"));
    ck_assert_msg(program_link(&w, &p, &error), "%s", error.text);
    ck_assert_uint_eq(p.world_count, 3);
    ck_assert_uint_eq(p.object_count, 3);  // one edge from each to the next
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_eq(p.worlds[i].ops[0].target, p.worlds[(i + 1) % 3].ops[1].target);
    program_free(&p);
    wl_free(&w);
}
END_TEST

/* Mean and variance over many draws, against the definition. */
static const struct {
    const char *text;
    double mean, deviation;
} moments[] = {
    {"850us", 850e3, 0},
    {"uniform(1ms,3ms)", 2e6, 2e6 / 3.4641},
    {"exp(2ms)", 2e6, 2e6},
    {"normal(5ms,1ms)", 5e6, 1e6},
    {"choice(1ms:3,5ms)", 2e6, 1.7320508e6},
    {"cycle(1ms,3ms)", 2e6, 1e6},
    {"pareto(1ms,3)", 1.5e6, 0.8660e6},
};

START_TEST(test_dist_sample__moments__are_those_of_the_definition)
{
    const unsigned count = 200000;
    struct wl_dist d;
    struct rng rng;
    double sum = 0, square = 0, mean, deviation;
    char message[160];

    ck_assert(wl_dist_parse(moments[_i].text, strlen(moments[_i].text), &d, message,
                            sizeof(message)));
    rng_init(&rng, 5, "moments", 0);
    for (unsigned i = 0; i < count; i++) {
        double x = (double)wl_dist_sample(&d, &rng, i);

        sum += x;
        square += x * x;
    }
    mean = sum / count;
    deviation = sqrt(fmax(0, square / count - mean * mean));
    ck_assert_msg(fabs(mean / moments[_i].mean - 1) < 0.01, "%s: mean %g", moments[_i].text,
                  mean);
    ck_assert_msg(fabs(deviation - moments[_i].deviation) <= 0.05 * moments[_i].mean,
                  "%s: deviation %g", moments[_i].text, deviation);
    ck_assert_msg(fabs((double)wl_dist_mean(&d) / moments[_i].mean - 1) < 0.001,
                  "%s: mean %llu", moments[_i].text, (unsigned long long)wl_dist_mean(&d));
    free(d.choice);
}
END_TEST

/* The integer logarithm behind exp() against the C library's. */
START_TEST(test_dist_exp__quantiles__are_those_of_the_logarithm)
{
    const struct wl_dist d = {.kind = WL_DIST_EXP, .a = 1000000000};
    struct rng rng, same;

    rng_init(&rng, 9, "quantiles", 0);
    for (unsigned i = 0; i < 100000; i++) {
        double wanted, got;

        same = rng;
        got = (double)wl_dist_sample(&d, &rng, 0);
        wanted = -log(((double)rng_next(&same) + 1) / 18446744073709551616.0) * 1e9;
        ck_assert_msg(fabs(got - wanted) < 1e3, "%g against %g", got, wanted);
    }
}
END_TEST

static const struct {
    const char *text;
    uint64_t ns;
} times[] = {{"0", 0},           {"1ns", 1},          {"850us", 850000},
             {"1.2ms", 1200000}, {"0.000000001s", 1}, {"16.000ms", 16000000},
             {".5s", 500000000}};

START_TEST(test_time_parse__and_print__agree)
{
    char text[32];
    uint64_t ns = 77, again;

    ck_assert(wl_time_parse(times[_i].text, strlen(times[_i].text), &ns));
    ck_assert_uint_eq(ns, times[_i].ns);
    wl_time_print(ns, text);
    ck_assert(wl_time_parse(text, strlen(text), &again));
    ck_assert_uint_eq(again, ns);
}
END_TEST

START_TEST(test_name_matches__stars)
{
    ck_assert(wl_name_matches("*", "a"));
    ck_assert(wl_name_matches("vm*.v1", "vm12.v1"));
    ck_assert(wl_name_matches("a*b*c", "axxbyyc"));
    ck_assert(!wl_name_matches("a*b*c", "axxbyy"));
    ck_assert(!wl_name_matches("hog", "hog1"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wl");
    TCase *t = tcase_create("wl");

    tcase_add_test(t, test_wl_parse__everything__is_kept);
    tcase_add_test(t, test_wl_print__parsed_again__is_the_same);
    tcase_add_loop_test(t, test_wl_parse__a_mistake__is_named_with_line_and_field, 0,
                        ARRAY_COUNT(mistakes));
    tcase_add_loop_test(t, test_program_link__a_bad_name__is_named_with_its_line, 0,
                        ARRAY_COUNT(unresolved));
    tcase_add_test(t, test_program_link__templates_go_around_the_group);
    tcase_add_loop_test(t, test_dist_sample__moments__are_those_of_the_definition, 0,
                        ARRAY_COUNT(moments));
    tcase_add_test(t, test_dist_exp__quantiles__are_those_of_the_logarithm);
    tcase_add_loop_test(t, test_time_parse__and_print__agree, 0, ARRAY_COUNT(times));
    tcase_add_test(t, test_name_matches__stars);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
