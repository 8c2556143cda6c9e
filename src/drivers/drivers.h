// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/drivers.h -- the table of hardware drivers, and starting them.
 */
#pragma once

#include "io/pci.h"

struct driver {
    const char *name;  // as driver maps have it
    const char *description;
    /* Takes a device: brings it up, adds its adapter and disks. World context. [block] */
    vmk_status (*attach)(struct pci_device *device);
};

extern const struct driver driver_virtio_blk;
extern const struct driver driver_virtio_scsi;
extern const struct driver driver_ahci;
extern const struct driver driver_nvme;
extern const struct driver driver_ata;

/*
 * Chooses drivers by the built-in map (maps loaded before go first) and lets each take its
 * devices, in the order of their addresses. One world, once, before the first user world.
 * [block]
 */
void drivers_start(void);
/*
 * Boot option disktest=SEED: writes and reads back every disk through block.h and prints a
 * checksum of each. Destroys what is on the disks. (drivers/disktest.c) [block]
 */
void disktest_run(void);
/*
 * Boot option diskbench=N: what a 4 KB read costs on every disk. (drivers/diskbench.c) [block]
 */
void diskbench_run(void);
