// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/main.c -- the bring-up, in order, and the world that runs the virtual machines.
 *
 * Invariants: a step may use only what the steps above it made; nothing may block before
 * world_init(). Each CPU enables virtualization itself, before it runs its first world. The `init`
 * world owns every VM: it creates, starts, awaits and destroys them, then powers the host off.
 *
 * Options: log=com1|com2|none, debug, vcpus=N (overrides every VM), stay (no power-off at the end),
 * init=PATH (user_boot.c), fault=ADDRESS (writes there, to see the panic screen).
 * tsc-error=PPM (the clock is measured that much wrong, to see that it is noticed).
 * No locks here: one CPU until start_cpus(), one world after it.
 */
#include "arch/x86/arch.h"
#include "boot/user_boot.h"
#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "core/timer.h"
#include "core/trace_control.h"
#include "io/io.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "plat/plat.h"
#include "sched/sched.h"
#include "vmm/boot_file.h"
#include "vmm/vm.h"
#include "vmm/vmx_config.h"
#include "vmm/vt.h"
#include "world/trace_world.h"
#include "world/world.h"

#ifndef ORRERY_VERSION
#define ORRERY_VERSION "0.1"
#endif
#define VMS_MAX 16u

static void set_log_sinks(void)
{
    char where[16];
    unsigned sinks = LOG_SINK_SCREEN | LOG_SINK_COM1;

    if (core_option("log", where, sizeof(where))) {
        if (strcmp(where, "com2") == 0)
            sinks = LOG_SINK_SCREEN | LOG_SINK_COM2;
        else if (strcmp(where, "none") == 0)
            sinks = LOG_SINK_SCREEN;
    }
    log_sinks_set(sinks);
    if (core_option_flag("debug"))
        log_level_set(VMK_LOG_DEBUG);
}

/* A kick has no work of its own: leaving the guest or the idle loop is all it is for. */
static void kicked(void)
{
}

/* Virtualization on this CPU; a host without it still comes up. */
static void enable_vt(void)
{
    vmk_status status = vt_init_cpu();

    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Boot: cpu%u: no virtualization: %s", plat_cpu_self(),
                vmk_status_text(status));
}

static void secondary_main(void)
{
    enable_vt();
    world_cpu_main();
}

static void start_cpus(void)
{
    unsigned up = 1;

    for (unsigned cpu = 1; cpu < plat_cpu_count(); cpu++) {
        if (plat_cpu_start(cpu, secondary_main))
            up++;
        else
            vmk_log(VMK_LOG_WARN, "Boot: cpu%u does not answer", cpu);
    }
    vmk_log(VMK_LOG_INFO, "Boot: %u of %u CPUs up", up, plat_cpu_count());
}

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);

    return n >= t && strcmp(name + n - t, tail) == 0;
}

/* The VM of one .vmx file, running, or null with the reason logged. */
static struct vm *start_vm(const char *file, const void *text, size_t size)
{
    static struct vm_config config;  // too large for a stack; only the init world comes here
    char error[160];
    struct vm *vm;
    uint64_t vcpus;
    vmk_status status;

    status = vmx_config_parse(file, text, size, &config, error, sizeof(error));
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Boot: %s", error);
        return NULL;
    }
    vcpus = core_option_u64("vcpus", config.vcpus);
    if (vcpus >= 1 && vcpus <= VM_VCPUS_MAX)
        config.vcpus = (uint32_t)vcpus;
    status = vm_create(&config, &vm);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: cannot create: %s", config.name,
                vmk_status_text(status));
        return NULL;
    }
    status = vm_power_on(vm);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: cannot power on: %s", config.name,
                vmk_status_text(status));
        vm_destroy(vm);
        return NULL;
    }
    return vm;
}

/* What the host holds for VMs is worth knowing while one is there; the first to end shows it. */
static void end_vm(struct vm *vm, bool first)
{
    vm_wait(vm);
    if (first) {
        vmk_log(VMK_LOG_INFO, "Boot: first VM entry %llu ticks after the kernel began",
                (unsigned long long)(vm->first_entry_tsc - arch_entry_tsc));
        vmk_log(VMK_LOG_INFO, "Mem: owners with a VM there:");
        mem_print_owners();
        vmk_log(VMK_LOG_INFO, "Mem: end of owners");
    }
    vm_print_statistics(vm);
    vmk_log(VMK_LOG_INFO, "VM: %s: ended, status %d", vm->config.name, vm->status);
    vm_destroy(vm);
}

/* For trying the panic path: an address nobody may write. */
static void fault_if_asked(void)
{
    const uint64_t address = core_option_u64("fault", UINT64_MAX);

    if (address != UINT64_MAX)
        *(volatile uint8_t *)(uintptr_t)address = 1;
}

static void init_world(void *argument)
{
    struct vm *vms[VMS_MAX];
    unsigned count = 0;
    const char *name;
    const void *data;
    size_t size;
    bool user;

    (void)argument;
    trace_world_start();
    fault_if_asked();
    user = user_boot_start();
    for (size_t i = 0; i < boot_file_count() && count < VMS_MAX; i++) {
        if (!boot_file_at(i, &name, &data, &size) || !ends_with(name, ".vmx"))
            continue;
        vms[count] = start_vm(name, data, size);
        if (vms[count])
            count++;
    }
    if (count == 0 && !user)
        vmk_log(VMK_LOG_WARN, "Boot: no virtual machine to run");
    for (unsigned i = 0; i < count; i++)
        end_vm(vms[i], i == 0);
    if (user)
        user_boot_wait();
    mem_print_owners();
    arch_clock_check();
    if (core_option_flag("stay")) {
        vmk_log(VMK_LOG_INFO, "Boot: staying up");
        world_exit(0);
    }
    vmk_log(VMK_LOG_INFO, "Boot: powering off");
    trace_finish();
    plat_power_off();
}

noreturn_fn void boot_main(void)
{
    static const struct plat_handlers handlers = {timer_interrupt, kicked, sched_irq_exit};
    static const struct world_params init = {.name = "init", .entry = init_world};
    world_id id;
    vmk_status status;

    core_init();
    set_log_sinks();
    vmk_log(VMK_LOG_INFO, "Boot: Orrery %s", ORRERY_VERSION);
    arch_report();
    mem_init();
    trace_init();
    sched_init();
    world_init();
    io_init();
    arch_late_init();
    plat_handlers_set(&handlers);
    enable_vt();
    start_cpus();
    status = world_create(&init, &id);
    if (status != VMK_OK)
        vmk_panic("no init world: %s", vmk_status_text(status));
    world_idle_loop();
}
