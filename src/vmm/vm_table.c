// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_table.c -- the VMs of this host, for those who look at them from outside.
 *
 * Whoever made a VM has a pointer to it; everybody else (lists, a kill by world id) finds it
 * here and may use it only under the table's lock, which a VM needs to go away.
 *
 * Invariants
 *   - A VM is in the table from before it has anything to show until before it gives anything
 *     back.
 * Locking    vmm_state.lock (rank VMS).
 */
#include "core/host.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

vmk_status vm_table_add(struct vm *vm)
{
    struct vmm_state *vmm = this_host()->vmm;
    vmk_status status = VMK_LIMIT;
    bool irqs = spin_lock(&vmm->lock);

    for (unsigned i = 0; i < VMM_VMS_MAX && status != VMK_OK; i++) {
        if (!vmm->vms[i]) {
            vmm->vms[i] = vm;
            vm->index = i;
            status = VMK_OK;
        }
    }
    spin_unlock(&vmm->lock, irqs);
    return status;
}

void vm_table_remove(struct vm *vm)
{
    struct vmm_state *vmm = this_host()->vmm;
    bool irqs = spin_lock(&vmm->lock);

    if (vmm->vms[vm->index] == vm)
        vmm->vms[vm->index] = NULL;
    spin_unlock(&vmm->lock, irqs);
}

struct vm *vm_table_hold(unsigned index)
{
    struct vmm_state *vmm = this_host()->vmm;
    bool irqs = spin_lock(&vmm->lock);
    struct vm *vm = index < VMM_VMS_MAX ? vmm->vms[index] : NULL;

    if (vm)
        __atomic_add_fetch(&vm->visitors, 1, __ATOMIC_ACQ_REL);
    spin_unlock(&vmm->lock, irqs);
    return vm;
}

void vm_table_release(struct vm *vm)
{
    __atomic_sub_fetch(&vm->visitors, 1, __ATOMIC_ACQ_REL);
}

bool vm_table_visit(bool (*visit)(struct vm *vm, void *argument), void *argument)
{
    struct vmm_state *vmm = this_host()->vmm;
    bool found = false;
    bool irqs;

    if (!vmm->lock.name)
        return false;  // no CPU of this host was made ready for VMs
    irqs = spin_lock(&vmm->lock);
    for (unsigned i = 0; i < VMM_VMS_MAX && !found; i++)
        found = vmm->vms[i] && visit(vmm->vms[i], argument);
    spin_unlock(&vmm->lock, irqs);
    return found;
}

bool vm_has_world(const struct vm *vm, uint32_t world)
{
    if (!world)
        return false;
    if (world == vm->sched_group || world == vm->owner.cartel)
        return true;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (vm->vcpus[i] && vm->vcpus[i]->world.raw == world)
            return true;
    }
    return false;
}
