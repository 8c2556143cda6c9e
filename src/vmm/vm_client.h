// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_client.h -- a VM whose kernel and slow devices are somebody else's: its vmx in ring 3.
 *
 * A VM that the kernel started itself has no client: vm_load_kernel() loads it and every device
 * is in the kernel. With a client the vCPUs ask: "load me again" after a reset, and what the
 * kernel does not answer: the backdoor's messages, and the ports of the clock and CMOS memory
 * (docs/adr/0005). A vCPU that asks waits, so there is at most one question per vCPU and one
 * reset: nothing is queued without bound, and a client that is slow slows its own guest only.
 *
 * Invariants
 *   - A vCPU waits for its client only while the VM is ON (calls) or RESETTING (loading):
 *     whoever changes the state wakes it.
 * Locking    vm->ended.lock for everything below; `changed` is called without it.
 */
#pragma once

#include "vmm/loader.h"
#include "vmm/vm.h"

/* Registers of a call, in the order of enum vmk_call_reg. */
#define VM_CALL_REGS 6u

/* Of enum vmk_call_kind, and what the registers mean there. */
enum vm_call_kind {
    VM_CALL_BACKDOOR = 1,
    VM_CALL_PORT = 2,
};

enum vm_call_state {
    VM_CALL_NONE,
    VM_CALL_ASKED,  // not looked at yet
    VM_CALL_TAKEN,  // the client works on it
    VM_CALL_DONE,
};

struct vm_call {
    enum vm_call_state state;
    enum vm_call_kind kind;
    uint32_t sequence;
    uint32_t regs[VM_CALL_REGS];
};

struct vm_client {
    /* There is something new for vm_client_next(). A vCPU's world, no lock held. */
    void (*changed)(struct vm_client *client);

    // vm->ended.lock
    struct vm_call calls[VM_VCPUS_MAX];
    uint32_t sequence;
    uint32_t next_vcpu;  // where the search for a call begins: none starves
    bool reset_wanted;   // vCPU 0 waits for vm_client_start()
    bool reset_told;
    bool start_valid;
    bool start_at_reset;  // as out of reset, `start` is nothing
    struct loader_entry start;
    bool devices;  // vm->lock: the machine's interrupt controllers are there
    uint64_t call_count;
    plat_ns call_ns;
};

enum vm_client_want {
    VM_WANT_NOTHING,
    VM_WANT_CALL,
    VM_WANT_RESET,
    VM_WANT_END,
};

/* ---- the client's side; a world ---- */

/*
 * What comes next, and takes it: a call's vCPU, number and registers. Blocks until there is
 * something unless `nonblock` (AGAIN). INTERRUPTED, KILLED. [switch]
 */
must_check vmk_status vm_client_next(struct vm *vm, bool nonblock, enum vm_client_want *want,
                                     uint32_t *vcpu, struct vm_call *call);
/* Is there something? */
bool vm_client_has(struct vm *vm);
/* NOT_FOUND: that vCPU does not wait for that. */
must_check vmk_status vm_client_answer(struct vm *vm, uint32_t vcpu, uint32_t sequence,
                                       const uint32_t regs[VM_CALL_REGS]);
/*
 * A line of the client's own devices. BAD_PARAM: not one of those; BUSY: the machine is made
 * anew.
 */
must_check vmk_status vm_client_irq(struct vm *vm, unsigned line, bool high);
/*
 * Where vCPU 0 begins (null: as out of reset): powers on, or ends a reset. BUSY: the VM is
 * neither new nor waits after a reset.
 */
must_check vmk_status vm_client_start(struct vm *vm, const struct loader_entry *entry);

/* ---- the vCPU's side ---- */

/*
 * Asks and waits; false: nobody will answer. The vCPU's world, irqs on, nothing locked.
 * [switch]
 */
must_check bool vm_client_call(struct vcpu *v, enum vm_call_kind kind,
                               uint32_t regs[VM_CALL_REGS]);
/*
 * In vm_reload(), vCPU 0's world: waits until the client loaded the VM again. KILLED: it ends.
 */
must_check vmk_status vm_client_reload(struct vm *vm);
/* The devices of a VM that are its client's: their ports, and the lines it may drive. Rows of
 * dev/devices.c. LIMIT. */
must_check vmk_status vm_client_devices_create(struct vm *vm);
void vm_client_devices_destroy(struct vm *vm);
/* The last vCPU has left. */
void vm_client_ended(struct vm *vm);
