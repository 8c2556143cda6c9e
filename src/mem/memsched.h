// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched.h -- the memory scheduler as one pure state machine: who is entitled to how much.
 *
 * (state, input) in, targets out. It reads no clock, no page table and no lock, allocates
 * nothing and calls nobody but its observer, so that a run is repeated by repeating its inputs.
 * It moves no page: mechanisms (sharing, balloon, compression, swap) tell it what is, and it
 * tells them what should be.
 *
 *      what is                                                       what should be
 *   USAGE of a VM, FREE pages,     ──►  memsched_step()  ──►  level, and for each VM: entitlement,
 *   SAMPLE of a working set, TICK                             balloon and swap target, blocked
 *   or not
 *
 * The rule is min-funding revocation with an idle tax. A VM with S shares that holds P pages, A
 * of them active, pays for P = A + idle as if it were A + k * idle, k = 1 / (1 - tax); who pays
 * least shares for a page loses it. In balance all VMs between their bounds pay one price, so
 * the machine looks for that price instead of taking page by page: what a VM gets at a price is
 * a monotonous function, and the sum over the VMs is what there is. Pools are VMs to their
 * parent. A VM that pays more than the others' price has all it touched, and may grow at their
 * expense until it pays as little (`due`).
 *
 * Invariants
 *   - No target is below a VM's reservation or above what it has touched; what is due to a VM
 *     is no less.
 *   - The caps of VMs below a pool sum up to at most the pool's limit; limits hold at every
 *     level.
 *   - The targets of one reallocation sum up to at most what is there, unless the reservations
 *     alone are more (then they are the targets).
 *   - Levels go one step at a time.
 *   - Targets depend only on the inputs so far: ties break by place in the table; integers
 *     only.
 *   - A refused input changes nothing.
 * Locking    the caller's.
 * Start at   memsched_step(), memsched_reallocate().
 * Sources    [WALDSPURGER02] sections 5 and 6; docs/design/memory.md
 */
#pragma once

#include "core/status.h"
#include "lib/types.h"

#define MEMSCHED_NODES_MAX 64u
#define MEMSCHED_DEPTH_MAX 8u
#define MEMSCHED_ROOT_ID   1u
#define MEMSCHED_UNLIMITED UINT32_MAX
#define MEMSCHED_PER_MB    10u  // default shares per MB: "normal"

/*
 * Inputs. All amounts are 4 KB pages.
 *
 *   op          small            id     a            b          c           d
 *   HOST                                managed      swap       minFree, or 0: by its size
 *   POOL_ADD    expandable       pool   parent       shares     min         max
 *   VM_ADD      overhead         VM     parent       shares, 0  min         size
 *   REMOVE                       any                                  BUSY if it has children
 *   SET_SHARES                   any    shares
 *   SET_MIN                      any    pages
 *   SET_MAX                      any    pages (UNLIMITED)
 *   USAGE       balloon's most,  VM     touched      ballooned  swapped     saved by sharing
 *               % of the VM                                                     (and e:
 *               compressed)
 *   SAMPLE      1: period ended  VM     touched      sampled
 *   FREE                                free
 *   TICK                                                      time to reallocate
 *   TUNE        enum tunable            value
 *
 * `touched` of USAGE counts guest pages that hold something, wherever it is now. NOT_FOUND: no
 * such id; EXISTS: the id is taken; BAD_PARAM: out of range; NO_SPACE: no more nodes; LIMIT:
 * admission control refused (memsched_admission_text()).
 */
enum memsched_op {
    MEMSCHED_HOST,
    MEMSCHED_POOL_ADD,
    MEMSCHED_VM_ADD,
    MEMSCHED_REMOVE,
    MEMSCHED_SET_SHARES,
    MEMSCHED_SET_MIN,
    MEMSCHED_SET_MAX,
    MEMSCHED_USAGE,
    MEMSCHED_SAMPLE,
    MEMSCHED_FREE,
    MEMSCHED_TICK,
    MEMSCHED_TUNE,
};

struct memsched_input {
    uint32_t op;
    uint16_t small;
    uint32_t id, a, b, c, d, e;
};

enum memsched_tunable {
#define MEMSCHED_TUNABLE(id, name, normal, least, most, what) MEMSCHED_TUNABLE_##id,
#include "mem/memsched_tunables.def"
    MEMSCHED_TUNABLE_COUNT
};

/* How short of memory the host is. ESXi's states and names. */
enum memsched_level {
    MEMSCHED_HIGH,   // enough
    MEMSCHED_CLEAR,  // break large pages, share
    MEMSCHED_SOFT,   // and balloon
    MEMSCHED_HARD,   // and compress and swap
    MEMSCHED_LOW,    // and stop whoever is above his target when he asks for more
    MEMSCHED_LEVEL_COUNT
};

/* The estimate of a working set, as fractions of the touched pages outside the balloon, Q16. */
struct memsched_active {
    bool any;  // one period has ended
    uint32_t slow, fast, with_partial;
};

struct memsched_target {
    uint32_t entitlement;  // machine pages it should hold
    uint32_t cap;          // machine pages that limits let it hold; UNLIMITED
    uint32_t due;          // machine pages up to which others give for it
    uint32_t balloon;      // guest pages that should be in its balloon
    uint32_t swap;         // guest pages that should be compressed or swapped
    uint32_t price;        // shares per page of charged memory, Q16: lower loses first
    bool blocked;          // its next allocation waits: for the host, or for a page of its own
};

struct memsched_node {
    uint32_t id;  // 0: free
    bool is_pool, expandable;
    uint8_t depth;
    uint16_t parent;  // index
    uint32_t shares, min, max;
    uint32_t overhead;
    uint32_t size;      // VM: configured
    uint64_t reserved;  // promised to children, or a VM's own min and overhead
    uint32_t touched, ballooned, swapped, compressed, saved;
    uint32_t balloon_max;  // pages; 0: no driver
    struct memsched_active active;
    struct memsched_target target;
    // Only within one division: bounds, active pages, reserved ones not touched yet, what it
    // has or may claim, what it gets, and what it could get by asking for more.
    uint64_t low, high, hot, later, claim, given, due;
};

enum memsched_event_kind {
    MEMSCHED_EVENT_LEVEL,  // a = free, small = level
    // id, a = entitlement, b = balloon, c = swap, d = price, e = cap, f = due,
    // small = blocked
    MEMSCHED_EVENT_TARGET,
    MEMSCHED_EVENT_ACTIVE,   // id, a = active pages, b, c = slow, fast average in Q16
    MEMSCHED_EVENT_REFUSED,  // id, small = status; LIMIT: a = wanted, b = left, c = of swap
};
struct memsched_event {
    uint32_t kind;
    uint16_t small;
    uint32_t id, a, b, c, d, e, f;
};
struct memsched_observer {
    /* Called inside memsched_step(): must not call the machine. */
    void (*event)(void *context, const struct memsched_event *event);
    void *context;
};

struct memsched {
    struct memsched_observer observer;
    uint64_t tunable[MEMSCHED_TUNABLE_COUNT];
    uint64_t managed, swap, min_free, free;
    uint64_t free_at_reallocation;
    enum memsched_level level;
    struct {
        uint32_t node;
        bool is_swap;
        uint64_t wanted, free;
    } admission;  // who lacked what at the last refusal; node 0: nobody
    uint64_t inputs, refused, reallocations;
    struct memsched_node nodes[MEMSCHED_NODES_MAX];  // [0] is the root
};

/* Default tunables, an empty host, no observer. */
void memsched_init(struct memsched *m);
must_check vmk_status memsched_step(struct memsched *m, const struct memsched_input *input);
const struct memsched_node *memsched_find(const struct memsched *m, uint32_t id);
/* Machine pages the VM holds: what it touched and nothing took. */
uint64_t memsched_held(const struct memsched_node *vm);
/* Free memory below this is less than the level's; 0 if there is none below. */
uint64_t memsched_mark(const struct memsched *m);
/* The bound of the level low: below it, only who is short of his reservation gets memory. */
uint64_t memsched_floor(const struct memsched *m);
/* Free memory below which it compresses and swaps. */
uint64_t memsched_hard_mark(const struct memsched *m);
/* Did a VM grow so far on a short host that the next FREE makes all targets anew? */
bool memsched_is_outgrown(const struct memsched *m);
/* The estimate that counts: the largest of the three. Pages. */
uint64_t memsched_active_pages(const struct memsched_node *vm);
/* minFree of a host of so many pages, by ESX's sliding scale. */
uint64_t memsched_min_free(uint64_t managed);
/* Writes who lacked how much at the last refusal; returns its length, 0 if there was none. */
size_t memsched_admission_text(const struct memsched *m, char *out, size_t room);
/* What is wrong with the state, or null. */
const char *memsched_check(const struct memsched *m);
const char *memsched_level_name(enum memsched_level level);
enum memsched_tunable memsched_tunable_by_name(const char *name);
