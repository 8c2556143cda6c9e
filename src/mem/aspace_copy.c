// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_copy.c -- checked copies between the kernel and user memory.
 *
 * Page by page: under the lock the tables are walked in software and the bytes are moved
 * through the direct map; where the tables do not allow the access, the lock is dropped and the
 * page fault handler asked, as ring 3 would. So a bad pointer is a status, never a fault in
 * ring 0.
 *
 * Invariants
 *   - Bytes move only while the lock is held: the page cannot be taken away meanwhile.
 *   - The accessed and dirty bits are kept as the processor would.
 * Locking    aspace.lock, for one page at a time.
 * Start at   reach().
 */
#include "core/assert.h"
#include "lib/string.h"
#include "mem/aspace_internal.h"

/* Where the kernel sees that user address, if the tables allow the access. Lock held. */
static uint8_t *see(struct aspace *as, uint64_t va, unsigned access, bool force)
{
    uint64_t *entry = aspace_entry(as, va, false);

    if (!entry || !(*entry & PTE_P))
        return NULL;
    if ((access & ASPACE_WRITE) && !(*entry & PTE_W))
        return NULL;
    /* A region without any permission keeps its pages; they are just not present to ring 3. */
    if (!force) {
        const struct region *r = aspace_region_find(as, va);

        if (!r || !r->protection ||
            ((access & ASPACE_WRITE) && !(r->protection & ASPACE_WRITE)))
            return NULL;
    }
    __atomic_fetch_or(entry, (access & ASPACE_WRITE) ? PTE_A | PTE_D : PTE_A, __ATOMIC_RELAXED);
    return (uint8_t *)plat_map(paddr_make(*entry & PTE_ADDRESS)) + (va & (PAGE_SIZE - 1));
}

/* Locks the space with the page of `va` in reach; not OK: not locked. [block] */
static vmk_status reach(struct aspace *as, uint64_t va, unsigned access, bool force,
                        uint8_t **out, bool *irqs)
{
    if (va < ASPACE_LOWEST || va >= ASPACE_END)
        return VMK_FAULT;
    for (;;) {
        vmk_status status;

        *irqs = spin_lock(&as->lock);
        *out = see(as, va, access, force);
        if (*out)
            return VMK_OK;
        spin_unlock(&as->lock, *irqs);
        status = aspace_fault_force(as, va, access, force);
        if (status != VMK_OK)
            return status;
    }
}

/* A forced write must not leave a read-only page writable for ring 3. Lock held. */
static void unforce(struct aspace *as, uint64_t va)
{
    const struct region *r = aspace_region_find(as, va);
    uint64_t *entry = aspace_entry(as, va, false);

    if (r && entry && !(r->protection & ASPACE_WRITE)) {
        *entry &= ~PTE_W;
        plat_user_tlb_flush(as->root, round_down(va, PAGE_SIZE), 1);
    }
}

/* How many bytes of [va, va + size) lie in the first page. */
static size_t in_page(uint64_t va, size_t size)
{
    return MIN(size, (size_t)(PAGE_SIZE - (va & (PAGE_SIZE - 1))));
}

/* Ring 3 may execute what was just written. Lock held. */
static void written(struct aspace *as, uint64_t va, const uint8_t *bytes, size_t size)
{
    const uint64_t *entry = aspace_entry(as, va, false);

    if (!(*entry & PTE_NX))
        plat_user_code_changed(plat_unmap_address(bytes), size);
}

static vmk_status copy_in(struct aspace *as, uint8_t *to, uint64_t from, size_t size,
                          size_t *done)
{
    for (*done = 0; *done < size;) {
        size_t part = in_page(from + *done, size - *done);
        uint8_t *bytes;
        bool irqs;
        vmk_status status = reach(as, from + *done, ASPACE_READ, false, &bytes, &irqs);

        if (status != VMK_OK)
            return status;
        memcpy(to + *done, bytes, part);
        spin_unlock(&as->lock, irqs);
        *done += part;
    }
    return VMK_OK;
}

/* `from` null: zeroes. */
static vmk_status copy_out(struct aspace *as, uint64_t to, const uint8_t *from, size_t size,
                           bool force, size_t *done)
{
    for (*done = 0; *done < size;) {
        uint64_t va = to + *done;
        size_t part = in_page(va, size - *done);
        uint8_t *bytes;
        bool irqs;
        vmk_status status = reach(as, va, ASPACE_WRITE, force, &bytes, &irqs);

        if (status != VMK_OK)
            return status;
        if (from)
            memcpy(bytes, from + *done, part);
        else
            memset(bytes, 0, part);
        written(as, va, bytes, part);
        if (force)
            unforce(as, va);
        spin_unlock(&as->lock, irqs);
        *done += part;
    }
    return VMK_OK;
}

/* An address plus a size that wraps is refused by the first page beyond the end. */
vmk_status aspace_copy_in(struct aspace *as, void *to, uint64_t from, size_t size)
{
    size_t done;

    return copy_in(as, to, from, size, &done);
}

vmk_status aspace_copy_out(struct aspace *as, uint64_t to, const void *from, size_t size)
{
    size_t done;

    return copy_out(as, to, from, size, false, &done);
}

vmk_status aspace_zero(struct aspace *as, uint64_t to, size_t size)
{
    size_t done;

    return copy_out(as, to, NULL, size, false, &done);
}

vmk_status aspace_poke(struct aspace *as, uint64_t to, const void *from, size_t size)
{
    size_t done;

    return copy_out(as, to, from, size, true, &done);
}

size_t aspace_copy_in_some(struct aspace *as, void *to, uint64_t from, size_t size)
{
    size_t done;

    (void)!copy_in(as, to, from, size, &done);
    return done;
}

size_t aspace_copy_out_some(struct aspace *as, uint64_t to, const void *from, size_t size)
{
    size_t done;

    (void)!copy_out(as, to, from, size, false, &done);
    return done;
}

vmk_status aspace_copy_string(struct aspace *as, char *to, uint64_t from, size_t room,
                              size_t *length)
{
    size_t done = 0;

    while (done < room) {
        size_t part = in_page(from + done, room - done);
        uint8_t *bytes;
        bool irqs;
        vmk_status status = reach(as, from + done, ASPACE_READ, false, &bytes, &irqs);

        if (status != VMK_OK)
            return status;
        for (size_t i = 0; i < part; i++) {
            to[done + i] = (char)bytes[i];
            if (bytes[i] == 0) {
                spin_unlock(&as->lock, irqs);
                *length = done + i;
                return VMK_OK;
            }
        }
        spin_unlock(&as->lock, irqs);
        done += part;
    }
    return VMK_NAME_TOO_LONG;
}

vmk_status aspace_compare_exchange32(struct aspace *as, uint64_t at, uint32_t expected,
                                     uint32_t value, uint32_t *old)
{
    uint8_t *bytes;
    bool irqs;
    vmk_status status;

    if (at & 3)
        return VMK_BAD_PARAM;
    status = reach(as, at, ASPACE_WRITE, false, &bytes, &irqs);
    if (status != VMK_OK)
        return status;
    *old = expected;
    (void)__atomic_compare_exchange_n((uint32_t *)(void *)bytes, old, value, false,
                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    spin_unlock(&as->lock, irqs);
    return VMK_OK;
}

vmk_status aspace_key_of(struct aspace *as, uint64_t at, struct aspace_key *out)
{
    uint8_t *bytes;
    bool irqs;
    vmk_status status = reach(as, at, ASPACE_READ, false, &bytes, &irqs);

    if (status != VMK_OK)
        return status;

    const struct region *r = aspace_region_find(as, at);

    if (r && r->shared && r->object) {
        out->object =
            r->object->ops->identity ? r->object->ops->identity(r->object) : r->object;
        out->offset = (r->offset << PAGE_SHIFT) + (at - r->start);
    } else {
        out->object = as;
        out->offset = at;
    }
    spin_unlock(&as->lock, irqs);
    return VMK_OK;
}
