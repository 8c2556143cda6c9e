// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_client.c -- what vCPUs and their VM's client in ring 3 say to each other.
 *
 * Both wait on vm->ended, the queue that every change of the VM's state wakes, so that a vCPU
 * which waits for an answer also sees a reset or the end. A call that is given up goes back to
 * NONE under the lock; an answer that comes later finds another sequence number and is refused.
 *
 * Invariants
 *   - calls[i].state is NONE exactly while vCPU i is not in vm_client_call().
 *   - The client's `changed` runs after the change is visible under the lock.
 * Locking    vm->ended.lock (rank WAITQ).
 * Start at   vm_client_call() and vm_client_next(), the two ends.
 */
#include "vmm/vm_client.h"

#include "core/log.h"
#include "lib/string.h"
#include "vmm/dev/bios.h"
#include "vmm/dev/mc146818.h"
#include "vmm/vcpu_internal.h"

static enum vm_state state_of(struct vm *vm)
{
    return __atomic_load_n(&vm->state, __ATOMIC_SEQ_CST);
}

static void tell(struct vm *vm)
{
    wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    vm->client->changed(vm->client);
}

/* ---- the client's side ---- */

/* Lock held. The vCPU whose call has not been looked at, or VM_VCPUS_MAX. */
static uint32_t call_waiting(const struct vm *vm)
{
    const struct vm_client *c = vm->client;

    for (uint32_t i = 0; i < vm->vcpu_count; i++) {
        uint32_t at = (c->next_vcpu + i) % vm->vcpu_count;

        if (c->calls[at].state == VM_CALL_ASKED)
            return at;
    }
    return VM_VCPUS_MAX;
}

/* Lock held. */
static enum vm_client_want look(struct vm *vm, uint32_t *vcpu)
{
    const struct vm_client *c = vm->client;

    *vcpu = call_waiting(vm);
    if (*vcpu < VM_VCPUS_MAX)
        return VM_WANT_CALL;
    if (c->reset_wanted && !c->reset_told)
        return VM_WANT_RESET;
    return state_of(vm) == VM_STATE_OFF ? VM_WANT_END : VM_WANT_NOTHING;
}

bool vm_client_has(struct vm *vm)
{
    bool irqs = spin_lock(&vm->ended.lock);
    uint32_t vcpu;
    bool has = look(vm, &vcpu) != VM_WANT_NOTHING;

    spin_unlock(&vm->ended.lock, irqs);
    return has;
}

/* Lock held. */
static void take(struct vm *vm, enum vm_client_want want, uint32_t vcpu, struct vm_call *call)
{
    struct vm_client *c = vm->client;

    if (want == VM_WANT_CALL) {
        c->calls[vcpu].state = VM_CALL_TAKEN;
        c->next_vcpu = vcpu + 1;
        *call = c->calls[vcpu];
    } else if (want == VM_WANT_RESET) {
        c->reset_told = true;
    }
}

vmk_status vm_client_next(struct vm *vm, bool nonblock, enum vm_client_want *want,
                          uint32_t *vcpu, struct vm_call *call)
{
    vmk_status status = VMK_OK;
    bool irqs = plat_irq_save();

    for (;;) {
        spin_lock_irqs_off(&vm->ended.lock);
        *want = look(vm, vcpu);
        if (*want != VM_WANT_NOTHING || nonblock || status != VMK_OK)
            break;
        status = wait_queue_block_interruptible(&vm->ended, PLAT_NS_NEVER);
    }
    take(vm, *want, *vcpu, call);
    spin_unlock(&vm->ended.lock, irqs);
    if (*want != VM_WANT_NOTHING)
        return VMK_OK;
    return status != VMK_OK ? status : VMK_AGAIN;
}

vmk_status vm_client_answer(struct vm *vm, uint32_t vcpu, uint32_t sequence,
                            const uint32_t regs[VM_CALL_REGS])
{
    struct vm_call *call;
    vmk_status status = VMK_NOT_FOUND;
    bool irqs;

    if (vcpu >= vm->vcpu_count)
        return VMK_NOT_FOUND;
    call = &vm->client->calls[vcpu];
    irqs = spin_lock(&vm->ended.lock);
    if (call->state == VM_CALL_TAKEN && call->sequence == sequence) {
        memcpy(call->regs, regs, sizeof(call->regs));
        call->state = VM_CALL_DONE;
        status = VMK_OK;
    }
    spin_unlock(&vm->ended.lock, irqs);
    wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    return status;
}

/* Where vCPU 0 begins. A machine with a BIOS begins there: its ROM is the host's. */
static vmk_status begin_at(struct vm *vm, const struct loader_entry *entry)
{
    if (entry)
        loader_vcpu_start(vm->vcpus[0], entry);
    return !entry && vm->bios ? bios_load(vm) : VMK_OK;
}

vmk_status vm_client_start(struct vm *vm, const struct loader_entry *entry)
{
    struct vm_client *c = vm->client;
    bool power_on = state_of(vm) == VM_STATE_NEW;
    vmk_status status = VMK_OK;
    bool irqs = spin_lock(&vm->ended.lock);

    if (!power_on && (!c->reset_wanted || c->start_valid)) {
        status = VMK_BUSY;
    } else if (!power_on) {
        c->start_at_reset = !entry;
        if (entry)
            c->start = *entry;
        c->start_valid = true;
    }
    spin_unlock(&vm->ended.lock, irqs);
    if (status != VMK_OK)
        return status;
    if (power_on) {
        // No vCPU has a world yet: this one may set registers.
        status = begin_at(vm, entry);
        return status == VMK_OK ? vm_power_on(vm) : status;
    }
    wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    return VMK_OK;
}

/* ---- the vCPU's side ---- */

bool vm_client_call(struct vcpu *v, enum vm_call_kind kind, uint32_t regs[VM_CALL_REGS])
{
    struct vm *vm = v->vm;
    struct vm_client *c = vm->client;
    struct vm_call *call = &c->calls[v->index];
    const plat_ns since = plat_time_now();
    vmk_status status = VMK_OK;
    bool done = false;
    bool irqs = spin_lock(&vm->ended.lock);

    call->sequence = ++c->sequence;
    call->kind = kind;
    memcpy(call->regs, regs, sizeof(call->regs));
    call->state = VM_CALL_ASKED;
    spin_unlock(&vm->ended.lock, irqs);
    tell(vm);

    irqs = plat_irq_save();
    for (;;) {
        spin_lock_irqs_off(&vm->ended.lock);
        done = call->state == VM_CALL_DONE;
        if (done || status != VMK_OK || state_of(vm) != VM_STATE_ON)
            break;
        world_waits_for(SCHED_STATE_WAIT_IO);
        status = wait_queue_block(&vm->ended, PLAT_NS_NEVER);
    }
    call->state = VM_CALL_NONE;
    if (done) {
        memcpy(regs, call->regs, sizeof(call->regs));
        c->call_count++;
        c->call_ns += plat_time_now() - since;
    }
    spin_unlock(&vm->ended.lock, irqs);
    return done;
}

/* ---- devices ---- */

/*
 * IN or OUT at a port of the client's: the vCPU waits. A guest whose client is gone reads all
 * ones.
 */
static void port_access(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value)
{
    uint32_t regs[VM_CALL_REGS] = {in ? 0 : *value, size, in, port, 0, 0};

    if (vm_client_call(v, VM_CALL_PORT, regs) && in)
        *value = regs[0];
    else if (in)
        *value = UINT32_MAX;
}

vmk_status vm_client_devices_create(struct vm *vm)
{
    static const struct vm_io_ops ops = {.outside = port_access};
    vmk_status status = vm_port_register(vm, MC146818_PORT, MC146818_PORTS, &ops, NULL);
    bool irqs;

    if (status != VMK_OK)
        return status;
    irqs = spin_lock(&vm->lock);
    vm->client->devices = true;
    spin_unlock(&vm->lock, irqs);
    return VMK_OK;
}

void vm_client_devices_destroy(struct vm *vm)
{
    bool irqs = spin_lock(&vm->lock);

    vm->client->devices = false;
    spin_unlock(&vm->lock, irqs);
}

vmk_status vm_client_irq(struct vm *vm, unsigned line, bool high)
{
    vmk_status status = VMK_BUSY;
    bool irqs;

    if (line != MC146818_IRQ)
        return VMK_BAD_PARAM;
    irqs = spin_lock(&vm->lock);
    if (vm->client->devices) {
        vm_irq_line_set(vm, line, high);
        status = VMK_OK;
    }
    spin_unlock(&vm->lock, irqs);
    return status;
}

/* ---- a reset, and the end ---- */

vmk_status vm_client_reload(struct vm *vm)
{
    struct vm_client *c = vm->client;
    struct loader_entry entry = {0};
    vmk_status status = VMK_OK;
    bool ready = false;
    bool at_reset = true;
    bool irqs = spin_lock(&vm->ended.lock);

    c->reset_wanted = true;
    c->reset_told = false;
    c->start_valid = false;
    spin_unlock(&vm->ended.lock, irqs);
    tell(vm);

    irqs = plat_irq_save();
    for (;;) {
        spin_lock_irqs_off(&vm->ended.lock);
        ready = c->start_valid;
        if (ready || status != VMK_OK || state_of(vm) != VM_STATE_RESETTING)
            break;
        status = wait_queue_block(&vm->ended, PLAT_NS_NEVER);
    }
    c->reset_wanted = false;
    if (ready) {
        at_reset = c->start_at_reset;
        entry = c->start;
    }
    spin_unlock(&vm->ended.lock, irqs);
    if (!ready)
        return VMK_KILLED;
    return begin_at(vm, at_reset ? NULL : &entry);
}

void vm_client_ended(struct vm *vm)
{
    if (vm->client)
        tell(vm);
}
