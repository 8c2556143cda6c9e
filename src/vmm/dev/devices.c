// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/devices.c -- which devices a virtual machine has, and in which order they come and go.
 *
 * One table, so that creation, its undo on failure and destruction cannot disagree. Interrupt
 * controllers come first: the others drive their lines. Local APICs belong to vCPUs.
 *
 * Invariants
 *   - Destruction runs in the inverse order and leaves no port or MMIO range registered, so
 *     that a VM that is reset can have its devices made again.
 * Locking    vm->lock not held: devices with timers wait for their callbacks.
 */
#include "core/log.h"
#include "lib/string.h"
#include "vmm/dev/bios.h"
#include "vmm/dev/debug_exit.h"
#include "vmm/dev/fw_cfg.h"
#include "vmm/dev/vioapic.h"
#include "vmm/dev/vpci.h"
#include "vmm/dev/vpic.h"
#include "vmm/dev/vpit.h"
#include "vmm/dev/vpm.h"
#include "vmm/dev/vrtc.h"
#include "vmm/dev/vserial.h"
#include "vmm/vm.h"
#include "vmm/vm_client.h"
#include "vmm/vm_disks.h"

struct device_row {
    const char *name;
    vmk_status (*create)(struct vm *vm);
    void (*destroy)(struct vm *vm);  // null: no state
};

/* Without a BIOS nobody else gives the BARs their addresses. */
static vmk_status addresses_give(struct vm *vm)
{
    if (vm->config.firmware == VM_FIRMWARE_DIRECT) {
        bool irqs = spin_lock(&vm->lock);

        vpci_assign(vm->pci);
        spin_unlock(&vm->lock, irqs);
    }
    return VMK_OK;
}

/*
 * Test kernels that are started directly ask there for the number of processors; a BIOS has its
 * own.
 */
static vmk_status fw_cfg_make(struct vm *vm)
{
    return vm->config.firmware == VM_FIRMWARE_DIRECT ? fw_cfg_create(vm, &vm->fw_cfg) : VMK_OK;
}

static void fw_cfg_end(struct vm *vm)
{
    if (vm->fw_cfg)
        fw_cfg_destroy(vm->fw_cfg);
    vm->fw_cfg = NULL;
}

/* The clock and CMOS memory are the vmx's if there is one. */
static vmk_status clock_make(struct vm *vm)
{
    return vm->client ? vm_client_devices_create(vm) : vrtc_create(vm);
}

static void clock_end(struct vm *vm)
{
    if (vm->client)
        vm_client_devices_destroy(vm);
    vrtc_destroy(vm);
}

static const struct device_row device_rows[] = {
    {"PIC", vpic_create, vpic_destroy},      {"IOAPIC", vioapic_create, vioapic_destroy},
    {"PIT", vpit_create, vpit_destroy},      {"serial port", vserial_create, vserial_destroy},
    {"RTC", clock_make, clock_end},          {"PM", vpm_create, vpm_destroy},
    {"PCI", vpci_create, vpci_destroy},      {"debug exit", debug_exit_create, NULL},
    {"BIOS", bios_create, bios_destroy},     {"disks", vm_disks_attach, vm_disks_detach},
    {"PCI addresses", addresses_give, NULL}, {"firmware ports", fw_cfg_make, fw_cfg_end},
};

static void destroy_first(struct vm *vm, size_t count)
{
    while (count-- > 0) {
        if (device_rows[count].destroy)
            device_rows[count].destroy(vm);
    }
    vm->port_range_count = 0;
    memset(vm->port_slots, 0, sizeof(vm->port_slots));
    vm->mmio_range_count = 0;
}

vmk_status vm_devices_create(struct vm *vm)
{
    for (size_t i = 0; i < ARRAY_COUNT(device_rows); i++) {
        vmk_status status = device_rows[i].create(vm);
        if (status != VMK_OK) {
            vmk_log(VMK_LOG_ERROR, "VM: %s: no %s: %s", vm->config.name, device_rows[i].name,
                    vmk_status_text(status));
            destroy_first(vm, i);
            return status;
        }
    }
    return VMK_OK;
}

void vm_devices_destroy(struct vm *vm)
{
    destroy_first(vm, ARRAY_COUNT(device_rows));
}
