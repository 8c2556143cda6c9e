// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/events.c -- events whose delivery is cut short, and the moments at which they may come.
 *
 * To deliver an event the processor reads the IDT and writes a stack. If one of these has no
 * memory behind it yet (a nested fault, which the guest must not notice) or no mapping (a
 * fault, which it must), a hypervisor has to deliver the event again, once, as what it was.
 */
#include "guest.h"

const char guest_name[] = "events";

#define HOLE   0x8000000000ull
#define ICR    0xfee00300ull
#define VECTOR 0x91u

static volatile unsigned count, faults;
static volatile uint64_t seen_rip, seen_rsp, seen_error, fault_error, fault_rip, fault_cr2;
static uint64_t fresh;  // memory that nobody has touched
static uint8_t idt_low[4096] __attribute__((aligned(4096)));
static uint8_t idt_high[4096] __attribute__((aligned(4096)));

static void on_event(struct guest_frame *frame)
{
    count++;
    seen_rip = frame->rip;
    seen_rsp = frame->rsp;
    seen_error = frame->error;
    if (frame->vector == 6)
        frame->rip += 2;  // UD2
    if (frame->vector == 14)
        frame->rip += 2;  // MOV (%RAX), %AL
    if (frame->vector == VECTOR)
        apic_eoi();
}

static uint64_t fresh_stack(void)
{
    fresh += 2u << 20;
    return fresh - 4096;
}

/* Runs it on that stack; guest_insn is where its last instruction began. */
#define ON_STACK(stack, text)                                                                  \
    __asm__ volatile("movq %%rsp, %%r12\n\tmovq %0, %%rsp\n\t" text "\n\tmovq %%r12, %%rsp"    \
                     :                                                                         \
                     : "r"(stack)                                                              \
                     : "r12", "rax", "rcx", "memory", "cc")

#define SELF_IPI "movl $0xfee00300, %%eax; movl $0x40091, (%%rax)\n\t"

static void check(uint64_t stack, uint64_t rip, const char *what)
{
    guest_printf("%s:\n", what);
    expect_equal(count, 1, "arrives once");
    expect_equal(seen_rip, rip, "its RIP");
    expect_equal(seen_rsp, stack, "its RSP");
    count = 0;
}

/* The stack has no memory behind it: the guest must not notice. */
static void fresh_stacks(void)
{
    uint64_t stack;

    guest_on(3, on_event);
    guest_on(6, on_event);
    guest_on(14, on_event);
    guest_on(0x77, on_event);
    guest_on(VECTOR, on_event);
    stack = fresh_stack();
    ON_STACK(stack, "int3\n1:\tmovq $1b, guest_insn");
    check(stack, guest_insn, "INT3");
    stack = fresh_stack();
    ON_STACK(stack, "int $0x77\n1:\tmovq $1b, guest_insn");
    check(stack, guest_insn, "INT n");
    stack = fresh_stack();
    ON_STACK(stack, "1:\tud2\n\tmovq $1b, guest_insn");
    check(stack, guest_insn, "#UD");
    stack = fresh_stack();
    ON_STACK(stack,
             "movabsq $0x8000000123, %%rax\n1:\tmovb (%%rax), %%al\n\tmovq $1b, guest_insn");
    check(stack, guest_insn, "#PF");
    expect_equal(seen_error, 0, "its error code");
    stack = fresh_stack();
    ON_STACK(stack, SELF_IPI "sti\n\tnop\n1:\tnop\n\tcli\n\tmovq $1b, guest_insn");
    check(stack, guest_insn, "an interrupt, one instruction behind STI");
    guest_on(14, NULL);
    guest_on(6, NULL);
}

/* The error code of a fault at a gate. */
static uint64_t gate_error(unsigned vector, bool external)
{
    return guest_cpu_is_qemus() ? vector * 16 + 2 : vector * 8 + 2 + external;
}

static void missing_gates(void)
{
    guest_gate_present(0x77, false);
    CATCH("int $0x77", : : : "memory");
    expect_caught(11, gate_error(0x77, false), "INT n without a gate is #NP of the IDT");
    expect_equal(guest_caught.rip, guest_insn, "at the INT");
    guest_gate_present(0x77, true);
    guest_gate_present(3, false);
    CATCH("int3", : : : "memory");
    expect_caught(11, gate_error(3, false), "INT3 without a gate");
    expect_equal(guest_caught.rip, guest_insn, "at the INT3");
    guest_gate_present(3, true);
    guest_gate_present(6, false);
    CATCH("ud2", : : : "memory");
    expect_caught(11, gate_error(6, true), "#UD without a gate is external to the program");
    guest_gate_present(6, true);
    guest_gate_present(VECTOR, false);
    CATCH(SELF_IPI "sti; nop; nop; nop", : : : "rax", "memory");
    irqs_off();
    expect_caught(11, gate_error(VECTOR, true), "and so is an interrupt without a gate");
    guest_gate_present(VECTOR, true);
    apic_eoi();
    expect_equal(apic_read(APIC_ISR + 0x40), 0, "it was in service all the same");
}

static void on_page_fault(struct guest_frame *frame)
{
    uint64_t cr2;

    __asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
    faults++;
    fault_error = frame->error;
    fault_rip = frame->rip;
    fault_cr2 = cr2;
    guest_map(HOLE + 4096, (uint64_t)(uintptr_t)idt_high | PTE_PRESENT | PTE_WRITE);
}

/* Vectors from 128 on have their gates in a page that is not mapped. */
static void missing_idt_page(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } old, split = {256 * 16 - 1, HOLE + 2048};
    const uint8_t *gates;

    __asm__ volatile("sidt %0" : "=m"(old));
    gates = (const uint8_t *)(uintptr_t)old.base;
    guest_on(14, on_page_fault);
    for (unsigned i = 0; i < 2048; i++) {
        idt_low[2048 + i] = gates[i];
        idt_high[i] = gates[2048 + i];
    }
    guest_map(HOLE, (uint64_t)(uintptr_t)idt_low | PTE_PRESENT | PTE_WRITE);
    __asm__ volatile("lidt %0" : : "m"(split));
    __asm__ volatile("1:\tint $0x91\n\tmovq $1b, guest_insn" : : : "memory");
    __asm__ volatile("lidt %0" : : "m"(old));
    expect_equal(faults, 1, "a gate in an unmapped page is #PF");
    expect_equal(fault_cr2, HOLE + 2048 + VECTOR * 16, "CR2 is the gate's address");
    expect_equal(fault_error & 5, 0, "a supervisor's access to nothing");
    expect_equal(fault_rip, guest_insn, "at the INT");
    expect_equal(count, 1, "which then goes through");
    count = 0;
    guest_map(HOLE + 4096, 0);
    guest_map(HOLE, 0);
    guest_on(14, NULL);
}

static void on_step(struct guest_frame *frame)
{
    seen_rip = frame->rip;
    if (++count == 5)
        frame->rflags &= ~0x100ull;
}

static void steps(void)
{
    volatile uint32_t *tpr = (volatile uint32_t *)(uintptr_t)(0xfee00000ull + APIC_TPR);
    uint16_t ss;

    guest_on(1, on_step);
    // CPUID; OUT; RDMSR; a store to a device; NOP: five traps, one behind each
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n\t"
                     "cpuid; movl $0x80, %%edx"
                     "\n\toutb %%al, $0x80\n\t"
                     "movl $0, (%0)\n\tnop\n1:\tnop; movq $1b, guest_insn"
                     :
                     : "r"(tpr), "a"(0)
                     : "rbx", "rcx", "rdx", "memory");
    expect_equal(count, 5, "single steps over what exits");
    expect_equal(seen_rip, guest_insn, "the fifth is behind the NOP");
    count = 4;
    __asm__ volatile("movw %%ss, %0; pushfq; orq $0x100, (%%rsp); popfq\n\t"
                     "movw %0, %%ss; cpuid\n1:\tnop; movq $1b, guest_insn"
                     : "=&r"(ss)
                     : "a"(0)
                     : "rbx", "rcx", "rdx", "memory");
    expect_equal(count, 5, "MOV SS lets one instruction through");
    expect_equal(seen_rip, guest_insn, "then the step comes, over CPUID too");
    guest_on(1, NULL);
    count = 0;
}

static void int1(void)
{
    guest_on(1, on_event);
    __asm__ volatile(".byte 0xf1\n1:\tmovq $1b, guest_insn" : : : "memory");
    guest_on(1, NULL);
    expect_equal(count, 1, "INT1 is #DB");
    expect_equal(seen_rip, guest_insn, "behind the instruction");
    count = 0;
}

void guest_main(void)
{
    apic_enable();
    fresh = ((uint64_t)(uintptr_t)guest_end + 0x9fffff) & ~0x1fffffull;
    fresh_stacks();
    missing_gates();
    missing_idt_page();
    steps();
    if (guest_cpu_is_qemus())
        guest_printf("note: this processor does not know INT1\n");
    else
        int1();
}
