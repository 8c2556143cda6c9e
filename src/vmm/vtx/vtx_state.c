// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vtx_state.c -- the guest's registers as the VMCS keeps them.
 *
 * Three values of a control register exist: what the guest wrote (its view), what the CPU runs
 * with, and the mask of bits the guest may not change without an exit ("owned"). Owned bits are
 * read by the guest from the shadow, the others from the real register:
 *
 *      guest's view = (shadow & owned) | (real & ~owned)
 *
 * CR0.NE and CR4.VMXE must be one in the real registers, so they are owned. CR0.PG is owned
 * since turning paging on with EFER.LME set makes long mode, which needs EFER.LMA and the
 * "IA-32e mode guest" entry control to follow at the same time; long_mode_follow() is the one
 * place for that.
 * PE, WP, AM, TS, MP and EM are the guest's: with unrestricted guest the CPU does all of them.
 *
 * DR7 is the guest's in the VMCS but for GD; the shared code loads DR0-3 when the world
 * arrives. The view is kept in memory since MOV DR always exits.
 *
 * Invariants
 *   - Entry control IA-32e == EFER.LMA == EFER.LME && CR0.PG, after every set.
 *   - With PAE paging outside long mode the four PDPTE fields are those at CR3.
 *   - A usable code or data segment has its accessed bit, TR its busy bit.
 * Locking    none; the VMCS is current on this CPU or vtx_access_begin() makes it so.
 * Sources    SDM volume 3C, 24.4, 24.6.6, 26.3; volume 3A, 9.1 (reset state)
 */
#include "vmm/vm.h"
#include "vmm/vtx/vtx_internal.h"

#define CR0_HARDWARE_ONLY (CR0_CD | CR0_NW)  // entries do not change them
#define RFLAGS_KNOWN      0x3f7fd7ull
#define DR7_FIXED         BIT(10)
#define RIGHTS_RESERVED   (0xfffe0000u | 0xf00u)
#define RIGHTS_S          BIT(4)
#define RIGHTS_TR_TYPE    0xfu
#define TR_BUSY_64        11u
#define PAT_AT_RESET      0x0007040600070406ull

const uint32_t vtx_swapped_msrs[VTX_SWAPPED_MSRS] = {
    MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
};

/* The field of a register that is kept as it is, or 0. */
static uint32_t plain_field(enum vt_reg reg)
{
    switch (reg) {
    case VT_RSP: return VMCS_GUEST_RSP;
    case VT_RFLAGS: return VMCS_GUEST_RFLAGS;
    case VT_CR3: return VMCS_GUEST_CR3;
    case VT_EFER: return VMCS_GUEST_EFER;
    case VT_PAT: return VMCS_GUEST_PAT;
    case VT_SYSENTER_CS: return VMCS_GUEST_SYSENTER_CS;
    case VT_SYSENTER_ESP: return VMCS_GUEST_SYSENTER_ESP;
    case VT_SYSENTER_EIP: return VMCS_GUEST_SYSENTER_EIP;
    default: return 0;
    }
}

/* Which of the MSRs that are swapped by hand, or -1. */
static int swapped_index(enum vt_reg reg)
{
    switch (reg) {
    case VT_STAR: return 0;
    case VT_LSTAR: return 1;
    case VT_CSTAR: return 2;
    case VT_SFMASK: return 3;
    case VT_KERNEL_GS_BASE: return 4;
    default: return -1;
    }
}

static uint64_t swapped_get(struct vtx_vcpu *x, int index)
{
    bool irqs = plat_irq_save();
    uint64_t value = x->loaded ? plat_msr_read(vtx_swapped_msrs[index]) : x->swapped[index];

    plat_irq_restore(irqs);
    return value;
}

static void swapped_set(struct vtx_vcpu *x, int index, uint64_t value)
{
    bool irqs = plat_irq_save();

    x->swapped[index] = value;
    if (x->loaded)
        plat_msr_write(vtx_swapped_msrs[index], value);
    plat_irq_restore(irqs);
}

static uint64_t cr0_view(void)
{
    return (vmcs_read(VMCS_CR0_SHADOW) & VTX_CR0_OWNED) |
           (vmcs_read(VMCS_GUEST_CR0) & ~VTX_CR0_OWNED);
}

static uint64_t cr4_view(void)
{
    return (vmcs_read(VMCS_CR4_SHADOW) & VTX_CR4_OWNED) |
           (vmcs_read(VMCS_GUEST_CR4) & ~VTX_CR4_OWNED);
}

uint64_t vtx_get(struct vcpu *v, enum vt_reg reg)
{
    struct vtx_vcpu *x = vtx_of(v);

    // These come first: emulated instructions ask for them all the time.
    if (reg == VT_RIP)
        return x->rip;
    if (__builtin_expect(x->loaded, 1)) {
        switch ((unsigned)reg) {
        case VT_RFLAGS: return vmcs_read(VMCS_GUEST_RFLAGS);
        case VT_RSP: return vmcs_read(VMCS_GUEST_RSP);
        case VT_CR0: return cr0_view();
        case VT_CR3: return vmcs_read(VMCS_GUEST_CR3);
        case VT_CR4: return cr4_view();
        case VT_EFER: return vmcs_read(VMCS_GUEST_EFER);
        default: break;
        }
    }

    uint32_t field = plain_field(reg);
    uint64_t value = 0;

    if (reg == VT_CR2)
        return v->regs.cr2;
    if (reg == VT_DR6)
        return v->dr6;
    if (reg == VT_DR7)
        return x->dr7;
    if (swapped_index(reg) >= 0)
        return swapped_get(x, swapped_index(reg));

    bool irqs = vtx_access_begin(x);
    if (field)
        value = vmcs_read(field);
    else if (reg == VT_CR0)
        value = cr0_view();
    else if (reg == VT_CR4)
        value = cr4_view();
    vtx_access_end(x, irqs);
    return value;
}

/*
 * PAE paging without long mode: an entry takes the four top entries from the VMCS. What is no
 * RAM reads as not present. A reserved bit that is set would make the entry fail, and MOV to
 * CR3 would have given #GP; the present bit is dropped, so that the guest faults and not the
 * entry.
 */
static void pdptes_load(struct vcpu *v, const struct vmx_facts *facts)
{
    uint64_t pdpte[4] = {0};
    uint64_t cr3 = vmcs_read(VMCS_GUEST_CR3) & 0xffffffe0ull;
    uint64_t reserved = 0x1e6 | ~(BIT(facts->physical_bits) - 1);

    if (vm_memory_read(v->vm, gpa_make(cr3), pdpte, sizeof pdpte) != VMK_OK)
        pdpte[0] = pdpte[1] = pdpte[2] = pdpte[3] = 0;
    for (uint32_t i = 0; i < 4; i++) {
        if ((pdpte[i] & BIT(0)) && (pdpte[i] & reserved))
            pdpte[i] = 0;
        vmcs_write(VMCS_GUEST_PDPTE_0 + 2 * i, pdpte[i]);
    }
}

static void long_mode_follow(struct vcpu *v, struct vtx_vcpu *x)
{
    uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
    bool paging = vmcs_read(VMCS_CR0_SHADOW) & CR0_PG;
    bool lma = paging && (efer & EFER_LME);
    uint32_t entry = lma ? x->entry | (uint32_t)ENTRY_IA32E : x->entry & ~(uint32_t)ENTRY_IA32E;

    vmcs_write(VMCS_GUEST_EFER, lma ? efer | EFER_LMA : efer & ~EFER_LMA);
    if (entry != x->entry) {
        x->entry = entry;
        vmcs_write(VMCS_ENTRY_CONTROLS, entry);
    }
    if (lma) {
        /* A 16-bit or non-busy TSS from before is legal for software that will load TR soon. */
        uint64_t rights = vmcs_read(VMCS_GUEST_TR_RIGHTS);

        if ((rights & RIGHTS_TR_TYPE) != TR_BUSY_64)
            vmcs_write(VMCS_GUEST_TR_RIGHTS, (rights & ~(uint64_t)RIGHTS_TR_TYPE) | TR_BUSY_64);
    } else if (paging && (vmcs_read(VMCS_GUEST_CR4) & CR4_PAE)) {
        pdptes_load(v, &x->cpu->facts);
    }
}

static void cr0_set(struct vtx_vcpu *x, uint64_t value)
{
    const struct vmx_facts *facts = &x->cpu->facts;
    uint64_t must = facts->cr0_fixed0 & ~(CR0_PE | CR0_PG);  // unrestricted guest
    uint64_t real = ((value & ~CR0_HARDWARE_ONLY) | must | CR0_ET) & facts->cr0_fixed1;

    vmcs_write(VMCS_GUEST_CR0, real);
    vmcs_write(VMCS_CR0_SHADOW, value | CR0_ET);
}

static void cr4_set(struct vtx_vcpu *x, uint64_t value)
{
    const struct vmx_facts *facts = &x->cpu->facts;

    vmcs_write(VMCS_GUEST_CR4, (value | facts->cr4_fixed0) & facts->cr4_fixed1);
    vmcs_write(VMCS_CR4_SHADOW, value);
}

void vtx_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    struct vtx_vcpu *x = vtx_of(v);

    if (reg == VT_RIP) {
        x->rip = value;
        x->rip_dirty = true;
        return;
    }

    uint32_t field = plain_field(reg);

    if (reg == VT_CR2) {
        v->regs.cr2 = value;
        return;
    }
    if (swapped_index(reg) >= 0) {
        swapped_set(x, swapped_index(reg), value);
        return;
    }

    if (reg == VT_DR6) {
        v->dr6 = value;
        return;
    }

    bool irqs = vtx_access_begin(x);
    if (reg == VT_RFLAGS)
        value = (value & RFLAGS_KNOWN) | RFLAGS_FIXED;
    if (field) {
        vmcs_write(field, value);
    } else if (reg == VT_CR0) {
        cr0_set(x, value);
    } else if (reg == VT_CR4) {
        cr4_set(x, value);
    } else if (reg == VT_DR7) {
        x->dr7 = (value & 0xffff2bff) | DR7_FIXED;
        v->breakpoints = (uint8_t)value;
        vmcs_write(VMCS_GUEST_DR7, x->dr7 & ~DR7_GD);
    }
    if (reg == VT_CR0 || reg == VT_CR3 || reg == VT_CR4 || reg == VT_EFER)
        long_mode_follow(v, x);
    vtx_access_end(x, irqs);
}

void vtx_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    struct vtx_vcpu *x = vtx_of(v);
    bool irqs = vtx_access_begin(x);

    *out = (struct vt_segment){0};
    out->base = vmcs_read(VMCS_BASE(seg));
    out->limit = (uint32_t)vmcs_read(VMCS_LIMIT(seg));
    if (seg < VT_GDTR) {
        out->selector = (uint16_t)vmcs_read(VMCS_SELECTOR(seg));
        out->rights = (uint32_t)vmcs_read(VMCS_RIGHTS(seg));
    }
    vtx_access_end(x, irqs);
}

static uint32_t rights_for_entry(enum vt_seg seg, uint32_t rights)
{
    rights &= ~RIGHTS_RESERVED;
    if (rights & VT_SEG_UNUSABLE)
        return rights;
    if (seg <= VT_GS && (rights & RIGHTS_S))
        rights |= 1;
    if (seg == VT_TR)
        rights |= 2;
    return rights;
}

void vtx_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in)
{
    struct vtx_vcpu *x = vtx_of(v);
    bool irqs = vtx_access_begin(x);

    vmcs_write(VMCS_BASE(seg), in->base);
    vmcs_write(VMCS_LIMIT(seg), in->limit);
    if (seg < VT_GDTR) {
        vmcs_write(VMCS_SELECTOR(seg), in->selector);
        vmcs_write(VMCS_RIGHTS(seg), rights_for_entry(seg, in->rights));
    }
    vtx_access_end(x, irqs);
}

unsigned vtx_cpl(struct vcpu *v)
{
    struct vtx_vcpu *x = vtx_of(v);
    bool irqs = vtx_access_begin(x);
    unsigned dpl = vmcs_read(VMCS_GUEST_SS_RIGHTS) >> 5 & 3;  // the CPU keeps CPL there, always

    vtx_access_end(x, irqs);
    return dpl;
}

static void reset_segments(struct vcpu *v)
{
    static const struct vt_segment data = {.limit = 0xffff, .rights = 0x93};
    static const struct vt_segment code = {
        .selector = 0xf000, .base = 0xffff0000, .limit = 0xffff, .rights = 0x9b};
    static const struct vt_segment ldtr = {.limit = 0xffff, .rights = 0x82};
    static const struct vt_segment tr = {.limit = 0xffff, .rights = 0x8b};
    static const struct vt_segment table = {.limit = 0xffff};

    for (unsigned seg = VT_ES; seg <= VT_GS; seg++)
        vtx_set_segment(v, (enum vt_seg)seg, seg == VT_CS ? &code : &data);
    vtx_set_segment(v, VT_LDTR, &ldtr);
    vtx_set_segment(v, VT_TR, &tr);
    vtx_set_segment(v, VT_GDTR, &table);
    vtx_set_segment(v, VT_IDTR, &table);
}

static void controls_write(struct vtx_vcpu *x, const struct vmx_controls *c)
{
    x->primary = c->primary;
    x->entry = c->entry;
    vmcs_write(VMCS_PIN_CONTROLS, c->pin);
    vmcs_write(VMCS_PRIMARY_CONTROLS, c->primary);
    vmcs_write(VMCS_SECONDARY_CONTROLS, c->secondary);
    vmcs_write(VMCS_EXIT_CONTROLS, c->exit);
    vmcs_write(VMCS_ENTRY_CONTROLS, c->entry);
    /*
     * #MC is the host's; #GP to let the VMware backdoor's ports through from user mode; #DB
     * because DR6 is no field of the VMCS: what the guest would find there stands in the exit.
     */
    vmcs_write(VMCS_EXCEPTION_BITMAP, BIT(18) | BIT(13) | BIT(1));
    vmcs_write(VMCS_PFEC_MASK, 0);
    vmcs_write(VMCS_PFEC_MATCH, 0);
    vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
    vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
    vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
    vmcs_write(VMCS_ENTRY_EVENT, 0);
    vmcs_write(VMCS_MSR_BITMAP, mpn_to_paddr(x->msr_bitmap).raw);
    vmcs_write(VMCS_VPID, x->vpid);
    vmcs_write(VMCS_TSC_OFFSET, x->tsc_offset);
    vmcs_write(VMCS_CR0_MASK, VTX_CR0_OWNED);
    vmcs_write(VMCS_CR4_MASK, VTX_CR4_OWNED);
    if (c->secondary & SECONDARY_PLE) {
        vmcs_write(VMCS_PLE_GAP, 128);
        vmcs_write(VMCS_PLE_WINDOW, 4096);
    }
}

void vtx_state_init(struct vcpu *v, const struct vtx_cpu *cpu)
{
    struct vtx_vcpu *x = vtx_of(v);

    controls_write(x, &cpu->controls);
    vmcs_write(VMCS_LINK_POINTER, UINT64_MAX);
    vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
    vmcs_write(VMCS_GUEST_ACTIVITY, 0);
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
    vmcs_write(VMCS_GUEST_SMBASE, 0);
    for (uint32_t i = 0; i < 4; i++)
        vmcs_write(VMCS_GUEST_PDPTE_0 + 2 * i, 0);
    vmcs_write(VMCS_GUEST_EFER, 0);
    vmcs_write(VMCS_GUEST_CR3, 0);
    cr0_set(x, 0x60000010);
    cr4_set(x, 0);
    reset_segments(v);
    vtx_set(v, VT_DR7, 0x400);
    vtx_set(v, VT_RFLAGS, 2);
    vtx_set(v, VT_RSP, 0);
    vtx_set(v, VT_RIP, 0xfff0);
    vtx_set(v, VT_PAT, PAT_AT_RESET);
    vtx_set(v, VT_SYSENTER_CS, 0);
    vtx_set(v, VT_SYSENTER_ESP, 0);
    vtx_set(v, VT_SYSENTER_EIP, 0);
}

void vtx_host_state_write(void)
{
    struct plat_host_segments s;

    plat_host_segments(&s);
    vmcs_write(VMCS_HOST_CR0, plat_cr_read(0));
    vmcs_write(VMCS_HOST_CR3, plat_cr_read(3));
    vmcs_write(VMCS_HOST_CR4, plat_cr_read(4));
    vmcs_write(VMCS_HOST_ES_SELECTOR, s.es & 0xfff8u);
    vmcs_write(VMCS_HOST_CS_SELECTOR, s.cs & 0xfff8u);
    vmcs_write(VMCS_HOST_SS_SELECTOR, s.ss & 0xfff8u);
    vmcs_write(VMCS_HOST_DS_SELECTOR, s.ds & 0xfff8u);
    vmcs_write(VMCS_HOST_FS_SELECTOR, s.fs & 0xfff8u);
    vmcs_write(VMCS_HOST_GS_SELECTOR, s.gs & 0xfff8u);
    vmcs_write(VMCS_HOST_TR_SELECTOR, s.tr & 0xfff8u);
    vmcs_write(VMCS_HOST_FS_BASE, s.fs_base);
    vmcs_write(VMCS_HOST_GS_BASE, s.gs_base);
    vmcs_write(VMCS_HOST_TR_BASE, s.tr_base);
    vmcs_write(VMCS_HOST_GDTR_BASE, s.gdtr_base);
    vmcs_write(VMCS_HOST_IDTR_BASE, s.idtr_base);
    vmcs_write(VMCS_HOST_SYSENTER_CS, plat_msr_read(MSR_SYSENTER_CS));
    vmcs_write(VMCS_HOST_SYSENTER_ESP, plat_msr_read(MSR_SYSENTER_ESP));
    vmcs_write(VMCS_HOST_SYSENTER_EIP, plat_msr_read(MSR_SYSENTER_EIP));
    vmcs_write(VMCS_HOST_EFER, plat_msr_read(MSR_EFER));
    vmcs_write(VMCS_HOST_PAT, plat_msr_read(MSR_PAT));
}
