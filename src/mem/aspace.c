// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace.c -- a user address space: its regions and its life.
 *
 * A region is a range of pages with one meaning: protection, private or shared, anonymous or with an
 * object behind it. The list of regions says what may be there; the page tables say what is there.
 * A sorted list is enough: programs have dozens of regions, and the one found last is remembered.
 *
 * Whoever takes a range away first unlinks its regions, so that faults find nothing, then clears the
 * tables in batches: each batch waits until no CPU has the pages any more, without the lock, because
 * that CPU may want it. Nobody can map the range again meanwhile, because map changes come one at a
 * time.
 *
 * Invariants
 *   - Regions are sorted, disjoint, page aligned, inside [ASPACE_LOWEST, ASPACE_END) (check()).
 *   - A present entry belongs to a region, or its range is being taken away right now.
 *   - use.virtual_pages is the sum of the regions' sizes.
 * Locking    aspace.lock (rank ASPACE); map changes are serialised by the caller.
 * Start at   aspace_map(), aspace_unmap(), aspace_fork().
 */
#include "mem/aspace.h"

#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "mem/aspace_internal.h"

#define MAP_TOP   (ASPACE_END - (1ull << 30))  // below the stack and its room to grow
#define MAP_LOW   0x100000ull
#define STACK_GAP (256 * PAGE_SIZE)

/* ---- regions; lock held ---- */

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

/* The first region that ends above va, or null. */
static struct region *region_above(struct aspace *as, uint64_t va)
{
    list_for_each (node, &as->regions) {
        struct region *r = list_entry(node, struct region, link);

        if (r->end > va)
            return r;
    }
    return NULL;
}

static bool range_free(struct aspace *as, uint64_t start, uint64_t end)
{
    const struct region *r = region_above(as, start);

    return !r || r->start >= end;
}

static uint64_t pages_of(const struct region *r)
{
    return (r->end - r->start) >> PAGE_SHIFT;
}

static uint64_t *kind_counter(struct aspace *as, const struct region *r)
{
    if (r->kind == ASPACE_REGION_HEAP)
        return &as->use.heap_pages;
    if (r->kind == ASPACE_REGION_STACK)
        return &as->use.stack_pages;
    return r->protection & ASPACE_EXEC ? &as->use.exec_pages : NULL;
}

static void count_region(struct aspace *as, const struct region *r, bool add)
{
    uint64_t *counter = kind_counter(as, r);
    uint64_t pages = add ? pages_of(r) : 0 - pages_of(r);

    as->use.virtual_pages += pages;
    if (counter)
        *counter += pages;
}

static void link_region(struct aspace *as, struct region *r)
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
    count_region(as, r, true);
}

static void unlink_region(struct aspace *as, struct region *r)
{
    list_remove(&r->link);
    as->region_count--;
    as->map_generation++;
    if (as->hint == r)
        as->hint = NULL;
    count_region(as, r, false);
}

/* Frees a region that is on no list. No lock held: an object may go with it. [block] */
static void region_free(struct region *r)
{
    if (r->object)
        r->object->ops->unref(r->object);
    heap_free(r);
}

static void regions_free(struct list *regions)
{
    list_for_each_safe (node, after, regions) {
        list_remove(node);
        region_free(list_entry(node, struct region, link));
    }
}

static struct region *region_copy(const struct region *r)
{
    struct region *copy = heap_alloc(sizeof(*copy), MEM_OWNER_USER);

    if (!copy)
        return NULL;
    *copy = *r;
    list_init(&copy->link);
    if (copy->object)
        copy->object->ops->ref(copy->object);
    return copy;
}

/* Cuts a region in two at `at`, which it contains; `upper` is a copy of it that becomes the rest. */
static void region_cut(struct aspace *as, struct region *r, struct region *upper, uint64_t at)
{
    count_region(as, r, false);
    *upper = (struct region){.start = at,
                             .end = r->end,
                             .protection = r->protection,
                             .shared = r->shared,
                             .kind = r->kind,
                             .object = r->object,
                             .offset = r->offset + ((at - r->start) >> PAGE_SHIFT)};
    if (upper->object)
        upper->object->ops->ref(upper->object);
    r->end = at;
    count_region(as, r, true);
    list_init(&upper->link);
    link_region(as, upper);
}

/* Can b simply be the continuation of a? */
static bool mergeable(const struct region *a, const struct region *b)
{
    return a->end == b->start && a->protection == b->protection && a->shared == b->shared &&
           a->kind == b->kind && a->object == b->object &&
           (!a->object || a->offset + pages_of(a) == b->offset);
}

/* Merges r with its neighbours; what is left over goes to `dead`. */
static void merge(struct aspace *as, struct region *r, struct list *dead)
{
    if (r->link.next != &as->regions) {
        struct region *next = list_entry(r->link.next, struct region, link);

        if (mergeable(r, next)) {
            unlink_region(as, next);
            list_add_tail(dead, &next->link);
            count_region(as, r, false);
            r->end = next->end;
            count_region(as, r, true);
        }
    }
    if (r->link.prev != &as->regions) {
        struct region *prev = list_entry(r->link.prev, struct region, link);

        if (mergeable(prev, r)) {
            unlink_region(as, r);
            list_add_tail(dead, &r->link);
            count_region(as, prev, false);
            prev->end = r->end;
            count_region(as, prev, true);
        }
    }
}

struct region *aspace_stack_grow(struct aspace *as, uint64_t va)
{
    struct region *r = region_above(as, va);
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
    count_region(as, r, false);
    r->start = va;
    count_region(as, r, true);
    as->map_generation++;
    return r;
}

/* The highest free range of that size below MAP_TOP, or 0. */
static uint64_t find_room(struct aspace *as, uint64_t size)
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

/* Clears the entries of [start, end), all in `r`, which is unlinked, or which faults may fill again. */
static void zap(struct aspace *as, const struct region *r, uint64_t start, uint64_t end)
{
    struct tlb_gather gather;
    uint64_t va = start;
    uint64_t *entry;

    gather_init(&gather);
    do {
        bool irqs = spin_lock(&as->lock);
        uint64_t from = va;

        while (gather.count < GATHER_MAX) {
            entry = aspace_entry_next(as, &va, end);
            if (!entry)
                break;
            aspace_gather_add(&gather, r, va, *entry);
            __atomic_store_n(entry, 0, __ATOMIC_RELEASE);
            as->use.resident_pages--;
            va += PAGE_SIZE;
        }
        if (gather.count)
            aspace_flush_locked(as, &gather, from, (va - from) >> PAGE_SHIFT);
        spin_unlock(&as->lock, irqs);
        aspace_gather_finish(as, &gather);
    } while (va < end);
}

/* ---- life ---- */

vmk_status aspace_create(const struct aspace_limits *limits, struct aspace **out)
{
    struct aspace *as = heap_alloc(sizeof(*as), MEM_OWNER_USER);
    mpn_t root;

    if (!as)
        return VMK_NO_MEMORY;
    if (page_alloc_zeroed(0, MEM_OWNER_USER, &root) != VMK_OK) {
        heap_free(as);
        return VMK_NO_MEMORY;
    }
    as->root = mpn_to_paddr(root);
    plat_user_root_init(as->root);
    spin_init(&as->lock, "aspace", LOCK_RANK_ASPACE);
    as->refs = 1;
    list_init(&as->regions);
    as->limits = *limits;
    as->generation = 1;
    as->use.table_pages = 1;
    *out = as;
    return VMK_OK;
}

void aspace_ref(struct aspace *as)
{
    __atomic_fetch_add(&as->refs, 1, __ATOMIC_RELAXED);
}

void aspace_unref(struct aspace *as)
{
    if (__atomic_fetch_sub(&as->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    for (unsigned c = 0; c < plat_cpu_count(); c++)
        vmk_assert(!as->cpus[c].entered);

    bool irqs = plat_irq_save();

    plat_user_tlb_flush(as->root, 0, PLAT_USER_FLUSH_ALL);
    plat_irq_restore(irqs);
    list_for_each (node, &as->regions) {
        struct region *r = list_entry(node, struct region, link);

        if (r->object)
            zap(as, r, r->start, r->end);
    }
    aspace_tables_free(as);
    regions_free(&as->regions);
    heap_free(as);
}

paddr_t aspace_root(const struct aspace *as)
{
    return as->root;
}

void aspace_limits_set(struct aspace *as, const struct aspace_limits *limits)
{
    bool irqs = spin_lock(&as->lock);

    as->limits = *limits;
    spin_unlock(&as->lock, irqs);
}

/* ---- unmapping ---- */

/* Makes sure that no region crosses `at`. Two spare regions are passed in because the lock is held. */
static void cut_at(struct aspace *as, uint64_t at, struct region **spare)
{
    struct region *r = aspace_region_find(as, at);

    if (r && r->start < at) {
        region_cut(as, r, *spare, at);
        *spare = NULL;
    }
}

/* Cuts at both ends of the range. NO_MEMORY. Lock not held on call, held on OK. */
static vmk_status lock_and_cut(struct aspace *as, uint64_t start, uint64_t end, bool *irqs)
{
    struct region *low = heap_alloc(sizeof(*low), MEM_OWNER_USER);
    struct region *high = heap_alloc(sizeof(*high), MEM_OWNER_USER);

    if (!low || !high || as->region_count + 2 > ASPACE_REGIONS_MAX) {
        heap_free(low);
        heap_free(high);
        return VMK_NO_MEMORY;
    }
    *irqs = spin_lock(&as->lock);
    cut_at(as, start, &low);
    cut_at(as, end, &high);
    heap_free(low);
    heap_free(high);
    return VMK_OK;
}

static bool range_valid(uint64_t address, uint64_t size)
{
    return (address & (PAGE_SIZE - 1)) == 0 && size > 0 && size <= ASPACE_END &&
           address >= ASPACE_LOWEST && address <= ASPACE_END - size;
}

vmk_status aspace_unmap(struct aspace *as, uint64_t address, uint64_t size)
{
    struct list dead;
    vmk_status status;
    bool irqs;

    size = size <= ASPACE_END ? round_up(size, PAGE_SIZE) : size;
    if ((address & (PAGE_SIZE - 1)) || size == 0 || size > ASPACE_END ||
        address > ASPACE_END - size)
        return VMK_BAD_PARAM;
    if (address + size <= ASPACE_LOWEST)
        return VMK_OK;
    if (address < ASPACE_LOWEST) {
        size -= ASPACE_LOWEST - address;
        address = ASPACE_LOWEST;
    }

    uint64_t end = address + size;

    status = lock_and_cut(as, address, end, &irqs);
    if (status != VMK_OK)
        return status;
    list_init(&dead);
    list_for_each_safe (node, after, &as->regions) {
        struct region *r = list_entry(node, struct region, link);

        if (r->start >= end)
            break;
        if (r->start >= address) {
            unlink_region(as, r);
            list_add_tail(&dead, &r->link);
        }
    }
    spin_unlock(&as->lock, irqs);
    list_for_each (node, &dead) {
        struct region *r = list_entry(node, struct region, link);

        zap(as, r, r->start, r->end);
    }
    regions_free(&dead);
    return VMK_OK;
}

vmk_status aspace_discard(struct aspace *as, uint64_t address, uint64_t size)
{
    size = size <= ASPACE_END ? round_up(size, PAGE_SIZE) : size;
    if (!range_valid(address, size))
        return VMK_BAD_PARAM;

    /* Only map changes alter the list, and this is one: regions stay while the lock is dropped. */
    uint64_t end = address + size;

    for (uint64_t at = address; at < end;) {
        bool irqs = spin_lock(&as->lock);
        const struct region *r = region_above(as, at);
        uint64_t from = r ? MAX(r->start, at) : end;
        uint64_t to = r ? MIN(r->end, end) : end;

        spin_unlock(&as->lock, irqs);
        if (from < to)
            zap(as, r, from, to);
        at = MAX(to, at + PAGE_SIZE);
    }
    return VMK_OK;
}

void aspace_object_cut(struct aspace *as,
                       bool (*is_it)(const struct aspace_object *object, const void *what),
                       const void *what, uint64_t first)
{
    /* Only map changes alter the list, and this keeps them out: regions stay while it is unlocked. */
    list_for_each (node, &as->regions) {
        const struct region *r = list_entry(node, struct region, link);
        uint64_t skip = first > r->offset ? first - r->offset : 0;

        if (r->object && skip < pages_of(r) && is_it(r->object, what))
            zap(as, r, r->start + (skip << PAGE_SHIFT), r->end);
    }
}

/* ---- mapping ---- */

static vmk_status choose_address(struct aspace *as, const struct aspace_map *map, uint64_t size,
                                 uint64_t *out)
{
    if (map->fixed) {
        if (!range_valid(map->address, size))
            return VMK_BAD_PARAM;
        *out = map->address;
        return range_free(as, *out, *out + size) ? VMK_OK : VMK_EXISTS;
    }
    *out = round_down(map->address, PAGE_SIZE);
    if (*out && range_valid(*out, size) && range_free(as, *out, *out + size))
        return VMK_OK;
    *out = find_room(as, size);
    return *out ? VMK_OK : VMK_NO_MEMORY;
}

vmk_status aspace_map(struct aspace *as, const struct aspace_map *map, uint64_t *address)
{
    uint64_t size = map->size <= ASPACE_END ? round_up(map->size, PAGE_SIZE) : map->size;
    struct region *r;
    struct list dead;
    vmk_status status;

    if (size == 0)
        return VMK_BAD_PARAM;
    if (size > ASPACE_END - ASPACE_LOWEST)
        return VMK_NO_MEMORY;
    if (map->fixed && map->replace) {
        if (!range_valid(map->address, size))
            return VMK_BAD_PARAM;
        status = aspace_unmap(as, map->address, size);
        if (status != VMK_OK)
            return status;
    }
    r = heap_alloc(sizeof(*r), MEM_OWNER_USER);
    if (!r)
        return VMK_NO_MEMORY;
    r->protection = map->protection;
    r->shared = map->shared;
    r->kind = map->kind;
    r->object = map->object;
    r->offset = map->offset;
    list_init(&r->link);
    list_init(&dead);

    bool irqs = spin_lock(&as->lock);

    if (as->region_count >= ASPACE_REGIONS_MAX ||
        (as->use.virtual_pages << PAGE_SHIFT) + size > as->limits.virtual_bytes)
        status = VMK_NO_MEMORY;
    else
        status = choose_address(as, map, size, &r->start);
    if (status != VMK_OK) {
        spin_unlock(&as->lock, irqs);
        heap_free(r);
        return status;
    }
    if (r->object)
        r->object->ops->ref(r->object);
    r->end = r->start + size;
    *address = r->start;
    link_region(as, r);
    if (!r->object && r->kind != ASPACE_REGION_STACK)
        merge(as, r, &dead);
    spin_unlock(&as->lock, irqs);
    regions_free(&dead);
    return VMK_OK;
}

/* ---- protection ---- */

/* Rewrites the entries of a region for its new protection. Lock held. */
static bool reprotect(struct aspace *as, const struct region *r, uint64_t start, uint64_t end,
                      bool exec_new)
{
    uint64_t va = start;
    uint64_t *entry;
    bool changed = false;

    for (; (entry = aspace_entry_next(as, &va, end)); va += PAGE_SIZE) {
        mpn_t mpn = paddr_to_mpn(paddr_make(*entry & UPTE_ADDRESS));
        /* Never more than before: a write that needs care has to fault. */
        uint64_t value =
            aspace_entry_make(mpn, r->protection, *entry & UPTE_RW) | (*entry & UPTE_OBJECT);

        if (exec_new)
            plat_user_code_changed(mpn_to_paddr(mpn), PAGE_SIZE);
        __atomic_store_n(entry, value, __ATOMIC_RELEASE);
        changed = true;
    }
    return changed;
}

vmk_status aspace_protect(struct aspace *as, uint64_t address, uint64_t size,
                          unsigned protection)
{
    struct tlb_gather gather;
    struct list dead;
    vmk_status status;
    uint64_t at;
    bool irqs;

    size = size <= ASPACE_END ? round_up(size, PAGE_SIZE) : size;
    if (size == 0 && (address & (PAGE_SIZE - 1)) == 0)
        return VMK_OK;
    if (address & (PAGE_SIZE - 1))
        return VMK_BAD_PARAM;
    if (!range_valid(address, size))
        return VMK_NO_MEMORY;

    uint64_t end = address + size;

    status = lock_and_cut(as, address, end, &irqs);
    if (status != VMK_OK)
        return status;
    gather_init(&gather);
    list_init(&dead);
    for (at = address; at < end;) {
        struct region *r = aspace_region_find(as, at);

        if (!r) {
            status = VMK_NO_MEMORY;  // as Linux does: what came before the hole is changed
            break;
        }

        bool exec_new = (protection & ASPACE_EXEC) && !(r->protection & ASPACE_EXEC);
        uint64_t from = r->start;

        at = r->end;
        count_region(as, r, false);
        r->protection = protection;
        count_region(as, r, true);
        as->map_generation++;
        if (reprotect(as, r, from, at, exec_new))
            aspace_flush_locked(as, &gather, from, (at - from) >> PAGE_SHIFT);
        merge(as, r, &dead);
    }
    /* The region after the range may continue it. */
    if (end < ASPACE_END) {
        struct region *next = aspace_region_find(as, end);

        if (next && next->start == end)
            merge(as, next, &dead);
    }
    spin_unlock(&as->lock, irqs);
    aspace_gather_finish(as, &gather);
    regions_free(&dead);
    return status;
}

/* ---- fork ---- */

/* Gives the child the parent's pages of one region. Lock of the parent held; the child is new. */
static vmk_status share_pages(struct aspace *parent, struct aspace *child,
                              const struct region *r, bool *changed)
{
    uint64_t va = r->start;
    uint64_t *entry;

    for (; (entry = aspace_entry_next(parent, &va, r->end)); va += PAGE_SIZE) {
        mpn_t mpn = paddr_to_mpn(paddr_make(*entry & UPTE_ADDRESS));
        uint64_t *copy;

        if (r->shared)
            continue;  // the object has them
        copy = aspace_entry(child, va, true);
        if (!copy)
            return VMK_NO_MEMORY;
        if (*entry & UPTE_OBJECT)
            r->object->ops->page_ref(r->object, r->offset + ((va - r->start) >> PAGE_SHIFT),
                                     mpn);
        else if (!page_share(mpn))
            return VMK_NO_MEMORY;
        if (*entry & UPTE_RW) {
            __atomic_fetch_and(entry, ~UPTE_RW, __ATOMIC_RELEASE);
            *changed = true;
        }
        *copy = *entry & ~(UPTE_A | UPTE_D);
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
    /* Region by region, so that interrupts are not off for long; only the stack may grow meanwhile. */
    while (status == VMK_OK) {
        bool changed = false;
        bool irqs = spin_lock(&parent->lock);
        const struct region *r = region_above(parent, at);
        struct region *copy = r ? region_copy(r) : NULL;

        if (!r) {
            spin_unlock(&parent->lock, irqs);
            break;
        }
        at = r->end;
        if (copy) {
            struct list *end = &child->regions;

            list_add_tail(end, &copy->link);
            child->region_count++;
            count_region(child, copy, true);
            status = share_pages(parent, child, r, &changed);
        } else {
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

/* ---- heap ---- */

void aspace_heap_set(struct aspace *as, uint64_t start)
{
    as->heap_start = start;
    as->heap_end = start;
}

uint64_t aspace_heap_move(struct aspace *as, uint64_t end, uint64_t size_max)
{
    uint64_t old = round_up(as->heap_end, PAGE_SIZE);
    uint64_t wanted = round_up(end, PAGE_SIZE);
    uint64_t address;

    if (end < as->heap_start || end >= ASPACE_END || end - as->heap_start > size_max)
        return as->heap_end;
    if (wanted > old) {
        const struct aspace_map map = {.address = old,
                                       .size = wanted - old,
                                       .protection = ASPACE_READ | ASPACE_WRITE,
                                       .fixed = true,
                                       .kind = ASPACE_REGION_HEAP};

        if (aspace_map(as, &map, &address) != VMK_OK)
            return as->heap_end;
    } else if (wanted < old && aspace_unmap(as, wanted, old - wanted) != VMK_OK) {
        return as->heap_end;
    }
    as->heap_end = end;
    return end;
}

/* ---- mremap ---- */

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
        /* A fault may have been faster there, on the new region; nobody has seen that page's use. */
        if (*target & UPTE_P) {
            aspace_gather_add(&gather, aspace_region_find(as, to), to + (va - from), *target);
            *target = 0;
            as->use.resident_pages--;
            aspace_flush_locked(as, &gather, to + (va - from), 1);
            if (gather.count == GATHER_MAX) {
                spin_unlock(&as->lock, irqs);
                aspace_gather_finish(as, &gather);
                irqs = spin_lock(&as->lock);
                continue;
            }
        }
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
        r && r->end == end && new_end <= ASPACE_END && range_free(as, end, new_end) &&
        (as->use.virtual_pages << PAGE_SHIFT) + (new_end - end) <= as->limits.virtual_bytes;

    if (fits) {
        count_region(as, r, false);
        r->end = new_end;
        count_region(as, r, true);
        as->map_generation++;
    }
    spin_unlock(&as->lock, irqs);
    return fits;
}

vmk_status aspace_remap(struct aspace *as, uint64_t address, uint64_t old_size,
                        uint64_t new_size, bool may_move, const uint64_t *fixed, uint64_t *out)
{
    struct aspace_map map = {0};
    vmk_status status;

    old_size = old_size <= ASPACE_END ? round_up(old_size, PAGE_SIZE) : old_size;
    new_size = new_size <= ASPACE_END ? round_up(new_size, PAGE_SIZE) : new_size;
    if (!range_valid(address, new_size) || !range_valid(address, old_size))
        return VMK_BAD_PARAM;
    if (fixed && (!range_valid(*fixed, new_size) ||
                  (*fixed < address + old_size && address < *fixed + new_size)))
        return VMK_BAD_PARAM;

    bool irqs = spin_lock(&as->lock);
    const struct region *r = aspace_region_find(as, address);
    bool whole = r && address + old_size <= r->end;

    if (whole) {
        map.size = new_size;
        map.protection = r->protection;
        map.shared = r->shared;
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
    if (!fixed && new_size <= old_size) {
        if (new_size < old_size)
            status = aspace_unmap(as, address + new_size, old_size - new_size);
    } else if (!fixed && extend(as, address + old_size, address + new_size)) {
        status = VMK_OK;
    } else if (!may_move) {
        status = VMK_NO_MEMORY;
    } else {
        map.fixed = map.replace = fixed;
        map.address = fixed ? *fixed : 0;
        status = aspace_map(as, &map, out);
        if (status == VMK_OK)
            status = move_entries(as, address, *out, MIN(old_size, new_size));
        if (status == VMK_OK)
            status = aspace_unmap(as, address, old_size);
    }
    if (map.object)
        map.object->ops->unref(map.object);
    return status;
}

/* ---- what /proc shows ---- */

bool aspace_region_next(struct aspace *as, uint64_t from, struct aspace_region_info *out)
{
    struct aspace_object *object = NULL;
    bool irqs = spin_lock(&as->lock);
    const struct region *r = region_above(as, from);

    if (r) {
        *out = (struct aspace_region_info){.start = r->start,
                                           .end = r->end,
                                           .protection = r->protection,
                                           .shared = r->shared,
                                           .kind = r->kind,
                                           .offset = r->offset << PAGE_SHIFT};
        object = r->object;
        if (object)
            object->ops->ref(object);
    }
    spin_unlock(&as->lock, irqs);
    if (object) {
        if (object->ops->describe)
            object->ops->describe(object, out->name, sizeof(out->name), &out->device,
                                  &out->inode);
        object->ops->unref(object);
    }
    return r;
}

void aspace_use_get(struct aspace *as, struct aspace_use *out)
{
    bool irqs = spin_lock(&as->lock);

    *out = as->use;
    spin_unlock(&as->lock, irqs);
}
