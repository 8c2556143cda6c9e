// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/vm_boot.c -- starts the VMs of the boot modules, reports how each ended, and frees it.
 *
 * Without a host shell one world awaits them in their order; with one, each has a world that
 * waits, since a VM may end while the host goes on for weeks.
 *
 * Invariants
 *   - A VM is destroyed once, by the world that awaits it; `running` is false before it is.
 * Locking    vm_boot.lock (rank USER) for `running`, so that nobody stops a VM that is being
 *            freed.
 */
#include "boot/vm_boot.h"

#include "arch/x86/arch.h"
#include "core/core.h"
#include "core/heap.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "lib/string.h"
#include "mem/page.h"
#include "vmm/boot_file.h"
#include "vmm/vm.h"
#include "vmm/vmx_config.h"
#include "world/world.h"

#define VMS_MAX 16u

struct vm_boot {
    struct spinlock lock;  // rank USER
    unsigned count;        // (i)
    unsigned watched;      // worlds that await a VM
    bool owners_shown;     // (a)
    struct vm_slot {
        struct vm_boot *boot;
        struct vm *vm;
        bool running;  // lock
        world_id watcher;
    } slots[VMS_MAX];
};

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);

    return n >= t && strcmp(name + n - t, tail) == 0;
}

/* The VM of one .vmx file, running, or null with the reason logged. `config` is work space. */
static struct vm *start_vm(const char *file, const void *text, size_t size,
                           struct vm_config *config)
{
    char error[160];
    struct vm *vm;
    uint64_t vcpus;
    vmk_status status;

    status = vmx_config_parse(file, text, size, config, error, sizeof(error));
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Boot: %s", error);
        return NULL;
    }
    vcpus = core_option_u64("vcpus", config->vcpus);
    if (vcpus >= 1 && vcpus <= VM_VCPUS_MAX)
        config->vcpus = (uint32_t)vcpus;
    status = vm_create(config, &vm);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: cannot create: %s", config->name,
                vmk_status_text(status));
        return NULL;
    }
    status = vm_power_on(vm);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: cannot power on: %s", config->name,
                vmk_status_text(status));
        vm_destroy(vm);
        return NULL;
    }
    return vm;
}

struct vm_boot *vm_boot_start(void)
{
    struct vm_boot *boot = heap_alloc(sizeof(*boot), MEM_OWNER_VMM);
    struct vm_config *config = heap_alloc(sizeof(*config), MEM_OWNER_VMM);
    const char *name;
    const void *data;
    size_t size;

    if (!boot || !config) {
        vmk_log(VMK_LOG_ERROR, "Boot: no memory to start virtual machines");
        heap_free(boot);
        heap_free(config);
        return NULL;
    }
    spin_init(&boot->lock, "boot VMs", LOCK_RANK_USER);
    for (size_t i = 0; i < boot_file_count() && boot->count < VMS_MAX; i++) {
        struct vm_slot *slot = &boot->slots[boot->count];

        if (!boot_file_at(i, &name, &data, &size) || !ends_with(name, ".vmx"))
            continue;
        slot->boot = boot;
        slot->vm = start_vm(name, data, size, config);
        slot->running = slot->vm != NULL;
        if (slot->vm)
            boot->count++;
    }
    heap_free(config);
    return boot;
}

unsigned vm_boot_count(const struct vm_boot *boot)
{
    return boot->count;
}

/*
 * What the host holds for VMs is worth knowing while one is there; the first to end shows it.
 */
static void end_vm(struct vm_slot *slot)
{
    struct vm *vm = slot->vm;
    bool irqs;

    vm_wait(vm);
    if (!__atomic_exchange_n(&slot->boot->owners_shown, true, __ATOMIC_ACQ_REL)) {
        vmk_log(VMK_LOG_INFO, "Boot: first VM entry %llu ticks after the kernel began",
                (unsigned long long)(vm->first_entry_tsc - arch_entry_tsc));
        vmk_log(VMK_LOG_INFO, "Mem: owners with a VM there:");
        mem_print_owners();
        vmk_log(VMK_LOG_INFO, "Mem: end of owners");
    }
    vmk_log(VMK_LOG_INFO, "VM: %s: ended, status %d", vm->config.name, vm->status);
    irqs = spin_lock(&slot->boot->lock);
    slot->running = false;
    spin_unlock(&slot->boot->lock, irqs);
    vm_destroy(vm);
}

static void watch(void *argument)
{
    end_vm(argument);
    world_exit(0);
}

void vm_boot_watch(struct vm_boot *boot)
{
    while (boot->watched < boot->count) {
        struct vm_slot *slot = &boot->slots[boot->watched];
        const struct world_params params = {.name = "vm-end", .entry = watch, .argument = slot};

        /* The rest is awaited by whoever calls vm_boot_wait(). */
        if (world_create(&params, &slot->watcher) != VMK_OK)
            return;
        boot->watched++;
    }
}

void vm_boot_stop(struct vm_boot *boot, const char *reason)
{
    for (unsigned i = 0; i < boot->count; i++) {
        bool irqs = spin_lock(&boot->lock);

        if (boot->slots[i].running)
            vm_stop(boot->slots[i].vm, 0, reason);
        spin_unlock(&boot->lock, irqs);
    }
}

void vm_boot_wait(struct vm_boot *boot)
{
    for (unsigned i = 0; i < boot->count; i++) {
        int code;

        if (i >= boot->watched)
            end_vm(&boot->slots[i]);
        else if (world_wait(boot->slots[i].watcher, PLAT_NS_NEVER, &code) != VMK_OK)
            vmk_log(VMK_LOG_WARN, "Boot: nobody awaited VM %u", i);
    }
}
