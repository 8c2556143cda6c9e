// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/main.c -- the bring-up, in order, and the world that runs the virtual machines.
 *
 * The options that the bring-up reads are in docs/kernel-options.md, like all others.
 *
 * Invariants
 *   - A step uses only what the steps above it made; nothing blocks before world_init().
 *   - Each CPU enables virtualization itself, before it runs its first world.
 *   - The `init` world starts process 1 and, without a host shell, the VMs of the boot modules;
 *     waits until somebody switches the host off or the last of them ends; and powers the host
 *     off.
 * Locking    none: one CPU until start_cpus(), one world after it.
 * Start at   boot_main(), then init_world().
 */
#include "arch/x86/arch.h"
#include "boot/boot_options.h"
#include "boot/driver_boot.h"
#include "boot/user_boot.h"
#include "boot/vm_boot.h"
#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "core/timer.h"
#include "core/trace_control.h"
#include "drivers/drivers.h"
#include "io/io.h"
#include "io/pci.h"
#include "lib/string.h"
#include "mem/page.h"
#include "plat/plat.h"
#include "sched/sched.h"
#include "vmm/vmm_mem.h"
#include "vmm/vt.h"
#include "world/trace_world.h"
#include "world/world.h"

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

/* In interrupt context. As if a program asked for it; VMs without a process 1 keep running. */
static void power_button(void)
{
    if (!user_power_request(USER_END_POWER_OFF))
        vmk_log(VMK_LOG_WARN, "Boot: power button: there is no process 1 to end");
}

/* For trying the panic path: an address nobody may write. */
static void fault_if_asked(const char *option)
{
    const uint64_t address = core_option_u64(option, UINT64_MAX);

    if (address != UINT64_MAX)
        *(volatile uint8_t *)(uintptr_t)address = 1;
}

/* What the host is for: process 1 and the VMs. How it is to end. */
static enum user_end serve(void)
{
    bool user;
    struct vm_boot *vms;
    enum user_end end = USER_END_EXIT;

    user = user_boot_start();
    fault_if_asked("fault-late");
    // The host shell starts the VMs of the boot modules: each has a vmx (/etc/init.d/90-vms).
    vms = user && user_boot_starts_vms() ? NULL : vm_boot_start();
    if (!user && (!vms || vm_boot_count(vms) == 0))
        vmk_log(VMK_LOG_WARN, "Boot: no virtual machine to run");
    if (user) {
        if (vms)
            vm_boot_watch(vms);
        end = user_boot_wait();
        user_boot_end();
        if (vms && end != USER_END_EXIT)
            vm_boot_stop(vms, "the host is going down");
    }
    if (vms)
        vm_boot_wait(vms);
    return end;
}

static void init_world(void *argument)
{
    enum user_end end;

    (void)argument;
    trace_world_start();
    fault_if_asked("fault");
    driver_boot();
    vmm_mem_start();
    disktest_run();
    end = serve();
    mem_print_owners();
    arch_clock_check();
    if (core_option_flag("stay")) {
        vmk_log(VMK_LOG_INFO, "Boot: staying up");
        world_exit(0);
    }
    vmk_log(VMK_LOG_INFO, "Boot: %s", end == USER_END_RESET ? "restarting" : "powering off");
    trace_finish();
    if (end == USER_END_RESET)
        plat_reset();
    plat_power_off();
}

noreturn_fn void boot_main(void)
{
    static const struct world_params init = {.name = "init", .entry = init_world};
    world_id id;
    vmk_status status;

    core_init();
    vmk_log(VMK_LOG_INFO, "Boot: Orrery %s", ORRERY_VERSION);
    boot_options_log();
    arch_report();
    mem_init();
    trace_init();
    sched_init();
    world_init();
    io_init();
    arch_late_init();
    arch_power_button_hook(power_button);
    pci_init();
    enable_vt();
    start_cpus();
    status = world_create(&init, &id);
    if (status != VMK_OK)
        vmk_panic("no init world: %s", vmk_status_text(status));
    world_idle_loop();
}
