// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/cpuid.c -- the processor a guest sees: the host's, less what the VMM does not virtualise.
 *
 * Masks name what is let through, so that a feature of a newer processor stays hidden until
 * somebody looked at it. Hidden on purpose: VMX, SVM, MONITOR (its exits give #UD), PKU, LA57,
 * CET, SGX, TSX, MPX, PT, AMX, XSAVES, performance counters, speculation controls.
 *
 * Invariants: CR4, EFER and XCR0 accept exactly what is offered here.
 * Locking: none; reads only.
 *
 * Sources: SDM-2A, "CPUID"; APM-3, "Obtaining Processor Information Via the CPUID Instruction";
 * leaf 0x40000010 as in open-vm-tools and Linux's vmware.c.
 */
#include "plat/plat.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

/* Leaf 1 ECX: SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C
 * RDRAND. */
#define LEAF1_ECX                                                                              \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) |    \
     BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define LEAF1_X2APIC   BIT(21)
#define LEAF1_DEADLINE BIT(24)
#define LEAF1_OSXSAVE  BIT(27)
#define LEAF1_XSAVE    BIT(26)
#define LEAFD1_ALLOWED 7u  // XSAVEOPT, XSAVEC, XGETBV 1
#define LEAFD1_XSAVEC  BIT(1)
#define LEAF1_GUEST    BIT(31)
#define LEAF1_APIC     BIT(9)  // EDX
/* Leaf 1 EDX: all but PSN, DS, ACPI thermal, HTT (counted below), TM, IA64, PBE. */
#define LEAF1_EDX                                                                              \
    (0xffffffffull & ~(BIT(18) | BIT(20) | BIT(21) | BIT(22) | BIT(28) | BIT(29) | BIT(30) |   \
                       BIT(31) | BIT(10)))
/*
 * Leaf 7 EBX: FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512F DQ RDSEED ADX SMAP IFMA
 * CLFLUSHOPT CLWB PF ER CD SHA BW VL.
 */
#define LEAF7_EBX                                                                              \
    (BIT(0) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(16) | BIT(17) |       \
     BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(26) | BIT(27) | BIT(28) | \
     BIT(29) | BIT(30) | BIT(31))
/* ECX: PREFETCHWT1 VBMI UMIP VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ RDPID MOVDIRI. */
#define LEAF7_ECX                                                                              \
    (BIT(0) | BIT(1) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) |       \
     BIT(14) | BIT(22) | BIT(27))
/* EDX: 4VNNIW 4FMAPS FSRM VP2INTERSECT. */
#define LEAF7_EDX (BIT(2) | BIT(3) | BIT(4) | BIT(8))
/* 8000_0001 ECX: LAHF CmpLegacy CR8 ABM SSE4A MisalignSse Prefetch XOP FMA4 TBM. */
#define EXT1_ECX                                                                               \
    (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
#define EXT1_EDX      (0xffffffffull & ~BIT(25))  // all but FFXSR

#define LAPIC_BUS_KHZ 1000000u  // vmm/dev/vlapic_timer.c counts nanoseconds

static unsigned id_bits(unsigned count)
{
    unsigned bits = 0;

    while ((1u << bits) < count)
        bits++;
    return bits;
}

uint64_t cpuid_xcr0_allowed(void)
{
    if (!(plat_cpuid(1, 0).ecx & LEAF1_XSAVE))
        return 0;
    return plat_cpuid(0xd, 0).eax & 0xe7;  // x87, SSE, AVX, AVX-512
}

uint64_t cpuid_address_reserved(struct vcpu *v)
{
    struct plat_cpuid c;

    vcpu_cpuid(v, 0x80000008u, 0, &c);
    return ~(BIT(c.eax & 0xff) - 1);
}

uint64_t cpuid_cr4_allowed(struct vcpu *v)
{
    uint64_t allowed = 0x7ff;  // VME to OSXMMEXCPT
    struct plat_cpuid c;

    vcpu_cpuid(v, 1, 0, &c);
    if (c.ecx & BIT(17))
        allowed |= CR4_PCIDE;
    if (c.ecx & LEAF1_XSAVE)
        allowed |= CR4_OSXSAVE;
    vcpu_cpuid(v, 7, 0, &c);
    if (c.ecx & BIT(2))
        allowed |= BIT(11);  // UMIP
    if (c.ebx & BIT(0))
        allowed |= BIT(16);  // FSGSBASE
    if (c.ebx & BIT(7))
        allowed |= CR4_SMEP;
    if (c.ebx & BIT(20))
        allowed |= CR4_SMAP;
    return allowed;
}

static void leaf_1(struct vcpu *v, struct plat_cpuid *out)
{
    unsigned count = v->vm->vcpu_count;

    out->ebx = (out->ebx & 0xff00u) | v->index << 24 | (1u << id_bits(count)) << 16;
    out->ecx = (uint32_t)((out->ecx & LEAF1_ECX) | LEAF1_X2APIC | LEAF1_DEADLINE | LEAF1_GUEST);
    out->edx &= (uint32_t)LEAF1_EDX;
    if (count > 1)
        out->edx |= (uint32_t)BIT(28);
}

/* Caches: the host's sizes, private to each vCPU but the last level; one package. */
static void leaf_4(struct vcpu *v, struct plat_cpuid *out)
{
    unsigned count = v->vm->vcpu_count;
    unsigned level = out->eax >> 5 & 7;

    if (!(out->eax & 0x1f))
        return;
    out->eax &= 0x3fffu;
    out->eax |= ((1u << id_bits(count)) - 1) << 26;
    if (level >= 3)
        out->eax |= ((1u << id_bits(count)) - 1) << 14;
}

/* One thread per core, all cores in one package. */
static void leaf_b(struct vcpu *v, uint32_t subleaf, struct plat_cpuid *out)
{
    unsigned count = v->vm->vcpu_count;

    *out = (struct plat_cpuid){.ecx = subleaf & 0xff, .edx = v->index};
    if (subleaf == 0) {
        out->ebx = 1;
        out->ecx |= 1 << 8;
    } else if (subleaf == 1) {
        out->eax = id_bits(count);
        out->ebx = count;
        out->ecx |= 2 << 8;
    }
}

static void leaf_d(struct vcpu *v, uint32_t subleaf, struct plat_cpuid *out)
{
    uint64_t allowed = cpuid_xcr0_allowed();
    uint32_t enabled_size = 576, size = 576, compacted_size = 576;

    if (subleaf == 1) {
        *out = (struct plat_cpuid){.eax = out->eax & LEAFD1_ALLOWED};
        if (!plat_xsavec_usable())
            out->eax &= (uint32_t)~LEAFD1_XSAVEC;
    } else if (subleaf > 1 && (subleaf > 63 || !(allowed & BIT(subleaf)))) {
        *out = (struct plat_cpuid){0};
        return;
    } else if (subleaf > 1) {
        return;
    }
    // Sizes for what the guest may set and for what it has set.
    for (uint32_t i = 2; i < 8; i++) {
        if (!(allowed & BIT(i)))
            continue;

        struct plat_cpuid part = plat_cpuid(0xd, i);

        size = MAX(size, part.eax + part.ebx);
        if (!(v->xcr0 & BIT(i)))
            continue;
        enabled_size = MAX(enabled_size, part.eax + part.ebx);
        // XSAVEC packs; ECX bit 1: this component starts at a multiple of 64.
        if (part.ecx & BIT(1))
            compacted_size = (uint32_t)round_up(compacted_size, 64);
        compacted_size += part.eax;
    }
    if (subleaf == 1) {
        out->ebx = compacted_size;
        return;
    }
    *out = (struct plat_cpuid){.eax = (uint32_t)allowed, .ebx = enabled_size, .ecx = size};
    if (!allowed)
        *out = (struct plat_cpuid){0};
}

static void leaf_basic(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct plat_cpuid *out)
{
    switch (leaf) {
    case 0:
        if (out->eax > 0xd)
            out->eax = 0xd;
        return;
    case 1: leaf_1(v, out); return;
    case 2: return;
    case 4: leaf_4(v, out); return;
    case 6:
        *out = (struct plat_cpuid){.eax = 4};  // the APIC timer never stops
        return;
    case 7:
        if (subleaf) {
            *out = (struct plat_cpuid){0};
            return;
        }
        out->eax = 0;
        out->ebx &= (uint32_t)LEAF7_EBX;
        out->ebx |= BIT(1);  // TSC_ADJUST, which is all ours
        out->ecx &= (uint32_t)LEAF7_ECX;
        out->edx &= (uint32_t)LEAF7_EDX;
        return;
    case 0xb: leaf_b(v, subleaf, out); return;
    case 0xd: leaf_d(v, subleaf, out); return;
    default: *out = (struct plat_cpuid){0}; return;
    }
}

static void leaf_hypervisor(uint32_t leaf, struct plat_cpuid *out)
{
    *out = (struct plat_cpuid){0};
    if (leaf == 0x40000000u)
        *out = (struct plat_cpuid){0x40000010u, 0x61774d56u, 0x4d566572u, 0x65726177u};
    else if (leaf == 0x40000010u)
        *out = (struct plat_cpuid){.eax = (uint32_t)plat_tsc_khz(), .ebx = LAPIC_BUS_KHZ};
}

static void leaf_extended(struct vcpu *v, uint32_t leaf, struct plat_cpuid *out)
{
    unsigned count = v->vm->vcpu_count;

    switch (leaf) {
    case 0x80000000u:
        if (out->eax > 0x8000001au)
            out->eax = 0x8000001au;
        return;
    case 0x80000001u:
        out->ecx &= (uint32_t)EXT1_ECX;
        out->ecx &= ~2u;
        if (count > 1)
            out->ecx |= 2;  // CmpLegacy: cores, not threads
        out->edx &= (uint32_t)EXT1_EDX;
        return;
    case 0x80000002u:
    case 0x80000003u:
    case 0x80000004u:
    case 0x80000005u:
    case 0x80000006u:
    case 0x80000019u:
    case 0x8000001au: return;
    case 0x80000007u:
        *out = (struct plat_cpuid){.edx = (uint32_t)BIT(8)};  // the TSC's rate is constant
        return;
    case 0x80000008u:
        out->eax = (out->eax & 0xffu) | 48u << 8;
        out->ebx &= (uint32_t)(BIT(0) | BIT(2));  // CLZERO, XSAVEERPTR
        out->ecx = (count - 1) | id_bits(count) << 12;
        out->edx = 0;
        return;
    default: *out = (struct plat_cpuid){0}; return;
    }
}

/* What mirrors state that the guest may change at any time. */
static void leaf_1_now(struct vcpu *v, struct plat_cpuid *out)
{
    if ((out->ecx & LEAF1_XSAVE) && (vt()->get(v, VT_CR4) & CR4_OSXSAVE))
        out->ecx |= (uint32_t)LEAF1_OSXSAVE;
    if (v->lapic && !(vlapic_base_msr(v) & BIT(11)))
        out->edx &= ~(uint32_t)LEAF1_APIC;
}

static __attribute__((noinline)) void answer(struct vcpu *v, uint32_t leaf, uint32_t subleaf,
                                             struct plat_cpuid *out)
{
    if (leaf - 0x40000000u < 0x10000u) {
        leaf_hypervisor(leaf, out);
        return;
    }
    *out = plat_cpuid(leaf, subleaf);
    if (leaf < 0x80000000u)
        leaf_basic(v, leaf, subleaf, out);
    else
        leaf_extended(v, leaf, out);
}

/*
 * CPUID always exits and some guests serialize with it, so answers are kept: all of them but
 * leaves 1, which shows CR4 and the APIC, and 0xd, which follows XCR0, depend on nothing that
 * changes.
 */
static __attribute__((noinline)) const struct plat_cpuid *
cpuid_slow(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct plat_cpuid *out)
{
    const unsigned slot = (leaf ^ subleaf) % ARRAY_COUNT(v->cpuid_cache);

    answer(v, leaf, subleaf, out);
    v->cpuid_cache[slot].valid = leaf != 1 && leaf != 0xd;
    v->cpuid_cache[slot].leaf = leaf;
    v->cpuid_cache[slot].subleaf = subleaf;
    v->cpuid_cache[slot].out = *out;
    if (leaf == 1)
        leaf_1_now(v, out);
    return out;
}

/* The answer, kept or in `room`. */
static inline const struct plat_cpuid *cpuid_find(struct vcpu *v, uint32_t leaf,
                                                  uint32_t subleaf, struct plat_cpuid *room)
{
    const unsigned slot = (leaf ^ subleaf) % ARRAY_COUNT(v->cpuid_cache);

    if (__builtin_expect(v->cpuid_cache[slot].valid && v->cpuid_cache[slot].leaf == leaf &&
                             v->cpuid_cache[slot].subleaf == subleaf,
                         1))
        return &v->cpuid_cache[slot].out;
    return cpuid_slow(v, leaf, subleaf, room);
}

void vcpu_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct plat_cpuid *out)
{
    *out = *cpuid_find(v, leaf, subleaf, out);
}

enum exit_verdict exit_cpuid(struct vcpu *v, const struct vm_exit *exit)
{
    struct plat_cpuid room;
    const struct plat_cpuid *answer =
        cpuid_find(v, (uint32_t)v->regs.gpr[GPR_RAX], (uint32_t)v->regs.gpr[GPR_RCX], &room);

    (void)exit;
    v->regs.gpr[GPR_RAX] = answer->eax;
    v->regs.gpr[GPR_RBX] = answer->ebx;
    v->regs.gpr[GPR_RCX] = answer->ecx;
    v->regs.gpr[GPR_RDX] = answer->edx;
    return EXIT_RESUME_NEXT;
}
