// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/sim_dev.h -- how a test becomes the devices of the simulated machine.
 */
#pragma once

#include "plat/plat_dev.h"

#define SIM_MSI_ADDRESS 0xfee00000ull

struct sim_devices {
    uint32_t (*pci_read)(pci_address at, unsigned offset, unsigned size);
    void (*pci_write)(pci_address at, unsigned offset, unsigned size, uint32_t value);
    /* By machine address, inside BARs that a driver mapped. */
    uint32_t (*mmio_read)(uint64_t address, unsigned size);
    void (*mmio_write)(uint64_t address, unsigned size, uint32_t value);
};
/* Before drivers attach; null: none any more. */
void sim_devices_set(const struct sim_devices *devices);
/* The device writes that message: its handler runs now, on the CPU that calls. */
void sim_devices_interrupt(uint64_t address, uint32_t data);
