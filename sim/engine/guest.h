// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/guest.h -- what the files of the guest back end share: one vCPU on the engine.
 */
#pragma once

#include "plat/plat_types.h"
#include "sim/engine/uc_guest.h"
#include "vmm/vcpu.h"

enum guest_fault_kind {
    GUEST_FAULT_NONE,
    GUEST_FAULT_PAGE,     // the guest's own: #PF with error and address
    GUEST_FAULT_GENERAL,  // #GP(0): an address that is not canonical
    GUEST_FAULT_NESTED,   // the host's: no machine page at gpa, or not with that right
};

struct guest_fault {
    enum guest_fault_kind kind;
    uint32_t error;
    uint64_t address;
    uint64_t gpa;
    bool write, fetch;
};

struct guest_cpu {
    struct vcpu *v;
    struct uc_shim *cpu;
    paddr_t vmcb, msr_map;
    struct guest_fault fault;  // why the last translation failed
    uint64_t dr7, pat;
    bool window, nmi_window;
    bool nmi_masked, nmi_iret;  // until the IRET at nmi_iret_rip is done
    uint64_t nmi_iret_rip;
    uint64_t carry;  // instructions that are not a nanosecond yet, times 1000
};

/* ---- guest_memory.c: the guest's page tables over the host's ---- */
/* Finds the page of a linear address; sets accessed and dirty bits. False: g->fault. */
bool guest_translate(void *context, uint64_t va, enum uc_shim_access access,
                     enum uc_shim_mode mode, bool probe, struct uc_shim_page *out);
/* Copies between linear memory and the engine, as the processor itself would. False:
 * g->fault. */
must_check bool guest_read(struct guest_cpu *g, uint64_t va, void *out, size_t size,
                           enum uc_shim_mode mode);
must_check bool guest_write(struct guest_cpu *g, uint64_t va, const void *in, size_t size,
                            enum uc_shim_mode mode);
/* The bytes at RIP, at most `room`; how many could be fetched. */
size_t guest_fetch(struct guest_cpu *g, uint8_t *out, size_t room);

/* ---- guest_event.c: interrupts and exceptions through the guest's own tables ---- */
enum guest_delivery {
    GUEST_DELIVERED,
    GUEST_NESTED_FAULT,  // g->fault; nothing has changed, try again later
    GUEST_TRIPLE_FAULT,
    GUEST_TASK_GATE,
};
/* RIP is at the instruction for software events and faults. */
enum guest_delivery guest_deliver(struct guest_cpu *g, const struct vt_event *event);
/* May that port be used at this CPL? False: #GP(0) is to be raised, or (nested) g->fault. */
bool guest_port_allowed(struct guest_cpu *g, uint16_t port, unsigned size);

extern const struct vt_backend vt_backend_unicorn;
