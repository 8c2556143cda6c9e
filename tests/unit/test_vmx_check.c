// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmx_check.c -- every row of vmx_rules.def broken on purpose, one at a time.
 *
 * Each case starts from an image that passes, changes a few fields and names the rule it
 * expects.
 * A rule that no case breaks fails the last test, so a new row needs a new case.
 */
#include <check.h>
#include <string.h>

#include "vmm/vtx/vtx_internal.h"
#include "tests/unit/suite_run.h"

struct change {
    unsigned at;
    char op;  // '=' set, '|' or, '-' clear
    uint64_t value;
};
struct broken {
    enum vmx_rule rule;
    void (*base)(struct vmcs_image *image);
    struct change changes[6];
};

/* Bochs's skylake_x, with every optional feature there but bit 31 (primary: bit 0). */
static const struct vmx_facts facts = {
    .basic = 0x00d810000000002b,
    .misc = 0x600401e0,
    .pin = 0x7fffffff00000016,
    .primary = 0xfffffffe04006172,
    .secondary = 0x7fffffff00000000,
    .exit = 0x7fffffff00036dfb,
    .entry = 0x7fffffff000011fb,
    .cr0_fixed0 = 0x80000021,
    .cr0_fixed1 = 0xffffffff,
    .cr4_fixed0 = 0x2000,
    .cr4_fixed1 = 0xffffff,
    .ept_vpid = 0xf0106334141,
    .vmfunc = 1,
    .physical_bits = 40,
    .linear_bits = 48,
};

#define SET(image, field, v) ((image)->at[VMCS_AT_##field] = (v))

static void base_long(struct vmcs_image *image)
{
    struct vmx_controls c;

    memset(image, 0, sizeof *image);
    ck_assert_ptr_null(vmx_controls_choose(&facts, &c));
    SET(image, PIN_CONTROLS, c.pin);
    SET(image, PRIMARY_CONTROLS, c.primary);
    SET(image, SECONDARY_CONTROLS, c.secondary);
    SET(image, EXIT_CONTROLS, c.exit);
    SET(image, ENTRY_CONTROLS, c.entry | ENTRY_IA32E);
    SET(image, MSR_BITMAP, 0x5000);
    SET(image, VPID, 1);
    SET(image, EPTP, 0x601e);
    SET(image, LINK_POINTER, UINT64_MAX);
    SET(image, HOST_CR0, 0x80010033);
    SET(image, HOST_CR3, 0x7000);
    SET(image, HOST_CR4, 0x2020);
    SET(image, HOST_EFER, 0xd00);
    SET(image, HOST_PAT, 0x0007040600070406);
    SET(image, HOST_CS_SELECTOR, 8);
    SET(image, HOST_SS_SELECTOR, 16);
    SET(image, HOST_TR_SELECTOR, 24);
    SET(image, HOST_RIP, 0xffffffff80100000);
    SET(image, GUEST_CR0, 0x80050033);
    SET(image, GUEST_CR3, 0x1000);
    SET(image, GUEST_CR4, 0x2020);
    SET(image, GUEST_EFER, 0xd01);
    SET(image, GUEST_PAT, 0x0007040600070406);
    SET(image, GUEST_DR7, 0x400);
    SET(image, GUEST_RFLAGS, 2);
    SET(image, GUEST_RIP, 0xffffffff81000000);
    for (unsigned i = 0; i < 6; i++) {
        image->at[VMCS_AT_GUEST_ES_RIGHTS + i] = 0xc093;
        image->at[VMCS_AT_GUEST_ES_LIMIT + i] = 0xffffffff;
        image->at[VMCS_AT_GUEST_ES_SELECTOR + i] = 0x18;
    }
    SET(image, GUEST_CS_RIGHTS, 0xa09b);
    SET(image, GUEST_CS_SELECTOR, 0x10);
    SET(image, GUEST_TR_RIGHTS, 0x8b);
    SET(image, GUEST_TR_LIMIT, 0x67);
    SET(image, GUEST_TR_SELECTOR, 0x40);
    SET(image, GUEST_LDTR_RIGHTS, 0x82);
    SET(image, GUEST_LDTR_LIMIT, 0xffff);
    SET(image, GUEST_GDTR_LIMIT, 0x7f);
    SET(image, GUEST_IDTR_LIMIT, 0xfff);
}

static void base_pae(struct vmcs_image *image)
{
    base_long(image);
    image->at[VMCS_AT_ENTRY_CONTROLS] &= ~ENTRY_IA32E;
    SET(image, GUEST_EFER, 0);
    SET(image, GUEST_CS_RIGHTS, 0xc09b);
    SET(image, GUEST_RIP, 0x100000);
    SET(image, GUEST_PDPTE_0, 0x2001);
}

static void base_real(struct vmcs_image *image)
{
    base_pae(image);
    SET(image, GUEST_CR0, 0x30);
    SET(image, GUEST_CR4, 0x2000);
}

static void base_v86(struct vmcs_image *image)
{
    base_pae(image);
    SET(image, GUEST_RFLAGS, 0x20202);
    for (unsigned i = 0; i < 6; i++) {
        image->at[VMCS_AT_GUEST_ES_RIGHTS + i] = 0xf3;
        image->at[VMCS_AT_GUEST_ES_LIMIT + i] = 0xffff;
        image->at[VMCS_AT_GUEST_ES_SELECTOR + i] = 0x100;
        image->at[VMCS_AT_GUEST_ES_BASE + i] = 0x1000;
    }
}

#define HIGH                BIT(40)                // beyond the physical width
#define ODD                 0x8000000000000000ull  // not canonical
#define AT(f)               VMCS_AT_##f
#define EVENT(type, vector) (BIT(31) | (type) << 8 | (vector))
#define CASE(name, ...)                                                                        \
    {                                                                                          \
        VMX_RULE_##name, base_long,                                                            \
        {                                                                                      \
            __VA_ARGS__                                                                        \
        }                                                                                      \
    }
#define FROM(base, name, ...)                                                                  \
    {                                                                                          \
        VMX_RULE_##name, base,                                                                 \
        {                                                                                      \
            __VA_ARGS__                                                                        \
        }                                                                                      \
    }

static const struct broken cases[] = {
    CASE(PIN_RESERVED, {AT(PIN_CONTROLS), '|', BIT(31)}),
    CASE(PIN_RESERVED, {AT(PIN_CONTROLS), '-', BIT(1)}),
    CASE(PRIMARY_RESERVED, {AT(PRIMARY_CONTROLS), '|', BIT(0)}),
    CASE(SECONDARY_RESERVED, {AT(SECONDARY_CONTROLS), '|', BIT(31)}),
    CASE(CR3_TARGETS, {AT(CR3_TARGET_COUNT), '=', 5}),
    CASE(IO_BITMAPS, {AT(PRIMARY_CONTROLS), '|', PRIMARY_IO_BITMAPS},
         {AT(IO_BITMAP_A), '=', 8}),
    CASE(IO_BITMAPS, {AT(PRIMARY_CONTROLS), '|', PRIMARY_IO_BITMAPS},
         {AT(IO_BITMAP_B), '=', HIGH}),
    CASE(MSR_BITMAP, {AT(MSR_BITMAP), '=', 0x5800}),
    CASE(VIRTUAL_APIC, {AT(PRIMARY_CONTROLS), '|', PRIMARY_TPR_SHADOW},
         {AT(VIRTUAL_APIC), '=', 1}),
    CASE(TPR_THRESHOLD, {AT(PRIMARY_CONTROLS), '|', PRIMARY_TPR_SHADOW},
         {AT(TPR_THRESHOLD), '=', 16}),
    CASE(VIRTUAL_NMI, {AT(PIN_CONTROLS), '-', PIN_NMI}),
    CASE(NMI_WINDOW, {AT(PIN_CONTROLS), '-', PIN_VIRTUAL_NMI},
         {AT(PRIMARY_CONTROLS), '|', PRIMARY_NMI_WINDOW}),
    CASE(APIC_ACCESS, {AT(SECONDARY_CONTROLS), '|', SECONDARY_APIC_ACCESS},
         {AT(APIC_ACCESS), '=', 1}),
    CASE(TPR_SHADOW_NEEDED, {AT(SECONDARY_CONTROLS), '|', SECONDARY_VID}),
    CASE(X2APIC_AND_ACCESS, {AT(PRIMARY_CONTROLS), '|', PRIMARY_TPR_SHADOW},
         {AT(SECONDARY_CONTROLS), '|', SECONDARY_X2APIC | SECONDARY_APIC_ACCESS}),
    CASE(VID_NEEDS_EXIT, {AT(PRIMARY_CONTROLS), '|', PRIMARY_TPR_SHADOW},
         {AT(SECONDARY_CONTROLS), '|', SECONDARY_VID}, {AT(PIN_CONTROLS), '-', PIN_INTERRUPT}),
    CASE(POSTED_NEEDS, {AT(PIN_CONTROLS), '|', PIN_POSTED}),
    CASE(POSTED_VECTOR, {AT(PIN_CONTROLS), '|', PIN_POSTED},
         {AT(PRIMARY_CONTROLS), '|', PRIMARY_TPR_SHADOW},
         {AT(SECONDARY_CONTROLS), '|', SECONDARY_VID}, {AT(POSTED_VECTOR), '=', 256}),
    CASE(POSTED_DESCRIPTOR, {AT(PIN_CONTROLS), '|', PIN_POSTED},
         {AT(PRIMARY_CONTROLS), '|', PRIMARY_TPR_SHADOW},
         {AT(SECONDARY_CONTROLS), '|', SECONDARY_VID}, {AT(POSTED_DESCRIPTOR), '=', 32}),
    CASE(VPID_ZERO, {AT(VPID), '=', 0}),
    CASE(EPTP_TYPE, {AT(EPTP), '=', 0x6019}),
    CASE(EPTP_WALK, {AT(EPTP), '=', 0x6016}),
    CASE(EPTP_WALK, {AT(EPTP), '=', 0x6026}),
    CASE(EPTP_RESERVED, {AT(EPTP), '|', 0x80}),
    CASE(EPTP_RESERVED, {AT(EPTP), '|', HIGH}),
    CASE(PML_NEEDS_EPT, {AT(SECONDARY_CONTROLS), '|', SECONDARY_PML},
         {AT(SECONDARY_CONTROLS), '-', SECONDARY_EPT}),
    CASE(PML_ADDRESS, {AT(SECONDARY_CONTROLS), '|', SECONDARY_PML}, {AT(PML_ADDRESS), '=', 8}),
    CASE(UNRESTRICTED_NEEDS_EPT, {AT(SECONDARY_CONTROLS), '-', SECONDARY_EPT}),
    CASE(VMFUNC_RESERVED, {AT(SECONDARY_CONTROLS), '|', SECONDARY_VMFUNC},
         {AT(VMFUNC_CONTROLS), '=', 2}),
    CASE(VMFUNC_EPTP, {AT(SECONDARY_CONTROLS), '|', SECONDARY_VMFUNC},
         {AT(VMFUNC_CONTROLS), '=', 1}, {AT(EPTP_LIST), '=', 4}),
    CASE(SHADOW_BITMAPS, {AT(SECONDARY_CONTROLS), '|', SECONDARY_SHADOWING},
         {AT(VMWRITE_BITMAP), '=', 4}),
    CASE(VE_INFORMATION, {AT(SECONDARY_CONTROLS), '|', SECONDARY_VE},
         {AT(VE_INFORMATION), '=', 4}),
    CASE(EXIT_RESERVED, {AT(EXIT_CONTROLS), '|', BIT(31)}),
    CASE(SAVE_TIMER, {AT(EXIT_CONTROLS), '|', EXIT_SAVE_TIMER}),
    CASE(EXIT_STORE_AREA, {AT(EXIT_MSR_STORE_COUNT), '=', 1}, {AT(EXIT_MSR_STORE), '=', 8}),
    CASE(EXIT_LOAD_AREA, {AT(EXIT_MSR_LOAD_COUNT), '=', 513}),
    CASE(ENTRY_RESERVED, {AT(ENTRY_CONTROLS), '|', BIT(31)}),
    CASE(EVENT_TYPE, {AT(ENTRY_EVENT), '=', EVENT(1, 0)}),
    CASE(EVENT_MTF, {AT(ENTRY_EVENT), '=', EVENT(7, 1)}),
    CASE(EVENT_NMI_VECTOR, {AT(ENTRY_EVENT), '=', EVENT(2, 3)}),
    CASE(EVENT_EXCEPTION_VECTOR, {AT(ENTRY_EVENT), '=', EVENT(3, 32)}),
    CASE(EVENT_ERROR_TYPE, {AT(ENTRY_EVENT), '=', EVENT(4, 13) | EVENT_HAS_ERROR},
         {AT(ENTRY_LENGTH), '=', 2}),
    FROM(base_real, EVENT_ERROR_REAL, {AT(ENTRY_EVENT), '=', EVENT(3, 13) | EVENT_HAS_ERROR}),
    CASE(EVENT_ERROR_VECTOR, {AT(ENTRY_EVENT), '=', EVENT(3, 13)}),
    CASE(EVENT_ERROR_VECTOR, {AT(ENTRY_EVENT), '=', EVENT(3, 6) | EVENT_HAS_ERROR}),
    CASE(EVENT_RESERVED, {AT(ENTRY_EVENT), '=', EVENT(3, 6) | BIT(12)}),
    CASE(EVENT_ERROR_BITS, {AT(ENTRY_EVENT), '=', EVENT(3, 13) | EVENT_HAS_ERROR},
         {AT(ENTRY_ERROR_CODE), '=', 0x10000}),
    CASE(EVENT_LENGTH, {AT(ENTRY_EVENT), '=', EVENT(6, 3)}, {AT(ENTRY_LENGTH), '=', 16}),
    CASE(ENTRY_LOAD_AREA, {AT(ENTRY_MSR_LOAD_COUNT), '=', 1}, {AT(ENTRY_MSR_LOAD), '=', HIGH}),
    CASE(ENTRY_SMM, {AT(ENTRY_CONTROLS), '|', ENTRY_SMM}),
    CASE(HOST_CR0, {AT(HOST_CR0), '-', CR0_NE}),
    CASE(HOST_CR4, {AT(HOST_CR4), '-', CR4_VMXE}),
    CASE(HOST_CR3, {AT(HOST_CR3), '|', HIGH}),
    CASE(HOST_SYSENTER, {AT(HOST_SYSENTER_EIP), '=', ODD}),
    CASE(HOST_PAT, {AT(HOST_PAT), '=', 2}),
    CASE(HOST_EFER, {AT(HOST_EFER), '|', BIT(1)}),
    CASE(HOST_EFER_SIZE, {AT(HOST_EFER), '-', EFER_LMA}),
    CASE(HOST_EFER_SIZE, {AT(HOST_EFER), '-', EFER_LME}),
    CASE(HOST_SELECTORS, {AT(HOST_DS_SELECTOR), '=', 3}),
    CASE(HOST_CS, {AT(HOST_CS_SELECTOR), '=', 0}),
    CASE(HOST_TR, {AT(HOST_TR_SELECTOR), '=', 0}),
    CASE(HOST_SS, {AT(HOST_SS_SELECTOR), '=', 0}, {AT(EXIT_CONTROLS), '-', EXIT_HOST_64},
         {AT(HOST_EFER), '=', 0}),
    CASE(HOST_BASES, {AT(HOST_GS_BASE), '=', ODD}),
    CASE(HOST_SIZE, {AT(EXIT_CONTROLS), '-', EXIT_HOST_64}, {AT(HOST_EFER), '=', 0}),
    CASE(HOST_PAE, {AT(HOST_CR4), '-', CR4_PAE}),
    CASE(HOST_RIP, {AT(HOST_RIP), '=', ODD}),
    CASE(GUEST_CR0, {AT(GUEST_CR0), '-', CR0_NE}),
    CASE(GUEST_CR0, {AT(SECONDARY_CONTROLS), '-', SECONDARY_UNRESTRICTED},
         {AT(GUEST_CR0), '-', CR0_PG}),
    CASE(GUEST_CR0_PG, {AT(GUEST_CR0), '-', CR0_PE}),
    CASE(GUEST_CR4, {AT(GUEST_CR4), '-', CR4_VMXE}),
    CASE(GUEST_CET, {AT(GUEST_CR4), '|', CR4_CET}, {AT(GUEST_CR0), '-', CR0_WP}),
    CASE(GUEST_DEBUGCTL, {AT(GUEST_DEBUGCTL), '=', 4}),
    CASE(IA32E_PAGING, {AT(GUEST_CR0), '-', CR0_PG}),
    CASE(IA32E_PAE, {AT(GUEST_CR4), '-', CR4_PAE}),
    FROM(base_pae, PCID_LEGACY, {AT(GUEST_CR4), '|', CR4_PCIDE}),
    CASE(GUEST_CR3, {AT(GUEST_CR3), '|', HIGH}),
    CASE(GUEST_DR7, {AT(GUEST_DR7), '|', BIT(32)}),
    CASE(GUEST_SYSENTER, {AT(GUEST_SYSENTER_ESP), '=', ODD}),
    CASE(GUEST_PAT, {AT(GUEST_PAT), '=', 0x0800}),
    CASE(GUEST_EFER, {AT(GUEST_EFER), '|', BIT(9)}),
    CASE(GUEST_LMA, {AT(GUEST_EFER), '-', EFER_LMA}),
    CASE(GUEST_LME, {AT(GUEST_EFER), '-', EFER_LME}),
    CASE(GUEST_BNDCFGS, {AT(ENTRY_CONTROLS), '|', ENTRY_LOAD_BNDCFGS},
         {AT(GUEST_BNDCFGS), '=', 4}),
    CASE(TR_SELECTOR, {AT(GUEST_TR_SELECTOR), '|', 4}),
    CASE(LDTR_SELECTOR, {AT(GUEST_LDTR_SELECTOR), '|', 4}),
    CASE(SS_RPL, {AT(SECONDARY_CONTROLS), '-', SECONDARY_UNRESTRICTED},
         {AT(GUEST_SS_SELECTOR), '|', 3}),
    FROM(base_v86, V86_BASE, {AT(GUEST_FS_BASE), '=', 0x1010}),
    CASE(TR_BASE, {AT(GUEST_GS_BASE), '=', ODD}),
    CASE(LDTR_BASE, {AT(GUEST_LDTR_BASE), '=', ODD}),
    CASE(CS_BASE, {AT(GUEST_CS_BASE), '=', BIT(32)}),
    CASE(DATA_BASE, {AT(GUEST_ES_BASE), '=', BIT(32)}),
    FROM(base_v86, V86_LIMIT, {AT(GUEST_SS_LIMIT), '=', 0xfffff}),
    FROM(base_v86, V86_RIGHTS, {AT(GUEST_CS_RIGHTS), '=', 0xfb}),
    CASE(CS_TYPE, {AT(GUEST_CS_RIGHTS), '=', 0xa098}),
    CASE(CS_TYPE, {AT(SECONDARY_CONTROLS), '-', SECONDARY_UNRESTRICTED},
         {AT(GUEST_CS_RIGHTS), '=', 0xa093}),
    CASE(SS_TYPE, {AT(GUEST_SS_RIGHTS), '=', 0xc091}),
    CASE(DATA_TYPE, {AT(GUEST_FS_RIGHTS), '=', 0xc092}),
    CASE(DATA_TYPE, {AT(GUEST_DS_RIGHTS), '=', 0xc099}),
    CASE(SEGMENT_S, {AT(GUEST_DS_RIGHTS), '-', BIT(4)}),
    CASE(CS_DPL_DATA, {AT(GUEST_CS_RIGHTS), '=', 0xa0b3}),
    CASE(CS_DPL, {AT(GUEST_CS_RIGHTS), '|', 0x60}),
    CASE(CS_DPL_CONFORMING, {AT(GUEST_CS_RIGHTS), '=', 0xa0ff}),
    CASE(SS_DPL, {AT(SECONDARY_CONTROLS), '-', SECONDARY_UNRESTRICTED},
         {AT(GUEST_SS_SELECTOR), '|', 3}, {AT(GUEST_CS_SELECTOR), '|', 3}),
    FROM(base_real, SS_DPL_REAL, {AT(GUEST_SS_RIGHTS), '|', 0x60},
         {AT(GUEST_CS_RIGHTS), '|', 0x60}),
    CASE(DATA_DPL, {AT(SECONDARY_CONTROLS), '-', SECONDARY_UNRESTRICTED},
         {AT(GUEST_DS_SELECTOR), '|', 3}),
    CASE(SEGMENT_P, {AT(GUEST_GS_RIGHTS), '-', BIT(7)}),
    CASE(SEGMENT_RESERVED, {AT(GUEST_GS_RIGHTS), '|', BIT(8)}),
    CASE(CS_LONG_AND_D, {AT(GUEST_CS_RIGHTS), '|', BIT(14)}),
    CASE(SEGMENT_G, {AT(GUEST_DS_LIMIT), '=', 0xfffff000}),
    CASE(SEGMENT_G, {AT(GUEST_DS_RIGHTS), '-', BIT(15)}),
    CASE(TR_TYPE, {AT(GUEST_TR_RIGHTS), '=', 0x83}),
    FROM(base_pae, TR_TYPE, {AT(GUEST_TR_RIGHTS), '=', 0x89}),
    CASE(TR_RIGHTS, {AT(GUEST_TR_RIGHTS), '=', 0x9b}),
    CASE(TR_USABLE, {AT(GUEST_TR_RIGHTS), '|', VT_SEG_UNUSABLE}),
    CASE(TR_G, {AT(GUEST_TR_LIMIT), '=', 0x100000}),
    CASE(LDTR_TYPE, {AT(GUEST_LDTR_RIGHTS), '=', 0x83}),
    CASE(LDTR_RIGHTS, {AT(GUEST_LDTR_RIGHTS), '=', 2}),
    CASE(LDTR_G, {AT(GUEST_LDTR_LIMIT), '=', 0x100000}),
    CASE(TABLE_BASE, {AT(GUEST_IDTR_BASE), '=', ODD}),
    CASE(TABLE_LIMIT, {AT(GUEST_GDTR_LIMIT), '=', 0x10000}),
    CASE(RIP_HIGH, {AT(GUEST_CS_RIGHTS), '-', BIT(13)}),
    CASE(RIP_CANONICAL, {AT(GUEST_RIP), '=', ODD}),
    CASE(RFLAGS_FIXED, {AT(GUEST_RFLAGS), '=', 0}),
    CASE(RFLAGS_FIXED, {AT(GUEST_RFLAGS), '|', BIT(15)}),
    FROM(base_v86, RFLAGS_VM, {AT(GUEST_CR0), '-', CR0_PE | CR0_PG}),
    CASE(RFLAGS_IF, {AT(ENTRY_EVENT), '=', EVENT(0, 0x20)}),
    CASE(ACTIVITY, {AT(GUEST_ACTIVITY), '=', 4}),
    CASE(ACTIVITY_DPL, {AT(GUEST_ACTIVITY), '=', 1}, {AT(GUEST_SS_RIGHTS), '|', 0x60},
         {AT(GUEST_CS_RIGHTS), '|', 0x60}),
    CASE(ACTIVITY_BLOCKED, {AT(GUEST_ACTIVITY), '=', 1}, {AT(GUEST_RFLAGS), '|', RFLAGS_IF},
         {AT(GUEST_INTERRUPTIBILITY), '=', 1}),
    CASE(ACTIVITY_EVENT, {AT(GUEST_ACTIVITY), '=', 1}, {AT(ENTRY_EVENT), '=', EVENT(3, 6)}),
    CASE(ACTIVITY_EVENT, {AT(GUEST_ACTIVITY), '=', 2}, {AT(GUEST_RFLAGS), '|', RFLAGS_IF},
         {AT(ENTRY_EVENT), '=', EVENT(0, 0x20)}),
    CASE(ACTIVITY_EVENT, {AT(GUEST_ACTIVITY), '=', 3}, {AT(ENTRY_EVENT), '=', EVENT(2, 2)}),
    CASE(BLOCKING_RESERVED, {AT(GUEST_INTERRUPTIBILITY), '=', BIT(5)}),
    CASE(BLOCKING_BOTH, {AT(GUEST_INTERRUPTIBILITY), '=', 3}),
    CASE(BLOCKING_STI_IF, {AT(GUEST_INTERRUPTIBILITY), '=', 1}),
    CASE(BLOCKING_INTERRUPT, {AT(GUEST_INTERRUPTIBILITY), '=', 2},
         {AT(GUEST_RFLAGS), '|', RFLAGS_IF}, {AT(ENTRY_EVENT), '=', EVENT(0, 0x20)}),
    CASE(BLOCKING_NMI, {AT(GUEST_INTERRUPTIBILITY), '=', 2},
         {AT(ENTRY_EVENT), '=', EVENT(2, 2)}),
    CASE(BLOCKING_SMI, {AT(GUEST_INTERRUPTIBILITY), '=', 4}),
    CASE(BLOCKING_VIRTUAL_NMI, {AT(GUEST_INTERRUPTIBILITY), '=', 8},
         {AT(ENTRY_EVENT), '=', EVENT(2, 2)}),
    CASE(PENDING_RESERVED, {AT(GUEST_PENDING_DEBUG), '=', BIT(13)}),
    CASE(PENDING_STEP, {AT(GUEST_INTERRUPTIBILITY), '=', 2},
         {AT(GUEST_PENDING_DEBUG), '=', BIT(14)}),
    CASE(PENDING_STEP, {AT(GUEST_INTERRUPTIBILITY), '=', 2},
         {AT(GUEST_RFLAGS), '|', RFLAGS_TF}),
    CASE(LINK_POINTER, {AT(LINK_POINTER), '=', 5}),
    FROM(base_pae, PDPTE, {AT(GUEST_PDPTE_3), '=', 3}),
};

static enum vmx_rule broken_rule(const struct broken *c)
{
    struct vmcs_image image;

    c->base(&image);
    for (size_t i = 0; i < ARRAY_COUNT(c->changes) && c->changes[i].op; i++) {
        uint64_t *field = &image.at[c->changes[i].at];

        if (c->changes[i].op == '=')
            *field = c->changes[i].value;
        else if (c->changes[i].op == '|')
            *field |= c->changes[i].value;
        else
            *field &= ~c->changes[i].value;
    }
    return vmx_check(&image, &facts);
}

START_TEST(test_vmx_check__valid_images__no_rule)
{
    static void (*const bases[])(struct vmcs_image *) = {base_long, base_pae, base_real,
                                                         base_v86};

    for (size_t i = 0; i < ARRAY_COUNT(bases); i++) {
        struct vmcs_image image;

        bases[i](&image);
        ck_assert_msg(vmx_check(&image, &facts) == VMX_RULE_NONE, "base %zu: %s", i,
                      vmx_rule_text(vmx_check(&image, &facts)));
    }
}
END_TEST

START_TEST(test_vmx_check__one_rule_broken__that_rule_is_named)
{
    const struct broken *c = &cases[_i];

    ck_assert_str_eq(vmx_rule_text(broken_rule(c)), vmx_rule_text(c->rule));
}
END_TEST

START_TEST(test_vmx_check__accessed_bits_not_there__named)
{
    struct vmcs_image image;
    struct vmx_facts without = facts;

    without.ept_vpid &= ~BIT(21);
    base_long(&image);
    image.at[VMCS_AT_EPTP] |= BIT(6);
    ck_assert_int_eq(vmx_check(&image, &facts), VMX_RULE_NONE);
    ck_assert_int_eq(vmx_check(&image, &without), VMX_RULE_EPTP_AD);
}
END_TEST

START_TEST(test_vmx_check__events_that_are_legal__pass)
{
    static const uint32_t legal[] = {0x80000020, 0x80000202, 0x80000b0d,
                                     0x80000306, 0x80000480, 0x80000603};

    for (size_t i = 0; i < ARRAY_COUNT(legal); i++) {
        struct vmcs_image image;

        base_long(&image);
        SET(&image, GUEST_RFLAGS, 0x202);
        SET(&image, ENTRY_EVENT, legal[i]);
        SET(&image, ENTRY_LENGTH, 2);
        ck_assert_int_eq(vmx_check(&image, &facts), VMX_RULE_NONE);
    }
}
END_TEST

START_TEST(test_vmx_check__every_rule__has_a_case_and_a_text)
{
    bool seen[VMX_RULE_COUNT] = {[VMX_RULE_NONE] = true, [VMX_RULE_EPTP_AD] = true};

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        seen[cases[i].rule] = true;
    for (unsigned rule = 0; rule < VMX_RULE_COUNT; rule++) {
        ck_assert_ptr_nonnull(vmx_rule_text((enum vmx_rule)rule));
        ck_assert_msg(seen[rule], "no case breaks: %s", vmx_rule_text((enum vmx_rule)rule));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmx_check");
    TCase *tc = tcase_create("rules");

    tcase_add_test(tc, test_vmx_check__valid_images__no_rule);
    tcase_add_loop_test(tc, test_vmx_check__one_rule_broken__that_rule_is_named, 0,
                        (int)ARRAY_COUNT(cases));
    tcase_add_test(tc, test_vmx_check__accessed_bits_not_there__named);
    tcase_add_test(tc, test_vmx_check__events_that_are_legal__pass);
    tcase_add_test(tc, test_vmx_check__every_rule__has_a_case_and_a_text);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
