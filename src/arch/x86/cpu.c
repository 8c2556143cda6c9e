// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/cpu.c -- the state of one CPU: segments, control registers, FPU; and the plain
 * instruction wrappers of the seam.
 *
 * Invariants
 *   - GS holds &arch_cpus[self] from cpu_gs_set() on.
 *   - XCR0 is a guest's only between plat_fpu_load() and plat_fpu_save().
 * Locking    none: everything here concerns the calling CPU only.
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "arch/x86/user.h"
#include "core/assert.h"
#include "core/host.h"
#include "lib/string.h"

#define XCR0_X87_SSE 0x03u
#define XCR0_ALLOWED 0xe7u  // x87, SSE, AVX, AVX-512
#define XCR0_AVX     0x04u
#define XSAVE_MXCSR  24u  // places in an XSAVE area
#define XSAVE_HEADER 512u
#define XSAVE_UNUSED 528u  // of the header, behind its two masks: 0
#define XSAVE_PACKED 576u
#define MXCSR_RESET  0x1f80u

static bool have_xsave;
static uint64_t xsave_components;  // what every guest may use
static bool xsavec_packs;

struct packed_layout table_register {
    uint16_t limit;
    uint64_t base;
};

struct plat_cpuid plat_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct plat_cpuid r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

bool cpu_has_leaf(uint32_t leaf)
{
    return plat_cpuid(leaf & 0x80000000u, 0).eax >= leaf;
}

unsigned plat_cpu_count(void)
{
    return arch_cpu_total;
}

void cpu_gs_set(struct arch_cpu *cpu)
{
    insn_wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)cpu);
}

static void load_segments(struct arch_cpu *cpu)
{
    const uint64_t tss = (uint64_t)(uintptr_t)&cpu->tss;
    struct table_register gdtr = {sizeof(cpu->gdt) - 1, (uint64_t)(uintptr_t)cpu->gdt};

    cpu->gdt[1] = 0x00af9b000000ffff;  // 64-bit code, ring 0
    cpu->gdt[2] = 0x00cf93000000ffff;  // data
    cpu->gdt[3] = (sizeof(cpu->tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
                  (tss >> 24 & 0xff) << 56;
    cpu->gdt[4] = tss >> 32;
    cpu->gdt[SELECTOR_USER_DATA >> 3] = 0x00cff3000000ffff;  // data, ring 3
    cpu->gdt[SELECTOR_USER_CODE >> 3] = 0x00affb000000ffff;  // 64-bit code, ring 3
    for (unsigned i = 0; i < CPU_ISTS; i++)
        cpu->tss.ist[i] = (uint64_t)(uintptr_t)(cpu->stacks + (i + 1) * CPU_IST_SIZE);
    cpu->tss.io_map = sizeof(cpu->tss);
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\tmovl %2, %%ds\n\t"
                     "movl %2, %%es\n\t"
                     "movl %2, %%ss\n\t"
                     "ltr %w3"
                     :
                     : "m"(gdtr), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(SELECTOR_TSS)
                     : "rax", "memory");
}

/*
 * Bochs 2.7 takes the bytes in front of the header for the first that XSAVEC packs, and so
 * writes the AVX component over the header: what comes of it no XRSTOR loads. A look, with
 * something in that component; the registers are in their first state then.
 */
static bool xsavec_is_sound(void)
{
    static uint8_t from[1024] __attribute__((aligned(64)));
    static uint8_t to[1024] __attribute__((aligned(64)));
    const uint32_t mxcsr = MXCSR_RESET;
    const uint8_t mark = 0x55;  // any byte but 0
    bool sound = true;

    if (!(xsave_components & XCR0_AVX) || !(plat_cpuid(0xd, 1).eax & BIT(1)))
        return false;
    memset(from, mark, sizeof(from));
    memset(from + XSAVE_HEADER, 0, XSAVE_PACKED - XSAVE_HEADER);
    memcpy(from + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    from[XSAVE_HEADER] = XCR0_AVX;
    memset(to, 0, sizeof(to));
    insn_xsetbv(0, XCR0_X87_SSE | XCR0_AVX);
    __asm__ volatile("xrstor64 (%0)" : : "r"(from), "a"(XCR0_AVX), "d"(0) : "memory");
    __asm__ volatile("xsavec64 (%0)" : : "r"(to), "a"(XCR0_AVX), "d"(0) : "memory");
    for (unsigned i = XSAVE_UNUSED; i < XSAVE_PACKED; i++)
        sound = sound && to[i] == 0;
    sound = sound && to[XSAVE_PACKED] == mark;
    from[XSAVE_HEADER] = 0;
    __asm__ volatile("xrstor64 (%0)" : : "r"(from), "a"(XCR0_AVX), "d"(0) : "memory");
    return sound;
}

static void set_control_registers(bool first)
{
    const struct plat_cpuid c1 = plat_cpuid(1, 0);
    uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (c1.ecx & BIT(26)) {  // XSAVE
        cr4 |= CR4_OSXSAVE;
        have_xsave = true;
        xsave_components = plat_cpuid(0xd, 0).eax & XCR0_ALLOWED;
    }
    if (cpu_has_leaf(7)) {
        const struct plat_cpuid c7 = plat_cpuid(7, 0);

        cr4 |= (c7.ebx & BIT(7) ? CR4_SMEP : 0) | (c7.ebx & BIT(20) ? CR4_SMAP : 0) |
               (c7.ecx & BIT(2) ? CR4_UMIP : 0);
    }
    insn_write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
    insn_write_cr4((insn_read_cr4() & CR4_PGE) | cr4);
    if (have_xsave) {
        if (first)  // for all
            xsavec_packs = xsavec_is_sound();
        insn_xsetbv(0, XCR0_X87_SSE);
    }
    __asm__ volatile("fninit");
}

void cpu_init_self(struct arch_cpu *cpu)
{
    load_segments(cpu);
    cpu_gs_set(cpu);
    trap_idt_load();
    set_control_registers(cpu == &arch_cpus[0]);
    user_init_self();
}

uint64_t plat_msr_read(uint32_t index)
{
    return insn_rdmsr(index);
}

void plat_msr_write(uint32_t index, uint64_t value)
{
    /* A guest's: VT-x keeps them loaded while its vCPU's world has the CPU. */
    if (index >= MSR_STAR && index <= MSR_KERNEL_GS_BASE)
        user_msrs_lost();
    insn_wrmsr(index, value);
}

uint64_t plat_cr_read(unsigned number)
{
    switch (number) {
    case 0: return insn_read_cr0();
    case 2: return insn_read_cr2();
    case 3: return paging_root().raw;  // not a user world's: a VMCS keeps it for long
    case 4: return insn_read_cr4();
    default: vmk_unreachable();
    }
}

void plat_cr_write(unsigned number, uint64_t value)
{
    switch (number) {
    case 0: insn_write_cr0(value); break;
    case 2: insn_write_cr2(value); break;
    case 3: insn_write_cr3(value); break;
    case 4: insn_write_cr4(value); break;
    case 8: insn_write_cr8(value); break;
    default: vmk_unreachable();
    }
}

/* ---- interrupts on and off ---- */
void plat_irq_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}

void plat_cpu_idle(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

void plat_cpu_relax(void)
{
    insn_pause();
}

void plat_shake_point(void)
{
}

const struct host *plat_host_self(void)
{
    return this_host();
}

/* ---- contexts ---- */
void plat_context_init(struct plat_context *context, void *stack, size_t size,
                       void (*entry)(void *), void *argument)
{
    uint64_t *top = (uint64_t *)(void *)((uint8_t *)stack + (size & ~(size_t)15));

    *--top = 0;  // ends a backtrace
    *--top = (uint64_t)(uintptr_t)context_start;
    *--top = 0;                              // rbp
    *--top = (uint64_t)(uintptr_t)entry;     // rbx
    *--top = (uint64_t)(uintptr_t)argument;  // r12
    *--top = 0;                              // r13
    *--top = 0;                              // r14
    *--top = 0;                              // r15
    context->opaque[0] = top;
}

void plat_context_release(struct plat_context *context)
{
    (void)context;
}

size_t plat_backtrace(uint64_t *out, size_t room)
{
    const uint64_t *frame = __builtin_frame_address(0);
    size_t n = 0;

    while (n < room && frame) {
        const uint64_t *next = (const uint64_t *)(uintptr_t)frame[0];

        if (frame[1] < KERNEL_BASE)
            break;
        out[n++] = frame[1];
        // Stacks grow down: a caller's frame is above, or on another stack of the kernel.
        if ((uint64_t)(uintptr_t)next < DIRECT_BASE || (uintptr_t)next & 7 || next == frame)
            break;
        frame = next;
    }
    return n;
}

/* ---- VT-x ---- */
bool plat_vmxon(paddr_t region)
{
    bool failed;

    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
    return !failed;
}

void plat_vmxoff(void)
{
    __asm__ volatile("vmxoff" : : : "cc", "memory");
}

bool plat_vmclear(paddr_t vmcs)
{
    bool failed;

    __asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(vmcs.raw) : "memory");
    return !failed;
}

bool plat_vmptrld(paddr_t vmcs)
{
    bool failed;

    __asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(vmcs.raw) : "memory");
    return !failed;
}

void plat_invept(uint64_t type, uint64_t eptp)
{
    const uint64_t descriptor[2] = {eptp, 0};
    bool failed;

    __asm__ volatile("invept %1, %2"
                     : "=@ccbe"(failed)
                     : "m"(descriptor), "r"(type)
                     : "memory");
    vmk_assert_msg(!failed, "INVEPT type %llu, EPTP %llx", (unsigned long long)type,
                   (unsigned long long)eptp);
}

void plat_invvpid(uint64_t type, uint16_t vpid, uint64_t address)
{
    const uint64_t descriptor[2] = {vpid, address};
    bool failed;

    __asm__ volatile("invvpid %1, %2"
                     : "=@ccbe"(failed)
                     : "m"(descriptor), "r"(type)
                     : "memory");
    vmk_assert_msg(!failed, "INVVPID type %llu, VPID %u", (unsigned long long)type, vpid);
}

void plat_host_segments(struct plat_host_segments *out)
{
    struct table_register idtr;
    struct arch_cpu *cpu = &arch_cpus[plat_cpu_self()];

    __asm__ volatile("sidt %0" : "=m"(idtr));
    *out = (struct plat_host_segments){
        .cs = SELECTOR_CODE,
        .ss = SELECTOR_DATA,
        .ds = SELECTOR_DATA,
        .es = SELECTOR_DATA,
        .tr = SELECTOR_TSS,
        .gs_base = (uint64_t)(uintptr_t)cpu,
        .tr_base = (uint64_t)(uintptr_t)&cpu->tss,
        .gdtr_base = (uint64_t)(uintptr_t)cpu->gdt,
        .idtr_base = idtr.base,
    };
}

/* ---- AMD-V ---- */
void plat_invlpga(uint64_t address, uint32_t asid)
{
    __asm__ volatile("invlpga %0, %1" : : "a"(address), "c"(asid) : "memory");
}

/* ---- FPU ---- */
_Static_assert(offsetof(struct plat_guest_regs, cr2) == 16 * 8, "entry.S knows GUEST_CR2");

/*
 * All components are saved and loaded, whatever XCR0 the guest chose: SSE works without its bit
 * in XCR0, and XRSTOR refuses an area with a component that XCR0 lacks.
 */
void plat_fpu_save(void *area, uint64_t xcr0)
{
    (void)xcr0;
    if (have_xsave) {
        insn_xsetbv(0, xsave_components);
        __asm__ volatile("xsave64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)xsave_components), "d"(0)
                         : "memory");
    } else {
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
    }
}

void plat_fpu_load(const void *area, uint64_t xcr0)
{
    if (have_xsave) {
        insn_xsetbv(0, xsave_components);
        __asm__ volatile("xrstor64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)xsave_components), "d"(0)
                         : "memory");
        insn_xsetbv(0, xcr0);
    } else {
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
    }
}

bool plat_xsavec_usable(void)
{
    return xsavec_packs;
}

uint64_t plat_xcr0_read(void)
{
    return have_xsave ? insn_xgetbv(0) : 0;
}

/* SDM-3A, table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT"; the
 * layout is FXSAVE's, then the XSAVE header with x87 and SSE present. */
void plat_fpu_area_init(void *area)
{
    uint8_t *bytes = area;
    const uint16_t control = 0x40;
    const uint32_t mxcsr = MXCSR_RESET;

    memset(area, 0, PLAT_FPU_AREA_SIZE);
    memcpy(bytes, &control, sizeof(control));
    bytes[4] = 0xff;  // all registers hold +0, none is empty
    memcpy(bytes + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    bytes[XSAVE_HEADER] = XCR0_X87_SSE;
}

void plat_debug_addresses_load(const uint64_t dr[4])
{
    __asm__ volatile("mov %0, %%db0" : : "r"(dr[0]));
    __asm__ volatile("mov %0, %%db1" : : "r"(dr[1]));
    __asm__ volatile("mov %0, %%db2" : : "r"(dr[2]));
    __asm__ volatile("mov %0, %%db3" : : "r"(dr[3]));
}
