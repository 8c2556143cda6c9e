// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/arch_internal.h -- what the files of this folder share.
 */
#pragma once

#include "arch/x86/arch.h"
#include "arch/x86/x86.h"
#include "plat/plat.h"
#include "plat/plat_virt.h"

/* ---- per CPU, reached through GS ---- */
struct packed_layout arch_tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
};
_Static_assert(sizeof(struct arch_tss) == 104, "SDM-3A 64-Bit TSS Format");

struct arch_cpu {
    uint32_t index;    // %gs:0, see plat_cpu_self(); (i)
    uint32_t apic_id;  // (i)
    plat_ns deadline;  // (c) what plat_timer_arm() was told last
    void (*entry)(void);
    uint8_t *stacks;  // (i) IST 1..4, then the boot stack
    bool online;      // (a)
    bool halted;      // (a) answered the stop NMI
    uint64_t gdt[7];
    struct arch_tss tss;
    // Ring 3: user.S and user.c, this CPU only.
    uint64_t user_stack;    // where user_enter() left its caller's registers
    uint64_t scratch;       // the user's stack pointer for an instant
    const void *user_last;  // whose bases are loaded; null: SYSCALL's MSRs are not ours
    uint64_t user_fs, user_gs;
};
_Static_assert(offsetof(struct arch_cpu, index) == 0, "plat_cpu_self() reads GS:0");
extern struct arch_cpu arch_cpus[PLAT_CPUS_MAX];
extern unsigned arch_cpu_total;
#define CPU_IST_SIZE   0x1000u
#define CPU_ISTS       4u
#define CPU_BLOCK_SIZE (CPU_ISTS * CPU_IST_SIZE + CPU_STACK_SIZE)

struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* ---- start.c ---- */
noreturn_fn void arch_start(uint32_t magic, uint32_t information);
noreturn_fn void arch_ap_start(void);

/* ---- bootinfo.c ---- */
struct boot_framebuffer {
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t bits, kind;  // kind 1: direct RGB
    uint8_t red_shift, green_shift, blue_shift;
};
void bootinfo_parse(uint32_t magic, uint32_t information);
uint64_t bootinfo_rsdp(void);  // machine address, or 0
const struct boot_framebuffer *bootinfo_framebuffer(void);
/*
 * Takes `size` bytes of page-aligned zeroed RAM below 4 GB for ever; panics without. Only
 * before the memory map has been handed out.
 */
void *bootinfo_take(size_t size);
void bootinfo_report(void);

/* ---- paging.c ---- */
void paging_init(void);
void paging_load(void);  // this CPU goes to the final tables
paddr_t paging_root(void);
const uint64_t *paging_upper_half(void);  // 256 top-level entries, for user worlds
/*
 * Adds memory (or device registers, uncached) to the direct map; what is there stays. Null: no
 * page tables are left.
 */
void *paging_map(uint64_t pa, uint64_t size, bool device);

/* ---- cpu.c ---- */
bool cpu_has_leaf(uint32_t leaf);
void cpu_init_self(struct arch_cpu *cpu);  // GDT, TSS, IDT, GS, control registers, FPU
void cpu_gs_set(struct arch_cpu *cpu);

/* ---- trap.c ---- */
void arch_trap(struct trap_frame *frame);
void trap_interrupt(unsigned vector);  // the handler, then what comes after every interrupt
void trap_idt_load(void);
void trap_timer_due(void);     // apic.c found that the deadline is really over
void trap_power_button(void);  // tells who asked by arch_power_button_hook()

/* ---- apic.c ---- */
void apic_init(void);       // CPU 0: PIC, IOAPIC, mode
void apic_init_self(void);  // each CPU
void apic_eoi(void);
void apic_ipi(uint32_t apic_id, uint32_t low);
void apic_timer_calibrate_start(void);
uint32_t apic_timer_calibrate_read(void);
void apic_timer_init(uint64_t lapic_khz);  // chooses the mode
void apic_timer_interrupt(void);
void apic_report(void);
#define APIC_ICR_INIT  0x4500u
#define APIC_ICR_SIPI  0x4600u
#define APIC_ICR_NMI   0x4400u
#define APIC_ICR_FIXED 0x4000u

/* ---- irq.c ---- */
void irq_init(void);                 // CPU 0: every I/O APIC pin masked
void irq_dispatch(unsigned vector);  // a vector of a device

/* ---- topology.c ---- */
void topology_init(void);  // after the CPUs have been counted
void topology_report(void);

/* ---- pci_config.c ---- */
void pci_config_init(void);  // after the memory map is handed out

/* ---- clock.c ---- */
void clock_init(void);
void clock_delay(plat_ns duration);
uint64_t clock_tsc_of(plat_ns when);  // the counter's value at that time
void clock_report(void);

/* ---- console.c ---- */
void console_init(void);
void console_listen(void);      // after ACPI's tables: serial input comes by interrupt
void console_drain(void);       // until the UARTs are empty
void screen_init(void);         // after paging
void screen_panic_begin(void);  // purple from here on
void screen_write(const char *text, size_t length);
void keyboard_init(void);  // after ACPI's tables

/* ---- acpi/ ---- */
#define ACPI_NO_DOMAIN     UINT32_MAX
#define ACPI_IOAPICS_MAX   16u
#define ACPI_OVERRIDES_MAX 16u
#define ACPI_RANGES_MAX    64u
/* What the static tables say. Read-only after acpi_early_init(). */
struct acpi_facts {
    bool tables;  // there is an RSDP
    unsigned cpu_count;
    uint32_t cpu_apic_ids[PLAT_CPUS_MAX];
    uint32_t cpu_domains[PLAT_CPUS_MAX];  // SRAT's proximity domain, or ACPI_NO_DOMAIN
    unsigned cpus_ignored;                // beyond PLAT_CPUS_MAX
    unsigned ioapic_count;
    uint64_t ioapics[ACPI_IOAPICS_MAX];
    uint32_t ioapic_gsis[ACPI_IOAPICS_MAX];  // the first line of each
    struct {
        uint8_t irq;
        uint16_t flags;  // MPS INTI flags
        uint32_t gsi;
    } overrides[ACPI_OVERRIDES_MAX];
    unsigned override_count;
    uint64_t ecam_base;  // MCFG, segment 0, address of bus 0; 0: none
    uint8_t ecam_first, ecam_last;
    struct {
        uint64_t base, size;
        uint32_t domain;
    } ranges[ACPI_RANGES_MAX];  // memory by proximity domain
    unsigned range_count;
    uint16_t pm_timer_port;  // 0: none
    bool pm_timer_32;
};
extern struct acpi_facts acpi_facts;
void acpi_early_init(void);     // static tables only: no heap needed
void acpi_late_init(void);      // namespace, power button; after mem_init(), CPU 0
void acpi_power_off(void);      // returns if it cannot
bool acpi_reset_machine(void);  // false: the firmware has no reset register
/*
 * The routing table (_PRT) of the bus a device is on; pin 1..4. False: it has no such row. Not
 * in interrupts; may take milliseconds.
 */
bool acpi_pci_route(unsigned segment, unsigned bus, unsigned device, unsigned pin,
                    uint32_t *gsi, bool *level, bool *active_low);

/* ---- assembly ---- */
extern const uint8_t trap_stubs[256][16];
extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern uint64_t ap_stack;  // read by the trampoline
void context_start(void);

/* ---- kernel.ld ---- */
extern uint8_t image_text_start[], image_text_end[];
extern uint8_t image_rodata_start[], image_rodata_end[];
extern uint8_t image_data_start[], image_end[];
struct fixup {
    uint64_t fault, target;
};
extern const struct fixup image_fixups_start[], image_fixups_end[];
