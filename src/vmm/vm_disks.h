// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_disks.h -- the disks of a VM: opened by name when it is made, closed when it is gone.
 */
#pragma once

#include "io/block.h"
#include "vmm/vmx_config.h"

struct pvscsi;
struct virtio_blk;
struct vm;

/*
 * Where disks with other names than ours come from (VMDK files on datastores): this layer names
 * no file system, so somebody above sets it. `shares`: of the datastore's throughput
 * (io/ioshares.h). open() may block; `why` is for the log. [block]
 */
struct vm_disk_source {
    vmk_status (*open)(struct vm *vm, const char *name, bool read_only, uint32_t shares,
                       struct block_device **out, char *why, size_t why_size);
    void (*close)(struct block_device *device);
};
/* `source` lives as long as the host. Before the first VM. */
void vm_disk_source_set(const struct vm_disk_source *source);

struct vm_disk_open {
    struct block_device *block;  // what the guest's disk is; null: none
    struct block_device *lower;  // what was opened, if `block` only stands on it
    void (*close)(struct block_device *device);
    uint64_t id;  // for names: the same each time
};

struct vm_disks {
    struct vm_disk_open open[VM_DISKS_MAX];  // as config.disks
    struct pvscsi *pvscsi[VM_BUSES_MAX];     // while devices are made
    struct virtio_blk *virtio[VM_DISKS_MAX];
};

/* Opens what the configuration names. Errors are logged with key and remedy. World context. */
must_check vmk_status vm_disks_open(struct vm *vm);
void vm_disks_close(struct vm *vm);
/* The slot of the PCI function that config.disks[index] is behind. */
unsigned vm_disk_slot(const struct vm_config *config, unsigned index);
/* The devices in front of them: rows of dev/devices.c. */
must_check vmk_status vm_disks_attach(struct vm *vm);
void vm_disks_detach(struct vm *vm);
