// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_engine_guest.c -- a vCPU on the engine: modes, delivery of events, exits.
 *
 * A machine of 2 MB, its tables written by hand, and programs of a few instructions. What the
 * same back end does with whole machines is in tests/guest (make check-sim).
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <string.h>

#include "mem/page.h"
#include "plat/plat_user.h"
#include "sim/engine/guest.h"
#include "tests/unit/kernel_test.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

#define PROGRAM(name, mode, text)                                                              \
    extern const unsigned char name[], name##_end[];                                           \
    __asm__(".pushsection .rodata\n" #name ":\n.code" #mode "\n" text "\n.code64\n" #name      \
            "_end:\n.popsection\n")

#define PAGES      512u
#define CODE       0x8000u
#define HANDLER    0x9000u  // one handler of 16 bytes per vector
#define IDT        0x1000u
#define GDT        0x2000u
#define TSS        0x3000u
#define TABLES     0x10000u
#define STACK      0x7000u  // ring 0
#define STACK1     0x6000u  // by IST, and ring 3's
#define ABSENT     (PAGES * 4096ull)

#define SEL_CODE64 0x08u
#define SEL_DATA   0x10u
#define SEL_CODE32 0x18u
#define SEL_USER32 0x23u
#define SEL_USER   0x2bu
#define SEL_USER64 0x33u
#define SEL_TSS    0x38u

static struct vm vm;
static struct vcpu vcpu;
static struct vm_exit out;
static unsigned char *pages[PAGES];

static void *at_gpa(uint64_t gpa)
{
    return pages[gpa >> 12] + (gpa & 0xfff);
}

static void page_give(unsigned page)
{
    mpn_t mpn;

    ck_assert(page_alloc_zeroed(0, MEM_OWNER_GUEST, &mpn) == VMK_OK);
    ck_assert(nested_map(&vm.nested, gpa_make((uint64_t)page << 12), mpn, true, false) ==
              VMK_OK);
    pages[page] = mpn_map(mpn);
}

static void machine_make(void)
{
    sim_test_begin();
    this_host()->vmm->backend = &vt_backend_unicorn;
    ck_assert(vt_init_cpu() == VMK_OK);
    ck_assert(nested_init(&vm.nested, vt_backend_unicorn.nested_format) == VMK_OK);
    for (unsigned i = 0; i < PAGES; i++)
        page_give(i);
    vm.vcpus[0] = &vcpu;
    vm.vcpu_count = 1;
    vcpu.vm = &vm;
    ck_assert(vt_backend_unicorn.vcpu_create(&vcpu) == VMK_OK);
}

static void put(uint64_t gpa, const void *bytes, const void *end)
{
    memcpy(at_gpa(gpa), bytes, (size_t)((const char *)end - (const char *)bytes));
}
#define PUT(gpa, program) put(gpa, program, program##_end)

static void set(enum vt_reg reg, uint64_t value)
{
    vt()->set(&vcpu, reg, value);
}

static uint64_t get(enum vt_reg reg)
{
    return vt()->get(&vcpu, reg);
}

static void segment_set(enum vt_seg seg, uint16_t selector, uint32_t rights, uint64_t base,
                        uint32_t limit)
{
    const struct vt_segment s = {selector, limit, rights, base};

    vt()->set_segment(&vcpu, seg, &s);
}

static void run(void)
{
    bool irqs = plat_irq_save();

    vt()->run(&vcpu, &out);
    plat_irq_restore(irqs);
}

/* Every vector ends in HLT with its number in R15 (or AX in 16 bits), unless overwritten. */
static void real_mode(void)
{
    static const unsigned char handler[] = {0xb8, 0, 0, 0xf4, 0xcf};  // mov ax, n; hlt; iret
    uint16_t *ivt;

    machine_make();
    ivt = at_gpa(0);
    for (unsigned i = 0; i < 64; i++) {
        unsigned char *h = at_gpa(HANDLER + 16 * i);

        memcpy(h, handler, sizeof(handler));
        h[1] = (unsigned char)i;
        ivt[2 * i] = (uint16_t)(HANDLER - 0x100 + 16 * i);
        ivt[2 * i + 1] = 0x10;
    }
    segment_set(VT_CS, 0, 0x9b, 0, 0xffff);
    set(VT_RIP, CODE);
    set(VT_RSP, STACK);
}

static void gate_set(unsigned vector, unsigned type, unsigned ist)
{
    uint64_t handler = HANDLER + 16 * vector;
    uint64_t *gate = at_gpa(IDT + 16 * vector);

    gate[0] =
        (handler & 0xffff) | SEL_CODE64 << 16 | (uint64_t)ist << 32 | (uint64_t)type << 40;
    gate[1] = 0;
}

/* Long mode, the first 2 MB mapped for everybody, all gates there. */
static void long_mode(void)
{
    static const uint64_t gdt[] = {0,
                                   0x00af9b000000ffff,
                                   0x00cf93000000ffff,
                                   0x00cf9b000000ffff,
                                   0x00cffb000000ffff,
                                   0x00cff3000000ffff,
                                   0x00affb000000ffff,
                                   0x00008b0000000067 | (uint64_t)TSS << 16,
                                   0};
    static const unsigned char handler[] = {0x41, 0xbf, 0, 0, 0, 0, 0xf4, 0x48, 0xcf};
    const uint64_t stacks[] = {STACK, STACK1};
    uint64_t *tables;

    machine_make();
    tables = at_gpa(TABLES);
    memcpy(at_gpa(GDT), gdt, sizeof(gdt));
    for (unsigned i = 0; i < 256; i++) {
        unsigned char *h = at_gpa(HANDLER + 16 * i);

        memcpy(h, handler, sizeof(handler));  // mov r15d, n; hlt; iretq
        h[2] = (unsigned char)i;
        gate_set(i, 0x8e, 0);
    }
    tables[0] = (TABLES + 0x1000) | 7;
    *(uint64_t *)at_gpa(TABLES + 0x1000) = (TABLES + 0x2000) | 7;
    *(uint64_t *)at_gpa(TABLES + 0x2000) = (TABLES + 0x3000) | 7;
    for (uint64_t i = 0; i < 512; i++)
        ((uint64_t *)at_gpa(TABLES + 0x3000))[i] = i << 12 | 7;
    memcpy(at_gpa(TSS + 4), &stacks[0], 8);
    memcpy(at_gpa(TSS + 36), &stacks[1], 8);
    set(VT_CR3, TABLES);
    set(VT_CR4, 0x620);
    set(VT_EFER, 0x901);  // NXE LME SCE
    set(VT_CR0, 0x80010033);
    segment_set(VT_CS, SEL_CODE64, 0xa09b, 0, 0xffffffff);
    segment_set(VT_SS, SEL_DATA, 0xc093, 0, 0xffffffff);
    segment_set(VT_DS, SEL_DATA, 0xc093, 0, 0xffffffff);
    segment_set(VT_ES, SEL_DATA, 0xc093, 0, 0xffffffff);
    segment_set(VT_GDTR, 0, 0, GDT, 127);
    segment_set(VT_IDTR, 0, 0, IDT, 4095);
    segment_set(VT_TR, SEL_TSS, 0x8b, TSS, 0x67);
    set(VT_RIP, CODE);
    set(VT_RSP, STACK);
}

static void user_mode(void)
{
    segment_set(VT_CS, SEL_USER64, 0xa0fb, 0, 0xffffffff);
    segment_set(VT_SS, SEL_USER, 0xc0f3, 0, 0xffffffff);
    set(VT_RSP, STACK1);
    set(VT_RFLAGS, 0x202);
}

#define CHECK_EXIT(what, where)                                                                \
    do {                                                                                       \
        ck_assert_str_eq(vm_exit_name(out.kind), #what);                                       \
        ck_assert_uint_eq(out.rip, where);                                                     \
        ck_assert_uint_eq(get(VT_RIP), where);                                                 \
    } while (0)
#define CHECK_VECTOR(number)                                                                   \
    do {                                                                                       \
        CHECK_EXIT(HLT, HANDLER + 16 * (number) + 6);                                          \
        ck_assert_uint_eq(vcpu.regs.gpr[15], number);                                          \
    } while (0)

static uint64_t frame(unsigned word)
{
    return ((uint64_t *)at_gpa(get(VT_RSP)))[word];
}

/* ---- real mode ---- */

PROGRAM(real_int, 16, "sti; int $0x21; hlt");

START_TEST(test_guest__real_mode_interrupt__through_the_vector_table_and_back)
{
    const uint16_t *sp;

    real_mode();
    PUT(CODE, real_int);
    run();
    CHECK_EXIT(HLT, HANDLER - 0x100 + 16 * 0x21 + 3);
    ck_assert_uint_eq(vcpu.regs.gpr[GPR_RAX] & 0xffff, 0x21);
    ck_assert_uint_eq(get(VT_RSP), STACK - 6);
    ck_assert(!(get(VT_RFLAGS) & RFLAGS_IF));
    sp = at_gpa(STACK - 6);
    ck_assert(sp[0] == CODE + 3 && sp[1] == 0 && (sp[2] & RFLAGS_IF));
    ck_assert(!vt()->step(&vcpu, get(VT_RIP) + out.length));
    run();
    CHECK_EXIT(HLT, CODE + 3);
    ck_assert(get(VT_RFLAGS) & RFLAGS_IF);
    ck_assert_uint_eq(get(VT_RSP), STACK);
}
END_TEST

/* ---- exits ---- */

PROGRAM(exits, 64,
        "cpuid; mov $0x80, %dx; inb %dx, %al; outw %ax, $0x42; mov $0x1b, %ecx; rdmsr; wrmsr\n"
        "vmcall; wbinvd; mov %cr0, %rbx; mov %rbx, %cr0; mov %cr8, %r9; mov %r9, %dr6\n"
        "rep outsb; mov 0x200000, %al; rdpmc; syscall");

START_TEST(test_guest__intercepted_instructions__kind_length_and_operands)
{
    long_mode();
    PUT(CODE, exits);
#define STEP(kind_, length_)                                                                   \
    do {                                                                                       \
        run();                                                                                 \
        ck_assert_str_eq(vm_exit_name(out.kind), #kind_);                                      \
        ck_assert_uint_eq(out.length, length_);                                                \
        ck_assert(!vt()->step(&vcpu, out.rip + out.length));                                   \
    } while (0)
    STEP(CPUID, 2);
    STEP(IO, 1);
    ck_assert(out.io.in && out.io.port == 0x80 && out.io.size == 1 && !out.io.string);
    STEP(IO, 3);
    ck_assert(!out.io.in && out.io.port == 0x42 && out.io.size == 2);
    STEP(MSR_READ, 2);
    ck_assert_uint_eq(vcpu.regs.gpr[GPR_RCX], 0x1b);
    STEP(MSR_WRITE, 2);
    STEP(CALL, 3);
    STEP(INVD, 2);
    STEP(CR_ACCESS, 3);
    ck_assert(out.cr.write && out.cr.number == 0 && out.cr.gpr == 3);
    ck_assert_uint_eq(vcpu.regs.gpr[3], 0x80010033);
    STEP(CR_ACCESS, 4);
    ck_assert(!out.cr.write && out.cr.number == 8 && out.cr.gpr == 9);
    STEP(DR_ACCESS, 4);
    ck_assert(out.dr.write && out.dr.number == 6 && out.dr.gpr == 9);
    vcpu.regs.gpr[GPR_RCX] = 3;
    STEP(IO, 2);
    ck_assert(out.io.string && out.io.rep && !out.io.in);
    run();
    CHECK_VECTOR(14);  // 2 MB is not mapped
    ck_assert_uint_eq(get(VT_CR2), ABSENT);
    ck_assert_uint_eq(frame(0), 0);
}
END_TEST

PROGRAM(touch, 64, "movb $5, (%rbx); hlt");

START_TEST(test_guest__memory_the_host_has_not_given__nested_fault_then_the_store)
{
    long_mode();
    PUT(CODE, touch);
    ((uint64_t *)at_gpa(TABLES + 0x3000))[511] = ABSENT | 7;
    vcpu.regs.gpr[GPR_RBX] = 0x1ff008;
    run();
    CHECK_EXIT(NESTED_FAULT, CODE);
    ck_assert(out.nested.gpa.raw == ABSENT + 8 && out.nested.write && !out.nested.read);

    mpn_t mpn;

    ck_assert(page_alloc_zeroed(0, MEM_OWNER_GUEST, &mpn) == VMK_OK);
    ck_assert(nested_map(&vm.nested, gpa_make(ABSENT), mpn, true, false) == VMK_OK);
    run();
    CHECK_EXIT(HLT, CODE + 3);
    ck_assert_uint_eq(((unsigned char *)mpn_map(mpn))[8], 5);
    ck_assert_uint_eq(((uint64_t *)at_gpa(TABLES + 0x3000))[511] & 0x60, 0x60);
}
END_TEST

/* ---- delivery ---- */

PROGRAM(faults, 64, "ud2");
PROGRAM(divide, 64, "xor %ecx, %ecx; div %ecx");
PROGRAM(load, 64, "mov (%rbx), %rax; hlt");
PROGRAM(user_int, 64, "int $0x40");
PROGRAM(user_int3, 64, "int3");

START_TEST(test_guest__exceptions__own_handler_and_frame)
{
    long_mode();
    PUT(CODE, faults);
    run();
    CHECK_VECTOR(6);
    ck_assert_uint_eq(frame(0), CODE);
    ck_assert_uint_eq(frame(1), SEL_CODE64);
    ck_assert_uint_eq(frame(3), STACK);
    ck_assert_uint_eq(get(VT_RSP), STACK - 40);

    PUT(CODE, divide);
    set(VT_RIP, CODE);
    plat_user_code_changed(plat_unmap_address(at_gpa(CODE)), 16);
    run();
    CHECK_VECTOR(0);
    ck_assert_uint_eq(frame(0), CODE + 2);

    PUT(CODE, load);
    plat_user_code_changed(plat_unmap_address(at_gpa(CODE)), 16);
    set(VT_RIP, CODE);
    vcpu.regs.gpr[GPR_RBX] = 0x7654321000;
    run();
    CHECK_VECTOR(14);
    ck_assert_uint_eq(get(VT_CR2), 0x7654321000);
    ck_assert_uint_eq(frame(0), 0);
    ck_assert_uint_eq(frame(1), CODE);
}
END_TEST

START_TEST(test_guest__from_ring_3__stack_of_the_tss_and_dpl_of_the_gate)
{
    long_mode();
    user_mode();
    PUT(CODE, user_int);
    gate_set(0x40, 0xee, 0);
    run();
    CHECK_VECTOR(0x40);
    ck_assert_uint_eq(get(VT_RSP), STACK - 40);
    ck_assert_uint_eq(frame(0), CODE + 2);
    ck_assert_uint_eq(frame(1), SEL_USER64);
    ck_assert_uint_eq(frame(3), STACK1);
    ck_assert_uint_eq(frame(4), SEL_USER);
    ck_assert_uint_eq(vt()->cpl(&vcpu), 0);
    /* Back by IRETQ, and again through a gate of ring 0: #GP with the vector. */
    ck_assert(!vt()->step(&vcpu, out.rip + 1));
    gate_set(0x40, 0x8e, 0);
    *(unsigned char *)at_gpa(CODE + 2) = 0xcd;
    *(unsigned char *)at_gpa(CODE + 3) = 0x40;
    run();
    CHECK_VECTOR(13);
    ck_assert_uint_eq(frame(0), 0x40 * 8 + 2);
    ck_assert_uint_eq(frame(1), CODE + 2);
    ck_assert_uint_eq(frame(2), SEL_USER64);
}
END_TEST

START_TEST(test_guest__ist__its_stack)
{
    long_mode();
    PUT(CODE, user_int3);
    gate_set(3, 0x8f, 1);
    set(VT_RFLAGS, 0x202);
    run();
    CHECK_VECTOR(3);
    ck_assert_uint_eq(get(VT_RSP), STACK1 - 40);
    ck_assert_uint_eq(frame(0), CODE + 1);
    ck_assert(get(VT_RFLAGS) & RFLAGS_IF);  // a trap gate
}
END_TEST

START_TEST(test_guest__faults_in_delivery__double_and_triple)
{
    long_mode();
    PUT(CODE, load);
    vcpu.regs.gpr[GPR_RBX] = 0x7654321000;
    gate_set(14, 0x0e, 0);  // not present
    run();
    CHECK_VECTOR(8);
    ck_assert_uint_eq(frame(0), 0);
    ck_assert_uint_eq(frame(1), CODE);

    set(VT_RIP, CODE);
    gate_set(8, 0x0e, 0);
    run();
    CHECK_EXIT(TRIPLE_FAULT, CODE);

    /* A benign one that cannot be delivered is the second fault's, not #DF. */
    gate_set(8, 0x8e, 0);
    gate_set(6, 0x0e, 0);
    PUT(CODE, faults);
    plat_user_code_changed(plat_unmap_address(at_gpa(CODE)), 16);
    set(VT_RIP, CODE);
    run();
    CHECK_VECTOR(11);
    ck_assert_uint_eq(frame(0), 6 * 8 + 3);
}
END_TEST

START_TEST(test_guest__stack_not_given_by_the_host__event_stays_until_it_is)
{
    unsigned page = (STACK - 1) >> 12;

    long_mode();
    PUT(CODE, load);
    ck_assert(nested_unmap(&vm.nested, gpa_make((uint64_t)page << 12)) == VMK_OK);
    vcpu.inject = (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 0x55};
    set(VT_RFLAGS, 0x202);
    for (unsigned i = 0; i < 3; i++) {
        run();
        CHECK_EXIT(NESTED_FAULT, CODE);
        ck_assert(out.nested.gpa.raw == STACK - 40 && out.nested.write);
        ck_assert(vcpu.inject.valid && vcpu.inject.vector == 0x55);
        ck_assert(get(VT_RSP) == STACK && (get(VT_RFLAGS) & RFLAGS_IF));
    }
    page_give(page);
    run();
    CHECK_VECTOR(0x55);
    ck_assert_uint_eq(frame(0), CODE);
    ck_assert(!vcpu.inject.valid);
}
END_TEST

PROGRAM(window, 64, "nop; inc %eax; sti; inc %eax; inc %eax; hlt");

START_TEST(test_guest__interrupt_window__behind_the_instruction_after_sti)
{
    long_mode();
    PUT(CODE, window);
    vt()->want_interrupt_window(&vcpu, true);
    run();
    CHECK_EXIT(IRQ_WINDOW, CODE + 6);
    ck_assert_uint_eq(vcpu.regs.gpr[GPR_RAX], 2);
    ck_assert(vt()->can_inject_interrupt(&vcpu));
    vt()->want_interrupt_window(&vcpu, false);
    run();
    CHECK_EXIT(HLT, CODE + 8);
    ck_assert_uint_eq(vcpu.regs.gpr[GPR_RAX], 3);
}
END_TEST

START_TEST(test_guest__nmi__masked_until_iret)
{
    long_mode();
    PUT(CODE, window);
    vcpu.inject = (struct vt_event){.valid = true, .type = VT_EVENT_NMI, .vector = 2};
    ck_assert(vt()->can_inject_nmi(&vcpu));
    run();
    CHECK_VECTOR(2);
    ck_assert(!vt()->can_inject_nmi(&vcpu));
    ck_assert(!vt()->step(&vcpu, out.rip + 1));
    vt()->want_nmi_window(&vcpu, true);
    run();
    CHECK_EXIT(NMI_WINDOW, CODE);
    ck_assert(vt()->can_inject_nmi(&vcpu));
}
END_TEST

/* ---- protected mode, 32 bits ---- */

PROGRAM(user32, 32, "mov $7, %eax; int $0x41; mov $8, %eax; hlt");
PROGRAM(handler32, 32, "mov $0x41, %ebx; cpuid; iret");

START_TEST(test_guest__protected_mode__ring_3_to_0_and_back)
{
    uint64_t *gate;
    uint32_t *stack;

    long_mode();
    set(VT_CR0, 0x33);
    set(VT_EFER, 0);
    segment_set(VT_CS, SEL_USER32, 0xc0fb, 0, 0xffffffff);
    segment_set(VT_SS, SEL_USER, 0xc0f3, 0, 0xffffffff);
    segment_set(VT_DS, SEL_USER, 0xc0f3, 0, 0xffffffff);
    segment_set(VT_ES, SEL_USER, 0xc0f3, 0, 0xffffffff);
    segment_set(VT_TR, SEL_TSS, 0x8b, TSS, 0x67);
    *(uint32_t *)at_gpa(TSS + 4) = STACK;
    *(uint32_t *)at_gpa(TSS + 8) = SEL_DATA;
    set(VT_RSP, STACK1);
    set(VT_RFLAGS, 0x202);
    PUT(CODE, user32);
    PUT(HANDLER, handler32);
    memset(at_gpa(IDT), 0, 4096);
    gate = at_gpa(IDT + 8 * 0x41);
    *gate = HANDLER | SEL_CODE32 << 16 | 0xeeull << 40;
    gate = at_gpa(IDT + 8 * 13);
    *gate = HANDLER | SEL_CODE32 << 16 | 0x8eull << 40;
    run();
    CHECK_EXIT(CPUID, HANDLER + 5);
    ck_assert_uint_eq(vt()->cpl(&vcpu), 0);
    ck_assert_uint_eq(get(VT_RSP), STACK - 20);
    stack = at_gpa(STACK - 20);
    ck_assert(stack[0] == CODE + 7 && stack[1] == SEL_USER32 && stack[3] == STACK1);
    ck_assert_uint_eq(stack[4], SEL_USER);
    ck_assert(!vt()->step(&vcpu, out.rip + 2));
    /* HLT in ring 3 is #GP, which is an exit for the backdoor's sake. */
    run();
    CHECK_EXIT(EXCEPTION, CODE + 12);
    ck_assert_uint_eq(out.exception.vector, 13);
    ck_assert_uint_eq(vcpu.regs.gpr[GPR_RAX], 8);
    ck_assert_uint_eq(vt()->cpl(&vcpu), 3);
    ck_assert_uint_eq(get(VT_RSP), STACK1);
}
END_TEST

PROGRAM(syscall_code, 64, "syscall");
PROGRAM(sysret_code, 64, "rdmsr; sysretq");

START_TEST(test_guest__syscall_and_sysret__segments_flags_and_back)
{
    long_mode();
    user_mode();
    PUT(CODE, syscall_code);
    PUT(CODE + 0x100, sysret_code);
    set(VT_STAR, (uint64_t)SEL_CODE64 << 32 | 0x23ull << 48);
    set(VT_LSTAR, CODE + 0x100);
    set(VT_SFMASK, 0x200);
    run();
    CHECK_EXIT(MSR_READ, CODE + 0x100);
    ck_assert_uint_eq(vt()->cpl(&vcpu), 0);
    ck_assert_uint_eq(vcpu.regs.gpr[GPR_RCX], CODE + 2);
    ck_assert_uint_eq(vcpu.regs.gpr[11], 0x202);
    ck_assert(!(get(VT_RFLAGS) & RFLAGS_IF));
    ck_assert(!vt()->step(&vcpu, out.rip + 2));
    *(unsigned char *)at_gpa(CODE + 2) = 0x0f;
    *(unsigned char *)at_gpa(CODE + 3) = 0x0b;
    run();
    CHECK_VECTOR(6);
    ck_assert_uint_eq(frame(0), CODE + 2);
    ck_assert_uint_eq(frame(1), 0x33);
}
END_TEST

KERNEL_TEST_MAIN("engine_guest",
                 RUNS(test_guest__real_mode_interrupt__through_the_vector_table_and_back),
                 RUNS(test_guest__intercepted_instructions__kind_length_and_operands),
                 RUNS(test_guest__memory_the_host_has_not_given__nested_fault_then_the_store),
                 RUNS(test_guest__exceptions__own_handler_and_frame),
                 RUNS(test_guest__from_ring_3__stack_of_the_tss_and_dpl_of_the_gate),
                 RUNS(test_guest__ist__its_stack),
                 RUNS(test_guest__faults_in_delivery__double_and_triple),
                 RUNS(test_guest__stack_not_given_by_the_host__event_stays_until_it_is),
                 RUNS(test_guest__interrupt_window__behind_the_instruction_after_sti),
                 RUNS(test_guest__nmi__masked_until_iret),
                 RUNS(test_guest__protected_mode__ring_3_to_0_and_back),
                 RUNS(test_guest__syscall_and_sysret__segments_flags_and_back))
