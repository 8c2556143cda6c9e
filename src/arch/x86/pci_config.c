// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/pci_config.c -- how this machine reaches PCI configuration space, ports, device memory.
 *
 * ECAM (a window of memory that the MCFG table names) where the firmware has one, because it is
 * one access and has 4096 bytes per function; else the two ports at 0xcf8, with 256.
 *
 * Invariants
 *   - The pair at 0xcf8 is used by one CPU at a time.
 * Locking    config_lock (rank LOG, so that it may be taken with anything held); ECAM needs
 *            none.
 * Sources    PCI "Configuration Mechanism"; PCIE "PCI Express Enhanced Configuration Access
 *            Mechanism (ECAM)"
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/spinlock.h"
#include "plat/plat_dev.h"

#define PORT_ADDRESS  0xcf8
#define PORT_DATA     0xcfc
#define ADDRESS_LIMIT BIT(46)  // what the direct map can show

static struct spinlock config_lock;
static volatile uint8_t *ecam;  // of bus acpi_facts.ecam_first; null: none

void pci_config_init(void)
{
    spin_init(&config_lock, "pci config", LOCK_RANK_LOG);
    if (acpi_facts.ecam_base && !(acpi_facts.ecam_base & 0xfffff) &&
        acpi_facts.ecam_last >= acpi_facts.ecam_first)
        ecam = plat_mmio_map(
            paddr_make(acpi_facts.ecam_base + ((uint64_t)acpi_facts.ecam_first << 20)),
            (acpi_facts.ecam_last - acpi_facts.ecam_first + 1ull) << 20);
}

static volatile uint8_t *in_ecam(pci_address at, unsigned offset)
{
    unsigned bus = at.raw >> 8;

    if (!ecam || bus < acpi_facts.ecam_first || bus > acpi_facts.ecam_last)
        return NULL;
    return ecam + ((uint64_t)(bus - acpi_facts.ecam_first) << 20) + ((at.raw & 255) << 12) +
           offset;
}

static bool in_ports(pci_address at, unsigned offset)
{
    return !(at.raw >> 16) && offset < 256;
}

static void ports_select(pci_address at, unsigned offset)
{
    insn_outl(PORT_ADDRESS, 0x80000000u | at.raw << 8 | (offset & 0xfc));
}

uint32_t plat_pci_read(pci_address at, unsigned offset, unsigned size)
{
    volatile uint8_t *memory = in_ecam(at, offset);
    uint32_t value;
    bool irqs;

    if (memory)
        return size == 4   ? *(volatile uint32_t *)(volatile void *)memory
               : size == 2 ? *(volatile uint16_t *)(volatile void *)memory
                           : *memory;
    if (!in_ports(at, offset))
        return size == 4 ? 0xffffffffu : (1u << 8 * size) - 1;
    irqs = spin_lock(&config_lock);
    ports_select(at, offset);
    value = plat_port_read((uint16_t)(PORT_DATA + (offset & 3)), size);
    spin_unlock(&config_lock, irqs);
    return value;
}

void plat_pci_write(pci_address at, unsigned offset, unsigned size, uint32_t value)
{
    volatile uint8_t *memory = in_ecam(at, offset);
    bool irqs;

    if (memory) {
        if (size == 4)
            *(volatile uint32_t *)(volatile void *)memory = value;
        else if (size == 2)
            *(volatile uint16_t *)(volatile void *)memory = (uint16_t)value;
        else
            *memory = (uint8_t)value;
        return;
    }
    if (!in_ports(at, offset))
        return;
    irqs = spin_lock(&config_lock);
    ports_select(at, offset);
    plat_port_write((uint16_t)(PORT_DATA + (offset & 3)), size, value);
    spin_unlock(&config_lock, irqs);
}

uint32_t plat_port_read(uint16_t port, unsigned size)
{
    return size == 4 ? insn_inl(port) : size == 2 ? insn_inw(port) : insn_inb(port);
}

void plat_port_write(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 4)
        insn_outl(port, value);
    else if (size == 2)
        insn_outw(port, (uint16_t)value);
    else
        insn_outb(port, (uint8_t)value);
}

void plat_port_read_words(uint16_t port, void *to, unsigned count)
{
    insn_insw(port, to, count);
}

void plat_port_write_words(uint16_t port, const void *from, unsigned count)
{
    insn_outsw(port, from, count);
}

volatile void *plat_mmio_map(paddr_t pa, uint64_t size)
{
    if (!pa.raw || !size || size > ADDRESS_LIMIT || pa.raw > ADDRESS_LIMIT - size)
        return NULL;
    return paging_map(pa.raw, size, true);
}

bool plat_is_direct(const void *va)
{
    return (uint64_t)(uintptr_t)va - DIRECT_BASE < ADDRESS_LIMIT;
}
