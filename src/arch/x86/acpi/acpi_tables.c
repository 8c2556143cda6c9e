// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi/acpi_tables.c -- the static tables: CPUs, interrupt controllers, NUMA nodes, the
 * PM timer.
 *
 * ACPICA finds, checks and maps the tables; this file reads the ones the bring-up needs before
 * there is memory to allocate, and keeps the answers in acpi_facts. Every entry is bounded by
 * its table before it is read, and one that is too short for its type is skipped.
 *
 * Runs on CPU 0 at boot, before the heap. Read-only afterwards.
 * Source: ACPI 6.4 "ACPI Software Programming Model".
 */
#include "arch/x86/acpi/acpi_internal.h"
#include "arch/x86/arch_internal.h"
/* ACPICA's private headers, in the order it wants them. */
// clang-format off
#include "accommon.h"
#include "actables.h"
// clang-format on

#define TABLES_MAX 128u

struct acpi_facts acpi_facts;

static struct acpi_table_desc table_list[TABLES_MAX];

/* The loader's RSDP if it is one; else ACPICA looks where a BIOS leaves it. */
acpi_physical_address acpi_os_get_root_pointer(void)
{
    acpi_physical_address found = 0;
    const uint64_t told = bootinfo_rsdp();

    if (told && told < BIT(32) && acpi_tb_validate_rsdp(plat_map(paddr_make(told))) == AE_OK)
        return told;
    return acpi_find_root_pointer(&found) == AE_OK ? found : 0;
}

static unsigned cpu_index(uint32_t apic_id)
{
    unsigned i = 0;

    while (i < acpi_facts.cpu_count && acpi_facts.cpu_apic_ids[i] != apic_id)
        i++;
    return i;
}

static void add_cpu(uint32_t apic_id, uint32_t flags)
{
    const unsigned i = cpu_index(apic_id);

    if (!(flags & ACPI_MADT_ENABLED) || i < acpi_facts.cpu_count)
        return;
    if (i == PLAT_CPUS_MAX) {
        acpi_facts.cpus_ignored++;
        return;
    }
    acpi_facts.cpu_apic_ids[i] = apic_id;
    acpi_facts.cpu_count++;
}

static void add_ioapic(const struct acpi_madt_io_apic *e)
{
    if (acpi_facts.ioapic_count == ACPI_IOAPICS_MAX)
        return;
    acpi_facts.ioapic_gsis[acpi_facts.ioapic_count] = e->global_irq_base;
    acpi_facts.ioapics[acpi_facts.ioapic_count++] = e->address;
}

static void add_override(const struct acpi_madt_interrupt_override *e)
{
    const unsigned i = acpi_facts.override_count;

    if (e->bus != 0 || i == ACPI_OVERRIDES_MAX)
        return;
    acpi_facts.overrides[i].irq = e->source_irq;
    acpi_facts.overrides[i].gsi = e->global_irq;
    acpi_facts.overrides[i].flags = e->inti_flags;
    acpi_facts.override_count++;
}

static void madt_entry(const struct acpi_subtable_header *e)
{
    const struct acpi_madt_local_apic *apic = (const void *)e;
    const struct acpi_madt_local_x2apic *wide = (const void *)e;

    if (e->type == ACPI_MADT_TYPE_LOCAL_APIC && e->length >= sizeof(*apic))
        add_cpu(apic->id, apic->lapic_flags);
    else if (e->type == ACPI_MADT_TYPE_LOCAL_X2APIC && e->length >= sizeof(*wide))
        add_cpu(wide->local_apic_id, wide->lapic_flags);
    else if (e->type == ACPI_MADT_TYPE_IO_APIC && e->length >= sizeof(struct acpi_madt_io_apic))
        add_ioapic((const void *)e);
    else if (e->type == ACPI_MADT_TYPE_INTERRUPT_OVERRIDE &&
             e->length >= sizeof(struct acpi_madt_interrupt_override))
        add_override((const void *)e);
}

static void add_domain(unsigned cpu, uint32_t domain)
{
    if (cpu < acpi_facts.cpu_count)
        acpi_facts.cpu_domains[cpu] = domain;
}

static void srat_entry(const struct acpi_subtable_header *e)
{
    const struct acpi_srat_cpu_affinity *cpu = (const void *)e;
    const struct acpi_srat_x2apic_cpu_affinity *wide = (const void *)e;
    const struct acpi_srat_mem_affinity *memory = (const void *)e;

    if (e->type == ACPI_SRAT_TYPE_CPU_AFFINITY && e->length >= sizeof(*cpu)) {
        if (cpu->flags & ACPI_SRAT_CPU_ENABLED)
            add_domain(cpu_index(cpu->apic_id),
                       cpu->proximity_domain_lo | (uint32_t)cpu->proximity_domain_hi[0] << 8 |
                           (uint32_t)cpu->proximity_domain_hi[1] << 16 |
                           (uint32_t)cpu->proximity_domain_hi[2] << 24);
    } else if (e->type == ACPI_SRAT_TYPE_X2APIC_CPU_AFFINITY && e->length >= sizeof(*wide)) {
        if (wide->flags & ACPI_SRAT_CPU_ENABLED)
            add_domain(cpu_index(wide->apic_id), wide->proximity_domain);
    } else if (e->type == ACPI_SRAT_TYPE_MEMORY_AFFINITY && e->length >= sizeof(*memory)) {
        if (memory->flags & ACPI_SRAT_MEM_ENABLED && memory->length &&
            acpi_facts.range_count < ACPI_RANGES_MAX) {
            acpi_facts.ranges[acpi_facts.range_count].base = memory->base_address;
            acpi_facts.ranges[acpi_facts.range_count].size = memory->length;
            acpi_facts.ranges[acpi_facts.range_count++].domain = memory->proximity_domain;
        }
    }
}

/* Calls `visit` for each entry of a table that has a head of `head` bytes. */
static void read_table(const char *signature, size_t head,
                       void (*visit)(const struct acpi_subtable_header *))
{
    struct acpi_table_header *table;
    const uint8_t *base;

    if (acpi_get_table((char *)(uintptr_t)signature, 1, &table) != AE_OK)
        return;
    base = (const uint8_t *)table;
    for (size_t at = head; at + sizeof(struct acpi_subtable_header) <= table->length;) {
        const struct acpi_subtable_header *e = (const void *)(base + at);

        if (e->length < sizeof(*e) || at + e->length > table->length)
            break;
        visit(e);
        at += e->length;
    }
    acpi_put_table(table);
}

/* The first window of segment 0. */
static void read_mcfg(void)
{
    struct acpi_table_header *table;
    const struct acpi_mcfg_allocation *e;

    if (acpi_get_table(ACPI_SIG_MCFG, 1, &table) != AE_OK)
        return;
    e = (const void *)((const uint8_t *)table + sizeof(struct acpi_table_mcfg));
    for (; (const uint8_t *)(e + 1) <= (const uint8_t *)table + table->length; e++)
        if (e->pci_segment == 0 && !acpi_facts.ecam_base) {
            acpi_facts.ecam_base = e->address;
            acpi_facts.ecam_first = e->start_bus_number;
            acpi_facts.ecam_last = e->end_bus_number;
        }
    acpi_put_table(table);
}

void acpi_early_init(void)
{
    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++)
        acpi_facts.cpu_domains[i] = ACPI_NO_DOMAIN;
    if (acpi_initialize_tables(table_list, TABLES_MAX, FALSE) != AE_OK)
        return;
    acpi_facts.tables = true;
    read_table(ACPI_SIG_MADT, sizeof(struct acpi_table_madt), madt_entry);
    read_table(ACPI_SIG_SRAT, sizeof(struct acpi_table_srat), srat_entry);
    read_mcfg();
    if (acpi_gbl_FADT.pm_timer_length == 4) {
        acpi_facts.pm_timer_port = (uint16_t)acpi_gbl_FADT.pm_timer_block;
        acpi_facts.pm_timer_32 = acpi_gbl_FADT.flags & ACPI_FADT_32BIT_TIMER;
    }
}
