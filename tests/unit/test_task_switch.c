// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_task_switch.c -- hardware task switches: what is saved, loaded, marked and refused.
 */
#include "lib/endian.h"
#include "tests/unit/vmm_fixture.h"

#define GDT  0x1000u
#define OLD  0x2000u
#define NEXT 0x3000u
#define TOP  0x5000u
#define NT   RFLAGS_NT

enum {
    CODE = 0x08,
    DATA = 0x10,
    TSS_OLD = 0x18,
    TSS_NEXT = 0x20
};

static void put32(uint32_t at, uint32_t value)
{
    uint8_t bytes[4];

    put_le32(bytes, value);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(at), bytes, 4), VMK_OK);
}

static uint32_t get32(uint32_t at)
{
    uint8_t bytes[4];

    ck_assert_int_eq(vm_memory_read(vm, gpa_make(at), bytes, 4), VMK_OK);
    return le32(bytes);
}

static void descriptor(unsigned selector, uint32_t base, uint32_t limit, uint32_t rights)
{
    put32(GDT + selector, (limit & 0xffff) | base << 16);
    put32(GDT + selector + 4,
          (base >> 16 & 0xff) | rights << 8 | (limit & 0xf0000) | (base & 0xff000000));
}

static unsigned type_of(unsigned selector)
{
    return get32(GDT + selector + 4) >> 8 & 15;
}

/* A 32-bit guest without paging in one task, and another that could run. */
static void setup_tasks(void)
{
    const struct vt_segment code = {CODE, UINT32_MAX, 0xc09b, 0};
    const struct vt_segment data = {DATA, UINT32_MAX, 0xc093, 0};
    const struct vt_segment tr = {TSS_OLD, 103, 0x8b, OLD};
    const struct vt_segment gdtr = {.limit = 0x7f, .base = GDT};

    descriptor(CODE, 0, 0xfffff, 0xc09b);
    descriptor(DATA, 0, 0xfffff, 0xc093);
    descriptor(TSS_OLD, OLD, 103, 0x8b);
    descriptor(TSS_NEXT, NEXT, 103, 0x89);
    put32(NEXT + 0x20, 0x7777);
    put32(NEXT + 0x24, 2);
    put32(NEXT + 0x28, 0x1234);
    put32(NEXT + 0x38, TOP);
    put32(NEXT + 0x48, DATA);
    put32(NEXT + 0x4c, CODE);
    put32(NEXT + 0x50, DATA);
    put32(NEXT + 0x54, DATA);
    vt()->set(cpu, VT_CR0, CR0_PE);
    vt()->set(cpu, VT_RIP, 0x100);
    vt()->set(cpu, VT_RSP, 0x4000);
    vt()->set(cpu, VT_RFLAGS, 0x202);
    for (unsigned seg = VT_ES; seg <= VT_GS; seg++)
        vt()->set_segment(cpu, (enum vt_seg)seg, seg == VT_CS ? &code : &data);
    vt()->set_segment(cpu, VT_TR, &tr);
    vt()->set_segment(cpu, VT_GDTR, &gdtr);
    cpu->regs.gpr[GPR_RAX] = 0xabcd;
}

static enum exit_verdict go(enum vm_task_source source, uint16_t selector)
{
    const struct vm_exit exit = {.kind = VM_EXIT_TASK_SWITCH,
                                 .rip = 0x100,
                                 .length = 7,
                                 .task = {.selector = selector, .source = source}};

    return exit_task_switch(cpu, &exit);
}

static void expect_fault(unsigned vector, uint32_t error)
{
    ck_assert(cpu->inject.valid);
    ck_assert_uint_eq(cpu->inject.vector, vector);
    ck_assert_uint_eq(cpu->inject.error, error);
}

static uint16_t task_register(void)
{
    struct vt_segment tr;

    vt()->get_segment(cpu, VT_TR, &tr);
    return tr.selector;
}

START_TEST(test_task_switch__call__saves_links_and_loads)
{
    setup_tasks();
    ck_assert_int_eq(go(VM_TASK_CALL, TSS_NEXT), EXIT_RESUME);
    ck_assert(!cpu->inject.valid);
    ck_assert_uint_eq(get32(OLD + 0x20), 0x107);
    ck_assert_uint_eq(get32(OLD + 0x24), 0x202);
    ck_assert_uint_eq(get32(OLD + 0x28), 0xabcd);
    ck_assert_uint_eq(get32(OLD + 0x38), 0x4000);
    ck_assert_uint_eq(get32(OLD + 0x4c), CODE);
    ck_assert_uint_eq(get32(NEXT), TSS_OLD);
    ck_assert_uint_eq(vt()->get(cpu, VT_RIP), 0x7777);
    ck_assert_uint_eq(vt()->get(cpu, VT_RSP), TOP);
    ck_assert_uint_eq(vt()->get(cpu, VT_RFLAGS), NT | 2);
    ck_assert_uint_eq(cpu->regs.gpr[GPR_RAX], 0x1234);
    ck_assert(vt()->get(cpu, VT_CR0) & CR0_TS);
    ck_assert_uint_eq(task_register(), TSS_NEXT);
    ck_assert_uint_eq(type_of(TSS_OLD), 11);
    ck_assert_uint_eq(type_of(TSS_NEXT), 11);
}
END_TEST

START_TEST(test_task_switch__jump_and_iret__busy_bits_follow)
{
    setup_tasks();
    ck_assert_int_eq(go(VM_TASK_JMP, TSS_NEXT), EXIT_RESUME);
    ck_assert_uint_eq(type_of(TSS_OLD), 9);
    ck_assert_uint_eq(type_of(TSS_NEXT), 11);
    ck_assert_uint_eq(get32(NEXT), 0);
    ck_assert_uint_eq(vt()->get(cpu, VT_RFLAGS), 2);

    // IRET goes to a busy task only.
    ck_assert_int_eq(go(VM_TASK_IRET, TSS_OLD), EXIT_RESUME);
    expect_fault(10, TSS_OLD);
    cpu->inject.valid = false;
    descriptor(TSS_OLD, OLD, 103, 0x8b);
    vt()->set(cpu, VT_RFLAGS, NT | 2);
    ck_assert_int_eq(go(VM_TASK_IRET, TSS_OLD), EXIT_RESUME);
    ck_assert(!cpu->inject.valid);
    ck_assert_uint_eq(get32(NEXT + 0x24), 2);  // saved without NT
    ck_assert_uint_eq(type_of(TSS_NEXT), 9);
    ck_assert_uint_eq(task_register(), TSS_OLD);
}
END_TEST

START_TEST(test_task_switch__bad_target__old_task_stays)
{
    setup_tasks();
    ck_assert_int_eq(go(VM_TASK_JMP, TSS_OLD), EXIT_RESUME);  // busy
    expect_fault(13, TSS_OLD);
    cpu->inject.valid = false;
    go(VM_TASK_JMP, 0x80);  // behind the GDT
    expect_fault(13, 0x80);
    cpu->inject.valid = false;
    descriptor(TSS_NEXT, NEXT, 103, 0x09);
    go(VM_TASK_CALL, TSS_NEXT);
    expect_fault(11, TSS_NEXT);
    cpu->inject.valid = false;
    descriptor(TSS_NEXT, NEXT, 102, 0x89);
    go(VM_TASK_CALL, TSS_NEXT);
    expect_fault(10, TSS_NEXT);
    ck_assert_uint_eq(vt()->get(cpu, VT_RIP), 0x100);
    ck_assert_uint_eq(task_register(), TSS_OLD);
    ck_assert_uint_eq(get32(OLD + 0x20), 0);
}
END_TEST

START_TEST(test_task_switch__tables_not_mapped__page_fault_and_no_change)
{
    setup_tasks();
    vt()->set(cpu, VT_CR3, 0x6000);  // no entry is present
    vt()->set(cpu, VT_CR0, CR0_PE | CR0_PG);
    go(VM_TASK_CALL, TSS_NEXT);
    ck_assert_uint_eq(cpu->inject.vector, 14);
    ck_assert_uint_eq(vt()->get(cpu, VT_CR2), GDT + TSS_NEXT);
    ck_assert_uint_eq(task_register(), TSS_OLD);
}
END_TEST

START_TEST(test_task_switch__bad_segment__fault_of_the_new_task)
{
    setup_tasks();
    put32(NEXT + 0x54, TSS_OLD);  // DS
    go(VM_TASK_CALL, TSS_NEXT);
    expect_fault(10, TSS_OLD);
    ck_assert_uint_eq(vt()->get(cpu, VT_RIP), 0x7777);
    ck_assert_uint_eq(task_register(), TSS_NEXT);
}
END_TEST

START_TEST(test_task_switch__event__error_code_on_the_new_stack)
{
    setup_tasks();
    cpu->inject = (struct vt_event){.valid = true,
                                    .type = VT_EVENT_EXCEPTION,
                                    .vector = 13,
                                    .has_error = true,
                                    .error = 0x5a50};
    go(VM_TASK_GATE, TSS_NEXT);
    ck_assert(!cpu->inject.valid);
    ck_assert_uint_eq(vt()->get(cpu, VT_RSP), TOP - 4);
    ck_assert_uint_eq(get32(TOP - 4), 0x5a50);
    ck_assert_uint_eq(get32(OLD + 0x20), 0x100);  // a fault: the instruction runs again
}
END_TEST

START_TEST(test_task_switch__event_to_a_bad_task__double_fault)
{
    setup_tasks();
    descriptor(TSS_NEXT, NEXT, 103, 0x09);
    cpu->inject = (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 64};
    go(VM_TASK_GATE, TSS_NEXT);
    expect_fault(11, TSS_NEXT | 1);  // EXT: from outside
    cpu->inject = (struct vt_event){
        .valid = true, .type = VT_EVENT_EXCEPTION, .vector = 13, .has_error = true};
    go(VM_TASK_GATE, TSS_NEXT);
    expect_fault(8, 0);
}
END_TEST

START_TEST(test_task_switch__trap_bit__debug_exception)
{
    setup_tasks();
    put32(NEXT + 0x64, 1);
    go(VM_TASK_CALL, TSS_NEXT);
    ck_assert(cpu->inject.valid);
    ck_assert_uint_eq(cpu->inject.vector, 1);
    ck_assert(vt()->get(cpu, VT_DR6) & DR6_BT);
}
END_TEST

START_TEST(test_task_switch__narrow__words_only)
{
    setup_tasks();
    descriptor(TSS_NEXT, NEXT, 43, 0x81);
    put32(NEXT + 0x0c, 0x7777u << 16);      // IP
    put32(NEXT + 0x10, 2 | 0x4321u << 16);  // FLAGS, AX
    put32(NEXT + 0x20, (uint32_t)DATA << 16);
    put32(NEXT + 0x24, CODE | (uint32_t)DATA << 16);
    put32(NEXT + 0x28, DATA);
    go(VM_TASK_CALL, TSS_NEXT);
    ck_assert(!cpu->inject.valid);
    ck_assert_uint_eq(vt()->get(cpu, VT_RIP), 0x7777);
    ck_assert_uint_eq(cpu->regs.gpr[GPR_RAX], 0x4321);
    ck_assert_uint_eq(type_of(TSS_NEXT), 3);
}
END_TEST

START_TEST(test_task_switch__unknown_source__vm_ends)
{
    setup_tasks();
    ck_assert_int_eq(go(VM_TASK_UNKNOWN, TSS_NEXT), EXIT_KILL_VM);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_task_switch__call__saves_links_and_loads,
                                  test_task_switch__jump_and_iret__busy_bits_follow,
                                  test_task_switch__bad_target__old_task_stays,
                                  test_task_switch__tables_not_mapped__page_fault_and_no_change,
                                  test_task_switch__bad_segment__fault_of_the_new_task,
                                  test_task_switch__event__error_code_on_the_new_stack,
                                  test_task_switch__event_to_a_bad_task__double_fault,
                                  test_task_switch__trap_bit__debug_exception,
                                  test_task_switch__narrow__words_only,
                                  test_task_switch__unknown_source__vm_ends};

    return fixture_run("task_switch", tests, ARRAY_COUNT(tests));
}
