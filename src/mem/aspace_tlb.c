// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace_tlb.c -- no CPU may use a translation that was taken away.
 *
 * Each space has a generation. Whoever takes a translation away raises it under the lock; a CPU
 * that goes to ring 3 first compares it with what it has seen and flushes everything if it is
 * behind, and says at which generation it entered. So a shootdown needs no list of requests:
 * kick the CPUs that are in ring 3 at an older generation, wait until they left, and only then
 * give the pages back. A CPU in the kernel need not be waited for: it uses no user translation,
 * and looks before it goes back. A kicked CPU always leaves ring 3, so two CPUs that shoot at
 * each other cannot lock up.
 *
 * Invariants
 *   - cpus[c].entered is not 0 only while CPU c is in plat_user_run() or about to be.
 *   - No page is freed or reused while a CPU could still reach it (aspace_gather_finish()).
 * Locking    generation grows under aspace.lock; entered is atomic; seen belongs to its CPU.
 * Start at   aspace_enter() and aspace_gather_finish().
 */
#include "core/assert.h"
#include "mem/aspace_internal.h"

void aspace_enter(struct aspace *as)
{
    struct aspace_cpu *cpu = &as->cpus[plat_cpu_self()];

    for (;;) {
        uint64_t generation = __atomic_load_n(&as->generation, __ATOMIC_SEQ_CST);

        if (cpu->seen != generation) {
            plat_user_tlb_flush(as->root, 0, PLAT_USER_FLUSH_ALL);
            cpu->seen = generation;
        }
        /* First say that we are in, then look again: a shooter raises first and looks then. */
        __atomic_store_n(&cpu->entered, generation, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&as->generation, __ATOMIC_SEQ_CST) == generation)
            return;
    }
}

void aspace_leave(struct aspace *as)
{
    __atomic_store_n(&as->cpus[plat_cpu_self()].entered, 0, __ATOMIC_SEQ_CST);
}

void aspace_switch_out(struct aspace *as)
{
    aspace_leave(as);
    plat_user_tlb_flush(as->root, 0, PLAT_USER_FLUSH_ALL);
}

void aspace_gather_add(struct tlb_gather *gather, const struct region *r, uint64_t va,
                       uint64_t entry)
{
    struct gathered *g = &gather->pages[gather->count++];

    *g = (struct gathered){.mpn = paddr_to_mpn(paddr_make(entry & PTE_ADDRESS))};
    if (entry & PTE_OBJECT) {
        g->object = r->object;
        g->index = r->offset + ((va - r->start) >> PAGE_SHIFT);
        g->object->ops->ref(g->object);
    }
}

void aspace_flush_locked(struct aspace *as, struct tlb_gather *gather, uint64_t va,
                         uint64_t count)
{
    struct aspace_cpu *cpu = &as->cpus[plat_cpu_self()];
    uint64_t before = as->generation;

    vmk_assert(spin_held(&as->lock));
    gather->generation = before + 1;
    __atomic_store_n(&as->generation, before + 1, __ATOMIC_SEQ_CST);
    if (cpu->seen == before) {  // this CPU is up to date and stays so
        plat_user_tlb_flush(as->root, va, count);
        cpu->seen = before + 1;
    }
}

void aspace_gather_finish(struct aspace *as, struct tlb_gather *gather)
{
    if (gather->generation) {
        unsigned count = plat_cpu_count();

        for (unsigned c = 0; c < count; c++) {
            const uint64_t *entered = &as->cpus[c].entered;
            uint64_t at = __atomic_load_n(entered, __ATOMIC_SEQ_CST);

            if (!at || at >= gather->generation)
                continue;
            plat_cpu_kick(c);
            do {
                plat_cpu_relax();
                at = __atomic_load_n(entered, __ATOMIC_SEQ_CST);
            } while (at && at < gather->generation);
        }
    }
    for (unsigned i = 0; i < gather->count; i++) {
        struct gathered *g = &gather->pages[i];

        if (g->object) {
            g->object->ops->page_put(g->object, g->index, g->mpn);
            g->object->ops->unref(g->object);
        } else {
            page_put(g->mpn);
        }
    }
    gather_init(gather);
}
