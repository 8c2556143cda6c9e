// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/page.c -- the machine pages: a binary buddy allocator with an owner per page block.
 *
 * Large pages for guests need big aligned blocks, so the allocator is a buddy system. Its books
 * are four bytes per machine page (owner; state and order; references), in an array at the
 * start of the biggest RAM region; the free lists' links live in the free pages themselves,
 * which the direct map reaches. With the owner of every block the kernel can say at shut-down
 * who leaked what.
 *
 * Memory below 1 MB is never handed out (firmware and the CPU start-up page live there), so
 * machine page 0 can mean "none".
 *
 * Invariants
 *   - Every page of `total` is in exactly one block; free blocks are on their order's list.
 *   - Two free buddies never coexist below PAGE_ORDER_MAX (merged in free_block()).
 *   - free_count + the sum of owned[] = total (asserted in mem_print_owners()).
 * Locking    mem.lock (rank PAGE).
 * Start at   page_alloc(), page_free().
 * Sources    [KNOWLTON65] for buddies
 */
#include "mem/page.h"

#include "core/assert.h"
#include "core/host.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "lib/list.h"
#include "lib/string.h"

#define REGIONS_MAX  128u
#define LOW_LIMIT    0x100000ull
#define STATE_ABSENT 0x00u  // not ours, or inside a block
#define STATE_FREE   0x40u  // head of a free block; low bits: order
#define STATE_USED   0x80u  // head of a block in use; low bits: order

struct frame {
    uint8_t owner;
    uint8_t state;
    uint16_t shares;  // (a) references beyond the first, single pages only
};

struct mem_state {
    struct spinlock lock;
    struct frame *frames;  // by machine page number
    uint64_t frame_count;
    uint64_t total;
    uint64_t free_count, free_least;
    uint64_t owned[MEM_OWNER_COUNT], owned_most[MEM_OWNER_COUNT];
    struct list free[PAGE_ORDER_MAX + 1];
    struct plat_region regions[REGIONS_MAX];  // boot only
};
HOST_STATE(mem);

static const char *const kind_names[] = {"RAM",    "reserved", "ACPI",  "NVS",
                                         "kernel", "module",   "loader"};

static struct list *links_of(uint64_t page)
{
    return mpn_map(mpn_make(page));
}

static uint64_t page_of(const struct list *links)
{
    return paddr_to_mpn(plat_unmap_address(links)).raw;
}

static void insert_block(struct mem_state *mem, uint64_t page, unsigned order)
{
    mem->frames[page].state = (uint8_t)(STATE_FREE | order);
    list_add_head(&mem->free[order], links_of(page));
}

static void remove_block(struct mem_state *mem, uint64_t page, struct list *links)
{
    mem->frames[page].state = STATE_ABSENT;
    list_remove(links);
}

static void free_block(struct mem_state *mem, uint64_t page, unsigned order)
{
    mem->free_count += 1ull << order;
    mem->frames[page].state = STATE_ABSENT;
    for (; order < PAGE_ORDER_MAX; order++) {
        uint64_t buddy = page ^ (1ull << order);

        if (buddy >= mem->frame_count || mem->frames[buddy].state != (STATE_FREE | order))
            break;
        remove_block(mem, buddy, links_of(buddy));
        page &= ~(1ull << order);
    }
    insert_block(mem, page, order);
}

/* Gives [from, to) to the free lists in the largest aligned blocks. */
static void add_range(struct mem_state *mem, uint64_t from, uint64_t to)
{
    while (from < to) {
        unsigned order = PAGE_ORDER_MAX;

        while ((from & ((1ull << order) - 1)) || from + (1ull << order) > to)
            order--;
        mem->total += 1ull << order;
        free_block(mem, from, order);
        from += 1ull << order;
    }
}

/* Prints the map and panics on an overlap. Returns the usable region with the most pages. */
static const struct plat_region *check_map(const struct plat_region *regions, size_t count)
{
    const struct plat_region *biggest = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct plat_region *r = &regions[i];

        vmk_log(VMK_LOG_INFO, "Mem: %012llx-%012llx %s", (unsigned long long)r->base.raw,
                (unsigned long long)r->base.raw + r->size,
                (size_t)r->kind < ARRAY_COUNT(kind_names) ? kind_names[r->kind] : "?");
        vmk_assert_msg(i == 0 || regions[i - 1].base.raw + regions[i - 1].size <= r->base.raw,
                       "memory regions %u and %u overlap", (unsigned)i - 1, (unsigned)i);
        if (r->kind == PLAT_REGION_RAM && r->base.raw >= LOW_LIMIT &&
            (!biggest || r->size > biggest->size))
            biggest = r;
    }
    return biggest;
}

static void *heap_take(unsigned order)
{
    mpn_t mpn;

    if (order > PAGE_ORDER_MAX || page_alloc(order, MEM_OWNER_HEAP, &mpn) != VMK_OK)
        return NULL;
    return mpn_map(mpn);
}

static void heap_give(void *pages, unsigned order)
{
    page_free(paddr_to_mpn(plat_unmap_address(pages)), order, MEM_OWNER_HEAP);
}

void mem_init(void)
{
    struct mem_state *mem = this_host()->mem;
    size_t count = plat_memory_map(mem->regions, REGIONS_MAX);

    vmk_assert_msg(count <= REGIONS_MAX, "%u memory regions", (unsigned)count);
    spin_init(&mem->lock, "page", LOCK_RANK_PAGE);
    for (unsigned i = 0; i <= PAGE_ORDER_MAX; i++)
        list_init(&mem->free[i]);

    const struct plat_region *home = check_map(mem->regions, count);

    vmk_assert_msg(home, "no RAM above 1 MB");
    for (size_t i = 0; i < count; i++) {
        const struct plat_region *r = &mem->regions[i];

        if (r->kind == PLAT_REGION_RAM)
            mem->frame_count = (r->base.raw + r->size) >> PAGE_SHIFT;
    }

    /* The array comes first in the biggest region and is never given back. */
    uint64_t home_base = round_up(home->base.raw, PAGE_SIZE);
    uint64_t array_size = round_up(mem->frame_count * sizeof(struct frame), PAGE_SIZE);

    vmk_assert_msg(home->base.raw + home->size >= home_base + array_size,
                   "no room for the frame array");
    mem->frames = plat_map(paddr_make(home_base));
    memset(mem->frames, 0, array_size);

    for (size_t i = 0; i < count; i++) {
        const struct plat_region *r = &mem->regions[i];
        uint64_t base = MAX(round_up(r->base.raw, PAGE_SIZE), LOW_LIMIT);

        if (r->kind != PLAT_REGION_RAM)
            continue;
        if (r == home)
            base = home_base + array_size;
        add_range(mem, base >> PAGE_SHIFT, (r->base.raw + r->size) >> PAGE_SHIFT);
    }
    mem->free_least = mem->free_count;
    heap_grow_hook(heap_take, heap_give);
    vmk_log(VMK_LOG_INFO, "Mem: %llu MB in %llu pages, books %llu KB",
            (unsigned long long)(mem->total >> (20 - PAGE_SHIFT)),
            (unsigned long long)mem->total, (unsigned long long)(array_size >> 10));
}

vmk_status page_alloc(unsigned order, enum mem_owner owner, mpn_t *out)
{
    struct mem_state *mem = this_host()->mem;
    unsigned from = order;

    vmk_assert(order <= PAGE_ORDER_MAX && (unsigned)owner < MEM_OWNER_COUNT);

    bool irqs = spin_lock(&mem->lock);

    while (from <= PAGE_ORDER_MAX && list_is_empty(&mem->free[from]))
        from++;
    if (from > PAGE_ORDER_MAX) {
        spin_unlock(&mem->lock, irqs);
        return VMK_NO_MEMORY;
    }

    struct list *links = mem->free[from].next;
    uint64_t page = page_of(links);

    remove_block(mem, page, links);
    while (from > order) {
        from--;
        insert_block(mem, page + (1ull << from), from);
    }
    mem->frames[page] = (struct frame){(uint8_t)owner, (uint8_t)(STATE_USED | order), 0};
    mem->owned[owner] += 1ull << order;
    mem->owned_most[owner] = MAX(mem->owned_most[owner], mem->owned[owner]);
    mem->free_count -= 1ull << order;
    mem->free_least = MIN(mem->free_least, mem->free_count);
    spin_unlock(&mem->lock, irqs);
    *out = mpn_make(page);
    return VMK_OK;
}

vmk_status page_alloc_zeroed(unsigned order, enum mem_owner owner, mpn_t *out)
{
    vmk_status status = page_alloc(order, owner, out);

    if (status == VMK_OK)
        memset(mpn_map(*out), 0, (size_t)(PAGE_SIZE << order));
    return status;
}

void page_split(mpn_t mpn, unsigned order, enum mem_owner owner)
{
    struct mem_state *mem = this_host()->mem;
    bool irqs = spin_lock(&mem->lock);

    vmk_assert(mpn.raw < mem->frame_count &&
               mem->frames[mpn.raw].state == (STATE_USED | order) &&
               mem->frames[mpn.raw].owner == owner);
    for (uint64_t i = 0; i < 1ull << order; i++)
        mem->frames[mpn.raw + i] = (struct frame){(uint8_t)owner, STATE_USED, 0};
    spin_unlock(&mem->lock, irqs);
}

void page_free(mpn_t mpn, unsigned order, enum mem_owner owner)
{
    struct mem_state *mem = this_host()->mem;
    bool irqs = spin_lock(&mem->lock);

    vmk_assert_msg(mpn.raw < mem->frame_count, "MPN %llx", (unsigned long long)mpn.raw);

    struct frame frame = mem->frames[mpn.raw];

    vmk_assert_msg(frame.state == (STATE_USED | order) && frame.owner == owner,
                   "MPN %llx freed as order %u of %s is state %x of %s",
                   (unsigned long long)mpn.raw, order, mem_owner_name(owner), frame.state,
                   mem_owner_name(frame.owner));
    mem->owned[owner] -= 1ull << order;
    free_block(mem, mpn.raw, order);
    spin_unlock(&mem->lock, irqs);
}

bool page_share(mpn_t mpn)
{
    uint16_t *shares = &this_host()->mem->frames[mpn.raw].shares;
    uint16_t old = __atomic_load_n(shares, __ATOMIC_RELAXED);

    do {
        if (old == UINT16_MAX)
            return false;
    } while (!__atomic_compare_exchange_n(shares, &old, (uint16_t)(old + 1), false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

void page_put(mpn_t mpn)
{
    struct frame *frame = &this_host()->mem->frames[mpn.raw];

    /* Acquire and release: what the others wrote is done before the last one frees the page. */
    if (__atomic_fetch_sub(&frame->shares, 1, __ATOMIC_ACQ_REL))
        return;
    frame->shares = 0;
    page_free(mpn, 0, frame->owner);
}

void page_unpin(mpn_t mpn)
{
    vmk_assert(
        __atomic_fetch_sub(&this_host()->mem->frames[mpn.raw].shares, 1, __ATOMIC_ACQ_REL) > 0);
}

uint32_t page_references(mpn_t mpn)
{
    return 1u + __atomic_load_n(&this_host()->mem->frames[mpn.raw].shares, __ATOMIC_ACQUIRE);
}

uint64_t page_total_count(void)
{
    return this_host()->mem->total;
}

uint64_t page_free_count(void)
{
    return __atomic_load_n(&this_host()->mem->free_count, __ATOMIC_RELAXED);
}

uint64_t page_free_least(void)
{
    return __atomic_load_n(&this_host()->mem->free_least, __ATOMIC_RELAXED);
}

uint64_t page_owned_most(enum mem_owner owner)
{
    return __atomic_load_n(&this_host()->mem->owned_most[owner], __ATOMIC_RELAXED);
}

uint64_t page_owned_count(enum mem_owner owner)
{
    return __atomic_load_n(&this_host()->mem->owned[owner], __ATOMIC_RELAXED);
}

void mem_print_owners(void)
{
    struct mem_state *mem = this_host()->mem;
    bool irqs = spin_lock(&mem->lock);
    uint64_t sum = mem->free_count;

    for (unsigned i = 0; i < MEM_OWNER_COUNT; i++)
        sum += mem->owned[i];
    vmk_assert_msg(sum == mem->total, "pages do not add up: %llu of %llu",
                   (unsigned long long)sum, (unsigned long long)mem->total);
    spin_unlock(&mem->lock, irqs);

    for (unsigned i = 0; i < MEM_OWNER_COUNT; i++) {
        uint64_t pages = page_owned_count(i);
        uint64_t bytes = heap_owned(i);

        if (pages || bytes)
            vmk_log(VMK_LOG_INFO, "Mem: %-6s %8llu pages %8llu heap bytes", mem_owner_name(i),
                    (unsigned long long)pages, (unsigned long long)bytes);
    }
    vmk_log(VMK_LOG_INFO, "Mem: free   %8llu pages of %llu",
            (unsigned long long)page_free_count(), (unsigned long long)mem->total);
}
