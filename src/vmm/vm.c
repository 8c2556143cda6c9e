// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm.c -- a VM's life: made, powered on, stopped, waited for, destroyed.
 *
 * vm_create() makes everything but the worlds. vm_power_on() makes one world per vCPU; they run
 * vcpu_main() until the state is no longer ON. The last to leave says OFF and wakes vm_wait().
 * vm_destroy() gives back what vm_create() took, in the reverse order.
 *
 *   NEW -> ON -> STOPPING -> OFF
 *          ^  \-> RESETTING --^   (back to ON by vCPU 0, see vcpu_run.c)
 *
 * Invariants: after vm_destroy() no page and no heap byte belongs to the VM.
 * Locking: `state` is atomic; `ended`'s lock guards worlds_left and reset_arrived.
 */
#include "vmm/vm.h"

#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "fs/vm_console.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm_client.h"
#include "vmm/vm_disks.h"
#include "vmm/vm_reclaim.h"
#include "vmm/vm_swap.h"
#include "vmm/vm_work.h"
#include "vmm/vmm_mem.h"
#include "vmm/vmm_state.h"

#define MISC_ENABLE_RESET   1u  // fast strings
#define TRIPLE_FAULTS_MAX   10u
#define TRIPLE_FAULT_FORGET 60000000000ull  // ns without one, then the count begins anew

/* ---- making ---- */

/* Guest pages go back to the host; nobody runs or reaches the VM any more. */
static void memory_free(struct vm *vm)
{
    for (uint64_t i = 0; vm->p2m.chunks && i < vm->page_count; i++) {
        struct p2m_page page = p2m_get(&vm->p2m, i);

        const mpn_t mpn = mpn_make(page.value);

        if (!p2m_has_page(page.state))
            continue;
        p2m_large_set(&vm->p2m, i, false);
        p2m_set(&vm->p2m, i, P2M_NONE, mpn_make(MPN_NONE_RAW));
        if (page.state != P2M_SHARED || vm_share_leave_locked(vm, mpn))
            page_free(mpn, 0, MEM_OWNER_GUEST);
    }
    vm_reclaim_destroy(vm);
    p2m_destroy(&vm->p2m);
}

static vmk_status vcpu_create(struct vm *vm, unsigned index)
{
    struct vcpu *v = heap_alloc(sizeof(*v), MEM_OWNER_VMM);
    vmk_status status;

    if (!v)
        return VMK_NO_MEMORY;
    vm->vcpus[index] = v;
    v->vm = vm;
    v->index = index;
    v->state = index == 0 ? VCPU_RUNNING : VCPU_WAIT_SIPI;
    v->sipi_vector = -1;
    v->xcr0 = 1;
    v->misc_enable = MISC_ENABLE_RESET;
    wait_queue_init(&v->halted, "vcpu");
    v->fpu = heap_alloc(PLAT_FPU_AREA_SIZE, MEM_OWNER_VMM);
    if (!v->fpu)
        return VMK_NO_MEMORY;
    plat_fpu_area_init(v->fpu);
    status = vlapic_create(v);
    if (status != VMK_OK)
        return status;
    return vt()->vcpu_create(v);
}

static void vcpu_destroy(struct vcpu *v)
{
    if (v->backend)
        vt()->vcpu_destroy(v);
    if (v->lapic)
        vlapic_destroy(v);
    heap_free(v->fpu);
    heap_free(v);
}

/* The devices end what they began, then their world has nothing left to do. */
static void io_end(struct vm *vm)
{
    if (vm->devices_made)
        vm_devices_destroy(vm);
    vm->devices_made = false;
    vm_work_destroy(vm);
}

static void vm_free(struct vm *vm)
{
    vm_table_remove(vm);
    while (__atomic_load_n(&vm->visitors, __ATOMIC_ACQUIRE)) {
        world_yield();
        plat_cpu_relax();
    }
    vmm_mem_remove(vm);
    io_end(vm);
    vm_disks_close(vm);
    for (unsigned i = 0; i < VM_VCPUS_MAX; i++) {
        if (vm->vcpus[i])
            vcpu_destroy(vm->vcpus[i]);
    }
    vm_console_end(vm->console);
    vm_swap_destroy(vm);
    memory_free(vm);
    nested_destroy(&vm->nested);
    heap_free(vm);
}

static vmk_status vm_fill(struct vm *vm)
{
    vmk_status status = vm_table_add(vm);

    if (status != VMK_OK)
        return status;
    status = nested_init(&vm->nested, vt()->nested_format);
    if (status != VMK_OK)
        return status;
    status = p2m_init(&vm->p2m, vm->page_count);
    if (status != VMK_OK)
        return status;
    status = vm_reclaim_create(vm);
    if (status != VMK_OK)
        return status;
    status = vm_swap_create(vm);
    if (status != VMK_OK)
        return status;
    status = vmm_mem_add(vm);
    if (status != VMK_OK)
        return status;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        status = vcpu_create(vm, i);
        if (status != VMK_OK)
            return status;
    }
    status = vm_console_create(vm->config.name, &vm->console);
    if (status != VMK_OK)
        return status;
    status = vm_disks_open(vm);
    if (status != VMK_OK)
        return status;
    status = vm_devices_create(vm);
    if (status != VMK_OK)
        return status;
    vm->devices_made = true;
    return VMK_OK;
}

vmk_status vm_create_empty(const struct vm_config *config, const struct vm_owner *owner,
                           struct vm_client *client, struct vm **out)
{
    struct vm *vm;
    vmk_status status;

    if (!vt())
        return VMK_UNSUPPORTED;
    if (config->vcpus < 1 || config->vcpus > VM_VCPUS_MAX || config->memory_mb < 1)
        return VMK_BAD_PARAM;
    vm = heap_alloc(sizeof(*vm), MEM_OWNER_VMM);
    if (!vm)
        return VMK_NO_MEMORY;
    spin_init(&vm->lock, "vm", LOCK_RANK_VM);
    wait_queue_init(&vm->ended, "vm");
    vm->config = *config;
    vm->client = client;
    if (owner)
        vm->owner = *owner;
    vm->state = VM_STATE_NEW;
    vm->vcpu_count = config->vcpus;
    vm->page_count = (uint64_t)config->memory_mb << (20 - PAGE_SHIFT);
    vm->low_page_count = MIN(vm->page_count, VM_MMIO_HOLE >> PAGE_SHIFT);
    vm->power_on_time = plat_time_now();
    vm->tsc_offset = 0 - plat_tsc_now();
    status = vm_fill(vm);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: cannot be made: %s", config->name,
                vmk_status_text(status));
        vm_free(vm);
        return status;
    }
    *out = vm;
    return VMK_OK;
}

vmk_status vm_create(const struct vm_config *config, struct vm **out)
{
    vmk_status status = vm_create_empty(config, NULL, NULL, out);

    if (status != VMK_OK)
        return status;
    status = vm_load_kernel(*out);
    if (status != VMK_OK)
        vm_free(*out);
    return status;
}

/* ---- power ---- */

/* Its vCPUs are scheduled as a group, which has the VM's shares, reservation and limit. */
static vmk_status group_create(struct vm *vm)
{
    const struct vm_config *c = &vm->config;
    const struct sched_params params = {
        .shares = c->shares_of_vm ? c->shares : c->shares * vm->vcpu_count,
        .min_mhz = c->min_mhz,
        .max_mhz = c->max_mhz,
    };
    char why[96];
    vmk_status status = sched_pool_create(c->name, SCHED_POOL_VM, &params, &vm->sched_group);

    if (status == VMK_LIMIT) {
        sched_refusal(why, sizeof(why));
        vmk_log(VMK_LOG_ERROR,
                "VM: %s: sched.cpu.min = %u MHz cannot be reserved: %s; lower it, or another's",
                c->name, c->min_mhz, why);
    } else if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: no group for its vCPUs: %s", c->name,
                vmk_status_text(status));
    }
    return status;
}

vmk_status vm_power_on(struct vm *vm)
{
    // The CPUs of a VM that names none: a mask, 0 for all.
    const uint64_t affinity =
        vm->config.affinity ? vm->config.affinity : core_option_u64("vm.affinity", 0);
    vmk_status status = VMK_OK;

    if (vm->state != VM_STATE_NEW)
        return VMK_BUSY;
    status = group_create(vm);
    if (status != VMK_OK)
        return status;
    vm->power_on_time = plat_time_now();
    vm->tsc_offset = 0 - plat_tsc_now();
    if (vm->work) {
        status = vm_work_start(vm);
        if (status != VMK_OK)
            return status;
    }
    vm->worlds_left = vm->vcpu_count;
    __atomic_store_n(&vm->state, VM_STATE_ON, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *v = vm->vcpus[i];
        char name[WORLD_NAME_SIZE];
        struct world_params params = {
            .name = name,
            .entry = vcpu_main,
            .argument = v,
            .sched = {.pool = vm->sched_group},
            .vcpu = true,
            .affinity = affinity,
            .switch_in = vcpu_switch_in,
            .switch_out = vcpu_switch_out,
            .owner = v,
        };

        vmk_snprintf(name, sizeof(name), "vmm%u:%.16s", i, vm->config.name);
        status = world_create(&params, &v->world);
        if (status != VMK_OK) {
            // The worlds that were not made have left already.
            bool irqs = spin_lock(&vm->ended.lock);

            vm->worlds_left -= vm->vcpu_count - i;
            if (vm->worlds_left == 0)
                __atomic_store_n(&vm->state, VM_STATE_OFF, __ATOMIC_SEQ_CST);
            spin_unlock(&vm->ended.lock, irqs);
            vm_stop(vm, 1, "no world for a vCPU");
            return status;
        }
    }
    vmk_log(VMK_LOG_INFO, "VM: %s: powered on, %u vCPU, %u MB", vm->config.name, vm->vcpu_count,
            vm->config.memory_mb);
    return status;
}

static void kick_all(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_kick(vm->vcpus[i]);
    wait_queue_wake(&vm->ended, WAIT_QUEUE_ALL);
    vm_swap_kick(vm);
}

/* Moves the state if the VM is running. True: this caller did it. */
static bool state_move(struct vm *vm, enum vm_state to)
{
    enum vm_state from = __atomic_load_n(&vm->state, __ATOMIC_SEQ_CST);

    while (from == VM_STATE_ON || (from == VM_STATE_RESETTING && to == VM_STATE_STOPPING)) {
        if (__atomic_compare_exchange_n(&vm->state, &from, to, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

void vm_stop(struct vm *vm, int status, const char *reason)
{
    const enum vm_state state = __atomic_load_n(&vm->state, __ATOMIC_SEQ_CST);

    if ((state != VM_STATE_ON && state != VM_STATE_RESETTING) ||
        __atomic_exchange_n(&vm->stop_begun, true, __ATOMIC_SEQ_CST))
        return;
    // Before the state says so: then any vCPU may be the last one, and somebody reads them.
    vm->status = status;
    vm->end_reason = reason;
    if (!state_move(vm, VM_STATE_STOPPING))
        return;
    vmk_log(VMK_LOG_INFO, "VM: %s: stopping: %s, status %d", vm->config.name, reason, status);
    kick_all(vm);
}

void vm_request_reset(struct vm *vm, const char *reason)
{
    if (!state_move(vm, VM_STATE_RESETTING))
        return;
    vmk_log(VMK_LOG_INFO, "VM: %s: reset: %s", vm->config.name, reason);
    kick_all(vm);
}

/* A guest that does it again and again would keep the host busy for ever and its log full. */
void vm_triple_fault(struct vm *vm)
{
    const plat_ns now = plat_time_now();

    if (now - __atomic_exchange_n(&vm->triple_fault_time, now, __ATOMIC_RELAXED) >
        TRIPLE_FAULT_FORGET)
        __atomic_store_n(&vm->triple_faults, 0, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&vm->triple_faults, 1, __ATOMIC_RELAXED) > TRIPLE_FAULTS_MAX)
        vm_stop(vm, 1, "triple faults without end");
    else
        vm_request_reset(vm, "triple fault");
}

/* A reset keeps what the RTC's battery keeps: the bytes behind its clock registers. */
static void cmos_copy(struct vm *vm, uint8_t bytes[128], bool save)
{
    for (unsigned i = 14; i < 128; i++) {
        uint32_t index = i, value = bytes[i];

        vm_port_access(vm, vm->vcpus[0], 0x70, 1, false, &index);
        vm_port_access(vm, vm->vcpus[0], 0x71, 1, save, &value);
        bytes[i] = (uint8_t)value;
    }
}

vmk_status vm_reload(struct vm *vm)
{
    vmk_status status;
    uint8_t cmos[128] = {0};

    if (vm->rtc)  // a vmx keeps its own
        cmos_copy(vm, cmos, true);
    vm_devices_destroy(vm);
    vm->devices_made = false;
    status = vm_devices_create(vm);
    if (status != VMK_OK)
        return status;
    vm->devices_made = true;
    __atomic_add_fetch(&vm->reset_count, 1, __ATOMIC_RELAXED);
    if (vm->rtc)
        cmos_copy(vm, cmos, false);
    return vm->client ? vm_client_reload(vm) : vm_load_kernel(vm);
}

void vm_wait(struct vm *vm)
{
    enum wait_kind kind = WAIT_KILLABLE;
    bool irqs = plat_irq_save();

    for (;;) {
        spin_lock_irqs_off(&vm->ended.lock);
        if (vm->worlds_left == 0) {
            spin_unlock_irqs_off(&vm->ended.lock);
            break;
        }
        if (wait_queue_block_as(&vm->ended, PLAT_NS_NEVER, kind) == VMK_KILLED) {
            kind = WAIT_FIRM;  // the vCPUs leave now; whoever waits for that must see it
            vm_stop(vm, 1, "the world that waited was told to end");
        }
    }
    plat_irq_restore(irqs);
}

/* ---- time, and figures ---- */

plat_ns vm_time(const struct vm *vm)
{
    return plat_time_now() - vm->power_on_time;
}

uint64_t vm_tsc(const struct vm *vm)
{
    return plat_tsc_now() + vm->tsc_offset;
}

static plat_ns cycles_to_ns(uint64_t cycles)
{
    uint64_t khz = plat_tsc_khz();

    if (!khz)
        return 0;
    return cycles / khz * 1000000u + cycles % khz * 1000000u / khz;
}

/* Exits by reason, and run, ready, wait per vCPU. */
static void figures_log(struct vm *vm)
{
    uint64_t pages = p2m_granted(&vm->p2m);

    vmk_log(VMK_LOG_INFO,
            "VM: %s: ended: %s, status %d, %llu ms, %llu of %llu pages, %llu tables",
            vm->config.name, vm->end_reason ? vm->end_reason : "?", vm->status,
            (unsigned long long)(vm_time(vm) / 1000000u), (unsigned long long)pages,
            (unsigned long long)vm->page_count, (unsigned long long)vm->nested.table_count);
    vm_balloon_log(vm);
    if (vm->large.given)
        vmk_log(
            VMK_LOG_INFO,
            "VM: %s: 2 MB pages: %llu now, %llu given, %llu split, %llu joined; %llu pages of "
            "zeroes freed",
            vm->config.name, (unsigned long long)vm->large.now,
            (unsigned long long)vm->large.given, (unsigned long long)vm->large.split,
            (unsigned long long)vm->large.joined, (unsigned long long)vm->large.zeroes);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *v = vm->vcpus[i];
        struct world_times t = {0};

        v->guest_ns = cycles_to_ns(v->guest_cycles);
        if (world_times_get(v->world, &t) == VMK_OK)
            vmk_log(
                VMK_LOG_INFO,
                "VM: %s: vCPU %u: run %llu us (guest %llu), for others %llu, by others %llu, "
                "ready %llu, wait %llu, %llu switches",
                vm->config.name, i, (unsigned long long)(t.run / 1000),
                (unsigned long long)(v->guest_ns / 1000),
                (unsigned long long)(t.overlap / 1000), (unsigned long long)(t.system / 1000),
                (unsigned long long)(t.ready / 1000), (unsigned long long)(t.wait / 1000),
                (unsigned long long)t.switches);
        for (unsigned kind = 0; kind < VM_EXIT_KIND_COUNT; kind++) {
            if (v->exit_counts[kind])
                vmk_log(VMK_LOG_INFO, "VM: %s: vCPU %u: %-14s %llu", vm->config.name, i,
                        vm_exit_name((enum vm_exit_kind)kind),
                        (unsigned long long)v->exit_counts[kind]);
        }
    }
}

/* ---- the end ---- */

void vm_destroy(struct vm *vm)
{
    if (vm->state != VM_STATE_NEW)
        figures_log(vm);  // while its worlds are there
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        int code;

        // NOT_FOUND: that world was never made. A dying caller cannot sleep, and need not for
        // long.
        while (vm->vcpus[i]->world.raw &&
               world_wait(vm->vcpus[i]->world, PLAT_NS_NEVER, &code) == VMK_KILLED)
            world_yield();
    }
    io_end(vm);  // its world is in the group
    vm_swap_stop(vm);
    if (vm->sched_group && sched_pool_destroy(vm->sched_group) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "VM: %s: its group stays: a vCPU was not collected",
                vm->config.name);
    vm_free(vm);
}
