// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_swap.c -- pages of a user address space that go to the pager's store.
 *
 * Who goes: a hand moves over the pages of a space. A page that was used since the hand came by
 * last is marked unused and stays; the others leave. Leaving is two steps, because the contents
 * must not change while they are written: first the entry becomes one that is not present but
 * still holds the page, and all CPUs are told; when the contents are in a slot the entry names
 * the slot and the page is freed. Whoever touches the page between the two steps finds it there
 * and it stays (aspace_fault.c).
 *
 * Invariants
 *   - A page that leaves is private and not an object's. If other spaces have it too (after a
 *     fork) it is nobody's to write, and it is freed when the last of them has let it go. No
 *     device uses pages of user worlds.
 *   - Entries become leaving ones only here, by one world.
 * Locking    aspace.lock
 * Start at   aspace_victims_take(), aspace_victim_done()
 */
#include "core/assert.h"
#include "core/host.h"
#include "mem/aspace_internal.h"

struct aspace_state {
    const struct aspace_pager *pager;  // (i) once set
};
HOST_STATE(aspace);

void aspace_pager_set(const struct aspace_pager *pager)
{
    __atomic_store_n(&this_host()->aspace->pager, pager, __ATOMIC_RELEASE);
}

const struct aspace_pager *aspace_pager(void)
{
    return __atomic_load_n(&this_host()->aspace->pager, __ATOMIC_ACQUIRE);
}

vmk_status aspace_memory_wait(bool signals)
{
    const struct aspace_pager *pager = aspace_pager();
    vmk_status status = VMK_OK;

    while (pager && pager->is_short() && status == VMK_OK)
        status = pager->wait(signals);
    return status == VMK_BUSY ? VMK_OK : status;
}

/* ---- entries, lock held ---- */

static mpn_t page_of(uint64_t entry)
{
    return paddr_to_mpn(paddr_make(entry & PTE_ADDRESS));
}

void aspace_entry_keep(const struct region *r, uint64_t *entry)
{
    vmk_assert(aspace_entry_is_leaving(*entry));
    const mpn_t mpn = page_of(*entry);

    __atomic_store_n(entry,
                     aspace_entry_make(mpn, r->protection, page_references(mpn) == 1) | PTE_A,
                     __ATOMIC_RELEASE);
}

void aspace_entry_drop(struct aspace *as, struct tlb_gather *gather, const struct region *r,
                       uint64_t va, uint64_t entry)
{
    if (aspace_entry_is_swapped(entry)) {
        aspace_pager()->slot_put(aspace_entry_slot(entry));
        as->use.swapped_pages--;
    } else {
        aspace_gather_add(gather, r, va, entry);
        as->use.resident_pages--;
    }
}

/* ---- out ---- */

static bool may_leave(const struct region *r, uint64_t entry)
{
    return (entry & PTE_P) && !(entry & PTE_OBJECT) && !r->locked && !r->shared;
}

unsigned aspace_victims_take(struct aspace *as, uint64_t *va, unsigned looks,
                             struct aspace_victim *out, unsigned room)
{
    struct tlb_gather gather;
    uint64_t from = 0, after = 0, *entry;
    unsigned count = 0;
    bool irqs;

    gather_init(&gather);
    irqs = spin_lock(&as->lock);
    for (; looks && count < room; looks--) {
        const struct region *r = aspace_region_above(as, *va);

        if (!r) {
            *va = 0;
            break;
        }
        *va = MAX(*va, r->start);
        entry = aspace_entry_next(as, va, r->end);
        if (!entry)
            continue;
        if (may_leave(r, *entry)) {
            from = from ? from : *va;
            after = *va + PAGE_SIZE;
            if (!(__atomic_fetch_and(entry, ~PTE_A, __ATOMIC_RELAXED) & PTE_A)) {
                out[count++] = (struct aspace_victim){*va, page_of(*entry)};
                __atomic_store_n(entry, (*entry & PTE_ADDRESS) | PTE_LEAVING, __ATOMIC_RELEASE);
            }
        }
        *va += PAGE_SIZE;
    }
    if (from)
        aspace_flush_locked(as, &gather, from, (after - from) >> PAGE_SHIFT);
    spin_unlock(&as->lock, irqs);
    if (count)
        aspace_gather_finish(as, &gather);
    return count;
}

/* The entry of a victim that nobody touched, or null. */
static uint64_t *still_leaving(struct aspace *as, const struct aspace_victim *victim)
{
    uint64_t *entry = aspace_entry(as, victim->va, false);

    return entry && *entry == (mpn_to_paddr(victim->mpn).raw | PTE_LEAVING) ? entry : NULL;
}

bool aspace_victim_done(struct aspace *as, const struct aspace_victim *victim, uint32_t slot)
{
    bool irqs = spin_lock(&as->lock);
    uint64_t *entry = still_leaving(as, victim);
    const struct region *r = aspace_region_find(as, victim->va);

    if (entry && r && r->locked) {  // since it began to leave
        aspace_entry_keep(r, entry);
        entry = NULL;
    }
    if (entry) {
        *entry = (uint64_t)slot << PAGE_SHIFT | PTE_SWAPPED;
        as->use.resident_pages--;
        as->use.swapped_pages++;
    }
    spin_unlock(&as->lock, irqs);
    if (entry)
        page_put(victim->mpn);
    return entry;
}

void aspace_victim_keep(struct aspace *as, const struct aspace_victim *victim)
{
    bool irqs = spin_lock(&as->lock);
    uint64_t *entry = still_leaving(as, victim);
    const struct region *r = aspace_region_find(as, victim->va);

    if (entry && r)
        aspace_entry_keep(r, entry);
    spin_unlock(&as->lock, irqs);
}

/* ---- back ---- */

#define LOOKS_MAX 512u  // with the lock held

/* The first page at or after *va that is in the store; false: none before `end`. */
static bool swapped_next(struct aspace *as, uint64_t *va, uint64_t end)
{
    bool found = false;

    while (*va < end && !found) {
        bool irqs = spin_lock(&as->lock);

        for (unsigned i = 0; i < LOOKS_MAX && !found; i++) {
            const uint64_t *entry = aspace_entry_next(as, va, end);

            if (!entry)
                break;
            found = aspace_entry_is_swapped(*entry);
            *va += found ? 0 : PAGE_SIZE;
        }
        spin_unlock(&as->lock, irqs);
    }
    return found;
}

vmk_status aspace_bring_back(struct aspace *as, uint64_t address, uint64_t size)
{
    const uint64_t end = MIN(address + size, ASPACE_END);
    vmk_status status = VMK_OK;
    struct aspace_use use;

    aspace_use_get(as, &use);
    if (!use.swapped_pages)
        return VMK_OK;
    for (uint64_t va = address; status == VMK_OK && swapped_next(as, &va, end); va += PAGE_SIZE)
        status = aspace_fault_force(as, va, 0, true);
    return status == VMK_FAULT ? VMK_OK : status;  // unmapped meanwhile
}
