// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/trap.c -- the IDT, interrupts and exceptions.
 *
 * Every interrupt: handler, EOI, irq_exit() (which may switch worlds and come back much later,
 * on this stack). Exceptions of the kernel end in a panic, unless the faulting instruction is
 * in the fixup table (entry.S). NMI, double fault and machine check have stacks of their own
 * (IST).
 *
 * Invariants
 *   - Each interrupt is acknowledged exactly once, the spurious one never.
 *   - One CPU stops the others; a fault while a fault is reported ends in a halt, not in a
 *     loop.
 * Locking    none; interrupts are off.
 * Start at   arch_trap(), plat_interrupt_dispatch().
 * Sources    SDM-3A "Interrupt and Exception Handling"
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/assert.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"

#define HALT_WAIT_NS 100000000u  // how long a panic waits for the others to stop

static struct plat_handlers handlers;
static void (*power_button)(void);
static bool stopping;         // (a) set before the stop NMI goes out
static unsigned fault_depth;  // (a) faults while reporting a fault

static struct packed_layout gate {
    uint16_t offset0, selector;
    uint8_t ist, type;
    uint16_t offset1;
    uint32_t offset2, reserved;
} idt[256] aligned_to(16);

static const char *const exception_names[32] = {
    "#DE divide error",
    "#DB debug",
    "NMI",
    "#BP breakpoint",
    "#OF overflow",
    "#BR bound",
    "#UD invalid opcode",
    "#NM no FPU",
    "#DF double fault",
    "9",
    "#TS invalid TSS",
    "#NP segment not present",
    "#SS stack fault",
    "#GP general protection",
    "#PF page fault",
    "15",
    "#MF x87 error",
    "#AC alignment",
    "#MC machine check",
    "#XM SIMD error",
    "#VE virtualization",
    "#CP control protection",
    "22",
    "23",
    "24",
    "25",
    "26",
    "27",
    "#HV",
    "#VC",
    "#SX",
    "31",
};

void trap_idt_load(void)
{
    struct packed_layout {
        uint16_t limit;
        uint64_t base;
    } idtr = {sizeof(idt) - 1, (uint64_t)(uintptr_t)idt};

    for (unsigned v = 0; v < 256; v++) {
        const uint64_t at = (uint64_t)(uintptr_t)trap_stubs[v];

        idt[v] = (struct gate){
            .offset0 = (uint16_t)at,
            .selector = SELECTOR_CODE,
            .ist = v == VECTOR_NMI  ? 1
                   : v == VECTOR_DF ? 2
                   : v == VECTOR_MC ? 3
                                    : 0,
            .type = 0x8e,  // interrupt gate, present, ring 0
            .offset1 = (uint16_t)(at >> 16),
            .offset2 = (uint32_t)(at >> 32),
        };
    }
    __asm__ volatile("lidt %0" : : "m"(idtr));
}

void arch_power_button_hook(void (*pressed)(void))
{
    power_button = pressed;
}

void trap_power_button(void)
{
    if (power_button)
        power_button();
}

void plat_handlers_set(const struct plat_handlers *h)
{
    handlers = *h;
}

static void dispatch(unsigned vector)
{
    if (vector == VECTOR_TIMER) {
        apic_eoi();
        apic_timer_interrupt();
        return;
    }
    if (vector < VECTOR_TIMER) {
        irq_dispatch(vector);
        return;
    }
    apic_eoi();
    if (vector == VECTOR_KICK && handlers.kick)
        handlers.kick();
}

void plat_interrupt_dispatch(unsigned vector)
{
    if (vector == VECTOR_SPURIOUS || vector < VECTOR_DEVICE)  // spurious: no EOI is due
        return;
    if (handlers.irq_enter)
        handlers.irq_enter();
    dispatch(vector);
    if (handlers.irq_leave)
        handlers.irq_leave();
}

/* apic.c found that the deadline is really over. */
void trap_timer_due(void)
{
    if (handlers.timer)
        handlers.timer();
}

void plat_nmi_dispatch(void)
{
    if (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
        return;  // not ours; some boards send one for a parity error nobody can name
    __atomic_store_n(&arch_cpus[plat_cpu_self()].halted, true, __ATOMIC_RELEASE);
    for (;;)
        insn_hlt();
}

void plat_cpus_halt_others(void)
{
    static unsigned owner;  // (a) CPU + 1 that stops the others
    const unsigned self = plat_cpu_self();
    unsigned nobody = 0;
    plat_ns until;

    if (!__atomic_compare_exchange_n(&owner, &nobody, self + 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        if (nobody == self + 1)
            return;  // a trap first, then the panic it led to
        __atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
        plat_nmi_dispatch();  // two at once: this one is now one of the others
    }
    __atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < arch_cpu_total; i++)
        if (i != self && __atomic_load_n(&arch_cpus[i].online, __ATOMIC_ACQUIRE))
            apic_ipi(arch_cpus[i].apic_id, APIC_ICR_NMI);
    until = plat_time_now() + HALT_WAIT_NS;
    for (unsigned i = 0; i < arch_cpu_total; i++)
        while (i != self && arch_cpus[i].online &&
               !__atomic_load_n(&arch_cpus[i].halted, __ATOMIC_ACQUIRE) &&
               plat_time_now() < until)
            insn_pause();
    screen_panic_begin();
}

static bool fix_up(struct trap_frame *frame)
{
    for (const struct fixup *f = image_fixups_start; f < image_fixups_end; f++)
        if (f->fault == frame->rip) {
            frame->rip = f->target;
            return true;
        }
    return false;
}

static void print(const char *format, ...) printf_like(1, 2);
static void print(const char *format, ...)
{
    char line[160];
    va_list arguments;

    va_start(arguments, format);
    vmk_vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    log_emergency_write(line, strlen(line));
}

#define ULL(x) ((unsigned long long)(x))
static void print_registers(const struct trap_frame *f)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"rip", f->rip},          {"rsp", f->rsp},          {"rfl", f->rflags},
        {"rax", f->rax},          {"rbx", f->rbx},          {"rcx", f->rcx},
        {"rdx", f->rdx},          {"rsi", f->rsi},          {"rdi", f->rdi},
        {"rbp", f->rbp},          {"r8 ", f->r8},           {"r9 ", f->r9},
        {"r10", f->r10},          {"r11", f->r11},          {"r12", f->r12},
        {"r13", f->r13},          {"r14", f->r14},          {"r15", f->r15},
        {"cr0", insn_read_cr0()}, {"cr2", insn_read_cr2()}, {"cr3", insn_read_cr3()},
        {"cr4", insn_read_cr4()}, {"cs ", f->cs},           {"err", f->error},
    };

    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        print("%s %016llx%s", all[i].name, ULL(all[i].value), i % 3 == 2 ? "\n" : "  ");
}

static void exception(struct trap_frame *frame)
{
    if (frame->vector == VECTOR_GP && fix_up(frame))
        return;
    if (__atomic_fetch_add(&fault_depth, 1, __ATOMIC_RELAXED) >= 2)
        for (;;) {
            insn_cli();
            insn_hlt();
        }
    plat_cpus_halt_others();
    print("\n%s in the kernel\n", exception_names[frame->vector]);
    print_registers(frame);
    vmk_panic("%s at %llx, address %llx", exception_names[frame->vector], ULL(frame->rip),
              ULL(frame->vector == VECTOR_PF ? insn_read_cr2() : 0));
}

void trap_interrupt(unsigned vector)
{
    plat_interrupt_dispatch(vector);
    if (handlers.irq_exit)
        handlers.irq_exit();
}

void arch_trap(struct trap_frame *frame)
{
    if (frame->vector >= 32) {
        trap_interrupt((unsigned)frame->vector);
    } else if (frame->vector == VECTOR_NMI) {
        plat_nmi_dispatch();
    } else {
        exception(frame);
    }
}
