// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_memory.c -- a VM's RAM: which guest pages exist, and the machine pages behind them.
 *
 * RAM lies below VM_MMIO_HOLE and goes on at 4 GB. A page costs nothing until it is touched, by
 * the guest (a nested fault) or by the kernel for it (loading, device DMA, the emulator).
 *
 * Invariants: a page that is PRESENT, FROZEN or SHARED is mapped by the nested table, others
 * are not.
 * A pointer to a page is good until the vCPU that asked has seen the next flush (vm_reclaim.c);
 * what a device uses is pinned.
 * Locking: p2m and the nested table under the VM's lock.
 */
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "vmm/vm.h"
#include "vmm/vm_large.h"
#include "vmm/vm_reclaim.h"
#include "vmm/vm_swap.h"
#include "vmm/vmm_mem.h"

#define LOAD_PATIENCE 60000000000ull  // ns that a page of a VM being loaded is waited for

/* A page of zeroes where there is none. */
static vmk_status page_give(struct vm *vm, uint64_t index, ppn_t ppn, mpn_t *mpn)
{
    vmk_status status = p2m_reserve(&vm->p2m, index);

    if (status != VMK_OK)
        return status;
    status = page_alloc_zeroed(0, MEM_OWNER_GUEST, mpn);
    if (status != VMK_OK)
        return status;
    status = nested_map(&vm->nested, ppn_to_gpa(ppn), *mpn, true, false);
    if (status != VMK_OK) {
        page_free(*mpn, 0, MEM_OWNER_GUEST);
        return status;
    }
    if (p2m_get(&vm->p2m, index).state == P2M_BALLOONED)
        __atomic_store_n(&vm->balloon.popped, true, __ATOMIC_RELAXED);
    p2m_set(&vm->p2m, index, P2M_PRESENT, *mpn);
    return VMK_OK;
}

/* A page that has no memory gets some, unless the host is short of it. */
static vmk_status page_back(struct vm *vm, uint64_t index, ppn_t ppn, unsigned state,
                            mpn_t *mpn)
{
    vmk_status status;

    if (vmm_mem_is_short(vm))
        return VMK_AGAIN;
    if (state == P2M_SHARED)
        status = vm_share_break_locked(vm, index, ppn, mpn);
    else if (state == P2M_COMPRESSED || state == P2M_SWAPPED)
        status = vm_swap_in_locked(vm, ppn, mpn);
    else
        status = page_give(vm, index, ppn, mpn);
    return status == VMK_NO_MEMORY && vm_swap_can_wait(vm) ? VMK_AGAIN : status;
}

/* Makes it PRESENT, or for a reader at least there. */
static vmk_status page_in(struct vm *vm, ppn_t ppn, bool write, mpn_t *mpn)
{
    uint64_t index = vm_ram_index(vm, ppn);
    vmk_status status = VMK_OK;
    struct p2m_page page;

    if (index >= vm->page_count)
        return VMK_NOT_FOUND;
    page = p2m_get(&vm->p2m, index);
    *mpn = mpn_make(page.value);
    switch (page.state) {
    case P2M_PRESENT: return VMK_OK;
    case P2M_LEAVING:  // not any more
    case P2M_SAMPLED:
        status = nested_map(&vm->nested, ppn_to_gpa(ppn), *mpn, true, false);
        break;
    case P2M_FROZEN:
        if (!write)
            return VMK_OK;
        status = nested_protect(&vm->nested, ppn_to_gpa(ppn), true);
        break;
    case P2M_SHARED: return write ? page_back(vm, index, ppn, page.state, mpn) : VMK_OK;
    default: return page_back(vm, index, ppn, page.state, mpn);
    }
    if (status == VMK_OK)
        p2m_set(&vm->p2m, index, P2M_PRESENT, *mpn);
    return status;
}

/*
 * A VM that is being loaded takes nothing from itself, and nobody may give it anything: it does
 * not wait for ever.
 */
static bool is_hopeless(const struct vm *vm, plat_ns *since)
{
    const plat_ns now = plat_time_now();

    if (__atomic_load_n(&vm->state, __ATOMIC_RELAXED) != VM_STATE_NEW)
        return false;
    if (!*since)
        *since = now;
    if (now - *since < LOAD_PATIENCE)
        return false;
    vmk_log(
        VMK_LOG_ERROR,
        "VM: %s: no memory to load it: %llu KB are free on the host, and the other VMs gave "
        "none in %llu s; power one off, or lower its reservation",
        vm->config.name, (unsigned long long)page_free_count() * 4,
        LOAD_PATIENCE / 1000000000ull);
    return true;
}

vmk_status vm_page_lock(struct vm *vm, ppn_t ppn, bool write, mpn_t *mpn, bool *irqs)
{
    plat_ns since = 0;
    vmk_status status;

    if (this_host()->vmm->large_above)
        (void)vm_large_back(vm, ppn);
    do {
        *irqs = spin_lock(&vm->lock);
        status = page_in(vm, ppn, write, mpn);
        if (status == VMK_OK)
            return VMK_OK;
        spin_unlock(&vm->lock, *irqs);
        if (status == VMK_AGAIN)
            status = is_hopeless(vm, &since) ? VMK_NO_MEMORY : vm_page_wait(vm, ppn);
    } while (status == VMK_OK);
    return status;
}

/* Copies one way or the other, page by page. */
static vmk_status memory_copy(struct vm *vm, gpa_t gpa, void *out, const void *in, size_t size)
{
    while (size) {
        uint64_t offset = gpa.raw & (PAGE_SIZE - 1);
        size_t part = MIN(size, (size_t)(PAGE_SIZE - offset));
        mpn_t mpn;
        vmk_status status = page_in(vm, gpa_to_ppn(gpa), in != NULL, &mpn);

        if (status != VMK_OK)
            return status;

        uint8_t *page = (uint8_t *)mpn_map(mpn) + offset;

        if (in) {
            memcpy(page, in, part);
            in = (const uint8_t *)in + part;
        } else {
            memcpy(out, page, part);
            out = (uint8_t *)out + part;
        }
        gpa.raw += part;
        size -= part;
    }
    return VMK_OK;
}

/* Is all of [gpa, gpa + size) RAM? Then a copy fails only for want of memory. */
static bool range_is_ram(const struct vm *vm, gpa_t gpa, size_t size)
{
    if (gpa.raw + size < gpa.raw)
        return false;
    for (uint64_t at = gpa.raw & ~(PAGE_SIZE - 1); at < gpa.raw + size; at += PAGE_SIZE) {
        if (!vm_is_ram(vm, gpa_make(at)))
            return false;
    }
    return true;
}

vmk_status vm_memory_read_locked(struct vm *vm, gpa_t gpa, void *out, size_t size)
{
    return range_is_ram(vm, gpa, size) ? memory_copy(vm, gpa, out, NULL, size) : VMK_NOT_FOUND;
}

vmk_status vm_memory_write_locked(struct vm *vm, gpa_t gpa, const void *in, size_t size)
{
    return range_is_ram(vm, gpa, size) ? memory_copy(vm, gpa, NULL, in, size) : VMK_NOT_FOUND;
}

/*
 * Without the lock, to read: a page that is taken away is freed after this vCPU was between two
 * exits.
 */
void *vm_ram_at(struct vm *vm, gpa_t gpa)
{
    const uint64_t index = vm_ram_index(vm, gpa_to_ppn(gpa));
    struct p2m_page page;

    if (index >= vm->page_count)
        return NULL;
    page = p2m_look(&vm->p2m, index);
    if (!p2m_has_page(page.state) || page.state == P2M_LEAVING)
        return NULL;
    return (uint8_t *)mpn_map(mpn_make(page.value)) + (gpa.raw & (PAGE_SIZE - 1));
}

vmk_status vm_memory_read(struct vm *vm, gpa_t gpa, void *out, size_t size)
{
    if (!range_is_ram(vm, gpa, size))
        return VMK_NOT_FOUND;
    while (size) {
        uint64_t offset = gpa.raw & (PAGE_SIZE - 1);
        size_t part = MIN(size, (size_t)(PAGE_SIZE - offset));
        bool irqs;
        mpn_t mpn;
        vmk_status status = vm_page_lock(vm, gpa_to_ppn(gpa), false, &mpn, &irqs);

        if (status != VMK_OK)
            return status;
        memcpy(out, (const uint8_t *)mpn_map(mpn) + offset, part);
        spin_unlock(&vm->lock, irqs);
        gpa.raw += part;
        out = (uint8_t *)out + part;
        size -= part;
    }
    return VMK_OK;
}

/* Page by page, so that loading a kernel does not keep interrupts off. */
vmk_status vm_memory_write(struct vm *vm, gpa_t gpa, const void *in, size_t size)
{
    if (!range_is_ram(vm, gpa, size))
        return VMK_NOT_FOUND;
    while (size) {
        uint64_t offset = gpa.raw & (PAGE_SIZE - 1);
        uint64_t before = __atomic_load_n(&vm->flush_number, __ATOMIC_SEQ_CST), number;
        size_t part = MIN(size, (size_t)(PAGE_SIZE - offset));
        bool irqs;
        mpn_t mpn;
        vmk_status status = vm_page_lock(vm, gpa_to_ppn(gpa), true, &mpn, &irqs);

        if (status != VMK_OK)
            return status;
        memcpy((uint8_t *)mpn_map(mpn) + offset, in, part);
        number = vm->flush_number;
        spin_unlock(&vm->lock, irqs);
        if (__builtin_expect(number != before, 0))
            vm_flush_wait(vm, number);  // a shared page moved: before the next write is seen
        gpa.raw += part;
        in = (const uint8_t *)in + part;
        size -= part;
    }
    return VMK_OK;
}
