// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/memory_internal.h -- guests and frames of the memory model.
 */
#pragma once

#include "sim/workload/memory.h"

#define FRESH_SECONDS 64u

enum memory_page_state {
    PAGE_NONE,
    PAGE_HERE,
    PAGE_SHARED,
    PAGE_COMPRESSED,
    PAGE_SWAPPED,
    PAGE_BALLOONED,
    PAGE_STATE_COUNT,
};

struct memory_page {
    uint8_t state;
    bool common;       // its content is that of the same page of every VM
    uint32_t where;    // frame or slot
    uint32_t version;  // of its content
    uint32_t sum;      // of what was put into its slot
    uint32_t touched;  // second of the last touch, plus one
};

/* Places that hold contents, and those that are free. */
struct memory_store {
    uint64_t *content;
    uint32_t *free;
    uint32_t room, free_count;
};

struct memory_vm {
    uint32_t id, index;  // index of its pool; id 0: not on
    uint64_t on;         // when it is switched on
    uint32_t size, shares, min, max, share_percent;
    bool driver, refused, stopped;
    bool expandable;  // of a pool
    uint32_t refuse,
        late;    // percent of pages the guest does not give; seconds until it takes back
    bool reset;  // its balloon is to be popped
    uint32_t surplus_since;  // second in which the balloon was more than its target
    int64_t shared_parts;    // its parts of common frames, in 1/65536
    uint32_t out_left;       // pages that may go this second
    uint32_t looked_at;      // second in which it last had its targets looked at, plus one
    struct rng rng;
    struct memory_page *pages;
    uint32_t count[PAGE_STATE_COUNT];
    uint32_t used, active, base;  // what its worlds asked for
    uint32_t grown;
    uint32_t fresh[FRESH_SECONDS];  // pages touched first, by second
    uint32_t balloon_at;            // where the guest looks for pages to give
    struct memory_sample now;
    uint32_t sampled_at;
};

/* A pool with memory settings. */
struct memory_pool {
    uint32_t id, index, shares, min, max;
};

struct memory {
    const struct program *program;
    struct trace_state *trace;
    struct memsched policy;
    struct memsched_record record;
    struct memory_vm *vms;
    uint32_t vm_count;
    struct memory_pool *pools;
    uint32_t pool_count;
    struct rng rng;  // of the VMkernel
    uint32_t *kernel_frames;
    uint32_t kernel_count;  // frames it has
    struct memory_store frames, cache, swap;
    uint32_t *common_frame, *common_refs;  // by page number
    uint32_t common_count, common_used;    // frames that are common
    uint32_t second;
    uint64_t now;
    // Settings, pages a second where nothing else is said.
    uint32_t size, swap_size, min_free, balloon_rate, swap_rate, share_rate, fill_rate, sample;
    uint32_t swap_errors, balloon_refused;  // percent
    uint32_t swap_rot;                      // slots of a million that change
    bool swap_full;                         // no slot is given any more
    uint32_t kernel_most;        // frames the VMkernel takes and gives back at random
    uint32_t least_free, under;  // of this second
    struct memory_result result;
    uint32_t room;  // seconds in result
};

/* ---- memory_page.c ---- */
bool memory_store_init(struct memory_store *s, uint32_t room);
void memory_store_free(struct memory_store *s);
/* Frames nobody has; the cache's are taken out. */
uint32_t memory_free_frames(const struct memory *m);
/* The guest touches a page; false: it could not. */
bool memory_access(struct memory *m, struct memory_vm *vm, uint32_t page, bool write);
/* A page of the VM is taken, by whatever is there now; false: not this one. */
bool memory_take_balloon(struct memory *m, struct memory_vm *vm, uint32_t page);
bool memory_take_out(struct memory *m, struct memory_vm *vm, uint32_t page);
bool memory_share(struct memory *m, struct memory_vm *vm, uint32_t page);
void memory_return(struct memory *m, struct memory_vm *vm, uint32_t page);
/* Pages that sharing saves a VM. */
uint32_t memory_saved(const struct memory_vm *vm);

/* The VMkernel takes or gives back frames: it waits for nobody. */
void memory_kernel_step(struct memory *m);
/* The VM ends: all it has goes back. */
void memory_vm_drop(struct memory *m, struct memory_vm *vm);
/* Frames of a cache with so many pages: two to a frame. */
static inline uint32_t memory_cache_frames(uint32_t pages)
{
    return (pages + 1) / 2;
}
/* Guest pages that are out, less what the cache takes: src/vmm/vm_swap.c counts so. */
static inline uint32_t memory_out_now(const struct memory_vm *vm)
{
    const uint32_t packed = vm->count[PAGE_COMPRESSED];

    return vm->count[PAGE_SWAPPED] + packed - memory_cache_frames(packed);
}
/* What the VM holds now, its cache included. */
uint64_t memory_held_now(const struct memory_vm *vm);
/* Is every place in use that of one page? */
must_check bool memory_audit(const struct memory *m);

/* ---- memory_text.c ---- */
must_check bool memory_host_words(struct memory *m, const char *text, bool at_start,
                                  char *error, size_t room);
must_check bool memory_vm_words(struct memory_vm *vm, const char *name, const char *text,
                                bool at_start, char *error, size_t room);

/* ---- memory.c ---- */
/* A recorder's end that keeps nothing. */
void memory_put_nothing(void *context, plat_ns now, const trace_word *record, size_t words);
/* Free memory moved a lot: the policy hears of it. */
void memory_tell_free(struct memory *m);
