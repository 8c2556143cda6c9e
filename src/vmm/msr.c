// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/msr.c -- RDMSR and WRMSR: what a guest may know and change; anything else is #GP.
 *
 * Registers that a processor has but the VMM does not virtualise read as a machine without that
 * feature would show them, so that an unmodified Linux finds nothing to complain of.
 *
 * Invariants: no guest value reaches a host register unchecked.
 * Locking: none; the vCPU's world. The local APIC's registers lock for themselves.
 *
 * Sources: SDM-4; APM-2, "MSR Cross-Reference".
 */
#include "plat/plat.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

#define MTRR_CAP 0x508u  // 8 variable ranges, fixed ranges, write-combining

/* Where an MTRR is kept in v->mtrr, or -1. */
static int mtrr_slot(uint32_t index)
{
    if (index >= MSR_MTRR_PHYS_FIRST && index <= MSR_MTRR_PHYS_LAST)
        return (int)(index - MSR_MTRR_PHYS_FIRST);
    if (index >= MSR_MTRR_FIX4K_FIRST && index <= MSR_MTRR_FIX4K_LAST)
        return (int)(16 + index - MSR_MTRR_FIX4K_FIRST);
    switch (index) {
    case MSR_MTRR_FIX64K: return 24;
    case MSR_MTRR_FIX16K_0: return 25;
    case MSR_MTRR_FIX16K_1: return 26;
    case MSR_MTRR_DEF_TYPE: return 27;
    default: return -1;
    }
}

static bool memory_type_ok(unsigned type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool mtrr_value_ok(struct vcpu *v, uint32_t index, uint64_t value)
{
    if (index <= MSR_MTRR_PHYS_LAST && (value & cpuid_address_reserved(v)))
        return false;
    if (index == MSR_MTRR_DEF_TYPE)
        return !(value & ~0xcffull) && memory_type_ok(value & 0xff);
    if (index <= MSR_MTRR_PHYS_LAST)
        return (index & 1) ? !(value & 0x7ff)
                           : memory_type_ok(value & 0xff) && !(value & 0xf00);
    for (unsigned i = 0; i < 8; i++) {
        if (!memory_type_ok(value >> (8 * i) & 0xff))
            return false;
    }
    return true;
}

static bool pat_ok(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> (8 * i) & 0xff;

        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

/* Registers of the vCPU's back end. VT_REG_COUNT: not one. */
static enum vt_reg reg_of(uint32_t index)
{
    switch (index) {
    case MSR_SYSENTER_CS: return VT_SYSENTER_CS;
    case MSR_SYSENTER_ESP: return VT_SYSENTER_ESP;
    case MSR_SYSENTER_EIP: return VT_SYSENTER_EIP;
    case MSR_PAT: return VT_PAT;
    case MSR_EFER: return VT_EFER;
    case MSR_STAR: return VT_STAR;
    case MSR_LSTAR: return VT_LSTAR;
    case MSR_CSTAR: return VT_CSTAR;
    case MSR_SFMASK: return VT_SFMASK;
    case MSR_KERNEL_GS_BASE: return VT_KERNEL_GS_BASE;
    default: return VT_REG_COUNT;
    }
}

/* Read as zero, writes without effect: Linux and Xen touch them without asking CPUID. */
static bool is_quiet(uint32_t index)
{
    switch (index) {
    case MSR_AMD_PERF_FIRST ... MSR_AMD_PERF_LAST:
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
    case MSR_PLATFORM_ID:
    case MSR_UCODE_WRITE:
    case MSR_UCODE_REV:
    case MSR_MCG_STATUS:
    case MSR_AMD_SYSCFG:
    case MSR_AMD_HWCR:
    case MSR_AMD_INT_PEND:
    case MSR_AMD_BU_CFG:
    case MSR_AMD_FP_CFG:
    case MSR_AMD_DE_CFG: return true;
    default: return false;
    }
}

bool vcpu_msr_read(struct vcpu *v, uint32_t index, uint64_t *value)
{
    enum vt_reg reg = reg_of(index);
    struct vt_segment segment;
    int slot;

    if (reg != VT_REG_COUNT) {
        *value = vt()->get(v, reg);
        return true;
    }
    switch (index) {
    case MSR_TSC: *value = vcpu_tsc(v); return true;
    case MSR_TSC_ADJUST: *value = v->tsc_adjust; return true;
    case MSR_APIC_BASE:
    case MSR_TSC_DEADLINE: return vlapic_msr_read(v, index, value);
    case MSR_FEATURE_CONTROL:
        *value = 1;  // locked, VMX off
        return true;
    case MSR_MTRR_CAP: *value = MTRR_CAP; return true;
    case MSR_MCG_CAP:
        *value = 0;  // no banks
        return true;
    case MSR_MISC_ENABLE: *value = v->misc_enable; return true;
    case MSR_FS_BASE:
    case MSR_GS_BASE:
        vt()->get_segment(v, index == MSR_FS_BASE ? VT_FS : VT_GS, &segment);
        *value = segment.base;
        return true;
    case MSR_TSC_AUX: *value = v->tsc_aux; return true;
    case MSR_VM_CR:
        *value = BIT(4);  // SVM is disabled
        return true;
    default: break;
    }
    if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
        return vlapic_msr_read(v, index, value);
    slot = mtrr_slot(index);
    if (slot >= 0) {
        *value = v->mtrr[slot];
        return true;
    }
    *value = 0;
    return is_quiet(index);
}

static bool efer_write(struct vcpu *v, uint64_t value)
{
    uint64_t old = vt()->get(v, VT_EFER);
    uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA;
    struct plat_cpuid c;

    vcpu_cpuid(v, 0x80000001u, 0, &c);
    if (c.edx & BIT(20))
        allowed |= EFER_NXE;
    if (value & ~allowed)
        return false;
    if (((value ^ old) & EFER_LME) && (vt()->get(v, VT_CR0) & CR0_PG))
        return false;
    vt()->set(v, VT_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    if ((value ^ old) & EFER_NXE)
        vt()->flush_vcpu(v);
    return true;
}

/* This vCPU's counter alone; a deadline that is armed moves with it. */
static void tsc_adjust_write(struct vcpu *v, uint64_t adjust)
{
    v->tsc_adjust = adjust;  // the back end loads it at the next entry
    vlapic_tsc_moved(v);
}

bool vcpu_msr_write(struct vcpu *v, uint32_t index, uint64_t value)
{
    enum vt_reg reg = reg_of(index);
    struct vt_segment segment;
    int slot;

    switch (index) {
    case MSR_EFER: return efer_write(v, value);
    case MSR_PAT:
        if (!pat_ok(value))
            return false;
        break;
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_KERNEL_GS_BASE:
    case MSR_SYSENTER_ESP:
    case MSR_SYSENTER_EIP:
        if (!x86_is_canonical(value))
            return false;
        break;
    case MSR_SFMASK:
    case MSR_SYSENTER_CS: value = (uint32_t)value; break;
    case MSR_TSC: tsc_adjust_write(v, v->tsc_adjust + value - vcpu_tsc(v)); return true;
    case MSR_TSC_ADJUST: tsc_adjust_write(v, value); return true;
    case MSR_APIC_BASE:
        if (value & cpuid_address_reserved(v))
            return false;
        fall_through;
    case MSR_TSC_DEADLINE: return vlapic_msr_write(v, index, value);
    case MSR_MISC_ENABLE: v->misc_enable = value; return true;
    case MSR_FS_BASE:
    case MSR_GS_BASE:
        if (!x86_is_canonical(value))
            return false;
        vt()->get_segment(v, index == MSR_FS_BASE ? VT_FS : VT_GS, &segment);
        segment.base = value;
        vt()->set_segment(v, index == MSR_FS_BASE ? VT_FS : VT_GS, &segment);
        return true;
    case MSR_TSC_AUX:
        if (value >> 32)
            return false;
        v->tsc_aux = value;  // the back end loads it at the next entry
        return true;
    case MSR_FEATURE_CONTROL:
    case MSR_MTRR_CAP:
    case MSR_MCG_CAP:
    case MSR_VM_CR: return false;
    default: break;
    }
    if (reg != VT_REG_COUNT) {
        vt()->set(v, reg, value);
        return true;
    }
    if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
        return vlapic_msr_write(v, index, value);
    slot = mtrr_slot(index);
    if (slot >= 0) {
        if (!mtrr_value_ok(v, index, value))
            return false;
        v->mtrr[slot] = value;
        return true;
    }
    return is_quiet(index);
}
