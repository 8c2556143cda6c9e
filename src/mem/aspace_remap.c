// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_remap.c -- mremap(): a mapping becomes smaller, longer in place, or moves with its pages.
 *
 * Locking    aspace.lock (rank ASPACE) for each step; map changes are serialised by the caller.
 * Start at   aspace_remap()
 */
#include "mem/aspace_internal.h"

/* Moves what is present from one range to another, whose tables may have to be made. */
static vmk_status move_entries(struct aspace *as, uint64_t from, uint64_t to, uint64_t size)
{
    struct tlb_gather gather;
    vmk_status status = VMK_OK;
    uint64_t va = from;
    uint64_t *entry;

    gather_init(&gather);

    bool irqs = spin_lock(&as->lock);

    while ((entry = aspace_entry_next(as, &va, from + size))) {
        uint64_t *target = aspace_entry(as, to + (va - from), true);

        if (!target) {
            status = VMK_NO_MEMORY;
            break;
        }
        /*
         * A fault may have been faster there, on the new region; nobody has seen that page's
         * use.
         */
        if (*target) {
            aspace_entry_drop(as, &gather, aspace_region_find(as, to), to + (va - from),
                              *target);
            *target = 0;
            aspace_flush_locked(as, &gather, to + (va - from), 1);
            if (gather.count == GATHER_MAX) {
                spin_unlock(&as->lock, irqs);
                aspace_gather_finish(as, &gather);
                irqs = spin_lock(&as->lock);
                continue;
            }
        }
        if (aspace_entry_is_leaving(*entry))
            aspace_entry_keep(aspace_region_find(as, va), entry);
        *target = *entry;
        *entry = 0;
        va += PAGE_SIZE;
    }
    aspace_flush_locked(as, &gather, from, size >> PAGE_SHIFT);
    spin_unlock(&as->lock, irqs);
    aspace_gather_finish(as, &gather);
    return status;
}

/* Makes a region longer in place, if there is room above it. */
static bool extend(struct aspace *as, uint64_t end, uint64_t new_end)
{
    bool irqs = spin_lock(&as->lock);
    struct region *r = aspace_region_find(as, end - 1);
    bool fits =
        r && r->end == end && new_end <= ASPACE_END && aspace_range_free(as, end, new_end) &&
        (as->use.virtual_pages << PAGE_SHIFT) + (new_end - end) <= as->limits.virtual_bytes;

    if (fits) {
        aspace_region_count(as, r, false);
        r->end = new_end;
        aspace_region_count(as, r, true);
        as->map_generation++;
    }
    spin_unlock(&as->lock, irqs);
    return fits;
}

vmk_status aspace_remap(struct aspace *as, uint64_t address, uint64_t old_size,
                        uint64_t new_size, unsigned flags, const uint64_t *fixed, uint64_t *out)
{
    const bool may_move = flags & ASPACE_REMAP_MAY_MOVE, keep = flags & ASPACE_REMAP_KEEP;
    struct aspace_map map = {0};
    vmk_status status;

    old_size = old_size <= ASPACE_END ? round_up(old_size, PAGE_SIZE) : old_size;
    new_size = new_size <= ASPACE_END ? round_up(new_size, PAGE_SIZE) : new_size;
    if (!aspace_range_valid(address, new_size) || !aspace_range_valid(address, old_size))
        return VMK_BAD_PARAM;
    if (fixed && (!aspace_range_valid(*fixed, new_size) ||
                  (*fixed < address + old_size && address < *fixed + new_size)))
        return VMK_BAD_PARAM;

    bool irqs = spin_lock(&as->lock);
    const struct region *r = aspace_region_find(as, address);
    bool whole = r && address + old_size <= r->end;

    if (whole) {
        map.size = new_size;
        map.protection = r->protection;
        map.shared = r->shared;
        map.never_write = r->never_write;
        map.kind = r->kind == ASPACE_REGION_STACK ? ASPACE_REGION_PLAIN : r->kind;
        map.object = r->object;
        map.offset = r->offset + ((address - r->start) >> PAGE_SHIFT);
        if (map.object)
            map.object->ops->ref(map.object);
    }
    spin_unlock(&as->lock, irqs);
    if (!whole)
        return VMK_FAULT;

    *out = address;
    status = VMK_OK;
    if (!fixed && !keep && new_size <= old_size) {
        if (new_size < old_size)
            status = aspace_unmap(as, address + new_size, old_size - new_size);
    } else if (!fixed && !keep && extend(as, address + old_size, address + new_size)) {
        status = VMK_OK;
    } else if (!may_move) {
        status = VMK_NO_MEMORY;
    } else {
        map.fixed = map.replace = fixed;
        map.address = fixed ? *fixed : 0;
        status = aspace_map(as, &map, out);
        if (status == VMK_OK)
            status = move_entries(as, address, *out, MIN(old_size, new_size));
        if (status == VMK_OK && !keep)
            status = aspace_unmap(as, address, old_size);
    }
    if (map.object)
        map.object->ops->unref(map.object);
    return status;
}
