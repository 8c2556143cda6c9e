// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl.h -- the workload language: what worlds want, without saying who runs when.
 *
 * struct workload is a file as written (groups of worlds, steps, expectations); wl_parse()
 * makes it from text and wl_print() gives the text back. sim/workload/program.h makes it
 * executable. docs/workloads.md has the grammar.
 */
#pragma once

#include <stdio.h>

#include "lib/rng.h"
#include "lib/types.h"

#define WL_NAME_SIZE  64u
#define WL_WORLDS_MAX 65536u
#define WL_STEPS_MAX  (16u << 20)
#define WL_NEST_MAX   8u
#define WL_UNSET      UINT32_MAX

enum wl_dist_kind {
    WL_DIST_CONST,
    WL_DIST_UNIFORM,  // a..b
    WL_DIST_EXP,      // mean a
    WL_DIST_NORMAL,   // mean a, standard deviation b; never below 0
    WL_DIST_PARETO,   // smallest a, shape b/1000, cut at 1000 a
    WL_DIST_CHOICE,   // one of the pairs, by weight
    WL_DIST_CYCLE,    // the values in turn
};

struct wl_choice {
    uint64_t value, weight;
};

struct wl_dist {
    enum wl_dist_kind kind;
    uint32_t choice_count;
    uint64_t a, b;
    struct wl_choice *choice;
    uint64_t weight_sum;
};

enum wl_step_kind {
#define WL_STEP(name, word, shape, what) WL_##name,
#include "sim/workload/wl.def"
    WL_STEP_COUNT,
};
enum wl_shape {
    WL_SHAPE_NONE,
    WL_SHAPE_DIST,
    WL_SHAPE_KIND,
    WL_SHAPE_TIME,
    WL_SHAPE_NAME,
    WL_SHAPE_COUNT,
    WL_SHAPE_TEXT,
};
enum wl_wait_kind {
    WL_WAIT_EVENT,
    WL_WAIT_IO,
    WL_WAIT_IDLE,
    WL_WAIT_SWAP,
};

struct wl_step {
    uint8_t kind;
    uint8_t wait;  // enum wl_wait_kind of a block
    uint32_t line;
    uint64_t value;  // a time, a count (0: for ever)
    uint64_t phase;  // of an every
    char *text;      // name or kept text, else null
    struct wl_dist dist;
};

/* A part of a CPU or MHz, as written: 25 %, 500 MHz. */
enum wl_unit {
    WL_UNIT_MHZ,
    WL_UNIT_PERCENT,  // of one CPU, in hundredths
};
struct wl_amount {
    uint32_t value;  // WL_UNSET: not given
    enum wl_unit unit;
};

struct wl_resources {
    uint32_t shares;  // WL_UNSET: not given
    struct wl_amount min, max;
};

struct wl_pool {
    char name[WL_NAME_SIZE], parent[WL_NAME_SIZE];
    struct wl_resources resources;
    bool expandable;
    char *memory;  // text of its mem line, else null
    uint32_t line;
};

struct wl_vm {
    char name[WL_NAME_SIZE], pool[WL_NAME_SIZE];
    struct wl_resources resources;  // of the VM as a whole
    bool cosched;
    char *memory;  // text of its mem line, else null
    uint32_t line;
};

/* `world name[first..last]`: count worlds with one body. */
struct wl_world {
    char name[WL_NAME_SIZE], vm[WL_NAME_SIZE], pool[WL_NAME_SIZE];
    uint32_t first, count;
    bool indexed;
    struct wl_resources resources;
    uint64_t affinity;  // 0: any CPU
    struct wl_dist start;
    uint32_t step_first, step_count, line;
};

enum wl_lock_kind {
    WL_LOCK_SPIN,      // test and set: a running spinner gets it
    WL_LOCK_TICKET,    // first come first served, running or not
    WL_LOCK_ADAPTIVE,  // spins for a while, then blocks
    WL_LOCK_BLOCK,     // blocks at once
};

/* An event, a lock or a barrier: a name that steps meet at. */
enum wl_object_kind {
    WL_OBJECT_EVENT,
    WL_OBJECT_LOCK,
    WL_OBJECT_BARRIER,
};
struct wl_object {
    char name[WL_NAME_SIZE];
    enum wl_object_kind kind;
    enum wl_lock_kind lock;
    uint64_t spin;     // how long an adaptive lock or barrier spins before it blocks
    uint32_t parties;  // of a barrier
    uint32_t count;    // signals an event has at the start
    uint32_t line;
};

/* `at 5s set name shares=4000` */
struct wl_change {
    uint64_t time;
    char name[WL_NAME_SIZE];
    struct wl_resources resources;
    uint64_t affinity;  // 0: as it is
    char pool[WL_NAME_SIZE];
    char memory[96];  // settings of memory, without "mem."
    uint32_t line;
};

/* `recorded NAME run=T ready=T switches=N`: what an imported trace said of a world. */
struct wl_recorded {
    char name[WL_NAME_SIZE];
    uint64_t run, ready;
    uint32_t switches;
};

enum wl_metric {
#define WL_METRIC(name, word, what) WL_METRIC_##name,
#include "sim/workload/wl.def"
    WL_METRIC_COUNT,
};

enum wl_expr_kind {
    WL_EXPR_NUMBER,  // times are in seconds, percentages parts of 1
    WL_EXPR_METRIC,
    WL_EXPR_ADD,
    WL_EXPR_SUB,
    WL_EXPR_MUL,
    WL_EXPR_DIV,
};
struct wl_expr {
    enum wl_expr_kind kind;
    double number;
    enum wl_metric metric;
    char variant[WL_NAME_SIZE], name[WL_NAME_SIZE];
    struct wl_expr *left, *right;
};

enum wl_relation {
    WL_EQUAL,
    WL_LESS,
    WL_LESS_EQUAL,
    WL_GREATER,
    WL_GREATER_EQUAL,
};
struct wl_expect {
    char *text;  // as written, blanks normalised
    struct wl_expr *left, *right;
    enum wl_relation relation;
    double within;            // part of the right side
    uint64_t within_ns;       // or absolute time
    uint64_t each, from, to;  // window length (0: the whole run), warm-up, end (0: of the run)
    uint64_t step;            // from one window to the next; 0: they touch
    uint32_t by;              // policies that claim it, a bit each; 0: all
    uint32_t line;
};

/* How CPUs are connected: each number is how many CPUs share the thing; 0 is all. */
struct wl_host {
    uint32_t cpus, threads, llc, package, numa, mhz;
};

/* What moving and sharing cost. */
struct wl_costs {
    uint64_t context_switch;           // each switch to another world
    uint64_t smt, llc, package, numa;  // each move at this level: refilling caches
    uint32_t remote_percent;           // slowdown away from the home node
    uint32_t smt_percent;              // speed of a thread whose sibling is busy
};

/* A tunable of the scheduler (sched/tunables.def), set to a number or a time. */
struct wl_tunable {
    uint16_t tunable;
    bool time;  // was written with a unit
    uint64_t value;
};

#define WL_TUNABLES_MAX 16u

/* What a policy line or a variant sets; the policy may be empty: as it is. */
struct wl_policy {
    char name[WL_NAME_SIZE];  // of the variant; empty for the policy line
    char policy[WL_NAME_SIZE];
    struct wl_tunable tunables[WL_TUNABLES_MAX];
    uint32_t tunable_count;
    char memory[160];  // settings of the memory policy, "idle-tax=0 balloon=0"
    uint32_t line;
};

struct workload {
    char name[WL_NAME_SIZE];
    bool open_loop;  // wakes come from outside, at fixed times
    char *source;    // where it was imported from, else null
    char *memory;    // text of the memory line, else null
    uint64_t duration;
    struct wl_host host;
    struct wl_costs costs;
    struct wl_policy policy;
    struct wl_policy *variants;
    struct wl_pool *pools;
    struct wl_vm *vms;
    struct wl_world *worlds;
    struct wl_step *steps;
    struct wl_object *objects;
    struct wl_change *changes;
    struct wl_expect *expects;
    struct wl_recorded *recorded;
    bool self_replay;  // an importer compared: the errors are parts of 1
    double self_replay_run, self_replay_ready;
    uint32_t variant_count, pool_count, vm_count, world_count, step_count, object_count,
        change_count, expect_count, recorded_count;
    uint32_t worlds_expanded;
};

/* Where a text went wrong. */
struct wl_error {
    uint32_t line, field;  // both from 1
    char text[200];
};

extern const char *const wl_step_words[WL_STEP_COUNT];
extern const enum wl_shape wl_step_shapes[WL_STEP_COUNT];
extern const char *const wl_metric_words[WL_METRIC_COUNT];
extern const char *const wl_wait_words[4];
extern const char *const wl_lock_words[4];
/* By number, as in sched/tunables.def; null behind the last. */
extern const char *const wl_tunable_names[];
/* `NAME=VALUE`: a number, a time, or off, relaxed, strict. False with a message. */
must_check bool wl_tunable_parse(const char *text, size_t length, struct wl_tunable *t,
                                 char *message, size_t size);

/* Starts an empty workload with the defaults of docs/workloads.md. */
void wl_init(struct workload *w);
/* Text of `size` bytes into *w; false with *error set, and then *w is freed. */
must_check bool wl_parse(const char *text, size_t size, struct workload *w,
                         struct wl_error *error);
/* Reads the file; errors carry the name. "-" is standard input. */
must_check bool wl_parse_file(const char *path, struct workload *w, struct wl_error *error);
/* Text that wl_parse() turns into the same workload. */
void wl_print(const struct workload *w, FILE *out);
void wl_free(struct workload *w);

/* Builders, for importers: they return the new element, already with its defaults. */
struct wl_world *wl_add_world(struct workload *w, const char *name);
struct wl_pool *wl_add_pool(struct workload *w, const char *name);
struct wl_vm *wl_add_vm(struct workload *w, const char *name);
struct wl_step *wl_add_step(struct workload *w, enum wl_step_kind kind, uint64_t value);
void wl_add_recorded(struct workload *w, const char *name, uint64_t run, uint64_t ready,
                     uint64_t switches);
void wl_step_name(struct wl_step *step, const char *name);
/* Any text into a name of the language: other characters become '_'. */
void wl_name_make(char name[WL_NAME_SIZE], const char *text, size_t length);
bool wl_name_matches(const char *pattern, const char *name);

/* wl_dist.c */
uint64_t wl_dist_sample(const struct wl_dist *d, struct rng *rng, uint64_t turn);
uint64_t wl_dist_mean(const struct wl_dist *d);
void wl_dist_print(const struct wl_dist *d, FILE *out);
/* False with a message; takes the whole of `text`. */
must_check bool wl_dist_parse(const char *text, size_t length, struct wl_dist *d, char *message,
                              size_t size);
/* "1.2ms" in ns. Exact: a fraction of a nanosecond is an error. */
must_check bool wl_time_parse(const char *text, size_t length, uint64_t *ns);
/* The shortest exact text of a time. */
void wl_time_print(uint64_t ns, char out[32]);

/* wl_expect.c */
must_check bool wl_expect_parse(const char *text, size_t length, struct wl_expect *e,
                                char *message, size_t size);
void wl_expect_free(struct wl_expect *e);
/* The metric of a run, named by an expression; NaN when nothing matches. */
typedef double (*wl_metric_fn)(void *context, const char *variant, enum wl_metric metric,
                               const char *name);
double wl_expr_value(const struct wl_expr *e, wl_metric_fn metric, void *context);
bool wl_expect_holds(const struct wl_expect *e, double left, double right);
