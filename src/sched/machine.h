// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/machine.h -- the scheduler as one pure state machine.
 *
 * (state, input, now) in, decision out. It reads no clock, no hardware and no lock, allocates
 * nothing and calls nobody but its observer, so the same object file decides in the image, in
 * the simulation, in the event-driven simulator and in `orrery-trace verify`. Whoever owns a
 * machine serializes its inputs (the kernel: one lock of rank RUNQ per host) and numbers them;
 * a run is repeated by repeating the inputs.
 *
 *        inputs (any CPU)                                     decisions
 *   WAKE BLOCK YIELD TIMER ...  ──►  sched_step(machine, input, now)  ──►  next, kick, deadline
 *                                            │
 *                                            └──► observer: switch, migrate, state, costop ...
 *
 * A machine schedules entities (worlds) that hang in a tree of pools; a VM is a pool whose
 * children are its vCPUs. Both are known by 32-bit ids out of one space, unique while they
 * exist. Storage is the caller's: SCHED_OP_WORLD_ADD and SCHED_OP_POOL_ADD come with memory in
 * `storage`, which is theirs until WORLD_REMOVE or POOL_REMOVE succeeds. The machine's own
 * struct is about 100 KB: embed it in host state or allocate it.
 *
 * How a driver uses it (the kernel, or a simulator):
 *   1. sched_machine_init(); TOPOLOGY for each CPU that will exist; POLICY if not the default.
 *   2. CPU_ONLINE for each CPU, executed on it: its idle entity is then its current one.
 *   3. POOL_ADD, WORLD_ADD (state NEW), SET_...; WAKE with reason NEW makes a world ready.
 *   4. Per decision: `kick` has a bit for each CPU that must make a RESCHED input soon (the own
 *      CPU may be among them). For a switching input (see sched_op_switches()) `next` is who
 *      runs on that CPU from `now` on; it may be who ran before. `deadline` is when that CPU
 *      must make a TIMER input at the latest, PLAT_NS_NEVER for none; it replaces the former
 *      one.
 *
 * Invariants
 *   - run + ready + costop + wait = now - created for every entity, error 0 (asserted).
 *   - A decision depends only on the inputs so far: ties break by arrival, then id; integers
 *     only.
 *   - A refused input (status not OK) changes nothing but the clock.
 * Locking    the caller's. Sources: docs/design/scheduler.md
 */
#pragma once

#include "core/status.h"
#include "lib/list.h"
#include "lib/prioq.h"
#include "plat/plat_types.h"

#define SCHED_CPUS_MAX       PLAT_CPUS_MAX
#define SCHED_SHARES_DEFAULT 1000u
#define SCHED_SHARES_MAX     1000000u
#define SCHED_UNLIMITED      UINT32_MAX  // as a limit in MHz
#define SCHED_NO_CPU         UINT32_MAX
#define SCHED_MHZ_DEFAULT    1000u  // of a CPU that TOPOLOGY did not describe

/* The root pool always exists. Idle entities are told by the caller at CPU_ONLINE. */
#define SCHED_ROOT_ID        100u

/* enum sched_op, sched_state, wake_reason, migrate_kind: SCHED_OP_WAKE, SCHED_STATE_RUN,
 * WAKE_REASON_TIMER, MIGRATE_KIND_PULL; the numbers are those of the trace. */
#include "sched/machine_enums.h"

/*
 * What each input means. `cpu` is the CPU that makes it. Columns not named are 0.
 *
 *   op            small            id        arg                  value
 *   CPU_ONLINE                     idle id
 *   POOL_ADD      SCHED_POOL_*     pool      parent pool          shares (0: default)
 *   POOL_REMOVE                    pool                                     BUSY if it has children
 *   WORLD_ADD     SCHED_WORLD_*    world     pool (0: the root)   shares (0: default)
 *   WORLD_REMOVE                   world              BUSY unless NEW or ZOMBIE
 *   SET_SHARES                     any       shares
 *   SET_MIN                        any       MHz                  edf: period in ns, or 0
 *   SET_MAX                        any       MHz, SCHED_UNLIMITED
 *   SET_AFFINITY                   world                          mask of CPUs
 *   SET_POOL                       any       new parent pool
 *   WAKE          wake_reason      world     waker's id, or 0               OK also if it was awake
 * * BLOCK         sched_state      world     (the current one) WAIT, WAIT_IDLE, _IO, _SWAP
 * * YIELD                          world     (the current one)
 * * TIMER                                    the deadline of this CPU is over
 * * RESCHED                                  after a kick, or just to ask
 * * EXIT                           world     (the current one) ends: ZOMBIE
 *   SYSTEM_TIME                    world     ns of system work done for it while the current one
 *                                            of this CPU was scheduled (id 0: for nobody)
 *   TOPOLOGY      CPU described    core | llc << 16   package | node << 16   MHz
 *   POLICY        policy, or SCHED_POLICY_TUNABLE with id = sched_tunable and value
 *
 * The ones marked * are the switching inputs. NOT_FOUND: no such id; EXISTS: the id is taken;
 * BAD_PARAM: out of range; LIMIT: admission control refused (sched_admission_text() says why).
 */
struct sched_input {
    uint32_t op;  // enum sched_op
    uint32_t cpu;
    uint32_t small;  // 16 bits in the trace
    uint32_t id;
    uint32_t arg;
    uint64_t value;
    void *storage;  // POOL_ADD, WORLD_ADD: memory; else null, or the entity `id` if at hand
};

enum sched_policy_id {
    SCHED_POLICY_SHARE,    // proportional shares over the tree, reservations, limits
    SCHED_POLICY_CREDIT2,  // weighted credit, burnt by running, reset for all together
    SCHED_POLICY_RR,       // who waited longest
    SCHED_POLICY_EDF,      // earliest deadline first among those with budget left
    SCHED_POLICY_COUNT,
    SCHED_POLICY_TUNABLE = 0xffff,  // as `small`: sets a tunable
};

enum sched_tunable {
#define SCHED_TUNABLE(id, name, normal, least, most, what) SCHED_TUNABLE_##id,
#include "sched/tunables.def"
    SCHED_TUNABLE_COUNT
};

enum sched_pool_flags {
    SCHED_POOL_VM = 1,          // a VM: its worlds of kind VCPU are co-scheduled
    SCHED_POOL_EXPANDABLE = 2,  // may reserve more than its own reservation, from its parent's
};
enum sched_world_flags {
    SCHED_WORLD_VCPU = 1,
};

/* How many bits a mask of CPUs has. The compiler's own would call its library. */
static inline uint32_t sched_mask_count(uint64_t mask)
{
    mask -= mask >> 1 & 0x5555555555555555ull;
    mask = (mask & 0x3333333333333333ull) + (mask >> 2 & 0x3333333333333333ull);
    mask = (mask + (mask >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (uint32_t)(mask * 0x0101010101010101ull >> 56);
}

struct sched_machine;
struct sched_node;
struct sched_pool;
struct sched_policy;

/* A place in a queue, and whose it is. */
struct sched_link {
    struct prioq_node node;
    struct sched_node *owner;
};

/*
 * What a pool and an entity have in common: a place in the tree, what it is due, what it had.
 * What every switch reads stands first: 64 bytes, of 10,000 worlds most are in no cache.
 */
struct sched_node {
    uint32_t id;     // (i)
    bool is_pool;    // (i)
    uint8_t flags;   // (i) SCHED_POOL_* or SCHED_WORLD_*
    uint16_t depth;  // root 0
    struct sched_pool *parent;
    // Proportional share among its siblings.
    uint64_t vtime;    // service / shares in the parent's virtual time, SCHED_VTIME_BITS
    uint64_t grain;    // `granularity` in its virtual time
    uint64_t lag_cap;  // while nothing below waits: parent->served - vtime may not pass this
    uint32_t shares;
    uint32_t active;   // entities below that run or want to
    uint32_t waiting;  // of these: on a queue
    uint32_t min_mhz;
    uint32_t max_mhz;
    bool joined;   // counted in the parent's virtual time
    bool limited;  // its limit's bucket is empty: nothing below runs

    uint64_t lag_left;  // not joined: its lag when it left, and when that was
    plat_ns left_at;
    // Reservation: when the next ns of it is due; see limit.c for both.
    plat_ns due;
    // Limit: a bucket of CPU time.
    int64_t tokens;      // Q16 ns
    plat_ns tokens_at;   // up to date at
    uint32_t limit_cpu;  // whose deadline watches the refill
    struct sched_link limit_link;
    struct list siblings;  // in parent->children
    struct sched_node *hash_next;
};

/* Exact times of an entity. run + ready + costop + wait = elapsed since `created`. */
struct sched_times {
    plat_ns created;
    plat_ns run;
    plat_ns ready;  // includes limited
    plat_ns costop;
    plat_ns wait;       // all waits, also NEW and ZOMBIE
    plat_ns smt;        // of run: beside a busy SMT partner
    uint64_t switches;  // times it was switched to
    uint64_t preemptions;
    plat_ns limited;    // %MLMTD: held back by a limit
    plat_ns wait_idle;  // of it: a halted guest
    plat_ns wait_io;
    plat_ns wait_swap;
    plat_ns system;   // %SYS: work done for it while others were scheduled
    plat_ns overlap;  // %OVRLP: work done for others while it was scheduled
    uint64_t wakes;
    uint64_t quantum_expiries;
    uint64_t migrations[MIGRATE_KIND_COUNT];
    uint64_t costops;
};

/*
 * One world, or an idle one. Embedded in struct world, or allocated by a tool. What a switch
 * reads stands in groups of 64 bytes: from the start, from `node`, `state`, `grant_at` and
 * `times`.
 */
struct sched_entity {
    struct sched_link queue_link;  // the policy's queue
    uint32_t load;                 // of a CPU, 1/65536: for balancing
    uint32_t home;                 // NUMA node
    struct sched_node node;
    uint32_t state;     // enum sched_world_state
    uint32_t cpu;       // where it runs, waits or last ran
    uint64_t affinity;  // mask
    bool idle;          // (i) the entity of a CPU without work
    bool queued;        // on the policy's queue of `cpu`
    plat_ns since;      // the times are exact up to here
    plat_ns charged;    // has paid up to here, while it runs
    int64_t
        service;  // on top of the next charge: system work for it; off it: others' in its time
    plat_ns started;  // this run began
    plat_ns granted;  // taken from the buckets of its limits for the run since grant_at
    plat_ns grant_at;
    plat_ns progress;           // co-scheduling: time run or not wanted, up to `since`
    plat_ns smt_stamp;          // times.smt is exact up to here, while it runs
    plat_ns smt_charged;        // of times.smt: charged for
    struct list runnable_link;  // in the pool's list of READY, MLMTD and COSTOP entities
    struct list movable_link;   // in its CPU's list of those that may move
    struct sched_times times;
    struct list costop_link;
    struct sched_link reserve_link;  // share: queue of those with a reservation
    union {                          // the policy's own
        struct {
            uint64_t burnt;  // compared with the machine's credit_base
        } credit2;
        struct {
            plat_ns arrival;
        } rr;
        struct {
            plat_ns period, budget, left, deadline;
            bool spent;  // which queue it is on
        } edf;
    } policy;
};

/* What a pool has on each CPU. */
struct sched_pool_cpu {
    struct prioq ready;            // children with something queued on this CPU
    struct sched_link queue_link;  // in the parent's `ready` of this CPU
    struct sched_link reserve_link;
};

/* A pool or VM. sched_pool_size(cpus) bytes. */
struct sched_pool {
    struct sched_node node;
    struct list children;   // sched_node.siblings, in order of arrival
    struct list runnable;   // entities right below: sched_entity.runnable_link
    struct list costopped;  // entities right below
    uint32_t child_count;
    uint32_t reserved_mhz;   // promised to children
    uint64_t vtime;          // mean of the active children's, weighted by shares
    uint64_t vtime_rest;     // remainder of the division
    uint64_t served;         // vtime without the jumps when somebody comes or goes
    uint64_t active_shares;  // of the joined children
    uint64_t running;        // mask of CPUs that run something below
    uint64_t charged_sum;    // of those that run: sum of entity.charged
    uint32_t stalled;        // vCPUs right below that want to make progress and do not
    uint64_t turn_cpus;      // strict: CPUs given to this VM until turn_until
    plat_ns turn_until;      // its vCPUs that run now run until then
    uint32_t cpu_count;
    struct sched_pool_cpu cpu[];
};

static inline size_t sched_pool_size(unsigned cpus)
{
    return sizeof(struct sched_pool) + cpus * sizeof(struct sched_pool_cpu);
}

/* What is told to the observer, in order. Each is one record of the trace, field by field. */
enum sched_event_kind {
    SCHED_EVENT_SWITCH,   // id -> other, state = prev_state, a = cost/16 ns, b = ran_us
    SCHED_EVENT_MIGRATE,  // id, src, dst, kind, a = cost
    SCHED_EVENT_STATE,    // id, state, a = sub: the waker's reason, or 0
    SCHED_EVENT_COSTOP,   // id, a = skew_us
    SCHED_EVENT_COSTART,  // id, a = skew_us
};

struct sched_event {
    uint32_t kind;  // enum sched_event_kind
    uint32_t cpu;   // whose input it answers
    uint32_t id;
    uint32_t other;
    uint32_t state;  // enum sched_world_state, or enum migrate_kind
    uint32_t src, dst;
    uint32_t a, b;
};

/* Called inside sched_step(): must not call the machine. */
struct sched_observer {
    void (*event)(void *context, const struct sched_event *event, plat_ns now);
    void *context;
};

struct sched_cpu {
    struct sched_entity idle;
    struct sched_entity *current;  // null: offline
    struct sched_entity *forced;   // strict gangs, hand-off: runs next
    bool kicked;                   // was in a kick mask and has not answered
    bool preempt;                  // somebody woke up who should run at once
    bool invited;                  // the current entity may go to an idle CPU of its home node
    uint32_t leave_to;             // where it goes with the switch that is under way
    uint32_t woken;                // cosched: its id, until the CPU has decided about it
    plat_ns deadline;              // as last decided
    plat_ns quantum_start;         // the current entity has had no decision since
    plat_ns slice_end;             // when it gets one
    uint32_t waiting;              // entities queued here
    uint64_t load;                 // sum of their and the current one's
    struct list movable;           // queued entities that may run elsewhere, oldest first
    struct prioq queue;            // flat policies
    struct prioq spent;            // edf: those without budget, by deadline
    struct prioq reserve;          // share: nodes with a reservation and something queued here
    struct prioq limits;           // limited nodes whose refill this CPU watches
    plat_ns pulled;                // last fairness pull
    plat_ns balanced;              // last look at the load
    uint32_t pull_next;            // where the next fairness pull begins
    uint32_t pinned_mhz;           // promised to entities that may run here only
    uint32_t core, llc, package, numa, mhz;
    uint64_t smt_mask, llc_mask, package_mask, numa_mask;  // with itself
    plat_ns used, used_since;                              // not idle: so long, exact up to
};

struct sched_counters {
    uint64_t inputs, refused, switches, wakes, pulls, migrations[MIGRATE_KIND_COUNT];
    uint64_t costops, costarts, limit_stops, limit_starts, kicks, quantum_expiries;
};

#define SCHED_HASH_SIZE 4096u

struct sched_machine {
    const struct sched_policy *policy;
    uint64_t tunable[SCHED_TUNABLE_COUNT];
    struct sched_observer observer;
    plat_ns now;         // largest `now` so far
    uint32_t cpu_count;  // room: CPUs 0..cpu_count - 1 may come online
    uint32_t input_cpu;
    uint64_t online;  // masks of CPUs
    uint64_t idle;
    uint64_t busy;  // with something queued
    uint64_t kick;  // of this step
    uint64_t capacity_mhz;
    uint64_t bound_grains;   // the bound of lag in units of node.grain
    uint32_t reference_mhz;  // of a CPU on average
    uint64_t credit_base;    // credit2: what was handed out so far
    plat_ns numa_balanced;
    bool has_nodes;  // more than one NUMA node
    uint32_t entities, pools;
    struct sched_counters counters;
    struct {
        uint32_t node, wanted, free;  // who lacked what at the last refusal
        uint32_t status;
    } admission;
    struct sched_node *hash[SCHED_HASH_SIZE];
    struct sched_cpu cpu[SCHED_CPUS_MAX];
    struct sched_pool *root;
    union {
        struct sched_pool pool;
        char room[sizeof(struct sched_pool) + SCHED_CPUS_MAX * sizeof(struct sched_pool_cpu)];
    } root_room;
};

struct sched_decision {
    vmk_status status;
    struct sched_entity
        *next;         // switching inputs: who runs on the input's CPU; else its current
    uint64_t kick;     // CPUs that must make a RESCHED input soon
    plat_ns deadline;  // of the input's CPU
    uint32_t target;   // WAKE: the CPU it was queued on; else SCHED_NO_CPU
};

/* Room for CPUs 0..cpus-1; root pool, default tunables, policy `share`, no observer. */
void sched_machine_init(struct sched_machine *m, unsigned cpus);
struct sched_decision sched_step(struct sched_machine *m, const struct sched_input *input,
                                 plat_ns now);
static inline bool sched_op_switches(uint32_t op)
{
    return op >= SCHED_OP_BLOCK && op <= SCHED_OP_EXIT;
}

/* Look-ups by id, O(1) on average: null if there is none, or it is the other kind. */
struct sched_entity *sched_entity_find(const struct sched_machine *m, uint32_t id);
struct sched_pool *sched_pool_find(const struct sched_machine *m, uint32_t id);
/* Either kind. */
struct sched_node *sched_node_find(const struct sched_machine *m, uint32_t id);
enum sched_policy_id sched_policy_of(const struct sched_machine *m);
/*
 * The times of an entity as of `now`, which may be later than the last input; changes nothing.
 */
void sched_times_at(const struct sched_entity *e, plat_ns now, struct sched_times *out);
/*
 * The sum over all entities below a pool (a VM's line in esxtop); returns how many.
 * O(entities).
 */
uint32_t sched_pool_times_at(const struct sched_pool *p, plat_ns now, struct sched_times *out);
/* How far a vCPU leads its slowest sibling, 0 for the slowest and for others. O(siblings). */
plat_ns sched_entity_skew(const struct sched_machine *m, const struct sched_entity *e,
                          plat_ns now);
/* Writes who lacked how much at the last refusal; returns its length, 0 if there was none. */
size_t sched_admission_text(const struct sched_machine *m, char *out, size_t room);
/* Everything an expensive check can find wrong is asserted. For tests. O(all). */
void sched_machine_check(const struct sched_machine *m);

/* By name, as in sched=NAME and sched.NAME=VALUE; the COUNT of its enum if there is none. */
enum sched_policy_id sched_policy_by_name(const char *name);
const char *sched_policy_name(enum sched_policy_id id);
const char *sched_tunable_name(enum sched_tunable t);
