// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_large.c -- guest memory in 2 MB pages: given on first touch, split, joined, broken when short.
 *
 * A large page is one nested entry, and 512 machine pages in one aligned block that the
 * allocator knows as single ones; the book has them all PRESENT. So a split changes nothing but
 * the nested table, and each page can then be shared, given away or freed by itself.
 *
 *     untouched ─ first touch, plenty free ─► large ─ sample, balloon of a part ─► 512 small
 *         ▲                                    │ ▲                                    │
 *         └── balloon of all, unlocked ◄───────┤ └── end of the sampling period ◄─────┘
 *                                              └─ host short ─► small, zeroes freed
 *
 * Why free zeroes: a guest that touches a few pages in each 2 MB holds more than before. When
 * the host is short what was never used comes back without a look at who shares what, and
 * reading it again gives the same zeroes.
 *
 * Invariants
 *   - A chunk is large exactly while one nested entry maps it; nothing in it is shared, sampled
 *     or given away.
 *   - A nested table's page that a larger entry replaced is freed when no vCPU can walk it any
 *     more.
 * Locking    the VM's lock; memory is cleared without it.
 */
#include "vmm/vm_large.h"

#include "lib/string.h"
#include "vmm/vm_reclaim.h"
#include "vmm/vmm_mem.h"
#include "vmm/vmm_state.h"

#define LARGE_ORDER 9u
#define BREAK_BATCH 8u   // large pages for one flush
#define BREAK_STEP  64u  // pages looked at under one lock

_Static_assert(VM_LARGE_PAGES == 1u << LARGE_ORDER, "a chunk of the book is a large page");
_Static_assert(VM_MMIO_HOLE % (PAGE_SIZE << LARGE_ORDER) == 0,
               "page numbers keep their alignment");

static uint64_t first_of(uint64_t index)
{
    return index - index % VM_LARGE_PAGES;
}

static gpa_t gpa_of(const struct vm *vm, uint64_t index)
{
    return ppn_to_gpa(vm_ppn_of(vm, index));
}

/* Maps the block there; a table that is there is empty. VM lock held. */
static vmk_status map(struct vm *vm, uint64_t first, mpn_t block)
{
    vmk_status status = nested_map(&vm->nested, gpa_of(vm, first), block, true, true);
    mpn_t table;

    if (status != VMK_EXISTS)
        return status;
    if (!vm_limbo_has_room_locked(vm))
        return VMK_AGAIN;
    status = nested_join(&vm->nested, gpa_of(vm, first), block, &table);
    if (status != VMK_OK)
        return status;
    vm_limbo_add_locked(vm, table, 1, MEM_OWNER_P2M);
    vm_flush_locked(vm);
    return VMK_OK;
}

bool vm_large_back(struct vm *vm, ppn_t ppn)
{
    const uint64_t above = this_host()->vmm->large_above;
    uint64_t index, first;
    bool done, irqs;
    mpn_t block;

    if (!above)
        return false;
    index = vm_ram_index(vm, ppn);
    first = first_of(index);
    if (index >= vm->page_count || !p2m_untouched(&vm->p2m, index) || !vm->reclaim ||
        !vmm_mem_may_grow(vm, VM_LARGE_PAGES) || page_free_count() < above + VM_LARGE_PAGES ||
        page_alloc_zeroed(LARGE_ORDER, MEM_OWNER_GUEST, &block) != VMK_OK)
        return false;
    page_split(block, LARGE_ORDER, MEM_OWNER_GUEST);
    irqs = spin_lock(&vm->lock);
    done = p2m_untouched(&vm->p2m, index) && p2m_reserve(&vm->p2m, first) == VMK_OK &&
           map(vm, first, block) == VMK_OK;
    if (done) {
        p2m_set_large(&vm->p2m, first, block);
        vm->large.now++;
        vm->large.given++;
    }
    spin_unlock(&vm->lock, irqs);
    for (uint64_t i = 0; !done && i < VM_LARGE_PAGES; i++)
        page_free(mpn_make(block.raw + i), 0, MEM_OWNER_GUEST);
    return done;
}

static void small_now(struct vm *vm, uint64_t index)
{
    p2m_large_set(&vm->p2m, index, false);
    vm->large.now--;
    vm->large.split++;
}

vmk_status vm_large_split_locked(struct vm *vm, uint64_t index)
{
    vmk_status status;

    if (!p2m_is_large(&vm->p2m, index))
        return VMK_OK;
    status = nested_split(&vm->nested, gpa_of(vm, first_of(index)));
    if (status == VMK_OK)
        small_now(vm, index);
    return status;
}

bool vm_large_join_locked(struct vm *vm, uint64_t index)
{
    uint64_t first = first_of(index);
    mpn_t block, table;

    if (p2m_is_large(&vm->p2m, index) || first + VM_LARGE_PAGES > vm->page_count)
        return false;
    block = mpn_make(p2m_get(&vm->p2m, first).value);
    if (block.raw % VM_LARGE_PAGES)
        return false;
    for (uint64_t i = 0; i < VM_LARGE_PAGES; i++) {
        const struct p2m_page page = p2m_get(&vm->p2m, first + i);

        if (page.state != P2M_PRESENT || page.value != block.raw + i)
            return false;
    }
    if (!vm_limbo_has_room_locked(vm) ||
        nested_join(&vm->nested, gpa_of(vm, first), block, &table) != VMK_OK)
        return false;
    vm_limbo_add_locked(vm, table, 1, MEM_OWNER_P2M);
    p2m_large_set(&vm->p2m, first, true);
    vm->large.now++;
    vm->large.joined++;
    return true;
}

static bool any_pinned(struct vm *vm, uint64_t first)
{
    bool pinned = false;

    for (uint64_t i = 0; i < VM_LARGE_PAGES && !pinned; i++)
        pinned = vm_page_is_pinned(p2m_get(&vm->p2m, first + i));
    return pinned;
}

vmk_status vm_large_take_locked(struct vm *vm, uint64_t index)
{
    uint64_t first = first_of(index);
    mpn_t block;

    if (index >= vm->page_count || !p2m_is_large(&vm->p2m, index))
        return VMK_NOT_FOUND;
    if (any_pinned(vm, first))
        return VMK_BUSY;
    if (!vm_limbo_has_room_locked(vm))
        return VMK_AGAIN;
    block = mpn_make(p2m_get(&vm->p2m, first).value);
    if (nested_unmap(&vm->nested, gpa_of(vm, first)) != VMK_OK)
        return VMK_NOT_FOUND;
    p2m_large_set(&vm->p2m, first, false);
    vm->large.now--;
    for (uint64_t i = 0; i < VM_LARGE_PAGES; i++)
        p2m_set(&vm->p2m, first + i, P2M_BALLOONED, mpn_make(MPN_NONE_RAW));
    vm_limbo_add_locked(vm, block, VM_LARGE_PAGES, MEM_OWNER_GUEST);
    return VMK_OK;
}

/* ---- when the host is short ---- */

/*
 * Its pages leave the nested table, but those that devices use. VM lock held; the caller
 * flushes.
 */
static bool unmap(struct vm *vm, uint64_t first)
{
    if (!p2m_is_large(&vm->p2m, first) ||
        nested_split(&vm->nested, gpa_of(vm, first)) != VMK_OK)
        return false;
    small_now(vm, first);
    for (uint64_t i = first; i < first + VM_LARGE_PAGES; i++) {
        const struct p2m_page page = p2m_get(&vm->p2m, i);

        if (!vm_page_is_pinned(page) && nested_unmap(&vm->nested, gpa_of(vm, i)) == VMK_OK)
            p2m_set(&vm->p2m, i, P2M_SAMPLED, mpn_make(page.value));
    }
    return true;
}

static bool is_zero(mpn_t mpn)
{
    const uint64_t *words = mpn_map(mpn);
    unsigned i = 0;

    while (i < PAGE_SIZE / sizeof(*words) && words[i] == 0)
        i++;
    return i == PAGE_SIZE / sizeof(*words);
}

/* After the flush: what nobody touched since goes if it is zero, or is mapped again. */
static uint64_t settle(struct vm *vm, uint64_t from, uint64_t to)
{
    bool irqs = spin_lock(&vm->lock);
    uint64_t freed = 0;

    for (uint64_t i = from; i < to; i++) {
        const struct p2m_page page = p2m_get(&vm->p2m, i);
        const mpn_t mpn = mpn_make(page.value);

        if (page.state != P2M_SAMPLED)
            continue;
        if (is_zero(mpn) && vm_limbo_has_room_locked(vm)) {
            p2m_set(&vm->p2m, i, P2M_NONE, mpn_make(MPN_NONE_RAW));
            vm_limbo_add_locked(vm, mpn, 1, MEM_OWNER_GUEST);
            freed++;
        } else if (nested_map(&vm->nested, gpa_of(vm, i), mpn, true, false) == VMK_OK) {
            p2m_set(&vm->p2m, i, P2M_PRESENT, mpn);
        }
    }
    if (freed)
        vm_flush_locked(vm);  // somebody may read one through vm_ram_at()
    vm->large.zeroes += freed;
    spin_unlock(&vm->lock, irqs);
    return freed;
}

uint64_t vm_large_break(struct vm *vm, unsigned most)
{
    uint64_t firsts[BREAK_BATCH], freed = 0;
    uint64_t chunks = vm->page_count / VM_LARGE_PAGES, seen = 0;
    bool alive = true;

    while (alive && most && seen < chunks) {
        unsigned count = 0;
        bool irqs = spin_lock(&vm->lock);

        for (; seen < chunks && count < MIN(BREAK_BATCH, most); seen++) {
            uint64_t first = (vm->large.cursor + seen) % chunks * VM_LARGE_PAGES;

            if (unmap(vm, first))
                firsts[count++] = first;
        }
        spin_unlock(&vm->lock, irqs);
        alive = count == 0 || vm_grace(vm);
        most -= count;
        for (unsigned i = 0; alive && i < count; i++) {
            for (uint64_t at = 0; at < VM_LARGE_PAGES; at += BREAK_STEP)
                freed += settle(vm, firsts[i] + at, firsts[i] + at + BREAK_STEP);
        }
    }
    vm->large.cursor = chunks ? (vm->large.cursor + seen) % chunks : 0;
    return freed;
}
