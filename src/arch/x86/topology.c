// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/topology.c -- where each CPU is: core, last-level cache, package, NUMA node.
 *
 * CPUID gives shifts of the APIC id (lib/x86_topology.h), SRAT the proximity domain. What
 * callers get are small numbers in the order of the CPUs, because ids have gaps and a scheduler
 * wants none.
 *
 * Invariants
 *   - Each kind is numbered from 0 without gaps.
 * Locking    none: filled once by topology_init(), read-only afterwards.
 * Sources    SDM-2A "CPUID--CPU Identification"; ACPI 6.4 "System Resource Affinity Table
 *            (SRAT)"
 */
#include "arch/x86/arch_internal.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/x86_topology.h"

static struct {
    struct plat_cpu_place place[PLAT_CPUS_MAX];
    struct plat_cpu_place count;  // of each kind
} topology;

static struct x86_cpuid_answer ask(uint32_t leaf, uint32_t subleaf)
{
    const struct plat_cpuid r = plat_cpuid(leaf, subleaf);

    return (struct x86_cpuid_answer){r.eax, r.ebx, r.ecx, r.edx};
}

static uint32_t domain_of(uint32_t apic_id)
{
    for (unsigned i = 0; i < acpi_facts.cpu_count; i++)
        if (acpi_facts.cpu_apic_ids[i] == apic_id)
            return acpi_facts.cpu_domains[i];
    return ACPI_NO_DOMAIN;
}

/*
 * Gives each value of values[] the number of its first appearance; returns how many there are.
 */
static uint32_t make_dense(const uint32_t *values, uint32_t *numbers, unsigned count)
{
    uint32_t next = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned same = 0;

        while (values[same] != values[i])
            same++;
        numbers[i] = same < i ? numbers[same] : next++;
    }
    return next;
}

void topology_init(void)
{
    const struct x86_topology t = x86_topology_read(ask);
    uint32_t raw[4][PLAT_CPUS_MAX], number[4][PLAT_CPUS_MAX];

    for (unsigned i = 0; i < arch_cpu_total; i++) {
        raw[0][i] = arch_cpus[i].apic_id >> t.core_shift;
        raw[1][i] = arch_cpus[i].apic_id >> t.llc_shift;
        raw[2][i] = arch_cpus[i].apic_id >> t.package_shift;
        raw[3][i] = domain_of(arch_cpus[i].apic_id);
    }
    topology.count = (struct plat_cpu_place){
        (uint16_t)make_dense(raw[0], number[0], arch_cpu_total),
        (uint16_t)make_dense(raw[1], number[1], arch_cpu_total),
        (uint16_t)make_dense(raw[2], number[2], arch_cpu_total),
        (uint16_t)make_dense(raw[3], number[3], arch_cpu_total),
    };
    for (unsigned i = 0; i < arch_cpu_total; i++)
        topology.place[i] =
            (struct plat_cpu_place){(uint16_t)number[0][i], (uint16_t)number[1][i],
                                    (uint16_t)number[2][i], (uint16_t)number[3][i]};
}

struct plat_cpu_place plat_cpu_place(unsigned cpu)
{
    return topology.place[cpu];
}

/* One line for each last-level cache of each node: its cores, as groups of CPUs. */
static void report_cache(unsigned first)
{
    const struct plat_cpu_place *p = topology.place;
    char text[256];
    size_t at = 0;
    bool group = false;

    for (unsigned core = 0; core < topology.count.core; core++) {
        group = false;
        for (unsigned i = 0; i < arch_cpu_total && at < sizeof(text) - 8; i++) {
            if (p[i].core != core || p[i].llc != p[first].llc || p[i].node != p[first].node)
                continue;
            at += (size_t)vmk_snprintf(text + at, sizeof(text) - at, "%s%u", group ? " " : "(",
                                       i);
            group = true;
        }
        if (group && at < sizeof(text) - 1)
            text[at++] = ')';
    }
    text[MIN(at, sizeof(text) - 1)] = 0;
    vmk_log(VMK_LOG_INFO, "Boot: package %u, node %u, cache %u: CPUs %s", p[first].package,
            p[first].node, p[first].llc, text);
}

void topology_report(void)
{
    const struct plat_cpu_place *p = topology.place;

    vmk_log(VMK_LOG_INFO, "Boot: topology: packages %u, caches %u, cores %u, CPUs %u, nodes %u",
            topology.count.package, topology.count.llc, topology.count.core, arch_cpu_total,
            topology.count.node);
    for (unsigned i = 0; i < arch_cpu_total; i++) {
        unsigned same = 0;

        while (p[same].llc != p[i].llc || p[same].node != p[i].node)
            same++;
        if (same == i)
            report_cache(i);
    }
    for (unsigned i = 0; i < acpi_facts.range_count; i++) {
        const uint64_t base = acpi_facts.ranges[i].base, end = base + acpi_facts.ranges[i].size;

        vmk_log(VMK_LOG_INFO, "Mem: node of domain %u: %012llx-%012llx",
                acpi_facts.ranges[i].domain, (unsigned long long)base, (unsigned long long)end);
    }
}
