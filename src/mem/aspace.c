// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace.c -- a user address space: its life, and how ranges are mapped, changed and taken away.
 *
 * The list of regions (aspace_region.c) says what may be there; the page tables
 * (aspace_table.c) say what is there.
 *
 * Whoever takes a range away first unlinks its regions, so that faults find nothing, then
 * clears the tables in batches: each batch waits until no CPU has the pages any more, without
 * the lock, because that CPU may want it. Nobody can map the range again meanwhile, because map
 * changes come one at a time.
 *
 * Invariants
 *   - A present entry belongs to a region, or its range is being taken away right now.
 * Locking    aspace.lock (rank ASPACE); map changes are serialised by the caller.
 * Start at   aspace_map(), aspace_unmap(), aspace_protect().
 */
#include "mem/aspace.h"

#include "core/assert.h"
#include "mem/aspace_internal.h"

#define ZAP_MAX 512u  // entries with the lock held

/*
 * Clears the entries of [start, end), all in `r`, which is unlinked, or which faults may fill
 * again.
 */
static void zap(struct aspace *as, const struct region *r, uint64_t start, uint64_t end)
{
    struct tlb_gather gather;
    uint64_t va = start;
    uint64_t *entry;

    gather_init(&gather);
    do {
        bool irqs = spin_lock(&as->lock);
        uint64_t from = va;

        for (unsigned i = 0; i < ZAP_MAX && gather.count < GATHER_MAX; i++) {
            entry = aspace_entry_next(as, &va, end);
            if (!entry)
                break;
            aspace_entry_drop(as, &gather, r, va, *entry);
            __atomic_store_n(entry, 0, __ATOMIC_RELEASE);
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
    aspace_regions_free(&as->regions);
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

/*
 * Makes sure that no region crosses `at`. Two spare regions are passed in because the lock is
 * held.
 */
static void cut_at(struct aspace *as, uint64_t at, struct region **spare)
{
    struct region *r = aspace_region_find(as, at);

    if (r && r->start < at) {
        aspace_region_cut(as, r, *spare, at);
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
            aspace_region_unlink(as, r);
            list_add_tail(&dead, &r->link);
        }
    }
    spin_unlock(&as->lock, irqs);
    list_for_each (node, &dead) {
        struct region *r = list_entry(node, struct region, link);

        zap(as, r, r->start, r->end);
    }
    aspace_regions_free(&dead);
    return VMK_OK;
}

vmk_status aspace_discard(struct aspace *as, uint64_t address, uint64_t size)
{
    size = size <= ASPACE_END ? round_up(size, PAGE_SIZE) : size;
    if (!aspace_range_valid(address, size))
        return VMK_BAD_PARAM;

    /*
     * Only map changes alter the list, and this is one: regions stay while the lock is dropped.
     */
    uint64_t end = address + size;

    for (uint64_t at = address; at < end;) {
        bool irqs = spin_lock(&as->lock);
        const struct region *r = aspace_region_above(as, at);
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
    /*
     * Only map changes alter the list, and this keeps them out: regions stay while it is
     * unlocked.
     */
    list_for_each (node, &as->regions) {
        const struct region *r = list_entry(node, struct region, link);
        uint64_t skip = first > r->offset ? first - r->offset : 0;

        if (r->object && skip < aspace_region_pages(r) && is_it(r->object, what))
            zap(as, r, r->start + (skip << PAGE_SHIFT), r->end);
    }
}

/* ---- mapping ---- */

static vmk_status choose_address(struct aspace *as, const struct aspace_map *map, uint64_t size,
                                 uint64_t *out)
{
    if (map->fixed) {
        if (!aspace_range_valid(map->address, size))
            return VMK_BAD_PARAM;
        *out = map->address;
        return aspace_range_free(as, *out, *out + size) ? VMK_OK : VMK_EXISTS;
    }
    *out = round_down(map->address, PAGE_SIZE);
    if (*out && aspace_range_valid(*out, size) && aspace_range_free(as, *out, *out + size))
        return VMK_OK;
    *out = aspace_room_find(as, size);
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
        if (!aspace_range_valid(map->address, size))
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
    r->never_write = map->never_write;
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
    aspace_region_hold(r);
    r->end = r->start + size;
    r->locked = as->lock_future;
    *address = r->start;
    aspace_region_link(as, r);
    if (!r->object && r->kind != ASPACE_REGION_STACK)
        aspace_region_merge(as, r, &dead);
    spin_unlock(&as->lock, irqs);
    aspace_regions_free(&dead);
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
        if (!(*entry & PTE_P))
            continue;  // when it comes back the region says what is allowed

        mpn_t mpn = paddr_to_mpn(paddr_make(*entry & PTE_ADDRESS));
        /* Never more than before: a write that needs care has to fault. */
        uint64_t value =
            aspace_entry_make(mpn, r->protection, *entry & PTE_W) | (*entry & PTE_OBJECT);

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
    if (!aspace_range_valid(address, size))
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
        if (r->never_write && (protection & ASPACE_WRITE)) {
            status = VMK_NO_PERMISSION;
            break;
        }

        bool exec_new = (protection & ASPACE_EXEC) && !(r->protection & ASPACE_EXEC);
        uint64_t from = r->start;

        at = r->end;
        aspace_region_count(as, r, false);
        r->protection = protection;
        aspace_region_count(as, r, true);
        as->map_generation++;
        if (reprotect(as, r, from, at, exec_new))
            aspace_flush_locked(as, &gather, from, (at - from) >> PAGE_SHIFT);
        aspace_region_merge(as, r, &dead);
    }
    /* The region after the range may continue it. */
    if (end < ASPACE_END) {
        struct region *next = aspace_region_find(as, end);

        if (next && next->start == end)
            aspace_region_merge(as, next, &dead);
    }
    spin_unlock(&as->lock, irqs);
    aspace_gather_finish(as, &gather);
    aspace_regions_free(&dead);
    return status;
}

/* ---- locking, and what a child gets ---- */

static void lock_one(struct aspace *as, struct region *r, bool lock)
{
    aspace_region_count(as, r, false);
    r->locked = lock;
    aspace_region_count(as, r, true);
}

/* A mark of regions, and whether it goes on or off. */
struct mark {
    vmk_status (*set)(struct aspace *as, struct region *r, const struct mark *mark);
    unsigned flag;
    bool on;
};

static vmk_status set_lock(struct aspace *as, struct region *r, const struct mark *mark)
{
    lock_one(as, r, mark->on);
    return VMK_OK;
}

static vmk_status set_at_fork(struct aspace *as, struct region *r, const struct mark *mark)
{
    (void)as;
    if (mark->flag == ASPACE_FORK_WIPES && mark->on && (r->object || r->shared))
        return VMK_BAD_PARAM;
    r->at_fork = mark->on ? r->at_fork | mark->flag : r->at_fork & ~mark->flag;
    return VMK_OK;
}

/* Every region of the range; as Linux does, what came before a hole is changed. */
static vmk_status mark_range(struct aspace *as, uint64_t address, uint64_t size,
                             const struct mark *mark)
{
    uint64_t end = address + size, at = address;
    struct list dead;
    vmk_status status;
    bool irqs;

    if (!aspace_range_valid(address, size))
        return VMK_NO_MEMORY;
    status = lock_and_cut(as, address, end, &irqs);
    if (status != VMK_OK)
        return status;
    list_init(&dead);
    while (at < end && status == VMK_OK) {
        struct region *r = aspace_region_find(as, at);

        if (r) {
            at = r->end;
            status = mark->set(as, r, mark);
            aspace_region_merge(as, r, &dead);
        } else {
            status = VMK_NO_MEMORY;
        }
    }
    spin_unlock(&as->lock, irqs);
    aspace_regions_free(&dead);
    return status;
}

vmk_status aspace_lock(struct aspace *as, uint64_t address, uint64_t size, bool lock)
{
    const struct mark mark = {.set = set_lock, .on = lock};

    return mark_range(as, address, size, &mark);
}

vmk_status aspace_at_fork(struct aspace *as, uint64_t address, uint64_t size, unsigned flag,
                          bool on)
{
    const struct mark mark = {.set = set_at_fork, .flag = flag, .on = on};

    return mark_range(as, address, size, &mark);
}

void aspace_lock_all(struct aspace *as, bool now, bool future)
{
    bool irqs = spin_lock(&as->lock);

    as->lock_future = future;
    if (now || !future) {
        list_for_each (node, &as->regions)
            lock_one(as, list_entry(node, struct region, link), now);
    }
    spin_unlock(&as->lock, irqs);
}

bool aspace_range_locked(struct aspace *as, uint64_t address, uint64_t size)
{
    bool locked = false;
    bool irqs = spin_lock(&as->lock);

    list_for_each (node, &as->regions) {
        const struct region *r = list_entry(node, struct region, link);

        locked |= r->locked && r->start < address + size && r->end > address;
    }
    spin_unlock(&as->lock, irqs);
    return locked;
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

/* ---- what /proc shows ---- */

bool aspace_region_next(struct aspace *as, uint64_t from, struct aspace_region_info *out)
{
    struct aspace_object *object = NULL;
    bool irqs = spin_lock(&as->lock);
    const struct region *r = aspace_region_above(as, from);

    if (r) {
        *out = (struct aspace_region_info){.start = r->start,
                                           .end = r->end,
                                           .protection = r->protection,
                                           .shared = r->shared,
                                           .kind = r->kind,
                                           .offset = r->offset << PAGE_SHIFT};
        out->object = object = r->object;
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
