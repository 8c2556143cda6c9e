// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_swap.h -- a VM's pages out to its compression cache and swap store, and back when touched.
 */
#pragma once

#include "mem/p2m.h"
#include "plat/plat.h"

struct vm;
struct vm_swap;

struct vm_swap_counters {
    uint64_t compressed, decompressed;  // pages, since power-on
    uint64_t swapped_out, swapped_in;
    uint64_t evicted;               // of swapped_out: from the cache
    uint64_t stayed;                // chosen, and touched before they were gone
    uint64_t errors;                // transfers that failed
    uint64_t zip_pages, zip_bytes;  // now: machine pages of the cache, bytes in it
    uint64_t in_wait_ns;            // of all who waited for a page or for memory
};

/* What is timed, each with its own histogram. */
enum vm_swap_latency_kind {
    VM_SWAP_FREED,   // from the request for pages to one of them being free
    VM_SWAP_MEMORY,  // a vCPU waited for memory
    VM_SWAP_PAGE,    // a vCPU waited for a page from the store
    VM_SWAP_LATENCY_COUNT
};
struct vm_swap_latency {
    uint64_t count;
    plat_ns p50, p99, most;  // to an eighth; the largest exactly
};

/*
 * At the VM's creation and end; its world comes with the first target and must end before the
 * VM's group. Opening may refuse the VM: NO_SPACE, or what the place for its swap file says
 * (logged with the remedy).
 */
must_check vmk_status vm_swap_create(struct vm *vm);
void vm_swap_stop(struct vm *vm);
void vm_swap_destroy(struct vm *vm);
/*
 * Space for all it may lose with so many pages reserved, if it has a place to swap to. NO_SPACE
 * and what files say: logged. World context, nothing locked.
 */
must_check vmk_status vm_swap_reserve(struct vm *vm, uint64_t min);
/* The VM's state changed: who waits looks again. Any context. */
void vm_swap_kick(struct vm *vm);
/* Gives up what that page has outside of memory, before its state changes. VM lock held. */
void vm_swap_drop_locked(struct vm *vm, struct p2m_page page);

/*
 * A COMPRESSED or SWAPPED page is touched. OK: it is PRESENT. AGAIN: vm_page_wait() and look
 * again.
 * CORRUPT: it is lost, and the VM stops. VM lock held.
 */
must_check vmk_status vm_swap_in_locked(struct vm *vm, ppn_t ppn, mpn_t *mpn);
/*
 * After AGAIN from page_in: waits for that page, or for memory. OK: look again. KILLED: the VM
 * or the world ends. IO_ERROR: the page is lost, the VM stops. World context, nothing locked.
 * [switch]
 */
must_check vmk_status vm_page_wait(struct vm *vm, ppn_t ppn);
/*
 * Could somebody wait for memory here, because reclamation will get it some? Of a VM that runs
 * its own pages, while it is loaded those of the others. Any context.
 */
bool vm_swap_can_wait(struct vm *vm);
/*
 * May it be made to give own pages for new ones: it runs, and its swap store takes pages? Any
 * context.
 */
bool vm_swap_can_take(struct vm *vm);

/* How many guest pages should be out, and how many are, less what the cache takes. */
void vm_swap_target_set(struct vm *vm, uint32_t pages);
uint32_t vm_swap_out_locked(struct vm *vm);
/* Machine pages of its compression cache, which count as the VM's. Any context. */
uint64_t vm_swap_cache_pages(const struct vm *vm);
/* Something was taken: is what it holds now the least so far? Its cache counts. */
void vm_swap_least_locked(struct vm *vm);
void vm_swap_counters_get(struct vm *vm, struct vm_swap_counters *out);
/* Since power-on. */
void vm_swap_latency_get(struct vm *vm, enum vm_swap_latency_kind kind,
                         struct vm_swap_latency *out);
const char *vm_swap_latency_name(enum vm_swap_latency_kind kind);
