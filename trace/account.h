// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/account.h -- who had how much of what: the figures behind stats and plot.
 *
 * Feeds records to a model and adds up, in constant memory per world: times by state, wake-up
 * latencies, switches, migrations, and how far each world is from the fluid ideal (gps.h).
 *
 * lag(t) is what the ideal would have given a world since the beginning, minus what it had.
 * While a world runs its lag falls, while it does not it cannot fall; so its extremes are at
 * its own changes of state, and looking there is exact.
 *
 * Invariants
 *   - run + ready + costop + wait = elapsed for every world, error 0
 *     (account_identity_error()).
 *   - Sums of VMs and pools are those of their worlds.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#pragma once

#include "lib/hdr.h"
#include "trace/gps.h"
#include "trace/model.h"

#define ACCOUNT_KINDS 7u  // RECORD_migrate_kind_*

/* Of a world, a VM, a pool or all. Times in ns. */
struct account {
    uint64_t state[MODEL_STATES];
    uint64_t elapsed;
    uint64_t system;   // work of the hypervisor on its behalf, while others ran
    uint64_t overlap;  // such work for others, while it ran
    uint64_t voluntary, involuntary;
    uint64_t migrations[ACCOUNT_KINDS];
    uint64_t migration_cost, switch_cost;
    uint64_t wakes;
    struct hdr *latency;  // wake-up to running
    struct hdr *skew;     // at co-stop, us
    uint64_t costops;
    uint64_t run_in_window;
    double ideal;                      // ns the fluid would have given
    double lag_min, lag_max, lag_sum;  // ns; lag_sum over `lag_count` samples, absolute
    uint64_t lag_count;
    double ideal_in_window;
    int gps_row;                  // of accounts.gps plus one; 0: none
    double error_max, error_sum;  // share error per window, percent
    uint64_t error_count;
};

#define ACCOUNT_RUN(a)    ((a)->state[RECORD_sched_state_RUN])
#define ACCOUNT_COSTOP(a) ((a)->state[RECORD_sched_state_COSTOP])
#define ACCOUNT_MLMTD(a)  ((a)->state[RECORD_sched_state_MLMTD])
uint64_t account_ready(const struct account *a);  // with limited
uint64_t account_wait(const struct account *a);   // all waits, NEW and ZOMBIE

struct accounts;

/* At the end of each window: the worlds' figures are up to date. Plots sample here. */
typedef void account_window(void *context, struct accounts *all, uint64_t from, uint64_t to);

struct accounts {
    struct model model;
    uint64_t from, to;  // only this part of the trace counts
    uint64_t window;    // ns; 0: none
    uint64_t window_begin;
    bool use_gps;
    account_window *on_window;
    void (*on_interval)(void *context, struct model_node *w, unsigned state, uint64_t from,
                        uint64_t to);
    void (*on_ran)(void *context, unsigned cpu, struct model_node *w, uint64_t from,
                   uint64_t to);
    void *context;

    uint64_t cpu_busy[MODEL_CPUS_MAX], cpu_idle[MODEL_CPUS_MAX], cpu_switches[MODEL_CPUS_MAX];

    // The fluid.
    struct gps_node *gps;
    double *gps_given;           // ns since the row was last emptied into its account
    struct model_node **gps_of;  // whose row it is
    unsigned gps_count, gps_room;
    bool gps_tree_stale, gps_rates_stale;
    uint64_t gps_until;
    bool failed;
};

void accounts_init(struct accounts *all);
void accounts_free(struct accounts *all);
/* False: no memory. */
bool accounts_feed(struct accounts *all, const struct trace_record *r);
/* The trace ends at `end`, or where it was cut. */
void accounts_end(struct accounts *all, uint64_t end);
/* The account of a world; never null after it had an interval. */
struct account *account_of(const struct model_node *w);
/* Adds `from` to `into`, which owns histograms of its own. False: no memory. */
bool account_add(struct account *into, const struct account *from);
void account_release(struct account *a);
/* elapsed - (run + ready + costop + wait). */
int64_t account_identity_error(const struct account *a);
/*
 * Jain's index over the worlds that were due anything: (sum x)^2 / (n sum x^2), x = had / due.
 */
double accounts_jain(const struct accounts *all, unsigned *worlds);
/* The part of the trace that counts: where it began and ended. */
uint64_t accounts_begin(const struct accounts *all);
uint64_t accounts_until(const struct accounts *all);
