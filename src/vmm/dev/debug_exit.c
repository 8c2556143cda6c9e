// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/debug_exit.c -- port f4, through which a test guest says how it ended.
 *
 * The port of QEMU's isa-debug-exit, so one guest image runs under both. The written value is
 * the VM's status as it stands, without QEMU's (value << 1) | 1. Reads give all ones.
 *
 * Invariants none: the device has no state.
 * Locking    vm->lock, held by the caller of the handlers.
 */
#include "vmm/dev/debug_exit.h"

#include "vmm/vm.h"

#define DEBUG_EXIT_PORT 0xf4u

static uint64_t debug_exit_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)device;
    (void)v;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static void debug_exit_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                             uint64_t value)
{
    uint64_t mask = size >= 4 ? UINT32_MAX : BIT(8 * size) - 1;

    (void)v;
    if (offset == 0)
        vm_stop(device, (int)(uint32_t)(value & mask), "debug exit");
}

static const struct vm_io_ops debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
};

vmk_status debug_exit_create(struct vm *vm)
{
    return vm_port_register(vm, DEBUG_EXIT_PORT, 4, &debug_exit_ops, vm);
}
