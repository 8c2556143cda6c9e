// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vt.c -- which hardware runs the guests of this host, and the home of the VMM's host state.
 *
 * The first CPU decides; a CPU that cannot do the same is refused, so that a vCPU may run on
 * every CPU that was accepted.
 *
 * Locking: none. CPU 0 calls first, alone; the others only read `backend`.
 */
#include "vmm/vt.h"

#include "core/log.h"
#include "plat/plat.h"
#include "vmm/vmm_state.h"

HOST_STATE(vmm);

const struct vt_backend *vt(void)
{
    return this_host()->vmm->backend;
}

vmk_status vt_init_cpu(void)
{
    static const struct vt_backend *const backends[] = {&vt_backend_vtx, &vt_backend_svm};
    struct vmm_state *vmm = this_host()->vmm;

    if (!vmm->lock.name)
        spin_init(&vmm->lock, "VMs", LOCK_RANK_VMS);
    if (vmm->backend) {
        if (!vmm->backend->probe())
            return VMK_UNSUPPORTED;
        return vmm->backend->cpu_enable();
    }
    for (size_t i = 0; i < ARRAY_COUNT(backends); i++) {
        if (!backends[i]->probe())
            continue;

        vmk_status status = backends[i]->cpu_enable();

        if (status != VMK_OK) {
            vmk_log(VMK_LOG_WARN, "VT: %s is there but cannot be enabled: %s",
                    backends[i]->name, vmk_status_text(status));
            continue;
        }
        vmm->backend = backends[i];
        vmk_log(VMK_LOG_INFO, "VT: guests run on %s", backends[i]->name);
        return VMK_OK;
    }
    return VMK_UNSUPPORTED;
}
