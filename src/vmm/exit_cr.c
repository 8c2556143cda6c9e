// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/exit_cr.c -- moves to and from control registers, debug registers and XCR0.
 *
 * The processor checks some of these moves before it exits and some not, and the two vendors
 * differ; so every rule is checked here.
 *
 * Invariants: what reaches vt()->set() is a state that an entry accepts.
 * Locking: none; the vCPU's world.
 *
 * Sources: SDM-2B, "MOV -- Move to/from Control Registers"; SDM-3A, "Control Registers";
 * SDM-2D, "XSETBV".
 */
#include "plat/plat.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

#define CR0_KNOWN 0xe005003full

static bool long_mode(struct vcpu *v)
{
    return vt()->get(v, VT_EFER) & EFER_LMA;
}

static bool code_is_64(struct vcpu *v)
{
    struct vt_segment cs;

    vt()->get_segment(v, VT_CS, &cs);
    return long_mode(v) && (cs.rights & VT_SEG_L);
}

static bool cr0_write(struct vcpu *v, uint64_t value)
{
    uint64_t old = vt()->get(v, VT_CR0);

    if (value >> 32)
        return false;
    value = (value & CR0_KNOWN) | CR0_ET;
    if ((value & CR0_PG) && !(value & CR0_PE))
        return false;
    if ((value & CR0_NW) && !(value & CR0_CD))
        return false;
    if ((value & ~old & CR0_PG) && (vt()->get(v, VT_EFER) & EFER_LME)) {
        struct vt_segment cs;

        vt()->get_segment(v, VT_CS, &cs);
        if (!(vt()->get(v, VT_CR4) & CR4_PAE) || (cs.rights & VT_SEG_L))
            return false;
    }
    if ((~value & old & CR0_PG) && (code_is_64(v) || (vt()->get(v, VT_CR4) & CR4_PCIDE)))
        return false;
    vt()->set(v, VT_CR0, value);
    if ((value ^ old) & (CR0_PG | CR0_WP | CR0_PE))
        vt()->flush_vcpu(v);
    return true;
}

static bool cr3_write(struct vcpu *v, uint64_t value)
{
    if (vt()->get(v, VT_CR4) & CR4_PCIDE)
        value &= ~BIT(63);
    if (long_mode(v) && (value & cpuid_address_reserved(v)))
        return false;
    vt()->set(v, VT_CR3, value);
    vt()->flush_vcpu(v);
    return true;
}

static bool cr4_write(struct vcpu *v, uint64_t value)
{
    uint64_t old = vt()->get(v, VT_CR4);

    if (value & ~cpuid_cr4_allowed(v))
        return false;
    if (long_mode(v) && !(value & CR4_PAE))
        return false;
    if ((value & ~old & CR4_PCIDE) && (!long_mode(v) || (vt()->get(v, VT_CR3) & 0xfff)))
        return false;
    vt()->set(v, VT_CR4, value);
    if ((value ^ old) & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        vt()->flush_vcpu(v);
    return true;
}

static bool cr_write(struct vcpu *v, unsigned number, uint64_t value)
{
    switch (number) {
    case 0: return cr0_write(v, value);
    case 3: return cr3_write(v, value);
    case 4: return cr4_write(v, value);
    case 8:
        if (value >> 4)
            return false;
        vlapic_cr8_set(v, value);
        return true;
    default: return false;
    }
}

static uint64_t cr_read(struct vcpu *v, unsigned number)
{
    switch (number) {
    case 0: return vt()->get(v, VT_CR0);
    case 3: return vt()->get(v, VT_CR3);
    case 4: return vt()->get(v, VT_CR4);
    case 8: return vlapic_cr8(v);
    default: return 0;
    }
}

enum exit_verdict exit_cr_access(struct vcpu *v, const struct vm_exit *exit)
{
    bool wide = code_is_64(v);
    uint64_t cr0 = vt()->get(v, VT_CR0);
    uint64_t value;

    switch (exit->cr.kind) {
    case VM_CR_CLTS: vt()->set(v, VT_CR0, cr0 & ~CR0_TS); return EXIT_RESUME_NEXT;
    case VM_CR_LMSW:
        // It can set PE but not clear it.
        value = (cr0 & ~0xeull) | (exit->cr.value & 0xf);
        if (cr0_write(v, value))
            return EXIT_RESUME_NEXT;
        break;
    case VM_CR_MOV:
        if (!exit->cr.write) {
            value = cr_read(v, exit->cr.number);
            vcpu_gpr_set(v, exit->cr.gpr, wide ? value : (uint32_t)value);
            return EXIT_RESUME_NEXT;
        }
        value = vcpu_gpr(v, exit->cr.gpr);
        if (cr_write(v, exit->cr.number, wide ? value : (uint32_t)value))
            return EXIT_RESUME_NEXT;
        break;
    }
    vcpu_raise_gp(v);
    return EXIT_RESUME;
}

/* Breakpoint addresses are in the hardware while the vCPU is loaded; DR7 is the back end's. */
enum exit_verdict exit_dr_access(struct vcpu *v, const struct vm_exit *exit)
{
    unsigned number = exit->dr.number & 7;
    uint64_t value;

    if (number == 4 || number == 5) {
        if (vt()->get(v, VT_CR4) & CR4_DE) {
            vcpu_raise_ud(v);
            return EXIT_RESUME;
        }
        number += 2;
    }
    if (vt()->cpl(v) != 0) {  // Bochs exits first
        vcpu_raise_gp(v);
        return EXIT_RESUME;
    }
    if (__builtin_expect(vt()->get(v, VT_DR7) & DR7_GD, 0)) {
        vt()->set(v, VT_DR7, vt()->get(v, VT_DR7) & ~DR7_GD);
        vcpu_raise_db(v, DR6_BD);
        return EXIT_RESUME;
    }
    if (!exit->dr.write) {
        value = number < 4 ? v->dr[number] : vt()->get(v, number == 6 ? VT_DR6 : VT_DR7);
        vcpu_gpr_set(v, exit->dr.gpr, value);
        return EXIT_RESUME_NEXT;
    }
    value = vcpu_gpr(v, exit->dr.gpr);
    if (!code_is_64(v))
        value = (uint32_t)value;
    if (number < 4) {
        bool irqs = plat_irq_save();

        // A switch of worlds loads them again.
        v->dr[number] = value;
        plat_debug_addresses_load(v->dr);
        plat_irq_restore(irqs);
        return EXIT_RESUME_NEXT;
    }
    if (value >> 32) {
        vcpu_raise_gp(v);
        return EXIT_RESUME;
    }
    if (number == 6)
        vt()->set(v, VT_DR6, (value & (DR6_HITS | DR6_BD | DR6_BS | DR6_BT)) | DR6_FIXED);
    else
        vt()->set(v, VT_DR7, (value & 0xffff2bffull) | 0x400);
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_xsetbv(struct vcpu *v, const struct vm_exit *exit)
{
    uint64_t value = (uint32_t)v->regs.gpr[GPR_RAX] | v->regs.gpr[GPR_RDX] << 32;
    uint64_t avx512 = value & 0xe0;

    (void)exit;
    if (!(vt()->get(v, VT_CR4) & CR4_OSXSAVE)) {
        vcpu_raise_ud(v);
        return EXIT_RESUME;
    }
    if (vt()->cpl(v) != 0 || (uint32_t)v->regs.gpr[GPR_RCX] != 0 || !(value & 1) ||
        (value & ~cpuid_xcr0_allowed()) || ((value & 4) && !(value & 2)) ||
        (avx512 && (avx512 != 0xe0 || !(value & 4)))) {
        vcpu_raise_gp(v);
        return EXIT_RESUME;
    }
    v->xcr0 = value;  // the back end loads it at the next entry
    return EXIT_RESUME_NEXT;
}
