// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmm_mem.h -- the memory scheduler at work: a world that watches, decides and shares.
 */
#pragma once

#include "mem/memsched_record.h"
#include "mem/share.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

/* Starts it: after the back end is there, before the first VM. World context. */
void vmm_mem_start(void);
/*
 * May this VM not grow now? It is at its limit, or free memory is at the floor and the VM has
 * its reservation; and something will take pages from it. Tells the memory scheduler when free
 * memory falls below the level's mark, so that it does not wait for its period. Any context, VM
 * lock held or not.
 */
bool vmm_mem_looks_short(struct vm *vm);
static inline bool vmm_mem_is_short(struct vm *vm)
{
    // In each fault: most VMs have no limit, and most hosts are far above the marks.
    if (__builtin_expect(!__atomic_load_n(&vm->mem_cap, __ATOMIC_RELAXED), 1) &&
        __builtin_expect(page_free_count() >=
                             __atomic_load_n(&this_host()->vmm->mem_plenty, __ATOMIC_RELAXED),
                         1))
        return false;
    return vmm_mem_looks_short(vm);
}
/*
 * Free memory below which the host's programs wait: the floor, and a little for the VMkernel.
 * Any context.
 */
uint64_t vmm_mem_floor(void);
/*
 * Is there a VM above its reservation whose pages can be swapped? `now`: the memory scheduler
 * looks at its targets at once. World context.
 */
bool vmm_mem_can_take(bool now);
/* The memory scheduler looks at its targets at once. World context. */
void vmm_mem_hurry(void);
/* Do limits let it have so many pages more? Any context. */
bool vmm_mem_may_grow(const struct vm *vm, uint64_t pages);
/* A VM is made, ends. LIMIT: admission control refused it (logged). World context. */
must_check vmk_status vmm_mem_add(struct vm *vm);
void vmm_mem_remove(struct vm *vm);

/* ---- what /proc/vmware/sched/mem shows and takes ---- */

struct memsched_summary {
    uint64_t managed, free, min_free, floor;  // pages
    uint64_t reserved;
    enum memsched_level level;
    uint64_t inputs, refused, reallocations;
    uint32_t overcommit[3];  // 1, 5, 15 minutes, in 1/2048
};
/*
 * The VM in that place of the policy's table; false: there is none. World context, as all here.
 */
bool vmm_mem_row(uint32_t slot, struct memsched_node *out, record_text16 *name);
/* The same by mem_id. */
bool vmm_mem_find(uint32_t id, struct memsched_node *out);
/* False: the memory scheduler does not run. */
bool vmm_mem_host(struct memsched_summary *out);
/* What the table of shared pages counts; zeroes if there is none. Any context. */
void vmm_mem_shared(struct share_counters *out);
/* How many pages of that VM the table has hints of. Any context. */
uint32_t vmm_mem_hints(const struct vm *vm);
/* Who lacked what when VMK_LIMIT was answered last. */
void vmm_mem_refusal(char *out, size_t room);
/* SET_SHARES, SET_MIN or SET_MAX of a VM, in pages. LIMIT: it cannot be reserved. */
must_check vmk_status vmm_mem_set(uint32_t op, uint32_t id, uint32_t value);
/* Registers the file; after fs_init(), once. */
void vmm_mem_proc_start(void);
