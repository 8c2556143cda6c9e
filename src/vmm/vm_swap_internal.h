// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_swap_internal.h -- what the two halves of vm_swap share: out (vm_swap_out.c) and back in.
 */
#pragma once

#include "core/assert.h"
#include "core/log.h"
#include "core/trace.h"
#include "lib/hdr.h"
#include "lib/rng.h"
#include "vmm/compress.h"
#include "vmm/swap_place.h"
#include "vmm/vm.h"
#include "vmm/vm_reclaim.h"
#include "vmm/vm_swap.h"
#include "vmm/zip_cache.h"
#include "world/mutex.h"

#define LOAD(x)           __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, y)       __atomic_store_n(&(x), (y), __ATOMIC_SEQ_CST)

#define SWAP_BATCH        32u  // pages that are unmapped together
#define SWAP_BOUNCE_ORDER 3u

_Static_assert(SWAP_RUN_MAX == 1u << SWAP_BOUNCE_ORDER, "a cluster fits");

/* A page on its way to the store: its copy is in the bounce pages. */
struct outgoing {
    uint64_t index;
    enum p2m_state from;  // LEAVING or COMPRESSED
    uint32_t value;
};

struct vm_swap {
    struct vm *vm;  // (i)
    struct wait_queue queue;
    struct list wanted;  // (w) requests
    bool stop;           // (w)
    bool short_waits;    // (w) somebody waits for memory
    bool moved;          // (w) the target was set
    uint32_t target;     // (a) pages that should be out
    bool starting;       // (w) the world is being made
    world_id world;      // (w) raw 0: none yet

    struct swap_store store;  // slots: VM's lock
    struct mutex growing;     // of the store
    struct zip_cache zip;     // VM's lock
    struct compressor *compressor;
    bool use_cache;  // (i)

    // The world's own.
    void *bounce;
    struct outgoing out[SWAP_RUN_MAX];
    unsigned out_count;
    uint64_t victims[SWAP_BATCH];
    struct rng rng;
    unsigned errors_in_row;
    bool given_up, full;
    bool starved;  // a request could not be served for want of memory
    plat_ns full_until, idle_until;
    uint8_t packed[ZIP_ROOM];

    plat_ns asked;  // (w) when the first request came that no batch has begun for; 0: none
    plat_ns since;  // the batch's request

    // (w) what the VM held when it last got a page of the others', when, and whether all were
    // told to hurry since
    uint64_t wait_held;
    plat_ns wait_since;
    bool wait_looked;

    struct vm_swap_counters counters;           // VM's lock
    struct hdr latency[VM_SWAP_LATENCY_COUNT];  // VM's lock
};

/* Is the page as it was when somebody looked? VM's lock held. */
static inline bool swap_is_still(const struct vm_swap *s, uint64_t index, enum p2m_state state,
                                 uint32_t value)
{
    const struct p2m_page page = p2m_get(&s->vm->p2m, index);

    return page.state == state && page.value == value;
}

/* Does the VM run, so that its pages may be taken? */
static inline bool swap_is_on(struct vm_swap *s)
{
    return LOAD(s->vm->state) == VM_STATE_ON;
}

/* ---- the world's, [switch] ---- */

/*
 * Brings in what is wanted. `forced`: a VM that may not grow, or a host without memory, gives
 * other pages of its own for each. False: no memory for one.
 */
bool swap_serve(struct vm_swap *s, bool forced);
/* Takes up to `count` pages from the guest; how many went. */
unsigned swap_reclaim(struct vm_swap *s, unsigned count);
/* Does somebody wait for a page? */
bool swap_is_wanted(struct vm_swap *s);
