// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vtx_exit.c -- VT-x exit reasons and events: raw numbers in, struct vm_exit out.
 */
#include "tests/unit/vtx_fixture.h"
#include "tests/unit/suite_run.h"

static struct vm_exit decoded(struct vmx_raw_exit raw)
{
    struct vm_exit exit;

    memset(&exit, 0xee, sizeof exit);
    vmx_exit_decode(&raw, &exit);
    ck_assert_uint_eq(exit.raw_reason, raw.reason);
    return exit;
}

START_TEST(test_vtx_exit__each_reason__its_kind)
{
    static const struct {
        uint32_t reason;
        enum vm_exit_kind kind;
    } kinds[] = {
        {0, VM_EXIT_EXCEPTION},
        {1, VM_EXIT_INTERRUPT},
        {2, VM_EXIT_TRIPLE_FAULT},
        {3, VM_EXIT_UNKNOWN},
        {4, VM_EXIT_UNKNOWN},
        {7, VM_EXIT_IRQ_WINDOW},
        {8, VM_EXIT_NMI_WINDOW},
        {9, VM_EXIT_TASK_SWITCH},
        {10, VM_EXIT_CPUID},
        {11, VM_EXIT_VIRT_INSN},
        {12, VM_EXIT_HLT},
        {13, VM_EXIT_INVD},
        {14, VM_EXIT_INVLPG},
        {15, VM_EXIT_RDPMC},
        {16, VM_EXIT_RDTSC},
        {18, VM_EXIT_CALL},
        {19, VM_EXIT_VIRT_INSN},
        {27, VM_EXIT_VIRT_INSN},
        {28, VM_EXIT_CR_ACCESS},
        {29, VM_EXIT_DR_ACCESS},
        {30, VM_EXIT_IO},
        {31, VM_EXIT_MSR_READ},
        {32, VM_EXIT_MSR_WRITE},
        {36, VM_EXIT_MONITOR},
        {39, VM_EXIT_MONITOR},
        {40, VM_EXIT_PAUSE},
        {48, VM_EXIT_NESTED_FAULT},
        {49, VM_EXIT_UNKNOWN},
        {50, VM_EXIT_VIRT_INSN},
        {52, VM_EXIT_TIMER},
        {54, VM_EXIT_INVD},
        {55, VM_EXIT_XSETBV},
        {59, VM_EXIT_VIRT_INSN},
        {77, VM_EXIT_UNKNOWN},
        {0x80000021, VM_EXIT_ENTRY_FAILED},
        {0x80000022, VM_EXIT_ENTRY_FAILED},
    };

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        ck_assert_int_eq(decoded((struct vmx_raw_exit){.reason = kinds[i].reason}).kind,
                         kinds[i].kind);
}
END_TEST

START_TEST(test_vtx_exit__hot_reasons__read_little)
{
    ck_assert_uint_eq(vmx_exit_needs(10), RAW_LENGTH);
    ck_assert_uint_eq(vmx_exit_needs(12), RAW_LENGTH);
    ck_assert_uint_eq(vmx_exit_needs(1), RAW_EVENT);
    ck_assert_uint_eq(vmx_exit_needs(7), 0);
    ck_assert_uint_eq(vmx_exit_needs(48), RAW_QUALIFICATION | RAW_ADDRESS);
    ck_assert_uint_ne(vmx_exit_needs(1000), 0);
}
END_TEST

START_TEST(test_vtx_exit__exception__vector_and_error)
{
    struct vm_exit exit = decoded(
        (struct vmx_raw_exit){.event = 0x80000b0e, .error = 7, .qualification = 0x1234000});

    ck_assert_int_eq(exit.kind, VM_EXIT_EXCEPTION);
    ck_assert_uint_eq(exit.exception.vector, 14);
    ck_assert(exit.exception.has_error);
    ck_assert_uint_eq(exit.exception.error, 7);
    ck_assert_uint_eq(exit.exception.cr2, 0x1234000);
    exit = decoded((struct vmx_raw_exit){.event = 0x80000312});
    ck_assert_uint_eq(exit.exception.vector, 18);
    ck_assert(!exit.exception.has_error);
    exit = decoded((struct vmx_raw_exit){.event = 0x80000202});
    ck_assert_int_eq(exit.kind, VM_EXIT_NMI);
}
END_TEST

START_TEST(test_vtx_exit__cr_access__four_forms)
{
    struct vm_exit exit = decoded((struct vmx_raw_exit){.reason = 28, .qualification = 0x900});

    ck_assert(exit.cr.number == 0 && exit.cr.write && exit.cr.gpr == 9);
    ck_assert_int_eq(exit.cr.kind, VM_CR_MOV);
    exit = decoded((struct vmx_raw_exit){.reason = 28, .qualification = 0x318});
    ck_assert(exit.cr.number == 8 && !exit.cr.write && exit.cr.gpr == 3);
    exit = decoded((struct vmx_raw_exit){.reason = 28, .qualification = 0x20});
    ck_assert(exit.cr.kind == VM_CR_CLTS && exit.cr.write);
    exit = decoded((struct vmx_raw_exit){.reason = 28, .qualification = 0xfff90030});
    ck_assert(exit.cr.kind == VM_CR_LMSW && exit.cr.value == 0xfff9);
}
END_TEST

START_TEST(test_vtx_exit__dr_access__direction)
{
    struct vm_exit exit = decoded((struct vmx_raw_exit){.reason = 29, .qualification = 0xf07});

    ck_assert(exit.dr.number == 7 && exit.dr.write && exit.dr.gpr == 15);
    exit = decoded((struct vmx_raw_exit){.reason = 29, .qualification = 0x16});
    ck_assert(exit.dr.number == 6 && !exit.dr.write && exit.dr.gpr == 0);
}
END_TEST

START_TEST(test_vtx_exit__io__all_forms)
{
    struct vm_exit exit =
        decoded((struct vmx_raw_exit){.reason = 30, .qualification = 0x03f80000, .length = 2});

    ck_assert(exit.io.port == 0x3f8 && exit.io.size == 1 && !exit.io.in);
    ck_assert(!exit.io.string && !exit.io.rep && exit.length == 2);
    exit = decoded((struct vmx_raw_exit){.reason = 30, .qualification = 0x01f0003b});
    ck_assert(exit.io.port == 0x1f0 && exit.io.size == 4);
    ck_assert(exit.io.in && exit.io.string && exit.io.rep);
    exit = decoded((struct vmx_raw_exit){.reason = 30, .qualification = 0x56580049});
    ck_assert(exit.io.size == 2 && exit.io.in && !exit.io.string);
}
END_TEST

START_TEST(test_vtx_exit__ept_violation__access_and_address)
{
    struct vmx_raw_exit raw = {
        .reason = 48, .qualification = 0x182, .gpa = 0xfee000b0, .gla = 0xffffffffff5fc0b0};
    struct vm_exit exit = decoded(raw);

    ck_assert(exit.nested.write && !exit.nested.read && !exit.nested.fetch);
    ck_assert_uint_eq(exit.nested.gpa.raw, 0xfee000b0);
    ck_assert(exit.nested.gla_valid);
    ck_assert_uint_eq(exit.nested.gla, 0xffffffffff5fc0b0);
    ck_assert_uint_eq(exit.length, 0);
    raw.qualification = 0x81;  // while walking the guest's tables
    ck_assert(!decoded(raw).nested.gla_valid);
    raw.qualification = 4;
    ck_assert(decoded(raw).nested.fetch);
}
END_TEST

START_TEST(test_vtx_event__encode__each_type)
{
    struct vt_event event = {.valid = true, .type = VT_EVENT_INTERRUPT, .vector = 0x31};

    ck_assert_uint_eq(vmx_event_encode(&event, true), 0x80000031);
    event = (struct vt_event){.valid = true, .type = VT_EVENT_NMI, .vector = 2};
    ck_assert_uint_eq(vmx_event_encode(&event, true), 0x80000202);
    event = (struct vt_event){
        .valid = true, .type = VT_EVENT_EXCEPTION, .vector = 13, .has_error = true};
    ck_assert_uint_eq(vmx_event_encode(&event, true), 0x80000b0d);
    ck_assert_uint_eq(vmx_event_encode(&event, false), 0x8000030d);  // real mode has none
    event = (struct vt_event){.valid = true, .type = VT_EVENT_SOFT_INTERRUPT, .vector = 0x80};
    ck_assert_uint_eq(vmx_event_encode(&event, true), 0x80000480);
}
END_TEST

START_TEST(test_vtx_event__idt_vectoring__same_event_again)
{
    static const struct {
        uint32_t information;
        bool keeps_error, keeps_length;
    } rows[] = {
        {0x80000020, false, false}, {0x80000202, false, false}, {0x80000b0d, true, false},
        {0x80000b08, true, false},  {0x80000306, false, false}, {0x80000480, false, true},
        {0x80000501, false, true},  {0x80000603, false, true},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct vt_event event = vmx_event_decode(rows[i].information, 0x18, 2);

        ck_assert(event.valid);
        ck_assert_uint_eq(vmx_event_encode(&event, true), rows[i].information);
        ck_assert_uint_eq(event.error, rows[i].keeps_error ? 0x18 : 0);
        ck_assert_uint_eq(event.length, rows[i].keeps_length ? 2 : 0);
    }
}
END_TEST

int main(void)
{
    fake_reset();
    Suite *suite = suite_create("vtx_exit");
    TCase *tc = tcase_create("decode");

    tcase_add_test(tc, test_vtx_exit__each_reason__its_kind);
    tcase_add_test(tc, test_vtx_exit__hot_reasons__read_little);
    tcase_add_test(tc, test_vtx_exit__exception__vector_and_error);
    tcase_add_test(tc, test_vtx_exit__cr_access__four_forms);
    tcase_add_test(tc, test_vtx_exit__dr_access__direction);
    tcase_add_test(tc, test_vtx_exit__io__all_forms);
    tcase_add_test(tc, test_vtx_exit__ept_violation__access_and_address);
    tcase_add_test(tc, test_vtx_event__encode__each_type);
    tcase_add_test(tc, test_vtx_event__idt_vectoring__same_event_again);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
