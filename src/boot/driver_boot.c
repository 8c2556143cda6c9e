// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/driver_boot.c -- drivers take their devices, after the driver maps among the boot modules.
 *
 * A boot module whose name ends in .map is a driver map (io/pci.h); its rules go before the
 * built-in ones, and the rules of earlier modules before those of later ones.
 *
 * Invariants: maps are loaded before any driver looks.
 * Locking    none: one world, at boot.
 */
#include "boot/driver_boot.h"

#include "drivers/drivers.h"
#include "lib/string.h"
#include "vmm/boot_file.h"

void driver_boot(void)
{
    const char *name;
    const void *data;
    size_t size;

    for (size_t i = 0; i < boot_file_count(); i++)
        if (boot_file_at(i, &name, &data, &size) && strlen(name) > 4 &&
            strcmp(name + strlen(name) - 4, ".map") == 0)
            pci_map_load(name, data, size);
    drivers_start();
}
