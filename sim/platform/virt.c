// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/virt.c -- plat_virt.h without hardware: tables that tests set and read.
 *
 * The VMCS is an array by encoding and MSRs and CPUID leaves are lists, so that the code that
 * knows formats runs unchanged in a test. The defaults are those of Bochs' corei7_skylake_x.
 * Entering a guest asks the test's hook what happens.
 *
 * Invariants
 *   - A VMCS field keeps only the bits of its width.
 *   - VMREAD and VMWRITE without a current VMCS fail.
 * Locking    none: one thread.
 * Sources    [SDM] volume 3, chapter "Virtual Machine Control Structures"; appendix B
 */
#include <stdlib.h>
#include <string.h>

#include "plat/plat_user.h"
#include "sim/platform/sim.h"

#define MSRS_MAX   512u
#define CPUID_MAX  128u
#define VMCSES_MAX 64u
#define FIELDS     0x8000u

static struct virt {
    bool ready;
    struct {
        uint32_t index;
        uint64_t value;
    } msrs[MSRS_MAX];
    unsigned msr_count;
    struct {
        uint32_t leaf, subleaf;
        struct plat_cpuid value;
    } leaves[CPUID_MAX];
    unsigned leaf_count;
    struct {
        uint64_t address;
        uint64_t *fields;
    } vmcses[VMCSES_MAX];
    unsigned vmcs_count;
    uint64_t *current;
    uint64_t control[9];
    void (*svm_enter)(struct plat_guest_regs *regs, paddr_t vmcb);
} virt;

static struct {
    void (*save)(void *area);
    void (*load)(const void *area);
    void (*code_changed)(paddr_t pa, uint64_t size);
} engine;

static const struct {
    uint32_t index;
    uint64_t value;
} default_msrs[] = {
    {0x10, 0},                    // IA32_TIME_STAMP_COUNTER
    {0x1b, 0xfee00900},           // IA32_APIC_BASE: enabled, boot CPU
    {0x3a, 0x5},                  // IA32_FEATURE_CONTROL: locked, VMX outside SMX
    {0x8b, 0},                    // IA32_BIOS_SIGN_ID
    {0x174, 0},                   // IA32_SYSENTER_CS
    {0x175, 0},                   // IA32_SYSENTER_ESP
    {0x176, 0},                   // IA32_SYSENTER_EIP
    {0x1a0, 1},                   // IA32_MISC_ENABLE
    {0x1d9, 0},                   // IA32_DEBUGCTL
    {0x277, 0x0007040600070406},  // IA32_PAT
    {0x480, 0x00d810000000002b},  // IA32_VMX_BASIC
    {0x481, 0x0000007f00000016},  // pin-based
    {0x482, 0xf7f9fffe0401e172},  // primary
    {0x483, 0x007fffff00036dff},  // exit
    {0x484, 0x0000ffff000011ff},  // entry
    {0x485, 0x00000000600401e0},  // misc
    {0x486, 0x80000021},          // CR0 fixed 0
    {0x487, 0xffffffff},          // CR0 fixed 1
    {0x488, 0x2000},              // CR4 fixed 0
    {0x489, 0x3727ff},            // CR4 fixed 1
    {0x48a, 0x34},                // VMCS enumeration
    {0x48b, 0x02177fff00000000},  // secondary
    {0x48c, 0x00000f0106334141},  // EPT and VPID
    {0x48d, 0x0000007f00000016},  // true pin-based
    {0x48e, 0xf7f9fffe04006172},  // true primary
    {0x48f, 0x007fffff00036dfb},  // true exit
    {0x490, 0x0000ffff000011fb},  // true entry
    {0x491, 0x1},                 // VMFUNC: EPTP switching
    {0xc0000080, 0xd01},          // IA32_EFER
    {0xc0000081, 0},              // IA32_STAR
    {0xc0000082, 0},              // IA32_LSTAR
    {0xc0000083, 0},              // IA32_CSTAR
    {0xc0000084, 0},              // IA32_FMASK
    {0xc0000100, 0},              // IA32_FS_BASE
    {0xc0000101, 0},              // IA32_GS_BASE
    {0xc0000102, 0},              // IA32_KERNEL_GS_BASE
    {0xc0000103, 0},              // IA32_TSC_AUX
};

static const struct {
    uint32_t leaf, subleaf;
    struct plat_cpuid value;
} default_leaves[] = {
    {0x0, 0, {0x16, 0x756e6547, 0x6c65746e, 0x49656e69}},  // GenuineIntel
    {0x1, 0, {0x00050654, 0x00010800, 0x77fefbff, 0xbfebfbff}},
    {0x2, 0, {0x76036301, 0x00f0b5ff, 0, 0x00c30000}},
    {0x4, 0, {0x1c004121, 0x01c0003f, 0x3f, 0}},
    {0x6, 0, {0x4, 0, 0, 0}},
    {0x7, 0, {0, 0xd39ffffb & ~0x4010u, 0, 0}},
    {0xb, 0, {0, 1, 0x100, 0}},
    {0xd, 0, {0x7, 0x340, 0x340, 0}},
    {0xd, 1, {0xf, 0x340, 0, 0}},
    {0xd, 2, {0x100, 0x240, 0, 0}},
    {0x80000000, 0, {0x80000008, 0, 0, 0}},
    {0x80000001, 0, {0, 0, 0x121, 0x2c100800}},
    {0x80000007, 0, {0, 0, 0, 0x100}},
    {0x80000008, 0, {0x3028, 0, 0, 0}},
};

void sim_virt_reset(void)
{
    for (unsigned i = 0; i < virt.vmcs_count; i++)
        free(virt.vmcses[i].fields);
    virt = (struct virt){.ready = true};
    for (unsigned i = 0; i < ARRAY_COUNT(default_msrs); i++)
        sim_msr_set(default_msrs[i].index, default_msrs[i].value);
    for (unsigned i = 0; i < ARRAY_COUNT(default_leaves); i++) {
        sim_cpuid_set(default_leaves[i].leaf, default_leaves[i].subleaf,
                      default_leaves[i].value);
    }
    virt.control[0] = 0x80050033;
    virt.control[3] = 0x1000;
    virt.control[4] = 0x426f0;
}

static void prepare(void)
{
    if (!virt.ready)
        sim_virt_reset();
}

static unsigned msr_position(uint32_t index)
{
    unsigned i = 0;

    prepare();
    while (i < virt.msr_count && virt.msrs[i].index != index)
        i++;
    return i;
}

void sim_msr_set(uint32_t index, uint64_t value)
{
    unsigned i = msr_position(index);

    if (i == MSRS_MAX)
        sim_fail("too many MSRs");
    if (i == virt.msr_count)
        virt.msr_count++;
    virt.msrs[i].index = index;
    virt.msrs[i].value = value;
}

void sim_cpuid_set(uint32_t leaf, uint32_t subleaf, struct plat_cpuid value)
{
    unsigned i = 0;

    prepare();
    while (i < virt.leaf_count &&
           (virt.leaves[i].leaf != leaf || virt.leaves[i].subleaf != subleaf))
        i++;
    if (i == CPUID_MAX)
        sim_fail("too many CPUID leaves");
    if (i == virt.leaf_count)
        virt.leaf_count++;
    virt.leaves[i].leaf = leaf;
    virt.leaves[i].subleaf = subleaf;
    virt.leaves[i].value = value;
}

struct plat_cpuid plat_cpuid(uint32_t leaf, uint32_t subleaf)
{
    const struct plat_cpuid none = {0, 0, 0, 0};
    const struct plat_cpuid *first = NULL;
    bool several = false;

    prepare();
    for (unsigned i = 0; i < virt.leaf_count; i++) {
        if (virt.leaves[i].leaf != leaf)
            continue;
        if (virt.leaves[i].subleaf == subleaf)
            return virt.leaves[i].value;
        several = several || virt.leaves[i].subleaf != 0;
        if (!virt.leaves[i].subleaf)
            first = &virt.leaves[i].value;
    }
    /* Leaves without subleaves ignore ECX. */
    bool indexed = several || leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;

    return first && !indexed ? *first : none;
}

bool plat_msr_try_read(uint32_t index, uint64_t *value)
{
    unsigned i = msr_position(index);

    if (i == virt.msr_count)
        return false;
    *value = virt.msrs[i].value;
    return true;
}

uint64_t plat_msr_read(uint32_t index)
{
    uint64_t value;

    if (!plat_msr_try_read(index, &value))
        sim_fail("RDMSR 0x%x faults", index);
    return value;
}

void plat_msr_write(uint32_t index, uint64_t value)
{
    sim_msr_set(index, value);
}

uint64_t plat_cr_read(unsigned number)
{
    prepare();
    return virt.control[number];
}

void plat_cr_write(unsigned number, uint64_t value)
{
    prepare();
    virt.control[number] = value;
}

bool plat_vmxon(paddr_t region)
{
    prepare();
    return (region.raw & (PAGE_SIZE - 1)) == 0;
}

void plat_vmxoff(void)
{
    virt.current = NULL;
}

static uint64_t *vmcs_at(uint64_t address)
{
    prepare();
    for (unsigned i = 0; i < virt.vmcs_count; i++) {
        if (virt.vmcses[i].address == address)
            return virt.vmcses[i].fields;
    }
    if (virt.vmcs_count == VMCSES_MAX)
        sim_fail("too many VMCSes");

    uint64_t *fields = calloc(FIELDS, sizeof(*fields));

    virt.vmcses[virt.vmcs_count].address = address;
    virt.vmcses[virt.vmcs_count++].fields = fields;
    return fields;
}

bool plat_vmclear(paddr_t vmcs)
{
    if (vmcs.raw & (PAGE_SIZE - 1))
        return false;
    if (vmcs_at(vmcs.raw) == virt.current)
        virt.current = NULL;
    return true;
}

bool plat_vmptrld(paddr_t vmcs)
{
    if (vmcs.raw & (PAGE_SIZE - 1))
        return false;
    virt.current = vmcs_at(vmcs.raw);
    return true;
}

/* Bits 14:13 of an encoding are the width, bit 0 the upper half of a 64-bit field. */
bool plat_vmread(uint32_t field, uint64_t *value)
{
    if (!virt.current || field >= FIELDS)
        return false;
    if (((field >> 13) & 3) == 1 && (field & 1))
        *value = virt.current[field - 1] >> 32;
    else
        *value = virt.current[field];
    return true;
}

bool plat_vmwrite(uint32_t field, uint64_t value)
{
    if (!virt.current || field >= FIELDS)
        return false;
    switch ((field >> 13) & 3) {
    case 0: virt.current[field] = value & 0xffff; break;
    case 2: virt.current[field] = value & 0xffffffff; break;
    case 1:
        if (field & 1) {
            virt.current[field - 1] = (virt.current[field - 1] & 0xffffffff) | value << 32;
            break;
        }
        __attribute__((fallthrough));
    default: virt.current[field] = value; break;
    }
    return true;
}

void plat_invept(uint64_t type, uint64_t eptp)
{
    (void)type;
    (void)eptp;
}

void plat_invvpid(uint64_t type, uint16_t vpid, uint64_t address)
{
    (void)type;
    (void)vpid;
    (void)address;
}

void sim_svm_enter_hook(void (*enter)(struct plat_guest_regs *regs, paddr_t vmcb))
{
    prepare();
    virt.svm_enter = enter;
}

/*
 * No guest runs by VT-x here: a VMCS is an array of fields. 1: none is current, 2: the entry
 * fails.
 */
unsigned plat_vmx_enter(struct plat_guest_regs *regs, bool launched)
{
    (void)regs;
    (void)launched;
    return virt.current ? 2 : 1;
}

void plat_svm_enter(struct plat_guest_regs *regs, paddr_t guest_vmcb, paddr_t host_save)
{
    (void)host_save;
    if (virt.svm_enter)
        virt.svm_enter(regs, guest_vmcb);
}

void plat_invlpga(uint64_t address, uint32_t asid)
{
    (void)address;
    (void)asid;
}

void plat_host_segments(struct plat_host_segments *out)
{
    *out = (struct plat_host_segments){.cs = 0x08,
                                       .ss = 0x10,
                                       .ds = 0x10,
                                       .es = 0x10,
                                       .tr = 0x28,
                                       .tr_base = 0xffffffff80001000,
                                       .gdtr_base = 0xffffffff80002000,
                                       .idtr_base = 0xffffffff80003000};
}

void plat_interrupt_dispatch(unsigned vector)
{
    (void)vector;
    plat_irq_window();
}

void plat_nmi_dispatch(void)
{
}

void plat_fpu_save(void *area, uint64_t xcr0)
{
    (void)xcr0;
    if (engine.save)
        engine.save(area);
}

void plat_fpu_load(const void *area, uint64_t xcr0)
{
    (void)xcr0;
    if (engine.load)
        engine.load(area);
}

void plat_user_code_changed(paddr_t pa, uint64_t size)
{
    if (engine.code_changed)
        engine.code_changed(pa, size);
}

void sim_engine_hooks(void (*save)(void *area), void (*load)(const void *area),
                      void (*code_changed)(paddr_t pa, uint64_t size))
{
    engine.code_changed = code_changed;
    engine.save = save;
    engine.load = load;
}

bool plat_xsavec_usable(void)
{
    return false;
}

uint64_t plat_xcr0_read(void)
{
    return 1;
}

void plat_fpu_area_init(void *area)
{
    unsigned char *bytes = area;

    memset(bytes, 0, PLAT_FPU_AREA_SIZE);
    bytes[0] = 0x7f;  // FCW = 0x037f
    bytes[1] = 0x03;
    bytes[24] = 0x80;  // MXCSR = 0x1f80
    bytes[25] = 0x1f;
}

void plat_debug_addresses_load(const uint64_t dr[4])
{
    (void)dr;
}
