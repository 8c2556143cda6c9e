// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/drivers.c -- which drivers there are, which devices they take, and starting them.
 *
 * Invariants
 *   - A device whose driver fails to take it is left alone: the others go on.
 * Locking    none: one world, at boot.
 */
#include "drivers/drivers.h"

#include "core/core.h"
#include "core/log.h"
#include "lib/string.h"

static const struct driver *const drivers[] = {
    &driver_virtio_blk, &driver_virtio_scsi, &driver_ahci, &driver_nvme, &driver_ata,
};

/* Names of drivers as ESXi has them where it has one. */
static const char builtin_map[] =
    "# vendor device subvendor subdevice class\n"
    "regtype=native,bus=pci,id=1af41001,driver=virtio_blk\n"
    "regtype=native,bus=pci,id=1af41042,driver=virtio_blk\n"
    "regtype=native,bus=pci,id=1af41004,driver=virtio_scsi\n"
    "regtype=native,bus=pci,id=1af41048,driver=virtio_scsi\n"
    "regtype=native,bus=pci,id=................010601,driver=vmw_ahci\n"
    "regtype=native,bus=pci,id=................010802,driver=nvme_pcie\n"
    "regtype=native,bus=pci,id=................0101..,driver=vmkata\n";

static void attach(const struct driver *driver, struct pci_device *device)
{
    char name[PCI_NAME_SIZE];
    vmk_status status;

    pci_name(device, name);
    status = driver->attach(device);
    device->attached = status == VMK_OK;
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Device: %s: driver %s does not take it: %s", name, driver->name,
                vmk_status_text(status));
}

void drivers_start(void)
{
    struct pci_device *device;

    pci_map_load("the built-in driver map", builtin_map, sizeof(builtin_map) - 1);
    for (unsigned i = 0; (device = pci_device_get(i)) != NULL; i++) {
        bool known = !device->driver[0];

        for (unsigned d = 0; d < ARRAY_COUNT(drivers); d++) {
            if (strcmp(device->driver, drivers[d]->name) != 0)
                continue;
            known = true;
            attach(drivers[d], device);
        }
        if (!known && strcmp(device->driver, "none") != 0)
            vmk_log(VMK_LOG_WARN,
                    "Device: a driver map names driver %s, which is not there; "
                    "\"none\" leaves a device alone",
                    device->driver);
    }
    diskbench_run();
}
