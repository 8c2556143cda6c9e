// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/system.c -- system instructions by the manual's rules: control registers, system calls, what is undefined,
 * and traps behind instructions that a hypervisor emulates.
 */
#include "guest.h"

const char guest_name[] = "system";

#define HOLE         0x8000000000ull
#define VECTOR       0x91u
#define EFER         0xc0000080u
#define STAR         0xc0000081u
#define LSTAR        0xc0000082u
#define SFMASK       0xc0000084u
#define GS_BASE      0xc0000101u
#define SWAPPED_GS   0xc0000102u
#define SYSENTER_CS  0x174u
#define SYSENTER_ESP 0x175u
#define SYSENTER_EIP 0x176u
#define EFER_SCE     1ull
#define EFER_LME     0x100ull
#define EFER_NXE     0x800ull
#define CR0_MP       2ull
#define CR0_EM       4ull
#define CR0_TS       8ull
#define CR0_ET       0x10ull
#define CR0_WP       0x10000ull
#define CR0_NW       0x20000000ull
#define CR0_PG       0x80000000ull
#define CR4_PAE      0x20ull
#define CR4_VMXE     0x2000ull
#define CR4_PCIDE    0x20000ull
#define CR4_OSXSAVE  0x40000ull
#define DR6_INIT     0xffff0ff0ull

char page[4096] __attribute__((aligned(4096)));
static bool lax;  // this emulator lets much pass

#define GET(name, register)                                                                    \
    static uint64_t name##_get(void)                                                           \
    {                                                                                          \
        uint64_t value;                                                                        \
                                                                                               \
        __asm__ volatile("movq %%" register ", %0" : "=r"(value));                             \
        return value;                                                                          \
    }                                                                                          \
    static void name##_set(uint64_t value)                                                     \
    {                                                                                          \
        CATCH("movq %0, %%" register, : : "r"(value) : "memory");                              \
    }
GET(cr0, "cr0")
GET(cr2, "cr2")
GET(cr3, "cr3")
GET(cr4, "cr4")
GET(cr8, "cr8")

static void msr_set(uint32_t index, uint64_t value)
{
    CATCH("wrmsr",
          :
          : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
          : "memory");
}

/* ---- control registers ---- */

static void refused(uint64_t cr, void (*set)(uint64_t), uint64_t value, const char *text)
{
    if (lax)
        return;
    set(value);
    expect_caught(13, 0, text);
    if (!guest_caught.count)
        set(cr);
}

static void control_registers(void)
{
    const uint64_t cr0 = cr0_get(), cr3 = cr3_get(), cr4 = cr4_get();

    refused(cr0, cr0_set, cr0 | CR0_NW, "CR0.NW without CD");
    refused(cr0, cr0_set, cr0 & ~1ull, "CR0.PG without PE");
    refused(cr0, cr0_set, cr0 & ~CR0_PG, "no paging in 64-bit mode");
    refused(cr0, cr0_set, cr0 | 1ull << 32, "a high bit of CR0");
    refused(cr4, cr4_set, cr4 & ~CR4_PAE, "long mode without PAE");
    if (!(cpuid(1).ecx >> 5 & 1))
        refused(cr4, cr4_set, cr4 | CR4_VMXE, "CR4.VMXE without VMX");
    refused(0, cr8_set, 16, "CR8 has four bits");
    expect_equal(cr8_get(), 0, "CR8 is TPR");
    cr0_set(cr0 & ~CR0_ET);
    expect_equal(cr0_get(), cr0, "CR0.ET stays");
    cr2_set(0x8000000000000000ull);
    expect_no_fault("CR2 takes anything");
    expect_equal(cr2_get(), 0x8000000000000000ull, "and gives it back");
    CATCH(".byte 0x0f, 0x20, 0xc8", : : : "rax", "memory");
    expect_caught(6, 0, "CR1 is #UD");
    CATCH(".byte 0x0f, 0x22, 0xe8", : : : "memory");
    expect_caught(6, 0, "CR5 is #UD");
    if (!lax) {
        msr_set(EFER, rdmsr(EFER) & ~EFER_LME);
        expect_caught(13, 0, "EFER.LME stays while paging is on");
    }
    if (!(cpuid(1).ecx >> 17 & 1))
        return;
    cr3_set(cr3 | 0x18);
    refused(cr4, cr4_set, cr4 | CR4_PCIDE, "CR4.PCIDE wants PCID 0 in CR3");
    cr3_set(cr3);
    cr4_set(cr4 | CR4_PCIDE);
    expect_no_fault("CR4.PCIDE");
    cr3_set(cr3 | 5 | 1ull << 63);
    expect_no_fault("CR3 with a PCID that keeps its translations");
    expect_equal(cr3_get(), cr3 | 5, "the top bit is not kept");
    cr3_set(cr3);
    cr4_set(cr4);
}

/* QEMU's processor does not say that the entry is present. */
static void is_reserved(const char *text)
{
    if (!lax)
        expect_caught(14, guest_cpu_is_qemus() ? 8 : 9, text);
}

/* What a change of CR0 and EFER means for translations that are there already. */
static void paging(void)
{
    const uint64_t cr0 = cr0_get(), address = (uint64_t)(uintptr_t)page | PTE_PRESENT;

    guest_map(HOLE, address);
    CATCH("movb $1, (%0)", : : "r"(HOLE) : "memory");
    expect_caught(14, 3, "a read-only page");
    cr0_set(cr0 & ~CR0_WP);
    CATCH("movb $1, (%0)", : : "r"(HOLE) : "memory");
    expect_no_fault("without CR0.WP it can be written");
    cr0_set(cr0);
    CATCH("movb $1, (%0)", : : "r"(HOLE) : "memory");
    expect_caught(14, 3, "and no more");
    guest_map(HOLE, address | PTE_NX);
    CATCH("movb (%0), %%al", : : "r"(HOLE) : "rax", "memory");
    expect_no_fault("NX is not for reads");
    wrmsr(EFER, rdmsr(EFER) & ~EFER_NXE);
    CATCH("movb (%0), %%al", : : "r"(HOLE) : "rax", "memory");
    is_reserved("without EFER.NXE that bit is reserved");
    wrmsr(EFER, rdmsr(EFER) | EFER_NXE);
    guest_map(HOLE, address | 1ull << 51);
    CATCH("movb (%0), %%al", : : "r"(HOLE) : "rax", "memory");
    if ((cpuid(0x80000008).eax & 0xff) < 52)
        is_reserved("an address that the processor does not have");
    guest_map(HOLE, 0);
    CATCH("invlpg (%0)", : : "r"(0x8000000000000000ull) : "memory");
    expect_no_fault("INVLPG of what is no address");
}

static void numbers(void)
{
    const uint64_t cr0 = cr0_get();

    cr0_set((cr0 & ~CR0_EM) | CR0_TS | CR0_MP);
    CATCH("fld1", : : : "memory");
    expect_caught(7, 0, "x87 with TS");
    CATCH("movaps %%xmm0, %%xmm1", : : : "memory");
    expect_caught(7, 0, "SSE with TS");
    CATCH("fwait", : : : "memory");
    expect_caught(7, 0, "FWAIT with TS and MP");
    CATCH("clts; fwait; movaps %%xmm0, %%xmm1", : : : "memory");
    expect_no_fault("CLTS");
    expect_equal(cr0_get() & CR0_TS, 0, "clears TS");
    cr0_set((cr0 & ~CR0_MP) | CR0_TS);
    CATCH("fwait", : : : "memory");
    expect_no_fault("FWAIT with TS alone");
    cr0_set((cr0 & ~CR0_TS) | CR0_EM);
    CATCH("fld1", : : : "memory");
    expect_caught(7, 0, "x87 with EM");
    CATCH("movaps %%xmm0, %%xmm1", : : : "memory");
    expect_caught(6, 0, "SSE with EM");
    cr0_set(cr0);
}

#define XSETBV(index, low)                                                                     \
    CATCH("xsetbv", : : "c"(index), "a"((uint32_t)(low)), "d"(0) : "memory")

static void xcr0(void)
{
    const uint64_t cr4 = cr4_get();

    if (!(cpuid(1).ecx >> 26 & 1)) {
        guest_printf("note: no XSAVE here\n");
        return;
    }
    cr4_set(cr4 & ~CR4_OSXSAVE);
    expect_equal(cpuid(1).ecx >> 27 & 1, 0, "CPUID has no OSXSAVE");
    XSETBV(0, 1);
    expect_caught(6, 0, "XSETBV without CR4.OSXSAVE");
    cr4_set(cr4 | CR4_OSXSAVE);
    expect_equal(cpuid(1).ecx >> 27 & 1, 1, "CPUID follows CR4.OSXSAVE");
    XSETBV(1, 1);
    expect_caught(13, 0, "a register that is not XCR0");
    XSETBV(0, 2);
    expect_caught(13, 0, "XCR0 without x87");
    XSETBV(0, 5);
    expect_caught(13, 0, "AVX without SSE");
    XSETBV(0, 3);
    expect_no_fault("x87 and SSE");
    expect_equal(cpuid_sub(0xd, 0).ebx, 576, "CPUID has the size of these two");
    cr4_set(cr4);
}

/* ---- what there is not ---- */

#define UNDEFINED(text, bytes)                                                                 \
    do {                                                                                       \
        CATCH(".byte " bytes, : : "a"(0), "c"(0), "d"(page) : "memory");                       \
        expect_caught(6, 0, text);                                                             \
        expect_equal(guest_caught.rip, guest_insn, text);                                      \
    } while (0)

static void undefined(void)
{
    UNDEFINED("VMXON", "0xf3, 0x0f, 0xc7, 0x32");
    UNDEFINED("VMPTRLD", "0x0f, 0xc7, 0x32");
    UNDEFINED("VMCLEAR", "0x66, 0x0f, 0xc7, 0x32");
    UNDEFINED("VMLAUNCH", "0x0f, 0x01, 0xc2");
    UNDEFINED("VMXOFF", "0x0f, 0x01, 0xc4");
    UNDEFINED("VMREAD", "0x0f, 0x78, 0xc1");
    UNDEFINED("INVEPT", "0x66, 0x0f, 0x38, 0x80, 0x02");
    UNDEFINED("INVVPID", "0x66, 0x0f, 0x38, 0x81, 0x02");
    UNDEFINED("VMRUN", "0x0f, 0x01, 0xd8");
    UNDEFINED("VMLOAD", "0x0f, 0x01, 0xda");
    UNDEFINED("CLGI", "0x0f, 0x01, 0xdd");
    UNDEFINED("INVLPGA", "0x0f, 0x01, 0xdf");
    UNDEFINED("VMCALL", "0x0f, 0x01, 0xc1");
    UNDEFINED("VMMCALL", "0x0f, 0x01, 0xd9");
    UNDEFINED("GETSEC", "0x0f, 0x37");
    UNDEFINED("RSM", "0x0f, 0xaa");
    if (!(cpuid(1).ecx >> 3 & 1)) {
        UNDEFINED("MONITOR", "0x0f, 0x01, 0xc8");
        UNDEFINED("MWAIT", "0x0f, 0x01, 0xc9");
    }
    CATCH("rdpmc", : : "c"(0x1234) : "rax", "rdx", "memory");
    if (!lax)
        expect_caught(13, 0, "RDPMC of a counter that is not there");
}

/* ---- system calls ---- */

volatile uint64_t call_rcx, call_r11, call_flags, call_rsp;
volatile uint16_t call_cs, call_ss;
uint64_t after_call;
void call_entry(void);
void sysenter_entry(void);

__asm__("call_entry:\n"
        "  movq %rcx, call_rcx; movq %r11, call_r11; movq %rsp, call_rsp\n"
        "  pushfq; popq call_flags\n"
        "  movw %cs, call_cs; movw %ss, call_ss\n"
        "  sysretq\n"
        "sysenter_entry:\n"
        "  movq %rsp, call_rsp\n"
        "  pushfq; popq call_flags\n"
        "  movw %cs, call_cs; movw %ss, call_ss\n"
        "  sysexitq\n");

static volatile uint64_t user_rsp, user_cf;
static volatile uint16_t user_cs, user_ss;

static void refused_call(void)
{
    CATCH("syscall", : : : "rcx", "r11", "memory");
    expect_caught(6, 0, "SYSCALL without EFER.SCE");
}

static void call(void)
{
    uint64_t rsp, carry;

    __asm__ volatile("movq %%rsp, %0; stc; syscall\n1:\tsetc %b1; movzbl %b1, %k1\n\t"
                     "movq $1b, after_call"
                     : "=&r"(rsp), "=&r"(carry)
                     :
                     : "rcx", "r11", "memory", "cc");
    __asm__ volatile("movw %%cs, %0; movw %%ss, %1" : "=r"(user_cs), "=r"(user_ss));
    user_rsp = rsp;
    user_cf = carry;
}

/* SYSEXIT leaves selectors that no IRET takes, so nothing may trap behind it. */
static void enter(void)
{
    uint64_t rsp;

    __asm__ volatile("movq %%rsp, %%rcx; movq $1f, %%rdx; movq %%rsp, %0; stc; sysenter\n1:"
                     : "=&r"(rsp)
                     :
                     : "rcx", "rdx", "memory", "cc");
    user_rsp = rsp;
    __asm__ volatile("movw %%cs, %0; movw %%ss, %1" : "=r"(user_cs), "=r"(user_ss));
}

static void refused_enter(void)
{
    CATCH("sysenter", : : : "rcx", "rdx", "memory");
    expect_caught(13, 0, "SYSENTER without a code segment");
}

static void system_calls(void)
{
    static char stack[64] __attribute__((aligned(16)));
    const uint64_t efer = rdmsr(EFER);

    guest_user_run(refused_call);
    wrmsr(EFER, efer | EFER_SCE);
    wrmsr(STAR, 0x0028000800000000ull);
    wrmsr(LSTAR, (uint64_t)(uintptr_t)call_entry);
    wrmsr(SFMASK, 1);
    guest_user_run(call);
    expect_equal(call_rcx, after_call, "SYSCALL: RCX is where it goes on");
    expect_equal(call_r11 & 1, 1, "R11 has the flags");
    expect_equal(call_flags & 1, 0, "SFMASK clears some");
    expect_equal(call_cs, 8, "CS from STAR");
    expect_equal(call_ss, 16, "SS from STAR");
    expect_equal(call_rsp, user_rsp, "RSP stays");
    expect_equal(user_cf, 1, "SYSRET brings the flags back");
    expect_equal(user_cs, 7 * 8 | 3, "and CS");
    expect_equal(user_ss, 6 * 8 | 3, "and SS");
    wrmsr(EFER, efer);
    if (cpuid(0).ecx == 0x444d4163)
        return;  // AMD: no SYSENTER in long mode
    wrmsr(SYSENTER_CS, 0);
    guest_user_run(refused_enter);
    wrmsr(SYSENTER_CS, 8);
    wrmsr(SYSENTER_ESP, (uint64_t)(uintptr_t)(stack + sizeof(stack)));
    wrmsr(SYSENTER_EIP, (uint64_t)(uintptr_t)sysenter_entry);
    guest_user_run(enter);
    expect_equal(call_rsp, (uint64_t)(uintptr_t)(stack + sizeof(stack)), "SYSENTER: its RSP");
    expect_equal(call_cs, 8, "its CS");
    expect_equal(call_ss, 16, "its SS");
    expect_equal(user_cs, 5 * 8 | 3, "SYSEXIT: CS");
    expect_equal(user_ss, 6 * 8 | 3, "and SS");
    wrmsr(SYSENTER_CS, 0);
}

static void swapgs(void)
{
    const uint64_t gs = rdmsr(GS_BASE);

    wrmsr(GS_BASE, 0x1111000);
    wrmsr(SWAPPED_GS, 0x2222000);
    __asm__ volatile("swapgs" : : : "memory");
    expect_equal(rdmsr(GS_BASE), 0x2222000, "SWAPGS: the base");
    expect_equal(rdmsr(SWAPPED_GS), 0x1111000, "and the other");
    __asm__ volatile("swapgs" : : : "memory");
    expect_equal(rdmsr(GS_BASE), 0x1111000, "and back");
    wrmsr(GS_BASE, gs);
}

/* ---- behind emulated instructions ---- */

static volatile unsigned count, bits, last_step;
static volatile uint64_t seen_rip, backwards;

static void on_step(struct guest_frame *frame)
{
    uint64_t dr6;

    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("movq %0, %%dr6" : : "r"(DR6_INIT));
    bits += dr6 >> 14 & 1;
    backwards += frame->rip < seen_rip;
    seen_rip = frame->rip;
    if (++count >= last_step)
        frame->rflags &= ~0x100ull;
}

#define STEP "pushfq; orq $0x100, (%%rsp); popfq\n\t"

static void stepped(unsigned steps, const char *text)
{
    expect_equal(count, steps, text);
    expect_equal(bits, steps, "DR6 says so each time");
    expect_equal(seen_rip, guest_insn, "the last is behind the last");
    expect_equal(backwards, 0, "each is behind the one before");
    count = bits = 0;
    seen_rip = 0;
}

static void steps(void)
{
    const char *rsi = page;
    uint64_t rcx = 2;

    // PAUSE is not among them: QEMU loses its step.
    guest_on(1, on_step);
    last_step = 19;
    __asm__ volatile(STEP "movl $0x1b, %%ecx; rdmsr; wrmsr; inb $0x80, %%al\n\t"
                          "movq %%cr0, %%rax; movq %%rax, %%cr0\n\t"
                          "movq %%cr3, %%rax; movq %%rax, %%cr3\n\t"
                          "movq %%cr4, %%rax; movq %%rax, %%cr4\n\t"
                          "movq %%cr8, %%rax; movq %%rax, %%cr8\n\t"
                          "movq %%dr7, %%rax; movq %%rax, %%dr7\n\t"
                          "invlpg page; rdtsc; wbinvd; clts; nop\n"
                          "1:\tnop; movq $1b, guest_insn"
                     :
                     :
                     : "rax", "rcx", "rdx", "memory", "cc");
    stepped(19, "a step over each");
    last_step = 3;
    __asm__ volatile(STEP "rep outsb; nop\n1:\tnop; movq $1b, guest_insn"
                     : "+S"(rsi), "+c"(rcx)
                     : "d"(0x80)
                     : "memory", "cc");
    if (!lax)
        stepped(3, "a step over each OUTS of two, and NOP");
    guest_on(1, NULL);
}

static void on_interrupt(struct guest_frame *frame)
{
    count++;
    seen_rip = frame->rip;
    apic_eoi();
}

/* The instruction in the shadow of STI ends it, whoever executed it. */
static void shadows(void)
{
    guest_on(VECTOR, on_interrupt);
    count = 0;
    apic_send(0, ICR_SELF | VECTOR);
    __asm__ volatile("sti; cpuid\n1:\tnop; cli; movq $1b, guest_insn"
                     :
                     : "a"(0)
                     : "rbx", "rcx", "rdx", "memory");
    expect_equal(count, 1, "an interrupt behind STI and CPUID");
    expect_equal(seen_rip, guest_insn, "comes right behind CPUID");
    count = 0;
    apic_send(0, ICR_SELF | VECTOR);
    __asm__ volatile("sti; outb %%al, $0x80\n1:\tnop; cli; movq $1b, guest_insn"
                     :
                     : "a"(0)
                     : "memory");
    expect_equal(count, 1, "an interrupt behind STI and OUT");
    expect_equal(seen_rip, guest_insn, "comes right behind OUT");
    count = 0;
    apic_send(0, ICR_SELF | VECTOR);
    __asm__ volatile("sti; hlt\n1:\tcli; movq $1b, guest_insn" : : : "memory");
    expect_equal(count, 1, "an interrupt that waits ends HLT at once");
    expect_equal(seen_rip, guest_insn, "and comes behind it");
    count = 0;
    apic_send(0, ICR_SELF | VECTOR);
    __asm__ volatile("sti; cli; nop" : : : "memory");
    expect_equal(count, 0, "STI and CLI let none through");
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
    expect_equal(count, 1, "it comes later");
    guest_on(VECTOR, NULL);
}

void guest_main(void)
{
    lax = guest_on_plain_tcg();
    apic_enable();
    control_registers();
    paging();
    numbers();
    xcr0();
    undefined();
    swapgs();
    steps();
    shadows();
    system_calls();
}
