// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmm_state.h -- what the VMM keeps for one host: the back end, its CPUs, the table of VMs.
 */
#pragma once

#include "core/host.h"
#include "core/spinlock.h"
#include "plat/plat_types.h"

#define VMM_VMS_MAX 16u

struct vt_backend;
struct vtx_cpu;
struct svm_cpu;
struct vm;
struct share_table;
struct vmm_mem;
struct swap_area;
struct vm_disk_source;

struct vmm_state {
    struct spinlock lock;                      // rank VMS; guards (l)
    const struct vt_backend *backend;          // (i) after vt_init_cpu() on CPU 0
    struct vtx_cpu *vtx_cpus[PLAT_CPUS_MAX];   // (i) once that CPU is enabled
    struct svm_cpu *svm_cpus[PLAT_CPUS_MAX];   // (i) likewise
    struct vm *vms[VMM_VMS_MAX];               // (l)
    struct swap_area *swap_area;               // (i) null: no device for VMs without a file
    uint64_t large_above;                      // (i) free pages from which guests get 2 MB ones
    struct share_table *share;                 // (i) null: pages are not shared
    struct vmm_mem *mem;                       // (i) null: memory is not scheduled
    uint64_t mem_plenty;                       // (a) free pages with which no VM is short
    const struct vm_disk_source *disk_source;  // (i) null: none
};
