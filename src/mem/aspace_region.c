// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_region.c -- the list of regions of a user address space.
 *
 * A region is a range of pages with one meaning: protection, private or shared, anonymous or
 * with an object behind it. A sorted list is enough: programs have dozens of regions, and the
 * one found last is remembered. Regions are cut where a change begins or ends, and merged again
 * where they agree.
 *
 * Invariants
 *   - Regions are sorted, disjoint, page aligned, inside [ASPACE_LOWEST, ASPACE_END).
 *   - use.virtual_pages is the sum of the regions' sizes, and the counters by kind likewise:
 *     who changes a region's size takes it out of the count first (aspace_region_count()).
 * Locking    aspace.lock (rank ASPACE) is the caller's; only freeing wants no lock.
 * Start at   aspace_region_find(), aspace_region_cut(), aspace_region_merge()
 */
#include "mem/aspace_internal.h"

#define MAP_TOP   (ASPACE_END - (1ull << 30))  // below the stack and its room to grow
#define MAP_LOW   0x100000ull
#define STACK_GAP (256 * PAGE_SIZE)

struct region *aspace_region_find(struct aspace *as, uint64_t va)
{
    struct region *r = as->hint;

    if (r && va >= r->start && va < r->end)
        return r;
    list_for_each (node, &as->regions) {
        r = list_entry(node, struct region, link);
        if (va < r->start)
            break;
        if (va < r->end) {
            as->hint = r;
            return r;
        }
    }
    return NULL;
}

struct region *aspace_region_above(struct aspace *as, uint64_t va)
{
    list_for_each (node, &as->regions) {
        struct region *r = list_entry(node, struct region, link);

        if (r->end > va)
            return r;
    }
    return NULL;
}

bool aspace_range_free(struct aspace *as, uint64_t start, uint64_t end)
{
    const struct region *r = aspace_region_above(as, start);

    return !r || r->start >= end;
}

static uint64_t *kind_counter(struct aspace *as, const struct region *r)
{
    if (r->kind == ASPACE_REGION_HEAP)
        return &as->use.heap_pages;
    if (r->kind == ASPACE_REGION_STACK)
        return &as->use.stack_pages;
    return r->protection & ASPACE_EXEC ? &as->use.exec_pages : NULL;
}

void aspace_region_count(struct aspace *as, const struct region *r, bool add)
{
    uint64_t *counter = kind_counter(as, r);
    uint64_t pages = add ? aspace_region_pages(r) : 0 - aspace_region_pages(r);

    as->use.virtual_pages += pages;
    if (r->locked)
        as->use.locked_pages += pages;
    if (counter)
        *counter += pages;
}

void aspace_region_link(struct aspace *as, struct region *r)
{
    struct list *at = &as->regions;

    list_for_each (node, &as->regions) {
        if (list_entry(node, struct region, link)->start >= r->end) {
            at = node;
            break;
        }
    }
    list_insert_before(at, &r->link);
    as->region_count++;
    as->map_generation++;
    aspace_region_count(as, r, true);
}

void aspace_region_unlink(struct aspace *as, struct region *r)
{
    list_remove(&r->link);
    as->region_count--;
    as->map_generation++;
    if (as->hint == r)
        as->hint = NULL;
    aspace_region_count(as, r, false);
}

void aspace_region_hold(const struct region *r)
{
    if (!r->object)
        return;
    r->object->ops->ref(r->object);
    if (r->object->ops->mapped)
        r->object->ops->mapped(r->object, true);
}

static void aspace_region_free(struct region *r)
{
    if (r->object && r->object->ops->mapped)
        r->object->ops->mapped(r->object, false);
    if (r->object)
        r->object->ops->unref(r->object);
    heap_free(r);
}

void aspace_regions_free(struct list *regions)
{
    list_for_each_safe (node, after, regions) {
        list_remove(node);
        aspace_region_free(list_entry(node, struct region, link));
    }
}

struct region *aspace_region_copy(const struct region *r)
{
    struct region *copy = heap_alloc(sizeof(*copy), MEM_OWNER_USER);

    if (!copy)
        return NULL;
    *copy = *r;
    copy->locked = false;  // the copy is a child's
    list_init(&copy->link);
    aspace_region_hold(copy);
    return copy;
}

void aspace_region_cut(struct aspace *as, struct region *r, struct region *upper, uint64_t at)
{
    aspace_region_count(as, r, false);
    *upper = (struct region){.start = at,
                             .end = r->end,
                             .protection = r->protection,
                             .shared = r->shared,
                             .locked = r->locked,
                             .never_write = r->never_write,
                             .kind = r->kind,
                             .at_fork = r->at_fork,
                             .object = r->object,
                             .offset = r->offset + ((at - r->start) >> PAGE_SHIFT)};
    aspace_region_hold(upper);
    r->end = at;
    aspace_region_count(as, r, true);
    list_init(&upper->link);
    aspace_region_link(as, upper);
}

/* Can b simply be the continuation of a? */
static bool mergeable(const struct region *a, const struct region *b)
{
    return a->end == b->start && a->protection == b->protection && a->shared == b->shared &&
           a->kind == b->kind && a->object == b->object && a->locked == b->locked &&
           a->never_write == b->never_write && a->at_fork == b->at_fork &&
           (!a->object || a->offset + aspace_region_pages(a) == b->offset);
}

void aspace_region_merge(struct aspace *as, struct region *r, struct list *dead)
{
    if (r->link.next != &as->regions) {
        struct region *next = list_entry(r->link.next, struct region, link);

        if (mergeable(r, next)) {
            aspace_region_unlink(as, next);
            list_add_tail(dead, &next->link);
            aspace_region_count(as, r, false);
            r->end = next->end;
            aspace_region_count(as, r, true);
        }
    }
    if (r->link.prev != &as->regions) {
        struct region *prev = list_entry(r->link.prev, struct region, link);

        if (mergeable(prev, r)) {
            aspace_region_unlink(as, r);
            list_add_tail(dead, &r->link);
            aspace_region_count(as, prev, false);
            prev->end = r->end;
            aspace_region_count(as, prev, true);
        }
    }
}

struct region *aspace_stack_grow(struct aspace *as, uint64_t va)
{
    struct region *r = aspace_region_above(as, va);
    uint64_t lowest;

    if (!r || r->kind != ASPACE_REGION_STACK)
        return NULL;
    lowest = r->end - MIN(r->end - ASPACE_LOWEST, round_up(as->limits.stack_bytes, PAGE_SIZE));
    if (r->link.prev != &as->regions) {
        const struct region *below = list_entry(r->link.prev, struct region, link);

        lowest = MAX(lowest, below->end + STACK_GAP);
    }
    va = round_down(va, PAGE_SIZE);
    if (va < lowest ||
        ((as->use.virtual_pages << PAGE_SHIFT) + (r->start - va) > as->limits.virtual_bytes))
        return NULL;
    aspace_region_count(as, r, false);
    r->start = va;
    aspace_region_count(as, r, true);
    as->map_generation++;
    return r;
}

uint64_t aspace_room_find(struct aspace *as, uint64_t size)
{
    uint64_t end = MAP_TOP;

    for (struct list *node = as->regions.prev; node != &as->regions; node = node->prev) {
        const struct region *r = list_entry(node, struct region, link);

        if (r->end <= end && end - r->end >= size)
            return end - size;
        end = MIN(end, r->start);
    }
    return end >= MAP_LOW + size ? end - size : 0;
}
