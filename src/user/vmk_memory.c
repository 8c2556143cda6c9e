// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vmk_memory.c -- memory of the host and its VMs as /dev/vmk shows it, and the VMs' settings.
 *
 * A row is put together from those who know: the policy what should be and what is active, the
 * book of the VM's pages where they are, the counters of its swap world and its balloon what
 * happened. What a VM saves by sharing is found by a walk over its pages, a chunk at a time, so
 * that a machine page that three hold counts two thirds for each.
 *
 * Invariants
 *   - All amounts of one row come from within one walk; rows are of different moments.
 * Locking    VMs are held (vm_table_hold()); the VM's lock for a chunk or the counts at a time.
 * Start at   vmk_memory_gather(), vmk_memory_get(), vmk_memory_set().
 * Sources    [ESXTOP] the columns' meanings
 */
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "user/vmk_device.h"
#include "vmm/vm.h"
#include "vmm/vm_swap.h"
#include "vmm/vmm_mem.h"
#include "vmm/vmm_state.h"

#define KB(pages)  ((uint64_t)(pages)*4u)
#define PER_MB     256u
#define SAVED_ONE  1024u   // parts of a page
#define ACTIVE_ONE 65536u  // Q16

_Static_assert((int)MEMSCHED_UNLIMITED == (int)VMK_UNLIMITED, "one word for no limit");

/* ---- sharing ---- */

struct shared {
    uint64_t saved;  // in parts of a page
    uint64_t zero;   // pages
    uint32_t zero_mpn;
};

static bool is_zero(mpn_t mpn)
{
    const uint64_t *words = mpn_map(mpn);

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i++) {
        if (words[i])
            return false;
    }
    return true;
}

/* A shared page does not change while the VM's lock is held: whoever writes leaves it first. */
static void shared_page_locked(struct shared *s, struct p2m_page page)
{
    const mpn_t mpn = mpn_make(page.value);
    const uint32_t holders = page_references(mpn);

    s->saved += SAVED_ONE - SAVED_ONE / holders;
    if (page.value != s->zero_mpn && is_zero(mpn))
        s->zero_mpn = page.value;
    s->zero += page.value == s->zero_mpn;
}

static void shared_look(struct vm *vm, struct shared *out)
{
    *out = (struct shared){.zero_mpn = UINT32_MAX};
    for (uint64_t first = 0; first < vm->page_count; first += P2M_CHUNK) {
        const uint64_t end = MIN(first + P2M_CHUNK, vm->page_count);
        bool irqs = spin_lock(&vm->lock);

        for (uint64_t i = first; i < end && vm->p2m.count[P2M_SHARED]; i++) {
            const struct p2m_page page = p2m_get(&vm->p2m, i);

            if (page.state == P2M_SHARED)
                shared_page_locked(out, page);
        }
        spin_unlock(&vm->lock, irqs);
    }
}

/* ---- a VM ---- */

static void from_policy(const struct memsched_node *n, struct vmk_vm_memory *out)
{
    const uint64_t base = n->touched > n->ballooned ? n->touched - n->ballooned : 0;
    const struct memsched_active *a = &n->active;

    out->memory_id = n->id;
    out->shares = n->shares;
    out->flags |= n->target.blocked ? VMK_VM_BLOCKED : 0u;
    out->min_kb = KB(n->min);
    out->max_kb = n->max == MEMSCHED_UNLIMITED ? UINT64_MAX : KB(n->max);
    out->held_kb = KB(memsched_held(n));
    out->target_kb = KB(n->target.entitlement);
    out->touched_kb = KB(base * (a->any ? a->slow : ACTIVE_ONE) / ACTIVE_ONE);
    out->active_kb = KB(memsched_active_pages(n));
    out->active_permille = n->size ? (uint32_t)(memsched_active_pages(n) * 1000u / n->size) : 0;
    if (n->size && a->any) {
        out->slow_permille = (uint32_t)(base * a->slow / ACTIVE_ONE * 1000u / n->size);
        out->fast_permille = (uint32_t)(base * a->fast / ACTIVE_ONE * 1000u / n->size);
        out->next_permille = (uint32_t)(base * a->with_partial / ACTIVE_ONE * 1000u / n->size);
    }
    out->balloon_target_kb = KB(n->target.balloon);
    out->balloon_max_kb = KB(n->balloon_max);
    out->swap_target_kb = KB(n->target.swap);
    out->overhead_max_kb = KB(n->overhead);
}

static void fill(struct vm *vm, struct vmk_vm_memory *out)
{
    struct vm_swap_counters swap;
    struct memsched_node node;
    struct shared shared;
    bool irqs;

    *out = (struct vmk_vm_memory){
        .group_id = vm->sched_group,
        .size_kb = KB(vm->page_count),
        .max_kb = UINT64_MAX,
    };
    (void)vmk_snprintf(out->name, sizeof(out->name), "%s", vm->config.name);
    vm_swap_counters_get(vm, &swap);
    shared_look(vm, &shared);
    irqs = spin_lock(&vm->lock);
    out->granted_kb = KB(p2m_granted(&vm->p2m));
    out->balloon_kb = KB(vm->p2m.count[P2M_BALLOONED]);
    out->swapped_kb = KB(vm->p2m.count[P2M_SWAPPED]);
    out->compressed_kb = KB(vm->p2m.count[P2M_COMPRESSED]);
    out->shared_kb = KB(vm->p2m.count[P2M_SHARED]);
    out->overhead_kb = KB(vm->nested.table_count);
    out->least_kb = KB(vm->mem_least);
    out->flags = vm->balloon.connected ? VMK_VM_BALLOON : 0;
    out->balloon_locks = vm->balloon.locks;
    out->balloon_unlocks = vm->balloon.unlocks;
    out->balloon_refused = vm->balloon.refused;
    out->balloon_resets = vm->balloon.resets;
    spin_unlock(&vm->lock, irqs);
    out->saved_kb = KB(shared.saved) / SAVED_ONE;
    out->zero_kb = KB(shared.zero);
    out->hints_kb = KB(vmm_mem_hints(vm));
    out->swapped_in_pages = swap.swapped_in;
    out->swapped_out_pages = swap.swapped_out;
    out->zipped_pages = swap.compressed;
    out->unzipped_pages = swap.decompressed;
    out->cache_kb = KB(swap.zip_pages);
    out->cache_used_bytes = swap.zip_bytes;
    if (vmm_mem_find(vm->mem_id, &node))
        from_policy(&node, out);
}

/* Those that were powered on, in the order of the table. */
uint32_t vmk_memory_gather(struct vmk_vm_memory *out, uint32_t room)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
        struct vm *vm = vm_table_hold(i);

        if (!vm)
            continue;
        if (__atomic_load_n(&vm->state, __ATOMIC_SEQ_CST) != VM_STATE_OFF) {
            if (count < room)
                fill(vm, &out[count]);
            count++;
        }
        vm_table_release(vm);
    }
    return count;
}

/* ---- the host ---- */

static void add(struct vmk_host_memory *sum, const struct vmk_vm_memory *vm)
{
    sum->size_kb += vm->size_kb;
    sum->swapped_kb += vm->swapped_kb;
    sum->swap_target_kb += vm->swap_target_kb;
    sum->swapped_in_pages += vm->swapped_in_pages;
    sum->swapped_out_pages += vm->swapped_out_pages;
    sum->compressed_kb += vm->compressed_kb;
    sum->cache_kb += vm->cache_kb;
    sum->balloon_kb += vm->balloon_kb;
    sum->balloon_target_kb += vm->balloon_target_kb;
    sum->balloon_max_kb += vm->balloon_max_kb;
}

vmk_status vmk_memory_get(struct vmk_host_memory *out)
{
    struct vmk_vm_memory *vms = heap_alloc(VMM_VMS_MAX * sizeof(*vms), MEM_OWNER_USER);
    struct memsched_summary s;
    struct share_counters c;
    uint64_t kernel = 0;
    uint32_t count;

    if (!vms)
        return VMK_NO_MEMORY;
    for (unsigned i = 0; i < MEM_OWNER_COUNT; i++) {
        if (i != MEM_OWNER_GUEST && i != MEM_OWNER_USER)
            kernel += page_owned_count((enum mem_owner)i);
    }
    vmm_mem_shared(&c);
    *out = (struct vmk_host_memory){
        .head = out->head,
        .total_kb = KB(page_total_count()),
        .free_kb = KB(page_free_count()),
        .kernel_kb = KB(kernel),
        .least_free_kb = KB(page_free_least()),
        .shared_kb = KB(c.pages),
        .common_kb = KB(c.common),
        .zero_kb = KB(c.zero),
        .hints = c.hints,
        .scanned = c.scanned,
        .joined = c.joined,
        .broken = c.broken,
    };
    if (vmm_mem_host(&s)) {
        out->managed_kb = KB(s.managed);
        out->min_free_kb = KB(s.min_free);
        out->floor_kb = KB(s.floor);
        out->reserved_kb = KB(s.reserved);
        out->unreserved_kb = KB(s.managed > s.reserved ? s.managed - s.reserved : 0);
        memcpy(out->overcommit, s.overcommit, sizeof(out->overcommit));
        out->level = (uint32_t)s.level;
        (void)vmk_snprintf(out->level_name, sizeof(out->level_name), "%s",
                           memsched_level_name(s.level));
    }
    count = vmk_memory_gather(vms, VMM_VMS_MAX);
    for (uint32_t i = 0; i < MIN(count, VMM_VMS_MAX); i++)
        add(out, &vms[i]);
    heap_free(vms);
    return VMK_OK;
}

/* ---- settings ---- */

static vmk_status set_one(const struct vmk_memory_set *s, uint32_t what)
{
    const uint32_t mb = what == VMK_SET_MIN ? s->min_mb : s->max_mb;

    if (what == VMK_SET_SHARES)
        return s->shares && s->shares <= 10000000u
                   ? vmm_mem_set(MEMSCHED_SET_SHARES, s->id, s->shares)
                   : VMK_BAD_PARAM;
    if (what == VMK_SET_MAX && mb == VMK_UNLIMITED)
        return vmm_mem_set(MEMSCHED_SET_MAX, s->id, MEMSCHED_UNLIMITED);
    if (mb > UINT32_MAX / PER_MB - 1)
        return VMK_BAD_PARAM;
    return vmm_mem_set(what == VMK_SET_MIN ? MEMSCHED_SET_MIN : MEMSCHED_SET_MAX, s->id,
                       mb * PER_MB);
}

vmk_status vmk_memory_set(struct thread *t, struct vmk_memory_set *s)
{
    if (!vmk_may(t, 0))
        return VMK_NOT_OWNER;
    if (!s->what || (s->what & ~(uint32_t)(VMK_SET_SHARES | VMK_SET_MIN | VMK_SET_MAX)) ||
        s->reserved)
        return VMK_BAD_PARAM;
    if (s->id == MEMSCHED_ROOT_ID)
        return VMK_NOT_FOUND;
    memset(s->reason, 0, sizeof(s->reason));
    for (uint32_t bit = VMK_SET_SHARES; bit <= VMK_SET_MAX; bit <<= 1) {
        vmk_status status = s->what & bit ? set_one(s, bit) : VMK_OK;

        if (status == VMK_LIMIT) {
            vmm_mem_refusal(s->reason, sizeof(s->reason));
            return VMK_OK;
        }
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}
