// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_reclaim.c -- taking pages of a running VM: flushes, pages on their way out, sharing, samples.
 *
 * A page that is taken out of the nested table may still be in a vCPU's TLB, and a vCPU that
 * handles an exit may hold a pointer to it (vm_ram_at()). So each change has a number, every
 * vCPU notes the number it has seen when it is between two exits, and a page goes back to the
 * host when all have seen its number. Meanwhile it is in limbo.
 *
 *     change, number n ─► kick all ─► vCPU: out of the guest, flush, seen = n, wait till all are out
 *                                                              └─► all seen >= n: limbo is freed
 *
 * The wait is what keeps memory coherent: when a shared page is copied for one vCPU, another
 * could otherwise still read the old one after it saw a later write of the first.
 *
 * Invariants
 *   - A page in limbo is in no nested table and no book; it is freed once, after all have seen.
 *   - limbo_number is UNFLUSHED from the first page that comes in until vm_flush_locked(), and
 *     nothing leaves then: a vCPU that sleeps now may wake with the old translation.
 *   - A FROZEN page that is still FROZEN after a grace period was not written during it.
 * Locking    the VM's lock; vCPUs' numbers are atomic.
 */
#include "vmm/vm_reclaim.h"

#include "core/assert.h"
#include "core/host.h"
#include "core/trace.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "vmm/vm_large.h"
#include "vmm/vm_swap.h"
#include "vmm/vmm_state.h"
#include "world/world.h"

#define LOAD(x)     __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, y) __atomic_store_n(&(x), (y), __ATOMIC_SEQ_CST)

#define LIMBO_PAGES 1024u
#define SAMPLES     100u      // [WALDSPURGER02] section 5.3
#define GRACE_STEP  50000ull  // ns between two looks whether all have seen
#define UNFLUSHED   UINT64_MAX

struct limbo {
    uint32_t mpn;
    uint16_t pages;  // from there on
    uint8_t owner;
};

struct vm_reclaim {
    struct limbo limbo[LIMBO_PAGES];
    unsigned limbo_count;
    uint64_t limbo_number;  // when all have seen this one, limbo is free
    struct rng rng;
    uint64_t samples[SAMPLES];  // by index
    unsigned sampled;
};

vmk_status vm_reclaim_create(struct vm *vm)
{
    vm->reclaim = heap_alloc(sizeof(*vm->reclaim), MEM_OWNER_VMM);
    if (!vm->reclaim)
        return VMK_NO_MEMORY;
    rng_init(&vm->reclaim->rng, plat_entropy(), "sample", vm->index);
    return VMK_OK;
}

static void limbo_free(struct vm_reclaim *r)
{
    vmk_assert(r->limbo_number != UNFLUSHED);
    while (r->limbo_count) {
        const struct limbo *l = &r->limbo[--r->limbo_count];

        for (uint32_t i = 0; i < l->pages; i++)
            page_free(mpn_make(l->mpn + i), 0, (enum mem_owner)l->owner);
    }
}

void vm_reclaim_destroy(struct vm *vm)
{
    if (vm->reclaim)
        limbo_free(vm->reclaim);
    heap_free(vm->reclaim);
    vm->reclaim = NULL;
}

ppn_t vm_ppn_of(const struct vm *vm, uint64_t index)
{
    return ppn_make(index < vm->low_page_count
                        ? index
                        : index - vm->low_page_count + (BIT(32) >> PAGE_SHIFT));
}

/* ---- flushes ---- */

void vm_flush_locked(struct vm *vm)
{
    __atomic_add_fetch(&vm->flush_number, 1, __ATOMIC_SEQ_CST);
    if (vm->reclaim)
        vm->reclaim->limbo_number = vm->flush_number;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (vm->vcpus[i])
            vcpu_kick(vm->vcpus[i]);
    }
}

/* In the guest it may still use what was before `number`. */
static bool may_use(struct vcpu *v, uint64_t number)
{
    return LOAD(v->on_cpu) && LOAD(v->flush_seen) < number;
}

static void others_leave(struct vm *vm, const struct vcpu *self, uint64_t number)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        // Kicked before: it leaves the guest within an interrupt's time.
        while (vm->vcpus[i] != self && may_use(vm->vcpus[i], number))
            plat_cpu_relax();
    }
}

void vcpu_flush(struct vcpu *v)
{
    uint64_t number = LOAD(v->vm->flush_number);

    if (LOAD(v->flush_seen) >= number)
        return;
    vt()->flush_vcpu(v);
    STORE(v->flush_seen, number);
    others_leave(v->vm, v, number);
}

void vm_flush_wait(struct vm *vm, uint64_t number)
{
    others_leave(vm, NULL, number);
}

/* Could it hold a pointer, or a translation, of before `number`? */
static bool has_seen(struct vcpu *v, uint64_t number)
{
    return LOAD(v->flush_seen) >= number || LOAD(v->state) != VCPU_RUNNING || LOAD(v->parked) ||
           LOAD(v->vm->worlds_left) == 0;
}

bool vm_flush_is_seen(struct vm *vm, uint64_t number)
{
    bool all = true;

    for (unsigned i = 0; i < vm->vcpu_count && all; i++)
        all = has_seen(vm->vcpus[i], number);
    return all;
}

void vm_limbo_collect_locked(struct vm *vm)
{
    struct vm_reclaim *r = vm->reclaim;

    if (r->limbo_count && r->limbo_number != UNFLUSHED && vm_flush_is_seen(vm, r->limbo_number))
        limbo_free(r);
}

bool vm_limbo_has_room_locked(struct vm *vm)
{
    vm_limbo_collect_locked(vm);
    return vm->reclaim->limbo_count < LIMBO_PAGES;
}

void vm_limbo_add_locked(struct vm *vm, mpn_t mpn, unsigned pages, enum mem_owner owner)
{
    struct vm_reclaim *r = vm->reclaim;
    struct limbo *last = r->limbo_count ? &r->limbo[r->limbo_count - 1] : NULL;

    r->limbo_number = UNFLUSHED;
    if (last && last->owner == owner && last->mpn + last->pages == mpn.raw &&
        last->pages + pages <= UINT16_MAX) {
        last->pages = (uint16_t)(last->pages + pages);
        return;
    }
    vmk_assert(r->limbo_count < LIMBO_PAGES);
    r->limbo[r->limbo_count++] = (struct limbo){
        .mpn = (uint32_t)mpn.raw, .pages = (uint16_t)pages, .owner = (uint8_t)owner};
}

bool vm_grace(struct vm *vm)
{
    bool irqs = spin_lock(&vm->lock);
    uint64_t number;

    vm_flush_locked(vm);
    number = vm->flush_number;
    spin_unlock(&vm->lock, irqs);
    while (!vm_flush_is_seen(vm, number)) {
        if (LOAD(vm->state) != VM_STATE_ON ||
            world_sleep_until(plat_time_now() + GRACE_STEP) == VMK_KILLED)
            return false;
    }
    return LOAD(vm->state) == VM_STATE_ON;
}

/* ---- giving away ---- */

vmk_status vm_page_take_locked(struct vm *vm, ppn_t ppn)
{
    uint64_t index = vm_ram_index(vm, ppn);
    struct p2m_page page;
    vmk_status status;

    if (index >= vm->page_count)
        return VMK_NOT_FOUND;
    page = p2m_get(&vm->p2m, index);
    if (page.state == P2M_BALLOONED)
        return VMK_EXISTS;
    if (vm_page_is_pinned(page))
        return VMK_BUSY;
    if (!vm_limbo_has_room_locked(vm))
        return VMK_AGAIN;
    status = vm_large_split_locked(vm, index);
    if (status == VMK_OK)
        status = p2m_reserve(&vm->p2m, index);
    if (status != VMK_OK)
        return status;
    if (p2m_has_page(page.state)) {
        mpn_t mpn = mpn_make(page.value);

        // A page under a sample, or about to be swapped out, is not mapped.
        if (nested_unmap(&vm->nested, ppn_to_gpa(ppn)) != VMK_OK)
            vmk_assert(page.state == P2M_SAMPLED || page.state == P2M_LEAVING);
        p2m_set(&vm->p2m, index, P2M_BALLOONED, mpn_make(MPN_NONE_RAW));
        if (page.state != P2M_SHARED || vm_share_leave_locked(vm, mpn))
            vm_limbo_add_locked(vm, mpn, 1, MEM_OWNER_GUEST);
    } else {
        vm_swap_drop_locked(vm, page);
        p2m_set(&vm->p2m, index, P2M_BALLOONED, mpn_make(MPN_NONE_RAW));
    }
    return VMK_OK;
}

vmk_status vm_page_return_locked(struct vm *vm, ppn_t ppn)
{
    uint64_t index = vm_ram_index(vm, ppn);

    if (index >= vm->page_count || p2m_get(&vm->p2m, index).state != P2M_BALLOONED)
        return VMK_NOT_FOUND;
    p2m_set(&vm->p2m, index, P2M_NONE, mpn_make(MPN_NONE_RAW));
    return VMK_OK;
}

/* ---- sharing ---- */

static struct share_table *table(void)
{
    return this_host()->vmm->share;
}

bool vm_share_leave_locked(struct vm *vm, mpn_t mpn)
{
    return share_leave(table(), mpn, vm->share_salt);
}

vmk_status vm_share_break_locked(struct vm *vm, uint64_t index, ppn_t ppn, mpn_t *mpn)
{
    mpn_t shared = mpn_make(p2m_get(&vm->p2m, index).value);
    mpn_t copy;
    vmk_status status = page_alloc(0, MEM_OWNER_GUEST, &copy);

    if (status != VMK_OK)
        return status;
    memcpy(mpn_map(copy), mpn_map(shared), PAGE_SIZE);
    if (vm_share_leave_locked(vm, shared)) {
        page_free(copy, 0, MEM_OWNER_GUEST);
        copy = shared;
    }
    TRACE(share_break, .vm = vm->sched_group, .ppn = (uint32_t)ppn.raw,
          .mpn = (uint32_t)copy.raw, .refs = copy.raw == shared.raw ? 0 : 1);
    p2m_set(&vm->p2m, index, P2M_PRESENT, copy);
    if (nested_replace(&vm->nested, ppn_to_gpa(ppn), copy) != VMK_OK ||
        nested_protect(&vm->nested, ppn_to_gpa(ppn), true) != VMK_OK)
        vmk_panic("a shared page of %s was not mapped", vm->config.name);
    if (copy.raw != shared.raw)
        vm_flush_locked(vm);  // other vCPUs read the old one
    *mpn = copy;
    return VMK_OK;
}

static bool hash_of(void *context, uint16_t which, uint32_t index, uint64_t *hash)
{
    struct vm *vm = vm_table_hold(which);
    bool can = false, irqs;
    struct p2m_page page;

    (void)context;
    if (!vm)
        return false;
    irqs = spin_lock(&vm->lock);
    if (index < vm->page_count) {
        page = p2m_get(&vm->p2m, index);
        // Large pages are shared when the host is short and breaks them.
        can = page.state == P2M_PRESENT && !vm_page_is_pinned(page) &&
              !p2m_is_large(&vm->p2m, index);
        if (can)
            *hash = page_hash(mpn_map(mpn_make(page.value)));
    }
    spin_unlock(&vm->lock, irqs);
    vm_table_release(vm);
    return can;
}

/* Read-only, and nobody writes any more: true with the lock held. */
static bool freeze_locked(struct vm *vm, uint32_t index, bool *irqs)
{
    gpa_t gpa;
    bool can = false;

    *irqs = spin_lock(&vm->lock);
    if (index < vm->page_count) {
        const struct p2m_page page = p2m_get(&vm->p2m, index);

        gpa = ppn_to_gpa(vm_ppn_of(vm, index));
        can = page.state == P2M_PRESENT && !vm_page_is_pinned(page) &&
              !p2m_is_large(&vm->p2m, index) &&
              nested_protect(&vm->nested, gpa, false) == VMK_OK;
        if (can)
            p2m_set(&vm->p2m, index, P2M_FROZEN, mpn_make(page.value));
    }
    spin_unlock(&vm->lock, *irqs);
    if (!can)
        return false;
    can = vm_grace(vm);
    *irqs = spin_lock(&vm->lock);
    if (can && p2m_get(&vm->p2m, index).state == P2M_FROZEN)
        return true;
    // Written meanwhile, or the VM is going: then it is thawed already, or nobody minds.
    spin_unlock(&vm->lock, *irqs);
    return false;
}

static void thaw_locked(struct vm *vm, uint32_t index)
{
    const struct p2m_page page = p2m_get(&vm->p2m, index);

    if (nested_protect(&vm->nested, ppn_to_gpa(vm_ppn_of(vm, index)), true) == VMK_OK)
        p2m_set(&vm->p2m, index, P2M_PRESENT, mpn_make(page.value));
}

/*
 * What is done with a page nobody can write to: its VM's lock is held. False: it is thawed
 * again.
 */
typedef bool frozen_fn(struct vm *vm, uint32_t index, mpn_t mpn, void *argument);

static bool with_frozen(uint16_t which, uint32_t index, frozen_fn *change, void *argument)
{
    struct vm *vm = vm_table_hold(which);
    bool done = false, irqs;

    if (!vm)
        return false;
    if (freeze_locked(vm, index, &irqs)) {
        done = change(vm, index, mpn_make(p2m_get(&vm->p2m, index).value), argument);
        if (!done)
            thaw_locked(vm, index);
        spin_unlock(&vm->lock, irqs);
    }
    vm_table_release(vm);
    return done;
}

struct acceptance {
    bool (*accept)(void *argument, mpn_t mpn, uint64_t hash);
    void *argument;
};

static bool become_shared(struct vm *vm, uint32_t index, mpn_t mpn, void *argument)
{
    const struct acceptance *a = argument;

    if (!a->accept(a->argument, mpn, page_hash(mpn_map(mpn))))
        return false;
    p2m_set(&vm->p2m, index, P2M_SHARED, mpn);
    return true;
}

static bool freeze(void *context, uint16_t which, uint32_t index,
                   bool (*accept)(void *argument, mpn_t mpn, uint64_t hash), void *argument)
{
    struct acceptance acceptance = {accept, argument};

    (void)context;
    return with_frozen(which, index, become_shared, &acceptance);
}

static bool give_way(struct vm *vm, uint32_t index, mpn_t mpn, void *argument)
{
    const mpn_t *with = argument;
    ppn_t ppn = vm_ppn_of(vm, index);

    if (!vm_limbo_has_room_locked(vm) || memcmp(mpn_map(mpn), mpn_map(*with), PAGE_SIZE) != 0 ||
        nested_replace(&vm->nested, ppn_to_gpa(ppn), *with) != VMK_OK)
        return false;
    p2m_set(&vm->p2m, index, P2M_SHARED, *with);
    vm_limbo_add_locked(vm, mpn, 1, MEM_OWNER_GUEST);
    vm_flush_locked(vm);
    TRACE(share_merge, .vm = vm->sched_group, .ppn = (uint32_t)ppn.raw,
          .mpn = (uint32_t)with->raw, .refs = page_references(*with));
    return true;
}

static bool join(void *context, uint16_t which, uint32_t index, mpn_t with)
{
    (void)context;
    return with_frozen(which, index, give_way, &with);
}

const struct share_ops vm_share_ops = {hash_of, freeze, join};

/* ---- working set ---- */

void vm_sample(struct vm *vm, uint32_t *touched, uint32_t *sampled)
{
    struct vm_reclaim *r = vm->reclaim;
    bool joined = false;
    bool irqs = spin_lock(&vm->lock);

    *sampled = r->sampled;
    *touched = 0;
    for (unsigned i = 0; i < r->sampled; i++) {
        const struct p2m_page page = p2m_get(&vm->p2m, r->samples[i]);
        mpn_t mpn = mpn_make(page.value);

        if (page.state != P2M_SAMPLED) {
            ++*touched;
        } else if (nested_map(&vm->nested, ppn_to_gpa(vm_ppn_of(vm, r->samples[i])), mpn, true,
                              false) == VMK_OK) {
            p2m_set(&vm->p2m, r->samples[i], P2M_PRESENT, mpn);
        }
    }
    for (unsigned i = 0; i < r->sampled; i++)
        joined |= vm_large_join_locked(vm, r->samples[i]);
    r->sampled = 0;
    // Of pages that are there: what was never touched is no idle memory.
    for (unsigned try = 0; try < 4 * SAMPLES && r->sampled < SAMPLES; try++) {
        uint64_t index = rng_below(&r->rng, vm->page_count);
        const struct p2m_page page = p2m_get(&vm->p2m, index);

        if (page.state != P2M_PRESENT || vm_page_is_pinned(page) ||
            vm_large_split_locked(vm, index) != VMK_OK ||
            nested_unmap(&vm->nested, ppn_to_gpa(vm_ppn_of(vm, index))) != VMK_OK)
            continue;
        p2m_set(&vm->p2m, index, P2M_SAMPLED, mpn_make(page.value));
        r->samples[r->sampled++] = index;
    }
    if (r->sampled || joined)
        vm_flush_locked(vm);
    spin_unlock(&vm->lock, irqs);
}
