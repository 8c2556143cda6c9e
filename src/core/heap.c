// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/heap.c -- small kernel allocations with owners.
 *
 * Sizes up to 1 KB come from slabs: one page cut into equal objects, with the free list and one
 * owner byte per object in the page's own head. Larger ones are whole blocks of pages with a
 * head in front. Both heads start a page, so heap_free() finds them by rounding the pointer
 * down. The owner per object is what lets a VM that ended prove that it left nothing behind.
 *
 * Invariants
 *   - used + free objects of a slab = its capacity; the owner byte of a free object is
 *     OWNER_FREE (asserted in heap_free(), which so finds double frees).
 *   - A slab is on its class's partial list exactly when it has a free object.
 *   - Each object is 16-byte aligned, 64-byte aligned when its size is 64 or more.
 * Locking    heap.lock (rank HEAP); the page callbacks run under it (rank PAGE is above).
 * Sources    [BONWICK94] for slabs
 */
#include "core/heap.h"

#include "core/assert.h"
#include "core/core_internal.h"
#include "lib/string.h"
#include "plat/plat.h"

#define SLAB_MAGIC 0x534c4142u
#define BIG_MAGIC  0x42494721u
#define OWNER_FREE 0xffu
#define FREED_BYTE 0xdf
#define ORDER_MAX  20u  // 4 GB: more than mem/ hands out at once

static const uint16_t class_sizes[HEAP_CLASS_COUNT] = {16,  32,  64,  128, 192,
                                                       256, 384, 512, 832, 1024};

/* At the start of a page or a block. */
struct heap_head {
    uint32_t magic;
    uint32_t class_or_order;
    struct list link;   // slab: on partial
    void *free;         // slab: first free object, each holds the next
    uint64_t size;      // big: bytes asked for
    uint32_t used;      // slab: objects in use
    uint32_t capacity;  // slab
    uint32_t first;     // slab: offset of object 0
    uint8_t owner_big;  // big
    uint8_t owners[];   // slab: per object
};
#define BIG_OFFSET 64u
_Static_assert(sizeof(struct heap_head) <= BIG_OFFSET, "a big block's data starts at 64");

const char *mem_owner_name(enum mem_owner owner)
{
    static const char *const names[] = {"kernel", "heap", "world", "vmm", "p2m", "guest",
                                        "trace",  "acpi", "user",  "fs",  "test"};
    _Static_assert(ARRAY_COUNT(names) == MEM_OWNER_COUNT, "one name per owner");

    return (unsigned)owner < MEM_OWNER_COUNT ? names[owner] : "?";
}

void core_heap_init(void)
{
    struct heap *heap = &this_host()->core->heap;

    spin_init(&heap->lock, "heap", LOCK_RANK_HEAP);
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++)
        list_init(&heap->partial[i]);
}

void heap_grow_hook(void *(*take)(unsigned order), void (*give)(void *pages, unsigned order))
{
    struct heap *heap = &this_host()->core->heap;

    heap->take = take;
    heap->give = give;
}

static struct heap_head *slab_create(struct heap *heap, unsigned class_index)
{
    struct heap_head *slab = heap->take ? heap->take(0) : NULL;
    uint32_t size = class_sizes[class_index];
    uint64_t alignment = size >= 64 ? 64 : 16;
    uint32_t capacity = (uint32_t)((PAGE_SIZE - sizeof(*slab)) / (size + 1u));
    uint32_t first =
        (uint32_t)round_up(offsetof(struct heap_head, owners) + capacity, alignment);

    if (!slab)
        return NULL;
    while (first + capacity * size > PAGE_SIZE)
        capacity--;
    *slab = (struct heap_head){.magic = SLAB_MAGIC,
                               .class_or_order = class_index,
                               .capacity = capacity,
                               .first = first};
    memset(slab->owners, OWNER_FREE, capacity);
    for (uint32_t i = capacity; i--;) {
        void **object = (void **)(void *)((char *)slab + first + i * size);

        *object = slab->free;
        slab->free = object;
    }
    list_add_head(&heap->partial[class_index], &slab->link);
    return slab;
}

static void *slab_take(struct heap *heap, unsigned class_index, enum mem_owner owner)
{
    struct list *partial = &heap->partial[class_index];
    struct heap_head *slab = list_is_empty(partial)
                                 ? slab_create(heap, class_index)
                                 : list_entry(partial->next, struct heap_head, link);
    if (!slab)
        return NULL;

    void *object = slab->free;
    size_t offset = (size_t)((char *)object - (char *)slab) - slab->first;

    slab->free = *(void **)object;
    slab->owners[offset / class_sizes[class_index]] = (uint8_t)owner;
    slab->used++;
    if (!slab->free)
        list_remove(&slab->link);
    heap->owned[owner] += class_sizes[class_index];
    return object;
}

static void *big_take(struct heap *heap, size_t size, enum mem_owner owner)
{
    unsigned order = 0;

    if (size > (PAGE_SIZE << ORDER_MAX) - BIG_OFFSET)
        return NULL;
    while ((PAGE_SIZE << order) < size + BIG_OFFSET)
        order++;

    struct heap_head *head = heap->take ? heap->take(order) : NULL;

    if (!head)
        return NULL;
    *head = (struct heap_head){
        .magic = BIG_MAGIC, .class_or_order = order, .size = size, .owner_big = (uint8_t)owner};
    heap->owned[owner] += size;
    return (char *)head + BIG_OFFSET;
}

void *heap_alloc(size_t size, enum mem_owner owner)
{
    struct heap *heap = &this_host()->core->heap;
    unsigned class_index = 0;
    void *object;

    vmk_assert((unsigned)owner < MEM_OWNER_COUNT);
    while (class_index < HEAP_CLASS_COUNT && class_sizes[class_index] < size)
        class_index++;

    bool irqs = spin_lock(&heap->lock);

    if (class_index < HEAP_CLASS_COUNT)
        object = slab_take(heap, class_index, owner);
    else
        object = big_take(heap, size, owner);
    spin_unlock(&heap->lock, irqs);
    if (object)
        memset(object, 0, size);
    return object;
}

static void slab_give(struct heap *heap, struct heap_head *slab, void *object)
{
    uint32_t size = class_sizes[slab->class_or_order];
    size_t offset = (size_t)((char *)object - (char *)slab) - slab->first;
    uint8_t *owner = &slab->owners[offset / size];

    vmk_assert_msg(offset % size == 0 && offset / size < slab->capacity, "%p is no object",
                   object);
    vmk_assert_msg(*owner < MEM_OWNER_COUNT, "%p freed twice", object);
    heap->owned[*owner] -= size;
    *owner = OWNER_FREE;
#ifndef ORRERY_METAL
    memset(object, FREED_BYTE, size);
#endif
    *(void **)object = slab->free;
    if (!slab->free)
        list_add_head(&heap->partial[slab->class_or_order], &slab->link);
    slab->free = object;
    slab->used--;
    if (slab->used == 0) {
        list_remove(&slab->link);
        slab->magic = 0;
        heap->give(slab, 0);
    }
}

void heap_free(void *pointer)
{
    struct heap *heap = &this_host()->core->heap;

    if (!pointer)
        return;

    struct heap_head *head = (struct heap_head *)((uintptr_t)pointer & ~(PAGE_SIZE - 1));
    bool irqs = spin_lock(&heap->lock);

    if (head->magic == SLAB_MAGIC) {
        slab_give(heap, head, pointer);
    } else {
        vmk_assert_msg(head->magic == BIG_MAGIC && (char *)pointer == (char *)head + BIG_OFFSET,
                       "%p is not of the heap", pointer);
        heap->owned[head->owner_big] -= head->size;
        head->magic = 0;
        heap->give(head, head->class_or_order);
    }
    spin_unlock(&heap->lock, irqs);
}

uint64_t heap_owned(enum mem_owner owner)
{
    struct heap *heap = &this_host()->core->heap;
    bool irqs = spin_lock(&heap->lock);
    uint64_t owned = heap->owned[owner];

    spin_unlock(&heap->lock, irqs);
    return owned;
}
