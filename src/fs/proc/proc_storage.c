// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_storage.c -- /proc/vmware/storage: which disks know SCSI reservations, one line a disk.
 *
 * Locking    none of its own.
 */
#include "fs/proc/proc_internal.h"
#include "io/storage.h"

static vmk_status show(struct procfs_text *out, void *argument)
{
    struct storage_device_info info;

    (void)argument;
    for (unsigned i = 0; storage_device_get(i, &info); i++) {
        struct block_device *device;

        if (info.gone || storage_open(info.name, &device) != VMK_OK)
            continue;
        procfs_printf(out, "%s reservations=%s\n", info.name,
                      device->can_reserve ? "yes" : "no");
        storage_close(device);
    }
    return VMK_OK;
}

vmk_status procfs_storage_register(void)
{
    return procfs_register("vmware/storage", show, NULL, NULL);
}
