// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vmx_check.c -- the VM-entry checks of the CPU, done in software to name the broken one.
 *
 * A CPU that refuses an entry gives a number: 7 (controls), 8 (host state) or exit reason 33
 * (guest state), each standing for dozens of rules. Here they are rows of vmx_rules.def over an
 * image of the VMCS, so a failed entry is logged with a sentence. As a function of image and
 * facts it needs no VMX: the tests break each rule on purpose, from an image that passes.
 *
 * Not modelled: rules for features we never enable (SMM entries, Processor Trace, user
 * interrupts, CET state, tertiary controls), and what the MSR areas hold.
 *
 * Invariants  Order is the manual's; the result is the first broken rule.
 * Locking     none: pure.
 * Sources     SDM volume 3C, 26.2 and 26.3
 */
#include "vmm/vtx/vtx_internal.h"

#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

const struct vmcs_field_fact vmcs_fields[VMCS_FIELD_COUNT] = {
#define VMCS_FIELD(field_name, field_encoding) {#field_name, field_encoding},
#include "vmm/vtx/vmcs.def"
};

static bool control_bad(uint64_t word, uint64_t capability)
{
    return (~word & capability & 0xffffffff) || (word & ~(capability >> 32));
}

static bool beyond(uint64_t address, const struct vmx_facts *facts)
{
    return facts->physical_bits < 64 && (address >> facts->physical_bits) != 0;
}

static bool page_bad(uint64_t address, const struct vmx_facts *facts)
{
    return (address & (PAGE_SIZE - 1)) || beyond(address, facts);
}

static bool not_canonical(uint64_t address, const struct vmx_facts *facts)
{
    unsigned unused = 64 - facts->linear_bits;

    return (uint64_t)((int64_t)(address << unused) >> unused) != address;
}

static bool fixed_bad(uint64_t value, uint64_t ones, uint64_t may)
{
    return (~value & ones) || (value & ~may);
}

static bool pat_bad(uint64_t pat)
{
    for (unsigned i = 0; i < 8; i++, pat >>= 8) {
        unsigned type = pat & 0xff;

        if (type == 2 || type == 3 || type > 7)
            return true;
    }
    return false;
}

static bool eptp_type_bad(uint64_t eptp, const struct vmx_facts *facts)
{
    unsigned type = eptp & 7;

    if (type == 0)
        return !(facts->ept_vpid & BIT(8));
    return type != 6 || !(facts->ept_vpid & BIT(14));
}

static bool eptp_walk_bad(uint64_t eptp, const struct vmx_facts *facts)
{
    unsigned levels = (unsigned)(eptp >> 3 & 7) + 1;

    if (levels == 5)
        return !(facts->ept_vpid & BIT(7));
    return levels != 4 || !(facts->ept_vpid & BIT(6));
}

static bool msr_area_bad(uint64_t address, uint64_t count, const struct vmx_facts *facts)
{
    uint64_t room = 512 * ((facts->misc >> 25 & 7) + 1);

    if (!count)
        return false;
    return count > room || (address & 15) || beyond(address, facts) ||
           beyond(address + count * 16 - 1, facts);
}

static bool vector_has_error(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static bool usable(uint64_t rights)
{
    return !(rights & VT_SEG_UNUSABLE);
}

static unsigned dpl(uint64_t rights)
{
    return (unsigned)(rights >> 5 & 3);
}

/* One segment register out of the image. */
struct segment {
    enum vt_seg which;
    uint64_t selector, base, limit, rights;
};

static struct segment segment_of(const struct vmcs_image *image, enum vt_seg seg)
{
    return (struct segment){
        .which = seg,
        .selector = image->at[VMCS_AT_GUEST_ES_SELECTOR + (unsigned)seg],
        .base = image->at[VMCS_AT_GUEST_ES_BASE + (unsigned)seg],
        .limit = image->at[VMCS_AT_GUEST_ES_LIMIT + (unsigned)seg],
        .rights = image->at[VMCS_AT_GUEST_ES_RIGHTS + (unsigned)seg],
    };
}

/* Does the predicate hold for one of ES, CS, SS, DS, FS, GS? */
static bool any_segment(const struct vmcs_image *image, bool (*bad)(const struct segment *s))
{
    for (unsigned seg = VT_ES; seg <= VT_GS; seg++) {
        struct segment s = segment_of(image, (enum vt_seg)seg);

        if (bad(&s))
            return true;
    }
    return false;
}

static bool is_data(const struct segment *s)
{
    return s->which != VT_CS && s->which != VT_SS;
}

static bool must_be_right(const struct segment *s)
{
    return s->which == VT_CS || usable(s->rights);  // CS is checked even if unusable
}

static bool v86_base_bad(const struct segment *s)
{
    return s->base != s->selector << 4;
}

static bool v86_limit_bad(const struct segment *s)
{
    return s->limit != 0xffff;
}

static bool v86_rights_bad(const struct segment *s)
{
    return s->rights != 0xf3;
}

static bool data_type_bad(const struct segment *s)
{
    if (!is_data(s) || !usable(s->rights))
        return false;
    return !(s->rights & 1) || ((s->rights & 8) && !(s->rights & 2));
}

static bool s_bit_bad(const struct segment *s)
{
    return must_be_right(s) && !(s->rights & BIT(4));
}

static bool p_bit_bad(const struct segment *s)
{
    return must_be_right(s) && !(s->rights & BIT(7));
}

static bool reserved_bad(const struct segment *s)
{
    return must_be_right(s) && (s->rights & 0xfffe0f00);
}

static bool data_dpl_bad(const struct segment *s)
{
    if (!is_data(s) || !usable(s->rights) || (s->rights & 15) > 11)
        return false;
    return dpl(s->rights) < (s->selector & 3);
}

static bool limit_granularity_bad(uint64_t limit, uint64_t rights)
{
    bool pages = rights & BIT(15);

    return (pages && (limit & 0xfff) != 0xfff) || (!pages && (limit & 0xfff00000));
}

static bool granularity_bad(const struct segment *s)
{
    return must_be_right(s) && limit_granularity_bad(s->limit, s->rights);
}

static bool any_data_base_high(const struct vmcs_image *image)
{
    static const enum vt_seg which[] = {VT_ES, VT_SS, VT_DS};

    for (size_t i = 0; i < ARRAY_COUNT(which); i++) {
        struct segment s = segment_of(image, which[i]);

        if (usable(s.rights) && s.base >> 32)
            return true;
    }
    return false;
}

static bool cs_type_bad(uint64_t rights, bool unrestricted)
{
    unsigned type = rights & 15;

    return type != 9 && type != 11 && type != 13 && type != 15 && !(unrestricted && type == 3);
}

/* What may end an activity state other than active: 26.3.1.5. */
static bool activity_event_bad(uint64_t activity, unsigned type, unsigned vector)
{
    if (activity == 1)  // HLT
        return !(type == VT_EVENT_INTERRUPT || type == VT_EVENT_NMI ||
                 (type == VT_EVENT_EXCEPTION && (vector == 1 || vector == 18)) ||
                 (type == 7 && vector == 0));
    if (activity == 2)  // shutdown
        return !(type == VT_EVENT_NMI || (type == VT_EVENT_EXCEPTION && vector == 18));
    return true;  // wait for SIPI
}

static bool pdptes_bad(const struct vmcs_image *image, const struct vmx_facts *facts)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t pdpte = image->at[VMCS_AT_GUEST_PDPTE_0 + i];

        if ((pdpte & 1) && ((pdpte & 0x1e6) || beyond(pdpte, facts)))
            return true;
    }
    return false;
}

enum vmx_rule vmx_check(const struct vmcs_image *image, const struct vmx_facts *facts)
{
#define F(field) (image->at[VMCS_AT_##field])
    const uint64_t pin = F(PIN_CONTROLS);
    const uint64_t primary = F(PRIMARY_CONTROLS);
    const uint64_t secondary = primary & PRIMARY_SECONDARY ? F(SECONDARY_CONTROLS) : 0;
    const uint64_t exit = F(EXIT_CONTROLS);
    const uint64_t entry = F(ENTRY_CONTROLS);
    const bool unrestricted = secondary & SECONDARY_UNRESTRICTED;
    const bool ia32e = entry & ENTRY_IA32E;
    const uint64_t event = F(ENTRY_EVENT);
    const bool event_valid = event & EVENT_VALID;
    const bool event_has_error = event & EVENT_HAS_ERROR;
    const unsigned event_type = event >> 8 & 7;
    const unsigned event_vector = event & 0xff;
    const uint64_t cr0 = F(GUEST_CR0);
    const uint64_t cr4 = F(GUEST_CR4);
    const uint64_t rflags = F(GUEST_RFLAGS);
    const bool v86 = rflags & RFLAGS_VM;
    const unsigned cs_type = F(GUEST_CS_RIGHTS) & 15;
    const unsigned tr_type = F(GUEST_TR_RIGHTS) & 15;
    const uint64_t activity = F(GUEST_ACTIVITY);
    const uint64_t blocking = F(GUEST_INTERRUPTIBILITY);
    const uint64_t pending = F(GUEST_PENDING_DEBUG);

#define VMX_RULE(name, violated, text)                                                         \
    if (violated)                                                                              \
        return VMX_RULE_##name;
#include "vmm/vtx/vmx_rules.def"
    return VMX_RULE_NONE;
#undef F
}

const char *vmx_rule_text(enum vmx_rule rule)
{
    static const char *const texts[VMX_RULE_COUNT] = {
        [VMX_RULE_NONE] = "no rule that the checker knows is broken",
#define VMX_RULE(name, violated, text) [VMX_RULE_##name] = text,
#include "vmm/vtx/vmx_rules.def"
    };

    if ((unsigned)rule >= VMX_RULE_COUNT)
        return "no such rule";
    return texts[rule];
}

const char *vmx_rule_name(enum vmx_rule rule)
{
    static const char *const names[VMX_RULE_COUNT] = {
        [VMX_RULE_NONE] = "NONE",
#define VMX_RULE(name, violated, text) [VMX_RULE_##name] = #name,
#include "vmm/vtx/vmx_rules.def"
    };

    return (unsigned)rule < VMX_RULE_COUNT ? names[rule] : "?";
}
