// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/pae.c -- 32-bit protected mode with PAE paging: its four page-directory pointers, and their faults.
 *
 * The processor keeps these pointers in registers of its own, and loads them with CR3 and with
 * some changes of CR0 and CR4; a hypervisor has to do the same where it does those for the
 * guest. What the 32-bit world finds goes into `r`, and is judged back in long mode.
 */
#include "guest.h"

const char guest_name[] = "pae";

#define CODE    0x08
#define DATA    0x10
#define GB      0x40000000u
#define LARGE   0x80u
#define PRESENT 1u
#define WRITE   2u

/* Where each finding stands in `r`; the assembly has the numbers. */
enum {
    R_FIRST,
    R_OTHER_CR3,
    R_CR4_CHANGED,
    R_CR0_CHANGED,
    R_ABSENT_ERROR,
    R_ABSENT_CR2,
    R_NX_ERROR,
    R_NX_EIP,
    R_RESERVED_ERROR,
    R_AFTER,
    R_COUNT
};
volatile uint32_t r[R_COUNT];
volatile uint32_t pae_error, pae_cr2, pae_eip, pae_recover;
volatile uint32_t pae_marker = 0xaaaa;

uint64_t pae_pdpt_a[4] __attribute__((aligned(32)));
uint64_t pae_pdpt_b[4] __attribute__((aligned(32)));
uint64_t pae_pdpt_bad[4] __attribute__((aligned(32)));
static uint64_t pd_low[512] __attribute__((aligned(4096)));
static uint64_t pd_a[512] __attribute__((aligned(4096)));
static uint64_t pd_b[512] __attribute__((aligned(4096)));
static uint64_t pd_nx[512] __attribute__((aligned(4096)));
uint64_t pae_gdt[3], pae_idt[32];
struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
} pae_gdt_pointer, pae_idt_pointer, pae_old_gdt, pae_old_idt;
uint64_t pae_rsp, pae_cr3;
uint32_t pae_cr4;
uint8_t pae_stack[1024] __attribute__((aligned(16)));

extern char pae_on_fault[], pae_there[];
void pae_world(void);

__asm__(".globl pae_world\n"
        "pae_world:\n"
        "  pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
        "  movq %rsp, pae_rsp\n"
        "  movq %cr3, %rax; movq %rax, pae_cr3\n"
        "  movq %cr4, %rax; movl %eax, pae_cr4\n"
        "  sgdt pae_old_gdt; sidt pae_old_idt\n"
        "  lgdt pae_gdt_pointer\n"
        "  pushq $0x08; pushq $pae_compat; lretq\n"
        ".code32\n"
        "pae_compat:\n"
        "  movl $0x10, %eax\n"
        "  movl %eax, %ds; movl %eax, %es; movl %eax, %ss; movl %eax, %fs; movl %eax, %gs\n"
        "  movl $pae_stack + 1024, %esp\n"
        "  movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
        "  movl $0xc0000080, %ecx; rdmsr; andl $~0x100, %eax; wrmsr\n"
        "  movl $pae_pdpt_a, %eax; movl %eax, %cr3\n"
        "  movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0\n"
        "  lidt pae_idt_pointer\n"
        "  movl pae_marker + 0x40000000, %eax; movl %eax, r + 4 * 0\n"
        /* another CR3, another 1 GB */
        "  movl $pae_pdpt_b, %eax; movl %eax, %cr3\n"
        "  movl pae_marker + 0x40000000, %eax; movl %eax, r + 4 * 1\n"
        /* the pointer in memory changes; a change of CR4.PGE loads it */
        "  movl pae_pdpt_a + 8, %eax; movl %eax, pae_pdpt_b + 8\n"
        "  movl %cr4, %eax; xorl $0x80, %eax; movl %eax, %cr4\n"
        "  movl pae_marker + 0x40000000, %eax; movl %eax, r + 4 * 2\n"
        /* and back; paging off and on loads it */
        "  movl pae_pdpt_b + 24, %eax; movl %eax, pae_pdpt_b + 8\n"
        "  movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
        "  orl $0x80000000, %eax; movl %eax, %cr0\n"
        "  movl pae_marker + 0x40000000, %eax; movl %eax, r + 4 * 3\n"
        /* the third pointer is absent */
        "  movl $1f, pae_recover\n"
        "  movl 0x80000123, %eax\n"
        "1: movl pae_error, %eax; movl %eax, r + 4 * 4\n"
        "  movl pae_cr2, %eax; movl %eax, r + 4 * 5\n"
        /* the fourth of the first table leads to pages that forbid execution */
        "  movl $pae_pdpt_a, %eax; movl %eax, %cr3\n"
        "  movl $1f, pae_recover\n"
        "  movl $pae_there + 0xc0000000, %eax\n"
        "  jmp *%eax\n"
        "pae_there:\n"
        "1: movl pae_error, %eax; movl %eax, r + 4 * 6\n"
        "  movl pae_eip, %eax; movl %eax, r + 4 * 7\n"
        /* a pointer with a reserved bit, which CR3 refuses */
        "  movl $-1, pae_error\n"
        "  movl $1f, pae_recover\n"
        "  movl $pae_pdpt_bad, %eax; movl %eax, %cr3\n"
        "1: movl pae_error, %eax; movl %eax, r + 4 * 8\n"
        "  movl $pae_pdpt_a, %eax; movl %eax, %cr3\n"
        "  movl pae_marker + 0x40000000, %eax; movl %eax, r + 4 * 9\n"
        /* back to long mode */
        "  movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
        "  movl pae_cr4, %eax; movl %eax, %cr4\n"
        "  movl pae_cr3, %eax; movl %eax, %cr3\n"
        "  movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr\n"
        "  movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0\n"
        "  lgdt pae_old_gdt\n"
        "  ljmp $8, $pae_again64\n"

        "pae_on_fault:\n"
        "  popl pae_error\n"
        "  movl %cr2, %eax; movl %eax, pae_cr2\n"
        "  movl (%esp), %eax; movl %eax, pae_eip\n"
        "  movl pae_recover, %eax; movl %eax, (%esp)\n"
        "  iret\n"

        ".code64\n"
        "pae_again64:\n"
        "  movl $16, %eax\n"
        "  movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "  xorl %eax, %eax; movl %eax, %fs; movl %eax, %gs\n"
        "  lidt pae_old_idt\n"
        "  movq pae_rsp, %rsp\n"
        "  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
        "  ret\n");

static uint32_t low(const volatile void *at)
{
    return (uint32_t)(uintptr_t)at;
}

/* Large pages from that address on. */
static void fill(uint64_t *pd, uint64_t from, uint64_t flags)
{
    for (unsigned i = 0; i < 512; i++)
        pd[i] = (from + ((uint64_t)i << 21)) | LARGE | WRITE | PRESENT | flags;
}

static void build(void)
{
    fill(pd_low, 0, 0);
    fill(pd_a, 0, 0);
    fill(pd_b, 4u << 20, 0);
    fill(pd_nx, 0, PTE_NX);
    pae_pdpt_a[0] = pae_pdpt_b[0] = pae_pdpt_bad[0] = low(pd_low) | PRESENT;
    pae_pdpt_a[1] = low(pd_a) | PRESENT;
    pae_pdpt_a[3] = low(pd_nx) | PRESENT;
    pae_pdpt_b[1] = pae_pdpt_b[3] = low(pd_b) | PRESENT;
    pae_pdpt_bad[1] = low(pd_a) | WRITE | PRESENT;
    *(volatile uint32_t *)(uintptr_t)(low(&pae_marker) + (4u << 20)) = 0xbbbb;
    pae_gdt[CODE / 8] = 0x00cf9b000000ffff;
    pae_gdt[DATA / 8] = 0x00cf93000000ffff;
    for (unsigned i = 0; i < 32; i++)
        pae_idt[i] = (low(pae_on_fault) & 0xffff) | (uint64_t)CODE << 16 | 0x8e00ull << 32 |
                     (uint64_t)(low(pae_on_fault) >> 16) << 48;
    pae_gdt_pointer.limit = sizeof(pae_gdt) - 1;
    pae_gdt_pointer.base = low(pae_gdt);
    pae_idt_pointer.limit = sizeof(pae_idt) - 1;
    pae_idt_pointer.base = low(pae_idt);
}

void guest_main(void)
{
    build();
    pae_world();
    expect_equal(r[R_FIRST], 0xaaaa, "the second pointer");
    expect_equal(r[R_OTHER_CR3], 0xbbbb, "another CR3 has another");
    expect_equal(r[R_CR4_CHANGED], 0xaaaa, "a change of CR4.PGE loads what changed in memory");
    expect_equal(r[R_CR0_CHANGED], 0xbbbb, "so does paging turned on");
    expect_equal(r[R_ABSENT_ERROR], 0, "a pointer that is absent is #PF");
    expect_equal(r[R_ABSENT_CR2], 2 * GB + 0x123, "its CR2");
    expect_equal(r[R_NX_ERROR], 0x11, "NX works with PAE");
    expect_equal(r[R_NX_EIP], low(pae_there) + 3 * GB, "at the place that forbids it");
    if (!guest_cpu_is_qemus())  // AMD-V's nested paging reads them as other tables
        expect_equal(r[R_RESERVED_ERROR], 0, "a reserved bit of a pointer is #GP at CR3");
    expect_equal(r[R_AFTER], 0xaaaa, "and CR3 works on");
}
