// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vcpu_run.c -- the loop of a vCPU's world: what is due, into the guest, what did it want.
 *
 * Other worlds, devices and CPUs reach a vCPU through vcpu_kick(): they leave their message (an
 * interrupt in the local APIC, init_pending, the VM's state) and set `kicked`. The loop takes
 * the flag before it looks and looks at it again, irqs off and on_cpu told, right before the
 * entry; so either it sees the message or the sender sees on_cpu and pulls it out of the guest.
 *
 * Interrupts are only looked at when something may have changed them: a kick, or an exit that
 * could touch a controller. CPUID exits skip that, which is what makes them cheap, and so do
 * exits for IN: a device whose read raises an interrupt kicks.
 *
 * Invariants: only this loop moves RIP, injects and enters; v->state is VCPU_HALTED only while
 * the world blocks or is about to.
 * Locking: the wait queue's lock around the last test before blocking; otherwise none.
 */
#include "core/log.h"
#include "core/trace.h"
#include "vmm/dev/vpic.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"
#include "vmm/vm_client.h"
#include "vmm/vm_reclaim.h"

#define RELOAD_TRIES 100u
#define RELOAD_STEP  50000000ull  // ns between two

#define LOAD(x)      __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, y)  __atomic_store_n(&(x), (y), __ATOMIC_SEQ_CST)

void vcpu_kick(struct vcpu *v)
{
    unsigned cpu;

    if (__atomic_exchange_n(&v->kicked, true, __ATOMIC_SEQ_CST))
        return;  // the one who set it did the rest, and the loop has not looked yet
    if (LOAD(v->state) != VCPU_RUNNING)
        wait_queue_wake(&v->halted, WAIT_QUEUE_ALL);
    cpu = LOAD(v->on_cpu);
    if (cpu) {
        sched_irq_for(v->world.raw);
        TRACE(ipi, .target = cpu - 1, .kind = RECORD_ipi_kind_VCPU);
        plat_cpu_kick(cpu - 1);
    }
}

void vcpu_switch_in(struct world *w)
{
    struct vcpu *v = w->owner;

    plat_debug_addresses_load(v->dr);
    vt()->vcpu_load(v);
}

void vcpu_switch_out(struct world *w)
{
    vt()->vcpu_put(w->owner);
}

/* Waits until somebody kicks. False: the world is to end. */
static bool block_until_kicked(struct vcpu *v)
{
    vmk_status status = VMK_OK;
    bool irqs = plat_irq_save();

    while (status != VMK_KILLED) {
        spin_lock_irqs_off(&v->halted.lock);
        if (LOAD(v->kicked)) {
            spin_unlock_irqs_off(&v->halted.lock);
            break;
        }
        world_waits_for(SCHED_STATE_WAIT_IDLE);
        status = wait_queue_block(&v->halted, PLAT_NS_NEVER);
    }
    plat_irq_restore(irqs);
    return status != VMK_KILLED;
}

/* INIT and SIPI, from other vCPUs' APICs. */
static void take_init_sipi(struct vcpu *v)
{
    if (LOAD(v->init_pending)) {
        if (v->index == 0) {
            STORE(v->init_pending, false);
            vm_request_reset(v->vm, "INIT to the boot processor");
            return;
        }
        // A SIPI behind the INIT may be here already: the sender of INIT dropped older ones.
        vcpu_reset(v);
        // The order the sender of a SIPI relies on: state first.
        STORE(v->state, VCPU_WAIT_SIPI);
        STORE(v->init_pending, false);
    }
    if (LOAD(v->state) == VCPU_WAIT_SIPI) {
        int vector = __atomic_exchange_n(&v->sipi_vector, -1, __ATOMIC_SEQ_CST);

        if (vector >= 0) {
            struct vt_segment cs = {(uint16_t)(vector << 8), 0xffff, 0x9b,
                                    (uint64_t)vector << 12};

            vt()->set_segment(v, VT_CS, &cs);
            vt()->set(v, VT_RIP, 0);
            STORE(v->state, VCPU_RUNNING);
        }
    }
}

/* As a processor is after RESET. */
static void reset_self(struct vcpu *v)
{
    vcpu_reset(v);
    plat_fpu_area_init(v->fpu);
    v->tsc_adjust = 0;
    STORE(v->state, v->index == 0 ? VCPU_RUNNING : VCPU_WAIT_SIPI);
}

/* All stand still: what came since each reset itself was for the machine that is gone. */
static void messages_drop(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        STORE(vm->vcpus[i]->init_pending, false);
        STORE(vm->vcpus[i]->sipi_vector, -1);
        STORE(vm->vcpus[i]->nmi_pending, 0);
    }
}

/*
 * Each vCPU resets itself and arrives; vCPU 0 reloads the machine when all have. So nothing is
 * left to do to the others when the guest runs again, and what it sends them at once is kept.
 * False: the VM is to end.
 */
static bool take_reset(struct vcpu *v)
{
    struct vm *vm = v->vm;
    vmk_status status = VMK_OK;
    bool leader = v->index == 0;
    bool irqs;
    unsigned mine;

    reset_self(v);
    irqs = plat_irq_save();
    spin_lock_irqs_off(&vm->ended.lock);
    mine = vm->resets;
    vm->reset_arrived++;
    spin_unlock_irqs_off(&vm->ended.lock);
    wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    while (status != VMK_KILLED) {
        spin_lock_irqs_off(&vm->ended.lock);
        // The guest may ask for the next one before this vCPU has seen the end of this one.
        if (LOAD(vm->state) != VM_STATE_RESETTING || vm->resets != mine ||
            (leader && vm->reset_arrived == vm->vcpu_count)) {
            spin_unlock_irqs_off(&vm->ended.lock);
            break;
        }
        status = wait_queue_block(&vm->ended, PLAT_NS_NEVER);
    }
    plat_irq_restore(irqs);
    if (status == VMK_KILLED)
        return false;
    if (leader && LOAD(vm->state) == VM_STATE_RESETTING) {
        messages_drop(vm);
        status = vm_reload(vm);
        // The host may be short of memory: reclamation makes some.
        for (unsigned i = 0; i < RELOAD_TRIES && status == VMK_NO_MEMORY; i++) {
            if (world_sleep_until(plat_time_now() + RELOAD_STEP) == VMK_KILLED)
                break;
            status = vm_reload(vm);
        }
        if (status != VMK_OK) {
            vmk_log(VMK_LOG_ERROR, "VM: %s: cannot be loaded again: %s", vm->config.name,
                    vmk_status_text(status));
            vm_stop(vm, 1, "cannot be loaded again");
            return false;
        }
        enum vm_state expected = VM_STATE_RESETTING;

        // As one: who saw that this reset is over must not take the state for the next one.
        irqs = spin_lock(&vm->ended.lock);
        vm->reset_arrived = 0;
        vm->resets++;
        (void)__atomic_compare_exchange_n(&vm->state, &expected, VM_STATE_ON, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        spin_unlock(&vm->ended.lock, irqs);
        wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    }
    return true;
}

/* Somebody kicked. False: the world is to end. */
static bool take_messages(struct vcpu *v)
{
    enum vm_state state = LOAD(v->vm->state);

    vcpu_flush(v);
    while (__builtin_expect(state == VM_STATE_RESETTING, 0)) {
        if (!take_reset(v))
            return false;
        state = LOAD(v->vm->state);
    }
    if (state != VM_STATE_ON && state != VM_STATE_RESETTING)
        return false;
    if (LOAD(v->init_pending) || LOAD(v->sipi_vector) >= 0)
        take_init_sipi(v);
    return true;
}

/* The vector to deliver now, from the local APIC or the PIC behind it; -1: none. */
static int pending_vector(struct vcpu *v, bool *from_pic)
{
    int vector = vlapic_pending(v);

    *from_pic = false;
    if (vector < 0 && vlapic_takes_extint(v)) {
        vector = vpic_pending(v->vm);
        *from_pic = vector >= 0;
    }
    return vector;
}

static bool interrupt_is_due(struct vcpu *v)
{
    bool from_pic;

    return LOAD(v->nmi_pending) || pending_vector(v, &from_pic) >= 0;
}

/* The back end is told only of changes: nearly every exit ends with nothing to wait for. */
static void window_want(struct vcpu *v, bool on)
{
    if (v->window == on)
        return;
    v->window = on;
    vt()->want_interrupt_window(v, on);
}

/* The next NMI. While one is served, or in a shadow, only one waits. */
static void prepare_nmi(struct vcpu *v)
{
    const bool open = vt()->can_inject_nmi(v);

    if (!open) {
        STORE(v->nmi_pending, 1);
    } else if (!v->inject.valid) {
        v->inject =
            (struct vt_event){.valid = true, .type = VT_EVENT_NMI, .vector = VECTOR_NMI};
        if (!__atomic_sub_fetch(&v->nmi_pending, 1, __ATOMIC_SEQ_CST))
            return;
    }
    vt()->want_nmi_window(v, true);
}

/* Puts the next NMI or interrupt into v->inject, or asks for a window. Irqs on. */
static void prepare_injection(struct vcpu *v)
{
    bool from_pic;
    int vector;

    if (LOAD(v->nmi_pending))
        prepare_nmi(v);
    vector = pending_vector(v, &from_pic);
    if (vector < 0) {
        window_want(v, false);
        return;
    }
    if (v->inject.valid || !vt()->can_inject_interrupt(v)) {
        window_want(v, true);
        return;
    }
    if (from_pic) {
        vector = vpic_acknowledge(v->vm);
        vlapic_extint_taken(v);
    } else {
        vlapic_accept(v, (uint8_t)vector);
    }
    v->inject =
        (struct vt_event){.valid = true, .type = VT_EVENT_INTERRUPT, .vector = (uint8_t)vector};
    window_want(v, pending_vector(v, &from_pic) >= 0);
}

/* Steps over the emulated instruction. */
static void step_over(struct vcpu *v, const struct vt_backend *b, const struct vm_exit *exit)
{
    uint32_t length = v->step_length ? v->step_length : exit->length;
    uint64_t next = exit->rip + length;

    v->step_length = 0;
    if (__builtin_expect(next > UINT32_MAX && exit->rip <= UINT32_MAX, 0) &&
        !(b->get(v, VT_EFER) & EFER_LMA))
        next = (uint32_t)next;
    if (__builtin_expect(b->step(v, next), 0))
        vcpu_raise_db(v, DR6_BS);
}

/* HLT: waits for an interrupt unless one is here. False: the world is to end. */
static bool halt(struct vcpu *v)
{
    STORE(v->state, VCPU_HALTED);
    for (;;) {
        bool open = vt()->get(v, VT_RFLAGS) & RFLAGS_IF;

        STORE(v->kicked, false);
        if (!take_messages(v))
            return false;
        if (LOAD(v->state) == VCPU_WAIT_SIPI)
            return true;
        if (v->inject.valid || LOAD(v->nmi_pending) || (open && interrupt_is_due(v)))
            break;
        if (LOAD(v->state) == VCPU_RUNNING)
            break;  // a reset did that
        if (!block_until_kicked(v))
            return false;
    }
    STORE(v->state, VCPU_RUNNING);
    return true;
}

/* Waits for INIT, SIPI or the end. False: the world is to end. */
static bool wait_for_sipi(struct vcpu *v)
{
    while (LOAD(v->state) == VCPU_WAIT_SIPI) {
        STORE(v->kicked, false);
        if (!take_messages(v))
            return false;
        if (LOAD(v->state) == VCPU_WAIT_SIPI && !block_until_kicked(v))
            return false;
    }
    return true;
}

/* Entry and exit are written together: interrupts were off, so nothing came between. */
static void __attribute__((noinline, cold))
trace_run(struct vcpu *v, const struct vm_exit *exit, uint64_t cycles)
{
    plat_ns now = plat_time_now();
    plat_ns ns = cycles * 1000000u / plat_tsc_khz();
    struct vt_event *e = &v->injected;

    TRACE_AT(now - MIN(ns, now), vm_entry, .tid = v->world.raw,
             .injected = e->valid ? BIT(31) | (uint32_t)e->type << 8 | e->vector : 0);
    e->valid = false;
    TRACE_AT(now, vm_exit, .tid = v->world.raw, .reason = (uint16_t)exit->kind,
             .length = (uint16_t)exit->length, .qualification = exit->qualification,
             .ns = (uint32_t)MIN(ns, UINT32_MAX));
}

/* Irqs off around the entry. False: something came up, nothing ran. */
static bool enter(struct vcpu *v, const struct vt_backend *b, struct vm_exit *exit)
{
    uint64_t start, cycles;

    STORE(v->on_cpu, plat_cpu_self() + 1);
    if (__builtin_expect(__atomic_load_n(&v->kicked, __ATOMIC_RELAXED), 0)) {
        STORE(v->on_cpu, 0);
        return false;
    }
    start = plat_tsc_now();
    b->run(v, exit);
    cycles = plat_tsc_now() - start;
    v->guest_cycles += cycles;
    if (trace_wants(TRACE_CLASS_VM))
        trace_run(v, exit, cycles);
    __atomic_store_n(&v->on_cpu, 0, __ATOMIC_RELEASE);
    return true;
}

static void run_guest(struct vcpu *v)
{
    const struct vt_backend *b = vt();
    struct vm_exit exit = {0};
    bool look = true;  // interrupts may have changed

    if (v->index == 0)
        v->vm->first_entry_tsc = plat_tsc_now();
    for (;;) {
        if (__builtin_expect(__atomic_load_n(&v->kicked, __ATOMIC_RELAXED), 0)) {
            STORE(v->kicked, false);
            if (!take_messages(v))
                return;
            look = true;
        }
        if (__builtin_expect(LOAD(v->state) == VCPU_WAIT_SIPI, 0)) {
            if (!wait_for_sipi(v))
                return;
            look = true;
        }
        if (look)
            prepare_injection(v);
        look = true;
        (void)plat_irq_save();
        if (__builtin_expect(sched_need_switch(), 0)) {
            plat_irq_restore(true);
            world_yield();
            continue;
        }
        if (!enter(v, b, &exit)) {
            plat_irq_restore(true);
            continue;
        }
        plat_irq_restore(true);
        look = exit.kind != VM_EXIT_CPUID && (exit.kind != VM_EXIT_IO || !exit.io.in);
        switch (vm_exit_dispatch(v, &exit)) {
        case EXIT_RESUME: look = true; break;
        case EXIT_AGAIN: look = LOAD(v->nmi_pending); break;  // its window lasts one entry
        case EXIT_RESUME_NEXT: step_over(v, b, &exit); break;
        case EXIT_BLOCK:
            step_over(v, b, &exit);
            if (!halt(v))
                return;
            break;
        case EXIT_KILL_VM: vm_stop(v->vm, 1, "its state cannot be run"); return;
        }
    }
}

void vcpu_main(void *argument)
{
    struct vcpu *v = argument;
    struct vm *vm = v->vm;
    bool irqs, last;

    plat_irq_restore(true);
    run_guest(v);
    // A world that ends by itself (killed) takes the VM with it.
    if (LOAD(vm->state) == VM_STATE_ON || LOAD(vm->state) == VM_STATE_RESETTING)
        vm_stop(vm, 1, "a vCPU's world was told to end");
    irqs = plat_irq_save();
    spin_lock_irqs_off(&vm->ended.lock);
    last = --vm->worlds_left == 0;
    if (last)
        STORE(vm->state, VM_STATE_OFF);
    spin_unlock_irqs_off(&vm->ended.lock);
    wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    plat_irq_restore(irqs);
    if (last)
        vm_client_ended(vm);
    world_exit(0);
}
