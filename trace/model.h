// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/model.h -- the host as the records show it: the tree of pools and worlds, who is in which
 * state, who runs where.
 *
 * Statistics, plots and exports all follow the same few records (switch, state, costop, inputs,
 * names); this does it once and tells its client in the client's terms: an interval of a world
 * in one state, an interval of a CPU with one world. It follows what was recorded and decides
 * nothing, so it also reads traces that begin in the middle: who is first met was in that state
 * since the beginning.
 *
 * Invariants
 *   - The intervals of a world touch: from its creation to its end without a gap, so their sum
 *     is the elapsed time exactly.
 *   - Time as told never falls: a record that is earlier than one before it counts as now.
 *   - Ids come from a file: any id, any parent, any order is taken; cycles of pools are cut
 *     where somebody walks them (account.c).
 * Locking    none: one thread.
 */
#pragma once

#include "trace/reader.h"

#define MODEL_CPUS_MAX  256u
#define MODEL_ROOT_ID   100u        // SCHED_ROOT_ID of sched/machine.h
#define MODEL_IDLE_IDS  64u         // ids up to this are idle worlds: PLAT_CPUS_MAX
#define MODEL_UNLIMITED UINT32_MAX  // as a limit in MHz
#define MODEL_SHARES    1000u
#define MODEL_MHZ       1000u  // of a CPU that nobody described
#define MODEL_STATES    10u    // RECORD_sched_state_*

struct model_node {
    uint32_t id;
    bool is_pool, is_vm, is_idle;
    bool alive;
    bool provisional;           // known by name only: it may yet be added
    char name[17];              // "" if none was recorded
    struct model_node *parent;  // null: the root, or not known
    uint32_t vm;                // world_name or sched_config say so; 0: none
    uint32_t shares, min_mhz, max_mhz;

    // Worlds.
    unsigned state;  // RECORD_sched_state_*
    uint64_t since;  // intervals are told up to here
    uint64_t created, ended;
    uint32_t cpu;       // where it ran last
    uint64_t woken_at;  // while `woken`: when it left its wait
    bool woken;

    unsigned index;  // in model.nodes
    void *user;      // the client's
    struct model_node *hash_next;
};

struct model_cpu {
    bool known;                  // `current` is
    bool online;                 // CPU_ONLINE or a switch was seen
    struct model_node *current;  // an idle world too
    uint64_t since;
    uint32_t mhz;
    bool yielded;  // its last input was YIELD
};

struct model;

/* All may be null. */
struct model_client {
    void *context;
    /* Time goes on to `now`, before anything changes there. */
    void (*advance)(void *context, uint64_t now);
    /* A world was in `state` from `from` to `to`. */
    void (*interval)(void *context, struct model_node *w, unsigned state, uint64_t from,
                     uint64_t to);
    /* A CPU ran `w` (idle worlds too) from `from` to `to`. */
    void (*ran)(void *context, unsigned cpu, struct model_node *w, uint64_t from, uint64_t to);
    /* A world goes from one state to another; its interval was told. */
    void (*transition)(void *context, struct model_node *w, unsigned from, unsigned to,
                       uint64_t now);
    /* `w` stops running on `cpu`: of its own will or not. */
    void (*stopped)(void *context, unsigned cpu, struct model_node *w, bool voluntary);
    /* Nodes came or went, moved or got other shares, reservations or limits. */
    void (*tree)(void *context);
};

struct model {
    struct model_client client;
    bool begun;
    uint64_t begin, now;
    struct model_node **nodes;
    unsigned count, room;
    unsigned alive;
    struct model_node *hash[4096];
    struct model_cpu cpus[MODEL_CPUS_MAX];
    unsigned cpu_count;  // highest seen + 1
    bool failed;         // out of memory
};

void model_init(struct model *m, const struct model_client *client);
void model_free(struct model *m);
/* Follows one record. False: no memory. */
bool model_feed(struct model *m, const struct trace_record *r);
/* Tells all intervals up to `now`, which then begin anew there. */
void model_settle(struct model *m, uint64_t now);
/* The living node with that id, or null. */
struct model_node *model_find(const struct model *m, uint32_t id);
/* CPUs that are online, at least one; and their MHz on average. */
unsigned model_online(const struct model *m);
double model_mhz(const struct model *m);
/*
 * The VM a world belongs to (a pool that is a VM above it), or null; its nearest pool, or null.
 */
struct model_node *model_vm_of(const struct model_node *n);
struct model_node *model_pool_of(const struct model_node *n);
/* Its name, or "world 7", "vm 7", "pool 7", in `out`. */
const char *model_name(const struct model_node *n, char out[32]);
/* RUN, READY, COSTOP, MLMTD: it wants a CPU. */
bool model_state_wants(unsigned state);
bool model_state_waits(unsigned state);
