// SPDX-License-Identifier: BSD-2-Clause
/*
 * plat/plat_dev.h -- what drivers ask of the machine: PCI configuration, registers, interrupts.
 *
 * Memory for DMA needs no call of its own: every page of mem/page.h will do, and
 * plat_unmap_address() tells what a device calls it. In the simulator the calls reach a
 * modelled bus (sim/platform/dev.c), empty unless a test puts controllers on it, so that the
 * drivers themselves run there.
 */
#pragma once

#include "plat/plat_types.h"

/* ---- PCI configuration space ---- */

/* Segment, bus, device, function: one field, so that it is mixed with nothing else. */
typedef struct {
    uint32_t raw;  // segment << 16 | bus << 8 | device << 3 | function
} pci_address;

static inline pci_address pci_address_make(unsigned segment, unsigned bus, unsigned device,
                                           unsigned function)
{
    return (pci_address){segment << 16 | (bus & 255) << 8 | (device & 31) << 3 |
                         (function & 7)};
}

/*
 * `size` is 1, 2 or 4 and `offset` a multiple of it, below 4096. What is not there, or out of
 * reach (from 256 up without ECAM), reads as all ones and takes no write. Any context.
 */
uint32_t plat_pci_read(pci_address at, unsigned offset, unsigned size);
void plat_pci_write(pci_address at, unsigned offset, unsigned size, uint32_t value);

/* ---- I/O ports and device memory ---- */

/* size 1, 2 or 4. Any context. */
uint32_t plat_port_read(uint16_t port, unsigned size);
void plat_port_write(uint16_t port, unsigned size, uint32_t value);
/* `count` words of 16 bits. */
void plat_port_read_words(uint16_t port, void *to, unsigned count);
void plat_port_write_words(uint16_t port, const void *from, unsigned count);
/* Does the platform itself use that port now (a disk that takes a trace)? Drivers keep off. */
bool plat_port_reserved(uint16_t port);

/*
 * Device registers as uncached kernel addresses, for good; null if the machine has no such
 * address or no tables are left. CPU 0 or a world, one at a time, before the first user world.
 */
volatile void *plat_mmio_map(paddr_t pa, uint64_t size);

#ifdef ORRERY_METAL
static inline uint32_t plat_mmio_read32(const volatile void *at)
{
    return *(const volatile uint32_t *)at;
}
static inline void plat_mmio_write32(volatile void *at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}
static inline uint8_t plat_mmio_read8(const volatile void *at)
{
    return *(const volatile uint8_t *)at;
}
static inline void plat_mmio_write8(volatile void *at, uint8_t value)
{
    *(volatile uint8_t *)at = value;
}
static inline void plat_mmio_write16(volatile void *at, uint16_t value)
{
    *(volatile uint16_t *)at = value;
}
static inline uint16_t plat_mmio_read16(const volatile void *at)
{
    return *(const volatile uint16_t *)at;
}
#else
uint32_t plat_mmio_read32(const volatile void *at);
void plat_mmio_write32(volatile void *at, uint32_t value);
uint16_t plat_mmio_read16(const volatile void *at);
void plat_mmio_write16(volatile void *at, uint16_t value);
uint8_t plat_mmio_read8(const volatile void *at);
void plat_mmio_write8(volatile void *at, uint8_t value);
#endif

/* Is it a direct-mapped kernel address, so that plat_unmap_address() knows it? Any context. */
bool plat_is_direct(const void *va);

/* ---- interrupts ---- */

/*
 * Runs on some CPU with interrupts off and no lock held, before the controller is told (EOI).
 */
typedef void (*plat_irq_handler)(void *argument);

struct plat_msi {
    uint64_t address;  // what the device writes, and where
    uint32_t data;
};
/*
 * A vector of its own on `cpu`, for MSI or an entry of MSI-X. False: none is left, or that CPU
 * is out of reach. Attached for good. World context or boot.
 */
must_check bool plat_irq_attach_msi(unsigned cpu, plat_irq_handler handler, void *argument,
                                    struct plat_msi *out);

/* A line of an I/O APIC. */
struct plat_irq_line {
    uint32_t gsi;
    bool level, active_low;
};
/*
 * Where pin 1..4 (INTA..INTD) of devices on that bus goes, as the firmware's routing table
 * (_PRT) says. False: the table has nothing; try the bridge's own pin, then the line register.
 */
must_check bool plat_irq_route(pci_address at, unsigned pin, struct plat_irq_line *out);
/*
 * What has become of an ISA line (overrides of the MADT); `pci`: level, active low unless said.
 */
struct plat_irq_line plat_irq_isa(unsigned irq, bool pci);
/*
 * Lines may be shared: every handler of a line is called. Attached for good. False: no such
 * line.
 */
must_check bool plat_irq_attach_line(const struct plat_irq_line *line, plat_irq_handler handler,
                                     void *argument);
