// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/dev.c -- plat_dev.h in a process: a PCI bus that is empty until a test fills it.
 *
 * A test plugs one set of functions in (sim_devices_set()) and so becomes the machine's
 * devices: it sees every access to configuration space, ports and device registers, and raises
 * interrupts by the message a driver programmed. The addresses of device registers are made up
 * and never dereferenced.
 *
 * Invariants
 *   - Without a test's devices everything reads as all ones and no interrupt can be attached.
 * Locking    none: all simulated CPUs are coroutines of one thread.
 */
#include "plat/plat_dev.h"
#include "sim/platform/sim.h"
#include "sim/platform/sim_dev.h"

#define MMIO_BASE 0x7e0000000000ull  // where nothing of a process is
#define IRQS_MAX  256u

static struct {
    const struct sim_devices *devices;
    struct {
        plat_irq_handler handler;
        void *argument;
    } irqs[IRQS_MAX];
    unsigned irq_count;
} dev;

void sim_devices_set(const struct sim_devices *devices)
{
    dev.devices = devices;
    dev.irq_count = 0;
}

void sim_devices_interrupt(uint64_t address, uint32_t data)
{
    bool was_on = plat_irq_save();

    sim_check(address == SIM_MSI_ADDRESS && data < dev.irq_count,
              "a message to %llx with %x: no such interrupt", (unsigned long long)address,
              data);
    dev.irqs[data].handler(dev.irqs[data].argument);
    plat_irq_restore(was_on);
}

static uint32_t ones(unsigned size)
{
    return size == 4 ? 0xffffffffu : (1u << 8 * size) - 1;
}

uint32_t plat_pci_read(pci_address at, unsigned offset, unsigned size)
{
    return dev.devices ? dev.devices->pci_read(at, offset, size) & ones(size) : ones(size);
}

void plat_pci_write(pci_address at, unsigned offset, unsigned size, uint32_t value)
{
    if (dev.devices)
        dev.devices->pci_write(at, offset, size, value);
}

/* No model has ports yet. */
uint32_t plat_port_read(uint16_t port, unsigned size)
{
    (void)port;
    return ones(size);
}

void plat_port_write(uint16_t port, unsigned size, uint32_t value)
{
    (void)port;
    (void)size;
    (void)value;
}

void plat_port_read_words(uint16_t port, void *to, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ((uint16_t *)to)[i] = (uint16_t)plat_port_read(port, 2);
}

void plat_port_write_words(uint16_t port, const void *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        plat_port_write(port, 2, ((const uint16_t *)from)[i]);
}

bool plat_port_reserved(uint16_t port)
{
    (void)port;
    return false;
}

volatile void *plat_mmio_map(paddr_t pa, uint64_t size)
{
    if (!dev.devices || !size || pa.raw + size > 1ull << 40)
        return NULL;
    return (volatile void *)(uintptr_t)(MMIO_BASE + pa.raw);
}

static uint32_t mmio_read(const volatile void *at, unsigned size)
{
    return dev.devices->mmio_read((uint64_t)(uintptr_t)at - MMIO_BASE, size) & ones(size);
}

static void mmio_write(volatile void *at, unsigned size, uint32_t value)
{
    dev.devices->mmio_write((uint64_t)(uintptr_t)at - MMIO_BASE, size, value);
}

uint32_t plat_mmio_read32(const volatile void *at)
{
    return mmio_read(at, 4);
}

void plat_mmio_write32(volatile void *at, uint32_t value)
{
    mmio_write(at, 4, value);
}

uint16_t plat_mmio_read16(const volatile void *at)
{
    return (uint16_t)mmio_read(at, 2);
}

void plat_mmio_write16(volatile void *at, uint16_t value)
{
    mmio_write(at, 2, value);
}

uint8_t plat_mmio_read8(const volatile void *at)
{
    return (uint8_t)mmio_read(at, 1);
}

void plat_mmio_write8(volatile void *at, uint8_t value)
{
    mmio_write(at, 1, value);
}

bool plat_is_direct(const void *va)
{
    const char *base = plat_map(paddr_make(0));

    return (const char *)va >= base && (const char *)va < base + sim_memory_size();
}

bool plat_irq_attach_msi(unsigned cpu, plat_irq_handler handler, void *argument,
                         struct plat_msi *out)
{
    if (!dev.devices || cpu >= plat_cpu_count() || dev.irq_count == IRQS_MAX)
        return false;
    dev.irqs[dev.irq_count].handler = handler;
    dev.irqs[dev.irq_count].argument = argument;
    *out = (struct plat_msi){SIM_MSI_ADDRESS, dev.irq_count++};
    return true;
}

bool plat_irq_route(pci_address at, unsigned pin, struct plat_irq_line *out)
{
    (void)at;
    (void)pin;
    (void)out;
    return false;
}

struct plat_irq_line plat_irq_isa(unsigned irq, bool pci)
{
    return (struct plat_irq_line){irq, pci, pci};
}

bool plat_irq_attach_line(const struct plat_irq_line *line, plat_irq_handler handler,
                          void *argument)
{
    (void)line;
    (void)handler;
    (void)argument;
    return false;
}
