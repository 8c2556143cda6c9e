// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_reclaim.h -- taking pages of a running VM: flushes, pages on their way out, sharing, samples.
 */
#pragma once

#include "mem/share.h"
#include "vmm/vm.h"

/* At the VM's creation and end. */
must_check vmk_status vm_reclaim_create(struct vm *vm);
void vm_reclaim_destroy(struct vm *vm);

/*
 * A translation was taken away or made stricter: every vCPU drops what it knows before it
 * enters the guest again, and none goes on before all others left. VM lock held.
 */
void vm_flush_locked(struct vm *vm);
/* The vCPU's part: before an entry. World context, nothing locked. */
void vcpu_flush(struct vcpu *v);
/*
 * Waits until no vCPU is in the guest with what was before flush `number`; not a vCPU in its
 * guest.
 */
void vm_flush_wait(struct vm *vm, uint64_t number);

/* Does a device use it? Only what is PRESENT can be. VM lock held. */
static inline bool vm_page_is_pinned(struct p2m_page page)
{
    return page.state == P2M_PRESENT && page_references(mpn_make(page.value)) > 1;
}
/*
 * The guest gives a page away (its balloon). NOT_FOUND: no RAM. EXISTS: given before. BUSY: a
 * device uses it. AGAIN: too many on their way out. vm_flush_locked() after one or several. VM
 * lock held.
 */
must_check vmk_status vm_page_take_locked(struct vm *vm, ppn_t ppn);
/* It takes it back: zeroes at the next touch. NOT_FOUND: was not given. VM lock held. */
must_check vmk_status vm_page_return_locked(struct vm *vm, ppn_t ppn);
/* Has no vCPU anything any more of what was before that flush_number? Any context. */
bool vm_flush_is_seen(struct vm *vm, uint64_t number);
/* Frees what no vCPU can reach any more. VM lock held. */
void vm_limbo_collect_locked(struct vm *vm);
/* Room for one more, made if possible; pages of an owner on their way out. VM lock held. */
must_check bool vm_limbo_has_room_locked(struct vm *vm);
void vm_limbo_add_locked(struct vm *vm, mpn_t mpn, unsigned pages, enum mem_owner owner);
/* Flushes and waits until nobody uses what was before. World context; false: the VM ended. */
must_check bool vm_grace(struct vm *vm);

/* A write to a shared page, by index: a copy, or the page itself if nobody else holds it. */
must_check vmk_status vm_share_break_locked(struct vm *vm, uint64_t index, ppn_t ppn,
                                            mpn_t *mpn);
/* The page leaves its sharers; true: nobody else held it, and it is the caller's. */
must_check bool vm_share_leave_locked(struct vm *vm, mpn_t mpn);
/* How the host's table of shared pages reaches VMs; the context is the host's vmm_state. */
extern const struct share_ops vm_share_ops;

/* A period of sampling: so many of so many pages were touched; then new ones are picked. */
void vm_sample(struct vm *vm, uint32_t *touched, uint32_t *sampled);

/* The PPN of a RAM page number. */
ppn_t vm_ppn_of(const struct vm *vm, uint64_t index);
