// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/start.c -- from the entry code to boot_main(), and each later CPU to its entry.
 *
 * Everything the seam promises holds when boot_main() is called: so the CPUs are counted (ACPI
 * tables need no heap), their stacks are taken out of the memory map before anybody reads it,
 * and time runs.
 *
 * Invariants
 *   - CPU 0 is the one that booted; the rest are in the order of the MADT.
 * Locking    none: one CPU up to plat_cpu_start(), which starts one at a time.
 * Start at   arch_start().
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"

struct arch_cpu arch_cpus[PLAT_CPUS_MAX];
unsigned arch_cpu_total = 1;
static struct arch_cpu *starting;  // handed to the CPU being started

static uint8_t boot_ist[CPU_ISTS * CPU_IST_SIZE] aligned_to(16);

/* CPU 0 is the one that runs; the others follow in the order of the MADT. */
static void count_cpus(void)
{
    const uint32_t self = plat_cpuid(1, 0).ebx >> 24;
    uint32_t self_wide = self;

    if (cpu_has_leaf(0xb) && (plat_cpuid(0xb, 0).ebx & 0xffff) != 0)
        self_wide = plat_cpuid(0xb, 0).edx;
    arch_cpus[0].apic_id = self_wide;
    for (unsigned i = 0; i < acpi_facts.cpu_count; i++) {
        const uint32_t id = acpi_facts.cpu_apic_ids[i];

        if (id == self_wide || arch_cpu_total == PLAT_CPUS_MAX)
            continue;
        arch_cpus[arch_cpu_total].index = arch_cpu_total;
        arch_cpus[arch_cpu_total].apic_id = id;
        arch_cpu_total++;
    }
    for (unsigned i = 1; i < arch_cpu_total; i++)
        arch_cpus[i].stacks = bootinfo_take(CPU_BLOCK_SIZE);
}

noreturn_fn void arch_start(uint32_t magic, uint32_t information)
{
    arch_cpus[0].stacks = boot_ist;
    arch_cpus[0].online = true;
    cpu_init_self(&arch_cpus[0]);
    console_init();
    bootinfo_parse(magic, information);
    acpi_early_init();
    count_cpus();
    topology_init();
    paging_init();
    paging_load();
    screen_init();
    apic_init();
    apic_init_self();
    clock_init();
    boot_main();
}

noreturn_fn void arch_ap_start(void)
{
    struct arch_cpu *cpu = starting;

    paging_load();
    cpu_init_self(cpu);
    apic_init_self();
    __atomic_store_n(&cpu->online, true, __ATOMIC_RELEASE);
    cpu->entry();
    vmk_unreachable();
}

/* INIT, then two start-up IPIs: SDM-3A "Typical BSP Initialization Sequence". */
bool plat_cpu_start(unsigned index, void (*entry)(void))
{
    struct arch_cpu *cpu = &arch_cpus[index];
    plat_ns until;

    vmk_assert(index > 0 && index < arch_cpu_total && !cpu->online);
    cpu->entry = entry;
    starting = cpu;
    ap_stack = (uint64_t)(uintptr_t)cpu->stacks + CPU_BLOCK_SIZE;
    memcpy(plat_map(paddr_make(AP_TRAMPOLINE)), ap_trampoline,
           (size_t)(ap_trampoline_end - ap_trampoline));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);  // written before the IPI goes out

    apic_ipi(cpu->apic_id, APIC_ICR_INIT);
    clock_delay(10000000);
    // A time alone is not enough: a machine under us may stand still while its clock goes on.
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        unsigned polls = attempt ? 4000000 : 10000;

        apic_ipi(cpu->apic_id, APIC_ICR_SIPI | AP_TRAMPOLINE >> 12);
        until = plat_time_now() + (attempt ? 5000000000ull : 1000000ull);
        while (plat_time_now() < until || polls) {
            polls -= polls > 0;
            if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
                return true;
            insn_pause();
        }
    }
    return false;
}

void arch_report(void)
{
    bootinfo_report();
    vmk_log(VMK_LOG_INFO, "Boot: %u CPUs, %u ignored", arch_cpu_total, acpi_facts.cpus_ignored);
    topology_report();
    apic_report();
    clock_report();
}

void arch_late_init(void)
{
    pci_config_init();
    acpi_late_init();
    console_listen();
    keyboard_init();
}
