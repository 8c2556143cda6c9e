// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vmx_controls.c -- which VM-execution, exit and entry controls we use on a given CPU.
 *
 * Every control word has bits that must be one and bits that may be one, told by a capability
 * MSR. We say which bits we require, would like, and cannot live with; a pure function of the
 * facts then gives the word or says that this CPU will not do. So the choice for any CPU model
 * can be tested without that CPU. The old (non-TRUE) MSRs force CR3 exits on; the facts hold
 * the TRUE ones where they exist, and a CPU without them is refused.
 *
 * Invariants
 *   - A word that is returned has all must-be-one bits, no may-not bit and every required bit.
 * Locking    none: pure.
 * Sources    SDM volume 3C, 24.6-24.8 and appendix A.3-A.5
 */
#include "vmm/vtx/vtx_internal.h"

bool vmx_control_adjust(uint64_t capability, uint32_t required, uint32_t optional,
                        uint32_t forbidden, uint32_t *out)
{
    uint32_t must = (uint32_t)capability;
    uint32_t may = (uint32_t)(capability >> 32);
    uint32_t word = (required | optional | must) & may;

    *out = word;
    return (word & required) == required && !(word & forbidden);
}

const char *vmx_controls_choose(const struct vmx_facts *facts, struct vmx_controls *out)
{
    if (!vmx_control_adjust(facts->pin, PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI, 0,
                            PIN_TIMER | PIN_POSTED, &out->pin))
        return "pin-based controls (interrupt and NMI exiting, virtual NMIs)";
    if (!vmx_control_adjust(facts->primary,
                            PRIMARY_TSC_OFFSET | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC |
                                PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE | PRIMARY_MOV_DR |
                                PRIMARY_IO | PRIMARY_MSR_BITMAP | PRIMARY_MONITOR |
                                PRIMARY_SECONDARY,
                            0,
                            PRIMARY_IRQ_WINDOW | PRIMARY_NMI_WINDOW | PRIMARY_RDTSC |
                                PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_INVLPG |
                                PRIMARY_TPR_SHADOW | PRIMARY_IO_BITMAPS | PRIMARY_PAUSE,
                            &out->primary))
        return "primary controls (MSR bitmaps, secondary controls, no CR3 exits)";
    if (!vmx_control_adjust(
            facts->secondary, SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED,
            SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_PLE | SECONDARY_WBINVD,
            SECONDARY_APIC_ACCESS | SECONDARY_VID | SECONDARY_PML, &out->secondary))
        return "secondary controls (EPT, VPID, unrestricted guest)";
    if (!vmx_control_adjust(facts->exit,
                            EXIT_HOST_64 | EXIT_ACK_INTERRUPT | EXIT_SAVE_DEBUG |
                                EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
                            0, EXIT_LOAD_PERF | EXIT_SAVE_TIMER, &out->exit))
        return "exit controls (64-bit host, EFER and PAT)";
    if (!vmx_control_adjust(facts->entry, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
                            0, ENTRY_IA32E | ENTRY_SMM | ENTRY_DUAL_MONITOR | ENTRY_LOAD_PERF,
                            &out->entry))
        return "entry controls (EFER and PAT)";
    if (!(facts->ept_vpid & BIT(6)) || !(facts->ept_vpid & BIT(14)))
        return "EPT with four levels and write-back";
    if (!(facts->ept_vpid & BIT(20)) || !(facts->ept_vpid & BIT(32)))
        return "INVEPT and INVVPID";
    return NULL;
}
