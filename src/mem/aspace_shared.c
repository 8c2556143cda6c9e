// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_shared.c -- anonymous memory that several address spaces share.
 *
 * What MAP_SHARED | MAP_ANONYMOUS makes: an array of pages, made when first touched and kept
 * until the last mapping is gone.
 *
 * Invariants
 *   - A page that was made stays until the object goes, and every mapping holds the object: so
 *     pages need no count of their own.
 * Locking    object.lock (rank ASPACE) for the array; refs is atomic.
 */
#include "core/heap.h"
#include "lib/string.h"
#include "mem/aspace.h"
#include "mem/page.h"

#define PAGES_MAX (1u << 19)  // 2 GB: what the heap's largest block holds of pointers

struct shared {
    struct aspace_object object;
    struct spinlock lock;
    uint32_t refs;      // (a)
    uint64_t pages;     // (i)
    uint64_t resident;  // lock; how many were made
    mpn_t *mpns;        // (w) MPN_NONE_RAW: not made yet
};

static struct shared *shared_of(struct aspace_object *object)
{
    return container_of(object, struct shared, object);
}

static vmk_status page_get(struct aspace_object *object, uint64_t index, bool write, mpn_t *out)
{
    struct shared *s = shared_of(object);
    vmk_status status = VMK_OK;

    (void)write;
    if (index >= s->pages)
        return VMK_NOT_FOUND;

    status = aspace_memory_wait(false);
    if (status != VMK_OK)
        return status;

    bool irqs = spin_lock(&s->lock);
    mpn_t *mpn = &s->mpns[index];

    if (mpn->raw == MPN_NONE_RAW) {
        status = page_alloc_zeroed(0, MEM_OWNER_USER, mpn);
        s->resident += status == VMK_OK;
    }
    if (status == VMK_OK)
        *out = *mpn;
    spin_unlock(&s->lock, irqs);
    return status;
}

static void page_stays(struct aspace_object *object, uint64_t index, mpn_t page)
{
    (void)object;
    (void)index;
    (void)page;
}

static void ref(struct aspace_object *object)
{
    __atomic_fetch_add(&shared_of(object)->refs, 1, __ATOMIC_RELAXED);
}

static void unref(struct aspace_object *object)
{
    struct shared *s = shared_of(object);

    if (__atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    for (uint64_t i = 0; i < s->pages; i++) {
        if (s->mpns[i].raw != MPN_NONE_RAW)
            page_free(s->mpns[i], 0, MEM_OWNER_USER);
    }
    heap_free(s->mpns);
    heap_free(s);
}

static void describe(struct aspace_object *object, char *name, size_t size, uint64_t *device,
                     uint64_t *inode)
{
    static const char text[] = "/dev/zero (deleted)";

    (void)object;
    memcpy(name, text, MIN(size, sizeof(text)));
    *device = 1;
    *inode = 0;
}

uint64_t aspace_shared_resident(const struct aspace_object *object)
{
    struct shared *s = shared_of((struct aspace_object *)object);
    bool irqs = spin_lock(&s->lock);
    uint64_t resident = s->resident;

    spin_unlock(&s->lock, irqs);
    return resident;
}

vmk_status aspace_shared_create(uint64_t pages, struct aspace_object **out)
{
    static const struct aspace_object_ops ops = {.page_get = page_get,
                                                 .page_put = page_stays,
                                                 .page_ref = page_stays,
                                                 .ref = ref,
                                                 .unref = unref,
                                                 .describe = describe};
    struct shared *s;

    if (pages == 0 || pages > PAGES_MAX)
        return VMK_NO_MEMORY;
    s = heap_alloc(sizeof(*s), MEM_OWNER_USER);
    if (!s)
        return VMK_NO_MEMORY;
    s->mpns = heap_alloc(pages * sizeof(mpn_t), MEM_OWNER_USER);
    if (!s->mpns) {
        heap_free(s);
        return VMK_NO_MEMORY;
    }
    s->object.ops = &ops;
    s->refs = 1;
    s->pages = pages;
    spin_init(&s->lock, "shared memory", LOCK_RANK_ASPACE);
    *out = &s->object;
    return VMK_OK;
}
