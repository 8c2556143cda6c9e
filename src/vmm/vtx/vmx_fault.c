// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vmx_fault.c -- breaks one rule of VM entry on purpose, in a VM that asks for it.
 *
 * The checker (vmx_check.c) is only worth something if what it names is what a CPU refuses. So
 * with the boot option `entry-fault=N` the VM of index i gets its VMCS spoiled by row N + i of
 * vmx_faults.def just before an entry; the CPU refuses, the checker explains, the VM ends and
 * the others go on. Without the option a vCPU pays nothing: the test is on the path that drops
 * translations.
 *
 * Invariants  a vCPU is spoiled once; a row past the table's end spoils nothing.
 * Locking     none; irqs off, the VMCS is current on this CPU.
 * Sources     SDM volume 3C, 26.2 and 26.3
 */
#include "core/core.h"
#include "core/log.h"
#include "vmm/vm.h"
#include "vmm/vtx/vtx_internal.h"

enum fault_when {
    EARLY,
    LONG
};
struct vmx_fault {
    const char *rule;
    unsigned answer;
    enum fault_when when;
    uint32_t field;
    uint64_t clear, set;
};

static const struct vmx_fault faults[] = {
#define VMX_FAULT(rule, answer, when, field, clear, set)                                       \
    {#rule, answer, when, VMCS_##field, clear, set},
#include "vmm/vtx/vmx_faults.def"
};

const struct vmx_fault *vmx_fault_of(const struct vcpu *v)
{
    const uint64_t first = core_option_u64("entry-fault", UINT64_MAX);
    const uint64_t row = first + v->vm->index;

    if (first == UINT64_MAX || v->index != 0 || row >= ARRAY_COUNT(faults))
        return NULL;
    return &faults[row];
}

bool vmx_fault_apply(struct vcpu *v, const struct vmx_fault *fault)
{
    if (fault->when == LONG && (!(vmcs_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E) ||
                                !(vmcs_read(VMCS_GUEST_CS_RIGHTS) & BIT(13))))
        return false;
    vmk_log(VMK_LOG_WARN, "VT-x: %s: vCPU %u: breaking rule %s, the CPU should say %u",
            v->vm->config.name, v->index, fault->rule, fault->answer);
    vmcs_write(fault->field, (vmcs_read(fault->field) & ~fault->clear) | fault->set);
    return true;
}
