// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_fault.c -- page faults of ring 3 and of checked copies: demand zero, files,
 * copy-on-write.
 *
 * The fault finds the region and brings one page. Anonymous pages are made under the lock. A
 * page of an object may need a disk, so the lock is dropped, the page fetched, and everything
 * looked at again: the map's generation says whether the region is still the one it was.
 *
 *      entry names a slot             the pager reads it into a page of ours
 *      the page leaves                it stays
 *      entry absent   anonymous            a zeroed page, writable at once
 *                     object, shared       the object's page
 *                     object, private      the object's page read-only; for a write, a copy
 *      entry present  write, private       the page itself if nobody else holds it, else a copy
 *                     write, shared        the object is told, then writable
 *                     allowed              another CPU was faster, or a stale translation:
 *                                          again
 *
 * Invariants
 *   - A writable entry of a private region holds a page with one reference.
 *   - OK means that the same access would not fault in the same way at once again.
 * Locking    aspace.lock, dropped around page_get() and before a shootdown.
 * Start at   aspace_fault().
 */
#include "core/assert.h"
#include "lib/string.h"
#include "mem/aspace_internal.h"

struct fault {
    struct aspace *as;
    uint64_t va;  // page aligned
    unsigned access;
    bool force;
    bool is_short;  // of memory: aspace_pager.wait() first
    bool reserve;   // that is of no use: it may take what there is
    struct tlb_gather gather;
};

/* A page for user memory, if the host's bound allows. BUSY, and is_short. */
static vmk_status new_page(struct fault *f, mpn_t *out)
{
    const struct aspace_limits *limits = &f->as->limits;
    const struct aspace_pager *pager = aspace_pager();

    if (pager && !f->reserve && pager->is_short()) {
        f->is_short = true;
        return VMK_BUSY;
    }
    if (limits->host_pages && page_owned_count(MEM_OWNER_USER) >= limits->host_pages)
        return VMK_NO_MEMORY;
    return page_alloc(0, MEM_OWNER_USER, out);
}

static vmk_status copy_page(struct fault *f, mpn_t from, mpn_t *out)
{
    vmk_status status = new_page(f, out);

    if (status == VMK_OK)
        memcpy(mpn_map(*out), mpn_map(from), PAGE_SIZE);
    return status;
}

/* Nothing is there, and no object is behind it. */
static vmk_status demand_zero(struct fault *f, const struct region *r, uint64_t *entry)
{
    mpn_t mpn;
    vmk_status status = new_page(f, &mpn);

    if (status != VMK_OK)
        return status;
    memset(mpn_map(mpn), 0, PAGE_SIZE);
    aspace_entry_install(f->as, entry, mpn, r->protection, true, false);
    return VMK_OK;
}

/* The first write to a private page that others may hold too. */
static vmk_status copy_on_write(struct fault *f, const struct region *r, uint64_t *entry)
{
    mpn_t old = paddr_to_mpn(paddr_make(*entry & PTE_ADDRESS));
    unsigned protection = r->protection | (f->force ? ASPACE_WRITE : 0u);
    mpn_t copy;

    if (!(*entry & PTE_OBJECT) && page_references(old) == 1) {
        *entry = aspace_entry_make(old, protection, true);
        if (!f->force)
            plat_user_tlb_flush(f->as->root, f->va, 1);
        return VMK_OK;
    }

    vmk_status status = copy_page(f, old, &copy);

    if (status != VMK_OK)
        return status;
    if (protection & ASPACE_EXEC)
        plat_user_code_changed(mpn_to_paddr(copy), PAGE_SIZE);
    aspace_gather_add(&f->gather, r, f->va, *entry);
    __atomic_store_n(entry, aspace_entry_make(copy, protection, true), __ATOMIC_RELEASE);
    aspace_flush_locked(f->as, &f->gather, f->va, 1);
    return VMK_OK;
}

/*
 * The lock is held again and the region is still that one. Says in *used whether the page went
 * into the tables; if not, the caller puts it back.
 */
static vmk_status place_object_page(struct fault *f, const struct region *r, mpn_t mpn,
                                    bool *used)
{
    uint64_t *entry = aspace_entry(f->as, f->va, true);
    bool write = f->access & ASPACE_WRITE;
    vmk_status status;
    mpn_t copy;

    *used = false;
    if (!entry)
        return VMK_NO_MEMORY;
    if (*entry && !(*entry & PTE_P))
        return VMK_OK;  // a private copy came, and went out again: the next look finds it
    if (*entry & PTE_P) {
        /* A shared page that is written for the first time; the object knows now. */
        if (r->shared && write && (*entry & PTE_ADDRESS) == mpn_to_paddr(mpn).raw)
            *entry |= PTE_W;
        plat_user_tlb_flush(f->as->root, f->va, 1);
        return VMK_OK;
    }
    if (r->shared || !write) {
        aspace_entry_install(f->as, entry, mpn, r->protection, r->shared && write, true);
        *used = true;
        return VMK_OK;
    }
    status = copy_page(f, mpn, &copy);
    if (status != VMK_OK)
        return status;
    aspace_entry_install(f->as, entry, copy, r->protection | (f->force ? ASPACE_WRITE : 0u),
                         true, false);
    return VMK_OK;
}

/*
 * Fetches the object's page with the lock dropped and places it. AGAIN: the map changed
 * meanwhile.
 * Lock held on call, not on return.
 */
static vmk_status from_object(struct fault *f, const struct region *r, bool irqs)
{
    struct aspace *as = f->as;
    struct aspace_object *object = r->object;
    uint64_t index = r->offset + ((f->va - r->start) >> PAGE_SHIFT);
    uint64_t generation = as->map_generation;
    bool write = r->shared && (f->access & ASPACE_WRITE);
    bool used = false;
    vmk_status status;
    mpn_t mpn;

    object->ops->ref(object);
    spin_unlock(&as->lock, irqs);
    status = object->ops->page_get(object, index, write, &mpn);
    if (status == VMK_OK) {
        irqs = spin_lock(&as->lock);
        if (as->map_generation == generation) {
            status = place_object_page(f, aspace_region_find(as, f->va), mpn, &used);
        } else {
            status = VMK_AGAIN;
        }
        spin_unlock(&as->lock, irqs);
        if (!used)
            object->ops->page_put(object, index, mpn);
    }
    object->ops->unref(object);
    return status;
}

/*
 * Reads a page that is in the pager's store with the lock dropped, and places it if it still
 * belongs there. Lock held on call, not on return.
 */
static vmk_status from_store(struct fault *f, uint64_t entry, bool irqs)
{
    const struct aspace_pager *pager = aspace_pager();
    const uint32_t slot = aspace_entry_slot(entry);
    struct aspace *as = f->as;
    vmk_status status;
    bool used = false;
    mpn_t mpn;

    // Of our own, so that nobody else's page gets into the slot while it is read.
    if (!pager->slot_share(slot)) {
        spin_unlock(&as->lock, irqs);
        return VMK_NO_MEMORY;
    }
    spin_unlock(&as->lock, irqs);
    status = new_page(f, &mpn);
    if (status != VMK_OK) {
        pager->slot_put(slot);
        return status;
    }
    status = pager->slot_read(slot, mpn_map(mpn));
    if (status == VMK_OK) {
        const struct region *r;
        uint64_t *now;

        irqs = spin_lock(&as->lock);
        r = aspace_region_find(as, f->va);
        now = aspace_entry(as, f->va, false);
        used = r && now && *now == entry;
        if (used) {
            *now = 0;
            aspace_entry_install(as, now, mpn, r->protection, true, false);
            as->use.swapped_pages--;
            pager->slot_put(slot);
        }
        spin_unlock(&as->lock, irqs);
    }
    pager->slot_put(slot);
    if (!used)
        page_put(mpn);
    return status;
}

static vmk_status fault_once(struct fault *f)
{
    struct aspace *as = f->as;
    bool irqs = spin_lock(&as->lock);
    struct region *r = aspace_region_find(as, f->va);
    vmk_status status = VMK_OK;

    if (!r)
        r = aspace_stack_grow(as, f->va);
    if (!r) {
        spin_unlock(&as->lock, irqs);
        return VMK_FAULT;
    }

    unsigned allowed = r->protection;

    if (f->force && !r->shared)
        allowed |= ASPACE_READ | ASPACE_WRITE;
    /* The tables cannot say "writable, not readable": what may be written may be read. */
    if (allowed & (ASPACE_WRITE | ASPACE_EXEC))
        allowed |= ASPACE_READ;
    if (f->access & ~allowed) {
        spin_unlock(&as->lock, irqs);
        return VMK_NO_PERMISSION;
    }

    bool write = f->access & ASPACE_WRITE;
    uint64_t *entry = aspace_entry(as, f->va, true);

    if (!entry)
        status = VMK_NO_MEMORY;
    else if (*entry & PTE_P) {
        if (write && !(*entry & PTE_W)) {
            if (r->shared && r->object)
                return from_object(f, r, irqs);
            status = copy_on_write(f, r, entry);
        } else {
            plat_user_tlb_flush(as->root, f->va, 1);
        }
    } else if (aspace_entry_is_swapped(*entry)) {
        return from_store(f, *entry, irqs);
    } else if (aspace_entry_is_leaving(*entry)) {
        aspace_entry_keep(r, entry);
    } else if (r->object) {
        return from_object(f, r, irqs);
    } else {
        status = demand_zero(f, r, entry);
    }
    spin_unlock(&as->lock, irqs);
    return status;
}

static vmk_status fault(struct aspace *as, uint64_t address, unsigned access, bool force,
                        bool signals)
{
    struct fault f = {
        .as = as, .va = round_down(address, PAGE_SIZE), .access = access, .force = force};
    vmk_status status;

    if (address < ASPACE_LOWEST || address >= ASPACE_END)
        return VMK_FAULT;
    gather_init(&f.gather);
    do {
        status = fault_once(&f);
        if (status != VMK_BUSY || !f.is_short)
            continue;
        f.is_short = false;
        status = aspace_pager()->wait(signals);
        f.reserve = status == VMK_BUSY;
        if (status == VMK_OK || status == VMK_BUSY)
            status = VMK_AGAIN;
    } while (status == VMK_AGAIN);
    aspace_gather_finish(as, &f.gather);
    return status;
}

vmk_status aspace_fault_force(struct aspace *as, uint64_t address, unsigned access, bool force)
{
    return fault(as, address, access, force, false);
}

vmk_status aspace_fault(struct aspace *as, uint64_t address, unsigned access)
{
    return fault(as, address, access, false, true);
}
