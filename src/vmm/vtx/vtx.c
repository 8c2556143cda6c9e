// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vtx.c -- the VT-x back end: turning it on, a vCPU's life, and the way in and out.
 *
 * Each CPU has a VMXON region and reads its capabilities once (struct vtx_cpu). A vCPU owns a
 * VMCS, which holds most guest state; it is current on a CPU from vcpu_load() to vcpu_put().
 * put always clears it: the next load may be on another CPU, and a VMCS active on two CPUs is
 * silently stale.
 * A launch instead of a resume costs less than knowing.
 *
 * MSRs that SYSCALL and SWAPGS use belong to the guest while it is loaded; the host uses
 * neither, so they are swapped at load and put and not at each exit.
 *
 * The way from an exit back into the guest is short on purpose: run() reads the exit reason,
 * RIP, the IDT-vectoring field and what the reason needs (vtx_exit.c), and writes only what
 * changed.
 *
 * Invariants
 *   - x->loaded exactly while the VMCS is current and its vCPU's world runs on this CPU.
 *   - A vCPU that comes to a CPU it did not run on last drops its translations there.
 * Locking    none of its own; irqs off. Per-CPU state hangs from the host's vmm part.
 * Start at   vtx_run(), then vtx_exit_take().
 * Sources    SDM volume 3C, chapters 23, 24, 26, 28; appendix A
 */
#include "core/host.h"
#include "core/log.h"
#include "lib/string.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"
#include "vmm/vtx/vtx_internal.h"

#define FEATURE_LOCKED   BIT(0)
#define FEATURE_VMX      BIT(2)  // outside SMX
#define BASIC_TRUE       BIT(55)
#define VPID_ONE_ADDRESS 0u
#define VPID_ONE_CONTEXT 1u
#define VPID_ALL         2u
#define EPT_ONE_CONTEXT  1u
#define EPT_ALL          2u
#define unlikely(x)      __builtin_expect(!!(x), 0)

static struct vtx_cpu *vtx_cpu_self(void)
{
    return this_host()->vmm->vtx_cpus[plat_cpu_self()];
}

/* ---- this CPU's capabilities ---- */

static void facts_read(struct vmx_facts *f)
{
    uint64_t vmx = MSR_VMX_BASIC;
    uint32_t shift;

    f->basic = plat_msr_read(MSR_VMX_BASIC);
    shift = f->basic & BASIC_TRUE ? 0xc : 0;  // 481..484 -> 48d..490
    f->pin = plat_msr_read((uint32_t)vmx + 1 + shift);
    f->primary = plat_msr_read((uint32_t)vmx + 2 + shift);
    f->exit = plat_msr_read((uint32_t)vmx + 3 + shift);
    f->entry = plat_msr_read((uint32_t)vmx + 4 + shift);
    f->misc = plat_msr_read((uint32_t)vmx + 5);
    f->cr0_fixed0 = plat_msr_read((uint32_t)vmx + 6);
    f->cr0_fixed1 = plat_msr_read((uint32_t)vmx + 7);
    f->cr4_fixed0 = plat_msr_read((uint32_t)vmx + 8);
    f->cr4_fixed1 = plat_msr_read((uint32_t)vmx + 9);
    if (f->primary >> 32 & PRIMARY_SECONDARY)
        f->secondary = plat_msr_read((uint32_t)vmx + 11);
    if (f->secondary >> 32 & (SECONDARY_EPT | SECONDARY_VPID))
        f->ept_vpid = plat_msr_read((uint32_t)vmx + 12);
    if (f->secondary >> 32 & SECONDARY_VMFUNC)
        f->vmfunc = plat_msr_read((uint32_t)vmx + 17);
    f->physical_bits = 36;
    f->linear_bits = 48;
    if (plat_cpuid(0x80000000, 0).eax >= 0x80000008) {
        struct plat_cpuid widths = plat_cpuid(0x80000008, 0);

        f->physical_bits = widths.eax & 0xff;
        f->linear_bits = widths.eax >> 8 & 0xff;
    }
}

static bool feature_control_allows(void)
{
    uint64_t feature;

    if (!plat_msr_try_read(MSR_FEATURE_CONTROL, &feature))
        return false;
    return !(feature & FEATURE_LOCKED) || (feature & FEATURE_VMX);
}

static bool vtx_probe(void)
{
    struct vmx_facts facts = {0};
    struct vmx_controls controls;

    if (!(plat_cpuid(1, 0).ecx & BIT(5)))
        return false;
    if (!feature_control_allows()) {
        vmk_log(VMK_LOG_WARN, "VT-x: turned off by the firmware (IA32_FEATURE_CONTROL)");
        return false;
    }
    facts_read(&facts);
    const char *missing = vmx_controls_choose(&facts, &controls);
    if (missing)
        vmk_log(VMK_LOG_WARN, "VT-x: this CPU lacks %s", missing);
    return !missing;
}

static void control_registers_prepare(const struct vmx_facts *f)
{
    plat_cr_write(0, (plat_cr_read(0) | f->cr0_fixed0) & f->cr0_fixed1);
    plat_cr_write(4, (plat_cr_read(4) | f->cr4_fixed0 | CR4_VMXE) & f->cr4_fixed1);
}

static vmk_status vtx_cpu_enable(void)
{
    struct vtx_cpu *cpu = heap_alloc(sizeof *cpu, MEM_OWNER_VMM);
    const char *missing;
    uint64_t feature;
    vmk_status status = VMK_NO_MEMORY;

    if (!cpu)
        return VMK_NO_MEMORY;
    status = page_alloc_zeroed(0, MEM_OWNER_VMM, &cpu->vmxon);
    if (status != VMK_OK)
        goto free_cpu;
    status = VMK_UNSUPPORTED;
    facts_read(&cpu->facts);
    missing = vmx_controls_choose(&cpu->facts, &cpu->controls);
    if (missing || !feature_control_allows())
        goto free_page;
    if (plat_msr_try_read(MSR_FEATURE_CONTROL, &feature) && !(feature & FEATURE_LOCKED))
        plat_msr_write(MSR_FEATURE_CONTROL, feature | FEATURE_LOCKED | FEATURE_VMX);
    control_registers_prepare(&cpu->facts);
    *(uint32_t *)mpn_map(cpu->vmxon) = (uint32_t)cpu->facts.basic & 0x7fffffff;
    if (!plat_vmxon(mpn_to_paddr(cpu->vmxon)))
        goto free_page;
    plat_invept(EPT_ALL, 0);
    plat_invvpid(VPID_ALL, 0, 0);
    this_host()->vmm->vtx_cpus[plat_cpu_self()] = cpu;
    vmk_log(VMK_LOG_INFO,
            "VT-x: on: pin %08x primary %08x secondary %08x exit %08x entry %08x ept %llx",
            cpu->controls.pin, cpu->controls.primary, cpu->controls.secondary,
            cpu->controls.exit, cpu->controls.entry, (unsigned long long)cpu->facts.ept_vpid);
    return VMK_OK;

free_page:
    page_free(cpu->vmxon, 0, MEM_OWNER_VMM);
free_cpu:
    heap_free(cpu);
    return status;
}

static void vtx_cpu_disable(void)
{
    struct vtx_cpu *cpu = vtx_cpu_self();

    if (!cpu)
        return;
    plat_vmxoff();
    plat_cr_write(4, plat_cr_read(4) & ~CR4_VMXE);
    this_host()->vmm->vtx_cpus[plat_cpu_self()] = NULL;
    page_free(cpu->vmxon, 0, MEM_OWNER_VMM);
    heap_free(cpu);
}

/* ---- the current VMCS ---- */

bool vtx_access_begin(struct vtx_vcpu *x)
{
    if (__builtin_expect(x->loaded, 1))
        return false;
    bool irqs = plat_irq_save();
    if (!plat_vmptrld(mpn_to_paddr(x->vmcs)))
        vmk_panic("VT-x: VMPTRLD failed");
    return irqs;
}

/* The world may not have been loaded in between: irqs were off. */
void vtx_access_end(struct vtx_vcpu *x, bool irqs)
{
    if (__builtin_expect(x->loaded, 1))
        return;
    if (!plat_vmclear(mpn_to_paddr(x->vmcs)))
        vmk_panic("VT-x: VMCLEAR failed");
    plat_irq_restore(irqs);
}

/* ---- a vCPU's life ---- */

/* Exits on every MSR but those whose values are the guest's while it runs. */
static void msr_bitmap_fill(uint8_t *bitmap)
{
    static const uint32_t free_msrs[] = {
        MSR_SYSENTER_CS, MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP, MSR_STAR,
        MSR_LSTAR,       MSR_CSTAR,          MSR_SFMASK,       MSR_FS_BASE,
        MSR_FS_BASE + 1, MSR_KERNEL_GS_BASE,
    };

    memset(bitmap, 0xff, PAGE_SIZE);
    for (size_t i = 0; i < ARRAY_COUNT(free_msrs); i++) {
        uint32_t bit = free_msrs[i] & 0x1fff;
        uint32_t read_at = (free_msrs[i] >= 0xc0000000 ? 0x400 : 0) + bit / 8;

        bitmap[read_at] &= (uint8_t) ~(1u << bit % 8);
        bitmap[read_at + 0x800] &= (uint8_t) ~(1u << bit % 8);
    }
}

static vmk_status vtx_vcpu_create(struct vcpu *v)
{
    struct vtx_vcpu *x = heap_alloc(sizeof *x, MEM_OWNER_VMM);
    vmk_status status;

    if (!x)
        return VMK_NO_MEMORY;
    status = page_alloc_zeroed(0, MEM_OWNER_VMM, &x->vmcs);
    if (status != VMK_OK)
        goto free_x;
    status = page_alloc(0, MEM_OWNER_VMM, &x->msr_bitmap);
    if (status != VMK_OK)
        goto free_vmcs;
    msr_bitmap_fill(mpn_map(x->msr_bitmap));
    x->vpid = (uint16_t)(v->vm->index * VM_VCPUS_MAX + v->index + 1);
    x->fault = vmx_fault_of(v);
    v->backend = x;

    bool irqs = plat_irq_save();
    const struct vtx_cpu *cpu = vtx_cpu_self();
    x->cpu = cpu;
    *(uint32_t *)mpn_map(x->vmcs) = (uint32_t)cpu->facts.basic & 0x7fffffff;
    if (!plat_vmclear(mpn_to_paddr(x->vmcs)))
        vmk_panic("VT-x: VMCLEAR failed");
    bool inner = vtx_access_begin(x);
    x->loaded = true;  // for the calls inside; irqs are off
    vtx_state_init(v, cpu);
    x->loaded = false;
    vtx_access_end(x, inner);
    for (int i = 0; i < VTX_SWAPPED_MSRS; i++)
        x->swapped[i] = 0;
    plat_irq_restore(irqs);
    return VMK_OK;

free_vmcs:
    page_free(x->vmcs, 0, MEM_OWNER_VMM);
free_x:
    heap_free(x);
    return status;
}

static void vtx_vcpu_destroy(struct vcpu *v)
{
    struct vtx_vcpu *x = vtx_of(v);

    if (!x)
        return;
    page_free(x->msr_bitmap, 0, MEM_OWNER_VMM);
    page_free(x->vmcs, 0, MEM_OWNER_VMM);
    heap_free(x);
    v->backend = NULL;
}

static void translations_drop(const struct vtx_vcpu *x)
{
    uint64_t can = x->cpu->facts.ept_vpid;

    if (can & BIT(41))
        plat_invvpid(VPID_ONE_CONTEXT, x->vpid, 0);
    else
        plat_invvpid(VPID_ALL, 0, 0);
    if ((can & BIT(25)) && x->eptp)
        plat_invept(EPT_ONE_CONTEXT, x->eptp);
    else
        plat_invept(EPT_ALL, 0);
}

static void vtx_vcpu_load(struct vcpu *v)
{
    struct vtx_vcpu *x = vtx_of(v);
    unsigned self = plat_cpu_self();

    x->cpu = vtx_cpu_self();
    if (!plat_vmptrld(mpn_to_paddr(x->vmcs)))
        vmk_panic("VT-x: VMPTRLD failed");
    x->loaded = true;
    x->launched = false;
    uint64_t eptp = vmx_eptp(&x->cpu->facts, v->vm->nested.root);
    if (eptp != x->eptp) {
        x->eptp = eptp;
        vmcs_write(VMCS_EPTP, eptp);
        x->flush = true;
    }
    if (x->last_cpu != self + 1) {
        x->last_cpu = self + 1;
        vtx_host_state_write();
        x->flush = true;
    }
    for (unsigned i = 0; i < VTX_SWAPPED_MSRS; i++)
        plat_msr_write(vtx_swapped_msrs[i], x->swapped[i]);
    x->tsc_aux = v->tsc_aux;
    if (x->cpu->controls.secondary & SECONDARY_RDTSCP)
        plat_msr_write(MSR_TSC_AUX, x->tsc_aux);
    x->xcr0 = v->xcr0;
    plat_fpu_load(v->fpu, x->xcr0);
}

static void vtx_vcpu_put(struct vcpu *v)
{
    struct vtx_vcpu *x = vtx_of(v);

    plat_fpu_save(v->fpu, x->xcr0);
    for (unsigned i = 0; i < VTX_SWAPPED_MSRS; i++)
        x->swapped[i] = plat_msr_read(vtx_swapped_msrs[i]);
    x->loaded = false;
    x->launched = false;
    if (!plat_vmclear(mpn_to_paddr(x->vmcs)))
        vmk_panic("VT-x: VMCLEAR failed");
}

/* ---- into the guest and out ---- */

/* What handlers changed and hardware must know; rare. */
static void hardware_follow(struct vcpu *v, struct vtx_vcpu *x)
{
    if (__atomic_exchange_n(&x->flush, false, __ATOMIC_ACQ_REL))
        translations_drop(x);
    if (unlikely(x->fault)) {
        if (x->rip_dirty)
            vmcs_write(VMCS_GUEST_RIP, x->rip);
        x->rip_dirty = false;
        if (vmx_fault_apply(v, x->fault))
            x->fault = NULL;
        else
            x->flush = true;  // so as to come here again
    }
    if (x->tsc_offset != vcpu_tsc_offset(v)) {
        x->tsc_offset = vcpu_tsc_offset(v);
        vmcs_write(VMCS_TSC_OFFSET, x->tsc_offset);
    }
    if (x->tsc_aux != v->tsc_aux) {
        x->tsc_aux = v->tsc_aux;
        if (x->cpu->controls.secondary & SECONDARY_RDTSCP)
            plat_msr_write(MSR_TSC_AUX, x->tsc_aux);
    }
    if (x->xcr0 != v->xcr0) {
        plat_fpu_save(v->fpu, x->xcr0);
        x->xcr0 = v->xcr0;
        plat_fpu_load(v->fpu, x->xcr0);
    }
}

/* VMfail: the CPU did not even look at the guest's state. */
static void entry_refused(struct vcpu *v, unsigned code, struct vm_exit *exit)
{
    *exit = (struct vm_exit){.kind = VM_EXIT_ENTRY_FAILED, .rip = vtx_of(v)->rip};
    exit->raw_reason = code;
    exit->failure.rule = vtx_explain_failure(
        v, code == 1 ? "no VMCS is current" : "the CPU refused controls or host state");
}

static void vtx_run(struct vcpu *v, struct vm_exit *exit)
{
    struct vtx_vcpu *x = vtx_of(v);

    if (unlikely(__atomic_load_n(&x->flush, __ATOMIC_ACQUIRE) ||
                 x->tsc_offset != vcpu_tsc_offset(v) || x->tsc_aux != v->tsc_aux ||
                 x->xcr0 != v->xcr0))
        hardware_follow(v, x);
    if (x->rip_dirty) {
        vmcs_write(VMCS_GUEST_RIP, x->rip);
        x->rip_dirty = false;
    }
    if (v->inject.valid) {
        vtx_inject(v);
        v->inject.valid = false;
    }
    unsigned code = plat_vmx_enter(&v->regs, x->launched);
    if (unlikely(code)) {
        entry_refused(v, code, exit);
        return;
    }
    x->launched = true;
    vtx_exit_take(v, exit);
}

static void vtx_flush_address(struct vcpu *v, uint64_t gla)
{
    struct vtx_vcpu *x = vtx_of(v);

    /* A guest may name any address; INVVPID takes canonical ones only. */
    unsigned unused = 64 - x->cpu->facts.linear_bits;
    bool canonical = (uint64_t)((int64_t)(gla << unused) >> unused) == gla;

    if (!canonical)
        return;
    if (x->loaded && (x->cpu->facts.ept_vpid & BIT(40)))
        plat_invvpid(VPID_ONE_ADDRESS, x->vpid, gla);
    else
        __atomic_store_n(&x->flush, true, __ATOMIC_RELEASE);
}

static void vtx_flush_vcpu(struct vcpu *v)
{
    __atomic_store_n(&vtx_of(v)->flush, true, __ATOMIC_RELEASE);
}

static bool vtx_large_pages(void)
{
    const struct vtx_cpu *first = this_host()->vmm->vtx_cpus[0];

    return first && (first->facts.ept_vpid & BIT(16));
}

const struct vt_backend vt_backend_vtx = {
    .name = "VT-x",
    .probe = vtx_probe,
    .cpu_enable = vtx_cpu_enable,
    .cpu_disable = vtx_cpu_disable,
    .vcpu_create = vtx_vcpu_create,
    .vcpu_destroy = vtx_vcpu_destroy,
    .vcpu_load = vtx_vcpu_load,
    .vcpu_put = vtx_vcpu_put,
    .run = vtx_run,
    .get = vtx_get,
    .set = vtx_set,
    .get_segment = vtx_get_segment,
    .set_segment = vtx_set_segment,
    .can_inject_interrupt = vtx_can_inject_interrupt,
    .can_inject_nmi = vtx_can_inject_nmi,
    .want_interrupt_window = vtx_want_interrupt_window,
    .want_nmi_window = vtx_want_nmi_window,
    .clear_shadow = vtx_reset_blocking,
    .step = vtx_step,
    .flush_address = vtx_flush_address,
    .flush_vcpu = vtx_flush_vcpu,
    .cpl = vtx_cpl,
    .nested_format = &nested_format_ept,
    .vectors_in_cpu = true,
    .large_pages = vtx_large_pages,
    .dump = vtx_dump,
};
