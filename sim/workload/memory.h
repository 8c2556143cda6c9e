// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/memory.h -- the memory of a workload's VMs: the kernel's policy, modelled mechanisms, checked pages.
 *
 * The policy is the kernel's (src/mem/memsched.c) under the kernel's recorder. The mechanisms
 * are models: page by page, but with rates in place of times, and a guest that is a working
 * set:
 *
 *     second by second: guests touch pages ─► mechanisms follow the targets ─► USAGE, FREE, SAMPLE
 *                          │ faults take frames, bring pages back               ─► new targets
 *
 * Every page has a content of its own, kept in the frame, cache or slot that holds it and
 * compared at every read, so a page that is lost or mixed up is found.
 *
 * Locking    none: one thread.
 */
#pragma once

#include "core/trace.h"
#include "mem/memsched_record.h"
#include "sim/workload/program.h"

#define MEMORY_SECOND 1000000000ull

/* A second of a VM; pages unless said otherwise. */
struct memory_sample {
    uint32_t granted, held, target, active, true_active;
    uint32_t balloon, shared, compressed, swapped;
    uint32_t wanted, done;  // touches
    uint32_t faults;        // of these, those that brought a page back
    uint32_t stalled;       // of those not done: it may not grow and had nothing to give
    uint32_t below;         // pages held less than its reservation gives it
    uint32_t early;         // pages taken by a mechanism whose level had not come
    uint32_t wrong;         // pages read with another content than written, or of no one place
    uint32_t lost;          // pages that could not be read back: the VM is stopped
    uint32_t over;          // pages held more than its limits let it
    uint32_t under;         // times the host had less free than its floor
    uint32_t free, level;   // of the host; free: the least of any moment
    bool on;
};

struct memory_result {
    struct memory_sample *samples;  // [seconds][pool_count]; null: no memory
    uint32_t seconds, pool_count;
};

struct memory;

/*
 * Null without a message: the workload declares no memory. `change` (may be null) are settings
 * of the policy that go over the workload's: "idle-tax=0 balloon=0".
 */
struct memory *memory_create(const struct program *p, const char *change, uint64_t seed,
                             uint64_t duration, struct trace_state *trace, char *error,
                             size_t room);
void memory_destroy(struct memory *m);
/* A world of the VM says what it uses from now on; WL_UNSET: as it was. */
void memory_touch(struct memory *m, uint32_t vm, uint32_t active, uint32_t used, uint32_t base);
/* A change while it runs: of a VM or pool of the program, or (PROGRAM_NONE) of the host. */
void memory_change(struct memory *m, uint64_t now, uint32_t pool, const char *text);
/* Are these words that may change? */
must_check bool memory_change_check(const char *name, const char *text, bool host, char *error,
                                    size_t room);
/* A second is over. */
void memory_second(struct memory *m, uint64_t now);
/* What was seen; the caller's to free. */
struct memory_result memory_take_result(struct memory *m);

/* `key=amount` words of a touch step; false: `key` is not known, or no amount. */
must_check bool memory_touch_parse(const char *text, uint32_t *active, uint32_t *used,
                                   uint32_t *base);
