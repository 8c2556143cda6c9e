// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vcpu.c -- a vCPU's registers, its reset, and the exceptions that emulation raises.
 *
 * Invariants: v->inject holds at most one event; two exceptions merge as the processor merges
 * them.
 * Locking: none; the caller is the vCPU's world, or the vCPU has never run.
 *
 * Sources: SDM-3A, "Processor State After Power-up"; "Interrupt 8 -- Double Fault Exception".
 */
#include "vmm/vcpu.h"

#include "core/log.h"
#include "lib/string.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

uint64_t vcpu_gpr(struct vcpu *v, unsigned number)
{
    return number == GPR_RSP ? vt()->get(v, VT_RSP) : v->regs.gpr[number & 15];
}

void vcpu_gpr_set(struct vcpu *v, unsigned number, uint64_t value)
{
    if (number == GPR_RSP)
        vt()->set(v, VT_RSP, value);
    else
        v->regs.gpr[number & 15] = value;
}

static bool is_contributory(uint8_t vector)
{
    return vector == 0 || (vector >= 10 && vector <= 13);
}

void vcpu_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
    const struct vt_event *first = &v->inject;
    bool exception = first->valid && (first->type == VT_EVENT_EXCEPTION ||
                                      first->type == VT_EVENT_SOFT_EXCEPTION ||
                                      first->type == VT_EVENT_PRIV_EXCEPTION);
    bool second_bad = is_contributory(vector) || vector == VECTOR_PF;

    if (exception && first->vector == VECTOR_DF && second_bad) {
        v->inject.valid = false;
        vm_triple_fault(v->vm);
        return;
    }
    if (exception && second_bad &&
        ((is_contributory(first->vector) && vector != VECTOR_PF) ||
         first->vector == VECTOR_PF)) {
        vector = VECTOR_DF;
        has_error = true;
        error = 0;
    }
    v->inject = (struct vt_event){.valid = true,
                                  .type = VT_EVENT_EXCEPTION,
                                  .vector = vector,
                                  .has_error = has_error && (vt()->get(v, VT_CR0) & CR0_PE),
                                  .error = error};
}

void vcpu_raise_gp(struct vcpu *v)
{
    vcpu_raise(v, 13, true, 0);
}

void vcpu_raise_ud(struct vcpu *v)
{
    vcpu_raise(v, 6, false, 0);
}

void vcpu_raise_db(struct vcpu *v, uint64_t bits)
{
    vt()->set(v, VT_DR6, vt()->get(v, VT_DR6) | bits);
    vcpu_raise(v, VECTOR_DB, false, 0);
}

void vcpu_raise_pf(struct vcpu *v, uint64_t address, uint32_t error)
{
    v->regs.cr2 = address;
    vt()->set(v, VT_CR2, address);
    vcpu_raise(v, VECTOR_PF, true, error);
}

void vcpu_raise_nmi(struct vcpu *v)
{
    vcpu_nmi_note(v);
    vcpu_kick(v);
}

void vcpu_reset(struct vcpu *v)
{
    const struct vt_backend *b = vt();
    const struct vt_segment code = {0xf000, 0xffff, 0x9b, 0xffff0000};
    const struct vt_segment data = {0, 0xffff, 0x93, 0};
    const struct vt_segment ldtr = {0, 0xffff, 0x82, 0};
    const struct vt_segment tr = {0, 0xffff, 0x8b, 0};

    memset(&v->regs, 0, sizeof(v->regs));
    v->regs.gpr[GPR_RDX] = 0x600;
    v->inject.valid = false;
    __atomic_store_n(&v->nmi_pending, 0, __ATOMIC_SEQ_CST);
    memset(v->dr, 0, sizeof(v->dr));
    b->set(v, VT_EFER, 0);
    b->set(v, VT_CR0, 0x60000010);
    b->set(v, VT_CR2, 0);
    b->set(v, VT_CR3, 0);
    b->set(v, VT_CR4, 0);
    b->set(v, VT_DR6, DR6_FIXED);
    b->set(v, VT_DR7, 0x400);
    b->set(v, VT_RFLAGS, 2);
    b->set(v, VT_RIP, 0xfff0);
    b->set(v, VT_RSP, 0);
    b->set(v, VT_SYSENTER_CS, 0);
    b->set(v, VT_SYSENTER_ESP, 0);
    b->set(v, VT_SYSENTER_EIP, 0);
    b->set_segment(v, VT_CS, &code);
    b->set_segment(v, VT_SS, &data);
    b->set_segment(v, VT_DS, &data);
    b->set_segment(v, VT_ES, &data);
    b->set_segment(v, VT_FS, &data);
    b->set_segment(v, VT_GS, &data);
    b->set_segment(v, VT_LDTR, &ldtr);
    b->set_segment(v, VT_TR, &tr);
    b->set_segment(v, VT_GDTR, &(struct vt_segment){.limit = 0xffff});
    b->set_segment(v, VT_IDTR, &(struct vt_segment){.limit = 0xffff});
    b->want_interrupt_window(v, false);
    v->window = false;
    b->clear_shadow(v);
    b->flush_vcpu(v);
    if (v->lapic)
        vlapic_reset(v);
}
