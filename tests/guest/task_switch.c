// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/task_switch.c -- 32-bit protected mode with paging, and tasks changed by hardware.
 *
 * Leaves long mode for a small 32-bit world with a GDT and an IDT of its own, in which each way
 * to another task is taken once: CALL and JMP to a TSS, a task gate in the GDT, IRET with NT,
 * an INT, a fault and a fault with an error code through task gates of the IDT, a 16-bit TSS;
 * then the ways that fault. What each task finds goes into `r`, and is judged back in long
 * mode.
 */
#include "guest.h"

const char guest_name[] = "task_switch";

enum {
    CODE = 0x08,
    DATA = 0x10,
    MAIN = 0x28,
    CALLED = 0x30,
    JUMPED = 0x38,
    FAULTS = 0x40,
    NARROW = 0x48,
    CODE16 = 0x50,
    ABSENT = 0x58,
    TSS_ABSENT = 0x60,
    TSS_BAD_DS = 0x68,
    GATE = 0x70,
    TSS_SHORT = 0x78,
};

/* Where each finding stands in `r`; the assembly has the numbers. */
enum {
    R_CALL_EAX,
    R_CALL_FLAGS,
    R_CALL_ESP,
    R_CALL_CR3,
    R_CALL_MEMORY,
    R_CALL_TR,
    R_CALL_FS,
    R_CALL_CR0,
    R_BACK_ESP,
    R_BACK_FLAGS,
    R_BACK_EBX,
    R_JUMP_ECX,
    R_JUMP_FLAGS,
    R_NARROW_AX,
    R_NARROW_TR,
    R_CALL_COUNT,
    R_FAULT_COUNT,
    R_FAULT_EIP,    // of the main task, by the first fault
    R_FAULT_ERROR,  // 18..21: of each fault task's run, or ~0
    R_GP_ERROR = 22,
    R_TS_ERROR,  // 23, 24
    R_TS_EIP = 25,
    R_BACK_CR3,
    R_COUNT
};
volatile uint32_t r[R_COUNT];

struct tss {
    uint32_t link, stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, map;
};
struct tss tss_main, tss_called, tss_jumped, tss_faults, tss_bad_ds;
uint16_t tss_narrow[22];
uint64_t gdt32[16], idt32[64];
struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
} gdt32_pointer, idt32_pointer, old_gdt, old_idt;
uint32_t directory_a[1024] __attribute__((aligned(4096)));
uint32_t directory_b[1024] __attribute__((aligned(4096)));
uint8_t stacks32[5][1024] __attribute__((aligned(16)));
volatile uint32_t marker = 0xaaaa;
uint64_t saved_rsp, saved_cr3;
uint32_t saved_cr4, fault_skip;

extern char call_task[], jump_task[], fault_task[], narrow_task[], bad_ds_task[], ud_here[];
extern char on_gp32[], on_ts32[];
void world32(void);

__asm__(".globl world32\n"
        "world32:\n"
        "  pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
        "  movq %rsp, saved_rsp\n"
        "  movq %cr3, %rax; movq %rax, saved_cr3\n"
        "  movq %cr4, %rax; movl %eax, saved_cr4\n"
        "  sgdt old_gdt; sidt old_idt\n"
        "  lgdt gdt32_pointer\n"
        "  pushq $0x08; pushq $compat; lretq\n"
        ".code32\n"
        "compat:\n"
        "  movl $0x10, %eax\n"
        "  movl %eax, %ds; movl %eax, %es; movl %eax, %ss; movl %eax, %fs; movl %eax, %gs\n"
        "  movl $stacks32 + 1024, %esp\n"
        "  movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
        "  movl $0xc0000080, %ecx; rdmsr; andl $~0x100, %eax; wrmsr\n"
        "  movl %cr4, %eax; andl $~0x20, %eax; orl $0x10, %eax; movl %eax, %cr4\n"
        "  movl $directory_a, %eax; movl %eax, %cr3\n"
        "  movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0\n"
        "  lidt idt32_pointer\n"
        "  movl $0x28, %eax; ltr %ax\n"
        /* CALL to a TSS and back by IRET */
        "  movl $0x12345678, %ebx\n"
        "  lcall $0x30, $0\n"
        "  movl %esp, r + 4 * 8\n"
        "  pushfl; popl r + 4 * 9\n"
        "  movl %ebx, r + 4 * 10\n"
        "  movl %cr3, %eax; movl %eax, r + 4 * 26\n"
        /* through a task gate */
        "  lcall $0x70, $0\n"
        /* JMP to a TSS, which jumps back */
        "  ljmp $0x38, $0\n"
        /* a 16-bit TSS */
        "  lcall $0x48, $0\n"
        /* events through task gates: #UD, #NP with an error code, INT, #NP of a TSS */
        "  movl $2, fault_skip\n"
        "ud_here:\n"
        "  ud2\n"
        "  movl $0x58, %eax\n"
        "  movl %eax, %es\n"  // 8e c0
        "  movl $0, fault_skip\n"
        "  int $0x30\n"
        "  movl $7, fault_skip\n"
        "  ljmp $0x60, $0\n"
        /* faults of the old task: busy, and too short */
        "  ljmp $0x28, $0\n"
        "  ljmp $0x78, $0\n"
        /* a fault of the new task */
        "  ljmp $0x68, $0\n"
        /* back to long mode */
        "  cli; clts\n"
        "  movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
        "  movl saved_cr4, %eax; movl %eax, %cr4\n"
        "  movl saved_cr3, %eax; movl %eax, %cr3\n"
        "  movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr\n"
        "  movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0\n"
        "  lgdt old_gdt\n"
        "  ljmp $8, $again64\n"

        "call_task:\n"
        "  movl %eax, r + 4 * 0\n"
        "  pushfl; popl r + 4 * 1\n"
        "  movl %esp, r + 4 * 2\n"
        "  movl %cr3, %eax; movl %eax, r + 4 * 3\n"
        "  movl marker + 0x40000000, %eax; movl %eax, r + 4 * 4\n"
        "  xorl %eax, %eax; str %ax; movl %eax, r + 4 * 5\n"
        "  xorl %eax, %eax; movw %fs, %ax; movl %eax, r + 4 * 6\n"
        "  movl %cr0, %eax; movl %eax, r + 4 * 7\n"
        "  incl r + 4 * 15\n"
        "  movl $0x11111111, %eax\n"
        "  iret\n"
        "  jmp call_task\n"

        "jump_task:\n"
        "  movl %ecx, r + 4 * 11\n"
        "  pushfl; popl r + 4 * 12\n"
        "  ljmp $0x28, $0\n"
        "  jmp jump_task\n"

        "fault_task:\n"
        "  movl r + 4 * 16, %ecx\n"
        "  movl $-1, %eax\n"
        "  cmpl $stacks32 + 4 * 1024, %esp\n"
        "  je 1f\n"
        "  popl %eax\n"
        "1: movl %eax, r + 4 * 18(, %ecx, 4)\n"
        "  movl tss_main + 32, %eax\n"
        "  testl %ecx, %ecx\n"
        "  jnz 2f\n"
        "  movl %eax, r + 4 * 17\n"
        "2: addl fault_skip, %eax\n"
        "  movl %eax, tss_main + 32\n"
        "  incl r + 4 * 16\n"
        "  iret\n"
        "  jmp fault_task\n"

        "on_gp32:\n"
        "  popl r + 4 * 22\n"
        "  addl $7, (%esp)\n"
        "  iret\n"

        /* DS may be what failed */
        "on_ts32:\n"
        "  str %cx\n"
        "  cmpw $0x68, %cx\n"
        "  je 1f\n"
        "  popl %ss:r + 4 * 23\n"
        "  addl $7, (%esp)\n"
        "  iret\n"
        "1: popl %ss:r + 4 * 24\n"
        "  popl %ss:r + 4 * 25\n"
        "  ljmp $0x28, $0\n"
        "bad_ds_task:\n"
        "  ud2\n"

        ".code16\n"
        "narrow_task:\n"
        "  movl $r, %ebx\n"
        "  movzwl %ax, %eax\n"
        "  movl %eax, 4 * 13(%ebx)\n"
        "  xorl %eax, %eax; str %ax; movl %eax, 4 * 14(%ebx)\n"
        "  iret\n"
        "  jmp narrow_task\n"

        ".code64\n"
        "again64:\n"
        "  movl $16, %eax\n"
        "  movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "  xorl %eax, %eax; movl %eax, %fs; movl %eax, %gs\n"
        "  lidt old_idt\n"
        "  movq saved_rsp, %rsp\n"
        "  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
        "  ret\n");

static uint32_t low(const volatile void *at)
{
    return (uint32_t)(uintptr_t)at;
}

/* `rights` as in bits 55:40 of a descriptor: G, D, L, AVL, 4 of the limit, P, DPL, S, type. */
static void segment(unsigned selector, uint32_t base, uint32_t limit, uint32_t rights)
{
    gdt32[selector / 8] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
                          (uint64_t)(rights & 0xf0ff) << 40 |
                          (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(base >> 24) << 56;
}

static uint64_t gate(unsigned selector, uint32_t offset, unsigned type)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)(0x80 | type) << 40 |
           (uint64_t)(offset >> 16) << 48;
}

static void task(unsigned selector, struct tss *tss, const char *entry, unsigned stack)
{
    *tss = (struct tss){.cr3 = low(directory_b),
                        .eip = low(entry),
                        .eflags = 2,
                        .eax = 0x11111111,
                        .ecx = 0x33333333,
                        .esp = low(stacks32[stack]) + 1024,
                        .es = DATA,
                        .cs = CODE,
                        .ss = DATA,
                        .ds = DATA,
                        .map = 104};
    segment(selector, low(tss), 103, 0x89);
}

static void build(void)
{
    segment(CODE, 0, 0xfffff, 0xc09b);
    segment(DATA, 0, 0xfffff, 0xc093);
    segment(CODE16, low(narrow_task), 0xffff, 0x9b);
    segment(ABSENT, 0, 0xfffff, 0xc013);
    task(CALLED, &tss_called, call_task, 1);
    tss_called.fs = DATA;
    task(JUMPED, &tss_jumped, jump_task, 2);
    task(FAULTS, &tss_faults, fault_task, 3);
    task(TSS_BAD_DS, &tss_bad_ds, bad_ds_task, 4);
    tss_bad_ds.ds = MAIN;
    segment(MAIN, low(&tss_main), 103, 0x89);
    tss_main.cr3 = low(directory_a);
    segment(TSS_ABSENT, low(&tss_called), 103, 0x09);
    segment(TSS_SHORT, low(&tss_called), 102, 0x89);
    gdt32[GATE / 8] = gate(CALLED, 0, 5);
    tss_narrow[7] = 0;  // IP
    tss_narrow[8] = 2;
    tss_narrow[9] = 0x2222;  // AX
    tss_narrow[17] = DATA;
    tss_narrow[18] = CODE16;
    tss_narrow[19] = DATA;
    tss_narrow[20] = DATA;
    segment(NARROW, low(tss_narrow), 43, 0x81);
    idt32[6] = gate(FAULTS, 0, 5);
    idt32[11] = gate(FAULTS, 0, 5);
    idt32[0x30] = gate(FAULTS, 0, 5);
    idt32[10] = gate(CODE, low(on_ts32), 14);
    idt32[13] = gate(CODE, low(on_gp32), 14);
    for (uint32_t i = 0; i < 1024; i++)
        directory_a[i] = directory_b[i] = i << 22 | 0x83;
    directory_a[0x100] = 0x83;             // 1 GB is 0 for the one
    directory_b[0x100] = 1u << 22 | 0x83;  // and 4 MB for the others
    *(volatile uint32_t *)(uintptr_t)(low(&marker) + (1u << 22)) = 0xbbbb;
    gdt32_pointer.limit = sizeof(gdt32) - 1;
    gdt32_pointer.base = low(gdt32);
    idt32_pointer.limit = sizeof(idt32) - 1;
    idt32_pointer.base = low(idt32);
}

static unsigned type_of(unsigned selector)
{
    return gdt32[selector / 8] >> 40 & 15;
}

void guest_main(void)
{
    build();
    world32();
    expect_equal(r[R_CALL_COUNT], 2, "the called task ran twice");
    expect_equal(r[R_CALL_EAX], 0x11111111, "EAX comes from the TSS");
    expect_equal(r[R_CALL_FLAGS], 0x4002, "a called task has NT");
    expect_equal(r[R_CALL_ESP], low(stacks32[1]) + 1024, "a stack of its own");
    expect_equal(r[R_CALL_CR3], low(directory_b), "CR3 comes from the TSS");
    expect_equal(r[R_CALL_MEMORY], 0xbbbb, "and its translations hold");
    expect_equal(r[R_CALL_TR], CALLED, "TR names the task");
    expect_equal(r[R_CALL_FS], DATA, "FS comes from the TSS");
    expect_equal(r[R_CALL_CR0] >> 3 & 1, 1, "CR0.TS is set");
    expect_equal(tss_called.link & 0xffff, MAIN, "the link names the caller");
    expect_equal(r[R_BACK_ESP], low(stacks32[0]) + 1024, "the caller's stack is as it was");
    expect_equal(r[R_BACK_FLAGS] & 0x4000, 0, "the caller has no NT");
    expect_equal(r[R_BACK_EBX], 0x12345678, "the caller's registers come back");
    expect_equal(r[R_BACK_CR3], low(directory_a), "the caller's CR3 comes back");
    expect_equal(r[R_JUMP_ECX], 0x33333333, "JMP to a TSS loads registers");
    expect_equal(r[R_JUMP_FLAGS] & 0x4000, 0, "a task jumped to has no NT");
    expect_equal(tss_jumped.link, 0, "JMP leaves the link");
    expect_equal(r[R_NARROW_AX], 0x2222, "a 16-bit TSS loads AX");
    expect_equal(r[R_NARROW_TR], NARROW, "TR names the 16-bit task");
    expect_equal(tss_narrow[0], MAIN, "the 16-bit link names the caller");
    expect_equal(r[R_FAULT_COUNT], 4, "four events came through task gates");
    expect_equal(r[R_FAULT_EIP], low(ud_here), "#UD: the saved EIP is the instruction's");
    expect_equal(r[R_FAULT_ERROR], ~0u, "#UD has no error code");
    expect_equal(r[R_FAULT_ERROR + 1], ABSENT, "#NP has one, on the new stack");
    expect_equal(r[R_FAULT_ERROR + 2], ~0u, "INT has none");
    expect_equal(r[R_FAULT_ERROR + 3], TSS_ABSENT, "a TSS that is not present is #NP");
    expect_equal(r[R_GP_ERROR], MAIN, "a busy TSS is #GP");
    expect_equal(r[R_TS_ERROR], TSS_SHORT, "a short TSS is #TS");
    expect_equal(r[R_TS_ERROR + 1], MAIN, "a bad DS is #TS of the new task");
    // QEMU (7.2), which shows as an AMD processor, pushes the EIP of the old task.
    if (cpuid(0).ecx != 0x444d4163)
        expect_equal(r[R_TS_EIP], low(bad_ds_task), "at its first instruction");
    expect_equal(type_of(MAIN), 11, "the main task is busy");
    expect_equal(type_of(CALLED), 9, "the called task is not");
    expect_equal(type_of(JUMPED), 9, "the task jumped to is not");
    expect_equal(type_of(FAULTS), 9, "the task of the gates is not");
    expect_equal(type_of(NARROW), 1, "the 16-bit task is not");
}
