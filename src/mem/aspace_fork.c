// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_fork.c -- the copy of a user address space that fork() makes.
 *
 * The child gets copies of the regions and the same private pages, which both may then only
 * read; the first write of either makes a copy (aspace_fault.c). A page that is swapped out
 * stays out for both. Pages of shared regions come from their objects when the child touches
 * them.
 *
 * Locking    the parent's aspace.lock, region by region; the child is nobody's yet.
 * Start at   aspace_fork()
 */
#include "mem/aspace_internal.h"

/*
 * Gives the child the parent's pages of one region. Lock of the parent held; the child is new.
 */
static vmk_status share_pages(struct aspace *parent, struct aspace *child,
                              const struct region *r, bool *changed)
{
    uint64_t va = r->start;
    uint64_t *entry;

    for (; (entry = aspace_entry_next(parent, &va, r->end)); va += PAGE_SIZE) {
        const mpn_t mpn = paddr_to_mpn(paddr_make(*entry & PTE_ADDRESS));
        uint64_t *copy;

        if (r->shared || (r->at_fork & ASPACE_FORK_WIPES))
            continue;  // the object has them; or nobody does
        copy = aspace_entry(child, va, true);
        if (!copy)
            return VMK_NO_MEMORY;
        if (aspace_entry_is_swapped(*entry)) {
            if (!aspace_pager()->slot_share(aspace_entry_slot(*entry)))
                return VMK_NO_MEMORY;
            *copy = *entry;
            child->use.swapped_pages++;
            continue;
        }
        if (aspace_entry_is_leaving(*entry))
            aspace_entry_keep(r, entry);
        if (*entry & PTE_OBJECT)
            r->object->ops->page_ref(r->object, r->offset + ((va - r->start) >> PAGE_SHIFT),
                                     mpn);
        else if (!page_share(mpn))
            return VMK_NO_MEMORY;
        if (*entry & PTE_W) {
            __atomic_fetch_and(entry, ~PTE_W, __ATOMIC_RELEASE);
            *changed = true;
        }
        *copy = *entry & ~(PTE_A | PTE_D);
        child->use.resident_pages++;
    }
    return VMK_OK;
}

vmk_status aspace_fork(struct aspace *parent, struct aspace **out)
{
    struct tlb_gather gather;
    struct aspace *child;
    vmk_status status = aspace_create(&parent->limits, &child);
    uint64_t at = 0;

    if (status != VMK_OK)
        return status;
    child->heap_start = parent->heap_start;
    child->heap_end = parent->heap_end;
    gather_init(&gather);
    /*
     * Region by region, so that interrupts are not off for long; only the stack may grow
     * meanwhile.
     */
    while (status == VMK_OK) {
        bool changed = false;
        bool irqs = spin_lock(&parent->lock);
        const struct region *r = aspace_region_above(parent, at);
        struct region *copy;

        if (!r) {
            spin_unlock(&parent->lock, irqs);
            break;
        }
        at = r->end;
        copy = (r->at_fork & ASPACE_FORK_LEAVES_OUT) ? NULL : aspace_region_copy(r);
        if (copy) {
            struct list *end = &child->regions;

            list_add_tail(end, &copy->link);
            child->region_count++;
            aspace_region_count(child, copy, true);
            status = share_pages(parent, child, r, &changed);
        } else if (!(r->at_fork & ASPACE_FORK_LEAVES_OUT)) {
            status = VMK_NO_MEMORY;
        }
        if (changed)
            aspace_flush_locked(parent, &gather, r->start, (r->end - r->start) >> PAGE_SHIFT);
        spin_unlock(&parent->lock, irqs);
    }
    aspace_gather_finish(parent, &gather);
    if (status != VMK_OK) {
        aspace_unref(child);
        return status;
    }
    child->use.peak_pages = child->use.resident_pages;
    *out = child;
    return VMK_OK;
}
