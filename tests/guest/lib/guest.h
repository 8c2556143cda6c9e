// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/lib/guest.h -- what a test guest stands on: long mode, traps, a console, the local APIC.
 *
 * A test guest is a whole operating system of a few dozen lines. It defines guest_name and
 * guest_main(); the library has brought up 64-bit mode with the low 4 GB mapped one to one, an
 * IDT and COM1. It runs the same on a plain emulated PC, which is how we know that what it
 * expects is what a PC does.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const char guest_name[];
void guest_main(void);

/* ---- console, verdict ---- */
void guest_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints "FAIL text" and remembers it unless `good`. */
void expect(bool good, const char *text);
/* expect() for numbers: prints both. */
void expect_equal(uint64_t got, uint64_t wanted, const char *text);
/* Writes the status to port 0xf4, then halts for ever. */
__attribute__((noreturn)) void guest_exit(uint32_t status);
extern unsigned guest_failures;

/* ---- traps ---- */
struct guest_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
typedef void guest_handler(struct guest_frame *frame);
void guest_on(unsigned vector, guest_handler *handler);  // null: back to the default
/* Makes the gate of a vector present or not. */
void guest_gate_present(unsigned vector, bool present);
/* The interrupt stack of a gate: 0 is the current one, which the other processors need. */
void guest_gate_stack(unsigned vector, uint8_t ist);

/* What the default handler last saw, when CATCH() was in force. */
struct guest_caught {
    uint64_t count, vector, error, rip, cr2, rflags, rcx, rdi, rsi;
};
extern volatile struct guest_caught guest_caught;
extern volatile uint64_t guest_recover;
extern volatile uint64_t guest_insn;  // where the caught instruction stood
/*
 * Runs assembly that may fault, with operands as for asm; a fault goes on behind it and shows
 * in guest_caught (count 1).
 */
#define CATCH(text, ...)                                                                       \
    do {                                                                                       \
        guest_caught.count = 0;                                                                \
        __asm__ volatile("movq $772f, guest_recover\n\tmovq $771f, guest_insn\n771:\t" text    \
                         "\n772:\tmovq $0, guest_recover" __VA_ARGS__);                        \
    } while (0)
void expect_caught(unsigned vector, uint64_t error, const char *text);
void expect_no_fault(const char *text);

/* ---- instructions ---- */
static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
/* A byte of the clock or of the CMOS memory behind it. */
static inline uint8_t cmos_get(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}
static inline void cmos_set(uint8_t index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}
static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}
static inline void wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
struct guest_cpuid {
    uint32_t eax, ebx, ecx, edx;
};
static inline struct guest_cpuid cpuid_sub(uint32_t leaf, uint32_t subleaf)
{
    struct guest_cpuid r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}
static inline struct guest_cpuid cpuid(uint32_t leaf)
{
    return cpuid_sub(leaf, 0);
}
static inline void irqs_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}
static inline void irqs_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}
/* Waits for one interrupt; irqs off before and after. */
static inline void wait_irq(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* The hypervisor's 12 letters at CPUID 40000000h, or "" on a bare machine. */
const char *guest_hypervisor(void);
/* QEMU's own emulation is lax about MSRs; checks of that kind ask this first. */
bool guest_on_plain_tcg(void);
/*
 * QEMU's processor, under AMD-V too: a fault at an IDT gate has the error code of twice the
 * vector, and never says that it was external.
 */
bool guest_cpu_is_qemus(void);

/* ---- memory ---- */
uint64_t guest_memory_end(void);  // from the loader: first address past the RAM at 1 MB
const char *guest_command_line(void);
bool guest_has_word(const char *word);  // anywhere in the command line
extern char guest_end[];
#define PTE_PRESENT 1ull
#define PTE_WRITE   2ull
#define PTE_NX      (1ull << 63)
/* Maps a 4 KB page at an address of 512 GB or above. 0 unmaps. */
void guest_map(uint64_t va, uint64_t entry);

/*
 * Runs it in ring 3, IOPL 0, interrupts off, on a small stack of its own; CATCH() works there.
 * From then on all mapped memory is open to ring 3.
 */
void guest_user_run(void (*body)(void));

/* ---- local APIC; x2APIC once guest_x2apic_enable() has been called ---- */
enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_IRR = 0x200,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};
uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t value);
void apic_enable(void);  // software enable, spurious vector 0xff, TPR 0
void apic_x2apic_enable(void);
uint32_t apic_id(void);
void apic_send(uint32_t destination, uint32_t low);  // ICR: waits until it is sent
void apic_eoi(void);
#define ICR_SELF       0x40000u
#define ICR_ALL_OTHERS 0xc0000u
#define ICR_INIT       0x4500u
#define ICR_STARTUP    0x4600u

/* ---- the other processors ---- */
#define GUEST_CPUS_MAX 16u
/* Starts them all with INIT and SIPI; each runs `entry` with its number (1..) on its own stack
 * with irqs off, its APIC enabled. Returns how many processors there are in all. */
unsigned guest_start_others(void (*entry)(unsigned number));
/* The same without a pause, by INIT and one SIPI, which a sound machine does not lose.
 * Comes back when all that ACPI lists have begun. */
void guest_start_others_at_once(void (*entry)(unsigned number));
extern volatile uint32_t guest_apic_ids[GUEST_CPUS_MAX];
/* How many processors ACPI lists; 0: it does not say. */
unsigned guest_cpu_count(void);
